"""The prompt security_audit on a real engine: weak containers, and a hardened one."""

import uuid
from collections.abc import Callable
from typing import Any

import docker
import pytest

from mcp_docker.pipeline import Result
from mcp_docker.tool import Kind
from tests.conftest import data_of
from tests.integration.conftest import IMAGE, Run

SOCKET = {"/var/run/docker.sock": {"bind": "/run/engine.sock", "mode": "ro"}}
OPEN = [{"HostIp": "0.0.0.0", "HostPort": "80"}]

WEAK: dict[str, tuple[dict[str, Any], set[str]]] = {
    "privileged": ({"privileged": True}, {"5.4", "5.5", "5.18", "5.22"}),
    "socket": ({"binds": SOCKET}, {"5.32"}),
    "root of the host": ({"binds": {"/": {"bind": "/host", "mode": "ro"}}}, {"5.6", "5.32"}),
    "folder of the host": ({"binds": {"/etc": {"bind": "/x", "mode": "rw"}}}, {"5.6"}),
    "host's namespaces": (
        {"network_mode": "host", "pid_mode": "host", "ipc_mode": "host", "uts_mode": "host", "userns_mode": "host"},
        {"5.10", "5.16", "5.17", "5.21", "5.31"},
    ),
    "capability in lower case": ({"cap_add": ["sys_admin"]}, {"5.4"}),
    "capability with its prefix": ({"cap_add": ["CAP_NET_ADMIN"]}, {"5.4"}),
    "seccomp with a colon": ({"security_opt": ["seccomp:unconfined"]}, {"5.22"}),
    "seccomp with an equals sign": ({"security_opt": ["seccomp=unconfined"]}, {"5.22"}),
    "device": ({"devices": ["/dev/null:/dev/x:r"]}, {"5.18"}),
    "open port": ({"port_bindings": {"80/tcp": OPEN}}, {"5.8", "5.14"}),
    "restarts for ever": ({"restart_policy": {"Name": "always"}}, {"5.15"}),
    "shared mount": ({"binds": ["/srv:/srv:rshared"]}, {"5.20"}),
    "no limit of processes": ({"pids_limit": -1}, {"5.29"}),
}
ORDINARY = {"4.1", "5.11", "5.12", "5.13", "5.26", "5.27", "5.29", "5.30"}
"""What fails in a container that was given nothing but an image."""


def failing(result: Result, *titles: str) -> set[str]:
    lines = [line for part in data_of(result)["facts"] if part["title"] in titles for line in part["text"].split("\n")]
    return {line.split()[0] for line in lines if line.split()[1] == "fail:"}


@pytest.mark.parametrize("weakness", WEAK)
def test_a_weak_container_fails_just_what_it_is_weak_in(run: Run, container: Callable[..., str], weakness: str) -> None:
    host, fails = WEAK[weakness]
    made = container(host=host, start=False, ports=[80] if "port_bindings" in host else None)
    result = run("security_audit", kind=Kind.PROMPT, container_id=made)
    ordinary = ORDINARY - ({"5.30"} if "network_mode" in host else set())
    # the image has no HEALTHCHECK; the engines of tests have neither AppArmor nor SELinux
    assert failing(result, "Container", "Image") - {"4.6"} == fails | ordinary
    assert result.text.index("What the facts show") < result.text.index(min(fails))


def test_a_hardened_container_passes_all_that_can_be_judged(
    run: Run, raw: docker.APIClient, label: str, container: Callable[..., str]
) -> None:
    key, _, value = label.partition("=")
    tag = f"mcp-docker-hardened-{uuid.uuid4().hex[:12]}"
    changes = ["USER 1000", "HEALTHCHECK CMD true", f"LABEL {key}={value}"]
    raw.commit(container(start=False), tag, changes=changes)
    network = f"mcp-docker-{uuid.uuid4().hex[:12]}"
    raw.create_network(network, labels={key: value})
    host = raw.create_host_config(
        mem_limit=1 << 26,
        cpu_shares=512,
        pids_limit=64,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 5},
        network_mode=network,
        ulimits=[docker.types.Ulimit(name="nofile", soft=256, hard=256)],
        port_bindings={"80/tcp": ("127.0.0.1",)},
    )
    made = raw.create_container(tag, ["sleep", "300"], labels={key: value}, host_config=host, ports=[80], user="1000")[
        "Id"
    ]
    raw.start(made)
    result = run("security_audit", kind=Kind.PROMPT, container_id=made)
    assert failing(result, "Container", "Image") == set()
    text = "\n".join(part["text"] for part in data_of(result)["facts"])
    for number in ("4.1", "4.6", *(f"5.{n}" for n in (4, 5, 6, 8, *range(10, 23), 25, 26, 27, 29, 30, 31, 32))):
        assert f"\n{number} pass: " in f"\n{text}", number


def test_all_containers_are_audited_and_the_worst_is_named(
    run: Run, container: Callable[..., str], raw: docker.APIClient
) -> None:
    made = container(host={"privileged": True}, start=False)
    name = raw.inspect_container(made)["Name"].lstrip("/")
    result = run("security_audit", kind=Kind.PROMPT)
    shown = data_of(result)["shown"]
    assert shown[0].startswith("5.5")
    assert name in result.text


def test_the_engine_is_judged_by_what_it_tells(run: Run, container: Callable[..., str], raw: docker.APIClient) -> None:
    fails = failing(run("security_audit", kind=Kind.PROMPT, container_id=container(start=False)), "Engine")
    assert {"2.2", "2.9", "2.12", "2.13", "2.15"} <= fails
    tells = raw.info().get("SecurityOptions") or []
    assert not fails & {"2.5", "2.6", "2.17", "2.18", "5.1"}, tells


def test_a_volume_of_a_folder_of_the_host_is_no_disguise(
    run: Run, raw: docker.APIClient, label: str, container: Callable[..., str]
) -> None:
    key, _, value = label.partition("=")
    name = f"mcp-docker-{uuid.uuid4().hex[:12]}"
    options = {"type": "none", "o": "bind", "device": "/etc"}
    raw.create_volume(name, driver="local", driver_opts=options, labels={key: value})
    made = container(host={"binds": {name: {"bind": "/x", "mode": "ro"}}}, start=False)
    result = run("security_audit", kind=Kind.PROMPT, container_id=made)
    assert "5.6" in failing(result, "Container")


def test_a_container_whose_image_is_gone_is_audited_all_the_same(
    run: Run, raw: docker.APIClient, label: str, container: Callable[..., str]
) -> None:
    key, _, value = label.partition("=")
    tag = f"mcp-docker-gone-{uuid.uuid4().hex[:12]}"
    raw.commit(container(start=False), tag, changes=[f"LABEL {key}={value}"])
    made = raw.create_container(tag, ["sleep", "300"], labels={key: value})["Id"]
    raw.tag(IMAGE, tag, force=True)
    result = run("security_audit", kind=Kind.PROMPT, container_id=made)
    assert "5.28" in failing(result, "Container")
    raw.remove_image(tag)
    assert "5.28" not in failing(run("security_audit", kind=Kind.PROMPT, container_id=made), "Container")
