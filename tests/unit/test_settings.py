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


def test_nothing_in_the_working_directory_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS=true\n")
    monkeypatch.chdir(tmp_path)
    assert not load().safety_allow_destructive_operations


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SECURITY_TRUSTED_PROXIES": "0.0.0.0/0"}, "everything can't be trusted"),
        ({"SECURITY_TRUSTED_PROXIES": "10.0.0.0/8,::/0"}, "everything can't be trusted"),
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
