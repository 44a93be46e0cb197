"""docker_create_container: what people write, what is sent, and what is refused before anything is."""

import threading
import time
from typing import Any

import pytest

from mcp_docker import pipeline
from mcp_docker.errors import InvalidArguments
from mcp_docker.tools.containers.create import CreateContainer
from mcp_docker.tools.containers.mounts import VolumeMount
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ID = "4f1c2e" + "0" * 58
CREATE = "docker_create_container"


def inspected(status: str = "created", **more: Any) -> dict[str, Any]:
    """A container as the engine inspects it."""
    return {"Id": ID, "Name": "/web", "State": {"Status": status, "ExitCode": 3, "Error": ""}} | more


@pytest.fixture
def docker(engine: FakeEngine) -> FakeEngine:
    """An engine that makes containers."""
    engine.on("POST", "/containers/create", {"Id": ID, "Warnings": None}, status=201)
    engine.on("GET", f"/containers/{ID}/json", inspected())
    engine.on("GET", "/volumes", {"Volumes": []})
    engine.on("GET", "/networks/backend", {"Id": "b" * 64, "Name": "backend", "Driver": "bridge"})
    return engine


def body_of(docker: FakeEngine, run: Run, **arguments: Any) -> dict[str, Any]:
    """The request for these arguments, without the image."""
    data_of(run(CREATE, **({"image": "redis:7"} | arguments)))
    (request,) = docker.sent("POST", "/containers/create")
    body: dict[str, Any] = request.body
    del body["Image"]
    return body


def host_of(docker: FakeEngine, run: Run, **arguments: Any) -> Any:
    return body_of(docker, run, **arguments).get("HostConfig", {})


def refusal_of(docker: FakeEngine, run: Run, code: str = "INVALID_ARGUMENTS", **arguments: Any) -> str:
    """The text of a refusal before the engine was asked for anything."""
    result = run(CREATE, **({"image": "redis:7"} | arguments))
    assert code_of(result) == code, result.text
    assert docker.requests == []
    return result.text


def test_what_is_not_asked_for_is_left_to_the_engine_and_the_image(docker: FakeEngine, run: Run) -> None:
    assert body_of(docker, run) in ({}, {"HostConfig": {}})


def test_a_container_is_created_under_its_name_and_not_started(docker: FakeEngine, run: Run) -> None:
    assert data_of(run(CREATE, image="redis:7", name="/web")) == {
        "id": ID,
        "name": "web",
        "started": False,
        "state": "created",
        "ports": [],
        "warnings": [],
        "note": "It does not run yet: docker_start_container starts it.",
    }
    assert docker.requests[0].query == {"name": "web"}
    assert [request.method for request in docker.requests] == ["POST", "GET"]


def test_everything_that_can_be_asked_for_arrives_where_the_engine_looks_for_it(docker: FakeEngine, run: Run) -> None:
    assert body_of(
        docker,
        run,
        command="redis-server --port 6380",
        entrypoint=["tini", "--"],
        environment={"A": "b", "N": 1, "T": True},
        labels={"team": "a"},
        working_dir="/data",
        user=1000,
        hostname="cache",
        tty=True,
        mem_limit="512m",
        cpus=1.5,
        cpu_shares=512,
        remove=True,
        network="backend",
        extra_hosts={"db": "10.0.0.2"},
        init=True,
        read_only=True,
        cap_drop=["all"],
        cap_add="cap_net_bind_service",
        security_opt=["no-new-privileges:true"],
        healthcheck="redis-cli ping",
    ) == {
        "Cmd": ["redis-server", "--port", "6380"],
        "Entrypoint": ["tini", "--"],
        "Env": ["A=b", "N=1", "T=true"],
        "Labels": {"team": "a"},
        "WorkingDir": "/data",
        "User": "1000",
        "Hostname": "cache",
        "Tty": True,
        "Healthcheck": {"Test": ["CMD-SHELL", "redis-cli ping"]},
        "NetworkingConfig": {"EndpointsConfig": {"backend": {}}},
        "HostConfig": {
            "Memory": 536_870_912,
            "NanoCpus": 1_500_000_000,
            "CpuShares": 512,
            "AutoRemove": True,
            "NetworkMode": "backend",
            "ExtraHosts": ["db:10.0.0.2"],
            "Init": True,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_BIND_SERVICE"],
            "SecurityOpt": ["no-new-privileges"],
        },
    }


