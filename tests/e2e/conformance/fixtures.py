"""What the conformance suite asks a server to have beside its own, under agreed names: tools, prompts, resources."""

from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from pydantic import BaseModel

from tests.e2e.conformance import inputs, prompts, resources
from tests.e2e.conformance.tools import CHANGES, SCHEMAS, TOOLS, Context, text

# inputs is imported for the tools that it adds to TOOLS
__all__ = ["add", "inputs"]

Handler = Callable[..., Awaitable[Any]]

INSTEAD: tuple[tuple[str, type[BaseModel], Handler], ...] = (
    ("resources/subscribe", types.SubscribeRequestParams, resources.accept),
    ("resources/unsubscribe", types.UnsubscribeRequestParams, resources.accept),
    ("logging/setLevel", types.SetLevelRequestParams, resources.accept),
    ("subscriptions/listen", types.SubscriptionsListenRequestParams, ListenHandler(CHANGES)),
)
"""Methods whose scenarios are about what only the suite changes."""

LISTS: tuple[tuple[str, str, Handler], ...] = (
    ("prompts/list", "prompts", prompts.list_prompts),
    ("resources/list", "resources", resources.list_resources),
    ("resources/templates/list", "resourceTemplates", resources.list_templates),
)
"""Methods that list the suite's beside the server's own, and where they do."""

READS: tuple[tuple[str, type[BaseModel], Handler, Callable[[Any], bool]], ...] = (
    ("prompts/get", types.GetPromptRequestParams, prompts.get_prompt, lambda params: params.name.startswith("test_")),
    (
        "resources/read",
        types.ReadResourceRequestParams,
        resources.read_resource,
        lambda params: str(params.uri).startswith("test://") and "nonexistent" not in str(params.uri),
    ),
    (
        "completion/complete",
        types.CompleteRequestParams,
        prompts.complete,
        lambda params: getattr(params.ref, "name", getattr(params.ref, "uri", "")).startswith("test"),
    ),
)
"""Methods that answer for the suite's names, and which those are."""


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
    for method, params_type, handler in INSTEAD:
        mcp.add_request_handler(method, params_type, handler)
    for method, name, handler in LISTS:
        mcp.add_request_handler(method, types.PaginatedRequestParams, _beside(mcp, method, name, handler))
    for method, params_type, handler, is_theirs in READS:
        mcp.add_request_handler(method, params_type, _before(mcp, method, handler, is_theirs))


def _beside(mcp: Server[dict[str, Any]], method: str, name: str, theirs: Handler) -> Handler:
    own = mcp.get_request_handler(method)
    assert own is not None

    async def both(context: Context, params: Any) -> Any:
        listed: Any = await own.handler(context, params)
        more = (await theirs(context, params)).model_dump(by_alias=True, mode="json", exclude_none=True)
        return {**listed, name: [*listed[name], *more[name]]}

    return both


def _before(mcp: Server[dict[str, Any]], method: str, theirs: Handler, is_theirs: Callable[[Any], bool]) -> Handler:
    own = mcp.get_request_handler(method)
    assert own is not None

    async def either(context: Context, params: Any) -> Any:
        return await (theirs if is_theirs(params) else own.handler)(context, params)

    return either
