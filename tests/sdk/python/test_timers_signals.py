"""Timers, signals and markers."""

from __future__ import annotations

import asyncio

import pytest

from support.grpc_client import Code, rejects
from support.hand import (
    IDENTITY,
    Hand,
    cancel_timer,
    complete_workflow,
    header,
    marker,
    payload,
    payloads,
    start_timer,
)
from support.histories import (
    PROLOGUE,
    E,
    attributes,
    check,
    check_tail,
    find,
    seconds_of,
    time_of,
    types,
)


async def test_a_timer_fires_and_another_is_cancelled(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 0.5))
    events = await hand.history_with("WftScheduled", 2)
    check(
        events,
        *PROLOGUE,
        E("TimerStarted", timer_id="t", start_to_fire_timeout=0.5, wftc=4),
        E("TimerFired", timer_id="t", started=5),
        E("WftScheduled"),
    )
    assert 0.499 <= time_of(events[5].event_time) - time_of(events[4].event_time) < 3
    await hand.step(start_timer("u", 60))
    await hand.signal("s")
    await hand.step(cancel_timer("u"))
    check(
        await hand.history(),
        *PROLOGUE,
        E("TimerStarted"),
        E("TimerFired"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("TimerStarted", timer_id="u"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("TimerCanceled", timer_id="u", started=10, wftc=14, identity=IDENTITY),
    )


async def test_a_zero_timer_fires_at_once(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 0))
    check(
        await hand.history_with("WftScheduled", 2),
        *PROLOGUE,
        E("TimerStarted", start_to_fire_timeout=0),
        E("TimerFired"),
        E("WftScheduled"),
    )


async def test_timers_due_together_share_one_task(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(*[start_timer(f"t{number}", 0.5) for number in range(5)])
    events = await hand.history_with("TimerFired", 5)
    fired = [
        event.timer_fired_event_attributes.timer_id for event in events if types([event]) == ["TimerFired"]
    ]
    assert fired == [f"t{number}" for number in range(5)]
    assert types(events).count("WftScheduled") == 2


async def test_many_timers_fire_in_order_and_never_early(env):
    hand = Hand(env)
    await hand.start()
    delays = [0.9, 0.3, 1.2, 0.6, 0.1]
    await hand.step(*[start_timer(str(delay), delay) for delay in delays])
    events = await hand.history_with("TimerFired", 5)  # the harness checks that none is early
    fired = [
        event.timer_fired_event_attributes.timer_id for event in events if types([event]) == ["TimerFired"]
    ]
    assert fired == ["0.1", "0.3", "0.6", "0.9", "1.2"]
    started = time_of(find(events, "TimerStarted").event_time)
    for event in events:
        if types([event]) == ["TimerFired"]:
            late = time_of(event.event_time) - started - float(event.timer_fired_event_attributes.timer_id)
            assert -0.001 <= late < 3


async def test_an_id_can_be_used_again_even_in_the_same_task(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 60), cancel_timer("t"), start_timer("t", 0.1), hand.activity("t"))
    check(
        await hand.history_with("WftScheduled", 2),
        *PROLOGUE,
        E("TimerStarted"),
        E("TimerCanceled", started=5),
        E("TimerStarted", timer_id="t"),
        E("ActivityTaskScheduled", activity_id="t"),
        E("TimerFired", started=7),
        E("WftScheduled"),
    )


async def test_timers_of_a_closed_workflow_do_not_fire(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 0.3), complete_workflow())
    other = Hand(env)
    await other.start()
    await other.step(start_timer("later", 0.6))
    await other.history_with("TimerFired")
    check(await hand.history(), *PROLOGUE, E("TimerStarted"), E("Completed"))


async def test_signals(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    await hand.signal("s", {"k": [1, None]}, header=header(h="v"))
    check(
        await hand.history(),
        *PROLOGUE,
        E("Signaled", signal_name="s", input=[{"k": [1, None]}], identity="signaller", header={"h": "v"}),
        E("WftScheduled"),
    )
    await hand.signal("without input")
    check_tail(await hand.history(), E("WftScheduled"), E("Signaled", signal_name="without input"))


async def test_the_run_id_may_be_left_out(env):
    hand = Hand(env)
    await hand.start()
    await hand.rpc.SignalWorkflowExecution(
        workflow_execution={"workflow_id": hand.workflow_id}, signal_name="s"
    )
    check(await hand.history(), E("Started"), E("WftScheduled"), E("Signaled", signal_name="s"))


async def test_signals_to_what_is_not_there(env):
    hand = Hand(env)
    with rejects(Code.NOT_FOUND):
        await hand.rpc.SignalWorkflowExecution(
            workflow_execution={"workflow_id": hand.workflow_id}, signal_name="s"
        )
    await hand.start()
    with rejects(Code.NOT_FOUND):
        await hand.rpc.SignalWorkflowExecution(
            signal_name="s",
            workflow_execution={
                "workflow_id": hand.workflow_id,
                "run_id": "01234567-89ab-4def-8123-456789abcdef",
            },
        )
    with rejects(Code.INVALID_ARGUMENT):
        await hand.signal("")
    await hand.step(complete_workflow())
    with rejects(Code.NOT_FOUND):
        await hand.signal("s")


async def test_many_signals_at_once_arrive_once_each(env):
    hand = Hand(env)
    await hand.start()
    await asyncio.gather(*[hand.signal("s", number) for number in range(200)])
    events = await hand.history()
    values = sorted(
        int(event.workflow_execution_signaled_event_attributes.input.payloads[0].data)
        for event in events
        if types([event]) == ["Signaled"]
    )
    assert values == list(range(200))


async def test_signals_keep_the_order_of_their_acknowledgements(env):
    hand = Hand(env)
    await hand.start()
    for number in range(30):
        await hand.signal("s", number)
    events = await hand.history()
    values = [
        int(event.workflow_execution_signaled_event_attributes.input.payloads[0].data)
        for event in events
        if types([event]) == ["Signaled"]
    ]
    assert values == list(range(30))


async def test_markers(env):
    hand = Hand(env)
    await hand.start()
    command = marker("LocalActivity", data={"id": 1}, result="r")
    command.record_marker_command_attributes.header.CopyFrom(header(h=1))
    command.record_marker_command_attributes.failure.message = "local failure"
    command.user_metadata.summary.CopyFrom(payload("what it is for"))
    await hand.step(command, marker("Version"), complete_workflow())
    events = await hand.history()
    check(
        events,
        *PROLOGUE,
        E(
            "MarkerRecorded",
            marker_name="LocalActivity",
            wftc=4,
            header={"h": 1},
            failure=dict(message="local failure"),
        ),
        E("MarkerRecorded", marker_name="Version"),
        E("Completed"),
    )
    details = attributes(events[4]).details
    assert details["data"] == payloads({"id": 1}) and details["result"] == payloads("r")
    assert events[4].user_metadata.summary == payload("what it is for")


@pytest.mark.parametrize("wait", [0.05, 1.0, 1.5])
async def test_precision(env, wait):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", wait))
    events = await hand.history_with("TimerFired")
    lasted = time_of(find(events, "TimerFired").event_time) - time_of(find(events, "TimerStarted").event_time)
    assert wait - 0.001 <= lasted < wait + 3
    assert seconds_of(attributes(find(events, "TimerStarted")).start_to_fire_timeout) == wait
