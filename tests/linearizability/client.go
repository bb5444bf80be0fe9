package main

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"
	historypb "go.temporal.io/api/history/v1"
	querypb "go.temporal.io/api/query/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

const callTimeout = 5 * time.Second

var (
	reuses    = []string{"ALLOW_DUPLICATE", "ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE"}
	conflicts = []string{"FAIL", "USE_EXISTING", "TERMINATE_EXISTING"}
)

// call performs the operation. False: nothing is known about its outcome.
func (h *harness) call(ctx context.Context, id string, in *input) (*output, bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out := &output{Known: true, Code: "OK"}
	err := h.perform(ctx, id, in, out)
	refusal := status.Convert(err)
	out.Message = refusal.Message()
	switch refusal.Code() {
	case codes.OK:
	case codes.NotFound:
		out.Code = "NotFound"
		if strings.Contains(refusal.Message(), "aborted") {
			out.Code = "Aborted"
		}
	case codes.AlreadyExists:
		out.Code = "AlreadyExists"
		for _, detail := range refusal.Details() {
			if started, ok := detail.(*errordetails.WorkflowExecutionAlreadyStartedFailure); ok {
				out.Run = started.RunId
			}
		}
	case codes.ResourceExhausted:
		out.Code = "Busy"
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return &output{Message: err.Error()}, false
	case codes.FailedPrecondition:
		if in.Op != "update" {
			return &output{}, false
		}
		out.Code = "Aborted" // its workflow task failed: an end of the workflow met a signal
	default:
		if in.Op == "query" || in.Op == "reset" && refusal.Code() == codes.InvalidArgument {
			return &output{}, false // no workflow task has been completed; or the point has become none
		}
		h.fail(fmt.Errorf("%s of %s was refused with %v", in.Op, id, err))
		return &output{}, false
	}
	return out, true
}

func (h *harness) perform(ctx context.Context, id string, in *input, out *output) error {
	execution := &commonpb.WorkflowExecution{WorkflowId: id}
	switch in.Op {
	case "start":
		response, err := h.service.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{Namespace: namespace, WorkflowId: id,
			WorkflowType: &commonpb.WorkflowType{Name: "ledger"}, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, RequestId: in.Request,
			WorkflowTaskTimeout: durationpb.New(time.Second), WorkflowIdReusePolicy: reuseOf(in.Reuse), WorkflowIdConflictPolicy: conflictOf(in.Policy)})
		out.Run, out.Started = response.GetRunId(), response.GetStarted()
		return err
	case "signal-with-start":
		response, err := h.service.SignalWithStartWorkflowExecution(ctx, &workflowservice.SignalWithStartWorkflowExecutionRequest{Namespace: namespace,
			WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: "ledger"}, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, RequestId: in.Request,
			WorkflowTaskTimeout: durationpb.New(time.Second), WorkflowIdReusePolicy: reuseOf(in.Reuse), WorkflowIdConflictPolicy: conflictOf(in.Policy),
			SignalName: in.Request})
		out.Run = response.GetRunId()
		return err
	case "signal":
		_, err := h.service.SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: namespace, WorkflowExecution: execution,
			SignalName: in.Request, RequestId: in.Request})
		return err
	case "cancel":
		_, err := h.service.RequestCancelWorkflowExecution(ctx, &workflowservice.RequestCancelWorkflowExecutionRequest{Namespace: namespace,
			WorkflowExecution: execution})
		return err
	case "terminate":
		_, err := h.service.TerminateWorkflowExecution(ctx, &workflowservice.TerminateWorkflowExecutionRequest{Namespace: namespace, WorkflowExecution: execution})
		return err
	case "delete":
		_, err := h.service.DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{Namespace: namespace, WorkflowExecution: execution})
		return err
	case "reset":
		return h.reset(ctx, id, in, out)
	case "update":
		return h.update(ctx, execution, in, out)
	default:
		return h.read(ctx, execution, in, out)
	}
}

func (h *harness) reset(ctx context.Context, id string, in *input, out *output) error {
	response, err := h.service.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{Namespace: namespace,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: in.Run}, RequestId: in.Request, WorkflowTaskFinishEventId: in.point,
		ResetReapplyExcludeTypes: []enumspb.ResetReapplyExcludeType{enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE}})
	out.Run = response.GetRunId()
	return err
}

func (h *harness) update(ctx context.Context, execution *commonpb.WorkflowExecution, in *input, out *output) error {
	response, err := h.service.UpdateWorkflowExecution(ctx, &workflowservice.UpdateWorkflowExecutionRequest{Namespace: namespace,
		WorkflowExecution: execution, Request: &updatepb.Request{Meta: &updatepb.Meta{UpdateId: in.Request}, Input: &updatepb.Input{Name: "take"}},
		WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED}})
	if err != nil {
		return err
	}
	if failure := response.GetOutcome().GetFailure(); failure != nil {
		out.Code = "Rejected"
		return nil
	}
	if response.GetOutcome().GetSuccess() == nil {
		return status.Error(codes.DeadlineExceeded, "no outcome yet")
	}
	return decode(response.Outcome.GetSuccess(), &out.Place)
}

