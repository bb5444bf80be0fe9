"""One server and one worker for the commands; servers of their own for tests that end them."""

from __future__ import annotations

import asyncio
import threading
import uuid
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from processes import Server, run
from workflows import ACTIVITIES, WORKFLOWS


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """It must survive every test of the session."""
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    assert started.process.poll() is None, started.tail()
    assert started.stop() == 0, started.tail()


@pytest.fixture
def start_server(tmp_path):
    started: list[Server] = []

    def start(*arguments: str, store: str | None = None, directory: Path | None = None) -> Server:
        started.append(Server(directory or tmp_path, *arguments, store=store))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def perdure(server):
    """Runs a client command against the session's server."""
    return lambda *arguments, **more: run(*arguments, environment={"TEMPORAL_ADDRESS": server.grpc}, **more)


@pytest.fixture
def name():
    """A workflow id nobody else uses; not everything in it is ASCII, and one is a space."""
    return f"größe {uuid.uuid4()}"


@pytest.fixture(scope="session")
def worker_queue(server):
    """The task queue of a worker that lives as long as the session, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> Worker:
        client = await Client.connect(server.grpc)
        worker = Worker(
            client, task_queue="cli", workflows=WORKFLOWS, activities=ACTIVITIES,
            workflow_runner=UnsandboxedWorkflowRunner(), max_cached_workflows=100,
        )
        await worker.__aenter__()
        return worker

    worker = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    yield "cli"
    asyncio.run_coroutine_threadsafe(worker.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
