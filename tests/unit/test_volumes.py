"""The tools for volumes."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mcp_docker import pipeline
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
def podman(engine: FakeEngine) -> None:
    engine.be_podman()


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
    assert code_of(result) == "VOLUME_NOT_ALLOWED"
    assert said in result.text
    assert engine.requests == []


def test_a_name_that_a_prune_would_take_for_anonymous_is_refused(engine: FakeEngine, run: Run) -> None:
    assert code_of(run("docker_create_volume", name=HEX)) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def removable(engine: FakeEngine, *users: str) -> None:
    holds(engine, volume("data"), volume("data-2"))
    engine.on("GET", "/volumes/data", volume("data"))
    engine.on("GET", "/containers/json", [{"Id": "1" * 64, "Names": [f"/{name}"]} for name in users])
    engine.on("DELETE", "/volumes/.*", status=204)


def test_a_volume_is_removed(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert data_of(run("docker_remove_volume", volume_name="data")) == {"name": "data", "removed": True}
    (request,) = engine.sent("DELETE", "/volumes/data")
    assert request.query == {}


def test_a_dry_run_of_a_removal_only_reads(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    sizes(engine, data=7)
    answer = data_of(run("docker_remove_volume", volume_name="data", dry_run=True))
    lost = {"kind": "volume", "id": "data", "name": "data", "about": "used by no container", "bytes": 7}
    assert answer == {"would_lose": [lost], "would_free_bytes": 7}
    assert {request.method for request in engine.requests} == {"GET"}


def test_the_driver_is_told_where_it_is_a_plugin(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    holds(engine, volume("data") | {"Driver": "nfs"})
    (lost,) = data_of(run("docker_remove_volume", volume_name="data", dry_run=True))["would_lose"]
    assert lost["about"] == "used by no container, driver nfs"


def test_force_reaches_the_engine(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    run("docker_remove_volume", volume_name="data", force=True)
    (request,) = engine.sent("DELETE", "/volumes/data")
    assert request.query == {"force": "true"}


def test_a_volume_that_is_not_there_is_not_found(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert code_of(run("docker_remove_volume", volume_name="dat")) == "NOT_FOUND"
    assert engine.sent("DELETE", ".*") == []


def test_a_volume_that_another_has_taken_the_place_of_stays(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    engine.on("GET", "/volumes/data", volume("data") | {"CreatedAt": "2026-02-02T00:00:00Z"})
    result = run("docker_remove_volume", volume_name="data")
    assert code_of(result) == "CONFLICT"
    assert "volume data was made meanwhile" in result.text
    assert engine.sent("DELETE", ".*") == []


@pytest.mark.usefixtures("podman")
def test_a_volume_that_vanished_is_not_mistaken_for_one_whose_name_begins_with_its_name(
    engine: FakeEngine, run: Run
) -> None:
    removable(engine)
    engine.on("GET", "/volumes/data", volume("data-2"))
    assert code_of(run("docker_remove_volume", volume_name="data")) == "NOT_FOUND"
    assert engine.sent("DELETE", ".*") == []


def test_with_force_an_engine_forgets_what_it_lost_and_nothing_is_called_removed(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    assert data_of(run("docker_remove_volume", volume_name="lost", force=True)) == {"name": "lost", "removed": False}
    (request,) = engine.sent("DELETE", "/volumes/lost")
    assert request.query == {"force": "true"}


def test_a_volume_that_is_made_meanwhile_is_not_taken_for_a_lost_one(engine: FakeEngine, run: Run) -> None:
    removable(engine)
    listings = iter([[], [volume("lost")]])
    engine.on("GET", "/volumes", lambda _: {"Volumes": next(listings)})
    assert code_of(run("docker_remove_volume", volume_name="lost", force=True)) == "CONFLICT"
    assert engine.sent("DELETE", ".*") == []


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


def prunes(engine: FakeEngine, *volumes: dict[str, Any]) -> None:
    holds(engine, *volumes)
    for each in volumes:
        engine.on("GET", f"/volumes/{each['Name']}", each)
    engine.on("DELETE", "/volumes/.*", status=204)


def deleted(engine: FakeEngine) -> list[str]:
    return [request.path.rpartition("/")[2] for request in engine.sent("DELETE", ".*")]


def test_a_prune_takes_anonymous_volumes_one_by_one(engine: FakeEngine, run: Run) -> None:
    prunes(engine, volume("data"), volume(OTHER_HEX), volume("ab" * 31), volume(HEX))
    sizes(engine, **{HEX: 5, OTHER_HEX: 6})
    assert data_of(run("docker_prune_volumes")) == {"removed": [HEX, OTHER_HEX], "reclaimed_bytes": 11}
    assert deleted(engine) == [HEX, OTHER_HEX]
    assert engine.sent("POST", ".*") == []
    (listing,) = engine.sent("GET", "/volumes")
    assert listing.query["filters"] == '{"dangling": ["true"]}'


@pytest.mark.usefixtures("podman")
def test_a_prune_does_the_same_on_podman(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.44"
    prunes(engine, volume("data"), volume(HEX))
    assert data_of(run("docker_prune_volumes"))["removed"] == [HEX]
    assert deleted(engine) == [HEX]


@pytest.mark.parametrize("spoken", ["1.41", ""])
def test_a_new_engine_loses_only_what_it_marks(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, spoken: str
) -> None:
    engine.api = "1.51"
    monkeypatch.setenv("DOCKER_API_VERSION", spoken)
    prunes(engine, volume(HEX), volume(OTHER_HEX, MARK))
    assert data_of(run("docker_prune_volumes")) == {"removed": [OTHER_HEX]}
    assert deleted(engine) == [OTHER_HEX]


def test_a_dry_run_of_a_prune_only_reads(engine: FakeEngine, run: Run) -> None:
    prunes(engine, volume("data"), volume(HEX))
    sizes(engine, **{HEX: 5})
    answer = data_of(run("docker_prune_volumes", dry_run=True))
    assert [lost["name"] for lost in answer["would_lose"]] == [HEX]
    assert answer["would_free_bytes"] == 5
    assert {request.method for request in engine.requests} == {"GET"}


def test_named_volumes_go_with_all(engine: FakeEngine, run: Run) -> None:
    prunes(engine, volume("data"), volume(HEX))
    sizes(engine, data=1, **{HEX: -1})
    assert data_of(run("docker_prune_volumes", all=True)) == {"removed": [HEX, "data"]}
    assert deleted(engine) == [HEX, "data"]


@pytest.mark.parametrize("more", [{"Driver": "nfs"}, {"Options": {"type": "tmpfs"}}])
def test_volumes_that_the_engine_does_not_store_itself_stay_as_they_do_in_its_own_prune(
    engine: FakeEngine, run: Run, more: dict[str, Any]
) -> None:
    prunes(engine, volume("data") | more, volume("rest"))
    assert data_of(run("docker_prune_volumes", all=True))["removed"] == ["rest"]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"label": "a"}, ["a1", "a2", "ab"]),
        ({"label": ["a=1", "b"]}, ["ab"]),
        ({"label!": "a"}, ["b", "none"]),
        ({"label": "absent"}, []),
    ],
)
def test_label_filters_narrow_a_prune(engine: FakeEngine, run: Run, filters: dict[str, Any], left: list[str]) -> None:
    labels = {"a1": {"a": "1"}, "a2": {"a": "2"}, "ab": {"a": "1", "b": "2"}, "b": {"b": "2"}, "none": None}
    prunes(engine, *(volume(name, each) for name, each in labels.items()))
    assert data_of(run("docker_prune_volumes", all=True, filters=filters))["removed"] == left
    assert deleted(engine) == left


def test_a_prune_of_nothing_is_one_request(engine: FakeEngine, run: Run) -> None:
    holds(engine, volume("data"))
    assert data_of(run("docker_prune_volumes")) == {"removed": [], "reclaimed_bytes": 0}
    assert [request.path for request in engine.requests] == ["/volumes"]


def test_a_volume_that_can_not_be_removed_does_not_hide_those_that_were(engine: FakeEngine, run: Run) -> None:
    prunes(engine, volume(HEX), volume(OTHER_HEX), volume("ef" * 32))
    sizes(engine, **{HEX: 5, OTHER_HEX: 6})
    engine.on("DELETE", f"/volumes/{HEX}", {"message": "remove: volume is in use"}, 409)
    engine.on("GET", f"/volumes/{'ef' * 32}", {"message": "no such volume"}, 404)
    answer = data_of(run("docker_prune_volumes"))
    assert (answer["removed"], answer["reclaimed_bytes"]) == ([OTHER_HEX], 6)
    assert answer["failed"][HEX].startswith("[IN_USE] remove: volume is in use;")
    assert answer["failed"]["ef" * 32].startswith("[NOT_FOUND]")


def test_why_a_volume_stayed_is_told_whatever_its_name_is(engine: FakeEngine, run: Run) -> None:
    prunes(engine, volume("app-secret"), volume("db-password"))
    engine.on("DELETE", "/volumes/app-secret", {"message": "remove: volume is in use"}, 409)
    engine.on("DELETE", "/volumes/db-password", {"message": "mount of tcp://me:hunter2@nas/x is busy"}, 500)
    failed = data_of(run("docker_prune_volumes", all=True))["failed"]
    assert failed["app-secret"].startswith("[IN_USE] remove: volume is in use;")
    assert "tcp://me:[REDACTED]@nas/x is busy" in failed["db-password"]


def test_a_prune_leaves_a_volume_that_was_made_meanwhile(engine: FakeEngine, run: Run) -> None:
    prunes(engine, volume("data"))
    engine.on("GET", "/volumes/data", volume("data") | {"CreatedAt": "2026-02-02T00:00:00Z"})
    answer = data_of(run("docker_prune_volumes", all=True))
    assert answer["removed"] == []
    assert answer["failed"]["data"].startswith("[CONFLICT] volume data was made meanwhile")
    assert deleted(engine) == []


def test_one_call_takes_no_more_than_can_be_looked_at(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_docker.tools.pruning.MOST", 2)
    prunes(engine, *(volume(f"v{number}") for number in range(4)))
    assert data_of(run("docker_prune_volumes", all=True))["removed"] == ["v0", "v1"]


def test_a_prune_that_runs_out_of_time_says_what_it_removed(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, blocked: Callable[[Request], Any]
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_prune_volumes=1")
    monkeypatch.setattr(pipeline, "GRACE_SECONDS", 10.0)  # on a busy machine tidying may take longer than usual
    prunes(engine, volume(HEX), volume(OTHER_HEX), volume("ef" * 32))
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
        threading.Event().wait(20)
        return 204, b""

    return wait
