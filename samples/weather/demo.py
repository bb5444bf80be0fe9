"""An agent asks for the weather twice; the service fails, the server and the worker are killed -9; the agent gets its answers.

    ./dev demo weather            or, with the packages of requirements-demo.txt: python demo.py

It starts a server with the tools of mcp.json, a fake weather service, a worker, and `perdure mcp stdio` as an agent's host does,
all on loopback. Nothing in it sleeps and hopes: the fake service holds a request at a gate, so each process dies at an
exact moment.
"""

import asyncio
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowHandle

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from stage import Stage, check, say, text_of  # noqa: E402, the path has to be known first

ALERTS_PATH, POINTS_PATH, FORECAST_PATH = "/alerts/", "/points/", "/gridpoints/"
RESULT_SECONDS_MAX = 60
def kill(stage: Stage, name: str) -> None:
    say(f"kill -9 {name} {stage.children[name].pid}")
    stage.kill(name)


async def pending(handle: WorkflowHandle[Any, Any]) -> str:
    description = (await handle.describe()).raw_description
    if not description.pending_activities:
        return "no pending activity"
    activity = description.pending_activities[0]
    failure = activity.last_failure.message or "none"
    return f"{activity.activity_type.name}, attempt {activity.attempt}, last failure: {failure}"


async def server_dies(stage: Stage, forecast: "asyncio.Future[Any]") -> str:
    say("-- Act 1: the server dies while the worker holds a request")
    await asyncio.to_thread(stage.children["weather"].control, "wait", gate="forecast")
    say("GetForecast has its grid point; its second request stands at a gate of the weather service")
    kill(stage, "server")
    stage.children["weather"].control("release/forecast")
    say("the weather service answers: the worker has a result and no server to give it to")
    await asyncio.to_thread(stage.start_server)
    text = text_of(await asyncio.wait_for(forecast, RESULT_SECONDS_MAX))
    say("GetForecast is done: the new server took the old server's attempt, nothing was asked twice")
    return text


async def both_die(stage: Stage, alerts: "asyncio.Future[Any]", handle: WorkflowHandle[Any, str]) -> str:
    say("-- Act 2: server and worker die in the middle of an attempt")
    say(f"GetAlerts meanwhile: {await pending(handle)}")
    await asyncio.to_thread(stage.children["weather"].control, "wait", gate="alerts")
    say("GetAlerts has failed twice, and its third attempt stands at the gate")
    kill(stage, "server")
    kill(stage, "worker")
    stage.children["weather"].control("release/alerts")
    say("the weather service answers into the void: that answer is lost")
    await asyncio.to_thread(stage.start_server)
    say(f"on disk, with no worker alive: {await pending(handle)}")
    await asyncio.to_thread(stage.start_worker, "weather")
    say("attempt 3 is given up 10 s after its start, then the backoff of 8 s, then attempt 4 ...")
    text = text_of(await asyncio.wait_for(alerts, RESULT_SECONDS_MAX))
    say("GetAlerts is done")
    return text


async def show_history(
    client: Client, handle: WorkflowHandle[Any, Any], attempts: list[int], calls: int
) -> None:
    print(f"\n{handle.id}:", flush=True)
    kinds: Counter[str] = Counter()
    seen_attempts = []
    async for event in handle.fetch_history_events():
        kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        kinds[kind] += 1
        note = ""
        if kind == "ACTIVITY_TASK_STARTED":
            started = event.activity_task_started_event_attributes
            seen_attempts.append(started.attempt)
            note = f"  attempt {started.attempt} by {started.identity}"
            if started.HasField("last_failure"):
                note += f" (before: {started.last_failure.message})"
        print(
            f"  {event.event_id:3} {event.event_time.ToDatetime():%H:%M:%S.%f}  {kind.lower()}{note}",
            flush=True,
        )
    runs = await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=client.namespace, query=f"WorkflowId = '{handle.id}'")
    )
    check("runs with this id", len(runs.executions), 1)
    check("started", kinds["WORKFLOW_EXECUTION_STARTED"], 1)
    check("completed", kinds["WORKFLOW_EXECUTION_COMPLETED"], 1)
    check("activities scheduled", kinds["ACTIVITY_TASK_SCHEDULED"], calls)
    check("activities completed", kinds["ACTIVITY_TASK_COMPLETED"], calls)
    check("attempt that succeeded, per activity", seen_attempts, attempts)


async def play(stage: Stage) -> None:
    stage.start_all("weather")
    nws = stage.children["weather"]
    nws.control("set", path=ALERTS_PATH, fail="503:2", gate="alerts")
    nws.control("set", path=FORECAST_PATH, gate="forecast")
    say(f"server {stage.children['server'].pid} has the tools of mcp.json at {stage.url}")
    say(f"fake weather service at {nws.base}: alerts fail twice, then both services hang")

    async with stage.stdio() as agent:
        alerts = asyncio.ensure_future(agent.call_tool("get_alerts", {"state": "CA"}))
        place = {"latitude": 37.7749, "longitude": -122.4194}
        forecast = asyncio.ensure_future(agent.call_tool("get_forecast", place))
        say("the agent calls get_alerts and get_forecast, and waits")
        forecast_text = await server_dies(stage, forecast)
        client = await stage.workflows()
        handles = [client.get_workflow_handle(each) for each in ("alerts-ca", "forecast-37.7749_-122.4194")]
        alerts_text = await both_die(stage, alerts, handles[0])
    say("both calls were answered, as if nothing had happened")

    print(f"\n== alerts\n{alerts_text}\n\n== forecast\n{forecast_text}", flush=True)
    # With the server killed in act 1 the attempt outlived it; in act 2 one attempt died with its worker.
    await show_history(client, handles[1], attempts=[1, 1], calls=2)
    await show_history(client, handles[0], attempts=[4], calls=1)
    print("\nweather service:", flush=True)
    check("requests for the grid point", nws.hits(POINTS_PATH), 1)
    check("requests for the forecast", nws.hits(FORECAST_PATH), 1)
    check("requests for alerts (two refused, one cut off, one answered)", nws.hits(ALERTS_PATH), 4)
    check("alerts found", alerts_text.count("Event: "), 2)
    check("forecast periods", len(forecast_text.splitlines()), 5)


def main() -> None:
    # So that our children end with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="perdure-weather-") as directory:
        stage = Stage(Path(directory))
        try:
            asyncio.run(play(stage))
        finally:
            stage.close()
    say("all processes have ended; each workflow finished once, from where it was")


if __name__ == "__main__":
    main()
