"""Log streams: frames of two streams and a terminal's raw one, beside a demultiplexer that has all of it at once."""

import random
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, cast

import urllib3

from tests.fuzz.harness import fuzz, instrumented

with instrumented():
    from mcp_docker.engine.scope import CallScope
    from mcp_docker.engine.streams import CUT_MARK, LINE_BYTES, Lines, Stream, pieces
    from mcp_docker.errors import EngineError
    from mcp_docker.tools.containers import logs

if TYPE_CHECKING:
    import requests

MODULES = ("mcp_docker.engine.streams", "mcp_docker.tools.containers.logs")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Raw:
    """The body of an answer, which comes in pieces of any size."""

    def __init__(self, data: bytes, sizes: random.Random) -> None:
        self._data, self._sizes = BytesIO(data), sizes

    def read1(self, most: int) -> bytes:
        return self._data.read(min(most, self._sizes.choice((1, 2, 7, 8, 9, 64, 4_096, most))))


class Response:
    """As much of an answer as a reader of streams sees."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def read(data: bytes, seed: int, *, tty: bool) -> tuple[list[tuple[Stream, bytes, bool]], str]:
    """The pieces, where the body comes in pieces that the seed draws; and what was wrong in the end."""
    response = Response(Raw(data, random.Random(seed)))
    found: list[tuple[Stream, bytes, bool]] = []
    problem = ""
    try:
        for piece in pieces(lambda: cast("requests.Response", response), tty=tty, scope=CallScope(1)):
            found.append(piece)  # noqa: PERF402 - those before an error count too
    except ConnectionResetError:
        problem = "cut"
    except urllib3.exceptions.ProtocolError:
        problem = "strange"
    except EngineError:
        problem = "failed"
    assert response.is_closed
    return found, problem


def naive(data: bytes) -> tuple[list[tuple[Stream, bytes]], str]:
    """Whole frames, of which the last may be cut short; and what is wrong with what follows."""
    frames: list[tuple[Stream, bytes]] = []
    while len(data) >= 8:
        if data[0] > 3 or data[1:4] != b"\0\0\0":
            return frames, "strange"
        if data[0] == 3:
            return frames, "failed"
        length = data[4] << 24 | data[5] << 16 | data[6] << 8 | data[7]
        frames.append(("stderr" if data[0] == 2 else "stdout", data[8 : 8 + length]))
        if len(data) < 8 + length:
            return frames, "cut"
        data = data[8 + length :]
    return frames, "cut" if data else ""


def naive_lines(data: bytes) -> list[str]:
    *whole, last = data.split(b"\n")
    lines = [*whole, last] if last else whole
    return [
        line[:LINE_BYTES].decode("utf-8", "replace").removesuffix("\r") + (CUT_MARK if len(line) > LINE_BYTES else "")
        for line in lines
    ]


def check(data: bytes, seed: int, *, tty: bool) -> None:
    """Every byte of every frame arrives in order, however it was cut up; lines are those of the whole stream; and a
    stream that does not end as it should is told from one that does."""
    frames, wrong = ([("stdout", data)], "") if tty else naive(data)
    found, problem = read(data, seed, tty=tty)
    assert problem == wrong
    assert all(piece for _, piece, _ in found)
    streams: tuple[Stream, ...] = ("stdout", "stderr")
    for stream in streams:
        assert b"".join(piece for name, piece, _ in found if name == stream) == b"".join(
            content for name, content in frames if name == stream
        )
    if not tty:
        joined: list[tuple[str, bytes]] = []
        for stream, piece, first in found:
            if first:
                joined.append((stream, piece))
            else:
                joined[-1] = (stream, joined[-1][1] + piece)
        assert joined == [frame for frame in frames if frame[1]]
    lines = Lines()
    completed = [line for stream, piece, _ in found for line in lines.feed(stream, piece)] + list(lines.rest())
    for stream in streams:
        assert not lines.open(stream)
        expected = naive_lines(b"".join(content for name, content in frames if name == stream))
        assert [text for name, text in completed if name == stream] == expected
    _stamps(found, tty=tty)


def _stamps(found: list[tuple[Stream, bytes, bool]], *, tty: bool) -> None:
    """Whatever stands where an engine's time should, a time comes out that is one, or none."""
    for stamp, _, text in logs._stamped(iter(found), tty=tty):
        assert "\n" not in text
        if stamp is not None:
            time = logs._time(stamp)
            whole = datetime.strptime(time[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
            nanoseconds = int((whole - EPOCH).total_seconds()) * 10**9 + int(time[20:29])
            assert time[19] == "."
            assert time[29:] == "Z"
            seconds, _, fraction = logs._after(time).partition(".")
            assert int(seconds) * 10**9 + int(fraction) == nanoseconds + 1


def one(data: bytes) -> None:
    if data:
        check(data[1:], data[0] >> 1, tty=bool(data[0] & 1))


if __name__ == "__main__":
    fuzz(one)
