"""perdure store: what is done with a store's file, beside a server or without one."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import uuid

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from processes import Server, run
from workflows import ACTIVITIES, WORKFLOWS

IDLE = ("--type", "Nobody", "--task-queue", "nobody-polls")


def verify(path) -> tuple[int, dict]:
    done = run("store", "verify", str(path), "--json")
    assert done.code in (0, 1), done
    return done.code, done.json


def fill(server: Server) -> None:
    """Runs of every kind: open and closed, with tasks that wait, timers, memos, a reset, a deletion."""
    cli = lambda *arguments: run(*arguments, environment={"TEMPORAL_ADDRESS": server.grpc})  # noqa: E731

    async def work() -> None:
        client = await Client.connect(server.grpc)
        async with Worker(
            client, task_queue="cli", workflows=WORKFLOWS, activities=ACTIVITIES,
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            for i in range(3):
                await client.execute_workflow("Echo", f"text {i}", id=f"echo-{i}", task_queue="cli", memo={"m": i})

    asyncio.run(work())
    for i in range(3):
        done = cli("workflow", "start", *IDLE, "--workflow-id", f"idle-{i}", "--run-timeout", "1h")
        assert done.code == 0, done
        for _ in range(20):
            assert cli("workflow", "signal", "--workflow-id", f"idle-{i}", "--name", "s", "--input", '"x"').code == 0
    assert cli("workflow", "reset", "--workflow-id", "echo-0", "--event-id", "4", "--reason", "test").code == 0
    assert cli("workflow", "terminate", "--workflow-id", "idle-2").code == 0


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The file of a server that has ended."""
    directory = tmp_path_factory.mktemp("filled")
    server = Server(directory)
    try:
        fill(server)
        code, report = verify(directory / "perdure.db")
        assert code == 0 and report["clean"] and report["findings"] == [], report  # while it serves
        assert report["runs"] == 7 and report["ready"] > 0 and report["wakeups"] > 0
        assert server.stop() == 0
    finally:
        server.kill()
    return directory / "perdure.db"


@pytest.fixture
def copy(filled, tmp_path):
    shutil.copy(filled, tmp_path / "copy.db")
    return tmp_path / "copy.db"


def test_verify_is_clean_without_a_server(copy):
    done = run("store", "verify", str(copy))
    assert done.code == 0 and done.out.count("\n") == 1 and ": 0 found" in done.out, done


