"""Whether the audit log is whole: each run's lines are counted, and each has the hash of the one before."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from mcp_docker.audit import FIRST_PREV, KEEP, numbered
from mcp_docker.audit.read import Line, lines

LISTED = 1_000
"""Findings of one kind that are kept; the others are counted."""


class Places:
    """What was found, a text each; only so many are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(text)


@dataclass
class Report:
    """What `verify` found.

    `findings` are lines that were changed, taken out, moved, doubled or put in. `interrupted` are beginnings of lines:
    the disk was full, or the process was killed while it wrote. `unfinished` are intents without an outcome: the call
    still runs, or the process ended before.
    """

    lines: int = 0
    runs: int = 0
    findings: Places = field(default_factory=Places)
    interrupted: Places = field(default_factory=Places)
    unfinished: Places = field(default_factory=Places)

    @property
    def is_whole(self) -> bool:
        return not self.findings.count


@dataclass(frozen=True)
class _Last:
    """The newest line of a run."""

    seq: int
    hash: str
    place: str


def verify(path: Path) -> Report:
    """Check every line against the one before it in its run.

    Raises:
        OSError: a file can't be read. FileNotFoundError: there is none.
    """
    report = Report()
    runs: dict[str, _Last] = {}
    pending: dict[tuple[str, str], str] = {}
    for line in lines(path):
        if line.record is None:
            if line.is_torn:
                report.interrupted.add(f"{line.place}: cut off")
            else:
                report.findings.add(f"{line.place}: not a line of this log")
            continue
        report.lines += 1
        run = line.record["run"]
        last = runs.get(run)
        if problem := _problem(line, last, path):
            report.findings.add(problem)
        if last is None or line.record["seq"] > last.seq:
            runs[run] = _Last(line.record["seq"], hashlib.sha256(line.raw).hexdigest(), line.place)
        _note(line, pending)
    report.runs = len(runs)
    for text in pending.values():
        report.unfinished.add(text)
    return report


def _problem(line: Line, last: _Last | None, path: Path) -> str:
    record = line.record or {}
    run, seq, prev = record["run"], record["seq"], record["prev"]
    if last is None and seq == 1:
        return "" if prev == FIRST_PREV else f"{line.place}: changed: line 1 of run {run} names one before"
    if last is None:
        # where the oldest file may have made room for another, runs begin in their middle
        oldest_may_be_gone = numbered(path, KEEP).exists()
        return "" if oldest_may_be_gone else f"{line.place}: missing beginning: run {run} begins at line {seq}"
    if seq <= last.seq:
        return f"{line.place}: doubled, moved or put in: line {seq} of run {run}, behind line {last.seq} ({last.place})"
    if seq > last.seq + 1:
        missing = f"line {seq - 1}" if seq == last.seq + 2 else f"lines {last.seq + 1} to {seq - 1}"
        return f"{line.place}: missing before it: {missing} of run {run}, after {last.place}"
    if prev != last.hash:
        return f"{last.place}: changed: line {last.seq} of run {run} has not the hash that {line.place} names"
    return ""


def _note(line: Line, pending: dict[tuple[str, str], str]) -> None:
    record = line.record or {}
    call = record.get("call")
    if not isinstance(call, str):
        return
    if record.get("event") == "intent":
        pending[record["run"], call] = f"{line.place}: {record.get('tool')} without an outcome"
    else:
        pending.pop((record["run"], call), None)
