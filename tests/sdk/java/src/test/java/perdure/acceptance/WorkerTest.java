package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.only;
import static perdure.acceptance.Harness.refused;
import static perdure.acceptance.Harness.sequence;
import static perdure.acceptance.Harness.until;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import io.grpc.Status;
import io.temporal.api.common.v1.Link;
import io.temporal.api.common.v1.Payload;
import io.temporal.api.common.v1.Payloads;
import io.temporal.api.common.v1.WorkflowType;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.TaskQueueType;
import io.temporal.api.enums.v1.WorkflowIdConflictPolicy;
import io.temporal.api.enums.v1.WorkflowTaskFailedCause;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.sdk.v1.UserMetadata;
import io.temporal.api.taskqueue.v1.TaskQueue;
import io.temporal.api.workflow.v1.OnConflictOptions;
import io.temporal.api.workflowservice.v1.DescribeTaskQueueRequest;
import io.temporal.api.workflowservice.v1.DescribeTaskQueueResponse;
import io.temporal.api.workflowservice.v1.SignalWorkflowExecutionRequest;
import io.temporal.api.workflowservice.v1.StartWorkflowExecutionRequest;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import io.temporal.common.Priority;
import io.temporal.common.SearchAttributes;
import io.temporal.worker.Worker;
import io.temporal.worker.WorkerFactory;
import io.temporal.worker.WorkerOptions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfEnvironmentVariable;
import org.junit.jupiter.api.extension.ExtendWith;

/** Workers and their queues, what is said about workflows, and limits. */
@ExtendWith(Harness.Provider.class)
final class WorkerTest {
    private static final int MIB = 1024 * 1024;

    private static DescribeTaskQueueResponse describeQueue(Harness harness, String queue, TaskQueueType type) {
        return harness.service()
                .describeTaskQueue(
                        DescribeTaskQueueRequest.newBuilder()
                                .setNamespace("default")
                                .setTaskQueue(TaskQueue.newBuilder().setName(queue))
                                .setTaskQueueType(type)
                                .setReportStats(true)
                                .build());
    }

    @Test
    void aWorkerThatStopsLeavesNothingToWaitFor(Harness harness) {
        String queue = harness.queue + "-stopping";
        WorkerFactory first = harness.startWorker(queue);
        WorkflowStub stub = ResetTest.openMailbox(harness, queue);
        Instant before = Instant.now();
        Harness.stopWorker(first);
        assertTrue(Duration.between(before, Instant.now()).toSeconds() < 5, "the stop took too long");
        stub.signal("put", "c");
        WorkerFactory second = harness.startWorker(queue);
        assertEquals("a,b,c", ResetTest.messagesOf(stub));
        Harness.stopWorker(second);
        List<String> seen = kinds(harness.history(stub));
        assertFalse(seen.contains("WORKFLOW_TASK_TIMED_OUT") || seen.contains("WORKFLOW_TASK_FAILED"), seen::toString);
    }

    @Test
    void aLocalActivityIsRetried(Harness harness) {
        WorkflowStub stub = harness.start("UnsteadyLocal");
        assertEquals(3, stub.getResult(Integer.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, "MARKER_RECORDED", COMPLETED), kinds(history));
        assertEquals(4, history.get(4).getMarkerRecordedEventAttributes().getWorkflowTaskCompletedEventId());
    }

