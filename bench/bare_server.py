"""The smallest server that the SDK's low-level `Server` allows: the yardstick of start-up.

It imports nothing that the SDK doesn't need to answer a list of tools.
"""

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool(name="ping", input_schema={"type": "object"})])


async def serve() -> None:
    server = Server[None]("bare", on_list_tools=list_tools)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


anyio.run(serve)
