// The official TypeScript SDK against a server: results, and the events that the server wrote for them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  Client,
  QueryNotRegisteredError,
  QueryRejectedError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import proto from '@temporalio/proto';
import { whenStarted } from './activities.js';
import { events, kinds, nanoseconds, only, seconds } from './harness.js';
import {
  BEGIN,
  DONE,
  FAILED,
  GREETED,
  QUEUE,
  RUN,
  TASK,
  activityEnding,
  activityFailureOf,
  callWith,
  client,
  connection,
  decoded,
  failureOf,
  start,
  startWorker,
  untilEvent,
  visible,
} from './rig.js';

const { RetryState, TimeoutType } = proto.temporal.api.enums.v1;

describe('start', { concurrency: true }, () => {
  it('runs a workflow and writes its five events', async () => {
    const handle = await start('answer', [{ deep: [1, 'two', null] }], { memo: { note: 'kept' } });
    assert.deepEqual(await handle.result(), { deep: [1, 'two', null] });
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, DONE]);
    assert.deepEqual(
      history.map((event) => Number(event.eventId)),
      [1, 2, 3, 4, 5],
    );
    const started = only(history, 'WORKFLOW_EXECUTION_STARTED');
    assert.equal(started.workflowType.name, 'answer');
    assert.equal(started.taskQueue.name, QUEUE);
    assert.equal(started.identity, `client-${RUN}`);
    assert.equal(started.firstExecutionRunId, handle.firstExecutionRunId);
    assert.deepEqual(decoded(started.input), [{ deep: [1, 'two', null] }]);
    assert.equal(only(history, 'WORKFLOW_TASK_COMPLETED').identity, `worker-${RUN}`);
    assert.deepEqual(decoded(only(history, DONE).result), [{ deep: [1, 'two', null] }]);
    const description = await handle.describe();
    assert.equal(description.status.name, 'COMPLETED');
    assert.deepEqual(description.memo, { note: 'kept' });
    assert.equal(description.historyLength, 5);
  });

  it('refuses an id that is running, unless told to use it', async () => {
    const first = await start('waitForever', []);
    await assert.rejects(start('waitForever', [], { workflowId: first.workflowId }), (error) => {
      return error instanceof WorkflowExecutionAlreadyStartedError && error.workflowId === first.workflowId;
    });
    const again = await start('waitForever', [], {
      workflowId: first.workflowId,
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
    assert.equal(again.firstExecutionRunId, first.firstExecutionRunId);
    const replacing = await start('answer', [1], {
      workflowId: first.workflowId,
      workflowIdConflictPolicy: 'TERMINATE_EXISTING',
    });
    assert.notEqual(replacing.firstExecutionRunId, first.firstExecutionRunId);
    assert.equal(await replacing.result(), 1);
    const replaced = client.workflow.getHandle(first.workflowId, first.firstExecutionRunId);
    assert.equal((await replaced.describe()).status.name, 'TERMINATED');
  });

  it('refuses a closed id when duplicates are rejected', async () => {
    const first = await start('answer', [1]);
    await first.result();
    const { workflowId } = first;
    await assert.rejects(
      start('answer', [2], { workflowId, workflowIdReusePolicy: 'REJECT_DUPLICATE' }),
      WorkflowExecutionAlreadyStartedError,
    );
    await assert.rejects(
      start('answer', [3], { workflowId, workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY' }),
      WorkflowExecutionAlreadyStartedError,
    );
    const second = await start('answer', [4], { workflowId });
    assert.equal(await second.result(), 4);
  });

  it('waits for its start delay', async () => {
    const handle = await start('answer', ['late'], { startDelay: '1s' });
    assert.equal(await handle.result(), 'late');
    const [begin, scheduled] = await events(handle);
    assert.ok(nanoseconds(scheduled.eventTime) - nanoseconds(begin.eventTime) >= 1_000_000_000n);
    assert.equal(seconds(begin.workflowExecutionStartedEventAttributes.firstWorkflowTaskBackoff), 1);
  });

  it('says that an unknown workflow is not found', async () => {
    const handle = client.workflow.getHandle(`never-started-${RUN}`);
    await assert.rejects(handle.describe(), WorkflowNotFoundError);
    await assert.rejects(handle.signal('add', 1), WorkflowNotFoundError);
    await assert.rejects(handle.query('total'), WorkflowNotFoundError);
    await assert.rejects(handle.cancel(), WorkflowNotFoundError);
  });

  it('is in lists and counts at once', async () => {
    const handle = await start('waitForever', []);
    const query = `WorkflowId = '${handle.workflowId}'`;
    await visible(async () => (await client.workflow.count(query)).count, 1);
    const found = [];
    for await (const execution of client.workflow.list({ query })) found.push(execution);
    assert.deepEqual(
      found.map((each) => [each.runId, each.type, each.status.name, each.taskQueue]),
      [[handle.firstExecutionRunId, 'waitForever', 'RUNNING', QUEUE]],
    );
    await handle.terminate();
    await visible(async () => (await client.workflow.count(`${query} AND ExecutionStatus = 'Terminated'`)).count, 1);
    assert.equal((await client.workflow.count(`${query} AND ExecutionStatus = 'Running'`)).count, 0);
  });
});

describe('activities', { concurrency: true }, () => {
  it('run once when they succeed', async () => {
    const handle = await start('greetByActivity', ['Ada']);
    assert.equal(await handle.result(), 'Hello, Ada!');
    const history = await events(handle);
    assert.deepEqual(kinds(history), GREETED);
    const scheduled = only(history, 'ACTIVITY_TASK_SCHEDULED');
    assert.equal(scheduled.activityType.name, 'greet');
    assert.equal(scheduled.taskQueue.name, QUEUE);
    assert.equal(seconds(scheduled.startToCloseTimeout), 10);
    assert.equal(scheduled.retryPolicy.backoffCoefficient, 2);
    assert.equal(seconds(scheduled.retryPolicy.initialInterval), 1);
    assert.equal(seconds(scheduled.retryPolicy.maximumInterval), 100);
    assert.equal(Number(scheduled.workflowTaskCompletedEventId), 4);
    const started = only(history, 'ACTIVITY_TASK_STARTED');
    assert.deepEqual([started.attempt, Number(started.scheduledEventId)], [1, 5]);
    assert.equal(started.identity, `worker-${RUN}`);
    const completed = only(history, 'ACTIVITY_TASK_COMPLETED');
    assert.deepEqual([Number(completed.scheduledEventId), Number(completed.startedEventId)], [5, 6]);
    assert.deepEqual(decoded(completed.result), ['Hello, Ada!']);
  });

  it('are retried until they succeed, with one pair of events for all attempts', async () => {
    const handle = await callWith('failUntil', [2]);
    assert.equal(await handle.result(), 3);
    const history = await events(handle);
    assert.deepEqual(kinds(history), GREETED);
    const started = only(history, 'ACTIVITY_TASK_STARTED');
    assert.equal(started.attempt, 3);
    assert.equal(started.lastFailure.message, 'attempt 2');
  });

  it('fail for good after the last attempt', async () => {
    const handle = await callWith('failUntil', [9], {
      retry: { initialInterval: '10ms', maximumAttempts: 2 },
    });
    const failure = await activityFailureOf(handle);
    assert.equal(failure.retryState, 'MAXIMUM_ATTEMPTS_REACHED');
    assert.equal(failure.cause.message, 'attempt 2');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, ...activityEnding('ACTIVITY_TASK_FAILED'), ...TASK, FAILED]);
    const failed = only(history, 'ACTIVITY_TASK_FAILED');
    assert.equal(failed.retryState, RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED);
    assert.equal(failed.failure.message, 'attempt 2');
    const started = only(history, 'ACTIVITY_TASK_STARTED');
    assert.deepEqual([started.attempt, started.lastFailure.message], [2, 'attempt 1']);
  });

  it('are not retried when the failure or the policy says so', async () => {
    const byFailure = await callWith('failAs', ['Fatal', true]);
    const byPolicy = await callWith('failAs', ['Listed', false], {
      retry: { nonRetryableErrorTypes: ['Listed'] },
    });
    for (const [handle, type] of [
      [byFailure, 'Fatal'],
      [byPolicy, 'Listed'],
    ]) {
      const failure = await activityFailureOf(handle);
      assert.equal(failure.retryState, 'NON_RETRYABLE_FAILURE');
      assert.ok(failure.cause instanceof ApplicationFailure);
      assert.equal(failure.cause.type, type);
      assert.deepEqual(failure.cause.details, [type, 7]);
      assert.equal(only(await events(handle), 'ACTIVITY_TASK_STARTED').attempt, 1);
    }
  });

  it('wait as long as the failed attempt asks', async () => {
    const handle = await callWith('failOnceThenAfter', ['1s'], { retry: { initialInterval: '1 hour' } });
    assert.equal(await handle.result(), 2);
    const history = await events(handle);
    const scheduled = history.find((event) => event.activityTaskScheduledEventAttributes);
    const started = history.find((event) => event.activityTaskStartedEventAttributes);
    assert.ok(nanoseconds(started.eventTime) - nanoseconds(scheduled.eventTime) >= 1_000_000_000n);
  });

  it('give the details of a heartbeat to the next attempt', async () => {
    const handle = await callWith('heartbeatThenFail', [], { heartbeatTimeout: '5s' });
    assert.deepEqual(await handle.result(), { done: 41 });
  });

  it('time out when they take longer than start-to-close', async () => {
    const handle = await callWith('silent', [], { startToCloseTimeout: '1s', retry: { maximumAttempts: 1 } });
    const failure = await activityFailureOf(handle);
    assert.ok(failure.cause instanceof TimeoutFailure);
    assert.equal(failure.cause.timeoutType, 'START_TO_CLOSE');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      ...activityEnding('ACTIVITY_TASK_TIMED_OUT'),
      ...TASK,
      FAILED,
    ]);
    const { failure: written } = only(history, 'ACTIVITY_TASK_TIMED_OUT');
    assert.equal(written.timeoutFailureInfo.timeoutType, TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE);
  });

  it('time out when their heartbeats stop', async () => {
    const handle = await callWith('silent', [], { heartbeatTimeout: '1s', retry: { maximumAttempts: 1 } });
    const failure = await activityFailureOf(handle);
    assert.ok(failure.cause instanceof TimeoutFailure);
    assert.equal(failure.cause.timeoutType, 'HEARTBEAT');
  });

  it('time out when no worker takes them', async () => {
    const options = { taskQueue: `${QUEUE}-nobody`, scheduleToStartTimeout: '1s', startToCloseTimeout: '5s' };
    const handle = await callWith('greet', ['nobody'], options);
    const failure = await activityFailureOf(handle);
    assert.ok(failure.cause instanceof TimeoutFailure);
    assert.equal(failure.cause.timeoutType, 'SCHEDULE_TO_START');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'ACTIVITY_TASK_SCHEDULED',
      'ACTIVITY_TASK_TIMED_OUT',
      ...TASK,
      FAILED,
    ]);
  });

  it('hear of a cancellation by their heartbeats', async () => {
    const key = `cancelled-${RUN}`;
    const running = whenStarted(key);
    const handle = await start('cancelsItsActivity', [key]);
    await running;
    await handle.signal('finish');
    assert.equal(await handle.result(), 'cancelled');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'ACTIVITY_TASK_SCHEDULED',
      'WORKFLOW_EXECUTION_SIGNALED',
      ...TASK,
      'ACTIVITY_TASK_CANCEL_REQUESTED',
      'ACTIVITY_TASK_STARTED',
      'ACTIVITY_TASK_CANCELED',
      ...TASK,
      DONE,
    ]);
    assert.equal(Number(only(history, 'ACTIVITY_TASK_CANCEL_REQUESTED').scheduledEventId), 5);
    assert.equal(Number(only(history, 'ACTIVITY_TASK_CANCELED').latestCancelRequestedEventId), 10);
  });

  it('can be completed from outside, by token and by id', async () => {
    for (const by of ['token', 'id']) {
      const key = `${RUN}-${by}`;
      const running = whenStarted(key);
      const handle = await callWith('completeLater', [key], { startToCloseTimeout: '30s' });
      const { taskToken, activityId } = await running;
      const target = by === 'token' ? taskToken : { workflowId: handle.workflowId, activityId };
      // The worker still has to hand the attempt over: until it did, completing it is legal all the same.
      await client.activity.complete(target, `by ${by}`);
      assert.equal(await handle.result(), `by ${by}`);
      assert.deepEqual(kinds(await events(handle)), GREETED);
    }
  });

  it('leave a marker when they are local', async () => {
    const handle = await start('greetLocally', ['Bob']);
    assert.equal(await handle.result(), 'Hello, Bob!');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, 'MARKER_RECORDED', DONE]);
    assert.equal(only(history, 'MARKER_RECORDED').markerName, 'core_local_activity');
  });
});

