"""Workers that encrypt payloads: the gateway asks their codec server."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from codec_worker import Mirror
from gateway import Client, Server, run, worker
from google.protobuf import json_format
from temporalio.api.common.v1 import Payloads

FIXTURE = Path(__file__).parent / "mcp.json"
ASKING = {
    "input": {"type": "object", "properties": {"filename": {"type": "string"}}},
    "start": {"workflow": "Conformance", "args": ["confirm_delete", "{@}"], "id": "asking-{filename}"},
    "sync_wait": "200ms",
    "approval": {
        "when": {"query": "nothing", "equals": 1}, "message": "{filename}?", "form": {"properties": {"a": {"type": "boolean"}}},
        "accept": {"signal": "x"},
    },
}  # fmt: skip
FAILING = {"start": {"workflow": "Conformance", "args": ["test_error_handling", {}], "id": "failing-{uuid}"}}


class Codec(ThreadingHTTPServer):
    """As users write them, by the official SDK's own codec."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.broken = False
        threading.Thread(target=self.serve_forever).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Codec)
        self.server.asked.append((self.path, self.headers["X-Namespace"]))
        given = json_format.Parse(self.rfile.read(int(self.headers["Content-Length"])), Payloads())
        way = Mirror().encode if self.path == "/encode" else Mirror().decode
        body = json_format.MessageToJson(Payloads(payloads=asyncio.run(way(given.payloads)))).encode()
        if self.server.broken:
            body = b'{"payloads": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def codec() -> Iterator[Codec]:
    running = Codec()
    yield running
    running.close()


@pytest.fixture
def server(tmp_path: Path, codec: Codec) -> Iterator[Server]:
    config = json.loads(FIXTURE.read_text().split("\n", 1)[1]) | {"codec": {"endpoint": codec.url}}
    config["toolsets"]["conformance"]["defaults"]["sync_wait"] = "20s"
    config["toolsets"]["conformance"]["tools"] |= {"failing": FAILING, "asking": ASKING}
    (tmp_path / "mcp.json").write_text(json.dumps(config))
    running = Server(tmp_path, "--mcp-config", str(tmp_path / "mcp.json"))
    yield running
    running.stop()


@pytest.fixture
def worked(server: Server) -> Iterator[Server]:
    with worker(server, Path(__file__).parent / "codec_worker.py"):
        yield server


def stored(server: Server, workflow_id: str) -> tuple[dict[str, Any], str]:
    """The memo of a run, and its history without memo and search attributes."""
    events = run("workflow", "show", "-w", workflow_id, "--output", "json", "--address", server.grpc).json["events"]
    started = events[0]["workflowExecutionStartedEventAttributes"]
    memo = started.pop("memo")["fields"]
    started.pop("searchAttributes")
    return memo, json.dumps(events)


def encoding(payload: dict[str, Any]) -> bytes:
    return base64.b64decode(payload["metadata"]["encoding"])


def test_arguments_and_results_are_nobody_elses(worked: Server, codec: Codec) -> None:
    answer = Client(worked).call("greet", {"name": "Secretive"})
    assert answer["content"][0]["text"] == "Hello, Secretive!"
    memo, history = stored(worked, "greet-anonymous-Secretive")
    assert base64.b64encode(b"binary/mirrored").decode() in history
    assert base64.b64encode(b"json/plain").decode() not in history
    assert encoding(memo["mcp.caller"]) == b"json/plain", "lists and the UI read it"
    assert set(codec.asked) == {("/encode", "default"), ("/decode", "default")}


def test_arguments_in_a_memo_are_nobody_elses(worked: Server) -> None:
    Client(worked).call("asking", {"filename": "y"})
    memo, _ = stored(worked, "asking-y")
    assert encoding(memo["mcp.arguments"]) == b"binary/mirrored"
    again = Client(worked).call("asking", {"filename": "y"})
    assert again["resultType"] == "input_required", "which asks nothing, but goes on waiting for the same run"


def test_questions_progress_and_failures_are_read(worked: Server) -> None:
    client = Client(worked, capabilities={"elicitation": {}})
    asked = client.call("confirm_delete", {"filename": "x"})
    assert asked["inputRequests"]["confirm"]["params"]["message"] == "Delete x?", asked
    answered = client.call(
        "confirm_delete", {"filename": "x"}, requestState=asked["requestState"],
        inputResponses={"confirm": {"action": "accept", "content": {"confirm": True}}},
    )  # fmt: skip
    assert answered["content"][0]["text"] == "Answered: accept"
    failed = client.call("failing")
    assert failed["isError"] and "This tool intentionally returns an error" in failed["content"][0]["text"], failed


def test_without_its_codec_server_nothing_is_started(worked: Server, codec: Codec) -> None:
    codec.broken = True
    refused = Client(worked).call("greet", {"name": "Ada"})
    assert refused["isError"] and "0 payloads instead of" in refused["content"][0]["text"]
    codec.close()
    refused = Client(worked).call("greet", {"name": "Ada"})
    assert refused["isError"] and "codec server" in refused["content"][0]["text"]
    assert run("workflow", "list", "--output", "json", "--address", worked.grpc).json == []
