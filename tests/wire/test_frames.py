"""What well-behaved clients never send: gRPC framing, headers, HTTP/1, flow control, and connections that end."""

from __future__ import annotations

import gzip
import socket
import struct

import pytest

import raw as http2
from raw import Raw, message

ECHO, HOLD, BIG = "/perdure.test.Echo/Echo", "/perdure.test.Echo/Hold", "/perdure.test.Echo/Big"
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 8, 12, 13
MIB = 1024 * 1024


def test_a_reply_is_headers_data_trailers(raw):
    reply = raw().call(ECHO, message(b"hi"))
    assert reply.headers == {":status": "200", "content-type": "application/grpc"}
    assert reply.data == message(b"hi")
    assert reply.trailers == {"grpc-status": "0"}


def test_an_error_is_trailers_only(raw):
    reply = raw().call("/perdure.test.Echo/Fail", message("5 - - fünf %".encode()))
    assert reply.headers == {":status": "200", "content-type": "application/grpc", "grpc-status": "5",
                             "grpc-message": "f%C3%BCnf %25"}
    assert reply.data == b"" and reply.trailers == {}


@pytest.mark.parametrize("body, code, words", [
    (b"", INTERNAL, "without a message"),
    (b"\0\0\0", INTERNAL, "ends before"),
    (b"\0\0\0\0\5abc", INTERNAL, "ends before"),
    (message(b"one") + message(b"two"), INTERNAL, "more than one message"),
    (message(b"one") + b"\0", INTERNAL, "more than one message"),
    (b"\2\0\0\0\0", INTERNAL, "malformed message"),
    (b"\1\0\0\0\1x", INTERNAL, "compressed flag set"),
    (b"\0\xff\xff\xff\xff", RESOURCE_EXHAUSTED, f"grpc: received message larger than max (4294967295 vs. {4 * MIB})"),
])
def test_bad_framing(raw, body, code, words):
    connection = raw()
    reply = connection.call(ECHO, body)
    assert reply.status == code
    assert words in reply.message
    assert connection.call(ECHO, message(b"next")).data == message(b"next")  # only the call failed


def test_a_message_in_small_pieces(raw):
    connection = raw()
    stream = connection.start(ECHO)
    for byte in message(b"bit by bit"):
        connection.body(stream, bytes([byte]), end=False)
    connection.body(stream, b"")
    assert connection.wait(stream).data == message(b"bit by bit")


def test_a_message_in_empty_and_padded_frames(raw):
    connection = raw()
    stream = connection.start(ECHO)
    connection.body(stream, b"", end=False)
    connection.send(http2.frame(http2.DATA, http2.PADDED, stream, bytes([200]) + message(b"padded") + bytes(200)))
    connection.body(stream, b"")
    assert connection.wait(stream).data == message(b"padded")


@pytest.mark.parametrize("encoding, flag, code", [
    ("gzip", True, OK), ("gzip", False, OK), ("identity", False, OK), ("snappy", False, OK),
    ("identity", True, INTERNAL), ("snappy", True, UNIMPLEMENTED),
])
def test_request_encodings(raw, encoding, flag, code):
    body = gzip.compress(b"text") if flag and encoding == "gzip" else b"text"
    reply = raw().call(ECHO, message(body, compressed=flag), ("grpc-encoding", encoding))
    assert reply.status == code
    if code == OK:
        assert reply.data == message(b"text")
    if code == UNIMPLEMENTED:
        assert "grpc-encoding" in reply.message
        assert reply.headers["grpc-accept-encoding"] == "identity,gzip"


@pytest.mark.parametrize("packed", [b"", b"no gzip at all", gzip.compress(b"x" * 1000)[:-5], gzip.compress(b"x") + b"more"])
def test_broken_gzip(raw, packed):
    reply = raw().call(ECHO, message(packed, compressed=True), ("grpc-encoding", "gzip"))
    assert reply.status == INTERNAL
    assert "decompress" in reply.message


