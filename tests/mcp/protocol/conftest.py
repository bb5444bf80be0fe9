from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gateway import Server, worker  # noqa: E402

CONFIG = Path(__file__).parent / "mcp.json"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """With its gateway, without a worker."""
    running = Server(tmp_path, "--mcp-config", str(CONFIG))
    yield running
    if running.process is not None:
        running.stop()


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with a worker, for the tests that leave both as they are."""
    running = Server(tmp_path_factory.mktemp("worked"), "--mcp-config", str(CONFIG))
    with worker(running):
        yield running
    running.stop()
