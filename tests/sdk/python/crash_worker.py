"""The Python half of the crash test's workers: workflow Ledger and activity record.

Each execution of the activity is written to the journal, and on disk, before anything else, so that an attempt that
was handed out twice cannot hide.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

JOURNAL = -1


@activity.defn
async def record(number: int) -> str:
    info = activity.info()
    line = (
        json.dumps({"run": info.workflow_run_id, "activity": info.activity_id, "attempt": info.attempt})
        + "\n"
    )
    os.write(JOURNAL, line.encode())
    os.fsync(JOURNAL)
    activity.heartbeat(number)
    return f"{number}:{info.attempt}"


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Helper:
    """A child that takes a timer's time in each of its runs, so that the server may die while it runs."""

    @workflow.run
    async def run(self, number: int, more: int) -> int:
        await workflow.sleep(0.05)
        if more:
            workflow.continue_as_new(args=[number, more - 1])
        return number


@workflow.defn
class Ledger:
    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.kept: list[int] = []

    @workflow.signal
    def add(self, number: int) -> None:
        self.numbers.append(number)

    @workflow.query
    def taken(self) -> list[int]:
        return self.numbers

    @workflow.update
    async def keep(self, number: int) -> int:
        self.kept.append(number)
        place = len(self.kept)
        await workflow.sleep(0.01)
        return place

    @workflow.run
    async def run(self, hand_queue: str, count: int) -> list[str]:
        results = []
        retry = RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1)
        for index in range(count):
            await workflow.wait_condition(lambda: len(self.numbers) > index)
            by_hand = index % 3 == 2
            results.append(
                await workflow.execute_activity(
                    "by_hand" if by_hand else "record",
                    self.numbers[index],
                    result_type=str,
                    retry_policy=retry,
                    task_queue=hand_queue if by_hand else None,
                    start_to_close_timeout=timedelta(seconds=2),
                    heartbeat_timeout=timedelta(seconds=2),
                )
            )
            doubled = await workflow.execute_local_activity(
                double, self.numbers[index], start_to_close_timeout=timedelta(seconds=2)
            )
            assert doubled == 2 * self.numbers[index]
            if index % 4 == 3:
                told = await workflow.execute_child_workflow(Helper.run, args=[self.numbers[index], 1])
                assert told == self.numbers[index]
            if index % 4 == 1:
                await workflow.sleep(0.2)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return results


async def main(address: str, queue: str, journal: str) -> None:
    global JOURNAL
    faulthandler.register(signal.SIGUSR1)  # where it is, for whoever wonders
    JOURNAL = os.open(journal, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    client = await Client.connect(address)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Ledger, Helper],
        activities=[record, double],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        print("ready", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
