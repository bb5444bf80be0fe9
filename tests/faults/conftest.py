"""Servers that something is done to: by strace, by a disk that is full, by signals. Each test starts its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from processes import Server, binary, clean_environment

# What is stored must be whole whatever was done; and a server under strace cannot look for leaks at its end.
UNDER_STRACE = {"ASAN_OPTIONS": "detect_leaks=0"}


def verify(store: Path, before: tuple[str, ...] = ()) -> None:
    command = [*before, binary(), "store", "verify", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment())
    assert done.returncode == 0, done


@pytest.fixture
def start_server(tmp_path):
    started: list[Server] = []

    def start(*arguments: str, before: tuple[str, ...] = (), store: str | None = None, environment=None) -> Server:
        started.append(Server(tmp_path, *arguments, before=before, store=store, environment=environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MiB in a mount namespace: what to put before a command, and where it is seen from outside."""
    disk = tmp_path / "disk"
    disk.mkdir()
    root = os.geteuid() == 0
    script = f'mount -t tmpfs -o size=48m none "{disk}" && echo ready && exec cat'
    holder = subprocess.Popen(
        ["unshare", *([] if root else ["--map-root-user"]), "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert holder.stdout.readline() == "ready\n"
    user = [] if root else ["--user", "--preserve-credentials"]
    yield ("nsenter", "--target", str(holder.pid), *user, "--mount"), disk, Path(f"/proc/{holder.pid}/root{disk}")
    holder.stdin.close()
    holder.wait(10)
    holder.stdout.close()
