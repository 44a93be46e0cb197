"""docker_container_stats."""

from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

ID = "a" * 64


def sample(total: int, system: int, **more: Any) -> dict[str, Any]:
    return {
        "read": "2026-01-31T12:00:00Z",
        "cpu_stats": {"cpu_usage": {"total_usage": total}, "system_cpu_usage": system, "online_cpus": 4},
        "precpu_stats": {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 0},
        "memory_stats": {"usage": 1_000, "limit": 4_000, "stats": {"inactive_file": 200}},
        "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}, "eth1": {"rx_bytes": 1, "tx_bytes": 2}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 7}, {"op": "write", "value": 8}]},
        "pids_stats": {"current": 9},
    } | more


@pytest.fixture
def web(engine: FakeEngine) -> FakeEngine:
    engine.on("GET", "/containers/web/json", {"Id": ID, "Name": "/web", "State": {"Running": True}})
    return engine


def test_usage_is_computed_as_docker_stats_does(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/stats", sample(50, 1_000))
    assert data_of(run("docker_container_stats", container_id="web")) == {
        "containers": [
            {
                "id": "a" * 12,
                "name": "web",
                "cpu_percent": 20.0,
                "memory_bytes": 800,
                "memory_limit_bytes": 4_000,
                "memory_percent": 20.0,
                "net_received_bytes": 6,
                "net_sent_bytes": 8,
                "block_read_bytes": 7,
                "block_written_bytes": 8,
                "pids": 9,
            }
        ]
    }
    assert web.sent("GET", ".*/stats")[0].query == {"stream": "False"}


def test_engines_from_23_on_are_asked_for_two_samples_at_once(web: FakeEngine, run: Run) -> None:
    web.api = "1.51"
    samples = [sample(100, 1_000), sample(110, 1_100)]
    web.on("GET", f"/containers/{ID}/stats", lambda _: samples.pop(0))
    data = data_of(run("docker_container_stats", container_id="web"))
    assert data["containers"][0]["cpu_percent"] == 40.0
    assert [request.query.get("one-shot") for request in web.sent("GET", ".*/stats")] == ["True", "True"]


@pytest.mark.parametrize(
    ("memory", "used"),
    [
        ({"usage": 1_000, "stats": {"total_inactive_file": 300, "inactive_file": 1}}, 700),
        ({"usage": 1_000, "stats": {"inactive_file": 2_000}}, 1_000),
        ({"usage": 1_000}, 1_000),
        ({}, None),
    ],
)
def test_memory_leaves_the_page_cache_out_in_both_cgroup_versions(
    web: FakeEngine, run: Run, memory: dict[str, Any], used: int | None
) -> None:
    web.on("GET", f"/containers/{ID}/stats", sample(1, 1, memory_stats=memory))
    assert data_of(run("docker_container_stats", container_id="web"))["containers"][0].get("memory_bytes") == used


def test_what_an_engine_does_not_say_is_absent(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/stats", {"read": "2026-01-31T12:00:00Z"})
    assert data_of(run("docker_container_stats", container_id="web"))["containers"] == [{"id": "a" * 12, "name": "web"}]


def test_a_container_that_does_not_run_is_a_conflict(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/web/json", {"Id": ID, "Name": "/web", "State": {"Running": False}})
    result = run("docker_container_stats", container_id="web")
    assert code_of(result) == "CONFLICT"
    assert "docker_start_container" in result.text
    assert engine.sent("GET", ".*/stats") == []


def test_all_running_containers_are_measured_and_those_that_end_meanwhile_are_counted(
    engine: FakeEngine, run: Run
) -> None:
    rows = [{"Id": f"{n}" * 64, "Names": [f"/c{n}"]} for n in range(5)]
    engine.on("GET", "/containers/json", rows)

    def stats(request: Request) -> Any:
        match request.path.split("/")[2][0]:
            case "1":
                return 404, {"message": "No such container"}
            case "2":
                return b""
            case "3":
                return sample(1, 1, read="0001-01-01T00:00:00Z")
        return sample(10, 100)

    engine.on("GET", "/containers/[0-9]+/stats", stats)
    told: list[tuple[float, float | None, str]] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    data = data_of(run("docker_container_stats", progress))
    assert [usage["name"] for usage in data["containers"]] == ["c0", "c4"]
    assert data["gone"] == 3
    assert told[-1] == (5, 5, "measured 5 of 5 containers")


def test_an_engine_that_fails_is_not_taken_for_a_container_that_ended(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [{"Id": ID, "Names": ["/web"]}])
    engine.on("GET", f"/containers/{ID}/stats", {"message": "out of order"}, status=500)
    assert code_of(run("docker_container_stats")) == "ENGINE_ERROR"
