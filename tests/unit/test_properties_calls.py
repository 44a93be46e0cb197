"""Properties of calls, settings and records; the fuzz targets hold the same oracles against other inputs."""

import gc
import json
import random
import weakref
from typing import Any

import pytest
from docker.errors import APIError
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_docker.errors import InvalidArguments
from mcp_docker.registry import declared
from mcp_docker.settings import Settings
from tests.conftest import code_of, data_of
from tests.fuzz import (
    fuzz_answers,
    fuzz_arguments,
    fuzz_audit,
    fuzz_clients,
    fuzz_errors,
    fuzz_hosts,
    fuzz_mounts,
    fuzz_prompts,
    fuzz_settings,
    fuzz_tokens,
)
from tests.unit.conftest import FakeEngine, Run
from tests.unit.test_containers_logs import ID, frame, texts, web

__all__ = ["web"]

SLOW = settings(max_examples=max(settings().max_examples // 5, 10))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
TOOLS = sorted(fuzz_arguments.PROPERTIES)
ARGUMENTS = st.sampled_from(TOOLS).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.dictionaries(st.sampled_from(sorted(fuzz_arguments.PROPERTIES[name]) or ["x"]), JSON, max_size=4),
    )
)


@given(ARGUMENTS)
def test_arguments_fit_or_it_is_said_what_does_not(call: tuple[str, dict[str, Any]]) -> None:
    fuzz_arguments.check(*call)


MODES = st.sampled_from(["host", "HOST", "container:x", "private", "none", "bridge", "web", "ns:/proc/1/ns/net"])
POWERFUL = st.fixed_dictionaries(
    {"image": st.just("redis")},
    optional={
        "privileged": st.booleans(),
        "network": MODES,
        "network_mode": MODES,
        "pid_mode": MODES,
        "ipc_mode": MODES,
        "uts_mode": MODES,
        "userns_mode": MODES,
        "cap_add": st.lists(st.sampled_from(["SYS_ADMIN", "cap_sys_admin", "chown", "ALL", "NET_RAW"])),
        "security_opt": st.lists(st.sampled_from(["seccomp:unconfined", "no-new-privileges", "apparmor=unconfined"])),
        "devices": st.lists(st.sampled_from(["/dev/fuse", "/dev/sda:/dev/x:rwm"])),
        "sysctls": st.just({"net.core.somaxconn": "1"}),
        "runtime": st.just("nvidia"),
        "cgroup_parent": st.just("/x"),
        "ports": st.lists(st.sampled_from(["80", "8080:80", "0.0.0.0:1:1", "[::]:2:2", "127.0.0.2:3:3", "::1:4:4"])),
        "volumes": st.lists(st.sampled_from(["data:/a", "/b", "/etc:/c", "./x:/d", "~/x:/e:rw", "C:\\x:/f", "a/b:/g"])),
    },
)


@given(POWERFUL)
def test_no_container_gets_a_power_that_was_not_asked_of_the_policy(arguments: dict[str, Any]) -> None:
    fuzz_arguments.check("docker_create_container", arguments)


def test_arguments_that_do_not_fit_are_let_go() -> None:
    class Kept(dict[str, Any]):
        """Arguments that can be watched."""

    def refused() -> "weakref.ref[Kept]":
        arguments = Kept(container_id="../x")
        problem: InvalidArguments | None = None
        try:
            declared()["docker_inspect_container"].parse(arguments)
        except InvalidArguments as caught:
            problem = caught  # as whoever writes it down does
        assert problem is not None
        return weakref.ref(arguments)

    kept = refused()
    gc.collect()
    assert kept() is None


CHANGES = st.lists(
    st.builds(
        lambda mark, key, value: f"{key}={value}" if mark == "=" else mark + key,
        st.sampled_from("-~="),
        st.sampled_from(["State", "Config", "Labels", "Ports", "Health", "Status", "Image", "Mounts", "IPAM", "usage"]),
        JSON.map(json.dumps),
    ),
    max_size=5,
).map(tuple)


@SLOW
@given(st.integers(0, 20), st.sampled_from(sorted(fuzz_answers.RECORDED)), CHANGES, st.integers())
def test_answers_of_an_engine_may_lack_anything(number: int, version: str, edits: tuple[str, ...], seed: int) -> None:
    fuzz_answers.check(number, version, edits, random.Random(seed))


