// linearizability: clients of a server that is killed again and again; is what they were told one order of operations?
//
// Sessions of a few clients each work on one workflow id at a time. Every call and its answer is recorded, with its times. Porcupine
// then looks for an order of a session's operations that agrees with the model (model.go) and with the times. There must be one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"perdure.test/sdk/process"
)

const (
	clientsPerSession   = 4
	operationsOfClient  = 14
	unknownPerSession   = 5 // each of them doubles what has to be searched
	pollers             = 12
	checkTimeout        = 10 * time.Second
	sessionsWaiting     = 256
	killedAfterMillisec = 2000
)

var (
	seconds  = flag.Float64("seconds", 60, "how long there is load")
	sessions = flag.Int("sessions", 12, "workflow ids that are worked on at the same time")
	kills    = flag.Bool("kills", true, "kill the server about once a second")
	seed     = flag.Int64("seed", 0, "of the operations and the moments of death (0: any)")
	out      = flag.String("out", "build/linearizability", "where a history that is not linearizable is left, as JSON and HTML")
	why      = flag.String("explain", "", "print where this history (a JSON file that was left) ceases to be linearizable, and nothing else")
	keep     = flag.String("record", "", "also write all histories to this file, a line of JSON each")
)

type harness struct {
	service  workflowservice.WorkflowServiceClient
	began    time.Time
	tasks    atomic.Int64
	failures chan error
	finished chan *session
}

// One operation of one client as it is recorded.
type operation struct {
	Client int     `json:"client"`
	Call   int64   `json:"call"`
	Return int64   `json:"return"`
	Input  *input  `json:"input"`
	Output *output `json:"output"`
}

// Everything that was done to one workflow id.
type session struct {
	ID         string      `json:"id"`
	Operations []operation `json:"operations"`

	mutex   sync.Mutex
	clients int // also those that stand for a client whose last call was cut off
	unknown int
	acked   []string // signals
}

func asTool(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "client-name", "temporal-cli", "client-version", "1.0.0")
}

func pause(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}

func (h *harness) fail(err error) {
	select {
	case h.failures <- err:
	default: // there is one already
	}
}

func (h *harness) now() int64 { return time.Since(h.began).Nanoseconds() }

const never = int64(1) << 62

func (s *session) add(client *int, call, end int64, in *input, out *output) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.Operations = append(s.Operations, operation{*client, call, end, in, out})
	if out.Code == "OK" && strings.HasPrefix(in.Op, "signal") {
		s.acked = append(s.acked, "s"+in.Request)
	}
	if !out.Known {
		s.unknown++
		s.clients++
		*client = s.clients // its call may take effect at any later time, so it is busy with it for ever
	}
	return s.unknown < unknownPerSession
}

func (s *session) signals() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.acked)
}

func changes(in *input) bool {
	switch in.Op {
	case "query", "history", "describe", "list":
		return false
	}
	return true
}

// client works on the id of this session. A call that was cut off is repeated with the same request id half of the time.
func (h *harness) client(ctx context.Context, s *session, number int, dice *rand.Rand) {
	var lastRead *input
	var lastRun string
	var again *input
	for range operationsOfClient {
		in := drawInput(dice)
		if again != nil && dice.Intn(2) == 0 {
			in = again
		}
		again = nil
		if in.Op == "reset" && in.Run == "" && !pointOfReset(in, lastRead, lastRun, dice) {
			in = &input{Op: "history"}
		}
		if in.Op == "query" {
			in.Acked = s.signals()
		}
		call := h.now()
		out, known := h.call(ctx, s.ID, in)
		end := h.now()
		if ctx.Err() != nil && !known {
			end = never
		}
		if !known {
			if changes(in) {
				again = in
				if !s.add(&number, call, never, in, out) {
					return
				}
			}
			pause(ctx, 5*time.Millisecond)
			continue
		}
		if in.Op == "history" && out.Code == "OK" {
			lastRead, lastRun = in, out.Run
		}
		if !s.add(&number, call, end, in, out) {
			return
		}
	}
}

// pointOfReset picks one of the completed workflow tasks that the last read of the history saw.
func pointOfReset(in, read *input, run string, dice *rand.Rand) bool {
	if read == nil {
		return false
	}
	var points []int64
	for _, event := range read.events {
		if event.GetWorkflowTaskCompletedEventAttributes() != nil {
			points = append(points, event.EventId)
		}
	}
	if len(points) == 0 {
		return false
	}
	in.Run, in.point = run, points[dice.Intn(len(points))]
	in.Prefix = elementsOf(read.events, in.point)
	return true
}

