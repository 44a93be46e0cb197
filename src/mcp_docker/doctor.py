"""What a person can read about the set-up: which engine, by which rule, what is enabled, and what to do."""

import platform
import time
from collections import Counter

import anyio

from mcp_docker import __version__, redact
from mcp_docker.caller import Caller, user
from mcp_docker.engine import CallScope, NoEngine
from mcp_docker.errors import Refused
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.tool import Kind, Tier

CONNECT_SECONDS = 10.0
LISTED = (Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)


HERE = Caller(user(), "cli")


def doctor(pipeline: Pipeline) -> int:
    """Print which engine is found and make one real call. Exit status: 0 if it was answered, else 1."""
    _line("mcp-docker", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    healthy = _engine(pipeline)
    for title, text in _enabled(pipeline):
        _line(title, text)
    if healthy:
        healthy = _real_call(pipeline)
    return 0 if healthy else 1


def show_tools(pipeline: Pipeline) -> int:
    """Print every tool, prompt and resource: enabled, or why not. Exit status: 0."""
    entries = [entry for kind in LISTED for entry in pipeline.registry.entries(HERE, kind)]
    width = max(len(entry.declared.spec.name) for entry in entries)
    toolset = ""
    for entry in entries:
        spec = entry.declared.spec
        if spec.toolset != toolset:
            toolset = spec.toolset
            _say(f"{toolset}:")
        _say(f"  {spec.name:<{width}}  {spec.tier:<11}  {entry.hidden or 'enabled'}")
    return 0


def _engine(pipeline: Pipeline) -> bool:
    try:
        with CallScope(CONNECT_SECONDS).entered():
            connected = pipeline.engine.connected
    except NoEngine as error:
        _line("engine", "none answers")
        for place, reason in error.tried:
            _line("", f"{place.address}  ({place.rule}): {reason}")
        _line("to do", error.remedy)
        return False
    except Refused as error:
        _line("engine", str(error))
        return False
    version = connected.version
    kind = "Podman" if connected.is_podman else "Docker Engine"
    _line("engine", f"{kind} {version.get('Version', '')} ({version.get('Os', '')}/{version.get('Arch', '')})")
    _line("found at", f"{connected.endpoint.address}, by {connected.endpoint.rule}")
    _line("API", f"{connected.client.api_version} (the engine offers up to {version.get('ApiVersion', '')})")
    return True


def _enabled(pipeline: Pipeline) -> list[tuple[str, str]]:
    entries = pipeline.registry.entries(HERE)
    total = Counter(entry.declared.spec.tier for entry in entries)
    shown = Counter(entry.declared.spec.tier for entry in entries if entry.hidden is None)
    lines = []
    for tier in Tier:
        reasons = sorted({str(entry.hidden) for entry in entries if entry.declared.spec.tier is tier and entry.hidden})
        why_not = f"; the rest: {', '.join(reasons)}" if reasons else ""
        lines.append(("tools" if tier is Tier.SAFE else "", f"{tier.upper()} {shown[tier]} of {total[tier]}{why_not}"))
    return lines


def _real_call(pipeline: Pipeline) -> bool:
    visible = pipeline.registry.visible(HERE)
    name = next(
        (name for name in ("docker_list_containers", "docker_version", "docker_list_images") if name in visible), ""
    )
    if not name:
        _line("real call", "none made: no tool that needs no arguments is enabled")
        return True
    began = time.perf_counter()
    result = anyio.run(pipeline.call, Call(name, {}, HERE))
    milliseconds = (time.perf_counter() - began) * 1_000
    _line("real call", f"{name}: {'answered' if not result.is_error else result.text} in {milliseconds:.0f} ms")
    return not result.is_error


def _line(title: str, text: str) -> None:
    # an address may hold a password, and an engine says of itself what it likes; this is read by those who help, too
    _say(f"{title:<12}{redact.told(' '.join(text.splitlines()), hide=True)}")


def _say(text: str) -> None:
    print(text)  # noqa: T201 - what a person asked to read
