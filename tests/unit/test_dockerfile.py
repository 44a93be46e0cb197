"""What is read from a Dockerfile before it is sent."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker.engine import dockerfile
from mcp_docker.errors import InvalidArguments


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("RUN <<EOF\necho\nEOF", "the heredoc <<EOF of RUN in line 1"),
        ("FROM a\n\n# c\nCOPY <<-'E O' /a\nx\nE O", "the heredoc <<-'E O' of COPY in line 4"),
        ('ADD --chown=1 3<<"A" /a', 'the heredoc 3<<"A" of ADD in line 1'),
        ("RUN a && \\\n  # comment\n\n  cat <<EOF > /x", "the heredoc <<EOF of RUN in line 1"),
        ("ONBUILD RUN <<EOF", "the heredoc <<EOF of RUN in line 1"),
        ("run <<EOF", "the heredoc <<EOF of RUN in line 1"),
        ("# escape=`\nRUN a `\n <<EOF", "the heredoc <<EOF of RUN in line 2"),
        ("# syntax=docker/dockerfile:1\n# escape=\\\nRUN <<EOF", "the heredoc <<EOF of RUN in line 3"),
        ("RUN <<EOF \\", "the heredoc <<EOF of RUN in line 1"),
        ("RUN cat <<< text", None),
        ("RUN x=$((1<<3)) && echo $((1 << 3))", None),
        ("RUN echo 'a <<EOF'", None),
        ('RUN echo "a \\" <<EOF"', None),
        ("RUN echo a\\ <<EOF", None),
        ("RUN echo it's <<EOF", None),
        ('RUN ["echo", "<<EOF"]', None),
        ("CMD cat <<EOF", None),
        ("# RUN <<EOF", None),
        ("RUN a\\\\\nCMD <<EOF", None),
        ("ONBUILD", None),
        ("", None),
    ],
)
def test_a_heredoc_is_what_buildkit_takes_for_one(text: str, found: str | None) -> None:
    assert dockerfile.heredoc(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("RUN --mount=type=cache,target=/x make", "RUN --mount in line 1"),
        ("RUN --network=none make", "RUN --network in line 1"),
        ("COPY --chown=1 --chmod=755 a b", "COPY --chmod in line 1"),
        ("COPY --link a b", "COPY --link in line 1"),
        ("FROM a\nADD --checksum=sha256:0 a b", "ADD --checksum in line 2"),
        ("COPY --from=a --parents --exclude=x a b", "COPY --parents in line 1"),
        ("ONBUILD COPY --link a b", "COPY --link in line 1"),
        ("COPY --from=a --chown=1 a b", None),
        ("FROM --platform=linux/amd64 a", None),
        ("RUN echo --mount=x", None),
        ("# syntax=docker/dockerfile:1.7\nFROM a", None),
    ],
)
def test_flags_of_buildkit_are_found(text: str, found: str | None) -> None:
    assert dockerfile.buildkit_flag(text) == found


@given(
    st.text()
    | st.lists(st.sampled_from(["RUN ", "COPY", "--", "<<", "E", "'", "\\", "\n", "# escape=`", "[", " "])).map("".join)
)
def test_any_text_can_be_read_as_a_dockerfile(text: str) -> None:
    for look in (dockerfile.heredoc, dockerfile.buildkit_flag):
        found = look(text)
        assert found is None or "line" in found


NAMES = [
    ("FROM a", ["a"]),
    ("FROM a AS b\nFROM b\nCOPY --from=b x y\nCOPY --from=0 x y", ["a"]),
    ("FROM a AS Build\nFROM c\nCOPY --from=build x y", ["a", "c"]),
    ("FROM a AS a", ["a"]),
    ("FROM a\nCOPY --from=later x y\nFROM b AS later", ["a", "later", "b"]),
    ("FROM a\nCOPY --from=7 x y", ["a", "7"]),
    ("FROM scratch", []),
    ("FROM a AS b\nCOPY --from=b x y", ["a", "b"]),
    ("FROM --platform=$BUILDPLATFORM a:1 AS b", ["a:1"]),
    ("from\ta", ["a"]),
    ("\ufeffFROM a", ["a"]),
    ("FROM a\r\nCOPY --from=b x \\\r\n y\r\n", ["a", "b"]),
    ("FROM a\nCOPY --chown=1 --fr\\om=b x y", ["a", "b"]),
    ("FROM a\nCOPY --\"from\"='b' x y", ["a", "b"]),
    ("FROM a\nCOPY --from= x y", ["a"]),
    ("FROM a\nRUN --mount=type=bind,from=b,target=/x true", ["a", "b"]),
    ("FROM a\nRUN --mount='type=bind,\"from=b\"' true", ["a", "b"]),
    ("FROM a\nONBUILD ONBUILD COPY --from=b x y", ["a", "b"]),
    ("FROM a\nRUN echo -- --from=b", ["a"]),
    ("FROM a\nCOPY -- --from=b y", ["a"]),
    ('FROM "a"', ["a"]),
    ("FROM 'a'b", ["ab"]),
    ("FROM a@sha256:" + "0" * 64, ["a@sha256:" + "0" * 64]),
    ("FROM sha256:" + "0" * 64, []),
    ("ARG A=x\nARG B=y:$A\nFROM ${B}", ["y:x"]),
    ('ARG A="x" B=z\nFROM $A/$B', ["x/z"]),
    ("ARG A=$TARGETARCH\nFROM a", ["a"]),
    ("ARG A\nFROM a$A", ["a"]),
    ("FROM ${A:-a}", ["a"]),
    ("FROM ${A:-${B:-a}}", ["a"]),
    ("FROM ${A-a}", ["a"]),
    ("ARG A=\nFROM a${A-b}", ["a"]),
    ("ARG A=\nFROM a${A:-b}", ["ab"]),
    ("ARG A=x\nFROM a${A:+b}${A+c}${N:+d}${N+e}", ["abc"]),
    ("FROM a\nARG A=b\nFROM c${A}", ["a", "c"]),
    ("# escape=`\nFROM a\nLABEL x=y `\n z=w\nFROM b", ["a", "b"]),
    ("# syntax=x\n# escape=`\nFROM a\nLABEL x=y \\\nFROM b", ["a", "b"]),
    ("FROM a\nRUN <<E\nx \\\nE\nFROM b", ["a", "b"]),
    ("FROM a b", []),
    ("# FROM a", []),
]


@pytest.mark.parametrize(("text", "found"), NAMES)
def test_every_image_that_a_dockerfile_names_is_found(text: str, found: list[str]) -> None:
    assert [base.name for base in dockerfile.images(text, {})] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ARG A=a\nFROM $A", ["b"]),
        ("ARG A\nFROM $A", ["b"]),
        ("ARG A=a\nARG X=$A:1\nFROM $X", ["b:1"]),
        ("ARG TARGETARCH\nFROM a:$TARGETARCH", ["a:arm64"]),
    ],
)
def test_build_arguments_go_before_defaults(text: str, found: list[str]) -> None:
    assert [base.name for base in dockerfile.images(text, {"A": "b", "TARGETARCH": "arm64"})] == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM $A", "'' is no image name"),
        ("FROM ", "'' is no image name"),
        ("FROM $NAMED", "$NAMED can't be known"),
        ("FROM a:$TARGETARCH", "$TARGETARCH can't be known"),
        ("ARG TARGETPLATFORM=x\nARG TARGETPLATFORM\nFROM $TARGETPLATFORM", "$TARGETPLATFORM can't be known"),
        ("ARG A=$TARGETOS\nFROM $A", "$A can't be known"),
        ("ARG A=a\nARG A\nFROM $A", "$A can't be known"),
        ("FROM ${A#x}", "is not understood"),
        ("FROM ${A:?x}", "is not understood"),
        ("FROM $1", "is not understood"),
        ("FROM ${A", "is not understood"),
        ("FROM ${A:-b", "is not closed"),
        ("FROM 'a", "is not closed"),
        ("FROM a\\b", "no certain meaning"),
        ("FROM `a`", "no certain meaning"),
        ("FROM " + "${A:-" * 30, "nested too deeply"),
        ("ARG A=" + "x" * 3_000 + "\nARG A=$A$A\nARG A=$A$A\nFROM $A", "$A can't be known"),
        ("FROM " + "a" * 9_000, "too long"),
        ("FROM http://x", "is no image name"),
        ("FROM dir:x", "is no image name"),
        ("FROM a!", "is no image name"),
        ("FROM a\nCOPY --from=$X a b", "is no image name"),
        ('ARG "A=b\nFROM a', None),
        ('ARG "A=b"\nFROM a', "odd name"),
    ],
)
def test_an_image_that_cannot_be_told_is_refused(text: str, words: str | None) -> None:
    if words is None:
        assert dockerfile.images(text, {})
        return
    with pytest.raises(InvalidArguments, match=re.escape(words)):
        dockerfile.images(text, {"NAMED": "x"})


@given(
    st.lists(
        st.sampled_from(
            ["FROM a", "FROM a AS s", "LABEL x=y", "# c", "", "  # c \\", "LABEL x=y \\", "ARG A=b", "RUN <<E", "x"]
        )
    )
)
def test_an_image_on_a_line_of_its_own_is_never_missed(before: list[str]) -> None:
    while before and before[-1].endswith("\\"):
        before.pop()
    continued = any(line.endswith("\\") for line in before)
    text = "\n".join([*before, "LABEL z=z", "FROM evil.example/x"])
    assert continued or "evil.example/x" in {base.name for base in dockerfile.images(text, {})}


@given(
    st.text()
    | st.lists(st.sampled_from(["FROM ", "ARG ", "A=", "$A", "${A:-", "}", "\n", "'", "--from="])).map("".join)
)
def test_images_of_any_text_are_names_or_a_refusal(text: str) -> None:
    try:
        found = dockerfile.images(text, {"A": "x"})
    except InvalidArguments:
        return
    assert all(base.name and "$" not in base.name for base in found)


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nRUN true\nFR\\\r\r\nOM evil.example/x\n",
        "FROM a\nRUN true \\\n\x1c\nFROM evil.example/x\n",
        "# syntax=b\x0bc\n# escape=`\nFROM a\nFR`\nOM evil.example/x\n",
        "FROM --platform=${X:+\x1clocal}linux/amd64 evil.example/x\n",
        "FROM a\u2028FROM evil.example/x\n",
        "FROM a\x85FROM b",
        "FROM\x0ca",
    ],
)
def test_characters_that_builders_read_otherwise_are_refused(text: str) -> None:
    for read in (lambda: dockerfile.images(text, {}), lambda: dockerfile.privileges(text)):
        with pytest.raises(InvalidArguments, match="control character"):
            read()


def test_windows_line_ends_are_no_control_characters() -> None:
    assert [base.name for base in dockerfile.images("FROM a\r\nRUN x \\\r\n  y\r\n", {})] == ["a"]


def test_a_part_of_an_id_may_be_a_name() -> None:
    assert [base.name for base in dockerfile.images("FROM sha256:abcdef1234\n", {})] == ["sha256:abcdef1234"]


def test_flags_without_number_are_read_in_time_by_their_length() -> None:
    began = time.thread_time()
    assert dockerfile.heredoc("RUN " + "--a " * 250_000 + "<<") is None
    assert time.thread_time() - began < 2
