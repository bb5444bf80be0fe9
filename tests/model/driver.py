"""Runs one program against a server: makes each operation, then waits until what the model foresees has happened.

The waits are for histories to grow (long polls), for activities to reach the worker and for tasks to be held (gates):
nothing sleeps. What never comes is a failure after WAIT_SECONDS.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
from support.grpc_client import Rpc
from support.histories import check_invariants
from temporalio.client import (
    AsyncActivityCancelledError,
    Client,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

import interpreter
from gates import Gates
from generate import Expected, Program
from normal import Names, type_name
from normal import event as plain_event

WAIT_SECONDS = 20.0
PAGE_WAIT_SECONDS = 15.0
ASK_AGAIN_SECONDS = 0.01
CUT_OFF = "application(AcceptedUpdateCompletedWorkflow, …, -)"
# The reference hides not yet written events of a workflow task from its own command line only.
AS_COMMAND_LINE = {"metadata": (("client-name", "temporal-cli"), ("client-version", "1.0.0"))}


class Difference(Exception):
    """The server did something else than the model said."""


class Session:
    """One program's run."""

    def __init__(self, client: Client, rpc: Rpc, gates: Gates, names: Names, program: Program) -> None:
        self.program = program
        self.client, self.rpc, self.gates, self.names = client, rpc, gates, names
        self.runs: dict[str, str] = {}  # run alias to run id
        self.histories: dict[str, list] = {}  # run alias to the raw events read so far
        self.updates: dict[str, asyncio.Task] = {}

    def workflow(self, alias: str) -> str:
        return self.names.real(alias)

    def learn(self, alias: str, run_id: str) -> None:
        self.runs[alias] = run_id
        self.names.runs[run_id] = alias

    def learn_from(self, alias: str) -> None:
        """Runs that the server made are named by the events that tell of them, at the places the model foresees."""
        for wanted, raw in zip(self.program.histories[alias], self.histories[alias], strict=False):
            which = raw.WhichOneof("attributes")
            attributes = getattr(raw, which)
            if wanted["type"] != type_name(raw):
                return
            if wanted["type"] == "ChildWorkflowExecutionStarted":
                self.learn(wanted["workflow_execution"]["run_id"], attributes.workflow_execution.run_id)
            elif wanted.get("new_execution_run_id") and attributes.new_execution_run_id:
                self.learn(wanted["new_execution_run_id"], attributes.new_execution_run_id)

    async def read(self, alias: str, at_least: int) -> None:
        """Reads the run's history until it has that many events."""
        token = b""
        events: list = []
        while True:
            page = await self.rpc.GetWorkflowExecutionHistory(
                _seconds=PAGE_WAIT_SECONDS + 5,
                _options=AS_COMMAND_LINE,
                execution={
                    "workflow_id": self.workflow(alias.rsplit("/", 1)[0]),
                    "run_id": self.runs[alias],
                },
                wait_new_event=len(events) < at_least,
                next_page_token=token,
            )
            events.extend(page.history.events)
            self.histories[alias] = events
            self.learn_from(alias)
            token = page.next_page_token
            if len(events) >= at_least or not token:
                return

    async def perform(self, operation: dict) -> str:
        """Makes the operation; what its caller was told."""
        try:
            return await getattr(self, "op_" + operation["op"])(operation) or "ok"
        except RPCError as error:
            return error.status.name
        except grpc.aio.AioRpcError as error:
            return error.code().name

    async def op_start(self, operation: dict) -> None:
        options = operation.get("options", {})
        message = operation.get("message")
        handle = await self.client.start_workflow(
            "program",
            self.names.real(operation["program"]),
            id=self.workflow(operation["workflow"]),
            task_queue=self.names.real(operation["queue"]),
            task_timeout=timedelta(seconds=60),
            run_timeout=interpreter.seconds(options.get("run_timeout")),
            execution_timeout=interpreter.seconds(options.get("execution_timeout")),
            retry_policy=interpreter.retry_policy(options.get("retry")),
            memo=options.get("memo"),
            start_signal="tell" if message else None,
            start_signal_args=[self.names.real(message)] if message else [],
        )
        self.learn(operation["workflow"] + "/1", handle.result_run_id or handle.first_execution_run_id)

    async def op_signal(self, operation: dict) -> None:
        handle = self.client.get_workflow_handle(self.workflow(operation["workflow"]))
        await handle.signal("tell", self.names.real(operation["message"]))

    async def op_update(self, operation: dict) -> None:
        question = self.names.real(operation["question"])
        handle = self.client.get_workflow_handle(self.workflow(operation["workflow"]))

        async def ask() -> str:
            try:
                return (
                    f"ok {await handle.execute_update('ask', question, id=question['id'], result_type=str)}"
                )
            except WorkflowUpdateFailedError as error:
                told = interpreter.describe(error.cause)
                # The server's own words are free, but for their type.
                return CUT_OFF if told.startswith("application(AcceptedUpdateCompletedWorkflow, ") else told
            except RPCError as error:
                return error.status.name

        self.updates[question["id"]] = asyncio.create_task(ask())

    async def admitted(self, operation: dict) -> None:
        """Until the server knows the update: nothing else shows that, when its caller is not answered yet."""
        reference = {
            "workflow_execution": {"workflow_id": self.workflow(operation["workflow"])},
            "update_id": operation["question"]["id"],
        }
        while True:
            try:
                await self.rpc.PollWorkflowExecutionUpdate(update_ref=reference)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def op_cancel(self, operation: dict) -> None:
        await self.client.get_workflow_handle(self.workflow(operation["workflow"])).cancel()

    async def op_terminate(self, operation: dict) -> None:
        await self.client.get_workflow_handle(self.workflow(operation["workflow"])).terminate(reason="enough")

    async def op_release(self, operation: dict) -> None:
        self.gates.release((self.runs[operation["run"]], operation["hold"]))

    async def op_activity(self, operation: dict) -> str | None:
        """Ends an attempt: by its task token, as another process would, or by letting the worker's function end."""
        attempt = self.gates.attempt(
            self.runs[operation["run"]], operation["activity"], operation["attempt"]
        ).result()
        outcome, value = operation["outcome"], f"result of {operation['activity']}"
        failure = ApplicationError("activity failed", type="Oops", non_retryable=outcome == "fail_final")
        if operation["by"] == "worker":
            if outcome == "complete":
                attempt.outcome.set_result(value)
            else:
                attempt.outcome.set_exception(failure)
            return None
        handle = self.client.get_async_activity_handle(task_token=attempt.token)
        if outcome == "complete":
            await handle.complete(value)
        elif outcome == "canceled":
            await handle.report_cancellation("told to")
        elif outcome == "heartbeat":
            try:
                await handle.heartbeat("beat")
            except AsyncActivityCancelledError:
                return "cancel requested"
        else:
            await handle.fail(failure)
        return None

    async def reach(self, expected: Expected) -> None:
        left = dict(expected.events)
        while left:
            known = [alias for alias in left if alias in self.runs]
            if not known:
                raise Difference(f"nothing tells of the runs {sorted(left)}")
            for alias in known:
                await self.read(alias, left.pop(alias))
        for alias, label, number in expected.attempts:
            await self.gates.attempt(self.runs[alias], label, number)
        for alias, label in expected.holds:
            await self.gates.hold((self.runs[alias], label)).entered.wait()
        for update, wanted in expected.updates.items():
            told = await asyncio.shield(self.updates[update])
            if told != wanted:
                raise Difference(f"update {update} was told {told!r}, not {wanted!r}")

    async def step(self, operation: dict, expected: Expected) -> None:
        answer = await self.perform(operation)
        if answer != expected.answer:
            raise Difference(f"the call was told {answer!r}, not {expected.answer!r}")
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                if operation["op"] == "update" and operation["question"]["id"] not in expected.updates:
                    await self.admitted(operation)
                await self.reach(expected)
        except TimeoutError:
            raise Difference(f"this did not come true within {WAIT_SECONDS:.0f} s: {expected}") from None

    async def collect(self) -> dict[str, list[dict]]:
        """The histories of all runs that are known, whole and normalised."""
        for alias in self.program.histories:
            if alias in self.runs:
                await self.read(alias, 0)
                check_invariants(self.histories[alias])
        return {
            alias: [plain_event(raw, self.names) for raw in events]
            for alias, events in self.histories.items()
        }

    async def close(self) -> None:
        """Leaves nothing running: open runs are terminated, waiting callers given up."""
        for alias in dict.fromkeys(alias.rsplit("/", 1)[0] for alias in self.runs):
            try:
                await self.rpc.TerminateWorkflowExecution(
                    workflow_execution={"workflow_id": self.workflow(alias)}
                )
            except grpc.aio.AioRpcError:
                pass  # it is closed
        for run_id in self.runs.values():
            self.gates.open_run(run_id)
        for task in self.updates.values():
            task.cancel()
        await asyncio.gather(*self.updates.values(), return_exceptions=True)

    async def run(self) -> None:
        """The whole program; raises Difference at the first thing that the model did not say."""
        try:
            for operation, expected in zip(self.program.operations, self.program.expected, strict=True):
                await self.step(operation, expected)
        except Difference as difference:
            raise Difference(f"{difference}\n{await self.first_difference()}") from None
        found = await self.first_difference()
        if found:
            raise Difference(found)

    async def first_difference(self) -> str:
        """Where the histories leave the model's; empty when they do not."""
        histories = await self.collect()
        for alias, wanted in self.program.histories.items():
            if alias not in histories:
                return f"there is no run {alias}"
            text = compare(alias, wanted, histories[alias])
            if text:
                return text
        return ""


CONTEXT = 6


def compare(alias: str, wanted: list[dict], found: list[dict]) -> str:
    """The first event that differs, with what came before it; empty when the histories are equal."""
    for number in range(max(len(wanted), len(found))):
        ours = wanted[number] if number < len(wanted) else None
        theirs = found[number] if number < len(found) else None
        if ours == theirs:
            continue
        lines = [f"run {alias}, event {number + 1}:"]
        for before in range(max(0, number - CONTEXT), number):
            lines.append(f"      {before + 1} {found[before]['type']}")
        if ours is None or theirs is None or ours["type"] != theirs["type"]:
            lines.append(f"  model  {number + 1} {ours}")
            lines.append(f"  server {number + 1} {theirs}")
            lines.extend(f"      then {event['type']}" for event in found[number + 1 : number + 1 + CONTEXT])
        else:
            lines.append(f"      {number + 1} {ours['type']}")
            for key in sorted(set(ours) | set(theirs)):
                if ours.get(key) != theirs.get(key):
                    lines.append(f"  model  {key}: {ours.get(key)!r}")
                    lines.append(f"  server {key}: {theirs.get(key)!r}")
        return "\n".join(lines)
    return ""
