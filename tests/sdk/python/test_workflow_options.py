"""Options of a run that is under way, and what the server reports of runs whose workflow tasks keep failing."""

from __future__ import annotations

import asyncio

import pytest

from support.grpc_client import Code, not_found, rejects
from support.hand import Hand, complete_workflow, marker
from support.histories import ABSENT, PROLOGUE, E, attributes, check, expect, payload_value, types


async def update(hand: Hand, paths: list[str], **options: object):
    return await hand.rpc.UpdateWorkflowExecutionOptions(
        workflow_execution=hand.execution(),
        update_mask={"paths": paths},
        workflow_execution_options=options,
        identity="operator",
    )


async def idle(env, **fields: object) -> Hand:
    hand = Hand(env)
    await hand.start(**fields)
    await hand.step()
    return hand


async def test_priority(env):
    hand = await idle(env, priority={"priority_key": 4, "fairness_key": "a"})
    answer = await update(hand, ["priority.priority_key"], priority={"priority_key": 1, "fairness_key": "x"})
    expect(answer.workflow_execution_options, priority=dict(priority_key=1, fairness_key="a"))
    answer = await update(hand, ["priority.fairness_weight"], priority={"fairness_weight": 2.5})
    expect(
        answer.workflow_execution_options,
        priority=dict(priority_key=1, fairness_key="a", fairness_weight=2.5),
    )
    info = (await hand.describe()).workflow_execution_info
    expect(info.priority, priority_key=1, fairness_key="a", fairness_weight=2.5)
    check(
        await hand.history(),
        *PROLOGUE,
        E("OptionsUpdated", identity="operator", priority=dict(priority_key=1, fairness_key="a")),
        E("OptionsUpdated", priority=dict(priority_key=1, fairness_key="a", fairness_weight=2.5)),
    )
    await hand.terminate()


async def test_what_changes_nothing_writes_nothing(env):
    hand = await idle(env, priority={"priority_key": 4})
    answer = await update(hand, ["priority"], priority={"priority_key": 4})
    expect(answer.workflow_execution_options, priority=dict(priority_key=4))
    answer = await update(hand, [], priority={"priority_key": 2})
    expect(answer.workflow_execution_options, priority=dict(priority_key=4))
    check(await hand.history(), *PROLOGUE)
    await hand.terminate()


@pytest.mark.ours("it says so, and keeps the old one")
async def test_a_priority_taken_back(env):
    hand = await idle(env, priority={"priority_key": 4})
    answer = await update(hand, ["priority"])
    assert not answer.workflow_execution_options.priority.priority_key
    assert not (await hand.describe()).workflow_execution_info.priority.priority_key
    check(await hand.history(), *PROLOGUE, E("OptionsUpdated", priority=dict(priority_key=0)))
    await hand.terminate()


