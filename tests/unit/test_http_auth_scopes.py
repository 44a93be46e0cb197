"""Scopes are tiers, and groups are lists of tools."""

from typing import Any

import pytest

from mcp_docker.http.auth import GroupMap, tiers
from mcp_docker.tool import Tier

NAMES = {Tier.SAFE: "docker:read", Tier.MODERATE: "docker:write", Tier.DESTRUCTIVE: "docker:destroy"}


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ([], set()),
        (["docker:read"], {Tier.SAFE}),
        (["docker:write", "docker:read"], {Tier.SAFE, Tier.MODERATE}),
        (["docker:destroy", "docker:read", "docker:write"], set(Tier)),
        (["docker:read", "docker:destroy"], {Tier.SAFE}),
        (["docker:destroy"], set()),
        (["docker:write", "docker:destroy"], set()),
        (["DOCKER:READ", "docker:read docker:write", "docker:*", "docker"], set()),
    ],
)
def test_scopes_are_tiers_and_cumulate(scopes: list[str], expected: set[Tier]) -> None:
    assert tiers(scopes, NAMES) == expected


GROUPS = {"ops": ("docker_a", "docker_b"), "dev": ("docker_b", "docker_c"), "none": ()}


@pytest.mark.parametrize(
    ("claim", "claims", "expected"),
    [
        ("groups", {"groups": ["ops", "dev", "strangers"]}, {"docker_a", "docker_b", "docker_c"}),
        ("groups", {"groups": "ops"}, {"docker_a", "docker_b"}),
        ("groups", {"groups": "ops dev"}, set()),
        ("groups", {"groups": ["none"]}, set()),
        ("groups", {"groups": [["ops"], 5, None]}, set()),
        ("groups", {"groups": {"ops": True}}, set()),
        ("groups", {}, set()),
        ("groups", None, set()),
        ("realm_access.roles", {"realm_access": {"roles": ["dev"]}}, {"docker_b", "docker_c"}),
        ("realm_access.roles", {"realm_access": ["roles"]}, set()),
        ("realm_access.roles", {"realm_access": {"roles": {"x": 1}}}, set()),
        ("https://a.example/roles", {"https://a.example/roles": ["ops"]}, {"docker_a", "docker_b"}),
    ],
)
def test_groups_allow_tools(claim: str, claims: dict[str, Any] | None, expected: set[str]) -> None:
    assert GroupMap(claim, GROUPS).tools(claims) == frozenset(expected)


def test_without_a_claim_groups_do_not_matter() -> None:
    assert GroupMap().tools({"groups": ["ops"]}) is None
    assert GroupMap("groups").tools({"groups": ["ops"]}) == frozenset()
