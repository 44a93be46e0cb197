"""Tools that the conformance suite calls, and content that it wants to see."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged

Context = ServerRequestContext[dict[str, Any]]
Told = list[types.ContentBlock]
Answer = Told | types.InputRequiredResult
Fixture = Callable[[Context, types.CallToolRequestParams], Awaitable[Answer]]

# one red pixel, and a header of sound without any
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
PAUSE = 0.05

TOOLS: dict[str, Fixture] = {}
SCHEMAS: dict[str, dict[str, Any]] = {}
CHANGES = InMemorySubscriptionBus()


def fixture(name: str, **properties: Any) -> Callable[[Fixture], Fixture]:
    """Make a function a tool whose arguments are all required."""

    def add_to_tools(function: Fixture) -> Fixture:
        TOOLS[name] = function
        SCHEMAS[name] = {"type": "object", "properties": properties, "required": list(properties)}
        return function

    return add_to_tools


def text(words: str) -> types.TextContent:
    return types.TextContent(text=words)


def resource(uri: str, kind: str, words: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=kind, text=words))


IMAGE = types.ImageContent(data=PNG, mime_type="image/png")
STRING = {"type": "string"}

# Tools that say the same each time

SAID: dict[str, Told] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [types.AudioContent(data=WAV, mime_type="audio/wav")],
    "test_embedded_resource": [
        resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        IMAGE,
        resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
    "json_schema_2020_12_tool": [text("Only its schema is of interest.")],
    "test_header": [text("Only the header that repeats its argument is of interest.")],
}


def say(told: Told) -> Fixture:
    async def said(_context: Context, _params: types.CallToolRequestParams) -> Answer:
        return told

    return said


for _name, _told in SAID.items():
    fixture(_name)(say(_told))

SCHEMAS["test_header"] = {
    "type": "object",
    "properties": {"region": STRING | {"x-mcp-header": "Region"}},
    "required": ["region"],
}
SCHEMAS["json_schema_2020_12_tool"] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {"$anchor": "addressDef", "type": "object", "properties": {"street": STRING, "city": STRING}},
    },
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": STRING | {"enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

# Tools that tell while they work


@fixture("test_error_handling")
async def failing(_context: Context, _params: types.CallToolRequestParams) -> Answer:
    raise ValueError("This tool intentionally returns an error for testing")


@fixture("test_tool_with_progress")
async def progressing(context: Context, _params: types.CallToolRequestParams) -> Answer:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100, f"{done} of 100")
        await anyio.sleep(PAUSE)
    return [text("All 100 steps are done.")]


async def log(context: Context, words: str) -> None:
    await context.session.send_log_message("info", words, related_request_id=context.request_id)


@fixture("test_logging_tool")
@fixture("test_tool_with_logging")
async def logging(context: Context, _params: types.CallToolRequestParams) -> Answer:
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(context, words)
        await anyio.sleep(PAUSE)
    return [text("Three messages were logged.")]


@fixture("test_reconnection")
async def reconnecting(context: Context, _params: types.CallToolRequestParams) -> Answer:
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
        await anyio.sleep(PAUSE)
    return [text("The call went on while nobody listened.")]


@fixture("test_trigger_tool_change")
async def changing_tools(_context: Context, _params: types.CallToolRequestParams) -> Answer:
    await CHANGES.publish(ToolsListChanged())
    return [text("The list of tools was said to have changed.")]


@fixture("test_trigger_prompt_change")
async def changing_prompts(_context: Context, _params: types.CallToolRequestParams) -> Answer:
    await CHANGES.publish(PromptsListChanged())
    return [text("The list of prompts was said to have changed.")]


# Tools that ask the client while they work (2025-11-25)


def form(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


@fixture("test_sampling", prompt=STRING)
async def sampling(context: Context, params: types.CallToolRequestParams) -> Answer:
    prompt = text((params.arguments or {})["prompt"])
    answer = await context.session.create_message(
        [types.SamplingMessage(role="user", content=prompt)], max_tokens=100, related_request_id=context.request_id
    )
    return [text(f"LLM response: {answer.content}")]


async def elicited(context: Context, message: str, schema: dict[str, Any]) -> Answer:
    answer = await context.session.elicit_form(message, schema, context.request_id)
    return [text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")]


@fixture("test_elicitation", message=STRING)
async def eliciting(context: Context, params: types.CallToolRequestParams) -> Answer:
    schema = form(username=STRING | {"description": "Your name"}, email=STRING | {"description": "Your address"})
    return await elicited(context, (params.arguments or {})["message"], schema)


@fixture("test_elicitation_sep1034_defaults")
async def eliciting_defaults(context: Context, _params: types.CallToolRequestParams) -> Answer:
    schema = form(
        [],
        name=STRING | {"default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status=STRING | {"enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )
    return await elicited(context, "Every kind of default", schema)


@fixture("test_elicitation_sep1330_enums")
async def eliciting_choices(context: Context, _params: types.CallToolRequestParams) -> Answer:
    plain = {"type": "string", "enum": ["option1", "option2", "option3"]}
    titled = [{"const": f"value{number}", "title": f"Option {number}"} for number in (1, 2, 3)]
    schema = form(
        [],
        untitledSingle=plain,
        titledSingle=STRING | {"oneOf": titled},
        legacyEnum=STRING | {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option 1", "Option 2", "Option 3"]},
        untitledMulti={"type": "array", "items": plain},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    return await elicited(context, "Every kind of choice", schema)
