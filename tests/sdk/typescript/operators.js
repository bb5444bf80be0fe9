// What an operator does to activities and to workflows from outside: pause, go on, reset, change of options.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import { QueryRejectedError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { open } from './activities.js';
import { events, kinds, only, seconds } from './harness.js';
import { BEGIN, DONE, QUEUE, SUITE, TASK, client, execution, rejectsWith, start, until, untilEvent } from './rig.js';

const { PendingActivityState: State } = proto.temporal.api.enums.v1;
const NAMESPACE = 'default';
const call = (method, handle, rest = {}) =>
  handle.client.workflowService[method]({
    namespace: NAMESPACE,
    execution: execution(handle),
    identity: 'an operator',
    id: 'operated',
    ...rest,
  });
export const pause = (handle) => call('pauseActivity', handle, { reason: 'to see' });
export const unpause = (handle, rest) => call('unpauseActivity', handle, rest);

export async function pendingActivity(handle) {
  const { raw } = await handle.describe();
  assert.ok(raw.pendingActivities.length <= 1);
  return raw.pendingActivities[0];
}

async function untilActivity(handle, what, look) {
  let last;
  await until(what, async () => {
    last = await pendingActivity(handle);
    return last && look(last);
  });
  return last;
}

// A workflow whose activity has failed once and has an hour to wait.
export async function backingOff(begin = start) {
  const handle = await begin('operated', ['valve']);
  const info = await untilActivity(
    handle,
    'one failed attempt',
    ({ attempt, state }) => attempt === 2 && state === State.PENDING_ACTIVITY_STATE_SCHEDULED,
  );
  assert.deepEqual([info.lastFailure.message, Math.round(seconds(info.currentRetryInterval))], ['closed', 3600]);
  return handle;
}

async function running() {
  const handle = await start('operated', ['observer']);
  await untilActivity(handle, 'it runs', ({ state }) => state === State.PENDING_ACTIVITY_STATE_STARTED);
  return handle;
}

async function assertAttempt(handle, attempt) {
  assert.equal(await handle.result(), attempt);
  const history = await events(handle);
  assert.deepEqual(kinds(history), [
    ...BEGIN,
    'ACTIVITY_TASK_SCHEDULED',
    'ACTIVITY_TASK_STARTED',
    'ACTIVITY_TASK_COMPLETED',
    ...TASK,
    DONE,
  ]);
  assert.equal(only(history, 'ACTIVITY_TASK_STARTED').attempt, attempt);
}

describe('an operator and an activity', SUITE, () => {
  it('pause it while it waits', async () => {
    const handle = await backingOff();
    await pause(handle);
    await pause(handle); // a second time changes nothing
    const info = await pendingActivity(handle);
    assert.deepEqual([info.state, info.paused, info.attempt], [State.PENDING_ACTIVITY_STATE_PAUSED, true, 2]);
    assert.deepEqual({ ...info.pauseInfo.manual }, { identity: 'an operator', reason: 'to see' });
    assert.deepEqual(kinds(await events(handle)), [...BEGIN, 'ACTIVITY_TASK_SCHEDULED']);
    open(handle.workflowId);
    await unpause(handle);
    await assertAttempt(handle, 2);
  });

  it('unpause it with fresh attempts', async () => {
    const handle = await backingOff();
    await pause(handle);
    open(handle.workflowId);
    await unpause(handle, { resetAttempts: true });
    await assertAttempt(handle, 1);
  });

  it('pause it while it runs', async () => {
    const handle = await running();
    await pause(handle);
    const info = await untilActivity(
      handle,
      'it heard of the pause',
      ({ state }) => state === State.PENDING_ACTIVITY_STATE_PAUSED,
    );
    assert.deepEqual([info.attempt, info.lastFailure.message], [2, 'paused']);
    open(handle.workflowId);
    await unpause(handle);
    await assertAttempt(handle, 2);
  });

  it('reset it while it waits', async () => {
    const handle = await backingOff();
    open(handle.workflowId);
    await call('resetActivity', handle);
    await assertAttempt(handle, 1);
  });

  it('reset it while it runs', async () => {
    const handle = await running();
    await call('resetActivity', handle);
    const info = await untilActivity(handle, 'it heard of the reset', ({ lastFailure }) => lastFailure);
    assert.equal(info.lastFailure.message, 'reset');
    await handle.terminate();
  });

  it('change its options', async () => {
    const handle = await backingOff();
    const change = (activityOptions, ...paths) =>
      call('updateActivityOptions', handle, { activityOptions, updateMask: { paths } });
    const { activityOptions: merged } = await change(
      { startToCloseTimeout: { seconds: 77 }, retryPolicy: { maximumAttempts: 9, initialInterval: { seconds: 60 } } },
      'start_to_close_timeout',
      'retry_policy.maximum_attempts',
    );
    assert.deepEqual(
      [seconds(merged.startToCloseTimeout), merged.retryPolicy.maximumAttempts, seconds(merged.heartbeatTimeout)],
      [77, 9, 3],
    );
    assert.deepEqual([seconds(merged.retryPolicy.initialInterval), merged.taskQueue.name], [3600, QUEUE]);
    const info = await pendingActivity(handle);
    assert.deepEqual([info.maximumAttempts, seconds(info.activityOptions.startToCloseTimeout)], [9, 77]);
    const { activityOptions: restored } = await call('updateActivityOptions', handle, { restoreOriginal: true });
    assert.deepEqual([seconds(restored.startToCloseTimeout), restored.retryPolicy.maximumAttempts], [3600, 0]);
    open(handle.workflowId);
    await change({ retryPolicy: { initialInterval: { seconds: 1 } } }, 'retryPolicy.initialInterval');
    await assertAttempt(handle, 2); // the wait is as long as the new policy says
  });

  it('miss each other', async () => {
    const handle = await backingOff();
    await rejectsWith(call('pauseActivity', handle, { id: 'another' }), status.NOT_FOUND);
    const closed = await start('answer', [1]);
    await closed.result();
    await rejectsWith(pause(closed), status.NOT_FOUND);
    await handle.terminate();
    await rejectsWith(pause(handle), status.NOT_FOUND);
  });
});

