"""A client of the Python SDK 1.x: reads {command, args, env, calls} from standard input, writes what it saw."""

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def see(wanted: dict[str, Any]) -> dict[str, Any]:
    server = StdioServerParameters(command=wanted["command"], args=wanted["args"], env=wanted["env"])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        results = [await session.call_tool(call["name"], call["arguments"]) for call in wanted["calls"]]
    return {
        "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools],
        "results": [result.model_dump(mode="json", by_alias=True, exclude_none=True) for result in results],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(see(json.load(sys.stdin)))))
