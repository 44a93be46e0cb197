"""The authorization server is asked about opaque tokens, and only a clear yes counts."""

import base64
import re
import time
from typing import Any
from urllib.parse import quote_plus

import anyio
import pytest
from mcp.server.auth.provider import principal_components

from mcp_docker.http.auth import Failure, IntrospectionVerifier, outbound
from tests.unit.authorization_server import (
    AUDIENCE,
    BAD_ANSWERS,
    INTROSPECT,
    Answer,
    AuthorizationServer,
    active,
    hang_up,
)
from tests.unit.http_auth_fixtures import (
    SECRET,
    Ask,
    Clock,
    Seen,
    anyio_backend,
    ask_about,
    clock,
    issuer,
    seen,
    told,
    verified,
)

__all__ = ["anyio_backend", "ask_about", "clock", "issuer", "seen", "told"]


NOW = int(time.time())


async def test_an_active_token_is_accepted_and_we_say_who_asks(
    issuer: AuthorizationServer, ask_about: Ask, seen: Seen
) -> None:
    issuer.tokens["opaque"] = active(issuer, token_type="Bearer", username="Alice")
    access = await verified(ask_about(), "opaque")
    assert (access.subject, access.client_id, access.scopes) == ("alice", "inspector", ["docker:read", "docker:write"])
    assert access.resource == AUDIENCE
    assert access.claims is not None
    assert access.claims["iss"] == issuer.issuer
    (asked,) = issuer.asked
    assert asked.method == "POST"
    assert asked.form == {"token": "opaque", "token_type_hint": "access_token"}
    usual = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mcp-docker"}
    assert usual.items() <= asked.headers.items()
    scheme, _, credentials = asked.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(credentials).decode() == f"docker+server:{quote_plus(SECRET)}"
    assert not seen.reasons


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"active": False}, Failure.INACTIVE),
        ({"active": "true"}, Failure.INACTIVE),
        ({"active": 1}, Failure.INACTIVE),
        ({"active": None}, Failure.INACTIVE),
        ({"aud": None}, Failure.CLAIM_MALFORMED),
        ({"aud": ["https://other.example"]}, Failure.AUDIENCE),
        ({"iss": "https://other.example"}, Failure.ISSUER),
        ({"exp": NOW - 3_600}, Failure.EXPIRED),
        ({"exp": "soon"}, Failure.CLAIM_MALFORMED),
        ({"nbf": NOW + 3_600}, Failure.NOT_YET_VALID),
        ({"token_type": "DPoP"}, Failure.SENDER_CONSTRAINED),
        ({"cnf": {"x5t#S256": "abc"}}, Failure.SENDER_CONSTRAINED),
        ({"sub": None, "client_id": None}, Failure.CLAIM_MISSING),
    ],
    ids=str,
)
async def test_an_answer_that_is_not_for_here_and_now_is_a_no(
    issuer: AuthorizationServer, ask_about: Ask, seen: Seen, changes: dict[str, Any], reason: Failure
) -> None:
    issuer.tokens["opaque"] = {**active(issuer), **changes}
    verifier = ask_about(issuer=issuer.issuer)
    for _ in range(2):
        assert await verifier.verify_token("opaque") is None
    assert seen.reasons == [reason] * 2
    assert issuer.counted(INTROSPECT) == 1


async def test_an_answer_without_an_audience_is_a_no(issuer: AuthorizationServer, ask_about: Ask, seen: Seen) -> None:
    issuer.tokens["opaque"] = active(issuer, aud=None)
    assert await ask_about().verify_token("opaque") is None
    assert seen.reasons == [Failure.CLAIM_MISSING]


async def test_an_answer_may_leave_out_what_is_optional(issuer: AuthorizationServer, ask_about: Ask) -> None:
    issuer.tokens["opaque"] = {"active": True, "aud": AUDIENCE, "sub": "alice"}
    access = await verified(ask_about(issuer=issuer.issuer), "opaque")
    assert (access.expires_at, access.scopes) == (None, [])
    assert principal_components(access) == ("", issuer.issuer, "alice")
    issuer.tokens["service"] = {"active": True, "aud": AUDIENCE, "client_id": "robot", "exp": None}
    access = await verified(ask_about(), "service")
    assert principal_components(access) == ("robot", None, None)


async def test_an_answer_is_believed_for_30_seconds(issuer: AuthorizationServer, ask_about: Ask, clock: Clock) -> None:
    issuer.tokens["opaque"] = active(issuer)
    verifier = ask_about()
    for seconds, asked in ((0, 1), (29, 1), (1, 2)):
        clock.now += seconds
        assert (await verified(verifier, "opaque")).token == "opaque"
        assert issuer.counted(INTROSPECT) == asked
    issuer.tokens["opaque"] = {"active": False}
    clock.now += 30
    assert await verifier.verify_token("opaque") is None


async def test_a_no_is_believed_for_5_seconds(issuer: AuthorizationServer, ask_about: Ask, clock: Clock) -> None:
    verifier = ask_about()
    assert await verifier.verify_token("opaque") is None
    issuer.tokens["opaque"] = active(issuer)
    clock.now += 4
    assert await verifier.verify_token("opaque") is None
    clock.now += 1
    assert await verifier.verify_token("opaque")


