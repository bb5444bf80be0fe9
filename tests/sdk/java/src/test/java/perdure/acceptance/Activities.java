package perdure.acceptance;

import io.temporal.activity.ActivityInterface;

/** What the workflows call. */
@ActivityInterface
public interface Activities {
    String greet(String name);

    int failUntil(int lastFailingAttempt);

    void failAs(String type, boolean nonRetryable);

    int heartbeatThenFail();

    void heartbeatForever(String key);

    void silent(String key);

    String completeLater(String key);

    int valve(String workflowId);

    int observer(String workflowId);

    void note(int value);

    String oversize();
}
