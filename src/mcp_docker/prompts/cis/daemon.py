"""Section 2, and 5.1: the engine, by GET /info and its default bridge."""

import ipaddress

from mcp_docker.prompts.cis import Daemon, Finding, Item, by_hand, failed, judged, not_applicable, passed

TELLS_NO_NEW_PRIVILEGES = (1, 43)
LOCAL_LOGS = frozenset({"", "none", "json-file", "local", "k8s-file", "passthrough"})
OPEN_API = "API is accessible on"


def _swarm(daemon: Daemon) -> Finding:
    state = (daemon.info.get("Swarm") or {}).get("LocalNodeState")
    if not state:
        return not_applicable("the engine tells of no swarm")
    return judged(state == "inactive", f"Swarm.LocalNodeState={state}")


def _rootless(daemon: Daemon) -> Finding:
    return judged("rootless" in daemon.features, _features(daemon))


def _icc(daemon: Daemon) -> Finding:
    option = "com.docker.network.bridge.enable_icc"
    if daemon.is_podman or daemon.bridge is None:
        return not_applicable("there is no default bridge of Docker's")
    value = (daemon.bridge.get("Options") or {}).get(option)
    return judged(value == "false", f"{option}={value} on the default bridge")


def _log_level(daemon: Daemon) -> Finding:
    if daemon.info.get("Debug"):
        return failed("Debug=true")
    return not_applicable("the API can't tell: debugging is off, and the level is not shown")


def _registries(daemon: Daemon) -> Finding:
    config = daemon.info.get("RegistryConfig")
    if not config or daemon.is_podman:
        return not_applicable("the engine does not tell which registries it trusts")
    insecure = [name for name, index in (config.get("IndexConfigs") or {}).items() if not (index or {}).get("Secure")]
    insecure += [cidr for cidr in config.get("InsecureRegistryCIDRs") or [] if not _loopback(str(cidr))]
    return judged(not insecure, f"insecure registries beyond this host: {', '.join(sorted(insecure)) or 'none'}")


def _loopback(cidr: str) -> bool:
    try:
        return ipaddress.ip_network(cidr).is_loopback
    except ValueError:
        return False


def _aufs(daemon: Daemon) -> Finding:
    driver = daemon.info.get("Driver")
    return judged(driver != "aufs", f"Driver={driver}") if driver else not_applicable("the engine names no driver")


def _tls(daemon: Daemon) -> Finding:
    warning = next((text for text in daemon.info.get("Warnings") or [] if OPEN_API in str(text)), None)
    if warning:
        return failed(str(warning))
    if daemon.address.startswith(("tcp://", "http://")):
        return by_hand("it listens on the network; whether it asks for client certificates is in its settings")(daemon)
    return by_hand("it does not say where it listens; it gives no warning of an open port")(daemon)


def _user_namespaces(daemon: Daemon) -> Finding:
    return judged({"userns", "rootless"} & set(daemon.features), _features(daemon))


def _authorization(daemon: Daemon) -> Finding:
    if daemon.is_podman:
        return not_applicable("Podman has no plugins for authorization")
    plugins = (daemon.info.get("Plugins") or {}).get("Authorization") or []
    return judged(plugins, f"Plugins.Authorization={', '.join(map(str, plugins)) or 'none'}")


def _logging(daemon: Daemon) -> Finding:
    driver = str(daemon.info.get("LoggingDriver") or "")
    if driver == "journald":
        return not_applicable("the API can't tell: LoggingDriver=journald, which may or may not forward")
    return judged(driver not in LOCAL_LOGS, f"LoggingDriver={driver or 'none'}")


def _no_new_privileges(daemon: Daemon) -> Finding:
    if "no-new-privileges" in daemon.features:
        return passed(_features(daemon))
    if daemon.is_podman or daemon.api < TELLS_NO_NEW_PRIVILEGES:
        return by_hand("this engine does not say what it sets by default")(daemon)
    return failed(_features(daemon))


