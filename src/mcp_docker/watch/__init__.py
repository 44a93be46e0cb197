"""What changes on the engine, told to whoever listens: one event stream for all, one follower for each log or stats."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

import anyio
import anyio.to_thread
from loguru import logger

from mcp_docker.engine import Engine
from mcp_docker.errors import TooManyFollowed
from mcp_docker.watch.streams import ENDED, FOLLOWERS, REMOVED, RENAMED, STARTED, Clock, Events, Follower, Seen, Stream

MOST_FOLLOWED = 500
BETWEEN_SECONDS = 1.0
END_SECONDS = 1.0

Told = Callable[[str | None], None]
Kind = Literal["logs", "stats"]


class Watch:
    """Follows the engine for its listeners, and only while there are any.

    It lives on the event loop: all calls come from there, and listeners are told there. Threads only read streams.

    Args:
        engine: the Docker Engine; connected when somebody listens.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock = Clock()
        self._listeners: dict[Listener, None] = {}
        self._followed: dict[tuple[str, Kind], _Followed] = {}
        self._events: Events | None = None
        self._open: Events | None = None
        self._streams: set[Stream] = set()
        self._lists = _Paced(self._tell_lists)
        self._closed = False

    def listen(self, told: Told, *, lists: bool = False) -> "Listener":
        """Begin to listen.

        Args:
            told: is called with the URI of each resource that changed, and with None when the list of running
                containers did. One that raises is called no more.
            lists: whether to tell of the list.
        """
        listener = Listener(self, told)
        self._listeners[listener] = None
        listener.hears_lists(lists)
        return listener

    @property
    def followed(self) -> int:
        """How many logs and stats are followed."""
        return len(self._followed)

    async def aclose(self) -> None:
        """End everything, and wait up to a second for the threads. Nobody is told of anything after it."""
        self._closed = True
        for listener in list(self._listeners):
            listener.close()
        with anyio.move_on_after(END_SECONDS, shield=True):
            for stream in list(self._streams):
                await anyio.to_thread.run_sync(stream.join, END_SECONDS, abandon_on_cancel=True)

    def _follow(self, container_id: str, kind: Kind) -> "_Followed":
        followed = self._followed.get((container_id, kind))
        if followed is None:
            if len(self._followed) >= MOST_FOLLOWED:
                raise TooManyFollowed(f"{MOST_FOLLOWED} logs and stats are followed already", "end a subscription.")
            followed = self._followed[container_id, kind] = _Followed(container_id, kind)
            try:
                self._settle()
                # one that opens just now will be told of, and starts it
                if self._open is self._events and self._up():
                    self._start(followed)
            except TooManyFollowed:
                del self._followed[container_id, kind]
                raise
        return followed

    def _end(self, followed: "_Followed") -> None:
        if not followed.gone:
            del self._followed[followed.container_id, followed.kind]
            self._settle()
        if followed.stream is not None:
            followed.stream.cut()

    def _lose(self, followed: "_Followed") -> None:
        """The container is gone: its subscribers are told once, and it is followed no more."""
        self._end(followed)
        followed.gone = True
        followed.news.due()

    def _forget(self, listener: "Listener") -> None:
        self._listeners.pop(listener, None)
        self._settle()

    def _settle(self) -> None:
        """Have an event stream if, and only if, somebody needs it."""
        needed = bool(self._followed) or any(listener.lists for listener in self._listeners)
        if needed and self._events is None and not self._closed:
            loop = asyncio.get_running_loop()
            events = Events(self._engine, self._clock, loop, self._ended, self._opened, self._happened)
            self._run(events)
            self._events = events
        elif not needed and self._events is not None:
            self._events.cut()
            self._events = None

    def _run(self, stream: Stream) -> None:
        try:
            stream.start()
        except RuntimeError:
            raise TooManyFollowed("the system grants the server no more threads", "end a subscription.") from None
        self._streams.add(stream)

    def _start(self, followed: "_Followed") -> None:
        """Follow; where that is so already, once more when the stream ends: it may be that of the run before."""
        if followed.stream is not None:
            followed.again = True
            return
        followed.again = False
        stream = FOLLOWERS[followed.kind](
            followed.container_id,
            followed.seen,
            self._engine,
            self._clock,
            asyncio.get_running_loop(),
            self._ended,
            lambda _: followed.news.due(),
            self._up,
        )
        self._run(stream)
        followed.stream = stream

    def _up(self) -> bool:
        """Whether the engine is there. Threads ask too."""
        events = self._events
        return events is not None and events.up

    def _tell_lists(self) -> None:
        for listener in list(self._listeners):
            if listener.lists:
                listener.tell(None)

    # --- what the threads tell

    def _opened(self, events: Events, missed: bool) -> None:
        if events is self._events:
            self._open = events
            for followed in self._followed.values():
                self._start(followed)
            if missed:
                self._lists.due()

    def _happened(self, events: Events, action: str, container_id: str) -> None:
        if events is not self._events:
            return
        if action in STARTED | ENDED | RENAMED:
            self._lists.due()
        # not by name: another can have what is followed for its name
        concerned = [each for each in self._followed.values() if each.container_id == container_id]
        for followed in concerned:
            if action in STARTED:
                self._start(followed)
            elif action in REMOVED:
                self._lose(followed)

    def _ended(self, stream: Stream) -> None:
        self._streams.discard(stream)
        for followed in list(self._followed.values()):
            if followed.stream is stream:
                followed.stream = None
                if isinstance(stream, Follower) and stream.gone:
                    self._lose(followed)
                elif followed.again and self._up():
                    self._start(followed)


