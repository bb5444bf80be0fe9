"""Task queues as their operator and their workers see them: order, statistics, limits, hints."""

from __future__ import annotations

import asyncio

import pytest

from support.env import own_server, restart
from support.grpc_client import Code, rejects
from support.hand import STICKY, Hand

WORKFLOW, ACTIVITY = "TASK_QUEUE_TYPE_WORKFLOW", "TASK_QUEUE_TYPE_ACTIVITY"


async def describe(hand: Hand, type: str = ACTIVITY, **fields):
    return await hand.rpc.DescribeTaskQueue(
        task_queue={"name": hand.queue}, task_queue_type=type, **({"report_stats": True} | fields)
    )


async def counts(hand: Hand, type: str = ACTIVITY) -> tuple[int, dict[int, int]]:
    """The backlog, and that of each priority which has one."""
    answer = await describe(hand, type)
    by_key = {k: v.approximate_backlog_count for k, v in answer.stats_by_priority_key.items()}
    assert answer.stats.approximate_backlog_count == sum(by_key.values())
    return answer.stats.approximate_backlog_count, {k: n for k, n in by_key.items() if n}


async def drain(hand: Hand, count: int) -> list[str]:
    """The ids of the next activities of the queue, in the order they are handed out."""
    return [(await hand.poll_activity()).activity_id for _ in range(count)]


def of_priority(hand: Hand, name: str, key: int = 0, fairness: str = "", weight: float = 0):
    return hand.activity(
        name, priority=dict(priority_key=key, fairness_key=fairness, fairness_weight=weight)
    )


@pytest.mark.ours("tasks reach the queue later there, and several partitions of it")
async def test_priorities_go_before_age(env):
    hand = Hand(env)
    await hand.start()
    keys = [3, 5, 0, 1, 4, 2, 1]
    await hand.step(*(of_priority(hand, f"{key}-{at}", key) for at, key in enumerate(keys)))
    assert await drain(hand, len(keys)) == ["1-3", "1-6", "2-5", "3-0", "0-2", "4-4", "5-1"]


@pytest.mark.ours("tasks reach the queue later there, and several partitions of it")
async def test_an_activity_inherits_the_priority_of_its_workflow_field_by_field(env):
    hand = Hand(env)
    await hand.start(priority=dict(priority_key=5, fairness_key="theirs", fairness_weight=2))
    await hand.step(hand.activity("inherits"), of_priority(hand, "urgent", 1))
    urgent, inherits = await hand.poll_activity(), await hand.poll_activity()
    assert (urgent.activity_id, inherits.activity_id) == ("urgent", "inherits")
    assert (inherits.priority.priority_key, inherits.priority.fairness_key) == (5, "theirs")
    assert (urgent.priority.priority_key, urgent.priority.fairness_key) == (1, "theirs")


@pytest.mark.ours("fairness is off there")
async def test_a_backlog_of_one_key_larger_than_memory_holds_does_not_hide_the_others(env):
    hand = Hand(env)
    await hand.start()
    big = [of_priority(hand, f"big-{at}", fairness="big") for at in range(300)]
    small = [of_priority(hand, f"small-{at}", fairness="small") for at in range(3)]
    await hand.step(*big, *small)
    first = await drain(hand, 8)
    assert sorted(id for id in first if id.startswith("small")) == ["small-0", "small-1", "small-2"]
    assert [id for id in first if id.startswith("big")] == [f"big-{at}" for at in range(5)]
    urgent = Hand(env, queue=hand.queue)
    await urgent.start()
    await urgent.step(of_priority(urgent, "urgent", 1))
    assert await drain(hand, 1) == ["urgent"]
    assert await counts(hand) == (295, {3: 295})


@pytest.mark.ours("fairness is off there")
async def test_weights_share_the_workers(env):
    hand = Hand(env)
    await hand.start()
    both = [of_priority(hand, f"heavy-{at}", fairness="h", weight=3) for at in range(40)]
    both += [of_priority(hand, f"light-{at}", fairness="l") for at in range(40)]
    await hand.step(*both)
    heavy = sum(id.startswith("heavy") for id in await drain(hand, 40))
    assert 29 <= heavy <= 31


