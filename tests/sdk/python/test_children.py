"""Child workflows: start, ends of every kind, cancellation, parent close policies, taken ids, and who is told when."""

from __future__ import annotations

import asyncio

import pytest

from support.grpc_client import Code, namespace_not_found, rejects
from support.hand import (
    IDENTITY,
    Hand,
    cancel_external,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    header,
    marker,
    memo,
    payload,
    payloads,
    retry_policy,
    search_attributes,
    seconds,
    signal_external,
    start_child,
    start_timer,
)
from support.histories import (
    ABSENT,
    PRESENT,
    PROLOGUE,
    E,
    check,
    check_tail,
    expect,
    find,
    find_attributes,
    payload_value,
    types,
)
from support.server import is_reference

INITIATED = "StartChildWorkflowExecutionInitiated"
STARTED = "ChildWorkflowExecutionStarted"
SERVER = "history-service"


async def family(env, *children: Hand, policy: str = "", **fields: object) -> Hand:
    """A parent whose children have started."""
    parent = Hand(env)
    await parent.start()
    await parent.step(
        *[start_child(child.workflow_id, child.queue, policy=policy, **fields) for child in children]
    )
    await parent.history_with(STARTED, len(children))
    return parent


async def test_a_childs_start_and_result(env):
    parent, child = Hand(env), Hand(env)
    await parent.start()
    task = await parent.poll()
    command = start_child(
        child.workflow_id,
        child.queue,
        input=payloads("in"),
        workflow_execution_timeout=50,
        memo=memo(a=1),
        header=header(h=1),
        control="control",
        retry_policy=retry_policy(maximum_attempts=1),
    )
    command.user_metadata.summary.CopyFrom(payload("summary"))
    await parent.complete(task, command)
    child_task = await child.poll()
    pending = (await parent.describe()).pending_children
    assert len(pending) == 1
    expect(
        pending[0],
        workflow_id=child.workflow_id,
        run_id=child_task.workflow_execution.run_id,
        workflow_type_name="child",
        initiated_id=5,
        parent_close_policy="TERMINATE",
    )
    await child.complete(child_task, complete_workflow("out"))
    events = await parent.history_with("ChildWorkflowExecutionCompleted")
    run_id = child_task.workflow_execution.run_id
    namespace_id = find_attributes(events, INITIATED).namespace_id
    assert namespace_id
    execution = dict(workflow_id=child.workflow_id, run_id=run_id)
    check(
        events,
        *PROLOGUE,
        E(
            INITIATED,
            namespace="default",
            workflow_id=child.workflow_id,
            workflow_type="child",
            task_queue=child.queue,
            input=["in"],
            workflow_execution_timeout=50,
            workflow_run_timeout=50,
            workflow_task_timeout=10,
            parent_close_policy="TERMINATE",
            control="control",
            wftc=4,
            workflow_id_reuse_policy="ALLOW_DUPLICATE",
            retry_policy=dict(
                initial_interval=1, backoff_coefficient=2, maximum_interval=100, maximum_attempts=1
            ),
            header=dict(h=1),
            memo=dict(a=1),
        ),
        E(
            STARTED,
            namespace="default",
            namespace_id=namespace_id,
            initiated_event_id=5,
            workflow_execution=execution,
            workflow_type="child",
            header=dict(h=1),
        ),
        E("WftScheduled"),
        E(
            "ChildWorkflowExecutionCompleted",
            result=["out"],
            namespace="default",
            namespace_id=namespace_id,
            workflow_execution=execution,
            workflow_type="child",
            initiated_event_id=5,
            started_event_id=6,
        ),
    )
    assert payload_value(find(events, INITIATED).user_metadata.summary) == "summary"
    assert not (await parent.describe()).pending_children
    started = (await child.history(""))[0]
    assert payload_value(started.user_metadata.summary) == "summary"
    expect(
        started.workflow_execution_started_event_attributes,
        workflow_type="child",
        parent_workflow_namespace="default",
        parent_workflow_namespace_id=namespace_id,
        parent_workflow_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
        parent_initiated_event_id=5,
        root_workflow_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
        task_queue=child.queue,
        input=["in"],
        workflow_execution_timeout=50,
        workflow_run_timeout=50,
        workflow_task_timeout=10,
        original_execution_run_id=run_id,
        first_execution_run_id=run_id,
        identity=ABSENT,
        attempt=1,
        first_workflow_task_backoff=0,
        memo=dict(a=1),
        header=dict(h=1),
        workflow_id=child.workflow_id,
        initiator="UNSPECIFIED",
        continued_execution_run_id=ABSENT,
        workflow_execution_expiration_time=PRESENT,
    )


