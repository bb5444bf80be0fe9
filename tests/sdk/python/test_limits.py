"""Limits of a namespace: each at the limit and one past it, in a namespace of its own where the limit is small.

What the limits are called, and what they are by default, is `docs/reference/limits.md`.
"""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.update.v1 import message_pb2 as update_pb2

from support.env import Env, own_server, restart
from support.grpc_client import Code, rejects, resource_exhausted
from support.hand import (
    IDENTITY,
    Hand,
    accept,
    cancel_external,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    header,
    marker,
    memo,
    payloads,
    respond,
    retry_policy,
    search_attributes,
    seconds,
    signal_external,
    start_child,
    start_timer,
    upsert_memo,
    upsert_search_attributes,
)
from support.histories import ABSENT, PRESENT, PROLOGUE, E, check, check_tail, find, find_attributes, types

pytestmark = pytest.mark.ours("limits are set by data of the namespace")


@contextlib.asynccontextmanager
async def limited(env: Env, **limits: int):
    """A namespace with these limits, as an Env."""
    name = env.name("limits")
    await env.rpc.RegisterNamespace(
        namespace=name,
        data={f"perdure.limit.{key.replace('_', '-')}": str(value) for key, value in limits.items()},
        workflow_execution_retention_period=seconds(86400),
    )
    own = Env(env.address, name)
    try:
        yield own
    finally:
        await own.close()


def sized(message, size: int):
    """`message` of these bytes: one payload in it is filled until it is as long as wanted."""
    target = message
    while not isinstance(target, common.Payload):
        target = next(iter(target.payloads)) if isinstance(target, common.Payloads) else target
    short = size - message.ByteSize()
    assert short >= 0, f"it is {message.ByteSize()} bytes long already"
    target.data += b"x" * short
    while message.ByteSize() > size:
        target.data = target.data[: -(message.ByteSize() - size)]
    assert message.ByteSize() == size
    return message


def blob(size: int) -> common.Payloads:
    return sized(common.Payloads(payloads=[common.Payload(data=b"x")]), size)


def text(size: int) -> str:
    return "x" * size


# Setting them.


async def test_limits_are_data_of_the_namespace(env):
    async with limited(env, payload_size_max=1000, memo_size_max=500) as own:
        described = await own.rpc.DescribeNamespace(namespace=own.namespace)
        assert described.namespace_info.limits.blob_size_limit_error == 1000
        assert described.namespace_info.limits.memo_size_limit_error == 500
        assert described.namespace_info.data["perdure.limit.payload-size-max"] == "1000"
        hand = Hand(own)
        with rejects(Code.INVALID_ARGUMENT, text="1000 bytes"):
            await hand.start(input=blob(1001))
        await own.rpc.UpdateNamespace(
            namespace=own.namespace, update_info={"data": {"perdure.limit.payload-size-max": "2K"}}
        )
        await hand.start(input=blob(2048))
        with rejects(Code.INVALID_ARGUMENT, text="2048 bytes"):
            await Hand(own).start(input=blob(2049))
        # An empty value takes the limit back; the server's own is in force again.
        await own.rpc.UpdateNamespace(
            namespace=own.namespace, update_info={"data": {"perdure.limit.payload-size-max": ""}}
        )
        await Hand(own).start(input=blob(5000))
        described = await own.rpc.DescribeNamespace(namespace=own.namespace)
        assert described.namespace_info.limits.blob_size_limit_error == 2 << 20
        assert "perdure.limit.payload-size-max" not in described.namespace_info.data
    default = await env.rpc.DescribeNamespace(namespace=env.namespace)
    assert default.namespace_info.limits.blob_size_limit_error == 2 << 20


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("no-such", "1", "no limit called no-such"),
        ("payload-size-max", "0", "from 64 to 4194304 bytes"),
        ("payload-size-max", "5M", "from 64 to"),
        ("payload-size-max", "many", "not many"),
        ("payload-size-max", "-1", "not -1"),
        ("signals-max", "1K", "not 1K"),
    ],
)
async def test_wrong_limits_are_refused(env, name, value, says):
    with rejects(Code.INVALID_ARGUMENT, text=says):
        await env.rpc.RegisterNamespace(
            namespace=env.name("ns"),
            data={f"perdure.limit.{name}": value},
            workflow_execution_retention_period=seconds(86400),
        )
    with rejects(Code.INVALID_ARGUMENT, text=says):
        await env.rpc.UpdateNamespace(
            namespace=env.namespace, update_info={"data": {f"perdure.limit.{name}": value}}
        )


