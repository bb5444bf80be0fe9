"""The wire of both generations by a raw client: what no well-behaved client sends is here, too."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from gateway import LEGACY, MODERN, TASKS, Client, Server, run, worker


def command(server: Server, *arguments: str) -> Any:
    return run(*arguments, "--output", "json", "--address", server.grpc).json


def runs(server: Server, workflow_id: str) -> list[dict[str, Any]]:
    """The executions under an id, as the command line sees them."""
    rows = command(server, "workflow", "list")
    return [row for row in rows if row["execution"]["workflowId"] == workflow_id]


# --- revisions, headers, sessions ---


@pytest.mark.parametrize("asked", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_legacy_client_gets_the_revision_it_asked_for(worked: Server, asked: str) -> None:
    client = Client(worked, asked)
    assert client.initialize()["protocolVersion"] == asked
    result = client.call("greet", {"name": "Ada"})
    assert result["content"] == [{"type": "text", "text": "Hello, Ada!"}]
    assert "resultType" not in result


def test_an_unknown_legacy_revision_becomes_the_newest(worked: Server) -> None:
    reply = Client(worked, "1999-01-01").initialize()
    assert reply["protocolVersion"] == LEGACY


def test_modern_requests_need_meta_and_headers_that_agree(worked: Server) -> None:
    client = Client(worked)
    bare = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}}).encode()
    reply = client.send(bare, client.headers("tools/list", {}))
    assert (reply.status, reply.body()["error"]["code"]) == (400, -32602)
    whole = json.dumps(client.message("tools/list", {})).encode()
    for wrong in ({"Mcp-Method": "tools/call"}, {"MCP-Protocol-Version": "2025-11-25"}, {"Mcp-Method": ""}):
        reply = client.send(whole, client.headers("tools/list", {}) | wrong)
        assert (reply.status, reply.body()["error"]["code"]) == (400, -32020), wrong
    reply = client.post("tools/nothing")
    assert (reply.status, reply.body()["error"]["code"]) == (404, -32601)
    future = Client(worked, MODERN)
    message = future.message("tools/list", {})
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01"
    reply = future.send(json.dumps(message).encode(), {"MCP-Protocol-Version": "2031-01-01", "Mcp-Method": "tools/list"})
    answer = reply.body()["error"]
    assert (reply.status, answer["code"], answer["data"]["supported"]) == (400, -32022, [MODERN])


def test_two_lists_are_the_same_bytes_and_hints_are_modern(worked: Server) -> None:
    legacy = Client(worked, LEGACY)
    legacy.initialize()
    lists = [json.dumps(legacy.result("tools/list")) for _ in range(2)]
    assert lists[0] == lists[1] and "ttlMs" not in lists[0]
    modern = Client(worked).result("tools/list")
    assert modern["ttlMs"] > 0 and modern["cacheScope"] == "private"
    assert [tool["name"] for tool in modern["tools"]][-3:] == ["task_result", "task_status", "task_cancel"]


def test_a_session_outlives_the_server_and_is_not_forged(server: Server) -> None:
    client = Client(server, LEGACY)
    client.initialize()
    server.kill()
    server.start()
    assert client.result("tools/list")["tools"]
    genuine = client.session
    assert genuine is not None
    for forged in (genuine[:-2] + ("AA" if genuine[-2:] != "AA" else "BB"), "x", genuine * 2):
        client.session = forged
        assert client.post("tools/list").status == 404
    client.session = genuine
    assert client.send(None, client.headers("", {}), method="DELETE").status == 200
    assert client.post("tools/list").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b'"x"', b'{"jsonrpc":"1.0","id":1,"method":"ping"}', b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}', b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
        b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', b'{"jsonrpc":"2.0","id":"\xff","method":"ping"}',
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', b"[" * 10_000, b'{"a":' * 100_000,
    ],
)  # fmt: skip
def test_what_is_not_a_request_is_refused(worked: Server, body: bytes) -> None:
    reply = Client(worked).send(body, {})
    assert reply.status == 400
    assert reply.body()["error"]["code"] in (-32700, -32600)


def test_only_the_oldest_revision_has_batches(server: Server) -> None:
    client = Client(server, "2025-03-26")
    client.initialize()
    call = {"name": "slow_compute", "arguments": {"label": "batch"}, "_meta": {"progressToken": 1}}
    whole = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
        {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 4, "method": "nothing"},
        7,
    ]
    reply = client.send(json.dumps(whole).encode(), client.headers("", {}))
    answers = {answer["id"]: answer for answer in reply.body()}
    assert reply.status == 200 and set(answers) == {1, 2, 3, 4, None}
    assert answers[1]["result"] == {} and "task_result" in answers[2]["result"]["content"][0]["text"]
    assert [answers[key]["error"]["code"] for key in (3, 4, None)] == [-32600, -32601, -32600]
    assert len(runs(server, "slow-anonymous-batch")) == 1
    quiet = client.send(json.dumps(whole[1:2]).encode(), client.headers("", {}))
    assert quiet.status == 202
    assert client.send(json.dumps(whole[:1] * 101).encode(), client.headers("", {})).status == 400
    newer = Client(server, "2025-06-18")
    newer.initialize()
    assert newer.send(json.dumps(whole[:1]).encode(), newer.headers("", {})).status == 400


def test_a_batch_whose_client_goes_leaves_the_server_as_it_was(server: Server) -> None:
    client = Client(server, "2025-03-26")
    client.initialize()
    call = {"name": "held", "arguments": {"label": "gone"}}
    whole = [{"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": call} for n in range(5)]
    host, port = server.http.split(":")
    body = json.dumps(whole).encode()
    head = f"POST /mcp/conformance HTTP/1.1\r\nHost: {server.http}\r\nMcp-Session-Id: {client.session}\r\n"
    head += f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        while not runs(server, "held-anonymous-gone"):
            pass
    while cancel_requests(server, "held-anonymous-gone") < 1:
        pass
    assert client.result("ping") == {}


def test_a_body_that_is_too_large_is_refused_before_it_is_read(worked: Server) -> None:
    host, port = worked.http.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /mcp HTTP/1.1\r\nHost: {worked.http}\r\nContent-Length: {5 << 20}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


# --- calls ---


def test_arguments_that_do_not_fit_are_the_models_to_mend(worked: Server) -> None:
    result = Client(worked).call("greet", {"name": "ada"})
    assert result["isError"] and "/name" in result["content"][0]["text"]
    assert runs(worked, "greet-anonymous-ada") == []
    assert Client(worked).error("tools/call", name="nothing", arguments={})["code"] == -32602


def test_without_a_worker_there_are_legs_then_a_handle_then_the_result(server: Server) -> None:
    client = Client(server)
    arguments = {"seconds": 0, "label": "legs"}
    answer, states = client.call("slow_compute", arguments), []
    while answer["resultType"] == "input_required":
        assert "inputRequests" not in answer
        states.append(answer["requestState"])
        answer = client.call("slow_compute", arguments, requestState=states[-1])
    assert len(states) == 2
    handle = answer["structuredContent"]["handle"]
    status = client.call("task_status", {"handle": handle})
    assert "slow" in status["content"][0]["text"] or "conformance" in status["content"][0]["text"]
    with worker(server):
        while "handle" in (answer := client.call("task_result", {"handle": handle})).get("structuredContent", {}):
            pass
    assert answer["content"][0]["text"] == "Computed legs"
    assert len(runs(server, "slow-anonymous-legs")) == 1


def test_a_legacy_client_without_token_gets_a_handle(server: Server) -> None:
    client = Client(server, LEGACY)
    client.initialize()
    first, second = (client.call("slow_compute", {"seconds": 0, "label": "held"}) for _ in range(2))
    assert first["structuredContent"]["status"] == second["structuredContent"]["status"] == "working"
    with worker(server):
        handle = first["structuredContent"]["handle"]
        while "handle" in (answer := client.call("task_result", {"handle": handle})).get("structuredContent", {}):
            pass
    assert answer["content"][0]["text"] == "Computed held"
    assert len(runs(server, "slow-anonymous-held")) == 1


def test_request_state_is_for_one_call_of_one_caller(server: Server) -> None:
    client = Client(server)
    state = client.call("slow_compute", {"seconds": 0, "label": "a"})["requestState"]
    for name, arguments, given in (
        ("slow_compute", {"seconds": 0, "label": "b"}, state),
        ("greet", {"name": "A"}, state),
        ("slow_compute", {"seconds": 0, "label": "a"}, state[:-3] + "AAA"),
        ("slow_compute", {"seconds": 0, "label": "a"}, ""),
    ):
        assert client.error("tools/call", name=name, arguments=arguments, requestState=given)["code"] == -32602


def test_a_task_outlives_the_server_and_is_cancelled(server: Server) -> None:
    client = Client(server, capabilities=TASKS)
    task = client.call("slow_compute", {"seconds": 3600, "label": "task"})
    assert task["resultType"] == "task" and task["status"] == "working"
    server.kill()
    server.start()
    with worker(server):
        assert client.result("tasks/get", taskId=task["taskId"])["status"] == "working"
        assert client.result("tasks/cancel", taskId=task["taskId"])["resultType"] == "complete"
        while (now := client.result("tasks/get", taskId=task["taskId"]))["status"] == "working":
            pass
        assert now["status"] == "cancelled"
    assert client.error("tasks/get", taskId=task["taskId"][:-2] + "AA")["code"] == -32602
    assert Client(server).error("tasks/get", taskId=task["taskId"])["code"] == -32021


def test_a_question_is_answered_once_through_a_task(worked: Server) -> None:
    client = Client(worked, capabilities=TASKS)
    task = client.call("confirm_delete", {"filename": "once"})
    while (now := client.result("tasks/get", taskId=task["taskId"]))["status"] != "input_required":
        pass
    (key,) = now["inputRequests"]
    answer = {"action": "accept", "content": {"confirm": True}}
    for _ in range(2):
        client.result("tasks/update", taskId=task["taskId"], inputResponses={key: answer, "unknown": answer})
    while (now := client.result("tasks/get", taskId=task["taskId"]))["status"] == "working":
        pass
    assert now["result"]["content"][0]["text"] == "Answered: accept"


def test_a_modern_client_answers_by_calling_again(worked: Server) -> None:
    client = Client(worked, capabilities={"elicitation": {}})
    arguments = {"filename": "again"}
    answer = client.call("confirm_delete", arguments)
    while not answer.get("inputRequests"):
        answer = client.call("confirm_delete", arguments, requestState=answer["requestState"])
    (key,) = answer["inputRequests"]
    given = {key: {"action": "decline"}}
    answer = client.call("confirm_delete", arguments, requestState=answer["requestState"], inputResponses=given)
    while answer["resultType"] == "input_required":
        answer = client.call("confirm_delete", arguments, requestState=answer["requestState"])
    assert answer["content"][0]["text"] == "Answered: decline"


def test_a_legacy_client_is_asked_on_its_stream(worked: Server) -> None:
    client = Client(worked, LEGACY, {"elicitation": {}})
    client.initialize()
    reply = client.post("tools/call", name="confirm_delete", arguments={"filename": "stream"}, _meta={"progressToken": "t"})
    for message in reply.messages():
        if message.get("method") == "elicitation/create":
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": {"action": "accept", "content": {"confirm": True}}}
            assert client.send(json.dumps(answer).encode(), client.headers("", {})).status == 202
        elif "result" in message:
            assert message["result"]["content"][0]["text"] == "Answered: accept"
            return
    pytest.fail("the stream ended without a result")


def test_progress_grows_and_a_lost_stream_is_taken_up_again(worked: Server) -> None:
    client = Client(worked, LEGACY)
    client.initialize()
    reply = client.post("tools/call", name="test_tool_with_progress", arguments={}, _meta={"progressToken": 5})
    last = None
    for event in reply.events():
        last = event["id"]
        if event.get("data") and json.loads(event["data"]).get("method") == "notifications/progress":
            break
    reply.response.close()
    again = client.send(None, client.headers("", {}) | {"Last-Event-ID": last}, method="GET")
    assert again.status == 200
    seen = list(again.messages())
    numbers = [message["params"]["progress"] for message in seen if message.get("method") == "notifications/progress"]
    assert numbers == sorted(set(numbers))
    assert seen[-1]["result"]["content"][0]["text"] == "done"
    assert client.send(None, client.headers("", {}) | {"Last-Event-ID": "forged.1"}, method="GET").status == 404


def test_a_large_result_is_a_link_that_can_be_read(worked: Server) -> None:
    client = Client(worked)
    (link,) = client.call("large", {"size": 400_000})["content"]
    assert link["type"] == "resource_link"
    (content,) = client.result("resources/read", uri=link["uri"])["contents"]
    assert content["uri"] == link["uri"] and content["text"] == "x" * 400_000
    for uri in (link["uri"][:-1], link["uri"].replace("/result", "0/result"), "temporal://default/a", "temporal://%zz/a/b/result"):
        assert client.error("resources/read", uri=uri)["code"] == -32602


# --- what a client that goes away leaves behind ---


def cancel_requests(server: Server, workflow_id: str) -> int:
    events = command(server, "workflow", "show", "--workflow-id", workflow_id)["events"]
    return sum(event["eventType"].endswith("CANCEL_REQUESTED") for event in events)


def test_cancelled_detaches_or_cancels_as_declared(worked: Server) -> None:
    client = Client(worked, LEGACY)
    client.initialize()
    for tool, workflow_id, expected in (("held", "held-anonymous-gone", 1), ("slow_compute", "slow-anonymous-gone", 0)):
        meta = {"progressToken": tool}
        reply = client.post("tools/call", name=tool, arguments={"seconds": 3600, "label": "gone"}, _meta=meta)
        next(reply.events())
        request_id = next(client.ids) - 1
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
        assert client.send(json.dumps(note).encode(), client.headers("", {})).status == 202
        assert not any("result" in message for message in reply.messages())
        while cancel_requests(worked, workflow_id) < expected:
            pass
        assert cancel_requests(worked, workflow_id) == expected


def test_a_stop_gives_the_last_word(server: Server) -> None:
    listening = Client(server).post("subscriptions/listen", notifications={"toolsListChanged": True})
    messages = listening.messages()
    assert next(messages)["method"] == "notifications/subscriptions/acknowledged"
    waiting = Client(server).post("tools/call", name="held", arguments={"label": "x"}, _meta={"progressToken": 1})
    assert next(waiting.messages())["method"] == "notifications/progress"
    server.stop()
    assert next(messages)["result"]["resultType"] == "complete"
    assert waiting.body()["result"]["resultType"] == "input_required"


def test_a_change_of_the_file_is_told_once(tmp_path: Path) -> None:
    config = tmp_path / "mcp.json"
    whole = (Path(__file__).parent / "mcp.json").read_text()
    config.write_text(whole)
    server = Server(tmp_path, "--mcp-config", str(config))
    try:
        messages = Client(server).post("subscriptions/listen", notifications={"toolsListChanged": True}).messages()
        next(messages)
        config.write_text("{")
        assert server.process is not None
        config.write_text(whole.replace('"held"', '"kept"'))
        assert next(messages)["method"] == "notifications/tools/list_changed"
        names = [tool["name"] for tool in Client(server).result("tools/list")["tools"]]
        assert "kept" in names and "held" not in names
    finally:
        server.stop()


# --- callers ---


def test_one_callers_task_is_nothing_to_another(tmp_path: Path) -> None:
    tokens = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("ada", "bob")}
    lines = [f"{name} {hashlib.sha256(token.encode()).hexdigest()} *" for name, token in tokens.items()]
    (tmp_path / "tokens").write_text("\n".join(lines) + "\n")
    config = tmp_path / "mcp.json"
    whole = (Path(__file__).parent / "mcp.json").read_text()
    auth = json.dumps({"mode": "tokens", "tokens_file": str(tmp_path / "tokens")})
    config.write_text(whole.replace('"toolsets"', f'"auth": {auth}, "toolsets"', 1))
    server = Server(tmp_path, "--mcp-config", str(config))
    try:
        ada, bob = (Client(server, capabilities=TASKS, token=tokens[name]) for name in ("ada", "bob"))
        assert Client(server).post("tools/list").status == 401
        task = ada.call("slow_compute", {"label": "mine"})
        assert ada.result("tasks/get", taskId=task["taskId"])["status"] == "working"
        for method in ("tasks/get", "tasks/cancel"):
            assert bob.error(method, taskId=task["taskId"])["code"] == -32602
        assert bob.error("tasks/update", taskId=task["taskId"], inputResponses={})["code"] == -32602
    finally:
        server.stop()
