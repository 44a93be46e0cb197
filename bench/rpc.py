"""A JSON-RPC client over a server's pipes: cheap, and the same for every server that is measured.

The SDK's own client would cost more than the servers do, and would hide the difference between them.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

PROTOCOL = "2025-11-25"
PATIENCE = 60.0
"""Seconds until an answer that doesn't come ends the run."""

Message = dict[str, Any]


class CallError(Exception):
    """The server answered with an error, or not at all."""


@dataclass(frozen=True)
class Exit:
    """How a process ended."""

    status: int
    """What it left with, or -N for signal N."""
    cpu: float
    """User and system seconds, over its whole life."""


class StdioServer:
    """A server process, spoken to in the handshake of 2025-11-25."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> None:
        theirs, self._stdin = os.pipe()
        self._stdout, theirs_too = os.pipe()
        # A session of its own: Ctrl-C reaches the bench alone, which then ends its servers in order.
        self._process = subprocess.Popen(  # noqa: S603 (the command is ours)
            command, stdin=theirs, stdout=theirs_too, stderr=log, env=env, start_new_session=True
        )
        os.close(theirs)
        os.close(theirs_too)
        self._readable = select.poll()
        self._readable.register(self._stdout, select.POLLIN)
        self._buffer = bytearray()
        self._last_id = 0
        self._exit: Exit | None = None
        self.early: dict[int, Message] = {}
        """Answers that came while another one was waited for."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    # Messages

    def send(self, method: str, params: Message) -> int:
        self._last_id += 1
        self._write({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})
        return self._last_id

    def notify(self, method: str, params: Message) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def receive(self, patience: float = PATIENCE) -> Message:
        """The next answer, whatever it answers."""
        deadline = time.monotonic() + patience
        while True:
            message: Message = json.loads(self._line(deadline))
            if "method" not in message:
                return message
            if "id" in message:
                refusal = {"code": -32601, "message": "the bench answers no requests"}
                self._write({"jsonrpc": "2.0", "id": message["id"], "error": refusal})

    def request(self, method: str, params: Message) -> Message:
        wanted = self.send(method, params)
        while (message := self.receive())["id"] != wanted:
            self.early[message["id"]] = message
        if "error" in message:
            raise CallError(f"{method}: {message['error']}")
        result: Message = message["result"]
        return result

    def _write(self, message: Message) -> None:
        # Shorter than a pipe's atomic write, so all of it goes at once.
        os.write(self._stdin, json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _line(self, deadline: float) -> bytes:
        seen = 0
        while (cut := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if not self._readable.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError("no answer in time")
            chunk = os.read(self._stdout, 1 << 20)
            if not chunk:
                raise CallError(f"the server is gone: {self.wait(PATIENCE)}")
            self._buffer += chunk
        line = bytes(self._buffer[:cut])
        del self._buffer[: cut + 1]
        return line

    # MCP

    def handshake(self) -> Message:
        client = {"name": "bench", "version": "1"}
        hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}
        result = self.request("initialize", hello)
        self.notify("notifications/initialized", {})
        return result

    def tools(self) -> list[Message]:
        page = self.request("tools/list", {})
        tools: list[Message] = page["tools"]
        while cursor := page.get("nextCursor"):
            page = self.request("tools/list", {"cursor": cursor})
            tools += page["tools"]
        return tools

    def call(self, tool: str, arguments: Message) -> Message:
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        if result.get("isError"):
            raise CallError(f"{tool}: {result['content']}")
        return result

    def send_call(self, tool: str, arguments: Message) -> int:
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def answers_within(self, seconds: float) -> list[Message]:
        """What comes in the time given, after which the bench goes on."""
        deadline = time.monotonic() + seconds
        answers = []
        try:
            while True:
                answers.append(self.receive(deadline - time.monotonic()))
        except TimeoutError:
            return answers

    # Process

    def close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def signal(self, number: signal.Signals) -> None:
        if self._exit is None:
            os.kill(self.pid, number)

    def wait(self, patience: float) -> Exit | None:
        """How it ended, or None if it still lives when the time is up."""
        if self._exit is None:
            descriptor = os.pidfd_open(self.pid)
            gone = select.poll()
            gone.register(descriptor, select.POLLIN)
            ended = gone.poll(patience * 1000)
            os.close(descriptor)
            if ended:
                _, status, usage = os.wait4(self.pid, 0)
                self._exit = Exit(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)
                # Popen would otherwise warn that nobody waited.
                self._process.returncode = self._exit.status
        return self._exit

    def end(self) -> Exit:
        """End it politely, then less so."""
        self.close_stdin()
        ended = self.wait(5)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if ended is None:
                self.signal(number)
                ended = self.wait(5)
        if ended is None:
            raise CallError(f"process {self.pid} outlives SIGKILL")
        if self._stdout >= 0:
            os.close(self._stdout)
            self._stdout = -1
        return ended

    def memory(self, field: str) -> int:
        """Bytes of VmRSS or VmHWM."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(field)

    def forget_peak(self) -> None:
        """Let VmHWM begin again from what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
