"""What a container can't reach, and whether its networks are why."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcp_docker.prompts.diagnosis import logs
from mcp_docker.prompts.diagnosis.facts import Facts
from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight
from mcp_docker.prompts.inspected import PROJECT, SERVICE
from mcp_docker.tools.containers.read import container_name

CAUSES = (Cause.NAME_UNKNOWN, Cause.REFUSED, Cause.UNREACHABLE, Cause.TIMED_OUT)
_DEFAULTS = frozenset({"bridge", "podman"})
"""Networks that give their containers no names."""
_WAITING = r"wait|retry|retries|attempt|connect|unavailable|not ready|not available|unreachable|timeout|timed out"
_PLACES = r"HOST|URL|URI|ADDR|SERVER|ENDPOINT|BROKER|DSN|UPSTREAM|BACKEND"
_WORD = re.compile(r"(?<![\w.-])(?<!(?<!/)/)[a-zA-Z0-9][\w.-]*|\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
"""A host, or what may be one: no part of a path, but Java writes an address after a slash."""
_LOCAL = re.compile(r"\blocalhost\b|\b127\.0\.0\.1\b|\[::1\]|(?<![\w:])::1\b", re.IGNORECASE)
_UPSTREAM = re.compile(r"\bupstream: \"[^\"]*")
"""Where a proxy connects to, in a line that also names its client, itself and the host that was asked for."""


def reach(facts: Facts, match: logs.Match) -> Iterator[Finding]:
    """Why the connection that a line of the log tells of came to nothing."""
    sure = logs.weight(facts, match)
    shared = facts.network_mode == "host" or facts.network_mode.startswith("container:")
    upstream = _UPSTREAM.search(match.line)
    local = _LOCAL.search(upstream[0] if upstream else match.line)
    if match.cause is not Cause.NAME_UNKNOWN and not shared and local:
        # libraries and clients have the names of what they connect to, and so have containers
        yield Finding(Cause.OWN_LOCALHOST, sure)
    elif peer := _peer(facts, match.text):
        yield _to_peer(facts, match, peer, sure)
    elif facts.network_mode == "none":
        yield Finding(Cause.NO_NETWORK, sure, "its network mode is none")
    elif "host.docker.internal" in match.text and match.cause is Cause.NAME_UNKNOWN:
        yield Finding(Cause.HOST_NAME, sure, "on Linux it has to be added as an extra host, as host-gateway")
    elif facts.internal:
        yield Finding(Cause.INTERNAL_NETWORK, sure, f"{_all(facts.networks_joined)} leads nowhere else")
    else:
        told = "no container of this engine has it" if facts.others and match.cause is Cause.NAME_UNKNOWN else ""
        yield Finding(match.cause, sure, told)


def named_peers(facts: Facts) -> Iterator[Finding]:
    """Containers that it waits for, or is set up to use, and can't reach: not every program says so."""
    waiting = [line for line in facts.said[-logs.FEW * 5 :] if re.search(_WAITING, line, re.IGNORECASE)]
    set_up = [value for name, value in facts.environment.items() if re.search(_PLACES, name)]
    for text, sure in (("\n".join(waiting), Weight.LIKELY), ("\n".join([*set_up, *facts.command]), Weight.POSSIBLE)):
        peer = _peer(facts, text)
        if peer is None:
            continue
        theirs = frozenset((peer.get("NetworkSettings") or {}).get("Networks") or {})
        name, state = container_name(peer), str(peer.get("State") or "")
        if state != "running":
            yield Finding(Cause.PEER_DOWN, sure, f"{name} is {state or 'not running'}")
        elif not facts.networks_joined & theirs and not _elsewhere(facts, theirs):
            yield _apart(facts, name, theirs, sure)
        elif facts.networks_joined & theirs <= _DEFAULTS and not _elsewhere(facts, theirs):
            yield Finding(Cause.DEFAULT_BRIDGE, sure, f"it is to use {name}")


