"""The server as a process: how it starts, refuses to start, ends, and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

import grpc
import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from processes import Server, binary, clean_environment, run
from workflows import Echo

IDLE = ("--type", "Nobody", "--task-queue", "nobody-polls")
ANY = "127.0.0.1:0"
# As long as a proper SDK would go on by itself; anything else would have been an outcome of the call.
RETRYABLE = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED}


def refused(*arguments: str, **more) -> tuple[int, str]:
    """A server that does not start: its exit code and what it said."""
    done = run("server", *arguments, **more)
    assert "ready" not in done.out, done
    return done.code, done.err


def http(server: Server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{server.http}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def client_run(server: Server, *arguments: str):
    return run(*arguments, environment={"TEMPORAL_ADDRESS": server.grpc})


# --- command lines that are wrong


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--nonsense"], "unknown argument: --nonsense"),
        (["word"], "unknown argument: word"),
        (["--grpc"], "a value is missing behind --grpc"),
        (["--grpc", "7233"], "--grpc 7233: expected HOST:PORT"),
        (["--http", "here"], "--http here: expected HOST:PORT"),
        (["--store", "perdure.db"], "--store perdure.db: expected URL"),
        (["--memory", "1"], "--memory 1: expected SIZE"),
        (["--memory", "much"], "--memory much: expected SIZE"),
        (["--memory=99999999999999G"], "expected SIZE"),
        (["--lanes", "65"], "--lanes 65: expected COUNT"),
        (["--lanes", "-1"], "--lanes -1: expected COUNT"),
        (["--log-level", "loud"], "--log-level loud: expected LEVEL"),
        (["--namespace", ""], "--namespace : expected NAME"),
    ],
)
def test_a_wrong_flag_is_named(arguments, said, tmp_path):
    code, text = refused(*arguments, cwd=tmp_path)
    assert code == 2 and said in text and "perdure server --help" in text
    assert list(tmp_path.iterdir()) == [], "nothing was made"


def test_a_wrong_variable_is_named_as_its_flag(tmp_path):
    code, text = refused(cwd=tmp_path, environment={"PERDURE_MEMORY": "much"})
    assert code == 2 and "--memory much" in text
    assert run("server", "--help").code == 0


@pytest.mark.parametrize("flag, port", [("--grpc", "99999"), ("--grpc", "x"), ("--http", "99999"), ("--http", "-1")])
def test_an_address_that_is_none(flag, port, tmp_path):
    other = "--http" if flag == "--grpc" else "--grpc"
    code, text = refused(flag, f"127.0.0.1:{port}", other, ANY, cwd=tmp_path)
    assert code in (1, 2) and f"127.0.0.1:{port}" in text


# --- what keeps a server from starting


def test_a_store_has_one_server(start_server, tmp_path):
    server = start_server()
    code, text = refused("--grpc", ANY, "--http", ANY, "--store", server.store)
    assert code == 1 and "perdure.db" in text and "in use by another server" in text
    assert f"process {server.process.pid}" in text
    assert client_run(server, "operator", "cluster", "health").code == 0, "the first one was not disturbed"
    server.kill()
    assert server.start() < 30, "a lock does not outlive its holder"


def test_without_libcurl_there_are_no_callbacks(tmp_path):
    """It is loaded only where callbacks are allowed; what is missing is said at the start and not at the first of them."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / "libcurl.so.4").write_text("no library")
    missing = {"LD_LIBRARY_PATH": str(libraries)}
    code, text = refused(
        "--grpc", ANY, "--http", ANY, "--store", "memory:", "--callback-url", "127.0.0.1:*,insecure", environment=missing
    )
    assert code == 1 and "libcurl.so.4 cannot be loaded" in text and str(libraries) in text
    server = Server(tmp_path, environment=missing)
    try:
        assert client_run(server, "workflow", "start", *IDLE).code == 0
        assert server.stop() == 0
    finally:
        server.kill()


