"""Rules over every declared tool."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_docker import docs, schema
from mcp_docker.registry import declared
from mcp_docker.settings import Settings
from mcp_docker.tool import Tier, Tool
from tests.unit.conftest import FakeEngine, Run

TOOLS = declared()
NAMES = {
    Tier.SAFE: """
        docker_list_containers docker_inspect_container docker_container_logs docker_container_stats docker_list_images
        docker_inspect_image docker_image_history docker_list_networks docker_inspect_network docker_list_volumes
        docker_inspect_volume docker_version docker_events
    """,
    Tier.MODERATE: """
        docker_exec_command docker_create_container docker_start_container docker_stop_container
        docker_restart_container docker_pull_image docker_build_image docker_push_image docker_tag_image
        docker_create_network docker_connect_container docker_disconnect_container docker_create_volume
    """,
    Tier.DESTRUCTIVE: """
        docker_remove_container docker_remove_image docker_prune_images docker_remove_network docker_remove_volume
        docker_prune_volumes docker_prune_system
    """,
}
SAFE_CALLS: dict[str, dict[str, Any]] = {
    "docker_list_containers": {"all": True},
    "docker_inspect_container": {"container_id": "web"},
    "docker_container_logs": {"container_id": "web"},
    "docker_container_stats": {},
    "docker_list_images": {},
    "docker_inspect_image": {"image": "redis"},
    "docker_image_history": {"image": "redis"},
    "docker_list_networks": {},
    "docker_inspect_network": {"network_id": "bridge"},
    "docker_list_volumes": {},
    "docker_inspect_volume": {"volume_name": "data"},
    "docker_version": {},
    "docker_events": {},
}
each_tool = pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from schemas_in(item)
    if isinstance(value, list):
        for item in value:
            yield from schemas_in(item)


def test_the_tools_and_their_tiers_are_those_of_the_contract() -> None:
    assert {name: tool.spec.tier for name, tool in TOOLS.items()} == {
        name: tier for tier, names in NAMES.items() for name in names.split()
    }
    assert TOOLS["docker_prune_system"].spec.aliases == ("docker_system_prune",)


@each_tool
def test_a_name_is_lower_case_words(tool: type[Tool]) -> None:
    assert re.fullmatch(r"docker(_[a-z]+)+", tool.spec.name)
    assert len(tool.spec.name) <= 64


@each_tool
def test_every_argument_is_described(tool: type[Tool]) -> None:
    arguments = schema.input_schema(tool)["properties"]
    assert [name for name, field in arguments.items() if not field.get("description")] == []


@each_tool
def test_descriptions_are_short(tool: type[Tool]) -> None:
    assert 0 < len(tool.spec.description) <= 250


@each_tool
def test_schemas_have_one_simple_form(tool: type[Tool]) -> None:
    entry = schema.listing(tool)
    for part in (entry["inputSchema"], entry["outputSchema"]):
        assert part["type"] == "object"
        assert not {"anyOf", "oneOf", "allOf", "$defs", "$ref"} & set(part)
        for each in schemas_in(part):
            assert "$ref" not in each
            assert {"type": "null"} not in each.get("anyOf", [])
            assert not isinstance(each.get("title"), str)


@each_tool
def test_unknown_arguments_are_forbidden(tool: type[Tool]) -> None:
    assert tool.model_config.get("extra") == "forbid"
    assert schema.input_schema(tool)["additionalProperties"] is False


@each_tool
def test_a_write_names_the_tool_that_tells_whether_it_happened(tool: type[Tool]) -> None:
    if tool.spec.tier is Tier.SAFE:
        assert tool.spec.verify == ""
    else:
        assert TOOLS[tool.spec.verify].spec.tier is Tier.SAFE


@each_tool
def test_the_tier_alone_decides_the_annotations(tool: type[Tool]) -> None:
    annotations = tool.spec.annotations
    assert annotations["readOnlyHint"] is (tool.spec.tier is Tier.SAFE)
    assert annotations["destructiveHint"] is (tool.spec.tier is Tier.DESTRUCTIVE)


def test_what_the_page_on_security_names_exists() -> None:
    text = (docs.ROOT / "SECURITY.md").read_text(encoding="utf-8")
    tests = re.findall(r"`(tests/[\w/.]+)`", text)
    assert len(tests) > 15
    assert [name for name in tests if not (docs.ROOT / name).exists()] == []
    named = {name for name in re.findall(r"`((?:SAFETY|SECURITY)_[A-Z_]+)", text) if not name.endswith("_")}
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_generated_files_are_fresh() -> None:
    assert docs.main(["--check"]) == 0


def test_a_model_reads_at_most_20_kilobytes_to_know_all_tools() -> None:
    assert schema.model_bytes(list(json.loads(docs.schemas()).values())) <= 20_480


@pytest.mark.parametrize("name", sorted(name for name, tool in TOOLS.items() if tool.spec.tier is Tier.SAFE))
def test_a_safe_tool_sends_only_get_and_head(engine: FakeEngine, run: Run, name: str) -> None:
    engine.on("GET", "/containers/[^/]+/json", {"Id": "a" * 64, "Name": "/web", "State": {"Running": True}})
    engine.on("GET", "/containers/json", [{"Id": "a" * 64, "Names": ["/web"]}])
    engine.on("GET", "/(containers/[^/]+/(logs|stats)|events)", b"")
    for path in ("/networks", "/images/json", "/images/[^/]+/history"):
        engine.on("GET", path, [])
    engine.on("GET", "/volumes", {"Volumes": []})
    run(name, **SAFE_CALLS[name])
    assert engine.requests or name == "docker_version"
    assert {request.method for request in engine.requests} <= {"GET", "HEAD"}
