"""Where workers and driver meet, in one process: activities that have started, and workflow tasks that are held.

A key is (run id, name). Workers announce that they have arrived there and the driver waits for that; what they wait
for themselves, the driver gives them. Nothing here waits for time to pass.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

Key = tuple[str, str]


@dataclass
class Hold:
    """A workflow task that stands still in workflow code, on a thread of the SDK's pool, until it is released."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    released: threading.Event = field(default_factory=threading.Event)


@dataclass
class Attempt:
    """One attempt of an activity that has reached the worker."""

    token: bytes
    outcome: asyncio.Future


class Gates:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._holds: dict[Key, Hold] = {}
        self._attempts: dict[Key, asyncio.Future[Attempt]] = {}
        self._failed: set[Key] = set()
        self._open_for_all = False

    def hold(self, key: Key) -> Hold:
        with self._lock:
            return self._holds.setdefault(key, Hold())

    def enter_hold(self, key: Key) -> None:
        """Called by workflow code. Once released it stays open: a replay, or the task's next attempt, walks through."""
        hold = self.hold(key)
        if self._open_for_all or hold.released.is_set():
            return
        self._loop.call_soon_threadsafe(hold.entered.set)
        hold.released.wait()

    def release(self, key: Key) -> None:
        self.hold(key).released.set()

    def fails_now(self, key: Key) -> bool:
        """True the first time only: that workflow task is to fail, its next attempt is not."""
        with self._lock:
            if self._open_for_all or key in self._failed:
                return False
            self._failed.add(key)
            return True

    def attempt(self, run: str, activity: str, number: int) -> asyncio.Future[Attempt]:
        return self._attempts.setdefault((run, f"{activity}#{number}"), self._loop.create_future())

    def arrive(self, run: str, activity: str, number: int, token: bytes) -> Attempt:
        made = Attempt(token, self._loop.create_future())
        arrived = self.attempt(run, activity, number)
        if not arrived.done():
            arrived.set_result(made)
        return arrived.result()

    def open_run(self, run: str) -> None:
        """Nobody is going to release anything of this run any more."""
        with self._lock:
            holds = [hold for key, hold in self._holds.items() if key[0] == run]
        for hold in holds:
            hold.released.set()
        for key, arrived in self._attempts.items():
            if key[0] == run and arrived.done() and not arrived.result().outcome.done():
                arrived.result().outcome.cancel()

    def open_all(self) -> None:
        """The end: whoever still stands at a gate goes on, so that the workers can stop."""
        self._open_for_all = True
        for hold in self._holds.values():
            hold.released.set()
        for arrived in self._attempts.values():
            if arrived.done() and not arrived.result().outcome.done():
                arrived.result().outcome.cancel()
