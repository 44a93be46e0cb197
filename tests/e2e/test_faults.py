"""What goes wrong around a server: no engine, a failing engine, rude clients, and sudden ends."""

import json
import os
import re
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Start
from tests.e2e.process import HANDSHAKE, PATIENCE, UNMEASURED, Exit, Message, ServerProcess, done, eventually, refused
from tests.e2e.proxy import EngineProxy
from tests.integration.conftest import IMAGE
from tests.unit.conftest import FakeEngine

Leave = Callable[[ServerProcess], Exit]

LEAVING: dict[str, Leave] = {
    "end of input": ServerProcess.leave,
    "SIGTERM": lambda server: server.signal(signal.SIGTERM),
    "SIGINT": lambda server: server.signal(signal.SIGINT),
}


@pytest.fixture(params=list(LEAVING.values()), ids=list(LEAVING))
def leave(request: pytest.FixtureRequest) -> Leave:
    """Each way to end a server."""
    way: Leave = request.param
    return way


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """The address of a registry that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def served_port() -> Iterator[int]:
    """A port of this machine that is taken."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


# --- the engine ------------------------------------------------------------------------------------------


def test_a_server_without_an_engine_starts_and_says_what_was_tried_and_works_once_one_is_there(
    era: str, start: Start, tmp_path: Path
) -> None:
    engine = EngineProxy(tmp_path / "later.sock", os.environ["DOCKER_HOST"])
    server = start(era, DOCKER_HOST=engine.address).open()
    assert server.request("tools/list")["tools"]
    result = server.call("docker_list_containers")
    assert refused(result) == "ENGINE_UNREACHABLE"
    text = result["content"][0]["text"]
    assert engine.address in text
    assert "DOCKER_HOST" in text
    engine.start()
    done(server.call("docker_list_containers"))
    engine.stop()


def test_an_engine_that_was_restarted_between_calls_needs_no_restart_of_ours(start: Start, proxy: EngineProxy) -> None:
    server = start(DOCKER_HOST=proxy.address).open()
    done(server.call("docker_list_containers"))
    proxy.cut()
    eventually(lambda: proxy.connections == 0)
    proxy.stop()
    proxy.start()
    done(server.call("docker_list_containers"))


def test_while_the_engine_is_down_calls_say_so_at_once(start: Start, proxy: EngineProxy) -> None:
    server = start(DOCKER_HOST=proxy.address).open()
    done(server.call("docker_list_containers"))
    proxy.stop()
    assert [refused(server.call("docker_list_containers")) for _ in range(3)] == ["ENGINE_UNREACHABLE"] * 3
    proxy.start()
    done(server.call("docker_list_containers"))


def test_an_engine_that_dies_during_a_read_is_said_to_be_gone(start: Start, proxy: EngineProxy) -> None:
    server = start(DOCKER_HOST=proxy.address).open()
    proxy.hang_on(r"/containers/json")
    request = server.begin("docker_list_containers")
    eventually(lambda: proxy.saw("/containers/json"))
    proxy.cut()
    assert refused(server.answer(request)["result"]) == "ENGINE_UNREACHABLE"
    proxy.hang_on("")
    done(server.call("docker_list_containers"))


def test_an_engine_that_dies_during_a_write_leaves_the_caller_in_no_false_certainty(
    start: Start, proxy: EngineProxy, container: Callable[..., str]
) -> None:
    idle = container()
    server = start(DOCKER_HOST=proxy.address).open()
    proxy.hang_on(r"POST .*/stop")
    request = server.begin("docker_stop_container", container_id=idle, timeout=1)
    eventually(lambda: proxy.saw("POST .*/stop"))
    proxy.cut()
    result = server.answer(request)["result"]
    assert refused(result) == "ENGINE_UNREACHABLE"
    assert "may have happened" in result["content"][0]["text"]


def test_an_engine_that_never_answers_costs_the_time_limit_and_no_more(start: Start, proxy: EngineProxy) -> None:
    # enough for the first call of all, which has much to import
    server = start(DOCKER_HOST=proxy.address, SAFETY_DEFAULT_TOOL_TIMEOUT="6").open()
    done(server.call("docker_list_containers"))
    proxy.hang_on("/containers/json")
    assert refused(server.answer(server.begin("docker_list_containers"), seconds=9)["result"]) == "TIMED_OUT"
    proxy.hang_on("")
    done(server.call("docker_list_containers"))