describe('signals', { concurrency: true }, () => {
  it('arrive in order and only once', async () => {
    const handle = await start('adder', [10]);
    for (const amount of [1, 2, 3, 4]) await handle.signal('add', amount);
    assert.equal(await handle.result(), 10);
    const signals = (await events(handle)).flatMap(
      (event) => event.workflowExecutionSignaledEventAttributes ?? [],
    );
    assert.deepEqual(
      signals.map((signal) => decoded(signal.input)[0]),
      [1, 2, 3, 4],
    );
    assert.ok(signals.every((signal) => signal.signalName === 'add' && signal.identity === `client-${RUN}`));
  });

  it('start the workflow when it is not running', async () => {
    const options = { taskQueue: QUEUE, workflowId: `ts-signal-with-start-${RUN}`, args: [7], signal: 'add' };
    const first = await client.workflow.signalWithStart('adder', { ...options, signalArgs: [3] });
    const second = await client.workflow.signalWithStart('adder', { ...options, signalArgs: [4] });
    assert.equal(second.signaledRunId, first.signaledRunId);
    assert.equal(await first.result(), 7);
    const seen = kinds(await events(first));
    assert.deepEqual(seen.slice(0, 3), [
      'WORKFLOW_EXECUTION_STARTED',
      'WORKFLOW_EXECUTION_SIGNALED',
      'WORKFLOW_TASK_SCHEDULED',
    ]);
    assert.equal(seen.filter((each) => each === 'WORKFLOW_EXECUTION_SIGNALED').length, 2);
  });

  it('are refused by a closed workflow', async () => {
    const handle = await start('answer', [1]);
    await handle.result();
    await assert.rejects(handle.signal('add', 1), WorkflowNotFoundError);
  });
});

