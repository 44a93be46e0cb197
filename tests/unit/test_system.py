"""The tools for the engine itself."""

import json
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import docker
import pytest

import mcp_docker
from mcp_docker import pipeline
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

HEX = "ab" * 32
PAST = datetime.fromtimestamp(int(time.time()) - 600, UTC)


def test_version_tells_of_both_ends_and_how_they_met(engine: FakeEngine, run: Run) -> None:
    engine.on(
        "GET",
        "/version",
        {
            "Version": "20.10.24",
            "ApiVersion": "1.41",
            "MinAPIVersion": "1.12",
            "Os": "linux",
            "Arch": "amd64",
            "KernelVersion": "6.1",
            "Components": [{"Name": "Engine", "Version": "20.10.24", "Details": {}}],
        },
    )
    assert data_of(run("docker_version")) == {
        "client": {
            "mcp_docker": mcp_docker.__version__,
            "docker_py": docker.__version__,
            "api_version": "1.41",
        },
        "engine": {
            "version": "20.10.24",
            "api_version": "1.41",
            "min_api_version": "1.12",
            "os": "linux",
            "arch": "amd64",
            "kernel": "6.1",
            "components": [{"name": "Engine", "version": "20.10.24"}],
            "address": engine.address,
            "found_by": "DOCKER_HOST",
        },
    }


def event(number: float, action: str = "start", **attributes: str) -> dict[str, Any]:
    return {
        "Type": "container",
        "Action": action,
        "Actor": {"ID": "4f1c", "Attributes": {"name": "web", "secret.label": "x"} | attributes},
        "time": int(number),
        "timeNano": int(number * 1_000_000_000),
    }


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def emits(engine: FakeEngine, *events: dict[str, Any]) -> None:
    engine.on("GET", "/_ping", b"OK")
    engine.on("GET", "/events", lines(*events))


def test_events_are_of_the_last_hour_until_now_and_end_by_themselves(engine: FakeEngine, run: Run) -> None:
    emits(engine)
    before = time.time()
    assert data_of(run("docker_events"))["events"] == []
    (request,) = engine.sent("GET", "/events")
    assert float(request.query["since"]) == pytest.approx(before - 3_600, abs=5)
    assert float(request.query["until"]) == pytest.approx(before, abs=5)
    assert request.query["filters"] == "{}"


def test_an_event_says_what_happened_to_what_and_when(engine: FakeEngine, run: Run) -> None:
    emits(
        engine,
        event(1_700_000_000.25, "die", image="nginx", exitCode="137", **{"com.docker.compose.service": "web"}),
        {"Type": "network", "Action": "connect", "Actor": {"ID": "n1", "Attributes": {"container": "4f1c"}}, "time": 5},
        {"status": "pull", "id": "nginx:1", "Type": "image", "Action": "", "Actor": None, "time": 6},
    )
    assert data_of(run("docker_events", since=0, until=1_700_000_001, filters={"type": "container"})) == {
        "since": "1970-01-01T00:00:00.000Z",
        "until": "2023-11-14T22:13:21.000Z",
        "events": [
            {
                "time": "2023-11-14T22:13:20.250Z",
                "type": "container",
                "action": "die",
                "id": "4f1c",
                "name": "web",
                "attributes": {"image": "nginx", "exit_code": "137", "compose_service": "web"},
            },
            {
                "time": "1970-01-01T00:00:05.000Z",
                "type": "network",
                "action": "connect",
                "id": "n1",
                "attributes": {"container": "4f1c"},
            },
            {"time": "1970-01-01T00:00:06.000Z", "type": "image", "action": "pull", "id": "nginx:1", "attributes": {}},
        ],
        "untrusted": True,
    }
    (request,) = engine.sent("GET", "/events")
    assert request.query["filters"] == '{"type": ["container"]}'


def test_the_newest_events_are_kept_and_the_cut_is_said(engine: FakeEngine, run: Run) -> None:
    emits(engine, *(event(1_700_000_000 + number) for number in range(5)))
    answer = data_of(run("docker_events", since=0, limit=2))
    assert [each["time"][-7:] for each in answer["events"]] == ["23.000Z", "24.000Z"]
    assert answer["truncated"]["what"] == "Showing the newest 2 of 5 events"


