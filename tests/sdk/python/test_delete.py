"""Delete: a run and all that belongs to it is gone, and nothing else."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from support.env import own_server, restart
from support.grpc_client import Code, rejects
from support.hand import Hand, complete_workflow, continue_as_new, start_timer
from support.histories import PROLOGUE, E, check, types
from test_reset import reset


async def delete(hand: Hand, run_id: str | None = None):
    await hand.rpc.DeleteWorkflowExecution(workflow_execution=hand.execution(run_id))


async def gone(hand: Hand, run_id: str | None = None) -> None:
    """On the reference a closed run goes some time after the answer."""
    while True:
        try:
            await hand.describe(run_id)
        except Exception:
            break
        await asyncio.sleep(0.5)
    run_id = hand.run_id if run_id is None else run_id
    with rejects(Code.NOT_FOUND):
        await hand.describe(run_id)
    with rejects(Code.NOT_FOUND):
        await hand.rpc.GetWorkflowExecutionHistoryReverse(execution=hand.execution(run_id))
    with rejects(Code.NOT_FOUND):
        await hand.rpc.SignalWorkflowExecution(workflow_execution=hand.execution(run_id), signal_name="s")


async def listed(hand: Hand) -> list[str]:
    found = await hand.rpc.ListWorkflowExecutions(query=f"WorkflowId = '{hand.workflow_id}'")
    return [info.execution.run_id for info in found.executions]


async def test_an_open_run(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"), start_timer("t", 3600))
    activity = await hand.poll_activity()
    await hand.signal("s")
    task = await hand.poll()
    await delete(hand)
    await gone(hand)
    for call in (hand.complete(task), hand.complete_activity(activity), hand.heartbeat(activity)):
        with rejects(Code.NOT_FOUND):
            await call
    with rejects(Code.NOT_FOUND):
        await delete(hand)
    await env.visible(lambda: listed(hand), [])
    second = await hand.start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")
    await hand.step(complete_workflow("the second"))
    check(await hand.history(second.run_id), *PROLOGUE, E("Completed", result=["the second"]))


@pytest.mark.ours("there it takes half a minute")
async def test_a_closed_run(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(complete_workflow("end"))
    assert await listed(hand) == [hand.run_id]
    await delete(hand, "")
    await gone(hand)
    with rejects(Code.NOT_FOUND):
        await hand.history()
    assert await listed(hand) == []
    await hand.start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")


@pytest.mark.ours("there it takes half a minute")
async def test_an_old_run_of_a_chain(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step(continue_as_new("type", hand.queue))
    second = (await hand.describe("")).workflow_execution_info.execution.run_id
    await delete(hand, first)
    await gone(hand, first)
    assert await listed(hand) == [second]
    assert await hand.status("") == "RUNNING"
    await hand.step(complete_workflow())
    assert await hand.status(second) == "COMPLETED"


async def test_the_current_run_of_a_chain(env):
    """The run before it does not become the current one: the id is free."""
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step(continue_as_new("type", hand.queue))
    second = (await hand.describe("")).workflow_execution_info.execution.run_id
    await delete(hand, second)
    hand.run_id = second
    await gone(hand)
    for _ in range(2):
        with rejects(Code.NOT_FOUND):
            await hand.describe("")
        assert await hand.status(first) == "CONTINUED_AS_NEW"
    third = (await hand.start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")).run_id
    assert await hand.status("") == "RUNNING" and await hand.status(first) == "CONTINUED_AS_NEW"
    await hand.step(complete_workflow())
    assert await hand.status(third) == "COMPLETED"


async def test_the_run_that_a_reset_made(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step()
    hand.run_id = await reset(hand, 4)
    await delete(hand)
    await gone(hand)
    with rejects(Code.NOT_FOUND):
        await hand.describe("")
    assert await hand.status(first) == "TERMINATED"
    await hand.start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")


async def test_the_current_run_after_a_reset(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step()
    second = await reset(hand, 4)
    third = await reset(hand, 4, first)
    await delete(hand, third)
    hand.run_id = third
    await gone(hand)
    with rejects(Code.NOT_FOUND):
        await hand.describe("")
    assert await hand.status(first) == await hand.status(second) == "TERMINATED"
    await hand.start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")


async def test_what_is_not_there(env):
    hand = Hand(env)
    with rejects(Code.NOT_FOUND):
        await delete(hand, "")
    await hand.start()
    with rejects(Code.NOT_FOUND):
        await delete(hand, str(uuid.uuid4()))
    with rejects(Code.INVALID_ARGUMENT):
        await delete(hand, "no uuid")
    assert await hand.status() == "RUNNING"


@pytest.mark.ours("there a reader waits until its time is over")
async def test_readers_that_wait(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    await hand.signal("s")  # so that a workflow task waits, and a query for it

    async def wait(**fields):
        with rejects(Code.NOT_FOUND):
            await hand.rpc.GetWorkflowExecutionHistory(
                execution=hand.execution(), wait_new_event=True, _seconds=30, **fields
            )

    first = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), wait_new_event=True)
    waiting = [
        asyncio.create_task(wait(next_page_token=first.next_page_token)),
        asyncio.create_task(wait(history_event_filter_type="HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT")),
    ]

    async def ask():
        with rejects(Code.NOT_FOUND):
            await hand.query(wait=10)

    waiting.append(asyncio.create_task(ask()))
    await hand.describe()
    await delete(hand)
    await asyncio.gather(*waiting)


@pytest.mark.ours("there it takes half a minute")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=str)
async def test_runs_that_share_their_history(env, order):
    hand = Hand(env)
    await hand.start()
    for number in range(40):
        await hand.step(start_timer(f"t{number}", 3600))
        await hand.signal("s")
    base = hand.run_id
    first = await reset(hand, 119, reset_reapply_type="RESET_REAPPLY_TYPE_NONE")
    await hand.step(start_timer("u", 3600))
    second = await reset(hand, 79, first, reset_reapply_type="RESET_REAPPLY_TYPE_NONE")
    await hand.step(complete_workflow("end"))
    runs = [base, first, second]
    histories = {run_id: await hand.history(run_id) for run_id in runs}
    left = set(runs)
    for index in order:
        await delete(hand, runs[index])
        left.remove(runs[index])
        await gone(hand, runs[index])
        for run_id in left:
            assert await hand.history(run_id) == histories[run_id]
    assert await listed(hand) == []


@pytest.mark.crash
async def test_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        for number in range(30):
            await hand.step(start_timer(f"t{number}", 3600))
            await hand.signal("s")
        base = hand.run_id
        new = await reset(hand, 59, reset_reapply_type="RESET_REAPPLY_TYPE_NONE")
        history = await hand.history(new)
        await delete(hand, base)
        await restart(server)
        await gone(hand, base)
        assert await hand.history(new) == history
        await hand.step(complete_workflow("end"))
        await restart(server)
        assert types(await hand.history(new))[-1] == "Completed"
        await delete(hand, new)
        await restart(server)
        await gone(hand, new)
        # So it is where an older run is left.
        chain = Hand(own)
        first = (await chain.start()).run_id
        await chain.step(continue_as_new("type", chain.queue))
        await restart(server)
        await delete(chain, "")
        await restart(server)
        assert await chain.status(first) == "CONTINUED_AS_NEW"
        with rejects(Code.NOT_FOUND):
            await chain.describe("")
        await chain.start(workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE")
        assert await listed(hand) == []
        with rejects(Code.NOT_FOUND):
            await hand.describe("")
