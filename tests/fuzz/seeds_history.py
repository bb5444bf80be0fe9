"""Writes a corpus for fuzz_history out of store files: each run's snapshot and transitions.

    python tests/fuzz/seeds_history.py DIRECTORY FILE.db...
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from pathlib import Path

SIZE_MAX = 8192
WORKFLOW, TASK_QUEUE, NAMESPACE = b"\x40", b"\x18", b"\x10"  # the choices of the first byte


def sized(data: bytes | None) -> bytes:
    data = data or b""
    return len(data).to_bytes(2, "little") + data


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def head(snapshot: bytes | None) -> bytes:
    """The snapshot as its kind knows it, and the event id to come: stored, it stands behind a version and that id."""
    if not snapshot:
        return sized(b"") + (1).to_bytes(2, "little")
    _, at = varint(snapshot, 0)
    next_event_id, at = varint(snapshot, at)
    return sized(snapshot[at:]) + (next_event_id & 0xFFFF).to_bytes(2, "little")


def inputs(path: Path):
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for number, snapshot, of in store.execute("SELECT number, snapshot, snapshot_transition FROM run"):
        rows = store.execute(
            "SELECT event_count, events, delta FROM transition_log WHERE branch = ? AND number > ? ORDER BY number",
            (number, of),
        )
        data = WORKFLOW + head(snapshot)
        for event_count, events, delta in rows:
            piece = event_count.to_bytes(2, "little") + sized(events) + sized(delta)
            if len(data) + len(piece) > SIZE_MAX:
                break
            data += piece
        yield data
    for kind, state in store.execute("SELECT kind, state FROM entity"):
        if kind in (2, 6):
            yield (NAMESPACE if kind == 2 else TASK_QUEUE) + sized(state) + bytes(2)
    row = store.execute("SELECT event_count, delta, events FROM transition_log WHERE event_count > 1 LIMIT 1").fetchone()
    if row is not None and len(row[1] or b"") < 256:
        yield b"\0" + row[0].to_bytes(4, "little") + bytes([len(row[1] or b"")]) + (row[1] or b"") + row[2]


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for path in sys.argv[2:]:
        for data in inputs(Path(path)):
            (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)


if __name__ == "__main__":
    main()
