"""The prompt that finds out why a container is not reached, or does not reach another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from mcp_docker.engine import lookup
from mcp_docker.prompt import Plan, Prompt, Section, untold
from mcp_docker.prompts.inspected import PROJECT, SERVICE
from mcp_docker.prompts.network import Side, causes, log, name_of, names, neighbours, ports, side, unless_gone
from mcp_docker.prompts.network.causes import Cause
from mcp_docker.prompts.network.ports import MOST_PORTS, Outcome, Published
from mcp_docker.tool import Context
from mcp_docker.tools.fields import ContainerId


class DebugNetworking(Prompt, shows=("docker_inspect_container",)):
    """Find out why a container is not reached, or does not reach another: networks, names, and ports that answer."""

    container_id: ContainerId
    peer_id: Annotated[ContainerId | None, Field(description="The container at the other end: name or id")] = None

    def run(self, ctx: Context) -> Plan:
        it = side(ctx, lookup.container(ctx.engine, self.container_id))
        told = log.trouble(ctx, it.found)
        lines = told or []
        sought = log.sought(lines)
        peer, guess = self._peer(ctx, it, sought)
        open_ports = ports.published(it) if it.runs else []
        not_tried = ports.why_not_tried(ctx) if open_ports else ""
        outcomes = {} if not_tried else ports.tried(ctx, open_ports)
        if log.refused(lines):
            guess.append(
                Cause(
                    f"Connections of {it.name} were refused, by its log: nothing listened at that address and port.",
                    "Compare the address and port in the log's lines above with what should listen there: inside a "
                    "network that is a container's own port, on 0.0.0.0, and localhost is the container itself.",
                )
            )
        others = neighbours(ctx, it)
        found = _causes(ctx, it, peer, others, sought, outcomes, asked=self.peer_id is not None)
        shown = [cause.text for cause in (*guess, *found)]
        if not any(cause.remedy for cause in (*guess, *found)):
            shown.append(
                "Nothing that the engine tells is wrong: look at the program itself, and at the host's firewall."
            )
        if not_tried:
            shown.append(not_tried)
        if told is None:
            shown += untold([f"the log of {it.name}"])
        return Plan(
            about=_about(it, peer),
            shown=shown,
            facts=_facts(it, peer, others, lines, outcomes),
            steps=_steps(ctx, it, [*found, *guess]),
        )

    def _peer(self, ctx: Context, it: Side, sought: Sequence[str]) -> tuple[Side | None, list[Cause]]:
        """The other end: the one that was named, or one that the log looks for in vain."""
        if self.peer_id is not None:
            found = lookup.container(ctx.engine, self.peer_id)
            return (None if found["Id"] == it.found["Id"] else side(ctx, found)), []
        if not sought or "docker_list_containers" not in ctx.tools:
            return None, []
        for row in _named(it, sought, ctx.engine.docker.containers(all=True)):
            other = unless_gone(partial(ctx.engine.docker.inspect_container, row["Id"]))
            if other is not None:
                guess = Cause(f"{it.name} looks in vain for a name of {name_of(other)}, by its log.")
                return side(ctx, other), [guess]
        return None, [
            Cause(
                f"{it.name} looks in vain for a name that no container here has, by its log: it is in the facts.",
                "Compare that name with those of the containers in its networks above, letter by letter; for a name of "
                f"the outside, check the name servers {'that it asks' if it.host.get('Dns') else 'of the host'}.",
            )
        ]


def _named(it: Side, sought: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Other containers that have such a name: by the name itself, or as a service, of the same project first."""
    project = ((it.found.get("Config") or {}).get("Labels") or {}).get(PROJECT)
    ranked = []
    for at, name in enumerate(sought):
        for row in rows:
            labels = row.get("Labels") or {}
            exact = name in {str(each).lstrip("/") for each in row.get("Names") or []}
            if (exact or name == labels.get(SERVICE)) and row["Id"] != it.found["Id"]:
                ranked.append((at, not exact, labels.get(PROJECT) != project, row))
    return [row for *_, row in sorted(ranked, key=lambda rank: rank[:3])]


