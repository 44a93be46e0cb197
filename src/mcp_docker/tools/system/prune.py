"""Clearing the engine up."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import Field, PrivateAttr, model_validator

from mcp_docker import errors
from mcp_docker.engine.usage import Usage, usage
from mcp_docker.tool import Context, Fact, LossAnswer, Outlook, Thing, Tier, Tool
from mcp_docker.tools import pruning, volumes
from mcp_docker.tools.containers.read import container_name
from mcp_docker.tools.fields import DryRun, PruneFilters
from mcp_docker.tools.images import remove as images

STOPPED = frozenset({"created", "exited", "dead", "configured", "stopped"})
"""The last two are Podman's."""

PREDEFINED = frozenset({"bridge", "host", "none", "default", "nat", "podman", "docker_gwbridge", "ingress"})
KEPT_RECORDS = frozenset({"internal", "frontend"})
"""Build cache that the engine's own prune keeps too, unless told otherwise."""

WEIGHED = {"container": "containers", "volume": "volumes", "image": "images", "build cache": "build_cache"}
"""The kinds that take up space, as the answer calls them."""

Listed = Mapping[str, Any]


class Removed(Fact):
    """What was removed, by kind."""

    containers: list[str] = Field(default_factory=list)
    networks: list[str] = Field(default_factory=list)
    volumes: list[str] = Field(default_factory=list)
    images: list[str] = Field(default_factory=list)
    build_cache: list[str] = Field(default_factory=list)


class SystemPruned(LossAnswer):
    removed: Removed | None = None
    reclaimed_bytes: dict[str, int] | None = Field(default=None, description="By kind, where the engine tells")
    total_reclaimed_bytes: int | None = None
    failed: dict[str, str] | None = Field(default=None, description="What stayed, and why")
    skipped: dict[str, str] | None = None


class PruneSystem(
    Tool,
    tier=Tier.DESTRUCTIVE,
    idempotent=True,
    sweeping=True,
    seconds=60,
    verify="docker_events",
    aliases=("docker_system_prune",),
    gone={"all": "docker_prune_images(all=true) removes unused images that have a tag"},
):
    """Remove stopped containers, unused networks, untagged images and build cache."""

    filters: Annotated[
        PruneFilters | None, Field(description='e.g. {"label":"a=b"}, {"label!":"keep"}, {"until":"24h"}')
    ] = None
    volumes: Annotated[bool, Field(description="Unused anonymous volumes too")] = False
    dry_run: DryRun = False

    # what look could not see, for the answer to say
    _skipped: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _volumes_have_no_age(self) -> "PruneSystem":
        if self.volumes and "until" in (self.filters or {}):
            raise ValueError("volumes=true can't be combined with the filter until")
        return self

    def look(self, ctx: Context) -> Outlook:
        filters = self.filters or {}
        every = ctx.engine.docker.containers(all=True)
        going = [each for each in every if _is_meant(ctx, each, filters)]
        gone = {each["Id"] for each in going}
        # what only these use is unused once they are gone
        staying = [each for each in every if each["Id"] not in gone]
        networks = _networks(ctx, staying, filters)
        dangling = images.unused(ctx, staying, filters, tagged=False)
        anonymous = _volumes(ctx, going, staying, filters) if self.volumes else []
        spared = _why_cache_is_spared(ctx, filters)
        wanted = {
            "container": going,
            "image": [thing for thing in dangling if thing.bytes is None],
            "volume": anonymous,
            "build-cache": not spared,
        }
        kinds = [kind for kind, any_of_it in wanted.items() if any_of_it]
        told = usage(ctx.engine, *kinds) if kinds else None
        if told is None and not spared:
            spared = "the engine did not tell in time what there is"
        self._skipped = {"build_cache": spared} if spared else {}
        sizes = told or Usage({}, {}, {}, ())
        loses = [
            *(replace(pruning.container(each), bytes=sizes.containers.get(each["Id"])) for each in _sorted(going)),
            *networks,
            *volumes.things(ctx, anonymous, sizes.volumes),
            *(images.weighed(thing, sizes.images) for thing in dangling),
            *(_records(sizes.build_cache, filters) if not spared else ()),
        ]
        return Outlook(loses=tuple(loses[: pruning.MOST]))

    def run(self, ctx: Context) -> SystemPruned:
        taken = images.Taken()
        ways: dict[str, Callable[[Thing], object]] = {
            "container": lambda thing: ctx.engine.docker.remove_container(thing.id),
            "network": lambda thing: ctx.engine.docker.remove_network(thing.id),
            "volume": partial(volumes.take, ctx),
            "image": partial(images.take, ctx, taken=taken),
            "build cache": partial(_take_record, ctx),
        }
        pruned = pruning.take(
            ctx, lambda thing: ways[thing.kind](thing), name=lambda thing: f"{thing.kind} {pruning.shown(thing)}"
        )
        removed = Removed(
            containers=[thing.id for thing in pruned.gone if thing.kind == "container"],
            networks=[thing.name for thing in pruned.gone if thing.kind == "network"],
            volumes=[thing.name for thing in pruned.gone if thing.kind == "volume"],
            images=taken.deleted,
            build_cache=[thing.id for thing in pruned.gone if thing.kind == "build cache"],
        )
        pruning.in_time(ctx, self, removed.model_dump())
        gone = {
            name: pruning.Pruned([thing for thing in pruned.gone if thing.kind == kind])
            for kind, name in WEIGHED.items()
        }
        freed = {name: part.freed() for name, part in gone.items() if part.gone}
        reclaimed = {name: size for name, size in freed.items() if size is not None}
        return SystemPruned(
            removed=removed,
            reclaimed_bytes=reclaimed,
            total_reclaimed_bytes=sum(reclaimed.values()),
            failed=pruned.failed or None,
            skipped=self._skipped or None,
        )


