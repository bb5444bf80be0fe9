package sdk

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
)

// How many histories were replayed: a check that checks nothing would be none.
var replayed atomic.Int64

// functionName is the name under which the SDK registers a function.
func functionName(function interface{}) string {
	name := runtime.FuncForPC(reflect.ValueOf(function).Pointer()).Name()
	return strings.TrimSuffix(name[strings.LastIndex(name, ".")+1:], "-fm")
}

// replay puts every history of the rig's queue through the SDK's replayer. It runs when the test and its workers have
// ended. A history that differs from what the server delivered is a non-determinism error.
func (r *rig) replay() {
	if len(r.workflows) == 0 || r.t.Failed() || r.t.Skipped() {
		return
	}
	names := map[string]bool{}
	replayer := worker.NewWorkflowReplayer()
	for _, function := range r.workflows {
		if name := functionName(function); !names[name] {
			names[name] = true
			replayer.RegisterWorkflow(function)
		}
	}
	ctx := deadline(r.t)
	listed, err := r.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("TaskQueue = '%s'", r.queue)})
	if err != nil {
		r.t.Errorf("replay: %v", err)
		return
	}
	for _, run := range listed.Executions {
		if !names[run.Type.Name] {
			continue
		}
		history := &historypb.History{Events: r.events(run.Execution.WorkflowId, run.Execution.RunId)}
		if len(history.Events) < 3 || history.Events[2].EventType != enums.EVENT_TYPE_WORKFLOW_TASK_STARTED {
			continue // the replayer wants a workflow task that a worker took
		}
		original := workflow.Execution{ID: run.Execution.WorkflowId, RunID: run.Execution.RunId} // which the code may ask for
		if err := replayer.ReplayWorkflowHistoryWithOptions(quiet{}, history, worker.ReplayWorkflowHistoryOptions{OriginalExecution: original}); err != nil {
			r.t.Errorf("%s does not replay: %v", run.Execution.WorkflowId, err)
		}
		replayed.Add(1)
	}
}

// The check itself: it passes what the server stored, and sees an event that the workflow did not ask for.
func TestReplaySeesAHistoryThatDiffers(t *testing.T) {
	r := newRig(t)
	r.work(LongFlow, Echo)
	run := r.start(client.StartWorkflowOptions{}, LongFlow, 1)
	r.result(run, nil)
	before := replayed.Load()
	r.replay()
	if replayed.Load() == before {
		t.Error("nothing was replayed")
	}
	history := &historypb.History{}
	for _, event := range r.eventsOf(run) {
		history.Events = append(history.Events, proto.Clone(event).(*historypb.HistoryEvent))
	}
	for _, event := range history.Events {
		if attributes := event.GetActivityTaskScheduledEventAttributes(); attributes != nil {
			attributes.ActivityType.Name = "another"
		}
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(LongFlow)
	if err := replayer.ReplayWorkflowHistory(quiet{}, history); err == nil {
		t.Error("the replayer took a history with another activity")
	}
}
