"""Time that skips, through the SDK's own test environment: it starts what it takes for its test server, which is this one."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.api.testservice.v1 import LockTimeSkippingRequest, SleepRequest, SleepUntilRequest, UnlockTimeSkippingRequest
from temporalio.client import WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

DAY = 24 * 3600
REAL_SECONDS_MAX = 15  # for what takes months


@workflow.defn
class Season:
    """Thirty naps of three days each."""

    @workflow.run
    async def run(self) -> float:
        began = workflow.time()
        for _ in range(30):
            await workflow.sleep(3 * DAY)
        return workflow.time() - began

    @workflow.query
    def now(self) -> float:
        return workflow.now().timestamp()

    @workflow.signal
    def look(self) -> None:
        pass


class Work:
    def __init__(self, environment: WorkflowEnvironment | None = None) -> None:
        self.environment = environment
        self.attempts = 0

    @activity.defn
    async def flaky(self) -> str:
        self.attempts += 1
        if self.attempts < 6:
            raise ApplicationError("not yet")
        return "at last"

    @activity.defn
    async def lasting(self) -> float:
        await asyncio.sleep(1)
        return 1.0

    @activity.defn
    async def silent(self) -> None:
        await self.environment.sleep(120)


@workflow.defn
class Retries:
    @workflow.run
    async def run(self) -> float:
        began = workflow.time()
        assert "at last" == await workflow.execute_activity(
            "flaky", start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1), backoff_coefficient=2, maximum_interval=timedelta(days=9)),
        )  # fmt: skip
        return workflow.time() - began


@workflow.defn
class Lasts:
    @workflow.run
    async def run(self) -> float:
        began = workflow.time()
        nap = asyncio.create_task(workflow.sleep(DAY))
        await workflow.execute_activity("lasting", start_to_close_timeout=timedelta(minutes=1))
        took = workflow.time() - began
        await nap
        return took


@workflow.defn
class Silent:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            "silent", schedule_to_close_timeout=timedelta(hours=1), heartbeat_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )  # fmt: skip


@pytest.fixture
def test_server(tmp_path: Path) -> str:
    """The SDK gives its test server a port and --enable-time-skipping."""
    script = tmp_path / "test-server"
    binary = os.environ.get("PERDURE_BINARY") or str(Path(__file__).resolve().parents[3] / "build/dev/perdure")
    script.write_text(
        f'#!/bin/sh\nexec "{binary}" server --grpc "127.0.0.1:$1" --http 127.0.0.1:0 --store memory: --time-skipping on >/dev/null\n'
    )
    script.chmod(0o700)
    return str(script)


def environment_of(test_server: str):
    return WorkflowEnvironment.start_time_skipping(test_server_existing_path=test_server)


def worker(environment: WorkflowEnvironment, work: Work | None = None) -> Worker:
    work = work or Work()
    return Worker(
        environment.client, task_queue="skips", workflows=[Season, Retries, Lasts, Silent],
        activities=[work.flaky, work.lasting, work.silent], workflow_runner=UnsandboxedWorkflowRunner(),
    )  # fmt: skip


def play(test_server: str, body, *, work: Work | None = None) -> None:
    async def run() -> None:
        async with await environment_of(test_server) as environment:
            if work is not None:
                work.environment = environment
            async with worker(environment, work):
                await asyncio.wait_for(body(environment), 60)

    asyncio.run(run())


async def is_ahead(environment: WorkflowEnvironment, seconds: float) -> bool:
    ahead = (await environment.get_current_time() - datetime.now(timezone.utc)).total_seconds()
    return abs(ahead - seconds) < 30


def test_three_months_take_seconds(test_server):
    async def body(environment: WorkflowEnvironment) -> None:
        assert await is_ahead(environment, 0)
        began = time.monotonic()
        took = await environment.client.execute_workflow(Season.run, id=uuid.uuid4().hex, task_queue="skips")
        assert 90 * DAY <= took < 90 * DAY + 60
        assert time.monotonic() - began < REAL_SECONDS_MAX
        assert await is_ahead(environment, 90 * DAY)

    play(test_server, body)


def test_back_offs_skip_and_attempts_take_what_they_take(test_server):
    async def body(environment: WorkflowEnvironment) -> None:
        took = await environment.client.execute_workflow(Retries.run, id=uuid.uuid4().hex, task_queue="skips")
        assert 31 * 3600 <= took < 31 * 3600 + 60
        assert await environment.client.execute_workflow(Lasts.run, id=uuid.uuid4().hex, task_queue="skips") < 10

    play(test_server, body)


def test_nothing_skips_while_nobody_asks(test_server):
    async def body(environment: WorkflowEnvironment) -> None:
        handle = await environment.client.start_workflow(Season.run, id=uuid.uuid4().hex, task_queue="skips")
        await handle.signal(Season.look)
        assert abs(await handle.query(Season.now) - time.time()) < 5
        await environment.sleep(10 * DAY)
        await handle.signal(Season.look)
        assert abs(await handle.query(Season.now) - time.time() - 10 * DAY) < 30
        assert await is_ahead(environment, 10 * DAY)
        with environment.auto_time_skipping_disabled():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(handle.result(), 1)
        assert await is_ahead(environment, 10 * DAY)

    play(test_server, body)


def test_an_activity_sleeps_past_its_own_heartbeat(test_server):
    async def body(environment: WorkflowEnvironment) -> None:
        with pytest.raises(WorkflowFailureError) as failed:
            await environment.client.execute_workflow(Silent.run, id=uuid.uuid4().hex, task_queue="skips")
        assert isinstance(failed.value.cause, ActivityError)
        assert isinstance(failed.value.cause.cause, TimeoutError)
        assert failed.value.cause.cause.type == TimeoutType.HEARTBEAT

    play(test_server, body, work=Work())


def test_sleeps_by_their_calls(test_server):
    async def body(environment: WorkflowEnvironment) -> None:
        service = environment.client.test_service
        await service.unlock_time_skipping(UnlockTimeSkippingRequest())
        request = SleepRequest()
        request.duration.FromSeconds(5 * DAY)
        await service.sleep(request)
        assert await is_ahead(environment, 5 * DAY)
        until = SleepUntilRequest()
        until.timestamp.FromDatetime(datetime.now(timezone.utc) + timedelta(days=7))
        await service.sleep_until(until)
        assert await is_ahead(environment, 7 * DAY)
        await service.sleep_until(until)  # it is past: at once
        await service.lock_time_skipping(LockTimeSkippingRequest())
        with pytest.raises(RPCError) as late:
            await service.sleep(request, timeout=timedelta(seconds=1))
        assert late.value.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
        assert await is_ahead(environment, 7 * DAY)

    play(test_server, body)


async def test_without_the_flag_it_is_not_served(env):
    client = await env.client()
    with pytest.raises(RPCError, match="--time-skipping"):
        await client.test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
