"""Bad input: each is answered with its code, changes nothing, and the server goes on."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest
from google.protobuf.descriptor import FieldDescriptor
from temporalio.api.failure.v1 import message_pb2 as failure_pb2

from support.grpc_client import (
    OPERATOR_METHODS,
    WORKFLOW_METHODS,
    Code,
    already_started,
    method_path,
    namespace_not_found,
    permission_denied,
    rejects,
    request_class,
)
from support.hand import (
    IDENTITY,
    Command,
    CommandType,
    Hand,
    complete_workflow,
    failure,
    marker,
    memo,
    payloads,
    seconds,
    start_timer,
)
from support.histories import PRESENT, PROLOGUE, E, check, find_attributes

OK = Code.OK
BAD = Code.INVALID_ARGUMENT

# What each RPC answers to a request without any field, and to one that names an existing namespace only.
ANSWERS = {
    "ListTaskQueuePartitions": (BAD, BAD),
    "RecordWorkerHeartbeat": (BAD, OK),
    "UpdateTaskQueueConfig": (BAD, BAD),
    "DescribeWorker": (BAD, Code.NOT_FOUND),
    "ListWorkers": (BAD, OK),
    "CountWorkers": (BAD, OK),
    "RegisterNamespace": (BAD, BAD),
    "DescribeNamespace": (BAD, OK),
    "ListNamespaces": (OK, None),
    "UpdateNamespace": (BAD, OK),
    "StartWorkflowExecution": (BAD, BAD),
    "GetWorkflowExecutionHistory": (BAD, BAD),
    "GetWorkflowExecutionHistoryReverse": (BAD, BAD),
    "PollWorkflowTaskQueue": (BAD, BAD),
    "RespondWorkflowTaskCompleted": (BAD, BAD),
    "RespondWorkflowTaskFailed": (BAD, BAD),
    "PollActivityTaskQueue": (BAD, BAD),
    "RecordActivityTaskHeartbeat": (BAD, BAD),
    "RecordActivityTaskHeartbeatById": (BAD, BAD),
    "RespondActivityTaskCompleted": (BAD, BAD),
    "RespondActivityTaskCompletedById": (BAD, BAD),
    "RespondActivityTaskFailed": (BAD, BAD),
    "RespondActivityTaskFailedById": (BAD, BAD),
    "RespondActivityTaskCanceled": (BAD, BAD),
    "RespondActivityTaskCanceledById": (BAD, BAD),
    "RequestCancelWorkflowExecution": (BAD, BAD),
    "SignalWorkflowExecution": (BAD, BAD),
    "SignalWithStartWorkflowExecution": (BAD, BAD),
    "TerminateWorkflowExecution": (BAD, BAD),
    "ResetWorkflowExecution": (BAD, BAD),
    "DeleteWorkflowExecution": (BAD, BAD),
    "ListWorkflowExecutions": (BAD, OK),
    "CountWorkflowExecutions": (BAD, OK),
    "RespondQueryTaskCompleted": (BAD, BAD),
    "ResetStickyTaskQueue": (BAD, BAD),
    "QueryWorkflow": (BAD, BAD),
    "DescribeWorkflowExecution": (BAD, BAD),
    "GetClusterInfo": (OK, None),
    "GetSystemInfo": (OK, None),
    "CreateSchedule": (BAD, BAD),
    "DescribeSchedule": (BAD, Code.NOT_FOUND),
    "UpdateSchedule": (BAD, Code.NOT_FOUND),
    "PatchSchedule": (BAD, Code.NOT_FOUND),
    "DeleteSchedule": (BAD, Code.NOT_FOUND),
    "ListSchedules": (BAD, OK),
    "CountSchedules": (BAD, OK),
    "ListScheduleMatchingTimes": (BAD, Code.NOT_FOUND),
    "DeprecateNamespace": (BAD, None),  # with a namespace it would do it to everybody's
    "DeleteNamespace": (BAD, None),
    "ListOpenWorkflowExecutions": (BAD, OK),
    "ListClosedWorkflowExecutions": (BAD, OK),
    "ScanWorkflowExecutions": (BAD, OK),
    "GetSearchAttributes": (OK, None),
    "ShutdownWorker": (BAD, OK),
    "DescribeTaskQueue": (BAD, BAD),
    "PauseActivity": (BAD, BAD),
    "UnpauseActivity": (BAD, BAD),
    "ResetActivity": (BAD, BAD),
    "UpdateActivityOptions": (BAD, BAD),
    "PauseWorkflowExecution": (BAD, BAD),
    "UnpauseWorkflowExecution": (BAD, BAD),
    "UpdateWorkflowExecutionOptions": (BAD, BAD),
    "AddSearchAttributes": (BAD, BAD),
    "RemoveSearchAttributes": (BAD, BAD),
    "ListSearchAttributes": (BAD, OK),
    "ListClusters": (OK, None),
    "UpdateWorkflowExecution": (BAD, BAD),
    "PollWorkflowExecutionUpdate": (BAD, BAD),
    "ExecuteMultiOperation": (BAD, BAD),
}
# Not there yet: each must say so by name. An RPC that gets implemented moves to the table above.
# Refused on purpose: clients that probe for them go on without.
REFUSED = [
    "UpdateWorkerBuildIdCompatibility",
    "GetWorkerBuildIdCompatibility",
    "UpdateWorkerVersioningRules",
    "GetWorkerVersioningRules",
    "GetWorkerTaskReachability",
    "CreateNexusEndpoint",
]
MISSING = [method for method in WORKFLOW_METHODS + OPERATOR_METHODS if method not in [*ANSWERS, *REFUSED]]


async def answer(env, method: str, **fields):
    """The status of a call, OK included."""
    try:
        await getattr(env.rpc, method)(**fields)
        return OK
    except Exception as error:  # noqa: BLE001 - only RPC errors have a code; others fail here
        return error.code()


def has_namespace(method: str) -> bool:
    field = request_class(method).DESCRIPTOR.fields_by_name.get("namespace")
    return field is not None and field.type == FieldDescriptor.TYPE_STRING


async def alive(env) -> None:
    assert (await env.rpc.GetSystemInfo()).server_version


@pytest.mark.parametrize("method", ANSWERS)
async def test_empty_request(env, method):
    wanted = ANSWERS[method][0]
    fields = {"namespace": ""} if has_namespace(method) else {}
    if wanted == OK:
        await getattr(env.rpc, method)(**fields)
    else:
        with rejects(wanted) as refusal:
            await getattr(env.rpc, method)(**fields)
        assert not refusal.details
    await alive(env)


@pytest.mark.parametrize("method", [method for method in ANSWERS if ANSWERS[method][1] is not None])
async def test_namespace_only(env, method):
    wanted = ANSWERS[method][1]
    if wanted == OK:
        await getattr(env.rpc, method)()
    else:
        with rejects(wanted) as refusal:
            await getattr(env.rpc, method)()
        assert not refusal.details or wanted == Code.NOT_FOUND


@pytest.mark.parametrize(
    "method", [method for method in ANSWERS if has_namespace(method) and method != "RegisterNamespace"]
)
async def test_unknown_namespace(env, method):
    name = env.name("unknown")
    with rejects(Code.NOT_FOUND, namespace_not_found) as refusal:
        await getattr(env.rpc, method)(namespace=name)
    assert refusal.detail(namespace_not_found).namespace == name


@pytest.mark.ours("it has Nexus")
@pytest.mark.parametrize("method", REFUSED)
async def test_what_is_refused_says_why(env, method):
    with rejects(Code.PERMISSION_DENIED, permission_denied, text=method) as refusal:
        await getattr(env.rpc, method)()
    assert "switched off" in refusal.detail(permission_denied).reason


@pytest.mark.ours("it has more of them")
@pytest.mark.parametrize("method", MISSING)
async def test_what_is_missing_says_so_by_name(env, method):
    with rejects(Code.UNIMPLEMENTED, text=method):
        await getattr(env.rpc, method)()
    with rejects(Code.UNIMPLEMENTED, text=method):
        await env.rpc.raw(method_path(method), b"\xff\xff\xff")


# Bytes that are no message.

MALFORMED = {
    "cut in a length": b"\x0a\xff",
    "cut in a string": b"\x0a\x10abc",
    "endless varint": b"\x08" + b"\xff" * 11,
    "field number zero": b"\x00\x00",
    "wire type 7": b"\x0f\x01",
    "end group alone": b"\x0c",
    "open group": b"\x0b",
    "huge length": b"\x0a\xff\xff\xff\xff\x0f",
    "cut in fixed64": b"\x09\x01\x02",
}


@pytest.mark.ours("Internal there, which clients take for a server's fault")
@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_protobuf(env, case):
    for method in ANSWERS:
        with rejects(BAD):
            await env.rpc.raw(method_path(method), MALFORMED[case])
    await alive(env)


@pytest.mark.ours("Internal there")
@pytest.mark.parametrize("method", ANSWERS)
async def test_random_bytes(env, method):
    """Most are malformed, some happen to be a message; none may be taken for a fault of the server's own."""
    dice = random.Random(method)
    for _ in range(40):
        body = dice.randbytes(dice.choice((1, 2, 3, 7, 30, 200, 3000)))
        try:
            await env.rpc.raw(method_path(method), body)
        except Exception as error:  # noqa: BLE001
            assert error.code() in (BAD, Code.NOT_FOUND), f"{error.code()} for {body.hex()}"
    await alive(env)


