package sdk

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// What an operator does to activities and to workflows from outside: pause, go on, reset, change of options.

// opened holds the workflow ids whose activities may succeed from now on.
var opened sync.Map

// Valve fails until its workflow's id is opened, and answers with the attempt that succeeded.
func Valve(ctx context.Context) (int32, error) {
	info := activity.GetInfo(ctx)
	if _, open := opened.Load(info.WorkflowExecution.ID); !open {
		return 0, errors.New("closed")
	}
	return info.Attempt, nil
}

// Observer heartbeats until it is told something, which is what it fails with; its second attempt succeeds.
func Observer(ctx context.Context) (int32, error) {
	info := activity.GetInfo(ctx)
	if _, open := opened.Load(info.WorkflowExecution.ID); open {
		return info.Attempt, nil
	}
	for {
		activity.RecordHeartbeat(ctx, "here")
		select {
		case <-ctx.Done():
			return 0, temporal.NewApplicationError(context.Cause(ctx).Error(), "Told")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func OperatedFlow(ctx workflow.Context, name string) (out int32, err error) {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) {
		o.ActivityID = "operated"
		o.HeartbeatTimeout = 3 * time.Second
		o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: time.Hour}
	}))
	err = workflow.ExecuteActivity(ctx, name).Get(ctx, &out)
	return out, err
}

func (r *rig) pendingActivity(run client.WorkflowRun) *workflowpb.PendingActivityInfo {
	r.t.Helper()
	pending := r.describe(run).PendingActivities
	if len(pending) != 1 {
		r.t.Fatal(pending)
	}
	return pending[0]
}

func (r *rig) untilActivity(run client.WorkflowRun, what string, look func(*workflowpb.PendingActivityInfo) bool) *workflowpb.PendingActivityInfo {
	r.t.Helper()
	var last *workflowpb.PendingActivityInfo
	r.until(what, func() bool {
		if pending := r.describe(run).PendingActivities; len(pending) == 1 {
			last = pending[0]
			return look(last)
		}
		return false
	})
	return last
}

// backingOff starts a workflow whose activity has failed once and has an hour to wait.
func (r *rig) backingOff() client.WorkflowRun {
	r.t.Helper()
	run := r.start(client.StartWorkflowOptions{}, OperatedFlow, "Valve")
	info := r.untilActivity(run, "one failed attempt", func(info *workflowpb.PendingActivityInfo) bool {
		return info.Attempt == 2 && info.State == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED
	})
	if info.LastFailure.GetMessage() != "closed" || info.CurrentRetryInterval.AsDuration().Round(time.Second) != time.Hour || info.NextAttemptScheduleTime == nil {
		r.t.Fatal(info)
	}
	return run
}

func (r *rig) pauseActivity(run client.WorkflowRun) {
	r.t.Helper()
	_, err := r.client.WorkflowService().PauseActivity(r.ctx, &workflowservice.PauseActivityRequest{Namespace: "default", Identity: "an operator", Reason: "to see",
		Execution: execution(run), Activity: &workflowservice.PauseActivityRequest_Id{Id: "operated"}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) unpauseActivity(run client.WorkflowRun, resetAttempts bool) {
	r.t.Helper()
	_, err := r.client.WorkflowService().UnpauseActivity(r.ctx, &workflowservice.UnpauseActivityRequest{Namespace: "default", Identity: "an operator",
		Execution: execution(run), Activity: &workflowservice.UnpauseActivityRequest_Id{Id: "operated"}, ResetAttempts: resetAttempts})
	if err != nil {
		r.t.Fatal(err)
	}
}

func execution(run client.WorkflowRun) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()}
}

// wantAttempt lets the activity succeed, and looks at the history of a workflow that had one activity.
func (r *rig) wantAttempt(run client.WorkflowRun, attempt int32) {
	r.t.Helper()
	var out int32
	r.result(run, &out)
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"ActivityTaskScheduled ActivityTaskStarted ActivityTaskCompleted "+workflowTask+"WorkflowExecutionCompleted")
	if started := events[5].GetActivityTaskStartedEventAttributes(); out != attempt || started.Attempt != attempt || started.ScheduledEventId != 5 {
		r.t.Fatal(out, started)
	}
}

func TestActivityPauseWhileItWaits(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Valve)
	run := r.backingOff()
	r.pauseActivity(run)
	r.pauseActivity(run) // a second time changes nothing
	info := r.pendingActivity(run)
	if info.State != enumspb.PENDING_ACTIVITY_STATE_PAUSED || !info.Paused || info.PauseInfo.GetManual().GetIdentity() != "an operator" ||
		info.PauseInfo.GetManual().GetReason() != "to see" || info.PauseInfo.PauseTime == nil || info.Attempt != 2 {
		t.Fatal(info)
	}
	before := types(r.eventsOf(run))
	opened.Store(run.GetID(), true)
	r.unpauseActivity(run, false)
	r.wantAttempt(run, 2)
	if before != prologue+"ActivityTaskScheduled" {
		t.Fatal(before)
	}
}

