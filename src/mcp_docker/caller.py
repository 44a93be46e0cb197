"""Who calls, and what may be called."""

import getpass
import os
from dataclasses import dataclass

from mcp_docker.tool import Tier


@dataclass(frozen=True)
class Caller:
    """Who calls, as far as is known.

    Attributes:
        name: the user of this machine; over HTTP the token's subject.
        transport: stdio, http, or cli for `mcp-docker call`.
        address: where from; None over a pipe.
        client: what the client calls itself, which proves nothing; over HTTP also the token's client id, which does.
        issuer: who vouches for the name; None on this machine.
        is_client: the name is a client's, which acts for itself: no user of the same name.
        tiers: those that the caller's token allows, on top of the operator's settings.
        tools: the only tools that the caller's groups allow; None where groups decide nothing.
        expires: when the caller's token ends, in unix seconds; None where it does not.
    """

    name: str
    transport: str
    address: str | None = None
    client: str | None = None
    issuer: str | None = None
    is_client: bool = False
    tiers: frozenset[Tier] = frozenset(Tier)
    tools: frozenset[str] | None = None
    expires: float | None = None

    @property
    def key(self) -> str:
        """What tells callers apart: the same subject of another issuer is somebody else."""
        return f"{self.issuer or self.transport} {'client' if self.is_client else 'user'} {self.name}"


def user() -> str:
    """The user of this machine whose process this is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that nobody has
        return f"uid {os.getuid()}"
