"""The watch: what it asks of the engine, whom it tells, when it ends."""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from loguru import logger

from mcp_docker import watch as watching
from mcp_docker.engine import Engine, scope
from mcp_docker.engine import clock as engine_clock
from mcp_docker.errors import TooManyFollowed
from mcp_docker.settings import load
from mcp_docker.watch import Watch, streams
from tests.unit.conftest import FakeEngine, Request

ID = "a" * 64
OTHER = "b" * 64
LOGS = f"/containers/{ID}/logs"
STATS = f"/containers/{ID}/stats"
BRIEFLY = 0.3


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Feed:
    """The body of a stream that says what the test gives it, to whoever asked last.

    Attributes:
        opened: how many requests came.
        closed: how many of their connections the engine knows to be closed.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self._said: deque[bytes | None] = deque()
        self._news = threading.Condition()

    def __call__(self, _: Request) -> Iterator[bytes]:
        with self._news:
            self.opened += 1
            self._news.notify_all()
            return self._pieces(self.opened)

    def _pieces(self, number: int) -> Iterator[bytes]:
        def ready() -> bool:
            return bool(self._said) or self.opened > number

        try:
            while True:
                with self._news:
                    if not self._news.wait_for(ready, 20) or self.opened > number:
                        return
                    said = self._said.popleft()
                if said is None:
                    return
                yield said
        finally:
            self.closed += 1

    def say(self, *pieces: bytes) -> None:
        with self._news:
            self._said.extend(pieces)
            self._news.notify_all()

    def event(self, action: str, container_id: str = ID, name: str = "web") -> None:
        """Docker's form of an event."""
        actor = {"ID": container_id, "Attributes": {"name": name}}
        self.say(json.dumps({"Type": "container", "Action": action, "Actor": actor}).encode() + b"\n")

    def end(self) -> None:
        """End the stream that is open, as an engine that has nothing more to say."""
        with self._news:
            self._said.append(None)
            self._news.notify_all()


@pytest.fixture
def events(engine: FakeEngine) -> Iterator[Feed]:
    feed = Feed()
    engine.on("GET", "/events", feed)
    yield feed
    feed.end()


@pytest.fixture
def log(engine: FakeEngine) -> Iterator[Feed]:
    feed = Feed()
    engine.on("GET", LOGS, feed)
    yield feed
    feed.end()


@pytest.fixture
def numbers(engine: FakeEngine) -> Iterator[Feed]:
    feed = Feed()
    engine.on("GET", STATS, feed)
    yield feed
    feed.end()


@pytest.fixture
async def watch(engine: FakeEngine) -> AsyncIterator[Watch]:  # noqa: ARG001 - what is watched
    made = Engine(load())
    watch = Watch(made)
    yield watch
    await watch.aclose()
    await until(lambda: not threads())
    made.forget()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(f"{message.record['level'].name} {message.record['message']}"))
    yield lines
    logger.remove(sink)


class Heard:
    """What a listener was told, and when."""

    def __init__(self) -> None:
        self.what: list[str | None] = []
        self.when: list[float] = []

    def __call__(self, uri: str | None) -> None:
        self.what.append(uri)
        self.when.append(time.monotonic())


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("watch-")]


async def until(holds: Callable[[], object], seconds: float = 10) -> None:
    with anyio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other threads
            await anyio.sleep(0.005)


def sample(cpu: int = 100, **more: Any) -> bytes:
    told = {
        "read": "2026-01-31T12:00:00Z",
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": 2_000, "online_cpus": 1},
        "precpu_stats": {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 1_000},
        "memory_stats": {"usage": 1_000, "limit": 10_000},
    }
    return json.dumps(told | more).encode() + b"\n"


NOT_RUNNING = sample(read="0001-01-01T00:00:00Z")


# --- lists


async def test_nothing_is_asked_until_somebody_needs_it(engine: FakeEngine, watch: Watch) -> None:
    listener = watch.listen(Heard())
    await anyio.sleep(BRIEFLY)
    assert not engine.requests
    assert not threads()
    listener.close()


