"""Whatever happens to a request: a typed error in time or the truth, and the next call works.

Every row of faults runs on a server of its own with each representative call, a few rows at the same time.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import eventually
from tests.e2e.proxy import EngineProxy, Fault
from tests.faults import faults
from tests.faults.calls import CALLS, EVERYWHERE, World, settings
from tests.faults.rounds import Rounds
from tests.faults.served import descriptors, served, threads

AT_ONCE = 5
THREADS = 2 * len(CALLS) + 5
"""A call, and the wait for one that is late, take one each; some a server has by itself."""
GIVEN_UP_SECONDS = 20.0
"""A request that makes something outlives its call by ten seconds, so that what it made can be taken back."""
DESCRIPTORS = {"stdio": 14, "http": 14 + len(CALLS)}
"""Without those to the engine; clients over HTTP keep theirs open."""


@dataclass(frozen=True)
class Row:
    """A fault, and the codes with which calls may be refused under it.

    Attributes:
        unseen: calls that can't see it: nobody needs what their answer says.
        reused: it strikes connections only that were used before.
    """

    fault: Fault
    codes: frozenset[str]
    unseen: frozenset[str] = frozenset()
    reused: bool = False


def refused(*codes: str) -> frozenset[str]:
    return frozenset(codes)


BROKEN = refused("ENGINE_UNREACHABLE")
LATE = refused("TIMED_OUT")
SAID = refused("ENGINE_ERROR", "REGISTRY_FAILED")
ODD = refused("ENGINE_ERROR", "ENGINE_UNREACHABLE")
BELIEVED = frozenset({"remove"})
ELSEWHERE = b"HTTP/1.1 307 Elsewhere\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

ROWS: dict[str, Row] = {
    "hangs": Row(faults.hangs, LATE),
    "hangs in the middle of an answer": Row(faults.breaks_off(5, faults.hangs), LATE),
    "answers a byte at a time": Row(faults.dribbles(0.1), LATE),
    "is late": Row(faults.comes_late(0.5), refused()),
    "hangs up": Row(faults.hangs_up, BROKEN),
    "resets": Row(faults.resets, BROKEN),
    "drops connections that were idle": Row(faults.hangs_up, BROKEN, reused=True),
    # what a command prints has no length, and has ended well where a connection closes between two frames
    "breaks off before a body": Row(faults.breaks_off(0), BROKEN, frozenset({"exec"})),
    "breaks off in a body": Row(faults.breaks_off(5), BROKEN),
    "shortens what it says": Row(faults.shortens, ODD),
    "answers 500": Row(faults.says(500, b'{"message":"out of order"}'), SAID),
    "answers 503 without a word": Row(faults.says(503, b""), SAID),
    "answers 502 in HTML": Row(faults.says(502, b"<html>Bad Gateway</html>", "text/html"), SAID),
    "sends elsewhere": Row(faults.babbles(ELSEWHERE), SAID),
    "answers with a status of no engine's": Row(faults.says(999, b"{}"), SAID),
    "answers no HTTP": Row(faults.babbles(b"\x00\xff\x16\x03 nonsense \r\n\r\n"), BROKEN),
    "answers no JSON": Row(faults.says(200, b"nonsense"), ODD, BELIEVED),
    "nests JSON without an end": Row(faults.says(200, b"[" * 100_000), ODD, BELIEVED),
    "answers JSON of another kind": Row(faults.says(200, b"null"), ODD | {"INTERNAL_ERROR", "BUILD_FAILED"}, BELIEVED),
}
OVER_HTTP = ("hangs", "resets", "breaks off in a body", "answers 500")
CASES = [(name, "stdio") for name in ROWS] + [(name, "http") for name in OVER_HTTP]

Outcomes = dict[tuple[str, str], "Future[list[str]]"]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcomes]:
    """What is wrong under each fault; those of the tests that were chosen run beside each other."""
    chosen: list[Any] = [getattr(item, "callspec", None) for item in request.session.items]
    cases = [spec.params["case"] for spec in chosen if spec is not None and "case" in spec.params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(endured, world, case, tmp_path_factory.mktemp("row")) for case in cases}


def endured(world: World, case: tuple[str, str], folder: Path) -> list[str]:
    """What was wrong before, under and after a fault."""
    name, transport = case
    row = ROWS[name]
    audit = folder / "audit.jsonl"
    proxy = EngineProxy(folder / "proxy.sock", os.environ["DOCKER_HOST"])
    proxy.start()
    with served(transport, folder, audit, DOCKER_HOST=proxy.address, **settings(world)) as server:
        rounds = Rounds(server, world, audit)
        rounds.go("before")
        proxy.fail(EVERYWHERE, row.fault, reused=row.reused)
        rounds.go("under it", row.codes, row.unseen)
        assert proxy.struck, "the fault never struck"
        proxy.fail("", faults.hangs)
        rounds.go("after it")
        rounds.close()
        rounds.wrong += left_over(lambda: threads(server.pid), THREADS, "threads")
        rounds.wrong += left_over(lambda: proxy.striking, 0, "requests that were given up")
        rounds.wrong += left_over(
            lambda: descriptors(server.pid) - proxy.connections, DESCRIPTORS[transport], "descriptors"
        )
    proxy.stop()
    return rounds.wrong


def left_over(count: Callable[[], int], most: int, what: str) -> list[str]:
    try:
        eventually(lambda: count() <= most, GIVEN_UP_SECONDS)
    except AssertionError:
        return [f"{count()} {what}, at most {most} expected"]
    return []


@pytest.mark.parametrize("case", CASES, ids=[f"{name}, over {transport}" for name, transport in CASES])
def test_an_engine_that(case: tuple[str, str], outcomes: Outcomes) -> None:
    wrong = outcomes[case].result()
    assert not wrong, "\n".join(wrong)
