"""Server, fake service and worker for the tests: one of each, ended by pid when the tests are over."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import FakeNws, Server, Worker, free_ports


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weather")


@pytest.fixture(scope="session")
def address(directory: Path) -> Iterator[str]:
    if given := os.environ.get("PERDURE_ADDRESS"):
        yield given
        return
    server = Server(directory, free_ports(2))
    yield server.address
    assert server.stop() == 0, server.tail()


@pytest.fixture(scope="session")
def nws(directory: Path) -> Iterator[FakeNws]:
    service = FakeNws(directory)
    yield service
    service.kill()


@pytest.fixture(scope="session")
def worker(directory: Path, address: str, nws: FakeNws) -> Iterator[Worker]:
    process = Worker(directory, address, nws.base)
    yield process
    assert process.stop() == 0, process.tail()
