package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Timestamp;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.temporal.api.common.v1.Payloads;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.workflowservice.v1.DescribeWorkflowExecutionRequest;
import io.temporal.api.workflowservice.v1.DescribeWorkflowExecutionResponse;
import io.temporal.api.workflowservice.v1.GetWorkflowExecutionHistoryRequest;
import io.temporal.api.workflowservice.v1.WorkflowServiceGrpc;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowClientOptions;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import io.temporal.client.WorkflowTargetOptions;
import io.temporal.common.converter.DefaultDataConverter;
import io.temporal.serviceclient.WorkflowServiceStubs;
import io.temporal.serviceclient.WorkflowServiceStubsOptions;
import io.temporal.worker.Worker;
import io.temporal.worker.WorkerFactory;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.junit.jupiter.api.function.Executable;

/** One server, one client and one worker for all tests, and what the tests ask of them. */
final class Harness implements AutoCloseable {
    static final List<String> TASK =
            List.of("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED");
    static final String STARTED = "WORKFLOW_EXECUTION_STARTED";
    static final String COMPLETED = "WORKFLOW_EXECUTION_COMPLETED";
    static final String FAILED = "WORKFLOW_EXECUTION_FAILED";

    static final Class<?>[] WORKFLOWS =
            Stream.of(
                            Workflows.IMPLEMENTATIONS,
                            FamilyWorkflows.IMPLEMENTATIONS,
                            OperatedWorkflows.IMPLEMENTATIONS)
                    .flatMap(Stream::of)
                    .toArray(Class<?>[]::new);

    private final TestServer server;
    private final WorkflowServiceStubs stubs;
    private final List<WorkerFactory> factories = new ArrayList<>();
    final WorkflowClient client;
    /** The activities that came with the answer to a completed workflow task. */
    final AtomicInteger eagerActivities = new AtomicInteger();
    final ActivitiesImpl activities = new ActivitiesImpl();
    final String suffix = UUID.randomUUID().toString().substring(0, 8);
    final String queue = "java-" + suffix;
    final String identity = "java-tests-" + suffix;

    Harness() throws Exception {
        server = TestServer.start();
        try {
            var target =
                    WorkflowServiceStubsOptions.newBuilder()
                            .setTarget(server.address())
                            .setGrpcClientInterceptors(List.of(new EagerCounter(eagerActivities)))
                            .build();
            stubs = WorkflowServiceStubs.newServiceStubs(target);
            client =
                    WorkflowClient.newInstance(
                            stubs, WorkflowClientOptions.newBuilder().setIdentity(identity).build());
        } catch (RuntimeException failure) {
            server.close();
            throw failure;
        }
    }

    /** Runs a worker until the end; a harness has none before. */
    WorkerFactory work() {
        WorkerFactory factory = startWorker(queue);
        factories.add(factory);
        return factory;
    }

    /** Kills the server, starts it again, and compares what the histories of these runs were and are. */
    void crash(WorkflowStub... runs) throws Exception {
        List<List<HistoryEvent>> before = Stream.of(runs).map(run -> written(history(run))).toList();
        server.restart();
        // A channel that saw the old server die refuses calls until its next try to connect.
        stubs.connect(Duration.ofSeconds(30));
        for (int i = 0; i < runs.length; i++) {
            List<HistoryEvent> after = history(runs[i]);
            assertEquals(before.get(i), after.subList(0, Math.min(before.get(i).size(), after.size())));
        }
    }

    /** Leaves out a task at the end that may be shown before it is written. */
    private static List<HistoryEvent> written(List<HistoryEvent> history) {
        int end = history.size();
        while (end > 0 && history.get(end - 1).getEventType().name().startsWith("EVENT_TYPE_WORKFLOW_TASK_")) end--;
        return history.subList(0, end);
    }

    /** The history without its workflow tasks: a kill may cost one of those and makes another. */
    List<String> flow(WorkflowStub stub) {
        return kinds(history(stub)).stream().filter(kind -> !kind.startsWith("WORKFLOW_TASK_")).toList();
    }

    /** A factory of its own, so that a test can end its worker without ending the others. */
    WorkerFactory startWorker(String taskQueue) {
        WorkerFactory created = WorkerFactory.newInstance(client);
        Worker worker = created.newWorker(taskQueue);
        worker.registerWorkflowImplementationTypes(WORKFLOWS);
        worker.registerActivitiesImplementations(activities);
        created.start();
        return created;
    }

    static void stopWorker(WorkerFactory factory) {
        factory.shutdownNow();
        factory.awaitTermination(20, TimeUnit.SECONDS);
        if (!factory.isTerminated()) throw new IllegalStateException("the worker did not end");
    }

    @Override
    public void close() throws Exception {
        try {
            for (WorkerFactory factory : factories) stopWorker(factory);
            Replay.all(client, queue, WORKFLOWS);
            stubs.shutdownNow();
            stubs.awaitTermination(10, TimeUnit.SECONDS);
        } finally {
            server.close();
        }
    }

    String newId(String name) {
        return "java-" + name + "-" + UUID.randomUUID();
    }