WORDS: list[tuple[Any, list[str]]] = [
    (["sh", "-c", "echo hello"], ["sh", "-c", "echo hello"]),
    ("sh -c 'echo hello'", ["sh", "-c", "echo hello"]),
    ('["sh", "-c", "echo hello"]', ["sh", "-c", "echo hello"]),
    (["sleep", 300], ["sleep", "300"]),
    ("[ -f /x ]", ["[", "-f", "/x", "]"]),
    ("echo", ["echo"]),
]


@pytest.mark.parametrize(("written", "sent"), WORDS)
def test_a_command_is_a_list_or_a_string_that_is_split(
    docker: FakeEngine, run: Run, written: Any, sent: list[str]
) -> None:
    assert body_of(docker, run, command=written)["Cmd"] == sent


PAIRS: list[tuple[Any, list[str]]] = [
    ({"A": "b"}, ["A=b"]),
    (["A=b", "C=d=e"], ["A=b", "C=d=e"]),
    ("A=b", ["A=b"]),
    ('{"A": "b"}', ["A=b"]),
    ({"A": 1.5, "B": False, "C": ""}, ["A=1.5", "B=false", "C="]),
    ("A=b,c", ["A=b,c"]),
]


@pytest.mark.parametrize(("written", "sent"), PAIRS)
def test_an_environment_is_a_mapping_or_a_list(docker: FakeEngine, run: Run, written: Any, sent: list[str]) -> None:
    assert body_of(docker, run, environment=written)["Env"] == sent


@pytest.mark.parametrize("written", [["team"], {"team": None}, {"team": ""}, "team"])
def test_a_label_may_stand_alone(docker: FakeEngine, run: Run, written: Any) -> None:
    assert body_of(docker, run, labels=written)["Labels"] == {"team": ""}


def bound(number: str, host: str = "", address: str = "127.0.0.1") -> dict[str, list[dict[str, str]]]:
    return {number: [{"HostIp": address, "HostPort": host}]}


PORTS: list[tuple[Any, dict[str, list[dict[str, str]]]]] = [
    ("8080:80", bound("80/tcp", "8080")),
    (["8080:80"], bound("80/tcp", "8080")),
    ('["8080:80"]', bound("80/tcp", "8080")),
    (8080, bound("8080/tcp")),
    ([8080, "81"], bound("8080/tcp") | bound("81/tcp")),
    ("127.0.0.1:8080:80/tcp", bound("80/tcp", "8080")),
    ("localhost:8080:80", bound("80/tcp", "8080")),
    ("127.0.0.1::80", bound("80/tcp")),
    ("127.0.0.2:8080:80", bound("80/tcp", "8080", "127.0.0.2")),
    ("[::1]:8080:80", bound("80/tcp", "8080", "::1")),
    ("::1:8080:80", bound("80/tcp", "8080", "::1")),
    ("8000-8001:9000-9001/udp", bound("9000/udp", "8000") | bound("9001/udp", "8001")),
    ("9000-9001", bound("9000/tcp") | bound("9001/tcp")),
    ("53:53/UDP", bound("53/udp", "53")),
    ("53:53/sctp", bound("53/sctp", "53")),
    ({"80/tcp": 8080}, bound("80/tcp", "8080")),
    ('{"80/tcp": 8080}', bound("80/tcp", "8080")),
    ({"80": "8080"}, bound("80/tcp", "8080")),
    ({"80": None}, bound("80/tcp")),
    ({"80": 0}, bound("80/tcp")),
    ({"80-81": None}, bound("80/tcp") | bound("81/tcp")),
    ({"80-81": "90-91"}, bound("80/tcp", "90") | bound("81/tcp", "91")),
    ({"80/tcp": ["127.0.0.1", 8080]}, bound("80/tcp", "8080")),
    ({"80/tcp": ["127.0.0.1", None]}, bound("80/tcp")),
    ({"80/tcp": ["::1", "8080"]}, bound("80/tcp", "8080", "::1")),
    ({"80/tcp": "127.0.0.1:8080"}, bound("80/tcp", "8080")),
    ({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, bound("80/tcp", "8080")),
    ({"80/tcp": {"HostPort": 8080}}, bound("80/tcp", "8080")),
    ([{"80/tcp": 8080}], bound("80/tcp", "8080")),
    (
        {"80/tcp": [8080, 8081]},
        {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}]},
    ),
    (["53:53/tcp", "53:53/udp"], bound("53/tcp", "53") | bound("53/udp", "53")),
]


