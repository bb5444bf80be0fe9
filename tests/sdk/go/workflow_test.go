package sdk

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func Hello(_ workflow.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}

func TestHello(t *testing.T) {
	r := newRig(t)
	r.work(Hello)
	run := r.start(client.StartWorkflowOptions{}, Hello, "Go")
	var out string
	r.result(run, &out)
	if out != "Hello, Go!" {
		t.Fatal(out)
	}
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionCompleted")
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
}

func TestWorkerComesLater(t *testing.T) {
	r := newRig(t)
	var runs []client.WorkflowRun
	for index := 0; index < 20; index++ {
		runs = append(runs, r.start(client.StartWorkflowOptions{}, Hello, fmt.Sprint(index)))
	}
	r.work(Hello)
	for index, run := range runs {
		var out string
		r.result(run, &out)
		if out != fmt.Sprintf("Hello, %d!", index) {
			t.Fatal(out)
		}
	}
}

func Fails(workflow.Context) error {
	return temporal.NewApplicationError("bad", "Bad", 1, "two")
}

func TestFailure(t *testing.T) {
	r := newRig(t)
	r.work(Fails)
	run := r.start(client.StartWorkflowOptions{}, Fails)
	err := run.Get(r.ctx, nil)
	var failed *temporal.ApplicationError
	var one int
	var two string
	if !errors.As(err, &failed) || failed.Type() != "Bad" || failed.Details(&one, &two) != nil || one != 1 || two != "two" {
		t.Fatal(err)
	}
	events := r.eventsOf(run)
	if events[4].GetWorkflowExecutionFailedEventAttributes().RetryState != enumspb.RETRY_STATE_RETRY_POLICY_NOT_SET {
		t.Fatal(events[4])
	}
}

func FailsOnce(ctx workflow.Context) (int32, error) {
	if attempt := workflow.GetInfo(ctx).Attempt; attempt > 1 {
		return attempt, nil
	}
	return 0, errors.New("first attempt")
}

func TestWorkflowRetry(t *testing.T) {
	r := newRig(t)
	r.work(FailsOnce)
	run := r.start(client.StartWorkflowOptions{RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond}}, FailsOnce)
	first := run.GetRunID()
	var attempt int32
	r.result(run, &attempt)
	failed := find(t, r.events(run.GetID(), first), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED).GetWorkflowExecutionFailedEventAttributes()
	second := r.events(run.GetID(), failed.NewExecutionRunId)[0].GetWorkflowExecutionStartedEventAttributes()
	if attempt != 2 || failed.RetryState != enumspb.RETRY_STATE_IN_PROGRESS || second.Attempt != 2 || second.FirstExecutionRunId != first ||
		second.ContinuedExecutionRunId != first || second.Initiator != enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY {
		t.Fatal(attempt, failed, second)
	}
}

// Signals.

func Mailbox(ctx workflow.Context) ([]string, error) {
	var messages []string
	if err := workflow.SetQueryHandler(ctx, "count", func() (int, error) { return len(messages), nil }); err != nil {
		return nil, err
	}
	if err := workflow.SetQueryHandler(ctx, "broken", func() (int, error) { return 0, errors.New("broken query") }); err != nil {
		return nil, err
	}
	closed := false
	for !closed {
		selector := workflow.NewSelector(ctx)
		selector.AddReceive(workflow.GetSignalChannel(ctx, "put"), func(channel workflow.ReceiveChannel, _ bool) {
			var message string
			channel.Receive(ctx, &message)
			messages = append(messages, message)
		})
		selector.AddReceive(workflow.GetSignalChannel(ctx, "close"), func(channel workflow.ReceiveChannel, _ bool) {
			channel.Receive(ctx, nil)
			closed = true
		})
		selector.Select(ctx)
	}
	return messages, nil
}

