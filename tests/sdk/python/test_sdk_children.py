"""Children and external workflows through the official Python SDK: what its users see of each end and each cancellation."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    TimeoutError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from support.histories import types
from support.workers import worker

CancelType = ChildWorkflowCancellationType


@workflow.defn
class Child:
    """Ends as it is told; "wait" waits for a signal, and ends as cancelled when that comes first."""

    def __init__(self) -> None:
        self.told: str | None = None

    @workflow.signal
    def tell(self, what: str) -> None:
        self.told = what

    @workflow.run
    async def run(self, what: str) -> str:
        attempt = workflow.info().attempt
        if what == "fail":
            raise ApplicationError("a failed child", type="Child")
        if what == "third time lucky" and attempt < 3:
            raise ApplicationError("not yet")
        if what.startswith("again "):
            left = int(what.removeprefix("again "))
            if left > 0:
                workflow.continue_as_new(f"again {left - 1}")
        if what.startswith("wait"):
            await workflow.wait_condition(lambda: self.told is not None)
            return f"told {self.told}"
        if what == "family":
            info = workflow.info()
            assert info.parent is not None and info.root is not None
            return f"{info.parent.workflow_id} {info.root.workflow_id}"
        return f"{what} {attempt}"


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, what: str, child_id: str) -> str:
        return await workflow.execute_child_workflow(
            Child.run,
            what,
            id=child_id,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), backoff_coefficient=1)
            if "time" in what
            else None,
            run_timeout=timedelta(seconds=1) if what == "wait too long" else None,
        )


@workflow.defn
class CancelsChild:
    """Cancels its child once it runs, and says what it got to see of that."""

    @workflow.run
    async def run(self, kind: int, child_id: str) -> str:
        handle = await workflow.start_child_workflow(
            Child.run, "wait", id=child_id, cancellation_type=CancelType(kind)
        )
        handle.cancel()
        try:
            await handle
        except ChildWorkflowError as error:
            return type(error.cause).__name__
        return "nothing"


@workflow.defn
class Leaves:
    """Ends while its child runs."""

    @workflow.run
    async def run(self, policy: int, child_id: str) -> str:
        await workflow.start_child_workflow(
            Child.run, "wait", id=child_id, parent_close_policy=ParentClosePolicy(policy)
        )
        return "left"


@workflow.defn
class Neighbour:
    """Signals and cancels another workflow, and says how that went."""

    @workflow.run
    async def run(self, workflow_id: str, what: str) -> str:
        handle = workflow.get_external_workflow_handle_for(Child.run, workflow_id)
        try:
            if what == "cancel":
                await handle.cancel()
            else:
                await handle.signal(Child.tell, what)
        except ApplicationError as error:
            return str(error)
        return "done"


WORKFLOWS = [Child, Parent, CancelsChild, Leaves, Neighbour]


async def history_types(handle) -> list[str]:
    return types([event async for event in handle.fetch_history_events()])


@pytest.mark.parametrize(
    ("what", "result"),
    [("plain", "plain 1"), ("third time lucky", "third time lucky 3"), ("again 2", "again 0 1")],
)
async def test_a_childs_result(env, what, result):
    client = await env.client()
    queue, child_id = env.name("queue"), env.name("child")
    async with worker(client, queue, WORKFLOWS):
        handle = await client.start_workflow(
            Parent.run, args=[what, child_id], id=env.name("wf"), task_queue=queue
        )
        assert await handle.result() == result
        seen = await history_types(handle)
        assert seen.count("ChildWorkflowExecutionStarted") == 1
        assert seen.count("ChildWorkflowExecutionCompleted") == 1


async def test_parent_and_root_as_the_child_sees_them(env):
    client = await env.client()
    queue, parent_id = env.name("queue"), env.name("wf")
    async with worker(client, queue, WORKFLOWS):
        result = await client.execute_workflow(
            Parent.run, args=["family", env.name("child")], id=parent_id, task_queue=queue
        )
        assert result == f"{parent_id} {parent_id}"


async def test_a_child_that_fails(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, WORKFLOWS):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(
                Parent.run, args=["fail", env.name("child")], id=env.name("wf"), task_queue=queue
            )
    error = caught.value.cause
    assert isinstance(error, ChildWorkflowError) and isinstance(error.cause, ApplicationError)
    assert error.cause.message == "a failed child" and error.cause.type == "Child"
    assert error.workflow_type == "Child" and error.started_event_id == 6


async def test_a_child_that_times_out(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, WORKFLOWS):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(
                Parent.run, args=["wait too long", env.name("child")], id=env.name("wf"), task_queue=queue
            )
    error = caught.value.cause
    assert isinstance(error, ChildWorkflowError) and isinstance(error.cause, TimeoutError)


async def test_a_child_that_is_terminated(env):
    client = await env.client()
    queue, child_id = env.name("queue"), env.name("child")
    async with worker(client, queue, WORKFLOWS):
        parent = await client.start_workflow(
            Parent.run, args=["wait", child_id], id=env.name("wf"), task_queue=queue
        )
        while "ChildWorkflowExecutionStarted" not in await history_types(parent):
            await asyncio.sleep(0.02)  # the SDK has no long poll for this
        await client.get_workflow_handle(child_id).terminate()
        with pytest.raises(WorkflowFailureError) as caught:
            await parent.result()
    error = caught.value.cause
    assert isinstance(error, ChildWorkflowError) and isinstance(error.cause, TerminatedError)


async def test_an_id_that_is_taken(env):
    client = await env.client()
    queue, child_id = env.name("queue"), env.name("child")
    async with worker(client, queue, WORKFLOWS):
        other = await client.start_workflow(Child.run, "wait", id=child_id, task_queue=queue)
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(
                Parent.run, args=["plain", child_id], id=env.name("wf"), task_queue=queue
            )
        await other.signal(Child.tell, "end")
        assert await other.result() == "told end"
    assert "already" in str(caught.value.cause)


@pytest.mark.parametrize(
    ("kind", "seen", "events"),
    [
        (CancelType.WAIT_CANCELLATION_COMPLETED, "CancelledError", ["ChildWorkflowExecutionCanceled"]),
        (
            CancelType.WAIT_CANCELLATION_REQUESTED,
            "CancelledError",
            ["ExternalWorkflowExecutionCancelRequested"],
        ),
        (CancelType.TRY_CANCEL, "CancelledError", ["RequestCancelExternalWorkflowExecutionInitiated"]),
        (CancelType.ABANDON, "CancelledError", []),
    ],
    ids=lambda value: value.name if isinstance(value, CancelType) else None,
)
async def test_cancelling_a_child(env, kind, seen, events):
    client = await env.client()
    queue, child_id = env.name("queue"), env.name("child")
    async with worker(client, queue, WORKFLOWS):
        handle = await client.start_workflow(
            CancelsChild.run, args=[int(kind), child_id], id=env.name("wf"), task_queue=queue
        )
        assert await handle.result() == seen
        history = await history_types(handle)
        for event in events:
            assert event in history
        if kind is CancelType.ABANDON:
            assert not any("Cancel" in event for event in history)
        child = client.get_workflow_handle(child_id)
        with pytest.raises(WorkflowFailureError) as caught:
            await child.result()  # the parent's end terminates it when the cancellation has not
        expected = (
            (CancelledError,)
            if events[:1] == ["ChildWorkflowExecutionCanceled"]
            else (
                CancelledError,
                TerminatedError,
            )
        )
        assert isinstance(caught.value.cause, expected)


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (ParentClosePolicy.TERMINATE, WorkflowExecutionStatus.TERMINATED),
        (ParentClosePolicy.REQUEST_CANCEL, WorkflowExecutionStatus.CANCELED),
        (ParentClosePolicy.ABANDON, WorkflowExecutionStatus.COMPLETED),
    ],
    ids=lambda value: value.name,
)
async def test_parent_close_policies(env, policy, status):
    client = await env.client()
    queue, child_id = env.name("queue"), env.name("child")
    async with worker(client, queue, WORKFLOWS):
        await client.execute_workflow(
            Leaves.run, args=[int(policy), child_id], id=env.name("wf"), task_queue=queue
        )
        child = client.get_workflow_handle(child_id)
        if policy is ParentClosePolicy.ABANDON:
            await child.signal(Child.tell, "go on")
            assert await child.result() == "told go on"
        else:
            with pytest.raises(WorkflowFailureError):
                await child.result()
        assert (await child.describe()).status == status


async def test_signals_and_cancel_requests_to_others(env):
    client = await env.client()
    queue, first, second = env.name("queue"), env.name("child"), env.name("child")

    async def ask(workflow_id: str, what: str) -> str:
        return await client.execute_workflow(
            Neighbour.run, args=[workflow_id, what], id=env.name("wf"), task_queue=queue
        )

    async with worker(client, queue, WORKFLOWS):
        signalled = await client.start_workflow(Child.run, "wait", id=first, task_queue=queue)
        cancelled = await client.start_workflow(Child.run, "wait", id=second, task_queue=queue)
        assert await ask(first, "hello") == "done"
        assert await signalled.result() == "told hello"
        assert await ask(second, "cancel") == "done"
        with pytest.raises(WorkflowFailureError) as caught:
            await cancelled.result()
        assert isinstance(caught.value.cause, CancelledError)
        assert "not found" in (await ask(first, "too late")).lower()
        assert "not found" in (await ask(env.name("nobody"), "cancel")).lower()
