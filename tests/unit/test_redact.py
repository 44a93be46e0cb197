"""What an answer may carry: no control characters, no secrets, a fence around strangers' text, and so many bytes."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker import redact
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run
from tests.unit.test_containers_exec import EXEC, ID, WEB, frame

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("a\u202eb\u2066c\u200bd\ufeffe", "abcde"),
        ("bell\x07 null\x00 c1\x9b31m del\x7f", "bell null c131m del"),
        ("kept\n\tkept\r\nkept", "kept\n\tkept\nkept"),
        ("naïve 漢字 🐳", "naïve 漢字 🐳"),
        ("한국어 ខ្មែរ ❤\ufe0f", "한국어 ខ្មែរ ❤"),
    ],
)
def test_what_paints_or_turns_the_text_is_taken_out(text: str, clean: str) -> None:
    assert redact.told(text, hide=False) == clean
    assert redact.clean([text, {text: text}], hide=False)[0] == [clean, {clean: clean}]


# Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties.txt
IGNORABLE = (
    "AD 34F 61C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8 "
    "1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)


@pytest.mark.parametrize("span", IGNORABLE.split())
def test_characters_that_unicode_lets_go_unseen_are_taken_out(span: str) -> None:
    first, _, last = span.partition("-")
    unseen = "".join(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    assert redact.told(f"a{unseen}b", hide=False) == "ab"
    assert redact.clean([f"pass{unseen}word=hunter2hunter"], hide=True)[0] == ["password=[REDACTED]"]


@given(JSON)
def test_cleaning_is_done_after_one_time_and_says_what_it_returns(data: Any) -> None:
    once, text = redact.clean(data, hide=True)
    assert json.loads(text) == once
    assert redact.clean(once, hide=True) == (once, text)


@given(st.text())
def test_a_fence_can_not_be_closed_from_inside(text: str) -> None:
    first = redact.fence(text)
    match = re.fullmatch(r"<(untrusted-[0-9a-f]{16})>\n(.*)\n</\1>", first, re.DOTALL)
    assert match is not None
    assert match[2] == text
    assert match[1] not in redact.fence(text)


def test_a_secret_that_is_broken_up_by_invisible_characters_is_hidden_all_the_same() -> None:
    assert "hunter2" not in redact.told("pass\u200bword=hun\x1b[0mter2", hide=True)


@given(st.lists(st.text(max_size=40), max_size=60), st.integers(min_value=120, max_value=2_000))
def test_what_is_bound_fits_and_keeps_its_shape(lines: list[str], limit: int) -> None:
    data = {"id": "x", "lines": lines}
    bound, said = redact.bound(data, limit, frozenset({"lines"}))
    assert set(bound) == set(data)
    assert all(isinstance(line, str) for line in bound["lines"])
    assert bool(said) is (bound != data)
    assert len(redact.compact(bound).encode()) <= limit or len(bound["lines"]) == 1


@pytest.fixture
def secret(engine: FakeEngine) -> str:
    """A secret that a container holds, and prints."""
    secret = "hunter2-and-more"
    engine.on(
        "GET",
        "/containers/web/json",
        WEB | {"Config": {"Env": [f"DB_PASSWORD={secret}"], "Cmd": [f"--token={secret}"]}},
    )
    engine.on("POST", f"/containers/{ID}/exec", {"Id": EXEC}, status=201)
    engine.on("POST", f"/exec/{EXEC}/start", frame(1, f"connecting to postgres://me:{secret}@db/x\n".encode()))
    engine.on("GET", f"/exec/{EXEC}/json", {"ExitCode": 0})
    engine.on("POST", "/containers/web/start", {"message": f"password={secret} is wrong"}, status=500)
    engine.on("POST", f"/containers/{ID}/start", {"message": f"password={secret} is wrong"}, status=500)
    return secret


def test_secrets_are_hidden_in_answers_and_errors(secret: str, run: Run) -> None:
    for result in (
        run("docker_inspect_container", container_id="web"),
        run("docker_inspect_container", container_id="web", raw=True),
        run("docker_exec_command", container_id="web", command=["connect"]),
        run("docker_start_container", container_id="web"),
        run("docker_start_container", container_id=f"password={secret}"),
    ):
        assert secret not in result.text
        assert secret not in json.dumps(result.data)
        assert "[REDACTED]" in result.text


def test_the_operator_can_have_secrets_told(secret: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_REDACT_SECRETS", "false")
    assert secret in run("docker_exec_command", container_id="web", command=["connect"]).text
    assert data_of(run("docker_inspect_container", container_id="web"))["environment"] == [f"DB_PASSWORD={secret}"]
    result = run("docker_start_container", container_id="web")
    assert code_of(result) == "ENGINE_ERROR"
    assert secret in result.text


def test_a_program_in_a_field_of_its_own_is_known_by_its_arguments() -> None:
    for program, rest in (("entrypoint", "command"), ("Entrypoint", "Cmd"), ("Path", "Args")):
        first = "curl" if program == "Path" else ["curl"]
        data = {program: first, rest: ["-u", "bob:hunter2secret", "http://x"]}
        hidden, text = redact.clean(data, hide=True)
        assert "hunter2" not in text
        assert hidden[rest][0] == "-u"
        assert len(hidden[rest]) == 3


@pytest.mark.parametrize("line", ["Step 3/8 : ENV API_TOKEN hunter2secret", "ENV DB_PASSWORD hunter2 secret"])
def test_an_instruction_of_a_build_shows_no_secret(line: str) -> None:
    assert "hunter2" not in redact.told(line, hide=True)
    assert redact.told("Step 3/8 : ENV PATH /usr/bin:/bin", hide=True) == "Step 3/8 : ENV PATH /usr/bin:/bin"


def test_of_a_list_whose_end_matters_the_end_is_kept() -> None:
    lines = [f"line {number:03}" for number in range(100)]
    short, said = redact.bound({"lines": lines}, 300, frozenset({"lines"}))
    kept = short["lines"]
    assert 10 < len(kept) < 100
    assert kept == lines[-len(kept) :]
    assert said == [f"{len(kept)} of 100 items of lines"]
    begun, _ = redact.bound({"lines": lines}, 300)
    assert begun["lines"] == lines[: len(kept)]


def test_a_mapping_of_ours_is_not_shortened_and_a_free_one_is() -> None:
    ours: dict[str, Any] = {"ports": {str(number): number for number in range(50)}, "name": "n"}
    assert redact.bound(ours, 100) == (ours, [])
    short, said = redact.bound({"labels": ours["ports"], "name": "n"}, 100)
    assert len(json.dumps(short, separators=(",", ":"))) <= 100
    assert said == [f"{len(short['labels'])} of 50 items of labels"]
