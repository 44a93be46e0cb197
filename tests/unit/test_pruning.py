"""What prunes share: filters, sizes, and the account of what went."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_docker.engine import CallScope, Engine, usage
from mcp_docker.errors import TimedOut
from mcp_docker.settings import load
from mcp_docker.tool import Thing
from mcp_docker.tools import pruning
from tests.conftest import data_of
from tests.unit.conftest import FakeEngine, Request, Run

CARRIED = {"a": "1", "b": "2", "empty": ""}


@pytest.mark.parametrize(
    ("filters", "meant"),
    [
        ({}, True),
        ({"label": ["a"]}, True),
        ({"label": ["a=1"]}, True),
        ({"label": ["a=2"]}, False),
        ({"label": ["a="]}, False),
        ({"label": ["empty="]}, True),
        ({"label": ["a=1", "b"]}, True),
        ({"label": ["a=1", "c"]}, False),
        ({"label!": ["a"]}, False),
        ({"label!": ["a=2"]}, True),
        ({"label!": ["c", "a"]}, False),
        ({"label": ["a"], "label!": ["b=3"]}, True),
        ({"label": ["a"], "label!": ["b"]}, False),
    ],
)
def test_every_label_must_be_there_and_none_of_the_others(filters: dict[str, list[str]], meant: bool) -> None:
    assert pruning.labelled(CARRIED, filters) is meant


def test_an_object_without_labels_is_meant_where_none_is_asked_for() -> None:
    assert pruning.labelled(None, {"label!": ["a"]})
    assert not pruning.labelled(None, {"label": ["a"]})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-02T03:04:05Z", 1_767_323_045.0),
        ("2026-01-02T03:04:05.123456789Z", 1_767_323_045.123456789),
        ("2026-01-02T04:04:05.5+01:00", 1_767_323_045.5),
        ("2026-01-02T02:04:05.5-01:00", 1_767_323_045.5),
    ],
)
def test_an_engine_s_times_are_read_to_the_nanosecond(text: str, seconds: float) -> None:
    assert pruning.unix(text) == pytest.approx(seconds, abs=1e-6)


def thing(kind: str = "volume", name: str = "data", size: int | None = 1) -> Thing:
    return Thing(kind, "sha256:" + "4f" * 32 if kind == "image" else name, name, bytes=size)


def test_freed_bytes_are_told_only_where_all_are_known() -> None:
    assert pruning.Pruned([thing(size=1), thing(size=2)]).freed() == 3
    assert pruning.Pruned([thing(size=1), thing(size=None)]).freed() is None
    assert pruning.Pruned([]).freed() == 0


def test_an_object_without_a_name_is_told_by_its_id() -> None:
    assert pruning.shown(thing("image", pruning.UNTAGGED)) == "4f4f4f4f4f4f"
    assert pruning.shown(thing("image", "app:1")) == "app:1"
    assert pruning.shown(Thing("build cache", "xyz", "mount / from exec")) == "xyz"


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[Engine]:
    client = Engine(load())
    with CallScope(20).entered():
        assert client.api == tuple(map(int, engine.api.split(".")))
        yield client
    client.forget()


DF = {
    "Images": [
        {"Id": "sha256:aa", "Size": 10, "SharedSize": 4},
        {"Id": "bb", "Size": 10, "SharedSize": 0},
        {"Id": "sha256:cc", "Size": 10, "SharedSize": -1},
        {"Id": "sha256:dd", "Size": 10},
    ],
    "Containers": [{"Id": "c1", "SizeRw": 7}, {"Id": "c2"}],
    "Volumes": [
        {"Name": "data", "UsageData": {"Size": 5, "RefCount": 0}},
        {"Name": "far", "UsageData": {"Size": -1, "RefCount": -1}},
        {"Name": "none", "UsageData": None},
    ],
    "BuildCache": [{"ID": "r"}],
}


def test_sizes_are_what_a_removal_frees_and_absent_where_unknown(engine: FakeEngine, client: Engine) -> None:
    engine.on("GET", "/system/df", DF)
    told = usage.usage(client, "image")
    assert told is not None
    assert told.images == {"aa": 6, "bb": 10}
    assert told.containers == {"c1": 7, "c2": 0}
    assert told.volumes == {"data": 5}
    assert told.build_cache == ({"ID": "r"},)
    (request,) = engine.requests
    assert request.query == {}


def test_an_engine_that_has_nothing_tells_nothing(engine: FakeEngine, client: Engine) -> None:
    engine.on("GET", "/system/df", dict.fromkeys(DF))
    assert usage.usage(client) == usage.Usage({}, {}, {}, ())


def test_a_new_engine_is_asked_only_for_what_is_wanted(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.51"
    engine.on("GET", "/volumes", {"Volumes": [{"Name": "d", "Driver": "local", "Labels": None, "CreatedAt": "x"}]})
    engine.on("GET", "/system/df", {"Volumes": [{"Name": "d", "UsageData": {"Size": 5}}]})
    answer = data_of(run("docker_prune_volumes", all=True, dry_run=True))
    assert answer["would_free_bytes"] == 5
    (request,) = engine.sent("GET", "/system/df")
    assert request.query == {"type": "volume"}


def test_an_engine_that_is_asked_by_another_too_is_asked_again(engine: FakeEngine, client: Engine) -> None:
    answers = iter([(500, {"message": "a disk usage operation is already running"}), (200, DF)])
    engine.on("GET", "/system/df", lambda _: next(answers))
    told = usage.usage(client)
    assert told is not None
    assert told.volumes == {"data": 5}


@pytest.mark.parametrize("answer", [(500, {"message": "no"}), (200, b"{"), (200, {"Images": [{"SharedSize": 1}]})])
def test_an_engine_that_fails_leaves_sizes_unknown(engine: FakeEngine, client: Engine, answer: tuple[int, Any]) -> None:
    engine.on("GET", "/system/df", lambda _: answer)
    assert usage.usage(client) is None


@pytest.fixture
def silent(engine: FakeEngine) -> Iterator[threading.Event]:
    """An engine that does not tell its disk usage until the test is over."""
    over = threading.Event()

    def answer(_: Request) -> Any:
        over.wait(10)
        return DF

    engine.on("GET", "/system/df", answer)
    yield over
    over.set()


@pytest.mark.usefixtures("silent")
def test_sizes_that_take_too_long_are_unknown_and_the_call_goes_on(
    client: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "SECONDS", 0.2)
    began = time.monotonic()
    assert usage.usage(client) is None
    assert time.monotonic() - began < 8
    CallScope.current().check()


@pytest.mark.usefixtures("silent")
def test_a_call_that_is_cut_ends_where_it_waits_for_sizes(client: Engine) -> None:
    scope = CallScope.current()
    threading.Timer(0.2, scope.cut, (TimedOut("over", "again."),)).start()
    with pytest.raises(TimedOut):
        usage.usage(client)
