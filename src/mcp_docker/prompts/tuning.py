"""What of a container could be set better, with figures: each check says what is well, or what is not."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mcp_docker.prompts.inspected import Inspected
from mcp_docker.prompts.memory import HEAP_SHARE, largest_heap, limits, rounded
from mcp_docker.tools.containers.stats import Usage
from mcp_docker.tools.images.read import Layer

MIB = 1 << 20
HEADROOM = 2.5
TIGHT = 0.9
IDLE = 0.1
THROTTLED = 0.05
BASE = 0.4
LARGE_IMAGE = 500 * MIB
LARGE_LAYER = 50 * MIB
OLD_DAYS = 180
LONGEST_DAYS = 36_500
FREQUENT_SECONDS = 5
MANY_RESTARTS = 3
FEWEST_PIDS = 100
FEWEST_FILES = 1024
FEWEST_PERIODS = 50

# what fills a layer for nothing: what a step does, and what says that it tidies up
_LEAVES = (
    (re.compile(r"apt(?:-get)? .*install"), re.compile(r"/var/lib/apt/lists|--mount=type=cache")),
    (re.compile(r"pip3? install"), re.compile(r"--no-cache-dir|PIP_NO_CACHE_DIR|--mount=type=cache")),
    (re.compile(r"apk (?:-\S+ )*add"), re.compile(r"--no-cache|/var/cache/apk|--mount=type=cache")),
    (re.compile(r"(?:yum|dnf) .*install"), re.compile(r"clean all|--mount=type=cache")),
)


@dataclass(frozen=True)
class Seen(Inspected):
    """What the engine tells of a container; None and empty for what can't be had.

    Attributes:
        written: bytes in its own layer.
        throttled: the share of the CPU's periods in which it was held back, since it started.
        image: its image's inspect.
        layers: of its image, newest first.
        moved: whether its image's tag names another image by now.
        info: what the engine says of itself (GET /info).
    """

    usage: Usage | None = None
    written: int | None = None
    throttled: float | None = None
    image: dict[str, Any] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    moved: bool = False
    is_podman: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        return bool(self.state.get("Running")) and not self.state.get("Restarting")

    @property
    def cpus(self) -> float:
        """How many CPUs it may use; 0 for all."""
        quota, period = self.host.get("CpuQuota") or 0, self.host.get("CpuPeriod") or 100_000
        return (self.host.get("NanoCpus") or 0) / 1e9 or max(quota, 0) / period


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        well: what is as it should be, in a few words.
        fault: what is not, why it matters, and what to set.
        update: flags of `docker update` that set it without a new container.
        urgent: whether it fails the container or slows it down now.
        of_image: whether the image's layers tell more.
    """

    well: str = ""
    fault: str = ""
    update: str = ""
    urgent: bool = False
    of_image: bool = False


def verdicts(seen: Seen) -> list[Verdict]:
    """What every check says, those first whose advice gains most."""
    found = [verdict for check in _CHECKS if (verdict := check(seen)) is not None]
    return sorted(found, key=lambda verdict: not verdict.urgent)


