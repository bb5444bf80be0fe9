"""Server, stand-ins and worker for the tests: one of each, ended by pid when the tests are over."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from async_tests import *  # noqa: E402, F403, the path has to be known first
from processes import Child, PythonWorker, Server, Service, TypeScriptWorker, free_ports  # noqa: E402


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("invoice")


@pytest.fixture(scope="session")
def server(directory: Path) -> Iterator[Server]:
    server = Server(directory, free_ports(2))
    yield server
    assert server.stop() == 0, server.tail()


@pytest.fixture(scope="session")
def office(directory: Path) -> Iterator[Service]:
    service = Service("fake-office", directory, "invoice/fake_office.py")
    yield service
    service.kill()


@pytest.fixture(scope="session", params=["python", "typescript"])
def language(request: pytest.FixtureRequest) -> str:
    """Of the worker: no test can tell which it is."""
    return request.param


@pytest.fixture(scope="session")
def worker(language: str, directory: Path, server: Server, office: Service) -> Iterator[Child]:
    make = {"python": PythonWorker, "typescript": TypeScriptWorker}[language]
    process = make("invoice", directory, server.address, OFFICE_BASE=office.base)
    yield process
    assert process.stop() == 0, process.tail()


@pytest.fixture(scope="session")
def client(loop: asyncio.AbstractEventLoop, server: Server, worker: Child) -> Client:
    return loop.run_until_complete(Client.connect(server.address))
