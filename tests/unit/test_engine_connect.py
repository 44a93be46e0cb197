"""Finding, losing and finding the engine again."""

import os
import shutil
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mcp_docker.engine import CallScope, Engine, NoEngine, address, why
from mcp_docker.engine.transport import _Connection, dialler
from mcp_docker.errors import Cancelled, EngineUnreachable
from mcp_docker.settings import load
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run


@pytest.fixture
def scope() -> Iterator[CallScope]:
    made = CallScope(5)
    with made.entered():
        yield made


def endpoints() -> list[tuple[str, str]]:
    return [(place.address, place.rule) for place in address.endpoints(load())]


def context_folder(home: Path, name: str, meta: str) -> Path:
    import hashlib

    folder = home / "docker"
    digest = hashlib.sha256(name.encode()).hexdigest()
    (folder / "contexts/meta" / digest).mkdir(parents=True)
    (folder / "contexts/meta" / digest / "meta.json").write_text(meta)
    (folder / "config.json").write_text(f'{{"currentContext": "{name}"}}')
    return folder / "contexts/tls" / digest / "docker"


def test_the_operators_address_goes_before_dockers_and_contexts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context_folder(tmp_path, "far", '{"Endpoints": {"docker": {"Host": "ssh://me@far"}}}')
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert endpoints() == [("ssh://me@far", "Docker context 'far'")]
    monkeypatch.setenv("DOCKER_HOST", "unix:///host.sock")
    assert endpoints() == [("unix:///host.sock", "DOCKER_HOST")]
    monkeypatch.setenv("DOCKER_BASE_URL", "unix:///base.sock")
    assert endpoints() == [("unix:///base.sock", "DOCKER_BASE_URL")]


def test_a_context_brings_its_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tls = context_folder(
        tmp_path, "far", '{"Endpoints": {"docker": {"Host": "tcp://far:2376", "SkipTLSVerify": true}}}'
    )
    tls.mkdir(parents=True)
    (tls / "ca.pem").write_text("")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (place,) = address.endpoints(load())
    assert place.tls == address.Tls(tls / "ca.pem", None, None, verify=False)


def test_a_context_that_cannot_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scope: CallScope
) -> None:
    del scope
    context_folder(tmp_path, "far", "{}")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(EngineUnreachable, match="Docker context 'far' can't be read"):
        _ = Engine(load()).docker


@pytest.mark.parametrize("config", ["", "[]", '{"currentContext": "default"}'])
def test_without_a_context_the_usual_places_are_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text(config)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = endpoints()
    assert found[0] == ("unix:///var/run/docker.sock", "usual place of Docker Engine")
    assert any("podman" in place for place, _ in found)


def test_windows_has_named_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert endpoints()[0][0] == "npipe:////./pipe/docker_engine"
    assert "Docker Desktop" in address.remedy()


def test_certificates_come_from_settings_or_dockers_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://far:2376")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    (plain,) = address.endpoints(load())
    assert plain.tls is None
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    (checked,) = address.endpoints(load())
    assert checked.tls == address.Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem", verify=True)
    with pytest.raises(OSError, match="No such file"):
        checked.tls.context()


def test_a_client_may_leave_the_certificate_unchecked_when_told_so() -> None:
    context = address.Tls(None, None, None, verify=False).context()
    assert context.verify_mode is ssl.CERT_NONE
    assert address.Tls(None, None, None, verify=True).context().verify_mode is ssl.CERT_REQUIRED


def test_every_place_that_was_tried_is_said_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, run: Run, engine: FakeEngine
) -> None:
    del engine
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    result = run("docker_list_containers")
    assert code_of(result) == "ENGINE_UNREACHABLE"
    assert "there is no such socket as unix:///var/run/docker.sock" in result.text
    assert "DOCKER_HOST" in result.text


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("unix:///no/such.sock", "there is no such socket"),
        ("tcp://127.0.0.1:1", "nothing listens there"),
        ("gopher://x", "the address must begin with"),
        ("tcp://127.0.0.1:notaport", "Port could not be cast"),
    ],
)
def test_a_failed_connection_has_a_reason_in_words(
    monkeypatch: pytest.MonkeyPatch, place: str, reason: str, scope: CallScope
) -> None:
    del scope
    monkeypatch.setenv("DOCKER_HOST", place)
    with pytest.raises(NoEngine, match=reason):
        _ = Engine(load()).docker


def test_a_user_without_rights_on_the_socket_is_told_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    missing = (address.Endpoint("unix:///no/such.sock", "usual place of rootless Docker"), why(FileNotFoundError()))
    closed = (address.Endpoint("unix:///var/run/docker.sock", "usual place of Docker Engine"), why(PermissionError()))
    assert "start the engine" in str(NoEngine([missing]))
    assert "the group that owns it" in str(NoEngine([missing, closed]))
    assert "start the engine" not in str(NoEngine([missing, closed]))


