"""The sockets that one call holds open, so that they can be cut when it is cancelled or out of time."""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, TypeVar

from mcp_docker.errors import Refused, TimedOut

if TYPE_CHECKING:
    import requests

Item = TypeVar("Item")
Result = TypeVar("Result")

FAN_OUT = 64
SLACK_SECONDS = 5.0
ANSWERS = 1_000

_current: ContextVar["CallScope"] = ContextVar("call_scope")


class CallScope:
    """What one call has open at the engine.

    A blocking read can't be interrupted from outside, and closing docker-py's generator from another thread raises;
    shutting the socket down makes the read return at once and tells the engine to stop its work.

    Args:
        socket_timeout: seconds that one request may be silent.

    Attributes:
        answers: the last whole answers to its requests, so that it can be told whose fault it is that one was tripped
            over.
        changed: whether the engine has granted a request that changes something.
    """

    def __init__(self, socket_timeout: float) -> None:
        self.socket_timeout = socket_timeout
        self.reason: Refused | None = None
        self.changed = False
        self.answers: deque[requests.Response] = deque(maxlen=ANSWERS)
        self._cut = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._inner: dict[CallScope, float] = {}
        self._timers: list[threading.Timer] = []

    @staticmethod
    def current() -> "CallScope":
        """The scope of the call that this thread works for."""
        return _current.get()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the current scope."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextlib.contextmanager
    def ending_after(self, seconds: float) -> Iterator["CallScope"]:
        """A scope inside this one, made current, whose streams end after so many seconds, which is no error."""
        reason = TimedOut("the time to listen is over", "listen again.")
        with self._with(CallScope(seconds + self.socket_timeout), 0) as inner:
            inner.cut_after(seconds, reason)
            yield inner

    @contextlib.contextmanager
    def spared(self, seconds: float) -> Iterator[None]:
        """A scope inside this one, made current, that outlives a cut by so many seconds: what a request has made can
        only be taken back once its answer has come."""
        with self._with(CallScope(self.socket_timeout), seconds):
            yield

    @contextlib.contextmanager
    def _with(self, inner: "CallScope", mercy: float) -> Iterator["CallScope"]:
        inner.answers = self.answers
        with self._lock:
            self.check()
            self._inner[inner] = mercy
        try:
            with inner.entered():
                yield inner
        finally:
            with self._lock:
                del self._inner[inner]
            for timer in inner._timers:
                timer.cancel()

    @contextlib.contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Let requests be silent for so many seconds: a stream may rightly say nothing until the call's own limit."""
        # the limit is to come first: it knows better what to say
        usual, self.socket_timeout = self.socket_timeout, seconds + SLACK_SECONDS
        try:
            yield
        finally:
            self.socket_timeout = usual

    def hold(self, sock: socket.socket) -> None:
        """Register a socket. Raises the reason if the scope was already cut."""
        with self._lock:
            self.check()
            self._sockets.add(sock)

    def release(self, sock: socket.socket) -> None:
        """Forget a socket that is idle again."""
        with self._lock:
            self._sockets.discard(sock)

    def cut(self, reason: Refused) -> None:
        """End everything the call has open, for this reason; the first reason stands."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
            self._cut.set()
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for inner, mercy in self._inner.items():
                if mercy:
                    inner.cut_after(mercy, reason)
                else:
                    inner.cut(reason)

    def cut_after(self, seconds: float, reason: Refused) -> None:
        """Cut it in so many seconds, unless it is over by then."""
        timer = threading.Timer(seconds, self.cut, (reason,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def check(self) -> None:
        """Raise the reason if the scope was cut: an ended stream may look like one that was read to its end."""
        if self.reason is not None:
            raise self.reason

    def cancelled(self, seconds: float = 0) -> bool:
        """Wait up to so many seconds; true as soon as the scope is cut."""
        return self._cut.wait(seconds)

    def gather(self, fn: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Run `fn` over `items` in threads that belong to this scope."""
        todo = list(items)
        if not todo:
            return []
        with ThreadPoolExecutor(min(len(todo), FAN_OUT), thread_name_prefix="gather") as pool:
            futures = [pool.submit(copy_context().run, fn, item) for item in todo]
            try:
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()
