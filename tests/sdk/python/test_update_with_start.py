"""ExecuteMultiOperation: a workflow is started, or found, and updated in one step."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.any_pb2 import Any
from temporalio.api.enums.v1 import update_pb2 as update_enums
from temporalio.api.errordetails.v1 import message_pb2 as errordetails
from temporalio.api.failure.v1 import message_pb2 as failure_pb2
from temporalio.api.workflowservice.v1 import request_response_pb2 as messages

from support.grpc_client import Code, already_started, not_found, rejects, resource_exhausted
from support.hand import Hand, accept, complete_workflow, continue_as_new, payloads, reject, respond
from support.histories import PROLOGUE, E, check, check_tail, payload_value, types

ACCEPTED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
COMPLETED = update_enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
multi_failure = errordetails.MultiOperationExecutionFailure
aborted = failure_pb2.MultiOperationExecutionAborted


async def run(hand: Hand, start: dict | None = None, seconds: float = 40.0, **update: object):
    """Both answers: (start, update)."""
    names = {"namespace": hand.env.namespace}  # the reference does not take an empty one here
    fields = hand.update_fields(update.pop("name", "up"), run_id="", **(names | update))
    values = hand.start_fields(**{"workflow_id_conflict_policy": "FAIL", **names, **(start or {})})
    policy = values["workflow_id_conflict_policy"]
    values["workflow_id_conflict_policy"] = f"WORKFLOW_ID_CONFLICT_POLICY_{policy}"
    answer = await hand.rpc.ExecuteMultiOperation(
        _seconds=seconds,
        operations=[
            {"start_workflow": messages.StartWorkflowExecutionRequest(**values)},
            {"update_workflow": messages.UpdateWorkflowExecutionRequest(**fields)},
        ],
    )
    assert len(answer.responses) == 2
    hand.run_id = answer.responses[0].start_workflow.run_id
    return answer.responses[0].start_workflow, answer.responses[1].update_workflow


def running(hand: Hand, start: dict | None = None, **update: object) -> asyncio.Task:
    return asyncio.create_task(run(hand, start, **update))


def result_of(answer) -> object:
    return payload_value(answer.outcome.success.payloads[0])


def statuses(refusal) -> tuple[list[int], list[list[Any]]]:
    detail = refusal.detail(multi_failure)
    assert len(detail.statuses) == 2
    return [s.code for s in detail.statuses], [list(s.details) for s in detail.statuses]


def is_aborted(details: list[Any]) -> bool:
    return len(details) == 1 and details[0].Is(aborted.DESCRIPTOR)


async def test_starts_with_the_update_on_the_first_task(env):
    hand = Hand(env)
    calling = running(hand)
    task = await hand.poll()
    assert task.started_event_id == 3 and task.previous_started_event_id == 0
    (message,) = task.messages
    assert message.id == "u/request" and message.event_id == 2
    await hand.answer(task, accept(message), respond("u", "first"))
    start, update = await calling
    assert start.started and start.run_id and update.stage == COMPLETED and result_of(update) == "first"
    assert update.update_ref.workflow_execution.run_id == start.run_id
    check(await hand.history(), *PROLOGUE, E("UpdateAccepted"), E("UpdateCompleted", accepted_event_id=5))
    # The same again finds both done.
    again, update = await run(hand)
    assert not again.started and again.run_id == start.run_id and result_of(update) == "first"
    await hand.terminate()
    again, update = await run(hand)
    assert not again.started and result_of(update) == "first"


async def test_a_rejection_of_the_first_update_leaves_the_run(env):
    hand = Hand(env)
    calling = running(hand)
    task = await hand.poll()
    await hand.answer(task, reject(task.messages[0]))
    start, update = await calling
    assert start.started and update.stage == COMPLETED
    assert update.outcome.failure.application_failure_info.type == "Refused"
    check(await hand.history(), *PROLOGUE)


async def test_uses_the_existing_run(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step()
    calling = running(hand, {"workflow_id_conflict_policy": "USE_EXISTING"})
    task = await hand.poll()
    assert task.started_event_id == 6
    await hand.answer(task, accept(task.messages[0]))
    await asyncio.sleep(0.1)
    assert not calling.done()
    await hand.signal("s")
    task = await hand.poll()
    await hand.answer(task, respond("u", 2))
    start, update = await calling
    assert not start.started and start.run_id == first and result_of(update) == 2


async def test_wait_for_acceptance(env):
    hand = Hand(env)
    calling = running(hand, wait="ACCEPTED")
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]))
    start, update = await calling
    assert start.started and update.stage == ACCEPTED and not update.HasField("outcome")


async def test_fails_where_a_start_fails(env):
    hand = Hand(env)
    await hand.start()
    with rejects(Code.ALREADY_EXISTS, multi_failure) as refusal:
        await run(hand)
    codes, details = statuses(refusal)
    assert codes == [6, 10] and is_aborted(details[1])
    assert details[0][0].Is(already_started.DESCRIPTOR)
    closed = Hand(env)
    await closed.start()
    await closed.terminate()
    with rejects(Code.ALREADY_EXISTS, multi_failure) as refusal:
        await run(closed, {"workflow_id_reuse_policy": "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"})
    assert statuses(refusal)[0] == [6, 10]


async def test_joins_an_update_under_way_whatever_the_policy(env):
    hand = Hand(env)
    first = running(hand)
    task = await hand.poll()
    second = running(hand)
    await asyncio.sleep(0.2)
    await hand.answer(task, accept(task.messages[0]), respond("u", "one"))
    assert result_of((await first)[1]) == "one"
    start, update = await second
    assert not start.started and result_of(update) == "one"


async def test_the_same_start_updates_its_own_run(env):
    hand = Hand(env)
    given = hand.start_fields(request_id="the same")
    await hand.rpc.StartWorkflowExecution(**given)
    await hand.step()
    calling = running(hand, {"request_id": "the same"})
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    start, update = await calling
    assert not start.started and result_of(update) == 1


async def test_terminates_the_existing_run(env):
    hand = Hand(env)
    old = (await hand.start()).run_id
    await hand.step()
    calling = running(hand, {"workflow_id_conflict_policy": "TERMINATE_EXISTING"})
    task = await hand.poll()
    assert task.workflow_execution.run_id != old and len(task.messages) == 1
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    start, update = await calling
    assert start.started and start.run_id != old and result_of(update) == 1
    assert types(await hand.history(old))[-1] == "Terminated"


async def test_a_new_run_after_a_closed_one(env):
    hand = Hand(env)
    old = (await hand.start()).run_id
    await hand.step(complete_workflow())
    calling = running(hand)
    task = await hand.poll()
    await hand.answer(task, accept(task.messages[0]), respond("u", 1))
    start, _ = await calling
    assert start.started and start.run_id != old


@pytest.mark.parametrize(
    "start,update,codes",
    [
        ({"cron_schedule": "@daily"}, {}, [3, 10]),
        ({"request_eager_execution": True}, {}, [3, 10]),
        ({"workflow_start_delay": 5}, {}, [3, 10]),
        ({"workflow_type": {"name": ""}}, {}, [3, 10]),
        ({"namespace": "another"}, {}, [3, 10]),
        ({}, {"name": ""}, [10, 3]),
        ({}, {"first_execution_run_id": "11111111-2222-3333-4444-555555555555"}, [10, 3]),
        ({}, {"wait": "ADMITTED"}, [10, 7]),
        ({"cron_schedule": "@daily"}, {"name": ""}, [3, 3]),
    ],
)
async def test_each_operation_is_checked(env, start, update, codes):
    hand = Hand(env)
    with rejects(Code.PERMISSION_DENIED if 7 in codes else Code.INVALID_ARGUMENT, multi_failure) as refusal:
        await run(hand, start, **update)
    found, details = statuses(refusal)
    assert found == codes
    for code, detail in zip(found, details, strict=True):
        assert is_aborted(detail) == (code == 10)
    with rejects(Code.NOT_FOUND, not_found):
        await hand.describe("")


async def test_the_run_ids_of_both_agree(env):
    hand = Hand(env)
    start = hand.start_fields(namespace=env.namespace)
    of_another = hand.update_fields("up", run_id="", namespace=env.namespace)
    of_another["workflow_execution"] = {"workflow_id": "another", "run_id": ""}
    of_one = hand.update_fields("up", run_id="11111111-2222-3333-4444-555555555555", namespace=env.namespace)
    for fields in (of_another, of_one):
        with rejects(Code.INVALID_ARGUMENT, multi_failure) as refusal:
            await hand.rpc.ExecuteMultiOperation(
                operations=[{"start_workflow": start}, {"update_workflow": fields}]
            )
        assert statuses(refusal)[0] == [10, 3]


async def test_two_operations_and_these_two(env):
    hand = Hand(env)
    start, update = {"start_workflow": hand.start_fields()}, {"update_workflow": hand.update_fields("up", run_id="")}
    for operations in ([start], [update, start], [start, start], [start, update, update], [{}, {}]):
        with rejects(Code.INVALID_ARGUMENT) as refusal:
            await hand.rpc.ExecuteMultiOperation(operations=operations)
        assert not refusal.details


async def test_the_started_run_closes_without_an_answer(env):
    hand = Hand(env)
    calling = running(hand)
    task = await hand.poll()
    await hand.complete(task, complete_workflow())
    with rejects(Code.NOT_FOUND, multi_failure) as refusal:
        await calling
    codes, details = statuses(refusal)
    assert codes == [0, 5] and not details[0]


async def test_the_found_run_closes_and_another_is_started(env):
    hand = Hand(env)
    old = (await hand.start()).run_id
    task = await hand.poll()
    calling = running(hand, {"workflow_id_conflict_policy": "USE_EXISTING"})
    await hand.admitted()
    await hand.complete(task, complete_workflow())
    task = await hand.poll()
    assert task.workflow_execution.run_id != old and len(task.messages) == 1
    await hand.answer(task, accept(task.messages[0]), respond("u", "second"))
    start, update = await calling
    assert start.started and start.run_id != old and result_of(update) == "second"


async def test_the_found_run_continues_as_new(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    calling = running(hand, {"workflow_id_conflict_policy": "USE_EXISTING"})
    await hand.admitted()
    await hand.complete(task, continue_as_new("type", hand.queue, input=payloads(1)))
    with rejects(Code.RESOURCE_EXHAUSTED, multi_failure) as refusal:
        await calling
    codes, details = statuses(refusal)
    assert codes == [10, 8] and details[1][0].Is(resource_exhausted.DESCRIPTOR)
    check_tail(await hand.history(), E("WftCompleted"), E("ContinuedAsNew"))
