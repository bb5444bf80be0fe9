"""The server's codec, through build target codec_tool (tests/contract/codec_tool.c)."""
import os
import pathlib
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def tool_path():
    given = os.environ.get("PERDURE_CODEC_TOOL")
    candidates = [pathlib.Path(given)] if given else sorted(
        ROOT.glob("build/*/codec_tool"), key=lambda p: p.stat().st_mtime, reverse=True)
    if not candidates or not candidates[0].exists():
        raise RuntimeError("build target codec_tool first, or name it in PERDURE_CODEC_TOOL")
    return candidates[0]


class Codec:
    def __init__(self):
        self.process = subprocess.Popen([str(tool_path())], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0
        self.process.stdout.close()

    def call(self, command, name="", data=b""):
        """(status, output); the output is the error's message when the status is not 0."""
        encoded = name.encode()
        self.process.stdin.write(command.encode() + struct.pack("<I", len(encoded)) + encoded +
                                 struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        head = self.process.stdout.read(5)
        assert len(head) == 5, "codec_tool died on %r of %s: %r" % (command, name, data[:200])
        status, size = head[0], struct.unpack("<I", head[1:])[0]
        return status, self.process.stdout.read(size)
