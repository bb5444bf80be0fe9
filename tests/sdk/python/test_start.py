"""Starting workflows: the first events, id policies, deduplication, delays, timeouts, what the Started event keeps."""

from __future__ import annotations

import time

import pytest
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.enums.v1 import workflow_pb2

from support.grpc_client import Code, already_started, rejects
from support.hand import (
    Hand,
    cancel_workflow,
    complete_workflow,
    fail_workflow,
    failure,
    header,
    memo,
    payloads,
    retry_policy,
    search_attributes,
    seconds,
)
from support.histories import ABSENT, PRESENT, E, attributes, check, find, find_attributes, time_of

REUSE = "WORKFLOW_ID_REUSE_POLICY_"
CONFLICT = "WORKFLOW_ID_CONFLICT_POLICY_"
RUNNING = workflow_pb2.WORKFLOW_EXECUTION_STATUS_RUNNING


async def test_first_events_and_what_the_started_event_keeps(env):
    hand = Hand(env)
    response = await hand.start(
        input=payloads("a", 2),
        header=header(trace="t"),
        memo=memo(note="n"),
        workflow_execution_timeout=300,
        workflow_run_timeout=200,
        workflow_task_timeout=7,
        search_attributes=search_attributes(BatcherUser="me"),
        retry_policy=retry_policy(maximum_attempts=3),
    )
    assert response.started and response.run_id
    assert response.status == RUNNING
    events = await hand.history()
    check(
        events,
        E(
            "Started",
            workflow_type="type",
            task_queue=hand.queue,
            input=["a", 2],
            header={"trace": "t"},
            memo={"note": "n"},
            search_attributes={"BatcherUser": "me"},
            workflow_execution_timeout=300,
            workflow_run_timeout=200,
            workflow_task_timeout=7,
            attempt=1,
            identity="starter",
            workflow_id=hand.workflow_id,
            original_execution_run_id=hand.run_id,
            first_execution_run_id=hand.run_id,
            continued_execution_run_id="",
            initiator="UNSPECIFIED",
            first_workflow_task_backoff=0,
            cron_schedule="",
            root_workflow_execution=ABSENT,
            parent_workflow_execution=ABSENT,
            continued_failure=ABSENT,
            last_completion_result=ABSENT,
            retry_policy=dict(
                initial_interval=1, backoff_coefficient=2.0, maximum_interval=100, maximum_attempts=3
            ),
            workflow_execution_expiration_time=PRESENT,
        ),
        E("WftScheduled", task_queue=hand.queue, start_to_close_timeout=7, attempt=1),
    )
    expires = time_of(attributes(events[0]).workflow_execution_expiration_time)
    assert abs(expires - time_of(events[0].event_time) - 300) < 1


async def test_a_start_keeps_no_fields_without_a_value(env):
    nothing = common.Payload(metadata={"encoding": b"binary/null"})
    given = memo(note="n")
    given.fields["gone"].CopyFrom(nothing)
    hand = Hand(env)
    await hand.start(memo=given, search_attributes={"indexed_fields": {"BatcherUser": nothing}})
    started = find_attributes(await hand.history(), "Started")
    assert dict(started.memo.fields) == dict(memo(note="n").fields)
    assert not started.HasField("search_attributes")


async def test_defaults_of_the_started_event(env):
    hand = Hand(env)
    await hand.start()
    check(
        await hand.history(),
        E(
            "Started",
            workflow_task_timeout=10,
            workflow_execution_timeout=ABSENT,
            workflow_run_timeout=ABSENT,
            retry_policy=ABSENT,
            first_workflow_task_backoff=0,
            workflow_execution_expiration_time=ABSENT,
        ),
        E("WftScheduled", start_to_close_timeout=10),
    )


