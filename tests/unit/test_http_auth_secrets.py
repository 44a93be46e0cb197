"""Tokens and secrets are never told, and nothing that a stranger sends is an exception."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker.http.auth import Failure, JwtVerifier, outbound
from mcp_docker.http.auth import keys as keys_module
from tests.unit.authorization_server import (
    AUDIENCE,
    BAD_ANSWERS,
    INTROSPECT,
    KEYS,
    AuthorizationServer,
    active,
    encoded,
    forged,
    plain,
    sign,
    sign_loosely,
)
from tests.unit.http_auth_fixtures import (
    PLANTED,
    SECRET,
    Ask,
    Clock,
    Open,
    Seen,
    anyio_backend,
    ask_about,
    clock,
    issuer,
    open_verifier,
    seen,
    told,
)

__all__ = ["anyio_backend", "ask_about", "clock", "issuer", "open_verifier", "seen", "told"]


async def test_tokens_and_secrets_are_never_told(
    issuer: AuthorizationServer, open_verifier: Open, ask_about: Ask, told: list[str], clock: Clock, seen: Seen
) -> None:
    good = issuer.token(jti=PLANTED)
    bad = [
        sign_loosely(issuer, kid=PLANTED),
        sign_loosely(issuer, jku=f"https://{PLANTED}.example"),
        sign_loosely(issuer, alg=PLANTED),
        sign_loosely(issuer, typ=PLANTED),
        issuer.token(iss=PLANTED),
        issuer.token(aud=PLANTED),
        issuer.token(exp=PLANTED),
        issuer.token(sub={"a": PLANTED}),
        issuer.token(exp=1, jti=PLANTED),
        forged(issuer.header(), {"jti": PLANTED}),
        f"{PLANTED}.{PLANTED}.{PLANTED}",
        PLANTED * 1_000,
        PLANTED + "\r\n",
    ]
    issuer.tokens |= {PLANTED + "good": active(issuer), PLANTED + "aud": active(issuer, aud=PLANTED)}
    opaque = [PLANTED + "bad", PLANTED + "aud", PLANTED + " "]
    signed, asking = open_verifier(), ask_about()
    shown = [repr(await signed.verify_token(good)), str(await asking.verify_token(PLANTED + "good"))]
    for verifier, tokens in ((signed, bad), (asking, opaque)):
        for token in tokens:
            assert await verifier.verify_token(token) is None
    for answer in (*BAD_ANSWERS.values(), plain(f'{{"{PLANTED}"'.encode())):
        issuer.answers |= dict.fromkeys((INTROSPECT, KEYS), answer)
        clock.now += 4_000
        assert await signed.verify_token(good) is None
        assert await asking.verify_token(PLANTED + "bad") is None
    secrets = [SECRET, quote_plus(SECRET), base64.b64encode(f"docker+server:{quote_plus(SECRET)}".encode()).decode()]
    everything = "\n".join([*told, *seen.reasons, repr(signed), repr(asking), str(vars(asking)), str(vars(signed))])
    assert all(f"a token was refused: {reason}\n" in everything for reason in seen.reasons)
    for secret in (*secrets, good, *(token for token in bad if len(token) > 40), *opaque):
        assert secret not in everything
        assert secret not in "".join(shown)
    assert PLANTED not in everything.replace(good, "")
    assert set(seen.reasons) <= {reason.value for reason in Failure}


async def test_a_fault_of_ours_refuses_and_tells_nothing(
    issuer: AuthorizationServer, open_verifier: Open, seen: Seen, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Any) -> Any:
        raise RuntimeError(PLANTED)

    monkeypatch.setattr(keys_module, "usable", crash)
    assert await open_verifier().verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.INTERNAL]
    assert "RuntimeError" in "".join(told)
    assert PLANTED not in "".join(told)


async def test_nobody_needs_to_hear_of_failures(open_verifier: Open) -> None:
    assert await open_verifier(on_failure=None).verify_token("x") is None


@pytest.fixture(scope="module")
def warm() -> Iterator[tuple[JwtVerifier, AuthorizationServer]]:
    """A verifier that holds its keys, and will ask nobody any more."""
    server = AuthorizationServer()
    reasons: list[str] = []
    verifier = JwtVerifier(
        server.issuer,
        AUDIENCE,
        jwks_url=server.jwks_uri,
        allow_loopback_http=True,
        clock=Clock(0),
        on_failure=reasons.append,
    )

    async def warm_up() -> None:
        assert await verifier.verify_token(server.token())
        assert await verifier.verify_token(server.token({"kid": "unknown"})) is None
        await verifier.aclose()

    anyio.run(warm_up)
    server.close()
    yield verifier, server
    assert Failure.INTERNAL not in reasons


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(token=st.text() | st.binary().map(lambda data: ".".join(encoded(data) for _ in range(3))))
def test_any_text_is_refused_without_an_exception(warm: tuple[JwtVerifier, AuthorizationServer], token: str) -> None:
    verifier, _ = warm
    assert anyio.run(verifier.verify_token, token) is None


@given(
    header=st.dictionaries(st.sampled_from("alg typ kid jku jwk crit b64 cty enc zip x5c x5t".split()), JSON),
    good=st.booleans(),
    payload=JSON,
    signature=st.binary(max_size=300),
)
def test_any_header_claims_and_signature_are_refused_without_an_exception(
    warm: tuple[JwtVerifier, AuthorizationServer], header: dict[str, Any], good: bool, payload: Any, signature: bytes
) -> None:
    verifier, server = warm
    whole = {**header, **server.header()} if good else header
    assert anyio.run(verifier.verify_token, forged(whole, payload, signature)) is None


@given(claims=st.dictionaries(st.sampled_from("iss sub aud exp nbf iat scope scp client_id azp cnf".split()), JSON))
def test_any_claims_that_are_well_signed_are_judged_without_an_exception(
    warm: tuple[JwtVerifier, AuthorizationServer], claims: dict[str, Any]
) -> None:
    verifier, server = warm
    token = sign(server.header(), json.dumps({**server.claims(), **claims}).encode(), server.signer)
    access = anyio.run(verifier.verify_token, token)
    if access is not None:
        whole = {**server.claims(), **claims}
        assert whole["iss"] == server.issuer
        assert AUDIENCE in whole["aud"]
        assert whole["exp"] + 61 > time.time()


@given(answer=st.dictionaries(st.sampled_from(["keys", "other"]), JSON | st.lists(JSON)))
def test_any_key_set_is_read_without_an_exception(answer: dict[str, Any]) -> None:
    if isinstance(answer.get("keys"), list):
        keys_module.usable(answer)
    else:
        with pytest.raises(outbound.Unavailable):
            keys_module.usable(answer)
