"""Networks: making and removing them, joining and leaving them."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from mcp_docker import errors
from mcp_docker.engine import lookup
from mcp_docker.tool import Answer, Context, Demand, LossAnswer, Outlook, Power, Thing, Tier, Tool
from mcp_docker.tools import making
from mcp_docker.tools.containers.lifecycle import thing_of
from mcp_docker.tools.containers.powers import seen
from mcp_docker.tools.fields import ContainerId, DryRun, Labels, NetworkId, Options
from mcp_docker.tools.networks.ipam import Ipam
from mcp_docker.tools.networks.read import members

PREDEFINED = frozenset({"bridge", "host", "none", "podman"})
DRIVERS = frozenset({"bridge", "overlay"})
"""Drivers that stay apart from the host's own interfaces."""

HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
HARMLESS = re.compile(
    r"com\.docker\.network\.bridge\.(enable_icc|enable_ip_masquerade|inhibit_ipv4)=.*"
    r"|com\.docker\.network\.bridge\.gateway_mode_ipv[46]=(nat|isolated)"
    r"|com\.docker\.network\.(driver\.mtu|container_iface_prefix|enable_ipv[46])=.*"
    r"|(mtu|isolate|encrypted)=.*"
)
"""Options that say how a network behaves within itself. Others name the host's interfaces or open its firewall."""

PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7")
)
"""A network elsewhere would take the host's own way to real addresses."""


class NetworkCreated(Answer):
    id: str
    name: str
    warning: str | None = None


class CreateNetwork(Tool, tier=Tier.MODERATE, verify="docker_list_networks"):
    """Create a network."""

    name: Annotated[NetworkId, Field(description="Name")]
    driver: Annotated[str, Field(min_length=1, max_length=128, description="bridge or overlay")] = "bridge"
    options: Annotated[Options | None, Field(description="Driver options")] = None
    ipam: Annotated[
        Ipam | None,
        Field(description='e.g. {"subnet":"10.9.0.0/24","gateway":"10.9.0.1"}'),
    ] = None
    internal: Annotated[bool, Field(description="No way out")] = False
    labels: Annotated[Labels | None, Field(description="Labels")] = None
    enable_ipv6: Annotated[bool, Field(description="IPv6 too")] = False
    attachable: Annotated[bool, Field(description="Overlay: containers may join")] = False

    @model_validator(mode="after")
    def _ipv6_is_on(self) -> "CreateNetwork":
        if not self.enable_ipv6 and any(":" in pool["Subnet"] for pool in self._subnets()):
            raise ValueError("ipam: an IPv6 subnet needs enable_ipv6=true")
        return self

    def _subnets(self) -> list[dict[str, Any]]:
        return self.ipam.pools if self.ipam else []

    def demands(self) -> Iterator[Demand]:
        if self.driver not in DRIVERS:
            yield Demand(Power.NETWORK_DRIVER, self.driver)
        if self.ipam and self.ipam.driver != "default":
            yield Demand(Power.NETWORK_DRIVER, f"{self.ipam.driver} for addresses")
        for name, value in (self.options or {}).items():
            if name == HOST_BINDING:
                if not _is_loopback(value):
                    yield Demand(Power.PUBLISH_ADDRESS, value)
            elif not HARMLESS.fullmatch(f"{name}={value}"):
                yield Demand(Power.NETWORK_DRIVER, f"{self.driver} with {name}={value}")
        for pool in self._subnets():
            subnet = ipaddress.ip_network(pool["Subnet"])
            if not any(subnet.version == each.version and subnet.subnet_of(each) for each in PRIVATE):  # type: ignore[arg-type]
                yield Demand(Power.NETWORK_DRIVER, f"{self.driver} with the subnet {subnet}, which is not private")

    def run(self, ctx: Context) -> NetworkCreated:
        made = making.made(
            lambda: ctx.engine.docker.create_network(
                self.name,
                driver=self.driver,
                options=self.options,
                # the client's own type adds nothing to this
                ipam={"Driver": self.ipam.driver, "Config": self.ipam.pools} if self.ipam else None,  # type: ignore[arg-type]
                # engines before 25 allow two networks of one name unless asked not to
                check_duplicate=True,
                internal=self.internal,
                labels=self.labels,
                enable_ipv6=self.enable_ipv6,
                attachable=self.attachable,
            )
        )
        with making.undone_on_error(ctx, "network", self.name, lambda: ctx.engine.docker.remove_network(made["Id"])):
            return NetworkCreated(id=made["Id"], name=self.name, warning=made.get("Warning") or None)


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _links(value: Any) -> Any:
    if isinstance(value, dict):
        value = [f"{container}:{alias or container}" for container, alias in value.items()]
    return [value] if isinstance(value, str) else value


def _link(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][\w.-]{0,254}(:[a-zA-Z0-9][\w.-]{0,254})?", value, re.ASCII):
        raise ValueError(f'{value[:300]!r} is no link: write "container:alias"')
    return value if ":" in value else f"{value}:{value}"


Names = Annotated[list[NetworkId], BeforeValidator(_links), Field(max_length=64)]
Links = Annotated[list[Annotated[str, AfterValidator(_link)]], BeforeValidator(_links), Field(max_length=64)]
Texts = WithJsonSchema({"type": "array", "items": {"type": "string"}})


class ContainerConnected(Answer):
    network: str
    container: str
    ipv4: str | None = Field(default=None, description="Absent until it runs")
    ipv6: str | None = None


