"""Hostile peers. Each attacker is a function that misbehaves against a running server for some seconds, and says what it
was answered: `python attackers.py NAME GRPC_PORT HTTP_PORT SECONDS` prints that as JSON.

Attackers open loopback connections only, send at most PACE_BYTES a second, and keep within DESCRIPTORS connections.
"""

from __future__ import annotations

import gzip
import json
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "wire"), str(ROOT / "tests" / "sdk" / "python")]

import raw as http2  # noqa: E402
from raw import Raw, frame, message  # noqa: E402

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
START, POLL = SERVICE + "StartWorkflowExecution", SERVICE + "PollWorkflowTaskQueue"
SYSTEM_INFO, LIST, DESCRIBE = SERVICE + "GetSystemInfo", SERVICE + "ListWorkflowExecutions", SERVICE + "DescribeWorkflowExecution"
PACE_BYTES = 64 << 20
DESCRIPTORS = 1500


class Stage:
    """What an attacker works against, and what it has seen."""

    def __init__(self, grpc_port: int, http_port: int, seconds: float) -> None:
        self.grpc_port, self.http_port = grpc_port, http_port
        self.end = time.monotonic() + seconds
        self.seen: Counter[str] = Counter()
        self.slowest = 0.0

    def open(self) -> bool:
        return time.monotonic() < self.end

    def note(self, what: str) -> None:
        self.seen[what] += 1

    def raw(self, **options) -> Raw:
        return Raw(self.grpc_port, **options)

    def plain(self, http: bool = False) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.http_port if http else self.grpc_port), timeout=5)
        made.settimeout(5)
        return made

    def rest(self) -> None:
        """Holds what is open until the time is over."""
        select.select([], [], [], max(0.0, self.end - time.monotonic()))


# --- floods of frames ---


def flooding(parts: Callable[[Raw], Iterator[bytes]]) -> Callable[[Stage], None]:
    """Connects, floods until it is sent away, and comes back."""

    def attack(stage: Stage) -> None:
        while stage.open():
            connection = stage.raw()
            began = time.monotonic()
            for data in parts(connection):
                if not stage.open() or not connection.send(data):
                    break
            connection.socket.settimeout(2)
            try:
                while connection.read() is not None:
                    pass
            except (TimeoutError, OSError):
                stage.note("nothing")
            for _, code in connection.goaways:
                stage.note(f"goaway {code}")
            if connection.closed:
                stage.note("closed")
                stage.slowest = max(stage.slowest, time.monotonic() - began)
            connection.close()

    return attack


def repeated(one: bytes, times: int = 500) -> Iterator[bytes]:
    while True:
        yield one * times


def rapid_reset(connection: Raw) -> Iterator[bytes]:
    stream = 1
    while True:
        data = b""
        for _ in range(100):
            data += connection.headers_frame(stream, POLL) + frame(http2.DATA, http2.END_STREAM, stream, message(b""))
            data += frame(http2.RST_STREAM, 0, stream, struct.pack(">I", http2.CANCEL))
            stream += 2
        yield data


def made_you_reset(connection: Raw) -> Iterator[bytes]:
    stream = 1
    while True:
        data = b""
        for _ in range(100):
            data += connection.headers_frame(stream, POLL) + http2.window_update(stream, 2**31 - 1)
            stream += 2
        yield data


def empty_data(connection: Raw) -> Iterator[bytes]:
    yield connection.headers_frame(1, START)
    yield from repeated(frame(http2.DATA, 0, 1))


def window_updates(connection: Raw) -> Iterator[bytes]:
    yield connection.headers_frame(1, START)
    yield from repeated(http2.window_update(1, 1))


def continuations(connection: Raw) -> Iterator[bytes]:
    yield frame(http2.HEADERS, 0, 1, connection.block([(":method", "POST")]))
    yield from repeated(frame(http2.CONTINUATION, 0, 1, b"\x00\x01a\x01b"))


def unknown_frames(connection: Raw) -> Iterator[bytes]:
    yield from repeated(frame(0xEE, 0, 0, b"x" * 16))


