"""The engine itself: its version, and what happened on it."""

import json
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

import mcp_docker
from mcp_docker import errors
from mcp_docker.engine import clock
from mcp_docker.tool import Answer, Context, Cut, Fact, Tier, Tool
from mcp_docker.tools.fields import Filters, WrittenMoment, moment

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

    since: Annotated[WrittenMoment, Field(description="RFC 3339, unix seconds, or back from now: 15m, 2h")] = "1h"
    until: Annotated[WrittenMoment | None, Field(description="The same; default now")] = None
    filters: Annotated[
        Annotated[Filters, AfterValidator(_known)] | None,
        Field(description='Docker filters, e.g. {"type":"container","event":"die","container":"web"}'),
    ] = None
    limit: Annotated[int, Field(ge=1, le=2_000, description="Only the newest so many")] = 200

    def run(self, ctx: Context) -> EventList:
        now = _engine_time(ctx)
        began = moment(self.since, now=now)
        since, asked = float(began), now if self.until is None else float(moment(self.until, now=now))
        if since > now:
            raise errors.InvalidArguments("since lies in the future", "events are those that have happened.")
        if since > asked:
            raise errors.InvalidArguments("since is later than until", "give an earlier one, or leave until out.")
        # an engine waits for an end that is still to come
        until = min(asked, now)
        path, window = "/events", {"until": f"{until:.6f}"}
        if ctx.engine.connected.is_podman:
            # Podman's file log loses nearly all when given an end
            path, window = "/events?stream=false", {}
        newest: deque[dict[str, Any]] = deque(maxlen=self.limit)
        total = 0
        with ctx.engine.get(
            path, stream=True, since=began, filters=json.dumps(self.filters or {}), **window
        ) as response:
            for event in _lines(response.iter_lines(chunk_size=1 << 16)):
                if _when(event) <= until:
                    newest.append(event)
                    total += 1
                    ctx.progress(total, 0, f"read {total} events")
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
    theirs = clock.told(ctx.engine.get("/_ping").headers) or ours
    return theirs if abs(theirs - ours) > CLOCK_SECONDS else ours


def _lines(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    from mcp_docker.engine import shapes

    return (shapes.checked("GET /events", json.loads(line.decode(errors="replace"))) for line in lines if line.strip())


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
