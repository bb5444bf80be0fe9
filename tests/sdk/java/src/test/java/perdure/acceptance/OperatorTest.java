package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.only;
import static perdure.acceptance.Harness.refused;
import static perdure.acceptance.Harness.sequence;
import static perdure.acceptance.Harness.until;

import com.google.protobuf.FieldMask;
import com.google.protobuf.util.Durations;
import io.grpc.Status;
import io.temporal.api.activity.v1.ActivityOptions;
import io.temporal.api.common.v1.Priority;
import io.temporal.api.common.v1.RetryPolicy;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.PendingActivityState;
import io.temporal.api.enums.v1.WorkflowExecutionStatus;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.workflow.v1.PendingActivityInfo;
import io.temporal.api.workflow.v1.WorkflowExecutionOptions;
import io.temporal.api.workflowservice.v1.PauseActivityRequest;
import io.temporal.api.workflowservice.v1.PauseWorkflowExecutionRequest;
import io.temporal.api.workflowservice.v1.ResetActivityRequest;
import io.temporal.api.workflowservice.v1.UnpauseActivityRequest;
import io.temporal.api.workflowservice.v1.UnpauseWorkflowExecutionRequest;
import io.temporal.api.workflowservice.v1.UpdateActivityOptionsRequest;
import io.temporal.api.workflowservice.v1.UpdateWorkflowExecutionOptionsRequest;
import io.temporal.client.WorkflowQueryConditionallyRejectedException;
import io.temporal.client.WorkflowStub;
import java.util.List;
import java.util.UUID;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What an operator does to activities and workflows from outside: pause, go on, reset, change of options. */
@ExtendWith(Harness.Provider.class)
final class OperatorTest {
    static PendingActivityInfo untilActivity(
            Harness harness, WorkflowStub stub, String what, Predicate<PendingActivityInfo> look)
            throws InterruptedException {
        PendingActivityInfo[] last = new PendingActivityInfo[1];
        until(
                what,
                () -> {
                    List<PendingActivityInfo> pending = harness.describe(stub).getPendingActivitiesList();
                    if (pending.size() != 1) return false;
                    last[0] = pending.get(0);
                    return look.test(last[0]);
                });
        return last[0];
    }

    /** A workflow whose activity has failed once and has an hour to wait. */
    static WorkflowStub backingOff(Harness harness) throws InterruptedException {
        WorkflowStub stub = harness.start("Operated", "Valve");
        PendingActivityInfo info =
                untilActivity(
                        harness,
                        stub,
                        "one failed attempt",
                        each ->
                                each.getAttempt() == 2
                                        && each.getState() == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED);
        assertEquals("closed", info.getLastFailure().getMessage());
        assertEquals(3600, info.getCurrentRetryInterval().getSeconds());
        return stub;
    }

    private static WorkflowStub running(Harness harness) throws InterruptedException {
        WorkflowStub stub = harness.start("Operated", "Observer");
        untilActivity(
                harness,
                stub,
                "it runs",
                each -> each.getState() == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED);
        return stub;
    }

    private static String activityId(Harness harness, WorkflowStub stub) {
        return harness.describe(stub).getPendingActivities(0).getActivityId();
    }

    static void pause(Harness harness, WorkflowStub stub, String activityId) {
        harness.service()
                .pauseActivity(
                        PauseActivityRequest.newBuilder()
                                .setNamespace("default")
                                .setExecution(stub.getExecution())
                                .setIdentity("an operator")
                                .setReason("to see")
                                .setId(activityId)
                                .build());
    }

    static void pause(Harness harness, WorkflowStub stub) {
        pause(harness, stub, activityId(harness, stub));
    }

    static void unpause(Harness harness, WorkflowStub stub, boolean resetAttempts) {
        harness.service()
                .unpauseActivity(
                        UnpauseActivityRequest.newBuilder()
                                .setNamespace("default")
                                .setExecution(stub.getExecution())
                                .setId(activityId(harness, stub))
                                .setResetAttempts(resetAttempts)
                                .build());
    }

    private static void resetActivity(Harness harness, WorkflowStub stub) {
        harness.service()
                .resetActivity(
                        ResetActivityRequest.newBuilder()
                                .setNamespace("default")
                                .setExecution(stub.getExecution())
                                .setId(activityId(harness, stub))
                                .build());
    }

    private static void open(Harness harness, WorkflowStub stub) {
        harness.activities.open(stub.getExecution().getWorkflowId());
    }

