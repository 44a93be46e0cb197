"""MCP over streamable HTTP: the SDK's application behind a guard, for callers who show a token."""

import contextlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from cachetools import TTLCache
from loguru import logger
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from mcp_docker import server
from mcp_docker.audit import Audit
from mcp_docker.caller import Caller
from mcp_docker.engine import CallScope, Engine
from mcp_docker.errors import Refused, SettingsError
from mcp_docker.http import clients
from mcp_docker.http.auth import Failure, GroupMap, IntrospectionVerifier, JwtVerifier, tiers
from mcp_docker.http.guard import Guard, Names, Rules
from mcp_docker.http.layers import PATH, Authenticated, Counted, Probes, current
from mcp_docker.http.metrics import Metrics
from mcp_docker.http.sessions import Sessions
from mcp_docker.pipeline import Pipeline
from mcp_docker.registry import Registry
from mcp_docker.settings import Settings
from mcp_docker.throttle import Throttle, place
from mcp_docker.tool import Kind, Tier

READY_SECONDS = 2.0
TOLD_SECONDS = 60.0
MOST_TOLD = 4_096
STATE_KEY_CHARACTERS = 32
LOOPBACK_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*")
LOOPBACK_ORIGINS = ("http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*")
METADATA = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True)
class Listening:
    """Where to serve, and how.

    Attributes:
        insecure: serve without tokens on an address that others can reach.
        metrics_port: where /metrics is; None: on the same port as the rest.
    """

    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    metrics_port: int | None = None

    @property
    def is_loopback(self) -> bool:
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def check(settings: Settings, listening: Listening) -> None:
    """Refuse to listen where strangers could call.

    Raises:
        SettingsError: what is missing.
    """
    problems = []
    if bool(listening.tls_cert) != bool(listening.tls_key):
        problems.append("--tls-cert and --tls-key go together")
    ports = [port for port in (listening.port, listening.metrics_port) if port is not None]
    problems += [f"--port, --metrics-port: {port} is no port" for port in ports if not 0 < port < 65_536]
    if not listening.is_loopback:
        if not settings.security_oauth_enabled and not listening.insecure:
            problems.append(
                f"--host {listening.host} can be reached by others: set SECURITY_OAUTH_ENABLED, or say "
                "--insecure-no-auth to let anybody who reaches it call every tool that is on"
            )
        if listening.tls_cert is None and not settings.security_trusted_proxies:
            problems.append(
                f"--host {listening.host} can be reached by others: give --tls-cert and --tls-key, or name the proxy "
                "that ends TLS in SECURITY_TRUSTED_PROXIES"
            )
    key = settings.secret("security_state_key")
    if key is not None and len(key) < STATE_KEY_CHARACTERS:
        problems.append(f"SECURITY_STATE_KEY: at least {STATE_KEY_CHARACTERS} characters")
    if problems:
        raise SettingsError(problems)


