"""Prompts, resources and completion: what clients read."""

import re
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from mcp_docker import pages
from mcp_docker.caller import Caller
from mcp_docker.completion import Completion, RunningNames
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.prompt import Prompt
from mcp_docker.resource import Resource
from mcp_docker.server.subscriptions import Subscriptions
from mcp_docker.server.wire import COMPLETE, RequestContext, Who, failed, progress_of, whole
from mcp_docker.tool import Kind

_CURSOR = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class Reading:
    """The handlers of prompts/*, resources/* and completion/complete.

    Args:
        who: tells the caller of a request.
    """

    def __init__(self, pipeline: Pipeline, who: Who, subscriptions: Subscriptions) -> None:
        self._pipeline = pipeline
        self._registry = pipeline.registry
        self._who = who
        self._subscriptions = subscriptions

    async def list_prompts(self, context: RequestContext, params: types.PaginatedRequestParams | None) -> Any:
        """prompts/list"""
        whole(params)
        prompts = self._registry.prompts(self._who(context)).values()
        return {"prompts": [_prompt(prompt) for prompt in prompts], **COMPLETE}

    async def get_prompt(self, context: RequestContext, params: types.GetPromptRequestParams) -> Any:
        """prompts/get: facts and a plan, as a message of the user's."""
        who = self._who(context)
        # clients' forms send what a person left blank
        arguments = {name: text for name, text in (params.arguments or {}).items() if text}
        call = Call(params.name, arguments, who, progress_of(context), kind=Kind.PROMPT)
        result = await self._pipeline.call(call)
        if result.is_error:
            raise failed(result, context)
        message = {"role": "user", "content": {"type": "text", "text": result.text}}
        description = self._registry.prompts(who)[params.name].spec.description
        return {"description": description, "messages": [message], **COMPLETE}

    async def list_templates(self, context: RequestContext, params: types.PaginatedRequestParams | None) -> Any:
        """resources/templates/list"""
        whole(params)
        resources = self._registry.resources(self._who(context)).values()
        return {"resourceTemplates": [_template(resource) for resource in resources], **COMPLETE}

    async def list_resources(self, context: RequestContext, params: types.PaginatedRequestParams | None) -> Any:
        """resources/list: pages of tools, and what can be read of each container that runs."""
        who = self._who(context)
        resources = self._registry.resources(who)
        cursor = params.cursor if params else None
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise MCPError(types.INVALID_PARAMS, "That is no cursor of this list; list from the start")
        names, more = await self._running(who, cursor or "") if resources else ([], False)
        self._subscriptions.has_listed(context, who)
        listed = [_concrete(resource, name) for name in names for resource in resources.values()]
        if cursor is None:
            listed += [_page(name) for name in self._pages(who)]
        rest = {"nextCursor": names[-1]} if more and names else {}
        return {"resources": listed, **rest, **COMPLETE}

    async def read_resource(self, context: RequestContext, params: types.ReadResourceRequestParams) -> Any:
        """resources/read"""
        uri, who = str(params.uri), self._who(context)
        for name in self._pages(who):
            if uri == pages.URIS[name]:
                return _contents(uri, pages.MIME_TYPE, pages.html(name), {"ui": {"prefersBorder": True}})
        name, variables = self._registry.resource(uri, who)
        result = await self._pipeline.call(Call(name, variables, who, progress_of(context), kind=Kind.RESOURCE))
        if result.is_error:
            raise failed(result, context, uri)
        return _contents(uri, self._registry.resources(who)[name].mime_type, result.text)

    async def complete(self, context: RequestContext, params: types.CompleteRequestParams) -> Any:
        """completion/complete: names of the engine's objects; none where the engine does not answer."""
        who = self._who(context)
        known: list[type[Prompt | Resource]] = [
            *(each for name, each in self._registry.prompts(who).items() if name == getattr(params.ref, "name", None)),
            *(each for each in self._registry.resources(who).values() if each.uri == getattr(params.ref, "uri", None)),
        ]
        argument = params.argument.name
        if not known or argument not in known[0].model_fields:
            raise MCPError(
                types.INVALID_PARAMS,
                "There is no such argument to complete; prompts/list and resources/templates/list have those there are",
            )
        values: list[str] = []
        more = False
        completion = next((each for each in Completion.__subclasses__() if argument in each.arguments), None)
        if completion is not None:
            call = Call(completion.spec.name, {"prefix": params.argument.value}, who, kind=Kind.COMPLETION)
            result = await self._pipeline.call(call)
            if result.data is not None:
                values, more = result.data["values"], result.data["more"]
        return {"completion": {"values": values, "hasMore": more}, **COMPLETE}

    async def _running(self, who: Caller, after: str) -> tuple[list[str], bool]:
        """A page of the containers that run, and whether there is another.

        None where the caller may not list them or no engine answers.
        """
        call = Call(RunningNames.spec.name, {"after": after}, who, kind=Kind.COMPLETION)
        result = await self._pipeline.call(call)
        return (result.data["values"], result.data["more"]) if result.data is not None else ([], False)

    def _pages(self, who: Caller) -> list[str]:
        """The pages of the tools that the caller sees."""
        return [tool.spec.page for tool in self._registry.visible(who).values() if tool.spec.page]


def _prompt(prompt: type[Prompt]) -> dict[str, Any]:
    arguments = [
        {"name": name, "description": field.description, "required": field.is_required()}
        for name, field in prompt.model_fields.items()
    ]
    spec = prompt.spec
    return {"name": spec.name, "title": spec.label, "description": spec.description, "arguments": arguments}


def _template(resource: type[Resource]) -> dict[str, Any]:
    spec = resource.spec
    return {
        "name": spec.name,
        "title": spec.label,
        "uriTemplate": resource.uri,
        "description": spec.description,
        "mimeType": resource.mime_type,
    }


def _concrete(resource: type[Resource], container: str) -> dict[str, Any]:
    spec = resource.spec
    return {
        "name": f"{container} {resource.watched}",
        "title": f"{resource.watched.capitalize()} of {container}",
        "uri": resource.at({"container_id": container}),
        "description": spec.description,
        "mimeType": resource.mime_type,
    }


def _page(name: str) -> dict[str, Any]:
    return {
        "name": f"{name} page",
        "title": f"Page: {name}",
        "uri": pages.URIS[name],
        "description": "Shown beside a tool's answer by clients that have MCP Apps",
        "mimeType": pages.MIME_TYPE,
    }


def _contents(uri: str, mime_type: str, text: str, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    contents = {"uri": uri, "mimeType": mime_type, "text": text} | ({"_meta": meta} if meta else {})
    return {"contents": [contents], **COMPLETE}
