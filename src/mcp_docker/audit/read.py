"""Reading the audit log: a line at a time, oldest first, over all the files that were moved aside."""

import contextlib
import json
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mcp_docker.audit import KEEP, numbered

LONGEST = 262_144
"""Bytes of a line that are looked at; what is longer is none of ours."""

_START = b'{"time":"'
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line as it stands.

    `record` is None where it can't be read; `is_torn` says that it is the beginning of a line that was not finished.
    """

    file: Path
    number: int
    raw: bytes
    record: dict[str, Any] | None = None
    is_torn: bool = False

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


def lines(path: Path) -> Iterator[Line]:
    """Every line, oldest first, as the files were when this began. Empty lines are left out.

    Raises:
        OSError: a file can't be read. FileNotFoundError: there is none.
    """
    with _snapshot(path) as files:
        for name, file, size in reversed(files):
            yield from _lines_of(name, file, size)


def last(path: Path, count: int) -> list[Line]:
    """The newest lines, oldest first, without reading more files than that takes.

    Raises:
        OSError: a file can't be read. FileNotFoundError: there is none.
    """
    found: list[Line] = []
    with _snapshot(path) as files:
        for name, file, size in files:
            found[:0] = deque(_lines_of(name, file, size), maxlen=count - len(found))
            if len(found) >= count:
                break
    return found


@contextlib.contextmanager
def _snapshot(path: Path) -> Iterator[list[tuple[Path, BinaryIO, int]]]:
    """The files, newest first, with their sizes.

    Files only ever move to higher numbers, so in this order none is missed while others write, though one may be met
    twice; what was met in between is newer and left out then. What comes before a line that is seen is seen too.
    """
    with contextlib.ExitStack() as opened:
        files: list[tuple[Path, BinaryIO, int]] = []
        met: list[tuple[int, int]] = []
        for name in (numbered(path, number) for number in range(KEEP + 1)):
            try:
                file = opened.enter_context(name.open("rb"))
            except FileNotFoundError:
                continue
            status = os.fstat(file.fileno())
            found = status.st_dev, status.st_ino
            if found in met:
                after = met.index(found) + 1
                del met[after:], files[after:]
            else:
                met.append(found)
                files.append((name, file, status.st_size))
        if not files:
            raise FileNotFoundError(f"there is no audit log {path}")
        yield files


def _lines_of(name: Path, file: BinaryIO, size: int) -> Iterator[Line]:
    number = 0
    while (left := size - file.tell()) > 0:
        raw = file.readline(min(LONGEST, left))
        number += 1
        if len(raw) == LONGEST and not raw.endswith(b"\n"):
            _skip(file, size)
            yield Line(name, number, raw)
        elif content := raw.removesuffix(b"\n"):
            yield from _read(name, number, content)


def _skip(file: BinaryIO, size: int) -> None:
    while (left := size - file.tell()) > 0 and not file.readline(min(LONGEST, left)).endswith(b"\n"):
        pass


def _read(name: Path, number: int, raw: bytes) -> Iterator[Line]:
    if (record := _record(raw)) is not None:
        yield Line(name, number, raw, record)
        return
    # A line may stand right behind a torn one, or one that only lost its end, where its writer looked before the other
    # was cut short. Quotes inside a JSON text are escaped, so this start is never part of one.
    start = raw.find(_START, 1)
    while start > 0:
        if (record := _record(raw[start:])) is not None:
            before = raw[:start]
            whole = _record(before)
            yield Line(name, number, before, whole, is_torn=whole is None and _is_torn(before))
            yield Line(name, number, raw[start:], record)
            return
        start = raw.find(_START, start + 1)
    yield Line(name, number, raw, is_torn=_is_torn(raw))


def _record(raw: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("seq")) is not int or record["seq"] < 1:
        return None
    return record if isinstance(record.get("run"), str) and isinstance(record.get("prev"), str) else None


def _is_torn(raw: bytes) -> bool:
    """Whether this is the beginning of one of our lines, or the zeros that a power cut leaves."""
    raw = raw.rstrip(b"\0")
    if not raw.startswith(_START):
        return _START.startswith(raw)
    outside, _, _ = _STRING.sub(b"", raw).partition(b'"')
    return outside.count(b"{") + outside.count(b"[") > outside.count(b"}") + outside.count(b"]")
