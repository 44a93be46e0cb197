"""Which paths of the host a container may mount, and whether they can be checked at all."""

import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path

from mcp_docker.engine import Engine, own
from mcp_docker.engine.address import home as own_home
from mcp_docker.engine.address import sockets
from mcp_docker.errors import MountNotCheckable, MountRefused
from mcp_docker.settings import Settings

ON_THE_ENGINE = "engine:"
CREDENTIALS = frozenset(
    """
    .ssh .aws .azure .kube .docker .gnupg .gcloud .oci .config/gcloud .config/gh .config/containers .config/rclone
    .local/share/keyrings .password-store .vault-token .netrc .git-credentials .pki .minikube .terraform.d .mozilla
    """.split()
)
"""Folders and files that hold credentials, wherever they are."""

SYSTEM = tuple(
    """
    /proc /sys /dev /run /var/run /etc /boot /root /bin /sbin /lib /lib32 /lib64 /usr/bin /usr/sbin /usr/lib
    /var/lib/docker /var/lib/containerd /var/lib/containers /var/lib/kubelet /var/lib/rancher /var/lib/etcd
    /var/spool/cron /var/log/journal /private/etc /private/var/run /private/var/root /System /Library
    """.split()
)
"""Paths of the host that are never mounted, not below an allowed root either."""

_ALLOWLIST = "SAFETY_VOLUME_MOUNT_ALLOWLIST"
_INSTEAD = f"use a named volume, or have the operator add a folder to {_ALLOWLIST}."


def source(settings: Settings, path: str, engine: Engine) -> str:
    """The path to mount for the one that is asked for: resolved, and inside an allowed root.

    Raises:
        MountRefused, MountNotCheckable.
    """
    if not checkable(engine):
        return _by_text(settings, path, engine)
    if not Path(path).is_absolute():
        raise MountRefused(f"the host path {path!r} is not absolute", "write the whole path, without '~'.")
    roots = [Path(root.removeprefix(ON_THE_ENGINE)) for root in settings.safety_volume_mount_allowlist]
    if not roots:
        raise MountRefused(f"mounting the host path {path!r} is not allowed", _INSTEAD)
    try:
        resolved = Path(path).resolve(strict=True)
        kind = resolved.stat().st_mode
    except (OSError, RuntimeError, ValueError):
        raise MountRefused(
            f"the host path {path!r} does not exist, or can't be read here",
            f"make it first; only what exists below {_ALLOWLIST} can be mounted.",
        ) from None
    if not any(_within(resolved, _real(root)) for root in roots):
        where = f" (it is {str(resolved)!r})" if str(resolved) != path else ""
        raise MountRefused(f"the host path {path!r}{where} is outside the allowed folders", _INSTEAD)
    if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
        raise MountRefused(f"{str(resolved)!r} is neither a folder nor a plain file", "sockets and devices never are.")
    _check_never(settings, resolved, engine)
    if found := next((each for each in _credentials_in(resolved)), None):
        raise MountRefused(f"{str(resolved)!r} holds credentials ({found})", "mount a folder that does not.")
    return str(resolved)


def checkable(engine: Engine) -> bool:
    """Whether the engine's file system is ours."""
    return own.is_here(engine)


def data_root(engine: Engine) -> str:
    """Where the engine keeps its images and containers (Engine API, SystemInfo)."""
    return str(engine.connected.info.get("DockerRootDir") or "/var/lib/docker")


def as_good_as_the_host(path: str, engine: Engine) -> bool:
    """Whether a mount of this path gives an engine's socket or data root, whole or in part."""
    written, root = Path(posixpath.normpath(path)), Path(data_root(engine))
    listening = [place for place in sockets(engine.settings) if place.startswith("/run/") or _may_be_there(Path(place))]
    places = [Path(place) for place in (*listening, "/var/run/docker.sock", engine_socket(engine)) if place]
    roots = {root, _real(root)}
    places += [*(_real(place) for place in places), *roots]
    # the engine shows a link as it was written
    return any(
        any(place.is_relative_to(at) for place in places) or any(at.is_relative_to(each) for each in roots)
        for at in ({written, _real(written)} if checkable(engine) else {written})
    )


