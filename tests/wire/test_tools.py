"""Tools that others wrote: grpcurl by server reflection, and h2spec's conformance cases. They are built by `go install`,
pinned, into build/tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {
    "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
    "h2spec": "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible",
}
# Why each of these misses is one on purpose (5.1/5 and 6.1/2 only when the answer is out before the second frame comes). Frames for streams that both sides have ended: nghttp2 recognises DATA there
# only if it keeps every closed stream up to the stream limit, which is 1 MiB a connection; DATA is ignored, and counted in
# the connection's window. Priorities of RFC 7540 are switched off by a setting, so their dependencies are not looked at.
MISSES = {
    "http2/5.1/5", "http2/5.1/8", "http2/5.1/11", "http2/6.1/2", "http2/5.3.1/2",
}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    directory = Path(os.environ.get("PERDURE_TOOLS", ROOT / "build" / "tools"))
    path = directory / name
    if not path.exists():
        if shutil.which("go") is None:
            pytest.skip("go is not installed, so the tool cannot be built")
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "install", TOOLS[name]], check=True, cwd="/", env={**os.environ, "GOBIN": str(directory)})
    return str(path)


def grpcurl(server, *arguments: str) -> subprocess.CompletedProcess[str]:
    *flags, target = arguments if len(arguments) > 1 else ("", arguments[0])
    command = [tool("grpcurl"), "-plaintext", *[flag for flag in flags if flag], server.address, *target.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_grpcurl_lists_and_describes(server):
    services = grpcurl(server, "list").stdout.split()
    assert "temporal.api.workflowservice.v1.WorkflowService" in services
    assert "grpc.health.v1.Health" in services
    methods = grpcurl(server, "list temporal.api.workflowservice.v1.WorkflowService").stdout.split()
    assert "temporal.api.workflowservice.v1.WorkflowService.StartWorkflowExecution" in methods
    text = grpcurl(server, "describe temporal.api.workflowservice.v1.StartWorkflowExecutionRequest").stdout
    assert re.search(r"string workflow_id = 2", text)


def test_grpcurl_calls(server):
    done = grpcurl(server, "-d", '{"service": ""}', "grpc.health.v1.Health/Check")
    assert json.loads(done.stdout) == {"status": "SERVING"}
    failed = grpcurl(server, "-d", '{"service": "nobody"}', "grpc.health.v1.Health/Check")
    assert failed.returncode != 0 and "NotFound" in failed.stderr


def test_h2spec(start_server, tmp_path):
    # h2spec fills the connection with streams before it reads an answer: with few streams it gets there.
    echo = start_server("streams_per_connection_max=100")
    report = tmp_path / "h2spec.xml"
    subprocess.run([tool("h2spec"), "-h", "127.0.0.1", "-p", str(echo.port), "-o", "1", "-j", str(report)],
                   capture_output=True, text=True, timeout=300)
    text = report.read_text()
    cases = re.findall(r'<testcase package="([^"]+)" classname="([^"]*)"[^>]*?(?:/>|>(.*?)</testcase>)', text, re.S)
    assert len(cases) == 145
    position: dict[str, int] = {}
    failed = set()
    for package, _, inside in cases:
        position[package] = position.get(package, 0) + 1
        if "<failure" in (inside or "") or "<error" in (inside or ""):
            failed.add(f"{package}/{position[package]}")
    assert failed <= MISSES, f"beyond the known misses: {sorted(failed - MISSES)}"
