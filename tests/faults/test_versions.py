"""Engines that speak an older or a newer API, or say so."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import Message, done, refused
from tests.e2e.proxy import EngineProxy
from tests.faults import faults
from tests.faults.calls import World, settings
from tests.faults.rounds import Rounds
from tests.faults.served import Asked, Served, served

Change = Callable[[Message], Any]


def without(name: str) -> Change:
    return lambda version: {key: value for key, value in version.items() if key != name}


def told(**changes: Any) -> Change:
    return lambda version: version | changes


WORKING: dict[str, Change] = {
    "1.40": told(ApiVersion="1.40", MinAPIVersion="1.12"),
    "1.40, and no oldest": lambda version: without("MinAPIVersion")(version) | {"ApiVersion": "1.40"},
    "nothing of its parts": told(Components=None, Platform=None, Os=None, Arch=None, KernelVersion=None),
}
SENSELESS: dict[str, Change] = {
    "no API version": without("ApiVersion"),
    "a null API version": told(ApiVersion=None),
    "a number for a version": told(ApiVersion=1.41),
    "words for a version": told(ApiVersion="latest"),
    "an empty version": told(ApiVersion=""),
    "a list": lambda version: [version],
    "null": lambda _version: None,
    "text": lambda _version: "28.5.2",
}
NEWER = b'{"message":"client version 1.51 is too old. Minimum supported API version is 1.60, please upgrade"}'


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    way = EngineProxy(tmp_path / "proxy.sock", os.environ["DOCKER_HOST"])
    way.start()
    yield way
    way.stop()


@pytest.mark.parametrize("change", WORKING.values(), ids=list(WORKING))
def test_an_engine_that_says_it_speaks_an_api_that_we_know_is_spoken_to(
    change: Change, world: World, proxy: EngineProxy, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    proxy.fail("GET /version", faults.rewrites(change))
    with served("stdio", tmp_path, audit, DOCKER_HOST=proxy.address, **settings(world)) as server:
        rounds = Rounds(server, world, audit)
        rounds.go("with it")
        rounds.close()
    assert rounds.wrong == []
    assert proxy.saw("/v1.40/") is ("1.40" in str(change({}).get("ApiVersion")))


def test_an_engine_that_says_it_speaks_a_later_api_is_used_or_says_that_it_is_too_new(
    world: World, proxy: EngineProxy, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    proxy.fail("GET /version", faults.rewrites(told(ApiVersion="1.99")))
    with served("stdio", tmp_path, audit, DOCKER_HOST=proxy.address, **settings(world)) as server:
        rounds = Rounds(server, world, audit)
        rounds.go("with 1.99", frozenset({"UNSUPPORTED"}))
        rounds.close()
    assert rounds.wrong == []


def test_an_engine_that_speaks_too_old_an_api_is_refused_whatever_is_asked(
    world: World, proxy: EngineProxy, tmp_path: Path
) -> None:
    proxy.fail("GET /version", faults.rewrites(told(ApiVersion="1.24")))
    with served("stdio", tmp_path, tmp_path / "audit.jsonl", DOCKER_HOST=proxy.address) as server:
        answer = listed(server, world)
        assert refused(answer) == "UNSUPPORTED"
        assert "needs 1.40" in answer["content"][0]["text"]
        proxy.fail("", faults.hangs)
        assert done(listed(server, world))["containers"]


def test_what_makes_no_sense_of_itself_is_no_engine_until_it_does(
    world: World, proxy: EngineProxy, tmp_path: Path
) -> None:
    with served("stdio", tmp_path, tmp_path / "audit.jsonl", DOCKER_HOST=proxy.address) as server:
        for what, change in SENSELESS.items():
            proxy.fail("GET /version", faults.rewrites(change))
            answer = listed(server, world)
            assert refused(answer) == "ENGINE_UNREACHABLE", what
            assert "what it says of its version is not what an engine says" in answer["content"][0]["text"]
        proxy.fail("", faults.hangs)
        assert done(listed(server, world))["containers"]


def test_an_engine_that_takes_newer_clients_only_says_which(world: World, proxy: EngineProxy, tmp_path: Path) -> None:
    proxy.fail(r" /v1\.", faults.says(400, NEWER))
    with served("stdio", tmp_path, tmp_path / "audit.jsonl", DOCKER_HOST=proxy.address) as server:
        answer = listed(server, world)
        assert refused(answer) == "UNSUPPORTED"
        assert "1.60" in answer["content"][0]["text"]


def listed(server: Served, world: World) -> Message:
    """The answer to a list of one container."""
    call = Asked("docker_list_containers", {"filters": {"name": world.talker}}, 10)
    answer = server.ask({"list": call})["list"]
    assert answer is not None, "not in time"
    return answer
