"""Histories as plain data, with exactly those values replaced that no model can foresee.

What is replaced, and nothing else:
- run ids become aliases ("@w0/2" is the second run of workflow w0), workflow ids lose the program's prefix, other
  UUIDs (request ids, the namespace's id) become "<uuid>", queue names become aliases;
- times become "<time>" (their order is checked apart, `check_invariants`), as do the next run's reset points;
- an empty header or priority is none: SDKs send empty ones, and servers keep them or not;
- what the worker says of itself on workflow tasks (SDK flags, build id, metering) and the history's size in bytes go;
- stack traces go; so do messages of timeout failures and the reasons of terminations by the server: free text. Of
  the server's own failures the cause stays, which is what stands before the colon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from support import server as server_module
from temporalio.api.enums.v1 import event_type_pb2

# Where the reference is known to do other than it should, and the model says what it should.
REFERENCE = server_module.is_reference()
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
EventType = event_type_pb2.EventType

# What differs from worker to worker or from byte to byte, by event type; an event of the same kind keeps the rest.
DROPPED = {
    "WorkflowTaskStarted": {"history_size_bytes", "worker_version"},
    "WorkflowTaskCompleted": {
        "sdk_metadata",
        "metering_metadata",
        "worker_version",
        "binary_checksum",
        "deployment",
    },
    "WorkflowTaskFailed": {"worker_version", "binary_checksum"},
    "ActivityTaskStarted": {"worker_version"},
    # A field newer than the reference; where it is written it holds the request's random id.
    "WorkflowExecutionSignaled": {"request_id"},
    "WorkflowExecutionStarted": {"prev_auto_reset_points"},
}


def type_name(event: Message) -> str:
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    return "".join(part.capitalize() for part in name.split("_"))


def payload_value(payload: Message) -> object:
    encoding = payload.metadata.get("encoding", b"")
    if encoding.startswith(b"json/"):
        return json.loads(payload.data)
    if encoding == b"binary/null":
        return None
    return payload.data.decode(errors="replace")


def enum_name(field: FieldDescriptor, number: int) -> str:
    value = field.enum_type.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", field.enum_type.name).upper() + "_"
    return value.name.removeprefix(prefix)


def plain(message: Message, rename: Callable[[str], str]) -> object:
    """A message as plain data: only what is set."""
    kind = message.DESCRIPTOR.full_name
    if kind == "google.protobuf.Duration":
        return round(message.seconds + message.nanos / 1e9, 6)
    if kind == "google.protobuf.Timestamp":
        return "<time>"
    if kind == "temporal.api.common.v1.Payload":
        return renamed(payload_value(message), rename)
    if kind == "temporal.api.common.v1.Payloads":
        return [plain(payload, rename) for payload in message.payloads]
    found = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                value = {key: plain(entry, rename) for key, entry in value.items()}
            else:
                value = dict(value)
        elif field.is_repeated:
            value = [one(field, item, rename) for item in value]
        else:
            value = one(field, value, rename)
        found[field.name] = value
    if kind == "temporal.api.failure.v1.Failure":
        found.pop("stack_trace", None)
        if "timeout_failure_info" in found:
            found.pop("message", None)
        if "server_failure_info" in found:
            found.pop("source", None)
            found["message"] = found["message"].split(":")[0]
    return found


def one(field: FieldDescriptor, value: object, rename: Callable[[str], str]) -> object:
    if field.message_type is not None:
        return plain(value, rename)
    if field.enum_type is not None:
        return enum_name(field, value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return rename(value) if isinstance(value, str) else value


def renamed(value: object, rename: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return rename(value)
    if isinstance(value, list):
        return [renamed(item, rename) for item in value]
    if isinstance(value, dict):
        return {key: renamed(item, rename) for key, item in value.items()}
    return value


class Names:
    """The program's own names, there and back."""

    def __init__(self, prefix: str, queues: dict[str, str]) -> None:
        self.prefix = prefix
        self.queues = queues  # alias to real name
        self._aliases = {real: alias for alias, real in queues.items()}
        self.runs: dict[str, str] = {}  # run id to alias

    def real(self, value: object) -> object:
        """Program data with "@w0" made the real workflow id and "%work" the real queue."""

        def back(text: str) -> str:
            if text.startswith("@"):
                return self.prefix + text[1:]
            return self.queues.get(text, text)

        return renamed(value, back)

    def alias(self, text: str) -> str:
        if text in self._aliases:
            return self._aliases[text]
        if text.startswith(self.prefix):
            return "@" + text[len(self.prefix) :]
        return UUID.sub(lambda match: self.runs.get(match.group(), "<uuid>"), text)


def event(raw: Message, names: Names) -> dict:
    """{"type": …, attributes…}; what lives on the event itself is under "event"."""
    name = type_name(raw)
    which = raw.WhichOneof("attributes")
    attributes = plain(getattr(raw, which), names.alias)
    for empty in ("header", "priority"):
        if attributes.get(empty) == {}:
            del attributes[empty]
    for dropped in DROPPED.get(name, ()):
        attributes.pop(dropped, None)
    if name == "WorkflowTaskStarted" or name == "WorkflowTaskScheduled":
        queue = attributes.get("task_queue")
        if queue is not None and queue.get("kind") == "STICKY":
            queue["name"] = "<sticky>"
    if name == "WorkflowTaskStarted" and REFERENCE and attributes.get("identity") in (None, "history-service"):
        # The reference forgets who took a speculative task when something else makes it real, or ends it.
        attributes["identity"] = "worker"
    if "request_id" in attributes:
        attributes["request_id"] = "<id>"
    if name == "MarkerRecorded" and attributes["marker_name"] == "core_local_activity":
        attributes["details"]["data"] = [
            {key: data[key] for key in ("activity_id", "activity_type", "attempt")}
            for data in attributes["details"]["data"]
        ]
    if name == "WorkflowExecutionTerminated" and attributes.get("identity") == "history-service":
        attributes["reason"] = "<why>"
    if name == "WorkflowExecutionStarted" and attributes.get("initiator") in ("WORKFLOW", "RETRY"):
        # At least a second between two runs of a chain: what is left of it depends on how long the first one ran.
        backoff = attributes.get("first_workflow_task_backoff", 0.0)
        if 0 <= backoff <= 1:
            attributes["first_workflow_task_backoff"] = "<0..1>"
    beside = {}
    if raw.HasField("user_metadata"):
        beside["user_metadata"] = plain(raw.user_metadata, names.alias)
    if raw.links:
        beside["links"] = [plain(link, names.alias) for link in raw.links]
    if beside:
        attributes["event"] = beside
    return {"type": name} | attributes
