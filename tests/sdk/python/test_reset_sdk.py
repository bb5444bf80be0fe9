"""Reset and delete with the official Python SDK: workflows go on from where they were reset to."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from support.histories import types
from support.workers import worker

calls: dict[str, int] = {}


@activity.defn
async def count(name: str) -> int:
    """How often it was asked: not what a workflow may rely on, but what a test wants to know."""
    calls[name] = calls.get(name, 0) + 1
    return calls[name]


@workflow.defn
class Ordered:
    """An activity, then signals until one says that it is enough, then another activity and a timer."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.signal
    def tell(self, what: str) -> None:
        self.heard.append(what)

    @workflow.query
    def state(self) -> list[str]:
        return self.heard

    @workflow.run
    async def run(self, name: str) -> list:
        first = await workflow.execute_activity(count, name, start_to_close_timeout=timedelta(seconds=10))
        await workflow.wait_condition(lambda: "enough" in self.heard)
        second = await workflow.execute_activity(count, name, start_to_close_timeout=timedelta(seconds=10))
        await asyncio.sleep(0.01)
        return [first, second, self.heard]


@workflow.defn
class Child:
    def __init__(self) -> None:
        self.done = False

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.done)
        return f"child of {workflow.info().parent.workflow_id}"


@workflow.defn
class Parent:
    def __init__(self) -> None:
        self.seen = 0

    @workflow.signal
    def look(self) -> None:
        self.seen += 1

    @workflow.run
    async def run(self) -> list:
        child = await workflow.start_child_workflow(Child.run, id=workflow.info().workflow_id + "-child")
        await workflow.wait_condition(lambda: self.seen >= 1)
        await asyncio.sleep(0.01)
        return [await child, self.seen]


@workflow.defn
class Counter:
    """Updates add to it; a signal ends it."""

    def __init__(self) -> None:
        self.total = 0
        self.done = False

    @workflow.update
    async def add(self, number: int) -> int:
        self.total += number
        await asyncio.sleep(0.01)
        return self.total

    @add.validator
    def check(self, number: int) -> None:
        if number < 0:
            raise ValueError("not less than nothing")

    @workflow.signal
    def end(self) -> None:
        self.done = True

    @workflow.run
    async def run(self, start: int) -> int:
        self.total += start
        await workflow.wait_condition(lambda: self.done and workflow.all_handlers_finished())
        return self.total


async def ends_of_tasks(handle) -> list[int]:
    events = [event async for event in handle.fetch_history_events()]
    return [event.event_id for event in events if types([event]) == ["WftCompleted"]]


async def reset(client, handle, event_id: int, **fields):
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.result_run_id or ""),
            reason="again",
            request_id=str(uuid.uuid4()),
            workflow_task_finish_event_id=event_id,
            **fields,
        )
    )
    return client.get_workflow_handle(handle.id, run_id=answer.run_id)


async def wait_for_tasks(handle, number: int) -> list[int]:
    while True:
        ends = await ends_of_tasks(handle)
        if len(ends) >= number:
            return ends
        await handle.describe()


async def test_a_running_workflow_is_reset_and_goes_on(env):
    client, queue, name = await env.client(), env.name("queue"), env.name("order")
    async with worker(client, queue, [Ordered], [count]):
        handle = await client.start_workflow(Ordered.run, name, id=env.name("wf"), task_queue=queue)
        await wait_for_tasks(handle, 2)
        await handle.signal(Ordered.tell, "one")
        await handle.signal(Ordered.tell, "two")
        assert (await handle.query(Ordered.state))[:2] == ["one", "two"]
        ends = await ends_of_tasks(handle)
        waiting = asyncio.create_task(handle.result())
        # Before its first activity: it is asked again.
        new = await reset(client, handle, ends[0])
        with pytest.raises(WorkflowFailureError) as refused:
            await waiting
        assert isinstance(refused.value.cause, TerminatedError)
        await client.get_workflow_handle(handle.id).signal(Ordered.tell, "enough")
        assert await new.result() == [2, 3, ["one", "two", "enough"]]
        described = await client.get_workflow_handle(handle.id).describe()
        assert described.run_id != handle.result_run_id
        assert described.status == WorkflowExecutionStatus.COMPLETED


