"""The audit log: a JSON line for each thing that was asked for, and what became of it.

Several servers of one user write to one file. Each `Audit` counts its own lines and puts the hash of its last line into
the next one, so that `verify` sees what was changed, taken out or moved. It can't see that the last lines of a run were
cut off or changed, nor that a whole run was added or taken out: nothing is signed.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_docker.errors import AuditUnavailable, SettingsError

if TYPE_CHECKING:
    from mcp_docker.settings import Settings

FIRST_PREV = "0" * 64
KEEP = 10
MAX_LINE = 65_536
LOCK_SECONDS = 2.0
LOCK_AGAIN_SECONDS = 60.0

_CUT_ARGUMENTS = 8_192
_CUT_FIELD = 1_024
_DEEPEST = 32
_LONGEST_INTEGER = 4_096
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Windows seeks to the end and then writes, so another process can come between
_APPENDS_AT_ONCE = os.name != "nt"


def open_audit(settings: "Settings") -> "Audit | None":
    """The audit log of the settings; None where it is switched off. Nothing is written yet.

    Raises:
        SettingsError: the path is not absolute.
    """
    if not settings.security_audit_log_enabled:
        return None
    return Audit(audit_path(settings), settings.security_audit_log_max_bytes)


def audit_path(settings: "Settings") -> Path:
    """The file of the settings, or the one in the user's state folder.

    Raises:
        SettingsError: the settings' path is not absolute.
    """
    path = settings.security_audit_log_file
    if path is None:
        from platformdirs import user_state_path

        try:
            return user_state_path("mcp-docker") / "audit.jsonl"
        except RuntimeError:  # this user has no home; `write` refuses a path that is not absolute
            return Path("~/audit.jsonl")
    with contextlib.suppress(RuntimeError):  # no home to put in place of "~"
        path = path.expanduser()
    if not path.is_absolute():
        raise SettingsError([f"SECURITY_AUDIT_LOG_FILE: {path} depends on the working folder; write an absolute path"])
    return path


def numbered(path: Path, number: int) -> Path:
    """The file that was moved aside so many times."""
    return path.with_name(f"{path.name}.{number}") if number else path


class Audit:
    """Appends lines to one file, which other processes append to as well. Safe to use from several threads.

    Args:
        path: the file; it and folders that are missing are made for this user alone.
        max_bytes: size at which the file is moved aside to PATH.1; ten such files are kept.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.run = secrets.token_hex(8)
        self._max_bytes = max_bytes
        self._seq = 0
        self._prev = FIRST_PREV
        self._mutex = threading.Lock()
        self._no_lock_before = 0.0
        self._folder_synced_for: tuple[int, int] | None = None

    def write(self, entry: Mapping[str, Any], *, durable: bool = False) -> None:
        """Append one line: time, run, number and hash of the line before, then the entry.

        Args:
            entry: what happened. What is longer than a line may be is cut, the arguments first.
            durable: return only when it is on the disk.

        Raises:
            AuditUnavailable: it could not be written, or not be brought to the disk.
        """
        with self._mutex:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
            line = _line({"time": now, "run": self.run, "seq": self._seq + 1, "prev": self._prev}, entry)
            try:
                self._append(line, durable)
            except (OSError, ValueError) as error:
                reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
                raise AuditUnavailable(
                    f"the audit log {self.path} can't be written ({reason})",
                    "make it writable, or choose another with SECURITY_AUDIT_LOG_FILE; reads go on.",
                ) from error

    def _append(self, line: bytes, durable: bool) -> None:
        if not self.path.is_absolute():
            raise OSError(errno.ENOENT, "there is no home folder to put it in")
        if self._is_full(len(line)):
            self._move_aside(len(line))
        with contextlib.nullcontext() if _APPENDS_AT_ONCE else self._turn(), self._opened() as descriptor:
            size = os.fstat(descriptor).st_size
            start = b"" if _ends_with_newline(descriptor, size) else b"\n"
            written = os.write(descriptor, start + line + b"\n")
            # without its newline a line is whole all the same: whoever comes next begins with one
            if written < len(start) + len(line):
                raise OSError(errno.ENOSPC, "no room for the whole line")
            self._seq += 1
            self._prev = hashlib.sha256(line).hexdigest()
            if durable:
                self._sync(descriptor, is_new=size == 0)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        # Opened for each line: the file of the last one may have been moved aside by another process.
        if not _NO_FOLLOW and self.path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link")
        try:
            descriptor = os.open(self.path, _FLAGS | _NO_FOLLOW, 0o600)
        except FileNotFoundError:
            _make_folder(self.path.parent)
            descriptor = os.open(self.path, _FLAGS | _NO_FOLLOW, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, "it is a symbolic link") from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    def _sync(self, descriptor: int, *, is_new: bool) -> None:
        os.fsync(descriptor)
        status = os.fstat(descriptor)
        if self._folder_synced_for == (status.st_dev, status.st_ino) and not is_new:
            return
        # the name is in the folder; not every system can bring a folder to the disk
        with contextlib.suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._folder_synced_for = status.st_dev, status.st_ino

    def _is_full(self, more: int) -> bool:
        try:
            status = self.path.lstat()
        except OSError:
            return False  # opening it will tell
        return stat.S_ISREG(status.st_mode) and status.st_size > 0 and status.st_size + more >= self._max_bytes

    def _move_aside(self, more: int) -> None:
        """Rename the files, each to the next number. Where that can't be done, the file just grows."""
        with self._turn() as is_ours:
            if not is_ours or not self._is_full(more):
                return
            free = next((number for number in range(1, KEEP) if not numbered(self.path, number).exists()), KEEP)
            try:
                for number in range(free, 0, -1):
                    numbered(self.path, number - 1).replace(numbered(self.path, number))
            except OSError:
                self._no_lock_before = time.monotonic() + LOCK_AGAIN_SECONDS

    @contextlib.contextmanager
    def _turn(self) -> Iterator[bool]:
        """Hold the lock that processes share, if it can be had."""
        if time.monotonic() < self._no_lock_before:
            yield False
            return
        from filelock import FileLock

        with contextlib.ExitStack() as held:
            try:
                _make_folder(self.path.parent)
                lock = FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS, mode=0o600)
                held.enter_context(lock.acquire(poll_interval=0.01))
                is_ours = True
            except (OSError, NotImplementedError):
                # a lock that is stuck must not hold up every line
                self._no_lock_before = time.monotonic() + LOCK_AGAIN_SECONDS
                is_ours = False
            yield is_ours


