"""Activities: events only at the end, retries, the four timeouts, heartbeats, cancellation, completion by id, eager."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.grpc_client import Code, rejects
from support.hand import (
    IDENTITY,
    Hand,
    cancel_activity,
    complete_workflow,
    failure,
    header,
    marker,
    payloads,
    retry_policy,
    start_timer,
)
from support.histories import (
    ABSENT,
    PRESENT,
    PROLOGUE,
    E,
    check,
    expect,
    find_attributes,
    seconds_of,
    time_of,
)


async def begin(env, **activity) -> Hand:
    """A run whose first task schedules activity `a` (event 5)."""
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a", **activity))
    return hand


async def pending(hand: Hand):
    return list((await hand.describe()).pending_activities)


async def test_success(env):
    hand = Hand(env)
    await hand.start(header=header(w=1))
    await hand.step(hand.activity("a", input=payloads("x", 1), header=header(h="v")))
    check(
        await hand.history(),
        *PROLOGUE,
        E(
            "ActivityTaskScheduled",
            activity_id="a",
            activity_type="work",
            task_queue=hand.queue,
            input=["x", 1],
            header={"h": "v"},
            start_to_close_timeout=60,
            schedule_to_close_timeout=0,
            schedule_to_start_timeout=0,
            heartbeat_timeout=0,
            wftc=4,
            retry_policy=dict(
                initial_interval=1, backoff_coefficient=2.0, maximum_interval=100, maximum_attempts=0
            ),
        ),
    )
    task = await hand.poll_activity()
    assert task.workflow_namespace == env.namespace and task.workflow_type.name == "type"
    assert (
        task.workflow_execution.workflow_id == hand.workflow_id
        and task.workflow_execution.run_id == hand.run_id
    )
    assert task.activity_id == "a" and task.activity_type.name == "work" and task.attempt == 1
    assert task.input == payloads("x", 1) and task.header == header(h="v")
    assert not task.HasField("heartbeat_details")
    assert seconds_of(task.start_to_close_timeout) == 60 and task.retry_policy.backoff_coefficient == 2.0
    assert (
        task.HasField("scheduled_time")
        and task.HasField("current_attempt_scheduled_time")
        and task.HasField("started_time")
    )
    assert len(await hand.history()) == 5, "a start is not written before its end"
    before_end = time.time()
    await hand.complete_activity(task, "out")
    events = await hand.history()
    check(
        events,
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E(
            "ActivityTaskStarted",
            scheduled=5,
            attempt=1,
            identity=IDENTITY,
            request_id=PRESENT,
            last_failure=ABSENT,
        ),
        E("ActivityTaskCompleted", scheduled=5, started=6, result=["out"], identity=IDENTITY),
        E("WftScheduled"),
    )
    assert time_of(events[5].event_time) <= before_end + 0.5
    assert time_of(events[5].event_time) == time_of(task.started_time)
    with rejects(Code.NOT_FOUND):
        await hand.complete_activity(task, "twice")


async def test_describe_shows_a_pending_activity(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=60, maximum_attempts=5))
    [info] = await pending(hand)
    expect(info, activity_id="a", activity_type="work", state="SCHEDULED", attempt=1, maximum_attempts=5)
    task = await hand.poll_activity()
    await hand.heartbeat(task, "half")
    [info] = await pending(hand)
    expect(
        info,
        state="STARTED",
        last_started_time=PRESENT,
        last_worker_identity=IDENTITY,
        heartbeat_details=["half"],
        last_heartbeat_time=PRESENT,
    )
    await hand.fail_activity(task, failure("first"))
    [info] = await pending(hand)
    expect(info, state="SCHEDULED", attempt=2, last_failure=dict(message="first"))
    assert round(seconds_of(info.current_retry_interval), 2) == 60
    assert time_of(info.next_attempt_schedule_time) > time.time() + 30
    assert info.HasField("last_attempt_complete_time")
    assert len(await hand.history()) == 5


# Retries.


async def test_retry_then_success(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1))
    first = await hand.poll_activity()
    await hand.fail_activity(first, failure("f1"))
    second = await hand.poll_activity()
    assert second.attempt == 2 and second.scheduled_time == first.scheduled_time
    assert time_of(second.current_attempt_scheduled_time) >= time_of(first.started_time) + 0.1
    await hand.complete_activity(second, "ok")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E(
            "ActivityTaskStarted",
            scheduled=5,
            attempt=2,
            last_failure=dict(message="f1", application_failure_info=dict(type="Oops")),
        ),
        E("ActivityTaskCompleted", scheduled=5, started=6),
        E("WftScheduled"),
    )


async def test_the_token_of_an_earlier_attempt_is_worth_nothing(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1))
    first = await hand.poll_activity()
    await hand.fail_activity(first)
    second = await hand.poll_activity()
    for call in (hand.complete_activity, hand.fail_activity, hand.heartbeat):
        with rejects(Code.NOT_FOUND):
            await call(first)
    await hand.complete_activity(second)


async def test_retries_exhausted(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1, maximum_attempts=2))
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    await hand.fail_activity(await hand.poll_activity(), failure("f2"))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=2, last_failure=dict(message="f1")),
        E(
            "ActivityTaskFailed",
            scheduled=5,
            started=6,
            failure=dict(message="f2"),
            retry_state="MAXIMUM_ATTEMPTS_REACHED",
            identity=IDENTITY,
        ),
        E("WftScheduled"),
    )


async def test_a_single_attempt(env):
    hand = await begin(env, retry_policy=retry_policy(maximum_attempts=1))
    assert len(await hand.history()) == 5
    await hand.fail_activity(await hand.poll_activity(), failure("only"))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1, last_failure=ABSENT),
        E("ActivityTaskFailed", retry_state="MAXIMUM_ATTEMPTS_REACHED"),
        E("WftScheduled"),
    )


async def test_unlimited_attempts_and_backoff(env):
    hand = await begin(
        env, retry_policy=retry_policy(initial_interval=0.05, backoff_coefficient=2.0, maximum_interval=0.1)
    )
    times = []
    for attempt in range(1, 9):
        task = await hand.poll_activity()
        assert task.attempt == attempt
        times.append(time_of(task.started_time))
        await hand.fail_activity(task, failure(f"f{attempt}"))
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert gaps[0] >= 0.049 and all(gap >= 0.099 for gap in gaps[1:]), gaps
    assert len(await hand.history()) == 5
    await hand.complete_activity(await hand.poll_activity(), "at last")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=9, last_failure=dict(message="f8")),
        E("ActivityTaskCompleted"),
        E("WftScheduled"),
    )


async def test_next_retry_delay_overrides_the_policy(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=60, maximum_interval=60))
    await hand.fail_activity(await hand.poll_activity(), failure("soon", next_retry_delay=2))
    [info] = await pending(hand)
    assert abs(seconds_of(info.current_retry_interval) - 2) < 0.01
    task = await hand.poll_activity()
    assert task.attempt == 2
    other = await begin(env, retry_policy=retry_policy(initial_interval=0.1, maximum_interval=0.1))
    await other.fail_activity(await other.poll_activity(), failure("later", next_retry_delay=60))
    [info] = await pending(other)
    assert round(seconds_of(info.current_retry_interval), 2) == 60, (
        "it may be longer than the maximum interval"
    )


@pytest.mark.ours("an explicit zero makes the reference give up")
async def test_next_retry_delay_of_zero_means_at_once(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=60))
    await hand.fail_activity(await hand.poll_activity(), failure("now", next_retry_delay=0))
    task = await hand.poll_activity()
    assert task.attempt == 2


@pytest.mark.parametrize(
    "why",
    [
        failure("f", non_retryable=True),
        failure("f", type="Fatal"),
        {"message": "t", "terminated_failure_info": {}},
        {"message": "c", "canceled_failure_info": {}},
    ],
    ids=["flag", "type", "terminated", "canceled"],
)
async def test_non_retryable(env, why):
    hand = await begin(env, retry_policy=retry_policy(non_retryable_error_types=["Fatal"]))
    task = await hand.poll_activity()
    if isinstance(why, dict):
        with rejects(Code.INVALID_ARGUMENT):
            await hand.fail_activity(task, why)
        return
    await hand.fail_activity(task, why)
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1),
        E("ActivityTaskFailed", failure=dict(message="f"), retry_state="NON_RETRYABLE_FAILURE"),
        E("WftScheduled"),
    )


async def test_a_failure_is_kept_whole(env):
    hand = await begin(env, retry_policy=retry_policy(maximum_attempts=1))
    why = failure("outer", type="Outer")
    why.stack_trace = "at line 1"
    why.cause.CopyFrom(failure("inner", type="Inner"))
    why.encoded_attributes.CopyFrom(payloads("secret").payloads[0])
    why.application_failure_info.details.CopyFrom(payloads({"deep": [1]}))
    await hand.fail_activity(await hand.poll_activity(), why)
    assert find_attributes(await hand.history(), "ActivityTaskFailed").failure == why


async def test_failing_without_a_failure_is_retried(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1))
    task = await hand.poll_activity()
    await hand.rpc.RespondActivityTaskFailed(task_token=task.task_token, identity=IDENTITY)
    assert (await hand.poll_activity()).attempt == 2


async def test_a_failure_with_no_time_left_is_failed_not_timed_out(env):
    hand = await begin(env, schedule_to_close_timeout=5, retry_policy=retry_policy(initial_interval=60))
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    check(
        await hand.history(),
        *PROLOGUE,
        E(
            "ActivityTaskScheduled",
            schedule_to_close_timeout=5,
            schedule_to_start_timeout=5,
            start_to_close_timeout=5,
        ),
        E("ActivityTaskStarted", attempt=1),
        E("ActivityTaskFailed", failure=dict(message="f1"), retry_state="TIMEOUT"),
        E("WftScheduled"),
    )


# Timeouts.


async def test_schedule_to_start_timeout(env):
    hand = await begin(env, schedule_to_start_timeout=0.5)
    events = await hand.history_with("WftScheduled", 2)
    check(
        events,
        *PROLOGUE,
        E("ActivityTaskScheduled", schedule_to_start_timeout=0.5),
        E(
            "ActivityTaskTimedOut",
            scheduled=5,
            started=0,
            retry_state="TIMEOUT",
            failure=dict(timeout_failure_info=dict(timeout_type="SCHEDULE_TO_START"), cause=ABSENT),
        ),
        E("WftScheduled"),
    )
    assert time_of(events[5].event_time) - time_of(events[4].event_time) >= 0.499


async def test_start_to_close_timeout_is_retried_and_then_final(env):
    hand = await begin(
        env, start_to_close_timeout=1, retry_policy=retry_policy(initial_interval=0.1, maximum_attempts=2)
    )
    first = await hand.poll_activity()
    second = await hand.poll_activity()
    assert second.attempt == 2
    with rejects(Code.NOT_FOUND):
        await hand.complete_activity(first, "too late")
    await hand.heartbeat(second, "progress")
    events = await hand.history_with("WftScheduled", 2)
    start_to_close = dict(timeout_type="START_TO_CLOSE")
    check(
        events,
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E(
            "ActivityTaskStarted",
            scheduled=5,
            attempt=2,
            last_failure=dict(timeout_failure_info=start_to_close),
        ),
        E(
            "ActivityTaskTimedOut",
            scheduled=5,
            started=6,
            retry_state="MAXIMUM_ATTEMPTS_REACHED",
            failure=dict(
                source="Server",
                timeout_failure_info=start_to_close | dict(last_heartbeat_details=["progress"]),
                cause=dict(timeout_failure_info=start_to_close),
            ),
        ),
        E("WftScheduled"),
    )
    assert time_of(events[6].event_time) - time_of(events[5].event_time) >= 0.999


async def test_heartbeat_timeout(env):
    hand = await begin(env, heartbeat_timeout=1, retry_policy=retry_policy(maximum_attempts=1))
    check(await hand.history(), *PROLOGUE, E("ActivityTaskScheduled", heartbeat_timeout=1))
    task = await hand.poll_activity()
    await hand.heartbeat(task, 1)
    events = await hand.history_with("WftScheduled", 2)
    check(
        events,
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1),
        E(
            "ActivityTaskTimedOut",
            retry_state="MAXIMUM_ATTEMPTS_REACHED",
            failure=dict(timeout_failure_info=dict(timeout_type="HEARTBEAT", last_heartbeat_details=[1])),
        ),
        E("WftScheduled"),
    )
    with rejects(Code.NOT_FOUND):
        await hand.heartbeat(task, 2)


async def test_heartbeats_keep_an_activity_alive(env):
    hand = await begin(env, heartbeat_timeout=3, retry_policy=retry_policy(maximum_attempts=1))
    task = await hand.poll_activity()
    begun = time.monotonic()
    while time.monotonic() - begun < 7:
        await hand.heartbeat(task, "alive")
        await asyncio.sleep(0.2)  # the pace of the heartbeats is the subject here
    await hand.complete_activity(task, "done")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted"),
        E("WftScheduled"),
    )


async def test_the_heartbeat_timeout_is_capped_by_start_to_close(env):
    hand = await begin(env, heartbeat_timeout=60, start_to_close_timeout=5)
    check(await hand.history(), *PROLOGUE, E("ActivityTaskScheduled", heartbeat_timeout=5))


async def test_heartbeat_details_reach_the_next_attempt(env):
    hand = await begin(env, heartbeat_timeout=4, retry_policy=retry_policy(initial_interval=0.1))
    task = await hand.poll_activity()
    await hand.heartbeat(task, "one")
    await hand.heartbeat(task, "two", 2)
    second = await hand.poll_activity()
    assert second.attempt == 2 and second.heartbeat_details == payloads("two", 2)
    await hand.fail_activity(second, failure("f"), last_heartbeat_details=payloads("three"))
    third = await hand.poll_activity()
    assert third.attempt == 3 and third.heartbeat_details == payloads("three")
    await hand.complete_activity(third)


async def test_schedule_to_close_while_an_attempt_runs(env):
    hand = await begin(
        env,
        schedule_to_close_timeout=2,
        start_to_close_timeout=60,
        retry_policy=retry_policy(initial_interval=0.1),
    )
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    second = await hand.poll_activity()
    assert second.attempt == 2
    events = await hand.history_with("WftScheduled", 2)
    check(
        events,
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=2, last_failure=dict(message="f1")),
        E(
            "ActivityTaskTimedOut",
            scheduled=5,
            started=6,
            retry_state="TIMEOUT",
            failure=dict(
                timeout_failure_info=dict(timeout_type="SCHEDULE_TO_CLOSE"), cause=dict(message="f1")
            ),
        ),
        E("WftScheduled"),
    )
    assert time_of(events[6].event_time) - time_of(events[4].event_time) >= 1.999


async def test_schedule_to_close_while_an_attempt_waits(env):
    hand = await begin(env, schedule_to_close_timeout=1.5, retry_policy=retry_policy(initial_interval=0.1))
    await hand.fail_activity(await hand.poll_activity(), failure("f1"))
    events = await hand.history_with("WftScheduled", 2)
    check(
        events,
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E(
            "ActivityTaskTimedOut",
            scheduled=5,
            started=0,
            retry_state="TIMEOUT",
            failure=dict(
                timeout_failure_info=dict(timeout_type=lambda kind: kind in (2, 3)), cause=dict(message="f1")
            ),
        ),
        E("WftScheduled"),
    )


async def test_start_to_close_with_no_room_to_retry_becomes_schedule_to_close(env):
    hand = await begin(
        env,
        schedule_to_close_timeout=2,
        start_to_close_timeout=0.5,
        retry_policy=retry_policy(initial_interval=60),
    )
    await hand.poll_activity()
    check(
        await hand.history_with("WftScheduled", 2),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1),
        E(
            "ActivityTaskTimedOut",
            retry_state="TIMEOUT",
            failure=dict(timeout_failure_info=dict(timeout_type="SCHEDULE_TO_CLOSE"), cause=ABSENT),
        ),
        E("WftScheduled"),
    )


async def test_timeouts_can_be_listed_as_non_retryable(env):
    hand = await begin(
        env,
        start_to_close_timeout=0.3,
        retry_policy=retry_policy(non_retryable_error_types=["TemporalTimeout:StartToClose"]),
    )
    await hand.poll_activity()
    check(
        await hand.history_with("WftScheduled", 2),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1),
        E(
            "ActivityTaskTimedOut",
            retry_state="NON_RETRYABLE_FAILURE",
            failure=dict(timeout_failure_info=dict(timeout_type="START_TO_CLOSE")),
        ),
        E("WftScheduled"),
    )


async def test_the_run_timeout_caps_an_activitys_timeouts(env):
    hand = Hand(env)
    await hand.start(workflow_run_timeout=50)
    await hand.step(hand.activity("a", start_to_close_timeout=500))
    check(
        await hand.history(),
        *PROLOGUE,
        E(
            "ActivityTaskScheduled",
            start_to_close_timeout=50,
            schedule_to_close_timeout=50,
            schedule_to_start_timeout=50,
        ),
    )


# Cancellation.


async def test_cancelling_before_the_start(env):
    hand = await begin(env)
    await hand.signal("s")
    await hand.step(cancel_activity(5), marker("after"))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("ActivityTaskCancelRequested", scheduled=5, wftc=9),
        E("MarkerRecorded"),
        E(
            "ActivityTaskCanceled",
            scheduled=5,
            started=0,
            latest_cancel_requested_event_id=10,
            identity=IDENTITY,
            details=PRESENT,
        ),
        E("WftScheduled"),
    )
    nothing = await hand.rpc.PollActivityTaskQueue(
        _seconds=3, task_queue={"name": hand.queue}, identity=IDENTITY
    )
    assert not nothing.task_token, "a cancelled activity must not be handed out"


async def test_cancelling_a_started_activity(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    assert not (await hand.heartbeat(task)).cancel_requested
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.RespondActivityTaskCanceled(
            task_token=task.task_token, details=payloads("early"), identity=IDENTITY
        )
    await hand.signal("s")
    await hand.step(cancel_activity(5))
    assert (await hand.heartbeat(task)).cancel_requested
    [info] = await pending(hand)
    expect(info, state="CANCEL_REQUESTED")
    await hand.rpc.RespondActivityTaskCanceled(
        task_token=task.task_token, details=payloads("bye"), identity=IDENTITY
    )
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("ActivityTaskCancelRequested"),
        E("ActivityTaskStarted", scheduled=5, attempt=1),
        E(
            "ActivityTaskCanceled",
            scheduled=5,
            started=11,
            latest_cancel_requested_event_id=10,
            details=["bye"],
            identity=IDENTITY,
        ),
        E("WftScheduled"),
    )


async def test_cancelling_in_the_backoff(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=60))
    await hand.fail_activity(await hand.poll_activity())
    await hand.signal("s")
    await hand.step(cancel_activity(5))
    canceled = find_attributes(await hand.history(), "ActivityTaskCanceled")
    assert canceled.started_event_id == 0


async def test_a_cancelled_activity_may_still_complete_or_fail_without_retry(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    await hand.signal("s")
    await hand.step(cancel_activity(5))
    await hand.complete_activity(task, "anyway")
    assert find_attributes(await hand.history(), "ActivityTaskCompleted").result == payloads("anyway")
    other = await begin(env, retry_policy=retry_policy(initial_interval=0.1))
    task = await other.poll_activity()
    await other.signal("s")
    await other.step(cancel_activity(5))
    await other.fail_activity(task, failure("f"))
    expect(find_attributes(await other.history(), "ActivityTaskFailed"), retry_state="CANCEL_REQUESTED")


async def test_cancelling_twice_fails_the_task(env):
    hand = await begin(env)
    await hand.poll_activity()
    await hand.signal("s")
    task = await hand.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(task, cancel_activity(5), cancel_activity(5))
    expect(find_attributes(await hand.history(), "WftFailed"), cause="BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES")


async def test_schedule_and_cancel_in_one_task(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"), cancel_activity(5))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskCancelRequested", scheduled=5),
        E("ActivityTaskCanceled", scheduled=5, started=0),
        E("WftScheduled"),
    )


async def test_cancelling_an_activity_whose_end_is_buffered(env):
    hand = await begin(env)
    activity = await hand.poll_activity()
    await hand.signal("s")
    task = await hand.poll()
    await hand.complete_activity(activity, "done")
    await hand.complete(task, cancel_activity(5))
    names = [
        E("WftCompleted"),
        E("ActivityTaskCancelRequested"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted"),
        E("WftScheduled"),
    ]
    events = await hand.history()
    check(events[-5:], *names, first_id=events[-5].event_id)


async def test_after_the_workflow_closed_nothing_is_found(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    await hand.signal("s")
    await hand.step(complete_workflow())
    for call in (hand.complete_activity, hand.fail_activity, hand.heartbeat):
        with rejects(Code.NOT_FOUND):
            await call(task)


async def test_terminating_drops_activities_that_wait(env):
    hand = await begin(env)
    await hand.terminate()
    nothing = await hand.rpc.PollActivityTaskQueue(
        _seconds=3, task_queue={"name": hand.queue}, identity=IDENTITY
    )
    assert not nothing.task_token


# By id.


def by_id(hand: Hand, activity_id: str = "a") -> dict[str, str]:
    return {
        "workflow_id": hand.workflow_id,
        "run_id": "",
        "activity_id": activity_id,
        "identity": "elsewhere",
    }


async def test_complete_by_id(env):
    hand = await begin(env)
    await hand.poll_activity()
    await hand.rpc.RespondActivityTaskCompletedById(result=payloads("by id"), **by_id(hand))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", identity=IDENTITY),
        E("ActivityTaskCompleted", result=["by id"], identity="elsewhere"),
        E("WftScheduled"),
    )
    with rejects(Code.NOT_FOUND):
        await hand.rpc.RespondActivityTaskCompletedById(result=payloads("again"), **by_id(hand))


async def test_complete_by_id_before_any_start(env):
    hand = await begin(env)
    await hand.rpc.RespondActivityTaskCompletedById(result=payloads("early"), **by_id(hand))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted", attempt=1, identity="elsewhere", request_id=""),
        E("ActivityTaskCompleted", result=["early"], started=6),
        E("WftScheduled"),
    )


async def test_fail_heartbeat_and_cancel_by_id(env):
    hand = await begin(env, retry_policy=retry_policy(initial_interval=0.1))
    for call in (
        "RespondActivityTaskFailedById",
        "RecordActivityTaskHeartbeatById",
        "RespondActivityTaskCanceledById",
    ):
        with rejects(Code.NOT_FOUND):
            await getattr(hand.rpc, call)(**by_id(hand))
    await hand.poll_activity()
    answer = await hand.rpc.RecordActivityTaskHeartbeatById(details=payloads("d"), **by_id(hand))
    assert not answer.cancel_requested
    await hand.rpc.RespondActivityTaskFailedById(failure=failure("f1"), **by_id(hand))
    task = await hand.poll_activity()
    assert task.attempt == 2 and task.heartbeat_details == payloads("d")
    await hand.signal("s")
    await hand.step(cancel_activity(5))
    assert (await hand.rpc.RecordActivityTaskHeartbeatById(**by_id(hand))).cancel_requested
    await hand.rpc.RespondActivityTaskCanceledById(details=payloads("x"), **by_id(hand))
    assert find_attributes(await hand.history(), "ActivityTaskCanceled").identity == "elsewhere"


async def test_by_id_of_unknown_things(env):
    hand = await begin(env)
    with rejects(Code.NOT_FOUND):
        await hand.rpc.RespondActivityTaskCompletedById(**by_id(hand, "unknown"))
    with rejects(Code.NOT_FOUND):
        await hand.rpc.RespondActivityTaskCompletedById(
            **(by_id(hand) | {"workflow_id": env.name("unknown")})
        )


async def test_an_activity_id_may_be_used_again(env):
    hand = await begin(env)
    await hand.complete_activity(await hand.poll_activity(), 1)
    await hand.step(hand.activity("a"))
    await hand.complete_activity(await hand.poll_activity(), 2)
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted", result=[1]),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("ActivityTaskScheduled", activity_id="a"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted", result=[2], scheduled=11, started=12),
        E("WftScheduled"),
    )


async def test_twenty_activities_come_once_each(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(*[hand.activity(f"a{number}", start_to_close_timeout=60) for number in range(20)])
    tasks = [await hand.poll_activity() for _ in range(20)]
    assert len({task.activity_id for task in tasks}) == 20
    for task in tasks:
        await hand.complete_activity(task, task.activity_id)
    events = await hand.history()
    assert sum(event.HasField("activity_task_completed_event_attributes") for event in events) == 20
    assert sum(event.HasField("workflow_task_scheduled_event_attributes") for event in events) == 2


# Sizes and eager execution.


async def test_an_oversize_result_fails_the_activity(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    await hand.complete_activity(task, "x" * (2 * 1024 * 1024 + 1))
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("ActivityTaskStarted"),
        E("ActivityTaskFailed", failure=dict(server_failure_info=dict(non_retryable=True))),
        E("WftScheduled"),
    )


async def test_an_oversize_heartbeat_fails_the_activity(env):
    hand = await begin(env)
    task = await hand.poll_activity()
    assert (await hand.heartbeat(task, "x" * (2 * 1024 * 1024 + 1))).cancel_requested
    assert find_attributes(
        await hand.history(), "ActivityTaskFailed"
    ).failure.server_failure_info.non_retryable


async def test_eager_activity(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    response = await hand.complete(task, hand.activity("a", request_eager_execution=True), hand.activity("b"))
    if response.activity_tasks:
        [eager] = response.activity_tasks
        assert eager.activity_id == "a" and eager.attempt == 1 and eager.task_token
        [info] = [info for info in await pending(hand) if info.activity_id == "a"]
        expect(info, state="STARTED")
    else:  # a server may decline; the task must then come by the queue
        eager = await hand.poll_activity()
    await hand.complete_activity(eager, "eager")
    await hand.complete_activity(await hand.poll_activity(), "queued")
    events = await hand.history()
    assert find_attributes(events, "ActivityTaskCompleted", 0).result == payloads("eager")
    assert find_attributes(events, "ActivityTaskStarted", 0).identity == IDENTITY


@pytest.mark.ours("switched off there by default")
async def test_eager_activities_are_granted(env):
    hand = Hand(env)
    await hand.start()
    response = await hand.complete(await hand.poll(), hand.activity("a", request_eager_execution=True))
    assert [task.activity_id for task in response.activity_tasks] == ["a"]


async def test_2001_pending_activities(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(
        *[hand.activity(f"a{number}", input=None) for number in range(2000)],
        force_create_new_workflow_task=True,
    )
    task = await hand.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(task, hand.activity("one too many"), start_timer("t", 1))
    events = await hand.history_with("WftFailed")
    expect(find_attributes(events, "WftFailed"), cause="PENDING_ACTIVITIES_LIMIT_EXCEEDED")
    assert not any(event.HasField("timer_started_event_attributes") for event in events)
    assert len(await pending(hand)) == 2000
    await hand.terminate()


async def test_an_activitys_priority_is_its_own_where_given_and_its_workflows_where_not(env):
    hand = Hand(env)
    await hand.start(priority={"priority_key": 2, "fairness_key": "tenant", "fairness_weight": 2.0})
    wanted = {"a": (2, "tenant", 2.0), "b": (4, "tenant", 2.0), "c": (2, "mine", 2.0), "d": (2, "tenant", 0.5)}
    await hand.step(
        hand.activity("a"),
        hand.activity("b", priority={"priority_key": 4}),
        hand.activity("c", priority={"fairness_key": "mine"}),
        hand.activity("d", priority={"fairness_weight": 0.5}),
    )
    got = {}
    for _ in wanted:
        task = await hand.poll_activity()
        given = task.priority
        got[task.activity_id] = (given.priority_key, given.fairness_key, given.fairness_weight)
    assert got == wanted