async def test_one_stream_asks_for_the_events_that_change_the_list(
    engine: FakeEngine, events: Feed, watch: Watch
) -> None:
    asked = time.time()
    listeners = [watch.listen(Heard(), lists=True) for _ in range(5)]
    told = time.time()
    await until(lambda: events.opened)
    (request,) = engine.requests
    assert (request.method, request.path) == ("GET", "/events")
    assert json.loads(request.query["filters"]) == {
        "type": ["container"],
        "event": ["destroy", "die", "died", "remove", "rename", "start"],
    }
    # what happens before it is open is told of as well
    assert asked - 0.01 < float(request.query["since"]) < told + 0.01
    assert threads() == ["watch-events"]
    for listener in listeners[1:]:
        listener.close()
    await anyio.sleep(BRIEFLY)
    assert threads() == ["watch-events"]
    listeners[0].close()
    await until(lambda: not threads())


@pytest.mark.parametrize("action", ["start", "die", "died", "rename"])
async def test_listeners_of_lists_are_told_of_what_changes_them(events: Feed, watch: Watch, action: str) -> None:
    heard, deaf = Heard(), Heard()
    watch.listen(heard, lists=True)
    watch.listen(deaf)
    events.event(action)
    await until(lambda: heard.what)
    assert heard.what == [None]
    assert not deaf.what


async def test_podmans_form_of_an_event_is_understood(events: Feed, watch: Watch) -> None:
    heard = Heard()
    watch.listen(heard, lists=True)
    events.say(b'{"status":"died","id":"', b'%s","Actor":null}\n\n' % ID.encode())
    await until(lambda: heard.what)


async def test_the_removal_of_a_stopped_container_does_not_change_the_list(events: Feed, watch: Watch) -> None:
    heard = Heard()
    watch.listen(heard, lists=True)
    events.event("destroy")
    await anyio.sleep(BRIEFLY)
    assert not heard.what


async def test_many_events_are_told_once_a_second(events: Feed, watch: Watch) -> None:
    heard = Heard()
    watch.listen(heard, lists=True)
    began = time.monotonic()
    events.event("start")
    await until(lambda: heard.what)
    for _ in range(20):
        events.event("start")
    await until(lambda: len(heard.what) == 2)
    # from before the first: when exactly it was told, a busy machine notes late
    assert heard.when[1] - began > 0.99
    assert heard.when[1] - heard.when[0] < 2
    await anyio.sleep(1.2)
    assert len(heard.what) == 2


async def test_a_listener_may_change_its_mind_about_lists(events: Feed, watch: Watch) -> None:
    heard = Heard()
    listener = watch.listen(heard)
    listener.hears_lists(True)
    events.event("start")
    await until(lambda: heard.what)
    listener.hears_lists(False)
    await until(lambda: not threads())


# --- logs


async def test_a_log_is_followed_from_the_moment_of_asking(
    engine: FakeEngine, events: Feed, log: Feed, watch: Watch
) -> None:
    asked = time.time()
    watch.listen(Heard()).follow("logs", ID, "logs")
    await until(lambda: log.opened and events.opened)
    opened = time.time()
    (request,) = engine.sent("GET", LOGS)
    # the engine tells its time in whole seconds, and what it tells may take as long as all of this to be read
    assert asked - 1.1 - (opened - asked) < float(request.query.pop("since")) < opened + 0.1
    assert request.query == {"follow": "1", "stdout": "1", "stderr": "1", "tail": "1"}
    assert [each.path for each in engine.requests] == ["/events", LOGS]


async def test_subscriptions_to_one_container_share_a_follower(
    engine: FakeEngine, events: Feed, log: Feed, watch: Watch
) -> None:
    heard = [Heard() for _ in range(50)]
    listeners = [watch.listen(each, lists=True) for each in heard]
    for number, listener in enumerate(listeners):
        listener.follow(f"logs/{number % 3}", ID, "logs")
        listener.follow(f"logs/{number % 3}", ID, "logs")
    await until(lambda: log.opened)
    assert watch.followed == 1
    assert sorted(threads()) == ["watch-events", "watch-logs"]
    log.say(b"line")
    await until(lambda: all(each.what for each in heard))
    assert [each.what for each in heard] == [[f"logs/{number % 3}"] for number in range(50)]
    assert len(engine.requests) == 2
    for listener in listeners:
        listener.close()
        listener.close()
    assert watch.followed == 0
    await until(lambda: not threads())
    # it notices when it speaks next, that nobody reads any more
    log.say(b"x", b"x")
    events.say(b"\n", b"\n")
    await until(lambda: log.closed and events.closed)


