"""Whether this process runs in a container, and in which, and whether an engine is on the same machine."""

import functools
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_docker.engine import Engine

_ID = (
    # a host lists the mounts of all its containers; only inside of one are these three its own
    ("mountinfo", r"^(?:\S+ ){3}\S*containers/([0-9a-f]{64})/\S* /etc/(?:hostname|hosts|resolv\.conf) "),
    ("cgroup", r"[/-]([0-9a-f]{64})(?:\.scope)?$"),
)
_ROOT_ON_A_DISK = re.compile(r"^(?:\S+ ){4}/ .* - \S+ /dev/\S+ ", re.MULTILINE)


@functools.cache
def container_id(process: Path = Path("/proc/self")) -> str | None:
    """The id of the container that this process runs in, from what its engine mounts into it; None outside of one."""
    for file, pattern in _ID:
        if found := re.search(pattern, _text(process / file), re.MULTILINE):
            return found[1]
    return None


@functools.cache
def in_container(process: Path = Path("/proc/self"), root: Path = Path("/")) -> bool:
    """Whether this process runs in a container, also one whose id it can't see."""
    if container_id(process) or "KUBERNETES_SERVICE_HOST" in os.environ:
        return True
    # machines that were made from an image carry the marks too, but have their root on a disk
    marked = (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()
    return marked and not _ROOT_ON_A_DISK.search(_text(process / "mountinfo"))


def is_here(engine: "Engine") -> bool:
    """Whether the engine is on this machine: a socket of ours, the same kernel, and no container around us."""
    if not engine.connected.endpoint.address.startswith(("unix://", "npipe://")) or in_container():
        return False
    info = engine.connected.info
    kernel, desktop = info.get("KernelVersion"), "Docker Desktop" in str(info.get("OperatingSystem"))
    # a socket may be forwarded from elsewhere; Docker Desktop has a machine of its own, and shares our paths and ports
    return desktop or not kernel or platform.system() != "Linux" or kernel == platform.release()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
