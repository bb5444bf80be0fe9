package perdure.acceptance;

import io.temporal.api.common.v1.WorkflowExecution;
import io.temporal.api.enums.v1.ParentClosePolicy;
import io.temporal.common.RetryOptions;
import io.temporal.failure.ApplicationFailure;
import io.temporal.failure.CanceledFailure;
import io.temporal.failure.ChildWorkflowFailure;
import io.temporal.workflow.Async;
import io.temporal.workflow.CancelExternalWorkflowException;
import io.temporal.workflow.CancellationScope;
import io.temporal.workflow.ChildWorkflowCancellationType;
import io.temporal.workflow.ChildWorkflowOptions;
import io.temporal.workflow.Promise;
import io.temporal.workflow.QueryMethod;
import io.temporal.workflow.SignalMethod;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Parents, children, and workflows that write to each other. They wait for signals of the test where a history would
 * otherwise depend on who is faster.
 */
public final class FamilyWorkflows {
    static final Class<?>[] IMPLEMENTATIONS = {
        GatedImpl.class,
        GatedFailureImpl.class,
        ParentImpl.class,
        FamilyImpl.class,
        CancellingParentImpl.class,
        StubbornImpl.class,
        PoliciesImpl.class,
        HastyParentImpl.class,
        ManyChildrenImpl.class,
        SignallerImpl.class,
        CancellerImpl.class,
        SignallingParentImpl.class,
        MailboxImpl.class,
    };

    private FamilyWorkflows() {}

    /** Opens by a signal that says how to go on. */
    static class Gate {
        private String opened;

        String await() {
            Workflow.await(() -> opened != null);
            return opened;
        }

        public void go(String how) {
            opened = how;
        }
    }

    @WorkflowInterface
    public interface Gated {
        @WorkflowMethod
        String run(String value);

        @SignalMethod
        void go(String how);
    }

    public static final class GatedImpl extends Gate implements Gated {
        @Override
        public String run(String value) {
            await();
            return value + " done";
        }
    }

    @WorkflowInterface
    public interface GatedFailure {
        @WorkflowMethod
        void run(String value);

        @SignalMethod
        void go(String how);
    }

    public static final class GatedFailureImpl extends Gate implements GatedFailure {
        @Override
        public void run(String value) {
            await();
            throw ApplicationFailure.newFailure("bad child", "Bad", 7);
        }
    }

    @WorkflowInterface
    public interface Parent {
        @WorkflowMethod
        String run(String type, String childId, Object argument, int runTimeoutSeconds, int attempts);
    }

    public static final class ParentImpl implements Parent {
        @Override
        public String run(String type, String childId, Object argument, int runTimeoutSeconds, int attempts) {
            ChildWorkflowOptions.Builder options = ChildWorkflowOptions.newBuilder().setWorkflowId(childId);
            if (runTimeoutSeconds > 0) options.setWorkflowRunTimeout(Duration.ofSeconds(runTimeoutSeconds));
            if (attempts > 0) {
                options.setRetryOptions(
                        RetryOptions.newBuilder()
                                .setInitialInterval(Duration.ofMillis(100))
                                .setMaximumAttempts(attempts)
                                .build());
            }
            Object result =
                    Workflow.newUntypedChildWorkflowStub(type, options.build()).execute(Object.class, argument);
            return String.valueOf(result);
        }
    }

    @WorkflowInterface
    public interface Family {
        @WorkflowMethod
        String run(String child, String grandchild);
    }

    public static final class FamilyImpl implements Family {
        @Override
        public String run(String child, String grandchild) {
            if (child == null) {
                var info = Workflow.getInfo();
                return info.getRootWorkflowId().orElse("nobody") + " " + info.getParentWorkflowId().orElse("nobody");
            }
            ChildWorkflowOptions options = ChildWorkflowOptions.newBuilder().setWorkflowId(child).build();
            return Workflow.newChildWorkflowStub(Family.class, options).run(grandchild, null);
        }
    }

    /** Cancels its child when it is told to, and says how that looked to it. */
    @WorkflowInterface
    public interface CancellingParent {
        @WorkflowMethod
        String run(String childId, ChildWorkflowCancellationType type);

        @SignalMethod
        void go(String how);
    }

    public static final class CancellingParentImpl extends Gate implements CancellingParent {
        @Override
        public String run(String childId, ChildWorkflowCancellationType type) {
            ChildWorkflowOptions options =
                    ChildWorkflowOptions.newBuilder()
                            .setWorkflowId(childId)
                            .setCancellationType(type)
                            .setParentClosePolicy(ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON)
                            .build();
            Stubborn child = Workflow.newChildWorkflowStub(Stubborn.class, options);
            Promise<?>[] running = new Promise<?>[1];
            CancellationScope scope =
                    Workflow.newCancellationScope(() -> running[0] = Async.procedure(child::run));
            scope.run();
            await();
            scope.cancel();
            try {
                running[0].get();
                return "completed";
            } catch (ChildWorkflowFailure failure) {
                if (!(failure.getCause() instanceof CanceledFailure)) throw failure;
                return "cancelled";
            } catch (CanceledFailure canceled) {
                return "cancelled";
            }
        }
    }

