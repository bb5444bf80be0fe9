"""Workflow updates by a worker driven by hand: stages, speculative workflow tasks, what is written and what is not."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.enums.v1 import update_pb2 as update_enums

from support import server as server_module
from support.grpc_client import Code, not_found, rejects, resource_exhausted, workflow_not_ready
from support.hand import (
    Hand,
    accept,
    complete_workflow,
    continue_as_new,
    failure,
    marker,
    payloads,
    protocol_message,
    reject,
    respond,
    start_timer,
    update_request,
)
from support.histories import ABSENT, PRESENT, PROLOGUE, E, check, check_tail, payload_value, types

ACCEPTED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
ADMITTED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
COMPLETED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED


async def idle(env, **fields) -> Hand:
    """A workflow whose first task is done: its history is the prologue, and nothing is pending."""
    hand = Hand(env)
    await hand.start(**fields)
    await hand.step()
    return hand


def result_of(answer) -> object:
    return payload_value(answer.outcome.success.payloads[0])


def failure_type(answer) -> str:
    return answer.outcome.failure.application_failure_info.type


# The way of one update.


@pytest.mark.parametrize("commands", [(), (start_timer("t", 100),)])
async def test_behind_events_of_commands_it_gets_a_normal_task(env, commands):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    updating = hand.updating()
    await hand.admitted()
    completion = await hand.complete(task, *commands, return_new_workflow_task=True)
    await hand.answer(completion.workflow_task, reject(completion.workflow_task.messages[0]))
    assert failure_type(await updating) == "Refused"
    written = (
        E("TimerStarted"),
        E("WftScheduled", attempt=1),
        E("WftStarted", scheduled=6),
        E("WftCompleted", scheduled=6, started=7),
    )
    check(await hand.history(), *PROLOGUE, *(written if commands else ()))


async def test_accepted_and_completed_in_one_task(env):
    hand = await idle(env)
    updating = hand.updating("up", 1, 2)
    task = await hand.poll()
    assert task.previous_started_event_id == 3 and task.started_event_id == 6 and task.attempt == 1
    check(task.history.events, *PROLOGUE, E("WftScheduled", attempt=1), E("WftStarted", scheduled=5))
    (message,) = task.messages
    assert message.id == "u/request" and message.protocol_instance_id == "u" and message.event_id == 5
    request = update_request(message)
    assert request.meta.update_id == "u" and request.meta.identity == "updater"
    assert request.input.name == "up" and request.input.args == payloads(1, 2)
    assert types(await hand.history()) == ["Started", "WftScheduled", "WftStarted", "WftCompleted"]
    await hand.answer(task, accept(message), respond("u", "done"))
    answer = await updating
    assert answer.stage == COMPLETED and result_of(answer) == "done"
    assert answer.update_ref.update_id == "u"
    assert answer.update_ref.workflow_execution.workflow_id == hand.workflow_id
    assert answer.update_ref.workflow_execution.run_id == hand.run_id
    check(
        await hand.history(),
        *PROLOGUE,
        E("WftScheduled", attempt=1),
        E("WftStarted", scheduled=5),
        E("WftCompleted", scheduled=5, started=6),
        E(
            "UpdateAccepted",
            protocol_instance_id="u",
            accepted_request_message_id="u/request",
            accepted_request_sequencing_event_id=5,
            accepted_request=request,
        ),
        E("UpdateCompleted", accepted_event_id=8, meta=PRESENT, outcome=PRESENT),
    )


async def test_a_rejection_leaves_no_trace(env):
    hand = await idle(env)
    for attempt in range(2):  # the id is free again, and so are the event ids
        updating = hand.updating()
        task = await hand.poll()
        assert task.started_event_id == 6, attempt
        completion = await hand.answer(task, reject(task.messages[0]))
        assert completion.reset_history_event_id == 3
        answer = await updating
        assert answer.stage == COMPLETED and failure_type(answer) == "Refused"
        with rejects(Code.NOT_FOUND):
            await hand.poll_update()
    check(await hand.history(), *PROLOGUE)
    await hand.signal("s")
    check_tail(await hand.history(), E("WftCompleted"), E("Signaled"), E("WftScheduled"))


async def test_an_update_on_a_scheduled_task_rides_on_it(env):
    hand = Hand(env)
    await hand.start()
    first, second = hand.updating(id="one"), None
    await asyncio.sleep(0)
    task = await hand.poll()
    if not task.messages:  # the poll was faster than the call: the next task has it
        completion = await hand.complete(task, return_new_workflow_task=True)
        task = completion.workflow_task if completion.workflow_task.task_token else await hand.poll()
    second = hand.updating(id="two")
    with rejects(Code.DEADLINE_EXCEEDED):  # it is in, and waits for the next task
        await hand.poll_update("one", wait="COMPLETED", seconds=0.7)
    completion = await hand.answer(
        task, accept(task.messages[0]), respond("one", 1), return_new_workflow_task=True
    )
    assert result_of(await first) == 1
    task = completion.workflow_task
    assert [m.protocol_instance_id for m in task.messages] == ["two"]
    await hand.answer(task, accept(task.messages[0]), respond("two", 2))
    assert result_of(await second) == 2


async def test_accepted_now_and_completed_later(env):
    hand = await idle(env)
    updating = hand.updating(wait="ACCEPTED")
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), then=[start_timer("t", 600)])
    answer = await updating
    assert answer.stage == ACCEPTED and not answer.HasField("outcome")
    polled = await hand.poll_update()
    assert polled.stage == ACCEPTED and not polled.HasField("outcome")
    assert (await hand.poll_update(wait="ACCEPTED")).stage == ACCEPTED
    waiting = asyncio.create_task(hand.poll_update(wait="COMPLETED"))
    await hand.signal("go")
    task = await hand.poll()
    assert not task.messages
    await hand.complete(
        task,
        marker("before"),
        protocol_message("u/complete"),
        marker("after"),
        messages=[respond("u", "late")],
    )
    assert result_of(await waiting) == "late"
    again = await hand.update(id="u")
    assert again.stage == COMPLETED and result_of(again) == "late"
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("MarkerRecorded", marker_name="before"),
        E("UpdateCompleted", accepted_event_id=8),
        E("MarkerRecorded", marker_name="after"),
    )


async def test_a_failed_update(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), respond("u", why=failure("bad", type="Bad")))
    answer = await updating
    assert answer.stage == COMPLETED and failure_type(answer) == "Bad"
    assert types(await hand.history())[-2:] == ["UpdateAccepted", "UpdateCompleted"]


async def test_several_in_order_of_admission(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    calls = []
    for name in ("a", "b", "c"):
        calls.append(hand.updating(id=name))
        while True:  # until it is in
            try:
                if (await hand.poll_update(name)).stage == ADMITTED:
                    break
            except Exception:  # noqa: BLE001 - not there yet
                await asyncio.sleep(0.01)
    completion = await hand.complete(task, return_new_workflow_task=True)
    task = completion.workflow_task
    assert [m.protocol_instance_id for m in task.messages] == ["a", "b", "c"]
    assert {m.event_id for m in task.messages} == {task.started_event_id - 1}
    answers = [accept(m) for m in task.messages[:2]] + [respond("b", 2)]
    await hand.answer(task, *answers, reject(task.messages[2]))
    check_tail(
        await hand.history(),
        E("UpdateAccepted", protocol_instance_id="a"),
        E("UpdateAccepted", protocol_instance_id="b"),
        E("UpdateCompleted", accepted_event_id=9),
    )
    assert result_of(await calls[1]) == 2 and failure_type(await calls[2]) == "Refused"
    calls[0].cancel()


async def test_the_same_id_joins(env):
    hand = await idle(env)
    first, second = hand.updating("up", 1), None
    task = await hand.poll()
    second = hand.updating("other", 2)
    await asyncio.sleep(0.1)
    await hand.answer(task, accept(task.messages[0]), respond("u", "both"))
    assert result_of(await first) == "both" and result_of(await second) == "both"
    assert types(await hand.history()).count("UpdateAccepted") == 1
    await hand.terminate()
    assert result_of(await hand.update(id="u")) == "both"
    assert result_of(await hand.poll_update("u", wait="COMPLETED")) == "both"


async def test_no_answer_is_a_rejection(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    completion = await hand.complete(task)
    assert completion.reset_history_event_id == 3
    answer = await updating
    assert answer.stage == COMPLETED and failure_type(answer) == "UnprocessedUpdate"
    assert answer.outcome.failure.application_failure_info.non_retryable
    check(await hand.history(), *PROLOGUE)


async def test_an_update_without_an_id_gets_one(env):
    hand = await idle(env)
    updating = hand.updating(id="")
    task = await hand.poll()
    made = task.messages[0].protocol_instance_id
    assert len(made) == 36
    await hand.answer(task, accept(task.messages[0]), respond(made, 1))
    assert (await updating).update_ref.update_id == made


# Speculative tasks.


async def test_a_signal_while_the_task_waits(env):
    hand = await idle(env)
    updating = hand.updating()
    await hand.admitted()
    await hand.signal("s")
    check_tail(await hand.history(), E("WftCompleted"), E("WftScheduled"), E("Signaled"))
    task = await hand.poll()
    assert task.started_event_id == 7 and task.messages[0].event_id == 6
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    await updating
    check_tail(
        await hand.history(),
        E("WftScheduled"),
        E("Signaled"),
        E("WftStarted", scheduled=5),
        E("WftCompleted", scheduled=5, started=7),
        E("UpdateAccepted", accepted_request_sequencing_event_id=6),
        E("UpdateCompleted"),
    )


async def test_a_signal_while_the_task_runs(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    await hand.signal("s")
    check_tail(await hand.history(), E("WftCompleted"), E("WftScheduled"), E("WftStarted"))
    completion = await hand.answer(task, reject(task.messages[0]))
    assert completion.reset_history_event_id == 0
    assert failure_type(await updating) == "Refused"
    check_tail(
        await hand.history(),
        E("WftStarted", scheduled=5),
        E("WftCompleted", scheduled=5, started=6),
        E("Signaled"),
        E("WftScheduled"),
    )


async def test_a_rejection_with_commands_is_written(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    await hand.answer(task, reject(task.messages[0]), then=[marker("m")])
    assert failure_type(await updating) == "Refused"
    check_tail(
        await hand.history(),
        E("WftScheduled"),
        E("WftStarted", scheduled=5),
        E("WftCompleted", scheduled=5, started=6),
        E("MarkerRecorded"),
    )


@pytest.mark.parametrize("can_discard,events,stays", [(False, 1, True), (True, 10, False), (True, 11, True)])
async def test_events_shown_again(env, can_discard, events, stays):
    """Events that a task has shown, and whose worker only said no, are shown again: if it can, and not too many."""
    hand = Hand(env)
    await hand.start()
    await hand.step(*[marker(f"m{n}") for n in range(events)])
    updating = hand.updating()
    task = await hand.poll()
    completion = await hand.answer(
        task,
        reject(task.messages[0]),
        capabilities={"discard_speculative_workflow_task_with_events": can_discard},
    )
    await updating
    written = types(await hand.history())[4 + events :]
    assert written == (["WftScheduled", "WftStarted", "WftCompleted"] if stays else [])
    assert completion.reset_history_event_id == (0 if stays else 3)


async def test_a_speculative_task_fails(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    await hand.fail(task)
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("WftScheduled", attempt=1),
        E("WftStarted", scheduled=5),
        E("WftFailed", scheduled=5, started=6),
    )
    task = await hand.poll()
    assert task.attempt == 2 and [m.protocol_instance_id for m in task.messages] == ["u"]
    assert task.messages[0].event_id == task.started_event_id - 1
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    assert result_of(await updating) == 1
    check_tail(
        await hand.history(),
        E("WftFailed"),
        E("WftScheduled", attempt=2),
        E("WftStarted", scheduled=8),
        E("WftCompleted", scheduled=8, started=9),
        E("UpdateAccepted"),
        E("UpdateCompleted"),
    )


async def test_a_speculative_task_times_out(env):
    hand = await idle(env, workflow_task_timeout=3)
    updating = hand.updating()
    await hand.poll()
    task = await hand.poll()
    assert task.attempt == 2 and [m.protocol_instance_id for m in task.messages] == ["u"]
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    assert result_of(await updating) == 1
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("WftScheduled", attempt=1),
        E("WftStarted", scheduled=5),
        E("WftTimedOut", scheduled=5, started=6, timeout_type="START_TO_CLOSE"),
        E("WftScheduled", attempt=2),
        E("WftStarted"),
        E("WftCompleted"),
        E("UpdateAccepted"),
        E("UpdateCompleted"),
    )


async def test_nobody_takes_a_speculative_task(env):
    hand = await idle(env)
    updating = hand.updating()
    await hand.history_with("WftTimedOut")
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    assert result_of(await updating) == 1
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("WftScheduled", attempt=1),
        E("WftTimedOut", scheduled=5, started=0, timeout_type="SCHEDULE_TO_START"),
        E("WftScheduled", attempt=1),
        E("WftStarted", scheduled=7),
        E("WftCompleted"),
        E("UpdateAccepted"),
        E("UpdateCompleted"),
    )


async def test_a_sticky_worker_gets_what_is_new_only(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(sticky=True)
    polling = asyncio.create_task(hand.poll(sticky=True))
    await asyncio.sleep(0.1)
    updating = hand.updating()
    task = await polling
    assert types(task.history.events) == ["WftCompleted", "WftScheduled", "WftStarted"]
    assert task.started_event_id == 6
    await hand.answer(task, accept(task.messages[0]), respond("u", 1), sticky=True)
    assert result_of(await updating) == 1
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("WftScheduled", task_queue=hand.sticky_queue),
        E("WftStarted"),
        E("WftCompleted"),
        E("UpdateAccepted"),
        E("UpdateCompleted"),
    )


async def test_what_readers_are_shown(env):
    hand = await idle(env)
    updating = hand.updating()
    await hand.admitted()
    assert types(await hand.history(as_cli=False))[4:] == ["WftScheduled"]
    task = await hand.poll()
    assert types(await hand.history(as_cli=False))[4:] == ["WftScheduled", "WftStarted"]
    assert types(await hand.history())[4:] == []
    assert (await hand.describe()).workflow_execution_info.history_length == 4
    await hand.answer(task, reject(task.messages[0]))
    await updating
    assert types(await hand.history(as_cli=False))[4:] == []


async def test_termination_of_a_speculative_task(env):
    hand = await idle(env)
    updating = hand.updating()
    await hand.poll()
    await hand.terminate()
    with rejects(Code.NOT_FOUND, not_found):
        await updating
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftFailed", cause="FORCE_CLOSE_COMMAND"),
        E("Terminated"),
    )
    other = await idle(env)
    updating = other.updating()
    await other.admitted()
    await other.terminate()
    with rejects(Code.NOT_FOUND, not_found):
        await updating
    check_tail(await other.history(), E("WftCompleted"), E("Terminated"))


async def test_an_update_wakes_a_delayed_start(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=3)
    updating = hand.updating()
    task = await hand.poll(wait=3)
    assert task.started_event_id == 3
    completion = await hand.answer(task, reject(task.messages[0]))
    assert completion.reset_history_event_id == 0
    assert failure_type(await updating) == "Refused"
    check(await hand.history(), E("Started"))
    task = await hand.poll()
    assert not task.messages
    check(task.history.events, E("Started"), E("WftScheduled"), E("WftStarted"))


# Messages that are wrong.


@pytest.mark.parametrize(
    "what", ["unknown", "no sequencing id", "no message id", "wrong state", "absent message", "twice"]
)
async def test_a_bad_message_fails_the_task(env, what):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    message = task.messages[0]
    fields = {}
    if what == "no sequencing id":
        messages = [accept(message, accepted_request_sequencing_event_id=0)]
    elif what == "no message id":
        messages = [accept(message, accepted_request_message_id="")]
    elif what == "wrong state":
        messages = [respond("u", 1)]
    elif what == "unknown":
        messages = [respond("nobody", 1)]
    elif what == "twice":
        messages = [accept(message), accept(message)]
        messages[1].id = "again"
    else:
        messages = []
        fields["then"] = [protocol_message("nothing")]
    with rejects(Code.INVALID_ARGUMENT, text="BadUpdateWorkflowExecutionMessage"):
        await hand.answer(task, *messages, **fields)
    with rejects(Code.FAILED_PRECONDITION, workflow_not_ready):
        await updating
    check_tail(
        await hand.history(),
        E("WftStarted", scheduled=5),
        E("WftFailed", scheduled=5, started=6, cause="BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE"),
    )
    assert (await hand.poll()).attempt == 2


async def test_a_lost_update_comes_back_with_its_acceptance(env):
    """A worker accepts what the server does not know (any more): the request that it sends along is enough."""
    hand = await idle(env)
    updating = hand.updating(id="known")
    task = await hand.poll()
    message = task.messages[0]
    lost = type(message)()
    lost.CopyFrom(message)
    request = update_request(message)
    request.meta.update_id = "lost"
    lost.id, lost.protocol_instance_id = "lost/request", "lost"
    lost.body.Pack(request)
    await hand.answer(task, reject(message), accept(lost), respond("lost", "found"))
    assert failure_type(await updating) == "Refused"
    assert result_of(await hand.poll_update("lost", wait="COMPLETED")) == "found"
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("UpdateAccepted", protocol_instance_id="lost", accepted_request=request),
        E("UpdateCompleted"),
    )


# The end of the run.


async def test_the_run_completes_before_the_update(env):
    hand = await idle(env)
    accepted = hand.updating(id="accepted")
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]))
    await hand.signal("s")
    task = await hand.poll()
    waiting = hand.updating(id="waiting")
    await hand.admitted("waiting")
    await hand.complete(task, complete_workflow("end"))
    answer = await accepted
    assert answer.stage == COMPLETED and failure_type(answer) == "AcceptedUpdateCompletedWorkflow"
    with rejects(Code.NOT_FOUND, not_found):
        await waiting
    for again in (await hand.update(id="accepted"), await hand.poll_update("accepted", wait="COMPLETED")):
        assert again.stage == COMPLETED and failure_type(again) == "AcceptedUpdateCompletedWorkflow"
    with rejects(Code.NOT_FOUND, not_found):
        await hand.update(id="waiting")
    with rejects(Code.NOT_FOUND):
        await hand.poll_update("waiting")


async def test_accepted_and_closed_in_one_task(env):
    hand = await idle(env)
    updating = hand.updating(wait="ACCEPTED")
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), then=[complete_workflow()])
    answer = await updating
    assert answer.stage == COMPLETED and failure_type(answer) == "AcceptedUpdateCompletedWorkflow"


async def test_the_run_continues_as_new(env):
    hand = await idle(env)
    await hand.signal("s")
    task = await hand.poll()
    updating = hand.updating(run_id="")
    await hand.admitted()
    await hand.complete(task, continue_as_new("type", hand.queue))
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await updating
    assert refusal.detail(resource_exhausted).cause == 5  # BUSY_WORKFLOW
    updating = hand.updating(run_id="")
    await hand.admitted(run_id="")  # the new run's first task is there before
    task = await hand.poll()
    assert task.started_event_id == 3 and [m.protocol_instance_id for m in task.messages] == ["u"]
    await hand.answer(task, accept(task.messages[0]), respond("u", "next"))
    answer = await updating
    assert answer.update_ref.workflow_execution.run_id not in ("", hand.run_id)


# What is refused.


async def test_refusals(env):
    hand = Hand(env)
    with rejects(Code.NOT_FOUND, not_found):
        await hand.update()
    await hand.start()
    with rejects(Code.PERMISSION_DENIED):
        await hand.update(wait="ADMITTED")
    with rejects(Code.INVALID_ARGUMENT):
        await hand.update("")
    with rejects(Code.INVALID_ARGUMENT):
        await hand.update(id="x" * 1001)
    with rejects(Code.NOT_FOUND, not_found):
        await hand.update(first_execution_run_id="11111111-2222-3333-4444-555555555555")
    with rejects(Code.NOT_FOUND):
        await hand.poll_update("nobody")
    await hand.terminate()
    with rejects(Code.NOT_FOUND, not_found):
        await hand.update()


@pytest.mark.ours("it lets any size in and fails the task later")
async def test_too_large(env):
    hand = Hand(env)
    await hand.start()
    with rejects(Code.INVALID_ARGUMENT, text="arguments"):
        await hand.update("up", "x" * (2 << 20))


async def test_a_failing_task_refuses(env):
    hand = Hand(env)
    await hand.start()
    for _ in range(2):
        await hand.fail(await hand.poll())
    with rejects(Code.FAILED_PRECONDITION, workflow_not_ready):
        await hand.update()


async def test_ten_in_flight(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    calls = [hand.updating(id=str(n)) for n in range(10)]
    for n in range(10):
        await hand.admitted(str(n))
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await hand.update(id="one more")
    assert refusal.detail(resource_exhausted).cause == 2  # CONCURRENT_LIMIT
    await hand.complete(task)
    refused = 0
    while refused < 10:  # the reference forgets all of them with the refusal, and they come back one by one
        task = await hand.poll()
        assert server_module.is_reference() or len(task.messages) == 10
        await hand.answer(task, *[reject(message) for message in task.messages])
        refused += len(task.messages)
    for call in calls:
        assert failure_type(await call) == "Refused"


async def test_a_closing_run_refuses(env):
    hand = await idle(env)
    await hand.signal("one")
    task = await hand.poll()
    await hand.signal("two")
    with rejects(Code.INVALID_ARGUMENT, text="UnhandledCommand"):
        await hand.complete(task, complete_workflow())
    await hand.poll()
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await hand.update()
    assert refusal.detail(resource_exhausted).cause == 5  # BUSY_WORKFLOW


# Waiting beside other things. That a wait ends after 20 s is src/api/update_test.c's, which has a clock of its own.


async def test_a_heartbeat_keeps_what_it_was_given(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    completion = await hand.complete(task, force_create_new_workflow_task=True, return_new_workflow_task=True)
    task2 = completion.workflow_task
    assert task2.task_token and not task2.messages
    await hand.answer(task2, accept(task.messages[0]), respond("u", 1))
    assert result_of(await updating) == 1


async def test_a_query_beside_a_rejected_update(env):
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    querying = asyncio.create_task(hand.query("q"))
    await asyncio.sleep(0.2)
    await hand.answer(task, reject(task.messages[0]))
    assert failure_type(await updating) == "Refused"
    task = await hand.poll()
    assert task.HasField("query")
    await hand.answer_query(task, 7)
    assert payload_value((await querying).query_result.payloads[0]) == 7



async def test_a_reset_admits_the_update_again(env):
    """To the completion of the very task that took it: the update comes back as an event, which its acceptance refers to."""
    hand = await idle(env)
    updating = hand.updating()
    task = await hand.poll()
    message = task.messages[0]
    await hand.answer(task, accept(message), respond("u", "old"))
    await updating
    answer = await hand.rpc.ResetWorkflowExecution(
        workflow_execution=hand.execution(),
        reason="again",
        workflow_task_finish_event_id=7,
        request_id=env.name("reset"),
        identity="resetter",
    )
    hand.run_id = answer.run_id
    check(
        await hand.history(),
        *PROLOGUE,
        E("WftScheduled"),
        E("WftStarted", scheduled=5),
        E("WftFailed", cause="RESET_WORKFLOW"),
        E("UpdateAdmitted", origin="REAPPLY", request=update_request(message)),
        E("WftScheduled"),
    )
    polled = await hand.poll_update("u")
    assert polled.stage == ADMITTED
    task = await hand.poll()
    assert not task.messages
    await hand.answer(task, accept(message, accepted_request_sequencing_event_id=8), respond("u", "new"))
    assert result_of(await hand.update(id="u")) == "new"
    check_tail(
        await hand.history(),
        E("WftCompleted"),
        E("UpdateAccepted", protocol_instance_id="u", accepted_request=ABSENT),
        E("UpdateCompleted", accepted_event_id=12),
    )
