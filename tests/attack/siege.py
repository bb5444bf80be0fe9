"""A server under attack, and an honest client beside the attacker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from attackers import ROOT

import grpc
from support.server import Server
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, StartWorkflowExecutionRequest
from temporalio.api.workflowservice.v1.service_pb2_grpc import WorkflowServiceStub

HERE = Path(__file__).resolve().parent
CALL_SECONDS_MAX = 20
PACE_SECONDS = 0.005
# Keeps a core busy as an attacker does: what the honest client sees beside it is the quiet that attacks are compared with.
BURNER = "import time\nend = time.monotonic() + float(__import__('sys').argv[1])\nwhile time.monotonic() < end: pass"


@dataclass
class Quarter:
    """What the honest client saw during one attack, or beside the burner."""

    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    rss_before_kib: int = 0
    rss_peak_kib: int = 0
    cpu_seconds: float = 0.0

    def percentile(self, part: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def grown_mib(self) -> float:
        return (self.rss_peak_kib - self.rss_before_kib) / 1024


class Siege:
    def __init__(self) -> None:
        # The quarantine of a sanitizer's build would look like memory that attackers hold.
        os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=1:thread_local_quarantine_size_kb=64")
        self.server = Server(("--namespace", "default"))
        self.server.start()
        self.channel = grpc.insecure_channel(self.server.address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = WorkflowServiceStub(self.channel)
        self.started = 0
        self.honest_start()

    def close(self) -> None:
        self.channel.close()
        self.server.stop()

    def honest_start(self) -> None:
        """An acknowledged start; `audit` asks for all of them again."""
        self.stub.StartWorkflowExecution(
            StartWorkflowExecutionRequest(
                namespace="default", workflow_id=f"honest-{self.started}", request_id=f"r{self.started}",
                workflow_type=WorkflowType(name="Honest"), task_queue=TaskQueue(name="honest")),
            timeout=CALL_SECONDS_MAX, wait_for_ready=True)
        self.started += 1

    def honest_read(self, number: int) -> None:
        execution = WorkflowExecution(workflow_id=f"honest-{number}")
        answer = self.stub.DescribeWorkflowExecution(
            DescribeWorkflowExecutionRequest(namespace="default", execution=execution), timeout=CALL_SECONDS_MAX)
        assert answer.workflow_execution_info.history_length == 2

    def audit(self) -> None:
        for number in range(self.started):
            self.honest_read(number)

    def rss_kib(self) -> int:
        for line in Path(f"/proc/{self.server.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("the server is gone")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def beside(self, command: list[str]) -> tuple[Quarter, str]:
        """Calls at an even pace for as long as the command runs."""
        quarter = Quarter(rss_before_kib=self.rss_kib(), rss_peak_kib=self.rss_kib())
        cpu = self.cpu_seconds()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as other:
            calls = 0
            while other.poll() is None:
                began = time.monotonic()
                try:
                    if calls % 20 == 0:
                        self.honest_start()
                    else:
                        self.honest_read(calls % self.started)
                        quarter.milliseconds.append((time.monotonic() - began) * 1000)
                except grpc.RpcError as error:
                    quarter.failures.append(str(error.code()))
                calls += 1
                quarter.rss_peak_kib = max(quarter.rss_peak_kib, self.rss_kib())
                time.sleep(max(0.0, began + PACE_SECONDS - time.monotonic()))  # an even pace, nothing is awaited
            text = other.stdout.read()
        assert other.returncode == 0, f"{command[2]} broke: {text}"
        quarter.cpu_seconds = self.cpu_seconds() - cpu
        return quarter, text

    def quiet(self, seconds: float) -> Quarter:
        return self.beside([sys.executable, "-c", BURNER, str(seconds)])[0]

    def attacked(self, name: str, seconds: float) -> Quarter:
        ports = [address.rsplit(":", 1)[1] for address in (self.server.address, self.server.http_address)]
        quarter, text = self.beside([sys.executable, str(HERE / "attackers.py"), name, *ports, str(seconds)])
        said = json.loads(text)
        quarter.seen, quarter.slowest = said["seen"], said["slowest"]
        return quarter


__all__ = ["ROOT", "Quarter", "Siege"]
