package sdk

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The server under test: PERDURE_ADDRESS when somebody else runs it, otherwise one process of our own for the whole
// package, ended by its pid; a server that does not exit 0 after SIGTERM fails the run.

const (
	readyWait = 30 * time.Second
	stopWait  = 30 * time.Second
)

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
		server, err := startServer()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		address = server.address
		code := withClient(m)
		if err := server.stop(); err != nil {
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

type server struct {
	address string
	http    string
	dir     string
	command *exec.Cmd
}

func startServer() (*server, error) {
	dir, err := os.MkdirTemp("", "perdure-test-")
	if err != nil {
		return nil, err
	}
	s := &server{address: freeAddress(), http: freeAddress(), dir: dir}
	return s, s.launch()
}

// launch starts the process, and may do so again after a kill: on the same ports and the same store.
func (s *server) launch() error {
	logFile, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	s.command = exec.Command(binary(), "server", "--grpc", s.address, "--http", s.http, "--store", "sqlite:"+filepath.Join(s.dir, "perdure.db"),
		"--callback-url", "127.0.0.1:*,insecure")
	s.command.Stderr = logFile
	out, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", binary(), err)
	}
	ready := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "ready") {
				ready <- nil
				_, _ = io.Copy(io.Discard, out)
				return
			}
		}
		ready <- errors.New("the server ended before it was ready")
	}()
	select {
	case err = <-ready:
	case <-time.After(readyWait):
		err = errors.New("the server did not get ready")
	}
	if err != nil {
		s.kill()
		return fmt.Errorf("%w\n%s", err, s.logText())
	}
	return nil
}

// kill ends the process as a power cut would: no drain, no flush.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

func (s *server) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(stopWait, func() { _ = s.command.Process.Kill() })
	defer timer.Stop()
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("the server did not stop cleanly: %w\n%s", err, s.logText())
	}
	return os.RemoveAll(s.dir)
}

func (s *server) logText() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if len(text) > 8000 {
		text = text[len(text)-8000:]
	}
	return string(text)
}

func binary() string {
	if named := os.Getenv("PERDURE_BINARY"); named != "" {
		return named
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		panic(err)
	}
	return filepath.Join(root, "build", "dev", "perdure")
}

// freeAddress has a port below those that the system gives to outgoing connections: one of those would take it while a
// killed server is away.
func freeAddress() string {
	for {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.Intn(22000)))
		if err != nil {
			continue // somebody has it
		}
		defer listener.Close()
		return listener.Addr().String()
	}
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
