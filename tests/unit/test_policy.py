"""Which arguments pass: refused before the engine is asked, naming the argument's value and the setting."""

from typing import Any

import pytest

from mcp_docker.policy import RULES
from mcp_docker.tool import Power
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ID = "4f1c2e" + "0" * 58
CREATE = "docker_create_container"
PRIVILEGES = "SAFETY_ALLOW_PRIVILEGED_CONTAINERS=true allows it."


@pytest.fixture
def docker(engine: FakeEngine) -> FakeEngine:
    """An engine that makes containers."""
    engine.on("POST", "/containers/create", {"Id": ID, "Warnings": []}, status=201)
    engine.on("GET", "/networks/HOST", {"Id": "b" * 64, "Name": "HOST", "Driver": "bridge"})
    engine.on("GET", f"/containers/{ID}/json", {"Id": ID, "Name": "/web", "State": {"Status": "created"}})
    return engine


PRIVILEGED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"privileged": True}, "privileged 'true'", {"Privileged": True}),
    ({"network_mode": "host"}, "host namespace 'host'", {"NetworkMode": "host"}),
    ({"network_mode": "HOST"}, "host namespace 'HOST'", {"NetworkMode": "HOST"}),
    ({"network": "host"}, "host namespace 'host'", {"NetworkMode": "host"}),
    ({"network_mode": "container:db"}, "host namespace 'container:db'", {"NetworkMode": "container:db"}),
    ({"network": "ns:/proc/1/ns/net"}, "host namespace 'ns:/proc/1/ns/net'", {"NetworkMode": "ns:/proc/1/ns/net"}),
    ({"pid_mode": "host"}, "host namespace 'host'", {"PidMode": "host"}),
    ({"pid_mode": "container:db"}, "host namespace 'container:db'", {"PidMode": "container:db"}),
    ({"cap_add": ["SYS_ADMIN"]}, "capability 'SYS_ADMIN'", {"CapAdd": ["SYS_ADMIN"]}),
    ({"cap_add": "cap_net_admin"}, "capability 'NET_ADMIN'", {"CapAdd": ["NET_ADMIN"]}),
    ({"cap_add": ["chown", "all"]}, "capability 'ALL'", {"CapAdd": ["CHOWN", "ALL"]}),
    (
        {"security_opt": "seccomp=unconfined"},
        "security option 'seccomp=unconfined'",
        {"SecurityOpt": ["seccomp=unconfined"]},
    ),
    (
        {"security_opt": ["seccomp:unconfined"]},
        "security option 'seccomp:unconfined'",
        {"SecurityOpt": ["seccomp:unconfined"]},
    ),
    (
        {"security_opt": ["no-new-privileges:false"]},
        "security option 'no-new-privileges:false'",
        {"SecurityOpt": ["no-new-privileges:false"]},
    ),
    (
        {"security_opt": ["AppArmor=Unconfined"]},
        "security option 'AppArmor=Unconfined'",
        {"SecurityOpt": ["AppArmor=Unconfined"]},
    ),
    ({"security_opt": ["label=disable"]}, "security option 'label=disable'", {"SecurityOpt": ["label=disable"]}),
    (
        {"security_opt": ["systempaths=unconfined"]},
        "security option 'systempaths=unconfined'",
        {"SecurityOpt": ["systempaths=unconfined"]},
    ),
]


@pytest.mark.parametrize(("arguments", "said", "_sent"), PRIVILEGED)
def test_what_gives_power_over_the_host_is_refused_naming_the_setting(
    docker: FakeEngine, run: Run, arguments: dict[str, Any], said: str, _sent: dict[str, Any]
) -> None:
    result = run(CREATE, image="redis:7", **arguments)
    assert code_of(result) == "PRIVILEGE_NOT_ALLOWED"
    assert f"{said} is not allowed" in result.text
    assert PRIVILEGES in result.text
    assert docker.requests == []


@pytest.mark.parametrize(("arguments", "_said", "sent"), PRIVILEGED)
def test_the_operator_can_allow_what_gives_power_over_the_host(
    docker: FakeEngine,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    _said: str,
    sent: dict[str, Any],
) -> None:
    monkeypatch.setenv("SAFETY_ALLOW_PRIVILEGED_CONTAINERS", "true")
    data_of(run(CREATE, image="redis:7", **arguments))
    (request,) = docker.sent("POST", "/containers/create")
    assert request.body["HostConfig"] == sent


HOST_PATHS = [
    ("/etc:/x", "/etc"),
    ("//etc:/x", "//etc"),
    ("./data:/x", "./data"),
    ("..:/x", ".."),
    ("~:/x", "~"),
    ("~root/.ssh:/x", "~root/.ssh"),
    ("a/b:/x", "a/b"),
    ("C:\\data:/x", "C:\\data"),
    ("c:/data:/x:ro", "c:/data"),
    ("data\\sub:/x", "data\\sub"),
    ("$HOME/x:/x", "$HOME/x"),
    ({"/srv": {"bind": "/x", "mode": "ro"}}, "/srv"),
]


@pytest.mark.parametrize("privileges", ["true", "false"])
@pytest.mark.parametrize(("written", "source"), HOST_PATHS)
def test_no_path_of_the_host_is_mounted_whatever_is_allowed_besides(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, written: Any, source: str, privileges: str
) -> None:
    monkeypatch.setenv("SAFETY_ALLOW_PRIVILEGED_CONTAINERS", privileges)
    result = run(CREATE, image="redis:7", volumes=written)
    assert code_of(result) == "MOUNT_NOT_ALLOWED"
    assert repr(source) in result.text
    assert docker.requests == []


@pytest.mark.parametrize(
    ("written", "address"), [("0.0.0.0:80:80", "0.0.0.0"), ("[::]:80:80", "::"), ({"80": ["10.0.0.1", 80]}, "10.0.0.1")]
)
def test_ports_are_published_beyond_loopback_only_on_addresses_the_operator_names(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, written: Any, address: str
) -> None:
    result = run(CREATE, image="redis:7", ports=written)
    assert code_of(result) == "ADDRESS_NOT_ALLOWED"
    assert f"publishing on {address!r} is not allowed" in result.text
    assert "SAFETY_PUBLISH_HOST_IP" in result.text
    assert docker.requests == []
    monkeypatch.setenv("SAFETY_PUBLISH_HOST_IP", address)
    data_of(run(CREATE, image="redis:7", ports=written))
    (request,) = docker.sent("POST", "/containers/create")
    assert request.body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": address, "HostPort": "80"}]}


def test_everything_that_is_refused_is_named_at_once(docker: FakeEngine, run: Run) -> None:
    result = run(CREATE, image="redis:7", privileged=True, pid_mode="host", volumes="/etc:/x", ports="0.0.0.0:80:80")
    assert code_of(result) == "PRIVILEGE_NOT_ALLOWED"
    for refused in ("privileged 'true'", "host namespace 'host'", "the host path '/etc'", "publishing on '0.0.0.0'"):
        assert refused in result.text
    assert result.text.count(PRIVILEGES) == 1
    assert docker.requests == []


@pytest.mark.parametrize("name", ["CHOWN", "cap_net_raw", "Cap_Sys_Chroot"])
def test_capabilities_that_docker_gives_anyway_pass(docker: FakeEngine, run: Run, name: str) -> None:
    data_of(run(CREATE, image="redis:7", cap_add=[name], cap_drop=["ALL"]))
    (request,) = docker.sent("POST", "/containers/create")
    assert request.body["HostConfig"]["CapAdd"] == [name.upper().removeprefix("CAP_")]


def test_every_power_has_a_rule() -> None:
    assert set(RULES) == set(Power)
