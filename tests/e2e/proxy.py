"""Between the server and a real engine: hangs, breaks and refuses as a failing engine would."""

import contextlib
import http.client
import re
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PIECE = 65_536


@dataclass(frozen=True)
class Exchange:
    """A request that a fault has got hold of. Its connection is closed when the fault returns.

    Attributes:
        client: the server's side; nothing of the request has been read from it.
        first: the request's first line.
        dial: opens another connection to the engine.
    """

    client: socket.socket
    first: str
    dial: Callable[[], socket.socket]

    def ignore(self) -> None:
        """Take what the client sends, until it goes away."""
        with contextlib.suppress(OSError):
            while self.client.recv(PIECE):
                pass

    def answer(self, data: bytes) -> None:
        """Say this instead of the engine."""
        with contextlib.suppress(OSError):
            self.client.sendall(data)
            self.client.shutdown(socket.SHUT_WR)
        self.ignore()

    def hang_up(self) -> None:
        """Close the connection, though more of the request may be on its way to the engine."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def pass_on(self) -> socket.socket:
        """Send the request to the engine; the connection on which it answers."""
        engine = self.dial()
        threading.Thread(target=_copy, args=(self.client, engine, socket.SHUT_RDWR), daemon=True).start()
        return engine

    def response(self) -> http.client.HTTPResponse:
        """The engine's answer, its body still to be read."""
        response = http.client.HTTPResponse(self.pass_on(), method=self.first.partition(" ")[0])
        response.begin()
        return response


Fault = Callable[[Exchange], bool | None]
"""What goes wrong with a request; true if it may go on to the engine after all."""


def hangs(exchange: Exchange) -> None:
    """Never answer."""
    exchange.ignore()


class EngineProxy:
    """Passes connections on to the engine until told otherwise.

    `seen` has the first line of each request, `struck` of those that a fault got hold of; it has not let go of as many
    as `striking` says.

    Args:
        path: where to listen.
        engine: the address of the engine, as in DOCKER_HOST.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self.address = f"unix://{path}"
        self.seen: list[str] = []
        self.struck: list[str] = []
        self.striking = 0
        self._path = path
        self._engine = urllib.parse.urlsplit(engine)
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._engines: set[socket.socket] = set()
        self._fault: tuple[str, Fault, bool] = ("", hangs, False)
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Begin to listen, as an engine that comes up."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Go away at once, as an engine that is killed."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)
        self.cut()

    def cut(self) -> None:
        """Break every connection that is open."""
        with self._lock:
            for sock in self._clients | self._engines:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def fail(self, pattern: str, fault: Fault, *, reused: bool = False) -> None:
        """From now on, this goes wrong with requests whose first line matches; "" passes all.

        Args:
            reused: only where another request came before on the same connection.
        """
        self._fault = pattern, fault, reused

    def hang_on(self, pattern: str) -> None:
        """From now on, never pass on a request whose first line matches; "" passes all."""
        self.fail(pattern, hangs)

    def saw(self, pattern: str) -> bool:
        """Whether a request's first line matched."""
        return any(re.search(pattern, line) for line in list(self.seen))

    @property
    def connections(self) -> int:
        """How many connections of the server are open."""
        with self._lock:
            return len(self._clients)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _serve(self, ours: socket.socket) -> None:
        opened: list[socket.socket] = []

        def dial() -> socket.socket:
            sock = self._dial()
            opened.append(sock)
            with self._lock:
                self._engines.add(sock)
            return sock

        with self._lock:
            self._clients.add(ours)
        try:
            with contextlib.suppress(OSError, http.client.HTTPException), ours:
                self._relay(ours, dial)
        finally:
            with self._lock:
                self._clients.discard(ours)
                self._engines.difference_update(opened)
            for sock in opened:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # a thread may still read from it
                sock.close()

    def _relay(self, ours: socket.socket, dial: Callable[[], socket.socket]) -> None:
        theirs: socket.socket | None = None
        requests = 0
        while data := ours.recv(PIECE, socket.MSG_PEEK):
            first = data.partition(b"\r\n")[0].decode("latin-1")
            if first.endswith(" HTTP/1.1"):
                self.seen.append(first)
                requests += 1
                pattern, fault, reused = self._fault
                if pattern and re.search(pattern, first) and (requests > 1 or not reused):
                    self.struck.append(first)
                    with self._counted():
                        passes = fault(Exchange(ours, first, dial))
                    if not passes:
                        return
            if theirs is None:
                theirs = dial()
                back = threading.Thread(target=_copy, args=(theirs, ours), daemon=True)
                back.start()
            theirs.sendall(ours.recv(len(data)))
        if theirs is not None:
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_RDWR)
            back.join()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.striking += 1
        try:
            yield
        finally:
            with self._lock:
                self.striking -= 1

    def _dial(self) -> socket.socket:
        if self._engine.scheme != "unix":
            return socket.create_connection((self._engine.hostname or "localhost", self._engine.port or 2375))
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._engine.path)
        return sock


def _copy(source: socket.socket, sink: socket.socket, then: int = socket.SHUT_WR) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(then)
