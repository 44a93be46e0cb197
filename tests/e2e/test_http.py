"""Over HTTP: who may call, what they see, how much, and how it ends."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import docker
import httpx2
import mcp_types as types
import pytest

from tests.e2e.conftest import allowed, text_of
from tests.e2e.process import HANDSHAKE, SESSIONLESS, Message, done, environment, eventually, refused
from tests.e2e.test_clients import installed, node
from tests.e2e.test_confirmation import new_volume, there
from tests.e2e.web import BOTH, WebServer, held_port, joined, result_of
from tests.unit.authorization_server import AUDIENCE, AuthorizationServer, made

READ, WRITE = "docker:read", "docker:read docker:write"
DESTROY = "docker:read docker:write docker:destroy"

Serve = Callable[..., WebServer]

__all__ = ["installed"]


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def authority() -> Iterator[AuthorizationServer]:
    server = AuthorizationServer()
    yield server
    server.close()


@pytest.fixture
def serve(tmp_path: Path, audit: Path) -> Iterator[Serve]:
    """Start a server with every tier on: serve("--port", "1", SECURITY_RATE_LIMIT_RPM="5")."""
    servers: list[WebServer] = []

    def begin(*flags: str, **settings: str) -> WebServer:
        env = environment(**allowed() | {"SECURITY_AUDIT_LOG_FILE": str(audit)} | settings)
        server = WebServer(tmp_path / "server.log", env, *flags)
        servers.append(server)
        return server.__enter__()

    yield begin
    for server in servers:
        server.__exit__()


def oauth(authority: AuthorizationServer, **more: str) -> dict[str, str]:
    return {
        "SECURITY_OAUTH_ENABLED": "true",
        "SECURITY_OAUTH_ISSUER": authority.issuer,
        "SECURITY_OAUTH_AUDIENCE": AUDIENCE,
        **more,
    }


@pytest.fixture
def guarded(serve: Serve, authority: AuthorizationServer) -> WebServer:
    """A server that asks for tokens."""
    return serve(**oauth(authority))


def test_without_a_token_nothing_is_told_but_where_to_get_one(
    guarded: WebServer, authority: AuthorizationServer
) -> None:
    response = guarded.post("tools/list")
    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert "resource_metadata=" in challenge
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        document = guarded.http.get(path).json()
        assert document["resource"] == AUDIENCE
        assert document["authorization_servers"] == [authority.issuer]
        assert document["scopes_supported"] == ["docker:read", "docker:write", "docker:destroy"]


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({}, {"aud": "https://elsewhere.example/mcp"}),
        ({}, {"iss": "https://elsewhere.example"}),
        ({}, {"exp": 1}),
        ({}, {"sub": None}),
        ({"typ": None}, {}),
        ({"typ": "id+jwt"}, {}),
        ({"kid": "../../etc/passwd"}, {}),
        ({"alg": "none"}, {}),
    ],
)
def test_a_token_that_is_not_for_us_is_none(
    guarded: WebServer, authority: AuthorizationServer, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    key = made("RS256") if header.get("alg") != "none" else None
    token = authority.token(header, key, **claims)
    if header.get("alg") == "none":
        token = token.rpartition(".")[0] + "."
    assert guarded.post("tools/list", {}, token).status_code == 401


def test_a_token_without_the_base_scope_is_told_which_it_needs(
    guarded: WebServer, authority: AuthorizationServer
) -> None:
    response = guarded.post("tools/list", {}, authority.token(scope="docker:destroy"))
    assert response.status_code == 403
    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_scopes_are_tiers_for_what_is_listed_and_for_what_can_be_called(
    guarded: WebServer, authority: AuthorizationServer
) -> None:
    listed = {scope: guarded.tools(authority.token(scope=scope)) for scope in (READ, WRITE, DESTROY)}
    assert "docker_version" in listed[READ]
    assert "docker_create_volume" in listed[WRITE] - listed[READ]
    assert "docker_remove_volume" in listed[DESTROY] - listed[WRITE]
    for scope, tool in ((READ, "docker_create_volume"), (WRITE, "docker_remove_volume"), (DESTROY, "docker_nothing")):
        assert refused(guarded.call(tool, authority.token(scope=scope), name="x")) == "TOOL_NOT_AVAILABLE"
    done(guarded.call("docker_version", authority.token(scope=READ)))


def test_groups_narrow_what_a_token_allows(serve: Serve, authority: AuthorizationServer) -> None:
    # the second by its other name
    tools = json.dumps({"ops": ["docker_version", "docker_system_prune"]})
    server = serve(**oauth(authority, SECURITY_OAUTH_GROUPS_CLAIM="roles", SECURITY_OAUTH_GROUP_TOOLS=tools))
    both = server.tools(authority.token(scope=DESTROY, roles=["ops", "dev"]))
    assert both == {"docker_version", "docker_prune_system"}
    assert server.tools(authority.token(scope=READ, roles=["ops"])) == {"docker_version"}
    assert server.tools(authority.token(scope=READ, roles=["dev"])) == set()
    assert server.tools(authority.token(scope=READ)) == set()


@pytest.mark.parametrize("era", [HANDSHAKE, SESSIONLESS])
async def test_the_list_and_the_instructions_follow_the_token(
    guarded: WebServer, authority: AuthorizationServer, era: str
) -> None:
    async with joined(guarded, era, authority.token(scope=READ)) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == guarded.tools(authority.token(scope=READ))
        assert "wider scope" in (client.instructions or "")
    async with joined(guarded, era, authority.token(scope=DESTROY)) as client:
        assert "docker_remove_volume" in {tool.name for tool in (await client.list_tools()).tools}
        assert "wider scope" not in (client.instructions or "")


def opened(server: WebServer, token: str) -> str:
    """A session of the handshake era; its id."""
    hello = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "web", "version": "1"}}
    response = server.http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        headers={"accept": BOTH, "authorization": f"Bearer {token}"},
    )
    result_of(response)
    return str(response.headers["mcp-session-id"])


def in_session(server: WebServer, session: str, token: str, method: str, **params: Any) -> httpx2.Response:
    return server.http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 2, "method": method, "params": params},
        headers={"accept": BOTH, "authorization": f"Bearer {token}", "mcp-session-id": session},
    )


def test_a_session_belongs_to_its_caller_and_follows_the_token_of_each_request(
    guarded: WebServer, authority: AuthorizationServer
) -> None:
    session = opened(guarded, authority.token(scope=READ))
    names = [
        tool["name"]
        for tool in result_of(in_session(guarded, session, authority.token(scope=READ), "tools/list"))["tools"]
    ]
    assert "docker_remove_volume" not in names
    wider = result_of(in_session(guarded, session, authority.token(scope=DESTROY), "tools/list"))["tools"]
    assert "docker_remove_volume" in [tool["name"] for tool in wider]
    assert in_session(guarded, session, authority.token(sub="mallory"), "tools/list").status_code == 404


def test_keys_can_be_rotated(guarded: WebServer, authority: AuthorizationServer) -> None:
    assert guarded.tools(authority.token(scope=READ))
    authority.rotate(made("ES256"), "second")
    assert guarded.tools(authority.token({"alg": "ES256"}, scope=READ))


def test_tokens_can_be_judged_by_the_authority(serve: Serve, authority: AuthorizationServer) -> None:
    server = serve(
        **oauth(
            authority,
            SECURITY_OAUTH_INTROSPECTION_URL=f"{authority.url}/introspect",
            SECURITY_OAUTH_CLIENT_ID="mcp-docker",
            SECURITY_OAUTH_CLIENT_SECRET="s3cret",
        )
    )
    authority.tokens["opaque"] = {"active": True, **authority.claims(scope=READ)}
    authority.tokens["vague"] = {**authority.claims(scope=READ), "active": "true"}
    assert "docker_version" in server.tools("opaque")
    assert server.post("tools/list", {}, "vague").status_code == 401
    assert server.post("tools/list", {}, "unknown").status_code == 401


def test_the_audit_names_the_caller_and_the_tokens_that_were_refused(
    guarded: WebServer, authority: AuthorizationServer, audit: Path
) -> None:
    token = authority.token(scope=READ)
    done(guarded.call("docker_version", token))
    guarded.post("tools/list", {}, authority.token(exp=1))
    eventually(lambda: audit.read_text().count("\n") == 2)
    call, failure = (json.loads(line) for line in audit.read_text().splitlines())
    assert (call["caller"], call["issuer"], call["client"]) == ("alice", authority.issuer, "inspector")
    assert (call["transport"], call["address"], call["outcome"]) == ("http", "127.0.0.1", "done")
    assert (failure["event"], failure["code"], failure["address"]) == ("authentication", "expired", "127.0.0.1")
    assert token not in audit.read_text() + guarded.log.read_text() + guarded.metrics()


def test_only_failed_authentications_count_against_an_address(serve: Serve, authority: AuthorizationServer) -> None:
    server = serve(**oauth(authority, SECURITY_PRE_AUTH_RATE_LIMIT_RPM="3"))
    good = authority.token(scope=READ)
    for _ in range(6):
        assert server.tools(good)
    for _ in range(3):
        assert server.post("tools/list", {}, "nonsense").status_code == 401
    response = server.post("tools/list", {}, "nonsense")
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert server.post("tools/list").status_code == 401


def test_calls_over_the_limit_are_refused_and_other_requests_answered_429(
    serve: Serve, authority: AuthorizationServer
) -> None:
    server = serve(**oauth(authority, SECURITY_RATE_LIMIT_RPM="3"))
    token, other = authority.token(scope=READ), authority.token(scope=READ, sub="bob")
    for _ in range(3):
        done(server.call("docker_version", token))
    result = server.call("docker_version", token)
    assert refused(result) == "RATE_LIMITED"
    assert result["_meta"]["mcp-docker/retry-after-seconds"] > 0
    response = server.post("tools/list", {}, token)
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    done(server.call("docker_version", other))


def test_lists_and_completion_that_ask_the_engine_count_once(serve: Serve, authority: AuthorizationServer) -> None:
    server = serve(**oauth(authority, SECURITY_RATE_LIMIT_RPM="4"))
    token = authority.token(scope=READ)
    completion = {
        "ref": {"type": "ref/resource", "uri": "container://logs/{container_id}"},
        "argument": {"name": "container_id", "value": ""},
    }
    for method, params in [("resources/list", {}), ("completion/complete", completion)] * 2:
        response = server.post(method, params, token)
        assert (response.status_code, "result" in response.json()) == (200, True), response.text
    assert server.post("resources/list", {}, token).status_code == 429


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 401),
    ],
)
def test_hosts_and_origins_are_checked_first(guarded: WebServer, headers: dict[str, str], status: int) -> None:
    assert guarded.post("tools/list", {}, "", **headers).status_code == status


def test_bodies_are_bounded_and_every_answer_is_hardened(guarded: WebServer) -> None:
    # only announced: who is answered while still sending may lose the answer
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=30)
    connection.putrequest("POST", "/mcp")
    connection.putheader("Content-Length", "5000000")
    connection.endheaders()
    large = connection.getresponse()
    assert large.status == 413
    assert large.headers["x-content-type-options"] == "nosniff"
    connection.close()
    for response in (guarded.post("tools/list"), guarded.http.get("/nothing")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-request-id"]


def test_metrics_count_calls_and_name_nothing_a_stranger_chose(
    guarded: WebServer, authority: AuthorizationServer
) -> None:
    token, strange = authority.token(scope=READ), f"strange_{uuid.uuid4().hex}"
    done(guarded.call("docker_version", token))
    guarded.call(strange, token)
    guarded.post("tools/list", {}, "nonsense")
    text = guarded.metrics()
    assert 'mcp_docker_calls_total{outcome="done",tier="safe",tool="docker_version"} 1.0' in text
    assert 'mcp_docker_refusals_total{code="TOOL_NOT_AVAILABLE"} 1.0' in text
    assert "mcp_docker_auth_failures_total{" in text
    assert strange not in text


def test_no_folder_of_the_server_is_built_from_unless_it_is_named(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    server = serve(SAFETY_ALLOWED_BUILD_ROOTS="")
    for path in (str(tmp_path), "."):
        assert refused(server.call("docker_build_image", path=path)) == "BUILD_NOT_ALLOWED"


def test_metrics_can_have_a_port_of_their_own(serve: Serve) -> None:
    with held_port() as port:
        server = serve("--metrics-port", str(port))
        assert server.http.get("/metrics").status_code == 404
        assert "mcp_docker_calls" in httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        assert server.terminate().status == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port", "{taken}"), "already in use"),
        (("--port", "70000"), "is no port"),
        (("--tls-cert", "/nothing.pem", "--tls-key", "/nothing.pem"), "No such file"),
        (("--host", "192.0.2.1", "--insecure-no-auth"), "--tls-cert"),
    ],
)
def test_what_can_not_be_listened_on_is_said_in_a_line(guarded: WebServer, flags: tuple[str, ...], said: str) -> None:
    given = [flag.format(taken=guarded.port) for flag in flags]
    with held_port() as port:
        command = [sys.executable, "-m", "mcp_docker", "--transport", "http", "--port", str(port), *given]
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 78
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_readiness_is_that_of_the_engine(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    # a probe has two seconds, and a cold start may take them
    eventually(lambda: server.http.get("/readyz").status_code == 200)
    lost = serve(DOCKER_HOST=f"unix://{tmp_path}/nothing.sock")
    assert lost.http.get("/healthz").status_code == 200
    assert lost.http.get("/readyz").status_code == 503


YES = types.ElicitResult(action="accept", content={"allow": "this one"})


@pytest.mark.parametrize("era", [HANDSHAKE, SESSIONLESS])
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_person_is_asked_over_http_too(
    guarded: WebServer, authority: AuthorizationServer, raw: docker.APIClient, label: str, era: str, agrees: bool
) -> None:
    volume = new_volume(raw, label)
    asked: list[str] = []

    async def answer(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return YES if agrees else types.ElicitResult(action="decline")

    async with joined(guarded, era, authority.token(scope=DESTROY), elicitation_callback=answer) as client:
        result = await client.call_tool("docker_remove_volume", {"volume_name": volume})
    assert len(asked) == 1
    assert f"- volume {volume}" in asked[0]
    assert result.is_error is not agrees, text_of(result)
    assert there(raw, volume) is not agrees


def asking(server: WebServer, token: str, volume: str, **more: Any) -> Message:
    """The answer to a removal by a client that can ask, with no session."""
    params: Message = {"name": "docker_remove_volume", "arguments": {"volume_name": volume}, **more}
    meta = {
        "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
        "io.modelcontextprotocol/clientInfo": {"name": "web", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params | {"_meta": meta}}
    headers = {
        "accept": BOTH,
        "mcp-protocol-version": SESSIONLESS,
        "mcp-method": "tools/call",
        "mcp-name": "docker_remove_volume",
        "authorization": f"Bearer {token}",
    }
    answer: Message = server.http.post("/mcp", json=body, headers=headers).json()
    return answer


def test_a_question_of_one_replica_can_be_answered_to_another_but_by_nobody_else(
    serve: Serve, authority: AuthorizationServer, raw: docker.APIClient, label: str
) -> None:
    volume = new_volume(raw, label)
    shared = oauth(authority, SECURITY_STATE_KEY="k" * 32)
    first, second, stranger = serve(**shared), serve(**shared), serve(**oauth(authority))
    token = authority.token(scope=DESTROY)
    state = asking(first, token, volume)["result"]["requestState"]
    yes = {"requestState": state, "inputResponses": {"confirm": {"action": "accept", "content": {}}}}
    assert asking(stranger, token, volume, **yes)["error"]["code"] == -32602
    assert asking(second, authority.token(scope=DESTROY, sub="mallory"), volume, **yes)["error"]["code"] == -32602
    assert there(raw, volume)
    done(asking(second, token, volume, **yes)["result"])
    assert not there(raw, volume)


def exec_that_is_cut(server: WebServer, container_id: str) -> None:
    with contextlib.suppress(httpx2.TransportError):  # where cleaning up takes long, its connection goes first
        server.call("docker_exec_command", container_id=container_id, command=["sleep", "66"])


def listens_no_more(server: WebServer) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.port), timeout=5):
        return False
    return True


def test_a_server_that_is_told_to_end_lets_calls_finish(
    serve: Serve, container: Callable[..., str], audit: Path
) -> None:
    server = serve()
    busy = container()
    results: list[Message] = []
    call = threading.Thread(
        target=lambda: results.append(server.call("docker_exec_command", container_id=busy, command=["sleep", "2"]))
    )
    call.start()
    eventually(lambda: audit.exists() and '"intent"' in audit.read_text())
    # what starts servers may pass on a signal that came to all
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: listens_no_more(server))
    ended = server.terminate()
    call.join(10)
    assert ended.status == 0
    assert ended.seconds < 11
    assert done(results[0])["exit_code"] == 0


def test_a_person_who_does_not_want_to_wait_has_calls_cut_and_clients_that_dawdle_do_not_hold_it_up(
    serve: Serve, container: Callable[..., str], audit: Path
) -> None:
    server = serve()
    idle = container()
    session = opened(server, "none")
    half = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
    stream = f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\n"
    with contextlib.ExitStack() as held:
        dawdling, listening = (
            held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)) for _ in range(2)
        )
        dawdling.sendall(half)
        listening.sendall(f"{stream}Last-Event-ID: 7\r\n\r\n".encode())
        assert listening.recv(65_536).startswith(b"HTTP/1.1 200")
        call = threading.Thread(target=exec_that_is_cut, args=(server, idle))
        call.start()
        eventually(lambda: audit.exists() and '"intent"' in audit.read_text())
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: listens_no_more(server))
        server.process.send_signal(signal.SIGINT)
        ended = server.process.wait(15)
        rest = b"".join(iter(lambda: listening.recv(65_536), b""))
        call.join(10)
    assert ended == 0
    assert rest.endswith(b"0\r\n\r\n")
    assert '"cancelled"' in audit.read_text()
    assert "Traceback" not in server.log.read_text()
    assert "ERROR" not in server.log.read_text()


def test_a_client_that_hangs_up_has_its_call_cut(
    serve: Serve, container: Callable[..., str], raw: docker.APIClient, audit: Path
) -> None:
    server = serve()
    idle = container()
    done(server.call("docker_version"))
    server.http.timeout = httpx2.Timeout(3)
    with pytest.raises(httpx2.TimeoutException):
        server.call("docker_exec_command", container_id=idle, command=["sleep", "66"])
    eventually(lambda: '"cancelled"' in audit.read_text())
    eventually(lambda: "sleep 66" not in str(raw.top(idle)), 10)
    server.http.timeout = httpx2.Timeout(30)
    done(server.call("docker_version"))


def test_a_connection_is_kept_for_longer_than_clients_leave_theirs_idle(serve: Serve) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", serve().port, timeout=30)
    for wait_seconds in (0.0, 5.5):
        time.sleep(wait_seconds)
        connection.request("GET", "/healthz")
        with connection.getresponse() as response:
            assert (response.status, response.read() != b"") == (200, True)
    connection.close()


@pytest.mark.parametrize("era", [HANDSHAKE, SESSIONLESS])
def test_the_inspector_shows_its_token(
    guarded: WebServer, authority: AuthorizationServer, installed: Path, era: str, tmp_path: Path
) -> None:
    def inspect(*options: str) -> Any:
        inspector = (str(node(installed)), str(installed / "npm/node_modules/.bin/mcp-inspector"), "--cli")
        way = ("--transport", "http", "--server-url", f"{guarded.url}/mcp", "--format", "json", "--quiet")
        era_option = ("--protocol-era", "modern" if era == SESSIONLESS else "legacy")
        token = ("--header", f"Authorization: Bearer {authority.token(scope=READ)}")
        command = (*inspector, *way, *era_option, *token, *options)
        home = environment() | {"HOME": str(tmp_path)}
        ended = subprocess.run(command, env=home, capture_output=True, text=True, timeout=60, check=False)
        assert ended.stdout, ended.stderr
        return json.loads(ended.stdout)["result"]

    listed = {tool["name"] for tool in inspect("--method", "tools/list")["tools"]}
    assert listed == guarded.tools(authority.token(scope=READ))
    assert done(inspect("--method", "tools/call", "--tool-name", "docker_version"))["engine"]


async def test_many_callers_at_once_get_their_own_answers(
    guarded: WebServer, authority: AuthorizationServer, audit: Path
) -> None:
    tokens = {f"user{number}": authority.token(scope=READ, sub=f"user{number}") for number in range(20)}

    async def work(token: str) -> None:
        async with joined(guarded, SESSIONLESS, token) as client:
            for _ in range(5):
                assert not (await client.call_tool("docker_list_networks", {})).is_error

    async with anyio.create_task_group() as tasks:
        for token in tokens.values():
            tasks.start_soon(work, token)
    lines = [json.loads(line) for line in (await anyio.Path(audit).read_text()).splitlines()]
    counted = {who: sum(line.get("caller") == who for line in lines) for who in tokens}
    assert counted == dict.fromkeys(tokens, 5)