async def test_a_child_without_options(env):
    """The run timeout is written where a start by a client leaves it out; the queue is the parent's."""
    parent, child = Hand(env), Hand(env)
    child.queue = parent.queue
    await parent.start(priority=dict(priority_key=2, fairness_key="k"))
    await parent.step(start_child(child.workflow_id, "", priority=dict(priority_key=4)))
    check_tail(
        (await parent.history_with(STARTED))[:5],
        E(
            INITIATED,
            task_queue=parent.queue,
            workflow_execution_timeout=ABSENT,
            workflow_run_timeout=0,
            workflow_task_timeout=10,
            retry_policy=ABSENT,
            priority=dict(priority_key=4, fairness_key=""),
        ),
    )
    await child.history_with("WftScheduled", run_id="")
    check(
        await child.history(""),
        E(
            "Started",
            workflow_execution_timeout=ABSENT,
            workflow_run_timeout=0,
            retry_policy=ABSENT,
            priority=dict(priority_key=4, fairness_key="k"),
        ),
        E("WftScheduled", task_queue=parent.queue),
    )


async def test_an_id_that_is_taken(env):
    parent, other = Hand(env), Hand(env)
    await other.start()
    await parent.start()
    await parent.step(start_child(other.workflow_id, other.queue, control="c"))
    check(
        await parent.history_with("WftScheduled", 2),
        *PROLOGUE,
        E(INITIATED),
        E(
            "StartChildWorkflowExecutionFailed",
            namespace="default",
            workflow_id=other.workflow_id,
            workflow_type="child",
            cause="WORKFLOW_ALREADY_EXISTS",
            initiated_event_id=5,
            wftc=0,
        ),
        E("WftScheduled"),
    )
    assert not (await parent.describe()).pending_children
    check(await other.history(), E("Started"), E("WftScheduled"))


@pytest.mark.parametrize(
    ("policy", "how", "starts"),
    [
        ("ALLOW_DUPLICATE", "complete", True),
        ("ALLOW_DUPLICATE_FAILED_ONLY", "complete", False),
        ("ALLOW_DUPLICATE_FAILED_ONLY", "fail", True),
        ("REJECT_DUPLICATE", "fail", False),
        ("TERMINATE_IF_RUNNING", "run", True),
    ],
)
async def test_reuse_policies(env, policy, how, starts):
    parent, other = Hand(env), Hand(env)
    await other.start()
    if how == "complete":
        await other.step(complete_workflow())
    elif how == "fail":
        await other.step(fail_workflow(failure("f")))
    await parent.start()
    await parent.step(
        start_child(
            other.workflow_id, other.queue, workflow_id_reuse_policy=f"WORKFLOW_ID_REUSE_POLICY_{policy}"
        )
    )
    events = await parent.history_with("WftScheduled", 2)
    assert types(events)[5] == (STARTED if starts else "StartChildWorkflowExecutionFailed")
    if how == "run":
        check_tail(await other.history(), E("Terminated", identity=SERVER))


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (
            fail_workflow(failure("f")),
            E(
                "ChildWorkflowExecutionFailed",
                failure=dict(message="f"),
                retry_state="RETRY_POLICY_NOT_SET",
                initiated_event_id=5,
                started_event_id=6,
            ),
        ),
        (
            cancel_workflow("d"),
            E("ChildWorkflowExecutionCanceled", details=["d"], initiated_event_id=5, started_event_id=6),
        ),
    ],
)
async def test_a_child_that_fails_or_cancels(env, command, event):
    child = Hand(env)
    parent = await family(env, child)
    await child.step(command)
    check_tail(await parent.history_with(event.type), event)


