"""Properties of everything that reads or cleans text; the fuzz targets hold the same oracles against other inputs."""

from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from mcp_docker import redact
from mcp_docker.registry import declared
from mcp_docker.tool import Fact
from tests.fuzz import (
    fuzz_dockerfile,
    fuzz_identifiers,
    fuzz_logs,
    fuzz_ports,
    fuzz_redaction,
    fuzz_references,
    fuzz_sanitiser,
    fuzz_times,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=20,
)
LINES = st.lists(st.text(max_size=40), max_size=6).map("\n".join)


@given(
    st.text() | st.from_regex(r"\A[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}\Z") | st.text("abc019./%:@#?\\~-_ \n", max_size=30)
)
def test_an_identifier_leads_nowhere_else(text: str) -> None:
    fuzz_identifiers.check(text)


PARTS = st.from_regex(r"\A[a-z0-9]+(?:[._-][a-z0-9]+)?\Z")
HOSTS = st.sampled_from(
    ["", "docker.io/", "ghcr.io/", "localhost/", "localhost:5000/", "[::1]:5000/", "127.1/", "Registry.Example/"]
)
SUFFIXES = st.sampled_from(["", ":latest", ":7-alpine", "@sha256:" + "a" * 64, ":x@sha256:" + "0" * 64, ":", "@", ":-"])


@given(
    st.text("abz019./:@-_A[]", max_size=60)
    | st.builds(lambda host, path, end: host + "/".join(path) + end, HOSTS, st.lists(PARTS, max_size=3), SUFFIXES)
)
def test_a_reference_means_the_same_to_everybody(text: str) -> None:
    fuzz_references.check(text)


DURATIONS = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("dhms")), max_size=4).map(
    lambda parts: "".join(f"{number}{unit}" for number, unit in parts)
)
TIMES = st.datetimes().flatmap(
    lambda moment: st.sampled_from(["", "Z", "z", "+00:00", "-23:59", "+14:00"]).map(
        lambda zone: moment.isoformat() + zone
    )
)


@given(st.text(max_size=30) | DURATIONS | DURATIONS.map(lambda text: f"{text} ago") | TIMES | st.integers(0).map(str))
def test_a_time_is_the_moment_that_is_written(text: str) -> None:
    fuzz_times.check(text)


FRAMES = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 4, 255]), st.binary(max_size=60))).map(
    lambda frames: b"".join(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for stream, data in frames)
)
STAMPED = st.lists(st.from_regex(rb"\A[0-9]{4}-[01][0-9]-[0-3][0-9]T12:00:00(\.[0-9]{1,9})?Z .{0,9}\n\Z")).map(b"".join)


@given(FRAMES | STAMPED | st.binary(), st.integers(0, 127), st.booleans(), st.integers(0, 5))
def test_a_log_is_read_the_same_however_it_is_cut_up(data: bytes, seed: int, tty: bool, short: int) -> None:
    fuzz_logs.check(data[: len(data) - short], seed, tty=tty)


@given(st.text("0123456789:-/.[]tcpud ", max_size=25) | JSON)
def test_ports_are_ports_and_on_loopback_unless_addressed(value: Any) -> None:
    fuzz_ports.check_ports(value)


@given(st.text("ab/.:~\\C,rownp", max_size=25) | JSON)
def test_volumes_are_read_only_and_plain_unless_written(value: Any) -> None:
    fuzz_ports.check_volumes(value)


@given(LINES, LINES, st.integers(0, 20))
def test_a_planted_secret_is_gone_beside_anything(before: str, after: str, number: int) -> None:
    fuzz_redaction.check_planted(before, after, number)


@given(LINES)
def test_hiding_keeps_lines_and_is_done_after_one_time(text: str) -> None:
    fuzz_redaction.check_text(text.encode("utf-8", "replace").decode())


@given(JSON)
def test_hiding_keeps_the_form_of_an_answer(data: Any) -> None:
    fuzz_redaction.check_data(data)


@given(st.text() | st.text("\x1b[]m0;\x07\\\u202e\u200b\u00ad\U000e0041\ud800\r\n\tx"))
def test_only_what_is_seen_is_left_of_a_text(text: str) -> None:
    fuzz_sanitiser.check_text(text)


@given(JSON, st.integers(150, 1_500))
def test_an_answer_fits_as_far_as_anything_can_be_cut(data: Any, limit: int) -> None:
    fuzz_sanitiser.check_data(data, limit)


def test_text_that_only_a_model_would_see_is_taken_out() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    assert redact.told(f"nice{hidden}\u00ad name\ud800", hide=False) == "nice name"
    assert redact.clean({"a": [hidden]}, hide=False)[0] == {"a": [""]}


def test_a_key_with_dots_or_braces_is_said_by_name_when_its_value_is_cut() -> None:
    data = {"raw": {"com.docker.{x}": ["y" * 50] * 50}}
    bound, said = redact.bound(data, 400)
    assert len(redact.compact(bound).encode()) <= 400
    assert said == [f"{len(bound['raw']['com.docker.{x}'])} of 50 items of raw.com.docker.{{x}}"]


def test_labels_are_cut_when_they_are_what_is_too_much() -> None:
    bound, said = redact.bound({"id": "x", "labels": {f"k{number}": "v" * 50 for number in range(2_000)}}, 5_000)
    assert len(redact.compact(bound).encode()) <= 5_000
    assert bound["id"] == "x"
    assert said == [f"{len(bound['labels'])} of 2000 items of labels"]


def test_every_field_of_an_answer_that_is_a_mapping_of_texts_may_be_cut() -> None:
    declared()
    todo, kinds = [Fact], set()
    while todo:
        kind = todo.pop()
        kinds.add(kind)
        todo += kind.__subclasses__()
    mappings = {
        name
        for kind in kinds
        if kind.__module__.startswith("mcp_docker.tools.")
        for name, hint in get_type_hints(kind).items()
        if name in kind.model_fields
        for each in (hint, *get_args(hint))
        if get_origin(each) is dict and get_args(each)[1] is not int
    }
    assert mappings == redact.FREE


@given(st.text("FROMARGUN redis:7$X{}-+=\n\t'\"\\#/@"), st.dictionaries(st.sampled_from("AXV"), st.text(max_size=5)))
def test_a_dockerfile_tells_all_of_its_images_or_is_refused(text: str, buildargs: dict[str, str]) -> None:
    fuzz_dockerfile.check_dockerfile(text, buildargs)


@given(st.text("ab/.*?![]^-\\", max_size=14), st.text("ab/.", max_size=14))
def test_a_pattern_means_the_same_compiled_and_followed(line: str, path: str) -> None:
    fuzz_dockerfile.check_pattern(line, path)
