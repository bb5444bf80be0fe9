package sdk

import (
	"errors"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Reset and delete.

// reset keeps the history before the event `finish` and answers with the new run.
func (r *rig) reset(run client.WorkflowRun, finish int64, exclude ...enumspb.ResetReapplyExcludeType) client.WorkflowRun {
	r.t.Helper()
	answer, err := r.client.ResetWorkflowExecution(r.ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 "default",
		WorkflowExecution:         &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()},
		Reason:                    "another try",
		RequestId:                 r.id(),
		WorkflowTaskFinishEventId: finish,
		ResetReapplyExcludeTypes:  exclude,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if answer.RunId == run.GetRunID() {
		r.t.Fatal("a reset makes a new run")
	}
	return r.client.GetWorkflow(r.ctx, run.GetID(), answer.RunId)
}

const (
	untilReset = "WorkflowExecutionStarted WorkflowTaskScheduled WorkflowTaskStarted WorkflowTaskFailed "
	signalled  = "WorkflowExecutionSignaled " + workflowTask
)

// openMailbox has worked on the signals a and b, each in a task of its own.
func (r *rig) openMailbox() client.WorkflowRun {
	r.t.Helper()
	run := r.start(client.StartWorkflowOptions{}, Mailbox)
	r.waitNth(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 1)
	r.signal(run, "put", "a")
	r.waitNth(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)
	r.signal(run, "put", "b")
	r.waitNth(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 3)
	return run
}

func (r *rig) wantMessages(run client.WorkflowRun, want string) {
	r.t.Helper()
	r.signal(run, "close", nil)
	var messages []string
	r.result(run, &messages)
	if strings.Join(messages, "") != want {
		r.t.Fatal(messages)
	}
}

func TestResetOfARunningWorkflow(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	base := r.openMailbox()
	run := r.reset(base, 4)

	cut := r.events(base.GetID(), base.GetRunID())
	r.wantTypes(cut, prologue+signalled+signalled+"WorkflowExecutionTerminated")
	if last := cut[12].GetWorkflowExecutionTerminatedEventAttributes(); last.Reason != "another try" || last.Identity != "history-resetter" {
		t.Fatal(last)
	}
	described := r.describe(base)
	if described.WorkflowExecutionInfo.Status != enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED || described.WorkflowExtendedInfo.GetResetRunId() != run.GetRunID() {
		t.Fatal(described.WorkflowExtendedInfo)
	}
	if info := r.describe(run).WorkflowExtendedInfo; info.GetLastResetTime() == nil || !info.GetOriginalStartTime().AsTime().Equal(cut[0].EventTime.AsTime()) {
		t.Fatal(info)
	}

	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	events := r.eventsOf(run)
	r.wantTypes(events, untilReset+"WorkflowExecutionSignaled WorkflowExecutionSignaled "+workflowTask)
	failed := events[3].GetWorkflowTaskFailedEventAttributes()
	if failed.Cause != enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW || failed.BaseRunId != base.GetRunID() || failed.NewRunId != run.GetRunID() ||
		failed.Failure.GetResetWorkflowFailureInfo() == nil || failed.Failure.Message != "another try" || failed.Identity != "history-service" {
		t.Fatal(failed)
	}
	begun := events[0].GetWorkflowExecutionStartedEventAttributes()
	if begun.OriginalExecutionRunId != base.GetRunID() || begun.FirstExecutionRunId != base.GetRunID() {
		t.Fatal(begun)
	}
	if put := events[4].GetWorkflowExecutionSignaledEventAttributes(); string(put.Input.Payloads[0].Data) != `"a"` || put.Identity != cut[4].GetWorkflowExecutionSignaledEventAttributes().Identity {
		t.Fatal(put)
	}
	r.wantMessages(run, "ab")
}

func TestResetInTheMiddle(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	base := r.openMailbox()
	run := r.reset(base, 8, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL) // a is kept, b forgotten
	r.waitNth(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionSignaled WorkflowTaskScheduled WorkflowTaskStarted WorkflowTaskFailed "+workflowTask)
	again := r.reset(run, 4) // what the second one cuts off is what the first one kept
	r.waitEvent(again.GetID(), again.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.wantTypes(r.eventsOf(again), untilReset+"WorkflowExecutionSignaled "+workflowTask)
	r.wantMessages(again, "a")
}

func TestResetOfAClosedWorkflow(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	base := r.openMailbox()
	r.wantMessages(base, "ab")
	before := types(r.eventsOf(base))
	run := r.reset(base, 4, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL)
	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.wantTypes(r.eventsOf(run), untilReset+workflowTask)
	if after := types(r.eventsOf(base)); after != before {
		t.Fatal(after)
	}
	r.wantStatus(base, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	r.wantMessages(run, "")
}

// Steps runs an activity, starts a child and a timer, and waits for a signal, then for the child.
func Steps(ctx workflow.Context, child string) (string, error) {
	var out order
	if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(nil)), Echo, order{Name: "x"}).Get(ctx, &out); err != nil {
		return "", err
	}
	running := workflow.ExecuteChildWorkflow(childContext(ctx, child, nil), Gated, "child")
	if err := running.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	timer := workflow.NewTimer(ctx, time.Second)
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	if err := timer.Get(ctx, nil); err != nil {
		return "", err
	}
	var text string
	err := running.Get(ctx, &text)
	return text, err
}

// What was done stays done, a child keeps running and tells the new run of its end, a timer keeps its time.
func TestResetKeepsWhatWasDone(t *testing.T) {
	r := newRig(t)
	r.work(Steps, Echo, Gated)
	child := r.id()
	base := r.start(client.StartWorkflowOptions{}, Steps, child)
	due := r.waitEvent(base.GetID(), "", enumspb.EVENT_TYPE_TIMER_STARTED)
	r.signal(base, "go", nil)
	finish := r.waitNth(base.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 4)
	run := r.reset(base, finish.EventId)
	fired := r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_TIMER_FIRED)
	if fired.EventTime.AsTime().Sub(due.EventTime.AsTime()) < time.Second {
		t.Fatal("the timer fired early")
	}
	if err := r.client.SignalWorkflow(r.ctx, child, "", "go", nil); err != nil {
		t.Fatal(err)
	}
	var text string
	r.result(run, &text)
	if text != "child done" {
		t.Fatal(text)
	}
	kept, events := r.events(base.GetID(), base.GetRunID()), r.eventsOf(run)
	if types(kept[:finish.EventId-1]) != types(events[:finish.EventId-1]) || count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) != 1 ||
		count(events, enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED) != 1 {
		t.Fatal(types(events))
	}
	done := find(t, events, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED).GetChildWorkflowExecutionCompletedEventAttributes()
	if done.InitiatedEventId != find(t, events, enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED).EventId {
		t.Fatal(done)
	}
}

