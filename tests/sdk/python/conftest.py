"""One server for the session, and every asynchronous test of the session at once on it."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("support.grpc_client", "support.histories", "support.hand", "support.env")

from support import judge  # noqa: E402
from support import server as server_module  # noqa: E402
from support.concurrent import ConcurrentRunner, is_async  # noqa: E402
from support.env import Env  # noqa: E402


def pytest_collection_modifyitems(items):
    # What is not asynchronous takes the machine for itself, so it comes when the others are done.
    items.sort(key=lambda item: not is_async(item))
    for item in items:
        if server_module.external_address() is not None and item.get_closest_marker("crash") is not None:
            item.add_marker(pytest.mark.skip(reason="it kills a server of its own"))
        if not server_module.is_reference():
            continue
        for mark in item.iter_markers("ours"):
            item.add_marker(pytest.mark.skip(reason=f"not on the reference server: {mark.args[0]}"))


@pytest.fixture(scope="session")
def server_address():
    given = server_module.external_address()
    if given is not None:
        yield given
        return
    server = server_module.Server(("--callback-url", "127.0.0.1:*,insecure"))
    server.start()
    try:
        yield server.address
        if judge.program().exists():
            print("\n" + judge.check(server.address))
    finally:
        server.close()


@pytest.fixture(scope="session")
def runner(request, server_address):
    concurrent = ConcurrentRunner(request.session.items, lambda: Env(server_address))
    concurrent.start()
    yield concurrent
    concurrent.stop()


@pytest.fixture
def env(runner):
    """For pytest this is the runner; the test gets a real `Env`, made on the runner's loop when its turn comes."""
    return runner


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not is_async(pyfuncitem):
        return None
    pyfuncitem.funcargs["env"].wait(pyfuncitem)
    return True
