"""Every client command, as a shell sees it."""

from __future__ import annotations

import json
import subprocess
import uuid

import pytest

from processes import binary, clean_environment, free_port, run

IDLE = ("--type", "Nobody", "--task-queue", "nobody-polls")


def events_of(perdure, name: str, *more: str) -> list[dict]:
    done = perdure("workflow", "show", "-w", name, "--output", "json", *more)
    assert done.code == 0, done
    return done.json["events"]


def started_attributes(perdure, name: str) -> dict:
    return events_of(perdure, name)[0]["workflowExecutionStartedEventAttributes"]


def start_idle(perdure, name: str, *more: str) -> dict:
    done = perdure("workflow", "start", "-w", name, *IDLE, "--output", "json", *more)
    assert done.code == 0, done
    return done.json


# --- help, and command lines that are wrong


def test_help_names_every_command(server):
    text = run("--help")
    assert text.code == 0
    for command in ("workflow start", "workflow signal-with-start", "operator namespace update", "operator cluster system"):
        assert f"perdure {command}" in text.out
    assert run("help").out == run("-h").out == text.out


def every_command() -> list[str]:
    lines = run("reference", "cli").out.splitlines()
    titles = [line.removeprefix("## perdure ").split() for line in lines if line.startswith("## perdure ")]
    return [" ".join(word for word in words if word.islower()) for words in titles]  # operands are in capitals