describe('queries', { concurrency: true }, () => {
  it('see what was signalled before them, and write nothing', async () => {
    const handle = await start('adder', [100]);
    assert.equal(await handle.query('total'), 0);
    for (const expected of [5, 10, 15]) {
      await handle.signal('add', 5);
      assert.equal(await handle.query('total'), expected);
    }
    const before = kinds(await events(handle));
    assert.equal(await handle.query('total'), 15);
    assert.deepEqual(kinds(await events(handle)), before);
    await handle.signal('finish');
    assert.equal(await handle.result(), 15);
    assert.equal(await handle.query('total'), 15); // closed, and still answered
  });

  it('are rejected by status when asked to be', async () => {
    const picky = new Client({ connection, workflow: { queryRejectCondition: 'NOT_OPEN' } });
    const handle = await start('adder', [1]);
    await handle.signal('add', 1);
    await handle.result();
    await assert.rejects(picky.workflow.getHandle(handle.workflowId).query('total'), QueryRejectedError);
  });

  it("pass on the worker's failure", async () => {
    const handle = await start('adder', [100]);
    await assert.rejects(handle.query('broken'), /this query never works/);
    await assert.rejects(handle.query('unheard-of'), QueryNotRegisteredError);
    await handle.terminate();
  });
});

describe('timers', { concurrency: true }, () => {
  it('fire after their time and never before', async () => {
    const handle = await start('sleeper', ['1s']);
    assert.equal(await handle.result(), 'slept');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, 'TIMER_STARTED', 'TIMER_FIRED', ...TASK, DONE]);
    assert.equal(seconds(only(history, 'TIMER_STARTED').startToFireTimeout), 1);
    const fired = only(history, 'TIMER_FIRED');
    assert.equal(Number(fired.startedEventId), 5);
    assert.equal(fired.timerId, only(history, 'TIMER_STARTED').timerId);
    assert.ok(nanoseconds(history[5].eventTime) - nanoseconds(history[4].eventTime) >= 1_000_000_000n);
  });

  it('can be cancelled', async () => {
    const handle = await start('timerLosesToSignal', []);
    await untilEvent(handle, 'TIMER_STARTED');
    await handle.signal('finish');
    assert.equal(await handle.result(), true);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'TIMER_STARTED',
      'WORKFLOW_EXECUTION_SIGNALED',
      ...TASK,
      'TIMER_CANCELED',
      DONE,
    ]);
    assert.equal(Number(only(history, 'TIMER_CANCELED').startedEventId), 5);
  });
});

