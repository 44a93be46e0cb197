"""Who is at the other end: `X-Forwarded-For` and `X-Forwarded-Proto`, beside a slower reading of the same rules."""

import ipaddress
from collections.abc import Sequence

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.http import clients

MODULES = ("mcp_docker.http.clients",)
PROXIES = ("10.0.0.0/8", "fd00::/8", "192.0.2.7")
TRUSTED = clients.networks(PROXIES)


def is_proxy(address: clients.Address) -> bool:
    return any(
        address in network for network in map(ipaddress.ip_network, PROXIES) if network.version == address.version
    )


def plain(text: str) -> clients.Address | None:
    """An address as it is compared: an IPv4 one that is written as IPv6 is the IPv4 one, and a zone does not count."""
    try:
        before = text.partition("%")[0]
        found = ipaddress.ip_address(before if ":" in before else text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def hop(text: str) -> clients.Address | None:
    """One entry: `address`, `address:port` or `[address]:port`."""
    text = text.strip(" \t")
    port = ""
    if text.startswith("["):
        inside, closed, after = text[1:].partition("]")
        if not closed or "[" in inside or ":" not in inside.partition("%")[0] or (after and after[0] != ":"):
            return None
        text, port = inside, after
    elif text.count(":") == 1:
        text, colon, digits = text.partition(":")
        port = colon + digits
    elif ":" in text and set("[]") & set(text):
        return None
    if port and not (port[1:].isascii() and port[1:].isdigit() and len(port) <= 6):
        return None
    return plain(text)


def naive(peer: str, forwarded: Sequence[str]) -> str:
    """The chain from the peer on, walked until somebody is no proxy, or can't be read."""
    at = plain(peer)
    if at is None:
        return peer or clients.UNIX
    for text in reversed([entry for header in forwarded for entry in header.split(",")]):
        nearer = hop(text) if is_proxy(at) else None
        if nearer is None:
            break
        at = nearer
    return str(at)


def check(peer: str, forwarded: Sequence[str], proto: Sequence[str]) -> None:
    """Both readings agree; what a client writes itself, to the left of what a proxy adds, changes nothing."""
    found = clients.client_address(peer, forwarded, TRUSTED)
    assert found == naive(peer, forwarded), (peer, forwarded)
    at = plain(peer)
    if at is not None:
        assert str(ipaddress.ip_address(found)) == found
    if at is None or not is_proxy(at):
        assert found == (str(at) if at else peer or clients.UNIX)
    honest = [*forwarded, "198.51.100.9"]
    assert clients.client_address("10.0.0.1", honest, TRUSTED) == "198.51.100.9"
    scheme = clients.client_scheme(peer, "http", proto, TRUSTED)
    last = proto[-1].split(",")[-1].strip().lower() if proto else ""
    assert scheme == (last if at and is_proxy(at) and last in ("http", "https") else "http")
    for text in (peer, *forwarded):
        _networks(text)


def _networks(text: str) -> None:
    try:
        (found,) = clients.networks([text])
    except ValueError as problem:
        assert repr(text.strip()) in str(problem)
        return
    same = ipaddress.ip_network(text.strip())
    if found.version == same.version:
        assert found == same
    assert clients.networks([str(found)]) == (found,)
    for end in (found.network_address, found.broadcast_address):
        # an IPv4 address is one however it is written, and so in no network of IPv6
        if isinstance(end, ipaddress.IPv4Address) or end.ipv4_mapped is None:
            assert clients.allowed(str(end), [found])


def one(data: bytes) -> None:
    peer, *headers = data.decode("latin-1").split("\n")
    forwarded = [line.removeprefix("F:") for line in headers if line.startswith("F:")]
    proto = [line.removeprefix("P:") for line in headers if line.startswith("P:")]
    check(peer, forwarded, proto)
    check(text_in(data), [], [])


if __name__ == "__main__":
    fuzz(one)
