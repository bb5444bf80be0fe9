"""The workflows of the stores in tests/fixtures: what they were started as, and what ends them after the upgrade.

Histories of released schemas were made by this code: it must stay as it is, or they do not replay.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow

QUEUE = "upgrade"


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@activity.defn
async def never_here() -> str:
    return "here at last"


@workflow.defn
class Count:
    """Continues as new so often, then ends."""

    @workflow.run
    async def run(self, left: int) -> str:
        if left > 0:
            workflow.continue_as_new(left - 1)
        return str(await workflow.execute_activity(double, 21, start_to_close_timeout=timedelta(seconds=10)))


@workflow.defn
class Wait:
    def __init__(self) -> None:
        self.said: list[str] = []

    @workflow.signal
    def say(self, text: str) -> None:
        self.said.append(text)

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: "end" in self.said)
        return self.said


@workflow.defn
class Sleep:
    """A timer, and a signal that makes it pointless."""

    def __init__(self) -> None:
        self.woken = False

    @workflow.signal
    def say(self, text: str) -> None:
        self.woken = True

    @workflow.run
    async def run(self, seconds: int) -> str:
        try:
            await workflow.wait_condition(lambda: self.woken, timeout=timedelta(seconds=seconds))
        except asyncio.TimeoutError:
            return "slept"
        return "woken"


@workflow.defn
class Activity:
    """Its activity waits on a queue that nobody polled then."""

    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            never_here, task_queue="upgrade-later", start_to_close_timeout=timedelta(seconds=10)
        )


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> list[str]:
        return await workflow.execute_child_workflow("Wait", id="child")


WORKFLOWS = [Count, Wait, Sleep, Activity, Parent]
ACTIVITIES = [double]
LATER = [never_here]