@pytest.mark.crash
async def test_limits_outlive_the_server(env):
    async with own_server("--limit", "signals-max=3") as (server, default):
        async with limited(default, signals_max=1) as own:
            hand, other = Hand(own), Hand(default)
            await hand.start()
            await hand.signal("first")
            await restart(server)
            with rejects(Code.INVALID_ARGUMENT, text="limit of 1 signals"):
                await hand.signal("second")
            await other.start()
            for name in "abc":
                await other.signal(name)
            with rejects(Code.INVALID_ARGUMENT, text="limit of 3 signals"):
                await other.signal("d")


# What calls carry.


async def test_ids(env):
    async with limited(env, id_size_max=40) as own:
        for field, at, past in (
            ("workflow_id", text(40), text(41)),
            ("workflow_type", {"name": text(40)}, {"name": text(41)}),
            ("task_queue", {"name": text(40)}, {"name": text(41)}),
            ("request_id", text(40), text(41)),
        ):
            base = dict(
                workflow_id=own.unique[:8] + field, workflow_type={"name": "t"}, task_queue={"name": "q"}
            )
            fields = Hand(own).start_fields() | base | {"request_id": own.unique[:8] + field}
            with rejects(Code.INVALID_ARGUMENT, text="limit of 40 bytes"):
                await own.rpc.StartWorkflowExecution(**fields | {field: past})
            await own.rpc.StartWorkflowExecution(**fields | {field: at})
        hand = Hand(own, workflow_id="w", queue="q-" + own.unique)
        await hand.start(request_id="r")
        with rejects(Code.INVALID_ARGUMENT, text="SignalName"):
            await hand.signal(text(41))
        await hand.signal(text(40))


async def test_ids_of_other_calls(env):
    async with limited(env, id_size_max=60, build_id_size_max=20) as own:
        hand = Hand(own)
        await hand.start()
        at, past = text(60), text(61)
        with rejects(Code.INVALID_ARGUMENT, text="QueryType"):
            await hand.query(past)
        with rejects(Code.INVALID_ARGUMENT, text="RequestId"):
            await hand.cancel(request_id=past)
        await hand.cancel(request_id=at)
        with rejects(Code.INVALID_ARGUMENT, text="RequestId"):
            await own.rpc.ResetWorkflowExecution(
                workflow_execution=hand.execution(), request_id=past, workflow_task_finish_event_id=3
            )
        for fields in (
            dict(identity=past),
            dict(worker_version_capabilities={"build_id": text(21)}),
        ):
            with rejects(Code.INVALID_ARGUMENT, text="limit of"):
                await own.rpc.PollWorkflowTaskQueue(task_queue={"name": hand.queue}, **fields)
            with rejects(Code.INVALID_ARGUMENT, text="limit of"):
                await own.rpc.PollActivityTaskQueue(task_queue={"name": hand.queue}, **fields)
        with rejects(Code.INVALID_ARGUMENT, text="TaskQueue name"):
            await own.rpc.PollWorkflowTaskQueue(task_queue={"name": past})
        task = await own.rpc.PollWorkflowTaskQueue(
            task_queue={"name": hand.queue},
            identity=at,
            worker_version_capabilities={"build_id": text(20)},
        )
        with rejects(Code.INVALID_ARGUMENT, text="Build id"):
            await hand.complete(task, worker_version_stamp={"build_id": text(21)})
        await hand.complete(task, worker_version_stamp={"build_id": text(20)})


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (lambda hand, name: start_timer(name, 60), "BAD_START_TIMER_ATTRIBUTES"),
        (lambda hand, name: hand.activity(name), "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES"),
        (lambda hand, name: hand.activity("a", type=name), "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES"),
        (lambda hand, name: marker(name), "BAD_RECORD_MARKER_ATTRIBUTES"),
        (lambda hand, name: continue_as_new(name, "q"), "BAD_CONTINUE_AS_NEW_ATTRIBUTES"),
    ],
)
async def test_ids_in_commands(env, command, cause):
    async with limited(env, id_size_max=100) as own:
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        with rejects(Code.INVALID_ARGUMENT, text="100 bytes"):
            await hand.complete(task, command(hand, text(101)))
        check_tail(await hand.history(), E("WftFailed", cause=cause))
        await hand.step(command(hand, text(100)))
        assert "WftCompleted" in types(await hand.history())


