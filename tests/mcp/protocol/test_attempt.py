"""Perdure-Attempt-Id: a call that is made again as the same attempt has happened once, whatever it does."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Client, Server, run, worker

FIXTURE = Path(__file__).parent / "mcp.json"
NAMED = {"type": "object", "properties": {"filename": {"type": "string"}}, "required": ["filename"]}
RUN = "confirm-{caller}-{filename}"
TOOLS: dict[str, Any] = {
    "poke": {"input": NAMED, "signal": {"workflow_id": RUN, "name": "poked", "args": ["{filename}"]}},
    "note": {"input": NAMED, "update": {"workflow_id": RUN, "name": "note", "args": ["{filename}"]}},
    "fresh": {"input": NAMED, "start": {"workflow": "Conformance", "args": ["greet", {"name": "{filename}"}], "id": "fresh-{uuid}"}, "result": "raw"},
    "noted": {
        "input": NAMED,
        "update_with_start": {
            "workflow": "Conformance", "args": ["confirm_delete", "{@}"], "id": "noted-{caller}-{filename}", "update": "note",
            "update_args": ["{filename}"],
        },
    },
    "poked": {
        "input": NAMED,
        "signal_with_start": {
            "workflow": "Conformance", "args": ["confirm_delete", "{@}"], "id": "poked-{caller}-{filename}", "signal": "poked",
            "signal_args": ["{filename}"],
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("attempt")
    config = json.loads(FIXTURE.read_text().split("\n", 1)[1])
    config["toolsets"]["conformance"]["defaults"]["sync_wait"] = "20s"
    config["toolsets"]["conformance"]["tools"] |= TOOLS
    (directory / "mcp.json").write_text(json.dumps(config))
    running = Server(directory, "--mcp-config", str(directory / "mcp.json"))
    with worker(running):
        yield running
    running.stop()


class Attempt(Client):
    """Says the same attempt with each call, until another is chosen."""

    attempt = str(uuid.uuid4())

    def headers(self, method: str, params: dict[str, Any]) -> dict[str, str]:
        return super().headers(method, params) | {"Perdure-Attempt-Id": self.attempt}


def events(server: Server, workflow_id: str, kind: str) -> int:
    """Counted when no worker has a workflow task: what comes meanwhile is in the history behind that."""
    where = ("-w", workflow_id, "--output", "json", "--address", server.grpc)
    until = time.monotonic() + 30
    while "pendingWorkflowTask" in run("workflow", "describe", *where).json:
        assert time.monotonic() < until
    shown = run("workflow", "show", *where).json
    return sum(event["eventType"].endswith(kind) for event in shown["events"])


def opened(server: Server, name: str) -> str:
    """A workflow that waits for an answer."""
    workflow_id = f"confirm-anonymous-{name}"
    started = run(
        "workflow", "start", "--type", "Conformance", "-t", "conformance", "-w", workflow_id, "--input", '"confirm_delete"', "--input",
        json.dumps({"filename": name}), "--address", server.grpc,
    )  # fmt: skip
    assert started.code == 0, started
    return workflow_id


def test_a_signal_is_sent_once_for_each_attempt(server: Server) -> None:
    workflow_id, client = opened(server, "signal"), Attempt(server)
    for _ in range(3):
        assert "was sent" in client.call("poke", {"filename": "signal"})["content"][0]["text"]
    assert events(server, workflow_id, "WORKFLOW_EXECUTION_SIGNALED") == 1
    client.attempt = str(uuid.uuid4())
    client.call("poke", {"filename": "signal"})
    Client(server).call("poke", {"filename": "signal"})
    assert events(server, workflow_id, "WORKFLOW_EXECUTION_SIGNALED") == 3


def test_an_update_is_made_once_for_each_attempt_and_answers_the_same(server: Server) -> None:
    workflow_id, client = opened(server, "update"), Attempt(server)
    assert [client.call("note", {"filename": "update"})["structuredContent"] for _ in range(3)] == [1, 1, 1]
    assert events(server, workflow_id, "UPDATE_ACCEPTED") == 1
    client.attempt = str(uuid.uuid4())
    assert client.call("note", {"filename": "update"})["structuredContent"] == 2
    assert Client(server).call("note", {"filename": "update"})["structuredContent"] == 3


def test_what_starts_with_a_signal_or_an_update_does_both_once(server: Server) -> None:
    client = Attempt(server)
    assert [client.call("noted", {"filename": "a"})["structuredContent"] for _ in range(2)] == [1, 1]
    assert events(server, "noted-anonymous-a", "UPDATE_ACCEPTED") == 1
    for _ in range(2):
        client.call("poked", {"filename": "a"})
    assert events(server, "poked-anonymous-a", "WORKFLOW_EXECUTION_SIGNALED") == 1


def test_an_id_with_a_uuid_is_the_same_for_the_same_attempt(server: Server) -> None:
    client = Attempt(server)
    for _ in range(3):
        assert client.call("fresh", {"filename": "Ada"})["content"][0]["text"] == "Hello, Ada!"
    rows = run("workflow", "list", "--output", "json", "--address", server.grpc).json
    ids = [row["execution"]["workflowId"] for row in rows if row["execution"]["workflowId"].startswith("fresh-")]
    assert len(set(ids)) == 1


def test_what_is_no_uuid_is_no_attempt(server: Server) -> None:
    workflow_id, client = opened(server, "words"), Attempt(server)
    client.attempt = "twice"
    for _ in range(2):
        client.call("poke", {"filename": "words"})
    assert events(server, workflow_id, "WORKFLOW_EXECUTION_SIGNALED") == 2
