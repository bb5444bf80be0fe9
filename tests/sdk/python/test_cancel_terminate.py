"""Cancel requests and terminations."""

from __future__ import annotations

from support.grpc_client import Code, rejects
from support.hand import Hand, cancel_workflow, complete_workflow, continue_as_new, payloads
from support.histories import ABSENT, PRESENT, PROLOGUE, E, check

NOWHERE = "01234567-89ab-4def-8123-456789abcdef"


async def test_cancel_and_obey(env):
    hand = Hand(env)
    await hand.start()
    await hand.cancel("please")
    await hand.step(cancel_workflow("bye"))
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("CancelRequested", cause="please", identity="canceller"),
        E("WftStarted", scheduled=2),
        E("WftCompleted", scheduled=2, started=4),
        E("Canceled", details=["bye"], wftc=5),
    )
    assert await hand.status() == "CANCELED"


async def test_a_cancel_request_wakes_an_idle_workflow_once(env):
    hand = Hand(env)
    await hand.start()
    await hand.step()
    assert not (await hand.describe()).workflow_extended_info.cancel_requested
    await hand.cancel("one")
    await hand.cancel("two")
    check(await hand.history(), *PROLOGUE, E("CancelRequested", cause="one"), E("WftScheduled"))
    assert (await hand.describe()).workflow_extended_info.cancel_requested


async def test_a_cancel_request_may_be_ignored(env):
    hand = Hand(env)
    await hand.start()
    await hand.cancel()
    await hand.step(complete_workflow("done anyway"))
    assert await hand.status() == "COMPLETED"


async def test_cancelling_what_is_closed_or_unknown(env):
    hand = Hand(env)
    with rejects(Code.NOT_FOUND):
        await hand.cancel()
    await hand.start()
    await hand.step(complete_workflow())
    await hand.cancel()
    check(await hand.history(), *PROLOGUE, E("Completed"))


async def test_terminate(env):
    hand = Hand(env)
    await hand.start()
    await hand.terminate("enough", details=payloads("d"))
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("Terminated", reason="enough", details=["d"], identity="terminator"),
    )
    assert await hand.status() == "TERMINATED"
    with rejects(Code.NOT_FOUND):
        await hand.terminate()


async def test_terminate_with_a_task_out_and_a_signal_buffered(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.signal("s")
    await hand.terminate()
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="FORCE_CLOSE_COMMAND", failure=ABSENT, identity="history-service"),
        E("Signaled"),
        E("Terminated"),
    )
    with rejects(Code.NOT_FOUND):
        await hand.complete(task, complete_workflow())


async def test_terminate_with_a_transient_task_out(env):
    hand = Hand(env)
    await hand.start()
    await hand.fail(await hand.poll())
    await hand.poll()
    await hand.terminate()
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed"), E("Terminated"))


async def test_terminate_fills_in_reason_and_identity(env):
    hand = Hand(env)
    await hand.start()
    await hand.rpc.TerminateWorkflowExecution(workflow_execution=hand.execution())
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("Terminated", reason=PRESENT, identity=PRESENT),
    )


async def test_unknown_runs(env):
    hand = Hand(env)
    await hand.start()
    for call in (hand.rpc.TerminateWorkflowExecution, hand.rpc.RequestCancelWorkflowExecution):
        with rejects(Code.NOT_FOUND):
            await call(workflow_execution={"workflow_id": hand.workflow_id, "run_id": NOWHERE})
        with rejects(Code.INVALID_ARGUMENT):
            await call(workflow_execution={"workflow_id": hand.workflow_id, "run_id": "not a uuid"})
        with rejects(Code.INVALID_ARGUMENT):
            await call(workflow_execution={"workflow_id": ""})
        with rejects(Code.NOT_FOUND):
            await call(workflow_execution={"workflow_id": env.name("unknown")})
    assert await hand.status() == "RUNNING"


async def test_the_first_run_id_guards_a_chain(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step(continue_as_new("type", hand.queue))
    current = {"workflow_id": hand.workflow_id}
    for call in (hand.rpc.RequestCancelWorkflowExecution, hand.rpc.TerminateWorkflowExecution):
        with rejects(Code.NOT_FOUND):
            await call(workflow_execution=current, first_execution_run_id=NOWHERE)
    await hand.rpc.RequestCancelWorkflowExecution(workflow_execution=current, first_execution_run_id=first)
    await hand.rpc.TerminateWorkflowExecution(workflow_execution=current, first_execution_run_id=first)
    assert await hand.status("") == "TERMINATED"
    assert await hand.status(first) == "CONTINUED_AS_NEW"


async def test_links_of_requests_are_on_their_events(env):
    hand = Hand(env)
    await hand.start()
    target = {"namespace": "other", "workflow_id": "from", "run_id": NOWHERE}
    links = [{"workflow_event": target | {"event_ref": {"event_id": 5, "event_type": 26}}}]
    await hand.signal("s", links=links)
    await hand.cancel(links=links)
    await hand.terminate(links=links)
    events = await hand.history()
    check(
        events, E("Started"), E("WftScheduled"), E("Signaled"), E("CancelRequested"), E("Terminated")
    )
    for event in events[2:]:
        [link] = event.links
        assert link.workflow_event.workflow_id == "from" and link.workflow_event.event_ref.event_id == 5
    assert not events[0].links