@pytest.mark.ours("Internal there")
async def test_truncated_requests(env):
    hand = Hand(env)
    whole = env.rpc.build(
        "StartWorkflowExecution", **hand.start_fields(input=payloads("a", {"b": 2}), memo=memo(m=1))
    ).SerializeToString()
    for length in range(len(whole)):
        try:
            await env.rpc.raw(method_path("StartWorkflowExecution"), whole[:length])
        except Exception as error:  # noqa: BLE001
            assert error.code() in (BAD, Code.NOT_FOUND, Code.ALREADY_EXISTS), f"{error.code()} at {length}"
    await alive(env)


async def test_unknown_fields_are_skipped(env):
    hand = Hand(env)
    body = env.rpc.build("StartWorkflowExecution", **hand.start_fields()).SerializeToString()
    unknown = b"\xfa\xff\xff\xff\x0f\x03abc" + b"\xf8\xff\xff\xff\x0f\x01"
    await env.rpc.raw(method_path("StartWorkflowExecution"), unknown + body + unknown)
    assert await hand.status("") == "RUNNING"


@pytest.mark.ours("Internal there")
@pytest.mark.parametrize(
    "bad",
    [b"\xff\xfe\xfd", b"\xc0\x80x", b"\xed\xa0\x80", b"\xf5\x80\x80"],
    ids=["bytes", "overlong", "surrogate", "beyond"],
)
async def test_bad_utf8(env, bad):
    hand = Hand(env)
    await hand.start()
    cases = {
        "StartWorkflowExecution": hand.start_fields(workflow_id="@@@"),
        "SignalWorkflowExecution": dict(workflow_execution=hand.execution(), signal_name="@@@"),
        "DescribeWorkflowExecution": dict(execution={"workflow_id": "@@@"}),
        "PollWorkflowTaskQueue": dict(task_queue={"name": "@@@"}),
        "RegisterNamespace": dict(namespace="@@@", workflow_execution_retention_period=seconds(86400)),
        "ListWorkflowExecutions": dict(query="@@@"),
    }
    for method, fields in cases.items():
        body = env.rpc.build(method, **fields).SerializeToString()
        assert body.count(b"@@@") == 1
        with rejects(BAD):
            await env.rpc.raw(method_path(method), body.replace(b"@@@", bad))
    check(await hand.history(), E("Started"), E("WftScheduled"))


