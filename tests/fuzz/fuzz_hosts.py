"""`Host` and `Origin` of a request, and its whole head: who gets past the guard, judged a second time by urllib."""

import asyncio
import atexit
import ipaddress
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.http.clients import networks
    from mcp_docker.http.guard import METHODS, REFUSALS, Guard, Names, Rules

MODULES = ("mcp_docker.http.guard",)
HOSTS = ("mcp.example.com", "localhost:*", "[::1]:8000", "127.0.0.1:*")
ORIGINS = ("https://app.example.com", "http://localhost:*")
RULES = Rules(
    hosts=Names(HOSTS),
    origins=Names(ORIGINS, origins=True),
    trusted=networks(["10.0.0.0/8"]),
    clients=networks(["10.0.0.0/8", "192.0.2.0/24"]),
    body_bytes=1_000,
    headers=20,
    head_bytes=2_000,
)
Head = Sequence[tuple[bytes, bytes]]


def parts(text: str, scheme: str) -> tuple[str, int | None] | None:
    """Host and port of an authority; None where it is none."""
    try:
        url = urlsplit(f"{scheme}://{text}")
        port, host = url.port, url.hostname or ""
    except ValueError:
        return None
    if url.netloc != text or "@" in text or text.endswith(":") or "%" in text:
        return None
    host = host.removesuffix(".")
    return (str(ipaddress.ip_address(host)) if ":" in host else host), port


def host_allowed(text: str) -> bool:
    found = parts(text, "http")
    if found is None:
        return False
    host, port = found
    usual = port in (None, 80, 443)
    return (
        (host == "mcp.example.com" and usual) or host in ("localhost", "127.0.0.1") or (host == "::1" and port == 8_000)
    )


def origin_allowed(text: str) -> bool:
    scheme, mark, rest = text.partition("://")
    found = parts(rest, scheme.lower()) if mark and scheme.isascii() and scheme.isalpha() else None
    if found is None:
        return False
    return (scheme.lower(), *found) in (
        ("https", "app.example.com", None),
        ("https", "app.example.com", 443),
    ) or (scheme.lower() == "http" and found[0] == "localhost")


def check_names(text: str) -> None:
    """Whatever passes is what urllib too takes for one of the names; every name passes in any case."""
    if RULES.hosts.hold(text):
        assert host_allowed(text), text
    if RULES.origins.hold(text):
        assert origin_allowed(text), text
    for origins in (False, True):
        try:
            names = Names([text], origins=origins)
        except ValueError as problem:
            assert repr(text) in str(problem)
            continue
        written = text.strip()
        if "*" not in written and written.lower() != "null":
            assert names.hold(written)
            assert names.hold(written.upper())
        assert not names.hold(f"{written}.evil.example")
        assert not names.hold(f"evil-{written}")


def answer(
    head: Head, peer: str, method: str, path: str, bodies: Sequence[bytes]
) -> tuple[bool, int, dict[str, str], bytes]:
    """Whether the application was reached; status, headers and body of the answer."""
    reached = False
    sent: list[Any] = []
    incoming = [
        {"type": "http.request", "body": body, "more_body": number < len(bodies) - 1}
        for number, body in enumerate(bodies or [b""])
    ]

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal reached
        reached = True
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"ALLOW")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def receive() -> Any:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "client": (peer, 1),
        "headers": list(head),
    }
    told: list[str] = []
    LOOP.run_until_complete(Guard(app, RULES, told.append)(scope, receive, send))
    assert set(told) <= REFUSALS
    start, *rest = sent
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return reached, start["status"], headers, b"".join(message["body"] for message in rest)


LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


def check_head(head: Head, peer: str, method: str, path: str, bodies: Sequence[bytes]) -> None:
    """The application is reached by those alone who may, and every answer says what browsers must know."""
    reached, status, headers, body = answer(head, peer, method, path, bodies)
    values: dict[bytes, list[str]] = {}
    for name, value in head:
        values.setdefault(name.lower(), []).append(value.decode("latin-1"))
    hosts, origins = values.get(b"host", []), values.get(b"origin", [])
    preflight = status == 204
    if reached or preflight:
        assert len(hosts) == 1
        assert host_allowed(hosts[0])
        assert len(origins) <= 1
        assert all(map(origin_allowed, origins))
        assert path.startswith("/")
        assert len(head) <= RULES.headers
        assert all(length.isdigit() for length in values.get(b"content-length", []))
    if preflight:
        assert method == "OPTIONS"
        assert origins
        assert headers["access-control-allow-methods"] == METHODS
    if not reached and not preflight:
        assert status in (400, 403, 408, 413, 421, 431)
        assert json.loads(body)["error"] in REFUSALS
    if status == 200:
        assert reached
        assert sum(map(len, bodies)) <= RULES.body_bytes
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    allowed = headers.get("access-control-allow-origin")
    assert allowed is None or (origins == [allowed] and origin_allowed(allowed))
    assert all("\n" not in value and "\r" not in value for value in headers.values())


def one(data: bytes) -> None:
    """Lines: the peer, method and path, headers, an empty one, the body."""
    check_names(text_in(data))
    check_names(data.decode("latin-1"))
    top, _, body = data.partition(b"\n\n")
    peer, request, *lines = (top + b"\n").split(b"\n")
    method, _, path = request.decode("latin-1").partition(" ")
    head = [(name, value.strip(b" \t")) for line in lines if line for name, _, value in [line.partition(b":")]]
    bodies = [body[at : at + 300] for at in range(0, len(body), 300)]
    check_head(head, peer.decode("latin-1"), method or "GET", path or "/mcp", bodies)


if __name__ == "__main__":
    fuzz(one)
