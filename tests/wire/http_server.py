"""The HTTP/1.1 server alone (http_server.c), and a socket that says what a test wants.

    python tests/wire/http_server.py build/release/wire_http_server [streams]   # what streams cost, and requests a second
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def binary() -> Path:
    beside = os.environ.get("PERDURE_BINARY")
    return (Path(beside).parent if beside else ROOT / "build" / "dev") / "wire_http_server"


class HttpServer:
    def __init__(self, *limits: str, program: Path | None = None) -> None:
        self.process = subprocess.Popen([str(program or binary()), *limits], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def stats(self) -> dict[str, int]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/stats")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def wait_for(self, name: str, value: int) -> dict[str, int]:
        """Asks until the count is there; each question is a round trip, so this is no busy loop."""
        end = time.monotonic() + 20
        while (stats := self.stats())[name] != value:
            assert time.monotonic() < end, stats
            time.sleep(0.02)
        return stats

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def say(self, data: bytes, half_close: bool = False) -> bytes:
        """All that comes back until the server closes."""
        with self.dial() as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer

    def stop(self) -> int:
        self.process.stdin.close()
        return self.process.wait(timeout=20)


def request(path: str = "/echo", body: bytes = b"", *more: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *more]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def measure_streams(server: HttpServer, count: int) -> None:
    before = server.stats()["rss_kib"]
    opened = []
    for _ in range(count):
        connection = server.dial()
        connection.sendall(request("/stream", b'{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}'))
        assert connection.recv(4096)
        opened.append(connection)
    stats = server.stats()
    assert stats["streams"] == count
    grown = stats["rss_kib"] - before
    print(f"{count} idle streams: {grown / 1024:.1f} MiB, {1024 * grown / count:.0f} bytes each")
    for connection in opened:
        connection.close()
    server.wait_for("streams", 0)


def measure_requests(server: HttpServer, connections: int, rounds: int) -> None:
    """Batches of pipelined requests, so that the client does not limit what is measured; CPU time is the server's."""
    depth, one = 32, request("/echo", b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}')
    opened = [server.dial() for _ in range(connections)]
    before, began = server.stats(), time.monotonic()
    for _ in range(rounds):
        for connection in opened:
            connection.sendall(one * depth)
        for connection in opened:
            answers = b""
            while answers.count(b"HTTP/1.1 200") < depth or not answers.endswith(b"}"):
                answers += connection.recv(65536)
    took, after = time.monotonic() - began, server.stats()
    count = connections * rounds * depth
    cpu = (after["cpu_us"] - before["cpu_us"]) / 1e6
    print(f"{count} small POSTs: {count / took:.0f}/s, {1e6 * cpu / count:.1f} us of server CPU each, "
          f"{count / cpu:.0f}/s per core")


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = HttpServer(program=Path(sys.argv[1]).resolve())
    measure_streams(server, int(sys.argv[2]) if len(sys.argv) > 2 else 5000)
    measure_requests(server, 16, 100)
    server.stop()


if __name__ == "__main__":
    main()
