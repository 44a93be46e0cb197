"""Containers: what they use."""

import threading
from typing import Annotated, Any

from pydantic import Field

from mcp_docker.engine import lookup
from mcp_docker.errors import Conflict
from mcp_docker.tool import Answer, Context, Fact, Tier, Tool
from mcp_docker.tools.containers.read import container_name
from mcp_docker.tools.fields import ContainerId

ONE_SHOT_API = (1, 42)
BETWEEN_SECONDS = 0.25


class Usage(Fact):
    """What one container uses, as `docker stats` computes it."""

    id: str
    name: str
    cpu_percent: float | None = Field(default=None, description="100 is one whole CPU")
    memory_bytes: int | None = Field(default=None, description="Without the page cache")
    memory_limit_bytes: int | None = None
    memory_percent: float | None = None
    net_received_bytes: int | None = None
    net_sent_bytes: int | None = None
    block_read_bytes: int | None = None
    block_written_bytes: int | None = None
    pids: int | None = None


class Stats(Answer):
    rest = "give container_id for one container."

    containers: list[Usage]
    gone: int | None = Field(default=None, description="Containers that ended meanwhile")


class ContainerStats(Tool, tier=Tier.SAFE, page="stats", gone={"stream": "call again for a new sample"}):
    """Show CPU, memory, network and disk use of one container, or of all that run."""

    container_id: Annotated[ContainerId | None, Field(description="Name or id; all if left out")] = None

    def run(self, ctx: Context) -> Stats:
        docker = ctx.engine.docker
        if self.container_id is not None:
            found = lookup.container(ctx.engine, self.container_id)
            usage = _usage(ctx, found["Id"], found["Name"]) if (found.get("State") or {}).get("Running") else None
            if usage is None:
                raise Conflict(f"container {self.container_id!r} is not running", "docker_start_container starts it.")
            return Stats(containers=[usage])
        running = docker.containers()
        done, lock = 0, threading.Lock()

        def measure(container: dict[str, Any]) -> Usage | None:
            nonlocal done
            usage = _usage(ctx, container["Id"], container_name(container))
            with lock:
                done += 1
                ctx.progress(done, len(running), f"measured {done} of {len(running)} containers")
            return usage

        measured = [usage for usage in ctx.gather(measure, running) if usage is not None]
        return Stats(
            containers=sorted(measured, key=lambda usage: usage.name), gone=len(running) - len(measured) or None
        )


def usage(container_id: str, name: str, before: dict[str, Any], sample: dict[str, Any]) -> Usage | None:
    """What a sample of the engine's says (Engine API, ContainerStats); None of a container that does not run.

    Args:
        before: an earlier reading of the CPU.
    """
    if str(sample.get("read") or "0001-").startswith("0001-"):
        return None
    memory = sample.get("memory_stats") or {}
    used, limit = _used(memory), memory.get("limit") or None
    networks = list((sample.get("networks") or {}).values())
    blocks = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    return Usage(
        id=container_id[:12],
        name=name.lstrip("/"),
        cpu_percent=_cpu(before, sample.get("cpu_stats") or {}),
        memory_bytes=used,
        memory_limit_bytes=limit,
        memory_percent=round(used / limit * 100, 2) if used is not None and limit else None,
        net_received_bytes=sum(network.get("rx_bytes") or 0 for network in networks) if networks else None,
        net_sent_bytes=sum(network.get("tx_bytes") or 0 for network in networks) if networks else None,
        block_read_bytes=_moved(blocks, "read"),
        block_written_bytes=_moved(blocks, "write"),
        pids=(sample.get("pids_stats") or {}).get("current"),
    )


def _usage(ctx: Context, container_id: str, name: str) -> Usage | None:
    """None for a container that has ended: it must not cost others their answer."""
    import requests
    from docker.errors import APIError

    try:
        before, sample = samples(ctx, container_id)
    except requests.JSONDecodeError as error:
        if error.doc.strip():
            raise
        return None
    except APIError as error:
        if error.status_code in (404, 409):
            return None
        raise
    return usage(container_id, name, before, sample)


def samples(ctx: Context, container_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An earlier reading of the CPU, and a whole sample."""
    docker = ctx.engine.docker
    if ctx.engine.api < ONE_SHOT_API:
        sample = docker.stats(container_id, stream=False)
        return sample.get("precpu_stats") or {}, sample
    # asking for one sample at once, twice, is faster than having the engine wait for its second one
    before = docker.stats(container_id, stream=False, one_shot=True).get("cpu_stats") or {}
    ctx.cancelled(BETWEEN_SECONDS)
    return before, docker.stats(container_id, stream=False, one_shot=True)


def _cpu(before: dict[str, Any], after: dict[str, Any]) -> float | None:
    used = _at(after, "total_usage") - _at(before, "total_usage")
    whole = (after.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    if whole <= 0 or used < 0:
        return None
    cpus = after.get("online_cpus") or len((after.get("cpu_usage") or {}).get("percpu_usage") or []) or 1
    return round(used / whole * cpus * 100, 2)


def _at(cpu: dict[str, Any], name: str) -> int:
    return (cpu.get("cpu_usage") or {}).get(name) or 0


def _used(memory: dict[str, Any]) -> int | None:
    """Memory without the inactive page cache: `total_inactive_file` on cgroup v1, `inactive_file` on v2."""
    usage: int | None = memory.get("usage")
    stats = memory.get("stats") or {}
    cache = stats.get("total_inactive_file", stats.get("inactive_file")) or 0
    return usage - cache if usage is not None and cache < usage else usage


def _moved(blocks: list[dict[str, Any]], operation: str) -> int | None:
    values = [block.get("value") or 0 for block in blocks if str(block.get("op")).lower() == operation]
    return sum(values) if values else None
