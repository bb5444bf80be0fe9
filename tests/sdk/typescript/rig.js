// What all tests share: one server, one client, one worker, and what the tests ask of them. They run at the same time;
// each has ids of its own.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { ActivityFailure, defaultPayloadConverter } from '@temporalio/common';
import { NativeConnection, Runtime, DefaultLogger, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { activities } from './activities.js';
import { kind, startServer } from './harness.js';
import { replayAll } from './replay.js';

export const RUN = randomUUID().slice(0, 8);
export const QUEUE = `typescript-${RUN}`;

export const TASK = ['WORKFLOW_TASK_SCHEDULED', 'WORKFLOW_TASK_STARTED', 'WORKFLOW_TASK_COMPLETED'];
export const BEGIN = ['WORKFLOW_EXECUTION_STARTED', ...TASK];
export const DONE = 'WORKFLOW_EXECUTION_COMPLETED';
export const FAILED = 'WORKFLOW_EXECUTION_FAILED';
export const activityEnding = (end) => ['ACTIVITY_TASK_SCHEDULED', 'ACTIVITY_TASK_STARTED', end];
export const GREETED = [...BEGIN, ...activityEnding('ACTIVITY_TASK_COMPLETED'), ...TASK, DONE];

// How a group of tests runs: at the same time, and none of them for ever.
export const SUITE = { concurrency: true, timeout: 60_000 };

let server;
export let connection;
let nativeConnection;
export let client;
let bundle;
let worker;
const began = new Date(Date.now() - 1000); // the server's clock is this machine's, to the millisecond at best

// A running worker and how to end it; what its run rejects with is what stop rejects with.
export async function startWorker(taskQueue, options = {}) {
  const created = await Worker.create({
    connection: nativeConnection,
    taskQueue,
    workflowBundle: bundle,
    activities,
    shutdownGraceTime: 0,
    ...options,
  });
  const running = created.run();
  running.catch(() => {}); // reported by stop
  return {
    stop: async () => {
      if (created.getState() === 'RUNNING') created.shutdown();
      await running;
    },
  };
}

export function start(type, args, options = {}) {
  const workflowId = options.workflowId ?? `ts-${type}-${randomUUID()}`;
  return client.workflow.start(type, { taskQueue: QUEUE, args, ...options, workflowId });
}

export function callWith(activity, args, options) {
  return start('callWith', [activity, args, options]);
}

export async function failureOf(handle) {
  const error = await handle.result().then(
    (value) => assert.fail(`the workflow returned ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof WorkflowFailedError, String(error));
  return error;
}

export async function activityFailureOf(handle) {
  const { cause } = await failureOf(handle);
  assert.ok(cause instanceof ActivityFailure, String(cause));
  return cause;
}

export function decoded(payloads) {
  return (payloads?.payloads ?? []).map((payload) => defaultPayloadConverter.fromPayload(payload));
}

// Returns the nth event of this kind when it is in history, and not by time: the long poll answers when there is one.
export async function untilEvent(handle, wanted, nth = 1) {
  const request = {
    namespace: 'default',
    execution: { workflowId: handle.workflowId, runId: handle.firstExecutionRunId },
    waitNewEvent: true,
  };
  let nextPageToken;
  let left = nth;
  for (;;) {
    const page = await connection.workflowService.getWorkflowExecutionHistory({ ...request, nextPageToken });
    const found = (page.history?.events ?? []).filter((event) => kind(event) === wanted);
    if (found.length >= left) return found[left - 1];
    left -= found.length;
    assert.ok(page.nextPageToken?.length, `the workflow closed without ${wanted}`);
    ({ nextPageToken } = page);
  }
}

before(async () => {
  // What goes wrong on purpose here is no news; what goes wrong otherwise fails a test.
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => {}),
    telemetryOptions: { logging: { filter: 'ERROR' } },
  });
  server = await startServer();
  connection = await Connection.connect({ address: server.address });
  nativeConnection = await NativeConnection.connect({ address: server.address });
  client = new Client({ connection, identity: `client-${RUN}` });
  bundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./workflows.js', import.meta.url)),
    logger: new DefaultLogger('ERROR', () => {}),
  });
  worker = await startWorker(QUEUE, { identity: `worker-${RUN}` });
});

after(async () => {
  try {
    await worker?.stop();
    if (bundle) await replayAll(client, bundle, began);
    await nativeConnection?.close();
    await connection?.close();
  } finally {
    await server?.stop();
  }
});

// Lists read your writes: the first answer must be right. The reference needs a moment, so it gets one.
export async function visible(read, wanted) {
  let seen = await read();
  for (let attempt = 0; isReference() && seen !== wanted && attempt < 100; attempt++) {
    await delay(100);
    seen = await read();
  }
  assert.equal(seen, wanted);
}

// For states that no event announces.
export async function until(what, look) {
  for (let attempt = 0; attempt < 1000; attempt++) {
    if (await look()) return;
    await delay(20);
  }
  assert.fail(`it did not come to that: ${what}`);
}

// Says that the server given is the reference, on which some of what is ours does not hold.
export function isReference() {
  return !['', '0'].includes(process.env.PERDURE_ADDRESS_IS_REFERENCE ?? '');
}
