"""From what a caller wrote to exactly one object of the engine.

Engines take a name first, and then the beginning of an id; whoever can name an object can so put it in another's place.
"""

import re
from collections.abc import Callable
from typing import Any

from mcp_docker import errors
from mcp_docker.engine import Engine

LEAST_DIGITS = 12

_BEGINNING = re.compile(r"[0-9a-f]{1,63}")
_ID = re.compile(r"[0-9a-f]{64}")


def container(engine: Engine, text: str, *, exact: bool = False) -> dict[str, Any]:
    """The one container of this name or id, as inspect shows it (Engine API, ContainerInspect).

    Args:
        text: a name, an id or its beginning.
        exact: of an id, at least 12 digits: for what can't be undone.

    Raises:
        AmbiguousIdentifier, InexactIdentifier, EngineError for another one than was asked for, or docker's APIError.
    """
    found: dict[str, Any] = engine.docker.inspect_container(text)
    name = str(found.get("Name") or "").lstrip("/")
    _is_meant("container", text, found["Id"], name)
    _check(engine, "container", text, found["Id"], {name}, exact, engine.docker.containers, all=True)
    return found


def network(engine: Engine, text: str, *, exact: bool = False) -> dict[str, Any]:
    """The one network of this name or id, as inspect shows it; arguments and errors as for `container`."""
    found: dict[str, Any] = engine.docker.inspect_network(text)
    _is_meant("network", text, found["Id"], found["Name"])
    _check(engine, "network", text, found["Id"], {found["Name"]}, exact, engine.docker.networks)
    return found


def image(engine: Engine, text: str, *, exact: bool = False) -> dict[str, Any]:
    """The one image of this name or id, as inspect shows it; arguments and errors as for `container`."""
    found: dict[str, Any] = engine.docker.inspect_image(text)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
    digits = text.removeprefix("sha256:")
    names = {tag.removeprefix("docker.io/library/").removeprefix("localhost/") for tag in found.get("RepoTags") or []}
    names = {tag.removesuffix(":latest") for tag in names}
    # only these can be the beginning of an id: what has a tag or a path is a name
    if _BEGINNING.fullmatch(digits):
        full = found["Id"].removeprefix("sha256:")
        _check(engine, "image", digits, full, names, exact, engine.docker.images, all=True)
    return found


def _is_meant(kind: str, text: str, found: str, name: str) -> None:
    """Raises EngineError where the engine answers with another one than was asked for."""
    # a whole id is never another's name
    if not found.startswith(text) and (text != name or _ID.fullmatch(text)):
        raise errors.EngineError(
            f"asked for the {kind} {text!r}, the engine answered with another one: {found}",
            "nothing was done to it; call again, with the whole id of the one that is meant.",
        )


def _check(
    engine: Engine,
    kind: str,
    text: str,
    found: str,
    names: set[str],
    exact: bool,
    listed: Callable[..., list[dict[str, Any]]],
    **how: Any,
) -> None:
    if not _BEGINNING.fullmatch(text):
        return
    # Docker refuses the beginning of several ids by itself; Podman takes one of them
    if text in names or engine.connected.is_podman:
        ids = {str(other["Id"]).removeprefix("sha256:") for other in listed(**how)}
        if any(other.startswith(text) and other != found for other in ids):
            meant = "the name of one" if text in names else "the beginning of the id of one"
            raise errors.AmbiguousIdentifier(
                f"{text!r} is {meant} {kind}, and the beginning of another's id",
                f"give the whole id; that of the one which the engine takes it for is {found}.",
            )
    if exact and text not in names and len(text) < LEAST_DIGITS:
        raise errors.InexactIdentifier(
            f"{text!r} is only the beginning of an id, and this can't be undone",
            f"give the exact name, or at least {LEAST_DIGITS} digits of the id: {found[:LEAST_DIGITS]}, if that one is "
            "meant.",
        )
