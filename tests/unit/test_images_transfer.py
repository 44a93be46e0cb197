"""docker_pull_image, docker_push_image and docker_tag_image."""

import base64
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.engine import Engine
from mcp_docker.engine.config import login
from mcp_docker.engine.transfer import Transfer
from mcp_docker.pipeline import Result
from mcp_docker.settings import load
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

OLD, NEW = "sha256:" + "01" * 32, "sha256:" + "02" * 32
DIGEST = "sha256:" + "d1" * 32

PULL: list[dict[str, Any]] = [
    {"status": "Pulling from library/redis", "id": "7"},
    {"status": "Already exists", "progressDetail": {}, "id": "aa"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "bb"},
    {"status": "Downloading", "progressDetail": {"current": 1_000_000, "total": 4_000_000}, "id": "bb"},
    {"status": "Download complete", "progressDetail": {}, "id": "bb"},
    {"status": "Extracting", "progressDetail": {"current": 2_000_000, "total": 4_000_000}, "id": "bb"},
    {"status": "Extracting", "progressDetail": {"current": 1, "units": "s"}, "id": "bb"},
    {"status": "Pull complete", "progressDetail": {}, "id": "bb"},
    {"status": f"Digest: {DIGEST}"},
    {"status": "Status: Downloaded newer image for redis:7"},
]


