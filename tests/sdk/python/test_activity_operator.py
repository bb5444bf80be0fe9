"""What operators do to pending activities: pause, unpause, reset, change options; what Describe and heartbeats show of it."""

from __future__ import annotations

import time

import pytest

from support.grpc_client import Code, not_found, rejects
from support.hand import (
    IDENTITY,
    Hand,
    cancel_activity,
    failure,
    retry_policy,
    seconds,
    start_timer,
)
from support.histories import (
    ABSENT,
    PRESENT,
    PROLOGUE,
    E,
    check,
    expect,
    payload_value,
    seconds_of,
    time_of,
)

SLOW = retry_policy(initial_interval=60, maximum_attempts=0)


async def begin(env, **activity) -> Hand:
    """A run whose first task schedules activity `a` (event 5)."""
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a", **activity))
    return hand


async def pending(hand: Hand, activity_id: str = "a"):
    for info in (await hand.describe()).pending_activities:
        if info.activity_id == activity_id:
            return info
    raise AssertionError(f"{activity_id} is not pending")


async def pause(hand: Hand, **fields: object):
    fields = fields or {"id": "a"}
    return await hand.rpc.PauseActivity(
        execution=hand.execution(), identity="operator", reason="look at it", **fields
    )


async def unpause(hand: Hand, **fields: object):
    if not {"id", "type", "unpause_all"} & fields.keys():
        fields["id"] = "a"
    return await hand.rpc.UnpauseActivity(execution=hand.execution(), identity="operator", **fields)


async def reset(hand: Hand, **fields: object):
    if not {"id", "type", "match_all"} & fields.keys():
        fields["id"] = "a"
    return await hand.rpc.ResetActivity(execution=hand.execution(), identity="operator", **fields)


async def update(hand: Hand, paths: list[str], options: dict | None = None, **fields: object):
    if not {"id", "type", "match_all"} & fields.keys():
        fields["id"] = "a"
    return await hand.rpc.UpdateActivityOptions(
        execution=hand.execution(),
        identity="operator",
        update_mask={"paths": paths},
        activity_options=options or {},
        **fields,
    )


async def nothing_to_do(hand: Hand, queue: str | None = None) -> None:
    """No activity task is handed out: a poll that ends by itself comes back empty."""
    answer = await hand.rpc.PollActivityTaskQueue(
        _seconds=3, task_queue={"name": queue or hand.queue}, identity=IDENTITY
    )
    assert not answer.task_token


async def attributes_of(hand: Hand) -> dict[str, object]:
    fields = (await hand.describe()).workflow_execution_info.search_attributes.indexed_fields
    return {key: payload_value(value) for key, value in fields.items()}


async def test_pause_before_the_start(env):
    hand = await begin(env)
    await pause(hand)
    info = await pending(hand)
    expect(info, state="PAUSED", paused=True, attempt=1, next_attempt_schedule_time=ABSENT)
    expect(info.pause_info, pause_time=PRESENT)
    expect(info.pause_info.manual, identity="operator", reason="look at it")
    assert (await attributes_of(hand))["TemporalPauseInfo"] == ["property:activityType=work"]
    await nothing_to_do(hand)
    await pause(hand)  # twice is once
    check(await hand.history(), *PROLOGUE, E("ActivityTaskScheduled"))
    before = time.time()
    await unpause(hand)
    task = await hand.poll_activity()
    assert task.attempt == 1 and time_of(task.current_attempt_scheduled_time) >= before - 1
    info = await pending(hand)
    expect(info, state="STARTED", paused=False, pause_info=ABSENT)
    assert not (await attributes_of(hand)).get("TemporalPauseInfo")
    await unpause(hand)  # of what is not paused: nothing
    await hand.complete_activity(task, "out")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1),
        E("ActivityTaskCompleted"),
        E("WftScheduled"),
    )


