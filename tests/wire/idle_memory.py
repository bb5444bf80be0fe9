"""What an idle connection and a waiting call cost: resident memory of a release build's echo server.

    python tests/wire/idle_memory.py build/release/wire_echo_server [connections] [calls per connection]
"""

from __future__ import annotations

import os
import resource
import sys

os.environ["PERDURE_WIRE_ECHO_SERVER"] = sys.argv[1]

import raw as http2  # noqa: E402
from conftest import EchoServer  # noqa: E402

METADATA = [("user-agent", "grpc-go/1.75.0"), ("client-name", "temporal-go"), ("client-version", "1.48.0"),
            ("supported-server-versions", ">=1.0.0 <2.0.0"), ("temporal-namespace", "default"), ("grpc-timeout", "70S"),
            ("grpc-accept-encoding", "gzip"), ("caller-type", "worker")]


def main() -> None:
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    calls = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = EchoServer()
    idle = server.stats()["rss_kib"]
    opened = []
    for _ in range(connections):
        connection = http2.Raw(server.port)
        connection.call("/perdure.test.Echo/Echo", http2.message(b"x" * 200), *METADATA)
        opened.append(connection)
    connected = server.stats()["rss_kib"]
    print(f"{connections} idle connections: {(connected - idle) / connections:.1f} KiB each", flush=True)
    for connection in opened:
        for _ in range(calls):
            connection.request("/perdure.test.Echo/Hold", http2.message(b"x" * 200), *METADATA)
    server.wait_for("held", connections * calls)
    held = server.stats()["rss_kib"]
    print(f"{connections * calls} waiting calls: {(held - connected) / connections / calls:.1f} KiB each, "
          f"with their connections {(held - idle) / connections:.1f} KiB; in all {held} KiB", flush=True)
    for connection in opened:
        connection.close()
    server.wait_for("connections_open", 1)
    print(f"afterwards: {server.stats()['rss_kib']} KiB")
    server.stop()


if __name__ == "__main__":
    main()
