"""Reset: a run begins again from one of its workflow tasks, with what others have sent since."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from google.protobuf.any_pb2 import Any
from temporalio.api.protocol.v1 import message_pb2 as protocol_pb2
from temporalio.api.update.v1 import message_pb2 as update_pb2

from support.env import own_server, restart
from support.grpc_client import Code, rejects
from support.hand import (
    Hand,
    accept,
    complete_workflow,
    continue_as_new,
    marker,
    payloads,
    respond,
    start_child,
    start_timer,
    update_request,
)
from support.histories import (
    ABSENT,
    PRESENT,
    PROLOGUE,
    E,
    attributes,
    check,
    check_tail,
    expect,
    find_attributes,
    time_of,
    types,
)


async def reset(hand: Hand, event_id: int, run_id: str | None = None, **fields) -> str:
    answer = await hand.rpc.ResetWorkflowExecution(
        workflow_execution=hand.execution(hand.run_id if run_id is None else run_id),
        workflow_task_finish_event_id=event_id,
        reason=fields.pop("reason", "again"),
        request_id=fields.pop("request_id", str(uuid.uuid4())),
        **fields,
    )
    return answer.run_id


def packed(message) -> Any:
    body = Any()
    body.Pack(message)
    return body


def reset_failure(base: str, new: str, reason: str = "again", **more):
    return E(
        "WftFailed",
        cause="RESET_WORKFLOW",
        identity="history-service",
        base_run_id=base,
        new_run_id=new,
        fork_event_version=0,
        failure=dict(message=reason, source="", reset_workflow_failure_info=PRESENT),
        **more,
    )


async def test_a_running_workflow(env):
    hand = Hand(env)
    await hand.start(input=payloads("in"), workflow_run_timeout=1000, request_id="start-" + hand.workflow_id)
    base = hand.run_id
    await hand.step(hand.activity("a"), start_timer("t", 3600))
    await hand.signal("one", 1, request_id="signal-1")
    await hand.step()
    await hand.signal("two", 2, request_id="signal-2")
    before = await hand.history(base)
    new = await reset(hand, 4)
    assert new != base
    old = await hand.history(base)
    check_tail(old, E("Terminated", reason="again", identity="history-resetter", details=ABSENT))
    assert old[:-1] == before
    assert await hand.status(base) == "TERMINATED"
    events = await hand.history(new)
    assert events[:3] == before[:3]
    check(
        events,
        *PROLOGUE[:3],
        reset_failure(base, new, scheduled_event_id=2, started_event_id=3),
        E("Signaled", signal_name="one", input=[1], identity="signaller"),
        E("Signaled", signal_name="two", input=[2], identity="signaller"),
        E("WftScheduled", attempt=1),
    )
    expect((await hand.describe(base)).workflow_extended_info, reset_run_id=new)
    described = await hand.describe(new)
    expect(described.workflow_execution_info, status="RUNNING", first_run_id=base, history_length=7)
    extended = described.workflow_extended_info
    expect(extended, reset_run_id="", last_reset_time=PRESENT)
    assert time_of(extended.original_start_time) == time_of(events[0].event_time)
    assert time_of(extended.last_reset_time) == time_of(described.workflow_execution_info.start_time)
    assert time_of(extended.last_reset_time) > time_of(extended.original_start_time)
    expiration = time_of(extended.run_expiration_time) - time_of(extended.last_reset_time)
    assert 999 < expiration < 1001, "the run timeout begins again"
    assert not described.pending_activities
    task = await hand.poll()
    assert task.workflow_execution.run_id == new and task.attempt == 1 and task.previous_started_event_id == 0
    assert [event.event_id for event in task.history.events] == list(range(1, 9))
    await hand.complete(task, complete_workflow("done"))
    check_tail(await hand.history(new), E("WftCompleted"), E("Completed", result=["done"]))
    assert await hand.status("") == "COMPLETED"


async def test_the_history_reads_in_every_way(env):
    hand = Hand(env)
    await hand.start()
    for number in range(4):
        await hand.step(start_timer(f"t{number}", 3600))
        await hand.signal("s", number)
    base = hand.run_id
    await hand.step()
    first = await reset(hand, 14)
    await hand.step(start_timer("more", 3600))
    second = await reset(hand, 9, first)
    await hand.step(complete_workflow("end"))
    base_events = await hand.history(base)
    first_events = await hand.history(first)
    events = await hand.history(second)
    assert first_events[:13] == base_events[:13] and events[:8] == base_events[:8]
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    for run_id, whole in ((first, first_events), (second, events)):
        reverse = await hand.rpc.GetWorkflowExecutionHistoryReverse(
            execution=hand.execution(run_id), maximum_page_size=256
        )
        assert list(reverse.history.events) == whole[::-1]
        for method, wanted in (
            (hand.rpc.GetWorkflowExecutionHistory, whole),
            (hand.rpc.GetWorkflowExecutionHistoryReverse, whole[::-1]),
        ):
            pages, token = [], b""
            while True:
                page = await method(
                    execution=hand.execution(run_id), maximum_page_size=2, next_page_token=token
                )
                pages += page.history.events
                token = page.next_page_token
                if not token:
                    break
            assert pages == wanted
    closing = await hand.rpc.GetWorkflowExecutionHistory(
        execution=hand.execution(second), history_event_filter_type="HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"
    )
    assert list(closing.history.events) == events[-1:]


async def test_a_scheduled_task_gets_a_start(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    base = hand.run_id
    new = await reset(hand, 3)
    check(
        await hand.history(new),
        *PROLOGUE[:2],
        E("WftStarted", scheduled_event_id=2, identity="history-service"),
        reset_failure(base, new, scheduled_event_id=2, started_event_id=3),
        E("WftScheduled", attempt=1),
    )


async def test_pending_activities_and_timers(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(
        hand.activity("waits", schedule_to_close_timeout=500),
        hand.activity("runs", heartbeat_timeout=100),
        start_timer("t", 1000),
    )
    running = await hand.poll_activity()
    other = await hand.poll_activity()
    await hand.heartbeat(running, "half")
    await hand.signal("go")
    await hand.step(complete_workflow())
    base = hand.run_id
    timer = find_attributes(await hand.history(base), "TimerStarted")
    assert timer.timer_id == "t"
    new = await reset(hand, 11)
    check_tail(
        await hand.history(new),
        E("TimerStarted"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        reset_failure(base, new),
        E("WftScheduled"),
    )
    described = await hand.describe(new)
    started = time_of(described.workflow_execution_info.start_time)
    pending = {info.activity_id: info for info in described.pending_activities}
    for info in pending.values():
        expect(info, state="SCHEDULED", attempt=1, heartbeat_details=ABSENT)
        assert abs(time_of(info.scheduled_time) - started) < 1
    assert set(pending) == {"waits", "runs"}
    for task in (running, other):
        with rejects(Code.NOT_FOUND):
            await hand.complete_activity(task, "of the old run")
    again = [await hand.poll_activity(), await hand.poll_activity()]
    assert {task.activity_id for task in again} == {"waits", "runs"}
    assert all(task.workflow_execution.run_id == new and task.attempt == 1 for task in again)
    for task in again:
        await hand.complete_activity(task, task.activity_id)
    task = await hand.poll()
    await hand.complete(task, complete_workflow())
    assert types(await hand.history(new)).count("ActivityTaskCompleted") == 2


async def test_a_timer_keeps_its_time(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 3))
    await hand.signal("go")
    await hand.step()
    started = find_started(await hand.history())
    new = await reset(hand, 9)
    events = await hand.history_with("TimerFired", 1, new)
    fired = next(event for event in events if types([event]) == ["TimerFired"])
    assert -0.001 <= time_of(fired.event_time) - started - 3 < 2


def find_started(events):
    return next(time_of(event.event_time) for event in events if types([event]) == ["TimerStarted"])


async def test_closed_runs_and_runs_reset_before(env):
    hand = Hand(env)
    await hand.start()
    await hand.signal("s", 1)
    await hand.step(complete_workflow("first end"))
    base = hand.run_id
    first = await reset(hand, 5)
    check(
        await hand.history(first),
        E("Started"),
        E("WftScheduled"),
        E("Signaled"),
        E("WftStarted"),
        reset_failure(base, first),
        E("WftScheduled"),
    )
    assert await hand.status(base) == "COMPLETED"
    second = await reset(hand, 5, base, reason="third time")
    check_tail(await hand.history(first), E("Terminated", reason="third time", identity="history-resetter"))
    check_tail(await hand.history(second), reset_failure(base, second, "third time"), E("WftScheduled"))
    expect((await hand.describe(base)).workflow_extended_info, reset_run_id=second)
    expect((await hand.describe(first)).workflow_extended_info, reset_run_id="")
    await hand.step(complete_workflow("second end"))
    assert await hand.status(second) == "COMPLETED"
    third = await reset(hand, 5, first)
    check_tail(await hand.history(third), reset_failure(first, third), E("WftScheduled"))


async def test_a_run_reset_to_before_its_own_beginning(env):
    """Nothing of the second run is in the third; what comes of the third is made of the first and of that."""
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("of the first", 3600))
    await hand.signal("one")
    await hand.step()
    second = await reset(hand, 9)
    third = hand.run_id = await reset(hand, 4, second)
    await hand.step(start_timer("of the third", 3600))
    await hand.signal("two")
    await hand.step()
    begun = (
        *PROLOGUE[:3],
        reset_failure(second, third),
        E("Signaled", signal_name="one"),
        E("WftScheduled"),
        E("WftStarted"),
    )
    fourth = await reset(hand, 8, third)
    check(
        await hand.history(fourth),
        *begun,
        reset_failure(third, fourth),
        E("Signaled", signal_name="two"),
        E("WftScheduled"),
    )
    fifth = await reset(hand, 13, third)
    check(
        await hand.history(fifth),
        *begun,
        E("WftCompleted"),
        E("TimerStarted", timer_id="of the third"),
        E("Signaled", signal_name="two"),
        E("WftScheduled"),
        E("WftStarted"),
        reset_failure(third, fifth),
        E("WftScheduled"),
    )
    await hand.step(complete_workflow("end"))
    check_tail(await hand.history(fifth), E("Completed", result=["end"]))


async def test_signals_along_the_chain(env):
    hand = Hand(env)
    await hand.start()
    base = hand.run_id
    await hand.signal("s", "in the kept part")
    await hand.step()
    hand.run_id = ""
    await hand.signal("s", 1)
    await hand.step(continue_as_new("type", hand.queue))
    await hand.signal("s", 2)
    await hand.step(continue_as_new("type", hand.queue))
    await hand.signal("s", 3)
    task = await hand.poll()
    await hand.signal("s", "buffered")
    new = await reset(hand, 5, base)
    events = await hand.history(new)
    check(
        events,
        E("Started"),
        E("WftScheduled"),
        E("Signaled", input=["in the kept part"]),
        E("WftStarted"),
        reset_failure(base, new),
        E("Signaled", input=[1]),
        E("Signaled", input=[2]),
        E("Signaled", input=[3]),
        E("Signaled", input=["buffered"]),
        E("WftScheduled"),
    )
    check_tail(
        await hand.history(task.workflow_execution.run_id),
        E("WftFailed", cause="FORCE_CLOSE_COMMAND"),
        E("Signaled", input=["buffered"]),
        E("Terminated", identity="history-resetter"),
    )
    expect((await hand.describe(base)).workflow_extended_info, reset_run_id=new)
    assert await hand.status("") == "RUNNING"
    with rejects(Code.NOT_FOUND):
        await hand.complete(task)


@pytest.mark.parametrize(
    "fields",
    [
        dict(reset_reapply_exclude_types=["RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL"]),
        dict(reset_reapply_type="RESET_REAPPLY_TYPE_NONE"),
    ],
    ids=["exclude", "none"],
)
async def test_without_signals(env, fields):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    await hand.signal("s")
    base = hand.run_id
    new = await reset(hand, 4, **fields)
    check(await hand.history(new), *PROLOGUE[:3], reset_failure(base, new), E("WftScheduled"))


@pytest.mark.ours("there a signal that was applied again can come once more")
async def test_signals_that_come_with_a_seen_request_id(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    await hand.signal("s", request_id="once")
    new = await reset(hand, 4)
    hand.run_id = new
    await hand.signal("s", request_id="once")
    assert types(await hand.history(new)).count("Signaled") == 1


async def test_what_cannot_be_reset(env):
    hand = Hand(env)
    await hand.start()
    base = hand.run_id
    await hand.step(hand.activity("a"), start_timer("t", 3600))
    before = await hand.history()
    for event_id in (-1, 0, 1, 2, 5, 6, 7, 100):
        with rejects(Code.INVALID_ARGUMENT):
            await reset(hand, event_id)
    with rejects(Code.INVALID_ARGUMENT):
        await reset(hand, 4, request_id="")
    with rejects(Code.INVALID_ARGUMENT):
        await reset(hand, 4, request_id="r" * 1001)
    with rejects(Code.INVALID_ARGUMENT):
        await reset(hand, 4, "no uuid")
    with rejects(Code.NOT_FOUND):
        await reset(hand, 4, str(uuid.uuid4()))
    other = Hand(env)
    with rejects(Code.NOT_FOUND):
        await reset(other, 4, "")
    assert await hand.history() == before and await hand.status(base) == "RUNNING"


@pytest.mark.ours("a repeated reset resets once more there")
async def test_a_repeated_reset(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    request_id = str(uuid.uuid4())
    new = await reset(hand, 4, request_id=request_id)
    assert await reset(hand, 4, request_id=request_id) == new
    assert await reset(hand, 4, "", request_id=request_id) == new
    assert await reset(hand, 4) != new


async def test_the_start_id_and_the_chain_stay(env):
    hand = Hand(env)
    await hand.start(request_id="start-" + hand.workflow_id)
    base = hand.run_id
    await hand.step()
    new = await reset(hand, 4)
    again = await hand.rpc.StartWorkflowExecution(
        **hand.start_fields(request_id="start-" + hand.workflow_id)
    )
    assert again.run_id == new and again.started
    await hand.cancel(first_execution_run_id=base)
    await hand.terminate(first_execution_run_id=base)
    assert await hand.status(new) == "TERMINATED"


async def test_reset_points(env):
    hand = Hand(env)
    await hand.start()
    base = hand.run_id
    await hand.step(binary_checksum="one")
    await hand.signal("s")
    await hand.step(binary_checksum="two")
    await hand.signal("s")
    await hand.step(binary_checksum="one")
    points = (await hand.describe()).workflow_execution_info.auto_reset_points.points
    assert [(p.binary_checksum, p.run_id, p.first_workflow_task_completed_id) for p in points] == [
        ("one", base, 4),
        ("two", base, 8),
    ]
    assert all(p.resettable and not p.HasField("expire_time") for p in points)
    new = await reset(hand, 8)
    points = (await hand.describe(new)).workflow_execution_info.auto_reset_points.points
    assert [(p.binary_checksum, p.run_id, p.first_workflow_task_completed_id) for p in points] == [
        ("one", new, 4),
    ]
    await hand.step(continue_as_new("type", hand.queue), binary_checksum="three")
    points = (await hand.describe("")).workflow_execution_info.auto_reset_points.points
    assert [(p.binary_checksum, p.run_id, p.resettable, p.HasField("expire_time")) for p in points] == [
        ("one", new, True, True),
        ("three", new, True, True),
    ]


async def test_a_waiting_reader_sees_the_end(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    waiting = asyncio.create_task(
        hand.rpc.GetWorkflowExecutionHistory(
            execution=hand.execution(),
            wait_new_event=True,
            history_event_filter_type="HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT",
            _seconds=30,
        )
    )
    await hand.signal("s")  # so that the wait has begun, most likely
    await reset(hand, 4)
    closing = await waiting
    assert types(closing.history.events) == ["Terminated"]


async def test_a_long_history(env):
    hand = Hand(env)
    await hand.start()
    for _ in range(20):
        await hand.step(*[marker("m", text="x" * 50) for _ in range(495)])
        await hand.signal("s")
    base = hand.run_id
    before = await hand.history(base)
    ends = [event.event_id for event in before if types([event]) == ["WftCompleted"]]
    assert len(before) > 9900
    late = await reset(hand, ends[-1], base)
    events = await hand.history(late)
    assert events[: ends[-1] - 1] == before[: ends[-1] - 1]
    check_tail(events, reset_failure(base, late), E("Signaled"), E("WftScheduled"))
    early = await reset(hand, ends[0], late)
    assert types(await hand.history(early)).count("Signaled") == 20
    task = await hand.poll()
    await hand.complete(task, complete_workflow("end"))
    assert (await hand.describe(early)).workflow_execution_info.history_length == 3 + 1 + 20 + 4


@pytest.mark.crash
async def test_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start(input=payloads("in"))
        base = hand.run_id
        await hand.step(hand.activity("a"), start_timer("t", 3600))
        await hand.signal("one")
        await hand.step()
        await restart(server)
        first = await reset(hand, 9)
        events = await hand.history(first)
        await restart(server)
        assert await hand.history(first) == events
        assert [info.activity_id for info in (await hand.describe(first)).pending_activities] == ["a"]
        expect((await hand.describe(base)).workflow_extended_info, reset_run_id=first)
        assert await hand.status(base) == "TERMINATED"
        await hand.complete_activity(await hand.poll_activity(), "after the crash")
        task = await hand.poll()
        await restart(server)
        await hand.complete(task, start_timer("u", 3600))
        second = await reset(hand, 4, first)
        await restart(server)
        check(
            await hand.history(second),
            *PROLOGUE[:3],
            reset_failure(first, second),
            E("Signaled", signal_name="one"),
            E("WftScheduled"),
        )
        await hand.step(complete_workflow("end"))
        await restart(server)
        check_tail(await hand.history(""), E("Completed", result=["end"]))
        assert attributes((await hand.history(second))[3]).base_run_id == first


INITIATED = "StartChildWorkflowExecutionInitiated"
CHILD_STARTED = "ChildWorkflowExecutionStarted"
CHILD_COMPLETED = "ChildWorkflowExecutionCompleted"


async def parent_of(env, child: Hand) -> Hand:
    """A parent that has been told that its child has started."""
    parent = Hand(env)
    await parent.start()
    await parent.step(start_child(child.workflow_id, child.queue))
    await parent.history_with(CHILD_STARTED)
    return parent


async def test_a_child_that_is_pending_tells_the_new_run(env):
    child = Hand(env)
    parent = await parent_of(env, child)
    await parent.step()  # 7 to 9
    await parent.signal("s")
    base = parent.run_id
    new = await reset(parent, 9)
    assert await child.status("") == "RUNNING", "a reset is no end of the parent"
    pending = (await parent.describe(new)).pending_children
    assert [info.workflow_id for info in pending] == [child.workflow_id]
    await child.step(complete_workflow("done"))
    parent.run_id = new
    events = await parent.history_with(CHILD_COMPLETED)
    check_tail(
        events,
        E("WftStarted"),
        reset_failure(base, new),
        E("Signaled"),
        E("WftScheduled"),
        E(CHILD_COMPLETED, initiated_event_id=5, started_event_id=6, result=["done"]),
    )
    await parent.step(complete_workflow())
    assert await parent.status() == "COMPLETED"


async def test_what_became_of_children_is_applied_again(env):
    first, second = Hand(env), Hand(env)
    parent = Hand(env)
    await parent.start()
    await parent.step(*[start_child(child.workflow_id, child.queue) for child in (first, second)])
    await parent.history_with(CHILD_STARTED, 2)
    await first.step(complete_workflow("first"))
    await parent.history_with(CHILD_COMPLETED)
    await parent.step()
    await parent.signal("s")
    completed = [e.event_id for e in await parent.history() if types([e]) == ["WftCompleted"]]
    base = parent.run_id
    started = [e.event_id for e in await parent.history() if types([e]) == ["WftScheduled"]][1] + 1
    new = await reset(parent, completed[1])
    parent.run_id = new
    events = await parent.history()
    # Wherever the cut is, each start and each end of a child is there once.
    assert types(events).count(CHILD_STARTED) == 2 and types(events).count(CHILD_COMPLETED) == 1
    assert [i.workflow_id for i in (await parent.describe()).pending_children] == [second.workflow_id]
    assert started <= completed[1]
    await second.step(complete_workflow("second"))
    await parent.history_with(CHILD_COMPLETED, 2)
    ended = find_attributes(await parent.history(), CHILD_COMPLETED)
    expect(ended, result=["first"])
    assert base != new


async def test_children_that_ended_after_the_cut(env):
    child = Hand(env)
    parent = await parent_of(env, child)
    await parent.step()  # 7 to 9
    await child.step(complete_workflow("early"))
    await parent.history_with(CHILD_COMPLETED)
    await parent.step()
    base = parent.run_id
    new = await reset(parent, 9)
    parent.run_id = new
    check_tail(
        await parent.history(),
        E("WftStarted"),
        reset_failure(base, new),
        E(CHILD_COMPLETED, initiated_event_id=5, started_event_id=6, result=["early"]),
        E("WftScheduled"),
    )
    assert not (await parent.describe()).pending_children


async def test_a_child_that_is_reset_tells_its_parent(env):
    child = Hand(env)
    parent = await parent_of(env, child)
    await child.step()
    child.run_id = ""
    await child.signal("s")
    new = await reset(child, 4, "")
    task = await child.poll()
    assert task.workflow_execution.run_id == new
    await child.complete(task, complete_workflow("again"))
    events = await parent.history_with(CHILD_COMPLETED)
    assert "ChildWorkflowExecutionTerminated" not in types(events)
    completed = find_attributes(events, CHILD_COMPLETED)
    expect(completed, initiated_event_id=5, started_event_id=6, result=["again"])
    assert completed.workflow_execution.run_id == new


async def test_a_child_of_a_reset_parent_over_a_second_reset(env):
    child = Hand(env)
    parent = await parent_of(env, child)
    await parent.step()
    base = parent.run_id
    first = await reset(parent, 9)
    second = await reset(parent, 9, base)
    third = await reset(parent, 9, second)
    assert len({base, first, second, third}) == 4
    await child.step(complete_workflow("once"))
    parent.run_id = third
    events = await parent.history_with(CHILD_COMPLETED)
    assert types(events).count(CHILD_COMPLETED) == 1


async def test_updates_are_admitted_again(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    await hand.signal("s", 1)
    await hand.step()
    updating = hand.updating("up", 1, id="u")
    task = await hand.poll()
    request = update_request(task.messages[0])
    await hand.answer(task, accept(task.messages[0]), respond("u", "old"))
    await updating
    base = hand.run_id
    without = await reset(hand, 4, reset_reapply_exclude_types=["RESET_REAPPLY_EXCLUDE_TYPE_UPDATE"])
    check_tail(await hand.history(without), reset_failure(base, without), E("Signaled"), E("WftScheduled"))
    new = await reset(hand, 4, base)
    hand.run_id = new
    check(
        await hand.history(),
        *PROLOGUE[:3],
        reset_failure(base, new),
        E("Signaled", input=[1]),
        E("UpdateAdmitted", origin="REAPPLY", request=request),
        E("WftScheduled", attempt=1),
    )
    # It is there, and its old outcome is the old run's.
    polled = await hand.poll_update("u", run_id=new)
    assert not polled.HasField("outcome")
    assert (await hand.poll_update("u", run_id=base)).outcome.success == payloads("old")
    task = await hand.poll()
    assert [message.protocol_instance_id for message in task.messages] == []
    accepted = protocol_pb2.Message(
        id="u/accept",
        protocol_instance_id="u",
        body=packed(
            update_pb2.Acceptance(
                accepted_request_message_id="u/request", accepted_request_sequencing_event_id=6
            )
        ),
    )
    joined = hand.updating("up", 1, id="u")
    await hand.answer(task, accepted, respond("u", "new"))
    assert (await joined).outcome.success == payloads("new")
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("UpdateAccepted", protocol_instance_id="u"),
        E("UpdateCompleted", meta=dict(update_id="u")),
    )
    # An update that was admitted by an event is admitted once when that run is reset.
    again = await reset(hand, 4, new)
    assert types(await hand.history(again)).count("UpdateAdmitted") == 1


async def test_who_waits_for_an_update_is_told_of_a_reset(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    accepted = hand.updating("up", id="accepted")
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]))
    waiting = hand.updating("up", id="waiting")
    await hand.poll()
    new = await reset(hand, 4)
    failed = (await accepted).outcome.failure
    assert failed.message.startswith("Workflow Update failed because the Workflow completed before")
    with rejects(Code.NOT_FOUND):
        await waiting
    assert types(await hand.history(new)).count("UpdateAdmitted") == 1
