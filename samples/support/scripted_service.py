"""An HTTP service on loopback that does as it is told: the samples' stand-ins for what is outside. Standard library only.

A stand-in is a subclass of `Handler` that answers; `serve` runs it. Every service understands these controls, GET or POST,
which answer JSON; a rule applies to every path that starts with `path`:

    /_set?path=P&fail=503:2     the next two answers are 503; without a count all of them are
    /_set?path=P&garble=1       the next answer is no JSON
    /_set?path=P&delay=0.5      each answer comes half a second later
    /_set?path=P&gate=G         a request that was not failed blocks at gate G until it is released
    /_release/G                 opens gate G for good
    /_wait?gate=G&count=1       answers when that many requests stand at the gate
    /_wait?path=P&count=1       answers when that many requests have come
    /_hits                      requests so far, by path
    /_reset                     forgets rules, gates and hits
"""

import argparse
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qs, unquote, urlsplit

WAIT_SECONDS_MAX = 60
PATHS_MAX = 1000
BODY_BYTES_MAX = 4 * 1024 * 1024
FOREVER = 1 << 30


@dataclass
class Rule:
    fail_status: int = 0
    fail_left: int = 0
    garble_left: int = 0
    delay_seconds: float = 0.0
    gate: str = ""


@dataclass
class Script:
    """What the service does and what was seen of it; `changed` guards all of it."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    rules: dict[str, Rule] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    at_gate: Counter[str] = field(default_factory=Counter)
    open_gates: set[str] = field(default_factory=set)

    def rule_for(self, path: str) -> Rule:
        matching = [prefix for prefix in self.rules if path.startswith(prefix)]
        return self.rules[max(matching, key=len)] if matching else Rule()

    def hits_below(self, prefix: str) -> int:
        return sum(count for path, count in self.hits.items() if path.startswith(prefix))

    def set_rule(self, query: dict[str, str]) -> None:
        rule = self.rules.setdefault(query["path"], Rule())
        if "fail" in query:
            status, _, count = query["fail"].partition(":")
            rule.fail_status, rule.fail_left = int(status), int(count) if count else FOREVER
        if "garble" in query:
            rule.garble_left = int(query["garble"])
        if "delay" in query:
            rule.delay_seconds = float(query["delay"])
        if "gate" in query:
            rule.gate = query["gate"]
            self.open_gates.discard(rule.gate)

    def reset(self) -> None:
        self.open_gates.update(rule.gate for rule in self.rules.values())
        self.rules.clear()
        self.hits.clear()


class Handler(BaseHTTPRequestHandler):
    """Subclasses answer in `serve_request(path, query, body)`, by `answer`."""

    protocol_version = "HTTP/1.1"
    script: Script  # set by serve()

    def do_GET(self) -> None:  # noqa: N802, the base class names it so
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), BODY_BYTES_MAX))
        try:
            if path.startswith("/_"):
                self.control(path, query)
            elif self.follow_script(path):
                self.serve_request(path, query, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the worker was killed while we held its answer: nothing to tell it

    do_POST = do_GET  # noqa: N815

    def serve_request(self, path: str, query: dict[str, str], body: bytes) -> None:
        raise NotImplementedError

    def control(self, path: str, query: dict[str, str]) -> None:
        script = self.script
        try:
            with script.changed:
                if path == "/_set":
                    script.set_rule(query)
                elif path.startswith("/_release/"):
                    script.open_gates.add(path.removeprefix("/_release/"))
                elif path == "/_reset":
                    script.reset()
                elif path == "/_wait":
                    if not script.changed.wait_for(self.awaited(query), WAIT_SECONDS_MAX):
                        return self.answer(504, {"error": f"not within {WAIT_SECONDS_MAX} s", "asked": query})
                elif path != "/_hits":
                    return self.answer(404, {"error": f"no control {path}"})
                script.changed.notify_all()
                hits = dict(script.hits)
        except (KeyError, ValueError) as error:
            return self.answer(400, {"error": f"bad control request: {error!r}"})
        self.answer(200, hits)

    def awaited(self, query: dict[str, str]) -> Callable[[], bool]:
        count = int(query.get("count", "1"))
        if "gate" in query:
            return lambda: self.script.at_gate[query["gate"]] >= count
        return lambda: self.script.hits_below(query["path"]) >= count

    def follow_script(self, path: str) -> bool:
        """Counts the request and does to it what the rules say; False: it is answered already."""
        script = self.script
        with script.changed:
            if path in script.hits or len(script.hits) < PATHS_MAX:
                script.hits[path] += 1
            script.changed.notify_all()
            rule = script.rule_for(path)
            fail_status, garble, delay_seconds, gate = 0, False, rule.delay_seconds, ""
            if rule.fail_left > 0:
                rule.fail_left -= 1
                fail_status = rule.fail_status
            elif rule.garble_left > 0:
                rule.garble_left -= 1
                garble = True
            elif rule.gate not in script.open_gates:
                gate = rule.gate
        if delay_seconds > 0:
            time.sleep(delay_seconds)
        if gate:
            self.stand_at(gate)
        if fail_status:
            self.answer(fail_status, {"title": "Scripted failure", "status": fail_status})
            return False
        if garble:
            self.answer_bytes(200, b"<html>busy</html>", "text/html")
            return False
        return True

    def stand_at(self, gate: str) -> None:
        script = self.script
        with script.changed:
            script.at_gate[gate] += 1
            script.changed.notify_all()
            script.changed.wait_for(lambda: gate in script.open_gates, WAIT_SECONDS_MAX)
            script.at_gate[gate] -= 1

    def answer(self, status: int, body: Any, kind: str = "application/json") -> None:
        self.answer_bytes(status, json.dumps(body).encode(), kind)

    def answer_bytes(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status in (429, 503):
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the base class names it so
        print(f"{self.log_date_time_string()} {format % args}", flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True  # a request that stands at a gate must not keep the process alive
    request_queue_size = 128


def serve(name: str, handler: type[Handler], description: str) -> None:
    """Runs until it is killed, on --port (0: a free one), which the ready line names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    handler.script = Script()
    with Server(("127.0.0.1", options.port), handler) as server:
        print(f"{name} ready on http://127.0.0.1:{server.server_address[1]}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
