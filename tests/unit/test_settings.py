"""Settings: where they come from and what is refused."""

from pathlib import Path

import pytest

from mcp_docker.errors import SettingsError
from mcp_docker.settings import load


def problems(**flags: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**flags)  # type: ignore[arg-type]
    return caught.value.problems


def test_the_defaults_allow_moderate_and_not_destructive_tools() -> None:
    settings = load()
    assert settings.safety_allow_moderate_operations
    assert not settings.safety_allow_destructive_operations
    assert not settings.safety_allow_privileged_containers
    assert settings.safety_allowed_tools is None


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_TOOLS", blank)
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", blank)
    monkeypatch.setenv("SAFETY_ALLOW_MODERATE_OPERATIONS", blank)
    settings = load()
    assert settings.safety_allowed_tools is None
    assert settings.safety_max_response_bytes == 1_048_576
    assert settings.safety_allow_moderate_operations


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("docker_version", ("docker_version",)),
        (" a , b,", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("[]", ()),
    ],
)
def test_lists_take_commas_or_json_and_empty_brackets_mean_nothing(
    monkeypatch: pytest.MonkeyPatch, text: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SAFETY_ALLOWED_TOOLS", text)
    assert load().safety_allowed_tools == names


@pytest.mark.parametrize("text", ["docker_events=5,docker_version=7.5", '{"docker_events": 5, "docker_version": 7.5}'])
def test_time_limits_are_given_by_tool(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", text)
    assert load().safety_tool_timeouts == {"docker_events": 5, "docker_version": 7.5}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SAFETY_ALOW_DESTRUCTIVE_OPERATIONS", "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS"),
        ("SECURITY_RATE_LIMIT_ENABELD", "SECURITY_RATE_LIMIT_ENABLED"),
        ("safety_Allow_destructive_operation", "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS"),
        ("DOCKER_BASEURL", "DOCKER_BASE_URL"),
        ("MCP_LOG_LEVL", "MCP_LOG_LEVEL"),
    ],
)
def test_a_near_miss_stops_the_start_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "true")
    assert problems() == [f"{name}: there is no such setting; did you mean {nearest}?"]


def test_a_name_in_two_cases_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "SAFETY_YOLO_MODE: safety_yolo_mode is the same setting; set one of them"
    (tmp_path / "settings.env").write_text("SAFETY_YOLO_MODE=false\nsafety_yolo_mode=true\n")
    with pytest.raises(SettingsError) as problem:
        load(tmp_path / "settings.env")
    assert problem.value.problems == [said]
    monkeypatch.setenv("SAFETY_YOLO_MODE", "false")
    (tmp_path / "settings.env").write_text("safety_yolo_mode=true")
    assert not load(tmp_path / "settings.env").safety_yolo_mode
    monkeypatch.setenv("safety_yolo_mode", "")
    assert not load().safety_yolo_mode
    monkeypatch.setenv("safety_yolo_mode", "true")
    assert problems() == [said]


def test_an_unknown_name_of_ours_stops_the_start_even_when_nothing_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECURITY_QQQQQQ", "1")
    assert problems() == ["SECURITY_QQQQQQ: there is no such setting; CONFIGURATION.md lists them"]


@pytest.mark.parametrize("name", ["DOCKER_BUILDKIT", "MCP_TIMEOUT", "DOCKER_DEFAULT_PLATFORM", "MCP_PORT"])
def test_names_that_belong_to_others_pass(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS", "s3cret"),
        ("SAFETY_MAX_RESPONSE_BYTES", "12"),
        ("SAFETY_DEFAULT_TOOL_TIMEOUT", "-1"),
        ("SAFETY_ALLOWED_TOOLS", "[s3cret"),
        ("SAFETY_TOOL_TIMEOUTS", "{s3cret"),
        ("SAFETY_TOOL_TIMEOUTS", "docker_events"),
        ("MCP_LOG_LEVEL", "s3cret"),
        ("DOCKER_API_VERSION", "s3cret"),
    ],
)
def test_a_value_that_does_not_parse_is_named_but_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    (problem,) = problems()
    assert problem.startswith(name)
    assert "s3cret" not in problem


