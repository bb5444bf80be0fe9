"""What each kind of state looks like after the server was killed at that point: as if nothing had happened."""

from __future__ import annotations

import asyncio

import pytest

from support.env import own_server, restart, start_again
from support.grpc_client import Code, already_started, rejects
from support.hand import (
    Hand,
    complete_workflow,
    failure,
    marker,
    payloads,
    retry_policy,
    seconds,
    start_timer,
)
from support.histories import PROLOGUE, E, check, check_tail, expect, find, find_attributes, time_of, types

pytestmark = pytest.mark.crash


async def test_a_started_workflow_and_its_task(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start(request_id="r-" + hand.workflow_id, input=payloads("in"))
        await restart(server)
        again = await hand.start(request_id="r-" + hand.workflow_id)
        assert again.started and again.run_id == hand.run_id
        with rejects(Code.ALREADY_EXISTS, already_started):
            await hand.rpc.StartWorkflowExecution(**hand.start_fields())
        task = await hand.poll()
        await restart(server)
        await hand.complete(task, complete_workflow("token outlives the server"))
        check(await hand.history(), *PROLOGUE, E("Completed", result=["token outlives the server"]))
        await restart(server, kill=False)
        check(await hand.history(), *PROLOGUE, E("Completed"))
        assert await hand.status() == "COMPLETED"
        listed = await hand.rpc.ListWorkflowExecutions(
            query=f"WorkflowId = '{hand.workflow_id}' AND ExecutionStatus = 'Completed'"
        )
        assert len(listed.executions) == 1


async def test_buffered_events(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        await hand.signal("one", request_id="one")
        await hand.cancel()
        await restart(server)
        await hand.signal("one", request_id="one")
        await hand.signal("two")
        check(await hand.history(), *PROLOGUE[:3])
        await hand.complete(task, marker("m"))
        check(
            await hand.history(),
            *PROLOGUE,
            E("MarkerRecorded"),
            E("Signaled", signal_name="one"),
            E("CancelRequested"),
            E("Signaled", signal_name="two"),
            E("WftScheduled"),
        )


async def test_timers_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step(start_timer("short", 0.3), start_timer("long", 2), start_timer("cancelled", 3600))
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.6)  # the short timer falls due while there is no server: the subject here
        await start_again(server)
        events = await hand.history_with("TimerFired", 2)
        fired = [event for event in events if types([event]) == ["TimerFired"]]
        assert [event.timer_fired_event_attributes.timer_id for event in fired] == ["short", "long"]
        started = time_of(find(events, "TimerStarted").event_time)
        assert time_of(fired[1].event_time) - started >= 1.999


async def test_activities_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step(
            hand.activity("started"),
            hand.activity("waiting"),
            hand.activity("failed", retry_policy=retry_policy(initial_interval=1)),
        )
        tasks = {}
        for _ in range(3):
            task = await hand.poll_activity()
            tasks[task.activity_id] = task
            if task.activity_id == "failed":
                await hand.fail_activity(task, failure("f1"))
        await hand.heartbeat(tasks["started"], "half way")
        await restart(server)
        pending = {info.activity_id: info for info in (await hand.describe()).pending_activities}
        expect(pending["started"], state="STARTED", attempt=1, heartbeat_details=["half way"])
        expect(pending["failed"], state="SCHEDULED", attempt=2, last_failure=dict(message="f1"))
        await hand.complete_activity(tasks["started"], "after the crash")
        with rejects(Code.NOT_FOUND):
            await hand.complete_activity(tasks["failed"], "an old attempt")
        await restart(server)
        retried = await hand.poll_activity()
        assert retried.activity_id == "failed" and retried.attempt == 2
        await hand.complete_activity(retried, "second")
        await hand.complete_activity(tasks["waiting"], "third")
        events = await hand.history()
        assert types(events).count("ActivityTaskCompleted") == 3


async def test_an_attempt_that_was_handed_out_is_not_handed_out_again(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step(
            hand.activity("a", start_to_close_timeout=1.5, retry_policy=retry_policy(initial_interval=0.1))
        )
        first = await hand.poll_activity()
        await restart(server)
        second = await hand.poll_activity()
        assert (first.attempt, second.attempt) == (1, 2)
        assert time_of(second.started_time) - time_of(first.started_time) >= 1.499
        await hand.complete_activity(second)


async def test_failing_tasks_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start(workflow_task_timeout=3)
        await hand.fail(await hand.poll())
        transient = await hand.poll()
        assert transient.attempt == 2
        await restart(server)
        following = await hand.poll()
        assert following.attempt == 3
        await hand.complete(following, complete_workflow())
        check(
            await hand.history(),
            *PROLOGUE[:3],
            E("WftFailed"),
            E("WftScheduled", attempt=3),
            E("WftStarted"),
            E("WftCompleted"),
            E("Completed"),
        )


async def test_start_delay_cron_and_retry_over_a_restart(env):
    async with own_server() as (server, own):
        delayed, cron, timed = Hand(own), Hand(own), Hand(own)
        await delayed.start(workflow_start_delay=1)
        await cron.start(cron_schedule="@every 1s")
        await timed.start(workflow_run_timeout=1)
        await restart(server)
        await delayed.step(complete_workflow())
        await cron.step(complete_workflow("r1"))
        await restart(server)
        await cron.step(complete_workflow("r2"))
        assert find_attributes(await cron.history(), "Completed").new_execution_run_id
        check_tail(await timed.history_with("TimedOut"), E("TimedOut"))
        await cron.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": cron.workflow_id})


async def test_page_tokens_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        for number in range(20):
            await hand.signal("s", number)
        others = [Hand(own) for _ in range(5)]
        for other in others:
            await other.start()
        page = await hand.rpc.GetWorkflowExecutionHistory(execution=hand.execution(), maximum_page_size=5)

        async def counted():
            return (await own.rpc.CountWorkflowExecutions()).count

        await own.visible(counted, 6)
        listing = await hand.rpc.ListWorkflowExecutions(page_size=2)
        await restart(server)
        rest = await hand.rpc.GetWorkflowExecutionHistory(
            execution=hand.execution(), maximum_page_size=100, next_page_token=page.next_page_token
        )
        assert [event.event_id for event in (*page.history.events, *rest.history.events)] == list(
            range(1, 23)
        )
        following = await hand.rpc.ListWorkflowExecutions(
            page_size=10, next_page_token=listing.next_page_token
        )
        assert len(listing.executions) + len(following.executions) == 6


async def test_operated_activities_over_a_restart(env):
    """Killed after each step of an operator: paused in the backoff, changed, reset, unpaused; and while one runs."""
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step(
            hand.activity("parked", type="p", retry_policy=retry_policy(initial_interval=3600)),
            hand.activity("running", type="r", retry_policy=retry_policy(initial_interval=0.1)),
        )
        running = None
        for _ in range(2):
            task = await hand.poll_activity()
            if task.activity_id == "parked":
                await hand.fail_activity(task, failure("f1"))
            else:
                running = task

        async def described(activity_id: str):
            pending = (await hand.describe()).pending_activities
            return next(info for info in pending if info.activity_id == activity_id)

        for kind in ("p", "r"):
            await hand.rpc.PauseActivity(
                execution=hand.execution(), type=kind, identity="operator", reason="why"
            )
        await restart(server)
        expect(await described("parked"), state="PAUSED", attempt=2, last_failure=dict(message="f1"))
        expect((await described("parked")).pause_info.manual, identity="operator", reason="why")
        expect(await described("running"), state="PAUSE_REQUESTED", attempt=1)
        listed = await hand.rpc.ListWorkflowExecutions(query=f"WorkflowId = '{hand.workflow_id}'")
        names = listed.executions[0].search_attributes.indexed_fields["TemporalPauseInfo"].data
        assert names == b'["property:activityType=p","property:activityType=r"]'
        assert (await hand.heartbeat(running, "half")).activity_paused
        await hand.fail_activity(running, failure("f2"))
        await restart(server)
        expect(await described("running"), state="PAUSED", attempt=2, heartbeat_details=["half"])
        await hand.rpc.UpdateActivityOptions(
            execution=hand.execution(),
            id="parked",
            update_mask={"paths": ["start_to_close_timeout"]},
            activity_options={"start_to_close_timeout": seconds(77)},
        )
        await restart(server)
        expect((await described("parked")).activity_options, start_to_close_timeout=77)
        await hand.rpc.ResetActivity(
            execution=hand.execution(), id="parked", keep_paused=True, restore_original_options=True
        )
        await restart(server)
        expect(await described("parked"), state="PAUSED", attempt=1)
        expect((await described("parked")).activity_options, start_to_close_timeout=60)
        await hand.rpc.UnpauseActivity(execution=hand.execution(), unpause_all=True)
        await restart(server)
        attempts = {}
        for _ in range(2):
            task = await hand.poll_activity()
            attempts[task.activity_id] = task.attempt
            await hand.complete_activity(task)
        assert attempts == {"parked": 1, "running": 2}
        check_tail(
            await hand.history(),
            E("WftCompleted"),
            E("ActivityTaskScheduled"),
            E("ActivityTaskScheduled"),
            E("ActivityTaskStarted"),
            E("ActivityTaskCompleted"),
            E("WftScheduled"),
            E("ActivityTaskStarted"),
            E("ActivityTaskCompleted"),
        )


async def test_a_paused_workflow_over_a_restart(env):
    """Killed after each step: the pause comes while a task runs, the task ends, a timer fires, the pause ends."""
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        await hand.rpc.PauseWorkflowExecution(
            workflow_id=hand.workflow_id, identity="operator", reason="why", request_id="p"
        )
        await restart(server)
        assert await hand.status() == "PAUSED"
        await hand.complete(task, hand.activity("a"), start_timer("t", 0.2))
        await restart(server)
        await hand.history_with("TimerFired")
        await hand.signal("s")
        await restart(server)
        assert await hand.status() == "PAUSED"
        expect((await hand.describe()).workflow_extended_info.pause_info, identity="operator", reason="why")
        listed = await hand.rpc.CountWorkflowExecutions(query="ExecutionStatus = 'Paused'")
        assert listed.count == 1
        await hand.rpc.PauseWorkflowExecution(workflow_id=hand.workflow_id, request_id="p")
        none = await hand.rpc.PollActivityTaskQueue(_seconds=3, task_queue={"name": hand.queue})
        assert not none.task_token
        await hand.rpc.UnpauseWorkflowExecution(workflow_id=hand.workflow_id, request_id="u")
        await restart(server)
        await hand.complete_activity(await hand.poll_activity())
        await hand.step(complete_workflow())
        check(
            await hand.history(),
            *PROLOGUE,
            E("ActivityTaskScheduled"),
            E("TimerStarted"),
            E("Paused"),
            E("TimerFired"),
            E("Signaled"),
            E("Unpaused"),
            E("WftScheduled"),
            E("ActivityTaskStarted"),
            E("ActivityTaskCompleted"),
            E("WftStarted"),
            E("WftCompleted"),
            E("Completed"),
        )


async def test_reported_problems_over_a_restart(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        for number in range(5):
            await hand.fail(await hand.poll())
            if number in (1, 4):
                await restart(server)
        fields = (await hand.describe()).workflow_execution_info.search_attributes.indexed_fields
        assert b"UnhandledFailure" in fields["TemporalReportedProblems"].data
        await hand.step(complete_workflow())
        fields = (await hand.describe()).workflow_execution_info.search_attributes.indexed_fields
        assert "TemporalReportedProblems" not in fields


async def test_namespaces_over_a_restart(env):
    async with own_server() as (server, own):
        await own.rpc.RegisterNamespace(
            namespace="kept", workflow_execution_retention_period=seconds(86400), description="d"
        )
        before = await own.rpc.DescribeNamespace(namespace="kept")
        default = await own.rpc.DescribeNamespace(namespace="default")
        cluster = (await own.rpc.GetClusterInfo()).cluster_id
        assert cluster and [each.cluster_id for each in (await own.rpc.ListClusters()).clusters] == [cluster]
        await restart(server)
        assert (await own.rpc.GetClusterInfo()).cluster_id == cluster
        assert await own.rpc.DescribeNamespace(namespace="kept") == before
        assert (
            await own.rpc.DescribeNamespace(namespace="default")
        ).namespace_info.id == default.namespace_info.id


async def test_a_clean_stop_ends_waiting_polls_and_exits_0(env):
    async with own_server() as (server, own):
        hand = Hand(own)
        await hand.start()
        await hand.step(start_timer("t", 3600))
        waiting = [asyncio.ensure_future(hand.poll_maybe(wait=30)) for _ in range(5)]
        waiting += [
            asyncio.ensure_future(
                hand.rpc.GetWorkflowExecutionHistory(
                    _seconds=30,
                    execution=hand.execution(),
                    wait_new_event=True,
                    history_event_filter_type="HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT",
                )
            )
        ]
        await hand.describe()
        await restart(server, kill=False)  # fails if it does not exit 0 in time
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        for answer in answers:
            assert not isinstance(answer, Exception) or answer.code() in (Code.UNAVAILABLE, Code.CANCELLED), (
                answer
            )
        check(await hand.history(), *PROLOGUE, E("TimerStarted"))


async def test_memory_stays_bounded_under_refused_input(env):
    async with own_server() as (server, own):
        await own.rpc.GetSystemInfo()
        before = server.resident_bytes()
        for _ in range(40):
            with rejects(Code.RESOURCE_EXHAUSTED):
                await own.rpc.raw(
                    "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo", bytes(5 << 20)
                )
        assert server.resident_bytes() - before < 400 << 20, (
            "40 refused messages of 5 MiB must not stay in memory"
        )
