"""What is wrong with a container."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mcp_docker.engine import lookup, own
from mcp_docker.errors import NotFound
from mcp_docker.prompt import Plan, Prompt, untold
from mcp_docker.prompts.diagnosis import Facts, diagnose
from mcp_docker.prompts.diagnosis.advice import steps
from mcp_docker.prompts.diagnosis.sections import sections
from mcp_docker.tool import Context
from mcp_docker.tools.containers import logs, stats
from mcp_docker.tools.fields import ContainerId
from mcp_docker.tools.system.read import Events

LOG_LINES = 200
EVENTS = [
    *("create start restart die died oom kill stop pause unpause rename update destroy health_status".split()),
    *("connect disconnect".split()),
]
"""What is asked for: health checks alone would fill all that an engine remembers."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}

Gathered = dict[str, Any]


class TroubleshootContainer(Prompt, shows=("docker_inspect_container",), label="Troubleshoot a container"):
    """Find out what is wrong with a container: the likeliest cause, the facts that show it, and what to do."""

    container_id: Annotated[ContainerId, Field(description="Name or id of a container")]

    def run(self, ctx: Context) -> Plan:
        found = lookup.container(ctx.engine, self.container_id)
        ctx.progress(1, 3, "gathering log, events and use")
        gathered: Gathered = {}
        missing: list[str] = []
        for part in ctx.gather(lambda gather: gather(ctx, found), _sources(ctx, found)):
            missing += part.pop("untold", ())
            gathered |= part
        ctx.progress(2, 3, "comparing the facts")
        facts = Facts(found=found, now=datetime.now(UTC), **gathered)
        findings = diagnose(facts)
        return Plan(
            about=f"Find out what is wrong with the container {facts.name} ({facts.status or 'of unknown status'}), "
            "and what to do about it. What is said to be likely or possible is to be checked against the facts.",
            shown=[*map(str, findings), *untold(missing)],
            facts=list(sections(facts, findings)),
            steps=steps(findings, ctx.tools, facts.name),
        )


def _sources(ctx: Context, found: dict[str, Any]) -> list[Callable[[Context, dict[str, Any]], Gathered]]:
    """What the caller may see, and what there is of it."""
    state = found.get("State") or {}
    sources = {
        "docker_container_logs": _log,
        "docker_events": _events,
        "docker_inspect_image": _image,
        "docker_list_containers": _others,
        "docker_list_networks": _networks,
    }
    chosen = [gather for tool, gather in sources.items() if tool in ctx.tools]
    if "docker_container_stats" in ctx.tools and state.get("Running") and not state.get("Restarting"):
        chosen.append(_use)
    return [*chosen, _mounts, _namespace]


def _log(ctx: Context, found: dict[str, Any]) -> Gathered:
    asked = logs.ContainerLogs(container_id=found["Id"], tail=LOG_LINES, timestamps=True)
    read = _optional(lambda: asked.run(ctx))
    return {"lines": read.lines} if read else {"log_unreadable": True}


def _events(ctx: Context, found: dict[str, Any]) -> Gathered:
    asked = Events(since=found.get("Created") or "0", filters={"container": [found["Id"]], "event": EVENTS}, limit=100)
    read = _optional(lambda: asked.run(ctx))
    return {"events": read.events} if read else {"untold": ["its events"]}


def _image(ctx: Context, found: dict[str, Any]) -> Gathered:
    docker, own_id = ctx.engine.docker, found.get("Image")
    if not own_id:
        return {}
    asked = _optional(lambda: [_unless_gone(ctx, lambda: docker.inspect_image(own_id))])  # type: ignore[no-untyped-call]
    if asked is None:
        return {"untold": ["its image"]}
    (image,) = asked
    name = (found.get("Config") or {}).get("Image") or ""
    tagged = _optional(lambda: docker.inspect_image(name)) if image and name else None  # type: ignore[no-untyped-call]
    theirs = str(ctx.engine.connected.version.get("Arch") or "")
    return {
        "image": image,
        "image_gone": image is None,
        "tag_moved": bool(tagged and tagged.get("Id") != image.get("Id")),
        "architecture": ARCHITECTURES.get(theirs, theirs),
    }


def _others(ctx: Context, found: dict[str, Any]) -> Gathered:  # noqa: ARG001 - all are asked alike
    return {"others": ctx.engine.docker.containers(all=True)}


def _networks(ctx: Context, found: dict[str, Any]) -> Gathered:  # noqa: ARG001 - all are asked alike
    return {"networks": ctx.engine.docker.networks()}


def _namespace(ctx: Context, found: dict[str, Any]) -> Gathered:
    mode, _, other = str((found.get("HostConfig") or {}).get("NetworkMode") or "").partition(":")
    if mode != "container" or not other:
        return {}
    return {"namespace": _optional(lambda: ctx.engine.docker.inspect_container(other))}


def _use(ctx: Context, found: dict[str, Any]) -> Gathered:
    read = _optional(lambda: stats.samples(ctx, found["Id"]))
    if read is None:
        return {"untold": ["what it uses"]}
    before, sample = read
    slow, was = ((cpu.get("throttling_data") or {}) for cpu in (sample.get("cpu_stats") or {}, before))
    periods, throttled = ((slow.get(name) or 0) - (was.get(name) or 0) for name in ("periods", "throttled_periods"))
    return {
        "usage": stats.usage(found["Id"], str(found.get("Name") or ""), before, sample),
        "throttled": throttled / periods if periods > 0 else None,
    }


def _mounts(ctx: Context, found: dict[str, Any]) -> Gathered:
    """How many folders of the host are gone: an engine that refuses a start for that leaves no trace of it."""
    if not ctx.at_hand or (found.get("State") or {}).get("Running") or not own.is_here(ctx.engine):
        return {}
    sources = [str(mount.get("Source") or "") for mount in found.get("Mounts") or [] if mount.get("Type") == "bind"]
    return {"missing": sum(_is_gone(source) for source in sources if source.startswith("/"))}


def _is_gone(path: str) -> bool:
    """Whether there is nothing at a path. What this user may not look at may be there."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _unless_gone(ctx: Context, ask: Callable[[], Any]) -> Any:
    from docker.errors import APIError

    from mcp_docker.engine.errors import translate

    try:
        return ask()
    except APIError as error:
        # podman answers 500 for what is not there
        if isinstance(translate(error, ctx.engine), NotFound):
            return None
        raise


def _optional(ask: Callable[[], Any]) -> Any:
    """The answer; None where the engine has none: what is gone, has ended, or keeps no log."""
    import requests
    from docker.errors import APIError

    try:
        return ask()
    except requests.JSONDecodeError:
        return None
    except APIError as error:
        if error.status_code in (400, 404, 409, 500, 501):
            return None
        raise