def test_what_is_missing_taken_or_gone_is_named_so_that_a_model_can_act(
    start: Start, container: Callable[..., str], raw: docker.APIClient, label: str, served_port: int
) -> None:
    key, _, value = label.partition("=")
    labels = {key: value}
    name = f"e2e-{uuid.uuid4().hex[:12]}"
    taken, gone = container(name=name, start=False), container(start=False)
    raw.remove_container(gone)
    server = start().open()

    missing = server.call("docker_create_container", image=f"{name}:nowhere", labels=labels)
    assert refused(missing) == "IMAGE_NOT_FOUND"
    assert "docker_pull_image" in missing["content"][0]["text"]
    assert refused(server.call("docker_create_container", image=IMAGE, name=name, labels=labels)) == "NAME_TAKEN"
    assert refused(server.call("docker_start_container", container_id=gone)) == "NOT_FOUND"
    assert refused(server.call("docker_inspect_container", container_id=gone)) == "NOT_FOUND"

    made = server.call(
        "docker_create_container", image=IMAGE, labels=labels, ports=[f"127.0.0.1:{served_port}:80"], start=True
    )
    assert refused(made) == "PORT_TAKEN"
    assert [row["Id"] for row in raw.containers(all=True, filters={"label": label})] == [taken], "nothing is left over"


# --- ends ------------------------------------------------------------------------------------------------


def test_an_idle_server_ends_with_its_input(start: Start) -> None:
    assert start(**UNMEASURED).open().leave().is_clean


