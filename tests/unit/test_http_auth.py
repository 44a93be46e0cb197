"""A token holds only if its issuer signed it, for this server, and for now; everything else is nobody."""

import json
import time
from typing import Any

import anyio
import pytest
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey
from mcp.server.auth.provider import AccessToken, principal_components

from mcp_docker.http.auth import Failure, JwtVerifier
from tests.unit.authorization_server import (
    AUDIENCE,
    KEYS,
    AuthorizationServer,
    encoded,
    made,
    sign,
    sign_loosely,
    sign_raw,
)
from tests.unit.http_auth_fixtures import (
    Clock,
    Open,
    Seen,
    anyio_backend,
    clock,
    issuer,
    open_verifier,
    seen,
    verified,
    verifier,
)

__all__ = ["anyio_backend", "clock", "issuer", "open_verifier", "seen", "verifier"]


ALGORITHMS = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 Ed448".split()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_good_token_of_each_algorithm_is_accepted(
    issuer: AuthorizationServer, verifier: JwtVerifier, algorithm: str
) -> None:
    issuer.rotate(made(algorithm, 1), "k", alg=algorithm, use="sig", key_ops=["verify"])
    assert await verifier.verify_token(issuer.token({"alg": algorithm}))


async def test_a_good_token_says_who_calls_and_what_they_may(
    issuer: AuthorizationServer, open_verifier: Open, seen: Seen
) -> None:
    verifier = open_verifier(resource="https://docker.example/mcp")
    exp = int(time.time()) + 300
    token = issuer.token(exp=exp, groups=["ops"], realm_access={"roles": ["admin"]})
    access = await verified(verifier, token)
    assert (access.subject, access.client_id, access.scopes) == ("alice", "inspector", ["docker:read", "docker:write"])
    assert access.resource == "https://docker.example/mcp"
    assert access.expires_at == exp + 60  # the SDK compares it without clock skew
    assert access.token == token
    assert access.claims is not None
    assert access.claims["groups"] == ["ops"]
    assert access.claims["realm_access"] == {"roles": ["admin"]}
    assert access.claims["exp"] == exp
    assert principal_components(access) == ("inspector", issuer.issuer, "alice")
    assert not seen.reasons


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
async def test_the_types_of_access_tokens_are_accepted(
    issuer: AuthorizationServer, verifier: JwtVerifier, kind: str
) -> None:
    assert await verifier.verify_token(issuer.token({"typ": kind}))


@pytest.mark.parametrize("kind", [None, "", "JOSE", "logout+jwt", "dpop+jwt", "oauth-id-jag+jwt", "application/jwt", 5])
async def test_a_token_of_another_type_is_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, kind: Any
) -> None:
    assert await verifier.verify_token(sign_loosely(issuer, typ=kind)) is None
    assert seen.last == Failure.TYPE


def test_signing_by_hand_makes_good_tokens(issuer: AuthorizationServer) -> None:
    verifier = JwtVerifier(issuer.issuer, AUDIENCE, jwks_url=issuer.jwks_uri, allow_loopback_http=True)

    async def check() -> AccessToken | None:
        try:
            return await verifier.verify_token(sign_loosely(issuer))
        finally:
            await verifier.aclose()

    assert anyio.run(check)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"jku": "https://attacker.example/keys"}, Failure.HEADER),
        ({"jwk": {"kty": "RSA"}}, Failure.HEADER),
        ({"x5u": "https://attacker.example/cert"}, Failure.HEADER),
        ({"crit": ["exp"]}, Failure.HEADER),
        ({"crit": ["b64"], "b64": False}, Failure.HEADER),
        ({"b64": True}, Failure.HEADER),
        ({"b64": False}, Failure.HEADER),
        ({"kid": 5}, Failure.HEADER),
        ({"kid": ["first"]}, Failure.HEADER),
        ({"alg": "none"}, Failure.ALGORITHM),
        ({"alg": "None"}, Failure.ALGORITHM),
        ({"alg": "HS256"}, Failure.ALGORITHM),
        ({"alg": "ES256K"}, Failure.ALGORITHM),
        ({"alg": "rs256"}, Failure.ALGORITHM),
        ({"alg": ["RS256"]}, Failure.ALGORITHM),
        ({"alg": None}, Failure.ALGORITHM),
        ({"alg": "ES256"}, Failure.ALGORITHM),
        ({"alg": "EdDSA"}, Failure.ALGORITHM),
        ({"alg": "RS384"}, Failure.SIGNATURE),
        ({"kid": "other"}, Failure.UNKNOWN_KEY),
        ({"kid": "../../etc/passwd"}, Failure.UNKNOWN_KEY),
        ({"kid": "http://attacker.example/keys"}, Failure.UNKNOWN_KEY),
        ({"kid": "first' OR '1'='1"}, Failure.UNKNOWN_KEY),
        ({"kid": ""}, Failure.UNKNOWN_KEY),
        ({"x5c": "not a list"}, Failure.MALFORMED),
    ],
    ids=str,
)
async def test_a_header_that_tricks_is_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, header: dict[str, Any], reason: Failure
) -> None:
    assert await verifier.verify_token(sign_loosely(issuer, **header)) is None
    assert seen.reasons == [reason]


