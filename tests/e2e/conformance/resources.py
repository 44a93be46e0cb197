"""Resources that the conformance suite reads."""

import json
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from tests.e2e.conformance.tools import PNG, Context

RESOURCES: dict[str, tuple[str, str]] = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", PNG),
    "test://watched-resource": ("text/plain", "This resource could change."),
}
TEMPLATE = "test://template/{id}/data"


async def list_resources(_context: Context, _params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=uri, name=uri, description=f"The suite's {uri}", mime_type=kind)
            for uri, (kind, _) in RESOURCES.items()
        ]
    )


async def list_templates(_context: Context, _params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template=TEMPLATE, name="template", description="The suite's template", mime_type="application/json"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    start, end = TEMPLATE.split("{id}")
    contents: types.TextResourceContents | types.BlobResourceContents
    if uri in RESOURCES:
        kind, data = RESOURCES[uri]
        contents = (
            types.TextResourceContents(uri=uri, mime_type=kind, text=data)
            if kind == "text/plain"
            else types.BlobResourceContents(uri=uri, mime_type=kind, blob=data)
        )
    elif uri.startswith(start) and uri.endswith(end):
        number = uri.removeprefix(start).removesuffix(end)
        data = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
        contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=data)
    else:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[contents])


async def accept(_context: Context, _params: Any) -> types.EmptyResult:
    return types.EmptyResult()
