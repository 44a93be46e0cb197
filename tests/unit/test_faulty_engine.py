"""Engines whose answers break off or make no sense: what a caller is told."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcp_docker.engine import CallScope, Engine
from mcp_docker.errors import TimedOut, Unsupported
from mcp_docker.settings import load
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

FRAME = b"\x01\x00\x00\x00\x00\x00\x00\x06hello\n"


@pytest.fixture
def container(engine: FakeEngine) -> FakeEngine:
    """An engine with a container that runs."""
    found = {"Id": "c" * 64, "Name": "/web", "State": {"Running": True}, "Config": {}, "HostConfig": {}}
    engine.on("GET", "/containers/web/json", found)
    return engine


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (FRAME[:-3], "it closed the connection"),
        (FRAME + FRAME[:5], "it closed the connection"),
        (b"nonsense", "what it sends is no stream of a container"),
        (b"\x01abc\x00\x00\x00\x01x", "what it sends is no stream of a container"),
    ],
)
def test_a_stream_that_ends_within_a_frame_or_has_none_is_no_log(
    container: FakeEngine, run: Run, sent: bytes, said: str
) -> None:
    container.on("GET", f"/containers/{'c' * 64}/logs", sent)
    result = run("docker_container_logs", container_id="web")
    assert code_of(result) == "ENGINE_UNREACHABLE"
    assert said in result.text


def test_a_sample_that_is_no_json_is_not_taken_for_a_container_that_has_ended(container: FakeEngine, run: Run) -> None:
    container.on("GET", f"/containers/{'c' * 64}/stats", b"nonsense")
    assert code_of(run("docker_container_stats", container_id="web")) == "ENGINE_ERROR"
    container.on("GET", f"/containers/{'c' * 64}/stats", b"")
    assert code_of(run("docker_container_stats", container_id="web")) == "CONFLICT"


def test_events_that_are_no_json_are_the_engines_fault(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/_ping", b"OK")
    engine.on("GET", "/events", b"nonsense\n")
    assert code_of(run("docker_events")) == "ENGINE_ERROR"


@pytest.mark.parametrize(("answer", "certain"), [(b"nonsense", False), ((500, {"message": "no"}), True)])
def test_a_change_whose_answer_can_not_be_read_may_have_happened(
    engine: FakeEngine, run: Run, answer: bytes | tuple[int, object], certain: bool
) -> None:
    engine.on("GET", "/volumes", {"Volumes": None})
    engine.on("POST", "/volumes/create", lambda _request: answer)
    result = run("docker_create_volume", name="data")
    assert code_of(result) == "ENGINE_ERROR"
    assert ("may have happened" in result.text) is not certain


def test_a_change_during_which_the_engine_goes_may_have_happened(
    container: FakeEngine, run: Run, tmp_path: Path
) -> None:
    def goes(_request: Request) -> bytes:
        (tmp_path / "engine.sock").unlink()
        raise ConnectionAbortedError

    container.on("POST", f"/containers/{'c' * 64}/stop", goes)
    result = run("docker_stop_container", container_id="web")
    assert code_of(result) == "ENGINE_UNREACHABLE"
    assert "may have happened all the same: docker_inspect_container tells" in result.text


def test_what_a_cut_made_a_tool_believe_is_not_said(
    container: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def slow(_request: Request) -> bytes:
        ended.wait(3)
        return b""

    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_container_stats=0.2")
    container.on("GET", f"/containers/{'c' * 64}/stats", slow)
    assert code_of(run("docker_container_stats", container_id="web")) == "TIMED_OUT"
    ended.set()


Answering = Callable[[bytes], str]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    """The address of something that answers every request with these bytes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "odd.sock"))
    listener.listen()

    def begin(data: bytes) -> str:
        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(65_536)
                    client.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        return f"unix://{tmp_path / 'odd.sock'}"

    yield begin
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "what it says is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}", "its answer broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "what it says of its version is not what an engine says"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", "what it says of its version is not what an engine says"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"ApiVersion":""}', "is not what an engine says"),
    ],
)
def test_what_makes_no_sense_is_no_engine_and_why_is_said(
    answering: Answering, data: bytes, said: str, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("DOCKER_HOST", answering(data))
    result = run("docker_version")
    assert code_of(result) == "ENGINE_UNREACHABLE"
    assert said in result.text


def test_an_engine_of_long_ago_is_told_apart_from_none(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.39"
    result = run("docker_version")
    assert code_of(result) == Unsupported.code
    assert "needs 1.40" in result.text


def test_a_call_that_is_cut_does_not_wait_for_another_that_connects(engine: FakeEngine) -> None:
    client = Engine(load())
    scope = CallScope(10)
    with client._lock, scope.entered():
        threading.Timer(0.2, scope.cut, (TimedOut("too long", "call again."),)).start()
        with pytest.raises(TimedOut, match="too long"):
            _ = client.docker
    assert engine.requests == []


def test_a_client_that_is_too_old_for_an_engine_is_told_so(engine: FakeEngine, run: Run) -> None:
    said = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client"
    engine.on("GET", "/containers/json", {"message": said}, 400)
    result = run("docker_list_containers")
    assert code_of(result) == "UNSUPPORTED"
    assert "DOCKER_API_VERSION" in result.text


def test_a_whole_log_is_still_a_log(container: FakeEngine, run: Run) -> None:
    container.on("GET", f"/containers/{'c' * 64}/logs", iter([FRAME[:3], FRAME[3:] + FRAME]))
    lines = data_of(run("docker_container_logs", container_id="web"))["lines"]
    assert [line["text"] for line in lines] == ["hello", "hello"]


FORBIDDEN = "the engine, or a plugin or proxy in front of it, forbids this request; the operator decides."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b"<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n",
            "403 Forbidden Request forbidden by administrative rules",
        ),
        (b"<!DOCTYPE html><html></html>", "an empty page, with status 403"),
        (b'{"message": "Forbidden"}', "Forbidden"),
        (
            b'{"message": "authorization denied by plugin opa: no such container for you"}',
            "authorization denied by plugin opa: no such container for you",
        ),
    ],
)
def test_what_a_plugin_or_proxy_forbids_is_not_told_as_the_objects_state(
    engine: FakeEngine, run: Run, body: bytes, said: str
) -> None:
    engine.on("GET", "/containers/web/json", body, status=403)
    assert run("docker_inspect_container", container_id="web").text == f"REFUSED [ENGINE_ERROR] {said}; {FORBIDDEN}"


def test_what_docker_itself_forbids_is_the_objects_state(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/shop", {"Id": "d" * 64, "Name": "shop"})
    engine.on("DELETE", "/networks/.*", {"message": "shop is a pre-defined network and cannot be removed"}, status=403)
    assert code_of(run("docker_remove_network", network_id="shop")) == "CONFLICT"
