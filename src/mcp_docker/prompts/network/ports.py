"""Which published ports answer: a TCP connection to each, and nothing is sent."""

import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mcp_docker.engine import CallScope, own
from mcp_docker.prompts.inspected import number
from mcp_docker.prompts.network import Side
from mcp_docker.tool import Context

LAST_PORT = 65_535
MOST_PORTS = 32
CONNECT_SECONDS = 1.0
LISTEN_SECONDS = 0.3
"""How long to wait for the engine's proxy to hang up: it accepts by itself, and only then finds nobody inside."""

ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses that are told, not bound


class Outcome(StrEnum):
    """What a connection came to."""

    ANSWERS = "accepts connections"
    CLOSES = "accepts, and closes at once: so does the engine's proxy when nothing listens in the container"
    REFUSED = "refuses connections"
    SILENT = "does not answer within 1 s"
    ELSEWHERE = "not tried: it is no address of this machine"


@dataclass(frozen=True)
class Published:
    """A port of a container on an address of the host."""

    inner: str
    address: str
    port: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address or '0.0.0.0'}:{self.port}"  # noqa: S104 - told, not bound

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False


def published(side: Side) -> list[Published]:
    return [each for inner, places in side.ports.items() for place in places if (each := _published(inner, place))]


def _published(inner: str, place: Mapping[str, Any]) -> Published | None:
    port = number(str(place.get("HostPort") or "")) or 0
    return Published(inner, str(place.get("HostIp") or ""), port) if 0 < port <= LAST_PORT else None


def why_not_tried(ctx: Context) -> str:
    """Empty where ports can be tried from here."""
    if not ctx.at_hand:
        return "Ports were not tried, since the caller is not at the machine of this server."
    if not own.is_here(ctx.engine):
        return "Ports were not tried, since the engine is on another machine, or this server in a container."
    return ""


def tried(ctx: Context, ports: list[Published]) -> dict[Published, Outcome]:
    """Connect to the first of the TCP ports, all at once."""
    todo = [port for port in ports if port.inner.endswith("/tcp")][:MOST_PORTS]
    if todo:
        ctx.progress(1, 2, f"trying {len(todo)} published ports")
    return dict(zip(todo, ctx.gather(_outcome, todo), strict=True))


def _outcome(port: Published) -> Outcome:
    scope = CallScope.current()
    address = ANYWHERE.get(port.address, port.address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
        scope.hold(sock)
        try:
            return _connection(sock, address, port.port)
        finally:
            scope.release(sock)
            scope.check()


def _connection(sock: socket.socket, address: str, port: int) -> Outcome:
    try:
        # only an address of this machine can be bound: the engine may have been told another
        sock.bind((address, 0))
    except OSError:
        return Outcome.ELSEWHERE
    connected = False
    try:
        sock.settimeout(CONNECT_SECONDS)
        sock.connect((address, port))
        connected = True
        sock.settimeout(LISTEN_SECONDS)
        return Outcome.ANSWERS if sock.recv(1) else Outcome.CLOSES
    except TimeoutError:
        return Outcome.ANSWERS if connected else Outcome.SILENT
    except OSError as error:
        # who hangs up at once may do so before we know that we are connected
        return Outcome.CLOSES if connected or isinstance(error, ConnectionResetError) else Outcome.REFUSED