def _causes(
    ctx: Context,
    it: Side,
    peer: Side | None,
    others: Sequence[Side],
    sought: Sequence[str],
    outcomes: Mapping[Published, Outcome],
    *,
    asked: bool,
) -> list[Cause]:
    """The likeliest first, and what is only worth knowing last; what does not run has no other trouble yet."""
    found = list(causes.of_state(ctx, it))
    if peer is not None:
        found += causes.of_state(ctx, peer)
    found += causes.of_mode(ctx, it)
    if peer is not None:
        found += causes.of_mode(ctx, peer)
        between = causes.of_peer(ctx, it, peer, sought, names.rivals(it, peer, others))
        found += between if asked else map(_if_meant(it, peer), between)
    if it.runs and it.mode not in ("host", "none"):
        found += causes.of_ports(ctx, it, peer, outcomes)
        found += causes.of_rest(it, peer)
        found += names.of_servers(it)
        if peer is None:
            found += names.of_names(it, others)
    return sorted(found, key=lambda cause: not cause.remedy)


def _if_meant(it: Side, peer: Side) -> Callable[[Cause], Cause]:
    """What a log alone asks for is for a person to agree to: a container could write itself into any network."""

    def put(cause: Cause) -> Cause:
        if not cause.remedy:
            return cause
        first = f"Ask first whether {it.name} is meant to reach {peer.name}, which only its log says; if so:"
        return replace(cause, remedy=f"{first} {cause.remedy}")

    return put


def _about(it: Side, peer: Side | None) -> str:
    if peer is None:
        return f"Find out what is wrong with the network of container {it.name}."
    return f"Find out why containers {it.name} and {peer.name} do not reach each other as they should."


def _facts(
    it: Side, peer: Side | None, others: Sequence[Side], lines: Sequence[str], outcomes: Mapping[Published, Outcome]
) -> list[Section]:
    facts = []
    for each in (it, peer):
        if each is not None:
            facts += [
                Section(title=f"Networks of {each.name}", text=_networks(each)),
                Section(title=f"Ports of {each.name}", text=_ports(each, outcomes if each is it else {})),
            ]
    if told := names.told(it):
        facts.append(Section(title=f"Names that {it.name} resolves", text=told))
    if shared := names.ambiguous(it, others):
        lines_of = [f"{', '.join(each)} in {network}: {', '.join(has)}" for (network, has), each in shared.items()]
        facts.append(Section(title="Names that lead to several containers", text="\n".join(lines_of)))
    if lines:
        facts.append(Section(title=f"Lines of {it.name}'s log about the network", text="\n".join(lines)))
    return facts


def _networks(it: Side) -> str:
    mode = f"network mode {it.host.get('NetworkMode') or 'default'}"
    return "\n".join([mode, *(place.described() for place in it.places)])


def _ports(it: Side, outcomes: Mapping[Published, Outcome]) -> str:
    every = ports.published(it)
    lines = [f"{inner}: exposed, not published" for inner, places in it.ports.items() if not places]
    lines += [f"{port.inner}: published at {port}{_outcome(port, outcomes)}" for port in every]
    return "\n".join(lines) or "none is exposed or published"


def _outcome(port: Published, outcomes: Mapping[Published, Outcome]) -> str:
    if port in outcomes:
        return f", {outcomes[port]}"
    if outcomes and port.inner.endswith("/tcp"):
        return f", not tried: only the first {MOST_PORTS} are"
    return ", not tried: only TCP is" if outcomes else ""


def _steps(ctx: Context, it: Side, found: Sequence[Cause]) -> list[str]:
    steps = list(dict.fromkeys(cause.remedy for cause in found if cause.remedy))
    inside = causes.with_tool(
        ctx,
        "docker_exec_command",
        f"See from within {it.name} what it listens on and which names resolve (docker_exec_command with netstat -ltn, "
        "nslookup NAME, where the image has them).",
        f"Have a person look from within {it.name} at what it listens on, and which names resolve.",
    )
    again = "Then gather these facts again, to see whether that was it."
    return [*steps, again] if steps else [inside]
