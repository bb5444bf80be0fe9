package perdure.acceptance;

import io.temporal.api.enums.v1.EventType;
import io.temporal.api.history.v1.History;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowExecutionMetadata;
import io.temporal.common.WorkflowExecutionHistory;
import io.temporal.testing.WorkflowReplayer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What the tests left behind must replay: every history goes through the SDK's own replayer. One that differs from
 * what the server delivered is a non-determinism error.
 */
final class Replay {
    /** Types that break determinism on purpose. */
    private static final Set<String> EXEMPT = Set.of();

    private Replay() {}

    /** The SDK's replayer does not know the ends that come from outside; the workflow has no part in them. */
    private static WorkflowExecutionHistory withoutItsEnd(WorkflowExecutionHistory history) {
        History.Builder events = history.getHistory().toBuilder();
        EventType last = events.getEvents(events.getEventsCount() - 1).getEventType();
        if (last != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
                && last != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT) return history;
        events.removeEvents(events.getEventsCount() - 1);
        return new WorkflowExecutionHistory(events.build());
    }

    /** Replays all runs of this task queue; returns how many. */
    static int all(WorkflowClient client, String queue, Class<?>... implementations) throws Exception {
        List<WorkflowExecutionMetadata> runs =
                client.listExecutions("TaskQueue = '" + queue + "'").collect(Collectors.toList());
        List<String> differing = new ArrayList<>();
        int count = 0;
        for (WorkflowExecutionMetadata run : runs) {
            if (EXEMPT.contains(run.getWorkflowType())) continue;
            WorkflowExecutionHistory history =
                    client.fetchHistory(run.getExecution().getWorkflowId(), run.getExecution().getRunId());
            // The replayer wants a task that a worker took.
            if (history.getEvents().stream()
                    .noneMatch(event -> event.getEventType() == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)) continue;
            try {
                WorkflowReplayer.replayWorkflowExecution(
                        withoutItsEnd(history), implementations[0], Arrays.copyOfRange(implementations, 1, implementations.length));
            } catch (Exception failure) {
                differing.add(run.getExecution().getWorkflowId() + ": " + failure);
            }
            count++;
        }
        if (!differing.isEmpty()) throw new AssertionError("histories that do not replay: " + differing);
        if (count == 0) throw new AssertionError("no history was replayed");
        return count;
    }
}
