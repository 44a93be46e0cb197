"""Between a client that can't show a token and the server: adds the token, and passes on everything else as it is."""

import contextlib
import re
import socket
import threading
from typing import Self

HEAD_END = b"\r\n\r\n"
CONNECTION = re.compile(rb"\r\nconnection:[^\r\n]*", re.IGNORECASE)


class TokenProxy:
    """Listens on loopback for one server.

    A connection carries one request, so that what follows its head is bytes to be copied: bodies, statuses, headers and
    streams of events pass as they come.

    Args:
        port: where the server listens on loopback.
        token: shown with each request.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._added = f"\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n".encode()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            received = b""
            while HEAD_END not in received:
                if not (data := client.recv(65_536)):
                    return
                received += data
            head, _, body = received.partition(HEAD_END)
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                server.sendall(CONNECTION.sub(b"", head) + self._added + body)
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                # a client that goes ends the request, and a stream that it listened to
                _copy(client, server)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
