"""Prompts: what a container uses, and what could be set better."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from mcp_docker.engine import CallScope, lookup
from mcp_docker.errors import Conflict, TimedOut
from mcp_docker.prompt import Plan, Prompt, Section
from mcp_docker.prompts import tuning
from mcp_docker.tool import Context
from mcp_docker.tools.containers import stats
from mcp_docker.tools.fields import ContainerId
from mcp_docker.tools.images import read as images

MOST_LAYERS = 5
MOST_COMMAND = 200
SIZE_SECONDS = 5.0


class OptimizeContainer(Prompt, shows=("docker_inspect_container",)):
    """Find what a container wastes or lacks: memory, CPU, logs, image, restarts, health, rights; with figures."""

    container_id: Annotated[ContainerId, Field(description="Name or id of the container to tune")]

    def run(self, ctx: Context) -> Plan:
        found = lookup.container(ctx.engine, self.container_id)
        name = str(found.get("Name") or found["Id"][:12]).lstrip("/")
        seen = _seen(ctx, found)
        verdicts = tuning.verdicts(seen)
        faults = [verdict for verdict in verdicts if verdict.fault]
        shown = [verdict.fault for verdict in faults]
        if not seen.runs:
            shown.append("It is not running, so nothing was measured: ask again while it does its usual work.")
        elif "docker_container_stats" not in ctx.tools:
            shown.append("What it uses was not measured: it is not shown to this caller.")
        if well := [verdict.well for verdict in verdicts if verdict.well]:
            shown.append(f"Well: {', '.join(well)}.")
        return Plan(
            about=f"Make the container {name} run better: less waste, fewer ways to fail.",
            shown=shown,
            facts=_sections(seen),
            steps=_steps(ctx, name, seen, faults),
        )


def _seen(ctx: Context, found: dict[str, Any]) -> tuning.Seen:
    """Everything at once: the usage of a container takes a second, its size as long as it has files."""
    container_id, image_id = found["Id"], found.get("Image") or ""
    tag = (found.get("Config") or {}).get("Image") or ""
    running = bool((found.get("State") or {}).get("Running"))
    asked = ["written"]
    if "docker_container_stats" in ctx.tools and running:
        asked += ["usage", "throttled"]
    if "docker_inspect_image" in ctx.tools and image_id:
        asked += ["image", "tagged"] if tag else ["image"]
    if "docker_image_history" in ctx.tools and image_id:
        asked.append("layers")

    def answer(what: str) -> Any:
        docker = ctx.engine.docker
        match what:
            case "written":
                return _written(ctx, container_id)
            case "usage":
                return stats.ContainerStats(container_id=container_id).run(ctx).containers[0]
            case "throttled":
                return _throttled(
                    docker.stats(container_id, stream=False, one_shot=ctx.engine.api >= stats.ONE_SHOT_API)
                )
            case "image":
                return docker.inspect_image(image_id)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
            case "tagged":
                return docker.inspect_image(tag).get("Id")  # type: ignore[no-untyped-call]  # as above
            case _:
                return images.ImageHistory(image=image_id).run(ctx).layers

    ctx.progress(0, 0, "measuring")
    facts = dict(zip(asked, ctx.gather(lambda what: _optional(lambda: answer(what)), asked), strict=True))
    tagged = facts.get("tagged")
    return tuning.Seen(
        found=found,
        usage=facts.get("usage"),
        written=facts.get("written"),
        throttled=facts.get("throttled"),
        image=facts.get("image") or {},
        layers=facts.get("layers") or [],
        moved=tagged is not None and tagged.removeprefix("sha256:") != image_id.removeprefix("sha256:"),
        is_podman=ctx.engine.connected.is_podman,
        info=ctx.engine.connected.info,
    )


def _optional(fact: Callable[[], Any]) -> Any:
    """A fact, or None where this engine or this container has none."""
    from docker.errors import APIError

    try:
        return fact()
    except (APIError, Conflict):
        return None


def _written(ctx: Context, container_id: str) -> int | None:
    """Bytes in the container's own layer, if the engine has counted its files in a few seconds."""
    import requests

    with CallScope.current().ending_after(SIZE_SECONDS):
        try:
            written = ctx.engine.get(f"/containers/{container_id}/json", size=1).json().get("SizeRw")
        except (requests.RequestException, TimedOut):
            return None
    return written if isinstance(written, int) and written >= 0 else None


