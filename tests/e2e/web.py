"""A server over HTTP as an operator starts it, and what tests ask of it."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.process import HANDSHAKE, SESSIONLESS, Exit, Message, eventually

BOTH = "application/json, text/event-stream"


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port for whoever asks for it by its number, and nobody else: the system gives it to no other as a free one."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or it could not be listened on beside this
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


class WebServer:
    """One server process that listens on loopback.

    Args:
        log: the file that takes its standard error.
        env: its whole environment.
        flags: more of them.
        module: the program.
    """

    def __init__(self, log: Path, env: Mapping[str, str], *flags: str, module: str = "mcp_docker") -> None:
        self.log = log
        self._held = contextlib.ExitStack()
        self.port = self._held.enter_context(held_port())
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", module, "--transport", "http", "--port", str(self.port), *flags]
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr, env=dict(env))
        self.http = httpx2.Client(base_url=self.url, timeout=30)

    def __enter__(self) -> Self:
        eventually(self._answers)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            return self.http.get("/healthz").status_code == 200
        return False

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()
        self._held.close()

    def post(self, method: str, params: Message | None = None, token: str = "", **headers: str) -> httpx2.Response:
        """One request of the session-less era."""
        params = dict(params or {})
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
            "io.modelcontextprotocol/clientInfo": {"name": "web", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        sent = {"accept": BOTH, "mcp-protocol-version": SESSIONLESS, "mcp-method": method}
        if "name" in params:
            sent["mcp-name"] = params["name"]
        if token:
            sent["authorization"] = f"Bearer {token}"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.http.post("/mcp", json=body, headers=sent | {n.replace("_", "-"): v for n, v in headers.items()})

    def call(self, tool: str, token: str = "", /, **arguments: Any) -> Message:
        """Call a tool; its result, refused or not."""
        return result_of(self.post("tools/call", {"name": tool, "arguments": arguments}, token))

    def tools(self, token: str = "") -> set[str]:
        """The names of the tools that are listed."""
        return {tool["name"] for tool in result_of(self.post("tools/list", {}, token))["tools"]}

    def metrics(self) -> str:
        return self.http.get("/metrics").text

    def terminate(self) -> Exit:
        """Tell it to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return Exit(self.process.wait(15), time.monotonic() - began)


def result_of(response: httpx2.Response) -> Message:
    """The result in an answer, which may be a stream of events."""
    assert response.status_code == 200, (response.status_code, response.text)
    text = response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        text = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")][-1]
    message = json.loads(text)
    assert "result" in message, message
    result: Message = message["result"]
    return result


@contextlib.asynccontextmanager
async def joined(server: WebServer, era: str, token: str = "", **options: Any) -> AsyncIterator[Client]:
    """The official SDK's client in one era."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        mode: Any = "legacy" if era == HANDSHAKE else "auto"
        async with Client(transport, mode=mode, cache=None, **options) as client:
            assert client.protocol_version == era
            yield client
