"""docker_create_container on a real engine."""

import http.client
import socket
import threading
import uuid
from typing import Any

import docker
import pytest

from mcp_docker.tools.containers import lifecycle
from tests.conftest import code_of, data_of
from tests.integration.conftest import IMAGE, PATIENCE_SECONDS, Run, free_port

CREATE = "docker_create_container"


class Maker:
    """Makes containers that carry the test's label."""

    def __init__(self, run: Run, raw: docker.APIClient, label: str) -> None:
        self.run, self.raw, self.label = run, raw, label
        self.name = f"mcp-docker-{uuid.uuid4().hex[:12]}"

    def __call__(self, **arguments: Any) -> Any:
        """The result of a call; the image and a command that goes on are given."""
        defaults = {"image": IMAGE, "command": ["sleep", "300"]}
        return self.run(CREATE, **(defaults | arguments | {"labels": [self.label]}))

    def made(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer, and the container as the engine inspects it."""
        data = data_of(self(**arguments))
        return data, self.raw.inspect_container(data["id"])

    def left(self) -> list[str]:
        """What there is with the label."""
        return [found["Id"] for found in self.raw.containers(all=True, filters={"label": self.label})]


@pytest.fixture
def make(run: Run, raw: docker.APIClient, label: str) -> Maker:
    return Maker(run, raw, label)


def test_a_container_is_created_and_not_started(make: Maker) -> None:
    data, found = make.made(name=make.name)
    assert (data["name"], data["state"], data["started"]) == (make.name, "created", False)
    assert found["State"]["Status"] == "created"


def test_a_container_runs_as_it_was_asked_to(make: Maker, is_podman: bool) -> None:
    data, found = make.made(
        name=make.name,
        start=True,
        entrypoint="sleep",
        command=["299"],
        environment={"A": "b c", "N": 1},
        working_dir="/tmp",
        user="1000:1000",
        hostname="cache",
        mem_limit="64m",
        cpu_shares=512,
        restart_policy="on-failure:3",
        extra_hosts={"db": "10.0.0.2"},
        init=True,
        tty=True,
        read_only=True,
        cap_drop=["ALL"],
        cap_add=["cap_chown"],
        security_opt=["no-new-privileges:true"],
    )
    assert (data["state"], data["started"]) == ("running", True)
    config, host = found["Config"], found["HostConfig"]
    assert (found["Path"], found["Args"]) == ("sleep", ["299"]) or is_podman
    assert {"A=b c", "N=1"} <= set(config["Env"])
    assert (config["WorkingDir"], config["User"], config["Hostname"]) == ("/tmp", "1000:1000", "cache")
    assert (host["Memory"], host["CpuShares"], host["Init"], config["Tty"]) == (67_108_864, 512, True, True)
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["ExtraHosts"] == ["db:10.0.0.2"]
    assert host["ReadonlyRootfs"] is True
    assert not host["Privileged"]
    if not is_podman:
        assert host["CapDrop"] == ["ALL"]
        assert [name.removeprefix("CAP_") for name in host["CapAdd"]] == ["CHOWN"]
        assert host["SecurityOpt"] == ["no-new-privileges"]


def test_cpus_show_as_the_engine_counts_them(make: Maker) -> None:
    _, found = make.made(cpus=0.5)
    assert found["HostConfig"]["NanoCpus"] == 500_000_000


@pytest.mark.parametrize("written", [80, "80", {"80/tcp": None}, "127.0.0.1::80/tcp", "localhost::80", ["80"]])
def test_a_random_port_is_published_on_loopback_and_told(make: Maker, written: Any) -> None:
    data, found = make.made(ports=written, start=True)
    (binding,) = found["NetworkSettings"]["Ports"]["80/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    assert data["ports"] == [f"127.0.0.1:{binding['HostPort']}->80/tcp"]


def test_a_published_port_is_reached_on_loopback_alone(make: Maker) -> None:
    port = free_port()
    server = ["sh", "-c", "mkdir /w && echo hello > /w/index.html && exec httpd -f -p 80 -h /w"]
    data, found = make.made(ports=f"{port}:80", command=server, start=True)
    assert found["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    assert data["ports"] == [f"127.0.0.1:{port}->80/tcp"]
    assert fetched(port) == "hello\n"
    # another address of this host, as good as any: whoever listens on all of them answers here too
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


FIXED: list[tuple[str, str]] = [
    ("{port}:80", "80/tcp"),
    ("127.0.0.1:{port}:80/udp", "80/udp"),
    ('{{"80/tcp": {port}}}', "80/tcp"),
    ('{{"80": ["127.0.0.1", {port}]}}', "80/tcp"),
    ("{port}-{port}:80-80", "80/tcp"),
]


@pytest.mark.parametrize(("written", "inner"), FIXED)
def test_a_chosen_port_is_published_in_every_spelling(make: Maker, written: str, inner: str) -> None:
    port = free_port()
    data, _ = make.made(ports=written.format(port=port), start=True)
    assert data["ports"] == [f"127.0.0.1:{port}->{inner}"]


def test_a_named_volume_is_mounted_and_one_without_a_name_is_made(
    make: Maker, raw: docker.APIClient, label: str
) -> None:
    key, _, value = label.partition("=")
    raw.create_volume(make.name, labels={key: value})
    _, found = make.made(volumes=[f"{make.name}:/data:ro", "/scratch"], start=True)
    mounted = {mount["Destination"]: mount for mount in found["Mounts"]}
    assert {mount["Type"] for mount in mounted.values()} == {"volume"}
    assert (mounted["/data"]["Name"], mounted["/data"]["RW"]) == (make.name, False)
    assert len(mounted["/scratch"]["Name"]) == 64


@pytest.mark.parametrize("written", ["{name}:/data", {"{name}": {"bind": "/data", "mode": "rw"}}, {"{name}": "/data"}])
def test_a_volume_can_be_written_in_every_spelling(
    make: Maker, raw: docker.APIClient, label: str, written: Any
) -> None:
    key, _, value = label.partition("=")
    raw.create_volume(make.name, labels={key: value})
    named = (
        written.format(name=make.name)
        if isinstance(written, str)
        else {source.format(name=make.name): place for source, place in written.items()}
    )
    _, found = make.made(volumes=named)
    assert [mount["Name"] for mount in found["Mounts"]] == [make.name]


def test_a_container_joins_a_network(make: Maker, raw: docker.APIClient, label: str) -> None:
    key, _, value = label.partition("=")
    network = raw.create_network(make.name, labels={key: value})["Id"]
    for given in ({"network": make.name}, {"network_mode": make.name}, {"network": network}):
        _, found = make.made(start=True, **given)
        places = found["NetworkSettings"]["Networks"]
        assert list(places) == [make.name]
        assert places[make.name]["IPAddress"]
        raw.remove_container(found["Id"], force=True)


def test_a_container_can_have_no_network(make: Maker) -> None:
    _, found = make.made(network_mode="none")
    assert found["HostConfig"]["NetworkMode"] == "none"


@pytest.mark.parametrize(
    "check", ["true", {"test": ["CMD", "true"], "interval": "200ms", "timeout": "5s", "retries": 2}]
)
def test_a_health_check_reaches_the_engine(make: Maker, check: Any) -> None:
    _, found = make.made(healthcheck=check)
    kept = found["Config"]["Healthcheck"]
    assert kept["Test"][-1] == "true"
    assert kept.get("Interval", 0) in (0, 200_000_000, 30_000_000_000)


def test_a_health_check_goes_healthy(make: Maker, raw: docker.APIClient, is_podman: bool) -> None:
    data, _ = make.made(healthcheck={"test": "true", "interval": "200ms"}, start=True)
    if is_podman:
        # its health checks are timers of systemd, which is not there
        return
    events = raw.events(since=0, decode=True, filters={"container": data["id"], "event": "health_status"})
    assert next(events)["status"] == "health_status: healthy"
    events.close()


def test_a_health_check_of_the_image_can_be_switched_off(make: Maker) -> None:
    _, found = make.made(healthcheck=False)
    assert found["Config"]["Healthcheck"]["Test"] == ["NONE"]


@pytest.fixture
def settles(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once may take its time where the machine is busy."""
    monkeypatch.setattr(lifecycle, "SETTLE_SECONDS", PATIENCE_SECONDS)


@pytest.mark.usefixtures("settles")
def test_a_container_that_ends_at_once_says_its_exit_code(make: Maker) -> None:
    data, _ = make.made(command=["sh", "-c", "exit 3"], start=True)
    assert (data["state"], data["exit_code"]) == ("exited", 3)


@pytest.mark.usefixtures("settles")
def test_a_container_that_ends_at_once_and_goes_with_its_end_is_no_error(make: Maker) -> None:
    data = data_of(make(command="sh -c 'exit 3'", start=True, remove=True))
    assert data["state"] == "removed"
    assert data.get("exit_code", 3) == 3


def test_a_name_that_is_taken_names_the_container_that_has_it(make: Maker) -> None:
    data = data_of(make(name=make.name))
    result = make(name=make.name)
    assert code_of(result) == "NAME_TAKEN"
    assert data["id"] in result.text
    assert make.left() == [data["id"]]


def test_a_missing_image_names_the_tool_that_fetches_it(make: Maker) -> None:
    result = make(image=f"{make.name}:1", start=True)
    assert code_of(result) == "IMAGE_NOT_FOUND"
    assert "docker_pull_image" in result.text
    assert make.name in result.text
    assert make.left() == []


@pytest.mark.parametrize(
    "arguments", [{"command": ["no-such-program"]}, {"command": ["/etc/passwd"]}, {"entrypoint": "/no/such/program"}]
)
def test_a_program_that_cannot_be_run_leaves_nothing_behind(make: Maker, arguments: dict[str, Any]) -> None:
    result = make(**arguments, volumes="/scratch", start=True)
    assert code_of(result) == "BAD_PARAMETER"
    assert "check command, entrypoint and working_dir" in result.text
    assert make.left() == []


@pytest.mark.parametrize("arguments", [{"user": "nobody-here"}, {"user": "0:nobody-here"}])
def test_a_user_that_the_image_does_not_have_leaves_nothing_behind(make: Maker, arguments: dict[str, Any]) -> None:
    result = make(**arguments, start=True)
    assert code_of(result) == "BAD_PARAMETER"
    assert "no such user or group" in result.text
    assert make.left() == []


def test_a_port_that_is_taken_leaves_nothing_behind(make: Maker) -> None:
    data = data_of(make(ports=[80], start=True))
    taken = data["ports"][0].removeprefix("127.0.0.1:").partition("->")[0]
    result = make(ports=f"{taken}:80", start=True)
    assert code_of(result) == "PORT_TAKEN"
    assert make.left() == [data["id"]]


def test_a_network_that_does_not_exist_leaves_nothing_behind(make: Maker) -> None:
    result = make(network=make.name, start=True)
    assert code_of(result) == "NOT_FOUND"
    assert make.left() == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"privileged": True}, "PRIVILEGE_NOT_ALLOWED"),
    ({"volumes": "/etc:/x"}, "MOUNT_NOT_ALLOWED"),
    ({"network_mode": "host"}, "PRIVILEGE_NOT_ALLOWED"),
    ({"ports": "0.0.0.0:80:80"}, "ADDRESS_NOT_ALLOWED"),
    ({"mem_limit": "1m"}, "INVALID_ARGUMENTS"),
    ({"remove": True, "restart_policy": "always"}, "INVALID_ARGUMENTS"),
]


@pytest.mark.parametrize(("arguments", "code"), REFUSED)
def test_a_refused_call_leaves_nothing_behind(make: Maker, arguments: dict[str, Any], code: str) -> None:
    assert code_of(make(**arguments, start=True)) == code
    assert make.left() == []


def fetched(port: int) -> str:
    """What a server on loopback answers, once it is up."""
    for _ in range(400):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            threading.Event().wait(0.05)
        finally:
            connection.close()
    raise AssertionError("the server did not come up")
