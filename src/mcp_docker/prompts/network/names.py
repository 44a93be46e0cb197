"""Where the names lead that a container looks for, as far as the engine tells."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mcp_docker.prompts.inspected import PROJECT, SERVICE
from mcp_docker.prompts.network import Side, name_of
from mcp_docker.prompts.network.causes import Cause, overridden

_SERVICE = (PROJECT, SERVICE, "com.docker.swarm.service.id")


def rivals(it: Side, peer: Side, others: Sequence[Side]) -> list[tuple[str, str]]:
    """Others that share a name with the peer in a network of both, and the network; not copies of one service."""
    return [
        (other.name, place.told)
        for place in peer.places
        if it.is_in(place)
        for other in others
        if _service(other.found) != _service(peer.holder or {})
        for at in other.places
        if at.is_same(place) and set(at.names) & set(place.names)
    ]


def ambiguous(it: Side, others: Sequence[Side]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Names in its networks that lead to several containers, by the network and these; not those of one service."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for place in it.places:
        bearers: dict[str, dict[str, str]] = {}
        for side in (it, *others) if it.runs else others:
            for at in side.places:
                for name in at.names if at.is_same(place) else []:
                    bearers.setdefault(name, {}).setdefault(_service(at.holder), name_of(at.holder))
        for name, by_service in bearers.items():
            if len(by_service) > 1:
                found.setdefault((place.told, tuple(sorted(by_service.values()))), []).append(name)
    return found


def _service(found: Mapping[str, Any]) -> str:
    """What its copies have in common, if somebody made several of it; else what it alone has."""
    labels = (found.get("Config") or {}).get("Labels") or {}
    return " ".join(str(labels[label]) for label in _SERVICE if labels.get(label)) or str(found.get("Id"))


def of_names(it: Side, others: Sequence[Side]) -> Iterator[Cause]:
    """Names that lead elsewhere than they seem to, where nobody said which one is looked for."""
    for cause in overridden(it, others):
        yield replace(cause, remedy=f"If {it.name} is to reach the container by that name: {cause.remedy}")
    for network, bearers in ambiguous(it, others):
        yield Cause(
            f"{', '.join(bearers[:-1])} and {bearers[-1]} have a name in common in {network} (see the facts): it leads "
            "now to one of them, now to another.",
            "If they are not meant to stand in for each other, take that name away from those that should not have it.",
        )


def of_servers(it: Side) -> Iterator[Cause]:
    """What name servers of its own mean."""
    servers, name = it.host.get("Dns") or [], it.name
    if any(_is_loopback(str(server)) for server in servers):
        yield Cause(
            f"{name} is told to ask a name server on loopback, which is {name} itself.",
            f"Create {name} anew with a name server that it can reach, or with none.",
        )
    elif servers:
        yield Cause(f"{name} is told which name servers to ask (--dns, see the facts): it does not ask the host's.")


def _is_loopback(address: str) -> bool:
    try:
        # the engine's own resolver
        return ipaddress.ip_address(address).is_loopback and address != "127.0.0.11"
    except ValueError:
        return False


def told(it: Side) -> str:
    """What else decides where names lead, for the facts."""
    host: Mapping[str, Any] = it.host
    told = {
        "name servers": ", ".join(map(str, host.get("Dns") or [])),
        "search": ", ".join(map(str, host.get("DnsSearch") or [])),
        "options": ", ".join(map(str, host.get("DnsOptions") or [])),
        "extra hosts": ", ".join(map(str, host.get("ExtraHosts") or [])),
        "links": ", ".join(map(str, host.get("Links") or [])),
    }
    return "\n".join(f"{name}: {value}" for name, value in told.items() if value)
