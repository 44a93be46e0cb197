"""What is wrong with a container that runs: its health check, its ports, its limits."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcp_docker.prompts.diagnosis.facts import OTHER_MODES, Facts, started_after
from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight
from mcp_docker.prompts.diagnosis.starts import size
from mcp_docker.prompts.inspected import number

NEARLY = 0.9
THROTTLED_SHARE = 0.25
MANY_PORTS = 65_536

_MISSING = r"not found|no such file or directory|executable file|permission denied"
_NO_COMMAND = r"^\S*sh: .*: (command )?not found$"
_REFUSED = r"connection refused|econnrefused|can't connect|could not connect|failed to connect|couldn't connect"
_ANSWERED = (
    r"http/\d\S* [45]\d\d|returned error: ?[45]\d\d|server returned error|status(code)?[ :=]+[45]\d\d|\b50[0-4]\b"
)
_LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[::1\])"
_LISTENING = (
    r"listen|running (?:on|at)|serving|started|starting (?:\w+ )?server|bound|binding|accepting|\bready|\bavailable"
    r"|(?<!from )server (?:at|on)"
)
_OPTION = r"(?:^|\s)(?:-p|--port|--listen|--bind|-l|--addr|--address|--http-port)[ =](?:[\w.\[\]*]*:)?(\d{2,5})\b"
_BINDING = r"(?:^|\s)(?:-p|-l|-b|-H|--(?:port|listen|bind|addr|address|host))"
_ADDRESSES = r"^\W*(?:local|(?:on your )?network):\s+http"
"""Addresses in a table, as servers of web frameworks print them: that one is local says nothing of others."""

_NOT_EXPOSED = r"use --host to expose"
"""What Vite and those built on it print in place of the container's address."""

_TELLING = rf"{_LISTENING}|{_ADDRESSES}|{_NOT_EXPOSED}"
_LINE = 500
"""Characters of a line that are looked at: the patterns are to be fast on any line."""

_SAID_PORT = rf"(?:{_LISTENING}|{_ADDRESSES}).*?(?:port[ =:]+|:)(\d{{2,5}})\b"


def running(facts: Facts) -> Iterator[Finding]:
    """What the state of a running container shows."""
    if facts.status == "dead" or facts.state.get("Dead"):
        yield Finding(Cause.DEAD, Weight.CERTAIN)
    if facts.status == "removing":
        yield Finding(Cause.REMOVING, Weight.CERTAIN)
    if not facts.running:
        return
    if facts.state.get("Paused"):
        yield Finding(Cause.PAUSED, Weight.CERTAIN)
    yield from _namespace(facts)
    yield from _health(facts)
    yield from _limits(facts)
    yield from _ports(facts)


def _namespace(facts: Facts) -> Iterator[Finding]:
    """Whether it is cut off: an engine makes a network namespace with each start, and drops it at the end."""
    if facts.namespace is not None:
        state = facts.namespace.get("State") or {}
        name = str(facts.namespace.get("Name") or "").lstrip("/")
        if not state.get("Running"):
            yield Finding(Cause.NAMESPACE_GONE, Weight.LIKELY, f"{name} is {state.get('Status') or 'not running'}")
        elif started_after(state, facts.state):
            yield Finding(Cause.NAMESPACE_LEFT, Weight.LIKELY, f"{name} was started after it")
    elif facts.networks and not facts.networks_joined and not OTHER_MODES.match(facts.network_mode):
        yield Finding(Cause.NO_NETWORK, Weight.LIKELY, "it was disconnected from all of its networks")


def _health(facts: Facts) -> Iterator[Finding]:
    status, streak = facts.health.get("Status"), facts.health.get("FailingStreak") or 0
    probes = facts.health.get("Log") or []
    if status == "starting" and not streak:
        yield Finding(Cause.HEALTH_STARTING, Weight.STATE, f"it is up for {facts.up_seconds:.0f} s")
    if status not in ("unhealthy", "starting") or not streak:
        return
    cause = _probe(probes[-1]) if probes else Cause.UNHEALTHY
    code = probes[-1].get("ExitCode") if probes else None
    told = f"{streak} times in a row" + (f", exit code {code}" if code not in (None, -1) else "")
    if cause is Cause.PROBE_MISSING:
        told = f"{_unrunnable(probes[-1])}; {told}"
    if status == "starting":
        told += ", and it is still given time to start"
    yield Finding(cause, Weight.CERTAIN if status == "unhealthy" else Weight.LIKELY, told)


def _probe(probe: Mapping[str, Any]) -> Cause:
    code, output = probe.get("ExitCode"), str(probe.get("Output") or "").lower()
    if "exceeded timeout" in output or "timed out" in output:
        return Cause.PROBE_TIMEOUT
    if code in (126, 127) or (code == -1 and re.search(_MISSING, output)) or re.search(_NO_COMMAND, output):
        return Cause.PROBE_MISSING
    if re.search(_REFUSED, output):
        return Cause.PROBE_REFUSED
    return Cause.PROBE_ANSWERED if re.search(_ANSWERED, output) else Cause.UNHEALTHY


def _unrunnable(probe: Mapping[str, Any]) -> str:
    refused = probe.get("ExitCode") == 126 or "permission denied" in str(probe.get("Output") or "").lower()
    return "its command may not be executed" if refused else "the image lacks its command"


