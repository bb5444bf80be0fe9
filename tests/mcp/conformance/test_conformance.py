"""The official conformance suite by URL, nothing expected to fail; all scenarios of the tasks extension included.

Needs `npm ci` in this directory (./dev test does it): the suite runs under the Node 22 that comes with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from gateway import Server, worker  # noqa: E402

NODE = HERE / "node_modules" / "node" / "bin" / "node"
SUITE = HERE / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("conformance"), "--mcp-config", str(HERE / "mcp.json"))
    with worker(running):
        yield running
    running.stop()


# How many checks each revision has today: fewer would mean that scenarios were left out in silence.
@pytest.mark.parametrize(("revision", "checks"), [("2026-07-28", 191), ("2025-11-25", 80)])
def test_a_revision_passes_whole(server: Server, tmp_path: Path, revision: str, checks: int) -> None:
    url = f"http://{server.http}/mcp/conformance"
    done = subprocess.run(
        [NODE, SUITE, "server", "--url", url, "--requirements", revision, "-o", str(tmp_path)],
        capture_output=True, text=True, timeout=180, cwd=tmp_path,
    )  # fmt: skip
    summary = done.stdout[done.stdout.find("=== SUMMARY ===") :]
    assert done.returncode == 0, summary
    total = re.search(r"Total: (\d+) passed, (\d+) failed", summary)
    assert total is not None, done.stdout[-4000:]
    # Scenarios that are run but not scored (tasks, pending ones) count here as all others do.
    assert total.group(2) == "0", summary
    assert int(total.group(1)) >= checks, summary
