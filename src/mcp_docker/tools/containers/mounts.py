"""Volumes and where they are mounted, in the forms that people write."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

MOST_VOLUMES = 64

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")
_DRIVE = re.compile(r"[a-zA-Z]:[\\/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class VolumeMount:
    """What is mounted at a path of the container: a named volume, a path of the host, or, without a source, a new
    anonymous volume."""

    source: str
    target: str
    read_only: bool = False
    copy: bool = True

    @property
    def is_host_path(self) -> bool:
        return not _VOLUME.fullmatch(self.source) if self.source else False

    def body(self, source: str) -> dict[str, Any]:
        """As HostConfig.Mounts has it, from the source that the policy gave."""
        mount: dict[str, Any] = {
            "Type": "bind" if self.is_host_path else "volume",
            "Target": self.target,
            "ReadOnly": self.read_only,
        }
        if source:
            mount["Source"] = source
        if not self.copy:
            mount["VolumeOptions"] = {"NoCopy": True}
        return mount


def mounts(value: Any) -> list[VolumeMount]:
    """Docker's "volume:/path[:mode]" forms, and docker-py's mapping from a volume to {"bind": …, "mode": …}.

    Raises:
        ValueError: naming what does not fit, and the forms.
    """
    if isinstance(value, list | dict) and len(value) > MOST_VOLUMES:
        raise ValueError(f"these are {len(value)} volumes; at most {MOST_VOLUMES} can be mounted")
    match value:
        case str():
            found = [_written(value)]
        case list() if all(isinstance(item, str) for item in value):
            found = [_written(item) for item in value]
        case dict():
            found = list(_mapped(value))
        case _:
            raise ValueError(_FORMS)
    targets = [mount.target for mount in found]
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        raise ValueError(f"{twice[0]!r} is the target of more than one volume")
    return found


def _written(text: str) -> VolumeMount:
    # the colon after a drive letter parts nothing
    drive = text[:2] if _DRIVE.match(text) else ""
    match text[len(drive) :].split(":"):
        case [target] if not drive:
            return _mount("", target, "", text)
        case [source, target]:
            return _mount(drive + source, target, "", text)
        case [source, target, mode]:
            return _mount(drive + source, target, mode, text)
    raise ValueError(f"{text!r}: {_FORMS}")


def _mapped(value: dict[str, Any]) -> Iterator[VolumeMount]:
    for source, place in value.items():
        mode: Any
        match place:
            case str():
                target, _, mode = place.partition(":")
            case {"bind": str(target), "mode": str(mode)} if len(place) == 2:
                pass
            case {"bind": str(target)} if len(place) == 1:
                mode = ""
            case _:
                raise ValueError(f'{source!r}: write {{"{source}": {{"bind": "/path/in/container", "mode": "ro"}}}}')
        if not source:
            raise ValueError(_FORMS)
        yield _mount(source, target, mode, f"{source}:{target}")


def _mount(source: str, target: str, mode: str, whole: str) -> VolumeMount:
    if _CONTROL.search(whole) or len(whole) > 4_096:
        raise ValueError(f"{whole[:100]!r} holds control characters, or is longer than 4096")
    if source and not _VOLUME.fullmatch(source) and not re.search(r"^[.~]|[/\\]", source):
        raise ValueError(f"{source!r} is not a volume's name (2 to 255 letters, digits, '_', '.', '-')")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if not target.startswith("/") or not parts or ".." in parts:
        raise ValueError(
            f"{whole!r}: {target!r} must be an absolute path in the container, without '..', not '/' itself"
        )
    flags = {flag for flag in mode.split(",") if flag}
    if unknown := sorted(flags - {"ro", "rw", "nocopy"}) or ({"ro", "rw"} <= flags and ["ro,rw"]):
        raise ValueError(f"{whole!r}: mode {unknown[0]!r} is not supported; ro, rw and nocopy are")
    mount = VolumeMount(source, "/" + "/".join(parts), "ro" in flags, "nocopy" not in flags)
    # what is the host's is written to only by those who say so
    return replace(mount, read_only="rw" not in flags) if mount.is_host_path else mount


_FORMS = 'write "data:/var/lib/x", "data:/var/lib/x:ro", or "/path/in/container" for an anonymous volume'

Volumes = Annotated[
    list[VolumeMount],
    BeforeValidator(mounts),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
