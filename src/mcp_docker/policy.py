"""May these arguments pass? Decided on typed values, before the engine is asked for anything."""

from collections.abc import Callable

from mcp_docker.errors import NotPermitted
from mcp_docker.settings import Settings
from mcp_docker.tool import Demand, Power, Tool

_PRIVILEGES = "SAFETY_ALLOW_PRIVILEGED_CONTAINERS=true allows it"
_NEVER = "no setting allows it"


def _privileges_allowed(settings: Settings, _value: str) -> bool:
    return settings.safety_allow_privileged_containers


def _never(_settings: Settings, _value: str) -> bool:
    return False


RULES: dict[Power, tuple[Callable[[Settings, str], bool], str]] = {
    Power.PRIVILEGED: (_privileges_allowed, _PRIVILEGES),
    Power.HOST_NAMESPACE: (_privileges_allowed, _PRIVILEGES),
    Power.CAPABILITY: (_privileges_allowed, _PRIVILEGES),
    Power.SECURITY_OPTION: (_privileges_allowed, _PRIVILEGES),
    Power.HOST_MOUNT: (_never, f"{_NEVER}; use a named volume instead"),
    Power.VOLUME_DRIVER: (_never, f"{_NEVER}; use the driver 'local'"),
    Power.VOLUME_OPTION: (_never, f"{_NEVER}: options can mount the host"),
    Power.NETWORK_DRIVER: (_privileges_allowed, _PRIVILEGES),
    Power.PUBLISH_ADDRESS: (
        lambda settings, address: address in settings.safety_publish_host_ip,
        "leave the address out to publish on 127.0.0.1, or add it to SAFETY_PUBLISH_HOST_IP",
    ),
}
"""For each power: when the operator allows it, and what to say when not."""


def check(tool: Tool, settings: Settings) -> None:
    """Refuse arguments that ask for more than the operator allows.

    Raises:
        NotPermitted: naming every demand that is refused, and the setting that would allow it.
    """
    refused: list[Demand] = [demand for demand in tool.demands() if not RULES[demand.power][0](settings, demand.value)]
    if refused:
        raise NotPermitted(
            "; ".join(f"{demand.power} {demand.value!r} is not allowed" for demand in refused),
            " ".join(dict.fromkeys(RULES[demand.power][1] + "." for demand in refused)),
        )
