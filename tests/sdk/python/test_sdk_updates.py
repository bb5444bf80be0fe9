"""Workflow updates through the official Python SDK: handlers, validators, waiting, starting with an update, and their histories."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from support.env import own_server, restart
from support.histories import types
from support.workers import worker


@activity.defn
async def double(value: int) -> int:
    return 2 * value


@workflow.defn
class Counter:
    """Counts what it is given, until it is told to stop."""

    def __init__(self) -> None:
        self.total = 0
        self.finished = False
        self.released = self.continuing = False
        self.log: list[str] = []

    @workflow.run
    async def run(self, total: int = 0) -> int:
        self.total += total
        await workflow.wait_condition(
            lambda: self.continuing or (self.finished and workflow.all_handlers_finished())
        )
        if self.continuing:
            workflow.continue_as_new(self.total)
        return self.total

    @workflow.update
    def add(self, value: int) -> int:
        self.total += value
        self.log.append(f"add {value}")
        return self.total

    @add.validator
    def check(self, value: int) -> None:
        if value < 0:
            raise ApplicationError("only upwards", type="Negative")

    @workflow.update
    async def add_doubled(self, value: int) -> int:
        self.total += await workflow.execute_activity(
            double, value, start_to_close_timeout=timedelta(seconds=5)
        )
        return self.total

    @workflow.update
    async def wait(self) -> str:
        await workflow.wait_condition(lambda: self.released)
        return "released"

    @workflow.update
    def fail(self) -> None:
        raise ApplicationError("it fails", type="Fails")

    @workflow.update
    async def again(self) -> None:
        self.continuing = True
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def release(self) -> None:
        self.released = True

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def seen(self) -> list[str]:
        return self.log


async def events(handle) -> list[str]:
    return types([event async for event in handle.fetch_history_events()])


async def begin(env, client):
    queue = env.name("queue")
    handle = await client.start_workflow(Counter.run, id=env.name("wf"), task_queue=queue)
    return queue, handle


async def test_an_update_and_its_history(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter]):
        assert await handle.execute_update(Counter.add, 3) == 3
        assert await handle.execute_update(Counter.add, 4) == 7
        await handle.signal(Counter.finish)
        assert await handle.result() == 7
    found = await events(handle)
    assert found.count("UpdateAccepted") == 2 and found.count("UpdateCompleted") == 2


async def test_a_validator_leaves_no_trace(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter]):
        assert await handle.execute_update(Counter.add, 1) == 1
        before = await events(handle)
        for _ in range(3):
            with pytest.raises(WorkflowUpdateFailedError) as caught:
                await handle.execute_update(Counter.add, -1)
            assert isinstance(caught.value.cause, ApplicationError) and caught.value.cause.type == "Negative"
        assert await events(handle) == before
        assert await handle.execute_update(Counter.add, 1) == 2
        await handle.signal(Counter.finish)
        assert await handle.result() == 2


async def test_an_update_that_fails(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter]):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update(Counter.fail)
        assert caught.value.cause.type == "Fails"
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("unknown")
        assert (await events(handle)).count("UpdateCompleted") == 1
        await handle.signal(Counter.finish)
        await handle.result()


async def test_an_update_with_an_activity(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter], [double]):
        assert await handle.execute_update(Counter.add_doubled, 21) == 42
        await handle.signal(Counter.finish)
        assert await handle.result() == 42


async def test_an_update_that_is_waited_for_later(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter]):
        update = await handle.start_update(Counter.wait, wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="later")
        result = asyncio.create_task(handle.get_update_handle("later").result())
        await handle.signal(Counter.release)
        assert await result == "released" and await update.result() == "released"
        assert await handle.execute_update(Counter.wait, id="later") == "released"
        assert (await events(handle)).count("UpdateAccepted") == 1
        await handle.signal(Counter.finish)
        await handle.result()
    assert await handle.get_update_handle("later").result() == "released"


async def test_many_at_once(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter]):
        results = []
        for start in range(0, 20, 5):
            results += await asyncio.gather(
                *(handle.execute_update(Counter.add, 1) for _ in range(start, start + 5))
            )
        assert sorted(results) == list(range(1, 21))
        await handle.signal(Counter.finish)
        assert await handle.result() == 20


async def test_the_worker_comes_later(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    updating = asyncio.create_task(handle.execute_update(Counter.add, 5))
    await asyncio.sleep(0.2)
    async with worker(client, queue, [Counter]):
        assert await updating == 5
        await handle.signal(Counter.finish)
        await handle.result()


async def test_the_worker_is_replaced(env):
    """Accepted by one worker and completed by another, which replays the first one's work."""
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter]):
        update = await handle.start_update(Counter.wait, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    async with worker(client, queue, [Counter]):
        assert await handle.execute_update(Counter.add, 1) == 1
        await handle.signal(Counter.release)
        assert await update.result() == "released"
        await handle.signal(Counter.finish)
        await handle.result()


async def test_a_worker_without_a_cache(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter], [double], max_cached_workflows=0):
        assert await handle.execute_update(Counter.add, 1) == 1
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(Counter.add, -1)
        assert await handle.execute_update(Counter.add_doubled, 1) == 3
        await handle.signal(Counter.finish)
        assert await handle.result() == 3