async def test_an_answer_is_not_believed_beyond_the_tokens_end(
    issuer: AuthorizationServer, ask_about: Ask, clock: Clock, seen: Seen
) -> None:
    noon = Clock(2_000_000_000)
    issuer.tokens["opaque"] = active(issuer, iat=noon.now, exp=noon.now + 10)
    verifier = ask_about(now=noon, clock_skew=0)
    assert await verifier.verify_token("opaque")
    clock.now += 9
    assert await verifier.verify_token("opaque")
    assert issuer.counted(INTROSPECT) == 1
    clock.now += 1
    assert await verifier.verify_token("opaque")
    assert issuer.counted(INTROSPECT) == 2
    noon.now += 10
    assert await verifier.verify_token("opaque") is None
    assert seen.reasons == [Failure.EXPIRED]


async def test_a_cache_of_no_seconds_asks_every_time(issuer: AuthorizationServer, ask_about: Ask) -> None:
    issuer.tokens["opaque"] = active(issuer)
    verifier = ask_about(cache_seconds=0)
    for _ in range(3):
        assert await verifier.verify_token("opaque")
    assert issuer.counted(INTROSPECT) == 3


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_endpoint_that_fails_means_no(
    issuer: AuthorizationServer, ask_about: Ask, seen: Seen, clock: Clock, answer: Answer
) -> None:
    issuer.tokens["opaque"] = active(issuer)
    verifier = ask_about()
    assert await verifier.verify_token("opaque")
    clock.now += 30
    issuer.answers[INTROSPECT] = answer
    assert await verifier.verify_token("opaque") is None
    assert seen.last in (Failure.UNAVAILABLE, Failure.INACTIVE)
    assert not issuer.counted("/elsewhere")
    del issuer.answers[INTROSPECT]
    clock.now += 5
    assert await verifier.verify_token("opaque")


async def test_an_outage_is_logged_once(issuer: AuthorizationServer, ask_about: Ask, told: list[str]) -> None:
    verifier = ask_about()
    for outage in (1, 2):
        issuer.answers[INTROSPECT] = hang_up
        for number in range(3):
            assert await verifier.verify_token(f"opaque{number}") is None
        warned = [line for line in told if "can't be asked about tokens" in line]
        assert len(warned) == outage
        sentence = (
            r" - the authorization server can't be asked about tokens: it can't be asked or understood \(\w+\)\n$"
        )
        assert re.search(sentence, warned[0])
        assert {asked.method for asked in issuer.asked} == {"POST"}
        del issuer.answers[INTROSPECT]
        assert await verifier.verify_token(f"after{outage}") is None


async def test_a_slow_introspection_is_waited_for_no_longer_than_the_limit(
    issuer: AuthorizationServer, ask_about: Ask, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 0.2)
    issuer.answers[INTROSPECT] = issuer.held(hang_up)
    with anyio.fail_after(15):
        assert await ask_about().verify_token("opaque") is None
    assert seen.reasons == [Failure.UNAVAILABLE]


async def test_one_question_at_a_time_is_asked_about_a_token(issuer: AuthorizationServer, ask_about: Ask) -> None:
    issuer.tokens |= {"one": active(issuer, sub="one"), "two": active(issuer, sub="two")}
    verifier = ask_about()
    subjects: list[str | None] = []

    async def knock(token: str) -> None:
        subjects.append((await verified(verifier, token)).subject)

    async with anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(knock, "one")
            tasks.start_soon(knock, "two")
    assert sorted(filter(None, subjects)) == ["one"] * 25 + ["two"] * 25
    assert issuer.counted(INTROSPECT) == 2


async def test_the_longest_token_is_asked_about(issuer: AuthorizationServer, ask_about: Ask) -> None:
    issuer.tokens["x" * 16_384] = active(issuer)
    assert await ask_about().verify_token("x" * 16_384)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "é", "=", "x" * 16_385])
async def test_what_can_be_no_bearer_token_is_not_asked_about(
    issuer: AuthorizationServer, ask_about: Ask, seen: Seen, token: str
) -> None:
    assert await ask_about().verify_token(token) is None
    assert seen.reasons == [Failure.TOO_LARGE if len(token) > 16_384 else Failure.MALFORMED]
    assert not issuer.asked


def test_introspection_is_not_asked_over_http() -> None:
    for url in ("http://issuer.example/introspect", "https://a:b@issuer.example/introspect"):
        with pytest.raises(ValueError, match="the address of the authorization server") as refused:
            IntrospectionVerifier(url, "id", SECRET, [AUDIENCE], allow_loopback_http=True)
        assert SECRET not in str(refused.value)
    with pytest.raises(ValueError, match=r"is not https$"):
        IntrospectionVerifier("http://127.0.0.1/introspect", "id", SECRET, [AUDIENCE])


async def test_the_clock_of_the_server_that_is_asked_may_differ_by_a_minute(
    issuer: AuthorizationServer, ask_about: Ask
) -> None:
    noon = 2_000_000_000
    issuer.tokens |= {"late": active(issuer, iat=noon, exp=noon - 59), "over": active(issuer, iat=noon, exp=noon - 60)}
    verifier = ask_about(now=Clock(noon))
    assert await verifier.verify_token("late")
    assert await verifier.verify_token("over") is None
