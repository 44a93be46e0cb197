"""What tests of verifying tokens share: an issuer, verifiers that know it, and clocks that a test moves."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from loguru import logger
from mcp.server.auth.provider import AccessToken, TokenVerifier

from mcp_docker.http.auth import IntrospectionVerifier, JwtVerifier
from tests.unit.authorization_server import (
    AUDIENCE,
    INTROSPECT,
    AuthorizationServer,
)

SECRET = "s3cr3t/planted&value"
PLANTED = "plantedtokenvalue0123456789"


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Seen:
    """Reasons of failures, as they were told."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)

    @property
    def last(self) -> str:
        return self.reasons[-1]


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that uvicorn runs on."""
    return "asyncio"


@pytest.fixture
def issuer() -> Iterator[AuthorizationServer]:
    server = AuthorizationServer()
    yield server
    server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def seen() -> Seen:
    return Seen()


Open = Callable[..., JwtVerifier]
Ask = Callable[..., IntrospectionVerifier]


@pytest.fixture
async def open_verifier(issuer: AuthorizationServer, clock: Clock, seen: Seen) -> AsyncIterator[Open]:
    opened: list[JwtVerifier] = []

    def start(**changes: Any) -> JwtVerifier:
        options = {
            "issuer": issuer.issuer,
            "audiences": [AUDIENCE],
            "jwks_url": issuer.jwks_uri,
            "allow_loopback_http": True,
            "on_failure": seen,
            "clock": clock,
            **changes,
        }
        opened.append(JwtVerifier(**options))
        return opened[-1]

    yield start
    for verifier in opened:
        await verifier.aclose()


@pytest.fixture
def verifier(open_verifier: Open) -> JwtVerifier:
    return open_verifier()


@pytest.fixture
async def ask_about(issuer: AuthorizationServer, clock: Clock, seen: Seen) -> AsyncIterator[Ask]:
    opened: list[IntrospectionVerifier] = []

    def start(**changes: Any) -> IntrospectionVerifier:
        options = {
            "url": issuer.url + INTROSPECT,
            "client_id": "docker server",
            "client_secret": SECRET,
            "audiences": [AUDIENCE],
            "allow_loopback_http": True,
            "on_failure": seen,
            "clock": clock,
            **changes,
        }
        opened.append(IntrospectionVerifier(**options))
        return opened[-1]

    yield start
    for verifier in opened:
        await verifier.aclose()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Everything that is logged, by us through loguru and by libraries, at the lowest level."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage() + str(record.exc_info or ""))

    sink = logger.add(lambda message: lines.append(str(message)), level=0, backtrace=True, diagnose=True)
    root, collect = logging.getLogger(), Collect()
    level = root.level
    root.addHandler(collect)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(collect)
    root.setLevel(level)
    logger.remove(sink)


async def verified(verifier: TokenVerifier, token: str) -> AccessToken:
    """What a verifier says of a token that must hold."""
    access = await verifier.verify_token(token)
    assert access is not None
    return access
