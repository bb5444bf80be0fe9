package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.FAILED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.decoded;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.only;
import static perdure.acceptance.Harness.sequence;

import io.temporal.activity.ActivityInfo;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.RetryState;
import io.temporal.api.enums.v1.TimeoutType;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.client.ActivityCompletionClient;
import io.temporal.client.WorkflowFailedException;
import io.temporal.client.WorkflowStub;
import io.temporal.failure.ActivityFailure;
import io.temporal.failure.ApplicationFailure;
import io.temporal.failure.TimeoutFailure;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Activities: attempts, retries, timeouts, heartbeats, cancellation, completion from outside, local ones. */
@ExtendWith(Harness.Provider.class)
final class ActivityTest {
    private static List<String> activity(String end) {
        return List.of("ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", end);
    }

    private static final List<String> GREETED =
            sequence(STARTED, TASK, activity("ACTIVITY_TASK_COMPLETED"), TASK, COMPLETED);

    private static ActivityFailure failureOf(WorkflowStub stub) {
        WorkflowFailedException failed =
                assertThrows(WorkflowFailedException.class, () -> stub.getResult(Void.class));
        return assertInstanceOf(ActivityFailure.class, failed.getCause());
    }

    private static int attempt(List<HistoryEvent> history) {
        return only(history, EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)
                .getActivityTaskStartedEventAttributes()
                .getAttempt();
    }

