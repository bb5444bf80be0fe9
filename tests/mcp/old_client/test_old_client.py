"""The official Python client of 2025, which knows 2025-03-26 at most, in its own environment (./dev test makes it)."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2] / "samples" / "support"), str(HERE.parent / "acceptance")]
from rig import Rig  # noqa: E402

PYTHON = HERE.parents[2] / "build" / "venv-mcp-1.9" / "bin" / "python"


def test_a_client_of_2025_lists_calls_and_is_told_what_is_wrong(tmp_path: Path) -> None:
    stage = Rig(tmp_path)
    try:
        stage.start_all("weather")
        stage.children["weather"].control("set", path="/alerts/active/area/TX", fail="500:1")
        done = subprocess.run(
            [PYTHON, HERE / "client.py", stage.url], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["version"] == "2025-03-26"
        assert said["tools"][:2] == ["get_alerts", "get_forecast"]
        assert not said["answer"]["error"] and "Event: Flood Watch" in said["answer"]["text"]
        assert not said["again"]["error"] and stage.children["weather"].hits("/alerts/active/area/TX") == 2
        assert said["wrong"]["error"] and "/state" in said["wrong"]["text"]
        assert asyncio.run(stage.runs("alerts-ca")) == 1
    finally:
        stage.close()
