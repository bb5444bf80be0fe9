// Reset and delete.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import { WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { events, kinds, nanoseconds, only } from './harness.js';
import {
  BEGIN,
  DONE,
  SUITE,
  TASK,
  client,
  decoded,
  execution,
  handleOf,
  rejectsWith,
  start,
  until,
  untilEvent,
} from './rig.js';

const { ResetReapplyExcludeType, WorkflowTaskFailedCause } = proto.temporal.api.enums.v1;
export const NO_SIGNALS = [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL];
const SIGNAL = 'WORKFLOW_EXECUTION_SIGNALED';
export const UNTIL_RESET = [
  'WORKFLOW_EXECUTION_STARTED',
  'WORKFLOW_TASK_SCHEDULED',
  'WORKFLOW_TASK_STARTED',
  'WORKFLOW_TASK_FAILED',
];

// Keeps the history before the event `finish` and answers with the new run.
export async function reset(handle, finish, resetReapplyExcludeTypes = []) {
  const { runId } = await handle.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: execution(handle),
    reason: 'another try',
    requestId: randomUUID(),
    workflowTaskFinishEventId: finish,
    resetReapplyExcludeTypes,
  });
  assert.notEqual(runId, handle.firstExecutionRunId);
  return handleOf(handle.workflowId, runId, { workflow: handle.client });
}

// Has worked on the signals a and b, each in a task of its own.
export async function openMailbox(options, begin = start) {
  const handle = await begin('mailbox', [], options);
  await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
  await handle.signal('put', 'a');
  await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 2);
  await handle.signal('put', 'b');
  await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED', 3);
  return handle;
}

async function messagesOf(handle) {
  await handle.signal('close');
  return (await handle.result()).join('');
}

