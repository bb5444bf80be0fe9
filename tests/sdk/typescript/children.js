// Children: how they start, how they end, and what their parent reads of it; signals and cancel requests between workflows.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import {
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  TerminatedFailure,
  TimeoutFailure,
} from '@temporalio/common';
import proto from '@temporalio/proto';
import { events, kinds, only, seconds } from './harness.js';
import { BEGIN, DONE, FAILED, QUEUE, SUITE, TASK, client, decoded, failureOf, handleOf, start, untilEvent, visible } from './rig.js';

const enums = proto.temporal.api.enums.v1;
const CHILD_STARTED = [
  ...BEGIN,
  'START_CHILD_WORKFLOW_EXECUTION_INITIATED',
  'CHILD_WORKFLOW_EXECUTION_STARTED',
  ...TASK,
];
const newId = () => `ts-child-${randomUUID()}`;

// Lets the child end when its parent has worked on its start (its second task) and itself waits.
async function letGo(handle, child) {
  await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 2);
  await untilEvent(handleOf(child), 'WORKFLOW_TASK_COMPLETED');
  await handleOf(child).signal('go');
}

async function childFailureOf(handle, kind) {
  const { cause } = await failureOf(handle);
  assert.ok(cause instanceof ChildWorkflowFailure, String(cause));
  assert.ok(cause.cause instanceof kind, String(cause.cause));
  return cause;
}

