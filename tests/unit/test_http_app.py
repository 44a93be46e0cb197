"""It does not listen where strangers could call."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.caller import Caller
from mcp_docker.engine import Engine
from mcp_docker.errors import SettingsError
from mcp_docker.http.app import Application, Listening, _named
from mcp_docker.http.layers import Counted
from mcp_docker.registry import Registry
from mcp_docker.settings import load

OAUTH = {
    "SECURITY_OAUTH_ENABLED": "true",
    "SECURITY_OAUTH_ISSUER": "https://login.example",
    "SECURITY_OAUTH_AUDIENCE": "https://docker.example/mcp",
    "SECURITY_OAUTH_JWKS_URL": "https://login.example/keys",
}
EVERYWHERE = "0.0.0.0"
TLS = {"tls_cert": Path("cert.pem"), "tls_key": Path("key.pem")}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")


def application(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], host: str, **more: Any) -> Application:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    chosen = load()
    return Application(chosen, Registry(chosen), Engine(chosen), None, Listening(host, 8000, **more))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_nothing(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    application(monkeypatch, {}, host)


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        ({}, TLS, "set SECURITY_OAUTH_ENABLED, or say --insecure-no-auth"),
        (OAUTH, {}, "give --tls-cert and --tls-key, or name the proxy"),
        ({}, {"insecure": True}, "give --tls-cert and --tls-key, or name the proxy"),
        (OAUTH, {"tls_cert": Path("cert.pem")}, "--tls-cert and --tls-key go together"),
        (OAUTH | {"SECURITY_STATE_KEY": "short"}, TLS, "SECURITY_STATE_KEY: at least 32 characters"),
        (OAUTH | {"SECURITY_ALLOWED_HOSTS": "http://x y"}, TLS, "SECURITY_ALLOWED_HOSTS"),
        (OAUTH | {"SECURITY_OAUTH_JWKS_URL": "http://login.example/keys"}, TLS, "SECURITY_OAUTH"),
        (OAUTH | {"SECURITY_OAUTH_GROUP_TOOLS": '{"ops":["docker_versoin"]}'}, TLS, "did you mean docker_version?"),
        (OAUTH | {"SECURITY_RATE_LIMIT_STORAGE": "mongodb://x"}, TLS, "can't be kept in"),
    ],
)
def test_any_other_address_needs_tokens_and_tls(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as problem:
        application(monkeypatch, settings, EVERYWHERE, **more)
    assert said in str(problem.value)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        (OAUTH, TLS),
        (OAUTH | {"SECURITY_TRUSTED_PROXIES": "10.0.0.0/8"}, {}),
        ({}, TLS | {"insecure": True}),
    ],
)
def test_with_both_it_listens_anywhere(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], more: dict[str, Any]
) -> None:
    application(monkeypatch, settings, EVERYWHERE, **more)


@pytest.mark.parametrize(
    ("host", "public", "names"),
    [
        ("::", "https://[2001:db8::1]/mcp", ["[2001:db8::1]"]),
        ("::", "https://[2001:db8::1]:8443/mcp", ["[2001:db8::1]:8443"]),
        ("::", "http://[::]:8000/mcp", []),
        (EVERYWHERE, "https://10.0.0.0.example/mcp", ["10.0.0.0.example"]),
        (EVERYWHERE, "http://0.0.0.0:8000/mcp", []),
        ("::1", "http://[::1]:8000/mcp", ["[::1]:8000"]),
    ],
)
def test_the_public_host_is_served_unless_it_stands_for_every_address(host: str, public: str, names: list[str]) -> None:
    assert _named(public, Listening(host, 8000)) == names


def test_a_request_of_nobody_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = application(monkeypatch, OAUTH, "127.0.0.1")
    assert app.pipeline.registry.visible(app.caller(None)) == {}
    assert app.pipeline.registry.visible(app.of({"type": "http", "client": ("10.0.0.1", 1)})) == {}


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        ({"id": 1, "method": "tools/list"}, True),
        ({"id": 1, "method": "tools/call", "params": {"name": "docker_version"}}, False),
        ({"id": 1, "method": "prompts/get", "params": {"name": "security_audit"}}, False),
        ({"id": 1, "method": "tools/call", "params": {}}, True),
        ({"id": 1, "method": "tools/call"}, True),
        ({"method": "tools/call", "params": {"name": "docker_version"}}, True),
        ({"id": 1, "method": "resources/read", "params": {"uri": "container://logs/web"}}, False),
        ({"id": 1, "method": "resources/read", "params": {"uri": "ui://mcp-docker/logs.html"}}, True),
        ({"id": 1, "method": "resources/read", "params": []}, True),
        ({"id": 1, "result": {}}, False),
        ({"id": 1, "error": {}}, False),
        ({}, True),
        ([], True),
    ],
)
async def test_each_request_is_counted_once(monkeypatch: pytest.MonkeyPatch, message: Any, counts: bool) -> None:
    """Those that take the way of a call are counted there."""
    app = application(monkeypatch, {}, "127.0.0.1")
    counted = []

    async def count(caller: Caller) -> None:
        counted.append(caller)

    monkeypatch.setattr(app, "count", count)
    body = json.dumps(message).encode()

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def ignore(*_: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": [], "client": ("127.0.0.1", 1)}
    await Counted(ignore, app)(scope, receive, ignore)
    assert bool(counted) is counts


async def test_what_a_stranger_sends_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    app = application(monkeypatch, OAUTH, "127.0.0.1")
    passed = []

    async def inner(*_: Any) -> None:
        passed.append(True)

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(_message: Any) -> None:
        raise AssertionError("nothing is answered here")

    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": [], "client": ("10.0.0.1", 1)}
    await Counted(inner, app)(scope, receive, send)
    assert passed
