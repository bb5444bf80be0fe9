"""The server is killed with SIGKILL again and again under load; nothing that it acknowledged may be lost or done twice.

A driver starts workflows, signals them and completes some of their activities by hand. Every call that was acknowledged
is in its journal, on disk, before the driver goes on. Workers of two SDKs run the rest and keep journals of their own.
At the end each journal is compared with the histories:

- every acknowledged start is one run, the one whose id was given, and it completed;
- every acknowledged signal is in that run's history exactly once, in order;
- every acknowledged completion is in history exactly once, with the result that was sent;
- every child of a workflow was started once and ended once;
- no attempt of an activity was handed out twice; no timer fired early.

PERDURE_KILLS sets how often (100), PERDURE_SEED which moments; the seed is printed, the moments follow from it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import grpc
import pytest

from support import server as server_module
from support.env import NAMESPACE
from support.grpc_client import Code, Rpc
from support.hand import payloads, seconds
from support.histories import attributes, check_invariants, payload_value, types

DRIVERS = 24
HANDS = 6
SIGNALS = 8
UP_SECONDS = (0.05, 1.1)
SETTLE_SECONDS_MAX = 120.0
AMBIGUOUS = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.ABORTED, Code.RESOURCE_EXHAUSTED)
AS_CLI = {"metadata": (("client-name", "temporal-cli"), ("client-version", "1.0.0"))}
CLOSE_EVENT = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"


class Journal:
    """Lines that are on disk when `write` returns, as the user's own records would be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict] = []
        self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def write(self, kind: str, **fields: object) -> None:
        entry = {"kind": kind} | fields
        os.write(self._descriptor, (json.dumps(entry) + "\n").encode())
        os.fsync(self._descriptor)
        self.entries.append(entry)

    def of(self, kind: str) -> list[dict]:
        return [entry for entry in self.entries if entry["kind"] == kind]

    def by_run(self, kind: str) -> dict[str, list[dict]]:
        grouped: dict[str, list[dict]] = {}
        for entry in self.of(kind):
            grouped.setdefault(entry["run"], []).append(entry)
        return grouped