def test_an_answer_over_the_limit_loses_the_oldest_events(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "4096")
    emits(engine, *(event(1_700_000_000 + number) for number in range(50)))
    answer = data_of(run("docker_events", since=0))
    assert 0 < len(answer["events"]) < 50
    assert answer["events"][-1]["time"] == "2023-11-14T22:14:09.000Z"


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01T00:00:00Z", True])
def test_a_time_that_is_none_is_refused_rather_than_answered_with_nothing(
    engine: FakeEngine, run: Run, name: str, value: Any
) -> None:
    assert code_of(run("docker_events", **{name: value})) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def test_a_filter_that_engines_would_ignore_is_refused(engine: FakeEngine, run: Run) -> None:
    result = run("docker_events", filters={"contianer": "web"})
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "there is no filter 'contianer': use config, container," in result.text
    assert engine.requests == []


def test_an_end_before_the_beginning_is_refused(engine: FakeEngine, run: Run) -> None:
    emits(engine)
    result = run("docker_events", since="5m", until="1h")
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "since is later than until" in result.text
    assert engine.sent("GET", "/events") == []


def test_a_beginning_in_the_future_is_refused(engine: FakeEngine, run: Run) -> None:
    emits(engine)
    assert code_of(run("docker_events", since=time.time() + 900)) == "INVALID_ARGUMENTS"
    assert engine.sent("GET", "/events") == []


def test_an_end_in_the_future_becomes_now_and_that_is_said(engine: FakeEngine, run: Run) -> None:
    emits(engine)
    answer = data_of(run("docker_events", until="2100-01-01T00:00:00Z"))
    assert answer["note"].startswith("until lies in the future")
    (request,) = engine.sent("GET", "/events")
    assert float(request.query["until"]) == pytest.approx(time.time(), abs=5)


def test_an_engine_whose_clock_is_behind_is_not_waited_for(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.unit.conftest.BaseHTTPRequestHandler.date_time_string", lambda *_: format_datetime(PAST, usegmt=True)
    )
    emits(engine)
    run("docker_events")
    (request,) = engine.sent("GET", "/events")
    assert float(request.query["until"]) == pytest.approx(PAST.timestamp(), abs=1)


