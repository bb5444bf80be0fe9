"""Runs the sample's workflows and activities until SIGTERM or SIGINT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from activities import charge, validate_against_erp  # noqa: E402
from workers import run_worker  # noqa: E402, the path has to be known first
from workflows import TASK_QUEUE, InvoiceWorkflow, PayLineItem  # noqa: E402

if __name__ == "__main__":
    run_worker("invoice", TASK_QUEUE, [InvoiceWorkflow, PayLineItem], [validate_against_erp, charge])
