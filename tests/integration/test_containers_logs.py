"""docker_container_logs on a real engine."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import docker
import pytest

from tests.conftest import data_of
from tests.integration.conftest import Run

Make = Callable[..., str]


def texts(data: dict[str, Any]) -> list[str]:
    return [line["text"] for line in data["lines"]]


def finished(raw: docker.APIClient, container_id: str) -> str:
    raw.wait(container_id, timeout=30)
    return container_id


@pytest.mark.smoke
def test_both_streams_are_read_and_told_apart(raw: docker.APIClient, container: Make, run: Run) -> None:
    made = finished(raw, container(["sh", "-c", "echo out; echo err >&2; echo end"]))
    lines = data_of(run("docker_container_logs", container_id=made))["lines"]
    assert {(line["stream"], line["text"]) for line in lines} == {
        ("stdout", "out"),
        ("stderr", "err"),
        ("stdout", "end"),
    }


def test_tail_and_contains_choose_lines(raw: docker.APIClient, container: Make, run: Run) -> None:
    made = finished(raw, container(["seq", "1", "3000"]))
    assert texts(data_of(run("docker_container_logs", container_id=made, tail=2))) == ["2999", "3000"]
    data = data_of(run("docker_container_logs", container_id=made, contains="100", tail=2))
    assert texts(data) == ["1100", "2100"]


def test_a_terminal_and_bytes_that_are_no_utf8(raw: docker.APIClient, container: Make, run: Run) -> None:
    made = finished(raw, container(["sh", "-c", r"printf 'caf\351\n'; echo second"], tty=True))
    assert texts(data_of(run("docker_container_logs", container_id=made))) == ["caf\ufffd", "second"]


def test_following_goes_on_where_the_last_call_ended(container: Make, run: Run) -> None:
    made = container(["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.2; done"])
    seen: list[str] = []
    since = "0"
    for _ in range(3):
        data = data_of(run("docker_container_logs", container_id=made, follow=True, seconds=1, since=since))
        seen += texts(data)
        since = data["next_since"]
    assert len(seen) > 6


@pytest.mark.smoke
def test_following_a_container_that_says_nothing_is_an_empty_answer(container: Make, run: Run) -> None:
    data = data_of(run("docker_container_logs", container_id=container(), follow=True, seconds=1))
    assert data["lines"] == []


def test_following_ends_with_the_container(container: Make, run: Run) -> None:
    made = container(["sh", "-c", "sleep 1; echo bye"])
    data = data_of(run("docker_container_logs", container_id=made, follow=True, seconds=40))
    assert texts(data) == ["bye"]


def test_a_log_of_100000_lines_costs_little_memory(raw: docker.APIClient, container: Make) -> None:
    made = finished(raw, container(["sh", "-c", "seq 1 100000 | sed 's/$/ of a log that is rather long/'"]))
    code = f"""
import anyio, resource, sys
from mcp_docker.caller import Caller
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.registry import Registry
from mcp_docker.settings import load
settings = load()
pipeline = Pipeline(settings, Registry(settings), Engine(settings), None)
def call(**arguments):
    wanted = {{"container_id": "{made}", **arguments}}
    result = anyio.run(pipeline.call, Call("docker_container_logs", wanted, Caller("tester", "test")))
    assert result.data is not None, result.text
    return result
call(tail=10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
call(tail=10000)
assert call(contains="99999 of").data["lines"]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) < 30 * 1024
