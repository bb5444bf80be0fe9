package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
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

import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.RetryState;
import io.temporal.api.enums.v1.WorkflowExecutionStatus;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.client.WorkflowFailedException;
import io.temporal.client.WorkflowNotFoundException;
import io.temporal.client.WorkflowStub;
import io.temporal.common.RetryOptions;
import io.temporal.failure.ApplicationFailure;
import io.temporal.failure.CanceledFailure;
import io.temporal.failure.TemporalFailure;
import io.temporal.failure.TerminatedFailure;
import io.temporal.failure.TimeoutFailure;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Timers, and every way in which a run can end. */
@ExtendWith(Harness.Provider.class)
final class EndTest {
    private static <T extends TemporalFailure> T causeOf(WorkflowStub stub, Class<T> expected) {
        WorkflowFailedException failed =
                assertThrows(WorkflowFailedException.class, () -> stub.getResult(Void.class));
        return assertInstanceOf(expected, failed.getCause());
    }

    @Test
    void aTimerFiresAfterItsTimeAndNeverBefore(Harness harness) {
        WorkflowStub stub = harness.start("Sleeper", 1000);
        assertEquals("slept", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, "TIMER_STARTED", "TIMER_FIRED", TASK, COMPLETED), kinds(history));
        var started = history.get(4).getTimerStartedEventAttributes();
        var fired = history.get(5).getTimerFiredEventAttributes();
        assertEquals(1, started.getStartToFireTimeout().getSeconds());
        assertEquals(started.getTimerId(), fired.getTimerId());
        assertEquals(5, fired.getStartedEventId());
        assertTrue(Harness.between(history.get(4), history.get(5)).compareTo(Duration.ofSeconds(1)) >= 0);
    }

    @Test
    void aTimerCanBeCancelled(Harness harness) {
        WorkflowStub stub = harness.start("TimerLoser");
        harness.untilEvent(stub, EventType.EVENT_TYPE_TIMER_STARTED);
        stub.signal("finish");
        assertEquals("signalled", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "TIMER_STARTED",
                        "WORKFLOW_EXECUTION_SIGNALED",
                        TASK,
                        "TIMER_CANCELED",
                        COMPLETED),
                kinds(history));
        assertEquals(5, history.get(9).getTimerCanceledEventAttributes().getStartedEventId());
    }

    @Test
    void aCancelRequestIsAcceptedAfterCleaningUp(Harness harness) {
        WorkflowStub stub = harness.start("Cleaner");
        harness.untilEvent(stub, EventType.EVENT_TYPE_TIMER_STARTED);
        stub.cancel();
        causeOf(stub, CanceledFailure.class);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "TIMER_STARTED",
                        "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
                        TASK,
                        "TIMER_CANCELED",
                        "ACTIVITY_TASK_SCHEDULED",
                        "ACTIVITY_TASK_STARTED",
                        "ACTIVITY_TASK_COMPLETED",
                        TASK,
                        "WORKFLOW_EXECUTION_CANCELED"),
                kinds(harness.history(stub)));
        assertEquals(
                WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED, stub.describe().getStatus());
    }

    @Test
    void aTerminationEndsItAtOnce(Harness harness) {
        WorkflowStub stub = harness.start("Adder", 1);
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
        stub.terminate("enough");
        causeOf(stub, TerminatedFailure.class);
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, "WORKFLOW_EXECUTION_TERMINATED"), kinds(history));
        assertEquals("enough", history.get(4).getWorkflowExecutionTerminatedEventAttributes().getReason());
        assertThrows(WorkflowNotFoundException.class, () -> stub.terminate("again"));
    }

    @Test
    void aFailureKeepsItsDetails(Harness harness) {
        WorkflowStub stub = harness.start("Failing", "a reason");
        ApplicationFailure cause = causeOf(stub, ApplicationFailure.class);
        assertEquals("a reason", cause.getOriginalMessage());
        assertEquals("OnPurpose", cause.getType());
        assertEquals("two", cause.getDetails().get(1, String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, FAILED), kinds(history));
        assertEquals(
                RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET,
                history.get(4).getWorkflowExecutionFailedEventAttributes().getRetryState());
    }

    @Test
    void aRunTimeoutEndsIt(Harness harness) {
        var options = harness.options("run-timeout").setWorkflowRunTimeout(Duration.ofSeconds(1)).build();
        WorkflowStub stub = harness.startWith(options, "Adder", 1);
        causeOf(stub, TimeoutFailure.class);
        assertEquals(sequence(STARTED, TASK, "WORKFLOW_EXECUTION_TIMED_OUT"), kinds(harness.history(stub)));
    }

    @Test
    void continuingAsNewMakesAChainOfRuns(Harness harness) {
        WorkflowStub stub = harness.start("CountDown", 2);
        String firstRunId = stub.getExecution().getRunId();
        assertEquals(firstRunId, stub.getResult(String.class));
        String workflowId = stub.getExecution().getWorkflowId();
        List<HistoryEvent> first = harness.history(workflowId, firstRunId);
        assertEquals(sequence(STARTED, TASK, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW"), kinds(first));
        String nextRunId =
                first.get(4).getWorkflowExecutionContinuedAsNewEventAttributes().getNewExecutionRunId();
        var next =
                only(harness.history(workflowId, nextRunId), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
                        .getWorkflowExecutionStartedEventAttributes();
        assertEquals(firstRunId, next.getContinuedExecutionRunId());
        assertEquals(firstRunId, next.getFirstExecutionRunId());
        assertEquals(1, decoded(next.getInput(), Integer.class));
    }

    @Test
    void aRetryPolicyStartsALaterRun(Harness harness) {
        RetryOptions retry =
                RetryOptions.newBuilder()
                        .setInitialInterval(Duration.ofMillis(100))
                        .setMaximumAttempts(3)
                        .build();
        WorkflowStub stub =
                harness.startWith(harness.options("retried").setRetryOptions(retry).build(), "Retried", 2);
        assertEquals(2, stub.getResult(Integer.class));
        String workflowId = stub.getExecution().getWorkflowId();
        var failed =
                only(
                                harness.history(workflowId, stub.getExecution().getRunId()),
                                EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED)
                        .getWorkflowExecutionFailedEventAttributes();
        assertEquals(RetryState.RETRY_STATE_IN_PROGRESS, failed.getRetryState());
        var next =
                only(
                                harness.history(workflowId, failed.getNewExecutionRunId()),
                                EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
                        .getWorkflowExecutionStartedEventAttributes();
        assertEquals(2, next.getAttempt());
        assertEquals("run 1", next.getContinuedFailure().getMessage());
    }

    @Test
    void versionsAndSideEffectsAreRemembered(Harness harness) {
        WorkflowStub stub = harness.start("Remembering");
        assertEquals("drawn once, version 1", stub.getResult(String.class));
        List<String> markers =
                harness.history(stub).stream()
                        .filter(event -> event.getEventType() == EventType.EVENT_TYPE_MARKER_RECORDED)
                        .map(event -> event.getMarkerRecordedEventAttributes().getMarkerName())
                        .toList();
        assertEquals(List.of("Version", "SideEffect"), markers);
    }
}
