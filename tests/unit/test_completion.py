"""Names that are completed."""

import json
from typing import Any

import pytest

from mcp_docker.completion import MOST_VALUES
from mcp_docker.tool import Kind
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

LISTED: dict[str, tuple[str, Any]] = {
    "container_names": ("/containers/json", [{"Names": ["/web", "/other/web"]}, {"Names": ["/db"]}, {"Names": None}]),
    "image_names": (
        "/images/json",
        [{"RepoTags": ["web:1", "db:2"]}, {"RepoTags": None}, {"RepoTags": ["<none>:<none>"]}],
    ),
    "network_names": ("/networks", [{"Name": "web"}, {"Name": "db"}]),
    "volume_names": ("/volumes", {"Volumes": [{"Name": "web"}, {"Name": "db"}]}),
}


@pytest.mark.parametrize("name", LISTED)
def test_names_that_begin_as_was_begun_come_in_order(engine: FakeEngine, run: Run, name: str) -> None:
    path, listed = LISTED[name]
    engine.on("GET", path, listed)
    everything = data_of(run(name, kind=Kind.COMPLETION, prefix=""))
    assert [value.partition(":")[0] for value in everything["values"]] == ["db", "web"]
    assert everything["more"] is False
    begun = data_of(run(name, kind=Kind.COMPLETION, prefix="we"))
    assert [value.partition(":")[0] for value in begun["values"]] == ["web"]
    assert data_of(run(name, kind=Kind.COMPLETION, prefix="x"))["values"] == []


def test_an_engine_without_volumes_has_no_names_of_them(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/volumes", {"Volumes": None})
    assert data_of(run("volume_names", kind=Kind.COMPLETION, prefix=""))["values"] == []


def test_the_engine_chooses_the_containers_and_no_letter_of_the_prefix_is_a_pattern(
    engine: FakeEngine, run: Run
) -> None:
    engine.on("GET", "/containers/json", [])
    run("container_names", kind=Kind.COMPLETION, prefix="a.b|.*")
    (asked,) = engine.sent("GET", "/containers/json")
    assert json.loads(asked.query["filters"]) == {"name": [r"^/?a\.b\|\.\*"]}
    assert asked.query["limit"] == str(MOST_VALUES + 1)
    assert asked.query["all"] == "1"


def test_more_names_than_the_protocol_takes_are_said_to_be_more(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [{"Names": [f"/c{number:03}"]} for number in range(MOST_VALUES + 1)])
    found = data_of(run("container_names", kind=Kind.COMPLETION, prefix="c"))
    assert len(found["values"]) == MOST_VALUES
    assert found["more"] is True


def test_names_of_what_the_caller_may_not_list_are_not_completed(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_DENIED_TOOLS", "docker_list_containers")
    assert code_of(run("container_names", kind=Kind.COMPLETION, prefix="")) == "RESOURCE_NOT_AVAILABLE"
    assert engine.requests == []
