"""A build's context: a folder of ours, sent to the engine as a tar stream that is never held whole."""

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mcp_docker.engine.scope import CallScope
from mcp_docker.errors import InvalidArguments

PIECE = 1 << 18
DOCKERFILE_BYTES = 1 << 20

_INSTEAD = "give a folder that the server can read, with the Dockerfile in it."


@dataclass(frozen=True)
class BuildContext:
    """A folder, and where in it the Dockerfile is."""

    root: Path
    dockerfile: str
    text: str


def opened(path: str, dockerfile: str) -> BuildContext:
    """Check a build's paths, and read its Dockerfile.

    Raises:
        InvalidArguments: the folder or the Dockerfile is missing, or the Dockerfile lies outside, also by a link.
    """
    with _readable():
        root = Path(path).expanduser().resolve()
        if not root.is_dir():
            raise InvalidArguments(f"path: {path!r} is not an existing folder", _INSTEAD)
        named = Path(os.path.normpath(root / dockerfile))
        real = named.resolve()
        if not named.is_relative_to(root) or not real.is_relative_to(root):
            raise InvalidArguments(
                f"dockerfile: {dockerfile!r} is outside the build context {path!r}",
                "only files inside the context are sent; move it there.",
            )
        if not real.is_file():
            raise InvalidArguments(f"dockerfile: there is no file {dockerfile!r} in {path!r}", _INSTEAD)
        with _plain(real) as file:
            content = file.read(DOCKERFILE_BYTES + 1)
    if len(content) > DOCKERFILE_BYTES:
        raise InvalidArguments(f"dockerfile: {dockerfile!r} is larger than 1 MB", "is it a Dockerfile at all?")
    # under its real name, since not every engine follows links in a context
    return BuildContext(root, real.relative_to(root).as_posix(), content.decode(errors="replace"))


def packed(context: BuildContext, sent: Callable[[int], None]) -> Iterator[bytes]:
    """The context as a tar archive, piece by piece, without what .dockerignore leaves out.

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
    from docker.utils.build import walk

    with contextlib.closing(tarfile.TarFile(fileobj=io.BytesIO(), mode="w", format=tarfile.GNU_FORMAT)) as headers:
        for name in walk(str(context.root), [*_ignored(context.root), f"!{context.dockerfile}"]):
            full = context.root / name
            info = headers.gettarinfo(full, arcname=name)
            if info is None:  # a socket
                CallScope.current().check()
                continue
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = max(int(info.mtime), 0)
            yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            if info.isreg():
                yield from _content(full, info.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with _plain(path) as file:
        while left and (piece := file.read(min(left, PIECE))):
            left -= len(piece)
            yield piece
    if left:
        raise InvalidArguments(f"{path.name!r} shrank while it was sent", "call again when nothing writes there.")
    if rest := size % tarfile.BLOCKSIZE:
        yield bytes(tarfile.BLOCKSIZE - rest)


def _plain(path: Path) -> BinaryIO:
    """Open a regular file that was not swapped for a link or a pipe since it was looked at."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidArguments(f"{path.name!r} changed while it was sent", "call again when nothing writes there.")
    return os.fdopen(descriptor, "rb")


def _ignored(root: Path) -> list[str]:
    path = root / ".dockerignore"
    if not path.is_file():
        return []
    lines = (line.strip() for line in path.read_text("utf-8-sig", errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """An unreadable file is the caller's to know; inside a request it would look like a broken connection."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # a RuntimeError is a loop of links, or no such home
        name = f" {Path(str(error.filename)).name!r}" if isinstance(error, OSError) and error.filename else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidArguments(f"path: can't read{name} in the build context: {reason}", _INSTEAD) from error