@pytest.mark.ours("tasks reach the queue later there, and several partitions of it")
async def test_statistics_are_of_what_waits_on_disk(env):
    hand = Hand(env)
    assert await counts(hand) == (0, {})
    await hand.start()
    await hand.step(*(of_priority(hand, f"a{at}", 1 + at % 2) for at in range(5)))
    assert await counts(hand) == (5, {1: 3, 2: 2})
    answer = await describe(hand)
    assert answer.stats.approximate_backlog_age.ToMilliseconds() >= 0
    assert answer.stats.tasks_add_rate > 0 and answer.stats.tasks_dispatch_rate == 0
    assert answer.stats_by_priority_key[1].tasks_add_rate > 0
    await drain(hand, 4)
    assert await counts(hand) == (1, {2: 1})
    answer = await describe(hand)
    assert answer.stats.tasks_dispatch_rate > 0
    await drain(hand, 1)
    assert await counts(hand) == (0, {})
    assert (await describe(hand)).stats.approximate_backlog_age.ToNanoseconds() == 0


async def test_a_backlog_that_no_worker_ever_saw_is_counted(env):
    hand = Hand(env)
    for at in range(3):
        await Hand(env, queue=hand.queue).start(priority=dict(priority_key=at))
    assert await counts(hand, WORKFLOW) == (3, {1: 1, 2: 1, 3: 1})
    answer = await describe(hand, WORKFLOW, include_task_queue_status=True, report_stats=False)
    assert answer.task_queue_status.backlog_count_hint > 0
    assert not answer.HasField("stats") and not answer.stats_by_priority_key and not answer.pollers
    assert answer.effective_rate_limit.rate_limit_source == 3  # the system's


async def test_describe_shows_pollers_and_the_rate_a_worker_asks_for(env):
    hand = Hand(env)
    polled = asyncio.create_task(
        hand.rpc.PollActivityTaskQueue(
            task_queue={"name": hand.queue},
            identity="limited",
            task_queue_metadata={"max_tasks_per_second": {"value": 2.5}},
            worker_version_capabilities={"build_id": "b1"},
            _seconds=4,
        )
    )
    await polled
    answer = await describe(hand, include_task_queue_status=True)
    (poller,) = answer.pollers
    assert (poller.identity, poller.rate_per_second) == ("limited", 2.5)
    assert poller.worker_version_capabilities.build_id == "b1" and poller.HasField("last_access_time")
    assert answer.effective_rate_limit.requests_per_second == 2.5
    assert answer.effective_rate_limit.rate_limit_source == 2  # the worker's
    assert answer.task_queue_status.rate_per_second == 2.5
    assert not (await describe(hand, WORKFLOW)).pollers


async def test_enhanced_mode_and_what_it_does_not_do(env):
    hand = Hand(env)
    await hand.start()
    answer = await hand.rpc.DescribeTaskQueue(
        task_queue={"name": hand.queue},
        api_mode="DESCRIBE_TASK_QUEUE_MODE_ENHANCED",
        report_stats=True,
        report_pollers=True,
        report_task_reachability=True,
    )
    (unversioned,) = answer.versions_info.values()
    assert set(unversioned.types_info) == {1, 2}
    assert unversioned.types_info[1].stats.approximate_backlog_count == 1
    assert unversioned.types_info[2].stats.approximate_backlog_count == 0
    assert unversioned.task_reachability == 1  # reachable
    sticky = {"name": "s", "kind": STICKY, "normal_name": hand.queue}
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.DescribeTaskQueue(task_queue=sticky, api_mode="DESCRIBE_TASK_QUEUE_MODE_ENHANCED")
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.DescribeTaskQueue(task_queue=sticky, task_queue_type=WORKFLOW, report_stats=True)


