"""Volumes: what there is, making, removing and pruning them."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from mcp_docker import errors
from mcp_docker.engine.errors import translate
from mcp_docker.tool import Answer, Context, Demand, Fact, Power, Tier, Tool
from mcp_docker.tools.fields import Filters, Labels, Options, VolumeName, VolumePruneFilters

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
ANONYMOUS_NAME = re.compile("[0-9a-f]{64}")
ANONYMOUS_API = (1, 42)
"""From here on, engines mark anonymous volumes, and their prune leaves the others alone."""

Result = TypeVar("Result")


def is_anonymous(ctx: Context, volume: dict[str, Any]) -> bool:
    """Whether nobody named the volume. Old engines tell it by the name alone."""
    if not ANONYMOUS_NAME.fullmatch(volume["Name"]):
        return False
    connected = ctx.engine.connected
    # the engine's own version counts here, which may be newer than the one spoken
    major, _, minor = connected.version["ApiVersion"].partition(".")
    marks = (int(major), int(minor)) >= ANONYMOUS_API and not connected.is_podman
    return not marks or ANONYMOUS_LABEL in (volume.get("Labels") or {})


class VolumeRow(Fact):
    """A volume in a list."""

    name: str
    driver: str
    anonymous: bool
    created: str | None = None
    compose_project: str | None = None


class VolumeList(Answer):
    rest = "use filters to see others."

    volumes: list[VolumeRow]
    warnings: list[str] | None = None


class ListVolumes(Tool, tier=Tier.SAFE):
    """List volumes."""

    filters: Annotated[
        Filters | None, Field(description='Docker filters, e.g. {"dangling":"true","name":"data","label":"a=b"}')
    ] = None

    def run(self, ctx: Context) -> VolumeList:
        found = ctx.engine.docker.volumes(filters=self.filters)
        return VolumeList(
            volumes=[
                VolumeRow(
                    name=volume["Name"],
                    driver=volume.get("Driver") or "",
                    anonymous=is_anonymous(ctx, volume),
                    created=volume.get("CreatedAt") or None,
                    compose_project=(volume.get("Labels") or {}).get("com.docker.compose.project"),
                )
                for volume in found.get("Volumes") or []
            ],
            warnings=found.get("Warnings") or None,
        )


class VolumeDetails(Answer):
    """One volume; `raw` has the engine's whole answer when asked for."""

    rest = "the cut field is shorter with raw=false."

    name: str
    driver: str
    anonymous: bool
    created: str | None = None
    scope: str
    mountpoint: str | None = Field(default=None, description="On the engine's host")
    options: dict[str, str]
    labels: dict[str, str]
    used_by: list[str] = Field(description="Containers, stopped ones too")
    untrusted: Literal[True] = Field(default=True, description="Names, labels and options are strangers' text")
    raw: dict[str, Any] | None = None


class InspectVolume(Tool, tier=Tier.SAFE):
    """Show a volume, and the containers that use it."""

    volume_name: VolumeName
    raw: Annotated[bool, Field(description="Add the engine's whole answer")] = False

    def run(self, ctx: Context) -> VolumeDetails:
        found = ctx.engine.docker.inspect_volume(self.volume_name)
        if found["Name"] != self.volume_name:
            raise _missing(self.volume_name)
        return VolumeDetails(
            name=found["Name"],
            driver=found.get("Driver") or "",
            anonymous=is_anonymous(ctx, found),
            created=found.get("CreatedAt") or None,
            scope=found.get("Scope") or "",
            mountpoint=found.get("Mountpoint") or None,
            options=found.get("Options") or {},
            labels=found.get("Labels") or {},
            used_by=_users(ctx, self.volume_name),
            raw=found if self.raw else None,
        )


def _users(ctx: Context, name: str) -> list[str]:
    containers = ctx.engine.docker.containers(all=True, filters={"volume": [name]})
    return sorted((container.get("Names") or [container["Id"][:12]])[0].lstrip("/") for container in containers)