describe('an operator and a workflow', SUITE, () => {
  it('pause it and let it go on', async () => {
    const handle = await start('mailbox', []);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
    const { workflowId, firstExecutionRunId: runId } = handle;
    const request = { namespace: NAMESPACE, workflowId, runId, identity: 'an operator', requestId: randomUUID() };
    const service = client.workflowService;
    await service.pauseWorkflowExecution({ ...request, reason: 'to see' });
    await service.pauseWorkflowExecution({ ...request, reason: 'to see' }); // the same request is the same pause
    assert.equal((await handle.describe()).status.name, 'PAUSED');
    await handle.signal('put', 'while paused');
    await assert.rejects(handle.query('count'), QueryRejectedError);
    const paused = [...BEGIN, 'WORKFLOW_EXECUTION_PAUSED', 'WORKFLOW_EXECUTION_SIGNALED'];
    const history = await events(handle);
    assert.deepEqual(kinds(history), paused);
    const { identity, reason, requestId } = only(history, 'WORKFLOW_EXECUTION_PAUSED');
    assert.deepEqual([identity, reason, requestId], ['an operator', 'to see', request.requestId]);
    await service.unpauseWorkflowExecution({ ...request, reason: 'seen', requestId: randomUUID() });
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 2);
    assert.deepEqual(kinds(await events(handle)), [...paused, 'WORKFLOW_EXECUTION_UNPAUSED', ...TASK]);
    assert.equal((await handle.describe()).status.name, 'RUNNING');
    await handle.signal('close');
    assert.deepEqual(await handle.result(), ['while paused']);
  });

  it('change its options', async () => {
    const handle = await start('mailbox', []);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
    const answer = await client.workflowService.updateWorkflowExecutionOptions({
      namespace: NAMESPACE,
      workflowExecution: execution(handle),
      workflowExecutionOptions: { priority: { priorityKey: 2, fairnessKey: 'not in the mask' } },
      updateMask: { paths: ['priority.priority_key'] },
    });
    const { priorityKey, fairnessKey } = answer.workflowExecutionOptions.priority;
    assert.deepEqual([priorityKey, fairnessKey], [2, '']);
    assert.equal((await handle.describe()).raw.workflowExecutionInfo.priority.priorityKey, 2);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, 'WORKFLOW_EXECUTION_OPTIONS_UPDATED']);
    assert.equal(only(history, 'WORKFLOW_EXECUTION_OPTIONS_UPDATED').priority.priorityKey, 2);
  });
});
