"""Toolsets that are declared while the server runs, by the command line and by HTTP; and calls from the command line."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Client, Server, run, worker

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "cli"))
from processes import binary, clean_environment  # noqa: E402

FIXTURE = Path(__file__).parent / "mcp.json"
GREET = {
    "description": "Greets.",
    "input": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    "start": {"workflow": "Conformance", "args": ["greet", "{@}"], "id": "hello-{caller}-{name}"},
    "result": "raw",
}
TOOLSETS = "/api/v1/mcp/toolsets"
HELLO = {"task_queue": "conformance", "tools": {"hello": GREET}}


def perdure(server: Server, *arguments: str, **environment: str):
    where = {"TEMPORAL_ADDRESS": server.grpc, "PERDURE_MCP_URL": f"http://{server.http}/mcp"}
    return run(*arguments, environment=where | environment)


def ask(server: Server, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.http, timeout=60)
    text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
    connection.request(method, path, text, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    data = response.read()
    return response.status, json.loads(data) if response.headers["Content-Type"].endswith("json") else data.decode()


def serves(server: Server, toolset: str, tool: str) -> bool:
    """What was applied is served within moments: the gateway is told behind the answer."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        listed = ask(server, "GET", TOOLSETS)[1]["toolsets"]
        if any(each["name"] == toolset for each in listed):
            return tool in [each["name"] for each in Client(server, path=f"/mcp/{toolset}").result("tools/list")["tools"]]
    return False


# --- the command line ---


def test_a_file_is_applied_served_shown_and_deleted(worked: Server, tmp_path: Path) -> None:
    (tmp_path / "greeting.json").write_text(json.dumps(GREET["input"]))
    tool = GREET | {"input": {"$ref": "greeting.json"}}
    text = json.dumps({"defaults": {"task_queue": "conformance", "sync_wait": "9s"}, "toolsets": {"apart": {"tools": {"hi": tool}}}})
    file = tmp_path / "mcp.json"
    file.write_text("// with a comment\n" + text)
    applied = perdure(worked, "mcp", "apply", str(file))
    assert (applied.code, applied.out.startswith("Toolset apart applied, version ")) == (0, True), applied.err
    assert perdure(worked, "mcp", "apply", str(file)).out.startswith("Toolset apart is the same")
    document = json.loads(perdure(worked, "mcp", "show", "apart").out)
    assert document["tools"]["hi"]["input"] == GREET["input"], "the file it names has come along"
    assert document["defaults"] == {"task_queue": "conformance", "sync_wait": "9s"}
    assert serves(worked, "apart", "hi")
    shown = perdure(worked, "mcp", "show", "--output", "json").json
    assert [each["name"] for each in shown["toolsets"]] == ["apart"]
    called = perdure(worked, "mcp", "call", "hi", '{"name": "Ada"}', "--toolset", "apart")
    assert (called.code, called.out) == (0, "Hello, Ada!\n"), called.err
    assert perdure(worked, "mcp", "delete", "apart").out == "Toolset apart deleted\n"
    assert perdure(worked, "mcp", "delete", "apart").code == 1
    assert perdure(worked, "mcp", "show", "apart").code == 1


