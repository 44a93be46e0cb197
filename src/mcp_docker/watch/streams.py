"""The engine's streams that never end, each read by a thread of its own until it is cut."""

import asyncio
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

from mcp_docker.engine import CallScope, Engine, clock
from mcp_docker.engine.streams import pieces
from mcp_docker.errors import Cancelled, Refused, TimedOut
from mcp_docker.tools.containers.stats import Usage, usage

if TYPE_CHECKING:
    import requests
    from docker.errors import APIError

SILENT_SECONDS = 600.0
"""A stream that says nothing for so long is opened anew: that is how a peer that vanished is noticed."""
STEADY_SECONDS = 5.0
"""A stream that held for so long was a good one: the waits begin anew at the shortest."""
LEAST_WAIT_SECONDS = 0.1
FIRST_WAIT_SECONDS = 0.3
LONGEST_WAIT_SECONDS = 5.0
FLOOD_PIECES = 500
FLOOD_SECONDS = 1.0
RECORD_BYTES = 1 << 20

STARTED = frozenset({"start"})
ENDED = frozenset({"die", "died"})
RENAMED = frozenset({"rename"})
REMOVED = frozenset({"destroy", "remove"})
"""Docker's word and Podman's."""


class Clock:
    """The engine's time. It tells it in whole seconds, so this may be a second late, and is never early."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def read(self, headers: Mapping[str, str]) -> None:
        if told := clock.told(headers):
            self._ahead = told - time.monotonic()

    def at(self, moment: float) -> str:
        """A moment of our monotonic clock, as the engine's unix time."""
        return f"{moment + self._ahead:.9f}"


class Stream:
    """A thread that reads a stream, and opens it again when it breaks, until it is cut or has read all.

    Args:
        name: of the thread.
        engine: where the stream is.
        clock: the engine's.
        loop: where `ended` and whatever else it has to tell is called.
        ended: is told when the thread ends.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[Any], None],
    ) -> None:
        self.scope = CallScope(engine.settings.docker_timeout)
        self._engine = engine
        self._clock = clock
        self._loop = loop
        self._ended = ended
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cut(self) -> None:
        """End it, without waiting for it."""
        # one of its own: each that raises it adds to its traceback
        self.scope.cut(Cancelled("nobody listens any more", "subscribe again."))

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, up to so many seconds."""
        self._thread.join(seconds)

    def _read(self) -> None:
        """Open the stream and read it to its end. What it raises is a reason to open it again."""
        raise NotImplementedError

    def _pointless(self) -> bool:
        """Whether opening the stream again is no use."""
        return self.scope.cancelled()

    def _run(self) -> None:
        import tenacity

        def wait(seconds: float) -> None:
            self.scope.cancelled(seconds)

        growing = tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, min=LEAST_WAIT_SECONDS)
        try:
            with self.scope.entered():
                for attempt in tenacity.Retrying(wait=growing, sleep=wait):
                    began = time.monotonic()
                    with attempt:
                        if not self._pointless():
                            self._read()
                    if time.monotonic() - began > STEADY_SECONDS:
                        attempt.retry_state.attempt_number = 1
        finally:
            self._tell(self._ended, self)

    def _tell(self, who: Callable[..., None], *what: Any) -> None:
        # a loop that has ended has nobody who listens
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(who, *what)

    def _open(self, path: str, **params: Any) -> "requests.Response":
        _ = self._engine.docker  # only the stream may be silent for long, not the search for the engine
        with self.scope.patient(SILENT_SECONDS):
            response = self._engine.get(path, stream=True, **params)
        self._clock.read(response.headers)
        return response

    def _pieces(self, path: str, **params: Any) -> Generator[bytes]:
        """The stream as it comes, in pieces of at most 64 KiB."""
        # frames don't matter here, so it is read as if it had none
        with contextlib.closing(pieces(lambda: self._open(path, **params), tty=True, scope=self.scope)) as read:
            for _, data, _ in read:
                yield data

    def _records(self, path: str, **params: Any) -> Generator[dict[str, Any]]:
        """The JSON objects of a stream that has one in each line."""
        rest = b""
        with contextlib.closing(self._pieces(path, **params)) as read:
            for data in read:
                *whole, rest = (rest + data).split(b"\n")
                if len(rest) > RECORD_BYTES:
                    raise ValueError("a record of the engine's is too long")
                yield from (json.loads(line) for line in whole if line.strip())


