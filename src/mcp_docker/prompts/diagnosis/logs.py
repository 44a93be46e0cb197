"""What the last lines of a log mean: errors of the system and of languages, the most specific first."""

import re
from collections.abc import Callable, Iterator, Mapping
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
_PLAIN = re.compile(r"\"s\": ?\"[ID]\"|\blevel\"?[=:] ?\"?(info|debug)\b|(^|[\]\d] )INFO?\b|\[(I|INFO?)\] ")
"""The level of a line, in its own field: whatever words come after it."""
_CLIENTS = frozenset({Cause.LOGIN_REFUSED, Cause.DATABASE_LACKS, Cause.CONNECTION_LOST})
"""What a server that is well writes, too, of those that use it."""

_REQUEST = re.compile(r"\bclient: |\"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /")
"""A server's line about what somebody asked it for."""
_QUERY = re.compile(r"syntax error at or near|permission denied for (table|schema|sequence|view|function|database)")
"""A database's line about what somebody asked it for, or about a script of its own."""

_UP = re.compile(
    r"\bready (for|to (accept|handle)) ([\w-]+ )?connections|\bwaiting for connections|startup complete"
    r"|\b(listening|running|serving|server started|started server|starting development server) (on|at)\b"
    r"|\bserver (is )?(running|ready|started)\b|successfully started|listening and serving|fully up and running"
    r"|http server listen|start worker processes|\bstarted \w+ in [\d.]+ s",
    re.IGNORECASE,
)
"""A server says that it is up."""
_CONNECTED = re.compile(
    r"(?<!not )\b(re)?connected (to|successfully)\b|\bsuccessfully connected\b"
    r"|\b(db|database|mongo\w*|redis|postgres\w*|mysql|broker) (re)?connected\b",
    re.IGNORECASE,
)
_CONNECTIONS = frozenset(
    {Cause.NAME_UNKNOWN, Cause.REFUSED, Cause.UNREACHABLE, Cause.TIMED_OUT, Cause.NOT_READY, Cause.CONNECTION_LOST}
)
"""What is over as soon as a connection is there."""
_DISPENSABLE = frozenset(
    {
        Cause.READ_ONLY,
        Cause.NOT_PERMITTED,
        Cause.SHELL_COMMAND_MISSING,
        Cause.MISSING_FILE,
        Cause.VARIABLE_MISSING,
        Cause.LISTEN_ADDRESS,
        Cause.APP_DOWN,
    }
)
"""What a server that is up does without."""

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
        up: a line after it says that the program is up.
        connected: a line after it says that it has its connection.
    """

    cause: Cause
    line: str
    text: str
    after: int
    chatter: bool
    up: bool
    connected: bool


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
    up, connected = _last_that(_UP, lines), _last_that(_CONNECTED, lines)
    for cause, pattern in SAID:
        expression = re.compile(pattern, re.IGNORECASE)
        said = [at for at, line in enumerate(lines) if at not in taken and expression.search(line)]
        taken |= {*said}
        if said:
            last = lines[said[-1]]
            chatter = (bool(_CHATTER.search(last[:80])) and not _GRAVE.search(last)) or bool(_REQUEST.search(last))
            # those that watch over a program tell calmly of its end
            chatter |= facts.running and cause is not Cause.APP_DOWN and bool(_PLAIN.search(last[:_LEVEL]))
            few = "\n".join(lines[at] for at in said[-FEW:])
            found[cause] = Match(
                cause, last, few, len(lines) - 1 - said[-1], chatter, up > said[-1], connected > said[-1]
            )
    return list(found.values())


def _last_that(pattern: re.Pattern[str], lines: list[str]) -> int:
    """Where the last line is that says so, and is no error and no question ("is it running on ...?"); -1: nowhere."""
    told = [
        at
        for at, line in enumerate(lines)
        if pattern.search(line) and not _GRAVE.search(line) and not line.rstrip().endswith("?")
    ]
    return max(told, default=-1)


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
    over = (match.connected and match.cause in _CONNECTIONS) or (match.up and match.cause in _DISPENSABLE)
    if facts.running and over:
        return Weight.EARLIER
    if match.chatter or match.after >= NEAR:
        return Weight.POSSIBLE
    if facts.running and (match.up or _of_clients(match) or _WARNING.search(match.line[:_LEVEL])):
        return Weight.POSSIBLE
    if facts.exit_code == 0 and not facts.running and not facts.restarting:
        return Weight.POSSIBLE
    return Weight.LIKELY


def _of_clients(match: Match) -> bool:
    return match.cause in _CLIENTS or bool(_QUERY.search(match.line))


def plain(facts: Facts, match: Match) -> Iterator[Finding]:
    """What a line means, with what the configuration adds to it."""
    cause, detail = match.cause, _detail(facts, match)
    if cause is Cause.READ_ONLY and not detail and "readonly" in match.line.lower():
        # SQLite says so of a file, too, that belongs to another user
        cause = Cause.ACCESS_DENIED
        detail = _detail(facts, replace(match, cause=cause))
    yield Finding(cause, weight(facts, match), detail)


def _detail(facts: Facts, match: Match) -> str:
    told = _DETAILS.get(match.cause)
    return told(facts, match.line) if told else ""


def _rights(facts: Facts, line: str) -> str:
    who = f"it runs as user {facts.user}" if facts.user.replace(":", "").isdecimal() else ""
    who = who or ("it runs as a user that is not root" if facts.user not in ("", "root", "0") else "it runs as root")
    dropped = "some capabilities are dropped" if facts.host.get("CapDrop") else ""
    return "; ".join(filter(None, (who, _place(facts, line), dropped)))


def _file(facts: Facts, line: str) -> str:
    place = _place(facts, line)
    mounted = any("docker.sock" in str(mount.get("Destination")) for mount in facts.mounts)
    if not mounted and re.search(r"docker\.sock|docker daemon", line):
        return "the engine's socket, which is not mounted into it; whoever has it rules the host"
    return place


def _module(facts: Facts, line: str) -> str:
    place = _place(facts, line)
    return f"{place}, which hides what the image has there" if place else ""


def _place(facts: Facts, line: str) -> str:
    place = _mounted(facts, line)
    return f"the path lies in {_kind(place)}" if place else ""


def _limit(facts: Facts, _line: str) -> str:
    """Whether the container's own limit can have to do with it."""
    return "" if facts.memory_limit else "the container has no memory limit: the program, or the host, sets one"


