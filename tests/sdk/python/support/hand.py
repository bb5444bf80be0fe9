"""A worker driven by hand: each poll, each completion and each history page is one awaited call of the test.

`Hand` is one workflow id with its own task queue. Only what a test cares about is named; the rest has plain defaults.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.command.v1 import message_pb2 as command_pb2
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.enums.v1 import command_type_pb2, failed_cause_pb2, task_queue_pb2, workflow_pb2
from temporalio.api.failure.v1 import message_pb2 as failure_pb2
from temporalio.api.protocol.v1 import message_pb2 as protocol_pb2
from temporalio.api.update.v1 import message_pb2 as update_pb2

from support.env import Env
from support.grpc_client import POLL_SECONDS, Rpc
from support.histories import Event, check_invariants, event_type, types

Command = command_pb2.Command
CommandType = command_type_pb2.CommandType
Cause = failed_cause_pb2.WorkflowTaskFailedCause
IDENTITY = "hand"
STICKY = task_queue_pb2.TASK_QUEUE_KIND_STICKY


def seconds(value: float) -> Duration:
    whole = int(value)
    return Duration(seconds=whole, nanos=round((value - whole) * 1e9))


def payload(value: object) -> common.Payload:
    if isinstance(value, bytes):
        return common.Payload(metadata={"encoding": b"binary/plain"}, data=value)
    return common.Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def payloads(*values: object) -> common.Payloads:
    return common.Payloads(payloads=[payload(value) for value in values])


def failure(
    message: str, type: str = "Oops", non_retryable: bool = False, next_retry_delay: float | None = None
):
    made = failure_pb2.Failure(
        message=message,
        source="Hand",
        application_failure_info={"type": type, "non_retryable": non_retryable},
    )
    if next_retry_delay is not None:
        made.application_failure_info.next_retry_delay.CopyFrom(seconds(next_retry_delay))
    return made


def durations(fields: dict[str, object]) -> dict[str, object]:
    """Numbers given for fields that are durations become durations."""
    return {
        name: seconds(value)
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and name.endswith(("_timeout", "_interval", "_delay"))
        else value
        for name, value in fields.items()
    }


def retry_policy(**fields: object) -> common.RetryPolicy:
    return common.RetryPolicy(**durations(fields))


# Commands.


def schedule_activity(activity_id: str, queue: str, type: str = "work", **fields: object) -> Command:
    values = {"start_to_close_timeout": 60, "input": payloads("in")} | fields
    values = {name: value for name, value in values.items() if value is not None}
    eager = bool(values.pop("request_eager_execution", False))
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=dict(
            activity_id=activity_id,
            activity_type={"name": type},
            task_queue={"name": queue},
            request_eager_execution=eager,
            **durations(values),
        ),
    )


def cancel_activity(scheduled_event_id: int) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
        request_cancel_activity_task_command_attributes={"scheduled_event_id": scheduled_event_id},
    )


def start_timer(timer_id: str, after: float) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes={"timer_id": timer_id, "start_to_fire_timeout": seconds(after)},
    )


def cancel_timer(timer_id: str) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
        cancel_timer_command_attributes={"timer_id": timer_id},
    )


def marker(name: str, **details: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
        record_marker_command_attributes=dict(
            marker_name=name, details={key: payloads(value) for key, value in details.items()}
        ),
    )


def complete_workflow(*result: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes={"result": payloads(*result)} if result else {},
    )


def fail_workflow(why: failure_pb2.Failure) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes={"failure": why},
    )


def cancel_workflow(*details: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
        cancel_workflow_execution_command_attributes={"details": payloads(*details)} if details else {},
    )


def continue_as_new(type: str, queue: str, **fields: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=dict(
            workflow_type={"name": type}, task_queue={"name": queue}, **durations(fields)
        ),
    )


def start_child(workflow_id: str, queue: str, /, policy: str = "", **fields: object) -> Command:
    values = {
        "workflow_id": workflow_id,
        "workflow_type": {"name": "child"},
        "task_queue": {"name": queue},
    } | fields
    if policy:
        values["parent_close_policy"] = f"PARENT_CLOSE_POLICY_{policy}"
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        start_child_workflow_execution_command_attributes=durations(values),
    )


def signal_external(
    workflow_id: str, name: str = "s", *arguments: object, run_id: str = "", **fields: object
):
    return Command(
        command_type=CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
        signal_external_workflow_execution_command_attributes=dict(
            execution={"workflow_id": workflow_id, "run_id": run_id},
            signal_name=name,
            input=payloads(*arguments) if arguments else None,
            **fields,
        ),
    )


def cancel_external(workflow_id: str, run_id: str = "", **fields: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
        request_cancel_external_workflow_execution_command_attributes=dict(
            workflow_id=workflow_id, run_id=run_id, **fields
        ),
    )


def upsert_search_attributes(**values: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes={
            "search_attributes": search_attributes(**values)
        },
    )


def upsert_memo(**values: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
        modify_workflow_properties_command_attributes={"upserted_memo": memo(**values)},
    )


def search_attributes(**values: object) -> common.SearchAttributes:
    return common.SearchAttributes(indexed_fields={key: payload(value) for key, value in values.items()})


def memo(**values: object) -> common.Memo:
    return common.Memo(fields={key: payload(value) for key, value in values.items()})


def header(**values: object) -> common.Header:
    return common.Header(fields={key: payload(value) for key, value in values.items()})


# Updates: a worker answers the request in a task's messages with messages of its own, each placed by a command.


def protocol_message(message_id: str) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
        protocol_message_command_attributes={"message_id": message_id},
    )


def _any(body: Message) -> Any:
    packed = Any()
    packed.Pack(body)
    return packed


def update_request(message: protocol_pb2.Message) -> update_pb2.Request:
    request = update_pb2.Request()
    assert message.body.Unpack(request), f"the message holds a {message.body.type_url}"
    return request


def accept(message: protocol_pb2.Message, **fields: object) -> protocol_pb2.Message:
    """The acceptance of the update that this request message brought."""
    values = dict(
        accepted_request_message_id=message.id,
        accepted_request_sequencing_event_id=message.event_id,
        accepted_request=update_request(message),
    )
    return protocol_pb2.Message(
        id=f"{message.protocol_instance_id}/accept",
        protocol_instance_id=message.protocol_instance_id,
        body=_any(update_pb2.Acceptance(**(values | fields))),
    )


def reject(message: protocol_pb2.Message, why: failure_pb2.Failure | None = None) -> protocol_pb2.Message:
    return protocol_pb2.Message(
        id=f"{message.protocol_instance_id}/reject",
        protocol_instance_id=message.protocol_instance_id,
        body=_any(
            update_pb2.Rejection(
                rejected_request_message_id=message.id,
                rejected_request_sequencing_event_id=message.event_id,
                rejected_request=update_request(message),
                failure=why or failure("no", type="Refused"),
            )
        ),
    )


def respond(update_id: str, *result: object, why: failure_pb2.Failure | None = None) -> protocol_pb2.Message:
    """The outcome of an update: a result, or a failure."""
    outcome = update_pb2.Outcome(failure=why) if why else update_pb2.Outcome(success=payloads(*result))
    return protocol_pb2.Message(
        id=f"{update_id}/complete",
        protocol_instance_id=update_id,
        body=_any(update_pb2.Response(meta={"update_id": update_id}, outcome=outcome)),
    )


class Hand:
    def __init__(self, env: Env, workflow_id: str | None = None, queue: str | None = None) -> None:
        self.env = env
        self.rpc: Rpc = env.rpc
        self.workflow_id = workflow_id or env.name("wf")
        self.queue = queue or env.name("queue")
        self.sticky_queue = env.name("sticky")
        self.run_id = ""

    # Starting.

    def start_fields(self, **fields: object) -> dict[str, object]:
        values = dict(
            workflow_id=self.workflow_id,
            workflow_type={"name": "type"},
            task_queue={"name": self.queue},
            identity="starter",
            request_id=self.env.name("request"),
        )
        return values | durations(fields)

    async def start(self, **fields: object):
        response = await self.rpc.StartWorkflowExecution(**self.start_fields(**fields))
        self.run_id = response.run_id
        return response

    async def signal_with_start(self, signal: str = "s", *arguments: object, **fields: object):
        response = await self.rpc.SignalWithStartWorkflowExecution(
            signal_name=signal, signal_input=payloads(*arguments), **self.start_fields(**fields)
        )
        self.run_id = response.run_id
        return response

    # Workflow tasks.

    async def poll(self, queue: str | None = None, sticky: bool = False, wait: float = POLL_SECONDS):
        """A workflow task; fails the test if none comes within `wait` seconds."""
        task = await self.poll_maybe(queue, sticky, wait)
        assert task.task_token, "no workflow task came"
        return task

    async def poll_maybe(self, queue: str | None = None, sticky: bool = False, wait: float = POLL_SECONDS):
        if sticky:
            task_queue = {"name": self.sticky_queue, "kind": STICKY, "normal_name": self.queue}
        else:
            task_queue = {"name": queue or self.queue}
        return await self.rpc.PollWorkflowTaskQueue(_seconds=wait, task_queue=task_queue, identity=IDENTITY)

    async def complete(self, task, *commands: Command, sticky: bool | float = False, **fields: object):
        """Completes `task` with these commands; `sticky` may be the sticky queue's timeout in seconds."""
        if sticky:
            fields["sticky_attributes"] = dict(
                worker_task_queue={"name": self.sticky_queue, "kind": STICKY, "normal_name": self.queue},
                schedule_to_start_timeout=seconds(10.0 if sticky is True else sticky),
            )
        return await self.rpc.RespondWorkflowTaskCompleted(
            task_token=task.task_token, commands=list(commands), identity=IDENTITY, **fields
        )

    async def fail(self, task, cause: str = "WORKFLOW_WORKER_UNHANDLED_FAILURE", message: str = "it broke"):
        return await self.rpc.RespondWorkflowTaskFailed(
            task_token=task.task_token,
            cause=f"WORKFLOW_TASK_FAILED_CAUSE_{cause}",
            failure=failure(message),
            identity=IDENTITY,
        )

    async def step(self, *commands: Command, **fields: object):
        """Polls and completes: the usual way through a task whose content does not matter."""
        task = await self.poll()
        await self.complete(task, *commands, **fields)
        return task

    # Activities.

    async def poll_activity(self, queue: str | None = None, wait: float = POLL_SECONDS):
        task = await self.rpc.PollActivityTaskQueue(
            _seconds=wait, task_queue={"name": queue or self.queue}, identity=IDENTITY
        )
        assert task.task_token, "no activity task came"
        return task

    def activity(self, activity_id: str = "a", **fields: object) -> Command:
        return schedule_activity(activity_id, self.queue, **fields)

    async def complete_activity(self, task, *result: object):
        return await self.rpc.RespondActivityTaskCompleted(
            task_token=task.task_token, result=payloads(*result), identity=IDENTITY
        )

    async def fail_activity(self, task, why: failure_pb2.Failure | None = None, **fields: object):
        return await self.rpc.RespondActivityTaskFailed(
            task_token=task.task_token, failure=why or failure("failed"), identity=IDENTITY, **fields
        )

    async def heartbeat(self, task, *details: object):
        return await self.rpc.RecordActivityTaskHeartbeat(
            task_token=task.task_token, details=payloads(*details) if details else None, identity=IDENTITY
        )

    # Everything else one does to a workflow.

    def execution(self, run_id: str | None = None) -> dict[str, str]:
        return {"workflow_id": self.workflow_id, "run_id": self.run_id if run_id is None else run_id}

    async def signal(self, name: str, *arguments: object, **fields: object):
        return await self.rpc.SignalWorkflowExecution(
            workflow_execution=self.execution(),
            signal_name=name,
            input=payloads(*arguments) if arguments else None,
            identity="signaller",
            **fields,
        )

    async def cancel(self, reason: str = "because", **fields: object):
        return await self.rpc.RequestCancelWorkflowExecution(
            workflow_execution=self.execution(), reason=reason, identity="canceller", **fields
        )

    async def terminate(self, reason: str = "enough", **fields: object):
        return await self.rpc.TerminateWorkflowExecution(
            workflow_execution=self.execution(), reason=reason, identity="terminator", **fields
        )

    async def query(self, query_type: str = "q", *arguments: object, wait: float = 10.0, **fields: object):
        return await self.rpc.QueryWorkflow(
            _seconds=wait,
            execution=self.execution(),
            query={"query_type": query_type, "query_args": payloads(*arguments) if arguments else None},
            **fields,
        )

    async def answer_query(self, task, *result: object):
        return await self.rpc.RespondQueryTaskCompleted(
            task_token=task.task_token,
            completed_type="QUERY_RESULT_TYPE_ANSWERED",
            query_result=payloads(*result),
        )

    # Updates.

    def update_fields(self, name: str, *arguments: object, id: str = "u", wait: str = "COMPLETED", **fields):
        execution = {"workflow_id": self.workflow_id, "run_id": fields.pop("run_id", self.run_id)}
        return dict(
            workflow_execution=execution,
            wait_policy={"lifecycle_stage": f"UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_{wait}"},
            request={
                "meta": {"update_id": id, "identity": "updater"},
                "input": {"name": name, "args": payloads(*arguments) if arguments else None},
            },
            **fields,
        )

    async def update(self, name: str = "up", *arguments: object, seconds: float = 40.0, **fields: object):
        return await self.rpc.UpdateWorkflowExecution(
            _seconds=seconds, **self.update_fields(name, *arguments, **fields)
        )

    def updating(self, name: str = "up", *arguments: object, **fields: object) -> asyncio.Task:
        """The call under way: a worker has to do something before it ends."""
        return asyncio.create_task(self.update(name, *arguments, **fields))

    async def poll_update(
        self, id: str = "u", wait: str | None = None, run_id: str | None = None, seconds: float = 40.0
    ):
        stage = "UNSPECIFIED" if wait is None else wait
        return await self.rpc.PollWorkflowExecutionUpdate(
            _seconds=seconds,
            update_ref={"workflow_execution": self.execution(run_id), "update_id": id},
            wait_policy={"lifecycle_stage": f"UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_{stage}"},
        )

    async def admitted(self, id: str = "u", run_id: str | None = None):
        """Until the server knows of an update, whose caller waits on; how far it is."""
        while True:
            try:
                return (await self.poll_update(id, run_id=run_id)).stage
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND
            await asyncio.sleep(0.01)  # the call that brings it is on its way

    async def answer(self, task, *messages: protocol_pb2.Message, then: Sequence[Command] = (), **fields):
        """Completes `task` with these messages, in this order, and then with the commands."""
        placed = [protocol_message(m.id) for m in messages if not m.body.Is(update_pb2.Rejection.DESCRIPTOR)]
        return await self.complete(task, *placed, *then, messages=list(messages), **fields)

    async def describe(self, run_id: str | None = None):
        return await self.rpc.DescribeWorkflowExecution(execution=self.execution(run_id))

    async def status(self, run_id: str | None = None) -> str:
        info = (await self.describe(run_id)).workflow_execution_info
        return workflow_pb2.WorkflowExecutionStatus.Name(info.status).removeprefix(
            "WORKFLOW_EXECUTION_STATUS_"
        )

    # Histories.

    async def history(self, run_id: str | None = None, as_cli: bool = True) -> list[Event]:
        """The stored history. As the CLI, since any other reader is also shown tasks that are not written (yet)."""
        options = (
            {"metadata": (("client-name", "temporal-cli"), ("client-version", "1.0.0"))} if as_cli else {}
        )
        events: list[Event] = []
        token = b""
        while True:
            page = await self.rpc.GetWorkflowExecutionHistory(
                _options=options, execution=self.execution(run_id), next_page_token=token
            )
            events.extend(page.history.events)
            token = page.next_page_token
            if not token:
                check_invariants(events) if as_cli else None
                return events

    async def history_when(
        self, ready: Callable[[Sequence[Event]], bool], run_id: str | None = None, wait: float = 30.0
    ) -> list[Event]:
        """The history as soon as `ready` holds of it: waits by long polls, not by asking again and again."""
        deadline = time.monotonic() + wait
        events: list[Event] = []
        token = b""
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"it did not come to that; the history is {types(events)}"
            try:
                page = await self.rpc.GetWorkflowExecutionHistory(
                    _seconds=left,
                    _options={"metadata": (("client-name", "temporal-cli"), ("client-version", "1.0.0"))},
                    execution=self.execution(run_id),
                    next_page_token=token,
                    wait_new_event=True,
                )
            except grpc.aio.AioRpcError as error:
                assert error.code() != grpc.StatusCode.DEADLINE_EXCEEDED, (
                    f"it did not come to that: {types(events)}"
                )
                raise
            events.extend(page.history.events)
            token = page.next_page_token
            if ready(events):
                return events
            assert token, f"the run closed before it came to that: {types(events)}"

    async def history_with(self, short: str, count: int = 1, run_id: str | None = None) -> list[Event]:
        """The history as soon as it has `count` events of this type."""
        wanted = event_type(short)
        return await self.history_when(
            lambda events: sum(e.event_type == wanted for e in events) >= count, run_id
        )
