"""What a request passes on its way to the protocol: probes, failed tokens, and requests that are no calls."""

import json
from contextvars import ContextVar
from typing import Any, Protocol

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_docker.caller import Caller
from mcp_docker.errors import RateLimited
from mcp_docker.http.auth import Failure
from mcp_docker.http.guard import too_many
from mcp_docker.http.metrics import Metrics
from mcp_docker.settings import Settings

PATH = "/mcp"
CALLS = ("tools/call", "prompts/get")
UNDECIDED_SECONDS = 5
UNDECIDED = {
    "error": "temporarily_unavailable",
    "error_description": "the authorization server can't be asked about tokens now; try again with the same token",
}
HARDENED = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

current: ContextVar[Scope | None] = ContextVar("current", default=None)
"""The request that this task works for."""


class Host(Protocol):
    """What the layers ask of the application."""

    settings: Settings
    metrics: Metrics

    def of(self, scope: Scope) -> Caller: ...
    async def ready(self) -> bool: ...
    async def may_try(self, address: str) -> None: ...
    async def count(self, caller: Caller) -> None: ...
    async def turned_away(self, address: str, code: str) -> None: ...
    async def unauthenticated(self, address: str, reason: str) -> None: ...
    async def record(self, entry: dict[str, Any]) -> None: ...


class Probes:
    """Answers the questions of whoever runs the server, before anything else is asked."""

    def __init__(self, app: ASGIApp, application: Host) -> None:
        self._app = app
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in ("/healthz", "/readyz"):
            fine = scope["path"] == "/healthz" or await self._application.ready()
            answer = JSONResponse(
                {"status": "ok" if fine else "unavailable"}, status_code=200 if fine else 503, headers=HARDENED
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Authenticated:
    """Counts the tokens of an address that are refused, and tells who may have shown a good one to come back."""

    def __init__(self, app: ASGIApp, application: Host) -> None:
        self._app = app
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        shown = any(name == b"authorization" for name, _ in scope["headers"])
        address = str((scope.get("client") or ("", 0))[0])
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 401 and failure() == Failure.UNAVAILABLE:
                    # at a 401 clients forget their token, and have a person sign in again
                    await JSONResponse(UNDECIDED, 503, {"Retry-After": str(UNDECIDED_SECONDS)})(scope, receive, send)
            if status != 401 or failure() != Failure.UNAVAILABLE:
                await send(message)

        def failure() -> str:
            return str(scope.get("mcp_docker.failure", "unknown"))

        token = current.set(scope)
        try:
            if shown and self._application.settings.security_oauth_enabled:
                await self._application.may_try(address)
            await self._app(scope, receive, watch)
        except RateLimited as refused:
            await self._application.turned_away(address, refused.code)
            await _answered(self._application, refused, scope, receive, send)
        finally:
            current.reset(token)
        if shown and status == 401:
            await self._application.unauthenticated(address, failure())


class Counted:
    """Counts a caller's requests that are no calls of tools, which count for themselves."""

    def __init__(self, app: ASGIApp, application: Host) -> None:
        self._app = app
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        current.set(scope)
        caller = self._application.of(scope)
        if not caller.tiers:
            # what nobody may send is not read either
            await self._app(scope, receive, send)
            return
        counts = True
        if scope["method"] == "POST":
            body, receive = await _read(receive)
            if body is None:
                return
            counts = _counts(body)
        try:
            if counts:
                await self._application.count(caller)
        except RateLimited as refused:
            await self._application.record(
                {"event": "request", "caller": caller.name, "address": caller.address, "code": refused.code}
            )
            await _answered(self._application, refused, scope, receive, send)
            return
        await self._app(scope, receive, send)


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """The whole body, which the guard has bounded, and how to receive it once more; None of a client that has gone."""
    messages: list[Message] = []
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, receive
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body, again


def _counts(body: bytes) -> bool:
    """Whether a message is a request that does not count for itself, as what always takes a call's way does.

    Answers to our own requests are owed to us.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return True
    if not isinstance(message, dict):
        return True
    method, params = message.get("method"), message.get("params")
    if method == "resources/read" and isinstance(params, dict):
        # pages are read without a call
        return not str(params.get("uri")).startswith("container:")
    if method in CALLS:
        # only what names something becomes a call
        return "id" not in message or not isinstance(params, dict) or not isinstance(params.get("name"), str)
    return method is not None or not ("result" in message or "error" in message)


async def _answered(application: Host, refused: RateLimited, scope: Scope, receive: Receive, send: Send) -> None:
    status, headers, content = too_many(refused)
    application.metrics.http_refused(content["error"])
    await JSONResponse(content, status_code=status, headers=headers)(scope, receive, send)
