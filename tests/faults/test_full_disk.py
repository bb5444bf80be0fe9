"""A disk that is full: new work is refused and says why, what runs goes on, and when there is space again so does everything."""

from __future__ import annotations

import asyncio
import urllib.request
import uuid
from datetime import timedelta
from pathlib import Path

import grpc
from conftest import verify
from support.grpc_client import Code, Rpc, rejects, resource_exhausted
from support.hand import payloads
from temporalio import activity, workflow
from temporalio.api.enums.v1 import failed_cause_pb2
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "full-disk"
STORAGE_LIMIT = failed_cause_pb2.RESOURCE_EXHAUSTED_CAUSE_PERSISTENCE_STORAGE_LIMIT
ROUNDS = 3
GATED = 4


class Gate:
    """Activities wait at it, and say that they do."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Event] = {}
        self.open = asyncio.Event()

    @activity.defn(name="pass_gate")
    async def pass_gate(self) -> str:
        self.waiting.setdefault(activity.info().workflow_id, asyncio.Event()).set()
        await self.open.wait()
        return "passed"


@workflow.defn
class Gated:
    @workflow.query
    def state(self) -> str:
        return "at the gate"

    @workflow.run
    async def run(self, seconds: float) -> str:
        passed = await workflow.execute_activity("pass_gate", start_to_close_timeout=timedelta(minutes=2), result_type=str)
        if seconds:
            await workflow.sleep(seconds)
        return passed


def fill(disk: Path) -> None:
    with open(disk / "filler", "ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while filler.write(b"\0" * size) == size:
                    pass
            except OSError as error:
                assert error.errno == 28, error


async def start(rpc: Rpc, acknowledged: set[str]) -> None:
    workflow_id = uuid.uuid4().hex
    await rpc.StartWorkflowExecution(
        workflow_id=workflow_id, workflow_type={"name": "Nobody"}, task_queue={"name": "nobody-polls"},
        request_id=uuid.uuid4().hex, input=payloads("x" * 20_000),
    )  # fmt: skip
    acknowledged.add(workflow_id)


async def start_until_refused(rpc: Rpc, disk: Path, acknowledged: set[str]) -> None:
    """What has been set aside in files already takes some more."""
    for _ in range(2000):
        try:
            await start(rpc, acknowledged)
        except grpc.aio.AioRpcError as error:
            assert error.code() == Code.RESOURCE_EXHAUSTED, error
            return
        if (disk / "perdure.db-ballast").exists():
            fill(disk)
    raise AssertionError("the disk does not fill up")


async def start_when_there_is_space(rpc: Rpc, acknowledged: set[str]) -> None:
    for _ in range(600):
        try:
            await start(rpc, acknowledged)
            return
        except grpc.aio.AioRpcError as error:
            assert error.code() == Code.RESOURCE_EXHAUSTED, error
            await asyncio.sleep(0.05)
    raise AssertionError("starts are still refused")


async def one_round(client: Client, rpc: Rpc, web: str, gate: Gate, disk: Path, acknowledged: set[str]) -> None:
    gate.open.clear()
    handles = []
    for number in range(GATED):
        name = f"gated-{uuid.uuid4().hex}"
        gate.waiting[name] = asyncio.Event()
        seconds = 0.2 if number % 2 else 0.0
        handles.append(await client.start_workflow(Gated.run, seconds, id=name, task_queue=QUEUE))
        acknowledged.add(name)
    for handle in handles:
        await gate.waiting[handle.id].wait()
    fill(disk)
    await start_until_refused(rpc, disk, acknowledged)
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await start(rpc, acknowledged)
    assert refusal.detail(resource_exhausted).cause == STORAGE_LIMIT
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await rpc.SignalWorkflowExecution(workflow_execution={"workflow_id": handles[0].id}, signal_name="s")
    assert refusal.detail(resource_exhausted).cause == STORAGE_LIMIT
    with urllib.request.urlopen(f"http://{web}/readyz", timeout=20) as answer:  # workers are wanted: what runs can be finished
        assert answer.status == 200 and b"the disk is full" in answer.read()
    # Reads go on, also by way of a worker.
    assert (await handles[0].describe()).status == WorkflowExecutionStatus.RUNNING
    assert await handles[0].query(Gated.state) == "at the gate"
    count = await rpc.CountWorkflowExecutions(query="")
    assert count.count == len(acknowledged)
    # So do completions: by what was set aside.
    gate.open.set()
    for handle in handles[::2]:
        assert await asyncio.wait_for(handle.result(), 60) == "passed"
    (disk / "filler").unlink()
    await start_when_there_is_space(rpc, acknowledged)
    for handle in handles:
        assert await asyncio.wait_for(handle.result(), 60) == "passed"
    assert (disk / "perdure.db-ballast").stat().st_size == 8 << 20, "space was set aside again"


def test_a_full_disk_and_space_again(start_server, small_disk):
    enter, inside, disk = small_disk
    store = f"sqlite:{inside}/perdure.db"
    server = start_server(before=enter, store=store)
    acknowledged: set[str] = set()

    async def body() -> None:
        gate = Gate()
        client = await Client.connect(server.grpc)
        rpc = Rpc(server.grpc, "default")
        async with Worker(
            client, task_queue=QUEUE, workflows=[Gated], activities=[gate.pass_gate],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):  # fmt: skip
            for _ in range(ROUNDS):
                await one_round(client, rpc, server.http, gate, disk, acknowledged)
        await rpc.close()

    process = server.process
    asyncio.run(body())
    assert process.poll() is None, "it was never restarted"
    server.kill()
    server.start()

    async def check() -> None:
        rpc = Rpc(server.grpc, "default")
        for workflow_id in acknowledged:
            await rpc.DescribeWorkflowExecution(execution={"workflow_id": workflow_id})
        assert (await rpc.CountWorkflowExecutions(query="")).count == len(acknowledged)
        await rpc.close()

    asyncio.run(check())
    assert server.stop() == 0, server.tail()
    verify(inside / "perdure.db", enter)
