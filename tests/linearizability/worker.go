package main

import (
	"context"
	"encoding/json"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	protocolpb "go.temporal.io/api/protocol/v1"
	querypb "go.temporal.io/api/query/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The worker keeps nothing between tasks: what a workflow has taken in is read from the history of each task, so a history that
// is wrong shows in the next answer.

const (
	namespace = "default"
	queue     = "linearizability"
)

func payloads(value any) *commonpb.Payloads {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: data}}}
}

func decode(from *commonpb.Payloads, into any) error {
	return json.Unmarshal(from.GetPayloads()[0].Data, into)
}

// elementsOf is what the workflow of this history has taken in, up to (and without) an event.
func elementsOf(events []*historypb.HistoryEvent, before int64) []string {
	elements := []string{}
	for _, event := range events {
		if event.EventId >= before {
			break
		}
		switch event.EventType {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			elements = append(elements, "s"+event.GetWorkflowExecutionSignaledEventAttributes().SignalName)
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
			elements = append(elements, "u"+event.GetWorkflowExecutionUpdateAcceptedEventAttributes().ProtocolInstanceId)
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
			elements = append(elements, "c")
		}
	}
	return elements
}

// What a query is answered with.
type answer struct {
	Run      string
	Elements []string
}

const everything = int64(1) << 62

func (h *harness) work(ctx context.Context) {
	for ctx.Err() == nil {
		calling, cancel := context.WithTimeout(ctx, 10*time.Second)
		task, err := h.service.PollWorkflowTaskQueue(calling, &workflowservice.PollWorkflowTaskQueueRequest{
			Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, Identity: "worker"})
		cancel()
		if err != nil {
			pause(ctx, 10*time.Millisecond)
			continue
		}
		if len(task.TaskToken) == 0 {
			continue
		}
		h.tasks.Add(1)
		if len(task.NextPageToken) != 0 {
			panic("a history of more than one page: the sessions are too long")
		}
		if task.Query != nil {
			h.respond(ctx, func(calling context.Context) error {
				_, err := h.service.RespondQueryTaskCompleted(calling, &workflowservice.RespondQueryTaskCompletedRequest{
					Namespace: namespace, TaskToken: task.TaskToken, CompletedType: enumspb.QUERY_RESULT_TYPE_ANSWERED,
					QueryResult: payloads(answer{task.WorkflowExecution.RunId, elementsOf(task.History.Events, everything)})})
				return err
			})
			continue
		}
		completion := complete(task)
		h.respond(ctx, func(calling context.Context) error {
			_, err := h.service.RespondWorkflowTaskCompleted(calling, completion)
			return err
		})
	}
}

// respond repeats a completion until it is answered, as SDKs do.
func (h *harness) respond(ctx context.Context, call func(context.Context) error) {
	for ctx.Err() == nil {
		calling, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := call(calling)
		cancel()
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.ResourceExhausted {
			return
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func pack(message proto.Message) *anypb.Any {
	packed, err := anypb.New(message)
	if err != nil {
		panic(err)
	}
	return packed
}

func complete(task *workflowservice.PollWorkflowTaskQueueResponse) *workflowservice.RespondWorkflowTaskCompletedRequest {
	completion := &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: namespace, TaskToken: task.TaskToken, Identity: "worker",
		Capabilities: &workflowservice.RespondWorkflowTaskCompletedRequest_Capabilities{}}
	elements := elementsOf(task.History.Events, everything)
	if len(task.Queries) > 0 {
		completion.QueryResults = map[string]*querypb.WorkflowQueryResult{}
	}
	var closing *commandpb.Command
	for _, message := range task.Messages {
		request := &updatepb.Request{}
		if closing != nil || message.Body.UnmarshalTo(request) != nil {
			continue // the workflow is over: what comes behind was not taken in
		}
		id := request.Meta.UpdateId
		if id[0] == 'r' {
			reject(completion, message, request)
			continue
		}
		accept(completion, message, request, len(elements))
		elements = append(elements, "u"+id)
		closing = closingOf(id)
	}
	if closing != nil {
		completion.Commands = append(completion.Commands, closing)
	}
	for id := range task.Queries {
		completion.QueryResults[id] = &querypb.WorkflowQueryResult{ResultType: enumspb.QUERY_RESULT_TYPE_ANSWERED, Answer: payloads(answer{task.WorkflowExecution.RunId, elements})}
	}
	return completion
}

func accept(completion *workflowservice.RespondWorkflowTaskCompletedRequest, message *protocolpb.Message, request *updatepb.Request, place int) {
	add := func(suffix string, body proto.Message) {
		id := message.ProtocolInstanceId + suffix
		completion.Messages = append(completion.Messages, &protocolpb.Message{Id: id, ProtocolInstanceId: message.ProtocolInstanceId, Body: pack(body)})
		completion.Commands = append(completion.Commands, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_PROTOCOL_MESSAGE,
			Attributes: &commandpb.Command_ProtocolMessageCommandAttributes{
				ProtocolMessageCommandAttributes: &commandpb.ProtocolMessageCommandAttributes{MessageId: id}}})
	}
	add("/accept", &updatepb.Acceptance{AcceptedRequestMessageId: message.Id, AcceptedRequestSequencingEventId: message.GetEventId(), AcceptedRequest: request})
	add("/complete", &updatepb.Response{Meta: request.Meta, Outcome: &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: payloads(place)}}})
}

func reject(completion *workflowservice.RespondWorkflowTaskCompletedRequest, message *protocolpb.Message, request *updatepb.Request) {
	completion.Messages = append(completion.Messages, &protocolpb.Message{Id: message.ProtocolInstanceId + "/reject", ProtocolInstanceId: message.ProtocolInstanceId,
		Body: pack(&updatepb.Rejection{RejectedRequestMessageId: message.Id, RejectedRequestSequencingEventId: message.GetEventId(), RejectedRequest: request,
			Failure: &failurepb.Failure{Message: "no"}})})
}

func closingOf(update string) *commandpb.Command {
	switch update[0] {
	case 'f':
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
			Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
				CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{}}}
	case 'x':
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
			Attributes: &commandpb.Command_FailWorkflowExecutionCommandAttributes{
				FailWorkflowExecutionCommandAttributes: &commandpb.FailWorkflowExecutionCommandAttributes{Failure: &failurepb.Failure{Message: "failed"}}}}
	case 'n':
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
			Attributes: &commandpb.Command_ContinueAsNewWorkflowExecutionCommandAttributes{
				ContinueAsNewWorkflowExecutionCommandAttributes: &commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{
					WorkflowType: &commonpb.WorkflowType{Name: "ledger"}, TaskQueue: &taskqueuepb.TaskQueue{Name: queue},
					WorkflowTaskTimeout: durationpb.New(time.Second)}}}
	}
	return nil
}
