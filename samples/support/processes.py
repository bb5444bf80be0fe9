"""The processes of demos and tests: server, stand-ins for services, workers. Each is ended by its own pid."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

SAMPLES = Path(__file__).resolve().parent.parent
REPOSITORY = SAMPLES.parent
READY_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
LOG_TAIL_LINES = 20


def server_binary() -> Path:
    """$PERDURE_BINARY, else the release build, else the dev build."""
    if named := os.environ.get("PERDURE_BINARY"):
        return Path(named)
    candidates = [REPOSITORY / "build" / preset / "perdure" for preset in ("release", "dev")]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise SystemExit(
        "no server binary: build it, or name it in PERDURE_BINARY; looked at "
        + ", ".join(map(str, candidates))
    )


def free_ports(count: int) -> list[int]:
    # All are held at once, so that they differ; a restarted server needs the same port again, so 0 would not do.
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Child:
    """A process that says a line with "ready" on stdout when it can be used."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        environment: dict[str, str] | None = None,
        cwd: Path = SAMPLES,
    ) -> None:
        self.name = name
        self.log = log
        self.ready_line = ""
        self._ready = threading.Event()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(environment or {})},
            )
        threading.Thread(target=self._drain, daemon=True).start()
        try:
            self._ready.wait(READY_SECONDS_MAX)
        except BaseException:  # we are told to end: nobody else knows this process yet
            self.kill()
            raise
        if not self.ready_line:
            self.kill()
            raise RuntimeError(f"{name} did not get ready: {' '.join(command)}\n{self.tail()}")

    def _drain(self) -> None:
        # Reads to the end, so that a talkative child never blocks on a full pipe.
        assert self._process.stdout is not None
        with self.log.open("ab") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                if b"ready" in line and not self.ready_line:
                    self.ready_line = line.decode("utf-8", "replace").strip()
                    self._ready.set()
        self._ready.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to save or say anything."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status; a process that does not end by itself is killed, and that is an error."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(
                f"{self.name} did not end within {STOP_SECONDS_MAX} s of SIGTERM\n{self.tail()}"
            ) from None

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {self.name}| {line}" for line in lines[-LOG_TAIL_LINES:])


class Server(Child):
    """gRPC on ports[0], HTTP on ports[1]; `arguments`: further flags of `perdure server`."""

    def __init__(self, directory: Path, ports: list[int], *arguments: str) -> None:
        self.address = f"127.0.0.1:{ports[0]}"
        self.http = f"http://127.0.0.1:{ports[1]}"
        command = [str(server_binary()), "server", "--grpc", self.address, "--http", f"127.0.0.1:{ports[1]}"]
        command += ["--store", f"sqlite:{directory / 'perdure.db'}", *arguments]
        super().__init__("server", command, directory / "server.log")


class Service(Child):
    """A stand-in (see scripted_service.py), which is `script`, below samples/."""

    def __init__(self, name: str, directory: Path, script: str) -> None:
        super().__init__(name, [sys.executable, script, "--port", "0"], directory / f"{name}.log")
        self.base = self.ready_line.split()[-1]

    def control(self, action: str, **query: object) -> Any:
        target = f"{self.base}/_{action}" + (f"?{urlencode(query)}" if query else "")
        with urllib.request.urlopen(target, timeout=90) as response:
            return json.load(response)

    def hits(self, prefix: str) -> int:
        return sum(count for path, count in self.control("hits").items() if path.startswith(prefix))


class PythonWorker(Child):
    """samples/{sample}/worker.py; `variables`: of its environment, besides the server's address."""

    def __init__(self, sample: str, directory: Path, address: str, **variables: str) -> None:
        environment = {"TEMPORAL_ADDRESS": address, "PYTHONUNBUFFERED": "1", **variables}
        super().__init__(
            "worker", [sys.executable, f"{sample}/worker.py"], directory / "worker.log", environment
        )


class TypeScriptWorker(Child):
    """samples/{sample}/typescript/worker.ts; its packages are installed when they are not there."""

    def __init__(self, sample: str, directory: Path, address: str, **variables: str) -> None:
        home = SAMPLES / sample / "typescript"
        if not (home / "node_modules").exists():
            subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=home, check=True)
        environment = {"TEMPORAL_ADDRESS": address, **variables}
        command = ["node", "--import", "tsx", "worker.ts"]
        super().__init__("worker", command, directory / "worker.log", environment, cwd=home)