@pytest.mark.parametrize(("written", "sent"), PORTS)
def test_ports_are_published_on_loopback_unless_an_address_is_named(
    docker: FakeEngine, run: Run, written: Any, sent: dict[str, Any]
) -> None:
    body = body_of(docker, run, ports=written)
    assert body["HostConfig"]["PortBindings"] == sent
    assert body["ExposedPorts"] == {inner: {} for inner in sent}


def volume(target: str, source: str = "", *, read_only: bool = False) -> dict[str, Any]:
    named = {"Source": source} if source else {}
    return {"Type": "volume", "Target": target, "ReadOnly": read_only} | named


VOLUMES: list[tuple[Any, list[dict[str, Any]]]] = [
    ("data:/var/lib/x", [volume("/var/lib/x", "data")]),
    (["data:/x:ro", "cache:/y:rw"], [volume("/x", "data", read_only=True), volume("/y", "cache")]),
    ('["data:/x"]', [volume("/x", "data")]),
    ({"data": {"bind": "/x", "mode": "ro"}}, [volume("/x", "data", read_only=True)]),
    ({"data": {"bind": "/x"}}, [volume("/x", "data")]),
    ({"data": "/x:ro"}, [volume("/x", "data", read_only=True)]),
    ("/container/path", [volume("/container/path")]),
    ("data://var/./lib/", [volume("/var/lib", "data")]),
    ("data:/x:nocopy,ro", [volume("/x", "data", read_only=True) | {"VolumeOptions": {"NoCopy": True}}]),
]


@pytest.mark.parametrize(("written", "sent"), VOLUMES)
def test_volumes_are_sent_as_mounts(docker: FakeEngine, run: Run, written: Any, sent: list[dict[str, Any]]) -> None:
    assert host_of(docker, run, volumes=written) == {"Mounts": sent}


def test_a_path_of_the_host_would_be_sent_as_a_bind_mount_which_needs_its_source_to_exist() -> None:
    assert VolumeMount("/srv", "/x").body("/srv") == {
        "Type": "bind",
        "Source": "/srv",
        "Target": "/x",
        "ReadOnly": False,
    }


SIZES: list[tuple[Any, int]] = [
    ("512m", 536_870_912),
    ("512M", 536_870_912),
    ("1g", 1_073_741_824),
    ("1.5g", 1_610_612_736),
    ("1GiB", 1_073_741_824),
    ("512 MB", 536_870_912),
    (536_870_912, 536_870_912),
    ("536870912", 536_870_912),
    ("8192k", 8_388_608),
    ("1t", 1_099_511_627_776),
]


@pytest.mark.parametrize(("written", "sent"), SIZES)
def test_a_size_has_a_unit_or_is_in_bytes(docker: FakeEngine, run: Run, written: Any, sent: int) -> None:
    assert host_of(docker, run, mem_limit=written) == {"Memory": sent}


