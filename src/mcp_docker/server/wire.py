"""What handlers share: who asks, and answers in the protocol's own form."""

from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_docker.caller import Caller
from mcp_docker.pipeline import Result
from mcp_docker.progress import Progress

# 2026-07-28 requires it of every result; the SDK leaves it out for older clients
COMPLETE = {"resultType": "complete"}
RESOURCE_NOT_FOUND = -32002
"""Of the revisions before 2026-07-28, which has INVALID_PARAMS for it."""
ASKED_WRONGLY = {
    "PROMPT_NOT_AVAILABLE",
    "RESOURCE_NOT_AVAILABLE",
    "INVALID_ARGUMENTS",
    "NOT_FOUND",
    "AMBIGUOUS_IDENTIFIER",
}
"""Refusals that another request would not get."""

RequestContext = ServerRequestContext[dict[str, Any]]
Who = Callable[[RequestContext | None], Caller]


def is_modern(context: RequestContext) -> bool:
    """Whether the request is of 2026-07-28, which knows no session."""
    return context.session.protocol_version in MODERN_PROTOCOL_VERSIONS


def progress_of(context: RequestContext) -> Progress | None:
    """How to tell the client of progress, if it wants to be told."""
    wanted = context.meta is not None and context.meta.get("progress_token") is not None
    return context.session.report_progress if wanted else None


def whole(params: types.PaginatedRequestParams | None) -> None:
    """Refuse a cursor for a list that comes whole (MCP, "Pagination")."""
    if params is not None and params.cursor:
        raise MCPError(types.INVALID_PARAMS, "This list has no pages; ask for it without a cursor")


def failed(result: Result, context: RequestContext, uri: str | None = None) -> MCPError:
    """A refusal as the protocol's error, of requests whose results can't be errors.

    Args:
        uri: of the resource that was asked for.
    """
    code = result.meta.get("mcp-docker/code")
    number = types.INTERNAL_ERROR
    if code in ASKED_WRONGLY:
        number = types.INVALID_PARAMS if uri is None or is_modern(context) else RESOURCE_NOT_FOUND
    data: Mapping[str, Any] = result.meta if uri is None else {"uri": uri, **result.meta}
    return MCPError(number, result.text, dict(data))
