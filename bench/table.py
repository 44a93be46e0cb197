"""The rows that a run makes, and the Markdown that they become."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import docker

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"


@dataclass(frozen=True)
class Target:
    """A bound on the ratio."""

    bound: float
    at_least: bool = False

    def met_by(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


WITHIN = Target(1)
"""For rows whose yardstick is a limit of our own."""


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    yardstick: str
    ratio: float | None
    """None if it could not be measured, which misses a target."""
    target: Target | None = None
    flaw: str = ""
    """Something that misses the target whatever the ratio is."""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio is not None and self.target.met_by(self.ratio) and not self.flaw

    def __str__(self) -> str:
        verdict = {None: "", True: "met", False: "**not met**"}[self.met]
        ours = f"{self.ours} ({self.flaw})" if self.flaw else self.ours
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        cells = (self.what, ours, self.yardstick, ratio, str(self.target or ""), verdict)
        return "| " + " | ".join(cells) + " |"


def not_measured(what: str, why: str, target: Target | None = None) -> Row:
    return Row(what, f"not measured: {why}", "", None, target)


def table(rows: Sequence[Row]) -> str:
    head = "| what | ours | yardstick | ratio | target | |\n|---|---|---|---|---|---|"
    return "\n".join([head, *map(str, rows)])


def machine(api: docker.APIClient) -> str:
    """What the figures depend on; no name of a host."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    engine = api.version()
    return (
        f"{cpu}, {os.cpu_count()} cores; Linux {platform.release()}; "
        f"Python {platform.python_version()}, mcp {version('mcp')}, docker-py {version('docker')}; "
        f"engine {engine['Version']} (API {engine['ApiVersion']})"
    )


def write(readme: Path, text: str) -> None:
    """Put the text between the markers."""
    before, _, rest = readme.read_text().partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise LookupError(f"{readme.name} has no {BEGIN} … {END}")
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
