// Updates: what the caller gets at which stage, and what is written of it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { describe, it } from 'node:test';
import {
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import proto from '@temporalio/proto';
import { events, kinds, only } from './harness.js';
import { UNTIL_RESET, reset } from './resets.js';
import {
  BEGIN,
  DONE,
  QUEUE,
  SUITE,
  TASK,
  client,
  decoded,
  execution,
  handleOf,
  plainConnection,
  rejectsWith,
  start,
  startWorker,
  untilEvent,
} from './rig.js';

const {
  ResetReapplyExcludeType,
  UpdateAdmittedEventOrigin,
  UpdateWorkflowExecutionLifecycleStage: Stage,
} = proto.temporal.api.enums.v1;
const NO_UPDATES = [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE];
const ACCEPTED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED;
const ADMITTED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED;
const TAKEN = [...TASK, 'WORKFLOW_EXECUTION_UPDATE_ACCEPTED'];
const UPDATED = [...TAKEN, 'WORKFLOW_EXECUTION_UPDATE_COMPLETED'];
const SIGNALLED = ['WORKFLOW_EXECUTION_SIGNALED', ...TASK];

// An account whose worker has nothing to do.
export async function openAccount(options) {
  const handle = await start('account', [], options);
  await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
  return handle;
}

const update = (handle, updateId, name, arg) => handle.executeUpdate(name, { updateId, args: [arg] });
const accept = (handle, updateId, name, arg) =>
  handle.startUpdate(name, { updateId, args: [arg], waitForStage: 'ACCEPTED' });

async function updateFailureOf(promise) {
  const error = await promise.then(
    (value) => assert.fail(`the update answered ${value}`),
    (reason) => reason,
  );
  assert.ok(error instanceof WorkflowUpdateFailedError, String(error));
  assert.ok(error.cause instanceof ApplicationFailure, String(error.cause));
  return error.cause;
}

describe('updates', SUITE, () => {
  it('answer, and write what they were and what came of them', async () => {
    const handle = await openAccount();
    assert.equal(await update(handle, 'first', 'add', 3), 3);
    assert.equal(await (await accept(handle, 'second', 'add', 4)).result(), 7);
    await handle.signal('go', 'end');
    assert.equal(await handle.result(), 7);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, ...UPDATED, ...UPDATED, ...SIGNALLED, DONE]);
    const accepted = history[7].workflowExecutionUpdateAcceptedEventAttributes;
    assert.equal(accepted.protocolInstanceId, 'first');
    assert.equal(accepted.acceptedRequestMessageId, 'first/request');
    assert.equal(Number(accepted.acceptedRequestSequencingEventId), 5);
    assert.deepEqual([accepted.acceptedRequest.input.name, decoded(accepted.acceptedRequest.input.args)], ['add', [3]]);
    const completed = history[8].workflowExecutionUpdateCompletedEventAttributes;
    assert.deepEqual([completed.meta.updateId, Number(completed.acceptedEventId)], ['first', 8]);
    assert.deepEqual(decoded(completed.outcome.success), [3]);
  });

  it('leave nothing when they are rejected', async () => {
    const handle = await openAccount();
    for (let attempt = 0; attempt < 2; attempt++) {
      const failure = await updateFailureOf(update(handle, 'same', 'add', -1));
      assert.equal(failure.message, 'a negative amount');
      assert.deepEqual(kinds(await events(handle)), BEGIN);
    }
    assert.equal(await update(handle, 'same', 'add', 1), 1); // nor is their id taken
    assert.deepEqual(kinds(await events(handle)), [...BEGIN, ...UPDATED]);
  });

  it('fail', async () => {
    const handle = await openAccount();
    assert.equal((await updateFailureOf(update(handle, 'unlucky', 'add', 13))).type, 'Superstition');
    const { outcome } = only(await events(handle), 'WORKFLOW_EXECUTION_UPDATE_COMPLETED');
    assert.equal(outcome.failure.applicationFailureInfo.type, 'Superstition');
  });

  it('are accepted first and completed later', async () => {
    const handle = await openAccount();
    const slow = await accept(handle, 'slow', 'later', 5);
    await handle.signal('release');
    assert.equal(await slow.result(), 5);
    assert.equal(await handle.getUpdateHandle('slow').result(), 5);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, ...TAKEN, ...SIGNALLED, 'WORKFLOW_EXECUTION_UPDATE_COMPLETED']);
    assert.equal(Number(only(history, 'WORKFLOW_EXECUTION_UPDATE_COMPLETED').acceptedEventId), 8);
  });

  it('call activities', async () => {
    const handle = await openAccount();
    assert.equal(await update(handle, 'hello', 'greeted', 'Ada'), 'Hello, Ada!');
    assert.deepEqual(kinds(await events(handle)), [
      ...BEGIN,
      ...TAKEN,
      'ACTIVITY_TASK_SCHEDULED',
      'ACTIVITY_TASK_STARTED',
      'ACTIVITY_TASK_COMPLETED',
      ...TASK,
      'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
    ]);
  });

  it('are known by their id, even when the workflow has closed', async () => {
    const handle = await openAccount();
    assert.equal(await update(handle, 'once', 'add', 3), 3);
    assert.equal(await update(handle, 'once', 'add', 100), 3);
    await assert.rejects(handle.getUpdateHandle('nobody').result(), WorkflowNotFoundError);
    await handle.signal('go', 'end');
    assert.equal(await handle.result(), 3);
    assert.equal(await update(handle, 'once', 'add', 100), 3);
    await assert.rejects(update(handle, 'late', 'add', 1), WorkflowNotFoundError);
    const seen = kinds(await events(handle));
    assert.equal(seen.filter((kind) => kind === 'WORKFLOW_EXECUTION_UPDATE_ACCEPTED').length, 1);
  });

  it('come at the same time', async () => {
    const handle = await openAccount();
    const all = Array.from({ length: 10 }, (_, i) => update(handle, `update-${i}`, 'add', 1));
    const sums = (await Promise.all(all)).sort((a, b) => a - b);
    assert.deepEqual(sums, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('go on with another worker', async () => {
    const taskQueue = `${QUEUE}-updated`;
    const first = await startWorker(taskQueue);
    const handle = await openAccount({ taskQueue });
    const slow = await accept(handle, 'slow', 'later', 5);
    await first.stop();
    await handle.signal('release');
    const second = await startWorker(taskQueue);
    try {
      assert.equal(await slow.result(), 5);
    } finally {
      await second.stop();
    }
    only(await events(handle), 'WORKFLOW_EXECUTION_UPDATE_ACCEPTED');
  });

  for (const [end, last] of [
    ['end', [...SIGNALLED, DONE]],
    ['again', [...SIGNALLED, 'WORKFLOW_EXECUTION_CONTINUED_AS_NEW']],
    ['terminate', ['WORKFLOW_EXECUTION_TERMINATED']],
  ])
    it(`fail when they are accepted and their workflow closes (${end})`, async () => {
      const handle = await openAccount();
      const slow = await accept(handle, 'slow', 'later', 5);
      if (end === 'terminate') await handle.terminate();
      else await handle.signal('go', end);
      const failure = await updateFailureOf(slow.result());
      assert.deepEqual([failure.type, failure.nonRetryable], ['AcceptedUpdateCompletedWorkflow', true]);
      const run = handleOf(handle.workflowId, handle.firstExecutionRunId);
      assert.deepEqual(kinds(await events(run)), [...BEGIN, ...TAKEN, ...last]);
    });

  it('are limited while they are in flight', async () => {
    const handle = await openAccount();
    const raw = (updateId, lifecycleStage) =>
      plainConnection.workflowService.updateWorkflowExecution({
        namespace: 'default',
        workflowExecution: execution(handle),
        waitPolicy: { lifecycleStage },
        request: {
          meta: { updateId },
          input: { name: 'later', args: { payloads: [defaultPayloadConverter.toPayload(1)] } },
        },
      });
    for (let i = 0; i < 10; i++) {
      const { stage, outcome } = await raw(`update-${i}`, ACCEPTED);
      assert.deepEqual([stage, outcome ?? null], [ACCEPTED, null]);
    }
    await rejectsWith(raw('one too many', ACCEPTED), status.RESOURCE_EXHAUSTED);
    await rejectsWith(raw('update-1', ADMITTED), status.PERMISSION_DENIED);
    assert.equal((await raw('update-3', ACCEPTED)).stage, ACCEPTED); // one that is known needs no room
  });
});

describe('updates with start', SUITE, () => {
  function updateWithStart(workflowId, workflowIdConflictPolicy, updateId, amount) {
    const options = { workflowId, taskQueue: QUEUE, args: [100], workflowIdConflictPolicy };
    const startWorkflowOperation = new WithStartWorkflowOperation('account', options);
    const answer = client.workflow.executeUpdateWithStart('add', { updateId, args: [amount], startWorkflowOperation });
    return { answer, operation: startWorkflowOperation };
  }

  it('start the workflow when it is not running, by the policies', async () => {
    const id = `ts-update-with-start-${randomUUID()}`;
    const first = updateWithStart(id, 'FAIL', 'one', 1);
    assert.equal(await first.answer, 101);
    const handle = await first.operation.workflowHandle();
    const history = await events(handle);
    assert.deepEqual(kinds(history), [
      ...BEGIN,
      'WORKFLOW_EXECUTION_UPDATE_ACCEPTED',
      'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
    ]);
    const accepted = only(history, 'WORKFLOW_EXECUTION_UPDATE_ACCEPTED');
    assert.equal(Number(accepted.acceptedRequestSequencingEventId), 2);
    assert.equal(await updateWithStart(id, 'USE_EXISTING', 'two', 2).answer, 103);
    await assert.rejects(updateWithStart(id, 'FAIL', 'three', 3).answer, WorkflowExecutionAlreadyStartedError);
    await handle.signal('go', 'end');
    assert.equal(await handle.result(), 103);
    assert.equal(await updateWithStart(id, 'FAIL', 'two', 50).answer, 103); // answered by the closed run
    assert.equal(await updateWithStart(id, 'FAIL', 'four', 4).answer, 104); // by a new one
  });

  it('start it even when the update is rejected', async () => {
    const id = `ts-update-with-start-${randomUUID()}`;
    const failure = await updateFailureOf(updateWithStart(id, 'FAIL', 'bad', -1).answer);
    assert.equal(failure.message, 'a negative amount');
    assert.deepEqual(kinds(await events(handleOf(id))), BEGIN);
  });
});

describe('a reset', SUITE, () => {
  it('brings updates along', async () => {
    const base = await start('account', []);
    await untilEvent(base, 'WORKFLOW_TASK_COMPLETED');
    assert.equal(await base.executeUpdate('add', { updateId: 'first', args: [3] }), 3);
    const run = await reset(base, 4);
    await untilEvent(run, 'WORKFLOW_EXECUTION_UPDATE_COMPLETED');
    const history = await events(run);
    assert.deepEqual(kinds(history), [
      ...UNTIL_RESET,
      'WORKFLOW_EXECUTION_UPDATE_ADMITTED',
      ...TASK,
      'WORKFLOW_EXECUTION_UPDATE_ACCEPTED',
      'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
    ]);
    const admitted = only(history, 'WORKFLOW_EXECUTION_UPDATE_ADMITTED');
    assert.equal(admitted.origin, UpdateAdmittedEventOrigin.UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY);
    assert.equal(admitted.request.meta.updateId, 'first');
    assert.equal(await run.executeUpdate('add', { updateId: 'first', args: [99] }), 3);
    const other = await reset(run, 4, NO_UPDATES);
    await untilEvent(other, 'WORKFLOW_TASK_COMPLETED');
    assert.deepEqual(kinds(await events(other)), [...UNTIL_RESET, ...TASK]);
    await other.signal('go', 'end');
    assert.equal(await other.result(), 0);
  });
});
