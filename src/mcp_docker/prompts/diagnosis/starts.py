"""Why a container could not be started: the words that engines and runtimes leave in State.Error."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcp_docker.prompts.diagnosis.facts import OTHER_MODES, Facts
from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight
from mcp_docker.prompts.inspected import PROJECT, SERVICE
from mcp_docker.tools.containers.read import container_name

_WRAPPERS = re.compile(
    r"^.*(unable to start container process|oci runtime create failed|(runc|crun) create failed"
    r"|failed to create task for container|failed to set up container networking|error during container init): "
)

# in this order: the narrower words decide, and paths of strangers are in all of them
_ERRORS: tuple[tuple[Cause, str], ...] = (
    (
        Cause.COMMAND_MISSING,
        r"executable file .*not found|^(exec|crun): .*no such file or directory|no command specified",
    ),
    (Cause.EXEC_FORMAT, r"^(exec|crun).*exec format error"),
    (Cause.NOT_EXECUTABLE, r"^(exec|crun|runc): (exec|open executable|.*\").*(permission denied|is a directory)"),
    (Cause.INTERPRETER_MISSING, r"^exec /\S+: no such file or directory|missing dynamic library|bad interpreter"),
    (Cause.OUT_OF_MEMORY, r"oom-killed|memory limit too low|minimum memory limit"),
    (Cause.FILES_USED_UP, r"too many open files"),
    (Cause.DISK_FULL, r"no space left on device|disk quota exceeded"),
    (Cause.PROCESSES_USED_UP, r"resource temporarily unavailable|pids\.max|can't fork"),
    (Cause.PORT_PRIVILEGED, r"(listen|bind|expose|\bport\b).*permission denied|cannot expose privileged port"),
    (Cause.ADDRESS_NOT_HERE, r"cannot assign requested address"),
    (
        Cause.PORT_TAKEN,
        r"port is already allocated|(listen|bind|port).*(address already in use|only one usage)"
        r"|ports are not available|port.*already in use",
    ),
    (Cause.ADDRESS_TAKEN, r"address already in use|requested (ip )?address.*(not available|allocated)"),
    (Cause.PEER_DOWN, r"link to a non running"),
    (
        Cause.NAMESPACE_GONE,
        r"cannot join (network|ipc|pid)\b|joining .*namespace|non running container"
        r"|(network|ipc|pid) namespace.*no such container|no such container",
    ),
    (Cause.NETWORK_GONE, r"network \S+ not found|could not find.*network|no such network|network not found"),
    (Cause.LOG_DRIVER, r"logging driver|log driver|log-opt"),
    (Cause.DEVICE_MISSING, r"device information|select device driver|no such device|nvidia|cdi device|/dev/"),
    (
        Cause.RUNTIME_MISSING,
        r"(unknown|invalid) runtime|runtime .*not found|docker-init|exec \S*(runc|crun)\S*: no",
    ),
    (Cause.USER_MISSING, r"unable to find (user|group)|no matching entries in|no such (user|group)|no users found"),
    (
        Cause.WORKING_DIRECTORY,
        r"chdir|cwd|working director|mkdir \S+: (not a directory|file exists)|cannot mkdir",
    ),
    (Cause.MOUNT_KIND, r"trying to mount a directory onto a file|mount.*(not a directory|is a directory)"),
    (
        Cause.MOUNT_TARGET,
        r"cannot be mounted because it is inside /proc|mount.*read-only file system|(mkdirat|openat).*read-only",
    ),
    (Cause.LIMIT_REFUSED, r"rlimit|cgroup|cpuset|sysctl|/proc/sys/|swappiness"),
    (Cause.SECURITY_PROFILE, r"seccomp|apparmor|selinux|\battr/exec|setxattr|no_new_privs"),
    (Cause.VOLUME_FAILED, r"volume|failed to mount local|plugin"),
    (Cause.IMAGE_DAMAGED, r"no such image|\blayers?\b|rwlayer|graphdriver|overlay mount|input/output error"),
    (Cause.MOUNT_SOURCE_MISSING, r"bind source path|mount.*no such file or directory|error mounting|statfs"),
    (Cause.FIREWALL, r"iptables|ip6tables|nftables|nft "),
)


_SPAN = 1_000
"""Characters of each end of an error that are looked at: the patterns are to be fast on any, and commands are in it."""

_DEPENDS_ON = "com.docker.compose.depends_on"
_ONE_OFF = "com.docker.compose.oneoff"
_BY_NO_NAME = ("default", "bridge", "nat")
"""Modes that mean the engine's own network, whatever that is called."""


