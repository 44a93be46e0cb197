"""An issuer's keys are found, checked and kept, whatever the place that has them does."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey, RSAKey

from mcp_docker.http.auth import Failure, JwtVerifier, outbound
from tests.unit.authorization_server import (
    AUDIENCE,
    BAD_ANSWERS,
    KEYS,
    METADATA,
    OPENID,
    Answer,
    AuthorizationServer,
    certificate,
    encoded,
    endless,
    hang_up,
    made,
    plain,
    redirect,
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
    told,
    verified,
    verifier,
)

__all__ = ["anyio_backend", "clock", "issuer", "open_verifier", "seen", "told", "verifier"]


async def test_without_a_key_id_the_only_fitting_key_is_taken(
    issuer: AuthorizationServer, open_verifier: Open, seen: Seen
) -> None:
    issuer.publish(made("ES256"), "curve")
    issuer.publish(made("RS256"), "first again")  # the same key once more
    assert await open_verifier().verify_token(issuer.token({"kid": None}))
    issuer.publish(made("RS256", 1), "second")
    assert await open_verifier().verify_token(issuer.token({"kid": None})) is None
    assert await open_verifier().verify_token(issuer.token({"kid": None, "alg": "ES512"}, made("ES512"))) is None
    assert seen.reasons == [Failure.UNKNOWN_KEY] * 2


async def test_a_key_that_was_rotated_in_is_found_and_one_rotated_out_is_gone(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen
) -> None:
    old = issuer.token()
    assert await verifier.verify_token(old)
    issuer.rotate(made("ES256"), "next")
    assert await verifier.verify_token(issuer.token({"alg": "ES256"}))
    assert await verifier.verify_token(old) is None
    assert seen.reasons == [Failure.UNKNOWN_KEY]
    assert issuer.counted(KEYS) == 2


@pytest.mark.parametrize("kid", ["next", None])
@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_a_key_that_can_not_be_looked_for_is_not_called_unknown(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock, seen: Seen, answer: Answer, kid: str | None
) -> None:
    old = issuer.token()
    assert await verifier.verify_token(old)
    issuer.rotate(made("ES256"), "next")
    issuer.answers[KEYS] = answer
    new = issuer.token({"alg": "ES256", "kid": kid})
    for _ in range(2):  # within 30 seconds it is asked for once
        assert await verifier.verify_token(new) is None
    assert seen.reasons == [Failure.UNAVAILABLE] * 2
    assert await verifier.verify_token(old)
    del issuer.answers[KEYS]
    clock.now += 30
    assert await verifier.verify_token(new)
    assert await verifier.verify_token(old) is None
    assert seen.last == Failure.UNKNOWN_KEY


async def test_unknown_key_ids_cause_one_fetch_in_30_seconds(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock
) -> None:
    assert await verifier.verify_token(issuer.token())
    for number in range(20):
        assert await verifier.verify_token(issuer.token({"kid": f"no {number}"})) is None
    assert issuer.counted(KEYS) == 2
    clock.now += 29
    assert await verifier.verify_token(issuer.token({"kid": "no"})) is None
    assert issuer.counted(KEYS) == 2
    clock.now += 1
    assert await verifier.verify_token(issuer.token({"kid": "no"})) is None
    assert issuer.counted(KEYS) == 3


async def test_unknown_key_ids_that_come_first_or_together_cause_one_fetch(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock
) -> None:
    async def knock(number: int) -> None:
        assert await verifier.verify_token(issuer.token({"kid": f"no {number}"})) is None

    for fetches in (1, 2):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(knock, number)
        assert issuer.counted(KEYS) == fetches
        clock.now += 30


async def test_fifty_first_requests_at_once_cause_one_fetch(issuer: AuthorizationServer, verifier: JwtVerifier) -> None:
    issuer.answers[KEYS] = issuer.held(issuer.usual(KEYS, {}))
    token = issuer.token()
    accepted: list[object] = []

    async def knock() -> None:
        accepted.append(await verified(verifier, token))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(knock)
            await anyio.to_thread.run_sync(issuer.waiting.wait)
            issuer.gate.set()
    assert len(accepted) == 50
    assert issuer.counted(KEYS) == 1


async def test_who_leaves_does_not_end_the_fetch_for_the_others(
    issuer: AuthorizationServer, verifier: JwtVerifier
) -> None:
    issuer.answers[KEYS] = issuer.held(issuer.usual(KEYS, {}))
    token = issuer.token()
    accepted: list[object] = []

    async def knock() -> None:
        accepted.append(await verified(verifier, token))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as patient, anyio.create_task_group() as leaving:
            leaving.start_soon(knock)
            await anyio.to_thread.run_sync(issuer.waiting.wait)
            patient.start_soon(knock)
            await anyio.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
            issuer.gate.set()
    assert len(accepted) == 1
    assert issuer.counted(KEYS) == 1


async def test_a_new_key_that_is_being_looked_for_is_waited_for_by_all_who_need_it(
    issuer: AuthorizationServer, verifier: JwtVerifier
) -> None:
    assert await verifier.verify_token(issuer.token())
    issuer.rotate(made("ES256"), "next")
    issuer.answers[KEYS] = issuer.held(issuer.usual(KEYS, {}))
    token = issuer.token({"alg": "ES256"})
    accepted: list[object] = []

    async def knock() -> None:
        accepted.append(await verified(verifier, token))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(knock)
            await anyio.to_thread.run_sync(issuer.waiting.wait)
            tasks.start_soon(knock)
            await anyio.wait_all_tasks_blocked()
            issuer.gate.set()
    assert len(accepted) == 2
    assert issuer.counted(KEYS) == 2


async def test_closing_ends_a_fetch(issuer: AuthorizationServer, verifier: JwtVerifier) -> None:
    issuer.answers[KEYS] = issuer.held(issuer.usual(KEYS, {}))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(verifier.verify_token, issuer.token())
            await anyio.to_thread.run_sync(issuer.waiting.wait)
            await verifier.aclose()
            tasks.cancel_scope.cancel()


async def test_keys_are_kept_for_ten_minutes(issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock) -> None:
    for seconds, fetches in ((0, 1), (600, 1), (1, 2), (599, 2)):
        clock.now += seconds
        assert await verifier.verify_token(issuer.token())
        assert issuer.counted(KEYS) == fetches


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_older_keys_serve_for_an_hour_while_there_is_no_good_answer(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock, seen: Seen, answer: Answer
) -> None:
    token = issuer.token()
    assert await verifier.verify_token(token)
    issuer.answers[KEYS] = answer
    for seconds in (601, 2_999):
        clock.now += seconds
        assert await verifier.verify_token(token)
    clock.now += 1
    assert await verifier.verify_token(token) is None
    assert seen.reasons == [Failure.UNAVAILABLE]
    del issuer.answers[KEYS]
    clock.now += 5
    assert await verifier.verify_token(token)
    assert not issuer.counted("/elsewhere")


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_without_keys_nothing_is_accepted(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock, seen: Seen, answer: Answer
) -> None:
    issuer.answers[KEYS] = answer
    for _ in range(3):
        assert await verifier.verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.UNAVAILABLE] * 3
    assert issuer.counted(KEYS) == 1
    del issuer.answers[KEYS]
    clock.now += 5
    assert await verifier.verify_token(issuer.token())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("error", "answered with status 500"),
        ("redirect", "answered with status 302"),
        ("huge", "answered with more than 262144 bytes"),
        ("nonsense", "can't be asked or understood (ValueError)"),
        ("no keys", "answered with something that is no key set"),
        ("packed", "answered in a content encoding that was not asked for"),
    ],
)
async def test_the_log_says_why_there_are_no_keys(
    issuer: AuthorizationServer, verifier: JwtVerifier, told: list[str], name: str, words: str
) -> None:
    issuer.answers[KEYS] = BAD_ANSWERS[name]
    assert await verifier.verify_token(issuer.token()) is None
    sentence = f"the keys of the authorization server are not to be had: it {words}\n"
    assert [line for line in told if "not to be had" in line and line.endswith(sentence)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain({}, 404), "answered with status 404"),
        (plain({"issuer": "https://other.example"}), "has metadata of another issuer"),
        (None, "names keys that are elsewhere: set their address if that is meant"),
    ],
)
async def test_the_log_says_why_metadata_lead_to_no_keys(
    issuer: AuthorizationServer, open_verifier: Open, told: list[str], answer: Answer | None, words: str
) -> None:
    userinfo = issuer.jwks_uri.replace("://", "://user@")  # the issuer's own origin, but no address to ask
    elsewhere = plain({"issuer": issuer.issuer, "jwks_uri": userinfo})
    issuer.answers |= dict.fromkeys((METADATA, OPENID), answer or elsewhere)
    assert await open_verifier(jwks_url=None).verify_token(issuer.token()) is None
    assert any(line.endswith(f"not to be had: it {words}\n") for line in told)
    assert not issuer.counted(KEYS)


def test_the_same_server_is_told_by_scheme_host_and_port() -> None:
    def same(one: str, other: str) -> bool:
        return outbound.origin(urlsplit(one)) == outbound.origin(urlsplit(other))

    assert same("https://issuer.example/a", "https://issuer.example:443/b")
    assert same("http://localhost/a", "http://LOCALHOST:80/b")
    assert not same("https://issuer.example", "https://issuer.example:80")
    assert not same("https://issuer.example", "https://issuer.example:8443")
    assert not same("https://issuer.example", "http://issuer.example")
    assert not same("https://issuer.example", "https://other.example")


async def test_an_endpoint_that_fails_is_left_alone_for_a_while(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock
) -> None:
    assert await verifier.verify_token(issuer.token())
    issuer.answers[KEYS] = hang_up
    clock.now += 601
    for _ in range(5):
        assert await verifier.verify_token(issuer.token())
    assert issuer.counted(KEYS) == 2
    clock.now += 30
    assert await verifier.verify_token(issuer.token())
    assert issuer.counted(KEYS) == 3


async def test_a_slow_endpoint_is_waited_for_no_longer_than_the_limit(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 0.2)
    issuer.answers[KEYS] = issuer.held(hang_up)
    with anyio.fail_after(15):
        assert await verifier.verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.UNAVAILABLE]
    assert any("took too long" in line or "did not answer within" in line for line in told)


async def test_an_endpoint_that_drips_is_waited_for_no_longer_than_the_limit(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not issuer.gate.wait(0.05):
            handler.wfile.write(b" ")

    monkeypatch.setattr(outbound, "SECONDS", 0.3)
    issuer.answers[KEYS] = drip
    with anyio.fail_after(15):
        assert await verifier.verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.UNAVAILABLE]


async def test_an_empty_set_withdraws_all_keys(
    issuer: AuthorizationServer, verifier: JwtVerifier, clock: Clock, seen: Seen
) -> None:
    assert await verifier.verify_token(issuer.token())
    issuer.published.clear()
    clock.now += 601
    assert await verifier.verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.UNKNOWN_KEY]


def weak() -> RSAKey:
    with pytest.warns(SecurityWarning):
        return RSAKey.generate_key(1024)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: {**key, "use": "enc"},
        lambda key: {**key, "key_ops": ["sign"]},
        lambda key: {**key, "key_ops": ["dance"]},
        lambda key: {**key, "use": "sig", "key_ops": ["encrypt"]},
        lambda key: {**key, "use": ["sig"]},
        lambda key: {**key, "kty": "oct", "k": "c2VjcmV0"},
        lambda key: {**key, "kty": "AKP"},
        lambda key: {**key, "kty": ["RSA"]},
        lambda key: {**key, "kty": "EC"},
        lambda key: {**key, "kid": 5},
        lambda key: {**key, "n": key["n"][:-8]},
        lambda key: {**key, "n": 5},
        lambda key: {**key, "n": "A" * 2_000},
        lambda key: {**key, "n": "A" * 342},
        lambda key: {**key, "n": "A" * 100 + "_" + "B" * 300},
        lambda key: {**key, "n": "é" * 342},
        lambda key: {**key, "e": "AQ"},
        lambda key: {**key, "e": encoded(bytes(60) + b"\x01\x00\x01")},
        lambda key: {**key, "e": None},
        lambda key: {name: value for name, value in key.items() if name != "n"},
        lambda _: {**made("RS256").as_dict(private=True), "kid": "first"},
        lambda _: {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "first"},
        lambda _: {**weak().as_dict(private=False), "kid": "first"},
        lambda _: "first",
        lambda _: None,
    ],
)
async def test_a_key_that_will_not_do_is_passed_over(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    issuer.published[:] = [spoil(dict(issuer.published[0]))]
    issuer.publish(made("ES256"), "curve")
    assert await verifier.verify_token(issuer.token({"alg": "ES256"}))
    assert await verifier.verify_token(issuer.token({"kid": "first"}, made("RS256"))) is None
    assert seen.last == Failure.UNKNOWN_KEY


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_a_short_key_is_passed_over_however_it_is_written(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen
) -> None:
    short = weak()
    entry = short.as_dict(private=False)
    numbers = short.public_key.public_numbers()
    issuer.rotate(short, "short", n=encoded(bytes(128) + numbers.n.to_bytes(128, "big")))
    assert entry["n"] != issuer.published[0]["n"]
    assert await verifier.verify_token(issuer.token()) is None
    assert seen.last == Failure.UNKNOWN_KEY


async def test_an_answer_is_read_no_further_than_the_limit(
    issuer: AuthorizationServer, verifier: JwtVerifier, told: list[str]
) -> None:
    issuer.answers[KEYS] = endless
    assert await verifier.verify_token(issuer.token()) is None
    assert any("answered with more than 262144 bytes" in line for line in told)


async def test_no_more_than_64_keys_are_read(issuer: AuthorizationServer, verifier: JwtVerifier) -> None:
    issuer.published.clear()
    for number in range(65):
        issuer.publish(made("ES256"), f"k{number}")
    assert await verifier.verify_token(issuer.token({"alg": "ES256", "kid": "k63"}))
    assert await verifier.verify_token(issuer.token({"alg": "ES256", "kid": "k64"})) is None


async def test_a_key_id_with_two_different_keys_is_no_ones(
    issuer: AuthorizationServer, verifier: JwtVerifier, seen: Seen
) -> None:
    issuer.publish(made("RS256", 1), "first")
    assert await verifier.verify_token(issuer.token()) is None
    assert seen.last == Failure.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("", [METADATA]),
        ("", [OPENID]),
        ("/realms/a", [METADATA + "/realms/a"]),
        ("/realms/a", [OPENID + "/realms/a"]),
        ("/realms/a", ["/realms/a" + OPENID]),
        ("/", [OPENID]),
        ("/realms/a/", [METADATA + "/realms/a"]),
    ],
)
async def test_keys_are_found_by_the_issuers_metadata(clock: Clock, path: str, places: list[str]) -> None:
    server = AuthorizationServer(path=path)
    server.answers[METADATA + path] = plain({}, 404)
    for place in places:
        server.answers[place] = plain({"issuer": server.issuer, "jwks_uri": server.jwks_uri})
    verifier = JwtVerifier(server.issuer, AUDIENCE, allow_loopback_http=True, clock=clock)
    try:
        assert await verifier.verify_token(server.token())
        assert all(server.counted(place) == 1 for place in places)
    finally:
        await verifier.aclose()
        server.close()


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"issuer": "https://other.example"},
        {"jwks_uri": None},
        {"jwks_uri": 5},
        {"jwks_uri": "https://attacker.example/keys"},
        {"jwks_uri": "http://127.0.0.1:1/keys"},
        {"jwks_uri": "http://localhost/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://[::1/keys"},
        {"jwks_uri": "http://user:word@127.0.0.1/keys"},
    ],
    ids=str,
)
async def test_metadata_that_points_elsewhere_are_not_followed(
    issuer: AuthorizationServer, open_verifier: Open, seen: Seen, metadata: dict[str, Any]
) -> None:
    whole = {"issuer": issuer.issuer, "jwks_uri": issuer.jwks_uri, **metadata} if metadata else {}
    issuer.answers[METADATA] = plain(whole)
    assert await open_verifier(jwks_url=None).verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.UNAVAILABLE]
    assert not issuer.counted(KEYS)


async def test_keys_at_another_port_are_not_the_issuers(
    issuer: AuthorizationServer, open_verifier: Open, seen: Seen
) -> None:
    other = AuthorizationServer()
    try:
        issuer.jwks_uri = other.jwks_uri
        assert await open_verifier(jwks_url=None).verify_token(issuer.token()) is None
        assert not other.asked
        assert seen.reasons == [Failure.UNAVAILABLE]
        assert await open_verifier(jwks_url=other.jwks_uri).verify_token(issuer.token())  # as the operator says
    finally:
        other.close()


async def test_no_metadata_means_no_keys(issuer: AuthorizationServer, open_verifier: Open, seen: Seen) -> None:
    issuer.answers[METADATA] = redirect(issuer.url + OPENID)
    assert await open_verifier(jwks_url=None).verify_token(issuer.token()) is None
    assert seen.reasons == [Failure.UNAVAILABLE]
    assert [asked.path for asked in issuer.asked] == [METADATA, OPENID]


async def test_all_requests_of_a_search_have_one_time_limit(
    issuer: AuthorizationServer, open_verifier: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 2.0)
    issuer.answers |= dict.fromkeys((METADATA, OPENID), issuer.held(hang_up))
    with anyio.fail_after(10):
        assert await open_verifier(jwks_url=None).verify_token(issuer.token()) is None
    assert [asked.path for asked in issuer.asked] == [METADATA]


@pytest.mark.parametrize(
    "options",
    [
        {"jwks_url": "http://issuer.example/keys"},
        {"jwks_url": "http://127.0.0.1/keys", "allow_loopback_http": False},
        {"jwks_url": "http://127.0.0.1.attacker.example/keys"},
        {"jwks_url": "http://localhost.attacker.example/keys"},
        {"jwks_url": "ftp://127.0.0.1/keys"},
        {"jwks_url": "file:///keys"},
        {"jwks_url": "//issuer.example/keys"},
        {"jwks_url": "https:///keys"},
        {"jwks_url": "https://user:word@issuer.example/keys"},
        {"jwks_url": "https://issuer.example/keys#fragment"},
        {"jwks_url": "https://issuer.example:port/keys"},
        {"jwks_url": None, "issuer": "http://issuer.example"},
        {"jwks_url": None, "issuer": "issuer"},
        {"jwks_url": None, "issuer": "https://issuer.example/?tenant=a"},
        {"issuer": ""},
        {"audiences": []},
        {"audiences": ""},
        {"audiences": [AUDIENCE, ""]},
        {"clock_skew": -1},
        {"clock_skew": 3_600},
        {"clock_skew": float("nan")},
    ],
    ids=str,
)
def test_settings_that_are_not_safe_are_refused(options: dict[str, Any]) -> None:
    usual = {"issuer": "https://issuer.example", "audiences": [AUDIENCE], "allow_loopback_http": True}
    with pytest.raises(ValueError, match=r"\w"):
        JwtVerifier(**{**usual, **options})


@pytest.mark.parametrize(
    ("url", "loopback", "words"),
    [
        ("http://issuer.example/keys", True, "the address of the authorization server is not https"),
        ("http://127.0.0.1/keys", False, "the address of the authorization server is not https"),
        ("ftp://127.0.0.1/keys", True, "the address of the authorization server is not https"),
        ("https:///keys", True, "has no host, or has a user or a fragment"),
        ("https://user@issuer.example/keys", True, "has no host, or has a user or a fragment"),
        ("https://:word@issuer.example/keys", True, "has no host, or has a user or a fragment"),
        ("https://issuer.example/keys#x", True, "has no host, or has a user or a fragment"),
    ],
)
def test_an_address_that_is_not_asked_is_refused_saying_why(url: str, loopback: bool, words: str) -> None:
    with pytest.raises(ValueError, match=f"{words}$"):
        outbound.checked(url, allow_loopback_http=loopback)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"audiences": []}, "an audience is needed, or every token of the issuer would do"),
        ({"audiences": [AUDIENCE, ""]}, "an audience is needed, or every token of the issuer would do"),
        ({"issuer": "", "jwks_url": "https://issuer.example/keys"}, "the issuer is blank"),
        ({"clock_skew": -1}, "the clock skew is between 0 and 600 seconds"),
        ({"clock_skew": 601}, "the clock skew is between 0 and 600 seconds"),
        ({"issuer": "https://issuer.example?a=b"}, "the issuer has a query, so its metadata can't be found"),
    ],
    ids=str,
)
def test_a_setting_that_is_not_safe_is_refused_saying_why(options: dict[str, Any], words: str) -> None:
    usual = {"issuer": "https://issuer.example", "audiences": [AUDIENCE]}
    with pytest.raises(ValueError, match=f"^{words}$"):
        JwtVerifier(**{**usual, **options})


@pytest.mark.parametrize("skew", [0, 600])
def test_the_clock_skew_may_be_none_and_ten_minutes(skew: float) -> None:
    assert JwtVerifier("https://issuer.example", AUDIENCE, clock_skew=skew)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_http_is_for_loopback_alone(host: str) -> None:
    assert outbound.checked(f"http://{host}:8080/keys", allow_loopback_http=True)


async def test_certificates_are_checked(tmp_path: Path, clock: Clock, seen: Seen, told: list[str]) -> None:
    trusted = certificate(tmp_path)
    server = AuthorizationServer(tls=trusted)
    token = server.token()
    context = ssl.create_default_context(cafile=trusted)
    trusting = JwtVerifier(server.issuer, AUDIENCE, tls=context, clock=clock, on_failure=seen)
    doubting = JwtVerifier(server.issuer, AUDIENCE, clock=clock, on_failure=seen)
    try:
        assert await trusting.verify_token(token)
        assert await doubting.verify_token(token) is None
    finally:
        await trusting.aclose()
        await doubting.aclose()
        server.close()
    assert seen.reasons == [Failure.UNAVAILABLE]
    assert any("can't be reached" in line and "certificate" in line.lower() for line in told)


async def test_a_server_that_is_not_there_is_no_key(open_verifier: Open, issuer: AuthorizationServer) -> None:
    issuer.close()
    assert await open_verifier().verify_token(issuer.token()) is None
