"""An engine that fails at one moment of a call, or of the server's life: what is told, and what goes on."""

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
from starlette.types import Message, Receive, Scope, Send

from mcp_docker.audit import open_audit
from mcp_docker.engine import Engine, transport
from mcp_docker.http.layers import PATH, Counted
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER, code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

ID = "c" * 64
NETWORK = "d" * 64
STOPPED = {"Id": ID, "Name": "/web", "State": {"Status": "exited", "Running": False}, "Config": {}, "HostConfig": {}}


@pytest.fixture
def container(engine: FakeEngine) -> FakeEngine:
    """An engine with a container that does not run."""
    engine.on("GET", f"/containers/(web|{ID})/json", STOPPED)
    return engine


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Ask = Callable[..., Any]


@pytest.fixture
async def ask(engine: FakeEngine) -> AsyncIterator[tuple[Ask, Engine]]:  # noqa: ARG001 - the calls go there
    """Call tools on one server, and what it knows of the engine."""
    settings = load()
    client = Engine(settings)
    pipeline = Pipeline(settings, Registry(settings), client, open_audit(settings))

    async def call(name: str, **arguments: Any) -> Result:
        return await pipeline.call(Call(name, arguments, CALLER))

    yield call, client
    client.forget()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 600, 999])
def test_a_status_that_no_engine_answers_is_no_success(container: FakeEngine, run: Run, status: int) -> None:
    container.on("DELETE", f"/containers/{ID}", b"", status=status)
    result = run("docker_remove_container", container_id="web")
    assert code_of(result) == "ENGINE_ERROR"
    assert f"status {status}" in result.text


def test_an_engine_that_sends_elsewhere_is_not_followed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as elsewhere, socket.socket(socket.AF_UNIX) as odd:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.listen()
        elsewhere.setblocking(False)
        odd.bind(str(tmp_path / "odd.sock"))
        odd.listen()
        place = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/version"

        def answer(client: socket.socket) -> None:
            with client:
                client.recv(1_000)
                client.sendall(f"HTTP/1.1 301 Moved\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())

        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'odd.sock'}")
        with anyio.from_thread.start_blocking_portal() as portal:
            served = portal.start_task_soon(anyio.to_thread.run_sync, lambda: answer(odd.accept()[0]))
            result = run("docker_version")
            served.result(5)
        assert code_of(result) == "ENGINE_UNREACHABLE"
        assert "status 301" in result.text
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("asked", ["web", "web-1", "c" * 11, "c" * 12, ID])
@pytest.mark.parametrize("change", ["docker_stop_container", "docker_remove_container", "docker_exec_command"])
def test_nothing_is_done_to_another_container_than_was_asked_for(
    engine: FakeEngine, run: Run, change: str, asked: str
) -> None:
    # the last may be an id that was a container's once, and is another's name now
    engine.on("GET", "/containers/[^/]*/json", STOPPED | {"Id": "e" * 64, "Name": f"/{ID}"})
    more = {"command": "true"} if change == "docker_exec_command" else {}
    result = run(change, container_id=asked, **more)
    assert code_of(result) == "ENGINE_ERROR"
    assert "answered with another one" in result.text
    assert {request.method for request in engine.requests} == {"GET"}


