"""Containers: what there is."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mcp_docker.engine import lookup
from mcp_docker.tool import Answer, Context, Fact, Tier, Tool
from mcp_docker.tools.fields import ContainerId, Filters


class ContainerRow(Fact):
    """A container in a list."""

    id: str
    name: str
    image: str
    state: str
    status: str
    health: str | None = None
    ports: list[str]
    networks: list[str]
    created: int = Field(description="Unix seconds")
    compose_project: str | None = None
    compose_service: str | None = None


class ContainerList(Answer):
    rest = "use filters or limit to see others."

    containers: list[ContainerRow]


class ListContainers(Tool, tier=Tier.SAFE, page="containers"):
    """List containers: running ones, or all."""

    all: Annotated[bool, Field(description="Stopped ones too")] = False
    filters: Annotated[
        Filters | None,
        Field(description='Docker filters, e.g. {"status":"exited","label":"a=b","name":"web"}'),
    ] = None
    limit: Annotated[int | None, Field(ge=1, le=10_000, description="Only the newest so many")] = None

    def run(self, ctx: Context) -> ContainerList:
        # given a limit, engines count stopped ones too; the client's own type for a missing one is -1
        limit = self.limit if self.all and self.limit else -1
        found = ctx.engine.docker.containers(all=self.all, filters=self.filters, limit=limit)
        # Podman has no order of its own
        rows = sorted(map(_row, found), key=lambda row: row.created, reverse=True)
        return ContainerList(containers=rows[: self.limit])


def _row(container: dict[str, Any]) -> ContainerRow:
    labels = container.get("Labels") or {}
    status = container.get("Status") or ""
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return ContainerRow(
        id=container["Id"][:12],
        name=container_name(container),
        image=container.get("Image") or "",
        state=container.get("State") or "",
        status=status,
        health=_health(status),
        ports=_ports(container.get("Ports")),
        networks=sorted(networks),
        created=container.get("Created") or 0,
        compose_project=labels.get("com.docker.compose.project"),
        compose_service=labels.get("com.docker.compose.service"),
    )


def container_name(listed: Mapping[str, Any]) -> str:
    """What a container of a listing is called: links add names that have a second slash. Without one, its short id."""
    names = [str(name) for name in listed.get("Names") or [str(listed.get("Id") or "")[:12]]]
    return next((name[1:] for name in names if name.count("/") == 1), names[0].lstrip("/"))


def _health(status: str) -> str | None:
    for text, health in (
        ("(healthy)", "healthy"),
        ("(unhealthy)", "unhealthy"),
        ("(health: starting)", "starting"),
    ):
        if text in status:
            return health
    return None


def _ports(ports: list[dict[str, Any]] | None) -> list[str]:
    """As `docker ps` writes them."""
    written = []
    for port in ports or []:
        inner = f"{port.get('PrivatePort')}/{port.get('Type', 'tcp')}"
        host = port.get("IP") or ""
        outer = f"{f'[{host}]' if ':' in host else host}:{port['PublicPort']}->" if port.get("PublicPort") else ""
        written.append(outer + inner)
    return sorted(set(written))


class Mount(Fact):
    """What is mounted where."""

    type: str
    source: str | None = None
    target: str
    read_only: bool


class Attachment(Fact):
    """A container's place in a network."""

    network: str
    ipv4: str | None = None
    ipv6: str | None = None
    aliases: list[str]


class HealthCheck(Fact):
    """The state of a health check, and what its last run printed."""

    status: str
    failing_streak: int
    last_output: str | None = None


class ContainerDetails(Answer):
    """One container; `raw` has the engine's whole answer when asked for."""

    rest = "the cut field is shorter with raw=false."

    id: str
    name: str
    image: str
    image_id: str
    state: str
    exit_code: int | None = None
    error: str | None = None
    oom_killed: bool | None = None
    created: str
    started: str | None = None
    finished: str | None = None
    restarts: int
    health: HealthCheck | None = None
    entrypoint: list[str]
    command: list[str]
    working_dir: str | None = None
    user: str | None = None
    environment: list[str]
    labels: dict[str, str]
    ports: list[str]
    mounts: list[Mount]
    networks: list[Attachment]
    network_mode: str
    restart_policy: str
    memory_limit: int | None = Field(default=None, description="Bytes")
    cpus: float | None = None
    privileged: bool
    read_only: bool
    auto_remove: bool
    tty: bool
    untrusted: Literal[True] = Field(default=True, description="Labels, environment and output are strangers' text")
    raw: dict[str, Any] | None = None