async def test_a_child_that_times_out_or_is_terminated(env):
    slow, killed = Hand(env), Hand(env)
    parent = await family(env, slow, killed, workflow_run_timeout=3)
    killed.run_id = ""
    await killed.terminate()
    check_tail(
        await parent.history_with("ChildWorkflowExecutionTerminated"),
        E("ChildWorkflowExecutionTerminated", initiated_event_id=6),
    )
    events = await parent.history_with("ChildWorkflowExecutionTimedOut")
    expect(
        find_attributes(events, "ChildWorkflowExecutionTimedOut"),
        initiated_event_id=5,
        retry_state="RETRY_POLICY_NOT_SET",
        workflow_type="child",
    )


async def test_a_parent_hears_of_its_childs_chain_once(env):
    """Retries, then a continue-as-new, then the end: with the ids of the first and the last run."""
    child = Hand(env)
    parent = await family(env, child, retry_policy=retry_policy(initial_interval=0.1, maximum_attempts=3))
    first = (await child.step(fail_workflow(failure("once")))).workflow_execution.run_id
    second = (await child.step(continue_as_new("child", child.queue))).workflow_execution.run_id
    last = (await child.step(complete_workflow("end"))).workflow_execution.run_id
    assert len({first, second, last}) == 3
    events = await parent.history_with("ChildWorkflowExecutionCompleted")
    check_tail(
        events,
        E(STARTED, workflow_execution=dict(run_id=first)),
        E("WftScheduled"),
        E("ChildWorkflowExecutionCompleted", workflow_execution=dict(run_id=last), started_event_id=6),
    )
    started = find_attributes(await child.history(last), "Started")
    expect(
        started,
        parent_workflow_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
        parent_initiated_event_id=5,
        root_workflow_execution=dict(workflow_id=parent.workflow_id),
        first_execution_run_id=first,
    )


async def test_a_child_waits_for_its_backoff(env):
    child = Hand(env)
    parent = await family(env, child, cron_schedule="@every 1s")
    await child.step(complete_workflow(1))
    await child.step(complete_workflow(2))
    check_tail(await parent.history(), E(STARTED), E("WftScheduled"))
    child.run_id = ""
    await child.terminate()
    await parent.history_with("ChildWorkflowExecutionTerminated")


CLOSES = ["complete", "continue", "fail", "terminate", "time out"]


@pytest.mark.parametrize("how", CLOSES)
async def test_parent_close_policies(env, how):
    kills, cancels, leaves = Hand(env), Hand(env), Hand(env)
    parent = Hand(env)
    await parent.start(**({"workflow_run_timeout": 6} if how == "time out" else {}))
    await parent.step(
        start_child(kills.workflow_id, kills.queue, policy="TERMINATE"),
        start_child(cancels.workflow_id, cancels.queue, policy="REQUEST_CANCEL"),
        start_child(leaves.workflow_id, leaves.queue, policy="ABANDON"),
    )
    await parent.history_with(STARTED, 3)
    for child in (kills, cancels, leaves):
        await child.step(marker("m"))
    if how == "complete":
        await parent.step(complete_workflow())
    elif how == "fail":
        await parent.step(fail_workflow(failure("f")))
    elif how == "continue":
        await parent.step(continue_as_new("type", parent.queue))
    elif how == "terminate":
        await parent.terminate()
    check_tail(
        await kills.history_with("Terminated", run_id=""),
        E("MarkerRecorded"),
        E("Terminated", reason="by parent close policy", identity=SERVER, details=ABSENT),
    )
    check_tail(
        await cancels.history_with("WftScheduled", 2, run_id=""),
        E("MarkerRecorded"),
        E(
            "CancelRequested",
            cause="",
            identity=SERVER,
            external_initiated_event_id=0,
            external_workflow_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
        ),
        E("WftScheduled"),
    )
    await leaves.rpc.SignalWorkflowExecution(
        workflow_execution={"workflow_id": leaves.workflow_id}, signal_name="s"
    )
    check_tail(await leaves.history(""), E("MarkerRecorded"), E("Signaled"), E("WftScheduled"))
    await leaves.step(complete_workflow())
    assert await leaves.status("") == "COMPLETED"


