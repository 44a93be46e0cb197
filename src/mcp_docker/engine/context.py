"""A build's context: a folder of ours, sent to the engine as a tar stream that is never held whole."""

import contextlib
import io
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from mcp_docker.engine import secret_files
from mcp_docker.engine.ignored import Ignored
from mcp_docker.engine.scope import CallScope
from mcp_docker.errors import BuildFailed, BuildRefused, InvalidArguments
from mcp_docker.settings import Settings

PIECE = 1 << 18
DOCKERFILE_BYTES = 1 << 20
FILES = 200_000

_INSTEAD = "give a folder that the server can read, with the Dockerfile in it."
_AGAIN = "call again when nothing writes there."
_SECRETS = "SAFETY_BUILD_SECRET_FILES"


@dataclass(frozen=True)
class BuildContext:
    """A folder, and what of it is sent.

    Attributes:
        dockerfile: where in it the Dockerfile is.
        content: that of the Dockerfile, as it was read; so it is sent, whatever becomes of the file.
        files: what else is sent, by path within; folders go before what is in them.
        left_out: what looks like a secret, and is not sent.
        bytes_allowed: how much may be sent.
    """

    root: Path
    dockerfile: str
    content: bytes
    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    bytes_allowed: int = 0

    @property
    def text(self) -> str:
        """The Dockerfile."""
        return self.content.decode(errors="replace")


def resolved(path: str) -> str:
    """A folder's whole path without links; it need not exist. Raises InvalidArguments."""
    with _readable():
        return os.path.realpath(Path(path).expanduser())


def opened(path: str, dockerfile: str) -> BuildContext:
    """Check a build's paths, and read its Dockerfile.

    Args:
        path: the folder, resolved.

    Raises:
        InvalidArguments: the folder or the Dockerfile is missing, or the Dockerfile lies outside, also by a link.
    """
    with _readable():
        root = Path(path)
        if not root.is_dir():
            raise InvalidArguments(f"path: {path!r} is not an existing folder", _INSTEAD)
        named = Path(os.path.normpath(root / dockerfile))
        # before Python 3.13, Path.resolve has an error of its own for a loop of links
        real = Path(os.path.realpath(named))
        if not named.is_relative_to(root) or not real.is_relative_to(root):
            raise InvalidArguments(
                f"dockerfile: {dockerfile!r} is outside the build context {path!r}",
                "only files inside the context are sent; move it there.",
            )
        if not real.is_file():
            raise InvalidArguments(f"dockerfile: there is no file {dockerfile!r} in {path!r}", _INSTEAD)
        # under its real name, since not every engine follows links in a context
        inside = real.relative_to(root).as_posix()
        with _folder(root) as folder, _plain(root, folder, inside) as file:
            content = file.read(DOCKERFILE_BYTES + 1)
    if len(content) > DOCKERFILE_BYTES:
        raise InvalidArguments(f"dockerfile: {dockerfile!r} is larger than 1 MB", "is it a Dockerfile at all?")
    return BuildContext(root, inside, content)


def planned(context: BuildContext, settings: Settings) -> BuildContext:
    """Decide what is sent: without what .dockerignore names, and without secrets that the operator did not name.

    Raises:
        BuildRefused: there is too much of it, or the Dockerfile itself looks like a secret.
    """
    allowed = settings.safety_max_build_context_bytes
    with _readable(), _folder(context.root) as folder:
        secrets = secret_files.Rule(
            settings.safety_build_secret_files, lambda name: _beginning(context.root, folder, name)
        )
        if secrets.keeps_back(context.dockerfile):
            raise BuildRefused(
                f"the Dockerfile {context.dockerfile!r} has the name of a secret file",
                f"give it another name, or the operator adds it to {_SECRETS}.",
            )
        ignored = Ignored([*_ignored(context.root, folder), "!.dockerignore"])
        plan = _Plan(allowed, len(context.content))
        _walk(context, ignored, secrets, plan)
    plan.check()
    return replace(context, files=tuple(plan.files), left_out=tuple(sorted(plan.left_out)), bytes_allowed=allowed)


