"""Servers as processes, on both transports, to which many calls are put at once."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.e2e.process import Message, ServerProcess, environment
from tests.e2e.web import WebServer

SLACK = 2.0
"""Seconds that a call may take beyond its time limit: one, and what a busy machine adds."""
WAY = 2.0
"""Seconds that a call and its answer may be on their way, on a machine that is busy."""


@dataclass(frozen=True)
class Asked:
    """A call, and the seconds that it may take."""

    tool: str
    arguments: Message
    seconds: float


class Served(Protocol):
    """A running server."""

    pid: int

    def ask(self, calls: Mapping[str, Asked]) -> dict[str, Message | None]:
        """Make calls at the same time; the result of each, None for one that did not come in time."""


class Stdio:
    """One client's own server."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.pid = server.process.pid

    def ask(self, calls: Mapping[str, Asked]) -> dict[str, Message | None]:
        began = time.monotonic()
        begun = {name: self.server.begin(call.tool, **call.arguments) for name, call in calls.items()}
        found: dict[str, Message | None] = {}
        for name in sorted(calls, key=lambda name: calls[name].seconds):
            left = began + calls[name].seconds + SLACK + WAY - time.monotonic()
            found[name] = None
            with contextlib.suppress(TimeoutError):
                found[name] = self.server.answer(begun[name], max(0.0, left))["result"]
        return found


class Http:
    """A server of many clients."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.pid = server.process.pid

    def ask(self, calls: Mapping[str, Asked]) -> dict[str, Message | None]:
        def one(call: Asked) -> Message | None:
            began = time.monotonic()
            result = self.server.call(call.tool, **call.arguments)
            return result if time.monotonic() - began < call.seconds + SLACK + WAY else None

        with ThreadPoolExecutor(len(calls)) as pool:
            return dict(zip(calls, pool.map(one, calls.values()), strict=True))


@contextlib.contextmanager
def served(transport: str, folder: Path, audit: Path, **settings: str) -> Iterator[Served]:
    """A server on one transport, "stdio" or "http", with a home of its own."""
    home = {"HOME": str(folder), "DOCKER_CONFIG": str(folder / "docker"), "SECURITY_AUDIT_LOG_FILE": str(audit)}
    env = environment(**home | settings)
    log = folder / f"{transport}.log"
    if transport == "stdio":
        with ServerProcess(log, env) as stdio:
            yield Stdio(stdio.open())
    else:
        with WebServer(log, env) as web:
            yield Http(web)


def threads(pid: int) -> int:
    """The threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int) -> int:
    """Its open files and sockets."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory(pid: int) -> int:
    """The bytes of memory that it holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
