"""optimize_container, on containers that are wasteful on purpose."""

import time
from collections.abc import Callable
from typing import Any

import docker
import pytest
from docker.types import Ulimit

from mcp_docker.pipeline import Result
from mcp_docker.tool import Kind
from tests.integration.conftest import Run

Make = Callable[..., str]
READY = "; touch /tmp/ready; while :; do sleep 1; done"
HOLD_40_MIB = "dd if=/dev/zero of=/memory/x bs=1M count=40 2>/dev/null" + READY

# what each is made with, what it does before it is looked at, and the beginnings of what has to be said
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing is set": (
        {"command": ["sh", "-c", ":" + READY]},
        [
            "No memory limit: it uses",
            "Its log grows until the disk is full",
            "No restart policy",
            "No health check",
            "No limit on processes and threads",
            "It runs as root",
            "Its root can be written to",
        ],
    ),
    "too much memory": (
        {"command": ["sh", "-c", ":" + READY], "host": {"mem_limit": "1g"}},
        ["The memory limit is far above"],
    ),
    "too little memory": (
        {"command": ["sh", "-c", HOLD_40_MIB], "host": {"mem_limit": "42m", "tmpfs": {"/memory": ""}}},
        ["The memory limit is tight"],
    ),
    "too little CPU": (
        {"command": ["sh", "-c", "touch /tmp/ready; while :; do :; done"], "host": {"nano_cpus": 50_000_000}},
        ["The CPU limit of 0.05 holds it back"],
    ),
    "many processes": (
        {"command": ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 300 & done" + READY], "host": {"pids_limit": 10}},
        ["It has "],
    ),
    "its own layer": (
        {"command": ["sh", "-c", "dd if=/dev/zero of=/big bs=1M count=60 2>/dev/null" + READY]},
        ["It has written 60 MiB into its own layer"],
    ),
    "few files": (
        {"command": ["sh", "-c", ":" + READY], "host": {"ulimits": [Ulimit(name="nofile", soft=200, hard=400)]}},
        ["It may have 200 open files"],
    ),
    "a hasty health check": (
        {
            "command": ["sh", "-c", ":" + READY],
            "healthcheck": {"test": ["CMD", "true"], "interval": 1_000_000_000},
        },
        ["Its health check starts a process every 1 s"],
    ),
    "no logs": (
        {"command": ["sh", "-c", ":" + READY], "host": {"log_config": {"type": "none", "config": {}}}},
        ["Its logs are thrown away"],
    ),
}


@pytest.fixture
def ready(raw: docker.APIClient, container: Make) -> Callable[..., str]:
    """Make a container that is ready, and, if `periods` are asked for, has run for so many of the CPU's."""

    def make(periods: int = 0, **arguments: Any) -> str:
        made = container(**arguments)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if "/tmp/ready" in [each["Path"] for each in raw.diff(made) or []] and _periods(raw, made) >= periods:
                return made
            time.sleep(0.2)
        raise AssertionError("the container is not ready after 60 s")

    return make


def _periods(raw: docker.APIClient, container: str) -> int:
    return int(raw.stats(container, stream=False)["cpu_stats"]["throttling_data"]["periods"])


def shown(result: Result) -> list[str]:
    assert result.data is not None, result.text
    lines: list[str] = result.data["shown"]
    return lines


@pytest.mark.parametrize("case", CASES)
def test_what_is_wasted_is_named(case: str, ready: Callable[..., str], run: Run, is_podman: bool) -> None:
    # Podman counts no periods, and an engine inside of a container may not raise the limits that it takes from its own
    if is_podman and case in ("too little CPU", "few files"):
        return
    arguments, expected = CASES[case]
    if is_podman:  # which limits processes by itself, and does not show the options of logs
        expected = [line for line in expected if not line.startswith(("No limit on processes", "Its log grows"))]
    made = ready(periods=60 if case == "too little CPU" else 0, **arguments)
    said = shown(run("optimize_container", kind=Kind.PROMPT, container_id=made))
    assert [begin for begin in expected if not any(line.startswith(begin) for line in said)] == [], said
    if case in ("too little memory", "too little CPU", "many processes", "few files"):
        assert said[0].startswith(expected[0])


def test_what_is_well_is_left_alone(ready: Callable[..., str], run: Run) -> None:
    made = ready(
        command=["sh", "-c", ":" + READY],
        user="1000",
        healthcheck={"test": ["CMD", "true"], "interval": 30_000_000_000},
        host={
            "mem_limit": "48m",
            "nano_cpus": 500_000_000,
            "pids_limit": 100,
            "restart_policy": {"Name": "unless-stopped"},
            "log_config": {"type": "json-file", "config": {"max-size": "1m"}},
        },
    )
    said = shown(run("optimize_container", kind=Kind.PROMPT, container_id=made))
    assert [line.split(":")[0] for line in said] == [
        "Its image is named without a version",
        "Its root can be written to. read_only",
        "Well",
    ]


def test_a_container_that_was_killed_for_memory_is_told_so(
    raw: docker.APIClient, container: Make, run: Run, is_podman: bool
) -> None:
    made = container(
        ["sh", "-c", "dd if=/dev/zero of=/memory/x bs=1M count=64"],
        host={"mem_limit": "16m", "memswap_limit": "16m", "tmpfs": {"/memory": ""}},
    )
    for _ in range(10):
        raw.wait(made, timeout=30)
        if is_podman or raw.inspect_container(made)["State"]["OOMKilled"]:
            break
        # the engine hears of the kill and of the end apart: in the other order it never says so
        raw.start(made)
    said = shown(run("optimize_container", kind=Kind.PROMPT, container_id=made))
    # Podman does not say so of itself
    assert is_podman or said[0].startswith(
        "It was killed at its memory limit of 16 MiB. If it does not leak, try 32 MiB"
    )
    assert any(line.startswith("It is not running") for line in said)


def test_what_is_advised_can_be_set(
    raw: docker.APIClient, ready: Callable[..., str], run: Run, is_podman: bool
) -> None:
    if is_podman:  # its API has no update
        return
    made = ready(command=["sh", "-c", ":" + READY])
    result = run("optimize_container", kind=Kind.PROMPT, container_id=made)
    assert result.data is not None
    command = next(step for step in result.data["steps"] if "docker update" in step).split("`")[1].split()
    flags = dict(zip(command[2:-1:2], command[3:-1:2], strict=True))
    assert {"--memory", "--memory-swap", "--restart", "--pids-limit"} <= set(flags)
    raw.update_container(
        made,
        mem_limit=flags["--memory"],
        memswap_limit=flags["--memory-swap"],
        restart_policy={"Name": flags["--restart"]},
    )
    assert raw.inspect_container(made)["HostConfig"]["Memory"] > 0
    again = shown(run("optimize_container", kind=Kind.PROMPT, container_id=made))
    assert not any(line.startswith(("No memory limit", "No restart policy", "The memory limit")) for line in again)
