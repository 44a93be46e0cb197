"""Serving HTTP until told to end, and ending well."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import anyio
import uvicorn
from sse_starlette.sse import AppStatus

from mcp_docker.audit import Audit
from mcp_docker.engine import Engine
from mcp_docker.errors import SettingsError
from mcp_docker.http.app import Application, Listening, said
from mcp_docker.http.connections import Connection
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

    Raises:
        SettingsError: it can't be served safely like that.
    """
    # or answers to calls in flight would be cut off
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # the package has half its types
    application = Application(settings, registry, engine, audit, listening)
    said(listening, settings)
    servers = [_Server(_config(application.asgi, listening.host, listening.port, listening))]
    if listening.metrics_port is not None:
        servers.append(_Server(_config(application.metrics_app(), listening.host, listening.metrics_port)))
    sockets = [_bound(server.config) for server in servers]
    async with anyio.create_task_group() as tasks:
        for server, sock in zip(servers, sockets, strict=True):
            tasks.start_soon(server.serve, [sock])
        tasks.start_soon(_end, application, servers)
    await application.aclose()


async def _end(application: Application, servers: "list[_Server]") -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            break
    application.draining = True
    for server in servers:
        server.should_exit = True
    with anyio.move_on_after(DRAIN_SECONDS):
        while application.pipeline.in_flight:  # noqa: ASYNC110 - threads end, which tell no loop
            await anyio.sleep(LOOK_SECONDS)
    await application.pipeline.drain(CUT_SECONDS)
    # streams that wait for news would hold it up
    application.end_streams()
    AppStatus.should_exit = True
    with anyio.move_on_after(CLOSE_SECONDS) as patience:
        while any(server.server_state.connections for server in servers):  # noqa: ASYNC110 - uvicorn tells nobody
            await anyio.sleep(LOOK_SECONDS)
    if patience.cancelled_caught:
        for server in servers:
            server.force_exit = True


def _config(app: object, host: str, port: int, tls: Listening | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application
        host,
        port,
        ssl_certfile=tls.tls_cert if tls else None,
        ssl_keyfile=tls.tls_key if tls else None,
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
    """Listen, and read the certificate: uvicorn would end the process with a trace of calls if it could not."""
    try:
        config.load()
        return socket.create_server(
            (config.host, config.port), family=socket.AF_INET6 if ":" in config.host else socket.AF_INET, backlog=2048
        )
    except OSError as problem:  # ssl.SSLError among them
        raise SettingsError([f"{config.host}:{config.port}: {problem.strerror or problem}"]) from None


class _Server(uvicorn.Server):
    """A server that leaves signals to us, since there may be two."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not used: signals don't come here."""
