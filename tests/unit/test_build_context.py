"""What of a folder is sent to be built, and what never is."""

import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker.utils.build import Pattern as Reference
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker.engine import context
from mcp_docker.engine.ignored import Ignored, Pattern
from mcp_docker.errors import InvalidArguments
from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run
from tests.unit.test_images_build import STREAM, built


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build context, below an allowed root."""
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", str(tmp_path))
    path = tmp_path / "context"
    (path / "src").mkdir(parents=True)
    (path / "Dockerfile").write_text("FROM base\nCOPY . /app\nRUN make\n")
    (path / "src/main.c").write_text("int main;")
    return path


SECRETS = """
    .env .env.production sub/.env .ENV.local .envrc server.key sub/deep/tls.KEY store.p12 store.pfx a.jks a.keystore
    vault.kdbx id_rsa id_ed25519 sub/id_ecdsa id_ed25519_sk .netrc _netrc .npmrc .pypirc .git-credentials .htpasswd
    .dockercfg .docker/config.json .aws/credentials .ssh/config sub/.kube/config .gnupg/x .azure/y putty.ppk
    application_default_credentials.json service-account-prod.json terraform.tfstate terraform.tfstate.backup
    prod.tfvars .vault-token secrets.yml secrets.yaml secrets.json
""".split()
ORDINARY = """
    .env.example .env.sample .env.template .env.dist .env.defaults .env.local.example id_rsa.pub id_ed25519.pub
    .docker/Dockerfile environment.py key.py keys/readme secrets.py docs/credentials .sshrc main.tf public.pem