def test_a_wrong_file_is_refused_with_every_place(worked: Server, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text('{"toolsets": {"bad": {\n  "task_queue": "q",\n  "tools": {"one": {"strat": 1}, "two": {}}}}}')
    refused = perdure(worked, "mcp", "apply", str(file))
    assert refused.code == 1 and not refused.out
    assert f"{file}:3:" in refused.err and "/toolsets/bad/tools/one/strat" in refused.err
    assert "/toolsets/bad/tools/two" in refused.err and "nothing was applied" in refused.err
    file.write_text("{")
    assert "is not JSON" in perdure(worked, "mcp", "apply", str(file)).err
    file.write_text('{"tools": {}}')
    assert "--name" in perdure(worked, "mcp", "apply", str(file)).err
    assert perdure(worked, "mcp", "apply", str(tmp_path / "none.json")).code == 2
    assert perdure(worked, "mcp", "apply").code == 2


def test_one_toolset_by_name_and_a_name_that_the_file_has(worked: Server, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(HELLO))
    assert perdure(worked, "mcp", "apply", str(file), "--name", "single").code == 0
    assert serves(worked, "single", "hello")
    taken = perdure(worked, "mcp", "apply", str(file), "--name", "conformance")
    assert taken.code == 1 and "FAILED_PRECONDITION" in taken.err
    assert perdure(worked, "mcp", "apply", str(FIXTURE), "--name", "nothing").code == 2
    assert perdure(worked, "mcp", "delete", "single").code == 0


def test_what_is_served_is_listed_with_where_it_comes_from(worked: Server, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(HELLO))
    assert perdure(worked, "mcp", "apply", str(file), "--name", "listed").code == 0
    assert serves(worked, "listed", "hello")
    listed = perdure(worked, "mcp", "tools", "--output", "json").json
    sources = {each["name"]: each["source"] for each in listed}
    assert sources["conformance"] == "file" and sources["listed"] == "registry"
    rows = perdure(worked, "mcp", "tools", "--toolset", "listed").out.splitlines()
    assert len(rows) == 2 and rows[1].split()[:4] == ["listed", "hello", "start", "registry"]
    assert perdure(worked, "mcp", "tools", "--toolset", "none").code == 1
    assert perdure(worked, "mcp", "delete", "listed").code == 0


def test_calls_from_the_command_line(worked: Server) -> None:
    call = lambda *arguments, **more: perdure(worked, "mcp", "call", *arguments, "--toolset", "conformance", **more)  # noqa: E731
    assert call("greet", "--arg", "name=Grace").out == "Hello, Grace!\n"
    assert call("greet", '{"name": "Grace"}', "-o", "json").json["content"][0]["text"] == "Hello, Grace!"
    failed = call("greet", "--arg", "name=grace")
    assert failed.code == 1 and "/name" in failed.out, "what the tool says is its output; that it failed is the code"
    assert call("large", "--arg", "size=7").out == "xxxxxxx\n", "a number is a number"
    assert "there is no tool" in call("nothing").err
    assert call("greet", "[]").code == 2 and call("greet", "--arg", "name").code == 2
    assert perdure(worked, "mcp", "call", "greet", "--toolset", "none", "--arg", "name=A").code == 1
    assert perdure(worked, "mcp", "call", "greet", "--url", "http://127.0.0.1:1/mcp").code == 1


def test_a_call_that_takes_long_is_waited_for_over_legs_and_a_hand_off(worked: Server) -> None:
    """sync_wait is 300 ms and there are 2 legs: 1.5 s go over all of them and the handle's own."""
    done = perdure(worked, "mcp", "call", "slow_compute", '{"seconds": 1.5, "label": "cli"}', "--toolset", "conformance")
    assert done.code == 0 and done.out.strip(), done.err
    late = perdure(worked, "mcp", "call", "slow_compute", '{"seconds": 60, "label": "late"}', "--command-timeout", "500ms")
    assert late.code == 1 and "--command-timeout" in late.err


def test_a_call_outlives_the_server(server: Server) -> None:
    """The command is waiting when the server is killed: the restarted one gives it the answer, and there was one run."""
    with worker(server):
        environment = clean_environment(PERDURE_MCP_URL=f"http://{server.http}/mcp")
        command = [binary(), "mcp", "call", "confirm_delete", "--arg", "filename=x", "--toolset", "conformance"]
        waiting = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            until_run(server)
            server.kill()
            server.start()
            signal_answer(server)
            out, err = waiting.communicate(timeout=60)
            assert (waiting.returncode, out) == (0, "Answered: accept\n"), err
        finally:
            waiting.kill()
            waiting.wait()
    rows = run("workflow", "list", "--output", "json", "--address", server.grpc).json
    assert len(rows) == 1


def until_run(server: Server) -> None:
    """The run that the command has started is there."""
    while not run("workflow", "list", "--output", "json", "--address", server.grpc).json:
        pass


def signal_answer(server: Server) -> None:
    workflow = run("workflow", "list", "--output", "json", "--address", server.grpc).json[0]["execution"]["workflowId"]
    response = {"action": "accept", "content": {"confirm": True}}
    done = run(
        "workflow", "signal", "-w", workflow, "--name", "mcp.input", "--input", '"confirm"', "--input", json.dumps(response),
        "--address", server.grpc,
    )  # fmt: skip
    assert done.code == 0, done.err


# --- HTTP ---


def test_the_registry_by_http(worked: Server) -> None:
    status, first = ask(worked, "PUT", f"{TOOLSETS}/web", HELLO, If_None_Match="*")
    assert (status, first["changed"], first["name"]) == (200, True, "web"), first
    assert serves(worked, "web", "hello")
    assert ask(worked, "PUT", f"{TOOLSETS}/web", HELLO, If_None_Match="*")[0] == 412
    other = HELLO | {"title": "Other"}
    status, second = ask(worked, "PUT", f"{TOOLSETS}/web", other, If_Match=f'"{first["version"]}"')
    assert (status, second["version"]) == (200, first["version"] + 1)
    assert ask(worked, "PUT", f"{TOOLSETS}/web", HELLO, If_Match=f'"{first["version"]}"')[0] == 412
    status, shown = ask(worked, "GET", f"{TOOLSETS}/web")
    assert (status, shown["document"], shown["identity"]) == (200, other, "http:anonymous")
    listed = {each["name"]: each for each in ask(worked, "GET", TOOLSETS)[1]["toolsets"]}
    assert listed["web"]["source"] == "registry" and listed["conformance"]["source"] == "file"
    assert ask(worked, "DELETE", f"{TOOLSETS}/web", If_Match='"1000000"')[0] == 412
    assert ask(worked, "DELETE", f"{TOOLSETS}/web") == (200, {})
    assert ask(worked, "DELETE", f"{TOOLSETS}/web")[0] == 404
    assert ask(worked, "GET", f"{TOOLSETS}/web")[0] == 404


def test_a_wrong_document_by_http_says_where(worked: Server) -> None:
    status, answer = ask(worked, "PUT", f"{TOOLSETS}/wrong", '{"tools": {"a": {}, "b": {"x": 1}}}')
    assert status == 400 and "/tools/a" in answer["error"] and "/tools/b/x" in answer["error"]
    assert ask(worked, "PUT", f"{TOOLSETS}/wrong", "{")[0] == 400
    assert ask(worked, "PUT", f"{TOOLSETS}/not%20a%20name", HELLO)[0] == 400
    assert ask(worked, "PUT", f"{TOOLSETS}", HELLO)[0] == 400
    assert ask(worked, "PUT", f"{TOOLSETS}/wrong", HELLO, If_Match="3")[0] == 400
    assert ask(worked, "PUT", f"{TOOLSETS}/conformance", HELLO)[0] == 409, "the server's file has it"
    assert ask(worked, "DELETE", f"{TOOLSETS}/conformance")[0] == 409
    assert ask(worked, "PUT", f"{TOOLSETS}/wrong", HELLO, Origin="http://evil.example")[0] == 403
    assert ask(worked, "POST", f"{TOOLSETS}/wrong", HELLO)[0] == 405
    refused = ask(worked, "GET", f"{TOOLSETS}/conformance")
    assert refused[0] == 200 and refused[1]["source"] == "file"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with tokens of an operator and of a caller."""
    tokens, lines = {}, []
    for name, scopes in (("operator", "mcp:admin"), ("caller", "tools")):
        made = run("mcp", "token", name, scopes)
        tokens[name], line = made.out.splitlines()
        lines.append(line)
    (tmp_path / "tokens").write_text("\n".join(lines) + "\n")
    config = json.loads(FIXTURE.read_text().split("\n", 1)[1])
    config["auth"] = {"mode": "tokens", "tokens_file": str(tmp_path / "tokens")}
    (tmp_path / "mcp.json").write_text(json.dumps(config))
    running = Server(tmp_path, "--mcp-config", str(tmp_path / "mcp.json"))
    yield running, tokens
    running.stop()


def test_documents_are_for_operators(guarded: tuple[Server, dict[str, str]]) -> None:
    server, tokens = guarded
    bearer = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
    assert ask(server, "GET", TOOLSETS)[0] == 401
    assert ask(server, "PUT", f"{TOOLSETS}/x", HELLO)[0] == 401
    assert ask(server, "PUT", f"{TOOLSETS}/x", HELLO, **bearer["caller"])[0] == 403
    assert ask(server, "PUT", f"{TOOLSETS}/x", HELLO, **bearer["operator"])[0] == 200
    assert ask(server, "GET", f"{TOOLSETS}/x", **bearer["caller"])[0] == 403
    assert ask(server, "GET", TOOLSETS, **bearer["caller"])[0] == 200
    assert ask(server, "GET", "/mcp.schema.json")[0] == 200, "the schema is everybody's"
    assert "hello" not in ask(server, "GET", "/")[1], "the page is everybody's, too"
    assert perdure(server, "mcp", "tools").code == 1
    assert perdure(server, "mcp", "tools", PERDURE_MCP_TOKEN=tokens["caller"]).code == 0


def test_the_page_and_the_schema(worked: Server) -> None:
    page = ask(worked, "GET", "/")[1]
    assert "/mcp/conformance" in page and "confirm_delete" in page and page.endswith("</html>\n")
    status, schema = ask(worked, "GET", "/mcp.schema.json")
    published = Path(__file__).resolve().parents[3] / "docs" / "mcp.schema.json"
    assert status == 200 and schema == json.loads(published.read_text())
