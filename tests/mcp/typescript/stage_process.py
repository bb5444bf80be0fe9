"""The stage of the Python suites for tests in another language: commands as lines of JSON on stdin, answers on stdout.

    {"do": "start_all", "with": ["weather"]}   ->   {"is": null}   |   {"error": "..."}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2] / "samples" / "support"), str(HERE.parent / "acceptance")]
from processes import TypeScriptWorker, server_binary  # noqa: E402
from rig import Rig  # noqa: E402
from stage import STANDINS  # noqa: E402
from temporalio.client import WorkflowFailureError  # noqa: E402


class Commands:
    def __init__(self, directory: Path) -> None:
        self.rig = Rig(directory)

    async def start_all(self, sample: str, defaults: dict[str, Any] | None = None) -> str:
        """The sample with its worker; `defaults`: of its toolset, to make times short. Answers the address of its tools."""
        self.rig.start_all(sample, lambda toolset: toolset.setdefault("defaults", {}).update(defaults or {}))
        return self.rig.url

    async def start_server(self) -> None:
        self.rig.start_server()

    async def start_worker(self, sample: str) -> None:
        self.rig.start_worker(sample)

    async def start_typescript_worker(self, sample: str) -> None:
        """In place of the one in Python."""
        self.rig.kill("worker")
        _, _, variable, path = STANDINS[sample]
        variables = {variable: self.rig.children[sample].base + path}
        self.rig.children["worker"] = TypeScriptWorker(sample, self.rig.directory, self.rig.address, **variables)

    async def kill(self, name: str) -> None:
        self.rig.kill(name)

    async def binary(self) -> str:
        return str(server_binary())

    async def control(self, sample: str, action: str, query: dict[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(self.rig.children[sample].control, action, **(query or {}))

    async def hits(self, sample: str, path: str) -> int:
        return self.rig.children[sample].hits(path)

    async def json(self, sample: str, path: str) -> Any:
        return self.rig.json(sample, path)

    async def runs(self, workflow_id: str) -> int:
        return await self.rig.runs(workflow_id)

    async def ended(self, workflow_id: str) -> str:
        """Waits for its end; the status it ended with."""
        handle = (await self.rig.workflows()).get_workflow_handle(workflow_id)
        with contextlib.suppress(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), 30)
        status = (await handle.describe()).status
        return "" if status is None else status.name

    async def kinds(self, workflow_id: str) -> list[str]:
        return await self.rig.kinds(workflow_id)


async def serve(commands: Commands) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = {"is": await getattr(commands, command["do"])(*command.get("with", []))}
        except Exception as error:  # noqa: BLE001, the other side's test fails with its words
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


with tempfile.TemporaryDirectory() as directory:
    commands = Commands(Path(directory))
    try:
        asyncio.run(serve(commands))
    finally:
        commands.rig.close()
