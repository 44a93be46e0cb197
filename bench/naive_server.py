"""Three tools on the SDK's low-level `Server` and docker-py, in the most direct way: the yardstick of calls.

No checks, no limits, no redaction, no audit: what a call costs before anybody thinks about safety.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import docker
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

api = docker.APIClient(os.environ["DOCKER_HOST"])


Arguments = dict[str, Any]
Answer = dict[str, Any]


def list_containers(arguments: Arguments) -> Answer:
    return {"containers": api.containers(all=arguments["all"])}


def inspect_container(arguments: Arguments) -> Answer:
    return {"container": api.inspect_container(arguments["container_id"])}


def container_logs(arguments: Arguments) -> Answer:
    text = api.logs(arguments["container_id"], tail=arguments["tail"]).decode(errors="replace")
    wanted = arguments.get("contains", "")
    return {"lines": [line for line in text.splitlines() if wanted in line]}


TOOLS: dict[str, Callable[[Arguments], Answer]] = {
    "docker_list_containers": list_containers,
    "docker_inspect_container": inspect_container,
    "docker_container_logs": container_logs,
}


async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
    tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in TOOLS]
    return types.ListToolsResult(tools=tools)


async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
    answer = await anyio.to_thread.run_sync(TOOLS[params.name], params.arguments or {})
    text = types.TextContent(type="text", text=json.dumps(answer, separators=(",", ":")))
    return types.CallToolResult(content=[text], structured_content=answer)


async def serve() -> None:
    server = Server[None]("naive", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


anyio.run(serve)
