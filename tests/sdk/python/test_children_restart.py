"""Children and signals to other workflows, with the server killed at each step of theirs."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest

from support.env import own_server, restart
from support.hand import (
    Hand,
    cancel_external,
    complete_workflow,
    marker,
    signal_external,
    start_child,
)
from support.histories import PROLOGUE, E, check, check_tail, find_attributes, types

pytestmark = pytest.mark.crash

INITIATED = "StartChildWorkflowExecutionInitiated"
STARTED = "ChildWorkflowExecutionStarted"
COMPLETED = "ChildWorkflowExecutionCompleted"


async def test_a_childs_life(env):
    """Killed right after every acknowledged call of parent and child."""
    async with own_server() as (server, own):
        parent, child = Hand(own), Hand(own)
        await parent.start()
        await parent.step(start_child(child.workflow_id, child.queue))
        await restart(server)  # its start is asked for
        await parent.history_with(STARTED)
        await restart(server)  # recorded
        child_task = await child.poll()
        await restart(server)  # its first task is in a worker's hands
        parent_task = await parent.poll()
        await child.complete(child_task, complete_workflow("r"))
        await restart(server)  # it has ended, and its parent has a task too: the end waits in the buffer
        await parent.history_when(lambda events: len(events) >= 8)
        for _ in range(500):
            if not (await parent.describe()).pending_children:
                break
            await asyncio.sleep(0.02)  # what is in the buffer can be seen by asking only
        await restart(server)
        await parent.complete(parent_task, marker("m"))
        check(
            await parent.history(),
            *PROLOGUE,
            E(INITIATED),
            E(STARTED, initiated_event_id=5),
            E("WftScheduled"),
            E("WftStarted"),
            E("WftCompleted"),
            E("MarkerRecorded"),
            E(COMPLETED, initiated_event_id=5, started_event_id=6, result=["r"]),
            E("WftScheduled"),
        )


@pytest.mark.parametrize("policy", ["TERMINATE", "REQUEST_CANCEL", "ABANDON"])
async def test_a_parents_end(env, policy):
    async with own_server() as (server, own):
        parent, child = Hand(own), Hand(own)
        await parent.start()
        await parent.step(start_child(child.workflow_id, child.queue, policy=policy))
        await parent.history_with(STARTED)
        await child.step()
        await parent.step(complete_workflow())
        await restart(server)
        expected = {
            "TERMINATE": [E("Terminated", reason="by parent close policy")],
            "REQUEST_CANCEL": [E("CancelRequested"), E("WftScheduled")],
            "ABANDON": [],
        }[policy]
        if expected:
            await child.history_when(lambda events: len(events) >= len(PROLOGUE) + len(expected), run_id="")
        check(await child.history(""), *PROLOGUE, *expected)


async def test_a_signal_and_a_cancel_request(env):
    async with own_server() as (server, own):
        sender, target = Hand(own), Hand(own)
        await sender.start()
        await target.start()
        await sender.step(signal_external(target.workflow_id, "s", 1), cancel_external(target.workflow_id))
        await restart(server)  # both are asked for
        await target.history_when(lambda events: len(events) >= 4)
        await restart(server)  # both are there
        await sender.history_when(lambda events: len(events) >= 9)
        await restart(server)  # and known to be
        assert sorted(types(await target.history())[2:]) == ["CancelRequested", "Signaled"]
        assert sorted(types(await sender.history())[6:]) == sorted(
            ["ExternalWorkflowExecutionSignaled", "WftScheduled", "ExternalWorkflowExecutionCancelRequested"]
        )


KILLS = 12
CHILDREN = 4


async def test_killed_at_any_moment(env):
    """The kill, or a clean stop, comes a little later each time: before, between and after the messages of starts and signals."""
    async with own_server() as (server, own):
        target = Hand(own)
        await target.start()
        families = []
        for number in range(KILLS):
            parent = Hand(own)
            children = [Hand(own) for _ in range(CHILDREN)]
            families.append((parent, children))
            await parent.start()
            task = await parent.poll()
            commands = [start_child(child.workflow_id, child.queue) for child in children]
            commands += [
                signal_external(target.workflow_id, "s", [number, index]) for index in range(CHILDREN)
            ]
            completing = asyncio.ensure_future(parent.complete(task, *commands))
            await asyncio.sleep(number * 0.0008)  # the moment of the kill is the subject
            await restart(server, kill=number % 3 != 2)
            with contextlib.suppress(grpc.aio.AioRpcError):
                await completing
            if INITIATED not in types(await parent.history()):
                await parent.complete(task, *commands)
        for parent, children in families:
            for child in children:
                await child.step(complete_workflow(child.workflow_id))
            results = "ExternalWorkflowExecutionSignaled"
            await parent.history_when(
                lambda events: (
                    types(events).count(COMPLETED) == CHILDREN and types(events).count(results) == CHILDREN
                )
            )
            events = await parent.history()
            assert types(events).count(STARTED) == types(events).count(COMPLETED) == CHILDREN
            for child in children:
                check_tail(await child.history(""), *PROLOGUE[1:], E("Completed"))
            ended = {
                event.child_workflow_execution_completed_event_attributes.workflow_execution.workflow_id
                for event in events
                if types([event]) == [COMPLETED]
            }
            assert ended == {child.workflow_id for child in children}
        signals = [
            bytes(event.workflow_execution_signaled_event_attributes.input.payloads[0].data)
            for event in await target.history()
            if types([event]) == ["Signaled"]
        ]
        assert sorted(signals) == sorted(
            b"[%d, %d]" % (number, index) for number in range(KILLS) for index in range(CHILDREN)
        )
        assert find_attributes(await target.history(), "Signaled").identity == "history-service"
