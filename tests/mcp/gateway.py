"""A server with a gateway, workers for it, and a raw client of both generations: what the suites of tests/mcp share."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "cli"))
from processes import Server, run  # noqa: E402, F401

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
CONFORMANCE = Path(__file__).parent / "conformance"


@contextlib.contextmanager
def worker(server: Server, script: Path = CONFORMANCE / "worker.py") -> Iterator[subprocess.Popen[str]]:
    """The worker of the conformance fixtures, polling when this returns; ended by its pid."""
    process = subprocess.Popen(
        [sys.executable, str(script), server.grpc], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.status = response.status
        self.session = response.headers.get("Mcp-Session-Id")
        self.is_stream = (response.headers.get("Content-Type") or "").startswith("text/event-stream")

    def events(self) -> Iterator[dict[str, Any]]:
        """Events as {id, data}; ends with the stream."""
        event: dict[str, Any] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if not text and event:
                yield event
                event = {}
            elif text and not text.startswith(":"):
                name, _, value = text.partition(":")
                event[name] = value.lstrip(" ")

    def messages(self) -> Iterator[dict[str, Any]]:
        for event in self.events():
            if event.get("data"):
                yield json.loads(event["data"])

    def body(self) -> dict[str, Any]:
        """The answer: the last message of a stream."""
        if self.is_stream:
            return list(self.messages())[-1]
        return json.loads(self.response.read() or b"null")


class Client:
    """JSON-RPC over one connection per request; keeps what a client of its generation keeps."""

    def __init__(
        self, server: Server, version: str = MODERN, capabilities: dict[str, Any] | None = None,
        path: str = "/mcp/conformance", token: str | None = None,
    ) -> None:  # fmt: skip
        self.server, self.version, self.capabilities, self.path = server, version, capabilities or {}, path
        self.token, self.session = token, None
        self.ids = itertools.count(1)

    def send(self, body: bytes | None, headers: dict[str, str], method: str = "POST") -> Reply:
        connection = http.client.HTTPConnection(self.server.http, timeout=60)
        if self.token is not None:
            headers = headers | {"Authorization": f"Bearer {self.token}"}
        accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        connection.request(method, self.path, body, accept | headers)
        return Reply(connection.getresponse())

    def headers(self, method: str, params: dict[str, Any]) -> dict[str, str]:
        headers = {"MCP-Protocol-Version": self.version}
        if self.version == MODERN:
            headers["Mcp-Method"] = method
            name = params.get("name") or params.get("uri") or params.get("taskId")
            if name:
                headers["Mcp-Name"] = name
        elif self.session:
            headers["Mcp-Session-Id"] = self.session
        return headers

    def message(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if self.version == MODERN:
            meta = params.get("_meta", {}) | {
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            }
            params = params | {"_meta": meta}
        return {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params}

    def post(self, method: str, **params: Any) -> Reply:
        return self.send(json.dumps(self.message(method, params)).encode(), self.headers(method, params))

    def initialize(self) -> dict[str, Any]:
        client = {"name": "raw", "version": "1"}
        reply = self.post("initialize", protocolVersion=self.version, capabilities=self.capabilities, clientInfo=client)
        self.session = reply.session
        return reply.body()["result"]

    def result(self, method: str, **params: Any) -> dict[str, Any]:
        answer = self.post(method, **params).body()
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method: str, **params: Any) -> dict[str, Any]:
        answer = self.post(method, **params).body()
        assert "error" in answer, answer
        return answer["error"]

    def call(self, name: str, arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        return self.result("tools/call", name=name, arguments=arguments or {}, **more)
