"""The engine itself: its version, what happened on it, and clearing it up."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, model_validator

import mcp_docker
from mcp_docker import errors
from mcp_docker.tool import Answer, Context, Cut, Fact, Tier, Tool
from mcp_docker.tools import volumes
from mcp_docker.tools.fields import Filters, Moment, PruneFilters
from mcp_docker.tools.images.remove import check_labels

CLOCK_SECONDS = 2.0
"""The engine tells the time in whole seconds: a smaller difference says nothing."""

ATTRIBUTES = {
    "image": "image",
    "exitCode": "exit_code",
    "containerExitCode": "exit_code",
    "signal": "signal",
    "oldName": "old_name",
    "container": "container",
    "driver": "driver",
    "destination": "destination",
    "com.docker.compose.project": "compose_project",
    "com.docker.compose.service": "compose_service",
}
"""What an event tells beside its actor's name. The rest is mostly labels."""


EVENT_FILTERS = frozenset(
    "config container daemon event image label network node plugin pod scope secret service type volume".split()
)


def _known(filters: dict[str, list[str]]) -> dict[str, list[str]]:
    """Engines ignore a filter that they don't know, and tell of everything."""
    if unknown := sorted(set(filters) - EVENT_FILTERS):
        raise ValueError(f"there is no filter {', '.join(map(repr, unknown))}: use {', '.join(sorted(EVENT_FILTERS))}")
    return filters


class Component(Fact):
    """A part of the engine."""

    name: str
    version: str


class ClientVersion(Fact):
    mcp_docker: str
    docker_py: str
    api_version: str = Field(description="Spoken with the engine")


class EngineVersion(Fact):
    """What the engine says of itself, and where it was found."""

    version: str
    api_version: str
    min_api_version: str | None = None
    os: str
    arch: str
    kernel: str | None = None
    components: list[Component]
    address: str
    found_by: str


class VersionAnswer(Answer):
    client: ClientVersion
    engine: EngineVersion


class Version(Tool, tier=Tier.SAFE):
    """Show the versions of this server and of the engine, and how the engine was found."""

    def run(self, ctx: Context) -> VersionAnswer:
        import docker

        found = ctx.engine.docker.version()
        endpoint = ctx.engine.connected.endpoint
        return VersionAnswer(
            client=ClientVersion(
                mcp_docker=mcp_docker.__version__,
                docker_py=docker.__version__,
                api_version="{}.{}".format(*ctx.engine.api),
            ),
            engine=EngineVersion(
                version=found.get("Version") or "",
                api_version=found.get("ApiVersion") or "",
                min_api_version=found.get("MinAPIVersion") or None,
                os=found.get("Os") or "",
                arch=found.get("Arch") or "",
                kernel=found.get("KernelVersion") or None,
                components=[
                    Component(name=part.get("Name") or "", version=part.get("Version") or "")
                    for part in found.get("Components") or []
                ],
                address=endpoint.address,
                found_by=endpoint.rule,
            ),
        )


class Event(Fact):
    """Something that happened to an object of the engine."""

    time: str
    type: str
    action: str
    id: str
    name: str | None = None
    attributes: dict[str, str]


class EventList(Answer):
    """Events, the oldest first."""

    rest = "narrow since, until or filters to see the others."
    keep_end = frozenset({"events"})

    since: str
    until: str
    note: str | None = None
    events: list[Event]
    untrusted: Literal[True] = Field(default=True, description="Names and actions are strangers' text")


class Events(Tool, tier=Tier.SAFE, seconds=60):
    """Show what happened: starts, ends, pulls, removals. Docker Engine remembers its last 256 events."""

    since: Annotated[
        Moment, Field(validate_default=True, description="RFC 3339, unix seconds, or back from now: 15m, 2h")
    ] = "1h"
    until: Annotated[Moment | None, Field(description="The same; default now")] = None
    filters: Annotated[
        Annotated[Filters, AfterValidator(_known)] | None,
        Field(description='Docker filters, e.g. {"type":"container","event":"die","container":"web"}'),
    ] = None
    limit: Annotated[int, Field(ge=1, le=2_000, description="Only the newest so many")] = 200

    @model_validator(mode="after")
    def _in_order(self) -> "Events":
        if self.until is not None and float(self.since) > float(self.until):
            raise ValueError("since is later than until")
        return self

    def run(self, ctx: Context) -> EventList:
        now = _engine_time(ctx)
        since, asked = float(self.since), float(self.until or now)
        if since > now:
            raise errors.InvalidArguments("since lies in the future", "events are those that have happened.")
        # an engine waits for an end that is still to come
        until = min(asked, now)
        path, window = "/events", {"until": f"{until:.6f}"}
        if ctx.engine.connected.is_podman:
            # Podman's file log loses nearly all when given an end
            path, window = "/events?stream=false", {}
        newest: deque[dict[str, Any]] = deque(maxlen=self.limit)
        total = 0
        with ctx.engine.get(
            path, stream=True, since=self.since, filters=json.dumps(self.filters or {}), **window
        ) as response:
            for event in _lines(response.iter_lines(chunk_size=1 << 16)):
                if _when(event) <= until:
                    newest.append(event)
                    total += 1
        return EventList(
            since=_rfc3339(since),
            until=_rfc3339(until),
            note="until lies in the future: these are the events until now" if asked > now else None,
            events=[_event(event) for event in newest],
            truncated=Cut(what=f"Showing the newest {len(newest)} of {total} events", rest=EventList.rest)
            if total > len(newest)
            else None,
        )


