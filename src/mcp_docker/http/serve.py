"""Serving HTTP until told to end, and ending well."""

import asyncio
import signal
import socket
import ssl
import sys
from asyncio import constants
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio
import uvicorn
from sse_starlette.sse import AppStatus

from mcp_docker.audit import Audit
from mcp_docker.engine import Engine
from mcp_docker.errors import SettingsError
from mcp_docker.http.app import Application, Listening, said
from mcp_docker.http.connections import HEAD_SECONDS, Connection, Faults, make_room
from mcp_docker.registry import Registry
from mcp_docker.settings import Settings

DRAIN_SECONDS = 10.0
CUT_SECONDS = 1.5
CLOSE_SECONDS = 2.0
LOOK_SECONDS = 0.05
HEAD_BYTES = 65_536
IDLE_SECONDS = 75
"""Longer than clients and proxies keep a connection, or they would send on one that is just being closed."""


async def serve(
    settings: Settings, registry: Registry, engine: Engine, audit: Audit | None, listening: Listening
) -> None:
    """Serve until SIGTERM or SIGINT: then readiness falls, and calls in flight get 10 seconds before they are cut.

    SIGTERM once more changes nothing: what starts servers often passes on a signal that came to all. SIGINT once more
    is a person's, who does not want to wait: calls are cut at once.

    Raises:
        SettingsError: it can't be served safely like that, or not on this system.
    """
    if sys.platform == "win32":  # where asyncio tells of no signals
        raise SettingsError(["--transport http: not served on Windows; run it in WSL or a container, or use stdio"])
    # or answers to calls in flight would be cut off
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # the package has half its types
    application = Application(settings, registry, engine, audit, listening)
    servers = [_Server(_config(application.asgi, listening.host, listening.port, _tls(listening)))]
    if listening.metrics_port is not None:
        servers.append(_Server(_config(application.metrics_app(), listening.host, listening.metrics_port)))
    sockets = [_bound(server.config) for server in servers]
    Connection.most = make_room() // len(servers)
    asyncio.get_running_loop().set_exception_handler(Faults().tell)
    said(listening, settings)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            for server, sock in zip(servers, sockets, strict=True):
                tasks.start_soon(server.serve, [sock])
            tasks.start_soon(_end, application, servers, signals)
        await application.aclose()


async def _end(application: Application, servers: "list[_Server]", signals: AsyncIterator[signal.Signals]) -> None:
    await anext(signals)
    application.draining = True
    for server in servers:
        server.should_exit = True
    await _drained(application, signals)
    await application.pipeline.drain(CUT_SECONDS)
    # streams that wait for news would hold it up
    application.end_streams()
    AppStatus.should_exit = True
    if await _left(servers):
        return
    # such as never send the rest of their request
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.transport.abort()
    if not await _left(servers):
        for server in servers:
            server.force_exit = True


async def _drained(application: Application, signals: AsyncIterator[signal.Signals]) -> None:
    """Wait for calls in flight, for a while or until SIGINT."""
    with anyio.move_on_after(DRAIN_SECONDS):
        while application.pipeline.in_flight:
            with anyio.move_on_after(LOOK_SECONDS):
                if await anext(signals) == signal.SIGINT:
                    return


async def _left(servers: "list[_Server]") -> bool:
    """Whether all clients have gone within a while, and nothing is done for one any more. uvicorn tells nobody."""
    with anyio.move_on_after(CLOSE_SECONDS):
        while any(one.server_state.connections or one.server_state.tasks for one in servers):  # noqa: ASYNC110
            await anyio.sleep(LOOK_SECONDS)
        return True
    return False


def _tls(listening: Listening) -> ssl.SSLContext | None:
    """The certificate: uvicorn would ask for a pass phrase, and end the process with a trace of calls without one."""
    if listening.tls_cert is None:
        return None
    files = f"--tls-cert {listening.tls_cert}, --tls-key {listening.tls_key}"

    def ask() -> str:
        raise SettingsError([f"{files}: the key has a pass phrase, which nobody can be asked for: store it without"])

    # who never begins to speak TLS is no connection yet; uvicorn leaves them asyncio's minute
    constants.SSL_HANDSHAKE_TIMEOUT = HEAD_SECONDS
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(listening.tls_cert, listening.tls_key, ask)
    except OSError as problem:  # ssl.SSLError among them
        raise SettingsError([f"{files}: {problem.strerror or problem}"]) from None
    return context


def _config(app: object, host: str, port: int, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application
        host,
        port,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        log_config=None,
        access_log=False,
        server_header=False,
        # addresses are the guard's to find out
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        http=Connection,
        lifespan="on",
        ws="none",
    )


def _bound(config: uvicorn.Config) -> socket.socket:
    """Listen: uvicorn would end the process with a trace of calls if it could not."""
    config.load()
    try:
        return socket.create_server(
            (config.host, config.port), family=socket.AF_INET6 if ":" in config.host else socket.AF_INET, backlog=2048
        )
    except OSError as problem:
        raise SettingsError([f"{config.host}:{config.port}: {problem.strerror or problem}"]) from None


class _Server(uvicorn.Server):
    """A server that leaves signals to us, since there may be two."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not used: signals don't come here."""
