"""Calls of a running server: how long one takes, how many go through, what slow ones do to the others."""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from bench.rpc import CallError, Message, StdioServer
from bench.stage import CROWD, SHORT_LOG, name_of
from bench.subjects import NAIVE, Bench, RawEngine, quantile
from bench.table import Row, Target, not_measured

OURS = "ours"
RAW = "raw HTTP"
DEPTHS = (1, 8, 32, 64)
SLOW_CALLS = 20

Subjects = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Kind:
    """A kind of call, and the ways to make it without our server."""

    what: str
    tool: str
    arguments: Message
    raw: Callable[[], object]
    docker_py: Callable[[], object]
    wanted: Sequence[str]
    """What an answer must hold: a quick one is no merit if it lacks half of what was asked for."""
    targets: Mapping[str, Target]


def latency(bench: Bench) -> Iterator[Row]:
    """How long a call takes, beside the engine, docker-py, and a server on the bare SDK."""
    with bench.ours() as ours, bench.naive() as naive, closing(bench.raw()) as raw:
        ours.handshake()
        naive.handshake()
        for kind in _kinds(bench, raw):
            what = f"{kind.what}, p50 / p99"
            if lacking := bench.lacks(kind.tool, *kind.arguments):
                yield not_measured(what, lacking, next(iter(kind.targets.values()), None))
                continue
            answer = json.dumps(ours.call(kind.tool, kind.arguments))
            missing = sum(text not in answer for text in kind.wanted)
            subjects: Subjects = {
                OURS: partial(ours.call, kind.tool, kind.arguments),
                RAW: kind.raw,
                "docker-py": kind.docker_py,
                NAIVE: partial(naive.call, kind.tool, kind.arguments),
            }
            times = _interleave(subjects, bench.sizes.rounds, bench.sizes.block)
            mine = times.pop(OURS)
            for yardstick, theirs in times.items():
                yield Row(
                    what=what,
                    ours=_milliseconds(mine),
                    yardstick=f"{yardstick} {_milliseconds(theirs)}",
                    ratio=quantile(mine, 0.5) / quantile(theirs, 0.5),
                    target=kind.targets.get(yardstick),
                    flaw=f"{missing} of {len(kind.wanted)} not shown" if missing else "",
                )


def _kinds(bench: Bench, raw: RawEngine) -> list[Kind]:
    api, quiet, short = bench.stage.api, bench.stage.quiet, bench.stage.short_log
    return [
        Kind(
            what=f"list of {CROWD} containers",
            tool="docker_list_containers",
            arguments={"all": True},
            raw=lambda: raw.read_json("/containers/json?all=1"),
            docker_py=lambda: api.containers(all=True),
            wanted=[name_of(n) for n in range(CROWD)],
            targets={RAW: Target(1.6)},
        ),
        Kind(
            what="inspect of a container",
            tool="docker_inspect_container",
            arguments={"container_id": quiet},
            raw=lambda: raw.read_json(f"/containers/{quiet}/json"),
            docker_py=lambda: api.inspect_container(quiet),
            wanted=[quiet],
            targets={NAIVE: Target(2)},
        ),
        Kind(
            what=f"log of {SHORT_LOG} lines",
            tool="docker_container_logs",
            arguments={"container_id": short, "tail": SHORT_LOG},
            raw=lambda: raw.read(f"/containers/{short}/logs?stdout=1&stderr=1&tail={SHORT_LOG}"),
            docker_py=lambda: api.logs(short, tail=SHORT_LOG),
            wanted=[f"request {n:06}" for n in range(SHORT_LOG)],
            targets={},
        ),
    ]


def throughput(bench: Bench) -> Iterator[Row]:
    """How many list calls go through, with so many in flight."""
    with bench.ours() as ours, bench.naive() as naive:
        for server in (ours, naive):
            server.handshake()
            _flight(server, max(DEPTHS), max(DEPTHS))
        for depth in DEPTHS:
            runs = [
                (_flight(ours, depth, bench.sizes.flight), _flight(naive, depth, bench.sizes.flight))
                for _ in range(bench.sizes.repeats)
            ]
            mine, theirs = (statistics.median(rate for rate, _ in side) for side in zip(*runs, strict=True))
            refused = sum(count for (_, count), _ in runs)
            yield Row(
                what=f"list calls a second, {depth} in flight",
                ours=f"{mine:.0f}",
                yardstick=f"{NAIVE} {theirs:.0f}",
                ratio=mine / theirs,
                target=Target(0.8, at_least=True) if depth == 32 else None,
                flaw=f"{refused} refused" if refused else "",
            )


