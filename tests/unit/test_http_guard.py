"""Nothing reaches the application that breaks the rules, and no answer goes without its headers."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_docker.errors import RateLimited
from mcp_docker.http.clients import networks
from mcp_docker.http.guard import REFUSALS, Guard, Names, Rules, request_id, too_many

PAGE = "https://app.example.com"
HOSTS = Names(["mcp.example.com", "localhost:*", "[::1]:8000"])
ORIGINS = Names([PAGE, "http://localhost:*"], origins=True)
RULES = Rules(HOSTS, ORIGINS)
NEVER = object()
"""A part of a body that never comes."""


@dataclass
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    ended: bool
    seen: list[Scope] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        (value,) = (value for key, value in self.headers if key == name)
        return value

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.headers)

    @property
    def error(self) -> str:
        assert self["content-type"] == "application/json"
        assert int(self["content-length"]) == len(self.body)
        error: str = json.loads(self.body)["error"]
        return error


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers with what it was sent."""
    request = Request(scope, receive)
    await PlainTextResponse(await request.body() or b"-", headers={"server-timing": "1"})(scope, receive, send)


def ask(
    *headers: tuple[str, str],
    rules: Rules = RULES,
    app: ASGIApp = echo,
    body: Sequence[Any] = (b"",),
    refused: Any = None,
    **scope: Any,
) -> Reply:
    """Send one request, whose Host is right unless it is given, and see what comes back."""
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"host" for name, _ in sent):
        sent.insert(0, (b"host", b"mcp.example.com"))
    whole: Scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/mcp",
        "query_string": b"",
        "client": ("203.0.113.9", 4711),
        "headers": [(name, value) for name, value in sent if value != b"(none)"],
        **scope,
    }
    parts = list(body)
    came: list[Message] = []
    seen: list[Scope] = []

    async def receive() -> Message:
        if body == ():
            return {"type": "http.disconnect"}
        part = parts.pop(0) if parts else NEVER
        if part is NEVER:
            await anyio.sleep_forever()
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        came.append(message)

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await app(scope, receive, send)

    async def exchange() -> None:
        with anyio.fail_after(10):
            await Guard(noted, rules, refused)(whole, receive, send)

    anyio.run(exchange)
    start, *rest = came
    assert start["type"] == "http.response.start"
    assert {message["type"] for message in rest} == {"http.response.body"}
    text = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
    body_sent = b"".join(message.get("body", b"") for message in rest)
    return Reply(start["status"], text, body_sent, not rest[-1].get("more_body"), seen)


def test_a_request_that_keeps_the_rules_reaches_the_application() -> None:
    reply = ask(body=[b"he", b"llo"])
    assert (reply.status, reply.body, reply["server-timing"]) == (200, b"hello", "1")


@pytest.mark.parametrize(
    "host",
    [
        "mcp.example.com",
        "MCP.Example.COM",
        "mcp.example.com.",
        "mcp.example.com:443",
        "mcp.example.com.:80",
        "localhost",
        "localhost:8000",
        "localhost:1",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
    ],
)
def test_the_host_may_be_written_in_any_usual_way(host: str) -> None:
    assert ask(("host", host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "(none)",
        "",
        "evil.example.com",
        "mcp.example.com:8000",
        "mcp.example.com:*",
        "localhost:*",
        "localhost:",
        "localhost:70000",
        "localhost:8000:8000",
        "localhost.evil.com",
        "evil.com#localhost",
        "user@localhost",
        "http://localhost",
        "localhost..",
        "[::1]",
        "[::1]:8001",
        "[::g]:8000",
        "[:::]:8000",
        "::1",
        "mcp.example.com, evil.com",
        "localhost\u00e9",
        "localhost:" + "8" * 400,
    ],
)
def test_any_other_host_is_misdirected(host: str) -> None:
    reply = ask(("host", host))
    assert (reply.status, reply.error, reply.seen) == (421, "host_not_allowed", [])


def test_two_hosts_are_misdirected() -> None:
    assert ask(("host", "localhost"), ("host", "localhost")).status == 421


