"""How a container ended, or how often: exit codes, signals, the kernel's memory killer, and who asked for it."""

from collections.abc import Iterator

from mcp_docker.prompts.diagnosis import logs
from mcp_docker.prompts.diagnosis.facts import DEATHS, Facts
from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight
from mcp_docker.prompts.diagnosis.starts import limit
from mcp_docker.prompts.inspected import number

AT_ONCE_SECONDS = 5.0
SETTLED_SECONDS = 120.0
SIGKILL, SIGTERM = 9, 15
SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "python", "python3", "node"})

_SIGNALS = {
    2: Cause.INTERRUPTED,
    4: Cause.ILLEGAL_INSTRUCTION,
    6: Cause.ABORTED,
    7: Cause.BUS_ERROR,
    9: Cause.KILLED_UNKNOWN,
    11: Cause.SEGMENTATION_FAULT,
    15: Cause.TERMINATED,
}
_MEANT = {
    5: "SIGTRAP, as programs end themselves when a check of theirs fails",
    24: "SIGXCPU: the CPU time of its ulimit is used up",
    25: "SIGXFSZ: a file grew larger than its ulimit fsize allows",
    31: "SIGSYS: a seccomp profile, the container's or its own, forbids a system call",
}
"""What the kernel, or the program itself, sends these for."""

_DEADLY = frozenset({*range(1, 17), *range(24, 28), 29, 30, 31})
"""Signals that end a program which does nothing about them (signal(7)); the other numbers are its own."""

_NUMBERS = {"SIGKILL": "9", "KILL": "9", "SIGTERM": "15", "TERM": "15"}


def ends(facts: Facts) -> Iterator[Finding]:
    """What ended its last run, and whether that happens again and again."""
    if facts.status in ("dead", "removing"):
        return
    looping = loop(facts)
    if facts.running and not looping:
        yield from _memory_inside(facts)
        return
    if facts.error or facts.never_started:
        if looping:
            yield looping
        return
    if looping:
        yield looping
    yield _end(facts)
    used_up = facts.policy == "on-failure" and 0 < facts.most_restarts <= facts.restarts
    if used_up and not looping:
        yield Finding(Cause.GAVE_UP, Weight.STATE, f"after {facts.restarts} restarts")


def loop(facts: Facts) -> Finding | None:
    """The restart loop that it is in, if it is in one."""
    young = facts.running and facts.up_seconds < SETTLED_SECONDS
    again = facts.restarts >= 2 and (facts.restarting or young)
    # something else than its policy may start it again and again, too
    fast = [run for run in facts.runs if run[0] < SETTLED_SECONDS]
    by_others = len(fast) >= 3 and (young or facts.restarting) and not _asked(facts)[0]
    if not (again or by_others or (facts.restarting and facts.restarts >= 1)):
        return None
    told = [f"{facts.restarts} restarts (policy {facts.policy})" if facts.restarts else f"{len(fast)} short runs"]
    if facts.run_seconds is not None:
        told.append(f"the last run took {_seconds(facts.run_seconds)}")
    if facts.exit_code is not None:
        told.append(f"exit code {facts.exit_code}")
    return Finding(Cause.RESTART_LOOP, Weight.STATE, ", ".join(told))


def _end(facts: Facts) -> Finding:
    code = facts.exit_code
    signals, stopped = _asked(facts)
    if _killed_for_memory(facts):
        # where another process was killed, the program gave up by itself
        cause = Cause.OUT_OF_MEMORY if code in (137, None) else Cause.CHILD_OUT_OF_MEMORY
        return Finding(cause, Weight.CERTAIN, f"exit code {code}; {limit(facts)}")
    if stopped or SIGTERM in signals:
        return _stopped(code, signals)
    if code is None:
        return Finding(Cause.ENGINE_RESTARTED, Weight.POSSIBLE, "the engine tells no exit code")
    if SIGKILL in signals:
        return Finding(Cause.KILLED, Weight.CERTAIN, f"exit code {code}; docker kill, or a removal")
    if code == 0:
        return _finished(facts)
    return _killed(facts) if code == 137 else _failed(facts, code, signals)


def _failed(facts: Facts, code: int, signals: set[int]) -> Finding:
    if code == 126:
        sure = Weight.STATE if logs.not_executable(facts) else Weight.LIKELY
        return Finding(Cause.NOT_EXECUTABLE, sure, "exit code 126, as a shell gives it")
    if code == 127:
        return Finding(Cause.SHELL_COMMAND_MISSING, Weight.STATE, "exit code 127, as a shell gives it")
    number = code - 128
    if number in _DEADLY:
        if number in signals:
            sent = ", which a call to the engine sent"
        else:
            sent = f" ({_MEANT[number]})" if number in _MEANT else ""
        cause = _SIGNALS.get(number, Cause.SIGNALLED)
        # a program that aborts has mostly said why
        sure = Weight.STATE if cause is Cause.ABORTED else Weight.CERTAIN
        return Finding(cause, sure, f"exit code {code} = 128 + signal {number}{sent}")
    if code == 255 and not facts.said and not _remembered(facts):
        return Finding(Cause.ENGINE_RESTARTED, Weight.POSSIBLE, "exit code 255, and no event of its end")
    ran = f" after {_seconds(facts.run_seconds)}" if facts.run_seconds is not None else ""
    return Finding(Cause.PROGRAM_FAILED, Weight.STATE, f"exit code {code}{ran}")


