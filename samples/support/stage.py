"""What a sample runs on: a server with its tools, a worker, a stand-in for what is outside, and clients of the tools."""

import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as types
from mcp.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.stdio import StdioServerParameters
from processes import SAMPLES, PythonWorker, Server, Service, free_ports, server_binary
from temporalio.client import Client as WorkflowClient

TASKS = "io.modelcontextprotocol/tasks"
STANDINS = {
    "weather": ("fake-nws", "weather/fake_nws.py", "NWS_BASE", ""),
    "invoice": ("fake-office", "invoice/fake_office.py", "OFFICE_BASE", ""),
    "chat": ("scripted-model", "chat/scripted_llm.py", "OPENAI_BASE_URL", "/v1"),
}


class Task(types.Result):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str


class Tasks(ClientExtension):
    """The Tasks extension for the official client: asks until the task is done, and answers its questions."""

    identifier = TASKS

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.answer = answer
        self.ids: list[str] = []
        self.seen: list[dict[str, Any]] = []  # each status once

    def claims(self) -> list[ResultClaim[Task]]:
        return [ResultClaim(result_type="task", model=Task, resolve=self.resolve)]

    async def resolve(self, task: Task, context: ClaimContext) -> types.CallToolResult:
        self.ids.append(task.task_id)
        answered: set[str] = set()
        while True:
            now = await ask(context.session, "tasks/get", taskId=task.task_id)
            if not self.seen or self.seen[-1]["status"] != now["status"]:
                self.seen.append(now)
            questions = set(now.get("inputRequests") or {}) - answered
            if questions and self.answer is not None:
                answered |= questions
                responses = {key: self.answer for key in questions}
                await ask(context.session, "tasks/update", taskId=task.task_id, inputResponses=responses)
            if now["status"] == "completed":
                return types.CallToolResult.model_validate(now["result"])
            if now["status"] in ("failed", "cancelled"):
                raise RuntimeError(json.dumps(now))
            await anyio.sleep(now.get("pollIntervalMs", 100) / 10_000)


class Raw(types.Result):
    model_config = {"extra": "allow"}


async def ask(session: Any, method: str, **params: Any) -> dict[str, Any]:
    request = types.Request[Any, Any](method=method, params=params)
    result = await session.send_request(request, Raw)
    return result.model_dump(by_alias=True, exclude_none=True)


class Stage:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = free_ports(2)
        self.config = directory / "mcp.json"
        self.children: dict[str, Any] = {}
        self.client_of_workflows: WorkflowClient | None = None

    # --- processes ---

    def start_server(self, *arguments: str) -> Server:
        self.children["server"] = Server(
            self.directory, self.ports, "--mcp-config", str(self.config), *arguments
        )
        return self.children["server"]

    def use_tools(self, sample: str, change: Any = None) -> None:
        """The sample's mcp.json; `change` is called with its toolset, to make times short."""
        text = re.sub(r"^\s*//.*$|\s//[^\"\n]*$", "", (SAMPLES / sample / "mcp.json").read_text(), flags=re.M)
        document = json.loads(text)
        document.pop("$schema", None)
        if change is not None:
            for toolset in document["toolsets"].values():
                change(toolset)
        self.config.write_text(json.dumps(document))

    def start_standin(self, sample: str) -> Service:
        name, script, _, _ = STANDINS[sample]
        self.children[sample] = Service(name, self.directory, script)
        return self.children[sample]

    def start_worker(self, sample: str) -> PythonWorker:
        _, _, variable, path = STANDINS[sample]
        variables = {variable: self.children[sample].base + path}
        if sample == "chat":
            variables["MCP_URL"] = f"{self.url}/weather"
        self.children["worker"] = PythonWorker(sample, self.directory, self.address, **variables)
        return self.children["worker"]

    def start_all(self, sample: str, change: Any = None) -> None:
        self.use_tools(sample, change)
        self.start_server()
        self.start_standin(sample)
        self.start_worker(sample)

    def kill(self, name: str) -> None:
        self.children.pop(name).kill()

    def close(self) -> None:
        problems = []
        for name in sorted(self.children, key=lambda name: not name.startswith("worker")):
            child = self.children[name]
            if isinstance(child, Service):
                child.kill()  # it has nothing to save
                continue
            try:
                if status := child.stop():
                    problems.append(f"{name} ended with status {status}\n{child.tail()}")
            except RuntimeError as problem:  # it is gone all the same, and the others have to go, too
                problems.append(str(problem))
        assert not problems, "\n".join(problems)

    # --- addresses ---

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}/mcp"

    # --- clients ---

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        async with Client(self.url, **options) as client:
            yield client

    @contextlib.asynccontextmanager
    async def stdio(self, **options: Any) -> AsyncIterator[Client]:
        parameters = StdioServerParameters(command=str(server_binary()), args=["mcp", "stdio", "--url", self.url])
        async with Client(parameters, **options) as client:
            yield client

    async def workflows(self) -> WorkflowClient:
        if self.client_of_workflows is None:
            self.client_of_workflows = await WorkflowClient.connect(self.address)
        return self.client_of_workflows

    async def runs(self, workflow_id: str) -> int:
        client = await self.workflows()
        return len([run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")])


def text_of(result: types.CallToolResult) -> str:
    return "\n".join(item.text for item in result.content if item.type == "text")


STARTED = time.monotonic()


def say(text: str) -> None:
    """A line of a demo's story."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def check(claim: str, seen: object, expected: object) -> None:
    """A demo's word, which it holds or ends."""
    if seen != expected:
        raise SystemExit(f"FAILED  {claim}: expected {expected!r}, saw {seen!r}")
    print(f"   ok   {claim}: {seen}", flush=True)