async def test_while_a_task_runs(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await update(hand, ["priority"], priority={"priority_key": 2})
    expect((await hand.describe()).workflow_execution_info.priority, priority_key=2)
    check(await hand.history(), *PROLOGUE[:3])
    await hand.complete(task, marker("m"))
    check(await hand.history(), *PROLOGUE, E("MarkerRecorded"), E("OptionsUpdated"), E("WftScheduled"))
    await hand.step(complete_workflow())


@pytest.mark.ours("snake case only, here; either for activities")
async def test_masks_in_camel_case(env):
    hand = await idle(env)
    answer = await update(hand, ["priority.fairnessKey"], priority={"priority_key": 3, "fairness_key": "k"})
    expect(answer.workflow_execution_options, priority=dict(priority_key=0, fairness_key="k"))
    await update(hand, ["versioningOverride"], versioning_override={"auto_upgrade": True})
    assert types(await hand.history())[-2:] == ["OptionsUpdated", "OptionsUpdated"]
    await hand.terminate()


async def test_a_waiting_task_is_still_handed_out_once(env):
    hand = Hand(env)
    await hand.start()
    await update(hand, ["priority"], priority={"priority_key": 1})
    await update(hand, ["priority"], priority={"priority_key": 5})
    await hand.step(complete_workflow())
    check(
        await hand.history(),
        E("Started"),
        E("WftScheduled"),
        E("OptionsUpdated"),
        E("OptionsUpdated"),
        E("WftStarted"),
        E("WftCompleted"),
        E("Completed"),
    )


async def test_automatic_upgrade(env):
    hand = await idle(env)
    answer = await update(hand, ["versioning_override"], versioning_override={"auto_upgrade": True})
    assert answer.workflow_execution_options.versioning_override.auto_upgrade
    info = (await hand.describe()).workflow_execution_info
    assert info.versioning_info.versioning_override.auto_upgrade
    answer = await update(hand, ["versioning_override"])
    expect(answer.workflow_execution_options, versioning_override=ABSENT)
    expect((await hand.describe()).workflow_execution_info.versioning_info, versioning_override=ABSENT)
    events = await hand.history()
    check(
        events,
        *PROLOGUE,
        E("OptionsUpdated", versioning_override=dict(auto_upgrade=True), unset_versioning_override=False),
        E("OptionsUpdated", versioning_override=ABSENT, unset_versioning_override=True),
    )
    await hand.terminate()


async def test_an_override_given_at_the_start(env):
    hand = await idle(env, versioning_override={"auto_upgrade": True})
    info = (await hand.describe()).workflow_execution_info
    assert info.versioning_info.versioning_override.auto_upgrade
    await hand.terminate()


async def test_an_override_said_in_the_older_way(env):
    older = {"behavior": "VERSIONING_BEHAVIOR_AUTO_UPGRADE"}
    hand = await idle(env, versioning_override=older)
    other = await idle(env)
    await update(other, ["versioning_override"], versioning_override=older)
    for each, event in ((hand, 0), (other, -1)):
        override = attributes((await each.history())[event]).versioning_override
        assert override.auto_upgrade and not override.behavior
        info = (await each.describe()).workflow_execution_info
        expect(info.versioning_info.versioning_override, behavior="AUTO_UPGRADE", auto_upgrade=True)
    for nothing in ({}, {"auto_upgrade": False}):
        with rejects(Code.INVALID_ARGUMENT, text="behavior"):
            await Hand(env).start(versioning_override=nothing)
        with rejects(Code.INVALID_ARGUMENT, text="behavior"):
            await update(hand, ["versioning_override"], versioning_override=nothing)
    await hand.terminate()
    await other.terminate()


async def test_a_version_that_does_not_exist(env):
    hand = await idle(env)
    with rejects(Code.FAILED_PRECONDITION):
        await update(
            hand,
            ["versioning_override"],
            versioning_override={
                "pinned": {
                    "behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED",
                    "version": {"deployment_name": "d", "build_id": "b"},
                }
            },
        )
    check(await hand.history(), *PROLOGUE)
    await hand.terminate()


@pytest.mark.ours("it takes parts of an override")
async def test_bad_requests(env):
    hand = await idle(env)
    for paths in (["nonsense"], ["priority.nonsense"], ["versioning_override.pinned"]):
        with rejects(Code.INVALID_ARGUMENT):
            await update(hand, paths, priority={"priority_key": 1})
    with rejects(Code.INVALID_ARGUMENT):
        await update(hand, ["priority"], priority={"priority_key": -1})
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.UpdateWorkflowExecutionOptions(
            workflow_execution=hand.execution(), workflow_execution_options={}
        )
    with rejects(Code.INVALID_ARGUMENT):
        await hand.rpc.UpdateWorkflowExecutionOptions(
            workflow_execution=hand.execution(), update_mask={"paths": ["priority"]}
        )
    check(await hand.history(), *PROLOGUE)
    await hand.terminate()
    with rejects(Code.NOT_FOUND, not_found):
        await update(hand, ["priority"], priority={"priority_key": 1})


# Problems.


async def problems(hand: Hand):
    fields = (await hand.describe()).workflow_execution_info.search_attributes.indexed_fields
    value = fields.get("TemporalReportedProblems")
    if value is None:
        return None
    assert value.metadata["type"] == b"KeywordList"
    return payload_value(value)


async def test_failures_in_a_row_are_reported(env):
    hand = Hand(env)
    await hand.start()
    for number in range(1, 6):
        assert await problems(hand) is None
        task = await hand.poll()
        assert task.attempt == number
        await hand.fail(task)
    assert await problems(hand) == [
        "category=WorkflowTaskFailed",
        "cause=WorkflowTaskFailedCauseWorkflowWorkerUnhandledFailure",
    ]
    await hand.step(marker("m"))
    assert await problems(hand) is None
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed"),
        E("WftScheduled", attempt=6),
        E("WftStarted"),
        E("WftCompleted"),
        E("MarkerRecorded"),
    )
    await hand.terminate()


@pytest.mark.ours("the first cause stays there")
async def test_the_last_cause_is_reported(env):
    hand = Hand(env)
    await hand.start()
    for _ in range(5):
        await hand.fail(await hand.poll())
    await hand.fail(await hand.poll(), cause="NON_DETERMINISTIC_ERROR")
    assert (await problems(hand))[1] == "cause=WorkflowTaskFailedCauseNonDeterministicError"
    await hand.terminate()


@pytest.mark.ours("it is not reported there")
async def test_timeouts_in_a_row_are_reported(env):
    hand = Hand(env)
    await hand.start(workflow_task_timeout=3)
    for _ in range(4):
        task = await hand.poll()
        await hand.signal("s")  # so that it is always a first attempt, whose timeout does not grow
        await hand.fail(task)
    await hand.poll()
    task = await hand.poll()
    assert task.attempt == 2
    assert await problems(hand) == [
        "category=WorkflowTaskTimedOut",
        "cause=WorkflowTaskTimedOutCauseStartToClose",
    ]
    await hand.complete(task, complete_workflow())
    assert await problems(hand) is None


async def test_a_flush_between_does_not_hide_it(env):
    """Attempts begin again when something was buffered; what is reported counts from the last completion."""
    hand = Hand(env)
    await hand.start()
    for _ in range(5):
        task = await hand.poll()
        await hand.signal("s")
        await hand.fail(task)
    assert await problems(hand) is not None
    assert types(await hand.history()).count("WftFailed") == 5
    await hand.terminate()


async def test_sticky_failures_do_not_count(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(sticky=True)
    waiting = asyncio.ensure_future(hand.poll(sticky=True))
    await hand.signal("s")
    await hand.fail(await waiting)
    for _ in range(4):
        await hand.fail(await hand.poll())
    assert await problems(hand) is None
    await hand.fail(await hand.poll())
    assert await problems(hand) is not None
    await hand.terminate()


@pytest.mark.ours("pausing is off there")
async def test_the_namespace_says_so(env):
    described = await env.rpc.DescribeNamespace(namespace=env.namespace)
    capabilities = described.namespace_info.capabilities
    assert capabilities.workflow_pause and capabilities.reported_problems_search_attribute
