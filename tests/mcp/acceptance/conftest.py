"""Servers with the samples' tools, the samples' workers and stand-ins: each process is ended by its own pid."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
sys.path.insert(0, str(SAMPLES / "support"))

from async_tests import *  # noqa: E402, F403, the path has to be known first
from rig import Rig  # noqa: E402


@pytest.fixture
def stage(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Rig]:
    """A test's own processes, for those that kill."""
    stage = Rig(tmp_path)
    yield stage
    stage.close()


def shared(sample: str) -> Any:
    @pytest.fixture(scope="module")
    def fixture(tmp_path_factory: pytest.TempPathFactory, loop: asyncio.AbstractEventLoop) -> Iterator[Rig]:
        stage = Rig(tmp_path_factory.mktemp(sample))
        stage.start_all(sample)
        yield stage
        stage.close()

    return fixture


weather, invoice, chat = shared("weather"), shared("invoice"), shared("chat")