RESTARTS: list[tuple[Any, tuple[str, int]]] = [
    ("no", ("no", 0)),
    ("always", ("always", 0)),
    ("Unless-Stopped", ("unless-stopped", 0)),
    ("on-failure", ("on-failure", 0)),
    ("on-failure:3", ("on-failure", 3)),
    ({"Name": "on-failure", "MaximumRetryCount": 3}, ("on-failure", 3)),
    ('{"Name": "always"}', ("always", 0)),
    ({"Name": ""}, ("no", 0)),
]


@pytest.mark.parametrize(("written", "sent"), RESTARTS)
def test_a_restart_policy_is_written_as_for_docker_run(
    docker: FakeEngine, run: Run, written: Any, sent: tuple[str, int]
) -> None:
    policy = {"Name": sent[0], "MaximumRetryCount": sent[1]}
    assert host_of(docker, run, restart_policy=written) == {"RestartPolicy": policy}


CHECKS: list[tuple[Any, dict[str, Any]]] = [
    ("curl -f localhost", {"Test": ["CMD-SHELL", "curl -f localhost"]}),
    ("[ -f /x ]", {"Test": ["CMD-SHELL", "[ -f /x ]"]}),
    ({"test": "true"}, {"Test": ["CMD-SHELL", "true"]}),
    ({"test": ["true"]}, {"Test": ["CMD", "true"]}),
    (["CMD", "true"], {"Test": ["CMD", "true"]}),
    ({"test": ["CMD-SHELL", "true"]}, {"Test": ["CMD-SHELL", "true"]}),
    (
        {"test": "true", "interval": "30s", "timeout": "1m30s", "retries": 3, "start_period": "500ms"},
        {
            "Test": ["CMD-SHELL", "true"],
            "Interval": 30_000_000_000,
            "Timeout": 90_000_000_000,
            "Retries": 3,
            "StartPeriod": 500_000_000,
        },
    ),
    ({"Test": ["CMD", "true"], "StartPeriod": 10_000_000_000}, {"Test": ["CMD", "true"], "StartPeriod": 10**10}),
    ({"interval": 5, "timeout": "0.5", "retries": "2"}, {"Interval": 5 * 10**9, "Timeout": 5 * 10**8, "Retries": 2}),
    ({"interval": "1.5s", "timeout": None, "start_period": 0}, {"Interval": 1_500_000_000, "StartPeriod": 0}),
    ('{"test": "true"}', {"Test": ["CMD-SHELL", "true"]}),
    ("none", {"Test": ["NONE"]}),
    ("NONE", {"Test": ["NONE"]}),
    (False, {"Test": ["NONE"]}),
    ({"test": ["NONE"]}, {"Test": ["NONE"]}),
]


@pytest.mark.parametrize(("written", "sent"), CHECKS)
def test_a_health_check_has_durations_that_people_write(
    docker: FakeEngine, run: Run, written: Any, sent: dict[str, Any]
) -> None:
    assert body_of(docker, run, healthcheck=written)["Healthcheck"] == sent


HOSTS: list[tuple[Any, list[str]]] = [
    (["db:10.0.0.2", "a.b=::1"], ["db:10.0.0.2", "a.b:::1"]),
    ("db:10.0.0.2", ["db:10.0.0.2"]),
    ("db:[::1]", ["db:::1"]),
    ({"db": ["10.0.0.2", "10.0.0.3"]}, ["db:10.0.0.2", "db:10.0.0.3"]),
    ({"host": "host-gateway"}, ["host:host-gateway"]),
    ("db\n:10.0.0.2", ["db:10.0.0.2"]),
    ({"\tdb ": "10.0.0.2"}, ["db:10.0.0.2"]),
]


@pytest.mark.parametrize(("written", "sent"), HOSTS)
def test_extra_hosts_are_a_list_or_a_mapping(docker: FakeEngine, run: Run, written: Any, sent: list[str]) -> None:
    assert host_of(docker, run, extra_hosts=written) == {"ExtraHosts": sent}


