"""Prompts: what a container uses, and what could be set better."""

from typing import Annotated, Any

from pydantic import Field

from mcp_docker.engine import CallScope, lookup
from mcp_docker.errors import Conflict, NotFound, TimedOut
from mcp_docker.prompt import Plan, Prompt, Section, untold
from mcp_docker.prompts import tuning
from mcp_docker.tool import Context
from mcp_docker.tools.containers import stats
from mcp_docker.tools.fields import ContainerId
from mcp_docker.tools.images import read as images

MOST_LAYERS = 5
MOST_COMMAND = 200
SIZE_SECONDS = 5.0
UNTOLD = {
    "written": "how much it has written into its own layer",
    "usage": "what it uses",
    "throttled": "whether its CPU limit holds it back",
    "image": "its image",
    "tagged": "what the name of its image means now",
    "layers": "the layers of its image",
}
OF_THE_IMAGE = ("image", "tagged", "layers")


class OptimizeContainer(Prompt, shows=("docker_inspect_container",)):
    """Find what a container wastes or lacks: memory, CPU, logs, image, restarts, health, rights; with figures."""

    container_id: Annotated[ContainerId, Field(description="Name or id of the container to tune")]

    def run(self, ctx: Context) -> Plan:
        found = lookup.container(ctx.engine, self.container_id)
        name = str(found.get("Name") or found["Id"][:12]).lstrip("/")
        seen, missing = _seen(ctx, found)
        verdicts = tuning.verdicts(seen)
        faults = [verdict for verdict in verdicts if verdict.fault]
        shown = [verdict.fault for verdict in faults]
        if not seen.runs:
            shown.append("It is not running, so nothing was measured: ask again while it does its usual work.")
        elif "docker_container_stats" not in ctx.tools:
            shown.append("What it uses was not measured: it is not shown to this caller.")
        shown += untold(missing)
        if well := [verdict.well for verdict in verdicts if verdict.well]:
            shown.append(f"Well: {', '.join(well)}.")
        return Plan(
            about=f"Make the container {name} run better: less waste, fewer ways to fail.",
            shown=shown,
            facts=_sections(seen),
            steps=_steps(ctx, name, seen, faults, whole=not missing),
        )


def _seen(ctx: Context, found: dict[str, Any]) -> tuple[tuning.Seen, list[str]]:
    """Everything at once: the usage of a container takes a second, its size as long as it has files.

    Returns:
        What the engine tells, and what it was asked for in vain.
    """
    from docker.errors import APIError

    from mcp_docker.engine.errors import translate

    missing: list[str] = []

    def told(what: str) -> Any:
        try:
            return _answer(ctx, found, what)
        except Conflict:
            missing.append(UNTOLD[what])
        except APIError as error:
            # an image may be gone, and a tag name nothing any more: those are answers
            if what not in OF_THE_IMAGE or not isinstance(translate(error, ctx.engine), NotFound):
                missing.append(UNTOLD[what])
        return None

    ctx.progress(0, 0, "measuring")
    asked = _asked(ctx, found)
    facts = dict(zip(asked, ctx.gather(told, asked), strict=True))
    if facts["written"] is None:
        missing.append(UNTOLD["written"])
    tagged = facts.get("tagged")
    seen = tuning.Seen(
        found=found,
        usage=facts.get("usage"),
        written=facts.get("written"),
        throttled=facts.get("throttled"),
        image=facts.get("image") or {},
        layers=facts.get("layers") or [],
        moved=tagged is not None and tagged.removeprefix("sha256:") != found["Image"].removeprefix("sha256:"),
        is_podman=ctx.engine.connected.is_podman,
        info=ctx.engine.connected.info,
    )
    return seen, missing


def _asked(ctx: Context, found: dict[str, Any]) -> list[str]:
    """What there is to ask for, of what the caller may see."""
    asked = ["written"]
    state = found.get("State") or {}
    if "docker_container_stats" in ctx.tools and state.get("Running") and not state.get("Restarting"):
        asked += ["usage", "throttled"]
    if "docker_inspect_image" in ctx.tools and found.get("Image"):
        asked += ["image", "tagged"] if (found.get("Config") or {}).get("Image") else ["image"]
    if "docker_image_history" in ctx.tools and found.get("Image"):
        asked.append("layers")
    return asked


def _answer(ctx: Context, found: dict[str, Any], what: str) -> Any:
    docker, container_id = ctx.engine.docker, found["Id"]
    match what:
        case "written":
            return _written(ctx, container_id)
        case "usage":
            return stats.ContainerStats(container_id=container_id).run(ctx).containers[0]
        case "throttled":
            return _throttled(docker.stats(container_id, stream=False, one_shot=ctx.engine.api >= stats.ONE_SHOT_API))
        case "image":
            return docker.inspect_image(found["Image"])  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        case "tagged":
            return docker.inspect_image(found["Config"]["Image"]).get("Id")  # type: ignore[no-untyped-call]  # as above
        case _:
            return images.ImageHistory(image=found["Image"]).run(ctx).layers


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


def _steps(ctx: Context, name: str, seen: tuning.Seen, faults: list[tuning.Verdict], *, whole: bool) -> list[str]:
    if not faults and not whole:
        return ["Nothing that is known asks for a change. Say so, and what is not known."]
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
