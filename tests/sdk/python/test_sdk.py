"""The official Python SDK, worker and client, unmodified: what its users do, and the histories it leaves."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import (
    QueryRejectCondition,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from support import replay
from support.histories import find, find_attributes, types
from support.workers import worker

SECOND = timedelta(seconds=1)


def brief(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


async def history_types(handle) -> list[str]:
    return types([event async for event in handle.fetch_history_events()])


async def history_events(handle) -> list:
    return [event async for event in handle.fetch_history_events()]


# Activities.


@dataclass
class Order:
    name: str
    count: int


@activity.defn
async def greet(order: Order) -> str:
    return f"Hello, {order.name} x{order.count}!"


@activity.defn
async def fail_until(attempt: int) -> int:
    if activity.info().attempt < attempt:
        raise ApplicationError(f"attempt {activity.info().attempt}", "detail", type="NotYet")
    return activity.info().attempt


@activity.defn
async def fail_for_good() -> None:
    raise ApplicationError("for good", type="Fatal", non_retryable=True)


@activity.defn
async def resume_from_heartbeat() -> list[int]:
    done = list(activity.info().heartbeat_details)
    if activity.info().attempt == 1:
        activity.heartbeat(1, 2)
        raise ApplicationError("crashed after the heartbeat")
    return done


@activity.defn
async def wait_for_cancel() -> str:
    try:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return "cleaned up"


@activity.defn
async def stuck() -> None:
    await asyncio.sleep(30)


@activity.defn
async def complete_elsewhere() -> str:
    activity.raise_complete_async()


ACTIVITIES = [
    greet,
    fail_until,
    fail_for_good,
    resume_from_heartbeat,
    wait_for_cancel,
    stuck,
    complete_elsewhere,
]


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, order: Order) -> str:
        return await workflow.execute_activity(greet, order, start_to_close_timeout=brief(10))


@workflow.defn
class Retrying:
    @workflow.run
    async def run(self, attempt: int, maximum: int) -> int:
        return await workflow.execute_activity(
            fail_until,
            attempt,
            start_to_close_timeout=brief(10),
            retry_policy=RetryPolicy(initial_interval=brief(0.05), maximum_attempts=maximum),
        )


@workflow.defn
class OneActivity:
    @workflow.run
    async def run(self, name: str, options: dict) -> Any:
        given = {key: timedelta(seconds=value) for key, value in options.items() if key != "maximum_attempts"}
        return await workflow.execute_activity(
            name,
            **({"start_to_close_timeout": brief(10)} | given),
            retry_policy=RetryPolicy(
                initial_interval=brief(0.05), maximum_attempts=options.get("maximum_attempts", 0)
            ),
        )


@workflow.defn
class CancelsActivity:
    @workflow.run
    async def run(self) -> str:
        handle = workflow.start_activity(
            wait_for_cancel,
            start_to_close_timeout=brief(30),
            heartbeat_timeout=brief(5),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.sleep(0.3)
        handle.cancel()
        return await handle


async def test_hello(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Greeting], ACTIVITIES):
        result = await client.execute_workflow(
            Greeting.run, Order("you", 2), id=env.name("wf"), task_queue=queue
        )
    assert result == "Hello, you x2!"


async def test_hello_in_the_sandbox(env):
    """With every default of the SDK, as a new user has them."""
    client = await env.client()
    queue = env.name("queue")
    async with Worker(client, task_queue=queue, workflows=[Greeting], activities=ACTIVITIES):
        handle = await client.start_workflow(
            Greeting.run, Order("sandbox", 1), id=env.name("wf"), task_queue=queue
        )
        assert await handle.result() == "Hello, sandbox x1!"
        assert (await history_types(handle))[-1] == "Completed"


async def test_the_check_of_replays_sees_a_history_that_differs(env):
    """Every worker's histories are replayed when it ends; see support/replay.py."""
    client = await env.client()
    queue = env.name("queue")
    before = replay.replayed
    async with worker(client, queue, [Greeting], ACTIVITIES):
        handle = await client.start_workflow(
            Greeting.run, Order("you", 2), id=env.name("wf"), task_queue=queue
        )
        await handle.result()
    assert replay.replayed > before
    history = await handle.fetch_history()
    scheduled = next(e for e in history.events if e.HasField("activity_task_scheduled_event_attributes"))
    scheduled.activity_task_scheduled_event_attributes.activity_type.name = "another"
    replayer = Replayer(workflows=[Greeting], workflow_runner=UnsandboxedWorkflowRunner())
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(history)


