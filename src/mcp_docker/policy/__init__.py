"""May this call do what it asks for? Decided on typed values, and on what the engine shows, before anything changes."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from mcp_docker import errors
from mcp_docker.engine import Engine, own
from mcp_docker.errors import NotPermitted
from mcp_docker.policy import builds, mounts, registries
from mcp_docker.settings import Settings
from mcp_docker.tool import Demand, Outlook, Power, Thing

Rule = Callable[[Settings, str, Engine], str]
"""What a call is to use for the value it asks for. Raises a NotPermitted that names the setting that would allow it."""

_PRIVILEGES = "SAFETY_ALLOW_PRIVILEGED_CONTAINERS=true allows it"


def _privilege(power: Power, narrower: Callable[[Settings], tuple[str, ...]] | None = None, name: str = "") -> Rule:
    def rule(settings: Settings, value: str, _engine: Engine) -> str:
        listed = narrower(settings) if narrower else ()
        if not settings.safety_allow_privileged_containers and value not in listed:
            named = f"{name} lists those that are allowed, or " if name else ""
            raise errors.PrivilegeRefused(f"{power} {value!r} is not allowed", f"{named}{_PRIVILEGES}.")
        return value

    return rule


def _volume_driver(settings: Settings, value: str, _engine: Engine) -> str:
    if value not in settings.safety_allowed_volume_drivers:
        raise errors.VolumeRefused(
            f"the volume driver {value!r} is not allowed",
            "use the driver 'local'; SAFETY_ALLOWED_VOLUME_DRIVERS allows others.",
        )
    return value


def _volume_option(settings: Settings, value: str, _engine: Engine) -> str:
    if not {value, value.partition("=")[0]} & set(settings.safety_allowed_volume_options):
        raise errors.VolumeRefused(
            f"the volume option {value!r} is not allowed: options can mount the host",
            "leave it out; SAFETY_ALLOWED_VOLUME_OPTIONS allows named ones.",
        )
    return value


def _network(settings: Settings, value: str, _engine: Engine) -> str:
    if not settings.safety_allow_privileged_containers:
        raise errors.NetworkRefused(f"the network driver {value} is not allowed", f"{_PRIVILEGES}.")
    return value


def _address(settings: Settings, value: str, _engine: Engine) -> str:
    if value not in settings.safety_publish_host_ip:
        raise errors.AddressRefused(
            f"publishing on {value!r} is not allowed",
            "leave the address out to publish on 127.0.0.1; SAFETY_PUBLISH_HOST_IP allows others.",
        )
    return value


def _exec(power: Power) -> Rule:
    def rule(settings: Settings, value: str, _engine: Engine) -> str:
        if not settings.safety_allow_privileged_containers:
            raise errors.ExecRefused(f"{power} {value} is not allowed", f"{_PRIVILEGES}.")
        return value

    return rule


def _exec_mount(settings: Settings, value: str, engine: Engine) -> str:
    if not settings.safety_allow_privileged_containers and mounts.as_good_as_the_host(value, engine):
        raise errors.ExecRefused(
            f"exec in a container that mounts {value!r}, by which it reaches the engine, is not allowed",
            f"{_PRIVILEGES}.",
        )
    return value


def _deletion(settings: Settings, value: str, _engine: Engine) -> str:
    if not settings.safety_allow_destructive_operations:
        raise errors.DeletionRefused(
            f"{value}, and destructive operations are off", "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true allows it."
        )
    return value


RULES: dict[Power, Rule] = {
    Power.PRIVILEGED: _privilege(Power.PRIVILEGED),
    Power.HOST_NAMESPACE: _privilege(Power.HOST_NAMESPACE),
    Power.CAPABILITY: _privilege(
        Power.CAPABILITY, lambda settings: settings.safety_allowed_capabilities, "SAFETY_ALLOWED_CAPABILITIES"
    ),
    Power.SECURITY_OPTION: _privilege(Power.SECURITY_OPTION),
    Power.DEVICE: _privilege(Power.DEVICE, lambda settings: settings.safety_allowed_devices, "SAFETY_ALLOWED_DEVICES"),
    Power.SYSCTL: _privilege(Power.SYSCTL, lambda settings: settings.safety_allowed_sysctls, "SAFETY_ALLOWED_SYSCTLS"),
    Power.RUNTIME: _privilege(
        Power.RUNTIME, lambda settings: settings.safety_allowed_runtimes, "SAFETY_ALLOWED_RUNTIMES"
    ),
    Power.CGROUP_PARENT: _privilege(Power.CGROUP_PARENT),
    Power.HOST_MOUNT: mounts.source,
    Power.VOLUME_DRIVER: _volume_driver,
    Power.VOLUME_OPTION: _volume_option,
    Power.NETWORK_DRIVER: _network,
    Power.PUBLISH_ADDRESS: _address,
    Power.EXEC_ROOT: _exec(Power.EXEC_ROOT),
    Power.EXEC_TARGET: _exec(Power.EXEC_TARGET),
    Power.EXEC_MOUNT: _exec_mount,
    Power.BUILD_ROOT: builds.build_root,
    Power.PULL: registries.pull,
    Power.PUSH: registries.push,
    Power.DELETION: _deletion,
}


def check(settings: Settings) -> None:
    """Look over the settings that only the rules understand.

    Raises:
        SettingsError: a list of registries has a malformed entry.
    """
    problems = []
    for name in ("safety_allowed_registries", "safety_allowed_push_registries"):
        try:
            registries.checked(getattr(settings, name) or ())
        except ValueError as problem:
            problems.append(f"{name.upper()}: {problem}")
    if problems:
        raise errors.SettingsError(problems)


def permit(demands: Iterable[Demand], settings: Settings, engine: Engine) -> dict[Demand, str]:
    """What the call is to use for each power it asks for.

    Raises:
        NotPermitted: naming every demand that is refused, and the settings that would allow them. The code is the
            first one's. With SAFETY_YOLO_MODE only deletions are judged, which are a matter of tiers.
    """
    granted: dict[Demand, str] = {}
    refused: list[NotPermitted] = []
    for demand in demands:
        if settings.safety_yolo_mode and demand.power is not Power.DELETION:
            granted[demand] = demand.value
            continue
        try:
            granted[demand] = RULES[demand.power](settings, demand.value, engine)
        except NotPermitted as problem:
            refused.append(problem)
    if refused:
        whats, hints = (
            dict.fromkeys(texts) for texts in zip(*((each.what, each.hint) for each in refused), strict=True)
        )
        raise type(refused[0])("; ".join(whats), " ".join(hints))
    return granted


def judge(outlook: Outlook, settings: Settings, engine: Engine, *, sweeping: bool) -> Outlook:
    """Refuse what must not be touched.

    Args:
        sweeping: the call takes what it finds (a prune): what must not go is left out, and nothing is refused.

    Returns:
        The outlook, without what is left out.

    Raises:
        Protected, OwnContainer: an object must not be changed, or taken away.
        NotPermitted: for the outlook's demands.
    """
    if sweeping:
        spared = [thing for thing in outlook.loses if _untouchable(thing, settings)]
        # a network that only a spared container is configured for counted as unused
        needed = ("network",) if any(thing.kind == "container" for thing in spared) else ()
        kept = tuple(thing for thing in outlook.loses if thing not in spared and thing.kind not in needed)
        outlook = replace(outlook, loses=kept)
    for thing in (*outlook.changes, *outlook.loses):
        if refusal := _untouchable(thing, settings):
            raise refusal
    permit(outlook.demands, settings, engine)
    return outlook


def _untouchable(thing: Thing, settings: Settings) -> NotPermitted | None:
    if thing.kind == "container" and thing.id == own.container_id():
        return errors.OwnContainer(
            f"container {thing.name} is the one that this server runs in", "no setting allows it; work on another."
        )
    for label in settings.safety_protected_labels:
        name, equals, value = label.partition("=")
        if name in thing.labels and (not equals or thing.labels[name] == value):
            return errors.Protected(
                f"{thing.kind} {thing.name} carries the label {label!r}, which is protected",
                "SAFETY_PROTECTED_LABELS says what must not be changed; leave it as it is.",
            )
    return None
