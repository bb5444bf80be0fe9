"""What each test gets: its own connections to the server under test, and names that nobody else uses."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

from temporalio.client import Client

from support import server as server_module
from support.grpc_client import Rpc, renew_all

NAMESPACE = "default"


class Env:
    def __init__(self, address: str, namespace: str = NAMESPACE) -> None:
        self.address = address
        self.namespace = namespace
        self._unique = uuid.uuid4().hex[:12]
        self._count = 0
        self._rpc: Rpc | None = None
        self._client: Client | None = None

    async def close(self) -> None:
        if self._rpc is not None:
            await self._rpc.close()

    def name(self, prefix: str) -> str:
        """An id that no other test has; names of one test share their middle, so they can be listed together."""
        self._count += 1
        return f"{prefix}-{self._unique}-{self._count}"

    @property
    def unique(self) -> str:
        return self._unique

    @property
    def rpc(self) -> Rpc:
        if self._rpc is None:
            self._rpc = Rpc(self.address, self.namespace)
        return self._rpc

    async def client(self) -> Client:
        if self._client is None:
            self._client = await Client.connect(self.address, namespace=self.namespace)
        return self._client

    async def visible(self, read: Callable[[], Awaitable[object]], wanted: object) -> None:
        """Lists read your writes: the first answer must be right. The reference needs a moment, so it gets one."""
        seen = await read()
        if server_module.is_reference():
            for _ in range(100):
                if seen == wanted:
                    break
                await asyncio.sleep(0.1)
                seen = await read()
        assert seen == wanted


@contextlib.asynccontextmanager
async def own_server(*arguments: str):
    """A server of the test's own, to be killed and restarted: yields (server, env)."""
    server = server_module.Server(arguments)
    await asyncio.to_thread(server.start)
    env = Env(server.address)
    try:
        yield server, env
    finally:
        await env.close()
        await asyncio.to_thread(server.close)


async def restart(server: server_module.Server, kill: bool = True) -> None:
    await asyncio.to_thread(server.kill if kill else server.stop)
    await start_again(server)


async def start_again(server: server_module.Server) -> None:
    """What is called from here on is asked of the new server, whatever the connections to the old one went through."""
    await asyncio.to_thread(server.start)
    renew_all(server.address)