def _live_restore(daemon: Daemon) -> Finding:
    if daemon.is_podman:
        return not_applicable("Podman's containers need no daemon to live on")
    if (daemon.info.get("Swarm") or {}).get("LocalNodeState") == "active":
        return not_applicable("live restore and swarm mode exclude each other")
    on = bool(daemon.info.get("LiveRestoreEnabled"))
    return judged(on, f"LiveRestoreEnabled={str(on).lower()}")


def _seccomp(daemon: Daemon) -> Finding:
    if "SecurityOptions" not in daemon.info:
        return by_hand("the engine does not say which security features it has")(daemon)
    return judged(daemon.features.get("seccomp", "unconfined") != "unconfined", _features(daemon))


def _experimental(daemon: Daemon) -> Finding:
    if daemon.is_podman or "ExperimentalBuild" not in daemon.info:
        return not_applicable("this engine has no experimental mode")
    on = bool(daemon.info["ExperimentalBuild"])
    return judged(not on, f"ExperimentalBuild={str(on).lower()}")


def _features(daemon: Daemon) -> str:
    return f"SecurityOptions={', '.join(map(str, daemon.info.get('SecurityOptions') or [])) or 'none'}"


_RESTART = "in daemon.json, and restart the engine."

DAEMON: tuple[Item[Daemon], ...] = (
    Item(
        "2.1",
        "Daemon runs as an ordinary user where possible",
        _rootless,
        "Consider rootless mode: what breaks out of a container is then no root on the host.",
    ),
    Item(
        "2.2",
        "Default bridge keeps containers apart",
        _icc,
        f'Set "icc": false {_RESTART} Containers that talk to each other belong on a network of their own.',
    ),
    Item("2.3", "Log level is info", _log_level, f'Set "debug": false and "log-level": "info" {_RESTART}'),
    Item("2.4", "Daemon may manage iptables", by_hand("the daemon's settings are not shown")),
    Item(
        "2.5",
        "No insecure registries",
        _registries,
        f'Give the registries certificates, and empty "insecure-registries" {_RESTART}',
    ),
    Item("2.6", "Storage driver is not aufs", _aufs, "Move to overlay2: aufs is no longer maintained."),
    Item(
        "2.7",
        "Daemon's network API uses TLS",
        _tls,
        "Close the open port, or ask for client certificates (tlsverify): who reaches it is root on the host.",
        "the engine's API is open on the network: who reaches it is root on the host",
    ),
    Item("2.8", "Default ulimits fit", by_hand("the daemon's default-ulimits are not shown")),
    Item(
        "2.9",
        "User namespaces are remapped",
        _user_namespaces,
        f'Set "userns-remap": "default" {_RESTART} Images and containers made before are then out of sight.',
    ),
    Item("2.10", "Default cgroup parent is as intended", by_hand("the daemon's cgroup-parent is not shown")),
    Item("2.11", "Base device size is unchanged", by_hand("storage options are not shown; only devicemapper has it")),
    Item(
        "2.12",
        "Client commands need authorization",
        _authorization,
        "Use an authorization plugin where several people share the engine.",
    ),
    Item(
        "2.13",
        "Logs go to a central place",
        _logging,
        f'Set a "log-driver" that sends logs elsewhere {_RESTART} Only new containers take it over.',
    ),
    Item(
        "2.14",
        "No new privileges by default",
        _no_new_privileges,
        f'Set "no-new-privileges": true {_RESTART}',
    ),
    Item(
        "2.15",
        "Live restore is on",
        _live_restore,
        f'Set "live-restore": true {_RESTART} Containers then outlive a restart of the engine.',
    ),
    Item("2.16", "Userland proxy is off", by_hand("the daemon's userland-proxy is not shown")),
    Item(
        "2.17",
        "Daemon applies a seccomp profile",
        _seccomp,
        'Remove "seccomp-profile": "unconfined" from daemon.json, or use a kernel that has seccomp.',
    ),
    Item("2.18", "No experimental features", _experimental, f'Set "experimental": false {_RESTART}'),
    Item(
        "5.1",
        "Swarm mode is off unless it is needed",
        _swarm,
        "Leave the swarm (docker swarm leave) if nothing runs as a service.",
    ),
)
