"""How a container was made, as a service of a Compose file: without what its image and the engine do by themselves."""

from collections.abc import Mapping
from typing import Any

from mcp_docker.prompts.compose import places
from mcp_docker.prompts.compose.original import Original
from mcp_docker.prompts.compose.variables import Variables
from mcp_docker.prompts.inspected import words

_UNITS = ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k"))
_TIMES = (
    (3_600_000_000_000, "h"),
    (60_000_000_000, "m"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
    (1, "ns"),
)
# says that the image's own is not to be run, where another empty list says nothing
_NO_ENTRYPOINT: list[str] = []
_SHM_BYTES = (0, 64 << 20)
_PODMAN_SHM_BYTES = (*_SHM_BYTES, 65_536_000)
_PODMAN_PIDS = 2048
_PODMAN_STOP_SECONDS = (0, 10)
# what a container has where nobody has said anything
_STANDARD = {
    "user": ("User", ()),
    "working_dir": ("WorkingDir", ("/",)),
    "stop_signal": ("StopSignal", ("SIGTERM", "15")),
}
_BLKIO = {
    "BlkioDeviceReadBps": "device_read_bps",
    "BlkioDeviceReadIOps": "device_read_iops",
    "BlkioDeviceWriteBps": "device_write_bps",
    "BlkioDeviceWriteIOps": "device_write_iops",
}


def service(original: Original, image: str, secrets: Variables) -> dict[str, Any]:
    """The service, without volumes and networks at the top (Compose specification, services).

    Args:
        image: what the image is called in the file.
        secrets: where values go that are not for the file.
    """
    wanted = (
        {"image": image, "platform": _platform(original), "container_name": original.name}
        | _program(original, secrets)
        | {"environment": secrets.mapping(original.environment)}
        | places.ports(original)
        | {"volumes": places.volumes(original)[0], "tmpfs": _tmpfs(original)}
        | places.networks(original)[0]
        | _names(original)
        | {"healthcheck": _healthcheck(original, secrets)}
        | _life(original)
        | _limits(original)
        | _powers(original)
        | {
            "logging": _logging(original, secrets),
            "labels": secrets.mapping(original.labels),
            "annotations": secrets.mapping(original.host.get("Annotations") or {}),
        }
    )
    return {name: value for name, value in wanted.items() if value or value is _NO_ENTRYPOINT}


def duration(nanoseconds: int) -> str:
    """As Compose writes durations: "1m30s"."""
    said = ""
    for size, unit in _TIMES:
        count, nanoseconds = divmod(nanoseconds, size)
        said += f"{count}{unit}" if count else ""
    return said or "0s"


def size(count: int) -> str:
    """Bytes in the largest unit that says them exactly."""
    return next((f"{count // unit}{name}" for unit, name in _UNITS if count % unit == 0), f"{count}b")


def _platform(original: Original) -> str:
    """Only where the image is for another machine than the engine's."""
    os, architecture = original.image.get("Os"), original.image.get("Architecture")
    native = original.info.get("Architecture")
    same = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "i386": "386"}
    if not (os and architecture and native) or same.get(native, native) == architecture:
        return ""
    return "/".join(filter(None, (os, architecture, original.image.get("Variant"))))


def _program(original: Original, secrets: Variables) -> dict[str, Any]:
    config, defaults = original.config, original.defaults
    entrypoint, command = words(config.get("Entrypoint")), words(config.get("Cmd"))
    whole = secrets.words(entrypoint + command)
    shown = {"entrypoint": whole[: len(entrypoint)], "command": whole[len(entrypoint) :]}
    given = words(defaults.get("Entrypoint"))
    if entrypoint == given and command == words(defaults.get("Cmd")):
        chosen: dict[str, Any] = {}
    elif entrypoint == given and command:
        chosen = {"command": shown["command"]}
    else:
        chosen = {"entrypoint": shown["entrypoint"] or (_NO_ENTRYPOINT if given else [])} | {
            "command": shown["command"]
        }
    for name, (field, usual) in _STANDARD.items():
        value, default = str(config.get(field) or ""), str(defaults.get(field) or "")
        if value != default and (default or value not in usual):
            chosen[name] = value
    return chosen


def _tmpfs(original: Original) -> list[str]:
    return [f"{path}:{options}" if options else path for path, options in (original.host.get("Tmpfs") or {}).items()]


