"""JSON Schemas of tools as clients see them: one simple form, where validation accepts more."""

from typing import Any

from mcp_docker import pages
from mcp_docker.tool import Tool


def listing(tool: type[Tool]) -> dict[str, Any]:
    """What tools/list says of a tool."""
    spec = tool.spec
    return {
        "name": spec.name,
        "title": spec.label,
        "description": spec.description,
        "inputSchema": input_schema(tool),
        "outputSchema": output_schema(tool),
        "annotations": spec.annotations,
    } | ({"_meta": {"ui": {"resourceUri": pages.URIS[spec.page]}}} if spec.page else {})


def input_schema(tool: type[Tool]) -> dict[str, Any]:
    """The tool's arguments: every one described, no titles, nulls or unions with null."""
    return _simple(tool.model_json_schema(), forbid_extra=True)


def output_schema(tool: type[Tool]) -> dict[str, Any]:
    """The tool's answer. What may be absent is not required; it is never null."""
    return _simple(tool.answer_type().model_json_schema(), forbid_extra=False)


def _simple(schema: dict[str, Any], *, forbid_extra: bool) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    schema.pop("description", None)
    simple: dict[str, Any] = _simplified(schema, definitions, forbid_extra)
    return {"type": "object", "properties": simple.pop("properties", {})} | simple


def _simplified(schema: Any, definitions: dict[str, Any], forbid_extra: bool) -> Any:
    if isinstance(schema, list):
        return [_simplified(item, definitions, forbid_extra) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        # inlined: clients that flatten schemas for their model lose references
        target = {
            key: value for key, value in definitions[reference.rpartition("/")[2]].items() if key != "description"
        }
        schema = target | {key: value for key, value in schema.items() if key != "$ref"}
    branches = schema.get("anyOf")
    if branches and {"type": "null"} in branches:
        rest = [branch for branch in branches if branch != {"type": "null"}]
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = outer | (rest[0] if len(rest) == 1 else {"anyOf": rest})
        return _simplified(schema, definitions, forbid_extra)
    simple: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            simple[key] = {name: _simplified(field, definitions, forbid_extra) for name, field in value.items()}
        elif (
            key == "title"
            or (key == "default" and value in (None, [], {}, ""))
            or (key == "additionalProperties" and value in (True, False) and not (value is False and forbid_extra))
        ):
            continue
        else:
            simple[key] = _simplified(value, definitions, forbid_extra)
    return simple


def model_bytes(entries: list[dict[str, Any]]) -> int:
    """Bytes that a model must read to know the tools: name, description and input schema as compact JSON."""
    from mcp_docker.redact import compact

    return sum(
        len(compact({key: entry[key] for key in ("name", "description", "inputSchema")}).encode()) for entry in entries
    )
