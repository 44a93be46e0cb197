"""Tools that ask in their result, as 2026-07-28 has it."""

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from tests.e2e.conformance.tools import STRING, Answer, Context, fixture, form, text

NAME = form(name=STRING)


def question(message: str, schema: dict[str, Any]) -> types.ElicitRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, tokens: int) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=text(prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def ask(state: str | None = None, **requests: types.InputRequest) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def answers(params: types.CallToolRequestParams | types.GetPromptRequestParams, *wanted: str) -> list[Any] | None:
    """The answers to these questions, unless one is missing."""
    given = params.input_responses or {}
    return [given[name] for name in wanted] if given.keys() >= set(wanted) else None


@fixture("test_streaming_elicitation")
@fixture("test_input_required_result_elicitation")
async def asking(_context: Context, params: types.CallToolRequestParams) -> Answer:
    match answers(params, "user_name"):
        case [types.ElicitResult(content={"name": name})]:
            return [text(f"Hello, {name}!")]
    return ask(user_name=question("What is your name?", NAME))


@fixture("test_input_required_result_sampling")
async def asking_model(_context: Context, params: types.CallToolRequestParams) -> Answer:
    if given := answers(params, "capital_question"):
        return [text(f"The model says: {given[0].content}")]
    return ask(capital_question=sample("What is the capital of France?", 100))


@fixture("test_input_required_result_list_roots")
async def asking_roots(_context: Context, params: types.CallToolRequestParams) -> Answer:
    if given := answers(params, "client_roots"):
        return [text(f"The roots are {', '.join(str(root.uri) for root in given[0].roots)}.")]
    return ask(client_roots=types.ListRootsRequest())


@fixture("test_input_required_result_tampered_state")
@fixture("test_input_required_result_request_state")
async def asking_with_state(_context: Context, params: types.CallToolRequestParams) -> Answer:
    # that the client can't change the state is the server's work, which seals it
    if params.request_state == "asked" and answers(params, "confirm"):
        return [text("state-ok")]
    return ask("asked", confirm=question("Please confirm", form(ok={"type": "boolean"})))


@fixture("test_input_required_result_multiple_inputs")
async def asking_much(_context: Context, params: types.CallToolRequestParams) -> Answer:
    if params.request_state == "asked" and answers(params, "user_name", "greeting", "client_roots"):
        return [text("Everything was answered.")]
    return ask(
        "asked",
        user_name=question("What is your name?", NAME),
        greeting=sample("Generate a greeting", 50),
        client_roots=types.ListRootsRequest(),
    )


@fixture("test_input_required_result_multi_round")
async def asking_twice(_context: Context, params: types.CallToolRequestParams) -> Answer:
    if params.request_state == "second" and answers(params, "step2"):
        return [text("Both were answered.")]
    if params.request_state == "first" and answers(params, "step1"):
        return ask("second", step2=question("Step 2: What is your favorite color?", form(color=STRING)))
    return ask("first", step1=question("Step 1: What is your name?", NAME))


@fixture("test_input_required_result_capabilities")
async def asking_what_is_possible(context: Context, _params: types.CallToolRequestParams) -> Answer:
    requests: dict[str, types.InputRequest] = {}
    capabilities = context.session.client_capabilities
    if capabilities and capabilities.elicitation:
        requests["user_name"] = question("What is your name?", NAME)
    if capabilities and capabilities.sampling:
        requests["greeting"] = sample("Generate a greeting", 50)
    if not requests:
        return [text("The client can't be asked anything.")]
    return types.InputRequiredResult(input_requests=requests)


@fixture("test_missing_capability")
async def requiring(context: Context, _params: types.CallToolRequestParams) -> Answer:
    needed = types.ClientCapabilities(sampling=types.SamplingCapability())
    if not context.session.check_client_capability(needed):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs the sampling capability",
            {"requiredCapabilities": needed.model_dump(by_alias=True, exclude_none=True)},
        )
    return [text("The client can sample.")]
