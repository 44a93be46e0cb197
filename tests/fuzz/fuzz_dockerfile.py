"""Dockerfiles and .dockerignore: the images that a build would pull, and what is left out of its context."""

import posixpath
import re
from collections.abc import Mapping
from typing import Any, cast
from unittest import mock

from docker.utils.build import PatternMatcher

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.engine.dockerfile import buildkit_flag, check_plain, heredoc, images, privileges
    from mcp_docker.engine.ignored import LINE_CHARACTERS, Ignored, Pattern
    from mcp_docker.errors import InvalidArguments

MODULES = ("mcp_docker.engine.dockerfile", "mcp_docker.engine.ignored")
_FROM = re.compile(
    r"(?i)[ \t]*FROM[ \t]+(?:--platform=[a-z0-9/]+[ \t]+)?([^ \t]+)"
    r"(?:[ \t]+AS[ \t]+([a-z][a-z0-9_.-]*))?[ \t]*"
)


def check_dockerfile(text: str, buildargs: Mapping[str, str]) -> None:
    """Every base that is written out plainly is told, or the whole is refused; lines are those of the file."""
    try:
        found = images(text, buildargs)
        flags = privileges(text)
    except InvalidArguments as problem:
        assert "dockerfile" in str(problem)
        return
    check_plain(text)
    count = text.count("\n") + 1
    names = {base.name for base in found}
    assert all(1 <= base.line <= count and base.name for base in found)
    assert all(name in ("network", "security", "device") for name in flags.values())
    assert not any(mark in name for name in names for mark in " \t\n$\"'\\")
    assert images(text, buildargs) == found
    for told in (heredoc(text), buildkit_flag(text)):
        assert told is None or re.search(r" in line [0-9]+", told)
    if "\\" in text or "`" in text or "<<" in text or "#" in text or not text.isascii() or "onbuild" in text.lower():
        return
    stages: set[str] = set()
    for line in text.split("\n"):
        if match := _FROM.fullmatch(line.removesuffix("\r")):
            base, stage = match.groups()
            plain = re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9./:-]*", base)
            assert not plain or base in names or base == "scratch" or base.lower() in stages, (base, names)
            if stage:
                stages.add(stage.lower())


def check_pattern(line: str, path: str) -> None:
    """A pattern means the same whether it is compiled or followed, and alone what docker-py takes it for."""
    pattern = Pattern(line)
    followed = pattern._followed(path)
    assert pattern.matches(path) == followed, (line, path)
    with mock.patch("mcp_docker.engine.ignored._STARS", -1):
        assert Pattern(line).matches(path) == followed, (line, path)
    if posixpath.normpath(line.removeprefix("!").strip()).startswith("../") and not path.startswith(".."):
        assert not followed, (line, path)
    if len(line) > LINE_CHARACTERS:
        return
    ignored = Ignored([line])
    out = ignored.leaves_out(ignored.matches(path))
    assert out is (bool(pattern.text) and followed and not pattern.takes_back)
    plain = re.fullmatch(r"[a-z0-9._-]*(?:[*?][a-z0-9._-]+|/[a-z0-9_-]+)*", line) and not re.search(
        r"\*\*|\.\.|//|^/|/$", line
    )
    if (
        plain
        and line.strip("./*!")
        and "/." not in f"/{path}"
        and re.fullmatch(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*", path)
    ):
        theirs = PatternMatcher([line]).matches(cast("Any", path))
        folders = [path[: match.start()] for match in re.finditer("/", path)]
        ours = ignored.matches(path)
        for folder in folders:
            ours = [one or other for one, other in zip(ours, ignored.matches(folder), strict=True)]
        assert ignored.leaves_out(ours) is bool(theirs), (line, path)


def one(data: bytes) -> None:
    """Lines `!ignore PATTERN PATH` are for .dockerignore, `!arg NAME=VALUE` for the build; all others a Dockerfile."""
    buildargs, rest = {}, []
    for line in text_in(data).encode("utf-8", "replace").decode().split("\n"):
        if line.startswith("!ignore "):
            pattern, _, path = line.removeprefix("!ignore ").rpartition(" ")
            check_pattern(pattern, path)
        elif line.startswith("!arg "):
            name, _, value = line.removeprefix("!arg ").partition("=")
            buildargs[name] = value
        else:
            rest.append(line)
    check_dockerfile("\n".join(rest), buildargs)


if __name__ == "__main__":
    fuzz(one)
