"""What the audit says of one call: an intent before a change, and one outcome."""

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger

from mcp_docker import errors, redact
from mcp_docker.audit import Audit
from mcp_docker.caller import Caller
from mcp_docker.tool import Declaration, Kind, Outlook, Tier

OBJECTS = 200
NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Outcome:
    """How a call ended: done, asked, refused, failed, cancelled or timed_out."""

    word: str
    code: str | None
    seconds: float


class Record:
    """The audit lines of one call.

    Args:
        audit: where to write; None writes nothing.
        caller: who calls.
        kind: of what the name is.
        name: what was asked for, whether or not there is such a thing.
        arguments: as they came; secrets are taken out here.
        hide: whether secrets are to be hidden.
    """

    def __init__(
        self, audit: Audit | None, caller: Caller, kind: Kind, name: str, arguments: Mapping[str, Any], *, hide: bool
    ) -> None:
        self._audit = audit
        self._hide = hide
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.closed = False
        self.confirmed: str | None = None
        self.allowed = False
        self.outcome: Outcome | None = None
        self._about = {
            "call": secrets.token_hex(8),
            "caller": caller.name,
            "issuer": caller.issuer,
            "client": caller.client,
            "transport": caller.transport,
            "address": caller.address,
            "kind": None if kind is Kind.TOOL else str(kind),
            "tool": redact.told(name[:NAME_CHARACTERS], hide=hide),
            "tier": None,
            "arguments": arguments,
        }

    @property
    def tool(self) -> str:
        """What was asked for, by its own name where there is one."""
        return str(self._about["tool"])

    @property
    def tier(self) -> str | None:
        """Its tier; None where there is no such thing."""
        tier = self._about["tier"]
        return str(tier) if tier else None

    def of(self, asked: type[Declaration]) -> None:
        """The call is one of this, also when another name of it was used."""
        self._about |= {"tool": asked.spec.name, "tier": str(asked.spec.tier)}

    def intend(self, outlook: Outlook) -> None:
        """Have it on disk that a change is about to happen, and of what.

        Raises:
            AuditUnavailable: it could not be written; nothing may be changed then.
        """
        self.allowed = True
        if self._audit is not None and self._about["tier"] != Tier.SAFE:
            things = (*outlook.changes, *outlook.loses)
            objects = [{"kind": thing.kind, "id": thing.id, "name": thing.name} for thing in things[:OBJECTS]]
            count = len(things) if len(things) > OBJECTS else None
            self._write(
                {"event": "intent", "objects": objects, "count": count, "confirmed": self.confirmed}, durable=True
            )

    def close(self, refused: errors.Refused | None, outcome: str = "done") -> None:
        """Write how it ended; only the first time counts. Nothing is raised: the call is over."""
        with self._lock:
            closed, self.closed = self.closed, True
        if closed:
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
        self.outcome = Outcome(outcome, refused.code if refused else None, time.monotonic() - self._began)
        told = {
            "event": "outcome",
            "decision": "asked" if outcome == "asked" else "allowed" if self.allowed or not refused else "refused",
            "outcome": outcome,
            "code": self.outcome.code,
            "seconds": round(self.outcome.seconds, 3),
            "confirmed": self.confirmed,
        }
        if isinstance(refused, errors.Cancelled):
            # nobody else is told what became of it
            told["message"] = " ".join(filter(None, (str(refused), refused.detail)))
        try:
            self._write(told)
        except errors.AuditUnavailable as problem:
            logger.error("{}", problem)

    def _write(self, more: Mapping[str, Any], *, durable: bool = False) -> None:
        if self._audit is not None:
            entry, _ = redact.clean({**self._about, **more}, hide=self._hide)
            self._audit.write({name: value for name, value in entry.items() if value is not None}, durable=durable)
