"""The three programs of the README, run as a new user would run them, against one server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from processes import Server, free_ports  # noqa: E402, the path has to be known first

BUILD_SECONDS_MAX = 300  # the Go one compiles its SDK on a first run


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("PERDURE_ADDRESS"):
        yield given
        return
    server = Server(tmp_path_factory.mktemp("hello"), free_ports(2))
    yield server.address
    assert server.stop() == 0, server.tail()


def run(directory: str, command: list[str], address: str = "") -> str:
    environment = {**os.environ, "TEMPORAL_ADDRESS": address}
    done = subprocess.run(
        command,
        cwd=HERE / directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def npm_packages() -> None:
    if not (HERE / "typescript" / "node_modules").exists():
        run("typescript", ["npm", "ci"])


def test_python(address: str) -> None:
    assert run("python", [sys.executable, "hello.py"], address) == "Hello, Python!\n"


def test_go(address: str) -> None:
    assert "Hello, Go!" in run("go", ["go", "run", "."], address).splitlines()


def test_typescript(address: str, npm_packages: None) -> None:
    assert "Hello, TypeScript!" in run("typescript", ["npm", "start"], address).splitlines()


def test_each_can_be_run_again(address: str) -> None:
    # The same workflow id, closed by the first run: a new user repeats the command and it works.
    assert run("python", [sys.executable, "hello.py"], address) == "Hello, Python!\n"