async def test_an_update_that_continues_as_new(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    handle = client.get_workflow_handle(handle.id)
    async with worker(client, queue, [Counter]):
        assert await handle.execute_update(Counter.add, 2) == 2
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update(Counter.again)
        assert caught.value.cause.type == "AcceptedUpdateCompletedWorkflow"
        assert await handle.execute_update(Counter.add, 1) in (1, 3)  # before or after the run began
        await handle.signal(Counter.finish)
        assert await handle.result() == 3


async def test_the_workflow_ends_under_its_updates(env):
    client = await env.client()
    queue, handle = await begin(env, client)
    async with worker(client, queue, [Counter], replays=False):
        update = await handle.start_update(Counter.wait, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        await handle.terminate()
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await update.result()
        assert caught.value.cause.type == "AcceptedUpdateCompletedWorkflow"
        with pytest.raises(RPCError) as refused:
            await handle.execute_update(Counter.add, 1)
        assert refused.value.status == RPCStatusCode.NOT_FOUND


def with_start(env, queue: str, policy: WorkflowIDConflictPolicy, id: str) -> WithStartWorkflowOperation:
    return WithStartWorkflowOperation(Counter.run, 10, id=id, task_queue=queue, id_conflict_policy=policy)


async def test_update_with_start(env):
    client = await env.client()
    queue, id = env.name("queue"), env.name("wf")
    async with worker(client, queue, [Counter]):
        start = with_start(env, queue, WorkflowIDConflictPolicy.FAIL, id)
        assert await client.execute_update_with_start_workflow(Counter.add, 1, start_workflow_operation=start) in (
            1,
            11,
        )
        handle = await start.workflow_handle()
        with pytest.raises(WorkflowAlreadyStartedError):
            start = with_start(env, queue, WorkflowIDConflictPolicy.FAIL, id)
            await client.execute_update_with_start_workflow(Counter.add, 1, start_workflow_operation=start)
        start = with_start(env, queue, WorkflowIDConflictPolicy.USE_EXISTING, id)
        assert await client.execute_update_with_start_workflow(Counter.add, 1, start_workflow_operation=start) == 12
        assert (await start.workflow_handle()).first_execution_run_id == handle.first_execution_run_id
        start = with_start(env, queue, WorkflowIDConflictPolicy.USE_EXISTING, id)
        with pytest.raises(WorkflowUpdateFailedError):
            await client.execute_update_with_start_workflow(Counter.add, -1, start_workflow_operation=start)
        await handle.signal(Counter.finish)
        assert await handle.result() == 12


@pytest.mark.crash
async def test_updates_over_a_killed_server(env):
    """The client's own retries bring back what the server lost; what was accepted is there."""
    async with own_server() as (server, own):
        client = await own.client()
        queue, handle = await begin(own, client)
        async with worker(client, queue, [Counter], replays=False):
            update = await handle.start_update(Counter.wait, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
            waiting = asyncio.create_task(update.result())
            await restart(server)
            assert await handle.execute_update(Counter.add, 1) == 1
            await handle.signal(Counter.release)
            assert await waiting == "released"
            await handle.signal(Counter.finish)
            assert await handle.result() == 1
