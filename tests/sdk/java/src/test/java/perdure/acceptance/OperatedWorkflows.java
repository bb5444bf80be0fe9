package perdure.acceptance;

import io.temporal.activity.ActivityOptions;
import io.temporal.activity.LocalActivityOptions;
import io.temporal.common.Priority;
import io.temporal.common.RetryOptions;
import io.temporal.common.SearchAttributeKey;
import io.temporal.failure.ActivityFailure;
import io.temporal.failure.ApplicationFailure;
import io.temporal.workflow.Async;
import io.temporal.workflow.ChildWorkflowOptions;
import io.temporal.workflow.HandlerUnfinishedPolicy;
import io.temporal.workflow.Promise;
import io.temporal.workflow.SignalMethod;
import io.temporal.workflow.TimerOptions;
import io.temporal.workflow.UpdateMethod;
import io.temporal.workflow.UpdateValidatorMethod;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** What is updated, reset, paused and described from outside. */
public final class OperatedWorkflows {
    static final SearchAttributeKey<String> USER = SearchAttributeKey.forKeyword("BatcherUser");

    static final Class<?>[] IMPLEMENTATIONS = {
        AccountImpl.class,
        StepsImpl.class,
        OperatedImpl.class,
        UnsteadyLocalImpl.class,
        PrioritisedImpl.class,
        DescribedImpl.class,
        ForgetsImpl.class,
        OversizeImpl.class,
        FaultyImpl.class,
    };

    private OperatedWorkflows() {}