class ConnectContainer(Tool, tier=Tier.MODERATE, verify="docker_inspect_container"):
    """Connect a container to a network."""

    network_id: NetworkId
    container_id: ContainerId
    aliases: Annotated[Annotated[Names, Texts] | None, Field(description="Names it answers to there")] = None
    ipv4_address: Annotated[IPv4Address | None, Field(description="Fixed IPv4 address")] = None
    ipv6_address: Annotated[IPv6Address | None, Field(description="Fixed IPv6 address")] = None
    links: Annotated[Annotated[Links, Texts] | None, Field(description='"container:alias"')] = None

    def look(self, ctx: Context) -> Outlook:
        network = lookup.network(ctx.engine, self.network_id)
        container = lookup.container(ctx.engine, self.container_id)
        changes = network_thing(network), thing_of(container)
        return Outlook(changes=changes, demands=tuple(network_demands(network)), found=network)

    def run(self, ctx: Context) -> ContainerConnected:
        docker = ctx.engine.docker
        network, joining = ctx.outlook.found, ctx.outlook.changes[1]
        wanted = {str(address) for address in (self.ipv4_address, self.ipv6_address) if address}
        # found out here, since Podman leaves the container broken, and can list none at all then
        if holder := next((member for member in members(network) if wanted & {member.ipv4, member.ipv6}), None):
            raise errors.Conflict(
                f"the address is that of container {holder.name or holder.id}",
                "choose another; docker_inspect_network shows which are taken.",
            )
        docker.connect_container_to_network(
            joining.id,
            network["Id"],
            aliases=self.aliases,
            links=[(name, alias) for name, _, alias in (link.partition(":") for link in self.links or [])] or None,
            ipv4_address=str(self.ipv4_address) if self.ipv4_address else None,
            ipv6_address=str(self.ipv6_address) if self.ipv6_address else None,
        )
        container = docker.inspect_container(joining.id)
        places = (container.get("NetworkSettings") or {}).get("Networks") or {}
        place = places.get(network["Name"]) or {}
        return ContainerConnected(
            network=network["Name"],
            container=joining.name,
            ipv4=place.get("IPAddress") or None,
            ipv6=place.get("GlobalIPv6Address") or None,
        )


class ContainerDisconnected(Answer):
    network: str
    container: str


class DisconnectContainer(Tool, tier=Tier.MODERATE, verify="docker_inspect_container"):
    """Disconnect a container from a network."""

    network_id: NetworkId
    container_id: ContainerId
    force: Annotated[bool, Field(description="Even if the container is gone")] = False

    def look(self, ctx: Context) -> Outlook:
        network = network_thing(lookup.network(ctx.engine, self.network_id))
        # a container that is gone can still hold its place
        if self.force and seen(ctx, self.container_id) is None:
            return Outlook(changes=(network,))
        return Outlook(changes=(network, thing_of(lookup.container(ctx.engine, self.container_id))))

    def run(self, ctx: Context) -> ContainerDisconnected:
        network, *leaving = ctx.outlook.changes
        if not leaving and seen(ctx, self.container_id) is not None:
            raise errors.Conflict(
                f"container {self.container_id} was made meanwhile, or has this name by now",
                "call again if it is to be disconnected.",
            )
        container = leaving[0].id if leaving else self.container_id
        ctx.engine.docker.disconnect_container_from_network(container, network.id, force=self.force)
        return ContainerDisconnected(network=network.name, container=leaving[0].name if leaving else self.container_id)


class NetworkRemoved(LossAnswer):
    removed: str | None = None
    id: str | None = None


class RemoveNetwork(Tool, tier=Tier.DESTRUCTIVE, verify="docker_list_networks"):
    """Remove a network. Fails while containers are connected."""

    network_id: NetworkId
    dry_run: DryRun = False

    def look(self, ctx: Context) -> Outlook:
        if self.network_id in PREDEFINED:
            raise _predefined(self.network_id)
        found = lookup.network(ctx.engine, self.network_id, exact=True)
        name = found["Name"]
        if name in PREDEFINED:
            raise _predefined(name)
        if users := members(found):
            raise errors.InUse(
                f"network {name} is used by {', '.join(member.name or member.id for member in users[:20])}"
                + (f" and {len(users) - 20} more" if len(users) > 20 else ""),
                "docker_disconnect_container or docker_remove_container first.",
            )
        return Outlook(loses=(replace(network_thing(found), about=found.get("Driver") or ""),))

    def run(self, ctx: Context) -> NetworkRemoved:
        (network,) = ctx.outlook.loses
        ctx.engine.docker.remove_network(network.id)
        return NetworkRemoved(removed=network.name, id=network.id)


def network_thing(found: dict[str, Any]) -> Thing:
    """An inspected network as what a call changes or takes away."""
    return Thing("network", found["Id"], found["Name"], found.get("Labels") or {}, str(found.get("Created") or ""))


def network_demands(found: dict[str, Any]) -> Iterator[Demand]:
    """What joining an inspected network asks for: the host's own is the host's network, by whatever name."""
    if found.get("Driver") == "host" or found["Name"] == "host":
        yield Demand(Power.HOST_NAMESPACE, found["Name"])


def _predefined(name: str) -> errors.Conflict:
    return errors.Conflict(
        f"{name} is a network of the engine's own and can't be removed",
        "only networks that were created can; docker_list_networks(filters={'type':'custom'}) shows them.",
    )
