"""What every request must be before the application sees it, and what every answer carries.

It stands in front of everything, authentication included, and holds nothing of a request in memory. What only the
server below can bound is left to it: uvicorn's h11 ends a connection whose head is larger than 64 KB.
"""

import contextvars
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_docker.errors import RateLimited
from mcp_docker.http.clients import UNIX, Network, allowed, header, seen

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""Of the request that is being answered; the log carries it too."""

METHODS = "GET, POST, DELETE, OPTIONS"
ALLOWED_HEADERS = ", ".join(
    """
    authorization content-type last-event-id mcp-method mcp-name mcp-protocol-version mcp-session-id x-request-id
    """.split()
)
EXPOSED_HEADERS = "mcp-session-id, retry-after, www-authenticate, x-request-id"
PREFLIGHT_SECONDS = 600
HSTS_SECONDS = 31_536_000

_SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(
    r"(?:([a-z][a-z0-9+.-]*)://)?(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_-])?\.?)(?::(\*|[0-9]{1,5}))?"
)
_NAME_CHARACTERS = 300
_LENGTH_TEXT = re.compile(r"[0-9]{1,18}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Names:
    """Hosts (`example.com`, `localhost:*`, `[::1]:8000`) or origins (`https://example.com`, `null`) that are allowed.

    Without a port, the usual one is meant; `:*` is any.

    Raises:
        ValueError: one can't be read.
    """

    def __init__(self, texts: Iterable[str], *, origins: bool = False) -> None:
        self._origins = origins
        self._names: set[_Name] = set()
        self._null = False
        for text in texts:
            name = self._parsed(text.strip())
            if origins and text.strip().lower() == "null":
                self._null = True
            elif name is None:
                forms = "https://example.com or http://localhost:*" if origins else "example.com or localhost:*"
                raise ValueError(f"{text!r} is not of the form {forms}")
            else:
                self._names.add(name)

    def hold(self, text: str) -> bool:
        """Whether what a client sent is among them."""
        if self._origins and text == "null":
            return self._null
        name = self._parsed(text)
        return name is not None and name.port != "*" and bool({name, name._replace(port="*")} & self._names)

    def _parsed(self, text: str) -> "_Name | None":
        match = _NAME.fullmatch(text.lower()) if len(text) <= _NAME_CHARACTERS else None
        if match is None or bool(match[1]) != self._origins or (len(match[3] or "") == 5 and int(match[3]) > 65_535):
            return None
        scheme, host, port = match[1] or "", match[2].removesuffix("."), match[3] or ""
        if host.startswith("["):
            try:
                host = str(ipaddress.IPv6Address(host[1:-1]))
            except ValueError:
                return None
        if port not in ("", "*"):
            # behind a proxy that ends TLS the scheme can't be known for sure: a host's usual ports are both
            usual = (_DEFAULT_PORTS.get(scheme),) if scheme else (80, 443)
            port = "" if int(port) in usual else str(int(port))
        return _Name(scheme, host, port)


class _Name(NamedTuple):
    """A host or an origin. The port is blank where it is the usual one, and * for any."""

    scheme: str
    host: str
    port: str


@dataclass(frozen=True)
class Rules:
    """What the guard asks of requests.

    Attributes:
        hosts: names that the server goes by.
        origins: pages that may use it from a browser.
        trusted: proxies that are believed about addresses and schemes.
        clients: networks that clients may come from; None for any.
        body_bytes: of a request.
        body_seconds: that a request's body may take to arrive.
        headers: how many a request may have.
        head_bytes: of all headers and the path.
    """

    hosts: Names
    origins: Names = field(default_factory=lambda: Names((), origins=True))
    trusted: Sequence[Network] = ()
    clients: Sequence[Network] | None = None
    body_bytes: int = 4_194_304
    body_seconds: float = 30
    headers: int = 100
    head_bytes: int = 32_768


@dataclass(frozen=True)
class _Refusal:
    status: int
    error: str
    hint: str


_CLIENT = _Refusal(403, "client_not_allowed", "your address is not among SECURITY_ALLOWED_CLIENT_IPS")
_HEAD = _Refusal(431, "headers_too_large", "send fewer or shorter headers")
_HOST_REFUSED = _Refusal(421, "host_not_allowed", "the Host header is not among SECURITY_ALLOWED_HOSTS")
_ORIGIN = _Refusal(403, "origin_not_allowed", "the Origin header is not among SECURITY_ALLOWED_ORIGINS")
_TARGET = _Refusal(400, "invalid_target", "ask for a path that begins with /")
_LENGTH = _Refusal(400, "invalid_length", "send one Content-Length that is a number, or Transfer-Encoding without it")
_BODY = _Refusal(413, "body_too_large", "send a smaller request")
_SLOW = _Refusal(408, "body_too_slow", "send the whole request without pausing")
_LIMIT = "rate_limited"
REFUSALS = frozenset(
    {_LIMIT, *(each.error for each in (_CLIENT, _HEAD, _HOST_REFUSED, _TARGET, _ORIGIN, _LENGTH, _BODY, _SLOW))}
)
"""The word for every refusal before a call."""


class Guard:
    """Middleware that refuses what breaks the rules, and puts security headers on every answer.

    The application sees the client's address and scheme in its scope as trusted proxies tell them, with port 0; no
    client at all where a Unix socket has none.

    Args:
        app: what requests go to.
        rules: what is asked of them.
        refused: told the word for every refusal, for metrics.
    """

    def __init__(self, app: ASGIApp, rules: Rules, refused: Callable[[str], None] | None = None) -> None:
        self.app = app
        self.rules = rules
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request, or the application's own start and end."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            token = request_id.set(_request_id(scope))
            try:
                with logger.contextualize(request_id=request_id.get()):
                    await self._answer(scope, receive, send)
            finally:
                request_id.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        address, scheme = seen(scope, self.rules.trusted)
        scope = {**scope, "client": None if address == UNIX else (address, 0), "scheme": scheme}
        refusal = self._judge(scope, address)
        origins = header(scope, b"origin")
        origin = origins[0] if len(origins) == 1 and self.rules.origins.hold(origins[0]) else None
        exchange = _Exchange(self, scope, receive, send, origin)
        if refusal is not None:
            await exchange.refuse(refusal)
        elif scope["method"] == "OPTIONS" and origin and header(scope, b"access-control-request-method"):
            await exchange.preflight()
        else:
            await exchange.run(self.app)

    def _judge(self, scope: Scope, address: str) -> _Refusal | None:
        """The first rule that a request's head breaks."""
        rules, headers = self.rules, scope["headers"]
        if rules.clients is not None and not allowed(address, rules.clients):
            return _CLIENT
        size = sum(len(name) + len(value) for name, value in headers) + len(scope["path"]) + len(scope["query_string"])
        if len(headers) > rules.headers or size > rules.head_bytes:
            return _HEAD
        hosts, origins, lengths = (header(scope, name) for name in (b"host", b"origin", b"content-length"))
        if len(hosts) != 1 or not rules.hosts.hold(hosts[0]):
            return _HOST_REFUSED
        if not scope["path"].startswith("/"):  # a whole URL, which would name another host
            return _TARGET
        if len(origins) > 1 or not all(rules.origins.hold(origin) for origin in origins):
            return _ORIGIN
        if lengths and (
            len(lengths) > 1 or header(scope, b"transfer-encoding") or not _LENGTH_TEXT.fullmatch(lengths[0])
        ):
            return _LENGTH
        return _BODY if lengths and int(lengths[0]) > rules.body_bytes else None

    def tell(self, refusal: _Refusal, address: str) -> None:
        """Log and count a refusal."""
        logger.info("refused a request from {}: {} {}", address, refusal.status, refusal.error)
        if self._refused is not None:
            self._refused(refusal.error)


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send, origin: str | None) -> None:
        self._guard, self._scope, self._receive, self._send = guard, scope, receive, send
        self._origin = origin
        self._left = guard.rules.body_bytes
        self._until = anyio.current_time() + guard.rules.body_seconds
        self._arrived = False
        self._started = False
        self._streams = False
        self._over = False

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._receive_bounded, self._send_guarded)
            if self._streams:
                # as when the server ends: every event is whole, so the client may know that it was the last
                await self._send_guarded({"type": "http.response.body"})
        except Exception:
            if not self._over:
                raise
            # it was told that its client is gone, and says so

    async def refuse(self, refusal: _Refusal) -> None:
        """Answer in the application's place, and let nothing of its own follow."""
        self._over = True
        self._guard.tell(refusal, (self._scope["client"] or (UNIX,))[0])
        if not self._started:
            # what is still to come of the body is not read
            extra = {"connection": "close"} if refusal in (_BODY, _SLOW, _LENGTH) else {}
            await self._reply(refusal.status, extra, {"error": refusal.error, "error_description": refusal.hint})

    async def preflight(self) -> None:
        await self._reply(
            204,
            {
                "access-control-allow-methods": METHODS,
                "access-control-allow-headers": ALLOWED_HEADERS,
                "access-control-max-age": str(PREFLIGHT_SECONDS),
            },
        )

    async def _receive_bounded(self) -> Message:
        """The next part of the body, if it comes in time and is not too much; or else the client is gone."""
        if self._over:
            return {"type": "http.disconnect"}
        if self._arrived:
            return await self._receive()
        message: Message | None = None
        with anyio.CancelScope(deadline=self._until):
            message = await self._receive()
        if message is None:
            await self.refuse(_SLOW)
        elif message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._arrived = not message.get("more_body", False)
            if self._left < 0:
                await self.refuse(_BODY)
        return {"type": "http.disconnect"} if self._over or message is None else message

    async def _send_guarded(self, message: Message) -> None:
        if self._over:
            return
        if message["type"] == "http.response.start":
            self._started = True
            self._streams = any(kind.startswith("text/event-stream") for kind in header(message, b"content-type"))
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        elif not message.get("more_body"):
            self._streams = False
        await self._send(message)

    async def _reply(self, status: int, extra: Mapping[str, str], content: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content).encode() if content else b""
        headers = [(name.encode(), value.encode()) for name, value in extra.items()]
        if content:
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": self._headers(headers)})
        await self._send({"type": "http.response.body", "body": body})

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers of an answer, ours in place of the application's."""
        ours = {**_SECURITY_HEADERS, b"x-request-id": request_id.get().encode()}
        if self._scope["scheme"] == "https":
            ours[b"strict-transport-security"] = f"max-age={HSTS_SECONDS}".encode()
        if self._origin is not None:
            ours[b"access-control-allow-origin"] = self._origin.encode("latin-1")
            ours[b"access-control-expose-headers"] = EXPOSED_HEADERS.encode()
        kept = [(name, value) for name, value in given if name.lower() not in ours]
        if not any(name.lower() == b"cache-control" for name, _ in kept):
            ours[b"cache-control"] = b"no-store"
        return [*kept, *ours.items(), (b"vary", b"Origin")]


def too_many(refused: RateLimited) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and content of the answer to whatever is over a limit and is no call of a tool."""
    return (
        429,
        {"retry-after": str(refused.seconds)},
        {"error": _LIMIT, "error_description": f"{refused.what}; {refused.hint}"},
    )


def _request_id(scope: Scope) -> str:
    """The client's own id of the request where it is well formed, or else a new one."""
    given = header(scope, b"x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid.uuid4().hex