func (h *harness) read(ctx context.Context, execution *commonpb.WorkflowExecution, in *input, out *output) error {
	switch in.Op {
	case "query":
		response, err := h.service.QueryWorkflow(ctx, &workflowservice.QueryWorkflowRequest{Namespace: namespace, Execution: execution,
			Query: &querypb.WorkflowQuery{QueryType: "elements"}})
		if err != nil {
			return err
		}
		var said answer
		err = decode(response.QueryResult, &said)
		out.Run, out.Elements = said.Run, said.Elements
		return err
	case "describe":
		response, err := h.service.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{Namespace: namespace, Execution: execution})
		info := response.GetWorkflowExecutionInfo()
		out.Run, out.Status = info.GetExecution().GetRunId(), info.GetStatus().String()
		return err
	case "history":
		events, err := h.history(ctx, execution)
		if err == nil && len(events) == 0 {
			return status.Error(codes.DataLoss, "a history without events")
		}
		if err == nil {
			out.Run = events[0].GetWorkflowExecutionStartedEventAttributes().OriginalExecutionRunId
			out.Elements, out.Status = elementsOf(events, everything), statusOf(events[len(events)-1])
			for _, event := range events { // a run that was made by a reset has its own id here
				if failure := event.GetWorkflowTaskFailedEventAttributes(); failure.GetNewRunId() != "" {
					out.Run = failure.NewRunId
				}
			}
			in.events = events
		}
		return err
	case "list":
		response, err := h.service.ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace, PageSize: 1000,
			Query: fmt.Sprintf("WorkflowId = '%s'", execution.WorkflowId)})
		for _, info := range response.GetExecutions() {
			out.Listed = append(out.Listed, listedRun{info.Execution.RunId, info.Status.String()})
		}
		return err
	}
	panic("no such operation: " + in.Op)
}

// As the command line tool, which is shown what is stored and nothing that is not (yet).
func (h *harness) history(ctx context.Context, execution *commonpb.WorkflowExecution) ([]*historypb.HistoryEvent, error) {
	response, err := h.service.GetWorkflowExecutionHistory(asTool(ctx), &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: namespace,
		Execution: execution})
	if err == nil && len(response.NextPageToken) != 0 {
		panic("a history of more than one page: the sessions are too long")
	}
	return response.GetHistory().GetEvents(), err
}

func statusOf(last *historypb.HistoryEvent) string {
	switch last.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		return completed
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		return failed
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
		return ended
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
		return continued
	}
	return running
}

func reuseOf(name string) enumspb.WorkflowIdReusePolicy {
	return enumspb.WorkflowIdReusePolicy(enumspb.WorkflowIdReusePolicy_value["WORKFLOW_ID_REUSE_POLICY_"+name])
}

func conflictOf(name string) enumspb.WorkflowIdConflictPolicy {
	return enumspb.WorkflowIdConflictPolicy(enumspb.WorkflowIdConflictPolicy_value["WORKFLOW_ID_CONFLICT_POLICY_"+name])
}

// What clients do, with how often.
var menu = []struct {
	op     string
	weight int
}{{"start", 10}, {"signal-with-start", 8}, {"signal", 24}, {"update", 16}, {"query", 10}, {"history", 10}, {"describe", 6}, {"list", 6},
	{"cancel", 3}, {"terminate", 2}, {"delete", 2}, {"reset", 3}}

func draw(dice *rand.Rand) string {
	total := 0
	for _, item := range menu {
		total += item.weight
	}
	at := dice.Intn(total)
	for _, item := range menu {
		if at -= item.weight; at < 0 {
			return item.op
		}
	}
	panic("unreachable")
}

// What an update does: mostly add.
const updateKinds = "aaaaaaaaaarrfxn"

func drawInput(dice *rand.Rand) *input {
	in := &input{Op: draw(dice), Request: fmt.Sprintf("%x", dice.Uint64())}
	switch in.Op {
	case "start", "signal-with-start":
		in.Reuse = reuses[dice.Intn(len(reuses))]
		in.Policy = conflicts[dice.Intn(len(conflicts))]
		if in.Op == "signal-with-start" && in.Policy == "FAIL" {
			in.Policy = "USE_EXISTING"
		}
		if in.Reuse == "REJECT_DUPLICATE" && in.Policy == "TERMINATE_EXISTING" {
			in.Reuse = "ALLOW_DUPLICATE"
		}
	case "update":
		in.Request = string(updateKinds[dice.Intn(len(updateKinds))]) + in.Request
	case "signal", "reset":
	default:
		in.Request = ""
	}
	return in
}