async def test_start_and_close_in_one_task_starts_nothing(env):
    parent, child = Hand(env), Hand(env)
    await parent.start()
    await parent.step(start_child(child.workflow_id, child.queue, policy="ABANDON"), complete_workflow())
    check(await parent.history(), *PROLOGUE, E(INITIATED), E("Completed"))
    # Had it been started, this one would come after it.
    other = await family(env, Hand(env))
    assert await other.status() == "RUNNING"
    with rejects(Code.NOT_FOUND):
        await child.describe("")


async def test_cancelling_a_child(env):
    child = Hand(env)
    parent = await family(env, child)
    await child.step()
    await parent.step(cancel_external(child.workflow_id, child_workflow_only=True, reason="why"))
    check_tail(
        await parent.history_with("ExternalWorkflowExecutionCancelRequested"),
        E(
            "RequestCancelExternalWorkflowExecutionInitiated",
            workflow_execution=dict(workflow_id=child.workflow_id, run_id=""),
            child_workflow_only=True,
            reason="why",
            wftc=9,
        ),
        E("ExternalWorkflowExecutionCancelRequested", initiated_event_id=10),
        E("WftScheduled"),
    )
    await child.step(cancel_workflow())
    check_tail(
        await parent.history_with("ChildWorkflowExecutionCanceled"),
        E("ChildWorkflowExecutionCanceled", details=ABSENT, initiated_event_id=5, started_event_id=6),
    )


async def test_a_child_starts_and_ends_while_the_parents_task_runs(env):
    """Ends of children go behind everything else of a flush, and know the ids that their starts have got in it."""
    parent, child = Hand(env), Hand(env)
    await parent.start()
    await parent.step(
        start_child(child.workflow_id, child.queue), parent.activity("a"), start_timer("t", 3600)
    )
    await parent.signal("wake")
    running = await parent.poll()
    child_task = await child.poll()
    activity = await parent.poll_activity()
    await parent.complete_activity(activity, "r")
    await child.complete(child_task, complete_workflow("c"))

    async def ended():
        return len((await parent.describe()).pending_children)

    for _ in range(200):
        if await ended() == 0:
            break
        await asyncio.sleep(0.02)  # nothing can be waited for: the event is in the buffer
    await parent.signal("late")
    await parent.complete(running, marker("m"))
    events = await parent.history()
    tail = types(events)[types(events).index("MarkerRecorded") :]
    assert tail[-1] == "WftScheduled"
    if STARTED in tail:
        assert tail[1:-1] == [
            STARTED,
            "ActivityTaskStarted",
            "Signaled",
            "ActivityTaskCompleted",
            "ChildWorkflowExecutionCompleted",
        ]
    completed = find_attributes(events, "ChildWorkflowExecutionCompleted")
    assert completed.started_event_id == find(events, STARTED).event_id


async def test_a_grandchild_has_the_same_root(env):
    child, grandchild = Hand(env), Hand(env)
    parent = await family(env, child)
    await child.step(start_child(grandchild.workflow_id, grandchild.queue))
    await grandchild.poll()
    described = (await grandchild.describe("")).workflow_execution_info
    expect(
        described,
        parent_execution=dict(workflow_id=child.workflow_id),
        root_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
    )
    assert described.parent_namespace_id
    expect(
        (await parent.describe()).workflow_execution_info,
        root_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
        parent_execution=ABSENT,
    )

    async def ids(query: str):
        listed = (await env.rpc.ListWorkflowExecutions(query=query)).executions
        return sorted(info.execution.workflow_id for info in listed)

    family_ids = sorted(hand.workflow_id for hand in (parent, child, grandchild))
    await env.visible(lambda: ids(f"RootWorkflowId = '{parent.workflow_id}'"), family_ids)
    await env.visible(lambda: ids(f"RootRunId = '{parent.run_id}'"), family_ids)
    await env.visible(lambda: ids(f"ParentWorkflowId = '{parent.workflow_id}'"), [child.workflow_id])
    await env.visible(lambda: ids(f"ParentRunId = '{parent.run_id}'"), [child.workflow_id])
    await env.visible(
        lambda: ids(f"RootWorkflowId = '{parent.workflow_id}' AND ParentWorkflowId IS NULL"),
        [parent.workflow_id],
    )
    listed = (
        await env.rpc.ListWorkflowExecutions(query=f"WorkflowId = '{grandchild.workflow_id}'")
    ).executions
    expect(
        listed[0],
        parent_execution=dict(workflow_id=child.workflow_id),
        root_execution=dict(workflow_id=parent.workflow_id),
    )


