"""docker_exec_command."""

import struct
import threading
from collections.abc import Iterator

import pytest

from mcp_docker import pipeline
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

EXEC = "e" * 64
ID = "4f1c2e" + "0" * 58
WEB = {"Id": ID, "Name": "/web", "Config": {"User": ""}, "HostConfig": {}}


def frame(stream: int, text: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(text)) + text


@pytest.fixture
def web(engine: FakeEngine) -> FakeEngine:
    engine.on("GET", "/containers/web/json", WEB)
    engine.on("POST", f"/containers/{ID}/exec", {"Id": EXEC}, status=201)
    engine.on("POST", f"/exec/{EXEC}/start", frame(1, b"out\n") + frame(2, b"err\n") + frame(1, b"more\n"))
    engine.on("GET", f"/exec/{EXEC}/json", {"ExitCode": 3})
    return engine


@pytest.mark.usefixtures("web")
def test_the_exit_code_and_both_streams_are_returned(run: Run) -> None:
    result = run("docker_exec_command", container_id="web", command=["ls", "-l"])
    assert data_of(result) == {"exit_code": 3, "stdout": "out\nmore\n", "stderr": "err\n", "untrusted": True}
    assert result.text.startswith("exit code 3\n<untrusted-")
    assert "\nout\nmore\n--- stderr\nerr\n" in result.text


def test_what_is_asked_for_is_sent_with_a_mark_in_the_environment(web: FakeEngine, run: Run) -> None:
    run(
        "docker_exec_command",
        container_id="web",
        command=["env"],
        workdir="/srv",
        user="app",
        environment={"A": "b"},
    )
    (request,) = web.sent("POST", f"/containers/{ID}/exec")
    mark = request.body["Env"].pop(-1)
    assert mark.startswith("MCP_DOCKER_EXEC=")
    assert request.body["Cmd"] == ["env"]
    assert request.body["Env"] == ["A=b"]
    assert (request.body["WorkingDir"], request.body["User"], request.body["Privileged"]) == ("/srv", "app", False)
    (start,) = web.sent("POST", f"/exec/{EXEC}/start")
    assert start.body == {"Detach": False, "Tty": False}
    assert "Upgrade" not in start.headers


@pytest.mark.parametrize(
    ("command", "sent", "hinted"),
    [
        ("ls -l '/a b'", ["ls", "-l", "/a b"], False),
        ('["sh", "-c", "a | b"]', ["sh", "-c", "a | b"], False),
        (["sh", "-c", "a | b"], ["sh", "-c", "a | b"], False),
        ("echo a | cat", ["echo", "a", "|", "cat"], True),
        ("echo $HOME", ["echo", "$HOME"], True),
        ("echo 'it is' \"$HOME\"", ["echo", "it is", "$HOME"], True),
        ('echo "it\'s" `id`', ["echo", "it's", "`id`"], True),
        ("./run.sh > log", ["./run.sh", ">", "log"], True),
        ("sh -c 'ls /etc | head -3'", ["sh", "-c", "ls /etc | head -3"], False),
        ('/bin/bash -lc "echo $HOME"', ["/bin/bash", "-lc", "echo $HOME"], False),
        ("grep 'a|b' \"c(d)|e\" f\\*", ["grep", "a|b", "c(d)|e", "f*"], False),
        ('echo "a\\"$b"', ["echo", 'a"$b'], True),
    ],
)
def test_a_string_is_split_without_a_shell_and_says_so_where_it_matters(
    web: FakeEngine, run: Run, command: object, sent: list[str], hinted: bool
) -> None:
    data = data_of(run("docker_exec_command", container_id="web", command=command))
    assert web.sent("POST", f"/containers/{ID}/exec")[0].body["Cmd"] == sent
    assert ('["sh","-c"' in data.get("hint", "")) is hinted


def test_a_program_that_is_missing_is_explained(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/exec/{EXEC}/json", {"ExitCode": 127})
    result = run("docker_exec_command", container_id="web", command=["nosuch"])
    assert "does not exist in the container" in result.text.splitlines()[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"ExitCode": 127}, "does not exist in the container"), ({"ExitCode": None, "Running": True}, "It still runs")],
)
def test_that_no_shell_was_involved_does_not_hide_how_the_command_ended(
    web: FakeEngine, run: Run, answer: dict[str, object], said: str
) -> None:
    web.on("GET", f"/exec/{EXEC}/json", answer)
    hint = data_of(run("docker_exec_command", container_id="web", command="cd /srv && ls"))["hint"]
    assert said in hint
    assert "No shell was involved" in hint


