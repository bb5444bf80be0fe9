"""What runs say of who called, and how many of one caller may be open."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Client, Server, run

FIXTURE = Path(__file__).parent / "mcp.json"


def perdure(server: Server, *arguments: str):
    return run(*arguments, "--address", server.grpc)


def test_runs_say_who_called_and_which_tool(worked: Server) -> None:
    Client(worked).call("greet", {"name": "Quentin"})
    described = perdure(worked, "workflow", "describe", "-w", "greet-anonymous-Quentin", "-o", "json").json
    fields = described["workflowExecutionInfo"]["searchAttributes"]["indexedFields"]
    said = {name: json.loads(base64.b64decode(payload["data"])) for name, payload in fields.items()}
    assert said == {"McpTool": "greet", "McpCaller": "anonymous"}


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """Two callers, who may have two runs each; nobody works."""
    tokens, lines = {}, []
    for name in ("ann", "bob"):
        tokens[name], line = run("mcp", "token", name, "*").out.splitlines()
        lines.append(line)
    (tmp_path / "tokens").write_text("\n".join(lines) + "\n")
    config = json.loads(FIXTURE.read_text().split("\n", 1)[1]) | {"open_tasks_per_caller": 2}
    config["auth"] = {"mode": "tokens", "tokens_file": str(tmp_path / "tokens")}
    tools = config["toolsets"]["conformance"]["tools"]
    tools["poked"] = tools["greet"] | {
        "signal_with_start": tools["greet"]["start"] | {"id": "poked-{name}", "signal": "poked"}
    }  # fmt: skip
    del tools["poked"]["start"]
    config["toolsets"]["conformance"]["defaults"]["legs"] = 0
    (tmp_path / "mcp.json").write_text(json.dumps(config))
    running = Server(tmp_path, "--mcp-config", str(tmp_path / "mcp.json"))
    yield running, tokens
    running.stop()


def test_a_caller_has_so_many_open_runs_and_no_more(bounded: tuple[Server, dict[str, str]]) -> None:
    server, tokens = bounded
    ann, bob = (Client(server, token=tokens[name]) for name in ("ann", "bob"))

    def working(client: Client, tool: str, name: str) -> bool:
        return client.call(tool, {"name": name})["structuredContent"]["status"] == "working"

    def refused(client: Client, tool: str, name: str) -> bool:
        error: dict[str, Any] = client.error("tools/call", name=tool, arguments={"name": name})
        return error["code"] == -32603 and "2 runs open" in error["message"]

    assert working(ann, "greet", "A") and working(ann, "greet", "B")
    assert refused(ann, "greet", "C"), "nothing is started"
    assert working(ann, "greet", "A"), "what is there may be waited for"
    assert working(bob, "greet", "A"), "which is another run: the bound is each caller's"
    assert refused(ann, "poked", "D")
    server.kill()
    server.start()
    assert refused(ann, "greet", "C"), "what counts is stored"
    ended = run("workflow", "terminate", "-w", "greet-ann-A", "--address", server.grpc)
    assert ended.code == 0, ended
    assert "was sent" in ann.call("poked", {"name": "D"})["content"][0]["text"]
    assert "was sent" in ann.call("poked", {"name": "D"})["content"][0]["text"], "it runs already"
    assert refused(ann, "greet", "C")
    rows = run("workflow", "list", "--query", 'ExecutionStatus = "Running"', "--output", "json", "--address", server.grpc).json
    assert sorted(row["execution"]["workflowId"] for row in rows) == ["greet-ann-B", "greet-bob-A", "poked-D"]