def test_all_problems_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "x")
    monkeypatch.setenv("SAFETY_XALLOWED_TOOLS", "x")
    monkeypatch.setenv("SAFETY_VOLUME_MOUNT_ALLOWLIST", "/")
    assert len(problems()) == 3


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("SAFETY_ALLOWED_CAPABILITIES", "CAP_NET_ADMIN,sys_time,cap_kill", ("NET_ADMIN", "SYS_TIME", "KILL")),
        ("SAFETY_PUBLISH_HOST_IP", "FD00::1,0:0:0:0:0:0:0:0,10.0.0.2", ("fd00::1", "::", "10.0.0.2")),
        (
            "SAFETY_ALLOWED_DEVICES",
            "/dev/dri/,/dev//fuse,vendor.com/gpu=all",
            ("/dev/dri", "/dev/fuse", "vendor.com/gpu=all"),
        ),
    ],
)
def test_what_is_allowed_is_kept_in_the_spelling_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, meant: tuple[str, ...]
) -> None:
    monkeypatch.setenv(name, written)
    assert getattr(load(), name.lower()) == meant


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SAFETY_ALLOWED_CAPABILITIES", "NET ADMIN", "'NET ADMIN' is no capability: write NET_ADMIN"),
        ("SAFETY_ALLOWED_CAPABILITIES", "CAP_", "'CAP_' is no capability: write NET_ADMIN"),
        ("SAFETY_PUBLISH_HOST_IP", "192.168.1.0/24", "'192.168.1.0/24' is no single address: write 192.168.1.7,"),
        ("SAFETY_PUBLISH_HOST_IP", "10.0.0.2,eth0", "'eth0' is no single address: write 192.168.1.7,"),
        ("SAFETY_PUBLISH_HOST_IP", "fe80::1%eth0", "'fe80::1%eth0' is no single address: write 192.168.1.7,"),
    ],
)
def test_what_could_never_be_asked_for_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    (problem,) = problems()
    assert problem.startswith(f"{name}: {said}")


@pytest.mark.parametrize("root", ["/", "//", "/srv/..", "srv", "./srv", "engine:/", "engine:/srv/../etc", "C:\\"])
@pytest.mark.parametrize("name", ["SAFETY_VOLUME_MOUNT_ALLOWLIST", "SAFETY_ALLOWED_BUILD_ROOTS"])
def test_a_root_that_is_everything_or_nowhere_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, root: str
) -> None:
    monkeypatch.setenv(name, root)
    (problem,) = problems()
    assert problem.startswith(name)


def test_the_environment_goes_before_the_file_and_flags_before_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings"
    file.write_text("SAFETY_DENIED_TOOLS=a\nSAFETY_ALLOWED_TOOLS=b\nMCP_SERVER_NAME=filed\n")
    monkeypatch.setenv("SAFETY_DENIED_TOOLS", "c")
    settings = load(file, mcp_server_name="flagged")
    assert settings.safety_denied_tools == ("c",)
    assert settings.safety_allowed_tools == ("b",)
    assert settings.mcp_server_name == "flagged"


def test_unknown_names_in_the_file_are_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("SAFETY_DENYED_TOOLS=a\n")
    assert problems(env_file=file) == [
        "SAFETY_DENYED_TOOLS: there is no such setting; did you mean SAFETY_DENIED_TOOLS?"
    ]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(env_file=tmp_path / "none")
    assert "there is no such file" in problem