async def test_a_header_with_what_nobody_knows_is_accepted(issuer: AuthorizationServer, verifier: JwtVerifier) -> None:
    assert await verifier.verify_token(sign_loosely(issuer, x5t="abc", x5c=["MIIB"], vendor={"a": 1}))


async def test_a_key_in_the_token_is_not_asked_for_or_used(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen
) -> None:
    attacker = AuthorizationServer()
    try:
        theirs = made("RS256", 2)
        attacker.rotate(theirs, "first")
        for header in ({"jku": attacker.jwks_uri}, {"jwk": theirs.as_dict(private=False)}, {"x5u": attacker.url}):
            assert await verifier.verify_token(sign_loosely(issuer, theirs, **header)) is None
        assert await verifier.verify_token(sign_loosely(issuer, theirs)) is None
    finally:
        attacker.close()
    assert seen.reasons == [Failure.HEADER, Failure.HEADER, Failure.HEADER, Failure.SIGNATURE]
    assert not attacker.asked


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
async def test_a_public_key_is_no_shared_secret(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, form: str
) -> None:
    public = issuer.signer
    assert isinstance(public, RSAKey)
    secret = {
        "pem": public.as_pem(private=False),
        "der": public.as_der(private=False),
        "jwk": json.dumps(issuer.published[0]).encode(),
    }[form]
    key = OctKey(secret, secret)
    token = sign(issuer.header(alg="HS256"), json.dumps(issuer.claims()).encode(), key)
    assert await verifier.verify_token(token) is None
    assert seen.last == Failure.ALGORITHM


async def test_a_token_without_a_signature_is_refused(issuer: AuthorizationServer, verifier: JwtVerifier) -> None:
    header, payload, signature = issuer.token().split(".")
    none = encoded(issuer.header(alg="none"))
    for token in (f"{header}.{payload}.", f"{none}.{payload}.", f"{none}.{payload}.{signature}", f"{header}.{payload}"):
        assert await verifier.verify_token(token) is None


async def test_a_changed_token_is_refused(issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen) -> None:
    header, _, signature = issuer.token().split(".")
    assert await verifier.verify_token(f"{header}.{encoded(issuer.claims(sub='root'))}.{signature}") is None
    assert seen.last == Failure.SIGNATURE


@pytest.mark.parametrize("other", ["ES256", "EdDSA", "RS256"])
async def test_a_key_verifies_only_with_its_own_algorithm(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, other: str
) -> None:
    issuer.publish(made(other, 3), "second", alg="PS512" if other == "RS256" else other)
    assert await verifier.verify_token(sign_loosely(issuer, made("RS256"), kid="second")) is None
    assert seen.last == Failure.ALGORITHM
    assert issuer.counted(KEYS) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'{"alg":"RS256","alg":"RS256","typ":"JWT","kid":"first"}',
        b'{"alg":"none","typ":"JWT","kid":"first","alg":"RS256"}',
        b'\xef\xbb\xbf{"alg":"RS256","typ":"JWT","kid":"first"}',
        '{"alg":"RS256","typ":"JWT","kid":"first"}'.encode("utf-16"),
        b'{"alg":"RS256","typ":"JWT","kid":"\\ud800"}',
        b'{"alg":"RS256","typ":"JWT","kid":"first","n":NaN}',
        b'["RS256"]',
        b'"RS256"',
        b"\xff\xfe",
        b"[" * 5_000,
    ],
)
async def test_a_header_that_can_be_read_in_two_ways_is_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, raw: bytes
) -> None:
    assert await verifier.verify_token(sign_raw(issuer, raw, json.dumps(issuer.claims()).encode())) is None
    assert seen.last == Failure.MALFORMED


