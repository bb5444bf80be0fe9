// What is told to others when a run has ended: the SDK has no words for the request, so the service itself is asked.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { defaultPayloadConverter } from '@temporalio/common';
import proto from '@temporalio/proto';
import { events, kinds, only } from './harness.js';
import { BEGIN, DONE, FAILED, QUEUE, SUITE, client, handleOf, isReference, startWorker, until } from './rig.js';

const { CallbackState } = proto.temporal.api.enums.v1;

// A server on loopback that keeps what it is sent and agrees with all of it.
async function receiver(test) {
  const received = [];
  const server = createServer(async (request, response) => {
    const { method, url, headers } = request;
    received.push({ method, url, headers, body: await text(request) });
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { received, address: `http://127.0.0.1:${server.address().port}` };
}

async function callbackOf(handle) {
  const { callbacks } = (await handle.describe()).raw;
  assert.equal(callbacks.length, 1);
  assert.ok(callbacks[0].trigger.workflowClosed);
  return callbacks[0];
}

// Starts a run before there is a worker for it, and returns what was told of its end.
async function outcome(test, type, argument, last) {
  const { received, address } = await receiver(test);
  const taskQueue = `${QUEUE}-callback-${type}`;
  const workflowId = `ts-callback-${randomUUID()}`;
  const nexus = { url: `${address}/done?x=1`, header: { 'my-key': 'v' } };
  const { runId } = await client.workflowService.startWorkflowExecution({
    namespace: 'default',
    workflowId,
    requestId: randomUUID(),
    workflowType: { name: type },
    taskQueue: { name: taskQueue },
    input: { payloads: [defaultPayloadConverter.toPayload(argument)] },
    completionCallbacks: [{ nexus }],
  });
  const handle = handleOf(workflowId, runId);
  assert.equal((await callbackOf(handle)).state, CallbackState.CALLBACK_STATE_STANDBY);
  const worker = await startWorker(taskQueue);
  try {
    const succeeded = async () => (await callbackOf(handle)).state === CallbackState.CALLBACK_STATE_SUCCEEDED;
    await until('the callback has succeeded', succeeded);
  } finally {
    await worker.stop();
  }
  const info = await callbackOf(handle);
  assert.equal(info.attempt, 1);
  assert.ok(info.lastAttemptCompleteTime && !info.lastAttemptFailure);
  const history = await events(handle);
  assert.deepEqual(kinds(history), [...BEGIN, last]);
  for (const kept of [info.callback, only(history, 'WORKFLOW_EXECUTION_STARTED').completionCallbacks[0]])
    assert.deepEqual([kept.nexus.url, kept.nexus.header], [nexus.url, nexus.header]);
  assert.equal(received.length, 1);
  const [request] = received;
  assert.deepEqual([request.method, request.url, request.headers['my-key']], ['POST', '/done?x=1', 'v']);
  assert.ok(request.headers['nexus-link'].includes(`${workflowId}/${runId}/history?eventID=1&`));
  return request;
}

describe('a completion callback', { ...SUITE, skip: isReference() && 'it has to be configured for callbacks' }, () => {
  it('tells of a success', async (test) => {
    const { headers, body } = await outcome(test, 'answer', { a: 1 }, DONE);
    assert.equal(headers['nexus-operation-state'], 'succeeded');
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual(JSON.parse(body), { a: 1 });
  });

  it('tells of a failure', async (test) => {
    const { headers, body } = await outcome(test, 'failsFor', 'a reason', FAILED);
    assert.equal(headers['nexus-operation-state'], 'failed');
    const { message, metadata, details } = JSON.parse(body);
    assert.deepEqual([message, metadata.type], ['a reason', 'temporal.api.failure.v1.Failure']);
    assert.deepEqual([details.applicationFailureInfo.type, details.applicationFailureInfo.nonRetryable], ['OnPurpose', true]);
  });
});
