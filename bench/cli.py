"""The command: options, the order of the measurements, where the table goes."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from os import environ
from pathlib import Path

import docker
from bench import calls, processes
from bench.stage import set_up
from bench.subjects import FULL, HERE, SMALL, Bench
from bench.table import Row, machine, table, write
from docker.errors import DockerException

MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "startup": processes.startup,
    "latency": calls.latency,
    "throughput": calls.throughput,
    "slow": calls.slow_beside_quick,
    "exit": processes.exits,
    "memory": processes.memory,
    "reading": processes.reading,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    docker_host = environ.get("DOCKER_HOST", "")
    if not docker_host.startswith("unix://"):
        return _complain('needs an engine on a Unix socket: eval "$(scripts/engine start 28)"')
    if not shutil.which(shlex.split(options.server)[0]):
        return _complain(f"no {options.server}; run it as `uv run bench/run`, or give --server")
    # An interrupted bench still removes its containers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        api = docker.APIClient(docker_host)
        if not api.images(options.image):
            return _complain(f"the engine has no image {options.image}: scripts/engine image")
    except DockerException as error:
        return _complain(f"no engine at $DOCKER_HOST: {error}")
    began = time.monotonic()
    _say("setting up the containers")
    with tempfile.TemporaryDirectory() as scratch, set_up(api, options.image) as stage:
        sizes = SMALL if options.quick else FULL
        bench = Bench(stage, sizes, shlex.split(options.server), docker_host, Path(scratch))
        rows = list(_measure(bench, options.only or list(MEASUREMENTS)))
    sample = "a small sample (--quick)" if options.quick else "the full sample"
    text = f"{machine(api)}; {sample}.\n\n{table(rows)}"
    sys.stdout.write(f"{text}\n")
    if options.write:
        write(HERE / "README.md", text)
    missed = [row.what for row in rows if row.met is False]
    _say(f"{len(missed)} targets missed" + "".join(f"\n  {what}" for what in missed), began)
    return 1 if missed and options.gate else 0


def _measure(bench: Bench, names: Sequence[str]) -> Iterator[Row]:
    for name in names:
        began = time.monotonic()
        yield from MEASUREMENTS[name](bench)
        _say(name, began)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    beside = Path(sys.executable).with_name("mcp-docker")
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measure mcp-docker beside a bare SDK server and the raw engine."
    )
    parser.add_argument("--quick", action="store_true", help="a smaller sample, in about a minute")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--gate", action="store_true", help="exit with status 1 if a target is missed")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, help="these measurements alone")
    parser.add_argument("--image", default="mcp-docker-test:latest", help="an image with sh and awk")
    parser.add_argument(
        "--server", default=shlex.quote(str(beside)), help="what starts the server (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _say(what: str, began: float | None = None) -> None:
    took = f" ({time.monotonic() - began:.0f} s)" if began is not None else ""
    sys.stderr.write(f"bench: {what}{took}\n")


def _complain(what: str) -> int:
    _say(what)
    return 2
