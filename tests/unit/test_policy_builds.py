"""Which folders images are built from."""

import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker.engine import Engine
from mcp_docker.errors import BuildRefused, InvalidArguments
from mcp_docker.policy import builds
from mcp_docker.settings import load


def root(path: Path | str, *allowed: Path | str) -> str:
    """What the policy makes of a build context."""
    settings = load(safety_allowed_build_roots=tuple(map(str, allowed)))
    return builds.build_root(settings, str(path), Engine(settings))


def default(path: Path | str) -> str:
    """The same, with nothing set."""
    settings = load()
    return builds.build_root(settings, str(path), Engine(settings))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an allowed one, and others beside it."""
    for name in ("allowed/app", "allowed-evil", "other", "allowed/.ssh/x", "allowed/.config/gh"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "allowed/out").symlink_to(tmp_path / "other")
    (tmp_path / "in").symlink_to(tmp_path / "allowed/app")
    return tmp_path


def test_a_folder_below_a_root_is_used_resolved(place: Path) -> None:
    allowed = place / "allowed"
    for written in ("allowed", "allowed/app", "other/../allowed/app", "allowed//./app", "in", "allowed/missing"):
        found = root(place / written, allowed)
        assert found == os.path.realpath(place / written)
        assert root(found, allowed) == found


def test_roots_are_resolved_too(place: Path) -> None:
    assert root(place / "allowed/app", place / "in") == str(place / "allowed/app")


@pytest.mark.parametrize(
    "written", ["other", "allowed-evil", ".", "allowed/..", "allowed/out", "allowed/../other", "allowed/out/x", "/"]
)
def test_a_folder_outside_the_roots_is_refused(place: Path, written: str) -> None:
    with pytest.raises(BuildRefused, match="SAFETY_ALLOWED_BUILD_ROOTS"):
        root(place / written, place / "allowed")


@pytest.mark.parametrize(
    "written", ["allowed/.ssh", "allowed/.ssh/x", "allowed/.config/gh", "allowed/.config/gh/x/y", "allowed/.AWS/x"]
)
def test_folders_of_credentials_are_refused_below_a_root(place: Path, written: str) -> None:
    with pytest.raises(BuildRefused, match="no setting allows it"):
        root(place / written, place / "allowed")


@pytest.mark.parametrize(
    "path", ["/etc", "/etc/x", "/proc/self/cwd/../fd", "/sys/kernel", "/dev/shm", "/run/x", "/var/run/x", "/boot"]
)
def test_folders_of_the_system_are_refused_below_a_root(path: str) -> None:
    with pytest.raises(BuildRefused):
        root(path, "/etc", "/proc", "/sys", "/dev", "/run", "/var", "/boot")


def test_the_root_of_the_file_system_is_no_root(place: Path) -> None:
    (place / "all").symlink_to("/")
    with pytest.raises(BuildRefused, match="names none"):
        root(place / "other", place / "all")


@pytest.mark.parametrize("allowed", [(), ("engine:/srv",)])
def test_without_a_root_nothing_is_built(place: Path, allowed: tuple[str, ...]) -> None:
    with pytest.raises(BuildRefused, match="SAFETY_ALLOWED_BUILD_ROOTS"):
        root(place / "other", *allowed)


@pytest.mark.parametrize("path", ["a\0b", "~nobody-of-this-name/x"])
def test_what_is_no_path_is_an_invalid_argument(path: str) -> None:
    with pytest.raises(InvalidArguments):
        root(path, "/srv")


def test_the_working_directory_is_the_default(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "allowed")
    assert default("app") == str(place / "allowed/app")
    assert default(".") == str(place / "allowed")
    for written in ("..", "../allowed-evil", "out", str(place / "other")):
        with pytest.raises(BuildRefused, match="SAFETY_ALLOWED_BUILD_ROOTS="):
            default(written)


@pytest.mark.parametrize("here", ["/", "/usr", "/tmp"])
def test_a_working_directory_that_is_the_systems_is_no_default(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    with pytest.raises(BuildRefused, match="working directory") as refused:
        default("/usr/x")
    assert "SAFETY_ALLOWED_BUILD_ROOTS=/usr/x" in str(refused.value)


def test_a_home_or_what_holds_it_is_no_default(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place / "other"))
    for here in (place / "other", place):
        monkeypatch.chdir(here)
        with pytest.raises(BuildRefused, match="a home folder"):
            default(here)
    monkeypatch.chdir(place / "allowed")
    assert default(".")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("/", "a folder of the system"),
        ("/etc/app", "a folder of the system"),
        ("/usr/lib/app", "a folder of the system"),
        ("/usr/src", "a folder of the system"),
        ("/usr/src/app", ""),
        ("/usr/local/src/app", ""),
        ("/var", "a folder of the system"),
        ("/var/lib/x", "a folder of the system"),
        ("/var/www/app", ""),
        ("/lib64", "a folder of the system"),
        ("/libraries/app", ""),
        ("/opt", "a folder of the system"),
        ("/opt/app", ""),
        ("/tmp", "a folder of the system"),
        ("/tmp/app", ""),
        ("/private/tmp/app", ""),
        ("/private/var/folders/ab/app", ""),
        ("/private/etc/app", "a folder of the system"),
        ("/System/Library", "a folder of the system"),
        ("/Library/x", "a folder of the system"),
        ("/Applications/Client.app", "a folder of the system"),
        ("/Volumes/disk/app", ""),
        ("/home", "a home folder"),
        ("/home/me", "a home folder"),
        ("/home/me/app", ""),
        ("/home/me/.ssh/app", "a folder of the system"),
        ("/Users/me", "a home folder"),
        ("/Users/me/app", ""),
        ("/root", "a home folder"),
        ("/root/app", ""),
        ("/workspace", ""),
        ("C:\\", "a folder of the system"),
        ("C:\\Windows\\System32", "a folder of the system"),
        ("C:\\Program Files (x86)\\App", "a folder of the system"),
        ("C:\\Users\\me", "a home folder"),
        ("C:\\Users\\me\\app", ""),
    ],
)
def test_which_working_directories_are_fit(folder: str, reason: str) -> None:
    assert builds.unfit(folder) == reason


def test_the_refusal_of_a_build_names_the_setting_and_asks_no_engine(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(BuildRefused) as refused:
        default(place / "other")
    assert str(refused.value).startswith("REFUSED [BUILD_NOT_ALLOWED]")


def said(path: Path | str, *allowed: Path | str) -> str:
    """The words of a refusal."""
    with pytest.raises(BuildRefused) as refused:
        root(path, *allowed)
    return str(refused.value).removeprefix("REFUSED [BUILD_NOT_ALLOWED] the build context ")


def test_a_refusal_of_a_build_says_where_to_build_instead(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(place / "other")
    setting = "SAFETY_ALLOWED_BUILD_ROOTS"
    assert said("/etc/x", "/etc") == (
        "'/etc/x' is in a folder of the system or of credentials; "
        "no setting allows it; copy what is needed to a folder of its own."
    )
    assert said(other, place / "allowed", "/srv") == (
        f"{other!r} is outside the folders of {setting}; "
        f"build below '{place}/allowed', '/srv', or the operator adds to {setting}."
    )
    assert said(other, "engine:/srv") == (
        f"{other!r} is outside the folders of {setting}; it names none; the operator adds the folder there."
    )
    monkeypatch.chdir(place / "allowed")
    with pytest.raises(BuildRefused) as beside:
        default(other)
    assert str(beside.value) == (
        f"REFUSED [BUILD_NOT_ALLOWED] the build context {other!r} is outside the server's working directory "
        f"'{place}/allowed'; {setting}={other} allows it."
    )
    monkeypatch.chdir("/")
    with pytest.raises(BuildRefused) as unfit:
        default(other)
    assert str(unfit.value) == (
        f"REFUSED [BUILD_NOT_ALLOWED] the build context {other!r} is not allowed, as the server's working directory "
        f"'/' is a folder of the system; {setting}={other} allows it, or start the server in the project's folder."
    )


def test_homes_are_those_that_the_system_knows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [
        SimpleNamespace(pw_uid=os.getuid(), pw_dir=str(place / "allowed/app")),
        SimpleNamespace(pw_uid=os.getuid() + 1, pw_dir=str(place / "other/deep/er")),
        SimpleNamespace(pw_uid=os.getuid(), pw_dir="nowhere"),
    ]
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    monkeypatch.setenv("HOME", "/nonexistent-home")
    assert builds.unfit(str(place / "allowed/app")) == "a home folder"
    assert builds.unfit(str(place / "allowed")) == "a home folder"
    assert builds.unfit(str(place / "allowed/app/project")) == ""
    assert builds.unfit(str(place / "other/deep/er")) == "a home folder"
    assert builds.unfit(str(place / "other/deep")) == ""


PARTS = st.lists(st.sampled_from(["a", "a-b", "ab", "..", ".", "", "b"]), max_size=6)


@given(PARTS)
def test_what_is_allowed_is_below_a_root_on_path_boundaries(parts: list[str]) -> None:
    allowed = "/srv-of-nobody/a"
    written: Any = "/".join(["/srv-of-nobody", *parts])
    inside = os.path.realpath(written)
    below = inside == allowed or inside.startswith(f"{allowed}/")
    try:
        found = root(written, allowed)
    except BuildRefused:
        assert not below
    else:
        assert below
        assert found == inside


def test_without_a_home_those_of_the_system_are_still_homes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_dir=str(place / "other"), pw_uid=4321)])
    assert builds.unfit(str(place / "other")) == "a home folder"
    assert builds.unfit(str(place / "allowed")) == ""
