"""The echo server of tests/wire under test, and the two clients that try it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import grpc
import pytest

from raw import Raw

ROOT = Path(__file__).resolve().parents[2]


def echo_server_binary() -> Path:
    named = os.environ.get("PERDURE_WIRE_ECHO_SERVER")
    if named:
        return Path(named)
    beside = os.environ.get("PERDURE_BINARY")
    directory = Path(beside).parent if beside else ROOT / "build" / "dev"
    return directory / "wire_echo_server"


class EchoServer:
    """One server process; `limits` are "name=value" arguments."""

    def __init__(self, *limits: str) -> None:
        self.process = subprocess.Popen([str(echo_server_binary()), *limits], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready "), line
        self.port = int(line.split()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.channels: list[grpc.Channel] = []
        self._own_channel: grpc.Channel | None = None

    def channel(self, **options) -> grpc.Channel:
        """A channel with a connection of its own."""
        settings = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1), *options.items()]
        channel = grpc.insecure_channel(self.address, options=settings)
        self.channels.append(channel)
        return channel

    def call(self, method: str, request: bytes = b"", timeout: float = 20, **more) -> bytes:
        """A call beside whatever is tried, on a connection that behaves."""
        if self._own_channel is None:
            self._own_channel = self.channel()
        return unary(self._own_channel, method)(request, timeout=timeout, **more)

    def stats(self) -> dict[str, int]:
        lines = self.call("Stats").decode().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def wait_for(self, name: str, value: int) -> dict[str, int]:
        """Asks until the counter has the value: what other connections do arrives in no promised order."""
        for _ in range(2000):
            stats = self.stats()
            if stats[name] == value:
                return stats
        raise AssertionError(f"{name} did not become {value}: {stats}")

    def stop(self) -> int:
        for channel in self.channels:
            channel.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()


def unary(channel: grpc.Channel, method: str):
    path = method if method.startswith("/") else f"/perdure.test.Echo/{method}"
    return channel.unary_unary(path)


@pytest.fixture(scope="module")
def server():
    """One server for all tests of a module: it must survive each of them."""
    echo = EchoServer()
    yield echo
    assert echo.stop() == 0


@pytest.fixture
def start_server():
    """Servers with limits of their own."""
    started: list[EchoServer] = []

    def start(*limits: str) -> EchoServer:
        started.append(EchoServer(*limits))
        return started[-1]

    yield start
    for echo in started:
        assert echo.stop() == 0


@pytest.fixture
def connect(start_server):
    """Connections to a server, frame by frame. They are closed before servers end: a drain waits for calls."""
    opened: list[Raw] = []

    def open_one(echo: EchoServer, **options) -> Raw:
        opened.append(Raw(echo.port, **options))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def raw(server, connect):
    """Connections to the shared server."""
    return lambda **options: connect(server, **options)
