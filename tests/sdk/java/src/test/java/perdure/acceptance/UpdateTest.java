package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.decoded;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.only;
import static perdure.acceptance.Harness.refused;
import static perdure.acceptance.Harness.sequence;
import static perdure.acceptance.ResetTest.SIGNAL;

import io.grpc.Status;
import io.temporal.api.common.v1.Payload;
import io.temporal.api.common.v1.Payloads;
import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.ResetReapplyExcludeType;
import io.temporal.api.enums.v1.UpdateAdmittedEventOrigin;
import io.temporal.api.enums.v1.UpdateWorkflowExecutionLifecycleStage;
import io.temporal.api.enums.v1.WorkflowIdConflictPolicy;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.api.update.v1.Input;
import io.temporal.api.update.v1.Meta;
import io.temporal.api.update.v1.Request;
import io.temporal.api.update.v1.WaitPolicy;
import io.temporal.api.workflowservice.v1.UpdateWorkflowExecutionRequest;
import io.temporal.api.workflowservice.v1.UpdateWorkflowExecutionResponse;
import io.temporal.client.UpdateOptions;
import io.temporal.client.WorkflowNotFoundException;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowServiceException;
import io.temporal.client.WorkflowStub;
import io.temporal.client.WorkflowUpdateException;
import io.temporal.client.WorkflowUpdateHandle;
import io.temporal.client.WorkflowUpdateStage;
import io.temporal.common.converter.DefaultDataConverter;
import io.temporal.failure.ApplicationFailure;
import io.temporal.worker.WorkerFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Updates: what the caller gets at which stage, and what is written of it. */
@ExtendWith(Harness.Provider.class)
final class UpdateTest {
    private static final EventType TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED;
    private static final String ACCEPTED = "WORKFLOW_EXECUTION_UPDATE_ACCEPTED";
    private static final String UPDATED = "WORKFLOW_EXECUTION_UPDATE_COMPLETED";

    /** An account whose worker has nothing to do. */
    static WorkflowStub openAccount(Harness harness, String queue) {
        WorkflowStub stub = harness.startWith(harness.options("account").setTaskQueue(queue).build(), "Account", 0);
        harness.untilEvent(stub, TASK_COMPLETED);
        return stub;
    }

    private static <T> UpdateOptions<T> options(String id, String name, Class<T> type, WorkflowUpdateStage stage) {
        return UpdateOptions.newBuilder(type)
                .setUpdateName(name)
                .setUpdateId(id)
                .setWaitForStage(stage)
                .setResultClass(type)
                .build();
    }

    static WorkflowUpdateHandle<Integer> accept(WorkflowStub stub, String id, String name, int amount) {
        return stub.startUpdate(options(id, name, Integer.class, WorkflowUpdateStage.ACCEPTED), amount);
    }

    static int update(WorkflowStub stub, String id, String name, int amount) {
        return stub.startUpdate(options(id, name, Integer.class, WorkflowUpdateStage.COMPLETED), amount).getResult();
    }

    private static ApplicationFailure failureOf(Runnable call) {
        WorkflowUpdateException failed = assertThrows(WorkflowUpdateException.class, call::run);
        return assertInstanceOf(ApplicationFailure.class, failed.getCause());
    }

    @Test
    void anUpdateAnswersAndWritesWhatItWasAndWhatCameOfIt(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        assertEquals(3, update(stub, "first", "add", 3));
        assertEquals(7, accept(stub, "second", "add", 4).getResult());
        stub.signal("go", "end");
        assertEquals(7, stub.getResult(Integer.class));
        List<HistoryEvent> history = harness.history(stub);
        List<String> updated = sequence(TASK, ACCEPTED, UPDATED);
        assertEquals(sequence(STARTED, TASK, updated, updated, SIGNAL, TASK, COMPLETED), kinds(history));
        var accepted = history.get(7).getWorkflowExecutionUpdateAcceptedEventAttributes();
        assertEquals("first", accepted.getProtocolInstanceId());
        assertEquals("first/request", accepted.getAcceptedRequestMessageId());
        assertEquals(5, accepted.getAcceptedRequestSequencingEventId());
        assertEquals("add", accepted.getAcceptedRequest().getInput().getName());
        var completed = history.get(8).getWorkflowExecutionUpdateCompletedEventAttributes();
        assertEquals("first", completed.getMeta().getUpdateId());
        assertEquals(8, completed.getAcceptedEventId());
        assertEquals(3, decoded(completed.getOutcome().getSuccess(), Integer.class));
    }

