"""Connections that are given up: too many, and those that never finish a request's head, or never take their answer.

uvicorn bounds none of them. Bodies are the guard's.
"""

import asyncio
import contextlib
import socket
import sys
import time
from typing import Any

import h11
from loguru import logger
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
READ_SECONDS = 60.0
GONE_SECONDS = 60.0
MOST = 10_000
TELL_SECONDS = 60.0


def make_room() -> int:
    """Let this process open as many files as it may; how many connections there is room for then.

    Connections get three quarters of them, so that the engine can be asked and the audit written whoever connects.
    """
    import resource  # which Windows does not have

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST if hard == resource.RLIM_INFINITY else min(2 * MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a bound of its own below "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else min(MOST, soft * 3 // 4)


class Faults:
    """Tells what happens outside of requests: `loop.set_exception_handler(Faults().tell)`.

    When no more files can be opened, asyncio says so for each connection that it would like to take, two thousand times
    a second. Once a minute is enough.
    """

    def __init__(self) -> None:
        self._told = -TELL_SECONDS

    def tell(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log a fault."""
        fault = context.get("exception")
        if not isinstance(fault, OSError) or "socket" not in context:
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            logger.error("no more connections can be taken: {}", fault.strerror)


class _Limit:
    """A time after which a connection is cut."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float, transport: asyncio.Transport) -> None:
        """Count from now on, unless it counts already."""
        self._timer = self._timer or self._loop.call_later(seconds, transport.abort)

    def stop(self) -> None:
        """Count no longer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


class Connection(H11Protocol):
    """uvicorn's, with limits: `uvicorn.Config(http=Connection)`.

    Attributes:
        most: how many there may be.
    """

    most = MOST

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head = _Limit(self.loop)
        self._reading = _Limit(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head, unless there are too many already."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        self._await_head()
        if sys.platform == "linux":
            # a client whose network has gone says no more: without it the system tries for a quarter of an hour
            end = transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # not every emulation of Linux has it
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(GONE_SECONDS * 1_000))

    def data_received(self, data: bytes) -> None:
        """Take part of a head or of a body."""
        super().data_received(data)
        self._await_head()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._reading.start(READ_SECONDS, self.transport)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._reading.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._head.stop()
        self._reading.stop()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.stop()
        elif self.cycle is not None and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            # a body has ended whose answer came early: uvicorn stopped its time between requests when more of it came
            self._head.stop()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self._head.start(HEAD_SECONDS, self.transport)