class Events(Stream):
    """The event stream (Engine API, SystemEvents). While it is `up`, the engine is.

    Args:
        opened: is told each time that the stream is open, and whether something may have been missed.
        happened: is told of each event: what, and the container's id.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[["Events"], None],
        opened: Callable[["Events", bool], None],
        happened: Callable[["Events", str, str], None],
    ) -> None:
        super().__init__("watch-events", engine, clock, loop, ended)
        self.up = False
        self._opened = opened
        self._happened = happened
        self._lost = False
        self._heard = time.monotonic()

    def _read(self) -> None:
        try:
            self._listen()
            raise ConnectionError("the event stream ended")
        except Exception as error:
            was_up, self.up = self.up, False
            if not self.scope.cancelled():
                self._explain(error, was_up=was_up)
            raise

    def _listen(self) -> None:
        events = sorted(STARTED | ENDED | RENAMED | REMOVED)
        filters = {"filters": json.dumps({"type": ["container"], "event": events})}
        filters["since"] = self._clock.at(self._heard)
        for event in self._records("/events", **filters):
            self._heard = time.monotonic()
            actor = event.get("Actor") or {}
            action = event.get("Action") or event.get("status") or ""
            self._tell(self._happened, self, action, actor.get("ID") or event.get("id") or "")

    def _open(self, path: str, **params: Any) -> "requests.Response":
        response = super()._open(path, **params)
        self._heard = time.monotonic()
        self.up = True
        if self._lost:
            logger.info("The Docker Engine is back: containers are watched again")
        self._tell(self._opened, self, self._lost)
        self._lost = False
        return response

    def _explain(self, error: Exception, *, was_up: bool) -> None:
        from mcp_docker.engine.errors import translate

        refused = translate(error, self._engine)
        # silence is no loss: what happens until it is open again is asked for
        if self._lost or (was_up and isinstance(refused, TimedOut)):
            return
        self._lost = True
        logger.warning("Containers can't be watched until the Docker Engine is back: {}", refused.what)


@dataclass
class Seen:
    """What the subscribers of one container know already; it outlives the streams.

    Attributes:
        since: what was printed after this moment of the monotonic clock is new to them.
        shown: the numbers told of, as a list of one; empty if none were yet.
    """

    since: float
    shown: list[Usage | None]


class Follower(Stream):
    """A stream of one container.

    Args:
        container_id: full id.
        seen: goes on from there.
        up: whether the engine is there.
        changed: is told that there is something new; not again before `pending` was taken back.
    """

    kind: str

    def __init__(
        self,
        container_id: str,
        seen: Seen,
        engine: Engine,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[["Follower"], None],
        changed: Callable[["Follower"], None],
        up: Callable[[], bool],
    ) -> None:
        super().__init__(f"watch-{self.kind}", engine, clock, loop, ended)
        self.gone = False
        self.pending = False
        self._container_id = container_id
        self._path = f"/containers/{container_id}/{self.kind}"
        self._seen = seen
        self._changed = changed
        self._up = up

    def _pointless(self) -> bool:
        # without the engine, waiting for it is the event stream's part
        return super()._pointless() or not self._up()

    def _read(self) -> None:
        import urllib3
        from docker.errors import APIError

        try:
            self._follow()
            if not self.scope.cancelled() and self._runs():
                raise ConnectionError("the stream ended before its container")
        except APIError as error:
            self.gone = error.status_code == 404
            if _may_pass(error):
                raise
        except (Refused, OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException):
            raise
        except Exception as error:  # noqa: BLE001 - trying again would not help
            logger.opt(exception=error).error("{} can't be followed", self._path)

    def _follow(self) -> None:
        raise NotImplementedError

    def _runs(self) -> bool:
        """Whether the container runs. One that is gone does not; the event stream tells of that."""
        from docker.errors import NotFound

        with contextlib.suppress(NotFound):
            found = self._engine.docker.inspect_container(self._container_id)
            return bool((found.get("State") or {}).get("Running"))
        return False

    def _news(self) -> None:
        if not self.pending:
            self.pending = True
            self._tell(self._changed, self)


class Logs(Follower):
    """What a container prints (Engine API, ContainerLogs)."""

    kind = "logs"

    def _follow(self) -> None:
        # what is printed while nobody reads is found by `since`, and costs nothing
        while self._flooded() and not self.scope.cancelled(FLOOD_SECONDS):
            pass

    def _flooded(self) -> bool:
        """Read until the log ends, or until there is more of it than is worth reading."""
        # the last line is enough to know whether something was printed meanwhile
        asked = {"follow": 1, "stdout": 1, "stderr": 1, "tail": 1, "since": self._clock.at(self._seen.since)}
        began, count = time.monotonic(), 0
        with contextlib.closing(self._pieces(self._path, **asked)) as read:
            for _ in read:
                self._seen.since = now = time.monotonic()
                self._news()
                if now - began > FLOOD_SECONDS:
                    began, count = now, 0
                count += 1
                if count > FLOOD_PIECES:
                    return True
        return False


class Stats(Follower):
    """What a container uses (Engine API, ContainerStats). It ends when the container does not run."""

    kind = "stats"

    def _follow(self) -> None:
        samples = self._records(self._path)
        with contextlib.closing(samples):
            for number, sample in enumerate(samples):
                shown = usage("", "", sample.get("precpu_stats") or {}, sample)
                if shown is None:
                    break
                # a first sample has no earlier one to compute the CPU from
                if number > 0:
                    self._show(shown)
        if not self.scope.cancelled():
            self._show(None)

    def _show(self, shown: Usage | None) -> None:
        before, self._seen.shown = self._seen.shown, [shown]
        if before and before != [shown]:
            self._news()


FOLLOWERS: dict[str, type[Follower]] = {kind.kind: kind for kind in (Logs, Stats)}


def _may_pass(error: "APIError") -> bool:
    """Whether the engine may answer better the next time; a log that can't be read at all is 501."""
    return error.status_code is not None and error.status_code >= 500 and error.status_code != 501
