"""Completion callbacks: what is sent when a chain of runs has ended, how often, and what Describe shows; attaching to runs."""

from __future__ import annotations

import asyncio
import json

import pytest
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.enums.v1 import common_pb2

from support.env import own_server, restart
from support.grpc_client import Code, already_started, rejects
from support.hand import (
    Hand,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    payload,
    retry_policy,
)
from support.histories import PROLOGUE, E, attributes, check, check_tail, find, find_attributes, time_of, types
from support.http_receiver import Answer, HttpReceiver, receiver

State = common_pb2.CallbackState
USE_EXISTING = "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"
ATTACH = {"attach_request_id": True, "attach_completion_callbacks": True, "attach_links": True}


def callback(url: str, **header: str) -> common.Callback:
    return common.Callback(nexus={"url": url, "header": {k.replace("_", "-"): v for k, v in header.items()}})


def job(name: str) -> dict:
    return {"batch_job": {"job_id": name}}


async def states(hand: Hand, run_id: str | None = None) -> list[str]:
    described = await hand.describe(run_id)
    return [State.Name(entry.state).removeprefix("CALLBACK_STATE_") for entry in described.callbacks]


async def becomes(hand: Hand, *wanted: str, run_id: str | None = None, seconds: float = 20.0):
    """What Describe shows of the callbacks as soon as their states are these; nothing announces a change of state."""
    for _ in range(int(seconds / 0.02)):
        if await states(hand, run_id) == list(wanted):
            return (await hand.describe(run_id)).callbacks
        await asyncio.sleep(0.02)
    raise AssertionError(f"{await states(hand, run_id)} did not become {wanted}")


async def ended(env, http: HttpReceiver, *commands, **fields):
    hand = Hand(env)
    await hand.start(completion_callbacks=[callback(http.url + "/done?x=1", My_Key="v")], **fields)
    assert await states(hand) == ["STANDBY"]
    await hand.step(*commands)
    return hand, (await http.wait(1))[0]


# What is sent.


def with_metadata(value, **metadata: bytes):
    command = complete_workflow(value)
    stored = command.complete_workflow_execution_command_attributes.result.payloads[0]
    for key, text in metadata.items():
        stored.metadata[key] = text
    return command


@pytest.mark.parametrize(
    ("command", "content_type", "body"),
    [
        (complete_workflow({"a": 1}), "application/json", b'{"a": 1}'),
        (complete_workflow(1, 2), "application/json", b"1"),
        (complete_workflow(b"abc"), "application/octet-stream", b"abc"),
        (complete_workflow(), None, b""),
        (with_metadata(b"", encoding=b"binary/null"), None, b""),
        (with_metadata(1, foo=b"bar"), "application/json", b"1"),
        (
            with_metadata(1, encoding=b"json/protobuf", messageType=b"a.B"),
            'application/json; format=protobuf; message-type="a.B"',
            b"1",
        ),
        (
            with_metadata(b"x", encoding=b"binary/protobuf", messageType=b"a.B"),
            'application/x-protobuf; message-type="a.B"',
            b"x",
        ),
        (
            with_metadata(b"x", encoding=b"binary/encrypted"),
            "application/x-temporal-payload",
            common.Payload(metadata={"encoding": b"binary/encrypted"}, data=b"x").SerializeToString(),
        ),
    ],
)
async def test_a_result(env, command, content_type, body):
    async with receiver() as http:
        hand, request = await ended(env, http, command)
        assert (request.method, request.path, request.body) == ("POST", "/done?x=1", body)
        assert request.headers.get("content-type") == content_type
        assert request.headers["nexus-operation-state"] == "succeeded"
        assert request.headers["my-key"] == "v"
        link = (
            f"<temporal:///namespaces/default/workflows/{hand.workflow_id}/{hand.run_id}/history?eventID=1"
            "&eventType=WorkflowExecutionStarted&referenceType=EventReference>; "
            'type="temporal.api.common.v1.Link.WorkflowEvent"'
        )
        assert request.repeated["nexus-link"] == [link]
        events = await hand.history()
        close = events[-1].event_time.ToDatetime().isoformat()[:22]
        assert request.headers["nexus-operation-close-time"].startswith(close)
        start = events[0].event_time.ToDatetime().strftime("%a, %d %b %Y %H:%M:%S GMT")
        assert request.headers["nexus-operation-start-time"] == start
        (info,) = await becomes(hand, "SUCCEEDED")
        assert info.attempt == 1 and info.HasField("last_attempt_complete_time")
        assert not info.HasField("last_attempt_failure") and not info.HasField("next_attempt_schedule_time")
        assert info.trigger.HasField("workflow_closed")
        assert time_of(info.registration_time) == pytest.approx(time_of(events[0].event_time), abs=0.01)
        assert dict(info.callback.nexus.header) == {"my-key": "v"}