describe('a reset', SUITE, () => {
  it('of a running workflow brings its signals along', async () => {
    const base = await openMailbox();
    const run = await reset(base, 4);
    const cut = await events(handleOf(base.workflowId, base.firstExecutionRunId));
    assert.deepEqual(kinds(cut), [...BEGIN, SIGNAL, ...TASK, SIGNAL, ...TASK, 'WORKFLOW_EXECUTION_TERMINATED']);
    const end = only(cut, 'WORKFLOW_EXECUTION_TERMINATED');
    assert.deepEqual([end.reason, end.identity], ['another try', 'history-resetter']);
    const { raw } = await handleOf(base.workflowId, base.firstExecutionRunId).describe();
    assert.equal(raw.workflowExtendedInfo.resetRunId, run.firstExecutionRunId);

    await untilEvent(run, 'WORKFLOW_TASK_COMPLETED');
    const history = await events(run);
    assert.deepEqual(kinds(history), [...UNTIL_RESET, SIGNAL, SIGNAL, ...TASK]);
    const failed = only(history, 'WORKFLOW_TASK_FAILED');
    assert.equal(failed.cause, WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW);
    assert.deepEqual([failed.baseRunId, failed.newRunId], [base.firstExecutionRunId, run.firstExecutionRunId]);
    assert.equal(failed.failure.message, 'another try');
    assert.ok(failed.failure.resetWorkflowFailureInfo);
    const begun = only(history, 'WORKFLOW_EXECUTION_STARTED');
    assert.equal(begun.originalExecutionRunId, base.firstExecutionRunId);
    assert.deepEqual(decoded(history[4].workflowExecutionSignaledEventAttributes.input), ['a']);
    assert.equal(await messagesOf(run), 'ab');
  });

  it('in the middle keeps what comes before it, and can be reset again', async () => {
    const base = await openMailbox();
    const run = await reset(base, 8, NO_SIGNALS); // a is kept, b forgotten
    await untilEvent(run, 'WORKFLOW_TASK_COMPLETED', 2);
    assert.deepEqual(kinds(await events(run)), [
      ...BEGIN,
      SIGNAL,
      'WORKFLOW_TASK_SCHEDULED',
      'WORKFLOW_TASK_STARTED',
      'WORKFLOW_TASK_FAILED',
      ...TASK,
    ]);
    const again = await reset(run, 4);
    await untilEvent(again, 'WORKFLOW_TASK_COMPLETED');
    assert.deepEqual(kinds(await events(again)), [...UNTIL_RESET, SIGNAL, ...TASK]);
    assert.equal(await messagesOf(again), 'a');
  });

  it('of a closed workflow leaves that one as it was', async () => {
    const base = await openMailbox();
    assert.equal(await messagesOf(base), 'ab');
    const closed = handleOf(base.workflowId, base.firstExecutionRunId);
    const before = kinds(await events(closed));
    const run = await reset(base, 4, NO_SIGNALS);
    await untilEvent(run, 'WORKFLOW_TASK_COMPLETED');
    assert.deepEqual(kinds(await events(run)), [...UNTIL_RESET, ...TASK]);
    assert.deepEqual(kinds(await events(closed)), before);
    assert.equal((await closed.describe()).status.name, 'COMPLETED');
    assert.equal(await messagesOf(run), '');
  });

  it('keeps what was done, children that run, and the time of timers', async () => {
    const child = `ts-kept-${randomUUID()}`;
    const base = await start('steps', [child]);
    const due = await untilEvent(base, 'TIMER_STARTED');
    await base.signal('go');
    const finish = await untilEvent(base, 'WORKFLOW_TASK_COMPLETED', 4);
    const run = await reset(base, finish.eventId);
    const fired = await untilEvent(run, 'TIMER_FIRED');
    assert.ok(nanoseconds(fired.eventTime) - nanoseconds(due.eventTime) >= 1_000_000_000n);
    await handleOf(child).signal('go');
    assert.equal(await run.result(), 'child done');
    const history = await events(run);
    const kept = await events(handleOf(base.workflowId, base.firstExecutionRunId));
    const end = Number(finish.eventId) - 1;
    assert.deepEqual(kinds(history).slice(0, end), kinds(kept).slice(0, end));
    only(history, 'ACTIVITY_TASK_SCHEDULED');
    only(history, 'START_CHILD_WORKFLOW_EXECUTION_INITIATED');
    only(history, 'CHILD_WORKFLOW_EXECUTION_COMPLETED');
  });

  it('is refused where no task ends', async () => {
    const base = await openMailbox();
    for (const finish of [0, 1, 2, 5, 1000]) await rejectsWith(reset(base, finish), status.INVALID_ARGUMENT);
    await rejectsWith(reset(handleOf(`never-started-${randomUUID()}`), 4), status.NOT_FOUND);
    assert.equal((await base.describe()).status.name, 'RUNNING');
  });

  it('has points to go to', async () => {
    const { raw } = await (await openMailbox()).describe();
    const points = raw.workflowExecutionInfo.autoResetPoints.points;
    assert.equal(points.length, 1);
    assert.deepEqual([Number(points[0].firstWorkflowTaskCompletedId), points[0].resettable], [4, true]);
  });
});

describe('a delete', SUITE, () => {
  it('frees the id, and is refused for what is not there', async () => {
    const remove = (workflowId) =>
      client.workflowService.deleteWorkflowExecution({ namespace: 'default', workflowExecution: { workflowId } });
    const open = await start('waitForever', []);
    await remove(open.workflowId);
    const gone = handleOf(open.workflowId, open.firstExecutionRunId);
    await until('the run is gone', () =>
      gone.describe().then(
        () => false,
        (error) => error instanceof WorkflowNotFoundError,
      ),
    );
    await rejectsWith(events(gone), status.NOT_FOUND);
    const { workflowId } = open;
    const next = await start('answer', ['again'], { workflowId, workflowIdReusePolicy: 'REJECT_DUPLICATE' });
    assert.equal(await next.result(), 'again');
    assert.deepEqual(kinds(await events(next)), [...BEGIN, DONE]);
    await rejectsWith(remove(`never-started-${randomUUID()}`), status.NOT_FOUND);
  });
});
