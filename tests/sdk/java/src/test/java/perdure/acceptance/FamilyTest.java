package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.FAILED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.decoded;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.only;
import static perdure.acceptance.Harness.sequence;

import io.temporal.api.enums.v1.CancelExternalWorkflowExecutionFailedCause;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.ParentClosePolicy;
import io.temporal.api.enums.v1.RetryState;
import io.temporal.api.enums.v1.SignalExternalWorkflowExecutionFailedCause;
import io.temporal.api.enums.v1.StartChildWorkflowExecutionFailedCause;
import io.temporal.api.enums.v1.WorkflowExecutionStatus;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.history.v1.WorkflowExecutionSignaledEventAttributes;
import io.temporal.client.WorkflowFailedException;
import io.temporal.client.WorkflowNotFoundException;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import io.temporal.failure.ApplicationFailure;
import io.temporal.failure.CanceledFailure;
import io.temporal.failure.ChildWorkflowFailure;
import io.temporal.failure.TerminatedFailure;
import io.temporal.failure.TimeoutFailure;
import io.temporal.workflow.ChildWorkflowCancellationType;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Children, how they start and end and what their parent reads of it; signals and cancels between workflows. */
@ExtendWith(Harness.Provider.class)
final class FamilyTest {
    private static final List<String> CHILD_STARTED =
            sequence(
                    STARTED,
                    TASK,
                    "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
                    "CHILD_WORKFLOW_EXECUTION_STARTED",
                    TASK);

    private static WorkflowStub parentOf(Harness harness, String type, String childId, Object argument) {
        return harness.start("Parent", type, childId, argument, 0, 0);
    }

    /** Lets the child end when its parent has worked on its start (its second task) and itself waits. */
    private static void letGo(Harness harness, WorkflowStub parent, String child) {
        harness.untilEvent(parent, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2);
        harness.untilEvent(harness.stubOf(child), EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 1);
        harness.stubOf(child).signal("go", "on");
    }

    private static <T extends Throwable> T childFailureOf(WorkflowStub parent, Class<T> expected) {
        WorkflowFailedException failed =
                assertThrows(WorkflowFailedException.class, () -> parent.getResult(String.class));
        ChildWorkflowFailure failure = assertInstanceOf(ChildWorkflowFailure.class, failed.getCause());
        return assertInstanceOf(expected, failure.getCause());
    }