def slow_beside_quick(bench: Bench) -> Iterator[Row]:
    """What slow calls do to a quick one."""
    target = Target(3)
    ways = _slow_ways(bench)
    if not ways:
        why = "neither docker_container_logs nor docker_exec_command"
        yield not_measured(f"inspect beside {SLOW_CALLS} slow calls", why, target)
        return
    idle: list[float] = []
    loaded: list[float] = []
    ended = 0
    kind = ""
    for _ in range(bench.sizes.repeats):
        with bench.ours() as server:
            server.handshake()
            _quick_calls(server, bench, 50)
            idle += _quick_calls(server, bench, bench.sizes.quick)
            kind, slow = _start_slow(server, ways)
            loaded += _quick_calls(server, bench, bench.sizes.quick)
            ended += len(slow & server.early.keys())
    yield Row(
        what=f"inspect beside {SLOW_CALLS} {kind}, p50 / p99; ratio of p99",
        ours=_milliseconds(loaded),
        yardstick=f"ours, idle {_milliseconds(idle)}",
        ratio=quantile(loaded, 0.99) / quantile(idle, 0.99),
        target=target,
        flaw=f"{ended} of the slow calls ended early" if ended else "",
    )


def _interleave(subjects: Subjects, rounds: int, block: int) -> dict[str, list[float]]:
    """Seconds of each call. The subjects take turns, so that drift of the machine hits all the same."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(rounds + 1):
        for name, call in subjects.items():
            for _ in range(block):
                start = time.perf_counter()
                call()
                # The first turn only warms up.
                if turn:
                    times[name].append(time.perf_counter() - start)
    return times


def _flight(server: StdioServer, depth: int, calls: int) -> tuple[float, int]:
    """Answers a second with a fixed number of calls under way, and how many calls were refused."""
    start = time.perf_counter()
    for _ in range(min(depth, calls)):
        server.send_call("docker_list_containers", {"all": True})
    refused = 0
    answer: Message = {}
    for answered in range(1, calls + 1):
        answer = server.receive()
        refused += "error" in answer or bool(answer["result"].get("isError"))
        if answered + depth <= calls:
            server.send_call("docker_list_containers", {"all": True})
    if refused == calls:
        raise CallError(f"every one of {calls} calls was refused: {answer}")
    return (calls - refused) / (time.perf_counter() - start), refused


def _quick_calls(server: StdioServer, bench: Bench, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        server.call("docker_inspect_container", {"container_id": bench.stage.quiet})
        times.append(time.perf_counter() - start)
    return times


def _slow_ways(bench: Bench) -> dict[str, tuple[str, Message]]:
    """Calls that don't end before they are cut, of those that our server has."""
    quiet = bench.stage.quiet
    ways: dict[str, tuple[str, Message]] = {
        "logs that are followed": (
            "docker_container_logs",
            {"container_id": quiet, "follow": True, "seconds": 30},
        ),
        "execs of sleep": ("docker_exec_command", {"container_id": quiet, "command": ["sleep", "20"]}),
    }
    return {kind: (tool, args) for kind, (tool, args) in ways.items() if not bench.lacks(tool, *args)}


def _start_slow(server: StdioServer, ways: Mapping[str, tuple[str, Message]]) -> tuple[str, set[int]]:
    """Start slow calls, of the first kind that is not answered at once. Their ids."""
    for kind, (tool, arguments) in ways.items():
        slow = {server.send_call(tool, arguments) for _ in range(SLOW_CALLS)}
        if not server.answers_within(1.5):
            return kind, slow
    raise CallError("the server has no call that takes its time")


def _milliseconds(times: list[float]) -> str:
    return f"{quantile(times, 0.5) * 1000:.2f} / {quantile(times, 0.99) * 1000:.2f} ms"
