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

export const activities = {
  greet,
  failUntil,
  failAs,
  failOnceThenAfter,
  heartbeatThenFail,
  heartbeatForever,
  silent,
  completeLater,
};
