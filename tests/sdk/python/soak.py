"""Hours of load, with a kill now and then: does anything of the server grow that should not?

    ./dev soak --hours 8

The load is that of the crash test, with pauses. Every few seconds the process is looked at: resident memory, open
files, the write-ahead log, the age of the oldest ready task. Each life of the server is a line of the table; the slope of
memory is that of all samples of warm processes, by their age. At the end everything that was acknowledged
is compared, as in the crash test.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from support import server as server_module
from test_crash import Driver, Journal, WorkerProcess, read_journal, verify, worker_commands

SAMPLE_SECONDS = 5
WARM_SECONDS = 150
CACHE = "16M"  # small, so that it is full when the process is warm
SLOPE_MAX_MIB = 8.0  # per hour
LOG_MAX_MIB = 300.0
QUEUE_AGE_MAX = 60.0


@dataclass
class Sample:
    life: int
    at: float  # seconds since the soak began
    age: float  # and since this process did
    resident_mib: float
    files: int
    log_mib: float
    store_mib: float
    queue_age: float


def mib(path: Path) -> float:
    return path.stat().st_size / 2**20 if path.exists() else 0.0


def oldest_ready(store: Path) -> float:
    """The age of the oldest ready task, in seconds."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)
    try:
        [(created,)] = connection.execute("SELECT min(created_time) FROM ready").fetchall()
    finally:
        connection.close()
    return 0.0 if created is None else max(0.0, time.time() - created / 1e9)


class Soak:
    def __init__(self, server: server_module.Server, driver: Driver, pause: float) -> None:
        self.server, self.driver, self.pause = server, driver, pause
        self.begun = time.monotonic()
        self.samples: list[Sample] = []

    def look(self, life: int, born: float) -> None:
        now = time.monotonic()
        store = self.server.store
        self.samples.append(
            Sample(
                life,
                now - self.begun,
                now - born,
                self.server.resident_bytes() / 2**20,
                len(os.listdir(f"/proc/{self.server.pid}/fd")),
                mib(store.with_name(store.name + "-wal")),
                mib(store),
                oldest_ready(store),
            )
        )

    async def drive(self, queue: str, dice: random.Random) -> None:
        while not self.driver.stopping:
            self.driver.started += 1
            await self.driver.one_workflow(queue, f"ledger-{self.driver.unique}-{self.driver.started}")
            await asyncio.sleep(dice.uniform(0, 2 * self.pause))

    async def run(self, queues: list[str], drivers: int, seconds: float, life_seconds: float) -> None:
        dice = random.Random(1)
        tasks = [asyncio.create_task(self.drive(queues[i % len(queues)], dice)) for i in range(drivers)]
        hands = [asyncio.create_task(self.driver.complete_by_hand()) for _ in range(4)]
        life, born = 1, time.monotonic()
        try:
            while time.monotonic() - self.begun < seconds:
                await asyncio.sleep(SAMPLE_SECONDS)
                for task in tasks + hands:
                    if task.done():
                        task.result()
                self.look(life, born)
                if time.monotonic() - born > life_seconds:
                    self.server.kill()
                    await asyncio.to_thread(self.server.start)
                    life, born = life + 1, time.monotonic()
                    self.print_life(life - 1)
            self.print_life(life)
            self.driver.stopping = True
            await asyncio.wait_for(asyncio.gather(*tasks), 180)
        finally:
            for task in tasks + hands:
                task.cancel()
            await asyncio.gather(*tasks, *hands, return_exceptions=True)

    def print_life(self, life: int) -> None:
        of = [sample for sample in self.samples if sample.life == life]
        if not of:
            return
        print(
            f"life {life}: {of[-1].age:.0f} s, memory {of[0].resident_mib:.1f} to {of[-1].resident_mib:.1f} MiB "
            f"(most {max(s.resident_mib for s in of):.1f}), files {min(s.files for s in of)} to {max(s.files for s in of)}, "
            f"log at most {max(s.log_mib for s in of):.1f} MiB, store {of[-1].store_mib:.1f} MiB, "
            f"oldest ready task {max(s.queue_age for s in of):.1f} s",
            flush=True,
        )

    def slope(self) -> float:
        """MiB of resident memory per hour of life, of warm processes."""
        warm = [sample for sample in self.samples if sample.age > WARM_SECONDS]
        if len(warm) < 10:
            return 0.0
        line = statistics.linear_regression([s.age / 3600 for s in warm], [s.resident_mib for s in warm])
        return line.slope

    def judge(self) -> list[str]:
        found = []
        if self.slope() > SLOPE_MAX_MIB:
            found.append(f"memory grows by {self.slope():.1f} MiB an hour")
        if max(sample.log_mib for sample in self.samples) > LOG_MAX_MIB:
            found.append("the write-ahead log does not stay small")
        if max(sample.queue_age for sample in self.samples) > QUEUE_AGE_MAX:
            found.append("a ready task waited for more than a minute")
        by_life = [max(s.files for s in self.samples if s.life == life) for life in {s.life for s in self.samples}]
        if max(by_life) > min(by_life) + 32:
            found.append(f"open files grow: {by_life}")
        return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--hours", type=float, default=8)
    arguments.add_argument("--drivers", type=int, default=12)
    arguments.add_argument("--pause", type=float, default=1.0, help="mean seconds between two workflows of a driver")
    arguments.add_argument("--life", type=float, default=300, help="seconds between kills")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="perdure-soak-") as name:
        directory = Path(name)
        commands = worker_commands(directory)
        journals = {each: directory / f"{each}.jsonl" for each in commands}
        server = server_module.Server(("--memory", CACHE))
        server.start()
        workers: list[WorkerProcess] = []
        try:
            for each, command in commands.items():
                workers.append(
                    WorkerProcess(each, [*command, server.address, f"soak-{each}", str(journals[each])], directory / each)
                )

            async def body() -> tuple[Soak, Driver]:
                driver = Driver(server.address, Journal(directory / "driver.jsonl"), 0)
                soak = Soak(server, driver, given.pause)
                await soak.run([f"soak-{each}" for each in commands], given.drivers, given.hours * 3600, given.life)
                attempts = [entry for path in journals.values() for entry in read_journal(path)]
                await verify(driver, attempts + driver.journal.of("handed"))
                await driver.rpc.close()
                return soak, driver

            soak, driver = asyncio.run(body())
            server.stop()
            command = [str(server_module.server_binary()), "store", "verify", str(server.store)]
            verified = subprocess.run(command, capture_output=True, text=True)
            print(verified.stdout.strip() or verified.stderr)
            found = soak.judge() + ([] if verified.returncode == 0 else ["the store is damaged"])
            print(dict(Counter(entry["kind"] for entry in driver.journal.entries)))
            print(f"memory of warm processes: {soak.slope():+.2f} MiB an hour; found: {found or 'nothing'}")
            return 1 if found else 0
        finally:
            for worker in workers:
                worker.stop()
            server.close()


if __name__ == "__main__":
    sys.exit(main())