func (r *rig) signal(run client.WorkflowRun, name string, value interface{}) {
	r.t.Helper()
	if err := r.client.SignalWorkflow(r.ctx, run.GetID(), run.GetRunID(), name, value); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) query(run client.WorkflowRun, name string) int {
	r.t.Helper()
	value, err := r.client.QueryWorkflow(r.ctx, run.GetID(), run.GetRunID(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	var out int
	if err := value.Get(&out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

func TestSignalsAndQueries(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	run := r.start(client.StartWorkflowOptions{}, Mailbox)
	for index := 0; index < 10; index++ {
		r.signal(run, "put", fmt.Sprint(index))
		if got := r.query(run, "count"); got != index+1 {
			t.Fatalf("after %d signals the query saw %d", index+1, got)
		}
	}
	_, err := r.client.QueryWorkflow(r.ctx, run.GetID(), "", "broken")
	var failed *serviceerror.QueryFailed
	if !errors.As(err, &failed) || !strings.Contains(failed.Error(), "broken query") {
		t.Fatal(err)
	}
	if _, err = r.client.QueryWorkflow(r.ctx, run.GetID(), "", "unknown"); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	stack, err := r.client.QueryWorkflow(r.ctx, run.GetID(), "", client.QueryTypeStackTrace)
	var text string
	if err != nil || stack.Get(&text) != nil || !strings.Contains(text, "Mailbox") {
		t.Fatal(err, text)
	}
	r.signal(run, "close", nil)
	var messages []string
	r.result(run, &messages)
	if strings.Join(messages, "") != "0123456789" {
		t.Fatal(messages)
	}
	if got := r.query(run, "count"); got != 10 {
		t.Fatal(got)
	}
	rejected, err := r.client.QueryWorkflowWithOptions(r.ctx, &client.QueryWorkflowWithOptionsRequest{
		WorkflowID: run.GetID(), QueryType: "count", QueryRejectCondition: enumspb.QUERY_REJECT_CONDITION_NOT_OPEN})
	if err != nil || rejected.QueryRejected.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		t.Fatal(err, rejected)
	}
	var gone *serviceerror.NotFound
	if err := r.client.SignalWorkflow(r.ctx, run.GetID(), "", "put", "late"); !errors.As(err, &gone) {
		t.Fatal(err)
	}
}

func TestSignalWithStart(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	id := r.id()
	var run client.WorkflowRun
	for index := 0; index < 3; index++ {
		var err error
		run, err = r.client.SignalWithStartWorkflow(r.ctx, id, "put", fmt.Sprint(index), client.StartWorkflowOptions{TaskQueue: r.queue}, Mailbox)
		if err != nil {
			t.Fatal(err)
		}
	}
	r.signal(run, "close", nil)
	var messages []string
	r.result(run, &messages)
	if strings.Join(messages, "") != "012" {
		t.Fatal(messages)
	}
	r.wantTypes(r.eventsOf(run)[:3], "WorkflowExecutionStarted WorkflowExecutionSignaled WorkflowTaskScheduled")
}

func TestQueryWithoutWorker(t *testing.T) {
	r := newRig(t)
	w := r.newWorker(worker.Options{}, Mailbox)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	run := r.start(client.StartWorkflowOptions{}, Mailbox)
	r.signal(run, "put", "a")
	if got := r.query(run, "count"); got != 1 {
		t.Fatal(got)
	}
	w.Stop()
	r.work(Mailbox)
	if got := r.query(run, "count"); got != 1 {
		t.Fatal(got)
	}
	r.signal(run, "close", nil)
	r.result(run, nil)
}

// Timers and cancellation.

func Timers(ctx workflow.Context) (string, error) {
	inner, cancel := workflow.WithCancel(ctx)
	long := workflow.NewTimer(inner, time.Hour)
	begun := workflow.Now(ctx)
	if err := workflow.Sleep(ctx, 500*time.Millisecond); err != nil {
		return "", err
	}
	if slept := workflow.Now(ctx).Sub(begun); slept < 500*time.Millisecond {
		return "", fmt.Errorf("slept only %s", slept)
	}
	cancel()
	if err := long.Get(ctx, nil); !temporal.IsCanceledError(err) {
		return "", errors.New("the timer was not cancelled")
	}
	return "ok", nil
}

func TestTimers(t *testing.T) {
	r := newRig(t)
	r.work(Timers)
	run := r.start(client.StartWorkflowOptions{}, Timers)
	r.result(run, nil)
	events := r.eventsOf(run)
	fired := find(t, events, enumspb.EVENT_TYPE_TIMER_FIRED)
	started := events[fired.GetTimerFiredEventAttributes().StartedEventId-1]
	if fired.EventTime.AsTime().Sub(started.EventTime.AsTime()) < 499*time.Millisecond {
		t.Fatal("early")
	}
	find(t, events, enumspb.EVENT_TYPE_TIMER_CANCELED)
}

func Sleeper(ctx workflow.Context) error {
	return workflow.Sleep(ctx, time.Hour)
}

func TestCancel(t *testing.T) {
	r := newRig(t)
	r.work(Sleeper)
	run := r.start(client.StartWorkflowOptions{}, Sleeper)
	for index := 0; index < 2; index++ {
		if err := r.client.CancelWorkflow(r.ctx, run.GetID(), run.GetRunID()); err != nil {
			t.Fatal(err)
		}
	}
	var canceled *temporal.CanceledError
	if err := run.Get(r.ctx, nil); !errors.As(err, &canceled) {
		t.Fatal(err)
	}
	if count(r.eventsOf(run), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED) != 1 {
		t.Fatal("two requests, two events")
	}
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED)
}

func TestTerminate(t *testing.T) {
	r := newRig(t)
	run := r.start(client.StartWorkflowOptions{}, Sleeper)
	if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), "", "because", "detail"); err != nil {
		t.Fatal(err)
	}
	var terminated *temporal.TerminatedError
	if err := run.Get(r.ctx, nil); !errors.As(err, &terminated) {
		t.Fatal(err)
	}
	r.wantTypes(r.eventsOf(run), "WorkflowExecutionStarted WorkflowTaskScheduled WorkflowExecutionTerminated")
	var gone *serviceerror.NotFound
	if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), "", "again"); !errors.As(err, &gone) {
		t.Fatal(err)
	}
}

