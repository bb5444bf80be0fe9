"""The server is killed with SIGKILL again and again under load; nothing that it acknowledged may be lost or done twice.

A driver starts workflows, signals, updates, queries and resets them and completes some of their activities by hand. Every
call that was acknowledged is in its journal, on disk, before the driver goes on. Workers of four SDKs run the rest (activities that
beat, local ones, timers, children that continue as new) and keep journals of their own. At the end each journal is compared with the
histories, and the store with itself (`perdure store verify`):

- every acknowledged start is one run, the one whose id was given, and it completed;
- every acknowledged signal is in that run's history exactly once, in order;
- every acknowledged update is in that run's history exactly once, accepted and completed, with the result that was told;
- a query saw every signal that had been acknowledged before it;
- every acknowledged reset is one run, which has the signals again and completed, and the run it is of is what it was;
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
WORKER_DIES_EACH = 10
RESET_EACH = 5
STOP_SECONDS_MAX = 6.0
SETTLE_SECONDS_MAX = 120.0
AMBIGUOUS = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.ABORTED, Code.RESOURCE_EXHAUSTED)
# A workflow task that was lost with the server several times counts as one that keeps failing.
NOT_READY = (*AMBIGUOUS, Code.FAILED_PRECONDITION)
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
    """A worker of one SDK. It lives through the server's deaths, and is killed itself now and then."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.start()

    def restart(self) -> None:
        """As a supervisor does; of a worker that was cut off hundreds of times some SDKs give up polling silently."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as errors:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
        line = self.process.stdout.readline()
        if b"ready" not in line:
            self.stop()
            raise RuntimeError(f"the {self.name} worker did not start: {self.log.read_text()[-4000:]}")

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

    async def until_acknowledged(self, method: str, give_up_on=(), repeat_on=AMBIGUOUS, **fields):
        """Repeats a call until the server has answered; only what it answered counts as acknowledged."""
        while True:
            try:
                return await getattr(self.rpc, method)(**fields)
            except grpc.aio.AioRpcError as error:
                if error.code() in give_up_on:
                    return None
                if error.code() not in repeat_on:
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
            if number % 3 == 1:
                await self.update(execution, number)
            if number % 4 == 2:
                await self.query(execution, number)
        await self.until_finished(execution)
        if int(workflow_id.rsplit("-", 1)[1]) % RESET_EACH == 0:
            await self.reset(execution)

    async def update(self, execution: dict, number: int) -> None:
        """An update may be lost with the server before it is accepted, so it is sent again with its id."""
        update_id = uuid.uuid4().hex
        outcome = None
        while outcome is None:
            answer = await self.until_acknowledged(
                "UpdateWorkflowExecution",
                _seconds=5,
                repeat_on=NOT_READY,
                workflow_execution=execution,
                wait_policy={"lifecycle_stage": "UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED"},
                request={"meta": {"update_id": update_id}, "input": {"name": "keep", "args": payloads(number)}},
            )
            if answer.HasField("outcome"):
                outcome = answer.outcome
        assert outcome.HasField("success"), outcome
        place = payload_value(outcome.success.payloads[0])
        self.journal.write("updated", run=execution["run_id"], update=update_id, place=place)

    async def query(self, execution: dict, number: int) -> None:
        answer = await self.until_acknowledged(
            "QueryWorkflow",
            _seconds=5,
            repeat_on=NOT_READY,
            execution=execution,
            query={"query_type": "taken"},
        )
        taken = payload_value(answer.query_result.payloads[0])
        assert taken == list(range(len(taken))), taken
        self.journal.write("queried", run=execution["run_id"], number=number, taken=len(taken))

    async def reset(self, execution: dict) -> None:
        """To the first workflow task: everything that was sent comes again."""
        page = await self.until_acknowledged(
            "GetWorkflowExecutionHistory", _seconds=5, execution=execution, maximum_page_size=1000
        )
        point = next(event.event_id for event in page.history.events if types([event]) == ["WftCompleted"])
        response = await self.until_acknowledged(
            "ResetWorkflowExecution",
            _seconds=3,
            workflow_execution=execution,
            workflow_task_finish_event_id=point,
            request_id=uuid.uuid4().hex,
        )
        self.journal.write("reset", id=execution["workflow_id"], base=execution["run_id"], run=response.run_id)
        await self.until_finished(execution | {"run_id": response.run_id})

    async def until_finished(self, execution: dict) -> None:
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
        assert types(page.history.events) == ["Completed"], f"{execution}: {page.history.events}"
        self.journal.write("finished", run=execution["run_id"])

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
    server, driver: Driver, queues: list[str], workers: list[WorkerProcess], times: int, dice: random.Random, end
) -> None:
    """Load and ends of the server (by `end`) side by side, then quiet until every workflow has finished."""
    drives = [asyncio.create_task(driver.drive(queues[index % len(queues)])) for index in range(DRIVERS)]
    hands = [asyncio.create_task(driver.complete_by_hand()) for _ in range(HANDS)]
    try:
        for number in range(1, times + 1):
            await asyncio.sleep(dice.uniform(*UP_SECONDS))  # the moment of death, not a synchronisation
            for task in drives + hands:
                if task.done():
                    task.result()
            for worker in workers:
                worker.check_alive()
            await asyncio.to_thread(end)
            await asyncio.to_thread(server.start)
            if number % WORKER_DIES_EACH == 0:
                await asyncio.to_thread(workers[number // WORKER_DIES_EACH % len(workers)].restart)
        driver.stopping = True
        await asyncio.to_thread(lambda: [worker.restart() for worker in workers])
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


def verify_updates(events: list, updates: list[dict]) -> None:
    for update in updates:
        accepted = [e for e in events if attributes_of(e, "UpdateAccepted", "protocol_instance_id") == update["update"]]
        ended = [e for e in events if types([e]) == ["UpdateCompleted"] and attributes(e).meta.update_id == update["update"]]
        assert len(accepted) == len(ended) == 1, f"{update}: {len(accepted)} times accepted, {len(ended)} times completed"
        assert payload_value(attributes(ended[0]).outcome.success.payloads[0]) == update["place"]


def attributes_of(event, kind: str, name: str):
    return getattr(attributes(event), name) if types([event]) == [kind] else None


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
    signalled, completed, updated = (journal.by_run(kind) for kind in ("signalled", "completed", "updated"))
    resets = {entry["id"]: entry["run"] for entry in journal.of("reset")}
    assert len({start["id"] for start in starts}) == len({start["run"] for start in starts}) == len(starts)
    for start in starts:
        runs = [start["run"]] + ([resets[start["id"]]] if start["id"] in resets else [])
        described = await driver.rpc.DescribeWorkflowExecution(execution={"workflow_id": start["id"]})
        assert described.workflow_execution_info.execution.run_id == runs[-1], (
            "there is another run than the acknowledged one"
        )
        for run in runs:
            sent = signalled.get(start["run"], [])
            events = await whole_history(driver.rpc, start["id"], run)
            verify_run(events, [entry["number"] for entry in sent], completed.get(run, []))
            verify_updates(events, updated.get(run, []))
        listed = await driver.rpc.ListWorkflowExecutions(query=f"WorkflowId = '{start['id']}'")
        assert {info.execution.run_id for info in listed.executions} == set(runs)
    for query in journal.of("queried"):
        assert query["taken"] > query["number"], f"a query did not see an acknowledged signal: {query}"
    twice = [
        key
        for key, number in Counter((e["run"], e["activity"], e["attempt"]) for e in attempts).items()
        if number > 1
    ]
    assert not twice, f"attempts that ran twice: {twice}"


def read_journal(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def java_command(directory: Path) -> list[str]:
    java = Path(__file__).resolve().parent.parent / "java"
    packages = directory / "java.classpath"
    goals = ["test-compile", "dependency:build-classpath", f"-Dmdep.outputFile={packages}"]
    subprocess.run(["mvn", "-B", "-q", "-ntp", "-Dstyle.color=never", *goals], cwd=java, check=True)
    classes = f"{java / 'target' / 'test-classes'}:{packages.read_text().strip()}"
    return ["java", "-Xmx256m", "-cp", classes, "perdure.crash.CrashWorker"]


def worker_commands(directory: Path) -> dict[str, list[str]]:
    """The workers, prepared: each takes an address, a task queue and a journal."""
    here = Path(__file__).resolve().parent
    go_worker = directory / "crashworker"
    subprocess.run(
        ["go", "build", "-o", str(go_worker), "./cmd/crashworker"], cwd=here.parent / "go", check=True
    )
    typescript = here.parent / "typescript"
    if not (typescript / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=typescript, check=True)
    return {
        "python": [sys.executable, str(here / "crash_worker.py")],
        "go": [str(go_worker)],
        "typescript": ["node", str(typescript / "crash_worker.js")],
        "java": java_command(directory),
    }


def survive(directory: Path, times: int, seed: int, end_of) -> None:
    """The whole of it: servers that end `times` times by what `end_of` gives for a server, and what is left of it all."""
    commands = worker_commands(directory)
    server = server_module.Server()
    server.start()
    workers: list[WorkerProcess] = []
    journals = {name: directory / f"{name}.jsonl" for name in commands}
    queues = {name: f"crash-{name}-{seed}" for name in commands}
    try:
        for name, command in commands.items():
            arguments = [*command, server.address, queues[name], str(journals[name])]
            workers.append(WorkerProcess(name, arguments, directory / f"{name}.log"))

        async def body() -> Driver:
            driver = Driver(server.address, Journal(directory / "driver.jsonl"), seed)
            begun = time.monotonic()
            dice = random.Random(seed)
            await storm(server, driver, list(queues.values()), workers, times, dice, end_of(server))
            print(f"{times} times in {time.monotonic() - begun:.0f} s")
            attempts = [entry for path in journals.values() for entry in read_journal(path)]
            await verify(driver, attempts + driver.journal.of("handed"))
            await driver.rpc.close()
            return driver

        driver = asyncio.run(body())
        kinds = Counter(entry["kind"] for entry in driver.journal.entries)
        print(dict(kinds))
        for kind in ("updated", "queried", "completed"):
            assert kinds[kind], f"nothing was {kind}"
        assert all(read_journal(path) for path in journals.values()), "all SDKs took part"
        server.stop()
        command = [str(server_module.server_binary()), "store", "verify", str(server.store)]
        verified = subprocess.run(command, capture_output=True, text=True)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        print(verified.stdout.strip().splitlines()[-1])
    finally:
        for worker in workers:
            worker.stop()
        server.close()


@pytest.mark.crash
def test_killed_a_hundred_times(tmp_path):
    kills = int(os.environ.get("PERDURE_KILLS", "100"))
    seed = int(os.environ.get("PERDURE_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"PERDURE_SEED={seed} PERDURE_KILLS={kills}")
    survive(tmp_path, kills, seed, lambda server: server.kill)


@pytest.mark.crash
def test_stopped_twenty_times(tmp_path):
    """SIGTERM under load: exit code 0 within seconds each time, and clients and workers hear nothing but what SDKs retry."""
    seed = int(os.environ.get("PERDURE_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"PERDURE_SEED={seed}")

    def stop_of(server):
        def stop() -> None:
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < STOP_SECONDS_MAX

        return stop

    survive(tmp_path, 20, seed, stop_of)
