"""Reading the audit log, and verifying it: what was tampered with is named, what a crash leaves is no tampering."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mcp_docker.audit import Audit, read
from mcp_docker.audit.read import LONGEST, last, lines
from mcp_docker.audit.verify import verify

LARGE = 10**9


def written(path: Path, count: int, max_bytes: int = LARGE) -> None:
    log = Audit(path, max_bytes)
    for number in range(count):
        log.write({"event": "outcome", "number": number})


def records(path: Path) -> list[dict[str, Any]]:
    return [line.record for line in lines(path) if line.record is not None]


def findings(path: Path) -> list[str]:
    return verify(path).findings.listed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def put(path: Path, raw: list[bytes]) -> None:
    path.write_bytes(b"".join(raw))


@pytest.fixture
def raw(path: Path) -> list[bytes]:
    """The lines of a log of one run."""
    written(path, 6)
    return path.read_bytes().splitlines(keepends=True)


def test_an_edited_line_is_named(path: Path, raw: list[bytes]) -> None:
    raw[2] = raw[2].replace(b'"number":2', b'"number":9')
    put(path, raw)
    [found] = findings(path)
    assert found.startswith(f"{path}:3: changed: line 3 of run ")
    assert found.endswith(f"has not the hash that {path}:4 names")


def test_an_edit_that_only_rewrites_the_spaces_is_named(path: Path, raw: list[bytes]) -> None:
    raw[0] = json.dumps(json.loads(raw[0])).encode() + b"\n"
    put(path, raw)
    assert [found.partition(" ")[0] for found in findings(path)] == [f"{path}:1:"]


def test_a_first_line_that_names_one_before_it_is_found(path: Path, raw: list[bytes]) -> None:
    put(path, [raw[0].replace(b"0" * 64, b"1" * 64)])
    assert findings(path)[0].startswith(f"{path}:1: changed: line 1 of run ")


def test_a_deleted_line_is_named(path: Path, raw: list[bytes]) -> None:
    del raw[2]
    put(path, raw)
    [found] = findings(path)
    assert found.startswith(f"{path}:3: missing before it: line 3 of run ")
    assert found.endswith(f"after {path}:2")


def test_several_deleted_lines_are_named_together(path: Path, raw: list[bytes]) -> None:
    del raw[1:4]
    put(path, raw)
    assert findings(path)[0].startswith(f"{path}:2: missing before it: lines 2 to 4 of run ")


def test_swapped_lines_are_named(path: Path, raw: list[bytes]) -> None:
    raw[2], raw[3] = raw[3], raw[2]
    put(path, raw)
    first, second = findings(path)
    assert first.startswith(f"{path}:3: missing before it: line 3 of run ")
    assert second.startswith(f"{path}:4: doubled, moved or put in: line 3 of run ")


def test_a_doubled_line_is_named(path: Path, raw: list[bytes]) -> None:
    put(path, [*raw[:3], raw[1], *raw[3:]])
    [found] = findings(path)
    assert found.startswith(f"{path}:4: doubled, moved or put in: line 2 of run ")


def test_a_line_that_was_put_in_is_named(path: Path, raw: list[bytes]) -> None:
    forged = json.loads(raw[3]) | {"number": 99}
    put(path, [*raw[:3], json.dumps(forged).encode() + b"\n", *raw[3:]])
    assert any(found.startswith(f"{path}:4: changed: ") for found in findings(path))


@pytest.mark.parametrize(
    "foreign",
    [
        b"hello",
        b"[]",
        b"{}",
        b'{"time":"now"}',
        b'{"run":"a","seq":true,"prev":"b"}',
        b'{"run":"a","seq":0,"prev":"b"}',
        b'{"run":1,"seq":1,"prev":"b"}',
        b'{"run":"a","seq":1,"prev":null}',
        b"[" * 60_000,
        b'{"seq":' + b"1" * 5_000 + b"}",
        b'{"time":"x"}{"time":"y"}',
        b"\xff\xfe",
        b"x" * (2 * LONGEST + 5),
    ],
    ids=lambda foreign: repr(foreign[:20]),
)
def test_a_line_that_is_none_of_ours_is_named_and_reading_goes_on(path: Path, raw: list[bytes], foreign: bytes) -> None:
    put(path, [*raw[:3], foreign + b"\n", *raw[3:]])
    report = verify(path)
    assert report.findings.listed == [f"{path}:4: not a line of this log"]
    assert report.lines == 6


def test_a_missing_beginning_is_named_where_no_file_has_gone(path: Path, raw: list[bytes]) -> None:
    put(path, raw[2:])
    [found] = findings(path)
    assert found.startswith(f"{path}:1: missing beginning: run ")
    assert found.endswith("begins at line 3")


def test_an_older_file_that_was_taken_away_is_found(path: Path) -> None:
    written(path, 10, max_bytes=500)
    oldest = max(path.parent.glob("audit.jsonl.[0-9]*"), key=lambda file: int(file.suffix[1:]))
    oldest.unlink()
    assert "missing beginning" in findings(path)[0]


def test_the_end_of_a_run_is_not_protected(path: Path, raw: list[bytes]) -> None:
    put(path, [*raw[:3], raw[3].replace(b'"number":3', b'"number":9')])
    assert verify(path).is_whole


def test_a_line_that_was_shortened_shows_as_missing(path: Path, raw: list[bytes]) -> None:
    raw[2] = raw[2][:60] + b"\n"
    put(path, raw)
    report = verify(path)
    assert report.interrupted.listed == [f"{path}:3: cut off"]
    assert report.findings.listed[0].startswith(f"{path}:4: missing before it: line 3 of run ")


@pytest.mark.parametrize("length", [1, 5, 40, 130, -2])
@pytest.mark.parametrize("rest", [b"", b"\0" * 100])
def test_a_line_cut_off_anywhere_is_interrupted_not_forged(
    path: Path, raw: list[bytes], length: int, rest: bytes
) -> None:
    put(path, [*raw, raw[0][:length] + rest])
    written(path, 1)
    report = verify(path)
    assert report.is_whole
    assert report.interrupted.listed == [f"{path}:7: cut off"]
    assert report.lines == 7


def test_zeros_that_a_power_cut_leaves_are_interrupted(path: Path, raw: list[bytes]) -> None:
    put(path, [*raw, b"\0" * 4_096])
    assert verify(path).is_whole


def test_a_line_right_behind_a_torn_one_is_read(path: Path, raw: list[bytes]) -> None:
    raw[2] = raw[0][:80] + raw[2]
    raw[4] = b'{"time":"2026","arguments":{"a":{"time":"b' + raw[4]
    put(path, raw)
    report = verify(path)
    assert report.findings.listed == []
    assert report.interrupted.count == 2
    assert report.lines == 6


def test_a_line_that_only_lost_its_end_is_read_and_the_one_behind_it_too(path: Path, raw: list[bytes]) -> None:
    put(path, [raw[0] + raw[1], *raw[2:]])
    report = verify(path)
    assert (report.is_whole, report.interrupted.count, report.lines) == (True, 0, 6)


def test_runs_are_checked_each_for_itself(path: Path) -> None:
    logs = [Audit(path, LARGE) for _ in range(3)]
    for number in range(30):
        logs[number * number % 3].write({})
        logs[number % 3].write({})
    report = verify(path)
    assert (report.is_whole, report.runs, report.lines) == (True, 3, 60)


def test_an_intent_without_an_outcome_is_unfinished_and_no_finding(path: Path) -> None:
    log = Audit(path, LARGE)
    log.write({"event": "intent", "call": "a", "tool": "docker_version"})
    log.write({"event": "intent", "call": "b", "tool": "docker_stop_container"})
    log.write({"event": "outcome", "call": "a"})
    log.write({"event": "refused", "call": ["odd"]})
    report = verify(path)
    assert report.is_whole
    assert report.unfinished.listed == [f"{path}:2: docker_stop_container without an outcome"]


def test_findings_without_end_are_counted_not_kept(path: Path) -> None:
    path.write_bytes(b"x\n" * 3_000)
    report = verify(path)
    assert report.findings.count == 3_000
    assert len(report.findings.listed) == 1_000


# Reading


def test_the_last_lines_are_taken_from_no_more_files_than_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, 12, max_bytes=500)
    met: list[Path] = []
    real = read._lines_of

    def lines_of(name: Path, file: BinaryIO, size: int) -> Iterator[read.Line]:
        met.append(name)
        return real(name, file, size)

    monkeypatch.setattr(read, "_lines_of", lines_of)
    assert [line.record["number"] for line in last(path, 3) if line.record] == [9, 10, 11]
    assert met == [path, path.with_name("audit.jsonl.1")]
    assert len(last(path, 100)) == 12


def test_what_cannot_be_opened_is_raised(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        next(lines(path))
    with pytest.raises(FileNotFoundError, match="there is no audit log"):
        next(lines(path / "none"))


def test_what_is_written_after_reading_began_is_not_read(path: Path) -> None:
    written(path, 2)
    found = lines(path)
    next(found)
    written(path, 2)
    assert len(list(found)) == 1


def test_a_file_that_moves_while_files_are_opened_is_read_once(path: Path) -> None:
    written(path, 3)
    os.link(path, path.with_name("audit.jsonl.1"))
    assert [record["number"] for record in records(path)] == [0, 1, 2]


def test_lines_know_their_file_and_number_and_leave_out_empty_ones(path: Path) -> None:
    path.write_bytes(b"\n\nx\n")
    [line] = lines(path)
    assert (line.place, line.raw, line.record, line.is_torn) == (f"{path}:3", b"x", None, False)