func TestRunTimeout(t *testing.T) {
	r := newRig(t)
	r.work(Sleeper)
	run := r.start(client.StartWorkflowOptions{WorkflowRunTimeout: time.Second}, Sleeper)
	var timeout *temporal.TimeoutError
	if err := run.Get(r.ctx, nil); !errors.As(err, &timeout) {
		t.Fatal(err)
	}
	r.wantStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT)
}

// Starting.

func TestIDPolicies(t *testing.T) {
	r := newRig(t)
	id := r.id()
	first := r.start(client.StartWorkflowOptions{ID: id}, Sleeper)
	_, err := r.client.ExecuteWorkflow(r.ctx, client.StartWorkflowOptions{ID: id, TaskQueue: r.queue, WorkflowExecutionErrorWhenAlreadyStarted: true}, Sleeper)
	var taken *serviceerror.WorkflowExecutionAlreadyStarted
	if !errors.As(err, &taken) || taken.RunId != first.GetRunID() || taken.StartRequestId == "" {
		t.Fatal(err)
	}
	joined := r.start(client.StartWorkflowOptions{ID: id}, Sleeper)
	if joined.GetRunID() != first.GetRunID() {
		t.Fatal("the SDK returns the running one by default")
	}
	replaced := r.start(client.StartWorkflowOptions{ID: id, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING}, Sleeper)
	if replaced.GetRunID() == first.GetRunID() {
		t.Fatal("not replaced")
	}
	r.wantStatus(first, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	if err := r.client.TerminateWorkflow(r.ctx, id, "", ""); err != nil {
		t.Fatal(err)
	}
	_, err = r.client.ExecuteWorkflow(r.ctx, client.StartWorkflowOptions{ID: id, TaskQueue: r.queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}, Sleeper)
	if !errors.As(err, &taken) || taken.RunId != replaced.GetRunID() {
		t.Fatal(err)
	}
}

func TestStartDelay(t *testing.T) {
	r := newRig(t)
	r.work(Hello)
	before := time.Now()
	run := r.start(client.StartWorkflowOptions{StartDelay: time.Second}, Hello, "late")
	r.result(run, nil)
	if time.Since(before) < time.Second {
		t.Fatal("early")
	}
	started := r.eventsOf(run)[0].GetWorkflowExecutionStartedEventAttributes()
	if started.FirstWorkflowTaskBackoff.AsDuration() != time.Second {
		t.Fatal(started)
	}
}

func TestEagerStart(t *testing.T) {
	r := newRig(t)
	own, err := client.Dial(client.Options{HostPort: address, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	r.client = own
	r.work(Hello)
	run := r.start(client.StartWorkflowOptions{EnableEagerStart: true}, Hello, "eager")
	r.result(run, nil)
	started := r.eventsOf(run)[0].GetWorkflowExecutionStartedEventAttributes()
	if !started.EagerExecutionAccepted {
		t.Fatal("the eager start was not granted")
	}
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowExecutionCompleted")
}

func TestMemoAndMetadata(t *testing.T) {
	r := newRig(t)
	user := temporal.NewSearchAttributeKeyKeyword("BatcherUser")
	upserts := func(ctx workflow.Context) error {
		if err := workflow.UpsertMemo(ctx, map[string]interface{}{"b": 2}); err != nil {
			return err
		}
		return workflow.UpsertTypedSearchAttributes(ctx, user.ValueSet("changed"))
	}
	w := r.newWorker(worker.Options{})
	w.RegisterWorkflowWithOptions(upserts, workflow.RegisterOptions{Name: "upserts"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run := r.start(client.StartWorkflowOptions{Memo: map[string]interface{}{"a": 1}, StaticSummary: "sum",
		TypedSearchAttributes: temporal.NewSearchAttributes(user.ValueSet("given"))}, "upserts")
	r.result(run, nil)
	described := r.describe(run)
	memo := described.WorkflowExecutionInfo.Memo.Fields
	if string(memo["a"].Data) != "1" || string(memo["b"].Data) != "2" || len(memo) != 2 {
		t.Fatal(memo)
	}
	value := described.WorkflowExecutionInfo.SearchAttributes.IndexedFields["BatcherUser"]
	if string(value.GetData()) != `"changed"` || string(value.GetMetadata()["type"]) != "Keyword" {
		t.Fatal(value)
	}
	if string(described.ExecutionConfig.UserMetadata.Summary.Data) != `"sum"` {
		t.Fatal(described.ExecutionConfig)
	}
	if count(r.eventsOf(run), enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES) != 1 || count(r.eventsOf(run), enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED) != 1 {
		t.Fatal(types(r.eventsOf(run)))
	}
}

// Chains.

func Countdown(ctx workflow.Context, left int) (string, error) {
	if left > 0 {
		return "", workflow.NewContinueAsNewError(ctx, Countdown, left-1)
	}
	return workflow.GetInfo(ctx).FirstRunID, nil
}

func TestContinueAsNew(t *testing.T) {
	r := newRig(t)
	r.work(Countdown)
	run := r.start(client.StartWorkflowOptions{}, Countdown, 2)
	first := run.GetRunID()
	var out string
	r.result(run, &out)
	if out != first {
		t.Fatal(out, first)
	}
	r.wantTypes(r.events(run.GetID(), first), prologue+"WorkflowExecutionContinuedAsNew")
	next := r.events(run.GetID(), first)[4].GetWorkflowExecutionContinuedAsNewEventAttributes().NewExecutionRunId
	started := r.events(run.GetID(), next)[0].GetWorkflowExecutionStartedEventAttributes()
	if started.ContinuedExecutionRunId != first || started.Initiator != enumspb.CONTINUE_AS_NEW_INITIATOR_WORKFLOW {
		t.Fatal(started)
	}
}

func Cron(ctx workflow.Context) (int, error) {
	last := 0
	if workflow.HasLastCompletionResult(ctx) {
		if err := workflow.GetLastCompletionResult(ctx, &last); err != nil {
			return 0, err
		}
	}
	return last + 1, nil
}

func TestCron(t *testing.T) {
	r := newRig(t)
	r.work(Cron)
	run := r.start(client.StartWorkflowOptions{CronSchedule: "@every 1s"}, Cron)
	runID := run.GetRunID()
	for want := 1; want <= 2; want++ {
		event := r.waitEvent(run.GetID(), runID, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
		completed := event.GetWorkflowExecutionCompletedEventAttributes()
		if string(completed.Result.Payloads[0].Data) != fmt.Sprint(want) || completed.NewExecutionRunId == "" {
			t.Fatal(completed)
		}
		runID = completed.NewExecutionRunId
	}
	if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), "", "enough"); err != nil {
		t.Fatal(err)
	}
}

// Markers.

func MarkersFlow(ctx workflow.Context) (out []int32, err error) {
	version := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 3)
	var random int
	if err = workflow.SideEffect(ctx, func(workflow.Context) interface{} { return 7 }).Get(&random); err != nil {
		return
	}
	var mutable int
	err = workflow.MutableSideEffect(ctx, "m", func(workflow.Context) interface{} { return 8 }, func(a, b interface{}) bool { return a == b }).Get(&mutable)
	if err != nil {
		return
	}
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond}})
	var attempt int32
	if err = workflow.ExecuteLocalActivity(local, FailUntil, int32(2)).Get(ctx, &attempt); err != nil {
		return
	}
	if err = workflow.Sleep(ctx, 50*time.Millisecond); err != nil {
		return
	}
	return []int32{int32(version), int32(random), int32(mutable), attempt}, nil
}

