"""Reading histories: pages, long polls, the close event filter, reverse; and what Describe says."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.grpc_client import Code, not_found, rejects
from support.hand import (
    Hand,
    complete_workflow,
    fail_workflow,
    failure,
    marker,
    memo,
    retry_policy,
    search_attributes,
    start_timer,
)
from support.histories import ABSENT, PRESENT, PROLOGUE, E, check, expect, seconds_of, time_of, types

CLOSE_EVENT = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"
NOWHERE = "01234567-89ab-4def-8123-456789abcdef"
AS_CLI = {"metadata": (("client-name", "temporal-cli"), ("client-version", "1.0.0"))}


async def pages(call, hand: Hand, **fields) -> list[list]:
    found, token = [], b""
    while True:
        page = await call(execution=hand.execution(), next_page_token=token, **fields)
        found.append(list(page.history.events))
        token = page.next_page_token
        if not token:
            return found


async def long_history(env, signals: int = 40) -> Hand:
    hand = Hand(env)
    await hand.start()
    await hand.step()
    for number in range(signals):
        await hand.signal("s", number)
    await hand.step(*[marker(f"m{number}") for number in range(10)], complete_workflow("end"))
    return hand


async def test_pages_forward_and_reverse(env):
    hand = await long_history(env)
    whole = await hand.history()
    for size in (1, 7, 1000):
        forward = await pages(hand.rpc.GetWorkflowExecutionHistory, hand, maximum_page_size=size)
        assert [event for page in forward for event in page] == whole
        backward = await pages(hand.rpc.GetWorkflowExecutionHistoryReverse, hand, maximum_page_size=size)
        assert [event for page in backward for event in page] == whole[::-1]
        if size < 10:
            assert len(forward) > 3 and len(backward) > 3
    assert len(whole) == 4 + 41 + 2 + 11


async def test_the_run_id_may_be_left_out(env):
    hand = Hand(env)
    await hand.start()
    page = await hand.rpc.GetWorkflowExecutionHistory(execution={"workflow_id": hand.workflow_id})
    check(page.history.events, E("Started"), E("WftScheduled"))
    page = await hand.rpc.GetWorkflowExecutionHistoryReverse(execution={"workflow_id": hand.workflow_id})
    assert types(page.history.events) == ["WftScheduled", "Started"]


async def test_a_token_pins_the_run(env):
    hand = await long_history(env)
    page = await hand.rpc.GetWorkflowExecutionHistory(
        execution={"workflow_id": hand.workflow_id}, maximum_page_size=2
    )
    other = Hand(env, workflow_id=hand.workflow_id)
    await other.start()
    following = await hand.rpc.GetWorkflowExecutionHistory(
        execution={"workflow_id": hand.workflow_id}, maximum_page_size=2, next_page_token=page.next_page_token
    )
    assert following.history.events[0].event_id == page.history.events[-1].event_id + 1
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.GetWorkflowExecutionHistory(
            execution=other.execution(), next_page_token=page.next_page_token
        )
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), next_page_token=b"garbage")


async def test_close_event_filter(env):
    hand = Hand(env)
    await hand.start()
    still_open = await hand.rpc.GetWorkflowExecutionHistory(
        execution=hand.execution(), history_event_filter_type=CLOSE_EVENT
    )
    assert not still_open.history.events and not still_open.next_page_token
    waiting = asyncio.ensure_future(
        hand.rpc.GetWorkflowExecutionHistory(
            execution=hand.execution(), history_event_filter_type=CLOSE_EVENT, wait_new_event=True
        )
    )
    await hand.signal("this does not wake it")
    await hand.step(start_timer("t", 60))
    await hand.describe()
    assert not waiting.done()
    await hand.signal("close")
    await hand.step(complete_workflow("r"))
    answer = await waiting
    check(answer.history.events, E("Completed", result=["r"]), first_id=11)
    assert not answer.next_page_token
    closed = await hand.rpc.GetWorkflowExecutionHistory(
        execution=hand.execution(), history_event_filter_type=CLOSE_EVENT
    )
    assert types(closed.history.events) == ["Completed"] and not closed.next_page_token


async def test_waiting_for_new_events(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 60))
    page = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), wait_new_event=True)
    check(page.history.events, *PROLOGUE, E("TimerStarted"))
    assert page.next_page_token
    waiting = asyncio.ensure_future(
        hand.rpc.GetWorkflowExecutionHistory(
            _options=AS_CLI,
            execution=hand.execution(),
            wait_new_event=True,
            next_page_token=page.next_page_token,
        )
    )
    await hand.describe()
    assert not waiting.done()
    await hand.signal("s")
    page = await waiting
    assert [event.event_id for event in page.history.events][0] == 6
    await hand.step(complete_workflow())
    seen = [event.event_id for event in page.history.events]
    while page.next_page_token:
        page = await hand.rpc.GetWorkflowExecutionHistory(
            _options=AS_CLI,
            execution=hand.execution(),
            wait_new_event=True,
            next_page_token=page.next_page_token,
        )
        seen += [event.event_id for event in page.history.events]
    assert seen == list(range(6, 11))


async def test_a_wait_that_expires_is_empty_with_a_token(env):
    hand = Hand(env)
    await hand.start()
    page = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), wait_new_event=True)
    before = time.monotonic()
    page = await hand.rpc.GetWorkflowExecutionHistory(
        _seconds=3, execution=hand.execution(), wait_new_event=True, next_page_token=page.next_page_token
    )
    assert not page.history.events and page.next_page_token
    assert 1 < time.monotonic() - before < 3
    page = await hand.rpc.GetWorkflowExecutionHistory(
        _seconds=3, execution=hand.execution(), wait_new_event=True, history_event_filter_type=CLOSE_EVENT
    )
    assert not page.history.events and page.next_page_token


async def test_many_waiters_all_wake(env):
    hand = Hand(env)
    await hand.start()
    waiting = [
        asyncio.ensure_future(
            hand.rpc.GetWorkflowExecutionHistory(
                execution=hand.execution(), history_event_filter_type=CLOSE_EVENT, wait_new_event=True
            )
        )
        for _ in range(20)
    ]
    await hand.describe()
    await hand.step(complete_workflow())
    for answer in await asyncio.gather(*waiting):
        assert types(answer.history.events) == ["Completed"]


async def test_waiting_across_runs_is_the_clients_job(env):
    hand = Hand(env)
    first = (await hand.start(retry_policy=retry_policy(initial_interval=0.1))).run_id
    await hand.step(fail_workflow(failure("f")))
    page = await hand.rpc.GetWorkflowExecutionHistory(
        _options={"metadata": (("supported-features", "follows-next-run-id"),)},
        execution=hand.execution(first),
        history_event_filter_type=CLOSE_EVENT,
        wait_new_event=True,
    )
    [event] = page.history.events
    assert types([event]) == ["Failed"]
    assert event.workflow_execution_failed_event_attributes.new_execution_run_id
    await hand.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id})


async def test_who_does_not_follow_runs_is_told_of_the_next_one_as_continued_as_new(env):
    hand = Hand(env)
    first = (await hand.start(retry_policy=retry_policy(initial_interval=0.1))).run_id
    await hand.step(fail_workflow(failure("f")))
    page = await hand.rpc.GetWorkflowExecutionHistory(
        execution=hand.execution(first), history_event_filter_type=CLOSE_EVENT, wait_new_event=True
    )
    [event] = page.history.events
    assert types([event]) == ["ContinuedAsNew"]
    told = event.workflow_execution_continued_as_new_event_attributes
    assert told.new_execution_run_id and told.failure.message == "f"
    everything = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(first))
    assert types(everything.history.events)[-1] == "Failed"
    await hand.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id})


async def test_who_does_not_follow_runs_is_told_why_a_run_that_timed_out_goes_on(env):
    hand = Hand(env)
    first = (
        await hand.start(workflow_run_timeout=1, retry_policy=retry_policy(initial_interval=0.1))
    ).run_id
    page = await hand.rpc.GetWorkflowExecutionHistory(
        execution=hand.execution(first), history_event_filter_type=CLOSE_EVENT, wait_new_event=True
    )
    [event] = page.history.events
    told = event.workflow_execution_continued_as_new_event_attributes
    assert told.new_execution_run_id and told.failure.WhichOneof("failure_info") == "timeout_failure_info"
    await hand.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id})


async def test_a_started_task_shows_only_when_it_is_written(env):
    """Transient tasks have virtual events at the end of the last page, for everybody but the CLI and the UI."""
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll())
    written = (*PROLOGUE[:3], E("WftFailed"))
    check(await hand.history(as_cli=True), *written)
    check(await hand.history(as_cli=False), *written, E("WftScheduled", attempt=2))
    task = await hand.poll()
    check(await hand.history(as_cli=False), *written, E("WftScheduled", attempt=2), E("WftStarted"))
    backward = await hand.rpc.GetWorkflowExecutionHistoryReverse(execution=hand.execution())
    assert types(backward.history.events) == ["WftFailed", "WftStarted", "WftScheduled", "Started"]
    first = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), maximum_page_size=1)
    assert types(first.history.events)[-1] != "WftStarted", "virtual events belong to the last page"
    await hand.complete(task, complete_workflow())


async def test_what_is_not_there(env):
    hand = Hand(env)
    unknown = {"workflow_id": hand.workflow_id}
    calls = (
        hand.rpc.GetWorkflowExecutionHistory,
        hand.rpc.GetWorkflowExecutionHistoryReverse,
        hand.rpc.DescribeWorkflowExecution,
    )
    for call in calls:
        with rejects(Code.NOT_FOUND, not_found):
            await call(execution=unknown)
    await hand.start()
    for call in calls[1:]:
        with rejects(Code.NOT_FOUND, not_found):
            await call(execution=unknown | {"run_id": NOWHERE})
    for call in calls:
        with rejects(Code.INVALID_ARGUMENT, text="RunId"):
            await call(execution=unknown | {"run_id": "no uuid"})
        with rejects(Code.INVALID_ARGUMENT):
            await call(execution={"workflow_id": "", "run_id": ""})
        with rejects(Code.INVALID_ARGUMENT):
            await call()


@pytest.mark.ours("an explicit unknown run id is InvalidArgument there")
async def test_forward_history_of_an_unknown_run_is_not_found(env):
    hand = Hand(env)
    await hand.start()
    with rejects(Code.NOT_FOUND, not_found):
        await hand.rpc.GetWorkflowExecutionHistory(
            execution={"workflow_id": hand.workflow_id, "run_id": NOWHERE}
        )


async def test_describe(env):
    hand = Hand(env)
    await hand.start(
        memo=memo(m=1),
        search_attributes=search_attributes(BatcherUser="u"),
        workflow_execution_timeout=300,
        workflow_run_timeout=200,
        workflow_task_timeout=5,
    )
    described = await hand.describe()
    expect(
        described.execution_config,
        task_queue=hand.queue,
        workflow_execution_timeout=300,
        workflow_run_timeout=200,
        default_workflow_task_timeout=5,
    )
    info = described.workflow_execution_info
    expect(
        info,
        execution=dict(workflow_id=hand.workflow_id, run_id=hand.run_id),
        type="type",
        start_time=PRESENT,
        close_time=ABSENT,
        status="RUNNING",
        history_length=2,
        task_queue=hand.queue,
        memo={"m": 1},
        execution_time=PRESENT,
        parent_execution=ABSENT,
        first_run_id=hand.run_id,
        root_execution=dict(workflow_id=hand.workflow_id, run_id=hand.run_id),
    )
    assert info.search_attributes.indexed_fields["BatcherUser"].metadata["type"] == b"Keyword"
    assert info.state_transition_count >= 1
    expect(
        described.workflow_extended_info,
        execution_expiration_time=PRESENT,
        run_expiration_time=PRESENT,
        cancel_requested=False,
    )
    assert (
        abs(time_of(described.workflow_extended_info.run_expiration_time) - time_of(info.start_time) - 200)
        < 1
    )
    await hand.step(start_timer("t", 60), hand.activity("a"))
    assert [activity.activity_id for activity in (await hand.describe()).pending_activities] == ["a"]
    await hand.signal("s")
    await hand.step(complete_workflow())
    info = (await hand.describe()).workflow_execution_info
    expect(info, status="COMPLETED", close_time=PRESENT, history_length=11)
    assert info.history_size_bytes > 0
    assert time_of(info.close_time) >= time_of(info.start_time)
    assert (
        abs(seconds_of(info.execution_duration) - (time_of(info.close_time) - time_of(info.execution_time)))
        < 0.01
    )


async def test_the_features_runners_gate(env):
    with rejects(Code.INVALID_ARGUMENT, text="Invalid RunId"):
        await env.rpc.DescribeWorkflowExecution(
            execution={"workflow_id": "!sonotreal", "run_id": "superneverexistwf!"}
        )


async def test_reads_see_every_acknowledged_write(env):
    hand = Hand(env)
    await hand.start()
    for number in range(1, 30):
        await hand.signal("s", number)
        info = (await hand.describe()).workflow_execution_info
        assert info.history_length == 2 + number
        page = await hand.rpc.GetWorkflowExecutionHistory(_options=AS_CLI, execution=hand.execution())
        assert page.history.events[-1].event_id == 2 + number
