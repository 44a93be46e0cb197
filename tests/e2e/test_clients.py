"""Clients written by others see the tools, and get answers and refusals that they understand."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import COMMAND, HANDSHAKE, SESSIONLESS, environment

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "clients"
ERAS = (HANDSHAKE, SESSIONLESS)

Seen = dict[str, Any]


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder of the clients, which are installed first where they are not yet."""
    done = subprocess.run([REPOSITORY / "scripts/clients"], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.fail(f"scripts/clients could not install the clients:\n{done.stderr}")
    return Path(done.stdout.strip())


@pytest.fixture
def calls(container: Callable[..., str], label: str) -> list[Seen]:
    """A call that is done, one that the engine refuses, and one that the operator has not allowed."""
    container(start=False)
    return [
        {"name": "docker_list_containers", "arguments": {"all": True, "filters": {"label": [label]}}},
        {"name": "docker_inspect_container", "arguments": {"container_id": "no-such-container"}},
        {"name": "docker_remove_container", "arguments": {"container_id": "no-such-container"}},
    ]


def check(tools: list[Seen], results: list[Seen]) -> None:
    """That a client saw the tools of two tiers, and what came of the calls."""
    hints = {tool["name"]: tool["annotations"] for tool in tools}
    assert hints["docker_list_containers"]["readOnlyHint"]
    assert not hints["docker_start_container"]["readOnlyHint"]
    assert "docker_remove_container" not in hints
    assert all(tool["title"] and tool["description"] and tool["outputSchema"] for tool in tools)
    done, *refused = results
    assert not done["isError"]
    assert [row["state"] for row in done["structuredContent"]["containers"]] == ["created"]
    assert json.loads(done["content"][0]["text"]) == done["structuredContent"]
    for result, code in zip(refused, ("NOT_FOUND", "TOOL_NOT_AVAILABLE"), strict=False):
        assert result["isError"]
        assert "structuredContent" not in result
        assert result["content"][0]["text"].startswith(f"REFUSED [{code}] ")
        assert result["_meta"]["mcp-docker/code"] == code


def seen_by(*client: str | Path, cwd: Path, **wanted: Any) -> Seen:
    """What a client script reports of a server and some calls."""
    order = {"command": COMMAND[0], "args": COMMAND[1:], "env": environment(), **wanted}
    done = subprocess.run(
        client, input=json.dumps(order), cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen: Seen = json.loads(done.stdout)
    return seen


def node(installed: Path) -> Path:
    return installed / "npm/node_modules/.bin/node"


@pytest.mark.parametrize(("version", "era"), [(1, HANDSHAKE), (2, HANDSHAKE), (2, SESSIONLESS)])
def test_the_typescript_sdk(installed: Path, calls: list[Seen], version: int, era: str) -> None:
    seen = seen_by(
        node(installed), SCRIPTS / "typescript.mjs", cwd=installed / "npm", version=version, era=era, calls=calls
    )
    assert seen["server"]["name"] == "mcp-docker"
    check(seen["tools"], seen["results"])


@pytest.mark.parametrize("client", ["mcp1", "fastmcp"])
def test_python_clients(installed: Path, calls: list[Seen], client: str, tmp_path: Path) -> None:
    seen = seen_by(installed / client / "bin/python", SCRIPTS / f"{client}_client.py", cwd=tmp_path, calls=calls)
    check(seen["tools"], seen["results"])


@pytest.mark.parametrize("era", ERAS)
def test_the_inspector(installed: Path, calls: list[Seen], era: str, tmp_path: Path) -> None:
    def inspect(*options: str) -> subprocess.CompletedProcess[str]:
        env = environment()
        passed = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
        inspector = (str(node(installed)), str(installed / "npm/node_modules/.bin/mcp-inspector"), "--cli")
        era_options = ("--protocol-era", "modern" if era == SESSIONLESS else "legacy")
        command = (*inspector, "--format", "json", "--quiet", *era_options, *passed, *options, "--", *COMMAND)
        return subprocess.run(
            command, env=env | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False
        )

    listed = inspect("--method", "tools/list", "--strict")  # which objects to schemas that not every client takes
    assert listed.returncode == 0, listed.stderr
    results = []
    for call in calls[:2]:  # the Inspector itself refuses a tool that it was not shown
        options = ("--tool-name", call["name"], "--tool-args-json", json.dumps(call["arguments"]))
        answer = inspect("--method", "tools/call", *options)
        assert answer.stdout, answer.stderr
        results.append(json.loads(answer.stdout)["result"])
    check(json.loads(listed.stdout)["result"]["tools"], results)
    prompts = inspect("--method", "prompts/list")
    assert prompts.returncode == 0, prompts.stderr
    assert "security_audit" in {each["name"] for each in json.loads(prompts.stdout)["result"]["prompts"]}
    page = inspect("--method", "resources/read", "--uri", "ui://mcp-docker/containers.html")
    assert page.returncode == 0, page.stderr
    (contents,) = json.loads(page.stdout)["result"]["contents"]
    assert contents["mimeType"] == "text/html;profile=mcp-app"