@pytest.mark.parametrize(
    "line",
    [
        "SAFETY_ALLOW_MODERATE_OPERATIONS: s3cret",
        "SAFETY_ALLOW_MODERATE_OPERATIONS",
        "export mcp_log_level",
        "set SAFETY_ALLOW_MODERATE_OPERATIONS=s3cret",
        "$env:SAFETY_ALLOW_MODERATE_OPERATIONS='s3cret'",
        "- SAFETY_ALLOW_MODERATE_OPERATIONS=s3cret",
        '"SAFETY_ALLOW_MODERATE_OPERATIONS"=s3cret',
        "\u200bSAFETY_ALLOW_MODERATE_OPERATIONS=s3cret",
        "S\0A\0F\0E\0T\0Y\0=\0s3cret",
        "SAFETY_DENIED_TOOLS='s3cret",
    ],
)
def test_a_line_of_the_file_that_sets_nothing_stops_the_start_by_its_number_and_is_not_shown(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "settings"
    file.write_text(f"MCP_SERVER_NAME=mine\n# the next\n\n \n{line}\nSAFETY_DENIED_TOOLS=a\n", encoding="utf-8")
    assert problems(env_file=file) == [f"--env-file {file}: line 5 sets nothing; write NAME=value"]


def test_lines_that_a_shell_would_take_are_read_and_those_of_others_pass(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_bytes(
        b"\xef\xbb\xbfSAFETY_DENIED_TOOLS=a\r\n\r\nexport MCP_SERVER_NAME='my server' # mine\r\n"
        b"OTHERS\r\nfoo.bar=1\r\nKEY='two\r\nlines'\r\nSAFETY_ALLOWED_TOOLS=\r\n"
    )
    settings = load(file)
    assert settings.safety_denied_tools == ("a",)
    assert settings.mcp_server_name == "my server"
    assert settings.safety_allowed_tools is None


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "settings"
    file.write_text("# café\nSAFETY_ALLOW_MODERATE_OPERATIONS=false\n", encoding=encoding)
    assert problems(env_file=file) == [f"--env-file {file}: it is not UTF-8; save it as UTF-8"]


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "settings"
    file.touch()
    monkeypatch.setattr(Path, "read_text", refused)
    assert problems(env_file=file) == [f"--env-file {file}: it can't be read (PermissionError)"]


def test_nothing_in_the_working_directory_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true\n")
    monkeypatch.chdir(tmp_path)
    assert not load().safety_allow_destructive_operations


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SECURITY_TRUSTED_PROXIES": "0.0.0.0/0"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "10.0.0.0/8,::/0"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "0.0.0.0/1,fd00::/8,128.0.0.0/1"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "::/1,8000::/1"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "::ffff:0:0/97,::ffff:128.0.0.0/97"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "::ffff:0:0/96"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "fe80::1%eth0"}, "'fe80::1%eth0' is no network"),
        ({"SECURITY_ALLOWED_CLIENT_IPS": "fe80::%eth0/64"}, "'fe80::%eth0/64' is no network"),
        ({"SECURITY_TRUSTED_PROXIES": "10.0.0.1/8"}, "'10.0.0.1/8' is no network: write 10.0.0.0/8"),
        ({"SECURITY_ALLOWED_CLIENT_IPS": "10.0.0"}, "is no network"),
        ({"SECURITY_OAUTH_ENABLED": "true"}, "needs SECURITY_OAUTH_ISSUER and SECURITY_OAUTH_AUDIENCE"),
        (
            {"SECURITY_OAUTH_ENABLED": "true", "SECURITY_OAUTH_ISSUER": "https://issuer.example"},
            "needs SECURITY_OAUTH_ISSUER and SECURITY_OAUTH_AUDIENCE",
        ),
        ({"SECURITY_OAUTH_INTROSPECTION_URL": "https://issuer.example/x"}, "needs SECURITY_OAUTH_CLIENT_ID"),
        ({"SECURITY_STATE_KEY": "x" * 40, "SECURITY_STATE_KEY_FILE": "/x"}, "say the same"),
        ({"SECURITY_OAUTH_GROUP_TOOLS": "{"}, "not valid JSON"),
    ],
)
def test_settings_that_would_let_strangers_in_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    (problem,) = problems()
    assert said in problem


def test_a_secret_can_be_kept_in_a_file_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    monkeypatch.setenv("SECURITY_STATE_KEY_FILE", str(file))
    assert load().secret("security_state_key") == "from the file"
    monkeypatch.delenv("SECURITY_STATE_KEY_FILE")
    monkeypatch.setenv("SECURITY_STATE_KEY", "from the environment")
    assert load().secret("security_state_key") == "from the environment"
    assert "from the environment" not in repr(load())
    monkeypatch.delenv("SECURITY_STATE_KEY")
    assert load().secret("security_state_key") is None
    for broken in (tmp_path / "missing", tmp_path):
        monkeypatch.setenv("SECURITY_STATE_KEY_FILE", str(broken))
        with pytest.raises(SettingsError, match="can't be read"):
            load().secret("security_state_key")
    file.write_text("\n")
    monkeypatch.setenv("SECURITY_STATE_KEY_FILE", str(file))
    with pytest.raises(SettingsError, match="is empty"):
        load().secret("security_state_key")