def _make_folder(folder: Path) -> None:
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _ends_with_newline(descriptor: int, size: int) -> bool:
    if size == 0:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def _line(stamp: Mapping[str, Any], entry: Mapping[str, Any]) -> bytes:
    written = (_json({**stamp, **shorter, **stamp}).encode("ascii") for shorter in _ever_shorter(entry))
    return next(line for line in written if len(line) < MAX_LINE)


def _ever_shorter(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield entry
    if "arguments" in entry:
        yield {**entry, "arguments": _cut(entry["arguments"], _CUT_ARGUMENTS)}
    yield {name: value if len(_json(value)) <= _CUT_FIELD else _cut(value, _CUT_FIELD) for name, value in entry.items()}
    yield _cut(entry, _CUT_ARGUMENTS)


def _cut(value: Any, length: int) -> dict[str, str]:
    return {"truncated": _json(value)[:length]}


def _json(value: Any) -> str:
    try:
        return _dumps(value)
    except (TypeError, ValueError, RecursionError):
        return _dumps(_plain(value))


def _dumps(value: Any) -> str:
    # ASCII: no lone surrogate, line separator or escape sequence gets into the file
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=str)


def _plain(value: Any, depth: int = 0) -> Any:
    """What JSON has no form for, in words; the rest as it is."""
    if depth > _DEEPEST:
        return "too deep"
    match value:
        case Mapping():
            return {str(name): _plain(item, depth + 1) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item, depth + 1) for item in value]
        case int() if value.bit_length() > _LONGEST_INTEGER:
            return hex(value)
        case float() if not math.isfinite(value):
            return str(value)
    return value