    private static void wantAttempt(Harness harness, WorkflowStub stub, int attempt) {
        assertEquals(attempt, stub.getResult(Integer.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        "ACTIVITY_TASK_SCHEDULED",
                        "ACTIVITY_TASK_STARTED",
                        "ACTIVITY_TASK_COMPLETED",
                        TASK,
                        COMPLETED),
                kinds(history));
        assertEquals(attempt, history.get(5).getActivityTaskStartedEventAttributes().getAttempt());
    }

    @Test
    void anActivityIsPausedWhileItWaits(Harness harness) throws Exception {
        WorkflowStub stub = backingOff(harness);
        pause(harness, stub);
        pause(harness, stub); // a second time changes nothing
        PendingActivityInfo info = harness.describe(stub).getPendingActivities(0);
        assertEquals(PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED, info.getState());
        assertTrue(info.getPaused());
        assertEquals(2, info.getAttempt());
        assertEquals("an operator", info.getPauseInfo().getManual().getIdentity());
        assertEquals("to see", info.getPauseInfo().getManual().getReason());
        assertEquals(sequence(STARTED, TASK, "ACTIVITY_TASK_SCHEDULED"), kinds(harness.history(stub)));
        open(harness, stub);
        unpause(harness, stub, false);
        wantAttempt(harness, stub, 2);
    }

    @Test
    void anActivityIsUnpausedWithFreshAttempts(Harness harness) throws Exception {
        WorkflowStub stub = backingOff(harness);
        pause(harness, stub);
        open(harness, stub);
        unpause(harness, stub, true);
        wantAttempt(harness, stub, 1);
    }

    @Test
    void anActivityIsPausedWhileItRuns(Harness harness) throws Exception {
        WorkflowStub stub = running(harness);
        pause(harness, stub);
        PendingActivityInfo info =
                untilActivity(
                        harness,
                        stub,
                        "it heard of the pause",
                        each -> each.getState() == PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED);
        assertEquals(2, info.getAttempt());
        assertEquals("paused", info.getLastFailure().getMessage());
        open(harness, stub);
        unpause(harness, stub, false);
        wantAttempt(harness, stub, 2);
    }

    @Test
    void anActivityIsResetWhileItWaits(Harness harness) throws Exception {
        WorkflowStub stub = backingOff(harness);
        open(harness, stub);
        resetActivity(harness, stub);
        wantAttempt(harness, stub, 1);
    }

    @Test
    void anActivityIsResetWhileItRuns(Harness harness) throws Exception {
        WorkflowStub stub = running(harness);
        resetActivity(harness, stub);
        PendingActivityInfo info =
                untilActivity(harness, stub, "it heard of the reset", PendingActivityInfo::hasLastFailure);
        assertEquals("reset", info.getLastFailure().getMessage());
        stub.terminate("enough");
    }

    private static ActivityOptions change(Harness harness, UpdateActivityOptionsRequest.Builder request) {
        return harness.service().updateActivityOptions(request.setNamespace("default").build()).getActivityOptions();
    }

    @Test
    void theOptionsOfAnActivityChange(Harness harness) throws Exception {
        WorkflowStub stub = backingOff(harness);
        UpdateActivityOptionsRequest target =
                UpdateActivityOptionsRequest.newBuilder()
                        .setExecution(stub.getExecution())
                        .setId(activityId(harness, stub))
                        .build();
        RetryPolicy policy =
                RetryPolicy.newBuilder()
                        .setMaximumAttempts(9)
                        .setInitialInterval(Durations.fromMinutes(1))
                        .build();
        ActivityOptions merged =
                change(
                        harness,
                        target.toBuilder()
                                .setActivityOptions(
                                        ActivityOptions.newBuilder()
                                                .setStartToCloseTimeout(Durations.fromSeconds(77))
                                                .setRetryPolicy(policy))
                                .setUpdateMask(
                                        FieldMask.newBuilder()
                                                .addPaths("start_to_close_timeout")
                                                .addPaths("retry_policy.maximum_attempts")));
        assertEquals(77, merged.getStartToCloseTimeout().getSeconds());
        assertEquals(9, merged.getRetryPolicy().getMaximumAttempts());
        assertEquals(3600, merged.getRetryPolicy().getInitialInterval().getSeconds());
        assertEquals(harness.queue, merged.getTaskQueue().getName());
        PendingActivityInfo info = harness.describe(stub).getPendingActivities(0);
        assertEquals(9, info.getMaximumAttempts());
        assertEquals(77, info.getActivityOptions().getStartToCloseTimeout().getSeconds());
        ActivityOptions restored = change(harness, target.toBuilder().setRestoreOriginal(true));
        assertEquals(3600, restored.getStartToCloseTimeout().getSeconds());
        assertEquals(0, restored.getRetryPolicy().getMaximumAttempts());
        open(harness, stub);
        RetryPolicy soon = RetryPolicy.newBuilder().setInitialInterval(Durations.fromSeconds(1)).build();
        change(
                harness,
                target.toBuilder()
                        .setActivityOptions(ActivityOptions.newBuilder().setRetryPolicy(soon))
                        .setUpdateMask(FieldMask.newBuilder().addPaths("retryPolicy.initialInterval")));
        wantAttempt(harness, stub, 2); // the wait is as long as the new policy says
    }

