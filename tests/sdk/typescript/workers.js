// Workers and their queues, what is said about workflows, and limits.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { NativeConnection } from '@temporalio/worker';
import { notes } from './activities.js';
import { events, kind, kinds, nanoseconds, only } from './harness.js';
import { openMailbox } from './resets.js';
import {
  BEGIN,
  DONE,
  GREETED,
  QUEUE,
  SUITE,
  TASK,
  client,
  handleOf,
  isReference,
  nativeConnection,
  plainConnection,
  rejectsWith,
  serverAddress,
  start,
  startWorker,
  until,
  untilEvent,
} from './rig.js';
import { startTally } from './tally.js';

const enums = proto.temporal.api.enums.v1;
const { TASK_QUEUE_TYPE_ACTIVITY, TASK_QUEUE_TYPE_WORKFLOW } = enums.TaskQueueType;

const describeQueue = (name, taskQueueType) =>
  client.workflowService.describeTaskQueue({
    namespace: 'default',
    taskQueue: { name },
    taskQueueType,
    reportStats: true,
  });

describe('workers', SUITE, () => {
  it('leave nothing behind that somebody has to wait for', async () => {
    const taskQueue = `${QUEUE}-stopping`;
    const first = await startWorker(taskQueue);
    const handle = await openMailbox({ taskQueue });
    const before = Date.now();
    await first.stop();
    assert.ok(Date.now() - before < 5000, 'the stop took too long');
    await handle.signal('put', 'c');
    const second = await startWorker(taskQueue);
    try {
      await handle.signal('close');
      assert.deepEqual(await handle.result(), ['a', 'b', 'c']);
    } finally {
      await second.stop();
    }
    const seen = kinds(await events(handle));
    assert.ok(!seen.includes('WORKFLOW_TASK_TIMED_OUT') && !seen.includes('WORKFLOW_TASK_FAILED'), seen.join());
  });

  it('retry local activities', async () => {
    const handle = await start('unsteadyLocally', []);
    assert.equal(await handle.result(), 3);
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...BEGIN, 'MARKER_RECORDED', DONE]);
    assert.equal(Number(only(history, 'MARKER_RECORDED').workflowTaskCompletedEventId), 4);
  });

  it('get the urgent ones first', async () => {
    const urgent = `${QUEUE}-urgent`;
    const keys = Array.from({ length: 20 }, (_, i) => 5 - (i % 5));
    const handle = await start('prioritised', [urgent, keys], { priority: { priorityKey: 4 } });
    const backlog = async () => (await describeQueue(urgent, TASK_QUEUE_TYPE_ACTIVITY)).stats.approximateBacklogCount;
    await until('a backlog of 20', async () => Number(await backlog()) === 20);
    const worker = await startWorker(urgent, {
      workflowBundle: undefined,
      maxConcurrentActivityTaskExecutions: 1,
      maxConcurrentActivityTaskPolls: 1,
    });
    try {
      await handle.result();
    } finally {
      await worker.stop();
    }
    assert.deepEqual(notes(urgent), keys.toSorted());
    const [begun, , , , scheduled] = await events(handle);
    assert.equal(begun.workflowExecutionStartedEventAttributes.priority.priorityKey, 4);
    assert.equal(scheduled.activityTaskScheduledEventAttributes.priority.priorityKey, 5);
  });

  it('are seen at their queue, with its backlog', async () => {
    const taskQueue = `${QUEUE}-described`;
    const handles = [];
    for (let i = 0; i < 3; i++) handles.push(await start('answer', [i], { taskQueue }));
    await until('a backlog of 3', async () => {
      const { stats } = await describeQueue(taskQueue, TASK_QUEUE_TYPE_WORKFLOW);
      return Number(stats.approximateBacklogCount) === 3 && nanoseconds(stats.approximateBacklogAge) > 0n;
    });
    const worker = await startWorker(taskQueue, { identity: `of ${taskQueue}` });
    try {
      await Promise.all(handles.map((handle) => handle.result()));
      await until('no backlog and one poller', async () => {
        const { stats, pollers } = await describeQueue(taskQueue, TASK_QUEUE_TYPE_WORKFLOW);
        return Number(stats.approximateBacklogCount) === 0 && pollers.length === 1 && pollers[0].identity === `of ${taskQueue}`;
      });
    } finally {
      await worker.stop();
    }
  });

  it('get a workflow with the answer to its start', async () => {
    const eager = new Client({ connection: nativeConnection });
    const workflowId = `ts-eager-${randomUUID()}`;
    const options = { taskQueue: QUEUE, workflowId, args: ['at once'], requestEagerStart: true };
    const handle = await eager.workflow.start('answer', options);
    assert.equal(await handle.result(), 'at once');
    assert.ok(handle.eagerlyStarted);
    const history = await events(handleOf(workflowId));
    assert.deepEqual(kinds(history), [...BEGIN, DONE]);
    assert.ok(only(history, 'WORKFLOW_EXECUTION_STARTED').eagerExecutionAccepted);
  });

  // The reference has this switched off unless it is told otherwise.
  it('get an activity with the answer to a workflow task', { skip: isReference() }, async () => {
    const taskQueue = `${QUEUE}-eager`;
    const counted = await startTally(serverAddress());
    const connection = await NativeConnection.connect({ address: counted.address });
    try {
      const worker = await startWorker(taskQueue, { connection });
      try {
        const handle = await start('greetByActivity', ['eager'], { taskQueue });
        assert.equal(await handle.result(), 'Hello, eager!');
        const history = await events(handle);
        assert.deepEqual(kinds(history), GREETED);
        assert.equal(Number(only(history, 'ACTIVITY_TASK_STARTED').scheduledEventId), 5);
      } finally {
        await worker.stop();
      }
    } finally {
      await connection.close();
      counted.stop();
    }
    assert.deepEqual(counted.tally, { inline: 1, polled: 0 });
  });

  it('fail a task when the code is broken, and try it again', async () => {
    const handle = await start('faulty', []);
    assert.equal(await handle.result(), 'mended');
    const history = await events(handle);
    const failing = ['WORKFLOW_TASK_SCHEDULED', 'WORKFLOW_TASK_STARTED', 'WORKFLOW_TASK_FAILED'];
    assert.deepEqual(kinds(history), ['WORKFLOW_EXECUTION_STARTED', ...failing, ...TASK, DONE]);
    const { cause, failure, scheduledEventId, startedEventId } = only(history, 'WORKFLOW_TASK_FAILED');
    const { WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE: unhandled } = enums.WorkflowTaskFailedCause;
    assert.deepEqual([cause, failure.message], [unhandled, 'broken']);
    assert.deepEqual([Number(scheduledEventId), Number(startedEventId)], [2, 3]);
    assert.equal(history[4].workflowTaskScheduledEventAttributes.attempt, 2);
  });
});