    @Test
    void aChildTellsItsResultAndKnowsWhereItComesFrom(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = parentOf(harness, "Gated", child, "child");
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2);
        var pending = harness.describe(stub).getPendingChildren(0);
        assertEquals(child, pending.getWorkflowId());
        assertEquals(5, pending.getInitiatedId());
        assertEquals("Gated", pending.getWorkflowTypeName());
        assertEquals(ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE, pending.getParentClosePolicy());
        var info = harness.describe(harness.stubOf(child)).getWorkflowExecutionInfo();
        assertEquals(stub.getExecution(), info.getParentExecution());
        assertEquals(stub.getExecution(), info.getRootExecution());
        letGo(harness, stub, child);
        assertEquals("child done", stub.getResult(String.class));

        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(CHILD_STARTED, "CHILD_WORKFLOW_EXECUTION_COMPLETED", TASK, COMPLETED), kinds(history));
        var initiated = history.get(4).getStartChildWorkflowExecutionInitiatedEventAttributes();
        assertEquals(child, initiated.getWorkflowId());
        assertEquals(harness.queue, initiated.getTaskQueue().getName());
        assertEquals(4, initiated.getWorkflowTaskCompletedEventId());
        assertEquals(ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE, initiated.getParentClosePolicy());
        var started = history.get(5).getChildWorkflowExecutionStartedEventAttributes();
        assertEquals(5, started.getInitiatedEventId());
        assertEquals(pending.getRunId(), started.getWorkflowExecution().getRunId());
        var completed = history.get(9).getChildWorkflowExecutionCompletedEventAttributes();
        assertEquals(List.of(5L, 6L), List.of(completed.getInitiatedEventId(), completed.getStartedEventId()));
        assertEquals(pending.getRunId(), completed.getWorkflowExecution().getRunId());
        assertEquals("child done", decoded(completed.getResult(), String.class));

        List<HistoryEvent> own = harness.history(child, pending.getRunId());
        assertEquals(sequence(STARTED, TASK, "WORKFLOW_EXECUTION_SIGNALED", TASK, COMPLETED), kinds(own));
        var begun = own.get(0).getWorkflowExecutionStartedEventAttributes();
        assertEquals(stub.getExecution(), begun.getParentWorkflowExecution());
        assertEquals(stub.getExecution(), begun.getRootWorkflowExecution());
        assertEquals(5, begun.getParentInitiatedEventId());
        assertEquals("default", begun.getParentWorkflowNamespace());
    }

    @Test
    void allGenerationsHaveOneRoot(Harness harness) {
        String child = harness.newId("child");
        String grandchild = harness.newId("grandchild");
        WorkflowStub stub = harness.start("Family", child, grandchild);
        assertEquals(stub.getExecution().getWorkflowId() + " " + child, stub.getResult(String.class));
        var begun = harness.history(grandchild, "").get(0).getWorkflowExecutionStartedEventAttributes();
        assertEquals(stub.getExecution(), begun.getRootWorkflowExecution());
        assertEquals(child, begun.getParentWorkflowExecution().getWorkflowId());
    }

    @Test
    void aChildPassesItsFailureOn(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = parentOf(harness, "GatedFailure", child, "x");
        letGo(harness, stub, child);
        ApplicationFailure failure = childFailureOf(stub, ApplicationFailure.class);
        assertEquals("Bad", failure.getType());
        assertEquals(7, failure.getDetails().get(Integer.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(CHILD_STARTED, "CHILD_WORKFLOW_EXECUTION_FAILED", TASK, FAILED), kinds(history));
        var failed = history.get(9).getChildWorkflowExecutionFailedEventAttributes();
        assertEquals(List.of(5L, 6L), List.of(failed.getInitiatedEventId(), failed.getStartedEventId()));
        assertEquals(RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET, failed.getRetryState());
    }

    @Test
    void theParentOfARetriedChildHearsOfTheLastRunAlone(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = harness.start("Parent", "Retried", child, 2, 0, 3);
        assertEquals("2", stub.getResult(String.class));
        wantOneChain(harness, stub, child);
    }

    @Test
    void theParentOfAChildThatContinuesAsNewHearsOfTheLastRunAlone(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = parentOf(harness, "CountDown", child, 2);
        assertEquals(wantOneChain(harness, stub, child), stub.getResult(String.class));
    }

    /** Returns the first run of the child. */
    private static String wantOneChain(Harness harness, WorkflowStub stub, String child) {
        stub.getResult(String.class);
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(CHILD_STARTED, "CHILD_WORKFLOW_EXECUTION_COMPLETED", TASK, COMPLETED), kinds(history));
        String first =
                history.get(5).getChildWorkflowExecutionStartedEventAttributes().getWorkflowExecution().getRunId();
        String last =
                history.get(9).getChildWorkflowExecutionCompletedEventAttributes().getWorkflowExecution().getRunId();
        assertNotEquals(first, last);
        var begun = harness.history(child, last).get(0).getWorkflowExecutionStartedEventAttributes();
        assertEquals(first, begun.getFirstExecutionRunId());
        assertEquals(stub.getExecution(), begun.getParentWorkflowExecution());
        return first;
    }

    @Test
    void aChildTimesOut(Harness harness) {
        WorkflowStub stub = harness.start("Parent", "Gated", harness.newId("child"), "late", 1, 0);
        childFailureOf(stub, TimeoutFailure.class);
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(CHILD_STARTED, "CHILD_WORKFLOW_EXECUTION_TIMED_OUT", TASK, FAILED), kinds(history));
        var late = history.get(9).getChildWorkflowExecutionTimedOutEventAttributes();
        assertEquals(RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET, late.getRetryState());
    }

    @Test
    void aChildIsTerminated(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = parentOf(harness, "Gated", child, "child");
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2);
        harness.stubOf(child).terminate("no more");
        childFailureOf(stub, TerminatedFailure.class);
        assertEquals(
                sequence(CHILD_STARTED, "CHILD_WORKFLOW_EXECUTION_TERMINATED", TASK, FAILED),
                kinds(harness.history(stub)));
    }

    @Test
    void aChildIsRefusedWhenItsIdIsTaken(Harness harness) {
        WorkflowStub holder = harness.start("Gated", "first");
        WorkflowStub stub = parentOf(harness, "Gated", holder.getExecution().getWorkflowId(), "second");
        assertThrows(WorkflowFailedException.class, () -> stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
                        "START_CHILD_WORKFLOW_EXECUTION_FAILED",
                        TASK,
                        FAILED),
                kinds(history));
        var failed = history.get(5).getStartChildWorkflowExecutionFailedEventAttributes();
        assertEquals(
                StartChildWorkflowExecutionFailedCause
                        .START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS,
                failed.getCause());
        assertEquals(5, failed.getInitiatedEventId());
    }

    @Test
    void aParentThatClosesInTheSameTaskStartsNoChild(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = harness.start("HastyParent", child);
        stub.getResult(Void.class);
        assertEquals(
                sequence(STARTED, TASK, "START_CHILD_WORKFLOW_EXECUTION_INITIATED", COMPLETED),
                kinds(harness.history(stub)));
        assertThrows(WorkflowNotFoundException.class, () -> harness.stubOf(child).describe());
    }

    @Test
    void childrenAreMany(Harness harness) {
        WorkflowStub stub = harness.start("ManyChildren", 50);
        assertEquals(50, stub.getResult(Integer.class));
        List<String> seen = kinds(harness.history(stub));
        assertEquals(50, seen.stream().filter("CHILD_WORKFLOW_EXECUTION_STARTED"::equals).count());
        assertEquals(50, seen.stream().filter("CHILD_WORKFLOW_EXECUTION_COMPLETED"::equals).count());
    }

    private static final List<String> CANCEL_SENT =
            sequence(
                    "WORKFLOW_EXECUTION_SIGNALED", TASK, "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED");
    private static final List<String> CANCEL_ARRIVED =
            sequence("EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED", TASK);

    @ParameterizedTest
    @EnumSource(ChildWorkflowCancellationType.class)
    void aChildIsCancelled(ChildWorkflowCancellationType type, Harness harness) {
        String id = harness.newId("child");
        WorkflowStub stub = harness.start("CancellingParent", id, type);
        WorkflowStub child = harness.stubOf(id);
        letGo(harness, stub, stub.getExecution().getWorkflowId());
        if (type == ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED) {
            harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 4);
            child.signal("go", "on");
        }
        assertEquals("cancelled", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        switch (type) {
            case WAIT_CANCELLATION_COMPLETED -> {
                assertEquals(
                        sequence(
                                CHILD_STARTED,
                                CANCEL_SENT,
                                CANCEL_ARRIVED,
                                "CHILD_WORKFLOW_EXECUTION_CANCELED",
                                TASK,
                                COMPLETED),
                        kinds(history));
                var request = history.get(13).getRequestCancelExternalWorkflowExecutionInitiatedEventAttributes();
                assertTrue(request.getChildWorkflowOnly());
                assertEquals(id, request.getWorkflowExecution().getWorkflowId());
                HistoryEvent asked =
                        only(harness.history(id, ""), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED);
                var attributes = asked.getWorkflowExecutionCancelRequestedEventAttributes();
                assertEquals(stub.getExecution(), attributes.getExternalWorkflowExecution());
                assertEquals(14, attributes.getExternalInitiatedEventId());
                assertEquals("history-service", attributes.getIdentity());
            }
            case WAIT_CANCELLATION_REQUESTED ->
                    assertEquals(sequence(CHILD_STARTED, CANCEL_SENT, CANCEL_ARRIVED, COMPLETED), kinds(history));
            case TRY_CANCEL -> assertEquals(sequence(CHILD_STARTED, CANCEL_SENT, COMPLETED), kinds(history));
            case ABANDON ->
                    assertEquals(
                            sequence(CHILD_STARTED, "WORKFLOW_EXECUTION_SIGNALED", TASK, COMPLETED), kinds(history));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"complete", "fail", "continue", "terminate", "time out"})
    void theCloseOfAParentIsFeltByItsChildren(String end, Harness harness) {
        String prefix = harness.newId("child");
        WorkflowOptions.Builder options = harness.options("policies");
        if (end.equals("time out")) options.setWorkflowRunTimeout(Duration.ofSeconds(5));
        WorkflowStub stub = harness.startWith(options.build(), "Policies", prefix);
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 4);
        if (end.equals("terminate")) stub.terminate("enough");
        else if (!end.equals("time out")) stub.signal("go", end);

        WorkflowStub terminated = harness.stubOf(prefix + ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE);
        HistoryEvent last =
                harness.untilEvent(terminated, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, 1);
        assertEquals(
                "history-service", last.getWorkflowExecutionTerminatedEventAttributes().getIdentity());
        WorkflowStub cancelled = harness.stubOf(prefix + ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL);
        var asked =
                harness.untilEvent(cancelled, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, 1)
                        .getWorkflowExecutionCancelRequestedEventAttributes();
        assertEquals(stub.getExecution(), asked.getExternalWorkflowExecution());
        assertEquals("history-service", asked.getIdentity());
        WorkflowStub abandoned = harness.stubOf(prefix + ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON);
        abandoned.signal("go", "on");
        assertEquals("never done", abandoned.getResult(String.class));
        if (end.equals("continue")) harness.stubOf(stub.getExecution().getWorkflowId()).terminate("enough");
    }

    @Test
    void aSignalOfAnotherWorkflowArrivesOnceWithItsSender(Harness harness) {
        WorkflowStub mailbox = harness.start("Mailbox");
        harness.untilEvent(mailbox, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 1);
        WorkflowStub stub = harness.start("Signaller", mailbox.getExecution().getWorkflowId(), "from outside");
        assertEquals("delivered", stub.getResult(String.class));
        harness.untilEvent(mailbox, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2);
        mailbox.signal("close");
        assertEquals("from outside", mailbox.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
                        "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED",
                        TASK,
                        COMPLETED),
                kinds(history));
        var initiated = history.get(4).getSignalExternalWorkflowExecutionInitiatedEventAttributes();
        assertEquals("put", initiated.getSignalName());
        assertEquals(mailbox.getExecution().getWorkflowId(), initiated.getWorkflowExecution().getWorkflowId());
        assertEquals(5, history.get(5).getExternalWorkflowExecutionSignaledEventAttributes().getInitiatedEventId());
        var put = harness.history(mailbox).get(4).getWorkflowExecutionSignaledEventAttributes();
        assertEquals("history-service", put.getIdentity());
        assertEquals(stub.getExecution(), put.getExternalWorkflowExecution());
    }

    @Test
    void aSignalToNobodyIsRefused(Harness harness) {
        WorkflowStub closed = harness.start("Answer", "closed");
        closed.getResult(String.class);
        for (String target : List.of("there-is-no-such-workflow", closed.getExecution().getWorkflowId(), "")) {
            WorkflowStub stub = harness.start("Signaller", target, "lost");
            assertEquals("refused", stub.getResult(String.class));
            List<HistoryEvent> history = harness.history(stub);
            assertEquals(
                    sequence(
                            STARTED,
                            TASK,
                            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
                            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED",
                            TASK,
                            COMPLETED),
                    kinds(history));
            var failed = history.get(5).getSignalExternalWorkflowExecutionFailedEventAttributes();
            assertEquals(
                    SignalExternalWorkflowExecutionFailedCause
                            .SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
                    failed.getCause());
            assertEquals(5, failed.getInitiatedEventId());
        }
    }

    @Test
    void aParentSignalsItsChild(Harness harness) {
        String child = harness.newId("child");
        WorkflowStub stub = harness.start("SignallingParent", child);
        assertEquals("from my parent", stub.getResult(String.class));
        List<String> names =
                harness.history(child, "").stream()
                        .filter(HistoryEvent::hasWorkflowExecutionSignaledEventAttributes)
                        .map(HistoryEvent::getWorkflowExecutionSignaledEventAttributes)
                        .filter(signal -> signal.getExternalWorkflowExecution().equals(stub.getExecution()))
                        .map(WorkflowExecutionSignaledEventAttributes::getSignalName)
                        .toList();
        assertEquals(List.of("put", "close"), names);
    }

    @Test
    void aWorkflowCancelsAnotherAndOneThatHasEndedAlready(Harness harness) {
        WorkflowStub target = harness.start("Sleeper", 3_600_000);
        harness.untilEvent(target, EventType.EVENT_TYPE_TIMER_STARTED, 1);
        List<String> sent =
                sequence(
                        STARTED,
                        TASK,
                        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
                        CANCEL_ARRIVED,
                        COMPLETED);
        WorkflowStub stub = harness.start("Canceller", target.getExecution().getWorkflowId());
        assertEquals("delivered", stub.getResult(String.class));
        WorkflowFailedException failed =
                assertThrows(WorkflowFailedException.class, () -> target.getResult(String.class));
        assertInstanceOf(CanceledFailure.class, failed.getCause());
        assertEquals(sent, kinds(harness.history(stub)));
        HistoryEvent asked =
                only(harness.history(target), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED);
        var attributes = asked.getWorkflowExecutionCancelRequestedEventAttributes();
        assertEquals(stub.getExecution(), attributes.getExternalWorkflowExecution());
        assertEquals(5, attributes.getExternalInitiatedEventId());
        WorkflowStub again = harness.start("Canceller", target.getExecution().getWorkflowId());
        assertEquals("delivered", again.getResult(String.class));
        assertEquals(sent, kinds(harness.history(again)));
        assertEquals(
                WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED,
                harness.describe(target).getWorkflowExecutionInfo().getStatus());
    }

    @Test
    void aCancelOfNobodyIsRefused(Harness harness) {
        WorkflowStub stub = harness.start("Canceller", "there-is-no-such-workflow");
        assertEquals("refused", stub.getResult(String.class));
        HistoryEvent failed =
                only(
                        harness.history(stub),
                        EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED);
        var attributes = failed.getRequestCancelExternalWorkflowExecutionFailedEventAttributes();
        assertEquals(
                CancelExternalWorkflowExecutionFailedCause
                        .CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
                attributes.getCause());
        assertEquals(5, attributes.getInitiatedEventId());
    }
}
