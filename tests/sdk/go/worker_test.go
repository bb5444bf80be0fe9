package sdk

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
)

// Workers and their queues: eager and local activities, the stop of a worker, priorities, statistics.

// TestEagerActivity counts the activities that come with the answer to a completed workflow task.
func TestEagerActivity(t *testing.T) {
	r := newRig(t)
	var inline, polled atomic.Int64
	tally := func(ctx context.Context, method string, request, reply interface{}, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		err := invoke(ctx, method, request, reply, connection, options...)
		switch answer := reply.(type) {
		case *workflowservice.RespondWorkflowTaskCompletedResponse:
			inline.Add(int64(len(answer.ActivityTasks)))
		case *workflowservice.PollActivityTaskQueueResponse:
			if len(answer.TaskToken) > 0 {
				polled.Add(1)
			}
		}
		return err
	}
	own, err := client.Dial(client.Options{HostPort: address, Logger: quiet{}, ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(tally)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	r.client = own
	r.work(ManyActivitiesFlow, Echo)
	run := r.start(client.StartWorkflowOptions{}, ManyActivitiesFlow, 5)
	r.result(run, nil)
	events := r.eventsOf(run)
	if got := inline.Load() + polled.Load(); got != 5 || count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED) != 5 {
		t.Fatal(got, types(events))
	}
	if isReference() { // where the feature is switched off
		return
	}
	if inline.Load() == 0 {
		t.Fatal("no activity was handed over at once")
	}
}

func UnsteadyLocal(ctx workflow.Context) (out int32, err error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 5}})
	err = workflow.ExecuteLocalActivity(ctx, FailUntil, int32(3)).Get(ctx, &out)
	return out, err
}

func TestLocalActivityRetries(t *testing.T) {
	r := newRig(t)
	r.work(UnsteadyLocal)
	run := r.start(client.StartWorkflowOptions{}, UnsteadyLocal)
	var attempt int32
	r.result(run, &attempt)
	if attempt != 3 {
		t.Fatal(attempt)
	}
	r.wantTypes(r.eventsOf(run), prologue+"MarkerRecorded WorkflowExecutionCompleted")
	marker := r.eventsOf(run)[4].GetMarkerRecordedEventAttributes()
	if marker.MarkerName != "LocalActivity" || marker.WorkflowTaskCompletedEventId != 4 {
		t.Fatal(marker)
	}
}

// A worker that stops leaves nothing behind that somebody has to wait for.
func TestWorkerStop(t *testing.T) {
	r := newRig(t)
	first := r.newWorker(worker.Options{}, Mailbox)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	run := r.openMailbox()
	before := time.Now()
	first.Stop()
	if took := time.Since(before); took > 5*time.Second {
		t.Fatal("the stop took ", took)
	}
	r.signal(run, "put", "c")
	r.work(Mailbox)
	r.wantMessages(run, "abc")
	if events := r.eventsOf(run); count(events, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT) != 0 || count(events, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED) != 0 {
		t.Fatal(types(events))
	}
}

