"""`./dev interop`: the interoperability client of gRPC's own project against the wire's test server. Building it takes minutes,
so this is not part of `./dev test`.

Its other cases are about streams, or want metadata back from the server, which nothing here ever sends.
"""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import ROOT, EchoServer

CLIENT = "google.golang.org/grpc/interop/client@v1.66.0"
CASES = ["empty_unary", "large_unary", "special_status_message", "unimplemented_method", "unimplemented_service", "rpc_soak",
         "channel_soak"]


def main() -> int:
    client = ROOT / "build" / "tools" / "client"
    if not client.exists():
        client.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "install", CLIENT], check=True, cwd="/", env={**os.environ, "GOBIN": str(client.parent)})
    server, failed = EchoServer(), 0
    for case in CASES:
        done = subprocess.run(
            [str(client), "-server_host", "127.0.0.1", "-server_port", str(server.port), "-test_case", case,
             "-soak_iterations", "1000", "-soak_min_time_ms_between_rpcs", "0"], capture_output=True, text=True, timeout=120)
        failed += done.returncode != 0
        print(f"{case:24} {'passed' if done.returncode == 0 else 'FAILED ' + done.stderr[-2000:]}", flush=True)
    server.stop()
    print(f"{len(CASES)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
