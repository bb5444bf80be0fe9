package sdk

import (
	"errors"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Children: how they start, how they end, and what their parent reads of it. A child here waits for a signal where
// the parent's history would otherwise depend on who is faster.

const workflowTask = "WorkflowTaskScheduled WorkflowTaskStarted WorkflowTaskCompleted "

// childStarted is the parent's history up to where it knows that its one child runs.
const childStarted = prologue + "StartChildWorkflowExecutionInitiated ChildWorkflowExecutionStarted " + workflowTask

func childContext(ctx workflow.Context, id string, change func(*workflow.ChildWorkflowOptions)) workflow.Context {
	options := workflow.ChildWorkflowOptions{WorkflowID: id}
	if change != nil {
		change(&options)
	}
	return workflow.WithChildOptions(ctx, options)
}

func Gated(ctx workflow.Context, value string) (string, error) {
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return value + " done", nil
}

func GatedFailure(ctx workflow.Context) error {
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return temporal.NewApplicationError("bad child", "Bad", 7)
}

func Parent(ctx workflow.Context, id string) (out string, err error) {
	err = workflow.ExecuteChildWorkflow(childContext(ctx, id, nil), Gated, "child").Get(ctx, &out)
	return out, err
}

// letGo waits until the parent has worked on the start of its child (its second task) and the child itself waits, then
// lets the child end.
func (r *rig) letGo(parent client.WorkflowRun, child string) {
	r.t.Helper()
	r.waitNth(parent.GetID(), parent.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)
	r.waitEvent(child, "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	if err := r.client.SignalWorkflow(r.ctx, child, "", "go", nil); err != nil {
		r.t.Fatal(err)
	}
}

func TestChild(t *testing.T) {
	r := newRig(t)
	r.work(Parent, Gated)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, Parent, child)
	r.waitNth(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)

	pending := r.describe(run).PendingChildren
	if len(pending) != 1 || pending[0].WorkflowId != child || pending[0].InitiatedId != 5 || pending[0].WorkflowTypeName != "Gated" ||
		pending[0].ParentClosePolicy != enumspb.PARENT_CLOSE_POLICY_TERMINATE {
		t.Fatal(pending)
	}
	info := r.describe(r.client.GetWorkflow(r.ctx, child, "")).WorkflowExecutionInfo
	if info.ParentExecution.GetWorkflowId() != run.GetID() || info.ParentExecution.GetRunId() != run.GetRunID() ||
		info.RootExecution.GetWorkflowId() != run.GetID() || info.RootExecution.GetRunId() != run.GetRunID() {
		t.Fatal(info)
	}

	r.letGo(run, child)
	var out string
	r.result(run, &out)
	if out != "child done" {
		t.Fatal(out)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"ChildWorkflowExecutionCompleted "+workflowTask+"WorkflowExecutionCompleted")
	initiated := events[4].GetStartChildWorkflowExecutionInitiatedEventAttributes()
	if initiated.WorkflowId != child || initiated.Namespace != "default" || initiated.NamespaceId == "" || initiated.WorkflowTaskCompletedEventId != 4 ||
		initiated.ParentClosePolicy != enumspb.PARENT_CLOSE_POLICY_TERMINATE || initiated.TaskQueue.Name != r.queue ||
		initiated.WorkflowTaskTimeout.AsDuration() != 10*time.Second || initiated.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE {
		t.Fatal(initiated)
	}
	started := events[5].GetChildWorkflowExecutionStartedEventAttributes()
	if started.InitiatedEventId != 5 || started.WorkflowExecution.WorkflowId != child || started.WorkflowExecution.RunId != pending[0].RunId ||
		started.WorkflowType.Name != "Gated" {
		t.Fatal(started)
	}
	completed := events[9].GetChildWorkflowExecutionCompletedEventAttributes()
	if completed.InitiatedEventId != 5 || completed.StartedEventId != 6 || completed.WorkflowExecution.RunId != pending[0].RunId ||
		string(completed.Result.Payloads[0].Data) != `"child done"` {
		t.Fatal(completed)
	}

	history := r.events(child, pending[0].RunId)
	r.wantTypes(history, prologue+"WorkflowExecutionSignaled "+workflowTask+"WorkflowExecutionCompleted")
	begun := history[0].GetWorkflowExecutionStartedEventAttributes()
	if begun.ParentWorkflowExecution.GetWorkflowId() != run.GetID() || begun.ParentWorkflowExecution.GetRunId() != run.GetRunID() ||
		begun.ParentInitiatedEventId != 5 || begun.ParentWorkflowNamespace != "default" || begun.RootWorkflowExecution.GetRunId() != run.GetRunID() ||
		begun.FirstExecutionRunId != pending[0].RunId || begun.Identity != "" {
		t.Fatal(begun)
	}
	if history[1].EventTime.AsTime().Before(events[5].EventTime.AsTime()) {
		t.Fatal("the child's first task came before its parent knew of the start")
	}
	r.eventually("the child by its parent", func() bool {
		listed, err := r.client.ListWorkflow(r.ctx, listRequest("ParentWorkflowId = '"+run.GetID()+"' AND RootWorkflowId = '"+run.GetID()+"'"))
		return err == nil && len(listed.Executions) == 1 && listed.Executions[0].Execution.WorkflowId == child
	})
}

