"""All histories of a server, judged by the oracle (tests/oracle): each by itself, and all of a namespace together."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
from temporalio.api.workflowservice.v1 import request_response_pb2 as messages
from temporalio.api.workflowservice.v1 import service_pb2_grpc

from support import server as server_module

HISTORY = "/temporal.api.workflowservice.v1.WorkflowService/GetWorkflowExecutionHistory"
SECONDS = 30.0
# Workflows whose activities operators changed, so that events no longer say what rules them.
CHANGES = frozenset({"UpdateActivityOptions", "PauseActivity", "UnpauseActivity", "ResetActivity"})
changed: set[str] = set()

# As a command line tool: without the tasks that have no place in history yet.
METADATA = (("client-name", "temporal-cli"),)


def note(method: str, request) -> None:
    if method in CHANGES and request.execution.workflow_id:
        changed.add(request.execution.workflow_id)


def program() -> Path:
    return server_module.server_binary().parent / "check-history"


def _frame(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _runs(service, namespace: str):
    token = b""
    while True:
        page = service.ListWorkflowExecutions(
            messages.ListWorkflowExecutionsRequest(namespace=namespace, page_size=500, next_page_token=token),
            timeout=SECONDS,
        )
        yield from (info.execution for info in page.executions)
        token = page.next_page_token
        if not token:
            return


def _history(channel, namespace: str, execution) -> bytes:
    """The pages as they came over the wire, in the frames that the program reads; empty when the run is gone."""
    read = channel.unary_unary(
        HISTORY,
        request_serializer=messages.GetWorkflowExecutionHistoryRequest.SerializeToString,
        response_deserializer=lambda data: data,
    )
    frames, token = [_frame(execution.run_id.encode())], b""
    while True:
        request = messages.GetWorkflowExecutionHistoryRequest(
            namespace=namespace, execution=execution, next_page_token=token
        )
        try:
            page = read(request, timeout=SECONDS, metadata=METADATA)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return b""
            raise
        frames.append(_frame(page))
        token = messages.GetWorkflowExecutionHistoryResponse.FromString(page).next_page_token
        if not token:
            return b"".join([*frames, _frame(b"")])


def check(address: str) -> str:
    """Raises with what is wrong; otherwise says how much was judged, a line for each namespace."""
    said, wrong = [], []
    with grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
        service = service_pb2_grpc.WorkflowServiceStub(channel)
        listed = service.ListNamespaces(messages.ListNamespacesRequest(page_size=1000), timeout=SECONDS)
        for name in (one.namespace_info.name for one in listed.namespaces):
            names = b"".join(_frame(workflow_id.encode()) for workflow_id in sorted(changed)) + _frame(b"")
            histories = names + b"".join(_history(channel, name, run) for run in _runs(service, name))
            done = subprocess.run(
                [str(program())], input=histories, stdout=subprocess.PIPE, check=False, timeout=300
            )
            lines = done.stdout.decode(errors="replace").splitlines()
            said.append(f"{name}: {lines[-1] if lines else 'nothing'}")
            if done.returncode != 0:
                wrong += [f"{name}: {line}" for line in lines] or [f"{name}: exit code {done.returncode}"]
    assert not wrong, "the oracle disagrees:\n" + "\n".join(wrong)
    return "\n".join(said)
