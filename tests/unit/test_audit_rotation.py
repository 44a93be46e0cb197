"""The audit log's files: moved aside by size, shared by processes, left whole by those that are killed."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import pytest

from mcp_docker import audit
from mcp_docker.audit import Audit
from mcp_docker.audit.read import lines
from mcp_docker.audit.verify import verify

LARGE = 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def written(path: Path, count: int, max_bytes: int = LARGE) -> Audit:
    log = Audit(path, max_bytes)
    for number in range(count):
        log.write({"event": "outcome", "number": number})
    return log


def records(path: Path) -> list[dict[str, Any]]:
    return [line.record for line in lines(path) if line.record is not None]


def test_ten_older_files_are_kept_and_the_oldest_goes(path: Path) -> None:
    written(path, 40, max_bytes=500)
    assert {file.name for file in path.parent.iterdir()} == {
        "audit.jsonl",
        "audit.jsonl.lock",
        *(f"audit.jsonl.{number}" for number in range(1, 11)),
    }
    assert all(file.stat().st_size <= 500 for file in path.parent.iterdir())
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in path.parent.iterdir())
    numbers = [record["seq"] for record in records(path)]
    assert numbers == list(range(numbers[0], 41))
    assert numbers[0] > 1
    assert verify(path).is_whole


def test_files_that_move_twice_while_they_are_opened_are_read_in_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, look = written(path, 8, max_bytes=500), os.fstat

    def meanwhile(file: int) -> os.stat_result:
        monkeypatch.setattr(os, "fstat", look)
        for number in range(8):
            log.write({"event": "outcome", "number": number})
        return look(file)

    monkeypatch.setattr(os, "fstat", meanwhile)
    numbers = [record["seq"] for record in records(path)]
    assert numbers == list(range(1, numbers[-1] + 1))
    assert numbers[-1] >= 8


def test_a_hole_in_the_numbers_is_filled_before_the_oldest_goes(path: Path) -> None:
    written(path, 40, max_bytes=500)
    path.with_name("audit.jsonl.3").unlink()
    oldest = path.with_name("audit.jsonl.10").read_bytes()
    Audit(path, 1).write({})
    assert path.with_name("audit.jsonl.3").exists()
    assert path.with_name("audit.jsonl.10").read_bytes() == oldest


def test_a_line_longer_than_a_file_may_be_is_written(path: Path) -> None:
    written(path, 3, max_bytes=1)
    assert len(records(path)) == 3
    assert path.with_name("audit.jsonl.2").exists()


def test_a_file_is_filled_to_its_last_byte(path: Path) -> None:
    written(path, 2)
    size = path.stat().st_size
    for max_bytes, is_moved in ((size, False), (size - 1, True)):
        folder = path.with_name(str(max_bytes))
        written(folder / path.name, 2, max_bytes)
        assert (folder / "audit.jsonl.1").exists() is is_moved


def test_an_empty_file_is_not_moved_aside(path: Path) -> None:
    path.touch()
    written(path, 1, max_bytes=1)
    assert not path.with_name("audit.jsonl.1").exists()


def test_a_lock_that_is_held_does_not_hold_up_the_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LOCK_SECONDS", 0.01)
    log = written(path, 1, max_bytes=1)
    with filelock.FileLock(f"{path}.lock"):
        log.write({})
        # not asked for again for a while
        monkeypatch.setattr(audit, "LOCK_SECONDS", -1)
        log.write({})
    assert not path.with_name("audit.jsonl.1").exists()
    assert len(records(path)) == 3
    assert verify(path).is_whole


def test_a_file_that_another_process_has_moved_meanwhile_is_not_moved_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(path, 1, max_bytes=300)
    answers = iter([True, False])
    monkeypatch.setattr(log, "_is_full", lambda _: next(answers))
    log.write({})
    assert len(path.read_bytes().splitlines()) == 2


def test_a_file_that_cannot_be_renamed_just_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(Path, "replace", replace)
    written(path, 3, max_bytes=1)
    assert len(path.read_bytes().splitlines()) == 3


def test_where_appending_is_two_steps_each_line_is_written_under_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_APPENDS_AT_ONCE", False)
    path = path.parent / "new" / path.name
    real = os.write
    locked = []

    def write(descriptor: int, data: bytes) -> int:
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(f"{path}.lock", timeout=0).acquire()
        locked.append(True)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    written(path, 3)
    assert len(locked) == 3
    assert len(records(path)) == 3


WRITER = """
import sys, time
from pathlib import Path
from mcp_docker.audit import Audit
path, count, max_bytes, length, milliseconds = sys.argv[1], *map(int, sys.argv[2:])
log = Audit(Path(path), max_bytes)
print("ready", flush=True)
sys.stdin.readline()
number = 0
while number != count:
    log.write({"event": "outcome", "number": number, "arguments": "x" * length})
    number += 1
    if number == 3:
        print("wrote", flush=True)
    if milliseconds:
        time.sleep(milliseconds / 1_000)
"""


def writer(path: Path, count: int, max_bytes: int, length: int, milliseconds: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, path, str(count), str(max_bytes), str(length), str(milliseconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_at_once_lose_no_line_while_files_move(path: Path) -> None:
    processes = [writer(path, 500, 60_000, 10) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=120)[1] == ""
    seen: dict[str, list[int]] = {}
    for record in records(path):
        seen.setdefault(record["run"], []).append(record["number"])
    assert list(seen.values()) == [list(range(500))] * 3
    assert path.with_name("audit.jsonl.3").exists()
    report = verify(path)
    assert (report.lines, report.runs, report.findings.listed, report.interrupted.count) == (1_500, 3, [], 0)


def test_what_is_read_while_others_write_and_move_files_is_whole(path: Path) -> None:
    # at a pace at which no two files are moved while a reader that is kept waiting opens the next
    process = writer(path, -1, 20_000, 10, milliseconds=1)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "wrote\n"]
        while not path.with_name("audit.jsonl.6").exists():
            assert verify(path).findings.listed == []
            assert process.poll() is None
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_writer_that_is_killed_leaves_a_whole_log(path: Path) -> None:
    for _ in range(8):
        process = writer(path, -1, LARGE, 40_000)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "wrote\n"]
        process.kill()
        process.communicate(timeout=10)
        report = verify(path)
        assert report.findings.listed == []
    assert report.runs == 8
    assert report.interrupted.count <= 8
    assert report.lines >= 24
