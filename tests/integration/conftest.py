"""Calls on a real engine, the one of DOCKER_HOST, which has the image of `scripts/engine image`."""

import os
import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from mcp_docker.audit import open_audit
from mcp_docker.caller import Caller
from mcp_docker.confirm import Ask
from mcp_docker.engine import Engine, own, usage
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.progress import Progress
from mcp_docker.prompts import optimize_container
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from mcp_docker.tool import Kind
from mcp_docker.tools.containers import lifecycle
from tests.conftest import CALLER

IMAGE = "mcp-docker-test:latest"
PATIENCE_SECONDS = 20.0
Run = Callable[..., Result]


@pytest.fixture(scope="session")
def raw() -> Iterator[docker.APIClient]:
    """The engine itself, to arrange and to check."""
    client = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version="auto")
    yield client
    client.close()


@pytest.fixture
def is_podman(raw: docker.APIClient) -> bool:
    return any("podman" in part["Name"].lower() for part in raw.version().get("Components", []))


@pytest.fixture(autouse=True)
def shares_files_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests run in a container, the engine does too, in the same one."""
    monkeypatch.setattr(own, "in_container", lambda: False)
    monkeypatch.setattr(own, "container_id", lambda: None)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is busy with other tests gets the time to tell sizes, and to remove what goes with its end."""
    monkeypatch.setattr(usage, "SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(optimize_container, "SIZE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(lifecycle, "REMOVAL_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Call a tool through the whole pipeline: run("docker_version"), run("docker_list_containers", all=True).

    Prompts too: run("troubleshoot_container", kind=Kind.PROMPT, container_id="web").
    """
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "true")
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", str(tmp_path))
    if registry := os.environ.get("MCP_DOCKER_TEST_REGISTRY"):
        monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", registry)
        monkeypatch.setenv("SAFETY_ALLOWED_PUSH_REGISTRIES", registry)
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
        engine = Engine(settings)
        opened.append(engine)
        pipeline = Pipeline(settings, Registry(settings), engine, open_audit(settings))
        return anyio.run(pipeline.call, Call(name, arguments, caller, progress, ask, kind=kind))

    yield call
    for engine in opened:
        engine.forget()


@pytest.fixture
def label(raw: docker.APIClient) -> Iterator[str]:
    """A label of this test alone; every container, network, volume and image that carries it is removed afterwards."""
    name = f"mcp-docker.test={uuid.uuid4().hex}"
    yield name
    wanted = {"label": [name]}
    for container in raw.containers(all=True, filters=wanted):
        remove(raw.remove_container, container["Id"], force=True, v=True)
    for network in raw.networks(filters=wanted):
        remove(raw.remove_network, network["Id"])
    for volume in raw.volumes(filters=wanted)["Volumes"] or []:
        remove(raw.remove_volume, volume["Name"], force=True)
    for image in raw.images(all=True, filters=wanted):
        remove(raw.remove_image, image["Id"], force=True)


def remove(how: Callable[..., object], name: str, **more: bool) -> None:
    """Remove an object. One that is gone is no error, and one that is going is waited for."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            how(name, **more)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if "in progress" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """A port of this host that nobody listens on, below those that systems and engines give to whoever asks for any."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@pytest.fixture
def container(raw: docker.APIClient, label: str) -> Callable[..., str]:
    """Make a container that carries the label, started unless start=False; its id."""

    def make(command: list[str] | None = None, *, start: bool = True, **arguments: Any) -> str:
        key, _, value = label.partition("=")
        host = raw.create_host_config(**arguments.pop("host", {}))
        labels = arguments.pop("labels", {}) | {key: value}
        made = raw.create_container(IMAGE, command or ["sleep", "300"], labels=labels, host_config=host, **arguments)
        if start:
            raw.start(made["Id"])
        return str(made["Id"])

    return make
