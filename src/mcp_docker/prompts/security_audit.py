"""The prompt that audits containers by the CIS Docker Benchmark."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from mcp_docker import errors
from mcp_docker.engine import lookup, own
from mcp_docker.prompt import Plan, Prompt, Section
from mcp_docker.prompts.cis import BENCHMARK, PRIVILEGED, Audited, Daemon, Finding, Item, Verdict
from mcp_docker.prompts.cis.daemon import DAEMON
from mcp_docker.prompts.cis.image import IMAGE
from mcp_docker.prompts.cis.isolation import ISOLATION
from mcp_docker.prompts.cis.runtime import RUNTIME
from mcp_docker.prompts.network import name_of, unless_gone
from mcp_docker.tool import Context
from mcp_docker.tools.containers.read import container_name
from mcp_docker.tools.fields import ContainerId, reference

MOST_CONTAINERS = 100
MOST_NAMES = 10
MOST_IN_FULL = 10
"""Up to so many containers, the evidence of every failing item is shown; beyond, of the dangerous ones."""

WORST = "5.5 5.32 5.6 2.7 5.16 5.10 5.17 5.31 5.4 5.18 5.22 4.1 5.14".split()
"""Items whose failing is dangerous by itself, the worst first."""

MOST_SHARED = 8
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "tmpfs"})


@dataclass(frozen=True)
class Judged:
    """An item and what became of it, for a container or for the engine."""

    item: Item[Any]
    finding: Finding
    name: str = ""

    @property
    def fails(self) -> bool:
        return self.finding.verdict is Verdict.FAIL

    @property
    def is_implied(self) -> bool:
        """Whether it fails only since the container is privileged (5.5)."""
        return self.item.number != "5.5" and self.finding.evidence.startswith(PRIVILEGED)

    def __str__(self) -> str:
        return f"{self.item.number} {self.finding.verdict}: {self.item.title}. {self.finding.evidence}"


class SecurityAudit(Prompt, shows=("docker_inspect_container",), seconds=60):
    """Audit one container, or all, by the CIS Docker Benchmark: item by item, with evidence and remedies."""

    container_id: Annotated[ContainerId | None, Field(description="Container name or id; all if left out")] = None

    def run(self, ctx: Context) -> Plan:
        one = self.container_id
        found, rest = _everything(ctx) if one is None else ([lookup.container(ctx.engine, one)], [])
        daemon = _daemon(ctx)
        items = _items(ctx)
        judged = [Judged(item, item.check(daemon)) for item in DAEMON] if "docker_version" in ctx.tools else []
        ctx.progress(len(found), len(found) + 1, "judging what was read")
        for container in _audited(ctx, found, daemon):
            judged += [Judged(item, item.check(container), name_of(container.found)) for item in items]
        facts = _of_one(judged) if one is not None else _of_all(judged, found)
        if rest:
            facts.append(Section(title="Not audited, since there are too many", text=", ".join(rest)))
        return Plan(about=_about(one, found), shown=_shown(judged), facts=facts, steps=_steps(ctx, judged))


def _everything(ctx: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """The containers to audit, running ones first, and the names of those left out."""
    if "docker_list_containers" not in ctx.tools:
        raise errors.InvalidArguments("which containers there are is not shown here", "name one with container_id.")
    rows = sorted(ctx.engine.docker.containers(all=True), key=lambda row: row.get("State") != "running")
    chosen, rest = rows[:MOST_CONTAINERS], rows[MOST_CONTAINERS:]
    done, lock = 0, threading.Lock()

    def read(row: Mapping[str, Any]) -> dict[str, Any] | None:
        nonlocal done
        found: dict[str, Any] | None = unless_gone(partial(ctx.engine.docker.inspect_container, row["Id"]))
        with lock:
            done += 1
            ctx.progress(done, len(chosen) + 1, f"read {done} of {len(chosen)} containers")
        return found

    found = [each for each in ctx.gather(read, chosen) if each is not None]
    return found, [container_name(row) for row in rest]


def _daemon(ctx: Context) -> Daemon:
    docker = ctx.engine.docker
    bridge = None
    if "docker_inspect_network" in ctx.tools:
        bridge = unless_gone(partial(docker.inspect_network, "bridge"))
    connected = ctx.engine.connected
    # not the one kept from the connection: the engine may have been set up anew since
    return Daemon(docker.info(), bridge, connected.is_podman, connected.api, connected.endpoint.address)


def _items(ctx: Context) -> list[Item[Audited]]:
    images = IMAGE if "docker_inspect_image" in ctx.tools else ()
    return sorted((*images, *ISOLATION, *RUNTIME), key=_order)


def _order(item: Item[Any]) -> tuple[int, ...]:
    return tuple(map(int, item.number.split(".")))


def _audited(ctx: Context, found: Sequence[Mapping[str, Any]], daemon: Daemon) -> list[Audited]:
    """The containers with what else their items need, each object asked for once."""
    ids = {str(each.get("Image")) for each in found if each.get("Image")}
    names = {name for each in found if (name := _tag(str((each.get("Config") or {}).get("Image") or "")))}
    images: dict[str, Any] = {}
    steps: dict[str, Any] = {}
    if "docker_inspect_image" in ctx.tools:
        images = _asked(ctx, ctx.engine.docker.inspect_image, ids | names)
    if "docker_image_history" in ctx.tools:
        steps = _asked(ctx, ctx.engine.docker.history, ids)
    hidden, links = _host_volumes(ctx, found), _links(ctx, found)
    return [
        Audited(
            each,
            daemon,
            modes=_modes(ctx, each, found),
            hidden=hidden,
            links=links,
            image=images.get(str(each.get("Image"))),
            history=steps.get(str(each.get("Image"))),
            tagged=str((images.get(_tag(str((each.get("Config") or {}).get("Image") or ""))) or {}).get("Id") or ""),
        )
        for each in found
    ]


def _tag(name: str) -> str:
    """The name of an image; empty if it is none, as where a container was made from an id."""
    try:
        return name if reference(name).digest is None else ""
    except ValueError:
        return ""


def _asked(ctx: Context, read: Any, names: Iterable[str]) -> dict[str, Any]:
    todo = sorted(names)
    return dict(zip(todo, ctx.gather(lambda name: unless_gone(partial(read, name)), todo), strict=True))


def _host_volumes(ctx: Context, found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Paths of the host that volumes are made of by their options, by the volume's name."""
    if "docker_list_volumes" not in ctx.tools or not any(
        mount.get("Type") == "volume" for each in found for mount in each.get("Mounts") or []
    ):
        return {}
    paths = {}
    for volume in ctx.engine.docker.volumes().get("Volumes") or []:
        options = volume.get("Options") or {}
        if volume.get("Driver") == "local" and options.get("type") not in REMOTE:
            written = f"{options.get('device') or ''},{options.get('o') or ''}"
            paths[volume["Name"]] = re.findall(r"/[^,:=]*", written)
    return {name: places for name, places in paths.items() if places}


