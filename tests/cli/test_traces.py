"""Traces, as an OpenTelemetry collector gets them: the official protobuf classes read what the server sends."""

from __future__ import annotations

import asyncio
import http.server
import threading
import uuid

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from processes import Server, free_port, run
from workflows import Echo

WAIT_SECONDS_MAX = 20


class Collector:
    """Takes what is posted to /v1/traces; answers the codes in `refusals` first."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.refusals: list[int] = []
        self.requests = 0
        self.resources: set[tuple[str, str]] = set()
        self.changed = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                with collector.changed:
                    collector.requests += 1
                    code = collector.refusals.pop(0) if collector.refusals else 200
                    if code == 200:
                        collector.take(ExportTraceServiceRequest.FromString(body))
                    collector.changed.notify_all()
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(code)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.resources |= {(at.key, at.value.string_value) for at in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def wait_for(self, reached) -> None:
        with self.changed:
            assert self.changed.wait_for(reached, WAIT_SECONDS_MAX), [span.name for span in self.spans]

    def called(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name.endswith(name)]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.close()


def attributes(span: Span) -> dict:
    return {at.key: at.value.string_value or at.value.int_value for at in span.attributes}


def start(server: Server, identity: str, *more: str) -> None:
    done = run("workflow", "start", "--type", "Echo", "--task-queue", "traces", "--workflow-id", identity, *more,
               environment={"TEMPORAL_ADDRESS": server.grpc})
    assert done.code == 0, done


async def started_by_sdk(server: Server, identity: str, traceparent: str | None) -> None:
    client = await Client.connect(server.grpc, rpc_metadata={} if traceparent is None else {"traceparent": traceparent})
    await client.start_workflow("Echo", id=identity, task_queue="traces")


async def worked_on(server: Server, identity: str) -> None:
    client = await Client.connect(server.grpc)
    async with Worker(client, task_queue="traces", workflows=[Echo], workflow_runner=UnsandboxedWorkflowRunner()):
        await client.get_workflow_handle(identity).result()


def test_a_call_its_commit_and_the_task_it_brings(start_server, collector) -> None:
    server = start_server("--otlp-endpoint", collector.url + "/")
    trace_id, parent, identity = uuid.uuid4().hex, "00f067aa0ba902b7", f"traced-{uuid.uuid4()}"
    asyncio.run(started_by_sdk(server, identity, f"00-{trace_id}-{parent}-01"))
    asyncio.run(worked_on(server, identity))
    collector.wait_for(lambda: collector.called("dispatch workflow task") and collector.called("/RespondWorkflowTaskCompleted"))
    assert ("service.name", "perdure") in collector.resources
    call = next(span for span in collector.called("WorkflowService/StartWorkflowExecution"))
    assert call.trace_id.hex() == trace_id and call.parent_span_id.hex() == parent and call.kind == Span.SPAN_KIND_SERVER
    assert attributes(call)["perdure.workflow_id"] == identity and attributes(call)["perdure.namespace"] == "default"
    commit = next(span for span in collector.called("commit") if span.parent_span_id == call.span_id)
    assert commit.trace_id == call.trace_id
    assert call.start_time_unix_nano <= commit.start_time_unix_nano <= commit.end_time_unix_nano <= call.end_time_unix_nano
    dispatch = collector.called("dispatch workflow task")[0]
    assert dispatch.trace_id == call.trace_id and dispatch.parent_span_id == call.span_id
    assert attributes(dispatch)["messaging.destination.name"] == "traces"
    # What the worker answers without a word of its own belongs to the same trace; its polls do not show up.
    completed = collector.called("/RespondWorkflowTaskCompleted")[0]
    assert completed.trace_id == call.trace_id
    assert not collector.called("/PollWorkflowTaskQueue")
    ids = [span.span_id for span in collector.spans]
    assert len(set(ids)) == len(ids) and all(len(each) == 8 and any(each) for each in ids)


def test_sampling_and_failures(start_server, collector) -> None:
    server = start_server("--otlp-endpoint", collector.url, "--otlp-sample", "0")
    asyncio.run(started_by_sdk(server, "told-not-to", f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-00"))
    asyncio.run(started_by_sdk(server, "says-nothing", None))
    asyncio.run(started_by_sdk(server, "says-nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01"))
    trace_id = uuid.uuid4().hex
    with pytest.raises(Exception, match="already"):
        asyncio.run(started_by_sdk(server, "says-nothing", f"00-{trace_id}-00f067aa0ba902b7-01"))
    collector.wait_for(lambda: collector.called("/StartWorkflowExecution"))
    assert {span.trace_id.hex() for span in collector.spans} == {trace_id}
    failed = collector.called("/StartWorkflowExecution")[0]
    assert failed.status.code == Status.STATUS_CODE_ERROR and attributes(failed)["rpc.grpc.status_code"] == 6


def test_a_collector_that_refuses_gets_them_again_and_the_last_ones_at_the_end(start_server, collector) -> None:
    collector.refusals = [503]
    server = start_server("--otlp-endpoint", collector.url)
    start(server, "again")
    collector.wait_for(lambda: collector.called("/StartWorkflowExecution"))
    assert collector.requests >= 2
    start(server, "at-the-end")
    assert server.stop() == 0  # at once: nobody waits a second for the next batch
    assert [attributes(span)["perdure.workflow_id"] for span in collector.called("/StartWorkflowExecution")] == ["again", "at-the-end"]


def test_no_collector_is_nobody_elses_trouble(start_server) -> None:
    server = start_server("--otlp-endpoint", f"http://127.0.0.1:{free_port()}")
    for number in range(5):
        start(server, f"alone-{number}")
    assert server.stop() == 0, server.tail()
