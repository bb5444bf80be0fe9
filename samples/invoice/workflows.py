"""An invoice from its arrival to its payment: checked, approved by a person, and each line paid at its due date.

Nothing here knows of MCP but two memo fields, which any client may read: `mcp.input` is the question that waits for a person,
`mcp.progress` says how far it is. The answer comes as the signal `mcp.input`, or as ApproveInvoice or RejectInvoice.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities import charge, validate_against_erp

TASK_QUEUE = "invoice-task-queue"
APPROVAL_SECONDS = 5 * 24 * 3600
LINES_MAX = 100
QUESTION = "approval"


@workflow.defn(name="InvoiceWorkflow")
class InvoiceWorkflow:
    def __init__(self) -> None:
        self.status = "INITIALIZING"
        self.approved: bool | None = None  # None: nobody has decided
        self.reason = ""

    @workflow.run
    async def run(self, invoice: dict[str, Any]) -> dict[str, Any]:
        lines = invoice["lines"]
        if not 0 < len(lines) <= LINES_MAX:
            raise ApplicationError(f"an invoice has 1 to {LINES_MAX} lines", type="BadInvoice", non_retryable=True)
        self.enter("PENDING-VALIDATION", 0, lines)
        await workflow.execute_activity(
            validate_against_erp,
            invoice,
            schedule_to_close_timeout=timedelta(seconds=30),
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=5),
        )
        await self.decision(invoice)
        if not self.approved:
            self.enter("REJECTED", 0, lines)
            return self.result(invoice, [{**line, "status": "NOT-PAID"} for line in lines])
        self.enter("PAYING", 0, lines)
        paid = await asyncio.gather(*(self.pay(number, line, lines) for number, line in enumerate(lines, start=1)))
        failed = [line for line in paid if line["status"] == "FAILED"]
        self.enter("FAILED" if failed else "PAID", len(paid) - len(failed), lines)
        result = self.result(invoice, list(paid))
        if failed:
            # A failure is a failure: a workflow that returned here would be COMPLETED, and read as paid.
            words = "; ".join(f"{line['description']}: {line['reason']}" for line in failed)
            raise ApplicationError(
                f"{len(failed)} of {len(paid)} payments failed: {words}",
                result,
                type="InvoiceFailed",
                non_retryable=True,
            )
        return result

    @workflow.signal(name="ApproveInvoice")
    def approve(self) -> None:
        self.decide(True)

    @workflow.signal(name="RejectInvoice")
    def reject(self) -> None:
        self.decide(False)

    @workflow.signal(name="mcp.input")
    def answer(self, key: str, response: dict[str, Any]) -> None:
        if key == QUESTION:
            accepted = response.get("action") == "accept"
            self.decide(accepted and (response.get("content") or {}).get("approve") is True)

    @workflow.query(name="GetInvoiceStatus")
    def get_status(self) -> str:
        return self.status

    def decide(self, approved: bool) -> None:
        # The first decision stands, and none is taken before it is asked for.
        if self.status == "PENDING-APPROVAL" and self.approved is None:
            self.approved = approved

    async def decision(self, invoice: dict[str, Any]) -> None:
        seconds = invoice.get("approve_within_s", APPROVAL_SECONDS)
        total = sum(line["amount"] for line in invoice["lines"])
        self.enter("PENDING-APPROVAL", 0, invoice["lines"])
        question = {
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": f"Approve invoice {invoice['invoice_id']} of {invoice['customer']} for {total:.2f}?",
                "requestedSchema": {
                    "type": "object",
                    "properties": {"approve": {"type": "boolean", "title": "Approve"}},
                    "required": ["approve"],
                },
            },
        }
        workflow.upsert_memo({"mcp.input": {QUESTION: question}})
        try:
            await workflow.wait_condition(lambda: self.approved is not None, timeout=timedelta(seconds=seconds))
        except TimeoutError:
            self.status = "FAILED"
            raise ApplicationError(
                f"nobody approved or rejected it within {seconds} s", type="ApprovalTimeout", non_retryable=True
            ) from None
        finally:
            workflow.upsert_memo({"mcp.input": None})

    async def pay(self, number: int, line: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            confirmation = await workflow.execute_child_workflow(
                PayLineItem.run, line, id=f"{workflow.info().workflow_id}-line-{number}"
            )
        except ChildWorkflowError as error:
            cause = error.cause.cause if isinstance(error.cause, ActivityError) else error.cause
            return {**line, "status": "FAILED", "reason": str(getattr(cause, "message", cause))}
        return {**line, "status": "PAID", "confirmation": confirmation}

    def enter(self, status: str, done: int, lines: list[dict[str, Any]]) -> None:
        self.status = status
        message = status
        if status == "PAYING":
            due = min(line["due_date"] for line in lines)
            message = f"PAYING, waiting until each line is due, the first at {due}"
        workflow.upsert_memo({"mcp.progress": {"progress": done, "total": len(lines), "message": message}})

    def result(self, invoice: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
        return {"invoice_id": invoice["invoice_id"], "status": self.status, "lines": lines}


@workflow.defn(name="PayLineItem")
class PayLineItem:
    """One line: sleeps until it is due, however long that is, then pays once."""

    @workflow.run
    async def run(self, line: dict[str, Any]) -> str:
        due = datetime.fromisoformat(line["due_date"].replace("Z", "+00:00"))
        wait = (due - workflow.now()).total_seconds()
        if wait > 0:
            await workflow.sleep(wait)
        return await workflow.execute_activity(
            charge,
            line,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
