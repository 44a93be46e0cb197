"""The command line: serve is covered end to end; doctor, tools, call and the exit statuses are here."""

import json
import logging
import os
import re
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


@pytest.mark.parametrize("text", ["{", "[]"])
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
