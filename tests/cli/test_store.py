"""perdure store: what is done with a store's file, beside a server or without one."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import threading
import time
import uuid

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from processes import ROOT, Server, binary, clean_environment, run
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
    "wake-up of nobody": ("INSERT INTO wakeup VALUES (5, 5, 5, 'x', 1)", "wakeup"),
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


@pytest.mark.parametrize("what", ["absent", "empty", "text", "other", "newer", "two names"])
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
    if what == "two names":
        path.touch()
        path.with_name("other").hardlink_to(path)
    done = run("store", "verify", str(path))
    assert done.code == 2 and str(path) in done.err and done.out == "", done
    assert path.exists() == (what != "absent")


# --- backup, restore, compact


def content(path) -> list[str]:
    """All rows of all tables, as text; sorted, since compacting puts triggers behind indexes."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = sorted(database.iterdump())
    database.close()
    return rows


def store(*arguments, code: int = 0):
    done = run("store", *map(str, arguments))
    assert done.code == code, done
    return done


def test_a_backup_is_the_store_and_restores_to_it(copy, tmp_path):
    before = content(copy)
    store("backup", copy, tmp_path / "backup")
    assert content(tmp_path / "backup") == before
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    store("restore", tmp_path / "backup", tmp_path / "restored.db")
    assert content(tmp_path / "restored.db") == before
    store("compact", tmp_path / "restored.db")
    assert content(tmp_path / "restored.db") == before
    assert list(tmp_path.glob("*.partial")) == []
    server = Server(tmp_path, store=f"sqlite:{tmp_path / 'restored.db'}")
    try:
        done = run("workflow", "count", environment={"TEMPORAL_ADDRESS": server.grpc})
        assert done.code == 0 and "7" in done.out, done
        assert server.stop() == 0
    finally:
        server.kill()


def test_nothing_is_overwritten_unasked(copy, tmp_path):
    (tmp_path / "there").write_text("mine")
    for command in ("backup", "restore"):
        assert "--force" in store(command, copy, tmp_path / "there", code=2).err
        assert (tmp_path / "there").read_text() == "mine"
        store(command, copy, tmp_path / "there", "--force")
        assert verify(tmp_path / "there")[0] == 0
        (tmp_path / "there").unlink()
        (tmp_path / "there").write_text("mine")


def test_what_is_not_clean_is_not_restored(copy, tmp_path):
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE run SET status = 3 WHERE workflow_id = 'echo-1'")
    database.close()
    done = store("restore", copy, tmp_path / "restored.db", code=1)
    assert "row: default/echo-1" in done.out and "not clean" in done.err
    assert not (tmp_path / "restored.db").exists() and list(tmp_path.glob("*.partial")) == []


def test_a_store_that_is_served_is_not_replaced(copy, tmp_path):
    server = Server(tmp_path, store=f"sqlite:{copy}")
    try:
        shutil.copy(copy, tmp_path / "backup")
        (tmp_path / "link").symlink_to(copy)
        for arguments in (("compact", copy), ("compact", tmp_path / "link"),
                          ("restore", tmp_path / "backup", copy, "--force"),
                          ("backup", tmp_path / "backup", copy, "--force")):
            assert "in use by another server" in store(*arguments, code=2).err
        assert server.stop() == 0
    finally:
        server.kill()
    assert verify(copy)[0] == 0


def test_the_log_of_a_replaced_store_goes_with_it(copy, tmp_path):
    """A server that was killed leaves its newest commits in the log: they must not get into the file that replaces its own."""
    store("backup", copy, tmp_path / "backup")
    wanted = content(copy)
    server = Server(tmp_path, store=f"sqlite:{copy}")
    try:
        for i in range(5):
            done = run("workflow", "start", *IDLE, "--workflow-id", f"later-{i}", environment={"TEMPORAL_ADDRESS": server.grpc})
            assert done.code == 0, done
    finally:
        server.kill()
    log = copy.with_name(copy.name + "-wal")
    assert log.stat().st_size > 0
    killed = tmp_path / "killed.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{copy}{suffix}", f"{killed}{suffix}")
    store("compact", killed)  # of a store whose newest commits are in its log: they stay
    code, report = verify(killed)
    assert code == 0 and report["runs"] == 12, report
    store("restore", tmp_path / "backup", copy, "--force")
    assert not log.exists() or log.stat().st_size == 0
    assert content(copy) == wanted and verify(copy)[0] == 0


