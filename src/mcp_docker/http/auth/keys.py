"""The issuer's public keys: fetched, checked and kept."""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from loguru import logger

from mcp_docker.http.auth import outbound
from mcp_docker.http.auth.claims import Failure, Rejected
from mcp_docker.http.auth.outbound import Flights, Outbound, Unavailable, checked, origin

TTL_SECONDS = 600.0
STALE_SECONDS = 3_600.0
HUNT_SECONDS = 30.0
"""Between fetches for the sake of a key id that nobody knows."""
RETRY_SECONDS = 30.0
RETRY_COLD_SECONDS = 5.0
"""Between fetches that fail: while older keys serve, and while there are none."""
MOST_KEYS = 64
LEAST_RSA_BITS = 2_048
MOST_RSA_BITS = 8_192
MOST_EXPONENT_CHARACTERS = 8

PublicKey = RSAKey | ECKey | OKPKey


class Keys:
    """The key set of an issuer.

    Args:
        issuer: whose metadata names the address, when `url` is None.
        url: where the key set is.
        server: asks for it.
        clock: a clock that never goes back.
    """

    def __init__(
        self, issuer: str, url: str | None, server: Outbound, *, allow_loopback_http: bool, clock: Callable[[], float]
    ) -> None:
        self._issuer, self._url = issuer, url
        self._server, self._clock = server, clock
        self._allow_loopback_http = allow_loopback_http
        self._flights: Flights[str, None] = Flights()
        self._keys: list[PublicKey] | None = None
        self._fetched = self._tried = self._hunted = -math.inf
        self._fetches = 0
        self._failed = False

    async def find(self, kid: str | None, algorithm: str) -> PublicKey:
        """The one key that a token was signed with, by its key id; without one, the only key that fits.

        Raises:
            Rejected: there is none, or there are several, or the keys can't be had.
        """
        fetches = self._fetches
        await self._fresh()
        if not self._known(kid, algorithm) and fetches == self._fetches:
            await self._hunt()
        # By thumbprint: the same key may be listed twice.
        fitting = {key.thumbprint(): key for key in self._named(kid) if _fits(key, algorithm)}
        match list(fitting.values()):
            case [key]:
                return key
            case [] if kid is not None and self._named(kid):
                raise Rejected(Failure.ALGORITHM)
        if self._failed and not self._known(kid, algorithm):
            # it may be new: the last fetch failed
            raise Rejected(Failure.UNAVAILABLE)
        raise Rejected(Failure.UNKNOWN_KEY)

    def _named(self, kid: str | None) -> list[PublicKey]:
        return [key for key in self._keys or [] if kid is None or key.kid == kid]

    def _known(self, kid: str | None, algorithm: str) -> bool:
        return any(kid is not None or _fits(key, algorithm) for key in self._named(kid))

    async def _fresh(self) -> None:
        age = self._clock() - self._fetched
        pause = RETRY_COLD_SECONDS if self._keys is None else RETRY_SECONDS
        if age > TTL_SECONDS and ("" in self._flights or self._clock() - self._tried >= pause):
            await self._flights.join("", self._fetch)
        if self._keys is None or self._clock() - self._fetched > STALE_SECONDS:
            self._keys = None
            raise Rejected(Failure.UNAVAILABLE)

    async def _hunt(self) -> None:
        now = self._clock()
        if "" not in self._flights:
            if now - self._hunted < HUNT_SECONDS:
                return
            self._hunted = now
        await self._flights.join("", self._fetch)

    async def _fetch(self) -> None:
        self._failed = True
        try:
            with anyio.fail_after(outbound.SECONDS):  # for all requests together
                url = self._url or await self._discovered()
                self._keys = usable(await self._server.ask("GET", url))
            self._fetched = self._clock()
            self._failed = False
        except Unavailable as problem:
            logger.warning("the keys of the authorization server are not to be had: it {}", problem)
        except TimeoutError:
            logger.warning("the keys of the authorization server are not to be had: it took too long")
        finally:
            self._tried = self._clock()
            self._fetches += 1

    async def _discovered(self) -> str:
        """The address of the key set, as the issuer's metadata (RFC 8414, OpenID Connect) says."""
        problem = Unavailable("has no metadata")
        for address in _metadata(self._issuer):
            try:
                metadata = await self._server.ask("GET", address)
            except Unavailable as error:
                problem = error
                continue
            if metadata.get("issuer") != self._issuer:
                raise Unavailable("has metadata of another issuer")
            url = str(metadata.get("jwks_uri"))
            if not self._is_ours(url):
                raise Unavailable("names keys that are elsewhere: set their address if that is meant")
            return url
        raise problem

    def _is_ours(self, url: str) -> bool:
        try:
            parts = checked(url, allow_loopback_http=self._allow_loopback_http)
        except ValueError:
            return False
        return origin(parts) == origin(urlsplit(self._issuer))

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()
        await self._server.aclose()


def _metadata(issuer: str) -> Iterator[str]:
    parts = urlsplit(issuer)
    server, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    yield f"{server}/.well-known/oauth-authorization-server{path}"
    yield f"{server}/.well-known/openid-configuration{path}"
    if path:
        yield f"{server}{path}/.well-known/openid-configuration"


def usable(answer: dict[str, Any]) -> list[PublicKey]:
    """The keys of a key set that may verify a signature; others are passed over.

    A set that says it has none is believed: that is how an issuer withdraws them all.

    Raises:
        Unavailable: it is no key set.
    """
    entries = answer.get("keys")
    if not isinstance(entries, list):
        raise Unavailable("answered with something that is no key set")
    if len(entries) > MOST_KEYS:
        logger.warning("the authorization server has {} keys; the first {} are read", len(entries), MOST_KEYS)
    return [key for entry in islice(entries, MOST_KEYS) if (key := _imported(entry)) is not None]


def _imported(entry: Any) -> PublicKey | None:
    # A key whose private part is published is nobody's.
    if not isinstance(entry, dict) or "d" in entry or entry.get("use", "sig") != "sig":
        return None
    kind = entry.get("kty")
    if kind not in ("RSA", "EC", "OKP") or (kind == "RSA" and not _sound(entry)):
        return None
    try:
        key = cast("PublicKey", JWKRegistry.import_key(entry, kind))
        key.check_key_op("verify")
        if isinstance(key, RSAKey):
            return key if LEAST_RSA_BITS <= key.raw_value.key_size <= MOST_RSA_BITS else None
        return key if key.curve_name in ("P-256", "P-384", "P-521", "Ed25519", "Ed448") else None
    except (JoseError, SecurityWarning, ValueError, TypeError, KeyError, OverflowError):
        return None


def _sound(entry: dict[str, Any]) -> bool:
    """Whether an RSA key is worth reading: neither short, nor so long that checking a signature costs us dear."""
    modulus, exponent = entry.get("n"), entry.get("e")
    return (
        isinstance(modulus, str)
        and LEAST_RSA_BITS <= len(modulus) * 6 <= MOST_RSA_BITS + 16
        and isinstance(exponent, str)
        and len(exponent) <= MOST_EXPONENT_CHARACTERS
    )


def _fits(key: PublicKey, algorithm: str) -> bool:
    try:
        JWSRegistry.algorithms[algorithm].check_key(key)
    except JoseError:
        return False
    return True
