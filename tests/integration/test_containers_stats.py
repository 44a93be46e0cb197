"""docker_container_stats on a real engine."""

import time
from collections.abc import Callable

import pytest

from tests.conftest import code_of, data_of
from tests.integration.conftest import Run

Make = Callable[..., str]


@pytest.mark.smoke
def test_a_busy_container_shows_its_usage(container: Make, run: Run, is_podman: bool) -> None:
    made = container(["sh", "-c", "while :; do :; done"], host={"mem_limit": "64m"})
    (usage,) = data_of(run("docker_container_stats", container_id=made))["containers"]
    assert usage["id"] == made[:12]
    if not is_podman:  # podman measures from the container's start on, which was just now
        assert usage["cpu_percent"] > 20
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
    # podman answers one request after the other
    assert together < (8 * one + 4 if is_podman else 2 * one + 2)


def test_a_container_that_does_not_run_is_a_conflict(container: Make, run: Run) -> None:
    assert code_of(run("docker_container_stats", container_id=container(start=False))) == "CONFLICT"
