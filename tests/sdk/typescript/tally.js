// Calls that go through here on their way to the server: the worker's own are made in native code, where nothing can be
// asked to count them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, constants, createServer } from 'node:http2';
import proto from '@temporalio/proto';

const { PollActivityTaskQueueResponse, RespondWorkflowTaskCompletedResponse } =
  proto.temporal.api.workflowservice.v1;
const PREFIX_BYTES = 5; // of a gRPC message: whether it is compressed, and its length

// Forwards every call, and counts the activities that came with the answer to a workflow task and those polled for.
export async function startTally(target) {
  const tally = { inline: 0, polled: 0 };
  const count = (path, body) => {
    if (body.length === 0) return; // an error
    assert.equal(body[0], 0, 'a compressed answer');
    const message = body.subarray(PREFIX_BYTES);
    if (path.endsWith('/RespondWorkflowTaskCompleted'))
      tally.inline += RespondWorkflowTaskCompletedResponse.decode(message).activityTasks.length;
    if (path.endsWith('/PollActivityTaskQueue'))
      tally.polled += PollActivityTaskQueueResponse.decode(message).taskToken.length > 0 ? 1 : 0;
  };
  const upstream = connect(`http://${target}`);
  const sessions = new Set();
  const server = createServer();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream, headers) => forward(upstream, stream, headers, count));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${server.address().port}`,
    tally,
    stop: () => {
      server.close();
      for (const session of [upstream, ...sessions]) session.destroy();
    },
  };
}

// All calls of a worker have one request and one answer, so an answer is passed on when it is complete.
function forward(upstream, stream, headers, count) {
  const request = upstream.request(headers);
  const parts = [];
  let head;
  let tail;
  stream.pipe(request);
  stream.on('error', () => request.close(constants.NGHTTP2_CANCEL));
  stream.on('aborted', () => request.close(constants.NGHTTP2_CANCEL));
  request.on('error', () => stream.close(constants.NGHTTP2_CANCEL));
  request.on('response', (answer) => (head = answer));
  request.on('trailers', (trailers) => (tail = trailers));
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    if (!head || stream.destroyed) return;
    const body = Buffer.concat(parts);
    count(headers[':path'], body);
    if (!tail) return stream.respond(head, { endStream: true }); // an error without a body
    stream.respond(head, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(tail));
    stream.end(body);
  });
}