func TestMarkersAndReplay(t *testing.T) {
	r := newRig(t)
	r.work(MarkersFlow, FailUntil)
	run := r.start(client.StartWorkflowOptions{}, MarkersFlow)
	var out []int32
	r.result(run, &out)
	if fmt.Sprint(out) != "[3 7 8 2]" {
		t.Fatal(out)
	}
	events := r.eventsOf(run)
	names := map[string]int{}
	for _, event := range events {
		if marker := event.GetMarkerRecordedEventAttributes(); marker != nil {
			names[marker.MarkerName]++
		}
	}
	if names["Version"] != 1 || names["SideEffect"] != 1 || names["MutableSideEffect"] != 1 || names["LocalActivity"] != 1 {
		t.Fatal(names)
	}
	described := r.describe(run)
	if value := described.WorkflowExecutionInfo.SearchAttributes.GetIndexedFields()["TemporalChangeVersion"]; !strings.Contains(string(value.GetData()), "change-3") {
		t.Fatal(value)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(MarkersFlow)
	if err := replayer.ReplayWorkflowHistory(quiet{}, &historypb.History{Events: events}); err != nil {
		t.Fatal(err)
	}
}

func slowLocal() (string, error) {
	time.Sleep(5 * time.Second) // longer than the task's timeout: the subject of the test
	return "slow", nil
}

func SlowLocalFlow(ctx workflow.Context) (out string, err error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 20 * time.Second})
	err = workflow.ExecuteLocalActivity(ctx, slowLocal).Get(ctx, &out)
	return
}

