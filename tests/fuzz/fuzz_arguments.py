"""Arguments of every tool, as clients write them, and the powers that a container would be made with."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.fuzz.fuzz_times import standing_still
from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import schema
    from mcp_docker.errors import InvalidArguments
    from mcp_docker.registry import declared
    from mcp_docker.tool import Power, Tool
    from mcp_docker.tools.containers.create import CreateContainer

MODULES = (
    "mcp_docker.arguments",
    "mcp_docker.tools.fields",
    "mcp_docker.tools.containers.create",
    "mcp_docker.tools.containers.options",
    "mcp_docker.tools.networks.ipam",
)
TOOLS = declared()
PROPERTIES = {name: schema.input_schema(tool)["properties"] for name, tool in TOOLS.items()}
USUAL = frozenset(
    """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID
    SYS_CHROOT
    """.split()
)
"""Capabilities that every container has."""
LISTED = {
    "CapAdd": Power.CAPABILITY,
    "SecurityOpt": Power.SECURITY_OPTION,
    "Devices": Power.DEVICE,
    "Sysctls": Power.SYSCTL,
    "CgroupParent": Power.CGROUP_PARENT,
    "Runtime": Power.RUNTIME,
}
BODY = frozenset(
    """
    Image Cmd Entrypoint Env Labels ExposedPorts WorkingDir User Hostname Healthcheck Tty HostConfig NetworkingConfig
    """.split()
)
HARMLESS = frozenset(
    """
    Memory NanoCpus CpuShares AutoRemove RestartPolicy ExtraHosts Init ReadonlyRootfs CapDrop
    """.split()
)


def parsed(tool: type[Tool], arguments: Mapping[str, Any]) -> Tool | InvalidArguments:
    try:
        with standing_still():
            return tool.parse(arguments)
    except InvalidArguments as problem:
        return problem


def check(name: str, arguments: Mapping[str, Any]) -> None:
    """They fit or it is said what does not; null is absent, JSON as text is JSON, and unknown ones never pass."""
    tool, known = TOOLS[name], PROPERTIES[name]
    found = parsed(tool, arguments)
    bare = {key: value for key, value in arguments.items() if value is not None}
    again = parsed(tool, bare)
    if set(arguments) <= set(known):
        assert repr(found) == repr(again)
    refused = parsed(tool, {**arguments, "no_such_argument": 1})
    assert isinstance(refused, InvalidArguments)
    assert "'no_such_argument'" in str(refused)
    if isinstance(found, InvalidArguments):
        assert str(found).startswith(f"REFUSED [INVALID_ARGUMENTS] {name}")
        assert found.hint
        return
    as_text = {
        key: json.dumps(value)
        if isinstance(value, dict | list) and known.get(key, {}).get("type") in ("object", "array")
        else value
        for key, value in bare.items()
    }
    assert parsed(tool, as_text) == found, as_text
    seconds = found.seconds_needed()
    assert seconds is None or 0 < seconds < 86_400
    demands = {(demand.power, demand.value) for demand in found.demands()}
    assert all(isinstance(value, str) for _, value in demands)
    if isinstance(found, CreateContainer):
        sources = {value: f"/granted{value}" for power, value in demands if power is Power.HOST_MOUNT}
        body = found._body(sources)
        json.dumps(body).encode()
        asked = set(powers(body))
        assert asked <= demands, asked - demands


def powers(body: Mapping[str, Any]) -> Iterator[tuple[Power, str]]:
    """The powers over the host in a request (Engine API, ContainerCreate), whatever arguments they came from."""
    assert set(body) <= BODY
    host = {name: value for name, value in (body.get("HostConfig") or {}).items() if name not in HARMLESS}
    if host.pop("Privileged", False):
        yield Power.PRIVILEGED, "true"
    modes = [host.pop(name, "") for name in ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode")]
    for mode in (*modes, *((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})):
        if mode.lower() == "host" or ":" in mode:
            yield Power.HOST_NAMESPACE, mode
    yield from _bindings(host.pop("PortBindings", {}))
    yield from _mounts(host.pop("Mounts", []))
    for name, power in LISTED.items():
        values = host.pop(name, [])
        for value in [values] if isinstance(values, str) else values:
            # of devices, where they are on the host counts
            text = value["PathOnHost"] if isinstance(value, dict) else value
            if text.removeprefix("CAP_") not in USUAL and text != "no-new-privileges":
                yield power, text
    assert not host, f"nobody judges {host}"


def _bindings(ports: Mapping[str, list[dict[str, str]]]) -> Iterator[tuple[Power, str]]:
    for binding in (binding for bindings in ports.values() for binding in bindings):
        # a blank one would be every address of the host
        if not ipaddress.ip_address(binding["HostIp"]).is_loopback:
            yield Power.PUBLISH_ADDRESS, binding["HostIp"]


def _mounts(mounts: list[dict[str, Any]]) -> Iterator[tuple[Power, str]]:
    for mount in mounts:
        source = mount.get("Source", "")
        if mount["Type"] == "bind":
            assert source.startswith("/granted")
            yield Power.HOST_MOUNT, source.removeprefix("/granted")
        else:
            assert mount["Type"] == "volume"
            assert not set("/\\") & set(source)
            assert not source.startswith((".", "~"))


def arguments_in(lines: list[str]) -> dict[str, Any]:
    """Lines `name=value`; the value is JSON where it can be, or else text."""
    found: dict[str, Any] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if equals:
            try:
                found[name] = json.loads(value)
            except (ValueError, RecursionError):
                found[name] = value
    return found


def one(data: bytes) -> None:
    """The first line names the tool, or a part of its name; the others are arguments."""
    text = text_in(data).encode("utf-8", "replace").decode()
    first, *lines = text.split("\n")
    names = [name for name in TOOLS if first and first in name] or ["docker_create_container"]
    check(names[0], arguments_in(lines))


if __name__ == "__main__":
    fuzz(one)
