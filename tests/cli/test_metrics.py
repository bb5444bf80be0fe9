"""GET /metrics: the text as Prometheus reads it, the names that dashboards ask for, and what they say of known work."""

from __future__ import annotations

import concurrent.futures
import json
import re
import urllib.error
import urllib.request
import uuid

import pytest

from processes import Server, run

# The names in the published dashboards of the reference server for what this server has, too.
DASHBOARDS = """
    service_requests service_errors service_latency_bucket service_errors_entity_not_found
    service_errors_execution_already_started service_errors_resource_exhausted service_error_with_type
    service_pending_requests persistence_requests persistence_errors persistence_latency_bucket
    workflow_success workflow_failed workflow_timeout workflow_cancel workflow_terminate
    start_timer_command record_marker_command child_workflow_command signal_external_workflow_command
    continue_as_new_command upsert_workflow_search_attributes_command modify_workflow_properties_command
    numshards_gauge restarts approximate_backlog_count approximate_backlog_age_seconds poll_success
    poll_success_sync schedule_action_success schedule_missed_catchup_window schedule_buffer_overruns
""".split()
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape, read as strictly as the format says."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\n")
        self.types: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset], float] = {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                assert len(line.split(" ", 3)) == 4, line
            elif line.startswith("# TYPE "):
                name, kind = line.split(" ")[2:]
                assert name not in self.types, f"{name} twice"
                self.types[name] = kind
            else:
                found = SAMPLE.fullmatch(line)
                assert found, line
                name, labels, value = found.groups()
                key = (name, frozenset(LABEL.findall(labels or "")))
                assert key not in self.samples, f"{line} twice"
                family = name if name in self.types else re.sub("_(bucket|sum|count)$", "", name)
                assert family in self.types, f"{name} has no type"
                self.samples[key] = float(value)

    def get(self, name: str, **labels: str) -> float:
        """The sum of the series that have these labels."""
        return sum(value for (at, has), value in self.samples.items() if at == name and set(labels.items()) <= has)

    def check_histograms(self) -> None:
        for (name, labels), value in self.samples.items():
            if not name.endswith("_count") or self.types.get(name[:-6]) != "histogram":
                continue
            rows = sorted((float(dict(has)["le"]), count) for (at, has), count in self.samples.items()
                          if at == name[:-6] + "_bucket" and labels < has)
            assert rows[-1] == (float("inf"), value)
            assert [count for _, count in rows] == sorted(count for _, count in rows)


def scrape(server: Server) -> Metrics:
    with urllib.request.urlopen(f"http://{server.http}/metrics", timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Metrics(answer.read().decode())


def client(server: Server, *arguments: str, expect: int = 0) -> None:
    done = run(*arguments, environment={"TEMPORAL_ADDRESS": server.grpc})
    assert done.code == expect, done


@pytest.fixture
def own(start_server) -> Server:
    return start_server("--namespace", "other")


def test_calls_runs_and_errors_are_counted(own) -> None:
    before = scrape(own)
    for name in DASHBOARDS:
        assert name in before.types or re.sub("_bucket$", "", name) in before.types, name
    for identity in ("one", "two", "three"):
        client(own, "workflow", "start", "--type", "Nobody", "--task-queue", "metrics", "--workflow-id", identity)
    client(own, "workflow", "start", "--type", "Nobody", "--task-queue", "metrics", "--workflow-id", "one",
           "--namespace", "other")
    client(own, "workflow", "terminate", "--workflow-id", "two")
    client(own, "workflow", "describe", "--workflow-id", "none", expect=1)
    after = scrape(own)
    after.check_histograms()
    start = {"operation": "StartWorkflowExecution", "service_name": "frontend"}
    assert after.get("service_requests", namespace="default", **start) == 3
    assert after.get("service_requests", namespace="other", **start) == 1
    assert after.get("service_latency_count", namespace="default", **start) == 3
    assert 0 < after.get("service_latency_sum", namespace="default", **start) < 30
    assert after.get("service_error_with_type", error_type="serviceerror_NotFound", namespace="default") == 1
    assert after.get("service_errors_entity_not_found", operation="DescribeWorkflowExecution") == 1
    assert after.get("service_errors") == 0  # it was the caller's mistake
    assert after.get("workflow_terminate", namespace="default", operation="CompletionStats") == 1
    assert after.get("perdure_history_events_total", event_type="WORKFLOW_EXECUTION_STARTED") == 4
    assert after.get("persistence_requests", operation="Commit") > before.get("persistence_requests", operation="Commit")
    assert after.get("perdure_store_commits_total") > 0 and after.get("persistence_errors") == 0
    assert after.get("perdure_cache_entries", cache="runs") >= 4 and after.get("perdure_cache_bytes", cache="sqlite") > 0
    assert after.get("process_resident_memory_bytes") > 1e6 and after.get("perdure_lanes_late") == 0
    assert after.get("restarts") == 1


def test_a_worker_is_seen(server, perdure, worker_queue) -> None:
    identity = f"metrics-{uuid.uuid4()}"
    before = scrape(server)
    done = perdure("workflow", "execute", "--type", "Chain", "--task-queue", worker_queue, "--workflow-id", identity,
                   "--input", "2")
    assert done.code == 0, done
    after = scrape(server)

    def grew(name: str, **labels: str) -> float:
        return after.get(name, **labels) - before.get(name, **labels)

    assert grew("workflow_continued_as_new", namespace="default") >= 2
    assert grew("workflow_success", namespace="default") >= 1
    assert grew("poll_success", task_type="Workflow") >= 3
    assert grew("task_dispatch_latency_count", task_type="Workflow") >= 3
    assert after.get("perdure_queue_pollers", taskqueue=worker_queue, task_type="Workflow") >= 1
    after.check_histograms()


def test_what_became_of_a_schedules_times_is_counted(own) -> None:
    action = ("--workflow-id", "w", "--type", "T", "--task-queue", "nobody-polls")
    client(own, "schedule", "create", "--schedule-id", "s", *action)
    before = scrape(own)
    for _ in range(3):  # one starts, and the others find it running
        client(own, "schedule", "trigger", "--schedule-id", "s")
    after = scrape(own)
    while not after.get("schedule_action_success", namespace="default"):
        after = scrape(own)
    assert after.get("schedule_action_delay_count", namespace="default") == 1
    skipped = "perdure_schedule_skipped_total"
    assert after.get(skipped, namespace="default") - before.get(skipped, namespace="default") == 2
    assert after.get("schedule_action_errors") == after.get("schedule_missed_catchup_window") == 0


def test_series_are_bounded_whatever_clients_name(own) -> None:
    """Namespaces that are not there, methods that are not there, and many namespaces make no series of their own."""
    before = len(scrape(own).samples)
    for i in range(40):
        client(own, "workflow", "describe", "--workflow-id", "x", "--namespace", f"no-{i}", expect=1)
    assert len(scrape(own).samples) < before + 60
    for i in range(40):
        client(own, "operator", "namespace", "create", "--namespace", f"many-{i}")
    after = scrape(own)
    namespaces = {value for _, labels in after.samples for label, value in labels if label == "namespace"}
    assert len(namespaces) <= 32
    client(own, "workflow", "start", "--type", "T", "--task-queue", "q", "--workflow-id", "x", "--namespace", "many-39")
    assert scrape(own).get("service_requests", namespace="_other_", operation="StartWorkflowExecution") == 1


def test_only_names_of_the_loopback_are_answered(own) -> None:
    request = urllib.request.Request(f"http://{own.http}/metrics", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 403


def readiness(server: Server) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{server.http}/readyz", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_many_ask_at_once(own) -> None:
    """Scrapes and looks at readiness share what the lanes are asked."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        scrapes = [pool.submit(scrape, own) for _ in range(32)]
        looks = [pool.submit(readiness, own) for _ in range(32)]
    assert all(each.result().get("restarts") == 1 for each in scrapes)
    assert all(each.result() == (200, "ok\n") for each in looks)


def test_the_log_is_json_when_asked_for(start_server, name) -> None:
    server = start_server("--log-format", "json", "--limit", "memo-size-warn=1")
    client(server, "workflow", "start", "--type", "T", "--task-queue", "q", "--workflow-id", name, "--memo", 'a="b c"')
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines][-1] == "server.stopping", server.tail()
    assert lines[-1]["signal"] == 15 and lines[-1]["level"] == "info"
