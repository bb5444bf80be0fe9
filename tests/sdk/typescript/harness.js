// The server under test: PERDURE_ADDRESS when set, else one of our own on free ports with a fresh store.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const READY_MS_MAX = 30_000;
const STOP_MS_MAX = 30_000;

// Below the ports that the system gives to outgoing connections: one of those would be taken while a killed server is
// away.
const PORT_MIN = 10_000;
const PORT_MAX = 32_000;

async function freePorts(count) {
  // All are held at once, so that they differ.
  const held = [];
  while (held.length < count) {
    const server = createServer().listen(randomInt(PORT_MIN, PORT_MAX), '127.0.0.1');
    await once(server, 'listening').then(
      () => held.push(server),
      () => {}, // somebody has it
    );
  }
  const ports = held.map((server) => server.address().port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function startServer() {
  if (process.env.PERDURE_ADDRESS) return { address: process.env.PERDURE_ADDRESS, stop: async () => {} };
  return await startOwnServer();
}

// A server that may be killed and launched again: on the same ports and the same store.
export async function startOwnServer() {
  const directory = await mkdtemp(path.join(tmpdir(), 'perdure-typescript-'));
  const ports = await freePorts(2);
  const [address, http] = ports.map((port) => `127.0.0.1:${port}`);
  const store = `sqlite:${path.join(directory, 'perdure.db')}`;
  const callbacks = ['--callback-url', '127.0.0.1:*,insecure'];
  let running = await launch(['server', '--grpc', address, '--http', http, '--store', store, ...callbacks]);
  return {
    address,
    // As a power cut would: no drain, no flush.
    restart: async () => {
      running.server.kill('SIGKILL');
      await running.ended;
      running = await launch(running.server.spawnargs.slice(1));
    },
    stop: () => stop(running.server, running.ended, directory),
  };
}

async function launch(args) {
  const binary = process.env.PERDURE_BINARY ?? path.join(REPOSITORY, 'build/dev/perdure');
  const server = spawn(binary, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => {
    server.once('error', (error) => resolve(`could not start: ${error.message}`));
    server.once('exit', (code, signal) => resolve(signal ?? code));
  });
  try {
    await until(ready(server, ended), READY_MS_MAX, `${binary} was not ready in time`);
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
  return { server, ended };
}

async function ready(server, ended) {
  const lines = createInterface({ input: server.stdout });
  const line = new Promise((resolve) =>
    lines.on('line', (text) => text.includes('ready') && resolve('ready')),
  );
  const first = await Promise.race([line, ended]);
  if (first !== 'ready') throw new Error(`the server ended before it was ready: ${first}`);
}

async function stop(server, ended, directory) {
  server.kill('SIGTERM');
  try {
    const status = await until(ended, STOP_MS_MAX, 'the server did not end after SIGTERM');
    if (status !== 0) throw new Error(`the server ended with ${status} after SIGTERM`);
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
  await rm(directory, { recursive: true });
}

async function until(promise, ms, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export async function events(handle) {
  return (await handle.fetchHistory()).events ?? [];
}

export function kind(event) {
  return proto.temporal.api.enums.v1.EventType[event.eventType].replace('EVENT_TYPE_', '');
}

export function kinds(history) {
  return history.map(kind);
}

// The attributes of the only event of a kind; an assertion of its own when there are more or none.
export function only(history, wanted) {
  const found = history.filter((event) => kind(event) === wanted);
  if (found.length !== 1) throw new Error(`${found.length} events ${wanted} in ${kinds(history).join(', ')}`);
  const field = Object.keys(found[0]).find((key) => key.endsWith('EventAttributes') && found[0][key] != null);
  return found[0][field];
}

export function nanoseconds(time) {
  return BigInt(time?.seconds?.toString() ?? 0) * 1_000_000_000n + BigInt(time?.nanos ?? 0);
}

export function seconds(duration) {
  return Number(nanoseconds(duration)) / 1e9;
}
