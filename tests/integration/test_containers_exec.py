"""docker_exec_command on a real engine."""

import time
from collections.abc import Callable

import docker
import pytest

from mcp_docker import pipeline
from mcp_docker.engine import exec as engine_exec
from tests.conftest import code_of, data_of
from tests.integration.conftest import PATIENCE_SECONDS, Run

Make = Callable[..., str]


def processes(raw: docker.APIClient, container_id: str) -> str:
    return str(raw.top(container_id))


@pytest.mark.smoke
def test_exit_code_and_streams_are_those_of_the_command(container: Make, run: Run) -> None:
    made = container()
    command = ["sh", "-c", "echo out; echo err >&2; id -un; pwd; echo $A; exit 3"]
    data = data_of(
        run(
            "docker_exec_command",
            container_id=made,
            command=command,
            user="app",
            workdir="/tmp",
            environment={"A": "b"},
        )
    )
    assert (data["exit_code"], data["stdout"], data["stderr"]) == (3, "out\napp\n/tmp\nb\n", "err\n")


def test_a_program_that_is_missing_is_explained(container: Make, run: Run) -> None:
    result = run("docker_exec_command", container_id=container(), command=["nosuch"])
    assert "does not exist" in result.text
    assert "nosuch" in result.text


def test_output_without_end_is_bounded(container: Make, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "65536")
    result = run("docker_exec_command", container_id=container(), command=["seq", "1", "200000"])
    assert data_of(result)["stdout"].endswith("200000\n")
    assert len(result.text) < 65_536


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give commands little time from then on; what ends them gets as much as it needs where the machine is busy."""
    monkeypatch.setattr(engine_exec, "END_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(pipeline, "GRACE_SECONDS", PATIENCE_SECONDS)
    return lambda: monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_exec_command=2")


@pytest.mark.smoke
def test_a_command_out_of_time_is_ended_with_all_it_started(
    raw: docker.APIClient, container: Make, run: Run, short: Callable[[], None]
) -> None:
    made = container()
    short()
    began = time.monotonic()
    result = run("docker_exec_command", container_id=made, command=["sh", "-c", "trap '' TERM; sleep 71 & sleep 72"])
    assert time.monotonic() - began < 2 + PATIENCE_SECONDS
    assert code_of(result) == "TIMED_OUT"
    assert "were ended in the container" in result.text
    left = processes(raw, made)
    assert "sleep 71" not in left
    assert "sleep 72" not in left


def test_a_command_that_cannot_be_ended_is_named_as_running(
    raw: docker.APIClient, container: Make, run: Run, short: Callable[[], None]
) -> None:
    made = container()
    # without its shell the container can't be asked to end anything
    assert data_of(run("docker_exec_command", container_id=made, command=["rm", "/bin/sh"]))["exit_code"] == 0
    short()
    result = run("docker_exec_command", container_id=made, command=["sleep", "73"])
    assert code_of(result) == "TIMED_OUT"
    assert "still runs in the container (exec " in result.text
    assert "sleep 73" in processes(raw, made)


def test_a_container_that_does_not_run_is_a_conflict(container: Make, run: Run) -> None:
    result = run("docker_exec_command", container_id=container(start=False), command=["id"])
    assert code_of(result) == "CONFLICT"
    assert "docker_start_container" in result.text
