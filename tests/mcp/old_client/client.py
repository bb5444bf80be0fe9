"""What mcp 1.9, a client of 2025-03-26, sees of the weather tools: run by test_old_client.py in an environment of its own."""

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def call(session: ClientSession, name: str, **arguments: Any) -> dict[str, Any]:
    result = await session.call_tool(name, arguments, read_timeout_seconds=timedelta(seconds=30))
    return {"error": result.isError, "text": "\n".join(item.text for item in result.content if item.type == "text")}


async def main(url: str) -> None:
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
        begun = await session.initialize()
        tools = (await session.list_tools()).tools
        said = {
            "version": begun.protocolVersion,
            "tools": [tool.name for tool in tools],
            "answer": await call(session, "get_alerts", state="CA"),
            "again": await call(session, "get_alerts", state="TX"),
            "wrong": await call(session, "get_alerts", state="California"),
            "templates": [each.uriTemplate for each in (await session.list_resource_templates()).resourceTemplates],
        }
    print(json.dumps(said))


asyncio.run(main(sys.argv[1]))
