package sdk

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/proto"

	"perdure.test/sdk/process"
)

// The server is killed (SIGKILL) and started again on the same store at each step of what takes several steps: what
// was seen stays, what was under way goes on, and nothing happens twice.

// newCrashRig is a rig with a server of its own, which is nobody else's when it is killed.
func newCrashRig(t *testing.T) *crashRig {
	t.Helper()
	if os.Getenv("PERDURE_ADDRESS") != "" {
		t.Skip("the server given belongs to somebody else")
	}
	t.Parallel()
	s, err := process.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Dial(client.Options{HostPort: s.Address, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &crashRig{rig: &rig{t: t, ctx: deadline(t), client: c, queue: fmt.Sprintf("go-%s-%x", t.Name(), rand.Int63())}, server: s}
}

type crashRig struct {
	*rig
	server *process.Server
}

// crash kills the server, starts it again, and compares what these runs' histories were and are.
func (r *crashRig) crash(runs ...client.WorkflowRun) {
	r.t.Helper()
	var before [][]*historypb.HistoryEvent
	for _, run := range runs {
		before = append(before, written(r.eventsOf(run)))
	}
	r.server.Kill()
	if err := r.server.Launch(); err != nil {
		r.t.Fatal(err)
	}
	for index, run := range runs {
		after := r.eventsOf(run)
		for number, event := range before[index] {
			if number >= len(after) || !proto.Equal(event, after[number]) {
				r.t.Fatalf("event %d of %s changed: it was %s and now the history is %s", number+1, run.GetID(), event, types(after))
			}
		}
	}
}

// written leaves out a task at the end that may be shown before it is written.
func written(events []*historypb.HistoryEvent) []*historypb.HistoryEvent {
	for len(events) > 1 && strings.HasPrefix(events[len(events)-1].EventType.String(), "WorkflowTask") {
		events = events[:len(events)-1]
	}
	return events
}

// wantFlow compares the history without its workflow tasks: a kill may cost one of those and makes another.
func (r *crashRig) wantFlow(run client.WorkflowRun, want string) {
	r.t.Helper()
	var names []string
	for _, event := range r.eventsOf(run) {
		if name := event.EventType.String(); !strings.HasPrefix(name, "WorkflowTask") {
			names = append(names, name)
		}
	}
	if got := strings.Join(names, " "); got != want {
		r.t.Fatalf("history: %s\nwanted: %s", got, want)
	}
}

// A client's calls that wait go on over deaths of the server, and those made right after one are answered.
func TestCallsOverCrashes(t *testing.T) {
	r := newCrashRig(t)
	r.work(Gated)
	run := r.start(client.StartWorkflowOptions{}, Gated, "child")
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	var out string
	waiting := make(chan error, 1)
	go func() { waiting <- run.Get(r.ctx, &out) }()
	for i := 0; i < 3; i++ {
		r.crash()
		r.signal(run, "unheard", i)
	}
	r.signal(run, "go", nil)
	if err := <-waiting; err != nil || out != "child done" {
		t.Fatal(out, err)
	}
	r.wantFlow(run, "WorkflowExecutionStarted"+strings.Repeat(" WorkflowExecutionSignaled", 4)+" WorkflowExecutionCompleted")
}

func TestCrashAroundAChild(t *testing.T) {
	r := newCrashRig(t)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, Parent, child)
	r.crash(run) // started, nobody works on it
	first := r.newWorker(worker.Options{}, Parent, Gated)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
	r.crash(run) // the child is asked for, perhaps there
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
	r.crash(run) // the parent knows of it
	r.waitEvent(child, "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.crash(run, r.client.GetWorkflow(r.ctx, child, ""))
	if pending := r.describe(run).PendingChildren; len(pending) != 1 || pending[0].WorkflowId != child {
		t.Fatal(pending)
	}
	if err := r.client.SignalWorkflow(r.ctx, child, "", "go", nil); err != nil {
		t.Fatal(err)
	}
	r.crash(run)
	r.waitEvent(child, "", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	r.crash(run) // the child has ended, its parent perhaps does not know yet
	var out string
	r.result(run, &out)
	first.Stop()
	r.crash(run)
	r.wantFlow(run, "WorkflowExecutionStarted StartChildWorkflowExecutionInitiated ChildWorkflowExecutionStarted ChildWorkflowExecutionCompleted WorkflowExecutionCompleted")
	r.wantFlow(r.client.GetWorkflow(r.ctx, child, ""), "WorkflowExecutionStarted WorkflowExecutionSignaled WorkflowExecutionCompleted")
	if out != "child done" {
		t.Fatal(out)
	}
}

func TestCrashAroundAParentsEnd(t *testing.T) {
	r := newCrashRig(t)
	r.work(Policies, Gated)
	prefix := r.id()
	run := r.start(client.StartWorkflowOptions{}, Policies, prefix, "complete")
	r.waitNth(run.GetID(), "", enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, 3)
	r.signal(run, "go", nil)
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	r.crash(run)
	r.waitEvent(prefix+"Terminate", "", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
	r.waitEvent(prefix+"RequestCancel", "", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
	r.crash(run)
	r.wantFlow(r.client.GetWorkflow(r.ctx, prefix+"RequestCancel", ""), "WorkflowExecutionStarted WorkflowExecutionCancelRequested")
	r.wantFlow(r.client.GetWorkflow(r.ctx, prefix+"Abandon", ""), "WorkflowExecutionStarted")
}

func TestCrashAroundAnExternalSignal(t *testing.T) {
	r := newCrashRig(t)
	r.work(Signaller, Mailbox)
	mailbox := r.start(client.StartWorkflowOptions{}, Mailbox)
	r.waitEvent(mailbox.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	for _, step := range []enumspb.EventType{enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
		enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED} {
		run := r.start(client.StartWorkflowOptions{}, Signaller, mailbox.GetID(), "put")
		r.waitEvent(run.GetID(), "", step)
		r.crash(run, mailbox)
		r.result(run, nil)
		r.wantFlow(run, "WorkflowExecutionStarted SignalExternalWorkflowExecutionInitiated ExternalWorkflowExecutionSignaled WorkflowExecutionCompleted")
	}
	r.wantMessages(mailbox, strings.Repeat("from outside", 3)) // each once
}

func TestCrashAroundAReset(t *testing.T) {
	r := newCrashRig(t)
	w := r.newWorker(worker.Options{}, Mailbox)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	base := r.openMailbox()
	w.Stop()
	r.crash(base)
	run := r.reset(base, 4)
	r.crash(base, run)
	r.wantTypes(r.eventsOf(run), untilReset+"WorkflowExecutionSignaled WorkflowExecutionSignaled WorkflowTaskScheduled")
	r.wantStatus(base, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	r.work(Mailbox)
	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.crash(base, run)
	again := r.reset(run, 4, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL)
	r.crash(base, run, again)
	r.wantMessages(again, "")
	r.crash(base, run, again)
}

func TestCrashAroundContinueAsNew(t *testing.T) {
	r := newCrashRig(t)
	r.work(Countdown)
	run := r.start(client.StartWorkflowOptions{}, Countdown, 3)
	first := run.GetRunID()
	for current, left := first, 3; left > 0; left-- {
		end := r.waitEvent(run.GetID(), current, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
		r.crash(r.client.GetWorkflow(r.ctx, run.GetID(), current))
		current = end.GetWorkflowExecutionContinuedAsNewEventAttributes().NewExecutionRunId
		if begun := r.events(run.GetID(), current)[0].GetWorkflowExecutionStartedEventAttributes(); begun.FirstExecutionRunId != first {
			t.Fatal(begun)
		}
	}
	var out string
	r.result(run, &out)
	if out != first {
		t.Fatal(out, first)
	}
}

func TestCrashWithAnActivityPaused(t *testing.T) {
	r := newCrashRig(t)
	r.work(OperatedFlow, Valve)
	run := r.backingOff()
	r.crash(run)
	r.pauseActivity(run)
	r.crash(run)
	info := r.pendingActivity(run)
	if info.State != enumspb.PENDING_ACTIVITY_STATE_PAUSED || info.PauseInfo.GetManual().GetIdentity() != "an operator" || info.Attempt != 2 {
		t.Fatal(info)
	}
	opened.Store(run.GetID(), true)
	r.unpauseActivity(run, false)
	r.crash(run)
	var attempt int32
	r.result(run, &attempt)
	r.wantFlow(run, "WorkflowExecutionStarted ActivityTaskScheduled ActivityTaskStarted ActivityTaskCompleted WorkflowExecutionCompleted")
	if attempt < 2 { // one may have been lost with the server
		t.Fatal(attempt)
	}
}

func TestCrashWithAWorkflowPaused(t *testing.T) {
	r := newCrashRig(t)
	r.work(Mailbox)
	run := r.start(client.StartWorkflowOptions{}, Mailbox)
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.pauseWorkflow(run, r.id())
	r.crash(run)
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED)
	r.signal(run, "put", "while paused")
	r.crash(run)
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionPaused WorkflowExecutionSignaled")
	r.unpauseWorkflow(run)
	r.crash(run)
	r.wantMessages(run, "while paused")
	r.wantFlow(run, "WorkflowExecutionStarted WorkflowExecutionPaused WorkflowExecutionSignaled WorkflowExecutionUnpaused WorkflowExecutionSignaled WorkflowExecutionCompleted")
}

func TestCrashAroundADelete(t *testing.T) {
	r := newCrashRig(t)
	r.work(Mailbox)
	base := r.openMailbox()
	run := r.reset(base, 8) // it shares the beginning of the one that goes
	r.deleteRun(base)
	r.crash(run)
	var gone *serviceerror.NotFound
	r.until("the run is gone", func() bool {
		_, err := r.client.DescribeWorkflowExecution(r.ctx, base.GetID(), base.GetRunID())
		return errors.As(err, &gone)
	})
	r.crash(run)
	if _, err := r.client.DescribeWorkflowExecution(r.ctx, base.GetID(), base.GetRunID()); !errors.As(err, &gone) {
		t.Fatal(err)
	}
	r.wantMessages(run, "ab")
}
