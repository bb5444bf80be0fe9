"""Weather through MCP: one run per question, whatever dies meanwhile."""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

import httpx2
import pytest
from rig import MODERN, TASKS, RpcError, Rig, Tasks, text_of
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
CAPABLE = {"extensions": {TASKS: {}}}


def hits(stage: Rig, path: str) -> int:
    return stage.children["weather"].hits(path)


@MODES
async def test_the_list_is_what_the_file_declares(weather: Rig, mode: str) -> None:
    async with weather.client(mode=mode, cache=None) as client:
        first, second = await client.list_tools(), await client.list_tools()
        assert (client.protocol_version == MODERN) == (mode == "auto")
    assert first == second
    declared = [tool for tool in first.tools if not tool.name.startswith("task_")]
    assert [tool.name for tool in declared] == ["get_alerts", "get_forecast"]
    assert declared[0].input_schema["properties"]["state"]["pattern"] == "^[A-Za-z]{2}$"
    assert declared[0].annotations is not None and declared[0].annotations.read_only_hint


async def test_only_the_newer_generation_is_told_how_long_a_list_holds(weather: Rig) -> None:
    result = await asyncio.to_thread(weather.rpc, "tools/list")
    assert "ttlMs" in result and "cacheScope" in result and result["resultType"] == "complete"


@MODES
async def test_an_answer(weather: Rig, mode: str) -> None:
    state = {"auto": "CA", "legacy": "NV"}[mode]
    async with weather.client(mode=mode) as client:
        result = await client.call_tool("get_alerts", {"state": state})
    assert not result.is_error and "Event: Flood Watch" in text_of(result)
    assert hits(weather, f"/alerts/active/area/{state}") == 1
    handle = (await weather.workflows()).get_workflow_handle(f"alerts-{state.lower()}")
    description = await handle.describe()
    assert description.status is not None and description.status.name == "COMPLETED"
    assert description.workflow_type == "GetAlerts" and description.task_queue == "weather-task-queue"


async def test_what_fails_at_first_is_told_and_done_again(weather: Rig) -> None:
    weather.children["weather"].control("set", path="/alerts/active/area/TX", fail="500:2")
    progress: list[tuple[float, str]] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, message or ""))

    async with weather.client() as client:
        result = await client.call_tool("get_alerts", {"state": "TX"}, progress_callback=note)
    assert not result.is_error and hits(weather, "/alerts/active/area/TX") == 3
    values = [done for done, _ in progress]
    assert len(values) >= 2 and values == sorted(set(values))
    assert any("make_nws_request" in words and "attempt" in words and "500" in words for _, words in progress)


async def test_what_keeps_failing_is_an_error_that_says_why(weather: Rig) -> None:
    weather.children["weather"].control("set", path="/alerts/active/area/FL", fail="500")
    tasks = Tasks()
    begun = asyncio.get_running_loop().time()
    async with weather.client() as plain, weather.client(extensions=[tasks]) as capable:
        result, by_task = await asyncio.gather(
            plain.call_tool("get_alerts", {"state": "FL"}), capable.call_tool("get_alerts", {"state": "FL"})
        )
    assert 30 <= asyncio.get_running_loop().time() - begun < 45
    assert result.is_error and by_task.is_error
    for words in (text_of(result), text_of(by_task)):
        assert "make_nws_request" in words and "5 attempts" in words and "HTTP 500" in words
    assert tasks.seen[-1]["status"] == "completed"
    assert await weather.runs("alerts-fl") == 1 and hits(weather, "/alerts/active/area/FL") == 5


async def test_wrong_arguments_start_nothing(weather: Rig) -> None:
    async with weather.client() as client:
        result = await client.call_tool("get_alerts", {"state": "California"})
        other = await client.call_tool("get_forecast", {"latitude": "x", "longitude": 1})
    assert result.is_error and "/state" in text_of(result)
    assert other.is_error and "/latitude" in text_of(other)
    assert await weather.runs("alerts-california") == 0
    with pytest.raises(RpcError) as caught:
        await asyncio.to_thread(weather.rpc, "tools/call", {"name": "nothing", "arguments": {}})
    assert caught.value.code == -32602


async def test_many_who_ask_the_same_are_one_run(stage: Rig) -> None:
    def keep(toolset: dict[str, Any]) -> None:  # so that who comes after the answer gets the same one
        toolset["tools"]["get_alerts"]["start"].update(closed="return", window="1h")

    stage.start_all("weather", keep)
    stage.children["weather"].control("set", path="/alerts/active/area/OR", gate="many")

    async def ten() -> list[str]:
        async with stage.client() as client:
            calls = [client.call_tool("get_alerts", {"state": "OR"}) for _ in range(10)]
            return [text_of(result) for result in await asyncio.gather(*calls)]

    asked = asyncio.gather(*(ten() for _ in range(5)))
    await asyncio.to_thread(stage.children["weather"].control, "wait", gate="many")
    await asyncio.to_thread(stage.children["weather"].control, "release/many")
    answers = [text for each in await asked for text in each]
    assert len(answers) == 50 and len(set(answers)) == 1 and "Flood Watch" in answers[0]
    assert await stage.runs("alerts-or") == 1 and stage.children["weather"].hits("/alerts") == 1