async def test_retries_and_their_history(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Retrying], ACTIVITIES):
        handle = await client.start_workflow(Retrying.run, args=[3, 5], id=env.name("wf"), task_queue=queue)
        assert await handle.result() == 3
        events = await history_events(handle)
        assert types(events).count("ActivityTaskStarted") == 1
        started = find_attributes(events, "ActivityTaskStarted")
        assert started.attempt == 3 and started.last_failure.message == "attempt 2"


async def test_retries_exhausted(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Retrying], ACTIVITIES):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(Retrying.run, args=[9, 2], id=env.name("wf"), task_queue=queue)
    cause = failed.value.cause
    assert isinstance(cause, ActivityError) and cause.retry_state.name == "MAXIMUM_ATTEMPTS_REACHED"
    assert (
        isinstance(cause.cause, ApplicationError)
        and cause.cause.type == "NotYet"
        and cause.cause.details == ("detail",)
    )


async def test_non_retryable(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [OneActivity], ACTIVITIES):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                OneActivity.run, args=["fail_for_good", {}], id=env.name("wf"), task_queue=queue
            )
    assert failed.value.cause.retry_state.name == "NON_RETRYABLE_FAILURE"
    assert failed.value.cause.cause.type == "Fatal"


async def test_heartbeat_details_survive(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [OneActivity], ACTIVITIES):
        done = await client.execute_workflow(
            OneActivity.run, args=["resume_from_heartbeat", {}], id=env.name("wf"), task_queue=queue
        )
    assert done == [1, 2]


async def test_activity_cancellation(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [CancelsActivity], ACTIVITIES):
        handle = await client.start_workflow(CancelsActivity.run, id=env.name("wf"), task_queue=queue)
        assert await handle.result() == "cleaned up"
        assert "ActivityTaskCancelRequested" in await history_types(handle)


@pytest.mark.parametrize(
    "options, kind",
    [
        ({"start_to_close_timeout": 0.3, "maximum_attempts": 1}, TimeoutType.START_TO_CLOSE),
        (
            {"start_to_close_timeout": 20, "heartbeat_timeout": 0.4, "maximum_attempts": 1},
            TimeoutType.HEARTBEAT,
        ),
        ({"start_to_close_timeout": 20, "schedule_to_close_timeout": 0.5}, TimeoutType.SCHEDULE_TO_CLOSE),
    ],
)
async def test_activity_timeouts(env, options, kind):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [OneActivity], ACTIVITIES, graceful_shutdown_timeout=timedelta()):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                OneActivity.run, args=["stuck", options], id=env.name("wf"), task_queue=queue
            )
    timeout = failed.value.cause.cause
    assert isinstance(timeout, TimeoutError) and timeout.type == kind


async def test_schedule_to_start_timeout(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [OneActivity]):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                OneActivity.run,
                args=["nobody_has_it", {"schedule_to_start_timeout": 0.3}],
                id=env.name("wf"),
                task_queue=queue,
            )
    assert failed.value.cause.cause.type == TimeoutType.SCHEDULE_TO_START


async def test_completion_from_elsewhere(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [OneActivity], ACTIVITIES):
        for kind in ("id", "token"):
            handle = await client.start_workflow(
                OneActivity.run, args=["complete_elsewhere", {}], id=env.name("wf"), task_queue=queue
            )
            await complete_from_elsewhere(client, handle, kind)
            assert await handle.result() == f"by {kind}"


TOKENS: dict[str, bytes] = {}