func TestActivityUnpauseWithFreshAttempts(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Valve)
	run := r.backingOff()
	r.pauseActivity(run)
	opened.Store(run.GetID(), true)
	r.unpauseActivity(run, true)
	r.wantAttempt(run, 1)
}

func TestActivityPauseWhileItRuns(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Observer)
	run := r.start(client.StartWorkflowOptions{}, OperatedFlow, "Observer")
	r.untilActivity(run, "it runs", func(info *workflowpb.PendingActivityInfo) bool {
		return info.State == enumspb.PENDING_ACTIVITY_STATE_STARTED
	})
	r.pauseActivity(run)
	info := r.untilActivity(run, "it heard of the pause", func(info *workflowpb.PendingActivityInfo) bool {
		return info.State == enumspb.PENDING_ACTIVITY_STATE_PAUSED
	})
	if info.Attempt != 2 || info.LastFailure.GetMessage() != activity.ErrActivityPaused.Error() {
		t.Fatal(info)
	}
	opened.Store(run.GetID(), true)
	r.unpauseActivity(run, false)
	r.wantAttempt(run, 2)
}

func TestActivityReset(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Valve)
	run := r.backingOff()
	opened.Store(run.GetID(), true)
	_, err := r.client.WorkflowService().ResetActivity(r.ctx, &workflowservice.ResetActivityRequest{Namespace: "default", Execution: execution(run),
		Activity: &workflowservice.ResetActivityRequest_Id{Id: "operated"}})
	if err != nil {
		t.Fatal(err)
	}
	r.wantAttempt(run, 1)
}

func TestActivityResetWhileItRuns(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Observer)
	run := r.start(client.StartWorkflowOptions{}, OperatedFlow, "Observer")
	r.untilActivity(run, "it runs", func(info *workflowpb.PendingActivityInfo) bool {
		return info.State == enumspb.PENDING_ACTIVITY_STATE_STARTED
	})
	_, err := r.client.WorkflowService().ResetActivity(r.ctx, &workflowservice.ResetActivityRequest{Namespace: "default", Execution: execution(run),
		Activity: &workflowservice.ResetActivityRequest_Id{Id: "operated"}})
	if err != nil {
		t.Fatal(err)
	}
	info := r.untilActivity(run, "it heard of the reset", func(info *workflowpb.PendingActivityInfo) bool { return info.LastFailure != nil })
	if info.LastFailure.GetMessage() != activity.ErrActivityReset.Error() {
		t.Fatal(info)
	}
}

func (r *rig) activityOptions(run client.WorkflowRun, restore bool, changed *activitypb.ActivityOptions, paths ...string) *activitypb.ActivityOptions {
	r.t.Helper()
	request := &workflowservice.UpdateActivityOptionsRequest{Namespace: "default", Execution: execution(run), ActivityOptions: changed, RestoreOriginal: restore,
		Activity: &workflowservice.UpdateActivityOptionsRequest_Id{Id: "operated"}}
	if !restore {
		request.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	answer, err := r.client.WorkflowService().UpdateActivityOptions(r.ctx, request)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.ActivityOptions
}

func TestActivityOptions(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Valve)
	run := r.backingOff()
	merged := r.activityOptions(run, false, &activitypb.ActivityOptions{StartToCloseTimeout: durationpb.New(77 * time.Second),
		RetryPolicy: &commonpb.RetryPolicy{MaximumAttempts: 9, InitialInterval: durationpb.New(time.Minute)}}, "start_to_close_timeout", "retry_policy.maximum_attempts")
	if merged.StartToCloseTimeout.AsDuration() != 77*time.Second || merged.RetryPolicy.MaximumAttempts != 9 ||
		merged.RetryPolicy.InitialInterval.AsDuration() != time.Hour || merged.TaskQueue.Name != r.queue || merged.HeartbeatTimeout.AsDuration() != 3*time.Second {
		t.Fatal(merged)
	}
	info := r.pendingActivity(run)
	if info.MaximumAttempts != 9 || info.ActivityOptions.GetStartToCloseTimeout().AsDuration() != 77*time.Second || info.Attempt != 2 {
		t.Fatal(info)
	}
	restored := r.activityOptions(run, true, nil)
	if restored.RetryPolicy.MaximumAttempts != 0 || restored.StartToCloseTimeout.AsDuration() == 77*time.Second {
		t.Fatal(restored)
	}
	opened.Store(run.GetID(), true)
	r.activityOptions(run, false, &activitypb.ActivityOptions{RetryPolicy: &commonpb.RetryPolicy{InitialInterval: durationpb.New(time.Second)}}, "retryPolicy.initialInterval")
	r.wantAttempt(run, 2) // the wait is as long as the new policy says
}