    /** Ends as cancelled, but only when its time has come. */
    @WorkflowInterface
    public interface Stubborn {
        @WorkflowMethod
        void run();

        @SignalMethod
        void go(String how);
    }

    public static final class StubbornImpl extends Gate implements Stubborn {
        @Override
        public void run() {
            try {
                Workflow.sleep(Duration.ofHours(1));
            } catch (CanceledFailure canceled) {
                Workflow.newDetachedCancellationScope(this::await).run();
                throw canceled;
            }
        }
    }

    /** Starts a child for each of the three policies and ends when, and as, it is told to. */
    @WorkflowInterface
    public interface Policies {
        @WorkflowMethod
        void run(String prefix);

        @SignalMethod
        void go(String how);
    }

    public static final class PoliciesImpl extends Gate implements Policies {
        @Override
        public void run(String prefix) {
            for (ParentClosePolicy policy :
                    List.of(
                            ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE,
                            ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
                            ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON)) {
                ChildWorkflowOptions options =
                        ChildWorkflowOptions.newBuilder()
                                .setWorkflowId(prefix + policy)
                                .setParentClosePolicy(policy)
                                .build();
                Gated child = Workflow.newChildWorkflowStub(Gated.class, options);
                Async.function(child::run, "never");
                Workflow.getWorkflowExecution(child).get();
            }
            String how = await();
            if (how.equals("fail")) throw ApplicationFailure.newNonRetryableFailure("on purpose", "OnPurpose");
            if (how.equals("continue")) Workflow.continueAsNew(prefix);
        }
    }

    @WorkflowInterface
    public interface HastyParent {
        @WorkflowMethod
        void run(String childId);
    }

    public static final class HastyParentImpl implements HastyParent {
        @Override
        public void run(String childId) {
            ChildWorkflowOptions options =
                    ChildWorkflowOptions.newBuilder()
                            .setWorkflowId(childId)
                            .setParentClosePolicy(ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON)
                            .build();
            Async.function(Workflow.newChildWorkflowStub(Gated.class, options)::run, "never");
        }
    }

    @WorkflowInterface
    public interface ManyChildren {
        @WorkflowMethod
        int run(int number);
    }

    public static final class ManyChildrenImpl implements ManyChildren {
        @Override
        public int run(int number) {
            List<Promise<String>> children = new ArrayList<>();
            for (int i = 0; i < number; i++) {
                children.add(Async.function(Workflow.newChildWorkflowStub(Workflows.Answer.class)::run, "child"));
            }
            Promise.allOf(children).get();
            return children.size();
        }
    }

    /** An empty target is the workflow itself. */
    @WorkflowInterface
    public interface Signaller {
        @WorkflowMethod
        String run(String target, String value);
    }

    public static final class SignallerImpl implements Signaller {
        @Override
        public String run(String target, String value) {
            String workflowId = target.isEmpty() ? Workflow.getInfo().getWorkflowId() : target;
            WorkflowExecution execution = WorkflowExecution.newBuilder().setWorkflowId(workflowId).build();
            try {
                Workflow.newUntypedExternalWorkflowStub(execution).signal("put", value);
                return "delivered";
            } catch (ApplicationFailure failure) {
                return "refused";
            }
        }
    }

    @WorkflowInterface
    public interface Canceller {
        @WorkflowMethod
        String run(String target);
    }

    public static final class CancellerImpl implements Canceller {
        @Override
        public String run(String target) {
            try {
                Workflow.newUntypedExternalWorkflowStub(target).cancel();
                return "delivered";
            } catch (CancelExternalWorkflowException failure) {
                return "refused";
            }
        }
    }

    @WorkflowInterface
    public interface SignallingParent {
        @WorkflowMethod
        String run(String childId);
    }

    public static final class SignallingParentImpl implements SignallingParent {
        @Override
        public String run(String childId) {
            ChildWorkflowOptions options = ChildWorkflowOptions.newBuilder().setWorkflowId(childId).build();
            Mailbox child = Workflow.newChildWorkflowStub(Mailbox.class, options);
            Promise<String> messages = Async.function(child::run);
            Workflow.getWorkflowExecution(child).get();
            child.put("from my parent");
            child.close();
            return messages.get();
        }
    }

    @WorkflowInterface
    public interface Mailbox {
        @WorkflowMethod
        String run();

        @SignalMethod
        void put(String message);

        @SignalMethod
        void close();

        @QueryMethod
        int count();
    }

    public static final class MailboxImpl implements Mailbox {
        private final List<String> messages = new ArrayList<>();
        private boolean closed;

        @Override
        public String run() {
            Workflow.await(() -> closed);
            return String.join(",", messages);
        }

        @Override
        public void put(String message) {
            messages.add(message);
        }

        @Override
        public void close() {
            closed = true;
        }

        @Override
        public int count() {
            return messages.size();
        }
    }
}