    @Test
    void theUrgentOnesComeFirst(Harness harness) throws Exception {
        String queue = harness.queue + "-urgent";
        WorkflowOptions options =
                harness.options("prioritised")
                        .setPriority(Priority.newBuilder().setPriorityKey(4).build())
                        .build();
        WorkflowStub stub = harness.startWith(options, "Prioritised", queue, 20);
        until(
                "a backlog of 20",
                () ->
                        describeQueue(harness, queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
                                        .getStats()
                                        .getApproximateBacklogCount()
                                == 20);
        WorkerFactory factory = WorkerFactory.newInstance(harness.client);
        WorkerOptions one =
                WorkerOptions.newBuilder()
                        .setMaxConcurrentActivityExecutionSize(1)
                        .setMaxConcurrentActivityTaskPollers(1)
                        .build();
        Worker worker = factory.newWorker(queue, one);
        worker.registerActivitiesImplementations(harness.activities);
        factory.start();
        stub.getResult(Void.class);
        Harness.stopWorker(factory);
        List<Integer> noted = harness.activities.notes(queue);
        assertEquals(20, noted.size());
        assertEquals(noted.stream().sorted().toList(), noted);
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(4, history.get(0).getWorkflowExecutionStartedEventAttributes().getPriority().getPriorityKey());
        assertEquals(5, history.get(4).getActivityTaskScheduledEventAttributes().getPriority().getPriorityKey());
    }

    @Test
    void aWorkerIsSeenAtItsQueueWithTheBacklog(Harness harness) throws Exception {
        String queue = harness.queue + "-described";
        List<WorkflowStub> stubs = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            WorkflowOptions options = harness.options("described").setTaskQueue(queue).build();
            stubs.add(harness.startWith(options, "Answer", "x"));
        }
        until(
                "a backlog of 3",
                () -> {
                    var stats = describeQueue(harness, queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW).getStats();
                    return stats.getApproximateBacklogCount() == 3
                            && Durations.isPositive(stats.getApproximateBacklogAge());
                });
        WorkerFactory factory = harness.startWorker(queue);
        for (WorkflowStub stub : stubs) stub.getResult(String.class);
        until(
                "no backlog and one poller",
                () -> {
                    var described = describeQueue(harness, queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW);
                    return described.getStats().getApproximateBacklogCount() == 0
                            && described.getPollersCount() == 1
                            && described.getPollers(0).getIdentity().contains(harness.identity);
                });
        Harness.stopWorker(factory);
    }

