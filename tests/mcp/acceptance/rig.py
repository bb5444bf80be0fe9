"""A stage that is looked at more closely: raw requests, histories, what a stand-in says of itself."""

import json
import urllib.error
import urllib.request
from typing import Any

from stage import Stage, Tasks, text_of, TASKS
from temporalio.api.enums.v1 import EventType

__all__ = ["MODERN", "TASKS", "Rig", "RpcError", "Tasks", "text_of"]
MODERN = "2026-07-28"


class RpcError(Exception):
    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {error}")
        self.status, self.code, self.error = status, error.get("code"), error


class Rig(Stage):
    def open(self, method: str, params: dict[str, Any] | None = None, timeout: float = 60, **options: Any) -> Any:
        """Posts one request of 2026-07-28; the response, to be read or closed. `capabilities`, `headers`, `meta`: on top."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": options.get("capabilities", {}),
            **options.get("meta", {}),
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": meta}}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": method,
        }
        for name in ("name", "uri", "taskId"):
            if params and name in params:
                headers["Mcp-Name"] = str(params[name])
                break
        headers.update(options.get("headers", {}))
        target = options.get("url", self.url)
        request = urllib.request.Request(target, data=json.dumps(body).encode(), headers=headers)
        return urllib.request.urlopen(request, timeout=timeout)

    def rpc(self, method: str, params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """The result of one request; RpcError otherwise. Blocks: call it by asyncio.to_thread."""
        try:
            with self.open(method, params, **options) as response:
                status, body = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode()
        if "data:" in body and not body.startswith("{"):
            body = [line[5:] for line in body.splitlines() if line.startswith("data:") and '"id"' in line][-1]
        try:
            answer = json.loads(body)
        except ValueError:
            raise RpcError(status, {"message": body}) from None
        if "error" in answer:  # of JSON-RPC an object, of HTTP a text
            error = answer["error"]
            raise RpcError(status, error if isinstance(error, dict) else {"message": error})
        return answer["result"]

    async def kinds(self, workflow_id: str) -> list[str]:
        handle = (await self.workflows()).get_workflow_handle(workflow_id)
        return [
            EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
            async for event in handle.fetch_history_events()
        ]

    def json(self, sample: str, path: str) -> Any:
        """What a stand-in says of itself."""
        with urllib.request.urlopen(self.children[sample].base + path, timeout=10) as response:
            return json.load(response)
