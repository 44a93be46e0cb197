"""Why a container can't be reached, or can't reach another, from what the engine tells: the likeliest cause first."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcp_docker.prompts.diagnosis.facts import started_after
from mcp_docker.prompts.network import Place, Side, name_of
from mcp_docker.prompts.network.ports import Outcome, Published, published
from mcp_docker.tool import Context

USER_MODES = ("slirp4netns", "pasta")
"""Podman's networks of a user's own, which other containers do not share."""

_TAKEN = re.compile(r"port is already allocated|bind: address already in use|ports are not available", re.IGNORECASE)
_ADDRESS_TAKEN = re.compile(r"address already in use|requested address is not available", re.IGNORECASE)
_NO_NETWORK = re.compile(r"network .*not found|could not find a network|unable to find network", re.IGNORECASE)


@dataclass(frozen=True)
class Cause:
    """What is wrong, and what to do about it; without a remedy it is only worth knowing."""

    text: str
    remedy: str = ""


def with_tool(ctx: Context, tool: str, use: str, otherwise: str) -> str:
    """Advice that uses a tool, where the caller has it."""
    return use if tool in ctx.tools else otherwise


def of_state(ctx: Context, it: Side) -> Iterator[Cause]:
    """Why a container that does not run is out of reach."""
    name, state = it.name, it.found.get("State") or {}
    error = str(state.get("Error") or "")
    start = with_tool(ctx, "docker_start_container", "docker_start_container", "a person has to start it")
    why = with_tool(ctx, "docker_container_logs", f"docker_container_logs of {name} tells why; ", "")
    if it.runs:
        yield from _of_health(ctx, it)
    elif _TAKEN.search(error):
        yield Cause(
            f"{name} does not run: at its last start, a port of the host that it publishes was taken.",
            f"Find out what has that port, free it or publish another, then start {name} ({start}).",
        )
    elif _ADDRESS_TAKEN.search(error):
        yield Cause(
            f"{name} does not run: at its last start, another had the fixed address in a network that it is to have.",
            f"Create {name} anew with another address, or with none, or have the other give it up.",
        )
    elif _NO_NETWORK.search(error):
        yield Cause(
            f"{name} does not run: at its last start, a network of its was gone.",
            f"Make the network again, or create {name} anew on another one, then start it ({start}).",
        )
    elif state.get("Paused"):
        yield Cause(
            f"{name} is paused: connections to it hang, and it sends nothing.",
            f'A person has to let it go on ("docker unpause {name}").',
        )
    elif state.get("Restarting"):
        yield Cause(
            f"{name} ends and is restarted over and over: it is there only for moments.",
            f"Find out first why it ends, and leave the network alone: {why}then see that it stays up.",
        )
    elif it.state in ("created", "configured"):
        yield Cause(f"{name} has never run: it has no address yet.", f"Start {name} ({start}).")
    else:
        code = state.get("ExitCode")
        yield Cause(
            f"{name} does not run ({it.state or 'stopped'}, exit code {code}): it has no address, and no name leads "
            "to it.",
            f"Start {name} ({start})." if not code else f"Find out why it ended: {why}then start it ({start}).",
        )


def _of_health(ctx: Context, it: Side) -> Iterator[Cause]:
    """What a health check tells of a container that runs."""
    state = it.found.get("State") or {}
    health = str((state.get("Health") or state.get("Healthcheck") or {}).get("Status") or "")
    if health == "unhealthy":
        logs = with_tool(ctx, "docker_container_logs", f", docker_container_logs of {it.name} why", "")
        yield Cause(
            f"{it.name} runs, but its health check fails: what it listens on may not answer.",
            f"Find out first why it is unhealthy: docker_inspect_container shows what the check printed{logs}.",
        )
    elif health == "starting":
        yield Cause(f"{it.name} is still starting, by its health check: it may not answer yet.")


def of_mode(ctx: Context, it: Side) -> Iterator[Cause]:
    """What the network mode alone forbids."""
    name = it.name
    connect = with_tool(ctx, "docker_connect_container", "docker_connect_container", "a person has to connect it")
    if it.borrowed:
        yield from _of_holder(ctx, it)
        if it.holder is None:
            return
    if it.mode == "none" and not it.places:
        leave = with_tool(ctx, "docker_disconnect_container", "docker_disconnect_container", "by a person")
        yield Cause(
            f"{name} has network mode none: nothing but its own loopback.",
            f"If that is not meant, take it out of the network none ({leave}) and put it into another ({connect}).",
        )
    elif it.mode == "host":
        ignored = " The ports it was to publish are ignored." if it.host.get("PortBindings") else ""
        yield Cause(
            f"{name} has the host's own network: what it listens on is open on the host's addresses, nothing is "
            f"published, and container names neither lead to it nor resolve in it.{ignored}",
            f"Reach {name} at an address of the host and the port that its program listens on; for names and "
            "published ports, create it anew on a network of its own.",
        )
    elif it.mode.partition(":")[0] in USER_MODES:
        yield Cause(
            f"{name} has a user-mode network of its own: no other container reaches it, and names do not resolve.",
            f"Create {name} anew on a network that it shares with those it talks to.",
        )
    elif not it.places and it.runs:
        yield Cause(f"{name} is connected to no network.", f"Put it into the network it belongs to ({connect}).")


def _of_holder(ctx: Context, it: Side) -> Iterator[Cause]:
    """What can be wrong where a container has another's network."""
    name = it.name
    restart = with_tool(ctx, "docker_restart_container", "docker_restart_container", "a person has to restart it")
    if it.holder is None:
        yield Cause(
            f"{name} uses the network of a container that is gone.",
            f"Create {name} anew, on the network of the container that replaced that one.",
        )
        return
    holder, owner = it.holder.get("State") or {}, name_of(it.holder)
    if not holder.get("Running"):
        start = with_tool(ctx, "docker_start_container", "docker_start_container", "a person has to start it")
        yield Cause(
            f"{name} uses the network of {owner}, which does not run: there is nothing left but loopback.",
            f"Start {owner} ({start}), then restart {name} ({restart}) to have it join that network.",
        )
    elif it.runs and started_after(holder, it.found.get("State") or {}):
        yield Cause(
            f"{name} uses the network of {owner}, which was started again later: {name} is still in the old one, "
            "which has nothing but loopback.",
            f"Restart {name} ({restart}), and do so whenever {owner} was restarted.",
        )
    else:
        yield Cause(f"{name} uses the network of {owner}: addresses, names and ports are those of {owner}.")


