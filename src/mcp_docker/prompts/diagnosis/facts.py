"""What is known of one container, as the engine tells it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mcp_docker.prompts.inspected import Inspected, number
from mcp_docker.tools.containers.logs import LogLine
from mcp_docker.tools.containers.stats import Usage
from mcp_docker.tools.system.read import Event

DEATHS = ("die", "died")
STARTS = ("start",)
NEVER_STARTED = ("created", "configured", "initialized")

OTHER_MODES = re.compile(r"$|none|host|container:|ns:|slirp4netns|pasta|private")
"""Network modes that join no network."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def moment(text: str | None) -> datetime | None:
    """A time as engines write it; None for their zero time, which means never."""
    match = _TIME.fullmatch(text or "")
    if match is None or match[1].startswith("0001-"):
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(f"{match[1]}{(match[2] or '.0')[:7]}{zone}").astimezone(UTC)


def started_after(state: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a container was started after another, by the `State` of both."""
    ours, theirs = moment(state.get("StartedAt")), moment(other.get("StartedAt"))
    return ours is not None and theirs is not None and ours > theirs


@dataclass(frozen=True)
class Facts(Inspected):
    """What is known. None or empty: the engine does not tell, or the caller may not see it.

    Attributes:
        now: the time by the engine's clock, or ours.
        events: its own, the oldest first.
        lines: the last of its log, with times, the oldest first.
        throttled: the share of CPU periods in which it was slowed down.
        image: as inspect shows it.
        tag_moved: the name of its image names another one now.
        others: all containers, as the list shows them.
        networks: all networks, as the list shows them.
        namespace: the container whose network it shares, as inspect shows it.
        architecture: the engine's.
        missing: how many sources of its bind mounts are not on this machine.
    """

    now: datetime
    events: Sequence[Event] = ()
    lines: Sequence[LogLine] = ()
    usage: Usage | None = None
    throttled: float | None = None
    image: Mapping[str, Any] | None = None
    image_gone: bool = False
    tag_moved: bool = False
    others: Sequence[Mapping[str, Any]] = ()
    networks: Sequence[Mapping[str, Any]] = ()
    namespace: Mapping[str, Any] | None = None
    architecture: str = ""
    missing: int = 0
    log_unreadable: bool = False

    @property
    def status(self) -> str:
        return str(self.state.get("Status") or "")

    @property
    def restarting(self) -> bool:
        return bool(self.state.get("Restarting")) or self.status == "restarting"

    @property
    def running(self) -> bool:
        """Whether its processes are there: not between two runs of a restart loop."""
        return bool(self.state.get("Running")) and not self.restarting

    @property
    def never_started(self) -> bool:
        return self.status in NEVER_STARTED or (self.status in ("", "exited") and self.started is None)

    @property
    def error(self) -> str:
        return str(self.state.get("Error") or "")

    @cached_property
    def started(self) -> datetime | None:
        return moment(self.state.get("StartedAt"))

    @cached_property
    def finished(self) -> datetime | None:
        return moment(self.state.get("FinishedAt"))

    @property
    def up_seconds(self) -> float:
        return max((self.now - self.started).total_seconds(), 0.0) if self.running and self.started else 0.0

    @property
    def restarts(self) -> int:
        return self.found.get("RestartCount") or 0

    @property
    def policy(self) -> str:
        """The restart policy: "no", "always", "unless-stopped" or "on-failure"."""
        return str((self.host.get("RestartPolicy") or {}).get("Name") or "no")

    @property
    def most_restarts(self) -> int:
        return (self.host.get("RestartPolicy") or {}).get("MaximumRetryCount") or 0

    @cached_property
    def runs(self) -> list[tuple[float, int | None]]:
        """Each run that the events tell of from start to end: its seconds, and the exit code."""
        told: list[tuple[float, int | None]] = []
        began: datetime | None = None
        for event in self.events:
            when = moment(event.time)
            if event.action in STARTS:
                began = when
            elif event.action in DEATHS and began is not None and when is not None:
                code = number(event.attributes.get("exit_code", ""))
                told.append((max((when - began).total_seconds(), 0.0), code))
                began = None
        return told

    @cached_property
    def last_run(self) -> list[Event]:
        """The events from the last end's start on, up to the next one."""
        deaths = [at for at, event in enumerate(self.events) if event.action in DEATHS]
        if not deaths:
            return self.this_run
        return self._since(deaths[-1]) + self._until_next_start(deaths[-1])

    @cached_property
    def this_run(self) -> list[Event]:
        """The events since the last start."""
        return self._since(len(self.events))

    def _since(self, end: int) -> list[Event]:
        starts = [at for at in range(end) if self.events[at].action in STARTS]
        return list(self.events[starts[-1] if starts else 0 : end])

    def _until_next_start(self, death: int) -> list[Event]:
        after = [at for at in range(death, len(self.events)) if self.events[at].action in STARTS]
        return list(self.events[death : after[0] if after else len(self.events)])

    @property
    def exit_code(self) -> int | None:
        """Of the last run that has ended; None while the first one lasts."""
        if self.running:
            return self.runs[-1][1] if self.runs else None
        code: int | None = self.state.get("ExitCode")
        return None if self.never_started and not self.error else code

    @property
    def run_seconds(self) -> float | None:
        """How long the last run that has ended took."""
        if not self.running and self.started and self.finished:
            return max((self.finished - self.started).total_seconds(), 0.0)
        return self.runs[-1][0] if self.runs else None

    @property
    def memory_limit(self) -> int:
        return self.host.get("Memory") or 0

    @cached_property
    def ulimits(self) -> frozenset[str]:
        """Names of the ulimits that it is given: "cpu"; podman calls it RLIMIT_CPU."""
        listed = self.host.get("Ulimits") or []
        return frozenset(str(each.get("Name") or "").lower().removeprefix("rlimit_") for each in listed)

    @property
    def user(self) -> str:
        return str(self.config.get("User") or "")

    @cached_property
    def environment(self) -> dict[str, str]:
        """What its configuration sets. For checks only: values are never shown."""
        return dict(entry.partition("=")[::2] for entry in self.config.get("Env") or [])

    @property
    def network_mode(self) -> str:
        return str(self.host.get("NetworkMode") or "")

    @cached_property
    def networks_joined(self) -> frozenset[str]:
        return frozenset((self.found.get("NetworkSettings") or {}).get("Networks") or {})

    @cached_property
    def internal(self) -> bool:
        """Whether all of its networks are known to be internal."""
        own = [network for network in self.networks if network.get("Name") in self.networks_joined]
        return 0 < len(own) == len(self.networks_joined) and all(network.get("Internal") for network in own)

    @cached_property
    def published(self) -> dict[int, list[int]]:
        """Its own ports that are to be published, each with the ports of the host, as far as they are chosen."""
        bindings: Mapping[str, Any] = self.host.get("PortBindings") or {}
        return {
            own: [port for each in outer or [] if (port := number(str(each.get("HostPort") or ""))) is not None]
            for inner, outer in bindings.items()
            if (own := number(inner.partition("/")[0])) is not None
        }

    @cached_property
    def mounts(self) -> list[Mapping[str, Any]]:
        return list(self.found.get("Mounts") or [])

    @property
    def health(self) -> Mapping[str, Any]:
        """The state of its health check; empty where it has none."""
        found = self.state.get("Health") or self.state.get("Healthcheck") or {}
        return {} if found.get("Status") in (None, "", "none") else found

    @cached_property
    def said(self) -> list[str]:
        """The lines of the last run; where none of them are that young, of all runs."""
        began = self.started
        lines = [line for line in self.lines if began is None or _young(line, began)]
        return [line.text for line in lines or self.lines]


def _young(line: LogLine, began: datetime) -> bool:
    # the log and the state are written by different clocks of one machine
    when = moment(line.time)
    return when is None or (when - began).total_seconds() > -0.5