func Family(ctx workflow.Context, child, grandchild string) (string, error) {
	if child == "" {
		info := workflow.GetInfo(ctx)
		return info.RootWorkflowExecution.ID + " " + info.ParentWorkflowExecution.ID, nil
	}
	var out string
	err := workflow.ExecuteChildWorkflow(childContext(ctx, child, nil), Family, grandchild, "").Get(ctx, &out)
	return out, err
}

func TestGrandchildKnowsItsRoot(t *testing.T) {
	r := newRig(t)
	r.work(Family)
	child, grandchild := r.id(), r.id()
	run := r.start(client.StartWorkflowOptions{}, Family, child, grandchild)
	var out string
	r.result(run, &out)
	if out != run.GetID()+" "+child {
		t.Fatal(out)
	}
	begun := r.events(grandchild, "")[0].GetWorkflowExecutionStartedEventAttributes()
	if begun.RootWorkflowExecution.WorkflowId != run.GetID() || begun.RootWorkflowExecution.RunId != run.GetRunID() || begun.ParentWorkflowExecution.WorkflowId != child {
		t.Fatal(begun)
	}
}

func FailingParent(ctx workflow.Context, id string) error {
	return workflow.ExecuteChildWorkflow(childContext(ctx, id, nil), GatedFailure).Get(ctx, nil)
}

func TestChildFails(t *testing.T) {
	r := newRig(t)
	r.work(FailingParent, GatedFailure)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, FailingParent, child)
	r.letGo(run, child)
	err := run.Get(r.ctx, nil)
	var failed *temporal.ChildWorkflowExecutionError
	var cause *temporal.ApplicationError
	var detail int
	if !errors.As(err, &failed) || !errors.As(err, &cause) || cause.Type() != "Bad" || cause.Details(&detail) != nil || detail != 7 {
		t.Fatal(err)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"ChildWorkflowExecutionFailed "+workflowTask+"WorkflowExecutionFailed")
	attributes := events[9].GetChildWorkflowExecutionFailedEventAttributes()
	if attributes.InitiatedEventId != 5 || attributes.StartedEventId != 6 || attributes.RetryState != enumspb.RETRY_STATE_RETRY_POLICY_NOT_SET ||
		attributes.Failure.GetApplicationFailureInfo().GetType() != "Bad" || attributes.Failure.Message != "bad child" {
		t.Fatal(attributes)
	}
}

func RetryingParent(ctx workflow.Context, id string) (attempt int32, err error) {
	ctx = childContext(ctx, id, func(options *workflow.ChildWorkflowOptions) {
		options.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumAttempts: 3}
	})
	err = workflow.ExecuteChildWorkflow(ctx, FailsOnce).Get(ctx, &attempt)
	return attempt, err
}