func TestLocalActivityHeartbeatsItsTask(t *testing.T) {
	r := newRig(t)
	r.work(SlowLocalFlow)
	run := r.start(client.StartWorkflowOptions{WorkflowTaskTimeout: 3 * time.Second}, SlowLocalFlow)
	r.result(run, nil)
	events := r.eventsOf(run)
	if count(events, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) < 2 || count(events, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT) != 0 {
		t.Fatal(types(events))
	}
}

// Broken code.

var panics atomic.Bool

func Panics(workflow.Context) (string, error) {
	if panics.Load() {
		panic("a bug")
	}
	return "fixed", nil
}

func TestPanicFailsTheTaskNotTheWorkflow(t *testing.T) {
	r := newRig(t)
	panics.Store(true)
	r.work(Panics)
	run := r.start(client.StartWorkflowOptions{WorkflowTaskTimeout: time.Second}, Panics)
	failed := r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED).GetWorkflowTaskFailedEventAttributes()
	if failed.Cause != enumspb.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE || !strings.Contains(failed.Failure.Message, "a bug") {
		t.Fatal(failed)
	}
	panics.Store(false)
	var out string
	r.result(run, &out)
	if out != "fixed" {
		t.Fatal(out)
	}
}

var changed atomic.Bool

func Changes(ctx workflow.Context) error {
	if changed.Load() {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		return nil
	}
	_ = workflow.NewTimer(ctx, time.Hour)
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return nil
}

