"""Starting, stopping, restarting and removing containers on a real engine."""

import time
import uuid
from collections.abc import Callable

import docker
import pytest
from docker.errors import NotFound

from mcp_docker.tools.containers import lifecycle
from tests.conftest import code_of, data_of
from tests.e2e.process import eventually
from tests.integration.conftest import PATIENCE_SECONDS, Run

Make = Callable[..., str]
OBEYS = ["sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"]


def test_a_container_starts_once(run: Run, container: Make) -> None:
    made = container(start=False)
    first = data_of(run("docker_start_container", container_id=made))
    again = data_of(run("docker_start_container", container_id=made[:12]))
    assert (first["changed"], first["state"], first["id"]) == (True, "running", made)
    assert (again["changed"], again["state"], again["id"]) == (False, "running", made)


def test_a_container_that_ends_at_once_says_its_exit_code(
    run: Run, container: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # at once may take its time where the machine is busy
    monkeypatch.setattr(lifecycle, "SETTLE_SECONDS", PATIENCE_SECONDS)
    made = container(["sh", "-c", "exit 7"], start=False)
    data = data_of(run("docker_start_container", container_id=made))
    assert (data["changed"], data["state"], data["exit_code"]) == (True, "exited", 7)


def test_a_container_whose_port_is_taken_does_not_start(run: Run, container: Make, raw: docker.APIClient) -> None:
    taken = container(ports=[80], host={"port_bindings": {80: ("127.0.0.1", None)}})
    port = raw.inspect_container(taken)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    other = container(ports=[80], host={"port_bindings": {80: ("127.0.0.1", port)}}, start=False)
    assert code_of(run("docker_start_container", container_id=other)) == "PORT_TAKEN"


def test_a_container_that_heeds_its_signal_is_stopped_with_its_own_exit_code(
    run: Run, container: Make, raw: docker.APIClient
) -> None:
    made = container(OBEYS)
    # before that it does not heed it yet
    eventually(lambda: raw.logs(made))
    data = data_of(run("docker_stop_container", container_id=made))
    assert (data["state"], data["exit_code"], data["killed"], data["changed"]) == ("exited", 5, False, True)


@pytest.mark.parametrize("timeout", [0, 1])
def test_a_container_that_does_not_is_killed_when_its_time_is_over(run: Run, container: Make, timeout: int) -> None:
    made = container(["sleep", "300"])
    began = time.monotonic()
    data = data_of(run("docker_stop_container", container_id=made, timeout=timeout))
    # sooner than after the seconds that it gets by default
    assert time.monotonic() - began < timeout + 9
    assert (data["state"], data["exit_code"], data["killed"]) == ("exited", 137, True)
    again = data_of(run("docker_stop_container", container_id=made))
    assert (again["changed"], again["killed"], again["state"]) == (False, False, "exited")


def test_a_container_that_was_never_started_is_stopped_already(run: Run, container: Make) -> None:
    data = data_of(run("docker_stop_container", container_id=container(start=False)))
    assert data["changed"] is False
    assert "exit_code" not in data


def test_stopping_a_container_that_goes_with_its_end_says_that_it_is_gone(
    run: Run, container: Make, raw: docker.APIClient
) -> None:
    made = container(host={"auto_remove": True})
    data = data_of(run("docker_stop_container", container_id=made, timeout=0))
    assert (data["removed"], data["state"]) == (True, "removed")
    with pytest.raises(NotFound):
        raw.inspect_container(made)


def test_a_restart_starts_what_runs_and_what_does_not(run: Run, container: Make, raw: docker.APIClient) -> None:
    made = container()
    before = raw.inspect_container(made)["State"]["StartedAt"]
    for _ in range(2):
        data = data_of(run("docker_restart_container", container_id=made, timeout=0))
        assert (data["changed"], data["state"]) == (True, "running")
        assert raw.inspect_container(made)["State"]["StartedAt"] > before
        raw.stop(made, timeout=0)


def test_a_container_that_runs_is_removed_only_by_force(run: Run, container: Make, raw: docker.APIClient) -> None:
    made = container()
    result = run("docker_remove_container", container_id=made)
    assert code_of(result) == "CONFLICT"
    assert "docker_stop_container" in result.text
    assert "force=true" in result.text
    data = data_of(run("docker_remove_container", container_id=made, force=True))
    assert (data["id"], data["was"]) == (made, "running")
    with pytest.raises(NotFound):
        raw.inspect_container(made)
    assert code_of(run("docker_remove_container", container_id=made)) == "NOT_FOUND"


def test_one_that_goes_with_its_end_is_removed_by_force(run: Run, container: Make, raw: docker.APIClient) -> None:
    made = container(host={"auto_remove": True})
    assert data_of(run("docker_remove_container", container_id=made, force=True))["id"] == made
    with pytest.raises(NotFound):
        raw.inspect_container(made)


@pytest.mark.parametrize("volumes", [True, False])
def test_a_removal_takes_anonymous_volumes_when_asked_to_and_named_ones_never(
    run: Run, container: Make, raw: docker.APIClient, label: str, *, volumes: bool
) -> None:
    name = f"mcp-docker-{uuid.uuid4().hex[:12]}"
    key, _, value = label.partition("=")
    raw.create_volume(name, labels={key: value})
    mounts = [
        docker.types.Mount("/named", name),
        docker.types.Mount("/unnamed", None),
    ]
    made = container(host={"mounts": mounts}, start=False)
    anonymous = next(
        mount["Name"] for mount in raw.inspect_container(made)["Mounts"] if mount["Destination"] == "/unnamed"
    )
    data = data_of(run("docker_remove_container", container_id=made, volumes=volumes))
    there = {volume["Name"] for volume in raw.volumes()["Volumes"]}
    if volumes:
        assert (data["removed_volumes"], data["kept_volumes"]) == ([anonymous], [name])
        assert anonymous not in there
    else:
        assert (data["removed_volumes"], data["kept_volumes"]) == ([], sorted([anonymous, name]))
        assert anonymous in there
        raw.remove_volume(anonymous)
    assert name in there
