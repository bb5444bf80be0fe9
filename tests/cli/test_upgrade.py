"""Stores of every released schema, with workflows in flight: today's server opens them, and the workflows end."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from processes import ROOT, Server, run
from upgrade_workflows import ACTIVITIES, LATER, QUEUE, WORKFLOWS

FIXTURES = sorted((ROOT / "tests" / "fixtures").glob("schema-*.sql"))
SCHEMAS = sorted((ROOT / "schema" / "sqlite").glob("*.sql"))
OLD = [pytest.param(path, id=path.stem) for path in FIXTURES]


def test_every_schema_has_its_store():
    assert [path.stem[-3:] for path in FIXTURES] == [path.name[:3] for path in SCHEMAS], "see tests/fixtures/make.py"


@pytest.fixture
def old(request, tmp_path):
    with sqlite3.connect(tmp_path / "perdure.db") as database:
        database.executescript(request.param.read_text())
        assert database.execute("PRAGMA user_version").fetchone()[0] == int(request.param.stem[-3:])
    database.close()
    return tmp_path / "perdure.db"


def verify(path) -> dict:
    done = run("store", "verify", str(path), "--json")
    assert done.code == 0, done
    return done.json


async def finish(address: str, schema: int) -> None:
    client = await Client.connect(address)
    runner = UnsandboxedWorkflowRunner()
    async with (
        Worker(client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES, workflow_runner=runner,
               max_cached_workflows=0),
        Worker(client, task_queue="upgrade-later", activities=LATER),
    ):
        handle = client.get_workflow_handle
        for name in ("waits-0", "waits-1", "child"):
            await handle(name).signal("say", "end")
        await handle("sleeps").signal("say", "up")
        assert await handle("waits-0").result() == ["first", "second", "end"]
        assert await handle("waits-1").result() == ["first", "end"]
        assert await handle("parent").result() == ["end"]
        assert await handle("sleeps").result() == "woken"
        assert await handle("activity").result() == "here at last"
        for name in ("new", "delayed", "done-0", "chain"):
            assert await handle(name).result() == "42"
        memo = await (await handle("waits-1").describe()).memo()
        assert memo == {"m": 1}
        listed = [each.id async for each in client.list_workflows("ExecutionStatus = 'Terminated'")]
        assert listed == ["terminated"]
        listed = [each.id async for each in client.list_workflows("BatcherUser = 'ann'")]
        assert listed == (["terminated"] if schema >= 3 else []), "their rows came with schema 3"
        if schema >= 4:
            nightly = client.get_schedule_handle("nightly")
            assert (await nightly.describe()).schedule.state.note == "kept"
            await nightly.trigger()
            while (await nightly.describe()).info.num_actions != 1:
                await asyncio.sleep(0.02)
            await nightly.delete()
        again = await client.start_workflow("Count", 1, id="chain", task_queue=QUEUE)
        assert await again.result() == "42"


@pytest.mark.parametrize("old", OLD, indirect=True)
def test_workflows_of_an_older_store_end(old, request):
    schema = int(request.node.callspec.id[-3:])
    server = Server(old.parent)
    try:
        assert verify(old)["runs"] == 15
        asyncio.run(asyncio.wait_for(finish(server.grpc, schema), 60))
        assert server.stop() == 0
    finally:
        server.kill()
    report = verify(old)
    assert report["runs"] == 17 + (schema >= 4) and report["ready"] == 0


@pytest.mark.parametrize("old", OLD, indirect=True)
def test_an_older_backup_is_restored_to_what_today_reads(old, tmp_path):
    is_newest = int(SCHEMAS[-1].name[:3]) == sqlite3.connect(old).execute("PRAGMA user_version").fetchone()[0]
    done = run("store", "verify", str(old))
    assert done.code == (0 if is_newest else 2) and (is_newest or "store restore" in done.err), done
    before = old.read_bytes()
    assert run("store", "backup", str(old), str(tmp_path / "backup")).code == 0
    done = run("store", "restore", str(tmp_path / "backup"), str(tmp_path / "restored.db"))
    assert done.code == 0 and verify(tmp_path / "restored.db")["runs"] == 15, done
    assert old.read_bytes() == before, "what was copied is as it was"