async def test_fifty_questions_are_fifty_runs(weather: Rig) -> None:
    async with weather.client() as client:
        results = await asyncio.gather(
            *(
                client.call_tool("get_alerts", {"state": f"{chr(65 + n // 10)}{chr(75 + n % 10)}"})
                for n in range(50)
            )
        )
    assert all("Flood Watch" in text_of(result) for result in results)


async def test_a_client_that_dies_leaves_the_run_to_the_next_one(weather: Rig) -> None:
    weather.children["weather"].control("set", path="/alerts/active/area/UT", gate="ut")
    script = (
        "import asyncio, sys\nfrom mcp.client import Client\nasync def main():\n"
        "    async with Client(sys.argv[1]) as client:\n        await client.call_tool('get_alerts', {'state': 'UT'})\n"
        "asyncio.run(main())"
    )
    first = subprocess.Popen([sys.executable, "-c", script, weather.url], stderr=subprocess.DEVNULL)
    await asyncio.to_thread(weather.children["weather"].control, "wait", gate="ut")
    first.send_signal(signal.SIGKILL)
    first.wait()
    async with weather.client() as client:
        call = asyncio.ensure_future(client.call_tool("get_alerts", {"state": "UT"}))
        await asyncio.to_thread(weather.children["weather"].control, "release/ut")
        assert "Flood Watch" in text_of(await call)
    assert await weather.runs("alerts-ut") == 1 and hits(weather, "/alerts/active/area/UT") == 1
    assert "WORKFLOW_EXECUTION_CANCEL_REQUESTED" not in await weather.kinds("alerts-ut")


async def test_a_task_is_cancelled_by_request_only(weather: Rig) -> None:
    weather.children["weather"].control("set", path="/alerts/active/area/WA", fail="500")
    params = {"name": "get_alerts", "arguments": {"state": "WA"}}
    task = await asyncio.to_thread(weather.rpc, "tools/call", params, capabilities=CAPABLE)
    assert task["resultType"] == "task" and task["status"] == "working"
    await asyncio.to_thread(weather.rpc, "tasks/cancel", {"taskId": task["taskId"]}, capabilities=CAPABLE)
    handle = (await weather.workflows()).get_workflow_handle("alerts-wa")
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failure.value.cause, CancelledError)
    now = await asyncio.to_thread(weather.rpc, "tasks/get", {"taskId": task["taskId"]}, capabilities=CAPABLE)
    assert now["status"] == "cancelled"
    assert "WORKFLOW_EXECUTION_CANCEL_REQUESTED" in await weather.kinds("alerts-wa")
    with pytest.raises(RpcError) as caught:
        await asyncio.to_thread(weather.rpc, "tasks/get", {"taskId": task["taskId"] + "x"}, capabilities=CAPABLE)
    assert caught.value.code == -32602


async def test_without_a_worker_a_task_says_so_and_is_done_when_one_comes(stage: Rig) -> None:
    stage.use_tools("weather")
    stage.start_server()
    stage.start_standin("weather")
    params = {"name": "get_alerts", "arguments": {"state": "CA"}}
    tasks = [
        await asyncio.to_thread(stage.rpc, "tools/call", params, capabilities=CAPABLE, timeout=10) for _ in range(3)
    ]
    now = await asyncio.to_thread(stage.rpc, "tasks/get", {"taskId": tasks[0]["taskId"]}, capabilities=CAPABLE)
    assert now["status"] == "working" and "weather-task-queue" in now["statusMessage"]
    stage.start_worker("weather")
    handle = (await stage.workflows()).get_workflow_handle("alerts-ca")
    await asyncio.wait_for(handle.result(), 30)
    for task in tasks:
        done = await asyncio.to_thread(stage.rpc, "tasks/get", {"taskId": task["taskId"]}, capabilities=CAPABLE)
        assert done["status"] == "completed" and "Flood Watch" in json.dumps(done["result"])
    assert await stage.runs("alerts-ca") == 1 and stage.children["weather"].hits("/alerts") == 1


async def test_a_client_without_tasks_gets_a_handle_before_it_gives_up(stage: Rig) -> None:
    def short(toolset: dict[str, Any]) -> None:
        toolset["defaults"] = {"hold": "1s", "sync_wait": "1s"}

    stage.use_tools("weather", short)
    stage.start_server()
    stage.start_standin("weather")
    async with stage.client(mode="legacy") as client:
        result = await client.call_tool("get_alerts", {"state": "CA"})
        assert not result.is_error and result.structured_content is not None
        handle = result.structured_content["handle"]
        assert "task_result" in text_of(result)
        stage.start_worker("weather")
        workflow = (await stage.workflows()).get_workflow_handle("alerts-ca")
        await asyncio.wait_for(workflow.result(), 30)
        done = await client.call_tool("task_result", {"handle": handle})
        assert "Flood Watch" in text_of(done)
    assert await stage.runs("alerts-ca") == 1