def hpack_bomb(connection: Raw) -> Iterator[bytes]:
    """One large field into the table, then references to it: a few bytes each on the wire, kilobytes when read."""
    fields = http2.headers(POLL) + [("bomb", "b" * 3500)]
    yield frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, connection.block(fields))
    stream = 3
    while True:
        block = connection.block(http2.headers(POLL)) + b"\xbe" * 8000
        yield frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, block)
        stream += 2


# --- calls that are wrong ---


def calling(request: Callable[[int], tuple[str, bytes, tuple[tuple[str, str], ...]]]) -> Callable[[Stage], None]:
    """Sends bodies as they are; each call's status is noted."""

    def attack(stage: Stage) -> None:
        connection, count = stage.raw(), 0
        while stage.open():
            path, body, more = request(count)
            count += 1
            try:
                stream = connection.start(path, *more)
                connection.body(stream, body)
                reply = connection.wait(stream)
                stage.note(f"status {reply.status}" if {**reply.headers, **reply.trailers}.get("grpc-status") else
                           f"http {reply.headers.get(':status', 'reset')}")
            except (AssertionError, OSError, KeyError):
                stage.note("closed")
                connection.close()
                connection = stage.raw()
        connection.close()

    return attack


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def nested(depth: int, number: int) -> bytes:
    """`depth` messages in each other: built from the inside, sizes first."""
    sizes = [0]
    for _ in range(depth):
        sizes.append(len(varint(number << 3 | 2)) + len(varint(sizes[-1])) + sizes[-1])
    return b"".join(varint(number << 3 | 2) + varint(size) for size in reversed(sizes[:-1]))


