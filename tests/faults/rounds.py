"""Rounds of all representative calls at once, and what is wrong with their answers."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mcp_docker.audit.verify import verify
from tests.e2e.process import Message
from tests.faults.calls import CALLS, LIMITS, Round, World, leads_on
from tests.faults.served import SLACK, Asked, Served

CHANGES = {call.tool for call in CALLS.values() if call.happened is not None}


class Rounds:
    """The rounds of one server, and what they found to be wrong.

    Args:
        server: whom to ask.
        world: what the calls are about.
        audit: the server's audit log.
    """

    def __init__(self, server: Served, world: World, audit: Path) -> None:
        self.wrong: list[str] = []
        self._server, self._world, self._audit = server, world, audit
        self._asked: Counter[str] = Counter()
        self._done: Counter[str] = Counter()

    def go(self, when: str, codes: frozenset[str] = frozenset(), unseen: frozenset[str] = frozenset()) -> None:
        """Make each call once, all at the same time.

        Args:
            when: what is going on, for the words.
            codes: with which they may be refused; none means that they must be done.
            unseen: calls that can't tell that something is wrong.
        """
        at = Round(self._world)
        at.prepare()
        asked = {name: Asked(call.tool, call.arguments(at), call.seconds) for name, call in CALLS.items()}
        for name, answer in self._server.ask(asked).items():
            self._asked[CALLS[name].tool] += 1
            if (problem := self._judged(name, at, answer, codes)) and name not in unseen:
                self.wrong.append(f"{when}: {name} {problem}")

    def _judged(self, name: str, at: Round, answer: Message | None, codes: frozenset[str]) -> str:
        call = CALLS[name]
        if answer is None:
            return "was not answered in time"
        text = answer["content"][0]["text"]
        if not answer["isError"]:
            self._done[call.tool] += 1
            return "" if call.is_true(at, answer["structuredContent"]) else f"was answered wrong: {text}"
        if answer["_meta"]["mcp-docker/code"] not in codes:
            return f"was refused: {text}"
        if call.happened is not None and call.happened(at) and not leads_on(text):
            return f"changed something, and was refused as if it had not: {text}"
        return ""

    def close(self) -> None:
        """Look at what the audit log says, and does not."""
        self.wrong += recorded(self._audit, self._asked, self._done) + overdue(self._audit)


def recorded(audit: Path, asked: Mapping[str, int], done: Mapping[str, int]) -> list[str]:
    """What an audit log of representative calls lacks.

    Args:
        asked: how often each tool was called.
        done: how often each was answered as done.
    """
    lines = [json.loads(line) for line in audit.read_text(encoding="utf-8").splitlines()]
    outcomes = [line for line in lines if line["event"] == "outcome"]
    intended = {line["call"] for line in lines if line["event"] == "intent"}
    well = [line for line in outcomes if line["outcome"] == "done"]
    told, told_done = Counter(line["tool"] for line in outcomes), Counter(line["tool"] for line in well)
    wrong = [f"the audit log: {place}" for place in verify(audit).findings.listed]
    wrong += [f"{asked[tool]} calls of {tool}, {told[tool]} recorded" for tool in asked if told[tool] != asked[tool]]
    wrong += [
        f"{done[tool]} of {tool} done, {told_done[tool]} recorded" for tool in done if told_done[tool] < done[tool]
    ]
    wrong += [
        f"{line['tool']} was done without an intent"
        for line in well
        if line["tool"] in CHANGES and line["call"] not in intended
    ]
    return wrong


def overdue(audit: Path) -> list[str]:
    """Calls that took more than their time limit and the slack, by the server's own clock."""
    lines = [json.loads(line) for line in audit.read_text(encoding="utf-8").splitlines()]
    return [
        f"{line['tool']} took {line['seconds']} s"
        for line in lines
        if line["event"] == "outcome" and not line["arguments"].get("follow")
        if line["seconds"] > LIMITS[line["tool"]] + SLACK
    ]