async def test_run_timeout_defaults_to_the_execution_timeout_and_caps_the_task_timeout(env):
    hand = Hand(env)
    await hand.start(workflow_execution_timeout=5, workflow_task_timeout=60)
    check(
        await hand.history(),
        E("Started", workflow_execution_timeout=5, workflow_run_timeout=5, workflow_task_timeout=5),
        E("WftScheduled", start_to_close_timeout=5),
    )
    longer = Hand(env)
    await longer.start(workflow_execution_timeout=100, workflow_run_timeout=900, workflow_task_timeout=500)
    check(
        await longer.history(),
        E("Started", workflow_run_timeout=100, workflow_task_timeout=100),
        E("WftScheduled"),
    )
    longest = Hand(env)
    await longest.start(workflow_task_timeout=500)
    check(
        await longest.history(),
        E("Started", workflow_task_timeout=120),
        E("WftScheduled", start_to_close_timeout=120),
    )


async def test_user_metadata_and_unknown_payload_metadata_round_trip(env):
    hand = Hand(env)
    odd = payloads(b"\x00\xff\x00")
    odd.payloads[0].metadata["odd-key"] = b"\xfe\x00\x01"
    await hand.start(
        input=odd,
        user_metadata={"summary": payloads("sum").payloads[0], "details": payloads("det").payloads[0]},
    )
    started = find(await hand.history(), "Started")
    assert attributes(started).input == odd
    assert started.user_metadata.summary.data == b'"sum"'
    config = (await hand.describe()).execution_config
    assert config.user_metadata.details.data == b'"det"'
    task = await hand.poll()
    assert attributes(task.history.events[0]).input == odd


# Deduplication by request id.


async def test_the_same_request_id_starts_once(env):
    hand = Hand(env)
    first = await hand.start(request_id="r1-" + hand.workflow_id)
    again = await hand.start(request_id="r1-" + hand.workflow_id)
    assert again.run_id == first.run_id and again.started
    for policy in ("FAIL", "USE_EXISTING", "TERMINATE_EXISTING"):
        same = await hand.start(
            request_id="r1-" + hand.workflow_id, workflow_id_conflict_policy=CONFLICT + policy
        )
        assert same.run_id == first.run_id and same.started, policy
    check(await hand.history(), E("Started"), E("WftScheduled"))


async def test_the_request_id_deduplicates_even_when_the_run_is_closed(env):
    hand = Hand(env)
    first = await hand.start(request_id="r1-" + hand.workflow_id)
    await hand.step(complete_workflow("done"))
    again = await hand.start(
        request_id="r1-" + hand.workflow_id, workflow_id_reuse_policy=REUSE + "REJECT_DUPLICATE"
    )
    assert again.run_id == first.run_id and again.started
    assert again.status == workflow_pb2.WORKFLOW_EXECUTION_STATUS_COMPLETED


async def test_the_request_id_of_an_older_run_does_not_deduplicate(env):
    hand = Hand(env)
    first = await hand.start(request_id="r1-" + hand.workflow_id)
    await hand.step(complete_workflow())
    second = await hand.start(request_id="r2-" + hand.workflow_id)
    await hand.step(complete_workflow())
    third = await hand.start(request_id="r1-" + hand.workflow_id)
    assert len({first.run_id, second.run_id, third.run_id}) == 3


# The outcome table: conflict policy for an open run, reuse policy for a closed one.


