"""Signed access tokens (RFC 9068), verified with the issuer's published keys."""

import base64
import re
import ssl
import time
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from joserfc.errors import BadSignatureError, JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry, deserialize_compact

from mcp_docker.http.auth.claims import (
    MOST_CHARACTERS,
    Failure,
    Judge,
    Rejected,
    SignedClaims,
    Verified,
    Verifier,
    read,
)
from mcp_docker.http.auth.keys import Keys
from mcp_docker.http.auth.outbound import Outbound, checked, strict_json

ALGORITHMS = frozenset("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 Ed448".split())
TYPES = frozenset({"at+jwt", "application/at+jwt", "jwt"})
FORBIDDEN = frozenset({"jku", "jwk", "x5u", "crit", "b64"})
"""Header parameters that bring their own key, or change what the others mean."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Registry(JWSRegistry):
    """Our algorithms alone. Parameters that nobody knows are passed over, as RFC 7515 has it."""

    max_header_length = max_payload_length = MOST_CHARACTERS

    def get_alg(self, name: str) -> JWSAlgModel:
        # Without the parent's warning, at every token, that EdDSA has a newer name.
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY = _Registry(algorithms=sorted(ALGORITHMS), strict_check_header=False)


class JwtVerifier(Verifier):
    """Verifies signed access tokens of one issuer that are meant for this server.

    Args:
        issuer: what `iss` must equal, to the letter.
        audiences: one of which `aud` must name.
        jwks_url: the issuer's key set; None: as its metadata says, at the same origin.
        resource: what goes into `AccessToken.resource`; None: the audience that matched.
        clock_skew: seconds by which the issuer's clock may differ.
        allow_loopback_http: take http addresses on this machine.
        tls: whom to trust instead of the system's certificates.
        on_failure: told the reason of every refused token, one of `Failure`.
        clock: measures intervals.
        now: tells the time of day.
    """

    def __init__(
        self,
        issuer: str,
        audiences: Collection[str],
        *,
        jwks_url: str | None = None,
        resource: str | None = None,
        clock_skew: float = 60,
        allow_loopback_http: bool = False,
        tls: ssl.SSLContext | None = None,
        on_failure: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(on_failure)
        self._judge = Judge(issuer, audiences, resource, clock_skew, now)
        parts = checked(jwks_url or issuer, allow_loopback_http=allow_loopback_http)
        if jwks_url is None and urlsplit(issuer).query:
            raise ValueError("the issuer has a query, so its metadata can't be found")
        outbound = Outbound(parts.hostname or "", tls=tls)
        self._keys = Keys(issuer, jwks_url, outbound, allow_loopback_http=allow_loopback_http, clock=clock)

    async def verified(self, token: str) -> Verified:
        """The token, if its signature and its claims hold."""
        algorithm, kid = _header(token)
        key = await self._keys.find(kid, algorithm)
        try:
            payload = deserialize_compact(token, key, registry=_REGISTRY).payload
        except BadSignatureError:
            raise Rejected(Failure.SIGNATURE) from None
        except (JoseError, ValueError):
            raise Rejected(Failure.MALFORMED) from None
        try:
            claims = strict_json(payload)
        except ValueError:
            raise Rejected(Failure.MALFORMED) from None
        return self._judge.accept(token, read(SignedClaims, claims))

    async def aclose(self) -> None:
        """Let go of connections, and end what is under way."""
        await self._keys.aclose()


def _header(token: str) -> tuple[str, str | None]:
    """The algorithm and key id in a token's header, which is a stranger's claim until the signature is checked."""
    compact = _COMPACT.fullmatch(token)
    if compact is None:
        raise Rejected(Failure.MALFORMED)
    try:
        header = strict_json(base64.urlsafe_b64decode(compact[1] + "=="))
    except ValueError:
        raise Rejected(Failure.MALFORMED) from None
    if FORBIDDEN & header.keys():
        raise Rejected(Failure.HEADER)
    kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise Rejected(Failure.TYPE)
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Rejected(Failure.ALGORITHM)
    if "kid" in header and not isinstance(kid, str):
        raise Rejected(Failure.HEADER)
    return algorithm, kid
