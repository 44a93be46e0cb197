"""Images to and from registries, on a real engine: the one of scripts/engine, and ones that misbehave."""

import base64
import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from mcp_docker.audit import open_audit
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER, code_of, data_of
from tests.integration.conftest import PATIENCE_SECONDS, Run

Build = Callable[..., str]


@pytest.fixture
def repository() -> str:
    """A repository of the test registry that nobody else uses."""
    return f"{os.environ['MCP_DOCKER_TEST_REGISTRY']}/t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def build(run: Run, label: str, tmp_path: Path) -> Build:
    """Build an image with that tag and content; its id."""

    def make(tag: str, content: str = "x") -> str:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        (folder / "file").write_text(content)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
        return str(data_of(run("docker_build_image", path=str(folder), tag=tag, labels=[label]))["id"])

    return make


def test_an_image_goes_to_the_registry_and_comes_back(run: Run, build: Build, repository: str) -> None:
    told: list[str] = []

    async def progress(_done: float, _total: float | None, message: str) -> None:
        told.append(message)

    image = build(f"{repository}:v1")
    pushed = data_of(run("docker_push_image", image=repository, tag="v1", progress=progress))
    assert pushed["reference"] == f"{repository}:v1"
    assert told[-1].startswith(f"pushing {repository}:v1")

    data_of(run("docker_remove_image", image=f"{repository}:v1"))
    assert code_of(run("docker_inspect_image", image=f"{repository}:v1")) == "IMAGE_NOT_FOUND"

    pulled = data_of(run("docker_pull_image", image=f"{repository}:v1"))
    assert (pulled["id"], pulled["up_to_date"]) == (image, False)
    assert "previous_id" not in pulled
    assert data_of(run("docker_pull_image", image=repository, tag="v1"))["up_to_date"] is True

    data_of(run("docker_remove_image", image=f"{repository}:v1"))
    by_digest = data_of(run("docker_pull_image", image=f"{repository}@{pushed['digest']}"))
    assert by_digest["reference"] == f"{repository}@{pushed['digest']}"
    assert data_of(run("docker_inspect_image", image=by_digest["id"]))["tags"] == []


def test_a_pull_that_moves_a_tag_reports_the_id_it_had(run: Run, build: Build, repository: str) -> None:
    new = build(f"{repository}:v1", "new")
    data_of(run("docker_push_image", image=f"{repository}:v1"))
    old = build(f"{repository}:v1", "old")
    pulled = data_of(run("docker_pull_image", image=f"{repository}:v1"))
    assert (pulled["id"], pulled["previous_id"], pulled["up_to_date"]) == (new, old, False)


def test_all_tags_of_a_repository_come_at_once(run: Run, build: Build, repository: str, is_podman: bool) -> None:
    for tag in ("a", "b"):
        build(f"{repository}:{tag}", tag)
        data_of(run("docker_push_image", image=f"{repository}:{tag}"))
        data_of(run("docker_remove_image", image=f"{repository}:{tag}"))
    result = run("docker_pull_image", image=repository, all_tags=True)
    if is_podman:
        assert code_of(result) == "UNSUPPORTED"
    else:
        assert [tag["reference"] for tag in data_of(result)["tags"]] == [f"{repository}:a", f"{repository}:b"]


def test_what_the_registry_does_not_have_is_not_found(run: Run, repository: str) -> None:
    assert code_of(run("docker_pull_image", image=f"{repository}:nope")) == "NOT_FOUND"


