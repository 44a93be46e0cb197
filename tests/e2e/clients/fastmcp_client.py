"""A FastMCP client: reads {command, args, env, calls} from standard input, writes what it saw."""

import asyncio
import json
import sys
from typing import Any

from fastmcp import Client  # type: ignore[import-not-found]
from fastmcp.client.transports import StdioTransport  # type: ignore[import-not-found]


async def see(wanted: dict[str, Any]) -> dict[str, Any]:
    transport = StdioTransport(command=wanted["command"], args=wanted["args"], env=wanted["env"], keep_alive=False)
    async with Client(transport) as client:
        tools = await client.list_tools()
        results = [await client.call_tool_mcp(call["name"], call["arguments"]) for call in wanted["calls"]]
    return {
        "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools],
        "results": [result.model_dump(mode="json", by_alias=True, exclude_none=True) for result in results],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(see(json.load(sys.stdin)))))
