// One process for all tests: they share the server, the worker and the bundle of workflow code. Most of them wait most
// of the time, so several groups run at once.
import { describe } from 'node:test';
import './rig.js';

describe('the TypeScript SDK', { concurrency: 4 }, async () => {
  await import('./sdk.js');
  await import('./children.js');
  await import('./updates.js');
  await import('./resets.js');
  await import('./operators.js');
  await import('./workers.js');
  await import('./callbacks.js');
  await import('./restarts.js');
});
