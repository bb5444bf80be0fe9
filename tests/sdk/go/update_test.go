package sdk

import (
	"errors"
	"fmt"
	"sort"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Updates: what the caller gets at which stage, and what is written of it.

// Account takes deposits as updates: "add" at once, "later" when it is released, "greeted" by an activity. It ends by
// the signal "go", as a new run when that says so.
func Account(ctx workflow.Context, total int) (int, error) {
	positive := workflow.UpdateHandlerOptions{Validator: func(amount int) error {
		if amount < 0 {
			return errors.New("a negative amount")
		}
		return nil
	}}
	add := func(ctx workflow.Context, amount int) (int, error) {
		if amount == 13 {
			return 0, temporal.NewApplicationError("unlucky", "Superstition")
		}
		total += amount
		return total, nil
	}
	later := func(ctx workflow.Context, amount int) (int, error) {
		workflow.GetSignalChannel(ctx, "release").Receive(ctx, nil)
		return add(ctx, amount)
	}
	greeted := func(ctx workflow.Context, name string) (string, error) {
		var out order
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(nil)), Echo, order{Name: name}).Get(ctx, &out)
		return out.Name, err
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, "add", add, positive); err != nil {
		return 0, err
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, "later", later, workflow.UpdateHandlerOptions{UnfinishedPolicy: workflow.HandlerUnfinishedPolicyAbandon}); err != nil {
		return 0, err
	}
	if err := workflow.SetUpdateHandler(ctx, "greeted", greeted); err != nil {
		return 0, err
	}
	var again bool
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, &again)
	if again {
		return 0, workflow.NewContinueAsNewError(ctx, Account, total)
	}
	return total, nil
}

// openAccount starts an account and waits until its worker has nothing to do.
func (r *rig) openAccount() client.WorkflowRun {
	r.t.Helper()
	run := r.start(client.StartWorkflowOptions{}, Account, 0)
	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	return run
}

func (r *rig) update(run client.WorkflowRun, id, name string, stage client.WorkflowUpdateStage, arg interface{}) client.WorkflowUpdateHandle {
	r.t.Helper()
	handle, err := r.client.UpdateWorkflow(r.ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), RunID: run.GetRunID(), UpdateID: id, UpdateName: name,
		WaitForStage: stage, Args: []interface{}{arg}})
	if err != nil {
		r.t.Fatal(err)
	}
	return handle
}

func (r *rig) outcome(handle client.WorkflowUpdateHandle, want int) {
	r.t.Helper()
	var out int
	if err := handle.Get(r.ctx, &out); err != nil || out != want {
		r.t.Fatalf("update %s: %d, %v; wanted %d", handle.UpdateID(), out, err, want)
	}
}

const (
	completed = client.WorkflowUpdateStageCompleted
	accepted  = client.WorkflowUpdateStageAccepted
)

func TestUpdate(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	r.outcome(r.update(run, "first", "add", completed, 3), 3)
	r.outcome(r.update(run, "second", "add", accepted, 4), 7)
	r.signal(run, "go", false)
	var total int
	r.result(run, &total)
	if total != 7 {
		t.Fatal(total)
	}
	events := r.eventsOf(run)
	updated := workflowTask + "WorkflowExecutionUpdateAccepted WorkflowExecutionUpdateCompleted "
	r.wantTypes(events, prologue+updated+updated+"WorkflowExecutionSignaled "+workflowTask+"WorkflowExecutionCompleted")
	taken := events[7].GetWorkflowExecutionUpdateAcceptedEventAttributes()
	if taken.ProtocolInstanceId != "first" || taken.AcceptedRequestMessageId != "first/request" || taken.AcceptedRequestSequencingEventId != 5 ||
		taken.AcceptedRequest.Meta.UpdateId != "first" || taken.AcceptedRequest.Input.Name != "add" || string(taken.AcceptedRequest.Input.Args.Payloads[0].Data) != "3" {
		t.Fatal(taken)
	}
	done := events[8].GetWorkflowExecutionUpdateCompletedEventAttributes()
	if done.Meta.UpdateId != "first" || done.AcceptedEventId != 8 || string(done.Outcome.GetSuccess().Payloads[0].Data) != "3" {
		t.Fatal(done)
	}
}