def test_privileged_is_refused_before_the_engine_is_asked(engine: FakeEngine, run: Run) -> None:
    result = run("docker_exec_command", container_id="web", command=["id"], privileged=True)
    assert code_of(result) == "PRIVILEGE_NOT_ALLOWED"
    assert "SAFETY_ALLOW_PRIVILEGED_CONTAINERS" in result.text
    assert engine.requests == []


def test_much_output_keeps_its_end_and_says_what_was_left_out(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "4096")
    pieces = [frame(1, f"{i:09}\n".encode()) for i in range(1_000)]
    web.on("POST", f"/exec/{EXEC}/start", iter(pieces))
    result = run("docker_exec_command", container_id="web", command=["seq"])
    data = data_of(result)
    assert data["stdout"].endswith("000000999\n")
    assert data["dropped_bytes"] == 10_000 - len(data["stdout"])
    assert f"the first {data['dropped_bytes']} bytes are left out" in result.text


def test_a_container_that_does_not_run_is_a_conflict(web: FakeEngine, run: Run) -> None:
    web.on("POST", f"/containers/{ID}/exec", {"message": "Container abc is not running"}, status=409)
    result = run("docker_exec_command", container_id="web", command=["id"])
    assert code_of(result) == "CONFLICT"
    assert "docker_start_container" in result.text


def test_an_error_of_the_stream_is_passed_on(web: FakeEngine, run: Run) -> None:
    web.on("POST", f"/exec/{EXEC}/start", {"message": "no such exec"}, status=404)
    assert code_of(run("docker_exec_command", container_id="web", command=["id"])) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("exit_code", "words"), [(0, "were ended in the container"), (127, f"still runs in the container (exec {EXEC})")]
)
def test_a_command_out_of_time_is_ended_through_a_second_exec(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, exit_code: int, words: str
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_exec_command=1")
    monkeypatch.setattr(pipeline, "GRACE_SECONDS", 10.0)  # on a busy machine ending it may take longer than usual
    release = threading.Event()
    second = "f" * 64

    def made(request: Request) -> dict[str, str]:
        return {"Id": second if "-c" in request.body["Cmd"] else EXEC}

    def silent(_: Request) -> Iterator[bytes]:
        yield frame(1, b"begun\n")
        release.wait(20)

    web.on("POST", f"/containers/{ID}/exec", made, status=201)
    web.on("POST", f"/exec/{EXEC}/start", silent)
    web.on("POST", f"/exec/{second}/start", b"")
    web.on("GET", f"/exec/{second}/json", {"ExitCode": exit_code})
    result = run("docker_exec_command", container_id="web", command=["sleep", "60"], user="app")
    release.set()
    assert code_of(result) == "TIMED_OUT"
    assert words in result.text
    first, ending = web.sent("POST", f"/containers/{ID}/exec")
    assert ending.body["Cmd"][-1] == first.body["Env"][-1]
    assert ending.body["User"] == "app"


def test_an_engine_that_goes_away_meanwhile_leaves_the_fate_of_the_command_open(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_exec_command=1")
    monkeypatch.setattr(pipeline, "GRACE_SECONDS", 10.0)  # on a busy machine ending it may take longer than usual
    release = threading.Event()

    def silent(_: Request) -> Iterator[bytes]:
        web.on("POST", f"/containers/{ID}/exec", {"message": "gone"}, status=500)
        release.wait(20)
        yield b""

    web.on("POST", f"/exec/{EXEC}/start", silent)
    result = run("docker_exec_command", container_id="web", command=["sleep", "60"])
    release.set()
    assert "still runs in the container" in result.text


@pytest.mark.parametrize("code", [None, 0], ids=["Docker", "Podman"])
def test_a_command_whose_stream_ends_before_it_does_is_said_to_run_still(
    web: FakeEngine, run: Run, code: int | None
) -> None:
    web.on("GET", f"/exec/{EXEC}/json", {"ExitCode": code, "Running": True})
    result = run("docker_exec_command", container_id="web", command=["ls"])
    assert "exit_code" not in data_of(result)
    assert result.text.startswith("exit code unknown. It still runs: ")