def test_a_registry_out_of_reach_is_a_refusal_of_its_own(
    run: Run, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", "127.0.0.1:1,registry.invalid")
    monkeypatch.setenv("SAFETY_ALLOWED_PUSH_REGISTRIES", "127.0.0.1:1")
    assert code_of(run("docker_pull_image", image="127.0.0.1:1/app")) == "REGISTRY_FAILED"
    assert code_of(run("docker_pull_image", image="registry.invalid/app")) == "REGISTRY_FAILED"
    build("127.0.0.1:1/app:v1")
    assert code_of(run("docker_push_image", image="127.0.0.1:1/app:v1")) == "REGISTRY_FAILED"


def test_a_push_of_a_missing_image_says_that_it_is_missing(run: Run, repository: str) -> None:
    assert code_of(run("docker_push_image", image=f"{repository}:nope")) == "IMAGE_NOT_FOUND"


def test_a_tag_that_moves_reports_the_id_it_had(run: Run, build: Build, repository: str) -> None:
    one, two = build(f"{repository}:one", "1"), build(f"{repository}:two", "2")
    assert data_of(run("docker_tag_image", image=one, repository=repository)) == {
        "reference": f"{repository}:latest",
        "id": one,
    }
    moved = data_of(run("docker_tag_image", image=f"{repository}:two", repository=repository))
    assert moved == {"reference": f"{repository}:latest", "id": two, "previous_id": one}


class Misbehaving:
    """A registry with one image of which the layer never arrives whole, behind a password if there is one."""

    def __init__(self, password: str = "") -> None:  # noqa: C901 - mostly the shape of a manifest
        self.asked = 0
        self.waiting, self.gone, self.over = threading.Event(), threading.Event(), threading.Event()
        layer = hashlib.sha256(b"never").hexdigest()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            }
        ).encode()
        kind = "application/vnd.docker.{}.v{}+json"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind.format("distribution.manifest", 2),
                "config": {
                    "mediaType": kind.format("container.image", 1),
                    "size": len(config),
                    "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": 50_000_000,
                        "digest": f"sha256:{layer}",
                    }
                ],
            }
        ).encode()
        registry = self
        wanted = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.asked += 1
                if password and self.headers.get("Authorization") != wanted:
                    self.answer(401, b"{}", "application/json", ("WWW-Authenticate", 'Basic realm="test"'))
                elif "/manifests/" in self.path:
                    self.answer(200, manifest, kind.format("distribution.manifest", 2))
                elif layer in self.path:
                    self.never()
                elif "/blobs/" in self.path:
                    self.answer(200, config, "application/octet-stream")
                else:
                    self.answer(200, b"{}", "application/json")

            do_HEAD = do_GET  # noqa: N815

            def answer(self, status: int, body: bytes, kind: str, *more: tuple[str, str]) -> None:
                self.send_response(status)
                digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
                for name, value in (
                    ("Content-Type", kind),
                    ("Content-Length", str(len(body))),
                    ("Docker-Content-Digest", digest),
                    *more,
                ):
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def never(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "50000000")
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(bytes(2_000_000))
                    registry.waiting.set()
                    # a trickle, since Docker lets go of a registry at the next byte only
                    while not registry.over.wait(0.02):
                        self.wfile.write(bytes(1_000))
                    return
                registry.gone.set()
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def misbehaving() -> Iterator[Callable[..., Misbehaving]]:
    made: list[Misbehaving] = []

    def make(password: str = "") -> Misbehaving:
        made.append(Misbehaving(password))
        return made[-1]

    yield make
    for registry in made:
        registry.over.set()
        registry.server.shutdown()
        registry.server.server_close()


def test_a_cancelled_pull_ends_on_the_engine(
    misbehaving: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = misbehaving()
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", registry.address)
    told: list[str] = []

    async def pull_and_cancel() -> None:
        heard = anyio.Event()

        async def progress(_done: float, _total: float | None, message: str) -> None:
            told.append(message)
            heard.set()

        settings = load()
        engine = Engine(settings)
        pipeline = Pipeline(settings, Registry(settings), engine, open_audit(settings))
        call = Call("docker_pull_image", {"image": f"{registry.address}/slow"}, CALLER, progress)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.call, call)
            assert await anyio.to_thread.run_sync(registry.waiting.wait, PATIENCE_SECONDS)
            with anyio.fail_after(PATIENCE_SECONDS):
                await heard.wait()
            tasks.cancel_scope.cancel()
        await pipeline.drain(PATIENCE_SECONDS)
        engine.forget()

    anyio.run(pull_and_cancel)
    # test_cancellation.py says how soon, as a rule
    assert registry.gone.wait(PATIENCE_SECONDS)
    assert told[-1].startswith(f"pulling {registry.address}/slow:latest")


