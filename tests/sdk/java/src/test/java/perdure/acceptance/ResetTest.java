package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.between;
import static perdure.acceptance.Harness.decoded;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.only;
import static perdure.acceptance.Harness.refused;
import static perdure.acceptance.Harness.sequence;

import io.grpc.Status;
import io.temporal.api.common.v1.WorkflowExecution;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.ResetReapplyExcludeType;
import io.temporal.api.enums.v1.WorkflowExecutionStatus;
import io.temporal.api.enums.v1.WorkflowIdReusePolicy;
import io.temporal.api.enums.v1.WorkflowTaskFailedCause;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.workflowservice.v1.DeleteWorkflowExecutionRequest;
import io.temporal.api.workflowservice.v1.ResetWorkflowExecutionRequest;
import io.temporal.client.WorkflowNotFoundException;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Reset and delete. */
@ExtendWith(Harness.Provider.class)
final class ResetTest {
    static final List<String> UNTIL_RESET =
            List.of(STARTED, "WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_FAILED");
    static final ResetReapplyExcludeType NO_SIGNALS =
            ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL;
    static final String SIGNAL = "WORKFLOW_EXECUTION_SIGNALED";
    private static final EventType TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED;

    /** Keeps the history before the event `finish` and answers with the new run. */
    static WorkflowStub reset(
            Harness harness, WorkflowStub base, long finish, ResetReapplyExcludeType... excluded) {
        String runId =
                harness.service()
                        .resetWorkflowExecution(
                                ResetWorkflowExecutionRequest.newBuilder()
                                        .setNamespace("default")
                                        .setWorkflowExecution(base.getExecution())
                                        .setReason("another try")
                                        .setRequestId(UUID.randomUUID().toString())
                                        .setWorkflowTaskFinishEventId(finish)
                                        .addAllResetReapplyExcludeTypes(List.of(excluded))
                                        .build())
                        .getRunId();
        assertNotEquals(base.getExecution().getRunId(), runId);
        return harness.stubOf(base.getExecution().getWorkflowId(), runId);
    }

    /** Has worked on the signals a and b, each in a task of its own. */
    static WorkflowStub openMailbox(Harness harness, String queue) {
        WorkflowOptions options = harness.options("mailbox").setTaskQueue(queue).build();
        WorkflowStub stub = harness.startWith(options, "Mailbox");
        harness.untilEvent(stub, TASK_COMPLETED, 1);
        stub.signal("put", "a");
        harness.untilEvent(stub, TASK_COMPLETED, 2);
        stub.signal("put", "b");
        harness.untilEvent(stub, TASK_COMPLETED, 3);
        return stub;
    }

    static String messagesOf(WorkflowStub mailbox) {
        mailbox.signal("close");
        return mailbox.getResult(String.class);
    }

    @Test
    void aResetOfARunningWorkflowBringsItsSignalsAlong(Harness harness) {
        WorkflowStub base = openMailbox(harness, harness.queue);
        WorkflowStub run = reset(harness, base, 4);
        List<HistoryEvent> cut = harness.history(base);
        assertEquals(
                sequence(STARTED, TASK, SIGNAL, TASK, SIGNAL, TASK, "WORKFLOW_EXECUTION_TERMINATED"), kinds(cut));
        var end = cut.get(12).getWorkflowExecutionTerminatedEventAttributes();
        assertEquals(List.of("another try", "history-resetter"), List.of(end.getReason(), end.getIdentity()));
        assertEquals(
                run.getExecution().getRunId(), harness.describe(base).getWorkflowExtendedInfo().getResetRunId());
        assertEquals(
                cut.get(0).getEventTime(), harness.describe(run).getWorkflowExtendedInfo().getOriginalStartTime());

        harness.untilEvent(run, TASK_COMPLETED, 1);
        List<HistoryEvent> history = harness.history(run);
        assertEquals(sequence(UNTIL_RESET, SIGNAL, SIGNAL, TASK), kinds(history));
        var failed = history.get(3).getWorkflowTaskFailedEventAttributes();
        assertEquals(WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, failed.getCause());
        assertEquals(base.getExecution().getRunId(), failed.getBaseRunId());
        assertEquals(run.getExecution().getRunId(), failed.getNewRunId());
        assertTrue(failed.getFailure().hasResetWorkflowFailureInfo());
        var put = history.get(4).getWorkflowExecutionSignaledEventAttributes();
        assertEquals("a", decoded(put.getInput(), String.class));
        assertEquals("a,b", messagesOf(run));
    }