    private static ActivityOptions.Builder tenSeconds() {
        return ActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofSeconds(10));
    }

    /**
     * Takes deposits as updates: at once, later when it is released, and greets by an activity. It ends by the signal
     * "go", as a new run when that says "again".
     */
    @WorkflowInterface
    public interface Account {
        @WorkflowMethod
        int run(int begin);

        @SignalMethod
        void go(String how);

        @SignalMethod
        void release();

        @UpdateMethod
        int add(int amount);

        @UpdateValidatorMethod(updateName = "add")
        void validateAdd(int amount);

        @UpdateMethod(unfinishedPolicy = HandlerUnfinishedPolicy.ABANDON)
        int later(int amount);

        @UpdateMethod
        String greeted(String name);
    }

    public static final class AccountImpl extends FamilyWorkflows.Gate implements Account {
        private int total;
        private boolean released;

        @Override
        public int run(int begin) {
            total += begin; // an update may have come before
            if (await().equals("again")) Workflow.continueAsNew(total);
            return total;
        }

        @Override
        public void release() {
            released = true;
        }

        @Override
        public int add(int amount) {
            if (amount == 13) throw ApplicationFailure.newFailure("unlucky", "Superstition");
            return total += amount;
        }

        @Override
        public void validateAdd(int amount) {
            if (amount < 0) throw new IllegalArgumentException("a negative amount");
        }

        @Override
        public int later(int amount) {
            Workflow.await(() -> released);
            return total += amount;
        }

        @Override
        public String greeted(String name) {
            return Workflow.newActivityStub(Activities.class, tenSeconds().build()).greet(name);
        }
    }

    /** Runs an activity, starts a child and a timer, and waits for its signal, then for timer and child. */
    @WorkflowInterface
    public interface Steps {
        @WorkflowMethod
        String run(String childId);

        @SignalMethod
        void go(String how);
    }

    public static final class StepsImpl extends FamilyWorkflows.Gate implements Steps {
        @Override
        public String run(String childId) {
            Workflow.newActivityStub(Activities.class, tenSeconds().build()).greet("x");
            ChildWorkflowOptions options = ChildWorkflowOptions.newBuilder().setWorkflowId(childId).build();
            FamilyWorkflows.Gated child = Workflow.newChildWorkflowStub(FamilyWorkflows.Gated.class, options);
            Promise<String> result = Async.function(child::run, "child");
            Workflow.getWorkflowExecution(child).get();
            Promise<Void> timer = Workflow.newTimer(Duration.ofSeconds(1));
            await();
            timer.get();
            return result.get();
        }
    }

    /** An activity that waits for an hour after a failure. */
    @WorkflowInterface
    public interface Operated {
        @WorkflowMethod
        int run(String activity);
    }

    public static final class OperatedImpl implements Operated {
        @Override
        public int run(String activity) {
            ActivityOptions options =
                    ActivityOptions.newBuilder()
                            .setStartToCloseTimeout(Duration.ofHours(1))
                            .setHeartbeatTimeout(Duration.ofSeconds(3))
                            .setRetryOptions(
                                    RetryOptions.newBuilder().setInitialInterval(Duration.ofHours(1)).build())
                            .build();
            return Workflow.newUntypedActivityStub(options)
                    .execute(activity, Integer.class, Workflow.getInfo().getWorkflowId());
        }
    }

    @WorkflowInterface
    public interface UnsteadyLocal {
        @WorkflowMethod
        int run();
    }

    public static final class UnsteadyLocalImpl implements UnsteadyLocal {
        @Override
        public int run() {
            LocalActivityOptions options =
                    LocalActivityOptions.newBuilder()
                            .setStartToCloseTimeout(Duration.ofSeconds(1))
                            .setRetryOptions(
                                    RetryOptions.newBuilder()
                                            .setInitialInterval(Duration.ofMillis(10))
                                            .setMaximumInterval(Duration.ofSeconds(1))
                                            .setBackoffCoefficient(1)
                                            .setMaximumAttempts(5)
                                            .build())
                            .build();
            return Workflow.newLocalActivityStub(Activities.class, options).failUntil(2);
        }
    }

    @WorkflowInterface
    public interface Prioritised {
        @WorkflowMethod
        void run(String taskQueue, int activities);
    }

    public static final class PrioritisedImpl implements Prioritised {
        @Override
        public void run(String taskQueue, int activities) {
            List<Promise<Void>> waiting = new ArrayList<>();
            for (int i = 0; i < activities; i++) {
                int key = 5 - i % 5;
                ActivityOptions options =
                        tenSeconds()
                                .setTaskQueue(taskQueue)
                                .setPriority(Priority.newBuilder().setPriorityKey(key).build())
                                .setDisableEagerExecution(true)
                                .build();
                Activities stub = Workflow.newActivityStub(Activities.class, options);
                waiting.add(Async.procedure(stub::note, key));
            }
            Promise.allOf(waiting).get();
        }
    }

    @WorkflowInterface
    public interface Described {
        @WorkflowMethod
        void run(String childId);
    }

    public static final class DescribedImpl implements Described {
        @Override
        public void run(String childId) {
            ActivityOptions options = tenSeconds().setSummary("the activity").build();
            Workflow.newActivityStub(Activities.class, options).greet("x");
            TimerOptions timer = TimerOptions.newBuilder().setSummary("the timer").build();
            Workflow.newTimer(Duration.ofMillis(1), timer).get();
            ChildWorkflowOptions child =
                    ChildWorkflowOptions.newBuilder()
                            .setWorkflowId(childId)
                            .setStaticSummary("the child")
                            .setStaticDetails("all about it")
                            .build();
            Workflow.newChildWorkflowStub(Workflows.Answer.class, child).run("x");
        }
    }

    @WorkflowInterface
    public interface Forgets {
        @WorkflowMethod
        void run();
    }

    public static final class ForgetsImpl implements Forgets {
        @Override
        public void run() {
            Map<String, Object> memo = new HashMap<>();
            memo.put("kept", 1);
            memo.put("dropped", null);
            memo.put("new", "x");
            Workflow.upsertMemo(memo);
            Workflow.upsertTypedSearchAttributes(USER.valueUnset());
        }
    }

    @WorkflowInterface
    public interface Oversize {
        @WorkflowMethod
        String run();
    }

    public static final class OversizeImpl implements Oversize {
        @Override
        public String run() {
            RetryOptions once = RetryOptions.newBuilder().setMaximumAttempts(1).build();
            ActivityOptions options = tenSeconds().setRetryOptions(once).build();
            try {
                Workflow.newActivityStub(Activities.class, options).oversize();
                return "succeeded";
            } catch (ActivityFailure failure) {
                return "failed";
            }
        }
    }

    /** Has a bug on its first task, mended by the second. */
    @WorkflowInterface
    public interface Faulty {
        @WorkflowMethod
        String run();
    }

    public static final class FaultyImpl implements Faulty {
        private static final Set<String> SEEN = ConcurrentHashMap.newKeySet();

        @Override
        public String run() {
            if (SEEN.add(Workflow.getInfo().getWorkflowId())) throw new IllegalStateException("broken");
            return "mended";
        }
    }
}