def test_a_duration_counts_back_from_the_engine_s_time(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = datetime.fromtimestamp(int(time.time()) - 5_400, UTC)
    monkeypatch.setattr(
        "tests.unit.conftest.BaseHTTPRequestHandler.date_time_string", lambda *_: format_datetime(behind, usegmt=True)
    )
    emits(engine)
    data_of(run("docker_events"))
    data_of(run("docker_events", since="15m", until="5m"))
    data_of(run("docker_events", since=behind.isoformat(), until="0s"))
    asked = [(float(each.query["since"]), float(each.query["until"])) for each in engine.sent("GET", "/events")]
    now = behind.timestamp()
    assert asked == [(now - 3_600, now), (now - 900, now - 300), (now, now)]


def test_a_time_before_1970_is_the_beginning(engine: FakeEngine, run: Run) -> None:
    emits(engine)
    for since in ("0001-01-01T00:00:00+01:00", "1969-12-31T23:59:59.5Z", "99999d", f"{'9' * 400}d"):
        assert data_of(run("docker_events", since=since))["since"] == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("limit", [0, 2_001])
def test_the_number_of_events_is_bounded(run: Run, limit: int) -> None:
    assert code_of(run("docker_events", limit=limit)) == "INVALID_ARGUMENTS"


@pytest.fixture
def podman(engine: FakeEngine) -> None:
    engine.be_podman()


@pytest.mark.usefixtures("podman")
def test_podman_is_not_told_the_end_since_it_would_answer_nothing(engine: FakeEngine, run: Run) -> None:
    late = event(1_700_000_009)
    emits(
        engine, event(1_700_000_000, "died", containerExitCode="1"), event(1_700_000_001, containerExitCode="0"), late
    )
    answer = data_of(run("docker_events", since=0, until=1_700_000_005))
    assert [each["attributes"] for each in answer["events"]] == [{"exit_code": "1"}, {}]
    (request,) = engine.sent("GET", "/events")
    assert request.query["stream"] == "false"
    assert "until" not in request.query


STOPPED, RUNNING = "1" * 64, "2" * 64
IMAGE, OTHER_IMAGE = "sha256:" + "a1" * 32, "sha256:" + "b2" * 32
NET, OTHER_NET = "e" * 64, "f" * 64


def container(container_id: str, name: str, state: str, **more: Any) -> dict[str, Any]:
    networks = {each: {"NetworkID": each} for each in more.pop("networks", [])}
    mounts = [{"Type": "volume", "Name": each} for each in more.pop("volumes", [])]
    return {
        "Id": container_id,
        "Names": [f"/{name}"],
        "State": state,
        "Image": "app",
        "ImageID": "sha256:" + "0" * 64,
        "Created": 1_700_000_000,
        "Labels": {},
        "NetworkSettings": {"Networks": networks},
        "Mounts": [*mounts, {"Type": "bind", "Source": "/srv"}],
    } | more


def network(network_id: str, name: str, **more: Any) -> dict[str, Any]:
    created = "2023-11-14T22:13:20.123456789Z"
    return {"Id": network_id, "Name": name, "Scope": "local", "Driver": "bridge", "Created": created} | more


def image(image_id: str, *tags: str, **more: Any) -> dict[str, Any]:
    return {
        "Id": image_id,
        "RepoTags": list(tags),
        "RepoDigests": [],
        "ParentId": "",
        "Labels": None,
        "Created": 1_700_000_000,
    } | more


def volume(name: str, **more: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Driver": "local",
        "CreatedAt": "2026-01-02T03:04:05Z",
        "Labels": None,
        "Options": None,
    } | more


def record(record_id: str, **more: Any) -> dict[str, Any]:
    return {
        "ID": record_id,
        "Type": "regular",
        "Description": f"step {record_id}",
        "InUse": False,
        "Shared": False,
        "Size": 100,
        "CreatedAt": "2026-01-02T03:04:05Z",
        "LastUsedAt": None,
    } | more


def holds(engine: FakeEngine, **kinds: list[dict[str, Any]]) -> None:
    """What the engine has; removals of all of it succeed."""
    every = kinds.get("volumes", [])
    used = {mount.get("Name") for each in kinds.get("containers", []) for mount in each["Mounts"]}
    engine.on("GET", "/containers/json", kinds.get("containers", []))
    engine.on("GET", "/networks", kinds.get("networks", []))
    engine.on("GET", "/images/json", kinds.get("images", []))
    engine.on(
        "GET",
        "/volumes",
        lambda request: {
            "Volumes": [each for each in every if "dangling" not in str(request.query) or each["Name"] not in used]
        },
    )
    for each in every:
        engine.on("GET", f"/volumes/{each['Name']}", each)
    for each in kinds.get("networks", []):
        engine.on("GET", f"/networks/{each['Id']}", each)
    for each in kinds.get("images", []):
        engine.on("GET", f"/images/{each['Id']}/json", each)
        engine.on("DELETE", f"/images/{each['Id']}", [{"Deleted": each["Id"]}])
    engine.on("DELETE", "/(containers|networks|volumes)/.*", status=204)
    engine.on("POST", "/build/prune", {"CachesDeleted": ["x"], "SpaceReclaimed": 100})
    usage = {
        "Containers": [{"Id": each["Id"], "SizeRw": 10} for each in kinds.get("containers", [])],
        "Images": [{"Id": each["Id"], "Size": 300, "SharedSize": 0} for each in kinds.get("images", [])],
        "Volumes": [{"Name": each["Name"], "UsageData": {"Size": 5_000}} for each in every],
        "BuildCache": kinds.get("records"),
    }
    engine.on("GET", "/system/df", usage)


def something(engine: FakeEngine) -> None:
    """One of each kind that can go, and one of each that can't."""
    holds(
        engine,
        containers=[
            container(STOPPED, "old", "exited", volumes=[HEX], networks=[NET], ImageID=IMAGE),
            container(RUNNING, "web", "running", networks=[OTHER_NET]),
        ],
        networks=[network("0" * 64, "bridge"), network(NET, "unused"), network(OTHER_NET, "used")],
        images=[image(IMAGE), image(OTHER_IMAGE, "app:v1")],
        volumes=[volume(HEX), volume("data")],
        records=[record("r1"), record("r2", InUse=True)],
    )


def changed(engine: FakeEngine) -> list[str]:
    return [f"{request.method} {request.path}" for request in engine.requests if request.method != "GET"]


def test_a_prune_leaves_tagged_images_and_volumes_alone(engine: FakeEngine, run: Run) -> None:
    something(engine)
    assert data_of(run("docker_prune_system")) == {
        "removed": {
            "containers": [STOPPED],
            "networks": ["unused"],
            "volumes": [],
            "images": [IMAGE],
            "build_cache": ["r1"],
        },
        "reclaimed_bytes": {"containers": 10, "images": 300, "build_cache": 100},
        "total_reclaimed_bytes": 410,
    }
    assert changed(engine) == [
        f"DELETE /containers/{STOPPED}",
        f"DELETE /networks/{NET}",
        f"DELETE /images/{IMAGE}",
        "POST /build/prune",
    ]
    (removal,) = engine.sent("DELETE", "/containers/.*")
    assert removal.query == {"v": "False", "link": "False", "force": "False"}
    (cache,) = engine.sent("POST", "/build/prune")
    assert cache.query == {"filters": '{"id": ["^r1$"]}'}


def test_it_is_called_by_its_other_name_too(engine: FakeEngine, run: Run) -> None:
    something(engine)
    assert data_of(run("docker_system_prune"))["total_reclaimed_bytes"] == 410


def test_the_argument_that_is_not_there_says_what_to_call(run: Run) -> None:
    assert "docker_prune_images(all=true)" in run("docker_prune_system", all=True).text


def test_a_dry_run_says_what_would_go_and_only_reads(engine: FakeEngine, run: Run) -> None:
    something(engine)
    answer = data_of(run("docker_prune_system", volumes=True, dry_run=True))
    assert [(lost["kind"], lost["name"], lost["about"], lost["bytes"]) for lost in answer["would_lose"]] == [
        ("container", "old", "exited, of app", 10),
        ("network", "unused", "used by no container", 0),
        ("volume", HEX, "used by no container", 5_000),
        ("image", "<none>", "untagged", 300),
        ("build cache", "step r1", "regular", 100),
    ]
    assert answer["would_free_bytes"] == 5_410
    assert {request.method for request in engine.requests} == {"GET"}


def test_an_engine_that_has_nothing_is_asked_little(engine: FakeEngine, run: Run) -> None:
    holds(engine, networks=[network("0" * 64, "bridge")])
    answer = data_of(run("docker_prune_system"))
    assert (answer["reclaimed_bytes"], answer["total_reclaimed_bytes"]) == ({}, 0)
    assert [request.path for request in engine.requests] == [
        "/containers/json",
        "/networks",
        "/images/json",
        "/system/df",
    ]


@pytest.mark.parametrize(
    ("state", "goes"),
    [
        ("created", True),
        ("exited", True),
        ("dead", True),
        ("running", False),
        ("paused", False),
        ("restarting", False),
        ("removing", False),
    ],
)
def test_only_containers_that_have_stopped_go(engine: FakeEngine, run: Run, state: str, *, goes: bool) -> None:
    holds(engine, containers=[container(STOPPED, "web", state)])
    assert data_of(run("docker_prune_system"))["removed"]["containers"] == [STOPPED] * goes


def test_anonymous_volumes_go_when_asked_and_those_that_only_stopped_containers_use(
    engine: FakeEngine, run: Run
) -> None:
    mine, shared = "cd" * 32, "ef" * 32
    holds(
        engine,
        containers=[
            container(STOPPED, "old", "exited", volumes=[mine, shared, "data"]),
            container(RUNNING, "web", "running", volumes=[shared]),
        ],
        volumes=[volume("data"), volume(shared), volume(mine), volume(HEX), volume("free")],
    )
    answer = data_of(run("docker_prune_system", volumes=True))
    assert answer["removed"]["volumes"] == [HEX, mine]
    assert answer["reclaimed_bytes"] == {"containers": 10, "volumes": 10_000}


def test_without_containers_that_hold_volumes_one_listing_is_enough(engine: FakeEngine, run: Run) -> None:
    holds(engine, volumes=[volume(HEX)])
    assert data_of(run("docker_prune_system", volumes=True))["removed"]["volumes"] == [HEX]
    (listing,) = engine.sent("GET", "/volumes")
    assert listing.query["filters"] == '{"dangling": ["true"]}'


def test_a_new_engine_s_anonymous_volumes_are_those_that_it_marks(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.51"
    marked = volume("cd" * 32, Labels={"com.docker.volume.anonymous": ""})
    holds(engine, volumes=[volume(HEX), marked])
    assert data_of(run("docker_prune_system", volumes=True))["removed"]["volumes"] == [marked["Name"]]
    (usage,) = engine.sent("GET", "/system/df")
    assert usage.query == {"type": "build-cache"}


def test_networks_of_the_engine_and_of_a_swarm_stay(engine: FakeEngine, run: Run) -> None:
    names = ["bridge", "host", "none", "docker_gwbridge"]
    networks = [network(f"{number}" * 64, name) for number, name in enumerate(names)]
    networks += [
        network("4" * 64, "over", Scope="swarm"),
        network("5" * 64, "in", Ingress=True),
        network("6" * 64, "conf", ConfigOnly=True),
    ]
    holds(engine, networks=networks)
    assert data_of(run("docker_prune_system"))["removed"]["networks"] == []
    assert engine.sent("GET", "/networks/.*") == []


def test_a_network_with_an_end_that_no_container_shows_stays(engine: FakeEngine, run: Run) -> None:
    holds(engine, networks=[network(NET, "lb", Containers={"lb-lb": {"Name": "lb-endpoint"}})])
    assert data_of(run("docker_prune_system"))["removed"]["networks"] == []


def test_a_network_that_a_stopped_container_needs_goes_and_that_is_said(engine: FakeEngine, run: Run) -> None:
    kept = container(STOPPED, "web", "exited", networks=[NET], Labels={"keep": ""})
    holds(engine, containers=[kept], networks=[network(NET, "front")])
    answer = data_of(run("docker_prune_system", filters={"label!": "keep"}, dry_run=True))
    (lost,) = answer["would_lose"]
    assert (lost["kind"], lost["name"], lost["about"]) == ("network", "front", "web (exited) needs it to start")


def test_a_network_that_a_container_needs_that_never_ran_goes_and_that_is_said(engine: FakeEngine, run: Run) -> None:
    kept = container(STOPPED, "web", "created", Labels={"keep": ""})
    kept["NetworkSettings"] = {"Networks": {"front": {"NetworkID": ""}}}
    holds(engine, containers=[kept], networks=[network(NET, "front")])
    (lost,) = data_of(run("docker_prune_system", filters={"label!": "keep"}, dry_run=True))["would_lose"]
    assert lost["about"] == "web (created) needs it to start"


def test_a_network_that_vanishes_while_it_is_looked_at_is_no_error(engine: FakeEngine, run: Run) -> None:
    holds(engine, networks=[network(NET, "front")])
    engine.on("GET", f"/networks/{NET}", {"message": "network not found"}, 404)
    assert data_of(run("docker_prune_system"))["removed"]["networks"] == []


def test_labels_narrow_every_part_and_spare_the_build_cache_which_has_none(engine: FakeEngine, run: Run) -> None:
    labels = {"Labels": {"a": "1", "b": "2"}}
    holds(
        engine,
        containers=[container(STOPPED, "old", "exited", **labels), container(RUNNING, "x", "exited")],
        networks=[network(NET, "unused", **labels), network(OTHER_NET, "other", Labels={"a": "1"})],
        images=[image(IMAGE, **labels), image(OTHER_IMAGE)],
        volumes=[volume(HEX, **labels), volume("cd" * 32, Labels=labels["Labels"] | {"keep": ""})],
        records=[record("r1")],
    )
    answer = data_of(run("docker_prune_system", filters={"label": ["a", "b=2"], "label!": "keep"}, volumes=True))
    assert answer["removed"] == {
        "containers": [STOPPED],
        "networks": ["unused"],
        "volumes": [HEX],
        "images": [IMAGE],
        "build_cache": [],
    }
    assert answer["skipped"] == {"build_cache": "it has no labels"}
    assert engine.sent("POST", ".*") == []


def test_an_age_narrows_every_part(engine: FakeEngine, run: Run) -> None:
    late, early = {"Created": 1_700_000_002}, {"Created": 1_700_000_000}
    holds(
        engine,
        containers=[container(STOPPED, "old", "exited", **early), container(RUNNING, "new", "exited", **late)],
        networks=[
            network(NET, "old", Created="2023-11-14T22:13:21.500000000Z"),
            network(OTHER_NET, "new", Created="2023-11-14T22:13:21.500000002Z"),
        ],
        images=[image(IMAGE, **early), image(OTHER_IMAGE, **late)],
        records=[
            record("used", CreatedAt="2023-11-14T00:00:00Z", LastUsedAt="2023-11-15T00:00:00Z"),
            record("idle", CreatedAt="2023-11-13T00:00:00Z", LastUsedAt="2023-11-14T00:00:00Z"),
            record("never", CreatedAt="2023-11-14T00:00:00Z", LastUsedAt=None),
        ],
    )
    removed = data_of(run("docker_prune_system", filters={"until": "1700000001.5"}))["removed"]
    assert removed["containers"] == [STOPPED]
    assert "old" in removed["networks"]
    assert removed["images"] == [IMAGE]
    assert removed["build_cache"] == ["idle", "never"]


def test_a_container_of_the_same_second_is_asked_for_its_fraction(engine: FakeEngine, run: Run) -> None:
    holds(engine, containers=[container(STOPPED, "old", "exited")])
    engine.on("GET", f"/containers/{STOPPED}/json", {"Created": "2023-11-14T22:13:20.7Z"})
    assert data_of(run("docker_prune_system", filters={"until": "1700000000.5"}))["removed"]["containers"] == []


@pytest.mark.parametrize(
    "spared",
    [{"InUse": True}, {"Shared": True}, {"Type": "internal"}, {"Type": "frontend"}],
)
@pytest.mark.parametrize("parents", [{"Parent": "r1"}, {"Parents": ["r0", "r1"]}, {" Parents": ["r1"]}])
def test_build_cache_goes_children_first_and_what_is_used_keeps_what_it_is_built_on(
    engine: FakeEngine, run: Run, spared: dict[str, Any], parents: dict[str, Any]
) -> None:
    family = [record("r1"), record("r2", **parents), record("r3", Parent="r2"), record("r4", Parent="lost")]
    holds(engine, records=family)
    assert data_of(run("docker_prune_system"))["removed"]["build_cache"] == ["r3", "r2", "r4", "r1"]
    family[2] |= spared
    assert data_of(run("docker_prune_system"))["removed"]["build_cache"] == ["r4"]


def test_build_cache_that_the_engine_keeps_is_told(engine: FakeEngine, run: Run) -> None:
    holds(engine, records=[record("r1", Description="")])
    engine.on("POST", "/build/prune", {"CachesDeleted": None, "SpaceReclaimed": 0})
    answer = data_of(run("docker_prune_system"))
    assert answer["removed"]["build_cache"] == []
    assert answer["failed"]["build cache r1"].startswith("[IN_USE] the engine kept it;")


def test_an_engine_that_does_not_tell_its_disk_usage_keeps_its_build_cache(engine: FakeEngine, run: Run) -> None:
    something(engine)
    engine.on("GET", "/system/df", {"message": "no"}, 500)
    answer = data_of(run("docker_prune_system"))
    assert answer["skipped"] == {"build_cache": "the engine did not tell in time what there is"}
    assert answer["removed"]["containers"] == [STOPPED]
    assert (answer["reclaimed_bytes"], answer["total_reclaimed_bytes"]) == ({}, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"filters": {"dangling": "false"}}, "'dangling' can't narrow a prune"),
        ({"filters": {"until": "soon"}}, "'soon' is not a time"),
        ({"filters": {"until": ["1h", "2h"]}}, "only one until"),
        ({"filters": {"label": []}}, "'label' has no value"),
        ({"filters": {"until": "24h"}, "volumes": True}, "can't be combined with the filter until"),
    ],
)
def test_a_filter_that_would_not_hold_is_refused_before_anything_is_removed(
    engine: FakeEngine, run: Run, arguments: dict[str, Any], said: str
) -> None:
    result = run("docker_prune_system", **arguments)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert said in result.text
    assert engine.requests == []