async def test_a_line_is_told_at_once_and_more_of_them_when_the_second_is_over(
    events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so long that "at once" can be told from "when it is over" on a busy machine
    monkeypatch.setattr(watching, "BETWEEN_SECONDS", 2.0)
    heard = Heard()
    watch.listen(heard).follow("logs", ID, "logs")
    await until(lambda: log.opened)
    printed = time.monotonic()
    log.say(b"first", b"second")
    await until(lambda: heard.what)
    assert heard.when[0] - printed < 1.9
    await anyio.sleep(0.5)
    log.say(b"third", b"last")
    await until(lambda: len(heard.what) == 2)
    assert heard.when[1] - printed > 1.99
    assert heard.when[1] - heard.when[0] < 4
    await anyio.sleep(2.2)
    assert heard.what == ["logs", "logs"]
    log.say(b"later")
    await until(lambda: len(heard.what) == 3, 1.9)
    assert events.opened == 1


async def test_a_container_that_starts_again_is_followed_from_where_it_was_left(
    engine: FakeEngine, events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_clock, "told", lambda _: None)  # whole seconds, which are read late, are too coarse
    heard = Heard()
    watch.listen(heard).follow("logs", ID, "logs")
    await until(lambda: log.opened)
    log.end()
    await until(lambda: threads() == ["watch-events"])
    assert watch.followed == 1
    events.event("start", OTHER, "other")
    events.event("start")
    await until(lambda: log.opened == 2)
    first, second = (float(each.query["since"]) for each in engine.sent("GET", LOGS))
    assert second == pytest.approx(first, abs=0.001)
    log.say(b"line")
    await until(lambda: heard.what)


async def test_a_start_that_is_heard_of_before_the_end_of_the_run_before_counts(
    events: Feed, log: Feed, watch: Watch
) -> None:
    watch.listen(Heard()).follow("logs", ID, "logs")
    await until(lambda: log.opened)
    events.event("start")
    heard = Heard()
    watch.listen(heard, lists=True)
    events.event("rename")
    await until(lambda: heard.what)
    assert log.opened == 1
    log.end()
    await until(lambda: log.opened == 2)
    log.end()
    await until(lambda: threads() == ["watch-events"])
    assert log.opened == 2


async def test_what_is_followed_while_the_event_stream_opens_is_opened_once(
    events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Watch._settle

    def late(self: Watch) -> None:
        settle(self)
        for _ in range(1_000):
            if self._events is None or self._events.up:
                break
            time.sleep(0.005)  # as where the thread is not given its turn

    monkeypatch.setattr(Watch, "_settle", late)
    watch.listen(Heard()).follow("logs", ID, "logs")
    await until(lambda: log.opened)
    log.end()
    await until(lambda: threads() == ["watch-events"])
    await anyio.sleep(BRIEFLY)
    assert events.opened == log.opened == 1


async def test_events_of_others_and_events_in_any_order_end_nothing_that_is_followed(
    events: Feed, log: Feed, watch: Watch
) -> None:
    heard, lists = Heard(), Heard()
    watch.listen(heard).follow("logs", ID, "logs")
    watch.listen(lists, lists=True)
    await until(lambda: log.opened)
    events.event("destroy", OTHER, name=ID)
    for action in ("die", "start", "start", "die"):
        events.event(action)
        events.event(action, OTHER)
    await until(lambda: lists.what)
    log.say(b"line")
    await until(lambda: heard.what == ["logs"])
    assert watch.followed == 1


async def test_a_destroyed_container_is_told_of_once_and_followed_no_more(
    events: Feed, log: Feed, watch: Watch
) -> None:
    heard = Heard()
    listener = watch.listen(heard, lists=True)
    listener.follow("logs", ID, "logs")
    await until(lambda: log.opened)
    events.event("destroy")
    events.event("destroy")
    await until(lambda: heard.what)
    assert heard.what == ["logs"]
    assert watch.followed == 0
    await until(lambda: threads() == ["watch-events"])
    listener.unfollow("logs")
    listener.follow("logs", ID, "logs")
    await until(lambda: log.opened == 2)


async def test_a_container_that_is_gone_before_it_is_followed_is_told_of_once(
    engine: FakeEngine, events: Feed, watch: Watch
) -> None:
    engine.on("GET", LOGS, {"message": f"No such container: {ID}"}, status=404)
    heard = Heard()
    listener = watch.listen(heard)
    listener.follow("logs", ID, "logs")
    await until(lambda: heard.what)
    await until(lambda: not threads())
    assert heard.what == ["logs"]
    assert watch.followed == 0
    assert len(engine.sent("GET", LOGS)) == events.opened == 1


async def test_within_its_last_second_a_gone_container_may_be_asked_for_anew(
    engine: FakeEngine, events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BETWEEN_SECONDS", 2.0)  # on a busy machine one is soon over
    heard = Heard()
    listener = watch.listen(heard)
    listener.follow("logs", ID, "logs")
    await until(lambda: log.opened)
    log.say(b"line")
    await until(lambda: heard.what)
    events.event("remove")
    await until(lambda: watch.followed == 0)
    listener.follow("logs", ID, "logs")
    assert watch.followed == 1
    await until(lambda: len(engine.sent("GET", LOGS)) == 2)
    await anyio.sleep(2.2)
    assert heard.what == ["logs"]


@pytest.mark.parametrize("status", [409, 501])
async def test_a_log_that_cannot_be_read_is_not_asked_for_again_until_a_start(
    engine: FakeEngine, events: Feed, watch: Watch, status: int
) -> None:
    engine.on("GET", LOGS, {"message": "no"}, status=status)
    watch.listen(Heard()).follow("logs", ID, "logs")
    await until(lambda: engine.sent("GET", LOGS))
    await until(lambda: threads() == ["watch-events"])
    await anyio.sleep(BRIEFLY)
    assert len(engine.sent("GET", LOGS)) == 1
    events.event("start")
    await until(lambda: len(engine.sent("GET", LOGS)) == 2)


async def test_an_error_of_the_engine_is_tried_again_with_growing_waits(
    engine: FakeEngine, events: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LEAST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(streams, "FIRST_WAIT_SECONDS", 0.02)
    engine.on("GET", LOGS, {"message": "busy"}, status=500)
    watch.listen(Heard()).follow("logs", ID, "logs")
    await until(lambda: len(engine.sent("GET", LOGS)) >= 3)
    engine.on("GET", LOGS, b"line")
    await until(lambda: threads() == ["watch-events"])
    assert events.opened == 1


async def test_of_a_flood_only_the_beginning_of_each_second_is_read(
    engine: FakeEngine, events: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FLOOD_PIECES", 10)
    sent = 0

    def flood(_: Request) -> Iterator[bytes]:
        nonlocal sent
        for sent in range(10_000_000):  # noqa: B007 - how far it came
            yield b"y" * 1_000

    engine.on("GET", LOGS, flood)
    heard = Heard()
    watch.listen(heard).follow("logs", ID, "logs")
    await until(lambda: len(heard.what) >= 3)
    assert len(engine.sent("GET", LOGS)) in (2, 3, 4)
    assert sent < 10_000
    assert events.opened == 1


async def test_a_steady_printer_is_read_on(
    engine: FakeEngine, events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FLOOD_PIECES", 3)
    monkeypatch.setattr(streams, "FLOOD_SECONDS", 0.2)
    heard = Heard()
    watch.listen(heard).follow("logs", ID, "logs")
    (followed,) = watch._followed.values()

    async def is_printed(before: float) -> None:
        log.say(b"line")
        await until(lambda: followed.seen.since > before)  # lines that wait for a busy reader look like a flood
        await anyio.sleep(0.15)

    for _ in range(6):
        await is_printed(followed.seen.since)
    assert len(engine.sent("GET", LOGS)) == events.opened == 1
    assert heard.what


# --- stats


async def test_stats_are_told_of_when_a_number_changed(
    engine: FakeEngine, events: Feed, numbers: Feed, watch: Watch
) -> None:
    heard = Heard()
    watch.listen(heard).follow("stats", ID, "stats")
    numbers.say(sample(50), sample(100), sample(100), sample(100, read="2026-01-31T12:00:09Z"))
    await anyio.sleep(BRIEFLY)
    assert not heard.what
    changed = time.monotonic()
    numbers.say(sample(200))
    await until(lambda: heard.what)
    numbers.say(sample(200, memory_stats={"usage": 2_000}))
    numbers.say(sample(200, memory_stats={"usage": 2_000}, networks={"eth0": {"rx_bytes": 1}}))
    numbers.say(sample(200, memory_stats={"usage": 3_000}))
    await until(lambda: len(heard.what) == 2)
    assert heard.when[1] - changed > 0.99
    (request,) = engine.sent("GET", STATS)
    assert not request.query
    assert events.opened == 1


async def test_a_container_that_stops_and_starts_is_told_of_and_measured_again(
    events: Feed, numbers: Feed, watch: Watch
) -> None:
    heard = Heard()
    watch.listen(heard).follow("stats", ID, "stats")
    numbers.say(sample(), sample(), NOT_RUNNING)
    await until(lambda: heard.what)
    await until(lambda: threads() == ["watch-events"])
    events.event("start")
    await until(lambda: numbers.opened == 2)
    numbers.say(sample(), sample())
    await until(lambda: len(heard.what) == 2)


async def test_a_container_that_does_not_run_is_measured_when_it_starts(
    events: Feed, numbers: Feed, watch: Watch
) -> None:
    heard = Heard()
    watch.listen(heard).follow("stats", ID, "stats")
    numbers.say(NOT_RUNNING)
    await until(lambda: numbers.opened and threads() == ["watch-events"])
    assert not heard.what
    events.event("start")
    await until(lambda: numbers.opened == 2)
    numbers.say(sample(), sample())
    await until(lambda: heard.what)


async def test_numbers_that_make_no_sense_are_logged_and_not_asked_for_again(
    engine: FakeEngine, events: Feed, numbers: Feed, watch: Watch, logged: list[str]
) -> None:
    watch.listen(Heard()).follow("stats", ID, "stats")
    numbers.say(sample(cpu_stats=["what"]))
    await until(lambda: logged)
    await until(lambda: threads() == ["watch-events"])
    await anyio.sleep(BRIEFLY)
    assert logged == [f"ERROR {STATS} can't be followed"]
    assert len(engine.sent("GET", STATS)) == events.opened == 1


async def test_a_record_without_an_end_is_given_up(
    events: Feed, numbers: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RECORD_BYTES", 1_000)
    watch.listen(Heard()).follow("stats", ID, "stats")
    numbers.say(b"x" * 2_000)
    await until(lambda: numbers.opened == 2)
    assert events.opened == 1


# --- the engine goes away


async def test_after_an_outage_lists_are_told_and_logs_are_followed_from_before_it(
    engine: FakeEngine,
    events: Feed,
    log: Feed,
    watch: Watch,
    logged: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_clock, "told", lambda _: None)  # whole seconds, which are read late, are too coarse
    began = time.monotonic()
    heard, deaf = Heard(), Heard()
    watch.listen(heard, lists=True)
    watch.listen(deaf).follow("logs", ID, "logs")
    await until(lambda: log.opened)
    engine.on("GET", "/events", {"message": "starting"}, status=503)
    log.say(b"line")
    await until(lambda: deaf.what)
    printed = time.monotonic()
    log.end()
    events.end()
    await until(lambda: len(engine.sent("GET", "/events")) > 3)
    assert not heard.what
    assert watch.followed == 1
    engine.on("GET", "/events", events)
    await until(lambda: log.opened == 2)
    await until(lambda: heard.what)
    first, second = (float(each.query["since"]) for each in engine.sent("GET", LOGS))
    assert first < second < first + (printed - began)
    assert engine.sent("GET", "/events")[-1].query["since"]
    await anyio.sleep(BRIEFLY)
    assert heard.what == [None]
    assert deaf.what == ["logs"]
    assert [line.split()[0] for line in logged] == ["WARNING", "INFO"]


async def test_without_an_engine_only_the_event_stream_looks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    place = tmp_path / "later.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    engine = Engine(load())
    fake, feeds = None, {path: Feed() for path in ("/events", LOGS, STATS)}
    async with contextlib.aclosing(Watch(engine)) as watch:
        listener = watch.listen(Heard())
        listener.follow("logs", ID, "logs")
        listener.follow("stats", ID, "stats")
        await until(lambda: logged)
        await anyio.sleep(BRIEFLY)
        assert threads() == ["watch-events"]
        fake = FakeEngine(place)
        for path, feed in feeds.items():
            fake.on("GET", path, feed)
        await until(lambda: all(feed.opened == 1 for feed in feeds.values()))
        assert [line.split()[0] for line in logged] == ["WARNING", "INFO"]
    await until(lambda: not threads())
    for feed in feeds.values():
        feed.end()
    fake.server.shutdown()
    fake.server.server_close()
    engine.forget()


async def test_a_follower_that_breaks_is_opened_again_while_the_engine_is_there(
    engine: FakeEngine, events: Feed, watch: Watch
) -> None:
    def broken(_: Request) -> Iterator[bytes]:
        yield b"line"
        raise ConnectionError

    engine.on("GET", LOGS, broken)
    watch.listen(Heard()).follow("logs", ID, "logs")
    await until(lambda: len(engine.sent("GET", LOGS)) >= 2)
    assert events.opened == 1


@pytest.mark.parametrize("kind", ["logs", "stats"])
async def test_a_stream_that_ends_while_its_container_runs_is_opened_again(
    engine: FakeEngine, events: Feed, watch: Watch, kind: Literal["logs", "stats"]
) -> None:
    path = f"/containers/{ID}/{kind}"
    engine.on("GET", path, lambda _: iter(()))
    engine.on("GET", f"/containers/{ID}/json", {"Id": ID, "State": {"Running": True}})
    watch.listen(Heard()).follow(kind, ID, kind)
    await until(lambda: len(engine.sent("GET", path)) >= 2)

    engine.on("GET", f"/containers/{ID}/json", {"Id": ID, "State": {"Running": False}})
    await until(lambda: threads() == ["watch-events"])
    assert watch.followed == 1
    assert events.opened == 1


async def test_silence_is_no_outage(
    engine: FakeEngine, events: Feed, watch: Watch, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SILENT_SECONDS", 1.0)  # so long may it take to open the stream, too
    monkeypatch.setattr(streams, "STEADY_SECONDS", 0.5)
    monkeypatch.setattr(scope, "SLACK_SECONDS", 0.0)
    monkeypatch.setattr(engine_clock, "told", lambda _: None)  # whole seconds are too coarse
    heard = Heard()
    watch.listen(heard, lists=True)
    await until(lambda: events.opened >= 3)
    assert not heard.what
    assert not logged
    first, second, third = (float(each.query["since"]) for each in engine.sent("GET", "/events")[:3])
    assert first < second < third


async def test_waits_end_at_once_when_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr(streams, "LEAST_WAIT_SECONDS", 30.0)
    monkeypatch.setattr(streams, "LONGEST_WAIT_SECONDS", 30.0)
    async with contextlib.aclosing(Watch(Engine(load()))) as watch:
        listener = watch.listen(Heard(), lists=True)
        await until(lambda: logged)
        listener.close()
        await until(lambda: not threads())


# --- listeners


async def test_there_is_a_bound_to_what_is_followed(
    events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_FOLLOWED", 1)
    listener = watch.listen(Heard())
    listener.follow("one", ID, "logs")
    with pytest.raises(TooManyFollowed, match="TOO_MANY_SUBSCRIPTIONS") as refused:
        listener.follow("two", OTHER, "logs")
    assert "end a subscription" in refused.value.hint
    watch.listen(Heard()).follow("one", ID, "logs")
    listener.follow("another", ID, "logs")
    listener.unfollow("two")
    assert watch.followed == 1
    await until(lambda: events.opened and log.opened)


async def test_without_threads_nothing_is_followed_until_there_are_some(
    events: Feed, log: Feed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    listener = watch.listen(Heard())
    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", begin)
        with pytest.raises(TooManyFollowed):
            listener.follow("logs", ID, "logs")
    assert watch.followed == 0
    listener.follow("logs", ID, "logs")
    await until(lambda: events.opened and log.opened)


async def test_a_uri_that_means_another_container_now_is_followed_there(
    engine: FakeEngine, events: Feed, log: Feed, watch: Watch
) -> None:
    other = Feed()
    engine.on("GET", f"/containers/{OTHER}/logs", other)
    heard = Heard()
    listener = watch.listen(heard)
    listener.follow("logs", ID, "logs")
    listener.follow("logs", OTHER, "logs")
    await until(lambda: other.opened)
    assert watch.followed == 1
    log.say(b"line")
    other.say(b"line")
    await until(lambda: heard.what)
    other.end()
    assert events.opened in (1, 2)


async def test_a_listener_that_raises_costs_the_others_nothing(
    events: Feed, log: Feed, watch: Watch, logged: list[str]
) -> None:
    def bad(_: str | None) -> None:
        raise RuntimeError("not well")

    good = Heard()
    watch.listen(bad).follow("logs", ID, "logs")
    watch.listen(good).follow("logs", ID, "logs")
    log.say(b"one")
    await until(lambda: good.what)
    log.say(b"two")
    await until(lambda: len(good.what) == 2)
    assert [line.split()[0] for line in logged] == ["ERROR"]
    assert events.opened == 1


async def test_a_listener_may_close_itself_and_others_when_told(events: Feed, log: Feed, watch: Watch) -> None:
    heard: list[str | None] = []

    def told(uri: str | None) -> None:
        heard.append(uri)
        for each in listeners:
            each.close()

    listeners = [watch.listen(told, lists=True) for _ in range(3)]
    for listener in listeners:
        listener.follow("logs", ID, "logs")
    log.say(b"line")
    await until(lambda: heard)
    await until(lambda: not threads())
    assert heard == ["logs"]
    listeners[0].follow("logs", ID, "logs")
    listeners[0].hears_lists(True)
    assert not threads()
    assert events.opened == 1


async def test_lists_are_told_to_those_who_still_listen(events: Feed, watch: Watch) -> None:
    heard: list[str | None] = []

    def told(uri: str | None) -> None:
        heard.append(uri)
        for each in listeners:
            each.close()

    listeners = [watch.listen(told, lists=True) for _ in range(3)]
    events.event("start")
    await until(lambda: not threads())
    assert heard == [None]


# --- the end


async def test_the_end_comes_within_a_second_also_while_connecting(
    engine: FakeEngine, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watching.END_SECONDS == 1
    monkeypatch.setattr(watching, "END_SECONDS", 10.0)  # the threads are to end by themselves, on a busy machine too
    release = threading.Event()

    def hanging(_: Request) -> bytes:
        release.wait(20)
        return b""

    engine.on("GET", "/events", hanging)
    watch.listen(Heard(), lists=True)
    await until(lambda: engine.sent("GET", "/events"))
    began = time.monotonic()
    await watch.aclose()
    assert time.monotonic() - began < 5
    assert not threads()
    release.set()
    watch.listen(Heard(), lists=True)
    assert not threads()


async def test_what_podman_does_not_answer_yet_is_cut_too(engine: FakeEngine, events: Feed, watch: Watch) -> None:
    release = threading.Event()

    def hanging(_: Request) -> bytes:
        release.wait(20)
        return b""

    engine.on("GET", LOGS, hanging)
    listener = watch.listen(Heard(), lists=True)
    listener.follow("logs", ID, "logs")
    await until(lambda: engine.sent("GET", LOGS))
    listener.unfollow("logs")
    await until(lambda: threads() == ["watch-events"])
    release.set()
    assert events.opened == 1


async def test_no_thread_is_left_after_a_storm(engine: FakeEngine, events: Feed, log: Feed, watch: Watch) -> None:
    for number in range(100):
        listener = watch.listen(Heard(), lists=bool(number % 2))
        listener.follow("logs", ID, "logs")
        if number % 3:
            await anyio.sleep(0.001)
        if number % 5:
            listener.unfollow("logs")
            listener.follow("logs", ID, "logs")
        if number == 50:
            await until(lambda: log.opened)  # on a busy machine none of them may come so far
        listener.close()
    await until(lambda: not threads())
    assert watch.followed == 0
    for _ in range(events.opened + log.opened):
        events.end()
        log.end()
    assert engine.requests


def test_a_loop_that_ended_leaves_threads_that_end(engine: FakeEngine, events: Feed, log: Feed) -> None:
    made = Engine(load())
    watch = Watch(made)

    async def abandoned() -> None:
        watch.listen(Heard()).follow("logs", ID, "logs")
        await until(lambda: log.opened)

    anyio.run(abandoned)
    streams_left = list(watch._streams)
    for stream in streams_left:
        stream.cut()
        stream.join(5)
    assert not threads()
    assert events.opened == len(engine.sent("GET", LOGS)) == 1
    made.forget()


def test_a_time_that_the_engine_does_not_tell_is_taken_to_be_ours() -> None:
    clock = streams.Clock()
    clock.read({})
    assert float(clock.at(time.monotonic())) == pytest.approx(time.time(), abs=2)
    clock.read({"Date": "Sat, 31 Jan 2026 12:00:00 GMT"})
    assert float(clock.at(time.monotonic())) == pytest.approx(1_769_860_800, abs=2)
