"""A stand-in for a language model: chat completions by rules, so that a test knows what will be said.

    python scripted_llm.py [--port 0]    prints "scripted model ready on http://127.0.0.1:PORT"

Service:  POST /v1/chat/completions (not streamed)
          GET or POST /rules     the rules: a JSON array, the first that matches answers
              {"match": regular expression on the last message's content, "reply": text with \\1 and {turns}
               | "tool": name, "arguments": {...}, "after_tool": text with {result}, "times": number}
          GET /log               one entry per request: {"last": text, "messages": number, "key": Idempotency-Key}
Control:  see support/scripted_service.py; /_set?path=/v1&fail=429:3 makes it busy thrice
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import scripted_service  # noqa: E402, the path has to be known first

LOG_MAX = 100_000
DEFAULT_RULES: list[dict[str, Any]] = [
    {"match": r"weather.*\b([A-Z]{2})\b", "tool": "get_alerts", "arguments": {"state": "\\1"}},
    {"match": r"my name is (\w+)", "reply": "Nice to meet you, \\1."},
    {"match": r"what is my name", "recall": r"my name is (\w+)", "reply": "Your name is \\1."},
    {"match": r"(?s)(.*)", "reply": "You said: \\1"},
]


def reply_to(rules: list[dict[str, Any]], messages: list[dict[str, Any]]) -> dict[str, Any]:
    last = messages[-1]
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"The tool says: {last['content']}"}
    text = last.get("content") or ""
    for rule in rules:
        match = re.search(rule["match"], text, re.IGNORECASE)
        if match is None or rule.get("times", 1) <= 0:
            continue
        if "times" in rule:
            rule["times"] -= 1
        if "recall" in rule:
            said = " ".join(m.get("content") or "" for m in messages if m["role"] == "user")
            match = re.search(rule["recall"], said, re.IGNORECASE)
            if match is None:
                return {"role": "assistant", "content": "I do not know."}
        if "tool" in rule:
            arguments = match.expand(json.dumps(rule["arguments"]).replace("\\\\", "\\"))
            call = {"id": f"call_{len(messages)}", "type": "function"}
            call["function"] = {"name": rule["tool"], "arguments": arguments}  # type: ignore[assignment]
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        return {"role": "assistant", "content": match.expand(rule["reply"])}
    return {"role": "assistant", "content": ""}


class Handler(scripted_service.Handler):
    rules = DEFAULT_RULES
    log: list[dict[str, Any]] = []

    def serve_request(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "/v1/chat/completions":
            self.complete(json.loads(body))
        elif path == "/rules":
            if body:
                Handler.rules = json.loads(body)
            self.answer(200, self.rules)
        elif path == "/log":
            with self.script.changed:
                entries = list(self.log)
            self.answer(200, entries)
        else:
            self.answer(404, {"error": {"message": f"no {path}"}})

    def complete(self, request: dict[str, Any]) -> None:
        messages = request["messages"]
        with self.script.changed:
            if len(self.log) < LOG_MAX:
                key = self.headers.get("Idempotency-Key", "")
                self.log.append({"last": messages[-1].get("content"), "messages": len(messages), "key": key})
            message = reply_to(self.rules, messages)
        finish = "tool_calls" if "tool_calls" in message else "stop"
        self.answer(
            200,
            {
                "id": "scripted",
                "object": "chat.completion",
                "model": request.get("model", ""),
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            },
        )


if __name__ == "__main__":
    scripted_service.serve("scripted model", Handler, "A scripted stand-in for a language model.")
