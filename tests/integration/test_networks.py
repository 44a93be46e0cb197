"""The tools for networks on a real engine."""

import uuid
from collections.abc import Callable

import docker
import pytest

from tests.conftest import code_of, data_of
from tests.integration.conftest import Run


@pytest.fixture
def name() -> str:
    return f"mcp-docker-test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def subnet(raw: docker.APIClient) -> str:
    """The beginning of a /24 that no network of the engine has, and that scripts/engine gives to none."""
    taken = {
        pool.get("Subnet") for network in raw.networks() for pool in (network.get("IPAM") or {}).get("Config") or []
    }
    seed = uuid.uuid4().int
    return next(
        start
        for number in range(1_000)
        if f"{(start := f'10.{100 + (seed + number) % 20}.{(seed >> 8) % 250}')}.0/24" not in taken
    )


def test_a_network_lives_its_whole_life(run: Run, label: str, name: str, subnet: str) -> None:
    ipam = {"subnet": f"{subnet}.0/24", "gateway": f"{subnet}.1"}
    made = data_of(run("docker_create_network", name=name, ipam=ipam, labels=[label], internal=True))
    (row,) = data_of(run("docker_list_networks", filters={"label": label}))["networks"]
    assert (row["name"], row["subnets"], row["driver"]) == (name, [f"{subnet}.0/24"], "bridge")
    assert made["id"].startswith(row["id"])
    details = data_of(run("docker_inspect_network", network_id=row["id"]))
    assert details["pools"][0]["gateway"] == f"{subnet}.1"
    assert details["internal"] is True
    assert details["containers"] == []
    assert data_of(run("docker_remove_network", network_id=name)) == {"removed": name, "id": made["id"]}
    assert code_of(run("docker_inspect_network", network_id=name)) == "NOT_FOUND"
    assert code_of(run("docker_remove_network", network_id=name)) == "NOT_FOUND"


def test_a_name_is_given_once(run: Run, label: str, name: str) -> None:
    data_of(run("docker_create_network", name=name, labels=[label]))
    assert code_of(run("docker_create_network", name=name, labels=[label])) == "NAME_TAKEN"


def test_a_subnet_is_given_once(run: Run, label: str, name: str, subnet: str) -> None:
    data_of(run("docker_create_network", name=name, labels=[label], ipam=f"{subnet}.0/24"))
    second = run("docker_create_network", name=name + "-b", labels=[label], ipam=f"{subnet}.0/25")
    assert code_of(second) == "CONFLICT"
    assert "choose another subnet" in second.text


def test_a_container_joins_with_an_address_and_leaves(
    run: Run, label: str, name: str, subnet: str, container: Callable[..., str]
) -> None:
    data_of(run("docker_create_network", name=name, labels=[label], ipam=f"{subnet}.0/24"))
    guest = container()
    place = {"network_id": name, "container_id": guest}
    joined = data_of(run("docker_connect_container", **place, aliases=["www"], ipv4_address=f"{subnet}.77"))
    assert (joined["network"], joined["ipv4"]) == (name, f"{subnet}.77")
    (member,) = data_of(run("docker_inspect_network", network_id=name))["containers"]
    assert member == {"id": guest[:12], "name": joined["container"], "ipv4": f"{subnet}.77"}
    assert code_of(run("docker_connect_container", **place)) == "CONFLICT"

    rival = run("docker_connect_container", network_id=name, container_id=container(), ipv4_address=f"{subnet}.77")
    assert code_of(rival) == "CONFLICT"
    assert joined["container"] in rival.text

    removal = run("docker_remove_network", network_id=name)
    assert code_of(removal) == "IN_USE"
    assert joined["container"] in removal.text

    data_of(run("docker_disconnect_container", **place))
    assert code_of(run("docker_disconnect_container", **place)) == "CONFLICT"
    assert data_of(run("docker_inspect_network", network_id=name))["containers"] == []


def test_an_alias_is_a_name_within_the_network(
    run: Run, raw: docker.APIClient, label: str, name: str, container: Callable[..., str]
) -> None:
    data_of(run("docker_create_network", name=name, labels=[label]))
    guest = container()
    data_of(run("docker_connect_container", network_id=name, container_id=guest, aliases=["www"]))
    assert "www" in raw.inspect_container(guest)["NetworkSettings"]["Networks"][name]["Aliases"]


@pytest.mark.parametrize("network", ["bridge", "host", "none"])
def test_the_engine_s_own_networks_stay(run: Run, network: str) -> None:
    assert code_of(run("docker_remove_network", network_id=network)) == "CONFLICT"


def test_a_network_s_tool_can_not_reach_a_volume(run: Run, raw: docker.APIClient, label: str, name: str) -> None:
    key, _, value = label.partition("=")
    raw.create_volume(name, labels={key: value})
    assert code_of(run("docker_remove_network", network_id=f"../volumes/{name}")) == "INVALID_ARGUMENTS"
    assert raw.inspect_volume(name)["Name"] == name


def test_what_is_not_there_is_not_found(run: Run, name: str, container: Callable[..., str]) -> None:
    assert code_of(run("docker_connect_container", network_id=name, container_id=container())) == "NOT_FOUND"
    assert code_of(run("docker_connect_container", network_id="bridge", container_id=name)) == "NOT_FOUND"
