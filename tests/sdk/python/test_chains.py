"""Runs that follow runs: continue-as-new, workflow retry, cron, run timeouts with a retry policy."""

from __future__ import annotations

import pytest

from support.grpc_client import Code, rejects
from support.hand import (
    Hand,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    header,
    memo,
    payloads,
    retry_policy,
    search_attributes,
    upsert_memo,
)
from support.histories import (
    ABSENT,
    PRESENT,
    PROLOGUE,
    E,
    attributes,
    check,
    expect,
    find_attributes,
    seconds_of,
    time_of,
)


async def started_of(hand: Hand, run_id: str):
    return attributes((await hand.history(run_id))[0])


async def test_continue_as_new(env):
    hand = Hand(env)
    first = (
        await hand.start(
            input=payloads("old"),
            memo=memo(old=1),
            workflow_execution_timeout=300,
            workflow_run_timeout=100,
            workflow_task_timeout=9,
            retry_policy=retry_policy(maximum_attempts=2),
        )
    ).run_id
    await hand.step(
        continue_as_new(
            "type",
            hand.queue,
            input=payloads("new", 2),
            memo=memo(new=2),
            header=header(h=1),
            search_attributes=search_attributes(BatcherUser="n"),
            workflow_run_timeout=50,
        )
    )
    old = await hand.history(first)
    check(
        old,
        *PROLOGUE,
        E(
            "ContinuedAsNew",
            workflow_type="type",
            task_queue=hand.queue,
            input=["new", 2],
            wftc=4,
            workflow_run_timeout=50,
            workflow_task_timeout=9,
            new_run=PRESENT,
            memo={"new": 2},
            header={"h": 1},
        ),
    )
    assert await hand.status(first) == "CONTINUED_AS_NEW"
    second = attributes(old[4]).new_execution_run_id
    task = await hand.poll()
    assert task.workflow_execution.run_id == second and task.attempt == 1
    await hand.complete(task, complete_workflow("end"))
    new = await hand.history(second)
    check(
        new,
        E(
            "Started",
            input=["new", 2],
            memo={"new": 2},
            header={"h": 1},
            search_attributes={"BatcherUser": "n"},
            continued_execution_run_id=first,
            first_execution_run_id=first,
            original_execution_run_id=second,
            initiator="WORKFLOW",
            attempt=1,
            workflow_run_timeout=50,
            workflow_task_timeout=9,
            workflow_execution_timeout=300,
            identity="",
            retry_policy=ABSENT,
            workflow_execution_expiration_time=PRESENT,
        ),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed", result=["end"]),
    )
    assert (
        attributes(new[0]).workflow_execution_expiration_time
        == attributes(old[0]).workflow_execution_expiration_time
    )
    backoff = seconds_of(attributes(new[0]).first_workflow_task_backoff)
    assert 0 < backoff <= 1, "a run that lived less than a second holds its successor back"
    assert time_of(new[1].event_time) - time_of(new[0].event_time) >= backoff - 0.001
    described = await hand.describe("")
    expect(described.workflow_execution_info, first_run_id=first, status="COMPLETED")


