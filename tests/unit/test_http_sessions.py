"""Sessions over HTTP: nobody's keep the others out, and none is resumed."""

from typing import Any

import anyio
import httpx2
import pytest

from mcp_docker.http import sessions
from mcp_docker.http.app import Application
from tests.unit.authorization_server import AuthorizationServer
from tests.unit.http_application import application, http
from tests.unit.http_auth_fixtures import anyio_backend, issuer

__all__ = ["anyio_backend", "application", "http", "issuer"]

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "unit", "version": "1"}}

SESSIONLESS = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
    "io.modelcontextprotocol/clientInfo": HELLO["clientInfo"],
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture(autouse=True)
def two_sessions_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_OF_A_CALLER", 2)


async def opened(http: httpx2.AsyncClient, token: str) -> str:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    response = await http.post("/mcp", json=message, headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    return str(response.headers["mcp-session-id"])


async def asked(http: httpx2.AsyncClient, token: str, session: str, method: str = "POST") -> int:
    headers = {"authorization": f"Bearer {token}", "mcp-session-id": session}
    message = {"jsonrpc": "2.0", "id": 2, "method": "ping"} if method == "POST" else None
    return (await http.request(method, "/mcp", json=message, headers=headers)).status_code


async def test_one_session_too_many_ends_the_one_unused_for_longest(
    http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    token = issuer.token()
    first, second = await opened(http, token), await opened(http, token)
    assert await asked(http, token, first) == 200
    third = await opened(http, token)
    assert [await asked(http, token, each) for each in (first, second, third)] == [200, 404, 200]


async def test_each_caller_and_each_of_their_clients_has_sessions_of_its_own(
    http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    tokens = [issuer.token(), issuer.token(sub="bob"), issuer.token(client_id="editor")]
    held = [(token, await opened(http, token)) for token in tokens for _ in range(2)]
    assert [await asked(http, token, session) for token, session in held] == [200] * 6


async def test_a_session_that_was_ended_leaves_room(http: httpx2.AsyncClient, issuer: AuthorizationServer) -> None:
    token = issuer.token()
    first, second = await opened(http, token), await opened(http, token)
    assert await asked(http, token, second, "DELETE") == 200
    third = await opened(http, token)
    assert [await asked(http, token, each) for each in (first, second, third)] == [200, 404, 200]


async def test_nobody_else_can_use_or_end_a_session_or_have_it_forgotten(
    http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    token, other = issuer.token(), issuer.token(sub="mallory")
    first, second = await opened(http, token), await opened(http, token)
    assert [await asked(http, other, first, method) for method in ("POST", "DELETE")] == [404, 404]
    third = await opened(http, token)
    assert [await asked(http, token, each) for each in (first, second, third)] == [404, 200, 200]


@pytest.mark.parametrize(("method", "asked_for", "status"), [("DELETE", "", 405), ("POST", "no/such", 404)])
async def test_a_session_counts_until_it_has_ended(
    http: httpx2.AsyncClient, issuer: AuthorizationServer, method: str, asked_for: str, status: int
) -> None:
    """What the revision without sessions answers ends none."""
    token = issuer.token()
    held = []
    for _ in range(3):
        held.append(await opened(http, token))
        headers = {
            "authorization": f"Bearer {token}",
            "mcp-session-id": held[-1],
            "mcp-protocol-version": SESSIONLESS,
            "mcp-method": asked_for,
        }
        message = {"jsonrpc": "2.0", "id": 3, "method": asked_for, "params": {"_meta": META}} if asked_for else None
        response = await http.request(method, "/mcp", json=message, headers=headers)
        assert response.status_code == status, response.text
    assert [await asked(http, token, each) for each in held] == [404, 200, 200]


async def test_no_more_sessions_are_kept_in_mind_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "DEFAULT_MAX_SESSIONS", 3)
    monkeypatch.setattr(sessions, "MOST_OF_A_CALLER", 1)
    ended: list[Any] = []
    numbers = iter(range(100))

    class Anybody:
        """A caller for every address, as without tokens."""

        def of(self, scope: Any) -> Any:
            return type("Caller", (), {"client": None, "key": scope["client"][0]})

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["method"] == "DELETE":
            ended.append(dict(scope["headers"])[b"mcp-session-id"])
        headers = [(b"mcp-session-id", b"%d" % next(numbers))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def ignore(*_: Any) -> Any:
        pass

    layer = sessions.Sessions(app, Anybody())  # type: ignore[arg-type]  # as much as it asks for
    for address in ("a", "b", "c", "d", "a", "b", "b"):
        scope = {"type": "http", "path": "/mcp", "method": "POST", "headers": [], "client": (address, 0)}
        await layer(scope, ignore, ignore)
    assert ended == [b"5"]  # those of a and b that came first had been forgotten


async def test_a_stream_that_would_be_resumed_begins_anew(
    application: Application, http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    token = issuer.token()
    said = {
        "host": "127.0.0.1:8000",
        "accept": "text/event-stream",
        "authorization": f"Bearer {token}",
        "mcp-session-id": await opened(http, token),
        "last-event-id": "7",
    }
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/mcp",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in said.items()],
    }
    started: list[int] = []
    arriving = [{"type": "http.request", "body": b"", "more_body": False}]
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:

            async def receive() -> Any:
                if not arriving:
                    await anyio.sleep_forever()
                return arriving.pop()

            async def send(message: Any) -> None:
                started.append(message["status"])
                tasks.cancel_scope.cancel()  # it would last

            await application.asgi(scope, receive, send)
    assert started == [200]
