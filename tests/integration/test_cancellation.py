"""Calls that are cancelled at any moment, on a real engine: the work ends there, and nothing half made is left."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import socket
import statistics
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import docker
import pytest

from mcp_docker.audit import open_audit
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER
from tests.e2e.process import eventually
from tests.e2e.proxy import EngineProxy
from tests.integration.conftest import IMAGE

SECONDS = 1.0
"""So soon after it was cancelled, a call's work is over at the engine, as a rule."""
PATIENCE_SECONDS = 8.0
"""Where the machine is busy with something else."""
READY_SECONDS = 20.0
DRAIN_SECONDS = 15.0
ESTABLISHED = 1
LAYER_BYTES = 50_000_000
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Holds = Callable[[], object]
Make = Callable[..., str]


def moments(kind: str, latest: float, count: int = 4) -> list[float]:
    """Moments that are the same in each run, the first and the last possible one among them."""
    chance = random.Random(kind)
    return [0.0, *(round(chance.uniform(0, latest), 3) for _ in range(count)), latest]


@dataclass(frozen=True)
class Ended:
    """What became of a call: its result where it was over before it was cancelled, and what the audit says."""

    result: Result | None
    seconds: float
    audit: dict[str, Any]


def _always() -> bool:
    return True


class Cancelling:
    """Calls tools through the whole pipeline, and cancels them."""

    def __init__(self, audit: Path, record: Callable[[str, object], None]) -> None:
        self._audit = audit
        self._record = record

    def __call__(
        self, name: str, arguments: dict[str, Any], after: float, over: Holds = _always, ready: Holds = _always
    ) -> Ended:
        """Call, wait until it is `ready`, cancel so many seconds `after`, and wait until the work is `over`."""
        return anyio.run(self._cancelled, name, arguments, after, over, ready)

    def each(
        self, name: str, arguments: dict[str, Any], moments: list[float], over: Holds, ready: Holds = _always
    ) -> None:
        """Do so at each of these moments. As a rule, the work is over within a second."""
        took = [SECONDS]
        # once more, if the machine was busy with something else
        for _ in range(2):
            if statistics.median(took) >= SECONDS:
                took = [self(name, arguments, after, over, ready).seconds for after in moments]
                self._record("seconds_to_end", [round(seconds, 3) for seconds in took])
                eventually(over, PATIENCE_SECONDS)
        assert statistics.median(took) < SECONDS, took

    async def _cancelled(self, name: str, arguments: dict[str, Any], after: float, over: Holds, ready: Holds) -> Ended:
        settings = load()
        engine = Engine(settings)
        pipeline = Pipeline(settings, Registry(settings), engine, open_audit(settings))
        assert not (await pipeline.call(Call("docker_version", {}, CALLER))).is_error
        scope, results = anyio.CancelScope(), list[Result]()

        async def call() -> None:
            with scope:
                results.append(await pipeline.call(Call(name, arguments, CALLER)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await _until(ready, READY_SECONDS)
            await anyio.sleep(after)
            scope.cancel()
            began = time.monotonic()
            # what is idle is no work
            await anyio.to_thread.run_sync(engine.forget)
            await _until(over, PATIENCE_SECONDS)
            seconds = time.monotonic() - began
        await pipeline.drain(DRAIN_SECONDS)
        engine.forget()
        lines = [json.loads(line) for line in self._audit.read_text().splitlines()]
        outcome = [line for line in lines if line["event"] == "outcome"][-1]
        assert outcome["tool"] == name
        assert outcome["outcome"] == "cancelled" or results or outcome["outcome"] == "done", outcome
        return Ended(results[0] if results else None, seconds, outcome)


async def _until(holds: Holds, seconds: float) -> None:
    with anyio.fail_after(seconds):
        while not await anyio.to_thread.run_sync(holds):  # noqa: ASYNC110 - it happens elsewhere
            await anyio.sleep(0.01)


@pytest.fixture
def cancelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Cancelling:
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "true")
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", str(tmp_path))
    return Cancelling(tmp_path / "audit.jsonl", record_property)


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProxy]:
    """Counts the connections of the calls at the engine."""
    between = EngineProxy(tmp_path / "proxy.sock", os.environ["DOCKER_HOST"])
    between.start()
    monkeypatch.setenv("DOCKER_HOST", between.address)
    yield between
    between.stop()


# --- registries ------------------------------------------------------------------------------------------


