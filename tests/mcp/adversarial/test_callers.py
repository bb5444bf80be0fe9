"""What one caller holds is nothing to another: tasks, states, handles, sessions, streams, results; and whose word counts (JWT)."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from conftest import bearer, with_options
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway import LEGACY, TASKS, Client, Server

ISSUER, AUDIENCE = "https://issuer.example", "perdure-tools"
ROTATION_SECONDS_MAX = 30  # keys are fetched once in ten seconds at most


def pair(server: Server, version: str = "2026-07-28", **capabilities: Any) -> tuple[Client, Client]:
    both = tuple(Client(server, version, capabilities, token=bearer(name)) for name in ("ada", "bob"))
    if version == LEGACY:
        for each in both:
            each.initialize()
    return both  # type: ignore[return-value]


def test_a_task_is_its_callers(two_callers: Server) -> None:
    ada, bob = pair(two_callers, **TASKS)
    task = ada.call("slow_compute", {"seconds": 3600, "label": "mine"})["taskId"]
    for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
        stranger = bob.error(method, taskId=task, **more)
        nonsense = bob.error(method, taskId="A" * len(task), **more)
        assert stranger["code"] == nonsense["code"] == -32602
        assert stranger["message"] == nonsense["message"], "it must not even tell that there is such a task"
    assert ada.result("tasks/get", taskId=task)["status"] == "working"
    assert bob.error("tasks/get", taskId=task[:40])["code"] == -32602
    ada.result("tasks/cancel", taskId=task)


def test_a_state_and_a_handle_are_their_callers(two_callers: Server) -> None:
    ada, bob = pair(two_callers)
    arguments = {"seconds": 3600, "label": "legs"}
    answer = ada.call("slow_compute", arguments)
    state = answer["requestState"]
    assert bob.error("tools/call", name="slow_compute", arguments=arguments, requestState=state)["code"] == -32602
    while "requestState" in answer:
        answer = ada.call("slow_compute", arguments, requestState=answer["requestState"])
    handle = answer["structuredContent"]["handle"]
    for tool in ("task_status", "task_result", "task_cancel"):
        assert bob.call(tool, {"handle": handle})["isError"]
    assert not ada.call("task_status", {"handle": handle}).get("isError")
    ada.call("task_cancel", {"handle": handle})


def test_a_question_is_its_callers(two_callers: Server) -> None:
    ada, bob = pair(two_callers, **TASKS)
    task = ada.call("confirm_delete", {"filename": "mine"})["taskId"]
    while (now := ada.result("tasks/get", taskId=task))["status"] != "input_required":
        pass
    answer = {key: {"action": "accept", "content": {"confirm": True}} for key in now["inputRequests"]}
    assert bob.error("tasks/update", taskId=task, inputResponses=answer)["code"] == -32602
    # The same words from bob are a run of his own.
    assert bob.call("confirm_delete", {"filename": "mine"})["taskId"] != task
    assert ada.result("tasks/get", taskId=task)["status"] == "input_required"


def test_a_session_and_a_stream_are_their_callers(two_callers: Server) -> None:
    ada, bob = pair(two_callers, LEGACY)
    reply = ada.post("tools/call", name="test_tool_with_progress", arguments={}, _meta={"progressToken": 1})
    event = next(event["id"] for event in reply.events() if event.get("id"))
    bob.session = ada.session
    assert bob.post("tools/list").status == 404
    assert bob.send(None, bob.headers("", {}) | {"Last-Event-ID": event}, method="GET").status == 404
    assert bob.send(None, bob.headers("", {}), method="DELETE").status == 404
    assert ada.result("tools/list")["tools"]


def test_a_large_result_is_its_callers(two_callers: Server) -> None:
    ada, bob = pair(two_callers)
    (link,) = ada.call("large", {"size": 400_000})["content"]
    assert len(ada.result("resources/read", uri=link["uri"])["contents"][0]["text"]) == 400_000
    assert bob.error("resources/read", uri=link["uri"])["code"] == -32602


@pytest.mark.parametrize("version", ["2026-07-28", LEGACY])
def test_who_says_to_be_somebody_else_in_the_arguments_is_not(two_callers: Server, version: str) -> None:
    """`{caller}` is who the token says; a name with the separators of the template in it makes no id of another one's."""
    ada, bob = pair(two_callers, version, **TASKS)
    for label in ("ada-x", "../ada", "ada%2dx", "ada\u2010x", "\u202eada", "-", "%"):
        mine = bob.call("slow_compute", {"seconds": 0, "label": label, "caller": "ada", "{caller}": "ada"})
        assert not mine.get("isError") or "id" in json.dumps(mine), label
    assert "Hello" in json.dumps(ada.call("greet", {"name": "Ada"}))