@pytest.mark.parametrize("mode", ["none", "bridge", "backend"])
def test_a_network_mode_joins_without_an_endpoint_of_its_own(docker: FakeEngine, run: Run, mode: str) -> None:
    assert body_of(docker, run, network_mode=mode) == {"HostConfig": {"NetworkMode": mode}}


@pytest.mark.parametrize("spelling", ["no-new-privileges", "No-New-Privileges=TRUE", "no-new-privileges:true"])
def test_no_new_privileges_passes_in_every_spelling(docker: FakeEngine, run: Run, spelling: str) -> None:
    assert host_of(docker, run, security_opt=spelling) == {"SecurityOpt": ["no-new-privileges"]}


def test_blank_and_empty_arguments_ask_for_nothing(docker: FakeEngine, run: Run) -> None:
    blank: dict[str, Any] = dict.fromkeys(
        ("name", "working_dir", "user", "hostname", "network", "network_mode", "pid_mode"), ""
    ) | {name: [] for name in ("command", "entrypoint", "ports", "volumes", "cap_add", "security_opt", "extra_hosts")}
    assert body_of(docker, run, **blank, environment={}, mem_limit=None) in ({}, {"HostConfig": {}})


MALFORMED: list[tuple[str, Any, str]] = [
    ("image", "", "image"),
    ("image", "Redis", "lower case"),
    ("name", "x", "2 to 255"),
    ("name", "../x", "is not a name"),
    ("command", "echo 'open", "no closing quotation"),
    ("command", {"a": "b"}, "list of strings"),
    ("command", [["nested"]], "not text"),
    ("command", ["x"] * 1_001, "at most 1000"),
    ("command", ["a\0b"], "without NUL"),
    ("entrypoint", 5, "list of strings"),
    ("environment", ["HOME"], "no value"),
    ("environment", {"HOME": None}, "no value"),
    ("environment", {"A": {"b": "c"}}, "not text"),
    ("environment", {"A=B": "c"}, "not a name"),
    ("environment", {"": "c"}, "not a name"),
    ("environment", "A=b,C=d", "one or as several"),
    ("environment", "A=b\nC=d", "one or as several"),
    ("environment", 5, '{"NAME":"value"}'),
    ("environment", {"A": "x" * 131_000}, "at most 1000"),
    ("labels", {f"l{number}": "" for number in range(1_001)}, "at most 1000"),
    ("ports", "80:http", "'80:http' is not a port"),
    ("ports", "0", "1 to 65535"),
    ("ports", "65536", "1 to 65535"),
    ("ports", "9:80/icmp", "tcp, udp or sctp"),
    ("ports", "300.1.1.1:80:80", "not an IP address"),
    ("ports", "example.org:80:80", "not an IP address"),
    ("ports", "fe80::1%eth0:80:80", "not an IP address"),
    ("ports", "8000-8010:80", "same length"),
    ("ports", "8010-8000", "upwards"),
    ("ports", "1-65535:1-65535", "at most 128"),
    ("ports", ["1-100", "101-200"], "at most 128"),
    ("ports", ["8080:80", "8080:81"], "named twice"),
    ("ports", True, "not a port"),
    ("ports", 80.5, "not a port"),
    ("ports", {"80": True}, "not a port"),
    ("ports", {"http": 80}, "not a port"),
    ("ports", {"80-81": 90}, "same length"),
    ("ports", {"80": {"Port": "8080"}}, "not text"),
    ("ports", {"80": ["127.0.0.1:x"]}, "not a port"),
    ("volumes", "data", "absolute path"),
    ("volumes", "data:", "absolute path"),
    ("volumes", "data:relative", "absolute path"),
    ("volumes", "data:/", "absolute path"),
    ("volumes", "data:/./", "absolute path"),
    ("volumes", "data:/x/../y", "without '..'"),
    ("volumes", "/data:ro", "absolute path"),
    ("volumes", "data:/x:z", "'z' is not supported"),
    ("volumes", "data:/x:ro,rw", "not supported"),
    ("volumes", "data:/x:ro:y", "write"),
    ("volumes", "C:\\data", "write"),
    ("volumes", "d:/x", "write"),
    ("volumes", "-x:/x", "not a volume's name"),
    ("volumes", "${PWD}:/x", "not a volume's name"),
    ("volumes", "data:/x\ny", "control characters"),
    ("volumes", ["a1:/x", "a2:/x/"], "more than one volume"),
    ("volumes", [f"/v{number}" for number in range(65)], "at most 64"),
    ("volumes", {"data": {"bind": "/x", "propagation": "shared"}}, "bind"),
    ("volumes", {"data": 5}, "bind"),
    ("volumes", {"": "/x"}, "write"),
    ("volumes", 5, "write"),
    ("volumes", [{"source": "data"}], "write"),
    ("mem_limit", "lots", "not a size"),
    ("mem_limit", "5m", "least is 6m"),
    ("mem_limit", "-1", "not a size"),
    ("mem_limit", 0, "least is 6m"),
    ("mem_limit", "1025t", "the most here"),
    ("mem_limit", ["1g"], "not text"),
    ("cpus", 0, "cpus"),
    ("cpus", -1, "cpus"),
    ("cpus", 100_000, "cpus"),
    ("cpu_shares", 1, "cpu_shares"),
    ("restart_policy", "never", "unless-stopped"),
    ("restart_policy", "on-failure:x", "on-failure:RETRIES"),
    ("restart_policy", "on-failure:", "on-failure:RETRIES"),
    ("restart_policy", "always:3", "only on-failure"),
    ("restart_policy", {"Name": "on-failure", "Delay": 3}, "unless-stopped"),
    ("restart_policy", {"Name": "on-failure", "MaximumRetryCount": "many"}, "unless-stopped"),
    ("restart_policy", 5, "unless-stopped"),
    ("working_dir", "data", "absolute path"),
    ("user", "a b", "not a user"),
    ("hostname", "a_very/bad one", "not a host name"),
    ("healthcheck", True, "write"),
    ("healthcheck", {"test": ""}, "empty"),
    ("healthcheck", {"test": []}, "write"),
    ("healthcheck", {"test": ["CMD"]}, "empty"),
    ("healthcheck", {"test": ["x"] * 101}, "at most 100"),
    ("healthcheck", {"test": "true", "every": "5s"}, "'every' is unknown"),
    ("healthcheck", {"test": "true", "interval": "soon"}, "not a duration"),
    ("healthcheck", {"test": "true", "interval": "25h"}, "1ms to 24h"),
    ("healthcheck", {"test": "true", "interval": 90_000}, "1ms to 24h"),
    ("healthcheck", {"test": "true", "retries": 0}, "1 to 1000"),
    ("healthcheck", {"test": "true", "retries": True}, "1 to 1000"),
    ("extra_hosts", "db", "not an IP address"),
    ("extra_hosts", ["d b:10.0.0.2"], "not a host name"),
    ("extra_hosts", 5, "db:10.0.0.2"),
    ("extra_hosts", ["db:10.0.0.2"] * 101, "at most 100"),
    ("cap_add", ["NET ADMIN"], "not a capability"),
    ("cap_add", ["X" * 50], "not a capability"),
    ("cap_drop", ["KILL"] * 65, "at most 64"),
    ("security_opt", [""], "at most 16"),
    ("security_opt", ["a"] * 17, "at most 16"),
    ("network", "a/b", "a network's name"),
    ("network_mode", "container:", "a network's name"),
    ("pid_mode", "shared", "host or container:NAME"),
    ("detach", True, "always run in the background"),
    ("devices", ["sda"], "is not a device"),
    ("devices", ["/dev/sda:/dev/sda:x"], "is not a device"),
    ("devices", ["/dev/sda"] * 65, "at most 64"),
    ("command", "x" * 32_769, "write a list of strings"),
    ("volumes", {f"/v{number}": "/x" for number in range(65)}, "at most 64"),
    ("ports", "[" * 100_000, "is not a port"),
    ("command", "[" * 100_000, "write a list of strings"),
    ("environment", '{"A":' * 100_000, "for an empty one"),
]


