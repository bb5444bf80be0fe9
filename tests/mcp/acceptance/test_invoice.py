"""Invoices through MCP: approved by a person, paid once, and honest about what went wrong."""

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import mcp_types as types
import pytest
from rig import TASKS, RpcError, Rig, Tasks, text_of

CAPABLE = {"extensions": {TASKS: {}}, "elicitation": {"form": {}}}
YES = {"action": "accept", "content": {"approve": True}}
NO = {"action": "decline"}


def line(description: str, amount: float = 10.0, due_in: float = -1) -> dict[str, Any]:
    due = datetime.now(timezone.utc) + timedelta(seconds=due_in)
    return {"description": description, "amount": amount, "due_date": due.isoformat()}


def an_invoice(number: str, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"invoice_id": number, "customer": "Miller", "lines": list(lines) or [line("desk")], **more}


def paid(stage: Rig, number: str) -> list[str]:
    return [key for key in stage.json("invoice", "/ledger")["paid"] if f"-{number}-" in key]


async def workflow_id(stage: Rig, number: str) -> str:
    client = await stage.workflows()
    ids = {run.id async for run in client.list_workflows("WorkflowType = 'InvoiceWorkflow'")}
    return next(each for each in ids if each.endswith(f"-{number}"))


async def begin(stage: Rig, arguments: dict[str, Any]) -> str:
    """Its task's id."""
    params = {"name": "process_invoice", "arguments": arguments}
    task = await asyncio.to_thread(stage.rpc, "tools/call", params, capabilities=CAPABLE)
    assert task["resultType"] == "task"
    return task["taskId"]


async def look(stage: Rig, task: str, *until: str) -> dict[str, Any]:
    """The task, once it is in one of these states."""
    while True:
        now = await asyncio.to_thread(stage.rpc, "tasks/get", {"taskId": task}, capabilities=CAPABLE)
        if now["status"] in until:
            return now
        await asyncio.sleep(0.02)


async def answer(stage: Rig, task: str, responses: dict[str, Any]) -> None:
    params = {"taskId": task, "inputResponses": responses}
    await asyncio.to_thread(stage.rpc, "tasks/update", params, capabilities=CAPABLE)


async def call(stage: Rig, name: str, **arguments: Any) -> dict[str, Any]:
    return await asyncio.to_thread(stage.rpc, "tools/call", {"name": name, "arguments": arguments})


async def test_a_client_with_tasks_answers_and_has_it_paid(invoice: Rig) -> None:
    tasks = Tasks(answer=YES)

    async def never(*_: Any) -> types.ElicitResult:
        raise AssertionError("the question comes with the task")

    arguments = an_invoice("I1", line("desk"), line("chair"))
    async with invoice.client(extensions=[tasks], elicitation_callback=never) as client:
        result = await client.call_tool("process_invoice", arguments)
    assert not result.is_error and result.structured_content is not None
    assert result.structured_content["status"] == "PAID"
    assert "input_required" in [each["status"] for each in tasks.seen] and tasks.seen[-1]["status"] == "completed"
    asked = next(each for each in tasks.seen if each["status"] == "input_required")["inputRequests"]
    assert len(asked) == 1 and "Approve invoice I1" in json.dumps(asked)
    assert len(paid(invoice, "I1")) == 2


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_without_tasks_is_asked_by_elicitation(invoice: Rig, mode: str) -> None:
    asked: list[str] = []

    async def ask(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"approve": True})

    async with invoice.client(mode=mode, elicitation_callback=ask) as client:
        result = await client.call_tool("process_invoice", an_invoice(f"I1{mode}"))
    assert "PAID" in text_of(result) and len(asked) == 1 and len(paid(invoice, f"I1{mode}")) == 1


async def test_who_declines_rejects_and_nothing_is_paid(invoice: Rig) -> None:
    tasks = Tasks(answer=NO)
    async with invoice.client(extensions=[tasks]) as client:
        result = await client.call_tool("process_invoice", an_invoice("I2"))
    assert result.structured_content is not None and result.structured_content["status"] == "REJECTED"
    assert paid(invoice, "I2") == []
    kinds = await invoice.kinds(await workflow_id(invoice, "I2"))
    assert kinds.count("WORKFLOW_EXECUTION_SIGNALED") == 1


