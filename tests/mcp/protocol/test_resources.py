"""Runs as resources, and being told when a resource changes: of both generations."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import LEGACY, TASKS, Client, Server, worker
from temporalio.client import Client as Workflows

YES = {"action": "accept", "content": {"confirm": True}}


def status_of(client: Client, address: str) -> dict[str, Any]:
    (content,) = client.result("resources/read", uri=address)["contents"]
    assert content["mimeType"] == "application/json"
    return json.loads(content["text"])


def begin(client: Client, filename: str) -> tuple[str, str]:
    """A task that asks; its id and the address of its run's status."""
    task = client.call("confirm_delete", {"filename": filename})
    while (now := client.result("tasks/get", taskId=task["taskId"]))["status"] != "input_required":
        pass
    assert now["_meta"]["perdure/run"] == task["_meta"]["perdure/run"]
    return task["taskId"], task["_meta"]["perdure/run"]


def answer(client: Client, task: str) -> None:
    (key,) = client.result("tasks/get", taskId=task)["inputRequests"]
    client.result("tasks/update", taskId=task, inputResponses={key: YES})


def test_a_run_is_read_while_it_goes_on_and_afterwards(worked: Server) -> None:
    client = Client(worked, capabilities=TASKS)
    templates = [each["uriTemplate"] for each in client.result("resources/templates/list")["resourceTemplates"]]
    assert "temporal://{namespace}/{workflow_id}/{run_id}/status" in templates
    task, address = begin(client, "read")
    now = status_of(client, address)
    assert now["status"] == "input_required" and len(now["inputRequests"]) == 1
    answer(client, task)
    while (now := status_of(client, address))["status"] == "working":
        pass
    assert now["status"] == "completed"
    events = status_of(client, address.replace("/status", "/history"))["events"]
    kinds = [event["type"].removeprefix("EVENT_TYPE_") for event in events]
    assert kinds[0] == "WORKFLOW_EXECUTION_STARTED" and kinds[-1] == "WORKFLOW_EXECUTION_COMPLETED"
    assert kinds.count("WORKFLOW_EXECUTION_SIGNALED") == 1
    assert client.error("resources/read", uri=address + "x")["code"] == -32602


def test_a_listener_is_told_of_each_change_of_a_run(worked: Server) -> None:
    client = Client(worked, capabilities=TASKS)
    task, address = begin(client, "told")
    wanted = {"resourceSubscriptions": [address, "temporal://default/none/none/status", "nothing://like-it"]}
    reply = client.post("subscriptions/listen", notifications=wanted)
    messages = reply.messages()
    accepted = next(messages)["params"]["notifications"]["resourceSubscriptions"]
    assert accepted == wanted["resourceSubscriptions"][:2]
    answer(client, task)
    told = next(messages)
    assert told["method"] == "notifications/resources/updated" and told["params"]["uri"] == address
    assert "io.modelcontextprotocol/subscriptionId" in told["params"]["_meta"]
    while status_of(client, address)["status"] != "completed":
        assert next(messages)["params"]["uri"] == address
    reply.response.close()


def test_a_session_is_told_on_its_stream_until_it_unsubscribes(worked: Server) -> None:
    asking = Client(worked, capabilities=TASKS)
    client = Client(worked, LEGACY)
    assert client.initialize()["capabilities"]["resources"]["subscribe"] is True
    messages = client.send(None, client.headers("", {}), method="GET").messages()
    (first, address), (second, other) = begin(asking, "session"), begin(asking, "other")
    for uri in (address, other):
        client.result("resources/subscribe", uri=uri)
    client.result("resources/unsubscribe", uri=other)
    answer(asking, second)
    while status_of(asking, other)["status"] != "completed":
        pass
    answer(asking, first)
    told = next(messages)
    assert told["method"] == "notifications/resources/updated" and told["params"] == {"uri": address}
    assert client.error("resources/subscribe", uri="nothing://like-it")["code"] == -32002


@pytest.fixture
def two_callers(tmp_path: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    tokens = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("ada", "bob")}
    scopes = {"ada": "*", "bob": "read"}
    lines = [f"{name} {hashlib.sha256(tokens[name].encode()).hexdigest()} {scopes[name]}" for name in tokens]
    (tmp_path / "tokens").write_text("\n".join(lines) + "\n")
    text = (Path(__file__).parent / "mcp.json").read_text()
    auth = json.dumps({"mode": "tokens", "tokens_file": str(tmp_path / "tokens")})
    text = text.replace('"toolsets"', f'"auth": {auth}, "toolsets"', 1)
    secret = '"scopes": ["admin"], "resource": "secret/{filename}", "description": "Asks first."'
    text = text.replace('"description": "Asks first."', secret)
    (tmp_path / "mcp.json").write_text(text)
    server = Server(tmp_path, "--mcp-config", str(tmp_path / "mcp.json"))
    yield server, tokens
    server.stop()


def test_what_is_somebody_elses_is_not_there(two_callers: tuple[Server, dict[str, str]], tmp_path: Path) -> None:
    server, tokens = two_callers
    ada, bob = (Client(server, capabilities=TASKS, token=tokens[name]) for name in ("ada", "bob"))
    with worker(server):
        task, address = begin(ada, "mine")
        assert bob.error("resources/read", uri=address)["code"] == -32602
        # Nothing follows what is acknowledged of it: the change of the list that comes next is the first that is told.
        wanted = {"resourceSubscriptions": [address], "toolsListChanged": True}
        messages = bob.post("subscriptions/listen", notifications=wanted).messages()
        next(messages)
        answer(ada, task)
        while status_of(ada, address)["status"] != "completed":
            pass
        config = tmp_path / "mcp.json"
        config.write_text(config.read_text().replace('"held"', '"kept"'))
        assert next(messages)["method"] == "notifications/tools/list_changed"
        # A tool that a caller may not call is no resource of this caller's either.
        templates = [each["uriTemplate"] for each in bob.result("resources/templates/list")["resourceTemplates"]]
        assert not any("secret" in each for each in templates)
        shown = [each["uriTemplate"] for each in ada.result("resources/templates/list")["resourceTemplates"]]
        (template,) = [each for each in shown if "secret" in each]
        uri = template.replace("{filename}", "bobs")
        assert bob.error("resources/read", uri=uri)["code"] == -32602


def test_a_timer_is_told_however_much_happened_since(worked: Server) -> None:
    client = Client(worked, capabilities=TASKS)
    task = client.call("slow_compute", {"seconds": 3600, "label": "timer"})

    async def signal_often() -> None:
        workflows = await Workflows.connect(worked.grpc)
        handle = workflows.get_workflow_handle("slow-anonymous-timer")
        for _ in range(10):
            await asyncio.gather(*(handle.signal("mcp.input", args=["nobody-asked", 1]) for _ in range(60)))

    asyncio.run(signal_often())
    while "waiting until" not in (now := client.result("tasks/get", taskId=task["taskId"]))["statusMessage"]:
        assert now["status"] == "working" and now["statusMessage"] != "the workflow is waiting", now
    client.result("tasks/cancel", taskId=task["taskId"])