@activity.defn(name="complete_elsewhere_by_token")
async def publish_token() -> str:
    TOKENS[activity.info().workflow_id] = activity.info().task_token
    activity.raise_complete_async()


async def complete_from_elsewhere(client: Client, handle, kind: str) -> None:
    """Completes the one pending activity of this workflow as soon as it is started."""
    while True:
        described = await handle.describe()
        pending = described.raw_description.pending_activities
        if pending and pending[0].state == 2:
            break
        await asyncio.sleep(0.02)
    elsewhere = client.get_async_activity_handle(
        workflow_id=handle.id, run_id=handle.first_execution_run_id, activity_id=pending[0].activity_id
    )
    await elsewhere.heartbeat("still here")
    await elsewhere.complete(f"by {kind}")


async def test_completion_by_token(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [OneActivity], [publish_token]):
        handle = await client.start_workflow(
            OneActivity.run, args=["complete_elsewhere_by_token", {}], id=env.name("wf"), task_queue=queue
        )
        while handle.id not in TOKENS:
            await asyncio.sleep(0.02)
        await client.get_async_activity_handle(task_token=TOKENS.pop(handle.id)).complete("by token")
        assert await handle.result() == "by token"


# Signals, queries, timers, cancellation.


@workflow.defn
class Mailbox:
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.closed = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.closed)
        return self.messages

    @workflow.signal
    def put(self, message: str) -> None:
        self.messages.append(message)

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.query
    def count(self) -> int:
        return len(self.messages)

    @workflow.query
    def broken(self) -> int:
        raise ApplicationError("broken query")


async def test_signals_and_queries(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Mailbox]):
        handle = await client.start_workflow(Mailbox.run, id=env.name("wf"), task_queue=queue)
        for number in range(10):
            await handle.signal(Mailbox.put, f"m{number}")
            assert await handle.query(Mailbox.count) == number + 1, (
                "a query sees what was acknowledged before it"
            )
        with pytest.raises(WorkflowQueryFailedError, match="broken query"):
            await handle.query(Mailbox.broken)
        with pytest.raises(WorkflowQueryFailedError, match="no_such_query"):
            await handle.query("no_such_query")
        await handle.signal(Mailbox.close)
        assert await handle.result() == [f"m{number}" for number in range(10)]
        assert await handle.query(Mailbox.count) == 10
        with pytest.raises(WorkflowQueryRejectedError):
            await handle.query(Mailbox.count, reject_condition=QueryRejectCondition.NOT_OPEN)
        with pytest.raises(RPCError) as gone:
            await handle.signal(Mailbox.put, "late")
        assert gone.value.status == RPCStatusCode.NOT_FOUND


async def test_a_query_after_the_worker_forgot_the_workflow(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Mailbox]):
        handle = await client.start_workflow(Mailbox.run, id=env.name("wf"), task_queue=queue)
        await handle.signal(Mailbox.put, "a")
        assert await handle.query(Mailbox.count) == 1
    async with worker(client, queue, [Mailbox]):
        assert await handle.query(Mailbox.count) == 1
        await handle.signal(Mailbox.close)
        assert await handle.result() == ["a"]


async def test_signal_with_start(env):
    client = await env.client()
    queue = env.name("queue")
    workflow_id = env.name("wf")
    async with worker(client, queue, [Mailbox]):
        for number in range(3):
            handle = await client.start_workflow(
                Mailbox.run,
                id=workflow_id,
                task_queue=queue,
                start_signal="put",
                start_signal_args=[str(number)],
            )
        await handle.signal(Mailbox.close)
        assert await handle.result() == ["0", "1", "2"]


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> float:
        begun = workflow.now()
        try:
            await workflow.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.shield(workflow.sleep(0.05))
            raise
        return (workflow.now() - begun).total_seconds()


async def test_timers_and_the_workflows_clock(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Sleeper]):
        before = time.monotonic()
        slept = await client.execute_workflow(Sleeper.run, 1.0, id=env.name("wf"), task_queue=queue)
        assert 0.999 <= slept < 4 and time.monotonic() - before >= 0.999