describe('what is said about a workflow', SUITE, () => {
  it('is shown in its history and description', async () => {
    const child = `ts-described-${randomUUID()}`;
    const said = { staticSummary: 'the workflow', staticDetails: 'with details' };
    const handle = await start('described', [child], said);
    await handle.result();
    const text = (metadata) =>
      [metadata?.summary, metadata?.details].map((payload) => (payload ? JSON.parse(Buffer.from(payload.data)) : null));
    const history = await events(handle);
    for (const [wanted, expected] of [
      ['WORKFLOW_EXECUTION_STARTED', ['the workflow', 'with details']],
      ['ACTIVITY_TASK_SCHEDULED', ['the activity', null]],
      ['TIMER_STARTED', ['the timer', null]],
      ['START_CHILD_WORKFLOW_EXECUTION_INITIATED', ['the child', 'all about it']],
    ])
      assert.deepEqual(text(history.find((event) => kind(event) === wanted).userMetadata), expected);
    const config = async (workflowId) => (await handleOf(workflowId).describe()).raw.executionConfig.userMetadata;
    assert.deepEqual(text(await config(handle.workflowId)), ['the workflow', 'with details']);
    assert.deepEqual(text(await config(child)), ['the child', 'all about it']);
  });

  it('can be taken back', async () => {
    const typedSearchAttributes = [{ key: { name: 'BatcherUser', type: 'KEYWORD' }, value: 'me' }];
    const handle = await start('forgets', [], { memo: { dropped: 1, first: 2 }, typedSearchAttributes });
    await handle.result();
    assert.deepEqual(kinds(await events(handle)), [
      ...BEGIN,
      'WORKFLOW_PROPERTIES_MODIFIED',
      'UPSERT_WORKFLOW_SEARCH_ATTRIBUTES',
      DONE,
    ]);
    const { memo, typedSearchAttributes: left } = await handle.describe();
    assert.deepEqual(memo, { first: 2, kept: 1, new: 'x' });
    assert.equal(left.get({ name: 'BatcherUser', type: 'KEYWORD' }), undefined);
  });
});

