// Durable tools called by the official TypeScript clients: the acceptance cases that both generations have in common.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { CLIENTS, LEGACY, MODERN, overBridge, taskSession } from './clients.js';
import { Stage } from './stage.js';

const run = promisify(execFile);
const INSPECTOR = fileURLToPath(new URL('node_modules/.bin/mcp-inspector', import.meta.url));
const YES = { action: 'accept', content: { approve: true } };
const NO = { action: 'decline' };
const text = (result) => result.content.map((item) => item.text ?? '').join('\n');

function stage(sample, defaults) {
  const it = new Stage();
  before(async () => {
    it.open();
    it.url = await it.ask('start_all', sample, defaults);
  });
  after(() => it.close());
  return it;
}

async function using(client, use) {
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

const invoice = (id, ...lines) => ({
  invoice_id: id,
  customer: 'Miller',
  lines: (lines.length === 0 ? ['desk'] : lines).map((description) => ({
    description,
    amount: 10,
    due_date: new Date(Date.now() - 1000).toISOString(),
  })),
});

describe('weather', () => {
  const it = stage('weather');
  const states = { 'sdk 1.32': ['CA', 'AZ'], 'client 2.4, its default': ['NV', 'CO'], 'client 2.4, auto': ['OR', 'ID'] };

  for (const { name, version, connect } of CLIENTS) {
    const [state, failing] = states[name];

    test(`W1 the list is what the file declares: ${name}`, async () => {
      await using(await connect(it.url), async (client) => {
        assert.equal(client.version(), version);
        const [first, second] = [await client.client.listTools(), await client.client.listTools()];
        assert.deepEqual(first, second);
        const declared = first.tools.filter((tool) => !tool.name.startsWith('task_'));
        assert.deepEqual(declared.map((tool) => tool.name), ['get_alerts', 'get_forecast']);
        assert.equal(declared[0].inputSchema.properties.state.pattern, '^[A-Za-z]{2}$');
        assert.equal(declared[0].annotations.readOnlyHint, true);
        assert.equal('ttlMs' in first, version === MODERN);
      });
    });

    test(`W2 an answer: ${name}`, async () => {
      const result = await using(await connect(it.url), (client) => client.callTool('get_alerts', { state }));
      assert.ok(!result.isError && text(result).includes('Event: Flood Watch'));
      assert.equal(await it.ask('hits', 'weather', `/alerts/active/area/${state}`), 1);
      assert.equal(await it.ask('runs', `alerts-${state.toLowerCase()}`), 1);
    });

    test(`W4 what fails at first is told and done again: ${name}`, async () => {
      const path = `/alerts/active/area/${failing}`;
      await it.ask('control', 'weather', 'set', { path, fail: '500:2' });
      const seen = [];
      const onprogress = (progress) => seen.push(progress);
      const result = await using(await connect(it.url), (client) =>
        client.callTool('get_alerts', { state: failing }, { onprogress }),
      );
      assert.ok(!result.isError);
      assert.equal(await it.ask('hits', 'weather', path), 3);
      const values = seen.map((each) => each.progress);
      assert.ok(values.length >= 2 && values.every((value, i) => i === 0 || value > values[i - 1]), `${values}`);
      assert.ok(seen.some(({ message }) => /make_nws_request.*attempt [23].*500/.test(message)), JSON.stringify(seen));
    });

    test(`W12 wrong arguments start nothing: ${name}`, async () => {
      await using(await connect(it.url), async (client) => {
        const result = await client.callTool('get_alerts', { state: 'California' });
        assert.ok(result.isError && text(result).includes('/state'));
        const other = await client.callTool('get_forecast', { latitude: 'x', longitude: 1 });
        assert.ok(other.isError && text(other).includes('/latitude'));
        await assert.rejects(client.callTool('nothing'), (error) => error.code === -32602);
      });
      assert.equal(await it.ask('runs', 'alerts-california'), 0);
    });
  }

  test('W8 the same call of three clients is one run', async () => {
    await it.ask('control', 'weather', 'set', { path: '/alerts/active/area/UT', gate: 'same' });
    const clients = await Promise.all(CLIENTS.map(({ connect }) => connect(it.url)));
    const calls = clients.flatMap((client) => Array.from({ length: 5 }, () => client.callTool('get_alerts', { state: 'UT' })));
    await it.ask('control', 'weather', 'wait', { gate: 'same' });
    await it.ask('control', 'weather', 'release/same');
    const answers = (await Promise.all(calls)).map(text);
    assert.ok(answers.every((answer) => answer.includes('Flood Watch')));
    assert.equal(await it.ask('hits', 'weather', '/alerts/active/area/UT'), await it.ask('runs', 'alerts-ut'));
    await Promise.all(clients.map((client) => client.close()));
  });

  for (const mode of [undefined, 'auto']) {
    test(`W13 a task is cancelled by request only: ${mode ?? LEGACY}`, async () => {
      const state = mode === undefined ? 'WA' : 'WY';
      await it.ask('control', 'weather', 'set', { path: `/alerts/active/area/${state}`, fail: '500' });
      const tasks = await taskSession(it.url, mode);
      const execution = await tasks.start('get_alerts', { state });
      assert.equal(execution.kind, 'task');
      await tasks.session.cancelTask(execution.handle.taskId);
      const settled = await execution.settle().then(({ outcome }) => outcome.kind ?? outcome.status, (error) => error.name);
      assert.match(String(settled), /cancel/i);
      await tasks.close();
      assert.equal(await it.ask('ended', `alerts-${state.toLowerCase()}`), 'CANCELED');
      const kinds = await it.ask('kinds', `alerts-${state.toLowerCase()}`);
      assert.equal(kinds.filter((kind) => kind === 'WORKFLOW_EXECUTION_CANCEL_REQUESTED').length, 1);
    });
  }

  test('the inspector lists and calls, over HTTP and by the bridge', async () => {
    const node = process.execPath;
    const binary = await it.ask('binary');
    for (const target of [[it.url, '--transport', 'http'], [binary, 'mcp', 'stdio', '--url', it.url]]) {
      const inspect = (...more) => run(node, [INSPECTOR, '--cli', ...target, ...more, '--format', 'json'], { timeout: 60_000 });
      const { stdout: listed } = await inspect('--method', 'tools/list');
      assert.ok(listed.includes('get_alerts') && listed.includes('get_forecast'), listed);
      const call = ['--method', 'tools/call', '--tool-name', 'get_alerts', '--tool-arg'];
      const { stdout: said } = await inspect(...call, 'state=NM');
      assert.ok(said.includes('Flood Watch'), said);
      await assert.rejects(inspect(...call, 'state=California'), (error) => error.code === 5 && error.stdout.includes('/state'));
    }
  });
});

describe('weather without a worker', () => {
  const it = stage('weather', { hold: '1s', sync_wait: '1s', legs: 1 });

  for (const { name, version, connect } of CLIENTS) {
    test(`W7 a handle before the client gives up, and the answer by it: ${name}`, async () => {
      if (name === CLIENTS[0].name) await it.ask('kill', 'worker');
      const state = { [LEGACY]: 'CA', [MODERN]: 'NV' }[version];
      await using(await connect(it.url), async (client) => {
        const [result] = await Promise.all([1, 2, 3].map(() => client.callTool('get_alerts', { state })));
        assert.ok(!result.isError && text(result).includes('task_result'));
        const { handle } = result.structuredContent;
        const status = await client.callTool('task_status', { handle });
        assert.ok(text(status).includes('weather-task-queue'), text(status));
        if (name !== CLIENTS.at(-1).name) return;
        await it.ask('start_worker', 'weather');
        let done = result;
        while (done.structuredContent?.handle) done = await client.callTool('task_result', { handle });
        assert.ok(text(done).includes('Flood Watch'));
      });
      assert.equal(await it.ask('runs', `alerts-${state.toLowerCase()}`), 1);
    });
  }
});

describe('weather over a killed server', () => {
  const it = stage('weather');

  test('W10 a call by the bridge gets its answer all the same', async () => {
    await it.ask('control', 'weather', 'set', { path: '/alerts/active/area/CA', gate: 'kill' });
    await using(await overBridge(await it.ask('binary'), it.url), async (client) => {
      const call = client.callTool('get_alerts', { state: 'CA' });
      await it.ask('control', 'weather', 'wait', { gate: 'kill' });
      await it.ask('kill', 'server');
      await it.ask('start_server');
      await it.ask('control', 'weather', 'release/kill');
      assert.ok(text(await call).includes('Flood Watch'));
    });
    assert.equal(await it.ask('runs', 'alerts-ca'), 1);
    assert.equal(await it.ask('hits', 'weather', '/alerts'), 1);
  });
});

describe('invoices', () => {
  const it = stage('invoice');
  const paid = async (id) => Object.keys((await it.ask('json', 'invoice', '/ledger')).paid).filter((key) => key.includes(`-${id}-`));

  for (const { name, connect } of CLIENTS) {
    const tag = name.replaceAll(/[^a-z0-9]/g, '');

    test(`I1 a question is asked once, and both lines are paid: ${name}`, async () => {
      const id = `I1${tag}`;
      await using(await connect(it.url, { answer: YES }), async (client) => {
        const result = await client.callTool('process_invoice', invoice(id, 'desk', 'chair'));
        assert.ok(!result.isError && text(result).includes('PAID'), text(result));
        assert.equal(client.questions.length, 1);
        assert.ok(client.questions[0].includes(`Approve invoice ${id}`));
      });
      assert.equal((await paid(id)).length, 2);
    });

    test(`I2 who declines rejects, and nothing is paid: ${name}`, async () => {
      const id = `I2${tag}`;
      const result = await using(await connect(it.url, { answer: NO }), (client) => client.callTool('process_invoice', invoice(id)));
      assert.ok(text(result).includes('REJECTED'), text(result));
      assert.deepEqual(await paid(id), []);
      const kinds = await it.ask('kinds', `invoice-anonymous-${id}`);
      assert.equal(kinds.filter((kind) => kind === 'WORKFLOW_EXECUTION_SIGNALED').length, 1);
    });

    test(`I6 the same invoice again is the same run, a changed one is refused: ${name}`, async () => {
      const [id, given] = [`I6${tag}`, invoice(`I6${tag}`)];
      await using(await connect(it.url, { answer: YES }), async (client) => {
        const first = await client.callTool('process_invoice', given);
        const again = await client.callTool('process_invoice', given);
        assert.equal(text(again), text(first));
        const changed = await client.callTool('process_invoice', { ...given, customer: 'Smith' });
        assert.ok(changed.isError && text(changed).includes('different arguments'));
        const late = await client.callTool('approve_invoice', { invoice_id: id });
        assert.ok(late.isError && text(late).includes('PAID'));
      });
      assert.equal((await paid(id)).length, 1);
      assert.equal(await it.ask('runs', `invoice-anonymous-${id}`), 1);
    });
  }

  for (const mode of [undefined, 'auto']) {
    test(`I1 a task asks, is answered and ends: ${mode ?? LEGACY}`, async () => {
      const id = `I1task${mode ?? 'old'}`;
      const tasks = await taskSession(it.url, mode, YES);
      const execution = await tasks.start('process_invoice', invoice(id, 'desk', 'chair'));
      assert.equal(execution.kind, 'task');
      const { outcome } = await execution.settle();
      assert.ok(JSON.stringify(outcome).includes('PAID'), JSON.stringify(outcome));
      assert.equal(tasks.questions.length + tasks.connected.questions.length, 1);
      await tasks.close();
      assert.equal((await paid(id)).length, 2);
    });
  }
});

describe('invoices of a worker in TypeScript', () => {
  const it = stage('invoice');
  before(() => it.ask('start_typescript_worker', 'invoice'));

  for (const { name, connect } of CLIENTS) {
    test(`I1 a question is asked once, and the line is paid: ${name}`, async () => {
      const id = `T1${name.replaceAll(/[^a-z0-9]/g, '')}`;
      await using(await connect(it.url, { answer: YES }), async (client) => {
        const result = await client.callTool('process_invoice', invoice(id));
        assert.ok(!result.isError && text(result).includes('PAID'), text(result));
        assert.equal(client.questions.length, 1);
      });
      const paid = Object.keys((await it.ask('json', 'invoice', '/ledger')).paid).filter((key) => key.includes(`-${id}-`));
      assert.equal(paid.length, 1);
    });
  }
});

describe('resources', () => {
  const it = stage('invoice', { hold: '1s', sync_wait: '1s', legs: 0 });

  for (const { name, version, connect } of CLIENTS) {
    test(`a run is read, and its changes are told: ${name}`, async () => {
      const id = `R${name.replaceAll(/[^a-z0-9]/g, '')}`;
      await using(await connect(it.url), async (client) => {
        const result = await client.callTool('process_invoice', invoice(id));
        const uri = result._meta['perdure/run'];
        const told = new Promise((resolve) => client.onUpdated(resolve));
        if (version === LEGACY) await client.client.subscribeResource({ uri });
        else await client.client.listen({ resourceSubscriptions: [uri] });
        const read = async () => JSON.parse((await client.client.readResource({ uri }, { cache: false })).contents[0].text);
        assert.equal((await read()).status, 'input_required');
        await client.callTool('approve_invoice', { invoice_id: id });
        assert.equal(await told, uri);
        assert.equal(await it.ask('ended', `invoice-anonymous-${id}`), 'COMPLETED');
        assert.equal((await read()).status, 'completed');
      });
    });
  }
});

describe('chat', () => {
  const it = stage('chat');

  for (const { name, connect } of CLIENTS) {
    test(`C1, C2, C8 turns, a client that comes again, a message sent twice: ${name}`, async () => {
      const conversation = `C${name.replaceAll(/[^a-z0-9]/g, '')}`;
      const say = (client, words, more = {}) => client.callTool('send_message', { conversation, text: words, ...more });
      await using(await connect(it.url), async (client) => {
        assert.equal(text(await say(client, 'my name is Ada')), 'Nice to meet you, Ada.');
        assert.equal(text(await say(client, 'one two', { message_id: 'm' })), 'You said: one two');
      });
      await using(await connect(it.url), async (client) => {
        assert.equal(text(await say(client, 'one two', { message_id: 'm' })), 'You said: one two');
        assert.equal(text(await say(client, 'what is my name?')), 'Your name is Ada.');
        const history = JSON.parse(text(await client.callTool('history', { conversation })));
        assert.deepEqual(history.map((each) => each.role), ['user', 'assistant', 'user', 'assistant', 'user', 'assistant']);
      });
    });
  }
});