def _names(original: Original) -> dict[str, Any]:
    config, host = original.config, original.host
    hostname = str(config.get("Hostname") or "")
    own = hostname and not original.id.startswith(hostname)
    shared = str(host.get("NetworkMode") or "").startswith(("host", "container:")) or host.get("UTSMode") == "host"
    return {
        "hostname": hostname if own and not shared else "",
        "domainname": config.get("Domainname"),
        "mac_address": config.get("MacAddress"),
        "dns": host.get("Dns"),
        "dns_search": host.get("DnsSearch"),
        "dns_opt": host.get("DnsOptions"),
        "extra_hosts": host.get("ExtraHosts"),
        "external_links": [_link(each) for each in host.get("Links") or []],
    }


def _link(link: str) -> str:
    """`/db:/web/alias` as `db:alias`."""
    other, _, alias = link.partition(":")
    return f"{other.lstrip('/')}:{alias.rpartition('/')[2]}"


def _healthcheck(original: Original, secrets: Variables) -> dict[str, Any]:
    check = original.config.get("Healthcheck") or {}
    test = words(check.get("Test"))
    if check == (original.defaults.get("Healthcheck") or {}) or not (test or check):
        return {}
    if test[:1] == ["NONE"]:
        return {"disable": True}
    times = (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod"))
    return (
        ({"test": test[:1] + secrets.words(test[1:])} if test else {})
        | {name: duration(check[field]) for name, field in times if check.get(field)}
        | ({"start_interval": duration(check["StartInterval"])} if check.get("StartInterval") else {})
        | ({"retries": check["Retries"]} if check.get("Retries") else {})
    )


def _life(original: Original) -> dict[str, Any]:
    config, host = original.config, original.host
    policy = host.get("RestartPolicy") or {}
    name, retries = str(policy.get("Name") or ""), policy.get("MaximumRetryCount") or 0
    patience = config.get("StopTimeout")
    if original.is_podman and patience in _PODMAN_STOP_SECONDS:
        patience = None
    return {
        "restart": "" if name == "no" else f"{name}:{retries}" if retries else name,
        "stop_grace_period": "" if patience is None else f"{patience}s",
        "init": host.get("Init"),
        "tty": config.get("Tty"),
        "stdin_open": config.get("OpenStdin"),
    }


def _limits(original: Original) -> dict[str, Any]:
    host = original.host
    memory, swap, pids = host.get("Memory") or 0, host.get("MemorySwap") or 0, host.get("PidsLimit") or 0
    swappiness = host.get("MemorySwappiness")
    if original.is_podman and pids == _PODMAN_PIDS:
        pids = 0
    shm = host.get("ShmSize") or 0
    return {
        "mem_limit": size(memory) if memory else "",
        # twice the memory is what the engine makes of no word about it
        "memswap_limit": "" if not swap or swap == 2 * memory else swap if swap < 0 else size(swap),
        "mem_reservation": size(host["MemoryReservation"]) if host.get("MemoryReservation") else "",
        "mem_swappiness": "" if swappiness in (None, -1) or original.is_podman else str(swappiness),
        "cpus": _cpus(host.get("NanoCpus") or 0),
        "cpu_shares": host.get("CpuShares"),
        # Podman tells both of what was asked for as one, and no engine takes both
        "cpu_period": 0 if host.get("NanoCpus") else host.get("CpuPeriod"),
        "cpu_quota": 0 if host.get("NanoCpus") else host.get("CpuQuota"),
        "cpu_rt_period": host.get("CpuRealtimePeriod"),
        "cpu_rt_runtime": host.get("CpuRealtimeRuntime"),
        "cpuset": host.get("CpusetCpus"),
        "pids_limit": pids,
        "ulimits": {
            str(each.get("Name") or "").lower().removeprefix("rlimit_"): each.get("Soft")
            if each.get("Soft") == each.get("Hard")
            else {"soft": each.get("Soft"), "hard": each.get("Hard")}
            for each in host.get("Ulimits") or []
        },
        "shm_size": "" if shm in (_PODMAN_SHM_BYTES if original.is_podman else _SHM_BYTES) else size(shm),
        "oom_kill_disable": host.get("OomKillDisable"),
        "oom_score_adj": host.get("OomScoreAdj"),
        "blkio_config": _blkio(host),
        "storage_opt": host.get("StorageOpt"),
    }


def _cpus(nano: int) -> float | None:
    return (nano // 1_000_000_000 if nano % 1_000_000_000 == 0 else nano / 1e9) or None


def _blkio(host: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"weight": host["BlkioWeight"]} if host.get("BlkioWeight") else {}
    if weights := host.get("BlkioWeightDevice"):
        found["weight_device"] = [{"path": each.get("Path"), "weight": each.get("Weight")} for each in weights]
    for field, name in _BLKIO.items():
        if rates := host.get(field):
            found[name] = [{"path": each.get("Path"), "rate": each.get("Rate")} for each in rates]
    return found


def _powers(original: Original) -> dict[str, Any]:
    host = original.host
    devices, reserved = _devices(host)
    return {
        "read_only": host.get("ReadonlyRootfs"),
        "privileged": host.get("Privileged"),
        "cap_add": [name.removeprefix("CAP_") for name in host.get("CapAdd") or []],
        "cap_drop": [name.removeprefix("CAP_") for name in host.get("CapDrop") or []],
        "security_opt": security(original)[0],
        "devices": devices,
        "deploy": {"resources": {"reservations": {"devices": reserved}}} if reserved else {},
        "device_cgroup_rules": host.get("DeviceCgroupRules"),
        "sysctls": host.get("Sysctls"),
        "group_add": host.get("GroupAdd"),
        "ipc": _namespace(original, "IpcMode", {"", "private", "shareable"} if original.is_podman else {"", "private"}),
        "pid": _namespace(original, "PidMode", {"", "private"}),
        "uts": _namespace(original, "UTSMode", {"", "private"}),
        "userns_mode": _namespace(original, "UsernsMode", {"", "private"}),
        "cgroup": _cgroup(original),
        "cgroup_parent": "" if original.is_podman else host.get("CgroupParent"),
        "runtime": _runtime(original),
        "isolation": host.get("Isolation") if host.get("Isolation") != "default" else "",
    }


def security(original: Original) -> tuple[list[str], str]:
    """`security_opt`, and a seccomp profile, which Compose reads from a file."""
    host = original.host
    added = host.get("Privileged") or host.get("IpcMode") == "host" or host.get("PidMode") == "host"
    options, profile = [], ""
    for option in host.get("SecurityOpt") or []:
        name, _, value = str(option).replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
        if name == "seccomp" and value.lstrip().startswith("{"):
            profile = value
            options.append("seccomp=./seccomp.json")
        elif not (added and option in ("label=disable", "label:disable")):  # the engine's own addition
            options.append(str(option))
    if host.get("MaskedPaths") == [] and host.get("ReadonlyPaths") == [] and not host.get("Privileged"):
        options.append("systempaths=unconfined")
    return options, profile


def _devices(host: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Devices, and requests to a driver for some, such as GPUs."""
    devices = []
    for each in host.get("Devices") or []:
        inside, rights = each.get("PathInContainer") or each.get("PathOnHost"), each.get("CgroupPermissions") or "rwm"
        devices.append(f"{each.get('PathOnHost')}:{inside}" + (f":{rights}" if rights != "rwm" else ""))
    reserved = []
    for each in host.get("DeviceRequests") or []:
        if each.get("Driver") == "cdi":
            devices += each.get("DeviceIDs") or []
            continue
        count, ids = each.get("Count") or 0, each.get("DeviceIDs") or []
        amount = {"device_ids": ids} if ids else {"count": "all" if count < 0 else count}
        wanted = {"capabilities": [name for names in each.get("Capabilities") or [] for name in names]}
        given = {"driver": each.get("Driver"), "options": each.get("Options")}
        reserved.append({name: value for name, value in given.items() if value} | amount | wanted)
    return devices, reserved


def _namespace(original: Original, field: str, usual: set[str]) -> str:
    mode = str(original.host.get(field) or "")
    if mode in usual:
        return ""
    other = mode.removeprefix("container:")
    return f"container:{original.names.get(other, other)}" if mode != other else mode


def _cgroup(original: Original) -> str:
    mode, version = original.host.get("CgroupnsMode") or "", str(original.info.get("CgroupVersion") or "")
    usual = {"1": "host", "2": "private"}.get(version, mode)
    return "" if original.is_podman or mode == usual else str(mode)


def _runtime(original: Original) -> str:
    runtime = str(original.host.get("Runtime") or "")
    return "" if original.is_podman or runtime in ("runc", original.info.get("DefaultRuntime")) else runtime


def _logging(original: Original, secrets: Variables) -> dict[str, Any]:
    log = original.host.get("LogConfig") or {}
    options = secrets.mapping({name: value for name, value in (log.get("Config") or {}).items() if value})
    driver = log.get("Type") or ""
    if not options and driver in ("", original.info.get("LoggingDriver")):
        return {}
    if original.is_podman and driver in ("journald", "k8s-file", "json-file"):
        return {}
    return {"driver": driver} | ({"options": options} if options else {})