async def test_pause_while_it_runs(env):
    hand = await begin(env, heartbeat_timeout=30, retry_policy=retry_policy(initial_interval=0.1))
    task = await hand.poll_activity()
    beat = await hand.heartbeat(task, "one")
    expect(beat, activity_paused=False, activity_reset=False, cancel_requested=False)
    await pause(hand)
    beat = await hand.heartbeat(task, "two")
    expect(beat, activity_paused=True, activity_reset=False, cancel_requested=False)
    by_id = await hand.rpc.RecordActivityTaskHeartbeatById(
        workflow_id=hand.workflow_id, run_id=hand.run_id, activity_id="a"
    )
    expect(by_id, activity_paused=True)
    await hand.heartbeat(task, "two")
    expect(await pending(hand), state="PAUSE_REQUESTED", paused=True, attempt=1)
    await hand.fail_activity(task, failure("f1"))
    info = await pending(hand)
    expect(
        info,
        state="PAUSED",
        attempt=2,
        last_failure=dict(message="f1"),
        heartbeat_details=["two"],
        next_attempt_schedule_time=ABSENT,
        last_attempt_complete_time=PRESENT,
    )
    await nothing_to_do(hand)
    await unpause(hand)
    task = await hand.poll_activity()
    assert task.attempt == 2
    expect(task, heartbeat_details=["two"])
    await hand.complete_activity(task)
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=2),
        E("ActivityTaskCompleted"),
        E("WftScheduled"),
    )


async def test_a_paused_attempt_may_complete(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    await pause(hand)
    await hand.complete_activity(task, "out")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted", result=["out"]),
        E("WftScheduled"),
    )
    assert not (await hand.describe()).pending_activities


@pytest.mark.ours("a closed activity stays named there")
async def test_an_ended_activity_is_not_named_as_paused(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    await pause(hand)
    await hand.complete_activity(task, "out")
    assert "TemporalPauseInfo" not in await attributes_of(hand)


async def test_a_paused_attempt_ends_for_good_when_it_must_not_be_retried(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    await pause(hand)
    await hand.fail_activity(task, failure("no", non_retryable=True))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted"),
        E("ActivityTaskFailed", retry_state="NON_RETRYABLE_FAILURE"),
        E("WftScheduled"),
    )


async def test_a_paused_attempt_parks_even_after_its_last_attempt(env):
    hand = await begin(env, retry_policy=retry_policy(maximum_attempts=1))
    task = await hand.poll_activity()
    await pause(hand)
    await hand.fail_activity(task, failure("f1"))
    expect(await pending(hand), state="PAUSED", attempt=2)
    await unpause(hand, reset_attempts=True)
    assert (await hand.poll_activity()).attempt == 1


async def test_pause_in_the_backoff(env):
    hand = await begin(env, retry_policy=SLOW)
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    expect(await pending(hand), state="SCHEDULED", attempt=2, next_attempt_schedule_time=PRESENT)
    await pause(hand)
    expect(await pending(hand), state="PAUSED", attempt=2)
    await unpause(hand)
    task = await hand.poll_activity()  # at once, not after the minute
    assert task.attempt == 2
    await hand.complete_activity(task)


async def test_unpause_with_jitter_and_resets(env):
    hand = await begin(env, retry_policy=SLOW, heartbeat_timeout=30)
    task = await hand.poll_activity()
    await hand.heartbeat(task, "half")
    await hand.fail_activity(task, failure("f1"))
    await pause(hand)
    expect(await pending(hand), heartbeat_details=["half"])
    before = time.time()
    await unpause(hand, reset_attempts=True, reset_heartbeat=True, jitter=seconds(3600))
    info = await pending(hand)
    expect(info, state="SCHEDULED", attempt=1, heartbeat_details=ABSENT, last_heartbeat_time=ABSENT)
    assert before - 1 <= time_of(info.scheduled_time) <= before + 3601
    await unpause(hand)
    await hand.terminate()


@pytest.mark.ours("NotFound for all of them there")
async def test_pause_by_type(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a", type="x"), hand.activity("b", type="y"), hand.activity("c", type="x"))
    await pause(hand, type="x")
    states = {info.activity_id: info.paused for info in (await hand.describe()).pending_activities}
    assert states == {"a": True, "b": False, "c": True}
    assert (await attributes_of(hand))["TemporalPauseInfo"] == ["property:activityType=x"]
    task = await hand.poll_activity()
    assert task.activity_id == "b"
    await pause(hand, type="y")
    assert sorted((await attributes_of(hand))["TemporalPauseInfo"]) == [
        "property:activityType=x",
        "property:activityType=y",
    ]
    await unpause(hand, unpause_all=True)
    assert {(await hand.poll_activity()).activity_id for _ in range(2)} == {"a", "c"}
    with rejects(Code.NOT_FOUND):
        await pause(hand, type="z")
    await hand.terminate()


async def test_cancel_of_a_paused_activity(env):
    hand = await begin(env)
    await pause(hand)
    await hand.signal("s")
    await hand.step(cancel_activity(5))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("ActivityTaskCancelRequested"),
        E("ActivityTaskCanceled", started=0),
        E("WftScheduled"),
    )


async def test_completion_by_id_of_a_paused_activity(env):
    hand = await begin(env)
    await pause(hand)
    await hand.rpc.RespondActivityTaskCompletedById(
        workflow_id=hand.workflow_id, run_id=hand.run_id, activity_id="a", identity="op"
    )
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted", identity="op"),
        E("WftScheduled"),
    )


