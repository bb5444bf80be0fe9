"""W14: mcp.json changes while the server runs; a file that is wrong changes nothing."""

import json
import os
import signal
import time
from typing import Any

from stage import Stage

QUERY = {"workflow_id": "any-{caller}", "name": "state"}


def declare(stage: Stage, *names: str) -> str:
    tools = {name: {"description": "Tells a state.", "query": QUERY} for name in names}
    return json.dumps({"toolsets": {"states": {"tools": tools}}}, indent=1)


def listed(stage: Stage) -> list[str]:
    return [tool["name"] for tool in stage.rpc("tools/list")["tools"] if not tool["name"].startswith("task_")]


def next_message(stream: Any) -> dict[str, Any]:
    for line in stream:
        if line.startswith(b"data:"):
            return json.loads(line[5:])
    raise AssertionError("the stream has ended")


def wait_for_log(stage: Stage, words: str) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for line in (stage.directory / "server.log").read_text().splitlines():
            if words in line:
                return line
        time.sleep(0.02)  # a file says nothing by itself
    raise AssertionError(f"the log never said {words}")


def test_a_listener_hears_once_of_a_change_and_never_of_a_broken_file(stage: Stage) -> None:
    stage.config.write_text(declare(stage, "first"))
    stage.start_server()
    assert listed(stage) == ["first"]
    with stage.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}}) as stream:
        assert next_message(stream)["method"] == "notifications/subscriptions/acknowledged"
        stage.config.write_text(declare(stage, "first", "second"))
        assert next_message(stream)["method"] == "notifications/tools/list_changed"
        assert listed(stage) == ["first", "second"]

        stage.config.write_text('{\n "toolsets": {\n  "states": { "tolls": {} } } }')
        line = wait_for_log(stage, "no such field")
        assert "mcp.json:3:15: /toolsets/states/tolls" in line
        assert listed(stage) == ["first", "second"]

        stage.config.write_text(declare(stage, "third"))
        os.kill(stage.children["server"].pid, signal.SIGHUP)
        # A second word of the first change, or one of the broken file, would come before and find the old list.
        assert next_message(stream)["method"] == "notifications/tools/list_changed"
        assert listed(stage) == ["third"]
