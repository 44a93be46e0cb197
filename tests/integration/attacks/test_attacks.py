"""Every case of attacks.toml is refused and leaves no trace; every case of ordinary.toml does what it says.

A case, in both files:
    name        a sentence.
    tool        the tool, with its `arguments`; {names} in braces stand for what was arranged.
    arrange     what is there beforehand, by the names of arrange.py.
    first       calls that are made before, and have to succeed.
    then        what changes after them.
    settings    environment variables besides DEFAULTS.
    answer      what a person says when asked, one after the other; without it, nobody can be asked.
    asked       how often the person is asked, if not as often as there are answers.
    world       what changes while the person is asked for the first time.
    podman      false: it is about something that Podman does not have.
Attacks have `code`, and may have `says` (a part of the refusal) and `late` (it is found out while the change happens).
Ordinary ones may have `expect` (what the answer or an object is like), `gone` and `there`.
"""

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest
import requests

from mcp_docker import errors
from mcp_docker.audit import open_audit
from mcp_docker.audit.read import lines
from mcp_docker.audit.verify import verify
from mcp_docker.confirm import FOR_A_WHILE, ONCE, Question, Reply, unanswered
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER, code_of, data_of
from tests.e2e.process import eventually
from tests.integration.attacks.arrange import CHANGES, World
from tests.integration.attacks.world import Shared, State, filled

Case = dict[str, Any]

DEFAULTS = {
    "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS": "true",
    "SAFETY_VOLUME_MOUNT_ALLOWLIST": "{root}",
    "SAFETY_ALLOWED_BUILD_ROOTS": "{build}",
}
KNOWN = set("name tool arguments arrange first then settings answer asked world podman".split())
REPLIES = {
    "accept": Reply("accept", {"allow": ONCE}),
    "accept for a while": Reply("accept", {"allow": FOR_A_WHILE}),
    "accept blank": Reply("accept", None),
    "accept invalid": Reply("accept", {"allow": "everything"}),
    "decline": Reply("decline"),
    "decline with a form": Reply("decline", {"allow": FOR_A_WHILE}),
    "cancel": Reply("cancel"),
    "unknown": Reply("yes", {"allow": ONCE}),
}
READS = {"GET", "HEAD"}


def cases(file: str, *more: str) -> list[Any]:
    """The cases of a file. Raises ValueError where one is not written as it should be."""
    found: list[Case] = tomllib.loads((Path(__file__).parent / file).read_text(encoding="utf-8"))["case"]
    names = [case["name"] for case in found]
    wrong = [name for name in names if names.count(name) > 1]
    wrong += [case["name"] for case in found if set(case) - KNOWN - set(more)]
    if wrong:
        raise ValueError(f"{file}: named twice, or with unknown keys: {wrong}")
    # what is in a registry needs one
    usable = [case for case in found if "MCP_DOCKER_TEST_REGISTRY" in os.environ or "{registry}" not in str(case)]
    return [pytest.param(case, id=re.sub("[^a-zA-Z0-9.]+", "-", case["name"]).strip("-")) for case in usable]