def test_a_backup_beside_a_server_has_all_that_was_acknowledged(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    server = Server(source)
    acknowledged: list[str] = []
    finished = threading.Event()

    async def load() -> None:
        client = await Client.connect(server.grpc)

        async def one(lane: int) -> None:
            number = 0
            while not finished.is_set():
                number += 1
                name = f"load-{lane}-{number}"
                handle = await client.start_workflow("Echo", name, id=name, task_queue="cli")
                await handle.signal("s")
                acknowledged.append(name)

        await asyncio.gather(*(one(lane) for lane in range(8)))

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(acknowledged) < count:
            assert time.monotonic() < deadline and thread.is_alive(), server.tail()
            time.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(load()))
    thread.start()
    try:
        wait_for(100)
        before = list(acknowledged)
        store("backup", source / "perdure.db", target / "backup", "--rate", "2M")
        wait_for(len(acknowledged) + 10)  # it still serves
        assert verify(source / "perdure.db")[0] == 0
    finally:
        finished.set()
        thread.join()
        ended = server.stop()
        server.kill()
    assert ended == 0, server.tail()
    store("restore", target / "backup", target / "perdure.db")

    restored = Server(target)

    async def finish() -> None:
        client = await Client.connect(restored.grpc)
        async with Worker(
            client, task_queue="cli", workflows=WORKFLOWS, activities=ACTIVITIES,
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            results = await asyncio.gather(*(client.get_workflow_handle(name).result() for name in before))
        assert [each[0] for each in results] == before

    try:
        asyncio.run(asyncio.wait_for(finish(), 60))
        assert restored.stop() == 0
    finally:
        restored.kill()
    code, report = verify(target / "perdure.db")
    assert code == 0 and report["runs"] >= len(before), report


# --- and what goes wrong meanwhile: the process dies at a system call, or that call fails

CALLS = ("pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "unlink")


def injected(call: str, what: str, *arguments) -> int:
    """Runs a command with a system call that kills it or fails. The leak detector does not work beside strace."""
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}",
         binary(), "store", *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=clean_environment(ASAN_OPTIONS="detect_leaks=0"),
    ).returncode


def scenarios(copy, tmp_path) -> dict[str, tuple]:
    """Each command, its target, and what may be there afterwards."""
    old, new = tmp_path / "old.db", content(copy)
    with sqlite3.connect(copy) as database:
        database.execute("CREATE TABLE gone AS SELECT randomblob(300000) AS x")
        database.execute("DROP TABLE gone")
    database.close()
    shutil.copy(copy, old)
    with sqlite3.connect(old) as database:
        database.execute("UPDATE meta SET value = 'another'")
    database.close()
    return {
        "backup": (("backup", copy, tmp_path / "target"), tmp_path / "target", None, new),
        "restore": (("restore", copy, old, "--force"), old, content(old), new),
        "compact": (("compact", copy), copy, new, new),
    }


@pytest.mark.parametrize("command", ["backup", "restore", "compact"])
@pytest.mark.parametrize("what", ["signal=KILL", "error=ENOSPC", "error=EIO"])
def test_old_or_new_whatever_happens(command, what, copy, tmp_path):
    arguments, target, old, new = scenarios(copy, tmp_path)[command]
    begun = shutil.copy(target, tmp_path / "begun") if target.exists() else None
    fatal = 0
    for call in CALLS if what == "signal=KILL" else CALLS[:-1]:
        for when in (1, 2, 3, 5, 8, 13, 30, 70):
            # A write that failed for want of space fails again.
            code = injected(call, f"{what}:when={when}{'' if what == 'signal=KILL' else '+'}", *arguments)
            found = content(target) if target.exists() else None
            assert found in (old, new), f"neither old nor new after {call} {when}"
            assert found is None or verify(target)[0] == 0
            if code == 0:
                assert found == new
            elif what != "signal=KILL":
                assert code == 2 and list(tmp_path.glob("*.partial")) == [], (call, when)
            fatal += code != 0
            target.unlink(missing_ok=True)
            if begun is not None:
                shutil.copy(begun, target)
            if code == 0:
                break
    assert fatal > 4, "almost nothing was injected"
    store(*arguments)
    assert content(target) == new and verify(target)[0] == 0 and list(tmp_path.glob("*.partial")) == []


# --- any bit of the file

FLIPS = int(os.environ.get("PERDURE_FLIPS", "60"))
# What follows from something else in the store, or has a checksum. Not here: records of namespaces and queues, which say what
# nothing else says; wake-ups, which may be too early; notes.
COVERED = (
    "SELECT * FROM run ORDER BY number",
    "SELECT * FROM transition_log ORDER BY sequence",
    "SELECT * FROM transition_position ORDER BY branch, number",
    "SELECT sequence, namespace, queue, kind, priority, normal_queue, fairness_key, run, workflow_id, scheduled_event_id, "
    "stamp, fairness_weight FROM ready ORDER BY sequence",
    "SELECT entity, namespace, workflow_id FROM wakeup ORDER BY entity",
    "SELECT kind, key FROM entity ORDER BY kind, key",
)


def covered(path):
    """None: SQLite itself cannot read it any more."""
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        database.text_factory = bytes
        try:
            return [database.execute(query).fetchall() for query in COVERED]
        finally:
            database.close()
    except (sqlite3.Error, UnicodeDecodeError):  # also of what it says about it
        return None


def test_every_flipped_bit_that_matters_is_found(tmp_path):
    path = tmp_path / "flipped.db"
    with sqlite3.connect(path) as database:
        database.executescript((ROOT / "tests" / "fixtures" / "schema-002.sql").read_text())
    database.close()
    whole, before = path.read_bytes(), covered(path)
    draw, mattered = random.Random(20261123), 0
    for _ in range(FLIPS):
        offset, bit = draw.randrange(len(whole)), draw.randrange(8)
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << bit
        path.write_bytes(flipped)
        after = covered(path)
        done = run("store", "verify", str(path), "--json")
        assert done.code in (0, 1, 2) and "Sanitizer" not in done.err, (offset, bit, done)
        if after != before:
            mattered += 1
            assert done.code != 0, (offset, bit, done)
    assert mattered > FLIPS // 20