func TestActivityOperatorOfNobody(t *testing.T) {
	r := newRig(t)
	r.work(OperatedFlow, Valve, Hello)
	run := r.backingOff()
	closed := r.start(client.StartWorkflowOptions{}, Hello, "closed")
	r.result(closed, nil)
	for _, target := range []*workflowservice.PauseActivityRequest{
		{Execution: execution(run), Activity: &workflowservice.PauseActivityRequest_Id{Id: "another"}},
		{Execution: execution(closed), Activity: &workflowservice.PauseActivityRequest_Id{Id: "operated"}},
		{Execution: &commonpb.WorkflowExecution{WorkflowId: "there-is-no-such-workflow"}, Activity: &workflowservice.PauseActivityRequest_Id{Id: "operated"}},
	} {
		target.Namespace = "default"
		var unknown *serviceerror.NotFound
		if _, err := r.client.WorkflowService().PauseActivity(r.ctx, target); !errors.As(err, &unknown) {
			t.Fatal(err)
		}
	}
}

// Workflows.

func (r *rig) pauseWorkflow(run client.WorkflowRun, request string) {
	r.t.Helper()
	_, err := r.client.WorkflowService().PauseWorkflowExecution(r.ctx, &workflowservice.PauseWorkflowExecutionRequest{Namespace: "default", WorkflowId: run.GetID(),
		RunId: run.GetRunID(), Identity: "an operator", Reason: "to see", RequestId: request})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) unpauseWorkflow(run client.WorkflowRun) {
	r.t.Helper()
	_, err := r.client.WorkflowService().UnpauseWorkflowExecution(r.ctx, &workflowservice.UnpauseWorkflowExecutionRequest{Namespace: "default", WorkflowId: run.GetID(),
		RunId: run.GetRunID(), Identity: "an operator", Reason: "seen", RequestId: r.id()})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestWorkflowPause(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	run := r.start(client.StartWorkflowOptions{}, Mailbox)
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	request := r.id()
	r.pauseWorkflow(run, request)
	r.pauseWorkflow(run, request) // the same request a second time is the same pause
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED)
	r.signal(run, "put", "while paused")
	rejected, err := r.client.QueryWorkflowWithOptions(r.ctx, &client.QueryWorkflowWithOptionsRequest{WorkflowID: run.GetID(), QueryType: "count"})
	if err != nil || rejected.QueryRejected.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED {
		t.Fatal(rejected, err)
	}
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionPaused WorkflowExecutionSignaled")
	paused := r.eventsOf(run)[4].GetWorkflowExecutionPausedEventAttributes()
	if paused.Identity != "an operator" || paused.Reason != "to see" || paused.RequestId != request {
		t.Fatal(paused)
	}
	r.unpauseWorkflow(run)
	r.waitNth(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2)
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionPaused WorkflowExecutionSignaled WorkflowExecutionUnpaused "+workflowTask)
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	r.wantMessages(run, "while paused")
}

func TestWorkflowOptions(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	run := r.start(client.StartWorkflowOptions{}, Mailbox)
	r.waitEvent(run.GetID(), "", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	answer, err := r.client.WorkflowService().UpdateWorkflowExecutionOptions(r.ctx, &workflowservice.UpdateWorkflowExecutionOptionsRequest{Namespace: "default",
		WorkflowExecution: execution(run), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"priority.priority_key"}},
		WorkflowExecutionOptions: &workflowpb.WorkflowExecutionOptions{Priority: &commonpb.Priority{PriorityKey: 2, FairnessKey: "not in the mask"}}})
	if err != nil || answer.WorkflowExecutionOptions.Priority.PriorityKey != 2 || answer.WorkflowExecutionOptions.Priority.FairnessKey != "" {
		t.Fatal(answer, err)
	}
	if priority := r.describe(run).WorkflowExecutionInfo.Priority; priority.GetPriorityKey() != 2 {
		t.Fatal(priority)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"WorkflowExecutionOptionsUpdated")
	if updated := events[4].GetWorkflowExecutionOptionsUpdatedEventAttributes(); updated.Priority.GetPriorityKey() != 2 {
		t.Fatal(updated)
	}
	r.wantMessages(run, "")
}
