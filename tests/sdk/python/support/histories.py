"""Histories as short, exact expectations.

    check(events, *PROLOGUE, E("ActivityTaskScheduled", activity_id="a", wftc=4), E("ActivityTaskStarted", attempt=2))

compares types in order, ids (dense from the first expected id) and the attributes that are named. An attribute's
expected value is written the short way: seconds for durations, the end of an enum value's name, a Python value for
payloads, a dict for a message, ABSENT or PRESENT, or a function that judges the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import message_pb2 as history

Event = history.HistoryEvent
EventType = event_type_pb2.EventType


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ABSENT = _Mark("ABSENT")
PRESENT = _Mark("PRESENT")

SHORT_NAMES = {
    "wftc": "workflow_task_completed_event_id",
    "scheduled": "scheduled_event_id",
    "started": "started_event_id",
    "new_run": "new_execution_run_id",
}


@dataclass
class Expected:
    type: str
    attributes: dict[str, object]


def E(type: str, **attributes: object) -> Expected:  # noqa: N802 - it stands for an event in long lists
    return Expected(type, attributes)


PROLOGUE = (
    E("Started"),
    E("WftScheduled", attempt=1),
    E("WftStarted", scheduled=2),
    E("WftCompleted", scheduled=2, started=3),
)


def event_type(short: str) -> int:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", short.replace("Wft", "WorkflowTask")).upper()
    for candidate in (f"EVENT_TYPE_{name}", f"EVENT_TYPE_WORKFLOW_EXECUTION_{name}"):
        if candidate in EventType.keys():
            return EventType.Value(candidate)
    raise KeyError(short)


def type_name(event: Event) -> str:
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    camel = "".join(part.capitalize() for part in name.split("_"))
    camel = camel.replace("WorkflowTask", "Wft")
    return camel.removeprefix("WorkflowExecution")


def attributes(event: Event) -> Message:
    which = event.WhichOneof("attributes")
    assert which is not None, f"event {event.event_id} has no attributes"
    return getattr(event, which)


def types(events: Sequence[Event]) -> list[str]:
    return [type_name(event) for event in events]


def find(events: Sequence[Event], short: str, nth: int = 0) -> Event:
    wanted = [event for event in events if event.event_type == event_type(short)]
    assert len(wanted) > nth, f"no {short} number {nth + 1} in {types(events)}"
    return wanted[nth]


def find_attributes(events: Sequence[Event], short: str, nth: int = 0):
    return attributes(find(events, short, nth))


def payload_value(payload: common.Payload) -> object:
    encoding = payload.metadata.get("encoding", b"")
    if encoding == b"json/plain":
        return json.loads(payload.data)
    if encoding == b"binary/null":
        return None
    return payload.data


def seconds_of(duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def time_of(timestamp) -> float:
    return timestamp.ToDatetime(tzinfo=UTC).timestamp()


def mismatch(value: object, field: FieldDescriptor | None, expected: object) -> str | None:
    """Why `value` is not what was expected; None when it is."""
    if isinstance(expected, Message):
        return None if value == expected else f"{value!s} is not {expected!s}"
    if callable(expected):
        return None if expected(value) else f"{value!r} was refused by the test's own check"
    if isinstance(value, Message):
        return _message_mismatch(value, expected)
    if field is not None and field.type == FieldDescriptor.TYPE_ENUM and isinstance(expected, str):
        name = field.enum_type.values_by_number[value].name
        return None if name == expected or name.endswith("_" + expected) else f"{name} is not …{expected}"
    if field is not None and field.is_repeated:
        return None if list(value) == expected else f"{list(value)!r} is not {expected!r}"
    return None if value == expected else f"{value!r} is not {expected!r}"


def _message_mismatch(value: Message, expected: object) -> str | None:
    kind = value.DESCRIPTOR.full_name
    if kind == "google.protobuf.Duration":
        found: object = seconds_of(value)
    elif kind == "temporal.api.common.v1.Payload":
        found = payload_value(value)
    elif kind == "temporal.api.common.v1.Payloads":
        found = [payload_value(payload) for payload in value.payloads]
    elif isinstance(expected, dict) and kind in (
        "temporal.api.common.v1.Header",
        "temporal.api.common.v1.Memo",
        "temporal.api.common.v1.SearchAttributes",
    ):
        fields = value.indexed_fields if kind.endswith("SearchAttributes") else value.fields
        found = {key: payload_value(payload) for key, payload in fields.items()}
    elif isinstance(expected, str) and kind.endswith((".WorkflowType", ".ActivityType", ".TaskQueue")):
        found = value.name
    elif isinstance(expected, dict):
        return "; ".join(attribute_mismatches(value, expected)) or None
    else:
        found = value
    return None if found == expected else f"{found!r} is not {expected!r}"


def attribute_mismatches(message: Message, expected: dict[str, object]) -> list[str]:
    problems = []
    for short, wanted in expected.items():
        name = SHORT_NAMES.get(short, short)
        field = message.DESCRIPTOR.fields_by_name.get(name)
        assert field is not None, f"{message.DESCRIPTOR.name} has no field {name}"
        if wanted is ABSENT or wanted is PRESENT:
            if field.has_presence:
                there = message.HasField(name)
            else:
                there = bool(getattr(message, name))
            if there != (wanted is PRESENT):
                problems.append(f"{name} is {'there' if there else 'absent'}: {getattr(message, name)!r}")
            continue
        if field.has_presence and field.message_type is not None and not message.HasField(name):
            problems.append(f"{name} is absent, expected {wanted!r}")
            continue
        problem = mismatch(getattr(message, name), field, wanted)
        if problem is not None:
            problems.append(f"{name}: {problem}")
    return problems


def expect(message: Message, **expected: object) -> None:
    """One message's fields, written the same short way."""
    problems = attribute_mismatches(message, expected)
    assert not problems, f"{message.DESCRIPTOR.name}: {'; '.join(problems)}\n{message}"


