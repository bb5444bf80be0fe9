"""Runs the sample's workflow and activities until SIGTERM or SIGINT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from activities import ask_model, call_tool  # noqa: E402
from workers import run_worker  # noqa: E402, the path has to be known first
from workflows import TASK_QUEUE, ChatWorkflow  # noqa: E402

if __name__ == "__main__":
    run_worker("chat", TASK_QUEUE, [ChatWorkflow], [ask_model, call_tool])