describe('the end of a workflow', { concurrency: true }, () => {
  it('by a cancel request that it accepts after cleaning up', async () => {
    const handle = await start('cleansUpWhenCancelled', []);
    await untilEvent(handle, 'TIMER_STARTED');
    await handle.cancel();
    assert.ok((await failureOf(handle)).cause instanceof CancelledFailure);
    assert.deepEqual(kinds(await events(handle)), [
      ...BEGIN,
      'TIMER_STARTED',
      'WORKFLOW_EXECUTION_CANCEL_REQUESTED',
      ...TASK,
      'TIMER_CANCELED',
      ...activityEnding('ACTIVITY_TASK_COMPLETED'),
      ...TASK,
      'WORKFLOW_EXECUTION_CANCELED',
    ]);
    assert.equal((await handle.describe()).status.name, 'CANCELLED');
  });

  it('by termination', async () => {
    const handle = await start('waitForever', []);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
    await handle.terminate('enough');
    const { cause } = await failureOf(handle);
    assert.ok(cause instanceof TerminatedFailure);
    assert.equal(cause.message, 'enough');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, 'WORKFLOW_EXECUTION_TERMINATED']);
    assert.equal(only(history, 'WORKFLOW_EXECUTION_TERMINATED').reason, 'enough');
    await assert.rejects(handle.terminate(), WorkflowNotFoundError);
  });

  it('by a failure with its details', async () => {
    const handle = await start('failsFor', ['a reason']);
    const { cause, retryState } = await failureOf(handle);
    assert.ok(cause instanceof ApplicationFailure);
    assert.deepEqual([cause.message, cause.type, cause.details], ['a reason', 'OnPurpose', [1, 'two']]);
    assert.equal(retryState, 'RETRY_POLICY_NOT_SET');
    assert.deepEqual(kinds(await events(handle)), [...BEGIN, FAILED]);
  });

  it('by its run timeout', async () => {
    const handle = await start('waitForever', [], { workflowRunTimeout: '1s' });
    const { cause } = await failureOf(handle);
    assert.ok(cause instanceof TimeoutFailure);
    assert.equal(cause.timeoutType, 'START_TO_CLOSE');
    assert.deepEqual(kinds(await events(handle)), [...BEGIN, 'WORKFLOW_EXECUTION_TIMED_OUT']);
  });

  it('by continuing as new runs of one chain', async () => {
    const handle = await start('countDown', [2]);
    assert.equal(await handle.result(), handle.firstExecutionRunId);
    const first = client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
    const history = await events(first);
    assert.deepEqual(kinds(history), [...BEGIN, 'WORKFLOW_EXECUTION_CONTINUED_AS_NEW']);
    const nextRunId = only(history, 'WORKFLOW_EXECUTION_CONTINUED_AS_NEW').newExecutionRunId;
    const next = await events(client.workflow.getHandle(handle.workflowId, nextRunId));
    const begun = only(next, 'WORKFLOW_EXECUTION_STARTED');
    assert.equal(begun.continuedExecutionRunId, handle.firstExecutionRunId);
    assert.equal(begun.firstExecutionRunId, handle.firstExecutionRunId);
    assert.deepEqual(decoded(begun.input), [1]);
  });

  it('by a later run when it has a retry policy', async () => {
    const handle = await start('failsUntilAttempt', [2], {
      retry: { initialInterval: '100ms', maximumAttempts: 3 },
    });
    assert.equal(await handle.result(), 2);
    const first = await events(client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId));
    const failed = only(first, FAILED);
    assert.equal(failed.retryState, RetryState.RETRY_STATE_IN_PROGRESS);
    const second = await events(client.workflow.getHandle(handle.workflowId, failed.newExecutionRunId));
    const begun = only(second, 'WORKFLOW_EXECUTION_STARTED');
    assert.equal(begun.attempt, 2);
    assert.equal(begun.continuedFailure.message, 'run 1');
  });
});

