package perdure.acceptance;

import io.temporal.activity.ActivityCancellationType;
import io.temporal.activity.ActivityOptions;
import io.temporal.activity.LocalActivityOptions;
import io.temporal.common.RetryOptions;
import io.temporal.failure.ActivityFailure;
import io.temporal.failure.ApplicationFailure;
import io.temporal.failure.CanceledFailure;
import io.temporal.workflow.Async;
import io.temporal.workflow.CancellationScope;
import io.temporal.workflow.Promise;
import io.temporal.workflow.QueryMethod;
import io.temporal.workflow.SignalMethod;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.time.Duration;

/** One small workflow for each thing that the tests look at. A type is named as its interface is. */
public final class Workflows {
    static final Class<?>[] IMPLEMENTATIONS = {
        AnswerImpl.class,
        GreeterImpl.class,
        FlakyCallerImpl.class,
        FailingCallerImpl.class,
        SilentCallerImpl.class,
        HeartbeatCallerImpl.class,
        OutsideCallerImpl.class,
        LocalGreeterImpl.class,
        ActivityCancellerImpl.class,
        AdderImpl.class,
        SleeperImpl.class,
        TimerLoserImpl.class,
        CleanerImpl.class,
        CountDownImpl.class,
        RetriedImpl.class,
        FailingImpl.class,
        RememberingImpl.class,
    };

    private Workflows() {}

