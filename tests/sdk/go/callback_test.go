package sdk

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"
)

// What is told to others when a run has ended: the SDK has no words for the request, so the service itself is asked.

type told struct {
	method, path string
	header       http.Header
	body         string
}

// receiver is a server on loopback that keeps what it is sent and agrees with all of it.
type receiver struct {
	*httptest.Server
	mutex    sync.Mutex
	received []told
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.received = append(r.received, told{request.Method, request.URL.String(), request.Header, string(body)})
	}))
	t.Cleanup(r.Close)
	return r
}

// only is what was received, when that is one request.
func (r *receiver) only(t *testing.T) told {
	t.Helper()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.received) != 1 {
		t.Fatalf("%d requests: %v", len(r.received), r.received)
	}
	return r.received[0]
}

func (r *rig) startWithCallback(workflow, input string, callback *commonpb.Callback) client.WorkflowRun {
	r.t.Helper()
	request := &workflowservice.StartWorkflowExecutionRequest{Namespace: "default", WorkflowId: r.id(), RequestId: r.id(),
		WorkflowType: &commonpb.WorkflowType{Name: workflow}, TaskQueue: &taskqueuepb.TaskQueue{Name: r.queue},
		CompletionCallbacks: []*commonpb.Callback{callback}}
	if input != "" {
		request.Input = &commonpb.Payloads{Payloads: []*commonpb.Payload{jsonPayload(input)}}
	}
	answer, err := r.client.WorkflowService().StartWorkflowExecution(r.ctx, request)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.client.GetWorkflow(r.ctx, request.WorkflowId, answer.RunId)
}

func (r *rig) callbackOf(run client.WorkflowRun) *workflowpb.CallbackInfo {
	r.t.Helper()
	callbacks := r.describe(run).Callbacks
	if len(callbacks) != 1 || callbacks[0].Trigger.GetWorkflowClosed() == nil {
		r.t.Fatal(callbacks)
	}
	return callbacks[0]
}

// toldOf starts a run before there is a worker for it, and returns what the receiver was told of its end.
func (r *rig) toldOf(http *receiver, workflow interface{}, name, input, last string) told {
	r.t.Helper()
	callback := &commonpb.Callback{Variant: &commonpb.Callback_Nexus_{Nexus: &commonpb.Callback_Nexus{
		Url: http.URL + "/done?x=1", Header: map[string]string{"my-key": "v"}}}}
	run := r.startWithCallback(name, input, callback)
	if info := r.callbackOf(run); info.State != enumspb.CALLBACK_STATE_STANDBY || info.Attempt != 0 {
		r.t.Fatal(info)
	}
	r.work(workflow)
	r.until("the callback has succeeded", func() bool {
		return r.callbackOf(run).State == enumspb.CALLBACK_STATE_SUCCEEDED
	})
	if info := r.callbackOf(run); info.Attempt != 1 || info.LastAttemptCompleteTime == nil || info.LastAttemptFailure != nil || !proto.Equal(info.Callback, callback) {
		r.t.Fatal(info)
	}
	events := r.eventsOf(run)
	r.wantTypes(events, prologue+last)
	if kept := events[0].GetWorkflowExecutionStartedEventAttributes().CompletionCallbacks; len(kept) != 1 || !proto.Equal(kept[0], callback) {
		r.t.Fatal(kept)
	}
	request := http.only(r.t)
	if request.method != "POST" || request.path != "/done?x=1" || request.header.Get("My-Key") != "v" {
		r.t.Fatal(request)
	}
	if link := request.header.Get("Nexus-Link"); !strings.Contains(link, run.GetID()+"/"+run.GetRunID()+"/history?eventID=1&") {
		r.t.Fatal(link)
	}
	return request
}

func TestCallbackOfASuccess(t *testing.T) {
	if isReference() {
		t.Skip("it has to be configured for callbacks")
	}
	r := newRig(t)
	request := r.toldOf(newReceiver(t), Hello, "Hello", `"Go"`, "WorkflowExecutionCompleted")
	if request.header.Get("Nexus-Operation-State") != "succeeded" || request.header.Get("Content-Type") != "application/json" || request.body != `"Hello, Go!"` {
		t.Fatal(request)
	}
}

func TestCallbackOfAFailure(t *testing.T) {
	if isReference() {
		t.Skip("it has to be configured for callbacks")
	}
	r := newRig(t)
	request := r.toldOf(newReceiver(t), Fails, "Fails", "", "WorkflowExecutionFailed")
	var failure struct {
		Message  string
		Metadata map[string]string
		Details  struct{ ApplicationFailureInfo struct{ Type string } }
	}
	if err := json.Unmarshal([]byte(request.body), &failure); err != nil {
		t.Fatal(err, request)
	}
	if request.header.Get("Nexus-Operation-State") != "failed" || failure.Message != "bad" || failure.Details.ApplicationFailureInfo.Type != "Bad" ||
		failure.Metadata["type"] != "temporal.api.failure.v1.Failure" {
		t.Fatal(request)
	}
}