@SLOW
@given(
    st.integers(0, 20),
    st.sampled_from(sorted(fuzz_answers.RECORDED)),
    CHANGES,
    st.lists(st.text(max_size=40), max_size=3),
    st.sampled_from(fuzz_prompts.LIMITS),
)
def test_prompts_and_resources_of_an_odd_engine_keep_their_fence_and_secrets(
    number: int, version: str, edits: tuple[str, ...], log: list[str], limit: int
) -> None:
    fuzz_prompts.check(number, version, [*edits], log, limit=limit, caller=fuzz_prompts.CALLERS[number % 2])


@SLOW
@given(st.integers(0, 20), st.binary() | JSON.map(lambda data: json.dumps(data).encode()))
def test_an_answer_that_is_garbage_is_refused_or_read(number: int, body: bytes) -> None:
    fuzz_answers.check_garbage(number, "28", body)


@given(
    st.sampled_from([400, 401, 403, 404, 405, 409, 418, 500, 501, 503]),
    st.binary()
    | JSON.map(lambda data: json.dumps(data).encode())
    | st.text().map(lambda text: json.dumps({"message": text}).encode()),
)
def test_whatever_an_engine_says_went_wrong_is_not_blamed_on_this_server(status: int, body: bytes) -> None:
    fuzz_errors.check_answer(status, "application/json", body)


@given(st.text() | st.sampled_from(["No such container: X", "Bind failed: port is already allocated", "X is in use"]))
def test_words_of_an_engine_mean_the_same_in_any_case(text: str) -> None:
    fuzz_errors.check_words(text)


@pytest.mark.parametrize("body", [[], {}, "denied", {"error": "denied by the proxy"}, {"message": 5}, 7, None])
@pytest.mark.parametrize(
    ("status", "code"), [(403, "ENGINE_ERROR"), (409, "CONFLICT"), (404, "NOT_FOUND"), (500, "ENGINE_ERROR")]
)
def test_an_error_without_a_message_is_told_by_its_status(
    engine: FakeEngine, run: Run, body: Any, status: int, code: str
) -> None:
    engine.on("GET", "/containers/web/json", json.dumps(body).encode(), status=status)
    assert code_of(run("docker_inspect_container", container_id="web")) == code


def test_a_message_that_is_there_is_still_the_one_that_is_told() -> None:
    assert fuzz_errors.translated(APIError("x", explanation="No such container: web")).what == "No such container: web"