def _exists(ctx: Context, name: str) -> bool:
    """Whether there is a volume of exactly this name: Podman takes the beginning of a name for the whole."""
    found = ctx.engine.docker.volumes(filters={"name": [name]}).get("Volumes") or []
    return any(volume["Name"] == name for volume in found)


def _missing(name: str) -> errors.NotFound:
    return errors.NotFound(f"no such volume: {name}", "docker_list_volumes shows those that exist.")


def _given_name(name: str) -> str:
    if ANONYMOUS_NAME.fullmatch(name):
        raise ValueError("64 hexadecimal digits are the name of an anonymous volume, which prunes remove")
    return name


class VolumeCreated(Answer):
    name: str
    created: bool = Field(description="False: it existed, and is as it was")
    driver: str
    mountpoint: str | None = Field(default=None, description="On the engine's host")
    labels: dict[str, str]


class CreateVolume(Tool, tier=Tier.MODERATE, idempotent=True, verify="docker_list_volumes"):
    """Create a volume. One that exists is left as it is."""

    name: Annotated[VolumeName, AfterValidator(_given_name), Field(description="Name")]
    driver: Annotated[str, Field(min_length=1, max_length=128, description="Volume driver")] = "local"
    driver_opts: Annotated[Options | None, Field(description="Driver options")] = None
    labels: Annotated[Labels | None, Field(description="Labels")] = None

    def demands(self) -> Iterator[Demand]:
        if self.driver != "local":
            yield Demand(Power.VOLUME_DRIVER, self.driver)
        for name, value in (self.driver_opts or {}).items():
            yield Demand(Power.VOLUME_OPTION, f"{name}={value}")

    def run(self, ctx: Context) -> VolumeCreated:
        existed = _exists(ctx, self.name)
        made = ctx.engine.docker.create_volume(
            self.name, driver=self.driver, driver_opts=self.driver_opts, labels=self.labels
        )
        if made["Name"] != self.name:
            raise errors.NameTaken(
                f"this engine takes {self.name!r} for the beginning of {made['Name']!r}", "choose another name."
            )
        return VolumeCreated(
            name=made["Name"],
            created=not existed,
            driver=made.get("Driver") or "",
            mountpoint=made.get("Mountpoint") or None,
            labels=made.get("Labels") or {},
        )


class VolumeRemoved(Answer):
    name: str
    removed: bool = Field(description="False: there was none")


class RemoveVolume(Tool, tier=Tier.DESTRUCTIVE, verify="docker_list_volumes"):
    """Remove a volume and the data in it. Fails while a container uses it."""

    volume_name: VolumeName
    force: Annotated[bool, Field(description="Also forget one that its driver has lost")] = False

    def run(self, ctx: Context) -> VolumeRemoved:
        existed = _exists(ctx, self.volume_name)
        if not existed and (not self.force or ctx.engine.connected.is_podman):
            raise _missing(self.volume_name)
        # asked for first, since with force Podman removes the containers along with the volume
        if users := _users(ctx, self.volume_name):
            raise errors.InUse(
                f"volume {self.volume_name} is used by {', '.join(users[:20])}"
                + (f" and {len(users) - 20} more" if len(users) > 20 else ""),
                "docker_remove_container first; stopped containers count.",
            )
        # docker-py's own call drops `force`
        ctx.engine.delete(f"/volumes/{self.volume_name}", **({"force": "true"} if self.force else {}))
        return VolumeRemoved(name=self.volume_name, removed=existed)


class VolumesPruned(Answer):
    removed: list[str]
    reclaimed_bytes: int | None = None
    failed: dict[str, str] | None = Field(default=None, description="Volumes that stayed, and why")