def in_namespaces(script: str) -> list[str]:
    """A command that may mount; what it mounts goes with it."""
    ours = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *ours, "--mount", "sh", "-ec", script]


def alias_of(store: str, kind: str, directory) -> tuple[list[str], str]:
    """Another name for the same file: what to put before the command, and the name."""
    alias = directory / "elsewhere" / "alias.db"
    alias.parent.mkdir()
    if kind == "symbolic link":
        alias.symlink_to(store)
    elif kind == "link of the directory":
        alias.parent.rmdir()
        alias.parent.symlink_to(directory)
        alias = alias.parent / "perdure.db"
    elif kind == "hard link":
        os.link(store, alias)
    else:
        mounted, alias = (directory, alias.parent / "perdure.db") if kind == "directory mounted" else (store, alias)
        target = alias.parent if kind == "directory mounted" else alias
        if kind == "file mounted":
            alias.touch()
        return in_namespaces(f'mount --bind "{mounted}" "{target}"; exec "$@"') + ["sh"], str(alias)
    return [], str(alias)


ALIASES = ["symbolic link", "link of the directory", "hard link", "file mounted", "directory mounted"]


@pytest.mark.parametrize("kind", ALIASES)
def test_a_store_has_one_server_by_whatever_name(start_server, tmp_path, kind):
    server = start_server()
    store = server.store.removeprefix("sqlite:")
    before, alias = alias_of(store, kind, tmp_path)
    done = subprocess.run(
        [*before, binary(), "server", "--grpc", ANY, "--http", ANY, "--store", f"sqlite:{alias}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=clean_environment(),
    )  # fmt: skip
    assert done.returncode == 1 and "in use by another server" in done.stderr, done
    assert client_run(server, "workflow", "start", *IDLE).code == 0, "the first one was not disturbed"
    assert server.process.poll() is None, server.tail()


def test_a_store_with_a_second_name_is_refused(start_server, tmp_path):
    """SQLite finds the newest commits by the file's name: by another one it would show the file without them."""
    server = start_server()
    assert client_run(server, "workflow", "start", "-w", "newest", *IDLE).code == 0
    server.kill()
    os.link(tmp_path / "perdure.db", tmp_path / "other.db")
    for name in ("perdure.db", "other.db"):
        code, text = refused("--grpc", ANY, "--http", ANY, "--store", f"sqlite:{tmp_path / name}")
        assert code == 1 and name in text and "hard link" in text
    (tmp_path / "other.db").unlink()
    server.start()
    assert client_run(server, "workflow", "describe", "-w", "newest").code == 0


def test_a_stopped_server_keeps_its_store(start_server):
    """A process that does not run may go on at any time, so its store is not free before it is dead; and then it is at once."""
    server = start_server()
    server.process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        code, text = refused("--grpc", ANY, "--http", ANY, "--store", server.store)
        assert code == 1 and f"process {server.process.pid}" in text
    server.process.send_signal(signal.SIGCONT)
    assert client_run(server, "workflow", "start", *IDLE).code == 0
    server.process.send_signal(signal.SIGSTOP)
    server.kill()
    server.start()
    assert client_run(server, "workflow", "count").out == "Total: 1\n"


@pytest.mark.parametrize("flag", ["--grpc", "--http"])
def test_a_port_that_is_taken_is_named(start_server, tmp_path, flag):
    server = start_server()
    taken = server.grpc if flag == "--grpc" else server.http
    other = "--http" if flag == "--grpc" else "--grpc"
    code, text = refused(flag, taken, other, ANY, "--store", f"sqlite:{tmp_path}/other.db")
    host, _, port = taken.rpartition(":")
    assert code == 1 and host in text and port in text and "in use" in text


def test_a_store_of_a_newer_release(start_server, tmp_path):
    server = start_server()
    assert server.stop() == 0
    with sqlite3.connect(tmp_path / "perdure.db") as store:
        store.execute("PRAGMA user_version = 1000")
    store.close()
    before = (tmp_path / "perdure.db").read_bytes()
    code, text = refused("--grpc", ANY, "--http", ANY, "--store", server.store)
    assert code == 1 and "newer release" in text and "schema 1000" in text
    assert (tmp_path / "perdure.db").read_bytes() == before, "it was left as it was"


def test_a_database_of_something_else(tmp_path):
    with sqlite3.connect(tmp_path / "mine.db") as mine:
        mine.execute("CREATE TABLE important (x)")
    mine.close()
    code, text = refused("--grpc", ANY, "--http", ANY, "--store", f"sqlite:{tmp_path}/mine.db")
    assert code == 1 and "mine.db" in text and "something else" in text
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 1000)
    code, text = refused("--grpc", ANY, "--http", ANY, "--store", f"sqlite:{tmp_path}/letter.txt")
    assert code == 1 and "letter.txt" in text
    assert (tmp_path / "letter.txt").read_text() == "Dear Sir or Madam, " * 1000


