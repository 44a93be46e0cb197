"""The container that a Compose file is to make again, and what it is compared with."""

import re
from dataclasses import dataclass, field
from typing import Any

from mcp_docker.prompts.inspected import SERVICE, Inspected

PRESET_NETWORKS = frozenset({"bridge", "default", "podman", "nat"})
_AUTOMATIC_LABELS = ("com.docker.compose.", "com.docker.swarm.", "desktop.docker.io/", "mcp-docker.")
_PODMAN_ENVIRONMENT = frozenset({"container", "HOSTNAME", "TERM", "HOME"})
_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")


@dataclass(frozen=True)
class Original(Inspected):
    """What the engine tells.

    Attributes:
        image: its image's inspect; empty where that is gone or not to be seen.
        info: what the engine says of itself (GET /info): its defaults.
        names: of other containers, by the id that this one refers to them with.
        gone: networks that it names and that are no more.
    """

    image: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    is_podman: bool = False

    @property
    def service(self) -> str:
        """The name of the service: the one it had in Compose, or the container's."""
        labelled = str(self.all_labels.get(SERVICE) or "")
        return labelled if _KEY.fullmatch(labelled) else self.name

    @property
    def defaults(self) -> dict[str, Any]:
        """The image's configuration."""
        return self.image.get("Config") or {}

    @property
    def labels(self) -> dict[str, str]:
        """Labels that somebody gave the container itself."""
        given = self.defaults.get("Labels") or {}
        return {
            name: value
            for name, value in self.all_labels.items()
            if given.get(name) != value and not name.startswith(_AUTOMATIC_LABELS)
        }

    @property
    def environment(self) -> dict[str, str | None]:
        """Variables that somebody gave the container itself; None for one without a value."""
        given = set(self.defaults.get("Env") or [])
        pairs = [entry.partition("=") for entry in self.config.get("Env") or [] if entry not in given]
        return {
            name: value if equals else None
            for name, equals, value in pairs
            if not (self.is_podman and name in _PODMAN_ENVIRONMENT)
        }

    @property
    def attached(self) -> dict[str, dict[str, Any]]:
        """Networks that somebody made, with the container's place in each."""
        networks = (self.found.get("NetworkSettings") or {}).get("Networks") or {}
        return {
            name: place or {}
            for name, place in sorted(networks.items())
            if name not in PRESET_NETWORKS | {"host", "none"}
        }


def key(name: str, taken: dict[str, Any]) -> str:
    """A key that Compose accepts, made from a name, and not taken yet."""
    wanted = re.sub(r"[^a-zA-Z0-9._-]+", "-", name).strip("-.") or "data"
    chosen, number = wanted, 2
    while chosen in taken:
        chosen, number = f"{wanted}-{number}", number + 1
    return chosen
