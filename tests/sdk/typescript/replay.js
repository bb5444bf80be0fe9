// What the tests left behind must replay: every history goes through the SDK's own replayer. One that differs from what
// the server delivered is a non-determinism error.
import assert from 'node:assert/strict';
import { Worker } from '@temporalio/worker';

// Types that break determinism on purpose.
const EXEMPT = new Set();

async function* historiesSince(client, since) {
  for await (const run of client.workflow.list({ query: `StartTime >= '${since.toISOString()}'` })) {
    if (EXEMPT.has(run.type)) continue;
    const history = await client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
    // The replayer wants a task that a worker took.
    if (!history.events.some((event) => event.workflowTaskStartedEventAttributes)) continue;
    yield { workflowId: run.workflowId, history };
  }
}

// Returns how many histories were replayed; throws with all that did not.
export async function replayAll(client, workflowBundle, since) {
  const differing = [];
  let count = 0;
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle }, historiesSince(client, since))) {
    count += 1;
    if (error) differing.push(`${workflowId}: ${error.message}`);
  }
  assert.deepEqual(differing, [], 'histories that do not replay');
  assert.ok(count > 0, 'no history was replayed');
  return count;
}