class PruneVolumes(
    Tool,
    tier=Tier.DESTRUCTIVE,
    idempotent=True,
    seconds=60,
    verify="docker_list_volumes",
    gone={"force_all": "all=true removes named volumes too"},
):
    """Remove the anonymous volumes that no container uses, and the data in them."""

    all: Annotated[bool, Field(description="Named ones too")] = False
    filters: Annotated[VolumePruneFilters | None, Field(description='e.g. {"label":"a=b"} or {"label!":"keep"}')] = None

    def run(self, ctx: Context) -> VolumesPruned:
        pruned = prune(ctx, self.filters or {}, named=self.all)
        in_time(ctx, self, {"volumes": pruned.removed})
        return pruned


def prune(ctx: Context, filters: dict[str, list[str]], *, named: bool) -> VolumesPruned:
    """Remove unused volumes: anonymous ones only, unless `named`, whatever the engine's own prune would take."""
    if ctx.engine.api >= ANONYMOUS_API and not ctx.engine.connected.is_podman:
        wanted = filters | ({"all": ["true"]} if named else {})
        answer = ctx.engine.docker.prune_volumes(filters=wanted)
        return VolumesPruned(
            removed=answer.get("VolumesDeleted") or [], reclaimed_bytes=answer.get("SpaceReclaimed") or 0
        )
    unused = ctx.engine.docker.volumes(filters={"dangling": ["true"]}).get("Volumes") or []
    names = [
        volume["Name"]
        for volume in unused
        if (named or is_anonymous(ctx, volume)) and _matches(volume.get("Labels") or {}, filters)
    ]
    sizes = _sizes(ctx) if names else {}
    removed: list[str] = []
    failed: dict[str, str] = {}
    for name in names:
        if ctx.cancelled(0):
            break
        ctx.progress(len(removed) + len(failed), len(names), f"removed {len(removed)} of {len(names)} volumes")
        _, problem = tried(ctx, lambda name=name: ctx.engine.delete(f"/volumes/{name}"))  # type: ignore[misc]
        if problem:
            failed[name] = problem
        else:
            removed.append(name)
    known = [sizes[name] for name in removed if name in sizes]
    return VolumesPruned(
        removed=removed,
        reclaimed_bytes=sum(known) if len(known) == len(removed) else None,
        failed=failed or None,
    )


def _matches(labels: dict[str, str], filters: dict[str, list[str]]) -> bool:
    def carries(wanted: str) -> bool:
        name, equals, value = wanted.partition("=")
        return name in labels and (not equals or labels[name] == value)

    return all(map(carries, filters.get("label", []))) and not any(map(carries, filters.get("label!", [])))


def _sizes(ctx: Context) -> dict[str, int]:
    volumes = ctx.engine.docker.df().get("Volumes") or []
    sizes = {volume["Name"]: (volume.get("UsageData") or {}).get("Size", -1) for volume in volumes}
    return {name: size for name, size in sizes.items() if size >= 0}


def tried(ctx: Context, work: Callable[[], Result]) -> tuple[Result | None, str]:
    """One step of a prune: what it gave, or why it failed.

    The one place in the tools that catches: what earlier steps removed is gone for good, and an exception of a later
    one would lose the account of it.
    """
    try:
        return work(), ""
    except Exception as error:  # noqa: BLE001
        if ctx.cancelled(0):
            return None, "out of time"
        return None, str(translate(error, ctx.engine)).removeprefix("REFUSED ")


def in_time(ctx: Context, tool: Tool, removed: dict[str, list[str]]) -> None:
    """Where the call was cut, say what was removed before. Raises TimedOut."""
    if ctx.cancelled(0):
        raise errors.TimedOut(
            f"{tool.spec.name} was stopped after {ctx.limits.seconds:g} s; removed before: "
            + ", ".join(f"{len(names)} {kind}" for kind, names in removed.items()),
            f"{tool.spec.verify} shows what is left; call again for the rest.",
            detail=json.dumps(removed, ensure_ascii=False, separators=(",", ":")),
        )
