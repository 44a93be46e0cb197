"""What else a container is made with, in the forms that people write."""

import ipaddress
import posixpath
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from mcp_docker.tools.fields import text_of

LEAST_MEMORY = 6 * 1024**2
MOST_MEMORY = 1024**5
DEFAULT_CAPABILITIES = frozenset(
    """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID
    SYS_CHROOT
    """.split()
)
"""What Docker gives every container: adding these adds nothing."""

NO_NEW_PRIVILEGES = "no-new-privileges"

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_SPAN = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,7}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_USER = re.compile(r"[\w.-]{1,64}\$?(?::[\w.-]{1,64})?", re.ASCII)


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not pattern.fullmatch(value):
            raise ValueError(f"{value[:200]!r} is not {what}")
        return value

    return AfterValidator(check)


ContainerName = Annotated[
    str,
    BeforeValidator(lambda value: value.removeprefix("/") if isinstance(value, str) else value),
    _matching(re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}"), "a name (2 to 255 letters, digits, '_', '.', '-')"),
]
HostName = Annotated[
    str, _matching(re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"), "a host name of at most 63 characters")
]
WorkingDir = Annotated[str, _matching(re.compile(r"/[^\x00-\x1f\x7f]{0,4095}"), "an absolute path in the container")]
User = Annotated[
    str,
    BeforeValidator(lambda value: text_of(value) if isinstance(value, int) else value),
    _matching(_USER, "a user (name, uid, name:group or uid:gid)"),
    WithJsonSchema({"type": "string"}),
]


def memory(value: Any) -> int:
    """Bytes of "512m", "1.5g", "1GiB" or a number."""
    match = _SIZE.fullmatch(text_of(value).strip())
    if match is None:
        raise ValueError(f'{value!r} is not a size: write "512m", "1g" or bytes')
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
    if not LEAST_MEMORY <= size <= MOST_MEMORY:
        raise ValueError(f"{value!r} is {size} bytes; Docker's least is 6m, and the most here is 1024t")
    return size


Memory = Annotated[int, BeforeValidator(memory), WithJsonSchema({"type": "string"})]


@dataclass(frozen=True)
class RestartPolicy:
    """When the engine starts a container again."""

    name: str
    retries: int = 0

    def body(self) -> dict[str, Any]:
        """As HostConfig.RestartPolicy has it."""
        return {"Name": self.name, "MaximumRetryCount": self.retries}


def restart_policy(value: Any) -> RestartPolicy:
    """Docker's "on-failure:3" form, or the mapping that docker-py and the engine take."""
    match value:
        case dict() if {key.lower() for key in value} <= {"name", "maximumretrycount"}:
            fields = {key.lower(): item for key, item in value.items()}
            name, retries = fields.get("name") or "no", fields.get("maximumretrycount") or 0
        case str():
            name, _, text = value.strip().lower().partition(":")
            retries = int(text) if re.fullmatch(r"\d{1,6}", text) else 0 if not text and ":" not in value else -1
        case _:
            name, retries = value, 0
    if (
        name not in ("no", "always", "unless-stopped", "on-failure")
        or not isinstance(retries, int)
        or not 0 <= retries <= 100_000
    ):
        raise ValueError(f"{value!r} is not one of no, always, unless-stopped, on-failure, on-failure:RETRIES")
    if retries and name != "on-failure":
        raise ValueError(f"{value!r}: only on-failure takes a number of retries")
    return RestartPolicy(name, int(retries))


Restart = Annotated[RestartPolicy, BeforeValidator(restart_policy), WithJsonSchema({"type": "string"})]


def healthcheck(value: Any) -> dict[str, Any]:
    """The engine's form of {"test": "curl …", "interval": "30s", "timeout", "retries", "start_period"}."""
    if value is False or (isinstance(value, str) and value.strip().lower() == "none"):
        return {"Test": ["NONE"]}
    if isinstance(value, str | list):
        value = {"test": value}
    if not isinstance(value, dict):
        raise ValueError(_HEALTH)
    # the engine's own spelling (StartPeriod) counts too
    fields = {key.lower().replace("_", ""): item for key, item in value.items() if item is not None}
    if unknown := sorted(set(fields) - set(_CHECK_FIELDS)):
        raise ValueError(f"{unknown[0]!r} is unknown: {_HEALTH}")
    return {_CHECK_FIELDS[name][0]: _CHECK_FIELDS[name][1](item) for name, item in fields.items()}


def _test(value: Any) -> list[str]:
    if isinstance(value, str):
        words = ["CMD-SHELL", value]
    elif isinstance(value, list) and value:
        words = [text_of(word) for word in value]
    else:
        raise ValueError(_HEALTH)
    if words[0] not in ("CMD", "CMD-SHELL", "NONE"):
        words = ["CMD", *words]
    if (len(words) < 2 or not words[1].strip()) and words != ["NONE"]:
        raise ValueError(f"the health check's test is empty: {_HEALTH}")
    if len(words) > 100 or any(len(word) > 4_096 or "\x00" in word for word in words):
        raise ValueError("a health check's test has at most 100 words of at most 4096 characters")
    return words


def _retries(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,4}", str(value)) or not 1 <= int(value) <= 1_000:
        raise ValueError(f"retries {value!r} is not a number from 1 to 1000")
    return int(value)


def _nanoseconds(value: Any) -> int:
    """Of "1m30s", "500ms", of a number of seconds, or of nanoseconds, which docker-py takes: at least a millisecond."""
    text = text_of(value).strip()
    if re.fullmatch(r"\d{1,17}(\.\d{1,9})?", text):
        nanoseconds = int(float(text)) if float(text) >= 1e6 else int(float(text) * 1e9)
    elif text and (match := _SPAN.fullmatch(text)):
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
        nanoseconds = int((hours * 3_600 + minutes * 60 + seconds) * 1e9 + milliseconds * 1e6)
    else:
        raise ValueError(f'{value!r} is not a duration: write "30s", "1m30s" or "500ms"')
    if nanoseconds and not 1_000_000 <= nanoseconds <= 86_400 * 10**9:
        raise ValueError(f"{value!r}: durations are from 1ms to 24h")
    return nanoseconds


_CHECK_FIELDS = {
    "test": ("Test", _test),
    "interval": ("Interval", _nanoseconds),
    "timeout": ("Timeout", _nanoseconds),
    "retries": ("Retries", _retries),
    "startperiod": ("StartPeriod", _nanoseconds),
}
_HEALTH = (
    'write {"test": "curl -f http://localhost/", "interval": "30s", "timeout": "5s", "retries": 3, '
    '"start_period": "10s"}, or "none"'
)

HealthCheckSpec = Annotated[dict[str, Any], BeforeValidator(healthcheck), WithJsonSchema({"type": "object"})]


def hosts(value: Any) -> list[str]:
    """Lines of /etc/hosts as the engine takes them, "name:address", from a list or a mapping."""
    match value:
        case str():
            pairs = [_host_pair(value)]
        case list():
            pairs = [_host_pair(text_of(item)) for item in value]
        case dict():
            pairs = [(name.strip(), text_of(each)) for name, given in value.items() for each in _each(given)]
        case _:
            raise ValueError(_HOSTS)
    if len(pairs) > 100:
        raise ValueError("at most 100 extra hosts")
    return [f"{name}:{_host_address(name, address)}" for name, address in pairs]


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _host_pair(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=" if "=" in text else ":")
    return name.strip(), address


def _host_address(name: str, address: str) -> str:
    address = address.strip().removeprefix("[").removesuffix("]")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a host name: {_HOSTS}")
    if address == "host-gateway":
        return address
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise ValueError(f"{address!r} is not an IP address: {_HOSTS}") from None


_HOSTS = 'write "db:10.0.0.2"'

ExtraHosts = Annotated[
    list[str],
    BeforeValidator(hosts),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]


def capabilities(value: Any) -> list[str]:
    """Capabilities in the kernel's spelling, without CAP_."""
    names = [text_of(item).strip().upper().removeprefix("CAP_") for item in _each(value)]
    for name in names:
        if not re.fullmatch(r"[A-Z][A-Z_]{1,40}", name):
            raise ValueError(f"{name!r} is not a capability like NET_ADMIN")
    if len(names) > 64:
        raise ValueError("at most 64 capabilities")
    return list(dict.fromkeys(names))


Capabilities = Annotated[
    list[str],
    BeforeValidator(capabilities),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]


def security_options(value: Any) -> list[str]:
    """Security options as they were written; every spelling of no-new-privileges that switches it on becomes one."""
    options = [text_of(item).strip() for item in _each(value)]
    if len(options) > 16 or any(not 1 <= len(option) <= 4_096 for option in options):
        raise ValueError("at most 16 security options of at most 4096 characters")
    spellings = (NO_NEW_PRIVILEGES, f"{NO_NEW_PRIVILEGES}:true", f"{NO_NEW_PRIVILEGES}=true")
    return [NO_NEW_PRIVILEGES if option.lower() in spellings else option for option in options]


SecurityOptions = Annotated[
    list[str],
    BeforeValidator(security_options),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]


def network_mode(value: str) -> str:
    """A network's name or id, or a mode with a colon, which the policy judges."""
    kind, colon, rest = value.partition(":")
    if value and (not _NAME.fullmatch(kind) or (colon and not 1 <= len(rest) <= 255)):
        raise ValueError(f"{value[:200]!r} is none of bridge, none, host, container:NAME, or a network's name")
    return value


NetworkMode = Annotated[str, AfterValidator(network_mode)]
PidMode = Annotated[
    str, _matching(re.compile(r"host|container:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}"), "host or container:NAME")
]
IpcMode = Annotated[
    str,
    _matching(
        re.compile(r"host|private|shareable|none|container:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}"),
        "host, private, shareable, none or container:NAME",
    ),
]
HostMode = Annotated[str, _matching(re.compile("host"), "host")]
CgroupParent = Annotated[str, _matching(re.compile(r"[\w./:@-]{1,255}", re.ASCII), "a cgroup")]
Runtime = Annotated[str, _matching(re.compile(r"[\w./+-]{1,255}", re.ASCII), "a runtime")]


def devices(value: Any) -> list[dict[str, str]]:
    """The engine's form of "/dev/x", "/dev/x:/dev/y" and "/dev/x:/dev/y:rwm"."""
    items = _each(value)
    if len(items) > 64:
        raise ValueError("at most 64 devices")
    found = []
    for item in items:
        host, _, rest = text_of(item).strip().partition(":")
        inner, _, rights = rest.partition(":")
        if re.fullmatch("[rwm]{1,3}", inner) and not rights:
            inner, rights = "", inner
        inner, rights = inner or host, rights or "rwm"
        if not all(_DEVICE.fullmatch(path) for path in (host, inner)) or not re.fullmatch("[rwm]{1,3}", rights):
            raise ValueError(f'{item!r} is not a device: write "/dev/fuse" or "/dev/fuse:/dev/fuse:rwm"')
        found.append(
            {"PathOnHost": posixpath.normpath(host), "PathInContainer": inner, "CgroupPermissions": rights},
        )
    return found


_DEVICE = re.compile(r"/[^\x00-\x1f\x7f:]{1,1000}")

Devices = Annotated[
    list[dict[str, str]],
    BeforeValidator(devices),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
