package sdk

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

type order struct {
	Name  string
	Count int
	Raw   []byte
}

func Echo(_ context.Context, in order) (order, error) {
	in.Count++
	return in, nil
}

func FailUntil(ctx context.Context, attempt int32) (int32, error) {
	if now := activity.GetInfo(ctx).Attempt; now < attempt {
		return 0, temporal.NewApplicationError("not yet", "NotYet", now)
	}
	return activity.GetInfo(ctx).Attempt, nil
}

func FailForGood(context.Context) error {
	return temporal.NewNonRetryableApplicationError("for good", "Fatal", errors.New("inner"), "detail")
}

func FailWithDelay(ctx context.Context) (int32, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		return 0, temporal.NewApplicationErrorWithOptions("soon", "Soon", temporal.ApplicationErrorOptions{NextRetryDelay: 50 * time.Millisecond})
	}
	return activity.GetInfo(ctx).Attempt, nil
}

func Resume(ctx context.Context) (int, error) {
	if activity.HasHeartbeatDetails(ctx) {
		var done int
		err := activity.GetHeartbeatDetails(ctx, &done)
		return done, err
	}
	activity.RecordHeartbeat(ctx, 42)
	return 0, errors.New("crashed after the heartbeat")
}

func UntilCancelled(ctx context.Context) (string, error) {
	for {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			return "", temporal.NewCanceledError("cleaned up")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func Stuck(ctx context.Context) error {
	select {
	case <-time.After(5 * time.Second):
	case <-activity.GetWorkerStopChannel(ctx):
	}
	return nil
}

func options(change func(*workflow.ActivityOptions)) workflow.ActivityOptions {
	given := workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond},
	}
	if change != nil {
		change(&given)
	}
	return given
}

func EchoFlow(ctx workflow.Context, in order) (out order, err error) {
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(nil)), Echo, in).Get(ctx, &out)
	return
}

func RetryFlow(ctx workflow.Context, attempt, maximum int32) (out int32, err error) {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) { o.RetryPolicy.MaximumAttempts = maximum }))
	err = workflow.ExecuteActivity(ctx, FailUntil, attempt).Get(ctx, &out)
	return
}

func TestActivity(t *testing.T) {
	r := newRig(t)
	r.work(EchoFlow, Echo)
	run := r.start(client.StartWorkflowOptions{}, EchoFlow, order{Name: "a", Count: 1, Raw: []byte{0, 255}})
	var out order
	r.result(run, &out)
	if out.Count != 2 || string(out.Raw) != "\x00\xff" {
		t.Fatal(out)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+"ActivityTaskScheduled ActivityTaskStarted ActivityTaskCompleted WorkflowTaskScheduled WorkflowTaskStarted WorkflowTaskCompleted WorkflowExecutionCompleted")
	scheduled := events[4].GetActivityTaskScheduledEventAttributes()
	if scheduled.StartToCloseTimeout.AsDuration() != 10*time.Second || scheduled.RetryPolicy.InitialInterval.AsDuration() != 50*time.Millisecond ||
		scheduled.RetryPolicy.MaximumInterval.AsDuration() != 5*time.Second || scheduled.ScheduleToCloseTimeout == nil {
		t.Fatal(scheduled)
	}
	completed := events[6].GetActivityTaskCompletedEventAttributes()
	if completed.ScheduledEventId != 5 || completed.StartedEventId != 6 || !samePayloads(completed.Result, events[10].GetWorkflowExecutionCompletedEventAttributes().Result) {
		t.Fatal(completed)
	}
}

func TestActivityRetry(t *testing.T) {
	r := newRig(t)
	r.work(RetryFlow, FailUntil)
	run := r.start(client.StartWorkflowOptions{}, RetryFlow, int32(4), int32(0))
	var attempt int32
	r.result(run, &attempt)
	if attempt != 4 {
		t.Fatal(attempt)
	}
	started := find(t, r.eventsOf(run), enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED).GetActivityTaskStartedEventAttributes()
	if started.Attempt != 4 || started.LastFailure.GetApplicationFailureInfo().GetType() != "NotYet" {
		t.Fatal(started)
	}
}

func TestActivityRetriesExhausted(t *testing.T) {
	r := newRig(t)
	r.work(RetryFlow, FailUntil)
	err := r.start(client.StartWorkflowOptions{}, RetryFlow, int32(9), int32(2)).Get(r.ctx, nil)
	var failed *temporal.ActivityError
	var cause *temporal.ApplicationError
	if !errors.As(err, &failed) || failed.RetryState() != enumspb.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED || !errors.As(err, &cause) {
		t.Fatal(err)
	}
}

func NonRetryableFlow(ctx workflow.Context) error {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(nil)), FailForGood).Get(ctx, nil)
}

