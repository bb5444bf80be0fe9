"""The one workflow and the one activity that all programs run through.

A program is a list of steps. No step waits: one that starts something (a timer, an activity, a child) carries in
`then` the steps to run when that something ends, and signals and updates bring steps along. What is ready when the
workflow has come to rest runs in a fixed order: signals and updates as they came, then ends in the order in which
their steps were started. So the commands of a workflow task depend on what it was told, and on nothing else.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)

from gates import Gates

GATES: Gates | None = None  # set by the driver, which lives in the same process
SEARCH_ATTRIBUTE = SearchAttributeKey.for_keyword("ModelKeyword")

ACTIVITY_CANCELLATION = {
    "wait": workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    "try": workflow.ActivityCancellationType.TRY_CANCEL,
    "abandon": workflow.ActivityCancellationType.ABANDON,
}
CHILD_CANCELLATION = {
    "wait": workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    "requested": workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED,
    "try": workflow.ChildWorkflowCancellationType.TRY_CANCEL,
    "abandon": workflow.ChildWorkflowCancellationType.ABANDON,
}
PARENT_CLOSE = {
    "terminate": workflow.ParentClosePolicy.TERMINATE,
    "cancel": workflow.ParentClosePolicy.REQUEST_CANCEL,
    "abandon": workflow.ParentClosePolicy.ABANDON,
}


def seconds(value):
    return None if value is None else timedelta(seconds=value)


def retry_policy(fields):
    if fields is None:
        return None
    return RetryPolicy(
        initial_interval=timedelta(seconds=fields.get("initial", 1)),
        backoff_coefficient=fields.get("coefficient", 2.0),
        maximum_attempts=fields.get("attempts", 0),
        non_retryable_error_types=fields.get("non_retryable"),
    )


def describe(error: BaseException | None) -> str:
    """What workflow code saw of a failure, in one line that the model can predict."""
    if error is None:
        return "-"
    if isinstance(error, ActivityError):
        return f"activity({error.retry_state.name if error.retry_state else None}, {describe(error.cause)})"
    if isinstance(error, ChildWorkflowError):
        return f"child({error.retry_state.name if error.retry_state else None}, {describe(error.cause)})"
    if isinstance(error, WorkflowAlreadyStartedError):
        return "already started"
    if isinstance(error, ApplicationError):
        return f"application({error.type}, {error.message}, {describe(error.cause)})"
    if isinstance(error, TimeoutError):
        return f"timeout({error.type.name}, {list(error.last_heartbeat_details)}, {describe(error.cause)})"
    if isinstance(error, (CancelledError, asyncio.CancelledError)):
        return f"cancelled({list(getattr(error, 'details', ()))})"
    if isinstance(error, TerminatedError):
        return "terminated"
    return type(error).__name__


@activity.defn(name="gate")
async def gate(mode: str) -> str:
    """Says that it has started, then does what the driver says; in mode "token" the driver answers by itself."""
    info = activity.info()
    attempt = GATES.arrive(info.workflow_run_id, info.activity_id, info.attempt, info.task_token)
    if mode == "token":
        activity.raise_complete_async()
    return await attempt.outcome


@activity.defn(name="local")
async def local(value: str) -> str:
    if value == "fail":
        raise ApplicationError("local failed", type="Local", non_retryable=True)
    return value


class Ended(Exception):
    """A closing step: leaves the loop whatever else is ready."""

    def __init__(self, outcome: str, step: dict) -> None:
        self.outcome = outcome
        self.step = step


@workflow.defn(name="program", failure_exception_types=[])
class Program:
    def __init__(self) -> None:
        self.ready: list[tuple[tuple, str | None, str, list]] = []  # (order, label, outcome, steps)
        self.log: list[list[str]] = []
        self.handles: dict[str, asyncio.Task] = {}
        self.order: dict[str, int] = {}
        self.arrivals = 0
        self.answers: dict[str, asyncio.Future] = {}
        self.answered: dict[str, asyncio.Event] = {}

    @workflow.run
    async def run(self, program: dict) -> list:
        self.on_cancel = program.get("on_cancel")
        self.ready.append(((0, 0), None, "", program["steps"]))
        try:
            while True:
                try:
                    await workflow.wait_condition(lambda: bool(self.ready))
                except asyncio.CancelledError:
                    if self.on_cancel is None:
                        raise
                    self.ready.append(((3, 0), "cancel", "requested", self.on_cancel))
                    continue
                batch, self.ready = sorted(self.ready, key=lambda item: item[0]), []
                for _, label, outcome, steps in batch:
                    if label is not None:
                        self.log.append([label, outcome])
                    for step in steps:
                        await self.execute(step)
        except Ended as ended:
            if ended.outcome == "complete":
                return self.log
            if ended.outcome == "fail":
                raise ApplicationError(
                    "program failed", type="Program", non_retryable=ended.step.get("non_retryable", False)
                ) from None
            if ended.outcome == "canceled":
                raise asyncio.CancelledError from None
            workflow.continue_as_new(ended.step["program"])

    @workflow.signal
    def tell(self, message: dict) -> None:
        self.arrivals += 1
        self.ready.append(((1, self.arrivals), message["id"], "signal", message["steps"]))

    @workflow.update
    async def ask(self, question: dict) -> str:
        self.arrivals += 1
        self.ready.append(((1, self.arrivals), question["id"], "update", question["steps"]))
        if question["mode"] == "fail":
            raise ApplicationError("update failed", type="Update")
        if question["mode"] == "later":
            self.answers[question["id"]] = asyncio.get_running_loop().create_future()
            self.answered[question["id"]] = asyncio.Event()
            await self.answers[question["id"]]
            self.answered[question["id"]].set()
        return f"answer to {question['id']}"

    @ask.validator
    def check(self, question: dict) -> None:
        if question["mode"] == "reject":
            raise ApplicationError("update rejected", type="Rejected")

    def watch(self, step: dict, task: asyncio.Task) -> None:
        """When the task ends, the step's `then` becomes ready."""
        label = step["id"]
        self.handles[label] = task
        self.order[label] = len(self.order)
        task.add_done_callback(lambda done: self.resolved(step, done))

    def resolved(self, step: dict, task: asyncio.Task) -> None:
        if task.cancelled():
            outcome = "cancelled"
        elif task.exception() is not None:
            outcome = describe(task.exception())
        else:
            outcome = f"ok {task.result()}"
        self.ready.append(((2, self.order[step["id"]], 1), step["id"], outcome, step.get("then", [])))

    async def settle(self) -> None:
        """Lets tasks that were just made or cancelled take their first steps, so that their commands come here."""
        for _ in range(4):
            await asyncio.sleep(0)

    async def execute(self, step: dict) -> None:
        await getattr(self, "do_" + step["do"])(step)

    async def do_activity(self, step: dict) -> None:
        self.watch(
            step,
            workflow.start_activity(
                "gate",
                step.get("mode", "token"),
                result_type=str,
                activity_id=step["id"],
                task_queue=step.get("queue"),
                schedule_to_close_timeout=seconds(step.get("schedule_to_close")),
                schedule_to_start_timeout=seconds(step.get("schedule_to_start")),
                start_to_close_timeout=seconds(step.get("start_to_close")),
                heartbeat_timeout=seconds(step.get("heartbeat")),
                retry_policy=retry_policy(step.get("retry")),
                cancellation_type=ACTIVITY_CANCELLATION[step.get("cancellation", "wait")],
            ),
        )

    async def do_local(self, step: dict) -> None:
        self.watch(
            step,
            workflow.start_local_activity(
                "local",
                step["value"],
                result_type=str,
                activity_id=step["id"],
                start_to_close_timeout=timedelta(seconds=60),
            ),
        )

    async def do_timer(self, step: dict) -> None:
        self.watch(step, asyncio.create_task(workflow.sleep(step["seconds"])))
        await self.settle()

    async def do_child(self, step: dict) -> None:
        self.order[step["id"]] = len(self.order)
        self.handles[step["id"]] = asyncio.create_task(self.child(step))
        await self.settle()

    async def child(self, step: dict) -> None:
        order = self.order[step["id"]]
        try:
            handle = await workflow.start_child_workflow(
                "program",
                step["program"],
                id=step["workflow"],
                result_type=list,
                parent_close_policy=PARENT_CLOSE[step.get("policy", "terminate")],
                cancellation_type=CHILD_CANCELLATION[step.get("cancellation", "wait")],
                task_timeout=timedelta(seconds=60),
                run_timeout=seconds(step.get("run_timeout")),
                execution_timeout=seconds(step.get("execution_timeout")),
                retry_policy=retry_policy(step.get("retry")),
                memo=step.get("memo"),
            )
        except BaseException as error:  # noqa: BLE001 - told to the log, whatever it is
            self.ready.append(((2, order, 0), step["id"], describe(error), step.get("then", [])))
            return
        self.ready.append(((2, order, 0), step["id"], "started", step.get("started", [])))
        self.handles[step["id"]] = handle
        handle.add_done_callback(lambda done: self.resolved(step, done))

    async def do_signal(self, step: dict) -> None:
        target = workflow.get_external_workflow_handle(step["workflow"])
        message = step["message"]
        self.watch(step, asyncio.create_task(target.signal("tell", message)))
        await self.settle()

    async def do_signal_child(self, step: dict) -> None:
        child = self.handles[step["child"]]
        self.watch(step, asyncio.create_task(child.signal("tell", step["message"])))
        await self.settle()

    async def do_cancel_external(self, step: dict) -> None:
        target = workflow.get_external_workflow_handle(step["workflow"])
        self.watch(step, asyncio.create_task(target.cancel()))
        await self.settle()

    async def do_cancel(self, step: dict) -> None:
        if step["target"] in self.handles:
            self.handles[step["target"]].cancel()
            await self.settle()

    async def do_answer(self, step: dict) -> None:
        self.answers[step["update"]].set_result(None)
        await self.answered[step["update"]].wait()
        await self.settle()

    async def do_memo(self, step: dict) -> None:
        workflow.upsert_memo(step["values"])

    async def do_search_attribute(self, step: dict) -> None:
        value = step["value"]
        workflow.upsert_search_attributes(
            [SEARCH_ATTRIBUTE.value_unset() if value is None else SEARCH_ATTRIBUTE.value_set(value)]
        )

    async def do_patch(self, step: dict) -> None:
        workflow.patched(step["id"])

    async def do_hold(self, step: dict) -> None:
        GATES.enter_hold((workflow.info().run_id, step["id"]))

    async def do_fail_task(self, step: dict) -> None:
        if GATES.fails_now((workflow.info().run_id, step["id"])):
            raise RuntimeError("task failed on purpose")

    async def do_complete(self, step: dict) -> None:
        raise Ended("complete", step)

    async def do_fail(self, step: dict) -> None:
        raise Ended("fail", step)

    async def do_canceled(self, step: dict) -> None:
        raise Ended("canceled", step)

    async def do_continue_as_new(self, step: dict) -> None:
        raise Ended("continue_as_new", step)
