"""Fields of mcp.json that change where tools are and what they say."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import LEGACY, Client, Server, worker

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "cli"))
from processes import free_port  # noqa: E402

FIXTURE = Path(__file__).parent / "mcp.json"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A server with the fixture's tools and more fields."""
    started: list[Server] = []

    def begin(tools: dict[str, Any] | None = None, **fields: Any) -> Server:
        config = json.loads(FIXTURE.read_text().split("\n", 1)[1]) | fields
        for name, more in (tools or {}).items():
            config["toolsets"]["conformance"]["tools"].setdefault(name, {}).update(more)
        (tmp_path / "mcp.json").write_text(json.dumps(config))
        started.append(Server(tmp_path, "--mcp-config", str(tmp_path / "mcp.json")))
        return started[-1]

    yield begin
    for server in started:
        assert server.stop() == 0


def status(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", path)
    return connection.getresponse().status


def test_tools_have_an_address_of_their_own(start: Callable[..., Server]) -> None:
    port = free_port()
    server = start(listen=f"127.0.0.1:{port}")
    for path in ("/mcp", "/api/v1/mcp/toolsets", "/mcp.schema.json"):
        assert status(server.http, path) == 404, "they are not at the server's"
    assert status(f"127.0.0.1:{port}", "/healthz") == 404 and status(server.http, "/healthz") == 200
    main, server.http = server.http, f"127.0.0.1:{port}"
    assert Client(server).result("tools/list")["tools"]
    assert status(server.http, "/mcp.schema.json") == 200
    server.http = main
    connection = http.client.HTTPConnection(main, timeout=30)
    connection.request("GET", "/")
    assert f"http://127.0.0.1:{port}/mcp" in connection.getresponse().read().decode()


def test_a_hand_off_says_the_tools_own_words(start: Callable[..., Server]) -> None:
    server = start({"slow_compute": {"running_text": "The sum for {label} takes its time."}})
    client = Client(server, LEGACY)
    client.initialize()
    first = client.call("slow_compute", {"seconds": 60, "label": "Ada"})
    assert first["content"][0]["text"].startswith("The sum for Ada takes its time. Still running as "), first
    handle = first["structuredContent"]["handle"]
    again = client.call("task_result", {"handle": handle})
    assert again["content"][0]["text"].startswith("Still running as "), "whose arguments are not known any more"


def test_a_tool_can_be_read_as_a_resource(start: Callable[..., Server]) -> None:
    server = start({"greet": {"resource": "greetings/{name}"}})
    client = Client(server)
    templates = client.result("resources/templates/list")["resourceTemplates"]
    declared = [each["uriTemplate"] for each in templates if not each["uriTemplate"].startswith("temporal:")]
    assert declared == ["tool://conformance/greetings/{name}"]
    with worker(server):
        read = client.result("resources/read", uri="tool://conformance/greetings/Ada")["contents"][0]
    assert (read["uri"], read["text"]) == ("tool://conformance/greetings/Ada", "Hello, Ada!")
    assert "/name" in client.error("resources/read", uri="tool://conformance/greetings/ada")["message"]