    @Test
    void anOperatorMissesWhatIsNotThere(Harness harness) throws Exception {
        WorkflowStub stub = backingOff(harness);
        String id = activityId(harness, stub);
        refused(Status.Code.NOT_FOUND, () -> pause(harness, stub, "another"));
        stub.terminate("enough");
        refused(Status.Code.NOT_FOUND, () -> pause(harness, stub, id));
    }

    @Test
    void aWorkflowIsPausedAndGoesOn(Harness harness) throws Exception {
        WorkflowStub stub = harness.start("Mailbox");
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 1);
        PauseWorkflowExecutionRequest request =
                PauseWorkflowExecutionRequest.newBuilder()
                        .setNamespace("default")
                        .setWorkflowId(stub.getExecution().getWorkflowId())
                        .setRunId(stub.getExecution().getRunId())
                        .setIdentity("an operator")
                        .setReason("to see")
                        .setRequestId(UUID.randomUUID().toString())
                        .build();
        harness.service().pauseWorkflowExecution(request);
        harness.service().pauseWorkflowExecution(request); // the same request a second time is the same pause
        assertEquals(
                WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
                harness.describe(stub).getWorkflowExecutionInfo().getStatus());
        stub.signal("put", "while paused");
        assertThrows(WorkflowQueryConditionallyRejectedException.class, () -> stub.query("count", Integer.class));
        List<String> seen = sequence(STARTED, TASK, "WORKFLOW_EXECUTION_PAUSED", "WORKFLOW_EXECUTION_SIGNALED");
        assertEquals(seen, kinds(harness.history(stub)));
        var paused =
                only(harness.history(stub), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED)
                        .getWorkflowExecutionPausedEventAttributes();
        assertEquals(
                List.of("an operator", "to see", request.getRequestId()),
                List.of(paused.getIdentity(), paused.getReason(), paused.getRequestId()));
        harness.service()
                .unpauseWorkflowExecution(
                        UnpauseWorkflowExecutionRequest.newBuilder()
                                .setNamespace("default")
                                .setWorkflowId(request.getWorkflowId())
                                .setRunId(request.getRunId())
                                .setRequestId(UUID.randomUUID().toString())
                                .build());
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2);
        assertEquals(sequence(seen, "WORKFLOW_EXECUTION_UNPAUSED", TASK), kinds(harness.history(stub)));
        stub.signal("close");
        assertEquals("while paused", stub.getResult(String.class));
    }

    @Test
    void theOptionsOfAWorkflowChange(Harness harness) {
        WorkflowStub stub = harness.start("Mailbox");
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 1);
        Priority wanted = Priority.newBuilder().setPriorityKey(2).setFairnessKey("not in the mask").build();
        Priority merged =
                harness.service()
                        .updateWorkflowExecutionOptions(
                                UpdateWorkflowExecutionOptionsRequest.newBuilder()
                                        .setNamespace("default")
                                        .setWorkflowExecution(stub.getExecution())
                                        .setWorkflowExecutionOptions(
                                                WorkflowExecutionOptions.newBuilder().setPriority(wanted))
                                        .setUpdateMask(FieldMask.newBuilder().addPaths("priority.priority_key"))
                                        .build())
                        .getWorkflowExecutionOptions()
                        .getPriority();
        assertEquals(Priority.newBuilder().setPriorityKey(2).build(), merged);
        assertEquals(2, harness.describe(stub).getWorkflowExecutionInfo().getPriority().getPriorityKey());
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, "WORKFLOW_EXECUTION_OPTIONS_UPDATED"), kinds(history));
        var updated = history.get(4).getWorkflowExecutionOptionsUpdatedEventAttributes();
        assertEquals(2, updated.getPriority().getPriorityKey());
    }
}
