"""Queries: direct, with a task, on closed workflows, rejected, failed, timed out."""

from __future__ import annotations

import asyncio

import pytest

from support.grpc_client import Code, not_found, query_failed, rejects, resource_exhausted, workflow_not_ready
from support.hand import Hand, complete_workflow, fail_workflow, failure, header, payloads, start_timer
from support.histories import PROLOGUE, E, check, expect, types

REJECT = "QUERY_REJECT_CONDITION_"


async def begin(env) -> Hand:
    """An idle run whose first task is done."""
    hand = Hand(env)
    await hand.start()
    await hand.step(start_timer("t", 60))
    return hand


async def test_a_direct_query(env):
    hand = await begin(env)
    asked = asyncio.ensure_future(
        hand.rpc.QueryWorkflow(
            execution=hand.execution(""),
            query={"query_type": "q", "query_args": payloads(1, "two"), "header": header(h="v")},
        )
    )
    task = await hand.poll()
    assert task.HasField("query") and task.query.query_type == "q"
    assert task.query.query_args == payloads(1, "two") and task.query.header == header(h="v")
    assert task.started_event_id == 0 and task.attempt == 1 and task.workflow_type.name == "type"
    assert task.workflow_execution.run_id == hand.run_id
    check(task.history.events, *PROLOGUE, E("TimerStarted"))
    await hand.answer_query(task, "answer")
    assert (await asked).query_result == payloads("answer")
    check(await hand.history(), *PROLOGUE, E("TimerStarted"))
    with rejects(Code.NOT_FOUND):
        await hand.answer_query(task, "late")


async def test_a_direct_query_on_a_sticky_queue_has_no_history(env):
    hand = Hand(env)
    await hand.start()
    polling = asyncio.ensure_future(hand.poll(sticky=True))
    await hand.step(sticky=True)
    asked = asyncio.ensure_future(hand.query())
    task = await polling
    assert task.HasField("query") and not task.history.events
    await hand.answer_query(task, 1)
    assert (await asked).query_result == payloads(1)


async def test_a_sticky_worker_that_does_not_answer_is_not_asked_again(env):
    hand = Hand(env)
    await hand.start()
    assert not (await hand.poll_maybe(sticky=True, wait=3)).task_token  # so that the queue counts as polled
    await hand.step(sticky=1.0)
    asked = asyncio.ensure_future(hand.query())
    task = await hand.poll()  # after the sticky queue's second, with the whole history
    check(task.history.events, *PROLOGUE)
    await hand.answer_query(task, 1)
    assert (await asked).query_result == payloads(1)
    await hand.signal("s")
    events = await hand.history()
    check(events, *PROLOGUE, E("Signaled"), E("WftScheduled", task_queue=hand.queue))
    await hand.terminate()


async def test_several_direct_queries_at_once(env):
    hand = await begin(env)
    asked = [asyncio.ensure_future(hand.query(f"q{number}")) for number in range(5)]
    for _ in range(5):
        task = await hand.poll()
        await hand.answer_query(task, task.query.query_type)
    assert [(await answer).query_result for answer in asked] == [
        payloads(f"q{number}") for number in range(5)
    ]