    private static ActivityOptions.Builder tenSeconds() {
        RetryOptions quick =
                RetryOptions.newBuilder()
                        .setInitialInterval(Duration.ofMillis(50))
                        .setBackoffCoefficient(1)
                        .build();
        return ActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofSeconds(10)).setRetryOptions(quick);
    }

    private static Activities activities(ActivityOptions.Builder options) {
        return Workflow.newActivityStub(Activities.class, options.build());
    }

    private static RetryOptions attempts(int maximum) {
        return RetryOptions.newBuilder()
                .setInitialInterval(Duration.ofMillis(10))
                .setMaximumAttempts(maximum)
                .build();
    }

    @WorkflowInterface
    public interface Answer {
        @WorkflowMethod
        String run(String value);
    }

    public static final class AnswerImpl implements Answer {
        @Override
        public String run(String value) {
            return value;
        }
    }

    @WorkflowInterface
    public interface Greeter {
        @WorkflowMethod
        String run(String name);
    }

    public static final class GreeterImpl implements Greeter {
        @Override
        public String run(String name) {
            ActivityOptions options =
                    ActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofSeconds(10)).build();
            return Workflow.newActivityStub(Activities.class, options).greet(name);
        }
    }

    @WorkflowInterface
    public interface FlakyCaller {
        @WorkflowMethod
        int run(int lastFailingAttempt, int maximumAttempts);
    }

    public static final class FlakyCallerImpl implements FlakyCaller {
        @Override
        public int run(int lastFailingAttempt, int maximumAttempts) {
            ActivityOptions.Builder options = tenSeconds().setRetryOptions(attempts(maximumAttempts));
            return activities(options).failUntil(lastFailingAttempt);
        }
    }

    @WorkflowInterface
    public interface FailingCaller {
        @WorkflowMethod
        void run(String type, boolean nonRetryable);
    }

    public static final class FailingCallerImpl implements FailingCaller {
        @Override
        public void run(String type, boolean nonRetryable) {
            RetryOptions listed = RetryOptions.newBuilder().setDoNotRetry("Listed").build();
            activities(tenSeconds().setRetryOptions(listed)).failAs(type, nonRetryable);
        }
    }

    /** With a heartbeat timeout of 0 the attempt ends by start-to-close. */
    @WorkflowInterface
    public interface SilentCaller {
        @WorkflowMethod
        void run(String key, int startToCloseSeconds, int heartbeatSeconds);
    }

    public static final class SilentCallerImpl implements SilentCaller {
        @Override
        public void run(String key, int startToCloseSeconds, int heartbeatSeconds) {
            ActivityOptions.Builder options =
                    tenSeconds()
                            .setStartToCloseTimeout(Duration.ofSeconds(startToCloseSeconds))
                            .setRetryOptions(attempts(1));
            if (heartbeatSeconds > 0) options.setHeartbeatTimeout(Duration.ofSeconds(heartbeatSeconds));
            activities(options).silent(key);
        }
    }

    @WorkflowInterface
    public interface HeartbeatCaller {
        @WorkflowMethod
        int run();
    }

    public static final class HeartbeatCallerImpl implements HeartbeatCaller {
        @Override
        public int run() {
            return activities(tenSeconds().setHeartbeatTimeout(Duration.ofSeconds(5))).heartbeatThenFail();
        }
    }

    @WorkflowInterface
    public interface OutsideCaller {
        @WorkflowMethod
        String run(String key);
    }

    public static final class OutsideCallerImpl implements OutsideCaller {
        @Override
        public String run(String key) {
            return activities(tenSeconds().setStartToCloseTimeout(Duration.ofSeconds(30))).completeLater(key);
        }
    }

    @WorkflowInterface
    public interface LocalGreeter {
        @WorkflowMethod
        String run(String name);
    }

    public static final class LocalGreeterImpl implements LocalGreeter {
        @Override
        public String run(String name) {
            LocalActivityOptions options =
                    LocalActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofSeconds(10)).build();
            return Workflow.newLocalActivityStub(Activities.class, options).greet(name);
        }
    }

    @WorkflowInterface
    public interface ActivityCanceller {
        @WorkflowMethod
        String run(String key);

        @SignalMethod
        void finish();
    }

    public static final class ActivityCancellerImpl implements ActivityCanceller {
        private boolean finished;

        @Override
        public String run(String key) {
            Activities calls =
                    activities(
                            tenSeconds()
                                    .setStartToCloseTimeout(Duration.ofSeconds(30))
                                    .setHeartbeatTimeout(Duration.ofSeconds(3))
                                    .setCancellationType(ActivityCancellationType.WAIT_CANCELLATION_COMPLETED));
            Promise<?>[] running = new Promise<?>[1];
            CancellationScope scope =
                    Workflow.newCancellationScope(
                            () -> running[0] = Async.procedure(calls::heartbeatForever, key));
            scope.run();
            Workflow.await(() -> finished);
            scope.cancel();
            try {
                running[0].get();
                return "completed";
            } catch (ActivityFailure failure) {
                if (!(failure.getCause() instanceof CanceledFailure)) throw failure;
                return "cancelled";
            }
        }

        @Override
        public void finish() {
            finished = true;
        }
    }

    @WorkflowInterface
    public interface Adder {
        @WorkflowMethod
        int run(int goal);

        @SignalMethod
        void add(int amount);

        @QueryMethod
        int total();

        @QueryMethod
        int broken();
    }

    public static final class AdderImpl implements Adder {
        private int total;

        @Override
        public int run(int goal) {
            Workflow.await(() -> total >= goal);
            return total;
        }

        @Override
        public void add(int amount) {
            total += amount;
        }

        @Override
        public int total() {
            return total;
        }

        @Override
        public int broken() {
            throw new IllegalStateException("this query never works");
        }
    }

    @WorkflowInterface
    public interface Sleeper {
        @WorkflowMethod
        String run(long milliseconds);
    }

    public static final class SleeperImpl implements Sleeper {
        @Override
        public String run(long milliseconds) {
            Workflow.sleep(Duration.ofMillis(milliseconds));
            return "slept";
        }
    }

    @WorkflowInterface
    public interface TimerLoser {
        @WorkflowMethod
        String run();

        @SignalMethod
        void finish();
    }

    public static final class TimerLoserImpl implements TimerLoser {
        private boolean finished;

        @Override
        public String run() {
            CancellationScope scope = Workflow.newCancellationScope(() -> Workflow.newTimer(Duration.ofHours(1)));
            scope.run();
            Workflow.await(() -> finished);
            scope.cancel();
            return "signalled";
        }

        @Override
        public void finish() {
            finished = true;
        }
    }

    @WorkflowInterface
    public interface Cleaner {
        @WorkflowMethod
        void run();
    }

    public static final class CleanerImpl implements Cleaner {
        @Override
        public void run() {
            try {
                Workflow.sleep(Duration.ofHours(1));
            } catch (CanceledFailure canceled) {
                Workflow.newDetachedCancellationScope(() -> activities(tenSeconds()).greet("cleanup")).run();
                throw canceled;
            }
        }
    }

    @WorkflowInterface
    public interface CountDown {
        @WorkflowMethod
        String run(int left);
    }

    public static final class CountDownImpl implements CountDown {
        @Override
        public String run(int left) {
            if (left > 0) Workflow.continueAsNew(left - 1);
            return Workflow.getInfo().getFirstExecutionRunId();
        }
    }

    @WorkflowInterface
    public interface Retried {
        @WorkflowMethod
        int run(int succeedsAtAttempt);
    }

    public static final class RetriedImpl implements Retried {
        @Override
        public int run(int succeedsAtAttempt) {
            int attempt = Workflow.getInfo().getAttempt();
            if (attempt < succeedsAtAttempt) throw ApplicationFailure.newFailure("run " + attempt, "Early");
            return attempt;
        }
    }

    @WorkflowInterface
    public interface Failing {
        @WorkflowMethod
        void run(String reason);
    }

    public static final class FailingImpl implements Failing {
        @Override
        public void run(String reason) {
            throw ApplicationFailure.newFailure(reason, "OnPurpose", 1, "two");
        }
    }

    @WorkflowInterface
    public interface Remembering {
        @WorkflowMethod
        String run();
    }

    public static final class RememberingImpl implements Remembering {
        @Override
        public String run() {
            int version = Workflow.getVersion("a-change", Workflow.DEFAULT_VERSION, 1);
            String drawn = Workflow.sideEffect(String.class, () -> "drawn once");
            Workflow.sleep(Duration.ofMillis(1));
            return drawn + ", version " + version;
        }
    }
}