def _limits(facts: Facts) -> Iterator[Finding]:
    usage = facts.usage
    if usage is None:
        return
    used, most = usage.memory_bytes or 0, facts.memory_limit
    if most and used >= most * NEARLY:
        yield Finding(Cause.MEMORY_NEARLY_FULL, Weight.LIKELY, f"{size(used)} of {size(most)}")
    pids = facts.host.get("PidsLimit") or 0
    if pids > 0 and (usage.pids or 0) >= pids * NEARLY:
        yield Finding(Cause.PROCESSES_NEARLY_FULL, Weight.LIKELY, f"{usage.pids} of {pids}")
    most_cpus = cpus(facts.host)
    if facts.throttled is not None and facts.throttled >= THROTTLED_SHARE:
        told = f"in {facts.throttled:.0%} of the periods" + (f", with {most_cpus:g} CPUs" if most_cpus else "")
        yield Finding(Cause.THROTTLED, Weight.LIKELY, told)
    elif most_cpus and (usage.cpu_percent or 0) >= most_cpus * 100 * NEARLY:
        yield Finding(Cause.BUSY, Weight.LIKELY, f"{usage.cpu_percent:.0f} % of {most_cpus * 100:.0f} %")


def cpus(host: Mapping[str, Any]) -> float:
    """The CPUs that it may use; 0 for no limit."""
    if nano := host.get("NanoCpus"):
        return float(nano / 1e9)
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return float(quota / period) if quota > 0 else 0.0


def _ports(facts: Facts) -> Iterator[Finding]:
    lines = [line for text in facts.said if re.search(_TELLING, line := text[:_LINE], re.IGNORECASE)]
    if not facts.published:
        yield from _unpublished(facts, lines)
        return
    if reason := _without_effect(facts):
        yield Finding(Cause.PORTS_WITHOUT_NETWORK, Weight.LIKELY, reason)
        return
    command, published = " ".join(facts.command), set(facts.published)
    if local := _local(lines, command, published):
        sure = _sure(local)
        yield Finding(Cause.LISTENS_LOCALLY, sure, f"published is {_numbers(published)}")
        if sure is Weight.LIKELY:
            return
    heard = _heard(lines, command)
    if heard and not heard & published:
        yield Finding(
            Cause.PORT_MISMATCH,
            # of several, the one that counts may not be among those that are told
            Weight.LIKELY if len(heard) == 1 else Weight.POSSIBLE,
            f"{_numbers(heard)} as its {'log' if lines and _heard(lines, '') else 'command'} says, "
            f"and published is {_numbers(published)}",
        )


def _unpublished(facts: Facts, lines: list[str]) -> Iterator[Finding]:
    exposed = {number(port.partition("/")[0]) or 0 for port in facts.config.get("ExposedPorts") or {}}
    if not exposed or facts.network_mode in ("host", "none"):
        return
    heard = _heard([line for line in lines if re.search(_LOOPBACK, line)], "") & exposed
    alone = not facts.network_mode.startswith("container:")
    if alone and heard and _sure(_local(lines, "", exposed)) is Weight.LIKELY:
        yield Finding(Cause.LISTENS_LOCALLY, Weight.LIKELY, f"its image declares {_numbers(heard)}")
    yield Finding(Cause.NOT_PUBLISHED, Weight.NOTE)


def _without_effect(facts: Facts) -> str:
    """Why its published ports lead nowhere."""
    if facts.network_mode in ("host", "none") or facts.network_mode.startswith("container:"):
        return f"network mode {facts.network_mode.partition(':')[0]}"
    return f"it is in internal networks only ({', '.join(sorted(facts.networks_joined))})" if facts.internal else ""


def _local(lines: list[str], command: str, wanted: set[int]) -> list[str]:
    """What says that it listens on its loopback, where nothing says that it listens on all addresses."""
    if any(re.search(r"\b0\.0\.0\.0\b|\[::\]|\*:\d|\[ ?'any'", text) for text in (*lines, command)):
        return []
    told = [found[0] for found in (re.search(rf"{_BINDING}[ =]{_LOOPBACK}", command),) if found]
    elsewhere = _heard(lines, "") & wanted
    for line in lines:
        ports = _heard([line], "")
        # a debugger's port or that of metrics may well be local, beside the one that counts
        beside = elsewhere and ports and not ports & wanted
        if not beside and (found := re.search(rf"(?:{_LISTENING}).*{_LOOPBACK}|{_NOT_EXPOSED}", line, re.IGNORECASE)):
            told.append(found[0])
    return told


def _sure(local: list[str]) -> Weight:
    # a name is what a program says to people, too, when it listens everywhere
    return Weight.POSSIBLE if all(text.lower().endswith("localhost") for text in local) else Weight.LIKELY


def _heard(lines: list[str], command: str) -> set[int]:
    """The ports on which it listens, as its log or its command says."""
    said = {int(digits) for line in lines for digits in re.findall(_SAID_PORT, line, re.IGNORECASE)}
    found = said or {int(digits) for digits in re.findall(_OPTION, command)}
    return {port for port in found if port < MANY_PORTS}


def _numbers(ports: set[int]) -> str:
    return ", ".join(map(str, sorted(ports)))
