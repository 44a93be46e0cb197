"""The audit log: what is written comes back, whoever else writes, and what was tampered with is named."""

import errno
import hashlib
import json
import math
import os
import re
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_docker import audit
from mcp_docker.audit import MAX_LINE, Audit, audit_path, open_audit
from mcp_docker.audit.read import lines
from mcp_docker.audit.verify import verify
from mcp_docker.errors import AuditUnavailable, SettingsError
from mcp_docker.settings import load

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


def short_write(monkeypatch: pytest.MonkeyPatch, room: Callable[[bytes], int]) -> None:
    """The next write gets only so many bytes to the disk."""
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", real)
        return real(descriptor, data[: room(data)])

    monkeypatch.setattr(os, "write", write)


# Writing


def test_a_line_has_time_run_number_and_the_hash_of_the_one_before(path: Path) -> None:
    log = Audit(path, LARGE)
    log.write({"event": "intent", "tool": "docker_version"})
    log.write({"event": "outcome"})
    first, second = path.read_bytes().splitlines()
    record = json.loads(first)
    assert list(record) == ["time", "run", "seq", "prev", "event", "tool"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert (record["run"], record["seq"], record["prev"]) == (log.run, 1, "0" * 64)
    assert json.loads(second)["seq"] == 2
    assert json.loads(second)["prev"] == hashlib.sha256(first).hexdigest()


def test_an_entry_cannot_forge_the_chain(path: Path) -> None:
    Audit(path, LARGE).write({"seq": 7, "prev": "x", "run": "y", "time": "z"})
    assert records(path)[0]["seq"] == 1
    assert verify(path).is_whole


NAMES = st.text().filter(lambda name: name not in ("time", "run", "seq", "prev"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, database=None)
@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_any_entry_comes_back_as_it_was_written(entry: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.jsonl")
        Audit(path, LARGE).write(entry)
        [record] = records(path)
    assert dict(list(record.items())[4:]) == entry


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\ud800b", "a\ud800b"),
        (math.inf, "inf"),
        ([math.nan, True, 1.5], ["nan", True, 1.5]),
        (10**5_000, hex(10**5_000)),
        (Path("/x"), "/x"),
        ({("a", 1): 2}, {"('a', 1)": 2}),
    ],
    ids=["lone surrogate", "infinity", "list", "long integer", "path", "key"],
)
def test_what_json_has_no_form_for_is_put_into_words(path: Path, value: Any, shown: Any) -> None:
    Audit(path, LARGE).write({"arguments": {"value": value}})
    assert path.read_bytes().isascii()
    assert records(path)[0]["arguments"] == {"value": shown}


def test_nesting_without_end_is_no_reason_not_to_write(path: Path) -> None:
    deep: list[Any] = []
    deep.append(deep)
    Audit(path, LARGE).write({"event": "intent", "arguments": deep})
    assert records(path)[0]["event"] == "intent"
    assert "too deep" in path.read_text()


def test_arguments_that_are_too_long_are_cut_and_the_rest_stays(path: Path) -> None:
    arguments = {"text": 'ü"\\' * MAX_LINE}
    Audit(path, LARGE).write({"event": "intent", "arguments": arguments, "tool": "docker_build_image"})
    assert len(path.read_bytes()) <= MAX_LINE
    record = records(path)[0]
    assert record["tool"] == "docker_build_image"
    assert record["arguments"] == {"truncated": json.dumps(arguments, separators=(",", ":"))[:8_192]}


def test_other_fields_that_are_too_long_are_cut_too(path: Path) -> None:
    log = Audit(path, LARGE)
    log.write({"event": "intent", "caller": "x" * MAX_LINE, "arguments": {"a": 1}})
    log.write({str(number): "x" * 500 for number in range(1_000)})
    assert all(len(line) < MAX_LINE for line in path.read_bytes().splitlines())
    first, second = records(path)
    assert first["event"] == "intent"
    assert first["arguments"] == {"a": 1}
    assert first["caller"] == {"truncated": '"' + "x" * 1_023}
    assert second["truncated"].startswith('{"0":"xxx')
    assert verify(path).is_whole


def test_threads_share_one_chain(path: Path) -> None:
    log = Audit(path, LARGE)

    def write() -> None:
        for number in range(100):
            log.write({"number": number})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [record["seq"] for record in records(path)] == list(range(1, 401))
    assert verify(path).is_whole


# Files, modes and failures


def test_the_file_and_new_folders_are_for_the_user_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "a" / "b" / "audit.jsonl"
    written(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("no_follow", [os.O_NOFOLLOW, 0])
def test_a_symbolic_link_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, no_follow: int) -> None:
    monkeypatch.setattr(audit, "_NO_FOLLOW", no_follow)
    path.symlink_to(path.with_name("other"))
    with pytest.raises(AuditUnavailable, match="it is a symbolic link"):
        Audit(path, 1).write({})
    assert path.is_symlink()
    assert not path.with_name("other").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    with pytest.raises(AuditUnavailable, match=r"\(it is not a regular file\)|\(Is a directory\)"):
        Audit(path, LARGE).write({})


def test_a_path_that_cannot_be_made_is_unavailable_and_says_what_to_do(path: Path) -> None:
    path.write_text("a file")
    log = Audit(path / "audit.jsonl", LARGE)
    with pytest.raises(AuditUnavailable) as refused:
        log.write({})
    assert str(refused.value) == (
        f"REFUSED [AUDIT_UNAVAILABLE] the audit log {path}/audit.jsonl can't be written (Not a directory); "
        "make it writable, or choose another with SECURITY_AUDIT_LOG_FILE; reads go on."
    )


def test_a_path_that_no_system_takes_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable, match="null"):
        Audit(tmp_path / "a\0b", LARGE).write({})