def test_each_command_explains_itself_and_the_reference_has_all():
    commands = every_command()
    assert len(commands) == len(set(commands)) >= 29
    for command in commands:
        done = run(*command.split(), "--help")
        assert done.code == 0 and done.err == "", done
        # What works on a file has no server whose answers could be printed in several ways; what a host of MCP starts
        # prints nothing but its protocol.
        silent = command.startswith("store ") or command in ("mcp stdio", "mcp token")
        output = "--json" if command == "store verify" else "" if silent else "--output"
        assert done.out.startswith(f"perdure {command}") and output in done.out, done


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nonsense"], "unknown command: nonsense"),
        (["workflow", "nonsense"], "unknown command: workflow nonsense"),
        (["workflow", "start"], "required: --type"),
        (["workflow", "start", "--type", "T"], "required: --task-queue"),
        (["workflow", "signal", "-w", "x"], "required: --name"),
        (["workflow", "query", "-w", "x"], "required: --name"),
        (["workflow", "show"], "required: --workflow-id"),
        (["workflow", "list", "--nonsense"], "unknown argument: --nonsense"),
        (["workflow", "list", "word"], "unknown argument: word"),
        (["workflow", "list", "--query"], "a value is missing behind --query"),
        (["workflow", "list", "--query", "a", "--query", "b"], "given too often: --query"),
        (["workflow", "show", "-w", "x", "--follow=yes"], "takes no value: --follow"),
        (["workflow", "show", "-w", "x", "--follow", "--reverse"], "--follow goes forward"),
        (["workflow", "list", "--limit", "0"], "not a positive number: 0"),
        (["workflow", "list", "--limit", "-1"], "not a positive number: -1"),
        (["workflow", "list", "--limit", "9x"], "not a positive number: 9x"),
        (["workflow", "list", "--output", "xml"], "text, json, jsonl or none, not xml"),
        (["workflow", "list", "--address", "nowhere"], "not HOST:PORT: nowhere"),
        (["workflow", "list", "--command-timeout", "soon"], "--command-timeout is no duration"),
        (["workflow", "start", *IDLE, "--input", "abc"], "not JSON"),
        (["workflow", "start", *IDLE, "--input", '{"a":}'], "not JSON"),
        (["workflow", "start", *IDLE, "--input-file", "/nonexistent/file"], "/nonexistent/file: No such file"),
        (["workflow", "start", *IDLE, "--input-file", "/"], "/: cannot be read"),
        (["workflow", "start", *IDLE, "--memo", "x"], "not KEY=JSON: x"),
        (["workflow", "start", *IDLE, "--memo", "=1"], "not KEY=JSON: =1"),
        (["workflow", "start", *IDLE, "--memo", "k=v"], "not JSON"),
        (["workflow", "start", *IDLE, "--search-attribute", "k=v"], "not JSON"),
        (["workflow", "start", *IDLE, "--run-timeout", "10"], "not a duration (10s, 1h30m): 10"),
        (["workflow", "start", *IDLE, "--run-timeout", "nans"], "not a duration"),
        (["workflow", "start", *IDLE, "--run-timeout", "-5s"], "not a duration"),
        (["workflow", "start", *IDLE, "--run-timeout", "1e30h"], "not a duration"),
        (["workflow", "start", *IDLE, "--id-reuse-policy", "Maybe"], "no such value: Maybe"),
        (["workflow", "start", *IDLE, "--id-conflict-policy", "Maybe"], "no such value: Maybe"),
        (["workflow", "query", "-w", "x", "--name", "q", "--reject-condition", "never"], "no such value: never"),
        (["operator", "namespace", "create", "a", "b"], "given too often: --namespace"),
        (["operator", "namespace", "create", "a", "--retention", "long"], "not a duration"),
        (["compat", "--html"], "--text, --markdown or --output json"),
        (["reference", "everything"], "cli, configuration, limits, metrics, mcp or mcp-schema"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(perdure, arguments, said):
    done = perdure(*arguments)
    assert done.code == 2 and said in done.err, done


def test_version_and_compat():
    version = run("version")
    assert version.code == 0 and version.out.startswith("perdure ") and run("--version").out == version.out
    rows = run("compat", "--output", "json").json
    served = {row["rpc"]: row["served"] for row in rows}
    assert served["StartWorkflowExecution"] != "no" and len(rows) > 100
    text, markdown = run("compat"), run("compat", "--markdown")
    assert text.code == 0 and "StartWorkflowExecution" in text.out
    assert markdown.code == 0 and "| StartWorkflowExecution |" in markdown.out


# --- where the server is


def test_an_unreachable_server_is_named_and_exit_code_1(name):
    nobody = f"127.0.0.1:{free_port()}"
    for command in (["workflow", "list"], ["workflow", "start", *IDLE], ["operator", "cluster", "health"]):
        done = run(*command, "--address", nobody, "--output", "json")
        assert done.code == 1 and "UNAVAILABLE" in done.err and nobody in done.err, done
        assert done.out == ""


def test_address_and_namespace_from_the_environment(server):
    port = server.grpc.rpartition(":")[2]
    assert run("operator", "cluster", "health", "--address", f"localhost:{port}").code == 0
    there = {"TEMPORAL_ADDRESS": server.grpc}
    space = f"space-{uuid.uuid4()}"
    assert run("operator", "namespace", "create", "--namespace", space, environment=there).code == 0
    inside = there | {"TEMPORAL_NAMESPACE": space}
    started = run("workflow", "start", *IDLE, "-o", "json", environment=inside)
    assert started.json["namespace"] == space, started
    assert run("workflow", "count", environment=inside).out == "Total: 1\n"
    # A flag wins over the variable.
    elsewhere = run("workflow", "count", "-n", "no-such-namespace", environment=inside)
    assert elsewhere.code == 1 and "NOT_FOUND" in elsewhere.err, elsewhere
    assert run("workflow", "count", "--address", server.grpc, environment={"TEMPORAL_ADDRESS": "127.0.0.1:1"}).code == 0


def test_command_timeout_ends_a_wait(perdure, name):
    start_idle(perdure, name)
    done = perdure("workflow", "result", "-w", name, "--command-timeout", "200ms")
    assert done.code == 1 and "DEADLINE_EXCEEDED" in done.err, done


# --- start


def test_start_says_what_it_started(perdure, name):
    text = perdure("workflow", "start", "-w", name, *IDLE)
    fields = dict(line.split(maxsplit=1) for line in text.out.splitlines())
    assert text.code == 0 and fields["WorkflowId"] == name and fields["Type"] == "Nobody", text
    assert fields["TaskQueue"] == "nobody-polls" and fields["Namespace"] == "default"
    made_up = perdure("workflow", "start", *IDLE, "-o", "json").json
    assert uuid.UUID(made_up["workflowId"]) and uuid.UUID(made_up["runId"])
    assert made_up | {"workflowId": 0, "runId": 0} == {
        "workflowId": 0, "runId": 0, "type": "Nobody", "taskQueue": "nobody-polls", "namespace": "default", "started": True,
    }


def test_start_takes_every_flag(perdure, name, tmp_path):
    (tmp_path / "argument.json").write_text('{"from": "a file", "ü": [1, null]}')
    attribute = f"Attribute{uuid.uuid4().hex}"
    assert perdure("operator", "search-attribute", "create", "--name", attribute, "--type", "Keyword").code == 0
    start_idle(
        perdure, name, "--input", "1", "--input=\"-two\"", "--input", "12345678901234567890123",
        "--input-file", str(tmp_path / "argument.json"), "--execution-timeout", "2h", "--run-timeout", "1h30m",
        "--task-timeout", "5s", "--start-delay", "1d", "--memo", 'colour="blau"', "--memo", "count=3",
        "--search-attribute", f'{attribute}="x"', "--headers", 'trace="t1"', "--static-summary", "what it is",
        "--static-details", 'more "about" it', "--identity", "me@here", "--fail-existing",
    )  # fmt: skip
    events = events_of(perdure, name)
    first = events[0]["workflowExecutionStartedEventAttributes"]
    inputs = [json.loads(base64(payload["data"])) for payload in first["input"]["payloads"]]
    assert inputs == [1, "-two", 12345678901234567890123, {"from": "a file", "ü": [1, None]}]
    assert first["workflowExecutionTimeout"] == "7200s" and first["workflowRunTimeout"] == "5400s"
    assert first["workflowTaskTimeout"] == "5s" and first["firstWorkflowTaskBackoff"] == "86400s"
    assert {key: base64(field["data"]) for key, field in first["memo"]["fields"].items()} == {"colour": '"blau"', "count": "3"}
    assert base64(first["searchAttributes"]["indexedFields"][attribute]["data"]) == '"x"'
    assert base64(first["header"]["fields"]["trace"]["data"]) == '"t1"'
    assert first["identity"] == "me@here"
    assert base64(events[0]["userMetadata"]["summary"]["data"]) == '"what it is"'
    assert json.loads(base64(events[0]["userMetadata"]["details"]["data"])) == 'more "about" it'


def base64(text: str) -> str:
    import base64 as module

    return module.b64decode(text).decode()


def test_cron(perdure, name):
    start_idle(perdure, name, "--cron", "0 12 * * *")
    assert started_attributes(perdure, name)["cronSchedule"] == "0 12 * * *"
    wrong = perdure("workflow", "start", *IDLE, "--cron", "at noon")
    assert wrong.code == 1 and "INVALID_ARGUMENT" in wrong.err, wrong


def test_id_policies(perdure, name):
    first = start_idle(perdure, name)
    again = perdure("workflow", "start", "-w", name, *IDLE)
    assert again.code == 1 and "ALREADY_EXISTS" in again.err, again
    used = start_idle(perdure, name, "--id-conflict-policy", "UseExisting")
    assert used["runId"] == first["runId"] and used["started"] is False
    text = perdure("workflow", "start", "-w", name, *IDLE, "--id-conflict-policy", "UseExisting")
    assert "(it was running already)" in text.out
    other = start_idle(perdure, name, "--id-conflict-policy", "TerminateExisting")
    assert other["runId"] != first["runId"] and other["started"] is True
    assert perdure("workflow", "terminate", "-w", name).code == 0
    refused = perdure("workflow", "start", "-w", name, *IDLE, "--id-reuse-policy", "RejectDuplicate")
    assert refused.code == 1 and "ALREADY_EXISTS" in refused.err, refused
    assert start_idle(perdure, name, "--id-reuse-policy", "AllowDuplicateFailedOnly")["started"] is True


def test_what_the_server_refuses_is_exit_code_1(perdure):
    empty = perdure("workflow", "start", "-w", "x" * 1001, *IDLE)
    assert empty.code == 1 and "INVALID_ARGUMENT" in empty.err, empty
    nobody = perdure("workflow", "describe", "-w", "no-such-workflow")
    assert nobody.code == 1 and "NOT_FOUND" in nobody.err and nobody.out == "", nobody


# --- execute and result


def test_execute_prints_the_result(perdure, worker_queue, name):
    done = perdure("workflow", "execute", "-w", name, "--type", "Any", "-t", worker_queue, "-i", '"ü"', "-i", "[1,2]")
    assert done.code == 0 and json.loads(done.out) == ["ü", [1, 2]], done
    whole = perdure("workflow", "result", "-w", name, "-o", "json").json
    assert whole["result"] == ["ü", [1, 2]] and whole["status"] == "COMPLETED" and whole["workflowId"] == name
    assert whole["closeEvent"]["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"
    assert uuid.UUID(whole["runId"])
    line = perdure("workflow", "result", "-w", name, "-r", whole["runId"], "-o", "jsonl").out
    assert line.count("\n") == 1 and json.loads(line) == whole
    nothing = perdure("workflow", "execute", "--type", "Nothing", "-t", worker_queue, "-o", "json")
    assert nothing.code == 0 and nothing.json["result"] is None
    assert perdure("workflow", "execute", "--name", "Nothing", "-t", worker_queue).out == "null\n"


def test_a_failure_is_told_with_its_causes(perdure, worker_queue, name):
    done = perdure("workflow", "execute", "-w", name, "--type", "Fail", "-t", worker_queue)
    assert done.code == 1, done
    assert done.out == "failure: the outer failure (Outer)\n  cause: the inner reason (Inner)\n"
    assert done.err == "perdure: the workflow ended with WorkflowExecutionFailed\n"
    whole = perdure("workflow", "result", "-w", name, "-o", "json")
    failure = whole.json["closeEvent"]["workflowExecutionFailedEventAttributes"]["failure"]
    assert whole.code == 1 and whole.json["status"] == "FAILED" and failure["cause"]["message"] == "the inner reason"


def test_the_result_of_a_terminated_workflow(perdure, name):
    start_idle(perdure, name)
    ended = perdure("workflow", "terminate", "-w", name, "--reason", "no longer wanted")
    assert ended.code == 0 and ended.out == "Terminated\n", ended
    done = perdure("workflow", "result", "-w", name)
    assert done.code == 1 and "reason: no longer wanted" in done.out and "Terminated" in done.err, done
    twice = perdure("workflow", "terminate", "-w", name)
    assert twice.code == 1 and "NOT_FOUND" in twice.err, twice


def test_the_result_of_a_chain_is_that_of_its_end(perdure, worker_queue, name):
    done = perdure("workflow", "execute", "-w", name, "--type", "Chain", "-t", worker_queue, "-i", "3", "-o", "json")
    assert done.code == 0 and done.json["result"] == "the end of the chain", done
    runs = perdure("workflow", "list", "-q", f"WorkflowId = '{name}'", "-o", "json").json
    first = min(runs, key=lambda run: run["startTime"])["execution"]["runId"]
    assert len(runs) == 4 and first != done.json["runId"]
    followed = perdure("workflow", "result", "-w", name, "-r", first, "-o", "json").json
    assert followed["result"] == "the end of the chain" and followed["runId"] == done.json["runId"]


def test_a_wait_goes_on_over_a_restart_of_the_server(start_server, name):
    server = start_server()
    there = {"TEMPORAL_ADDRESS": server.grpc}
    assert run("workflow", "start", "-w", name, *IDLE, environment=there).code == 0
    follower = subprocess.Popen(
        [binary(), "workflow", "show", "-w", name, "--follow", "--output", "jsonl"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(**there),
    )  # fmt: skip
    try:
        # It has both events there are, so it waits for the third when the server goes.
        assert [json.loads(follower.stdout.readline())["eventId"] for _ in range(2)] == ["1", "2"]
        server.kill()
        server.start()
        assert run("workflow", "terminate", "-w", name, environment=there).code == 0
        rest, errors = follower.communicate(timeout=60)
        assert follower.returncode == 0, errors
        assert [json.loads(line)["eventType"] for line in rest.splitlines()] == ["EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED"]
    finally:
        if follower.poll() is None:
            follower.kill()
        follower.communicate()


# --- show, describe, list, count


def test_show(perdure, name):
    start_idle(perdure, name)
    lines = perdure("workflow", "show", "-w", name).out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert lines[0].endswith("WorkflowExecutionStarted") and lines[1].endswith("WorkflowTaskScheduled")
    detailed = perdure("workflow", "show", "-w", name, "--detailed").out
    assert '"workflowExecutionStartedEventAttributes"' in detailed
    assert [event["eventId"] for event in events_of(perdure, name)] == ["1", "2"]
    assert [event["eventId"] for event in events_of(perdure, name, "--reverse")] == ["2", "1"]
    perdure("workflow", "terminate", "-w", name)
    followed = events_of(perdure, name, "--follow")
    assert [event["eventType"] for event in followed][-1] == "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED"


def test_long_histories_come_whole(perdure, name):
    start_idle(perdure, name)
    for number in range(40):
        large = json.dumps("x" * 100_000)
        assert perdure("workflow", "signal", "-w", name, "--name", "grow", "--input", large).code == 0
    ids = [int(event["eventId"]) for event in events_of(perdure, name)]
    assert ids == list(range(1, 43))
    assert [int(event["eventId"]) for event in events_of(perdure, name, "--reverse")] == ids[::-1]


def test_describe(perdure, worker_queue, name):
    start_idle(perdure, name, "--memo", "m=1")
    text = perdure("workflow", "describe", "-w", name).out
    fields = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert fields["WorkflowId"] == name and fields["Status"] == "Running" and fields["Close"] == "-"
    assert fields["TaskQueue"] == "nobody-polls" and fields["Pending"].endswith("attempt 1")
    whole = perdure("workflow", "describe", "-w", name, "-o", "json").json
    assert whole["workflowExecutionInfo"]["execution"]["workflowId"] == name
    assert whole["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_RUNNING"
    assert base64(whole["workflowExecutionInfo"]["memo"]["fields"]["m"]["data"]) == "1"


def test_describe_tells_what_an_activity_fails_with(perdure, worker_queue, name):
    done = perdure("workflow", "start", "-w", name, "--type", "Refused", "-t", worker_queue)
    assert done.code == 0, done
    for _ in range(500):
        text = perdure("workflow", "describe", "-w", name).out
        if "attempt 2" in text:
            break
    assert "refuse, attempt 2" in text and "failure: the shop is shut (Shut)" in text
    pending = perdure("workflow", "describe", "-w", name, "-o", "json").json["pendingActivities"]
    assert pending[0]["activityType"]["name"] == "refuse" and pending[0]["attempt"] == 2


def described(perdure, name: str, *run: str) -> dict:
    done = perdure("workflow", "describe", "-w", name, *run, "-o", "json")
    assert done.code == 0, done
    return done.json


def test_pause_and_unpause(perdure, name):
    start_idle(perdure, name)
    assert perdure("workflow", "pause", "-w", name, "--reason", "look at it").out == "Paused\n"
    seen = described(perdure, name)
    assert seen["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_PAUSED"
    assert seen["workflowExtendedInfo"]["pauseInfo"]["reason"] == "look at it"
    assert perdure("workflow", "pause", "-w", name).code == 1
    assert perdure("workflow", "unpause", "-w", name, "-o", "json").json == {}
    assert perdure("workflow", "unpause", "-w", name).code == 1
    types = [event["eventType"] for event in events_of(perdure, name)]
    assert types[-2:] == ["EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED", "EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED"]


def test_update_options(perdure, name):
    start_idle(perdure, name)
    update = ("workflow", "update-options", "-w", name, "--versioning-override-behavior")
    assert perdure(*update, "auto_upgrade").out == "Updated\n"
    override = described(perdure, name)["workflowExecutionInfo"]["versioningInfo"]["versioningOverride"]
    assert override["autoUpgrade"]
    assert perdure(*update, "unspecified", "-o", "json").json["workflowExecutionOptions"] == {}
    assert "versioningInfo" not in described(perdure, name)["workflowExecutionInfo"]
    pinned = perdure(*update, "pinned", "--versioning-override-deployment-name", "d", "--versioning-override-build-id", "b")
    assert pinned.code == 1 and "FAILED_PRECONDITION" in pinned.err
    assert perdure(*update, "nonsense").code == 2


def the_activity(perdure, name: str, attempt: int = 1) -> dict:
    """The pending activity, from this attempt on."""
    for _ in range(500):
        pending = described(perdure, name).get("pendingActivities", [])
        if pending and pending[0]["attempt"] >= attempt:
            return pending[0]
    raise AssertionError(f"attempt {attempt} never came")


def test_operating_on_an_activity(perdure, worker_queue, name):
    perdure("workflow", "start", "-w", name, "--type", "Refused", "--task-queue", worker_queue)
    seen = the_activity(perdure, name, attempt=2)  # in a backoff of an hour
    target = ("-w", name, "-a", seen["activityId"])
    assert perdure("activity", "pause", *target, "--reason", "why", "--identity", "op").out == "Paused\n"
    seen = the_activity(perdure, name)
    assert seen["paused"] and seen["pauseInfo"]["manual"] == {"identity": "op", "reason": "why"}
    assert ", paused" in perdure("workflow", "describe", "-w", name).out
    update = ("activity", "update-options", *target)
    done = perdure(*update, "--start-to-close-timeout", "77s", "--retry-maximum-attempts", "3", "--task-queue", "nobody")
    assert done.code == 0 and "StartToCloseTimeout     0h01m17s" in done.out and "MaximumAttempts         3" in done.out, done
    assert the_activity(perdure, name)["activityOptions"]["taskQueue"]["name"] == "nobody"
    assert perdure(*update, "--retry-backoff-coefficient", "x").code == 2
    assert perdure(*update, "--retry-backoff-coefficient", "0.5").code == 1
    assert perdure("activity", "reset", *target, "--keep-paused").out == "Reset\n"
    assert the_activity(perdure, name)["attempt"] == 1
    assert perdure("activity", "unpause", *target, "--reset-heartbeats").out == "Unpaused\n"
    assert not the_activity(perdure, name).get("paused")
    restored = perdure(*update, "--restore-original-options", "-o", "json").json["activityOptions"]
    assert restored["taskQueue"]["name"] == worker_queue
    missing = perdure("activity", "pause", "-w", name, "-a", "none")
    assert missing.code == 1 and "NOT_FOUND" in missing.err
    assert perdure("activity", "pause", "-w", name).code == 2
    assert perdure("workflow", "terminate", "-w", name).code == 0


def test_list_and_count(perdure):
    queue = f"queue {uuid.uuid4()}"
    names = {f"listed {number} {uuid.uuid4()}" for number in range(7)}
    for one in names:
        assert perdure("workflow", "start", "-w", one, "--type", "Listed", "-t", queue).code == 0
    ended = sorted(names)[0]
    assert perdure("workflow", "terminate", "-w", ended).code == 0
    mine = f"TaskQueue = '{queue}'"
    ids = lambda listed: {each["execution"]["workflowId"] for each in listed}  # noqa: E731
    assert ids(perdure("workflow", "list", "-q", mine, "-o", "json").json) == names
    assert ids(perdure("workflow", "list", "-q", mine, "--page-size", "2", "-o", "json").json) == names
    assert len(perdure("workflow", "list", "-q", mine, "--limit", "3", "--page-size", "2", "-o", "json").json) == 3
    running = perdure("workflow", "list", "--query", f"{mine} AND ExecutionStatus = 'Running'", "-o", "jsonl").out
    assert ids(json.loads(line) for line in running.splitlines()) == names - {ended}
    text = perdure("workflow", "list", "-q", mine).out.splitlines()
    assert text[0].split() == ["Status", "WorkflowId", "Type", "Start"] and len(text) == 8
    assert sum(line.startswith("Terminated ") and ended in line for line in text) == 1
    assert perdure("workflow", "count", "-q", mine).out == "Total: 7\n"
    assert perdure("workflow", "count", "-q", mine, "-o", "json").json == {"count": "7"}
    assert perdure("workflow", "list", "-q", mine + " AND WorkflowId = 'x'", "-o", "json").json == []
    none = perdure("workflow", "list", "-q", mine, "-o", "none")
    assert none.code == 0 and none.out == ""
    for command in ("list", "count"):
        wrong = perdure("workflow", command, "-q", "ExecutionStatus = ", "-o", "json")
        assert wrong.code == 1 and wrong.out == "" and "INVALID_ARGUMENT" in wrong.err, wrong


# --- signal, query, cancel, terminate


def test_signal_query_and_the_end(perdure, worker_queue, name):
    perdure("workflow", "start", "-w", name, "--type", "Wait", "-t", worker_queue)
    told = perdure("workflow", "signal", "-w", name, "--name", "tell", "--input", '{"a": "ü"}')
    assert told.code == 0 and told.out == "Signaled\n", told
    assert perdure("workflow", "signal", "-w", name, "--type", "tell", "-i", "2", "-o", "json").json == {}
    asked = perdure("workflow", "query", "-w", name, "--name", "state")
    assert asked.code == 0 and json.loads(asked.out) == [{"a": "ü"}, 2], asked
    assert perdure("workflow", "query", "-w", name, "--type", "repeat", "-i", '"q"').out == '"q"\n'
    whole = perdure("workflow", "query", "-w", name, "--name", "repeat", "-i", '"q"', "-o", "json").json
    assert base64(whole["queryResult"]["payloads"][0]["data"]) == '"q"'
    broken = perdure("workflow", "query", "-w", name, "--name", "broken")
    assert broken.code == 1 and "this query never works" in broken.err and broken.out == "", broken
    assert perdure("workflow", "signal", "-w", name, "--name", "tell", "-i", '"end"').code == 0
    assert json.loads(perdure("workflow", "result", "-w", name).out) == [{"a": "ü"}, 2, "end"]
    # A closed workflow still answers, unless that is not wanted.
    assert json.loads(perdure("workflow", "query", "-w", name, "--name", "state").out)[-1] == "end"
    rejected = perdure("workflow", "query", "-w", name, "--name", "state", "--reject-condition", "not_open")
    assert rejected.code == 1 and "query rejected: the workflow is Completed" in rejected.err, rejected
    clean = perdure("workflow", "query", "-w", name, "--name", "state", "--reject-condition", "not_completed_cleanly")
    assert clean.code == 0, clean
    late = perdure("workflow", "signal", "-w", name, "--name", "tell", "-i", "3")
    assert late.code == 1 and "NOT_FOUND" in late.err, late


def test_signal_with_start(perdure, worker_queue, name):
    command = ["workflow", "signal-with-start", "-w", name, "--type", "Wait", "-t", worker_queue, "--signal-name", "tell"]
    first = perdure(*command, "--signal-input", "1", "-o", "json")
    second = perdure(*command, "--signal-input", '"end"', "-o", "json")
    assert first.code == second.code == 0 and first.json["runId"] == second.json["runId"], (first, second)
    assert first.json["started"] is True and second.json["started"] is False
    assert json.loads(perdure("workflow", "result", "-w", name).out) == [1, "end"]


def test_updates(perdure, worker_queue, name):
    perdure("workflow", "start", "-w", name, "--type", "Wait", "-t", worker_queue)
    command = ["workflow", "update"]
    said = perdure(*command, "execute", "-w", name, "--name", "say", "-i", '"a"')
    assert said.code == 0 and said.out == "1\n", said
    refused = perdure(*command, "execute", "-w", name, "--name", "say", "-i", '"nothing"')
    assert refused.code == 1 and "nothing to say" in refused.out and "the update failed" in refused.err, refused
    whole = perdure(*command, "execute", "-w", name, "--name", "say", "-i", '"b"', "--update-id", "b", "-o", "json").json
    assert whole["result"] == 2 and whole["updateId"] == "b" and whole["name"] == "say" and whole["stage"] == "Completed"
    started = perdure(*command, "start", "-w", name, "--name", "until", "-i", '"end"', "--update-id", "wait", "--wait-for-stage", "accepted")
    assert started.code == 0 and "UpdateId    wait\nStage       Accepted\n" in started.out, started
    seen = perdure(*command, "describe", "-w", name, "--update-id", "wait", "-o", "json").json
    assert seen["stage"] == "Accepted" and "result" not in seen
    assert perdure("workflow", "signal", "-w", name, "--name", "tell", "-i", '"end"').code == 0
    result = perdure(*command, "result", "-w", name, "--update-id", "wait")
    assert result.code == 0 and result.out == '"heard end"\n', result
    unknown = perdure(*command, "describe", "-w", name, "--update-id", "nobody")
    assert unknown.code == 1 and "NOT_FOUND" in unknown.err, unknown
    assert perdure(*command, "execute", "-w", name).code == 2


def test_update_with_start(perdure, worker_queue, name):
    common = ["-w", name, "--type", "Wait", "-t", worker_queue, "--update-name", "say", "--id-conflict-policy", "UseExisting"]
    first = perdure("workflow", "execute-update-with-start", *common, "--update-input", "1", "-o", "json")
    second = perdure("workflow", "start-update-with-start", *common, "--update-input", '"end"', "--update-wait-for-stage", "accepted")
    assert first.code == second.code == 0 and first.json["result"] == 1, (first, second)
    assert first.json["runId"] in second.out
    assert json.loads(perdure("workflow", "result", "-w", name).out) == [1, "end"]
    taken = perdure("workflow", "execute-update-with-start", *common, "--update-input", "2", "--id-reuse-policy", "RejectDuplicate")
    assert taken.code == 1 and "ALREADY_EXISTS" in taken.err, taken


def test_cancel(perdure, worker_queue, name):
    perdure("workflow", "start", "-w", name, "--type", "Wait", "-t", worker_queue)
    asked = perdure("workflow", "cancel", "-w", name, "--reason", "changed my mind")
    assert asked.code == 0 and asked.out == "Cancel requested\n", asked
    done = perdure("workflow", "result", "-w", name, "-o", "json")
    assert done.code == 1 and done.json["status"] == "CANCELED" and "WorkflowExecutionCanceled" in done.err, done
    requested = [event for event in events_of(perdure, name) if event["eventType"].endswith("CANCEL_REQUESTED")]
    assert requested[0]["workflowExecutionCancelRequestedEventAttributes"]["cause"] == "changed my mind"
    start_idle(perdure, f"{name} 2")
    assert perdure("workflow", "cancel", "-w", f"{name} 2", "-o", "json").json == {}
    assert perdure("workflow", "terminate", "-w", f"{name} 2", "-o", "json").json == {}


def test_a_run_id_picks_the_run(perdure, name):
    first, second = start_idle(perdure, name)["runId"], None
    perdure("workflow", "terminate", "-w", name)
    second = start_idle(perdure, name)["runId"]
    assert perdure("workflow", "terminate", "-w", name, "-r", first).code == 1
    shown = lambda run: len(events_of(perdure, name, "-r", run))  # noqa: E731
    assert (shown(first), shown(second)) == (3, 2)
    wrong = perdure("workflow", "show", "-w", name, "-r", "no-run-id", "-o", "json")
    assert wrong.code == 1 and "INVALID_ARGUMENT" in wrong.err and wrong.out == "", wrong


# --- reset, delete


def test_reset(perdure, worker_queue, name):
    base = perdure("workflow", "start", "-w", name, "--type", "Wait", "-t", worker_queue, "-o", "json").json["runId"]
    for number in ("1", "2"):
        assert perdure("workflow", "signal", "-w", name, "--name", "tell", "-i", number).code == 0
        assert perdure("workflow", "query", "-w", name, "--name", "state").code == 0  # so the signal is worked on
    command = ["workflow", "reset", "-w", name, "--reason", "once more"]
    said = perdure(*command, "--type", "FirstWorkflowTask")
    assert said.code == 0 and said.out.startswith("RunId  "), said
    first = said.out.split()[1]
    assert first != base and described(perdure, name)["workflowExecutionInfo"]["execution"]["runId"] == first
    kinds = [event["eventType"] for event in events_of(perdure, name, "-r", first)]
    assert kinds.count("EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED") == 2
    assert described(perdure, name, "-r", base)["workflowExtendedInfo"]["resetRunId"] == first
    # All that came later is left out; the state is that of the first task.
    again = perdure(*command, "-r", base, "--type", "LastWorkflowTask", "--reapply-exclude", "All", "-o", "json")
    last = again.json["runId"]
    assert json.loads(perdure("workflow", "query", "-w", name, "--name", "state").out) == [1, 2]
    by_event = perdure(*command, "-r", base, "-e", "4", "--reapply-exclude", "Signal", "--reapply-exclude", "Update")
    assert by_event.code == 0, by_event
    assert json.loads(perdure("workflow", "query", "-w", name, "--name", "state").out) == []
    failed = [e for e in events_of(perdure, name, "-r", last) if e["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED"]
    assert failed[0]["workflowTaskFailedEventAttributes"]["failure"]["message"] == "once more"
    points = described(perdure, name)["workflowExecutionInfo"]["autoResetPoints"]["points"]
    known = perdure(*command, "-r", base, "--type", "BuildId", "--build-id", points[0].get("buildId", "none"))
    assert known.code == 0, known
    assert perdure(*command, "--type", "BuildId", "--build-id", "no such build").code == 1
    assert perdure(*command, "--type", "LastContinuedAsNew").code == 1
    assert perdure(*command, "-e", "4", "--type", "FirstWorkflowTask").code == 2
    assert perdure(*command).code == 2
    assert perdure(*command, "-e", "4", "--reapply-exclude", "Nothing").code == 2
    assert perdure("workflow", "reset", "-w", name, "-e", "4").code == 2, "a reason is required"


def test_reset_to_the_run_before(perdure, worker_queue, name):
    perdure("workflow", "execute", "-w", name, "--type", "Chain", "-t", worker_queue, "-i", "1")
    said = perdure("workflow", "reset", "-w", name, "--reason", "again", "--type", "LastContinuedAsNew", "-o", "json")
    assert said.code == 0, said
    assert perdure("workflow", "result", "-w", name).out == '"the end of the chain"\n'


def test_delete(perdure, name):
    first = start_idle(perdure, name)["runId"]
    deleted = perdure("workflow", "delete", "-w", name)
    assert deleted.code == 0 and deleted.out == "Deleted\n", deleted
    assert "NOT_FOUND" in perdure("workflow", "describe", "-w", name).err
    assert perdure("workflow", "delete", "-w", name, "-r", first).code == 1
    start_idle(perdure, name)
    assert perdure("workflow", "delete", "-w", name, "-o", "json").json == {}
    assert perdure("workflow", "list", "--query", f"WorkflowId = '{name}'", "-o", "json").json == []


# --- operator


def test_namespaces(perdure):
    space = f"space-{uuid.uuid4()}"
    made = perdure("operator", "namespace", "create", space, "--retention", "48h", "--description", "d", "--email", "a@b")
    assert made.code == 0 and made.out == f"Namespace {space} registered\n", made
    again = perdure("operator", "namespace", "create", "--namespace", space)
    assert again.code == 1 and "ALREADY_EXISTS" in again.err, again
    text = perdure("operator", "namespace", "describe", space).out
    fields = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert fields | {"Id": 0} == {
        "Name": space, "Id": 0, "State": "Registered", "Description": "d", "Owner": "a@b", "Retention": "48h00m00s",
    }  # fmt: skip
    changed = perdure("operator", "namespace", "update", space, "--retention", "3d", "-o", "json").json
    assert changed["config"]["workflowExecutionRetentionTtl"] == "259200s"
    assert changed["namespaceInfo"]["description"] == "d" and changed["namespaceInfo"]["ownerEmail"] == "a@b"
    described = perdure("operator", "namespace", "describe", space, "-o", "json").json
    assert described["config"] == changed["config"]
    limit = "perdure.limit.signals-max"
    changed = perdure("operator", "namespace", "update", space, "--data", f"{limit}=7", "--data", "team=x=y", "-o", "json").json
    assert changed["namespaceInfo"]["data"] == {limit: "7", "team": "x=y"}
    assert f"Data         {limit}=7\n" in perdure("operator", "namespace", "describe", space).out
    changed = perdure("operator", "namespace", "update", space, "--data", f"{limit}=", "-o", "json").json
    assert changed["namespaceInfo"]["data"] == {"team": "x=y"}
    refused = perdure("operator", "namespace", "update", space, "--data", f"{limit}=none")
    assert refused.code != 0 and "Limit signals-max is a number from 1 to 1000000" in refused.err
    assert perdure("operator", "namespace", "update", space, "--data", "nothing").code != 0
    made = perdure("operator", "namespace", "create", f"{space}-3", "--data", f"{limit}=9")
    assert made.code == 0, made
    listed = perdure("operator", "namespace", "list", "-o", "json").json
    assert {"default", space} <= {each["namespaceInfo"]["name"] for each in listed}
    assert f"Name         {space}\n" in perdure("operator", "namespace", "list").out
    assert perdure("operator", "namespace", "create", f"{space}-2", "-o", "json").json == {}
    unknown = perdure("operator", "namespace", "describe", "no-such-namespace")
    assert unknown.code == 1 and "NOT_FOUND" in unknown.err, unknown


def test_search_attributes(perdure, name):
    attribute = f"Attribute{uuid.uuid4().hex}"
    command = ["operator", "search-attribute"]
    made = perdure(*command, "create", "--name", attribute, "--type", "KeywordList")
    assert made.code == 0 and made.out == "Search attribute added\n", made
    assert [attribute, "KeywordList"] in [line.split() for line in perdure(*command, "list").out.splitlines()]
    listed = perdure(*command, "list", "-o", "json").json
    assert listed["customAttributes"][attribute] == "INDEXED_VALUE_TYPE_KEYWORD_LIST"
    assert listed["systemAttributes"]["WorkflowType"] == "INDEXED_VALUE_TYPE_KEYWORD"
    assert perdure(*command, "remove", "--name", attribute, "--yes", "-o", "json").json == {}
    assert attribute not in perdure(*command, "list").out
    undefined = perdure("workflow", "start", "-w", name, *IDLE, "--search-attribute", f'{attribute}="x"')
    assert undefined.code == 1 and attribute in undefined.err, undefined
    wrong = perdure(*command, "create", "--name", "A", "--type", "Words")
    assert wrong.code == 2 and "no such value: Words" in wrong.err, wrong


def test_cluster(perdure):
    assert perdure("operator", "cluster", "health").out == "SERVING\n"
    assert perdure("operator", "cluster", "health", "-o", "json").json == {"status": "SERVING"}
    system = perdure("operator", "cluster", "system", "-o", "json").json
    assert system["capabilities"]["signalAndQueryHeader"] is True
    assert "signalAndQueryHeader" in perdure("operator", "cluster", "system").out
    assert perdure("operator", "cluster", "describe", "-o", "json").json["persistenceStore"] == "sqlite"
    assert "PersistenceStore  sqlite" in perdure("operator", "cluster", "describe").out


def test_output_that_cannot_be_written_is_no_success(server):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [binary(), "workflow", "list", "--address", server.grpc], stdout=full, stderr=subprocess.PIPE, text=True,
            env=clean_environment(),
        )  # fmt: skip
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr


# --- task queues and workers


def test_a_task_queue_shows_its_backlog_and_its_settings(server, perdure):
    queue = f"queue-{uuid.uuid4()}"
    for at in range(2):
        assert perdure("workflow", "start", "-w", f"{queue}-{at}", "--type", "T", "-t", queue).code == 0
    done = perdure("task-queue", "describe", "-t", queue, "-o", "json")
    assert done.code == 0, done
    assert done.json["workflow"]["stats"]["approximateBacklogCount"] == "2"
    assert done.json["activity"]["stats"].get("approximateBacklogCount", "0") == "0"
    text = perdure("task-queue", "describe", queue, "--task-queue-type", "workflow")
    assert text.code == 0 and "workflow tasks" in text.out and "priority 3" in text.out, text
    of_activities = ("-t", queue, "--task-queue-type", "activity")
    done = perdure(
        "task-queue", "config", "set", *of_activities, "--queue-rps-limit", "5.5", "--queue-rps-limit-reason", "why",
        "--fairness-key-weight", "a=2.5", "--fairness-key-weight", "b=3", "-o", "json",
    )
    assert done.code == 0, done
    assert done.json["queueRateLimit"]["rateLimit"]["requestsPerSecond"] == 5.5
    assert done.json["queueRateLimit"]["metadata"]["reason"] == "why"
    assert perdure("task-queue", "config", "set", *of_activities, "--fairness-key-weight", "a=default").code == 0
    done = perdure("task-queue", "config", "get", *of_activities)
    assert "5.500/s" in done.out and "Weight of b" in done.out and "Weight of a" not in done.out, done
    assert perdure("task-queue", "config", "set", *of_activities, "--queue-rps-limit", "default").code == 0
    wrong = perdure("task-queue", "config", "set", *of_activities, "--queue-rps-limit", "many")
    assert wrong.code != 0 and "--queue-rps-limit" in wrong.err, wrong
    done = perdure("task-queue", "list-partition", queue, "-o", "json")
    assert done.json["workflowTaskQueuePartitions"][0]["key"] == queue


def test_workers_are_listed_by_their_heartbeats(server, perdure):
    assert perdure("worker", "list", "--query", "TaskQueue = 'nobody'", "-o", "json").json == []
    wrong = perdure("worker", "list", "--query", "Nonsense")
    assert wrong.code != 0 and "invalid query" in wrong.err, wrong
    unknown = perdure("worker", "describe", "nobody")
    assert unknown.code != 0 and "WorkerInstanceKey" in unknown.err, unknown
