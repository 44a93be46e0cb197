"""Connections that are given up: those that never finish a request's head, or don't take what they asked for.

uvicorn bounds neither. Bodies are the guard's.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
READ_SECONDS = 60.0


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
    """uvicorn's, with two time limits: `uvicorn.Config(http=Connection)`."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head = _Limit(self.loop)
        self._reading = _Limit(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

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
        else:
            self._head.start(HEAD_SECONDS, self.transport)
