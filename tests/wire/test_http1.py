"""HTTP/1.1 from outside: what a stranger may send, what ordinary clients get, and who is let wait."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from http_server import HttpServer, request


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    made = HttpServer()
    yield made
    assert made.stop() == 0  # and no sanitizer had anything to say


CLOSE = "Connection: close"
# A request that would be taken for the body's end by one reader and for a second request by another: either it is refused,
# or the whole answer is one.
SMUGGLED = b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("data", [
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0,44\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length : 44\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX: y\r\n Content-Length: 44\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX: y\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\nX0\r\n\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100000000\r\n" + SMUGGLED,
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n" + SMUGGLED,
])
def test_nothing_is_smuggled(server: HttpServer, data: bytes) -> None:
    answer = server.say(data, half_close=True)
    status = int(answer.split(b" ", 2)[1])
    assert status in (400, 413, 501)
    assert answer.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in answer


def test_the_standard_client_keeps_its_connection(server: HttpServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for size in (0, 1, 4 << 20):
        connection.request("POST", "/echo", body=b"x" * size)
        answer = connection.getresponse()
        assert (answer.status, len(answer.read())) == (200, size)
        used = connection.sock
    connection.request("POST", "/echo", body=iter([b"in ", b"chunks"]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().read() == b"in chunks"
    assert connection.sock is used
    connection.request("POST", "/echo", body=b"x" * ((4 << 20) + 1))
    assert connection.getresponse().status == 413
    connection.close()


def test_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    bodies = [str(number).encode() * (number * 37 % 2000 + 1) for number in range(1, 200)]
    answer = server.say(b"".join(request(body=body) for body in bodies) + request("/echo", b"end", CLOSE))
    for body in [*bodies, b"end"]:
        head, _, answer = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and answer.startswith(body)
        answer = answer[len(body):]
    assert answer == b""


def test_a_thousand_at_once(server: HttpServer) -> None:
    opened = [server.dial() for _ in range(1000)]
    for number, connection in enumerate(opened):
        connection.sendall(request(body=b"%d" % number))
    for number, connection in enumerate(opened):
        answer = b""
        while not answer.endswith(b"\r\n\r\n%d" % number):
            piece = connection.recv(4096)
            assert piece, answer
            answer += piece
        connection.close()


def test_who_goes_is_noticed_and_who_only_stops_sending_is_not_gone(server: HttpServer) -> None:
    gone, held = server.stats()["gone"], server.stats()["held"] - 1  # the question itself is one
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: server.dial(), range(100)))
    for connection in opened:
        connection.sendall(request("/hold", method="GET"))
    server.wait_for("held", held + 101)
    for connection in opened[:50]:
        connection.shutdown(socket.SHUT_WR)
    for connection in opened[:50]:
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    for connection in opened[50:]:
        connection.close()
    assert server.wait_for("gone", gone + 50)["held"] == held + 51
    for connection in opened[:50]:
        connection.close()
    server.wait_for("gone", gone + 100)


def test_a_stream_that_nobody_reads_costs_no_more(server: HttpServer) -> None:
    with server.dial() as connection:
        connection.sendall(request("/stream", b"{}"))
        answer = b""
        while b"data: 1\n\n" not in answer:
            answer += connection.recv(4096)
        assert b"Transfer-Encoding: chunked" in answer
        assert server.stats()["streams"] == 1
    server.wait_for("streams", 0)


def test_slow_senders_are_sent_away() -> None:
    server = HttpServer("head_ms=100", "body_ms=100", "idle_ms=100")
    assert server.say(b"GET /echo HTTP/1.1\r\nHost: loc").startswith(b"HTTP/1.1 408 ")
    assert server.say(request("/echo", b"123")[:-1]).startswith(b"HTTP/1.1 408 ")
    assert server.say(request("/echo", b"123")).endswith(b"123")
    assert server.say(b"") == b""
    assert server.stop() == 0


def test_whoever_is_too_many_waits_and_is_served_later() -> None:
    server = HttpServer("connections_max=10")
    opened = [server.dial() for _ in range(10)]
    for connection in opened:  # each is in
        connection.sendall(request("/echo", b"1"))
        assert connection.recv(4096)
    late = server.dial()
    late.sendall(request("/echo", b"late", CLOSE))
    late.settimeout(0.2)
    with pytest.raises(TimeoutError):
        late.recv(1)
    opened.pop().close()
    late.settimeout(20)
    assert late.recv(4096).startswith(b"HTTP/1.1 200")
    for connection in [*opened, late]:
        connection.close()
    assert server.stop() == 0
