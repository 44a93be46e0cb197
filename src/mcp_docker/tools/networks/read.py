"""Networks: what there is."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mcp_docker.engine import lookup
from mcp_docker.tool import Answer, Context, Fact, Tier, Tool
from mcp_docker.tools.fields import Filters, NetworkId


class NetworkRow(Fact):
    """A network in a list."""

    id: str
    name: str
    driver: str
    scope: str
    internal: bool
    subnets: list[str]
    created: str | None = None
    compose_project: str | None = None


class NetworkList(Answer):
    rest = "use filters to see others."

    networks: list[NetworkRow]


class ListNetworks(Tool, tier=Tier.SAFE):
    """List networks."""

    filters: Annotated[
        Filters | None, Field(description='Docker filters, e.g. {"driver":"bridge","name":"web","type":"custom"}')
    ] = None

    def run(self, ctx: Context) -> NetworkList:
        found = ctx.engine.docker.networks(filters=self.filters)
        return NetworkList(networks=[_row(network) for network in found])


def _row(network: dict[str, Any]) -> NetworkRow:
    return NetworkRow(
        id=network["Id"][:12],
        name=network.get("Name") or "",
        driver=network.get("Driver") or "",
        scope=network.get("Scope") or "",
        internal=bool(network.get("Internal")),
        subnets=[pool["Subnet"] for pool in _pools(network) if pool.get("Subnet")],
        created=network.get("Created") or None,
        compose_project=(network.get("Labels") or {}).get("com.docker.compose.project"),
    )


def _pools(network: dict[str, Any]) -> list[dict[str, Any]]:
    return (network.get("IPAM") or {}).get("Config") or []


class AddressPool(Fact):
    """Addresses that a network gives out."""

    subnet: str
    gateway: str | None = None
    ip_range: str | None = None


class Member(Fact):
    """A container in a network."""

    id: str
    name: str
    ipv4: str | None = None
    ipv6: str | None = None


class NetworkDetails(Answer):
    """One network; `raw` has the engine's whole answer when asked for."""

    rest = "the cut field is shorter with raw=false."

    id: str
    name: str
    driver: str
    scope: str
    created: str | None = None
    internal: bool
    attachable: bool
    ipv6: bool
    pools: list[AddressPool]
    options: dict[str, str]
    labels: dict[str, str]
    containers: list[Member] = Field(description="Docker Engine lists running ones only")
    untrusted: Literal[True] = Field(default=True, description="Names and labels are strangers' text")
    raw: dict[str, Any] | None = None


class InspectNetwork(Tool, tier=Tier.SAFE):
    """Show a network's addresses, options and connected containers."""

    network_id: NetworkId
    raw: Annotated[bool, Field(description="Add the engine's whole answer")] = False

    def run(self, ctx: Context) -> NetworkDetails:
        found = lookup.network(ctx.engine, self.network_id)
        return NetworkDetails(
            id=found["Id"],
            name=found.get("Name") or "",
            driver=found.get("Driver") or "",
            scope=found.get("Scope") or "",
            created=found.get("Created") or None,
            internal=bool(found.get("Internal")),
            attachable=bool(found.get("Attachable")),
            ipv6=bool(found.get("EnableIPv6")),
            pools=[
                AddressPool(
                    subnet=pool.get("Subnet") or "",
                    gateway=pool.get("Gateway") or None,
                    ip_range=pool.get("IPRange") or None,
                )
                for pool in _pools(found)
            ],
            options=found.get("Options") or {},
            labels=found.get("Labels") or {},
            containers=members(found),
            raw=found if self.raw else None,
        )


def members(network: Mapping[str, Any]) -> list[Member]:
    return sorted(
        (
            Member(
                id=container_id[:12],
                name=place.get("Name") or "",
                ipv4=(place.get("IPv4Address") or "").partition("/")[0] or None,
                ipv6=(place.get("IPv6Address") or "").partition("/")[0] or None,
            )
            for container_id, place in (network.get("Containers") or {}).items()
        ),
        key=lambda member: member.name,
    )
