package perdure.acceptance;

import io.temporal.activity.Activity;
import io.temporal.activity.ActivityExecutionContext;
import io.temporal.activity.ActivityInfo;
import io.temporal.client.ActivityCanceledException;
import io.temporal.client.ActivityCompletionException;
import io.temporal.client.ActivityPausedException;
import io.temporal.client.ActivityResetException;
import io.temporal.failure.ApplicationFailure;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Attempts are told apart by the number that the server hands out. */
final class ActivitiesImpl implements Activities {
    private final Map<String, CompletableFuture<ActivityInfo>> waiting = new ConcurrentHashMap<>();
    private final Map<String, CountDownLatch> gates = new ConcurrentHashMap<>();

    /** Done when the activity with this key runs: the worker and its tests are one process. */
    CompletableFuture<ActivityInfo> whenStarted(String key) {
        return waiting.computeIfAbsent(key, unused -> new CompletableFuture<>());
    }

    /** Lets the silent activity with this key end. */
    void release(String key) {
        gate(key).countDown();
    }

    private CountDownLatch gate(String key) {
        return gates.computeIfAbsent(key, unused -> new CountDownLatch(1));
    }

    @Override
    public String greet(String name) {
        return "Hello, " + name + "!";
    }

    @Override
    public int failUntil(int lastFailingAttempt) {
        int attempt = Activity.getExecutionContext().getInfo().getAttempt();
        if (attempt <= lastFailingAttempt) throw ApplicationFailure.newFailure("attempt " + attempt, "Flaky");
        return attempt;
    }

    @Override
    public void failAs(String type, boolean nonRetryable) {
        if (nonRetryable) throw ApplicationFailure.newNonRetryableFailure("a failure", type, type, 7);
        throw ApplicationFailure.newFailure("a failure", type, type, 7);
    }

    /** Fails its first attempt after a heartbeat; the second one answers with what the first had reported. */
    @Override
    public int heartbeatThenFail() {
        ActivityExecutionContext context = Activity.getExecutionContext();
        Optional<Integer> reported = context.getHeartbeatDetails(Integer.class);
        if (context.getInfo().getAttempt() > 1) return reported.orElse(-1);
        context.heartbeat(41);
        throw ApplicationFailure.newFailure("after the heartbeat", "Flaky");
    }

    /** Heartbeats until it is told to stop; the exception that says so is its outcome. */
    @Override
    public void heartbeatForever(String key) {
        ActivityExecutionContext context = Activity.getExecutionContext();
        whenStarted(key).complete(context.getInfo());
        CountDownLatch never = new CountDownLatch(1);
        try {
            for (;;) {
                context.heartbeat("still here");
                if (never.await(100, TimeUnit.MILLISECONDS)) throw new IllegalStateException("nobody opens this");
            }
        } catch (ActivityCanceledException canceled) {
            throw canceled;
        } catch (ActivityCompletionException | InterruptedException over) {
            throw Activity.wrap(over);
        }
    }

    /** Reports nothing until the test lets it end. */
    @Override
    public void silent(String key) {
        try {
            gate(key).await();
        } catch (InterruptedException over) {
            throw Activity.wrap(over);
        }
    }

    /** Its outcome comes from outside. */
    @Override
    public String completeLater(String key) {
        ActivityExecutionContext context = Activity.getExecutionContext();
        context.doNotCompleteOnReturn();
        whenStarted(key).complete(context.getInfo());
        return "not this";
    }

    private final Set<String> opened = ConcurrentHashMap.newKeySet();
    private final Map<String, List<Integer>> notes = new ConcurrentHashMap<>();

    /** The activities of this workflow may succeed from now on. */
    void open(String workflowId) {
        opened.add(workflowId);
    }

    /** What was noted on this task queue, in order. */
    List<Integer> notes(String taskQueue) {
        return notes.computeIfAbsent(taskQueue, unused -> new CopyOnWriteArrayList<>());
    }

    /** Fails until its workflow is opened, and answers with the attempt that succeeded. */
    @Override
    public int valve(String workflowId) {
        if (!opened.contains(workflowId)) throw ApplicationFailure.newFailure("closed", "Closed");
        return Activity.getExecutionContext().getInfo().getAttempt();
    }

    /** Heartbeats until it is told something, which is what it fails with; succeeds once its workflow is opened. */
    @Override
    public int observer(String workflowId) {
        ActivityExecutionContext context = Activity.getExecutionContext();
        if (opened.contains(workflowId)) return context.getInfo().getAttempt();
        CountDownLatch never = new CountDownLatch(1);
        try {
            for (;;) {
                context.heartbeat("still here");
                if (never.await(50, TimeUnit.MILLISECONDS)) throw new IllegalStateException("nobody opens this");
            }
        } catch (ActivityPausedException paused) {
            throw ApplicationFailure.newFailure("paused", "Told");
        } catch (ActivityResetException reset) {
            throw ApplicationFailure.newFailure("reset", "Told");
        } catch (ActivityCompletionException | InterruptedException over) {
            throw Activity.wrap(over);
        }
    }

    @Override
    public void note(int value) {
        notes(Activity.getExecutionContext().getInfo().getActivityTaskQueue()).add(value);
    }

    @Override
    public String oversize() {
        return "r".repeat(2 * 1024 * 1024 + 1);
    }
}
