"""Subscriptions over HTTP: told within the caller's rights, and nothing left at the engine by clients that leave."""

import contextlib
import statistics
import time
from collections.abc import AsyncIterator

import anyio
import docker
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated

from tests.e2e.conftest import ERAS
from tests.e2e.process import HANDSHAKE, PATIENCE, SESSIONLESS, done, eventually
from tests.e2e.test_http import READ, Serve, audit, authority, guarded, oauth, serve
from tests.e2e.test_resources import Heard, Make, engine_connections, has_printed, waits_for_signals
from tests.e2e.web import WebServer, joined
from tests.unit.authorization_server import AuthorizationServer

__all__ = ["audit", "authority", "guarded", "serve"]

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:resources/.*subscribe is removed")]


@contextlib.asynccontextmanager
async def told(server: WebServer, era: str, token: str, uri: str) -> AsyncIterator[tuple[Client, Heard]]:
    """A client that hears of a resource."""
    heard = Heard()
    async with joined(server, era, token, message_handler=heard.message) as client:
        if era == HANDSHAKE:
            await client.subscribe_resource(uri)
            yield client, heard
            return
        async with client.listen(resource_subscriptions=[uri]) as events, heard.gathering(events):
            yield client, heard


@pytest.mark.parametrize("era", ERAS)
async def test_a_line_reaches_a_subscriber_and_nothing_is_left_when_it_has_gone(
    guarded: WebServer, authority: AuthorizationServer, container: Make, raw: docker.APIClient, era: str
) -> None:
    made = waits_for_signals(raw, container)
    uri = f"container://logs/{made}"
    token = authority.token(scope=READ)
    guarded.call("docker_version", token)
    pid = guarded.process.pid
    before = engine_connections(pid)
    async with told(guarded, era, token, uri) as (_, heard):
        took = [await heard.seconds_after(await has_printed(raw, made)) for _ in range(3)]
        assert statistics.median(took) < 1.5, took  # a busy machine may be late now and then
        # one of the two streams may use the connection of the call before
        assert engine_connections(pid) > before
    eventually(lambda: engine_connections(pid) <= before)


async def test_a_stream_does_not_outlast_its_token(
    serve: Serve, authority: AuthorizationServer, container: Make
) -> None:
    server = serve(**oauth(authority, SECURITY_OAUTH_CLOCK_SKEW_SECONDS="0"))
    uri = f"container://logs/{container()}"
    done(server.call("docker_version", authority.token(scope=READ)))  # what a first call takes is not the token's
    expires = int(time.time()) + 10
    async with (
        joined(server, SESSIONLESS, authority.token(scope=READ, exp=expires)) as client,
        client.listen(resource_subscriptions=[uri]) as events,
    ):
        with anyio.fail_after(PATIENCE):
            assert {event async for event in events} <= {ResourceUpdated(uri=uri)}
        assert time.time() >= expires


@pytest.mark.parametrize("era", ERAS)
async def test_a_caller_whose_groups_may_not_read_logs_hears_of_none(
    serve: Serve, authority: AuthorizationServer, container: Make, era: str
) -> None:
    server = serve(
        **oauth(authority, SECURITY_OAUTH_GROUPS_CLAIM="roles", SECURITY_OAUTH_GROUP_TOOLS='{"ops":["docker_version"]}')
    )
    uri = f"container://logs/{container()}"
    async with joined(server, era, authority.token(scope=READ, roles=["ops"])) as client:
        if era == HANDSHAKE:
            with pytest.raises(MCPError, match="RESOURCE_NOT_AVAILABLE"):
                await client.subscribe_resource(uri)
            return
        async with client.listen(resource_subscriptions=[uri]) as events:
            assert events.honored.resource_subscriptions is None