async def test_partitions(env):
    name = env.name("queue")
    answer = await env.rpc.ListTaskQueuePartitions(task_queue={"name": name})
    for partitions in (answer.activity_task_queue_partitions, answer.workflow_task_queue_partitions):
        assert partitions[0].key == name and partitions[0].owner_host_name


async def test_a_worker_is_told_to_poll_more_when_tasks_grow_old_and_less_when_it_waited(env):
    hand = Hand(env)
    waiting = asyncio.create_task(hand.poll())
    await asyncio.sleep(1.2)  # a poll that waits longer than a second: the subject here
    await hand.start()
    task = await waiting
    assert task.poller_scaling_decision.poll_request_delta_suggestion == -1
    await hand.complete(task, *(hand.activity(f"a{at}") for at in range(4)))
    await asyncio.sleep(0.3)  # tasks that wait longer than 200 ms: the subject here
    first = await hand.poll_activity()
    assert first.poller_scaling_decision.poll_request_delta_suggestion == 1
    capabilities = (await hand.rpc.DescribeNamespace()).namespace_info.capabilities
    assert capabilities.poller_autoscaling


@pytest.mark.crash
async def test_a_backlog_of_priorities_and_keys_survives_a_crash(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step(
            *(of_priority(hand, f"big-{at}", 3, "big") for at in range(30)),
            *(of_priority(hand, f"small-{at}", 3, "small", 1) for at in range(2)),
            of_priority(hand, "late", 5),
            of_priority(hand, "urgent", 1),
        )
        await restart(server)
        assert await counts(hand) == (34, {1: 1, 3: 32, 5: 1})
        order = await drain(hand, 34)
        assert order[0] == "urgent" and order[-1] == "late"
        assert {"small-0", "small-1"} <= set(order[1:5])
        assert [id for id in order if id.startswith("big")] == [f"big-{at}" for at in range(30)]
        assert await counts(hand) == (0, {})


# What an operator sets.


def limit(rate: float | None, reason: str = "why") -> dict:
    return {"reason": reason} if rate is None else {"rate_limit": {"requests_per_second": rate}, "reason": reason}


async def configure(hand: Hand, type: str = ACTIVITY, **fields):
    answer = await hand.rpc.UpdateTaskQueueConfig(
        task_queue=hand.queue, task_queue_type=type, identity="operator", **fields
    )
    return answer.config


async def test_settings_are_merged_and_shown(env):
    hand = Hand(env)
    assert not (await describe(hand, report_config=True)).HasField("config")
    config = await configure(hand, update_queue_rate_limit=limit(5))
    assert config.queue_rate_limit.rate_limit.requests_per_second == 5
    metadata = config.queue_rate_limit.metadata
    assert (metadata.reason, metadata.update_identity) == ("why", "operator")
    assert metadata.update_time.seconds > 0
    config = await configure(
        hand,
        update_fairness_key_rate_limit_default=limit(2),
        set_fairness_weight_overrides={"a": 2.5, "b": 3},
    )
    assert config.queue_rate_limit.rate_limit.requests_per_second == 5
    assert config.fairness_keys_rate_limit_default.rate_limit.requests_per_second == 2
    config = await configure(
        hand, set_fairness_weight_overrides={"b": 4, "c": 1}, unset_fairness_weight_overrides=["a", "zz"]
    )
    assert dict(config.fairness_weight_overrides) == {"b": 4, "c": 1}
    answer = await describe(hand, report_config=True)
    assert answer.config == config == await configure(hand)
    assert answer.effective_rate_limit.requests_per_second == 5
    assert answer.effective_rate_limit.rate_limit_source == 1  # the API's
    other = await configure(hand, WORKFLOW, set_fairness_weight_overrides={"a": 2})
    assert not other.HasField("queue_rate_limit") and dict(other.fairness_weight_overrides) == {"a": 2}
    config = await configure(hand, update_queue_rate_limit=limit(None, "gone"))
    assert not config.queue_rate_limit.HasField("rate_limit")
    assert config.queue_rate_limit.metadata.reason == "gone"
    assert (await describe(hand)).effective_rate_limit.rate_limit_source == 3  # the system's


BAD_SETTINGS = {
    "negative": dict(update_queue_rate_limit=limit(-1)),
    "negative of keys": dict(update_fairness_key_rate_limit_default=limit(-1)),
    "long reason": dict(update_queue_rate_limit=limit(1, "x" * 1001)),
    "weight zero": dict(set_fairness_weight_overrides={"a": 0}),
    "weight negative": dict(set_fairness_weight_overrides={"a": -1}),
    "empty key": dict(set_fairness_weight_overrides={"": 1}),
    "long key": dict(set_fairness_weight_overrides={"k" * 65: 1}),
    "many keys": dict(set_fairness_weight_overrides={f"k{at}": 1 for at in range(1001)}),
    "set and unset": dict(set_fairness_weight_overrides={"a": 1}, unset_fairness_weight_overrides=["a"]),
    "reserved name": dict(task_queue="/_sys/q/1"),
    "long name": dict(task_queue="q" * 1001),
    "workflows": dict(task_queue_type=WORKFLOW, update_queue_rate_limit=limit(1)),
    "keys of workflows": dict(task_queue_type=WORKFLOW, update_fairness_key_rate_limit_default=limit(1)),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
async def test_bad_settings_change_nothing(env, case):
    hand = Hand(env)
    fields = dict(task_queue=hand.queue, task_queue_type=ACTIVITY) | BAD_SETTINGS[case]
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.UpdateTaskQueueConfig(**fields)
    assert not (await describe(hand, report_config=True)).HasField("config")


async def test_as_many_weights_as_there_may_be(env):
    hand = Hand(env)
    config = await configure(hand, set_fairness_weight_overrides={f"k{at}": 1 for at in range(1000)})
    assert len(config.fairness_weight_overrides) == 1000
    with rejects(Code.INVALID_ARGUMENT):
        await configure(hand, set_fairness_weight_overrides={"one more": 1})
    assert await configure(hand) == config


@pytest.mark.ours("it takes longer there until a limit is in force")
async def test_a_limit_of_zero_stops_a_queue_until_it_is_lifted(env):
    hand = Hand(env)
    await configure(hand, update_queue_rate_limit=limit(0))
    await hand.start()
    await hand.step(hand.activity("a"))
    assert not (
        await hand.rpc.PollActivityTaskQueue(task_queue={"name": hand.queue}, identity="i", _seconds=2.5)
    ).task_token
    waiting = asyncio.create_task(hand.poll_activity())
    answer = await describe(hand)
    assert answer.effective_rate_limit.requests_per_second == 0
    assert answer.stats.approximate_backlog_count == 1
    await configure(hand, update_queue_rate_limit=limit(None))
    assert (await waiting).activity_id == "a"


@pytest.mark.ours("it takes longer there until a limit is in force")
async def test_a_limit_spreads_tasks_over_time(env):
    hand = Hand(env)
    await configure(hand, update_queue_rate_limit=limit(5))
    await hand.start()
    await hand.step(*(hand.activity(f"a{at}") for at in range(9)))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await drain(hand, 5)
    burst = loop.time() - begun
    await drain(hand, 4)
    took = loop.time() - begun
    assert took >= 0.75 and took - burst <= 5, (burst, took)


@pytest.mark.crash
async def test_settings_survive_a_crash_and_hold_from_the_first_poll_on(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        config = await configure(
            hand, update_queue_rate_limit=limit(0), set_fairness_weight_overrides={"a": 2}
        )
        await hand.start()
        await hand.step(hand.activity("a"))
        await restart(server)
        assert not (
            await hand.rpc.PollActivityTaskQueue(task_queue={"name": hand.queue}, identity="i", _seconds=2.5)
        ).task_token
        assert (await describe(hand, report_config=True)).config == config
        await configure(hand, update_queue_rate_limit=limit(None))
        assert (await hand.poll_activity()).activity_id == "a"
        await restart(server)
        assert dict((await configure(hand)).fairness_weight_overrides) == {"a": 2}