async def test_cancellation_with_cleanup(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Sleeper]):
        handle = await client.start_workflow(Sleeper.run, 60.0, id=env.name("wf"), task_queue=queue)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, CancelledError)
        assert (await history_types(handle))[-1] == "Canceled"
        assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED


async def test_termination(env):
    client = await env.client()
    queue = env.name("queue")
    handle = await client.start_workflow(Sleeper.run, 60.0, id=env.name("wf"), task_queue=queue)
    await handle.terminate("enough", reason="because")
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, TerminatedError)
    assert find_attributes(await history_events(handle), "Terminated").reason == "because"


async def test_workflow_timeout(env):
    client = await env.client()
    handle = await client.start_workflow(
        Sleeper.run, 60.0, id=env.name("wf"), task_queue=env.name("queue"), run_timeout=SECOND
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, TimeoutError)


async def test_start_policies(env):
    client = await env.client()
    fields = dict(id=env.name("wf"), task_queue=env.name("queue"))
    first = await client.start_workflow(Sleeper.run, 60.0, **fields)
    with pytest.raises(WorkflowAlreadyStartedError) as taken:
        await client.start_workflow(Sleeper.run, 60.0, **fields)
    assert taken.value.run_id == first.first_execution_run_id
    same = await client.start_workflow(
        Sleeper.run, 60.0, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING, **fields
    )
    assert same.first_execution_run_id == first.first_execution_run_id
    other = await client.start_workflow(
        Sleeper.run, 60.0, id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING, **fields
    )
    assert other.first_execution_run_id != first.first_execution_run_id
    await other.terminate()
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(
            Sleeper.run, 60.0, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE, **fields
        )
    again = await client.start_workflow(
        Sleeper.run, 60.0, id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, **fields
    )
    await again.terminate()


async def test_start_delay(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Sleeper]):
        before = time.monotonic()
        await client.execute_workflow(
            Sleeper.run, 0.0, id=env.name("wf"), task_queue=queue, start_delay=SECOND
        )
        assert time.monotonic() - before >= 0.999


# Chains.


@workflow.defn
class Countdown:
    @workflow.run
    async def run(self, left: int) -> str:
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.info().first_execution_run_id


async def test_continue_as_new(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Countdown]):
        handle = await client.start_workflow(Countdown.run, 2, id=env.name("wf"), task_queue=queue)
        assert await handle.result() == handle.first_execution_run_id
        described = await client.get_workflow_handle(handle.id).describe()
        assert described.run_id != handle.first_execution_run_id
        [run] = [
            info
            async for info in client.list_workflows(
                f"WorkflowId = '{handle.id}' AND ExecutionStatus = 'Completed'"
            )
        ] or [described]
        assert run.run_id == described.run_id


@workflow.defn
class FailsOnce:
    @workflow.run
    async def run(self) -> int:
        if workflow.info().attempt == 1:
            raise ApplicationError("first attempt")
        return workflow.info().attempt


async def test_workflow_retry(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [FailsOnce]):
        result = await client.execute_workflow(
            FailsOnce.run,
            id=env.name("wf"),
            task_queue=queue,
            retry_policy=RetryPolicy(initial_interval=brief(0.1)),
        )
    assert result == 2


@workflow.defn
class Cron:
    @workflow.run
    async def run(self) -> int:
        return (workflow.get_last_completion_result(int) if workflow.has_last_completion_result() else 0) + 1


async def test_cron(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Cron]):
        handle = await client.start_workflow(
            Cron.run, id=env.name("wf"), task_queue=queue, cron_schedule="@every 1s"
        )
        run_id = handle.first_execution_run_id
        for number in (1, 2):
            completed = await closing_event(client.get_workflow_handle(handle.id, run_id=run_id), "Completed")
            assert json.loads(completed.result.payloads[0].data) == number
            run_id = completed.new_execution_run_id
        await client.get_workflow_handle(handle.id).terminate()