    @Test
    void aRejectedUpdateLeavesNothing(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        for (int attempt = 0; attempt < 2; attempt++) {
            ApplicationFailure failure = failureOf(() -> update(stub, "same", "add", -1));
            assertEquals("a negative amount", failure.getOriginalMessage());
            assertEquals(sequence(STARTED, TASK), kinds(harness.history(stub)));
        }
        assertEquals(1, update(stub, "same", "add", 1)); // nor is its id taken
        assertEquals(sequence(STARTED, TASK, TASK, ACCEPTED, UPDATED), kinds(harness.history(stub)));
    }

    @Test
    void anUpdateFails(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        assertEquals("Superstition", failureOf(() -> update(stub, "unlucky", "add", 13)).getType());
        HistoryEvent done =
                only(harness.history(stub), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED);
        var outcome = done.getWorkflowExecutionUpdateCompletedEventAttributes().getOutcome();
        assertEquals("Superstition", outcome.getFailure().getApplicationFailureInfo().getType());
    }

    @Test
    void anUpdateIsAcceptedFirstAndCompletedLater(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        WorkflowUpdateHandle<Integer> slow = accept(stub, "slow", "later", 5);
        stub.signal("release");
        assertEquals(5, slow.getResult());
        assertEquals(5, stub.getUpdateHandle("slow", Integer.class).getResult());
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, TASK, ACCEPTED, SIGNAL, TASK, UPDATED), kinds(history));
        assertEquals(8, history.get(12).getWorkflowExecutionUpdateCompletedEventAttributes().getAcceptedEventId());
    }

    @Test
    void anUpdateCallsAnActivity(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        var greeted =
                stub.startUpdate(options("hello", "greeted", String.class, WorkflowUpdateStage.COMPLETED), "Ada");
        assertEquals("Hello, Ada!", greeted.getResult());
        assertEquals(
                sequence(
                        STARTED,
                        TASK,
                        TASK,
                        ACCEPTED,
                        "ACTIVITY_TASK_SCHEDULED",
                        "ACTIVITY_TASK_STARTED",
                        "ACTIVITY_TASK_COMPLETED",
                        TASK,
                        UPDATED),
                kinds(harness.history(stub)));
    }

    @Test
    void anUpdateIsKnownByItsIdEvenWhenTheWorkflowHasClosed(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        assertEquals(3, update(stub, "once", "add", 3));
        assertEquals(3, update(stub, "once", "add", 100));
        stub.signal("go", "end");
        assertEquals(3, stub.getResult(Integer.class));
        assertEquals(3, update(stub, "once", "add", 100));
        assertThrows(WorkflowNotFoundException.class, () -> update(stub, "late", "add", 1));
        only(harness.history(stub), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED);
    }

    @Test
    void updatesComeAtTheSameTime(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        List<CompletableFuture<Integer>> sums = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            String id = "update-" + i;
            sums.add(CompletableFuture.supplyAsync(() -> update(stub, id, "add", 1)));
        }
        assertEquals(
                IntStream.rangeClosed(1, 10).boxed().toList(),
                sums.stream().map(CompletableFuture::join).sorted().toList());
    }

    @Test
    void anUpdateGoesOnWithAnotherWorker(Harness harness) {
        String queue = harness.queue + "-updated";
        WorkerFactory first = harness.startWorker(queue);
        WorkflowStub stub = openAccount(harness, queue);
        WorkflowUpdateHandle<Integer> slow = accept(stub, "slow", "later", 5);
        Harness.stopWorker(first);
        stub.signal("release");
        WorkerFactory second = harness.startWorker(queue);
        assertEquals(5, slow.getResult());
        Harness.stopWorker(second);
        only(harness.history(stub), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED);
    }

    @ParameterizedTest
    @ValueSource(strings = {"end", "again", "terminate"})
    void anAcceptedUpdateFailsWhenItsWorkflowCloses(String end, Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        WorkflowUpdateHandle<Integer> slow = accept(stub, "slow", "later", 5);
        if (end.equals("terminate")) stub.terminate("enough");
        else stub.signal("go", end);
        ApplicationFailure failure = failureOf(slow::getResult);
        assertEquals("AcceptedUpdateCompletedWorkflow", failure.getType());
        assertTrue(failure.isNonRetryable());
        List<String> taken = sequence(STARTED, TASK, TASK, ACCEPTED);
        assertEquals(
                switch (end) {
                    case "end" -> sequence(taken, SIGNAL, TASK, COMPLETED);
                    case "again" -> sequence(taken, SIGNAL, TASK, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW");
                    default -> sequence(taken, "WORKFLOW_EXECUTION_TERMINATED");
                },
                kinds(harness.history(stub)));
    }

    private static UpdateWorkflowExecutionResponse raw(
            Harness harness, WorkflowStub stub, String id, UpdateWorkflowExecutionLifecycleStage stage) {
        Payload one = DefaultDataConverter.STANDARD_INSTANCE.toPayload(1).orElseThrow();
        return harness.service()
                .updateWorkflowExecution(
                        UpdateWorkflowExecutionRequest.newBuilder()
                                .setNamespace("default")
                                .setWorkflowExecution(stub.getExecution())
                                .setWaitPolicy(WaitPolicy.newBuilder().setLifecycleStage(stage))
                                .setRequest(
                                        Request.newBuilder()
                                                .setMeta(Meta.newBuilder().setUpdateId(id))
                                                .setInput(
                                                        Input.newBuilder()
                                                                .setName("later")
                                                                .setArgs(Payloads.newBuilder().addPayloads(one))))
                                .build());
    }

    @Test
    void updatesInFlightAreLimited(Harness harness) {
        WorkflowStub stub = openAccount(harness, harness.queue);
        var accepted =
                UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED;
        var admitted =
                UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED;
        for (int i = 0; i < 10; i++) {
            var answer = raw(harness, stub, "update-" + i, accepted);
            assertEquals(accepted, answer.getStage());
            assertFalse(answer.hasOutcome());
        }
        refused(Status.Code.RESOURCE_EXHAUSTED, () -> raw(harness, stub, "one too many", accepted));
        refused(Status.Code.PERMISSION_DENIED, () -> raw(harness, stub, "update-1", admitted));
        assertEquals(accepted, raw(harness, stub, "update-3", accepted).getStage()); // a known one needs no room
    }

    private static int updateWithStart(
            Harness harness, String workflowId, WorkflowIdConflictPolicy policy, String id, int amount) {
        WorkflowOptions options =
                harness.options("account")
                        .setWorkflowId(workflowId)
                        .setWorkflowIdConflictPolicy(policy)
                        .build();
        return harness.client
                .newUntypedWorkflowStub("Account", options)
                .executeUpdateWithStart(
                        options(id, "add", Integer.class, WorkflowUpdateStage.COMPLETED),
                        new Object[] {amount},
                        new Object[] {100});
    }

    @Test
    void anUpdateStartsItsWorkflowByThePolicies(Harness harness) {
        String id = harness.newId("account");
        var fail = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL;
        var use = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
        assertEquals(1, updateWithStart(harness, id, fail, "one", 1)); // this SDK runs the handler first
        WorkflowStub stub = harness.stubOf(id);
        harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED);
        List<HistoryEvent> history = harness.history(id, "");
        assertEquals(sequence(STARTED, TASK, ACCEPTED, UPDATED), kinds(history));
        var accepted = history.get(4).getWorkflowExecutionUpdateAcceptedEventAttributes();
        assertEquals(2, accepted.getAcceptedRequestSequencingEventId());
        assertEquals(103, updateWithStart(harness, id, use, "two", 2));
        assertThrows(WorkflowServiceException.class, () -> updateWithStart(harness, id, fail, "three", 3));
        stub.signal("go", "end");
        assertEquals(103, stub.getResult(Integer.class));
        assertEquals(103, updateWithStart(harness, id, fail, "two", 50)); // answered by the closed run
        String first = harness.describe(stub).getWorkflowExecutionInfo().getExecution().getRunId();
        updateWithStart(harness, id, fail, "four", 4); // by a new one
        String second = harness.describe(harness.stubOf(id)).getWorkflowExecutionInfo().getExecution().getRunId();
        assertNotEquals(first, second);
    }

    @Test
    void aResetBringsUpdatesAlong(Harness harness) {
        WorkflowStub base = openAccount(harness, harness.queue);
        assertEquals(3, update(base, "first", "add", 3));
        WorkflowStub run = ResetTest.reset(harness, base, 4);
        harness.untilEvent(run, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED);
        List<HistoryEvent> history = harness.history(run);
        assertEquals(
                sequence(ResetTest.UNTIL_RESET, "WORKFLOW_EXECUTION_UPDATE_ADMITTED", TASK, ACCEPTED, UPDATED),
                kinds(history));
        var admitted = history.get(4).getWorkflowExecutionUpdateAdmittedEventAttributes();
        assertEquals(UpdateAdmittedEventOrigin.UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY, admitted.getOrigin());
        assertEquals("first", admitted.getRequest().getMeta().getUpdateId());
        assertEquals(3, update(run, "first", "add", 99));
        WorkflowStub other =
                ResetTest.reset(harness, run, 4, ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE);
        harness.untilEvent(other, TASK_COMPLETED);
        assertEquals(sequence(ResetTest.UNTIL_RESET, TASK), kinds(harness.history(other)));
        other.signal("go", "end");
        assertEquals(0, other.getResult(Integer.class));
    }
}
