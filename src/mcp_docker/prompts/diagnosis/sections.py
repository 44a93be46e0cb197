"""The facts behind a diagnosis, as short as they can be read."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mcp_docker.prompt import Section
from mcp_docker.prompts.diagnosis.facts import Facts
from mcp_docker.prompts.diagnosis.findings import Cause, Finding
from mcp_docker.prompts.diagnosis.running import cpus
from mcp_docker.prompts.diagnosis.starts import size

LOG_LINES = 40
EVENTS = 15
PROBES = 3
OUTPUT = 500
LINE = 1_000


def sections(facts: Facts, findings: list[Finding]) -> Iterator[Section]:
    """What the engine and the container tell. All of it may be a stranger's words."""
    yield Section(title="State", text="\n".join(_state(facts)))
    if facts.health or (facts.config.get("Healthcheck") or {}).get("Test"):
        yield Section(title="Health check", text="\n".join(_health(facts)))
    if facts.events:
        told = [
            " ".join(
                [
                    event.time,
                    event.action,
                    *(f"{name}={value}" for name, value in event.attributes.items() if name in ("exit_code", "signal")),
                ]
            )
            for event in facts.events[-EVENTS:]
        ]
        yield Section(title="Events", text="\n".join(told))
    if facts.lines:
        yield Section(title="Log, last lines", text="\n".join(_log(facts)))
    yield Section(title="Limits and use", text="\n".join(_limits(facts)))
    if places := list(_places(facts)):
        yield Section(title="Mounts, ports, networks", text="\n".join(places))
    if facts.environment and any(finding.cause is Cause.VARIABLE_MISSING for finding in findings):
        yield Section(title="Names of its environment variables", text=", ".join(sorted(facts.environment)))


def _state(facts: Facts) -> Iterator[str]:
    state, config = facts.state, facts.config
    yield f"status: {facts.status}"
    if facts.error:
        yield f"error: {facts.error}"
    if not facts.running and (facts.started or state.get("ExitCode")):
        yield f"exit code: {state.get('ExitCode')}"
    yield f"OOMKilled: {str(bool(state.get('OOMKilled'))).lower()}"
    for title, when in (("started", facts.started), ("finished", facts.finished)):
        if when is not None and not (title == "finished" and facts.running):
            yield f"{title}: {when:%Y-%m-%dT%H:%M:%S.%fZ}"
    most = f", at most {facts.most_restarts}" if facts.most_restarts else ""
    yield f"restarts: {facts.restarts}; policy: {facts.policy}{most}"
    yield f"image: {config.get('Image') or facts.found.get('ImageName') or ''} {facts.found.get('Image') or ''}"
    if facts.command:
        # as one line, so that what hides secrets sees which program takes them
        first = config.get("Entrypoint") or []
        count = 1 if isinstance(first, str) else len(first)
        split = f" (entrypoint: the first {count} words)" if 0 < count < len(facts.command) else ""
        yield f"command: {shlex.join(facts.command)}{split}"
    for title in ("WorkingDir", "User"):
        if config.get(title):
            yield f"{title}: {config[title]}"
    yes = [
        title
        for title, on in (
            ("tty", config.get("Tty")),
            ("privileged", facts.host.get("Privileged")),
            ("read-only root", facts.host.get("ReadonlyRootfs")),
            ("removed when it ends", facts.host.get("AutoRemove")),
        )
        if on
    ]
    if yes:
        yield f"also: {', '.join(yes)}"


def _health(facts: Facts) -> Iterator[str]:
    check = facts.config.get("Healthcheck") or {}
    if check.get("Test"):
        times = [
            f"{name.lower()} {(check.get(name) or 0) / 1e9:g} s"
            for name in ("Interval", "Timeout", "StartPeriod")
            if check.get(name)
        ]
        told = f" ({', '.join(times)})" if times else ""
        yield f"test: {' '.join(check['Test'])}{told}"
    if facts.health:
        yield f"status: {facts.health.get('Status')}, failing streak {facts.health.get('FailingStreak') or 0}"
    for probe in (facts.health.get("Log") or [])[-PROBES:]:
        output = " ".join(str(probe.get("Output") or "").split())
        yield f"{probe.get('Start')} exit code {probe.get('ExitCode')}: {output[-OUTPUT:]}"


def _log(facts: Facts) -> list[str]:
    """The last lines, of equal ones the last: a loop says the same again and again."""
    times = Counter(line.text for line in facts.lines)
    both = len({line.stream for line in facts.lines}) > 1
    shown: dict[str, str] = {}
    for line in reversed(facts.lines):
        if line.text in shown:
            continue
        mark = "stderr| " if both and line.stream == "stderr" else ""
        again = f" (×{times[line.text]})" if times[line.text] > 1 else ""
        shown[line.text] = f"{(line.time or '')[:23]} {mark}{line.text[:LINE]}{again}".lstrip()
        if len(shown) == LOG_LINES:
            break
    return list(shown.values())[::-1]


def _limits(facts: Facts) -> Iterator[str]:
    host, usage = facts.host, facts.usage
    memory = size(facts.memory_limit) if facts.memory_limit else "none"
    used = f", used {size(usage.memory_bytes)}" if usage and usage.memory_bytes is not None else ""
    swap = host.get("MemorySwap") or 0
    swapped = f", with swap {size(swap)}" if swap > facts.memory_limit > 0 else ""
    yield f"memory: limit {memory}{swapped}{used}"
    most = cpus(host)
    busy = f", used {usage.cpu_percent:g} %" if usage and usage.cpu_percent is not None else ""
    slow = f", slowed down in {facts.throttled:.0%} of periods" if facts.throttled else ""
    yield f"cpu: limit {f'{most:g} CPUs' if most else 'none'}{busy}{slow}"
    pids = host.get("PidsLimit") or 0
    count = f", now {usage.pids}" if usage and usage.pids is not None else ""
    yield f"processes: limit {pids if pids > 0 else 'none'}{count}"
    for limit in host.get("Ulimits") or []:
        yield f"ulimit: {limit.get('Name')} {limit.get('Soft')}:{limit.get('Hard')}"


def _places(facts: Facts) -> Iterator[str]:
    for mount in facts.mounts:
        rights = "rw" if mount.get("RW", True) else "ro"
        source = mount.get("Name") or mount.get("Source") or ""
        yield f"mount: {mount.get('Type')} {source} -> {mount.get('Destination')} ({rights})"
    shown = {str(mount.get("Destination")) for mount in facts.mounts}
    for target, options in (facts.host.get("Tmpfs") or {}).items():
        if target not in shown:
            yield f"mount: tmpfs -> {target} ({options or 'rw'})"
    bindings: Mapping[str, Any] = facts.host.get("PortBindings") or {}
    for inner, outer in bindings.items():
        for each in outer or [{}]:
            yield f"port: {each.get('HostIp') or '*'}:{each.get('HostPort') or '(any)'} -> {inner}"
    for inner in sorted(set(facts.config.get("ExposedPorts") or {}) - set(bindings)):
        yield f"port: {inner}, not published"
    yield f"network mode: {facts.network_mode or 'default'}"
    for name, place in sorted(((facts.found.get("NetworkSettings") or {}).get("Networks") or {}).items()):
        known = place or {}
        aliases = ", ".join(known.get("Aliases") or [])
        yield f"network: {name} {known.get('IPAddress') or '(no address)'}{f', aliases {aliases}' if aliases else ''}"
