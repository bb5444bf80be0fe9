"""DeleteNamespace: the name is free at once, and all that was in it goes."""

from __future__ import annotations

import asyncio

import pytest

from support.env import Env, restart
from support.grpc_client import Code, rejects
from support.hand import Hand, complete_workflow, search_attributes, seconds, start_child, start_timer
from test_retention import DAY, closed, ids, rows, short_server, verified

pytestmark = pytest.mark.ours("it takes longer there")


async def namespace(env: Env, name: str | None = None) -> Env:
    name = name or env.name("Space")
    await env.rpc.RegisterNamespace(namespace=name, workflow_execution_retention_period=DAY)
    await env.rpc.AddSearchAttributes(namespace=name, search_attributes={"City": "INDEXED_VALUE_TYPE_KEYWORD"})
    return Env(env.address, name)


async def fill(own: Env) -> Hand:
    """Runs of every sort: closed, open with a timer, with a child, in a division, on a queue that was configured."""
    city = search_attributes(City="Bern")
    await asyncio.gather(*(closed(own, search_attributes=city) for _ in range(20)))
    await closed(own, search_attributes=search_attributes(TemporalNamespaceDivision="d"))
    waits, parent = Hand(own), Hand(own)
    await waits.start(search_attributes=city)
    await waits.step(start_timer("t", 2))
    await parent.start()
    await parent.step(start_child(own.name("child"), parent.queue))
    await own.rpc.UpdateTaskQueueConfig(
        task_queue=parent.queue,
        task_queue_type="TASK_QUEUE_TYPE_ACTIVITY",
        update_queue_rate_limit={"rate_limit": {"requests_per_second": 50}, "reason": "r"},
    )
    await own.rpc.CreateSchedule(
        schedule_id="goes",
        request_id="r",
        schedule={
            "spec": {"interval": [{"interval": seconds(1)}]},
            "action": {
                "start_workflow": {
                    "workflow_id": "scheduled",
                    "workflow_type": {"name": "type"},
                    "task_queue": {"name": parent.queue},
                }
            },
        },
    )
    return waits


async def until_erased(env: Env, deleted: str) -> None:
    while True:
        try:
            await env.rpc.DescribeNamespace(namespace=deleted)
        except Exception as error:
            assert error.code() == Code.NOT_FOUND
            return
        await asyncio.sleep(0.1)


async def test_a_deleted_namespace_is_gone_with_all_that_was_in_it(env):
    async with short_server() as (server, env):
        own, other = await namespace(env), await namespace(env)
        hand = await fill(own)
        staying = await closed(other)
        task = await Hand(own).poll_maybe(hand.queue, wait=1)
        assert not task.task_token
        described = (await env.rpc.DescribeNamespace(namespace=own.namespace)).namespace_info
        deleted = (await env.rpc.DeleteNamespace(namespace=own.namespace)).deleted_namespace
        assert deleted == f"{own.namespace}-deleted-{described.id[:5]}"
        with rejects(Code.NOT_FOUND):
            await hand.start()
        with rejects(Code.NOT_FOUND):
            await env.rpc.DeleteNamespace(namespace=own.namespace)
        with rejects(Code.NOT_FOUND):
            await env.rpc.UpdateNamespace(namespace=deleted, update_info={"state": "NAMESPACE_STATE_REGISTERED"})
        info = (await env.rpc.DescribeNamespace(namespace=deleted)).namespace_info
        assert info.state == 3 and info.id == described.id
        names = [each.namespace_info.name for each in (await env.rpc.ListNamespaces()).namespaces]
        assert deleted not in names and own.namespace not in names
        again = await namespace(env, own.namespace)
        assert await ids(again) == []
        new = await closed(again)
        await until_erased(env, deleted)
        assert await ids(again) == [new.workflow_id] and await ids(other) == [staying.workflow_id]
        await verified(server)
        assert rows(server, "run") == 2 and rows(server, "wakeup") == rows(server, "ready") == 0
        assert rows(server, "attribute") == 0 and rows(server, "outbox") == 0
        assert rows(server, "entity WHERE kind = 8") == 0


async def test_kills_do_not_keep_a_deleted_namespace(env):
    async with short_server() as (server, env):
        deleted = []
        for _ in range(4):
            own = await namespace(env)
            await fill(own)
            described = (await env.rpc.DescribeNamespace(namespace=own.namespace)).namespace_info
            answer = await env.rpc.DeleteNamespace(namespace="", namespace_id=described.id)
            deleted.append(answer.deleted_namespace)
            await restart(server)
        for name in deleted:
            await until_erased(env, name)
        await verified(server)
        assert rows(server, "run") == rows(server, "transition_log") == rows(server, "attribute") == 0


async def test_workflows_stay_as_long_as_the_deletion_is_delayed(env):
    async with short_server() as (_, env):
        own, gone = await namespace(env), await namespace(env)
        hand, other = await closed(own), await closed(gone)
        delayed = await env.rpc.DeleteNamespace(namespace=own.namespace, namespace_delete_delay=seconds(3600))
        deleted = await env.rpc.DeleteNamespace(namespace=gone.namespace)
        await until_erased(env, deleted.deleted_namespace)
        assert (await env.rpc.DescribeNamespace(namespace=delayed.deleted_namespace)).namespace_info.state == 3
        assert hand.run_id != other.run_id


async def test_bad_requests(env):
    with rejects(Code.INVALID_ARGUMENT, text="One of Namespace and NamespaceId"):
        await env.rpc.DeleteNamespace(namespace="")
    with rejects(Code.INVALID_ARGUMENT, text="One of Namespace and NamespaceId"):
        await env.rpc.DeleteNamespace(namespace="a", namespace_id="b")
    with rejects(Code.NOT_FOUND):
        await env.rpc.DeleteNamespace(namespace=env.name("none"))
    with rejects(Code.NOT_FOUND):
        await env.rpc.DeleteNamespace(namespace="", namespace_id=env.name("none"))


async def test_two_of_one_name_that_are_going_have_names_of_their_own(env):
    async with short_server() as (_, env):
        seen = set()
        for _ in range(3):
            own = await namespace(env, "again")
            opened = Hand(own)
            await opened.start()
            await opened.step(complete_workflow())
            seen.add((await env.rpc.DeleteNamespace(namespace="again")).deleted_namespace)
        assert len(seen) == 3
        for name in seen:
            await until_erased(env, name)