@pytest.mark.usefixtures("podman")
def test_on_podman_stopped_containers_keep_their_networks_and_there_is_no_build_cache(
    engine: FakeEngine, run: Run
) -> None:
    kept = container(RUNNING, "web", "exited", Labels={"keep": ""})
    kept["NetworkSettings"] = {"Networks": {"used": {"NetworkID": "used"}}}
    ended: dict[str, Any] = {"Containers": {STOPPED: {}}}
    holds(
        engine,
        containers=[container(STOPPED, "old", "exited"), kept],
        networks=[
            network(NET, "free", **ended),
            network(OTHER_NET, "used"),
            network("9" * 64, "n", Containers={RUNNING: {}}),
        ],
    )
    answer = data_of(run("docker_prune_system", filters={"label!": "keep"}))
    assert answer["removed"]["networks"] == ["free"]
    assert answer["skipped"] == {"build_cache": "Podman has none"}
    assert engine.sent("POST", ".*") == []


@pytest.mark.usefixtures("podman")
def test_podman_that_has_nothing_is_not_asked_for_its_disk_usage(engine: FakeEngine, run: Run) -> None:
    holds(engine)
    assert data_of(run("docker_prune_system"))["total_reclaimed_bytes"] == 0
    assert engine.sent("GET", "/system/df") == []


