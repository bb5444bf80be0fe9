package sdk

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"perdure.test/sdk/process"
)

// The server under test: PERDURE_ADDRESS when somebody else runs it, otherwise one process of our own for the whole
// package, ended by its pid; a server that does not exit 0 after SIGTERM fails the run.

var (
	address string
	shared  client.Client

	// rawService calls without the SDK's retries and translations: for what the SDK has no words for, and for refusals.
	rawService workflowservice.WorkflowServiceClient
)

func TestMain(m *testing.M) {
	// The tests mostly wait for timers of the server: more of them than there are cores can do so at once.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	address = os.Getenv("PERDURE_ADDRESS")
	if address == "" {
		server, err := process.Start()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		address = server.Address
		code := withClient(m)
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	return withClient(m)
}

func withClient(m *testing.M) int {
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet{}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	raw, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer raw.Close()
	shared, rawService = c, workflowservice.NewWorkflowServiceClient(raw)
	return m.Run()
}

// quiet drops the SDK's log: its warnings are the subject of many tests here.
type quiet struct{}

func (quiet) Debug(string, ...interface{}) {}
func (quiet) Info(string, ...interface{})  {}
func (quiet) Warn(string, ...interface{})  {}
func (quiet) Error(string, ...interface{}) {}

var _ log.Logger = quiet{}

// deadline is the time each test has; a server that hangs fails one test, not the run.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}
