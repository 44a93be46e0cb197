"""Between the server and a real engine: hangs, breaks and refuses as a failing engine would."""

import contextlib
import re
import socket
import threading
import urllib.parse
from pathlib import Path


class EngineProxy:
    """Passes connections on to the engine until told otherwise. `seen` has the first line of each request.

    Args:
        path: where to listen.
        engine: the address of the engine, as in DOCKER_HOST.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self.address = f"unix://{path}"
        self.seen: list[str] = []
        self._path = path
        self._engine = urllib.parse.urlsplit(engine)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._hanging = ""
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
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def hang_on(self, pattern: str) -> None:
        """From now on, never pass on a request whose first line matches; "" passes all."""
        self._hanging = pattern

    def saw(self, pattern: str) -> bool:
        """Whether a request's first line matched."""
        return any(re.search(pattern, line) for line in list(self.seen))

    @property
    def connections(self) -> int:
        """How many connections of the server are open."""
        with self._lock:
            return len(self._open) // 2

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _serve(self, ours: socket.socket) -> None:
        with ours, self._dial() as theirs:
            with self._lock:
                self._open |= {ours, theirs}
            back = threading.Thread(target=_copy, args=(theirs, ours), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := ours.recv(65_536):
                    first = data.partition(b"\r\n")[0].decode("latin-1")
                    if first.endswith(" HTTP/1.1"):
                        self.seen.append(first)
                        if self._hanging and re.search(self._hanging, first):
                            continue
                    theirs.sendall(data)
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_RDWR)
            back.join()
            with self._lock:
                self._open -= {ours, theirs}

    def _dial(self) -> socket.socket:
        if self._engine.scheme != "unix":
            return socket.create_connection((self._engine.hostname or "localhost", self._engine.port or 2375))
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._engine.path)
        return sock


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
