"""docker_build_image on a real engine."""

import tarfile
import uuid
from pathlib import Path

import anyio
import docker
import pytest

from mcp_docker.audit import open_audit
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.conftest import CALLER, code_of, data_of
from tests.integration.conftest import IMAGE, PATIENCE_SECONDS, Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build context."""
    path = tmp_path / "context"
    path.mkdir()
    return path


@pytest.fixture
def tag() -> str:
    return f"localhost/mcp-docker-build-{uuid.uuid4().hex[:12]}:v1"


def test_a_build_makes_what_the_dockerfile_says_from_what_dockerignore_leaves(
    run: Run, raw: docker.APIClient, folder: Path, tag: str, label: str
) -> None:
    (folder / "Dockerfile").write_text(
        f"FROM {IMAGE}\nARG WHO\nCOPY . /app\nRUN echo for $WHO; ls -A /app; cat /app/link\n"
    )
    (folder / ".dockerignore").write_text(".env\nkeys/*\n!keys/*.pub\n")
    (folder / ".env").write_text("SECRET=1")
    (folder / "keys").mkdir()
    (folder / "keys/id").write_text("private")
    (folder / "keys/id_ed25519").write_text("private")
    (folder / "server.key").write_text("private")
    (folder / "keys/id.pub").write_text("public")
    (folder / "long").mkdir()
    (folder / "long" / ("n" * 200)).write_bytes(b"\xff" * 700_001)
    (folder / "link").symlink_to("keys/id.pub")
    told: list[str] = []

    async def progress(_done: float, _total: float | None, message: str) -> None:
        told.append(message)

    answer = data_of(
        run(
            "docker_build_image",
            path=str(folder),
            tag=tag,
            buildargs={"WHO": "you", "NOBODY": "x"},
            labels=[label],
            progress=progress,
        )
    )
    assert answer["tag"] == tag
    assert answer["id"] == raw.inspect_image(tag)["Id"]  # type: ignore[no-untyped-call]  # the stubs don't annotate it
    assert "for you" in answer["log"]
    assert not {".env", "server.key"} & set(answer["log"])
    assert answer["left_out"] == ["server.key"]  # .dockerignore had named the others
    assert "public" in "\n".join(answer["log"])
    assert any("NOBODY" in warning for warning in answer["warnings"])
    assert "step" in told[-1]
    command = ["sh", "-c", "ls /app/keys; stat -c %s /app/long/*"]
    made = raw.create_container(tag, command, labels=dict([label.split("=")]))
    raw.start(made["Id"])
    raw.wait(made["Id"])
    assert raw.logs(made["Id"]).split() == [b"id.pub", b"700001"]


def test_a_second_build_takes_the_cache_and_a_changed_one_reports_the_id_before(
    run: Run, folder: Path, tag: str, label: str
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    (folder / "file").write_text("1")
    first = data_of(run("docker_build_image", path=str(folder), tag=tag, labels=[label]))
    assert "previous_id" not in first
    again = data_of(run("docker_build_image", path=str(folder), tag=tag, labels=[label]))
    assert again["id"] == first["id"]
    assert again["cached_steps"] >= 1
    (folder / "file").write_text("2")
    changed = data_of(run("docker_build_image", path=str(folder), tag=tag, labels=[label]))
    assert changed["previous_id"] == first["id"]


def test_the_target_stage_is_built_and_no_other(
    run: Run, raw: docker.APIClient, folder: Path, tag: str, label: str
) -> None:
    (folder / "Dockerfile").write_text(f"FROM {IMAGE} AS one\nENV STAGE=one\nFROM {IMAGE}\nRUN exit 1\n")
    data_of(run("docker_build_image", path=str(folder), tag=tag, target="one", labels=[label]))
    found = raw.inspect_image(tag)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
    assert "STAGE=one" in found["Config"]["Env"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"FROM {IMAGE}\nRUN echo so far && exit 3\n", ["step 2 of 2", "exit code 3", "so far"]),
        (f"FROM {IMAGE}\nFOO bar\n", ["FOO"]),
        (f"FROM {IMAGE}\nCOPY missing /\n", ["step 2 of 2 (COPY missing /)", "missing"]),
        ("FROM 127.0.0.1:1/base\n", ["step 1 of 1", "connection refused"]),
    ],
)
def test_a_failed_build_says_which_step_and_why(
    run: Run, folder: Path, text: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", "127.0.0.1:1")
    (folder / "Dockerfile").write_text(text)
    result = run("docker_build_image", path=str(folder))
    assert code_of(result) == "BUILD_FAILED"
    for word in words:
        assert word.lower() in result.text.lower()


def test_a_failed_build_leaves_no_tag_and_no_container(run: Run, raw: docker.APIClient, folder: Path, tag: str) -> None:
    mark = uuid.uuid4().hex
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN exit 3 # {mark}\n")
    assert code_of(run("docker_build_image", path=str(folder), tag=tag)) == "BUILD_FAILED"
    assert code_of(run("docker_inspect_image", image=tag)) == "IMAGE_NOT_FOUND"
    assert not [each for each in raw.containers(all=True) if mark in str(each["Command"])]


@pytest.mark.parametrize(
    "line", ["RUN <<EOF\necho inner\nEOF", "COPY <<EOF /a\ninner\nEOF", "RUN cat <<EOF > /f\nx\nEOF"]
)
def test_a_heredoc_is_refused_with_the_command_to_run_instead(run: Run, folder: Path, line: str) -> None:
    (folder / "Dockerfile").write_text(f"# syntax=docker/dockerfile:1\nFROM {IMAGE}\n{line}\n")
    result = run("docker_build_image", path=str(folder))
    assert code_of(result) == "BUILDKIT_REQUIRED"
    assert f"docker buildx build {folder}" in result.text


def test_flags_of_buildkit_are_refused_where_the_engine_does_not_know_them(
    run: Run, folder: Path, label: str, is_podman: bool
) -> None:
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN --mount=type=tmpfs,target=/x true\n")
    result = run("docker_build_image", path=str(folder), labels=[label])
    assert result.is_error is not is_podman
    assert is_podman or code_of(result) == "BUILDKIT_REQUIRED"


def test_a_cancelled_build_ends_on_the_engine(
    raw: docker.APIClient, folder: Path, is_podman: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", str(folder))
    mark = uuid.uuid4().hex
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo begun; sleep 60 # {mark}\n")

    def running() -> bool:
        return any(mark in str(each["Command"]) for each in raw.containers(all=True))

    async def build_and_cancel() -> None:
        settings = load()
        engine = Engine(settings)
        pipeline = Pipeline(settings, Registry(settings), engine, open_audit(settings))
        begun = anyio.Event()

        async def progress(_done: float, _total: float | None, message: str) -> None:
            if "sleep 60" in message:
                begun.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.call, Call("docker_build_image", {"path": str(folder)}, CALLER, progress))
            with anyio.fail_after(2 * PATIENCE_SECONDS):
                await begun.wait()
                # Podman does not list the containers of builds
                while not (is_podman or running()):  # noqa: ASYNC110 - the engine's, not ours
                    await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
        await pipeline.drain(PATIENCE_SECONDS)
        engine.forget()
        # it would take a minute by itself
        with anyio.fail_after(PATIENCE_SECONDS):
            while running():  # noqa: ASYNC110 - the engine's, not ours
                await anyio.sleep(0.05)

    anyio.run(build_and_cancel)


def test_a_build_that_wants_a_secret_says_whose_choice_that_is(
    run: Run, folder: Path, tag: str, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY .env /\n")
    (folder / ".env").write_text("SECRET=1")
    (folder / ".dockerignore").write_text("!.env\n")
    result = run("docker_build_image", path=str(folder), tag=tag)
    assert code_of(result) == "BUILD_FAILED"
    assert "'.env' looks like a secret and was not sent: SAFETY_BUILD_SECRET_FILES" in result.text
    monkeypatch.setenv("SAFETY_BUILD_SECRET_FILES", ".env")
    assert "left_out" not in data_of(run("docker_build_image", path=str(folder), tag=tag, labels=[label]))


@pytest.mark.parametrize(
    "text",
    [
        "FROM evil.internal/x\n",
        "FROM scratch\nCOPY --fr\\om=evil.internal/x / /\n",
        'FROM scratch\nCOPY --"from"=evil.internal/x / /\n',
        "ARG A=evil\nARG B=${A}.internal/x\nFROM $B\n",
        "FROM ${NOPE:-evil.internal/x}\n",
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\nLABEL a=b \\\nFROM evil.internal/x\n",
        "FROM scratch\nLABEL a=`\nFROM evil.internal/x\n",
    ],
)
def test_a_build_pulls_from_no_registry_that_is_not_allowed(
    run: Run, raw: docker.APIClient, folder: Path, tag: str, text: str
) -> None:
    (folder / "Dockerfile").write_text(text)
    result = run("docker_build_image", path=str(folder), tag=tag)
    assert code_of(result) == "REGISTRY_NOT_ALLOWED"
    assert "evil.internal" in result.text
    assert not raw.images(name=tag)


@pytest.mark.parametrize("text", ["FROM\fevil.internal/x\n", "FROM scratch\nFR\\\r\r\nOM evil.internal/x\n"])
def test_a_build_reads_nothing_that_builders_read_otherwise(
    run: Run, raw: docker.APIClient, folder: Path, tag: str, text: str
) -> None:
    (folder / "Dockerfile").write_bytes(text.encode())
    assert code_of(run("docker_build_image", path=str(folder), tag=tag)) == "INVALID_ARGUMENTS"
    assert not raw.images(name=tag)


def test_what_a_base_image_keeps_for_its_builds_is_judged_too(
    run: Run, raw: docker.APIClient, folder: Path, tag: str, label: str
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nONBUILD COPY --from=evil.internal/x / /\n")
    assert code_of(run("docker_build_image", path=str(folder), tag=tag)) == "REGISTRY_NOT_ALLOWED"
    (folder / "base").write_text("x")
    built = raw.import_image_from_file(
        str(_archive(folder)),
        repository=tag.rpartition(":")[0],
        tag="v1",
        changes=["ONBUILD COPY --from=evil.internal/x / /", f"LABEL {label}"],
    )
    assert built
    (folder / "Dockerfile").write_text(f"FROM {tag}\n")
    assert code_of(run("docker_build_image", path=str(folder))) == "REGISTRY_NOT_ALLOWED"


def _archive(folder: Path) -> Path:
    path = folder.parent / "base.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "base", "base")
    return path
