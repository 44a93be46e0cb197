"""The tools for networks."""

from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ID = "6cb4122755ef" + "0" * 52
NETWORK: dict[str, Any] = {
    "Id": ID,
    "Name": "shop",
    "Created": "2026-01-02T03:04:05Z",
    "Scope": "local",
    "Driver": "bridge",
    "EnableIPv6": False,
    "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]},
    "Internal": True,
    "Attachable": False,
    "Containers": {},
    "Options": None,
    "Labels": {"com.docker.compose.project": "shop"},
}
MEMBERS = {
    "b" * 64: {"Name": "web", "IPv4Address": "10.9.0.3/24", "IPv6Address": ""},
    "a" * 64: {"Name": "db", "IPv4Address": "10.9.0.2/24", "IPv6Address": "fd00::2/64"},
}


def test_a_list_is_one_request(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks", [NETWORK, {"Id": "f" * 64, "Name": "none", "Driver": "null", "IPAM": None}])
    assert data_of(run("docker_list_networks", filters={"driver": "bridge"})) == {
        "networks": [
            {
                "id": "6cb4122755ef",
                "name": "shop",
                "driver": "bridge",
                "scope": "local",
                "internal": True,
                "subnets": ["10.9.0.0/24"],
                "created": "2026-01-02T03:04:05Z",
                "compose_project": "shop",
            },
            {
                "id": "f" * 12,
                "name": "none",
                "driver": "null",
                "scope": "",
                "internal": False,
                "subnets": [],
            },
        ]
    }
    (request,) = engine.requests
    assert request.query["filters"] == '{"driver": ["bridge"]}'


def test_an_inspect_names_the_containers_and_their_addresses(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/shop", NETWORK | {"Containers": MEMBERS})
    details = data_of(run("docker_inspect_network", network_id="shop"))
    assert details["pools"] == [{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}]
    assert details["containers"] == [
        {"id": "a" * 12, "name": "db", "ipv4": "10.9.0.2", "ipv6": "fd00::2"},
        {"id": "b" * 12, "name": "web", "ipv4": "10.9.0.3"},
    ]
    assert details["options"] == {}
    assert "raw" not in details


def test_an_inspect_adds_the_whole_answer_when_asked(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/shop", NETWORK)
    assert data_of(run("docker_inspect_network", network_id="shop", raw=True))["raw"]["Scope"] == "local"


@pytest.mark.parametrize("tool", ["docker_inspect_network", "docker_remove_network"])
@pytest.mark.parametrize("name", ["../volumes/v", "a/b", "", ".", "..", "a?force=1", "a\n", "%2e%2e"])
def test_an_identifier_that_would_leave_its_path_is_refused(engine: FakeEngine, run: Run, tool: str, name: str) -> None:
    assert code_of(run(tool, network_id=name)) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def created(engine: FakeEngine, run: Run, **arguments: Any) -> Any:
    engine.on("POST", "/networks/create", {"Id": ID, "Warning": ""}, 201)
    assert data_of(run("docker_create_network", name="shop", **arguments)) == {"id": ID, "name": "shop"}
    (request,) = engine.requests
    return request.body


def test_a_network_is_made_only_if_its_name_is_free_on_old_engines_too(engine: FakeEngine, run: Run) -> None:
    assert created(engine, run) == {
        "Name": "shop",
        "Driver": "bridge",
        "CheckDuplicate": True,
        "Attachable": False,
    }


def test_the_arguments_of_a_network_are_sent(engine: FakeEngine, run: Run) -> None:
    body = created(
        engine,
        run,
        driver="overlay",
        options={"com.docker.network.driver.mtu": 1400, "encrypted": True},
        internal=True,
        labels=["a=b", "c"],
        enable_ipv6=True,
        attachable=True,
    )
    assert body["Options"] == {"com.docker.network.driver.mtu": "1400", "encrypted": "true"}
    assert body["Labels"] == {"a": "b", "c": ""}
    assert (body["Driver"], body["Internal"], body["EnableIPv6"], body["Attachable"]) == ("overlay", True, True, True)


POOL = {"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}


@pytest.mark.parametrize(
    "ipam",
    [
        {"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"},
        {"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1", "IPRange": None},
        [{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}],
        {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]},
        {"Driver": "default", "Options": None, "Config": [POOL]},
        {"driver": None, "config": [{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}]},
        {"pool_configs": POOL},
        '{"subnet":"10.9.0.0/24","gateway":"10.9.0.1"}',
    ],
)
def test_ipam_is_taken_in_every_form_that_people_write(engine: FakeEngine, run: Run, ipam: Any) -> None:
    assert created(engine, run, ipam=ipam)["IPAM"] == {"Driver": "default", "Config": [POOL]}


def test_ipam_may_be_a_subnet_alone_or_have_every_part(engine: FakeEngine, run: Run) -> None:
    assert created(engine, run, ipam="10.9.0.0/24")["IPAM"]["Config"] == [{"Subnet": "10.9.0.0/24"}]
    engine.requests.clear()
    every = {"subnet": "10.9.0.0/24", "ip_range": "10.9.0.128/25", "aux_addresses": {"router": "10.9.0.9"}}
    assert created(engine, run, ipam=every)["IPAM"]["Config"] == [
        {"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.128/25", "AuxiliaryAddresses": {"router": "10.9.0.9"}}
    ]
    engine.requests.clear()
    assert created(engine, run, ipam={})["IPAM"] == {"Driver": "default", "Config": []}


@pytest.mark.parametrize(
    ("ipam", "said"),
    [
        ({"subnet": "10.9.0.5/24"}, "write 10.9.0.0/24"),
        ({"subnet": "10.9.0.0"}, "is no subnet"),
        ({"subnet": "10.9.0.0/99"}, "10.9.0.0/99"),
        ({"subnet": "10.9.0.0/24", "gateway": "10.8.0.1"}, "10.8.0.1 is not within 10.9.0.0/24"),
        ({"subnet": "10.9.0.0/24", "gateway": "nonsense"}, "nonsense"),
        ({"subnet": "10.9.0.0/24", "gateway": 1}, "1 is no address"),
        ({"subnet": "10.9.0.0/24", "ip_range": "10.8.0.0/25"}, "not within"),
        ({"subnet": "10.9.0.0/24", "ip_range": "fd00::/64"}, "not within"),
        ({"subnet": "10.9.0.0/24", "aux_addresses": ["10.9.0.9"]}, "aux_addresses: write"),
        ({"gateway": "10.9.0.1"}, "write {"),
        ({"subnet": "10.9.0.0/24", "mask": 24}, "write {"),
        ({"Config": [POOL], "Options": {"parent": "eth0"}}, "write {"),
        (["10.9.0.0/24"], "write {"),
        ([{"subnet": f"10.9.{number}.0/24"} for number in range(17)], "at most 16 pools"),
        (5, "write {"),
        ({"subnet": "fd00:9::/64"}, "enable_ipv6=true"),
    ],
)
def test_ipam_that_can_not_be_is_refused_with_what_to_write(engine: FakeEngine, run: Run, ipam: Any, said: str) -> None:
    result = run("docker_create_network", name="shop", ipam=ipam)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert said in result.text
    assert engine.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"driver": "macvlan"}, "driver macvlan is not allowed"),
        ({"driver": "ipvlan"}, "driver ipvlan is not allowed"),
        ({"driver": "host"}, "driver host is not allowed"),
        ({"driver": "weave"}, "driver weave is not allowed"),
        ({"ipam": {"driver": "dhcp", "config": [POOL]}}, "driver dhcp for addresses is not allowed"),
        ({"options": {"parent": "eth0"}}, "parent=eth0"),
        ({"options": {"com.docker.network.bridge.name": "br0"}}, "com.docker.network.bridge.name=br0"),
        ({"options": {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}}, "nat-unprotected"),
        ({"options": {"com.docker.network.bridge.host_binding_ipv4": "0.0.0.0"}}, "publishing on '0.0.0.0'"),
        ({"ipam": "8.8.8.0/24"}, "8.8.8.0/24, which is not private"),
        ({"ipam": "0.0.0.0/0"}, "0.0.0.0/0, which is not private"),
        ({"ipam": "169.254.0.0/16"}, "169.254.0.0/16"),
        ({"ipam": "2000::/3", "enable_ipv6": True}, "2000::/3"),
    ],
)
def test_what_reaches_the_host_is_for_the_policy_to_allow(
    engine: FakeEngine, run: Run, arguments: dict[str, Any], said: str
) -> None:
    result = run("docker_create_network", name="shop", **arguments)
    assert code_of(result) == ("ADDRESS_NOT_ALLOWED" if "0.0.0.0'" in said else "NETWORK_NOT_ALLOWED")
    assert said in result.text
    assert engine.requests == []


