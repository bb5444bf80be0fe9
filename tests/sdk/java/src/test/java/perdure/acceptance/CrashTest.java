package perdure.acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static perdure.acceptance.Harness.COMPLETED;
import static perdure.acceptance.Harness.STARTED;
import static perdure.acceptance.Harness.kinds;
import static perdure.acceptance.Harness.sequence;
import static perdure.acceptance.ResetTest.SIGNAL;

import io.temporal.api.enums.v1.EventType;
import io.temporal.api.enums.v1.PendingActivityState;
import io.temporal.client.WorkflowStub;
import io.temporal.worker.WorkerFactory;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * The server is killed (SIGKILL) and started again on the same store at each step of what takes several steps: what
 * was seen stays, what was under way goes on, and nothing happens twice.
 */
final class CrashTest {
    private static Harness ownHarness() throws Exception {
        assumeTrue(TestServer.given() == null, "the server given belongs to somebody else");
        return new Harness();
    }

    /** A client's calls that wait go on over deaths of the server, and those made right after one are answered. */
    @Test
    void callsOverKills() throws Exception {
        try (Harness harness = ownHarness()) {
            harness.work();
            WorkflowStub stub = harness.start("Gated", "child");
            harness.untilEvent(stub, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
            var waiting = stub.getResultAsync(String.class);
            for (int i = 0; i < 3; i++) {
                harness.crash(stub);
                stub.signal("unheard", "nothing");
            }
            stub.signal("go", "on");
            assertEquals("child done", waiting.get());
            assertEquals(sequence(STARTED, SIGNAL, SIGNAL, SIGNAL, SIGNAL, COMPLETED), harness.flow(stub));
        }
    }

    @Test
    void aKillAroundAChild() throws Exception {
        try (Harness harness = ownHarness()) {
            String id = harness.newId("child");
            WorkflowStub stub = harness.start("Parent", "Gated", id, "child", 0, 0);
            WorkflowStub child = harness.stubOf(id);
            harness.crash(stub); // started, nobody works on it
            harness.work();
            harness.untilEvent(stub, EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED);
            harness.crash(stub); // the child is asked for, perhaps there
            harness.untilEvent(stub, EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED);
            harness.crash(stub); // the parent knows of it
            harness.untilEvent(child, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
            harness.crash(stub, child);
            assertEquals(id, harness.describe(stub).getPendingChildren(0).getWorkflowId());
            child.signal("go", "on");
            harness.crash(stub, child);
            harness.untilEvent(child, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            harness.crash(stub, child); // the child has ended, its parent perhaps does not know yet
            assertEquals("child done", stub.getResult(String.class));
            harness.crash(stub, child);
            assertEquals(
                    sequence(
                            STARTED,
                            "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
                            "CHILD_WORKFLOW_EXECUTION_STARTED",
                            "CHILD_WORKFLOW_EXECUTION_COMPLETED",
                            COMPLETED),
                    harness.flow(stub));
            assertEquals(sequence(STARTED, SIGNAL, COMPLETED), harness.flow(child));
        }
    }

    @Test
    void aKillAroundASignalToAnotherWorkflow() throws Exception {
        try (Harness harness = ownHarness()) {
            harness.work();
            WorkflowStub mailbox = harness.start("Mailbox");
            harness.untilEvent(mailbox, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
            for (EventType step :
                    List.of(
                            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
                            EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
                            EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)) {
                WorkflowStub stub = harness.start("Signaller", mailbox.getExecution().getWorkflowId(), "once");
                harness.untilEvent(stub, step);
                harness.crash(stub, mailbox);
                assertEquals("delivered", stub.getResult(String.class));
                assertEquals(
                        sequence(
                                STARTED,
                                "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
                                "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED",
                                COMPLETED),
                        harness.flow(stub));
            }
            assertEquals("once,once,once", ResetTest.messagesOf(mailbox));
        }
    }

    @Test
    void aKillAroundAReset() throws Exception {
        try (Harness harness = ownHarness()) {
            WorkerFactory first = harness.work();
            WorkflowStub base = ResetTest.openMailbox(harness, harness.queue);
            Harness.stopWorker(first);
            harness.crash(base);
            WorkflowStub run = ResetTest.reset(harness, base, 4);
            harness.crash(base, run);
            assertEquals(
                    sequence(ResetTest.UNTIL_RESET, SIGNAL, SIGNAL, "WORKFLOW_TASK_SCHEDULED"),
                    kinds(harness.history(run)));
            harness.work();
            harness.untilEvent(run, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
            harness.crash(base, run);
            WorkflowStub again = ResetTest.reset(harness, run, 4, ResetTest.NO_SIGNALS);
            harness.crash(base, run, again);
            assertEquals("", ResetTest.messagesOf(again));
            harness.crash(base, run, again);
        }
    }

    @Test
    void aKillAroundRunsThatContinueAsNew() throws Exception {
        try (Harness harness = ownHarness()) {
            harness.work();
            WorkflowStub stub = harness.start("CountDown", 3);
            String id = stub.getExecution().getWorkflowId();
            String first = stub.getExecution().getRunId();
            WorkflowStub run = harness.stubOf(id, first);
            for (int left = 3; left > 0; left--) {
                var end = harness.untilEvent(run, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW);
                harness.crash(run);
                run = harness.stubOf(id, end.getWorkflowExecutionContinuedAsNewEventAttributes().getNewExecutionRunId());
                var begun = harness.history(run).get(0).getWorkflowExecutionStartedEventAttributes();
                assertEquals(first, begun.getFirstExecutionRunId());
            }
            assertEquals(first, run.getResult(String.class));
        }
    }

    @Test
    void aKillWithAnActivityPaused() throws Exception {
        try (Harness harness = ownHarness()) {
            harness.work();
            WorkflowStub stub = OperatorTest.backingOff(harness);
            harness.crash(stub);
            OperatorTest.pause(harness, stub);
            harness.crash(stub);
            var info = harness.describe(stub).getPendingActivities(0);
            assertEquals(PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED, info.getState());
            assertEquals("an operator", info.getPauseInfo().getManual().getIdentity());
            assertEquals(2, info.getAttempt());
            harness.activities.open(stub.getExecution().getWorkflowId());
            OperatorTest.unpause(harness, stub, false);
            harness.crash(stub);
            assertTrue(stub.getResult(Integer.class) >= 2); // one attempt may have been lost with the server
            assertEquals(
                    sequence(
                            STARTED,
                            "ACTIVITY_TASK_SCHEDULED",
                            "ACTIVITY_TASK_STARTED",
                            "ACTIVITY_TASK_COMPLETED",
                            COMPLETED),
                    harness.flow(stub));
        }
    }

    @Test
    void aKillWithAnUpdateAcceptedAndNotCompleted() throws Exception {
        try (Harness harness = ownHarness()) {
            WorkerFactory first = harness.work();
            WorkflowStub stub = UpdateTest.openAccount(harness, harness.queue);
            harness.crash(stub);
            var slow = UpdateTest.accept(stub, "slow", "later", 5);
            harness.crash(stub);
            UpdateTest.accept(stub, "slow", "later", 5); // known
            Harness.stopWorker(first);
            harness.crash(stub);
            stub.signal("release");
            harness.crash(stub);
            harness.work();
            assertEquals(5, slow.getResult());
            harness.crash(stub);
            assertEquals(5, UpdateTest.update(stub, "slow", "later", 50));
            assertEquals(6, UpdateTest.update(stub, "quick", "add", 1));
            harness.crash(stub);
            stub.signal("go", "end");
            assertEquals(6, stub.getResult(Integer.class));
            harness.crash(stub);
            assertEquals(5, UpdateTest.update(stub, "slow", "later", 50));
            assertEquals(
                    sequence(
                            STARTED,
                            "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
                            SIGNAL,
                            "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
                            "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
                            "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
                            SIGNAL,
                            COMPLETED),
                    harness.flow(stub));
        }
    }
}