def test_a_gzip_bomb_costs_no_memory(server, raw):
    bomb = gzip.compress(b"\0" * (256 * MIB), 1)
    assert len(bomb) < 2 * MIB
    before = server.stats()["rss_kib"]
    connection = raw()
    for _ in range(5):
        reply = connection.call(ECHO, message(bomb, compressed=True), ("grpc-encoding", "gzip"))
        assert reply.status == RESOURCE_EXHAUSTED
        assert reply.message == f"grpc: received message larger than max ({256 * MIB} vs. {4 * MIB})"
    # AddressSanitizer keeps freed memory for a while, so the bound is loose; five bombs would be 1.25 GiB.
    assert server.stats()["rss_kib"] - before < 200 * 1024


def test_replies_are_packed_for_those_who_take_it(raw):
    connection = raw()
    plain = connection.call(BIG, message(b"100000"))
    assert plain.data == message(b"x" * 100000)
    packed = connection.call(BIG, message(b"100000"), ("grpc-accept-encoding", "identity,deflate,gzip"))
    assert packed.headers["grpc-encoding"] == "gzip"
    assert packed.data[0] == 1 and len(packed.data) < 2000
    assert struct.unpack(">I", packed.data[1:5])[0] == len(packed.data) - 5
    assert gzip.decompress(packed.data[5:]) == b"x" * 100000
    small = connection.call(ECHO, message(b"x" * 100), ("grpc-accept-encoding", "gzip"))
    assert small.data == message(b"x" * 100) and "grpc-encoding" not in small.headers
    dense = connection.call("/perdure.test.Echo/Random", message(b"5000"), ("grpc-accept-encoding", "gzip"))
    assert dense.data[0] == 0 and len(dense.data) == 5005  # what does not shrink goes as it is


@pytest.mark.parametrize("content_type", ["application/json", "application/grpc-web", "application/grpc+json", None])
def test_other_content_types_are_415(raw, content_type):
    connection = raw()
    more = [] if content_type is None else [("content-type", content_type)]
    stream = connection.start(ECHO, *more, drop=("content-type",))
    connection.body(stream, message(b""))
    reply = connection.wait(stream)
    assert reply.headers[":status"] == "415"
    assert reply.status == INVALID_ARGUMENT


def test_get_is_405(raw):
    connection = raw()
    stream = connection.start_fields([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "t")], end=True)
    reply = connection.wait(stream)
    assert reply.headers[":status"] == "405"
    assert b"gRPC" in reply.data


@pytest.mark.parametrize("timeout", ["", "S", "1", "1s", "-1S", "123456789S", "1 S"])
def test_malformed_timeouts(raw, timeout):
    reply = raw().call(ECHO, message(b""), ("grpc-timeout", timeout))
    assert reply.status == INTERNAL
    assert "grpc-timeout" in reply.message


@pytest.mark.parametrize("timeout", ["1n", "100u", "50m"])
def test_the_server_itself_keeps_the_deadline(server, raw, timeout):
    before = server.stats()["held_gone"]
    reply = raw().call(HOLD, message(b""), ("grpc-timeout", timeout))
    assert reply.status == DEADLINE_EXCEEDED
    stats = server.stats()
    # A deadline of nanoseconds may pass before there is a call at all.
    assert stats["held"] == 0 and stats["held_gone"] - before in ((1,) if timeout == "50m" else (0, 1))


def test_malformed_binary_metadata(raw):
    reply = raw().call(ECHO, message(b""), ("x-data-bin", "not base64!"))
    assert reply.status == INTERNAL


def test_reset_makes_the_call_gone(server, raw):
    before = server.stats()["held_gone"]
    connection = raw()
    stream = connection.request(HOLD, message(b""))
    server.wait_for("held", 1)
    connection.reset(stream)
    server.wait_for("held_gone", before + 1)
    assert connection.call(ECHO, message(b"alive")).data == message(b"alive")


def test_reset_in_the_middle_of_a_request_leaves_nothing(server, raw):
    connection = raw()
    for _ in range(50):
        stream = connection.start(ECHO)
        connection.body(stream, message(b"x" * 100000)[:50000], end=False)
        connection.reset(stream)
    connection.ping()
    assert connection.call(ECHO, message(b"alive")).status == OK
    assert server.stats()["calls_open"] == 1  # the one that asks


