"""Whether answers of an engine have the shape that the Engine API gives them: asked once something tripped over one.

What trips over a number where a list should be looks like a fault of ours and is the engine's. Only the answers tell.
Fields that are missing or null are absent, here as everywhere, and only those are listed that something here reads.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, LiteralString
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic import ValidatorFunctionWrapHandler as Handler
from pydantic_core import PydanticCustomError

from mcp_docker.errors import EngineError

if TYPE_CHECKING:
    import requests

DEEPEST = 100
"""Objects and lists within each other. The Engine API has about ten."""
TOO_DEEP = f"it is nested more than {DEEPEST} deep"

_VERSION = re.compile(r"^/v\d+\.\d+(?=/)")
_SURROGATES = re.compile("[\ud800-\udfff]")


def _told_as(kind: LiteralString) -> WrapValidator:
    """What a value should have been, in words of ours."""

    def judged(value: Any, judge: Handler) -> Any:
        try:
            return judge(value)
        except (ValueError, OverflowError):
            raise PydanticCustomError("odd", kind) from None

    return WrapValidator(judged)


def _one_by_one(value: Any, judge: Handler) -> Any:
    """Ends at the first item that does not fit, as FailFast does for lists: there may be millions.

    A stranger named them: that does not get out of its fence as the place of an error.
    """
    return [judge({"*": item}) for item in value.values()] if isinstance(value, dict) else judge(value)


def _reckoned(time: str) -> str:
    if time and not time.startswith("0001-"):
        datetime.fromisoformat(re.sub(r"\.\d+", "", time)).astimezone(UTC)
    return time


def _without_null(value: Any) -> Any:
    return {name: item for name, item in value.items() if item is not None} if isinstance(value, dict) else value


class Object(BaseModel):
    """What every object has in common: a field that is null is absent."""

    # Config, without an underscore, is a word of pydantic's
    model_config = ConfigDict(strict=True, defer_build=True, alias_generator=lambda name: name.removesuffix("_"))

    absent = model_validator(mode="before")(_without_null)


# half a surrogate pair can't be encoded, and Go can't say it
Text = Annotated[str, AfterValidator(str.encode), _told_as("a text")]
Yes = Annotated[bool, _told_as("a boolean")]
Words = Annotated[
    list[Text],
    FailFast(),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    _told_as("words"),
]
# what Go's int64 and uint64 hold
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64), _told_as("a whole number of 64 bits")]
# of the years 1 to 9999
Seconds = Annotated[int, Field(ge=-62_135_596_800, lt=253_402_300_800), _told_as("a unix time")]
_RFC3339 = r"^(|0001-.*|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))$"
Time = Annotated[str, Field(pattern=_RFC3339), AfterValidator(_reckoned), _told_as("a time")]

# [kind] is a list, {names: kind} an object with these fields, (kind, ...) a field that is never absent, and {str: kind}
# an object with a stranger's names
_TEXTS = {str: Text}
_PLACE = {
    "IPAddress GlobalIPv6Address NetworkID": Text,
    "Aliases DNSNames": [Text],
    "DriverOpts": _TEXTS,
    "GwPriority": Whole,
    "IPAMConfig": {"IPv4Address IPv6Address": Text, "LinkLocalIPs": [Text]},
}
_ATTACHED = {"Networks": {str: _PLACE}}
_BINDINGS = {str: [{"HostIp HostPort": Text}]}
_HEALTH = {"Status": Text, "FailingStreak": Whole, "Log": [{"Output Start": Text, "ExitCode": Whole}]}
_CHECK = {"Test": [Text], "Interval Timeout StartPeriod StartInterval Retries": Whole}
_CONFIG = {
    "Image User WorkingDir Hostname Domainname MacAddress": Text,
    "Tty OpenStdin NetworkDisabled": Yes,
    "Entrypoint Cmd": Words,
    "ExposedPorts Volumes": {str: {}},
    "Env OnBuild": [Text],
    "Labels": _TEXTS,
    "Healthcheck": _CHECK,
    "StopTimeout": Whole,
}
_MOUNT = {"Type Name Source Destination Target Mode Propagation": Text, "RW": Yes}
_ASKED_MOUNT = {
    "Type Source Target": Text,
    "BindOptions": {
        "Propagation": Text,
        "NonRecursive CreateMountpoint ReadOnlyForceRecursive ReadOnlyNonRecursive": Yes,
    },
    "VolumeOptions": {"NoCopy": Yes, "Subpath": Text},
    "TmpfsOptions": {"SizeBytes Mode": Whole},
    "ImageOptions": {"Subpath": Text},
}
_HOST = {
    "BlkioWeight CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares Memory "
    "MemoryReservation MemorySwap MemorySwappiness NanoCpus OomScoreAdj PidsLimit ShmSize": Whole,
    "CgroupParent CgroupnsMode CpusetCpus CpusetMems IpcMode Isolation NetworkMode PidMode Runtime "
    "UTSMode UsernsMode": Text,
    "Binds CapAdd CapDrop DeviceCgroupRules Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links "
    "MaskedPaths ReadonlyPaths SecurityOpt": [Text],
    "AutoRemove Init OomKillDisable Privileged PublishAllPorts ReadonlyRootfs": Yes,
    "Annotations StorageOpt Sysctls Tmpfs": _TEXTS,
    "BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps": [{"Path": Text, "Rate": Whole}],
    "BlkioWeightDevice": [{"Path": Text, "Weight": Whole}],
    "Devices": [{"PathOnHost PathInContainer CgroupPermissions": Text}],
    "DeviceRequests": [
        {"Driver": Text, "Count": Whole, "DeviceIDs": [Text], "Capabilities": [[Text]], "Options": _TEXTS}
    ],
    "LogConfig": {"Type": Text, "Config": _TEXTS},
    "Mounts": [_ASKED_MOUNT],
    "PortBindings": _BINDINGS,
    "RestartPolicy": {"Name": Text, "MaximumRetryCount": Whole},
    "Ulimits": [{"Name": Text, "Soft Hard": Whole}],
}
_STATE = {
    "Status Error": Text,
    "StartedAt FinishedAt": Time,
    "Running Paused Restarting OOMKilled Dead": Yes,
    "ExitCode": Whole,
    "Health Healthcheck": _HEALTH,
}
_CONTAINER = {
    "Id Name": (Text, ...),
    "Created": Time,
    "Image ImageName Path AppArmorProfile ProcessLabel": Text,
    "RestartCount SizeRw": Whole,
    "Args": [Text],
    "State": _STATE,
    "Config": _CONFIG,
    "HostConfig": _HOST,
    "NetworkSettings": _ATTACHED | {"Ports": _BINDINGS},
    "Mounts": [_MOUNT],
}
_CONTAINER_ROW = {
    "Id ImageID State": (Text, ...),
    "Created": (Seconds, ...),
    "Names": [Text],
    "Image Status": Text,
    "Labels": _TEXTS,
    "Ports": [{"IP Type": Text, "PrivatePort PublicPort": Whole}],
    "NetworkSettings": _ATTACHED,
    "Mounts": [_MOUNT],
    "SizeRw": Whole,
}
_IMAGE = {
    "Id": (Text, ...),
    "Created": Time,
    "Os Architecture Variant Author Comment Parent": Text,
    "RepoTags RepoDigests": [Text],
    "Size": Whole,
    "Config": _CONFIG | {"StopSignal": Text},
    "HealthCheck": _CHECK,
    "RootFS": {"Layers": [Text]},
}
_IMAGE_ROW = {
    "Id": (Text, ...),
    "ParentId": Text,
    "Created": Seconds,
    "Size SharedSize Containers": Whole,
    "RepoTags RepoDigests": [Text],
    "Labels": _TEXTS,
}
_LAYER = {"Created": Seconds, "Size": Whole, "Tags": [Text], "Id CreatedBy Comment": Text}
_NETWORK = {
    "Id Name": (Text, ...),
    "Created": Time,
    "Driver Scope": Text,
    "Internal Attachable EnableIPv6 Ingress ConfigOnly": Yes,
    "Options Labels": _TEXTS,
    "ConfigFrom": {"Network": Text},
    "Containers": {str: {"Name IPv4Address IPv6Address MacAddress": Text}},
    "IPAM": {"Driver": Text, "Config": [{"Subnet Gateway IPRange": Text}]},
}
_VOLUME = {
    "Name": (Text, ...),
    "Driver CreatedAt Mountpoint Scope": Text,
    "Options Labels": _TEXTS,
    "UsageData": {"Size RefCount": Whole},
}
_CPU = {
    "cpu_usage": {"total_usage": Whole, "percpu_usage": [Whole]},
    "system_cpu_usage online_cpus": Whole,
    "throttling_data": {"periods throttled_periods": Whole},
}
_SAMPLE = {
    "read": Text,
    "cpu_stats precpu_stats": _CPU,
    "memory_stats": {"usage limit": Whole, "stats": {str: Whole}},
    "networks": {str: {"rx_bytes tx_bytes": Whole}},
    "blkio_stats": {"io_service_bytes_recursive": [{"op": Text, "value": Whole}]},
    "pids_stats": {"current": Whole},
}
_INFO = {
    "Architecture CgroupVersion DefaultRuntime DockerRootDir Driver KernelVersion LoggingDriver OperatingSystem": Text,
    "MemTotal NCPU": Whole,
    "Debug LiveRestoreEnabled ExperimentalBuild": Yes,
    "SecurityOptions Warnings": [Text],
    "Plugins": {"Authorization": [Text]},
    "RegistryConfig": {"IndexConfigs": {str: {"Secure": Yes}}, "InsecureRegistryCIDRs": [Text]},
    "Swarm": {"LocalNodeState": Text},
}
_ENGINE = {
    "ApiVersion": (Text, ...),
    "Version MinAPIVersion Os Arch KernelVersion": Text,
    "Components": [{"Name Version": Text}],
}
_MADE = {"Id": (Text, ...), "Warning": Text, "Warnings": [Text]}
_EVENT = {
    "time": Seconds,
    "timeNano": Whole,
    "Type Action status id": Text,
    "Actor": {"ID": Text, "Attributes": _TEXTS},
}
_EXEC = {"ExitCode Pid": Whole, "Running": Yes}

_SHAPES: dict[str, Any] = {
    "GET /version": _ENGINE,
    "GET /info": _INFO,
    "GET /containers/json": [_CONTAINER_ROW],
    "GET /containers/{id}/json": _CONTAINER,
    "GET /containers/{id}/stats": _SAMPLE,
    "GET /images/json": [_IMAGE_ROW],
    "GET /images/{name}/json": _IMAGE,
    "GET /images/{name}/history": [_LAYER],
    "GET /networks": [_NETWORK],
    "GET /networks/{id}": _NETWORK,
    "GET /volumes": {"Volumes": [_VOLUME], "Warnings": [Text]},
    "GET /volumes/{name}": _VOLUME,
    "GET /events": _EVENT,
    "GET /exec/{id}/json": _EXEC,
    "POST /volumes/create": _VOLUME,
    "POST /containers/create": _MADE,
    "POST /networks/create": _MADE,
    "POST /containers/{id}/exec": _MADE,
    "POST /build/prune": {"CachesDeleted": [Text]},
    "DELETE /images/{name}": [{"Untagged Deleted": Text}],
}


def oddity(answers: "Iterable[requests.Response]", kept: Mapping[str, Any]) -> str:
    """How the first of an engine's answers that is not as the Engine API says differs from it; empty if all are.

    Args:
        answers: to requests, each read to its end.
        kept: answers of before, by request.
    """
    found = itertools.chain(itertools.starmap(_of_value, kept.items()), map(_of_answer, answers))
    return next(filter(None, found), "")


def checked(request: str, value: Any) -> Any:
    """An answer that is read as it comes. Raises EngineError if it is not as the Engine API says."""
    if found := _of_value(request, value):
        raise misshapen(found)
    return value


def misshapen(found: str) -> EngineError:
    """The error for what `oddity` found."""
    return EngineError(
        f"the engine's answer can't be understood, since it is not as the Engine API says ({found})",
        "check the engine, and what is between it and this server; other calls may still work.",
    )


def _of_answer(answer: "requests.Response") -> str:
    request = f"{answer.request.method} {_VERSION.sub('', urlsplit(answer.request.path_url).path)}"
    try:
        return _of_value(request, answer.json()) if answer.ok else ""
    except RecursionError:
        return f"{_named(request)}: {TOO_DEEP}"
    except (ValueError, RuntimeError, OSError, MemoryError):  # no JSON, or broken off: whoever read it knows
        return ""


def _of_value(request: str, value: Any) -> str:
    named = _named(request)
    if _is_deep(value):
        return f"{named}: {TOO_DEEP}"
    try:
        _judge(named).validate_python(value)
    except ValidationError as error:
        return f"{named}: {_first(error)}"
    return ""


def _named(request: str) -> str:
    """The request in the Engine API's words, since some of the caller's are a stranger's; its method if not known."""
    known = (name for name in _SHAPES if re.fullmatch(re.sub(r"{\w+}", ".+", name), request))
    return next(known, request.split()[0])


