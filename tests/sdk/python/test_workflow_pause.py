"""Pausing a whole run: no worker gets a task of it until the pause ends, and nothing that happens meanwhile is lost."""

from __future__ import annotations

import pytest

from support.grpc_client import Code, already_started, not_found, rejects
from support.hand import (
    IDENTITY,
    Hand,
    accept,
    complete_workflow,
    failure,
    marker,
    respond,
    retry_policy,
    start_timer,
)
from support.histories import ABSENT, PRESENT, PROLOGUE, E, check, expect, payload_value, types


async def pause(hand: Hand, **fields: object):
    given = {"reason": "look at it", "request_id": "p1"} | {"run_id": hand.run_id} | fields
    return await hand.rpc.PauseWorkflowExecution(workflow_id=hand.workflow_id, identity="operator", **given)


async def unpause(hand: Hand, **fields: object):
    given = {"reason": "seen it", "request_id": "u1"} | {"run_id": hand.run_id} | fields
    return await hand.rpc.UnpauseWorkflowExecution(workflow_id=hand.workflow_id, identity="operator", **given)


async def no_task(hand: Hand) -> None:
    """Neither kind of task is handed out: polls that end by themselves come back empty."""
    task = await hand.rpc.PollWorkflowTaskQueue(
        _seconds=3, task_queue={"name": hand.queue}, identity=IDENTITY
    )
    activity = await hand.rpc.PollActivityTaskQueue(
        _seconds=3, task_queue={"name": hand.queue}, identity=IDENTITY
    )
    assert not task.task_token and not activity.task_token


async def pause_info(hand: Hand):
    fields = (await hand.describe()).workflow_execution_info.search_attributes.indexed_fields
    return payload_value(fields["TemporalPauseInfo"]) if "TemporalPauseInfo" in fields else None


async def idle(env) -> Hand:
    """A run that waits for something, without any pending task."""
    hand = Hand(env)
    await hand.start()
    await hand.step()
    return hand


