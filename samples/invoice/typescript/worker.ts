// Runs the sample's workflows and activities until SIGTERM or SIGINT, on the queue of the Python worker.
import { fileURLToPath } from 'node:url';
import { NativeConnection, Worker } from '@temporalio/worker';
import * as activities from './activities.ts';
import { taskQueue } from './shared.ts';

const connection = await NativeConnection.connect({
  address: process.env.TEMPORAL_ADDRESS ?? '127.0.0.1:7233',
});
const worker = await Worker.create({
  connection,
  namespace: process.env.TEMPORAL_NAMESPACE ?? 'default',
  identity: `invoice-worker-typescript-${process.pid}`,
  taskQueue,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
  activities,
});
const running = worker.run();
console.log(`invoice worker ${process.pid} ready`);
await running;
await connection.close();