async def test_a_parked_activity_does_not_time_out(env):
    """Neither schedule-to-start nor schedule-to-close end what an operator holds back."""
    hand = await begin(
        env, start_to_close_timeout=None, schedule_to_close_timeout=1.2, schedule_to_start_timeout=1
    )
    await pause(hand)
    await hand.signal("s")
    await hand.step(start_timer("t", 2))
    await hand.history_with("TimerFired")
    expect(await pending(hand), state="PAUSED")
    await unpause(hand)
    await hand.history_with("ActivityTaskTimedOut")
    await hand.terminate()


@pytest.mark.ours("a paused attempt never times out there")
async def test_a_paused_attempt_that_times_out_is_parked(env):
    hand = await begin(env, start_to_close_timeout=3, retry_policy=retry_policy(initial_interval=0.1))
    task = await hand.poll_activity()
    await pause(hand)
    await hand.signal("s")
    await hand.step(start_timer("t", 3.5))
    await hand.history_with("TimerFired")
    expect(await pending(hand), state="PAUSED", attempt=2, last_failure=PRESENT)
    with rejects(Code.NOT_FOUND):
        await hand.complete_activity(task)
    await unpause(hand)
    await hand.complete_activity(await hand.poll_activity())


async def test_reset_in_the_backoff(env):
    hand = await begin(env, retry_policy=SLOW, heartbeat_timeout=30)
    for number in (1, 2):
        task = await hand.poll_activity()
        assert task.attempt == number
        await hand.heartbeat(task, number)
        await hand.fail_activity(task, failure(f"f{number}", next_retry_delay=60 if number == 2 else 0.1))
    expect(await pending(hand), state="SCHEDULED", attempt=3)
    await reset(hand)
    task = await hand.poll_activity()
    assert task.attempt == 1
    expect(task, heartbeat_details=[2])
    await hand.fail_activity(task, failure("f3", next_retry_delay=60))
    await reset(hand, reset_heartbeat=True)
    task = await hand.poll_activity()
    expect(task, attempt=1, heartbeat_details=ABSENT)
    await hand.complete_activity(task)


@pytest.mark.ours("the running attempt is lost there")
async def test_reset_while_it_runs(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1), heartbeat_timeout=30)
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    task = await hand.poll_activity()
    assert task.attempt == 2
    await hand.heartbeat(task, "old")
    await reset(hand, reset_heartbeat=True)
    beat = await hand.heartbeat(task, "mine")
    expect(beat, activity_reset=True, activity_paused=False)
    expect(await pending(hand), state="STARTED", attempt=1)
    await hand.fail_activity(task, failure("f2"))
    task = await hand.poll_activity()
    expect(task, attempt=2, heartbeat_details=ABSENT)
    expect(await hand.heartbeat(task, "new"), activity_reset=False)
    await hand.complete_activity(task, "out")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=2),
        E("ActivityTaskCompleted", result=["out"]),
        E("WftScheduled"),
    )


