"""URIs of resources."""

import pytest

from mcp_docker.registry import Registry
from mcp_docker.resources.logs import ContainerLogs
from mcp_docker.resources.stats import ContainerStats
from mcp_docker.settings import load
from tests.conftest import CALLER


@pytest.mark.parametrize("name", ["web", "a.b-c_1", "0123456789ab"])
def test_a_uri_and_its_variables_lead_to_each_other(name: str) -> None:
    uri = ContainerLogs.at({"container_id": name})
    assert uri == f"container://logs/{name}"
    assert ContainerLogs.variables(uri) == {"container_id": name}
    assert ContainerStats.variables(uri) is None
    assert Registry(load()).resource(uri, CALLER) == ("container_logs", {"container_id": name})


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "container://logs/",
        "container://logs/a/b",
        "container://logs/a?tail=1",
        "container://logs/a#b",
        "CONTAINER://logs/a",
        "container://logs/a\n",
        "x-container://logs/a",
    ],
)
def test_what_is_no_uri_of_ours_has_no_variables(uri: str) -> None:
    assert ContainerLogs.variables(uri) is None
    assert Registry(load()).resource(uri, CALLER) == (uri, {})


def test_what_is_percent_encoded_is_decoded_once_and_judged_as_any_identifier() -> None:
    assert ContainerLogs.variables("container://logs/..%2Fvolumes%2Fv") == {"container_id": "../volumes/v"}
    assert ContainerLogs.variables("container://logs/%252e") == {"container_id": "%2e"}
