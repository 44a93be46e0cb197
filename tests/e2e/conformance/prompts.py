"""Prompts that the conformance suite gets, one of which asks something, and completion of their arguments."""

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from tests.e2e.conformance.inputs import answers, ask, question
from tests.e2e.conformance.tools import IMAGE, STRING, Context, Told, form, resource, text


async def list_prompts(_context: Context, _params: Any) -> types.ListPromptsResult:
    arguments = {
        "test_simple_prompt": [],
        "test_prompt_with_arguments": ["arg1", "arg2"],
        "test_prompt_with_embedded_resource": ["resourceUri"],
        "test_prompt_with_image": [],
        "test_input_required_result_prompt": [],
    }
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=f"The suite's {name}",
                arguments=[types.PromptArgument(name=argument, required=True) for argument in names],
            )
            for name, names in arguments.items()
        ]
    )


async def get_prompt(
    _context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    said: Told
    match params.name:
        case "test_simple_prompt":
            said = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            said = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            embedded = resource(given["resourceUri"], "text/plain", "Embedded resource content for testing.")
            said = [embedded, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            said = [IMAGE, text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            if not answers(params, "user_context"):
                return ask(user_context=question("What context should the prompt use?", form(context=STRING)))
            said = [text("Use that context.")]
        case name:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content) for content in said])


async def complete(_context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [value for value in ("paris", "park", "party") if value.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))
