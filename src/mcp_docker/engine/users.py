"""Who a container runs as, and whether that is root."""

import io
import re
import tarfile
from typing import Any

from mcp_docker.engine import Engine

PASSWD_BYTES = 1 << 20
_ROOT = "root"
_ORDINARY = re.compile("0*[1-9][0-9]{0,8}")


def own(found: dict[str, Any]) -> str:
    """The user of an inspected container, without the group; empty for root by default."""
    return str((found.get("Config") or {}).get("User") or "").partition(":")[0]


def is_root(user: str) -> bool:
    """Whether a user, without a group, is root by name or number; empty is root."""
    return user in ("", _ROOT) or (user.lstrip("+-").isdecimal() and int(user) == 0)


def may_be_root(engine: Engine, found: dict[str, Any], user: str) -> bool:
    """Whether a user may be root in a running container: a name that can't be looked up there is taken for root.

    Args:
        found: the container, as inspect shows it.
        user: name or number, without a group.
    """
    if is_root(user):
        return True
    entries = [line.split(":") for line in _passwd(engine, found["Id"]).split("\n")]
    matching = [entry for entry in entries if len(entry) > 2 and user in (entry[0], entry[2])]
    if not matching:
        # the engine knows no such name, and takes a number as it is
        return not user.isdecimal()
    # what is no number counts as 0
    return not all(_ORDINARY.fullmatch(entry[2]) for entry in matching)


def _passwd(engine: Engine, container_id: str) -> str:
    """The container's /etc/passwd (Engine API, ContainerArchive); empty where there is none, or it is no plain file."""
    from docker.errors import NotFound

    try:
        stream, _ = engine.docker.get_archive(container_id, "/etc/passwd")
    except NotFound:
        return ""
    data = bytearray()
    for piece in stream:
        data += piece
        if len(data) > PASSWD_BYTES:
            break
    with tarfile.open(fileobj=io.BytesIO(bytes(data)), mode="r:") as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None and member.isreg() else None
        return file.read().decode("utf-8", errors="replace") if file else ""