// TestPriorities fills a queue before there is a worker; the urgent ones come first.
func TestPriorities(t *testing.T) {
	r := newRig(t)
	var order []int
	var mutex sync.Mutex
	note := func(_ context.Context, key int) error {
		mutex.Lock()
		defer mutex.Unlock()
		order = append(order, key)
		return nil
	}
	flow := func(ctx workflow.Context) error {
		var waiting []workflow.Future
		for index := range 20 {
			key := 5 - index%5
			ctx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: r.queue + "-urgent", StartToCloseTimeout: time.Minute, Priority: temporal.Priority{PriorityKey: key}})
			waiting = append(waiting, workflow.ExecuteActivity(ctx, "note", key))
		}
		for _, future := range waiting {
			if err := future.Get(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}
	w := r.newWorker(worker.Options{})
	w.RegisterWorkflowWithOptions(flow, workflow.RegisterOptions{Name: "prioritised"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run := r.start(client.StartWorkflowOptions{Priority: temporal.Priority{PriorityKey: 4}}, "prioritised")
	r.waitNth(run.GetID(), "", enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, 20)
	r.until("a backlog of 20", func() bool {
		return r.describeQueue(r.queue+"-urgent", enumspb.TASK_QUEUE_TYPE_ACTIVITY).Stats.GetApproximateBacklogCount() == 20
	})
	if !isReference() { // which has no word on priorities unless it is configured
		if per := r.describeQueue(r.queue+"-urgent", enumspb.TASK_QUEUE_TYPE_ACTIVITY).StatsByPriorityKey; per[1].GetApproximateBacklogCount() != 4 || per[5].GetApproximateBacklogCount() != 4 {
			t.Fatal(per)
		}
	}
	urgent := worker.New(r.client, r.queue+"-urgent", worker.Options{MaxConcurrentActivityExecutionSize: 1, MaxConcurrentActivityTaskPollers: 1, DisableWorkflowWorker: true})
	urgent.RegisterActivityWithOptions(note, activity.RegisterOptions{Name: "note"})
	if err := urgent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(urgent.Stop)
	r.result(run, nil)
	if !sort.IntsAreSorted(order) || len(order) != 20 {
		t.Fatal(order)
	}
	events := r.eventsOf(run)
	if begun := events[0].GetWorkflowExecutionStartedEventAttributes(); begun.Priority.GetPriorityKey() != 4 {
		t.Fatal(begun)
	}
	if scheduled := events[4].GetActivityTaskScheduledEventAttributes(); scheduled.Priority.GetPriorityKey() != 5 {
		t.Fatal(scheduled)
	}
}

func (r *rig) describeQueue(name string, kind enumspb.TaskQueueType) *workflowservice.DescribeTaskQueueResponse {
	r.t.Helper()
	described, err := r.client.WorkflowService().DescribeTaskQueue(r.ctx, &workflowservice.DescribeTaskQueueRequest{Namespace: "default",
		TaskQueue: &taskqueuepb.TaskQueue{Name: name}, TaskQueueType: kind, ReportStats: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return described
}

func TestDescribeTaskQueue(t *testing.T) {
	r := newRig(t)
	var runs []client.WorkflowRun
	for index := range 3 {
		runs = append(runs, r.start(client.StartWorkflowOptions{}, Hello, fmt.Sprint(index)))
	}
	r.until("a backlog of 3", func() bool {
		stats := r.describeQueue(r.queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW).Stats
		return stats.GetApproximateBacklogCount() == 3 && stats.ApproximateBacklogAge.AsDuration() > 0
	})
	w := r.newWorker(worker.Options{Identity: "a worker of " + r.queue}, Hello)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	for _, run := range runs {
		r.result(run, nil)
	}
	r.until("no backlog and one poller", func() bool {
		described := r.describeQueue(r.queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
		return described.Stats.GetApproximateBacklogCount() == 0 && len(described.Pollers) == 1 && described.Pollers[0].Identity == "a worker of "+r.queue &&
			described.Pollers[0].LastAccessTime != nil
	})
}

// Two sessions on a worker that has room for one come one after the other.
func TestSessionsAreLimited(t *testing.T) {
	r := newRig(t)
	w := r.newWorker(worker.Options{EnableSessionWorker: true, MaxConcurrentSessionExecutionSize: 1}, SessionFlow, Echo)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	for _, run := range []client.WorkflowRun{r.start(client.StartWorkflowOptions{}, SessionFlow), r.start(client.StartWorkflowOptions{}, SessionFlow)} {
		var total int
		r.result(run, &total)
		if total != 6 {
			t.Fatal(total)
		}
		queues := map[string]bool{}
		for _, event := range r.eventsOf(run) {
			if scheduled := event.GetActivityTaskScheduledEventAttributes(); scheduled != nil && scheduled.ActivityType.Name == "Echo" {
				queues[scheduled.TaskQueue.Name] = true
			}
		}
		if len(queues) != 1 || queues[r.queue] {
			t.Fatal(queues)
		}
	}
}

// What is said about a workflow.

func Described(ctx workflow.Context, child string) error {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) { o.Summary = "the activity" }))
	if err := workflow.ExecuteActivity(ctx, Echo, order{}).Get(ctx, nil); err != nil {
		return err
	}
	if err := workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: "the timer"}).Get(ctx, nil); err != nil {
		return err
	}
	ctx = childContext(ctx, child, func(o *workflow.ChildWorkflowOptions) { o.StaticSummary, o.StaticDetails = "the child", "all about it" })
	return workflow.ExecuteChildWorkflow(ctx, Hello, "child").Get(ctx, nil)
}

func TestUserMetadata(t *testing.T) {
	r := newRig(t)
	r.work(Described, Echo, Hello)
	child := r.id()
	run := r.start(client.StartWorkflowOptions{StaticSummary: "the workflow", StaticDetails: "with details"}, Described, child)
	r.result(run, nil)
	want := map[enumspb.EventType]string{
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:               `"the workflow" "with details"`,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:                  `"the activity" `,
		enumspb.EVENT_TYPE_TIMER_STARTED:                            `"the timer" `,
		enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: `"the child" "all about it"`,
	}
	for kind, text := range want {
		metadata := find(t, r.eventsOf(run), kind).UserMetadata
		if got := string(metadata.GetSummary().GetData()) + " " + string(metadata.GetDetails().GetData()); got != text {
			t.Fatal(kind, got)
		}
	}
	for id, text := range map[string]string{run.GetID(): `"the workflow" "with details"`, child: `"the child" "all about it"`} {
		metadata := r.describe(r.client.GetWorkflow(r.ctx, id, "")).ExecutionConfig.UserMetadata
		if got := string(metadata.GetSummary().GetData()) + " " + string(metadata.GetDetails().GetData()); got != text {
			t.Fatal(id, got)
		}
	}
}