@pytest.fixture(autouse=True)
def pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry that tests push to."""
    monkeypatch.setenv("SAFETY_ALLOWED_PUSH_REGISTRIES", "registry.example")


def lines(*events: dict[str, Any]) -> Iterator[bytes]:
    for event in events:
        yield json.dumps(event).encode() + b"\r\n"


def registry(engine: FakeEngine, events: list[dict[str, Any]], *, before: str | None, after: str) -> None:
    """An engine that has `before` until it is asked to pull, and `after` from then on."""
    state = {"id": before}

    def inspect(_: Request) -> Any:
        if state["id"] is None:
            return 404, {"message": "No such image"}
        return {"Id": state["id"], "Size": 7, "RepoDigests": [f"redis@{DIGEST}"]}

    def create(_: Request) -> Any:
        state["id"] = after
        return lines(*events)

    engine.on("GET", "/images/.*/json", inspect)
    engine.on("POST", "/images/create", create)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Docker's own configuration file."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


def shown(request: Request) -> Any:
    """The credentials that a request carries."""
    return json.loads(base64.urlsafe_b64decode(request.headers["X-Registry-Auth"]))


def test_a_pull_reports_what_came_and_what_the_tag_named_before(engine: FakeEngine, run: Run) -> None:
    registry(engine, PULL, before=OLD, after=NEW)
    assert data_of(run("docker_pull_image", image="redis", tag="7")) == {
        "reference": "redis:7",
        "up_to_date": False,
        "id": NEW,
        "digest": DIGEST,
        "size": 7,
        "previous_id": OLD,
    }
    (pull,) = engine.sent("POST", "/images/create")
    assert pull.query == {"fromImage": "redis", "tag": "7"}
    assert shown(pull) == {}


def test_a_pull_of_what_is_here_is_up_to_date(engine: FakeEngine, run: Run) -> None:
    registry(engine, PULL[-2:-1], before=OLD, after=OLD)
    answer = data_of(run("docker_pull_image", image="redis"))
    assert (answer["reference"], answer["up_to_date"]) == ("redis:latest", True)
    assert "previous_id" not in answer


def test_a_pull_by_digest_asks_for_the_digest_and_moves_no_tag(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", "host.example")
    registry(engine, [], before=None, after=NEW)
    answer = data_of(run("docker_pull_image", image=f"host.example/redis:7@{DIGEST}", platform="linux/arm64"))
    assert answer == {
        "reference": f"host.example/redis@{DIGEST}",
        "up_to_date": False,
        "id": NEW,
        "digest": DIGEST,
        "size": 7,
    }
    (pull,) = engine.sent("POST", "/images/create")
    assert pull.query == {"fromImage": "host.example/redis", "tag": DIGEST, "platform": "linux/arm64"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": "redis:7", "tag": "8"}, "has the tag '7' already"),
        ({"image": f"redis@{DIGEST}", "tag": "8"}, "names a digest"),
        ({"image": "redis:7", "all_tags": True}, "all_tags=true"),
        ({"image": "redis", "tag": "7", "all_tags": True}, "all_tags=true"),
        ({"image": "redis", "tag": ".x"}, "a tag is at most"),
        ({"image": "redis", "platform": "Linux!"}, "is no platform"),
        ({"image": OLD}, "image id"),
        ({"image": "redis", "stream": True}, "progress notifications"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused_by_name(
    engine: FakeEngine, run: Run, arguments: dict[str, Any], words: str
) -> None:
    result = run("docker_pull_image", **arguments)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert words in result.text
    assert engine.requests == []


def test_the_same_tag_twice_is_no_contradiction(engine: FakeEngine, run: Run) -> None:
    registry(engine, PULL, before=None, after=NEW)
    assert data_of(run("docker_pull_image", image="redis:7", tag="7"))["reference"] == "redis:7"


def test_all_tags_tells_which_tags_moved(engine: FakeEngine, run: Run) -> None:
    before = [{"Id": OLD, "RepoTags": ["redis:6", "redis:7"]}]
    after = [{"Id": OLD, "RepoTags": ["redis:6"]}, {"Id": NEW, "RepoTags": ["redis:7", "redis:8"]}]
    rows = iter([before, before, after])
    engine.on("GET", "/images/json", lambda _: next(rows))
    engine.on("POST", "/images/create", lambda _: lines(*PULL))
    assert data_of(run("docker_pull_image", image="redis", all_tags=True)) == {
        "reference": "redis",
        "up_to_date": False,
        "tags": [
            {"reference": "redis:6", "id": OLD},
            {"reference": "redis:7", "id": NEW, "previous_id": OLD},
            {"reference": "redis:8", "id": NEW},
        ],
    }
    assert engine.sent("POST", "/images/create")[0].query == {"fromImage": "redis"}


@pytest.mark.parametrize("name", ["redis", "docker.io/library/redis", "index.docker.io/library/redis"])
def test_all_tags_finds_what_is_here_by_any_name_of_the_repository(engine: FakeEngine, run: Run, name: str) -> None:
    engine.on("GET", "/images/json", [{"Id": OLD, "RepoTags": ["redis:7"]}])
    engine.on("POST", "/images/create", lambda _: lines(*PULL))
    assert data_of(run("docker_pull_image", image=name, all_tags=True))["tags"]
    asked = {request.query["filters"] for request in engine.sent("GET", "/images/json")}
    assert asked == {'{"reference": ["redis"]}'}


def test_all_tags_is_refused_where_the_engine_would_pull_only_the_latest(engine: FakeEngine, run: Run) -> None:
    engine.be_podman()
    assert code_of(run("docker_pull_image", image="redis", all_tags=True)) == "UNSUPPORTED"
    assert engine.requests == []


FAILURES = [
    ("manifest for redis:7 not found: manifest unknown", "NOT_FOUND"),
    ("pull access denied for redis, repository does not exist or may require 'docker login'", "REGISTRY_DENIED"),
    ("unauthorized: authentication required", "REGISTRY_DENIED"),
    ("denied: requested access to the resource is denied", "REGISTRY_DENIED"),
    ('error from registry: denied: Permission "downloadArtifacts" denied on resource', "REGISTRY_DENIED"),
    ("failed to register layer: mkdir /var/lib/docker/overlay2/x: permission denied: unknown", "REGISTRY_FAILED"),
    ('Get "https://registry.example/v2/": dial tcp: lookup registry.example: no such host', "REGISTRY_FAILED"),
    ("received unexpected HTTP status: 500 Internal Server Error", "REGISTRY_FAILED"),
]


@pytest.mark.parametrize(("message", "code"), FAILURES)
def test_a_pull_that_fails_inside_its_stream_is_never_called_done(
    engine: FakeEngine, run: Run, message: str, code: str
) -> None:
    registry(engine, [*PULL[:3], {"errorDetail": {"message": message}, "error": message}], before=OLD, after=OLD)
    result = run("docker_pull_image", image="redis:7")
    assert code_of(result) == code
    assert message.rstrip(".") in result.text
    assert "bb: Pulling fs layer" in result.text


@pytest.mark.parametrize(("message", "code"), FAILURES)
def test_a_pull_that_fails_before_its_stream_means_the_same(
    engine: FakeEngine, run: Run, message: str, code: str
) -> None:
    engine.on("POST", "/images/create", {"message": message}, 500)
    assert code_of(run("docker_pull_image", image="redis:7")) == code


def test_a_pull_with_a_bad_parameter_is_not_the_registrys_fault(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/images/create", {"message": "invalid platform"}, 400)
    assert code_of(run("docker_pull_image", image="redis:7")) == "BAD_PARAMETER"


def test_what_forbids_a_pull_in_front_of_the_engine_is_not_taken_for_a_registry(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/images/create", b"<html><body><h1>403 Forbidden</h1></body></html>", 403)
    result = run("docker_pull_image", image="redis:7")
    assert code_of(result) == "ENGINE_ERROR"
    assert "403 Forbidden; the engine, or a plugin or proxy in front of it, forbids this request" in result.text
    engine.on("POST", "/images/create", {"message": "denied: you can't"}, 403)
    assert code_of(run("docker_pull_image", image="redis:7")) == "REGISTRY_DENIED"


@pytest.mark.parametrize(
    "odd",
    [
        ["x"],
        "x",
        {"status": "Downloading", "id": "bb", "progressDetail": "no"},
        {"status": "Downloading", "id": "bb", "progressDetail": {"current": 1, "total": "many"}},
    ],
)
def test_an_odd_event_of_a_pull_is_passed_over(engine: FakeEngine, run: Run, odd: Any) -> None:
    registry(engine, [*PULL[:3], odd, *PULL[3:]], before=OLD, after=NEW)
    assert data_of(run("docker_pull_image", image="redis:7"))["digest"] == DIGEST


@pytest.mark.parametrize("said", [(b'{"status":"Pulling"}\r\n', b'{"status": "Down'), (b"null",)])
def test_a_pull_whose_stream_is_not_understood_may_have_happened(
    engine: FakeEngine, run: Run, said: tuple[bytes, ...]
) -> None:
    engine.on("GET", "/images/.*/json", {"Id": OLD})
    engine.on("POST", "/images/create", lambda _: iter(said))
    result = run("docker_pull_image", image="redis:7")
    assert code_of(result) == "ENGINE_ERROR"
    assert "the engine's answer is not what it should be" in result.text
    assert "It may have happened all the same" in result.text


def test_a_registry_may_be_silent_for_longer_than_one_request(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_TIMEOUT", "1")  # so long may the other requests take, too

    registry(engine, PULL, before=None, after=NEW)
    waiting = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield from lines(PULL[0])
        waiting.wait(1.4)
        yield from lines(*PULL[1:])

    engine.on("GET", "/images/.*/json", {"Id": NEW})
    engine.on("POST", "/images/create", lambda _: slowly())
    assert data_of(run("docker_pull_image", image="redis:7"))["id"] == NEW


def test_progress_only_grows_and_counts_layers_and_bytes(engine: FakeEngine) -> None:  # noqa: ARG001
    told: list[tuple[float, float, str]] = []

    class Listening:
        def progress(self, done: float, total: float, message: str) -> None:
            told.append((done, total, message))

    transfer = Transfer("pulling redis:7")
    for event in PULL:
        transfer.take(event)
        transfer.tell(Listening())  # type: ignore[arg-type]
    amounts = [done for done, _, _ in told]
    assert amounts == sorted(amounts)
    assert all(done <= total for done, total, _ in told)
    assert told[0][2] == "pulling redis:7"
    assert told[3][2] == "pulling redis:7: 1 of 2 layers, 1.0 of 4.0 MB"
    assert told[-1] == (8_000_002, 8_000_002, "pulling redis:7: 2 of 2 layers, 4.0 of 4.0 MB")


def test_credentials_come_from_dockers_own_file_as_it_is_now(engine: FakeEngine, run: Run, config: Path) -> None:
    registry(engine, PULL, before=None, after=NEW)
    for password in ("one", "two"):
        auth = base64.b64encode(f"me:{password}".encode()).decode()
        config.write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))
        data_of(run("docker_pull_image", image="registry.example/redis:7"))
        assert shown(engine.sent("POST", "/images/create")[-1])["password"] == password


def test_the_operators_folder_goes_before_the_environments(tmp_path: Path, config: Path) -> None:
    auth = base64.b64encode(b"me:x").decode()
    config.write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))
    assert login(Engine(load()), "registry.example/redis").auth["password"] == "x"
    assert login(Engine(load(docker_config=tmp_path)), "registry.example/redis").auth == {}


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a credential helper on the PATH."""
    program = tmp_path / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_credentials_come_from_the_credential_helper(
    engine: FakeEngine, run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username":"me","Secret":"s3"}'""")
    config.write_text(json.dumps({"credHelpers": {"registry.example": "test"}}))
    registry(engine, PULL, before=None, after=NEW)
    data_of(run("docker_pull_image", image="registry.example/redis:7"))
    assert shown(engine.sent("POST", "/images/create")[-1])["Password"] == "s3"


