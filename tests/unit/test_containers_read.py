"""docker_list_containers and docker_inspect_container."""

from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ROW = {
    "Id": "4f1c2e" + "0" * 58,
    "Names": ["/web", "/other/alias"],
    "Image": "nginx:1.27",
    "State": "running",
    "Status": "Up 2 hours (healthy)",
    "Created": 1_700_000_000,
    "Ports": [
        {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ],
    "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
    "NetworkSettings": {"Networks": {"bridge": {}}},
}


def test_a_list_is_one_request_however_many_containers_there_are(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [ROW] * 100)
    assert len(data_of(run("docker_list_containers"))["containers"]) == 100
    assert [request.path for request in engine.requests] == ["/containers/json"]


def test_a_row_says_what_docker_ps_says(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [ROW])
    assert data_of(run("docker_list_containers")) == {
        "containers": [
            {
                "id": "4f1c2e000000",
                "name": "web",
                "image": "nginx:1.27",
                "state": "running",
                "status": "Up 2 hours (healthy)",
                "health": "healthy",
                "ports": ["127.0.0.1:8080->80/tcp", "443/tcp"],
                "networks": ["bridge"],
                "created": 1_700_000_000,
                "compose_project": "shop",
                "compose_service": "web",
            }
        ]
    }


def test_filters_are_sent_as_docker_wants_them(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [])
    run("docker_list_containers", all=True, limit=5, filters={"status": "exited", "label": ["a=b", "c"]})
    (request,) = engine.requests
    assert request.query["all"] == "1"
    assert request.query["limit"] == "5"
    assert request.query["filters"] == '{"status": ["exited"], "label": ["a=b", "c"]}'


def test_a_limit_on_running_containers_does_not_bring_stopped_ones(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [ROW | {"Names": [f"/c{made}"], "Created": made} for made in (1, 3, 2)])
    data = data_of(run("docker_list_containers", limit=2))
    assert [row["name"] for row in data["containers"]] == ["c3", "c2"]
    (request,) = engine.requests
    assert request.query["limit"] == "-1"


@pytest.mark.parametrize(
    ("names", "shown"),
    [(["/app/db", "/db"], "db"), (["/app/db"], "app/db"), ([], "4f1c2e000000"), (None, "4f1c2e000000")],
)
def test_a_container_is_called_by_its_own_name_and_not_by_a_link_to_it(
    engine: FakeEngine, run: Run, names: Any, shown: str
) -> None:
    engine.on("GET", "/containers/json", [ROW | {"Names": names, "State": "exited", "ImageID": "sha256:" + "1" * 64}])
    engine.on("GET", "/containers/[0-9a-f]+/stats", {"read": "2026-01-01T00:00:00Z"})
    engine.on("GET", "/volumes/data", {"Name": "data"})
    engine.on("GET", "/(networks|images/json)", [])
    assert [row["name"] for row in data_of(run("docker_list_containers"))["containers"]] == [shown]
    assert [row["name"] for row in data_of(run("docker_container_stats"))["containers"]] == [shown]
    assert data_of(run("docker_inspect_volume", volume_name="data"))["used_by"] == [shown]
    assert [each["name"] for each in data_of(run("docker_prune_system", dry_run=True))["would_lose"]] == [shown]


def test_an_identifier_that_would_leave_its_path_is_refused_before_the_engine_is_asked(
    engine: FakeEngine, run: Run
) -> None:
    assert code_of(run("docker_inspect_container", container_id="../volumes/v")) == "INVALID_ARGUMENTS"
    assert engine.requests == []
