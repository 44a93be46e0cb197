"""The items of the CIS Docker Benchmark that an engine's API can tell of, and how each is judged.

Numbers are those of version 1.6.0; titles are ours, and shorter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from mcp_docker.prompts.inspected import Inspected

BENCHMARK = "CIS Docker Benchmark v1.6.0"
EVIDENCE_CHARACTERS = 300
PRIVILEGED = "Privileged=true"
"""The evidence of 5.5, and the beginning of what fails for nothing else."""

_PARTS = re.compile("[=:]")

Subject = TypeVar("Subject")


class Verdict(StrEnum):
    """What became of an item. What the API can't show is not applicable, never passed."""

    FAIL = "fail"
    PASS = "pass"  # noqa: S105 - a verdict
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """A verdict, and the very field and value that it rests on: text of strangers."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class Item(Generic[Subject]):
    """An item of the benchmark.

    Attributes:
        remedy: what to do where it fails.
        danger: what failing it gives away, where that is much; these are named first.
    """

    number: str
    title: str
    check: Callable[[Subject], Finding]
    remedy: str = ""
    danger: str = ""


@dataclass(frozen=True)
class Daemon:
    """What the engine tells of itself.

    Attributes:
        info: GET /info.
        bridge: the default bridge, as inspect shows it; None if it can't be had.
        api: the API version spoken.
        address: where we reach it.
    """

    info: Mapping[str, Any]
    bridge: Mapping[str, Any] | None = None
    is_podman: bool = False
    api: tuple[int, int] = (1, 51)
    address: str = "unix:///var/run/docker.sock"

    @cached_property
    def features(self) -> dict[str, str]:
        """Security features that are on: apparmor, seccomp, selinux, userns, rootless …, each with its profile."""
        found = {}
        for option in self.info.get("SecurityOptions") or []:
            parts = dict(part.partition("=")[::2] for part in str(option).split(","))
            found[parts.get("name") or str(option)] = parts.get("profile", "")
        return found


@dataclass(frozen=True)
class Audited(Inspected):
    """A container with what its items need.

    Attributes:
        modes: its namespaces by the name of the field, after following `container:` to the end.
        hidden: paths of the host that its volumes are made of, by the volume's name.
        links: where paths of the host lead that are links, as far as they can be seen from here.
        image: its image, as inspect shows it; None if it is gone.
        history: the steps of its image; None if they can't be had.
        tagged: the id of the image that its image's name leads to now; empty if unknown.
    """

    daemon: Daemon
    modes: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, Sequence[str]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    image: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] | None = None
    tagged: str = ""

    @property
    def privileged(self) -> bool:
        return bool(self.host.get("Privileged"))

    @property
    def options(self) -> dict[str, str]:
        """Security options by name, which engines take with `=` and with `:`."""
        found: dict[str, str] = {}
        for option in self.host.get("SecurityOpt") or []:
            name, _, value = _PARTS.sub("=", str(option), count=1).partition("=")
            found[name.lower()] = ",".join(filter(None, (found.get(name.lower()), value)))
        return found


def passed(evidence: str) -> Finding:
    return Finding(Verdict.PASS, evidence[:EVIDENCE_CHARACTERS])


def failed(evidence: str) -> Finding:
    return Finding(Verdict.FAIL, evidence[:EVIDENCE_CHARACTERS])


def not_applicable(evidence: str) -> Finding:
    return Finding(Verdict.NOT_APPLICABLE, evidence[:EVIDENCE_CHARACTERS])


def judged(good: object, evidence: str) -> Finding:
    return passed(evidence) if good else failed(evidence)


def by_hand(reason: str) -> Callable[[Any], Finding]:
    """The check of an item that the API can't show."""
    return lambda _: not_applicable(f"the API can't tell: {reason}")