@pytest.mark.parametrize(
    "reuse", ["UNSPECIFIED", "ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE"]
)
@pytest.mark.parametrize("conflict", ["UNSPECIFIED", "FAIL", "USE_EXISTING", "TERMINATE_EXISTING"])
async def test_start_on_an_open_run(env, conflict, reuse):
    hand = Hand(env)
    first = await hand.start(request_id="first-" + hand.workflow_id)
    policies = dict(workflow_id_conflict_policy=CONFLICT + conflict, workflow_id_reuse_policy=REUSE + reuse)
    if conflict == "TERMINATE_EXISTING" and reuse == "REJECT_DUPLICATE":
        with rejects(Code.INVALID_ARGUMENT):
            await hand.start(**policies)
        assert await hand.status(first.run_id) == "RUNNING"
    elif conflict == "TERMINATE_EXISTING":
        second = await hand.start(**policies)
        assert second.started and second.run_id != first.run_id
        check(
            await hand.history(first.run_id),
            E("Started"),
            E("WftScheduled"),
            E("Terminated", identity="history-service", reason=PRESENT, details=PRESENT),
        )
        check(
            await hand.history(second.run_id),
            E("Started", first_execution_run_id=second.run_id),
            E("WftScheduled"),
        )
        details = find_attributes(await hand.history(first.run_id), "Terminated").details
        assert second.run_id.encode() in details.payloads[0].data
    elif conflict == "USE_EXISTING":
        second = await hand.start(**policies)
        assert not second.started and second.run_id == first.run_id and second.status == RUNNING
        check(await hand.history(), E("Started"), E("WftScheduled"))
    else:
        with rejects(Code.ALREADY_EXISTS, already_started) as refusal:
            await hand.start(**policies)
        detail = refusal.detail(already_started)
        assert detail.run_id == first.run_id
        assert detail.start_request_id == "first-" + hand.workflow_id
        check(await hand.history(first.run_id), E("Started"), E("WftScheduled"))


async def test_terminate_if_running_is_terminate_existing(env):
    hand = Hand(env)
    first = await hand.start()
    second = await hand.start(workflow_id_reuse_policy=REUSE + "TERMINATE_IF_RUNNING")
    assert second.run_id != first.run_id
    assert await hand.status(first.run_id) == "TERMINATED"
    for explicit in ("FAIL", "USE_EXISTING", "TERMINATE_EXISTING"):
        with rejects(Code.INVALID_ARGUMENT):
            await hand.start(
                workflow_id_reuse_policy=REUSE + "TERMINATE_IF_RUNNING",
                workflow_id_conflict_policy=CONFLICT + explicit,
            )
    assert await hand.status(second.run_id) == "RUNNING"


async def close_as(hand: Hand, how: str) -> None:
    if how == "TERMINATED":
        await hand.terminate()
    elif how == "TIMED_OUT":
        await hand.history_with("TimedOut")
    else:
        command = {
            "COMPLETED": complete_workflow(),
            "FAILED": fail_workflow(failure("no")),
            "CANCELED": cancel_workflow(),
        }[how]
        await hand.step(command)


@pytest.mark.parametrize("how", ["COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"])
@pytest.mark.parametrize(
    "reuse",
    [
        "UNSPECIFIED",
        "ALLOW_DUPLICATE",
        "ALLOW_DUPLICATE_FAILED_ONLY",
        "REJECT_DUPLICATE",
        "TERMINATE_IF_RUNNING",
    ],
)
async def test_start_on_a_closed_run(env, how, reuse):
    hand = Hand(env)
    timeout = {"workflow_run_timeout": 1} if how == "TIMED_OUT" else {}
    first = await hand.start(**timeout)
    await close_as(hand, how)
    assert await hand.status() == how
    refused = reuse == "REJECT_DUPLICATE" or (reuse == "ALLOW_DUPLICATE_FAILED_ONLY" and how == "COMPLETED")
    for conflict in ("FAIL", "USE_EXISTING", "TERMINATE_EXISTING"):
        if not refused:
            break
        if conflict == "TERMINATE_EXISTING" and reuse == "REJECT_DUPLICATE":
            continue
        with rejects(Code.ALREADY_EXISTS, already_started) as refusal:
            await hand.rpc.StartWorkflowExecution(
                **hand.start_fields(
                    workflow_id_reuse_policy=REUSE + reuse, workflow_id_conflict_policy=CONFLICT + conflict
                )
            )
        assert refusal.detail(already_started).run_id == first.run_id
    if not refused:
        second = await hand.start(workflow_id_reuse_policy=REUSE + reuse)
        assert second.started and second.run_id != first.run_id
        check(
            await hand.history(second.run_id),
            E("Started", first_execution_run_id=second.run_id, attempt=1),
            E("WftScheduled"),
        )
        assert await hand.status(first.run_id) == how