@functools.cache
def _judge(named: str) -> TypeAdapter[Any]:
    return TypeAdapter(_model(_SHAPES.get(named, Any)))


def _model(shape: Any) -> Any:
    match shape:
        case list():
            kind: Any = _model(shape[0])
            return Annotated[list[kind], FailFast()]
        case dict() if str in shape:
            kind = _model(shape[str])
            named = Annotated[dict[Any, kind], WrapValidator(_one_by_one)]
            # a port that is not published has null for its list
            return Annotated[named, BeforeValidator(_without_null)] if isinstance(shape[str], list) else named
        case dict():
            kinds = {name: kind for names, kind in shape.items() for name in names.split()}
            fields: Any = {f"{n}_": k if isinstance(k, tuple) else (_model(k), None) for n, k in kinds.items()}
            return create_model("Object", __base__=Object, **fields)
    return shape


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level = list(itertools.chain.from_iterable(inner))
    return bool(level)


def _first(error: ValidationError) -> str:
    """What is wrong first: its place, and what is there."""
    found = error.errors(include_url=False)[0]
    place = "".join("[]" if isinstance(step, int) else f".{step}" for step in found["loc"]).lstrip(".")
    if found["type"] == "missing":
        return f"{place} is missing"
    wanted = {"odd": found["msg"], "list_type": "a list"}.get(found["type"], "an object")
    return f"{place} is {_kind(found['input'])}, not {wanted}".lstrip()


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text that is no Unicode" if _SURROGATES.search(value) else "a text"
        case list():
            return "a list"
    return "an object"