class _Plan:
    """What is sent, and how much that is."""

    def __init__(self, allowed: int, size: int) -> None:
        self.files: list[str] = []
        self.left_out: list[str] = []
        self._allowed = allowed
        self._size = size
        self._by_folder: Counter[str] = Counter()

    def add(self, name: str, size: int) -> None:
        """Take one file or folder. Raises BuildRefused if they are too many."""
        self.files.append(name)
        self._size += size
        self._by_folder[name.partition("/")[0]] += size
        if len(self.files) > FILES:
            within = Counter(each.partition("/")[0] for each in self.files).most_common(1)[0]
            raise BuildRefused(
                f"the build context has more than {FILES} files, {within[1]} of those seen in {within[0]!r}",
                "name in .dockerignore what the build does not need.",
            )

    def check(self) -> None:
        """Raises BuildRefused if they are too large."""
        if self._size > self._allowed:
            largest, size = (self._by_folder.most_common(1) or [("", 0)])[0]
            raise BuildRefused(
                f"the build context has {_megabytes(self._size)} MB, and {_megabytes(self._allowed)} are allowed; the "
                f"most, {_megabytes(size)} MB, is in {largest!r}",
                "name in .dockerignore what the build does not need; SAFETY_MAX_BUILD_CONTEXT_BYTES is the limit.",
            )