async def closing_event(handle, kind: str):
    """The attributes of a run's last event, as soon as there is one, without following the chain."""
    events = [event async for event in handle.fetch_history_events(wait_new_event=True)]
    return find_attributes(events[-1:], kind)


# Markers: local activities, patches; and replay.


@workflow.defn
class Local:
    @workflow.run
    async def run(self, attempts: int) -> int:
        patched = workflow.patched("my-change")
        result = await workflow.execute_local_activity(
            fail_until,
            attempts,
            start_to_close_timeout=brief(10),
            retry_policy=RetryPolicy(initial_interval=brief(0.05)),
        )
        await workflow.sleep(0.05)
        return result if patched else -1


async def test_local_activities_and_patches(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Local], ACTIVITIES):
        handle = await client.start_workflow(Local.run, 2, id=env.name("wf"), task_queue=queue)
        assert await handle.result() == 2
        names = await history_types(handle)
        assert names.count("MarkerRecorded") == 2
        assert "ActivityTaskScheduled" not in names
        described = await handle.describe()
        assert "my-change" in str(described.search_attributes)


@activity.defn
async def slow_local() -> str:
    await asyncio.sleep(6)
    return "slow"


@workflow.defn
class SlowLocal:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_local_activity(slow_local, start_to_close_timeout=brief(20))


async def test_a_long_local_activity_heartbeats_its_task(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [SlowLocal], [slow_local]):
        handle = await client.start_workflow(
            SlowLocal.run, id=env.name("wf"), task_queue=queue, task_timeout=brief(5)
        )
        assert await handle.result() == "slow"
        names = await history_types(handle)
        assert names.count("WftCompleted") >= 2 and "WftTimedOut" not in names


async def test_histories_replay(env):
    client = await env.client()
    queue = env.name("queue")
    flows = [
        (Greeting, [Order("r", 1)]),
        (Retrying, [2, 3]),
        (Sleeper, [0.1]),
        (Local, [1]),
        (CancelsActivity, []),
    ]
    async with worker(client, queue, [flow for flow, _ in flows], ACTIVITIES):
        handles = [
            await client.start_workflow(flow.run, args=arguments, id=env.name("wf"), task_queue=queue)
            for flow, arguments in flows
        ]
        for handle in handles:
            await handle.result()
    replayer = Replayer(workflows=[flow for flow, _ in flows], workflow_runner=UnsandboxedWorkflowRunner())
    for handle in handles:
        await replayer.replay_workflow(await handle.fetch_history())


# A worker that fails, a worker that comes later, many workflows at once.

BROKEN = {"now": True}


@workflow.defn
class Flaky:
    @workflow.run
    async def run(self) -> str:
        if BROKEN["now"]:
            raise RuntimeError("a bug: it fails the task, not the workflow")
        return "fixed"


async def test_a_bug_in_the_code_does_not_fail_the_workflow(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Flaky]):
        handle = await client.start_workflow(
            Flaky.run, id=env.name("wf"), task_queue=queue, task_timeout=SECOND
        )
        async for event in handle.fetch_history_events(wait_new_event=True):
            if types([event]) == ["WftFailed"]:
                break
        BROKEN["now"] = False
        assert await handle.result() == "fixed"
        failed = find_attributes(await history_events(handle), "WftFailed")
        assert "a bug" in failed.failure.message


async def test_a_worker_that_comes_later(env):
    client = await env.client()
    queue = env.name("queue")
    handles = [
        await client.start_workflow(Greeting.run, Order(str(number), 1), id=env.name("wf"), task_queue=queue)
        for number in range(20)
    ]
    async with worker(client, queue, [Greeting], ACTIVITIES):
        assert [await handle.result() for handle in handles] == [
            f"Hello, {number} x1!" for number in range(20)
        ]