async def test_payloads_of_calls(env):
    async with limited(env, payload_size_max=700, memo_size_max=300) as own:
        for fields_at, fields_past in (
            (dict(input=blob(700)), dict(input=blob(701))),
            (dict(last_completion_result=blob(700)), dict(last_completion_result=blob(701))),
        ):
            await Hand(own).start(**fields_at)
            with rejects(Code.INVALID_ARGUMENT, text="700 bytes"):
                await Hand(own).start(**fields_past)
        small = memo(k="")
        small.fields["k"].data += b"x" * (300 - small.ByteSize())
        while small.ByteSize() > 300:
            small.fields["k"].data = small.fields["k"].data[:-1]
        await Hand(own).start(memo=small)
        small.fields["k"].data += b"xx"
        with rejects(Code.INVALID_ARGUMENT, text="Memo exceeds size limit of 300 bytes"):
            await Hand(own).start(memo=small)
        hand = Hand(own)
        await hand.start()
        await hand.rpc.SignalWorkflowExecution(
            workflow_execution=hand.execution(), signal_name="s", input=blob(700)
        )
        with rejects(Code.INVALID_ARGUMENT, text="700 bytes"):
            await hand.rpc.SignalWorkflowExecution(
                workflow_execution=hand.execution(), signal_name="s", input=blob(701)
            )
        with rejects(Code.INVALID_ARGUMENT, text="700 bytes"):
            await hand.rpc.SignalWithStartWorkflowExecution(
                signal_name="s", signal_input=blob(701), **hand.start_fields()
            )
        with rejects(Code.INVALID_ARGUMENT, text="700 bytes"):
            await hand.rpc.QueryWorkflow(
                execution=hand.execution(), query={"query_type": "q", "query_args": blob(701)}
            )
        with rejects(Code.INVALID_ARGUMENT, text="700 bytes"):
            fields = hand.update_fields("up")
            fields["request"]["input"]["args"] = blob(701)
            await hand.rpc.UpdateWorkflowExecution(**fields)
        with rejects(Code.INVALID_ARGUMENT, text="700 bytes"):
            await hand.terminate(details=blob(701))
        await hand.terminate(details=blob(700))