@pytest.mark.parametrize("origin", [PAGE, "https://APP.example.com:443", "http://localhost:3000", "http://localhost"])
def test_a_page_that_is_allowed_may_read_the_answer(origin: str) -> None:
    reply = ask(("origin", origin))
    assert reply.status == 200
    assert reply["access-control-allow-origin"] == origin
    assert "mcp-session-id" in reply["access-control-expose-headers"]
    assert "www-authenticate" in reply["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in reply


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.com",
        "https://app.example.com/",
        "app.example.com",
        "https://user@app.example.com",
        "file://",
        "http://localhost:*",
    ],
)
def test_any_other_page_is_refused(origin: str) -> None:
    reply = ask(("origin", origin))
    assert (reply.status, reply.error, reply.seen) == (403, "origin_not_allowed", [])
    assert "access-control-allow-origin" not in reply


def test_two_origins_are_refused() -> None:
    assert ask(("origin", PAGE), ("origin", PAGE)).status == 403


def test_null_and_the_pages_of_editors_can_be_listed() -> None:
    rules = Rules(HOSTS, Names(["null", "vscode-webview://0abc"], origins=True))
    for origin in ("null", "vscode-webview://0abc"):
        assert ask(("origin", origin), rules=rules)["access-control-allow-origin"] == origin


def test_without_an_origin_there_is_no_cors_but_caches_are_told_of_it() -> None:
    reply = ask()
    assert not [name for name, _ in reply.headers if name.startswith("access-control")]
    assert reply["vary"] == "Origin"


def test_a_preflight_is_answered_without_the_application() -> None:
    reply = ask(("origin", PAGE), ("access-control-request-method", "POST"), method="OPTIONS")
    assert (reply.status, reply.body, reply.seen) == (204, b"", [])
    assert reply["access-control-allow-origin"] == PAGE
    assert reply["access-control-allow-methods"] == "GET, POST, DELETE, OPTIONS"
    named = reply["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "mcp-protocol-version", "mcp-session-id", "last-event-id"} <= set(named)


def test_a_preflight_from_another_page_is_refused() -> None:
    reply = ask(("origin", "https://evil.com"), ("access-control-request-method", "POST"), method="OPTIONS")
    assert reply.status == 403
    assert "access-control-allow-methods" not in reply


def test_options_that_is_no_preflight_goes_to_the_application() -> None:
    assert ask(("origin", PAGE), method="OPTIONS").seen


@pytest.mark.parametrize("host", ["mcp.example.com", "evil.com"])
def test_every_answer_carries_security_headers(host: str) -> None:
    reply = ask(("host", host))
    assert reply["x-content-type-options"] == "nosniff"
    assert reply["cache-control"] == "no-store"
    assert reply["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert reply["referrer-policy"] == "no-referrer"
    assert reply["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in reply


def test_the_application_decides_on_caching_but_not_on_security() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"cache-control": "public", "X-Frame-Options": "ALLOWALL", "vary": "Accept"}
        await PlainTextResponse("", headers=headers)(scope, receive, send)

    reply = ask(app=app)
    assert (reply["cache-control"], reply["x-frame-options"]) == ("public", "DENY")
    assert [value for name, value in reply.headers if name == "vary"] == ["Accept", "Origin"]


def test_https_is_kept_to_once_it_was_used() -> None:
    assert ask(scheme="https")["strict-transport-security"].startswith("max-age=")


def test_a_trusted_proxy_tells_address_and_scheme() -> None:
    rules = Rules(HOSTS, trusted=networks(["10.0.0.0/8"]))
    headers = ("x-forwarded-for", "192.0.2.66, 198.51.100.1"), ("x-forwarded-proto", "https")
    reply = ask(*headers, rules=rules, client=("10.0.0.1", 4711))
    assert (reply.seen[0]["client"], reply.seen[0]["scheme"]) == (("198.51.100.1", 0), "https")
    assert "strict-transport-security" in reply
    reply = ask(*headers, rules=rules)
    assert (reply.seen[0]["client"], reply.seen[0]["scheme"]) == (("203.0.113.9", 0), "http")
    assert ask(client=None).seen[0]["client"] is None


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("192.0.2.7", 1), 200),
        (("::ffff:192.0.2.7", 1), 200),
        (("2001:db8::1", 1), 200),
        (("192.0.3.7", 1), 403),
        (None, 403),
    ],
)
def test_clients_from_elsewhere_are_refused(client: tuple[str, int] | None, status: int) -> None:
    rules = Rules(HOSTS, clients=networks(["192.0.2.0/24", "2001:db8::/32"]))
    assert ask(rules=rules, client=client).status == status