func TestActivityNonRetryable(t *testing.T) {
	r := newRig(t)
	r.work(NonRetryableFlow, FailForGood)
	err := r.start(client.StartWorkflowOptions{}, NonRetryableFlow).Get(r.ctx, nil)
	var cause *temporal.ApplicationError
	var detail string
	var failed *temporal.ActivityError
	if !errors.As(err, &failed) || failed.RetryState() != enumspb.RETRY_STATE_NON_RETRYABLE_FAILURE {
		t.Fatal(err)
	}
	if !errors.As(failed.Unwrap(), &cause) || cause.Type() != "Fatal" || cause.Details(&detail) != nil || detail != "detail" || cause.Unwrap() == nil {
		t.Fatal(err)
	}
}

func NonRetryableTypeFlow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) { o.RetryPolicy.NonRetryableErrorTypes = []string{"NotYet"} }))
	return workflow.ExecuteActivity(ctx, FailUntil, int32(5)).Get(ctx, nil)
}

func TestActivityNonRetryableType(t *testing.T) {
	r := newRig(t)
	r.work(NonRetryableTypeFlow, FailUntil)
	err := r.start(client.StartWorkflowOptions{}, NonRetryableTypeFlow).Get(r.ctx, nil)
	var failed *temporal.ActivityError
	if !errors.As(err, &failed) || failed.RetryState() != enumspb.RETRY_STATE_NON_RETRYABLE_FAILURE {
		t.Fatal(err)
	}
}

func DelayFlow(ctx workflow.Context) (out int32, err error) {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) {
		o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: time.Hour, MaximumInterval: time.Hour}
	}))
	err = workflow.ExecuteActivity(ctx, FailWithDelay).Get(ctx, &out)
	return
}

func TestNextRetryDelay(t *testing.T) {
	r := newRig(t)
	r.work(DelayFlow, FailWithDelay)
	var attempt int32
	r.result(r.start(client.StartWorkflowOptions{}, DelayFlow), &attempt)
	if attempt != 2 {
		t.Fatal(attempt)
	}
}

func ResumeFlow(ctx workflow.Context) (out int, err error) {
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(nil)), Resume).Get(ctx, &out)
	return
}

func TestHeartbeatDetails(t *testing.T) {
	r := newRig(t)
	r.work(ResumeFlow, Resume)
	var done int
	r.result(r.start(client.StartWorkflowOptions{}, ResumeFlow), &done)
	if done != 42 {
		t.Fatal(done)
	}
}

func CancelActivityFlow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) {
		o.WaitForCancellation = true
		o.HeartbeatTimeout = 2 * time.Second
	}))
	inner, cancel := workflow.WithCancel(ctx)
	future := workflow.ExecuteActivity(inner, UntilCancelled)
	_ = workflow.Sleep(ctx, 300*time.Millisecond)
	cancel()
	err := future.Get(ctx, nil)
	var canceled *temporal.CanceledError
	if !errors.As(err, &canceled) {
		return errors.New("not cancelled")
	}
	return nil
}

func TestActivityCancellation(t *testing.T) {
	r := newRig(t)
	r.work(CancelActivityFlow, UntilCancelled)
	run := r.start(client.StartWorkflowOptions{}, CancelActivityFlow)
	r.result(run, nil)
	events := r.eventsOf(run)
	find(t, events, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
	canceled := find(t, events, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED).GetActivityTaskCanceledEventAttributes()
	if canceled.StartedEventId == 0 || canceled.LatestCancelRequestedEventId == 0 {
		t.Fatal(canceled)
	}
}

func TimeoutFlow(ctx workflow.Context, kind string) error {
	once := &temporal.RetryPolicy{MaximumAttempts: 1}
	given := map[string]workflow.ActivityOptions{
		"StartToClose":    {StartToCloseTimeout: 300 * time.Millisecond, RetryPolicy: once},
		"Heartbeat":       {StartToCloseTimeout: 20 * time.Second, HeartbeatTimeout: 400 * time.Millisecond, RetryPolicy: once},
		"ScheduleToClose": {ScheduleToCloseTimeout: 500 * time.Millisecond, StartToCloseTimeout: 20 * time.Second},
		"ScheduleToStart": {ScheduleToStartTimeout: 300 * time.Millisecond, StartToCloseTimeout: 20 * time.Second, TaskQueue: "nobody-polls-this"},
	}[kind]
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, given), Stuck).Get(ctx, nil)
}

