"""Who may call tools: the binary with tokens, wrong configurations, pages of strangers, and a token that is taken away."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from processes import Server, binary

TOOL = {"description": "Greets.", "input": {"type": "object"}, "start": {"workflow": "Greet", "id": "greet"}}


def configuration(directory: Path, **more: object) -> Path:
    file = directory / "mcp.json"
    file.write_text(json.dumps({**more, "toolsets": {"demo": {"task_queue": "demo", "tools": {"greet": TOOL}}}}))
    return file


def ask(server: Server, method: str = "POST", path: str = "/mcp", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """`initialize`, which needs nothing but to be let in."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}
    connection = http.client.HTTPConnection(server.http, timeout=20)
    every = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    every |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=json.dumps(message) if method == "POST" else None, headers=every)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def make_token(*arguments: str) -> tuple[str, str]:
    made = subprocess.run([binary(), "mcp", "token", *arguments], capture_output=True, text=True, check=True, timeout=20)
    token, line = made.stdout.splitlines()
    return token, line


def test_only_known_tokens_get_in_and_one_can_be_taken_away(tmp_path: Path) -> None:
    ann, ann_line = make_token("ann", "use")
    bob, bob_line = make_token("bob")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# callers\n{ann_line}\n{bob_line}\n")
    assert ann not in tokens.read_text()
    config = configuration(tmp_path, auth={"mode": "tokens", "tokens_file": str(tokens), "scopes": ["use"]})
    server = Server(tmp_path, "--mcp-config", str(config))
    try:
        status, headers, _ = ask(server)
        assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer ")
        assert ask(server, Authorization="Bearer nonsense")[0] == 401
        assert ask(server, path=f"/mcp?access_token={ann}")[0] == 400
        status, _, body = ask(server, Authorization=f"Bearer {ann}")
        assert status == 200 and b"serverInfo" in body
        status, headers, _ = ask(server, Authorization=f"Bearer {bob}")
        assert status == 403 and 'scope="use"' in headers["WWW-Authenticate"]
        assert ask(server, "GET", "/healthz")[0] == 200  # the pages ask nobody
        fresh = tmp_path / "fresh"
        fresh.write_text(bob_line + "\n")
        os.replace(fresh, tokens)
        end = time.monotonic() + 20
        while ask(server, Authorization=f"Bearer {ann}")[0] != 401:
            assert time.monotonic() < end
        assert ann not in server.log.read_text()
    finally:
        server.kill()


def test_pages_of_strangers_are_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, "--mcp-config", str(configuration(tmp_path, hosts=["tools.example"])))
    try:
        assert ask(server)[0] == 200
        assert ask(server, Host="tools.example")[0] == 200
        assert ask(server, Host="evil.example")[0] == 403
        assert ask(server, "GET", "/", Host="tools.example")[0] == 403  # the pages are the loopback's
        assert ask(server, Origin="https://evil.example")[0] == 403
        status, headers, _ = ask(server, Origin="http://localhost:6274")
        assert status == 200 and headers["Access-Control-Allow-Origin"] == "http://localhost:6274"
        assert ask(server, "OPTIONS", Origin="http://localhost:6274")[0] == 204
        assert ask(server, "GET", "/.well-known/oauth-protected-resource")[0] == 404
    finally:
        server.kill()


@pytest.mark.parametrize("auth, words", [
    ({"mode": "tokens", "tokens_file": "/nowhere/tokens"}, "/nowhere/tokens"),
    ({"mode": "jwt", "issuer": "i", "audience": "a", "jwks": "/nowhere/keys"}, "/nowhere/keys"),
])
def test_what_cannot_be_checked_is_not_started(tmp_path: Path, auth: dict[str, str], words: str) -> None:
    started = subprocess.run(
        [binary(), "server", "--store", "memory:", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--mcp-config",
         str(configuration(tmp_path, auth=auth))], capture_output=True, text=True, timeout=30)  # fmt: skip
    assert started.returncode == 1 and words in started.stderr


def test_open_tools_stay_on_the_loopback(tmp_path: Path) -> None:
    started = subprocess.run(
        [binary(), "server", "--store", "memory:", "--grpc", "127.0.0.1:0", "--http", "0.0.0.0:0", "--mcp-config",
         str(configuration(tmp_path))], capture_output=True, text=True, timeout=30)  # fmt: skip
    assert started.returncode == 1 and "loopback" in started.stderr
