"""Workflows as tools of agents: what becomes of calls, runs and questions behind the gateway, spoken to in plain JSON-RPC.

The protocol itself is tested elsewhere; here it is one POST with the headers that 2026-07-28 asks for.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from support import server as server_module

pytestmark = pytest.mark.skipif(server_module.external_address() is not None, reason="it starts servers of its own")

PREFIX = "io.modelcontextprotocol/"
TASKS = PREFIX + "tasks"
ID = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "text": {"type": "string"}}}
CONFIGURATION = {
    "toolsets": {
        "set": {
            "namespace": "default",
            "task_queue": "tools",
            "defaults": {"task_after": "200ms"},
            "tools": {
                "work": {
                    "description": "Works.",
                    "input": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string", "maxLength": 20},
                            "mode": {"type": "string"},
                            "amount": {"type": "number"},
                        },
                    },
                    "start": {"workflow": "Work", "args": ["{name}", "{mode|default:plain}"], "id": "work-{caller}-{name}"},
                },
                "say": {
                    "description": "Says something in a conversation.",
                    "input": ID,
                    "update_with_start": {
                        "workflow": "Talk",
                        "id": "talk-{caller}-{id}",
                        "args": [],
                        "update": "say",
                        "update_args": ["{text}"],
                    },
                },
                "count": {
                    "description": "How much was said.",
                    "input": ID,
                    "query": {
                        "workflow_id": "talk-{caller}-{id}",
                        "name": "count",
                        "timeout": "500ms",
                        "fallback": "describe",
                    },
                },
                "invoice": {
                    "description": "Wants an approval.",
                    "input": ID,
                    "start": {"workflow": "Invoice", "args": [], "id": "invoice-{caller}-{id}"},
                    "approval": {
                        "when": {"query": "state", "equals": "PENDING"},
                        "message": "Pay {id}?",
                        "form": {"properties": {"approve": {"type": "boolean"}}, "required": ["approve"]},
                        "accept": [{"if": "approve", "signal": "approve"}, {"signal": "reject"}],
                        "decline": {"signal": "reject"},
                    },
                },
            },
        }
    }
}


@activity.defn
async def fails() -> str:
    raise ApplicationError("503", type="HTTPError")


@workflow.defn(sandboxed=False)
class Work:
    @workflow.run
    async def run(self, name: str, mode: str) -> str:
        if mode in ("fails", "tries"):
            policy = RetryPolicy(
                maximum_attempts=3 if mode == "fails" else 0,
                initial_interval=timedelta(milliseconds=10) if mode == "fails" else timedelta(seconds=100),
            )
            await workflow.execute_activity(fails, start_to_close_timeout=timedelta(seconds=5), retry_policy=policy)
        if mode == "sleeps":
            await asyncio.sleep(3600)
        if mode == "goes on":
            workflow.continue_as_new(args=[name, "plain"])
        return f"hello {name}"


@workflow.defn(sandboxed=False)
class Talk:
    def __init__(self) -> None:
        self.said: list[str] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: len(self.said) > 100)

    @workflow.update
    async def say(self, text: str) -> dict:
        self.said.append(text)
        return {"count": len(self.said), "last": text}

    @workflow.query
    def count(self) -> int:
        return len(self.said)


@workflow.defn(sandboxed=False)
class Invoice:
    def __init__(self) -> None:
        self.now = "PENDING"
        self.signals = 0

    @workflow.run
    async def run(self) -> dict:
        await workflow.wait_condition(lambda: self.now != "PENDING")
        return {"state": self.now, "signals": self.signals}

    @workflow.signal
    def approve(self) -> None:
        self.now, self.signals = "PAID", self.signals + 1

    @workflow.signal
    def reject(self) -> None:
        self.now, self.signals = "REJECTED", self.signals + 1

    @workflow.query
    def state(self) -> str:
        return self.now


class Gateway:
    def __init__(self, server: server_module.Server) -> None:
        self.server = server
        self.number = 0

    def _post(self, method: str, params: dict, name: str | None, capabilities: dict) -> dict:
        self.number += 1
        meta = {
            PREFIX + "protocolVersion": "2026-07-28",
            PREFIX + "clientInfo": {"name": "test", "version": "1"},
            PREFIX + "clientCapabilities": capabilities,
        }
        body = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": {**params, "_meta": meta}}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            **({} if name is None else {"Mcp-Name": name}),
        }
        request = urllib.request.Request(
            f"http://{self.server.http_address}/mcp", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
        data = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        return json.loads(data[-1] if data else text)

    async def ask(self, method: str, params: dict, name: str | None = None, capabilities: dict | None = None) -> dict:
        answer = await asyncio.to_thread(self._post, method, params, name, capabilities or {})
        assert "result" in answer, answer
        return answer["result"]

    async def call(self, tool: str, arguments: dict, **more) -> dict:
        params = {"name": tool, "arguments": arguments, **more.pop("params", {})}
        return await self.ask("tools/call", params, tool, **more)

    async def task(self, tool: str, arguments: dict) -> str:
        """Calls with nobody to answer questions, so that what takes long is a task."""
        result = await self.call(tool, arguments, capabilities={"extensions": {TASKS: {}}})
        assert result["resultType"] == "task", result
        return result["taskId"]

    async def look(self, task: str) -> dict:
        return await self.ask("tasks/get", {"taskId": task}, task, {"extensions": {TASKS: {}}, "elicitation": {"form": {}}})

    async def until(self, task: str, holds) -> dict:
        end = time.monotonic() + 20
        while not holds(view := await self.look(task)):
            assert time.monotonic() < end, view
            await asyncio.sleep(0.02)
        return view


def text_of(result: dict) -> str:
    return result["content"][0]["text"]


@pytest.fixture(scope="module")
def gateway():
    server = server_module.Server()
    path = Path(server.directory.name) / "mcp.json"
    path.write_text(json.dumps(CONFIGURATION))
    server.extra_arguments = ("--mcp-config", str(path))
    server.start()
    try:
        yield Gateway(server)
    finally:
        server.close()


def with_worker(gateway: Gateway, scenario) -> None:
    async def main() -> None:
        client = await Client.connect(gateway.server.address)
        worker = Worker(client, task_queue="tools", workflows=[Work, Talk, Invoice], activities=[fails])
        async with worker:
            await scenario(client)

    asyncio.run(main())


def test_a_call_is_a_run_and_the_same_call_the_same_run(gateway):
    async def scenario(client):
        assert text_of(await gateway.call("work", {"name": "ann"})) == "hello ann"
        both = await asyncio.gather(*(gateway.call("work", {"name": "bob"}) for _ in range(5)))
        assert {text_of(result) for result in both} == {"hello bob"}
        result = await gateway.call("work", {"name": "a name that is too long by far"})
        assert result["isError"] and "/name" in text_of(result)
        task = await gateway.task("work", {"name": "eve", "mode": "sleeps"})
        result = await gateway.call("work", {"name": "eve", "mode": "sleeps", "amount": 2})
        assert result["isError"] and "different arguments" in text_of(result)
        # An update's answer is the call's; the same conversation goes on.
        assert (await gateway.call("say", {"id": "1", "text": "a"}))["structuredContent"] == {"count": 1, "last": "a"}
        assert (await gateway.call("say", {"id": "1", "text": "b"}))["structuredContent"] == {"count": 2, "last": "b"}
        assert text_of(await gateway.call("count", {"id": "1"})) == "2"
        view = await gateway.until(task, lambda view: view["statusMessage"].startswith("waiting until 20"))
        assert view["status"] == "working", view
        assert not view["lastUpdatedAt"].startswith("1970")

    with_worker(gateway, scenario)


def test_failures_are_said_in_full_and_runs_are_followed(gateway):
    async def scenario(client):
        result = await gateway.call("work", {"name": "f", "mode": "fails"})
        assert result["isError"]
        assert text_of(result) == (
            "Work failed: activity fails failed after 3 attempts (all attempts are used up)\n"
            "caused by HTTPError: 503"
        )
        assert text_of(await gateway.call("work", {"name": "g", "mode": "goes on"})) == "hello g"
        task = await gateway.task("work", {"name": "h", "mode": "tries"})
        view = await gateway.until(task, lambda view: "activity fails is tried again at" in view["statusMessage"])
        assert "HTTPError: 503" in view["statusMessage"]
        # A reset makes another run; who waits gets what comes of that one.
        task = await gateway.task("work", {"name": "r", "mode": "sleeps"})
        ids = [run.id async for run in client.list_workflows("WorkflowType = 'Work'") if run.id.endswith("-r")]
        waiting = asyncio.create_task(gateway.until(task, lambda view: view["status"] == "cancelled"))
        from temporalio.api.common.v1 import WorkflowExecution
        from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

        await client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace="default",
                workflow_execution=WorkflowExecution(workflow_id=ids[0]),
                workflow_task_finish_event_id=4,
                request_id="reset",
            )
        )
        assert (await gateway.look(task))["status"] == "working"
        await gateway.ask("tasks/cancel", {"taskId": task}, task, {"extensions": {TASKS: {}}})
        await waiting

    with_worker(gateway, scenario)


def test_a_question_is_answered_once(gateway):
    async def scenario(client):
        capabilities = {"elicitation": {"form": {}}}
        asked = await gateway.call("invoice", {"id": "7"}, capabilities=capabilities)
        assert asked["resultType"] == "input_required", asked
        (key, question), = asked["inputRequests"].items()
        assert question["params"]["message"] == "Pay 7?"
        again = await gateway.call("invoice", {"id": "7"}, capabilities=capabilities)
        assert list(again["inputRequests"]) == [key]
        answer = {"inputResponses": {key: {"action": "accept", "content": {"approve": True}}}}
        for state in (asked["requestState"], again["requestState"]):
            result = await gateway.call(
                "invoice", {"id": "7"}, params={"requestState": state, **answer}, capabilities=capabilities
            )
            assert result["structuredContent"] == {"state": "PAID", "signals": 1}, result
        asked = await gateway.call("invoice", {"id": "8"}, capabilities=capabilities)
        (key, _), = asked["inputRequests"].items()
        result = await gateway.call(
            "invoice",
            {"id": "8"},
            params={"requestState": asked["requestState"], "inputResponses": {key: {"action": "decline"}}},
            capabilities=capabilities,
        )
        assert result["structuredContent"] == {"state": "REJECTED", "signals": 1}, result

    with_worker(gateway, scenario)


def test_without_a_worker_the_server_says_what_it_knows_and_tasks_outlive_it(gateway):
    async def begin(client):
        assert (await gateway.call("say", {"id": "2", "text": "a"}))["structuredContent"]["count"] == 1

    async def alone():
        result = await gateway.call("count", {"id": "2"})
        assert "No worker answered the query count" in text_of(result), result
        assert result["structuredContent"]["status"] == "running"
        task = await gateway.task("work", {"name": "later"})
        assert (await gateway.look(task))["statusMessage"] == "waits for a worker of task queue tools"
        gateway.server.kill()
        gateway.server.start()
        assert (await gateway.look(task))["status"] == "working"
        return task

    async def finish(client):
        view = await gateway.until(task, lambda view: view["status"] == "completed")
        assert text_of(view["result"]) == "hello later"

    with_worker(gateway, begin)
    task = asyncio.run(alone())
    with_worker(gateway, finish)


def field(number: int, value: str) -> bytes:
    """One field of a message, a text below 128 bytes or below 16 KiB."""
    data = value.encode()
    size = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
    return bytes([number << 3 | 2]) + size + data


def test_toolsets_that_are_applied_are_listed_at_once(gateway):
    async def names() -> list[str]:
        return [tool["name"] for tool in (await gateway.ask("tools/list", {}))["tools"]]

    async def until(present: bool) -> None:
        end = time.monotonic() + 10
        while ("extra" in await names()) is not present:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)

    document = json.dumps(
        {
            "task_queue": "tools",
            "tools": {
                "extra": {
                    "description": "One more.",
                    "input": {"type": "object"},
                    "start": {"workflow": "Work", "args": ["x", "plain"], "id": "extra-{caller}"},
                }
            },
        }
    )
    with grpc.insecure_channel(gateway.server.address) as channel:

        def call(method: str, message: bytes) -> bytes:
            return channel.unary_unary(
                f"/perdure.api.v1.ToolService/{method}", request_serializer=bytes, response_deserializer=bytes
            )(message, timeout=10)

        call("ApplyToolset", field(1, "more") + field(2, document))
        asyncio.run(until(True))
        gateway.server.kill()
        gateway.server.start()
        asyncio.run(until(True))
        for wrong, code in (
            (field(1, "set") + field(2, document), grpc.StatusCode.FAILED_PRECONDITION),  # the file's has the name
            (field(1, "broken") + field(2, "{"), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call("ApplyToolset", wrong)
            assert refused.value.code() == code
        assert "work" in asyncio.run(names())
        call("DeleteToolset", field(1, "more"))
        asyncio.run(until(False))
