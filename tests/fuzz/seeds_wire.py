"""Writes a small corpus for fuzz_wire: whole conversations, so that the fuzzer starts behind the framing.

    python tests/fuzz/seeds_wire.py DIRECTORY
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import hpack

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "wire"))
import raw as http2  # noqa: E402


def conversation(*calls: tuple[str, bytes, list[tuple[str, str]]]) -> bytes:
    encoder = hpack.Encoder()
    data = b"\x01\xff"
    for index, (path, body, more) in enumerate(calls):
        stream = 1 + 2 * index
        data += http2.frame(http2.HEADERS, http2.END_HEADERS, stream, encoder.encode(http2.headers(path, *more)))
        data += http2.frame(http2.DATA, http2.END_STREAM, stream, body)
    return data


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    message = http2.message
    seeds = {
        "echo": conversation(("/p.S/Echo", message(b"hello"), [("x-a", "1"), ("x-b-bin", "AAEC,AQ==")])),
        "three": conversation(*[(f"/p.S/E{'x' * i}", message(b"m" * 50 * i), [("grpc-timeout", "1S")]) for i in range(3)]),
        "gzip": conversation(("/p.S/Echo", message(gzip.compress(b"x" * 500, mtime=0), True),
                              [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")])),
        "health": conversation(("/grpc.health.v1.Health/Check", message(b""), []),
                               ("/grpc.health.v1.Health/Watch", message(b"\x0a\x01x"), []),
                               ("/grpc.health.v1.Health/List", message(b""), [])),
        "reflection": conversation(("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                    message(b":\x00") + message(b"\x22\x03a.b") + message(b"\x1a\x01x"), [])),
        # A header that is said once and meant 15 times in each of many calls that wait.
        "bomb": conversation(*[("/p.S/Remain", message(b""), [("x-a", "v" * 3000)] * (15 if i else 1)) for i in range(180)]),
        "control": b"\x01\x10" + http2.frame(http2.PING, 0, 0, b"12345678") + http2.window_update(0, 9)
                   + http2.frame(http2.RST_STREAM, 0, 1, b"\0\0\0\x08") + http2.frame(http2.GOAWAY, 0, 0, bytes(8)),
        "http1": b"\x00\xffGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    }
    for name, data in seeds.items():
        (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
