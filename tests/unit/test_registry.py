"""Which tools are visible."""

from dataclasses import replace

import pytest
from loguru import logger

from mcp_docker.caller import Caller
from mcp_docker.errors import PromptNotAvailable, ResourceNotAvailable, SettingsError, ToolNotAvailable
from mcp_docker.registry import Hidden, Registry
from mcp_docker.settings import load
from mcp_docker.tool import Kind, Tier
from tests.conftest import CALLER


def registry(**settings: object) -> Registry:
    return Registry(load(**settings))  # type: ignore[arg-type]


def tiers(found: Registry) -> set[Tier]:
    return {tool.spec.tier for tool in found.visible(CALLER).values()}


def test_a_registry_of_chosen_tools_has_no_others() -> None:
    chosen = {"docker_version": registry().visible(CALLER)["docker_version"]}
    assert Registry(load(), chosen).visible(CALLER) == chosen


def test_the_tiers_cumulate() -> None:
    assert tiers(registry()) == {Tier.SAFE, Tier.MODERATE}
    assert tiers(registry(safety_allow_destructive_operations=True)) == set(Tier)
    off = registry(safety_allow_destructive_operations=True, safety_allow_moderate_operations=False)
    assert tiers(off) == {Tier.SAFE}


def test_deny_wins_over_allow() -> None:
    found = registry(safety_allowed_tools=("docker_version", "docker_events"), safety_denied_tools=("docker_events",))
    assert set(found.visible(CALLER)) == {"docker_version"}
    hidden = {entry.declared.spec.name: entry.hidden for entry in found.entries(CALLER)}
    assert hidden["docker_events"] is Hidden.DENIED
    assert hidden["docker_list_images"] is Hidden.NOT_LISTED


def test_an_allow_list_does_not_switch_a_tier_on() -> None:
    assert registry(safety_allowed_tools=("docker_remove_volume",)).visible(CALLER) == {}


def test_an_empty_allow_list_allows_nothing() -> None:
    assert registry(safety_allowed_tools=()).visible(CALLER) == {}


def test_an_alias_counts_in_lists_and_in_calls() -> None:
    found = registry(safety_allow_destructive_operations=True)
    assert found.find("docker_system_prune", CALLER) is found.find("docker_prune_system", CALLER)
    assert "docker_system_prune" not in found.visible(CALLER)
    denied = registry(safety_allow_destructive_operations=True, safety_denied_tools=("docker_system_prune",))
    assert "docker_prune_system" not in denied.visible(CALLER)


def test_tools_of_the_1x_line_that_are_gone_are_accepted_in_lists_with_a_warning() -> None:
    warnings: list[str] = []
    sink = logger.add(lambda message: warnings.append(message.record["message"]))
    found = registry(safety_allowed_tools=("docker_system_info", "docker_version"))
    logger.remove(sink)
    assert set(found.visible(CALLER)) == {"docker_version"}
    assert warnings == ["SAFETY_ALLOWED_TOOLS: docker_system_info is a tool of the 1.x line that exists no more"]


@pytest.mark.parametrize("setting", ["safety_allowed_tools", "safety_denied_tools"])
def test_an_unknown_tool_in_a_list_stops_the_start_with_the_nearest_name(setting: str) -> None:
    with pytest.raises(SettingsError) as stopped:
        registry(**{setting: ("docker_list_container", "docker_list_cntnrs", "zzz", "docker_version")})
    begin = f"{setting.upper()}: there is no tool"
    assert stopped.value.problems == [
        f"{begin} 'docker_list_container'; did you mean docker_list_containers?",
        f"{begin} 'docker_list_cntnrs'; did you mean docker_list_containers?",
        f"{begin} 'zzz'; \"mcp-docker tools\" lists them",
    ]


def test_a_name_that_is_only_a_little_like_another_is_still_advised() -> None:
    with pytest.raises(SettingsError, match=r"did you mean docker_version\?"):
        registry(safety_denied_tools=("versions_x",))


def test_unknown_and_forbidden_tools_get_the_same_words() -> None:
    found = registry()
    with pytest.raises(ToolNotAvailable) as forbidden:
        found.find("docker_remove_volume", CALLER)
    with pytest.raises(ToolNotAvailable) as unknown:
        found.find("docker_remove_volumes", CALLER)
    assert '"docker_remove_volume" is not available here' in str(forbidden.value)
    assert str(unknown.value) == str(forbidden.value).replace("docker_remove_volume", "docker_remove_volumes")


