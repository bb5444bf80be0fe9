"""grpcurl against the real server: it learns every message by reflection, knowing nothing of us. Built by `go install`, pinned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid

import pytest

from processes import ROOT, run

PACKAGE = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
SERVICE = "temporal.api.workflowservice.v1.WorkflowService"


@pytest.fixture(scope="module")
def grpcurl(server):
    path = shutil.which("grpcurl")
    if path is None:
        directory = os.environ.get("PERDURE_TOOLS", str(ROOT / "build" / "tools"))
        path = os.path.join(directory, "grpcurl")
        if not os.path.exists(path):
            if shutil.which("go") is None:
                pytest.skip("go is not installed, so grpcurl cannot be built")
            os.makedirs(directory, exist_ok=True)
            subprocess.run(["go", "install", PACKAGE], check=True, cwd="/", env={**os.environ, "GOBIN": directory})

    def call(*target: str, data: dict | None = None, metadata: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        flags = [part for entry in metadata for part in ("-H", entry)]
        body = ["-d", json.dumps(data)] if data is not None else []
        return subprocess.run(
            [path, "-plaintext", *flags, *body, server.grpc, *target], capture_output=True, text=True, timeout=60
        )

    return call


def rpcs() -> dict[str, set[str]]:
    services: dict[str, set[str]] = {}
    for row in run("compat", "--output", "json").json:
        services.setdefault(row["service"], set()).add(row["rpc"])
    return services


def test_list(grpcurl):
    listed = grpcurl("list").stdout.split()
    known = rpcs()
    assert set(known) <= set(listed) and "grpc.health.v1.Health" in listed, listed
    assert {"perdure.api.v1.ToolService", SERVICE} < set(known) and len(known) == 4, known
    for service, methods in known.items():
        assert set(grpcurl("list", service).stdout.split()) == {f"{service}.{method}" for method in methods}


def test_describe(grpcurl):
    service = grpcurl("describe", SERVICE)
    assert service.returncode == 0 and "rpc StartWorkflowExecution" in service.stdout, service.stderr
    message = grpcurl("describe", "temporal.api.workflowservice.v1.StartWorkflowExecutionRequest").stdout
    assert "string workflow_id = 2" in message and ".temporal.api.common.v1.Payloads input" in message
    enum = grpcurl("describe", "temporal.api.enums.v1.EventType").stdout
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED = 1;" in enum
    assert grpcurl("describe", "temporal.api.NoSuchThing").returncode != 0


def test_call(grpcurl):
    name = f"größe {uuid.uuid4()}"
    start = {
        "namespace": "default", "workflowId": name, "workflowType": {"name": "T"}, "taskQueue": {"name": "nobody-polls"},
        "requestId": str(uuid.uuid4()),
        "input": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]},
    }  # fmt: skip
    started = grpcurl(f"{SERVICE}/StartWorkflowExecution", data=start, metadata=("client-name: grpcurl",))
    assert started.returncode == 0, started.stderr
    run_id = json.loads(started.stdout)["runId"]
    history = grpcurl(
        f"{SERVICE}/GetWorkflowExecutionHistory",
        data={"namespace": "default", "execution": {"workflowId": name, "runId": run_id}},
    )
    events = json.loads(history.stdout)["history"]["events"]
    assert [event["eventType"] for event in events] == ["EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"]
    assert events[0]["workflowExecutionStartedEventAttributes"]["input"] == start["input"]


def test_errors_carry_their_details(grpcurl):
    start = {
        "namespace": "default", "workflowId": f"w {uuid.uuid4()}", "workflowType": {"name": "T"},
        "taskQueue": {"name": "nobody-polls"}, "requestId": "first",
    }  # fmt: skip
    run_id = json.loads(grpcurl(f"{SERVICE}/StartWorkflowExecution", data=start).stdout)["runId"]
    again = grpcurl(f"{SERVICE}/StartWorkflowExecution", data=start | {"requestId": "second"})
    assert again.returncode != 0 and "AlreadyExists" in again.stderr
    # Only who decodes the detail's type by reflection can print this.
    assert "WorkflowExecutionAlreadyStartedFailure" in again.stderr and run_id in again.stderr
    table = run("compat", "--output", "json").json
    not_yet = next(row for row in table if row["served"] not in ("yes", "partial"))
    refused = grpcurl(f"{not_yet['service']}/{not_yet['rpc']}", data={})
    assert refused.returncode != 0 and "Unimplemented" in refused.stderr and not_yet["rpc"] in refused.stderr, refused.stderr
