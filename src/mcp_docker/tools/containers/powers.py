"""What a container that exists can do to the host, read from how the engine shows it."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mcp_docker.errors import MountRefused, NotFound
from mcp_docker.tool import Context, Demand, Power, Thing
from mcp_docker.tools.containers.options import DEFAULT_CAPABILITIES, NO_NEW_PRIVILEGES

CHECKED = "mcp-docker.mounts.checked"
"""Label of containers made here that mount paths of the host: these are looked at again before each start."""

ALMIGHTY = frozenset("ALL SYS_ADMIN SYS_MODULE SYS_RAWIO DAC_READ_SEARCH".split())
"""Capabilities that are as good as being privileged."""

MOST_SHARED = 8
_DESKTOP = "/host_mnt"
"""Docker Desktop shows the paths that it shares below this folder of its own machine."""


def check_powers(ctx: Context, found: Mapping[str, Any]) -> None:
    """Ask the policy once more, now for what the engine made of a container: it may have added something of its own.

    Raises:
        NotPermitted: it can do more than the policy allows, or a path leads elsewhere by now.
    """
    demands = list(powers(ctx, found))
    for demand, path in ctx.permit(demands).items():
        if demand.power is Power.HOST_MOUNT and path != demand.value:
            raise MountRefused(
                f"the host path {demand.value!r} leads to {path!r} by now",
                "create the container with the path that is meant.",
            )


def powers(ctx: Context, found: Mapping[str, Any]) -> Iterator[Demand]:
    """The powers over the host that an inspected container has."""
    host = found.get("HostConfig") or {}
    if host.get("Privileged"):
        yield Demand(Power.PRIVILEGED, "true")
    for mode in namespaces(host):
        yield Demand(Power.HOST_NAMESPACE, mode)
    for name in host.get("CapAdd") or []:
        if name.upper().removeprefix("CAP_") not in DEFAULT_CAPABILITIES:
            yield Demand(Power.CAPABILITY, name.upper().removeprefix("CAP_"))
    for option in host.get("SecurityOpt") or []:
        if option != NO_NEW_PRIVILEGES and not host.get("Privileged"):
            yield Demand(Power.SECURITY_OPTION, option)
    for device in host.get("Devices") or []:
        yield Demand(Power.DEVICE, device.get("PathOnHost") or "")
    for path in host_paths(found):
        yield Demand(Power.HOST_MOUNT, path)
    yield from volume_powers(ctx, found)


def namespaces(host: Mapping[str, Any]) -> Iterator[str]:
    """The namespaces of an inspected container that are the host's, or another container's."""
    for kind in ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode"):
        mode = str(host.get(kind) or "")
        if mode == "host" or mode.startswith(("container:", "ns:")):
            yield mode


def host_paths(found: Mapping[str, Any]) -> Iterator[str]:
    """The paths of the host that an inspected container mounts."""
    for mount in found.get("Mounts") or []:
        if mount.get("Type") == "bind":
            source = str(mount.get("Source") or "")
            yield source.removeprefix(_DESKTOP) if source.startswith(_DESKTOP + "/") else source


def volume_powers(ctx: Context, found: Mapping[str, Any]) -> Iterator[Demand]:
    """What the volumes of an inspected container ask for beyond being plain ones."""
    mounted = [
        mount["Name"] for mount in found.get("Mounts") or [] if mount.get("Type") == "volume" and mount.get("Name")
    ]
    for volume in volumes_named(ctx, mounted):
        yield from volume_demands(volume)


def volume_sources(ctx: Context, found: Mapping[str, Any]) -> Iterator[str]:
    """The paths of the host that volumes of an inspected container are made of."""
    for demand in volume_powers(ctx, found):
        name, _, value = demand.value.partition("=")
        if demand.power is Power.VOLUME_OPTION and name in ("device", "o"):
            yield from re.findall(r"/[^,:=]*", value)


def shared(ctx: Context, found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """An inspected container, and those whose namespaces it shares, and so on; one that is gone is empty."""
    known = [found]
    for container in known:
        for mode in namespaces(container.get("HostConfig") or {}):
            kind, _, name = mode.partition(":")
            if kind == "container" and len(known) < MOST_SHARED:
                known.append(seen(ctx, name) or {})
    return known


def seen(ctx: Context, container_id: str) -> dict[str, Any] | None:
    """The container as inspect shows it; None if there is none."""
    from docker.errors import APIError

    from mcp_docker.engine.errors import translate

    try:
        found: dict[str, Any] = ctx.engine.docker.inspect_container(container_id)
    except APIError as error:
        # podman answers 500 for one that goes just now
        if isinstance(translate(error, ctx.engine), NotFound):
            return None
        raise
    return found


def volumes_named(ctx: Context, names: Collection[str]) -> list[dict[str, Any]]:
    """The volumes of these names, of those that there are."""
    if not names:
        return []
    found = ctx.engine.docker.volumes(filters={"name": sorted(names)}).get("Volumes") or []
    # the engine takes a part of a name for the whole
    return [volume for volume in found if volume["Name"] in names]


def volume_demands(volume: Mapping[str, Any]) -> Iterator[Demand]:
    """What a volume asks for beyond being a plain one: it may be a path of the host by another name."""
    if volume.get("Driver") != "local":
        yield Demand(Power.VOLUME_DRIVER, str(volume.get("Driver")))
    for name, value in (volume.get("Options") or {}).items():
        yield Demand(Power.VOLUME_OPTION, f"{name}={value}")


def volume_thing(volume: Mapping[str, Any]) -> Thing:
    """A volume as what a call changes."""
    name = volume["Name"]
    return Thing("volume", name, name, volume.get("Labels") or {}, str(volume.get("CreatedAt") or ""))