def test_an_empty_list_of_clients_lets_nobody_in() -> None:
    assert ask(rules=Rules(HOSTS, clients=())).error == "client_not_allowed"


def test_too_many_or_too_long_headers_are_refused() -> None:
    rules = Rules(HOSTS, headers=10, head_bytes=1_000)
    assert ask(*[(f"x-{number}", "") for number in range(9)], rules=rules).status == 200
    assert ask(*[(f"x-{number}", "") for number in range(10)], rules=rules).error == "headers_too_large"
    assert ask(("x", "y" * 1_000), rules=rules).status == 431
    assert ask(path="/" + "y" * 1_000, rules=rules).status == 431
    assert ask(query_string=b"y" * 1_000, rules=rules).status == 431


SMALL = Rules(HOSTS, ORIGINS, body_bytes=10)


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    reply = ask(("content-length", "11"), rules=SMALL, body=[NEVER])
    assert (reply.status, reply.error, reply["connection"], reply.seen) == (413, "body_too_large", "close", [])
    assert ask(("content-length", "10"), rules=SMALL, body=[b"0123456789"]).status == 200


def test_a_body_that_grows_too_large_is_refused_while_it_comes() -> None:
    reply = ask(("origin", PAGE), rules=SMALL, body=[b"01234", b"56789", b"0", NEVER])
    assert (reply.status, reply.error) == (413, "body_too_large")
    assert reply["access-control-allow-origin"] == PAGE
    assert ask(rules=SMALL, body=[b"01234", b"56789"]).body == b"0123456789"


def test_a_body_that_lies_about_its_length_is_counted_all_the_same() -> None:
    assert ask(("content-length", "1"), rules=SMALL, body=[b"0" * 11]).status == 413


@pytest.mark.parametrize("lengths", [["-1"], ["1e3"], ["0x10"], ["9" * 19], [""], ["1", "2"], ["1", "1"]])
def test_a_length_that_is_no_number_is_refused(lengths: list[str]) -> None:
    reply = ask(*[("content-length", length) for length in lengths])
    assert (reply.status, reply.error) == (400, "invalid_length")


def test_two_ways_to_say_the_length_are_refused() -> None:
    assert ask(("content-length", "5"), ("transfer-encoding", "chunked")).error == "invalid_length"
    assert ask(("transfer-encoding", "chunked")).status == 200


@pytest.mark.parametrize("path", ["http://evil.com/mcp", "*", ""])
def test_a_target_that_is_no_path_is_refused(path: str) -> None:
    reply = ask(path=path, method="OPTIONS")
    assert (reply.status, reply.error, reply.seen) == (400, "invalid_target", [])


def test_a_body_that_comes_too_slowly_is_refused() -> None:
    rules = Rules(HOSTS, body_seconds=0.05)
    reply = ask(rules=rules, body=[b"0", NEVER])
    assert (reply.status, reply.error, reply["connection"]) == (408, "body_too_slow", "close")


def test_what_lasts_after_the_body_has_come_is_not_hurried() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.move_on_after(0.2) as waited:
            await receive()
        await PlainTextResponse("done" if waited.cancelled_caught else "hurried")(scope, receive, send)

    assert ask(app=app, rules=Rules(HOSTS, body_seconds=0.05)).body == b"done"


def test_an_application_that_goes_on_after_a_refusal_is_not_heard() -> None:
    told: list[Message] = []

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        told.extend([await receive(), await receive()])
        await PlainTextResponse("too late")(scope, receive, send)

    reply = ask(app=stubborn, rules=SMALL, body=[b"0" * 11])
    assert reply.status == 413
    assert told == [{"type": "http.disconnect"}] * 2