    @Test
    void aWorkflowComesWithTheAnswerToItsStart(Harness harness) {
        WorkflowOptions options = harness.options("eager").setDisableEagerExecution(false).build();
        WorkflowStub stub = harness.startWith(options, "Answer", "at once");
        assertEquals("at once", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, COMPLETED), kinds(history));
        assertTrue(history.get(0).getWorkflowExecutionStartedEventAttributes().getEagerExecutionAccepted());
    }

    /** The reference has this switched off unless it is told otherwise. */
    @Test
    @DisabledIfEnvironmentVariable(named = "PERDURE_ADDRESS_IS_REFERENCE", matches = "[^0].*")
    void anActivityComesWithTheAnswerToAWorkflowTask(Harness harness) {
        WorkflowStub stub = harness.start("Greeter", "eager");
        assertEquals("Hello, eager!", stub.getResult(String.class));
        only(harness.history(stub), EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED);
        assertTrue(harness.eagerActivities.get() > 0);
    }

    @Test
    void aTaskFailsWhenTheCodeIsBrokenAndIsTriedAgain(Harness harness) {
        WorkflowStub stub = harness.start("Faulty");
        assertEquals("mended", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(
                        STARTED,
                        "WORKFLOW_TASK_SCHEDULED",
                        "WORKFLOW_TASK_STARTED",
                        "WORKFLOW_TASK_FAILED",
                        TASK,
                        COMPLETED),
                kinds(history));
        var failed = history.get(3).getWorkflowTaskFailedEventAttributes();
        assertEquals(
                WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                failed.getCause());
        assertTrue(failed.getFailure().toString().contains("broken")); // a cause of causes
        assertEquals(2, history.get(4).getWorkflowTaskScheduledEventAttributes().getAttempt());
    }

    @Test
    void aStartOfWhatRunsAlreadyIsAttachedToItOnce(Harness harness) {
        WorkflowStub stub = ResetTest.openMailbox(harness, harness.queue);
        List<String> before = kinds(harness.history(stub));
        StartWorkflowExecutionRequest request =
                StartWorkflowExecutionRequest.newBuilder()
                        .setNamespace("default")
                        .setWorkflowId(stub.getExecution().getWorkflowId())
                        .setRequestId(UUID.randomUUID().toString())
                        .setWorkflowType(WorkflowType.newBuilder().setName("Mailbox"))
                        .setTaskQueue(TaskQueue.newBuilder().setName(harness.queue))
                        .setWorkflowIdConflictPolicy(
                                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
                        .setOnConflictOptions(OnConflictOptions.newBuilder().setAttachRequestId(true))
                        .build();
        for (int attempt = 0; attempt < 2; attempt++) {
            var answer = harness.service().startWorkflowExecution(request);
            assertFalse(answer.getStarted());
            assertEquals(stub.getExecution().getRunId(), answer.getRunId());
        }
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(before, "WORKFLOW_EXECUTION_OPTIONS_UPDATED"), kinds(history));
        HistoryEvent last = history.get(history.size() - 1);
        assertEquals(
                request.getRequestId(),
                last.getWorkflowExecutionOptionsUpdatedEventAttributes().getAttachedRequestId());
        var info =
                harness.describe(stub)
                        .getWorkflowExtendedInfo()
                        .getRequestIdInfosOrThrow(request.getRequestId());
        assertEquals(last.getEventId(), info.getEventId());
        stub.terminate("enough");
    }

    @Test
    void linksOfAStartAreOnItsEvent(Harness harness) {
        WorkflowStub other = harness.start("Answer", "linked");
        Link link =
                Link.newBuilder()
                        .setWorkflowEvent(
                                Link.WorkflowEvent.newBuilder()
                                        .setNamespace("default")
                                        .setWorkflowId(other.getExecution().getWorkflowId())
                                        .setRunId(other.getExecution().getRunId())
                                        .setEventRef(
                                                Link.WorkflowEvent.EventReference.newBuilder()
                                                        .setEventId(1)
                                                        .setEventType(
                                                                EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)))
                        .build();
        StartWorkflowExecutionRequest.Builder request =
                StartWorkflowExecutionRequest.newBuilder()
                        .setNamespace("default")
                        .setWorkflowId(harness.newId("linking"))
                        .setRequestId(UUID.randomUUID().toString())
                        .setWorkflowType(WorkflowType.newBuilder().setName("Answer"))
                        .setTaskQueue(TaskQueue.newBuilder().setName(harness.queue))
                        .addLinks(link);
        String runId = harness.service().startWorkflowExecution(request.build()).getRunId();
        assertEquals(List.of(link), harness.history(request.getWorkflowId(), runId).get(0).getLinksList());
        for (int i = 0; i < 10; i++) request.addLinks(link);
        request.setWorkflowId(harness.newId("linking"));
        refused(Status.Code.INVALID_ARGUMENT, () -> harness.service().startWorkflowExecution(request.build()));
    }

    private static List<String> said(UserMetadata metadata) {
        return List.of(
                metadata.getSummary().getData().toStringUtf8(), metadata.getDetails().getData().toStringUtf8());
    }

    @Test
    void whatIsSaidAboutAWorkflowIsShown(Harness harness) {
        String child = harness.newId("child");
        WorkflowOptions options =
                harness.options("described")
                        .setStaticSummary("the workflow")
                        .setStaticDetails("with details")
                        .build();
        WorkflowStub stub = harness.startWith(options, "Described", child);
        stub.getResult(Void.class);
        List<HistoryEvent> history = harness.history(stub);
        List<String> workflow = List.of("\"the workflow\"", "\"with details\"");
        List<String> family = List.of("\"the child\"", "\"all about it\"");
        Map<EventType, List<String>> wanted =
                Map.of(
                        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, workflow,
                        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, List.of("\"the activity\"", ""),
                        EventType.EVENT_TYPE_TIMER_STARTED, List.of("\"the timer\"", ""),
                        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, family);
        wanted.forEach((kind, words) -> assertEquals(words, said(only(history, kind).getUserMetadata())));
        assertEquals(workflow, said(harness.describe(stub).getExecutionConfig().getUserMetadata()));
        assertEquals(family, said(harness.describe(harness.stubOf(child)).getExecutionConfig().getUserMetadata()));
    }

    @Test
    void whatIsSaidAboutAWorkflowCanBeTakenBack(Harness harness) {
        SearchAttributes user = SearchAttributes.newBuilder().set(OperatedWorkflows.USER, "me").build();
        WorkflowOptions options =
                harness.options("forgets")
                        .setMemo(Map.of("dropped", 1, "first", 2))
                        .setTypedSearchAttributes(user)
                        .build();
        WorkflowStub stub = harness.startWith(options, "Forgets");
        stub.getResult(Void.class);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "WORKFLOW_PROPERTIES_MODIFIED",
                        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
                        COMPLETED),
                kinds(harness.history(stub)));
        var info = harness.describe(stub).getWorkflowExecutionInfo();
        assertEquals(List.of("first", "kept", "new"), info.getMemo().getFieldsMap().keySet().stream().sorted().toList());
        assertFalse(stub.describe().getTypedSearchAttributes().containsKey(OperatedWorkflows.USER));
    }

    private static Payloads bytes(int size) {
        return Payloads.newBuilder()
                .addPayloads(Payload.newBuilder().setData(ByteString.copyFrom(new byte[size])))
                .build();
    }

    private static void begin(Harness harness, String workflowId, int inputSize) {
        harness.service()
                .startWorkflowExecution(
                        StartWorkflowExecutionRequest.newBuilder()
                                .setNamespace("default")
                                .setWorkflowId(workflowId)
                                .setRequestId(UUID.randomUUID().toString())
                                .setWorkflowType(WorkflowType.newBuilder().setName("Nobody"))
                                .setTaskQueue(TaskQueue.newBuilder().setName(harness.queue + "-nobody"))
                                .setInput(bytes(inputSize))
                                .build());
    }

    @Test
    void idsHaveALimit(Harness harness) {
        String longest = harness.newId("long") + "i".repeat(1000);
        begin(harness, longest.substring(0, 1000), 0);
        refused(Status.Code.INVALID_ARGUMENT, () -> begin(harness, longest.substring(0, 1001), 0));
    }

    @Test
    void inputsAndSignalsHaveALimit(Harness harness) {
        begin(harness, harness.newId("large"), 2 * MIB - 100);
        refused(Status.Code.INVALID_ARGUMENT, () -> begin(harness, harness.newId("large"), 2 * MIB + 1));
        WorkflowStub stub = harness.start("Mailbox");
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
        SignalWorkflowExecutionRequest request =
                SignalWorkflowExecutionRequest.newBuilder()
                        .setNamespace("default")
                        .setWorkflowExecution(stub.getExecution())
                        .setSignalName("unheard-of")
                        .build();
        harness.service().signalWorkflowExecution(request.toBuilder().setInput(bytes(2 * MIB - 100)).build());
        refused(
                Status.Code.INVALID_ARGUMENT,
                () ->
                        harness.service()
                                .signalWorkflowExecution(request.toBuilder().setInput(bytes(2 * MIB + 1)).build()));
        only(harness.history(stub), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
        stub.terminate("enough");
    }

    @Test
    void resultsOfActivitiesHaveALimit(Harness harness) {
        WorkflowStub stub = harness.start("Oversize");
        assertEquals("failed", stub.getResult(String.class));
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "ACTIVITY_TASK_SCHEDULED",
                        "ACTIVITY_TASK_STARTED",
                        "ACTIVITY_TASK_FAILED",
                        TASK,
                        COMPLETED),
                kinds(harness.history(stub)));
    }
}