# What is changed in the file, and by which rule it must be found.
DAMAGE = {
    "namespace gone": ("DELETE FROM entity WHERE kind = 2", "run"),
    "namespace damaged": ("UPDATE entity SET state = substr(state, 1, 5) WHERE kind = 2", "entity"),
    "clock damaged": ("UPDATE entity SET state = x'00' WHERE kind = 3", "entity"),
    "clock back": ("UPDATE entity SET state = CAST(substr(state, 1, 8) || x'0000000000000001' AS BLOB) WHERE kind = 3", "entity"),
    "unknown entity": ("INSERT INTO entity VALUES (77, x'00', x'00')", "entity"),
    "entity kind out of range": ("INSERT INTO entity VALUES (-3, x'00', x'00')", "file"),
    "run gone": ("DELETE FROM run WHERE number = (SELECT max(number) FROM run)", "branch"),
    "run id": ("UPDATE run SET run_id = zeroblob(16) WHERE workflow_id = 'idle-0'", "run"),
    "run id short": ("UPDATE run SET run_id = x'00' WHERE workflow_id = 'idle-0'", "read"),
    "workflow id": ("UPDATE run SET workflow_id = 'other' WHERE workflow_id = 'idle-0'", "wakeup"),
    "namespace of run": ("UPDATE run SET namespace = 5 WHERE workflow_id = 'idle-0'", "run"),
    "second open run": (
        "UPDATE run SET close_time = NULL, status = 1 WHERE workflow_id = 'echo-0' AND close_time IS NOT NULL", "run",
    ),
    "type": ("UPDATE run SET workflow_type = 'x' WHERE workflow_id = 'echo-1'", "row"),
    "queue": ("UPDATE run SET task_queue = 'x' WHERE workflow_id = 'echo-1'", "row"),
    "status": ("UPDATE run SET status = 3 WHERE workflow_id = 'echo-1'", "row"),
    "start time": ("UPDATE run SET start_time = start_time + 1 WHERE workflow_id = 'echo-1'", "row"),
    "execution time": ("UPDATE run SET execution_time = execution_time + 1 WHERE workflow_id = 'echo-1'", "row"),
    "close time": ("UPDATE run SET close_time = close_time + 1 WHERE workflow_id = 'echo-1'", "row"),
    "length": ("UPDATE run SET history_length = 1 WHERE workflow_id = 'echo-1'", "row"),
    "size": ("UPDATE run SET history_size = 1 WHERE workflow_id = 'echo-1'", "row"),
    "transitions": ("UPDATE run SET state_transitions = 1000 WHERE workflow_id = 'echo-1'", "row"),
    "parent": ("UPDATE run SET parent_workflow_id = 'p' WHERE workflow_id = 'echo-1'", "row"),
    "parent run": ("UPDATE run SET parent_run_id = x'00000000000000000000000000000001' WHERE workflow_id = 'echo-1'", "row"),
    "root": ("UPDATE run SET root_workflow_id = 'p' WHERE workflow_id = 'echo-1'", "row"),
    "root run": ("UPDATE run SET root_run_id = x'00000000000000000000000000000001' WHERE workflow_id = 'echo-1'", "row"),
    "memo": ("UPDATE run SET memo = NULL WHERE workflow_id = 'echo-1'", "row"),
    "search attributes": ("UPDATE run SET search_attributes = x'0102' WHERE workflow_id = 'echo-1'", "row"),
    "snapshot gone": ("UPDATE run SET snapshot = substr(snapshot, 1, 20) WHERE workflow_id = 'echo-1'", "state"),
    "snapshot of another": (
        "UPDATE run SET snapshot = (SELECT snapshot FROM run WHERE workflow_id = 'echo-2') WHERE workflow_id = 'echo-1'",
        "state",
    ),
    "snapshot version": ("UPDATE run SET snapshot = x'0901' WHERE workflow_id = 'echo-1'", "state"),
    "snapshot transition": ("UPDATE run SET snapshot_transition = 99 WHERE workflow_id = 'echo-1'", "state"),
    "snapshot transition low": ("UPDATE run SET snapshot_transition = 1 WHERE workflow_id = 'echo-1'", "state"),
    "events": ("UPDATE transition_log SET events = CAST(events || x'00' AS BLOB) WHERE sequence = 3", "history"),
    "delta": ("UPDATE transition_log SET delta = x'00' WHERE sequence = 3", "history"),
    "checksum": ("UPDATE transition_log SET checksum = checksum + 1 WHERE sequence = 3", "history"),
    "event count": ("UPDATE transition_log SET event_count = event_count + 1 WHERE sequence = 3", "history"),
    "first event": ("UPDATE transition_log SET first_event_id = 99 WHERE event_count > 0 AND sequence = 3", "history"),
    "log row gone": ("DELETE FROM transition_log WHERE sequence = 3", "read"),
    "position gone": ("DELETE FROM transition_position WHERE sequence = 3", "file"),
    "log row of nobody": (
        "INSERT INTO transition_log SELECT sequence + 100000, 5, 1, 1, 0, 0, NULL, NULL FROM transition_log LIMIT 1",
        "file",
    ),
    "ready gone": ("DELETE FROM ready", "ready"),
    "ready of nobody": ("UPDATE ready SET run = run + 1", "ready"),
    "ready queue": ("UPDATE ready SET queue = 'x'", "ready"),
    "ready stamp": ("UPDATE ready SET stamp = stamp + 1", "ready"),
    "ready event": ("UPDATE ready SET scheduled_event_id = scheduled_event_id + 1", "ready"),
    "ready kind": ("UPDATE ready SET kind = 3", "ready"),
    "ready kind unknown": ("UPDATE ready SET kind = 9", "read"),
    "ready sequence": ("UPDATE ready SET sequence = sequence + 1", "ready"),
    "ready weight": ("UPDATE ready SET fairness_weight = 5", "ready"),
    "wake-up gone": ("DELETE FROM wakeup", "wakeup"),
    "wake-up late": ("UPDATE wakeup SET due = due + 1", "wakeup"),
    "wake-up elsewhere": ("UPDATE wakeup SET workflow_id = 'x'", "wakeup"),
    "wake-up of nobody": ("INSERT INTO wakeup VALUES (5, 5, 5, 'x')", "wakeup"),
    "message": ("INSERT INTO outbox VALUES (1, 1, 1, 0, x'00')", "message"),
    "link": ("INSERT INTO link VALUES (1, 64, 1, 0)", "message"),
    "link window": ("INSERT INTO link VALUES (1, 1, 2, 2)", "message"),
    "use gone": ("DELETE FROM entity WHERE kind = 4", "fork"),
    "use shorter": ("UPDATE entity SET state = x'0000000000000002' WHERE kind = 4", "fork"),
    "use damaged": ("UPDATE entity SET state = x'00' WHERE kind = 4", "fork"),
    "deletion of what is there": (
        "INSERT INTO entity SELECT 5, unhex(printf('01%016X', number)), unhex(printf('%016X', number)) "
        "FROM run LIMIT 1",
        "entity",
    ),
    "entity key": ("INSERT INTO entity VALUES (5, 'text', x'00')", "file"),
    "deletion damaged": ("INSERT INTO entity VALUES (5, x'01', x'00')", "entity"),
    "index gone": ("DROP INDEX run_by_type", "file"),
    "note of schema gone": ("DELETE FROM meta", "file"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found(what, copy):
    change, rule = DAMAGE[what]
    with sqlite3.connect(copy) as database:
        database.create_function("unhex", 1, bytes.fromhex)
        assert database.execute(change).rowcount != 0, "nothing was damaged"
    database.close()
    code, report = verify(copy)
    assert code == 1 and rule in {finding["rule"] for finding in report["findings"]}, report


def test_findings_name_their_workflow(copy):
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE run SET status = 3 WHERE workflow_id = 'echo-1'")
    database.close()
    _, report = verify(copy)
    (finding,) = report["findings"]
    assert finding["namespace"] == "default" and finding["workflowId"] == "echo-1"
    assert uuid.UUID(finding["runId"]) and "status" in finding["what"]
    said = run("store", "verify", str(copy))
    assert said.code == 1 and f"row: default/echo-1 run {finding['runId']}: its row has status" in said.out, said


@pytest.mark.parametrize("what", ["absent", "empty", "text", "other", "newer"])
def test_what_is_no_store_of_ours_is_refused(what, tmp_path):
    path = tmp_path / "file"
    if what == "empty":
        path.touch()
    if what == "text":
        path.write_text("not a database, but longer than the header of one would be" * 100)
    if what in ("other", "newer"):
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE t (x)")
            if what == "newer":
                database.execute(f"PRAGMA application_id = {0x50645572}")
                database.execute("PRAGMA user_version = 99")
        database.close()
    done = run("store", "verify", str(path))
    assert done.code == 2 and str(path) in done.err and done.out == "", done
    assert path.exists() == (what != "absent")
