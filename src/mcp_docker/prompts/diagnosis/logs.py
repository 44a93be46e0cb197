"""What the last lines of a log mean: errors of the system and of languages, the most specific first."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mcp_docker.prompts.diagnosis.facts import Facts
from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight
from mcp_docker.prompts.diagnosis.patterns import EXECUTED, LANGUAGES, SAID

NEAR = 40
FAR = 150
FEW = 3
_LINE = 400
"""Characters of each end of a line that are looked at: the patterns are to be fast on any line."""

_CHATTER = re.compile(r"\b(info|debug|trace|notice)\b|\"s\": ?\"[ID]\"", re.IGNORECASE)
_CLIENTS = frozenset({Cause.LOGIN_REFUSED, Cause.DATABASE_LACKS})
"""What a server that is well writes, too, of those that use it."""

_REQUEST = re.compile(r"\bclient: |\"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /")
"""A server's line about what somebody asked it for."""

_LEVEL = 120
"""Characters within which a line says how grave it is."""
_WARNING = re.compile(r"\bwarn(ing)?\b", re.IGNORECASE)
_GRAVE = re.compile(r"\b(error|fatal|critical|panic|emerg|failed|exception)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Match:
    """A line that means something.

    Attributes:
        line: the last one that says so.
        text: the last few of them.
        after: how many lines follow it.
        chatter: the program itself does not take it for an error.
    """

    cause: Cause
    line: str
    text: str
    after: int
    chatter: bool


def by_the_runtime(facts: Facts) -> Cause | None:
    """Why the program could not be executed, where the runtime could say so in the log alone."""
    lines = [line for line in facts.said if line.strip()]
    if facts.running or not lines or len(lines) > 3:
        return None
    return next((cause for cause, pattern in EXECUTED if re.search(pattern, lines[-1], re.IGNORECASE)), None)


def matches(facts: Facts) -> list[Match]:
    """The causes that the last lines of the log speak of, the most specific first; of each, its last line."""
    lines = _last(facts, NEAR if facts.running else FAR)
    found: dict[Cause, Match] = {}
    taken: set[int] = set()
    for cause, pattern in SAID:
        expression = re.compile(pattern, re.IGNORECASE)
        said = [at for at, line in enumerate(lines) if at not in taken and expression.search(line)]
        taken |= {*said}
        if said:
            last = lines[said[-1]]
            chatter = (bool(_CHATTER.search(last[:80])) and not _GRAVE.search(last)) or bool(_REQUEST.search(last))
            few = "\n".join(lines[at] for at in said[-FEW:])
            found[cause] = Match(cause, last, few, len(lines) - 1 - said[-1], chatter)
    return list(found.values())


def not_executable(facts: Facts) -> bool:
    """Whether its log says why a shell could not execute a program, as its exit code does not."""
    return any(re.search(r"exec format error|bad interpreter", line, re.IGNORECASE) for line in facts.said[-FEW:])


def language(facts: Facts) -> str:
    """The language of the stack trace at the end of the log; empty where there is none."""
    lines = _last(facts, FAR)
    for name, pattern in LANGUAGES:
        expression = re.compile(pattern, re.IGNORECASE)
        if any(expression.search(line) for line in lines):
            return name
    return ""


def _last(facts: Facts, count: int) -> list[str]:
    lines = facts.said[-count:]
    return [line if len(line) <= 2 * _LINE else f"{line[:_LINE]} {line[-_LINE:]}" for line in lines]


def weight(facts: Facts, match: Match) -> Weight:
    """How much a line says: less where others follow it, and where the program goes on."""
    if match.chatter or match.after >= NEAR:
        return Weight.POSSIBLE
    if facts.running and (match.cause in _CLIENTS or _WARNING.search(match.line[:_LEVEL])):
        return Weight.POSSIBLE
    if facts.exit_code == 0 and not facts.running and not facts.restarting:
        return Weight.POSSIBLE
    return Weight.LIKELY


def plain(facts: Facts, match: Match) -> Iterator[Finding]:
    """What a line means, with what the configuration adds to it."""
    cause, detail = match.cause, _detail(facts, match)
    if cause is Cause.READ_ONLY and not detail and "readonly" in match.line.lower():
        # SQLite says so of a file, too, that belongs to another user
        cause = Cause.ACCESS_DENIED
        detail = _detail(facts, replace(match, cause=cause))
    yield Finding(cause, weight(facts, match), detail)


def _detail(facts: Facts, match: Match) -> str:
    line, cause = match.line, match.cause
    if cause is Cause.READ_ONLY:
        return _read_only(facts, line)
    if cause in (Cause.ACCESS_DENIED, Cause.LOW_PORT, Cause.NOT_PERMITTED):
        who = f"it runs as user {facts.user}" if facts.user.replace(":", "").isdecimal() else ""
        who = who or (
            "it runs as a user that is not root" if facts.user not in ("", "root", "0") else "it runs as root"
        )
        place = _mounted(facts, line)
        dropped = "some capabilities are dropped" if facts.host.get("CapDrop") else ""
        return "; ".join(filter(None, (who, f"the path lies in {_kind(place)}" if place else "", dropped)))
    if cause in (Cause.MISSING_FILE, Cause.IS_A_DIRECTORY, Cause.DISK_FULL):
        place = _mounted(facts, line)
        return f"the path lies in {_kind(place)}" if place else ""
    if cause is Cause.VARIABLE_MISSING:
        return _variable(facts, line)
    if cause is Cause.PROCESSES_USED_UP:
        most = facts.host.get("PidsLimit") or 0
        return f"its limit is {most} processes" if most > 0 else "it has no limit of its own: a ulimit, or the host's"
    if cause is Cause.PROGRAM_MEMORY:
        return limit_of_program(facts)
    if cause is Cause.PORT_IN_USE and facts.network_mode == "host":
        return "in the host's network, where all programs of the host listen"
    return ""


def limit_of_program(facts: Facts) -> str:
    """Whether the container's own limit can have to do with it."""
    return "" if facts.memory_limit else "the container has no memory limit: the program, or the host, sets one"


def _read_only(facts: Facts, line: str) -> str:
    place = _mounted(facts, line)
    if place is not None and not place.get("RW", True):
        return f"the path lies in {_kind(place)}, which is mounted read-only"
    if facts.host.get("ReadonlyRootfs"):
        return "its root file system is (ReadonlyRootfs), and nothing writable is mounted there"
    return "one of its mounts is read-only" if any(not mount.get("RW", True) for mount in facts.mounts) else ""


def _mounted(facts: Facts, line: str) -> dict[str, object] | None:
    """The innermost mount that a path in the line lies in."""
    places = sorted(facts.mounts, key=lambda mount: len(mount.get("Destination") or ""), reverse=True)
    for mount in places:
        target = str(mount.get("Destination") or "").rstrip("/")
        if target and re.search(rf"{re.escape(target)}(?![\w.-])", line):
            return dict(mount)
    return None


def _kind(mount: dict[str, object]) -> str:
    return {"bind": "a bind mount", "volume": "a volume", "tmpfs": "a tmpfs"}.get(str(mount.get("Type")), "a mount")


def _variable(facts: Facts, line: str) -> str:
    named = [name for name in re.findall(r"[A-Z][A-Z0-9_]{2,}", line) if "_" in name or name in facts.environment]
    if not named:
        return ""
    if all(name in facts.environment for name in named):
        empty = any(not facts.environment[name] for name in named)
        return "what the line names is set, but empty" if empty else "what the line names is set: is the value right?"
    return "what the line names is not in its configured environment"
