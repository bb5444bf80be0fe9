package perdure.crash;

import io.temporal.activity.Activity;
import io.temporal.activity.ActivityInterface;
import io.temporal.activity.ActivityMethod;
import io.temporal.activity.ActivityOptions;
import io.temporal.activity.LocalActivityOptions;
import io.temporal.client.WorkflowClient;
import io.temporal.common.RetryOptions;
import io.temporal.serviceclient.WorkflowServiceStubs;
import io.temporal.serviceclient.WorkflowServiceStubsOptions;
import io.temporal.worker.Worker;
import io.temporal.worker.WorkerFactory;
import io.temporal.workflow.ActivityStub;
import io.temporal.workflow.QueryMethod;
import io.temporal.workflow.SignalMethod;
import io.temporal.workflow.UpdateMethod;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The Java quarter of the crash test's workers: workflow Ledger and activity record.
 *
 * <p>Each execution of the activity is written to the journal, and on disk, before anything else, so that an attempt that
 * was handed out twice cannot hide.
 */
public final class CrashWorker {
    private CrashWorker() {}

    @ActivityInterface
    public interface Journal {
        @ActivityMethod(name = "record")
        String record(int number);
    }

    @ActivityInterface
    public interface Arithmetic {
        @ActivityMethod(name = "double")
        int twice(int number);
    }

    /** A child that takes a timer's time in each of its runs, so that the server may die while it runs. */
    @WorkflowInterface
    public interface Helper {
        @WorkflowMethod
        int run(int number, int more);
    }

    @WorkflowInterface
    public interface Ledger {
        @WorkflowMethod
        List<String> run(String handQueue, int count);

        @SignalMethod
        void add(int number);

        @QueryMethod
        List<Integer> taken();

        @UpdateMethod
        int keep(int number);
    }

    private record JournalFile(FileChannel file) implements Journal {
        @Override
        public String record(int number) {
            var context = Activity.getExecutionContext();
            var info = context.getInfo();
            String line =
                    "{\"run\": \"%s\", \"activity\": \"%s\", \"attempt\": %d}\n"
                            .formatted(info.getWorkflowRunId(), info.getActivityId(), info.getAttempt());
            try {
                file.write(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8))); // appended in one write
                file.force(false);
            } catch (IOException lost) {
                throw Activity.wrap(lost);
            }
            context.heartbeat(number);
            return number + ":" + info.getAttempt();
        }
    }

    private static final class Doubling implements Arithmetic {
        @Override
        public int twice(int number) {
            return 2 * number;
        }
    }

    public static final class HelperImpl implements Helper {
        @Override
        public int run(int number, int more) {
            Workflow.sleep(Duration.ofMillis(50));
            if (more > 0) Workflow.newContinueAsNewStub(Helper.class).run(number, more - 1);
            return number;
        }
    }

    public static final class LedgerImpl implements Ledger {
        private final List<Integer> numbers = new ArrayList<>();
        private int kept;

        @Override
        public void add(int number) {
            numbers.add(number);
        }

        @Override
        public List<Integer> taken() {
            return numbers;
        }

        @Override
        public int keep(int number) {
            int place = ++kept;
            Workflow.sleep(Duration.ofMillis(10));
            return place;
        }

        @Override
        public List<String> run(String handQueue, int count) {
            List<String> results = new ArrayList<>();
            var options =
                    ActivityOptions.newBuilder()
                            .setStartToCloseTimeout(Duration.ofSeconds(2))
                            .setHeartbeatTimeout(Duration.ofSeconds(2))
                            .setRetryOptions(
                                    RetryOptions.newBuilder()
                                            .setInitialInterval(Duration.ofMillis(100))
                                            .setBackoffCoefficient(1)
                                            .build());
            ActivityStub ours = Workflow.newUntypedActivityStub(options.build());
            ActivityStub byHand = Workflow.newUntypedActivityStub(options.setTaskQueue(handQueue).build());
            var local =
                    Workflow.newLocalActivityStub(
                            Arithmetic.class,
                            LocalActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofSeconds(2)).build());
            for (int index = 0; index < count; index++) {
                int wanted = index + 1;
                Workflow.await(() -> numbers.size() >= wanted);
                int number = numbers.get(index);
                boolean hand = index % 3 == 2;
                results.add((hand ? byHand : ours).execute(hand ? "by_hand" : "record", String.class, number));
                check(local.twice(number) == 2 * number);
                if (index % 4 == 3) check(Workflow.newChildWorkflowStub(Helper.class).run(number, 1) == number);
                if (index % 4 == 1) Workflow.sleep(Duration.ofMillis(200));
            }
            Workflow.await(Workflow::isEveryHandlerFinished);
            return results;
        }

        private static void check(boolean holds) {
            if (!holds) throw new IllegalStateException("a result is not what was asked for");
        }
    }

    /** Arguments: address, task queue, journal. Ends by SIGTERM. */
    public static void main(String[] arguments) throws Exception {
        var journal =
                FileChannel.open(
                        Path.of(arguments[2]), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        var stubs =
                WorkflowServiceStubs.newServiceStubs(
                        WorkflowServiceStubsOptions.newBuilder().setTarget(arguments[0]).build());
        WorkerFactory factory = WorkerFactory.newInstance(WorkflowClient.newInstance(stubs));
        Worker worker = factory.newWorker(arguments[1]);
        worker.registerWorkflowImplementationTypes(LedgerImpl.class, HelperImpl.class);
        worker.registerActivitiesImplementations(new JournalFile(journal), new Doubling());
        factory.start();
        System.out.println("ready");
    }
}
