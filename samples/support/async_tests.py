"""Lets a conftest run tests that are coroutines, one after the other on one event loop: `from async_tests import *`."""

import asyncio
import inspect
from collections.abc import Iterator

import pytest

__all__ = ["loop", "pytest_pyfunc_call"]


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    # The SDK's threads end before the interpreter does; else it may abort (temporalio/sdk-python#300).
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    running = pyfuncitem._request.getfixturevalue("loop")
    running.run_until_complete(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