@pytest.mark.ours("the running attempt is lost there")
async def test_a_reset_attempt_may_complete(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1))
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    task = await hand.poll_activity()
    await reset(hand)
    await hand.complete_activity(task, "out")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1),
        E("ActivityTaskCompleted", result=["out"]),
        E("WftScheduled"),
    )


async def test_reset_of_what_is_paused(env):
    hand = await begin(env, retry_policy=SLOW)
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    await pause(hand)
    await reset(hand, keep_paused=True)
    expect(await pending(hand), state="PAUSED", attempt=1, paused=True)
    await reset(hand)
    task = await hand.poll_activity()
    assert task.attempt == 1
    expect(await pending(hand), state="STARTED", paused=False, pause_info=ABSENT)
    await hand.complete_activity(task)


async def test_reset_with_jitter(env):
    hand = await begin(env, retry_policy=SLOW)
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    before = time.time()
    await reset(hand, jitter=seconds(86400))
    info = await pending(hand)
    expect(info, attempt=1)
    assert before - 1 <= time_of(info.scheduled_time) <= before + 86401
    await hand.terminate()


@pytest.mark.ours("the attempt gets the old timeouts there")
async def test_options(env):
    hand = await begin(env, retry_policy=SLOW)
    other = env.name("other")
    answer = await update(
        hand,
        ["task_queue.name", "startToCloseTimeout", "heartbeat_timeout", "retryPolicy.maximumAttempts"],
        {
            "task_queue": {"name": other},
            "start_to_close_timeout": seconds(77),
            "heartbeat_timeout": seconds(7),
            "retry_policy": {"maximum_attempts": 3},
        },
    )
    options = answer.activity_options
    expect(options, task_queue=other, start_to_close_timeout=77, heartbeat_timeout=7)
    expect(
        options.retry_policy,
        maximum_attempts=3,
        initial_interval=60,
        backoff_coefficient=2.0,
        maximum_interval=6000,
    )
    info = await pending(hand)
    expect(info, maximum_attempts=3, state="SCHEDULED", attempt=1)
    expect(info.activity_options, task_queue=other, start_to_close_timeout=77, heartbeat_timeout=7)
    await nothing_to_do(hand)
    task = await hand.poll_activity(other)
    assert seconds_of(task.start_to_close_timeout) == 77 and seconds_of(task.heartbeat_timeout) == 7
    await hand.complete_activity(task)
    # The history says what the workflow asked for.
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled", task_queue=hand.queue, start_to_close_timeout=60),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted"),
        E("WftScheduled"),
    )


async def test_options_in_the_backoff(env):
    hand = await begin(env, retry_policy=SLOW)
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    await update(
        hand, ["retry_policy.initial_interval"], {"retry_policy": {"initial_interval": seconds(0.05)}}
    )
    task = await hand.poll_activity()
    assert task.attempt == 2
    await hand.complete_activity(task)


async def test_options_while_it_runs(env):
    hand = await begin(env, start_to_close_timeout=3600, retry_policy=retry_policy(maximum_attempts=1))
    task = await hand.poll_activity()
    await update(hand, ["start_to_close_timeout"], {"start_to_close_timeout": seconds(1)})
    events = await hand.history_with("ActivityTaskTimedOut")
    assert time_of(events[-2].event_time) - time_of(task.started_time) >= 0.999
    await hand.terminate()


async def test_priority(env):
    hand = await begin(env)
    options = (
        await update(hand, ["priority.priority_key"], {"priority": {"priority_key": 2}})
    ).activity_options
    assert options.priority.priority_key == 2
    options = (
        await update(hand, ["priority.fairnessKey"], {"priority": {"priority_key": 5, "fairness_key": "k"}})
    ).activity_options
    assert (options.priority.priority_key, options.priority.fairness_key) == (2, "k")
    task = await hand.poll_activity()
    assert (task.priority.priority_key, task.priority.fairness_key) == (2, "k")
    expect(await pending(hand), priority=dict(priority_key=2, fairness_key="k"))
    await hand.complete_activity(task)