def _walk(context: BuildContext, ignored: Ignored, secrets: secret_files.Rule, plan: _Plan) -> None:
    """Plan every file and folder below the root, folders before what is in them."""
    folders: list[tuple[str, list[bool], bool]] = [("", [], False)]
    while folders:
        folder, inherited, in_secret = folders.pop()
        with os.scandir(context.root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            CallScope.current().check()
            matches = ignored.matches(name, inherited)
            out = ignored.leaves_out(matches)
            is_folder = entry.is_dir(follow_symlinks=False)
            if out and not (is_folder and ignored.may_take_back_below(name)):
                continue
            secret = (in_secret or secrets.looks(name)) and not secrets.lifts(name)
            if secret and not (is_folder and secrets.may_lift_below(name)):
                if not out:
                    plan.left_out.append(f"{name}/" if is_folder else name)
                continue
            if is_folder:
                folders.append((name, matches, secret))
            if not out and not secret and name != context.dockerfile:
                plan.add(name, _size(name, entry.stat(follow_symlinks=False)))


def _size(name: str, found: os.stat_result) -> int:
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        raise BuildRefused(f"{name!r} in the build context is a device", "name it in .dockerignore.")
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


@contextlib.contextmanager
def explaining(context: BuildContext) -> Iterator[None]:
    """Where a build fails for want of a file that was left out, say so."""
    try:
        yield
    except BuildFailed as failed:
        told = f"{failed}\n{failed.detail}"
        nameless = "no source files" in told or "no items matching" in told
        missing = [name for name in context.left_out if nameless or Path(name).name in told]
        if missing:
            failed.add(
                f"{', '.join(map(repr, missing[:5]))} looks like a secret and was not sent: {_SECRETS} is the "
                "operator's list of such files to send all the same."
            )
        raise


def packed(context: BuildContext, sent: Callable[[int], None]) -> Iterator[bytes]:
    """What was planned of the context as a tar archive, piece by piece.

    Owners are left out, as Docker's own client does. Ends as soon as the call is cancelled.

    Args:
        sent: is told the bytes so far.
    """
    done = 0
    with _readable():
        for piece in _archive(context):
            CallScope.current().check()
            yield piece
            done += len(piece)
            sent(done)


def _archive(context: BuildContext) -> Iterator[bytes]:
    left = context.bytes_allowed
    with (
        _folder(context.root) as folder,
        contextlib.closing(tarfile.TarFile(fileobj=io.BytesIO(), mode="w", format=tarfile.GNU_FORMAT)) as headers,
    ):
        yield from _dockerfile(context)
        for name in context.files:
            info = headers.gettarinfo(context.root / name, arcname=name)
            if info is None:  # a socket
                CallScope.current().check()
                continue
            if info.isreg():
                left -= info.size
            if (info.isdev() and not info.isfifo()) or left < 0:
                raise InvalidArguments(f"{name!r} changed while it was sent", _AGAIN)
            yield _header(info)
            if info.isreg():
                yield from _content(context.root, folder, name, info.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _dockerfile(context: BuildContext) -> Iterator[bytes]:
    info = tarfile.TarInfo(context.dockerfile)
    info.size = len(context.content)
    yield _header(info)
    yield context.content
    yield _padding(info.size)


def _header(info: tarfile.TarInfo) -> bytes:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = max(int(info.mtime), 0)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _content(root: Path, folder: int, name: str, size: int) -> Iterator[bytes]:
    left = size
    with _plain(root, folder, name) as file:
        while left and (piece := file.read(min(left, PIECE))):
            left -= len(piece)
            yield piece
    if left:
        raise InvalidArguments(f"{name!r} shrank while it was sent", _AGAIN)
    yield _padding(size)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


@contextlib.contextmanager
def _folder(root: Path) -> Iterator[int]:
    """Open the folder itself: none of the links that may have taken its or its parents' place since it was resolved.

    A number that only `_plain` knows; -1 where folders can't be opened (Windows).
    """
    if os.open not in os.supports_dir_fd:
        _same(root, os.path.realpath(root))
        yield -1
        return
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            found = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        except OSError:  # not on Linux
            found = os.path.realpath(root)
        _same(root, found)
        yield descriptor
    finally:
        os.close(descriptor)


def _same(root: Path, found: str) -> None:
    if found != str(root):
        raise InvalidArguments(f"path: {str(root)!r} changed while it was looked at", _AGAIN)


def _plain(root: Path, folder: int, name: str) -> BinaryIO:
    """Open a regular file of the folder; nothing on the way was swapped for a link or a pipe since it was looked at."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if folder == -1:
        descriptor = os.open(root / name, flags | getattr(os, "O_BINARY", 0))
    else:
        descriptor = _below(folder, name, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidArguments(f"{name!r} changed while it was sent", _AGAIN)
    return os.fdopen(descriptor, "rb")


def _below(folder: int, name: str, flags: int) -> int:
    *parents, last = name.split("/")
    current = os.dup(folder)
    try:
        for parent in parents:
            deeper = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = deeper
        return os.open(last, flags, dir_fd=current)
    finally:
        os.close(current)


def _beginning(root: Path, folder: int, name: str) -> bytes:
    """The beginning of a file; empty of what is none."""
    if not stat.S_ISREG(os.lstat(root / name).st_mode):
        return b""
    with _plain(root, folder, name) as file:
        return file.read(secret_files.BEGINNING)


def _ignored(root: Path, folder: int) -> list[str]:
    path = root / ".dockerignore"
    if not path.is_file():
        return []
    real = path.resolve()
    if not real.is_relative_to(root):
        raise InvalidArguments(".dockerignore is a link to a file outside the build context", "write it there.")
    with _plain(root, folder, real.relative_to(root).as_posix()) as file:
        content = file.read(DOCKERFILE_BYTES + 1)
    if len(content) > DOCKERFILE_BYTES:
        raise InvalidArguments(".dockerignore is larger than 1 MB", "write fewer patterns.")
    lines = (line.strip() for line in content.decode("utf-8-sig", errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}"


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """An unreadable file is the caller's to know; inside a request it would look like a broken connection."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # a RuntimeError: there is no such home
        name = f" {Path(str(error.filename)).name!r}" if isinstance(error, OSError) and error.filename else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidArguments(f"path: can't read{name} in the build context: {reason}", _INSTEAD) from error