async def test_a_query_of_a_closed_workflow(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(complete_workflow("r"))
    asked = asyncio.ensure_future(hand.query())
    task = await hand.poll()
    check(task.history.events, *PROLOGUE, E("Completed"))
    await hand.answer_query(task, "from the grave")
    assert (await asked).query_result == payloads("from the grave")


async def test_a_query_rides_with_a_pending_task_and_sees_what_was_written_before(env):
    hand = await begin(env)
    await hand.signal("s")
    asked = asyncio.ensure_future(hand.query("with task"))
    task = await poll_with_query(hand)
    assert "Signaled" in types(task.history.events)
    [(query_id, query)] = task.queries.items()
    assert query.query_type == "with task"
    await hand.complete(
        task,
        query_results={query_id: {"result_type": "QUERY_RESULT_TYPE_ANSWERED", "answer": payloads("yes")}},
    )
    assert (await asked).query_result == payloads("yes")
    check(
        await hand.history(),
        *PROLOGUE,
        E("TimerStarted"),
        E("Signaled"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
    )


async def poll_with_query(hand: Hand):
    """The pending task once the query has been attached to it: the query must reach the server before the poll does."""
    for _ in range(3):
        await hand.describe()  # answers on this connection come after what was sent before them
    task = await hand.poll()
    assert task.queries, "the query did not come with the task"
    return task


async def test_a_query_that_came_during_a_task_is_answered_afterwards(env):
    hand = await begin(env)
    await hand.signal("s")
    task = await hand.poll()
    asked = asyncio.ensure_future(hand.query())
    for _ in range(3):
        await hand.describe()
    await hand.complete(task)
    direct = await hand.poll()
    assert direct.HasField("query")
    await hand.answer_query(direct, "after")
    assert (await asked).query_result == payloads("after")


async def test_an_unanswered_query_is_asked_directly(env):
    hand = await begin(env)
    await hand.signal("s")
    asked = asyncio.ensure_future(hand.query())
    task = await poll_with_query(hand)
    await hand.complete(task)
    direct = await hand.poll()
    assert direct.HasField("query")
    await hand.answer_query(direct, "second chance")
    assert (await asked).query_result == payloads("second chance")


async def test_a_second_buffered_query_is_busy(env):
    hand = await begin(env)
    await hand.signal("s")
    first = asyncio.ensure_future(hand.query("one"))
    for _ in range(3):
        await hand.describe()
    with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
        await hand.query("two")
    expect(refusal.detail(resource_exhausted), cause="BUSY_WORKFLOW")
    assert refusal.metadata["x-resource-exhausted-cause"] == "BusyWorkflow"
    assert refusal.metadata["x-resource-exhausted-scope"] == "Namespace"
    task = await hand.poll()
    [query_id] = task.queries
    await hand.complete(
        task, query_results={query_id: {"result_type": "QUERY_RESULT_TYPE_ANSWERED", "answer": payloads(1)}}
    )
    assert (await first).query_result == payloads(1)


async def test_a_failed_direct_query(env):
    hand = await begin(env)
    asked = asyncio.ensure_future(hand.query())
    task = await hand.poll()
    await hand.rpc.RespondQueryTaskCompleted(
        task_token=task.task_token,
        completed_type="QUERY_RESULT_TYPE_FAILED",
        error_message="unknown query q",
        failure=failure("unknown query q", type="NoSuch"),
    )
    with rejects(Code.INVALID_ARGUMENT, query_failed, text="unknown query q") as refusal:
        await asked
    assert refusal.message == "unknown query q"
    assert refusal.detail(query_failed).failure.application_failure_info.type == "NoSuch"


async def test_a_failed_buffered_query(env):
    hand = await begin(env)
    await hand.signal("s")
    asked = asyncio.ensure_future(hand.query())
    task = await poll_with_query(hand)
    [query_id] = task.queries
    await hand.complete(
        task, query_results={query_id: {"result_type": "QUERY_RESULT_TYPE_FAILED", "error_message": "broken"}}
    )
    with rejects(Code.INVALID_ARGUMENT, query_failed, text="broken"):
        await asked


@pytest.mark.parametrize(
    "status, condition, rejected",
    [
        ("RUNNING", "NONE", False),
        ("RUNNING", "NOT_OPEN", False),
        ("RUNNING", "NOT_COMPLETED_CLEANLY", False),
        ("COMPLETED", "NOT_OPEN", True),
        ("COMPLETED", "NOT_COMPLETED_CLEANLY", False),
        ("COMPLETED", "NONE", False),
        ("FAILED", "NOT_OPEN", True),
        ("FAILED", "NOT_COMPLETED_CLEANLY", True),
        ("FAILED", "NONE", False),
        ("TERMINATED", "NOT_COMPLETED_CLEANLY", True),
    ],
)
async def test_rejection(env, status, condition, rejected):
    hand = await begin(env)
    if status == "TERMINATED":
        await hand.terminate()
    elif status != "RUNNING":
        await hand.signal("s")
        await hand.step(complete_workflow() if status == "COMPLETED" else fail_workflow(failure("f")))
    asked = asyncio.ensure_future(hand.query(query_reject_condition=REJECT + condition))
    if rejected:
        expect((await asked).query_rejected, status=status)
        return
    await hand.answer_query(await hand.poll(), "fine")
    assert (await asked).query_result == payloads("fine")


async def test_no_worker_means_deadline_exceeded(env):
    hand = await begin(env)
    with rejects(Code.DEADLINE_EXCEEDED):
        await hand.query(wait=1.0)
    fresh = Hand(env)
    await fresh.start()
    with rejects(Code.DEADLINE_EXCEEDED):
        await fresh.query(wait=1.0)


async def test_not_ready(env):
    delayed = Hand(env)
    await delayed.start(workflow_start_delay=60)
    with rejects(Code.FAILED_PRECONDITION, workflow_not_ready):
        await delayed.query(wait=5)
    closed = Hand(env)
    await closed.start()
    await closed.terminate()
    with rejects(Code.FAILED_PRECONDITION, workflow_not_ready):
        await closed.query(wait=5)
    failing = Hand(env)
    await failing.start()
    for _ in range(2):
        await failing.fail(await failing.poll())
    await failing.poll()
    with rejects(Code.FAILED_PRECONDITION, workflow_not_ready):
        await failing.query(wait=5)


async def test_unknown_workflow(env):
    hand = Hand(env)
    with rejects(Code.NOT_FOUND, not_found):
        await hand.query()
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.QueryWorkflow(query={"query_type": "q"})


async def test_an_oversize_answer_fails_the_query(env):
    hand = await begin(env)
    asked = asyncio.ensure_future(hand.query())
    await hand.answer_query(await hand.poll(), "x" * (2 * 1024 * 1024 + 1))
    with rejects(Code.INVALID_ARGUMENT, query_failed):
        await asked


async def test_a_query_lost_by_its_worker_costs_only_the_callers_patience(env):
    hand = await begin(env)
    asked = asyncio.ensure_future(hand.query(wait=2.5))
    await hand.poll()
    with rejects(Code.DEADLINE_EXCEEDED):
        await asked
    again = asyncio.ensure_future(hand.query())
    await hand.answer_query(await hand.poll(), "this time")
    assert (await again).query_result == payloads("this time")
