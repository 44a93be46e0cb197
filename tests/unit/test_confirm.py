"""Something is lost only once a person agreed to exactly that, wherever a person can be asked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_docker.audit import open_audit
from mcp_docker.confirm import ANSWER_SECONDS, FOR_A_WHILE, GRANT_SECONDS, ONCE, Answered, Ask, Question, Reply
from mcp_docker.engine import Engine
from mcp_docker.errors import NotConfirmed
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER, code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

ID = "4f1c2e" + "0" * 58
OTHER = "aa" * 32
REMOVE = "docker_remove_network"


@pytest.fixture
def docker(engine: FakeEngine) -> FakeEngine:
    """An engine with the network `web`."""
    engine.on("GET", "/networks/web", {"Id": ID, "Name": "web", "Driver": "bridge", "Created": "2026-01-01T00:00:00Z"})
    engine.on("DELETE", f"/networks/{ID}", b"", status=204)
    return engine


class Asked:
    """A person who answers as told, and what they were asked."""

    def __init__(self, *replies: Reply | Exception | None) -> None:
        self.replies = list(replies)
        self.questions: list[Question] = []

    async def __call__(self, question: Question) -> Reply | None:
        self.questions.append(question)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def removed(docker: FakeEngine) -> bool:
    return bool(docker.sent("DELETE", ".*"))


def accepted(how: str = ONCE) -> Reply:
    return Reply("accept", {"allow": how})


def test_the_question_names_what_is_lost_and_acceptance_removes_it(docker: FakeEngine, run: Run) -> None:
    person = Asked(accepted())
    assert data_of(run(REMOVE, ask=person, network_id="web"))["removed"] == "web"
    assert removed(docker)
    (question,) = person.questions
    assert "- network web (4f1c2e000000): bridge" in question.message


@pytest.mark.parametrize("reply", [Reply("decline"), Reply("cancel"), Reply("accept", {"allow": "everything"})])
def test_anything_but_a_clear_yes_is_a_no(docker: FakeEngine, run: Run, reply: Reply) -> None:
    assert code_of(run(REMOVE, ask=Asked(reply), network_id="web")) == "NOT_CONFIRMED"
    assert not removed(docker)


def test_a_yes_without_a_form_is_for_this_one(docker: FakeEngine, run: Run) -> None:
    data_of(run(REMOVE, ask=Asked(Reply("accept")), network_id="web"))
    assert removed(docker)


def test_a_question_that_fails_is_a_no(docker: FakeEngine, run: Run) -> None:
    result = run(REMOVE, ask=Asked(NotConfirmed("the client could not ask", "ask.")), network_id="web")
    assert code_of(result) == "NOT_CONFIRMED"
    assert not removed(docker)


def test_a_dry_run_asks_nobody_and_removes_nothing(docker: FakeEngine, run: Run) -> None:
    data = data_of(run(REMOVE, ask=Asked(), network_id="web", dry_run=True))
    assert data == {"would_lose": [{"kind": "network", "id": ID, "name": "web", "about": "bridge"}]}
    assert not removed(docker)


def test_where_nobody_can_be_asked_the_tier_decides(docker: FakeEngine, run: Run) -> None:
    data_of(run(REMOVE, network_id="web"))
    assert removed(docker)


def test_always_refuses_where_nobody_can_be_asked(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_CONFIRMATION", "always")
    result = run(REMOVE, network_id="web")
    assert code_of(result) == "CONFIRMATION_UNAVAILABLE"
    assert "SAFETY_CONFIRMATION=auto" in result.text
    assert not removed(docker)


@pytest.mark.parametrize(("name", "value"), [("SAFETY_CONFIRMATION", "never"), ("SAFETY_YOLO_MODE", "true")])
def test_the_operator_can_have_nobody_asked(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    data_of(run(REMOVE, ask=Asked(), network_id="web"))
    assert removed(docker)


def test_when_the_world_changes_meanwhile_it_is_asked_again(docker: FakeEngine, run: Run) -> None:
    def changed(_request: Request) -> Any:
        return {"Id": OTHER, "Name": "web", "Driver": "bridge"}

    class Slow(Asked):
        async def __call__(self, question: Question) -> Reply | None:
            docker.on("GET", "/networks/web", changed)
            return await super().__call__(question)

    person = Slow(accepted(), Reply("decline"))
    assert code_of(run(REMOVE, ask=person, network_id="web")) == "NOT_CONFIRMED"
    assert [OTHER[:12] in question.message for question in person.questions] == [False, True]
    assert not removed(docker)


@pytest.fixture
def pipeline(engine: FakeEngine) -> Iterator[Pipeline]:  # noqa: ARG001 - the calls go there
    settings = load()
    client = Engine(settings)
    yield Pipeline(settings, Registry(settings), client, open_audit(settings))
    client.forget()


def call(pipeline: Pipeline, ask: Ask | None, answered: Answered | None = None, **arguments: Any) -> Result:
    return anyio.run(pipeline.call, Call(REMOVE, arguments, CALLER, None, ask, answered))


@pytest.mark.parametrize("passed", [GRANT_SECONDS + 1, -86_400])
def test_a_person_can_allow_a_tool_for_ten_minutes_which_no_clock_that_is_set_back_makes_longer(
    docker: FakeEngine, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, passed: float
) -> None:
    now = 100_000.0
    monkeypatch.setattr(pipeline.confirm, "clock", lambda: now)
    person = Asked(accepted(FOR_A_WHILE), Reply("decline"))
    data_of(call(pipeline, person, network_id="web"))
    data_of(call(pipeline, person, network_id="web"))
    assert len(person.questions) == 1
    now += passed
    assert code_of(call(pipeline, person, network_id="web")) == "NOT_CONFIRMED"
    assert len(docker.sent("DELETE", ".*")) == 2


def test_a_reply_can_come_with_a_later_call(docker: FakeEngine, pipeline: Pipeline) -> None:
    first = call(pipeline, Asked(None), network_id="web")
    assert first.question is not None
    assert not removed(docker)
    data_of(call(pipeline, Asked(), Answered(first.question.state, accepted()), network_id="web"))
    assert removed(docker)


def test_a_reply_to_another_question_does_not_count(docker: FakeEngine, pipeline: Pipeline) -> None:
    docker.on("GET", "/networks", [])
    docker.on("GET", "/networks/db", {"Id": OTHER, "Name": "db", "Driver": "bridge"})
    first = call(pipeline, Asked(None), network_id="db")
    assert first.question is not None
    second = call(pipeline, Asked(None), Answered(first.question.state, accepted()), network_id="web")
    assert second.question is not None
    assert not removed(docker)


def test_a_reply_that_comes_too_late_is_a_no(docker: FakeEngine, pipeline: Pipeline) -> None:
    first = call(pipeline, Asked(None), network_id="web")
    assert first.question is not None
    state = json.loads(first.question.state)
    late = json.dumps(state | {"asked": state["asked"] - ANSWER_SECONDS - 1})
    assert code_of(call(pipeline, Asked(), Answered(late, accepted()), network_id="web")) == "CONFIRMATION_TIMED_OUT"
    assert not removed(docker)


def test_a_name_can_not_forge_lines_of_the_question(docker: FakeEngine, run: Run) -> None:
    docker.on("GET", f"/networks/{ID}", {"Id": ID, "Name": "web\n\x1b[2J- nothing else", "Driver": "bridge"})
    person = Asked(Reply("decline"))
    run(REMOVE, ask=person, network_id=ID)
    assert "- network web - nothing else (4f1c2e000000): bridge" in person.questions[0].message.splitlines()


def test_what_is_too_long_for_the_question_is_seen_to_be_cut(docker: FakeEngine, run: Run) -> None:
    docker.on("GET", f"/networks/{ID}", {"Id": ID, "Name": "w" * 250, "Driver": "a " * 150})
    person = Asked(Reply("decline"))
    run(REMOVE, ask=person, network_id=ID)
    assert f"- network {'w' * 200} […] (4f1c2e000000): {'a ' * 100}[…]" in person.questions[0].message.splitlines()


def test_an_image_of_many_tags_is_asked_about_with_whole_names_and_how_many_more(engine: FakeEngine, run: Run) -> None:
    tags = [f"registry.example.com/team/service-{number}:2026.11.{number}" for number in range(9)]
    image = {"Id": f"sha256:{ID}", "RepoTags": tags, "RepoDigests": [], "ParentId": "", "Created": 1, "Size": 1}
    engine.on("GET", "/images/json", [image])
    engine.on("GET", "/containers/json", [])
    engine.on("GET", "/system/df", {})
    person = Asked(Reply("decline"))
    run("docker_prune_images", ask=person, all=True)
    name, about = ", ".join(tags[:4]), ", ".join(tags[:3])
    line = f"- image {name}, […] (4f1c2e000000): tagged {about} and 6 more tags"
    assert line in person.questions[0].message.splitlines()


def test_the_audit_says_how_many_go_where_there_are_more_than_it_names(
    engine: FakeEngine, run: Run, tmp_path: Path
) -> None:
    engine.on("GET", "/volumes", {"Volumes": [{"Name": f"{number:064}", "Driver": "local"} for number in range(201)]})
    engine.on("GET", "/system/df", {})
    run("docker_prune_volumes")
    intent = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[0])
    assert (intent["event"], len(intent["objects"]), intent["count"]) == ("intent", 200, 201)


def test_the_audit_says_who_agreed(docker: FakeEngine, run: Run, tmp_path: Path) -> None:
    assert docker
    run(REMOVE, ask=Asked(accepted()), network_id="web")
    run(REMOVE, ask=Asked(Reply("decline")), network_id="web")
    run(REMOVE, network_id="web")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    told = [(line["event"], line.get("outcome"), line.get("confirmed"), line.get("code")) for line in lines]
    assert told == [
        ("intent", None, "person", None),
        ("outcome", "done", "person", None),
        ("outcome", "refused", None, "NOT_CONFIRMED"),
        ("intent", None, "operator", None),
        ("outcome", "done", "operator", None),
    ]
    assert lines[0]["objects"] == [{"kind": "network", "id": ID, "name": "web"}]
    assert "count" not in lines[0]