def nested_failure():
    made = failure("boom")
    made.stack_trace = "at x\nat y"
    made.cause.CopyFrom(failure("why"))
    return made


@pytest.mark.parametrize(
    ("command", "state", "said"),
    [
        (
            fail_workflow(nested_failure()),
            "failed",
            {
                "message": "boom",
                "stackTrace": "at x\nat y",
                "details": {
                    "source": "Hand",
                    "applicationFailureInfo": {"type": "Oops"},
                    "cause": {"message": "why", "source": "Hand", "applicationFailureInfo": {"type": "Oops"}},
                },
                "cause": {
                    "message": "why",
                    "metadata": {"type": "temporal.api.failure.v1.Failure"},
                    "details": {"source": "Hand", "applicationFailureInfo": {"type": "Oops"}},
                },
            },
        ),
        (
            cancel_workflow("d"),
            "canceled",
            {
                "message": "operation canceled",
                "details": {
                    "canceledFailureInfo": {
                        "details": {
                            "payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "ImQi"}]
                        }
                    }
                },
            },
        ),
        (None, "failed", {"message": "operation terminated", "details": {"terminatedFailureInfo": {}}}),
    ],
)
async def test_a_failure(env, command, state, said):
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(completion_callbacks=[callback(http.url)])
        await (hand.terminate() if command is None else hand.step(command))
        request = (await http.wait(1))[0]
        assert request.headers["nexus-operation-state"] == state
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.body) == said | {"metadata": {"type": "temporal.api.failure.v1.Failure"}}
        await becomes(hand, "SUCCEEDED")


async def test_a_timeout(env):
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(completion_callbacks=[callback(http.url)], workflow_run_timeout=1)
        request = (await http.wait(1))[0]
        assert request.headers["nexus-operation-state"] == "failed"
        assert json.loads(request.body)["details"] == {"timeoutFailureInfo": {}}


# What an answer means.


@pytest.mark.parametrize(
    ("answer", "state", "message"),
    [
        (Answer(200), "SUCCEEDED", None),
        (Answer(204), "SUCCEEDED", None),
        (Answer(400, body=b"{}"), "FAILED", "handler error (BAD_REQUEST)"),
        (Answer(401), "FAILED", "handler error (UNAUTHENTICATED)"),
        (Answer(403), "FAILED", "handler error (UNAUTHORIZED)"),
        (Answer(404), "FAILED", "handler error (NOT_FOUND)"),
        (Answer(409), "FAILED", "handler error (CONFLICT)"),
        (Answer(501), "FAILED", "handler error (NOT_IMPLEMENTED)"),
        (Answer(408), "BACKING_OFF", "handler error (REQUEST_TIMEOUT)"),
        (Answer(429), "BACKING_OFF", "handler error (RESOURCE_EXHAUSTED)"),
        (Answer(500), "BACKING_OFF", "handler error (INTERNAL)"),
        (Answer(503), "BACKING_OFF", "handler error (UNAVAILABLE)"),
        (Answer(520), "BACKING_OFF", "handler error (UPSTREAM_TIMEOUT)"),
        (Answer(418), "BACKING_OFF", "unexpected response status"),
        (Answer(302, headers={"location": "/elsewhere"}), "BACKING_OFF", ""),
        (Answer(500, headers={"nexus-request-retryable": "false"}), "FAILED", "handler error (INTERNAL)"),
        (Answer(400, headers={"nexus-request-retryable": "true"}), "BACKING_OFF", "handler error (BAD_REQUEST)"),
        (Answer(drops=True), "BACKING_OFF", ""),
    ],
)
async def test_answers(env, answer, state, message):
    async with receiver(answer) as http:
        hand, _ = await ended(env, http, complete_workflow())
        (info,) = await becomes(hand, state)
        assert info.attempt == 1
        if message is None:
            assert not info.HasField("last_attempt_failure")
            return
        assert message in info.last_attempt_failure.message
        assert info.last_attempt_failure.application_failure_info.non_retryable == (state == "FAILED")
        assert info.HasField("next_attempt_schedule_time") == (state == "BACKING_OFF")
        if state == "BACKING_OFF":
            wait = time_of(info.next_attempt_schedule_time) - time_of(info.last_attempt_complete_time)
            assert 0.79 <= wait <= 1.0