def _links(ctx: Context, found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Where mounted paths of the host lead that are links: the engine shows them as they were written."""
    if not own.is_here(ctx.engine):
        return {}
    sources = {str(mount.get("Source") or "") for each in found for mount in each.get("Mounts") or []}
    # no path of a host has a NUL, which an engine can say all the same
    real = {source: os.path.realpath(source) for source in sources if source.startswith("/") and "\0" not in source}
    return {source: path for source, path in real.items() if path != source}


def _modes(ctx: Context, container: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Whose namespaces a container has, after following those that it shares with other containers."""
    modes = {}
    for kind in ("NetworkMode", "PidMode", "IpcMode"):
        mode = str((container.get("HostConfig") or {}).get(kind) or "")
        for _ in range(MOST_SHARED):
            if not mode.startswith("container:"):
                break
            name = mode.partition(":")[2]
            owner = next((each for each in known if name in (each.get("Id"), name_of(each))), None)
            owner = owner or unless_gone(partial(ctx.engine.docker.inspect_container, name))
            if owner is None:
                break
            mode = str((owner.get("HostConfig") or {}).get(kind) or "")
        modes[kind] = mode
    return modes


def _about(wanted: str | None, found: Sequence[Mapping[str, Any]]) -> str:
    running = sum(bool((each.get("State") or {}).get("Running")) for each in found)
    of = (
        f"container {name_of(found[0])}{'' if running else ' (which is not running)'}"
        if wanted is not None
        else f"all containers ({len(found)}, of which {running} run)"
    )
    return (
        f"Report on the security of {of} by the {BENCHMARK}, sections 2, 4 and 5, as far as the engine's API shows it. "
        "What it can't show counts as not applicable: a person has to look on the host."
    )


def _shown(judged: Sequence[Judged]) -> list[str]:
    failing, every = _failing(judged), len({each.name for each in judged} - {""})
    shown = [
        f"{item.number}{_where(names, every, ' in ')}: {item.danger}{_with_it(judged, item)}."
        for item, names in failing
        if item.danger
    ]
    if others := [item.number for item, _ in failing if not item.danger]:
        shown.append(f"Failing too, less dangerous by itself: {', '.join(others)}.")
    items = {each.item.number: Verdict.NOT_APPLICABLE for each in judged}
    items |= {each.item.number: Verdict.PASS for each in judged if each.finding.verdict is Verdict.PASS}
    items |= {each.item.number: Verdict.FAIL for each in judged if each.fails}
    counts = Counter(items.values())
    total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    return [*shown, f"Of {len(items)} items: {total}."]


def _failing(judged: Sequence[Judged]) -> list[tuple[Item[Any], list[str]]]:
    """The items that fail, the worst first, and in which containers; without those that fail with 5.5 alone."""
    places: dict[str, tuple[Item[Any], list[str]]] = {}
    for each in judged:
        if each.fails and not each.is_implied:
            names = places.setdefault(each.item.number, (each.item, []))[1]
            names += [each.name] if each.name else []
    # the engine is not what was asked about first
    return sorted(places.values(), key=lambda place: (_rank(place[0]), not place[1], _order(place[0])))


def _with_it(judged: Sequence[Judged], item: Item[Any]) -> str:
    """Items that fail in a container only because it is privileged."""
    implied = {each.item.number: each.item for each in judged if each.is_implied} if item.number == "5.5" else {}
    return f"; with it fail {', '.join(sorted(implied, key=lambda each: _order(implied[each])))}" if implied else ""


def _rank(item: Item[Any]) -> int:
    return WORST.index(item.number) if item.number in WORST else len(WORST)


def _where(names: Sequence[str], every: int, before: str) -> str:
    """In which of several containers; nothing where there is but one."""
    if not names or every == 1:
        return ""
    return before + (f"all {every}" if len(names) == every else _listed(names))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _of_one(judged: Sequence[Judged]) -> list[Section]:
    sections = {"2": "Engine", "4": "Image", "5": "Container"}
    parted: dict[str, list[Judged]] = {}
    for each in judged:
        parted.setdefault(each.item.number[0] if each.name else "2", []).append(each)
    return [Section(title=sections[key], text="\n".join(map(str, parted[key]))) for key in sorted(parted)]


def _of_all(judged: Sequence[Judged], found: Sequence[Mapping[str, Any]]) -> list[Section]:
    engine = [each for each in judged if not each.name]
    facts = [Section(title="Engine", text="\n".join(map(str, engine)))] if engine else []
    if not found:
        return facts
    by_item: dict[str, list[Judged]] = {}
    by_name: dict[str, list[Judged]] = {}
    for each in judged:
        if each.name:
            by_item.setdefault(each.item.number, []).append(each)
            by_name.setdefault(each.name, []).append(each)
    facts.append(Section(title="Items", text="\n".join(map(_row, by_item.values()))))
    full = len(found) <= MOST_IN_FULL
    alike: dict[str, list[str]] = {}
    for name, same in by_name.items():
        alike.setdefault(_fails(same, full=full), []).append(name)
    lines = [f"{', '.join(names)}: {fails}" for fails, names in alike.items()]
    return [*facts, Section(title="What fails in each container", text="\n".join(lines))]


def _row(same: Sequence[Judged]) -> str:
    """One item over all containers."""
    item, verdicts = same[0].item, Counter(each.finding.verdict for each in same)
    if set(verdicts) == {Verdict.NOT_APPLICABLE} and len({each.finding.evidence for each in same}) == 1:
        return str(same[0])
    failing = _where([each.name for each in same if each.fails], len(same), " in ")
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict if verdicts[verdict])
    return f"{item.number} {item.title}: {counts}" + (f": fails{failing}" if failing else "")


def _fails(of_container: Sequence[Judged], *, full: bool) -> str:
    failing = [each for each in of_container if each.fails]
    return (
        "; ".join(
            f"{each.item.number} {each.finding.evidence}" if full or each.item.danger else each.item.number
            for each in failing
        )
        or "nothing fails"
    )


def _steps(ctx: Context, judged: Sequence[Judged]) -> list[str]:
    failing = _failing(judged)
    if not failing:
        return ["Say that nothing fails of what the API shows, and which items a person has to look at on the host."]
    every = len({each.name for each in judged} - {""})
    steps = [
        f"For {item.number} ({item.title}{_where(names, every, ', in ')}{_with_it(judged, item)}): {item.remedy}"
        for item, names in failing
    ]
    if any(names for _, names in failing):
        anew = (
            "make the new one with docker_create_container under another name"
            if "docker_create_container" in ctx.tools
            else "a person has to create the new one"
        )
        steps.append(
            f"A container's settings are fixed when it is created: take what docker_inspect_container shows, {anew}, "
            "and see that it works before the old one goes. Agree on it first."
        )
    return steps
