// Workflows that meet others: children, signals between workflows, updates. They wait for signals of the test where
// a history would otherwise depend on who is faster.
import {
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  sleep,
  startChild,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';

const goSignal = defineSignal('go');

// A gate opens by the signal "go", whose argument is what it answers with.
function gate() {
  const opened = {};
  setHandler(goSignal, (value) => Object.assign(opened, { value, open: true }));
  return async () => {
    await condition(() => opened.open);
    return opened.value;
  };
}

export async function gated(value) {
  const opened = gate();
  await opened();
  return `${value} done`;
}

export async function gatedFailure() {
  const opened = gate();
  await opened();
  throw ApplicationFailure.create({ message: 'bad child', type: 'Bad', details: [7] });
}

export async function parent(type, options) {
  return await executeChild(type, options);
}

export async function family(child, grandchild) {
  if (!child) return [workflowInfo().root.workflowId, workflowInfo().parent.workflowId];
  return await executeChild(family, { workflowId: child, args: [grandchild] });
}

// Cancels its child when it is told to, and says how that looked to it.
export async function cancellingParent(options) {
  const opened = gate();
  const scope = new CancellationScope();
  const child = await scope.run(() =>
    startChild('stubborn', { ...options, parentClosePolicy: 'ABANDON' }),
  );
  await opened();
  scope.cancel();
  try {
    await child.result();
    return 'completed';
  } catch (error) {
    if (!isCancellation(error)) throw error;
    return 'cancelled';
  }
}

// Ends as cancelled, but only when its time has come.
export async function stubborn() {
  const opened = gate();
  try {
    await sleep('1 hour');
  } catch (error) {
    await CancellationScope.nonCancellable(opened);
    throw error;
  }
}

// Starts a child for each of the three policies and ends when, and as, it is told to.
export async function policies(prefix) {
  const opened = gate();
  for (const parentClosePolicy of ['TERMINATE', 'REQUEST_CANCEL', 'ABANDON'])
    await startChild('gated', { workflowId: prefix + parentClosePolicy, args: ['never'], parentClosePolicy });
  const end = await opened();
  if (end === 'fail') throw ApplicationFailure.nonRetryable('on purpose');
  if (end === 'continue') await continueAsNew(prefix);
}

export async function hastyParent(workflowId) {
  void startChild('gated', { workflowId, args: ['never'], parentClosePolicy: 'ABANDON' });
}

export async function manyChildren(count) {
  const children = Array.from({ length: count }, (_, i) => executeChild('answer', { args: [i] }));
  return (await Promise.all(children)).length;
}

export async function signaller(workflowId, signal, value) {
  await getExternalWorkflowHandle(workflowId).signal(signal, value);
}

export async function selfSignaller() {
  await getExternalWorkflowHandle(workflowInfo().workflowId).signal('put', 'me');
}

export async function canceller(workflowId) {
  await getExternalWorkflowHandle(workflowId).cancel();
}

export async function signallingParent(workflowId) {
  const child = await startChild('mailbox', { workflowId });
  await child.signal('put', 'from my parent');
  await child.signal('close');
  return await child.result();
}

export async function mailbox() {
  const messages = [];
  let closed = false;
  setHandler(defineSignal('put'), (message) => void messages.push(message));
  setHandler(defineSignal('close'), () => void (closed = true));
  setHandler(defineQuery('count'), () => messages.length);
  await condition(() => closed);
  return messages;
}

// Takes deposits as updates: "add" at once, "later" when it is released, "greeted" by an activity. It ends by the signal
// "go", as a new run when that says "again".
export async function account(begin = 0) {
  const opened = gate();
  let total = begin;
  let released = false;
  const add = (amount) => {
    if (amount === 13) throw ApplicationFailure.create({ message: 'unlucky', type: 'Superstition' });
    total += amount;
    return total;
  };
  const validator = (amount) => {
    if (amount < 0) throw new Error('a negative amount');
  };
  setHandler(defineSignal('release'), () => void (released = true));
  setHandler(defineUpdate('add'), add, { validator });
  setHandler(
    defineUpdate('later'),
    async (amount) => {
      await condition(() => released);
      return add(amount);
    },
    { unfinishedPolicy: 'ABANDON' },
  );
  setHandler(defineUpdate('greeted'), (name) => proxyActivities({ startToCloseTimeout: '10s' }).greet(name));
  if ((await opened()) === 'again') await continueAsNew(total);
  return total;
}

// Runs an activity, starts a child and a timer, and waits for its signal, then for timer and child.
export async function steps(workflowId) {
  const opened = gate();
  await proxyActivities({ startToCloseTimeout: '10s' }).greet('x');
  const child = await startChild('gated', { workflowId, args: ['child'] });
  const timer = sleep('1s');
  await opened();
  await timer;
  return await child.result();
}

// An activity with an id of its own that waits for an hour after a failure.
export async function operated(activity) {
  const activities = proxyActivities({
    activityId: 'operated',
    startToCloseTimeout: '1 hour',
    heartbeatTimeout: '3s',
    retry: { initialInterval: '1 hour' },
  });
  return await activities[activity](workflowInfo().workflowId);
}

export async function unsteadyLocally() {
  const local = proxyLocalActivities({ startToCloseTimeout: '1s', retry: { initialInterval: '10ms' } });
  return await local.failUntil(2);
}

export async function prioritised(taskQueue, keys) {
  const call = (priorityKey) =>
    proxyActivities({ taskQueue, startToCloseTimeout: '1 minute', priority: { priorityKey } }).note(priorityKey);
  await Promise.all(keys.map(call));
}

export async function described(workflowId) {
  await proxyActivities({ startToCloseTimeout: '10s', summary: 'the activity' }).greet('x');
  await sleep(1, { summary: 'the timer' });
  await executeChild('answer', { workflowId, args: [1], staticSummary: 'the child', staticDetails: 'all about it' });
}

export async function forgets() {
  upsertMemo({ kept: 1, dropped: null, new: 'x' });
  upsertSearchAttributes([{ key: { name: 'BatcherUser', type: 'KEYWORD' }, value: null }]);
}

export async function oversize() {
  try {
    await proxyActivities({ startToCloseTimeout: '10s', retry: { maximumAttempts: 1 } }).oversize();
    return 'succeeded';
  } catch {
    return 'failed';
  }
}

// Its code is broken in its first task, and mended when that has failed.
export async function faulty() {
  if (workflowInfo().historyLength <= 3) throw new Error('broken');
  return 'mended';
}