def _read_only(facts: Facts, line: str) -> str:
    place = _mounted(facts, line)
    if place is not None and not place.get("RW", True):
        return f"the path lies in {_kind(place)}, which is mounted read-only"
    if facts.host.get("ReadonlyRootfs"):
        return "its root file system is (ReadonlyRootfs), and nothing writable is mounted there"
    return "one of its mounts is read-only" if any(not mount.get("RW", True) for mount in facts.mounts) else ""


def _shell(_facts: Facts, line: str) -> str:
    """Why a shell does not find what is there, as far as its words tell."""
    if re.search(r": (source|\[\[|shopt|declare|function): ", line):
        return "that is a command of bash, in a script that another shell runs"
    if re.search(r": /\S+: not found", line):
        return "or the file is there, and the interpreter of its first line, its line endings or its loader are wrong"
    return ""


def _processes(facts: Facts, _line: str) -> str:
    if "nproc" in facts.ulimits:
        return "its ulimit nproc counts the processes of its user on the whole host"
    most = facts.host.get("PidsLimit") or 0
    return f"its limit is {most} processes" if most > 0 else "it has no limit of its own: a ulimit, or the host's"


def _lock(_facts: Facts, line: str) -> str:
    locked = re.search(r"change ?log lock", line, re.IGNORECASE)
    return "a run that was killed has left its lock, a row of the database (DATABASECHANGELOGLOCK)" if locked else ""


def _settings(facts: Facts, line: str) -> str:
    lacks = "validation error" in line and any("field required" in each.lower() for each in facts.said)
    return "a field of it has no value, as from an environment variable" if lacks else ""


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


def _port(facts: Facts, _line: str) -> str:
    return "in the host's network, where all programs of the host listen" if facts.network_mode == "host" else ""


_DETAILS: Mapping[Cause, Callable[[Facts, str], str]] = {
    Cause.READ_ONLY: _read_only,
    Cause.ACCESS_DENIED: _rights,
    Cause.LOW_PORT: _rights,
    Cause.NOT_PERMITTED: _rights,
    Cause.MISSING_FILE: _file,
    Cause.IS_A_DIRECTORY: _place,
    Cause.DISK_FULL: _place,
    Cause.MODULE_MISSING: _module,
    Cause.VARIABLE_MISSING: _variable,
    Cause.SHELL_COMMAND_MISSING: _shell,
    Cause.PROCESSES_USED_UP: _processes,
    Cause.PROGRAM_MEMORY: _limit,
    Cause.PORT_IN_USE: _port,
    Cause.MIGRATION: _lock,
    Cause.BAD_CONFIGURATION: _settings,
}
"""What the container's settings, or the line, add to a cause."""