func TestUpdateRejected(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	for range 2 {
		var refused *temporal.ApplicationError
		err := r.update(run, "same", "add", completed, -1).Get(r.ctx, nil)
		if !errors.As(err, &refused) || refused.Message() != "a negative amount" {
			t.Fatal(err)
		}
		r.wantTypes(r.eventsOf(run), prologue) // nothing is left of it
	}
	r.outcome(r.update(run, "same", "add", completed, 1), 1) // nor is its id
	r.wantTypes(r.eventsOf(run), prologue+workflowTask+"WorkflowExecutionUpdateAccepted WorkflowExecutionUpdateCompleted")
}

func TestUpdateFails(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	var failed *temporal.ApplicationError
	if err := r.update(run, "unlucky", "add", completed, 13).Get(r.ctx, nil); !errors.As(err, &failed) || failed.Type() != "Superstition" {
		t.Fatal(err)
	}
	done := find(t, r.eventsOf(run), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED).GetWorkflowExecutionUpdateCompletedEventAttributes()
	if done.Outcome.GetFailure().GetApplicationFailureInfo().GetType() != "Superstition" {
		t.Fatal(done)
	}
}

func TestUpdateInTwoStages(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	handle := r.update(run, "slow", "later", accepted, 5)
	waiting := r.client.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: run.GetID(), RunID: run.GetRunID(), UpdateID: "slow"})
	r.signal(run, "release", nil)
	r.outcome(handle, 5)
	r.outcome(waiting, 5)
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+workflowTask+"WorkflowExecutionUpdateAccepted WorkflowExecutionSignaled "+workflowTask+"WorkflowExecutionUpdateCompleted")
	if done := events[12].GetWorkflowExecutionUpdateCompletedEventAttributes(); done.AcceptedEventId != 8 {
		t.Fatal(done)
	}
}

func TestUpdateByActivity(t *testing.T) {
	r := newRig(t)
	r.work(Account, Echo)
	run := r.openAccount()
	var out string
	if err := r.update(run, "hello", "greeted", completed, "Go").Get(r.ctx, &out); err != nil || out != "Go" {
		t.Fatal(out, err)
	}
	r.wantTypes(r.eventsOf(run), prologue+workflowTask+"WorkflowExecutionUpdateAccepted ActivityTaskScheduled ActivityTaskStarted ActivityTaskCompleted "+
		workflowTask+"WorkflowExecutionUpdateCompleted")
}

func TestUpdatesAreKnownByTheirID(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	r.outcome(r.update(run, "once", "add", completed, 3), 3)
	r.outcome(r.update(run, "once", "add", completed, 100), 3)
	var unknown *serviceerror.NotFound
	if err := r.client.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: run.GetID(), UpdateID: "nobody"}).Get(r.ctx, nil); !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	r.signal(run, "go", false)
	r.result(run, nil)
	r.outcome(r.update(run, "once", "add", completed, 100), 3)
	r.outcome(r.client.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: run.GetID(), RunID: run.GetRunID(), UpdateID: "once"}), 3)
	_, err := r.client.UpdateWorkflow(r.ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateID: "late", UpdateName: "add", WaitForStage: completed, Args: []interface{}{1}})
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if got := count(r.eventsOf(run), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED); got != 1 {
		t.Fatal(got)
	}
}

func TestUpdatesAtTheSameTime(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	outcomes := make(chan error, 10)
	sums := make(chan int, 10)
	for index := range 10 {
		go func() {
			handle, err := r.client.UpdateWorkflow(r.ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateID: fmt.Sprint(index), UpdateName: "add",
				WaitForStage: completed, Args: []interface{}{1}})
			var sum int
			if err == nil {
				err = handle.Get(r.ctx, &sum)
			}
			sums <- sum
			outcomes <- err
		}()
	}
	var all []int
	for range 10 {
		if err := <-outcomes; err != nil {
			t.Fatal(err)
		}
		all = append(all, <-sums)
	}
	sort.Ints(all)
	if fmt.Sprint(all) != "[1 2 3 4 5 6 7 8 9 10]" {
		t.Fatal(all)
	}
}