    WorkflowOptions.Builder options(String name) {
        return WorkflowOptions.newBuilder().setTaskQueue(queue).setWorkflowId(newId(name));
    }

    WorkflowStub start(String type, Object... arguments) {
        return startWith(options(type).build(), type, arguments);
    }

    WorkflowStub startWith(WorkflowOptions options, String type, Object... arguments) {
        WorkflowStub stub = client.newUntypedWorkflowStub(type, options);
        stub.start(arguments);
        return stub;
    }

    List<HistoryEvent> history(WorkflowStub stub) {
        return history(stub.getExecution().getWorkflowId(), stub.getExecution().getRunId());
    }

    List<HistoryEvent> history(String workflowId, String runId) {
        return client.fetchHistory(workflowId, runId).getHistory().getEventsList();
    }

    /** Returns when an event of this kind is in history. */
    HistoryEvent untilEvent(WorkflowStub stub, EventType wanted) {
        return untilEvent(stub, wanted, 1);
    }

    /** Returns the nth event of this kind when it is in history, not by time: the long poll answers when one is new. */
    HistoryEvent untilEvent(WorkflowStub stub, EventType wanted, int nth) {
        GetWorkflowExecutionHistoryRequest.Builder request =
                GetWorkflowExecutionHistoryRequest.newBuilder()
                        .setNamespace("default")
                        .setExecution(stub.getExecution())
                        .setWaitNewEvent(true);
        int left = nth;
        for (;;) {
            var page = service().getWorkflowExecutionHistory(request.build());
            for (HistoryEvent event : page.getHistory().getEventsList()) {
                if (event.getEventType() == wanted && --left == 0) return event;
            }
            assertFalse(page.getNextPageToken().isEmpty(), "the workflow closed without " + wanted);
            request.setNextPageToken(page.getNextPageToken());
        }
    }

    /** The service itself, for what the SDK has no words for. */
    WorkflowServiceGrpc.WorkflowServiceBlockingStub service() {
        return stubs.blockingStub();
    }

    DescribeWorkflowExecutionResponse describe(WorkflowStub stub) {
        return service()
                .describeWorkflowExecution(
                        DescribeWorkflowExecutionRequest.newBuilder()
                                .setNamespace("default")
                                .setExecution(stub.getExecution())
                                .build());
    }

    /** For states that no event announces. */
    static void until(String what, BooleanSupplier look) throws InterruptedException {
        for (int attempt = 0; !look.getAsBoolean(); attempt++) {
            assertTrue(attempt < 1000, () -> "it did not come to that: " + what);
            Thread.sleep(20);
        }
    }

    static void refused(Status.Code code, Executable call) {
        assertEquals(code, assertThrows(StatusRuntimeException.class, call).getStatus().getCode());
    }

    /** The stub of one run, which does not follow its chain. */
    WorkflowStub stubOf(String workflowId, String runId) {
        return client.newUntypedWorkflowStub(
                WorkflowTargetOptions.newBuilder().setWorkflowId(workflowId).setRunId(runId).build());
    }

    WorkflowStub stubOf(String workflowId) {
        return client.newUntypedWorkflowStub(workflowId);
    }

    static List<String> kinds(List<HistoryEvent> history) {
        return history.stream().map(event -> event.getEventType().name().replace("EVENT_TYPE_", "")).toList();
    }

    /** The kinds of a history: each part is a kind or a list of kinds. */
    static List<String> sequence(Object... parts) {
        List<String> all = new ArrayList<>();
        for (Object part : parts) {
            if (part instanceof List<?> list) list.forEach(kind -> all.add(String.valueOf(kind)));
            else all.add(String.valueOf(part));
        }
        return all;
    }

    static HistoryEvent only(List<HistoryEvent> history, EventType kind) {
        List<HistoryEvent> found = history.stream().filter(event -> event.getEventType() == kind).toList();
        assertEquals(1, found.size(), () -> kind + " in " + kinds(history));
        return found.get(0);
    }

    static <T> T decoded(Payloads payloads, Class<T> type) {
        return DefaultDataConverter.STANDARD_INSTANCE.fromPayloads(0, Optional.of(payloads), type, type);
    }

    static Duration between(HistoryEvent first, HistoryEvent second) {
        return Duration.between(instant(first.getEventTime()), instant(second.getEventTime()));
    }

    private static Instant instant(Timestamp time) {
        return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
    }

    /** Hands the one harness to every test that names it as a parameter; it is closed after the last test. */
    static final class Provider implements ParameterResolver {
        @Override
        public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
            return parameter.getParameter().getType() == Harness.class;
        }

        @Override
        public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
            return context.getRoot()
                    .getStore(ExtensionContext.Namespace.GLOBAL)
                    .getOrComputeIfAbsent(Harness.class, type -> create(), Harness.class);
        }

        private static Harness create() {
            try {
                Harness harness = new Harness();
                harness.work();
                return harness;
            } catch (Exception failure) {
                throw new IllegalStateException("no server to test", failure);
            }
        }
    }
}
