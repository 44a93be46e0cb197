"""Real clients, the real transport, the real engine of DOCKER_HOST."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp.client.client import Client
from mcp.client.session import MessageHandlerFnT
from mcp.client.stdio import StdioServerParameters

from tests.e2e.process import COMMAND, HANDSHAKE, SESSIONLESS, ServerProcess, environment
from tests.e2e.proxy import EngineProxy
from tests.integration.conftest import container, is_podman, label, raw

ERAS = (HANDSHAKE, SESSIONLESS)

Start = Callable[..., ServerProcess]
Connect = Callable[..., contextlib.AbstractAsyncContextManager[Client]]

__all__ = ["container", "is_podman", "label", "raw"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """Both protocol eras, one after the other."""
    return str(request.param)


def allowed() -> dict[str, str]:
    """Settings under which every tool has something that it may do."""
    registry = os.environ.get("MCP_DOCKER_TEST_REGISTRY", "[]")
    return {
        "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS": "true",
        "SAFETY_ALLOWED_BUILD_ROOTS": os.environ["HOME"],
        "SAFETY_ALLOWED_REGISTRIES": registry,
        "SAFETY_ALLOWED_PUSH_REGISTRIES": registry,
    }


@contextlib.asynccontextmanager
async def connected(era: str, /, handler: MessageHandlerFnT | None = None, **settings: str) -> AsyncIterator[Client]:
    """The official SDK's client in one era, joined to a server of its own over stdio."""
    env = environment(**allowed() | settings)
    server = StdioServerParameters(command=COMMAND[0], args=list(COMMAND[1:]), env=env)
    mode: Literal["legacy", "auto"] = "legacy" if era == HANDSHAKE else "auto"
    async with Client(server, mode=mode, cache=None, message_handler=handler) as client:
        assert client.protocol_version == era
        yield client


@pytest.fixture
async def client(era: str) -> AsyncIterator[Client]:
    """A client of the official SDK, in both eras."""
    async with connected(era) as client:
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server with every tool on, spoken to in plain lines: start(MCP_LOG_LEVEL="DEBUG")."""
    with contextlib.ExitStack() as servers:

        def begin(era: str = HANDSHAKE, *, reads: bool = True, **settings: str) -> ServerProcess:
            env = environment(**allowed() | settings)
            return servers.enter_context(ServerProcess(tmp_path / "server.log", env, era, reads=reads))

        yield begin


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    """A way to the engine that can fail."""
    way = EngineProxy(tmp_path / "proxy.sock", os.environ["DOCKER_HOST"])
    way.start()
    yield way
    way.stop()


def text_of(result: Any) -> str:
    """The text of an SDK client's result."""
    return "\n".join(part.text for part in result.content)
