"""Containers: making them."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from mcp_docker.engine import lookup
from mcp_docker.errors import InvalidArguments
from mcp_docker.tool import Answer, Context, Demand, Outlook, Power, Thing, Tier, Tool
from mcp_docker.tools import making
from mcp_docker.tools.containers.lifecycle import State, name_of, settled, state_of
from mcp_docker.tools.containers.mounts import VolumeMount, Volumes
from mcp_docker.tools.containers.options import (
    DEFAULT_CAPABILITIES,
    NO_NEW_PRIVILEGES,
    Capabilities,
    CgroupParent,
    ContainerName,
    Devices,
    ExtraHosts,
    HealthCheckSpec,
    HostMode,
    HostName,
    IpcMode,
    Memory,
    NetworkMode,
    PidMode,
    Restart,
    Runtime,
    SecurityOptions,
    User,
    WorkingDir,
)
from mcp_docker.tools.containers.ports import Ports, published
from mcp_docker.tools.containers.powers import CHECKED, check_powers, seen, volume_demands, volume_thing, volumes_named
from mcp_docker.tools.fields import Command, Environment, ImageRef, Labels, Options
from mcp_docker.tools.networks.change import network_demands, network_thing


class ContainerCreated(Answer):
    """The new container."""

    id: str
    name: str
    started: bool
    state: str = Field(description="removed: it ended at once, and was made with remove=true")
    exit_code: int | None = Field(default=None, description="Set when it has already ended")
    error: str | None = None
    ports: list[str] = Field(description="Published on the host; known once it runs")
    warnings: list[str]
    note: str | None = None


class CreateContainer(
    Tool,
    tier=Tier.MODERATE,
    verify="docker_list_containers",
    gone={"detach": "containers always run in the background"},
):
    """Create a container, and start it with start=true. The image must be here (docker_pull_image)."""

    image: ImageRef
    name: Annotated[ContainerName, Field(description="Random if left out")] = ""
    command: Annotated[Command | None, Field(description="Replaces the image's; no shell")] = None
    entrypoint: Annotated[Command | None, Field(description="Replaces the image's")] = None
    environment: Annotated[Environment | None, Field(description='{"NAME":"value"}')] = None
    ports: Annotated[
        Ports | None,
        Field(description='"8080:80", "80" (random host port), "8080:80/udp"; on 127.0.0.1 unless addressed'),
    ] = None
    volumes: Annotated[
        Volumes | None, Field(description='"name:/path[:ro]", "/path" (anonymous), "/host/dir:/path[:rw]"')
    ] = None
    mem_limit: Annotated[Memory | None, Field(description='"512m", "1g"')] = None
    cpus: Annotated[float | None, Field(ge=0.01, le=1_024, description="CPUs it may use")] = None
    cpu_shares: Annotated[int | None, Field(ge=2, le=262_144, description="Relative weight")] = None
    start: Annotated[bool, Field(description="Start it; removed again if that fails")] = False
    remove: Annotated[bool, Field(description="Delete it when it ends")] = False
    restart_policy: Annotated[Restart | None, Field(description="no, always, unless-stopped, on-failure[:retries]")] = (
        None
    )
    working_dir: Annotated[WorkingDir, Field(description="Absolute path")] = ""
    user: Annotated[User, Field(description="name or uid, [:group]")] = ""
    labels: Annotated[Labels | None, Field(description='{"name":"value"}')] = None
    network: Annotated[NetworkMode, Field(description="Network to join, by name")] = ""
    network_mode: Annotated[NetworkMode, Field(description="bridge, none, host, container:NAME")] = ""
    pid_mode: Annotated[PidMode, Field(description="host, container:NAME")] = ""
    hostname: Annotated[HostName, Field(description="Its own host name")] = ""
    extra_hosts: Annotated[ExtraHosts | None, Field(description='"db:10.0.0.2"')] = None
    healthcheck: Annotated[
        HealthCheckSpec | None,
        Field(description='{"test":"curl -f localhost","interval":"30s","timeout","retries","start_period"} or "none"'),
    ] = None
    init: Annotated[bool, Field(description="Run an init that reaps processes")] = False
    tty: Annotated[bool, Field(description="Give it a terminal")] = False
    read_only: Annotated[bool, Field(description="Read-only root file system")] = False
    cap_add: Annotated[Capabilities | None, Field(description="Capabilities to add")] = None
    cap_drop: Annotated[Capabilities | None, Field(description='Capabilities to drop, or "ALL"')] = None
    security_opt: Annotated[SecurityOptions | None, Field(description="e.g. no-new-privileges")] = None
    privileged: Annotated[bool, Field(description="All powers over the host")] = False
    devices: Annotated[Devices | None, Field(description='"/dev/fuse"')] = None
    sysctls: Annotated[Options | None, Field(description="Kernel parameters")] = None
    ipc_mode: Annotated[IpcMode, Field(description="private, shareable, host")] = ""
    uts_mode: Annotated[HostMode, Field(description="host")] = ""
    userns_mode: Annotated[HostMode, Field(description="host")] = ""
    cgroup_parent: Annotated[CgroupParent, Field(description="Parent cgroup")] = ""
    runtime: Annotated[Runtime, Field(description="OCI runtime")] = ""

    # named volumes that the engine makes along with the container
    _new_volumes: set[str] = PrivateAttr(default_factory=set)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.network and self.network_mode:
            raise ValueError("network and network_mode name the same thing: give one of them")
        if self.remove and self.restart_policy and self.restart_policy.name != "no":
            raise ValueError("remove and restart_policy contradict each other: give one of them")
        if self.ports and self.network_mode == "none":
            raise ValueError("ports can't be published with network_mode none: leave one of them out")
        return self

    def demands(self) -> Iterator[Demand]:
        modes = (self.network, self.network_mode, self.pid_mode, self.ipc_mode, self.uts_mode, self.userns_mode)
        addresses = [port.address for port in self.ports or [] if not port.is_loopback]
        asked: dict[Power, list[str]] = {
            Power.PRIVILEGED: ["true"] if self.privileged else [],
            # podman knows more kinds with a colon than Docker's container:NAME
            Power.HOST_NAMESPACE: [mode for mode in modes if mode.lower() == "host" or ":" in mode],
            Power.CAPABILITY: [name for name in self.cap_add or [] if name not in DEFAULT_CAPABILITIES],
            Power.SECURITY_OPTION: [option for option in self.security_opt or [] if option != NO_NEW_PRIVILEGES],
            Power.DEVICE: [device["PathOnHost"] for device in self.devices or []],
            Power.SYSCTL: list(self.sysctls or {}),
            Power.CGROUP_PARENT: [self.cgroup_parent] if self.cgroup_parent else [],
            Power.RUNTIME: [self.runtime] if self.runtime else [],
            Power.PUBLISH_ADDRESS: list(dict.fromkeys(addresses)),
        }
        for power, values in asked.items():
            for value in values:
                yield Demand(power, value)
        yield from (_demand(mount) for mount in self.volumes or [] if mount.is_host_path)

    def look(self, ctx: Context) -> Outlook:
        # Podman makes --mount's text of each, and parts that at its commas
        odd = [mount for mount in self.volumes or [] if "," in mount.source + mount.target]
        if odd and ctx.engine.connected.is_podman:
            raise InvalidArguments(
                f"volumes: Podman takes what follows the comma in {f'{odd[0].source}:{odd[0].target}'!r} for an option",
                "use paths without commas.",
            )
        changes: list[Thing] = []
        demands: list[Demand] = []
        named = [mount for mount in self.volumes or [] if mount.source and not mount.is_host_path]
        written = {mount.source for mount in named if not mount.read_only}
        self._new_volumes = {mount.source for mount in named}
        for volume in volumes_named(ctx, self._new_volumes):
            self._new_volumes = self._new_volumes - {volume["Name"]}
            demands += volume_demands(volume)
            if volume["Name"] in written:
                changes.append(volume_thing(volume))
        network = self.network or self.network_mode
        # the engine tells names apart by case
        if network not in ("", "default", "bridge", "none", "host") and ":" not in network:
            found = lookup.network(ctx.engine, network)
            changes.append(network_thing(found))
            demands += network_demands(found)
        return Outlook(changes=tuple(changes), demands=tuple(demands))

    def run(self, ctx: Context) -> ContainerCreated:
        docker = ctx.engine.docker
        query = f"?name={self.name}" if self.name else ""
        sources = ctx.permit(_demand(mount) for mount in self.volumes or [] if mount.is_host_path)
        body = self._body({demand.value: path for demand, path in sources.items()})
        made = making.made(lambda: ctx.engine.post(f"/containers/create{query}", body).json())
        name = self.name or made["Id"][:12]
        undo = partial(self._undo, ctx, made["Id"])
        with making.undone_on_error(ctx, "container", name, undo):
            found = seen(ctx, made["Id"])
            name = name_of(found or {}) or name
            if self.start:
                ctx.progress(1, 2, f"created {name}, starting it")
            check_powers(ctx, found or {})
            if self.start:
                docker.start(made["Id"])
                found = settled(ctx, made["Id"])
        state = state_of(found)
        return ContainerCreated(
            id=made["Id"],
            name=name,
            started=self.start,
            state=state.status,
            exit_code=state.exit_code,
            error=state.error,
            ports=published(found or {}),
            warnings=made.get("Warnings") or [],
            note=_note(self.start, state),
        )

    def _undo(self, ctx: Context, container_id: str) -> None:
        from docker.errors import APIError, NotFound

        with contextlib.suppress(NotFound):
            ctx.engine.docker.remove_container(container_id, force=True, v=True)
        for name in self._new_volumes:
            # one that something else uses by now stays
            with contextlib.suppress(APIError):
                ctx.engine.docker.remove_volume(name)

    def _body(self, sources: Mapping[str, str]) -> dict[str, Any]:
        """The request, written out: the arguments have the engine's forms already, which docker-py's helpers would
        only parse again, with errors of their own."""
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in self.ports or []:
            binding = {"HostIp": port.address, "HostPort": str(port.host or "")}
            bindings.setdefault(port.inner, []).append(binding)
        host: dict[str, Any] = {
            "PortBindings": bindings,
            "Mounts": [mount.body(sources.get(mount.source, mount.source)) for mount in self.volumes or []],
            "Memory": self.mem_limit,
            "NanoCpus": round(self.cpus * 1e9) if self.cpus else None,
            "CpuShares": self.cpu_shares,
            "AutoRemove": self.remove,
            "RestartPolicy": self.restart_policy and self.restart_policy.body(),
            "NetworkMode": self.network or self.network_mode,
            "PidMode": self.pid_mode,
            "ExtraHosts": self.extra_hosts,
            "Init": self.init,
            "ReadonlyRootfs": self.read_only,
            "CapAdd": self.cap_add,
            "CapDrop": self.cap_drop,
            "SecurityOpt": self.security_opt,
            "Privileged": self.privileged,
            "Devices": self.devices,
            "Sysctls": self.sysctls,
            "IpcMode": self.ipc_mode,
            "UTSMode": self.uts_mode,
            "UsernsMode": self.userns_mode,
            "CgroupParent": self.cgroup_parent,
            "Runtime": self.runtime,
        }
        body: dict[str, Any] = {
            "Image": self.image,
            "Cmd": self.command,
            "Entrypoint": self.entrypoint,
            "Env": [f"{name}={value}" for name, value in (self.environment or {}).items()],
            # whoever starts it later has these looked at again
            "Labels": {**(self.labels or {}), **({CHECKED: "yes"} if sources else {})},
            "ExposedPorts": {inner: {} for inner in bindings},
            "WorkingDir": self.working_dir,
            "User": self.user,
            "Hostname": self.hostname,
            "Healthcheck": self.healthcheck,
            "Tty": self.tty,
            "HostConfig": _given(host),
            "NetworkingConfig": {"EndpointsConfig": {self.network: {}}} if self.network else None,
        }
        return _given(body)


def _demand(mount: VolumeMount) -> Demand:
    return Demand(Power.HOST_MOUNT, mount.source)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not asked for: the engine and the image have defaults of their own."""
    return {name: value for name, value in values.items() if value}


def _note(started: bool, state: State) -> str | None:
    if not started:
        return "It does not run yet: docker_start_container starts it."
    if state.status == "removed":
        return "It ended at once and was deleted, as remove=true asks; without that, its logs and exit code stay."
    return None if state.running else "It ended at once: docker_container_logs tells why."
