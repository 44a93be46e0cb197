"""What a request passes on its way, in the whole application."""

import httpx2

from tests.unit.authorization_server import KEYS, METADATA, AuthorizationServer, hang_up
from tests.unit.http_application import application, http
from tests.unit.http_auth_fixtures import anyio_backend, issuer

__all__ = ["anyio_backend", "application", "http", "issuer"]


async def asked(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    return await http.post("/mcp", json=message, headers={"authorization": f"Bearer {token}"})


async def test_while_tokens_can_not_be_judged_clients_are_to_keep_theirs_and_come_back(
    http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    issuer.answers |= {KEYS: hang_up, METADATA: hang_up}
    for _ in range(12):  # more than may fail from one address
        response = await asked(http, issuer.token())
        assert response.status_code == 503
    assert (response.json()["error"], response.headers["retry-after"]) == ("temporarily_unavailable", "5")
    assert "www-authenticate" not in response.headers
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_token_that_was_judged_and_refused_is_to_be_replaced(
    http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    for token in (issuer.token(exp=1), "nonsense"):
        response = await asked(http, token)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer ")