def _elsewhere(facts: Facts, theirs: frozenset[str]) -> bool:
    """Whether the names of networks say nothing of who reaches whom."""
    return "host" in (facts.network_mode, *theirs) or facts.network_mode.startswith("container:") or not theirs


def _apart(facts: Facts, name: str, theirs: frozenset[str], sure: Weight) -> Finding:
    return Finding(Cause.WRONG_NETWORK, sure, f"it is in {_all(facts.networks_joined)}, and {name} in {_all(theirs)}")


def _to_peer(facts: Facts, match: logs.Match, peer: Mapping[str, Any], sure: Weight) -> Finding:
    name, state = container_name(peer), str(peer.get("State") or "")
    if state != "running":
        return Finding(Cause.PEER_DOWN, sure, f"{name} is {state or 'not running'}")
    theirs = frozenset((peer.get("NetworkSettings") or {}).get("Networks") or {})
    shared = facts.networks_joined & theirs
    if not shared and not _elsewhere(facts, theirs):
        return _apart(facts, name, theirs, sure)
    if match.cause is Cause.NAME_UNKNOWN:
        if shared <= _DEFAULTS:
            return Finding(
                Cause.DEFAULT_BRIDGE, sure, f"it looks for {name}; both are in the network {_all(shared)} only"
            )
        return Finding(match.cause, sure, f"{name} is up now, and both are in {_all(shared)}")
    return Finding(Cause.PEER_REFUSES, sure, _ports(peer, match.text) or f"it looks for {name}")


def _ports(peer: Mapping[str, Any], text: str) -> str:
    """Which ports the other container has, beside the one that is asked for."""
    name = container_name(peer)
    asked = {int(number) for number in re.findall(r"(?::|port[ =]+)(\d{2,5})\b", text)}
    ports = [port for port in peer.get("Ports") or [] if port.get("PrivatePort")]
    own = {port["PrivatePort"] for port in ports}
    outer = {port["PublicPort"]: port["PrivatePort"] for port in ports if port.get("PublicPort")}
    for port in sorted(asked - own):
        if port in outer:
            return f"port {port} of {name} is the host's; inside of the network it is {outer[port]}"
        if own:
            return f"it asks {name} for port {port}, which declares {', '.join(map(str, sorted(own)))}"
    return ""


def _peer(facts: Facts, text: str) -> Mapping[str, Any] | None:
    """The container that lines of the log name, by its name, service or address."""
    words = {word.rstrip(".").lower() for word in _WORD.findall(text)}
    # a host may come with its domain, and a port or a full stop after it
    words |= {word.partition(".")[0] for word in words if not word.replace(".", "").isdecimal()}
    own = facts.name.lower()
    named = [row for row in facts.others if row.get("Id") != facts.found["Id"] and _names(facts, row) & words - {own}]
    # of several, those that run and share a network come first
    return min(named, key=lambda row: _distance(facts, row), default=None)


def _distance(facts: Facts, row: Mapping[str, Any]) -> tuple[bool, bool]:
    theirs = frozenset((row.get("NetworkSettings") or {}).get("Networks") or {})
    return row.get("State") != "running", not (theirs & facts.networks_joined)


def _names(facts: Facts, row: Mapping[str, Any]) -> set[str]:
    networks = (row.get("NetworkSettings") or {}).get("Networks") or {}
    labels = row.get("Labels") or {}
    found = {container_name(row)}
    # many projects have a service called db: outside of its project, only its networks know the name
    if labels.get(PROJECT) == facts.all_labels.get(PROJECT) or facts.networks_joined & set(networks) - _DEFAULTS:
        found.add(str(labels.get(SERVICE) or ""))
    for place in networks.values():
        known = place or {}
        found |= {str(known.get("IPAddress") or ""), *(known.get("Aliases") or []), *(known.get("DNSNames") or [])}
    # words like these are in every log
    return {name.lower() for name in found} - {"", "to", "host", "error", "localhost", "connection", "server", "port"}


def _all(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no network"
