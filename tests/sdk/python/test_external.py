"""Signals and cancel requests from one workflow to another."""

from __future__ import annotations

import pytest

from support.grpc_client import Code, rejects
from support.hand import (
    IDENTITY,
    Hand,
    cancel_external,
    complete_workflow,
    continue_as_new,
    header,
    marker,
    payloads,
    signal_external,
)
from support.histories import ABSENT, PROLOGUE, E, check, check_tail, find_attributes, types

SERVER = "history-service"
SIGNAL = "SignalExternalWorkflowExecution"
CANCEL = "RequestCancelExternalWorkflowExecution"
NO_SUCH = "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"


async def started(env) -> Hand:
    hand = Hand(env)
    await hand.start()
    return hand


async def test_a_signal(env):
    sender, target = await started(env), await started(env)
    await sender.step(
        signal_external(target.workflow_id, "hello", "arg", control="control", header=header(h=1)),
        marker("m"),
    )
    check(
        await sender.history_with("WftScheduled", 2),
        *PROLOGUE,
        E(
            SIGNAL + "Initiated",
            namespace="",
            workflow_execution=dict(workflow_id=target.workflow_id, run_id=""),
            signal_name="hello",
            input=["arg"],
            control="control",
            child_workflow_only=False,
            header=dict(h=1),
            wftc=4,
        ),
        E("MarkerRecorded"),
        E(
            "ExternalWorkflowExecutionSignaled",
            initiated_event_id=5,
            namespace="default",
            workflow_execution=dict(workflow_id=target.workflow_id, run_id=""),
            control="control",
        ),
        E("WftScheduled"),
    )
    check(
        await target.history(),
        E("Started"),
        E("WftScheduled"),
        E(
            "Signaled",
            signal_name="hello",
            input=["arg"],
            identity=SERVER,
            header=dict(h=1),
            external_workflow_execution=dict(workflow_id=sender.workflow_id, run_id=sender.run_id),
        ),
    )


async def test_a_signal_while_both_have_a_task(env):
    """Both sides' events wait in their buffers."""
    sender, target = await started(env), await started(env)
    await sender.step(signal_external(target.workflow_id))
    await sender.history_with("ExternalWorkflowExecutionSignaled")
    task = await sender.poll()
    held = await target.poll()
    await sender.complete(
        task, signal_external(target.workflow_id, "second"), force_create_new_workflow_task=True
    )
    await sender.poll()
    await target.complete(held, marker("m"))
    names = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in await target.history_with("Signaled", 2)
        if types([event]) == ["Signaled"]
    ]
    assert names == ["s", "second"]


@pytest.mark.parametrize("which", ["unknown", "closed", "itself", "itself by run", "no child", "old run"])
async def test_a_signal_that_cannot_arrive(env, which):
    sender, target = await started(env), await started(env)
    fields: dict[str, object] = {}
    workflow_id = target.workflow_id
    if which == "unknown":
        workflow_id = env.name("nobody")
    elif which == "closed":
        await target.terminate()
    elif which == "itself":
        workflow_id = sender.workflow_id
    elif which == "itself by run":
        workflow_id = sender.workflow_id
        fields["run_id"] = sender.run_id
    elif which == "no child":
        fields["child_workflow_only"] = True
    else:
        await target.step(continue_as_new("type", target.queue))
        fields["run_id"] = target.run_id
    await sender.step(signal_external(workflow_id, control="c", **fields))
    check(
        await sender.history_with("WftScheduled", 2),
        *PROLOGUE,
        E(SIGNAL + "Initiated"),
        E(
            SIGNAL + "Failed",
            cause=NO_SUCH,
            namespace="default",
            workflow_execution=dict(workflow_id=workflow_id, run_id=fields.get("run_id", "")),
            initiated_event_id=5,
            control="c",
            wftc=0,
        ),
        E("WftScheduled"),
    )
    assert "Signaled" not in types(await target.history())


async def test_a_signal_goes_to_the_current_run(env):
    sender, target = await started(env), await started(env)
    await target.step(continue_as_new("type", target.queue))
    await sender.step(signal_external(target.workflow_id))
    await sender.history_with("ExternalWorkflowExecutionSignaled")
    target.run_id = ""
    assert "Signaled" in types(await target.history())


async def test_a_cancel_request(env):
    sender, target = await started(env), await started(env)
    await sender.step(cancel_external(target.workflow_id, reason="why", control="c"))
    check(
        await sender.history_with("WftScheduled", 2),
        *PROLOGUE,
        E(
            CANCEL + "Initiated",
            workflow_execution=dict(workflow_id=target.workflow_id, run_id=""),
            control="c",
            reason="why",
            child_workflow_only=False,
            wftc=4,
        ),
        E(
            "ExternalWorkflowExecutionCancelRequested",
            initiated_event_id=5,
            namespace="default",
            workflow_execution=dict(workflow_id=target.workflow_id, run_id=""),
        ),
        E("WftScheduled"),
    )
    check(
        await target.history(),
        E("Started"),
        E("WftScheduled"),
        E(
            "CancelRequested",
            cause="why",
            external_initiated_event_id=5,
            external_workflow_execution=dict(workflow_id=sender.workflow_id, run_id=sender.run_id),
            identity=SERVER,
        ),
    )
    await sender.step(cancel_external(target.workflow_id))
    events = await sender.history_with("ExternalWorkflowExecutionCancelRequested", 2)
    check_tail(events, E("ExternalWorkflowExecutionCancelRequested"), E("WftScheduled"))
    assert types(await target.history()).count("CancelRequested") == 1


