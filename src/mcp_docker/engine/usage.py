"""What the engine's objects take up on its disk, where it tells in time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_docker.engine import CallScope, Engine

SECONDS = 5.0
BUSY_SECONDS = 0.1
TYPES_API = (1, 42)


@dataclass(frozen=True)
class Usage:
    """Bytes that the removal of an object frees, by id (volumes: by name); what is not in it is unknown.

    Attributes:
        images: what no other image shares.
        build_cache: the records, as the engine has them.
    """

    containers: Mapping[str, int]
    images: Mapping[str, int]
    volumes: Mapping[str, int]
    build_cache: tuple[dict[str, Any], ...]


def usage(engine: Engine, *kinds: str) -> Usage | None:
    """The disk usage of these kinds (container, image, volume, build-cache); None if it is not told within 5 s.

    It never fails the call: sizes are worth little, and an engine may have to walk through every volume for them.
    """
    # older engines tell of everything
    wanted: dict[str, Any] = {"type": list(kinds)} if engine.api >= TYPES_API else {}
    call = CallScope.current()
    with call.ending_after(SECONDS) as scope:
        while not scope.cancelled():
            try:
                return _usage(engine.get("/system/df", **wanted).json())
            except Exception as error:  # noqa: BLE001 - whatever it is, the sizes are unknown
                # old engines do it for one at a time
                if "already running" not in str(error):
                    break
                scope.cancelled(BUSY_SECONDS)
    call.check()
    return None


def bare(image_id: str) -> str:
    """An image's id without its algorithm, which Podman does not always write."""
    return image_id.removeprefix("sha256:")


def _usage(told: dict[str, Any]) -> Usage:
    return Usage(
        containers={each["Id"]: each.get("SizeRw") or 0 for each in told.get("Containers") or []},
        images={
            bare(each["Id"]): each["Size"] - each["SharedSize"]
            for each in told.get("Images") or []
            if each.get("SharedSize", -1) >= 0
        },
        volumes={
            each["Name"]: each["UsageData"]["Size"]
            for each in told.get("Volumes") or []
            if (each.get("UsageData") or {}).get("Size", -1) >= 0
        },
        build_cache=tuple(told.get("BuildCache") or ()),
    )
