"""The tools for volumes."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

HEX = "ab" * 32
OTHER_HEX = "cd" * 32
MARK = {"com.docker.volume.anonymous": ""}


def volume(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "Name": name,
        "Driver": "local",
        "CreatedAt": "2026-01-02T03:04:05Z",
        "Scope": "local",
        "Mountpoint": f"/var/lib/docker/volumes/{name}/_data",
        "Options": None,
        "Labels": labels,
    }


def holds(engine: FakeEngine, *volumes: dict[str, Any]) -> None:
    engine.on("GET", "/volumes", {"Volumes": list(volumes) or None, "Warnings": None})


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_docker.engine.Connected.is_podman", True)


def test_a_list_is_one_request_and_tells_who_has_no_name(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data", {"com.docker.compose.project": "shop"}), volume(HEX))
    assert data_of(run("docker_list_volumes", filters={"dangling": True})) == {
        "volumes": [
            {
                "name": "data",
                "driver": "local",
                "anonymous": False,
                "created": "2026-01-02T03:04:05Z",
                "compose_project": "shop",
            },
            {"name": HEX, "driver": "local", "anonymous": True, "created": "2026-01-02T03:04:05Z"},
        ]
    }
    (request,) = engine.requests
    assert request.query["filters"] == '{"dangling": ["true"]}'


def test_an_engine_without_volumes_lists_none(engine: FakeEngine, run: Run) -> None:
    holds(engine)
    assert data_of(run("docker_list_volumes")) == {"volumes": []}


def test_an_engine_that_marks_anonymous_volumes_is_believed(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.51"
    holds(engine, volume(HEX), volume(OTHER_HEX, MARK), volume("data", MARK))
    listed = data_of(run("docker_list_volumes"))["volumes"]
    assert [row["anonymous"] for row in listed] == [False, True, False]


def test_an_inspect_names_the_containers_that_use_the_volume(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/volumes/data", volume("data", {"a": "b"}))
    engine.on("GET", "/containers/json", [{"Id": "1" * 64, "Names": ["/web"]}, {"Id": "2" * 64, "Names": None}])
    details = data_of(run("docker_inspect_volume", volume_name="data"))
    assert details["used_by"] == ["222222222222", "web"]
    assert details["labels"] == {"a": "b"}
    assert "raw" not in details
    (asked,) = engine.sent("GET", "/containers/json")
    assert asked.query["filters"] == '{"volume": ["data"]}'
    assert asked.query["all"] == "1"


def test_an_inspect_adds_the_whole_answer_when_asked(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/volumes/data", volume("data"))
    engine.on("GET", "/containers/json", [])
    assert data_of(run("docker_inspect_volume", volume_name="data", raw=True))["raw"]["Scope"] == "local"


def test_the_beginning_of_a_name_is_not_the_name(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/volumes/dat", volume("data"))
    assert code_of(run("docker_inspect_volume", volume_name="dat")) == "NOT_FOUND"


@pytest.mark.parametrize("tool", ["docker_inspect_volume", "docker_remove_volume"])
@pytest.mark.parametrize("name", ["../networks/n", "a/b", "", ".", "..", "a?force=1"])
def test_an_identifier_that_would_leave_its_path_is_refused(engine: FakeEngine, run: Run, tool: str, name: str) -> None:
    assert code_of(run(tool, volume_name=name)) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def test_a_volume_is_created(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data2"))
    engine.on("POST", "/volumes/create", volume("data", {"a": "b"}), 201)
    answer = data_of(run("docker_create_volume", name="data", labels={"a": "b"}))
    assert (answer["created"], answer["labels"]) == (True, {"a": "b"})
    (request,) = engine.sent("POST", ".*")
    assert request.body == {"Name": "data", "Driver": "local", "Labels": {"a": "b"}}


def test_a_volume_that_existed_is_not_called_created(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data", {"old": "1"}))
    engine.on("POST", "/volumes/create", volume("data", {"old": "1"}), 201)
    answer = data_of(run("docker_create_volume", name="data", labels={"new": "2"}))
    assert (answer["created"], answer["labels"]) == (False, {"old": "1"})


def test_an_engine_that_takes_another_volume_for_it_is_caught(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data"))
    engine.on("POST", "/volumes/create", volume("data"), 201)
    assert code_of(run("docker_create_volume", name="dat")) == "NAME_TAKEN"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"driver": "nfs"}, "volume driver 'nfs'"),
        ({"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}}, "'device=/etc'"),
        ({"driver_opts": ["type=overlay"]}, "'type=overlay'"),
    ],
)
def test_drivers_and_options_are_for_the_policy_to_allow(
    engine: FakeEngine, run: Run, arguments: dict[str, Any], said: str
) -> None:
    result = run("docker_create_volume", name="data", **arguments)
    assert code_of(result) == "NOT_PERMITTED"
    assert said in result.text
    assert engine.requests == []


def test_a_name_that_a_prune_would_take_for_anonymous_is_refused(engine: FakeEngine, run: Run) -> None:
    assert code_of(run("docker_create_volume", name=HEX)) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def removable(engine: FakeEngine, *users: str) -> None:
    holds(engine, volume("data"), volume("data-2"))
    engine.on("GET", "/containers/json", [{"Id": "1" * 64, "Names": [f"/{name}"]} for name in users])
    engine.on("DELETE", "/volumes/.*", status=204)


def test_a_volume_is_removed(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert data_of(run("docker_remove_volume", volume_name="data")) == {"name": "data", "removed": True}
    (request,) = engine.sent("DELETE", "/volumes/data")
    assert request.query == {}


def test_force_reaches_the_engine(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    run("docker_remove_volume", volume_name="data", force=True)
    (request,) = engine.sent("DELETE", "/volumes/data")
    assert request.query == {"force": "true"}


def test_a_volume_that_is_not_there_is_not_found(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert code_of(run("docker_remove_volume", volume_name="dat")) == "NOT_FOUND"
    assert engine.sent("DELETE", ".*") == []


def test_with_force_an_engine_forgets_what_it_lost_and_nothing_is_called_removed(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert data_of(run("docker_remove_volume", volume_name="lost", force=True)) == {"name": "lost", "removed": False}
    assert len(engine.sent("DELETE", "/volumes/lost")) == 1


@pytest.mark.usefixtures("podman")
def test_podman_is_never_asked_to_remove_a_beginning_of_a_name(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert code_of(run("docker_remove_volume", volume_name="dat", force=True)) == "NOT_FOUND"
    assert engine.sent("DELETE", ".*") == []


@pytest.mark.parametrize("force", [False, True])
def test_a_volume_in_use_stays_and_its_containers_are_named(engine: FakeEngine, run: Run, *, force: bool) -> None:
    removable(engine, "web", "db")
    result = run("docker_remove_volume", volume_name="data", force=force)
    assert code_of(result) == "IN_USE"
    assert "used by db, web;" in result.text
    assert engine.sent("DELETE", ".*") == []


def test_only_the_first_of_many_containers_are_named(engine: FakeEngine, run: Run) -> None:
    removable(engine, *(f"c{number:02}" for number in range(23)))
    assert "c19 and 3 more;" in run("docker_remove_volume", volume_name="data").text


def pruned(engine: FakeEngine, run: Run, **arguments: Any) -> Any:
    engine.api = "1.51"
    engine.on("POST", "/volumes/prune", {"VolumesDeleted": [HEX], "SpaceReclaimed": 7})
    assert data_of(run("docker_prune_volumes", **arguments)) == {"removed": [HEX], "reclaimed_bytes": 7}
    (request,) = engine.requests
    return json.loads(request.query["filters"]) if request.query else {}


def test_a_new_engine_prunes_anonymous_volumes_itself(engine: FakeEngine, run: Run) -> None:
    assert pruned(engine, run) == {}


def test_a_new_engine_is_told_when_named_ones_are_meant(engine: FakeEngine, run: Run) -> None:
    assert pruned(engine, run, all=True, filters={"label": ["a=b", "c"], "label!": "keep"}) == {
        "label": ["a=b", "c"],
        "label!": ["keep"],
        "all": ["true"],
    }


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"all": "true"}, "'all' can't narrow a prune"),
        ({"dangling": "false"}, "'dangling'"),
        ({"until": "24h"}, "'until'"),
        ({"label": []}, "'label' has no value"),
        ({"label": ""}, "'label' has no value"),
        ({"label!": ["a", "b"]}, "only one label!"),
    ],
)
@pytest.mark.parametrize("api", ["1.41", "1.51"])
def test_a_filter_that_would_widen_a_prune_is_refused(
    engine: FakeEngine, run: Run, api: str, filters: dict[str, Any], said: str
) -> None:
    engine.api = api
    result = run("docker_prune_volumes", filters=filters)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert said in result.text
    assert engine.requests == []


def test_the_argument_that_is_gone_says_what_replaced_it(run: Run) -> None:
    assert "all=true removes named volumes too" in run("docker_prune_volumes", force_all=True).text


def sizes(engine: FakeEngine, **known: int) -> None:
    volumes = [{"Name": name, "UsageData": {"Size": size, "RefCount": 0}} for name, size in known.items()]
    engine.on("GET", "/system/df", {"Volumes": volumes})


def deleted(engine: FakeEngine) -> list[str]:
    return [request.path.rpartition("/")[2] for request in engine.sent("DELETE", ".*")]


def test_an_old_engine_s_own_prune_is_never_used_since_it_takes_named_volumes(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data"), volume(HEX), volume("ab" * 31), volume(OTHER_HEX))
    sizes(engine, **{HEX: 5, OTHER_HEX: 6})
    engine.on("DELETE", "/volumes/.*", status=204)
    assert data_of(run("docker_prune_volumes")) == {"removed": [HEX, OTHER_HEX], "reclaimed_bytes": 11}
    assert deleted(engine) == [HEX, OTHER_HEX]
    assert engine.sent("POST", ".*") == []
    (listing,) = engine.sent("GET", "/volumes")
    assert listing.query["filters"] == '{"dangling": ["true"]}'


@pytest.mark.usefixtures("podman")
def test_podman_s_own_prune_is_never_used_either(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.44"
    holds(engine, volume("data"), volume(HEX))
    sizes(engine, **{HEX: 5})
    engine.on("DELETE", "/volumes/.*", status=204)
    assert data_of(run("docker_prune_volumes"))["removed"] == [HEX]
    assert deleted(engine) == [HEX]


def test_a_new_engine_spoken_to_in_an_old_version_loses_only_what_it_marks(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.api = "1.51"
    monkeypatch.setenv("DOCKER_API_VERSION", "1.41")
    holds(engine, volume(HEX), volume(OTHER_HEX, MARK))
    sizes(engine)
    engine.on("DELETE", "/volumes/.*", status=204)
    assert data_of(run("docker_prune_volumes")) == {"removed": [OTHER_HEX]}
    assert deleted(engine) == [OTHER_HEX]


def test_named_volumes_go_with_all(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data"), volume(HEX))
    sizes(engine, data=1, **{HEX: -1})
    engine.on("DELETE", "/volumes/.*", status=204)
    assert data_of(run("docker_prune_volumes", all=True)) == {"removed": ["data", HEX]}
    assert deleted(engine) == ["data", HEX]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"label": "a"}, ["a1", "a2", "ab"]),
        ({"label": "a=1"}, ["a1", "ab"]),
        ({"label": ["a=1", "b"]}, ["ab"]),
        ({"label!": "a"}, ["b", "none"]),
        ({"label!": "a=1"}, ["a2", "b", "none"]),
        ({"label": "a", "label!": "b=2"}, ["a1", "a2"]),
        ({"label": "absent"}, []),
    ],
)
def test_label_filters_mean_on_an_old_engine_what_they_mean_on_a_new_one(
    engine: FakeEngine, run: Run, filters: dict[str, Any], left: list[str]
) -> None:
    labels = {"a1": {"a": "1"}, "a2": {"a": "2"}, "ab": {"a": "1", "b": "2"}, "b": {"b": "2"}, "none": None}
    holds(engine, *(volume(name, each) for name, each in labels.items()))
    sizes(engine)
    engine.on("DELETE", "/volumes/.*", status=204)
    assert data_of(run("docker_prune_volumes", all=True, filters=filters))["removed"] == left
    assert deleted(engine) == left


def test_nothing_to_prune_asks_for_no_sizes(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data"))
    assert data_of(run("docker_prune_volumes")) == {"removed": [], "reclaimed_bytes": 0}
    assert [request.path for request in engine.requests] == ["/volumes"]


def test_a_volume_that_can_not_be_removed_does_not_hide_those_that_were(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume(HEX), volume(OTHER_HEX))
    sizes(engine, **{HEX: 5, OTHER_HEX: 6})
    engine.on("DELETE", "/volumes/.*", status=204)
    engine.on("DELETE", f"/volumes/{HEX}", {"message": "remove: volume is in use"}, 409)
    answer = data_of(run("docker_prune_volumes"))
    assert (answer["removed"], answer["reclaimed_bytes"]) == ([OTHER_HEX], 6)
    assert answer["failed"][HEX].startswith("[IN_USE] remove: volume is in use;")


def test_a_prune_that_runs_out_of_time_says_what_it_removed(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, blocked: Callable[[Request], Any]
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_prune_volumes=1")
    holds(engine, volume(HEX), volume(OTHER_HEX), volume("ef" * 32))
    sizes(engine)
    engine.on("DELETE", "/volumes/.*", status=204)
    engine.on("DELETE", f"/volumes/{OTHER_HEX}", blocked)
    result = run("docker_prune_volumes")
    assert code_of(result) == "TIMED_OUT"
    assert "removed before: 1 volumes" in result.text
    assert HEX in result.text
    assert OTHER_HEX not in result.text
    assert deleted(engine) == [HEX, OTHER_HEX]


@pytest.fixture
def blocked() -> Callable[[Request], Any]:
    """An answer that never comes: the connection stays open until the call cuts it."""

    def wait(_: Request) -> Any:
        threading.Event().wait(4)
        return 204, b""

    return wait