def starts(facts: Facts) -> Iterator[Finding]:
    """What is known of a container that has no run to tell of."""
    if facts.running or not (facts.error or facts.never_started):
        return
    if facts.error:
        yield named(facts)
        return
    hindered = list(_hindrances(facts))
    yield from hindered
    yield Finding(
        Cause.NOT_STARTED,
        Weight.STATE if hindered or facts.image_gone else Weight.CERTAIN,
        "the engine tells of no attempt to start it; one that it refused at once leaves no trace",
    )


def _hindrances(facts: Facts) -> Iterator[Finding]:
    """What would keep it from being started now, and so may have done."""
    if facts.missing:
        yield Finding(Cause.MOUNT_SOURCE_MISSING, Weight.LIKELY, f"{facts.missing} of its bind mounts")
    if waits := _waits(facts):
        yield Finding(Cause.PEER_DOWN, Weight.LIKELY, f"Compose starts it after {waits}")
    if _network_gone(facts):
        yield Finding(Cause.NETWORK_GONE, Weight.LIKELY)
    if taken := _taken(facts, set(_wanted(facts))):
        yield Finding(Cause.PORT_TAKEN, Weight.LIKELY, taken)


def named(facts: Facts) -> Finding:
    """What the engine's error means."""
    # the first lines wrap what went wrong, and all of it counts
    told = facts.error if len(facts.error) <= 2 * _SPAN else f"{facts.error[:_SPAN]} {facts.error[-_SPAN:]}"
    text = _WRAPPERS.sub("", " ".join(told.lower().split()))
    cause = next((cause for cause, pattern in _ERRORS if re.search(pattern, text)), Cause.START_FAILED)
    if cause is Cause.EXEC_FORMAT:
        return exec_format(facts)
    code = facts.state.get("ExitCode")
    return Finding(cause, Weight.CERTAIN, _detail(facts, cause, text) or (f"exit code {code}" if code else ""))


def _detail(facts: Facts, cause: Cause, text: str) -> str:
    """What the configuration, or other containers, add to an error."""
    if cause in (Cause.PORT_TAKEN, Cause.PORT_PRIVILEGED, Cause.ADDRESS_NOT_HERE):
        named_ports = {int(number) for number in re.findall(r"\b\d{1,5}\b", text)}
        return _of_ports(facts, cause, set(_wanted(facts)) & named_ports)
    if cause is Cause.COMMAND_MISSING and _hidden(facts):
        return "its path lies in a mount, which hides what the image has there"
    if cause is Cause.PEER_DOWN:
        links = {str(link).partition(":")[0].lstrip("/") for link in facts.host.get("Links") or []}
        down = [row for row in facts.others if container_name(row) in links and row.get("State") != "running"]
        return _states(down)
    if cause is Cause.NAMESPACE_GONE:
        return _namespace_peer(facts)
    return f"already while it started; {limit(facts)}" if cause is Cause.OUT_OF_MEMORY else ""


def _of_ports(facts: Facts, cause: Cause, ports: set[int]) -> str:
    detail = (_taken(facts, ports) if cause is Cause.PORT_TAKEN else "") or _listed(ports)
    if cause is Cause.PORT_TAKEN and ports and not _holders(facts, ports):
        detail += ", which no running container publishes: a process of the host has it, or had it then"
    return detail


