"""The chat sample by the official client alone: turns, tools, failures, and a conversation that outgrows its run."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from processes import PythonWorker, Server, Service
from workflows import TASK_QUEUE, TURNS_PER_RUN, ChatWorkflow


DEMO_SECONDS_MAX = 120


async def send(client: Client, chat: str, text: str, message_id: str | None = None) -> str:
    begin = WithStartWorkflowOperation(
        ChatWorkflow.run,
        id=f"chat-{chat}",
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    return await client.execute_update_with_start_workflow(
        ChatWorkflow.send, text, start_workflow_operation=begin, id=message_id
    )


async def question(handle: WorkflowHandle[Any, Any]) -> tuple[str, Any]:
    async for event in handle.fetch_history_events(wait_new_event=True):
        changed = event.workflow_properties_modified_event_attributes.upserted_memo.fields
        if changed["mcp.input"].data not in (b"", b"null"):
            return next(iter(json.loads(changed["mcp.input"].data).items()))
    raise AssertionError("the workflow closed without a question")


def asked(model: Service, text: str) -> int:
    with urllib.request.urlopen(f"{model.base}/log", timeout=10) as response:
        return sum(entry["last"] == text for entry in json.load(response))


async def test_a_later_turn_knows_the_earlier_ones(client: Client, model: Service) -> None:
    assert await send(client, "B1", "my name is Ada") == "Nice to meet you, Ada."
    assert await send(client, "B1", "good") == "You said: good"
    assert await send(client, "B1", "what is my name?") == "Your name is Ada."
    said = await client.get_workflow_handle("chat-B1").query("history")
    assert [each["role"] for each in said] == ["user", "assistant"] * 3
    assert asked(model, "my name is Ada") == 1


async def test_a_message_that_is_sent_again_is_one_turn(client: Client, model: Service) -> None:
    replies = await asyncio.gather(*(send(client, "B2", "once only", "m1") for _ in range(3)))
    assert replies == ["You said: once only"] * 3 and asked(model, "once only") == 1


async def test_two_at_once_are_answered_one_after_the_other(client: Client) -> None:
    assert sorted(await asyncio.gather(send(client, "B3", "a"), send(client, "B3", "b"))) == [
        "You said: a",
        "You said: b",
    ]
    said = await client.get_workflow_handle("chat-B3").query("history")
    assert [each["role"] for each in said] == ["user", "assistant"] * 2


async def test_a_declined_tool_is_not_called_and_the_model_is_told(client: Client) -> None:
    await send(client, "B4", "hello")
    turn = asyncio.ensure_future(send(client, "B4", "weather in CA"))
    handle = client.get_workflow_handle("chat-B4")
    key, asking = await question(handle)
    assert "get_alerts" in asking["params"]["message"]
    await handle.signal("mcp.input", args=[key, {"action": "decline"}])
    assert await turn == "The tool says: The person declined this call."


async def test_a_busy_model_is_asked_again(client: Client, model: Service) -> None:
    model.control("set", path="/v1", fail="429:2")
    assert await send(client, "B5", "hello") == "You said: hello"


async def test_a_wrong_key_fails_the_turn_at_once_and_leaves_no_half_of_it(client: Client, model: Service) -> None:
    model.control("set", path="/v1", fail="401:1")
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await send(client, "B6", "hello")
    assert isinstance(caught.value.cause, ApplicationError) and caught.value.cause.type == "Http401"
    assert await send(client, "B6", "again") == "You said: again"
    assert len(await client.get_workflow_handle("chat-B6").query("history")) == 2


async def test_a_conversation_outlives_its_run(client: Client) -> None:
    for number in range(TURNS_PER_RUN + 3):
        await send(client, "B7", f"turn {number}")
    handle = client.get_workflow_handle("chat-B7")
    info = (await handle.describe()).raw_description.workflow_execution_info
    assert info.first_run_id != info.execution.run_id
    said = await handle.query("history")
    assert [each["content"] for each in said if each["role"] == "user"] == [
        f"turn {number}" for number in range(TURNS_PER_RUN + 3)
    ]


async def test_an_ended_conversation_takes_no_more(client: Client) -> None:
    await send(client, "B8", "hello")
    handle = client.get_workflow_handle("chat-B8")
    await handle.signal("end")
    assert await asyncio.wait_for(handle.result(), 30) == 2


def test_the_demo_holds_what_it_claims() -> None:
    """It has a server and a worker of its own, which it kills."""
    demo = Path(__file__).parent / "demo.py"
    done = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, timeout=DEMO_SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all processes have ended" in done.stdout
