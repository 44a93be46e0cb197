"""Access tokens that the authorization server is asked about (RFC 7662)."""

import hashlib
import re
import ssl
import time
from collections.abc import Callable, Collection
from urllib.parse import quote_plus

from cachetools import TLRUCache, TTLCache
from loguru import logger

from mcp_docker.http.auth.claims import Claims, Failure, Judge, Rejected, Verified, Verifier, read
from mcp_docker.http.auth.outbound import Flights, Outbound, Unavailable, checked

MOST_KEPT = 4_096
NEGATIVE_SECONDS = 5.0

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class IntrospectionVerifier(Verifier):
    """Asks the authorization server about each token, and remembers its answer for a short time.

    Args:
        url: the introspection endpoint.
        client_id: who we are there.
        client_secret: proves it.
        audiences: one of which `aud` must name.
        issuer: what `iss` must equal, where the answer has one.
        resource: what goes into `AccessToken.resource`; None: the audience that matched.
        cache_seconds: how long a good answer is believed; at most until the token expires. 0 asks every time.
        clock_skew: seconds by which the issuer's clock may differ.
        allow_loopback_http: take http addresses on this machine.
        tls: whom to trust instead of the system's certificates.
        on_failure: told the reason of every refused token, one of `Failure`.
        clock: measures intervals.
        now: tells the time of day.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        audiences: Collection[str],
        *,
        issuer: str | None = None,
        resource: str | None = None,
        cache_seconds: float = 30,
        clock_skew: float = 60,
        allow_loopback_http: bool = False,
        tls: ssl.SSLContext | None = None,
        on_failure: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(on_failure)
        self._judge = Judge(issuer, audiences, resource, clock_skew, now)
        self._url, self._seconds = url, cache_seconds
        parts = checked(url, allow_loopback_http=allow_loopback_http)
        basic = (quote_plus(client_id), quote_plus(client_secret))  # as RFC 6749 has it, section 2.3.1
        self._outbound = Outbound(parts.hostname or "", tls=tls, basic=basic)
        self._failing = False
        self._flights: Flights[bytes, Claims | Failure] = Flights()
        # Apart, so that a flood of forged tokens does not push good ones out.
        self._good: TLRUCache[bytes, Claims] = TLRUCache(MOST_KEPT, ttu=self._until, timer=clock)
        self._bad: TTLCache[bytes, Failure] = TTLCache(MOST_KEPT, ttl=NEGATIVE_SECONDS, timer=clock)

    def _until(self, _key: bytes, claims: Claims, clock: float) -> float:
        left = self._seconds if claims.exp is None else min(self._seconds, claims.exp - self._judge.now())
        return clock + left

    async def verified(self, token: str) -> Verified:
        """The token, if the authorization server calls it active and it is meant for us."""
        if not _BEARER.fullmatch(token):
            raise Rejected(Failure.MALFORMED)
        key = hashlib.sha256(token.encode()).digest()
        known: Claims | Failure | None = self._good.get(key) or self._bad.get(key)
        if known is None:
            known = await self._flights.join(key, lambda: self._asked(key, token))
        if isinstance(known, Failure):
            raise Rejected(known)
        return self._judge.accept(token, known)

    async def _asked(self, key: bytes, token: str) -> Claims | Failure:
        try:
            answer = await self._outbound.ask("POST", self._url, {"token": token, "token_type_hint": "access_token"})
        except Unavailable as problem:
            if not self._failing:  # once, and not for every token that anyone sends
                logger.warning("the authorization server can't be asked about tokens: it {}", problem)
            self._failing = True
            return Failure.UNAVAILABLE
        self._failing = False
        try:
            if answer.get("active") is not True:
                raise Rejected(Failure.INACTIVE)
            kind = answer.get("token_type")
            if kind is not None and str(kind).lower() != "bearer":
                raise Rejected(Failure.SENDER_CONSTRAINED)
            claims = read(Claims, answer)
            self._judge.accept(token, claims)
        except Rejected as rejected:
            self._bad[key] = rejected.reason
            return rejected.reason
        self._good[key] = claims
        return claims

    async def aclose(self) -> None:
        """Let go of connections, and end what is under way."""
        await self._flights.aclose()
        await self._outbound.aclose()