def test_a_password_that_is_missing_or_wrong_is_a_refusal_and_a_right_one_is_shown(
    run: Run, misbehaving: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = misbehaving("s3cret")
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", registry.address)
    image = f"{registry.address}/app"
    result = run("docker_pull_image", image=image)
    assert code_of(result) == "REGISTRY_DENIED"
    assert "docker login" in result.text

    folder = tmp_path / "docker"
    folder.mkdir()
    auth = base64.b64encode(b"me:s3cret").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_pull_image=5")
    assert code_of(run("docker_pull_image", image=image)) == "TIMED_OUT"
    assert registry.waiting.is_set()  # it was let in
    assert registry.gone.wait(PATIENCE_SECONDS)


def test_a_registry_that_is_not_allowed_is_never_dialled(
    run: Run, misbehaving: Callable[..., Misbehaving], build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = misbehaving()
    image = f"{registry.address}/app:v1"
    build(image)
    monkeypatch.delenv("SAFETY_ALLOWED_REGISTRIES", raising=False)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {registry.address: {}}}))
    assert code_of(run("docker_push_image", image=image)) == "REGISTRY_NOT_ALLOWED"
    result = run("docker_pull_image", image=image)
    assert code_of(result) == "REGISTRY_NOT_ALLOWED"
    assert "private address" in result.text
    assert registry.asked == 0


def test_a_tag_does_not_move_where_nothing_may_be_lost(
    run: Run, build: Build, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = build(f"{repository}:one", "1"), build(f"{repository}:two", "2")
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "false")
    result = run("docker_tag_image", image=one, repository=repository, tag="two")
    assert code_of(result) == "DELETION_NOT_ALLOWED"
    assert data_of(run("docker_inspect_image", image=f"{repository}:two"))["id"] == two
    assert data_of(run("docker_tag_image", image=one, repository=repository, tag="three"))["id"] == one


def test_removing_a_name_keeps_an_image_that_has_another(
    run: Run, build: Build, repository: str, raw: docker.APIClient
) -> None:
    image = build(f"{repository}:one")
    data_of(run("docker_tag_image", image=image, repository=repository, tag="two"))
    removed = data_of(run("docker_remove_image", image=f"{repository}:one"))
    assert removed == {"untagged": [f"{repository}:one"], "deleted": []}
    last = data_of(run("docker_remove_image", image=f"{repository}:two"))
    assert last["deleted"][0].removeprefix("sha256:") == image.removeprefix("sha256:")
    with pytest.raises(docker.errors.NotFound):
        raw.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
    assert code_of(run("docker_remove_image", image=f"{repository}:two")) == "IMAGE_NOT_FOUND"


def test_an_image_that_a_container_uses_is_not_removed(
    run: Run, build: Build, repository: str, raw: docker.APIClient, label: str
) -> None:
    image = build(f"{repository}:one")
    key, _, value = label.partition("=")
    raw.create_container(image, ["x"], labels={key: value})
    assert code_of(run("docker_remove_image", image=f"{repository}:one")) == "IN_USE"


def test_a_prune_takes_dangling_images_and_with_all_tagged_ones_too(
    run: Run, build: Build, repository: str, label: str, is_podman: bool
) -> None:
    old = build(f"{repository}:one", "1")
    new = build(f"{repository}:one", "2")  # the older one dangles now
    pruned = data_of(run("docker_prune_images", filters={"label": label}))
    assert old.removeprefix("sha256:") in [name.removeprefix("sha256:") for name in pruned["deleted"]]
    assert pruned["bytes_reclaimed"] >= 1
    assert data_of(run("docker_inspect_image", image=f"{repository}:one"))["id"] == new
    pruned = data_of(run("docker_prune_images", all=True, filters={"label": label}))
    assert new.removeprefix("sha256:") in [name.removeprefix("sha256:") for name in pruned["deleted"]]
    assert is_podman or f"{repository}:one" in pruned["untagged"]


def test_images_are_listed_inspected_and_told_layer_by_layer(
    run: Run, build: Build, repository: str, label: str
) -> None:
    image = build(f"{repository}:one", "12345")
    (row,) = data_of(run("docker_list_images", filters={"label": label}))["images"]
    assert (row["id"], row["tags"]) == (image.removeprefix("sha256:")[:12], [f"{repository}:one"])
    details = data_of(run("docker_inspect_image", image=row["id"], raw=True))
    key, _, value = label.partition("=")
    assert (details["id"], details["labels"][key], details["raw"]["Id"]) == (image, value, image)
    assert details["layers"] >= 1
    layers = data_of(run("docker_image_history", image=f"{repository}:one"))["layers"]
    assert any("COPY" in layer["created_by"] for layer in layers)