def of_peer(
    ctx: Context, it: Side, peer: Side, sought: Sequence[str], rivals: Sequence[tuple[str, str]]
) -> Iterator[Cause]:
    """Why two containers don't reach each other."""
    one, other = it.name, peer.name
    if it.holder is not None and peer.holder is not None and it.holder.get("Id") == peer.holder.get("Id"):
        yield Cause(
            f"{one} and {other} share one network namespace: they reach each other at 127.0.0.1, and can't both listen "
            "on the same port."
        )
    elif "host" in (it.mode, peer.mode):
        guest, at_home = (peer, it) if it.mode == "host" else (it, peer)
        yield Cause(
            f"{at_home.name} has the host's network: it reaches {guest.name} by its address, or at ports that it "
            f"publishes, never by name; {guest.name} reaches it at an address of the host, not at 127.0.0.1."
        )
    else:
        yield from _by_networks(ctx, it, peer, sought, rivals)


def _by_networks(
    ctx: Context, it: Side, peer: Side, sought: Sequence[str], rivals: Sequence[tuple[str, str]]
) -> Iterator[Cause]:
    """Why two containers don't reach each other by the networks that they are in."""
    one, other = it.name, peer.name
    shared = [place for place in peer.places if it.is_in(place)]
    if not shared:
        yield _apart(ctx, it, peer)
        return
    yield from overridden(it, [peer])
    named = [place for place in shared if not place.is_default]
    if not named:
        yield Cause(
            f"{one} and {other} share only the default bridge, where names do not resolve: they reach each other by "
            "address alone.",
            _join(ctx, it, peer),
        )
    for place in shared:
        if place.option("enable_icc") == "false":
            yield Cause(
                f"{place.told} keeps its containers apart (enable_icc=false): {one} and {other} do not reach each "
                "other there.",
                _join(ctx, it, peer),
            )
    for rival, network in rivals:
        yield Cause(
            f"{rival} has a name of {other} in {network} too: that name leads now to the one, now to the other.",
            f"Take that alias away from {rival}, if it is not meant to stand in for {other}.",
        )
    if named:
        known = {name for place in named for name in place.names}
        networks = ", ".join(place.told for place in named)
        if unknown := [name for name in sought if name not in known]:
            yield _alias(ctx, other, networks, len(unknown))
        yield Cause(f"{one} and {other} share {networks}; the names that lead from one to the other are in the facts.")
    if not peer.ports:
        yield Cause(f"{other} declares no port: which one its program listens on, its own configuration or log tells.")


