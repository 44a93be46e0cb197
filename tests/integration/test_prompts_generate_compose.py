"""generate_compose, judged by Docker Compose and by the container that it makes of the file."""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.types import Mount, Ulimit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_docker.prompts.compose import service, written
from mcp_docker.prompts.compose.original import Original
from mcp_docker.prompts.compose.variables import Variables
from mcp_docker.tool import Kind
from tests.integration.conftest import IMAGE, Run

Make = Callable[..., str]
Compose = Callable[..., str]

# what each container is made with; {volume} and {network} what was made for it
CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "ports": {
        "ports": [80, 81, 82, (53, "udp"), 90],
        "host": {
            "port_bindings": {80: None, 81: ("127.0.0.1",), "53/udp": ("127.0.0.1",), 82: [("127.0.0.1",), ("::1",)]}
        },
    },
    "all ports": {"ports": [80, (53, "udp")], "host": {"publish_all_ports": True}},
    "environment": {
        "environment": {
            "EMPTY": "",
            "YES": "yes",
            "OCTAL": "0123",
            "NEW_OCTAL": "0o17",
            "TIME": "1:30",
            "EXPONENT": "1e3",
            "DOLLAR": "$HOME ${X} $$",
            "LINES": "one\n  two\n\nthree\n",
            "CR": "a\r\nb\tc",
            "WORDS": "Grüße, 世界 🐳",
            "HASH": "a #b: c",
            "HIDDEN": "\u200b\u202ex\x1b[0m",
            "NULL": "~",
        }
    },
    "command": {"command": ["sh", "-c", 'echo "$HOME" {a: 1} $(date); sleep 300'], "entrypoint": []},
    "entrypoint": {"command": ["300"], "entrypoint": ["sleep"]},
    "user": {"user": "1000:1000", "working_dir": "/home/app", "stop_signal": "SIGINT"},
    "mounts": {
        "host": {
            "mounts": [
                Mount("/data", "{volume}", "volume"),
                Mount("/ro", "{volume}", "volume", read_only=True),
                Mount("/nocopy", "{volume}", "volume", no_copy=True),
                Mount("/anonymous", None, "volume"),
                Mount("/host", "/tmp", "bind", read_only=True),
                Mount("/shared", "/tmp", "bind", propagation="private"),
                Mount("/memory", None, "tmpfs", tmpfs_size=1 << 20, tmpfs_mode=0o1777),
            ],
            "tmpfs": {"/run": "size=1m,mode=755", "/scratch": ""},
        }
    },
    "binds": {"volumes": ["/plain"], "host": {"binds": ["/tmp:/bind:ro", "{volume}:/data", "{volume}:/ro:ro"]}},
    "network": {"network": {"aliases": ["web", "www.example"], "ipv4_address": "10.99.{octet}.77"}},
    "no network": {"host": {"network_mode": "none"}},
    "host network": {"ports": [80], "host": {"network_mode": "host"}},
    "names": {
        "hostname": "web1",
        "domainname": "example.org",
        "host": {
            "dns": ["10.1.2.3"],
            "dns_search": ["example.org"],
            "dns_opt": ["ndots:2"],
            "extra_hosts": {"db": "10.0.0.9", "six": "fd00::1"},
        },
    },
    "health": {
        "healthcheck": {
            "test": ["CMD-SHELL", 'test "$HOME" != x'],
            "interval": 90_000_000_000,
            "timeout": 1_500_000_000,
            "retries": 4,
            "start_period": 3_600_000_000_000,
        }
    },
    "no health": {"healthcheck": {"test": ["NONE"]}},
    "life": {
        "tty": True,
        "stdin_open": True,
        "host": {"init": True, "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3}},
        "stop_timeout": 25,
    },
    "always": {"host": {"restart_policy": {"Name": "always"}}},
    "limits": {
        "host": {
            "mem_limit": 64 << 20,
            "memswap_limit": 100 << 20,
            "mem_reservation": 33_333_248,
            "nano_cpus": 500_000_000,
            "cpu_shares": 512,
            "cpuset_cpus": "0",
            "pids_limit": 50,
            "shm_size": 1 << 20,
            "oom_score_adj": 300,
            "ulimits": [Ulimit(name="nofile", soft=1000, hard=2000), Ulimit(name="core", soft=0, hard=0)],
        }
    },
    "quota": {"host": {"cpu_period": 50_000, "cpu_quota": 25_000, "mem_limit": "32m", "memswap_limit": -1}},
    "powers": {
        "host": {
            "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges", "seccomp=unconfined"],
            "read_only": True,
            "group_add": ["1000", "4"],
            "devices": ["/dev/null:/dev/none:r", "/dev/zero"],
            "sysctls": {"net.ipv4.ip_forward": "1"},
            "device_cgroup_rules": ["c 1:3 r"],
        }
    },
    "namespaces": {"host": {"ipc_mode": "host", "pid_mode": "host", "uts_mode": "host"}},
    "privileged": {"start": False, "host": {"privileged": True, "ipc_mode": "shareable"}},
    "seccomp": {"host": {"security_opt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']}},
    "labels and logs": {
        "labels": {"a.b/c": "1", "dollar$": "$X", "yes": "no", "empty": ""},
        "host": {"log_config": {"type": "json-file", "config": {"max-size": "1m", "max-file": "2"}}},
    },
}
# every port that the engine chose is one that it may choose again
_CHOSEN = {"HostConfig.PublishAllPorts": None, "HostConfig.PortBindings": {"53/udp": [("", "")], "80/tcp": [("", "")]}}
_PODMAN_ENVIRONMENT = ("container=", "HOME=", "HOSTNAME=", "TERM=")
COMPARED = {
    "Config": "Env Cmd Entrypoint Labels User WorkingDir StopSignal StopTimeout Tty OpenStdin Healthcheck ExposedPorts "
    "Hostname Domainname",
    "HostConfig": "PortBindings PublishAllPorts NetworkMode RestartPolicy Dns DnsSearch DnsOptions ExtraHosts IpcMode "
    "PidMode UTSMode Privileged ReadonlyRootfs CapAdd CapDrop SecurityOpt Tmpfs ShmSize Memory MemorySwap "
    "MemoryReservation NanoCpus CpuShares CpuPeriod CpuQuota CpusetCpus PidsLimit OomScoreAdj Init Sysctls GroupAdd "
    "DeviceCgroupRules Runtime CgroupnsMode LogConfig Devices Ulimits MaskedPaths",
}


@pytest.fixture(scope="session")
def program() -> str:
    """Docker Compose."""
    if given := os.environ.get("MCP_DOCKER_TEST_COMPOSE"):
        return given
    script = Path(__file__).parents[2] / "scripts" / "engine"
    return subprocess.run([script, "compose"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def compose(program: str, tmp_path: Path) -> Iterator[Compose]:
    """Run Docker Compose in a project of this test alone, which is taken down in the end."""
    folder = tmp_path / f"p{uuid.uuid4().hex[:12]}"
    folder.mkdir()

    def call(*words: str, **files: str) -> str:
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [program, *words], cwd=folder, check=False, capture_output=True, text=True, timeout=120, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield call
    if (folder / "compose.yaml").exists():
        call("down", "--timeout", "0")


@pytest.fixture
def made(raw: docker.APIClient, label: str, container: Make) -> Callable[..., str]:
    """Make the container of a case, started unless start=False; its name."""

    def filled(value: Any, words: dict[str, str]) -> Any:
        match value:
            case str():
                return re.sub(r"\{(volume|network|octet)\}", lambda match: words[match[1]], value)
            case dict():
                return {name: filled(item, words) for name, item in value.items()}
            case list():
                return [filled(item, words) for item in value]
        return value

    def make(case: dict[str, Any], *, start: bool = True) -> str:
        key, _, labelled = label.partition("=")
        unique = f"gc-{uuid.uuid4().hex[:12]}"
        words = {
            "name": unique,
            "volume": f"{unique}-v",
            "network": f"{unique}-n",
            "octet": str(uuid.uuid4().int % 250),
        }
        case = filled(case, words)
        if words["volume"] in str(case):
            raw.create_volume(words["volume"], labels={key: labelled})
        place = case.pop("network", None)
        if place is not None:
            pool = docker.types.IPAMPool(subnet=f"10.99.{words['octet']}.0/24")
            raw.create_network(
                words["network"], labels={key: labelled}, ipam=docker.types.IPAMConfig(pool_configs=[pool])
            )
            endpoint = raw.create_endpoint_config(**place)
            case["networking_config"] = {"EndpointsConfig": {words["network"]: endpoint}}
            case["host"] = {"network_mode": words["network"]}
        container(start=start, name=unique, **case)
        return unique

    return make


def parts(run: Run, name: str) -> dict[str, str]:
    """The sections of the prompt, by title; the file without its fence."""
    result = run("generate_compose", kind=Kind.PROMPT, container_id=name)
    assert result.data is not None, result.text
    sections = {part["title"]: part["text"] for part in result.data["facts"]}
    assert sections["compose.yaml"] in result.text
    sections["compose.yaml"] = sections["compose.yaml"].removeprefix("```yaml\n").removesuffix("```")
    return sections


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """The fields that somebody sets, without what each engine and Compose add by themselves."""
    shown = {f"{part}.{name}": found[part].get(name) for part, names in COMPARED.items() for name in names.split()}
    if found["Id"].startswith(found["Config"]["Hostname"] or "-"):
        shown["Config.Hostname"] = ""
    shown["Config.Labels"] = {
        name: value
        for name, value in (found["Config"]["Labels"] or {}).items()
        if not name.startswith(("com.docker.compose.", "mcp-docker."))
    }
    shown["HostConfig.Ulimits"] = sorted(found["HostConfig"]["Ulimits"] or [], key=lambda limit: str(limit["Name"]))
    shown["HostConfig.CapAdd"] = [name.removeprefix("CAP_") for name in found["HostConfig"]["CapAdd"] or []]
    shown["Config.Env"] = sorted(each for each in found["Config"]["Env"] if not each.startswith(_PODMAN_ENVIRONMENT))
    if shown["HostConfig.NetworkMode"] == "default":
        shown["HostConfig.NetworkMode"] = "bridge"
    shown["HostConfig.ExtraHosts"] = sorted(
        each.replace("=", ":", 1) for each in found["HostConfig"]["ExtraHosts"] or []
    )
    shown["HostConfig.PortBindings"] = {
        port: [(each["HostIp"], each["HostPort"] if each["HostPort"] != "0" else "") for each in bound]
        for port, bound in (found["HostConfig"]["PortBindings"] or {}).items()
        if bound
    }
    if found["HostConfig"]["NetworkMode"] == "host":
        shown["Config.ExposedPorts"] = None
    shown["HostConfig.Mounts"] = sorted(
        (
            mount["Type"],
            mount.get("Name") or mount["Source"],
            mount["Destination"],
            mount["RW"],
            mount["Propagation"],
        )
        for mount in found["Mounts"]
    )
    shown["Networks"] = {
        name: (
            sorted(set(place["Aliases"] or []) - {found["Id"][:12], found["Name"].lstrip("/")}),
            place.get("IPAMConfig") or None,
        )
        for name, place in found["NetworkSettings"]["Networks"].items()
    }
    return {name: None if value in (0, "", [], {}, False) else value for name, value in shown.items()}


@pytest.mark.parametrize("case", CASES)
def test_what_compose_makes_of_the_file_is_the_container_again(
    case: str, made: Callable[..., str], run: Run, compose: Compose, raw: docker.APIClient, is_podman: bool
) -> None:
    asked = dict(CASES[case])
    # some are more than an engine inside of a container may start, and Podman takes no profile but in a file
    started = asked.pop("start", True) and not (is_podman and case in ("limits", "powers"))
    if is_podman and case == "seccomp":
        return
    name = made(asked, start=started)
    before = raw.inspect_container(name)
    sections = parts(run, name)
    files = {title.replace(".", "_"): text for title, text in sections.items() if "." in title and " " not in title}
    compose("config", "--quiet", **files)
    raw.remove_container(name, force=True)
    compose(*("up", "--detach") if started else ("create",))
    after = raw.inspect_container(name)
    assert after["State"]["Running"] == before["State"]["Running"]
    assert comparable(after) == comparable(before) | (_CHOSEN if case == "all ports" and not is_podman else {})


def test_secrets_are_variables_and_nowhere_to_be_seen(
    made: Callable[..., str], run: Run, compose: Compose, raw: docker.APIClient
) -> None:
    name = made(
        {
            "command": ["sh", "-c", "curl -u me:pw-s3cr3t-1 http://x; sleep 300"],
            "environment": {
                "DB_PASSWORD": "s3cr3t$2",
                "URL": "postgres://u:s3cr3t-3@db/x",
                "KEY_FILE": "/run/k",
                "PASSWORD": "${PASSWORD}",
            },
            "labels": {"app.auth-token": "s3cr3t-4"},
        }
    )
    result = run("generate_compose", kind=Kind.PROMPT, container_id=name)
    assert "s3cr3t" not in result.text
    sections = parts(run, name)
    assert "[REDACTED]" not in result.text
    values = {"SECRET_1": "pw-s3cr3t-1", "DB_PASSWORD": "s3cr3t$2", "URL": "postgres://u:s3cr3t-3@db/x"}
    values |= {"APP_AUTH_TOKEN": "s3cr3t-4", "PASSWORD": "${PASSWORD}"}
    assert {line.removesuffix("=") for line in sections[".env"].split("\n")} == set(values)
    filled = "\n".join(f"{variable}='{value}'" for variable, value in values.items())
    before = raw.inspect_container(name)
    raw.remove_container(name, force=True)
    compose("up", "--detach", compose_yaml=sections["compose.yaml"], _env=filled)
    assert comparable(raw.inspect_container(name)) == comparable(before)


def test_a_container_that_was_never_started_is_written_down_too(
    made: Callable[..., str], run: Run, compose: Compose
) -> None:
    name = made(CASES["mounts"], start=False)
    compose("config", "--quiet", compose_yaml=parts(run, name)["compose.yaml"])


def test_an_image_that_is_gone_leaves_a_file_that_says_all(
    raw: docker.APIClient, label: str, run: Run, compose: Compose, is_podman: bool
) -> None:
    if is_podman:  # it removes no image that a container uses
        return
    key, _, value = label.partition("=")
    tag = f"gc-{uuid.uuid4().hex[:12]}:1"
    source = raw.create_container(IMAGE, labels={key: value})["Id"]
    repository, _, version = tag.partition(":")
    raw.commit(source, repository, version, changes=[f"LABEL {label}", "ENV FROM=image"])
    name = f"gc-{uuid.uuid4().hex[:12]}"
    raw.create_container(tag, ["sleep", "300"], name=name, labels={key: value})
    raw.remove_image(tag, force=True)
    result = run("generate_compose", kind=Kind.PROMPT, container_id=name)
    assert result.data is not None
    file = parts(run, name)["compose.yaml"]
    compose("config", "--quiet", compose_yaml=file)
    assert f"image: {tag}" in file or "sha256:" in file


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ODD = st.one_of(
    TEXTS, st.from_regex(r"[-+.~0-9xobeE_:yYnN ]{1,8}", fullmatch=True), st.sampled_from(["=", "<<", "null"])
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    environment=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,8}", fullmatch=True), ODD, max_size=12),
    labels=st.dictionaries(st.from_regex(r"[a-z][a-z0-9./-]{0,8}", fullmatch=True), ODD, max_size=12),
    command=st.lists(ODD, min_size=1, max_size=12),
)
def test_odd_strings_are_read_by_compose_as_they_are(
    program: str, tmp_path: Path, environment: dict[str, str], labels: dict[str, str], command: list[str]
) -> None:
    secrets = Variables()
    config = {"Env": [f"{name}={value}" for name, value in environment.items()], "Labels": labels, "Cmd": command}
    original = Original(found={"Id": "a" * 64, "Name": "/web", "Config": config})
    described = service.service(original, "image:1", secrets)
    (tmp_path / "compose.yaml").write_text(
        written.dump(written.escaped({"services": {"web": described}})), encoding="utf-8", newline=""
    )
    done = subprocess.run(
        [program, "config", "--format", "json", "--no-interpolate"], cwd=tmp_path, check=True, capture_output=True
    )
    read = json.loads(done.stdout)["services"]["web"]

    def meant(value: str) -> str:
        return value.replace("$$", "$")

    if not secrets.names:
        assert {name: meant(value) for name, value in (read.get("environment") or {}).items()} == environment
        assert {name: meant(value) for name, value in (read.get("labels") or {}).items()} == original.labels
        assert [meant(word) for word in read["command"]] == command