async def test_signalling_a_child_and_only_a_child(env):
    child, stranger = Hand(env), Hand(env)
    parent = await family(env, child)
    await stranger.start()
    await parent.step(
        signal_external(child.workflow_id, "mine", child_workflow_only=True),
        signal_external(stranger.workflow_id, "not mine", child_workflow_only=True),
    )
    await parent.history_with("ExternalWorkflowExecutionSignaled")
    events = await parent.history_with("SignalExternalWorkflowExecutionFailed")
    assert find_attributes(events, "ExternalWorkflowExecutionSignaled").initiated_event_id == 10
    assert find_attributes(events, "SignalExternalWorkflowExecutionFailed").initiated_event_id == 11
    expect(
        find_attributes(await child.history(""), "Signaled"),
        signal_name="mine",
        external_workflow_execution=dict(workflow_id=parent.workflow_id, run_id=parent.run_id),
    )
    assert "Signaled" not in types(await stranger.history())


async def test_a_start_that_takes_a_childs_id(env):
    child = Hand(env)
    parent = await family(env, child)
    await child.start(workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING")
    check_tail(
        await parent.history_with("ChildWorkflowExecutionTerminated"),
        E("ChildWorkflowExecutionTerminated", initiated_event_id=5, started_event_id=6),
    )
    await parent.terminate()
    other = await family(env, Hand(env))  # what the end of the first parent has to say has been said before
    assert await other.status() == await child.status() == "RUNNING"


async def test_deleting_a_child(env):
    child = Hand(env)
    parent = await family(env, child)
    await env.rpc.DeleteWorkflowExecution(workflow_execution={"workflow_id": child.workflow_id})
    check_tail(
        await parent.history_with("ChildWorkflowExecutionTerminated"),
        E("ChildWorkflowExecutionTerminated", initiated_event_id=5, started_event_id=6),
    )


async def test_a_parent_that_is_reset(env):
    """What was begun before the cut goes on with the new run; a child that was begun after it keeps its id."""
    kept, again = Hand(env), Hand(env)
    parent = await family(env, kept)
    await parent.step(start_child(again.workflow_id, again.queue))
    await parent.history_with(STARTED, 2)
    parent.run_id = (
        await env.rpc.ResetWorkflowExecution(
            workflow_execution=parent.execution(),
            workflow_task_finish_event_id=9,
            request_id=env.name("reset"),
            reason="r",
        )
    ).run_id
    await kept.step(complete_workflow("kept"))
    check_tail(
        await parent.history_with("ChildWorkflowExecutionCompleted"),
        E("WftFailed", cause="RESET_WORKFLOW"),
        E("WftScheduled"),
        E("ChildWorkflowExecutionCompleted", initiated_event_id=5, started_event_id=6, result=["kept"]),
    )
    await parent.step(start_child(again.workflow_id, again.queue))
    check_tail(
        await parent.history_with("StartChildWorkflowExecutionFailed"),
        E("StartChildWorkflowExecutionFailed", cause="WORKFLOW_ALREADY_EXISTS"),
        E("WftScheduled"),
    )
    await again.step(complete_workflow())
    assert await again.status("") == "COMPLETED"


@pytest.mark.ours("a parent that was reset does not reach its children there")
async def test_a_parent_that_is_reset_and_ends(env):
    child = Hand(env)
    parent = await family(env, child)
    await parent.step()
    parent.run_id = (
        await env.rpc.ResetWorkflowExecution(
            workflow_execution=parent.execution(),
            workflow_task_finish_event_id=9,
            request_id=env.name("reset"),
            reason="r",
        )
    ).run_id
    await child.step()
    await parent.step(cancel_external(child.workflow_id, child_workflow_only=True))
    await parent.history_with("ExternalWorkflowExecutionCancelRequested")
    assert "CancelRequested" in types(await child.history(""))
    await parent.terminate()
    check_tail(
        await child.history_with("Terminated", run_id=""), E("Terminated", reason="by parent close policy")
    )


BAD = "BAD_START_CHILD_EXECUTION_ATTRIBUTES"


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        (dict(workflow_id=""), BAD),
        (dict(workflow_id="x" * 1001), BAD),
        (dict(workflow_type={"name": ""}), BAD),
        (dict(workflow_type={"name": "x" * 1001}), BAD),
        (dict(workflow_run_timeout=-1), BAD),
        (dict(workflow_execution_timeout=-1), BAD),
        (dict(workflow_task_timeout=-1), BAD),
        (dict(cron_schedule="bad"), BAD),
        (dict(retry_policy=retry_policy(maximum_attempts=-1)), BAD),
        (dict(task_queue={"name": "/_sys/q"}), BAD),
        (dict(priority=dict(priority_key=-1)), BAD),
        (dict(search_attributes=search_attributes(NoSuchAttribute="x")), "BAD_SEARCH_ATTRIBUTES"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_bad_attributes(env, fields, cause):
    parent = Hand(env)
    await parent.start()
    task = await parent.poll()
    command = start_child(env.name("child"), env.name("queue"), **fields)
    with rejects(Code.INVALID_ARGUMENT):
        await parent.complete(task, marker("m"), command)
    check(
        await parent.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause=cause, identity=IDENTITY, failure=PRESENT),
    )


async def test_unknown_and_other_namespaces(env):
    """One that does not exist is the request's fault, and the task stays where it is."""
    parent = Hand(env)
    await parent.start()
    task = await parent.poll()
    for command in (
        start_child("w", "q", namespace="no-such-namespace"),
        cancel_external("w", namespace="no-such-namespace"),
    ):
        with rejects(Code.NOT_FOUND, namespace_not_found):
            await parent.complete(task, command)
    other = "temporal-system"  # the reference needs a while to notice new ones
    if not is_reference():
        other = env.name("other")
        await env.rpc.RegisterNamespace(namespace=other, workflow_execution_retention_period=seconds(86400))
    with rejects(Code.INVALID_ARGUMENT):
        await parent.complete(task, start_child("w", "q", namespace=other))
    check(await parent.history(), *PROLOGUE[:3], E("WftFailed", cause=BAD))


async def test_starting_and_cancelling_a_child_in_one_task(env):
    parent, child = Hand(env), Hand(env)
    await parent.start()
    task = await parent.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await parent.complete(
            task, start_child(child.workflow_id, child.queue), cancel_external(child.workflow_id)
        )
    check(
        await parent.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES"),
    )


async def test_too_large_an_input_ends_the_parent(env):
    parent = Hand(env)
    await parent.start()
    task = await parent.poll()
    with rejects(Code.INVALID_ARGUMENT):
        await parent.complete(task, start_child("w", "q", input=payloads(bytes((2 << 20) + 1))))
    check(await parent.history(), *PROLOGUE[:3], E("WftFailed", cause=BAD), E("Terminated", identity=SERVER))


async def test_the_limit_of_pending_children(env):
    parent = Hand(env)
    await parent.start()
    task = await parent.poll()
    queue = env.name("queue")
    too_many = [start_child(env.name("child"), queue) for _ in range(2001)]
    with rejects(Code.INVALID_ARGUMENT):
        await parent.complete(task, *too_many)
    check(
        await parent.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED"),
    )