@pytest.mark.parametrize(("argument", "written", "said"), MALFORMED)
def test_what_does_not_fit_is_refused_by_name_before_the_engine_is_asked(
    docker: FakeEngine, run: Run, argument: str, written: Any, said: str
) -> None:
    text = refusal_of(docker, run, **{argument: written})
    assert argument in text
    assert said in text


def test_what_is_nested_too_deeply_for_words_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidArguments, match="nested too deeply"):
        CreateContainer.parse({"image": "alpine", "labels": deep})


def test_half_a_surrogate_pair_in_arguments_is_refused(docker: FakeEngine, run: Run) -> None:
    assert "surrogate" in refusal_of(docker, run, sysctls='["\\ud800"]')


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("labels", "= " * 100_000),
        ("environment", "=" + " " * 200_000),
        ("ports", ["1-128"] * 25_000),
        ("ports", {"1-128": ["1-128"] * 25_000}),
        ("command", "x" * 200_000),
        ("volumes", ["/x"] * 50_000),
    ],
)
def test_long_arguments_are_refused_in_no_time(argument: str, written: Any) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidArguments, match=argument):
        CreateContainer.parse({"image": "alpine", argument: written})
    assert time.thread_time() - began < 1


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"network": "backend", "network_mode": "bridge"}, "network and network_mode"),
    ({"remove": True, "restart_policy": "always"}, "remove and restart_policy"),
    ({"ports": "80", "network_mode": "none"}, "network_mode none"),
]


