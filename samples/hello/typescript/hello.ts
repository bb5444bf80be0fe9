import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import * as activities from './activities.ts';
import { hello } from './workflows.ts';

const taskQueue = 'hello-typescript';
const connection = await NativeConnection.connect({
  address: process.env.TEMPORAL_ADDRESS ?? '127.0.0.1:7233',
});
const worker = await Worker.create({
  connection,
  taskQueue,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
  activities,
});
const client = new Client({ connection });

const greeting = await worker.runUntil(
  client.workflow.execute(hello, { taskQueue, workflowId: 'hello-typescript', args: ['TypeScript'] }),
);
console.log(greeting);
await connection.close();