async def test_continue_as_new_with_a_backoff_of_its_own(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step(continue_as_new("other type", hand.queue, backoff_start_interval=1.5))
    second = find_attributes(await hand.history(first), "ContinuedAsNew").new_execution_run_id
    check(
        await hand.history(second),
        E(
            "Started",
            workflow_type="other type",
            first_workflow_task_backoff=lambda d: 1.49 < seconds_of(d) <= 1.5,
        ),
    )
    events = await hand.history_with("WftScheduled", run_id=second)
    assert time_of(events[1].event_time) - time_of(events[0].event_time) >= 1.49
    await hand.step(complete_workflow())


async def test_signals_go_to_the_new_run(env):
    hand = Hand(env)
    first = (await hand.start()).run_id
    await hand.step(continue_as_new("type", hand.queue))
    with rejects(Code.NOT_FOUND):
        await hand.signal("s")
    await hand.rpc.SignalWorkflowExecution(
        workflow_execution={"workflow_id": hand.workflow_id}, signal_name="s"
    )
    second = find_attributes(await hand.history(first), "ContinuedAsNew").new_execution_run_id
    events = await hand.history_with("Signaled", run_id=second)
    assert [event.event_type for event in events].count(1) == 1
    await hand.step(complete_workflow())


# Workflow retry.


async def test_workflow_retry(env):
    hand = Hand(env)
    first = (
        await hand.start(
            input=payloads("in"),
            memo=memo(m=1),
            search_attributes=search_attributes(BatcherUser="u"),
            retry_policy=retry_policy(initial_interval=1, maximum_attempts=2),
        )
    ).run_id
    await hand.step(upsert_memo(m=2), fail_workflow(failure("f1")))
    old = await hand.history(first)
    check(
        old,
        *PROLOGUE,
        E("WorkflowPropertiesModified"),
        E("Failed", failure=dict(message="f1"), retry_state="IN_PROGRESS", wftc=4, new_run=PRESENT),
    )
    second = attributes(old[5]).new_execution_run_id
    started = await started_of(hand, second)
    expect(
        started,
        input=["in"],
        memo={"m": 1},
        search_attributes={"BatcherUser": "u"},
        attempt=2,
        initiator="RETRY",
        identity="",
        continued_execution_run_id=first,
        first_execution_run_id=first,
        original_execution_run_id=second,
        continued_failure=dict(message="f1"),
        last_completion_result=ABSENT,
        retry_policy=dict(maximum_attempts=2),
    )
    assert 0.9 < seconds_of(started.first_workflow_task_backoff) <= 1
    await hand.step(fail_workflow(failure("f2")))
    check(
        await hand.history(second),
        E("Started"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Failed", failure=dict(message="f2"), retry_state="MAXIMUM_ATTEMPTS_REACHED", new_run=""),
    )
    assert await hand.status("") == "FAILED"


async def test_workflow_retry_succeeds(env):
    hand = Hand(env)
    await hand.start(retry_policy=retry_policy(initial_interval=0.1))
    await hand.step(fail_workflow(failure("f1")))
    await hand.step(complete_workflow("second time"))
    assert await hand.status("") == "COMPLETED"


@pytest.mark.parametrize(
    "why", [failure("f", non_retryable=True), failure("f", type="Fatal")], ids=["flag", "type"]
)
async def test_workflow_retry_stops_at_non_retryable(env, why):
    hand = Hand(env)
    await hand.start(retry_policy=retry_policy(initial_interval=0.1, non_retryable_error_types=["Fatal"]))
    await hand.step(fail_workflow(why))
    check(await hand.history(), *PROLOGUE, E("Failed", retry_state="NON_RETRYABLE_FAILURE", new_run=""))


async def test_cancelled_and_terminated_runs_are_not_retried(env):
    for close in (lambda hand: hand.step(cancel_workflow()), lambda hand: hand.terminate()):
        hand = Hand(env)
        await hand.start(retry_policy=retry_policy(initial_interval=0.1))
        await close(hand)
        assert (await hand.describe("")).workflow_execution_info.execution.run_id == hand.run_id


async def test_a_run_timeout_is_retried(env):
    hand = Hand(env)
    first = (
        await hand.start(
            workflow_run_timeout=4, retry_policy=retry_policy(initial_interval=0.1, maximum_attempts=2)
        )
    ).run_id
    old = await hand.history_with("TimedOut")
    check(old, E("Started"), E("WftScheduled"), E("TimedOut", retry_state="IN_PROGRESS", new_run=PRESENT))
    second = attributes(old[2]).new_execution_run_id
    expect(
        await started_of(hand, second),
        attempt=2,
        initiator="RETRY",
        first_execution_run_id=first,
        continued_failure=dict(
            message="workflow timeout", timeout_failure_info=dict(timeout_type="START_TO_CLOSE")
        ),
    )
    await hand.step(complete_workflow())
    assert await hand.status("") == "COMPLETED"


async def test_no_retry_across_the_execution_timeout(env):
    hand = Hand(env)
    await hand.start(workflow_execution_timeout=20, retry_policy=retry_policy(initial_interval=60))
    await hand.step(fail_workflow(failure("f")))
    check(await hand.history(), *PROLOGUE, E("Failed", retry_state="TIMEOUT", new_run=""))


# Cron.


async def test_cron(env):
    hand = Hand(env)
    first = (await hand.start(cron_schedule="@every 1s", input=payloads("in"))).run_id
    events = await hand.history(first)
    check(
        events[:1],
        E(
            "Started",
            initiator="CRON_SCHEDULE",
            cron_schedule="@every 1s",
            attempt=1,
            first_workflow_task_backoff=lambda d: 0 < seconds_of(d) <= 1,
        ),
    )
    await hand.step(complete_workflow("r1"))
    old = await hand.history(first)
    check(old, *PROLOGUE, E("Completed", result=["r1"], new_run=PRESENT))
    second = attributes(old[4]).new_execution_run_id
    expect(
        await started_of(hand, second),
        input=["in"],
        initiator="CRON_SCHEDULE",
        attempt=1,
        last_completion_result=["r1"],
        continued_failure=ABSENT,
        continued_execution_run_id=first,
        first_execution_run_id=first,
    )
    await hand.step(fail_workflow(failure("f2")))
    old = await hand.history(second)
    check(
        old,
        E("Started"),
        E("WftScheduled"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Failed", retry_state="RETRY_POLICY_NOT_SET", new_run=PRESENT),
    )
    third = attributes(old[4]).new_execution_run_id
    expect(
        await started_of(hand, third),
        last_completion_result=["r1"],
        continued_failure=dict(message="f2"),
        initiator="CRON_SCHEDULE",
    )
    await hand.step(cancel_workflow())
    assert (await hand.describe("")).workflow_execution_info.execution.run_id == third
    assert await hand.status("") == "CANCELED"


async def test_cron_with_a_retry_policy(env):
    hand = Hand(env)
    first = (
        await hand.start(
            cron_schedule="@every 1s", retry_policy=retry_policy(initial_interval=0.1, maximum_attempts=2)
        )
    ).run_id
    await hand.step(fail_workflow(failure("f1")))
    second = find_attributes(await hand.history(first), "Failed").new_execution_run_id
    expect(await started_of(hand, second), initiator="RETRY", attempt=2)
    await hand.step(fail_workflow(failure("f2")))
    failed = find_attributes(await hand.history(second), "Failed")
    expect(failed, retry_state="MAXIMUM_ATTEMPTS_REACHED", new_run=PRESENT)
    expect(await started_of(hand, failed.new_execution_run_id), initiator="CRON_SCHEDULE", attempt=1)
    await hand.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id})
    assert await hand.status("") == "TERMINATED"


@pytest.mark.parametrize(
    "spec",
    [
        "* * * * *",
        "@hourly",
        "@daily",
        "0 12 * * MON-FRI",
        "CRON_TZ=Europe/Berlin 30 4 1 1 *",
        "TZ=America/New_York 0 0 * * *",
        "@every 1h30m",
        "*/5 1,2 * * ?",
    ],
)
async def test_cron_specs(env, spec):
    hand = Hand(env)
    await hand.start(cron_schedule=spec)
    started = await started_of(hand, hand.run_id)
    backoff = seconds_of(started.first_workflow_task_backoff)
    assert 0 < backoff <= 366 * 86400 + 1
    if spec == "* * * * *":
        assert backoff <= 60
    if spec == "@every 1h30m":
        assert 5399 <= backoff <= 5400
    check(await hand.history(), E("Started", cron_schedule=spec))
    await hand.terminate()


@pytest.mark.parametrize(
    "spec",
    ["", "* * * *", "61 * * * *", "* 24 * * *", "nonsense", "@every soon", "CRON_TZ=Not/AZone * * * * *"][1:],
)
async def test_bad_cron_specs(env, spec):
    hand = Hand(env)
    with rejects(Code.INVALID_ARGUMENT):
        await hand.start(cron_schedule=spec)