func TestUpdateOverWorkers(t *testing.T) {
	r := newRig(t)
	first := r.newWorker(worker.Options{}, Account)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	run := r.openAccount()
	handle := r.update(run, "slow", "later", accepted, 5)
	first.Stop()
	r.signal(run, "release", nil)
	r.work(Account)
	r.outcome(handle, 5)
	if got := count(r.eventsOf(run), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED); got != 1 {
		t.Fatal(got)
	}
}

func (r *rig) wantCutShort(handle client.WorkflowUpdateHandle) {
	r.t.Helper()
	var failed *temporal.ApplicationError
	if err := handle.Get(r.ctx, nil); !errors.As(err, &failed) || failed.Type() != "AcceptedUpdateCompletedWorkflow" || !failed.NonRetryable() {
		r.t.Fatal(err)
	}
}

func TestUpdateWhenTheWorkflowCloses(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	for _, end := range []string{"completes", "continues as new", "is terminated"} {
		run := r.openAccount()
		first := run.GetRunID()
		handle := r.update(run, "slow", "later", accepted, 5)
		if end == "is terminated" {
			if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), first, ""); err != nil {
				t.Fatal(err)
			}
		} else {
			r.signal(run, "go", end == "continues as new")
		}
		r.wantCutShort(handle)
		taken := prologue + workflowTask + "WorkflowExecutionUpdateAccepted "
		want := map[string]string{
			"completes":        taken + "WorkflowExecutionSignaled " + workflowTask + "WorkflowExecutionCompleted",
			"continues as new": taken + "WorkflowExecutionSignaled " + workflowTask + "WorkflowExecutionContinuedAsNew",
			"is terminated":    taken + "WorkflowExecutionTerminated",
		}
		r.wantTypes(r.events(run.GetID(), first), want[end])
	}
}

func (r *rig) updateWithStart(id string, conflict enumspb.WorkflowIdConflictPolicy, update string, amount int) (client.WorkflowUpdateHandle, client.WithStartWorkflowOperation, error) {
	start := r.client.NewWithStartWorkflowOperation(client.StartWorkflowOptions{ID: id, TaskQueue: r.queue, WorkflowIDConflictPolicy: conflict,
		WorkflowExecutionErrorWhenAlreadyStarted: true}, Account, 100)
	handle, err := r.client.UpdateWithStartWorkflow(r.ctx, client.UpdateWithStartWorkflowOptions{StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{UpdateID: update, UpdateName: "add", WaitForStage: completed, Args: []interface{}{amount}}})
	return handle, start, err
}

func TestUpdateWithStart(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	id := r.id()
	first, start, err := r.updateWithStart(id, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, "one", 1)
	if err != nil {
		t.Fatal(err)
	}
	r.outcome(first, 101)
	run, err := start.Get(r.ctx)
	if err != nil || run.GetRunID() != first.RunID() {
		t.Fatal(err, run)
	}
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionUpdateAccepted WorkflowExecutionUpdateCompleted")
	taken := r.eventsOf(run)[4].GetWorkflowExecutionUpdateAcceptedEventAttributes()
	if taken.AcceptedRequestSequencingEventId != 2 || taken.ProtocolInstanceId != "one" {
		t.Fatal(taken)
	}

	second, _, err := r.updateWithStart(id, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, "two", 2)
	if err != nil || second.RunID() != first.RunID() {
		t.Fatal(err)
	}
	r.outcome(second, 103)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if _, _, err = r.updateWithStart(id, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, "three", 3); !errors.As(err, &exists) {
		t.Fatal(err)
	}
	r.signal(run, "go", false)
	r.result(run, nil)
	again, _, err := r.updateWithStart(id, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, "two", 50) // answered by the closed run
	if err != nil || again.RunID() != first.RunID() {
		t.Fatal(err)
	}
	r.outcome(again, 103)
	next, _, err := r.updateWithStart(id, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, "four", 4)
	if err != nil || next.RunID() == first.RunID() {
		t.Fatal(err)
	}
	r.outcome(next, 104)
}

func TestUpdateWithStartRejected(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	id := r.id()
	handle, _, err := r.updateWithStart(id, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, "bad", -1)
	if err == nil {
		err = handle.Get(r.ctx, nil)
	}
	var refused *temporal.ApplicationError
	if !errors.As(err, &refused) || refused.Message() != "a negative amount" {
		t.Fatal(err)
	}
	r.wantTypes(r.events(id, ""), prologue) // the workflow has started all the same
}