async def test_two_workers_share_a_queue(env):
    client = await env.client()
    queue = env.name("queue")
    second = await Client.connect(env.address, namespace=env.namespace)
    async with worker(client, queue, [Greeting], ACTIVITIES), worker(second, queue, [Greeting], ACTIVITIES):
        results = await asyncio.gather(
            *[
                client.execute_workflow(
                    Greeting.run, Order(str(number), 1), id=env.name("wf"), task_queue=queue
                )
                for number in range(40)
            ]
        )
    assert results == [f"Hello, {number} x1!" for number in range(40)]


async def test_stopping_a_worker_loses_nothing(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Mailbox]):
        handle = await client.start_workflow(Mailbox.run, id=env.name("wf"), task_queue=queue)
        assert await handle.query(Mailbox.count) == 0
    begun = time.monotonic()
    async with worker(client, queue, [Mailbox]):
        await handle.signal(Mailbox.close)
        assert await handle.result() == []
    assert time.monotonic() - begun < 20
    names = await history_types(handle)
    assert "WftFailed" not in names


# Memo, search attributes, lists, counts, metadata.


@workflow.defn
class Upserts:
    @workflow.run
    async def run(self) -> None:
        workflow.upsert_memo({"b": 2})
        workflow.upsert_search_attributes([BATCHER.value_set("changed")])


BATCHER = SearchAttributeKey.for_keyword("BatcherUser")


async def test_memo_and_search_attributes(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Upserts]):
        handle = await client.start_workflow(
            Upserts.run,
            id=env.name("wf"),
            task_queue=queue,
            memo={"a": 1},
            static_summary="sum",
            search_attributes=TypedSearchAttributes([SearchAttributePair(BATCHER, "given")]),
        )
        await handle.result()
    described = await handle.describe()
    assert await described.memo() == {"a": 1, "b": 2}
    assert described.typed_search_attributes[BATCHER] == "changed"
    assert await described.static_summary() == "sum"
    assert described.workflow_type == "Upserts" and described.status == WorkflowExecutionStatus.COMPLETED


@workflow.defn
class Notes:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(0.01, summary="nap")
        await workflow.execute_activity(
            greet, Order("x", 1), start_to_close_timeout=10 * SECOND, summary="greeting"
        )
        workflow.upsert_memo({"a": None, "b": [1]})
        workflow.upsert_search_attributes([BATCHER.value_unset()])
        workflow.set_current_details("done soon")


async def test_what_is_noted_for_people_and_what_is_taken_back(env):
    client = await env.client()
    queue = env.name("queue")
    async with worker(client, queue, [Notes], activities=[greet]):
        handle = await client.start_workflow(
            Notes.run,
            id=env.name("wf"),
            task_queue=queue,
            memo={"a": 1, "c": 3},
            static_summary="sum",
            static_details="det",
            search_attributes=TypedSearchAttributes([SearchAttributePair(BATCHER, "given")]),
        )
        await handle.result()
    described = await handle.describe()
    assert await described.memo() == {"b": [1], "c": 3}
    assert BATCHER not in described.typed_search_attributes
    assert await described.static_summary() == "sum" and await described.static_details() == "det"
    events = await history_events(handle)
    assert find(events, "TimerStarted").user_metadata.summary.data == b'"nap"'
    assert find(events, "ActivityTaskScheduled").user_metadata.summary.data == b'"greeting"'
    assert types(events)[-4:] == [
        "WftCompleted",
        "WorkflowPropertiesModified",
        "UpsertWorkflowSearchAttributes",
        "Completed",
    ]


async def test_list_and_count(env):
    client = await env.client()
    queue = env.name("queue")
    for _ in range(3):
        await client.start_workflow(Sleeper.run, 60.0, id=env.name("wf"), task_queue=queue)

    async def listed():
        return len([info async for info in client.list_workflows(f"TaskQueue = '{queue}'", page_size=2)])

    async def counted():
        return (await client.count_workflows(f"TaskQueue = '{queue}'")).count

    await env.visible(listed, 3)
    await env.visible(counted, 3)


async def test_health(env):
    client = await env.client()
    assert await client.service_client.check_health()
