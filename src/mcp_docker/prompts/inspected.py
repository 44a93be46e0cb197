"""A container as inspect shows it (Engine API, ContainerInspect)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
"""Labels by which Compose knows what it made."""

_NUMBER = re.compile(r"[0-9]{1,10}")


def number(text: str) -> int | None:
    """The number that a text is, of at most ten digits as ports, signals and exit codes have; None of any other."""
    return int(text) if _NUMBER.fullmatch(text) else None


def words(value: str | list[str] | None) -> list[str]:
    """A command: Podman writes it as one text."""
    return [value] if isinstance(value, str) and value else list(value or [])


@dataclass(frozen=True)
class Inspected:
    """A container, whose parts are empty where an engine leaves them out.

    Attributes:
        found: what inspect shows.
    """

    found: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.found["Id"])

    @property
    def name(self) -> str:
        return str(self.found.get("Name") or self.id[:12]).lstrip("/")

    @property
    def config(self) -> Mapping[str, Any]:
        return self.found.get("Config") or {}

    @property
    def host(self) -> Mapping[str, Any]:
        return self.found.get("HostConfig") or {}

    @property
    def state(self) -> Mapping[str, Any]:
        return self.found.get("State") or {}

    @property
    def all_labels(self) -> Mapping[str, str]:
        """The image's labels too."""
        return self.config.get("Labels") or {}

    @cached_property
    def command(self) -> list[str]:
        """Entrypoint and command as one line of words."""
        return words(self.config.get("Entrypoint")) + words(self.config.get("Cmd"))
