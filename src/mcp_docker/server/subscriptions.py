"""Subscriptions of resources, in both eras."""

import contextlib
import time
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.abc
import mcp_types as types
from mcp.server.connection import Connection
from mcp.server.context import CallNext
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent

from mcp_docker import errors
from mcp_docker.caller import Caller
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.server.wire import COMPLETE, RequestContext, Who, failed, is_modern
from mcp_docker.tool import Kind
from mcp_docker.watch import Watch

MOST_STREAMS = 1_024
MOST_OF_A_CALLER = 128
"""Streams that one caller can have open, so that others can have some too."""
MOST_OF_A_CLIENT = 100
"""Resources that one client can subscribe to."""
MOST_FOLLOWED = 100
"""Logs and stats that are followed for one caller, over all its clients."""
LOOK_SECONDS = 10.0
STATE = "mcp-docker"


def connection_of(context: RequestContext) -> Connection:
    """The connection that a request came over: the SDK keeps no list of who subscribed to what.

    The one use of what the SDK does not promise to keep.
    """
    connection: Connection = context.session._connection
    return connection


class Subscriptions:
    """Who listens to what. One watch of the engine serves all.

    Args:
        who: tells the caller of a request.
    """

    def __init__(self, pipeline: Pipeline, who: Who) -> None:
        self._pipeline = pipeline
        self._who = who
        self._watch = Watch(pipeline.engine)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._streams: dict[ListenHandler, str] = {}
        self._listening: weakref.WeakSet[_Session | _Heard] = weakref.WeakSet()
        self._one = anyio.Lock()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve subscriptions as long as this is open."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                with anyio.CancelScope(shield=True):
                    await self._watch.aclose()
                tasks.cancel_scope.cancel()

    # The revisions with a handshake: a session hears until it unsubscribes or ends

    async def subscribe(self, context: RequestContext, params: types.SubscribeRequestParams) -> Any:
        """resources/subscribe"""
        who, uri = self._who(context), str(params.uri)
        session = self._session(context, who)
        follows = session.listener.follows
        if len(follows) >= MOST_OF_A_CLIENT and uri not in follows:
            raise MCPError(
                types.INVALID_PARAMS, f"{MOST_OF_A_CLIENT} subscriptions are the most; unsubscribe from others"
            )
        await self._follow(session, uri, who, context)
        session.uris.add(uri)
        session.listener.hears_lists(True)
        return COMPLETE

    async def unsubscribe(self, context: RequestContext, params: types.UnsubscribeRequestParams) -> Any:
        """resources/unsubscribe; of what was not subscribed to, it changes nothing."""
        session = self._session(context, self._who(context))
        uri = str(params.uri)
        if uri in session.uris:
            session.uris.remove(uri)
            session.listener.unfollow(uri)
            session.listener.hears_lists(bool(session.uris))
        return COMPLETE

    def has_listed(self, context: RequestContext, who: Caller) -> None:
        """The client holds a list now; of 2026-07-28, it asks by itself to be told when that is stale."""
        if not is_modern(context) and self._pipeline.registry.resources(who):
            # whether the server can watch is no matter of the list
            with contextlib.suppress(errors.Refused):
                self._session(context, who).listener.hears_lists(True)

    async def observe(self, ctx: RequestContext, call_next: CallNext) -> Any:
        """Have a session hear as long, and as much, as the token of its latest request allows."""
        session: _Session | None = connection_of(ctx).state.get(STATE)
        if session is not None and ctx.request_id is not None:
            session.who = self._who(ctx)
        return await call_next(ctx)

    def _session(self, context: RequestContext, who: Caller) -> "_Session":
        connection = connection_of(context)
        session: _Session | None = connection.state.get(STATE)
        if session is None:
            session = connection.state[STATE] = _Session(connection, self._watch, who, self._sees)
            self._listening.add(session)
            connection.exit_stack.callback(session.close)
            if self._tasks is not None:
                self._tasks.start_soon(session.tell)
        return session

    # 2026-07-28: a stream hears as long as it is open

    async def listen(self, context: RequestContext, params: types.SubscriptionsListenRequestParams) -> Any:
        """subscriptions/listen: what the caller may not see, or is not there, is not in the acknowledgement."""
        who, wanted = self._who(context), params.notifications
        if list(self._streams.values()).count(who.key) >= MOST_OF_A_CALLER:
            raise MCPError(types.INTERNAL_ERROR, f"{MOST_OF_A_CALLER} streams of yours are open, the most; end some")
        if len(self._streams) >= MOST_STREAMS:
            raise MCPError(types.INTERNAL_ERROR, f"{MOST_STREAMS} streams are open, the most there can be; try later")
        heard = _Heard(self._watch, who)
        self._listening.add(heard)
        handler = ListenHandler(heard)
        self._streams[handler] = who.key
        try:
            for uri in list(dict.fromkeys(wanted.resource_subscriptions or []))[:MOST_OF_A_CLIENT]:
                with contextlib.suppress(MCPError):
                    await self._follow(heard, uri, who, context)
            lists = bool(wanted.resources_list_changed and self._pipeline.registry.resources(who))
            heard.listener.hears_lists(lists)
            # what is listed of tools and prompts does not change while the server runs
            honoured = types.SubscriptionFilter(
                resources_list_changed=lists or None, resource_subscriptions=list(heard.listener.follows) or None
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_end_at, who.expires, handler)
                answer = await handler(context, params.model_copy(update={"notifications": honoured}))
                tasks.cancel_scope.cancel()
            return answer
        finally:
            self._listening.discard(heard)
            heard.listener.close()
            del self._streams[handler]

    def close(self) -> None:
        """End all streams in order: their last frame says that they were ended."""
        for handler in self._streams:
            handler.close()

    async def _follow(self, heard: "_Session | _Heard", uri: str, who: Caller, context: RequestContext) -> None:
        """Begin to listen to a resource. Raises MCPError where the caller may not, or there is no such container."""
        registry = self._pipeline.registry
        name, variables = registry.resource(uri, who)
        # one after the other: many at once would each leave a connection to the engine
        async with self._one:
            result = await self._pipeline.call(Call(name, variables, who, kind=Kind.SUBSCRIPTION))
        if result.data is None:
            raise failed(result, context, uri)
        subject = result.data["id"], registry.resources(who)[name].watched
        mine = [other.listener for other in self._listening if other.who.key == who.key]
        followed = {each for listener in mine for each in listener.follows.values()}
        if subject not in followed and len(followed) >= MOST_FOLLOWED:
            raise MCPError(
                types.INTERNAL_ERROR, f"{MOST_FOLLOWED} logs and stats are followed for you, the most; end some"
            )
        try:
            heard.listener.follow(uri, *subject)
        except errors.Refused as refused:
            raise MCPError(types.INTERNAL_ERROR, str(refused)) from None

    def _sees(self, uri: str | None, who: Caller) -> bool:
        registry = self._pipeline.registry
        return bool(registry.resources(who)) if uri is None else registry.resource(uri, who)[0] != uri