@pytest.mark.parametrize("store", ["sqlite:", "postgres://x", "sqlite:/nonexistent/directory/perdure.db", "sqlite:/tmp"])
def test_a_store_that_cannot_be(store, tmp_path):
    code, text = refused("--grpc", ANY, "--http", ANY, "--store", store, cwd=tmp_path)
    assert code == 1 and text.startswith("perdure: ") and len(text.splitlines()) == 1, text
    if "/" in store.partition(":")[2]:
        assert store.partition(":")[2].strip("/") in text


def as_nobody() -> dict:
    """Who may write anything is refused nothing: as root these tests run as somebody else."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def refused_as_nobody(directory, store: str) -> tuple[int, str]:
    # pytest's directories are their owner's alone, so the other user comes in by the directory it is started in.
    done = subprocess.run(
        [binary(), "server", "--grpc", ANY, "--http", ANY, "--store", store], cwd=directory, capture_output=True, text=True,
        timeout=60, env=clean_environment(), **as_nobody(),
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_directory_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o555)
    try:
        code, text = refused_as_nobody(tmp_path, "sqlite:perdure.db")
    finally:
        tmp_path.chmod(0o755)
    assert code == 1 and "perdure.db" in text and "Permission denied" in text, text
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_read(start_server, tmp_path):
    server = start_server()
    assert server.stop() == 0
    tmp_path.chmod(0o777)
    (tmp_path / "perdure.db").chmod(0o000)
    try:
        code, text = refused_as_nobody(tmp_path, "sqlite:perdure.db")
    finally:
        (tmp_path / "perdure.db").chmod(0o600)
    assert code == 1 and "perdure.db" in text and "Permission denied" in text, text


# --- a server that runs


def test_health_over_http_and_grpc(start_server):
    server = start_server()
    for path in ("/healthz", "/readyz"):
        assert http(server, path)[0] == 200
    status, page = http(server, "/")
    assert status == 200 and server.grpc in page
    assert http(server, "/nothing-here")[0] == 404
    assert client_run(server, "operator", "cluster", "health").out == "SERVING\n"


def test_namespaces_by_flag(start_server):
    server = start_server("--namespace", "first", "--namespace=second one")
    for restart in range(2):
        listed = client_run(server, "operator", "namespace", "list", "-o", "json").json
        assert {each["namespaceInfo"]["name"] for each in listed} == {"default", "first", "second one"}
        assert client_run(server, "workflow", "start", "-n", "second one", *IDLE).code == 0
        assert client_run(server, "workflow", "count", "-n", "first").out == "Total: 0\n"
        server.stop()
        server.start()


def test_a_store_in_memory_forgets(start_server, tmp_path):
    server = start_server(store="memory:")
    assert client_run(server, "workflow", "start", *IDLE).code == 0
    assert client_run(server, "workflow", "count").out == "Total: 1\n"
    assert server.stop() == 0
    server.start()
    assert client_run(server, "workflow", "count").out == "Total: 0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["server.log"]


def test_the_store_belongs_to_its_owner_alone(start_server, tmp_path):
    start_server()
    for path in tmp_path.glob("perdure.db*"):
        assert path.stat().st_mode & 0o077 == 0, path


# --- how it ends


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(start_server, how):
    server = start_server()
    server.process.send_signal(how)
    assert server.wait(5) == 0, server.tail()


def test_long_polls_do_not_hold_up_the_end(start_server):
    server = start_server()
    channel = grpc.insecure_channel(server.grpc)
    poll = channel.unary_unary("/temporal.api.workflowservice.v1.WorkflowService/PollActivityTaskQueue")
    # namespace = 1, task_queue = 2 { name = 1 }: a poll that would wait for a minute
    request = b"\x0a\x07default" + b"\x12\x03\x0a\x01q"
    waiting = [poll.future(request, timeout=60) for _ in range(10)]
    # An answer that came behind them on the same connection shows that they have arrived.
    assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20) == b"\x08\x01"
    began = time.monotonic()
    server.signal_end()
    assert server.wait(5) == 0, server.tail()
    assert time.monotonic() - began < 4, "the drain did not wait for its limit"
    for each in waiting:
        error = each.exception(timeout=20)
        assert error is None and each.result() == b"" or error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    channel.close()


class Load:
    """Workflows one behind the other from eight clients in one, with a worker, on a thread, until told to stop."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.acknowledged: set[str] = set()
        self.finished = 0
        self.errors: list[RPCError] = []
        self.stopping = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()

    async def _drive(self, client: Client) -> None:
        while not self.stopping:
            name = f"load-{uuid.uuid4()}"
            try:
                handle = await client.start_workflow("Any", name, id=name, task_queue="load")
                self.acknowledged.add(name)
                assert await handle.result() == [name]
            except RPCError as error:
                self.errors.append(error)
                continue
            with self.changed:
                self.finished += 1
                self.changed.notify_all()

    async def _run(self) -> None:
        client = await Client.connect(self.address)
        runner = UnsandboxedWorkflowRunner()
        async with Worker(client, task_queue="load", workflows=[Echo], workflow_runner=runner):
            await asyncio.gather(*(self._drive(client) for _ in range(8)))

    def wait_for_more(self, count: int) -> None:
        with self.changed:
            goal = self.finished + count
            assert self.changed.wait_for(lambda: self.finished >= goal, timeout=60), self.errors

    def stop(self) -> None:
        self.stopping = True
        self.thread.join()


