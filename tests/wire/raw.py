"""An HTTP/2 client that does what a test says, frame by frame, also what no decent client would do."""

from __future__ import annotations

import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
INITIAL_WINDOW_SIZE = 4
NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 5, 7, 8, 11
FRAME_SIZE_MAX = 16384


def message(body: bytes, compressed: bool = False) -> bytes:
    return struct.pack(">BI", 1 if compressed else 0, len(body)) + body


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def headers(path: str, *more: tuple[str, str], drop: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    every = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
             ("content-type", "application/grpc"), ("te", "trailers")]
    return [(name, value) for name, value in every if name not in drop] + list(more)


class Reply:
    """What came on one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = b""
        self.trailers: dict[str, str] = {}
        self.reset: int | None = None
        self.ended = False

    @property
    def status(self) -> int:
        return int({**self.headers, **self.trailers}["grpc-status"])

    @property
    def message(self) -> str:
        return {**self.headers, **self.trailers}.get("grpc-message", "")


class Raw:
    """`window` is the initial window of every stream; the connection's is opened wide. With `refill` every byte that
    is read is given back to both windows."""

    def __init__(self, port: int, window: int = 65535, refill: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.refill = refill
        self.received = b""
        self.next_stream = 1
        self.replies: dict[int, Reply] = {}
        self.goaways: list[tuple[int, int]] = []  # (last stream, code)
        self.pings = self.pongs = 0
        self.answer_pings = True
        self.closed = False
        self.room: dict[int, int] = {0: 65535}
        self.room_of_new_stream = 65535
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + window_update(0, 2**31 - 1 - 65535))

    def close(self) -> None:
        self.socket.close()

    # --- out ---

    def send(self, data: bytes) -> bool:
        """False when the server has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def block(self, fields: list[tuple[str, str]]) -> bytes:
        return self.encoder.encode(fields)

    def headers_frame(self, stream: int, path: str, *more: tuple[str, str], end: bool = False) -> bytes:
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(headers(path, *more)))

    def start_fields(self, fields: list[tuple[str, str]], end: bool = False) -> int:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.replies[stream] = Reply()
        self.room[stream] = self.room_of_new_stream
        block = self.block(fields)
        parts = [block[at:at + FRAME_SIZE_MAX] for at in range(0, len(block), FRAME_SIZE_MAX)]
        for index, part in enumerate(parts):
            flags = END_HEADERS if index == len(parts) - 1 else 0
            if index == 0:
                self.send(frame(HEADERS, flags | (END_STREAM if end else 0), stream, part))
            else:
                self.send(frame(CONTINUATION, flags, stream, part))
        return stream

    def start(self, path: str, *more: tuple[str, str], drop: tuple[str, ...] = (), end: bool = False) -> int:
        return self.start_fields(headers(path, *more, drop=drop), end=end)

    def body(self, stream: int, data: bytes, end: bool = True) -> None:
        """Within the windows, reading what opens them; stops when the answer is there."""
        while True:
            room = min(self.room[stream], self.room[0], FRAME_SIZE_MAX)
            if (room <= 0 and data) and not self.replies[stream].ended:
                self.read()
                continue
            part, data = data[:room], data[room:]
            self.room[stream] -= len(part)
            self.room[0] -= len(part)
            self.send(frame(DATA, END_STREAM if end and not data else 0, stream, part))
            if not data or self.replies[stream].ended:
                return

    def request(self, path: str, body: bytes, *more: tuple[str, str]) -> int:
        stream = self.start(path, *more)
        self.body(stream, body)
        return stream

    def call(self, path: str, body: bytes, *more: tuple[str, str]) -> Reply:
        return self.wait(self.request(path, body, *more))

    def reset(self, stream: int, code: int = CANCEL) -> None:
        self.send(frame(RST_STREAM, 0, stream, code.to_bytes(4, "big")))

    def ping(self) -> None:
        """Returns when the server has seen everything that was sent before, and what it answered at once is here. An
        answer to a ping overtakes what leaves with it, so there are two."""
        for _ in range(2):
            wanted = self.pongs + 1
            self.send(frame(PING, 0, 0, b"in order"))
            while self.pongs < wanted and not self.closed:
                self.read()

    # --- in ---

    def next(self) -> tuple[int, int, int, bytes] | None:
        """(kind, flags, stream, payload); None at the end."""
        while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3], "big"):
            try:
                data = self.socket.recv(1 << 20)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            if not data:
                self.closed = True
                return None
            self.received += data
        size = int.from_bytes(self.received[:3], "big")
        head, payload, self.received = self.received[:9], self.received[9:9 + size], self.received[9 + size:]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def read(self) -> int | None:
        """Takes one frame; its kind, or None at the end."""
        got = self.next()
        if got is None:
            return None
        kind, flags, stream, payload = got
        reply = self.replies.get(stream, Reply())
        if kind == HEADERS:
            assert flags & END_HEADERS, "this client does not gather continuations"
            fields = dict(self.decoder.decode(payload))
            if reply.headers:
                reply.trailers = fields
            else:
                reply.headers = fields
        elif kind == DATA:
            reply.data += payload
            if self.refill and payload:
                self.send(window_update(0, len(payload)) + (b"" if flags & END_STREAM else window_update(stream, len(payload))))
        elif kind == RST_STREAM:
            reply.reset = int.from_bytes(payload, "big")
            reply.ended = True
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == INITIAL_WINDOW_SIZE:
                    for other in self.room:
                        if other != 0:
                            self.room[other] += value - self.room_of_new_stream
                    self.room_of_new_stream = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == WINDOW_UPDATE:
            if stream in self.room:
                self.room[stream] += int.from_bytes(payload, "big")
        elif kind == PING and flags & ACK:
            self.pongs += 1
        elif kind == PING:
            self.pings += 1
            if self.answer_pings:
                self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            reply.ended = True
        return kind

    def wait(self, stream: int) -> Reply:
        reply = self.replies[stream]
        while not reply.ended and self.read() is not None:
            pass
        assert reply.ended, "the connection was closed before the answer"
        return reply

    def read_to_end(self) -> None:
        while self.read() is not None:
            pass
