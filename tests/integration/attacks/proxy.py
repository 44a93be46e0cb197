"""A way to the engine over TCP: for the server under test, an engine whose file system is not known to be its own."""

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def tcp_to(path: str) -> Iterator[str]:
    """Listen on a port of this machine for the socket at `path`; its address as DOCKER_HOST has it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accepting, args=(listening, path), daemon=True).start()
        try:
            yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # close() alone leaves accept() waiting
            listening.shutdown(socket.SHUT_RDWR)


def _accepting(listening: socket.socket, path: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = listening.accept()
            threading.Thread(target=_joined, args=(near, path), daemon=True).start()


def _joined(near: socket.socket, path: str) -> None:
    with near, socket.socket(socket.AF_UNIX) as far, contextlib.suppress(OSError):
        far.connect(path)
        back = threading.Thread(target=_copied, args=(far, near), daemon=True)
        back.start()
        _copied(near, far)
        back.join()


def _copied(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