def check(events: Sequence[Event], *expected: Expected, first_id: int = 1) -> None:
    """The events are exactly these."""
    found_types = types(events)
    wanted_types = [type_name(Event(event_type=event_type(item.type))) for item in expected]
    listing = "\n".join(f"{event.event_id} {name}" for event, name in zip(events, found_types, strict=True))
    assert found_types == wanted_types, f"the history is\n{listing}"
    for number, (event, item) in enumerate(zip(events, expected, strict=True)):
        assert event.event_id == first_id + number, f"event ids are not dense:\n{listing}"
        problems = attribute_mismatches(attributes(event), item.attributes)
        assert not problems, f"event {event.event_id} {item.type}: {'; '.join(problems)}\n{attributes(event)}"


def check_tail(events: Sequence[Event], *expected: Expected) -> None:
    """The last events are exactly these."""
    assert len(events) >= len(expected), types(events)
    check(events[-len(expected) :], *expected, first_id=events[-1].event_id - len(expected) + 1)


def check_invariants(events: Sequence[Event]) -> None:
    """What holds for every whole history, whatever happened in it."""
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    task_ids = [event.task_id for event in events]
    assert task_ids == sorted(set(task_ids)), "task ids do not grow"
    last_start = 0.0
    for event in events:
        assert event.HasField("event_time")
        assert event.version == 0
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            assert time_of(event.event_time) >= last_start, "the workflow's clock went backwards"
            last_start = time_of(event.event_time)
        if event.event_type == EventType.EVENT_TYPE_TIMER_FIRED:
            _check_not_early(events, event)


def _check_not_early(events: Sequence[Event], fired: Event) -> None:
    started = events[fired.timer_fired_event_attributes.started_event_id - 1]
    asked = seconds_of(started.timer_started_event_attributes.start_to_fire_timeout)
    waited = time_of(fired.event_time) - time_of(started.event_time)
    assert waited >= asked - 0.001, f"timer of event {started.event_id} fired {asked - waited} s early"
