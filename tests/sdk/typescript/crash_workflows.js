// The TypeScript third of the crash test's workflows; crash_worker.py and cmd/crashworker say the same.
import * as wf from '@temporalio/workflow';

const own = wf.proxyActivities({
  startToCloseTimeout: '2s',
  heartbeatTimeout: '2s',
  retry: { initialInterval: '100ms', backoffCoefficient: 1 },
});
const local = wf.proxyLocalActivities({ startToCloseTimeout: '2s' });

// A child that takes a timer's time in each of its runs, so that the server may die while it runs.
export async function Helper(number, more) {
  await wf.sleep(50);
  if (more) await wf.continueAsNew(number, more - 1);
  return number;
}

export async function Ledger(handQueue, count) {
  const numbers = [];
  const kept = [];
  wf.setHandler(wf.defineSignal('add'), (number) => void numbers.push(number));
  wf.setHandler(wf.defineQuery('taken'), () => numbers);
  wf.setHandler(wf.defineUpdate('keep'), async (number) => {
    kept.push(number);
    const place = kept.length;
    await wf.sleep(10);
    return place;
  });
  const byHand = wf.proxyActivities({
    startToCloseTimeout: '2s',
    heartbeatTimeout: '2s',
    taskQueue: handQueue,
    retry: { initialInterval: '100ms', backoffCoefficient: 1 },
  });
  const results = [];
  for (let index = 0; index < count; index++) {
    await wf.condition(() => numbers.length > index);
    const number = numbers[index];
    results.push(await (index % 3 === 2 ? byHand.by_hand(number) : own.record(number)));
    if ((await local.double(number)) !== 2 * number) throw wf.ApplicationFailure.nonRetryable('a wrong double');
    if (index % 4 === 3) {
      const told = await wf.executeChild(Helper, { args: [number, 1] });
      if (told !== number) throw wf.ApplicationFailure.nonRetryable(`the helper of ${number} says ${told}`);
    }
    if (index % 4 === 1) await wf.sleep(200);
  }
  await wf.condition(wf.allHandlersFinished);
  return results;
}
