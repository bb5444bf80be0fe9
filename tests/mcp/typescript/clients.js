// The official clients as tests use them: `callTool(name, arguments)`, whatever the package and the generation.
import { Client as NewClient, StreamableHTTPClientTransport as NewHttp } from '@modelcontextprotocol/client';
import { createTaskSessionFromClient, toolDeclarationFromMcpTool } from '@modelcontextprotocol/ext-tasks/client';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as OldStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

export const MODERN = '2026-07-28';
export const LEGACY = '2025-11-25';
export const TASKS = 'io.modelcontextprotocol/tasks';
const INFO = { name: 'perdure-tests', version: '1.0.0' };

// `answer`: what a person says to each question; without it the client cannot ask.
function capabilities(answer) {
  return answer === undefined ? {} : { elicitation: { form: {} } };
}

class Connected {
  constructor(client, transport) {
    this.client = client;
    this.transport = transport;
    this.questions = [];
  }

  callTool(name, given = {}, options = {}) {
    return this.client.callTool({ name, arguments: given }, ...this.more(options));
  }

  async close() {
    await this.client.close();
  }
}

class Old extends Connected {
  static async connect(url, { answer, transport } = {}) {
    const client = new OldClient(INFO, { capabilities: capabilities(answer) });
    const self = new Old(client, transport ?? new OldHttp(new URL(url)));
    if (answer !== undefined)
      client.setRequestHandler(ElicitRequestSchema, (request) => {
        self.questions.push(request.params.message);
        return answer;
      });
    await client.connect(self.transport);
    return self;
  }

  more(options) {
    return [undefined, options];
  }

  version() {
    return this.transport.protocolVersion;
  }

  onUpdated(take) {
    this.client.setNotificationHandler(ResourceUpdatedNotificationSchema, (note) => take(note.params.uri));
  }
}

class New extends Connected {
  static async connect(url, { answer, mode } = {}) {
    const negotiation = mode === undefined ? {} : { versionNegotiation: { mode } };
    const client = new NewClient(INFO, { capabilities: capabilities(answer), ...negotiation });
    const self = new New(client, new NewHttp(new URL(url)));
    if (answer !== undefined)
      client.setRequestHandler('elicitation/create', (request) => {
        self.questions.push(request.params.message);
        return answer;
      });
    await client.connect(self.transport);
    return self;
  }

  more(options) {
    return [options];
  }

  version() {
    return this.client.getNegotiatedProtocolVersion();
  }

  onUpdated(take) {
    this.client.setNotificationHandler('notifications/resources/updated', (note) => take(note.params.uri));
  }
}

// Over stdio by the bridge, as hosts that start programs have it.
export function overBridge(binary, url, options = {}) {
  const transport = new OldStdio({ command: binary, args: ['mcp', 'stdio', '--url', url] });
  return Old.connect(url, { ...options, transport });
}

export const CLIENTS = [
  { name: 'sdk 1.32', version: LEGACY, connect: (url, options) => Old.connect(url, options) },
  { name: 'client 2.4, its default', version: LEGACY, connect: (url, options) => New.connect(url, options) },
  { name: 'client 2.4, auto', version: MODERN, connect: (url, options) => New.connect(url, { ...options, mode: 'auto' }) },
];

// Tasks of both generations by the package that is official for them. `answer`: to each question of a task.
export async function taskSession(url, mode, answer) {
  const modern = mode === 'auto';
  const clientCapabilities = { elicitation: { form: {} }, extensions: { [TASKS]: {} } };
  const connected = await New.connect(url, { mode, answer });
  const { tools } = await connected.client.listTools();
  const questions = [];
  const session = createTaskSessionFromClient(connected.client, {
    endpointId: 'tests',
    tools: { currentTool: (name) => tools.filter((tool) => tool.name === name).map(toolDeclarationFromMcpTool)[0] },
    onInputRequest: (request) => {
      questions.push(request);
      return answer;
    },
    ...(modern && {
      rawDispatch: (request) => dispatch(url, request),
      v2RequestFraming: { protocolVersion: MODERN, clientInfo: INFO, clientCapabilities },
    }),
  });
  const start = (name, given) => session.callTool(name, given, { task: { preference: 'require' } });
  return { session, start, questions, connected, close: async () => (await session.close(), await connected.close()) };
}

// What the package leaves to its host: one request of 2026-07-28, as it stands.
async function dispatch(url, request) {
  const headers = {
    'Content-Type': 'application/json',
    Accept: 'application/json, text/event-stream',
    'MCP-Protocol-Version': MODERN,
    'Mcp-Method': request.method,
  };
  const name = request.params.name ?? request.params.taskId;
  if (name !== undefined) headers['Mcp-Name'] = name;
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, ...request });
  const text = await (await fetch(url, { method: 'POST', headers, body })).text();
  const lines = text.split('\n').filter((line) => line.startsWith('data: '));
  const answer = JSON.parse(lines.length === 0 ? text : lines.at(-1).slice(6));
  return 'error' in answer ? { kind: 'error', error: answer.error } : { kind: 'result', result: answer.result };
}