def test_something_that_is_no_engine_is_not_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scope: CallScope
) -> None:
    del scope
    path = str(tmp_path / "echo.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1_000)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with pytest.raises(NoEngine):
            _ = Engine(load()).docker
        thread.join(5)


def test_an_engine_that_goes_away_and_comes_back_needs_no_restart(
    engine: FakeEngine, scope: CallScope, tmp_path: Path
) -> None:
    del scope
    ours = Engine(load())
    engine.on("GET", "/containers/json", [])
    assert ours.docker.containers() == []
    engine.server.shutdown()
    engine.server.server_close()
    (tmp_path / "engine.sock").unlink()
    ours.forget()
    with pytest.raises(NoEngine):
        _ = ours.docker
    again = FakeEngine(tmp_path / "engine.sock")
    again.on("GET", "/containers/json", [{"Id": "a"}])
    assert ours.docker.containers() == [{"Id": "a"}]
    again.server.shutdown()
    again.server.server_close()


def test_an_engine_that_is_another_one_after_a_restart_is_got_to_know_anew(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, connections, handle = Engine(load()), [], engine.handle

    def noted(handler: BaseHTTPRequestHandler) -> None:
        connections.append(handler.connection)
        handle(handler)

    monkeypatch.setattr(engine, "handle", noted)
    engine.on("GET", "/containers/json", [])
    with CallScope(5).entered():
        assert ours.docker.containers() == []
        before = ours.connected
        assert before.info["DockerRootDir"] == "/var/lib/docker"
    with CallScope(5).entered():
        assert ours.docker.containers() == []
        assert ours.connected is before
    for connection in set(connections):  # nothing of ours is under way that would notice
        connection.shutdown(socket.SHUT_RDWR)
    engine.be_podman()
    engine.info = {"DockerRootDir": "/srv/docker"}
    with CallScope(5).entered():
        assert ours.docker.containers() == []
        assert ours.connected.is_podman
        assert ours.connected.info["DockerRootDir"] == "/srv/docker"


@pytest.mark.parametrize(
    ("theirs", "chosen", "spoken"),
    [
        ("1.41", "", (1, 41)),
        ("1.51", "", (1, 51)),
        ("1.99", "", (1, 51)),
        ("1.51", "1.44", (1, 44)),
        ("1.51", "v1.43", (1, 43)),
    ],
)
def test_the_api_version_is_the_engines_up_to_the_newest_known_or_the_chosen_one(
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    scope: CallScope,
    theirs: str,
    chosen: str,
    spoken: tuple[int, int],
) -> None:
    del scope
    engine.api = theirs
    monkeypatch.setenv("DOCKER_API_VERSION", chosen)
    assert Engine(load()).api == spoken


def test_an_engine_is_reached_over_tcp(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    engine.on("GET", "/containers/json", [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=joined, args=(server, engine.address), daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        data_of(run("docker_list_containers"))


def joined(server: socket.socket, place: str) -> None:
    """Pass connections on to the fake engine until the server socket is closed."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(place.removeprefix("unix://"))
        for pair in ((client, inner), (inner, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def test_an_engine_is_reached_through_the_systems_ssh(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    engine.on("GET", "/containers/json", [])
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = folder / "ssh"
    fake.write_text(
        f"""#!{sys.executable}
import os, socket, sys, threading
open({str(tmp_path / "asked")!r}, "w").write(" ".join(sys.argv[1:]))
engine = socket.socket(socket.AF_UNIX)
engine.connect({engine.address.removeprefix("unix://")!r})
def inward():
    while data := os.read(0, 65536):
        engine.sendall(data)
    os._exit(0)
threading.Thread(target=inward, daemon=True).start()
while data := engine.recv(65536):
    os.write(1, data)
"""
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    assert shutil.which("ssh", path=str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@far:22")
    data_of(run("docker_list_containers"))
    assert (tmp_path / "asked").read_text().endswith("-- ssh://me@far:22 docker system dial-stdio")


def test_podman_is_known_by_its_components(engine: FakeEngine, scope: CallScope) -> None:
    del scope
    connected = Engine(load()).connected
    assert not connected.is_podman
    assert engine.requests == []


def test_a_scope_that_was_cut_opens_nothing_more(engine: FakeEngine) -> None:
    scope = CallScope(5)
    scope.cut(Cancelled("over", "call again."))
    scope.cut(Cancelled("again", "call again."))
    with scope.entered(), pytest.raises(Cancelled, match="over"):
        _ = Engine(load()).docker
    assert engine.requests == []


def test_a_scope_that_is_cut_while_it_connects_opens_nothing_more(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope, hold = CallScope(5), CallScope.hold

    def cut_before_it_is_connected(self: CallScope, sock: socket.socket) -> None:
        hold(self, sock)
        scope.cut(Cancelled("over", "call again."))

    monkeypatch.setattr(CallScope, "hold", cut_before_it_is_connected)
    ours = Engine(load())
    asked: list[str] = []
    monkeypatch.setattr(engine, "handle", lambda handler: asked.append(handler.path))
    with scope.entered(), pytest.raises(Cancelled, match="over"):
        _ = ours.docker
    assert asked == []


def test_an_idle_connection_belongs_to_no_call(engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", [])
    ours, first, second = Engine(load()), CallScope(5), CallScope(5)
    with first.entered():
        ours.docker.containers()
    first.cut(Cancelled("over", "call again."))
    with second.entered():
        assert ours.docker.containers() == []


def test_fan_out_keeps_the_order_and_passes_errors_on() -> None:
    scope = CallScope(5)
    with scope.entered():
        assert scope.gather(lambda item: (item, CallScope.current() is scope), range(3)) == [
            (0, True),
            (1, True),
            (2, True),
        ]
        assert scope.gather(str, []) == []
        with pytest.raises(ZeroDivisionError):
            scope.gather(lambda item: 1 / item, [1, 0])


def test_listening_ends_with_the_call_that_listens() -> None:
    scope = CallScope(5)
    with scope.entered(), scope.ending_after(30) as inner:
        scope.cut(Cancelled("over", "call again."))
        assert inner.cancelled()


def test_each_address_of_a_name_is_tried(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    engine.on("GET", "/containers/json", [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=joined, args=(server, engine.address), daemon=True).start()
        closed, listening = ("127.0.0.1", 1), server.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in (closed, listening)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
        monkeypatch.setenv("DOCKER_HOST", "tcp://localhost:2375")
        data_of(run("docker_list_containers"))


def test_an_address_that_is_silent_leaves_time_for_the_next_and_no_socket_behind(
    monkeypatch: pytest.MonkeyPatch, scope: CallScope
) -> None:
    tried: list[tuple[str, float | None, socket.socket]] = []

    def connect(self: socket.socket, place: tuple[str, int]) -> None:
        tried.append((place[0], self.gettimeout(), self))
        raise TimeoutError(f"{place[0]} is silent")

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 2375)) for number in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(TimeoutError, match=r"192\.0\.2\.2 is silent"):
        dialler("tcp://far:2375", None)(scope)
    (first, time_of_first, one), (second, time_of_second, two) = tried
    assert (first, second) == ("192.0.2.1", "192.0.2.2")
    assert time_of_first
    assert time_of_second
    assert time_of_first <= 2.5 < time_of_second <= 5
    assert (one.fileno(), two.fileno(), scope._sockets) == (-1, -1, set())


def test_what_is_sent_may_take_longer_than_connecting(engine: FakeEngine) -> None:
    scope = CallScope(77)
    connection = _Connection(dialler(engine.address, None))
    with scope.entered():
        connection.connect()
    assert connection.sock.gettimeout() == 77
    connection.close()


def test_a_certificate_that_is_missing_is_not_told_as_a_missing_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scope: CallScope
) -> None:
    del scope
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(NoEngine) as raised:
        _ = Engine(load()).docker
    assert f"can't use {tmp_path}/ca.pem: No such file or directory; have that certificate" in str(raised.value)
    assert "socket" not in str(raised.value)
    assert "start the engine" not in str(raised.value)


def test_a_missing_ssh_is_not_told_as_a_missing_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scope: CallScope
) -> None:
    del scope
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@far")
    with pytest.raises(NoEngine, match=r"can't use ssh: No such file or directory; have that .* ssh program where"):
        _ = Engine(load()).docker


def test_only_a_socket_of_this_machine_is_missing_or_anothers() -> None:
    key = PermissionError(13, "Permission denied", "/etc/docker/key.pem")
    assert why(key) == why(key, local=False) == "can't use /etc/docker/key.pem: Permission denied"
    assert why(PermissionError(1, "Operation not permitted"), local=False) == "Operation not permitted"
    assert "the group that owns the socket" in why(PermissionError(13, "Permission denied"))


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has no home."""
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/me")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_usual_places_elsewhere_are_tried() -> None:
    assert [place for place, _ in endpoints()] == [
        "unix:///var/run/docker.sock",
        "unix:///run/me/docker.sock",
        "unix:///run/me/podman/podman.sock",
        "unix:///run/podman/podman.sock",
    ]
    assert "/var/run/docker.sock" in address.sockets(load())


@pytest.mark.usefixtures("homeless")
def test_without_a_home_a_context_can_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(address.BadContext, match="there is no home folder, and no DOCKER_CONFIG"):
        endpoints()