def test_what_stays_within_the_network_needs_no_permission(engine: FakeEngine, run: Run) -> None:
    options = {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
    }
    assert created(engine, run, options=options)["Options"] == options


def test_a_warning_of_the_engine_is_passed_on(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/networks/create", {"Id": ID, "Warning": "no such option"}, 201)
    assert data_of(run("docker_create_network", name="shop"))["warning"] == "no such option"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("network with name shop already exists", "NAME_TAKEN"),
        ("Pool overlaps with other one on this address space", "CONFLICT"),
        ("subnet 10.9.0.0/24 is already used on the host or by another config", "CONFLICT"),
        ('This node is not a swarm manager. Use "docker swarm init"', "UNSUPPORTED"),
    ],
)
def test_the_engine_s_refusals_have_their_codes(engine: FakeEngine, run: Run, message: str, code: str) -> None:
    engine.on("POST", "/networks/create", {"message": message}, 500)
    assert code_of(run("docker_create_network", name="shop")) == code


WEB = "4f1c2e" + "0" * 58


def connectable(engine: FakeEngine) -> None:
    place = {"IPAddress": "10.9.0.7", "GlobalIPv6Address": "fd00::7"}
    engine.on("GET", "/networks/shop", NETWORK)
    engine.on("POST", f"/networks/{ID}/connect")
    engine.on("GET", "/containers/web/json", {"Id": WEB, "Name": "/web"})
    engine.on(
        "GET", f"/containers/{WEB}/json", {"Id": WEB, "Name": "/web", "NetworkSettings": {"Networks": {"shop": place}}}
    )