@pytest.fixture(scope="session")
def shared(raw: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    objects = Shared(raw, tmp_path_factory.mktemp("places"))
    send = requests.Session.send

    def watched(session: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        if request.method not in READS:
            objects.writes.append((session, f"{request.method} {request.path_url}"))
        return send(session, request, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", watched)
        yield objects
        objects.remove()


@pytest.fixture
def world(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with contextlib.ExitStack() as opened:
        made = World(shared, monkeypatch, opened)
        monkeypatch.setenv("HOME", made.value("home"))
        yield made
        known, state = shared.known
        if known != len(shared.writes) or made.token in json.dumps(state):
            made.remove()


class Stage:
    """One case, with the calls that it makes."""

    def __init__(self, world: World, case: Case) -> None:
        self.world = world
        self.case = case
        self.questions: list[Question] = []
        for name in case.get("arrange", []):
            world.arrange(name)
        for name, text in (DEFAULTS | case.get("settings", {})).items():
            world.patch.setenv(name, self.filled(text))
        self._settings = load()
        self._engine = Engine(self._settings)
        world.opened.callback(self._engine.forget)
        self._pipeline = Pipeline(self._settings, Registry(self._settings), self._engine, open_audit(self._settings))
        for call in case.get("first", []):
            data_of(self.call(call))
        for name in case.get("then", []):
            CHANGES[name](world)
        self._arguments = self.filled(case.get("arguments", {}))
        # what nothing was written to since is as it was
        known, before = world.shared.known
        self.before = before if known == len(world.shared.writes) else self.state()
        self._written = len(world.shared.writes)

    def filled(self, value: Any) -> Any:
        match value:
            case str():
                return filled(value, self.world.value)
            case list():
                return [self.filled(item) for item in value]
            case dict():
                return {self.filled(name): self.filled(item) for name, item in value.items()}
        return value

    def state(self) -> State:
        return self.world.state(self.world.shared.token)

    def call(self, call: Case | None = None) -> Result:
        """Make a call: the one that the case is about, or one that goes before it."""
        arguments = self._arguments if call is None else self.filled(call.get("arguments", {}))
        ask = self._ask if "answer" in self.case else None
        asked = Call((call or self.case)["tool"], arguments, CALLER, ask=ask)
        return anyio.run(self._pipeline.call, asked)

    async def _ask(self, question: Question) -> Reply:
        answers: Sequence[str] = self.case["answer"]
        number = len(self.questions)
        self.questions.append(question)
        assert number < len(answers), f"asked once too often: {question.message}"
        if number == 0 and "world" in self.case:
            CHANGES[self.case["world"]](self.world)
            self.before = self.state()
        if answers[number] == "error":
            raise errors.NotConfirmed("the client could not ask a person", "nothing was done.")
        if answers[number] == "nothing":
            raise unanswered()
        return REPLIES[answers[number]]

    def changed(self) -> list[str]:
        """What the server under test sent to the engine that is not a question."""
        return [text for session, text in self.world.shared.writes[self._written :] if session is not self.world.raw]

    def recorded(self) -> list[dict[str, Any]]:
        """The audit's lines about the last call, which have to be whole."""
        path = Path(os.environ["SECURITY_AUDIT_LOG_FILE"])
        report = verify(path)
        assert (report.is_whole, report.interrupted.count, report.unfinished.count) == (True, 0, 0)
        found = [line.record or {} for line in lines(path)]
        return [record for record in found if record["call"] == found[-1]["call"]]


@pytest.mark.parametrize("case", cases("attacks.toml", "code", "says", "late"))
def test_is_refused_and_nothing_is_left_behind(case: Case, world: World, is_podman: bool) -> None:
    if is_podman and case.get("podman") is False:
        pytest.skip("Podman has no such thing")
    stage = Stage(world, case)
    result = stage.call()
    after = stage.state()
    assert code_of(result) == case["code"], result.text
    first_line = result.text.partition("\n")[0]
    assert re.fullmatch(r"REFUSED \[[A-Z_]+\] .+; .{12,}", first_line), first_line
    assert case.get("says", "") in result.text
    assert after == stage.before
    world.shared.known = len(world.shared.writes), after
    assert case.get("late") or stage.changed() == []
    assert len(stage.questions) == case.get("asked", len(case.get("answer", [])))
    *intents, outcome = stage.recorded()
    assert [(each["event"], each["tool"]) for each in intents] == [("intent", case["tool"])] * bool(case.get("late"))
    assert (outcome["event"], outcome["code"]) == ("outcome", case["code"])
    assert outcome["outcome"] in (("failed",) if case.get("late") else ("refused", "failed"))
    assert "PLANTED" not in json.dumps(result.text) + Path(os.environ["SECURITY_AUDIT_LOG_FILE"]).read_text()


@pytest.mark.parametrize("case", cases("ordinary.toml", "expect", "gone", "there"))
def test_is_done(case: Case, world: World, is_podman: bool) -> None:
    if is_podman and case.get("podman") is False:
        pytest.skip("Podman has no such thing")
    stage = Stage(world, case)
    result = stage.call()
    data = data_of(result)
    for what, wanted in case.get("expect", {}).items():
        check(stage, data, what, stage.filled(wanted))
    for what in case.get("there", []):
        assert exists(world, stage.filled(what)), what
    for what in case.get("gone", []):
        # an engine removes what goes with its end first, and its volumes a moment later
        eventually(lambda what=what: not exists(world, stage.filled(what)))  # type: ignore[misc]
    assert len(stage.questions) == case.get("asked", len(case.get("answer", [])))
    *intents, outcome = stage.recorded()
    assert (outcome["event"], outcome["outcome"]) == ("outcome", "done")
    assert bool(intents) == (outcome["tier"] != "safe" and not case.get("arguments", {}).get("dry_run"))


def check(stage: Stage, data: dict[str, Any], what: str, wanted: Any) -> None:
    """Compare what is at a place, as `container {new} > HostConfig.Memory`: ~ contains, # is so long, ! has not."""
    how = what[-1] if what[-1] in "~#!" else ""
    where, _, path = stage.filled(what.removesuffix(how)).partition(" > ")
    kind, _, name = where.partition(" ")
    found: Any = data if kind == "answer" else stage.world.inspect(kind, name)
    for step in path.split("."):
        found = found[int(step) if isinstance(found, list) else step] if found is not None else None
    match how:
        case "~":
            assert wanted in found, (what, found)
        case "!":
            assert wanted not in (found or ""), (what, found)
        case "#":
            assert len(found or []) == wanted, (what, found)
        case _:
            assert found == wanted, (what, found)


def exists(world: World, what: str) -> bool:
    """Whether there is an object, as `container web`."""
    kind, _, name = what.partition(" ")
    try:
        world.inspect(kind, name)
    except docker.errors.NotFound:
        return False
    return True
