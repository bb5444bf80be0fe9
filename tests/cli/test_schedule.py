"""perdure schedule, as users of the official command line know it."""

from __future__ import annotations

import time
import uuid

import pytest

SHOW = ("--output", "json")


def create(perdure, *more: str) -> str:
    name = f"schedule-{uuid.uuid4().hex[:8]}"
    action = ("-w", f"w-{name}", "--type", "Nobody", "--task-queue", "nobody-polls")
    done = perdure("schedule", "create", "-s", name, *action, *more)
    assert done.code == 0, done
    return name


def described(perdure, name: str) -> dict:
    done = perdure("schedule", "describe", "-s", name, *SHOW)
    assert done.code == 0, done
    return done.json


def until(perdure, name: str, wanted) -> dict:
    end = time.monotonic() + 20
    while not wanted(shown := described(perdure, name)):
        assert time.monotonic() < end, shown
        time.sleep(0.02)
    return shown


def test_create_takes_every_form_of_a_spec(perdure):
    name = create(
        perdure,
        "--cron", "30 2 * * MON", "--cron", "@every 12h/5m", "--calendar", '{"dayOfWeek": "Fri", "hour": "17"}',
        "--interval", "1h/10m", "--time-zone", "Europe/Berlin", "--jitter", "10s", "--overlap-policy", "BufferOne",
        "--catchup-window", "1h", "--pause-on-failure", "--paused", "--notes", "for people", "--remaining-actions", "7",
        "--schedule-memo", 'owner="ann"', "--start-time", "2026-01-01T00:00:00Z", "--end-time", "2030-01-01T00:00:00Z",
        "--input", '{"a": 1}', "--run-timeout", "1m",
    )
    shown = described(perdure, name)
    spec, policies, state = (shown["schedule"][key] for key in ("spec", "policies", "state"))
    assert len(spec["structuredCalendar"]) == 2 and len(spec["interval"]) == 2
    assert (spec["timezoneName"], spec["jitter"], spec["endTime"]) == ("Europe/Berlin", "10s", "2030-01-01T00:00:00Z")
    assert policies["overlapPolicy"] == "SCHEDULE_OVERLAP_POLICY_BUFFER_ONE" and policies["pauseOnFailure"]
    assert policies["catchupWindow"] == "3600s"
    assert state == {"notes": "for people", "paused": True, "limitedActions": True, "remainingActions": "7"}
    assert len(shown["info"]["futureActionTimes"]) == 7 and "owner" in shown["memo"]["fields"]
    text = perdure("schedule", "describe", "-s", name).out
    for line in ("Paused          true", "Notes           for people", "Overlap         BufferOne", "Remaining       7"):
        assert line in text, text


def test_trigger_toggle_backfill_update_and_delete(perdure):
    name = create(perdure, "--interval", "12h", "--paused")
    assert perdure("schedule", "trigger", "-s", name, "--overlap-policy", "AllowAll").code == 0
    done = perdure(
        "schedule", "backfill", "-s", name, "--overlap-policy", "AllowAll",
        "--start-time", "2026-01-01T00:00:00Z", "--end-time", "2026-01-02T00:00:00Z",
    )
    assert done.code == 0, done
    until(perdure, name, lambda shown: shown["info"].get("actionCount") == "4")
    count = perdure("workflow", "count", "--query", f'TemporalScheduledById = "{name}" GROUP BY ExecutionStatus')
    assert count.out == 'Total: 4\nGroup total: 4, values: "Running"\n'
    assert perdure("schedule", "toggle", "-s", name, "--unpause", "--reason", "go on").code == 0
    assert described(perdure, name)["schedule"]["state"] == {"notes": "go on"}
    assert perdure("schedule", "toggle", "-s", name, "--pause").code == 0
    assert described(perdure, name)["schedule"]["state"]["paused"]
    again = ("-w", "w", "--type", "Other", "--task-queue", "q", "--interval", "1h")
    assert perdure("schedule", "update", "-s", name, *again).code == 0
    assert described(perdure, name)["schedule"]["spec"]["interval"] == [{"interval": "3600s", "phase": "0s"}]
    listed = perdure("schedule", "list", "--query", f'ScheduleId = "{name}"', *SHOW).json
    assert [entry["scheduleId"] for entry in listed] == [name]
    assert name in perdure("schedule", "list").out
    assert perdure("schedule", "delete", "-s", name).code == 0
    assert perdure("schedule", "describe", "-s", name).code == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--calendar", "{"), "--calendar 1 is no object"),
        (("--calendar", '{"weekday": "Fri"}'), "--calendar 1 is no object"),
        (("--interval", "soon"), "--interval soon is not DURATION"),
        (("--start-time", "tomorrow"), "--start-time is no time"),
        (("--overlap-policy", "Maybe"), "no such value: Maybe"),
    ],
)
def test_what_is_no_spec_is_refused_before_it_is_sent(perdure, more, words):
    done = perdure("schedule", "create", "-s", "s", "-w", "w", "--type", "T", "--task-queue", "q", *more)
    assert done.code == 2 and words in done.err, done
    assert perdure("schedule", "toggle", "-s", "s").code == 2


def test_what_the_server_refuses_names_the_field(perdure):
    done = perdure("schedule", "create", "-s", "s", "-w", "w", "--type", "T", "--task-queue", "q", "--cron", "61 * * * *")
    assert done.code == 1 and "Spec.CronString[0].Minute" in done.err, done