def engine_socket(engine: Engine) -> str:
    """The path of the socket that we reach the engine through; empty if it is none."""
    scheme, _, path = engine.connected.endpoint.address.partition("://")
    return path if scheme == "unix" else ""


def _real(path: Path) -> Path:
    """Where a path leads through its links; a loop of links stays as written, which Path.resolve refuses up to 3.12."""
    return Path(os.path.realpath(path))


def _by_text(settings: Settings, path: str, engine: Engine) -> str:
    roots = [root for root in settings.safety_volume_mount_allowlist if root.startswith(ON_THE_ENGINE)]
    if not roots:
        raise MountNotCheckable(
            f"the host path {path!r} can't be checked: the engine's file system can't be seen from here",
            f"use a named volume; a root written as engine:/srv/data in {_ALLOWLIST} has its text compared only.",
        )
    at = Path(path)
    if posixpath.normpath(path) != path or not at.is_absolute() or path.startswith("//"):
        raise MountRefused(f"the host path {path!r} is not absolute and plain", "write it without '.', '..' and '//'.")
    if not any(_within(at, Path(posixpath.normpath(root.removeprefix(ON_THE_ENGINE)))) for root in roots):
        raise MountRefused(f"the host path {path!r} is outside the allowed folders", _INSTEAD)
    _check_never(settings, at, engine)
    return path


def _check_never(settings: Settings, path: Path, engine: Engine) -> None:
    never = [*SYSTEM, *settings.safety_volume_mount_blocklist, data_root(engine), engine_socket(engine)]
    places = [Path(place) for place in never if place]
    if checkable(engine):
        # on many systems /bin and /var/run are links
        places += [_real(place) for place in places]
        places += [_real(place) for place in map(Path, sockets(settings)) if _may_be_there(place)]
        places += list(_seen_from(path, places))
    if inside := next((place for place in places if _within(path, place)), None):
        raise MountRefused(f"{str(path)!r} is in {str(inside)!r}, which is never mounted", "mount another folder.")
    if holds := next((place for place in places if place.is_relative_to(path)), None):
        raise MountRefused(f"{str(path)!r} holds {str(holds)!r}, which is never mounted", "mount a folder below it.")
    parts = [part.lower() for part in path.parts]
    for name in CREDENTIALS:
        wanted = name.split("/")
        if any(parts[at : at + len(wanted)] == wanted for at in range(len(parts))):
            raise MountRefused(f"{str(path)!r} is in {name!r}, where credentials are kept", "mount another folder.")


def _seen_from(path: Path, places: list[Path]) -> Iterator[Path]:
    """Places by the names that they have on the way to a path, or below it.

    A place has more than one where case is not told apart, where it is mounted twice, and as a file with hard links.
    """
    way = {found: at for at in (path, *path.parents) if (found := _identity(at))}
    for place in places:
        for at in (place, *place.parents):
            if (found := _identity(at)) in way:
                yield way[found] / place.relative_to(at)
                break


def _may_be_there(path: Path) -> bool:
    """Whether something is at a path, or that can't be seen."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names of one file or folder; none for what is not there, or can't be seen."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def _credentials_in(folder: Path) -> Iterator[str]:
    """Where a folder has credentials: its own, and those of the homes in it."""
    homes = {folder, own_home() or folder}
    if os.name == "posix":
        import pwd

        homes |= {Path(user.pw_dir) for user in pwd.getpwall()}
    for home in homes:
        if _within(home, folder):
            yield from (str(home / name) for name in sorted(CREDENTIALS) if os.path.lexists(home / name))


def _within(path: Path, root: Path) -> bool:
    """On path boundaries. A root that turns out to be the whole file system holds nothing."""
    return root != Path(root.anchor) and path.is_relative_to(root)