// The parent hears of the whole chain of runs once, at its end.
func TestChildIsRetried(t *testing.T) {
	r := newRig(t)
	r.work(RetryingParent, FailsOnce)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, RetryingParent, child)
	var attempt int32
	r.result(run, &attempt)
	if attempt != 2 {
		t.Fatal(attempt)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"ChildWorkflowExecutionCompleted "+workflowTask+"WorkflowExecutionCompleted")
	policy := events[4].GetStartChildWorkflowExecutionInitiatedEventAttributes().RetryPolicy
	if policy.MaximumAttempts != 3 || policy.BackoffCoefficient != 2 || policy.MaximumInterval.AsDuration() != 10*time.Second {
		t.Fatal(policy)
	}
	first := events[5].GetChildWorkflowExecutionStartedEventAttributes().WorkflowExecution.RunId
	last := events[9].GetChildWorkflowExecutionCompletedEventAttributes().WorkflowExecution.RunId
	begun := r.events(child, last)[0].GetWorkflowExecutionStartedEventAttributes()
	if first == last || begun.FirstExecutionRunId != first || begun.Attempt != 2 || begun.ParentWorkflowExecution.GetRunId() != run.GetRunID() || begun.ParentInitiatedEventId != 5 {
		t.Fatal(begun)
	}
}

func CountingParent(ctx workflow.Context, id string) (out string, err error) {
	err = workflow.ExecuteChildWorkflow(childContext(ctx, id, nil), Countdown, 2).Get(ctx, &out)
	return out, err
}

func TestChildContinuesAsNew(t *testing.T) {
	r := newRig(t)
	r.work(CountingParent, Countdown)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, CountingParent, child)
	var out string
	r.result(run, &out)
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"ChildWorkflowExecutionCompleted "+workflowTask+"WorkflowExecutionCompleted")
	if first := events[5].GetChildWorkflowExecutionStartedEventAttributes().WorkflowExecution.RunId; out != first {
		t.Fatal(out, first)
	}
	last := events[9].GetChildWorkflowExecutionCompletedEventAttributes().WorkflowExecution.RunId
	if begun := r.events(child, last)[0].GetWorkflowExecutionStartedEventAttributes(); begun.FirstExecutionRunId != out || begun.ParentInitiatedEventId != 5 || last == out {
		t.Fatal(begun)
	}
}

func ImpatientParent(ctx workflow.Context, id string) error {
	ctx = childContext(ctx, id, func(options *workflow.ChildWorkflowOptions) { options.WorkflowRunTimeout = time.Second })
	return workflow.ExecuteChildWorkflow(ctx, Gated, "late").Get(ctx, nil)
}

func TestChildTimesOut(t *testing.T) {
	r := newRig(t)
	r.work(ImpatientParent, Gated)
	run := r.start(client.StartWorkflowOptions{}, ImpatientParent, r.id())
	var late *temporal.TimeoutError
	if err := run.Get(r.ctx, nil); !errors.As(err, &late) || late.TimeoutType() != enumspb.TIMEOUT_TYPE_START_TO_CLOSE {
		t.Fatal(err)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"ChildWorkflowExecutionTimedOut "+workflowTask+"WorkflowExecutionFailed")
	if attributes := events[9].GetChildWorkflowExecutionTimedOutEventAttributes(); attributes.RetryState != enumspb.RETRY_STATE_RETRY_POLICY_NOT_SET || attributes.StartedEventId != 6 {
		t.Fatal(attributes)
	}
}