func TestNonDeterminismIsReported(t *testing.T) {
	r := newRig(t)
	first := r.newWorker(worker.Options{}, Changes)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	run := r.start(client.StartWorkflowOptions{}, Changes)
	r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_TIMER_STARTED)
	first.Stop()
	changed.Store(true)
	if err := r.client.SignalWorkflow(r.ctx, run.GetID(), "", "go", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.WorkflowService().ResetStickyTaskQueue(r.ctx, resetSticky(run)); err != nil {
		t.Fatal(err)
	}
	r.work(Changes)
	failed := r.waitEvent(run.GetID(), run.GetRunID(), enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED).GetWorkflowTaskFailedEventAttributes()
	if failed.Cause != enumspb.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR {
		t.Fatal(failed)
	}
	if err := r.client.TerminateWorkflow(r.ctx, run.GetID(), "", "done"); err != nil {
		t.Fatal(err)
	}
	r.workflows = nil // what broke determinism on purpose does not replay
}

func resetSticky(run client.WorkflowRun) *workflowservice.ResetStickyTaskQueueRequest {
	return &workflowservice.ResetStickyTaskQueueRequest{Namespace: "default",
		Execution: &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()}}
}

// A long history, and many at once.

func LongFlow(ctx workflow.Context, activities int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, options(nil))
	for index := 0; index < activities; index++ {
		if err := workflow.ExecuteActivity(ctx, Echo, order{Count: index}).Get(ctx, nil); err != nil {
			return 0, err
		}
	}
	return int(workflow.GetInfo(ctx).GetCurrentHistoryLength()), nil
}

