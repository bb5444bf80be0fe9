// A kill of the server between the steps of an update; see restarts.js.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SUITE, flow, openCrashRig, untilEvent } from './rig.js';

const skip = process.env.PERDURE_ADDRESS ? 'the server given belongs to somebody else' : false;

describe('a kill of the server', { ...SUITE, skip }, () => {
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
