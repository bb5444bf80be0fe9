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
import { events, kind, kinds, startOwnServer, startServer } from './harness.js';
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
export const serverAddress = () => server.address;
export let connection;
export let plainConnection; // without the SDK's retries, for refusals
export let nativeConnection;
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
    const page = await handle.client.workflowService.getWorkflowExecutionHistory({ ...request, nextPageToken });
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
  plainConnection = await Connection.connect({ address: server.address, interceptors: [] });
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
    await plainConnection?.close();
    await connection?.close();
  } finally {
    await server?.stop();
  }
});

// Calls of the service itself, for what the SDK has no words for.
export function execution(handle) {
  return { workflowId: handle.workflowId, runId: handle.firstExecutionRunId };
}

export function handleOf(workflowId, runId, from = client) {
  // With a first run id `untilEvent` and `events` stay with this run and do not follow the chain.
  return Object.assign(from.workflow.getHandle(workflowId, runId), { firstExecutionRunId: runId });
}

export async function rejectsWith(promise, code) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.code ?? error.cause?.code, code, String(error));
    return true;
  });
}

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

// A server of the test's own, with a client and workers of its own, so that it can be killed.
export async function openCrashRig(test) {
  const server = await startOwnServer();
  const connections = [];
  const workers = [];
  test.after(async () => {
    try {
      await replayAll(own.client, bundle, began);
      for (const each of [...workers, ...connections]) await (each.stop ?? each.close).call(each);
    } finally {
      await server.stop();
    }
  });
  const own = { connection: await Connection.connect({ address: server.address }) };
  connections.push(own.connection);
  own.native = await NativeConnection.connect({ address: server.address });
  connections.push(own.native);
  own.client = new Client({ connection: own.connection });
  const taskQueue = `typescript-crash-${randomUUID()}`;
  return {
    start: (type, args, options) =>
      own.client.workflow.start(type, { taskQueue, args, workflowId: `ts-${type}-${randomUUID()}`, ...options }),
    handleOf: (workflowId, runId) => handleOf(workflowId, runId, own.client),
    service: own.client.workflowService,
    work: async () => {
      const worker = await startWorker(taskQueue, { connection: own.native });
      workers.push(worker);
      return worker;
    },
    // Kills the server, starts it again, and compares what the histories of these runs were and are.
    crash: async (...handles) => {
      const runs = handles.map((handle) => handleOf(handle.workflowId, handle.firstExecutionRunId, own.client));
      const before = await Promise.all(runs.map(events));
      await server.restart();
      for (const [index, run] of runs.entries()) {
        const after = await events(run);
        const kept = written(before[index]);
        assert.deepEqual(after.slice(0, kept.length), kept, `the history of ${run.workflowId} changed`);
      }
    },
  };
}

// Leaves out a task at the end that may be shown before it is written.
function written(history) {
  const last = history.findLastIndex((event) => !kind(event).startsWith('WORKFLOW_TASK_'));
  return history.slice(0, last + 1);
}

// The history without its workflow tasks: a kill may cost one of those and makes another.
export async function flow(handle) {
  return kinds(await events(handle)).filter((each) => !each.startsWith('WORKFLOW_TASK_'));
}