def test_after_a_full_disk_the_next_line_stands_on_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(path, 2)
    short_write(monkeypatch, lambda data: len(data) // 2)
    with pytest.raises(AuditUnavailable, match="no room for the whole line"):
        log.write({"event": "lost"})
    log.write({"event": "kept"})
    report = verify(path)
    assert report.is_whole
    assert report.interrupted.listed == [f"{path}:3: cut off"]
    assert [record["seq"] for record in records(path)] == [1, 2, 3]


def test_a_line_that_lacks_only_its_newline_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(path, 1)
    short_write(monkeypatch, lambda data: len(data) - 1)
    log.write({"event": "kept"})
    log.write({"event": "next"})
    assert [record["seq"] for record in records(path)] == [1, 2, 3]
    assert verify(path).is_whole


def test_nothing_is_appended_to_a_line_that_another_process_left_torn(path: Path) -> None:
    path.write_bytes(b'{"time":"2026')
    written(path, 1)
    report = verify(path)
    assert (report.lines, report.interrupted.count, report.is_whole) == (1, 1, True)


def test_a_durable_line_is_brought_to_the_disk_and_its_folder_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    log = Audit(path, LARGE)
    log.write({})
    assert synced == []
    log.write({}, durable=True)
    assert synced == [False, True]
    log.write({}, durable=True)
    assert synced == [False, True, False]
    path.unlink()
    log.write({}, durable=True)
    assert synced == [False, True, False, False, True]


def test_a_line_that_did_not_reach_the_disk_is_unavailable_but_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Audit(path, LARGE)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(AuditUnavailable, match=r"\(Input/output error\)"):
            log.write({}, durable=True)
    log.write({})
    assert [record["seq"] for record in records(path)] == [1, 2]
    assert verify(path).is_whole


# Settings


def test_the_log_is_in_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("SECURITY_AUDIT_LOG_FILE", raising=False)
    log = open_audit(load())
    assert log is not None
    assert log.path.name == "audit.jsonl"
    assert log.path.parent.name == "mcp-docker"
    assert log.path.is_relative_to(tmp_path)
    assert not log.path.exists()


def test_a_setting_names_another_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECURITY_AUDIT_LOG_FILE", str(path))
    assert audit_path(load()) == path
    monkeypatch.setenv("SECURITY_AUDIT_LOG_FILE", "~/audit.jsonl")
    assert audit_path(load()) == Path.home() / "audit.jsonl"


def test_the_working_folder_is_never_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECURITY_AUDIT_LOG_FILE", "audit.jsonl")
    with pytest.raises(SettingsError, match="write an absolute path"):
        open_audit(load())


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECURITY_AUDIT_LOG_ENABLED", "false")
    assert open_audit(load()) is None


def test_without_a_home_folder_nothing_is_written_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("SECURITY_AUDIT_LOG_FILE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    log = open_audit(load())
    assert log is not None
    with pytest.raises(AuditUnavailable, match="there is no home folder to put it in"):
        log.write({})
    assert list(tmp_path.iterdir()) == []