def test_what_fails_does_not_hide_what_else_was_removed(engine: FakeEngine, run: Run) -> None:
    something(engine)
    engine.on("DELETE", "/containers/.*", {"message": "cannot remove a running container"}, 409)
    engine.on("DELETE", "/networks/.*", {"message": "network unused has active endpoints"}, 403)
    engine.on("GET", f"/images/{IMAGE}/json", {"message": "No such image"}, 404)
    answer = data_of(run("docker_prune_system"))
    assert answer["removed"]["build_cache"] == ["r1"]
    assert {name: problem.partition("]")[0] for name, problem in answer["failed"].items()} == {
        "container old": "[CONFLICT",
        "network unused": "[IN_USE",
        "image a1a1a1a1a1a1": "[IMAGE_NOT_FOUND",
    }


def test_a_prune_that_runs_out_of_time_says_what_it_removed(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_prune_system=1")
    monkeypatch.setattr(pipeline, "GRACE_SECONDS", 10.0)  # on a busy machine tidying may take longer than usual
    something(engine)

    def blocked(_: Request) -> Any:
        threading.Event().wait(20)
        return []

    engine.on("DELETE", "/images/.*", blocked)
    result = run("docker_prune_system")
    assert code_of(result) == "TIMED_OUT"
    assert "removed before: 1 containers, 1 networks" in result.text
    assert STOPPED in result.text
    assert "docker_events shows" in result.text
    assert engine.sent("POST", "/build/prune") == []


def test_progress_names_each_object(engine: FakeEngine, run: Run) -> None:
    something(engine)

    said = threading.Event()

    def slow(_: Request) -> Any:
        said.wait(10)
        return [{"Deleted": IMAGE}]

    engine.on("DELETE", "/images/.*", slow)
    told: list[tuple[float, float | None, str]] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))
        if message == "removing image a1a1a1a1a1a1":
            said.set()

    assert not run("docker_prune_system", progress).is_error
    assert (2, 4, "removing image a1a1a1a1a1a1") in told
    assert told == sorted(told)
