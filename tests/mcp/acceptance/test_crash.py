"""The crash matrix of durable tools: who dies, at which moment, and by which way the caller came.

In every cell there is one run, the outside was asked exactly as often as it has to be, and whoever asks gets the answer. Moments are
gates and states, never times:

| moment | |
|---|---|
| `before` | the request was sent, and the server has not read it: it is stopped until it is killed |
| `started` | the run is durable, and nobody works on it yet |
| `during` | the activity stands at a gate of the stand-in |
| `retry` | an attempt has failed, and the next one is waited for |
| `done` | the run has ended, and the caller has not read a byte of the answer |

A caller that dies is one whose connection or bridge is cut off without a word, which is all that a server sees of it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
from typing import Any, Protocol

import pytest
from processes import server_binary
from rig import MODERN, TASKS, Rig, RpcError
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.service import RPCError as ServiceError

CALL = {"name": "get_alerts", "arguments": {"state": "CA"}}
RUN = "alerts-ca"
LEGACY = "2025-11-25"
ANSWER_SECONDS_MAX = 60


class Caller(Protocol):
    def ask(self) -> None:
        """Sends the call and waits for nothing."""

    def answer(self) -> dict[str, Any] | None:
        """The result; None when the connection ends without one."""

    def die(self) -> None: ...


class Http:
    """One connection with one call; a task when `capable`."""

    def __init__(self, stage: Rig, version: str, capable: bool = False) -> None:
        self.stage, self.version, self.capable, self.session = stage, version, capable, ""
        if version == LEGACY:
            client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            self.connect("initialize", client)
            head, _, _ = self.read().partition(b"\r\n\r\n")
            lines = [line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:]]
            self.session = next(value for name, value in lines if name.lower() == "mcp-session-id")

    def connect(self, method: str, params: dict[str, Any]) -> None:
        headers = {"MCP-Protocol-Version": self.version, "Connection": "close"}
        headers |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.version == MODERN:
            abilities = {"extensions": {TASKS: {}}} if self.capable else {}
            prefix = "io.modelcontextprotocol/"
            params = params | {"_meta": {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": abilities}}
            headers |= {"Mcp-Method": method} | ({"Mcp-Name": params["name"]} if "name" in params else {})
        elif self.session:
            headers["Mcp-Session-Id"] = self.session
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        port = self.stage.ports[1]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX)
        text = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
        self.socket.sendall(text.encode())

    def read(self) -> bytes:
        got = b""
        with self.socket, contextlib.suppress(ConnectionError):
            while piece := self.socket.recv(65536):
                got += piece
        return got

    def ask(self) -> None:
        self.connect("tools/call", CALL)

    def answer(self) -> dict[str, Any] | None:
        for line in self.read().replace(b"data:", b"\n").split(b"\n"):
            line = line.strip()
            if line.startswith(b"{") and b'"result"' in line:
                return json.loads(line)["result"]
        return None

    def die(self) -> None:
        if self.socket.fileno() < 0:
            return  # its answer was read to the end
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Stdio:
    """A host and its bridge. What the bridge was asked it answers, whatever becomes of the server."""

    def __init__(self, stage: Rig) -> None:
        command = [str(server_binary()), "mcp", "stdio", "--url", stage.url]
        self.bridge = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        self.say({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": client})
        assert self.bridge.stdout is not None and b'"result"' in self.bridge.stdout.readline()
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def say(self, message: dict[str, Any]) -> None:
        assert self.bridge.stdin is not None
        self.bridge.stdin.write(json.dumps(message).encode() + b"\n")
        self.bridge.stdin.flush()

    def ask(self) -> None:
        self.say({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL})

    def answer(self) -> dict[str, Any] | None:
        assert self.bridge.stdout is not None
        result = None
        for line in self.bridge.stdout:
            message = json.loads(line)
            if message.get("id") == 1:
                result = message["result"]
                break
        self.die()
        return result

    def die(self) -> None:
        self.bridge.kill()
        self.bridge.communicate()


WAYS = {
    "modern": lambda stage: Http(stage, MODERN),
    "task": lambda stage: Http(stage, MODERN, capable=True),
    "legacy": lambda stage: Http(stage, LEGACY),
    "stdio": Stdio,
}
EVERYBODY = ("server", "worker", "caller")


class Cell:
    def __init__(self, stage: Rig, way: str) -> None:
        self.stage, self.way = stage, way
        self.nws = None

    def begin(self, moment: str) -> None:
        """All processes, and the call sent at its moment."""

        def quick(toolset: dict[str, Any]) -> None:
            toolset["tools"]["get_alerts"]["start"].update(closed="return", window="1h")
            toolset["defaults"] = {"hold": "20s", "sync_wait": "20s", "task_after": "100ms"}

        self.stage.use_tools("weather", quick)
        self.stage.start_server()
        self.nws = self.stage.start_standin("weather")
        if moment != "started":
            self.stage.start_worker("weather")
        if moment == "during":
            self.nws.control("set", path="/alerts", gate="cell")
        if moment == "retry":
            self.nws.control("set", path="/alerts", fail="500:1")
        self.caller: Caller = WAYS[self.way](self.stage)
        if moment == "before":
            os.kill(self.stage.children["server"].pid, signal.SIGSTOP)
        self.caller.ask()

    async def reach(self, moment: str) -> None:
        if moment == "before":
            return  # nothing can be asked of a server that is stopped
        handle = (await self.stage.workflows()).get_workflow_handle(RUN)
        if moment == "started":
            while not await self.stage.runs(RUN):
                await asyncio.sleep(0.01)
        elif moment == "during":
            await asyncio.to_thread(self.nws.control, "wait", gate="cell")
        elif moment == "retry":
            await asyncio.to_thread(self.nws.control, "wait", path="/alerts")
            waiting = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
            while not any(
                each.attempt == 2 and each.state == waiting
                for each in (await handle.describe()).raw_description.pending_activities
            ):
                await asyncio.sleep(0.01)
        elif moment == "done":
            while True:
                with contextlib.suppress(ServiceError):
                    await handle.result()
                    return
                await asyncio.sleep(0.01)

    def kill(self, victims: tuple[str, ...], moment: str) -> None:
        for victim in victims:
            if victim == "caller":
                self.caller.die()
            elif victim in self.stage.children:
                self.stage.kill(victim)
        if moment == "before" and "server" not in victims:
            os.kill(self.stage.children["server"].pid, signal.SIGCONT)
        if moment == "during":
            self.nws.control("release/cell")
        if "server" in victims:
            self.stage.start_server()
        if "worker" not in self.stage.children:
            self.stage.start_worker("weather")

    def ask_until_answered(self) -> dict[str, Any]:
        """What a caller does whose answer was lost: the same call again, and what it is told to do then."""
        while True:
            again = WAYS["modern" if self.way == "stdio" else self.way](self.stage)
            again.ask()
            if (result := again.answer()) is not None:
                return self.follow(result)

    def follow(self, result: dict[str, Any]) -> dict[str, Any]:
        while True:
            if result.get("resultType") == "task" or "taskId" in result:
                task = {"taskId": result["taskId"]}
                result = self.stage.rpc("tasks/get", task, capabilities={"extensions": {TASKS: {}}})
                if result["status"] not in ("working", "input_required"):
                    return result["result"]
            elif result.get("resultType") == "input_required":
                result = self.stage.rpc("tools/call", CALL | {"requestState": result["requestState"]})
            else:
                return result


def cells() -> list[Any]:
    """What differs by way is crossed with it; where the worker alone dies the ways are all one connection that waits."""
    made = []
    for moment in ("before", "started", "during", "retry", "done"):
        for way in WAYS:
            made.append((moment, ("server",), way))
            if moment in ("started", "during"):
                made.append((moment, ("caller",), way))
    for moment, way in (("before", "modern"), ("before", "legacy"), ("retry", "stdio"), ("done", "legacy"), ("done", "task")):
        made.append((moment, ("caller",), way))
    for moment, way in (("during", "legacy"), ("retry", "modern"), ("retry", "task")):
        made.append((moment, ("worker",), way))
    for moment, way in (("before", "modern"), ("started", "task"), ("during", "stdio"), ("done", "modern")):
        made.append((moment, EVERYBODY, way))
    return [pytest.param(*cell, id=f"{cell[0]}-{'+'.join(cell[1])}-{cell[2]}") for cell in made]


@pytest.mark.parametrize("moment, victims, way", cells())
async def test_one_run_and_one_answer(stage: Rig, moment: str, victims: tuple[str, ...], way: str) -> None:
    cell = Cell(stage, way)
    await asyncio.to_thread(cell.begin, moment)
    await cell.reach(moment)
    await asyncio.to_thread(cell.kill, victims, moment)
    result = None
    if "caller" not in victims:
        try:
            result = await asyncio.to_thread(cell.caller.answer)
        finally:
            await asyncio.to_thread(cell.caller.die)
        if result is None:
            assert "server" in victims and way != "stdio", "only a server that died owes no answer"
        else:
            result = await asyncio.to_thread(cell.follow, result)
    if result is None:
        result = await asyncio.to_thread(cell.ask_until_answered)
    assert not result.get("isError") and "Event: Flood Watch" in json.dumps(result)
    again = await asyncio.to_thread(cell.ask_until_answered)
    assert again["content"] == result["content"]
    # A worker that died at the gate had asked already, and the next one cannot know.
    asked = 2 if moment == "retry" or (moment == "during" and "worker" in victims) else 1
    assert cell.nws.hits("/alerts") == asked
    assert await stage.runs(RUN) == 1
    kinds = await stage.kinds(RUN)
    assert kinds.count("WORKFLOW_EXECUTION_STARTED") == 1 and kinds.count("ACTIVITY_TASK_COMPLETED") == 1
    assert "WORKFLOW_EXECUTION_CANCEL_REQUESTED" not in kinds


ASKED = {"extensions": {TASKS: {}}, "elicitation": {"form": {}}}
QUESTION_VICTIMS = [("server",), ("caller",)]  # with the worker: I8 in test_invoice.py, which needs its timeout, too


@pytest.mark.parametrize("victims", QUESTION_VICTIMS, ids="+".join)
async def test_a_question_stays_open_and_its_answer_counts_once(stage: Rig, victims: tuple[str, ...]) -> None:
    """Who dies while a person is asked, and once more when the person has just answered."""
    arguments = {
        "invoice_id": "C1",
        "customer": "Miller",
        "lines": [{"description": "desk", "amount": 10.0, "due_date": "2026-01-01T00:00:00Z"}],
    }
    call = {"name": "process_invoice", "arguments": arguments}

    async def rpc(method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(stage.rpc, method, params, capabilities=ASKED)

    async def until(*states: str) -> dict[str, Any]:
        while (now := await rpc("tasks/get", {"taskId": task}))["status"] not in states:
            await asyncio.sleep(0.02)
        return now

    def kill() -> None:
        for victim in victims:
            if victim != "caller":
                stage.kill(victim)
        if "server" in victims:
            stage.start_server()
        if "worker" in victims:
            stage.start_worker("invoice")

    await asyncio.to_thread(stage.start_all, "invoice")
    task = (await rpc("tools/call", call))["taskId"]
    before = await until("input_required")
    if "caller" in victims:
        task = (await rpc("tools/call", call))["taskId"]  # by one that knows nothing but what it wants
    await asyncio.to_thread(kill)
    after = await until("input_required")
    assert after["inputRequests"] == before["inputRequests"]
    answer = {key: {"action": "accept", "content": {"approve": True}} for key in after["inputRequests"]}
    stage.children["invoice"].control("set", path="/payments", gate="pay")
    await rpc("tasks/update", {"taskId": task, "inputResponses": answer})
    await asyncio.to_thread(kill)
    await rpc("tasks/update", {"taskId": task, "inputResponses": answer})
    await asyncio.to_thread(stage.children["invoice"].control, "release/pay")
    done = await until("completed", "failed", "cancelled")
    assert done["status"] == "completed" and "PAID" in json.dumps(done["result"])
    client = await stage.workflows()
    ids = [run.id async for run in client.list_workflows("WorkflowType = 'InvoiceWorkflow'")]
    assert len(ids) == 1 and (await stage.kinds(ids[0])).count("WORKFLOW_EXECUTION_SIGNALED") == 1
    assert len(stage.json("invoice", "/ledger")["paid"]) == 1
    with pytest.raises(RpcError):
        await asyncio.to_thread(stage.rpc, "tasks/get", {"taskId": task[:-4] + "AAAA"}, capabilities=ASKED)
