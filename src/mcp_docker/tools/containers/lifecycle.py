"""Containers: starting, stopping, removing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mcp_docker import errors
from mcp_docker.engine import CallScope, lookup
from mcp_docker.tool import Answer, Context, Demand, LossAnswer, Outlook, Power, Thing, Tier, Tool
from mcp_docker.tools.containers.ports import published
from mcp_docker.tools.containers.powers import CHECKED, check_powers, seen, volume_thing, volumes_named
from mcp_docker.tools.fields import ContainerId, DryRun
from mcp_docker.tools.volumes import ANONYMOUS_NAME

if TYPE_CHECKING:
    import requests

SETTLE_SECONDS = 0.3
REMOVAL_SECONDS = 3.0
LOOK_SECONDS = 0.1
KILLED = 128 + 9

StopSeconds = Annotated[int, Field(ge=0, le=600, description="Seconds until it is killed")]


def settled(ctx: Context, container_id: str) -> dict[str, Any] | None:
    """A container just started, watched for a moment: what fails at once is seen to fail. None if it is gone."""
    found = seen(ctx, container_id)
    for _ in range(round(SETTLE_SECONDS / LOOK_SECONDS)):
        if not state_of(found).running:
            break
        ctx.cancelled(LOOK_SECONDS)
        found = seen(ctx, container_id)
    if found and state_of(found).status == "removed":
        _gone(ctx, container_id)
    return found


@dataclass(frozen=True)
class State:
    """How a container is doing, as the answers say it."""

    status: str
    running: bool = False
    exit_code: int | None = None
    error: str | None = None


def state_of(found: Mapping[str, Any] | None) -> State:
    """The state of an inspected container; one that is gone, or going since it was made with remove=true, is
    "removed"."""
    if found is None:
        return State("removed")
    state = found.get("State") or {}
    status = state.get("Status") or ""
    if status in ("running", "paused", "stopping", "created", "configured", ""):
        return State(status, status in ("running", "paused", "stopping"), None, state.get("Error") or None)
    # podman calls it stopped until it has tidied up
    status = "exited" if status == "stopped" else status
    going = (found.get("HostConfig") or {}).get("AutoRemove")
    return State("removed" if going else status, False, state.get("ExitCode"), state.get("Error") or None)


def _sent(ctx: Context, seconds: float, path: str, message: str) -> "requests.Response":
    """Send what the engine answers when it is done, which may take so many seconds."""
    ctx.waits(seconds, message)
    with CallScope.current().patient(ctx.limits.seconds):
        return ctx.engine.post(path, None)


class ContainerStarted(Answer):
    """A container after a start or restart."""

    id: str
    name: str
    changed: bool = Field(description="False: it ran already")
    state: str = Field(description="removed: it ended, and was made with remove=true")
    exit_code: int | None = Field(default=None, description="Set when it has already ended")
    error: str | None = None
    ports: list[str]


class StartContainer(Tool, tier=Tier.MODERATE, idempotent=True, verify="docker_inspect_container"):
    """Start a container. One that ends at once is reported with its exit code."""

    container_id: ContainerId

    def look(self, ctx: Context) -> Outlook:
        found = lookup.container(ctx.engine, self.container_id)
        return Outlook(changes=(thing_of(found),), found=found)

    def run(self, ctx: Context) -> ContainerStarted:
        container = _check_again(ctx)
        # docker-py's start() does not tell whether the engine had anything to do
        response = ctx.engine.post(f"/containers/{container.id}/start", None)
        return _started(ctx, container, changed=response.status_code != 304)


class RestartContainer(Tool, tier=Tier.MODERATE, verify="docker_inspect_container"):
    """Stop a container if it runs, then start it. One made with remove=true is deleted by it."""

    container_id: ContainerId
    timeout: StopSeconds = 10

    def seconds_needed(self) -> float:
        return self.timeout + 15

    def look(self, ctx: Context) -> Outlook:
        return _ending(ctx, lookup.container(ctx.engine, self.container_id), "restarting")

    def run(self, ctx: Context) -> ContainerStarted:
        container = _check_again(ctx)
        path = f"/containers/{container.id}/restart?t={self.timeout}"
        _sent(ctx, self.timeout, path, f"restarting {container.name}")
        return _started(ctx, container, changed=True)


def _check_again(ctx: Context) -> Thing:
    """The container that is about to start; one made here that mounts the host is judged again: the path may lead
    elsewhere by now."""
    container = thing_of(ctx.outlook.found)
    if CHECKED in container.labels:
        check_powers(ctx, ctx.outlook.found)
    return container


def _ending(ctx: Context, found: dict[str, Any], verb: str) -> Outlook:
    """What ending a container does: one that was made with remove=true is deleted by it."""
    container = thing_of(found)
    if not ((found.get("HostConfig") or {}).get("AutoRemove") and state_of(found).running):
        return Outlook(changes=(container,), found=found)
    deletion = Demand(Power.DELETION, f"{verb} {container.name} deletes it, since it was made with remove=true")
    lost = replace(container, about=f"made with remove=true: {verb} it deletes it")
    return Outlook(loses=(lost, *_anonymous(ctx, found)), demands=(deletion,), found=found)


def _anonymous(ctx: Context, found: dict[str, Any]) -> Iterator[Thing]:
    """The anonymous volumes of an inspected container, which can go with it."""
    named = set() if ctx.engine.connected.is_podman else _given(found)
    # no label is asked for: Docker goes by whether the container was given a name
    meant = {name for name in _volumes(found) if ANONYMOUS_NAME.fullmatch(name) and name not in named}
    for volume in volumes_named(ctx, meant):
        yield replace(volume_thing(volume), about=f"anonymous, of {name_of(found)}")


def _given(found: Mapping[str, Any]) -> set[str]:
    """The volumes and paths that an inspected container was given by name."""
    host = found.get("HostConfig") or {}
    return {bind.partition(":")[0] for bind in host.get("Binds") or []} | {
        str(mount.get("Source")) for mount in host.get("Mounts") or []
    }


def _started(ctx: Context, before: Thing, *, changed: bool) -> ContainerStarted:
    found = settled(ctx, before.id) if changed else seen(ctx, before.id)
    state = state_of(found)
    return ContainerStarted(
        id=before.id,
        name=before.name,
        changed=changed,
        state=state.status,
        exit_code=state.exit_code,
        error=state.error,
        ports=published(found or {}),
    )


class ContainerStopped(Answer):
    """A container after a stop."""

    id: str
    name: str
    changed: bool = Field(description="False: it did not run")
    state: str
    exit_code: int | None = None
    killed: bool = Field(description="It ended by SIGKILL (exit code 137), as it does when the timeout passes")
    oom_killed: bool | None = None
    removed: bool = Field(description="It was made with remove=true: it is gone, its anonymous volumes too")


class StopContainer(Tool, tier=Tier.MODERATE, idempotent=True, verify="docker_inspect_container"):
    """Stop a container: its stop signal, then SIGKILL. One made with remove=true is deleted by it."""

    container_id: ContainerId
    timeout: StopSeconds = 10

    def seconds_needed(self) -> float:
        return self.timeout + 15

    def look(self, ctx: Context) -> Outlook:
        return _ending(ctx, lookup.container(ctx.engine, self.container_id), "stopping")

    def run(self, ctx: Context) -> ContainerStopped:
        found = ctx.outlook.found
        path = f"/containers/{found['Id']}/stop?t={self.timeout}"
        response = _sent(ctx, self.timeout, path, f"stopping {name_of(found)}")
        # a container that is made to go when it ends may be gone already
        after = seen(ctx, found["Id"])
        last = after or found
        state = state_of(last)
        # podman does not answer 304 for one that was never started
        changed = response.status_code != 304 and (after is None or state.status != state_of(found).status)
        removed = changed and bool((found.get("HostConfig") or {}).get("AutoRemove")) and _gone(ctx, found["Id"])
        return ContainerStopped(
            id=found["Id"],
            name=name_of(found),
            changed=changed,
            state="removed" if removed else (last.get("State") or {}).get("Status") or "",
            exit_code=state.exit_code,
            killed=changed and state.exit_code == KILLED,
            oom_killed=(last.get("State") or {}).get("OOMKilled") or None,
            removed=removed,
        )


def _gone(ctx: Context, container_id: str) -> bool:
    """Wait a little for the engine to remove the container; whether it has."""
    for _ in range(round(REMOVAL_SECONDS / LOOK_SECONDS)):
        if seen(ctx, container_id) is None:
            return True
        ctx.cancelled(LOOK_SECONDS)
    return False


class ContainerRemoved(LossAnswer):
    """What a removal took away, and what it left."""

    id: str | None = None
    name: str | None = None
    was: str | None = Field(default=None, description="Its state before")
    removed_volumes: list[str] | None = Field(default=None, description="Anonymous volumes that went with it")
    kept_volumes: list[str] | None = Field(default=None, description="Volumes that are still there, with their data")


class RemoveContainer(Tool, tier=Tier.DESTRUCTIVE, idempotent=True, verify="docker_list_containers"):
    """Remove a container and what was written in it. Named volumes stay."""

    container_id: ContainerId
    force: Annotated[bool, Field(description="Kill it if it runs")] = False
    volumes: Annotated[bool, Field(description="Its anonymous volumes too")] = False
    dry_run: DryRun = False

    def look(self, ctx: Context) -> Outlook:
        found = lookup.container(ctx.engine, self.container_id, exact=True)
        state, host = state_of(found), found.get("HostConfig") or {}
        # nobody is asked to agree to what the engine would refuse
        if state.running and not self.force:
            raise errors.Conflict(
                f"container {name_of(found)} is {state.status}",
                "docker_stop_container first, or remove with force=true.",
            )
        image = (found.get("Config") or {}).get("Image") or found.get("Image") or ""
        container = replace(thing_of(found), about=f"{state.status}, of the image {image}")
        goes_along = self.volumes or (host.get("AutoRemove") and state.running)
        return Outlook(loses=(container, *(_anonymous(ctx, found) if goes_along else ())), found=found)

    def run(self, ctx: Context) -> ContainerRemoved:
        found = ctx.outlook.found
        ctx.progress(0, 1, f"removing {name_of(found)}")
        ctx.engine.docker.remove_container(found["Id"], force=self.force, v=self.volumes)
        mounted = set(_volumes(found))
        left = {volume["Name"] for volume in volumes_named(ctx, mounted)}
        return ContainerRemoved(
            id=found["Id"],
            name=name_of(found),
            was=state_of(found).status,
            removed_volumes=sorted(mounted - left),
            kept_volumes=sorted(left),
        )


def _volumes(found: Mapping[str, Any]) -> Iterator[str]:
    for mount in found.get("Mounts") or []:
        if mount.get("Type") == "volume" and mount.get("Name"):
            yield mount["Name"]


def thing_of(found: Mapping[str, Any]) -> Thing:
    """An inspected container as what a call changes or takes away."""
    labels = (found.get("Config") or {}).get("Labels") or {}
    return Thing("container", found["Id"], name_of(found), labels, str(found.get("Created") or ""))


def name_of(found: Mapping[str, Any]) -> str:
    """The name of an inspected container."""
    return str(found.get("Name") or "").lstrip("/")
