"""Updates with the server killed at each step: what is accepted stays, what is not goes without a trace and may come again."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from temporalio.api.enums.v1 import update_pb2 as update_enums

from support.env import own_server, restart
from support.grpc_client import Code, not_found, rejects
from support.hand import Hand, accept, complete_workflow, reject, respond
from support.histories import PROLOGUE, E, check, check_tail, payload_value
from test_update import failure_type, result_of
from test_update_with_start import running

pytestmark = pytest.mark.crash

ACCEPTED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
ADMITTED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED


async def lost(call: asyncio.Task) -> None:
    """The server died under the call: its client is told to try again."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_admitted(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step()
        updating = hand.updating()
        assert await hand.admitted() == ADMITTED
        await restart(server)
        await lost(updating)
        with rejects(Code.NOT_FOUND):
            await hand.poll_update()
        check(await hand.history(), *PROLOGUE)
        updating = hand.updating()
        task = await hand.poll()
        assert task.started_event_id == 6
        await hand.answer(task, accept(task.messages[0]), respond("u", "again"))
        assert result_of(await updating) == "again"


async def test_in_a_workers_hands(env):
    """The worker's task is gone; the update that comes again is a new one, with the same event ids."""
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step()
        updating = hand.updating()
        task = await hand.poll()
        await restart(server)
        await lost(updating)
        with rejects(Code.NOT_FOUND, not_found):
            await hand.answer(task, accept(task.messages[0]), respond("u", "too late"))
        check(await hand.history(), *PROLOGUE)
        updating = hand.updating()
        task = await hand.poll()
        assert task.started_event_id == 6
        await hand.answer(task, reject(task.messages[0]))
        assert failure_type(await updating) == "Refused"
        check(await hand.history(), *PROLOGUE)


async def test_on_a_written_task_the_acceptance_brings_it_back(env):
    """The task outlives the server, the update does not: its worker's acceptance carries all that is needed."""
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        calling = hand.updating()
        assert await hand.admitted() == ADMITTED
        task = await hand.poll()
        assert len(task.messages) == 1
        await restart(server)
        await lost(calling)
        await hand.answer(task, accept(task.messages[0]), respond("u", "kept"))
        assert result_of(await hand.update()) == "kept"
        check(await hand.history(), *PROLOGUE, E("UpdateAccepted"), E("UpdateCompleted", accepted_event_id=5))


async def test_accepted_and_not_completed(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step()
        updating = hand.updating()
        task = await hand.poll()
        await hand.answer(task, accept(task.messages[0]))
        await restart(server)
        await lost(updating)
        assert (await hand.poll_update()).stage == ACCEPTED
        assert (await hand.update(wait="ACCEPTED")).stage == ACCEPTED
        waiting = hand.updating()
        await hand.signal("go")
        task = await hand.poll()
        assert not task.messages
        await restart(server)
        await lost(waiting)
        await hand.answer(task, respond("u", "late"))
        await restart(server)
        assert result_of(await hand.poll_update(wait="COMPLETED")) == "late"
        assert result_of(await hand.update("another", "payload")) == "late"
        check_tail(
            await hand.history(),
            E("UpdateAccepted"),
            E("Signaled"),
            E("WftScheduled"),
            E("WftStarted"),
            E("WftCompleted"),
            E("UpdateCompleted", accepted_event_id=8),
        )


async def test_accepted_in_a_run_that_closed(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step()
        updating = hand.updating(wait="ACCEPTED")
        task = await hand.poll()
        await hand.answer(task, accept(task.messages[0]))
        await updating
        await hand.signal("end")
        await hand.step(complete_workflow())
        await restart(server)
        answer = await hand.poll_update(wait="COMPLETED")
        assert failure_type(answer) == "AcceptedUpdateCompletedWorkflow"


async def test_a_start_with_an_update(env):
    """The run is there; the update is not, and comes back with the client's next try."""
    async with own_server() as (server, own):
        hand = Hand(own)
        calling = running(hand, {"request_id": "r"})
        for _ in range(500):
            try:
                hand.run_id = (await hand.describe("")).workflow_execution_info.execution.run_id
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.01)  # the call that makes it is on its way
        assert await hand.admitted() == ADMITTED
        await restart(server)
        await lost(calling)
        calling = running(hand, {"request_id": "r"})
        assert await hand.admitted() == ADMITTED
        task = await hand.poll()
        assert task.started_event_id == 3
        await hand.answer(task, accept(task.messages[0]), respond("u", "twice"))
        start, update = await calling
        assert not start.started and start.run_id == hand.run_id
        assert payload_value(update.outcome.success.payloads[0]) == "twice"
