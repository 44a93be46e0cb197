"""What a token's scopes and groups let its caller see and call, within the operator's settings."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_docker.tool import Tier


def tiers(scopes: Collection[str], names: Mapping[Tier, str]) -> frozenset[Tier]:
    """The tiers that scopes name. They cumulate: a scope counts only beside those of the tiers below it."""
    granted: set[Tier] = set()
    for tier in Tier:
        if names[tier] not in scopes:
            break
        granted.add(tier)
    return frozenset(granted)


@dataclass(frozen=True)
class GroupMap:
    """Which tools the groups in a claim allow.

    Attributes:
        claim: name of the claim, or its path with dots, as `realm_access.roles`; None: groups don't matter.
        groups: names of tools by group.
    """

    claim: str | None = None
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)

    def tools(self, claims: Mapping[str, Any] | None) -> frozenset[str] | None:
        """Tools that a caller with these claims may use; None: all that the tiers allow."""
        if self.claim is None:
            return None
        return frozenset(tool for group in _groups(self.claim, claims or {}) for tool in self.groups.get(group, ()))


def _groups(path: str, claims: Mapping[str, Any]) -> list[str]:
    # The whole name first: names of claims may be addresses, with dots in them.
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return [value]
    return [group for group in value if isinstance(group, str)] if isinstance(value, list) else []
