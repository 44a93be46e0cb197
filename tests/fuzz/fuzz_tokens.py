"""Access tokens: header, signature and claims, beside PyJWT, and key sets of an issuer."""

import json
from collections.abc import Mapping
from typing import Any

import anyio
import jwt
from jwt.utils import base64url_encode

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.http.auth.claims import MOST_CHARACTERS, Failure, Verified
    from mcp_docker.http.auth.jwt import ALGORITHMS, TYPES, JwtVerifier
    from mcp_docker.http.auth.keys import MOST_KEYS, Keys, usable
    from mcp_docker.http.auth.outbound import Unavailable

MODULES = ("mcp_docker.http.auth.jwt", "mcp_docker.http.auth.claims", "mcp_docker.http.auth.keys")
ISSUER, AUDIENCE, NOW, SKEW = "https://issuer.example.com", "https://mcp.example.com/mcp", 1_800_000_000, 60
# an Ed25519 key of RFC 8037, appendix A: signatures come out the same each time
PRIVATE = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
PUBLIC = {name: value for name, value in PRIVATE.items() if name != "d"} | {"kid": "one", "use": "sig"}
SIGNER = jwt.PyJWK(PRIVATE | {"alg": "EdDSA"})
CHECKER = jwt.PyJWK(PUBLIC | {"alg": "EdDSA"})


class Issuer:
    """Answers with its keys."""

    async def ask(self, *_: Any) -> dict[str, Any]:
        return {"keys": [PUBLIC]}

    async def aclose(self) -> None:
        pass


class Reasons:
    """The last reason that was told."""

    last = ""

    def __call__(self, reason: str) -> None:
        self.last = reason


REASONS = Reasons()


async def _ready() -> JwtVerifier:
    """A verifier that has its keys, and has looked for one that nobody knows: from here on it asks no more."""
    found = JwtVerifier(
        ISSUER,
        [AUDIENCE],
        jwks_url=f"{ISSUER}/keys",
        clock_skew=SKEW,
        on_failure=REASONS,
        clock=lambda: 0.0,
        now=lambda: NOW,
    )
    found._keys = Keys(ISSUER, f"{ISSUER}/keys", Issuer(), allow_loopback_http=False, clock=lambda: 0.0)  # type: ignore[arg-type]
    assert await found.verify_token(signed({"typ": "JWT", "alg": "EdDSA", "kid": "nobody's"}, b"{}")) is None
    assert REASONS.last == Failure.UNKNOWN_KEY
    return found


def signed(header: Mapping[str, Any], payload: bytes) -> str:
    """A token with these parts, as they are, and a true signature."""
    head = base64url_encode(json.dumps(header).encode()) + b"." + base64url_encode(payload)
    signature = SIGNER.Algorithm.sign(head, SIGNER.key)
    return (head + b"." + base64url_encode(signature)).decode()


VERIFIER = anyio.run(_ready)


def verified(token: str) -> Verified | None:
    """What the verifier says. It has no need to wait, so no event loop is needed to ask it."""
    waiting = VERIFIER.verify_token(token)
    try:
        waiting.send(None)
    except StopIteration as done:
        found: Verified | None = done.value
        return found
    raise AssertionError("it asked somebody")


def check_token(token: str) -> None:
    """What holds here holds for PyJWT too, and the claims are the same; all else has a reason."""
    REASONS.last = ""
    found = verified(token)
    if found is None:
        assert REASONS.last in set(Failure) - {Failure.INTERNAL, Failure.UNAVAILABLE}, REASONS.last
        return
    assert REASONS.last == ""
    assert len(token) <= MOST_CHARACTERS
    header = jwt.get_unverified_header(token)
    assert header["alg"] in ALGORITHMS
    assert header["typ"].lower() in TYPES
    assert not {"jku", "jwk", "x5u", "crit", "b64"} & set(header)
    # the time is judged by hand, since PyJWT asks the machine's clock
    options: Any = {
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "require": ["exp", "iss", "sub", "aud"],
    }
    claims = jwt.decode(
        token, CHECKER, algorithms=["EdDSA", "Ed25519"], audience=AUDIENCE, issuer=ISSUER, options=options
    )
    assert claims["exp"] + SKEW > NOW
    assert "cnf" not in {name for name, value in claims.items() if value is not None}
    assert max(claims.get("nbf") or 0, claims.get("iat") or 0) - SKEW <= NOW
    assert found.subject == claims["sub"]
    assert found.resource == AUDIENCE
    assert found.expires_at == int(claims["exp"] + SKEW)
    assert token not in repr(found)
    scope = claims.get("scope") if claims.get("scope") is not None else claims.get("scp")
    assert found.scopes == [word for word in (scope.split(" ") if isinstance(scope, str) else scope or []) if word]
    # nobody else's signature, and nothing else under this one
    for other in (token + "A", token[:-8], token.rpartition(".")[0] + ".AAAA", token.replace(".", "..", 1)):
        assert verified(other) is None


def check_claims(header: Any, payload: bytes) -> None:
    """A true signature is not enough: header and claims are judged as well."""
    if isinstance(header, dict):
        token = signed(header, payload)
        check_token(token)
        head, _, tail = token.partition(".")
        _body, _, signature = tail.partition(".")
        forged = base64url_encode(payload + b" ").decode()
        assert verified(f"{head}.{forged}.{signature}") is None


def check_keys(answer: Any) -> None:
    """Only public keys that may sign come out of a key set, and never more than so many."""
    if not isinstance(answer, dict):
        return
    try:
        found = usable(answer)
    except Unavailable:
        assert not isinstance(answer.get("keys"), list)
        return
    assert len(found) <= min(MOST_KEYS, len(answer["keys"]))
    for key in found:
        assert not key.is_private
        told = key.as_dict(private=False)
        assert told["kty"] in ("RSA", "EC", "OKP")
        assert told.get("use", "sig") == "sig"


def loose(text: str) -> Any:
    """JSON; of a mapping in the form of lines `name=value` where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    found: dict[str, Any] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            try:
                found[name] = json.loads(value)
            except (ValueError, RecursionError):
                found[name] = value
    return found


def one(data: bytes) -> None:
    """A token; or a header, an empty line, and claims; or a key set."""
    text = text_in(data).encode("utf-8", "replace").decode()
    check_token(text)
    head, _, body = text.partition("\n\n")
    header = {"typ": "at+jwt", "alg": "EdDSA"} | (found if isinstance(found := loose(head), dict) else {})
    claims = loose(body)
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "exp": NOW + 60}
    for payload in (body, json.dumps(base | claims) if isinstance(claims, dict) else "[]"):
        check_claims(header, payload.encode())
    check_keys(loose(text))
    check_keys({"keys": [PUBLIC | header, {**claims} if isinstance(claims, dict) else claims]})


if __name__ == "__main__":
    fuzz(one)