@pytest.mark.ours("it keeps them")
async def test_nul_in_ids(env):
    hand = Hand(env)
    await hand.start()
    for fields in (
        {"workflow_id": "a\0b"},
        {"workflow_type": {"name": "t\0"}},
        {"task_queue": {"name": "\0"}},
        {"request_id": "r\0"},
    ):
        with rejects(BAD):
            await env.rpc.StartWorkflowExecution(**(hand.start_fields() | fields))
    with rejects(BAD):
        await hand.signal("s\0")
    with rejects(BAD):
        await env.rpc.DescribeWorkflowExecution(execution={"workflow_id": hand.workflow_id + "\0"})
    with rejects(BAD):
        await env.rpc.RegisterNamespace(namespace="n\0", workflow_execution_retention_period=seconds(86400))
    with rejects(BAD):
        await env.rpc.PollWorkflowTaskQueue(task_queue={"name": "q\0"})
    with rejects(BAD):
        await env.rpc.QueryWorkflow(execution=hand.execution(), query={"query_type": "q\0"})
    task = await hand.poll()
    with rejects(BAD):
        await hand.complete(task, start_timer("t\0", 1))
    await hand.terminate()


def nested_failure(depth: int) -> bytes:
    """A failure with `depth` causes inside each other; the protobuf library itself refuses to build it."""
    number = failure_pb2.Failure.DESCRIPTOR.fields_by_name["cause"].number
    body = b""
    for _ in range(depth):
        body = bytes([number << 3 | 2]) + varint(len(body)) + body
    return body


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def with_failure(env, method: str, field: str, failure_bytes: bytes, **fields) -> bytes:
    request = env.rpc.build(method, **fields)
    number = request.DESCRIPTOR.fields_by_name[field].number
    assert number < 16
    return request.SerializeToString() + bytes([number << 3 | 2]) + varint(len(failure_bytes)) + failure_bytes


