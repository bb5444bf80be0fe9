"""Runs the asynchronous tests of a session side by side on one event loop.

Most of these tests wait for timers of the server, so one after the other they would take minutes of doing nothing.
pytest still reports them in their order; a test that it reaches has usually finished already. Each test gets its own
`Env` (own connections, own ids), and may ask for nothing else but its parameters.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable

import pytest

CONCURRENT_TESTS = 24
TEST_SECONDS_MAX = 90.0


class ConcurrentRunner:
    def __init__(self, items: list[pytest.Item], make_env: Callable[[], object]) -> None:
        self._items = [item for item in items if is_async(item)]
        self._make_env = make_env
        self._results: dict[str, concurrent.futures.Future] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tests", daemon=True)
        self._places: asyncio.Semaphore | None = None

    def start(self) -> None:
        self._thread.start()
        for item in self._items:
            if not will_run(item):
                continue
            self._results[item.nodeid] = asyncio.run_coroutine_threadsafe(self._run(item), self._loop)

    async def _run(self, item: pytest.Item) -> None:
        if self._places is None:
            self._places = asyncio.Semaphore(CONCURRENT_TESTS)
        async with self._places:
            env = self._make_env()
            try:
                arguments = dict(item.callspec.params) if hasattr(item, "callspec") else {}
                if "env" in inspect.signature(item.obj).parameters:
                    arguments["env"] = env
                await asyncio.wait_for(item.obj(**arguments), TEST_SECONDS_MAX)
            finally:
                await env.close()

    def wait(self, item: pytest.Item) -> None:
        self._results.pop(item.nodeid).result()

    def stop(self) -> None:
        for future in self._results.values():
            future.cancel()
        asyncio.run_coroutine_threadsafe(_settle(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _settle() -> None:
    """Lets what was cancelled run its clean-up before the loop ends."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def is_async(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj)


def will_run(item: pytest.Item) -> bool:
    return item.get_closest_marker("skip") is None
