"""Unary calls through gRPC's own client."""

from __future__ import annotations

import grpc
import pytest

from conftest import unary

MIB = 1024 * 1024


def failure(function, *arguments, **more) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        function(*arguments, **more)
    return caught.value


def test_echo(server):
    assert server.call("Echo", b"hello") == b"hello"
    assert server.call("Echo", b"") == b""
    assert server.call("Echo", bytes(range(256)) * 50) == bytes(range(256)) * 50


def test_metadata_arrives_binary_too(server):
    sent = [("x-text", "some text"), ("x-text", "again"), ("x-data-bin", b"\x00\xff,"), ("x-empty-bin", b"")]
    lines = server.call("Metadata", metadata=sent).decode().splitlines()
    assert f"x-text={b'some text'.hex()}" in lines
    assert f"x-text={b'again'.hex()}" in lines
    assert "x-data-bin=00ff2c" in lines
    assert "x-empty-bin=" in lines
    assert any(line.startswith("user-agent=") for line in lines)
    assert not any(line.startswith(("grpc-", ":", "te=", "content-type")) for line in lines)


@pytest.mark.parametrize("code", range(1, 17))
def test_every_status_code(server, code):
    error = failure(server.call, "Fail", f"{code} - - it did not work".encode())
    assert error.code().value[0] == code
    assert error.details() == "it did not work"
    assert not [key for key, _ in error.trailing_metadata() if key == "grpc-status-details-bin"]


def test_error_details_are_a_status_with_one_any(server):
    text = "not here: 100% füñf\ttab"
    error = failure(server.call, "Fail", f"5 temporal.api.errordetails.v1.NotFoundFailure abc {text}".encode())
    assert error.details() == text
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    name = b"type.googleapis.com/temporal.api.errordetails.v1.NotFoundFailure"
    inner = b"\x0a" + bytes([len(name)]) + name + b"\x12\x03abc"
    message = text.encode()
    assert details == b"\x08\x05\x12" + bytes([len(message)]) + message + b"\x1a" + bytes([len(inner)]) + inner


def test_unknown_methods_say_so(server):
    for path, words in [("/perdure.test.Echo/Nope", "unknown method Nope for service perdure.test.Echo"),
                        ("/no.such.Service/Call", "unknown method Call for service no.such.Service")]:
        error = failure(unary(server.channel(), path), b"request", timeout=20)
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        assert error.details() == words


def test_largest_request_passes_and_one_byte_more_does_not(server):
    body = b"a" * (4 * MIB)
    assert server.call("Echo", body) == body
    error = failure(server.call, "Echo", body + b"b")
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == f"grpc: received message larger than max ({4 * MIB + 1} vs. {4 * MIB})"
    assert server.call("Echo", b"still there") == b"still there"


def test_large_replies(server):
    assert len(server.call("Random", str(20 * MIB).encode())) == 20 * MIB


@pytest.mark.parametrize("size", [0, 100, 5000, 3 * MIB])
def test_gzip_in(server, size):
    body = (b"text that packs well " * (size // 21 + 1))[:size]
    assert server.call("Echo", body, compression=grpc.Compression.Gzip) == body


def test_gzip_counts_unpacked(server):
    error = failure(server.call, "Echo", b"0" * (4 * MIB + 1), compression=grpc.Compression.Gzip)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == f"grpc: received message larger than max ({4 * MIB + 1} vs. {4 * MIB})"


def test_deflate_is_not_installed_and_the_text_says_what_clients_look_for(server):
    error = failure(server.call, "Echo", b"0" * 5000, compression=grpc.Compression.Deflate)
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "grpc-encoding" in error.details()


def test_deadline(server):
    before = server.stats()["held_gone"]
    error = failure(server.call, "Hold", timeout=0.2)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    server.wait_for("held_gone", before + 1)


def test_cancelled_calls_are_gone_at_once(server):
    before = server.stats()["held_gone"]
    channel = server.channel()
    calls = [unary(channel, "Hold").future(b"", timeout=60) for _ in range(20)]
    server.wait_for("held", 20)
    for call in calls[:19]:
        call.cancel()
    stats = server.wait_for("held_gone", before + 19)
    assert stats["held"] == 1
    assert server.call("Release") == b"1"
    assert calls[19].result(timeout=20) == b""


def test_a_lost_connection_takes_its_calls_along(server):
    before = server.stats()["held_gone"]
    channel = server.channel()
    waiting = [unary(channel, "Hold").future(b"", timeout=60) for _ in range(10)]
    server.wait_for("held", 10)
    channel.close()
    stats = server.wait_for("held_gone", before + 10)
    assert stats["held"] == 0
    assert len(waiting) == 10


def test_many_at_once_on_one_connection(server):
    channel = server.channel()
    echo = unary(channel, "Echo")
    bodies = [bytes([i % 256]) * (i * 7) for i in range(2000)]
    calls = [echo.future(body, timeout=60) for body in bodies]
    assert [call.result(timeout=60) for call in calls] == bodies


def test_long_polls_do_not_hold_up_others(server):
    channel = server.channel()
    waiting = [unary(channel, "Hold").future(b"w", timeout=60) for _ in range(500)]
    server.wait_for("held", 500)
    assert unary(channel, "Echo")(b"quick", timeout=20) == b"quick"
    assert server.call("Release") == b"500"
    assert [call.result(timeout=20) for call in waiting] == [b"w"] * 500


def test_connections_are_dealt_in_turn(start_server):
    echo = start_server("lanes=3")
    lanes = []
    for _ in range(6):
        channel = echo.channel()
        lanes.append(unary(channel, "Lane")(b"", timeout=20))
    assert lanes == [b"0", b"1", b"2"] * 2


def test_drain_lets_calls_end_and_takes_no_new_connections(start_server):
    echo = start_server()
    waiting = unary(echo.channel(), "Hold").future(b"", timeout=60)
    echo.wait_for("held", 1)
    echo.process.terminate()
    while True:  # from some moment on the port is closed
        probe = grpc.insecure_channel(echo.address, options=[("grpc.use_local_subchannel_pool", 1)])
        try:
            unary(probe, "Echo")(b"", timeout=5)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            break
        finally:
            probe.close()
    assert not waiting.done()
    assert echo.process.poll() is None, "it does not leave while calls run"
    waiting.cancel()
    assert echo.process.wait(timeout=20) == 0
