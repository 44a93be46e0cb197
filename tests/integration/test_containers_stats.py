"""docker_container_stats on a real engine."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.e2e.process import eventually
from tests.integration.conftest import Run

Make = Callable[..., str]


@pytest.mark.smoke
def test_a_busy_container_shows_its_usage(container: Make, run: Run, is_podman: bool) -> None:
    made = container(["sh", "-c", "while :; do :; done"], host={"mem_limit": "64m"})
    usage: dict[str, Any] = {}

    def is_busy() -> bool:
        (found,) = data_of(run("docker_container_stats", container_id=made))["containers"]
        usage.update(found)
        # podman measures from the container's start on, which was just now
        return is_podman or (found.get("cpu_percent") or 0) > 20

    # others may have the CPUs just now
    eventually(is_busy)
    assert usage["id"] == made[:12]
    assert 0 < usage["memory_bytes"] < 64 * 1024**2
    assert usage["memory_limit_bytes"] == 64 * 1024**2
    assert usage["pids"] >= 1


def test_many_containers_take_about_as_long_as_one(container: Make, run: Run, is_podman: bool) -> None:
    first = container()
    data_of(run("docker_container_stats", container_id=first))
    began = time.monotonic()
    data_of(run("docker_container_stats", container_id=first))
    one = time.monotonic() - began
    made = {first[:12]} | {container()[:12] for _ in range(7)}
    began = time.monotonic()
    data = data_of(run("docker_container_stats"))
    together = time.monotonic() - began
    assert made <= {usage["id"] for usage in data["containers"]}
    # podman answers one request after the other; there may be many that other tests have left running, and little CPU
    assert together < (8 * one + 4 if is_podman else max(2 * one + 4, len(data["containers"]) * one / 3))


def test_a_container_that_does_not_run_is_a_conflict(container: Make, run: Run) -> None:
    assert code_of(run("docker_container_stats", container_id=container(start=False))) == "CONFLICT"
