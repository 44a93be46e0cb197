"""Metrics say what happened, in words that no stranger chose."""

import subprocess
import sys

import pytest

from mcp_docker import __version__
from mcp_docker.http.metrics import Metrics

LIST = "docker_list_containers"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics([LIST, "docker_remove_volume"], ["expired", "audience"])


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.text()[0].decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_a_call_is_counted_by_tool_tier_and_outcome(metrics: Metrics) -> None:
    metrics.called(LIST, "safe", "done", None, 0.02)
    metrics.called(LIST, "safe", "failed", "ENGINE_UNREACHABLE", 3)
    told = samples(metrics)
    assert told[f'mcp_docker_calls_total{{outcome="done",tier="safe",tool="{LIST}"}}'] == 1
    assert told[f'mcp_docker_calls_total{{outcome="failed",tier="safe",tool="{LIST}"}}'] == 1
    assert told[f'mcp_docker_call_duration_seconds_bucket{{le="0.025",tool="{LIST}"}}'] == 1
    assert told[f'mcp_docker_call_duration_seconds_sum{{tool="{LIST}"}}'] == 3.02
    assert told['mcp_docker_refusals_total{code="ENGINE_UNREACHABLE"}'] == 1
    assert told['mcp_docker_engine_errors_total{code="ENGINE_UNREACHABLE"}'] == 1


def test_a_refusal_of_ours_is_no_error_of_the_engine(metrics: Metrics) -> None:
    metrics.called("docker_remove_volume", "destructive", "refused", "NOT_CONFIRMED", 0.1)
    told = samples(metrics)
    assert told['mcp_docker_refusals_total{code="NOT_CONFIRMED"}'] == 1
    assert not [name for name in told if name.startswith("mcp_docker_engine_errors_total")]


def test_no_label_holds_what_a_stranger_sent(metrics: Metrics) -> None:
    for number in range(50):
        evil = f'evil-{number}"}}\n'
        metrics.called(evil, evil, evil, evil, -1)
        metrics.called(LIST, None, evil, evil, 1)
        metrics.auth_failed(evil)
        metrics.http_refused(evil)
    told = samples(metrics)
    assert "evil" not in metrics.text()[0].decode()
    assert told['mcp_docker_calls_total{outcome="unknown",tier="unknown",tool="unknown"}'] == 50
    assert told['mcp_docker_auth_failures_total{reason="unknown"}'] == 50
    assert told['mcp_docker_http_refusals_total{reason="unknown"}'] == 50


def test_failures_before_a_call_are_counted_by_reason(metrics: Metrics) -> None:
    metrics.auth_failed("expired")
    metrics.http_refused("host_not_allowed")
    metrics.http_refused("rate_limited")
    told = samples(metrics)
    assert told['mcp_docker_auth_failures_total{reason="expired"}'] == 1
    assert told['mcp_docker_http_refusals_total{reason="host_not_allowed"}'] == 1
    assert told['mcp_docker_http_refusals_total{reason="rate_limited"}'] == 1


def test_calls_in_flight_are_asked_for_when_they_are_scraped() -> None:
    busy = [1, 2, 3]
    metrics = Metrics([], [], lambda: len(busy))
    assert samples(metrics)["mcp_docker_calls_in_flight"] == 3
    busy.clear()
    assert samples(metrics)["mcp_docker_calls_in_flight"] == 0


def test_two_servers_in_one_process_count_apart(metrics: Metrics) -> None:
    metrics.called(LIST, "safe", "done", None, 0)
    assert not [name for name in samples(Metrics([LIST], [])) if LIST in name]


def test_the_version_is_told_and_the_format_follows_the_scraper(metrics: Metrics) -> None:
    text, kind = metrics.text()
    assert f'mcp_docker_info{{version="{__version__}"}} 1.0' in text.decode()
    assert kind.startswith("text/plain")
    text, kind = metrics.text("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    assert kind.startswith("application/openmetrics-text")


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize("version", ["x", "1.x", "1.0.0\xb2", "9" * 5_000])
def test_a_version_that_makes_no_sense_gets_the_usual_format(metrics: Metrics, kind: str, version: str) -> None:
    assert metrics.text(f"{kind};version={version}")[1] == metrics.text()[1]


def test_prometheus_is_imported_only_when_it_is_used() -> None:
    check = "import sys, mcp_docker.http.metrics; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
