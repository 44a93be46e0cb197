"""Who is at the other end: addresses, and what trusted proxies say about them.

Only `X-Forwarded-For` and `X-Forwarded-Proto` are heeded, and only from trusted proxies. `Forwarded`,
`X-Real-IP` and `X-Forwarded-Host` never are: a proxy that sets one rarely clears the others, so that a client could
choose which to forge. The server below must leave these headers alone (uvicorn: `proxy_headers=False`).
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""The address of a peer that has none. No network holds it: it is trusted as a proxy nowhere, and on no list."""

_HOP = re.compile(r"\[([^\[\]]*)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+(?:%[^\[\]]*)?)")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks written as CIDR, or as single addresses. Raises ValueError if one can't be read."""
    return tuple(_network(text.strip()) for text in texts)


def allowed(address: str, among: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    parsed = _parsed(address)
    return parsed is not None and _within(parsed, among)


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The right-most hop that is no trusted proxy, as an address without port or zone.

    Args:
        peer: the other end of the connection; None for a Unix socket.
        forwarded_for: every `X-Forwarded-For` header, in order.
        trusted: the proxies that are believed.

    What can't be read ends the search: the last hop to its right is as far as anybody trusted has seen.
    """
    current = _parsed(peer or "")
    if current is None:
        return peer or UNIX
    hops = ",".join(forwarded_for).split(",") if forwarded_for else []
    while hops and _within(current, trusted):
        hop = _hop(hops.pop())
        if hop is None:
            break
        current = hop
    return str(current)


def client_scheme(peer: str | None, scheme: str, forwarded_proto: Sequence[str], trusted: Sequence[Network]) -> str:
    """`http` or `https`, as the nearest proxy says if it is trusted, or else as the connection is."""
    said = ",".join(forwarded_proto).rpartition(",")[2].strip().lower()
    return said if said in ("http", "https") and allowed(peer or "", trusted) else scheme


def seen(scope: Mapping[str, Any], trusted: Sequence[Network]) -> tuple[str, str]:
    """Address and scheme of the client of an ASGI scope."""
    peer = scope["client"][0] if scope.get("client") else None
    address = client_address(peer, header(scope, b"x-forwarded-for"), trusted)
    return address, client_scheme(peer, scope["scheme"], header(scope, b"x-forwarded-proto"), trusted)


def header(scope: Mapping[str, Any], name: bytes) -> list[str]:
    """The values of every header of this name, in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _hop(text: str) -> Address | None:
    match = _HOP.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    bracketed, four, six = match.groups()
    if bracketed is not None and ":" not in bracketed:
        return None
    return _parsed(bracketed or four or six)


def _parsed(text: str) -> Address | None:
    address, percent, _zone = text.partition("%")
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return None if percent else found
    return found.ipv4_mapped or found


def _within(address: Address, among: Sequence[Network]) -> bool:
    return any(address.version == one.version and address in one for one in among)


def _network(text: str) -> Network:
    if "%" in text:
        raise ValueError(f"{text!r}: a network has no zone")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is no address or network, as 10.0.0.0/8 or fd00::/8") from None
        raise ValueError(f"{text!r} has bits set beyond its prefix: did you mean {meant}?") from None
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        mapped = found.network_address.ipv4_mapped
        assert mapped is not None  # noqa: S101 - the network is a mapped one
        return ipaddress.IPv4Network((mapped, found.prefixlen - 96))
    return found
