"""What a container's log tells of the network: failures, and names that did not resolve."""

import re
from collections.abc import Mapping
from typing import Any

from mcp_docker.tool import Context
from mcp_docker.tools.containers.logs import ContainerLogs

LAST_LINES = 200
MOST_LINES = 12
LINE_CHARACTERS = 300

_TROUBLE = re.compile(
    r"bad address|resolve|resolution|no such host|unknown ?host|enotfound|eai_again|getaddrinfo|nxdomain|lookup"
    r"|not known|refused|econnrefused|unreachable|no route to host|timed? ?out|etimedout|connection reset",
    re.IGNORECASE,
)
_NAME = r"[\"']?([a-zA-Z0-9][a-zA-Z0-9_.-]{0,252})"
_SOUGHT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"bad address {_NAME}",
        rf"(?:could not|couldn't|can't|cannot|failed to|unable to) resolve (?:host(?:name)?|address|name)?:? ?{_NAME}",
        rf"(?:enotfound|eai_again) {_NAME}",
        rf"lookup {_NAME}[^\n]*?: (?:no such host|server misbehaving|i/o timeout|temporary failure)",
        rf"could not translate host ?name {_NAME}",
        rf"unknown ?host(?:exception)?:? {_NAME}",
        rf"can't find {_NAME}: nxdomain",
        rf"host {_NAME}:? (?:not found|is unknown)",
    )
)


def trouble(ctx: Context, found: Mapping[str, Any]) -> list[str] | None:
    """The last lines of its log that tell of trouble with the network; None where there is one that can't be read."""
    from docker.errors import APIError

    kept = ((found.get("HostConfig") or {}).get("LogConfig") or {}).get("Type")
    if "docker_container_logs" not in ctx.tools or kept == "none":
        return []
    try:
        lines = ContainerLogs(container_id=found["Id"], tail=LAST_LINES).run(ctx).lines
    except APIError:
        # the log may be kept elsewhere, and is not what was asked for
        return None
    told = [line.text[:LINE_CHARACTERS] for line in reversed(lines) if _TROUBLE.search(line.text)]
    # who tries again and again says the same
    return list(dict.fromkeys(told))[:MOST_LINES][::-1]


def refused(lines: list[str]) -> bool:
    """Whether connections of its own were refused."""
    return any("refused" in line.lower() for line in lines)


def sought(lines: list[str]) -> list[str]:
    """Names that did not resolve, the latest first."""
    found = [
        match[1].rstrip(".") for line in reversed(lines) for pattern in _SOUGHT for match in pattern.finditer(line)
    ]
    return list(dict.fromkeys(found))
