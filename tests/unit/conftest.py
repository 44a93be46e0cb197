"""The seam of unit tests: a real HTTP server on a socket, below docker-py, that answers as the test says."""

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
import pytest

from mcp_docker.audit import open_audit
from mcp_docker.caller import Caller
from mcp_docker.confirm import Ask
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.progress import Progress
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from mcp_docker.tool import Kind
from tests.conftest import CALLER


@dataclass(frozen=True)
class Request:
    """A request that arrived: the path without its version, the query with single values, the decoded body."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


Body = Any | bytes | Iterable[bytes] | Callable[[Request], Any]


class FakeEngine:
    """Answers `on` was told; anything else is a 404. `requests` has all but GET /version and GET /info."""

    def __init__(self, path: Path, api: str = "1.41") -> None:
        self.address = f"unix://{path}"
        self.requests: list[Request] = []
        self.api = api
        self.routes: list[tuple[str, str, int, Body]] = []
        self.version: dict[str, Any] = {"Version": "20.10.24", "Os": "linux", "Arch": "amd64"}
        self.info: dict[str, Any] = {"DockerRootDir": "/var/lib/docker"}
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                engine.handle(self)

            do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

            def address_string(self) -> str:
                return "client"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 64  # as engines have it: one that is too short refuses, where it is slow to accept

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def be_podman(self, version: str = "4.3.1") -> None:
        """Say that it is Podman."""
        self.version = {"Version": version, "Components": [{"Name": "Podman Engine", "Version": version}]}

    def on(self, method: str, path: str, body: Body = b"", status: int = 200) -> None:
        """Answer requests whose path (without /v1.xx) fully matches the pattern; the newest rule wins.

        `body` is JSON data, bytes, an iterator of bytes (sent chunked as they come), or a function of the request
        that returns one of these; a tuple (status, body) from it sets the status too.
        """
        self.routes.insert(0, (method, path, status, body))

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        path = re.sub(r"^/v1\.\d+", "", unquote(url.path))
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("Transfer-Encoding") == "chunked":
            while size := int(handler.rfile.readline(), 16):
                raw += handler.rfile.read(size)
                handler.rfile.readline()
            handler.rfile.readline()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        request = Request(handler.command, path, query, body, dict(handler.headers.items()))
        if path == "/version" and url.path == "/version":
            self.send(handler, 200, self.version | {"ApiVersion": self.api})
            return
        if path == "/info":
            self.send(handler, 200, self.info)
            return
        self.requests.append(request)
        for method, pattern, status, answer in self.routes:
            if method == request.method and re.fullmatch(pattern, path):
                result = answer(request) if callable(answer) else answer
                code, result = result if isinstance(result, tuple) else (status, result)
                self.send(handler, code, result)
                return
        self.send(handler, 404, {"message": f"No such route: {path}"})

    def send(self, handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
        handler.send_response(status)
        if isinstance(body, dict | list | str):
            body = json.dumps(body).encode()
        if isinstance(body, bytes):
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in body:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests of that method whose path fully matches."""
        return [each for each in self.requests if each.method == method and re.fullmatch(path, each.path)]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    fake = FakeEngine(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", fake.address)
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "true")
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


Run = Callable[..., Result]


@pytest.fixture
def run(engine: FakeEngine) -> Iterator[Run]:  # noqa: ARG001 - the calls go there
    """Call a tool through the whole pipeline: run("docker_version"), run("docker_list_containers", all=True).

    Prompts too: run("troubleshoot_container", kind=Kind.PROMPT, container_id="web").
    """
    opened: list[Engine] = []

    def call(
        name: str,
        /,
        progress: Progress | None = None,
        ask: Ask | None = None,
        kind: Kind = Kind.TOOL,
        caller: Caller = CALLER,
        **arguments: Any,
    ) -> Result:
        settings = load()
        client = Engine(settings)
        opened.append(client)
        pipeline = Pipeline(settings, Registry(settings), client, open_audit(settings))
        return anyio.run(pipeline.call, Call(name, arguments, caller, progress, ask, kind=kind))

    yield call
    for client in opened:
        client.forget()