def _waits(facts: Facts) -> str:
    """The containers that Compose starts it after, and that are not yet as it wants them to be."""
    told = []
    for each in str(facts.all_labels.get(_DEPENDS_ON) or "").split(","):
        service, _, rest = each.partition(":")
        for row in facts.others:
            theirs = row.get("Labels") or {}
            ours = theirs.get(PROJECT) == facts.all_labels.get(PROJECT) and theirs.get(_ONE_OFF) != "True"
            if ours and theirs.get(SERVICE) == service and (state := _unready(row, rest.partition(":")[0])):
                told.append(f"{container_name(row)}, which {state}")
    return "; ".join(told)


def _unready(row: Mapping[str, Any], condition: str) -> str:
    """Why a dependency does not satisfy its condition; empty where it does, or nothing is known against it."""
    state, words = str(row.get("State") or ""), str(row.get("Status") or "")
    if condition == "service_completed_successfully" and state == "exited":
        failed = re.match(r"Exited \(([1-9]\d{0,2})\)", words)
        return f"has ended with exit code {failed[1]}" if failed else ""
    if state != "running" or condition == "service_completed_successfully":
        return f"is {state or 'not running'}"
    health = re.search(r"\((unhealthy|health: starting)\)", words) if condition == "service_healthy" else None
    return f"is {'unhealthy' if health[1] == 'unhealthy' else 'not healthy yet'}" if health else ""


def _network_gone(facts: Facts) -> bool:
    """Whether the network that it was made for is none of those that there are."""
    mode = facts.network_mode
    if not facts.networks or mode in _BY_NO_NAME or OTHER_MODES.match(mode):
        return False
    return not any(mode == known.get("Name") or str(known.get("Id")).startswith(mode) for known in facts.networks)


def _hidden(facts: Facts) -> bool:
    """Whether the program's path lies in a mount."""
    program = facts.command[0] if facts.command else ""
    path = posixpath.normpath(posixpath.join("/", str(facts.config.get("WorkingDir") or ""), program))
    return "/" in program and any(path.startswith(f"{mount.get('Destination')}/") for mount in facts.mounts)


def exec_format(facts: Facts) -> Finding:
    """A program in a format that the kernel does not know."""
    theirs = str((facts.image or {}).get("Architecture") or "")
    if theirs and facts.architecture and theirs != facts.architecture:
        return Finding(
            Cause.WRONG_ARCHITECTURE, Weight.CERTAIN, f"{theirs}, where the engine's is {facts.architecture}"
        )
    return Finding(
        Cause.EXEC_FORMAT,
        Weight.CERTAIN,
        f"the image says that it is for {theirs}, as the engine is" if theirs and facts.architecture else "",
    )


def limit(facts: Facts) -> str:
    """Its memory limit in words."""
    return f"its limit is {size(facts.memory_limit)}" if facts.memory_limit else "it has no memory limit of its own"


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _wanted(facts: Facts) -> list[int]:
    return [port for outer in facts.published.values() for port in outer]


def _listed(ports: set[int]) -> str:
    return f"port {', '.join(map(str, sorted(ports)))}" if ports else ""


def _holders(facts: Facts, ports: set[int]) -> dict[int, str]:
    """Containers that publish these ports now, by port."""
    return {
        port["PublicPort"]: container_name(row)
        for row in facts.others
        for port in row.get("Ports") or []
        if port.get("PublicPort") in ports and row.get("Id") != facts.found["Id"]
    }


def _taken(facts: Facts, ports: set[int]) -> str:
    held = _holders(facts, ports)
    return "; ".join(f"port {port} is published by the container {name}" for port, name in sorted(held.items()))


def _namespace_peer(facts: Facts) -> str:
    modes = [str(facts.host.get(mode) or "") for mode in ("NetworkMode", "IpcMode", "PidMode")]
    wanted = {mode.removeprefix("container:") for mode in modes if mode.startswith("container:")}
    rows = [row for row in facts.others if row.get("Id") in wanted or container_name(row) in wanted]
    return _states(rows) or ("that container is gone" if wanted and facts.others else "")


def _states(rows: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{container_name(row)} is {row.get('State') or 'gone'}" for row in rows)