class _Heard:
    """What one stream hears: the SDK's bus, of which each stream has its own."""

    def __init__(self, watch: Watch, who: Caller) -> None:
        self.who = who
        self.listener = watch.listen(self._told)
        self._deliver: Callable[[ServerEvent], None] | None = None
        self._early: dict[str | None, None] = {}

    async def publish(self, event: ServerEvent) -> None:
        """Nobody publishes here but the watch."""
        raise NotImplementedError

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        self._deliver = listener
        for uri in self._early:
            self._told(uri)
        return self.listener.close

    def _told(self, uri: str | None) -> None:
        if self._deliver is None:
            self._early[uri] = None
        else:
            self._deliver(ResourcesListChanged() if uri is None else ResourceUpdated(uri))


class _Session:
    """What one client of a handshake hears.

    Args:
        who: made its latest request. When that token has ended, the session hears no more, until it subscribes again.
        sees: whether a caller may hear of a resource, or with None of the list of them.
    """

    def __init__(
        self, connection: Connection, watch: Watch, who: Caller, sees: Callable[[str | None, Caller], bool]
    ) -> None:
        self.uris: set[str] = set()
        self.who = who
        self.listener = watch.listen(self._told)
        self._connection = connection
        self._sees = sees
        self._news: dict[str | None, None] = {}
        self._woken = anyio.Event()
        self._closed = False

    async def tell(self) -> None:
        """Pass on news until the client is gone. What is told twice before it is passed on is passed on once."""
        while not self._closed:
            await self._woken.wait()
            self._woken = anyio.Event()
            news, self._news = self._news, {}
            for uri in news:
                if uri is None:
                    await self._connection.send_resource_list_changed()
                else:
                    await self._connection.send_resource_updated(uri)

    def close(self) -> None:
        """Hear no more."""
        self._closed = True
        self.uris.clear()
        self._connection.state.pop(STATE, None)
        self.listener.close()
        self._woken.set()

    def _told(self, uri: str | None) -> None:
        if self.who.expires is not None and time.time() > self.who.expires:
            self.close()
        elif self._sees(uri, self.who):
            self._news[uri] = None
            self._woken.set()


async def _end_at(expires: float | None, handler: ListenHandler) -> None:
    """What a token opened does not outlast it."""
    if expires is not None:
        while (left := expires - time.time()) > 0:  # noqa: ASYNC110 - the clock may be set, or the machine sleep
            await anyio.sleep(min(left, LOOK_SECONDS))
        handler.close()