def test_too_much_metadata(raw):
    connection = raw()
    ok = [(f"x-{i}", "v" * 4000) for i in range(14)]
    assert connection.call(ECHO, message(b""), *ok).status == OK
    # nghttp2 itself refuses blocks above 64 KiB, so the list is made large by what HPACK folds.
    reply = connection.call(ECHO, message(b""), *[("x-same", "v" * 3000)] * 30)
    assert reply.status == RESOURCE_EXHAUSTED
    assert connection.call(ECHO, message(b"alive")).status == OK


def test_http1_gets_words(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"gRPC" in body
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50, b"\0" * 24, b"\n" * 100,
                                      b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"P", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_other_protocols_are_closed(server, greeting):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(greeting)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
    assert server.call("Echo", b"alive") == b"alive"


def test_a_client_that_only_connects_is_closed(start_server):
    echo = start_server("handshake_ms=100")
    with socket.create_connection(("127.0.0.1", echo.port), timeout=20) as client:
        assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", echo.port), timeout=20) as client:
        assert client.recv(1) == b""
    echo.wait_for("connections_open", 1)


def test_an_idle_peer_is_pinged_and_closed_when_it_does_not_answer(start_server, connect):
    echo = start_server("keepalive_ms=100", "keepalive_timeout_ms=300")
    silent, living = connect(echo), connect(echo)
    silent.answer_pings = False
    while living.pings < 3:  # one that answers stays, ping after ping
        assert living.read() is not None, "closed although it answers"
    assert living.call(ECHO, message(b"alive")).status == OK
    silent.read_to_end()
    assert silent.pings == 1


def test_a_body_that_does_not_come(start_server, connect):
    echo = start_server("request_ms=200")
    connection = connect(echo)
    stream = connection.start(ECHO)
    connection.body(stream, message(b"x" * 100)[:50], end=False)
    assert connection.wait(stream).status == DEADLINE_EXCEEDED
    assert connection.call(ECHO, message(b"alive")).status == OK


def test_a_reader_that_opens_no_window_gets_nothing_and_blocks_nobody(server, raw):
    connection = raw(window=0, refill=False)
    stream = connection.request(BIG, message(b"100000"))
    reply = connection.replies[stream]
    while not reply.headers:
        connection.read()
    connection.ping()
    assert reply.headers[":status"] == "200"
    assert reply.data == b""
    assert server.call("Echo", b"others") == b"others"
    connection.send(http2.window_update(stream, 10))
    while len(reply.data) < 10:
        connection.read()
    connection.ping()
    assert len(reply.data) == 10
    connection.send(http2.window_update(stream, 200000))
    assert connection.wait(stream).data == message(b"x" * 100000)


def test_unread_replies_are_bounded(start_server, connect):
    echo = start_server(f"reply_bytes_soft_max={MIB}", f"reply_bytes_max={3 * MIB}")
    connection = connect(echo, window=0, refill=False)
    first = [connection.request(HOLD, message(b"h" * 900000)) for _ in range(5)]
    echo.wait_for("held", 5)
    assert echo.call("Release") == b"5"  # five answers of 900,000 bytes at once: three fit
    connection.ping()
    refused = [stream for stream in first if connection.replies[stream].ended]
    assert len(refused) == 2
    for stream in refused:
        assert connection.replies[stream].status == RESOURCE_EXHAUSTED
    late = connection.call(ECHO, message(b"one more"))  # above the soft limit nothing new is begun
    assert late.status == RESOURCE_EXHAUSTED
    kept = [stream for stream in first if stream not in refused]
    connection.send(b"".join(http2.window_update(stream, MIB) for stream in kept))
    for stream in kept:
        assert connection.wait(stream).data == message(b"h" * 900000)
    stream = connection.request(ECHO, message(b""))
    connection.send(http2.window_update(stream, 100))
    assert connection.wait(stream).status == OK


def test_unread_replies_of_all_connections_are_bounded_together(start_server, connect):
    echo = start_server(f"reply_bytes_total_max={3 * MIB}")
    connections = [connect(echo, window=0, refill=False) for _ in range(5)]
    streams = []
    for connection in connections:
        streams.append(connection.request(ECHO, message(b"r" * 900000)))
        connection.ping()
    ended = [reply.ended and reply.status for reply in (c.replies[s] for c, s in zip(connections, streams))]
    assert ended == [False, False, False, RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED]
    connections[0].close()
    echo.wait_for("connections_open", 5)  # four of them, and the one that asks
    again = connections[3].request(ECHO, message(b"r" * 900000))
    connections[3].send(http2.window_update(again, MIB))
    assert connections[3].wait(again).data == message(b"r" * 900000)


def test_a_peer_that_talks_and_never_listens_is_closed(start_server, connect):
    echo = start_server("keepalive_ms=100", "keepalive_timeout_ms=300", "send_ms=300")
    connection = connect(echo, window=2**31 - 1)
    stream = connection.start(BIG)
    connection.send(http2.frame(http2.DATA, http2.END_STREAM, stream, message(str(32 * MIB).encode())))
    while echo.stats()["connections_open"] == 2:
        connection.send(http2.frame(http2.PING, http2.ACK, 0, b"unasked!"))
    assert echo.stats()["connections_open"] == 1


def test_a_reader_that_never_opens_its_window_is_left_after_a_while(start_server, connect):
    echo = start_server("send_ms=200")
    connection = connect(echo, window=0, refill=False)
    reply = connection.call(ECHO, message(b"x"))
    assert reply.reset == http2.CANCEL


def test_a_socket_that_is_not_read_holds_what_it_may(start_server, connect):
    echo = start_server()
    connection = connect(echo, window=2**31 - 1)
    # 80 MiB of answers into a socket that nobody reads: 64 MiB are kept, the others refused.
    streams = [connection.start(BIG) for _ in range(20)]
    connection.send(b"".join(http2.frame(http2.DATA, http2.END_STREAM, stream, message(str(4 * MIB).encode()))
                             for stream in streams))
    echo.wait_for("calls_started", 20 + 1)
    assert echo.stats()["calls_open"] == 1  # the one that asks
    done = [connection.wait(stream).status for stream in streams]
    assert done.count(OK) >= 15 and done.count(RESOURCE_EXHAUSTED) >= 1 and set(done) == {OK, RESOURCE_EXHAUSTED}
    assert all(len(connection.replies[stream].data) == 4 * MIB + 5 for stream, code in zip(streams, done) if code == OK)


def test_requests_of_all_connections_are_bounded_together(start_server, connect):
    echo = start_server(f"request_bytes_max={4 * MIB + 100 * 1024}")
    connections = [connect(echo) for _ in range(5)]
    streams = []
    for connection in connections:
        streams.append(connection.request(HOLD, message(b"h" * MIB)))
        connection.ping()  # all of it is there before the next one begins
    ended = [i for i in range(5) if connections[i].replies[streams[i]].ended]
    assert len(ended) == 1
    assert connections[ended[0]].replies[streams[ended[0]]].status == RESOURCE_EXHAUSTED
    assert echo.call("Release") == b"4"
    for i in set(range(5)) - set(ended):
        assert connections[i].wait(streams[i]).data == message(b"h" * MIB)
    assert connections[0].call(ECHO, message(b"e" * MIB)).status == OK


def test_headers_count_as_requests_do(start_server, connect):
    """HPACK folds a header that comes again into a byte, so 4 KiB on the wire would be many MiB in memory."""
    echo = start_server(f"request_bytes_max={2 * MIB}")
    connection = connect(echo)
    streams = [connection.start(HOLD, *[("x-same", "v" * 3000)] * 15) for _ in range(100)]
    connection.ping()
    refused = [stream for stream in streams if connection.replies[stream].ended]
    assert 50 < len(refused) < 70  # each has 45 KiB
    assert {connection.replies[stream].status for stream in refused} == {RESOURCE_EXHAUSTED}
    assert connect(echo).call(ECHO, message(b"e" * 200_000)).status == RESOURCE_EXHAUSTED
    for stream in streams:
        connection.reset(stream)
    connection.ping()
    assert connect(echo).call(ECHO, message(b"e" * 200_000)).status == OK


def test_commas_in_binary_metadata_are_headers(raw):
    connection = raw()
    assert connection.call(ECHO, message(b""), ("x-bin", "AA," * 1000)).status == OK
    assert connection.call(ECHO, message(b""), ("x-bin", "," * 3000)).status == RESOURCE_EXHAUSTED
    assert connection.call(ECHO, message(b"alive")).status == OK


def test_calls_and_connections_have_limits(start_server, connect):
    echo = start_server("calls_max=5", "connections_max=4")
    echo.stats()  # the connection beside is one of the four, and there before they are all taken
    connection = connect(echo)
    held = [connection.request(HOLD, message(b"")) for _ in range(5)]
    assert connection.call(ECHO, message(b"")).status == RESOURCE_EXHAUSTED
    for stream in held:
        connection.reset(stream)
    assert connection.call(ECHO, message(b"")).status == OK
    second, third, fourth = connect(echo), connect(echo), connect(echo)
    assert third.call(ECHO, message(b"")).status == OK
    fourth.read_to_end()
    assert not fourth.goaways and fourth.closed
    second.close()
    third.close()
    assert echo.wait_for("connections_open", 2)["connections_refused"] == 1


def test_streams_above_the_limit_are_refused_and_the_others_live(start_server, connect):
    echo = start_server("streams_per_connection_max=10")
    connection = connect(echo)
    data = b""
    for stream in range(1, 25, 2):
        connection.replies[stream] = http2.Reply()
        data += connection.headers_frame(stream, HOLD) + http2.frame(http2.DATA, http2.END_STREAM, stream, message(b""))
    connection.send(data)
    echo.wait_for("held", 10)
    connection.ping()
    assert not connection.goaways
    ended = {stream for stream, reply in connection.replies.items() if reply.ended}
    assert ended == {21, 23}
    assert {connection.replies[stream].reset for stream in ended} == {http2.REFUSED_STREAM}


def test_drain_lets_calls_end(start_server, connect):
    echo = start_server()
    connection, other = connect(echo), connect(echo)
    stream = connection.request(HOLD, message(b"kept"))
    release = other.start("/perdure.test.Echo/Release")  # begun before the drain, ended after its GOAWAY
    other.ping()
    echo.wait_for("held", 1)
    for channel in echo.channels:
        channel.close()
    echo.process.terminate()
    while len(connection.goaways) < 2:
        assert connection.read() is not None
    assert connection.goaways == [(2**31 - 1, 0), (stream, 0)]
    other.body(release, message(b""))
    assert other.wait(release).data == message(b"1")
    assert connection.wait(stream).data == message(b"kept")
    connection.read_to_end()
    other.read_to_end()
    assert echo.process.wait(timeout=20) == 0


def test_a_drain_leaves_those_alone_who_have_left(start_server, connect):
    """A peer that said goodbye is only waited for until it closes; a drain that finds it so must not take it up again."""
    echo = start_server()
    left, other = connect(echo), connect(echo)
    release = other.start("/perdure.test.Echo/Release")
    other.ping()
    left.ping()
    left.send(http2.frame(http2.GOAWAY, 0, 0, bytes(8)))
    left.read_to_end()  # the server has ended its side
    for channel in echo.channels:
        channel.close()
    echo.process.terminate()
    while len(other.goaways) < 2:  # the drain has begun, everywhere
        assert other.read() is not None
    left.close()
    other.body(release, message(b""))
    assert other.wait(release).data == message(b"0")
    other.read_to_end()
    assert echo.process.wait(timeout=20) == 0


def test_a_call_during_the_notice_is_still_served(start_server, connect):
    """Between the notice (GOAWAY with the highest id) and the last word, what the client had on its way is served."""
    echo = start_server()
    connection = connect(echo)
    connection.answer_pings = False  # so the server waits out its grace
    hold = connection.request(HOLD, message(b""))
    echo.wait_for("held", 1)
    for channel in echo.channels:
        channel.close()
    echo.process.terminate()
    while not connection.goaways:
        assert connection.read() is not None
    assert connection.call(ECHO, message(b"late")).data == message(b"late")
    connection.reset(hold)
    connection.read_to_end()
    assert [code for _, code in connection.goaways] == [0, 0]
    assert echo.process.wait(timeout=20) == 0


def test_connection_age(start_server, connect):
    echo = start_server("connection_age_ms=200")
    connection = connect(echo)
    stream = connection.request(HOLD, message(b"old"))
    while len(connection.goaways) < 2:
        assert connection.read() is not None
    assert connection.goaways == [(2**31 - 1, 0), (stream, 0)]
    assert echo.call("Release", wait_for_ready=True) == b"1"  # on a connection of its own
    assert connection.wait(stream).data == message(b"old")
    connection.read_to_end()


# --- floods: each is bounded in what it sends, and must be answered with ENHANCE_YOUR_CALM long before that ---


def flood(connection: Raw, parts, count: int = 200_000) -> None:
    sent = 0
    for data, amount in parts(connection):
        if sent >= count or not connection.send(data):
            break
        sent += amount
    connection.read_to_end()
    # The last frames may be lost when the kernel resets a connection whose peer still sends.
    assert not connection.goaways or connection.goaways[-1][1] == http2.ENHANCE_YOUR_CALM


def repeated(one: bytes, times: int = 500):
    while True:
        yield one * times, times


def rapid_reset(frames: Raw):
    stream = 1
    while True:
        data = b""
        for _ in range(100):
            data += frames.headers_frame(stream, HOLD, end=True)
            data += http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", http2.CANCEL))
            stream += 2
        yield data, 100


def made_you_reset(frames: Raw):
    """Streams that the server must reset: a window beyond its end."""
    stream = 1
    while True:
        data = b""
        for _ in range(100):
            data += frames.headers_frame(stream, HOLD)
            data += http2.frame(http2.WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1))
            stream += 2
        yield data, 100


