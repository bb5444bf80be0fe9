"""Two lookups of the weather that outlive everything: the service fails, the server and the worker are killed -9.

    ./dev demo weather            or, with the packages of requirements.txt: python demo.py

It starts a server, a fake weather service and a worker, all on loopback. Nothing in it sleeps and hopes: the fake
service holds a request at a gate, so each process dies at an exact moment. With PERDURE_ADDRESS set that server is
used, and only the worker is killed.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowHandle

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from processes import PythonWorker, Server, Service, free_ports  # noqa: E402, the path has to be known first
from workflows import TASK_QUEUE, ForecastRequest, GetAlerts, GetForecast  # noqa: E402

ALERTS_PATH, POINTS_PATH, FORECAST_PATH = "/alerts/", "/points/", "/gridpoints/"
RESULT_SECONDS_MAX = 60
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def check(claim: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise SystemExit(f"FAILED  {claim}: expected {expected!r}, saw {seen!r}")
    print(f"   ok   {claim}: {seen}", flush=True)


class Stage:
    """The running processes. A server that was not started here is not killed either."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.foreign = os.environ.get("PERDURE_ADDRESS", "")
        self.ports = free_ports(2)
        self.children: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return self.foreign or f"127.0.0.1:{self.ports[0]}"

    @property
    def nws(self) -> Service:
        return self.children["fake-nws"]

    def start_server(self) -> None:
        if self.foreign:
            return
        begin = time.monotonic()
        self.children["server"] = Server(self.directory, self.ports)
        took_ms = (time.monotonic() - begin) * 1000
        say(f"server {self.children['server'].pid} serves {self.address} after {took_ms:.0f} ms")

    def start_worker(self) -> None:
        self.children["worker"] = PythonWorker("weather", self.directory, self.address, NWS_BASE=self.nws.base)
        say(f"worker {self.children['worker'].pid} polls {TASK_QUEUE}")

    def kill(self, name: str) -> None:
        if name == "server" and self.foreign:
            say(f"the server at {self.foreign} is not ours and lives on: read on as if it had died")
            return
        child = self.children.pop(name)
        child.kill()
        say(f"kill -9 {name} {child.pid}")

    def end(self) -> None:
        if service := self.children.pop("fake-nws", None):
            service.kill()  # it has nothing to save
        for name in ("worker", "server"):
            child = self.children.pop(name, None)
            if child is not None and (status := child.stop()):
                raise SystemExit(f"FAILED  {name} ended with status {status} after SIGTERM\n{child.tail()}")

    def kill_all(self) -> None:
        for child in self.children.values():
            print(f"--- last lines of {child.name}\n{child.tail()}", file=sys.stderr)
            child.kill()
        self.children.clear()


async def pending(handle: WorkflowHandle[Any, Any]) -> str:
    description = (await handle.describe()).raw_description
    if not description.pending_activities:
        return "no pending activity"
    activity = description.pending_activities[0]
    failure = activity.last_failure.message or "none"
    return f"{activity.activity_type.name}, attempt {activity.attempt}, last failure: {failure}"


async def server_dies(stage: Stage, forecast: WorkflowHandle[Any, str]) -> str:
    say("-- Act 1: the server dies while the worker holds a request")
    await asyncio.to_thread(stage.nws.control, "wait", gate="forecast")
    say("GetForecast has its grid point; its second request stands at a gate of the weather service")
    stage.kill("server")
    stage.nws.control("release/forecast")
    say("the weather service answers: the worker has a result and no server to give it to")
    stage.start_server()
    text = await asyncio.wait_for(forecast.result(), RESULT_SECONDS_MAX)
    say("GetForecast is done: the new server took the old server's attempt, nothing was asked twice")
    return text


async def both_die(stage: Stage, alerts: WorkflowHandle[Any, str]) -> str:
    say("-- Act 2: server and worker die in the middle of an attempt")
    say(f"GetAlerts meanwhile: {await pending(alerts)}")
    await asyncio.to_thread(stage.nws.control, "wait", gate="alerts")
    say("GetAlerts has failed twice, and its third attempt stands at the gate")
    stage.kill("server")
    stage.kill("worker")
    stage.nws.control("release/alerts")
    say("the weather service answers into the void: that answer is lost")
    stage.start_server()
    say(f"on disk, with no worker alive: {await pending(alerts)}")
    stage.start_worker()
    say("attempt 3 is given up 10 s after its start, then the backoff of 8 s, then attempt 4 ...")
    text = await asyncio.wait_for(alerts.result(), RESULT_SECONDS_MAX)
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
    stage.children["fake-nws"] = Service("fake-nws", stage.directory, "weather/fake_nws.py")
    stage.nws.control("set", path=ALERTS_PATH, fail="503:2", gate="alerts")
    stage.nws.control("set", path=FORECAST_PATH, gate="forecast")
    say(f"fake weather service at {stage.nws.base}: alerts fail twice, then both services hang")
    stage.start_server()
    stage.start_worker()

    client = await Client.connect(stage.address)
    suffix = f"{os.getpid()}-{int(time.time())}" if stage.foreign else "demo"
    alerts = await client.start_workflow(GetAlerts.run, "CA", id=f"alerts-ca-{suffix}", task_queue=TASK_QUEUE)
    place = ForecastRequest(37.7749, -122.4194)
    forecast = await client.start_workflow(
        GetForecast.run, place, id=f"forecast-sf-{suffix}", task_queue=TASK_QUEUE
    )
    say(f"started {alerts.id} and {forecast.id}")

    forecast_text = await server_dies(stage, forecast)
    alerts_text = await both_die(stage, alerts)

    print(f"\n== alerts\n{alerts_text}\n\n== forecast\n{forecast_text}", flush=True)
    # With the server killed in act 1 the attempt outlived it; in act 2 one attempt died with its worker.
    await show_history(client, forecast, attempts=[1, 1], calls=2)
    await show_history(client, alerts, attempts=[4], calls=1)
    print("\nweather service:", flush=True)
    check("requests for the grid point", stage.nws.hits(POINTS_PATH), 1)
    check("requests for the forecast", stage.nws.hits(FORECAST_PATH), 1)
    check("requests for alerts (two refused, one cut off, one answered)", stage.nws.hits(ALERTS_PATH), 4)
    check("alerts found", alerts_text.count("Event: "), 2)
    check("forecast periods", len(forecast_text.splitlines()), 5)


def main() -> None:
    # So that our children end with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="perdure-weather-") as directory:
        stage = Stage(Path(directory))
        try:
            asyncio.run(play(stage))
            stage.end()
        except BaseException:
            stage.kill_all()
            raise
    say("all processes have ended; each workflow finished once, from where it was")


if __name__ == "__main__":
    main()