def _apart(ctx: Context, it: Side, peer: Side) -> Cause:
    def where(it: Side) -> str:
        return f"{it.name} is in {', '.join(place.told for place in it.places) or 'none'}"

    return Cause(
        f"{it.name} and {peer.name} share no network ({where(it)}; {where(peer)}): neither reaches the other, and "
        "names do not resolve.",
        _join(ctx, it, peer),
    )


def _join(ctx: Context, it: Side, peer: Side) -> str:
    """How two containers get a network in which names resolve."""
    for guest, host in ((it, peer), (peer, it)):
        place = next((place for place in host.places if _good(place)), None)
        if place is not None and not guest.is_in(place):
            # one that has another's network can't be connected itself
            name = name_of(guest.holder or guest.found)
            return with_tool(
                ctx,
                "docker_connect_container",
                f"docker_connect_container with network_id={place.reference} and "
                f"container_id={name}, then have {it.name} reach {peer.name} by name.",
                f"A person has to connect {name} to {place.told}.",
            )
    made = with_tool(ctx, "docker_create_network", "docker_create_network", "a person has to make it")
    return f"Make a network for them ({made}) and connect both; there, names resolve."


def _good(place: Place) -> bool:
    return (
        bool(place.reference)
        and not place.is_default
        and place.option("enable_icc") != "false"
        and place.driver not in ("host", "null")
    )


def _alias(ctx: Context, other: str, networks: str, count: int) -> Cause:
    again = with_tool(
        ctx,
        "docker_connect_container",
        f"take {other} out of the network and connect it again with that name in aliases (docker_connect_container)",
        f"a person has to connect {other} again with that name as an alias",
    )
    what = (
        "a name that its log shows not to resolve is" if count == 1 else "names that its log shows not to resolve are"
    )
    return Cause(
        f"{other} is in {networks} too, but {what} none of the names of {other} there: an alias is missing.",
        f"Use one of the names in the facts, or {again}.",
    )


def overridden(it: Side, others: Sequence[Side]) -> Iterator[Cause]:
    """Entries of the hosts file come before names of the network."""
    for entry in it.host.get("ExtraHosts") or []:
        name, _, address = str(entry).partition(":")
        bearers = [other for other in others if name == other.name or name in _names(it, other)]
        if bearers and address not in ("host-gateway", *(each for other in bearers for each in other.addresses)):
            yield Cause(
                f"An entry of {it.name}'s extra hosts gives a name of {bearers[0].name} another address (see the "
                "facts): it comes before the network's own names.",
                f"Create {it.name} anew without that entry.",
            )


def _names(it: Side, other: Side) -> list[str]:
    """Names that lead from the one to the other."""
    return [name for place in other.places if it.is_in(place) for name in place.names]


