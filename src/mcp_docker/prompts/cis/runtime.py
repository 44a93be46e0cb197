"""Section 5: what a container may use, and how it is reached and kept."""

import posixpath
from collections.abc import Iterator

from mcp_docker.prompts.cis import Audited, Finding, Item, failed, judged, not_applicable, passed
from mcp_docker.prompts.inspected import number

LAST_PRIVILEGED_PORT = 1023
MOST_RETRIES = 5
DEFAULT_SHARES = (0, 1024)
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - addresses that are looked for
PODMAN_PARENTS = ("", "user.slice", "machine.slice", "system.slice", "/libpod_parent")

_NO_PORTS = "no port is published"


def _bindings(container: Audited) -> Iterator[tuple[str, str, str]]:
    """The container's port, and the address and port of the host that it is published on."""
    running = (container.found.get("NetworkSettings") or {}).get("Ports") or {}
    asked = container.host.get("PortBindings") or {}
    # a stopped container has them only as they were asked for
    for inner, places in (running if any(running.values()) else asked).items():
        for place in places or []:
            yield inner, str(place.get("HostIp") or "").strip("[]"), str(place.get("HostPort") or "")


def _no_mapping(container: Audited) -> Finding | None:
    if container.modes.get("NetworkMode", container.host.get("NetworkMode")) == "host":
        return not_applicable("it shares the host's network (5.10): ports are not mapped")
    if any(_bindings(container)):
        return None
    if container.host.get("PublishAllPorts") and container.config.get("ExposedPorts"):
        return None
    return passed(_NO_PORTS)


def _written(inner: str, address: str, port: str) -> str:
    return f"{f'[{address}]' if ':' in address else address}:{port or 'any'}->{inner}"


def _privileged_ports(container: Audited) -> Finding:
    if finding := _no_mapping(container):
        return finding
    found = [_written(*each) for each in _bindings(container) if _first(each[2]) <= LAST_PRIVILEGED_PORT]
    return judged(not found, f"Ports={', '.join(found) or 'none below 1024'}")


def _first(port: str) -> int:
    """The first of a range; the engine chooses high ones where none is asked for."""
    return number(port.partition("-")[0]) or LAST_PRIVILEGED_PORT + 1


def _needed_ports(container: Audited) -> Finding:
    if finding := _no_mapping(container):
        return finding
    found = ", ".join(_written(*each) for each in _bindings(container)) or "all exposed ones"
    return not_applicable(f"the API can't tell which are needed: Ports={found}")


def _one_interface(container: Audited) -> Finding:
    if finding := _no_mapping(container):
        return finding
    bindings = list(_bindings(container))
    found = [_written(*each) for each in bindings if each[1] in ANYWHERE]
    if not bindings:
        found = ["PublishAllPorts=true"]
    return judged(not found, f"Ports={', '.join(found or [_written(*each) for each in bindings])}")


def _sshd(container: Audited) -> Finding:
    words = [str(container.found.get("Path") or ""), *map(str, container.found.get("Args") or [])]
    if any(posixpath.basename(part) in ("sshd", "dropbear") for word in words for part in word.split()):
        return failed(f"its command is {' '.join(words)}")
    return not_applicable("the API can't tell: its command names none, but other processes may")


def _memory(container: Audited) -> Finding:
    limit = container.host.get("Memory") or 0
    return judged(limit > 0, f"Memory={limit}")


def _cpu(container: Audited) -> Finding:
    shares = container.host.get("CpuShares") or 0
    return judged(shares not in DEFAULT_SHARES, f"CpuShares={shares}")


def _read_only(container: Audited) -> Finding:
    value = bool(container.host.get("ReadonlyRootfs"))
    return judged(value, f"ReadonlyRootfs={str(value).lower()}")


def _restarts(container: Audited) -> Finding:
    policy = container.host.get("RestartPolicy") or {}
    name, retries = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    evidence = f"RestartPolicy={name}" + (f":{retries}" if retries else "")
    return judged(name == "no" or (name == "on-failure" and 0 < retries <= MOST_RETRIES), evidence)


