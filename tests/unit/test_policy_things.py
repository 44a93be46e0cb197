"""What exists is judged too: whom a command in a container would be, what is protected, and which object is meant."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.caller import Caller
from mcp_docker.engine import own
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run
from tests.unit.test_containers_exec import frame

ID = "4f1c2e" + "0" * 58
EXEC = "e" * 64
PRIVILEGES = "SAFETY_ALLOW_PRIVILEGED_CONTAINERS"


def container(**more: Any) -> dict[str, Any]:
    return {"Id": ID, "Name": "/web", "State": {"Status": "running"}, "Config": {}, "HostConfig": {}} | more


@pytest.fixture
def web(engine: FakeEngine) -> FakeEngine:
    """An engine with the running container `web`."""
    engine.on("GET", "/containers/web/json", container())
    engine.on("GET", "/volumes", {"Volumes": []})
    engine.on("POST", f"/containers/{ID}/exec", {"Id": EXEC}, status=201)
    engine.on("POST", f"/exec/{EXEC}/start", frame(1, b"done"))
    engine.on("GET", f"/exec/{EXEC}/json", {"ExitCode": 0})
    return engine


def execute(run: Run, **arguments: Any) -> Any:
    return run("docker_exec_command", container_id="web", command=["id"], **arguments)


def test_whose_processes_are_seen_their_files_are_too(web: FakeEngine, run: Run) -> None:
    socket = {"Type": "bind", "Source": "/var/run/docker.sock"}
    web.on("GET", "/containers/db/json", container(Id="d" * 64, Name="/db", Mounts=[socket]))
    web.on("GET", "/containers/web/json", container(HostConfig={"PidMode": "container:db"}))
    assert code_of(execute(run)) == "EXEC_NOT_ALLOWED"
    web.on("GET", "/containers/web/json", container(HostConfig={"NetworkMode": "container:db"}))
    assert not execute(run).is_error


def passwd(engine: FakeEngine, text: str) -> None:
    """Have the container's /etc/passwd say this."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("passwd")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    engine.on("GET", f"/containers/{ID}/archive", archive.getvalue())


