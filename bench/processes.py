"""A server as a process: its start, its exit, its memory, and the size of what a model must read."""

import json
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from bench.rpc import Exit, Message, StdioServer
from bench.stage import LONG_LOG, NEEDLE
from bench.subjects import NAIVE, Bench
from bench.table import WITHIN, Row, Target, not_measured

BARE = "smallest SDK server"
SLOW: dict[str, Message] = {
    "docker_exec_command": {"command": ["sleep", "60"]},
    "docker_stop_container": {"timeout": 30},
}
"""Calls that outlast every exit; the container to stop ignores SIGTERM."""
MEGABYTE = 1_000_000

Leave = Callable[[StdioServer], None]


def startup(bench: Bench) -> Iterator[Row]:
    """From the spawn to the answer of the first tools/list, in turns with the smallest server there is."""
    # Also fills the caches of bytecode and files.
    for start in (bench.ours, bench.bare):
        _start_once(start)
    pairs = [(_start_once(bench.ours), _start_once(bench.bare)) for _ in range(bench.sizes.pairs)]
    for index, what in enumerate(("start to first tools/list, wall time", "the same, CPU time")):
        mine = [ours[index] for ours, _ in pairs]
        theirs = [bare[index] for _, bare in pairs]
        yield Row(
            what=what,
            ours=f"{statistics.median(mine):.2f} s",
            yardstick=f"{BARE} {statistics.median(theirs):.2f} s",
            ratio=statistics.median(a / b for a, b in zip(mine, theirs, strict=True)),
            target=Target(1.15),
        )


def exits(bench: Bench) -> Iterator[Row]:
    """From the end of input, or SIGTERM, to a process that is gone, with slow calls under way."""
    slow = [name for name in SLOW if not bench.lacks(name)]
    busy = " and ".join(slow)
    ways: dict[str, Leave] = {
        "stdin's end": StdioServer.close_stdin,
        "SIGTERM": lambda server: server.signal(signal.SIGTERM),
    }
    for what, leave in ways.items():
        if not slow:
            yield not_measured(f"exit after {what}", f"neither {' nor '.join(SLOW)}", WITHIN)
            continue
        ends = [_exit_once(bench, leave, slow) for _ in range(bench.sizes.exits)]
        seconds = max(seconds for seconds, _ in ends)
        statuses = {str(end.status) if end else "none, killed" for _, end in ends}
        yield Row(
            what=f"exit after {what}, {busy} under way; the slowest of {len(ends)}",
            ours=f"{seconds:.2f} s, status {' or '.join(sorted(statuses))}",
            yardstick="limit 1.5 s, status 0",
            ratio=seconds / 1.5,
            target=WITHIN,
            flaw="" if statuses == {"0"} else "wrong status",
        )


def memory(bench: Bench) -> Iterator[Row]:
    """What is resident at the start, whether it grows, and what a long log costs at its peak."""
    sizes = bench.sizes
    mine = _resident(bench, bench.ours)
    theirs = _resident(bench, bench.naive)
    for index, what in enumerate(("at the start", f"after {sizes.warm} calls")):
        yield Row(
            what=f"resident memory {what}",
            ours=_megabytes(mine[index]),
            yardstick=f"{NAIVE} {_megabytes(theirs[index])}",
            ratio=mine[index] / theirs[index],
        )
    growth = mine[2] - mine[1]
    yield Row(
        what=f"growth in the next {sizes.soak} calls",
        ours=_megabytes(growth),
        yardstick=f"limit 5 MB ({NAIVE} {_megabytes(theirs[2] - theirs[1])})",
        ratio=growth / (5 * MEGABYTE),
        target=WITHIN,
    )
    # Before the container was made: the engine has to look at every line all the same.
    since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    reads: dict[str, Message] = {
        "the last 10,000 lines": {"tail": 10_000},
        "the last 10,000 lines since an hour ago": {"tail": 10_000, "since": since},
        "the last 10,000 lines that hold a word": {"tail": 10_000, "contains": NEEDLE},
    }
    for what, arguments in reads.items():
        label = f"peak growth, {what} of a log of {LONG_LOG:,}"
        if lacking := bench.lacks("docker_container_logs", *arguments):
            yield not_measured(label, lacking, WITHIN)
            continue
        peak = _peak(bench, bench.ours, arguments)
        naive = _peak(bench, bench.naive, arguments)
        yield Row(
            what=label,
            ours=_megabytes(peak),
            yardstick=f"limit 30 MB ({NAIVE} {_megabytes(naive)})",
            ratio=peak / (30 * MEGABYTE),
            target=WITHIN,
        )


def reading(bench: Bench) -> Iterator[Row]:
    """What a model must read before its first call: the list of tools with every tier switched on."""
    with bench.ours(SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS="true") as server:
        server.handshake()
        tools = server.tools()
    size = 0
    for tool in tools:
        seen = {key: tool[key] for key in ("name", "description", "inputSchema") if key in tool}
        size += len(json.dumps(seen, separators=(",", ":"), ensure_ascii=False).encode())
    yield Row(
        what=f"tools/list as a model sees it, all {len(tools)} tools",
        ours=f"{size:,} bytes",
        yardstick="limit 20,480 bytes",
        ratio=size / 20_480,
        target=WITHIN,
    )


def _start_once(start: Callable[[], StdioServer]) -> tuple[float, float]:
    """Wall seconds until the list, CPU seconds of the whole short life."""
    began = time.perf_counter()
    with start() as server:
        server.handshake()
        server.request("tools/list", {})
        wall = time.perf_counter() - began
        return wall, server.end().cpu


def _exit_once(bench: Bench, leave: Leave, slow: Sequence[str]) -> tuple[float, Exit | None]:
    stage = bench.stage
    with stage.stubborn() as stubborn, bench.ours() as server:
        server.handshake()
        targets = {"docker_exec_command": stage.quiet, "docker_stop_container": stubborn}
        for name in slow:
            server.send_call(name, {"container_id": targets[name], **SLOW[name]})
        # Time for both to reach the engine; an answer so soon means that they did not.
        if answers := server.answers_within(2):
            raise RuntimeError(f"the slow calls ended at once: {answers}")
        began = time.perf_counter()
        leave(server)
        ended = server.wait(20)
        return time.perf_counter() - began, ended


def _resident(bench: Bench, start: Callable[[], StdioServer]) -> tuple[int, int, int]:
    """Bytes at the start, after a warm-up, and after many calls."""
    with start() as server:
        server.handshake()
        server.tools()
        first = server.memory("VmRSS")
        calls = _lists_and_inspects(bench, server)
        for call in islice(calls, bench.sizes.warm):
            call()
        warm = server.memory("VmRSS")
        for call in islice(calls, bench.sizes.soak):
            call()
        return first, warm, server.memory("VmRSS")


def _lists_and_inspects(bench: Bench, server: StdioServer) -> Iterator[Callable[[], Message]]:
    while True:
        yield lambda: server.call("docker_list_containers", {"all": True})
        yield lambda: server.call("docker_inspect_container", {"container_id": bench.stage.quiet})


def _peak(bench: Bench, start: Callable[[], StdioServer], arguments: Message) -> int:
    """How far the resident memory rises above what it was, while one long log is read."""
    with start() as server:
        server.handshake()
        # What the first call loads is not the log's.
        server.call("docker_container_logs", {"container_id": bench.stage.short_log, "tail": 10})
        server.forget_peak()
        before = server.memory("VmRSS")
        server.call("docker_container_logs", {"container_id": bench.stage.long_log, **arguments})
        return server.memory("VmHWM") - before


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"
