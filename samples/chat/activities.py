"""What the conversation needs of the outside: a model, by the chat completions that most of them speak, and tools, by MCP.

| variable | meaning | default |
| OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL | the model's endpoint | https://api.openai.com/v1, none, gpt-4o-mini |
| MCP_URL | where tools are, and whose they are | http://127.0.0.1:8233/mcp/weather |
"""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

MODEL_TIMEOUT_SECONDS = 18  # less than an attempt has, so that the worker says why
TOOL_TIMEOUT_SECONDS = 55
ANSWER_BYTES_MAX = 4 * 1024 * 1024
ERROR_TEXT_MAX = 200
RETRYABLE = (408, 409, 425, 429, 500, 502, 503, 504)
MCP_VERSION = "2026-07-28"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_alerts",
            "description": "Active weather alerts for a US state (two-letter code).",
            "parameters": {
                "type": "object",
                "properties": {"state": {"type": "string"}},
                "required": ["state"],
            },
        },
    }
]


@activity.defn
def ask_model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The model's next message: its content, or the tools it wants."""
    base = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
    body = {"model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), "messages": messages, "tools": TOOLS}
    info = activity.info()
    headers = {"Idempotency-Key": f"{info.workflow_run_id}/{info.activity_id}"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    answer = _post(f"{base.rstrip('/')}/chat/completions", body, headers, MODEL_TIMEOUT_SECONDS)
    try:
        message = answer["choices"][0]["message"]
        kept = {"role": "assistant", "content": message.get("content")}
        if message.get("tool_calls"):
            kept["tool_calls"] = message["tool_calls"]
        return kept
    except (KeyError, IndexError, TypeError) as error:
        raise ApplicationError(f"the model's answer is none: {error!r}", type="BadAnswer") from error


@activity.defn
def call_tool(name: str, arguments: dict[str, Any]) -> str:
    """One call of a durable tool. A call that is made again, because its answer was lost, finds the same run."""
    url = os.environ.get("MCP_URL", "http://127.0.0.1:8233/mcp/weather")
    meta = {
        "io.modelcontextprotocol/protocolVersion": MCP_VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "chat-worker", "version": "1.0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MCP_VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": name,
    }
    params: dict[str, Any] = {"name": name, "arguments": arguments, "_meta": meta}
    while True:  # the activity's own timeout ends it
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = _post(url, request, headers, TOOL_TIMEOUT_SECONDS)
        if "error" in answer:
            raise ApplicationError(answer["error"].get("message", "?"), type="Tool", non_retryable=True)
        result = answer["result"]
        if result.get("resultType") != "input_required":
            break
        # It runs on: the state says where, and asking again waits on.
        params["requestState"] = result["requestState"]
    text = "\n".join(item["text"] for item in result.get("content", []) if item.get("type") == "text")
    if result.get("isError"):
        raise ApplicationError(text, type="Tool", non_retryable=True)
    return text


def _post(url: str, body: dict[str, Any], headers: dict[str, str], seconds: float) -> dict[str, Any]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:
            answer = json.loads(response.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        text = error.read(ERROR_TEXT_MAX).decode("utf-8", "replace")
        raise ApplicationError(
            f"{url}: HTTP {error.code}: {text}",
            type=f"Http{error.code}",
            non_retryable=error.code not in RETRYABLE,
        ) from error
    except OSError as error:
        raise ApplicationError(f"{url}: {error}", type="Unreachable") from error
    except ValueError as error:
        raise ApplicationError(f"{url}: the answer is not JSON", type="BadAnswer") from error
    if not isinstance(answer, dict):
        raise ApplicationError(f"{url}: the answer is not a JSON object", type="BadAnswer")
    return answer
