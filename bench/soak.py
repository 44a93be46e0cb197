"""Endurance: clients on both transports call without a pause while faults come and go between server and engine.

Every answer is judged by what the engine has and by which fault was on: an answer that is wrong, and a refusal that no
fault explains, count. So does an audit line that is missing.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import MEGABYTE
from docker.errors import APIError
from tests.e2e.process import Message
from tests.e2e.proxy import EngineProxy, Fault
from tests.faults import faults
from tests.faults.calls import CALLS, EVERYWHERE, Round, World, leads_on, settings
from tests.faults.rounds import overdue, recorded
from tests.faults.served import SLACK, WAY, Asked, Served, memory, served, threads

FAULTS: dict[str, Fault] = {
    "hangs": faults.hangs,
    "hangs up": faults.hangs_up,
    "resets": faults.resets,
    "is late": faults.comes_late(0.3),
    "breaks off": faults.breaks_off(5),
    "hangs in the middle": faults.breaks_off(5, faults.hangs),
    "shortens": faults.shortens,
    "answers 500": faults.says(500, b'{"message":"out of order"}'),
    "answers no HTTP": faults.babbles(b"\x00\xff nonsense \r\n\r\n"),
}
GOES = "goes away"
DROPS = "drops connections"
CODES = frozenset({"ENGINE_UNREACHABLE", "ENGINE_ERROR", "TIMED_OUT", "REGISTRY_FAILED"})
ON_SECONDS, OFF_SECONDS = 4.0, 6.0
AFTER_SECONDS = 1.0
"""How long after a fault its traces may still be seen: in streams that are read, in pooled connections."""
SAMPLE_SECONDS = 10.0
GROWTH_BYTES = 10 * MEGABYTE
SPARE_THREADS = 3
SHOWN = 40
WARM = 0.25
"""The share of the time after which memory and threads are taken as settled, at least 15 seconds."""


class Weather:
    """Which fault is on, and when it was.

    Args:
        proxies: through which the servers reach the engine.
        seed: of the order of faults.
    """

    def __init__(self, proxies: Sequence[EngineProxy], seed: int) -> None:
        self._proxies = proxies
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._lock = threading.Lock()
        self._changed = time.monotonic()
        self._on = ""
        self.met: Counter[str] = Counter()

    def was_fair(self, since: float) -> bool:
        """Whether no fault was on from then until now, nor shortly before."""
        with self._lock:
            return not self._on and self._changed + AFTER_SECONDS < since

    def blow(self, ended: threading.Event) -> None:
        """Switch faults on and off until the end, and then off."""
        while not ended.wait(OFF_SECONDS):
            name = self._chance.choice([*FAULTS, GOES, DROPS])
            self._set(name)
            self.met[name] += 1
            for proxy in self._proxies:
                if name == GOES:
                    proxy.stop()
                elif name == DROPS:
                    proxy.cut()
                else:
                    proxy.fail(EVERYWHERE, FAULTS[name])
            ended.wait(ON_SECONDS)
            for proxy in self._proxies:
                if name == GOES:
                    proxy.start()
                proxy.fail("", faults.hangs)
            self._set("")

    def _set(self, name: str) -> None:
        with self._lock:
            self._on, self._changed = name, time.monotonic()


@dataclass
class Tally:
    """What came of the calls to one server."""

    asked: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Sample:
    """What a server holds at a moment."""

    seconds: float
    bytes: int
    threads: int


@dataclass(frozen=True)
class Subject:
    """One server under test, what it recorded, and what came of its calls."""

    name: str
    server: Served
    audit: Path
    proxy: EngineProxy
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)


def client(subject: Subject, world: World, weather: Weather, ended: threading.Event, seed: int) -> None:
    """Call until the end: any of the calls, one after the other."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    while not ended.is_set():
        name = chance.choice(list(CALLS))
        call = CALLS[name]
        at = Round(world)
        if name in ("remove", "events"):
            at.prepare()
        began = time.monotonic()
        answer = subject.server.ask({name: Asked(call.tool, call.arguments(at), call.seconds)})[name]
        problem = judged(name, at, answer, fair=weather.was_fair(began))
        with subject.tally.lock:
            subject.tally.asked[call.tool] += 1
            if answer is not None and not answer["isError"]:
                subject.tally.done[call.tool] += 1
            elif answer is not None:
                subject.tally.codes[answer["_meta"]["mcp-docker/code"]] += 1
            if problem:
                subject.tally.wrong.append(f"{subject.name}, {name}: {problem}")
        tidied(at)


def judged(name: str, at: Round, answer: Message | None, *, fair: bool) -> str:
    """What is wrong with an answer."""
    call = CALLS[name]
    if answer is None:
        return f"no answer within {call.seconds + SLACK + WAY:g} s"
    text = str(answer["content"][0]["text"])
    if not answer["isError"]:
        return "" if call.is_true(at, answer["structuredContent"]) else f"not so: {text}"
    if fair or answer["_meta"]["mcp-docker/code"] not in CODES:
        return f"refused for no reason: {text}"
    if call.happened is not None and call.happened(at) and not leads_on(text):
        return f"changed something all the same: {text}"
    return ""


