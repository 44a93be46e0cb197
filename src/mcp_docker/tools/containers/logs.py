"""Containers: what they print."""

import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from mcp_docker.engine import CallScope, clock, lookup
from mcp_docker.engine.streams import Lines, Stream, pieces
from mcp_docker.errors import TimedOut
from mcp_docker.tool import Context, Fact, TextAnswer, Tier, Tool
from mcp_docker.tools.fields import ContainerId, Moment

if TYPE_CHECKING:
    import requests

MOST_LINES = 10_000
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")

Stamp = re.Match[bytes] | None


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and not value.strip().lstrip("-").isdigit():
        raise ValueError(
            f"{value!r} is not a number of lines from 1 to {MOST_LINES}; since, until and contains narrow it"
        )
    return value


class LogLine(Fact):
    """One line, of standard output or standard error."""

    stream: Stream
    text: str
    time: str | None = None


class Logs(TextAnswer):
    """The last lines, oldest first."""

    rest: ClassVar[str] = "use since, until, contains or a smaller tail for the others."
    keep_end: ClassVar[frozenset[str]] = frozenset({"lines"})

    container: str
    lines: list[LogLine]
    next_since: str = Field(description="`since` of a next call that goes on from here")
    note: str | None = None

    @classmethod
    def rendered(cls, data: dict[str, Any]) -> tuple[str, str]:
        lines = data["lines"]
        header = f"{len(lines)} lines of {data['container']}; next since: {data['next_since']}"
        if "note" in data:
            header += f". {data['note']}"
        both = len({line["stream"] for line in lines}) > 1
        return header, "\n".join(_written(line, mark=both) for line in lines)


def _written(line: dict[str, Any], *, mark: bool) -> str:
    parts = [line.get("time"), "stderr|" if mark and line["stream"] == "stderr" else None, line["text"]]
    return " ".join(part for part in parts if part is not None)


class ContainerLogs(Tool, tier=Tier.SAFE, page="logs", seconds=60, gone={"stream": "use follow"}):
    """Read a container's log, or with follow=true wait for new lines."""

    container_id: ContainerId
    tail: Annotated[
        int,
        BeforeValidator(_bounded),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_LINES}),
        Field(ge=1, le=MOST_LINES, description="At most the last so many lines"),
    ] = 200
    since: Annotated[Moment | None, Field(description='RFC 3339, unix seconds or "15m"')] = None
    until: Annotated[Moment | None, Field(description="As since")] = None
    contains: Annotated[str, Field(max_length=1_000, description="Only lines with this text")] = ""
    timestamps: Annotated[bool, Field(description="With times")] = False
    follow: Annotated[bool, Field(description="Gather new lines, from since or now on")] = False
    seconds: Annotated[int, Field(ge=1, le=45, description="How long to follow")] = 10

    def seconds_needed(self) -> float | None:
        return self.seconds + 15 if self.follow else None

    def run(self, ctx: Context) -> Logs:
        found = lookup.container(ctx.engine, self.container_id)
        tty = bool((found.get("Config") or {}).get("Tty"))
        if self.follow:
            with CallScope.current().ending_after(self.seconds) as scope:
                kept, after, seen = self._read(ctx, found["Id"], scope, tty=tty)
        else:
            kept, after, seen = self._read(ctx, found["Id"], CallScope.current(), tty=tty)
        return Logs(
            container=found["Name"].lstrip("/"),
            lines=list(kept),
            next_since=after,
            note=f"{seen - len(kept)} earlier lines matched too" if seen > len(kept) else None,
        )

    def _read(self, ctx: Context, full_id: str, scope: CallScope, *, tty: bool) -> tuple[deque[LogLine], str, int]:
        # the engine counts before it looks at `until`, and a text that is looked for may be anywhere
        counted: int | str = "all" if self.contains or self.until or self.follow else self.tail
        if self.follow and self.since is None:
            counted = 0
        wanted = {"since": self.since, "until": self.until, "follow": int(self.follow), "tail": counted}
        asked = {"stdout": 1, "stderr": 1, "timestamps": 1} | {name: value for name, value in wanted.items() if value}
        asked["tail"] = counted
        # which answers only when there is something to read
        is_podman = ctx.engine.connected.is_podman
        began, answered = datetime.now(UTC).timestamp(), False

        def opened() -> "requests.Response":
            nonlocal began, answered
            response = ctx.engine.get(f"/containers/{full_id}/logs", stream=True, **asked)
            # lines carry the engine's time, which may be another machine's
            began, answered = clock.told(response.headers) or began, True
            return response

        read = pieces(opened, tty=tty, scope=scope)
        kept: deque[LogLine] = deque(maxlen=self.tail)
        last: dict[Stream, Stamp] = {}
        seen = 0
        for stamp, stream, text in _stamped(read, tty=tty):
            last[stream] = stamp or last.get(stream)
            if self.contains in text:
                seen += 1
                kept.append(LogLine(stream=stream, text=text, time=_time(stamp) if self.timestamps and stamp else None))
                if self.follow:
                    ctx.progress(seen, 0, f"{seen} new lines")
        if not answered and not is_podman:
            raise TimedOut("the engine did not answer", "call again, or check the engine.")
        newest = max((_time(stamp) for stamp in last.values() if stamp), default="")
        return kept, _after(newest) if newest else self.since or f"{began:.9f}", seen


def _stamped(read: Iterator[tuple[Stream, bytes, bool]], *, tty: bool) -> Iterator[tuple[Stamp, Stream, str]]:
    """Stamp, stream and text of each line. The engine stamps every message, so also each part of a long line."""
    lines = Lines()
    stamps: dict[Stream, Stamp] = {"stdout": None, "stderr": None}
    for stream, data, first in read:
        text = data
        if first and (match := _stamp(data)):
            text = data[match.end() :]
            if not lines.open(stream):
                stamps[stream] = match
        for name, line in lines.feed(stream, text):
            yield _split(name, line) if tty else (stamps[name], name, line)
    for name, line in lines.rest():
        yield _split(name, line) if tty else (stamps[name], name, line)


def _split(stream: Stream, line: str) -> tuple[Stamp, Stream, str]:
    """A terminal's line, which still carries its time."""
    if match := _stamp(line.encode()):
        return match, stream, line[match.end() :]
    return None, stream, line


def _stamp(data: bytes) -> Stamp:
    """The engine's time at the beginning of a message; what only looks like a time is text."""
    match = _STAMP.match(data)
    try:
        return match if match and _utc(match) else None
    except (ValueError, OverflowError):
        return None


def _utc(match: re.Match[bytes]) -> datetime:
    base, _, zone = match.groups()
    return datetime.fromisoformat((base + zone).decode()).astimezone(UTC)


def _time(match: re.Match[bytes]) -> str:
    """RFC 3339 in UTC with nine digits, so that times sort as text."""
    fraction = (match[2] or b"").decode().ljust(9, "0")
    return f"{_utc(match).replace(tzinfo=None).isoformat()}.{fraction}Z"


def _after(time: str) -> str:
    """One nanosecond later, as unix seconds."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    nanoseconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(fraction) + 1
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"