describe('a start of what runs already', SUITE, () => {
  it('is attached to it, once', async () => {
    const handle = await openMailbox();
    const before = kinds(await events(handle));
    const request = {
      namespace: 'default',
      workflowId: handle.workflowId,
      requestId: randomUUID(),
      workflowType: { name: 'mailbox' },
      taskQueue: { name: QUEUE },
      workflowIdConflictPolicy: enums.WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
      onConflictOptions: { attachRequestId: true },
    };
    for (let attempt = 0; attempt < 2; attempt++) {
      const { started, runId } = await client.workflowService.startWorkflowExecution(request);
      assert.deepEqual([started, runId], [false, handle.firstExecutionRunId]);
    }
    const history = await events(handle);
    assert.deepEqual(kinds(history), [...before, 'WORKFLOW_EXECUTION_OPTIONS_UPDATED']);
    assert.equal(only(history, 'WORKFLOW_EXECUTION_OPTIONS_UPDATED').attachedRequestId, request.requestId);
    const { raw } = await handle.describe();
    assert.equal(Number(raw.workflowExtendedInfo.requestIdInfos[request.requestId].eventId), history.length);
    await handle.terminate();
  });
});

describe('links of a start', SUITE, () => {
  const begin = (workflowId, links) =>
    plainConnection.workflowService.startWorkflowExecution({
      namespace: 'default',
      workflowId,
      requestId: randomUUID(),
      workflowType: { name: 'waitForever' },
      taskQueue: { name: QUEUE },
      links,
    });

  it('are on its event, and not too many', async () => {
    const other = await start('answer', ['linked']);
    const eventRef = { eventId: 1, eventType: enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED };
    const workflowEvent = {
      namespace: 'default',
      workflowId: other.workflowId,
      runId: other.firstExecutionRunId,
      eventRef,
    };
    const workflowId = `ts-linking-${randomUUID()}`;
    const { runId } = await begin(workflowId, [{ workflowEvent }, { batchJob: { jobId: 'a job' } }]);
    const handle = handleOf(workflowId, runId);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
    const history = await events(handle);
    assert.deepEqual(kinds(history), BEGIN);
    const [first, second, ...more] = history[0].links;
    assert.equal(more.length, 0);
    const { namespace, workflowId: linked, runId: linkedRun, eventRef: event } = first.workflowEvent;
    assert.deepEqual([namespace, linked, linkedRun], ['default', other.workflowId, other.firstExecutionRunId]);
    assert.deepEqual([Number(event.eventId), event.eventType], [1, eventRef.eventType]);
    assert.equal(second.batchJob.jobId, 'a job');
    const tooMany = Array.from({ length: 11 }, () => ({ workflowEvent }));
    await rejectsWith(begin(`ts-linking-${randomUUID()}`, tooMany), status.INVALID_ARGUMENT);
    await handle.terminate();
  });
});

describe('limits', SUITE, () => {
  const MIB = 1024 * 1024;
  const payloads = (size) => ({ payloads: [{ data: Buffer.alloc(size) }] });
  const begin = (workflowId, size) =>
    plainConnection.workflowService.startWorkflowExecution({
      namespace: 'default',
      workflowId,
      requestId: randomUUID(),
      workflowType: { name: 'nobody' },
      taskQueue: { name: `${QUEUE}-nobody` },
      input: payloads(size),
    });

  it('of ids', async () => {
    const longest = randomUUID() + 'i'.repeat(1000);
    await begin(longest.slice(0, 1000), 0);
    await rejectsWith(begin(longest.slice(0, 1001), 0), status.INVALID_ARGUMENT);
  });

  it('of inputs and signals', async () => {
    await begin(randomUUID(), 2 * MIB - 100);
    await rejectsWith(begin(randomUUID(), 2 * MIB + 1), status.INVALID_ARGUMENT);
    const handle = await start('waitForever', []);
    await untilEvent(handle, 'WORKFLOW_TASK_COMPLETED');
    const signal = (size) =>
      plainConnection.workflowService.signalWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        signalName: 'put',
        input: payloads(size),
      });
    await signal(2 * MIB - 100);
    await rejectsWith(signal(2 * MIB + 1), status.INVALID_ARGUMENT);
    only(await events(handle), 'WORKFLOW_EXECUTION_SIGNALED');
    await handle.terminate();
  });

  it('of results of activities', async () => {
    const handle = await start('oversize', []);
    assert.equal(await handle.result(), 'failed');
    assert.deepEqual(kinds(await events(handle)), [
      ...BEGIN,
      'ACTIVITY_TASK_SCHEDULED',
      'ACTIVITY_TASK_STARTED',
      'ACTIVITY_TASK_FAILED',
      ...TASK,
      DONE,
    ]);
  });
});