async def test_search_attributes(env):
    async with limited(
        env, search_attributes_max=2, search_attribute_size_max=100, search_attributes_size_max=150
    ) as own:
        await own.rpc.AddSearchAttributes(
            namespace=own.namespace,
            search_attributes={key: "INDEXED_VALUE_TYPE_KEYWORD" for key in ("a", "b", "c")},
        )
        value = search_attributes(a="")
        room = 100 - value.indexed_fields["a"].ByteSize()
        await Hand(own).start(search_attributes=search_attributes(a=text(room)))
        with rejects(Code.INVALID_ARGUMENT, text="Search attribute a exceeds size limit of 100"):
            await Hand(own).start(search_attributes=search_attributes(a=text(room + 1)))
        await Hand(own).start(search_attributes=search_attributes(a="", b=""))
        with rejects(Code.INVALID_ARGUMENT, text="3 keys"):
            await Hand(own).start(search_attributes=search_attributes(a="", b="", c=""))
        both = search_attributes(a="", b="")
        room = 150 - both.ByteSize()
        await Hand(own).start(
            search_attributes=search_attributes(a=text(room // 2), b=text(room - room // 2))
        )
        with rejects(Code.INVALID_ARGUMENT, text="150 bytes"):
            await Hand(own).start(
                search_attributes=search_attributes(a=text(room // 2), b=text(room - room // 2 + 1))
            )
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        with rejects(Code.INVALID_ARGUMENT, text="3 keys"):
            await hand.complete(task, upsert_search_attributes(a="", b="", c=""))
        check_tail(await hand.history(), E("WftFailed", cause="BAD_SEARCH_ATTRIBUTES"))
        # What is too large ends the run, one by itself or with what is there already.
        await hand.terminate()
        hand = Hand(own)
        await hand.start()
        with rejects(Code.INVALID_ARGUMENT, text="attribute a exceeds size limit of 100"):
            await hand.complete(await hand.poll(), upsert_search_attributes(a=text(100)))
        check_tail(
            await hand.history(),
            E("WftFailed", cause="BAD_SEARCH_ATTRIBUTES"),
            E("Terminated", identity="history-service", reason=PRESENT),
        )
        hand = Hand(own)
        await hand.start(search_attributes=search_attributes(a=text(room // 2)))
        more = upsert_search_attributes(b=text(room - room // 2))
        await hand.step(more, start_timer("t", 3600))
        await hand.signal("s")
        with rejects(Code.INVALID_ARGUMENT, text="150 bytes"):
            await hand.complete(await hand.poll(), upsert_search_attributes(b=text(room - room // 2 + 1)))
        check_tail(await hand.history(), E("WftFailed", cause="BAD_SEARCH_ATTRIBUTES"), E("Terminated"))


async def test_links(env):
    async with limited(env, links_max=2, link_size_max=200) as own:

        def link(run: str = "r"):
            return {"workflow_event": {"namespace": "n", "workflow_id": "w", "run_id": run}}

        room = 200 - common.Link(**link("")).ByteSize()
        hand = Hand(own)
        with rejects(Code.INVALID_ARGUMENT, text="more than the 2 allowed"):
            await hand.start(links=[link(), link(), link()])
        largest = link(text(room))
        while common.Link(**largest).ByteSize() > 200:
            largest = link(largest["workflow_event"]["run_id"][1:])
        with rejects(Code.INVALID_ARGUMENT, text="Link exceeds the size limit of 200"):
            await hand.start(links=[link(largest["workflow_event"]["run_id"] + "x")])
        await hand.start(links=[link(), largest])
        event = (await hand.history())[0]
        assert [entry.workflow_event.run_id for entry in event.links] == [
            "r",
            largest["workflow_event"]["run_id"],
        ]


async def test_callbacks(env):
    async with limited(env, callbacks_max=2, callback_url_size_max=40, callback_header_size_max=10) as own:

        def callback(url_size: int = 40, header_size: int = 10):
            base = "http://127.0.0.1:1/"
            header = {"k": text(header_size - 1)} if header_size else {}
            return {"nexus": {"url": base + text(url_size - len(base)), "header": header}}

        hand = Hand(own)
        with rejects(Code.INVALID_ARGUMENT, text="more than 2 callbacks"):
            await hand.start(completion_callbacks=[callback()] * 3)
        with rejects(Code.INVALID_ARGUMENT, text="longer than the 40 bytes"):
            await hand.start(completion_callbacks=[callback(url_size=41)])
        with rejects(Code.INVALID_ARGUMENT, text="larger than the 10 bytes"):
            await hand.start(completion_callbacks=[callback(header_size=11)])
        await hand.start(completion_callbacks=[callback()])
        attach = dict(
            workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING",
            on_conflict_options={"attach_request_id": True, "attach_completion_callbacks": True},
        )
        with rejects(Code.FAILED_PRECONDITION, text="1 callbacks already attached"):
            await hand.start(completion_callbacks=[callback()] * 2, **attach)
        await hand.start(completion_callbacks=[callback()], **attach)
        assert len((await hand.describe()).callbacks) == 2


async def test_buffered_queries(env):
    async with limited(env, buffered_queries_max=2) as own:
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        waiting = [asyncio.create_task(hand.query(f"q{n}", wait=20)) for n in range(3)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        [refused] = done
        with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted):
            refused.result()
        # The other two ride on the next task.
        await hand.signal("go")
        await hand.complete(task)
        task = await hand.poll()
        assert len(task.queries) == 2
        await hand.complete(
            task,
            query_results={
                key: {"result_type": "QUERY_RESULT_TYPE_ANSWERED", "answer": payloads("ok")}
                for key in task.queries
            },
        )
        await asyncio.gather(*(one for one in waiting if one is not refused))


# Commands: past the limit of payloads the run is not worth another try.

LARGE = 700


def large_marker(size: int):
    command = marker("m")
    command.record_marker_command_attributes.details["d"].CopyFrom(blob(size))
    return command


def large_failure(size: int):
    why = failure("")
    why.message = text(size - why.ByteSize() - 2)
    while why.ByteSize() < size:
        why.message += "x"
    while why.ByteSize() > size:
        why.message = why.message[:-1]
    assert why.ByteSize() == size
    return why


def large_complete(size: int):
    command = complete_workflow("x")
    command.complete_workflow_execution_command_attributes.result.CopyFrom(blob(size))
    return command


def large_cancel(size: int):
    command = cancel_workflow("x")
    command.cancel_workflow_execution_command_attributes.details.CopyFrom(blob(size))
    return command


def large_signal(workflow_id: str, size: int):
    command = signal_external(workflow_id)
    command.signal_external_workflow_execution_command_attributes.input.CopyFrom(blob(size))
    return command


def large_memo(size: int):
    command = upsert_memo(k="x")
    message = command.modify_workflow_properties_command_attributes.upserted_memo
    message.fields["k"].data += b"x" * (size - message.ByteSize())
    while message.ByteSize() > size:
        message.fields["k"].data = message.fields["k"].data[:-1]
    return command


@pytest.mark.parametrize(
    ("command", "cause", "event"),
    [
        (
            lambda hand, size: hand.activity("a", input=blob(size)),
            "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES",
            "ActivityTaskScheduled",
        ),
        (lambda hand, size: large_marker(size), "BAD_RECORD_MARKER_ATTRIBUTES", "MarkerRecorded"),
        (lambda hand, size: large_complete(size), "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "Completed"),
        (
            lambda hand, size: fail_workflow(large_failure(size)),
            "BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES",
            "Failed",
        ),
        (lambda hand, size: large_cancel(size), "BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES", "Canceled"),
        (
            lambda hand, size: continue_as_new("t", hand.queue, input=blob(size)),
            "BAD_CONTINUE_AS_NEW_ATTRIBUTES",
            "ContinuedAsNew",
        ),
        (
            lambda hand, size: start_child(f"{hand.workflow_id}-c", hand.queue, input=blob(size)),
            "BAD_START_CHILD_EXECUTION_ATTRIBUTES",
            "StartChildWorkflowExecutionInitiated",
        ),
        (
            lambda hand, size: large_signal(f"{hand.workflow_id}-none", size),
            "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES",
            "SignalExternalWorkflowExecutionInitiated",
        ),
        (
            lambda hand, size: large_memo(size),
            "BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES",
            "WorkflowPropertiesModified",
        ),
    ],
)
async def test_payloads_of_commands(env, command, cause, event):
    async with limited(env, payload_size_max=LARGE, memo_size_max=LARGE) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step(command(hand, LARGE))
        assert event in types(await hand.history())
        for attempts_before in (0, 1):
            hand = Hand(own)
            await hand.start()
            if attempts_before:  # of a transient task nothing is written but that it ends the run
                await hand.fail(await hand.poll())
            task = await hand.poll()
            with rejects(Code.INVALID_ARGUMENT, text="exceeds size limit") as refusal:
                await hand.complete(task, command(hand, LARGE + 1))
            tail = [] if attempts_before else [E("WftFailed", cause=cause, identity=IDENTITY)]
            check_tail(
                await hand.history(),
                *tail,
                E("Terminated", reason=refusal.message, identity="history-service", details=ABSENT),
            )
            assert await hand.status() == "TERMINATED"


# What runs hold.


async def test_pending_activities(env):
    async with limited(env, pending_activities_max=2) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step(hand.activity("a"), hand.activity("b"))
        await hand.signal("go")
        task = await hand.poll()
        with rejects(Code.INVALID_ARGUMENT, text="2"):
            await hand.complete(task, marker("m"), hand.activity("c"))
        # None of the commands takes effect, and the run goes on.
        check_tail(
            await hand.history(),
            E("WftFailed", cause="PENDING_ACTIVITIES_LIMIT_EXCEEDED"),
        )
        await hand.complete_activity(await hand.poll_activity())
        await hand.step(hand.activity("c"))
        assert len((await hand.describe()).pending_activities) == 2


@pytest.mark.parametrize(
    ("limit", "command", "cause"),
    [
        (
            "pending_children_max",
            lambda hand, n: start_child(f"{hand.workflow_id}-{n}", hand.queue),
            "PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED",
        ),
        (
            "pending_external_signals_max",
            lambda hand, n: signal_external(f"{hand.workflow_id}-none"),
            "PENDING_SIGNALS_LIMIT_EXCEEDED",
        ),
        (
            "pending_external_cancels_max",
            lambda hand, n: cancel_external(f"{hand.workflow_id}-none"),
            "PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED",
        ),
    ],
)
async def test_what_is_on_its_way_to_others(env, limit, command, cause):
    async with limited(env, **{limit: 2}) as own:
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        with rejects(Code.INVALID_ARGUMENT, text="2"):
            await hand.complete(task, *(command(hand, n) for n in range(3)))
        check_tail(await hand.history(), E("WftFailed", cause=cause))
        await hand.step(*(command(hand, n) for n in range(2)))
        assert "WftCompleted" in types(await hand.history())
        await hand.terminate()


async def test_updates(env):
    async with limited(env, updates_in_flight_max=1, updates_total_max=2) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step()
        for number in (1, 2):
            waiting = hand.updating("up", id=f"u{number}")
            task = await hand.poll()
            with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted) as refusal:
                await hand.update("up", id="while another one is in flight")
            assert refusal.metadata["x-resource-exhausted-scope"] == "Namespace"
            await hand.answer(task, accept(task.messages[0]), respond(f"u{number}"))
            await waiting
        with rejects(Code.FAILED_PRECONDITION, text="2"):
            await hand.update("up", id="u3")
        # One that is known is answered all the same.
        assert (await hand.update("up", id="u2")).outcome.HasField("success")


async def known(hand: Hand, id: str) -> bool:
    try:
        await hand.poll_update(id)
    except grpc.aio.AioRpcError as error:
        assert error.code() == Code.NOT_FOUND
        return False
    return True


async def test_bytes_of_updates_in_flight(env):
    async with limited(env, updates_in_flight_size_max=1024) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step()

        def size(id: str, letters: int) -> int:
            return update_pb2.Request(**hand.update_fields("up", text(letters), id=id)["request"]).ByteSize()

        first = hand.updating("up", text(300), id="u1")
        task = await hand.poll()
        letters = 300
        while size("u1", 300) + size("u2", letters) < 1023:
            letters += 1
        with rejects(Code.RESOURCE_EXHAUSTED, resource_exhausted, text="1024 bytes"):
            await hand.update("up", text(letters + 1), id="u2")
        second = hand.updating("up", text(letters), id="u2")
        while not await known(hand, "u2"):
            pass
        await hand.answer(task, accept(task.messages[0]), respond("u1"))
        await first
        task = await hand.poll()
        await hand.answer(task, accept(task.messages[0]), respond("u2"))
        await second


async def test_signals(env):
    async with limited(env, signals_max=2) as own:
        hand = Hand(own)
        await hand.start()
        await hand.signal("one")
        await hand.signal("two", request_id="two")
        with rejects(Code.INVALID_ARGUMENT, text="limit of 2 signals"):
            await hand.signal("three")
        await hand.signal("two", request_id="two")  # seen: nothing is written
        with rejects(Code.INVALID_ARGUMENT, text="limit of 2 signals"):
            await hand.signal_with_start("three")
        await hand.step(complete_workflow())


async def test_buffered_events(env):
    async with limited(env, buffered_events_max=2) as own:
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        await hand.signal("one")
        await hand.signal("two")
        check(await hand.history(), *PROLOGUE[:3])
        await hand.signal("three")  # one more than there may be: the task fails, what waited is written
        check(
            await hand.history(),
            *PROLOGUE[:3],
            E("WftFailed", cause="FORCE_CLOSE_COMMAND", failure=ABSENT, identity="history-service"),
            E("Signaled", signal_name="one"),
            E("Signaled", signal_name="two"),
            E("Signaled", signal_name="three"),
        )
        with rejects(Code.NOT_FOUND):
            await hand.complete(task)
        assert (await hand.poll()).attempt == 2


async def test_buffered_bytes(env):
    async with limited(env, buffered_bytes_max=1000) as own:
        hand = Hand(own)
        await hand.start()
        await hand.poll()
        await hand.signal("one", text(400))
        check(await hand.history(), *PROLOGUE[:3])
        await hand.signal("two", text(600))
        assert find_attributes(await hand.history(), "WftFailed").cause == 17  # FORCE_CLOSE_COMMAND


async def test_history_events(env):
    async with limited(env, history_events_max=6) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step(marker("five"), marker("six"))
        assert await hand.status() == "RUNNING"
        await hand.signal("seven")
        tail = (await hand.history())[-1]
        check_tail(
            [tail],
            E("Terminated", identity="history-service", reason="Workflow history count exceeds limit."),
        )


async def test_history_size(env):
    async with limited(env, history_size_max=2000) as own:
        hand = Hand(own)
        await hand.start()
        await hand.signal("a", text(1000))
        assert await hand.status() == "RUNNING"
        await hand.signal("b", text(1000))
        check_tail(
            await hand.history(),
            E("Terminated", identity="history-service", reason="Workflow history size exceeds limit."),
        )


async def test_state_size(env):
    async with limited(env, state_size_max=20000) as own:
        hand = Hand(own)
        await hand.start()
        await hand.poll()
        for _ in range(30):
            try:
                await hand.signal("kept", text(1500))
            except Exception as error:
                assert "already completed" in str(error)
                break
        check_tail(
            await hand.history(),
            E("Terminated", identity="history-service", reason="Workflow mutable state size exceeds limit."),
        )


async def test_continue_as_new_is_suggested(env):
    async with limited(env, suggest_events=4, suggest_size=100000) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step()
        await hand.signal("s")
        await hand.poll()
        events = await hand.history()
        first, second = find_attributes(events, "WftStarted"), find_attributes(events, "WftStarted", 1)
        assert not first.suggest_continue_as_new and second.suggest_continue_as_new
        assert list(second.suggest_continue_as_new_reasons) == [2]  # TOO_MANY_HISTORY_EVENTS
    async with limited(env, suggest_size=500) as own:
        hand = Hand(own)
        await hand.start()
        await hand.signal("s", text(600))
        await hand.poll()
        started = find_attributes(await hand.history(), "WftStarted")
        assert list(started.suggest_continue_as_new_reasons) == [1]  # HISTORY_SIZE_TOO_LARGE


# Activities and failures.


async def test_activity_results_and_heartbeats(env):
    async with limited(env, payload_size_max=700) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step(hand.activity("at"), hand.activity("past"), hand.activity("heart"))
        tasks = {}
        for _ in range(3):
            task = await hand.poll_activity()
            tasks[task.activity_id] = task
        await own.rpc.RespondActivityTaskCompleted(
            task_token=tasks["at"].task_token, result=blob(700), identity=IDENTITY
        )
        await own.rpc.RespondActivityTaskCompleted(
            task_token=tasks["past"].task_token, result=blob(701), identity=IDENTITY
        )
        answer = await own.rpc.RecordActivityTaskHeartbeat(
            task_token=tasks["heart"].task_token, details=blob(700), identity=IDENTITY
        )
        assert not answer.cancel_requested
        answer = await own.rpc.RecordActivityTaskHeartbeat(
            task_token=tasks["heart"].task_token, details=blob(701), identity=IDENTITY
        )
        assert answer.cancel_requested
        events = await hand.history()
        check_tail([e for e in events if "ActivityTaskCompleted" in types([e])], E("ActivityTaskCompleted"))
        for nth, words in enumerate(
            ("Complete result exceeds size limit", "Heartbeat details exceeds size limit")
        ):
            failed = find_attributes(events, "ActivityTaskFailed", nth)
            assert failed.failure.server_failure_info.non_retryable
            assert words in failed.failure.message
            assert failed.retry_state == 2  # NON_RETRYABLE_FAILURE


async def test_failures_that_are_too_large_are_cut(env):
    async with limited(env, payload_size_max=4000, payload_size_warn=1000) as own:
        hand = Hand(own)
        await hand.start()
        await hand.step(hand.activity("a", retry_policy=retry_policy(maximum_attempts=1)))
        task = await hand.poll_activity()
        answer = await hand.fail_activity(task, large_failure(4001))
        assert len(answer.failures) == 1 and "4000" in answer.failures[0].message
        failed = find_attributes(await hand.history(), "ActivityTaskFailed")
        assert failed.failure.server_failure_info.non_retryable
        assert failed.failure.cause.application_failure_info.type == "Oops"
        assert failed.failure.ByteSize() < 1300
        task = await hand.poll()
        await own.rpc.RespondWorkflowTaskFailed(
            task_token=task.task_token,
            cause="WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE",
            failure=large_failure(4001),
            identity=IDENTITY,
        )
        failed = find_attributes(await hand.history(), "WftFailed")
        assert failed.failure.server_failure_info.non_retryable
        assert failed.failure.cause.message.startswith("xxx")
        hand = Hand(own)
        await hand.start()
        task = await hand.poll()
        await own.rpc.RespondWorkflowTaskFailed(
            task_token=task.task_token,
            cause="WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE",
            failure=large_failure(4000),
            identity=IDENTITY,
        )
        assert find_attributes(await hand.history(), "WftFailed").failure == large_failure(4000)


async def test_failures_between_attempts_are_kept_short(env):
    async with limited(env, kept_failure_size_max=1000) as own:
        for size, kept in ((1000, True), (1001, False)):
            hand = Hand(own)
            await hand.start()
            await hand.step(
                hand.activity("a", retry_policy=retry_policy(initial_interval=0.001, maximum_attempts=2))
            )
            answer = await hand.fail_activity(await hand.poll_activity(), large_failure(size))
            assert not answer.failures
            await hand.complete_activity(await hand.poll_activity())
            last = find_attributes(await hand.history(), "ActivityTaskStarted").last_failure
            if kept:
                assert last == large_failure(size)
            else:
                assert last.HasField("server_failure_info") and not last.server_failure_info.non_retryable
                assert last.cause.application_failure_info.type == "Oops"


async def test_lists_and_task_timeouts(env):
    async with limited(
        env, list_page_max=2, workflow_task_timeout_default=7, workflow_task_timeout_max=9
    ) as own:
        hands = [Hand(own) for _ in range(3)]
        for hand in hands:
            await hand.start()
        for size in (0, 2, 3):
            page = await own.rpc.ListWorkflowExecutions(page_size=size)
            assert len(page.executions) == 2 and page.next_page_token
        assert find_attributes(await hands[0].history(), "Started").workflow_task_timeout.seconds == 7
        hand = Hand(own)
        await hand.start(workflow_task_timeout=60)
        assert find_attributes(await hand.history(), "Started").workflow_task_timeout.seconds == 9


@pytest.mark.crash
async def test_warn_limits_are_logged_once_a_run(env):
    async with own_server(
        *("--limit", "history-events-warn=6", "--limit", "history-size-warn=3000"),
        *("--limit", "state-size-warn=16384", "--limit", "payload-size-warn=1000"),
        *("--limit", "memo-size-warn=10"),
    ) as (server, own):
        hand = Hand(own)
        await hand.start(memo=memo(k="a memo of more than ten bytes"))
        await hand.poll()
        for _ in range(10):
            await hand.signal("s", text(3000))
        await hand.terminate()
        log = server.log_tail(100000)
        for limit in ("history-events-warn", "history-size-warn", "state-size-warn"):
            lines = [line for line in log.splitlines() if "limit.run" in line and f"limit={limit}" in line]
            assert len(lines) == 1, log
            assert hand.workflow_id in lines[0] and hand.run_id in lines[0]
        assert sum("limit.payload" in line for line in log.splitlines()) == 10
        assert sum("limit.memo" in line for line in log.splitlines()) == 1
