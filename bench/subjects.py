"""What is measured: our server, two servers on the bare SDK, and the engine itself."""

import http.client
import json
import math
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.rpc import StdioServer
from bench.stage import Stage

HERE = Path(__file__).parent
NAIVE = "bare SDK server"


@dataclass(frozen=True)
class Sizes:
    """How large the samples are."""

    pairs: int
    """Starts of each server."""
    rounds: int
    block: int
    """Calls of each kind to each subject: so many rounds of so many."""
    repeats: int
    flight: int
    """Calls of one run of throughput, of which so many are made."""
    quick: int
    """Quick calls with and without slow ones beside them, as often."""
    warm: int
    soak: int
    """Calls until the memory is taken as warm, and after that."""
    exits: int


FULL = Sizes(pairs=15, rounds=40, block=25, repeats=3, flight=400, quick=500, warm=500, soak=5000, exits=5)
SMALL = Sizes(pairs=3, rounds=10, block=10, repeats=1, flight=100, quick=100, warm=100, soak=300, exits=1)


@dataclass(frozen=True)
class Bench:
    stage: Stage
    sizes: Sizes
    command: Sequence[str]
    """What starts our server."""
    docker_host: str
    scratch: Path

    @cached_property
    def tools(self) -> Mapping[str, Sequence[str]]:
        """Our server's tools, and the arguments of each."""
        with self.ours() as server:
            server.handshake()
            return {tool["name"]: list(tool["inputSchema"].get("properties", {})) for tool in server.tools()}

    def lacks(self, tool: str, *arguments: str) -> str:
        """What our server has not (yet) of a tool, in words; empty if it has it all."""
        if tool not in self.tools:
            return f"no {tool}"
        missing = [name for name in arguments if name not in self.tools[tool]]
        return f"{tool} has no {', '.join(missing)}" if missing else ""

    def ours(self, **settings: str) -> StdioServer:
        return self._start(self.command, settings)

    def bare(self) -> StdioServer:
        """The smallest server there is: it can start."""
        return self._start([sys.executable, "-P", str(HERE / "bare_server.py")], {})

    def naive(self) -> StdioServer:
        """The bare SDK with three tools, done in the most direct way."""
        return self._start([sys.executable, "-P", str(HERE / "naive_server.py")], {})

    def raw(self) -> "RawEngine":
        return RawEngine(self.docker_host, self.stage.api.api_version)

    def _start(self, command: Sequence[str], settings: dict[str, str]) -> StdioServer:
        # Servers are measured with their defaults, and may cache their bytecode as they do for a user.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
        log = self.scratch / "stderr.log"
        audit = self.scratch / "audit.jsonl"
        env = kept | {"DOCKER_HOST": self.docker_host, "SECURITY_AUDIT_LOG_FILE": str(audit)} | settings
        with log.open("ab") as stderr:
            return StdioServer(command, env, stderr)


UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "DOCKER_", "MCP_", "SAFETY_", "SECURITY_")


class RawEngine(http.client.HTTPConnection):
    """The engine's socket with nothing in between: one connection, kept alive."""

    def __init__(self, docker_host: str, api_version: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = docker_host.removeprefix("unix://")
        self._version = api_version

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def read(self, path: str) -> bytes:
        self.request("GET", f"/v{self._version}{path}")
        answer = self.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"{path}: {answer.status} {body!r}")
        return body

    def read_json(self, path: str) -> Any:
        return json.loads(self.read(path))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
