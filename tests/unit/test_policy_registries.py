"""Which registries images come from, and go to."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcp_docker.engine import Engine
from mcp_docker.errors import RegistryRefused
from mcp_docker.policy import registries
from mcp_docker.settings import Settings, load


def pulls(name: str, **settings: Any) -> bool:
    return _passes(registries.pull, name, settings)


def pushes(name: str, **settings: Any) -> bool:
    return _passes(registries.push, name, settings)


def _passes(rule: Any, name: str, chosen: dict[str, Any]) -> bool:
    settings = load(**chosen)
    try:
        return bool(rule(settings, name, Engine(settings)) == name)
    except RegistryRefused:
        return False


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Docker's own configuration file."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


@pytest.mark.parametrize("name", ["registry-1.docker.io/redis", "Docker.io/redis"])
def test_only_names_that_engines_complete_are_taken_for_official_images(name: str) -> None:
    assert pulls(name, safety_allowed_registries=["docker.io"])
    assert not pulls(name, safety_allowed_registries=["docker.io/library"])


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("ghcr.io", "ghcr.io/acme/x:1"),
        ("GHCR.io", "ghcr.io/acme/x"),
        ("ghcr.io/acme", "ghcr.io/acme/x"),
        ("ghcr.io/acme/", "ghcr.io/acme/x"),
        ("ghcr.io/acme/x", "ghcr.io/acme/x@sha256:" + "0" * 64),
        ("ghcr.io/acme/x", "ghcr.io/acme/x:v1"),
        ("docker.io", "redis"),
        ("docker.io", "acme/app"),
        ("index.docker.io", "docker.io/acme/app"),
        ("docker.io", "registry-1.docker.io/acme/app"),
        ("docker.io/library/redis", "redis:7"),
        ("docker.io/library/redis", "docker.io/redis"),
        ("docker.io/library", "redis"),
        ("docker.io/acme", "acme/app"),
        ("localhost", "localhost/app"),
        ("localhost:5000", "localhost:5000/app"),
        ("127.0.0.1:5000", "127.0.0.1:5000/app"),
        ("[::1]:5000", "[0:0:0:0:0:0:0:1]:5000/app"),
        ("registry:5000", "registry:5000/app"),
    ],
)
def test_an_entry_allows_what_is_at_it_and_below(entry: str, name: str) -> None:
    assert pulls(name, safety_allowed_registries=(entry,))
    assert pushes(name, safety_allowed_push_registries=(entry,))


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("ghcr.io/acme", "ghcr.io/acme-evil/x"),
        ("ghcr.io/acme", "ghcr.io/acme.evil/x"),
        ("ghcr.io/acme/x", "ghcr.io/acme"),
        ("ghcr.io/acme/x", "ghcr.io/acme/xy"),
        ("ghcr.io", "ghcr.io.evil.example/x"),
        ("ghcr.io", "evil.ghcr.io/x"),
        ("ghcr.io", "ghcr.io:443/x"),
        ("ghcr.io:443", "ghcr.io/x"),
        ("ghcr.io", "evil.example/ghcr.io/x"),
        ("ghcr.io", "redis"),
        ("docker.io/library/redis", "acme/redis"),
        ("docker.io/acme", "acme"),
        ("docker.io", "docker.io.evil.example/x"),
        ("docker.io", "localhost/x"),
        ("docker.io", "Docker/x"),
        ("localhost:5000", "localhost:5001/app"),
        ("localhost:5000", "127.0.0.1:5000/app"),
        ("[::1]:5000", "[::2]:5000/app"),
    ],
)
def test_an_entry_allows_nothing_beside_it(entry: str, name: str) -> None:
    assert not pulls(name, safety_allowed_registries=(entry,))
    assert not pushes(name, safety_allowed_push_registries=(entry,))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("https://ghcr.io", "'https://ghcr.io': write the registry without https://$"),
        ("*.example.com", "no wildcards"),
        ("ghcr.io/ac?e", "no wildcards"),
        ("redis", "docker.io/redis"),
        ("acme/app", "docker.io/acme/app"),
        ("ghcr.io/Acme", "is no registry"),
        ("ghcr.io/acme:v1", "is no registry"),
        ("ghcr.io:0", "is no registry"),
        ("ghcr.io:65536", "is no registry"),
        ("ghcr.io:", "is no registry"),
        ("ghcr.io//x", "is no registry"),
        ("ghcr.io/../x", "is no registry"),
        ("-x.example", "is no registry"),
        ("user@ghcr.io", "is no registry"),
        ("", "is no registry"),
    ],
)
def test_a_malformed_entry_is_named_with_how_to_write_it(entry: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        registries.checked(("ghcr.io", entry))


def test_a_list_with_a_malformed_entry_allows_nothing() -> None:
    assert not pulls("ghcr.io/a/b", safety_allowed_registries=("ghcr.io", "*.io"))
    assert not pushes("ghcr.io/a/b", safety_allowed_push_registries=("ghcr.io", "*.io"))


def test_well_formed_entries_pass() -> None:
    registries.checked((*registries.PUBLIC, "localhost", "10.0.0.1:5000/team", "[fd00::1]:5000"))
    registries.checked(("ghcr.io:1", "ghcr.io:65535"))


@pytest.mark.parametrize("name", ["redis:7", "acme/app", "ghcr.io/a/b", "quay.io/a/b", "registry.k8s.io/pause:3.9"])
def test_the_public_registries_are_pulled_from_by_default(name: str) -> None:
    assert pulls(name)


@pytest.mark.parametrize("name", ["redis", "ghcr.io/a/b", "localhost/a"])
def test_an_empty_list_allows_none(name: str) -> None:
    assert not pulls(name, safety_allowed_registries=())


@pytest.mark.parametrize("name", ["redis", "ghcr.io/a/b", "localhost:5000/a"])
def test_nothing_is_pushed_by_default(name: str) -> None:
    assert not pushes(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "x/", "/x", "x@sha256:1", "x:", "Redis", "ghcr.io/a/../b", "$X", "a\nb", "[x]/y", "x@"]
)
def test_what_is_no_image_name_is_never_allowed(name: str) -> None:
    assert not pulls(name)
    assert not pushes(name, safety_allowed_push_registries=("docker.io", "ghcr.io"))


def test_the_registries_of_dockers_own_configuration_are_pulled_from(config: Path) -> None:
    assert not pulls("registry.example/app")
    written: list[dict[str, Any]] = [
        {"auths": {"registry.example": {}}},
        {"auths": {"https://registry.example/v1/": {}}},
        {"auths": {"http://registry.example/v2/": {}}},
        {"auths": {"REGISTRY.example/": {}}},
        {"credHelpers": {"registry.example": "pass"}},
    ]
    for stored in written:
        config.write_text(json.dumps(stored))
        assert pulls("registry.example/app")
        assert not pulls("registry.example:5000/app")
        assert not pulls("other.example/app")
        assert not pulls("registry.example/app", safety_allowed_registries=("ghcr.io",))
        assert not pushes("registry.example/app")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000",
        "127.1:5000",
        "0x7f.0.0.1",
        "2130706433:80",
        "0.0.0.0:5000",
        "10.1.2.3",
        "172.16.0.1:5000",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "[::1]:5000",
        "[::]:5000",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]:5000",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "registry:5000",
        "nas.local",
        "registry.internal",
        "host.docker.internal:5000",
        "box.lan",
        "git.home.arpa",
        "a.b.0x1f",
        "1.2.3.b.4",
    ],
)
def test_a_private_address_takes_more_than_dockers_own_configuration(config: Path, host: str) -> None:
    config.write_text(json.dumps({"auths": {host: {}}, "credHelpers": {host: "x"}}))
    assert registries.private(host)
    assert not pulls(f"{host}/app")
    assert pulls(f"{host}/app", safety_allowed_registries=(host,))


@pytest.mark.parametrize(
    "host", ["ghcr.io", "1.1.1.1:5000", "[2606:4700::1111]", "registry.example:5000", "a.localy", "1.0x.com"]
)
def test_other_addresses_are_public(host: str) -> None:
    assert not registries.private(host)


@pytest.mark.parametrize("text", ["", "no host", "a:b:c", "user@ghcr.io"])
def test_what_is_no_host_is_private(text: str) -> None:
    assert registries.private(text)


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": []}', '{"auths": {"a b": {}, "*": {}}}', "\xff"])
def test_an_odd_configuration_of_dockers_allows_nothing_more(config: Path, text: str) -> None:
    config.write_bytes(text.encode("latin-1"))
    assert not pulls("registry.example/app")
    assert pulls("redis")


def test_a_refusal_names_the_registry_and_the_setting(config: Path) -> None:
    config.write_text(json.dumps({"auths": {"10.0.0.1": {}}}))
    only: Any = {"safety_allowed_registries": ("ghcr.io",)}
    for rule, name, chosen, words in (
        (registries.pull, "x.example/a", {}, ["x.example", "SAFETY_ALLOWED_REGISTRIES=x.example"]),
        (registries.pull, "10.0.0.1/a", {}, ["private address", "SAFETY_ALLOWED_REGISTRIES=10.0.0.1"]),
        (registries.pull, "a", only, ["docker.io", "SAFETY_ALLOWED_REGISTRIES"]),
        (registries.push, "ghcr.io/a/b", {}, ["ghcr.io/a/b", "SAFETY_ALLOWED_PUSH_REGISTRIES"]),
    ):
        settings: Settings = load(**chosen)
        with pytest.raises(RegistryRefused) as refused:
            rule(settings, name, Engine(settings))
        for word in words:
            assert word in str(refused.value)


@pytest.mark.parametrize(
    ("rule", "name", "chosen", "words"),
    [
        (
            registries.pull,
            "x.example/a",
            {},
            "pull from x.example/a: the registry x.example is neither one of the public registries nor of Docker's own "
            "configuration; SAFETY_ALLOWED_REGISTRIES=x.example allows it, in place of the default list.",
        ),
        (
            registries.pull,
            "10.0.0.1/a",
            {},
            "pull from 10.0.0.1/a: the registry 10.0.0.1 has a private address; "
            "SAFETY_ALLOWED_REGISTRIES=10.0.0.1 allows it, in place of the default list.",
        ),
        (
            registries.pull,
            "redis:7",
            {"safety_allowed_registries": ("ghcr.io",)},
            "pull from docker.io/library/redis: the registry docker.io is not among SAFETY_ALLOWED_REGISTRIES; "
            "adding docker.io there allows it.",
        ),
        (
            registries.push,
            "ghcr.io/a/b",
            {},
            "push to ghcr.io/a/b: the registry ghcr.io is not among SAFETY_ALLOWED_PUSH_REGISTRIES; "
            "adding ghcr.io there, or ghcr.io/a/b, allows it.",
        ),
        (
            registries.push,
            "ghcr.io/a/b",
            {"safety_allowed_push_registries": ("redis",)},
            "SAFETY_ALLOWED_PUSH_REGISTRIES can't be understood: 'redis' begins with no registry: of Docker Hub, write "
            "docker.io/redis; the operator corrects it.",
        ),
        (
            registries.pull,
            "ghcr.io/a/b",
            {"safety_allowed_registries": ("ghcr.io:0",)},
            "SAFETY_ALLOWED_REGISTRIES can't be understood: 'ghcr.io:0' is no registry: write host[:port][/prefix], in "
            "lower case and without a tag; the operator corrects it.",
        ),
        (
            registries.pull,
            "A" * 400,
            {},
            f"'{'A' * 300}' is no image name; write [host[:port]/]path[:tag][@sha256:digest], in lower case.",
        ),
    ],
)
def test_a_refusal_reads_as_one_sentence_and_what_to_do(
    config: Path, rule: Any, name: str, chosen: Any, words: str
) -> None:
    config.write_text(json.dumps({"auths": {"10.0.0.1": {}}}))
    settings: Settings = load(**chosen)
    with pytest.raises(RegistryRefused) as refused:
        rule(settings, name, Engine(settings))
    assert str(refused.value) == f"REFUSED [REGISTRY_NOT_ALLOWED] {words}"


def test_where_dockers_configuration_is_not_named_it_is_the_one_at_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {"registry.example": {}}}))
    assert pulls("registry.example/app")


PART = st.from_regex(r"[a-z0-9]{1,5}(-[a-z0-9]{1,3})?", fullmatch=True)
PATH = st.lists(PART, min_size=1, max_size=3)
HOST = st.sampled_from(["ghcr.io", "registry.example:5000", "docker.io", "10.0.0.1"])


@given(HOST, PATH, PATH)
def test_an_entry_allows_exactly_the_paths_below_it(host: str, prefix: list[str], path: list[str]) -> None:
    assume(host != "docker.io" or len(path) > 1)
    entry = registries.entered("/".join([host, *prefix]))
    assert entry.holds(registries.entered("/".join([host, *prefix, *path])))
    assert entry.holds(registries.entered("/".join([host, *path]))) == (path[: len(prefix)] == prefix)
    longer = [*prefix[:-1], f"{prefix[-1]}x", *path]
    assert not entry.holds(registries.entered("/".join([host, *longer])))


@given(st.text(max_size=40) | st.from_regex(r"[a-z.:/@\[\]0-9*-]{1,30}", fullmatch=True))
def test_any_text_is_an_entry_or_a_value_error(text: str) -> None:
    try:
        entry = registries.entered(text)
    except ValueError:
        return
    assert registries.entered(str(entry)) == entry
    assert entry.host == entry.host.lower()


@given(st.text(max_size=60) | st.from_regex(r"[a-zA-Z.:/@\[\]0-9-]{1,40}", fullmatch=True))
def test_any_text_is_allowed_or_refused_as_a_name(text: str) -> None:
    settings = Settings(safety_allowed_registries=("ghcr.io/acme",))
    try:
        registries.pull(settings, text, Engine(settings))
    except RegistryRefused:
        return
    assert text.lower().startswith("ghcr.io/acme")
