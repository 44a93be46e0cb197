"""Clients that dawdle lose their connection, and nobody else does."""

import asyncio
import contextlib
import errno
import resource
import socket
import threading
import time
from collections.abc import Iterator

import anyio
import pytest
import uvicorn
from loguru import logger
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from mcp_docker.http import connections
from mcp_docker.http.connections import MOST, Connection, Faults, make_room

HEAD = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
ENDED: list[str] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo; `/slow` takes its time, `/endless` never ends, `/early` answers before it has the body."""
    if scope["path"] == "/early":
        await PlainTextResponse("no")(scope, receive, send)
        return
    if scope["path"] == "/endless":
        try:
            await StreamingResponse(iter(lambda: b"x" * 4_194_304, None))(scope, receive, send)
        finally:
            ENDED.append(scope["path"])
    body = await Request(scope, receive).body()
    if scope["path"] == "/slow":
        await anyio.sleep(1.5)
    await PlainTextResponse(body)(scope, receive, send)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server whose limits are short, but longer than a busy machine keeps a client from its turn."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(connections, "READ_SECONDS", 1.0)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None, timeout_keep_alive=30)
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def answered(client: socket.socket, sent: bytes, end: bytes) -> None:
    client.sendall(sent)
    got = b""
    while not got.endswith(end):
        part = client.recv(65_536)
        assert part
        got += part


def cut(client: socket.socket) -> bool:
    """Whether the other end has ended the connection, within ten seconds."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [b"", b"POST /x HTTP/1.1\r\nHost: lo"])
def test_a_head_that_does_not_come_is_not_waited_for(port: int, sent: bytes) -> None:
    with connected(port) as client:
        client.sendall(sent)
        assert cut(client)


def test_a_head_that_comes_drop_by_drop_is_not_waited_for(port: int) -> None:
    with connected(port) as client, contextlib.suppress(OSError):
        started = time.monotonic()
        for byte in HEAD:
            client.sendall(bytes([byte]))
            client.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                assert client.recv(1) == b""
                break
    assert time.monotonic() - started < 5


def test_the_head_of_a_second_request_is_not_waited_for_either(port: int) -> None:
    with connected(port) as client:
        answered(client, HEAD % b"a" + b"hi", b"hi")
        client.sendall(b"POST")
        assert cut(client)


def test_between_requests_and_during_a_call_there_is_time(port: int) -> None:
    with connected(port) as client:
        answered(client, HEAD % b"slow" + b"ho", b"ho")
        client.settimeout(1.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        answered(client, HEAD % b"slow" + b"hi", b"hi")
        answered(client, HEAD % b"a" + b"hi" + HEAD % b"slow" + b"yo", b"yo")


def test_there_is_time_too_after_an_answer_that_came_before_the_body(port: int) -> None:
    with connected(port) as client:
        answered(client, HEAD % b"early", b"no")
        client.sendall(b"h")
        client.sendall(b"i")
        client.settimeout(1.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        answered(client, HEAD % b"a" + b"yo", b"yo")


def test_the_time_after_an_answer_that_came_before_the_body_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 30.0)
    usual = Connection.connection_made

    def impatient(self: Connection, transport: asyncio.Transport) -> None:
        self.timeout_keep_alive = 0.2  # type: ignore[assignment]  # uvicorn's own type is whole seconds
        usual(self, transport)

    monkeypatch.setattr(Connection, "connection_made", impatient)
    with connected(port) as client:
        answered(client, HEAD % b"early", b"no")
        client.sendall(b"hi")
        assert cut(client)


@pytest.mark.parametrize("sent", [b"h", b"hiPOST"])
def test_neither_the_rest_of_such_a_body_nor_the_head_after_it_is_waited_for(port: int, sent: bytes) -> None:
    with connected(port) as client:
        answered(client, HEAD % b"early", b"no")
        client.sendall(sent)
        assert cut(client)


def test_a_client_that_takes_nothing_is_cut(port: int) -> None:
    ENDED.clear()
    with connected(port) as client:
        client.sendall(HEAD % b"endless" + b"hi")
        deadline = time.monotonic() + 10
        while not ENDED and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert ENDED


def test_a_client_that_takes_everything_is_not_cut(port: int) -> None:
    with connected(port) as client:
        client.sendall(HEAD % b"endless" + b"hi")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert client.recv(1_048_576)


def test_a_client_whose_network_has_gone_is_not_sent_to_for_long(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.Transport] = []
    monkeypatch.setattr(Connection, "_await_head", lambda self: made.append(self.transport))
    with connected(port) as client:
        answered(client, HEAD % b"a" + b"hi", b"hi")
        assert made[0].get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_one_connection_too_many_is_cut_and_the_others_are_not(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "most", 2)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 30.0)  # or it could be for what it did not say
    with connected(port) as first, connected(port) as second:
        for client in (first, second):
            answered(client, HEAD % b"a" + b"hi", b"hi")
        with connected(port) as third:
            assert cut(third)
        answered(first, HEAD % b"a" + b"yo", b"yo")
        second.close()
        deadline = time.monotonic() + 10
        while True:  # until it is known that the second has gone
            with connected(port) as fourth, contextlib.suppress(AssertionError, OSError):
                answered(fourth, HEAD % b"a" + b"ok", b"ok")
                break
            assert time.monotonic() < deadline


INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "set_to", "room"),
    [
        (1_024, 524_288, 20_000, MOST),
        (1_024, INFINITY, 20_000, MOST),
        (1_024, 4_096, 4_096, 3_072),
        (256, 256, None, 192),
        (65_536, 65_536, None, MOST),
        (INFINITY, INFINITY, None, MOST),
    ],
)
def test_connections_leave_files_for_the_engine_and_the_audit(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, set_to: int | None, room: int
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))
    assert make_room() == room
    assert limits == ([] if set_to is None else [(set_to, hard)])


def test_a_system_that_allows_no_more_files_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert make_room() == 192


def test_that_no_more_connections_can_be_taken_is_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    others: list[object] = []
    loop = asyncio.new_event_loop()
    faults = Faults()
    monkeypatch.setattr(loop, "default_exception_handler", others.append)
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="ERROR")
    try:
        for _ in range(3):
            faults.tell(loop, {"message": "-", "exception": OSError(errno.EMFILE, "Too many open files"), "socket": 1})
        faults.tell(loop, {"message": "another"})
        monkeypatch.setattr(connections, "TELL_SECONDS", 0)
        faults.tell(loop, {"message": "-", "exception": OSError(errno.ENFILE, "Too many files"), "socket": 1})
    finally:
        logger.remove(sink)
        loop.close()
    assert lines == ["no more connections can be taken: " + why for why in ("Too many open files", "Too many files")]
    assert others == [{"message": "another"}]
