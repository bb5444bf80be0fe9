"""Retention: closed workflows go when their namespace has kept them long enough, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from support.env import Env, own_server, restart
from support.grpc_client import Code, rejects
from support.hand import Hand, complete_workflow, continue_as_new, search_attributes, seconds, start_timer
from test_delete import gone
from test_reset import reset
from test_visibility import listed

pytestmark = pytest.mark.ours("the shortest retention there is an hour")

DAY = seconds(86400)


@contextlib.asynccontextmanager
async def short_server():
    async with own_server("--limit", "retention-min=1") as (server, env):
        yield server, env


async def namespace(env: Env, retention) -> Env:
    name = env.name("kept")
    await env.rpc.RegisterNamespace(namespace=name, workflow_execution_retention_period=retention)
    return Env(env.address, name)


async def closed(env: Env, **fields) -> Hand:
    hand = Hand(env)
    await hand.start(**fields)
    await hand.step(complete_workflow("done"))
    return hand


async def ids(env: Env, query: str = "") -> list[str]:
    return sorted(info.execution.workflow_id for info in await listed(env, query))


async def only_these_are_left(env: Env, hands: list[Hand], query: str = "") -> None:
    while await ids(env, query) != sorted(hand.workflow_id for hand in hands):
        await asyncio.sleep(0.05)


async def verified(server) -> None:
    """The store agrees with itself, and has rows of as many runs as it says."""
    await asyncio.to_thread(server.stop)
    done = await asyncio.to_thread(server.verify)
    assert done.returncode == 0, done.stdout + done.stderr


def rows(server, table: str) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{server.store}?mode=ro", uri=True)) as database:
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


async def test_closed_workflows_go_and_open_ones_stay(env):
    async with short_server() as (server, env):
        short, long = await namespace(env, seconds(1)), await namespace(env, DAY)
        for own in (short, long):
            await own.rpc.AddSearchAttributes(
                namespace=own.namespace, search_attributes={"City": "INDEXED_VALUE_TYPE_KEYWORD"}
            )
        city = search_attributes(City="Bern")
        going = [await closed(short, search_attributes=city) for _ in range(5)]
        hidden = await closed(short, search_attributes=search_attributes(TemporalNamespaceDivision="d"))
        staying = await closed(long, search_attributes=city)
        opened = Hand(short)
        await opened.start()
        await opened.step(start_timer("t", 3600))
        await only_these_are_left(short, [opened])
        await only_these_are_left(short, [], "TemporalNamespaceDivision = 'd'")
        for hand in [*going, hidden]:
            await gone(hand)
        assert (await short.rpc.CountWorkflowExecutions(query="City = 'Bern'")).count == 0
        assert (await short.rpc.CountWorkflowExecutions(query="GROUP BY ExecutionStatus")).count == 1
        assert await ids(long) == [staying.workflow_id]
        assert len(await staying.history()) == 5
        await going[0].start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")
        await going[0].step(complete_workflow())
        await only_these_are_left(short, [opened])
        await opened.terminate()
        await only_these_are_left(short, [])
        await verified(server)
        assert rows(server, "run") == rows(server, "attribute") == 1
        assert rows(server, "transition_log") == rows(server, "transition_position")


async def test_a_changed_retention_is_that_of_older_workflows_too(env):
    async with short_server() as (_, env):
        own = await namespace(env, DAY)
        hand = await closed(own)
        other = await namespace(env, seconds(1))
        await closed(other)
        await only_these_are_left(other, [])  # so a sweep has passed
        assert await ids(own) == [hand.workflow_id]
        await own.rpc.UpdateNamespace(
            namespace=own.namespace, config={"workflow_execution_retention_ttl": seconds(1)}
        )
        await only_these_are_left(own, [])
        await own.rpc.UpdateNamespace(namespace=own.namespace, config={"workflow_execution_retention_ttl": DAY})
        hand = await closed(own)
        await closed(other)
        await only_these_are_left(other, [])
        assert await ids(own) == [hand.workflow_id]


async def test_of_a_chain_the_runs_before_the_current_one_go(env):
    async with short_server() as (server, env):
        own = await namespace(env, seconds(1))
        hand = Hand(own)
        runs = [(await hand.start()).run_id]
        for _ in range(2):
            await hand.step(continue_as_new("type", hand.queue))
            runs.append((await hand.describe("")).workflow_execution_info.execution.run_id)
        await only_these_are_left(own, [hand])
        for run_id in runs[:2]:
            with rejects(Code.NOT_FOUND):
                await hand.describe(run_id)
        await own.rpc.SignalWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id}, signal_name="s")
        assert (await hand.describe(runs[2])).workflow_execution_info.status == 1
        await verified(server)


async def test_what_a_reset_began_with_outlives_the_run_that_it_was_of(env):
    async with short_server() as (server, env):
        own = await namespace(env, seconds(1))
        hand = Hand(own)
        first = (await hand.start()).run_id
        await hand.step(start_timer("t", 3600))
        hand.run_id = await reset(hand, 3, first)
        await hand.step(start_timer("t", 3600))
        marker = await closed(own)
        await only_these_are_left(own, [hand, hand])  # as long as the new run is open
        await hand.describe(first)
        await hand.signal("end")
        await hand.step(complete_workflow())
        await only_these_are_left(own, [])
        await gone(hand, first)
        await gone(marker)
        await verified(server)
        assert rows(server, "transition_log") == 0 and rows(server, "run") == 0


async def test_kills_lose_nothing_that_stays_and_leave_nothing_that_goes(env):
    async with short_server() as (server, env):
        short, long = await namespace(env, seconds(1)), await namespace(env, DAY)
        staying = [await closed(long) for _ in range(5)]
        for _ in range(6):
            await asyncio.gather(*(closed(short) for _ in range(60)))
            while len(await ids(short)) >= 60:
                await asyncio.sleep(0.01)
            await restart(server)
        await only_these_are_left(short, [])
        await only_these_are_left(long, staying)
        await verified(server)
        assert rows(server, "run") == len(staying)
        assert rows(server, "transition_log") == rows(server, "transition_position")


async def test_a_retention_below_the_least_is_refused(env):
    with rejects(Code.INVALID_ARGUMENT, text="at least 3600 seconds"):
        await env.rpc.RegisterNamespace(
            namespace=env.name("short"), workflow_execution_retention_period=seconds(3599)
        )
