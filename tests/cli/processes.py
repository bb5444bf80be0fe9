"""Servers and client commands as processes. Every process started here is ended here, by its pid."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 60


def binary() -> str:
    return os.environ.get("PERDURE_BINARY") or str(ROOT / "build" / "dev" / "perdure")


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what would decide for a command or a server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "PERDURE_"))}
    return kept | more


def free_port() -> int:
    """Below the ports of outgoing connections: one of those would take it while a killed server is away."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Server:
    """One server process. The ports stay the same over restarts, so that clients find it again."""

    def __init__(
        self, directory: Path, *arguments: str, store: str | None = None, before: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.before = before  # a command that becomes the server: nsenter, strace -D
        self.environment = environment or {}
        self.store = store or f"sqlite:{directory / 'perdure.db'}"
        self.grpc, self.http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.arguments = arguments
        self.log = directory / "server.log"
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def command(self) -> list[str]:
        return [*self.before, binary(), "server", "--grpc", self.grpc, "--http", self.http, "--store", self.store, *self.arguments]

    def start(self) -> float:
        """Returns how many seconds it took to get ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=self.directory, env=clean_environment(**self.environment),
            )
        # A server that hangs must not hang the suite: its end closes the pipe, and readline returns.
        watch = threading.Timer(READY_SECONDS_MAX, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        took = time.monotonic() - began
        if " ready: gRPC " not in line:
            self.kill()
            raise AssertionError(f"not ready: {line!r}\n{self.tail()}")
        words = line.replace(",", " ").split()
        self.grpc = words[words.index("gRPC") + 1]
        self.http = words[words.index("HTTP") + 1].removeprefix("http://")
        return took

    def signal_end(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        process, self.process = self.process, None
        try:
            return process.wait(seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()

    def stop(self) -> int:
        self.signal_end()
        return self.wait()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.wait()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-8000:] if self.log.exists() else ""


class Done:
    """What a command left behind."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def run(*arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None) -> Done:
    return Done(
        subprocess.run(
            [binary(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd,
            timeout=COMMAND_SECONDS_MAX, env=clean_environment(**(environment or {})),
        )
    )
