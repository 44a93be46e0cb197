"""Volumes: what there is, making, removing and pruning them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mcp_docker import errors
from mcp_docker.engine.usage import usage
from mcp_docker.tool import Answer, Context, Demand, Fact, LossAnswer, Outlook, Power, Thing, Tier, Tool
from mcp_docker.tools import making, pruning
from mcp_docker.tools.containers.read import container_name
from mcp_docker.tools.fields import DryRun, Filters, Labels, Options, VolumeName, VolumePruneFilters

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
ANONYMOUS_NAME = re.compile("[0-9a-f]{64}")
ANONYMOUS_API = (1, 42)
"""From here on, engines mark anonymous volumes."""


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
    return sorted(map(container_name, containers))


def _found(ctx: Context, name: str) -> dict[str, Any] | None:
    """The volume of exactly this name: Podman takes the beginning of a name for the whole."""
    found = ctx.engine.docker.volumes(filters={"name": [name]}).get("Volumes") or []
    return next((volume for volume in found if volume["Name"] == name), None)


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
        existed = _found(ctx, self.name) is not None
        made = making.made(
            lambda: ctx.engine.docker.create_volume(
                self.name, driver=self.driver, driver_opts=self.driver_opts, labels=self.labels
            )
        )
        if made["Name"] != self.name:
            raise errors.NameTaken(
                f"this engine takes {self.name!r} for the beginning of {made['Name']!r}", "choose another name."
            )
        created = VolumeCreated(
            name=made["Name"],
            created=not existed,
            driver=made.get("Driver") or "",
            mountpoint=made.get("Mountpoint") or None,
            labels=made.get("Labels") or {},
        )
        if existed:
            return created
        undo = partial(_delete, ctx, self.name, force=False)
        with making.undone_on_error(ctx, "volume", self.name, undo):
            return created


class VolumeRemoved(LossAnswer):
    name: str | None = None
    removed: bool | None = Field(default=None, description="False: there was none")


class RemoveVolume(Tool, tier=Tier.DESTRUCTIVE, verify="docker_list_volumes"):
    """Remove a volume and the data in it. Fails while a container uses it."""

    volume_name: VolumeName
    force: Annotated[bool, Field(description="Also forget one that its driver has lost")] = False
    dry_run: DryRun = False

    def look(self, ctx: Context) -> Outlook:
        found = _found(ctx, self.volume_name)
        # asked for first, since with force Podman removes the containers along with the volume
        if users := _users(ctx, self.volume_name):
            raise errors.InUse(
                f"volume {self.volume_name} is used by {', '.join(users[:20])}"
                + (f" and {len(users) - 20} more" if len(users) > 20 else ""),
                "docker_remove_container first; stopped containers count.",
            )
        if found is None:
            if self.force and not ctx.engine.connected.is_podman:
                return Outlook()
            raise _missing(self.volume_name)
        return Outlook(loses=tuple(things(ctx, [found])))

    def run(self, ctx: Context) -> VolumeRemoved:
        if ctx.outlook.loses:
            take(ctx, ctx.outlook.loses[0], force=self.force)
        elif _found(ctx, self.volume_name):
            raise _another(self.volume_name)
        else:
            _delete(ctx, self.volume_name, force=True)
        return VolumeRemoved(name=self.volume_name, removed=bool(ctx.outlook.loses))


class VolumesPruned(LossAnswer):
    removed: list[str] | None = None
    reclaimed_bytes: int | None = None
    failed: dict[str, str] | None = Field(default=None, description="Volumes that stayed, and why")


class PruneVolumes(
    Tool,
    tier=Tier.DESTRUCTIVE,
    idempotent=True,
    sweeping=True,
    seconds=60,
    verify="docker_list_volumes",
    gone={"force_all": "all=true removes named volumes too"},
):
    """Remove the anonymous volumes that no container uses, and the data in them."""

    all: Annotated[bool, Field(description="Named ones too")] = False
    filters: Annotated[VolumePruneFilters | None, Field(description='e.g. {"label":"a=b"} or {"label!":"keep"}')] = None
    dry_run: DryRun = False

    def look(self, ctx: Context) -> Outlook:
        meant = [
            volume
            for volume in unused(ctx)
            if prunable(volume, self.filters or {}) and (self.all or is_anonymous(ctx, volume))
        ]
        return Outlook(loses=tuple(things(ctx, meant)[: pruning.MOST]))

    def run(self, ctx: Context) -> VolumesPruned:
        pruned = pruning.take(ctx, lambda thing: take(ctx, thing))
        removed = [thing.name for thing in pruned.gone]
        pruning.in_time(ctx, self, {"volumes": removed})
        return VolumesPruned(removed=removed, reclaimed_bytes=pruned.freed(), failed=pruned.failed or None)


def unused(ctx: Context) -> list[dict[str, Any]]:
    """The volumes that no container uses, stopped ones counted."""
    return ctx.engine.docker.volumes(filters={"dangling": ["true"]}).get("Volumes") or []


def prunable(volume: Mapping[str, Any], filters: pruning.Filters) -> bool:
    """Whether a prune means this volume if nothing uses it: like the engine's own, only what it stores itself."""
    return (
        volume.get("Driver") == "local"
        and not volume.get("Options")
        and pruning.labelled(volume.get("Labels"), filters)
    )


def things(ctx: Context, volumes: Sequence[Mapping[str, Any]], sizes: Mapping[str, int] | None = None) -> list[Thing]:
    """What is lost with these volumes, by name. Without sizes, the engine is asked for them."""
    if sizes is None:
        told = usage(ctx.engine, "volume") if volumes else None
        sizes = told.volumes if told else {}
    return [
        Thing(
            "volume",
            volume["Name"],
            volume["Name"],
            labels=volume.get("Labels") or {},
            created=volume.get("CreatedAt") or "",
            about="used by no container" + ("" if volume.get("Driver") == "local" else f", driver {volume['Driver']}"),
            bytes=sizes.get(volume["Name"]),
        )
        for volume in sorted(volumes, key=lambda volume: str(volume["Name"]))
    ]


def take(ctx: Context, thing: Thing, *, force: bool = False) -> None:
    """Remove the volume that was looked at. Raises Conflict where another has its name by now."""
    found = ctx.engine.docker.inspect_volume(thing.name)
    # Podman finds a volume by the beginning of its name
    if found["Name"] != thing.name:
        raise _missing(thing.name)
    if (found.get("CreatedAt") or "") != thing.created:
        raise _another(thing.name)
    _delete(ctx, thing.name, force=force)


def _delete(ctx: Context, name: str, *, force: bool) -> None:
    # docker-py's own call drops `force`
    ctx.engine.delete(f"/volumes/{name}", **({"force": "true"} if force else {}))


def _another(name: str) -> errors.Conflict:
    return errors.Conflict(f"volume {name} was made meanwhile and is another one", "call again if it is to go too.")