def test_slow_calls_are_cut_when_a_server_ends(
    start: Start,
    leave: Leave,
    container: Callable[..., str],
    raw: docker.APIClient,
    proxy: EngineProxy,
    silent_registry: str,
) -> None:
    stubborn = container(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    idle = container()
    server = start(DOCKER_HOST=proxy.address, SAFETY_ALLOWED_REGISTRIES=silent_registry, **UNMEASURED).open()
    server.begin("docker_stop_container", container_id=stubborn, timeout=30)
    server.begin("docker_pull_image", image=f"{silent_registry}/nothing", tag="latest")
    server.begin("docker_exec_command", container_id=idle, command=["sleep", "62"])
    eventually(lambda: "sleep 62" in str(raw.top(idle)))
    eventually(lambda: proxy.saw("POST .*/stop") and proxy.saw("POST .*/images/create"))
    ended = leave(server)
    assert ended.is_clean, f"{ended}\n{server.log.read_text()}"
    eventually(lambda: "sleep 62" not in str(raw.top(idle)))
    eventually(lambda: proxy.connections == 0)


def test_a_build_ends_with_the_client_that_wanted_it(
    start: Start, leave: Leave, raw: docker.APIClient, tmp_path: Path
) -> None:
    mark = uuid.uuid4().hex
    folder = tmp_path / mark
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN sleep 60 # {mark}\n")

    def is_building() -> bool:
        return any(mark in str(each["Command"]) for each in raw.containers(all=True))

    server = start(SAFETY_ALLOWED_BUILD_ROOTS=str(tmp_path), **UNMEASURED).open()
    server.begin("docker_build_image", path=str(folder))
    eventually(is_building)
    ended = leave(server)
    assert ended.is_clean, f"{ended}\n{server.log.read_text()}"
    eventually(lambda: not is_building())


def test_a_server_ends_while_the_engine_hangs(start: Start, leave: Leave, proxy: EngineProxy) -> None:
    server = start(DOCKER_HOST=proxy.address, **UNMEASURED).open()
    proxy.hang_on("/version")  # so that it never gets to know the engine
    for _ in range(3):
        server.begin("docker_list_containers")
    eventually(lambda: proxy.saw("/version"))
    ended = leave(server)
    assert ended.is_clean, f"{ended}\n{server.log.read_text()}"


def test_a_server_whose_answers_nobody_reads_ends(start: Start, leave: Leave) -> None:
    server = start(reads=False, **UNMEASURED)
    server.send("initialize", hello())
    server.notify("notifications/initialized", {})
    for _ in range(6):
        server.send("tools/list")
    assert server.process.stdout is not None
    server.process.stdout.readline()  # it answers, and soon more than a pipe takes
    ended = leave(server)
    assert ended.is_clean, f"{ended}\n{server.log.read_text()}"


def test_a_server_whose_output_was_closed_ends_by_itself(start: Start) -> None:
    server = start(reads=False, **UNMEASURED)
    assert server.process.stdout is not None
    server.process.stdout.close()
    server.send("initialize", hello())
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


# --- rude clients ----------------------------------------------------------------------------------------

UNHEARD = [
    b"",
    b'{"jsonrpc":"2.0","id":"nobody asked","result":{}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4711}}',
    b'{"jsonrpc":"2.0","method":"notifications/unheard/of"}',
]
NO_MESSAGES: list[tuple[bytes, str | None, int]] = [
    (b"{", None, -32700),
    (b"nonsense", None, -32700),
    (b"\xff\xfe\x00", None, -32700),
    (b"[" * 100_000, None, -32700),
    (b"null", None, -32600),
    (b"[]", None, -32600),
    (b'[{"jsonrpc":"2.0","id":"a","method":"ping"}]', None, -32600),
    (b'{"jsonrpc":"1.0","id":"a","method":"ping"}', "a", -32600),
    (b'{"jsonrpc":"2.0","id":"a"}', "a", -32600),
    (b'{"jsonrpc":"2.0","id":"a","method":5}', "a", -32600),
    (b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":[]}', "a", -32600),
    (b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"\\ud800"}}', "a", -32600),
]


def test_lines_that_are_no_messages_get_an_error_and_disturb_nothing(era: str, start: Start) -> None:
    server = start(era).open()
    for line in UNHEARD:
        server.write(line)
    for line, request, code in NO_MESSAGES:
        server.write(line)
        assert server.answer(request)["error"]["code"] == code, line
    done(server.call("docker_list_containers"))


def test_a_request_that_makes_no_sense_is_a_protocol_error(era: str, start: Start) -> None:
    senseless: list[tuple[str, Message, int]] = [
        ("tools/unheard/of", {}, -32601),
        ("tools/call", {}, -32602),
        ("tools/call", {"name": 5}, -32602),
        ("tools/call", {"name": "docker_list_containers", "arguments": []}, -32602),
        ("tools/call", {"name": "docker_list_containers", "arguments": "{}"}, -32602),
    ]
    server = start(era).open()
    for method, params, code in senseless:
        assert server.answer(server.send(method, params))["error"]["code"] == code, (method, params)
    done(server.call("docker_list_containers"))


def test_a_call_before_the_handshake_is_a_protocol_error(start: Start) -> None:
    server = start()
    assert server.answer(server.begin("docker_list_containers"))["error"]["code"] == -32602
    done(server.open().call("docker_list_containers"))


def test_arguments_of_every_wrong_shape_are_refused_and_small(start: Start) -> None:
    server = start().open()
    wrong: list[object] = [None, 5, -1, 1e308, True, [], {}, [[]], {"": None}, "", "\x00", "x" * 5_000_000]
    for value in wrong:
        result = server.call("docker_inspect_container", container_id=value)
        assert refused(result) in ("INVALID_ARGUMENTS", "NOT_FOUND"), value
        assert len(json.dumps(result)) < 5_000


def test_two_hundred_calls_at_once_are_all_answered(start: Start) -> None:
    server = start().open()
    requests = [server.begin("docker_list_containers") for _ in range(200)]
    for request in requests:
        done(server.answer(request)["result"])


# --- standard output -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"MCP_LOG_LEVEL": "TRACE"},
        {"MCP_JSON_LOGGING": "true", "MCP_DEBUG_MODE": "true"},
        {"PYTHONWARNINGS": "always", "PYTHONDEVMODE": "1", "SECURITY_RATE_LIMIT_RPM": "5"},
    ],
    ids=["trace", "json", "warnings"],
)
def test_standard_output_carries_protocol_messages_only(start: Start, settings: dict[str, str]) -> None:
    with start(**settings, **UNMEASURED).open() as server:
        server.request("tools/list")
        done(server.call("docker_list_containers"))
        refused(server.call("docker_inspect_container", container_id="no-such-container"))
        server.write(b"nonsense")
        server.begin("docker_unheard_of")
        assert server.leave().is_clean
    # and leaving the block checks every line


def test_what_a_tool_trips_over_is_told_without_a_traceback_and_logged_to_standard_error(
    start: Start, tmp_path: Path
) -> None:
    engine = FakeEngine(tmp_path / "nonsense.sock")
    engine.on("GET", "/containers/json", ["nonsense"])
    server = start(DOCKER_HOST=engine.address).open()
    result = server.call("docker_list_containers")
    text = result["content"][0]["text"]
    assert refused(result) == "ENGINE_ERROR"
    assert not re.search(r"Traceback|\.py|/work|site-packages", text)
    assert "Traceback" in server.log.read_text()
    engine.server.shutdown()
    engine.server.server_close()


def hello() -> Message:
    return {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "rude", "version": "1"}}
