"""Docker's own config.json: credentials for registries, proxies for builds. Read anew for each call."""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_docker.engine import Engine, address

if TYPE_CHECKING:
    from docker.auth import AuthConfig


@dataclass(frozen=True)
class Login:
    """What to show to a registry. `problem` says why a credential helper gave nothing."""

    auth: dict[str, Any]
    problem: str = ""


def login(engine: Engine, name: str) -> Login:
    """The credentials for the registry of an image name. Without any, the registry decides what it lets through."""
    from docker.auth import resolve_repository_name

    registry, _ = resolve_repository_name(name)
    try:
        return Login(_stored(engine).resolve_authconfig(registry) or {})
    except Exception as error:  # noqa: BLE001 - a helper that fails is no reason to refuse a public image
        return Login({}, _said(error))


def logins(engine: Engine) -> dict[str, Any]:
    """The credentials of every registry, for a build, which may pull from any."""
    from docker.auth import INDEX_NAME, INDEX_URL

    stored = _stored(engine)
    found = dict(stored.auths)
    # where a helper fails, what the file itself holds is enough for most builds
    with contextlib.suppress(Exception):
        found = stored.get_all_credentials()  # type: ignore[no-untyped-call]  # the stubs don't annotate it
    if INDEX_NAME in found:
        found.setdefault(INDEX_URL, found[INDEX_NAME])
    return {registry: auth for registry, auth in found.items() if auth}


def proxies(engine: Engine) -> dict[str, str]:
    """The build arguments that Docker's own client adds for its proxies."""
    from docker.utils.proxy import ProxyConfig

    path = _path(engine)
    if path is None:
        return {}
    try:
        configured = json.loads(path.read_text()).get("proxies") or {}
    except (OSError, ValueError, AttributeError):
        return {}
    place = engine.connected.endpoint.address
    chosen: Any = configured.get(place) or configured.get("default") or {}
    found = ProxyConfig.from_dict(chosen).get_environment()
    return {str(name): str(value) for name, value in found.items()}


def _stored(engine: Engine) -> "AuthConfig":
    from docker.auth import AuthConfig, load_config

    path = _path(engine)
    return AuthConfig({}) if path is None else load_config(str(path))


def _path(engine: Engine) -> Path | None:
    folder = address.config_folder(engine.settings)
    path = folder / "config.json" if folder else None
    # a home may be another user's, of which nothing can be seen
    return path if path and os.path.isfile(path) else None  # noqa: PTH113 - Path.is_file raises there up to 3.13


def _said(error: Exception) -> str:
    return f"the credential helper failed: {' '.join(str(error).split())[:300]}"