class SlowRegistry:
    """Speaks as much of the registry's protocol as a pull or push needs to begin, and then moves a layer without end.

    It is never silent: at the next byte only, an engine lets go of a registry.
    """

    def __init__(self) -> None:
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]}}
        ).encode()
        self.layer = "sha256:" + uuid.uuid4().hex * 2
        self.blobs = {_digest(config): config}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": LAYER, "size": LAYER_BYTES, "digest": self.layer}],
        }
        self.manifest = json.dumps(manifest).encode()
        self.moving = 0
        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": self}))
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def is_asked(self) -> bool:
        return self.moving > 0

    def is_let_go(self) -> bool:
        return self.moving == 0

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: SlowRegistry

    def do_GET(self) -> None:
        if "/manifests/" in self.path:
            self._answer(200, self.registry.manifest, ("Content-Type", MANIFEST))
        elif self.path.endswith(self.registry.layer):
            self.send_response(200)
            self.send_header("Content-Length", str(LAYER_BYTES))
            self.end_headers()
            self._move(lambda: self.wfile.write(bytes(1_000)))
        else:
            self._answer(200, self.registry.blobs.get(self.path.rpartition("/")[2], b"{}"))

    def do_HEAD(self) -> None:
        self._answer(404, b"")

    def do_POST(self) -> None:
        place = self.path.partition("?")[0]
        self._answer(202, b"", ("Location", f"http://{self.registry.address}{place}{uuid.uuid4()}"))

    def do_PATCH(self) -> None:
        self._move(lambda: self.rfile.read(100_000))

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), ("Docker-Content-Digest", _digest(body)), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _move(self, some: Callable[[], object]) -> None:
        """Move some bytes again and again, until the engine hangs up."""
        self.registry.moving += 1
        with contextlib.suppress(OSError):
            # the kernel knows: an end can't be read behind what has not been read yet
            while self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
                some()
                if self.registry.over.wait(0.01):
                    break
        self.registry.moving -= 1
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowRegistry]:
    made = SlowRegistry()
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", made.address)
    monkeypatch.setenv("SAFETY_ALLOWED_PUSH_REGISTRIES", made.address)
    yield made
    made.close()


def test_a_cancelled_pull_lets_go_of_the_registry(
    cancelled: Cancelling, registry: SlowRegistry, raw: docker.APIClient
) -> None:
    image = f"{registry.address}/slow"
    cancelled.each("docker_pull_image", {"image": image}, moments("pull", 0.5), registry.is_let_go, registry.is_asked)
    assert not raw.images(name=image)


def test_a_pull_that_was_cancelled_early_does_not_go_on(
    cancelled: Cancelling, registry: SlowRegistry, raw: docker.APIClient
) -> None:
    image = f"{registry.address}/slow"
    cancelled.each("docker_pull_image", {"image": image}, moments("pull from the start", 0.3), registry.is_let_go)
    assert not raw.images(name=image)


@pytest.fixture
def to_push(registry: SlowRegistry, raw: docker.APIClient) -> Iterator[str]:
    """An image with a layer too large to be sent at once."""
    name = f"{registry.address}/t{uuid.uuid4().hex[:12]}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("noise")
        info.size = 40_000_000
        archive.addfile(info, io.BytesIO(os.urandom(info.size)))
    raw.import_image_from_data(packed.getvalue(), repository=name, tag="v1")
    yield f"{name}:v1"
    raw.remove_image(f"{name}:v1", force=True)


def test_a_cancelled_push_lets_go_of_the_registry(cancelled: Cancelling, registry: SlowRegistry, to_push: str) -> None:
    arguments = {"image": to_push}
    cancelled.each("docker_push_image", arguments, moments("push", 0.5, 2), registry.is_let_go, registry.is_asked)


# --- builds ----------------------------------------------------------------------------------------------


def test_a_cancelled_build_ends_with_its_container(
    cancelled: Cancelling, raw: docker.APIClient, tmp_path: Path, label: str
) -> None:
    mark = uuid.uuid4().hex
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "noise").write_bytes(gzip.compress(os.urandom(5_000_000), 0))
    steps = "".join(f"RUN sleep 0.{number} # {mark}\n" for number in range(1, 4))
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY noise /\n{steps}RUN sleep 60 # {mark}\n")

    def is_over() -> bool:
        containers = [each for each in raw.containers(all=True) if mark in str(each["Command"])]
        return not containers and not _processes(mark)

    arguments = {"path": str(folder), "labels": [label], "tag": f"mcp-docker-{mark}", "nocache": True}
    cancelled.each("docker_build_image", arguments, moments("build", 2.0), is_over)
    assert not raw.images(name=f"mcp-docker-{mark}")