describe('the record', { concurrency: true }, () => {
  it('keeps markers of patches', async () => {
    const handle = await start('usesAPatch', []);
    assert.equal(await handle.result(), 'new');
    const history = await events(handle);
    assert.equal(only(history, 'MARKER_RECORDED').markerName, 'core_patch');
  });

  it('keeps memo changes of the workflow', async () => {
    const handle = await start('notesProgress', [], { memo: { owner: 'tests' } });
    assert.deepEqual(await handle.result(), { owner: 'tests', progress: 'half' });
    assert.deepEqual((await handle.describe()).memo, { owner: 'tests', progress: 'half' });
    assert.ok(kinds(await events(handle)).includes('WORKFLOW_PROPERTIES_MODIFIED'));
  });

  it('lets another worker go on where the first one stopped', async () => {
    const taskQueue = `${QUEUE}-moving`;
    const first = await startWorker(taskQueue);
    const handle = await start('adder', [2], { taskQueue });
    await handle.signal('add', 1);
    assert.equal(await handle.query('total'), 1);
    await first.stop();
    await handle.signal('add', 1); // while nobody is there
    const second = await startWorker(taskQueue);
    try {
      assert.equal(await handle.result(), 2);
    } finally {
      await second.stop();
    }
    assert.equal(
      kinds(await events(handle)).filter((each) => each === 'WORKFLOW_EXECUTION_SIGNALED').length,
      2,
    );
  });
});