def _ulimits(container: Audited) -> Finding:
    limits = container.host.get("Ulimits") or []
    if not limits:
        return not_applicable("the API can't tell: Ulimits has none, so the engine's defaults hold")
    told = ", ".join(f"{each.get('Name')}={each.get('Soft')}:{each.get('Hard')}" for each in limits)
    return passed(f"Ulimits={told}")


def _cgroup(container: Audited) -> Finding:
    parent = str(container.host.get("CgroupParent") or "")
    usual = PODMAN_PARENTS if container.daemon.is_podman else ("",)
    return judged(parent in usual, f"CgroupParent={parent or 'default'}")


def _health(container: Audited) -> Finding:
    test = (container.config.get("Healthcheck") or {}).get("Test") or []
    return judged(test and test[0] != "NONE", f"Config.Healthcheck.Test={' '.join(map(str, test)) or 'none'}")


def _current(container: Audited) -> Finding:
    name, image = str(container.config.get("Image") or ""), str(container.found.get("Image") or "")
    if container.tagged and container.tagged.removeprefix("sha256:") != image.removeprefix("sha256:"):
        return failed(f"{name} is another image by now; the container runs {image[:19]}")
    return not_applicable(f"the API can't tell whether the registry has a newer {name}")


def _pids(container: Audited) -> Finding:
    limit = container.host.get("PidsLimit")
    return judged((limit or 0) > 0, f"PidsLimit={'none' if limit is None else limit}")


def _bridge(container: Audited) -> Finding:
    if container.daemon.is_podman:
        return not_applicable("Podman has no docker0")
    mode = str(container.host.get("NetworkMode") or "default")
    networks = sorted((container.found.get("NetworkSettings") or {}).get("Networks") or {})
    on_it = "bridge" in networks or (not networks and mode in ("default", "bridge"))
    return judged(not on_it, f"Networks={', '.join(networks) or mode}")


_RECREATE = "Create it anew"

RUNTIME: tuple[Item[Audited], ...] = (
    Item("5.7", "No SSH daemon in the container", _sshd, "Use exec to get inside, and leave sshd out of the image."),
    Item(
        "5.8",
        "No privileged ports are mapped",
        _privileged_ports,
        f"{_RECREATE} with a host port from 1024 on, and a reverse proxy in front.",
    ),
    Item("5.9", "Only needed ports are open", _needed_ports),
    Item("5.11", "Memory is limited", _memory, f"{_RECREATE} with a memory limit somewhat above what it uses."),
    Item("5.12", "CPU priority is set", _cpu, f"{_RECREATE} with CPU shares that fit its importance."),
    Item(
        "5.13",
        "Root file system is read-only",
        _read_only,
        f"{_RECREATE} read-only, with volumes or tmpfs where it writes.",
    ),
    Item(
        "5.14",
        "Ports are bound to one interface",
        _one_interface,
        f"{_RECREATE} with its ports on one address, 127.0.0.1 if only this host uses them.",
        "ports are published on every address of the host",
    ),
    Item(
        "5.15",
        "Restarts are limited to five",
        _restarts,
        f"{_RECREATE} with restart policy on-failure:5: one that restarts for ever hides its failure.",
    ),
    Item("5.19", "Ulimits are set where needed", _ulimits),
    Item("5.25", "Cgroup is the engine's own", _cgroup, f"{_RECREATE} without cgroup-parent."),
    Item("5.27", "Health is checked", _health, f"{_RECREATE} with a health check, or add one to the image."),
    Item(
        "5.28",
        "Image is the latest of its name",
        _current,
        f"{_RECREATE} from the image that its name leads to now.",
    ),
    Item(
        "5.29",
        "Number of processes is limited",
        _pids,
        f"{_RECREATE} with a limit of processes (100 to 500 suit most).",
    ),
    Item(
        "5.30",
        "Default bridge is not used",
        _bridge,
        f"{_RECREATE} on a network made for it and those it talks to.",
    ),
)
