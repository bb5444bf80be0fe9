package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.FAILED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.sequence;
import static perdure.acceptance.Harness.until;

import com.google.protobuf.Struct;
import com.google.protobuf.util.JsonFormat;
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.temporal.api.common.v1.Callback;
import io.temporal.api.common.v1.WorkflowType;
import io.temporal.api.enums.v1.CallbackState;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.taskqueue.v1.TaskQueue;
import io.temporal.api.workflow.v1.CallbackInfo;
import io.temporal.api.workflowservice.v1.StartWorkflowExecutionRequest;
import io.temporal.client.WorkflowStub;
import io.temporal.common.converter.DefaultDataConverter;
import io.temporal.worker.WorkerFactory;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfEnvironmentVariable;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * What is told to others when a run has ended: the SDK has no words for the request, so the service itself is asked. The
 * reference has to be configured for it.
 */
@ExtendWith(Harness.Provider.class)
@DisabledIfEnvironmentVariable(named = "PERDURE_ADDRESS_IS_REFERENCE", matches = "[^0].*")
final class CallbackTest {
    private record Told(String method, String path, Headers headers, String body) {}

    /** A server on loopback that keeps what it is sent and agrees with all of it. */
    private static final class Receiver implements AutoCloseable {
        final Queue<Told> received = new ConcurrentLinkedQueue<>();
        private final HttpServer server =
                HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);

        Receiver() throws IOException {
            server.createContext("/", this::receive);
            server.start();
        }

        private void receive(HttpExchange exchange) throws IOException {
            String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            received.add(
                    new Told(
                            exchange.getRequestMethod(),
                            exchange.getRequestURI().toString(),
                            exchange.getRequestHeaders(),
                            body));
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        }

        String url() {
            return "http://127.0.0.1:" + server.getAddress().getPort() + "/done?x=1";
        }

        @Override
        public void close() {
            server.stop(0);
        }
    }

    private static CallbackInfo callbackOf(Harness harness, WorkflowStub stub) {
        List<CallbackInfo> callbacks = harness.describe(stub).getCallbacksList();
        assertEquals(1, callbacks.size());
        assertTrue(callbacks.get(0).getTrigger().hasWorkflowClosed());
        return callbacks.get(0);
    }

    /** Starts a run before there is a worker for it, and returns what was told of its end. */
    private static Told outcome(Harness harness, String type, String argument, String last) throws Exception {
        try (Receiver receiver = new Receiver()) {
            Callback callback =
                    Callback.newBuilder()
                            .setNexus(
                                    Callback.Nexus.newBuilder()
                                            .setUrl(receiver.url())
                                            .putHeader("my-key", "v"))
                            .build();
            String queue = harness.queue + "-callback-" + type;
            StartWorkflowExecutionRequest request =
                    StartWorkflowExecutionRequest.newBuilder()
                            .setNamespace("default")
                            .setWorkflowId(harness.newId("callback"))
                            .setRequestId(UUID.randomUUID().toString())
                            .setWorkflowType(WorkflowType.newBuilder().setName(type))
                            .setTaskQueue(TaskQueue.newBuilder().setName(queue))
                            .setInput(DefaultDataConverter.STANDARD_INSTANCE.toPayloads(argument).orElseThrow())
                            .addCompletionCallbacks(callback)
                            .build();
            String runId = harness.service().startWorkflowExecution(request).getRunId();
            WorkflowStub stub = harness.stubOf(request.getWorkflowId(), runId);
            assertEquals(CallbackState.CALLBACK_STATE_STANDBY, callbackOf(harness, stub).getState());

            WorkerFactory worker = harness.startWorker(queue);
            until(
                    "the callback has succeeded",
                    () -> callbackOf(harness, stub).getState() == CallbackState.CALLBACK_STATE_SUCCEEDED);
            Harness.stopWorker(worker);

            CallbackInfo info = callbackOf(harness, stub);
            assertEquals(1, info.getAttempt());
            assertTrue(info.hasLastAttemptCompleteTime());
            assertFalse(info.hasLastAttemptFailure());
            assertEquals(callback, info.getCallback());
            List<HistoryEvent> history = harness.history(stub);
            assertEquals(sequence(STARTED, TASK, last), kinds(history));
            var started = history.get(0).getWorkflowExecutionStartedEventAttributes();
            assertEquals(List.of(callback), started.getCompletionCallbacksList());

            assertEquals(1, receiver.received.size(), receiver.received::toString);
            Told told = receiver.received.remove();
            assertEquals(
                    List.of("POST", "/done?x=1", "v"),
                    List.of(told.method(), told.path(), told.headers().getFirst("my-key")));
            String run = request.getWorkflowId() + "/" + runId + "/history?eventID=1&";
            assertTrue(told.headers().getFirst("nexus-link").contains(run), told::toString);
            return told;
        }
    }

    @Test
    void aSuccessIsToldOnce(Harness harness) throws Exception {
        Told told = outcome(harness, "Answer", "the result", COMPLETED);
        assertEquals("succeeded", told.headers().getFirst("nexus-operation-state"));
        assertEquals("application/json", told.headers().getFirst("content-type"));
        assertEquals("\"the result\"", told.body());
    }

    @Test
    void aFailureIsToldOnce(Harness harness) throws Exception {
        Told told = outcome(harness, "Failing", "a reason", FAILED);
        assertEquals("failed", told.headers().getFirst("nexus-operation-state"));
        Struct.Builder failure = Struct.newBuilder();
        JsonFormat.parser().merge(told.body(), failure);
        assertEquals("a reason", failure.getFieldsOrThrow("message").getStringValue());
        Struct metadata = failure.getFieldsOrThrow("metadata").getStructValue();
        assertEquals("temporal.api.failure.v1.Failure", metadata.getFieldsOrThrow("type").getStringValue());
        Struct details = failure.getFieldsOrThrow("details").getStructValue();
        Struct info = details.getFieldsOrThrow("applicationFailureInfo").getStructValue();
        assertEquals("OnPurpose", info.getFieldsOrThrow("type").getStringValue());
    }
}