def test_nothing_is_done_to_another_network_than_was_asked_for(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/mesh", {"Id": NETWORK, "Name": "other", "Driver": "bridge"})
    assert code_of(run("docker_remove_network", network_id="mesh")) == "ENGINE_ERROR"
    assert not engine.sent("DELETE", ".*")


@pytest.mark.parametrize(("granted", "told"), [(True, True), (False, False)])
def test_a_change_that_was_made_is_told_though_what_is_read_after_it_fails(
    container: FakeEngine, run: Run, *, granted: bool, told: bool
) -> None:
    def start(_request: Request) -> tuple[int, Any]:
        container.on("GET", f"/containers/{ID}/json", {"message": "out of order"}, status=500)
        return (204, b"") if granted else (500, {"message": "out of order"})

    container.on("POST", f"/containers/{ID}/start", start)
    result = run("docker_start_container", container_id="web")
    assert code_of(result) == "ENGINE_ERROR"
    assert ("may have happened all the same" in result.text) is told


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_does_not_end_is_not_read_to_its_end(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def endless() -> Iterator[bytes]:
        yield b"["
        while True:
            yield b'"more",' * 1_000

    monkeypatch.setattr(transport, "MOST_BYTES", 1_000_000)
    engine.on("GET", "/containers/json", lambda _request: (status, endless()))
    result = run("docker_list_containers")
    assert code_of(result) == "ENGINE_UNREACHABLE"
    assert "more than 1 MB" in result.text


@pytest.mark.parametrize("tool", ["docker_list_networks", "docker_events"])
def test_an_answer_that_is_nested_too_deep_is_the_engines_fault(engine: FakeEngine, run: Run, tool: str) -> None:
    engine.on("GET", "/_ping", b"OK")
    engine.on("GET", "/(networks|events)", b"[" * 100_000 + b"]" * 100_000)
    assert code_of(run(tool)) == "ENGINE_ERROR"


@pytest.mark.anyio
async def test_an_answer_that_takes_more_memory_than_there_is_costs_its_own_call_alone(
    engine: FakeEngine, ask: tuple[Ask, Engine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none_is_left(*_: Any, **__: Any) -> None:
        raise MemoryError

    call, _ = ask
    engine.on("GET", "/networks", [])
    assert data_of(await call("docker_list_networks")) == {"networks": []}
    with monkeypatch.context() as patched:
        patched.setattr(requests.Response, "json", none_is_left)
        result = await call("docker_list_networks")
    assert code_of(result) == "ENGINE_ERROR"
    assert "more memory than the server has" in result.text
    assert json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])["outcome"] == "failed"
    assert data_of(await call("docker_list_networks")) == {"networks": []}


@pytest.mark.anyio
async def test_a_fault_that_there_is_no_memory_to_look_into_is_told_all_the_same(
    engine: FakeEngine, ask: tuple[Ask, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trips(response: requests.Response, **_: Any) -> list[int]:
        monkeypatch.setattr(requests.Response, "json", none_is_left)
        return [response.status_code]

    def none_is_left(*_: Any, **__: Any) -> None:
        raise MemoryError

    call, _ = ask
    engine.on("GET", "/networks", [])
    await call("docker_list_networks")
    monkeypatch.setattr(requests.Response, "json", trips)
    assert code_of(await call("docker_list_networks")) == "INTERNAL_ERROR"


def test_a_disk_of_the_engine_that_is_full_is_no_riddle(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/volumes", {"Volumes": None})
    engine.on("POST", "/volumes/create", {"message": "mkdir /var/lib/docker: no space left on device"}, status=500)
    result = run("docker_create_volume", name="data")
    assert code_of(result) == "ENGINE_ERROR"
    assert "docker_prune_images" in result.text


@pytest.mark.anyio
async def test_an_engine_that_was_exchanged_for_an_older_one_is_spoken_to_at_the_next_call(
    engine: FakeEngine, ask: tuple[Ask, Engine]
) -> None:
    call, client = ask
    engine.on("GET", "/networks", [])
    assert data_of(await call("docker_list_networks")) == {"networks": []}

    engine.api = "1.40"
    said = "client version 1.41 is too new. Maximum supported API version is 1.40"
    engine.on("GET", "/networks", lambda _: [] if client.api == (1, 40) else (400, {"message": said}))
    assert code_of(await call("docker_list_networks")) == "UNSUPPORTED"
    assert data_of(await call("docker_list_networks")) == {"networks": []}


@pytest.mark.anyio
async def test_a_call_goes_on_though_the_connection_of_another_breaks(
    container: FakeEngine, ask: tuple[Ask, Engine]
) -> None:
    call, client = ask

    def breaks(_request: Request) -> bytes:
        client.forget()  # as the other call does
        return b""

    container.on("GET", "/networks/mesh", {"Id": NETWORK, "Name": "mesh", "Driver": "bridge"})
    container.on("POST", f"/networks/{NETWORK}/connect", breaks)
    result = await call("docker_connect_container", network_id="mesh", container_id="web")
    assert data_of(result)["container"] == "web"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "odd",
    [
        [],
        None,
        {"auths": ["x"]},
        {"auths": {"x": "y"}},
        {"auths": {"x": {"auth": "eA=="}}},
        {"proxies": {"default": "x"}},
    ],
)
async def test_a_configuration_of_dockers_that_makes_no_sense_is_named_and_read_again_once_it_does(
    engine: FakeEngine, ask: tuple[Ask, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: Any
) -> None:
    call, _ = ask
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine.on("GET", "/networks", [])
    (tmp_path / "config.json").write_text(json.dumps(odd))
    result = await call("docker_list_networks")
    assert code_of(result) == "ENGINE_UNREACHABLE"
    assert "config.json can't be understood" in result.text

    (tmp_path / "config.json").write_text("{}")
    assert data_of(await call("docker_list_networks")) == {"networks": []}


@pytest.mark.anyio
async def test_a_call_waits_for_a_thread_where_the_system_grants_no_more(
    engine: FakeEngine, ask: tuple[Ask, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    call, _ = ask
    start, refused = threading.Thread.start, 0

    def begin(thread: threading.Thread) -> None:
        nonlocal refused
        if thread.name == "AnyIO worker thread" and refused < 2:
            refused += 1
            raise RuntimeError("can't start new thread")
        start(thread)

    engine.on("GET", "/networks", [])
    monkeypatch.setattr(threading.Thread, "start", begin)
    assert data_of(await call("docker_list_networks")) == {"networks": []}
    assert refused == 2


@pytest.mark.anyio
async def test_a_client_that_goes_before_its_request_is_whole_is_not_served() -> None:
    served: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        served.append(scope["path"])

    async def receive() -> Message:
        return messages.pop(0)

    class Application:
        def of(self, _scope: Scope) -> Any:
            return CALLER

    async def send(_message: Message) -> None:
        raise AssertionError("nobody is there")

    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    counted = Counted(app, Application())  # type: ignore[arg-type]
    await counted({"type": "http", "path": PATH, "method": "POST", "headers": []}, receive, send)
    assert served == []