@pytest.mark.parametrize(
    "more",
    [
        {"HostConfig": {"Privileged": True}},
        {"HostConfig": {"CapAdd": ["CAP_SYS_ADMIN"]}},
        {"HostConfig": {"CapAdd": ["all"]}},
        {"HostConfig": {"NetworkMode": "host"}},
        {"HostConfig": {"PidMode": "host"}},
        {"HostConfig": {"IpcMode": "host"}},
        {"HostConfig": {"UTSMode": "host"}},
        {"HostConfig": {"UsernsMode": "host"}},
        {"HostConfig": {"NetworkMode": "container:db"}},
        {"Mounts": [{"Type": "bind", "Source": "/var/run/docker.sock"}]},
        {"Mounts": [{"Type": "bind", "Source": "/run"}]},
        {"Mounts": [{"Type": "bind", "Source": "/"}]},
        {"Mounts": [{"Type": "bind", "Source": "/var/lib/docker/overlay2"}]},
        {"Mounts": [{"Type": "bind", "Source": "/var/lib"}]},
        {"Mounts": [{"Type": "volume", "Name": "tricky"}]},
    ],
)
def test_no_command_runs_where_it_would_be_as_good_as_on_the_host(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    options = {"type": "none", "o": "bind", "device": "/var/run"}
    web.on("GET", "/volumes", {"Volumes": [{"Name": "tricky", "Driver": "local", "Options": options}]})
    web.on("GET", "/containers/db/json", container(Id="d" * 64, Name="/db", HostConfig={"NetworkMode": "host"}))
    web.on("GET", "/containers/web/json", container(**more))
    result = execute(run)
    assert code_of(result) == "EXEC_NOT_ALLOWED"
    assert PRIVILEGES in result.text
    assert web.sent("POST", ".*") == []
    monkeypatch.setenv(PRIVILEGES, "true")
    data_of(execute(run))


@pytest.mark.parametrize(
    "more",
    [
        {"Mounts": [{"Type": "bind", "Source": "/home/me/project"}]},
        {"Mounts": [{"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data"}]},
        {"HostConfig": {"NetworkMode": "container:db", "CapAdd": ["NET_ADMIN"], "CgroupnsMode": "host"}},
    ],
)
def test_ordinary_containers_are_worked_in(web: FakeEngine, run: Run, more: dict[str, Any]) -> None:
    web.on("GET", "/containers/db/json", container(Id="d" * 64, Name="/db"))
    web.on("GET", "/containers/web/json", container(**more))
    data_of(execute(run))


def test_a_container_whose_namespace_s_owner_is_gone_may_have_the_host_s(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.on("GET", "/containers/web/json", container(HostConfig={"NetworkMode": f"container:{'b' * 64}"}))
    web.on("GET", f"/containers/{'b' * 64}/json", {"message": f"No such container: {'b' * 64}"}, 404)
    result = execute(run)
    assert code_of(result) == "EXEC_NOT_ALLOWED"
    assert "web, which shares a namespace of a container that is gone," in result.text
    assert web.sent("POST", ".*") == []
    monkeypatch.setenv(PRIVILEGES, "true")
    data_of(execute(run))


USERS = (
    "odd:x:zz:zz::/:/bin/sh\n"
    "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n77:x:0:0::/:/bin/sh\n"
)


@pytest.mark.parametrize("user", ["root", "0", "00", "0:0", "root:app", "toor", "77", "odd", "nobody-there"])
def test_root_is_not_to_be_had_where_the_container_is_not_root(web: FakeEngine, run: Run, user: str) -> None:
    passwd(web, USERS)
    web.on("GET", "/containers/web/json", container(Config={"User": "app:app"}))
    result = execute(run, user=user)
    assert code_of(result) == "EXEC_NOT_ALLOWED"
    assert "whose own user is app" in result.text
    assert web.sent("POST", ".*") == []


@pytest.mark.parametrize("user", ["", "app", "app:1000", "1000", "1001:1001", "www"])
def test_other_users_are_to_be_had(web: FakeEngine, run: Run, user: str) -> None:
    passwd(web, USERS + "www:x:33:33::/:/bin/sh\n")
    web.on("GET", "/containers/web/json", container(Config={"User": "app"}))
    data_of(execute(run, user=user))


def test_where_nobody_is_known_a_name_may_be_root(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/archive", {"message": "Could not find the file /etc/passwd"}, 404)
    web.on("GET", "/containers/web/json", container(Config={"User": "1000"}))
    assert code_of(execute(run, user="www")) == "EXEC_NOT_ALLOWED"
    data_of(execute(run, user="33"))


@pytest.mark.parametrize(
    ("kept", "source", "refused"),
    [
        ("/data/engine", "/data/engine/overlay2", True),
        ("/data/engine", "/data", True),
        ("/data/engine", "/data/engines", False),
        ("/data/engine", "/var/lib/docker/overlay2", False),
        ("", "/var/lib/docker/overlay2", True),
        (None, "/var/lib/docker/overlay2", True),
    ],
)
def test_where_the_engine_keeps_its_data_is_its_own_to_say(
    web: FakeEngine, run: Run, kept: str | None, source: str, refused: bool
) -> None:
    web.info = {} if kept is None else {"DockerRootDir": kept}
    web.on("GET", "/containers/web/json", container(Mounts=[{"Type": "bind", "Source": source}]))
    result = execute(run)
    assert result.is_error is refused
    assert not refused or code_of(result) == "EXEC_NOT_ALLOWED"


def test_a_socket_is_the_engines_though_nobody_listens_there_now(web: FakeEngine, run: Run) -> None:
    web.on("GET", "/containers/web/json", container(Mounts=[{"Type": "bind", "Source": "/run/crio"}]))
    result = execute(run)
    assert result.text == (
        "REFUSED [EXEC_NOT_ALLOWED] exec in a container that mounts '/run/crio', by which it reaches the engine, "
        "is not allowed; SAFETY_ALLOW_PRIVILEGED_CONTAINERS=true allows it."
    )


def test_root_stays_root(web: FakeEngine, run: Run) -> None:
    data_of(execute(run, user="root"))
    web.on("GET", "/containers/web/json", container(Config={"User": "0:0"}))
    data_of(execute(run, user="root"))


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("docker_exec_command", {"container_id": "web", "command": ["id"]}),
    ("docker_start_container", {"container_id": "web"}),
    ("docker_stop_container", {"container_id": "web"}),
    ("docker_restart_container", {"container_id": "web"}),
    ("docker_remove_container", {"container_id": "web", "force": True}),
    ("docker_connect_container", {"container_id": "web", "network_id": "shop"}),
    ("docker_disconnect_container", {"container_id": "web", "network_id": "shop"}),
]


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_a_protected_container_is_not_changed(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, tool: str, arguments: dict[str, Any]
) -> None:
    web.on("GET", "/networks/shop", {"Id": "b" * 64, "Name": "shop"})
    web.on("GET", "/containers/web/json", container(Config={"Labels": {"keep": "yes"}}))
    for label in ("keep", "keep=yes", "other,keep"):
        monkeypatch.setenv("SAFETY_PROTECTED_LABELS", label)
        result = run(tool, **arguments)
        assert code_of(result) == "PROTECTED"
        shown = "keep=yes" if "=" in label else "keep"
        assert result.text == (
            f"REFUSED [PROTECTED] container web carries the label {shown!r}, which is protected; "
            "SAFETY_PROTECTED_LABELS says what must not be changed; leave it as it is."
        )
    for label in ("keep=no", "keeper", "kee"):
        monkeypatch.setenv("SAFETY_PROTECTED_LABELS", label)
        result = run(tool, **arguments)
        assert not result.is_error or code_of(result) != "PROTECTED"
    web.requests.clear()
    monkeypatch.setenv("SAFETY_PROTECTED_LABELS", "other=yes,keep=yes")
    assert code_of(run(tool, **arguments)) == "PROTECTED"
    assert [request for request in web.requests if request.method != "GET"] == []


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_the_server_leaves_its_own_container_alone(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, tool: str, arguments: dict[str, Any]
) -> None:
    web.on("GET", "/networks/shop", {"Id": "b" * 64, "Name": "shop"})
    monkeypatch.setattr(own, "container_id", lambda: ID)
    monkeypatch.setenv("SAFETY_YOLO_MODE", "true")
    result = run(tool, **arguments)
    assert code_of(result) == "OWN_CONTAINER"
    assert result.text == (
        "REFUSED [OWN_CONTAINER] container web is the one that this server runs in; "
        "no setting allows it; work on another."
    )
    assert [request for request in web.requests if request.method != "GET"] == []


def test_a_protected_volume_is_mounted_read_only(web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_PROTECTED_LABELS", "keep")
    web.on("GET", "/volumes", {"Volumes": [{"Name": "data", "Driver": "local", "Labels": {"keep": ""}}]})
    web.on("POST", "/containers/create", {"Id": ID, "Warnings": []}, status=201)
    web.on("GET", f"/containers/{ID}/json", container())
    for volumes in ("data:/x", ["data:/x", "data:/y:ro"]):
        assert code_of(run("docker_create_container", image="redis:7", volumes=volumes)) == "PROTECTED"
    data_of(run("docker_create_container", image="redis:7", volumes="data:/x:ro"))


@pytest.mark.parametrize("tool", ["stop", "restart"])
def test_ending_a_container_that_goes_with_its_end_is_destructive(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "false")
    web.on("GET", "/containers/web/json", container(HostConfig={"AutoRemove": True}))
    result = run(f"docker_{tool}_container", container_id="web")
    assert code_of(result) == "DELETION_NOT_ALLOWED"
    assert "made with remove=true" in result.text
    assert "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS" in result.text
    assert web.sent("POST", ".*") == []


def test_the_host_s_network_is_the_host_by_its_id_too(web: FakeEngine, run: Run) -> None:
    web.on("GET", "/networks/abc123abc123", {"Id": "abc123abc123" + "0" * 52, "Name": "host", "Driver": "host"})
    result = run("docker_create_container", image="redis:7", network="abc123abc123")
    assert code_of(result) == "PRIVILEGE_NOT_ALLOWED"
    result = run("docker_connect_container", container_id="web", network_id="abc123abc123")
    assert code_of(result) == "PRIVILEGE_NOT_ALLOWED"
    assert web.sent("POST", ".*") == []


def test_a_name_in_front_of_an_id_is_refused(web: FakeEngine, run: Run) -> None:
    web.on("GET", "/containers/beef/json", container(Name="/beef"))
    web.on("GET", "/containers/json", [{"Id": "beef" + "0" * 60}])
    for tool in ("docker_start_container", "docker_remove_container", "docker_inspect_container"):
        assert code_of(run(tool, container_id="beef")) == "AMBIGUOUS_IDENTIFIER"
    assert [request for request in web.requests if request.method != "GET"] == []


def test_what_can_not_be_undone_takes_an_exact_identifier(web: FakeEngine, run: Run) -> None:
    for text, code in (("4f1c2e", "INEXACT_IDENTIFIER"), (ID[:12], "")):
        web.on("GET", f"/containers/{text}/json", container(State={"Status": "exited"}))
        web.on("DELETE", f"/containers/{ID}", status=204)
        result = run("docker_remove_container", container_id=text)
        assert code_of(result) == code if code else data_of(result)
    assert len(web.sent("DELETE", ".*")) == 1


def test_the_beginning_of_several_ids_is_refused(web: FakeEngine, run: Run) -> None:
    web.on("GET", "/containers/4f/json", {"message": "Multiple IDs found with provided prefix: 4f"}, 400)
    assert code_of(run("docker_start_container", container_id="4f")) == "AMBIGUOUS_IDENTIFIER"


def test_the_outside_of_a_container_has_no_id(tmp_path: Path) -> None:
    assert own.container_id(tmp_path) is None


def test_a_link_to_where_the_engine_listens_is_where_it_listens(
    web: FakeEngine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "in_container", lambda: False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link").symlink_to(tmp_path)
    for source in ("elsewhere/link", "elsewhere/link/engine.sock"):
        web.on("GET", "/containers/web/json", container(Mounts=[{"Type": "bind", "Source": str(tmp_path / source)}]))
        assert code_of(execute(run)) == "EXEC_NOT_ALLOWED"
    (tmp_path / "elsewhere/loop").symlink_to("loop")
    for source in ("elsewhere", "elsewhere/loop"):
        web.on("GET", "/containers/web/json", container(Mounts=[{"Type": "bind", "Source": str(tmp_path / source)}]))
        data_of(execute(run))


def test_names_of_networks_are_told_apart_by_case(web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_PROTECTED_LABELS", "keep")
    web.on("GET", "/networks/NONE", {"Id": "b" * 64, "Name": "NONE", "Driver": "bridge", "Labels": {"keep": ""}})
    assert code_of(run("docker_create_container", image="redis:7", network="NONE")) == "PROTECTED"


def test_the_same_name_of_a_client_and_of_a_user_are_two_callers() -> None:
    user = Caller("reports", "http", issuer="https://login.example")
    client = replace(user, is_client=True)
    assert user.key != client.key
    assert user.key != replace(user, issuer="https://elsewhere.example").key