@pytest.mark.parametrize(("arguments", "said"), CONTRADICTIONS)
def test_arguments_that_contradict_each_other_are_refused_by_name(
    docker: FakeEngine, run: Run, arguments: dict[str, Any], said: str
) -> None:
    assert said in refusal_of(docker, run, **arguments)


def test_remove_goes_with_the_restart_policy_no(docker: FakeEngine, run: Run) -> None:
    assert host_of(docker, run, remove=True, restart_policy="no")["AutoRemove"] is True


def test_a_container_that_is_started_says_where_its_ports_are(docker: FakeEngine, run: Run) -> None:
    running = {
        "NetworkSettings": {
            "Ports": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}, {"HostIp": "::1", "HostPort": "49153"}],
                "81/tcp": None,
            }
        }
    }
    docker.on("POST", f"/containers/{ID}/start", status=204)
    docker.on("GET", f"/containers/{ID}/json", inspected("running", **running))
    docker.on("POST", "/containers/create", {"Id": ID, "Warnings": ["No swap limit support"]}, status=201)
    data = data_of(run(CREATE, image="redis:7", ports=[80], start=True))
    assert data == {
        "id": ID,
        "name": "web",
        "started": True,
        "state": "running",
        "ports": ["127.0.0.1:49153->80/tcp", "[::1]:49153->80/tcp"],
        "warnings": ["No swap limit support"],
    }


def test_a_container_that_ends_at_once_says_so_with_its_exit_code(docker: FakeEngine, run: Run) -> None:
    docker.on("POST", f"/containers/{ID}/start", status=204)
    docker.on("GET", f"/containers/{ID}/json", inspected("exited"))
    data = data_of(run(CREATE, image="redis:7", start=True))
    assert (data["state"], data["exit_code"]) == ("exited", 3)
    assert "docker_container_logs" in data["note"]


def test_a_container_that_ended_and_was_deleted_at_once_is_no_error(docker: FakeEngine, run: Run) -> None:
    docker.on("POST", f"/containers/{ID}/start", status=204)
    docker.on("GET", f"/containers/{ID}/json", {"message": f"No such container: {ID}"}, status=404)
    data = data_of(run(CREATE, image="redis:7", name="once", start=True, remove=True))
    assert (data["state"], data["name"]) == ("removed", "once")
    assert "exit_code" not in data


