"""Peers that misbehave, with an honest caller beside them: all its calls are answered, in time, and the server keeps its memory."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import bearer, with_tokens
from gateway import LEGACY, MODERN, Client, Server, worker
from processes import binary, clean_environment

HONEST_CALLS = 40
HONEST_SECONDS_MAX = 5.0  # p99, of a server with sanitizers on a busy machine; quiet it is some milliseconds
GROWN_MIB_MAX = 64
LISTENERS = 5000
SLOW_READERS = 40


def resident_mib(server: Server) -> float:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@contextlib.contextmanager
def honest_beside(server: Server, held_mib: int = 0) -> Iterator[None]:
    """Runs the body with an honest caller beside it, which goes on for HONEST_CALLS at least, and judges both.

    held_mib: what the server may hold of the peers' bytes when it is judged, beside all else.
    """
    took: list[float] = []
    problems: list[BaseException] = []
    over = threading.Event()
    client = Client(server)

    def go() -> None:
        number = 0
        try:
            while number < HONEST_CALLS or not over.is_set():
                number += 1
                begun = time.monotonic()
                arguments = {"name": f"H{id(took)}n{number}"}
                result = client.call("greet", arguments)
                while "requestState" in result:  # its worker has so much else to do
                    result = client.call("greet", arguments, requestState=result["requestState"])
                while "handle" in result.get("structuredContent", {}):
                    result = client.call("task_result", {"handle": result["structuredContent"]["handle"]})
                took.append(time.monotonic() - begun)
                assert "Hello, H" in json.dumps(result), result
        except BaseException as problem:  # noqa: BLE001, it is told by the test's own thread
            problems.append(problem)

    Client(server).call("greet", {"name": "Warm"})
    before = resident_mib(server)
    honest = threading.Thread(target=go)
    honest.start()
    try:
        yield
    finally:
        over.set()
        honest.join()
    assert problems == []
    took.sort()
    assert took[int(len(took) * 0.99)] < HONEST_SECONDS_MAX, took[-5:]
    assert resident_mib(server) - before < GROWN_MIB_MAX + held_mib, (before, resident_mib(server))


def request(server: Server, method: str, params: dict[str, object], version: str = MODERN) -> bytes:
    client = Client(server, version)
    body = json.dumps(client.message(method, params)).encode()
    headers = client.headers(method, params) | {
        "Host": server.http,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body


def connected(server: Server, receive: int | None = None) -> socket.socket:
    host, port = server.http.split(":")
    made = socket.socket()
    if receive is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    made.settimeout(30)
    made.connect((host, int(port)))
    return made


def test_five_thousand_who_listen(open_to_all: Server) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    listen = request(open_to_all, "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    with contextlib.ExitStack() as stack, honest_beside(open_to_all):
        for _ in range(LISTENERS):
            peer = stack.enter_context(connected(open_to_all))
            peer.sendall(listen)
        assert peer.recv(4096).startswith(b"HTTP/1.1 200")
        resident = resident_mib(open_to_all)
    # They go all at once, and what they took is there for the next ones.
    with honest_beside(open_to_all):
        pass
    assert resident_mib(open_to_all) < resident + 32


def test_who_reads_nothing_holds_up_nobody(open_to_all: Server) -> None:
    (link,) = Client(open_to_all).call("large", {"size": 400_000})["content"]
    read = request(open_to_all, "resources/read", {"uri": link["uri"]})
    with contextlib.ExitStack() as stack, honest_beside(open_to_all):
        for _ in range(SLOW_READERS):
            peer = stack.enter_context(connected(open_to_all, 4096))
            peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                peer.send(read * 20)


def test_two_hundred_calls_whose_progress_nobody_reads(open_to_all: Server) -> None:
    legacy = Client(open_to_all, LEGACY)
    legacy.initialize()
    with contextlib.ExitStack() as stack, honest_beside(open_to_all):
        for _ in range(200):
            call = {"name": "test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": 1}}
            stack.enter_context(connected(open_to_all, 4096)).sendall(request(open_to_all, "tools/call", call))


PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"'  # with much that it does not look at
BODIES: list[bytes] = [
    b"[" * 4_000_000,
    b'{"a":' * 700_000,
    b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 4_000_000 + b'"}',
    b'{"jsonrpc":"2.0","id":"' + b"\\u0000" * 600_000 + b'","method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{' + b",".join(b'"%d":1' % n for n in range(300_000)) + b"}}",
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1' + b"0" * 3_000_000 + b"}}",
    b"\xff" * 4_000_000,
]


def test_bodies_that_are_expensive_to_read(open_to_all: Server) -> None:
    with honest_beside(open_to_all):
        for body in BODIES:
            reply = Client(open_to_all).send(body, {})
            assert reply.status in (200, 400, 413), body[:40]
            answer = reply.body()
            assert body.startswith(PING) or answer["error"]["code"] in (-32700, -32600, -32601), body[:40]


def test_bodies_that_never_end(open_to_all: Server) -> None:
    peers, buffer_kib = 500, 128  # what 50,000 bytes of a body, and of the socket, take at most
    with contextlib.ExitStack() as stack, honest_beside(open_to_all, held_mib=peers * buffer_kib // 1024):
        for _ in range(peers):
            peer = stack.enter_context(connected(open_to_all))
            peer.sendall(f"POST /mcp HTTP/1.1\r\nHost: {open_to_all.http}\r\nContent-Length: 4000000\r\n\r\n".encode() + b"[" * 50_000)


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [50, 63, 64, 200])
def test_deep_arguments_are_refused_or_taken_whole(open_to_all: Server, depth: int) -> None:
    client = Client(open_to_all)
    text = json.dumps(client.message("tools/call", {"name": "slow_compute", "arguments": {"label": f"d{depth}", **nested(depth)}}))
    reply = client.send(text.encode(), client.headers("tools/call", {"name": "slow_compute"}))
    assert (reply.status == 200) == (depth < 60)
    reply.body()


@pytest.mark.parametrize("token", [b"", b"x", b"A" * 8000, b"A" * 9000, b"\xff\xfe", b"a b", b"Bearer"])
def test_forged_tokens_are_refused_beside_honest_ones(tmp_path: Path, token: bytes) -> None:
    server = Server(tmp_path, "--mcp-config", str(with_tokens(tmp_path, "ada")))
    try:
        for _ in range(50):
            with connected(server) as peer:
                text = request(server, "tools/list", {}).replace(b"\r\n", b"\r\nAuthorization: Bearer " + token + b"\r\n", 1)
                peer.sendall(text)
                assert peer.recv(4096).split(b" ")[1] in (b"401", b"400", b"431")
        assert Client(server, token=bearer("ada")).post("tools/list").status == 200
        assert bearer("ada") not in server.log.read_text()
    finally:
        server.stop()


def test_a_caller_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    server = Server(tmp_path, "--mcp-config", str(with_tokens(tmp_path, "ada", "bob", calls_per_second=1, calls_burst=5)))
    try:
        replies = [Client(server, token=bearer("ada")).post("tools/list") for _ in range(20)]
        refused = [reply for reply in replies if reply.status == 429]
        assert len(refused) >= 10 and replies[0].status == 200
        assert all(int(reply.response.headers["Retry-After"]) >= 1 for reply in refused)
        assert Client(server, token=bearer("bob")).post("tools/list").status == 200
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["\u202eabc", "a\u0300" * 50, "\U0001f600", "ﬀ", "a" * 2000, "\ufeff", "a\nb"])
def test_texts_that_look_like_others_are_what_they_are(open_to_all: Server, name: str) -> None:
    """An id is made of bytes, not of looks: each text is itself, or refused as too long."""
    client = Client(open_to_all, capabilities={"extensions": {"io.modelcontextprotocol/tasks": {}}})
    result = client.call("slow_compute", {"seconds": 0, "label": name})
    if result.get("isError"):
        assert len(name) > 500 or not name.isprintable(), result
    else:
        assert "taskId" in result or f"Computed {name}" in result["content"][0]["text"]


def test_surrogates_and_numbers_that_are_none(open_to_all: Server) -> None:
    client = Client(open_to_all)
    for text in ('"\\u0000"', '"\\ud800"', '"\\udc00x"', "NaN", "Infinity", "1e999", "-", "01", '"\t"'):
        body = json.dumps(client.message("tools/call", {"name": "slow_compute", "arguments": {"label": 0}}))
        reply = client.send(body.replace('"label": 0', f'"label": {text}').encode(), client.headers("tools/call", {"name": "slow_compute"}))
        answer = reply.body()
        assert "error" in answer or answer["result"].get("isError"), text


SCHEMAS = {
    "a thousand deep": {"type": "object", "properties": {"x": "DEEP"}},
    "of another place": {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/schema"}}},
    "round and round": {"$ref": "#"},
    "no pattern": {"type": "object", "properties": {"x": {"type": "string", "pattern": "(("}}},
}


@pytest.mark.parametrize("what", SCHEMAS)
def test_schemas_that_would_harm_are_refused_when_loaded(tmp_path: Path, what: str) -> None:
    tool = {"description": "x", "input": SCHEMAS[what], "start": {"workflow": "W", "id": "w-{caller}", "task_queue": "q"}}
    config = tmp_path / "mcp.json"
    text = json.dumps({"toolsets": {"t": {"task_queue": "q", "tools": {"x": tool}}}})
    config.write_text(text.replace('"DEEP"', '{"allOf":[' * 1000 + "{}" + "]}" * 1000))
    command = [binary(), "server", "--store", "memory:", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--mcp-config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean_environment())
    assert ended.returncode == 1 and "mcp.json" in ended.stderr, ended.stderr[-400:]


def test_a_pattern_that_backtracks_for_ever_is_given_up(tmp_path: Path) -> None:
    pattern = {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}
    slow = {"description": "x", "input": pattern, "start": {"workflow": "W", "id": "w-{caller}"}}
    whole = json.loads('{"toolsets": {"conformance": {"task_queue": "conformance", "tools": {}}}}')
    whole["toolsets"]["conformance"]["tools"] = {
        "slow": slow,
        "greet": {
            "description": "Greets.",
            "input": {"type": "object", "properties": {"name": {"type": "string"}}},
            "start": {"workflow": "Conformance", "args": ["{tool}", "{@}"], "id": "greet-{caller}-{name}"},
            "result": "raw",
        },
    }
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps(whole))
    server = Server(tmp_path, "--mcp-config", str(config))
    with worker(server):
        with honest_beside(server):
            for _ in range(20):
                result = Client(server).call("slow", {"x": "a" * 5000 + "!"})
                assert result["isError"], result
    server.stop()
