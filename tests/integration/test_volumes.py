"""The tools for volumes on a real engine. Prunes are always narrowed to the test's own label."""

import uuid
from collections.abc import Callable
from typing import Any

import docker
import pytest

from tests.conftest import code_of, data_of
from tests.integration.conftest import IMAGE, Run


@pytest.fixture
def name() -> str:
    return f"mcp-docker-test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def made(raw: docker.APIClient, label: str) -> Callable[..., str]:
    """Make a volume that carries the label; without a name, an anonymous one. Its name."""

    def make(name: str | None = None, **labels: str) -> str:
        key, _, value = label.partition("=")
        volume: dict[str, Any] = raw.create_volume(name, labels={key: value} | labels)
        return str(volume["Name"])

    return make


def left(raw: docker.APIClient, label: str) -> set[str]:
    return {volume["Name"] for volume in raw.volumes(filters={"label": [label]})["Volumes"] or []}


def test_a_volume_lives_its_whole_life(run: Run, label: str, name: str) -> None:
    assert data_of(run("docker_create_volume", name=name, labels=[label]))["created"] is True
    again = data_of(run("docker_create_volume", name=name, labels={"other": "label"}))
    assert again["created"] is False
    assert "other" not in again["labels"]
    (row,) = data_of(run("docker_list_volumes", filters={"label": label}))["volumes"]
    assert (row["name"], row["driver"], row["anonymous"]) == (name, "local", False)
    assert data_of(run("docker_inspect_volume", volume_name=name))["used_by"] == []
    assert data_of(run("docker_remove_volume", volume_name=name)) == {"name": name, "removed": True}
    assert code_of(run("docker_inspect_volume", volume_name=name)) == "NOT_FOUND"
    assert code_of(run("docker_remove_volume", volume_name=name)) == "NOT_FOUND"


def test_the_beginning_of_a_name_is_not_the_name(
    run: Run, raw: docker.APIClient, made: Callable[..., str], name: str
) -> None:
    made(name)
    for force in (False, True):
        result = run("docker_remove_volume", volume_name=name[:-2], force=force)
        assert result.is_error or result.data == {"name": name[:-2], "removed": False}
    assert code_of(run("docker_inspect_volume", volume_name=name[:-2])) == "NOT_FOUND"
    assert raw.inspect_volume(name)["Name"] == name


@pytest.mark.parametrize("force", [False, True])
def test_a_volume_in_use_stays_and_its_containers_too(
    run: Run, raw: docker.APIClient, label: str, made: Callable[..., str], name: str, *, force: bool
) -> None:
    made(name)
    key, _, value = label.partition("=")
    host = raw.create_host_config(binds=[f"{name}:/data"])
    user = raw.create_container(
        IMAGE, ["true"], name=f"{name}-user", labels={key: value}, volumes=["/data"], host_config=host
    )["Id"]
    result = run("docker_remove_volume", volume_name=name, force=force)
    assert code_of(result) == "IN_USE"
    assert f"{name}-user" in result.text
    assert data_of(run("docker_inspect_volume", volume_name=name))["used_by"] == [f"{name}-user"]
    assert raw.inspect_container(user)["Id"] == user
    raw.remove_container(user)


def test_force_forgets_what_is_not_there_or_says_so(run: Run, name: str, *, is_podman: bool) -> None:
    result = run("docker_remove_volume", volume_name=name, force=True)
    if is_podman:
        assert code_of(result) == "NOT_FOUND"
    else:
        assert data_of(result) == {"name": name, "removed": False}


def test_a_prune_takes_anonymous_volumes_and_leaves_named_ones(
    run: Run, raw: docker.APIClient, label: str, made: Callable[..., str], name: str
) -> None:
    made(name)
    anonymous = {made(), made()}
    listed = data_of(run("docker_list_volumes", filters={"label": label}))["volumes"]
    assert {row["name"] for row in listed if row["anonymous"]} == anonymous
    pruned = data_of(run("docker_prune_volumes", filters={"label": label}))
    assert set(pruned["removed"]) == anonymous
    assert pruned["reclaimed_bytes"] >= 0
    assert left(raw, label) == {name}


def test_a_prune_of_all_takes_named_volumes_too(
    run: Run, raw: docker.APIClient, label: str, made: Callable[..., str], name: str
) -> None:
    made(name)
    made(name + "-2", keep="1")
    pruned = data_of(run("docker_prune_volumes", all=True, filters={"label": label, "label!": "keep"}))
    assert pruned["removed"] == [name]
    assert left(raw, label) == {name + "-2"}


def test_a_prune_leaves_what_a_container_uses(
    run: Run, raw: docker.APIClient, label: str, made: Callable[..., str]
) -> None:
    used = made()
    key, _, value = label.partition("=")
    host = raw.create_host_config(binds=[f"{used}:/data"])
    user = raw.create_container(IMAGE, ["true"], labels={key: value}, volumes=["/data"], host_config=host)["Id"]
    assert data_of(run("docker_prune_volumes", filters={"label": label}))["removed"] == []
    assert left(raw, label) == {used}
    raw.remove_container(user)


def test_the_bytes_that_a_prune_freed_are_told(
    run: Run, raw: docker.APIClient, label: str, made: Callable[..., str]
) -> None:
    full = made()
    key, _, value = label.partition("=")
    host = raw.create_host_config(binds=[f"{full}:/data"])
    command = ["dd", "if=/dev/zero", "of=/data/x", "bs=1k", "count=100"]
    writer = raw.create_container(IMAGE, command, labels={key: value}, volumes=["/data"], host_config=host)["Id"]
    raw.start(writer)
    assert raw.wait(writer, timeout=20)["StatusCode"] == 0
    raw.remove_container(writer)
    pruned = data_of(run("docker_prune_volumes", filters={"label": label}))
    assert pruned["removed"] == [full]
    assert pruned["reclaimed_bytes"] >= 100 * 1_024