async def test_a_second_and_an_unknown_answer_change_nothing(invoice: Rig) -> None:
    task = await begin(invoice, an_invoice("I3"))
    key = next(iter((await look(invoice, task, "input_required"))["inputRequests"]))
    await answer(invoice, task, {"what": YES})
    await answer(invoice, task, {key: NO})
    await answer(invoice, task, {key: YES})
    done = await look(invoice, task, "completed")
    await answer(invoice, task, {key: YES})
    assert "REJECTED" in json.dumps(done["result"]) and paid(invoice, "I3") == []
    kinds = await invoice.kinds(await workflow_id(invoice, "I3"))
    assert kinds.count("WORKFLOW_EXECUTION_SIGNALED") == 1


async def test_failed_payments_are_a_failure_with_each_reason(invoice: Rig) -> None:
    tasks = Tasks(answer=YES)
    async with invoice.client(extensions=[tasks]) as client:
        result = await client.call_tool("process_invoice", an_invoice("I4", line("broke a"), line("broke b", 7)))
    assert result.is_error and "2 of 2 payments failed" in text_of(result)
    assert "INSUFFICIENT_FUNDS for 10" in text_of(result) and "INSUFFICIENT_FUNDS for 7" in text_of(result)
    assert tasks.seen[-1]["status"] == "completed" and paid(invoice, "I4") == []


async def test_approval_by_tool_is_for_who_waits_for_one(invoice: Rig) -> None:
    invoice.children["invoice"].control("set", path="/erp", gate="i5")
    task = await begin(invoice, an_invoice("I5"))
    await asyncio.to_thread(invoice.children["invoice"].control, "wait", gate="i5")
    early = await call(invoice, "approve_invoice", invoice_id="I5")
    assert early["isError"] and "PENDING-VALIDATION" in json.dumps(early)
    await asyncio.to_thread(invoice.children["invoice"].control, "release/i5")
    await look(invoice, task, "input_required")
    assert not (await call(invoice, "approve_invoice", invoice_id="I5")).get("isError")
    assert "PAID" in json.dumps((await look(invoice, task, "completed"))["result"])
    late = await call(invoice, "approve_invoice", invoice_id="I5")
    assert late["isError"] and "PAID" in json.dumps(late)
    nobody = await call(invoice, "approve_invoice", invoice_id="I5-none")
    assert nobody["isError"]


async def test_the_same_invoice_again_is_the_same_run_and_a_changed_one_is_refused(invoice: Rig) -> None:
    arguments = an_invoice("I6")
    first, second = await begin(invoice, arguments), await begin(invoice, arguments)
    changed = {**arguments, "customer": "Smith"}
    refused = await call(invoice, "process_invoice", **changed)
    assert refused["isError"] and "different arguments" in json.dumps(refused)
    key = next(iter((await look(invoice, second, "input_required"))["inputRequests"]))
    await answer(invoice, second, {key: YES})
    await look(invoice, first, "completed")
    again = await call(invoice, "process_invoice", **arguments)
    assert "PAID" in json.dumps(again) and not again.get("isError")
    assert await invoice.runs(await workflow_id(invoice, "I6")) == 1 and len(paid(invoice, "I6")) == 1


async def test_the_status_needs_no_worker(stage: Rig) -> None:
    stage.start_all("invoice")
    task = await begin(stage, an_invoice("I7"))
    await look(stage, task, "input_required")
    assert "PENDING-APPROVAL" in json.dumps(await call(stage, "invoice_status", invoice_id="I7"))
    stage.kill("worker")
    now = await look(stage, task, "input_required")
    assert "Approve invoice I7" in json.dumps(now["inputRequests"])
    begun = asyncio.get_running_loop().time()
    without = await call(stage, "invoice_status", invoice_id="I7")
    assert asyncio.get_running_loop().time() - begun < 2  # 900 ms of it the query's own timeout
    begun = asyncio.get_running_loop().time()
    assert "No worker answered" in json.dumps(await call(stage, "invoice_status", invoice_id="I7"))
    assert asyncio.get_running_loop().time() - begun < 0.5  # it is not asked again: nobody has polled since
    words = json.dumps(without)
    assert not without.get("isError"), words
    assert "No worker answered the query GetInvoiceStatus" in words and "as of" in words
    assert "waits for an answer" in words, words
    await asyncio.to_thread(stage.start_worker, "invoice")
    async with asyncio.timeout(30):  # the killed worker's sticky queue keeps queries for ten seconds
        while "PENDING-APPROVAL" not in json.dumps(await call(stage, "invoice_status", invoice_id="I7")):
            await asyncio.sleep(0.1)


