package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.decoded;
import static perdure.acceptance.Harness.kinds;

import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.QueryRejectCondition;
import io.temporal.api.history.v1.HistoryEvent;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowNotFoundException;
import io.temporal.client.WorkflowQueryConditionallyRejectedException;
import io.temporal.client.WorkflowQueryException;
import io.temporal.client.WorkflowStub;
import io.temporal.worker.WorkerFactory;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Signals and queries. */
@ExtendWith(Harness.Provider.class)
final class MessageTest {
    private static List<HistoryEvent> signals(List<HistoryEvent> history) {
        return history.stream()
                .filter(event -> event.getEventType() == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
                .toList();
    }

    @Test
    void signalsArriveInOrderAndOnce(Harness harness) {
        WorkflowStub stub = harness.start("Adder", 10);
        for (int amount = 1; amount <= 4; amount++) stub.signal("add", amount);
        assertEquals(10, stub.getResult(Integer.class));
        List<HistoryEvent> signals = signals(harness.history(stub));
        assertEquals(
                List.of(1, 2, 3, 4),
                signals.stream()
                        .map(event -> event.getWorkflowExecutionSignaledEventAttributes())
                        .map(attributes -> decoded(attributes.getInput(), Integer.class))
                        .toList());
        for (HistoryEvent signal : signals) {
            assertEquals("add", signal.getWorkflowExecutionSignaledEventAttributes().getSignalName());
            assertEquals(harness.identity, signal.getWorkflowExecutionSignaledEventAttributes().getIdentity());
        }
    }

    @Test
    void signalWithStartStartsWhatIsNotRunning(Harness harness) {
        var options = harness.options("signal-with-start").build();
        WorkflowStub first = harness.client.newUntypedWorkflowStub("Adder", options);
        WorkflowStub second = harness.client.newUntypedWorkflowStub("Adder", options);
        first.signalWithStart("add", new Object[] {3}, new Object[] {7});
        second.signalWithStart("add", new Object[] {4}, new Object[] {7});
        assertEquals(first.getExecution(), second.getExecution());
        assertEquals(7, first.getResult(Integer.class));
        List<HistoryEvent> history = harness.history(first);
        assertEquals(
                List.of("WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_SIGNALED", "WORKFLOW_TASK_SCHEDULED"),
                kinds(history).subList(0, 3));
        assertEquals(2, signals(history).size());
    }

    @Test
    void aClosedWorkflowRefusesSignals(Harness harness) {
        WorkflowStub stub = harness.start("Answer", "done");
        stub.getResult(String.class);
        assertThrows(WorkflowNotFoundException.class, () -> stub.signal("add", 1));
    }

    @Test
    void queriesSeeEarlierSignalsAndWriteNothing(Harness harness) {
        WorkflowStub stub = harness.start("Adder", 15);
        assertEquals(0, stub.query("total", Integer.class));
        stub.signal("add", 5);
        assertEquals(5, stub.query("total", Integer.class));
        List<String> before = kinds(harness.history(stub));
        assertEquals(5, stub.query("total", Integer.class));
        assertEquals(before, kinds(harness.history(stub)));
        stub.signal("add", 10);
        assertEquals(15, stub.getResult(Integer.class));
        assertEquals(15, stub.query("total", Integer.class)); // closed, and still answered
    }

    @Test
    void queriesPassOnTheFailureOfTheWorker(Harness harness) {
        WorkflowStub stub = harness.start("Adder", 1);
        var broken = assertThrows(WorkflowQueryException.class, () -> stub.query("broken", Integer.class));
        String told = String.valueOf(broken.getCause());
        assertTrue(told.contains("this query never works"), told);
        var unknown = assertThrows(WorkflowQueryException.class, () -> stub.query("unheard-of", Integer.class));
        told = String.valueOf(unknown.getCause());
        assertTrue(told.contains("unheard-of"), told);
        stub.terminate("enough");
    }

    @Test
    void queriesAreRejectedByStatusWhenAskedToBe(Harness harness) {
        WorkflowStub stub = harness.start("Answer", "done");
        stub.getResult(String.class);
        WorkflowClient picky =
                WorkflowClient.newInstance(
                        harness.client.getWorkflowServiceStubs(),
                        harness.client.getOptions().toBuilder()
                                .setQueryRejectCondition(QueryRejectCondition.QUERY_REJECT_CONDITION_NOT_OPEN)
                                .build());
        WorkflowStub rejected = picky.newUntypedWorkflowStub(stub.getExecution().getWorkflowId());
        assertThrows(
                WorkflowQueryConditionallyRejectedException.class, () -> rejected.query("total", Integer.class));
    }

    @Test
    void anotherWorkerGoesOnWhereTheFirstOneStopped(Harness harness) {
        String queue = harness.queue + "-moving";
        WorkerFactory first = harness.startWorker(queue);
        WorkflowStub stub = harness.startWith(harness.options("moving").setTaskQueue(queue).build(), "Adder", 2);
        stub.signal("add", 1);
        assertEquals(1, stub.query("total", Integer.class));
        Harness.stopWorker(first);
        stub.signal("add", 1); // while nobody is there
        WorkerFactory second = harness.startWorker(queue);
        try {
            assertEquals(2, stub.getResult(Integer.class));
        } finally {
            Harness.stopWorker(second);
        }
        List<HistoryEvent> history = harness.history(stub);
        assertEquals(2, signals(history).size());
        assertEquals(COMPLETED, kinds(history).get(history.size() - 1));
    }
}