@pytest.mark.ours("Internal there")
async def test_deep_nesting(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    path = method_path("RespondWorkflowTaskFailed")
    for depth in (10_000, 1_000, 150):
        with rejects(BAD):
            await env.rpc.raw(
                path,
                with_failure(
                    env,
                    "RespondWorkflowTaskFailed",
                    "failure",
                    nested_failure(depth),
                    task_token=task.task_token,
                ),
            )
    groups = b"\xa3\x06" * 10_000 + b"\xa4\x06" * 10_000
    with rejects(BAD):
        await env.rpc.raw(path, groups)
    check(await hand.history(), *PROLOGUE[:3])
    await env.rpc.raw(
        path,
        with_failure(
            env, "RespondWorkflowTaskFailed", "failure", nested_failure(50), task_token=task.task_token
        ),
    )
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed"))
    await hand.terminate()


# Sizes.


async def test_a_message_of_5_mib(env):
    hand = Hand(env)
    with rejects(Code.RESOURCE_EXHAUSTED, text="grpc: received message larger than max") as refusal:
        await hand.start(input=payloads("x" * (5 << 20)))
    assert not refusal.details
    await hand.start()
    check(await hand.history(), E("Started"), E("WftScheduled"))


async def test_many_messages_of_5_mib_at_once(env):
    async def one():
        with rejects(Code.RESOURCE_EXHAUSTED):
            await env.rpc.raw(method_path("GetSystemInfo"), b"\x0a" + varint(5 << 20) + b"x" * (5 << 20))

    await asyncio.gather(*[one() for _ in range(8)])
    await alive(env)


async def test_gzip_bombs_are_refused(env):
    import grpc

    with rejects(Code.RESOURCE_EXHAUSTED):
        await env.rpc.raw(
            method_path("GetSystemInfo"),
            b"\x0a" + varint(64 << 20) + bytes(64 << 20),
            compression=grpc.Compression.Gzip,
        )
    await alive(env)


async def test_payloads_over_the_limit(env):
    hand = Hand(env)
    big = payloads("x" * (2 * 1024 * 1024 + 1))
    with rejects(BAD):
        await hand.start(input=big)
    with rejects(BAD):
        await hand.start(memo=memo(big="x" * (2 * 1024 * 1024 + 1)))
    with rejects(BAD):
        await hand.signal_with_start("s", "x" * (2 * 1024 * 1024 + 1))
    await hand.start()
    with rejects(BAD):
        await hand.signal("s", "x" * (2 * 1024 * 1024 + 1))
    with rejects(BAD):
        await hand.query("q", "x" * (2 * 1024 * 1024 + 1))
    check(await hand.history(), E("Started"), E("WftScheduled"))


async def test_payloads_just_below_the_limit(env):
    hand = Hand(env)
    value = "x" * (2 * 1024 * 1024 - 200)
    await hand.start(input=payloads(value))
    task = await hand.poll()
    assert task.history.events[0].workflow_execution_started_event_attributes.input == payloads(value)
    await hand.complete(task, complete_workflow(value))
    assert find_attributes(await hand.history(), "Completed").result == payloads(value)


async def test_an_oversize_command_terminates(env):
    hand = Hand(env)
    await hand.start()
    with rejects(BAD):
        await hand.complete(await hand.poll(), marker("m", data="x" * (2 * 1024 * 1024 + 1)))
    check(
        await hand.history(),
        *PROLOGUE[:3],
        E("WftFailed", cause="BAD_RECORD_MARKER_ATTRIBUTES"),
        E("Terminated", identity="history-service", reason=PRESENT),
    )


# Ids, tokens, durations.


async def test_long_ids(env):
    hand = Hand(env)
    await hand.start()
    long = "x" * 1001
    calls = {
        "SignalWorkflowExecution": dict(workflow_execution=hand.execution(), signal_name=long),
        "PollWorkflowTaskQueue": dict(task_queue={"name": long}),
        "PollActivityTaskQueue": dict(task_queue={"name": long}),
    }
    for method, fields in calls.items():
        with rejects(BAD):
            await getattr(env.rpc, method)(**fields)
    with rejects(BAD):
        await hand.signal("s", request_id=long)
    with rejects(BAD):
        await env.rpc.PollWorkflowTaskQueue(task_queue={"name": hand.queue}, identity=long)
    check(await hand.history(), E("Started"), E("WftScheduled"))


async def test_long_ids_are_not_found_or_refused(env):
    long = "x" * 1001
    for method in ("DescribeWorkflowExecution", "GetWorkflowExecutionHistory", "QueryWorkflow"):
        fields = {"query": {"query_type": "q"}} if method == "QueryWorkflow" else {}
        assert await answer(env, method, execution={"workflow_id": long}, **fields) in (BAD, Code.NOT_FOUND)
    for method in ("TerminateWorkflowExecution", "RequestCancelWorkflowExecution"):
        assert await answer(env, method, workflow_execution={"workflow_id": long}) in (BAD, Code.NOT_FOUND)


TOKEN_CALLS = (
    "RespondWorkflowTaskCompleted",
    "RespondWorkflowTaskFailed",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
    "RecordActivityTaskHeartbeat",
    "RespondQueryTaskCompleted",
)


@pytest.mark.parametrize("method", TOKEN_CALLS)
async def test_garbage_tokens(env, method):
    for token in (b"garbage", b"\xff" * 40, b"\x0a\xff"):
        with rejects(BAD):
            await getattr(env.rpc, method)(task_token=token)


async def test_damaged_tokens(env):
    hand = Hand(env)
    await hand.start(workflow_task_timeout=100)  # there are many tokens
    task = await hand.poll()
    dice = random.Random(1)
    for _ in range(60):
        token = bytearray(task.task_token)
        token[dice.randrange(len(token))] ^= 1 << dice.randrange(8)
        code = await answer(
            env,
            "RespondWorkflowTaskCompleted",
            task_token=bytes(token),
            commands=[complete_workflow("forged")],
        )
        if code == OK:  # a bit that the server does not read, such as a time it only reports
            return
        assert code in (BAD, Code.NOT_FOUND)
    for length in range(1, len(task.task_token)):
        code = await answer(
            env,
            "RespondWorkflowTaskCompleted",
            task_token=task.task_token[:length],
            commands=[complete_workflow("cut")],
        )
        assert code in (BAD, Code.NOT_FOUND), length
    await hand.complete(task, complete_workflow("true"))


async def test_tokens_of_the_wrong_kind(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"))
    activity = await hand.poll_activity()
    await hand.signal("s")
    task = await hand.poll()
    with rejects(Code.NOT_FOUND):
        await hand.complete(activity, complete_workflow())
    with rejects(Code.NOT_FOUND):
        await hand.complete_activity(task)
    await hand.complete_activity(activity)
    await hand.complete(task)


async def test_tokens_of_another_namespace(env):
    hand = Hand(env)
    other = env.name("ns")
    await env.rpc.RegisterNamespace(namespace=other, workflow_execution_retention_period=seconds(86400))
    await hand.start()
    await hand.step(hand.activity("a"))
    activity = await hand.poll_activity()
    await hand.signal("s")
    task = await hand.poll()

    async def refused() -> bool:  # the reference needs a moment to know the namespace
        codes = {
            await answer(env, "RespondWorkflowTaskCompleted", namespace=other, task_token=task.task_token),
            await answer(
                env, "RespondActivityTaskCompleted", namespace=other, task_token=activity.task_token
            ),
            await answer(env, "RecordActivityTaskHeartbeat", namespace=other, task_token=activity.task_token),
        }
        return codes == {BAD}

    await env.visible(refused, True)
    await hand.complete_activity(activity)
    await hand.complete(task)


async def test_negative_durations_in_commands(env):
    hand = Hand(env)
    await hand.start()
    for name in (
        "schedule_to_close_timeout",
        "schedule_to_start_timeout",
        "start_to_close_timeout",
        "heartbeat_timeout",
    ):
        task = await hand.poll()
        with rejects(BAD):
            await hand.complete(task, hand.activity("a", **{name: -1}))
        if task.attempt > 1:
            await hand.fail(task)
    assert find_attributes(await hand.history(), "WftFailed").cause
    await hand.terminate()


async def test_absurd_durations_are_capped_not_wrapped(env):
    hand = Hand(env)
    await hand.start(workflow_run_timeout=300_000_000_000)
    await hand.step(start_timer("t", 300_000_000_000))
    assert await hand.status() == "RUNNING"
    check(await hand.history(), *PROLOGUE, E("TimerStarted"))
    await hand.terminate()


@pytest.mark.ours("unchecked there")
async def test_durations_out_of_protobufs_range(env):
    hand = Hand(env)
    for bad in (
        {"seconds": 1, "nanos": -1},
        {"seconds": 0, "nanos": 2_000_000_000},
        {"seconds": 400_000_000_000},
    ):
        with rejects(BAD):
            await env.rpc.StartWorkflowExecution(**(hand.start_fields() | {"workflow_run_timeout": bad}))


async def test_an_unknown_enum_value(env):
    hand = Hand(env)
    await hand.start()
    code = await answer(
        env, "StartWorkflowExecution", **(hand.start_fields() | {"workflow_id_reuse_policy": 99})
    )
    assert code in (BAD, Code.ALREADY_EXISTS)
    task = await hand.poll()
    with rejects(BAD):
        await hand.complete(task, Command(command_type=12345))
    await hand.complete(task, complete_workflow())


async def test_a_command_with_the_attributes_of_another(env):
    hand = Hand(env)
    await hand.start()
    wrong = Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        record_marker_command_attributes={"marker_name": "m"},
    )
    with rejects(BAD):
        await hand.complete(await hand.poll(), wrong)
    check(await hand.history(), *PROLOGUE[:3], E("WftFailed", cause="BAD_START_TIMER_ATTRIBUTES"))
    await hand.terminate()


# Not gRPC at all.


def talk(address: str, sent: bytes) -> bytes:
    """Sends bytes and reads until the server closes; fails if it never does."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
        return received


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"\x00" * 256,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(64),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
    ],
    ids=["http/1.1", "http/1.0", "tls", "zeros", "bad preface", "bad frame"],
)
async def test_what_is_not_http2(env, sent):
    received = await asyncio.to_thread(talk, env.address, sent)
    assert b"200 OK" not in received
    await alive(env)


async def test_a_connection_that_says_nothing_disturbs_nobody(env):
    host, port = env.address.rsplit(":", 1)
    silent = [socket.create_connection((host, int(port)), timeout=20) for _ in range(50)]
    for connection in silent[:25]:
        connection.sendall(b"PRI * HTTP/2.0\r\n")
    await alive(env)
    for connection in silent:
        connection.close()
    await alive(env)


async def test_a_refused_start_leaves_nothing(env):
    hand = Hand(env)
    await hand.start()
    with rejects(Code.ALREADY_EXISTS, already_started):
        await hand.rpc.StartWorkflowExecution(**hand.start_fields())
    check(await hand.history(), E("Started"), E("WftScheduled"))
    task = await hand.poll()
    await hand.complete(task, complete_workflow())
    nothing = await hand.rpc.PollWorkflowTaskQueue(
        _seconds=3, task_queue={"name": hand.queue}, identity=IDENTITY
    )
    assert not nothing.task_token


async def test_activity_failures_need_application_info(env):
    hand = Hand(env)
    await hand.start()
    await hand.step(hand.activity("a"))
    task = await hand.poll_activity()
    with rejects(BAD):
        await hand.rpc.RespondActivityTaskFailed(task_token=task.task_token, failure={"message": "no info"})
    await hand.fail_activity(task, failure("with info", non_retryable=True))
    assert find_attributes(await hand.history(), "ActivityTaskFailed").failure.message == "with info"
