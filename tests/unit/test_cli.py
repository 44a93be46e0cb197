"""The command line: serve is covered end to end; doctor, tools, call and the exit statuses are here."""

import contextlib
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger

from mcp_docker import __version__, docs, logs
from mcp_docker.cli import main
from mcp_docker.settings import load
from tests.unit.conftest import FakeEngine

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run mcp-docker with these arguments; exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mcp-docker", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code
        out, err = capsys.readouterr()
        if isinstance(status, str):
            return 1, out, err + status
        return status or 0, out, err

    return run


def goes_on(line: str) -> bool:
    """Whether it says only that a call goes on, which one on a busy machine may."""
    return bool(re.search(r", for \d+ s$", line))


def test_the_version_is_told(command: Command) -> None:
    assert command("--version") == (0, f"mcp-docker {__version__}\n", "")


def test_an_unknown_subcommand_is_a_usage_error(command: Command) -> None:
    status, _, err = command("dance")
    assert status == 2
    assert "usage: mcp-docker" in err


def test_settings_that_cannot_be_honoured_end_with_78_and_every_problem(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALOWED_TOOLS", "x")
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "x")
    status, out, err = command("tools")
    assert (status, out) == (78, "")
    assert err.count("mcp-docker: SAFETY_") == 2


def test_tools_says_what_is_enabled_and_why_the_rest_is_not(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_DENIED_TOOLS", "docker_events")
    status, out, _ = command("tools")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["docker_version"].endswith("enabled")
    assert lines["docker_events"].endswith("named in SAFETY_DENIED_TOOLS")
    assert lines["docker_remove_volume"].endswith("needs SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true")


def test_read_only_leaves_only_tools_that_read(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAFETY_ALLOW_MODERATE_OPERATIONS", "true")
    file = tmp_path / "settings"
    file.write_text("SAFETY_DENIED_TOOLS=docker_version\n")
    _, out, _ = command("--read-only", "--env-file", str(file), "tools")
    enabled = [line for line in out.splitlines() if line.endswith("enabled")]
    assert enabled
    assert all(" safe " in line for line in enabled)
    assert "docker_version" not in "".join(enabled)


def test_call_prints_the_answer(command: Command, engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", [])
    status, out, err = command("call", "docker_list_containers", '{"all": true}')
    assert (status, out) == (0, '{"containers":[]}\n')
    assert [line for line in err.splitlines() if not goes_on(line)] == []


def test_call_prints_progress_on_standard_error(command: Command, engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", [{"Id": "a" * 64, "Names": ["/web"]}])
    _, _, err = command("call", "docker_container_stats")
    assert [line for line in err.splitlines() if not goes_on(line)] == ["measured 1 of 1 containers"]


def test_a_refused_call_ends_with_1(command: Command, engine: FakeEngine) -> None:
    status, out, _ = command("call", "docker_inspect_container", '{"container_id": "none"}')
    assert status == 1
    assert out.startswith("REFUSED [NOT_FOUND]")
    assert engine.requests


def test_what_standard_output_can_not_write_is_spelled_out(
    command: Command, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.on("GET", "/containers/json", [{"Id": "a" * 64, "Names": ["/web"], "Status": "Up \u2713"}])
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    assert command("call", "docker_list_containers")[0] == 0
    assert rb"Up \u2713" in written.getvalue()


def test_standard_output_may_be_replaced_by_what_has_no_encoding(command: Command) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert command("tools")[0] == 0
    assert "docker_version" in output.getvalue()


ASKED = """
import signal, sys
from mcp_docker import cli, confirm

# what a shell starts in the background has it ignored
signal.signal(signal.SIGINT, signal.default_int_handler)

class Terminal:
    def isatty(self):
        return True

    def readline(self):
        print("waits", file=sys.stderr, flush=True)
        return sys.__stdin__.readline()

confirm.ANSWER_SECONDS = float(sys.argv.pop(1))
sys.stdin = Terminal()
cli.main()
"""


@pytest.mark.parametrize(("answer", "removed"), [(b"yes\n", 1), (b"y\n", 0), (b"", 0)])
def test_only_yes_on_the_terminal_lets_a_loss_happen(engine: FakeEngine, answer: bytes, removed: int) -> None:
    engine.on("GET", "/containers/json", [])
    engine.on("GET", "/volumes", {"Volumes": [{"Name": "data", "Driver": "local"}]})
    engine.on("GET", "/volumes/data", {"Name": "data", "Driver": "local"})
    engine.on("DELETE", "/volumes/data", status=204)
    arguments = ["600", "call", "docker_remove_volume", '{"volume_name": "data"}']
    done = subprocess.run(
        [sys.executable, "-c", ASKED, *arguments], input=answer, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1 - removed
    assert len(engine.sent("DELETE", "/volumes/data")) == removed


def ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether it ends within so many seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is not None


@pytest.mark.parametrize(("seconds", "interrupted"), [("0.5", False), ("600", True)])
def test_a_question_that_nobody_answers_holds_no_process(
    engine: FakeEngine, tmp_path: Path, seconds: str, *, interrupted: bool
) -> None:
    engine.on("GET", "/containers/json", [])
    engine.on("GET", "/volumes", {"Volumes": [{"Name": "data", "Driver": "local"}]})
    engine.on("GET", "/volumes/data", {"Name": "data", "Driver": "local"})
    with subprocess.Popen(
        [sys.executable, "-c", ASKED, seconds, "call", "docker_remove_volume", '{"volume_name": "data"}'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert any(line.endswith(b"waits\n") for line in process.stderr)
            # one that comes just before the event loop begins to wait is seen with the next one
            for _ in range(12 * interrupted):
                process.send_signal(signal.SIGINT)
                if ended(process, 5):
                    break
            assert process.wait(60) == (130 if interrupted else 1)
            answer = process.stdout.read().decode()
        finally:
            process.kill()
    assert answer.startswith("" if interrupted else "REFUSED [CONFIRMATION_TIMED_OUT]")
    assert engine.sent("DELETE", ".*") == []
    last = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["tool"]) == ("outcome", "docker_remove_volume")


@pytest.mark.parametrize("text", ["{", "[]", '{"a":' + "[" * 100_000])
def test_arguments_that_are_no_json_object_are_refused(command: Command, text: str) -> None:
    status, _, err = command("call", "docker_version", text)
    assert status == 1
    assert "mcp-docker: the arguments" in err


def test_call_does_without_the_protocol_sdk(engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", [])
    code = """
import sys
from mcp_docker.cli import main
sys.argv = ["mcp-docker", "call", "docker_list_containers"]
try:
    main()
finally:
    assert not {"mcp", "mcp_types"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_doctor_says_which_engine_was_found_and_by_which_rule(command: Command, engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", [])
    status, out, _ = command("doctor")
    assert status == 0
    assert "Docker Engine 20.10.24 (linux/amd64)" in out
    assert f"{engine.address}, by DOCKER_HOST" in out
    assert "docker_list_containers: answered in " in out


def test_doctor_tells_no_password_of_an_address(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://me:hunter2secret@127.0.0.1:1")
    status, out, err = command("doctor")
    assert status == 1
    assert "127.0.0.1:1  (DOCKER_HOST): " in out
    assert "hunter2" not in out + err


def test_an_engine_can_not_write_lines_of_the_doctor_s(command: Command, engine: FakeEngine) -> None:
    engine.version["Version"] = "28.0\x1b[2J\nto do       run this"
    engine.on("GET", "/containers/json", {"message": "no\u2028to do       run that"}, status=500)
    status, out, _ = command("doctor")
    assert status == 1
    assert "\x1b" not in out
    assert "28.0 to do       run this (linux/amd64)" in out
    assert [line for line in out.splitlines() if line.startswith("to do")] == []


def test_doctor_says_where_it_looked_and_what_to_do(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    status, out, _ = command("doctor")
    assert status == 1
    assert "unix:///no/such.sock  (DOCKER_HOST): there is no such socket" in out
    assert "to do       start the engine" in out
    assert "DESTRUCTIVE 0 of " in out


def test_doctor_fails_when_the_engine_does(command: Command, engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", {"message": "out of order"}, status=500)
    status, out, _ = command("doctor")
    assert status == 1
    assert "out of order" in out


def test_doctor_makes_no_call_where_none_is_allowed(
    command: Command, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_TOOLS", "docker_inspect_container")
    status, out, _ = command("doctor")
    assert status == 0
    assert "none made" in out
    assert engine.requests == []


def test_doctor_says_when_a_context_cannot_be_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "none")
    status, out, _ = command("doctor")
    assert status == 1
    assert "Docker context 'none' can't be read" in out


def test_an_interrupted_command_ends_with_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("mcp_docker.doctor.show_tools", interrupted)
    assert command("tools")[0] == 130


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_is_no_error(monkeypatch: pytest.MonkeyPatch, unbuffered: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as output:
        done = subprocess.run(
            [sys.executable, "-m", "mcp_docker", "tools"],
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_log_goes_to_standard_error_as_json_when_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCP_JSON_LOGGING", "true")
    monkeypatch.setenv("MCP_DEBUG_MODE", "true")
    logs.set_up(load())
    logger.debug("ours")
    logging.getLogger("theirs").warning("a library's")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["record"]["message"] for line in err.splitlines()] == ["ours", "a library's"]


def test_the_log_tells_no_secrets_and_paints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for json_lines in ("true", "false"):
        monkeypatch.setenv("MCP_JSON_LOGGING", json_lines)
        logs.set_up(load())
        try:
            raise RuntimeError("password=hunter2-and-more is wrong\x1b[2J")
        except RuntimeError as error:
            logger.opt(exception=error).error("postgres://me:hunter2-and-more@db/x failed")
        told = capsys.readouterr().err
        assert "RuntimeError" in told
        assert "hunter2" not in told
        assert "\x1b" not in told


@pytest.mark.parametrize("json_lines", ["true", "false"])
@pytest.mark.parametrize(("secret", "shown"), [('"hunter2secretX9"', '"[REDACTED]"'), ('hunter2\\b"c', '[REDACTED]"c')])
def test_quotes_in_what_is_logged_show_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], json_lines: str, secret: str, shown: str
) -> None:
    monkeypatch.setenv("MCP_JSON_LOGGING", json_lines)
    logs.set_up(load())
    try:
        raise RuntimeError(f"DB_PASSWORD={secret}")
    except RuntimeError as error:
        logger.opt(exception=error).error("DB_PASSWORD={}", secret)
    told = capsys.readouterr().err
    assert "DB_PASSWORD=" in told
    assert "hunter2" not in told
    if json_lines == "true":
        assert json.loads(told)["record"]["message"] == f"DB_PASSWORD={shown}"


def test_generated_files_are_written_and_stale_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src/mcp_docker").mkdir(parents=True)
    marks = {"README": ("tools", "prompts", "resources"), "CONFIGURATION": ("settings",), "SECURITY": ("codes",)}
    for file, names in marks.items():
        (tmp_path / f"{file}.md").write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in names))
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert docs.main(["--check"]) == 1
    assert "README.md is stale: scripts/gen" in capsys.readouterr().err
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    assert "`docker_version`" in (tmp_path / "README.md").read_text()
    (tmp_path / "SECURITY.md").write_text("no marks")
    with pytest.raises(ValueError, match=r"SECURITY\.md lacks marks of codes"):
        docs.main(["--check"])
