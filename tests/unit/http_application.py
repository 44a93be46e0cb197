"""A whole application in the test's own process, without an engine, and a client of it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from mcp_docker.engine import Engine
from mcp_docker.http.app import Application, Listening
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.unit.authorization_server import AUDIENCE, AuthorizationServer
from tests.unit.http_auth_fixtures import issuer

__all__ = ["application", "http", "issuer"]

PROTOCOL = {"accept": "application/json, text/event-stream"}


@contextlib.asynccontextmanager
async def running(application: Application) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the whole application, which has been started."""
    to_it, its = anyio.create_memory_object_stream[Any](1)
    its_own, from_it = anyio.create_memory_object_stream[Any](1)
    async with to_it, its, its_own, from_it, anyio.create_task_group() as tasks:
        asgi: Any = application.asgi
        tasks.start_soon(asgi, {"type": "lifespan", "state": {}}, its.receive, its_own.send)
        await to_it.send({"type": "lifespan.startup"})
        assert (await from_it.receive())["type"] == "lifespan.startup.complete"
        transport = httpx2.ASGITransport(application.asgi)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=PROTOCOL) as http:
            yield http
        await to_it.send({"type": "lifespan.shutdown"})
        assert (await from_it.receive())["type"] == "lifespan.shutdown.complete"
    await application.aclose()


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch, issuer: AuthorizationServer, tmp_path: Path) -> Application:
    """It asks for tokens of the issuer's."""
    for name, value in {
        "DOCKER_HOST": f"unix://{tmp_path}/engine.sock",
        "SECURITY_OAUTH_ENABLED": "true",
        "SECURITY_OAUTH_ISSUER": issuer.issuer,
        "SECURITY_OAUTH_AUDIENCE": AUDIENCE,
    }.items():
        monkeypatch.setenv(name, value)
    settings = load()
    return Application(settings, Registry(settings), Engine(settings), None, Listening("127.0.0.1", 8000))


@pytest.fixture
async def http(application: Application) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(application) as client:
        yield client
