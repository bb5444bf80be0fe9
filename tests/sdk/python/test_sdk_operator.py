"""What operators do, as the workers and workflows of the official Python SDK see it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import CancelledError

from support.histories import types
from support.workers import worker


def brief(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@activity.defn
async def until_told() -> str:
    """Heartbeats until it is paused or reset; the attempt after that says how it ended."""
    if activity.info().heartbeat_details:
        return f"{activity.info().heartbeat_details[0]}, attempt {activity.info().attempt}"
    try:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)
    except (asyncio.CancelledError, CancelledError):
        details = activity.cancellation_details()
        assert details is not None
        activity.heartbeat("paused" if details.paused else "reset" if details.reset else "neither")
        raise


@workflow.defn
class Told:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            until_told,
            start_to_close_timeout=brief(30),
            heartbeat_timeout=brief(2),
            retry_policy=RetryPolicy(initial_interval=brief(0.05)),
        )


@workflow.defn
class Counting:
    """Counts signals until it is told to stop."""

    def __init__(self) -> None:
        self.count = 0
        self.stopped = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.stopped)
        await workflow.sleep(brief(0.05))
        return self.count

    @workflow.signal
    def add(self) -> None:
        self.count += 1

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True

    @workflow.query
    def counted(self) -> int:
        return self.count


async def pending(handle):
    """The one pending activity, as soon as a worker has had it."""
    for _ in range(400):
        description = await handle.describe()
        activities = description.raw_description.pending_activities
        if activities and activities[0].HasField("last_started_time"):
            return activities[0]
        await asyncio.sleep(0.02)
    raise AssertionError("no worker took the activity")


async def state_is(handle, state: int):
    for _ in range(400):
        activities = (await handle.describe()).raw_description.pending_activities
        if activities and activities[0].state == state:
            return activities[0]
        await asyncio.sleep(0.02)
    raise AssertionError(f"the activity never came to state {state}")


PAUSED = 4


async def test_a_paused_activity_is_told_and_goes_on_later(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Told], [until_told]):
        handle = await client.start_workflow(Told.run, id=env.name("wf"), task_queue=queue)
        info = await pending(handle)
        execution = {"workflow_id": handle.id}
        await env.rpc.PauseActivity(execution=execution, id=info.activity_id, identity="op", reason="r")
        parked = await state_is(handle, PAUSED)
        assert parked.attempt == 2
        assert parked.last_failure.application_failure_info.type == "ActivityPause"
        await env.rpc.UnpauseActivity(execution=execution, id=info.activity_id)
        assert await handle.result() == "paused, attempt 2"
        assert types([event async for event in handle.fetch_history_events()])[4:7] == [
            "ActivityTaskScheduled",
            "ActivityTaskStarted",
            "ActivityTaskCompleted",
        ]


async def test_a_reset_activity_is_told_and_starts_again(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Told], [until_told]):
        handle = await client.start_workflow(Told.run, id=env.name("wf"), task_queue=queue)
        info = await pending(handle)
        await env.rpc.ResetActivity(execution={"workflow_id": handle.id}, id=info.activity_id)
        assert await handle.result() == "reset, attempt 2"


async def test_options_reach_the_next_attempt(env):
    client = await env.client()
    queue, other = env.name("queue"), env.name("queue")
    async with worker(client, queue, [Told]), worker(client, other, activities=[until_told]):
        handle = await client.start_workflow(Told.run, id=env.name("wf"), task_queue=queue)
        for _ in range(400):
            if (await handle.describe()).raw_description.pending_activities:
                break
            await asyncio.sleep(0.02)
        execution = {"workflow_id": handle.id}
        await env.rpc.UpdateActivityOptions(
            execution=execution,
            match_all=True,
            update_mask={"paths": ["task_queue.name"]},
            activity_options={"task_queue": {"name": other}},
        )
        info = await pending(handle)
        assert info.activity_options.task_queue.name == other
        await env.rpc.ResetActivity(execution=execution, match_all=True)
        assert await handle.result() == "reset, attempt 2"


async def test_a_paused_workflow(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Counting]):
        handle = await client.start_workflow(Counting.run, id=env.name("wf"), task_queue=queue)
        await handle.signal(Counting.add)
        assert await handle.query(Counting.counted) == 1
        await env.rpc.PauseWorkflowExecution(workflow_id=handle.id, reason="r", request_id="p")
        for _ in range(10):
            await handle.signal(Counting.add)
        await handle.signal(Counting.stop)
        await env.rpc.UnpauseWorkflowExecution(workflow_id=handle.id, request_id="u")
        assert await handle.result() == 11
        seen = types([event async for event in handle.fetch_history_events()])
        inside = seen[seen.index("Paused") + 1 : seen.index("Unpaused")]
        assert set(inside) == {"Signaled"} and len(inside) == 11


async def test_pauses_again_and_again(env):
    """Whatever falls between, the workflow sees each signal once, and its history replays."""
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Counting]):
        handle = await client.start_workflow(Counting.run, id=env.name("wf"), task_queue=queue)
        for number in range(8):
            await env.rpc.PauseWorkflowExecution(workflow_id=handle.id, request_id=f"p{number}")
            await handle.signal(Counting.add)
            await env.rpc.UnpauseWorkflowExecution(workflow_id=handle.id)
            await handle.signal(Counting.add)
        await handle.signal(Counting.stop)
        assert await handle.result() == 16