# --- JWT ---


class Issuer:
    """Serves a key set that can be exchanged, and signs."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.asked = 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802, its name there
                issuer.asked += 1
                body = issuer.published()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name: str) -> rsa.RSAPrivateKey:
        self.keys[name] = rsa.generate_private_key(65537, 2048)
        return self.keys[name]

    def published(self) -> bytes:
        made = [jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) for key in self.keys.values()]
        named = [{**each, "kid": name, "use": "sig", "alg": "RS256"} for name, each in zip(self.keys, made, strict=True)]
        return json.dumps({"keys": named}).encode()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "nbf": now - 60, **more}


def signed(key: Any, kid: str | None, algorithm: str = "RS256", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, {"kid": kid} if kid else None)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_jwt_counts_when_the_issuer_signed_it_for_us(tmp_path: Path, issuer: Issuer) -> None:
    first = issuer.add("first")
    auth = {"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE, "jwks": issuer.url}
    server = Server(tmp_path, "--mcp-config", str(with_options(tmp_path, auth=auth)))

    def status(token: str | None) -> int:
        return Client(server, token=token).post("tools/list").status

    try:
        assert status(signed(first, "first")) == 200
        assert status(None) == 401
        refused = Client(server).send(None, {}, method="GET")
        assert refused.status == 401 and "resource_metadata=" in (refused.response.headers["WWW-Authenticate"] or "")
        stranger = rsa.generate_private_key(65537, 2048)
        public = first.public_key().public_numbers().n.to_bytes(256, "big")
        wrong = {
            "audience": signed(first, "first", aud="somebody-else"),
            "issuer": signed(first, "first", iss="https://evil.example"),
            "expired": signed(first, "first", exp=int(time.time()) - 3600),
            "not yet": signed(first, "first", nbf=int(time.time()) + 3600),
            "signature": signed(stranger, "first"),
            "unknown key": signed(stranger, "nowhere"),
            "nobody": signed(first, "first", sub=""),
            "no algorithm": jwt.encode(claims(), None, "none", {"kid": "first"}),
            "shared secret": jwt.encode(claims(), public, "HS256", {"kid": "first"}),
            "other algorithm": signed(first, "first", "PS256"),
        }
        assert {what: status(token) for what, token in wrong.items()} == dict.fromkeys(wrong, 401)
        # The issuer exchanges its key: the new one counts without a restart, as soon as keys may be asked for again; tokens with
        # made-up keys cannot make that more often.
        second = issuer.add("second")
        end = time.monotonic() + ROTATION_SECONDS_MAX
        while status(signed(second, "second")) != 200:
            assert time.monotonic() < end
            time.sleep(0.1)
        for number in range(50):
            assert status(signed(stranger, f"made-up-{number}")) == 401
        assert issuer.asked <= 3
    finally:
        server.stop()


def test_two_subjects_are_two_callers(tmp_path: Path, issuer: Issuer) -> None:
    key = issuer.add("only")
    auth = {"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE, "jwks": issuer.url}
    server = Server(tmp_path, "--mcp-config", str(with_options(tmp_path, auth=auth)))
    try:
        ada, bob = (
            Client(server, capabilities=TASKS, token=signed(key, "only", sub=sub)) for sub in ("ada", "bob")
        )
        task = ada.call("slow_compute", {"seconds": 3600, "label": "mine"})["taskId"]
        assert bob.error("tasks/get", taskId=task)["code"] == -32602
        # A later token of the same subject is the same caller.
        again = Client(server, capabilities=TASKS, token=signed(key, "only", jti="2"))
        assert again.result("tasks/get", taskId=task)["status"] == "working"
    finally:
        server.stop()