def size(count: float) -> str:
    """Bytes for a person."""
    for unit, name in ((1 << 30, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.{int(count < 10 * unit and count % unit > 0)}f} {name}"
    return f"{count:.0f} bytes"


def days(when: str) -> int | None:
    """Whole days since a time of the engine; None for one that is none."""
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(re.sub(r"\.\d+", "", when))
    except (ValueError, TypeError):
        return None
    return age.days if 0 <= age.days < LONGEST_DAYS else None


def _restarts(seen: Seen) -> Verdict | None:
    count = seen.found.get("RestartCount") or 0
    if count < MANY_RESTARTS:
        return None
    return Verdict(fault=f"The engine restarted it {count} times. Find out why before anything is tuned.", urgent=True)


def _memory(seen: Seen) -> Verdict | None:
    limit = seen.host.get("Memory") or 0
    used = seen.usage.memory_bytes if seen.usage else None
    heap = largest_heap(seen)
    if 0 < limit <= heap:
        return _heap_above(seen, limit, heap)
    if seen.state.get("OOMKilled"):
        return _out_of_memory(seen, limit)
    if not limit and used is None:
        return Verdict(fault="No memory limit: it can take all of the host's (mem_limit, --memory).")
    if used is None:
        return Verdict(well=f"memory limit ({size(limit)})")
    if limit and used >= TIGHT * limit:
        tight = f"The memory limit is tight: {size(used)} of {size(limit)}, {used / limit:.0%}. A peak gets it killed."
        return _memory_limit(seen, tight, used, rounded(max(1.5 * used, 1.25 * limit)), urgent=True)
    # a heap that is small now may grow later
    wanted = rounded(max(HEADROOM * used, heap / HEAP_SHARE))
    if not limit:
        whole = seen.info.get("MemTotal") or 0
        takes = f"all {size(whole)} of the host" if whole else "all of the host's"
        why = f"No memory limit: it uses {size(used)} and can take {takes}"
        if 0 < whole <= wanted:  # it would limit nothing
            return Verdict(fault=f"{why} (mem_limit, --memory).")
        return _memory_limit(seen, f"{why}.", used, wanted)
    if used <= IDLE * limit and wanted <= limit / 2:
        far = f"The memory limit is far above its need: it uses {size(used)} of {size(limit)}."
        return _memory_limit(seen, far, used, wanted)
    return Verdict(well=f"memory limit ({size(used)} of {size(limit)} used)")


def _heap_above(seen: Seen, limit: int, heap: int) -> Verdict:
    killed = seen.state.get("OOMKilled")
    then = ", at which it was killed" if killed else ": it is killed, or swaps, before the heap is full"
    setting, _ = limits(seen, rounded(heap / HEAP_SHARE))
    return Verdict(
        fault=f"Its heap may grow to {size(heap)}, but its memory limit is {size(limit)}{then}. Let the heap have "
        f"{size(int(HEAP_SHARE * limit))} at most (-Xmx, --max-old-space-size), or set {setting}.",
        urgent=True,
    )


def _out_of_memory(seen: Seen, limit: int) -> Verdict:
    if not limit:
        return Verdict(
            fault="It was killed for want of memory without having a limit: the host ran out. Find out what else uses "
            "the host's memory, and limit that and this (mem_limit, --memory).",
            urgent=True,
        )
    more = rounded(2 * limit)
    setting, flags = limits(seen, more)
    return Verdict(
        fault=f"It was killed at its memory limit of {size(limit)}. If it does not leak, try {size(more)} ({setting}).",
        update=flags,
        urgent=True,
    )


def _memory_limit(seen: Seen, why: str, used: int, wanted: int, *, urgent: bool = False) -> Verdict:
    room = f"A limit of {size(wanted)} leaves room for {wanted / max(used, 1):.1f} times that"
    setting, flags = limits(seen, wanted)
    return Verdict(fault=f"{why} {room} ({setting}).", update=flags, urgent=urgent)


def _cpu(seen: Seen) -> Verdict | None:
    limit = seen.cpus
    used = seen.usage.cpu_percent / 100 if seen.usage and seen.usage.cpu_percent is not None else None
    if not limit:
        return None if used is None else _no_cpu_limit(seen, used)
    if seen.throttled is not None and seen.throttled >= THROTTLED:
        why = (
            f"The CPU limit of {limit:g} holds it back: it had to wait in {seen.throttled:.0%} of the periods since it "
            "started. Where latency matters"
        )
    elif used is not None and used >= TIGHT * limit:
        why = f"It uses {used:.2f} of the {limit:g} CPUs that it may use. If that lasts"
    else:
        return Verdict(well=f"CPU limit ({limit:g})")
    more, whole = math.ceil(limit * 2 * 4) / 4, seen.info.get("NCPU") or 0
    if whole and limit >= whole:
        return Verdict(fault=f"{why}, it needs a larger host: this one has {whole} CPUs in all.", urgent=True)
    # the engine refuses more than the host has
    setting, flag = _cpus(seen, min(more, whole or more))
    return Verdict(fault=f"{why}: {setting}.", update=flag, urgent=True)


def _cpus(seen: Seen, count: float) -> tuple[str, str]:
    """What sets so many CPUs, in a Compose file and for `docker update`."""
    quota, period = seen.host.get("CpuQuota") or 0, seen.host.get("CpuPeriod") or 0
    # the engine refuses --cpus beside these; Podman shows both of what was asked for as one
    if not seen.host.get("NanoCpus") and (quota > 0 or period > 0):
        wanted = int(count * (period or 100_000))
        return f"cpu_quota: {wanted}", f"--cpu-quota {wanted}"
    return f"cpus: {count:g}", f"--cpus {count:g}"


def _no_cpu_limit(seen: Seen, used: float) -> Verdict | None:
    whole = seen.info.get("NCPU") or 0
    wanted = max(0.5, math.ceil(used * HEADROOM * 2) / 2)
    if whole and whole <= wanted:  # it would limit nothing
        return None
    takes = f"all {whole} CPUs" if whole else "all CPUs"
    setting, flag = _cpus(seen, wanted)
    return Verdict(
        fault=f"No CPU limit: it uses {used:.2f} CPUs and can take {takes}. Where others need them: {setting}.",
        update=flag,
    )


def _pids(seen: Seen) -> Verdict | None:
    limit = seen.host.get("PidsLimit") or 0
    used = seen.usage.pids if seen.usage else None
    wanted = max(FEWEST_PIDS, math.ceil((used or 0) * 4 / 50) * 50)
    tight = limit > 0 and used is not None and used >= TIGHT * limit
    if limit > 0 and not tight:
        return Verdict(well=f"process limit ({limit})")
    if tight:
        why = f"It has {used} of the {limit} processes and threads that it may have."
    else:
        has = f"it has {used}, and " if used is not None else ""
        why = f"No limit on processes and threads: {has}one that forks without end takes the host."
    return Verdict(fault=f"{why} pids_limit: {wanted}.", update=f"--pids-limit {wanted}", urgent=tight)


def _open_files(seen: Seen) -> Verdict | None:
    for limit in seen.host.get("Ulimits") or []:
        few = limit.get("Soft") or 0
        if str(limit.get("Name") or "").lower().endswith("nofile") and 0 < few < FEWEST_FILES:
            return Verdict(
                fault=f"It may have {few} open files and sockets, fewer than servers need. ulimits: nofile: 65536.",
                urgent=True,
            )
    return None


def _logs(seen: Seen) -> Verdict | None:
    log = seen.host.get("LogConfig") or {}
    driver = log.get("Type") or seen.info.get("LoggingDriver") or ""
    if driver == "none":
        return Verdict(
            fault="Its logs are thrown away (driver none), so nothing tells why it failed. logging: driver: local "
            "keeps up to 100 MB."
        )
    if seen.is_podman:  # it does not show the options
        return None
    if driver == "json-file" and not (log.get("Config") or {}).get("max-size"):
        return Verdict(
            fault="Its log grows until the disk is full: json-file without max-size. logging: driver: local, or "
            "options: max-size: 10m, max-file: 3."
        )
    return Verdict(well="logs are bounded") if driver in ("json-file", "local") else None


def _own_layer(seen: Seen) -> Verdict | None:
    if seen.written is None or seen.written < LARGE_LAYER:
        return None
    return Verdict(
        fault=f"It has written {size(seen.written)} into its own layer, which is slow, and lost with the container: a "
        "volume for what is to stay, tmpfs for what is not."
    )


def _image_size(seen: Seen) -> Verdict | None:
    count = seen.image.get("Size") or 0
    if count < LARGE_IMAGE:
        return Verdict(well=f"image size ({size(count)})") if count else None
    fault = f"A large image: {size(count)}"
    if filled := [layer.size for layer in seen.layers if layer.size]:
        largest = ", ".join(size(each) for each in sorted(filled, reverse=True)[:3])
        fault += f" in {len(filled)} layers, the largest {largest}"
        if filled[-1] >= BASE * count:
            fault += "; much of it is the oldest, which is the base's: take a smaller base (slim, alpine, distroless)"
        else:
            fault += ": build in one stage and copy the result into another, with a .dockerignore"
    return Verdict(fault=f"{fault}.", of_image=True)


def _left_behind(seen: Seen) -> Verdict | None:
    left = [layer.size for layer in seen.layers if layer.size >= MIB and _leaves(layer.created_by)]
    if not left:
        return None
    return Verdict(
        fault=f"Steps of the image that install packages and leave the package manager's files in the layer: "
        f"{len(left)}, with {size(sum(left))} in all. Delete them in the same RUN.",
        of_image=True,
    )


def _leaves(command: str) -> bool:
    return any(does.search(command) and not tidies.search(command) for does, tidies in _LEAVES)


def _restart_policy(seen: Seen) -> Verdict | None:
    if seen.host.get("AutoRemove"):
        return None
    policy = (seen.host.get("RestartPolicy") or {}).get("Name") or "no"
    if policy != "no":
        return Verdict(well=f"restart policy ({policy})")
    return Verdict(
        fault="No restart policy: it stays down after a crash or a reboot. For a service, restart: unless-stopped.",
        update="--restart unless-stopped",
    )


def _health(seen: Seen) -> Verdict | None:
    check = seen.config.get("Healthcheck") or {}
    test = check.get("Test") or []
    if not test or test[:1] == ["NONE"]:
        return Verdict(fault="No health check: nobody notices when it hangs. healthcheck: test: something cheap.")
    seconds = (check.get("Interval") or 0) / 1e9
    if 0 < seconds < FREQUENT_SECONDS:
        return Verdict(
            fault=f"Its health check starts a process every {seconds:g} s. healthcheck: interval: 30s, with "
            "start_interval where the start has to be quick."
        )
    return Verdict(well="health check")


def _image_age(seen: Seen) -> Verdict | None:
    if seen.moved:
        return Verdict(fault="It runs an older image than its tag names by now: make it anew to get the newer one.")
    age = days(seen.image.get("Created") or "")
    if age is None or age <= OLD_DAYS:
        return None
    return Verdict(fault=f"The image is {age} days old: rebuild or pull it for the fixes since.")


def _tag(seen: Seen) -> Verdict | None:
    name = (seen.config.get("Image") or "").rpartition("/")[2]
    if not name or "@" in name or re.fullmatch(r"(?:sha256:)?[0-9a-f]{12,64}", name):
        return None
    if name.partition(":")[2] in ("", "latest"):
        return Verdict(fault="Its image is named without a version: the next pull may bring another. Name one.")
    return Verdict(well="image version")


def _user(seen: Seen) -> Verdict | None:
    if str(seen.config.get("User") or "").partition(":")[0] in ("", "0", "root"):
        return Verdict(fault="It runs as root. user: an id that owns what it writes, or USER in the Dockerfile.")
    return Verdict(well="ordinary user")


def _root(seen: Seen) -> Verdict | None:
    if seen.host.get("ReadonlyRootfs"):
        return Verdict(well="read-only root")
    tmpfs = "it has written nothing so far" if seen.written == 0 else "tmpfs or a volume for what `docker diff` lists"
    return Verdict(fault=f"Its root can be written to. read_only: true; {tmpfs}.")


_CHECKS: tuple[Callable[[Seen], Verdict | None], ...] = (
    _restarts,
    _memory,
    _cpu,
    _open_files,
    _logs,
    _own_layer,
    _image_size,
    _left_behind,
    _restart_policy,
    _health,
    _image_age,
    _tag,
    _pids,
    _user,
    _root,
)
