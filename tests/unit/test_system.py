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


def test_an_end_before_the_beginning_is_refused(run: Run) -> None:
    result = run("docker_events", since="5m", until="1h")
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "since is later than until" in result.text


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


@pytest.mark.parametrize("limit", [0, 2_001])
def test_the_number_of_events_is_bounded(run: Run, limit: int) -> None:
    assert code_of(run("docker_events", limit=limit)) == "INVALID_ARGUMENTS"


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_docker.engine.Connected.is_podman", True)


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


def prunes(engine: FakeEngine) -> None:
    engine.on("POST", "/containers/prune", {"ContainersDeleted": ["c1", "c2"], "SpaceReclaimed": 10})
    engine.on("POST", "/networks/prune", {"NetworksDeleted": ["n1"]})
    images = [{"Untagged": "x@sha256:1"}, {"Deleted": "sha256:1"}]
    engine.on("POST", "/images/prune", {"ImagesDeleted": images, "SpaceReclaimed": 300})
    engine.on("POST", "/build/prune", {"CachesDeleted": None, "SpaceReclaimed": 0})
    engine.on("POST", "/volumes/prune", {"VolumesDeleted": [HEX], "SpaceReclaimed": 5_000})


def filters_sent(engine: FakeEngine) -> dict[str, Any]:
    return {request.path: json.loads(request.query.get("filters", "{}")) for request in engine.sent("POST", ".*")}


def test_a_prune_leaves_tagged_images_and_volumes_alone(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    assert data_of(run("docker_prune_system")) == {
        "removed": {
            "containers": ["c1", "c2"],
            "networks": ["n1"],
            "volumes": [],
            "images": ["x@sha256:1", "sha256:1"],
            "build_cache": [],
        },
        "reclaimed_bytes": {"containers": 10, "images": 300, "build_cache": 0},
        "total_reclaimed_bytes": 310,
    }
    assert filters_sent(engine) == {
        "/containers/prune": {},
        "/networks/prune": {},
        "/images/prune": {"dangling": ["true"]},
        "/build/prune": {},
    }


def test_it_is_called_by_its_other_name_too(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    assert data_of(run("docker_system_prune"))["total_reclaimed_bytes"] == 310


def test_the_argument_that_is_not_there_says_what_to_call(run: Run) -> None:
    assert "docker_prune_images(all=true)" in run("docker_prune_system", all=True).text


def test_volumes_are_pruned_as_the_tool_for_volumes_does_it(engine: FakeEngine, run: Run) -> None:
    engine.api = "1.51"
    prunes(engine)
    answer = data_of(run("docker_prune_system", volumes=True))
    assert answer["removed"]["volumes"] == [HEX]
    assert answer["total_reclaimed_bytes"] == 5_310
    assert list(filters_sent(engine)) == [
        "/containers/prune",
        "/networks/prune",
        "/volumes/prune",
        "/images/prune",
        "/build/prune",
    ]


def test_an_old_engine_keeps_its_named_volumes_here_too(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    named = {"Name": "data", "Labels": None}
    busy = {"Name": "cd" * 32, "Labels": None}
    engine.on("GET", "/volumes", {"Volumes": [named, {"Name": HEX, "Labels": None}, busy]})
    engine.on("GET", "/system/df", {"Volumes": None})
    engine.on("DELETE", "/volumes/.*", status=204)
    engine.on("DELETE", f"/volumes/{busy['Name']}", {"message": "volume is in use"}, 409)
    answer = data_of(run("docker_prune_system", volumes=True))
    assert answer["removed"]["volumes"] == [HEX]
    assert "volumes" not in answer["reclaimed_bytes"]
    assert answer["failed"][f"volume {busy['Name']}"].startswith("[IN_USE]")
    assert engine.sent("POST", "/volumes/prune") == []


def test_labels_narrow_every_part_and_spare_the_build_cache_which_has_none(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    answer = data_of(run("docker_prune_system", filters={"label": ["a", "b"], "label!": "keep"}))
    wanted = {"label": ["a", "b"], "label!": ["keep"]}
    assert filters_sent(engine) == {
        "/containers/prune": wanted,
        "/networks/prune": wanted,
        "/images/prune": wanted | {"dangling": ["true"]},
    }
    assert answer["skipped"] == {"build_cache": "it has no labels, and the engine would ignore the filter"}


def test_an_age_is_sent_as_a_time_and_to_the_build_cache_as_a_duration(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    run("docker_prune_system", filters={"until": "24h"})
    sent = filters_sent(engine)
    assert float(sent["/containers/prune"]["until"][0]) == pytest.approx(time.time() - 86_400, abs=5)
    assert int(sent["/build/prune"]["until"][0].removesuffix("s")) == pytest.approx(86_400, abs=5)


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
def test_podman_which_joins_label_filters_with_or_is_given_one_at_most(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    assert code_of(run("docker_prune_system", filters={"label": "a", "label!": "b"})) == "UNSUPPORTED"
    assert engine.requests == []
    answer = data_of(run("docker_prune_system", filters={"label": "a"}))
    assert answer["skipped"] == {"build_cache": "Podman has none"}
    assert "/build/prune" not in filters_sent(engine)


def test_a_part_that_fails_does_not_hide_what_the_others_removed(engine: FakeEngine, run: Run) -> None:
    prunes(engine)
    engine.on("POST", "/networks/prune", {"message": "a prune operation is already running"}, 409)
    answer = data_of(run("docker_prune_system"))
    assert answer["removed"]["containers"] == ["c1", "c2"]
    assert answer["removed"]["networks"] == []
    assert answer["removed"]["images"] == ["x@sha256:1", "sha256:1"]
    assert list(answer["failed"]) == ["networks"]
    assert answer["failed"]["networks"].startswith("[CONFLICT] a prune operation is already running;")


def test_a_prune_that_runs_out_of_time_says_what_it_removed(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_prune_system=1")
    prunes(engine)

    def blocked(_: Request) -> Any:
        threading.Event().wait(4)
        return {}

    engine.on("POST", "/images/prune", blocked)
    result = run("docker_prune_system")
    assert code_of(result) == "TIMED_OUT"
    assert "removed before: 2 containers, 1 networks" in result.text
    assert '"c1","c2"' in result.text
    assert "docker_events shows" in result.text
    assert engine.sent("POST", "/build/prune") == []


def test_progress_names_each_part(engine: FakeEngine, run: Run) -> None:
    prunes(engine)

    def slow(_: Request) -> Any:
        threading.Event().wait(0.6)
        return {"ImagesDeleted": None, "SpaceReclaimed": 0}

    engine.on("POST", "/images/prune", slow)
    told: list[tuple[float, float | None, str]] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    assert not run("docker_prune_system", progress).is_error
    assert (2, 4, "pruning images") in told
    assert told == sorted(told)
