"""Workers: their heartbeats, lists of them, and how they leave."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.worker.v1 import message_pb2 as worker_pb2
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from support.env import own_server, restart
from support.grpc_client import Code, not_found, rejects
from support.hand import IDENTITY, STICKY, Hand, complete_workflow
from support.histories import PROLOGUE, E, check, types

RUNNING, SHUTTING_DOWN, SHUTDOWN = 1, 2, 3


def beat(env, key: str, **fields) -> worker_pb2.WorkerHeartbeat:
    values = dict(
        worker_instance_key=f"{key}-{env.unique}",
        worker_identity=f"id-{key}-{env.unique}",
        task_queue=f"queue-{env.unique}",
        sdk_name="temporal-test",
        sdk_version="1.2.3",
        status=RUNNING,
        host_info=dict(host_name="host-" + key, process_id="7", worker_grouping_key="group"),
        start_time={"seconds": 1_700_000_000},
    )
    return worker_pb2.WorkerHeartbeat(**(values | fields))


async def listed(env, query: str, **fields) -> list[str]:
    answer = await env.rpc.ListWorkers(
        query=f"TaskQueue = 'queue-{env.unique}'" + (f" AND ({query})" if query else ""), **fields
    )
    names = [worker.worker_instance_key for worker in answer.workers]
    assert names == [info.worker_heartbeat.worker_instance_key for info in answer.workers_info]
    return [name.removesuffix("-" + env.unique) for name in names]


async def test_a_heartbeat_is_described_as_it_was_sent(env):
    sent = beat(env, "a", current_sticky_cache_size=5, plugins=[{"name": "p", "version": "1"}])
    await env.rpc.RecordWorkerHeartbeat(identity="i", worker_heartbeat=[sent])
    answer = await env.rpc.DescribeWorker(worker_instance_key=sent.worker_instance_key)
    assert answer.worker_info.worker_heartbeat == sent
    later = beat(env, "a", current_sticky_cache_size=6)
    await env.rpc.RecordWorkerHeartbeat(identity="i", worker_heartbeat=[later])
    answer = await env.rpc.DescribeWorker(worker_instance_key=sent.worker_instance_key)
    assert answer.worker_info.worker_heartbeat == later
    with rejects(Code.NOT_FOUND, not_found):
        await env.rpc.DescribeWorker(worker_instance_key=env.name("nobody"))


async def test_workers_are_listed_in_pages_in_the_order_of_their_keys(env):
    await env.rpc.RecordWorkerHeartbeat(worker_heartbeat=[beat(env, key) for key in "cabed"])
    assert await listed(env, "") == ["a", "b", "c", "d", "e"]
    names, token = [], b""
    while True:
        query = f"TaskQueue = 'queue-{env.unique}'"
        page = await env.rpc.ListWorkers(query=query, page_size=2, next_page_token=token)
        assert len(page.workers) <= 2
        names += [worker.worker_instance_key[0] for worker in page.workers]
        token = page.next_page_token
        if not token:
            break
    assert names == ["a", "b", "c", "d", "e"]
    with rejects(Code.INVALID_ARGUMENT, text="NextPageToken"):
        await env.rpc.ListWorkers(page_size=2, next_page_token=b"what")


FILTERS = {
    "WorkerInstanceKey = '{a}'": "a",
    "WorkerInstanceKey STARTS_WITH 'a-'": "a",
    "WorkerIdentity = 'id-{b}'": "b",
    "HostName = 'host-a' OR HostName = 'host-c'": "ac",
    "HostName != 'host-a'": "bc",
    "SdkName = 'temporal-test' AND SdkVersion = '1.2.3'": "abc",
    "Status = 'Running'": "ac",
    "WorkerStatus = 'ShuttingDown'": "b",
    "StartTime > '2023-01-01T00:00:00Z'": "abc",
    "StartTime > '2033-01-01T00:00:00Z'": "",
    "DeploymentName = 'd' AND BuildId = 'b1'": "c",
    "BuildId IS NULL": "ab",
    "NOT HostName IN ('host-a', 'host-b')": "c",
}


async def test_lists_are_filtered(env):
    await env.rpc.RecordWorkerHeartbeat(
        worker_heartbeat=[
            beat(env, "a"),
            beat(env, "b", status=SHUTTING_DOWN),
            beat(env, "c", deployment_version=dict(deployment_name="d", build_id="b1")),
        ]
    )
    for query, wanted in FILTERS.items():
        text = query.format(a=f"a-{env.unique}", b=f"b-{env.unique}")
        assert "".join(await listed(env, text)) == wanted, query
        count = await env.rpc.CountWorkers(query=f"TaskQueue = 'queue-{env.unique}' AND ({text})")
        assert count.count == len(wanted)


@pytest.mark.ours("there the answer is an empty list")
async def test_a_wrong_query_is_told_as_such(env):
    for query in ("bad", "Nope = 'x'", "Status = 'Asleep'", "StartTime = 'x'", "HostName = 1", "("):
        with rejects(Code.INVALID_ARGUMENT):
            await env.rpc.ListWorkers(query=query)


@pytest.mark.ours("it takes them")
async def test_heartbeats_have_limits(env):
    with rejects(Code.INVALID_ARGUMENT, text="WorkerInstanceKey"):
        await env.rpc.RecordWorkerHeartbeat(worker_heartbeat=[beat(env, "a", worker_instance_key="")])
    with rejects(Code.INVALID_ARGUMENT, text="WorkerHeartbeat"):
        await env.rpc.RecordWorkerHeartbeat(worker_heartbeat=[beat(env, "a", sdk_name="x" * 17000)])
    assert await listed(env, "") == []


async def test_a_worker_that_shut_down_is_no_longer_listed(env):
    sent = beat(env, "a")
    await env.rpc.RecordWorkerHeartbeat(worker_heartbeat=[sent])
    await env.rpc.ShutdownWorker(
        worker_instance_key=sent.worker_instance_key, worker_heartbeat=beat(env, "a", status=SHUTDOWN)
    )
    assert await listed(env, "") == []


# Leaving.


async def test_polls_of_a_worker_that_leaves_are_answered_empty_at_once(env):
    hand = Hand(env)
    key = env.name("key")
    capabilities = (await hand.rpc.DescribeNamespace()).namespace_info.capabilities
    assert capabilities.worker_poll_complete_on_shutdown and capabilities.worker_heartbeats

    def polls(key: str):
        sticky = {"name": hand.sticky_queue, "kind": STICKY, "normal_name": hand.queue}
        of_worker = dict(identity=IDENTITY, worker_instance_key=key, _seconds=20)
        return [
            asyncio.ensure_future(poll)
            for poll in (
                hand.rpc.PollWorkflowTaskQueue(task_queue={"name": hand.queue}, **of_worker),
                hand.rpc.PollWorkflowTaskQueue(task_queue=sticky, **of_worker),
                hand.rpc.PollActivityTaskQueue(task_queue={"name": hand.queue}, **of_worker),
            )
        ]

    begun = time.monotonic()
    open_polls, others = polls(key), polls(env.name("other"))
    for _ in range(100):
        seen = await hand.rpc.DescribeTaskQueue(task_queue={"name": hand.queue}, task_queue_type=2)
        if seen.pollers:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)  # the other polls are open, too
    await hand.rpc.ShutdownWorker(worker_instance_key=key, sticky_task_queue=hand.sticky_queue)
    answers = await asyncio.gather(*open_polls, *polls(key))
    assert time.monotonic() - begun < 5
    assert not any(answer.task_token for answer in answers)
    assert not any(poll.done() for poll in others)
    await hand.start()
    (done, _) = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    assert done.pop().result().task_token
    for poll in others:
        poll.cancel()


async def test_tasks_of_the_sticky_queue_of_a_worker_that_left_go_to_the_normal_one(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(sticky=60)
    waiting = asyncio.create_task(hand.poll(sticky=True))
    await asyncio.sleep(0.3)  # the sticky queue is alive
    waiting.cancel()
    await hand.signal("s")
    await hand.rpc.ShutdownWorker(sticky_task_queue=hand.sticky_queue, identity=IDENTITY)
    task = await hand.poll(wait=5)
    assert types(task.history.events)[0] == "WorkflowExecutionStarted" or len(task.history.events) == 7
    await hand.complete(task, complete_workflow())
    check(
        await hand.history(),
        *PROLOGUE,
        E("Signaled"),
        E("WftScheduled", task_queue={"name": hand.sticky_queue, "kind": STICKY, "normal_name": hand.queue}),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


@activity.defn
async def step() -> str:
    return "done"


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.goes_on = False

    @workflow.run
    async def run(self) -> str:
        await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=10))
        await workflow.wait_condition(lambda: self.goes_on)
        return await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=10))

    @workflow.signal
    def go_on(self) -> None:
        self.goes_on = True


async def test_a_worker_that_stops_leaves_no_trace_in_a_history(env):
    """Its workflows wait for a signal, whose task goes to the next worker at once, not when the sticky queue times out."""
    client = await env.client()
    queue = env.name("queue")

    def worker() -> Worker:
        return Worker(
            client,
            task_queue=queue,
            workflows=[Waits],
            activities=[step],
            graceful_shutdown_timeout=timedelta(seconds=2),
            workflow_runner=UnsandboxedWorkflowRunner(),
        )

    hands = [Hand(env, queue=queue) for _ in range(3)]
    first = worker()
    running = asyncio.create_task(first.run())
    for hand in hands:
        await client.start_workflow(Waits.run, id=hand.workflow_id, task_queue=queue)
    for hand in hands:
        await hand.history_with("WftCompleted", 2)
    begun = time.monotonic()
    await first.shutdown()
    await running
    assert time.monotonic() - begun < 5
    async with worker():
        for hand in hands:
            await hand.signal("go_on")
        for hand in hands:
            assert await client.get_workflow_handle(hand.workflow_id).result() == "done"
    assert time.monotonic() - begun < 10, "the tasks waited for the sticky queue of the worker that left"
    for hand in hands:
        seen = types(await hand.history())
        assert not [name for name in seen if "TimedOut" in name or "Failed" in name]


@pytest.mark.crash
async def test_workers_are_known_again_when_they_say_so_after_a_crash(env):
    async with own_server() as (server, own):
        sent = beat(own, "a")
        await own.rpc.RecordWorkerHeartbeat(worker_heartbeat=[sent])
        await restart(server)
        assert await listed(own, "") == []
        await own.rpc.RecordWorkerHeartbeat(worker_heartbeat=[sent])
        assert await listed(own, "") == ["a"]
