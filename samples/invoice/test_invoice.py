"""The invoice sample by the official client alone: what its workflows do, before any gateway speaks for them."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from processes import PythonWorker, Server, Service
from workflows import TASK_QUEUE, InvoiceWorkflow

SECONDS_MAX = 60
DEMO_SECONDS_MAX = 120


def line(description: str, amount: float = 10.0, due_in: float = -1) -> dict[str, Any]:
    due = datetime.now(timezone.utc) + timedelta(seconds=due_in)
    return {"description": description, "amount": amount, "due_date": due.isoformat()}


async def start(client: Client, language: str, number: str, *lines: dict[str, Any], **more: Any) -> WorkflowHandle[Any, Any]:
    number += f"-{language}"
    invoice = {"invoice_id": number, "customer": "Miller", "lines": list(lines), **more}
    return await client.start_workflow(
        InvoiceWorkflow.run, invoice, id=f"invoice-{number}", task_queue=TASK_QUEUE
    )


async def question(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """What the memo asks; waits for it by the history, event by event."""
    async for event in handle.fetch_history_events(wait_new_event=True):
        changed = event.workflow_properties_modified_event_attributes.upserted_memo.fields
        if changed["mcp.input"].data not in (b"", b"null"):
            return (await handle.describe()).raw_description.workflow_execution_info.memo.fields["mcp.input"]
    raise AssertionError("the workflow closed without a question")


def payments(office: Service, number: str) -> list[str]:
    with urllib.request.urlopen(f"{office.base}/ledger", timeout=10) as response:
        ledger = json.load(response)
    return [key for key in ledger["paid"] if key.startswith(f"invoice-{number}-")]


async def result(handle: WorkflowHandle[Any, Any]) -> Any:
    return await asyncio.wait_for(handle.result(), SECONDS_MAX)


async def test_an_approved_invoice_is_paid_line_by_line(client: Client, language: str, office: Service) -> None:
    handle = await start(client, language, "A1", line("desk"), line("chair", 20.5))
    asked = await question(handle)
    assert f"Approve invoice A1-{language} of Miller for 30.50?".encode() in asked.data
    await handle.signal("mcp.input", args=["approval", {"action": "accept", "content": {"approve": True}}])
    done = await result(handle)
    assert done["status"] == "PAID" and [each["status"] for each in done["lines"]] == ["PAID", "PAID"]
    assert len(payments(office, f"A1-{language}")) == 2
    memo = (await handle.describe()).raw_description.workflow_execution_info.memo.fields
    assert "mcp.input" not in memo or memo["mcp.input"].data == b"null"


async def test_the_first_decision_stands(client: Client, language: str, office: Service) -> None:
    handle = await start(client, language, "A2", line("desk"))
    await question(handle)
    await handle.signal("RejectInvoice")
    await handle.signal("ApproveInvoice")
    done = await result(handle)
    assert done["status"] == "REJECTED" and payments(office, f"A2-{language}") == []


async def test_failed_payments_fail_the_invoice_with_each_reason(client: Client, language: str, office: Service) -> None:
    handle = await start(client, language, "A3", line("broke one"), line("good"), line("broke two", 7))
    await question(handle)
    await handle.signal("ApproveInvoice")
    with pytest.raises(WorkflowFailureError) as caught:
        await result(handle)
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError) and cause.type == "InvoiceFailed"
    assert "2 of 3 payments failed" in cause.message and "broke two: INSUFFICIENT_FUNDS for 7" in cause.message
    assert [each["status"] for each in cause.details[0]["lines"]] == ["FAILED", "PAID", "FAILED"]
    assert len(payments(office, f"A3-{language}")) == 1


async def test_a_line_is_not_paid_before_it_is_due(client: Client, language: str, office: Service) -> None:
    later = line("later", due_in=3)
    handle = await start(client, language, "A4", later, line("now"))
    await question(handle)
    await handle.signal("ApproveInvoice")
    await result(handle)
    child = client.get_workflow_handle(f"invoice-A4-{language}-line-1")
    events = [event async for event in child.fetch_history_events()]
    scheduled = [e for e in events if e.HasField("activity_task_scheduled_event_attributes")]
    assert len(scheduled) == 1
    assert scheduled[0].event_time.ToDatetime(timezone.utc) >= datetime.fromisoformat(later["due_date"])


async def test_an_invoice_that_nobody_decides_fails_and_says_so(client: Client, language: str) -> None:
    handle = await start(client, language, "A5", line("desk"), approve_within_s=0.5)
    with pytest.raises(WorkflowFailureError) as caught:
        await result(handle)
    assert isinstance(caught.value.cause, ApplicationError) and caught.value.cause.type == "ApprovalTimeout"


async def test_a_payment_whose_answer_was_lost_is_made_once(client: Client, language: str, office: Service) -> None:
    office.control("set", path="/payments", garble=1)
    handle = await start(client, language, "A6", line("desk"))
    await question(handle)
    await handle.signal("ApproveInvoice")
    assert (await result(handle))["status"] == "PAID"
    assert len(payments(office, f"A6-{language}")) == 1


def test_the_demo_holds_what_it_claims() -> None:
    """It has a server and a worker of its own, which it kills."""
    demo = Path(__file__).parent / "demo.py"
    done = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, timeout=DEMO_SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all processes have ended" in done.stdout