func TestResetToNowhere(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	run := r.openMailbox()
	for _, finish := range []int64{0, 1, 2, 5, 1000} {
		_, err := r.client.ResetWorkflowExecution(r.ctx, &workflowservice.ResetWorkflowExecutionRequest{Namespace: "default", RequestId: r.id(),
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID()}, WorkflowTaskFinishEventId: finish})
		var invalid *serviceerror.InvalidArgument
		if !errors.As(err, &invalid) {
			t.Fatal(finish, err)
		}
	}
	_, err := r.client.ResetWorkflowExecution(r.ctx, &workflowservice.ResetWorkflowExecutionRequest{Namespace: "default", RequestId: r.id(),
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "there-is-no-such-workflow"}, WorkflowTaskFinishEventId: 4})
	var unknown *serviceerror.NotFound
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
}

func TestResetPoints(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	points := r.describe(r.openMailbox()).WorkflowExecutionInfo.AutoResetPoints.GetPoints()
	if len(points) != 1 || points[0].FirstWorkflowTaskCompletedId != 4 || !points[0].Resettable || points[0].BuildId == "" {
		t.Fatal(points)
	}
}

func (r *rig) deleteRun(run client.WorkflowRun) {
	r.t.Helper()
	_, err := r.client.WorkflowService().DeleteWorkflowExecution(r.ctx, &workflowservice.DeleteWorkflowExecutionRequest{Namespace: "default", WorkflowExecution: execution(run)})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	r.work(Hello)
	open := r.start(client.StartWorkflowOptions{}, Sleeper)
	r.deleteRun(open)
	var gone *serviceerror.NotFound
	r.until("the run is gone", func() bool {
		_, err := r.client.DescribeWorkflowExecution(r.ctx, open.GetID(), open.GetRunID())
		return errors.As(err, &gone)
	})
	if _, err := r.client.GetWorkflowHistory(r.ctx, open.GetID(), open.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next(); !errors.As(err, &gone) {
		t.Fatal(err)
	}
	next := r.start(client.StartWorkflowOptions{ID: open.GetID(), WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}, Hello, "again")
	r.result(next, nil)
	_, err := r.client.WorkflowService().DeleteWorkflowExecution(r.ctx, &workflowservice.DeleteWorkflowExecutionRequest{Namespace: "default",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "there-is-no-such-workflow"}})
	if !errors.As(err, &gone) {
		t.Fatal(err)
	}
}

func Pending(ctx workflow.Context) (int32, error) {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) { o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: time.Hour} }))
	running := workflow.ExecuteActivity(ctx, Valve)
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	var attempt int32
	err := running.Get(ctx, &attempt)
	return attempt, err
}

// An activity that has not ended starts anew in the new run.
func TestResetWithAPendingActivity(t *testing.T) {
	r := newRig(t)
	r.work(Pending, Valve)
	base := r.start(client.StartWorkflowOptions{}, Pending)
	r.untilActivity(base, "one failed attempt", func(info *workflowpb.PendingActivityInfo) bool { return info.Attempt == 2 })
	r.signal(base, "go", nil)
	finish := r.waitNth(base.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)
	opened.Store(base.GetID(), true)
	run := r.reset(base, finish.EventId)
	var attempt int32
	r.result(run, &attempt)
	if attempt != 1 {
		t.Fatal(attempt)
	}
	events := r.eventsOf(run)
	if count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) != 1 || count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED) != 1 {
		t.Fatal(types(events))
	}
}

// What later runs of the chain received comes along as well.
func TestResetOfTheFirstRunOfAChain(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	first := r.openAccount()
	r.outcome(r.update(first, "one", "add", completed, 1), 1)
	r.signal(first, "go", true)
	next := r.waitEvent(first.GetID(), first.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW).GetWorkflowExecutionContinuedAsNewEventAttributes().NewExecutionRunId
	second := r.client.GetWorkflow(r.ctx, first.GetID(), next)
	r.waitEvent(first.GetID(), next, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.outcome(r.update(second, "two", "add", completed, 2), 3)
	run := r.reset(first, 4)
	r.wantStatus(second, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.wantTypes(r.eventsOf(run)[:8], untilReset+"WorkflowExecutionUpdateAdmitted WorkflowExecutionSignaled WorkflowExecutionUpdateAdmitted WorkflowTaskScheduled")
}