def _is_meant(ctx: Context, container: Listed, filters: pruning.Filters) -> bool:
    return (
        container["State"] in STOPPED
        and pruning.labelled(container.get("Labels"), filters)
        and pruning.old_enough(ctx, container, filters, ctx.engine.docker.inspect_container)
    )


def _sorted(containers: Sequence[Listed]) -> list[Listed]:
    return sorted(containers, key=lambda each: (each["Created"], each["Id"]))


def _why_cache_is_spared(ctx: Context, filters: pruning.Filters) -> str:
    if ctx.engine.connected.is_podman:
        return "Podman has none"
    return "it has no labels" if "label" in filters or "label!" in filters else ""


def _networks(ctx: Context, staying: Sequence[Listed], filters: pruning.Filters) -> list[Thing]:
    """The networks that nothing is connected to: an engine removes them under stopped containers too."""
    podman = ctx.engine.connected.is_podman
    configured: dict[str, list[str]] = {}
    busy = set()
    for container in staying:
        for name, end in ((container.get("NetworkSettings") or {}).get("Networks") or {}).items():
            # Podman writes the name for the id, and a container that never ran has none yet
            key = (end or {}).get("NetworkID") or name
            configured.setdefault(key, []).append(f"{container_name(container)} ({container['State']})")
            # to Podman, a stopped container counts
            if podman or container["State"] not in STOPPED:
                busy.add(key)
    meant = [
        network
        for network in ctx.engine.docker.networks()
        if network["Name"] not in PREDEFINED
        and network.get("Scope") == "local"
        and not network.get("Ingress")
        and not network.get("ConfigOnly")
        and not busy & {network["Id"], network["Name"]}
        and pruning.labelled(network.get("Labels"), filters)
        and ("until" not in filters or pruning.unix(network["Created"]) <= float(filters["until"][0]))
    ]
    ids = {each["Id"] for each in staying}

    def free(network: Listed) -> bool:
        found, _ = pruning.tried(ctx, lambda: ctx.engine.docker.inspect_network(network["Id"]))
        return found is not None and not (
            ids & set(found.get("Containers") or {}) if podman else found.get("Containers")
        )

    things = []
    for network, is_free in zip(meant, ctx.gather(free, meant), strict=True):
        if is_free:
            users = configured.get(network["Id"], []) + configured.get(network["Name"], [])
            things.append(
                Thing(
                    "network",
                    network["Id"],
                    network["Name"],
                    labels=network.get("Labels") or {},
                    created=network["Created"],
                    about=f"{', '.join(sorted(users))} needs it to start" if users else "used by no container",
                    bytes=0,
                )
            )
    return sorted(things, key=lambda thing: (thing.name, thing.id))


def _volumes(
    ctx: Context, going: Sequence[Listed], staying: Sequence[Listed], filters: pruning.Filters
) -> list[dict[str, Any]]:
    """The anonymous volumes that nothing uses, or only containers that go."""
    found = volumes.unused(ctx)
    freed = _mounted(going) - _mounted(staying)
    if freed - {volume["Name"] for volume in found}:
        every = ctx.engine.docker.volumes().get("Volumes") or []
        known = {volume["Name"] for volume in found}
        found += [volume for volume in every if volume["Name"] in freed - known]
    return [volume for volume in found if volumes.prunable(volume, filters) and volumes.is_anonymous(ctx, volume)]


def _mounted(containers: Sequence[Listed]) -> set[str]:
    return {
        mount["Name"]
        for container in containers
        for mount in container.get("Mounts") or []
        if mount.get("Type") == "volume" and mount.get("Name")
    }


def _records(records: Sequence[Listed], filters: pruning.Filters) -> list[Thing]:
    """The records of the build cache that can go, each after those that are built on it."""
    every = {record["ID"]: record for record in records}
    until = float(filters["until"][0]) if "until" in filters else None
    kept = {
        record_id
        for record_id, record in every.items()
        if record.get("InUse")
        or record.get("Shared")
        or record.get("Type") in KEPT_RECORDS
        or (until is not None and pruning.unix(record.get("LastUsedAt") or record["CreatedAt"]) > until)
    }
    kept |= {above for record_id in kept for above in _above(record_id, every)}
    going = sorted((each for each in every if each not in kept), key=lambda each: (-len(_above(each, every)), each))
    return [
        Thing(
            "build cache",
            record_id,
            every[record_id].get("Description") or every[record_id].get("Type") or record_id,
            created=every[record_id].get("CreatedAt") or "",
            about=every[record_id].get("Type") or "",
            bytes=every[record_id].get("Size"),
        )
        for record_id in going
    ]


def _above(record_id: str, every: Mapping[str, Listed]) -> set[str]:
    """All that a record is built on."""
    found: set[str] = set()
    todo = [record_id]
    while todo:
        record = every.get(todo.pop(), {})
        # some engines write the key with a space before it
        parents = record.get("Parents") or record.get(" Parents") or [record.get("Parent")]
        todo += [parent for parent in parents if parent and parent not in found]
        found.update(parent for parent in parents if parent)
    return found


def _take_record(ctx: Context, thing: Thing) -> None:
    # the filter is a pattern
    query = urlencode({"filters": json.dumps({"id": [f"^{thing.id}$"]})})
    if not ctx.engine.post(f"/build/prune?{query}", None).json().get("CachesDeleted"):
        raise errors.InUse("the engine kept it", "a build, an image or another record uses it, or it is gone.")
