"""What a call would lose, put before a person, and what the person answered."""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_docker import errors, redact
from mcp_docker.settings import Settings
from mcp_docker.tool import Thing, Tool

ANSWER_SECONDS = 120.0
GRANT_SECONDS = 600.0
SHOWN = 50
SHOWN_CHARACTERS = 200

ONCE, FOR_A_WHILE = "this one", "this tool for 10 minutes"
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "allow": {
            "type": "string",
            "title": "Allow",
            "description": "How far this goes",
            "enum": [ONCE, FOR_A_WHILE],
            "default": ONCE,
        }
    },
}
"""What the person fills in (MCP elicitation, form mode)."""


@dataclass(frozen=True)
class Question:
    """What a person is asked. `state` binds the answer to the caller, the tool, its arguments and the objects."""

    message: str
    state: str


@dataclass(frozen=True)
class Reply:
    """What came back: accept, decline or cancel, and the form (MCP ElicitResult)."""

    action: str
    content: dict[str, Any] | None = None


@dataclass(frozen=True)
class Answered:
    """A question of an earlier call, and the reply that this one brings."""

    state: str
    reply: Reply


Ask = Callable[[Question], Awaitable[Reply | None]]
"""Asks a person; None where the reply comes with a later call. Raises NotConfirmed where asking fails."""


@dataclass
class Confirm:
    """Whether a loss was agreed to.

    Args:
        settings: whether people are asked at all.
        clock: seconds, for what was agreed to for a while.
    """

    settings: Settings
    clock: Callable[[], float] = time.time
    _grants: dict[tuple[str, str], float] = field(default_factory=dict)

    def question(
        self, caller: str, tool: Tool, arguments: Mapping[str, Any], loses: tuple[Thing, ...], agreed: str
    ) -> Question | None:
        """What must still be asked before these objects go; None if nothing.

        Args:
            caller: who calls.
            arguments: as they came; a time that counts back from now is another one at each look.
            agreed: the binding that a person agreed to; empty if none.
        """
        if not loses or self.settings.safety_yolo_mode or self.settings.safety_confirmation == "never":
            return None
        if self._granted(caller, tool):
            return None
        binding = _binding(caller, tool, arguments, loses)
        if agreed == binding:
            return None
        state = json.dumps({"binding": binding, "asked": self.clock()})
        return Question(_message(tool, loses, self.settings), state)

    def otherwise(self, caller: str, tool: Tool) -> str:
        """Why a loss was not put before a person, for the audit."""
        return "person, for a while" if self._granted(caller, tool) else "operator"

    def unasked(self) -> None:
        """Nobody can be asked: the operator's opt-in to the tier stands, unless asking is demanded.

        Raises:
            ConfirmationUnavailable: SAFETY_CONFIRMATION=always.
        """
        if self.settings.safety_confirmation == "always":
            raise errors.ConfirmationUnavailable(
                "a person must agree to this, and this client can't ask one (MCP elicitation)",
                "use a client that can; SAFETY_CONFIRMATION=auto does without one where nobody can be asked.",
            )

    def agreed(self, caller: str, tool: Tool, answered: Answered) -> str:
        """The binding that a person agreed to.

        Raises:
            NotConfirmed: declined, cancelled, or no valid answer.
            ConfirmationTimedOut: the answer came too late.
        """
        asked = json.loads(answered.state)
        if not 0 <= self.clock() - asked["asked"] <= ANSWER_SECONDS:
            raise unanswered()
        if answered.reply.action != "accept":
            raise errors.NotConfirmed(
                f"the person who was asked did not agree to {tool.spec.name} ({answered.reply.action})",
                "don't try it again unless they ask for it.",
            )
        choice = (answered.reply.content or {}).get("allow") or ONCE
        if choice not in (ONCE, FOR_A_WHILE):
            raise errors.NotConfirmed("the answer does not fit the form", "nothing was done; ask again.")
        if choice == FOR_A_WHILE:
            self._grants = {what: granted for what, granted in self._grants.items() if self._holds(granted)}
            self._grants[caller, tool.spec.name] = self.clock()
        return str(asked["binding"])

    def _granted(self, caller: str, tool: Tool) -> bool:
        granted = self._grants.get((caller, tool.spec.name))
        return granted is not None and self._holds(granted)

    def _holds(self, granted: float) -> bool:
        # a clock that is set back does not make it last longer
        return 0 <= self.clock() - granted < GRANT_SECONDS


def unanswered() -> errors.ConfirmationTimedOut:
    """Nobody answered."""
    return errors.ConfirmationTimedOut(
        f"nobody agreed to this within {ANSWER_SECONDS:g} s", "nothing was done; call again to ask again."
    )


def _binding(caller: str, tool: Tool, arguments: Mapping[str, Any], loses: tuple[Thing, ...]) -> str:
    objects = sorted((thing.kind, thing.id, thing.name, thing.created) for thing in loses)
    whole = [caller, tool.spec.name, arguments, objects]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _message(tool: Tool, loses: tuple[Thing, ...], settings: Settings) -> str:
    lines = [f"{tool.spec.label}: this takes away for good"]
    lines += [f"- {_line(thing)}" for thing in loses[:SHOWN]]
    if len(loses) > SHOWN:
        lines.append(f"- and {len(loses) - SHOWN} more")
    known = [thing.bytes for thing in loses if thing.bytes is not None]
    size = f"{sum(known) / 1e6:.1f} MB" if len(known) == len(loses) else "an unknown number of bytes"
    lines.append(f"{len(loses)} in all, {size}.")
    return redact.told("\n".join(lines), hide=settings.safety_redact_secrets)


def _line(thing: Thing) -> str:
    name, about = _short(thing.name), _short(thing.about)
    short = f" ({thing.id.removeprefix('sha256:')[:12]})" if thing.id != thing.name else ""
    return f"{thing.kind} {name}{short}" + (f": {about}" if about else "")


def _short(text: str) -> str:
    # a name can't begin a line of its own
    text = " ".join(redact.clean_text(text).split())
    if len(text) <= SHOWN_CHARACTERS:
        return text
    cut = text[: SHOWN_CHARACTERS + 1]
    return f"{cut.rpartition(' ')[0] or cut[:-1]} […]"