async def test_it_is_tried_again_until_it_succeeds(env):
    async with receiver(Answer(500), Answer(503), Answer(200)) as http:
        hand, first = await ended(env, http, complete_workflow("result"))
        second, third = (await http.wait(3))[1:]
        (info,) = await becomes(hand, "SUCCEEDED")
        assert info.attempt == 3 and not info.HasField("last_attempt_failure")
        volatile = ("host", "content-length")
        for again in (second, third):
            assert again.body == first.body
            assert {k: v for k, v in again.headers.items() if k not in volatile} == {
                k: v for k, v in first.headers.items() if k not in volatile
            }


async def test_nobody_listens_at_first(env):
    http = HttpReceiver()
    await http.start()
    await http.close()  # the port is free again, and known
    hand = Hand(env)
    await hand.start(completion_callbacks=[callback(http.url)])
    await hand.step(complete_workflow())
    (info,) = await becomes(hand, "BACKING_OFF")
    assert info.last_attempt_failure.message
    await http.start()
    try:
        await http.wait(1)
        await becomes(hand, "SUCCEEDED")
    finally:
        await http.close()


async def test_each_callback_has_its_own_fate(env):
    async with receiver(Answer(404)) as gone, receiver() as fine:
        hand = Hand(env)
        await hand.start(
            completion_callbacks=[callback(gone.url), callback(fine.url + "/a"), callback(fine.url + "/b")]
        )
        await hand.step(complete_workflow())
        await becomes(hand, "FAILED", "SUCCEEDED", "SUCCEEDED")
        assert sorted(request.path for request in fine.requests) == ["/a", "/b"]
        assert len(gone.requests) == 1


@pytest.mark.ours("the reference deletes what fails here otherwise")
async def test_the_servers_own_url_without_an_operation(env):
    hand = Hand(env)
    await hand.start(completion_callbacks=[callback("temporal://system", Token="x")])
    started = find_attributes(await hand.history(), "Started")
    assert dict(started.completion_callbacks[0].nexus.header) == {"token": "x"}
    await hand.step(complete_workflow())
    (info,) = await becomes(hand, "FAILED")
    assert "NOT_FOUND" in info.last_attempt_failure.message


async def test_a_new_run_of_the_id_changes_nothing(env):
    async with receiver(Answer(503), Answer(200)) as http:
        hand, _ = await ended(env, http, complete_workflow())
        first = hand.run_id
        await becomes(hand, "BACKING_OFF", run_id=first)
        await hand.start(request_id=env.name("again"))
        assert await states(hand) == []
        await http.wait(2)
        await becomes(hand, "SUCCEEDED", run_id=first)


# Chains.


async def test_continue_as_new_carries_them_on(env):
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(completion_callbacks=[callback(http.url + "/start")], request_id=env.name("a"))
        await hand.start(
            request_id=env.name("b"),
            workflow_id_conflict_policy=USE_EXISTING,
            on_conflict_options=ATTACH,
            completion_callbacks=[callback(http.url + "/attached")],
        )
        first = hand.run_id
        await hand.step(continue_as_new("type", hand.queue))
        hand.run_id = ""
        assert await states(hand, first) == ["STANDBY", "STANDBY"]
        started = find_attributes(await hand.history(""), "Started")
        paths = ["/start", "/attached"]
        assert [c.nexus.url for c in started.completion_callbacks] == [http.url + path for path in paths]
        assert not http.requests
        task = await hand.step(complete_workflow("end"))
        await http.wait(2)
        await becomes(hand, "SUCCEEDED", "SUCCEEDED")
        assert sorted(request.path for request in http.requests) == sorted(paths)
        # The last run is what they are told of.
        for request in http.requests:
            assert task.workflow_execution.run_id in request.headers["nexus-link"]
            assert "eventID=1" in request.headers["nexus-link"]
        assert await states(hand, first) == ["STANDBY", "STANDBY"]


async def test_a_retry_carries_them_on_and_a_cron_does_not(env):
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(
            retry_policy=retry_policy(maximum_attempts=2, initial_interval=0.1),
            completion_callbacks=[callback(http.url)],
        )
        await hand.step(fail_workflow(failure("x")))
        hand.run_id = ""
        assert await states(hand) == ["STANDBY"] and not http.requests
        await hand.step(fail_workflow(failure("last")))
        assert json.loads((await http.wait(1))[0].body)["message"] == "last"
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(cron_schedule="@every 1s", completion_callbacks=[callback(http.url)])
        first = hand.run_id
        await hand.step(complete_workflow("first"))
        hand.run_id = ""
        assert (await http.wait(1))[0].body == b'"first"'
        await becomes(hand, "SUCCEEDED", run_id=first)
        assert await states(hand) == []
        await hand.terminate()


