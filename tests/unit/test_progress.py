"""What a caller hears of a call: only ever forward, and that it goes on."""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from mcp_docker import progress
from mcp_docker.confirm import Question, Reply
from mcp_docker.progress import Teller
from tests.unit.conftest import FakeEngine, Run

Told = tuple[float, float | None, str]


@pytest.fixture
def told() -> list[Told]:
    return []


@pytest.fixture
def listen(told: list[Told]) -> progress.Progress:
    async def hear(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    return hear


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass."""
    now = [1_000.0]
    monkeypatch.setattr("mcp_docker.progress.time.monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def tell(teller: Teller, *steps: Callable[[], Any]) -> None:
    """Take steps, saying after each what there is to say."""

    async def all_of_it() -> None:
        for step in steps:
            step()
            assert teller._progress is not None
            await teller._say(teller._progress)

    anyio.run(all_of_it)


def grows(told: list[Told]) -> bool:
    amounts = [done for done, _, _ in told]
    return amounts == sorted(set(amounts)) and all(total is None or total >= done for done, total, _ in told)


def test_work_that_tells_nothing_is_said_to_go_on_each_second(
    told: list[Told], listen: progress.Progress, clock: Callable[[float], None]
) -> None:
    teller = Teller(listen, "List containers", str)
    tell(teller, *[lambda: clock(0.25)] * 10)
    assert told == [(0, None, "List containers, for 1 s"), (0.001, None, "List containers, for 2 s")]


def test_a_wait_is_counted_in_seconds_of_those_it_may_take(
    told: list[Told], listen: progress.Progress, clock: Callable[[float], None]
) -> None:
    teller = Teller(listen, "Stop container", str)
    tell(teller, lambda: teller.wait(2, "stopping web"), *[lambda: clock(1)] * 3)
    assert told == [(1, 2, "stopping web: 1 of 2 s"), (2, 2, "stopping web: 2 of 2 s"), (3, 3, "stopping web: 3 s")]


def test_the_value_grows_where_only_the_words_change_or_the_count_falls_back(
    told: list[Told], listen: progress.Progress, clock: Callable[[float], None]
) -> None:
    teller = Teller(listen, "Pull image", str)
    tell(
        teller,
        lambda: teller.tell(5, 10, "5 of 10"),
        lambda: teller.tell(5, 10, "5 of 10, unpacking"),
        lambda: teller.tell(3, 4, "3 of 4"),
        lambda: clock(2),
        lambda: teller.tell(10, 10, "10 of 10"),
        lambda: teller.tell(10, 10, "10 of 10"),
    )
    assert [message for _, _, message in told] == [
        "5 of 10",
        "5 of 10, unpacking",
        "3 of 4",
        "3 of 4, for 2 s",
        "10 of 10",
    ]
    assert grows(told)


def test_what_is_said_again_does_not_count_as_news(
    told: list[Told], listen: progress.Progress, clock: Callable[[float], None]
) -> None:
    teller = Teller(listen, "Pull image", str)

    def again() -> None:
        teller.tell(1, 2, "1 of 2")
        clock(0.5)

    tell(teller, *[again] * 3)
    assert [message for _, _, message in told] == ["1 of 2", "1 of 2, for 1 s"]


def test_messages_are_made_fit_to_be_shown(told: list[Told], listen: progress.Progress) -> None:
    teller = Teller(listen, "Exec command", str.upper)
    tell(teller, lambda: teller.tell(1, 0, "running x"))
    assert told == [(1, None, "RUNNING X")]


def test_a_call_whose_engine_is_slow_is_said_to_go_on(
    engine: FakeEngine, run: Run, told: list[Told], listen: progress.Progress
) -> None:
    engine.on("GET", "/containers/json", lambda _request: threading.Event().wait(1.4) or [])
    assert not run("docker_list_containers", listen).is_error
    assert told[0][:2] == (0, None)
    assert re.fullmatch("List containers, for [1-9] s", told[0][2])  # more than one on a busy machine


def test_progress_goes_on_after_a_question_where_it_was_before(
    engine: FakeEngine, run: Run, told: list[Told], listen: progress.Progress
) -> None:
    asked: list[Question] = []

    async def agree(question: Question) -> Reply:
        asked.append(question)
        return Reply("accept")

    volume = {"Name": "data", "Driver": "local", "CreatedAt": "2026-01-01T00:00:00Z"}
    engine.on("GET", "/volumes", lambda _request: threading.Event().wait(1.2) or {"Volumes": [volume]})
    engine.on("GET", "/volumes/data", volume)
    engine.on("GET", "/containers/json", [])
    engine.on("DELETE", "/volumes/data", status=204)
    run("docker_remove_volume", listen, agree, volume_name="data")
    assert asked
    assert len(told) >= 2
    assert grows(told)


def test_a_caller_that_can_be_told_no_more_has_its_call_cut(engine: FakeEngine, run: Run) -> None:
    gone, over = threading.Event(), threading.Event()

    def endless(_: Any) -> Any:
        try:
            for _ in range(1_000):
                yield b"\x01\0\0\0\0\0\0\x02x\n"
                over.wait(0.05)
        finally:
            gone.set()

    engine.on("GET", "/containers/web/json", {"Id": "a" * 64, "Name": "/web", "Config": {}})
    engine.on("GET", f"/containers/{'a' * 64}/logs", endless)

    async def left(*_: Any) -> None:
        raise ConnectionError("nobody listens")

    began = time.monotonic()
    with pytest.raises(ExceptionGroup):
        run("docker_container_logs", left, container_id="web", follow=True, seconds=40)
    assert gone.wait(10)
    over.set()
    assert time.monotonic() - began < 15
