"""Finds the tools, prompts, resources and completions, and says which of them a caller sees."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import TypeVar

from loguru import logger

from mcp_docker import prompts, resources, tools
from mcp_docker.caller import Caller
from mcp_docker.completion import Completion
from mcp_docker.errors import NotAvailable, PromptNotAvailable, ResourceNotAvailable, SettingsError, ToolNotAvailable
from mcp_docker.prompt import Prompt
from mcp_docker.resource import Resource
from mcp_docker.settings import Settings
from mcp_docker.tool import Declaration, Kind, Tier, Tool

Declared = TypeVar("Declared", bound=Declaration)

GONE = frozenset({"docker_system_info", "docker_system_df", "docker_healthcheck"})
"""Tools of the 1.x line that exist no more: accepted in lists, with a warning."""

REFUSALS: Mapping[Kind, type[NotAvailable]] = {
    Kind.TOOL: ToolNotAvailable,
    Kind.PROMPT: PromptNotAvailable,
    Kind.RESOURCE: ResourceNotAvailable,
    Kind.SUBSCRIPTION: ResourceNotAvailable,
    Kind.COMPLETION: ResourceNotAvailable,
}


class Hidden(StrEnum):
    """Why something is not visible, in the order in which it is decided."""

    DENIED = "named in SAFETY_DENIED_TOOLS"
    NOT_LISTED = "not in SAFETY_ALLOWED_TOOLS"
    MODERATE_OFF = "needs SAFETY_ALLOW_MODERATE_OPERATIONS=true"
    DESTRUCTIVE_OFF = "needs SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true"
    SCOPE = "needs a token with a wider scope"
    GROUP = "not allowed to the caller's groups"
    PROMPT_NOT_LISTED = "not in SAFETY_ALLOWED_PROMPTS"
    RESOURCE_NOT_LISTED = "not in SAFETY_ALLOWED_RESOURCES"
    SHOWS_HIDDEN = "shows facts of tools that are hidden"


@dataclass(frozen=True)
class Entry:
    """A declaration, and why it is hidden; None when it is visible."""

    declared: type[Declaration]
    hidden: Hidden | None


def declared() -> dict[str, type[Tool]]:
    """Every tool by name, found in the modules of `mcp_docker.tools`."""
    found = _found(tools, Tool)
    return {tool.spec.name: tool for tool in sorted(found, key=lambda tool: (tool.spec.toolset, _order(tool)))}


def declared_prompts() -> dict[str, type[Prompt]]:
    """Every prompt by name, found in the modules of `mcp_docker.prompts`."""
    return {prompt.spec.name: prompt for prompt in sorted(_found(prompts, Prompt), key=lambda prompt: prompt.spec.name)}


def declared_resources() -> dict[str, type[Resource]]:
    """Every resource by name, found in the modules of `mcp_docker.resources`."""
    return {each.spec.name: each for each in sorted(_found(resources, Resource), key=lambda each: each.spec.name)}


def _found(package: ModuleType, base: type[Declared]) -> list[type[Declared]]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return [kind for kind in base.__subclasses__() if kind.__module__.startswith(package.__name__ + ".")]


class Registry:
    """The tools, prompts, resources and completions of one server under the operator's settings.

    Raises:
        SettingsError: a list names what does not exist, with the nearest name that does.
    """

    def __init__(self, settings: Settings, all_tools: Mapping[str, type[Tool]] | None = None) -> None:
        self._tools = declared() if all_tools is None else dict(all_tools)
        self._prompts = declared_prompts()
        self._resources = declared_resources()
        self._completions = {each.spec.name: each for each in Completion.__subclasses__()}
        self._names = {
            name: tool.spec.name for tool in self._tools.values() for name in (tool.spec.name, *tool.spec.aliases)
        }
        self._settings = settings
        self._denied = self.canonical("SAFETY_DENIED_TOOLS", settings.safety_denied_tools)
        allowed = settings.safety_allowed_tools
        self._allowed = None if allowed is None else self.canonical("SAFETY_ALLOWED_TOOLS", allowed)
        self.canonical("SAFETY_TOOL_TIMEOUTS", settings.safety_tool_timeouts)
        _known("SAFETY_ALLOWED_PROMPTS", settings.safety_allowed_prompts, self._prompts, "prompt")
        _known("SAFETY_ALLOWED_RESOURCES", settings.safety_allowed_resources, self._resources, "resource")

    def entries(self, caller: Caller, kind: Kind = Kind.TOOL) -> list[Entry]:
        """Everything of a kind, with the reason why it is hidden from the caller."""
        return [Entry(each, self._hidden(each, caller)) for each in self._all(kind).values()]

    def visible(self, caller: Caller) -> dict[str, type[Tool]]:
        """The tools that exist for the caller: what is listed is what can be called."""
        return self._seen(self._tools, caller)

    def prompts(self, caller: Caller) -> dict[str, type[Prompt]]:
        """The prompts that exist for the caller."""
        return self._seen(self._prompts, caller)

    def resources(self, caller: Caller) -> dict[str, type[Resource]]:
        """The resources that exist for the caller."""
        return self._seen(self._resources, caller)

    def find(self, name: str, caller: Caller, kind: Kind = Kind.TOOL) -> type[Declaration]:
        """What has that name or alias, if it is visible to the caller.

        Raises:
            NotAvailable: unknown and forbidden ones alike.
        """
        found = self._all(kind).get(self._names.get(name, name) if kind is Kind.TOOL else name)
        if found is None or self._hidden(found, caller) is not None:
            raise REFUSALS[kind](name)
        return found

    def resource(self, uri: str, caller: Caller) -> tuple[str, dict[str, str]]:
        """The name of the resource that a URI belongs to, and the variables in it.

        Of none that exists for the caller, the URI itself: a refusal repeats no name that the caller did not send.
        """
        for name, resource in self.resources(caller).items():
            if (variables := resource.variables(uri)) is not None:
                return name, variables
        return uri, {}

    def seconds(self, asked: Declaration) -> float:
        """The time limit of a call, in seconds: the operator's for the tool, the tool's own, or the default."""
        settings, spec = self._settings, asked.spec
        chosen = {
            self._names[name]: limit for name, limit in settings.safety_tool_timeouts.items() if name in self._names
        }
        own = chosen.get(spec.name, spec.seconds or settings.safety_default_tool_timeout)
        return max(own, asked.seconds_needed() or 0)

    def _all(self, kind: Kind) -> Mapping[str, type[Declaration]]:
        every: Mapping[Kind, Mapping[str, type[Declaration]]] = {
            Kind.TOOL: self._tools,
            Kind.PROMPT: self._prompts,
            Kind.RESOURCE: self._resources,
            Kind.SUBSCRIPTION: self._resources,
            Kind.COMPLETION: self._completions,
        }
        return every[kind]

    def _seen(self, every: Mapping[str, type[Declared]], caller: Caller) -> dict[str, type[Declared]]:
        return {name: each for name, each in every.items() if self._hidden(each, caller) is None}

    def _hidden(self, asked: type[Declaration], caller: Caller) -> Hidden | None:
        name, tier, settings = asked.spec.name, asked.spec.tier, self._settings
        # 1. prompts and resources: only what a list of them names, and only where all is seen whose facts they show
        if asked.spec.kind is not Kind.TOOL:
            listed = {
                Kind.PROMPT: (settings.safety_allowed_prompts, Hidden.PROMPT_NOT_LISTED),
                Kind.RESOURCE: (settings.safety_allowed_resources, Hidden.RESOURCE_NOT_LISTED),
            }
            names, reason = listed.get(asked.spec.kind, (None, Hidden.SHOWS_HIDDEN))
            if names is not None and name not in names:
                return reason
            shown = [self._tools.get(tool) for tool in asked.spec.shows]
            return Hidden.SHOWS_HIDDEN if any(tool is None or self._hidden(tool, caller) for tool in shown) else None
        # 2. deny wins
        if name in self._denied:
            return Hidden.DENIED
        # 3. where there is an allow list, only what it names
        if self._allowed is not None and name not in self._allowed:
            return Hidden.NOT_LISTED
        # 4. the tiers, which cumulate
        if tier is not Tier.SAFE and not settings.safety_allow_moderate_operations:
            return Hidden.MODERATE_OFF
        if tier is Tier.DESTRUCTIVE and not settings.safety_allow_destructive_operations:
            return Hidden.DESTRUCTIVE_OFF
        # 5. what the caller's token allows of that
        if tier not in caller.tiers:
            return Hidden.SCOPE
        # 6. and what the caller's groups allow
        if caller.tools is not None and name not in caller.tools:
            return Hidden.GROUP
        return None

    def canonical(self, setting: str, names: Iterable[str]) -> frozenset[str]:
        """The tools' own names for those that a setting lists.

        Raises:
            SettingsError: there is no such tool, with the nearest name that there is.
        """
        names = list(names)
        for name in GONE.intersection(names):
            logger.warning("{}: {} is a tool of the 1.x line that exists no more", setting, name)
        _known(setting, [name for name in names if name not in GONE], self._names, "tool")
        return frozenset(self._names[name] for name in names if name in self._names)


def _known(setting: str, names: Iterable[str] | None, known: Iterable[str], what: str) -> None:
    """Raise SettingsError for names that nothing has, with the nearest that something has."""
    known, problems = list(known), []
    for name in names or ():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            advice = f"did you mean {nearest[0]}?" if nearest else '"mcp-docker tools" lists them'
            problems.append(f"{setting}: there is no {what} {name!r}; {advice}")
    if problems:
        raise SettingsError(problems)


def _order(tool: type[Tool]) -> tuple[int, str]:
    return list(Tier).index(tool.spec.tier), tool.spec.name