func TestChildTerminated(t *testing.T) {
	r := newRig(t)
	r.work(Parent, Gated)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, Parent, child)
	r.waitNth(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)
	if err := r.client.TerminateWorkflow(r.ctx, child, "", "no more"); err != nil {
		t.Fatal(err)
	}
	var terminated *temporal.TerminatedError
	if err := run.Get(r.ctx, nil); !errors.As(err, &terminated) {
		t.Fatal(err)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"ChildWorkflowExecutionTerminated "+workflowTask+"WorkflowExecutionFailed")
	if attributes := events[9].GetChildWorkflowExecutionTerminatedEventAttributes(); attributes.InitiatedEventId != 5 || attributes.StartedEventId != 6 {
		t.Fatal(attributes)
	}
}

// CancellingParent cancels its child as soon as the signal says so, and tells how that looked to it.
func CancellingParent(ctx workflow.Context, id string) (string, error) {
	inner, cancel := workflow.WithCancel(ctx)
	child := workflow.ExecuteChildWorkflow(childContext(inner, id, func(options *workflow.ChildWorkflowOptions) {
		options.WaitForCancellation = true
		options.ParentClosePolicy = enumspb.PARENT_CLOSE_POLICY_ABANDON
	}), Stubborn)
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	cancel()
	if err := child.Get(ctx, nil); !temporal.IsCanceledError(err) {
		return "", err
	}
	return "cancelled", nil
}

// Stubborn ends as cancelled, but only when its time has come.
func Stubborn(ctx workflow.Context) error {
	_ = workflow.NewTimer(ctx, time.Hour).Get(ctx, nil)
	cleanup, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	workflow.GetSignalChannel(cleanup, "go").Receive(cleanup, nil)
	return ctx.Err()
}

func TestChildCancelled(t *testing.T) {
	r := newRig(t)
	r.work(CancellingParent, Stubborn)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, CancellingParent, child)
	r.letGo(run, run.GetID())
	r.waitNth(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 4) // the parent has seen that its request arrived
	if err := r.client.SignalWorkflow(r.ctx, child, "", "go", nil); err != nil {
		t.Fatal(err)
	}
	var out string
	r.result(run, &out)
	events := r.eventsOf(run)
	r.wantTypes(events, childStarted+"WorkflowExecutionSignaled "+workflowTask+"RequestCancelExternalWorkflowExecutionInitiated ExternalWorkflowExecutionCancelRequested "+
		workflowTask+"ChildWorkflowExecutionCanceled "+workflowTask+"WorkflowExecutionCompleted")
	request := find(t, events, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
	if attributes := request.GetRequestCancelExternalWorkflowExecutionInitiatedEventAttributes(); !attributes.ChildWorkflowOnly || attributes.WorkflowExecution.WorkflowId != child {
		t.Fatal(attributes)
	}
	requested := find(t, events, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED).GetExternalWorkflowExecutionCancelRequestedEventAttributes()
	if requested.InitiatedEventId != request.EventId {
		t.Fatal(requested)
	}
	if attributes := find(t, events, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED).GetChildWorkflowExecutionCanceledEventAttributes(); attributes.InitiatedEventId != 5 || attributes.StartedEventId != 6 {
		t.Fatal(attributes)
	}
	asked := find(t, r.events(child, ""), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED).GetWorkflowExecutionCancelRequestedEventAttributes()
	if asked.ExternalWorkflowExecution.GetWorkflowId() != run.GetID() || asked.ExternalInitiatedEventId != request.EventId || asked.Identity != "history-service" {
		t.Fatal(asked)
	}
}

// Policies starts a child for each of the three policies and ends when it is told to.
func Policies(ctx workflow.Context, id, end string) error {
	for index := 1; index <= 3; index++ {
		policy := enumspb.ParentClosePolicy(index)
		child := childContext(ctx, id+policy.String(), func(options *workflow.ChildWorkflowOptions) { options.ParentClosePolicy = policy })
		if err := workflow.ExecuteChildWorkflow(child, Gated, "never").GetChildWorkflowExecution().Get(ctx, nil); err != nil {
			return err
		}
	}
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	switch end {
	case "fail":
		return errors.New("on purpose")
	case "continue":
		return workflow.NewContinueAsNewError(ctx, Hello, "next")
	}
	return nil
}

