package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.TASK;
import static perdure.acceptance.Harness.decoded;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.sequence;

import io.temporal.api.enums.v1.WorkflowExecutionStatus;
import io.temporal.api.enums.v1.WorkflowIdConflictPolicy;
import io.temporal.api.enums.v1.WorkflowIdReusePolicy;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.client.WorkflowExecutionAlreadyStarted;
import io.temporal.client.WorkflowExecutionMetadata;
import io.temporal.client.WorkflowNotFoundException;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Starting workflows: the events of a first run, and what an id that was used before means. */
@ExtendWith(Harness.Provider.class)
final class StartTest {
    @Test
    void aWorkflowRunsAndHasFiveEvents(Harness harness) {
        WorkflowOptions options = harness.options("answer").setMemo(Map.of("note", "kept")).build();
        WorkflowStub stub = harness.startWith(options, "Answer", "yes");
        assertEquals("yes", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(sequence(STARTED, TASK, COMPLETED), kinds(history));
        assertEquals(List.of(1L, 2L, 3L, 4L, 5L), history.stream().map(HistoryEvent::getEventId).toList());
        var started = history.get(0).getWorkflowExecutionStartedEventAttributes();
        assertEquals("Answer", started.getWorkflowType().getName());
        assertEquals(harness.queue, started.getTaskQueue().getName());
        assertEquals(harness.identity, started.getIdentity());
        assertEquals(stub.getExecution().getRunId(), started.getFirstExecutionRunId());
        assertEquals("yes", decoded(started.getInput(), String.class));
        assertEquals(harness.identity, history.get(2).getWorkflowTaskStartedEventAttributes().getIdentity());
        var completed = history.get(4).getWorkflowExecutionCompletedEventAttributes();
        assertEquals("yes", decoded(completed.getResult(), String.class));
        assertEquals(4, completed.getWorkflowTaskCompletedEventId());
        assertEquals("kept", stub.describe().getMemo("note", String.class));
    }

    @Test
    void anIdThatRunsIsRefusedUnlessToldToUseIt(Harness harness) {
        WorkflowOptions options = harness.options("conflict").build();
        WorkflowStub first = harness.startWith(options, "Adder", 1);
        WorkflowExecutionAlreadyStarted refusal =
                assertThrows(
                        WorkflowExecutionAlreadyStarted.class, () -> harness.startWith(options, "Adder", 1));
        assertEquals(first.getExecution(), refusal.getExecution());
        WorkflowOptions using =
                options.toBuilder()
                        .setWorkflowIdConflictPolicy(
                                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
                        .build();
        assertEquals(first.getExecution(), harness.startWith(using, "Adder", 1).getExecution());
        first.terminate("enough");
    }

    @Test
    void aClosedIdIsRefusedWhenDuplicatesAreRejected(Harness harness) {
        WorkflowOptions options = harness.options("reuse").build();
        WorkflowStub first = harness.startWith(options, "Answer", "first");
        first.getResult(String.class);
        WorkflowOptions rejecting =
                options.toBuilder()
                        .setWorkflowIdReusePolicy(
                                WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
                        .build();
        assertThrows(
                WorkflowExecutionAlreadyStarted.class, () -> harness.startWith(rejecting, "Answer", "second"));
        WorkflowStub second = harness.startWith(options, "Answer", "second");
        assertEquals("second", second.getResult(String.class));
        assertNotEquals(first.getExecution().getRunId(), second.getExecution().getRunId());
    }

    @Test
    void aStartDelayIsWaitedFor(Harness harness) {
        WorkflowOptions options = harness.options("delayed").setStartDelay(Duration.ofSeconds(1)).build();
        WorkflowStub stub = harness.startWith(options, "Answer", "late");
        assertEquals("late", stub.getResult(String.class));
        List<HistoryEvent> history = harness.history(stub);
        assertTrue(Harness.between(history.get(0), history.get(1)).compareTo(Duration.ofSeconds(1)) >= 0);
    }

    @Test
    void anUnknownWorkflowIsNotFound(Harness harness) {
        WorkflowStub stub = harness.stubOf(harness.newId("never-started"));
        assertThrows(WorkflowNotFoundException.class, () -> stub.signal("add", 1));
        assertThrows(WorkflowNotFoundException.class, () -> stub.query("total", Integer.class));
        assertThrows(WorkflowNotFoundException.class, stub::describe);
        assertThrows(WorkflowNotFoundException.class, stub::cancel);
    }

    @Test
    void aStartedWorkflowIsInListsAndCountsAtOnce(Harness harness) {
        WorkflowStub stub = harness.start("Adder", 1);
        String query = "WorkflowId = '" + stub.getExecution().getWorkflowId() + "'";
        List<WorkflowExecutionMetadata> found = harness.client.listExecutions(query).toList();
        assertEquals(1, found.size());
        assertEquals(stub.getExecution(), found.get(0).getExecution());
        assertEquals("Adder", found.get(0).getWorkflowType());
        assertEquals(WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING, found.get(0).getStatus());
        stub.terminate("enough");
        assertEquals(1, harness.client.countWorkflows(query + " AND ExecutionStatus = 'Terminated'").getCount());
        assertEquals(0, harness.client.countWorkflows(query + " AND ExecutionStatus = 'Running'").getCount());
    }
}