class WorkerProcess:
    """A worker of one SDK. It lives through all the server's deaths."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
        line = self.process.stdout.readline()
        if b"ready" not in line:
            self.stop()
            raise RuntimeError(f"the {name} worker did not start: {log.read_text()[-4000:]}")

    def check_alive(self) -> None:
        assert self.process.poll() is None, f"the {self.name} worker gave up: {self.log.read_text()[-4000:]}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Driver:
    def __init__(self, address: str, journal: Journal, seed: int) -> None:
        self.address = address
        self.journal = journal
        self.rpc = Rpc(address, NAMESPACE)
        self.unique = f"{seed}-{uuid.uuid4().hex[:8]}"
        self.hand_queue = f"hand-{self.unique}"
        self.stopping = False
        self.started = 0

    async def until_acknowledged(self, method: str, give_up_on=(), **fields):
        """Repeats a call until the server has answered; only what it answered counts as acknowledged."""
        while True:
            try:
                return await getattr(self.rpc, method)(**fields)
            except grpc.aio.AioRpcError as error:
                if error.code() in give_up_on:
                    return None
                if error.code() not in AMBIGUOUS:
                    raise
                await asyncio.sleep(0.02)

    async def drive(self, queue: str) -> None:
        while not self.stopping:
            self.started += 1
            await self.one_workflow(queue, f"ledger-{self.unique}-{self.started}")

    async def one_workflow(self, queue: str, workflow_id: str) -> None:
        request_id = uuid.uuid4().hex
        response = await self.until_acknowledged(
            "StartWorkflowExecution",
            _seconds=3,
            workflow_id=workflow_id,
            workflow_type={"name": "Ledger"},
            task_queue={"name": queue},
            request_id=request_id,
            workflow_task_timeout=seconds(2),
            input=payloads(self.hand_queue, SIGNALS),
        )
        self.journal.write("started", id=workflow_id, run=response.run_id)
        execution = {"workflow_id": workflow_id, "run_id": response.run_id}
        for number in range(SIGNALS):
            request_id = uuid.uuid4().hex
            await self.until_acknowledged(
                "SignalWorkflowExecution",
                _seconds=3,
                workflow_execution=execution,
                signal_name="add",
                input=payloads(number),
                request_id=request_id,
            )
            self.journal.write("signalled", run=response.run_id, number=number)
        while True:
            page = await self.until_acknowledged(
                "GetWorkflowExecutionHistory",
                _seconds=5,
                execution=execution,
                wait_new_event=True,
                history_event_filter_type=CLOSE_EVENT,
            )
            if page.history.events:
                break
        assert types(page.history.events) == ["Completed"], f"{workflow_id}: {page.history.events}"
        self.journal.write("finished", run=response.run_id)

    async def complete_by_hand(self) -> None:
        """Polls the hand queue and completes what it gets, like a worker that keeps books."""
        while True:
            try:
                task = await self.rpc.PollActivityTaskQueue(
                    _seconds=5, task_queue={"name": self.hand_queue}, identity="driver"
                )
            except grpc.aio.AioRpcError as error:
                if error.code() not in AMBIGUOUS:
                    raise
                await asyncio.sleep(0.05)
                continue
            if not task.task_token:
                continue
            key = dict(run=task.workflow_execution.run_id, activity=task.activity_id, attempt=task.attempt)
            self.journal.write("handed", **key)
            number = payload_value(task.input.payloads[0])
            result = f"{number}:{task.attempt}:{uuid.uuid4().hex}"
            answer = await self.until_acknowledged(
                "RespondActivityTaskCompleted",
                _seconds=3,
                task_token=task.task_token,
                result=payloads(result),
                give_up_on=(Code.NOT_FOUND,),
            )
            if answer is not None:
                self.journal.write("completed", result=result, **key)


async def storm(
    server, driver: Driver, queues: list[str], workers: list[WorkerProcess], kills: int, dice: random.Random
) -> None:
    """Load and kills side by side, then quiet until every workflow has finished."""
    drives = [asyncio.create_task(driver.drive(queues[index % len(queues)])) for index in range(DRIVERS)]
    hands = [asyncio.create_task(driver.complete_by_hand()) for _ in range(HANDS)]
    try:
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(*UP_SECONDS))  # the moment of death, not a synchronisation
            for task in drives + hands:
                if task.done():
                    task.result()
            for worker in workers:
                worker.check_alive()
            server.kill()
            await asyncio.to_thread(server.start)
        driver.stopping = True
        await asyncio.wait_for(asyncio.gather(*drives), SETTLE_SECONDS_MAX)
    finally:
        for task in drives + hands:
            task.cancel()
        await asyncio.gather(*drives, *hands, return_exceptions=True)


async def whole_history(rpc: Rpc, workflow_id: str, run_id: str) -> list:
    events, token = [], b""
    while True:
        page = await rpc.GetWorkflowExecutionHistory(
            _options=AS_CLI, execution={"workflow_id": workflow_id, "run_id": run_id}, next_page_token=token
        )
        events.extend(page.history.events)
        token = page.next_page_token
        if not token:
            return events


def verify_run(events: list, signals: list[int], completions: list[dict]) -> None:
    check_invariants(events)
    assert types(events)[-1] == "Completed"
    seen = [
        payload_value(attributes(event).input.payloads[0])
        for event in events
        if types([event]) == ["Signaled"]
    ]
    assert seen == signals == list(range(SIGNALS)), f"signals in history: {seen}, acknowledged: {signals}"
    scheduled = {
        attributes(event).activity_id: event.event_id
        for event in events
        if types([event]) == ["ActivityTaskScheduled"]
    }
    assert len(scheduled) == SIGNALS, "each signal leads to one activity"
    ends: dict[int, list] = {}
    for event in events:
        if types([event])[0] in (
            "ActivityTaskCompleted",
            "ActivityTaskFailed",
            "ActivityTaskTimedOut",
            "ActivityTaskCanceled",
        ):
            ends.setdefault(attributes(event).scheduled_event_id, []).append(event)
    for activity_id, event_id in scheduled.items():
        assert types(ends.get(event_id, [])) == ["ActivityTaskCompleted"], (
            f"activity {activity_id}: {ends.get(event_id)}"
        )
    children = [name for name in types(events) if "Child" in name]
    assert children == [
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "ChildWorkflowExecutionCompleted",
    ] * (SIGNALS // 4), f"children in history: {children}"
    for completion in completions:
        [end] = ends[scheduled[completion["activity"]]]
        assert payload_value(attributes(end).result.payloads[0]) == completion["result"], (
            "an acknowledged completion is not the one in history"
        )
        started = events[attributes(end).started_event_id - 1]
        assert attributes(started).attempt == completion["attempt"]
    results = [payload_value(payload) for payload in attributes(events[-1]).result.payloads][0]
    assert [int(result.split(":")[0]) for result in results] == list(range(SIGNALS))


async def verify(driver: Driver, attempts: list[dict]) -> None:
    journal = driver.journal
    starts = journal.of("started")
    signalled, completed = journal.by_run("signalled"), journal.by_run("completed")
    assert len({start["id"] for start in starts}) == len({start["run"] for start in starts}) == len(starts)
    for start in starts:
        described = await driver.rpc.DescribeWorkflowExecution(execution={"workflow_id": start["id"]})
        assert described.workflow_execution_info.execution.run_id == start["run"], (
            "there is another run than the acknowledged one"
        )
        events = await whole_history(driver.rpc, start["id"], start["run"])
        verify_run(
            events,
            [entry["number"] for entry in signalled.get(start["run"], [])],
            completed.get(start["run"], []),
        )
        listed = await driver.rpc.ListWorkflowExecutions(query=f"WorkflowId = '{start['id']}'")
        assert [info.execution.run_id for info in listed.executions] == [start["run"]]
    twice = [
        key
        for key, number in Counter((e["run"], e["activity"], e["attempt"]) for e in attempts).items()
        if number > 1
    ]
    assert not twice, f"attempts that ran twice: {twice}"


def read_journal(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.crash
def test_killed_a_hundred_times(tmp_path):
    kills = int(os.environ.get("PERDURE_KILLS", "100"))
    seed = int(os.environ.get("PERDURE_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"PERDURE_SEED={seed} PERDURE_KILLS={kills}")
    here = Path(__file__).resolve().parent
    go_worker = tmp_path / "crashworker"
    subprocess.run(
        ["go", "build", "-o", str(go_worker), "./cmd/crashworker"], cwd=here.parent / "go", check=True
    )
    server = server_module.Server()
    server.start()
    workers: list[WorkerProcess] = []
    journals = {name: tmp_path / f"{name}.jsonl" for name in ("python", "go")}
    queues = {name: f"crash-{name}-{seed}" for name in journals}
    try:
        workers.append(
            WorkerProcess(
                "Python",
                [
                    sys.executable,
                    str(here / "crash_worker.py"),
                    server.address,
                    queues["python"],
                    str(journals["python"]),
                ],
                tmp_path / "python.log",
            )
        )
        workers.append(
            WorkerProcess(
                "Go",
                [
                    str(go_worker),
                    "-address",
                    server.address,
                    "-queue",
                    queues["go"],
                    "-journal",
                    str(journals["go"]),
                ],
                tmp_path / "go.log",
            )
        )

        async def body() -> Driver:
            driver = Driver(server.address, Journal(tmp_path / "driver.jsonl"), seed)
            begun = time.monotonic()
            await storm(server, driver, list(queues.values()), workers, kills, random.Random(seed))
            print(f"{kills} kills in {time.monotonic() - begun:.0f} s")
            attempts = [
                entry for path in journals.values() for entry in read_journal(path)
            ] + driver.journal.of("handed")
            await verify(driver, attempts)
            await driver.rpc.close()
            return driver

        driver = asyncio.run(body())
        journal = driver.journal
        print({kind: len(journal.of(kind)) for kind in ("started", "signalled", "handed", "completed")})
        assert journal.of("completed") and all(path.exists() for path in journals.values()), (
            "both SDKs and the hand worker took part"
        )
    finally:
        for worker in workers:
            worker.stop()
        server.close()