func TestParentClosePolicies(t *testing.T) {
	for _, end := range []string{"complete", "fail", "continue", "terminate"} {
		t.Run(end, func(t *testing.T) {
			r := newRig(t)
			r.work(Policies, Gated, Hello)
			prefix := r.id()
			run := r.start(client.StartWorkflowOptions{}, Policies, prefix, end)
			first := run.GetRunID()
			r.waitNth(run.GetID(), first, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 4)
			if end == "terminate" {
				if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), first, "enough"); err != nil {
					t.Fatal(err)
				}
			} else {
				r.signal(run, "go", nil)
			}
			_ = run.Get(r.ctx, nil)

			terminated := r.waitEvent(prefix+"Terminate", "", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED).GetWorkflowExecutionTerminatedEventAttributes()
			if terminated.Identity != "history-service" || terminated.Reason == "" {
				t.Fatal(terminated)
			}
			asked := r.waitEvent(prefix+"RequestCancel", "", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED).GetWorkflowExecutionCancelRequestedEventAttributes()
			if asked.ExternalWorkflowExecution.GetWorkflowId() != run.GetID() || asked.ExternalWorkflowExecution.GetRunId() != first || asked.Identity != "history-service" {
				t.Fatal(asked)
			}
			r.waitEvent(prefix+"Abandon", "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
			if err := r.client.SignalWorkflow(r.ctx, prefix+"Abandon", "", "go", nil); err != nil {
				t.Fatal(err)
			}
			r.result(r.client.GetWorkflow(r.ctx, prefix+"Abandon", ""), nil)
			r.wantTypes(r.events(prefix+"Abandon", ""), prologue+"WorkflowExecutionSignaled "+workflowTask+"WorkflowExecutionCompleted")
		})
	}
}

func HastyParent(ctx workflow.Context, id string) error {
	ctx = childContext(ctx, id, func(options *workflow.ChildWorkflowOptions) {
		options.ParentClosePolicy = enumspb.PARENT_CLOSE_POLICY_ABANDON
	})
	workflow.ExecuteChildWorkflow(ctx, Gated, "never")
	return nil
}

// A parent that closes in the task that asked for the child closes before the child is there: so none is started.
func TestParentClosesBeforeTheStart(t *testing.T) {
	r := newRig(t)
	r.work(HastyParent, Gated)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{}, HastyParent, child)
	r.result(run, nil)
	r.wantTypes(r.eventsOf(run), prologue+"StartChildWorkflowExecutionInitiated WorkflowExecutionCompleted")
	if _, err := r.client.DescribeWorkflowExecution(r.ctx, child, ""); err == nil {
		t.Fatal("the child exists")
	}
}

func ConflictingParent(ctx workflow.Context, id string) (string, error) {
	err := workflow.ExecuteChildWorkflow(childContext(ctx, id, nil), Gated, "second").Get(ctx, nil)
	var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
	if !errors.As(err, &taken) {
		return "", err
	}
	return "taken", nil
}

