// What the workflows call. Attempts are told apart by the attempt number the server hands out, so that the
// activities themselves need no state.
import { ApplicationFailure } from '@temporalio/common';
import { CompleteAsyncError, Context, heartbeat } from '@temporalio/activity';

async function greet(name) {
  return `Hello, ${name}!`;
}

async function failUntil(lastFailingAttempt) {
  const { attempt } = Context.current().info;
  if (attempt <= lastFailingAttempt)
    throw ApplicationFailure.create({ message: `attempt ${attempt}`, type: 'Flaky' });
  return attempt;
}

async function failAs(type, nonRetryable) {
  throw ApplicationFailure.create({ message: `a ${type} failure`, type, nonRetryable, details: [type, 7] });
}

async function failOnceThenAfter(nextRetryDelay) {
  const { attempt } = Context.current().info;
  if (attempt === 1) throw ApplicationFailure.create({ message: 'later', nextRetryDelay });
  return attempt;
}

// Fails its first attempt after a heartbeat; the second one answers with what the first had reported.
async function heartbeatThenFail() {
  const { attempt, heartbeatDetails } = Context.current().info;
  if (attempt > 1) return heartbeatDetails;
  heartbeat({ done: 41 });
  throw ApplicationFailure.create({ message: 'after the heartbeat' });
}

// Tests wait here for an activity that has started: a worker and its tests are one process.
const waiting = new Map();

export function whenStarted(key) {
  return new Promise((resolve) => waiting.set(key, resolve));
}

function tellStarted(key) {
  const { taskToken, activityId } = Context.current().info;
  waiting.get(key)?.({ taskToken, activityId });
}

// Heartbeats until it is told to stop; the error that says so is the activity's outcome.
async function heartbeatForever(key) {
  tellStarted(key);
  const beat = setInterval(() => heartbeat('still here'), 100);
  try {
    return await Context.current().cancelled;
  } finally {
    clearInterval(beat);
  }
}

// Reports nothing and waits for the worker's own notice that the attempt is over.
async function silent() {
  await Context.current().cancelled;
}

// Its outcome comes from outside.
async function completeLater(key) {
  tellStarted(key);
  throw new CompleteAsyncError();
}

// The workflows whose activities may succeed from now on.
const opened = new Set();

export function open(workflowId) {
  opened.add(workflowId);
}

// Fails until its workflow is opened, and answers with the attempt that succeeded.
async function valve(workflowId) {
  if (!opened.has(workflowId)) throw ApplicationFailure.create({ message: 'closed' });
  return Context.current().info.attempt;
}

// Heartbeats until it is told something, which is what it fails with; it succeeds once its workflow is opened.
async function observer(workflowId) {
  const context = Context.current();
  if (opened.has(workflowId)) return context.info.attempt;
  const beat = setInterval(() => heartbeat('still here'), 50);
  try {
    await context.cancelled;
  } catch {
    const { paused, reset } = context.cancellationDetails;
    throw ApplicationFailure.create({ message: paused ? 'paused' : reset ? 'reset' : 'neither' });
  } finally {
    clearInterval(beat);
  }
}

const noted = new Map();

// What the activities on this queue were called with, in order.
export function notes(taskQueue) {
  return noted.get(taskQueue) ?? [];
}

async function note(value) {
  const { taskQueue } = Context.current().info;
  noted.set(taskQueue, [...notes(taskQueue), value]);
}

async function oversize() {
  return 'r'.repeat(2 * 1024 * 1024 + 1);
}

export const activities = {
  greet,
  failUntil,
  failAs,
  failOnceThenAfter,
  heartbeatThenFail,
  heartbeatForever,
  silent,
  completeLater,
  valve,
  observer,
  note,
  oversize,
};