def _stopped(code: int | None, signals: set[int]) -> Finding:
    if code == 137:
        return Finding(Cause.STOP_IGNORED, Weight.CERTAIN, "SIGTERM, then SIGKILL; exit code 137 is no sign of memory")
    return Finding(Cause.STOPPED, Weight.CERTAIN, f"exit code {code}{', SIGTERM' if SIGTERM in signals else ''}")


def _killed(facts: Facts) -> Finding:
    """Killed, and the engine does not say that it was for memory."""
    if facts.memory_limit and any(line.strip() == "Killed" for line in facts.said[-20:]):
        return Finding(Cause.OUT_OF_MEMORY, Weight.LIKELY, f"exit code 137, and its log says so; {limit(facts)}")
    if any(event.action == "oom" for event in facts.events):
        # an engine that hears of the end first tells nothing of the kill
        return Finding(Cause.OUT_OF_MEMORY, Weight.LIKELY, f"exit code 137, as a run before; {limit(facts)}")
    cpu = "its ulimit of CPU time, " if "cpu" in facts.ulimits else ""
    if _remembered(facts):
        return Finding(
            Cause.KILLED_OUTSIDE,
            Weight.CERTAIN,
            f"exit code 137; {cpu}the memory killer of the host, a process of the host or one inside; {limit(facts)}",
        )
    return Finding(
        Cause.KILLED_UNKNOWN,
        Weight.CERTAIN,
        f"exit code 137, without the engine's mark of a lack of memory; {limit(facts)}; the engine remembers no event "
        "of it, so it may have been docker stop or kill, or the host's memory killer",
    )


def _finished(facts: Facts) -> Finding:
    took = facts.run_seconds
    detail = f"exit code 0{f' after {_seconds(took)}' if took is not None else ''}"
    at_once = took is not None and took < AT_ONCE_SECONDS
    words = [word.rpartition("/")[2] for word in facts.command]
    options = facts.command[1:]
    interactive = words and words[0] in SHELLS and all(word.startswith("-") and "c" not in word for word in options)
    if interactive and at_once:
        return Finding(Cause.SHELL_WITHOUT_INPUT, Weight.CERTAIN, detail)
    service = facts.published or facts.config.get("ExposedPorts") or facts.policy in ("always", "unless-stopped")
    if at_once and (service or facts.restarts):
        return Finding(Cause.NO_FOREGROUND, Weight.LIKELY, detail)
    if not _remembered(facts):
        detail += "; the engine remembers no event of its end, so somebody may have stopped it"
    return Finding(Cause.FINISHED, Weight.STATE, detail)


def _remembered(facts: Facts) -> bool:
    """Whether the events tell of its end: an engine remembers a few hundred, of all that it has."""
    return any(event.action in DEATHS for event in facts.events)


def _memory_inside(facts: Facts) -> Iterator[Finding]:
    if _killed_for_memory(facts):
        yield Finding(Cause.CHILD_OUT_OF_MEMORY, Weight.CERTAIN, f"its main process goes on; {limit(facts)}")
    elif facts.memory_limit and any(line.strip() == "Killed" for line in facts.said[-40:]):
        yield Finding(Cause.CHILD_OUT_OF_MEMORY, Weight.LIKELY, f"its log says so; {limit(facts)}")
    if facts.restarts:
        up = _seconds(facts.up_seconds)
        yield Finding(Cause.RESTARTED_EARLIER, Weight.NOTE, f"{facts.restarts} times; this run has lasted {up}")


def _killed_for_memory(facts: Facts) -> bool:
    # only some engines say so of a child; all of them have an event
    events = facts.this_run if facts.running and not facts.restarts else facts.last_run
    return bool(facts.state.get("OOMKilled")) or any(event.action == "oom" for event in events)


def _asked(facts: Facts) -> tuple[set[int], bool]:
    """The signals that callers of the engine sent in the last run, and whether they stopped it."""
    signals = set()
    for event in facts.last_run:
        if event.action == "kill":
            text = event.attributes.get("signal", "")
            text = _NUMBERS.get(text, text)
            signals.add(number(text) or 0)
    return signals, any(event.action == "stop" for event in facts.last_run)


def _seconds(count: float) -> str:
    if count < 10:
        return f"{count:.1f} s"
    if count < 120:
        return f"{count:.0f} s"
    if count < 7_200:
        return f"{count / 60:.0f} min"
    return f"{count / 3_600:.0f} h" if count < 172_800 else f"{count / 86_400:.0f} days"