func TestChildIDIsTaken(t *testing.T) {
	r := newRig(t)
	r.work(ConflictingParent, Gated)
	holder := r.start(client.StartWorkflowOptions{}, Gated, "first")
	run := r.start(client.StartWorkflowOptions{}, ConflictingParent, holder.GetID())
	var out string
	r.result(run, &out)
	if out != "taken" {
		t.Fatal(out)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"StartChildWorkflowExecutionInitiated StartChildWorkflowExecutionFailed "+workflowTask+"WorkflowExecutionCompleted")
	failed := events[5].GetStartChildWorkflowExecutionFailedEventAttributes()
	if failed.Cause != enumspb.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS || failed.InitiatedEventId != 5 || failed.WorkflowId != holder.GetID() {
		t.Fatal(failed)
	}
	r.wantStatus(holder, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
}

func ManyChildren(ctx workflow.Context, number int) (int, error) {
	var children []workflow.Future
	for index := 0; index < number; index++ {
		children = append(children, workflow.ExecuteChildWorkflow(ctx, Hello, "child"))
	}
	for index, child := range children {
		if err := child.Get(ctx, nil); err != nil {
			return index, err
		}
	}
	return number, nil
}

func TestManyChildren(t *testing.T) {
	r := newRig(t)
	r.work(ManyChildren, Hello)
	run := r.start(client.StartWorkflowOptions{}, ManyChildren, 50)
	var number int
	r.result(run, &number)
	events := r.eventsOf(run)
	for _, kind := range []enumspb.EventType{enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED} {
		if got := count(events, kind); got != 50 || number != 50 {
			t.Fatalf("%d %s", got, kind)
		}
	}
}

// Signals and cancel requests between workflows.

func Signaller(ctx workflow.Context, target, name string) error {
	return workflow.SignalExternalWorkflow(ctx, target, "", name, "from outside").Get(ctx, nil)
}

func Receiver(ctx workflow.Context) (text string, err error) {
	workflow.GetSignalChannel(ctx, "put").Receive(ctx, &text)
	return text, nil
}

func TestExternalSignal(t *testing.T) {
	r := newRig(t)
	r.work(Signaller, Receiver)
	receiver := r.start(client.StartWorkflowOptions{}, Receiver)
	r.waitEvent(receiver.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	run := r.start(client.StartWorkflowOptions{}, Signaller, receiver.GetID(), "put")
	var text string
	r.result(receiver, &text)
	r.result(run, nil)
	if text != "from outside" {
		t.Fatal(text)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"SignalExternalWorkflowExecutionInitiated ExternalWorkflowExecutionSignaled "+workflowTask+"WorkflowExecutionCompleted")
	initiated := events[4].GetSignalExternalWorkflowExecutionInitiatedEventAttributes()
	if initiated.WorkflowExecution.WorkflowId != receiver.GetID() || initiated.SignalName != "put" || initiated.WorkflowTaskCompletedEventId != 4 || initiated.ChildWorkflowOnly {
		t.Fatal(initiated)
	}
	if signaled := events[5].GetExternalWorkflowExecutionSignaledEventAttributes(); signaled.InitiatedEventId != 5 ||
		signaled.WorkflowExecution.WorkflowId != receiver.GetID() || signaled.WorkflowExecution.RunId != "" {
		t.Fatal(signaled)
	}
	history := r.eventsOf(receiver)
	r.wantTypes(history, prologue+"WorkflowExecutionSignaled "+workflowTask+"WorkflowExecutionCompleted")
	put := history[4].GetWorkflowExecutionSignaledEventAttributes()
	if put.Identity != "history-service" || put.ExternalWorkflowExecution.GetWorkflowId() != run.GetID() || put.ExternalWorkflowExecution.GetRunId() != run.GetRunID() {
		t.Fatal(put)
	}
}

func SelfSignaller(ctx workflow.Context) error {
	return workflow.SignalExternalWorkflow(ctx, workflow.GetInfo(ctx).WorkflowExecution.ID, "", "put", nil).Get(ctx, nil)
}

func (r *rig) wantNotDelivered(run client.WorkflowRun) {
	r.t.Helper()
	var unknown *temporal.ApplicationError
	if err := run.Get(r.ctx, nil); !errors.As(err, &unknown) || unknown.Type() != "UnknownExternalWorkflowExecutionError" {
		r.t.Fatal(err)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"SignalExternalWorkflowExecutionInitiated SignalExternalWorkflowExecutionFailed "+workflowTask+"WorkflowExecutionFailed")
	failed := events[5].GetSignalExternalWorkflowExecutionFailedEventAttributes()
	if failed.Cause != enumspb.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND || failed.InitiatedEventId != 5 {
		r.t.Fatal(failed)
	}
}

func TestExternalSignalToNobody(t *testing.T) {
	r := newRig(t)
	r.work(Signaller, SelfSignaller, Hello)
	closed := r.start(client.StartWorkflowOptions{}, Hello, "closed")
	r.result(closed, nil)
	r.wantNotDelivered(r.start(client.StartWorkflowOptions{}, Signaller, "there-is-no-such-workflow", "put"))
	r.wantNotDelivered(r.start(client.StartWorkflowOptions{}, Signaller, closed.GetID(), "put"))
	r.wantNotDelivered(r.start(client.StartWorkflowOptions{}, SelfSignaller))
}

func SignallingParent(ctx workflow.Context, id string) (out string, err error) {
	child := workflow.ExecuteChildWorkflow(childContext(ctx, id, nil), Receiver)
	if err = child.SignalChildWorkflow(ctx, "put", "from my parent").Get(ctx, nil); err != nil {
		return "", err
	}
	err = child.Get(ctx, &out)
	return out, err
}

func TestSignalToAChild(t *testing.T) {
	r := newRig(t)
	r.work(SignallingParent, Receiver)
	run := r.start(client.StartWorkflowOptions{}, SignallingParent, r.id())
	var out string
	r.result(run, &out)
	initiated := find(t, r.eventsOf(run), enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED).GetSignalExternalWorkflowExecutionInitiatedEventAttributes()
	if out != "from my parent" || !initiated.ChildWorkflowOnly {
		t.Fatal(out, initiated)
	}
}

func Canceller(ctx workflow.Context, target string) error {
	return workflow.RequestCancelExternalWorkflow(ctx, target, "").Get(ctx, nil)
}

func TestExternalCancel(t *testing.T) {
	r := newRig(t)
	r.work(Canceller, Sleeper)
	target := r.start(client.StartWorkflowOptions{}, Sleeper)
	r.waitEvent(target.GetID(), "", enumspb.EVENT_TYPE_TIMER_STARTED)
	run := r.start(client.StartWorkflowOptions{}, Canceller, target.GetID())
	r.result(run, nil)
	if err := target.Get(r.ctx, nil); !temporal.IsCanceledError(err) {
		t.Fatal(err)
	}
	sent := prologue + "RequestCancelExternalWorkflowExecutionInitiated ExternalWorkflowExecutionCancelRequested " + workflowTask + "WorkflowExecutionCompleted"
	r.wantTypes(r.eventsOf(run), sent)
	history := r.eventsOf(target)
	r.wantTypes(history, prologue+"TimerStarted WorkflowExecutionCancelRequested "+workflowTask+"TimerCanceled WorkflowExecutionCanceled")
	asked := history[5].GetWorkflowExecutionCancelRequestedEventAttributes()
	if asked.ExternalWorkflowExecution.GetRunId() != run.GetRunID() || asked.ExternalInitiatedEventId != 5 || asked.Identity != "history-service" {
		t.Fatal(asked)
	}
	again := r.start(client.StartWorkflowOptions{}, Canceller, target.GetID()) // a closed one is cancelled as far as anybody can tell
	r.result(again, nil)
	r.wantTypes(r.eventsOf(again), sent)
}

func TestExternalCancelOfNobody(t *testing.T) {
	r := newRig(t)
	r.work(Canceller)
	run := r.start(client.StartWorkflowOptions{}, Canceller, "there-is-no-such-workflow")
	var unknown *temporal.ApplicationError
	if err := run.Get(r.ctx, nil); !errors.As(err, &unknown) || unknown.Type() != "UnknownExternalWorkflowExecutionError" {
		t.Fatal(err)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"RequestCancelExternalWorkflowExecutionInitiated RequestCancelExternalWorkflowExecutionFailed "+workflowTask+"WorkflowExecutionFailed")
	failed := events[5].GetRequestCancelExternalWorkflowExecutionFailedEventAttributes()
	if failed.Cause != enumspb.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND || failed.InitiatedEventId != 5 {
		t.Fatal(failed)
	}
}
