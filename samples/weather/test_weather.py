"""The weather sample against a server: what it answers, how it retries, and that it survives kill -9.

All workflows, and the demo with its kills, start together; each test then looks at its own, so the suite takes as
long as its slowest lookup (a service that stays broken for the 40 s a caller would wait).
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, RetryState
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError

from processes import PythonWorker, Service
from workflows import TASK_QUEUE, ForecastRequest, GetAlerts, GetForecast

SAN_FRANCISCO = ForecastRequest(37.7749, -122.4194)
PARIS = ForecastRequest(48.8566, 2.3522)
DEMO_SECONDS_MAX = 120
TASK = ["WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED"]
ACTIVITY_DONE = ["ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED"]
ACTIVITY_FAILED = ["ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_FAILED"]


class Lookups:
    """The workflows under test, by name, and a loop of their own to look at them from."""

    def __init__(self, address: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.client = self.do(Client.connect(address))
        self.suffix = f"{time.time_ns():x}"
        self.handles: dict[str, WorkflowHandle[Any, str]] = {}

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def start(self, name: str, run: Any, argument: Any) -> None:
        self.handles[name] = self.do(
            self.client.start_workflow(run, argument, id=f"{name}-{self.suffix}", task_queue=TASK_QUEUE)
        )

    def result(self, name: str) -> str:
        return self.do(asyncio.wait_for(self.handles[name].result(), 60))

    def failure(self, name: str) -> BaseException:
        with pytest.raises(WorkflowFailureError) as caught:
            self.result(name)
        assert caught.value.cause is not None
        return caught.value.cause

    def events(self, name: str) -> list[HistoryEvent]:
        return list(self.do(self.handles[name].fetch_history()).events)

    def kinds(self, name: str) -> list[str]:
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in self.events(name)]

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@pytest.fixture(scope="session")
def demo(directory: Path) -> Iterator[subprocess.Popen[str]]:
    # It kills its server, and its worker polls the same queue as ours: it always gets a server of its own.
    environment = {name: value for name, value in os.environ.items() if name != "PERDURE_ADDRESS"}
    process = subprocess.Popen(
        [sys.executable, "demo.py"],
        cwd=Path(__file__).parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def lookups(demo: object, address: str, nws: Service, worker: PythonWorker) -> Iterator[Lookups]:
    nws.control("set", path="/alerts/active/area/TX", fail="500:2")
    nws.control("set", path="/alerts/active/area/FL", fail="500")
    nws.control("set", path="/alerts/active/area/OR", garble=1)
    started = Lookups(address)
    for state in ("CA", "VT", "TX", "FL", "OR", "California"):
        started.start(state, GetAlerts.run, state)
    started.start("San Francisco", GetForecast.run, SAN_FRANCISCO)
    started.start("Paris", GetForecast.run, PARIS)
    yield started
    started.close()


def activity_event(lookups: Lookups, name: str, field: str) -> Any:
    found = [event for event in lookups.events(name) if event.HasField(field)]
    assert len(found) == 1
    return getattr(found[0], field)


def test_alerts(lookups: Lookups, nws: Service) -> None:
    text = lookups.result("CA")
    assert "Event: Flood Watch" in text and "Event: Wind Advisory" in text
    assert nws.hits("/alerts/active/area/CA") == 1
    assert lookups.kinds("CA") == [
        "WORKFLOW_EXECUTION_STARTED",
        *TASK,
        *ACTIVITY_DONE,
        *TASK,
        "WORKFLOW_EXECUTION_COMPLETED",
    ]
    scheduled = activity_event(lookups, "CA", "activity_task_scheduled_event_attributes")
    assert scheduled.activity_type.name == "make_nws_request"
    assert scheduled.schedule_to_close_timeout.ToSeconds() == 40
    assert scheduled.retry_policy.backoff_coefficient == 2.0
    assert scheduled.retry_policy.maximum_attempts == 0
    assert activity_event(lookups, "CA", "activity_task_started_event_attributes").attempt == 1


def test_no_alerts(lookups: Lookups) -> None:
    assert lookups.result("VT") == "No active alerts for VT."


def test_forecast_takes_two_requests(lookups: Lookups, nws: Service) -> None:
    text = lookups.result("San Francisco")
    assert text.splitlines()[0] == "Tonight: 51 F, wind 5 mph NW. Clear."
    assert len(text.splitlines()) == 5
    assert nws.hits("/points/37.7749,-122.4194") == 1
    assert nws.hits("/gridpoints/") == 1
    assert lookups.kinds("San Francisco") == [
        "WORKFLOW_EXECUTION_STARTED",
        *TASK,
        *ACTIVITY_DONE,
        *TASK,
        *ACTIVITY_DONE,
        *TASK,
        "WORKFLOW_EXECUTION_COMPLETED",
    ]


def test_a_wrong_state_is_refused_without_a_request(lookups: Lookups) -> None:
    assert "two-letter code" in str(lookups.failure("California"))
    assert lookups.kinds("California") == ["WORKFLOW_EXECUTION_STARTED", *TASK, "WORKFLOW_EXECUTION_FAILED"]


def test_a_point_the_service_does_not_know_is_not_retried(lookups: Lookups, nws: Service) -> None:
    failure = lookups.failure("Paris")
    assert isinstance(failure, ActivityError) and isinstance(failure.cause, ApplicationError)
    assert failure.cause.type == "Http404"
    assert nws.hits("/points/48.8566,2.3522") == 1
    failed = activity_event(lookups, "Paris", "activity_task_failed_event_attributes")
    assert failed.retry_state == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE


def test_an_answer_that_is_no_json_is_asked_for_again(lookups: Lookups, nws: Service) -> None:
    assert "Flood Watch" in lookups.result("OR")
    assert nws.hits("/alerts/active/area/OR") == 2


def test_a_service_that_recovers_is_tried_until_then(lookups: Lookups, nws: Service) -> None:
    assert "Flood Watch" in lookups.result("TX")
    assert nws.hits("/alerts/active/area/TX") == 3
    started = activity_event(lookups, "TX", "activity_task_started_event_attributes")
    assert started.attempt == 3
    assert "HTTP 500" in started.last_failure.message
    first, last = lookups.events("TX")[0], lookups.events("TX")[-1]
    waited = (last.event_time.ToNanoseconds() - first.event_time.ToNanoseconds()) / 1e9
    assert waited >= 6.0  # backoffs of 2 s and 4 s, never early


def test_a_service_that_stays_broken_fails_the_lookup_in_time(lookups: Lookups, nws: Service) -> None:
    failure = lookups.failure("FL")
    assert isinstance(failure, ActivityError) and "HTTP 500" in str(failure.cause)
    # Attempts at 0, 2, 6, 14 and 30 s; the sixth would come at 46 s, and the caller waits 40.
    assert nws.hits("/alerts/active/area/FL") == 5
    failed = activity_event(lookups, "FL", "activity_task_failed_event_attributes")
    assert failed.retry_state == RetryState.RETRY_STATE_TIMEOUT
    assert activity_event(lookups, "FL", "activity_task_started_event_attributes").attempt == 5
    assert lookups.kinds("FL") == [
        "WORKFLOW_EXECUTION_STARTED",
        *TASK,
        *ACTIVITY_FAILED,
        *TASK,
        "WORKFLOW_EXECUTION_FAILED",
    ]
    first, last = lookups.events("FL")[0], lookups.events("FL")[-1]
    waited = (last.event_time.ToNanoseconds() - first.event_time.ToNanoseconds()) / 1e9
    assert 30.0 <= waited < 40.0


def test_the_demo_finds_every_workflow_done_once(demo: subprocess.Popen[str]) -> None:
    output, _ = demo.communicate(timeout=DEMO_SECONDS_MAX)
    assert demo.returncode == 0, output
    assert "each workflow finished once, from where it was" in output
