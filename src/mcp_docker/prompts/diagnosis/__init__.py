"""From the facts of a container to what is wrong with it: pure, and certain before likely."""

from collections.abc import Iterator

from mcp_docker.prompts.diagnosis import logs
from mcp_docker.prompts.diagnosis.ends import ends
from mcp_docker.prompts.diagnosis.facts import Facts
from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight
from mcp_docker.prompts.diagnosis.reach import CAUSES, named_peers, reach
from mcp_docker.prompts.diagnosis.running import running
from mcp_docker.prompts.diagnosis.starts import exec_format, starts

MOST = 6

_EXPLAINED_BY_LOG = {
    Cause.PROBE_REFUSED,
    Cause.PROBE_TIMEOUT,
    Cause.PROBE_ANSWERED,
    Cause.UNHEALTHY,
    Cause.PAUSED,
}
"""What is certain, and may have a reason that the program tells."""


_DRIVERS = frozenset("none syslog journald gelf fluentd awslogs splunk etwlogs gcplogs local json-file".split())


def diagnose(facts: Facts) -> list[Finding]:
    """What is wrong, the likeliest cause first; at most one finding of each kind. Never empty."""
    found: dict[Cause, Finding] = {}
    for finding in sorted(_all(facts), key=lambda each: each.weight):
        found.setdefault(finding.cause, finding)
    if any(finding.weight is Weight.CERTAIN for finding in found.values()):
        found.pop(Cause.PROGRAM_FAILED, None)
    findings = list(found.values())
    if not any(finding.weight < Weight.NOTE for finding in findings) and facts.running:
        findings.insert(0, Finding(Cause.WELL, Weight.CERTAIN))
    return findings[:MOST]


def _all(facts: Facts) -> Iterator[Finding]:
    told = [*starts(facts), *running(facts), *_executed(facts), *ends(facts)]
    yield from told
    # where the engine knows the cause, what the program says of other things only misleads
    known = {finding.cause for finding in told if finding.weight is Weight.CERTAIN}
    if known <= _EXPLAINED_BY_LOG:
        yield from _logged(facts)
    if facts.log_unreadable and not facts.never_started:
        driver = str((facts.host.get("LogConfig") or {}).get("Type") or "")
        yield Finding(Cause.LOG_UNREADABLE, Weight.NOTE, f"its log driver is {driver}" if driver in _DRIVERS else "")
    yield from _image(facts)


def _executed(facts: Facts) -> Iterator[Finding]:
    """Whether the program could be executed at all."""
    cause = logs.by_the_runtime(facts)
    if cause is Cause.EXEC_FORMAT:
        yield exec_format(facts)
    elif cause is not None:
        yield Finding(cause, Weight.CERTAIN, f"exit code {facts.exit_code}")


def _logged(facts: Facts) -> Iterator[Finding]:
    matches = logs.matches(facts)
    for match in matches:
        yield from reach(facts, match) if match.cause in CAUSES else logs.plain(facts, match)
    if not any(match.cause in CAUSES for match in matches):
        yield from named_peers(facts)
    if not facts.running and facts.exit_code and (language := logs.language(facts)):
        # a trace that a line above explains is its place, and not another cause
        sure = Weight.POSSIBLE if any(match.after < logs.NEAR for match in matches) else Weight.LIKELY
        yield Finding(Cause.STACK_TRACE, sure, f"a stack trace of {language}")


def _image(facts: Facts) -> Iterator[Finding]:
    if facts.image_gone:
        yield Finding(Cause.IMAGE_GONE, Weight.NOTE if facts.running else Weight.LIKELY)
    elif facts.tag_moved:
        yield Finding(Cause.IMAGE_CHANGED, Weight.NOTE)
    theirs = str((facts.image or {}).get("Architecture") or "")
    if facts.running and theirs and facts.architecture and theirs != facts.architecture:
        yield Finding(Cause.EMULATED, Weight.NOTE, f"{theirs} on {facts.architecture}")


__all__ = ["Cause", "Facts", "Finding", "Weight", "diagnose"]