NAMESPACE = field(1, b"default")
GZIP = (("grpc-encoding", "gzip"),)
# RespondWorkflowTaskFailed carries a Failure (4), whose cause (4) is a Failure.
DEEP = field(1, b"token") + field(3, nested(100_000, 4))
# Start's memo (13) is a map: two-byte entries; its header (16) likewise.
MAP_ENTRIES = NAMESPACE + field(2, b"w") + field(13, b"\x0a\x00" * 1_900_000)
UNKNOWN_FIELDS = NAMESPACE + b"\xf8\x3f\x01" * 1_300_000
REPEATED_MESSAGE = NAMESPACE + b"\x1a\x00" * 1_900_000
BAD_TEXTS = [NAMESPACE + field(2, b"\xff\xfe"), NAMESPACE + field(2, b"a\x00b"), NAMESPACE + field(2, b"w") + b"\x1a\x7f",
             b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", NAMESPACE + b"\x0b\x0c", field(1, b"default\x00x") + field(2, b"w")]
FRAMINGS = [b"\x00\xff\xff\xff\xff", b"\x00\x00\x00\x00\x09short", message(b"") * 3, b"\x00\x00", b"", b"\x02\x00\x00\x00\x00",
            b"\x01\x00\x00\x00\x01x", message(b"x" * (4 << 20) + b"xx")]


def list_filter(count: int) -> bytes:
    texts = ["(" * 900 + "WorkflowId='x'", "WorkflowId='x' OR " * 200 + "RunId='y'", "WorkflowType STARTS_WITH '" + "a" * 3000 + "'",
             "WorkflowId IN (" + ",".join(["'x'"] * 500) + ")", "NOT " * 500 + "WorkflowId='x'", "WorkflowId='" + "x" * 100_000]
    return NAMESPACE + varint(2 << 3) + varint(1 << 31) + field(4, texts[count % len(texts)].encode())


# --- peers that hold on ---


def never_reading(stage: Stage) -> None:
    """Asks for large answers and reads none of them."""
    opened = []
    while stage.open():
        if len(opened) < 50:
            connection = stage.raw(window=2**31 - 1)
            connection.socket.settimeout(0.2)
            opened.append(connection)
            try:
                for _ in range(200):
                    stream = connection.start(SYSTEM_INFO)
                    connection.send(frame(http2.DATA, http2.END_STREAM, stream, message(b"")))
            except (TimeoutError, OSError):
                stage.note("stopped")
        else:
            stage.rest()
    for connection in opened:
        connection.close()


def tiny_windows(stage: Stage) -> None:
    """Takes its answers byte by byte."""
    while stage.open():
        connection = stage.raw(window=0, refill=False)
        connection.socket.settimeout(1)
        streams = []
        for _ in range(50):
            stream = connection.start(SYSTEM_INFO)
            connection.send(frame(http2.DATA, http2.END_STREAM, stream, message(b"")))
            streams.append(stream)
        for _ in range(200):
            if not stage.open() or not connection.send(b"".join(http2.window_update(stream, 1) for stream in streams)):
                break
        stage.note("goaway" if connection.goaways else "served")
        connection.close()


def slow_bodies(stage: Stage) -> None:
    opened = []
    while stage.open():
        if len(opened) < 300:
            connection = stage.raw()
            stream = connection.start(START)
            connection.send(frame(http2.DATA, 0, stream, b"\x00\x00\x10\x00\x00"))
            opened.append((connection, stream))
        for connection, stream in opened:
            connection.send(frame(http2.DATA, 0, stream, b"x"))
        select.select([], [], [], 0.05)
    for connection, _ in opened:
        connection.close()


def half_open(stage: Stage) -> None:
    """Connects and says nothing, or half a greeting."""
    opened = []
    while stage.open() and len(opened) < DESCRIPTORS:
        try:
            made = stage.plain()
        except OSError:
            stage.note("refused")
            break
        if len(opened) % 2:
            made.send(http2.PREFACE[: len(opened) % len(http2.PREFACE)])
        opened.append(made)
    stage.rest()
    for made in opened:
        made.close()


def idle_connections(stage: Stage) -> None:
    opened = []
    while stage.open() and len(opened) < DESCRIPTORS:
        connection = stage.raw()
        connection.ping()
        opened.append(connection)
    stage.note(f"{len(opened)} open")
    stage.rest()
    for connection in opened:
        connection.close()


def connecting(stage: Stage) -> None:
    """Comes and goes."""
    while stage.open():
        try:
            stage.plain().close()
            stage.note("connected")
        except OSError:
            stage.note("refused")


def many_polls(stage: Stage) -> None:
    """As many long polls as it is let have, each for a queue of its own."""
    connections, count = [], 0
    while stage.open() and len(connections) < 200:
        connection = stage.raw()
        connections.append(connection)
        for _ in range(400):
            queue = field(1, f"queue-{count}".encode())
            count += 1
            stream = connection.start(POLL, ("grpc-timeout", "60S"))
            connection.send(frame(http2.DATA, http2.END_STREAM, stream, message(NAMESPACE + field(2, queue))))
            if not stage.open():
                break
        connection.ping()
        for reply in connection.replies.values():
            if reply.ended:
                stage.note("reset" if reply.reset is not None else f"status {reply.status}")
        if connection.closed:
            break
    stage.note(f"{count} asked")
    stage.rest()
    for connection in connections:
        connection.close()


# --- the HTTP side port ---

HTTP = {
    "no_request": b"hello\r\n\r\n",
    "endless_header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many_headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "long_path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "traversal": b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "encoded_traversal": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "other_host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
    "length_and_chunks": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bad_length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "large_body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 1_000_000,
    "nul": b"GET /healthz\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "connect": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "http2": http2.PREFACE,
    "folded": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "bare_cr": b"GET / HTTP/1.1\rHost: localhost\r\r",
}


def http_requests(stage: Stage) -> None:
    """Every one of the requests above; the status line of each answer is noted by its name."""
    while stage.open():
        for name, data in HTTP.items():
            answer = b""
            with stage.plain(http=True) as connection:
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while piece := connection.recv(65536):
                        answer += piece
                except OSError:
                    pass
            status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/1.") else "closed"
            stage.note(f"{name} {status}")
            assert b"root:" not in answer


def http_slow(stage: Stage) -> None:
    """Headers that come byte by byte, on as many connections as there may be."""
    opened, sent = [], 0
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000
    while stage.open():
        if len(opened) < 400:
            opened.append(stage.plain(http=True))
        for connection in opened:
            try:
                connection.send(request[sent % len(request)].to_bytes(1, "big"))
            except OSError:
                stage.note("closed")
        sent += 1
        select.select([], [], [], 0.02)
    for connection in opened:
        connection.close()


def http_never_reads(stage: Stage) -> None:
    """Requests one behind the other on many connections, and no answer is ever read."""
    opened = [stage.plain(http=True) for _ in range(200)]
    requests = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    for connection in opened:
        connection.setblocking(False)
    while stage.open():
        for connection in opened:
            try:
                connection.send(requests)
            except BlockingIOError:
                stage.note("stopped")
            except OSError:
                stage.note("stopped, and cut")
        select.select([], [], [], 0.05)
    for connection in opened:
        connection.close()


def always(path: str, body: bytes, *more: tuple[str, str]) -> Callable[[int], tuple[str, bytes, tuple[tuple[str, str], ...]]]:
    return lambda _: (path, body, more)


ATTACKERS: dict[str, Callable[[Stage], None]] = {
    "settings flood": flooding(lambda _: repeated(frame(http2.SETTINGS, 0, 0))),
    "ping flood": flooding(lambda _: repeated(frame(http2.PING, 0, 0, b"12345678"))),
    "priority flood": flooding(lambda _: repeated(frame(http2.PRIORITY, 0, 1, b"\0\0\0\0\x10"))),
    "reset flood": flooding(lambda _: repeated(frame(http2.RST_STREAM, 0, 1, b"\0\0\0\x08"))),
    "empty data flood": flooding(empty_data),
    "window update flood": flooding(window_updates),
    "continuation flood": flooding(continuations),
    "unknown frames": flooding(unknown_frames),
    "rapid reset": flooding(rapid_reset),
    "made you reset": flooding(made_you_reset),
    "hpack bomb": flooding(hpack_bomb),
    "60 KB of metadata": calling(always(SYSTEM_INFO, message(b""), *[(f"x-{n}", "v" * 1000) for n in range(60)])),
    "framing lies": calling(lambda count: (START, FRAMINGS[count % len(FRAMINGS)], ())),
    "gzip bomb": calling(always(START, message(gzip.compress(bytes(64 << 20)), compressed=True), *GZIP)),
    "deep failures": calling(always(SERVICE + "RespondWorkflowTaskFailed", message(DEEP))),
    "map of two million": calling(always(START, message(MAP_ENTRIES))),
    "unknown fields": calling(always(START, message(UNKNOWN_FIELDS))),
    "one message again and again": calling(always(START, message(REPEATED_MESSAGE))),
    "bad texts": calling(lambda count: (START, message(BAD_TEXTS[count % len(BAD_TEXTS)]), ())),
    "expensive filters": calling(lambda count: (LIST, message(list_filter(count)), ())),
    "ids of nobody": calling(lambda count: (DESCRIBE, message(NAMESPACE + field(2, field(1, f"id-{count}".encode()))), ())),
    "namespaces of nobody": calling(lambda count: (POLL, message(field(1, f"n{count}".encode()) + field(2, field(1, b"q"))), ())),
    "never reads": never_reading,
    "tiny windows": tiny_windows,
    "slow bodies": slow_bodies,
    "half open": half_open,
    "idle connections": idle_connections,
    "comes and goes": connecting,
    "many polls": many_polls,
    "http requests": http_requests,
    "http slowly": http_slow,
    "http never reads": http_never_reads,
}


def main() -> None:
    name, grpc_port, http_port, seconds = sys.argv[1:]
    stage = Stage(int(grpc_port), int(http_port), float(seconds))
    try:
        ATTACKERS[name](stage)
    except (ConnectionError, TimeoutError) as error:  # being sent away is an answer too
        stage.note(type(error).__name__)
    print(json.dumps({"seen": dict(stage.seen.most_common(40)), "slowest": round(stage.slowest, 3)}))


if __name__ == "__main__":
    main()