def empty_data(frames: Raw):
    yield frames.headers_frame(1, HOLD), 1
    yield from repeated(http2.frame(http2.DATA, 0, 1))


def window_updates(frames: Raw):
    yield frames.headers_frame(1, HOLD), 1
    yield from repeated(http2.window_update(1, 1))


def continuations(frames: Raw):
    yield http2.frame(http2.HEADERS, 0, 1, frames.block([(":method", "POST")])), 1
    yield from repeated(http2.frame(http2.CONTINUATION, 0, 1))


FLOODS = {
    "settings": lambda frames: repeated(http2.frame(http2.SETTINGS, 0, 0)),
    "ping": lambda frames: repeated(http2.frame(http2.PING, 0, 0, b"12345678")),
    "priority": lambda frames: repeated(http2.frame(http2.PRIORITY, 0, 1, b"\0\0\0\0\x10")),
    "window update": window_updates,
    "empty data": empty_data,
    "continuation": continuations,
    "unknown": lambda frames: repeated(http2.frame(0xFA, 0xFF, 1, b"from the future")),
    "altsvc": lambda frames: repeated(http2.frame(0xA, 0, 0, b"\0\0")),
    "rapid reset": rapid_reset,
    "made you reset": made_you_reset,
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_are_sent_away(server, raw, name):
    before = server.stats()
    flood(raw(), FLOODS[name])
    after = server.stats()
    assert after["connections_calmed"] == before["connections_calmed"] + (name != "continuation")
    assert after["rss_kib"] - before["rss_kib"] < 64 * 1024
    assert after["held"] == 0
    assert server.call("Echo", b"honest") == b"honest"


def test_an_honest_client_may_ping(raw):
    connection = raw()
    for _ in range(200):
        connection.ping()
    assert not connection.goaways
    assert connection.call(ECHO, message(b"")).status == OK


def test_an_honest_client_may_send_unknown_frames(raw):
    connection = raw()
    for kind in range(10, 256):
        connection.send(http2.frame(kind, 0xFF, kind % 3, b"x" * kind))
    assert connection.call(ECHO, message(b"after")).data == message(b"after")
    assert not connection.goaways


def test_a_client_that_cancels_a_lot_while_it_calls_is_honest(raw):
    connection = raw()
    for _ in range(1000):
        connection.reset(connection.request(HOLD, message(b"")))
        assert connection.call(ECHO, message(b"")).status == OK
    assert not connection.goaways
