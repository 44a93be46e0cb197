"""The authorization server is asked by the way that the environment names, and what is wrong with that way is said."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_docker.http.auth.outbound import Outbound, Unavailable
from tests.unit.authorization_server import KEYS, AuthorizationServer, certificate
from tests.unit.http_auth_fixtures import anyio_backend

__all__ = ["anyio_backend"]

ELSEWHERE = "https://login.example/keys"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Proxy:
    """A proxy on loopback that says what it was asked for.

    Args:
        to: where every tunnel leads, whatever was asked for; None refuses them all.
    """

    def __init__(self, to: tuple[str, int] | None = None) -> None:
        self.asked: list[str] = []
        proxy = self

        class Tunnel(socketserver.StreamRequestHandler):
            rbufsize = 0  # what follows the head is the tunnel's

            def handle(self) -> None:
                proxy.asked.append(self.rfile.readline().decode().strip())
                while self.rfile.readline().strip():
                    pass
                if to is None:
                    self.wfile.write(b"HTTP/1.1 407 words of a stranger\r\nContent-Length: 0\r\n\r\n")
                    return
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                with socket.create_connection(to, timeout=10) as there:
                    back = threading.Thread(target=carry, args=(there, self.request), daemon=True)
                    back.start()
                    carry(self.request, there)
                    back.join(10)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Tunnel)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def carry(here: socket.socket, there: socket.socket) -> None:
    """Pass on what comes, and its end."""
    try:
        while part := here.recv(65_536):
            there.sendall(part)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of the two has gone


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """One that refuses."""
    server = Proxy()
    yield server
    server.close()


async def problem(url: str) -> str:
    """Why a URL can't be asked."""
    outbound = Outbound(url.split("/")[2].partition(":")[0])
    try:
        with pytest.raises(Unavailable) as raised:
            await outbound.ask("GET", url)
    finally:
        await outbound.aclose()
    return str(raised.value)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_server_elsewhere_is_asked_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    trusted = certificate(tmp_path)
    server = AuthorizationServer(tls=trusted)
    host, port = server.url.removeprefix("https://").split(":")
    proxy = Proxy((host, int(port)))
    context = ssl.create_default_context(cafile=trusted)
    context.check_hostname = False  # the certificate is for 127.0.0.1
    monkeypatch.setenv(variable, proxy.url)
    outbound = Outbound("login.example", tls=context)
    try:
        assert await outbound.ask("GET", ELSEWHERE) == {"keys": server.published}
    finally:
        await outbound.aclose()
        proxy.close()
        server.close()
    assert proxy.asked == ["CONNECT login.example:443 HTTP/1.1"]
    # the proxy has seen no more than the name
    assert [asked.path for asked in server.asked] == [KEYS]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
async def test_a_server_of_this_machine_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: Proxy, variable: str
) -> None:
    server = AuthorizationServer()
    monkeypatch.setenv(variable, proxy.url)
    outbound = Outbound("127.0.0.1")
    try:
        assert await outbound.ask("GET", server.jwks_uri) == {"keys": server.published}
    finally:
        await outbound.aclose()
        server.close()
    assert proxy.asked == []


async def test_what_is_kept_from_the_proxy_is_not_sent_through_it(
    monkeypatch: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8, .invalid")
    assert "can't be reached (" in await problem("https://login.invalid/keys")
    assert proxy.asked == []


async def test_a_proxy_that_refuses_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    assert await problem(ELSEWHERE) == "can't be reached: the proxy that the environment names refuses"
    assert proxy.asked == ["CONNECT login.example:443 HTTP/1.1"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://me:s3cret@127.0.0.1:1080"),
        ("HTTPS_PROXY", "ftp://me:s3cret@127.0.0.1:21"),
        ("HTTPS_PROXY", "http://me:s3cret@127.0.0.1:port"),
        ("SSL_CERT_FILE", "/nothing/s3cret.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
async def test_a_way_that_can_not_be_gone_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    said = await problem(ELSEWHERE)
    assert variable in said
    assert "s3cret" not in said