    @Test
    void aResetInTheMiddleKeepsWhatComesBeforeItAndCanBeResetAgain(Harness harness) {
        WorkflowStub base = openMailbox(harness, harness.queue);
        WorkflowStub run = reset(harness, base, 8, NO_SIGNALS); // a is kept, b forgotten
        harness.untilEvent(run, TASK_COMPLETED, 2);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        SIGNAL,
                        "WORKFLOW_TASK_SCHEDULED",
                        "WORKFLOW_TASK_STARTED",
                        "WORKFLOW_TASK_FAILED",
                        TASK),
                kinds(harness.history(run)));
        WorkflowStub again = reset(harness, run, 4);
        harness.untilEvent(again, TASK_COMPLETED, 1);
        assertEquals(sequence(UNTIL_RESET, SIGNAL, TASK), kinds(harness.history(again)));
        assertEquals("a", messagesOf(again));
    }

    @Test
    void aResetOfAClosedWorkflowLeavesThatOneAsItWas(Harness harness) {
        WorkflowStub base = openMailbox(harness, harness.queue);
        assertEquals("a,b", messagesOf(base));
        List<HistoryEvent> before = harness.history(base);
        WorkflowStub run = reset(harness, base, 4, NO_SIGNALS);
        harness.untilEvent(run, TASK_COMPLETED, 1);
        assertEquals(sequence(UNTIL_RESET, TASK), kinds(harness.history(run)));
        assertEquals(before, harness.history(base));
        assertEquals(
                WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED,
                harness.describe(base).getWorkflowExecutionInfo().getStatus());
        assertEquals("", messagesOf(run));
    }

    @Test
    void aResetKeepsWhatWasDoneAndChildrenThatRunAndTheTimeOfTimers(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub base = harness.start("Steps", child);
        HistoryEvent due = harness.untilEvent(base, EventType.EVENT_TYPE_TIMER_STARTED, 1);
        base.signal("go", "on");
        HistoryEvent finish = harness.untilEvent(base, TASK_COMPLETED, 4);
        WorkflowStub run = reset(harness, base, finish.getEventId());
        HistoryEvent fired = harness.untilEvent(run, EventType.EVENT_TYPE_TIMER_FIRED, 1);
        assertTrue(between(due, fired).toMillis() >= 1000);
        harness.stubOf(child).signal("go", "on");
        assertEquals("child done", run.getResult(String.class));
        List<HistoryEvent> history = harness.history(run);
        int end = (int) finish.getEventId() - 1;
        assertEquals(kinds(harness.history(base)).subList(0, end), kinds(history).subList(0, end));
        only(history, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
        only(history, EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED);
        only(history, EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED);
    }

    @Test
    void aResetIsRefusedWhereNoTaskEnds(Harness harness) {
        WorkflowStub base = openMailbox(harness, harness.queue);
        for (long finish : List.of(0, 1, 2, 5, 1000)) {
            refused(Status.Code.INVALID_ARGUMENT, () -> reset(harness, base, finish));
        }
        WorkflowStub nobody = harness.stubOf("there-is-no-such-workflow");
        refused(Status.Code.NOT_FOUND, () -> reset(harness, nobody, 4));
    }

    @Test
    void aWorkflowHasPointsToBeResetTo(Harness harness) {
        WorkflowStub stub = openMailbox(harness, harness.queue);
        var points = harness.describe(stub).getWorkflowExecutionInfo().getAutoResetPoints();
        assertEquals(1, points.getPointsCount());
        assertEquals(4, points.getPoints(0).getFirstWorkflowTaskCompletedId());
        assertTrue(points.getPoints(0).getResettable());
    }

    private static void delete(Harness harness, String workflowId) {
        harness.service()
                .deleteWorkflowExecution(
                        DeleteWorkflowExecutionRequest.newBuilder()
                                .setNamespace("default")
                                .setWorkflowExecution(WorkflowExecution.newBuilder().setWorkflowId(workflowId))
                                .build());
    }

    @Test
    void aDeleteFreesTheId(Harness harness) throws Exception {
        WorkflowStub open = harness.start("Sleeper", 3_600_000);
        String id = open.getExecution().getWorkflowId();
        delete(harness, id);
        WorkflowStub gone = harness.stubOf(id, open.getExecution().getRunId());
        Harness.until(
                "the run is gone",
                () -> {
                    try {
                        gone.describe();
                        return false;
                    } catch (WorkflowNotFoundException expected) {
                        return true;
                    }
                });
        WorkflowOptions options =
                harness.options("again")
                        .setWorkflowId(id)
                        .setWorkflowIdReusePolicy(WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
                        .build();
        WorkflowStub next = harness.startWith(options, "Answer", "again");
        assertEquals("again", next.getResult(String.class));
        assertEquals(sequence(STARTED, TASK, COMPLETED), kinds(harness.history(next)));
        refused(Status.Code.NOT_FOUND, () -> delete(harness, "there-is-no-such-workflow"));
    }
}
