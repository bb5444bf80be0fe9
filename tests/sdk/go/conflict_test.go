package sdk

import (
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

func TestOnConflictAttach(t *testing.T) {
	r := newRig(t)
	r.work(Mailbox)
	run := r.openMailbox()
	before := types(r.eventsOf(run))
	request := &workflowservice.StartWorkflowExecutionRequest{Namespace: "default", WorkflowId: run.GetID(), RequestId: r.id(),
		WorkflowType: &commonpb.WorkflowType{Name: "Mailbox"}, TaskQueue: &taskqueuepb.TaskQueue{Name: r.queue},
		WorkflowIdConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, OnConflictOptions: &workflowpb.OnConflictOptions{AttachRequestId: true}}
	for range 2 { // the second time it is known
		answer, err := r.client.WorkflowService().StartWorkflowExecution(r.ctx, request)
		if err != nil || answer.Started || answer.RunId != run.GetRunID() || answer.Status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			t.Fatal(answer, err)
		}
	}
	events := r.eventsOf(run)
	r.wantTypes(events, before+" WorkflowExecutionOptionsUpdated")
	if updated := events[len(events)-1].GetWorkflowExecutionOptionsUpdatedEventAttributes(); updated.AttachedRequestId != request.RequestId {
		t.Fatal(updated)
	}
	infos := r.describe(run).WorkflowExtendedInfo.GetRequestIdInfos()
	if info := infos[request.RequestId]; info.GetEventId() != int64(len(events)) || info.EventType != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED {
		t.Fatal(infos)
	}
	r.wantMessages(run, "ab")
}