""".split()


def fill(folder: Path, names: list[str], text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def files(engine: FakeEngine) -> set[str]:
    """The files of the context that was sent."""
    (request,) = engine.sent("POST", "/build")
    with tarfile.open(fileobj=io.BytesIO(request.body)) as archive:
        return {member.name for member in archive if not member.isdir()}


def test_what_looks_like_a_secret_does_not_travel(engine: FakeEngine, run: Run, folder: Path) -> None:
    fill(folder, SECRETS + ORDINARY)
    answer = data_of(built(engine, run, path=str(folder)))
    assert files(engine) == {*ORDINARY, "Dockerfile", "src/main.c"}
    assert answer["left_out_count"] == len(SECRETS)
    assert len(answer["left_out"]) == 20
    assert {".aws/", ".env", ".docker/config.json"} <= set(answer["left_out"])


def test_a_private_key_is_known_by_what_is_in_the_file(engine: FakeEngine, run: Run, folder: Path) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMII\n"
    chain = "-----BEGIN CERTIFICATE-----\n" + "A" * 9_000 + "\n-----BEGIN PRIVATE KEY-----\n"
    fill(folder, ["tls/a.pem", "id_deploy", "deploy_rsa"], key)
    fill(folder, ["chain.crt"], chain)
    fill(folder, ["ca.pem", "ca.crt", "id_list"], "-----BEGIN CERTIFICATE-----\nA\n")
    fill(folder, ["notes.txt"], key)
    (folder / "link.pem").symlink_to("tls/a.pem")
    answer = data_of(built(engine, run, path=str(folder)))
    assert answer["left_out"] == ["chain.crt", "deploy_rsa", "id_deploy", "tls/a.pem"]
    assert files(engine) == {"ca.pem", "ca.crt", "id_list", "notes.txt", "link.pem", "Dockerfile", "src/main.c"}


def test_a_password_in_gits_configuration_does_not_travel(engine: FakeEngine, run: Run, folder: Path) -> None:
    fill(folder, ["a/.git/config"], "[remote]\n url = https://me:token@host.example/x\n")
    fill(folder, ["b/.git/config"], "[remote]\n url = https://host.example/x\n")
    assert data_of(built(engine, run, path=str(folder)))["left_out"] == ["a/.git/config"]


def test_a_repository_cannot_lift_what_looks_like_a_secret(engine: FakeEngine, run: Run, folder: Path) -> None:
    fill(folder, [".env", ".ssh/id_rsa", "server.key"])
    (folder / ".dockerignore").write_text("*.key\n!.env\n!**/.ssh/id_rsa\n!server.key\n!*\n!**\n")
    data_of(built(engine, run, path=str(folder)))
    assert files(engine) == {".dockerignore", "Dockerfile", "src/main.c"}


@pytest.mark.parametrize(
    ("lifted", "sent"),
    [
        (".env", {".env"}),
        ("config/.env", {"config/.env"}),
        ("**/.env", {".env", "config/.env"}),
        ("config/*.key", {"config/a.key"}),
        (".aws/config,.env", {".aws/config", ".env"}),
        (".aws", {".aws/config", ".aws/credentials"}),
        (".ENV", set()),
        ("!.env", set()),
        ("nothing", set()),
    ],
)
def test_the_operator_lifts_it_file_by_file(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, lifted: str, sent: set[str]
) -> None:
    every = {".env", "config/.env", "config/a.key", ".aws/config", ".aws/credentials"}
    fill(folder, sorted(every))
    monkeypatch.setenv("SAFETY_BUILD_SECRET_FILES", lifted)
    data_of(built(engine, run, path=str(folder)))
    assert files(engine) & every == sent


def test_what_dockerignore_leaves_out_is_not_told_as_a_secret(engine: FakeEngine, run: Run, folder: Path) -> None:
    fill(folder, [".env", "sub/.env"])
    (folder / ".dockerignore").write_text("**/.env\n!sub/.env\n")
    answer = data_of(built(engine, run, path=str(folder)))
    assert (answer["left_out"], answer["left_out_count"]) == (["sub/.env"], 1)


@pytest.mark.parametrize("name", [".env", ".ssh/Dockerfile", "server.key"])
def test_a_dockerfile_that_looks_like_a_secret_is_refused(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill(folder, [name], "FROM base\n")
    result = built(engine, run, path=str(folder), dockerfile=name)
    assert code_of(result) == "BUILD_NOT_ALLOWED"
    assert "SAFETY_BUILD_SECRET_FILES" in result.text
    assert engine.sent("POST", "/build") == []
    monkeypatch.setenv("SAFETY_BUILD_SECRET_FILES", name)
    data_of(built(engine, run, path=str(folder), dockerfile=name))


def test_a_build_that_fails_for_want_of_a_secret_says_why(engine: FakeEngine, run: Run, folder: Path) -> None:
    fill(folder, ["app/.env", "server.key"])
    message = "COPY failed: file not found in build context or excluded by .dockerignore: stat app/.env: file does not"
    failure = {"errorDetail": {"message": message}, "error": message}
    result = built(engine, run, *STREAM[:9], failure, path=str(folder))
    assert code_of(result) == "BUILD_FAILED"
    assert "'app/.env' looks like a secret and was not sent: SAFETY_BUILD_SECRET_FILES" in result.text
    assert "server.key" not in result.text
    engine.requests.clear()
    other = built(engine, run, *STREAM[:9], {"error": "exit status 3"}, path=str(folder))
    assert "SAFETY_BUILD_SECRET_FILES" not in other.text


def test_a_context_that_is_too_large_is_refused_before_anything_is_sent(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_MAX_BUILD_CONTEXT_BYTES", "1000000")
    fill(folder, ["node_modules/a/b"], "x" * 800_000)
    fill(folder, ["data"], "x" * 300_000)
    result = built(engine, run, path=str(folder))
    assert code_of(result) == "BUILD_NOT_ALLOWED"
    assert "has 1.1 MB, and 1.0 are allowed; the most, 0.8 MB, is in 'node_modules'" in result.text
    assert "SAFETY_MAX_BUILD_CONTEXT_BYTES" in result.text
    assert engine.sent("POST", "/build") == []
    (folder / ".dockerignore").write_text("node_modules\n")
    data_of(built(engine, run, path=str(folder)))


def test_a_context_of_too_many_files_is_refused(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "FILES", 5)
    fill(folder, [f"many/{count}" for count in range(6)])
    result = built(engine, run, path=str(folder))
    assert code_of(result) == "BUILD_NOT_ALLOWED"
    assert "more than 5 files" in result.text
    assert "'many'" in result.text


def after_the_look(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Have something change between the moment a context was looked over for good and that at which it is sent."""
    plan, planned = context.planned, []

    def changing(*arguments: Any) -> Any:
        found = plan(*arguments)
        planned.append(found)
        if len(planned) == 2:
            change()
        return found

    monkeypatch.setattr(context, "planned", changing)