describe('children', SUITE, () => {
  it('tell their result, and know where they come from', async () => {
    const workflowId = newId();
    const handle = await start('parent', ['gated', { workflowId, args: ['child'] }]);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 2);
    const { raw } = await handle.describe();
    const [pending] = raw.pendingChildren;
    assert.deepEqual(
      [pending.workflowId, Number(pending.initiatedId), pending.workflowTypeName, pending.parentClosePolicy],
      [workflowId, 5, 'gated', enums.ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE],
    );
    const me = { workflowId: handle.workflowId, runId: handle.firstExecutionRunId };
    const info = await handleOf(workflowId).describe();
    assert.deepEqual([{ ...info.parentExecution }, { ...info.rootExecution }], [me, me]);
    await letGo(handle, workflowId);
    assert.equal(await handle.result(), 'child done');

    const history = await events(handle);
    assert.deepEqual(kinds(history), [...CHILD_STARTED, 'CHILD_WORKFLOW_EXECUTION_COMPLETED', ...TASK, DONE]);
    const initiated = only(history, 'START_CHILD_WORKFLOW_EXECUTION_INITIATED');
    assert.equal(initiated.workflowId, workflowId);
    assert.equal(initiated.taskQueue.name, QUEUE);
    assert.equal(Number(initiated.workflowTaskCompletedEventId), 4);
    assert.equal(initiated.parentClosePolicy, enums.ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE);
    assert.equal(seconds(initiated.workflowTaskTimeout), 10);
    const started = only(history, 'CHILD_WORKFLOW_EXECUTION_STARTED');
    assert.equal(Number(started.initiatedEventId), 5);
    assert.deepEqual({ ...started.workflowExecution }, { workflowId, runId: pending.runId });
    const completed = only(history, 'CHILD_WORKFLOW_EXECUTION_COMPLETED');
    assert.deepEqual([Number(completed.initiatedEventId), Number(completed.startedEventId)], [5, 6]);
    assert.equal(completed.workflowExecution.runId, pending.runId);
    assert.deepEqual(decoded(completed.result), ['child done']);

    const own = await events(handleOf(workflowId));
    assert.deepEqual(kinds(own), [...BEGIN, 'WORKFLOW_EXECUTION_SIGNALED', ...TASK, DONE]);
    const begun = only(own, 'WORKFLOW_EXECUTION_STARTED');
    assert.deepEqual({ ...begun.parentWorkflowExecution }, me);
    assert.deepEqual({ ...begun.rootWorkflowExecution }, me);
    assert.equal(Number(begun.parentInitiatedEventId), 5);
    assert.equal(begun.parentWorkflowNamespace, 'default');
    const query = `ParentWorkflowId = '${handle.workflowId}' AND RootWorkflowId = '${handle.workflowId}'`;
    await visible(async () => (await client.workflow.count(query)).count, 1);
  });

  it('have one root for all generations', async () => {
    const [child, grandchild] = [newId(), newId()];
    const handle = await start('family', [child, grandchild]);
    assert.deepEqual(await handle.result(), [handle.workflowId, child]);
    const begun = only(await events(handleOf(grandchild)), 'WORKFLOW_EXECUTION_STARTED');
    assert.equal(begun.rootWorkflowExecution.runId, handle.firstExecutionRunId);
    assert.equal(begun.parentWorkflowExecution.workflowId, child);
  });

  it('pass their failure on', async () => {
    const workflowId = newId();
    const handle = await start('parent', ['gatedFailure', { workflowId }]);
    await letGo(handle, workflowId);
    const failure = await childFailureOf(handle, ApplicationFailure);
    assert.deepEqual([failure.cause.type, failure.cause.details], ['Bad', [7]]);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...CHILD_STARTED, 'CHILD_WORKFLOW_EXECUTION_FAILED', ...TASK, FAILED]);
    const failed = only(history, 'CHILD_WORKFLOW_EXECUTION_FAILED');
    assert.deepEqual([Number(failed.initiatedEventId), Number(failed.startedEventId)], [5, 6]);
    assert.equal(failed.retryState, enums.RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET);
    assert.equal(failed.failure.message, 'bad child');
  });

  it('are retried, and their parent hears of the last run alone', async () => {
    const workflowId = newId();
    const retry = { initialInterval: '100ms', maximumAttempts: 3 };
    const handle = await start('parent', ['failsUntilAttempt', { workflowId, args: [2], retry }]);
    assert.equal(await handle.result(), 2);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...CHILD_STARTED, 'CHILD_WORKFLOW_EXECUTION_COMPLETED', ...TASK, DONE]);
    const { runId: first } = only(history, 'CHILD_WORKFLOW_EXECUTION_STARTED').workflowExecution;
    const { runId: last } = only(history, 'CHILD_WORKFLOW_EXECUTION_COMPLETED').workflowExecution;
    assert.notEqual(first, last);
    const begun = only(await events(handleOf(workflowId, last)), 'WORKFLOW_EXECUTION_STARTED');
    assert.deepEqual([begun.firstExecutionRunId, begun.attempt], [first, 2]);
    assert.equal(begun.parentWorkflowExecution.runId, handle.firstExecutionRunId);
  });

  it('continue as new, and their parent hears of the last run alone', async () => {
    const workflowId = newId();
    const handle = await start('parent', ['countDown', { workflowId, args: [2] }]);
    const first = await handle.result();
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...CHILD_STARTED, 'CHILD_WORKFLOW_EXECUTION_COMPLETED', ...TASK, DONE]);
    assert.equal(only(history, 'CHILD_WORKFLOW_EXECUTION_STARTED').workflowExecution.runId, first);
    assert.notEqual(only(history, 'CHILD_WORKFLOW_EXECUTION_COMPLETED').workflowExecution.runId, first);
  });

  it('time out', async () => {
    const handle = await start('parent', ['waitForever', { workflowId: newId(), workflowRunTimeout: '1s' }]);
    await childFailureOf(handle, TimeoutFailure);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...CHILD_STARTED, 'CHILD_WORKFLOW_EXECUTION_TIMED_OUT', ...TASK, FAILED]);
    const { retryState } = only(history, 'CHILD_WORKFLOW_EXECUTION_TIMED_OUT');
    assert.equal(retryState, enums.RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET);
  });

  it('are terminated', async () => {
    const workflowId = newId();
    const handle = await start('parent', ['gated', { workflowId, args: ['child'] }]);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 2);
    await handleOf(workflowId).terminate('no more');
    await childFailureOf(handle, TerminatedFailure);
    assert.deepEqual(kinds(await events(handle)), [
      ...CHILD_STARTED,
      'CHILD_WORKFLOW_EXECUTION_TERMINATED',
      ...TASK,
      FAILED,
    ]);
  });

  it('are refused when their id is taken', async () => {
    const holder = await start('gated', ['first']);
    const handle = await start('parent', ['gated', { workflowId: holder.workflowId, args: ['second'] }]);
    await failureOf(handle);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'START_CHILD_WORKFLOW_EXECUTION_INITIATED',
      'START_CHILD_WORKFLOW_EXECUTION_FAILED',
      ...TASK,
      FAILED,
    ]);
    const failed = only(history, 'START_CHILD_WORKFLOW_EXECUTION_FAILED');
    const { StartChildWorkflowExecutionFailedCause: causes } = enums;
    assert.equal(failed.cause, causes.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS);
    assert.equal(Number(failed.initiatedEventId), 5);
  });

  it('are not started by a parent that closes in the same task', async () => {
    const workflowId = newId();
    const handle = await start('hastyParent', [workflowId]);
    await handle.result();
    assert.deepEqual(kinds(await events(handle)), [...BEGIN, 'START_CHILD_WORKFLOW_EXECUTION_INITIATED', DONE]);
    await assert.rejects(handleOf(workflowId).describe(), WorkflowNotFoundError);
  });

  it('are many', async () => {
    const handle = await start('manyChildren', [50]);
    assert.equal(await handle.result(), 50);
    const seen = kinds(await events(handle));
    for (const kind of ['START_CHILD_WORKFLOW_EXECUTION_INITIATED', 'CHILD_WORKFLOW_EXECUTION_COMPLETED'])
      assert.equal(seen.filter((each) => each === kind).length, 50);
  });
});