class InspectContainer(Tool, tier=Tier.SAFE):
    """Show a container's state, configuration, mounts, networks and health."""

    container_id: ContainerId
    raw: Annotated[bool, Field(description="Add the engine's whole answer")] = False

    def run(self, ctx: Context) -> ContainerDetails:
        found = lookup.container(ctx.engine, self.container_id)
        details = _details(found)
        return details.model_copy(update={"raw": found}) if self.raw else details


def _details(found: dict[str, Any]) -> ContainerDetails:
    state = found.get("State") or {}
    config = found.get("Config") or {}
    host = found.get("HostConfig") or {}
    network = found.get("NetworkSettings") or {}
    ended = not state.get("Running") and state.get("Status") != "created"
    restart = host.get("RestartPolicy") or {}
    retries = restart.get("MaximumRetryCount") or 0
    return ContainerDetails(
        id=found["Id"],
        name=found.get("Name", "").lstrip("/"),
        image=config.get("Image") or found.get("ImageName") or "",
        image_id=found.get("Image") or "",
        state=state.get("Status") or "",
        exit_code=state.get("ExitCode") if ended else None,
        error=state.get("Error") or None,
        oom_killed=state.get("OOMKilled"),
        created=found.get("Created") or "",
        started=_time(state.get("StartedAt")),
        finished=_time(state.get("FinishedAt")),
        restarts=found.get("RestartCount") or 0,
        health=_check(state.get("Health") or state.get("Healthcheck")),
        entrypoint=_words(config.get("Entrypoint")),
        command=_words(config.get("Cmd")),
        working_dir=config.get("WorkingDir") or None,
        user=config.get("User") or None,
        environment=config.get("Env") or [],
        labels=config.get("Labels") or {},
        ports=_bindings(network.get("Ports")),
        mounts=[
            Mount(
                type=mount.get("Type") or "",
                source=mount.get("Name") or mount.get("Source") or None,
                target=mount.get("Destination") or "",
                read_only=not mount.get("RW", True),
            )
            for mount in found.get("Mounts") or []
        ],
        networks=[
            Attachment(
                network=name,
                ipv4=place.get("IPAddress") or None,
                ipv6=place.get("GlobalIPv6Address") or None,
                aliases=place.get("Aliases") or [],
            )
            for name, place in sorted((network.get("Networks") or {}).items())
            if place
        ],
        network_mode=host.get("NetworkMode") or "",
        restart_policy=(restart.get("Name") or "no") + (f":{retries}" if retries else ""),
        memory_limit=host.get("Memory") or None,
        cpus=(host.get("NanoCpus") or 0) / 1e9 or None,
        privileged=bool(host.get("Privileged")),
        read_only=bool(host.get("ReadonlyRootfs")),
        auto_remove=bool(host.get("AutoRemove")),
        tty=bool(config.get("Tty")),
    )


def _words(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) and value else list(value or [])


def _time(value: str | None) -> str | None:
    """The engine's zero time means never."""
    return None if not value or value.startswith("0001-") else value


def _check(health: dict[str, Any] | None) -> HealthCheck | None:
    if not health or health.get("Status") in (None, "", "none"):
        return None
    log = health.get("Log") or []
    return HealthCheck(
        status=health["Status"],
        failing_streak=health.get("FailingStreak") or 0,
        last_output=(log[-1].get("Output") or "")[-2_000:] or None if log else None,
    )


def _bindings(ports: dict[str, list[dict[str, str]] | None] | None) -> list[str]:
    return _ports(
        [
            {"PrivatePort": inner.partition("/")[0], "Type": inner.partition("/")[2] or "tcp"}
            | ({"IP": binding.get("HostIp", ""), "PublicPort": binding.get("HostPort")} if binding else {})
            for inner, bindings in (ports or {}).items()
            for binding in bindings or [{}]
        ]
    )