@MODES
async def test_a_server_that_is_killed_is_a_pause_to_a_host_on_stdio(stage: Rig, mode: str) -> None:
    stage.start_all("weather")
    stage.children["weather"].control("set", path="/alerts/active/area/CA", gate="kill")
    async with stage.stdio(mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools][:2] == ["get_alerts", "get_forecast"]
        call = asyncio.ensure_future(client.call_tool("get_alerts", {"state": "CA"}))
        await asyncio.to_thread(stage.children["weather"].control, "wait", gate="kill")
        stage.kill("server")
        await asyncio.to_thread(stage.start_server)
        await asyncio.to_thread(stage.children["weather"].control, "release/kill")
        assert "Flood Watch" in text_of(await asyncio.wait_for(call, 60))
    assert await stage.runs("alerts-ca") == 1 and stage.children["weather"].hits("/alerts") == 1


async def test_a_client_over_http_asks_again_after_the_kill(stage: Rig) -> None:
    stage.start_all("weather")
    stage.children["weather"].control("set", path="/alerts/active/area/CA", gate="kill")
    params = {"name": "get_alerts", "arguments": {"state": "CA"}}
    call = asyncio.ensure_future(asyncio.to_thread(stage.rpc, "tools/call", params))
    await asyncio.to_thread(stage.children["weather"].control, "wait", gate="kill")
    stage.kill("server")
    with pytest.raises(OSError):
        await call
    await asyncio.to_thread(stage.start_server)
    await asyncio.to_thread(stage.children["weather"].control, "release/kill")
    result = await asyncio.to_thread(stage.rpc, "tools/call", params)
    assert "Flood Watch" in json.dumps(result)
    assert await stage.runs("alerts-ca") == 1 and stage.children["weather"].hits("/alerts") == 1


async def test_a_worker_that_dies_between_two_calls_repeats_only_the_second(stage: Rig) -> None:
    stage.start_all("weather")
    stage.children["weather"].control("set", path="/gridpoints/", gate="second")
    params = {"name": "get_forecast", "arguments": {"latitude": 37.7749, "longitude": -122.4194}}
    call = asyncio.ensure_future(asyncio.to_thread(stage.rpc, "tools/call", params))
    await asyncio.to_thread(stage.children["weather"].control, "wait", gate="second")
    stage.kill("worker")
    await asyncio.to_thread(stage.children["weather"].control, "release/second")
    await asyncio.to_thread(stage.start_worker, "weather")
    result = await call
    while result.get("resultType") == "input_required":
        more = {**params, "requestState": result["requestState"]}
        result = await asyncio.to_thread(stage.rpc, "tools/call", more)
    assert "Tonight" in json.dumps(result)
    assert stage.children["weather"].hits("/points/") == 1
    assert await stage.runs("forecast-37.7749_-122.4194") == 1


async def test_a_file_that_changes_is_told_once_and_a_broken_one_changes_nothing(stage: Rig) -> None:
    stage.start_all("weather")
    params = {"notifications": {"toolsListChanged": True}}
    with await asyncio.to_thread(stage.open, "subscriptions/listen", params) as stream:

        def next_message() -> dict[str, Any]:
            while True:
                line = stream.readline().decode()
                if line.startswith("data:"):
                    return json.loads(line[5:])

        assert "acknowledged" in (await asyncio.to_thread(next_message))["method"]
        good = stage.config.read_text()
        stage.config.write_text(good[:-3])
        document = json.loads(good)
        document["toolsets"]["weather"]["tools"]["more"] = document["toolsets"]["weather"]["tools"]["get_alerts"]
        while "mcp.json:" not in stage.children["server"].log.read_text():
            await asyncio.sleep(0.05)  # looked at each second: until the broken one was seen
        async with stage.client() as client:
            assert "more" not in [tool.name for tool in (await client.list_tools()).tools]
        stage.config.write_text(json.dumps(document))
        told = await asyncio.to_thread(next_message)
        assert told["method"] == "notifications/tools/list_changed"
        async with stage.client() as client:
            assert "more" in [tool.name for tool in (await client.list_tools()).tools]


async def test_a_foreign_page_is_refused(weather: Rig) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        with pytest.raises(RpcError) as caught:
            await asyncio.to_thread(weather.rpc, "tools/list", headers=headers)
        assert 400 <= caught.value.status < 500
    assert httpx2.get(weather.url).status_code in (400, 405, 406)
