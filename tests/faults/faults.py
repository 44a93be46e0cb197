"""What can go wrong with one request, for `EngineProxy.fail`."""

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

from tests.e2e.proxy import PIECE, Exchange, Fault, hangs

__all__ = ["hangs"]


def hangs_up(exchange: Exchange) -> None:
    """Take the request and close the connection."""
    exchange.client.recv(PIECE)


def resets(_exchange: Exchange) -> None:
    """Close the connection with the request unread, which resets it."""


def says(status: int, body: bytes, kind: str = "application/json") -> Fault:
    """Answer this, without asking the engine."""
    return lambda exchange: exchange.answer(_head(status, len(body), kind) + body)


def babbles(data: bytes) -> Fault:
    """Answer these bytes."""
    return lambda exchange: exchange.answer(data)


def comes_late(seconds: float) -> Fault:
    """Ask the engine only after a while."""

    def fault(_exchange: Exchange) -> bool:
        threading.Event().wait(seconds)
        return True

    return fault


def dribbles(seconds: float) -> Fault:
    """Pass the answer on byte by byte, each after so many seconds."""

    def fault(exchange: Exchange) -> None:
        pause = threading.Event()
        engine = exchange.pass_on()
        while data := engine.recv(PIECE):
            for number in range(len(data)):
                exchange.client.sendall(data[number : number + 1])
                pause.wait(seconds)
        exchange.hang_up()

    return fault


def breaks_off(after: int, then: Fault = Exchange.hang_up) -> Fault:
    """Pass the answer's head and so many bytes of its body on, as they come; then this."""

    def fault(exchange: Exchange) -> None:
        engine, head, left = exchange.pass_on(), b"", after
        while b"\r\n\r\n" not in head and (data := engine.recv(PIECE)):
            head += data
        start, end, body = head.partition(b"\r\n\r\n")
        exchange.client.sendall(start + end)
        if start.startswith(b"HTTP/1.1 204"):  # that was all
            exchange.hang_up()
            return
        while left >= 0 and (body := body or engine.recv(PIECE)):
            exchange.client.sendall(body[:left])
            left -= len(body)
            body = b""
        then(exchange)

    return fault


def shortens(exchange: Exchange) -> None:
    """Pass half of the body on, as if it were the whole."""
    with contextlib.closing(exchange.response()) as response:
        # 20.10 does not say what a log is
        kind = response.getheader("Content-Type") or "raw-stream"
        # of a stream that does not end, what has come
        body = response.read1(PIECE) if "raw-stream" in kind or "multiplexed" in kind else response.read()
        half = body[: len(body) // 2]
        exchange.answer(_head(response.status, len(half), kind) + half)


def rewrites(change: Callable[[Any], Any]) -> Fault:
    """Change the JSON that the engine answers."""

    def fault(exchange: Exchange) -> None:
        with contextlib.closing(exchange.response()) as response:
            body = json.dumps(change(json.loads(response.read()))).encode()
            exchange.answer(_head(response.status, len(body), "application/json") + body)

    return fault


def _head(status: int, length: int, kind: str) -> bytes:
    return (
        f"HTTP/1.1 {status} As Told\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()