@pytest.mark.parametrize("which", ["unknown", "itself", "no child"])
async def test_a_cancel_request_that_cannot_arrive(env, which):
    sender, target = await started(env), await started(env)
    workflow_id = target.workflow_id
    if which == "unknown":
        workflow_id = env.name("nobody")
    elif which == "itself":
        workflow_id = sender.workflow_id
    await sender.step(cancel_external(workflow_id, control="c", child_workflow_only=which == "no child"))
    check(
        await sender.history_with("WftScheduled", 2),
        *PROLOGUE,
        E(CANCEL + "Initiated"),
        E(
            CANCEL + "Failed",
            cause=NO_SUCH,
            namespace="default",
            workflow_execution=dict(workflow_id=workflow_id, run_id=""),
            initiated_event_id=5,
            control="",
        ),
        E("WftScheduled"),
    )
    assert "CancelRequested" not in types(await target.history())


@pytest.mark.parametrize("child_workflow_only", [False, True])
async def test_cancelling_what_has_closed_succeeds(env, child_workflow_only):
    sender, target = await started(env), await started(env)
    await target.terminate()
    await sender.step(cancel_external(target.workflow_id, child_workflow_only=child_workflow_only))
    check_tail(
        await sender.history_with("ExternalWorkflowExecutionCancelRequested"),
        E(CANCEL + "Initiated"),
        E("ExternalWorkflowExecutionCancelRequested"),
        E("WftScheduled"),
    )
    check_tail(await target.history(), E("Terminated"))


async def test_what_is_asked_in_the_closing_task_is_not_sent(env):
    sender, target = await started(env), await started(env)
    await sender.step(
        signal_external(target.workflow_id), cancel_external(target.workflow_id), complete_workflow()
    )
    check(await sender.history(), *PROLOGUE, E(SIGNAL + "Initiated"), E(CANCEL + "Initiated"), E("Completed"))
    # What another workflow sends afterwards does arrive.
    other = await started(env)
    await other.step(signal_external(target.workflow_id, "later"))
    await other.history_with("ExternalWorkflowExecutionSignaled")
    check(await target.history(), E("Started"), E("WftScheduled"), E("Signaled", signal_name="later"))


BAD_SIGNAL = "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES"
BAD_CANCEL = "BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES"


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (signal_external(""), BAD_SIGNAL),
        (signal_external("x" * 1001), BAD_SIGNAL),
        (signal_external("w", run_id="no-uuid"), BAD_SIGNAL),
        (signal_external("w", ""), BAD_SIGNAL),
        (cancel_external(""), BAD_CANCEL),
        (cancel_external("x" * 1001), BAD_CANCEL),
        (cancel_external("w", run_id="no-uuid"), BAD_CANCEL),
    ],
    ids=["id", "long id", "run id", "name", "cancel id", "cancel long id", "cancel run id"],
)
async def test_bad_attributes(env, command, cause):
    sender = await started(env)
    task = await sender.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await sender.complete(task, marker("m"), command)
    check(await sender.history(), *PROLOGUE[:3], E("WftFailed", cause=cause, identity=IDENTITY))


async def test_too_large_an_input_ends_the_sender(env):
    sender = await started(env)
    task = await sender.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await sender.complete(task, signal_external("w", "s", bytes((2 << 20) + 1)))
    check(
        await sender.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause=BAD_SIGNAL),
        E("Terminated", identity=SERVER),
    )


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (signal_external("nobody"), "PENDING_SIGNALS_LIMIT_EXCEEDED"),
        (cancel_external("nobody"), "PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED"),
    ],
    ids=["signals", "cancels"],
)
async def test_limits(env, command, cause):
    sender = await started(env)
    task = await sender.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await sender.complete(task, *[command] * 2001)
    check(await sender.history(), *PROLOGUE[:3], E("WftFailed", cause=cause))


async def test_many_at_once_all_arrive(env):
    sender, target = await started(env), await started(env)
    await sender.step(*[signal_external(target.workflow_id, "s", number) for number in range(300)])
    await sender.history_with("ExternalWorkflowExecutionSignaled", 300)
    arrived = [
        event.workflow_execution_signaled_event_attributes.input
        for event in await target.history()
        if types([event]) == ["Signaled"]
    ]
    assert sorted(int(value.payloads[0].data) for value in arrived) == list(range(300))
    assert find_attributes(await sender.history(), SIGNAL + "Initiated", 299).input == payloads(299)
    check([(await target.history())[0]], E("Started", parent_workflow_execution=ABSENT))
