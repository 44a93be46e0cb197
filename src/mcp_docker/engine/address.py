"""Where the engine is: the operator's setting, Docker's own environment and contexts, the usual sockets."""

import hashlib
import json
import os
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcp_docker.settings import Settings


@dataclass(frozen=True)
class Tls:
    """Files of a TLS client; `verify` checks the engine's certificate."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    verify: bool

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError among them) for files that can't be used."""
        for file in filter(None, (self.ca, self.cert, self.key)):
            file.open("rb").close()  # its error names the file, which ssl's does not
        context = ssl.create_default_context(cafile=self.ca)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(frozen=True)
class Endpoint:
    """An address where an engine may answer, and the rule that named it."""

    address: str
    rule: str
    tls: Tls | None = None


class BadContext(Exception):
    """A Docker context that is named but can't be read."""


def endpoints(settings: Settings) -> list[Endpoint]:
    """Places to try, in order. One that somebody named is the only one; the usual sockets are tried in turn.

    Raises:
        BadContext: the current Docker context can't be read.
    """
    return list(_named(settings)) or [Endpoint(address, f"usual place of {whose}") for address, whose in _usual()]


def _named(settings: Settings) -> Iterator[Endpoint]:
    """The place that somebody named, if anybody did."""
    if settings.docker_base_url:
        yield Endpoint(settings.docker_base_url, "DOCKER_BASE_URL", _tls(settings))
    elif settings.docker_host:
        yield Endpoint(settings.docker_host, "DOCKER_HOST", _tls(settings))
    elif context := _context(settings):
        yield context


def sockets(settings: Settings) -> list[str]:
    """Paths where engines and their runtimes listen on this machine, whether or not they do now."""
    named = [endpoint.address for endpoint in _named(settings)]
    usual = [address for address, _ in _usual()]
    runtimes = ["/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/podman/podman.sock"]
    return [path for each in named + usual if (path := each.partition("://")[2]).startswith("/")] + runtimes


def remedy(*, permitted: bool = True, usable: bool = True) -> str:
    """What to do on this platform when no engine is found, or the one that is there may not be used by this user.

    Args:
        permitted: not, where the engine's socket is another's.
        usable: not, where a file or program is missing that the connection needs.
    """
    if not usable:
        return (
            "have that certificate, key or ssh program where the user who runs this server can use it, or correct the "
            "settings that name it (DOCKER_CERT_PATH, DOCKER_TLS_*); then call again"
        )
    if not permitted and sys.platform == "linux":
        return (
            "let the user who runs this server use the socket: with rootless Docker, or by the group that owns it, "
            'which is as good as root ("sudo usermod --append --groups docker $USER", then log out and in)'
        )
    start = {
        "darwin": "start Docker Desktop, OrbStack, Colima or Rancher Desktop",
        "win32": "start Docker Desktop, and in its settings keep the Linux engine's named pipe on",
    }.get(
        sys.platform,
        'start the engine ("sudo systemctl start docker", or "systemctl --user start docker" if rootless)',
    )
    return f"{start}, or set DOCKER_HOST to where it listens; then call again, no restart is needed"


def _tls(settings: Settings) -> Tls | None:
    folder = settings.docker_cert_path
    ca, cert, key = (
        settings.docker_tls_ca_cert,
        settings.docker_tls_client_cert,
        settings.docker_tls_client_key,
    )
    if folder is not None and settings.docker_tls_verify:
        ca, cert, key = ca or folder / "ca.pem", cert or folder / "cert.pem", key or folder / "key.pem"
    if settings.docker_tls_verify or ca or cert:
        return Tls(ca, cert, key, settings.docker_tls_verify or ca is not None)
    return None


def home() -> Path | None:
    """The home of the user who runs this; None for one who has none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def config_folder(settings: Settings) -> Path | None:
    """Docker's own folder of configuration; None if nobody named it and there is no home."""
    if settings.docker_config is not None:
        return settings.docker_config
    at = home()
    return None if at is None else at / ".docker"


def _context(settings: Settings) -> Endpoint | None:
    folder = config_folder(settings)
    name = settings.docker_context or (_current_context(folder) if folder else "")
    if name in ("", "default"):
        return None
    if folder is None:
        raise BadContext(f"Docker context {name!r} can't be read (there is no home folder, and no DOCKER_CONFIG)")
    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text(encoding="utf-8"))
        docker = meta["Endpoints"]["docker"]
        address = docker["Host"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadContext(f"Docker context {name!r} can't be read ({type(error).__name__})") from None
    files = folder / "contexts" / "tls" / digest / "docker"
    tls = None
    if files.is_dir():
        ca, cert, key = (
            path if path.exists() else None for path in (files / "ca.pem", files / "cert.pem", files / "key.pem")
        )
        tls = Tls(ca, cert, key, verify=not docker.get("SkipTLSVerify", False))
    return Endpoint(address, f"Docker context {name!r}", tls)


def _current_context(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _usual() -> Iterator[tuple[str, str]]:
    if sys.platform == "win32":
        yield "npipe:////./pipe/docker_engine", "Docker Desktop or Docker Engine"
        yield "npipe:////./pipe/dockerDesktopLinuxEngine", "Docker Desktop"
        yield "npipe:////./pipe/podman-machine-default", "Podman"
        return
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    at = home()
    for folder, path, whose in (
        (Path("/"), "var/run/docker.sock", "Docker Engine"),
        (runtime, "docker.sock", "rootless Docker"),
        (at, ".docker/run/docker.sock", "Docker Desktop"),
        (at, ".docker/desktop/docker.sock", "Docker Desktop on Linux"),
        (at, ".colima/default/docker.sock", "Colima"),
        (at, ".config/colima/default/docker.sock", "Colima"),
        (at, ".orbstack/run/docker.sock", "OrbStack"),
        (at, ".rd/docker.sock", "Rancher Desktop"),
        (runtime, "podman/podman.sock", "rootless Podman"),
        (at, ".local/share/containers/podman/machine/podman.sock", "Podman machine"),
        (Path("/"), "run/podman/podman.sock", "Podman"),
    ):
        if folder is not None:
            yield f"unix://{folder / path}", whose
