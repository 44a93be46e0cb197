"""What the conformance suite asks a server to have beside its own, under agreed names: tools, prompts, resources."""

from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from pydantic import BaseModel

from tests.e2e.conformance import inputs, prompts, resources
from tests.e2e.conformance.tools import CHANGES, SCHEMAS, TOOLS, Context, text

# inputs is imported for the tools that it adds to TOOLS
__all__ = ["add", "inputs"]

ALONE: tuple[tuple[str, type[BaseModel], Callable[..., Awaitable[Any]]], ...] = (
    ("prompts/list", types.PaginatedRequestParams, prompts.list_prompts),
    ("prompts/get", types.GetPromptRequestParams, prompts.get_prompt),
    ("completion/complete", types.CompleteRequestParams, prompts.complete),
    ("resources/list", types.PaginatedRequestParams, resources.list_resources),
    ("resources/templates/list", types.PaginatedRequestParams, resources.list_templates),
    ("resources/read", types.ReadResourceRequestParams, resources.read_resource),
    ("resources/subscribe", types.SubscribeRequestParams, resources.accept),
    ("resources/unsubscribe", types.UnsubscribeRequestParams, resources.accept),
    ("logging/setLevel", types.SetLevelRequestParams, resources.accept),
    ("subscriptions/listen", types.SubscriptionsListenRequestParams, ListenHandler(CHANGES)),
)
"""Methods that the server has no handlers for."""


def add(mcp: Server[dict[str, Any]]) -> None:
    """Put the fixtures before the handlers that a server has: whatever has none of their names goes to those."""
    own_list, own_call = mcp.get_request_handler("tools/list"), mcp.get_request_handler("tools/call")
    assert own_list is not None
    assert own_call is not None
    own_schema = mcp.get_tool_input_schema
    assert own_schema is not None

    async def list_tools(context: Context, params: types.PaginatedRequestParams) -> Any:
        listed = [{"name": name, "description": f"The suite's {name}", "inputSchema": SCHEMAS[name]} for name in TOOLS]
        own: Any = await own_list.handler(context, params)
        return {**own, "tools": [*own["tools"], *listed]}

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> Any:
        if params.name not in TOOLS:
            return await own_call.handler(context, params)
        try:
            answer = await TOOLS[params.name](context, params)
        except ValueError as error:
            return types.CallToolResult(content=[text(str(error))], is_error=True)
        return types.CallToolResult(content=answer) if isinstance(answer, list) else answer

    mcp.get_tool_input_schema = lambda name: SCHEMAS.get(name) or own_schema(name)
    mcp.add_request_handler("tools/list", types.PaginatedRequestParams, list_tools)
    mcp.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)
    for method, params_type, handler in ALONE:
        assert mcp.get_request_handler(method) is None, (
            f"the server has its own {method} now: put the fixtures before it"
        )
        mcp.add_request_handler(method, params_type, handler)
    cached = ("prompts/list", "resources/list", "resources/templates/list", "resources/read")
    mcp.cache_hints |= dict.fromkeys(cached, CacheHint(ttl_ms=60_000, scope="private"))
