"""An agent has an invoice paid: everything is killed -9 while a person thinks, and it is paid once all the same.

    ./dev demo invoice            or, with the packages of requirements*.txt: python demo.py

A server with the tools of mcp.json, a worker, and stand-ins for the ERP and the payment gateway, all on loopback.
"""

import asyncio
import json
import signal
import sys
import tempfile
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from stage import Stage, Tasks, ask, check, say, text_of  # noqa: E402, the path has to be known first


def invoice(number: str, *lines: tuple[str, float, float]) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    return {
        "invoice_id": number,
        "customer": "Miller",
        "lines": [
            {"description": what, "amount": amount, "due_date": (now + timedelta(seconds=due_in)).isoformat()}
            for what, amount, due_in in lines
        ],
    }


async def begin(stage: Stage, arguments: dict[str, Any]) -> str:
    async with stage.client(extensions=[Tasks()]) as client:
        task = await client.session.call_tool("process_invoice", arguments, allow_claimed=True)
        say(f"the agent calls process_invoice({arguments['invoice_id']}) and is given a task")
        return task.task_id  # type: ignore[union-attr]


async def look(stage: Stage, task: str, *states: str) -> dict[str, Any]:
    while True:
        async with stage.client(extensions=[Tasks()]) as client:
            now = await ask(client.session, "tasks/get", taskId=task)
        if now["status"] in states:
            return now
        await asyncio.sleep(0.05)


async def approved(stage: Stage) -> None:
    say("-- Act 1: approved, over the death of everything")
    arguments = invoice("INV-100", ("desk", 300, -1), ("chair", 120, 6))
    task = await begin(stage, arguments)
    before = await look(stage, task, "input_required")
    question = next(iter(before["inputRequests"].values()))["params"]["message"]
    say(f"the task asks: {question}")
    for name in ("server", "worker"):
        say(f"kill -9 {name} {stage.children[name].pid}")
        stage.kill(name)
    await asyncio.to_thread(stage.start_server)
    say("a new server; the worker is still dead")
    after = await look(stage, task, "input_required")
    check("the same task asks the same question", after["inputRequests"], before["inputRequests"])
    await asyncio.to_thread(stage.start_worker, "invoice")
    async with stage.client(extensions=[Tasks()]) as client:
        yes = {"action": "accept", "content": {"approve": True}}
        responses = {key: yes for key in after["inputRequests"]}
        await ask(client.session, "tasks/update", taskId=task, inputResponses=responses)
    say(f"approved; the task says: {(await look(stage, task, 'working', 'completed')).get('statusMessage')}")
    done = await look(stage, task, "completed")
    result = done["result"]["structuredContent"]
    check("result", result["status"], "PAID")
    check("each line", [line["status"] for line in result["lines"]], ["PAID", "PAID"])
    say("the agent asks again with the same invoice, as agents do")
    async with stage.client(extensions=[Tasks()]) as client:
        again = await client.call_tool("process_invoice", arguments)
        check("the same answer", again.structured_content, result)
        other = await client.call_tool("process_invoice", {**arguments, "customer": "Smith"})
        check("the same number with another customer is refused", other.is_error, True)


async def refused(stage: Stage) -> None:
    say("-- Act 2: a payment that fails is a failure")
    async with stage.client(
        extensions=[Tasks(answer={"action": "accept", "content": {"approve": True}})]
    ) as client:
        result = await client.call_tool(
            "process_invoice", invoice("INV-101", ("broke supplier", 50, -1), ("lamp", 20, -1))
        )
    check("is an error", result.is_error, True)
    say(text_of(result).splitlines()[0])


async def play(stage: Stage) -> None:
    stage.start_all("invoice")
    say(f"server {stage.children['server'].pid} has the tools of mcp.json at {stage.url}")
    await approved(stage)
    await refused(stage)
    with urllib.request.urlopen(f"{stage.children['invoice'].base}/ledger", timeout=10) as response:
        ledger = json.load(response)
    print("\npayment gateway:", flush=True)
    paid = sorted(line["description"] for line in ledger["paid"].values())
    check("paid, each once", paid, ["chair", "desk", "lamp"])


def main() -> None:
    # So that our children end with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="perdure-invoice-") as directory:
        stage = Stage(Path(directory))
        try:
            asyncio.run(play(stage))
        finally:
            stage.close()
    say("all processes have ended")


if __name__ == "__main__":
    main()
