"""What containers print, as the engine sends it: frames of two streams, or one raw stream for a terminal."""

import contextlib
import http.client
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Literal

from mcp_docker.engine.scope import CallScope
from mcp_docker.errors import EngineError

if TYPE_CHECKING:
    import requests

Stream = Literal["stdout", "stderr"]

HEADER_BYTES = 8
ENGINES_OWN = 3
LAST_STREAM = 3
PIECE_BYTES = 65_536
LINE_BYTES = 32_768
WORDS_BYTES = 2_000
CUT_MARK = " […]"


def pieces(
    opened: "Callable[[], requests.Response]", *, tty: bool, scope: CallScope
) -> Generator[tuple[Stream, bytes, bool]]:
    """The stream, a piece of its text, and whether a frame begins with it, until the stream ends or `scope` is cut.

    Source: Engine API, "Attach to a container", stream format. The length in a header is not trusted: a frame comes in
    pieces of at most 64 KiB.

    Args:
        opened: sends the request. Podman answers only when there is something to read, so this too may be cut.

    Raises:
        EngineError: the engine says in the stream that it can't go on.
    """
    import urllib3
    from requests import RequestException

    try:
        with contextlib.closing(opened()) as response:
            yield from _terminal(response) if tty else _frames(response)
    except (RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
        if not scope.cancelled():
            raise


def _terminal(response: "requests.Response") -> Iterator[tuple[Stream, bytes, bool]]:
    while data := response.raw.read1(PIECE_BYTES):
        yield "stdout", data, False


def _frames(response: "requests.Response") -> Iterator[tuple[Stream, bytes, bool]]:
    import urllib3

    buffer, left = bytearray(), 0

    def filled(size: int) -> bool:
        while len(buffer) < size and (data := response.raw.read1(PIECE_BYTES)):
            buffer.extend(data)
        return len(buffer) >= size

    while filled(HEADER_BYTES):
        if buffer[0] > LAST_STREAM or any(buffer[1:4]):
            raise urllib3.exceptions.ProtocolError("what it sends is no stream of a container")
        kind, left, first = buffer[0], int.from_bytes(buffer[4:HEADER_BYTES], "big"), True
        stream: Stream = "stderr" if kind == 2 else "stdout"
        del buffer[:HEADER_BYTES]
        if kind == ENGINES_OWN:  # what went wrong in the engine itself; docker's own client stops there too
            filled(min(left, WORDS_BYTES))
            words = buffer[: min(left, WORDS_BYTES)].decode("utf-8", errors="replace")
            raise EngineError(
                f"the engine could not read the whole output: {' '.join(words.split())}",
                "a smaller tail, or since, may leave out what it can't read; the operator can look at the log's file.",
            )
        while left and filled(1):
            data = bytes(buffer[:left])
            del buffer[:left]
            yield stream, data, first
            left, first = left - len(data), False
    if left or buffer:
        raise ConnectionResetError("the stream ended within a frame")


class Lines:
    """Joins the pieces of each stream into lines. A line past 32 KiB loses its end, which is marked."""

    def __init__(self) -> None:
        self._parts: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    def open(self, stream: Stream) -> bool:
        """Whether that stream is in the middle of a line."""
        return bool(self._parts[stream])

    def feed(self, stream: Stream, data: bytes) -> Iterator[tuple[Stream, str]]:
        """The lines that this piece completes."""
        part = self._parts[stream]
        *whole, last = data.split(b"\n")
        for line in whole:
            self._extend(part, line)
            yield stream, _text(part)
            part.clear()
        self._extend(part, last)

    def rest(self) -> Iterator[tuple[Stream, str]]:
        """What was left without a newline at the end."""
        for stream, part in self._parts.items():
            if part:
                yield stream, _text(part)
                part.clear()

    @staticmethod
    def _extend(part: bytearray, data: bytes) -> None:
        # one byte more than the limit is how an overlong line is known
        part += data[: LINE_BYTES + 1 - len(part)]


def _text(line: bytearray) -> str:
    text = line[:LINE_BYTES].decode("utf-8", errors="replace").removesuffix("\r")
    return text + CUT_MARK if len(line) > LINE_BYTES else text