class Listener:
    """One who listens; made by `Watch.listen`. It hears nothing after `close`."""

    def __init__(self, watch: Watch, told: Told) -> None:
        self.lists = False
        self._watch = watch
        self._told: Told | None = told
        self._followed: dict[str, _Followed] = {}

    @property
    def follows(self) -> dict[str, tuple[str, Kind]]:
        """What it hears of, by URI: the container's id, and whether it is the log or the stats."""
        return {uri: (followed.container_id, followed.kind) for uri, followed in self._followed.items()}

    def follow(self, uri: str, container_id: str, kind: Kind) -> None:
        """Hear when a container's log or stats change; once is enough for each URI.

        Args:
            uri: what is told then.
            container_id: full id.

        Raises:
            TooManyFollowed: as many as can be are followed, or the system grants no more threads.
        """
        if self._told is None:
            return
        before = self._followed.get(uri)
        if before is not None:
            if not before.gone and (before.container_id, before.kind) == (container_id, kind):
                return
            self.unfollow(uri)
        followed = self._watch._follow(container_id, kind)
        followed.who[self, uri] = None
        self._followed[uri] = followed

    def unfollow(self, uri: str) -> None:
        """Hear of that no more."""
        followed = self._followed.pop(uri, None)
        if followed is not None:
            del followed.who[self, uri]
            if not followed.who:
                self._watch._end(followed)

    def hears_lists(self, on: bool) -> None:
        """Whether to hear when the list of running containers changes."""
        self.lists = on and self._told is not None
        self._watch._settle()

    def close(self) -> None:
        """Hear of nothing any more."""
        self._told, self.lists = None, False
        for uri in list(self._followed):
            self.unfollow(uri)
        self._watch._forget(self)

    def tell(self, uri: str | None) -> None:
        """Pass a change on."""
        if self._told is None:
            return
        try:
            self._told(uri)
        except Exception as error:  # noqa: BLE001 - one listener's fault is not to cost the others theirs
            logger.opt(exception=error).error("A listener failed and hears no more")
            self.close()


class _Paced:
    """Calls at once, but at most once a second; what is due sooner is done when the second is over."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._last = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def due(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._last + BETWEEN_SECONDS), self._fire)

    def _fire(self) -> None:
        self._timer, self._last = None, asyncio.get_running_loop().time()
        self._call()


class _Followed:
    """A container's log or stats, and all who hear of it."""

    def __init__(self, container_id: str, kind: Kind) -> None:
        self.container_id = container_id
        self.kind = kind
        self.seen = Seen(time.monotonic(), [])
        self.who: dict[tuple[Listener, str], None] = {}
        self.stream: Follower | None = None
        self.again = False
        self.gone = False
        self.news = _Paced(self._tell)

    def _tell(self) -> None:
        if self.stream is not None:
            self.stream.pending = False
        for listener, uri in list(self.who):
            if (listener, uri) in self.who:  # those before it may have ended it
                if self.gone:
                    listener.unfollow(uri)
                listener.tell(uri)
