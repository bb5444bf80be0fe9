"""Schedules: created, shown, changed, fired, and kept over kills."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone

import pytest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
)
from temporalio.service import RPCError

from support.env import Env, own_server, restart
from support.grpc_client import Code, rejects
from support.hand import Hand, complete_workflow, fail_workflow, failure, memo, search_attributes, seconds
from test_visibility import listed

pytestmark = pytest.mark.ours("its scheduler is slower")


def action(hand: Hand, **fields) -> dict:
    return {
        "start_workflow": {
            "workflow_id": hand.workflow_id,
            "workflow_type": {"name": "type"},
            "task_queue": {"name": hand.queue},
            **fields,
        }
    }


def schedule(hand: Hand, interval: float | None = None, **fields) -> dict:
    spec = {} if interval is None else {"interval": [{"interval": seconds(interval)}]}
    return {"spec": spec, "action": action(hand)} | fields


async def create(env: Env, hand: Hand, schedule_id: str | None = None, **fields) -> str:
    schedule_id = schedule_id or env.name("schedule")
    await env.rpc.CreateSchedule(schedule_id=schedule_id, request_id=env.name("r"), **fields)
    return schedule_id


async def info(env: Env, schedule_id: str):
    return (await env.rpc.DescribeSchedule(schedule_id=schedule_id)).info


async def until(read, wanted, limit: float = 30) -> object:
    end = time.monotonic() + limit
    while True:
        seen = await read()
        if wanted(seen):
            return seen
        assert time.monotonic() < end, seen
        await asyncio.sleep(0.02)


def stamp(moment) -> str:
    return datetime.fromtimestamp(moment.seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_an_interval_starts_workflows_one_after_the_other(env):
    hand = Hand(env)
    schedule_id = await create(env, hand, schedule=schedule(hand, 1))
    for _ in range(3):
        await hand.step(complete_workflow("r"))
    shown = await until(lambda: info(env, schedule_id), lambda seen: seen.action_count >= 3)
    await env.rpc.DeleteSchedule(schedule_id=schedule_id)
    recent = shown.recent_actions[:3]
    times = [each.schedule_time.seconds for each in recent]
    assert times == sorted(set(times))
    for each in recent:
        assert each.start_workflow_result.workflow_id == f"{hand.workflow_id}-{stamp(each.schedule_time)}"
        assert each.actual_time.seconds >= each.schedule_time.seconds
    [run] = await listed(env, f"WorkflowId = '{recent[0].start_workflow_result.workflow_id}'")
    assert run.execution.run_id == recent[0].start_workflow_result.run_id
    found = await listed(env, f"TemporalScheduledById = '{schedule_id}'")
    assert len(found) >= 3
    with rejects(Code.NOT_FOUND):
        await env.rpc.DescribeSchedule(schedule_id=schedule_id)


async def test_the_second_run_has_the_result_of_the_first(env):
    hand = Hand(env)
    await create(env, hand, schedule=schedule(hand, 1, policies={"overlap_policy": "SCHEDULE_OVERLAP_POLICY_BUFFER_ALL"}))
    task = await hand.step(complete_workflow("first"))
    started = task.history.events[0].workflow_execution_started_event_attributes
    assert not started.last_completion_result.payloads
    task = await hand.poll()
    started = task.history.events[0].workflow_execution_started_event_attributes
    assert b"first" in started.last_completion_result.payloads[0].data
    await hand.complete(task, complete_workflow())


async def test_create_is_idempotent_and_a_live_id_is_taken(env):
    hand, schedule_id = Hand(env), env.name("schedule")
    fields = dict(schedule_id=schedule_id, schedule=schedule(hand, 3600))
    first = await env.rpc.CreateSchedule(request_id="one", **fields)
    again = await env.rpc.CreateSchedule(request_id="one", **fields)
    assert first.conflict_token == again.conflict_token and len(first.conflict_token) == 8
    with rejects(Code.ALREADY_EXISTS):
        await env.rpc.CreateSchedule(request_id="two", **fields)
    await env.rpc.DeleteSchedule(schedule_id=schedule_id)
    with rejects(Code.NOT_FOUND):
        await env.rpc.DeleteSchedule(schedule_id=schedule_id)
    await env.rpc.CreateSchedule(request_id="two", **fields)


async def test_describe_shows_the_canonical_form(env):
    hand = Hand(env)
    schedule_id = await create(
        env,
        hand,
        schedule=schedule(
            hand,
            spec={"cron_string": ["CRON_TZ=Europe/Berlin 30 9 * * MON-FRI # work", "@every 1h/5m"]},
            state={"notes": "n", "paused": True},
        ),
        memo=memo(m=1),
        search_attributes=search_attributes(BatcherUser="u"),
    )
    shown = await env.rpc.DescribeSchedule(schedule_id=schedule_id)
    spec = shown.schedule.spec
    assert not spec.cron_string and spec.timezone_name == "Europe/Berlin"
    [calendar] = spec.structured_calendar
    assert calendar.comment == "work" and calendar.day_of_week[0].start == 1 and calendar.day_of_week[0].end == 5
    assert spec.interval[0].phase.seconds == 300
    assert shown.schedule.policies.overlap_policy == 1
    assert shown.schedule.policies.catchup_window.seconds == 365 * 86400
    assert shown.schedule.state.paused and shown.schedule.state.notes == "n"
    assert len(shown.info.future_action_times) == 10 and shown.info.create_time.seconds > 0
    assert shown.memo.fields["m"].data == b"1"
    assert shown.search_attributes.indexed_fields["BatcherUser"].metadata["type"] == b"Keyword"


OVERLAPS = {
    "SKIP": (1, 0),
    "BUFFER_ONE": (1, 1),
    "BUFFER_ALL": (1, 2),
    "ALLOW_ALL": (3, 0),
}


@pytest.mark.parametrize("policy", OVERLAPS)
async def test_overlap_policies(env, policy):
    hand = Hand(env)
    running, buffered = OVERLAPS[policy]
    schedule_id = await create(
        env, hand, schedule=schedule(hand, policies={"overlap_policy": f"SCHEDULE_OVERLAP_POLICY_{policy}"})
    )
    for i in range(3):
        await env.rpc.PatchSchedule(
            schedule_id=schedule_id,
            patch={"trigger_immediately": {"scheduled_time": {"seconds": 1_800_000_000 + i}}},
        )
    shown = await until(lambda: info(env, schedule_id), lambda seen: len(seen.running_workflows) == running)
    assert shown.buffer_size == buffered and shown.overlap_skipped == 3 - running - buffered
    for _ in range(running + buffered):
        await hand.step(complete_workflow())
    shown = await until(lambda: info(env, schedule_id), lambda seen: not seen.running_workflows and not seen.buffer_size)
    assert shown.action_count == running + buffered
    assert [each.start_workflow_status for each in shown.recent_actions] == [2] * (running + buffered)


@pytest.mark.parametrize(("policy", "status"), [("CANCEL_OTHER", "CANCELED"), ("TERMINATE_OTHER", "TERMINATED")])
async def test_what_ends_the_other_one_starts_behind_it(env, policy, status):
    hand = Hand(env)
    schedule_id = await create(
        env, hand, schedule=schedule(hand, policies={"overlap_policy": f"SCHEDULE_OVERLAP_POLICY_{policy}"})
    )

    async def trigger(second: int) -> None:
        await env.rpc.PatchSchedule(
            schedule_id=schedule_id, patch={"trigger_immediately": {"scheduled_time": {"seconds": second}}}
        )

    await trigger(1_800_000_000)
    await until(lambda: info(env, schedule_id), lambda seen: len(seen.running_workflows) == 1)
    await trigger(1_800_000_001)
    if policy == "CANCEL_OTHER":
        from support.hand import cancel_workflow

        while True:
            task = await hand.poll()
            if any(event.event_type == 20 for event in task.history.events):
                await hand.complete(task, cancel_workflow())
                break
            await hand.complete(task)
    shown = await until(lambda: info(env, schedule_id), lambda seen: seen.action_count == 2)
    assert shown.recent_actions[0].start_workflow_status == (4 if status == "CANCELED" else 5)
    assert len(shown.running_workflows) == 1


async def test_pause_on_failure_and_unpause(env):
    hand = Hand(env)
    schedule_id = await create(env, hand, schedule=schedule(hand, 1, policies={"pause_on_failure": True}))
    task = await hand.poll()
    await hand.complete(task, fail_workflow(failure("went wrong")))

    async def state():
        return (await env.rpc.DescribeSchedule(schedule_id=schedule_id)).schedule.state

    shown = await until(state, lambda seen: seen.paused)
    assert "went wrong" in shown.notes
    assert (await env.rpc.CountSchedules(query=f"ScheduleId = '{schedule_id}' AND TemporalSchedulePaused = true")).count == 1
    await env.rpc.PatchSchedule(schedule_id=schedule_id, patch={"unpause": "go on"})
    assert not (await state()).paused and (await state()).notes == "go on"
    task = await hand.poll()
    started = task.history.events[0].workflow_execution_started_event_attributes
    assert started.continued_failure.message == "went wrong"
    await hand.complete(task, complete_workflow())


async def test_limited_actions_run_out(env):
    hand = Hand(env)
    schedule_id = await create(
        env, hand, schedule=schedule(hand, 1, state={"limited_actions": True, "remaining_actions": 2})
    )
    for _ in range(2):
        await hand.step(complete_workflow())
    shown = await until(lambda: info(env, schedule_id), lambda seen: seen.action_count == 2 and not seen.running_workflows)
    assert not shown.future_action_times
    task = await hand.poll_maybe(wait=2)
    assert not task.task_token
    described = await env.rpc.DescribeSchedule(schedule_id=schedule_id)
    assert described.schedule.state.remaining_actions == 0


async def test_a_backfill_takes_each_time_once(env):
    hand = Hand(env)
    schedule_id = await create(env, hand, schedule=schedule(hand, 3600, state={"paused": True}))
    begin = 1_700_000_000 // 3600 * 3600
    await env.rpc.PatchSchedule(
        schedule_id=schedule_id,
        patch={
            "backfill_request": [
                {
                    "start_time": {"seconds": begin},
                    "end_time": {"seconds": begin + 24 * 3600},
                    "overlap_policy": "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL",
                }
            ]
        },
    )
    shown = await until(lambda: info(env, schedule_id), lambda seen: seen.action_count == 25)
    found = sorted(run.execution.workflow_id for run in await listed(env, f"TemporalScheduledById = '{schedule_id}'"))
    moments = [datetime.fromtimestamp(begin + i * 3600, timezone.utc) for i in range(25)]
    assert found == [f"{hand.workflow_id}-{moment.strftime('%Y-%m-%dT%H:%M:%SZ')}" for moment in moments]
    assert len(shown.recent_actions) == 10


async def test_update_needs_the_token_that_it_was_read_with(env):
    hand = Hand(env)
    schedule_id = await create(env, hand, schedule=schedule(hand, 3600))
    token = (await env.rpc.DescribeSchedule(schedule_id=schedule_id)).conflict_token
    await env.rpc.UpdateSchedule(schedule_id=schedule_id, schedule=schedule(hand, 1800), conflict_token=token)
    with rejects(Code.FAILED_PRECONDITION, text="conflict token"):
        await env.rpc.UpdateSchedule(schedule_id=schedule_id, schedule=schedule(hand, 900), conflict_token=token)
    shown = await env.rpc.DescribeSchedule(schedule_id=schedule_id)
    assert shown.schedule.spec.interval[0].interval.seconds == 1800 and shown.info.update_time.seconds > 0


async def test_lists_counts_and_matching_times(env):
    hand = Hand(env)
    ids = [
        await create(env, hand, schedule=schedule(hand, 3600), search_attributes=search_attributes(BatcherUser=env.unique))
        for _ in range(5)
    ]
    query, seen, token = f"BatcherUser = '{env.unique}'", [], b""
    while True:
        page = await env.rpc.ListSchedules(query=query, maximum_page_size=2, next_page_token=token)
        seen += page.schedules
        token = page.next_page_token
        if not token:
            break
    assert sorted(entry.schedule_id for entry in seen) == sorted(ids)
    assert all(entry.info.workflow_type.name == "type" and len(entry.info.future_action_times) == 5 for entry in seen)
    assert (await env.rpc.CountSchedules(query=query)).count == 5
    assert (await env.rpc.CountSchedules(query=f"ScheduleId = '{ids[0]}'")).count == 1
    assert (await env.rpc.CountWorkflowExecutions(query=query)).count == 0
    times = await env.rpc.ListScheduleMatchingTimes(
        schedule_id=ids[0], start_time={"seconds": 1_800_000_000}, end_time={"seconds": 1_800_000_000 + 7200}
    )
    assert [moment.seconds for moment in times.start_time] == [1_800_000_000 + 3600 * i for i in range(3)]
    shown = await info(env, ids[0])
    first = shown.future_action_times[0]
    again = await env.rpc.ListScheduleMatchingTimes(
        schedule_id=ids[0], start_time=first, end_time={"seconds": first.seconds + 1}
    )
    assert list(again.start_time) == [first]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spec": {"cron_string": ["61 * * * *"]}}, "Spec.CronString[0].Minute"),
        ({"spec": {"timezone_name": "Mars/Olympus"}}, "Spec.TimezoneName"),
        ({"spec": {"interval": [{"interval": {"nanos": 5}}]}}, "Spec.Interval[0].Interval"),
        ({"action": {}}, "Schedule.Action.StartWorkflow"),
        ({"action": {"start_workflow": {"workflow_id": "w"}}}, "WorkflowType"),
        ({"state": {"notes": "n" * 1001}}, "State.Notes"),
        ({"policies": {"catchup_window": {"seconds": -1}}}, "Policies.CatchupWindow"),
    ],
)
async def test_what_is_wrong_is_named(env, change, words):
    hand = Hand(env)
    with rejects(Code.INVALID_ARGUMENT, text=words):
        await create(env, hand, schedule=schedule(hand, 3600) | change)


async def test_a_workflow_may_not_have_the_id_of_a_schedule(env):
    with rejects(Code.INVALID_ARGUMENT, text="reserved prefix"):
        await Hand(env, workflow_id="temporal-sys-scheduler:x").start()


async def test_kills_neither_lose_nor_double_a_time(env):
    async with own_server() as (server, env):
        hand = Hand(env)
        fields = schedule(hand, 1, policies={"overlap_policy": "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL"})
        schedule_id = await create(env, hand, schedule=fields)
        for i in range(8):
            await asyncio.sleep(0.35 * (1 + i % 3))  # where in its second a kill comes
            await restart(server)
        shown = await until(lambda: info(env, schedule_id), lambda seen: seen.action_count >= 8)
        await env.rpc.PatchSchedule(schedule_id=schedule_id, patch={"pause": "enough"})
        shown = await until(lambda: info(env, schedule_id), lambda seen: len(seen.running_workflows) == seen.action_count)
        found = sorted(run.execution.workflow_id for run in await listed(env, f"TemporalScheduledById = '{schedule_id}'"))
        assert len(found) == shown.action_count
        prefix = len(hand.workflow_id) + 1
        moments = [datetime.strptime(name[prefix:], "%Y-%m-%dT%H:%M:%SZ") for name in found]
        assert all(later - earlier == timedelta(seconds=1) for earlier, later in zip(moments, moments[1:], strict=False))
        assert shown.missed_catchup_window == shown.overlap_skipped == shown.buffer_dropped == 0
        await asyncio.to_thread(server.stop)
        done = await asyncio.to_thread(server.verify)
        assert done.returncode == 0, done.stdout


async def test_the_sdk_drives_a_schedule(env):
    client = await env.client()
    hand = Hand(env)
    handle = await client.create_schedule(
        env.name("sdk"),
        Schedule(
            action=ScheduleActionStartWorkflow("type", id=hand.workflow_id, task_queue=hand.queue),
            spec=ScheduleSpec(
                calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(9, 17)], comment="office")],
                intervals=[ScheduleIntervalSpec(every=timedelta(hours=1), offset=timedelta(minutes=5))],
                jitter=timedelta(seconds=30),
            ),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.BUFFER_ONE),
            state=ScheduleState(note="made", paused=True),
        ),
        memo={"k": "v"},
    )
    with pytest.raises(ScheduleAlreadyRunningError):
        await client.create_schedule(
            handle.id,
            Schedule(
                action=ScheduleActionStartWorkflow("type", id=hand.workflow_id, task_queue=hand.queue), spec=ScheduleSpec()
            ),
        )
    shown = await handle.describe()
    assert shown.schedule.state.note == "made" and shown.schedule.state.paused
    assert shown.schedule.policy.overlap == ScheduleOverlapPolicy.BUFFER_ONE
    assert await shown.memo_value("k") == "v"
    await handle.unpause(note="go")
    await handle.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    await hand.step(complete_workflow())
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    await handle.backfill(ScheduleBackfill(start_at=now, end_at=now + timedelta(hours=2), overlap=ScheduleOverlapPolicy.ALLOW_ALL))
    await until(handle.describe, lambda seen: seen.info.num_actions == 3)

    async def rename(given):
        given.description.schedule.state.note = "changed"
        return ScheduleUpdate(schedule=given.description.schedule)

    await handle.update(rename)
    assert (await handle.describe()).schedule.state.note == "changed"
    assert handle.id in [each.id async for each in await client.list_schedules()]
    await handle.delete()
    with pytest.raises(RPCError):
        await handle.describe()