def test_a_broken_credential_helper_matters_only_where_the_registry_refuses(
    engine: FakeEngine, run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo no keychain; exit 1")
    monkeypatch.setenv("SAFETY_ALLOWED_REGISTRIES", "registry.example")
    config.write_text(json.dumps({"credsStore": "test"}))
    registry(engine, PULL, before=None, after=NEW)
    data_of(run("docker_pull_image", image="registry.example/redis:7"))
    registry(engine, [{"error": "unauthorized: authentication required"}], before=None, after=NEW)
    result = run("docker_pull_image", image="registry.example/redis:7")
    assert code_of(result) == "REGISTRY_DENIED"
    assert "no keychain" in result.text


PUSH: list[dict[str, Any]] = [
    {"status": "The push refers to repository [registry.example/app]"},
    {"status": "Preparing", "progressDetail": {}, "id": "aa"},
    {"status": "Pushing", "progressDetail": {"current": 5, "total": 9}, "id": "aa"},
    {"status": "Pushed", "progressDetail": {}, "id": "aa"},
    {"status": "Mounted from library/redis", "progressDetail": {}, "id": "bb"},
    {"status": f"v1: digest: {DIGEST} size: 528"},
    {"progressDetail": {}, "aux": {"Tag": "v1", "Digest": DIGEST, "Size": 528}},
]


def pushed(engine: FakeEngine, run: Run, *events: dict[str, Any], **arguments: Any) -> Result:
    engine.on("GET", "/images/.*/json", {"Id": OLD})
    engine.on("POST", "/images/.*/push", lambda _: lines(*events))
    return run("docker_push_image", **arguments)


def test_a_push_answers_with_the_digest(engine: FakeEngine, run: Run) -> None:
    answer = data_of(pushed(engine, run, *PUSH, image="registry.example/app:v1"))
    assert answer == {"reference": "registry.example/app:v1", "digest": DIGEST, "size": 528}
    (request,) = engine.sent("POST", ".*")
    assert (request.path, request.query) == ("/images/registry.example/app/push", {"tag": "v1"})
    assert shown(request) == {}


def test_a_push_without_a_tag_pushes_the_latest_and_not_all(engine: FakeEngine, run: Run) -> None:
    data_of(pushed(engine, run, *PUSH, image="registry.example/app"))
    assert engine.sent("POST", ".*")[0].query == {"tag": "latest"}


def test_a_push_of_what_is_not_here_is_not_tried(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/images/.*/json", {"message": "No such image: registry.example/app:v1"}, 404)
    assert code_of(run("docker_push_image", image="registry.example/app:v1")) == "IMAGE_NOT_FOUND"
    assert engine.sent("POST", ".*") == []


@pytest.mark.parametrize("image", ["app", "registry.example.evil/app", "registry.example:5000/app", "docker.io/app"])
def test_a_push_goes_only_to_registries_that_the_operator_lists(engine: FakeEngine, run: Run, image: str) -> None:
    result = run("docker_push_image", image=image)
    assert code_of(result) == "REGISTRY_NOT_ALLOWED"
    assert "SAFETY_ALLOWED_PUSH_REGISTRIES" in result.text
    assert engine.requests == []


@pytest.mark.parametrize("image", ["127.0.0.1:5000/app", "registry.internal/app", "evil.example/docker.io/redis"])
def test_a_pull_from_a_registry_that_is_not_allowed_never_asks_the_engine(
    engine: FakeEngine, run: Run, image: str
) -> None:
    for arguments in ({}, {"all_tags": True}):
        result = run("docker_pull_image", image=image, **arguments)
        assert code_of(result) == "REGISTRY_NOT_ALLOWED"
        assert "SAFETY_ALLOWED_REGISTRIES" in result.text
    assert engine.requests == []


@pytest.mark.parametrize("arguments", [{}, {"all_tags": True}])
def test_a_pull_does_not_take_a_tag_from_a_protected_image(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    monkeypatch.setenv("SAFETY_PROTECTED_LABELS", "keep")
    engine.on("GET", "/images/.*/json", {"Id": OLD, "Config": {"Labels": {"keep": "1"}}})
    engine.on("GET", "/images/json", [{"Id": OLD, "RepoTags": ["redis:7"], "Labels": {"keep": "1"}}])
    assert code_of(run("docker_pull_image", image="redis", **arguments)) == "PROTECTED"
    assert engine.sent("POST", ".*") == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("denied: requested access to the resource is denied", "REGISTRY_DENIED"),
        ("An image does not exist locally with the tag: registry.example/app", "IMAGE_NOT_FOUND"),
        ("blob upload invalid", "REGISTRY_FAILED"),
    ],
)
def test_a_push_that_fails_is_never_called_done(engine: FakeEngine, run: Run, message: str, code: str) -> None:
    failure = {"errorDetail": {"message": message}, "error": message}
    assert code_of(pushed(engine, run, *PUSH[:2], failure, image="registry.example/app:v1")) == code


def test_a_push_that_ends_without_a_digest_is_not_done(engine: FakeEngine, run: Run) -> None:
    assert code_of(pushed(engine, run, *PUSH[:3], image="registry.example/app:v1")) == "REGISTRY_FAILED"


def test_a_push_by_digest_is_refused(engine: FakeEngine, run: Run) -> None:
    assert code_of(run("docker_push_image", image=f"registry.example/app@{DIGEST}")) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def tags(engine: FakeEngine, *, before: str | None, source: str = NEW, status: int = 201, **config: Any) -> None:
    """An engine with redis:7, which is `source`, and maybe something at the tag that is to be given."""
    state = {"id": before}

    def tag(_: Request) -> Any:
        state["id"] = source
        return status, b""

    def target(_: Request) -> Any:
        return {"Id": state["id"], "Config": config} if state["id"] else (404, {"message": "No such image"})

    engine.on("POST", "/images/.*/tag", tag)
    engine.on("GET", "/images/.*", target)
    engine.on("GET", "/images/redis(:7)?/json", {"Id": source, "RepoTags": ["redis:7"]})


def test_a_tag_that_moves_reports_what_it_named(engine: FakeEngine, run: Run) -> None:
    tags(engine, before=OLD)
    answer = data_of(run("docker_tag_image", image="redis:7", repository="registry.example/app", tag="v1"))
    assert answer == {"reference": "registry.example/app:v1", "id": NEW, "previous_id": OLD}
    (request,) = engine.sent("POST", ".*")
    assert request.path == f"/images/{NEW}/tag"
    assert (request.query["repo"], request.query["tag"]) == ("registry.example/app", "v1")


def test_a_tag_moves_only_where_things_may_be_lost(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "false")
    tags(engine, before=OLD)
    result = run("docker_tag_image", image="redis:7", repository="app", tag="v1")
    assert code_of(result) == "DELETION_NOT_ALLOWED"
    assert "moving the tag app:v1 away from image 010101010101" in result.text
    assert "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS" in result.text
    assert engine.sent("POST", ".*") == []


@pytest.mark.parametrize("before", [None, NEW])
def test_a_tag_that_takes_nothing_away_is_no_loss(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.setenv("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "false")
    monkeypatch.setenv("SAFETY_CONFIRMATION", "always")
    tags(engine, before=before)
    answer = data_of(run("docker_tag_image", image="redis:7", repository="app", tag="v1"))
    assert answer == {"reference": "app:v1", "id": NEW}


def test_a_tag_moves_away_only_with_a_persons_consent_where_that_is_wanted(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_CONFIRMATION", "always")
    tags(engine, before=OLD)
    result = run("docker_tag_image", image="redis:7", repository="app", tag="v1")
    assert code_of(result) == "CONFIRMATION_UNAVAILABLE"
    assert engine.sent("POST", ".*") == []


def test_neither_a_protected_image_nor_its_tag_is_given_away(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_PROTECTED_LABELS", "keep=yes")
    tags(engine, before=OLD, Labels={"keep": "yes"})
    assert code_of(run("docker_tag_image", image="redis:7", repository="app")) == "PROTECTED"
    tags(engine, before=None)
    engine.on("GET", "/images/redis(:7)?/json", {"Id": NEW, "Config": {"Labels": {"keep": "yes"}}})
    assert code_of(run("docker_tag_image", image="redis:7", repository="app")) == "PROTECTED"
    assert engine.sent("POST", ".*") == []


def test_a_name_that_is_also_the_beginning_of_an_id_is_refused(engine: FakeEngine, run: Run) -> None:
    tags(engine, before=None)
    engine.on("GET", "/images/0202/json", {"Id": OLD, "RepoTags": ["0202:latest"]})
    engine.on("GET", "/images/json", [{"Id": OLD}, {"Id": NEW}])
    assert code_of(run("docker_tag_image", image="0202", repository="app")) == "AMBIGUOUS_IDENTIFIER"
    assert engine.sent("POST", ".*") == []


def test_a_tag_that_moves_between_the_look_and_the_deed_is_left_alone(engine: FakeEngine, run: Run) -> None:
    tags(engine, before=OLD)
    seen = iter([OLD, "sha256:" + "03" * 32])
    engine.on("GET", "/images/app:latest/json", lambda _: {"Id": next(seen)})
    assert code_of(run("docker_tag_image", image="redis:7", repository="app")) == "CONFLICT"
    assert engine.sent("POST", ".*") == []


def test_a_tag_in_the_repository_counts_and_may_not_contradict(engine: FakeEngine, run: Run) -> None:
    tags(engine, before=None)
    assert data_of(run("docker_tag_image", image="redis", repository="app:v1"))["reference"] == "app:v1"
    assert data_of(run("docker_tag_image", image="redis", repository="app"))["reference"] == "app:latest"
    for wrong in ({"repository": "app:v1", "tag": "v2"}, {"repository": f"app@{DIGEST}"}):
        assert code_of(run("docker_tag_image", image="redis", **wrong)) == "INVALID_ARGUMENTS"


def test_a_tag_that_the_engine_did_not_give_is_not_done(engine: FakeEngine, run: Run) -> None:
    tags(engine, before=None, status=200)
    assert code_of(run("docker_tag_image", image="redis", repository="app")) == "ENGINE_ERROR"
