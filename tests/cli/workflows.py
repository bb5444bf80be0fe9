"""What the worker of the suite runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError


@activity.defn
async def refuse() -> None:
    raise ApplicationError("the shop is shut", type="Shut")


@workflow.defn(dynamic=True)
class Echo:
    """Any type: answers its arguments."""

    @workflow.run
    async def run(self, arguments: Sequence[RawValue]) -> list:
        return [workflow.payload_converter().from_payload(each.payload) for each in arguments]


@workflow.defn
class Nothing:
    @workflow.run
    async def run(self) -> None:
        return None


@workflow.defn
class Fail:
    @workflow.run
    async def run(self) -> None:
        try:
            raise ApplicationError("the inner reason", type="Inner")
        except ApplicationError as inner:
            raise ApplicationError("the outer failure", type="Outer") from inner


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, left: int) -> str:
        if left > 0:
            workflow.continue_as_new(left - 1)
        return "the end of the chain"


@workflow.defn
class Wait:
    """Ends when told to, with what it was told; or when cancelled."""

    def __init__(self) -> None:
        self.told: list = []

    @workflow.run
    async def run(self) -> list:
        await workflow.wait_condition(lambda: "end" in self.told)
        return self.told

    @workflow.signal
    def tell(self, what) -> None:
        self.told.append(what)

    @workflow.update
    def say(self, what):
        self.told.append(what)
        return len(self.told)

    @say.validator
    def check(self, what) -> None:
        if what == "nothing":
            raise ApplicationError("nothing to say", type="Nothing")

    @workflow.update
    async def until(self, what):
        await workflow.wait_condition(lambda: what in self.told)
        return f"heard {what}"

    @workflow.query
    def state(self) -> list:
        return self.told

    @workflow.query
    def repeat(self, what: str) -> str:
        return what

    @workflow.query
    def broken(self) -> None:
        raise ApplicationError("this query never works")


@workflow.defn
class Refused:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            refuse, start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
        )


WORKFLOWS = [Echo, Nothing, Fail, Chain, Wait, Refused]
ACTIVITIES = [refuse]
