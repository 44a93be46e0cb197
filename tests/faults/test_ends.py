"""Sudden ends: of a client in the middle of a build, and of the server at any moment."""

import contextlib
import http.client
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mcp_docker.audit.verify import verify
from mcp_docker.server.stdio import EXIT_SECONDS
from tests.e2e.process import KILLS, SESSIONLESS, UNMEASURED, Message, ServerProcess, done, environment, eventually
from tests.e2e.web import BOTH, WebServer
from tests.faults.calls import CALLS, Round, World, settings

ROOT = Path(__file__).parents[2]
AT_ONCE = 3
ENDS_SECONDS = 15.0
"""Far less than what was ended would have taken by itself, also on a machine that is busy."""


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def env(world: World, tmp_path: Path, audit: Path) -> dict[str, str]:
    """A server's environment, in which a call may take its time."""
    kept = settings(world) | {"SAFETY_TOOL_TIMEOUTS": ""}
    return environment(HOME=str(tmp_path), SECURITY_AUDIT_LOG_FILE=str(audit), **kept)


@pytest.fixture
def slow_build(world: World) -> Iterator[str]:
    """A folder whose build does not end by itself."""
    world.write("sleep 65")
    yield str(world.folder)
    world.write()


def building(world: World) -> bool:
    """Whether a build's container runs."""
    return any(
        "sleep 65" in row["Command"] for row in world.raw.containers(filters={"label": f"{world.key}={world.value}"})
    )


def outcomes(audit: Path) -> list[tuple[str, str]]:
    """The tool and the outcome of each call that has ended."""
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    return [(line["tool"], line["outcome"]) for line in lines if line["event"] == "outcome"]


def test_a_build_ends_with_the_client_that_is_killed(
    world: World, env: dict[str, str], audit: Path, slow_build: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.faults.client", str(tmp_path / "stderr"), slow_build]
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        server = int(client.stdout.readline())
        eventually(lambda: building(world))
        client.kill()
    eventually(lambda: not Path(f"/proc/{server}").exists(), ENDS_SECONDS)
    eventually(lambda: not building(world), ENDS_SECONDS)
    assert outcomes(audit) == [("docker_build_image", "cancelled")]
    assert verify(audit).is_whole


def test_a_build_ends_with_the_connection_over_which_it_was_asked_for(
    world: World, env: dict[str, str], audit: Path, slow_build: str, tmp_path: Path
) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
        "io.modelcontextprotocol/clientInfo": {"name": "gone", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "docker_build_image", "arguments": {"path": slow_build}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    sent = {
        "accept": BOTH,
        "content-type": "application/json",
        "mcp-protocol-version": SESSIONLESS,
        "mcp-method": "tools/call",
        "mcp-name": "docker_build_image",
    }
    with WebServer(tmp_path / "stderr", env) as server:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
            client.request("POST", "/mcp", body, sent)
            eventually(lambda: building(world))
        eventually(lambda: not building(world), ENDS_SECONDS)
        eventually(lambda: outcomes(audit) == [("docker_build_image", "cancelled")], ENDS_SECONDS)
        done(server.call("docker_list_containers"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_server_that_is_ended_at_any_moment_has_recorded_what_it_did_and_leaves_nothing_running(
    number: signal.Signals, world: World, env: dict[str, str], tmp_path: Path
) -> None:
    chance = random.Random()
    before = world.names()
    rounds = [Round(world) for _ in range(KILLS)]

    def end(at: Round) -> list[str]:
        return ended(at, number, chance.uniform(0.0, 1.5), env, tmp_path)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert [problem for problems in pool.map(end, rounds) for problem in problems] == []
    made = {name for at in rounds for name in (at.made(), at.doomed())}
    eventually(lambda: world.names() <= before | made)


def ended(at: Round, number: signal.Signals, moment: float, env: dict[str, str], folder: Path) -> list[str]:
    """What is wrong after a server was ended so many seconds after it was asked for a round of calls."""
    audit = folder / f"{at.id}.jsonl"
    answers: dict[str, Message] = {}
    kept = env | UNMEASURED | {"SECURITY_AUDIT_LOG_FILE": str(audit)}
    with ServerProcess(folder / f"{at.id}.log", kept) as server:
        server.open()
        at.prepare()  # just before, since an engine forgets its events soon
        requests = {name: server.begin(call.tool, **call.arguments(at)) for name, call in CALLS.items()}
        threading.Event().wait(moment)
        end = server.signal(number)
        with contextlib.suppress(EOFError):
            for name, request in requests.items():
                answer = server.answer(request)
                if "result" in answer:  # or else it says that the connection closes
                    answers[name] = answer["result"]
    audit.touch()  # the end may come before the first line
    lines = [json.loads(line) for line in audit.read_text().splitlines() if line.endswith("}")]
    intended = {line["tool"] for line in lines if line["event"] == "intent"}
    done_well = {line["tool"] for line in lines if line["event"] == "outcome" and line["outcome"] == "done"}
    report = verify(audit)
    wrong = [f"the audit log: {place}" for place in report.findings.listed]
    for name, call in CALLS.items():
        if call.happened is not None and call.happened(at) and call.tool not in intended:
            wrong.append(f"{name} happened and was not intended")
        if name in answers and not answers[name]["isError"]:
            if not call.is_true(at, answers[name]["structuredContent"]):
                wrong.append(f"{name} was answered wrong: {answers[name]}")
            if call.tool not in done_well:
                wrong.append(f"{name} was said to be done, and not recorded")
    if number is signal.SIGTERM:
        # how soon one ends is told by tests of one at a time
        wrong += [] if end.status == 0 and end.seconds < 5 else [f"{end}: {server.log.read_text()}"]
        if end.seconds < EXIT_SECONDS:  # or else it was not over with them when its time was
            wrong += [f"intended, and no outcome: {place}" for place in report.unfinished.listed]
    return [f"ended after {moment:.2f} s: {problem}" for problem in wrong]