async def test_claims_that_can_be_read_in_two_ways_are_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen
) -> None:
    head = json.dumps(issuer.header()).encode()
    good = json.dumps(issuer.claims()).encode()
    for payload in (good[:-1] + b',"sub":"root"}', b"[]", b"null", b"", b"\xff", good[:-1], b'{"exp":' + b"9" * 5_000):
        assert await verifier.verify_token(sign_raw(issuer, head, payload)) is None
    assert set(seen.reasons) == {Failure.MALFORMED}


async def test_a_token_in_a_token_is_refused(issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen) -> None:
    nested = sign(issuer.header(cty="JWT"), issuer.token().encode(), issuer.signer)
    assert await verifier.verify_token(nested) is None
    assert seen.last == Failure.MALFORMED


async def test_an_encrypted_token_is_refused(issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen) -> None:
    header = {"alg": "RSA-OAEP", "enc": "A256GCM", "typ": "at+jwt", "kid": "first"}
    token = jwe.encrypt_compact(header, json.dumps(issuer.claims()), issuer.signer)
    assert await verifier.verify_token(token) is None
    assert seen.last == Failure.MALFORMED


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        "Bearer x",
        "=.=.=",
        "e30.e30.e30",
        "\x00.\x00.\x00",
        "ж.ж.ж",
        " a.b.c",
        "a.b.c\n",
    ],
)
async def test_garbage_is_refused_without_asking_anyone(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, token: str
) -> None:
    assert await verifier.verify_token(token) is None
    assert seen.last in (Failure.MALFORMED, Failure.TYPE)
    assert not issuer.asked


async def test_padding_and_other_spellings_of_a_signature_are_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier
) -> None:
    token = issuer.token()
    last = token[-1]
    for changed in (token + "=", token + "==", token[:-1] + chr(ord(last) + 1), token[:-1] + "+", token + "A"):
        assert await verifier.verify_token(changed) is None


async def test_a_huge_token_is_refused_unread(issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen) -> None:
    assert await verifier.verify_token(issuer.token(padding="x" * 16_384)) is None
    assert await verifier.verify_token("a" * 10_000_000) is None
    assert seen.reasons == [Failure.TOO_LARGE] * 2
    assert await verifier.verify_token(issuer.token(padding="x" * 8_000))


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": None}, Failure.CLAIM_MISSING),
        ({"sub": None}, Failure.CLAIM_MISSING),
        ({"aud": None}, Failure.CLAIM_MISSING),
        ({"exp": None}, Failure.CLAIM_MISSING),
        ({"iss": "https://other.example"}, Failure.ISSUER),
        ({"aud": "https://other.example/mcp"}, Failure.AUDIENCE),
        ({"aud": AUDIENCE + "/"}, Failure.AUDIENCE),
        ({"aud": AUDIENCE.upper()}, Failure.AUDIENCE),
        ({"aud": []}, Failure.AUDIENCE),
        ({"aud": ["https://a.example", "https://b.example"]}, Failure.AUDIENCE),
        ({"aud": [AUDIENCE, 5]}, Failure.CLAIM_MALFORMED),
        ({"aud": {AUDIENCE: True}}, Failure.CLAIM_MALFORMED),
        ({"exp": NOW - 3_600}, Failure.EXPIRED),
        ({"exp": 0}, Failure.EXPIRED),
        ({"exp": -1}, Failure.CLAIM_MALFORMED),
        ({"exp": True}, Failure.CLAIM_MALFORMED),
        ({"exp": str(NOW + 300)}, Failure.CLAIM_MALFORMED),
        ({"exp": [NOW + 300]}, Failure.CLAIM_MALFORMED),
        ({"exp": 10**30}, Failure.CLAIM_MALFORMED),
        ({"exp": 1e300}, Failure.CLAIM_MALFORMED),
        ({"nbf": NOW + 3_600}, Failure.NOT_YET_VALID),
        ({"nbf": False}, Failure.CLAIM_MALFORMED),
        ({"iat": NOW + 3_600}, Failure.NOT_YET_VALID),
        ({"iat": "yesterday"}, Failure.CLAIM_MALFORMED),
        ({"sub": ""}, Failure.CLAIM_MALFORMED),
        ({"sub": 5}, Failure.CLAIM_MALFORMED),
        ({"sub": "x" * 2_000}, Failure.CLAIM_MALFORMED),
        ({"client_id": {"a": 1}}, Failure.CLAIM_MALFORMED),
        ({"scope": {"docker:read": 1}}, Failure.CLAIM_MALFORMED),
        ({"scp": [["docker:read"]]}, Failure.CLAIM_MALFORMED),
        ({"cnf": {"jkt": "abc"}}, Failure.SENDER_CONSTRAINED),
    ],
    ids=str,
)
async def test_claims_that_are_not_for_here_and_now_are_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, claims: dict[str, Any], reason: Failure
) -> None:
    assert await verifier.verify_token(issuer.token(**claims)) is None
    assert seen.reasons == [reason]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-Infinity"])
