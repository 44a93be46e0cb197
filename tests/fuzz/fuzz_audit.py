"""The audit log: what is written is read again, what is torn or strange loses nothing, what is altered is found."""

import atexit
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.audit import FIRST_PREV, MAX_LINE, Audit
    from mcp_docker.audit.read import Line, last, lines
    from mcp_docker.audit.show import _readable, _verbatim
    from mcp_docker.audit.verify import verify

MODULES = ("mcp_docker.audit.read", "mcp_docker.audit.verify", "mcp_docker.audit")
FOLDER = Path(tempfile.mkdtemp(prefix="mcp-docker-fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
FILE = FOLDER / "audit.jsonl"


def is_record(raw: bytes) -> bool:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(found, dict)
        and type(found.get("seq")) is int
        and found["seq"] >= 1
        and isinstance(found.get("run"), str)
        and isinstance(found.get("prev"), str)
    )


def check_file(content: bytes) -> None:
    """Every byte comes back, every whole line as a record; a report counts what there is."""
    FILE.write_bytes(content)
    found = list(lines(FILE))
    rows: dict[int, bytes] = {}
    for line in found:
        rows[line.number] = rows.get(line.number, b"") + line.raw
    expected = {number: row for number, row in enumerate(content.split(b"\n"), 1) if row}
    assert rows == expected
    for number, row in expected.items():
        if is_record(row):
            assert [line.record for line in found if line.number == number] == [json.loads(row)]
    for line in found:
        assert (line.record is not None) is is_record(line.raw)
        for text in (_readable(line), _verbatim(line) if line.record is not None else ""):
            assert text.isprintable() or not text.isascii()
            assert "\n" not in text
            assert "\x1b" not in text
    count = 1 + len(found) // 2
    assert last(FILE, count) == found[-count:]
    report = verify(FILE)
    assert report.lines == sum(line.record is not None for line in found)
    assert report.is_whole is (report.findings.count == 0)
    assert report.interrupted.count <= sum(line.is_torn for line in found)


def log(runs: Sequence[int]) -> list[bytes]:
    """A log as it is written, by a writer of its own: which run each line is of."""
    chain: dict[int, tuple[int, str]] = {}
    written = []
    for run in runs:
        seq, prev = chain.get(run, (0, FIRST_PREV))
        record = {
            "time": "2026-01-31T12:00:00.000Z",
            "run": f"{run:016x}",
            "seq": seq + 1,
            "prev": prev,
            "tool": "x" * run,
        }
        line = json.dumps(record, separators=(",", ":")).encode()
        chain[run] = seq + 1, hashlib.sha256(line).hexdigest()
        written.append(line)
    return written


def check_tampering(runs: Sequence[int], how: int, draw: random.Random) -> None:
    """A whole log is whole; one that somebody has altered before the last line of a run is not."""
    written = log(runs)
    FILE.write_bytes(b"".join(line + b"\n" for line in written))
    assert verify(FILE).is_whole
    ends = {run: max(number for number, each in enumerate(runs) if each == run) for run in runs}
    inner = [number for number, run in enumerate(runs) if number != ends[run]]
    if not inner:
        return
    at = draw.choice(inner)
    altered = list(written)
    match how % 5:
        case 0:
            del altered[at]
        case 1:
            place = draw.randrange(len(altered[at]))
            altered[at] = (
                altered[at][:place] + bytes([altered[at][place] ^ (1 + draw.randrange(255))]) + altered[at][place + 1 :]
            )
        case 2:
            altered.insert(ends[runs[at]] + 1, altered[at])
        case 3:
            following = next(number for number in range(at + 1, len(runs)) if runs[number] == runs[at])
            altered[at], altered[following] = altered[following], altered[at]
        case _:
            altered[at] = altered[at].replace(b'"tool":"', b'"tool":"y')
    content = b"".join(line + b"\n" for line in altered)
    FILE.write_bytes(content)
    assert not verify(FILE).is_whole, (runs, how, at)
    check_file(content)


def check_written(entries: Sequence[Mapping[str, Any]], torn: bytes) -> None:
    """What the server writes is found again, also behind what somebody else has left unfinished."""
    FILE.write_bytes(torn)
    audit = Audit(FILE, 10**9)
    for entry in entries:
        audit.write(entry)
    found: list[Line] = [line for line in lines(FILE) if line.record and line.record["run"] == audit.run]
    assert [line.record["seq"] for line in found if line.record] == list(range(1, len(entries) + 1))
    for line, entry in zip(found, entries, strict=True):
        assert len(line.raw) < MAX_LINE
        assert line.raw.isascii()
        record = line.record or {}
        stamp = {"time", "run", "seq", "prev"}
        if len(json.dumps(entry)) < 8_000 and "Infinity" not in json.dumps(entry):  # which JSON has no word for
            assert {name: value for name, value in record.items() if name not in stamp} == {
                name: value for name, value in json.loads(json.dumps(entry)).items() if name not in stamp
            }


def one(data: bytes) -> None:
    check_file(data)
    draw = random.Random(data)
    check_tampering([byte & 3 for byte in data[1:16]], data[0] if data else 0, draw)
    text = text_in(data)
    entries = [{"tool": line, "arguments": {line: [line, draw.randrange(9)]}} for line in text.split("\n")[:5]]
    check_written(entries, data.replace(b"\n", b""))


if __name__ == "__main__":
    fuzz(one)