// The parent's history from the signal on that makes it cancel its child.
const CANCEL_SENT = [
  'WORKFLOW_EXECUTION_SIGNALED',
  ...TASK,
  'REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED',
];
const CANCEL_ARRIVED = ['EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED', ...TASK];

describe('the cancellation of a child', SUITE, () => {
  async function cancelChild(cancellationType) {
    const workflowId = newId();
    const handle = await start('cancellingParent', [{ workflowId, cancellationType }]);
    await letGo(handle, handle.workflowId);
    return { handle, child: handleOf(workflowId) };
  }

  // The second of the two promises less, but this SDK waits for the end all the same.
  for (const type of ['WAIT_CANCELLATION_COMPLETED', 'WAIT_CANCELLATION_REQUESTED'])
    it(`is awaited with ${type}`, () => awaitCancelled(type));

  async function awaitCancelled(type) {
    const { handle, child } = await cancelChild(type);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 4);
    await child.signal('go');
    assert.equal(await handle.result(), 'cancelled');
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...CHILD_STARTED,
      ...CANCEL_SENT,
      ...CANCEL_ARRIVED,
      'CHILD_WORKFLOW_EXECUTION_CANCELED',
      ...TASK,
      DONE,
    ]);
    const request = only(history, 'REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED');
    assert.deepEqual([request.childWorkflowOnly, request.workflowExecution.workflowId], [true, child.workflowId]);
    const canceled = only(history, 'CHILD_WORKFLOW_EXECUTION_CANCELED');
    assert.deepEqual([Number(canceled.initiatedEventId), Number(canceled.startedEventId)], [5, 6]);
    const asked = only(await events(child), 'WORKFLOW_EXECUTION_CANCEL_REQUESTED');
    assert.equal(asked.externalWorkflowExecution.workflowId, handle.workflowId);
    assert.equal(Number(asked.externalInitiatedEventId), 14);
    assert.equal(asked.identity, 'history-service');
    await assert.rejects(child.result(), (error) => error.cause instanceof CancelledFailure);
  }

  it('is tried and not awaited', async () => {
    const { handle } = await cancelChild('TRY_CANCEL');
    assert.equal(await handle.result(), 'cancelled');
    const seen = kinds(await events(handle));
    assert.deepEqual(seen, [...CHILD_STARTED, ...CANCEL_SENT, DONE]);
  });

  it('is left undone when the child is abandoned', async () => {
    const { handle, child } = await cancelChild('ABANDON');
    assert.equal(await handle.result(), 'cancelled');
    assert.deepEqual(kinds(await events(handle)), [...CHILD_STARTED, 'WORKFLOW_EXECUTION_SIGNALED', ...TASK, DONE]);
    assert.equal((await child.describe()).status.name, 'RUNNING');
  });
});

describe('the close of a parent', SUITE, () => {
  for (const end of ['complete', 'fail', 'continue', 'terminate', 'time out']) {
    it(`is felt by its children when it does so by ${end}`, async () => {
      const prefix = newId();
      const timeout = end === 'time out' ? { workflowRunTimeout: '2s' } : {};
      const handle = await start('policies', [prefix], timeout);
      await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 4);
      if (end === 'terminate') await handle.terminate();
      else if (end !== 'time out') await handle.signal('go', end);

      const terminated = await untilEvent(handleOf(`${prefix}TERMINATE`), 'WORKFLOW_EXECUTION_TERMINATED');
      assert.equal(terminated.workflowExecutionTerminatedEventAttributes.identity, 'history-service');
      const cancelled = handleOf(`${prefix}REQUEST_CANCEL`);
      const asked = await untilEvent(cancelled, 'WORKFLOW_EXECUTION_CANCEL_REQUESTED');
      const { identity, externalWorkflowExecution } = asked.workflowExecutionCancelRequestedEventAttributes;
      const me = { workflowId: handle.workflowId, runId: handle.firstExecutionRunId };
      assert.deepEqual([identity, { ...externalWorkflowExecution }], ['history-service', me]);
      const abandoned = handleOf(`${prefix}ABANDON`);
      await abandoned.signal('go');
      assert.equal(await abandoned.result(), 'never done');
      if (end === 'continue') await handleOf(handle.workflowId).terminate();
    });
  }
});

