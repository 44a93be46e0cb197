"""Paths of the host that a container may mount, and volume options, decided a second time with `os.path` alone."""

import atexit
import functools
import os
import posixpath
import shutil
import socket
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import policy
    from mcp_docker.engine import Connected, Engine, own
    from mcp_docker.engine.address import Endpoint
    from mcp_docker.errors import InvalidArguments, NotPermitted
    from mcp_docker.policy import mounts
    from mcp_docker.settings import Settings
    from mcp_docker.tools.volumes import CreateVolume

MODULES = ("mcp_docker.policy.mounts",)
ROOTS = ("root", "link-to-root", "root/deep", "home", "all/../root")
ALLOWED_OPTIONS = ("size", "type=tmpfs", "device=tmpfs")
VOLUME_SETTINGS = Settings(safety_allowed_volume_options=ALLOWED_OPTIONS, safety_allowed_volume_drivers=("nfs",))


def _tree() -> str:
    """Folders, files, links and a socket to ask for."""
    tree = os.path.realpath(tempfile.mkdtemp(prefix="mcp-docker-fuzz-"))
    atexit.register(shutil.rmtree, tree, ignore_errors=True)
    base = Path(tree)
    for folder in ("root/site", "root/deep/a/b", "root-evil", "outside/secret", "root/app/.ssh", "home/.docker", "all"):
        (base / folder).mkdir(parents=True)
    for file in ("root/page", "outside/key", "root/app/.ssh/id", "home/.netrc"):
        (base / file).write_text("x")
    for link, target in {
        "link-to-root": "root",
        "root/link-in": "site",
        "root/link-out": "../outside",
        "root/link-etc": "/etc",
        "root/link-root": "/",
        "root/link-evil": "../root-evil",
        "root/loop": "loop",
        "root/deep/up": "../..",
        "root/gone": "nowhere",
        "root/proc": "/proc/self/root",
    }.items():
        (base / link).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(base / "root", os.O_PATH)
        sock.bind(f"/proc/self/fd/{here}/sock")
        os.close(here)
    os.mkfifo(base / "root/fifo")
    return tree


TREE = _tree()


def engine(address: str, settings: Settings) -> Engine:
    """An engine at this address, which nobody ever asks."""
    found = Engine(settings)
    connected = Connected(Endpoint(address, "test"), cast("Any", None), {})
    vars(connected)["info"] = {"DockerRootDir": f"{TREE}/root/deep/data"}
    found._connected = connected
    return found


def inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def forbidden(path: str, *, real: bool) -> bool:
    """Whether it is in, or holds, a place that is never mounted."""
    places = {*mounts.SYSTEM, f"{TREE}/root/deep/data", "/nowhere/docker.sock"}
    if real:
        places |= {os.path.realpath(place) for place in places}
    if any(inside(path, place) or inside(place, path) for place in places):
        return True
    lowered = f"{path.lower()}/"
    return any(f"/{name}/" in lowered for name in mounts.CREDENTIALS)


def allowed_here(path: str, roots: Sequence[str]) -> str | None:
    """The path to mount where the engine's file system is ours; None where it may not be."""
    if not os.path.isabs(path) or "\0" in path:
        return None
    try:
        real = os.path.realpath(path, strict=True)
        mode = os.stat(real).st_mode  # a file is itself with "/." behind it, as it is for the engine
        real.encode()
    except (OSError, ValueError):
        return None
    below = any(os.path.realpath(root) != "/" and inside(real, os.path.realpath(root)) for root in roots)
    kind = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
    if not below or not kind or forbidden(real, real=True):
        return None
    holds = any(os.path.lexists(os.path.join(real, name)) for name in mounts.CREDENTIALS)
    return None if holds or inside(f"{TREE}/home", real) else real


def allowed_there(path: str, roots: Sequence[str]) -> str | None:
    """The same where only texts can be compared."""
    plain = path.startswith("/") and not path.startswith("//") and posixpath.normpath(path) == path
    below = any(inside(path, posixpath.normpath(root)) for root in roots)
    return path if plain and below and not forbidden(path, real=False) else None


@functools.cache
def _settings(roots: tuple[str, ...]) -> Settings:
    return Settings(safety_volume_mount_allowlist=roots)


def check_path(path: str, chosen: int) -> None:
    """Granted is what both find to be allowed, as it resolves; everything else is refused by name."""
    roots = [f"{TREE}/{root}" for number, root in enumerate(ROOTS) if chosen >> number & 1]
    for address, written in (("unix:///nowhere/docker.sock", roots), ("tcp://192.0.2.1:2375", ["/srv/data", TREE])):
        local = address.startswith("unix")
        settings = _settings(tuple(written if local else [f"engine:{root}" for root in written]))
        expected = allowed_here(path, written) if local else allowed_there(path, written)
        with (
            mock.patch.object(own, "in_container", return_value=False),
            mock.patch.dict(os.environ, {"HOME": f"{TREE}/home"}),
        ):
            try:
                granted = mounts.source(settings, path, engine(address, settings))
            except NotPermitted as refused:
                assert repr(path) in str(refused) or repr(os.path.realpath(path)) in str(refused)
                assert expected is None, (path, expected, str(refused))
            else:
                assert granted == expected, (path, granted, expected)


def check_options(options: dict[str, str], driver: str) -> None:
    """Options pass only if the operator named each of them; drivers likewise."""
    settings = VOLUME_SETTINGS
    try:
        tool = CreateVolume.parse({"name": "data", "driver": driver, "driver_opts": options})
    except InvalidArguments:
        return
    fine = driver in ("local", "nfs") and all(
        name in ALLOWED_OPTIONS or f"{name}={value}" in ALLOWED_OPTIONS for name, value in options.items()
    )
    try:
        policy.permit(tool.demands(), settings, engine("unix:///nowhere/docker.sock", settings))
    except NotPermitted as refused:
        assert not fine, str(refused)
    else:
        assert fine, (driver, options)


def one(data: bytes) -> None:
    text = text_in(data[1:])
    first, *lines = text.replace("$TREE", TREE).split("\n")
    check_path(first, data[0] if data else 0)
    if lines:
        pairs = (line.partition("=") for line in lines[1:])
        check_options({name: value for name, equals, value in pairs if equals}, lines[0] or "local")


if __name__ == "__main__":
    fuzz(one)