async def test_use_existing_on_no_run_starts_one(env):
    hand = Hand(env)
    response = await hand.start(workflow_id_conflict_policy=CONFLICT + "USE_EXISTING")
    assert response.started


async def test_use_existing_with_attached_request_id(env):
    hand = Hand(env)
    await hand.start()
    fields = dict(
        workflow_id_conflict_policy=CONFLICT + "USE_EXISTING", request_id="attached-" + hand.workflow_id
    )
    for _ in range(2):
        response = await hand.start(on_conflict_options={"attach_request_id": True}, **fields)
        assert not response.started
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("OptionsUpdated", attached_request_id=fields["request_id"]),
    )
    plain = await hand.rpc.StartWorkflowExecution(**hand.start_fields(request_id=fields["request_id"]))
    assert not plain.started and plain.run_id == hand.run_id


async def test_terminate_existing_fails_the_task_in_a_workers_hands_first(env):
    hand = Hand(env)
    first = await hand.start()
    await hand.poll()
    second = await hand.start(workflow_id_conflict_policy=CONFLICT + "TERMINATE_EXISTING")
    check(
        await hand.history(first.run_id),
        E("Started"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftFailed", cause="FORCE_CLOSE_COMMAND", identity="history-service", failure=ABSENT),
        E("Terminated"),
    )
    task = await hand.poll()
    assert task.workflow_execution.run_id == second.run_id


# Start delay.


async def test_start_delay(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=1)
    check(await hand.history(), E("Started", first_workflow_task_backoff=1, initiator="UNSPECIFIED"))
    info = (await hand.describe()).workflow_execution_info
    assert info.status == RUNNING
    assert abs(time_of(info.execution_time) - time_of(info.start_time) - 1) < 0.1
    await hand.signal("s", "early")
    check(await hand.history(), E("Started"), E("Signaled", signal_name="s"))
    events = await hand.history_with("WftScheduled")
    check(events, E("Started"), E("Signaled"), E("WftScheduled", attempt=1))
    assert time_of(events[2].event_time) - time_of(events[0].event_time) >= 0.999
    await hand.step(complete_workflow())


async def test_start_delay_counts_into_the_run_timeout_but_not_the_execution_timeout(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=1, workflow_run_timeout=1)
    events = await hand.history_with("TimedOut")
    assert 1.999 <= time_of(events[-1].event_time) - time_of(events[0].event_time) < 4
    short = Hand(env)
    await short.start(workflow_start_delay=30, workflow_execution_timeout=1)
    events = await short.history_with("TimedOut")
    check(events, E("Started", first_workflow_task_backoff=30), E("TimedOut", retry_state="TIMEOUT"))


async def test_cancel_during_the_start_delay_schedules_a_task_at_once(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=60)
    await hand.cancel()
    check(await hand.history(), E("Started"), E("CancelRequested", cause="because"), E("WftScheduled"))


async def test_terminate_during_the_start_delay(env):
    hand = Hand(env)
    await hand.start(workflow_start_delay=60)
    await hand.terminate()
    check(await hand.history(), E("Started"), E("Terminated", reason="enough"))


async def test_cron_and_start_delay_exclude_each_other(env):
    hand = Hand(env)
    with rejects(Code.INVALID_ARGUMENT):
        await hand.start(workflow_start_delay=60, cron_schedule="* * * * *")


# Timeouts of a run.


async def test_run_timeout_without_a_worker(env):
    hand = Hand(env)
    await hand.start(workflow_run_timeout=1)
    events = await hand.history_with("TimedOut")
    check(
        events, E("Started"), E("WftScheduled"), E("TimedOut", retry_state="RETRY_POLICY_NOT_SET", new_run="")
    )
    assert time_of(events[2].event_time) - time_of(events[0].event_time) >= 0.999
    assert await hand.status() == "TIMED_OUT"


async def test_run_timeout_fails_the_running_task_first(env):
    hand = Hand(env)
    await hand.start(workflow_run_timeout=1, workflow_task_timeout=60)
    task = await hand.poll()
    events = await hand.history_with("TimedOut")
    assert events[3].event_type  # the order is checked below
    if len(events) == 5:
        check(
            events,
            E("Started"),
            E("WftScheduled"),
            E("WftStarted"),
            E("WftFailed", cause="FORCE_CLOSE_COMMAND"),
            E("TimedOut"),
        )
    else:  # the task's own timeout is capped by the run's, and both are due at once
        check(
            events,
            E("Started"),
            E("WftScheduled"),
            E("WftStarted"),
            E("WftTimedOut"),
            E("WftScheduled"),
            E("TimedOut"),
        )
    with rejects(Code.NOT_FOUND):
        await hand.complete(task, complete_workflow())


async def test_execution_timeout_ends_the_chain(env):
    hand = Hand(env)
    await hand.start(workflow_execution_timeout=1, retry_policy=retry_policy(maximum_attempts=5))
    check(
        await hand.history_with("TimedOut"),
        E("Started"),
        E("WftScheduled"),
        E("TimedOut", retry_state="TIMEOUT", new_run=""),
    )


# Refusals.


@pytest.mark.parametrize(
    "fields",
    [
        {"workflow_id": ""},
        {"workflow_type": {"name": ""}},
        {"workflow_type": None},
        {"task_queue": {"name": ""}},
        {"task_queue": None},
        {"workflow_id": "x" * 1001},
        {"workflow_id": "é" * 501},
        {"workflow_type": {"name": "x" * 1001}},
        {"task_queue": {"name": "x" * 1001}},
        {"request_id": "x" * 1001},
        {"task_queue": {"name": "/_sys/q"}},
        {"workflow_execution_timeout": seconds(-1)},
        {"workflow_run_timeout": seconds(-1)},
        {"workflow_task_timeout": seconds(-1)},
        {"workflow_start_delay": seconds(-1)},
        {"cron_schedule": "not cron"},
        {"retry_policy": retry_policy(backoff_coefficient=0.5)},
        {"retry_policy": retry_policy(maximum_attempts=-1)},
        {"retry_policy": retry_policy(initial_interval=-1)},
        {"retry_policy": retry_policy(initial_interval=10, maximum_interval=5)},
        {"search_attributes": search_attributes(NoSuchAttribute="x")},
        {"search_attributes": search_attributes(WorkflowId="x")},
        {"search_attributes": search_attributes(BatcherUser=7)},
        {"priority": {"priority_key": -1}},
    ],
    ids=lambda fields: "-".join(fields),
)
async def test_start_refuses(env, fields):
    hand = Hand(env)
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.StartWorkflowExecution(**(hand.start_fields() | fields))
    if fields.get("workflow_id") is None:
        with rejects(Code.NOT_FOUND):
            await hand.describe("")


async def test_ids_of_1000_bytes_are_fine(env):
    hand = Hand(env, workflow_id=env.name("w").ljust(1000, "x"), queue=env.name("q").ljust(1000, "x"))
    await hand.start(workflow_type={"name": "t" * 1000}, request_id=env.name("r").ljust(1000, "x"))
    task = await hand.poll()
    assert task.workflow_execution.workflow_id == hand.workflow_id
    assert task.workflow_type.name == "t" * 1000


# Signal with start.


async def test_signal_with_start_starts(env):
    hand = Hand(env)
    response = await hand.signal_with_start("hello", 1, 2)
    assert response.started
    check(
        await hand.history(),
        E("Started"),
        E("Signaled", signal_name="hello", input=[1, 2], identity="starter"),
        E("WftScheduled"),
    )


async def test_signal_with_start_signals_an_open_run(env):
    hand = Hand(env)
    first = await hand.start()
    second = await hand.signal_with_start("hello")
    assert not second.started and second.run_id == first.run_id
    check(await hand.history(), E("Started"), E("WftScheduled"), E("Signaled", signal_name="hello"))


async def test_signal_with_start_on_a_closed_run(env):
    hand = Hand(env)
    first = await hand.start()
    await hand.step(complete_workflow())
    with rejects(Code.ALREADY_EXISTS, already_started) as refusal:
        await hand.signal_with_start("s", workflow_id_reuse_policy=REUSE + "REJECT_DUPLICATE")
    assert refusal.detail(already_started).run_id == first.run_id
    second = await hand.signal_with_start("s")
    assert second.started and second.run_id != first.run_id


async def test_signal_with_start_with_terminate_existing(env):
    hand = Hand(env)
    first = await hand.start()
    second = await hand.signal_with_start("s", workflow_id_conflict_policy=CONFLICT + "TERMINATE_EXISTING")
    assert second.started
    assert await hand.status(first.run_id) == "TERMINATED"
    check(await hand.history(second.run_id), E("Started"), E("Signaled"), E("WftScheduled"))


async def test_signal_with_start_refuses_the_fail_policy(env):
    hand = Hand(env)
    with rejects(Code.INVALID_ARGUMENT):
        await hand.signal_with_start("s", workflow_id_conflict_policy=CONFLICT + "FAIL")


async def test_signal_with_start_and_delay(env):
    hand = Hand(env)
    await hand.signal_with_start("s", workflow_start_delay=60)
    check(await hand.history(), E("Started"), E("Signaled"))
    again = await hand.signal_with_start("t")
    assert not again.started
    check(await hand.history(), E("Started"), E("Signaled"), E("Signaled"), E("WftScheduled"))


async def test_signal_with_start_is_deduplicated_by_its_request_id(env):
    hand = Hand(env)
    for _ in range(2):
        await hand.signal_with_start("s", request_id="one-" + hand.workflow_id)
    check(await hand.history(), E("Started"), E("Signaled"), E("WftScheduled"))


# Eager start.


async def test_eager_start_hands_out_the_first_task(env):
    hand = Hand(env)
    response = await hand.start(request_eager_execution=True, request_id="eager-" + hand.workflow_id)
    task = response.eager_workflow_task
    assert task.task_token and task.attempt == 1 and task.started_event_id == 3
    assert [event.event_id for event in task.history.events] == [1, 2, 3]
    check(
        await hand.history(),
        E("Started", eager_execution_accepted=True),
        E("WftScheduled"),
        E("WftStarted", scheduled=2, identity="starter", request_id="eager-" + hand.workflow_id),
    )
    again = await hand.start(request_eager_execution=True, request_id="eager-" + hand.workflow_id)
    assert again.eager_workflow_task.task_token, "a retried start gets the task again"
    await hand.complete(task, complete_workflow("fast"))
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed", result=["fast"]),
    )


async def test_a_lost_eager_task_comes_back_on_the_queue(env):
    hand = Hand(env)
    await hand.start(request_eager_execution=True, workflow_task_timeout=3)
    before = time.monotonic()
    task = await hand.poll()
    assert time.monotonic() - before < 10
    assert task.attempt == 2
    await hand.complete(task, complete_workflow())
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftTimedOut", scheduled=2, started=3, timeout_type="START_TO_CLOSE"),
        E("WftScheduled", attempt=2),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


async def test_eager_start_is_ignored_with_a_delay(env):
    hand = Hand(env)
    response = await hand.start(request_eager_execution=True, workflow_start_delay=60)
    assert not response.HasField("eager_workflow_task")
    check(await hand.history(), E("Started", eager_execution_accepted=False))
