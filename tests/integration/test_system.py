"""The tools for the engine itself on a real one. Prunes are always narrowed to the test's own label."""

import os
import time
import uuid
from collections.abc import Callable

import docker
import pytest

from tests.conftest import data_of
from tests.integration.conftest import PATIENCE_SECONDS, Run


@pytest.mark.smoke
def test_version_tells_what_the_engine_tells(run: Run, raw: docker.APIClient) -> None:
    engine = data_of(run("docker_version"))["engine"]
    assert engine["version"] == raw.version()["Version"]
    assert (engine["address"], engine["found_by"]) == (os.environ["DOCKER_HOST"], "DOCKER_HOST")


def test_what_just_happened_is_in_the_events(run: Run, raw: docker.APIClient, container: Callable[..., str]) -> None:
    made = container(["sh", "-c", "exit 3"])
    assert raw.wait(made, timeout=20)["StatusCode"] == 3
    began = time.monotonic()
    answer = data_of(run("docker_events", since="2m", filters={"container": made}))
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert {event["id"] for event in answer["events"]} == {made}
    actions = [event["action"] for event in answer["events"]]
    assert {"create", "start", "die"} <= {action.replace("died", "die") for action in actions}
    (end,) = (event for event in answer["events"] if event["action"] in ("die", "died"))
    assert end["attributes"]["exit_code"] == "3"
    assert "mcp-docker-test" in end["attributes"]["image"]
    assert answer["since"] < end["time"] <= answer["until"]


def test_only_the_newest_events_are_told_when_there_are_more(
    run: Run, raw: docker.APIClient, container: Callable[..., str]
) -> None:
    made = container(["true"])
    raw.wait(made, timeout=20)
    everything = data_of(run("docker_events", since="2m", filters={"container": made}))["events"]
    last = data_of(run("docker_events", since="2m", filters={"container": made}, limit=1))
    assert last["events"] == everything[-1:]
    assert last["truncated"]["what"] == f"Showing the newest 1 of {len(everything)} events"


def test_a_window_that_has_passed_holds_what_happened_in_it(run: Run, container: Callable[..., str]) -> None:
    made = container(start=False)
    (created,) = data_of(run("docker_events", since="2m", filters={"container": made, "event": "create"}))["events"]
    window = {"since": created["time"], "until": time.time()}
    assert len(data_of(run("docker_events", **window, filters={"container": made}))["events"]) >= 1
    assert data_of(run("docker_events", since="10m", until="5m", filters={"container": made}))["events"] == []


def test_an_end_in_the_future_is_not_waited_for(run: Run, container: Callable[..., str]) -> None:
    made = container(start=False)
    began = time.monotonic()
    answer = data_of(run("docker_events", since="2m", until=time.time() + 3_600, filters={"container": made}))
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert answer["events"]
    assert "until lies in the future" in answer["note"]


def test_a_prune_takes_what_carries_the_label_and_leaves_what_runs(
    run: Run, raw: docker.APIClient, label: str, container: Callable[..., str]
) -> None:
    key, _, value = label.partition("=")
    running, stopped = container(), container(start=False)
    name = f"mcp-docker-test-{uuid.uuid4().hex[:12]}"
    raw.create_network(name, labels={key: value})
    raw.create_volume(name, labels={key: value})
    anonymous = raw.create_volume(None, labels={key: value})["Name"]

    answer = data_of(run("docker_system_prune", filters={"label": label}, volumes=True))

    assert answer["removed"] == {
        "containers": [stopped],
        "networks": [name],
        "volumes": [anonymous],
        "images": [],
        "build_cache": [],
    }
    assert "failed" not in answer
    assert "build_cache" in answer["skipped"]
    assert answer["total_reclaimed_bytes"] == sum(answer["reclaimed_bytes"].values())
    assert raw.inspect_container(running)["Id"] == running
    assert raw.inspect_volume(name)["Name"] == name


def test_a_prune_leaves_volumes_alone_unless_asked(run: Run, raw: docker.APIClient, label: str) -> None:
    key, _, value = label.partition("=")
    anonymous = raw.create_volume(None, labels={key: value})["Name"]
    assert data_of(run("docker_prune_system", filters={"label": label}))["removed"]["volumes"] == []
    assert raw.inspect_volume(anonymous)["Name"] == anonymous


def test_of_two_labels_both_must_be_there(
    run: Run, raw: docker.APIClient, label: str, container: Callable[..., str]
) -> None:
    stopped = container(start=False)
    answer = data_of(run("docker_prune_system", filters={"label": [label, "mcp-docker.absent"]}))
    assert answer["removed"]["containers"] == []
    assert raw.inspect_container(stopped)["Id"] == stopped