async def test_a_completed_workflow_is_reset_behind_its_first_activity(env):
    client, queue, name = await env.client(), env.name("queue"), env.name("order")
    async with worker(client, queue, [Ordered], [count]):
        handle = await client.start_workflow(Ordered.run, name, id=env.name("wf"), task_queue=queue)
        await wait_for_tasks(handle, 2)
        await handle.signal(Ordered.tell, "enough")
        assert await handle.result() == [1, 2, ["enough"]]
        ends = await ends_of_tasks(handle)
        again = await reset(client, handle, ends[1])
        assert await again.result() == [1, 3, ["enough"]]
        # Without the signal it waits; and a reset of that one, too.
        silent = await reset(client, again, ends[1], reset_reapply_exclude_types=[1])
        assert await client.get_workflow_handle(handle.id).query(Ordered.state) == []
        await client.get_workflow_handle(handle.id).signal(Ordered.tell, "enough")
        assert await silent.result() == [1, 4, ["enough"]]
        assert await handle.result() == [1, 2, ["enough"]], "what was, is"


async def test_a_parent_is_reset_while_its_child_runs(env):
    client, queue = await env.client(), env.name("queue")
    async with worker(client, queue, [Parent, Child]):
        handle = await client.start_workflow(Parent.run, id=env.name("wf"), task_queue=queue)
        child = client.get_workflow_handle(handle.id + "-child")
        ends = await wait_for_tasks(handle, 2)
        await handle.signal(Parent.look)
        await wait_for_tasks(handle, 3)
        again = await reset(client, handle, ends[1])
        await child.signal(Child.finish)
        assert await again.result() == [f"child of {handle.id}", 1]
        assert await child.result() == f"child of {handle.id}"


async def test_a_child_is_reset_while_its_parent_waits(env):
    client, queue = await env.client(), env.name("queue")
    async with worker(client, queue, [Parent, Child]):
        handle = await client.start_workflow(Parent.run, id=env.name("wf"), task_queue=queue)
        child = client.get_workflow_handle(handle.id + "-child")
        await wait_for_tasks(handle, 2)
        ends = await wait_for_tasks(child, 1)
        await reset(client, child, ends[0])
        await child.signal(Child.finish)
        await handle.signal(Parent.look)
        assert await handle.result() == [f"child of {handle.id}", 1]


async def test_updates_come_again(env):
    client, queue = await env.client(), env.name("queue")
    async with worker(client, queue, [Counter]):
        handle = await client.start_workflow(Counter.run, 100, id=env.name("wf"), task_queue=queue)
        ends = await wait_for_tasks(handle, 1)
        assert await handle.execute_update(Counter.add, 1, id="one") == 101
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(Counter.add, -1)
        assert await handle.execute_update(Counter.add, 2, id="two") == 103
        new = await reset(client, handle, ends[0])
        assert await new.get_update_handle("two", result_type=int).result() == 103
        assert await new.execute_update(Counter.add, 3) == 106
        second = await reset(client, new, ends[0], reset_reapply_exclude_types=[2])
        await second.signal(Counter.end)
        assert await second.result() == 100


@pytest.mark.ours("there it takes a moment")
async def test_a_deleted_workflow(env):
    client, queue = await env.client(), env.name("queue")
    async with worker(client, queue, [Ordered], [count]):
        handle = await client.start_workflow(Ordered.run, "x", id=env.name("wf"), task_queue=queue)
        await wait_for_tasks(handle, 2)
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=handle.id)
            )
        )
        for call in (handle.describe(), handle.signal(Ordered.tell, "s"), handle.query(Ordered.state)):
            with pytest.raises(RPCError) as refused:
                await call
            assert refused.value.status == RPCStatusCode.NOT_FOUND
        second = await client.start_workflow(Ordered.run, "x", id=handle.id, task_queue=queue)
        await second.signal(Ordered.tell, "enough")
        assert (await second.result())[2] == ["enough"]
