"""docker_list_images, docker_inspect_image, docker_image_history, and how images are named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker.tools.fields import Reference, reference
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

DIGEST = "sha256:" + "a1" * 32
ID = "sha256:" + "4f" * 32
ROW = {"Id": ID, "RepoTags": ["redis:7"], "RepoDigests": [f"redis@{DIGEST}"], "Size": 5, "Created": 9}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("redis", Reference("redis")),
        ("redis:7.2", Reference("redis", "7.2")),
        ("library/redis", Reference("library/redis")),
        ("localhost/redis", Reference("localhost/redis")),
        ("127.0.0.1:5000/a/b__c:v1", Reference("127.0.0.1:5000/a/b__c", "v1")),
        ("[::1]:5000/a", Reference("[::1]:5000/a")),
        ("GHCR.io/a/b", Reference("GHCR.io/a/b")),
        (f"redis@{DIGEST}", Reference("redis", None, DIGEST)),
        (f"host.example/redis:7@{DIGEST}", Reference("host.example/redis", "7", DIGEST)),
    ],
)
def test_an_image_name_is_taken_apart(text: str, parts: Reference) -> None:
    assert reference(text) == parts
    assert str(parts) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no image name"),
        ("../volumes/v", "no image name"),
        ("a/../b", "no image name"),
        ("a b", "no image name"),
        ("a//b", "no image name"),
        ("a/", "no image name"),
        ("-a.example/b", "no image name"),
        ("redis\n", "no image name"),
        ("x" * 256, "no image name"),
        ("Redis", "lower case: 'redis'"),
        ("docker.io/Library/redis", "lower case: 'library/redis'"),
        ("https://ghcr.io/a", "without https://"),
        ("redis:", "a tag is at most"),
        ("redis:-x", "a tag is at most"),
        ("redis:" + "x" * 129, "a tag is at most"),
        ("redis@sha256:12", "a digest is sha256:"),
        ("redis@", "a digest is sha256:"),
        ("4f" * 32, "is an image id"),
    ],
)
def test_a_malformed_image_name_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reference(text)


@given(st.one_of(st.text(), st.from_regex(r"[a-zA-Z0-9./:@_-]{1,40}", fullmatch=True)))
def test_an_image_name_is_either_refused_or_stays_as_it_was_and_within_its_path(text: str) -> None:
    try:
        parts = reference(text)
    except ValueError:
        return
    assert str(parts) == text
    assert ".." not in parts.name
    assert not {"", "."} & set(parts.name.split("/"))


def test_a_malformed_image_name_is_refused_before_the_engine_is_asked(engine: FakeEngine, run: Run) -> None:
    for tool in ("docker_inspect_image", "docker_image_history", "docker_remove_image", "docker_pull_image"):
        assert code_of(run(tool, image="../volumes/v")) == "INVALID_ARGUMENTS"
    assert engine.requests == []


def test_a_list_is_one_request_and_newest_first(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/images/json", [ROW | {"Created": created} for created in (1, 3, 2)])
    rows = data_of(run("docker_list_images", limit=2))["images"]
    assert [row["created"] for row in rows] == [3, 2]
    assert rows[0] == {"id": "4f" * 6, "tags": ["redis:7"], "size": 5, "created": 3}
    assert [request.path for request in engine.requests] == ["/images/json"]


def test_list_filters_are_sent_as_docker_wants_them(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/images/json", [])
    run("docker_list_images", all=True, filters={"dangling": True, "reference": "redis*"})
    (request,) = engine.requests
    assert request.query["all"] == "1"
    assert request.query["filters"] == '{"dangling": ["true"], "reference": ["redis*"]}'


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ({"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}, {"tags": []}),
        ({"RepoTags": None, "RepoDigests": None}, {"tags": []}),
        ({"RepoTags": []}, {"tags": [], "digests": [f"redis@{DIGEST}"]}),
        ({"RepoTags": [f"redis@{DIGEST}", "redis:7"]}, {"tags": ["redis:7"]}),
    ],
)
def test_a_row_shows_no_placeholders(engine: FakeEngine, run: Run, names: Any, shown: dict[str, Any]) -> None:
    engine.on("GET", "/images/json", [ROW | names])
    (row,) = data_of(run("docker_list_images"))["images"]
    assert {key: row[key] for key in ("tags", "digests") if key in row} == shown


FOUND = {
    "Id": ID,
    "RepoTags": ["redis:7"],
    "RepoDigests": [f"redis@{DIGEST}"],
    "Created": "2026-01-01T00:00:00Z",
    "Size": 5,
    "Os": "linux",
    "Architecture": "arm64",
    "Variant": "v8",
    "Author": "me",
    "RootFS": {"Layers": ["a", "b"]},
    "Config": {
        "Entrypoint": "run.sh",
        "Cmd": ["redis-server"],
        "Env": ["A=b"],
        "ExposedPorts": {"6379/tcp": {}},
        "Volumes": {"/data": {}},
        "User": "redis",
        "WorkingDir": "/data",
        "Labels": {"a": "b"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "ping"], "Interval": 5_000_000_000, "Retries": 3},
    },
}


def test_inspect_is_concise_and_raw_adds_the_whole_answer(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/images/redis:7/json", FOUND)
    details = data_of(run("docker_inspect_image", image="redis:7"))
    assert details == {
        "id": ID,
        "tags": ["redis:7"],
        "digests": [f"redis@{DIGEST}"],
        "created": "2026-01-01T00:00:00Z",
        "size": 5,
        "os": "linux",
        "architecture": "arm64/v8",
        "entrypoint": ["run.sh"],
        "command": ["redis-server"],
        "working_dir": "/data",
        "user": "redis",
        "environment": ["A=b"],
        "ports": ["6379/tcp"],
        "volumes": ["/data"],
        "labels": {"a": "b"},
        "healthcheck": {"test": ["CMD", "ping"], "interval": 5.0, "retries": 3},
        "stop_signal": "SIGINT",
        "layers": 2,
        "author": "me",
        "untrusted": True,
    }
    assert data_of(run("docker_inspect_image", image="redis:7", raw=True)) == {**details, "raw": FOUND}


def test_inspect_takes_the_name_that_earlier_versions_used(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", f"/images/{ID}/json", FOUND)
    assert data_of(run("docker_inspect_image", image_name=ID))["id"] == ID


def test_a_digest_reference_reaches_the_engine(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", f"/images/redis@{DIGEST}/json", FOUND)
    assert data_of(run("docker_inspect_image", image=f"redis@{DIGEST}"))["id"] == ID


def test_inspect_lives_with_what_an_engine_leaves_out(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/images/bare/json", {"Id": ID, "Config": None, "RootFS": None})
    details = data_of(run("docker_inspect_image", image="bare"))
    assert details["layers"] == 0
    assert "healthcheck" not in details
    engine.on("GET", "/images/bare/json", {"Id": ID, "Config": {"Healthcheck": {"Test": ["NONE"]}}})
    assert "healthcheck" not in data_of(run("docker_inspect_image", image="bare"))


def test_a_missing_image_names_the_tool_that_fetches_it(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/images/.*", {"message": "No such image: nope:latest"}, 404)
    result = run("docker_inspect_image", image="nope")
    assert code_of(result) == "IMAGE_NOT_FOUND"
    assert "docker_pull_image" in result.text


def test_history_shows_commands_and_sizes(engine: FakeEngine, run: Run) -> None:
    steps = [
        {"Id": ID, "Created": 2, "CreatedBy": "CMD x", "Size": 0, "Tags": ["redis:7"], "Comment": ""},
        {"Id": "<missing>", "Created": 1, "CreatedBy": "ADD y", "Size": 7, "Tags": None, "Comment": "imported"},
    ]
    engine.on("GET", "/images/redis:7/json", {"Id": ID, "RepoTags": ["redis:7"]})
    engine.on("GET", f"/images/{ID}/history", steps)
    assert data_of(run("docker_image_history", image="redis:7"))["layers"] == [
        {"id": "4f" * 6, "created": 2, "created_by": "CMD x", "size": 0, "tags": ["redis:7"]},
        {"created": 1, "created_by": "ADD y", "size": 7, "tags": [], "comment": "imported"},
    ]


def test_history_of_a_name_that_is_the_beginning_of_another_s_id_is_refused(engine: FakeEngine, run: Run) -> None:
    tagged = {"Id": ID, "RepoTags": ["deadbeef:latest"]}
    engine.on("GET", "/images/deadbeef/json", tagged)
    engine.on("GET", "/images/json", [tagged, {"Id": "sha256:deadbeef" + "0" * 56, "RepoTags": []}])
    assert code_of(run("docker_image_history", image="deadbeef")) == "AMBIGUOUS_IDENTIFIER"
    assert engine.sent("GET", "/images/.+/history") == []