async def test_pause_and_unpause(env):
    hand = await idle(env)
    await pause(hand)
    described = await hand.describe()
    assert await hand.status() == "PAUSED"
    expect(described.workflow_execution_info, close_time=ABSENT)
    expect(
        described.workflow_extended_info.pause_info,
        identity="operator",
        reason="look at it",
        paused_time=PRESENT,
    )
    assert await pause_info(hand) == [f"Workflow:{hand.workflow_id}", "Reason:look at it"]
    check(
        await hand.history(),
        *PROLOGUE,
        E("Paused", identity="operator", reason="look at it", request_id="p1"),
    )
    await hand.signal("one")
    await hand.signal("two")
    await no_task(hand)
    await unpause(hand)
    assert await hand.status() == "RUNNING"
    expect((await hand.describe()).workflow_extended_info, pause_info=ABSENT)
    assert not await pause_info(hand)
    task = await hand.poll()
    await hand.complete(task, complete_workflow())
    check(
        await hand.history(),
        *PROLOGUE,
        E("Paused"),
        E("Signaled", signal_name="one"),
        E("Signaled", signal_name="two"),
        E("Unpaused", identity="operator", reason="seen it", request_id="u1"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


async def test_an_unpause_always_asks_the_workflow(env):
    hand = await idle(env)
    await pause(hand)
    await unpause(hand)
    check(await hand.history(), *PROLOGUE, E("Paused"), E("Unpaused"), E("WftScheduled"))
    await hand.step(complete_workflow())


@pytest.mark.ours("it writes other events for it")
async def test_a_waiting_task_is_held_back(env):
    hand = Hand(env)
    await hand.start()
    await pause(hand)
    await no_task(hand)
    expect((await hand.describe()).pending_workflow_task, state="SCHEDULED")
    await unpause(hand)
    await hand.step(complete_workflow())
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("Paused"),
        E("Unpaused"),
        E("WftStarted", scheduled=2),
        E("WftCompleted"),
        E("Completed"),
    )


@pytest.mark.ours("a task follows while it is paused there")
async def test_a_task_in_a_workers_hands_may_complete(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await pause(hand)
    assert await hand.status() == "PAUSED"
    check(await hand.history(), *PROLOGUE[:3])
    await hand.complete(task, marker("m"), hand.activity("a"))
    check(await hand.history(), *PROLOGUE, E("MarkerRecorded"), E("ActivityTaskScheduled"), E("Paused"))
    await no_task(hand)
    await unpause(hand)
    await hand.complete_activity(await hand.poll_activity())
    await hand.step(complete_workflow())


@pytest.mark.ours("a task follows while it is paused there")
async def test_a_pause_blocks_a_close_that_was_decided_without_it(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await pause(hand)
    with rejects(Code.INVALID_ARGUMENT, text="UnhandledCommand"):
        await hand.complete(task, complete_workflow())
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed", cause="UNHANDLED_COMMAND"), E("Paused"))
    await unpause(hand)
    await hand.step(complete_workflow())
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed"),
        E("Paused"),
        E("Unpaused"),
        E("WftScheduled", attempt=1),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


@pytest.mark.ours("a task follows while it is paused there")
async def test_no_new_task_is_forced(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await pause(hand)
    with rejects(Code.FAILED_PRECONDITION):
        await hand.complete(task, force_create_new_workflow_task=True)
    await hand.complete(task)
    await no_task(hand)
    await hand.terminate()


async def test_a_pause_and_its_end_while_a_task_runs(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await pause(hand)
    await unpause(hand)
    assert await hand.status() == "RUNNING"
    check(await hand.history(), *PROLOGUE[:3])
    await hand.complete(task, marker("m"))
    check(await hand.history(), *PROLOGUE, E("MarkerRecorded"), E("Paused"), E("Unpaused"), E("WftScheduled"))
    await hand.step(complete_workflow())


@pytest.mark.ours("its task goes on as a transient one there")
async def test_a_task_that_fails_while_paused(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await pause(hand)
    await hand.fail(task)
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed"), E("Paused"))
    await no_task(hand)
    await unpause(hand)
    await hand.step(complete_workflow())
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed"),
        E("Paused"),
        E("Unpaused"),
        E("WftScheduled", attempt=1),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


@pytest.mark.ours("they are handed out there")
async def test_activities_are_held_back(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(
        hand.activity("started", retry_policy=retry_policy(initial_interval=0.1)),
        hand.activity("waiting"),
    )
    tasks = {}
    task = await hand.poll_activity()
    tasks[task.activity_id] = task
    await pause(hand)
    first = next(iter(tasks))
    states = {info.activity_id: info.paused for info in (await hand.describe()).pending_activities}
    assert states == {"started": False, "waiting": False}
    await hand.fail_activity(tasks[first], failure("f1"))
    await no_task(hand)
    await unpause(hand)
    attempts = {}
    for _ in range(2):
        task = await hand.poll_activity()
        attempts[task.activity_id] = task.attempt
        await hand.complete_activity(task)
    assert attempts == {first: 2, ({"started", "waiting"} - {first}).pop(): 1}
    await hand.terminate()


async def test_an_activity_may_complete_while_paused(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"))
    task = await hand.poll_activity()
    await pause(hand)
    await hand.complete_activity(task, "out")
    check(
        await hand.history(),
        *PROLOGUE,
        E("ActivityTaskScheduled"),
        E("Paused"),
        E("ActivityTaskStarted"),
        E("ActivityTaskCompleted", result=["out"]),
    )
    await unpause(hand)
    check(await hand.history(), *PROLOGUE, *[E(name) for name in types(await hand.history())[4:]])
    assert types(await hand.history())[-2:] == ["Unpaused", "WftScheduled"]
    await hand.step(complete_workflow())


async def test_a_paused_activity_stays_paused(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"))
    await hand.rpc.PauseActivity(execution=hand.execution(), id="a", identity="operator")
    await pause(hand)
    assert sorted(await pause_info(hand)) == sorted(
        [f"Workflow:{hand.workflow_id}", "Reason:look at it", "property:activityType=work"]
    )
    await unpause(hand)
    await hand.step()
    await no_task(hand)
    [info] = (await hand.describe()).pending_activities
    expect(info, state="PAUSED")
    assert await pause_info(hand) == ["property:activityType=work"]
    await hand.rpc.UnpauseActivity(execution=hand.execution(), id="a")
    await hand.complete_activity(await hand.poll_activity())
    await hand.step(complete_workflow())


@pytest.mark.ours("long polls of the history take it for closed there")
@pytest.mark.ours("it writes other events for it")
async def test_an_update_that_waits_for_a_worker(env):
    """The speculative task that would bring it becomes a real one when the pause comes, and waits with everything else."""
    hand = await idle(env)
    updating = hand.updating("up", 1)
    while len(await hand.history(as_cli=False)) < 5:  # the task is not written, but shown
        pass
    await pause(hand)
    check(await hand.history(), *PROLOGUE, E("WftScheduled"), E("Paused"))
    with rejects(Code.FAILED_PRECONDITION):
        await hand.update("up", 2, id="v")
    await no_task(hand)
    await unpause(hand)
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), respond("u", "done"))
    assert (await updating).outcome.HasField("success")
    check(
        await hand.history(),
        *PROLOGUE,
        E("WftScheduled"),
        E("Paused"),
        E("Unpaused"),
        E("WftStarted", scheduled=5),
        E("WftCompleted"),
        E("UpdateAccepted"),
        E("UpdateCompleted"),
    )
    await hand.terminate()


@pytest.mark.ours("a task follows while it is paused there")
async def test_an_update_in_a_workers_hands(env):
    hand = await idle(env)
    updating = hand.updating("up", 1)
    task = await hand.poll()
    await pause(hand)
    await hand.answer(task, accept(task.messages[0]), respond("u", "done"))
    assert (await updating).outcome.HasField("success")
    check(
        await hand.history(),
        *PROLOGUE,
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("UpdateAccepted"),
        E("UpdateCompleted"),
        E("Paused"),
    )
    await no_task(hand)
    await unpause(hand)
    await hand.step(complete_workflow())


async def test_reset_of_a_paused_run(env):
    hand = await idle(env)
    before = hand.run_id
    await hand.signal("s")
    await pause(hand)
    hand.run_id = (
        await hand.rpc.ResetWorkflowExecution(
            workflow_execution=hand.execution(),
            reason="again",
            workflow_task_finish_event_id=4,
            request_id=env.name("request"),
        )
    ).run_id
    assert await hand.status(before) == "TERMINATED" and await hand.status() == "RUNNING"
    expect((await hand.describe()).workflow_extended_info, pause_info=ABSENT)
    await hand.step(complete_workflow())
    assert "Paused" not in types(await hand.history())


@pytest.mark.ours("it writes other events for it")
@pytest.mark.parametrize("point", [5, 6, 13])
async def test_reset_over_a_pause_that_is_over(env, point):
    hand = Hand(env)
    await hand.start()
    await pause(hand)
    await unpause(hand)
    await hand.step(hand.activity("a"))
    await pause(hand)
    await unpause(hand)
    await hand.step(marker("m"))
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("Paused"),
        E("Unpaused"),
        E("WftStarted"),
        E("WftCompleted"),
        E("ActivityTaskScheduled"),
        E("Paused"),
        E("Unpaused"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("MarkerRecorded"),
    )
    hand.run_id = (
        await hand.rpc.ResetWorkflowExecution(
            workflow_execution=hand.execution(),
            reason="again",
            workflow_task_finish_event_id=min(point, 12),
            request_id=env.name("request"),
        )
    ).run_id
    assert await hand.status() == "RUNNING"
    if point > 6:
        await hand.complete_activity(await hand.poll_activity())
    await hand.step(complete_workflow())
    seen = types(await hand.history())
    assert seen.count("Paused") == seen.count("Unpaused") == (1 if point <= 6 else 2)


async def test_timers_fire_while_paused(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 0.3))
    await pause(hand)
    events = await hand.history_with("TimerFired")
    assert types(events)[-1] == "TimerFired"
    await no_task(hand)
    await unpause(hand)
    await hand.step(complete_workflow())


@pytest.mark.ours("long polls of the history take it for closed there")
async def test_the_run_timeout_goes_on(env):
    hand = Hand(env)
    await hand.start(workflow_run_timeout=3)
    await hand.step()
    await pause(hand)
    events = await hand.history_with("TimedOut")
    check(events, *PROLOGUE, E("Paused"), E("TimedOut"))
    assert await hand.status() == "TIMED_OUT"


async def test_queries_are_rejected(env):
    hand = await idle(env)
    await pause(hand)
    answer = await hand.query("q")
    assert answer.query_rejected.status == 8  # PAUSED
    await hand.terminate()


async def test_terminate_and_cancel(env):
    hand = await idle(env)
    await pause(hand)
    await hand.cancel()
    check(await hand.history(), *PROLOGUE, E("Paused"), E("CancelRequested"))
    await no_task(hand)
    await hand.terminate()
    check(await hand.history(), *PROLOGUE, E("Paused"), E("CancelRequested"), E("Terminated"))
    assert await hand.status() == "TERMINATED"
    with rejects(Code.NOT_FOUND, not_found):
        await unpause(hand)
    with rejects(Code.NOT_FOUND, not_found):
        await pause(hand)


async def test_start_policies_take_it_for_open(env):
    hand = await idle(env)
    await pause(hand)
    with rejects(Code.ALREADY_EXISTS, already_started):
        await hand.rpc.StartWorkflowExecution(**hand.start_fields())
    used = await hand.rpc.StartWorkflowExecution(
        **hand.start_fields(workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING")
    )
    assert used.run_id == hand.run_id and not used.started
    before = hand.run_id
    await hand.signal_with_start("s")
    assert hand.run_id == before and await hand.status() == "PAUSED"
    await no_task(hand)
    await hand.start(workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING")
    assert hand.run_id != before and await hand.status(before) == "TERMINATED"
    await hand.terminate()


async def test_repeated_requests(env):
    hand = await idle(env)
    with rejects(Code.FAILED_PRECONDITION):
        await unpause(hand)
    await pause(hand)
    await pause(hand)
    with rejects(Code.FAILED_PRECONDITION):
        await pause(hand, request_id="p2")
    check(await hand.history(), *PROLOGUE, E("Paused"))
    await unpause(hand)
    with rejects(Code.FAILED_PRECONDITION):
        await unpause(hand)
    await hand.terminate()


async def test_bad_requests(env):
    hand = await idle(env)
    for fields in ({"reason": "x" * 1001}, {"request_id": "x" * 1001}, {"run_id": "x"}):
        for call in (pause, unpause):
            with rejects(Code.INVALID_ARGUMENT):
                await call(hand, **fields)
    with rejects(Code.NOT_FOUND):
        await hand.rpc.PauseWorkflowExecution(workflow_id=env.name("unknown"))
    await hand.terminate()


@pytest.mark.ours("Internal there")
async def test_a_start_delay_ends_while_paused(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=0.3)
    await pause(hand)
    await no_task(hand)
    await unpause(hand)
    await hand.step(complete_workflow())
    check(
        await hand.history(),
        E("Started"),
        E("Paused"),
        E("Unpaused"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


@pytest.mark.ours("Internal there")
async def test_an_end_of_the_pause_does_not_end_a_start_delay(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=3600)
    await pause(hand)
    await unpause(hand)
    check(await hand.history(), E("Started"), E("Paused"), E("Unpaused"))
    await hand.terminate()


async def test_lists_show_it(env):
    hand = await idle(env)
    await pause(hand)

    async def listed(status: str):
        found = await hand.rpc.ListWorkflowExecutions(
            query=f"WorkflowId = '{hand.workflow_id}' AND ExecutionStatus = '{status}'"
        )
        return [info.status for info in found.executions]

    async def paused():
        return await listed("Paused")

    async def running():
        return await listed("Running")

    await env.visible(paused, [8])
    await env.visible(running, [])
    execution = {"workflow_id": hand.workflow_id}
    opened = await hand.rpc.ListOpenWorkflowExecutions(execution_filter=execution)
    assert [info.status for info in opened.executions] == [8]
    assert not (await hand.rpc.ListClosedWorkflowExecutions(execution_filter=execution)).executions
    await unpause(hand)
    await env.visible(paused, [])
    await env.visible(running, [1])
    await hand.terminate()
