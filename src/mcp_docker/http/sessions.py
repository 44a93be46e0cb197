"""Sessions, which revisions with a handshake have: how many one caller holds, and what they can't resume."""

from collections import OrderedDict

from loguru import logger
from mcp.server.streamable_http_manager import DEFAULT_MAX_SESSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_docker.http.clients import header
from mcp_docker.http.layers import PATH, Host

MOST_OF_A_CALLER = DEFAULT_MAX_SESSIONS // 4
"""The SDK bounds the sessions of all together, and turns away whoever comes then."""

SESSION = b"mcp-session-id"
RESUMED = b"last-event-id"


class Sessions:
    """Ends the session that a caller has left unused for longest when they open one too many.

    So nobody keeps the others out, and clients that never end their sessions are not refused for it.
    """

    def __init__(self, app: ASGIApp, application: Host) -> None:
        self._app = app
        self._application = application
        # by session, unused for longest first; some may have ended by themselves
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        # nothing is kept to be sent once more, and to who asks for that the SDK gives no answer at all
        scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != RESUMED]}
        caller = self._application.of(scope)
        # the SDK's sessions belong to a subject and a client
        who = f"{caller.client} {caller.key}"
        used = next((each for each in header(scope, SESSION) if self._owners.get(each) == who), None)
        if used is not None:
            self._owners.move_to_end(used)

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                if used is not None and scope["method"] == "DELETE" and message["status"] == 200:
                    self._owners.pop(used, None)
                elif message["status"] == 200 and not header(scope, SESSION):
                    for opened in header(message, SESSION):
                        await self._open(opened, who, scope)
            await send(message)

        await self._app(scope, receive, watch)

    async def _open(self, session: str, who: str, scope: Scope) -> None:
        self._owners[session] = who
        oldest, *others = (each for each, owner in self._owners.items() if owner == who)
        if len(others) >= MOST_OF_A_CALLER:
            logger.debug("a caller has more than {} sessions: one is ended", MOST_OF_A_CALLER)
            del self._owners[oldest]
            await self._end(oldest, scope)
        elif len(self._owners) > DEFAULT_MAX_SESSIONS:
            self._owners.popitem(last=False)

    async def _end(self, session: str, scope: Scope) -> None:
        """End a session as its caller would."""

        async def receive() -> Message:
            return {"type": "http.request"}

        async def ignore(_: Message) -> None:
            pass

        headers = [*scope["headers"], (SESSION, session.encode("latin-1"))]
        await self._app({**scope, "method": "DELETE", "headers": headers}, receive, ignore)
