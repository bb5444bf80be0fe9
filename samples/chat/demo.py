"""A conversation that goes on after the lid was closed: client, server and worker are killed -9 in the middle of a turn.

    ./dev demo chat               or, with the packages of requirements*.txt: python demo.py

A server with the tools of mcp.json, a worker, and a scripted model, all on loopback.
"""

import asyncio
import json
import signal
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from stage import Stage, check, say, text_of, types  # noqa: E402, the path has to be known first

CONVERSATION = {"conversation": "demo"}


async def turn(client: Any, text: str, **more: str) -> str:
    reply = text_of(await client.call_tool("send_message", {**CONVERSATION, "text": text, **more}))
    say(f"you: {text}\n          it:  {reply}")
    return reply


async def history(client: Any) -> list[dict[str, str]]:
    return json.loads(text_of(await client.call_tool("history", CONVERSATION)))


async def play(stage: Stage) -> None:
    stage.start_all("chat")
    say(f"server {stage.children['server'].pid} has the tools of mcp.json at {stage.url}")
    async with stage.client() as client:
        await turn(client, "my name is Ada")

    say("-- a turn, and everything dies while the model thinks")
    model = stage.children["chat"]
    model.control("set", path="/v1", gate="think")
    async with stage.stdio() as host:  # perdure mcp stdio, as a desktop agent starts it
        waiting = asyncio.ensure_future(turn(host, "think hard", message_id="m2"))
        await asyncio.to_thread(model.control, "wait", gate="think")
        for name in ("server", "worker"):
            say(f"kill -9 {name} {stage.children[name].pid}")
            stage.kill(name)
        await asyncio.to_thread(model.control, "release/think")
        await asyncio.to_thread(stage.start_server)
        await asyncio.to_thread(stage.start_worker, "chat")
        say("both are back; the attempt that died is given up 20 s after its start, and made again")
        check("the reply, to the call that was waiting all the time", await waiting, "You said: think hard")

    say("-- another client, the next morning")
    asked: list[str] = []

    async def decline(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params.message)
        say(f"it asks: {params.message}  (declined)")
        return types.ElicitResult(action="decline")

    async with stage.client(elicitation_callback=decline) as client:
        check("what it remembers", await turn(client, "what is my name?"), "Your name is Ada.")
        await turn(client, "weather in CA")
        check("questions to the person", len(asked), 1)
        said = await history(client)
    check("messages", [each["role"] for each in said], ["user", "assistant"] * 4)
    with urllib.request.urlopen(f"{model.base}/log", timeout=10) as response:
        log = json.load(response)
    check("the model was asked for the first turn", sum(each["last"] == "my name is Ada" for each in log), 1)
    check("for the turn that died, at most twice", sum(each["last"] == "think hard" for each in log) <= 2, True)


def main() -> None:
    # So that our children end with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="perdure-chat-") as directory:
        stage = Stage(Path(directory))
        try:
            asyncio.run(play(stage))
        finally:
            stage.close()
    say("all processes have ended; no turn was lost and none was made twice")


if __name__ == "__main__":
    main()