# Attaching.


async def test_attaching_to_an_open_run(env):
    async with receiver() as http:
        hand = Hand(env)
        first = await hand.start()
        request_id = env.name("b")
        fields = hand.start_fields(
            request_id=request_id,
            workflow_id_conflict_policy=USE_EXISTING,
            on_conflict_options=ATTACH,
            completion_callbacks=[callback(http.url + "/attached")],
            links=[job("x")],
        )
        for _ in range(2):  # the second one is the same request
            answer = await hand.rpc.StartWorkflowExecution(**fields)
            assert answer.run_id == first.run_id and not answer.started
            assert answer.status == 1  # RUNNING
            reference = answer.link.workflow_event.request_id_ref
            assert reference.request_id == request_id
            assert reference.event_type == 55  # WORKFLOW_EXECUTION_OPTIONS_UPDATED
        events = await hand.history()
        check(events, E("Started"), E("WftScheduled"), E("OptionsUpdated", attached_request_id=request_id))
        updated = events[2]
        assert updated.worker_may_ignore
        assert [link.batch_job.job_id for link in updated.links] == ["x"]
        assert [c.nexus.url for c in attributes(updated).attached_completion_callbacks] == [http.url + "/attached"]
        assert await states(hand) == ["STANDBY"]
        await hand.step(complete_workflow())
        request = (await http.wait(1))[0]
        assert request.headers["nexus-link"].startswith(
            f"<temporal:///namespaces/default/workflows/{hand.workflow_id}/{hand.run_id}/history"
            "?eventType=WorkflowExecutionOptionsUpdated&referenceType=RequestIdReference"
            f"&requestID={request_id}>"
        )


async def test_attaching_while_a_worker_has_the_task(env):
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(request_id=(first := env.name("first")))
        task = await hand.poll()
        request_id = env.name("b")
        await hand.start(
            request_id=request_id,
            workflow_id_conflict_policy=USE_EXISTING,
            on_conflict_options=ATTACH,
            completion_callbacks=[callback(http.url)],
        )
        infos = (await hand.describe()).workflow_extended_info.request_id_infos
        assert infos[first].event_type == 1 and infos[first].event_id == 1 and not infos[first].buffered
        assert infos[request_id].event_type == 55
        assert infos[request_id].event_id == 0 and infos[request_id].buffered
        assert await states(hand) == ["STANDBY"]
        await hand.complete(task)
        events = await hand.history()
        check(events, *PROLOGUE, E("OptionsUpdated", attached_request_id=request_id), E("WftScheduled"))
        infos = (await hand.describe()).workflow_extended_info.request_id_infos
        assert infos[request_id].event_id == 5 and not infos[request_id].buffered
        await hand.step(complete_workflow())
        assert len(await http.wait(1)) == 1


async def test_attaching_less(env):
    hand = Hand(env)
    await hand.start()

    async def again(**fields):
        return await hand.rpc.StartWorkflowExecution(
            **hand.start_fields(workflow_id_conflict_policy=USE_EXISTING, **fields)
        )

    answer = await again()
    assert answer.link.workflow_event.event_ref.event_id == 1 and not answer.started
    await again(links=[job("a")])  # nothing says that they are to be attached
    check(await hand.history(), E("Started"), E("WftScheduled"))
    answer = await again(on_conflict_options={"attach_links": True}, links=[job("a")])
    assert answer.link.workflow_event.event_ref.event_id == 1
    await again(on_conflict_options={"attach_request_id": True}, completion_callbacks=[], request_id="only-id")
    events = await hand.history()
    check_tail(
        events, E("OptionsUpdated", attached_request_id=""), E("OptionsUpdated", attached_request_id="only-id")
    )
    assert [link.batch_job.job_id for link in events[2].links] == ["a"] and not events[3].links
    with rejects(Code.INVALID_ARGUMENT, text="request id"):
        await again(on_conflict_options={"attach_completion_callbacks": True})
    with rejects(Code.ALREADY_EXISTS, already_started):
        await hand.rpc.StartWorkflowExecution(
            **hand.start_fields(on_conflict_options=ATTACH, workflow_id_conflict_policy=1)
        )
    assert await states(hand) == []