class Application:
    """All that serves HTTP.

    Args:
        settings: the operator's choices.
        registry: the tools.
        engine: the Docker Engine.
        audit: where calls are recorded; None if nowhere.
        listening: where it is served.

    Raises:
        SettingsError: it can't be served safely like that.
    """

    def __init__(
        self, settings: Settings, registry: Registry, engine: Engine, audit: Audit | None, listening: Listening
    ) -> None:
        check(settings, listening)
        if settings.safety_allowed_build_roots is None:
            # the working directory is that of a person's own project only over stdio
            settings = settings.model_copy(update={"safety_allowed_build_roots": ()})
        self.settings = settings
        self.draining = False
        self._told: TTLCache[str, bool] = TTLCache(MOST_TOLD, TOLD_SECONDS)
        self._audit = audit
        self._engine = engine
        self._trusted = clients.networks(settings.security_trusted_proxies)
        self._groups = GroupMap(
            settings.security_oauth_groups_claim,
            {
                group: registry.canonical("SECURITY_OAUTH_GROUP_TOOLS", tools)
                for group, tools in settings.security_oauth_group_tools.items()
            },
        )
        self._scopes = {
            Tier.SAFE: settings.security_oauth_read_scope,
            Tier.MODERATE: settings.security_oauth_write_scope,
            Tier.DESTRUCTIVE: settings.security_oauth_destroy_scope,
        }
        nobody = Caller("nobody", "http")
        names = [entry.declared.spec.name for kind in Kind for entry in registry.entries(nobody, kind)]
        self.metrics = Metrics(names, [str(reason) for reason in Failure], lambda: self.pipeline.in_flight)
        limited = settings.security_rate_limit_enabled
        self._throttle = Throttle(
            settings.security_rate_limit_rpm if limited else None,
            settings.security_rate_limit_concurrent if limited else 1_000_000,
            failures=settings.security_pre_auth_rate_limit_rpm if limited else None,
            storage_uri=settings.security_rate_limit_storage,
        )
        self.pipeline = Pipeline(settings, registry, engine, audit, self._throttle, self.metrics.called)
        self._judge: JwtVerifier | IntrospectionVerifier | None = None
        self.asgi = self._built(listening)

    def _built(self, listening: Listening) -> ASGIApp:
        settings = self.settings
        key = settings.secret("security_state_key")
        mcp = server.build(self.pipeline, self.caller, [key.encode()] if key else [])
        self.end_streams = mcp.end_streams
        public = _public_url(settings, listening)
        if settings.security_oauth_enabled:
            self._judge = self._verifier(public)
        app: Starlette = mcp.streamable_http_app(
            streamable_http_path=PATH,
            # hosts and origins are the guard's
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            auth=self._auth(public) if self._judge else None,
            token_verifier=self._judge,
        )
        # before the SDK's own, which serves one path of two and not all scopes
        app.router.routes[:0] = self._routes(public, metrics=listening.metrics_port is None)
        app.user_middleware += [Middleware(Counted, application=self), Middleware(Sessions, application=self)]
        hosts, origins, networks = (
            settings.security_allowed_hosts,
            settings.security_allowed_origins,
            settings.security_allowed_client_ips,
        )
        try:
            rules = Rules(
                hosts=Names([*LOOPBACK_HOSTS, *_named(public, listening)] if hosts is None else hosts),
                origins=Names(LOOPBACK_ORIGINS if origins is None else origins, origins=True),
                trusted=self._trusted,
                clients=None if networks is None else clients.networks(networks),
            )
        except ValueError as problem:
            raise SettingsError([f"SECURITY_ALLOWED_HOSTS, SECURITY_ALLOWED_ORIGINS: {problem}"]) from None
        guarded = Guard(Authenticated(app, self), rules, self.metrics.http_refused)
        return Probes(guarded, self)

    # Who calls

    def caller(self, context: server.RequestContext | None) -> Caller:
        """Whose request this is: that of the token, within its scopes and groups."""
        request = context.request if context is not None else None
        scope = request.scope if isinstance(request, Request) else current.get()
        if scope is None:
            return Caller("nobody", "http", tiers=frozenset(), tools=frozenset())
        return self.of(scope)

    def of(self, scope: Scope) -> Caller:
        """The caller of an HTTP request."""
        address = str((scope.get("client") or ("", 0))[0]) or None
        if not self.settings.security_oauth_enabled:
            return Caller(f"anonymous at {address}", "http", address)
        user = scope.get("user")
        if not isinstance(user, AuthenticatedUser):
            return Caller("nobody", "http", address, tiers=frozenset(), tools=frozenset())
        token = user.access_token
        claims = token.claims or {}
        return Caller(
            token.subject or token.client_id,
            "http",
            address,
            token.client_id,
            str(claims.get("iss") or self.settings.security_oauth_issuer),
            not token.subject,
            tiers(token.scopes, self._scopes),
            self._groups.tools(claims),
            token.expires_at,
        )

    def _auth(self, public: str) -> AuthSettings:
        settings = self.settings
        return AuthSettings(
            issuer_url=AnyHttpUrl(settings.security_oauth_issuer or ""),
            resource_server_url=AnyHttpUrl(public),
            required_scopes=list(settings.security_oauth_required_scopes or (settings.security_oauth_read_scope,)),
            validate_token_resource=True,
        )

    def _verifier(self, public: str) -> JwtVerifier | IntrospectionVerifier:
        settings = self.settings
        issuer = settings.security_oauth_issuer or ""
        skew = settings.security_oauth_clock_skew_seconds
        try:
            if settings.security_oauth_introspection_url:
                return IntrospectionVerifier(
                    settings.security_oauth_introspection_url,
                    settings.security_oauth_client_id or "",
                    settings.secret("security_oauth_client_secret") or "",
                    settings.security_oauth_audience,
                    issuer=issuer,
                    resource=public,
                    clock_skew=skew,
                    allow_loopback_http=True,
                    on_failure=self._failed,
                )
            return JwtVerifier(
                issuer,
                settings.security_oauth_audience,
                jwks_url=settings.security_oauth_jwks_url,
                resource=public,
                clock_skew=skew,
                allow_loopback_http=True,
                on_failure=self._failed,
            )
        except ValueError as problem:
            raise SettingsError([f"SECURITY_OAUTH_…: {problem}"]) from None

    def _failed(self, reason: str) -> None:
        self.metrics.auth_failed(reason)
        if (scope := current.get()) is not None:
            scope["mcp_docker.failure"] = reason

    # What is answered beside MCP

    def _routes(self, public: str, *, metrics: bool) -> list[Route]:
        routes = [Route("/metrics", self._metrics)] if metrics else []
        if self.settings.security_oauth_enabled:
            document = {
                "resource": public,
                "authorization_servers": [self.settings.security_oauth_issuer],
                "scopes_supported": list(self._scopes.values()),
                "bearer_methods_supported": ["header"],
                "resource_name": self.settings.mcp_server_name,
            }

            async def metadata(_request: Request) -> Response:
                return JSONResponse(document, headers={"Cache-Control": "public, max-age=3600"})

            suffixes = dict.fromkeys(("", PATH, urlsplit(public).path.rstrip("/")))
            routes += [Route(METADATA + suffix, metadata) for suffix in suffixes]
        return routes

    async def _metrics(self, request: Request) -> Response:
        text, kind = self.metrics.text(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind})

    def metrics_app(self) -> ASGIApp:
        """/metrics alone, for a port of its own."""
        return Starlette(routes=[Route("/metrics", self._metrics)])

    async def ready(self) -> bool:
        """Whether calls would be answered: the engine is there, and the server is not about to end."""
        if self.draining:
            return False

        def ping() -> bool:
            try:
                with CallScope(READY_SECONDS).ending_after(READY_SECONDS):
                    return bool(self._engine.get("/_ping").ok)
            except Exception as problem:  # noqa: BLE001 - whatever it is, calls would fail too
                if not isinstance(problem, Refused):
                    self._engine.forget()
                return False

        with anyio.move_on_after(READY_SECONDS + 1):
            return await anyio.to_thread.run_sync(ping, abandon_on_cancel=True)
        return False

    # What is counted and recorded

    async def may_try(self, address: str) -> None:
        """Let an address show a token. Raises RateLimited when too many of its tokens were refused."""
        await self._throttle.may_try(address)

    async def count(self, caller: Caller) -> None:
        """Count a request that is no call of a tool. Raises RateLimited."""
        await self._throttle.count(caller.key)

    async def turned_away(self, address: str, code: str) -> None:
        """Record that an address may show no tokens for now: once a minute, or it could push older lines out."""
        if (key := place(address)) not in self._told:
            self._told[key] = True
            await self.record({"event": "authentication", "address": address, "code": code})

    async def unauthenticated(self, address: str, reason: str) -> None:
        """Count and record a token that was refused. An authority that is down is no fault of the address."""
        if reason not in (Failure.UNAVAILABLE, Failure.INTERNAL):
            await self._throttle.count_failure(address)
        await self.record({"event": "authentication", "address": address, "code": reason})

    async def record(self, entry: dict[str, Any]) -> None:
        """Write a line about a request that did not become a call."""
        if self._audit is None:
            return
        line = {"transport": "http", "decision": "refused", "outcome": "refused", **entry}
        with contextlib.suppress(Refused):
            await anyio.to_thread.run_sync(self._audit.write, line)

    async def aclose(self) -> None:
        """Let go of what is held open."""
        await self._throttle.aclose()
        if self._judge is not None:
            await self._judge.aclose()


def _public_url(settings: Settings, listening: Listening) -> str:
    if settings.security_public_url:
        return settings.security_public_url
    for audience in settings.security_oauth_audience:
        if audience.startswith(("https://", "http://")):
            return audience
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    return f"{'https' if listening.tls_cert else 'http'}://{host}:{listening.port}{PATH}"


def _named(public: str, listening: Listening) -> list[str]:
    """The host that the public address names; an address that stands for all of them names none."""
    host = urlsplit(public).netloc.rpartition("@")[2]
    everywhere = listening.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    return [] if everywhere and urlsplit(public).hostname == listening.host else [host]


def said(listening: Listening, settings: Settings) -> None:
    """Say at the start where it listens, and what is open to anybody."""
    scheme = "https" if listening.tls_cert else "http"
    logger.info("serving {}://{}:{}{}", scheme, listening.host, listening.port, PATH)
    if not settings.security_oauth_enabled:
        logger.critical(
            "no token is asked for: whoever reaches {}:{} can call every tool that is on",
            listening.host,
            listening.port,
        )
