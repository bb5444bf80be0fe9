// One small workflow for each thing that the tests look at.
import {
  ActivityCancellationType,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  isCancellation,
  log,
  patched,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  sleep,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';

export const addSignal = defineSignal('add');
export const finishSignal = defineSignal('finish');
export const totalQuery = defineQuery('total');
export const brokenQuery = defineQuery('broken');

const quickRetry = { initialInterval: '50ms', backoffCoefficient: 1 };
const { greet } = proxyActivities({ startToCloseTimeout: '10s' });

export async function answer(value) {
  return value;
}

export async function greetByActivity(name) {
  return await greet(name);
}

export async function callWith(activity, args, options) {
  const activities = proxyActivities({ startToCloseTimeout: '10s', retry: quickRetry, ...options });
  return await activities[activity](...args);
}

export async function greetLocally(name) {
  const local = proxyLocalActivities({ startToCloseTimeout: '10s' });
  return await local.greet(name);
}

export async function adder(goal) {
  let total = 0;
  let finished = false;
  setHandler(addSignal, (amount) => void (total += amount));
  setHandler(finishSignal, () => void (finished = true));
  setHandler(totalQuery, () => total);
  setHandler(brokenQuery, () => {
    throw new Error('this query never works');
  });
  await condition(() => finished || total >= goal);
  return total;
}

export async function sleeper(duration) {
  await sleep(duration);
  return 'slept';
}

export async function timerLosesToSignal() {
  let finished = false;
  setHandler(finishSignal, () => void (finished = true));
  return await condition(() => finished, '1 hour');
}

export async function cleansUpWhenCancelled() {
  try {
    await sleep('1 hour');
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(() => greet('cleanup'));
    throw error;
  }
}

export async function cancelsItsActivity(key) {
  let finished = false;
  setHandler(finishSignal, () => void (finished = true));
  const { heartbeatForever } = proxyActivities({
    startToCloseTimeout: '30s',
    heartbeatTimeout: '1s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
  const scope = new CancellationScope();
  const running = scope.run(() => heartbeatForever(key));
  await condition(() => finished);
  scope.cancel();
  try {
    await running;
    return 'completed';
  } catch (error) {
    if (!isCancellation(error)) throw error;
    return 'cancelled';
  }
}

export async function countDown(left) {
  if (left > 0) await continueAsNew(left - 1);
  return workflowInfo().firstExecutionRunId;
}

export async function failsUntilAttempt(attempt) {
  const now = workflowInfo().attempt;
  if (now < attempt) throw ApplicationFailure.create({ message: `run ${now}`, type: 'Early' });
  return now;
}

export async function failsFor(reason) {
  log.info('failing on purpose', { reason });
  throw ApplicationFailure.create({
    message: reason,
    type: 'OnPurpose',
    nonRetryable: true,
    details: [1, 'two'],
  });
}

export async function usesAPatch() {
  const path = patched('a-change') ? 'new' : 'old';
  await sleep(1);
  return path;
}

export async function notesProgress() {
  upsertMemo({ progress: 'half' });
  await sleep(1);
  return workflowInfo().memo;
}

export async function waitForever() {
  await condition(() => false);
}

export * from './model_workflows.js';