async def test_too_many(env):
    hand = Hand(env)
    url = "http://127.0.0.1:1/"
    with rejects(Code.INVALID_ARGUMENT, text="more than 32 callbacks"):
        await hand.start(completion_callbacks=[callback(url)] * 33)
    await hand.start(completion_callbacks=[callback(url)] * 31)
    fields = dict(workflow_id_conflict_policy=USE_EXISTING, on_conflict_options=ATTACH)
    with rejects(Code.FAILED_PRECONDITION, text="31 callbacks already attached"):
        await hand.start(completion_callbacks=[callback(url)] * 2, **fields)
    check(await hand.history(), E("Started"), E("WftScheduled"))
    await hand.start(completion_callbacks=[callback(url)], **fields)
    assert len(await states(hand)) == 32


# What is refused.


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (callback("ftp://127.0.0.1/"), "unknown scheme"),
        (callback(""), "unknown scheme"),
        (callback("temporal://system/x"), "unknown scheme"),
        (callback("http:///x"), "host"),
        (callback("http://127.0.0.1:1/" + "x" * 1000), "longer than"),
        (callback("http://127.0.0.1:1/", a="x" * 8192), "header"),
        (common.Callback(internal={"data": b"x"}), "variant"),
        (
            common.Callback(
                nexus={"url": "http://127.0.0.1:1/"}, links=[{"workflow_event": {"namespace": "n"}}]
            ),
            "link",
        ),
    ],
)
async def test_bad_callbacks(env, given, says):
    with rejects(Code.INVALID_ARGUMENT, text=says):
        await Hand(env).start(completion_callbacks=[given])


@pytest.mark.ours("it is told of one variant less, and takes what HTTP does not")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (common.Callback(), "variant"),
        (callback("http://elsewhere.example/"), "--callback-url"),
        (callback("http://user@127.0.0.1:1/"), "user"),
        (callback("http://127.0.0.1:1/ x"), "invalid URL"),
        (callback("http://127.0.0.1:1/", a="x\r\ninjected: y"), "control characters"),
        (common.Callback(nexus={"url": "http://127.0.0.1:1/", "header": {"a b": "c"}}), "name"),
    ],
)
async def test_bad_callbacks_that_only_we_refuse(env, given, says):
    with rejects(Code.INVALID_ARGUMENT, text=says):
        await Hand(env).start(completion_callbacks=[given])


# Over the death of the server.

ALLOWED = ("--callback-url", "127.0.0.1:*,insecure")


@pytest.mark.crash
async def test_without_the_flag_nothing_is_allowed(env):
    async with own_server() as (_, own):
        with rejects(Code.INVALID_ARGUMENT, text="--callback-url"):
            await Hand(own).start(completion_callbacks=[callback("http://127.0.0.1:1/")])
    async with own_server("--callback-url", "*.example:1,insecure", "--callback-url", "safe.*") as (_, own):
        with rejects(Code.INVALID_ARGUMENT, text="insecure"):
            await Hand(own).start(completion_callbacks=[callback("http://safe.example")])
        with rejects(Code.INVALID_ARGUMENT, text="--callback-url"):
            await Hand(own).start(completion_callbacks=[callback("http://a.example:12")])
        await Hand(own).start(completion_callbacks=[callback("https://safe.example")])
        await Hand(own).start(completion_callbacks=[callback("http://a.example:1/x")])


@pytest.mark.crash
async def test_standing_by(env):
    async with own_server(*ALLOWED) as (server, own), receiver() as http:
        hand = Hand(own)
        await hand.start(completion_callbacks=[callback(http.url)])
        task = await hand.poll()
        await hand.start(
            request_id="second",
            workflow_id_conflict_policy=USE_EXISTING,
            on_conflict_options=ATTACH,
            completion_callbacks=[callback(http.url + "/second")],
        )
        await restart(server)
        assert await states(hand) == ["STANDBY", "STANDBY"]
        infos = (await hand.describe()).workflow_extended_info.request_id_infos
        assert infos["second"].buffered
        await hand.complete(task)
        await hand.step(complete_workflow("r"))
        await http.wait(2)
        await becomes(hand, "SUCCEEDED", "SUCCEEDED")
        await restart(server)
        assert await states(hand) == ["SUCCEEDED", "SUCCEEDED"]
        assert len(http.requests) == 2


