"""What a request passes on its way, in the whole application."""

from typing import Any

import httpx2
import pytest

from mcp_docker.http.app import Application
from tests.unit.authorization_server import KEYS, METADATA, AuthorizationServer, hang_up, made
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


async def test_a_new_key_of_an_issuer_that_is_down_is_no_reason_to_throw_a_token_away(
    http: httpx2.AsyncClient, issuer: AuthorizationServer
) -> None:
    await asked(http, issuer.token())
    assert issuer.counted(KEYS) == 1
    issuer.rotate(made("ES256"), "next")
    issuer.answers |= {KEYS: hang_up, METADATA: hang_up}
    for _ in range(12):  # more than may fail from one address
        assert (await asked(http, issuer.token({"alg": "ES256"}))).status_code == 503


@pytest.fixture
def recorded(application: Application, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The lines for the audit log."""
    lines: list[dict[str, Any]] = []

    async def record(line: dict[str, Any]) -> None:
        lines.append(line)

    monkeypatch.setattr(application, "record", record)
    return lines


async def test_strangers_can_not_fill_the_audit_log_and_all_of_their_requests_are_counted(
    http: httpx2.AsyncClient, application: Application, recorded: list[dict[str, Any]]
) -> None:
    answers = [(await asked(http, "nonsense")).status_code for _ in range(50)]
    assert answers == [401] * 10 + [429] * 40
    assert [line["code"] for line in recorded] == ["malformed"] * 10 + ["RATE_LIMITED"]
    assert 'mcp_docker_http_refusals_total{reason="rate_limited"} 40.0' in application.metrics.text()[0].decode()


async def test_one_address_that_is_turned_away_does_not_hide_another(
    application: Application, recorded: list[dict[str, Any]]
) -> None:
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        await application.turned_away(address, "RATE_LIMITED")
    assert [line["address"] for line in recorded] == ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8:0:1::1"]
