"""What runs say of who called, and how many of one caller may be open."""

from __future__ import annotations

import base64
import json
from gateway import Client, Server, run


def perdure(server: Server, *arguments: str):
    return run(*arguments, "--address", server.grpc)


def test_runs_say_who_called_and_which_tool(worked: Server) -> None:
    Client(worked).call("greet", {"name": "Quentin"})
    described = perdure(worked, "workflow", "describe", "-w", "greet-anonymous-Quentin", "-o", "json").json
    fields = described["workflowExecutionInfo"]["searchAttributes"]["indexedFields"]
    said = {name: json.loads(base64.b64decode(payload["data"])) for name, payload in fields.items()}
    assert said == {"McpTool": "greet", "McpCaller": "anonymous"}
