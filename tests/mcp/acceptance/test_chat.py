"""Conversations through MCP: whole turns, once each, whatever is killed."""

import asyncio
import json
from typing import Any

import mcp_types as types
import pytest
from mcp.client import Client
from rig import Rig, Tasks, text_of


async def say(stage: Rig, chat: str, text: str, **more: Any) -> dict[str, Any]:
    arguments = {"conversation": chat, "text": text, **more}
    params: dict[str, Any] = {"name": "send_message", "arguments": arguments}
    result = await asyncio.to_thread(stage.rpc, "tools/call", params)
    while result.get("resultType") == "input_required" and "inputRequests" not in result:
        result = await asyncio.to_thread(stage.rpc, "tools/call", {**params, "requestState": result["requestState"]})
    return result


async def history(stage: Rig, chat: str) -> list[dict[str, Any]]:
    params = {"name": "history", "arguments": {"conversation": chat}}
    result = await asyncio.to_thread(stage.rpc, "tools/call", params)
    return json.loads(result["content"][0]["text"])


def said(result: dict[str, Any]) -> str:
    return result["content"][0]["text"]


def asked(stage: Rig, text: str) -> int:
    return sum(entry["last"] == text for entry in stage.json("chat", "/log"))


async def test_three_turns(chat: Rig) -> None:
    assert said(await say(chat, "C1", "my name is Ada")) == "Nice to meet you, Ada."
    assert said(await say(chat, "C1", "one two")) == "You said: one two"
    assert said(await say(chat, "C1", "what is my name?")) == "Your name is Ada."
    assert [each["role"] for each in await history(chat, "C1")] == ["user", "assistant"] * 3
    assert asked(chat, "one two") == 1


async def test_a_client_that_went_finds_its_conversation(chat: Rig) -> None:
    async with chat.client() as client:
        await client.call_tool("send_message", {"conversation": "C2", "text": "my name is Bob"})
    async with chat.client(mode="legacy") as client:
        result = await client.call_tool("send_message", {"conversation": "C2", "text": "what is my name?"})
    assert text_of(result) == "Your name is Bob." and len(await history(chat, "C2")) == 4


@pytest.mark.parametrize("victims", [["worker"], ["server"], ["server", "worker"]])
async def test_a_turn_survives_kills_while_the_model_thinks(stage: Rig, victims: list[str]) -> None:
    stage.start_all("chat")
    stage.children["chat"].control("set", path="/v1", gate="think")
    async with stage.stdio() as client:
        call = asyncio.ensure_future(
            client.call_tool("send_message", {"conversation": "C3", "text": "think", "message_id": "m1"})
        )
        await asyncio.to_thread(stage.children["chat"].control, "wait", gate="think")
        for name in victims:
            stage.kill(name)
        await asyncio.to_thread(stage.children["chat"].control, "release/think")
        if "server" in victims:
            await asyncio.to_thread(stage.start_server)
        if "worker" in victims:
            await asyncio.to_thread(stage.start_worker, "chat")
        result = await asyncio.wait_for(call, 90)
    assert text_of(result) == "You said: think"
    assert [each["content"] for each in await history(stage, "C3")] == ["think", "You said: think"]
    assert asked(stage, "think") <= 2


async def test_a_tool_that_a_person_allows_is_called_once(chat: Rig) -> None:
    async def ask(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert "get_alerts" in params.message
        return types.ElicitResult(action="decline")

    async with chat.client(elicitation_callback=ask, extensions=[]) as client:
        result = await client.call_tool("send_message", {"conversation": "C6", "text": "weather in CA"})
    assert text_of(result) == "The tool says: The person declined this call."


@pytest.mark.parametrize("state, words", [("CA", "Event: Flood Watch"), ("ZZ", "The person")])
async def test_a_tool_that_a_person_answered_for_is_a_call_of_the_gateway(
    stage: Rig, state: str, words: str
) -> None:
    """The weather tools beside the conversation: allowed, the agent's tool is a durable call like any other, made once."""
    stage.use_tools("weather")
    both = json.loads(stage.config.read_text())
    stage.use_tools("chat")
    both["toolsets"] |= json.loads(stage.config.read_text())["toolsets"]
    stage.config.write_text(json.dumps(both))
    stage.start_server()
    stage.start_standin("weather")
    stage.start_worker("weather")
    stage.children["workers of weather"] = stage.children.pop("worker")
    stage.start_standin("chat")
    stage.start_worker("chat")
    asked: list[str] = []

    async def ask(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params.message)
        if state == "ZZ":
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content={"confirm": True})

    async with Client(f"{stage.url}/chat", elicitation_callback=ask) as client:
        arguments = {"conversation": "C6", "text": f"weather in {state}", "message_id": "m"}
        result = await client.call_tool("send_message", arguments)
        assert words in text_of(result), text_of(result)
        assert text_of(await client.call_tool("send_message", arguments)) == text_of(result)
    assert len(asked) == 1 and "get_alerts" in asked[0]
    allowed = state != "ZZ"
    assert stage.children["weather"].hits("/alerts") == allowed
    assert await stage.runs(f"alerts-{state.lower()}") == allowed


async def test_a_long_conversation_goes_on_in_new_runs_and_loses_no_turn(chat: Rig) -> None:
    turns = 500
    for number in range(turns):
        text = f"turn {number}"
        assert said(await say(chat, "C10", text, message_id=text)) == f"You said: {text}"
    assert len([entry for entry in chat.json("chat", "/log") if str(entry["last"]).startswith("turn ")]) == turns
    client = await chat.workflows()
    runs = [run async for run in client.list_workflows("WorkflowType = 'ChatWorkflow'") if run.id.endswith("-C10")]
    assert len(runs) > 1 and len({run.id for run in runs}) == 1
    whole = [each["content"] for each in await history(chat, "C10")]
    assert whole == [words for n in range(turns) for words in (f"turn {n}", f"You said: turn {n}")]


async def test_a_busy_model_is_asked_again_and_a_refused_key_is_an_error(chat: Rig) -> None:
    chat.children["chat"].control("set", path="/v1", fail="429:2")
    assert said(await say(chat, "C7", "hello")) == "You said: hello"
    chat.children["chat"].control("set", path="/v1", fail="401:1")
    refused = await say(chat, "C7", "again")
    assert refused["isError"] and "401" in json.dumps(refused)


async def test_a_message_sent_again_is_one_turn_and_two_at_once_are_two(chat: Rig) -> None:
    replies = await asyncio.gather(*(say(chat, "C8", "once", message_id="m1") for _ in range(3)))
    assert {said(each) for each in replies} == {"You said: once"} and len(await history(chat, "C8")) == 2
    both = await asyncio.gather(say(chat, "C8", "a"), say(chat, "C8", "b"))
    assert sorted(said(each) for each in both) == ["You said: a", "You said: b"]
    assert len(await history(chat, "C8")) == 6


async def test_an_ended_conversation_begins_anew(chat: Rig) -> None:
    await say(chat, "C11", "my name is Eve")
    await asyncio.to_thread(chat.rpc, "tools/call", {"name": "end_chat", "arguments": {"conversation": "C11"}})
    client = await chat.workflows()
    ids = [run.id async for run in client.list_workflows("WorkflowType = 'ChatWorkflow'")]
    ended = client.get_workflow_handle(next(each for each in ids if each.endswith("-C11")))
    await asyncio.wait_for(ended.result(), 30)
    assert said(await say(chat, "C11", "what is my name?")) == "I do not know."