def test_connecting_says_the_addresses_that_were_given(engine: FakeEngine, run: Run) -> None:
    connectable(engine)
    result = run(
        "docker_connect_container",
        network_id="shop",
        container_id="web",
        aliases="www",
        ipv4_address="10.9.0.7",
        ipv6_address="fd00::7",
        links={"db-1": "db"},
    )
    assert data_of(result) == {"network": "shop", "container": "web", "ipv4": "10.9.0.7", "ipv6": "fd00::7"}
    (request,) = engine.sent("POST", ".*")
    assert request.body == {
        "Container": WEB,
        "EndpointConfig": {
            "Aliases": ["www"],
            "Links": ["db-1:db"],
            "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00::7"},
        },
    }


def test_connecting_needs_nothing_but_the_two(engine: FakeEngine, run: Run) -> None:
    connectable(engine)
    engine.on("GET", f"/containers/{WEB}/json", {"Id": WEB, "Name": "/web", "NetworkSettings": None})
    assert data_of(run("docker_connect_container", network_id="shop", container_id="web")) == {
        "network": "shop",
        "container": "web",
    }
    (request,) = engine.sent("POST", ".*")
    assert request.body == {"Container": WEB, "EndpointConfig": {}}


def test_a_link_without_an_alias_answers_to_the_container_s_name(engine: FakeEngine, run: Run) -> None:
    connectable(engine)
    run("docker_connect_container", network_id="shop", container_id="web", links=["db", "cache:c"])
    (request,) = engine.sent("POST", ".*")
    assert request.body["EndpointConfig"]["Links"] == ["cache:c", "db:db"]


@pytest.mark.parametrize(
    "arguments",
    [{"ipv4_address": "10.9.0"}, {"ipv6_address": "10.9.0.1"}, {"links": ["a:b:c"]}, {"aliases": ["a b"]}],
)
def test_a_malformed_place_is_refused(engine: FakeEngine, run: Run, arguments: dict[str, Any]) -> None:
    assert (
        code_of(run("docker_connect_container", network_id="shop", container_id="web", **arguments))
        == "INVALID_ARGUMENTS"
    )
    assert engine.requests == []


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("endpoint with name web already exists in network shop", "docker_disconnect_container first"),
        ("container x is already connected to network", "docker_disconnect_container first"),
        ("Address already in use", "another container has this address"),
        ("IPAM error: requested ip address 10.9.0.7 is already allocated to container ID x", "has this address"),
    ],
)
def test_a_connection_that_can_not_be_says_why(engine: FakeEngine, run: Run, message: str, said: str) -> None:
    connectable(engine)
    engine.on("POST", f"/networks/{ID}/connect", {"message": message}, 403)
    result = run("docker_connect_container", network_id="shop", container_id="web")
    assert code_of(result) == "CONFLICT"
    assert said in result.text


def test_disconnecting_sends_force_when_asked(engine: FakeEngine, run: Run) -> None:
    connectable(engine)
    engine.on("POST", f"/networks/{ID}/disconnect")
    arguments = {"network_id": "shop", "container_id": "web"}
    assert data_of(run("docker_disconnect_container", **arguments)) == {"network": "shop", "container": "web"}
    run("docker_disconnect_container", **arguments, force=True)
    sent = [request.body for request in engine.sent("POST", ".*")]
    assert sent == [{"Container": WEB}, {"Container": WEB, "Force": True}]


