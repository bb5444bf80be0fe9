"""What a durable tool call costs: prints the table of docs/benchmarks.md. `./dev bench-tools`; some minutes, nothing else running.

Ratios within one run count: a tool call beside the bare workflow that it is, on the same server, by the same worker.
"""

import argparse
import asyncio
import http.client
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "samples" / "support"))

from processes import Server, free_ports  # noqa: E402, the path has to be known first
from temporalio import workflow  # noqa: E402
from temporalio.client import Client  # noqa: E402
from temporalio.worker import UnsandboxedWorkflowRunner, Worker  # noqa: E402

VERSION = "2026-07-28"
TICKS = os.sysconf("SC_CLK_TCK")
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
TOOLS = {
    "toolsets": {
        "bench": {
            "task_queue": "bench",
            "tools": {
                "nothing": {
                    "description": "Does nothing.",
                    "input": {"type": "object", "properties": {"n": {"type": "integer"}}},
                    "start": {"workflow": "Nothing", "args": [], "id": "call-{caller}-{n}"},
                }
            },
        }
    }
}


@workflow.defn(name="Nothing", sandboxed=False)
class Nothing:
    @workflow.run
    async def run(self) -> str:
        return "done"


class Caller:
    """One connection that calls the tool."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(self, method: str, params: dict[str, object]) -> http.client.HTTPResponse:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}})
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": method,
        }
        if "name" in params:
            headers["Mcp-Name"] = str(params["name"])
        self.connection.request("POST", "/mcp", body, headers)
        return self.connection.getresponse()

    def call(self, number: int) -> None:
        answer = self.post("tools/call", {"name": "nothing", "arguments": {"n": number}}).read()
        if b'"done"' not in answer:
            raise SystemExit(f"call {number}: {answer!r}")


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self) -> float:
        line = next(each for each in Path(f"/proc/{self.pid}/status").read_text().splitlines() if "VmRSS" in each)
        return int(line.split()[1]) / 1024


def measure(server: Process, count: int, each: Callable[[int], None]) -> tuple[float, float, float]:
    """p50 and p99 in ms, and the server's CPU per call in microseconds."""
    took = []
    before = server.cpu_seconds()
    for number in range(count):
        begun = time.perf_counter()
        each(number)
        took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    cpu = (server.cpu_seconds() - before) / count * 1e6
    return statistics.median(took), took[int(len(took) * 0.99)], cpu


def row(what: str, *figures: str) -> None:
    print(f"| {what} | {' | '.join(figures)} |", flush=True)


def sequential(server: Process, caller: Caller, client: Client, loop: asyncio.AbstractEventLoop, count: int) -> None:
    def bare(number: int) -> None:
        running = client.execute_workflow("Nothing", id=f"bare-{number}", task_queue="bench")
        asyncio.run_coroutine_threadsafe(running, loop).result()

    row("one at a time", "p50 ms", "p99 ms", "server CPU, us")
    print("|---|---|---|---|")
    for name, each in (("bare workflow, Python SDK", bare), ("durable tool call", caller.call)):
        p50, p99, cpu = measure(server, count, each)
        row(name, f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.0f}")


def many(server: Process, port: int, count: int) -> None:
    callers = [Caller(port) for _ in range(count)]
    threads = [threading.Thread(target=each.call, args=(1_000_000 + n,)) for n, each in enumerate(callers)]
    before, begun = server.cpu_seconds(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    cpu = (server.cpu_seconds() - before) / count * 1e6
    print(f"\n{count} calls at once: {seconds:.2f} s, server CPU {cpu:.0f} us each, {server.resident_mib():.1f} MiB resident")
    for each in callers:
        each.connection.close()


def flat(server: Process, caller: Caller, count: int) -> None:
    print(f"\n{count} calls one after the other, resident MiB after each tenth:", end="")
    for number in range(count):
        caller.call(2_000_000 + number)
        if (number + 1) % (count // 10) == 0:
            print(f" {server.resident_mib():.1f}", end="", flush=True)
    print()


def listeners(server: Process, port: int, count: int) -> None:
    before = server.resident_mib()
    waiting = []
    for _ in range(count):
        caller = Caller(port)
        response = caller.post("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        response.readline()  # the acknowledgement has begun: it listens
        waiting.append((caller, response))
    grown = (server.resident_mib() - before) * 1024 / count
    print(f"{count} idle listeners: {grown:.1f} KiB each\n")
    for caller, response in waiting:
        response.close()
        caller.connection.close()


async def worker_until(address: str, ready: threading.Event, stop: asyncio.Event, kept: list[Client]) -> None:
    client = await Client.connect(address)
    kept.append(client)
    async with Worker(
        client, task_queue="bench", workflows=[Nothing], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        ready.set()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--parallel", type=int, default=1000)
    parser.add_argument("--flat", type=int, default=10_000)
    parser.add_argument("--listeners", type=int, default=5000)
    parser.add_argument("--memory", default="8M", help="of the server's cache")
    options = parser.parse_args()
    socket.setdefaulttimeout(120)
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as directory:
        config = Path(directory) / "mcp.json"
        config.write_text(json.dumps(TOOLS))
        ports = free_ports(2)
        # Ended runs stay in the server's cache up to --memory; a small one is full early, and then the rest has to be flat.
        child = Server(Path(directory), ports, "--mcp-config", str(config), "--memory", options.memory)
        server = Process(child.pid)
        loop, ready, stop, kept = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []
        running = threading.Thread(
            target=loop.run_until_complete, args=(worker_until(child.address, ready, stop, kept),)
        )
        running.start()
        try:
            ready.wait()
            caller = Caller(ports[1])
            caller.call(0)
            listeners(server, ports[1], options.listeners)  # first: later they would take what others gave back
            sequential(server, caller, kept[0], loop, options.calls)
            many(server, ports[1], options.parallel)
            flat(server, caller, options.flat)
        finally:
            loop.call_soon_threadsafe(stop.set)
            running.join()
            child.stop()


if __name__ == "__main__":
    main()