@pytest.mark.parametrize("time", ["2026-99-31T12:00:00Z", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z"])
def test_what_only_looks_like_a_time_is_text_of_the_log(web: FakeEngine, run: Run, time: str) -> None:
    web.on("GET", f"/containers/{ID}/logs", frame(1, f"{time} hello\n".encode()))
    assert texts(data_of(run("docker_container_logs", container_id="web"))) == [f"{time} hello"]


NAMES = st.sampled_from(sorted(field.upper() for field in Settings.model_fields))
VALUES = st.sampled_from(
    [
        "",
        " ",
        "true",
        "No",
        "1",
        "[]",
        "{}",
        "/",
        "/srv/x",
        "engine:/srv",
        "10.0.0.0/8",
        "::/0",
        "docker_version",
        "a,b",
    ]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@SLOW
@given(st.dictionaries(NAMES | st.from_regex(r"\A(SAFETY|SECURITY|MCP|DOCKER)_[A-Z]{1,9}\Z"), VALUES, max_size=5))
def test_settings_load_or_say_why_not(environment: dict[str, str]) -> None:
    fuzz_settings.check(environment)


PIECES = st.lists(
    st.sampled_from(
        ["$TREE", "root", "site", "link-in", "link-out", "link-root", "deep", "up", "etc", "..", ".", "", "app"]
    ),
    min_size=1,
    max_size=6,
).map(lambda parts: "/".join(parts).replace("$TREE", fuzz_mounts.TREE))


@SLOW
@given(PIECES | PIECES.map(lambda path: f"{fuzz_mounts.TREE}/{path}") | st.text(max_size=20), st.integers(0, 31))
def test_a_path_is_mounted_only_where_it_leads_to_an_allowed_root(path: str, chosen: int) -> None:
    fuzz_mounts.check_path(path, chosen)


@given(
    st.dictionaries(
        st.sampled_from(["size", "type", "device", "o"]), st.sampled_from(["tmpfs", "none", "10m", "bind"])
    ),
    st.sampled_from(["local", "nfs", "evil"]),
)
def test_volume_options_pass_only_by_name(options: dict[str, str], driver: str) -> None:
    fuzz_mounts.check_options(options, driver)


@SLOW
@given(st.lists(st.integers(0, 3), max_size=15), st.integers(0, 4), st.randoms(use_true_random=False))
def test_an_altered_audit_log_is_found_out(runs: list[int], how: int, draw: random.Random) -> None:
    fuzz_audit.check_tampering(runs, how, draw)


@SLOW
@given(st.binary() | st.lists(st.binary(max_size=30)).map(b"\n".join))
def test_no_byte_of_an_audit_log_is_lost_on_reading(content: bytes) -> None:
    fuzz_audit.check_file(content)


@SLOW
@given(st.lists(st.dictionaries(st.text(max_size=9), JSON, max_size=3), max_size=4), st.binary(max_size=40))
def test_what_is_recorded_is_read_again(entries: list[dict[str, Any]], torn: bytes) -> None:
    fuzz_audit.check_written(entries, torn.replace(b"\n", b""))


ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "192.0.2.7"])
HOPS = ADDRESSES | ADDRESSES.map(lambda one: f"[{one}]:80") | st.text("0123456789abcdef.:,[]% \t", max_size=20)


@given(
    ADDRESSES | st.text(max_size=20), st.lists(st.lists(HOPS).map(", ".join), max_size=3), st.lists(st.text(max_size=8))
)
def test_both_readings_of_who_is_at_the_other_end_agree(peer: str, forwarded: list[str], proto: list[str]) -> None:
    fuzz_clients.check(peer, forwarded, proto)


HOSTS = st.sampled_from(["mcp.example.com", "localhost", "[::1]", "127.0.0.1", "evil.com", "user@localhost"])
PORTS = st.sampled_from(["", ":80", ":443", ":8000", ":*", ":99999", ":"])


@given(
    st.text(max_size=30)
    | st.builds(
        lambda scheme, host, port: scheme + host + port, st.sampled_from(["", "http://", "https://"]), HOSTS, PORTS
    )
)
def test_a_name_passes_only_if_urllib_agrees(text: str) -> None:
    fuzz_hosts.check_names(text)


HEADERS = st.sampled_from(
    [b"host", b"origin", b"content-length", b"x-forwarded-for", b"transfer-encoding", b"access-control-request-method"]
)
VALUE = st.sampled_from([b"localhost", b"mcp.example.com", b"evil.com", b"http://localhost", b"5", b"-1", b"POST"])


@given(
    st.lists(st.tuples(HEADERS, VALUE | st.binary(max_size=12)), max_size=6),
    st.sampled_from(["192.0.2.1", "10.0.0.1", "203.0.113.1"]),
    st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.sampled_from(["/mcp", "*", "http://evil.com/"]),
    st.lists(st.binary(max_size=600), max_size=3),
)
def test_only_those_who_may_get_past_the_guard(
    head: list[tuple[bytes, bytes]], peer: str, method: str, path: str, bodies: list[bytes]
) -> None:
    fuzz_hosts.check_head([(b"host", b"localhost"), *head], peer, method, path, bodies)


CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "scp", "cnf", "azp", "client_id"]),
    JSON | st.sampled_from([fuzz_tokens.ISSUER, fuzz_tokens.AUDIENCE, fuzz_tokens.NOW, fuzz_tokens.NOW - 60]),
    max_size=5,
)
BASE = {"iss": fuzz_tokens.ISSUER, "aud": fuzz_tokens.AUDIENCE, "sub": "me", "exp": fuzz_tokens.NOW + 60}
HEADER = {"typ": "at+jwt", "alg": "EdDSA"}


@SLOW
@given(CLAIMS, st.dictionaries(st.sampled_from(["typ", "alg", "kid", "jku", "crit"]), JSON, max_size=2))
def test_a_token_that_holds_here_holds_elsewhere_too(claims: dict[str, Any], header: dict[str, Any]) -> None:
    fuzz_tokens.check_claims(HEADER | header, json.dumps(BASE | claims).encode())


@SLOW
@given(st.lists(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "use"]), JSON, max_size=5)))
def test_only_public_keys_come_out_of_a_key_set(entries: list[dict[str, Any]]) -> None:
    fuzz_tokens.check_keys({"keys": [fuzz_tokens.PUBLIC | entry for entry in entries]})
