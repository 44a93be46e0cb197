"""What prunes share: which objects their filters mean, and taking away exactly those that were looked at."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from mcp_docker import errors
from mcp_docker.engine import CallScope
from mcp_docker.engine.errors import translate
from mcp_docker.tool import Context, Thing, Tool
from mcp_docker.tools.containers.read import container_name

MOST = 10_000
"""More is for another call: a person is to see what goes."""

UNTAGGED = "<none>"

Filters = Mapping[str, list[str]]
Result = TypeVar("Result")


def labelled(labels: Mapping[str, str] | None, filters: Filters) -> bool:
    """Whether `label` and `label!` mean an object with these labels: every label, and none of the others."""
    carried = labels or {}

    def carries(wanted: str) -> bool:
        name, equals, value = wanted.partition("=")
        return name in carried and (not equals or carried[name] == value)

    return all(map(carries, filters.get("label", []))) and not any(map(carries, filters.get("label!", [])))


def old_enough(ctx: Context, listed: Mapping[str, Any], filters: Filters, inspect: Callable[[str], Any]) -> bool:
    """Whether `until` means an object whose listing has its Created in whole seconds.

    Args:
        inspect: asked for the fraction where the second is the same.
    """
    if "until" not in filters:
        return True
    until = float(filters["until"][0])
    created = listed.get("Created") or 0
    if created != int(until):
        return bool(created < until)
    found, _ = tried(ctx, lambda: inspect(listed["Id"]))
    return found is not None and unix(found["Created"]) <= until


def unix(text: str) -> float:
    """Unix seconds of a time as engines write it (RFC 3339, with nanoseconds)."""
    # more than six digits of a fraction are refused
    whole = re.sub(r"\.\d+", "", text)
    fraction = re.search(r"\.\d+", text)
    return datetime.fromisoformat(whole).timestamp() + float(fraction[0] if fraction else 0)


def container(listed: Mapping[str, Any]) -> Thing:
    """A container of a listing, as what is lost with it."""
    return Thing(
        "container",
        listed["Id"],
        container_name(listed),
        labels=listed.get("Labels") or {},
        created=str(listed["Created"]),
        about=f"{listed['State']}, of {listed.get('Image') or 'an image without a name'}",
    )


def shown(thing: Thing) -> str:
    """The name that tells one object from another of its kind."""
    if thing.kind == "build cache":
        return thing.id
    return thing.id.removeprefix("sha256:")[:12] if thing.name == UNTAGGED else thing.name


@dataclass(frozen=True)
class Pruned:
    """What is gone, and what stayed and why."""

    gone: list[Thing] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def freed(self) -> int | None:
        """The bytes that it freed; None unless all are known."""
        known = [thing.bytes for thing in self.gone if thing.bytes is not None]
        return sum(known) if len(known) == len(self.gone) else None


def take(ctx: Context, work: Callable[[Thing], object], *, name: Callable[[Thing], str] = shown) -> Pruned:
    """Take away what was looked at, one after the other; what fails does not stop the rest."""
    pruned = Pruned()
    things = ctx.outlook.loses
    for done, thing in enumerate(things):
        if ctx.cancelled(0):
            break
        ctx.progress(done, len(things), f"removing {thing.kind} {shown(thing)}")
        _, problem = tried(ctx, lambda thing=thing: work(thing))  # type: ignore[misc]
        if problem:
            pruned.failed[name(thing)] = problem
        else:
            pruned.gone.append(thing)
    return pruned


def tried(ctx: Context, work: Callable[[], Result]) -> tuple[Result | None, str]:
    """One step of a prune: what it gave, or why it failed.

    The one place in the tools that catches: what earlier steps removed is gone for good, and an exception of a later
    one would lose the account of it.
    """
    try:
        return work(), ""
    except Exception as error:  # noqa: BLE001
        if ctx.cancelled(0):
            return None, "out of time"
        return None, str(translate(error, ctx.engine, CallScope.current())).removeprefix("REFUSED ")


def in_time(ctx: Context, tool: Tool, removed: Mapping[str, list[str]]) -> None:
    """Where the call was cut, say what was removed before. Raises TimedOut or Cancelled."""
    reason = CallScope.current().reason
    if reason is not None:
        when = f" after {ctx.limits.seconds:g} s" if isinstance(reason, errors.TimedOut) else ""
        raise type(reason)(
            f"{tool.spec.name} was stopped{when}; removed before: "
            + ", ".join(f"{len(names)} {kind}" for kind, names in removed.items()),
            f"{tool.spec.verify} shows what is left; call again for the rest.",
            detail=json.dumps(removed, ensure_ascii=False, separators=(",", ":")),
        )
