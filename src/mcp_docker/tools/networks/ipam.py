"""The addresses of a network, in every form that people write them."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_IPAM = 'write {"subnet":"10.9.0.0/24","gateway":"10.9.0.1"}; it may have ip_range and aux_addresses too'
_POOL = {
    "subnet": "Subnet",
    "gateway": "Gateway",
    "iprange": "IPRange",
    "auxaddresses": "AuxiliaryAddresses",
    "auxaddress": "AuxiliaryAddresses",
    "auxiliaryaddresses": "AuxiliaryAddresses",
}


@dataclass(frozen=True)
class Addresses:
    """Where a network's addresses come from, in the engine's own words."""

    driver: str = "default"
    pools: list[dict[str, Any]] = field(default_factory=list)


def _ipam(value: Any) -> Addresses:
    """One pool, several, or either in Docker's or docker-py's own form."""
    if isinstance(value, str):
        value = {"subnet": value}
    if isinstance(value, list):
        value = {"config": value}
    parts = _plain(value)
    driver = parts.pop("driver", None) or "default"
    if "config" in parts or "poolconfigs" in parts:
        pools = parts.pop("config", None) or parts.pop("poolconfigs", None) or []
        parts = {key: left for key, left in parts.items() if left}
    else:
        pools, parts = [parts] if parts else [], {}
    if parts or not isinstance(driver, str):
        raise ValueError(_IPAM)
    pools = pools if isinstance(pools, list) else [pools]
    if len(pools) > 16:
        raise ValueError("at most 16 pools")
    return Addresses(driver, [_pool(pool) for pool in pools])


def _plain(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(_IPAM)
    return {re.sub("[_-]", "", str(key)).lower(): item for key, item in value.items() if item is not None}


def _pool(value: Any) -> dict[str, Any]:
    parts = _plain(value)
    if "subnet" not in parts or not set(parts) <= set(_POOL):
        raise ValueError(_IPAM)
    subnet = _net(parts.pop("subnet"))
    pool: dict[str, Any] = {"Subnet": str(subnet)}
    for key, item in parts.items():
        if key == "iprange":
            share = _net(item)
            if share.version != subnet.version or not share.subnet_of(subnet):  # type: ignore[arg-type]
                raise ValueError(f"ip_range {share} is not within {subnet}")
            pool["IPRange"] = str(share)
        elif key == "gateway":
            pool["Gateway"] = _address(item, subnet)
        elif isinstance(item, dict):
            pool["AuxiliaryAddresses"] = {str(name): _address(each, subnet) for name, each in item.items()}
        else:
            raise ValueError('aux_addresses: write {"name":"10.9.0.5"}')
    return pool


def _net(text: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(text, str) or "/" not in text:
        raise ValueError(f"{text!r} is no subnet: write 10.9.0.0/24")
    net = ipaddress.ip_network(text, strict=False)
    if net != ipaddress.ip_interface(text).network or ipaddress.ip_interface(text).ip != net.network_address:
        raise ValueError(f"{text!r} names an address within a subnet: write {net}")
    return net


def _address(text: Any, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no address")
    address = ipaddress.ip_address(text)
    if address not in subnet:
        raise ValueError(f"{address} is not within {subnet}")
    return str(address)


Ipam = Annotated[Addresses, BeforeValidator(_ipam), WithJsonSchema({"type": "object"})]
