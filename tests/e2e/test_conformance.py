"""The official conformance suite over HTTP: tokens, guard and transport as an operator has them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance.proxy import TokenProxy
from tests.e2e.conftest import allowed
from tests.e2e.process import HANDSHAKE, SESSIONLESS, done, environment, refused
from tests.e2e.test_clients import installed, node
from tests.e2e.test_http import DESTROY, READ, audit, authority, oauth
from tests.e2e.test_resources import Make
from tests.e2e.web import WebServer
from tests.unit.authorization_server import AuthorizationServer

__all__ = ["audit", "authority", "installed"]

EXPECTED = Path(__file__).parent / "conformance/expected"
PRODUCT, FIXTURES = "product", "fixtures"
MODULES = {PRODUCT: "mcp_docker", FIXTURES: "tests.e2e.conformance.served"}
# the suite that the older revision was released with, and the newest, which knows both
RUNS = [(HANDSHAKE, HANDSHAKE), (SESSIONLESS, HANDSHAKE), (SESSIONLESS, SESSIONLESS)]


@pytest.fixture(params=[PRODUCT, FIXTURES])
def variant(request: pytest.FixtureRequest) -> str:
    """The product alone, and with what only the suite needs."""
    return str(request.param)


@pytest.fixture
def server(variant: str, authority: AuthorizationServer, audit: Path, tmp_path: Path) -> Iterator[WebServer]:
    """A server that asks for tokens."""
    env = environment(**allowed() | oauth(authority) | {"SECURITY_AUDIT_LOG_FILE": str(audit)})
    with WebServer(tmp_path / "server.log", env, module=MODULES[variant]) as server:
        yield server


@pytest.fixture
def url(server: WebServer, authority: AuthorizationServer) -> Iterator[str]:
    """Where it answers without one."""
    assert server.post("tools/list").status_code == 401
    with TokenProxy(server.port, authority.token(scope=DESTROY)) as proxy:
        yield f"{proxy.url}/mcp"


@pytest.fixture
def first_listed(container: Make, label: str) -> None:
    """A container before all others by name: the suite reads the first resource of the list.

    It may not be a step of somebody's build: those are containers too, whose logs can't be read.
    """
    container(name=f"0-{label.partition('=')[2]}")


@pytest.mark.usefixtures("first_listed")
@pytest.mark.parametrize(("suite", "revision"), RUNS)
def test_all_that_the_suite_checks_passes_but_for_what_is_said_to_need_fixtures(
    installed: Path, url: str, variant: str, suite: str, revision: str, tmp_path: Path
) -> None:
    """Warnings count as failures, and so does what is excused but passes."""
    script = installed / f"npm/node_modules/conformance-{suite}/dist/index.js"
    results = tmp_path / "results"
    options = ("--suite", "all", "--spec-version", revision, "--output-dir", results)
    baseline = ("--expected-failures", EXPECTED / f"{variant}-{revision}.yml")
    ended = subprocess.run(
        [node(installed), script, "server", "--url", url, *options, *baseline],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}\n{(tmp_path / 'server.log').read_text()}"
    run = {_scenario(path) for path in results.glob("*/checks.json")}
    assert run >= excused(PRODUCT, revision), "all that is excused was run"


def _scenario(checks: Path) -> str:
    """The scenario whose results these are; results of no check at all would pass too."""
    assert json.loads(checks.read_text())
    return re.sub(r"^server-(.*)-\d{4}-\d\d-\d\dT.*$", r"\1", checks.parent.name)


def excused(variant: str, revision: str) -> set[str]:
    """The scenarios that an expected-failures file names."""
    text = (EXPECTED / f"{variant}-{revision}.yml").read_text()
    return set(re.findall(r"^ +- ([\w-]+)", text, re.MULTILINE))


@pytest.mark.parametrize("revision", [HANDSHAKE, SESSIONLESS])
def test_with_the_fixtures_nothing_is_excused_that_the_revision_requires(revision: str) -> None:
    assert excused(FIXTURES, revision) <= {"server-sse-polling"}
    assert excused(FIXTURES, revision) <= excused(PRODUCT, revision)


@pytest.mark.parametrize("variant", [FIXTURES], indirect=True)
def test_beside_the_fixtures_the_tools_and_what_a_token_allows_are_the_servers_own(
    server: WebServer, authority: AuthorizationServer
) -> None:
    token = authority.token(scope=READ)
    listed = server.tools(token)
    assert {"test_simple_text", "docker_version"} <= listed
    assert "docker_remove_volume" not in listed
    done(server.call("docker_version", token))
    assert refused(server.call("docker_remove_volume", token, name="x")) == "TOOL_NOT_AVAILABLE"
    assert server.call("test_simple_text", token)["content"][0]["text"].startswith("This is a simple text")
