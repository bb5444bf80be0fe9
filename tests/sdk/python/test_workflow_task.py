"""Workflow tasks: what is delivered, attempts and transient tasks, sticky queues, buffered events, closing commands."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.grpc_client import Code, rejects, resource_exhausted
from support.hand import (
    IDENTITY,
    Command,
    CommandType,
    Hand,
    cancel_activity,
    cancel_timer,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    marker,
    payloads,
    retry_policy,
    schedule_activity,
    start_timer,
    upsert_memo,
    upsert_search_attributes,
)
from support.histories import (
    PRESENT,
    PROLOGUE,
    E,
    attributes,
    check,
    check_tail,
    expect,
    find,
    find_attributes,
    time_of,
    types,
)


async def test_the_first_task(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    assert task.workflow_execution.workflow_id == hand.workflow_id
    assert task.workflow_execution.run_id == hand.run_id
    assert task.workflow_type.name == "type"
    assert task.previous_started_event_id == 0 and task.started_event_id == 3 and task.attempt == 1
    assert task.workflow_execution_task_queue.name == hand.queue
    assert task.HasField("scheduled_time") and task.HasField("started_time")
    assert not task.next_page_token and not task.HasField("query") and not task.queries
    check(
        task.history.events,
        E("Started"),
        E("WftScheduled"),
        E(
            "WftStarted",
            scheduled=2,
            identity=IDENTITY,
            request_id=PRESENT,
            history_size_bytes=PRESENT,
            suggest_continue_as_new=False,
        ),
    )
    assert time_of(task.started_time) == time_of(task.history.events[2].event_time)
    await hand.complete(
        task, complete_workflow("ok"), sdk_metadata={"core_used_flags": [1, 2], "sdk_name": "hand"}
    )
    events = await hand.history()
    check(events, *PROLOGUE, E("Completed", result=["ok"], wftc=4, new_run=""))
    assert list(events[:3]) == list(task.history.events), "delivered and stored events differ"
    completed = attributes(events[3])
    assert completed.identity == IDENTITY
    assert (
        list(completed.sdk_metadata.core_used_flags) == [1, 2] and completed.sdk_metadata.sdk_name == "hand"
    )
    assert await hand.status() == "COMPLETED"


async def test_only_one_worker_gets_the_task(env):
    hand = Hand(env)
    polls = [asyncio.ensure_future(hand.poll_maybe(wait=4)) for _ in range(4)]
    await hand.start()
    done = await asyncio.gather(*polls)
    assert sum(bool(task.task_token) for task in done) == 1


async def test_an_empty_poll_is_not_an_error(env):
    hand = Hand(env)
    before = time.monotonic()
    task = await hand.poll_maybe(wait=3)
    assert not task.task_token
    assert time.monotonic() - before < 3, "an empty answer must come before the client's deadline"
    activity = await hand.rpc.PollActivityTaskQueue(
        _seconds=3, task_queue={"name": hand.queue}, identity=IDENTITY
    )
    assert not activity.task_token


async def test_a_poll_that_went_away_loses_no_task(env):
    hand = Hand(env)
    for _ in range(4):
        gone = asyncio.ensure_future(hand.poll_maybe(wait=20))
        await (
            hand.rpc.GetSystemInfo()
        )  # by its answer the poll, sent before on this connection, has arrived too
        gone.cancel()
    await hand.start()
    task = await hand.poll(wait=8)
    assert task.attempt == 1
    check(await hand.history(), E("Started"), E("WftScheduled"), E("WftStarted"))


async def test_fail_and_terminate_commands_close(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(fail_workflow(failure("bad", type="T")))
    check(
        await hand.history(),
        *PROLOGUE,
        E(
            "Failed",
            failure=dict(message="bad", application_failure_info=dict(type="T")),
            retry_state="RETRY_POLICY_NOT_SET",
            wftc=4,
            new_run="",
        ),
    )
    assert await hand.status() == "FAILED"
    other = Hand(env)
    await other.start()
    await other.step(cancel_workflow("why"))
    check(await other.history(), *PROLOGUE, E("Canceled", details=["why"], wftc=4))
    assert await other.status() == "CANCELED"


async def test_a_token_works_once(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.complete(task, start_timer("t", 60))
    with rejects(Code.NOT_FOUND):
        await hand.complete(task, complete_workflow())
    with rejects(Code.NOT_FOUND):
        await hand.fail(task)
    check(await hand.history(), *PROLOGUE, E("TimerStarted"))


# Failing and timing out.


async def test_failing_tasks_are_transient_from_the_second_attempt(env):
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll(), "NON_DETERMINISTIC_ERROR", "first")
    failed = (
        *PROLOGUE[:3],
        E(
            "WftFailed",
            scheduled=2,
            started=3,
            cause="NON_DETERMINISTIC_ERROR",
            failure=dict(message="first"),
            identity=IDENTITY,
        ),
    )
    check(await hand.history(), *failed)
    for attempt in (2, 3):
        task = await hand.poll()
        assert task.attempt == attempt and task.started_event_id == 6 and task.previous_started_event_id == 0
        check(task.history.events, *failed, E("WftScheduled", attempt=attempt), E("WftStarted", scheduled=5))
        check(await hand.history(), *failed)
        check(
            await hand.history(as_cli=False),
            *failed,
            E("WftScheduled", attempt=attempt),
            E("WftStarted", scheduled=5),
        )
        assert (await hand.describe()).workflow_execution_info.history_length == 4
        await hand.fail(task, "WORKFLOW_WORKER_UNHANDLED_FAILURE", "again")
    task = await hand.poll()
    delivered = task.history.events[-2:]
    await hand.complete(task, complete_workflow())
    events = await hand.history()
    check(
        events,
        *failed,
        E("WftScheduled", attempt=4),
        E("WftStarted", scheduled=5),
        E("WftCompleted", scheduled=5, started=6),
        E("Completed", wftc=7),
    )
    for stored, seen in zip(events[4:6], delivered, strict=True):
        assert attributes(stored) == attributes(seen)
        assert stored.event_time == seen.event_time


async def test_describe_shows_the_pending_task_and_its_attempt(env):
    hand = Hand(env)
    await hand.start()
    pending = (await hand.describe()).pending_workflow_task
    expect(pending, state="SCHEDULED", attempt=1)
    await hand.fail(await hand.poll())
    task = await hand.poll()
    pending = (await hand.describe()).pending_workflow_task
    expect(
        pending,
        state="STARTED",
        attempt=2,
        scheduled_time=PRESENT,
        original_scheduled_time=PRESENT,
        started_time=PRESENT,
    )
    await hand.complete(task)
    assert not (await hand.describe()).HasField("pending_workflow_task")


async def test_task_timeout(env):
    hand = Hand(env)
    await hand.start(workflow_task_timeout=3)
    lost = await hand.poll()
    task = await hand.poll()
    assert task.attempt == 2
    timed_out = (*PROLOGUE[:3], E("WftTimedOut", scheduled=2, started=3, timeout_type="START_TO_CLOSE"))
    check(await hand.history(), *timed_out)
    with rejects(Code.NOT_FOUND):
        await hand.complete(lost, complete_workflow())
    again = await hand.poll()
    assert again.attempt == 3
    check(await hand.history(), *timed_out)
    await hand.complete(again, complete_workflow())
    events = await hand.history()
    check(
        events, *timed_out, E("WftScheduled", attempt=3), E("WftStarted"), E("WftCompleted"), E("Completed")
    )
    assert time_of(events[3].event_time) - time_of(events[2].event_time) >= 2.999


async def test_the_fourth_attempt_gets_a_longer_timeout(env):
    hand = Hand(env)
    await hand.start(workflow_task_timeout=5)
    for attempt in (1, 2, 3):
        task = await hand.poll()
        assert task.attempt == attempt
        await hand.fail(task)
    task = await hand.poll()
    assert task.attempt == 4
    scheduled = find_attributes(task.history.events, "WftScheduled", 1)
    assert scheduled.start_to_close_timeout.seconds > 5
    await hand.complete(task, complete_workflow())


async def test_new_events_make_a_transient_task_normal_again(env):
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll())
    await hand.signal("s")
    task = await hand.poll()
    assert task.attempt == 1
    await hand.complete(task, complete_workflow())
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed"),
        E("Signaled"),
        E("WftScheduled", attempt=1),
        E("WftStarted", scheduled=6),
        E("WftCompleted", scheduled=6, started=7),
        E("Completed"),
    )


async def test_a_signal_buffered_by_a_failing_transient_task_resets_the_attempt(env):
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll())
    transient = await hand.poll()
    assert transient.attempt == 2
    await hand.signal("s")
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed"))
    await hand.fail(transient)
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed"), E("Signaled"), E("WftScheduled", attempt=1))


@pytest.mark.parametrize(
    "cause",
    [
        "UNSPECIFIED",
        "WORKFLOW_WORKER_UNHANDLED_FAILURE",
        "NON_DETERMINISTIC_ERROR",
        "RESET_STICKY_TASK_QUEUE",
        "PAYLOADS_TOO_LARGE",
    ],
)
async def test_failure_causes_are_kept(env, cause):
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll(), cause, "why")
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed", cause=cause, failure=dict(message="why")))


async def test_grpc_message_too_large_terminates(env):
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll(), "GRPC_MESSAGE_TOO_LARGE", "too big")
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="FORCE_CLOSE_COMMAND"),
        E("Terminated", identity="history-service"),
    )


# Commands that fail the task.

BAD_COMMANDS = {
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES": lambda hand: schedule_activity("", hand.queue),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES type": lambda hand: schedule_activity("a", hand.queue, type=""),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES queue": lambda hand: schedule_activity("a", ""),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES timeouts": lambda hand: schedule_activity(
        "a", hand.queue, start_to_close_timeout=None
    ),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES negative": lambda hand: schedule_activity(
        "a", hand.queue, start_to_close_timeout=-1
    ),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES long": lambda hand: schedule_activity("a" * 1001, hand.queue),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES reserved": lambda hand: schedule_activity("a", "/_sys/queue/1"),
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES policy": lambda hand: schedule_activity(
        "a", hand.queue, retry_policy=retry_policy(non_retryable_error_types=["TemporalTimeout:Tea"])
    ),
    "BAD_START_TIMER_ATTRIBUTES": lambda hand: start_timer("", 1),
    "BAD_START_TIMER_ATTRIBUTES negative": lambda hand: start_timer("t", -1),
    "BAD_START_TIMER_ATTRIBUTES long": lambda hand: start_timer("t" * 1001, 1),
    "BAD_CANCEL_TIMER_ATTRIBUTES": lambda hand: cancel_timer("unknown"),
    "BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES": lambda hand: cancel_activity(99),
    "BAD_RECORD_MARKER_ATTRIBUTES": lambda hand: marker(""),
    "BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES": lambda hand: Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes={},
    ),
    "BAD_SEARCH_ATTRIBUTES": lambda hand: upsert_search_attributes(NoSuchAttribute="x"),
    "BAD_SEARCH_ATTRIBUTES system": lambda hand: upsert_search_attributes(WorkflowId="x"),
    "BAD_SEARCH_ATTRIBUTES empty": lambda hand: upsert_search_attributes(),
    "BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES": lambda hand: upsert_memo(),
    "BAD_CONTINUE_AS_NEW_ATTRIBUTES reserved": lambda hand: continue_as_new("type", "/_sys/queue/1"),
    "BAD_CONTINUE_AS_NEW_ATTRIBUTES": lambda hand: continue_as_new("t" * 1001, hand.queue),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
async def test_a_bad_command_fails_the_task(env, case):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    cause = case.split()[0]
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(task, start_timer("good", 60), BAD_COMMANDS[case](hand))
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E(
            "WftFailed",
            cause=cause,
            identity=IDENTITY,
            failure=dict(message=lambda text: bool(text), server_failure_info={}),
        ),
    )
    retried = await hand.poll()
    assert retried.attempt == 2
    await hand.complete(retried, complete_workflow())


WITHOUT_ATTRIBUTES = {
    "SCHEDULE_ACTIVITY_TASK": "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES",
    "REQUEST_CANCEL_ACTIVITY_TASK": "BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES",
    "START_TIMER": "BAD_START_TIMER_ATTRIBUTES",
    "CANCEL_TIMER": "BAD_CANCEL_TIMER_ATTRIBUTES",
    "RECORD_MARKER": "BAD_RECORD_MARKER_ATTRIBUTES",
    "COMPLETE_WORKFLOW_EXECUTION": "BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES",
    "FAIL_WORKFLOW_EXECUTION": "BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES",
    "CANCEL_WORKFLOW_EXECUTION": "BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES",
    "CONTINUE_AS_NEW_WORKFLOW_EXECUTION": "BAD_CONTINUE_AS_NEW_ATTRIBUTES",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "BAD_SEARCH_ATTRIBUTES",
    "MODIFY_WORKFLOW_PROPERTIES": "BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES",
}


@pytest.mark.parametrize("kind", WITHOUT_ATTRIBUTES)
async def test_a_command_without_attributes_fails_the_task(env, kind):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(task, Command(command_type=CommandType.Value("COMMAND_TYPE_" + kind)))
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed", cause=WITHOUT_ATTRIBUTES[kind]))


async def test_a_second_bad_completion_writes_nothing_and_leaves_the_task(env):
    hand = Hand(env)
    await hand.start()
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(await hand.poll(), cancel_timer("unknown"))
    task = await hand.poll()
    for _ in range(2):
        with rejects(Code.INVALID_ARGUMENT):
            await hand.complete(task, cancel_timer("unknown"))
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed", cause="BAD_CANCEL_TIMER_ATTRIBUTES"))
    await hand.complete(task, complete_workflow())
    assert await hand.status() == "COMPLETED"


async def test_an_unknown_command_is_refused_and_the_task_stays(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    for kind in (0, 999):
        with rejects(Code.INVALID_ARGUMENT):
            await hand.complete(task, Command(command_type=kind))
    check(await hand.history(), *PROLOGUE[:3])
    await hand.complete(task, complete_workflow())


async def test_commands_after_a_closing_command_are_refused_and_the_task_stays(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    for closing in (
        complete_workflow(),
        fail_workflow(failure("f")),
        cancel_workflow(),
        continue_as_new("type", hand.queue),
    ):
        with rejects(Code.INVALID_ARGUMENT):
            await hand.complete(task, closing, start_timer("late", 1))
    check(await hand.history(), *PROLOGUE[:3])
    await hand.complete(task, complete_workflow())


async def test_duplicate_ids_fail_the_task(env):
    hand = Hand(env)
    await hand.start()
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(await hand.poll(), hand.activity("a"), hand.activity("a"))
    check_tail(await hand.history(), E("WftFailed", cause="SCHEDULE_ACTIVITY_DUPLICATE_ID"))
    other = Hand(env)
    await other.start()
    with rejects(Code.INVALID_ARGUMENT):
        await other.complete(await other.poll(), start_timer("t", 1), start_timer("t", 1))
    check_tail(await other.history(), E("WftFailed", cause="START_TIMER_DUPLICATE_ID"))


async def test_memo_and_search_attributes_are_merged(env):
    hand = Hand(env)
    await hand.start(memo={"fields": {"a": payloads(1).payloads[0], "b": payloads(2).payloads[0]}})
    await hand.step(
        upsert_memo(b=3, c=4),
        upsert_search_attributes(BatcherUser="u", TemporalChangeVersion=["x-1"]),
        start_timer("t", 60),
    )
    check(
        await hand.history(),
        *PROLOGUE,
        E("WorkflowPropertiesModified", upserted_memo={"b": 3, "c": 4}, wftc=4),
        E(
            "UpsertWorkflowSearchAttributes",
            search_attributes={"BatcherUser": "u", "TemporalChangeVersion": ["x-1"]},
            wftc=4,
        ),
        E("TimerStarted"),
    )
    info = (await hand.describe()).workflow_execution_info
    assert {key: value.data for key, value in info.memo.fields.items()} == {"a": b"1", "b": b"3", "c": b"4"}
    attributes_ = info.search_attributes.indexed_fields
    assert (
        attributes_["BatcherUser"].data == b'"u"'
        and attributes_["BatcherUser"].metadata["type"] == b"Keyword"
    )
    assert attributes_["TemporalChangeVersion"].metadata["type"] == b"KeywordList"


# Sticky queues.


async def test_a_sticky_task_carries_only_what_is_new(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(sticky=True)
    next_task = asyncio.ensure_future(hand.poll(sticky=True))
    await hand.signal("s")
    task = await next_task
    assert task.previous_started_event_id == 3 and task.started_event_id == 7
    check(
        task.history.events, E("WftCompleted"), E("Signaled"), E("WftScheduled"), E("WftStarted"), first_id=4
    )
    expect(
        attributes(task.history.events[2]),
        task_queue=dict(name=hand.sticky_queue, normal_name=hand.queue, kind="STICKY"),
    )
    assert task.workflow_execution_task_queue.name == hand.queue
    await hand.complete(task)  # without sticky attributes: no longer sticky
    await hand.signal("t")
    task = await hand.poll()
    assert task.history.events[0].event_id == 1
    await hand.complete(task, complete_workflow())


async def test_a_failure_on_a_sticky_queue_does_not_count(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(sticky=True)
    polling = asyncio.ensure_future(hand.poll(sticky=True))
    await hand.signal("s")
    await hand.fail(await polling)
    task = await hand.poll()
    assert task.attempt == 1 and task.history.events[0].event_id == 1
    await hand.fail(task)
    transient = await hand.poll()
    assert transient.attempt == 2
    check(
        await hand.history(),
        *PROLOGUE,
        E("Signaled"),
        E("WftScheduled", attempt=1),
        E("WftStarted"),
        E("WftFailed"),
        E("WftScheduled", attempt=1, task_queue=hand.queue),
        E("WftStarted"),
        E("WftFailed"),
    )
    await hand.complete(transient, complete_workflow())


async def test_sticky_schedule_to_start_timeout(env):
    hand = Hand(env)
    await hand.start()
    polling = asyncio.ensure_future(
        hand.poll_maybe(sticky=True, wait=2.5)
    )  # makes the sticky queue known as polled
    await hand.step(sticky=1.0)
    await polling
    await hand.signal("s")
    task = await hand.poll()
    assert task.attempt == 1 and task.history.events[0].event_id == 1
    check(
        await hand.history(),
        *PROLOGUE,
        E("Signaled"),
        E("WftScheduled", task_queue=hand.sticky_queue),
        E("WftTimedOut", scheduled=6, started=0, timeout_type="SCHEDULE_TO_START"),
        E("WftScheduled", attempt=1, task_queue=hand.queue),
        E("WftStarted"),
    )
    await hand.complete(task, complete_workflow())


async def test_a_sticky_queue_that_nobody_polls_is_passed_over(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(sticky=60.0)
    await hand.signal("s")
    task = await hand.poll(wait=8)
    assert task.history.events[0].event_id == 1
    check(
        await hand.history(),
        *PROLOGUE,
        E("Signaled"),
        E("WftScheduled", task_queue=hand.sticky_queue),
        E("WftStarted"),
    )


async def test_reset_sticky_task_queue(env):
    hand = Hand(env)
    await hand.start()
    polling = asyncio.ensure_future(hand.poll_maybe(sticky=True, wait=2.5))
    await hand.step(sticky=60.0)
    await polling
    await hand.rpc.ResetStickyTaskQueue(execution=hand.execution())
    await hand.rpc.ResetStickyTaskQueue(execution=hand.execution())
    await hand.signal("s")
    task = await hand.poll(wait=8)
    check(
        await hand.history(),
        *PROLOGUE,
        E("Signaled"),
        E("WftScheduled", task_queue=hand.queue),
        E("WftStarted"),
    )
    await hand.complete(task, complete_workflow())
    with rejects(Code.NOT_FOUND):
        await hand.rpc.ResetStickyTaskQueue(execution=hand.execution())


# Next tasks, heartbeats.


async def test_return_new_workflow_task(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.signal("s")
    response = await hand.complete(task, start_timer("t", 60), return_new_workflow_task=True, sticky=True)
    following = response.workflow_task
    assert (
        following.task_token and following.previous_started_event_id == 3 and following.started_event_id == 8
    )
    check(
        following.history.events,
        E("WftCompleted"),
        E("TimerStarted"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted", identity=IDENTITY),
        first_id=4,
    )
    answer = await hand.complete(following, return_new_workflow_task=True)
    assert not answer.HasField("workflow_task"), "nothing asks for another task"
    check(
        await hand.history(),
        *PROLOGUE,
        E("TimerStarted"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
    )


async def test_force_create_heartbeats(env):
    hand = Hand(env)
    await hand.start(workflow_task_timeout=20)
    task = await hand.poll()
    original = task.scheduled_time
    for _ in range(3):
        response = await hand.complete(
            task, force_create_new_workflow_task=True, return_new_workflow_task=True, sticky=True
        )
        task = response.workflow_task
        assert task.task_token and task.attempt == 1
    await hand.complete(task, marker("local activity"), complete_workflow())
    events = await hand.history()
    check(
        events,
        *PROLOGUE,
        *(E("WftScheduled", attempt=1), E("WftStarted"), E("WftCompleted")) * 3,
        E("MarkerRecorded"),
        E("Completed"),
    )
    assert original.seconds > 0


async def test_force_create_without_return_goes_to_the_queue(env):
    hand = Hand(env)
    await hand.start()
    await hand.complete(await hand.poll(), force_create_new_workflow_task=True)
    task = await hand.poll()
    assert task.previous_started_event_id == 3 and task.started_event_id == 6
    await hand.complete(task, complete_workflow())


# Buffered events.


async def test_a_signal_during_a_task_is_buffered(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.signal("s", 1)
    check(await hand.history(), *PROLOGUE[:3])
    assert (await hand.describe()).workflow_execution_info.history_length == 3
    await hand.complete(task, start_timer("t", 60))
    check(
        await hand.history(),
        *PROLOGUE,
        E("TimerStarted", wftc=4),
        E("Signaled", input=[1]),
        E("WftScheduled", attempt=1),
    )


async def test_the_order_of_a_flush(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"), hand.activity("b"))
    activities = [await hand.poll_activity(), await hand.poll_activity()]
    first = next(task for task in activities if task.activity_id == "a")
    second = next(task for task in activities if task.activity_id == "b")
    await hand.signal("begin")
    task = await hand.poll()
    await hand.complete_activity(second, "b")
    await hand.signal("one")
    await hand.fail_activity(first, failure("f", non_retryable=True))
    await hand.cancel()
    await hand.complete(task, marker("m"))
    events = await hand.history()
    tail = events[events.index(find(events, "MarkerRecorded")) :]
    names = types(tail)
    assert names[-1] == "WftScheduled"
    flushed = names[1:-1]
    ends = [name for name in flushed if name in ("ActivityTaskCompleted", "ActivityTaskFailed")]
    assert ends == ["ActivityTaskCompleted", "ActivityTaskFailed"], "ends keep their own order of arrival"
    assert flushed[-2:] == ends, f"ends come after everything else: {flushed}"
    assert flushed[:-2] == ["ActivityTaskStarted", "Signaled", "ActivityTaskStarted", "CancelRequested"], (
        flushed
    )
    for end in ("ActivityTaskCompleted", "ActivityTaskFailed"):
        ended = find_attributes(events, end)
        started = events[ended.started_event_id - 1]
        assert types([started]) == ["ActivityTaskStarted"]
        assert attributes(started).scheduled_event_id == ended.scheduled_event_id


@pytest.mark.parametrize("closing", ["complete", "fail", "cancel", "continue_as_new"])
async def test_unhandled_command(env, closing):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.signal("s")
    command = {
        "complete": complete_workflow(),
        "fail": fail_workflow(failure("f")),
        "cancel": cancel_workflow(),
        "continue_as_new": continue_as_new("type", hand.queue),
    }[closing]
    with rejects(Code.INVALID_ARGUMENT, text="UnhandledCommand"):
        await hand.complete(task, start_timer("discarded", 60), command)
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="UNHANDLED_COMMAND", identity=IDENTITY, failure=dict(server_failure_info={})),
        E("Signaled"),
        E("WftScheduled", attempt=1),
    )
    retry = await hand.poll()
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await hand.signal("late")
    expect(refusal.detail(resource_exhausted), cause="BUSY_WORKFLOW", scope="NAMESPACE")
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted):
        await hand.rpc.SignalWithStartWorkflowExecution(signal_name="late", **hand.start_fields())
    await hand.complete(retry, command)
    assert await hand.status() in ("COMPLETED", "FAILED", "CANCELED", "CONTINUED_AS_NEW")


async def test_unhandled_command_of_a_later_attempt(env):
    """Nothing says that it failed; it ends at once all the same, and what follows is a first attempt."""
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll())
    task = await hand.poll()
    assert task.attempt == 2
    await hand.signal("s")
    with rejects(Code.INVALID_ARGUMENT, text="UnhandledCommand"):
        await hand.complete(task, complete_workflow())
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="WORKFLOW_WORKER_UNHANDLED_FAILURE"),
        E("Signaled"),
        E("WftScheduled", attempt=1),
    )
    retry = await hand.poll()
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted):
        await hand.signal("late")
    await hand.cancel()  # this one comes through, so the retry has to be made once more
    with rejects(Code.INVALID_ARGUMENT, text="UnhandledCommand"):
        await hand.complete(retry, complete_workflow())
    again = await hand.poll()
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted):
        await hand.signal("late")
    await hand.complete(again, complete_workflow())
    check_tail(
        await hand.history(),
        E("WftStarted"),
        E("WftFailed", cause="UNHANDLED_COMMAND"),
        E("CancelRequested"),
        E("WftScheduled", attempt=1),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


async def test_a_closing_workflow_still_takes_cancel_and_terminate(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.signal("s")
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(task, complete_workflow())
    await hand.poll()
    await hand.cancel()
    await hand.terminate()
    assert await hand.status() == "TERMINATED"


async def after_the_timer(env, begun, seconds: float) -> None:
    """Returns when the server has fired a timer that was started later than the one of `begun` and ran longer."""
    clock = Hand(env)
    await clock.start()
    await clock.step(start_timer("clock", seconds))
    events = await clock.history_with("TimerFired")
    assert time_of(find(events, "TimerStarted").event_time) >= time_of(find(begun, "TimerStarted").event_time)


async def with_a_timer_in_the_buffer(env):
    """A run whose task is in our hands while timer `t` has fired into the buffer."""
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 3.0))
    await hand.signal("s")
    task = await hand.poll()
    assert "TimerFired" not in types(task.history.events), "the machine was too slow to be ahead of the timer"
    await after_the_timer(env, task.history.events, 3.3)
    return hand, task


async def test_a_buffered_timer_that_is_cancelled_does_not_block_closing(env):
    hand, task = await with_a_timer_in_the_buffer(env)
    await hand.complete(task, cancel_timer("t"), complete_workflow())
    check_tail(await hand.history(), E("WftCompleted"), E("TimerCanceled"), E("Completed"))


async def test_a_buffered_timer_is_flushed(env):
    hand, task = await with_a_timer_in_the_buffer(env)
    await hand.signal("after")
    with rejects(Code.INVALID_ARGUMENT):
        await hand.complete(task, complete_workflow())
    check_tail(
        await hand.history(),
        E("WftFailed", cause="UNHANDLED_COMMAND"),
        E("TimerFired", timer_id="t", started=5),
        E("Signaled"),
        E("WftScheduled"),
    )


async def test_more_than_a_hundred_buffered_events_fail_the_task(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    for number in range(101):
        await hand.signal("s", number)
    events = await hand.history()
    check(
        events,
        *PROLOGUE[:3],
        E("WftFailed", cause="FORCE_CLOSE_COMMAND"),
        *[E("Signaled", input=[n]) for n in range(101)],
    )
    with rejects(Code.NOT_FOUND):
        await hand.complete(task, complete_workflow())
    again = await hand.poll()
    assert again.attempt == 2
    await hand.complete(again, complete_workflow())


async def test_a_signal_is_deduplicated_by_its_request_id(env):
    hand = Hand(env)
    await hand.start()
    await hand.signal("s", request_id="once")
    await hand.signal("s", request_id="once")
    await hand.signal("s")
    await hand.signal("s")
    task = await hand.poll()
    await hand.signal("buffered", request_id="twice")
    await hand.signal("buffered", request_id="twice")
    await hand.complete(task)
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("Signaled"),
        E("Signaled"),
        E("Signaled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Signaled", signal_name="buffered"),
        E("WftScheduled"),
    )


async def test_events_while_a_task_only_waits_need_no_second_task(env):
    hand = Hand(env)
    await hand.start()
    await hand.signal("one")
    await hand.signal("two")
    await hand.cancel()
    await hand.cancel("again")
    task = await hand.poll()
    check(
        task.history.events,
        E("Started"),
        E("WftScheduled"),
        E("Signaled"),
        E("Signaled"),
        E("CancelRequested"),
        E("WftStarted", scheduled=2),
    )
    await hand.complete(task, cancel_workflow("bye"))
    check_tail(
        await hand.history(),
        E("WftCompleted", scheduled=2, started=6),
        E("Canceled", details=["bye"], wftc=7),
    )


async def test_two_completions_at_once_only_one_wins(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    results = await asyncio.gather(
        hand.complete(task, complete_workflow(1)),
        hand.complete(task, complete_workflow(2)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, Exception)]
    assert len(refused) == 1 and refused[0].code() == Code.NOT_FOUND
    check(await hand.history(), *PROLOGUE, E("Completed"))


async def test_a_task_with_a_long_history_is_paged(env):
    hand = Hand(env)
    await hand.start()
    await asyncio.gather(*[hand.signal("s", number) for number in range(600)])
    task = await hand.poll()
    events = list(task.history.events)
    token = task.next_page_token
    assert token, "a task's first page holds about 256 events"
    await hand.signal("not part of this task")
    while token:
        page = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), next_page_token=token)
        events.extend(page.history.events)
        token = page.next_page_token
    assert [event.event_id for event in events] == list(range(1, task.started_event_id + 1))
    assert types(events)[-1] == "WftStarted"
    values = [attributes(event).input.payloads[0].data for event in events if types([event]) == ["Signaled"]]
    assert sorted(values) == sorted(str(number).encode() for number in range(600)), "each signal exactly once"
    await hand.complete(task, start_timer("t", 60))
