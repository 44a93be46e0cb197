"""Spellings of published ports and of volumes, beside docker-py's parser and a splitting at colons."""

import ipaddress
import json
import posixpath
from typing import Any

from docker.utils.ports import split_port

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.tools.containers.mounts import MOST_VOLUMES, mounts
    from mcp_docker.tools.containers.ports import LOOPBACK, MOST_PORTS, Port, ports

MODULES = ("mcp_docker.tools.containers.ports", "mcp_docker.tools.containers.mounts")


def check_ports(value: Any) -> None:
    """Ports are ports, and on loopback unless an address is written; docker-py reads the same of what it reads."""
    try:
        found = ports(value)
    except ValueError as problem:
        assert str(problem)
        return
    assert len(found) == len(set(found)) <= MOST_PORTS
    for port in found:
        assert 1 <= port.number <= 65_535
        assert 0 <= port.host <= 65_535
        assert port.protocol in ("tcp", "udp", "sctp")
        assert str(ipaddress.ip_address(port.address)) == port.address
    taken = [(port.protocol, port.address, port.host) for port in found if port.host]
    assert len(taken) == len(set(taken))
    for port in found:
        outer = str(port.host) if port.host else ""
        address = f"[{port.address}]" if ":" in port.address else port.address
        assert ports(f"{address}:{outer}:{port.inner}") == [port]
        assert ports({port.inner: (port.address, port.host or None)}) == [port]
    if isinstance(value, str):
        _as_docker_py(value.strip(), found)
        assert ports([value]) == found


def _as_docker_py(text: str, found: list[Port]) -> None:
    try:
        inner, outer = split_port(text)
    except ValueError:
        return
    outers = outer or [None] * len(inner)
    pairs = [each if isinstance(each, tuple) else (None, each) for each in outers]
    expected = set()
    for name, (address, host) in zip(inner, pairs, strict=True):
        number, _, protocol = str(name).partition("/")
        # it leaves a range to the engine where a single port may be any of it, which is refused here
        first, _, last = str(host or 0).partition("-")
        assert int(first) == int(last or first), text
        where = str(ipaddress.ip_address(address)) if address else LOOPBACK
        expected.add(Port(int(number), protocol or "tcp", where, int(first)))
    assert set(found) == expected, text


def check_volumes(value: Any) -> None:
    """Targets are absolute and plain; what is the host's is read-only unless `rw` is written; a colon parts."""
    try:
        found = mounts(value)
    except ValueError as problem:
        assert str(problem)
        return
    assert len(found) <= MOST_VOLUMES
    assert len({mount.target for mount in found}) == len(found)
    for mount in found:
        assert posixpath.isabs(mount.target)
        assert mount.target != "/"
        assert posixpath.normpath(mount.target) == mount.target
        body = mount.body(mount.source)
        host = any(mark in mount.source for mark in "/\\") or mount.source[:1] in (".", "~") if mount.source else False
        assert mount.is_host_path is host
        assert body["Type"] == ("bind" if host else "volume")
        assert body["Target"] == mount.target
        assert body["ReadOnly"] is mount.read_only
        assert body.get("Source", "") == mount.source
    if isinstance(value, str) and not (value[1:2] == ":" and value[2:3] in ("/", "\\")):
        (mount,) = found
        source, target, mode = ["", value, ""] if ":" not in value else [*value.split(":"), ""][:3]
        assert mount.source == source
        assert posixpath.normpath("/" + target.lstrip("/")) == mount.target
        modes = set(mode.split(","))
        assert mount.read_only is ("ro" in modes or (mount.is_host_path and "rw" not in modes))
        assert mount.copy is ("nocopy" not in modes)
        assert mounts([value]) == found
        if source:
            assert mounts({source: {"bind": target, "mode": mode}}) == found


def one(data: bytes) -> None:
    text = text_in(data[1:])
    check = check_volumes if data[:1] == b"v" else check_ports
    check(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text.split("\n")
    check(value)


if __name__ == "__main__":
    fuzz(one)
