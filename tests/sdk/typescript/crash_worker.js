// The TypeScript third of the crash test's workers: workflow Ledger and activity record.
//
// Each execution of the activity is written to the journal, and on disk, before anything else, so that an attempt that
// was handed out twice cannot hide.
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

const [address, taskQueue, path] = process.argv.slice(2);
const journal = fs.openSync(path, 'a', 0o600);

const activities = {
  record: async (number) => {
    const { info } = Context.current();
    const entry = { run: info.workflowExecution.runId, activity: info.activityId, attempt: info.attempt };
    fs.writeSync(journal, JSON.stringify(entry) + '\n');
    fs.fsyncSync(journal);
    Context.current().heartbeat(number);
    return `${number}:${info.attempt}`;
  },
  double: async (number) => 2 * number,
};

Runtime.install({
  logger: new DefaultLogger('ERROR', () => {}),
  telemetryOptions: { logging: { filter: 'ERROR' } },
  shutdownSignals: ['SIGTERM'],
});
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowsPath: fileURLToPath(new URL('./crash_workflows.js', import.meta.url)),
  activities,
  shutdownGraceTime: 0,
});
process.stdout.write('ready\n');
await worker.run();
process.exit(0);