def test_a_time_limit_is_the_operators_the_tools_own_or_the_default() -> None:
    found = registry(safety_tool_timeouts={"docker_events": 5}, safety_default_tool_timeout=20)
    seconds = {name: found.seconds(found.find(name, CALLER).parse({})) for name in ("docker_events", "docker_version")}
    assert seconds == {"docker_events": 5, "docker_version": 20}
    assert (
        found.seconds(found.find("docker_stop_container", CALLER).parse({"container_id": "web", "timeout": 100})) == 115
    )


def test_a_time_limit_for_an_unknown_tool_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"^SAFETY_TOOL_TIMEOUTS: there is no tool 'docker_evnts'"):
        registry(safety_tool_timeouts={"docker_evnts": 5})


def names(found: Registry, kind: Kind, caller: Caller = CALLER) -> set[str]:
    return {entry.declared.spec.name for entry in found.entries(caller, kind) if entry.hidden is None}


def test_all_prompts_and_resources_are_visible_by_default() -> None:
    found = registry()
    assert names(found, Kind.RESOURCE) == set(found.resources(CALLER)) == {"container_logs", "container_stats"}
    assert names(found, Kind.PROMPT) == set(found.prompts(CALLER))
    assert len(found.prompts(CALLER)) == 5


def test_lists_of_prompts_and_of_resources_allow_only_what_they_name() -> None:
    found = registry(safety_allowed_prompts=("security_audit",), safety_allowed_resources=())
    assert names(found, Kind.PROMPT) == {"security_audit"}
    assert names(found, Kind.RESOURCE) == set()
    hidden = {entry.hidden for entry in found.entries(CALLER, Kind.PROMPT)} - {None}
    assert hidden == {Hidden.PROMPT_NOT_LISTED}
    with pytest.raises(PromptNotAvailable):
        found.find("generate_compose", CALLER, Kind.PROMPT)
    for kind in (Kind.RESOURCE, Kind.SUBSCRIPTION):
        with pytest.raises(ResourceNotAvailable):
            found.find("container_logs", CALLER, kind)


@pytest.mark.parametrize(
    ("setting", "name", "nearest"),
    [
        ("safety_allowed_prompts", "generate_composer", "generate_compose"),
        ("safety_allowed_resources", "container_log", "container_logs"),
    ],
)
def test_an_unknown_prompt_or_resource_in_a_list_is_refused_with_the_nearest_name(
    setting: str, name: str, nearest: str
) -> None:
    kind = setting.removeprefix("safety_allowed_").removesuffix("s")
    with pytest.raises(SettingsError, match=f"^{setting.upper()}: there is no {kind} '{name}'; did you mean {nearest}"):
        registry(**{setting: (name,)})


@pytest.mark.parametrize(
    ("settings", "caller"),
    [
        ({"safety_denied_tools": ("docker_container_logs",)}, CALLER),
        ({"safety_allowed_tools": ("docker_container_stats",)}, CALLER),
        ({}, replace(CALLER, tools=frozenset({"docker_container_stats"}))),
    ],
)
def test_a_resource_is_visible_only_where_the_tool_is_whose_facts_it_shows(
    settings: dict[str, object], caller: Caller
) -> None:
    found = registry(**settings)
    assert names(found, Kind.RESOURCE, caller) == {"container_stats"}
    assert [entry.hidden for entry in found.entries(caller, Kind.RESOURCE)] == [Hidden.SHOWS_HIDDEN, None]


def test_a_caller_without_scopes_sees_nothing_of_any_kind() -> None:
    nobody = replace(CALLER, tiers=frozenset())
    assert {name for kind in Kind for name in names(registry(), kind, nobody)} == set()


def test_every_prompt_and_resource_shows_facts_of_tools_that_there_are() -> None:
    found = registry()
    tools = set(found.visible(CALLER))
    for kind in (Kind.PROMPT, Kind.RESOURCE, Kind.COMPLETION):
        for entry in found.entries(CALLER, kind):
            assert entry.declared.spec.shows, entry
            assert set(entry.declared.spec.shows) <= tools, entry