def tidied(at: Round) -> None:
    """Remove what a call has made, so that the engine does not fill up."""
    world = at.world
    for name in (at.made(), at.doomed()):
        if at.is_there(name):
            try:
                world.raw.remove_container(name, force=True)
            except APIError as error:
                if error.status_code not in (404, 409):  # what a call that was refused began may still go on
                    raise
    for reference in (f"{world.registry.address}/{at.id}:v1", f"built:{at.id}"):
        if world.raw.images(reference):
            # steps that other builds go on from stay
            world.raw.remove_image(reference, force=True, noprune=True)


def grown(samples: Sequence[Sample], of: Callable[[Sample], int], warm: float) -> int:
    """By how much the last third of the samples is above those at which it was warm; medians of both."""
    settled = [of(sample) for sample in samples if sample.seconds >= warm]
    third = max(1, len(settled) // 3)
    return middle(settled[-third:]) - middle(settled[:third])


def middle(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2] if values else 0


def watched(subjects: Sequence[Subject], seconds: float) -> Iterator[str]:
    """Look at the servers now and then for so long; a line for each look."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        threading.Event().wait(min(SAMPLE_SECONDS, seconds - passed, max(2.0, seconds / 12)))
        told = []
        for subject in subjects:
            pid = subject.server.pid
            subject.samples.append(Sample(time.monotonic() - began, memory(pid), threads(pid)))
            last = subject.samples[-1]
            calls = sum(subject.tally.asked.values())
            told.append(f"{subject.name} {calls} calls, {last.bytes / MEGABYTE:.1f} MB, {last.threads} threads")
        yield f"{time.monotonic() - began:5.0f} s  " + "; ".join(told)


def set_up(stack: ExitStack, world: World, engine: str, folder: Path, clients: int) -> Iterator[tuple[Subject, int]]:
    """Servers, and how many clients each is for: over standard input one, so there are as many servers."""
    for name, transport, wanted in [(f"stdio {n + 1}", "stdio", 1) for n in range(clients)] + [
        ("http", "http", clients)
    ]:
        home = folder / name.replace(" ", "-")
        home.mkdir()
        proxy = EngineProxy(home / "proxy.sock", engine)
        proxy.start()
        stack.callback(proxy.stop)
        audit = home / "audit.jsonl"
        env = {"DOCKER_HOST": proxy.address, **settings(world)}
        server = stack.enter_context(served(transport, home, audit, **env))
        yield Subject(name, server, audit, proxy), wanted


def soaked(engine: str, seconds: float, clients: int, seed: int, folder: Path) -> int:
    """Run it; 1 if anything was wrong, lost, or grew."""
    ended = threading.Event()
    with ExitStack() as stack:
        world = World(engine, folder)
        stack.callback(world.close)
        served_clients = list(set_up(stack, world, engine, folder, clients))
        subjects = [subject for subject, _ in served_clients]
        weather = Weather([subject.proxy for subject in subjects], seed)
        pool = stack.enter_context(ThreadPoolExecutor(1 + sum(count for _, count in served_clients)))
        stack.callback(ended.set)
        at_work = [pool.submit(weather.blow, ended)]
        at_work += [
            pool.submit(client, subject, world, weather, ended, seed + 1 + number)
            for subject, count in served_clients
            for number in range(count)
        ]
        for line in watched(subjects, seconds):
            say(line)
        ended.set()
        for each in at_work:
            each.result()
        return told(subjects, weather, max(15.0, seconds * WARM))


def told(subjects: Sequence[Subject], weather: Weather, warm: float) -> int:
    """Print what came of it; 1 if anything was wrong, lost, or grew."""
    wrong = [line for subject in subjects for line in (*subject.tally.wrong, *overdue(subject.audit))]
    missing = [
        f"{subject.name}: {line}"
        for subject in subjects
        for line in recorded(subject.audit, subject.tally.asked, subject.tally.done)
    ]
    asked = sum(sum(subject.tally.asked.values()) for subject in subjects)
    done = sum(sum(subject.tally.done.values()) for subject in subjects)
    codes = sum((subject.tally.codes for subject in subjects), Counter[str]())
    for line in (wrong + missing)[:SHOWN]:
        say(line)
    say(f"faults        {', '.join(f'{name} {count}' for name, count in sorted(weather.met.items()))}")
    say(f"calls         {asked}: {done} done, {', '.join(f'{code} {count}' for code, count in codes.most_common())}")
    say(f"wrong         {len(wrong)}")
    say(f"audit lost    {len(missing)}")
    failed = bool(wrong or missing)
    for subject in subjects:
        more = grown(subject.samples, lambda sample: sample.bytes, warm)
        threads_more = grown(subject.samples, lambda sample: sample.threads, warm)
        say(f"{subject.name:13} memory grew by {more / MEGABYTE:.1f} MB, threads by {threads_more}")
        failed = failed or more > GROWTH_BYTES or threads_more > SPARE_THREADS
    return int(failed)


def say(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, and print what came of it."""
    parser = argparse.ArgumentParser(prog="bench/soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=3, help="on each transport")
    parser.add_argument("--seed", type=int, default=None, help="of the order of calls and faults")
    chosen = parser.parse_args(arguments)
    engine = os.environ.get("DOCKER_HOST", "")
    if not engine.startswith("unix://"):
        say('needs an engine on a Unix socket: eval "$(scripts/engine start 28)"')
        return 2
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(10_000)
    say(f"seed          {seed}")
    with tempfile.TemporaryDirectory() as folder:
        return soaked(engine, chosen.seconds, chosen.clients, seed, Path(folder))