def of_ports(ctx: Context, it: Side, peer: Side | None, outcomes: Mapping[Published, Outcome]) -> Iterator[Cause]:
    """Why published ports don't answer, and which aren't published."""
    name, ports = it.name, published(it)
    logs = with_tool(ctx, "docker_container_logs", f" docker_container_logs of {name} may tell.", "")
    alike: dict[tuple[str, Outcome], list[str]] = {}
    for port, outcome in outcomes.items():
        alike.setdefault((port.inner, outcome), []).append(str(port))
    for (inner, outcome), at in alike.items():
        where = " and ".join(at)
        if outcome in (Outcome.CLOSES, Outcome.REFUSED):
            how = "accepted and closed at once" if outcome is Outcome.CLOSES else "refused"
            yield Cause(
                f"{inner} of {name} is published at {where}, but a connection is {how}: nothing seems to listen on "
                f"{inner} inside, or only on 127.0.0.1.",
                f"Find out on which port and address the program in {name} listens: it must be {inner} on "
                f"0.0.0.0.{logs}",
            )
        elif outcome is Outcome.SILENT:
            yield Cause(
                f"{inner} of {name} is published at {where}, which does not answer within 1 s: a firewall drops it, or "
                "the program accepts nothing.",
                "Have a person look at the host's firewall rules, and at what the program does.",
            )
    wanted = (it.holder or {}).get("HostConfig") or {}
    missing = [inner for inner in wanted.get("PortBindings") or {} if not it.ports.get(inner)]
    if missing and it.places:
        inside = all(place.internal for place in it.places)
        yield Cause(
            f"{', '.join(sorted(missing))} of {name} was to be published, but is not"
            + (": it is only in internal networks, whose ports are never published." if inside else "."),
            f"Put {name} into a network that is not internal too, then restart it."
            if inside
            else f"Restart {name}, and see which error the engine gives.",
        )
    if peer is not None:
        # whether the world reaches it was not asked
        return
    bare = sorted(inner for inner, places in it.ports.items() if not places and inner not in missing)
    yield from _not_published(name, bare, ports)
    if ports and all(port.is_loopback for port in ports):
        yield Cause(
            f"All ports of {name} are published on the host's loopback only: other machines do not reach them.",
            f"If other machines are to reach {name}, create it anew with its ports on another address of the host.",
        )
    if not it.ports and it.places:
        yield Cause(f"{name} publishes and exposes no port: from outside of its networks, nothing leads to it.")


def _not_published(name: str, bare: Sequence[str], ports: Sequence[Published]) -> Iterator[Cause]:
    """What is exposed and not published, and what is published for another protocol instead."""
    instead = {port.inner.partition("/")[0]: port.inner for port in ports}
    for inner in bare:
        if other := instead.get(inner.partition("/")[0]):
            yield Cause(
                f"{name} exposes {inner}, but publishes {other}, which is another protocol: nothing leads to {inner} "
                "from outside of its networks.",
                f"If {inner} is to be reached from outside, create {name} anew with that one published.",
            )
    if rest := [inner for inner in bare if inner.partition("/")[0] not in instead]:
        yield Cause(
            f"{', '.join(rest)} of {name} is exposed but not published: containers in its networks reach it, clients "
            "on the host and beyond do not.",
            f"If it is to be reached from outside, create {name} anew with that port published.",
        )
    if ports and all(port.inner.endswith("/udp") for port in ports):
        yield Cause(f"{name} publishes ports for UDP only: clients that speak TCP do not reach it from outside.")


def of_rest(it: Side, peer: Side | None) -> Iterator[Cause]:
    """What else stands in the way, above all of the way out."""
    name = it.name
    if peer is None:
        if it.places and all(place.is_default for place in it.places):
            yield Cause(f"{name} is in the default bridge only, where names of containers do not resolve.")
        for place in it.places:
            if place.option("enable_icc") == "false":
                yield Cause(
                    f"{place.told} keeps its containers apart (enable_icc=false): none of them reaches {name} there, "
                    "nor the other way round.",
                    "Put those that are to reach each other into a network without that option.",
                )
    if it.places and all(place.internal for place in it.places):
        yield Cause(
            f"{name} is in internal networks only: it reaches nothing outside of them, and nothing outside reaches it.",
            f"If {name} needs a way out, connect it to a network that is not internal as well.",
        )
    elif it.places and all(place.internal or place.option("enable_ip_masquerade") == "false" for place in it.places):
        yield Cause(
            f"The networks of {name} hide no addresses (enable_ip_masquerade=false): it has no way out by them."
        )
    if "macvlan" in {place.driver for place in it.places} or "ipvlan" in {place.driver for place in it.places}:
        yield Cause(f"{name} is in a macvlan or ipvlan network: the host itself does not reach it there.")