    @Test
    void oneThatSucceedsRunsOnce(Harness harness) {
        WorkflowStub stub = harness.start("Greeter", "Ada");
        assertEquals("Hello, Ada!", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(GREETED, kinds(history));
        var scheduled = history.get(4).getActivityTaskScheduledEventAttributes();
        assertEquals("Greet", scheduled.getActivityType().getName());
        assertEquals(harness.queue, scheduled.getTaskQueue().getName());
        assertEquals(10, scheduled.getStartToCloseTimeout().getSeconds());
        assertEquals(4, scheduled.getWorkflowTaskCompletedEventId());
        assertEquals(1, scheduled.getRetryPolicy().getInitialInterval().getSeconds());
        assertEquals(2.0, scheduled.getRetryPolicy().getBackoffCoefficient());
        assertEquals(100, scheduled.getRetryPolicy().getMaximumInterval().getSeconds());
        assertEquals(1, attempt(history));
        var completed = history.get(6).getActivityTaskCompletedEventAttributes();
        assertEquals(5, completed.getScheduledEventId());
        assertEquals(6, completed.getStartedEventId());
        assertEquals("Hello, Ada!", decoded(completed.getResult(), String.class));
    }

    @Test
    void oneThatFailsIsRetriedAndAllAttemptsShareTheirEvents(Harness harness) {
        WorkflowStub stub = harness.start("FlakyCaller", 2, 0);
        assertEquals(3, stub.getResult(Integer.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(GREETED, kinds(history));
        var started = history.get(5).getActivityTaskStartedEventAttributes();
        assertEquals(3, started.getAttempt());
        assertEquals("attempt 2", started.getLastFailure().getMessage());
    }

    @Test
    void oneThatKeepsFailingFailsAfterTheLastAttempt(Harness harness) {
        WorkflowStub stub = harness.start("FlakyCaller", 9, 2);
        ActivityFailure failure = failureOf(stub);
        assertEquals(RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, failure.getRetryState());
        assertEquals("attempt 2", ((ApplicationFailure) failure.getCause()).getOriginalMessage());
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, activity("ACTIVITY_TASK_FAILED"), TASK, FAILED), kinds(history));
        var started = history.get(5).getActivityTaskStartedEventAttributes();
        assertEquals(2, started.getAttempt());
        assertEquals("attempt 1", started.getLastFailure().getMessage());
        var failed = history.get(6).getActivityTaskFailedEventAttributes();
        assertEquals(RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, failed.getRetryState());
        assertEquals("attempt 2", failed.getFailure().getMessage());
    }

    @Test
    void aFinalFailureIsNotRetried(Harness harness) {
        WorkflowStub byFailure = harness.start("FailingCaller", "Fatal", true);
        WorkflowStub byPolicy = harness.start("FailingCaller", "Listed", false);
        expectFinal(harness, byFailure, "Fatal");
        expectFinal(harness, byPolicy, "Listed");
    }

    private static void expectFinal(Harness harness, WorkflowStub stub, String type) {
        ActivityFailure failure = failureOf(stub);
        assertEquals(RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE, failure.getRetryState());
        ApplicationFailure cause = assertInstanceOf(ApplicationFailure.class, failure.getCause());
        assertEquals(type, cause.getType());
        assertEquals(type, cause.getDetails().get(0, String.class));
        assertEquals(7, cause.getDetails().get(1, Integer.class));
        assertEquals(1, attempt(harness.history(stub)));
    }

    @Test
    void oneThatTakesTooLongTimesOut(Harness harness) {
        expectTimeout(harness, 1, 0, TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE);
    }

    @Test
    void oneWhoseHeartbeatsStopTimesOut(Harness harness) {
        expectTimeout(harness, 30, 1, TimeoutType.TIMEOUT_TYPE_HEARTBEAT);
    }

    private static void expectTimeout(Harness harness, int startToClose, int heartbeat, TimeoutType expected) {
        String key = harness.newId("silent");
        WorkflowStub stub = harness.start("SilentCaller", key, startToClose, heartbeat);
        try {
            TimeoutFailure cause = assertInstanceOf(TimeoutFailure.class, failureOf(stub).getCause());
            assertEquals(expected, cause.getTimeoutType());
        } finally {
            harness.activities.release(key);
        }
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, activity("ACTIVITY_TASK_TIMED_OUT"), TASK, FAILED), kinds(history));
        var written = history.get(6).getActivityTaskTimedOutEventAttributes();
        assertEquals(expected, written.getFailure().getTimeoutFailureInfo().getTimeoutType());
        assertEquals(RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, written.getRetryState());
    }

    @Test
    void theNextAttemptHasTheDetailsOfTheLastHeartbeat(Harness harness) {
        assertEquals(41, harness.start("HeartbeatCaller").getResult(Integer.class));
    }

    @Test
    void oneThatIsCancelledHearsOfItByItsHeartbeats(Harness harness) {
        String key = harness.newId("heartbeats");
        CompletableFuture<ActivityInfo> running = harness.activities.whenStarted(key);
        WorkflowStub stub = harness.start("ActivityCanceller", key);
        running.join();
        stub.signal("finish");
        assertEquals("cancelled", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "ACTIVITY_TASK_SCHEDULED",
                        "WORKFLOW_EXECUTION_SIGNALED",
                        TASK,
                        "ACTIVITY_TASK_CANCEL_REQUESTED",
                        "ACTIVITY_TASK_STARTED",
                        "ACTIVITY_TASK_CANCELED",
                        TASK,
                        COMPLETED),
                kinds(history));
        assertEquals(5, history.get(9).getActivityTaskCancelRequestedEventAttributes().getScheduledEventId());
        var canceled = history.get(11).getActivityTaskCanceledEventAttributes();
        assertEquals(10, canceled.getLatestCancelRequestedEventId());
    }

    @Test
    void oneCanBeCompletedByItsToken(Harness harness) {
        String key = harness.newId("by-token");
        CompletableFuture<ActivityInfo> running = harness.activities.whenStarted(key);
        WorkflowStub stub = harness.start("OutsideCaller", key);
        ActivityCompletionClient completion = harness.client.newActivityCompletionClient();
        completion.complete(running.join().getTaskToken(), "by token");
        assertEquals("by token", stub.getResult(String.class));
        assertEquals(GREETED, kinds(harness.history(stub)));
    }

    @Test
    void oneCanBeFailedByItsId(Harness harness) {
        String key = harness.newId("by-id");
        CompletableFuture<ActivityInfo> running = harness.activities.whenStarted(key);
        WorkflowStub stub = harness.start("OutsideCaller", key);
        String activityId = running.join().getActivityId();
        ActivityCompletionClient completion = harness.client.newActivityCompletionClient();
        ApplicationFailure reason = ApplicationFailure.newNonRetryableFailure("from outside", "Outside");
        completion.completeExceptionally(
                stub.getExecution().getWorkflowId(), Optional.empty(), activityId, reason);
        ApplicationFailure cause = assertInstanceOf(ApplicationFailure.class, failureOf(stub).getCause());
        assertEquals("from outside", cause.getOriginalMessage());
    }

    @Test
    void aLocalOneLeavesAMarker(Harness harness) {
        WorkflowStub stub = harness.start("LocalGreeter", "Bob");
        assertEquals("Hello, Bob!", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, "MARKER_RECORDED", COMPLETED), kinds(history));
        assertEquals("LocalActivity", history.get(4).getMarkerRecordedEventAttributes().getMarkerName());
    }
}