func TestLongHistory(t *testing.T) {
	r := newRig(t)
	r.work(LongFlow, Echo)
	run := r.start(client.StartWorkflowOptions{}, LongFlow, 90)
	var length int
	r.result(run, &length)
	events := r.eventsOf(run)
	if length < 500 || len(events) < length || count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED) != 90 {
		t.Fatal(length, len(events))
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(LongFlow)
	if err := replayer.ReplayWorkflowHistory(quiet{}, &historypb.History{Events: events}); err != nil {
		t.Fatal(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	r.work(EchoFlow, Echo)
	var runs []client.WorkflowRun
	for index := 0; index < 100; index++ {
		runs = append(runs, r.start(client.StartWorkflowOptions{}, EchoFlow, order{Count: index}))
	}
	for index, run := range runs {
		var out order
		r.result(run, &out)
		if out.Count != index+1 {
			t.Fatal(out)
		}
	}
}

// The server's own answers.

func TestListAndCount(t *testing.T) {
	r := newRig(t)
	for index := 0; index < 5; index++ {
		r.start(client.StartWorkflowOptions{}, Sleeper)
	}
	query := fmt.Sprintf("TaskQueue = '%s' AND WorkflowType = 'Sleeper' AND ExecutionStatus = 'Running'", r.queue)
	r.eventually("five runs", func() bool {
		counted, err := r.client.CountWorkflow(r.ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		if err != nil {
			t.Fatal(err)
		}
		return counted.Count == 5
	})
	seen := map[string]bool{}
	var token []byte
	for {
		page, err := r.client.ListWorkflow(r.ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: 2, NextPageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range page.Executions {
			seen[info.Execution.WorkflowId] = true
		}
		if token = page.NextPageToken; len(token) == 0 {
			break
		}
	}
	if len(seen) != 5 {
		t.Fatal(seen)
	}
	var bad *serviceerror.InvalidArgument
	if _, err := r.client.ListWorkflow(r.ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "nonsense ="}); !errors.As(err, &bad) {
		t.Fatal(err)
	}
}

func TestNamespaces(t *testing.T) {
	r := newRig(t)
	namespaces, err := client.NewNamespaceClient(client.Options{HostPort: address, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(namespaces.Close)
	name := r.queue
	request := &workflowservice.RegisterNamespaceRequest{Namespace: name, WorkflowExecutionRetentionPeriod: day()}
	if err := namespaces.Register(r.ctx, request); err != nil {
		t.Fatal(err)
	}
	var exists *serviceerror.NamespaceAlreadyExists
	if err := namespaces.Register(r.ctx, request); !errors.As(err, &exists) {
		t.Fatal(err)
	}
	described, err := namespaces.Describe(r.ctx, name)
	if err != nil || described.NamespaceInfo.Name != name || described.NamespaceInfo.State != enumspb.NAMESPACE_STATE_REGISTERED {
		t.Fatal(err, described)
	}
	var unknown *serviceerror.NamespaceNotFound
	if _, err := namespaces.Describe(r.ctx, name+"-unknown"); !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	var unknownOrMissing error
	_, unknownOrMissing = r.client.WorkflowService().DescribeWorkflowExecution(r.ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: name + "-unknown", Execution: &commonpb.WorkflowExecution{WorkflowId: "x"}})
	if !errors.As(unknownOrMissing, &unknown) {
		t.Fatal(unknownOrMissing)
	}
}

func TestWorkerOfAnUnknownNamespaceDoesNotStart(t *testing.T) {
	r := newRig(t)
	other, err := client.NewClientFromExisting(r.client, client.Options{Namespace: r.queue, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(other, r.queue, worker.Options{})
	w.RegisterWorkflow(Hello)
	var unknown *serviceerror.NamespaceNotFound
	if err := w.Start(); !errors.As(err, &unknown) {
		t.Fatal(err)
	}
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	if _, err := r.client.CheckHealth(r.ctx, &client.CheckHealthRequest{}); err != nil {
		t.Fatal(err)
	}
	info, err := r.client.WorkflowService().GetSystemInfo(r.ctx, &workflowservice.GetSystemInfoRequest{})
	if err != nil || !info.Capabilities.EagerWorkflowStart || !info.Capabilities.SdkMetadata {
		t.Fatal(err, info)
	}
}

func TestSession(t *testing.T) {
	r := newRig(t)
	w := r.newWorker(worker.Options{EnableSessionWorker: true}, SessionFlow, Echo)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run := r.start(client.StartWorkflowOptions{}, SessionFlow)
	var total int
	r.result(run, &total)
	if total != 6 {
		t.Fatal(total)
	}
}

// SessionFlow pins three activities to one worker, on a task queue of that worker's own.
func SessionFlow(ctx workflow.Context) (total int, err error) {
	ctx = workflow.WithActivityOptions(ctx, options(nil))
	session, err := workflow.CreateSession(ctx, &workflow.SessionOptions{CreationTimeout: 20 * time.Second, ExecutionTimeout: time.Minute})
	if err != nil {
		return 0, err
	}
	defer workflow.CompleteSession(session)
	for index := 0; index < 3; index++ {
		var out order
		if err = workflow.ExecuteActivity(session, Echo, order{Count: index}).Get(session, &out); err != nil {
			return 0, err
		}
		total += out.Count
	}
	return total, nil
}