@pytest.mark.crash
async def test_killed_while_it_is_being_delivered(env):
    async with own_server(*ALLOWED) as (server, own), receiver(Answer(hangs=True), Answer(200)) as http:
        hand = Hand(own)
        await hand.start(completion_callbacks=[callback(http.url)])
        await hand.step(complete_workflow("r"))
        await http.wait(1)
        await restart(server)
        requests = await http.wait(2)
        assert requests[0].body == requests[1].body == b'"r"'
        (info,) = await becomes(hand, "SUCCEEDED")
        assert info.attempt == 1  # of the one that was lost nothing is known


@pytest.mark.crash
@pytest.mark.parametrize("kill", [True, False])
async def test_ended_while_it_backs_off(env, kill):
    async with own_server(*ALLOWED) as (server, own), receiver(Answer(503), Answer(200)) as http:
        hand = Hand(own)
        await hand.start(completion_callbacks=[callback(http.url)])
        await hand.step(complete_workflow("r"))
        (before,) = await becomes(hand, "BACKING_OFF")
        await restart(server, kill=kill)
        await http.wait(2)
        (info,) = await becomes(hand, "SUCCEEDED")
        assert info.attempt == 2
        assert time_of(info.last_attempt_complete_time) >= time_of(before.next_attempt_schedule_time)


@pytest.mark.crash
async def test_a_drain_does_not_wait_for_those_who_do_not_answer(env):
    async with own_server(*ALLOWED) as (server, own), receiver(Answer(hangs=True), Answer(200)) as http:
        hand = Hand(own)
        await hand.start(completion_callbacks=[callback(http.url)])
        await hand.step(complete_workflow("r"))
        await http.wait(1)
        await restart(server, kill=False)
        await http.wait(2)
        await becomes(hand, "SUCCEEDED")


@pytest.mark.crash
async def test_many(env):
    async with own_server(*ALLOWED) as (server, own), receiver() as http:
        hands = [Hand(own) for _ in range(60)]
        for hand in hands:
            await hand.start(completion_callbacks=[callback(f"{http.url}/{hand.workflow_id}")])
        await asyncio.gather(*(hand.terminate() for hand in hands))
        await restart(server)
        for hand in hands:
            await becomes(hand, "SUCCEEDED")
        assert {request.path[1:] for request in http.requests} == {hand.workflow_id for hand in hands}


async def test_a_reset_carries_them_on(env):
    async with receiver() as http:
        hand = Hand(env)
        await hand.start(completion_callbacks=[callback(http.url)])
        await hand.step()
        base = hand.run_id
        answer = await hand.rpc.ResetWorkflowExecution(
            workflow_execution=hand.execution(), reason="again", workflow_task_finish_event_id=4, request_id="r"
        )
        hand.run_id = answer.run_id
        assert await states(hand) == ["STANDBY"] and await states(hand, base) == ["STANDBY"]
        await hand.step(complete_workflow("second"))
        assert (await http.wait(1))[0].body == b'"second"'
        await becomes(hand, "SUCCEEDED")
        assert len(http.requests) == 1


@pytest.mark.crash
async def test_deleted_before_it_is_delivered(env):
    async with own_server(*ALLOWED) as (server, own), receiver(Answer(hangs=True)) as http:
        hand = Hand(own)
        await hand.start(completion_callbacks=[callback(http.url)])
        await hand.step(complete_workflow("r"))
        await http.wait(1)
        await hand.rpc.DeleteWorkflowExecution(workflow_execution=hand.execution())
        await restart(server)
        # The other one is delivered, and nothing is left of the first that could have come before it.
        async with receiver() as second:
            other = Hand(own)
            await other.start(completion_callbacks=[callback(second.url)])
            await other.step(complete_workflow())
            await second.wait(1)
            await becomes(other, "SUCCEEDED")
        assert len(http.requests) == 1


@pytest.mark.crash
async def test_a_run_that_left_memory_is_found_when_its_time_comes(env):
    async with (
        own_server(*ALLOWED, "--memory", "1M") as (_, own),
        receiver(Answer(503), Answer(503), Answer(200)) as http,
    ):
        hand = Hand(own)
        await hand.start(completion_callbacks=[callback(http.url)])
        await hand.step(complete_workflow("kept"))
        await becomes(hand, "BACKING_OFF")
        # More than the cache holds, so that the closed run goes first.
        await asyncio.gather(*(Hand(own).start(memo={"fields": {"m": payload("x" * 5000)}}) for _ in range(400)))
        requests = await http.wait(3)
        assert [request.body for request in requests] == [b'"kept"'] * 3
        (info,) = await becomes(hand, "SUCCEEDED")
        assert info.attempt == 3
