"""What the audit says of one call: an intent before a change, and one outcome."""

import getpass
import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger

from mcp_docker import errors, redact
from mcp_docker.audit import Audit
from mcp_docker.tool import Outlook, Tier, Tool

OBJECTS = 200
NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Caller:
    """Who calls, as far as is known.

    Attributes:
        name: the user of this machine over stdio.
        transport: stdio, or cli for `mcp-docker call`.
        address: where from; None over a pipe.
        client: what the client calls itself, which proves nothing.
    """

    name: str
    transport: str
    address: str | None = None
    client: str | None = None


def user() -> str:
    """The user of this machine whose process this is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that nobody has
        return f"uid {os.getuid()}"


class Record:
    """The audit lines of one call.

    Args:
        audit: where to write; None writes nothing.
        caller: who calls.
        name: the tool that was asked for, whether or not there is one.
        arguments: as they came; secrets are taken out here.
        hide: whether secrets are to be hidden.
    """

    def __init__(
        self, audit: Audit | None, caller: Caller, name: str, arguments: Mapping[str, Any], *, hide: bool
    ) -> None:
        self._audit = audit
        self._hide = hide
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.closed = False
        self.confirmed: str | None = None
        self.allowed = False
        self._about = {
            "call": secrets.token_hex(8),
            "caller": caller.name,
            "client": caller.client,
            "transport": caller.transport,
            "address": caller.address,
            "tool": redact.told(name[:NAME_CHARACTERS], hide=hide),
            "tier": None,
            "arguments": arguments,
        }

    def of(self, tool: type[Tool]) -> None:
        """The call is one of this tool, also when another name of it was used."""
        self._about |= {"tool": tool.spec.name, "tier": str(tool.spec.tier)}

    def intend(self, outlook: Outlook) -> None:
        """Have it on disk that a change is about to happen, and of what.

        Raises:
            AuditUnavailable: it could not be written; nothing may be changed then.
        """
        self.allowed = True
        if self._audit is not None and self._about["tier"] != Tier.SAFE:
            things = (*outlook.changes, *outlook.loses)
            objects = [{"kind": thing.kind, "id": thing.id, "name": thing.name} for thing in things[:OBJECTS]]
            self._write({"event": "intent", "objects": objects, "confirmed": self.confirmed}, durable=True)

    def close(self, refused: errors.Refused | None, outcome: str = "done") -> None:
        """Write how it ended; only the first time counts. Nothing is raised: the call is over."""
        with self._lock:
            closed, self.closed = self.closed, True
        if closed or self._audit is None:
            return
        match refused:
            case None:
                pass
            case errors.Cancelled():
                outcome = "cancelled"
            case errors.TimedOut():
                outcome = "timed_out"
            case _:
                outcome = "failed" if self.allowed else "refused"
        told = {
            "event": "outcome",
            "decision": "asked" if outcome == "asked" else "allowed" if self.allowed or not refused else "refused",
            "outcome": outcome,
            "code": refused.code if refused else None,
            "seconds": round(time.monotonic() - self._began, 3),
            "confirmed": self.confirmed,
        }
        try:
            self._write(told)
        except errors.AuditUnavailable as problem:
            logger.error("{}", problem)

    def _write(self, more: Mapping[str, Any], *, durable: bool = False) -> None:
        if self._audit is not None:
            entry, _ = redact.clean({**self._about, **more}, hide=self._hide)
            self._audit.write({name: value for name, value in entry.items() if value is not None}, durable=durable)
