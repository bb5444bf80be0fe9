"""Runs the sample's workflows and activity until SIGTERM or SIGINT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from activities import make_nws_request  # noqa: E402
from workers import run_worker  # noqa: E402, the path has to be known first
from workflows import TASK_QUEUE, GetAlerts, GetForecast  # noqa: E402

if __name__ == "__main__":
    run_worker("weather", TASK_QUEUE, [GetAlerts, GetForecast], [make_nws_request])
