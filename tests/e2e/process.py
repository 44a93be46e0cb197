"""A server as a client's configuration starts it, spoken to in plain lines, as no SDK's client can."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jsonschema

HANDSHAKE = "2025-11-25"
SESSIONLESS = "2026-07-28"
COMMAND = (sys.executable, "-m", "mcp_docker")
PATIENCE = 30.0
KILLS = int(os.environ.get("MCP_DOCKER_TEST_KILLS", "5"))
"""At how many moments servers are killed; more of them at night."""
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}
"""For servers whose end is judged: coverage writes its data then, which may take longer than the end itself, and
crashes where two threads end the process at once."""

Message = dict[str, Any]

_MESSAGE = {
    "type": "object",
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["string", "integer", "null"]},
        "error": {"type": "object", "required": ["code", "message"]},
    },
    "required": ["jsonrpc"],
    "oneOf": [{"required": ["method"]}, {"required": ["id", "result"]}, {"required": ["id", "error"]}],
}


def environment(**settings: str) -> dict[str, str]:
    """What a client passes on, and these settings; coverage's own variables too, so that servers are measured."""
    passed = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "SYSTEMROOT")
    kept = {name: value for name, value in os.environ.items() if name in passed or name.startswith("COVERAGE_")}
    return kept | settings


def eventually(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until this holds, and fail when it does not in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {holds}"
        pause.wait(0.02)


@dataclass(frozen=True)
class Exit:
    """How a server ended: its status, and the seconds it took from when it was told to."""

    status: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether it ended by itself. It takes 1.5 seconds at most, which bench holds it to on a quiet machine."""
        return self.status == 0 and self.seconds < 2.0


class ServerProcess:
    """One server. Each line it writes must be a protocol message.

    Args:
        log: the file that takes its standard error.
        env: its whole environment.
        era: the protocol version that requests speak.
        reads: whether anybody reads what it writes.
        capabilities: what the client says that it can do.
    """

    def __init__(
        self,
        log: Path,
        env: Mapping[str, str],
        era: str = HANDSHAKE,
        *,
        reads: bool = True,
        capabilities: Message | None = None,
    ) -> None:
        self.era = era
        self.capabilities = capabilities or {}
        self.log = log
        self.notifications: list[Message] = []
        self._answers: dict[Any, Message] = {}
        self._last_id = 0
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self.strays: list[bytes] = []
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=dict(env)
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        if self._reader.ident is not None:
            self._reader.join(PATIENCE)  # or its last lines would not be looked at
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.strays == [], "standard output carries protocol messages only"

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed
            for line in self.process.stdout:
                try:
                    message = json.loads(line)
                    jsonschema.validate(message, _MESSAGE)
                except (ValueError, jsonschema.ValidationError):
                    self.strays.append(line)
                else:
                    self._messages.put(message)
        self._messages.put(None)

    # What is said to it

    def write(self, line: bytes) -> None:
        """Send these very bytes, and a line's end."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, method: str, params: Message | None = None) -> int:
        """Send a request in this server's era; its id."""
        self._last_id += 1
        params = dict(params or {})
        if self.era == SESSIONLESS:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
                "io.modelcontextprotocol/clientInfo": {"name": "lines", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            } | params.get("_meta", {})
        self.write(json.dumps({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}).encode())
        return self._last_id

    def notify(self, method: str, params: Message) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def open(self) -> Self:
        """Say hello, as the era has it."""
        if self.era == HANDSHAKE:
            client = {"name": "lines", "version": "1"}
            hello = {"protocolVersion": HANDSHAKE, "capabilities": self.capabilities, "clientInfo": client}
            self.request("initialize", hello)
            self.notify("notifications/initialized", {})
        else:
            self.request("server/discover")
        return self

    # What it says

    def answer(self, wanted: Any, seconds: float = PATIENCE) -> Message:
        """The answer to the request of that id."""
        self._hear(lambda: wanted in self._answers, seconds)
        return self._answers.pop(wanted)

    def question(self, seconds: float = PATIENCE) -> Message:
        """The next request that the server makes of its client."""
        self._hear(lambda: any("id" in message for message in self.notifications), seconds)
        (asked, *_) = [message for message in self.notifications if "id" in message]
        self.notifications.remove(asked)
        return asked

    def reply(self, question: Message, result: Message) -> None:
        """Answer a request of the server's."""
        self.write(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": result}).encode())

    def _hear(self, enough: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not enough():
            try:
                message = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"nothing of the kind within {seconds:g} s") from None
            if message is None:
                raise EOFError(f"the server closed its output: {self.log.read_text()}")
            if "method" in message:
                self.notifications.append(message)
            else:
                self._answers[message["id"]] = message

    def request(self, method: str, params: Message | None = None, seconds: float = PATIENCE) -> Message:
        """Ask and get the result."""
        answer = self.answer(self.send(method, params), seconds)
        assert "result" in answer, answer
        result: Message = answer["result"]
        return result

    def begin(self, tool: str, /, **arguments: Any) -> int:
        """Call a tool without waiting; the request's id."""
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def call(self, tool: str, /, **arguments: Any) -> Message:
        """Call a tool; its result, refused or not."""
        answer = self.answer(self.begin(tool, **arguments))
        assert "result" in answer, answer
        result: Message = answer["result"]
        return result

    # How it ends

    def leave(self) -> Exit:
        """Close its input, as a client does that leaves."""
        assert self.process.stdin is not None
        stdin = self.process.stdin
        return self._exit(stdin.close)

    def signal(self, number: signal.Signals) -> Exit:
        return self._exit(lambda: self.process.send_signal(number))

    def _exit(self, tell: Callable[[], None]) -> Exit:
        limit = threading.Timer(10, self.process.kill)
        limit.start()
        began = time.monotonic()
        tell()
        status = self.process.wait()  # with a limit of its own, it would see the end up to 50 ms late
        ended = time.monotonic()
        limit.cancel()
        return Exit(status, ended - began)

    def end(self) -> None:
        """End it if it has not ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def refused(result: Message) -> str:
    """The code of a refused call."""
    assert result["isError"], result
    assert "structuredContent" not in result
    text: str = result["content"][0]["text"]
    assert text.startswith("REFUSED [")
    return text[len("REFUSED [") :].partition("]")[0]


def done(result: Message) -> Message:
    """The data of a call that was done."""
    assert not result["isError"], result
    data: Message = result["structuredContent"]
    return data