PORT_TAKEN = "driver failed programming external connectivity: Bind for 127.0.0.1:80 failed: port is already allocated"
NO_PROGRAM = 'OCI runtime create failed: exec: "tag": executable file not found in $PATH: unknown'
NOT_RUNNABLE = 'OCI runtime create failed: exec: "/etc/passwd": permission denied: unknown'
NO_USER = "unable to find user nobody-here: no matching entries in passwd file"
FAILURES = [
    (500, NO_USER, "BAD_PARAMETER"),
    (500, PORT_TAKEN, "PORT_TAKEN"),
    (400, NO_PROGRAM, "BAD_PARAMETER"),
    (400, NOT_RUNNABLE, "BAD_PARAMETER"),
]


@pytest.mark.parametrize(("status", "message", "code"), FAILURES)
def test_a_container_that_cannot_be_started_is_removed_again(
    docker: FakeEngine, run: Run, status: int, message: str, code: str
) -> None:
    docker.on("POST", f"/containers/{ID}/start", {"message": message}, status=status)
    docker.on("DELETE", f"/containers/{ID}", status=204)
    result = run(CREATE, image="redis:7", start=True)
    assert code_of(result) == code
    assert "The new container was removed again." in result.text
    (removal,) = docker.sent("DELETE", f"/containers/{ID}")
    assert (removal.query["v"], removal.query["force"]) == ("True", "True")


def test_a_container_that_cannot_be_removed_again_is_named(docker: FakeEngine, run: Run) -> None:
    docker.on("POST", f"/containers/{ID}/start", {"message": PORT_TAKEN}, status=500)
    docker.on("DELETE", f"/containers/{ID}", {"message": "driver failed to remove root filesystem"}, status=500)
    result = run(CREATE, image="redis:7", start=True)
    assert code_of(result) == "PORT_TAKEN"
    assert "The new container 4f1c2e000000 is still there: docker_remove_container removes it." in result.text


def test_a_start_that_runs_out_of_time_leaves_no_container_behind(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", f"{CREATE}=1")
    monkeypatch.setattr(pipeline, "GRACE_SECONDS", 10.0)  # on a busy machine tidying may take longer than usual
    released = threading.Event()
    docker.on("POST", f"/containers/{ID}/start", lambda _request: released.wait(20) and b"")
    docker.on("DELETE", f"/containers/{ID}", status=204)
    result = run(CREATE, image="redis:7", start=True)
    released.set()
    assert code_of(result) == "TIMED_OUT"
    assert len(docker.sent("DELETE", f"/containers/{ID}")) == 1


def test_a_missing_image_names_the_tool_that_fetches_it(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/containers/create", {"message": "No such image: redis:7"}, status=404)
    result = run(CREATE, image="redis:7", start=True)
    assert code_of(result) == "IMAGE_NOT_FOUND"
    assert "redis:7; docker_pull_image" in result.text


def test_a_name_that_is_taken_names_the_container_that_has_it(engine: FakeEngine, run: Run) -> None:
    message = f'Conflict. The container name "/web" is already in use by container "{ID}".'
    engine.on("POST", "/containers/create", {"message": message}, status=409)
    result = run(CREATE, image="redis:7", name="web")
    assert code_of(result) == "NAME_TAKEN"
    assert ID in result.text


@pytest.mark.parametrize("volumes", ["data:/x,source=other", "data:/x,U=true"])
def test_podman_is_sent_no_mount_that_it_would_take_for_another(docker: FakeEngine, run: Run, volumes: str) -> None:
    docker.on("GET", "/volumes", {"Volumes": []})
    target = volumes.partition(":")[2]
    assert body_of(docker, run, volumes=[volumes])["HostConfig"]["Mounts"][0]["Target"] == target
    docker.be_podman()
    docker.requests.clear()
    assert "takes what follows the comma" in refusal_of(docker, run, volumes=[volumes])
