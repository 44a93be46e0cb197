"""The image of the server: built by its own tool, run as deploy/compose.yaml runs it."""

import contextlib
import io
import json
import os
import shutil
import stat
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import docker
import httpx2
import pytest

from mcp_docker import __version__
from mcp_docker.audit import open_audit
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER, data_of
from tests.e2e.process import SESSIONLESS, eventually
from tests.e2e.web import BOTH, result_of
from tests.integration.image import example, ingredients
from tests.unit.authorization_server import certificate

SOCKET = "/var/run/docker.sock"
HEALTHY = ("python", "/opt/mcp-docker/healthy.py")
SECOND = 1_000_000_000
START_SECONDS = 90.0
UNSAFE = ("--transport", "http", "--host", "0.0.0.0", "--insecure-no-auth")
BEHIND_A_PROXY = {"SECURITY_TRUSTED_PROXIES": "192.0.2.1"}


@pytest.fixture(scope="module")
def marked(raw: docker.APIClient) -> Iterator[dict[str, str]]:
    """A label for all that this module makes, which is removed with everything that carries it."""
    name = uuid.uuid4().hex
    yield {"mcp-docker.test": name}
    wanted = {"label": [f"mcp-docker.test={name}"]}
    for made in raw.containers(all=True, filters=wanted):
        raw.remove_container(made["Id"], force=True, v=True)
    for volume in raw.volumes(filters=wanted)["Volumes"] or []:
        raw.remove_volume(volume["Name"], force=True)
    # a build that failed leaves layers too; those that others stand on go after them
    while left := raw.images(all=True, filters=wanted):
        parents = {image["ParentId"] for image in left}
        for image in left:
            if image["Id"] not in parents:
                with contextlib.suppress(docker.errors.NotFound):
                    raw.remove_image(image["Id"], force=True)


@pytest.fixture(scope="module")
def image(raw: docker.APIClient, marked: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image's name, built from this checkout by docker_build_image."""
    assert sys.platform == "linux", "the image's base is made of this machine's Python: run this on Linux"
    fetched = ingredients.fetched()
    name = f"localhost/mcp-docker-image-{next(iter(marked.values()))[:12]}"
    context = io.BytesIO(ingredients.base(fetched / "pip"))
    steps = list(
        raw.build(fileobj=context, custom_context=True, tag=f"{name}:base", labels=marked, rm=True, decode=True)
    )
    assert "error" not in steps[-1], steps
    folder = tmp_path_factory.mktemp("image") / "context"
    left = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("src", "requirements", "deploy"):
        shutil.copytree(ingredients.ROOT / part, folder / part, ignore=left)
    for part in ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ingredients.ROOT / part, folder)
    shutil.copytree(fetched / "wheels", folder / "requirements/wheels")
    settings = load(safety_allowed_build_roots=(str(folder),), security_audit_log_file=folder.with_name("audit.jsonl"))
    engine = Engine(settings)
    try:
        pipeline = Pipeline(settings, Registry(settings), engine, open_audit(settings))
        arguments = {
            "path": str(folder),
            "tag": f"{name}:latest",
            "buildargs": {"BASE": f"{name}:base", "VERSION": __version__},
            "labels": marked,
        }
        answer = data_of(anyio.run(pipeline.call, Call("docker_build_image", arguments, CALLER)))
    finally:
        engine.forget()
    assert answer["tag"] == f"{name}:latest"
    assert "left_out" not in answer, "a file that the image needs looks like a secret"
    return f"{name}:latest"


