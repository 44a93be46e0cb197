"""Which registries images come from, and go to. Names of hosts are compared as written; DNS is never asked."""

import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_docker.engine import Engine
from mcp_docker.errors import NotPermitted, RegistryRefused
from mcp_docker.settings import Settings

PUBLIC = (
    "docker.io",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "k8s.gcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "registry.gitlab.com",
    "docker.elastic.co",
    "nvcr.io",
    "registry.access.redhat.com",
    "registry.redhat.io",
    "lscr.io",
    "cgr.dev",
    "registry.fedoraproject.org",
    "registry.opensuse.org",
    "registry.suse.com",
    "container-registry.oracle.com",
)
"""Registries that anybody may pull from, where SAFETY_ALLOWED_REGISTRIES is unset."""

_HUB = "docker.io"
_HUBS = {"index.docker.io", "registry-1.docker.io"}
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]{{2,45}}\])(?::([0-9]{{1,5}}))?")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")

_PRIVATE_NAMES = "localhost local internal lan localdomain home home.arpa intranet corp private".split()


@dataclass(frozen=True)
class Place:
    """A registry, or a part of one: `host[:port]` in lower case, and the parts of the path below it."""

    host: str
    path: tuple[str, ...] = ()

    def holds(self, other: "Place") -> bool:
        """Whether the other is this one or below it."""
        return self.host == other.host and self.path == other.path[: len(self.path)]

    def __str__(self) -> str:
        return "/".join((self.host, *self.path))


def checked(entries: Iterable[str]) -> None:
    """Check the settings' lists of registries.

    Raises:
        ValueError: naming the entry that is malformed, and how to write it.
    """
    for entry in entries:
        entered(entry)


def entered(entry: str) -> Place:
    """An entry of a setting: `host[:port][/prefix]`. Raises ValueError."""
    text = entry.strip()
    if "://" in text:
        raise ValueError(f"{entry!r}: write the registry without {text.partition('://')[0]}://")
    if "*" in text or "?" in text:
        raise ValueError(f"{entry!r}: there are no wildcards; a host stands for all below it, as does host/prefix")
    host, _, prefix = text.rstrip("/").partition("/")
    match = _HOST.fullmatch(host)
    parts = tuple(prefix.split("/")) if prefix else ()
    if match is None or not all(map(_PART.fullmatch, parts)) or not 0 < int(match[2] or 1) <= 65_535:
        raise ValueError(f"{entry!r} is no registry: write host[:port][/prefix], in lower case and without a tag")
    if not _is_host(host.lower()):
        raise ValueError(f"{entry!r} begins with no registry: of Docker Hub, write {_HUB}/{text}")
    return Place(_host(host), parts)


def pull(settings: Settings, value: str, engine: Engine) -> str:  # noqa: ARG001 - the form of a rule
    """The rule of Power.PULL: the registry of an image's name is allowed, by name or by default."""
    place = _named(value)
    allowed = settings.safety_allowed_registries
    if allowed is not None:
        if not _listed(place, allowed, "SAFETY_ALLOWED_REGISTRIES"):
            raise _refused(place, "is not among SAFETY_ALLOWED_REGISTRIES", f"adding {place.host} there allows it.")
        return value
    if any(Place(host).holds(place) for host in PUBLIC):
        return value
    known = any(each.holds(place) for each in _configured(settings))
    if known and not private(place.host):
        return value
    raise _refused(
        place,
        "has a private address"
        if known
        else "is neither one of the public registries nor of Docker's own configuration",
        f"SAFETY_ALLOWED_REGISTRIES={place.host} allows it, in place of the default list.",
    )


def push(settings: Settings, value: str, engine: Engine) -> str:  # noqa: ARG001 - the form of a rule
    """The rule of Power.PUSH: the registry of an image's name is on the operator's list."""
    place = _named(value)
    if _listed(place, settings.safety_allowed_push_registries, "SAFETY_ALLOWED_PUSH_REGISTRIES"):
        return value
    raise _refused(
        place,
        "is not among SAFETY_ALLOWED_PUSH_REGISTRIES",
        f"adding {place.host} there, or {place}, allows it.",
        "push to",
    )


def _listed(place: Place, entries: Iterable[str], setting: str) -> bool:
    try:
        places = [entered(entry) for entry in entries]
    except ValueError as error:
        raise RegistryRefused(f"{setting} can't be understood: {error}", "the operator corrects it.") from None
    return any(each.holds(place) for each in places)


def private(host: str) -> bool:
    """Whether a `host[:port]` is an address of a private network, or a name that only such a network knows."""
    match = _HOST.fullmatch(host)
    if match is None:
        return True
    name = match[1].strip("[]").lower()
    try:
        return _private_address(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    # 127.1 and 0x7f.0.0.1 are addresses to many a resolver
    if len(labels) == 1 or not re.search("[a-z]", labels[-1]) or labels[-1].startswith("0x"):
        return True
    return any(name == ending or name.endswith(f".{ending}") for ending in _PRIVATE_NAMES)


def _private_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # addresses that carry another one: no registry has them
        carries = address.ipv4_mapped or address.sixtofour or address.teredo
        return bool(carries) or address in ipaddress.ip_network("64:ff9b::/32") or not address.is_global
    return not address.is_global or address.is_multicast


def _named(value: str) -> Place:
    """Where an image's name points. Raises RegistryRefused if it is no name."""
    name, at, digest = value.partition("@")
    tag = "latest"
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    host, slash, path = name.partition("/")
    if not slash or not _is_host(host):
        host, path = _HUB, name
    parts = tuple(path.split("/"))
    whole = _HOST.fullmatch(host) and all(map(_PART.fullmatch, parts)) and _TAG.fullmatch(tag)
    if not whole or (at and not _DIGEST.fullmatch(digest)):
        raise RegistryRefused(
            f"{value[:300]!r} is no image name", "write [host[:port]/]path[:tag][@sha256:digest], in lower case."
        )
    # engines know these two spellings of Docker Hub alone, and ask any other for the path as it is written
    short = len(parts) == 1 and host in (_HUB, f"index.{_HUB}")
    return Place(_host(host), ("library", *parts) if short else parts)


def _is_host(text: str) -> bool:
    """Whether the first part of a name is a host, as engines tell it from a path."""
    return "." in text or ":" in text or text == "localhost" or text != text.lower()


def _host(text: str) -> str:
    lowered = text.lower()
    if lowered in _HUBS:
        return _HUB
    if lowered.startswith("["):
        address, _, port = lowered.rpartition("]")
        try:
            return f"[{ipaddress.ip_address(address[1:])}]{port}"
        except ValueError:
            return lowered
    return lowered


def _configured(settings: Settings) -> list[Place]:
    """The registries that the operator's own Docker configuration knows."""
    try:
        folder = settings.docker_config or Path("~/.docker").expanduser()
        stored: Any = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RuntimeError):  # a RuntimeError: there is no home
        return []
    if not isinstance(stored, dict):
        return []
    keys = [key for name in ("auths", "credHelpers") if isinstance(stored.get(name), dict) for key in stored[name]]
    return [place for key in keys if (place := _stored(key))]


def _stored(key: str) -> Place | None:
    text = re.sub(r"^https?://", "", key)
    try:
        return entered(re.sub(r"/v[12]/?$", "", text))
    except ValueError:
        return None


def _refused(place: Place, why: str, hint: str, verb: str = "pull from") -> NotPermitted:
    return RegistryRefused(f"{verb} {place}: the registry {place.host} {why}", hint)
