"""Which arguments pass: refused before the engine is asked, naming the argument's value and the setting."""

from typing import Any

import pytest

from mcp_docker.engine import Engine
from mcp_docker.errors import NotPermitted, SettingsError
from mcp_docker.policy import RULES, check
from mcp_docker.settings import load
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


@pytest.mark.parametrize(
    ("setting", "value", "asked"),
    [
        ("SAFETY_ALLOWED_CAPABILITIES", "CAP_NET_ADMIN", {"cap_add": ["NET_ADMIN"]}),
        ("SAFETY_ALLOWED_CAPABILITIES", "net_admin", {"cap_add": ["CAP_NET_ADMIN"]}),
        ("SAFETY_ALLOWED_DEVICES", "/dev/dri/", {"devices": ["/dev/dri"]}),
        ("SAFETY_PUBLISH_HOST_IP", "FD00::1", {"ports": "[fd00::1]:80:80"}),
        ("SAFETY_PUBLISH_HOST_IP", "0:0:0:0:0:0:0:0", {"ports": "[::]:80:80"}),
    ],
)
@pytest.mark.usefixtures("docker")
def test_what_the_operator_allows_passes_in_every_spelling(
    run: Run, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, asked: dict[str, Any]
) -> None:
    monkeypatch.setenv(setting, value)
    data_of(run(CREATE, image="redis:7", **asked))


def test_every_power_has_a_rule() -> None:
    assert set(RULES) == set(Power)


@pytest.mark.parametrize(
    ("power", "value", "words"),
    [
        (Power.PRIVILEGED, "true", f"[PRIVILEGE_NOT_ALLOWED] privileged 'true' is not allowed; {PRIVILEGES}"),
        (
            Power.CAPABILITY,
            "SYS_TIME",
            "[PRIVILEGE_NOT_ALLOWED] capability 'SYS_TIME' is not allowed; "
            f"SAFETY_ALLOWED_CAPABILITIES lists those that are allowed, or {PRIVILEGES}",
        ),
        (
            Power.DEVICE,
            "/dev/kvm",
            "[PRIVILEGE_NOT_ALLOWED] device '/dev/kvm' is not allowed; "
            f"SAFETY_ALLOWED_DEVICES lists those that are allowed, or {PRIVILEGES}",
        ),
        (
            Power.VOLUME_DRIVER,
            "nfs",
            "[VOLUME_NOT_ALLOWED] the volume driver 'nfs' is not allowed; "
            "use the driver 'local'; SAFETY_ALLOWED_VOLUME_DRIVERS allows others.",
        ),
        (
            Power.VOLUME_OPTION,
            "device=/etc",
            "[VOLUME_NOT_ALLOWED] the volume option 'device=/etc' is not allowed: options can mount the host; "
            "leave it out; SAFETY_ALLOWED_VOLUME_OPTIONS allows named ones.",
        ),
        (
            Power.NETWORK_DRIVER,
            "macvlan",
            f"[NETWORK_NOT_ALLOWED] the network driver macvlan is not allowed; {PRIVILEGES}",
        ),
        (
            Power.PUBLISH_ADDRESS,
            "0.0.0.0",
            "[ADDRESS_NOT_ALLOWED] publishing on '0.0.0.0' is not allowed; "
            "leave the address out to publish on 127.0.0.1; SAFETY_PUBLISH_HOST_IP allows others.",
        ),
        (
            Power.EXEC_ROOT,
            "'root'",
            f"[EXEC_NOT_ALLOWED] {Power.EXEC_ROOT} 'root' is not allowed; {PRIVILEGES}",
        ),
        (
            Power.DELETION,
            "this deletes it",
            "[DELETION_NOT_ALLOWED] this deletes it, and destructive operations are off; "
            "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true allows it.",
        ),
    ],
)
def test_a_refusal_says_what_is_not_allowed_and_what_would_allow_it(power: Power, value: str, words: str) -> None:
    settings = load()
    with pytest.raises(NotPermitted) as refused:
        RULES[power](settings, value, Engine(settings))
    assert str(refused.value) == f"REFUSED {words}"


@pytest.mark.parametrize(
    ("power", "value", "listed"),
    [
        (Power.VOLUME_OPTION, "type=nfs=4", {"safety_allowed_volume_options": ("type",)}),
        (Power.VOLUME_OPTION, "o=size=1m", {"safety_allowed_volume_options": ("o=size=1m",)}),
        (Power.DEVICE, "/dev/kvm", {"safety_allowed_devices": ("/dev/kvm",)}),
        (Power.CAPABILITY, "SYS_TIME", {"safety_allowed_capabilities": ("SYS_TIME",)}),
        (Power.SYSCTL, "net.x=1", {"safety_allowed_sysctls": ("net.x=1",)}),
        (Power.RUNTIME, "runsc", {"safety_allowed_runtimes": ("runsc",)}),
    ],
)
def test_what_the_operator_lists_passes_and_nothing_like_it(power: Power, value: str, listed: Any) -> None:
    settings = load(**listed)
    assert RULES[power](settings, value, Engine(settings)) == value
    with pytest.raises(NotPermitted):
        RULES[power](settings, f"x{value}", Engine(settings))


def test_every_malformed_list_of_registries_stops_the_start() -> None:
    check(load(safety_allowed_registries=("ghcr.io",), safety_allowed_push_registries=("ghcr.io/acme",)))
    with pytest.raises(SettingsError) as stopped:
        check(load(safety_allowed_registries=("*.io",), safety_allowed_push_registries=("https://ghcr.io",)))
    assert [problem.partition(" ")[0] for problem in stopped.value.problems] == [
        "SAFETY_ALLOWED_REGISTRIES:",
        "SAFETY_ALLOWED_PUSH_REGISTRIES:",
    ]