def test_a_container_that_is_gone_can_be_forced_out(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/shop", NETWORK)
    engine.on("POST", f"/networks/{ID}/disconnect")
    arguments = {"network_id": "shop", "container_id": "web"}
    engine.on("GET", "/containers/web/json", {"message": "No such container: web"}, 404)
    assert code_of(run("docker_disconnect_container", **arguments)) == "NOT_FOUND"
    assert data_of(run("docker_disconnect_container", **arguments, force=True))["container"] == "web"
    (request,) = engine.sent("POST", ".*")
    assert request.body == {"Container": "web", "Force": True}


def test_a_container_that_has_the_name_by_now_is_not_forced_out_for_one_that_was_gone(
    engine: FakeEngine, run: Run
) -> None:
    looks = iter([(404, {"message": "No such container: web"}), (200, {"Id": WEB, "Name": "/web"})])
    engine.on("GET", "/networks/shop", NETWORK)
    engine.on("GET", "/containers/web/json", lambda _: next(looks))
    result = run("docker_disconnect_container", network_id="shop", container_id="web", force=True)
    assert code_of(result) == "CONFLICT"
    assert not engine.sent("POST", ".*")


def test_disconnecting_what_is_not_connected_is_a_conflict(engine: FakeEngine, run: Run) -> None:
    connectable(engine)
    engine.on("POST", f"/networks/{ID}/disconnect", {"message": "container x is not connected to network shop"}, 500)
    assert code_of(run("docker_disconnect_container", network_id="shop", container_id="web")) == "CONFLICT"


def test_a_network_is_removed_by_its_full_id(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", f"/networks/{ID[:12]}", NETWORK)
    engine.on("DELETE", f"/networks/{ID}", status=204)
    assert data_of(run("docker_remove_network", network_id=ID[:12])) == {"removed": "shop", "id": ID}


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_the_engine_s_own_networks_stay(engine: FakeEngine, run: Run, name: str) -> None:
    result = run("docker_remove_network", network_id=name)
    assert code_of(result) == "CONFLICT"
    assert f"{name} is a network of the engine's own" in result.text
    assert engine.requests == []


def test_the_engine_s_own_networks_stay_by_their_id_too(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", f"/networks/{ID[:12]}", NETWORK | {"Name": "bridge"})
    assert code_of(run("docker_remove_network", network_id=ID[:12])) == "CONFLICT"
    assert engine.sent("DELETE", ".*") == []


def test_a_network_in_use_stays_and_its_containers_are_named(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/shop", NETWORK | {"Containers": MEMBERS})
    result = run("docker_remove_network", network_id="shop")
    assert code_of(result) == "IN_USE"
    assert "used by db, web;" in result.text
    assert engine.sent("DELETE", ".*") == []


def test_only_the_first_of_many_containers_are_named(engine: FakeEngine, run: Run) -> None:
    members = {f"{number:064x}": {"Name": f"c{number:02}"} for number in range(23)}
    engine.on("GET", "/networks/shop", NETWORK | {"Containers": members})
    assert "c19 and 3 more;" in run("docker_remove_network", network_id="shop").text


def test_a_name_that_is_the_beginning_of_another_s_id_is_refused(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/beef", NETWORK | {"Name": "beef"})
    engine.on("GET", "/networks", [NETWORK | {"Id": "beef" + "0" * 60}])
    assert code_of(run("docker_remove_network", network_id="beef")) == "AMBIGUOUS_IDENTIFIER"
    assert engine.sent("DELETE", ".*") == []


def test_a_name_of_hexadecimal_digits_is_no_obstacle(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/networks/beef", NETWORK | {"Name": "beef"})
    engine.on("GET", "/networks", [NETWORK])
    engine.on("DELETE", f"/networks/{ID}", status=204)
    assert data_of(run("docker_remove_network", network_id="beef"))["removed"] == "beef"


def test_an_address_that_a_member_has_is_refused_before_podman_breaks_on_it(engine: FakeEngine, run: Run) -> None:
    connectable(engine)
    engine.on("GET", "/networks/shop", NETWORK | {"Containers": MEMBERS})
    for address in ({"ipv4_address": "10.9.0.2"}, {"ipv6_address": "fd00:0::2"}):
        result = run("docker_connect_container", network_id="shop", container_id="web", **address)
        assert code_of(result) == "CONFLICT"
        assert "that of container db" in result.text
    assert engine.sent("POST", ".*") == []
