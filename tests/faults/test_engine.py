"""A real engine that is killed, stopped, frozen and started again, in the middle of calls and of streams."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from mcp_docker.audit.verify import verify
from tests.e2e.process import UNMEASURED, Message, ServerProcess, done, environment, eventually, refused
from tests.faults.calls import LIMITS, World, leads_on, settings
from tests.faults.engine import Engine
from tests.faults.rounds import Rounds
from tests.faults.served import Asked, Stdio, served
from tests.integration.conftest import IMAGE

STREAMS: dict[str, tuple[str, Message]] = {
    "follow": ("docker_container_logs", {"follow": True, "seconds": 20}),
    "exec": ("docker_exec_command", {"command": ["sleep", "63"]}),
    "stop": ("docker_stop_container", {"timeout": 20}),
}
CHANGES = ("exec", "stop", "build")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One of the same version as that of DOCKER_HOST, with the image that tests use."""
    address = os.environ["DOCKER_HOST"]
    engine = Engine(address)
    try:
        engine.start()
        here, there = docker.APIClient(address, "auto"), docker.APIClient(engine.address, "auto")
        there.load_image(b"".join(here.get_image(IMAGE)))  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def own(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Things to work on, on the engine that dies; they go with it."""
    world = World(engine.address, tmp_path_factory.mktemp("own"))
    yield world
    world.registry.close()


@pytest.fixture
def server(own: World, engine: Engine, tmp_path: Path) -> Iterator[ServerProcess]:
    env = environment(
        HOME=str(tmp_path),
        DOCKER_HOST=engine.address,
        SECURITY_AUDIT_LOG_FILE=str(tmp_path / "audit.jsonl"),
        **settings(own) | {"SAFETY_TOOL_TIMEOUTS": ""} | UNMEASURED,
    )
    with ServerProcess(tmp_path / "stderr", env) as server:
        yield server.open()


def begun(server: ServerProcess, world: World) -> dict[str, int]:
    """Calls that take long, each at work on the engine; their requests' ids."""
    world.write("trap exit TERM; sleep 64 & wait")  # the first process of a container has no default for signals
    slow = world.make("slow", ["sh", "-c", "trap 'sleep 2; exit' TERM; while :; do sleep 0.1; done"], start=True)
    target = {"follow": world.talker, "exec": world.talker, "stop": slow}
    requests = {
        name: server.begin(tool, container_id=target[name], **arguments) for name, (tool, arguments) in STREAMS.items()
    }
    requests["build"] = server.begin("docker_build_image", path=str(world.folder))
    eventually(lambda: "sleep 63" in str(world.raw.top(world.talker)))
    eventually(lambda: any("sleep 64" in row["Command"] for row in world.raw.containers()))
    return requests


WAYS: dict[str, Callable[[Engine], None]] = {
    "killed": Engine.kill,
    "stopped": Engine.end,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_an_engine_that_goes_in_the_middle_of_calls_is_missed_at_once_and_found_again(
    way: Callable[[Engine], None], engine: Engine, own: World, server: ServerProcess, tmp_path: Path
) -> None:
    requests = begun(server, own)
    went = time.monotonic()
    way(engine)
    took = time.monotonic() - went
    for name, request in requests.items():
        answer = server.answer(request, 8)["result"]  # far sooner than they would have ended
        # one that stops ends containers first, and with them what their streams say
        if not (took > 0.5 and not answer["isError"]):
            assert refused(answer) in ("ENGINE_UNREACHABLE", "BUILD_FAILED", "ENGINE_ERROR"), name
            unknown = name in CHANGES and refused(answer) == "ENGINE_UNREACHABLE"
            assert leads_on(answer["content"][0]["text"]) or not unknown, answer
    for _ in range(3):
        began = time.monotonic()
        assert refused(server.call("docker_list_containers")) == "ENGINE_UNREACHABLE"
        assert time.monotonic() - began < 5

    engine.start()
    done(server.call("docker_list_containers"))
    own.talk()
    own.write()
    audit = tmp_path / "audit.jsonl"
    rounds = Rounds(Stdio(server), own, audit)
    rounds.go("after")
    assert rounds.wrong == []
    assert server.leave().status == 0
    assert verify(audit).is_whole
    assert not verify(audit).unfinished.count


def test_an_engine_that_freezes_costs_the_time_limit_and_no_more(engine: Engine, own: World, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with served("stdio", tmp_path, audit, DOCKER_HOST=engine.address, **settings(own)) as server:
        rounds = Rounds(server, own, audit)
        call = {"list": Asked("docker_list_containers", {}, LIMITS["docker_list_containers"])}
        assert done(answered(server.ask(call)))["containers"]
        pids = engine.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert refused(answered(server.ask(call))) == "TIMED_OUT"
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        rounds.go("after")
        assert rounds.wrong == []


def test_calls_during_a_restart_are_right_or_refused_and_go_on_by_themselves(
    engine: Engine, own: World, server: ServerProcess
) -> None:
    restart = threading.Thread(target=engine.restart)
    restart.start()
    codes: Counter[str] = Counter()
    while restart.is_alive():
        answer = server.call("docker_list_containers", all=True, filters={"name": own.looked_at})
        if answer["isError"]:
            codes[refused(answer)] += 1
        else:
            assert [row["name"] for row in done(answer)["containers"]] == [own.looked_at]
        restart.join(0.05)
    assert set(codes) <= {"ENGINE_UNREACHABLE", "ENGINE_ERROR", "TIMED_OUT"}
    assert done(server.call("docker_list_containers", all=True))["containers"]


def answered(answers: dict[str, Message | None]) -> Message:
    """The one answer, which came in time."""
    (answer,) = answers.values()
    assert answer is not None, "not in time"
    return answer
