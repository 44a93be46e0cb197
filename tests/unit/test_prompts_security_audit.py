"""security_audit."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.engine import own
from mcp_docker.pipeline import Result
from mcp_docker.prompts.cis import Audited, Daemon, Item, Verdict
from mcp_docker.prompts.cis.daemon import DAEMON
from mcp_docker.prompts.cis.image import IMAGE
from mcp_docker.prompts.cis.isolation import ISOLATION
from mcp_docker.prompts.cis.runtime import RUNTIME
from mcp_docker.tool import Kind
from tests.conftest import CALLER, code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

FAIL, PASS, NA = Verdict.FAIL, Verdict.PASS, Verdict.NOT_APPLICABLE
EVERY: tuple[Item[Any], ...] = (*DAEMON, *IMAGE, *ISOLATION, *RUNTIME)
ITEMS = {item.number: item for item in EVERY}
APPARMOR, SELINUX, SECCOMP = "name=apparmor", "name=selinux", "name=seccomp,profile=default"
TCP = {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}
LOCAL = {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/tcp": None}}
LOW = {"Ports": {"80/tcp": [{"HostIp": "::1", "HostPort": "80"}]}}


def engine_of(*features: str, podman: bool = False, api: tuple[int, int] = (1, 51), **info: Any) -> Daemon:
    address = info.pop("address", "unix:///var/run/docker.sock")
    bridge = info.pop("bridge", None)
    return Daemon({"SecurityOptions": list(features)} | info, bridge, podman, api, address)


def audited(host: Any = None, config: Any = None, engine: Daemon | None = None, **more: Any) -> Audited:
    extra = {
        name: more.pop(name) for name in ("modes", "hidden", "links", "image", "history", "tagged") if name in more
    }
    found = {"Id": "a" * 64, "Name": "/web", "HostConfig": host, "Config": config} | more
    return Audited(found, engine or engine_of(SECCOMP), **extra)


def host(**fields: Any) -> Audited:
    return audited(fields)


def bind(source: str, target: str = "/x", **more: Any) -> Audited:
    return audited(Mounts=[{"Type": "bind", "Source": source, "Destination": target, "RW": True} | more])


def localtime(leads_to: str, **more: Any) -> Audited:
    mount = {"Type": "bind", "Source": "/etc/localtime", "Destination": "/etc/localtime"} | more
    return audited(Mounts=[mount], links={"/etc/localtime": leads_to})


def option(*options: str, engine: Daemon | None = None, **more: Any) -> Audited:
    return audited({"SecurityOpt": list(options)}, engine=engine, **more)


def history(*steps: str) -> Audited:
    return audited(history=[{"CreatedBy": step} for step in steps], image={})


BASE = "/bin/sh -c #(nop) ADD file:1234 in / "

DAEMONS: list[tuple[str, Verdict, Daemon]] = [
    ("2.1", FAIL, engine_of(SECCOMP)),
    ("2.1", PASS, engine_of("name=rootless")),
    ("2.2", FAIL, engine_of(bridge={"Options": {"com.docker.network.bridge.enable_icc": "true"}})),
    ("2.2", FAIL, engine_of(bridge={"Options": None})),
    ("2.2", PASS, engine_of(bridge={"Options": {"com.docker.network.bridge.enable_icc": "false"}})),
    ("2.2", NA, engine_of()),
    ("2.2", NA, engine_of(bridge={}, podman=True)),
    ("2.3", FAIL, engine_of(Debug=True)),
    ("2.3", NA, engine_of(Debug=False)),
    ("2.4", NA, engine_of()),
    (
        "2.5",
        PASS,
        engine_of(RegistryConfig={"InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"], "IndexConfigs": None}),
    ),
    ("2.5", FAIL, engine_of(RegistryConfig={"InsecureRegistryCIDRs": ["10.0.0.0/8"]})),
    ("2.5", FAIL, engine_of(RegistryConfig={"InsecureRegistryCIDRs": ["nonsense"]})),
    ("2.5", FAIL, engine_of(RegistryConfig={"IndexConfigs": {"reg:5000": {"Secure": False}, "d": {"Secure": True}}})),
    ("2.5", NA, engine_of(RegistryConfig=None)),
    ("2.5", NA, engine_of(RegistryConfig={"IndexConfigs": {}}, podman=True)),
    ("2.6", FAIL, engine_of(Driver="aufs")),
    ("2.6", PASS, engine_of(Driver="overlay2")),
    ("2.6", NA, engine_of()),
    ("2.7", FAIL, engine_of(Warnings=["WARNING: API is accessible on http://0.0.0.0:2375 without encryption."])),
    ("2.7", NA, engine_of(Warnings=None)),
    ("2.7", NA, engine_of(address="tcp://10.0.0.1:2376")),
    ("2.8", NA, engine_of()),
    ("2.9", FAIL, engine_of(SECCOMP)),
    ("2.9", PASS, engine_of("name=userns")),
    ("2.9", PASS, engine_of("name=rootless")),
    ("2.10", NA, engine_of()),
    ("2.11", NA, engine_of()),
    ("2.12", FAIL, engine_of(Plugins={"Authorization": None})),
    ("2.12", PASS, engine_of(Plugins={"Authorization": ["opa"]})),
    ("2.12", NA, engine_of(podman=True)),
    ("2.13", FAIL, engine_of(LoggingDriver="json-file")),
    ("2.13", FAIL, engine_of()),
    ("2.13", PASS, engine_of(LoggingDriver="syslog")),
    ("2.13", NA, engine_of(LoggingDriver="journald")),
    ("2.14", PASS, engine_of("name=no-new-privileges")),
    ("2.14", FAIL, engine_of(SECCOMP)),
    ("2.14", NA, engine_of(SECCOMP, api=(1, 41))),
    ("2.14", NA, engine_of(SECCOMP, podman=True)),
    ("2.15", PASS, engine_of(LiveRestoreEnabled=True)),
    ("2.15", FAIL, engine_of(LiveRestoreEnabled=False)),
    ("2.15", NA, engine_of(Swarm={"LocalNodeState": "active"})),
    ("2.15", NA, engine_of(podman=True)),
    ("2.16", NA, engine_of()),
    ("2.17", PASS, engine_of("name=seccomp,profile=builtin")),
    ("2.17", FAIL, engine_of("name=seccomp,profile=unconfined")),
    ("2.17", FAIL, engine_of(APPARMOR)),
    ("2.17", NA, Daemon({})),
    ("2.18", PASS, engine_of(ExperimentalBuild=False)),
    ("2.18", FAIL, engine_of(ExperimentalBuild=True)),
    ("2.18", NA, engine_of(ExperimentalBuild=True, podman=True)),
    ("5.1", PASS, engine_of(Swarm={"LocalNodeState": "inactive"})),
    ("5.1", FAIL, engine_of(Swarm={"LocalNodeState": "active"})),
    ("5.1", NA, engine_of(Swarm=None)),
]

IMAGES: list[tuple[str, Verdict, Audited]] = [
    ("4.1", FAIL, audited()),
    ("4.1", FAIL, audited(config={"User": "root"})),
    ("4.1", FAIL, audited(config={"User": "0:1000"})),
    ("4.1", FAIL, audited(config={"User": "+00"})),
    ("4.1", PASS, audited(config={"User": "1000"})),
    ("4.1", PASS, audited(config={"User": "app:app"})),
    ("4.2", NA, audited()),
    ("4.3", NA, audited()),
    ("4.4", NA, audited()),
    ("4.5", NA, audited()),
    ("4.6", NA, audited()),
    ("4.6", FAIL, audited(image={"Config": None})),
    ("4.6", FAIL, audited(image={"Config": {"Healthcheck": {"Test": ["NONE"]}}})),
    ("4.6", PASS, audited(image={"Config": {"Healthcheck": {"Test": ["CMD", "true"]}}})),
    ("4.6", PASS, audited(image={"HealthCheck": {"Test": ["CMD-SHELL", "true"]}})),
    ("4.7", NA, audited()),
    ("4.7", NA, history(BASE, 'CMD ["sh"]')),
    ("4.7", FAIL, history("RUN /bin/sh -c apt-get update # buildkit", BASE)),
    ("4.7", FAIL, history("/bin/sh -c apk --no-cache update", BASE)),
    ("4.7", FAIL, history("|1 A=b /bin/sh -c apt-get -qq update", BASE)),
    ("4.7", PASS, history("RUN /bin/sh -c apt-get update && apt-get install -y curl # buildkit", BASE)),
    ("4.7", PASS, history("RUN make update-assets", BASE)),
    ("4.8", NA, audited()),
    ("4.9", NA, audited(history=[{"CreatedBy": None}])),
    ("4.9", PASS, history("COPY a /a # buildkit", BASE)),
    ("4.9", PASS, history("COPY a /a", BASE, "/bin/sh -c #(nop)  LABEL version=22.04", "/bin/sh -c #(nop)  ARG A")),
    ("4.9", PASS, history("COPY a /a", BASE, "ENV LANG=C.UTF-8")),
    ("4.9", FAIL, history("ADD https://example.org/a /a # buildkit", BASE)),
    ("4.9", FAIL, history("/bin/sh -c #(nop) ADD dir:12 in /app ", "COPY x y", BASE)),
    ("4.10", NA, audited()),
    ("4.10", NA, history("COPY a /a", BASE)),
    ("4.10", FAIL, history("ENV PASSWORD=hunter2hunter2", BASE)),
    ("4.10", FAIL, audited(image={"Config": {"Env": ["DB_PASSWORD=hunter2hunter2"]}})),
    ("4.11", NA, audited()),
    ("4.12", NA, audited()),
]

CONTAINERS: list[tuple[str, Verdict, Audited]] = [
    ("5.2", NA, audited()),
    ("5.2", PASS, audited(engine=engine_of(APPARMOR), AppArmorProfile="docker-default")),
    ("5.2", FAIL, audited(engine=engine_of(APPARMOR), AppArmorProfile="")),
    ("5.2", FAIL, audited(engine=engine_of(APPARMOR), AppArmorProfile="unconfined")),
    ("5.2", FAIL, option("apparmor:unconfined", engine=engine_of(APPARMOR), State={"Status": "created"})),
    ("5.2", PASS, option("apparmor=mine", engine=engine_of(APPARMOR), State={"Status": "created"})),
    ("5.2", FAIL, audited({"Privileged": True}, engine=engine_of(APPARMOR), AppArmorProfile="docker-default")),
    ("5.3", NA, option("label=disable")),
    ("5.3", PASS, audited(engine=engine_of(SELINUX), ProcessLabel="system_u:system_r:container_t:s0")),
    ("5.3", PASS, option("label=type:mine", engine=engine_of(SELINUX))),
    ("5.3", FAIL, option("label:disable", engine=engine_of(SELINUX), ProcessLabel="x")),
    ("5.3", FAIL, option("label=type:mine", "label=disable", engine=engine_of(SELINUX))),
    ("5.3", FAIL, audited(engine=engine_of(SELINUX))),
    ("5.3", FAIL, audited({"Privileged": True}, engine=engine_of(SELINUX), ProcessLabel="x")),
    ("5.4", PASS, host(CapAdd=None)),
    ("5.4", PASS, host(CapAdd=["net_bind_service", "CAP_CHOWN"], CapDrop=["ALL"])),
    ("5.4", FAIL, host(CapAdd=["sys_admin"])),
    ("5.4", FAIL, host(CapAdd=["CAP_NET_ADMIN"], CapDrop=["ALL"])),
    ("5.4", FAIL, host(CapAdd=["all"])),
    ("5.4", FAIL, host(Privileged=True)),
    ("5.5", PASS, audited()),
    ("5.5", PASS, host(Privileged=None)),
    ("5.5", FAIL, host(Privileged=True)),
    ("5.6", PASS, audited(Mounts=None)),
    ("5.6", PASS, bind("/srv/data")),
    ("5.6", PASS, bind("/etcetera")),
    ("5.6", PASS, bind("/etc/localtime", RW=False)),
    ("5.6", FAIL, bind("/etc/localtime")),
    ("5.6", PASS, bind("/usr/share/zoneinfo/Europe/Berlin", RW=False)),
    ("5.6", FAIL, bind("/usr/share/zoneinfo/Europe/Berlin")),
    ("5.6", FAIL, bind("/usr/share", RW=False)),
    ("5.6", PASS, localtime("/usr/share/zoneinfo/Etc/UTC", RW=False)),
    ("5.6", FAIL, localtime("/usr/share/zoneinfo/Etc/UTC", RW=True)),
    ("5.6", FAIL, localtime("/etc/shadow", RW=False)),
    ("5.6", FAIL, bind("/")),
    ("5.6", FAIL, bind("//etc", RW=False)),
    ("5.6", FAIL, bind("/srv/../proc/1")),
    ("5.6", FAIL, bind("/var/lib/docker/volumes")),
    ("5.6", FAIL, bind("/var")),
    ("5.6", FAIL, bind("/host_mnt/etc")),
    ("5.6", FAIL, audited(Mounts=[{"Type": "volume", "Name": "v", "Destination": "/x"}], hidden={"v": ["/etc"]})),
    ("5.6", PASS, audited(Mounts=[{"Type": "volume", "Name": "v", "Source": "/var/lib/docker/volumes/v/_data"}])),
    ("5.7", NA, audited(Path="sleep", Args=["300"])),
    ("5.7", FAIL, audited(Path="/usr/sbin/sshd", Args=["-D"])),
    ("5.7", FAIL, audited(Path="sh", Args=["-c", "/usr/sbin/sshd -D"])),
    ("5.8", PASS, audited(NetworkSettings=None)),
    ("5.8", PASS, audited(NetworkSettings=TCP)),
    ("5.8", FAIL, audited(NetworkSettings=LOW)),
    ("5.8", FAIL, host(PortBindings={"80/tcp": [{"HostIp": "", "HostPort": "1000-1010"}]})),
    ("5.8", PASS, host(PortBindings={"80/tcp": [{"HostIp": "", "HostPort": ""}, {"HostPort": "0"}]})),
    ("5.8", PASS, audited({"PublishAllPorts": True}, {"ExposedPorts": {"80/tcp": {}}})),
    ("5.8", NA, host(NetworkMode="host")),
    ("5.9", PASS, audited()),
    ("5.9", NA, audited(NetworkSettings=TCP)),
    ("5.9", NA, host(NetworkMode="host")),
    ("5.10", FAIL, host(NetworkMode="host")),
    ("5.10", FAIL, audited({"NetworkMode": "container:x"}, modes={"NetworkMode": "host"})),
    ("5.10", PASS, host(NetworkMode="container:x")),
    ("5.10", PASS, host(NetworkMode="shop")),
    ("5.11", FAIL, host(Memory=0)),
    ("5.11", FAIL, host(Memory=None)),
    ("5.11", PASS, host(Memory=1 << 20)),
    ("5.12", FAIL, host(CpuShares=0)),
    ("5.12", FAIL, host(CpuShares=1024)),
    ("5.12", PASS, host(CpuShares=512)),
    ("5.13", FAIL, audited()),
    ("5.13", PASS, host(ReadonlyRootfs=True)),
    ("5.14", PASS, audited()),
    ("5.14", PASS, audited(NetworkSettings=LOCAL)),
    ("5.14", FAIL, audited(NetworkSettings=TCP)),
    ("5.14", FAIL, audited(NetworkSettings={"Ports": {"80/tcp": [{"HostIp": "[::]", "HostPort": "80"}]}})),
    ("5.14", FAIL, host(PortBindings={"80/tcp": [{"HostIp": None, "HostPort": "80"}]})),
    ("5.14", FAIL, audited({"PublishAllPorts": True}, {"ExposedPorts": {"80/tcp": {}}})),
    ("5.14", NA, host(NetworkMode="host")),
    ("5.15", PASS, host(RestartPolicy=None)),
    ("5.15", PASS, host(RestartPolicy={"Name": "", "MaximumRetryCount": 0})),
    ("5.15", PASS, host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 5})),
    ("5.15", FAIL, host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 6})),
    ("5.15", FAIL, host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 0})),
    ("5.15", FAIL, host(RestartPolicy={"Name": "always"})),
    ("5.15", FAIL, host(RestartPolicy={"Name": "unless-stopped"})),
    ("5.16", FAIL, host(PidMode="host")),
    ("5.16", FAIL, audited({"PidMode": "container:x"}, modes={"PidMode": "host"})),
    ("5.16", PASS, host(PidMode="")),
    ("5.17", FAIL, host(IpcMode="host")),
    ("5.17", PASS, host(IpcMode="shareable")),
    ("5.18", PASS, host(Devices=None)),
    ("5.18", FAIL, host(Devices=[{"PathOnHost": "/dev/sda"}])),
    ("5.18", FAIL, host(DeviceRequests=[{"Driver": "nvidia"}])),
    ("5.18", FAIL, host(DeviceRequests=[{"Driver": ""}])),
    ("5.18", FAIL, host(DeviceCgroupRules=["c 1:3 mr"])),
    ("5.18", FAIL, host(Privileged=True)),
    ("5.19", NA, host(Ulimits=None)),
    ("5.19", PASS, host(Ulimits=[{"Name": "nofile", "Soft": 64, "Hard": 64}])),
    ("5.20", PASS, bind("/srv", Propagation="rprivate")),
    ("5.20", FAIL, bind("/srv", Propagation="rshared")),
    ("5.20", FAIL, bind("/srv", Propagation="shared")),
    ("5.21", FAIL, host(UTSMode="host")),
    ("5.21", PASS, audited()),
    ("5.22", PASS, audited()),
    ("5.22", NA, audited(engine=engine_of())),
    ("5.22", FAIL, audited(engine=engine_of("name=seccomp,profile=unconfined"))),
    ("5.22", FAIL, option("seccomp:unconfined")),
    ("5.22", FAIL, option("seccomp=unconfined")),
    ("5.22", FAIL, option(f"seccomp={json.dumps({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': []})}")),
    ("5.22", PASS, option(f"seccomp={json.dumps({'defaultAction': 'SCMP_ACT_ERRNO', 'syscalls': []})}")),
    ("5.22", PASS, option("seccomp=[]")),
    ("5.22", PASS, option("seccomp=/etc/profile.json", engine=engine_of("name=seccomp,profile=unconfined"))),
    ("5.22", FAIL, host(Privileged=True)),
    ("5.23", NA, audited()),
    ("5.24", NA, audited()),
    ("5.25", PASS, host(CgroupParent="")),
    ("5.25", FAIL, host(CgroupParent="/mine")),
    ("5.25", PASS, audited({"CgroupParent": "user.slice"}, engine=engine_of(podman=True))),
    ("5.26", PASS, option("no-new-privileges")),
    ("5.26", PASS, option("no-new-privileges:true")),
    ("5.26", PASS, option("no-new-privileges=true")),
    ("5.26", FAIL, option("no-new-privileges:false", engine=engine_of("name=no-new-privileges"))),
    ("5.26", FAIL, audited()),
    ("5.26", PASS, audited(engine=engine_of("name=no-new-privileges"))),
    ("5.27", FAIL, audited()),
    ("5.27", FAIL, audited(config={"Healthcheck": {"Test": ["NONE"]}})),
    ("5.27", PASS, audited(config={"Healthcheck": {"Test": ["CMD", "true"]}})),
    ("5.28", NA, audited(config={"Image": "app:latest"}, Image="sha256:a")),
    ("5.28", NA, audited(config={"Image": "app:1"}, Image="a", tagged="sha256:a")),
    ("5.28", FAIL, audited(config={"Image": "app:1"}, Image="sha256:a", tagged="sha256:b")),
    ("5.29", FAIL, host(PidsLimit=None)),
    ("5.29", FAIL, host(PidsLimit=0)),
    ("5.29", FAIL, host(PidsLimit=-1)),
    ("5.29", PASS, host(PidsLimit=100)),
    ("5.30", FAIL, audited(NetworkSettings={"Networks": {"bridge": {}}})),
    ("5.30", FAIL, host(NetworkMode="default")),
    ("5.30", FAIL, audited(NetworkSettings={"Networks": {"shop": {}, "bridge": {}}})),
    ("5.30", PASS, audited({"NetworkMode": "shop"}, NetworkSettings={"Networks": {"shop": {}}})),
    ("5.30", PASS, host(NetworkMode="none")),
    ("5.30", NA, audited({"NetworkMode": "bridge"}, engine=engine_of(podman=True))),
    ("5.31", FAIL, host(UsernsMode="host")),
    ("5.31", PASS, audited()),
    ("5.31", PASS, audited(engine=engine_of("name=userns"))),
    ("5.32", PASS, bind("/srv/data")),
    ("5.32", FAIL, bind("/var/run/docker.sock", "/var/run/docker.sock")),
    ("5.32", FAIL, bind("/run/../run/podman/podman.sock", RW=False)),
    ("5.32", FAIL, bind("/srv/link", "/var/run/docker.sock")),
    ("5.32", FAIL, bind(r"\\.\pipe\docker_engine", Type="npipe")),
    ("5.32", FAIL, bind("/run")),
    ("5.32", FAIL, audited(Mounts=[{"Type": "bind", "Source": "/srv/l"}], links={"/srv/l": "/run/docker.sock"})),
    ("5.6", FAIL, audited(Mounts=[{"Type": "bind", "Source": "/srv/l"}], links={"/srv/l": "/etc/ssl"})),
    ("5.32", FAIL, bind("/")),
    (
        "5.32",
        FAIL,
        audited(engine=engine_of(address="unix:///srv/e/engine.sock"), Mounts=[{"Type": "bind", "Source": "/srv/e"}]),
    ),
    ("5.32", FAIL, audited(Mounts=[{"Type": "volume", "Name": "v"}], hidden={"v": ["/var/run"]})),
]


@pytest.mark.parametrize(
    ("number", "verdict", "subject"),
    [*DAEMONS, *IMAGES, *CONTAINERS],
    ids=[f"{case[0]}-{case[1]}-{at}" for at, case in enumerate([*DAEMONS, *IMAGES, *CONTAINERS])],
)
def test_every_item_has_its_verdict_and_evidence(number: str, verdict: Verdict, subject: Any) -> None:
    finding = ITEMS[number].check(subject)
    assert finding.verdict is verdict, finding.evidence
    assert finding.evidence


def test_every_item_is_here_and_is_put_to_the_test() -> None:
    numbers = [f"2.{n}" for n in range(1, 19)] + [f"4.{n}" for n in range(1, 13)] + [f"5.{n}" for n in range(1, 33)]
    assert sorted(ITEMS) == sorted(numbers)
    tried = {(number, verdict) for number, verdict, _ in (*DAEMONS, *IMAGES, *CONTAINERS)}
    for number, item in ITEMS.items():
        assert any(each == number for each, _ in tried)
        # what can fail has a remedy, and what can't needs none
        assert bool(item.remedy) == ((number, FAIL) in tried), number


def test_labels_and_environment_change_no_verdict() -> None:
    lies = {"Labels": {"Privileged": "false", "5.5": "pass"}, "Env": ["PRIVILEGED=false"]}
    for number, item in ITEMS.items():
        if number.startswith("5.") and number != "5.1":
            weak = {"Privileged": True, "PidMode": "host"}
            assert item.check(audited(weak, lies)).verdict == item.check(audited(weak)).verdict


def test_any_field_may_be_null_or_absent() -> None:
    whole: dict[str, Any] = hardened() | {"NetworkSettings": LOCAL, "Mounts": [{"Type": "bind", "Source": "/srv"}]}
    fields = [(part, name) for part in ("HostConfig", "Config", "NetworkSettings") for name in whole[part]]
    for part, name in fields:
        for change in ({name: None}, {}):
            rest = {key: value for key, value in whole[part].items() if key != name}
            changed = Audited(whole | {part: rest | change}, engine_of(SECCOMP), image={"Config": None}, history=[{}])
            for item in (*IMAGE, *ISOLATION, *RUNTIME):
                assert item.check(changed).evidence


ID, OTHER, IMAGE_ID = "a" * 64, "b" * 64, "sha256:" + "c" * 64


def inspected(name: str = "web", number: str = ID, host: Any = None, config: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "Id": number,
        "Name": f"/{name}",
        "Image": IMAGE_ID,
        "State": {"Running": True, "Status": "running"},
        "HostConfig": {"NetworkMode": "shop"} | (host or {}),
        "Config": {"Image": "app:1"} | (config or {}),
    } | more


def serve(engine: FakeEngine, *found: dict[str, Any]) -> None:
    engine.info = {
        "DockerRootDir": "/var/lib/docker",
        "SecurityOptions": [SECCOMP],
        "Swarm": {"LocalNodeState": "inactive"},
    }
    for each in found:
        for name in (each["Id"], each["Name"].lstrip("/")):
            engine.on("GET", f"/containers/{name}/json", each)
    rows = [
        {"Id": each["Id"], "Names": [each["Name"]], "State": (each.get("State") or {}).get("Status")} for each in found
    ]
    engine.on("GET", "/containers/json", rows)
    engine.on("GET", "/images/.*/json", {"Id": IMAGE_ID, "Config": {"Healthcheck": {"Test": ["CMD", "true"]}}})
    engine.on("GET", "/images/.*/history", [{"CreatedBy": "COPY a /a"}, {"CreatedBy": BASE}])
    engine.on("GET", "/networks/bridge", {"Options": {"com.docker.network.bridge.enable_icc": "true"}})
    engine.on("GET", "/volumes", {"Volumes": None})


def audit(engine: FakeEngine, run: Run, *found: dict[str, Any], **arguments: Any) -> Result:
    serve(engine, *found)
    result = run("security_audit", kind=Kind.PROMPT, **arguments)
    assert {request.method for request in engine.requests} <= {"GET", "HEAD"}
    return result


def facts(result: Result, title: str) -> str:
    return "\n".join(part["text"] for part in data_of(result)["facts"] if part["title"].startswith(title))


def test_one_container_has_every_item_with_title_verdict_and_evidence(engine: FakeEngine, run: Run) -> None:
    result = audit(engine, run, inspected(host={"Privileged": True}), container_id="web")
    data = data_of(result)
    assert "CIS Docker Benchmark v1.6.0" in data["about"]
    danger = "5.5: it is privileged, which is as good as root on the host; with it fail 5.4, 5.18, 5.22."
    assert data["shown"][0] == danger
    lines = "\n".join(part["text"] for part in data["facts"]).split("\n")
    assert [line.split()[0] for line in lines] == [
        *(item.number for item in DAEMON),
        *(f"4.{n}" for n in range(1, 13)),
        *(f"5.{n}" for n in range(2, 33)),
    ]
    assert "5.5 fail: Container is not privileged. Privileged=true" in lines
    assert data["steps"][0].startswith(
        "For 5.5 (Container is not privileged; with it fail 5.4, 5.18, 5.22): Create it anew without privileged"
    )
    assert "docker_create_container" in data["steps"][-1]


def test_the_worst_comes_first(engine: FakeEngine, run: Run) -> None:
    weak = inspected(
        host={"PidMode": "host", "Privileged": True, "NetworkMode": "host"},
        Mounts=[{"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/var/run/docker.sock"}],
    )
    shown = data_of(audit(engine, run, weak, container_id="web"))["shown"]
    assert [line.split(":")[0] for line in shown[:4]] == ["5.5", "5.32", "5.16", "5.10"]
    assert shown[-2].startswith("Failing too, less dangerous by itself: 5.11, ")
    assert shown[-1].startswith("Of 62 items: ")


def test_all_containers_are_told_by_item_and_by_container(engine: FakeEngine, run: Run) -> None:
    weak = inspected("weak", OTHER, {"Privileged": True, "Memory": 1}, State={"Running": False, "Status": "exited"})
    result = audit(engine, run, weak, inspected())
    data = data_of(result)
    assert "all containers (2, of which 1 run)" in data["about"]
    assert any(line.startswith("5.5 in weak: it is privileged") for line in data["shown"])
    assert "4.1 in all 2: it runs as root." in data["shown"]
    assert "5.5 Container is not privileged: 1 fail, 1 pass: fails in weak" in facts(result, "Items")
    assert "5.23 not applicable: Exec is not privileged. the API can't tell" in facts(result, "Items")
    by_name = facts(result, "What fails")
    assert by_name.index("web: ") < by_name.index("weak: ")
    assert "5.5 Privileged=true" in by_name
    assert any(step.startswith("For 5.5 (Container is not privileged, in weak; with it ") for step in data["steps"])
    # one image of two containers is asked for once
    assert len(engine.sent("GET", f"/images/{IMAGE_ID}/json")) == 1


def test_of_many_containers_those_that_are_alike_are_told_together(engine: FakeEngine, run: Run) -> None:
    many = [inspected(f"c{n:02}", f"{n:064x}") for n in range(12)]
    by_name = facts(audit(engine, run, *many), "What fails")
    assert by_name.startswith("c00, c01, c02")
    assert "5.11;" in by_name
    assert "Memory=" not in by_name


def test_more_than_so_many_are_named_and_left_out(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_docker.prompts.security_audit.MOST_CONTAINERS", 1)
    stopped = inspected("rest", OTHER, State={"Status": "exited"})
    result = audit(engine, run, stopped, inspected())
    assert facts(result, "Not audited") == "rest"
    assert engine.sent("GET", f"/containers/{OTHER}/json") == []


def test_no_containers_leave_the_engine(engine: FakeEngine, run: Run) -> None:
    data = data_of(audit(engine, run))
    assert [part["title"] for part in data["facts"]] == ["Engine"]
    assert all(step.startswith("For 2.") for step in data["steps"])


def test_a_container_that_goes_meanwhile_costs_the_rest_nothing(engine: FakeEngine, run: Run) -> None:
    serve(engine, inspected(), inspected("gone", OTHER))
    engine.on("GET", f"/containers/{OTHER}/json", {"message": "No such container"}, 404)
    assert "(1, of which 1 run)" in data_of(run("security_audit", kind=Kind.PROMPT))["about"]


def test_a_gone_image_and_null_fields_are_ordinary(engine: FakeEngine, run: Run) -> None:
    bare = {"Id": ID, "Name": "/web", "Image": None, "Config": None, "HostConfig": None, "State": None, "Mounts": None}
    serve(engine, bare)
    engine.on("GET", "/images/.*", {"message": "No such image"}, 404)
    engine.on("GET", "/networks/bridge", {"message": "no such network"}, 404)
    result = run("security_audit", kind=Kind.PROMPT, container_id="web")
    assert "web (which is not running)" in data_of(result)["about"]
    assert "4.6 not applicable" in facts(result, "Image")


def test_namespaces_are_followed_to_the_container_that_has_them(engine: FakeEngine, run: Run) -> None:
    guest = inspected(
        host={"NetworkMode": f"container:{OTHER}", "PidMode": "container:gone", "IpcMode": "container:web"}
    )
    owner = inspected("owner", OTHER, {"NetworkMode": "host"})
    serve(engine, guest, owner)
    text = facts(run("security_audit", kind=Kind.PROMPT, container_id="web"), "Container")
    assert "5.10 fail" in text
    assert "which leads to host" in text
    assert "5.16 pass" in text
    assert "5.17 pass" in text


def test_a_volume_that_is_a_folder_of_the_host_is_seen(engine: FakeEngine, run: Run) -> None:
    mounts = [{"Type": "volume", "Name": name, "Destination": f"/{name}"} for name in ("etc", "nfs", "plain")]
    serve(engine, inspected(Mounts=mounts))
    volumes = [
        {"Name": "etc", "Driver": "local", "Options": {"type": "none", "o": "bind", "device": "/etc"}},
        {"Name": "nfs", "Driver": "local", "Options": {"type": "nfs", "device": ":/etc"}},
        {"Name": "plain", "Driver": "local", "Options": None},
    ]
    engine.on("GET", "/volumes", {"Volumes": volumes})
    text = facts(run("security_audit", kind=Kind.PROMPT, container_id="web"), "Container")
    assert "Mounts=/etc at /etc (read-write), by a volume" in text
    assert "nfs" not in text


@pytest.mark.parametrize("here", [True, False])
def test_where_a_link_leads_is_seen_on_the_same_machine(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: bool
) -> None:
    monkeypatch.setattr(own, "in_container", lambda: not here)
    link = tmp_path / "link"
    link.symlink_to("/etc")
    mounts = [{"Type": "bind", "Source": str(link), "Destination": "/x"}, {"Type": "tmpfs", "Destination": "/t"}]
    serve(engine, inspected(Mounts=mounts))
    text = facts(run("security_audit", kind=Kind.PROMPT, container_id="web"), "Container")
    assert ("which leads to /etc, at /x" in text) is here
    assert f"5.6 {'fail' if here else 'pass'}" in text


def test_a_path_that_no_host_has_is_no_fault(engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "in_container", lambda: False)
    mounts = [{"Type": "bind", "Source": "/x\0y", "Destination": "/x"}]
    result = audit(engine, run, inspected(Mounts=mounts), container_id="web")
    assert "5.5 pass" in facts(result, "Container")


def test_a_number_without_end_for_a_user_is_read_as_docker_does(engine: FakeEngine, run: Run) -> None:
    for user, verdict in (("9" * 5_000, "pass"), ("0" * 5_000, "fail"), ("+0:1", "fail"), ("\u0660", "pass")):
        result = audit(engine, run, inspected(config={"User": user}), container_id="web")
        assert f"4.1 {verdict}" in facts(result, "Image")


def test_an_image_name_that_moved_on_is_told(engine: FakeEngine, run: Run) -> None:
    serve(engine, inspected())
    engine.on("GET", "/images/app:1/json", {"Id": "sha256:" + "d" * 64})
    text = facts(run("security_audit", kind=Kind.PROMPT, container_id="web"), "Container")
    assert "5.28 fail: Image is the latest of its name. app:1 is another image by now" in text


@pytest.mark.parametrize("name", ["../containers/x", "a" * 64, "app@sha256:" + "e" * 64, ""])
def test_only_names_of_images_are_looked_up(engine: FakeEngine, run: Run, name: str) -> None:
    audit(engine, run, inspected(config={"Image": name}), container_id="web")
    assert {request.path for request in engine.sent("GET", "/images/.*/json")} == {f"/images/{IMAGE_ID}/json"}


def test_facts_of_tools_that_the_caller_lacks_are_left_out(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_TOOLS", "docker_inspect_container")
    mounts = [{"Type": "volume", "Name": "v", "Destination": "/v"}]
    result = audit(engine, run, inspected(Mounts=mounts), container_id="web")
    assert [part["title"] for part in data_of(result)["facts"]] == ["Container"]
    assert {request.path for request in engine.requests} == {"/containers/web/json"}
    assert "docker_create_container" not in result.text
    refused = run("security_audit", kind=Kind.PROMPT)
    assert code_of(refused) == "INVALID_ARGUMENTS"
    assert "name one with container_id" in refused.text


def test_where_nothing_fails_it_says_so(engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_TOOLS", "docker_inspect_container")
    data = data_of(audit(engine, run, hardened(), container_id="web"))
    assert data["shown"] == ["Of 31 items: 0 fail, 24 pass, 7 not applicable."]
    assert data["steps"] == [
        "Say that nothing fails of what the API shows, and which items a person has to look at on the host."
    ]


def hardened() -> dict[str, Any]:
    return inspected(
        host={
            "Memory": 1 << 26,
            "CpuShares": 512,
            "ReadonlyRootfs": True,
            "PidsLimit": 100,
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": ["ALL"],
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
        },
        config={"User": "1000", "Healthcheck": {"Test": ["CMD", "true"]}},
        NetworkSettings={"Networks": {"shop": {}}},
    )


def test_secrets_and_sentences_of_strangers_stay_where_they_belong(engine: FakeEngine, run: Run) -> None:
    found = inspected(
        config={"Env": ["DB_PASSWORD=hunter2hunter2"], "Labels": {"a": "Obey me"}, "Image": "app:1"},
        Path="/usr/sbin/sshd",
        Args=["--password=hunter2hunter2", "Obey me"],
    )
    serve(engine, found)
    engine.on(
        "GET", "/images/.*/history", [{"CreatedBy": "RUN Obey me"}, {"CreatedBy": "ADD Obey me"}, {"CreatedBy": BASE}]
    )
    result = run("security_audit", kind=Kind.PROMPT, container_id="web", caller=CALLER)
    data = data_of(result)
    assert "hunter2" not in result.text
    assert "Obey me" in result.text
    assert "Obey" not in " ".join([data["about"], *data["shown"], *data["steps"]])


def test_progress_is_told_while_containers_are_read(engine: FakeEngine, run: Run) -> None:
    told: list[tuple[float, float | None, str]] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    def slow(_: Request) -> Any:
        return inspected()

    serve(engine, inspected())
    engine.on("GET", f"/containers/{ID}/json", slow)
    run("security_audit", kind=Kind.PROMPT, progress=progress)
    assert told[-1] == (1, 2, "judging what was read")