async def test_an_approval_outlives_every_process(stage: Rig) -> None:
    stage.start_all("invoice")
    task = await begin(stage, an_invoice("I8"))
    before = await look(stage, task, "input_required")
    for name in ("server", "worker"):
        stage.kill(name)
    await asyncio.to_thread(stage.start_server)
    await asyncio.to_thread(stage.start_worker, "invoice")
    after = await look(stage, task, "input_required")
    assert after["inputRequests"] == before["inputRequests"]
    await answer(stage, task, {key: YES for key in after["inputRequests"]})
    assert "PAID" in json.dumps((await look(stage, task, "completed"))["result"])
    assert await stage.runs(await workflow_id(stage, "I8")) == 1 and len(paid(stage, "I8")) == 1


async def test_a_line_waits_for_its_date_over_a_kill(stage: Rig) -> None:
    stage.start_all("invoice")
    due = line("later", due_in=4)
    task = await begin(stage, an_invoice("I9", due))
    await answer(stage, task, {key: YES for key in (await look(stage, task, "input_required"))["inputRequests"]})
    now = await look(stage, task, "working")
    while "waiting until" not in now.get("statusMessage", ""):
        now = await look(stage, task, "working")
    stage.kill("server")
    await asyncio.to_thread(stage.start_server)
    assert "PAID" in json.dumps((await look(stage, task, "completed"))["result"])
    child = (await stage.workflows()).get_workflow_handle(f"{await workflow_id(stage, 'I9')}-line-1")
    at = [e.event_time async for e in child.fetch_history_events() if e.HasField("activity_task_scheduled_event_attributes")]
    assert len(at) == 1 and at[0].ToDatetime(timezone.utc) >= datetime.fromisoformat(due["due_date"])


async def test_an_approval_that_nobody_gives_ends_in_an_error_that_says_so(invoice: Rig) -> None:
    async with invoice.client(extensions=[Tasks()]) as client:
        result = await client.call_tool("process_invoice", an_invoice("I10", approve_within_s=0.3))
    assert result.is_error and "nobody approved or rejected it" in text_of(result)


async def test_a_task_of_somebody_else_is_unknown(invoice: Rig) -> None:
    task = await begin(invoice, an_invoice("I11"))
    for method in ("tasks/get", "tasks/cancel"):
        with pytest.raises(RpcError) as caught:
            await asyncio.to_thread(invoice.rpc, method, {"taskId": task[:-4] + "AAAA"}, capabilities=CAPABLE)
        assert caught.value.code == -32602
    with pytest.raises(RpcError) as caught:
        await asyncio.to_thread(invoice.rpc, "tasks/get", {"taskId": task})
    assert caught.value.code == -32021


async def test_a_payment_that_is_repeated_is_paid_once_over_a_kill(stage: Rig) -> None:
    stage.start_all("invoice")
    stage.children["invoice"].control("set", path="/payments", gate="pay")
    task = await begin(stage, an_invoice("I12"))
    await answer(stage, task, {key: YES for key in (await look(stage, task, "input_required"))["inputRequests"]})
    await asyncio.to_thread(stage.children["invoice"].control, "wait", gate="pay")
    for name in ("server", "worker"):
        stage.kill(name)
    await asyncio.to_thread(stage.children["invoice"].control, "release/pay")
    await asyncio.to_thread(stage.start_server)
    await asyncio.to_thread(stage.start_worker, "invoice")
    assert "PAID" in json.dumps((await look(stage, task, "completed"))["result"])
    assert len(paid(stage, "I12")) == 1
    kinds = await stage.kinds(await workflow_id(stage, "I12"))
    assert kinds.count("WORKFLOW_EXECUTION_SIGNALED") == 1