def _throttled(sample: dict[str, Any]) -> float | None:
    data = (sample.get("cpu_stats") or {}).get("throttling_data") or {}
    periods = data.get("periods") or 0
    return (data.get("throttled_periods") or 0) / periods if periods >= tuning.FEWEST_PERIODS else None


def _sections(seen: tuning.Seen) -> list[Section]:
    usage, host, image = seen.usage, seen.host, seen.image
    measured = {
        "state": seen.state.get("Status"),
        "started": seen.state.get("StartedAt") if seen.runs else None,
        "restarts": seen.found.get("RestartCount"),
        "memory": _of(usage.memory_bytes, usage.memory_limit_bytes) if usage else None,
        "cpu": f"{usage.cpu_percent:g} % (100 is one whole CPU)" if usage and usage.cpu_percent is not None else None,
        "held back by the CPU limit": f"{seen.throttled:.1%} of periods" if seen.throttled is not None else None,
        "processes and threads": usage.pids if usage else None,
        "written into its layer": tuning.size(seen.written) if seen.written is not None else None,
    }
    policy, log = host.get("RestartPolicy") or {}, host.get("LogConfig") or {}
    settings = {
        "image": seen.config.get("Image"),
        "image size": tuning.size(image["Size"]) if image.get("Size") else None,
        "image created": image.get("Created"),
        "memory limit": tuning.size(host["Memory"]) if host.get("Memory") else "none",
        "CPU limit": f"{seen.cpus:g}" if seen.cpus else "none",
        "process limit": host.get("PidsLimit") if (host.get("PidsLimit") or 0) > 0 else "none",
        "restart": policy.get("Name") or "no",
        "log driver": " ".join(
            [log.get("Type") or "", *(f"{key}={value}" for key, value in (log.get("Config") or {}).items())]
        ),
        "user": seen.config.get("User") or "root",
        "read-only root": "yes" if host.get("ReadonlyRootfs") else "no",
        "tmpfs": ", ".join(host.get("Tmpfs") or {}),
    }
    sections = [
        Section(title="Measured once, now" if usage else "State", text=_listed(measured)),
        Section(title="Settings", text=_listed(settings)),
    ]
    largest = sorted((layer for layer in seen.layers if layer.size), key=lambda layer: -layer.size)[:MOST_LAYERS]
    if largest and image.get("Size", 0) >= tuning.LARGE_LAYER:
        lines = [f"{tuning.size(layer.size)}: {layer.created_by[:MOST_COMMAND] or '(no command)'}" for layer in largest]
        sections.append(Section(title="Largest layers of the image", text="\n".join(lines)))
    return sections


def _of(used: int | None, limit: int | None) -> str | None:
    if used is None:
        return None
    return tuning.size(used) + (f" of {tuning.size(limit)}" if limit else "")


def _listed(facts: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items() if value not in (None, ""))


def _steps(ctx: Context, name: str, seen: tuning.Seen, faults: list[tuning.Verdict]) -> list[str]:
    if not faults:
        return ["Nothing here asks for a change. Say so, with the figures."]
    steps = []
    if (seen.state.get("OOMKilled") or (seen.found.get("RestartCount") or 0) >= tuning.MANY_RESTARTS) and (
        "docker_container_logs" in ctx.tools
    ):
        steps.append("Read docker_container_logs for why it failed; tuning comes after that.")
    if seen.usage is not None:
        steps.append(
            "The figures are one sample: before setting a limit by them, call docker_container_stats again under the "
            "heaviest usual load, and take the highest."
        )
    flags = list(dict.fromkeys(verdict.update for verdict in faults if verdict.update))
    if flags:
        steps.append(
            "Once the user agrees, a person sets what needs no new container: "
            f"`docker update {' '.join(flags)} {name}`. Write the same into its Compose file or run command, or the "
            "next container forgets it."
        )
    if len(flags) < len(faults):
        steps.append(
            "The rest takes a new container, and for the image a new build. Change the Compose file, run command or "
            "Dockerfile one thing at a time; what is named first gains most."
        )
    if seen.layers and any(verdict.of_image for verdict in faults):
        steps.append("docker_image_history shows every layer and the command that made it.")
    return steps