def test_a_file_that_grows_beyond_the_limit_while_it_is_sent_ends_the_build(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_MAX_BUILD_CONTEXT_BYTES", "1024")
    after_the_look(monkeypatch, lambda: (folder / "src/main.c").write_text("x" * 5_000))
    assert code_of(built(engine, run, path=str(folder))) == "INVALID_ARGUMENTS"


@pytest.mark.parametrize("swapped", ["context", "context/src", "context/src/main.c"])
def test_a_folder_swapped_for_a_link_after_the_look_sends_nothing_of_what_it_points_to(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    secret = folder.parent / "secret"
    fill(secret, ["main.c", "src/main.c", "Dockerfile"], "s3cret")

    def swap() -> None:
        place = folder.parent / swapped
        place.rename(folder.parent / "aside")
        place.symlink_to(secret / "main.c" if swapped.endswith(".c") else secret)

    after_the_look(monkeypatch, swap)
    result = built(engine, run, path=str(folder))
    sent = b"".join(request.body or b"" for request in engine.sent("POST", "/build"))
    assert b"s3cret" not in sent
    assert swapped.endswith(".c") or code_of(result) == "INVALID_ARGUMENTS"


def test_the_dockerfile_that_was_judged_is_the_one_that_is_sent(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_look(monkeypatch, lambda: (folder / "Dockerfile").write_text("FROM evil.internal/x\n"))
    data_of(built(engine, run, path=str(folder)))
    with tarfile.open(fileobj=io.BytesIO(engine.sent("POST", "/build")[0].body)) as archive:
        found = archive.extractfile("Dockerfile")
        assert found is not None
        assert found.read() == b"FROM base\nCOPY . /app\nRUN make\n"


@pytest.mark.parametrize("where", ["outside", "large"])
def test_an_odd_dockerignore_is_refused(engine: FakeEngine, run: Run, folder: Path, where: str) -> None:
    if where == "outside":
        fill(folder.parent, ["ignore"])
        (folder / ".dockerignore").symlink_to(folder.parent / "ignore")
    else:
        (folder / ".dockerignore").write_text("x\n" * 600_000)
    assert code_of(built(engine, run, path=str(folder))) == "INVALID_ARGUMENTS"
    assert engine.sent("POST", "/build") == []


def test_a_device_in_the_context_is_refused(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stat.S_ISCHR", lambda mode: mode & 0o7777 == 0o751)
    fill(folder, ["device"])
    (folder / "device").chmod(0o751)
    result = built(engine, run, path=str(folder))
    assert code_of(result) == "BUILD_NOT_ALLOWED"
    assert "'device' in the build context is a device" in result.text


def test_a_build_outside_the_roots_asks_the_engine_nothing(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", str(folder / "src"))
    for path in (folder, folder / "src/..", "/etc", "/", "~"):
        result = run("docker_build_image", path=str(path))
        assert code_of(result) == "BUILD_NOT_ALLOWED"
        assert "SAFETY_ALLOWED_BUILD_ROOTS" in result.text or "no setting" in result.text
    assert engine.requests == []


def test_with_the_policy_lifted_any_folder_is_built_and_secrets_stay(
    engine: FakeEngine, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_YOLO_MODE", "true")
    monkeypatch.setenv("SAFETY_ALLOWED_BUILD_ROOTS", "[]")
    fill(folder, [".env"])
    (folder.parent / "link").symlink_to(folder)
    assert data_of(built(engine, run, path=str(folder.parent / "link")))["left_out"] == [".env"]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a", ["a"], ["b", "A", "x/a", "ab"]),
        ("/a/", ["a"], ["x/a"]),
        ("./a/../b", ["b"], ["a"]),
        ("*.c", ["x.c", ".c"], ["a/x.c", "x.cc"]),
        ("*/x", ["a/x"], ["x", "a/b/x"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "x/a"]),
        ("a/**", ["a/x", "a/b/x"], ["a", "b/x"]),
        ("a/**/x", ["a/x", "a/b/c/x"], ["a", "x"]),
        ("**", ["a", "a/b"], []),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("a????c", ["abbbbc"], ["ac"]),
        ("[ab]c", ["ac", "bc"], ["cc"]),
        ("[^a]c", ["bc"], ["ac"]),
        ("[]c", ["[]c"], ["c"]),
        ("a[b", ["a[b"], ["ab"]),
        ("[z-a]", [], ["z", "a"]),
        ("[[x]", ["[", "x"], ["a"]),
        ("\\*", ["*"], ["a"]),
        ("../a", [], ["a"]),
        ("a/../../b", [], ["a", "b"]),
        ("/../a", ["a"], ["b"]),
        ("*a*b*c*d*", ["abcd", "xaxbxcxdx"], ["abc", "a/bcd"]),
        ("**/a/*/**/b/*/c*", ["a/x/b/y/c", "q/a/x/r/b/y/cc"], ["a/b/c", "a/x/b/c"]),
        ("*/*/*/*/**", ["a/b/c/d/e", "a/b/c/d/e/f"], ["a/b/c/d"]),
    ],
)
def test_a_pattern_of_dockerignore_means_what_it_does_to_docker(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    found = Pattern(pattern)
    assert [path for path in matching + others if found.matches(path)] == matching


def test_the_last_pattern_that_matches_decides_for_a_folder_and_all_in_it() -> None:
    ignored = Ignored(["keys", "!keys/*.pub", "**/tmp", "# not a comment here"])

    def out(path: str) -> bool:
        matches: list[bool] = []
        parts = path.split("/")
        for count in range(len(parts)):
            matches = ignored.matches("/".join(parts[: count + 1]), matches)
        return ignored.leaves_out(matches)

    assert [path for path in ("keys", "keys/a", "keys/a.pub", "a/tmp/b/c", "a") if out(path)] == [
        "keys",
        "keys/a",
        "a/tmp/b/c",
    ]
    assert ignored.may_take_back_below("keys")
    assert not ignored.may_take_back_below("key")


PIECES = st.lists(st.sampled_from(["a", "b", "/", "*", "**/", "?", "."]), min_size=1, max_size=8).map("".join)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "ba.", "aab"]), min_size=1, max_size=4).map("/".join)


@given(PIECES, PATHS)
def test_both_ways_of_matching_agree_with_each_other(text: str, path: str) -> None:
    pattern = Pattern(text)
    if pattern.text and "***" not in pattern.text:
        assert pattern._followed(path) == pattern.matches(path)
        if not pattern.text.endswith("**"):
            assert pattern.matches(path) == Reference(pattern.text).match(path)


def test_a_pattern_made_to_take_forever_does_not() -> None:
    pattern = Pattern("*a" * 40 + "b")
    before = time.process_time()
    assert not pattern.matches("a" * 250)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("pattern", "path"), [("*" * 4_000, "a" * 250), ("**/**/**/x", "a/" * 2_000 + "b"), ("*a*a*b", "a" * 4_000)]
)
def test_stars_take_time_by_the_length_of_the_path(pattern: str, path: str) -> None:
    before = time.process_time()
    Pattern(pattern).matches(path)
    assert time.process_time() - before < 5


def test_a_pattern_that_is_longer_than_any_path_is_refused() -> None:
    with pytest.raises(InvalidArguments, match="more than 4096 characters"):
        Ignored(["[" * 4_097])


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(InvalidArguments, match="more than 5000"):
        Ignored(f"a{count}" for count in range(5_001))
