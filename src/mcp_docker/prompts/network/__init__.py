"""What the engine tells of a container's network: its own, or that of the container whose it shares."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

from mcp_docker.tool import Context

MOST_SHARED = 8
MOST_MEMBERS = 30
BRIDGE_OPTION = "com.docker.network.bridge."

_PLAIN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")
_PORT = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?/[a-z]{1,8}")

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Place:
    """A container's place in a network.

    Attributes:
        name: the network's name, which may be any text.
        endpoint: the place, as the container's inspect shows it.
        network: the network, as inspect shows it; empty if it is gone, or not shown to the caller.
        holder: the container that is in it.
    """

    name: str
    endpoint: Mapping[str, Any]
    network: Mapping[str, Any]
    holder: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The network's id; empty for a container that never ran, where the network is not shown."""
        return str(self.network.get("Id") or self.endpoint.get("NetworkID") or "")

    def is_same(self, other: "Place") -> bool:
        """Whether both are places in one network."""
        return self.id == other.id if self.id and other.id else self.name == other.name

    @property
    def reference(self) -> str:
        """The name where it is plain, else the id, if that is known: engines take any text for a network's name."""
        return self.name if _PLAIN.fullmatch(self.name) else self.id[:12]

    @property
    def told(self) -> str:
        return self.reference or "a network of an odd name"

    @property
    def driver(self) -> str:
        return str(self.network.get("Driver") or "")

    @property
    def addresses(self) -> list[str]:
        return [str(at) for kind in ("IPAddress", "GlobalIPv6Address") if (at := self.endpoint.get(kind))]

    @property
    def is_default(self) -> bool:
        """Whether it is the engine's default bridge, where names do not resolve."""
        return self.name in ("bridge", "podman") or self.option("default_bridge") == "true"

    @property
    def names(self) -> list[str]:
        """Names that lead to the container there; older engines tell only of the aliases."""
        if self.is_default:
            return []
        own = [name_of(self.holder), *(self.endpoint.get("Aliases") or []), str(self.holder.get("Id"))[:12]]
        return list(dict.fromkeys(map(str, self.endpoint.get("DNSNames") or own)))

    @property
    def internal(self) -> bool:
        return bool(self.network.get("Internal"))

    def option(self, name: str) -> str:
        return str((self.network.get("Options") or {}).get(BRIDGE_OPTION + name) or "")

    def described(self) -> str:
        """What there is to say of it, for the facts."""
        pools = (self.network.get("IPAM") or {}).get("Config") or []
        others = [str(each.get("Name")) for each in (self.network.get("Containers") or {}).values() if each]
        told = [
            self.driver,
            "internal" if self.internal else "",
            "default bridge: names do not resolve" if self.is_default else "",
            *(f"subnet {pool.get('Subnet')}, gateway {pool.get('Gateway') or 'none'}" for pool in pools if pool),
            "IPv6" if self.network.get("EnableIPv6") else "",
            f"enable_icc={self.option('enable_icc')}" if self.option("enable_icc") else "",
            f"address {' and '.join(self.addresses) or 'none'}",
            f"names {', '.join(self.names) or 'none'}",
            f"containers in it: {', '.join(sorted(others)[:MOST_MEMBERS]) or 'none that run'}" if self.network else "",
        ]
        return f"{self.name}: {'; '.join(filter(None, told))}"


@dataclass(frozen=True)
class Side:
    """A container, and where it is in networks.

    Attributes:
        found: the container, as inspect shows it.
        holder: the container whose network it has, itself as a rule; None if that is gone.
    """

    found: Mapping[str, Any]
    holder: Mapping[str, Any] | None
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        return name_of(self.found)

    @property
    def state(self) -> str:
        return str((self.found.get("State") or {}).get("Status") or "")

    @property
    def runs(self) -> bool:
        state = self.found.get("State") or {}
        return bool(state.get("Running")) and not state.get("Paused") and not state.get("Restarting")

    @property
    def host(self) -> Mapping[str, Any]:
        return self.found.get("HostConfig") or {}

    @cached_property
    def mode(self) -> str:
        """The network mode that holds in the end."""
        last = self.holder if self.holder is not None else self.found
        return str((last.get("HostConfig") or {}).get("NetworkMode") or "default")

    @property
    def borrowed(self) -> bool:
        return self.holder is not self.found

    @cached_property
    def ports(self) -> dict[str, list[Mapping[str, Any]]]:
        """What is published, by the container's port; what is only exposed has an empty list."""
        settings = (self.holder or {}).get("NetworkSettings") or {}
        exposed = ((self.holder or {}).get("Config") or {}).get("ExposedPorts") or {}
        every = {port: [] for port in exposed} | {port: at or [] for port, at in (settings.get("Ports") or {}).items()}
        # an image may expose any text
        return {port: at for port, at in every.items() if _PORT.fullmatch(port)}

    def is_in(self, network: Place) -> bool:
        return any(network.is_same(place) for place in self.places)

    @property
    def addresses(self) -> list[str]:
        return [address for place in self.places for address in place.addresses]


def name_of(found: Mapping[str, Any]) -> str:
    return str(found.get("Name") or "").lstrip("/") or str(found.get("Id"))[:12]


def side(ctx: Context, found: Mapping[str, Any]) -> Side:
    """Find out where a container is in networks; each network is asked for once."""
    holder: Mapping[str, Any] | None = found
    for _ in range(MOST_SHARED):
        mode = str(((holder or {}).get("HostConfig") or {}).get("NetworkMode") or "")
        if not mode.startswith("container:"):
            break
        owner = mode.partition(":")[2]
        holder = unless_gone(partial(ctx.engine.docker.inspect_container, owner))
    settings = (holder or {}).get("NetworkSettings") or {}
    networks = {name: at or {} for name, at in (settings.get("Networks") or {}).items() if name not in ("host", "none")}
    asked = sorted(str(at.get("NetworkID") or name) for name, at in networks.items())
    shown: dict[str, Any] = {}
    if "docker_inspect_network" in ctx.tools:
        shown = dict(zip(asked, ctx.gather(lambda each: _network(ctx, each), asked), strict=True))
    places = [
        Place(name, at, shown.get(str(at.get("NetworkID") or name)) or {}, holder or {})
        for name, at in sorted(networks.items())
    ]
    return Side(found, holder, tuple(places))


def _network(ctx: Context, name: str) -> dict[str, Any] | None:
    # one that never ran knows only its network's name, which may be any text and becomes part of a path
    return unless_gone(lambda: ctx.engine.docker.inspect_network(name)) if _PLAIN.fullmatch(name) else None


def neighbours(ctx: Context, it: Side) -> list[Side]:
    """The other containers that run in its networks, as far as names resolve there."""
    known = {place.name: place.network for place in it.places if place.names}
    members = dict.fromkeys(
        member for network in known.values() for member in list(network.get("Containers") or {})[:MOST_MEMBERS]
    )
    members.pop(str((it.holder or {}).get("Id")), None)
    read = ctx.gather(lambda member: unless_gone(partial(ctx.engine.docker.inspect_container, member)), members)
    return [
        Side(found, found, tuple(Place(name, at or {}, known.get(name) or {}, found) for name, at in networks.items()))
        for found in read
        if found and (networks := (found.get("NetworkSettings") or {}).get("Networks") or {})
    ]


def unless_gone(read: Callable[[], Answer]) -> Answer | None:
    """None for what is not there: others may have removed it, and the rest is worth telling."""
    from docker.errors import NotFound

    try:
        return read()
    except NotFound:
        return None
