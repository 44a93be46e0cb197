"""docker_build_image: what is sent, what is refused, and how its stream is told."""

import io
import json
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.engine import Engine, config
from mcp_docker.engine.scope import CallScope
from mcp_docker.engine.transfer import Build
from mcp_docker.pipeline import Result
from mcp_docker.settings import load
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run
from tests.unit.test_images_transfer import lines

ID, OLD = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32

STREAM: list[dict[str, Any]] = [
    {"stream": "Step 1/3 : FROM base"},
    {"stream": "\n"},
    {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "aa"},
    {"stream": " ---> e191b5c07899\n"},
    {"stream": "Step 2/3 : COPY . /app"},
    {"stream": "\n"},
    {"stream": " ---> Using cache\n"},
    {"stream": "Step 3/3 : RUN make"},
    {"stream": "\n"},
    {"stream": "one\ntw"},
    {"stream": "o\r\n\n"},
    {"aux": {"ID": ID}},
    {"stream": "[Warning] One or more build-args [X] were not consumed\n"},
    {"stream": "Successfully built 0a0a0a0a0a0a\n"},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build context, below an allowed root."""
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", str(tmp_path))
    path = tmp_path / "context"
    (path / "src").mkdir(parents=True)
    (path / "Dockerfile").write_text("FROM base\nCOPY . /app\nRUN make\n")
    (path / "src/main.c").write_text("int main;")
    return path


def built(engine: FakeEngine, run: Run, *events: dict[str, Any], **arguments: Any) -> Result:
    engine.on("POST", "/build", lambda _: lines(*(events or STREAM)))
    engine.on("GET", "/images/.*/json", lambda request: {"Id": OLD if "/app:v1/" in request.path else ID, "Size": 7})
    return run("docker_build_image", **arguments)


def names(engine: FakeEngine) -> list[str]:
    """What was in the context that was sent."""
    (request,) = engine.sent("POST", "/build")
    with tarfile.open(fileobj=io.BytesIO(request.body)) as archive:
        return sorted(archive.getnames())


def test_a_build_sends_the_folder_and_reports_what_came_of_it(engine: FakeEngine, run: Run, folder: Path) -> None:
    answer = data_of(
        built(engine, run, path=str(folder), tag="app:v1", buildargs={"X": 1}, labels=["a=b"], target="t", pull=True)
    )
    assert answer == {
        "id": ID,
        "tag": "app:v1",
        "previous_id": OLD,
        "size": 7,
        "steps": 3,
        "cached_steps": 1,
        "warnings": ["One or more build-args [X] were not consumed"],
        "log": [
            "Step 1/3 : FROM base",
            " ---> e191b5c07899",
            "Step 2/3 : COPY . /app",
            " ---> Using cache",
            "Step 3/3 : RUN make",
            "one",
            "two",
            "[Warning] One or more build-args [X] were not consumed",
            "Successfully built 0a0a0a0a0a0a",
        ],
        "untrusted": True,
    }
    (request,) = engine.sent("POST", "/build")
    assert request.query == {
        "t": "app:v1",
        "dockerfile": "Dockerfile",
        "target": "t",
        "nocache": "false",
        "pull": "true",
        "rm": "true",
        "forcerm": "true",
        "buildargs": '{"X": "1"}',
        "labels": '{"a": "b"}',
    }
    assert names(engine) == ["Dockerfile", "src", "src/main.c"]


def test_a_tag_without_a_version_is_the_latest(engine: FakeEngine, run: Run, folder: Path) -> None:
    assert data_of(built(engine, run, path=str(folder), tag="app"))["tag"] == "app:latest"


def test_what_dockerignore_names_does_not_travel(engine: FakeEngine, run: Run, folder: Path) -> None:
    (folder / ".env").write_text("SECRET=1")
    (folder / "keys").mkdir()
    (folder / "keys/id").write_text("key")
    (folder / "keys/id.pub").write_text("public")
    (folder / ".dockerignore").write_text("\ufeff# no secrets\n\n.env\nkeys\n!keys/*.pub\nDockerfile\n")
    data_of(built(engine, run, path=str(folder)))
    assert names(engine) == [".dockerignore", "Dockerfile", "keys/id.pub", "src", "src/main.c"]


def test_links_travel_as_links_and_owners_and_sockets_stay_here(engine: FakeEngine, run: Run, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "big").write_bytes(b"x" * 700_001)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is bounded
        sock.bind("sock")
        os.chdir(here)
        data_of(built(engine, run, path=str(folder)))
    (request,) = engine.sent("POST", "/build")
    with tarfile.open(fileobj=io.BytesIO(request.body)) as archive:
        members = {member.name: member for member in archive}
    assert "sock" not in members
    assert members["link"].issym()
    assert members["pipe"].isfifo()
    assert members["big"].size == 700_001
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}


def test_a_dockerfile_elsewhere_in_the_context_goes_by_its_real_name(
    engine: FakeEngine, run: Run, folder: Path
) -> None:
    (folder / "docker").mkdir()
    (folder / "Dockerfile").rename(folder / "docker/app.Dockerfile")
    (folder / "Dockerfile").symlink_to("docker/app.Dockerfile")
    for written in ("Dockerfile", "./src/../docker/app.Dockerfile", str(folder / "docker/app.Dockerfile")):
        engine.requests.clear()
        data_of(built(engine, run, path=str(folder), dockerfile=written))
        assert engine.sent("POST", "/build")[0].query["dockerfile"] == "docker/app.Dockerfile"


@pytest.mark.parametrize(
    "written", ["../Dockerfile", "/etc/passwd", "out", "outside/Dockerfile", "../context2/Dockerfile"]
)
def test_a_dockerfile_outside_the_context_is_refused(engine: FakeEngine, run: Run, folder: Path, written: str) -> None:
    (folder.parent / "context2").mkdir()
    for path in (folder.parent / "Dockerfile", folder.parent / "context2/Dockerfile"):
        path.write_text("FROM base\n")
    (folder / "out").symlink_to(folder.parent / "Dockerfile")
    (folder / "outside").symlink_to(folder.parent)
    result = run("docker_build_image", path=str(folder), dockerfile=written)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "outside the build context" in result.text
    assert engine.requests == []


@pytest.mark.parametrize(
    "path", ["http://example/x.tar", "https://example/x.git", "git@example:x", "github.com/a/b", "git://a", "-"]
)
def test_a_remote_context_is_refused(engine: FakeEngine, run: Run, path: str) -> None:
    result = run("docker_build_image", path=path)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "is remote" in result.text
    assert engine.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": "missing"}, "not an existing folder"),
        ({"path": "context/Dockerfile"}, "not an existing folder"),
        ({"path": "context", "dockerfile": "Nope"}, "there is no file 'Nope'"),
        ({"path": "context", "dockerfile": "src"}, "there is no file 'src'"),
        ({"path": "context", "dockerfile": "loop"}, "there is no file 'loop'"),
        ({"path": "context\0"}, "can't read"),
        ({"path": "context", "dockerfile": "large"}, "larger than 1 MB"),
        ({"path": "context", "tag": "App"}, "lower case"),
        ({"path": "context", "tag": "app@sha256:" + "00" * 32}, "has a digest"),
        ({"path": "context", "target": "a b"}, "target"),
    ],
)
def test_paths_and_names_that_do_not_fit_are_refused_by_name(
    engine: FakeEngine, run: Run, folder: Path, arguments: dict[str, str], words: str
) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "large").write_bytes(b"#" * 1_100_000)
    result = run("docker_build_image", **arguments | {"path": str(folder.parent / arguments["path"])})
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert words in result.text
    assert engine.requests == []


def test_a_file_that_cannot_be_read_is_named(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def guarded(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).endswith("main.c"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *arguments, **named)

    monkeypatch.setattr(os, "open", guarded)
    result = built(engine, run, path=str(folder))
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "can't read 'main.c' in the build context: Permission denied" in result.text


@pytest.mark.parametrize("swap", ["shrink", "directory"])
def test_a_file_that_changes_while_it_is_sent_ends_the_build(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, swap: str
) -> None:
    look = tarfile.TarFile.gettarinfo

    def looked(self: tarfile.TarFile, name: Any, **named: Any) -> tarfile.TarInfo:
        info = look(self, name, **named)
        if info.name == "src/main.c":
            name.unlink()
            if swap == "shrink":
                name.write_text("x")
            else:
                name.mkdir()
        return info

    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", looked)
    result = built(engine, run, path=str(folder))
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "'src/main.c'" in result.text


def test_a_failed_step_is_reported_with_its_exit_code_and_the_end_of_the_log(
    engine: FakeEngine, run: Run, folder: Path
) -> None:
    message = "The command '/bin/sh -c make' returned a non-zero code: 2"
    failure = {"errorDetail": {"code": 2, "message": message}, "error": message}
    result = built(engine, run, *STREAM[:9], {"stream": "no rule"}, failure, path=str(folder))
    assert code_of(result) == "BUILD_FAILED"
    assert "step 3 of 3 (RUN make) failed with exit code 2;" in result.text
    assert "no rule" in result.text


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([{"error": "manifest unknown"}], "step 1 of 3 (FROM base) failed: manifest unknown"),
        (
            [{"errorDetail": {"message": 'building at STEP "RUN x": while running runtime: exit status 3\n'}}],
            "failed with exit code 3",
        ),
        ([], "the engine ended the build without an image"),
    ],
)
def test_a_build_without_an_image_is_never_called_done(
    engine: FakeEngine, run: Run, folder: Path, events: list[dict[str, Any]], words: str
) -> None:
    result = built(engine, run, STREAM[0], *events, path=str(folder))
    assert code_of(result) == "BUILD_FAILED"
    assert words in result.text


def test_a_dockerfile_that_does_not_parse_is_a_failed_build(engine: FakeEngine, run: Run, folder: Path) -> None:
    engine.on("POST", "/build", {"message": "dockerfile parse error line 2: unknown instruction: FOO"}, 400)
    assert code_of(run("docker_build_image", path=str(folder))) == "BUILD_FAILED"


def test_a_builder_that_says_it_is_too_old_gets_the_command_to_run_instead(
    engine: FakeEngine, run: Run, folder: Path
) -> None:
    message = "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/"
    result = built(engine, run, STREAM[0], {"error": message}, path=str(folder))
    assert code_of(result) == "BUILDKIT_REQUIRED"
    assert f"docker buildx build {folder}" in result.text


def test_a_dockerfile_for_buildkit_is_refused_before_anything_is_sent(
    engine: FakeEngine, run: Run, folder: Path
) -> None:
    (folder / "my file").write_text("FROM base\nRUN <<EOF\necho hi\nEOF\n")
    result = run(
        "docker_build_image",
        path=str(folder),
        dockerfile="my file",
        tag="app:v1",
        target="t",
        buildargs={"TOKEN": "s3cret"},
        labels={"a": "b"},
    )
    assert code_of(result) == "BUILDKIT_REQUIRED"
    assert "the heredoc <<EOF of RUN in line 2 of 'my file' needs BuildKit" in result.text
    assert (
        f"docker buildx build --tag app:v1 --file '{folder}/my file' --target t --build-arg TOKEN --label a=b {folder}"
        in result.text
    )
    assert "s3cret" not in result.text
    assert engine.requests == []


@pytest.mark.parametrize(
    ("version", "text", "refused"),
    [
        ("4.3.1", "RUN <<EOF\nx\nEOF", True),
        ("4.3.1", "RUN --mount=type=cache,target=/x make", False),
        ("4.9.0", "RUN <<EOF\nx\nEOF", False),
        ("odd", "RUN <<EOF\nx\nEOF", True),
    ],
)
def test_podman_is_refused_only_what_its_version_cannot_build(
    engine: FakeEngine,
    run: Run,
    folder: Path,
    version: str,
    text: str,
    refused: bool,
) -> None:
    engine.be_podman(version)
    (folder / "Dockerfile").write_text(f"FROM base\n{text}\n")
    assert built(engine, run, path=str(folder)).is_error is refused


def test_progress_of_a_build_only_grows(engine: FakeEngine, run: Run, folder: Path) -> None:  # noqa: ARG001
    told: list[tuple[float, float, str]] = []

    class Listening:
        def progress(self, done: float, total: float, message: str) -> None:
            told.append((done, total, message))

    build = Build()
    two_stages = [
        {"stream": "[1/2] STEP 1/2: FROM a\n"},
        {"stream": "x\n"},
        {"stream": "[2/2] STEP 1/2: FROM b\n"},
        {"stream": "[2/2] STEP 2/2: RUN y\n"},
    ]
    for event in [*STREAM, *two_stages]:
        build.take(event)
        build.tell(Listening())  # type: ignore[arg-type]
    amounts = [done for done, _, _ in told]
    assert amounts == sorted(amounts)
    assert all(done < total for done, total, _ in told)
    assert told[0] == (1, 4, "step 1 of 3: FROM base")
    assert told[-1][2] == "step 2 of 2: RUN y"


def test_a_build_shows_every_registrys_credentials_and_the_configured_proxies(
    engine: FakeEngine, run: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "docker").mkdir()
    settings = {
        "auths": {"docker.io": {"auth": "bWU6eA=="}, "other.example": {}},
        "proxies": {"default": {"httpProxy": "http://proxy.example"}},
    }
    (tmp_path / "docker/config.json").write_text(json.dumps(settings))
    data_of(built(engine, run, path=str(folder), buildargs={"HTTP_PROXY": "mine"}))
    (request,) = engine.sent("POST", "/build")
    arguments = json.loads(request.query["buildargs"])
    assert (arguments["http_proxy"], arguments["HTTP_PROXY"]) == ("http://proxy.example", "mine")
    assert "X-Registry-Config" in request.headers
    client = Engine(load())
    assert sorted(config.logins(client)) == ["docker.io", "https://index.docker.io/v1/"]


@pytest.mark.parametrize("text", ["[]", "{"])
def test_an_odd_file_of_dockers_has_no_proxies(engine: FakeEngine, tmp_path: Path, text: str) -> None:  # noqa: ARG001
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text(text)
    with CallScope(5).entered():
        assert config.proxies(Engine(load())) == {}


def test_a_silent_step_is_bounded_by_the_calls_limit_and_not_by_one_requests(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setenv("DOCKER_TIMEOUT", "1")  # so long may the other requests take, too

    def slowly() -> Iterator[bytes]:
        threading.Event().wait(1.4)
        yield from lines(*STREAM)

    engine.on("GET", "/images/.*", {"Id": ID})
    engine.on("POST", "/build", lambda _: slowly())
    assert data_of(run("docker_build_image", path=str(folder)))["id"] == ID


def absent(engine: FakeEngine, *here: str) -> None:
    """An engine that has only these images, and builds."""
    engine.on("POST", "/build", lambda _: lines(*STREAM))
    engine.on("GET", "/images/.*/json", {"message": "No such image"}, 404)
    for name in (*here, ID):
        engine.on("GET", f"/images/{name}/json", {"Id": ID})


def test_a_base_image_comes_only_from_an_allowed_registry(engine: FakeEngine, run: Run, folder: Path) -> None:
    absent(engine)
    for text in (
        "FROM evil.example/x\n",
        "FROM base\nCOPY --from=evil.example/x / /\n",
        "FROM base\nONBUILD COPY --from=evil.example/x / /\n",
        "ARG A=evil.example\nFROM ${A}/x\n",
    ):
        (folder / "Dockerfile").write_text(text)
        result = run("docker_build_image", path=str(folder))
        assert code_of(result) == "REGISTRY_NOT_ALLOWED"
        assert "evil.example/x" in result.text
    assert engine.sent("POST", "/build") == []


def test_a_base_image_that_is_here_is_not_pulled_unless_asked_for(engine: FakeEngine, run: Run, folder: Path) -> None:
    absent(engine, "evil.example/x")
    (folder / "Dockerfile").write_text("FROM evil.example/x\n")
    data_of(run("docker_build_image", path=str(folder)))
    assert code_of(run("docker_build_image", path=str(folder), pull=True)) == "REGISTRY_NOT_ALLOWED"
    (folder / "Dockerfile").write_text("FROM --platform=linux/arm64 evil.example/x\n")
    assert code_of(run("docker_build_image", path=str(folder))) == "REGISTRY_NOT_ALLOWED"


def test_what_a_base_image_keeps_for_its_builds_is_judged(engine: FakeEngine, run: Run, folder: Path) -> None:
    absent(engine)
    trigger = ["RUN x", "COPY --from=evil.example/x / /"]
    engine.on("GET", "/images/base/json", {"Id": ID, "Config": {"OnBuild": trigger}})
    assert code_of(run("docker_build_image", path=str(folder))) == "REGISTRY_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("--network=host", "PRIVILEGE_NOT_ALLOWED"),
        ("--netw\\ork=host", "PRIVILEGE_NOT_ALLOWED"),
        ("--security=insecure", "PRIVILEGE_NOT_ALLOWED"),
        ("--device=/dev/kvm", "PRIVILEGE_NOT_ALLOWED"),
        ("--network=none", ""),
        ("--security=sandbox", ""),
    ],
)
def test_a_builder_that_knows_flags_for_the_host_is_not_given_them(
    engine: FakeEngine, run: Run, folder: Path, flag: str, code: str
) -> None:
    engine.be_podman()
    absent(engine)
    (folder / "Dockerfile").write_text(f"FROM base\nRUN {flag} true\n")
    result = run("docker_build_image", path=str(folder))
    assert (code_of(result) if code else data_of(result)["id"]) == (code or ID)
    assert bool(engine.sent("POST", "/build")) is not bool(code)
    engine.on("GET", "/images/base/json", {"Id": ID, "Config": {"OnBuild": [f"RUN {flag} true"]}})
    (folder / "Dockerfile").write_text("FROM base\n")
    assert run("docker_build_image", path=str(folder)).is_error is bool(code)


def test_podman_builds_the_file_that_was_judged(engine: FakeEngine, run: Run, folder: Path) -> None:
    absent(engine)
    engine.be_podman()
    # to Podman, JSON is a list of other files
    for name in ('["other"]', "Dockerfile"):
        (folder / name).write_text("FROM base\n")
        data_of(run("docker_build_image", path=str(folder), dockerfile=name))
        assert engine.sent("POST", "/build")[-1].query["dockerfile"] == f"./{name}"
    (folder / "Dockerfile.in").write_text("#define x evil.example/x\nFROM base\n")
    result = run("docker_build_image", path=str(folder), dockerfile="Dockerfile.in")
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "does not end in .in" in result.text


def test_build_arguments_decide_which_image_is_judged(engine: FakeEngine, run: Run, folder: Path) -> None:
    absent(engine)
    (folder / "Dockerfile").write_text("ARG BASE=base\nFROM $BASE\n")
    data_of(run("docker_build_image", path=str(folder)))
    result = run("docker_build_image", path=str(folder), buildargs={"BASE": "evil.example/x"})
    assert code_of(result) == "REGISTRY_NOT_ALLOWED"


def test_a_dockerfile_that_changes_between_the_look_and_the_deed_is_judged_again(
    engine: FakeEngine, run: Run, folder: Path
) -> None:
    absent(engine)

    def inspected(_: Request) -> Any:
        (folder / "Dockerfile").write_text("FROM evil.example/x\n")
        return 404, {"message": "No such image"}

    engine.on("GET", "/images/base/json", inspected)
    assert code_of(run("docker_build_image", path=str(folder))) == "REGISTRY_NOT_ALLOWED"
    assert engine.sent("POST", "/build") == []


def test_a_build_does_not_take_a_tag_from_a_protected_image(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_PROTECTED_LABELS", "keep")
    absent(engine)
    engine.on("GET", "/images/app:v1/json", {"Id": OLD, "Config": {"Labels": {"keep": ""}}})
    assert code_of(run("docker_build_image", path=str(folder), tag="app:v1")) == "PROTECTED"
    assert engine.sent("POST", "/build") == []
    data_of(run("docker_build_image", path=str(folder), tag="app:v2"))


def test_a_failure_whose_details_are_words_is_told_as_one(engine: FakeEngine, run: Run, folder: Path) -> None:
    result = built(engine, run, {"errorDetail": "no", "error": "the disk is on fire"}, path=str(folder))
    assert code_of(result) == "BUILD_FAILED"
    assert "the disk is on fire" in result.text


def test_a_build_needs_no_home(engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert data_of(built(engine, run, path=str(folder)))["id"] == ID
