"""Starts, stops and kills the server under test. Every process started here is ended here, by its pid."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0


def repository_root() -> Path:
    return Path(__file__).resolve().parents[4]


def server_binary() -> Path:
    named = os.environ.get("PERDURE_BINARY")
    return Path(named) if named else repository_root() / "build" / "dev" / "perdure"


def external_address() -> str | None:
    """A server that somebody else runs; the suite then starts none."""
    return os.environ.get("PERDURE_ADDRESS") or None


def is_reference() -> bool:
    """Whether that other server is the reference: what is marked `ours` does not hold there."""
    return os.environ.get("PERDURE_ADDRESS_IS_REFERENCE", "") not in ("", "0")


_claims: list[socket.socket] = []


def free_port() -> int:
    """Below the ports of outgoing connections: one of those would take it while a killed server is away.

    Dozens of servers start at once here and in suites beside this one, so a port is claimed as well, for as long as
    this process lives: a name without a file, which only one socket can have.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe:
            try:
                claim.bind(f"\0perdure-test-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue  # somebody has it
        _claims.append(claim)
        return port


def _drain(stream) -> None:
    with stream:
        while stream.read(65536):
            pass


class Server:
    """One server process on its own store. The ports stay the same over restarts, so clients find it again."""

    def __init__(self, extra_arguments: tuple[str, ...] = ()) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="perdure-test-")
        self.address = f"127.0.0.1:{free_port()}"
        self.http_address = f"127.0.0.1:{free_port()}"
        self.store = Path(self.directory.name) / "perdure.db"
        self.log_path = Path(self.directory.name) / "server.log"
        self.extra_arguments = extra_arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        assert self.process is None
        command = [
            str(server_binary()),
            "server",
            "--grpc",
            self.address,
            "--http",
            self.http_address,
            "--store",
            f"sqlite:{self.store}",
            *self.extra_arguments,
        ]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        self._wait_until_ready(time.monotonic() + READY_SECONDS_MAX)

    def verify(self) -> subprocess.CompletedProcess[str]:
        """What `perdure store verify` says."""
        command = [str(server_binary()), "store", "verify", str(self.store)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def _wait_until_ready(self, deadline: float) -> None:
        assert self.process is not None and self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        seen = b""
        while b"ready" not in seen or not seen.endswith(b"\n"):
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(descriptor, 65536) if readable else b""
            if not piece:
                self.kill()
                raise RuntimeError(f"the server did not get ready; it printed {seen!r}\n{self.log_tail()}")
            seen += piece
        # Whatever it prints later must not fill the pipe and block it.
        threading.Thread(target=_drain, args=(self.process.stdout,), daemon=True).start()

    def stop(self) -> None:
        """A clean stop: SIGTERM drains and exits 0. Anything else fails the run."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(
                f"the server ignored SIGTERM for {STOP_SECONDS_MAX} s\n{self.log_tail()}"
            ) from None
        if code != 0:
            raise RuntimeError(f"the server exited with {code} after SIGTERM\n{self.log_tail()}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would: no drain, no flush."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()

    def log_tail(self, bytes_max: int = 8000) -> str:
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[-bytes_max:].decode(errors="replace")

    def resident_bytes(self) -> int:
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self.directory.cleanup()
