"""Section 5: what separates a container from the host and from others."""

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mcp_docker.prompts.cis import PRIVILEGED, Audited, Finding, Item, by_hand, failed, judged, not_applicable, passed
from mcp_docker.tools.containers.options import DEFAULT_CAPABILITIES

SENSITIVE = frozenset("/boot /dev /etc /lib /proc /sys /usr /bin /sbin /lib32 /lib64 /root".split())
"""Folders of the host that a container has no business in, with all that is below."""

HARMLESS = ("/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo")
"""What containers often get, read-only, to know the time zone: the first is mostly a link into the last."""

SOCKETS = frozenset({"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "docker_engine"})
HOLDERS = frozenset({"/", "/run", "/var", "/var/run"})
"""Folders that hold an engine's socket at its usual place."""

_DESKTOP = "/host_mnt"
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")


def _apparmor(container: Audited) -> Finding:
    if "apparmor" not in container.daemon.features:
        return not_applicable("the engine has no AppArmor (SecurityOptions)")
    if container.privileged:
        return failed(f"{PRIVILEGED}, which runs unconfined")
    asked, profile = container.options.get("apparmor"), str(container.found.get("AppArmorProfile") or "")
    if "unconfined" in (asked, profile):
        return failed("the AppArmor profile is unconfined")
    if not profile and (container.found.get("State") or {}).get("Status") == "created":
        # the engine's own profile is put in place when it starts
        return passed(f"AppArmor={asked or 'the default'} at its first start")
    return judged(profile, f"AppArmorProfile={profile or 'none'}")


def _selinux(container: Audited) -> Finding:
    if "selinux" not in container.daemon.features:
        return not_applicable("the engine has no SELinux (SecurityOptions)")
    if container.privileged:
        return failed(f"{PRIVILEGED}, which switches labels off")
    asked, label = container.options.get("label", ""), container.found.get("ProcessLabel") or ""
    if "disable" in asked.split(","):
        return failed("SecurityOpt=label=disable")
    return judged(label or asked, f"ProcessLabel={label or asked or 'none'}")


def _capabilities(container: Audited) -> Finding:
    if container.privileged:
        return failed(f"{PRIVILEGED}, which has them all")
    added, dropped = (_names(container.host.get(name)) for name in ("CapAdd", "CapDrop"))
    beyond = sorted(set(added) - DEFAULT_CAPABILITIES)
    return judged(not beyond, f"CapAdd={', '.join(added) or 'none'}; CapDrop={', '.join(dropped) or 'none'}")


def _names(capabilities: list[str] | None) -> list[str]:
    return sorted(str(name).upper().removeprefix("CAP_") for name in capabilities or [])


def _privileged(container: Audited) -> Finding:
    return failed(PRIVILEGED) if container.privileged else passed("Privileged=false")


def _host_paths(container: Audited) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each path of the host that is mounted, normal; what to say of it; and the mount."""
    for mount in container.found.get("Mounts") or []:
        end = f"{mount.get('Destination')} ({'read-write' if mount.get('RW', True) else 'read-only'})"
        if mount.get("Type") in ("bind", "npipe"):
            source = str(mount.get("Source") or "").replace("\\", "/")
            path = _normal(source.removeprefix(_DESKTOP) if source.startswith(_DESKTOP + "/") else source)
            yield path, f"{source} at {end}", mount
            if path in container.links:
                yield container.links[path], f"{source}, which leads to {container.links[path]}, at {end}", mount
        for path in container.hidden.get(str(mount.get("Name") or ""), ()):
            yield _normal(path), f"{path} at {end}, by a volume", mount


def _normal(path: str) -> str:
    # two slashes at the beginning stay two by POSIX
    return posixpath.normpath("/" + path.lstrip("/"))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _sensitive(container: Audited) -> Finding:
    root = _normal(str(container.daemon.info.get("DockerRootDir") or "/var/lib/docker"))
    found = [
        said
        for path, said, mount in _host_paths(container)
        if any(_within(path, folder) or _within(folder, path) for folder in {*SENSITIVE, root})
        and (mount.get("RW", True) or not any(_within(path, place) for place in HARMLESS))
    ]
    return judged(not found, f"Mounts={'; '.join(found) or 'none of them'}")


def _socket(container: Audited) -> Finding:
    ours = container.daemon.address.removeprefix("unix://")
    found = [
        said
        for path, said, mount in _host_paths(container)
        if SOCKETS & {posixpath.basename(path), posixpath.basename(str(mount.get("Destination")))}
        or path in HOLDERS
        or (ours.startswith("/") and _within(_normal(ours), path))
    ]
    return judged(not found, f"Mounts={'; '.join(found) or 'no socket of an engine'}")


def _propagation(container: Audited) -> Finding:
    found = [
        f"{mount.get('Destination')}: {mount.get('Propagation')}"
        for mount in container.found.get("Mounts") or []
        if mount.get("Propagation") in ("shared", "rshared")
    ]
    return judged(not found, f"Mounts[].Propagation: {'; '.join(found) or 'none shared'}")


def _own(field: str) -> Callable[[Audited], Finding]:
    """The check that a namespace is not the host's."""

    def check(container: Audited) -> Finding:
        written = str(container.host.get(field) or "")
        mode = container.modes.get(field, written)
        through = "" if mode == written else f", which leads to {mode}"
        return judged(mode != "host", f"{field}={written or 'default'}{through}")

    return check


def _devices(container: Audited) -> Finding:
    if container.privileged:
        return failed(f"{PRIVILEGED}, which has them all")
    host = container.host
    found = [str(device.get("PathOnHost")) for device in host.get("Devices") or []]
    found += [f"request of {request.get('Driver') or 'any driver'}" for request in host.get("DeviceRequests") or []]
    found += [f"rule {rule}" for rule in host.get("DeviceCgroupRules") or []]
    return judged(not found, f"Devices={'; '.join(found) or 'none'}")


def _seccomp(container: Audited) -> Finding:
    if container.privileged:
        return failed(f"{PRIVILEGED}, which runs unconfined")
    profile = container.options.get("seccomp", "")
    if profile == "unconfined" or _allows_all(profile):
        return failed(f"SecurityOpt=seccomp={profile}")
    if profile:
        return passed(f"SecurityOpt=seccomp={profile}")
    if (default := container.daemon.features.get("seccomp")) is None:
        return not_applicable("the engine tells of no seccomp (SecurityOptions)")
    return judged(
        default != "unconfined", f"SecurityOpt has no seccomp; the engine's profile is {default or 'default'}"
    )


def _allows_all(profile: str) -> bool:
    """Whether a profile filters nothing: it is sent along as JSON."""
    try:
        rules = json.loads(profile)
    except ValueError:
        return False
    if not isinstance(rules, dict):
        return False
    return rules.get("defaultAction") in _PERMISSIVE and not rules.get("syscalls")


def _no_new_privileges(container: Audited) -> Finding:
    asked = container.options.get("no-new-privileges")
    if asked is None:
        return judged(
            "no-new-privileges" in container.daemon.features,
            "SecurityOpt has no no-new-privileges; "
            + (
                "the engine sets it"
                if "no-new-privileges" in container.daemon.features
                else "nor does the engine set it"
            ),
        )
    return judged(asked.lower() in ("", "true", "1"), f"SecurityOpt=no-new-privileges{asked and ':'}{asked}")


def _user_namespace(container: Audited) -> Finding:
    mode = str(container.host.get("UsernsMode") or "")
    remapped = {"userns", "rootless"} & set(container.daemon.features)
    more = "" if remapped or container.daemon.is_podman else "; the engine remaps nobody (2.9)"
    return judged(mode != "host", f"UsernsMode={mode or 'default'}{more}")


_RECREATE = "Create it anew"

ISOLATION: tuple[Item[Audited], ...] = (
    Item("5.2", "AppArmor profile is enabled", _apparmor, f"{_RECREATE} without apparmor=unconfined."),
    Item("5.3", "SELinux options are set", _selinux, f"{_RECREATE} without label=disable."),
    Item(
        "5.4",
        "Capabilities are restricted",
        _capabilities,
        f"{_RECREATE} with all capabilities dropped and only those added that it fails without.",
        "it has capabilities beyond the usual ones",
    ),
    Item(
        "5.5",
        "Container is not privileged",
        _privileged,
        f"{_RECREATE} without privileged; give it the single device or capability that it needs.",
        "it is privileged, which is as good as root on the host",
    ),
    Item(
        "5.6",
        "No sensitive folders of the host are mounted",
        _sensitive,
        f"{_RECREATE} with a named volume, or with only the subfolder that it needs, read-only.",
        "it has folders of the host that belong to the system",
    ),
    Item(
        "5.10",
        "Host's network namespace is not shared",
        _own("NetworkMode"),
        f"{_RECREATE} on a network of its own, and publish the ports that are needed.",
        "it shares the host's network, with all that listens on the host's loopback",
    ),
    Item(
        "5.16",
        "Host's process namespace is not shared",
        _own("PidMode"),
        f"{_RECREATE} without pid=host.",
        "it sees, and as root can reach into, every process of the host",
    ),
    Item(
        "5.17",
        "Host's IPC namespace is not shared",
        _own("IpcMode"),
        f"{_RECREATE} without ipc=host; a larger shm-size is often what was wanted.",
        "it shares the host's shared memory",
    ),
    Item(
        "5.18",
        "Host devices are not exposed",
        _devices,
        f"{_RECREATE} without devices, or with the one it needs and the least access to it (r, not rwm).",
        "devices of the host are its own to use",
    ),
    Item(
        "5.20",
        "Mounts are not shared back",
        _propagation,
        f"{_RECREATE} with the mounts private, or rslave: with shared, its mounts appear on the host.",
    ),
    Item("5.21", "Host's UTS namespace is not shared", _own("UTSMode"), f"{_RECREATE} without uts=host."),
    Item(
        "5.22",
        "Seccomp is not disabled",
        _seccomp,
        f"{_RECREATE} without seccomp=unconfined, or with a profile of its own.",
        "every system call is open to it",
    ),
    Item("5.23", "Exec is not privileged", by_hand("the engine keeps no record of it; see the host's audit log")),
    Item("5.24", "Exec is not as root", by_hand("the engine keeps no record of it; see the host's audit log")),
    Item(
        "5.26",
        "No new privileges can be acquired",
        _no_new_privileges,
        f"{_RECREATE} with the security option no-new-privileges.",
    ),
    Item(
        "5.31",
        "Host's user namespace is not shared",
        _user_namespace,
        f"{_RECREATE} without userns=host.",
        "its root is the host's root, against the engine's remapping",
    ),
    Item(
        "5.32",
        "Engine's socket is not mounted",
        _socket,
        f"{_RECREATE} without the socket, or put a proxy in between that lets only reading pass.",
        "it has the engine's socket, and who reaches that is root on the host",
    ),
)