async def test_restoring_options(env):
    hand = await begin(env, retry_policy=SLOW)
    other = env.name("other")
    await update(
        hand,
        ["task_queue.name", "start_to_close_timeout"],
        {"task_queue": {"name": other}, "start_to_close_timeout": seconds(50)},
    )
    await update(hand, ["heartbeat_timeout"], {"heartbeat_timeout": seconds(5)})
    answer = await hand.rpc.UpdateActivityOptions(
        execution=hand.execution(), id="a", restore_original=True, identity="operator"
    )
    expect(answer.activity_options, task_queue=hand.queue, start_to_close_timeout=60, heartbeat_timeout=0)
    expect((await pending(hand)).activity_options, task_queue=hand.queue, start_to_close_timeout=60)
    await update(hand, ["task_queue.name"], {"task_queue": {"name": other}})
    await reset(hand, restore_original_options=True)
    task = await hand.poll_activity()
    await hand.complete_activity(task)


@pytest.mark.ours("NotFound for all of them there")
async def test_options_of_all(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a", type="x"), hand.activity("b", type="y"))
    await update(hand, ["heartbeat_timeout"], {"heartbeat_timeout": seconds(9)}, match_all=True)
    for info in (await hand.describe()).pending_activities:
        assert seconds_of(info.activity_options.heartbeat_timeout) == 9
    await update(hand, ["heartbeat_timeout"], {"heartbeat_timeout": seconds(8)}, type="y")
    expect((await pending(hand, "a")).activity_options, heartbeat_timeout=9)
    expect((await pending(hand, "b")).activity_options, heartbeat_timeout=8)
    await reset(hand, match_all=True, restore_original_options=True)
    for info in (await hand.describe()).pending_activities:
        assert seconds_of(info.activity_options.heartbeat_timeout) == 0
    await hand.terminate()


@pytest.mark.ours("some of it is accepted there")
async def test_bad_options(env):
    hand = await begin(env)
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["task_queue.name"])
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["retry_policy.maximum_attempts"])
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["heartbeat_timeout"], {"heartbeat_timeout": seconds(-1)})
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["start_to_close_timeout"])
    with rejects(Code.INVALID_ARGUMENT):
        await update(
            hand, ["retry_policy.backoff_coefficient"], {"retry_policy": {"backoff_coefficient": 0.5}}
        )
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["priority"], {"priority": {"priority_key": -1}})
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["heartbeat_timeout"], {"heartbeat_timeout": seconds(1)}, restore_original=True)
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.UpdateActivityOptions(execution=hand.execution(), id="a", activity_options={})
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.UpdateActivityOptions(execution=hand.execution(), id="a", update_mask={"paths": []})
    expect((await pending(hand)).activity_options, start_to_close_timeout=60, heartbeat_timeout=0)
    await hand.terminate()


@pytest.mark.ours("it skips them")
async def test_unknown_options(env):
    hand = await begin(env)
    for path in ("nonsense", "retry_policy.nonsense", "taskQueue.kind", "start_delay", ""):
        with rejects(Code.INVALID_ARGUMENT, text="mask"):
            await update(hand, [path], {"start_to_close_timeout": seconds(5)})
    await hand.terminate()


async def test_what_is_not_there(env):
    hand = await begin(env)
    for call in (pause, unpause, reset):
        with rejects(Code.NOT_FOUND, not_found):
            await call(hand, id="b")
    with rejects(Code.NOT_FOUND, not_found):
        await update(hand, ["heartbeat_timeout"], id="b")
    await hand.terminate()
    for call in (pause, unpause, reset):
        with rejects(Code.NOT_FOUND, not_found):
            await call(hand)
    with rejects(Code.NOT_FOUND, not_found):
        await update(hand, ["heartbeat_timeout"])
    hand.workflow_id = env.name("unknown")
    hand.run_id = ""
    for call in (pause, unpause, reset):
        with rejects(Code.NOT_FOUND):
            await call(hand)
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.PauseActivity(execution=hand.execution())
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.PauseActivity(execution={"workflow_id": "w", "run_id": "x"}, id="a")
