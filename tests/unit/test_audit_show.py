"""`mcp-docker audit`: what people see of the audit log."""

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.audit import Audit
from mcp_docker.audit.show import add_parser, show
from mcp_docker.settings import load

Command = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("SECURITY_AUDIT_LOG_FILE", str(path))
    return path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `audit` with these arguments; exit status, lines of standard output, standard error."""

    def run(*arguments: str) -> tuple[int, list[str], str]:
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers(dest="command"))
        try:
            status = show(parser.parse_args(["audit", *arguments]), load())
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return status, out.splitlines(), err

    return run


OUTCOME = {
    "event": "outcome",
    "outcome": "done",
    "tier": "moderate",
    "tool": "docker_start_container",
    "caller": "editor",
    "arguments": {"container_id": "web"},
    "seconds": 0.25,
}


def put(path: Path, *records: dict[str, Any]) -> None:
    """Lines as they are, whatever their time and chain."""
    with path.open("a", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps({"time": "now", "run": "r", "seq": 1, "prev": "", **record}) + "\n")


def test_a_line_is_shown_as_time_outcome_tier_tool_caller_arguments_code_and_duration(
    path: Path, command: Command
) -> None:
    put(path, OUTCOME | {"time": "2026-01-31T12:00:00.123Z", "code": "CONFLICT", "outcome": "refused"})
    assert command("tail") == (
        0,
        [
            "2026-01-31T12:00:00.123Z  refused    moderate     docker_start_container      editor  "
            '{"container_id":"web"}  CONFLICT  0.250 s'
        ],
        "",
    )


def test_a_line_without_most_fields_is_shown_all_the_same(path: Path, command: Command) -> None:
    put(path, {"event": "intent", "tool": ["odd"], "seconds": 10**400, "arguments": None})
    [line] = command("tail")[1]
    assert line.split() == ["now", "intent", '["odd"]', "null"]


def test_tail_shows_the_newest_lines_and_as_many_as_asked_for(path: Path, command: Command) -> None:
    put(path, *({"tool": f"tool-{number}"} for number in range(30)))
    assert [line.split()[1] for line in command("tail")[1]] == [f"tool-{number}" for number in range(10, 30)]
    assert [line.split()[1] for line in command("tail", "-n", "2")[1]] == ["tool-28", "tool-29"]


@pytest.mark.parametrize("count", ["0", "-1", "x", ""])
def test_a_count_that_is_none_is_a_usage_error(path: Path, command: Command, count: str) -> None:
    status, _, err = command("tail", "-n", count)
    assert status == 2
    assert "-n" in err
    assert not path.exists()


def test_nothing_in_the_file_reaches_the_terminal_as_a_command(path: Path, command: Command) -> None:
    evil = "a\x1b]0;title\x07b\x9b2Jc\u202ed\ne\x1b[31m"
    put(path, {"tool": evil, "caller": evil, "code": evil, "time": evil, "outcome": evil, "arguments": {evil: evil}})
    path.write_bytes(path.read_bytes() + b"\x1b[31mno line\n" + b'{"run":"r","seq":1,"prev":"","tool":"\xc2\x9b2J"}\n')
    for arguments, count in ((["tail"], 3), (["query"], 3), (["tail", "--json"], 2), (["verify"], 4)):
        _, out, err = command(*arguments)
        assert len(out) == count
        assert all(line.replace("…", "").isprintable() for line in out)
        assert "\x1b" not in err


def test_what_is_long_is_shortened(path: Path, command: Command) -> None:
    put(path, {"caller": "c" * 1_000, "arguments": {"text": "x" * 10_000}})
    [line] = command("tail")[1]
    assert len(line) < 400
    assert line.count("…") == 2


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"\xe9"), ("utf-8", "é")])
def test_what_the_terminal_cannot_show_is_escaped(
    path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    put(path, {"caller": "\ud800é"})
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert command("tail")[0] == 0
    out.seek(0)
    assert f" {shown}\n" in out.read()


def test_json_is_the_line_as_it_is_in_the_file(path: Path, command: Command) -> None:
    Audit(path, 10**9).write(OUTCOME)
    Audit(path, 10**9).write({"text": "é\x1b\ud800\n"})
    assert command("tail", "--json")[1] == path.read_text().splitlines()
    assert command("query", "--json")[1] == path.read_text().splitlines()


def test_json_leaves_out_what_is_none_and_says_so(path: Path, command: Command) -> None:
    put(path, OUTCOME)
    path.write_text(path.read_text() + "no line\n")
    status, out, err = command("query", "--json")
    assert (status, len(out)) == (0, 1)
    assert err == 'mcp-docker: 1 lines can\'t be read and are left out; "mcp-docker audit verify" names them\n'


def test_query_gives_what_matches_everything(path: Path, command: Command) -> None:
    put(
        path,
        {"tool": "a", "caller": "x", "outcome": "done", "run": "1"},
        {"tool": "a", "caller": "y", "outcome": "failed", "run": "1"},
        {"tool": "b", "caller": "y", "outcome": "done", "run": "2"},
    )

    def found(*arguments: str) -> list[int]:
        every = path.read_text().splitlines()
        return [every.index(line) for line in command("query", "--json", *arguments)[1]]

    assert found() == [0, 1, 2]
    assert found("--tool", "a") == [0, 1]
    assert found("--caller", "y") == [1, 2]
    assert found("--outcome", "done") == [0, 2]
    assert found("--run", "2") == [2]
    assert found("--tool", "a", "--caller", "y") == [1]
    assert found("--tool", "") == []


def test_query_takes_times_in_every_form(path: Path, command: Command) -> None:
    put(path, {"time": "2026-01-31T12:00:00.500Z", "tool": "old"})
    Audit(path, 10**9).write({"tool": "new"})

    def found(*arguments: str) -> list[str]:
        return [json.loads(line)["tool"] for line in command("query", "--json", *arguments)[1]]

    assert found("--since", "15m") == ["new"]
    assert found("--until", "15m") == ["old"]
    assert found("--since", "2026-01-31T12:00:00.500Z", "--until", "2026-01-31T13:00:00.500+01:00") == ["old"]
    assert found("--since", "1769860800.4", "--until", "1769860800.6") == ["old"]
    assert found("--since", "1769860800.6", "--until", "2h") == []


def test_a_line_whose_time_is_none_is_not_hidden(path: Path, command: Command) -> None:
    put(path, {"time": "never", "tool": "a"}, {"time": None, "tool": "b"})
    assert len(command("query", "--since", "1h")[1]) == 2


def test_a_time_that_is_none_is_a_usage_error(path: Path, command: Command) -> None:
    status, _, err = command("query", "--since", "yesterday")
    assert status == 2
    assert "'yesterday' is not a time: write RFC 3339" in err
    assert not path.exists()


def test_verify_says_what_was_found(path: Path, command: Command) -> None:
    log = Audit(path, 10**9)
    log.write({"event": "intent", "call": "a", "tool": "docker_version"})
    path.write_text(path.read_text() + '{"time":"2026\n')
    assert command("verify") == (
        0,
        [
            f"interrupted: {path}:2: cut off",
            f"unfinished: {path}:1: docker_version without an outcome",
            "1 lines of 1 runs: 0 findings, 1 interrupted, 1 unfinished",
        ],
        "",
    )
    assert command("tail")[1][1] == f"{path}:2: cut off"


def test_verify_ends_with_1_where_something_was_tampered_with(path: Path, command: Command) -> None:
    path.write_text("x\n" * 1_001)
    status, out, _ = command("verify")
    assert status == 1
    assert out[0] == f"{path}:1: not a line of this log"
    assert out[-2:] == ["and 1 more", "0 lines of 0 runs: 1001 findings, 0 interrupted, 0 unfinished"]


@pytest.mark.parametrize("kind", ["tail", "query", "verify"])
def test_a_missing_log_is_said_and_ends_with_1(path: Path, command: Command, kind: str) -> None:
    assert command(kind) == (1, [], f"mcp-docker: there is no audit log {path}\n")


@pytest.mark.parametrize("kind", ["tail", "query", "verify"])
def test_a_log_that_cannot_be_read_is_said_and_ends_with_1(path: Path, command: Command, kind: str) -> None:
    path.mkdir()
    assert command(kind) == (1, [], f"mcp-docker: Is a directory: {path}\n")


def test_another_file_can_be_named(path: Path, command: Command, tmp_path: Path) -> None:
    put(tmp_path / "other", OUTCOME)
    for kind in ("tail", "query"):
        assert len(command(kind, "--file", str(tmp_path / "other"))[1]) == 1
    assert not path.exists()


def test_a_reader_that_has_enough_is_left_to_the_caller(
    path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    put(path, OUTCOME)
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        command("tail")
