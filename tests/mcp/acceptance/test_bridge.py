"""perdure mcp stdio, line by line."""

import json
import subprocess
from pathlib import Path

import pytest
from processes import free_ports, server_binary
from rig import Rig


def bridge(url: str, text: str, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(
        [server_binary(), "mcp", "stdio", "--url", url, *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


async def test_lines_that_are_no_messages_are_refused_and_the_next_one_is_taken(stage: Rig) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/mcp"
    code, said = bridge(url, 'x\n[]\n\n{"a":1,"a":2}\n', "--reconnect", "0")
    assert code == 0 and [each["error"]["code"] for each in said] == [-32700, -32600, -32700]  # type: ignore[index]


async def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_taken(stage: Rig) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/mcp"
    _, said = bridge(url, '"' + "x" * (5 << 20) + '"\n[]\n', "--reconnect", "0")
    assert [each["error"]["code"] for each in said] == [-32600, -32600]  # type: ignore[index]


async def test_a_server_that_stays_away_is_an_error_of_the_request(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/mcp"
    process = subprocess.Popen(
        [server_binary(), "mcp", "stdio", "--url", url, "--reconnect", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write('{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{}}\n')
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    assert answer["id"] == "a" and answer["error"]["code"] == -32603 and url in answer["error"]["message"]
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "host", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
GREETINGS = {
    "server/discover": {"_meta": META},
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "host", "version": "1"},
    },
}


@pytest.mark.parametrize("method", GREETINGS)
async def test_what_the_server_said_of_itself_is_said_while_it_is_away(stage: Rig, method: str) -> None:
    stage.use_tools("weather")
    stage.start_server()
    process = subprocess.Popen(
        [server_binary(), "mcp", "stdio", "--url", stage.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None

    def ask(number: int, params: dict[str, object]) -> dict[str, object]:
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    said = ask(1, GREETINGS[method])
    stage.kill("server")
    assert ask(2, GREETINGS[method]) == said | {"id": 2}
    process.stdin.write('{"jsonrpc":"2.0","id":3,"method":"tools/list","params":' + json.dumps({"_meta": META}) + "}\n")
    process.stdin.flush()
    stage.start_server()  # what only the server knows waits for it
    listed = json.loads(process.stdout.readline())
    assert listed["id"] == 3 and listed["result"]["tools"]
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.mark.parametrize("arguments", [["--what"], ["--reconnect", "-1"], ["--url"]])
def test_a_wrong_command_line_is_told(arguments: list[str]) -> None:
    done = subprocess.run([server_binary(), "mcp", "stdio", *arguments], capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and "perdure:" in done.stderr