def _engine_time(ctx: Context) -> float:
    """Unix seconds as the engine counts them: its clock may be another machine's."""
    ours = time.time()
    date = ctx.engine.get("/_ping").headers.get("Date")
    theirs = parsedate_to_datetime(date).timestamp() if date else ours
    return theirs if abs(theirs - ours) > CLOCK_SECONDS else ours


def _lines(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in lines if line.strip())


def _when(event: dict[str, Any]) -> float:
    return float((event.get("timeNano") or 0) / 1e9 or event.get("time") or 0)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(event: dict[str, Any]) -> Event:
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    told = {ours: str(attributes[theirs]) for theirs, ours in ATTRIBUTES.items() if attributes.get(theirs)}
    if event.get("Action") not in ("die", "died", "exec_die", "exec_died", "cleanup", "remove"):
        # Podman tells an exit code of 0 with everything
        told.pop("exit_code", None)
    return Event(
        time=_rfc3339(_when(event)),
        type=event.get("Type") or "",
        action=event.get("Action") or event.get("status") or "",
        id=actor.get("ID") or event.get("id") or "",
        name=attributes.get("name") or None,
        attributes=told,
    )


class Removed(Fact):
    """What was removed, by kind."""

    containers: list[str] = Field(default_factory=list)
    networks: list[str] = Field(default_factory=list)
    volumes: list[str] = Field(default_factory=list)
    images: list[str] = Field(default_factory=list)
    build_cache: list[str] = Field(default_factory=list)


class SystemPruned(Answer):
    removed: Removed
    reclaimed_bytes: dict[str, int] = Field(description="By kind, where the engine tells")
    total_reclaimed_bytes: int
    failed: dict[str, str] | None = Field(default=None, description="What stayed, and why")
    skipped: dict[str, str] | None = None


class PruneSystem(
    Tool,
    tier=Tier.DESTRUCTIVE,
    idempotent=True,
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

    @model_validator(mode="after")
    def _volumes_have_no_age(self) -> "PruneSystem":
        if self.volumes and "until" in (self.filters or {}):
            raise ValueError("volumes=true can't be combined with the filter until")
        return self

    def run(self, ctx: Context) -> SystemPruned:
        filters = self.filters or {}
        check_labels(ctx, filters)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "containers": lambda: _prune(ctx, "containers", filters),
            "networks": lambda: _prune(ctx, "networks", filters),
            "volumes": lambda: _volumes(ctx, filters),
            "images": lambda: _prune(ctx, "images", filters | {"dangling": ["true"]}),
            "build_cache": lambda: _prune(ctx, "build", _build_filters(filters)),
        }
        skipped = _skipped(ctx, filters)
        if not self.volumes:
            del parts["volumes"]
        removed: dict[str, list[str]] = {}
        reclaimed: dict[str, int] = {}
        failed: dict[str, str] = {}
        for done, (kind, work) in enumerate((kind, parts[kind]) for kind in parts if kind not in skipped):
            ctx.progress(done, len(parts), f"pruning {kind.replace('_', ' ')}")
            answer, problem = volumes.tried(ctx, work)
            if answer is None:
                failed[kind] = problem
                continue
            removed[kind] = _names(answer)
            failed |= answer.get("failed") or {}
            if answer.get("SpaceReclaimed") is not None:
                reclaimed[kind] = answer["SpaceReclaimed"]
        volumes.in_time(ctx, self, removed)
        return SystemPruned(
            removed=Removed(**removed),
            reclaimed_bytes=reclaimed,
            total_reclaimed_bytes=sum(reclaimed.values()),
            failed=failed or None,
            skipped=skipped or None,
        )


def _skipped(ctx: Context, filters: dict[str, list[str]]) -> dict[str, str]:
    if ctx.engine.connected.is_podman:
        return {"build_cache": "Podman has none"}
    if "label" in filters or "label!" in filters:
        return {"build_cache": "it has no labels, and the engine would ignore the filter"}
    return {}


def _build_filters(filters: dict[str, list[str]]) -> dict[str, list[str]]:
    # old engines take a duration only
    if "until" not in filters:
        return {}
    return {"until": [f"{max(0, int(time.time() - float(filters['until'][0])))}s"]}


def _prune(ctx: Context, what: str, filters: dict[str, list[str]]) -> dict[str, Any]:
    query = urlencode({"filters": json.dumps(filters)})
    answer: dict[str, Any] = ctx.engine.post(f"/{what}/prune?{query}", None).json()
    return answer


def _volumes(ctx: Context, filters: dict[str, list[str]]) -> dict[str, Any]:
    pruned = volumes.prune(ctx, filters, named=False)
    return {
        "VolumesDeleted": pruned.removed,
        "SpaceReclaimed": pruned.reclaimed_bytes,
        "failed": {f"volume {name}": problem for name, problem in (pruned.failed or {}).items()},
    }


def _names(answer: dict[str, Any]) -> list[str]:
    found = next((value for key, value in answer.items() if key.endswith("Deleted")), None) or []
    return [item if isinstance(item, str) else item.get("Deleted") or item.get("Untagged") or "" for item in found]
