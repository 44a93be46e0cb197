"""docker-py's way to the engine: one adapter for all addresses; a socket belongs to the call that uses it."""

import contextlib
import queue
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ProtocolError

from mcp_docker.engine.scope import FAN_OUT, CallScope
from mcp_docker.errors import Refused

CONNECT_SECONDS = 10.0
CALLS = 64
MOST_BYTES = 64_000_000
"""Of an answer that is read whole; a list of ten thousand containers has a third of it."""

Dial = Callable[[CallScope], socket.socket]
"""Opens a socket, registering it with the scope before anything blocks."""


def dialler(address: str, tls: ssl.SSLContext | None) -> Dial:
    """How to open a socket to `unix://`, `tcp://`, `http(s)://` or `ssh://` addresses."""
    url = urlsplit(address)
    match url.scheme:
        case "unix":
            return lambda scope: _unix(scope, url.path)
        case "ssh":
            return lambda scope: _ssh(scope, address)
        case _:
            port = url.port or (2376 if tls else 2375)
            return lambda scope: _tcp(scope, url.hostname or "localhost", port, tls)


def _unix(scope: CallScope, path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    return _connected(scope, sock, path)


def _tcp(scope: CallScope, host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
    sock = _first_connected(scope, host, port)
    if tls is None:
        return sock
    wrapped = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    scope.release(sock)
    try:
        scope.hold(wrapped)
        wrapped.do_handshake()
    except BaseException:
        scope.release(wrapped)
        wrapped.close()
        raise
    return wrapped


def _first_connected(scope: CallScope, host: str, port: int) -> socket.socket:
    """Each address of a name in turn: "localhost" may be ::1 first, where the engine listens on 127.0.0.1 alone."""
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    end = time.monotonic() + min(CONNECT_SECONDS, scope.socket_timeout)

    def connected(number: int) -> socket.socket:
        family, kind, protocol, _, address = places[number]
        # one that is silent leaves time for those after it
        seconds = max(0.001, (end - time.monotonic()) / (len(places) - number))
        return _connected(scope, socket.socket(family, kind, protocol), address, seconds)

    for number in range(len(places) - 1):
        with contextlib.suppress(OSError):
            return connected(number)
    return connected(len(places) - 1)


def _connected(scope: CallScope, sock: socket.socket, address: Any, seconds: float = CONNECT_SECONDS) -> socket.socket:
    try:
        scope.hold(sock)
        sock.settimeout(min(seconds, scope.socket_timeout))
        sock.connect(address)
        scope.check()  # a cut leaves alone what is not connected yet
    except BaseException:
        scope.release(sock)
        sock.close()
        raise
    return sock


def _ssh(scope: CallScope, address: str) -> socket.socket:
    """The system's ssh joins our end of a socket pair to the engine there, as Docker's own client does."""
    ours, theirs = socket.socketpair()
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", address, "docker", "system", "dial-stdio"]
    try:
        with theirs:
            end = theirs.fileno()
            client = subprocess.Popen(command, stdin=end, stdout=end, start_new_session=True)  # noqa: S603 - the operator's own address
        # it ends when the socket closes, and somebody has to be told
        threading.Thread(target=client.wait, daemon=True, name="ssh").start()
        scope.hold(ours)
    except BaseException:
        ours.close()
        raise
    return ours


class _Connection(HTTPConnection):
    """A connection that tells the call's scope about its socket."""

    def __init__(self, dial: Dial) -> None:
        super().__init__("localhost")
        self._dial = dial
        self._held: tuple[CallScope, socket.socket] | None = None
        self._kept = False

    @property
    def was_ended(self) -> bool:
        """Whether the engine ended it while it was idle."""
        return self._kept and self.sock is None

    def connect(self) -> None:
        scope = CallScope.current()
        self.sock = self._dial(scope)
        self.sock.settimeout(scope.socket_timeout)  # what is sent may take longer than connecting
        self._held = scope, self.sock

    def hold(self) -> None:
        if self.sock is not None:
            scope = CallScope.current()
            scope.hold(self.sock)
            self._held = scope, self.sock

    def release(self) -> None:
        self._kept = self.sock is not None
        if self._held is not None:
            scope, sock = self._held
            scope.release(sock)
            self._held = None


class _Pool(HTTPConnectionPool):
    def __init__(self, dial: Dial, ended: Callable[[], None], size: int) -> None:
        super().__init__("localhost", maxsize=size)
        self._dial = dial
        self._ended = ended
        self._retired = False

    def retire(self) -> None:
        """Close the connections that are idle, and later the others: a call is not to end because another failed."""
        self._retired = True
        while self.pool is not None:
            try:
                connection = self.pool.get_nowait()
            except queue.Empty:
                break
            if connection is not None:
                connection.close()

    def _new_conn(self) -> _Connection:
        return _Connection(self._dial)

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        if isinstance(connection, _Connection):
            if connection.was_ended and not self._retired:
                self._ended()
            try:
                connection.hold()
            except Refused:
                connection.close()
                raise
        return connection

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, _Connection):
            conn.release()
        super()._put_conn(conn)
        if self._retired:
            self.retire()


class EngineAdapter(HTTPAdapter):
    """Carries a session's requests to one engine.

    Args:
        dial: opens a socket to the engine.
        ended: is told that the engine has ended idle connections: it may be another one by now.
        size: idle connections to keep.
    """

    def __init__(self, dial: Dial, ended: Callable[[], None], size: int = CALLS + FAN_OUT) -> None:
        self._pool = _Pool(dial, ended, size)
        super().__init__()

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> _Pool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _proxies: Any) -> str:
        return request.path_url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        # docker-py sets no timeout at all for pull, build and events
        scope = CallScope.current()
        kwargs["timeout"] = scope.socket_timeout
        response = super().send(request, *args, **kwargs)
        _judge(response)
        if response.ok and request.method not in ("GET", "HEAD"):
            scope.changed = True
        if not kwargs.get("stream") or not response.ok:
            response.iter_content = partial(_bounded, response, response.iter_content)  # type: ignore[method-assign]
        if not kwargs.get("stream"):  # what is read as it comes is judged as it comes
            scope.answers.append(response)
        return response

    def close(self) -> None:
        self._pool.retire()
        super().close()


def _judge(response: requests.Response) -> None:
    """Refuse what no engine answers: requests would go wherever it is sent, and take other statuses for success."""
    status = response.status_code
    if not (200 <= status < 300 or status == 304 or 400 <= status < 600):
        from docker.errors import APIError

        response.close()
        raise APIError(f"it answered with status {status}, as no engine does", response=response)


def _bounded(response: requests.Response, read: Callable[..., Iterator[Any]], *args: Any) -> Iterator[Any]:
    size = 0
    for piece in read(*args):
        size += len(piece)
        if size > MOST_BYTES:
            response.close()
            raise ProtocolError(f"its answer has more than {MOST_BYTES // 1_000_000} MB")
        yield piece