func (h *harness) runSessions(ctx context.Context, dice *rand.Rand, until time.Time) {
	for time.Now().Before(until) && ctx.Err() == nil {
		s := &session{ID: fmt.Sprintf("id-%x", dice.Uint64()), clients: clientsPerSession}
		var group sync.WaitGroup
		for number := range clientsPerSession {
			clientDice := rand.New(rand.NewSource(dice.Int63()))
			group.Go(func() { h.client(ctx, s, number, clientDice) })
		}
		group.Wait()
		h.finished <- s
	}
}

func (s *session) forPorcupine() []porcupine.Operation {
	var operations []porcupine.Operation
	for _, each := range s.Operations {
		operations = append(operations, porcupine.Operation{ClientId: each.Client, Input: each.Input, Call: each.Call,
			Output: each.Output, Return: each.Return})
	}
	return operations
}

type tally struct {
	Searched                                        time.Duration
	Sessions, Operations, Unknown, Undecided, Wrong int
}

// check looks at each session that is over. What is wrong is left as files.
func (h *harness) check(record *json.Encoder) tally {
	var count tally
	for s := range h.finished {
		count.Sessions++
		count.Operations += len(s.Operations)
		count.Unknown += s.unknown
		if record != nil {
			if err := record.Encode(s); err != nil {
				h.fail(err)
			}
		}
		begun := time.Now()
		switch porcupine.CheckOperationsTimeout(model, s.forPorcupine(), checkTimeout) {
		case porcupine.Illegal:
			count.Wrong++
			h.fail(fmt.Errorf("the history of %s is not linearizable: %s", s.ID, leave(s)))
		case porcupine.Unknown:
			count.Undecided++
		}
		count.Searched += time.Since(begun)
	}
	return count
}

func leave(s *session) string {
	path := filepath.Join(*out, s.ID)
	if err := os.MkdirAll(*out, 0o700); err != nil {
		return err.Error()
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = os.WriteFile(path+".json", text, 0o600)
	}
	_, information := porcupine.CheckOperationsVerbose(model, s.forPorcupine(), checkTimeout)
	if err == nil {
		err = porcupine.VisualizePath(model, information, path+".html")
	}
	if err != nil {
		return err.Error()
	}
	return path + ".html"
}

func storm(ctx context.Context, server *process.Server, dice *rand.Rand, until time.Time) (int, error) {
	for count := 0; ; count++ {
		pause(ctx, time.Duration(100+dice.Intn(killedAfterMillisec))*time.Millisecond)
		if time.Now().After(until) || ctx.Err() != nil {
			return count, nil
		}
		server.Kill()
		if err := server.Launch(); err != nil {
			return count, err
		}
	}
}

func load(record *json.Encoder) (err error) {
	server, err := process.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	fast := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond}
	connection, err := grpc.NewClient(server.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)), // so that only what was under way is cut off
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: fast, MinConnectTimeout: time.Second}))
	if err != nil {
		return err
	}
	defer connection.Close()
	h := &harness{service: workflowservice.NewWorkflowServiceClient(connection), began: time.Now(), failures: make(chan error, 1),
		finished: make(chan *session, sessionsWaiting)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range pollers {
		go h.work(ctx)
	}
	dice := rand.New(rand.NewSource(*seed))
	until := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	var group sync.WaitGroup
	for range *sessions {
		own := rand.New(rand.NewSource(dice.Int63()))
		group.Go(func() { h.runSessions(ctx, own, until) })
	}
	counted := make(chan tally)
	go func() { counted <- h.check(record) }()
	killed := 0
	if *kills {
		if killed, err = storm(ctx, server, dice, until); err != nil {
			return err
		}
	}
	group.Wait()
	close(h.finished)
	count := <-counted
	fmt.Printf("seed %d: %d operations on %d workflow ids in %.0f s, %d workflow tasks, %d kills, %d outcomes unknown, %d histories undecided, %d wrong, %.0f s of search\n",
		*seed, count.Operations, count.Sessions, time.Since(h.began).Seconds(), h.tasks.Load(), killed, count.Unknown, count.Undecided, count.Wrong, count.Searched.Seconds())
	select {
	case err = <-h.failures:
	default:
	}
	if err == nil && count.Undecided*100 > count.Sessions {
		err = errors.New("too many histories could not be decided")
	}
	return err
}

func main() {
	flag.Parse()
	if *seed == 0 {
		*seed = time.Now().UnixNano() & 0xFFFFFFFF
	}
	if *why != "" {
		if err := explain(os.Stdout, *why); err != nil {
			log.Fatal(err)
		}
		return
	}
	var record *json.Encoder
	if *keep != "" {
		file, err := os.Create(*keep)
		if err != nil {
			log.Fatal(err)
		}
		defer file.Close()
		record = json.NewEncoder(file)
	}
	if err := load(record); err != nil {
		log.Fatal(err)
	}
}
