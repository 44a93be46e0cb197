"""Image references, beside docker-py's parsers and the grammar of the distribution specification."""

import re

from docker.auth import resolve_repository_name
from docker.utils import parse_repository_tag

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.errors import RegistryRefused
    from mcp_docker.policy import registries
    from mcp_docker.settings import Settings
    from mcp_docker.tools.fields import reference

MODULES = ("mcp_docker.tools.fields", "mcp_docker.policy.registries")

# https://github.com/distribution/reference: the grammar in the package's comment
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[.]|_|__|[-]+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
GRAMMAR = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)

SETTINGS = Settings(safety_allowed_registries=None, safety_allowed_push_registries=())
HUBS = {"docker.io", "index.docker.io", "registry-1.docker.io"}


def check(text: str) -> None:
    """What is accepted is a reference to everybody, with the same parts and the same registry."""
    try:
        found = reference(text)
    except ValueError as problem:
        assert len(str(problem)) < 7_000  # twice 300 characters, ten for each that is odd
        assert not _plain(text), problem
        return
    assert str(found) == text
    assert reference(str(found)) == found
    assert GRAMMAR.fullmatch(text)
    repository, rest = parse_repository_tag(text)
    assert rest == (found.digest or found.tag)
    if found.digest is None:
        assert repository == found.name
    host, path = resolve_repository_name(found.name)
    place = registries._named(text)
    first = found.name.partition("/")[0]
    if first != first.lower() and "/" in found.name:
        host, path = first, found.name.partition("/")[2]  # docker-py does not know yet that capitals mean a host
    expected = host.lower()
    if not expected.startswith("["):
        assert place.host == ("docker.io" if expected in HUBS else expected)
    official = host == "docker.io" and "/" not in path
    assert "/".join(place.path) == (f"library/{path}" if official else path)
    assert registries.private(place.host) or place.host not in ("localhost", "127.0.0.1", "[::1]")
    for rule in (registries.pull, registries.push):
        try:
            granted = rule(SETTINGS, text, None)  # type: ignore[arg-type]  # the rules don't look at the engine
        except RegistryRefused as refusal:
            assert place.host in str(refusal)
        else:
            assert granted == text
            assert rule is registries.pull
            assert place.host in registries.PUBLIC


def _plain(text: str) -> bool:
    """References that nobody can object to."""
    return bool(
        re.fullmatch(r"(?:[a-z]{2,9}\.[a-z]{2,5}/)?[a-g]{2,9}(?:/[a-z0-9]{1,9}){0,2}(?::[a-z0-9.]{1,9})?", text)
    ) and (not re.search(r":[.]", text))


def one(data: bytes) -> None:
    check(text_in(data))


if __name__ == "__main__":
    fuzz(one)
