"""Server, fake service and worker for the tests: one of each, ended by pid when the tests are over."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from processes import PythonWorker, Server, Service, free_ports  # noqa: E402, the path has to be known first


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
def nws(directory: Path) -> Iterator[Service]:
    service = Service("fake-nws", directory, "weather/fake_nws.py")
    yield service
    service.kill()


@pytest.fixture(scope="session")
def worker(directory: Path, address: str, nws: Service) -> Iterator[PythonWorker]:
    process = PythonWorker("weather", directory, address, NWS_BASE=nws.base)
    yield process
    assert process.stop() == 0, process.tail()