func TestActivityTimeouts(t *testing.T) {
	for kind, want := range map[string]enumspb.TimeoutType{
		"StartToClose": enumspb.TIMEOUT_TYPE_START_TO_CLOSE, "Heartbeat": enumspb.TIMEOUT_TYPE_HEARTBEAT,
		"ScheduleToClose": enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, "ScheduleToStart": enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START,
	} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			r.work(TimeoutFlow, Stuck)
			run := r.start(client.StartWorkflowOptions{}, TimeoutFlow, kind)
			err := run.Get(r.ctx, nil)
			var timeout *temporal.TimeoutError
			if !errors.As(err, &timeout) || timeout.TimeoutType() != want {
				t.Fatal(err)
			}
			find(t, r.eventsOf(run), enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
		})
	}
}

var tokens sync.Map

func Elsewhere(ctx context.Context) (string, error) {
	tokens.Store(activity.GetInfo(ctx).WorkflowExecution.ID, activity.GetInfo(ctx).TaskToken)
	return "", activity.ErrResultPending
}

func ElsewhereFlow(ctx workflow.Context) (out string, err error) {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) { o.ActivityID = "the-id" }))
	err = workflow.ExecuteActivity(ctx, Elsewhere).Get(ctx, &out)
	return
}

func TestCompletionFromElsewhere(t *testing.T) {
	for _, kind := range []string{"token", "id"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			r.work(ElsewhereFlow, Elsewhere)
			run := r.start(client.StartWorkflowOptions{}, ElsewhereFlow)
			var token []byte
			r.until("the activity started", func() bool {
				found, ok := tokens.Load(run.GetID())
				if ok {
					token = found.([]byte)
				}
				return ok
			})
			var err error
			if kind == "token" {
				err = r.client.RecordActivityHeartbeat(r.ctx, token, "alive")
				if err == nil {
					err = r.client.CompleteActivity(r.ctx, token, "by token", nil)
				}
			} else {
				err = r.client.RecordActivityHeartbeatByID(r.ctx, "default", run.GetID(), run.GetRunID(), "the-id", "alive")
				if err == nil {
					err = r.client.CompleteActivityByID(r.ctx, "default", run.GetID(), run.GetRunID(), "the-id", "by id", nil)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			var out string
			r.result(run, &out)
			if out != "by "+kind {
				t.Fatal(out)
			}
		})
	}
}

func PendingFlow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) {
		o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: time.Hour, MaximumAttempts: 7}
	}))
	return workflow.ExecuteActivity(ctx, FailUntil, int32(99)).Get(ctx, nil)
}

func TestDescribePendingActivities(t *testing.T) {
	r := newRig(t)
	r.work(PendingFlow, FailUntil)
	run := r.start(client.StartWorkflowOptions{}, PendingFlow)
	r.until("the second attempt waits", func() bool {
		pending := r.describe(run).PendingActivities
		return len(pending) == 1 && pending[0].Attempt == 2
	})
	pending := r.describe(run).PendingActivities[0]
	if pending.State != enumspb.PENDING_ACTIVITY_STATE_SCHEDULED || pending.MaximumAttempts != 7 || pending.ActivityType.Name != "FailUntil" ||
		pending.LastFailure.GetApplicationFailureInfo().GetType() != "NotYet" || time.Until(pending.NextAttemptScheduleTime.AsTime()) < 50*time.Minute {
		t.Fatal(pending)
	}
	if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), "", "done"); err != nil {
		t.Fatal(err)
	}
}

func ManyActivitiesFlow(ctx workflow.Context, number int) (sum int, err error) {
	ctx = workflow.WithActivityOptions(ctx, options(nil))
	var futures []workflow.Future
	for index := 0; index < number; index++ {
		futures = append(futures, workflow.ExecuteActivity(ctx, Echo, order{Count: index}))
	}
	for _, future := range futures {
		var out order
		if err = future.Get(ctx, &out); err != nil {
			return
		}
		sum += out.Count
	}
	return
}

// With the same queue for both, the SDK asks for eager activities; however they are dispatched, each runs once.
func TestManyActivities(t *testing.T) {
	r := newRig(t)
	var runs sync.Map
	w := r.newWorker(worker.Options{MaxConcurrentEagerActivityExecutionSize: 5}, ManyActivitiesFlow)
	w.RegisterActivityWithOptions(func(ctx context.Context, in order) (order, error) {
		info := activity.GetInfo(ctx)
		if _, twice := runs.LoadOrStore([2]interface{}{info.ActivityID, info.Attempt}, true); twice {
			return in, temporal.NewNonRetryableApplicationError("this attempt ran twice", "Twice", nil)
		}
		return Echo(ctx, in)
	}, activity.RegisterOptions{Name: "Echo"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run := r.start(client.StartWorkflowOptions{}, ManyActivitiesFlow, 50)
	var sum int
	r.result(run, &sum)
	if sum != 50*49/2+50 || count(r.eventsOf(run), enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED) != 50 {
		t.Fatal(sum)
	}
}