@dataclass(frozen=True)
class Contained:
    """A server in a container."""

    raw: docker.APIClient
    id: str

    def inspect(self) -> dict[str, Any]:
        return dict(self.raw.inspect_container(self.id))

    def wait_until_healthy(self) -> None:
        """Wait for the health check of the image, or for what it would run on Podman, whose images hold none."""
        if _is_podman(self.raw):
            eventually(lambda: self._exec(*HEALTHY)[0] == 0 or not self._runs(), START_SECONDS)
            assert self._runs(), self.log()
        else:
            eventually(lambda: self._health() == "healthy" or not self._runs(), START_SECONDS)
            assert self._health() == "healthy", self.log()

    def _health(self) -> str:
        return str(self.inspect()["State"]["Health"]["Status"])

    def _runs(self) -> bool:
        return bool(self.inspect()["State"]["Running"])

    def _exec(self, *command: str) -> tuple[int, str]:
        made = self.raw.exec_create(self.id, list(command))["Id"]
        output = self.raw.exec_start(made).decode()
        return self.raw.exec_inspect(made)["ExitCode"], output

    def log(self) -> str:
        return str(self.raw.logs(self.id).decode())

    @contextlib.contextmanager
    def http(self) -> Iterator[httpx2.Client]:
        """A client of the published port."""
        port = self.inspect()["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"]
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client

    def call(self, tool: str, **arguments: Any) -> str:
        """The text of a call's result."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
            "io.modelcontextprotocol/clientInfo": {"name": "image", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        names = {"mcp-protocol-version": SESSIONLESS, "mcp-method": "tools/call", "mcp-name": tool}
        with self.http() as client:
            answer = client.post("/mcp", json=body, headers={"accept": BOTH, **names})
        return str(result_of(answer)["content"][0]["text"])

    def output(self, *command: str) -> str:
        """What a command in the container prints."""
        return self._exec(*command)[1]

    def file(self, path: str) -> tuple[tarfile.TarInfo, bytes]:
        """A file in the container, also when it has ended."""
        chunks, _ = self.raw.get_archive(self.id, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            entry = tar.getmembers()[0]
            content = tar.extractfile(entry)
            return entry, content.read() if content else b""

    def wait(self) -> int:
        """The exit status."""
        return int(self.raw.wait(self.id, timeout=int(START_SECONDS))["StatusCode"])


def _is_podman(raw: docker.APIClient) -> bool:
    return any("podman" in part["Name"].lower() for part in raw.version().get("Components", []))


Start = Callable[..., Contained]


@pytest.fixture(scope="module")
def start(raw: docker.APIClient, image: str, marked: dict[str, str]) -> Start:
    """Start the image with as little as it needs: start(*arguments, tls=file, VARIABLE="value")."""
    socket = Path(os.environ["DOCKER_HOST"].removeprefix("unix://"))

    # Podman's socket is its owner's alone, whose group doesn't help
    owner = str(socket.stat().st_uid) if _is_podman(raw) else None

    def started(*command: str, tls: Path | None = None, **environment: str) -> Contained:
        host = raw.create_host_config(
            binds=[f"{socket}:{SOCKET}", *([f"{tls}:/tls.pem:ro"] if tls else [])],
            cap_drop=["ALL"],
            group_add=[str(socket.stat().st_gid)],
            port_bindings={"8000/tcp": ("127.0.0.1", None)},
            read_only=True,
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": "mode=1777"} | ({"/state": "mode=700"} if owner else {}),
        )
        made = raw.create_container(
            image,
            list(command) or None,
            environment=environment,
            healthcheck={"interval": SECOND, "retries": 30, "start_period": SECOND // 1000},
            host_config=host,
            labels=marked,
            ports=[8000],
            user=owner,
        )
        raw.start(made["Id"])
        return Contained(raw, str(made["Id"]))

    return started


@pytest.fixture(scope="module")
def server(start: Start) -> Contained:
    """One that asks for no tokens, since nobody here could issue any."""
    settings = {"SAFETY_VOLUME_MOUNT_ALLOWLIST": "/srv", "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS": "true"}
    server = start(*UNSAFE, **BEHIND_A_PROXY, **settings)
    server.wait_until_healthy()
    return server


def test_the_image_says_how_it_is_run(raw: docker.APIClient, image: str) -> None:
    made = raw.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
    config = made["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["mcp-docker"]
    assert config["Cmd"] == ["--transport", "http", "--host", "0.0.0.0"]
    assert list(config["Volumes"]) == ["/state"]
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert config["StopSignal"] == "SIGTERM"
    if not _is_podman(raw):
        assert config["Healthcheck"]["Test"] == ["CMD", *HEALTHY]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__


def test_it_does_not_start_open_to_anybody(start: Start) -> None:
    refused = start()
    assert refused.wait() == 78
    assert "SECURITY_OAUTH_ENABLED" in refused.log()
    assert "SECURITY_TRUSTED_PROXIES" in refused.log()


def test_with_the_settings_of_the_example_it_serves_whoever_has_a_token(start: Start) -> None:
    server = start(**example.settings())
    server.wait_until_healthy()
    with server.http() as client:
        eventually(lambda: client.get("/readyz").status_code == 200)  # a cold start may take a probe's two seconds
        assert client.post("/mcp", json={}).status_code == 421
        answer = client.post("/mcp", json={}, headers={"host": "mcp.example.com"})
    assert answer.status_code == 401
    metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{metadata}"' in answer.headers["www-authenticate"]


def test_the_health_check_speaks_tls_where_the_server_does(start: Start, tmp_path: Path) -> None:
    both = certificate(tmp_path)
    both.chmod(0o444)
    server = start(*UNSAFE, "--tls-cert", "/tls.pem", "--tls-key", "/tls.pem", tls=both)
    server.wait_until_healthy()


def test_it_is_not_root_and_reaches_the_engine(server: Contained) -> None:
    if not _is_podman(server.raw):
        assert server.output("id", "-u").strip() == "10001"
    with server.http() as client:
        eventually(lambda: client.get("/readyz").status_code == 200)  # a cold start may take a probe's two seconds
    answer = json.loads(server.call("docker_version"))
    assert answer["engine"]["address"] == f"unix://{SOCKET}"


def test_calls_are_recorded_in_the_volume(server: Contained) -> None:
    server.call("docker_list_networks")
    entry, content = server.file("/state/audit.jsonl")
    assert stat.S_IMODE(entry.mode) == 0o600
    assert entry.uid == (0 if _is_podman(server.raw) else 10001)
    assert "docker_list_networks" in [json.loads(line).get("tool") for line in content.splitlines()]


def test_paths_of_the_host_cannot_be_checked_from_inside(server: Contained) -> None:
    refused = server.call("docker_create_container", image="nothing", volumes=["/srv:/srv"])
    assert refused.startswith("REFUSED [MOUNT_NOT_CHECKABLE]")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("docker_stop_container", {}), ("docker_restart_container", {}), ("docker_remove_container", {"force": True})],
)
def test_it_does_not_end_itself(server: Contained, tool: str, arguments: dict[str, Any]) -> None:
    assert server.call(tool, container_id=server.id, **arguments).startswith("REFUSED [OWN_CONTAINER]")
    assert server.inspect()["State"]["Running"]


def test_told_to_end_it_ends_well_and_has_written_nowhere_else(start: Start) -> None:
    server = start(*UNSAFE, **BEHIND_A_PROXY)
    server.wait_until_healthy()
    assert "engine" in json.loads(server.call("docker_version"))
    server.raw.kill(server.id, "SIGTERM")
    assert server.raw.wait(server.id, timeout=11)["StatusCode"] == 0
    # engines make the places that they mount on, of which Podman has more
    mounted = {PurePosixPath(path) for path in (SOCKET, "/state", "/tmp", "/etc/hosts", "/var/tmp")}
    places = {str(part) for path in mounted for part in (path, *path.parents)}
    written = {change["Path"] for change in server.raw.diff(server.id) or []}
    assert written <= places
