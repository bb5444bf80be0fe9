package sdk

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// rig is what each test has: its own task queue and a worker on it.
type rig struct {
	t      *testing.T
	ctx    context.Context
	client client.Client
	queue  string
	count  int
	// What its workers know; see replay_test.go.
	workflows []interface{}
}

func newRig(t *testing.T) *rig {
	t.Parallel()
	return &rig{t: t, ctx: deadline(t), client: shared, queue: fmt.Sprintf("go-%s-%x", strings.ReplaceAll(t.Name(), "/", "-"), rand.Int63())}
}

func (r *rig) id() string {
	r.count++
	return fmt.Sprintf("%s-%d", r.queue, r.count)
}

// work runs a worker until the end of the test.
func (r *rig) work(register ...interface{}) worker.Worker {
	w := r.newWorker(worker.Options{}, register...)
	if err := w.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(w.Stop)
	return w
}

func (r *rig) newWorker(options worker.Options, register ...interface{}) worker.Worker {
	options.MaxConcurrentWorkflowTaskPollers = 2
	options.MaxConcurrentActivityTaskPollers = 2
	w := worker.New(r.client, r.queue, options)
	for _, function := range register {
		if isWorkflow(function) {
			w.RegisterWorkflow(function)
			if r.workflows == nil {
				r.t.Cleanup(r.replay) // after the worker's end, before what was there before it goes
			}
			r.workflows = append(r.workflows, function)
		} else {
			w.RegisterActivity(function)
		}
	}
	return w
}

func isWorkflow(function interface{}) bool {
	kind := reflect.TypeOf(function)
	return kind.NumIn() > 0 && kind.In(0).String() == "internal.Context"
}

func (r *rig) start(options client.StartWorkflowOptions, workflow interface{}, args ...interface{}) client.WorkflowRun {
	r.t.Helper()
	if options.ID == "" {
		options.ID = r.id()
	}
	options.TaskQueue = r.queue
	handle, err := r.client.ExecuteWorkflow(r.ctx, options, workflow, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return handle
}

func (r *rig) result(run client.WorkflowRun, into interface{}) {
	r.t.Helper()
	if err := run.Get(r.ctx, into); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) events(id, runID string) []*historypb.HistoryEvent {
	r.t.Helper()
	iterator := r.client.GetWorkflowHistory(r.ctx, id, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var events []*historypb.HistoryEvent
	for iterator.HasNext() {
		event, err := iterator.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		events = append(events, event)
	}
	for index, event := range events {
		if event.EventId != int64(index+1) {
			r.t.Fatalf("event ids are not dense: %d at %d", event.EventId, index)
		}
	}
	return events
}

func (r *rig) eventsOf(run client.WorkflowRun) []*historypb.HistoryEvent {
	r.t.Helper()
	return r.events(run.GetID(), run.GetRunID())
}

// waitEvent returns the first event of this type, waiting by long polls until there is one.
func (r *rig) waitEvent(id, runID string, kind enumspb.EventType) *historypb.HistoryEvent {
	r.t.Helper()
	return r.waitNth(id, runID, kind, 1)
}

// waitNth is waitEvent for the nth event of its type.
func (r *rig) waitNth(id, runID string, kind enumspb.EventType, nth int) *historypb.HistoryEvent {
	r.t.Helper()
	iterator := r.client.GetWorkflowHistory(r.ctx, id, runID, true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iterator.HasNext() {
		event, err := iterator.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		if event.EventType == kind {
			if nth--; nth == 0 {
				return event
			}
		}
	}
	r.t.Fatalf("the run closed without a %s", kind)
	return nil
}

func types(events []*historypb.HistoryEvent) string {
	var names []string
	for _, event := range events {
		names = append(names, event.EventType.String())
	}
	return strings.Join(names, " ")
}

// wantTypes compares the whole history's event types, given without blanks that matter.
func (r *rig) wantTypes(events []*historypb.HistoryEvent, want string) {
	r.t.Helper()
	if got := types(events); got != strings.Join(strings.Fields(want), " ") {
		r.t.Fatalf("history:\n%s\nwanted:\n%s", strings.ReplaceAll(got, " ", "\n"), strings.Join(strings.Fields(want), "\n"))
	}
}

func find(t *testing.T, events []*historypb.HistoryEvent, kind enumspb.EventType) *historypb.HistoryEvent {
	t.Helper()
	for _, event := range events {
		if event.EventType == kind {
			return event
		}
	}
	t.Fatalf("no %s in: %s", kind, types(events))
	return nil
}

func count(events []*historypb.HistoryEvent, kind enumspb.EventType) int {
	number := 0
	for _, event := range events {
		if event.EventType == kind {
			number++
		}
	}
	return number
}

func (r *rig) describe(run client.WorkflowRun) *workflowservice.DescribeWorkflowExecutionResponse {
	r.t.Helper()
	described, err := r.client.DescribeWorkflowExecution(r.ctx, run.GetID(), run.GetRunID())
	if err != nil {
		r.t.Fatal(err)
	}
	return described
}

func (r *rig) wantStatus(run client.WorkflowRun, want enumspb.WorkflowExecutionStatus) {
	r.t.Helper()
	if got := r.describe(run).WorkflowExecutionInfo.Status; got != want {
		r.t.Fatalf("status %s, wanted %s", got, want)
	}
}

// isReference says that the server given is the reference, on which some of what is ours does not hold.
func isReference() bool {
	said := os.Getenv("PERDURE_ADDRESS_IS_REFERENCE")
	return said != "" && said != "0"
}

// eventually is for what the reference shows late; on our own server the first look must be right.
func (r *rig) eventually(what string, look func() bool) {
	r.t.Helper()
	for attempt := 0; ; attempt++ {
		if look() {
			return
		}
		if !isReference() || attempt == 100 {
			r.t.Fatalf("not seen: %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// until repeats a look at the server while the test's time lasts: for states that no event announces.
func (r *rig) until(what string, look func() bool) {
	r.t.Helper()
	for !look() {
		if r.ctx.Err() != nil {
			r.t.Fatalf("it did not come to that: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func listRequest(query string) *workflowservice.ListWorkflowExecutionsRequest {
	return &workflowservice.ListWorkflowExecutionsRequest{Query: query}
}

func jsonPayload(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(text)}
}

func wantInvalid(t *testing.T, err error) {
	t.Helper()
	if status.Code(err) != codes.InvalidArgument {
		t.Fatal("not refused as invalid: ", err)
	}
}

func samePayloads(a, b *commonpb.Payloads) bool {
	return proto.Equal(a, b)
}

const prologue = "WorkflowExecutionStarted WorkflowTaskScheduled WorkflowTaskStarted WorkflowTaskCompleted "

func day() *durationpb.Duration {
	return durationpb.New(24 * time.Hour)
}