async def test_an_expiry_that_is_no_number_is_refused(
    issuer: AuthorizationServer, verifier: JwtVerifier, number: str
) -> None:
    payload = json.dumps(issuer.claims(exp="@")).replace('"@"', number).encode()
    assert await verifier.verify_token(sign(issuer.header(), payload, issuer.signer)) is None


async def test_the_issuer_is_compared_to_the_letter(issuer: AuthorizationServer, verifier: JwtVerifier) -> None:
    for other in (issuer.issuer + "/", issuer.issuer.upper(), issuer.issuer + "\u200b", issuer.issuer[:-1]):
        assert await verifier.verify_token(issuer.token(iss=other)) is None


async def test_clocks_may_differ_a_little(issuer: AuthorizationServer, open_verifier: Open, seen: Seen) -> None:
    noon = 2_000_000_000
    verifier = open_verifier(now=Clock(noon), clock_skew=60)
    usual: dict[str, Any] = {"iat": noon, "exp": noon + 9}
    for claims in ({"exp": noon - 59}, {"nbf": noon + 60}, {"iat": noon + 60}, {"nbf": noon + 59.5}):
        assert await verifier.verify_token(issuer.token(**usual | claims))
    for claims in ({"exp": noon - 60}, {"nbf": noon + 61}, {"iat": noon + 61}):
        assert await verifier.verify_token(issuer.token(**usual | claims)) is None
    assert seen.reasons == [Failure.EXPIRED, Failure.NOT_YET_VALID, Failure.NOT_YET_VALID]


async def test_clocks_may_differ_by_a_minute_where_nothing_else_is_said(
    issuer: AuthorizationServer, open_verifier: Open
) -> None:
    noon = 2_000_000_000
    verifier = open_verifier(now=Clock(noon))
    assert await verifier.verify_token(issuer.token(iat=noon, exp=noon - 59))
    assert await verifier.verify_token(issuer.token(iat=noon, exp=noon - 60)) is None


async def test_one_of_several_audiences_is_enough(issuer: AuthorizationServer, open_verifier: Open) -> None:
    verifier = open_verifier(audiences=("api://docker", AUDIENCE))
    access = await verified(verifier, issuer.token(aud=["https://other.example", AUDIENCE]))
    assert access.resource == AUDIENCE
    assert (await verified(verifier, issuer.token(aud="api://docker"))).resource == "api://docker"


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, ["a", "b"]),
        ({"scope": " a  b "}, ["a", "b"]),
        ({"scope": "a\u2003b\tc"}, ["a\u2003b\tc"]),
        ({"scope": ""}, []),
        ({"scope": ["a", "b"]}, ["a", "b"]),
        ({"scope": None}, []),
        ({"scope": None, "scp": "a b"}, ["a", "b"]),
        ({"scope": None, "scp": ["a", "b c"]}, ["a", "b c"]),
        ({"scope": "a", "scp": ["b"]}, ["a"]),
    ],
    ids=str,
)
async def test_scopes_come_from_scope_or_scp(
    issuer: AuthorizationServer, verifier: JwtVerifier, claims: dict[str, Any], scopes: list[str]
) -> None:
    assert (await verified(verifier, issuer.token(**claims))).scopes == scopes


async def test_the_client_is_the_authorized_party_where_no_client_id_is_claimed(
    issuer: AuthorizationServer, verifier: JwtVerifier
) -> None:
    assert (await verified(verifier, issuer.token(client_id=None, azp="portal"))).client_id == "portal"
    assert (await verified(verifier, issuer.token(client_id=None))).client_id == ""
