"""A session of random programs: the server, the workers that all programs share, the report at the end."""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import logging
import os
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from support import server as server_module
from support.grpc_client import Rpc
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import driver
import interpreter
from gates import Gates
from generate import Generator, Program
from normal import Names
from shrink import shrink
from worker_model import Ambiguous

CONCURRENT_PROGRAMS = 12
WORKFLOW_THREADS = 64
HELD_SECONDS_MAX = 120
# What every longer run must have made use of.
FEATURES = (
    "activity canceled",
    "activity complete",
    "activity fail",
    "activity fail_final",
    "activity heartbeat",
    "activity retry",
    "activity timeout heartbeat",
    "activity timeout schedule_to_start",
    "activity timeout start_to_close",
    "buffered event",
    "cancel of an activity that is not started",
    "child Completed",
    "child Failed",
    "child Terminated",
    "child id taken",
    "command answer",
    "command cancel_activity",
    "command cancel_child",
    "command cancel_timer",
    "command canceled",
    "command continue_as_new",
    "command local_marker",
    "command memo",
    "command patch",
    "command search_attribute",
    "ExternalWorkflowExecutionSignaled",
    "failed task",
    "no room for another attempt",
    "parent close policy cancel",
    "parent close policy terminate",
    "RequestCancelExternalWorkflowExecutionFailed",
    "run Canceled",
    "run Completed",
    "run ContinuedAsNew",
    "run Failed",
    "run Terminated",
    "run timeout",
    "signal with start",
    "SignalExternalWorkflowExecutionFailed",
    "speculative task",
    "speculative task made real",
    "speculative task without a trace",
    "task forced to close",
    "timer fired",
    "unhandled command",
    "update aborted by the run's end",
    "update cut off by the run's end",
    "update rejected",
    "workflow retry",
)
FEATURES_FROM = 100  # programs


class Bench:
    """Workers and connections that all programs of a session share."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def __aenter__(self) -> Self:
        self.gates = interpreter.GATES = Gates(asyncio.get_running_loop())
        # Tasks fail on purpose here, which both halves of the SDK would report at length.
        quiet = LoggingConfig(filter=TelemetryFilter(core_level="OFF", other_level="OFF"))
        runtime = Runtime(telemetry=TelemetryConfig(logging=quiet))
        self.client = await Client.connect(self.address, identity="driver", runtime=runtime)
        self.rpc = Rpc(self.address, "default")
        await self.rpc.AddSearchAttributes(namespace="default", search_attributes={"ModelKeyword": 2})
        self.session = uuid.uuid4().hex[:8]
        self.threads = ThreadPoolExecutor(WORKFLOW_THREADS)
        self.workers = [self.worker(sticky) for sticky in (True, False)]
        for worker in self.workers:
            await worker.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.gates.open_all()
        for worker in self.workers:
            await worker.__aexit__(None, None, None)
        self.threads.shutdown()
        await self.rpc.close()

    def queue(self, sticky: bool) -> str:
        return f"model-{self.session}-{'sticky' if sticky else 'normal'}"

    def worker(self, sticky: bool) -> Worker:
        made = Worker(
            self.client,
            task_queue=self.queue(sticky),
            identity="worker",
            workflows=[interpreter.Program],
            activities=[interpreter.gate, interpreter.local],
            workflow_runner=UnsandboxedWorkflowRunner(),
            workflow_task_executor=self.threads,
            max_cached_workflows=10_000 if sticky else 0,
            max_concurrent_workflow_tasks=WORKFLOW_THREADS,
            max_concurrent_workflow_task_polls=6,
            max_concurrent_activities=1_000,
        )
        # A held task stands still in workflow code on purpose; the SDK's only other switch for that is its debug
        # mode, which runs workflow code on the loop that the driver needs.
        made._workflow_worker._deadlock_timeout_seconds = HELD_SECONDS_MAX
        return made

    async def run(self, program: Program) -> str:
        """What differs; empty when nothing does."""
        name = f"m-{self.session}-{uuid.uuid4().hex[:8]}-"
        queues = {"%work": self.queue(program.sticky), "%nowhere": f"nowhere-{self.session}"}
        session = driver.Session(self.client, self.rpc, self.gates, Names(name, queues), program)
        try:
            await session.run()
            return ""
        except driver.Difference as difference:
            return str(difference)
        except AssertionError as broken:
            return f"an invariant of histories is broken: {broken}"
        finally:
            await session.close()


def generate(seed: int, without: tuple[str, ...]) -> Program:
    """The program of a seed: the first of its attempts that the model can foretell."""
    for attempt in range(20):
        try:
            return Generator(seed * 1_000 + attempt, without).program()
        except Ambiguous:
            continue
    raise AssertionError(f"seed {seed} makes no program")


def show(program: Program) -> str:
    lines = [f"seed {program.seed}, {'sticky' if program.sticky else 'no'} cache:"]
    lines.extend(f"  {json.dumps(operation)}" for operation in program.operations)
    return "\n".join(lines)


async def run_all(address: str, arguments: argparse.Namespace) -> int:
    seeds = list(range(arguments.seed, arguments.seed + arguments.count))
    features: collections.Counter[str] = collections.Counter()
    failed: list[int] = []
    events = 0
    places = asyncio.Semaphore(CONCURRENT_PROGRAMS)

    async def one(bench: Bench, seed: int) -> None:
        nonlocal events
        async with places:
            program = await asyncio.to_thread(generate, seed, tuple(arguments.without))
            difference = await bench.run(program)
        features.update(program.features)
        events += sum(len(history) for history in program.histories.values())
        if not difference:
            return
        failed.append(seed)
        print(f"\n--- seed {seed} differs\n{difference}\n{show(program)}", flush=True)
        if not arguments.no_shrink and len(failed) <= 3:
            small = await shrink(program, lambda candidate: fails(bench, candidate))
            print(f"--- seed {seed} cut down\n{await bench.run(small)}\n{show(small)}", flush=True)

    started = time.monotonic()
    async with Bench(address) as bench:
        await asyncio.gather(*(one(bench, seed) for seed in seeds))
    for feature, count in sorted(features.items()):
        print(f"{count:6} {feature}")
    unused = [feature for feature in FEATURES if not features[feature]] if not arguments.without else []
    if unused and len(seeds) >= FEATURES_FROM:
        print(f"no program used: {', '.join(unused)}")
    print(
        f"{len(seeds)} programs, {events} events, {len(failed)} differ"
        f"{': ' + str(sorted(failed)) if failed else ''}; {time.monotonic() - started:.1f} s"
    )
    return 1 if failed or (unused and len(seeds) >= FEATURES_FROM) else 0


async def fails(bench: Bench, program: Program) -> bool:
    return bool(await bench.run(program))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first program's seed")
    parser.add_argument(
        "--count", type=int, default=int(os.environ.get("MODEL_PROGRAMS", "100")), help="how many programs"
    )
    parser.add_argument("--no-shrink", action="store_true", help="leave failing programs as they are")
    parser.add_argument("--without", action="append", default=[], help="an operation or step not to use")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    address = server_module.external_address()
    if address is not None:
        return asyncio.run(run_all(address, arguments))
    server = server_module.Server()
    server.start()
    try:
        return asyncio.run(run_all(server.address, arguments))
    finally:
        server.close()