def test_a_clean_end_under_load(start_server):
    """SIGTERM while SDK clients and a worker are busy: exit code 0 within 5 s, then a new process takes over and the same clients
    go on. Nobody hears of anything but what the SDK would retry, and what was acknowledged is there."""
    server = start_server()
    load = Load(server.grpc)
    try:
        for _ in range(3):
            load.wait_for_more(40)
            at = time.monotonic()
            server.signal_end()
            assert server.wait(10) == 0, server.tail()
            assert time.monotonic() - at < 5
            server.start()
        load.wait_for_more(40)
    finally:
        load.stop()
    assert {error.status for error in load.errors} <= RETRYABLE, load.errors
    listed = client_run(server, "workflow", "list", "-o", "jsonl").out.splitlines()
    assert load.acknowledged <= {json.loads(line)["execution"]["workflowId"] for line in listed}


def test_kill_and_back_within_a_second(start_server):
    server = start_server()
    names = [f"kept {number}" for number in range(5)]
    for name in names:
        assert client_run(server, "workflow", "start", "-w", name, *IDLE).code == 0
    took = []
    for _ in range(3):
        server.kill()
        took.append(server.start())
        listed = client_run(server, "workflow", "list", "-o", "jsonl").out.splitlines()
        assert {json.loads(line)["execution"]["workflowId"] for line in listed} == set(names)
    assert min(took) < 1, took  # the least: what else the machine does is not the server's
