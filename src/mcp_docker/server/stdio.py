"""Standard input and output: one client, until it ends."""

import contextlib
import contextvars
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

import anyio
import mcp_types as types
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage

from mcp_docker.pipeline import Pipeline
from mcp_docker.server import build
from mcp_docker.threads import in_thread

DRAIN_SECONDS = 1.0
EXIT_SECONDS = 1.2


async def serve_stdio(pipeline: Pipeline) -> None:
    """Serve one client over standard input and output, until input ends or SIGTERM or SIGINT arrives.

    Calls in flight are cut then, and the process is gone within 1.5 seconds.
    """
    server = build(pipeline)
    stdin = _Stdin()
    async with anyio.create_task_group() as tasks:
        if sys.platform != "win32":
            tasks.start_soon(_end_on_signals, stdin)
        try:
            async with stdio_server(stdin=stdin) as (read, write):
                messages = _Messages(read, lambda: tasks.start_soon(_object, write, stdin.line))
                await server.run(messages, write, server.create_initialization_options())
        finally:
            exit_within(EXIT_SECONDS)
            with anyio.CancelScope(shield=True):
                await pipeline.drain(DRAIN_SECONDS)
        tasks.cancel_scope.cancel()


async def _end_on_signals(stdin: "_Stdin") -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stdin.end()


class _Stdin(anyio.AsyncFile[str]):
    """Lines of standard input, which can be ended from inside: a read in a thread can't be interrupted.

    Descriptor 0 becomes the null device, so that no child of ours reads the protocol.
    """

    def __init__(self) -> None:
        wire = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        super().__init__(io.TextIOWrapper(os.fdopen(wire, "rb"), encoding="utf-8", errors="replace"))
        self._reading = anyio.CancelScope()
        self.line = ""

    async def readline(self) -> str:
        line = ""
        with self._reading:
            line = await in_thread(self.wrapped.readline)
        if not line:
            exit_within(EXIT_SECONDS)
        self.line = line
        return line

    def end(self) -> None:
        """Behave as if input had ended."""
        exit_within(EXIT_SECONDS)  # nobody may be reading: it waits where a client takes no answers
        self._reading.cancel()


class _Messages:
    """What the client sends, without the lines that are no message.

    The SDK drops those without a word, and whoever sent a request that way would wait for ever: a lone surrogate in
    an argument is enough.
    """

    def __init__(self, stream: ReadStream[SessionMessage | Exception], object_to_line: Callable[[], object]) -> None:
        self._stream = stream
        self._object_to_line = object_to_line

    @property
    def last_context(self) -> contextvars.Context | None:
        context: contextvars.Context | None = getattr(self._stream, "last_context", None)
        return context

    async def receive(self) -> SessionMessage | Exception:
        while isinstance(item := await self._stream.receive(), Exception):
            self._object_to_line()
        return item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _object(write: WriteStream[SessionMessage], line: str) -> None:
    """Answer a line that is no message with the error that JSON-RPC has for it; blank lines are let pass."""
    if not line.strip():
        return
    request: Any = None
    error = types.ErrorData(code=types.PARSE_ERROR, message="Parse error: this line is not JSON")
    with contextlib.suppress(ValueError, RecursionError):
        request = json.loads(line)
        error = types.ErrorData(
            code=types.INVALID_REQUEST, message="Invalid request: not a JSON-RPC 2.0 message in valid Unicode"
        )
    known = request.get("id") if isinstance(request, dict) else None
    answered = known if isinstance(known, str | int) and not isinstance(known, bool) else None
    with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        await write.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=answered, error=error)))


def exit_within(seconds: float) -> None:
    """End the process after so many seconds, whatever still blocks: a pipe nobody reads, a thread that reads input."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    with contextlib.suppress(RuntimeError):  # no thread is to be had
        timer.start()