func (r *rig) rawUpdate(run client.WorkflowRun, id string, stage enumspb.UpdateWorkflowExecutionLifecycleStage) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	return rawService.UpdateWorkflowExecution(r.ctx, &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace:         "default",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()},
		WaitPolicy:        &updatepb.WaitPolicy{LifecycleStage: stage},
		Request: &updatepb.Request{Meta: &updatepb.Meta{UpdateId: id},
			Input: &updatepb.Input{Name: "later", Args: &commonpb.Payloads{Payloads: []*commonpb.Payload{jsonPayload("1")}}}},
	})
}

func TestUpdatesInFlightAreLimited(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	for index := range 10 {
		answer, err := r.rawUpdate(run, fmt.Sprint(index), enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED)
		if err != nil || answer.Stage != enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED || answer.Outcome != nil {
			t.Fatal(answer, err)
		}
	}
	if _, err := r.rawUpdate(run, "one too many", enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED); status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	if _, err := r.rawUpdate(run, "0", enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED); status.Code(err) != codes.PermissionDenied {
		t.Fatal(err)
	}
	if _, err := r.rawUpdate(run, "3", enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED); err != nil {
		t.Fatal(err) // one that is known needs no room
	}
}

func TestResetWithAnUpdate(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	base := r.openAccount()
	r.outcome(r.update(base, "first", "add", completed, 3), 3)
	run := r.reset(base, 4)
	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
	events := r.eventsOf(run)
	r.wantTypes(events, untilReset+"WorkflowExecutionUpdateAdmitted "+workflowTask+"WorkflowExecutionUpdateAccepted WorkflowExecutionUpdateCompleted")
	admitted := events[4].GetWorkflowExecutionUpdateAdmittedEventAttributes()
	if admitted.Origin != enumspb.UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY || admitted.Request.Meta.UpdateId != "first" || admitted.Request.Input.Name != "add" {
		t.Fatal(admitted)
	}
	if taken := events[8].GetWorkflowExecutionUpdateAcceptedEventAttributes(); taken.ProtocolInstanceId != "first" {
		t.Fatal(taken)
	}
	r.outcome(r.update(run, "first", "add", completed, 99), 3) // known in the new run as well

	other := r.reset(run, 4, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE)
	r.waitEvent(other.GetID(), other.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	r.wantTypes(r.eventsOf(other), untilReset+workflowTask)
	r.signal(other, "go", false)
	var total int
	r.result(other, &total)
	if total != 0 {
		t.Fatal(total)
	}
}

func TestCrashAroundAnUpdate(t *testing.T) {
	r := newCrashRig(t)
	first := r.newWorker(worker.Options{}, Account)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	run := r.openAccount()
	r.crash(run)
	handle := r.update(run, "slow", "later", accepted, 5)
	r.crash(run) // accepted, not completed
	r.update(run, "slow", "later", accepted, 5)
	first.Stop()
	r.crash(run)
	r.signal(run, "release", nil)
	r.crash(run)
	r.work(Account)
	r.outcome(handle, 5)
	r.crash(run)
	r.outcome(r.update(run, "slow", "later", completed, 50), 5)
	r.outcome(r.update(run, "quick", "add", completed, 1), 6)
	r.crash(run)
	r.signal(run, "go", false)
	r.result(run, nil)
	r.crash(run)
	r.outcome(handle, 5)
	r.wantFlow(run, "WorkflowExecutionStarted WorkflowExecutionUpdateAccepted WorkflowExecutionSignaled WorkflowExecutionUpdateCompleted "+
		"WorkflowExecutionUpdateAccepted WorkflowExecutionUpdateCompleted WorkflowExecutionSignaled WorkflowExecutionCompleted")
}

func TestUpdateOfAPausedWorkflow(t *testing.T) {
	r := newRig(t)
	r.work(Account)
	run := r.openAccount()
	r.pauseWorkflow(run, r.id())
	if _, err := r.rawUpdate(run, "refused", enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED); status.Code(err) != codes.FailedPrecondition {
		t.Fatal(err)
	}
}
