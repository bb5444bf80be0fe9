"""System calls of the store that fail, or that the server dies at, one after the other (strace).

Clients start and signal workflows and write down what was acknowledged. After a failed flush or write, whose outcome nobody
knows, the server must end with 70 and not answer any more; when the disk is full it must go on. Then a server starts on what
is there: everything that was acknowledged must be in it, and the store must be whole.

PERDURE_FAULTS sets how many moments of each kind of fault are tried (3).
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import urllib.error
import urllib.request
import uuid

import grpc
import pytest
from conftest import UNDER_STRACE, verify
from processes import Server
from support.grpc_client import Code, Rpc
from support.hand import payloads
from support.histories import attributes, check_invariants, payload_value, types

CLIENTS = 4
CALLS = 20  # of one client
MOMENTS = int(os.environ.get("PERDURE_FAULTS", "4"))
SEED = int(os.environ.get("PERDURE_SEED") or random.SystemRandom().randrange(1 << 31))

# The fault, the system call, among how many of these calls (of any one thread) the moment is drawn, and with which
# codes the server may end. One that has not come as far as to listen may also refuse to start; one that the moment
# does not come to goes on.
ENDS = {70, 1}
GOES_ON: set[int] = set()  # a full disk, a quota that is used up, an interrupted write
FAULTS = [
    ("error=EIO", "fdatasync", 16, ENDS),
    ("error=EIO", "pwrite64", 50, ENDS),
    ("error=EIO", "pread64", 60, ENDS),
    ("error=EIO", "ftruncate", 2, ENDS),
    ("error=EIO", "unlink", 2, ENDS),
    ("error=ENOSPC", "pwrite64", 50, GOES_ON),
    ("error=ENOSPC", "fallocate", 2, ENDS),
    ("error=EDQUOT", "pwrite64", 50, GOES_ON),
    ("error=EINTR", "fdatasync", 16, ENDS),
    ("error=EINTR", "pwrite64", 50, GOES_ON),
    ("signal=KILL", "fdatasync", 16, {-9}),
    ("signal=KILL", "pwrite64", 50, {-9}),
    ("signal=KILL", "ftruncate", 2, {-9}),
    ("signal=KILL", "openat", 40, {-9}),
]


class Ledger:
    """What was acknowledged, and the load that is."""

    def __init__(self) -> None:
        self.signals: dict[tuple[str, str], list[int]] = {}
        self.refusals: list[grpc.StatusCode] = []

    async def client(self, rpc: Rpc, server: Server) -> None:
        execution, number = None, 0
        for _ in range(CALLS):
            if server.process.poll() is not None:
                return
            try:
                if execution is None or number == 4:
                    workflow_id, number = uuid.uuid4().hex, 0
                    answer = await rpc.StartWorkflowExecution(
                        _seconds=5, workflow_id=workflow_id, workflow_type={"name": "Nobody"},
                        task_queue={"name": "nobody-polls"}, request_id=uuid.uuid4().hex,
                    )  # fmt: skip
                    execution = {"workflow_id": workflow_id, "run_id": answer.run_id}
                    self.signals[workflow_id, answer.run_id] = []
                    continue
                await rpc.SignalWorkflowExecution(
                    _seconds=5, workflow_execution=execution, signal_name="s", input=payloads(number),
                    request_id=uuid.uuid4().hex,
                )  # fmt: skip
                self.signals[execution["workflow_id"], execution["run_id"]].append(number)
                number += 1
            except grpc.aio.AioRpcError as error:
                self.refusals.append(error.code())
                execution = None

    async def load(self, server: Server) -> None:
        rpc = Rpc(server.grpc, "default")
        await asyncio.gather(*(self.client(rpc, server) for _ in range(CLIENTS)))
        await rpc.close()

    async def check(self, address: str) -> None:
        rpc = Rpc(address, "default")
        for (workflow_id, run_id), acknowledged in self.signals.items():
            page = await rpc.GetWorkflowExecutionHistory(
                _options={"metadata": (("client-name", "temporal-cli"), ("client-version", "1.0.0"))},
                execution={"workflow_id": workflow_id, "run_id": run_id},
            )
            check_invariants(page.history.events)
            signals = [event for event in page.history.events if types([event]) == ["Signaled"]]
            seen = [payload_value(attributes(event).input.payloads[0]) for event in signals]
            # One more may be there than was acknowledged: its answer was cut off.
            assert seen[: len(acknowledged)] == acknowledged and len(seen) <= len(acknowledged) + 1, (seen, acknowledged)
            listed = await rpc.ListWorkflowExecutions(query=f"WorkflowId = '{workflow_id}'")
            assert [info.execution.run_id for info in listed.executions] == [run_id]
        await rpc.close()


def under_strace(fault: str, call: str, moment: int, log) -> tuple[str, ...]:
    # -D: strace is the child, so the process that is started is the server and its exit code the server's.
    return ("strace", "-D", "-f", "-qqq", "-o", str(log), "-e", f"trace={call}",
            "-e", f"inject={call}:{fault}:when={moment}")  # fmt: skip


def moments() -> list:
    dice = random.Random(SEED)
    return [
        pytest.param(*fault[:2], dice.randint(1, fault[2]), fault[3]) for fault in FAULTS for _ in range(MOMENTS)
    ]


@pytest.mark.parametrize("fault, call, moment, codes", moments())
def test_a_system_call_fails(start_server, tmp_path, fault, call, moment, codes):
    ledger = Ledger()
    ended = None
    try:
        server = start_server(
            before=under_strace(fault, call, moment, tmp_path / "strace.log"), environment=UNDER_STRACE
        )
    except AssertionError as refused:
        assert "not ready" in str(refused)
    else:
        asyncio.run(ledger.load(server))
        if server.process.poll() is None:
            server.signal_end()
        ended = server.wait(20)
        assert ended in codes | {0}, server.tail()
        if ended == 0:
            # Refused for a moment, if at all: the disk may have been full.
            allowed = {Code.RESOURCE_EXHAUSTED} if fault in ("error=ENOSPC", "error=EDQUOT") else set()
            assert set(ledger.refusals) <= allowed, (ledger.refusals, server.tail())
        elif ended > 0:
            assert "fatal" in server.tail() or "store" in server.tail(), server.tail()
    after = start_server()
    asyncio.run(ledger.check(after.grpc))
    assert after.stop() == 0
    verify(tmp_path / "perdure.db")
    print(f"{call} {fault} at {moment}: ended with {ended}, {sum(map(len, ledger.signals.values()))} signals acknowledged")


def test_a_failed_flush_ends_the_server(start_server, tmp_path):
    """With 70, and what had been answered before it is there."""
    ledger = Ledger()
    server = start_server(
        before=under_strace("error=EIO", "fdatasync", 14, tmp_path / "strace.log"), environment=UNDER_STRACE
    )
    asyncio.run(ledger.load(server))
    assert server.wait(20) == 70, server.tail()
    assert ledger.refusals and set(ledger.refusals) <= {Code.UNAVAILABLE, Code.CANCELLED}, ledger.refusals
    after = start_server()
    asyncio.run(ledger.check(after.grpc))
    assert after.stop() == 0
    verify(tmp_path / "perdure.db")


def test_a_flush_that_does_not_end_is_seen_from_outside(start_server, tmp_path):
    """While the disk hangs, /readyz says which lane waits for the store and for how long; /metrics answers. Then all is well again."""
    moment = under_strace("delay_enter=14000000", "fdatasync", 6, tmp_path / "strace.log")
    server = start_server(before=moment, environment=UNDER_STRACE)

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{server.http}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    async def until(code: int, words: str) -> None:
        while words not in (said := await asyncio.to_thread(ask, "/readyz"))[1] or said[0] != code:
            assert said[0] in (200, 503), said
            await asyncio.sleep(0.2)

    async def body() -> None:
        rpc = Rpc(server.grpc, "default")
        load = asyncio.create_task(Ledger().client(rpc, server))
        await asyncio.wait_for(until(503, "the store has not answered lane"), 30)
        assert (await asyncio.to_thread(ask, "/metrics"))[0] == 200
        assert (await asyncio.to_thread(ask, "/healthz"))[0] == 200
        await asyncio.wait_for(until(200, "ok\n"), 30)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        await rpc.close()

    asyncio.run(body())
    assert server.stop() == 0


def test_strace_can_do_this():
    assert subprocess.run(["strace", "-D", "true"], capture_output=True).returncode == 0, "strace is not allowed here"