def test_an_answer_that_has_begun_is_cut_when_the_body_grows_too_large() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        await Request(scope, receive).body()

    reply = ask(app=app, rules=SMALL, body=[b"0" * 11])
    assert (reply.status, reply.body) == (200, b"so far")


def test_a_client_that_leaves_is_seen_to_leave() -> None:
    with pytest.raises(ClientDisconnect):
        ask(body=())


def test_an_error_of_the_application_is_left_to_the_server() -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError):
        ask(app=broken)


def test_a_stream_is_passed_on_part_by_part() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(iter([b"a", b"b", b"c"]))(scope, receive, send)

    assert ask(app=app).body == b"abc"


@pytest.mark.parametrize(
    ("kind", "ended"),
    [("text/event-stream", True), ("text/event-stream; charset=utf-8", True), ("application/json", False)],
)
def test_a_stream_of_events_that_is_cut_is_ended_and_nothing_else_is(kind: str, ended: bool) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    reply = ask(app=app)
    assert (reply.body, reply.ended) == (b"data: 1\n\n", ended)


async def tell_id(scope: Scope, receive: Receive, send: Send) -> None:
    logger.info("here")
    await PlainTextResponse(request_id.get())(scope, receive, send)


def test_a_request_id_is_taken_over_and_logged() -> None:
    logged: list[Any] = []
    sink = logger.add(lambda message: logged.append(message.record["extra"]), level="INFO")
    try:
        reply = ask(("x-request-id", "abc-1.2_3"), app=tell_id)
    finally:
        logger.remove(sink)
    assert (reply.body, reply["x-request-id"]) == (b"abc-1.2_3", "abc-1.2_3")
    assert logged == [{"request_id": "abc-1.2_3"}]
    assert request_id.get() == ""


@pytest.mark.parametrize("given_ids", [[], [""], ["a" * 65], ["a b"], ["é"], ["a\n"], ["a", "b"]])
def test_any_other_request_id_is_replaced(given_ids: list[str]) -> None:
    reply = ask(*[("x-request-id", each) for each in given_ids], app=tell_id)
    assert re.fullmatch("[0-9a-f]{32}", reply["x-request-id"])
    assert reply.body.decode() == reply["x-request-id"]


def test_refusals_are_counted_by_a_fixed_word() -> None:
    words: list[str] = []
    ask(("host", "evil.com"), refused=words.append)
    ask(("origin", "https://evil.com"), refused=words.append)
    ask(rules=SMALL, body=[b"0" * 11], refused=words.append)
    ask(refused=words.append)
    assert words == ["host_not_allowed", "origin_not_allowed", "body_too_large"]
    assert set(words) <= REFUSALS


def test_start_and_end_pass_and_websockets_do_not() -> None:
    seen: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def all_of_them() -> None:
        for kind in ("lifespan", "websocket", "something"):
            await Guard(app, RULES)({"type": kind, "headers": []}, receive, send)

    anyio.run(all_of_them)
    assert seen == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", False),
        ("*.example.com", False),
        ("https://example.com", False),
        ("example.com/", False),
        ("example.com:99999", False),
        ("", False),
        ("[::1", False),
        ("example.com", True),
        ("https://example.com/", True),
        ("https://*", True),
        ("*", True),
        ("", True),
    ],
)
def test_a_name_that_can_not_be_meant_is_refused(text: str, origins: bool) -> None:
    with pytest.raises(ValueError, match="is not of the form") as refused:
        Names([text], origins=origins)
    assert repr(text) in str(refused.value)


@given(st.text(), st.booleans())
def test_no_text_breaks_the_check_of_names(text: str, origins: bool) -> None:
    (ORIGINS if origins else HOSTS).hold(text)


def test_over_a_limit_the_answer_says_when_to_come_back() -> None:
    status, headers, content = too_many(RateLimited("too many", "come back in 7 s.", seconds=7))
    assert (status, headers) == (429, {"retry-after": "7"})
    assert content == {"error": "rate_limited", "error_description": "too many; come back in 7 s."}
