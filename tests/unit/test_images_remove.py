"""docker_remove_image and docker_prune_images."""

import json
from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run
from tests.unit.test_images_transfer import podman

ID = "sha256:" + "4f" * 32
REMOVED = [{"Untagged": "app:v1"}, {"Deleted": ID}, {"Deleted": ""}]


def test_a_removal_reports_what_the_engine_removed(engine: FakeEngine, run: Run) -> None:
    engine.on("DELETE", "/images/app:v1", REMOVED)
    answer = data_of(run("docker_remove_image", image="app:v1", force=True, noprune=True))
    assert answer == {"untagged": ["app:v1"], "deleted": [ID]}
    (request,) = engine.requests
    assert request.query == {"force": "True", "noprune": "True"}


@pytest.mark.parametrize(
    ("message", "code", "advice"),
    [
        (
            "conflict: unable to remove repository reference (must force) - container 1 is using its referenced image",
            "IN_USE",
            "docker_list_containers",
        ),
        (
            "conflict: unable to delete 1 (must be forced) - image is referenced in multiple repositories",
            "CONFLICT",
            "force=true",
        ),
        ("conflict: unable to delete 1 (cannot be forced) - image has dependent child images", "IN_USE", "built on it"),
    ],
)
def test_a_removal_that_is_refused_says_what_to_do(
    engine: FakeEngine, run: Run, message: str, code: str, advice: str
) -> None:
    engine.on("DELETE", "/images/.*", {"message": message}, 409)
    result = run("docker_remove_image", image="app")
    assert code_of(result) == code
    assert advice in result.text


@pytest.mark.parametrize(("arguments", "dangling"), [({}, "true"), ({"all": True}, "false")])
def test_a_prune_keeps_tagged_images_unless_all_are_meant(
    engine: FakeEngine, run: Run, arguments: dict[str, Any], dangling: str
) -> None:
    engine.on("POST", "/images/prune", {"ImagesDeleted": REMOVED, "SpaceReclaimed": 9})
    answer = data_of(run("docker_prune_images", filters={"until": "24h", "label": ["a=b"]}, **arguments))
    assert answer == {"untagged": ["app:v1"], "deleted": [ID], "bytes_reclaimed": 9}
    (request,) = engine.requests
    assert json.loads(request.query["filters"]) == {"until": ["24h"], "label": ["a=b"], "dangling": [dangling]}


def test_a_prune_that_found_nothing_says_so(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/images/prune", {"ImagesDeleted": None, "SpaceReclaimed": None})
    assert data_of(run("docker_prune_images")) == {"untagged": [], "deleted": [], "bytes_reclaimed": 0}


@pytest.mark.parametrize(("name", "advice"), [("dangling", "use all instead"), ("refrence", "there are label, label!")])
def test_a_filter_that_an_engine_might_ignore_is_refused(engine: FakeEngine, run: Run, name: str, advice: str) -> None:
    result = run("docker_prune_images", filters={name: "x"})
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert advice in result.text
    assert engine.requests == []


def test_the_argument_that_earlier_versions_had_is_refused_with_what_replaced_it(engine: FakeEngine, run: Run) -> None:
    assert "all=true prunes tagged images too" in run("docker_prune_images", force_all=True).text
    assert engine.requests == []


def test_podman_prunes_all_through_its_own_api(engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    podman(monkeypatch)
    removed = [{"Id": "4f", "Err": None, "Size": 7}, {"Id": "5f", "Err": "in use"}, {"Id": "6f"}]
    engine.on("POST", "/libpod/images/prune", removed)
    answer = data_of(run("docker_prune_images", all=True, filters={"label": "a=b"}))
    assert answer == {"untagged": [], "deleted": ["4f", "6f"], "bytes_reclaimed": 7}
    (request,) = engine.requests
    assert request.query == {"all": "true", "filters": '{"label": ["a=b"]}'}


def test_several_label_filters_are_refused_on_podman_which_would_remove_more(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman(monkeypatch)
    result = run("docker_prune_images", filters={"label": ["a", "b"]})
    assert code_of(result) == "UNSUPPORTED"
    assert engine.requests == []