describe('signals and cancel requests between workflows', SUITE, () => {
  it('arrive once, with their sender', async () => {
    const mailbox = await start('mailbox', []);
    await untilEvent(mailbox, 'WORKFLOW_TASK_COMPLETED');
    const handle = await start('signaller', [mailbox.workflowId, 'put', 'from outside']);
    await handle.result();
    await untilEvent(mailbox, 'WORKFLOW_TASK_COMPLETED', 2);
    await mailbox.signal('close');
    assert.deepEqual(await mailbox.result(), ['from outside']);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED',
      'EXTERNAL_WORKFLOW_EXECUTION_SIGNALED',
      ...TASK,
      DONE,
    ]);
    const initiated = only(history, 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED');
    assert.deepEqual([initiated.signalName, decoded(initiated.input)], ['put', ['from outside']]);
    assert.equal(initiated.workflowExecution.workflowId, mailbox.workflowId);
    const signaled = only(history, 'EXTERNAL_WORKFLOW_EXECUTION_SIGNALED');
    assert.equal(Number(signaled.initiatedEventId), 5);
    const [put] = (await events(mailbox)).flatMap((event) => event.workflowExecutionSignaledEventAttributes ?? []);
    assert.equal(put.identity, 'history-service');
    const sender = { workflowId: handle.workflowId, runId: handle.firstExecutionRunId };
    assert.deepEqual({ ...put.externalWorkflowExecution }, sender);
  });

  it('fail when nobody is there', async () => {
    const closed = await start('answer', [1]);
    await closed.result();
    const { SignalExternalWorkflowExecutionFailedCause: causes } = enums;
    for (const handle of [
      await start('signaller', [newId(), 'put', 1]),
      await start('signaller', [closed.workflowId, 'put', 1]),
      await start('selfSignaller', []),
    ]) {
      await failureOf(handle);
      const history = await events(handle);
      assert.deepEqual(kinds(history), [
        ...BEGIN,
        'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED',
        'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED',
        ...TASK,
        FAILED,
      ]);
      const failed = only(history, 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED');
      assert.equal(
        failed.cause,
        causes.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
      );
      assert.equal(Number(failed.initiatedEventId), 5);
    }
  });

  it('reach a child', async () => {
    const handle = await start('signallingParent', [newId()]);
    assert.deepEqual(await handle.result(), ['from my parent']);
    const sent = (await events(handle)).flatMap(
      (event) => event.signalExternalWorkflowExecutionInitiatedEventAttributes ?? [],
    );
    assert.deepEqual(
      sent.map((each) => [each.signalName, each.childWorkflowOnly]),
      [
        ['put', true],
        ['close', true],
      ],
    );
  });

  it('cancel another workflow, and one that has ended already', async () => {
    const target = await start('sleeper', ['1 hour']);
    await untilEvent(target, 'TIMER_STARTED');
    const sent = [
      ...BEGIN,
      'REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED',
      ...CANCEL_ARRIVED,
      DONE,
    ];
    const handle = await start('canceller', [target.workflowId]);
    await handle.result();
    assert.ok((await failureOf(target)).cause instanceof CancelledFailure);
    assert.deepEqual(kinds(await events(handle)), sent);
    const history = await events(target);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'TIMER_STARTED',
      'WORKFLOW_EXECUTION_CANCEL_REQUESTED',
      ...TASK,
      'TIMER_CANCELED',
      'WORKFLOW_EXECUTION_CANCELED',
    ]);
    const asked = only(history, 'WORKFLOW_EXECUTION_CANCEL_REQUESTED');
    assert.equal(asked.externalWorkflowExecution.runId, handle.firstExecutionRunId);
    assert.equal(Number(asked.externalInitiatedEventId), 5);
    const again = await start('canceller', [target.workflowId]);
    await again.result();
    assert.deepEqual(kinds(await events(again)), sent);
  });

  it('cannot cancel what is not there', async () => {
    const handle = await start('canceller', [newId()]);
    await failureOf(handle);
    const history = await events(handle);
    const failed = only(history, 'REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED');
    const { CancelExternalWorkflowExecutionFailedCause: causes } = enums;
    assert.equal(
      failed.cause,
      causes.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
    );
  });
});
