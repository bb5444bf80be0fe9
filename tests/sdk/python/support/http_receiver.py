"""A small HTTP/1.1 server on loopback that notes what it is sent and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    repeated: dict[str, list[str]]
    body: bytes


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False  # takes the request and never answers
    drops: bool = False  # closes the connection instead


class HttpReceiver:
    """`answers` are given in order, the last one for ever; each request is one item of `requests`."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [Answer()]
        self.requests: list[Received] = []
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            self._server = None

    async def wait(self, count: int, seconds: float = 20.0) -> list[Received]:
        """All requests so far, as soon as there are so many."""

        async def arrived() -> list[Received]:
            async with self._arrived:
                await self._arrived.wait_for(lambda: len(self.requests) >= count)
            return self.requests

        return await asyncio.wait_for(arrived(), seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        repeated: dict[str, list[str]] = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            repeated.setdefault(name.strip().lower(), []).append(value.strip())
        headers = {name: values[0] for name, values in repeated.items()}
        if headers.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        async with self._arrived:
            self.requests.append(Received(method, path, headers, repeated, body))
            self._arrived.notify_all()
        if answer.hangs:
            await asyncio.sleep(3600)
        if answer.drops:
            writer.transport.abort()
            return False
        lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
        await writer.drain()
        return True


@contextlib.asynccontextmanager
async def receiver(*answers: Answer):
    server = HttpReceiver(*answers)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
