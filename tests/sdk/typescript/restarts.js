// The server is killed (SIGKILL) and started again on the same store at each step of what takes several steps: what was
// seen stays, what was under way goes on, and nothing happens twice.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import proto from '@temporalio/proto';
import { open } from './activities.js';
import { kinds, events, only } from './harness.js';
import { backingOff, pause, pendingActivity, unpause } from './operators.js';
import { NO_SIGNALS, UNTIL_RESET, openMailbox, reset } from './resets.js';
import { SUITE, flow, openCrashRig, untilEvent } from './rig.js';

const { PendingActivityState } = proto.temporal.api.enums.v1;
const START = 'WORKFLOW_EXECUTION_STARTED';
const DONE = 'WORKFLOW_EXECUTION_COMPLETED';
const SIGNAL = 'WORKFLOW_EXECUTION_SIGNALED';
const skip = process.env.PERDURE_ADDRESS ? 'the server given belongs to somebody else' : false;

describe('a kill of the server', { ...SUITE, skip }, () => {
  it('around a child', async (test) => {
    const rig = await openCrashRig(test);
    const workflowId = `ts-child-${randomUUID()}`;
    const handle = await rig.start('parent', ['gated', { workflowId, args: ['child'] }]);
    const child = rig.handleOf(workflowId);
    await rig.crash(handle); // started, nobody works on it
    await rig.work();
    await untilEvent(handle, 'START_CHILD_WORKFLOW_EXECUTION_INITIATED');
    await rig.crash(handle); // the child is asked for, perhaps there
    await untilEvent(handle, 'CHILD_WORKFLOW_EXECUTION_STARTED');
    await rig.crash(handle); // the parent knows of it
    await untilEvent(child, 'WORKFLOW_TASK_COMPLETED');
    await rig.crash(handle, child);
    const { raw } = await handle.describe();
    assert.deepEqual(
      raw.pendingChildren.map((each) => each.workflowId),
      [workflowId],
    );
    await child.signal('go');
    await rig.crash(handle, child);
    await untilEvent(child, DONE);
    await rig.crash(handle, child); // the child has ended, its parent perhaps does not know yet
    assert.equal(await handle.result(), 'child done');
    await rig.crash(handle, child);
    assert.deepEqual(await flow(handle), [
      START,
      'START_CHILD_WORKFLOW_EXECUTION_INITIATED',
      'CHILD_WORKFLOW_EXECUTION_STARTED',
      'CHILD_WORKFLOW_EXECUTION_COMPLETED',
      DONE,
    ]);
    assert.deepEqual(await flow(child), [START, SIGNAL, DONE]);
  });

  it('around a signal to another workflow', async (test) => {
    const rig = await openCrashRig(test);
    await rig.work();
    const mailbox = await rig.start('mailbox', []);
    await untilEvent(mailbox, 'WORKFLOW_TASK_COMPLETED');
    const steps = [START, 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', 'EXTERNAL_WORKFLOW_EXECUTION_SIGNALED'];
    for (const step of steps) {
      const handle = await rig.start('signaller', [mailbox.workflowId, 'put', step]);
      await untilEvent(handle, step);
      await rig.crash(handle, mailbox);
      await handle.result();
      assert.deepEqual(await flow(handle), [...steps, DONE]);
    }
    await mailbox.signal('close');
    assert.deepEqual(await mailbox.result(), steps); // each once
  });

  it('around a reset', async (test) => {
    const rig = await openCrashRig(test);
    const worker = await rig.work();
    const base = await openMailbox(undefined, rig.start);
    await worker.stop();
    await rig.crash(base);
    const run = await reset(base, 4);
    await rig.crash(base, run);
    assert.deepEqual(kinds(await events(run)), [...UNTIL_RESET, SIGNAL, SIGNAL, 'WORKFLOW_TASK_SCHEDULED']);
    await rig.work();
    await untilEvent(run, 'WORKFLOW_TASK_COMPLETED');
    await rig.crash(base, run);
    const again = await reset(run, 4, NO_SIGNALS);
    await rig.crash(base, run, again);
    await again.signal('close');
    assert.deepEqual(await again.result(), []);
    await rig.crash(base, run, again);
  });

  it('around runs that continue as new', async (test) => {
    const rig = await openCrashRig(test);
    await rig.work();
    const handle = await rig.start('countDown', [3]);
    const first = handle.firstExecutionRunId;
    let run = rig.handleOf(handle.workflowId, first);
    for (let left = 3; left > 0; left--) {
      const end = await untilEvent(run, 'WORKFLOW_EXECUTION_CONTINUED_AS_NEW');
      await rig.crash(run);
      const { newExecutionRunId } = end.workflowExecutionContinuedAsNewEventAttributes;
      run = rig.handleOf(handle.workflowId, newExecutionRunId);
      assert.equal(only(await events(run), START).firstExecutionRunId, first);
    }
    assert.equal(await run.result(), first);
  });

  it('with an activity paused', async (test) => {
    const rig = await openCrashRig(test);
    await rig.work();
    const handle = await backingOff(rig.start);
    await rig.crash(handle);
    await pause(handle);
    await rig.crash(handle);
    const { state, pauseInfo, attempt } = await pendingActivity(handle);
    assert.deepEqual([state, attempt], [PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED, 2]);
    assert.equal(pauseInfo.manual.identity, 'an operator');
    open(handle.workflowId);
    await unpause(handle);
    await rig.crash(handle);
    assert.ok((await handle.result()) >= 2); // one attempt may have been lost with the server
    assert.deepEqual(await flow(handle), [
      START,
      'ACTIVITY_TASK_SCHEDULED',
      'ACTIVITY_TASK_STARTED',
      'ACTIVITY_TASK_COMPLETED',
      DONE,
    ]);
  });

  it('with an update accepted and not completed', async (test) => {
    const rig = await openCrashRig(test);
    const first = await rig.work();
    const handle = await rig.start('account', []);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
    await rig.crash(handle);
    const later = { updateId: 'slow', args: [5], waitForStage: 'ACCEPTED' };
    const slow = await handle.startUpdate('later', later);
    await rig.crash(handle);
    await handle.startUpdate('later', later); // known
    await first.stop();
    await rig.crash(handle);
    await handle.signal('release');
    await rig.crash(handle);
    await rig.work();
    assert.equal(await slow.result(), 5);
    await rig.crash(handle);
    assert.equal(await handle.executeUpdate('later', { updateId: 'slow', args: [50] }), 5);
    assert.equal(await handle.executeUpdate('add', { updateId: 'quick', args: [1] }), 6);
    await rig.crash(handle);
    await handle.signal('go', 'end');
    assert.equal(await handle.result(), 6);
    await rig.crash(handle);
    assert.equal(await handle.getUpdateHandle('slow').result(), 5);
    assert.deepEqual(await flow(handle), [
      'WORKFLOW_EXECUTION_STARTED',
      'WORKFLOW_EXECUTION_UPDATE_ACCEPTED',
      'WORKFLOW_EXECUTION_SIGNALED',
      'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
      'WORKFLOW_EXECUTION_UPDATE_ACCEPTED',
      'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
      'WORKFLOW_EXECUTION_SIGNALED',
      'WORKFLOW_EXECUTION_COMPLETED',
    ]);
  });
});
