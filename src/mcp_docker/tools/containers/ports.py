"""Published ports, in the forms that people write."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from mcp_docker.tools.fields import text_of

LOOPBACK = "127.0.0.1"
MOST_PORTS = 128

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*|localhost|")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclass(frozen=True)
class Port:
    """A container's port, and where on the host it is published; host port 0 lets the engine choose."""

    number: int
    protocol: str
    address: str
    host: int

    @property
    def inner(self) -> str:
        return f"{self.number}/{self.protocol}"

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


def ports(value: Any) -> list[Port]:
    """Docker's port forms, and docker-py's mapping from a container's port to where it is published.

    Raises:
        ValueError: naming what does not fit, and the forms.
    """
    named: Iterator[Port]
    match value:
        case dict():
            named = (port for inner, outer in value.items() for port in _mapped(inner, outer))
        case list():
            named = (port for item in value for port in _written(item))
        case _:
            named = _written(value)
    # a short text can name many
    found = list(islice(named, MOST_PORTS + 1))
    if len(found) > MOST_PORTS:
        raise ValueError(f"these are too many ports; at most {MOST_PORTS} can be published")
    taken: set[tuple[str, str, int]] = set()
    for port in found:
        place = port.protocol, port.address, port.host
        if port.host and place in taken:
            raise ValueError(f"host port {port.address}:{port.host}/{port.protocol} is named twice")
        taken.add(place)
    return list(dict.fromkeys(found))


def _written(item: Any) -> Iterator[Port]:
    """`[address:][host port:]container port[/protocol]`; both ports may be ranges of the same length."""
    if isinstance(item, dict):
        yield from ports(item)
        return
    text = _port_text(item)
    body, _, protocol = text.partition("/")
    left, _, inner = body.rpartition(":")
    address, _, outer = left.rpartition(":")
    inners = _range(inner, text)
    outers = _range(outer, text) if outer else [0] * len(inners)
    if len(inners) != len(outers):
        raise ValueError(f"{text!r}: both ranges must have the same length")
    for number, host in zip(inners, outers, strict=True):
        yield _port(number, protocol, address, host, text)


def _mapped(inner: str, outer: Any) -> Iterator[Port]:
    """docker-py's form: {"80/tcp": 8080}, null for a random port, [address, port], or several in a list."""
    number, _, protocol = inner.partition("/")
    inners = _range(number, inner)
    match outer:
        case None:
            outers: list[Any] = [0]
        case [str(address), _] if _ADDRESS.fullmatch(address):
            outers = [outer]
        case list():
            outers = outer
        case _:
            outers = [outer]
    for each in outers:
        address, hosts = _outer(each, len(inners))
        if len(hosts) != len(inners):
            raise ValueError(f"{inner!r}: {each!r} must be a range of the same length")
        for one, host in zip(inners, hosts, strict=True):
            yield _port(one, protocol, address, host, inner)


def _outer(value: Any, length: int) -> tuple[str, list[int]]:
    """Where on the host: the address as written, and the ports."""
    match value:
        case bool():
            raise ValueError(f"{value!r} is not a port: {_FORMS}")
        case None | 0 | "":
            return "", [0] * length
        case [str(address), port]:
            return address, _outer(port, length)[1]
        case {"HostPort": port, **rest} if set(rest) <= {"HostIp"}:
            return str(rest.get("HostIp") or ""), _outer(port, length)[1]
    address, _, port = _port_text(value).rpartition(":")
    return address, _range(port, str(value)) if port else [0] * length


def _port_text(value: Any) -> str:
    if isinstance(value, bool | float):
        raise ValueError(f"{value!r} is not a port: {_FORMS}")
    return text_of(value).strip()


def _range(text: str, whole: str) -> list[int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{whole!r} is not a port: {_FORMS}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65_535:
        raise ValueError(f"{whole!r}: ports are 1 to 65535, and ranges go upwards")
    if last - first >= MOST_PORTS:
        raise ValueError(f"{whole!r}: at most {MOST_PORTS} ports can be published")
    return list(range(first, last + 1))


def _port(number: int, protocol: str, address: str, host: int, whole: str) -> Port:
    protocol = protocol.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f"{whole!r}: the protocol is tcp, udp or sctp")
    return Port(number, protocol, _address(address), host)


def _address(text: str) -> str:
    text = text.removeprefix("[").removesuffix("]")
    if text in ("", "localhost"):
        return LOOPBACK
    if "%" not in text:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            pass
    raise ValueError(f"{text!r} is not an IP address of the host: {_FORMS}")


_FORMS = 'write "8080:80", "80" (random host port), "127.0.0.1:8080:80/udp" or "8000-8010:8000-8010"'

Ports = Annotated[
    list[Port],
    BeforeValidator(ports),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]


def published(found: dict[str, Any]) -> list[str]:
    """The ports that an inspected container has on the host, as `docker ps` writes them."""
    bound = (found.get("NetworkSettings") or {}).get("Ports") or {}
    written = set()
    for inner, bindings in bound.items():
        for binding in bindings or []:
            address = binding.get("HostIp") or ""
            written.add(f"{f'[{address}]' if ':' in address else address}:{binding.get('HostPort')}->{inner}")
    return sorted(written)
