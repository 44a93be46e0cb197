"""Finds the tools, and says which of them a caller sees."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from loguru import logger

from mcp_docker import tools
from mcp_docker.caller import Caller
from mcp_docker.errors import SettingsError, ToolNotAvailable
from mcp_docker.settings import Settings
from mcp_docker.tool import Tier, Tool

GONE = frozenset({"docker_system_info", "docker_system_df", "docker_healthcheck"})
"""Tools of the 1.x line that exist no more: accepted in lists, with a warning."""


class Hidden(StrEnum):
    """Why a tool is not visible, in the order in which it is decided."""

    DENIED = "named in SAFETY_DENIED_TOOLS"
    NOT_LISTED = "not in SAFETY_ALLOWED_TOOLS"
    MODERATE_OFF = "needs SAFETY_ALLOW_MODERATE_OPERATIONS=true"
    DESTRUCTIVE_OFF = "needs SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true"
    SCOPE = "needs a token with a wider scope"
    GROUP = "not allowed to the caller's groups"


@dataclass(frozen=True)
class Entry:
    """A tool, and why it is hidden; None when it is visible."""

    tool: type[Tool]
    hidden: Hidden | None


def declared() -> dict[str, type[Tool]]:
    """Every tool by name, found in the modules of `mcp_docker.tools`."""
    for module in pkgutil.walk_packages(tools.__path__, f"{tools.__name__}."):
        importlib.import_module(module.name)
    found = [tool for tool in Tool.__subclasses__() if tool.__module__.startswith(tools.__name__ + ".")]
    return {tool.spec.name: tool for tool in sorted(found, key=lambda tool: (tool.spec.toolset, _order(tool)))}


class Registry:
    """The tools of one server under the operator's settings.

    Raises:
        SettingsError: a list names a tool that does not exist, with the nearest name that does.
    """

    def __init__(self, settings: Settings, all_tools: Mapping[str, type[Tool]] | None = None) -> None:
        self._tools = declared() if all_tools is None else dict(all_tools)
        self._names = {
            name: tool.spec.name for tool in self._tools.values() for name in (tool.spec.name, *tool.spec.aliases)
        }
        self._settings = settings
        self._denied = self.canonical("SAFETY_DENIED_TOOLS", settings.safety_denied_tools)
        allowed = settings.safety_allowed_tools
        self._allowed = None if allowed is None else self.canonical("SAFETY_ALLOWED_TOOLS", allowed)
        self.canonical("SAFETY_TOOL_TIMEOUTS", settings.safety_tool_timeouts)

    def entries(self, caller: Caller) -> list[Entry]:
        """Every tool, with the reason why it is hidden from the caller."""
        return [Entry(tool, self._hidden(tool, caller)) for tool in self._tools.values()]

    def visible(self, caller: Caller) -> dict[str, type[Tool]]:
        """The tools that exist for the caller: what is listed is what can be called."""
        return {entry.tool.spec.name: entry.tool for entry in self.entries(caller) if entry.hidden is None}

    def find(self, name: str, caller: Caller) -> type[Tool]:
        """The tool of that name or alias, if it is visible to the caller.

        Raises:
            ToolNotAvailable: unknown and forbidden tools alike.
        """
        tool = self.visible(caller).get(self._names.get(name, name))
        if tool is None:
            raise ToolNotAvailable(name)
        return tool

    def seconds(self, tool: Tool) -> float:
        """The time limit of a call, in seconds: the operator's for the tool, the tool's own, or the default."""
        settings, spec = self._settings, tool.spec
        chosen = {
            self._names[name]: limit for name, limit in settings.safety_tool_timeouts.items() if name in self._names
        }
        own = chosen.get(spec.name, spec.seconds or settings.safety_default_tool_timeout)
        return max(own, tool.seconds_needed() or 0)

    def _hidden(self, tool: type[Tool], caller: Caller) -> Hidden | None:
        name, tier, settings = tool.spec.name, tool.spec.tier, self._settings
        # 1. deny wins
        if name in self._denied:
            return Hidden.DENIED
        # 2. where there is an allow list, only what it names
        if self._allowed is not None and name not in self._allowed:
            return Hidden.NOT_LISTED
        # 3. the tiers, which cumulate
        if tier is not Tier.SAFE and not settings.safety_allow_moderate_operations:
            return Hidden.MODERATE_OFF
        if tier is Tier.DESTRUCTIVE and not settings.safety_allow_destructive_operations:
            return Hidden.DESTRUCTIVE_OFF
        # 4. what the caller's token allows of that
        if tier not in caller.tiers:
            return Hidden.SCOPE
        # 5. and what the caller's groups allow
        if caller.tools is not None and name not in caller.tools:
            return Hidden.GROUP
        return None

    def canonical(self, setting: str, names: Iterable[str]) -> frozenset[str]:
        """The tools' own names for those that a setting lists.

        Raises:
            SettingsError: there is no such tool, with the nearest name that there is.
        """
        problems = []
        for name in names:
            if name in GONE:
                logger.warning("{}: {} is a tool of the 1.x line that exists no more", setting, name)
            elif name not in self._names:
                nearest = difflib.get_close_matches(name, self._names, n=1, cutoff=0.5)
                advice = f"did you mean {nearest[0]}?" if nearest else '"mcp-docker tools" lists them'
                problems.append(f"{setting}: there is no tool {name!r}; {advice}")
        if problems:
            raise SettingsError(problems)
        return frozenset(self._names[name] for name in names if name in self._names)


def _order(tool: type[Tool]) -> tuple[int, str]:
    return list(Tier).index(tool.spec.tier), tool.spec.name
