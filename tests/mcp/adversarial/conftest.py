from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gateway import Server, worker  # noqa: E402

# The quarantine of a sanitizer's build would look like memory that peers hold.
SMALL = {"ASAN_OPTIONS": "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}
TOOLS = Path(__file__).resolve().parents[1] / "protocol" / "mcp.json"


def bearer(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def with_options(directory: Path, **options: Any) -> Path:
    """The tools of the protocol's suite under other options."""
    config = directory / "mcp.json"
    text = json.dumps(options)[1:-1]
    config.write_text(TOOLS.read_text().replace('"toolsets"', f'{text}, "toolsets"', 1))
    return config


def with_tokens(directory: Path, *names: str, **options: Any) -> Path:
    lines = [f"{name} {hashlib.sha256(bearer(name).encode()).hexdigest()} *" for name in names]
    (directory / "tokens").write_text("\n".join(lines) + "\n")
    return with_options(directory, auth={"mode": "tokens", "tokens_file": str(directory / "tokens")}, **options)


@pytest.fixture(scope="module")
def two_callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a worker, for ada and bob."""
    directory = tmp_path_factory.mktemp("two")
    running = Server(directory, "--mcp-config", str(with_tokens(directory, "ada", "bob")))
    with worker(running):
        yield running
    running.stop()


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a worker and without tokens."""
    running = Server(tmp_path_factory.mktemp("open"), "--mcp-config", str(TOOLS), environment=SMALL)
    with worker(running):
        yield running
    running.stop()