def _processes(mark: str) -> list[str]:
    """The processes of this machine whose command has this."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (place / "cmdline").read_bytes().decode(errors="replace")
            if mark in command and int(place.name) != os.getpid():
                found.append(command)
    return found


# --- streams ---------------------------------------------------------------------------------------------


def test_cancelled_logs_are_followed_no_more(cancelled: Cancelling, container: Make, proxy: EngineProxy) -> None:
    chatty = container(["sh", "-c", "while :; do echo hello; sleep 0.1; done"])
    arguments = {"container_id": chatty, "follow": True, "seconds": 40}
    cancelled.each("docker_container_logs", arguments, moments("logs", 1.5), lambda: proxy.connections == 0)


def test_cancelled_events_are_read_no_more(cancelled: Cancelling, proxy: EngineProxy) -> None:
    cancelled.each("docker_events", {"since": "24h"}, moments("events", 0.1), lambda: proxy.connections == 0)


def test_cancelled_stats_are_measured_no_more(cancelled: Cancelling, container: Make, proxy: EngineProxy) -> None:
    container()
    cancelled.each("docker_container_stats", {}, moments("stats", 1.0), lambda: proxy.connections == 0)


# --- commands and stops ----------------------------------------------------------------------------------


def test_a_cancelled_command_is_ended(cancelled: Cancelling, raw: docker.APIClient, container: Make) -> None:
    idle = container()

    def is_over() -> bool:
        return "sleep 64" not in str(raw.top(idle))

    arguments = {"container_id": idle, "command": ["sh", "-c", "trap '' TERM; sleep 64 & sleep 64; sleep 64"]}
    cancelled.each("docker_exec_command", arguments, moments("exec", 0.4, 8), is_over)


def test_a_cancelled_command_that_can_not_be_ended_is_named_in_the_audit(
    cancelled: Cancelling, raw: docker.APIClient, container: Make
) -> None:
    # without its shell the container can't be asked to end anything
    idle = container(["sh", "-c", "rm /bin/sh; sleep 300"])
    eventually(lambda: "/bin/sh" in [each["Path"] for each in raw.diff(idle) or []])

    def is_running() -> bool:
        return "sleep 65" in str(raw.top(idle))

    ended = cancelled("docker_exec_command", {"container_id": idle, "command": ["sleep", "65"]}, 0, ready=is_running)
    assert is_running()
    running = [
        each
        for each in raw.inspect_container(idle)["ExecIDs"]
        if f"still runs in the container (exec {each})" in ended.audit["message"]
    ]
    assert len(running) == 1


def test_a_cancelled_stop_is_waited_for_no_more(cancelled: Cancelling, container: Make, proxy: EngineProxy) -> None:
    stubborn = container(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    arguments = {"container_id": stubborn, "timeout": 30}
    cancelled.each("docker_stop_container", arguments, moments("stop", 1.5, 2), lambda: proxy.connections == 0)


# --- making and removing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("after", moments("create", 0.8, 10))
def test_a_container_whose_creation_was_cancelled_is_removed_with_the_volumes_it_brought(
    cancelled: Cancelling, raw: docker.APIClient, label: str, after: float
) -> None:
    volume = f"mcp-docker-{uuid.uuid4().hex}"
    arguments = {
        "image": IMAGE,
        "command": ["sleep", "300"],
        "labels": [label],
        "volumes": [f"{volume}:/data", "/anonymous"],
        "start": True,
    }
    try:
        ended = cancelled("docker_create_container", arguments, after)
        left = raw.containers(all=True, filters={"label": [label]})
        brought = raw.volumes(filters={"name": [volume]})["Volumes"] or []
        assert len(left) == len(brought) == int(ended.audit["outcome"] == "done"), ended.audit
    finally:
        for each in raw.containers(all=True, filters={"label": [label]}):
            raw.remove_container(each["Id"], force=True, v=True)
        with contextlib.suppress(docker.errors.NotFound):
            raw.remove_volume(volume)


@pytest.mark.parametrize("after", moments("network", 0.3))
def test_a_network_whose_creation_was_cancelled_is_removed(
    cancelled: Cancelling, raw: docker.APIClient, label: str, after: float
) -> None:
    name = f"mcp-docker-{uuid.uuid4().hex[:12]}"
    ended = cancelled("docker_create_network", {"name": name, "labels": [label]}, after)
    assert len(raw.networks(names=[name])) == int(ended.audit["outcome"] == "done"), ended.audit


@pytest.mark.parametrize("after", moments("volume", 0.05))
def test_a_volume_whose_creation_was_cancelled_is_removed(
    cancelled: Cancelling, raw: docker.APIClient, label: str, after: float
) -> None:
    name = f"mcp-docker-{uuid.uuid4().hex}"
    ended = cancelled("docker_create_volume", {"name": name, "labels": [label]}, after)
    left = raw.volumes(filters={"name": [name]})["Volumes"] or []
    assert len(left) == int(ended.audit["outcome"] == "done"), ended.audit


@pytest.mark.parametrize("after", moments("prune", 0.4))
def test_a_cancelled_prune_stops_and_says_what_is_gone(
    cancelled: Cancelling, raw: docker.APIClient, label: str, after: float
) -> None:
    key, _, value = label.partition("=")
    names = {raw.create_volume(labels={key: value})["Name"] for _ in range(40)}

    def left() -> set[str]:
        return {each["Name"] for each in raw.volumes(filters={"label": [label]})["Volumes"] or []}

    ended = cancelled("docker_prune_volumes", {"filters": {"label": label}, "all": True}, after)
    if ended.audit["outcome"] == "done":
        assert not left()
        return
    # the engine ends what was under way, and there would be time for more
    time.sleep(0.5)
    there = left()
    said = {name for name in names if name in ended.audit.get("message", "")}
    assert not said & there
    # the one that was under way
    assert len(names - there - said) <= 1