func Forgets(ctx workflow.Context) error {
	if err := workflow.UpsertMemo(ctx, map[string]interface{}{"kept": 1, "dropped": nil, "new": "x"}); err != nil {
		return err
	}
	return workflow.UpsertTypedSearchAttributes(ctx, temporal.NewSearchAttributeKeyKeyword("BatcherUser").ValueUnset())
}

func TestUpsertsThatRemove(t *testing.T) {
	r := newRig(t)
	r.work(Forgets)
	run := r.start(client.StartWorkflowOptions{Memo: map[string]interface{}{"dropped": 1, "first": 2},
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("BatcherUser").ValueSet("me"))}, Forgets)
	r.result(run, nil)
	r.wantTypes(r.eventsOf(run), prologue+"WorkflowPropertiesModified UpsertWorkflowSearchAttributes WorkflowExecutionCompleted")
	info := r.describe(run).WorkflowExecutionInfo
	var keys []string
	for key := range info.Memo.Fields {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	if strings.Join(keys, " ") != "first kept new" || info.SearchAttributes.GetIndexedFields()["BatcherUser"] != nil {
		t.Fatal(info)
	}
}

// Limits.

func TestLimitsOfCalls(t *testing.T) {
	r := newRig(t)
	start := func(id, payload string) error {
		_, err := rawService.StartWorkflowExecution(r.ctx, &workflowservice.StartWorkflowExecutionRequest{Namespace: "default", WorkflowId: id, RequestId: r.id(),
			WorkflowType: &commonpb.WorkflowType{Name: "Nobody"}, TaskQueue: &taskqueuepb.TaskQueue{Name: r.queue},
			Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: []byte(payload)}}}})
		return err
	}
	longest := r.id() + strings.Repeat("i", 1000)
	if err := start(longest[:1000], ""); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, start(longest[:1001], ""))
	if err := start(r.id(), strings.Repeat("p", 2<<20-100)); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, start(r.id(), strings.Repeat("p", 2<<20+1)))
	run := r.start(client.StartWorkflowOptions{}, "Nobody")
	signal := func(payload string) error {
		_, err := rawService.SignalWorkflowExecution(r.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: "default", WorkflowExecution: execution(run), SignalName: "put",
			Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: []byte(payload)}}}})
		return err
	}
	if err := signal(strings.Repeat("p", 2<<20-100)); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, signal(strings.Repeat("p", 2<<20+1)))
	if got := count(r.eventsOf(run), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED); got != 1 {
		t.Fatal(got)
	}
}

func Oversize(context.Context) (string, error) {
	return strings.Repeat("r", 2<<20+1), nil
}

func OversizeFlow(ctx workflow.Context) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, options(func(o *workflow.ActivityOptions) { o.RetryPolicy = &temporal.RetryPolicy{MaximumAttempts: 1} }))
	if err := workflow.ExecuteActivity(ctx, Oversize).Get(ctx, nil); err == nil {
		return "", errors.New("it should have failed")
	}
	return "failed", nil
}

func TestLimitOfActivityResults(t *testing.T) {
	r := newRig(t)
	r.work(OversizeFlow, Oversize)
	run := r.start(client.StartWorkflowOptions{}, OversizeFlow)
	var out string
	r.result(run, &out)
	r.wantTypes(r.eventsOf(run), prologue+"ActivityTaskScheduled ActivityTaskStarted ActivityTaskFailed "+workflowTask+"WorkflowExecutionCompleted")
}

// A limit that the worker sends along holds for the whole queue.
func TestRateOfAQueue(t *testing.T) {
	r := newRig(t)
	w := r.newWorker(worker.Options{TaskQueueActivitiesPerSecond: 4, DisableEagerActivities: true}, ManyActivitiesFlow, Echo)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run := r.start(client.StartWorkflowOptions{}, ManyActivitiesFlow, 12)
	r.result(run, nil)
	var first, last time.Time
	for _, event := range r.eventsOf(run) {
		if event.EventType == enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED {
			if at := event.EventTime.AsTime(); first.IsZero() || at.Before(first) {
				first = at
			}
			if at := event.EventTime.AsTime(); at.After(last) {
				last = at
			}
		}
	}
	if took := last.Sub(first); took < 1500*time.Millisecond { // four at once, then four a second
		t.Fatal("12 activities started within ", took)
	}
}

// Workers that ask the server how many pollers they need do all their work, and more than once.
func TestPollersThatScale(t *testing.T) {
	r := newRig(t)
	scaling := worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{MinimumNumberOfPollers: 1, MaximumNumberOfPollers: 5})
	w := worker.New(r.client, r.queue, worker.Options{WorkflowTaskPollerBehavior: scaling, ActivityTaskPollerBehavior: scaling})
	w.RegisterWorkflow(ManyActivitiesFlow)
	w.RegisterActivity(Echo)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	for range 2 {
		var runs []client.WorkflowRun
		for range 20 {
			runs = append(runs, r.start(client.StartWorkflowOptions{}, ManyActivitiesFlow, 3))
		}
		for _, run := range runs {
			var sum int
			r.result(run, &sum)
		}
	}
}
