"""Which paths of the host are mounted: only what resolves to below an allowed root, as it was resolved."""

import os
import pwd
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_docker.engine import own
from mcp_docker.policy import mounts
from tests.conftest import BUSY, code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ID = "4f1c2e" + "0" * 58
CREATE = "docker_create_container"
in_container = own.in_container
ALLOWLIST = "SAFETY_VOLUME_MOUNT_ALLOWLIST"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed root with a folder `site` and a file `page` in it, beside folders that are not allowed."""
    root = tmp_path / "root"
    for folder in (root / "site", tmp_path / "root-evil", tmp_path / "outside"):
        folder.mkdir(parents=True)
    (root / "page").write_text("hello")
    monkeypatch.setenv(ALLOWLIST, str(root))
    return root


@pytest.fixture(autouse=True)
def on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run in a container themselves."""
    monkeypatch.setattr(own, "in_container", lambda: False)


@pytest.fixture
def docker(engine: FakeEngine) -> FakeEngine:
    """An engine that makes containers, and shows the mounts that they were made with."""

    def shown(_request: Any) -> Any:
        (made,) = engine.sent("POST", "/containers/create")[-1:]
        sent = made.body.get("HostConfig", {}).get("Mounts", [])
        mounted = [
            {"Type": mount["Type"], "Source": mount.get("Source"), "Name": mount.get("Source")} for mount in sent
        ]
        labels = made.body.get("Labels", {})
        return {
            "Id": ID,
            "Name": "/web",
            "State": {"Status": "created"},
            "Mounts": mounted,
            "Config": {"Labels": labels},
        }

    engine.on("POST", "/containers/create", {"Id": ID, "Warnings": []}, status=201)
    engine.on("POST", f"/containers/{ID}/start", status=204)
    engine.on("DELETE", f"/containers/{ID}", status=204)
    engine.on("GET", f"/containers/({ID}|web)/json", shown)
    engine.on("GET", "/volumes", {"Volumes": []})
    return engine


def sent(docker: FakeEngine, run: Run, volumes: Any) -> list[dict[str, Any]]:
    data_of(run(CREATE, image="redis:7", volumes=volumes))
    found: list[dict[str, Any]] = docker.sent("POST", "/containers/create")[-1].body["HostConfig"]["Mounts"]
    return found


def refusal(docker: FakeEngine, run: Run, volumes: Any, code: str = "MOUNT_NOT_ALLOWED") -> str:
    result = run(CREATE, image="redis:7", volumes=volumes)
    assert code_of(result) == code, result.text
    assert [request for request in docker.requests if request.method != "GET"] == []
    return result.text


def test_a_folder_below_a_root_is_mounted_read_only_unless_rw_is_written(
    docker: FakeEngine, run: Run, root: Path
) -> None:
    site = str(root / "site")
    mount = {"Type": "bind", "Source": site, "Target": "/srv", "ReadOnly": True}
    assert sent(docker, run, f"{site}:/srv") == [mount]
    assert sent(docker, run, [f"{site}:/srv:ro"]) == [mount]
    assert sent(docker, run, {site: {"bind": "/srv", "mode": "rw"}}) == [mount | {"ReadOnly": False}]
    assert sent(docker, run, f"{root}/page:/srv:rw") == [mount | {"Source": f"{root}/page", "ReadOnly": False}]


def test_the_resolved_path_is_sent(docker: FakeEngine, run: Run, root: Path) -> None:
    (root / "link").symlink_to("site")
    for written in (f"{root}/link", f"{root}//site/", f"{root}/x/../site", f"/proc/self/root{root}/site"):
        (root / "x").mkdir(exist_ok=True)
        assert sent(docker, run, f"{written}:/srv")[0]["Source"] == f"{root}/site"


def test_what_resolves_to_elsewhere_is_refused(docker: FakeEngine, run: Run, root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "chain").symlink_to("out")
    (root / "loop").symlink_to("loop")
    for path in (
        tmp_path / "outside",
        tmp_path / "root-evil",
        tmp_path,
        root / "out",
        root / "chain",
        root / "loop",
        root / "../outside",
        root / "missing",
        Path("/"),
    ):
        refusal(docker, run, f"{path}:/srv")


def test_a_root_whose_links_go_round_allows_nothing_and_hinders_no_other(
    docker: FakeEngine, run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv(ALLOWLIST, f"{tmp_path}/loop,{root}")
    refusal(docker, run, f"{tmp_path}/outside:/srv")
    refusal(docker, run, f"{tmp_path}/loop:/srv")
    assert sent(docker, run, f"{root}/site:/srv")[0]["Source"] == f"{root}/site"


def test_without_a_root_nothing_is_mounted(docker: FakeEngine, run: Run, tmp_path: Path) -> None:
    assert ALLOWLIST in refusal(docker, run, f"{tmp_path}:/srv")


def test_sockets_and_pipes_are_never_mounted(docker: FakeEngine, run: Run, root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root)
        listening.bind("any.sock")
        os.chdir(here)
    os.mkfifo(root / "pipe")
    for name in ("any.sock", "pipe"):
        assert "neither a folder nor a plain file" in refusal(docker, run, f"{root}/{name}:/srv")


def test_a_folder_that_holds_the_engine_s_socket_is_never_mounted(
    docker: FakeEngine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWLIST, str(tmp_path))
    assert "engine.sock" in refusal(docker, run, f"{tmp_path}:/srv")


@pytest.mark.parametrize("name", [".ssh", ".aws", ".kube", ".docker", ".gnupg", ".config/gcloud", ".SSH"])
def test_folders_of_credentials_are_never_mounted(docker: FakeEngine, run: Run, root: Path, name: str) -> None:
    (root / "me" / name / "deep").mkdir(parents=True)
    refusal(docker, run, f"{root}/me/{name}:/srv")
    refusal(docker, run, f"{root}/me/{name}/deep:/srv")
    if name.islower():
        assert "holds credentials" in refusal(docker, run, f"{root}/me:/srv")


def test_the_home_of_the_user_is_not_mounted_from_above(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(root / "home/me"))
    (root / "home/me/.ssh").mkdir(parents=True)
    assert "holds credentials" in refusal(docker, run, f"{root}/home:/srv")


@pytest.mark.parametrize("path", ["/etc", "/proc", "/sys", "/dev", "/run", "/boot", "/etc/hostname"])
def test_system_folders_are_never_mounted(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv(ALLOWLIST, path)
    refusal(docker, run, f"{path}:/srv")


def test_the_operator_s_blocklist_wins_over_the_roots(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_VOLUME_MOUNT_BLOCKLIST", f"{root}/site")
    refusal(docker, run, f"{root}/site:/srv")
    refusal(docker, run, f"{root}:/srv")
    assert sent(docker, run, f"{root}/page:/srv")


def test_what_is_blocked_is_known_by_its_other_names_too(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what a hard link is for a file, a second mount and another case on some systems are for a folder
    (root / "site" / "other").hardlink_to(root / "page")
    monkeypatch.setenv("SAFETY_VOLUME_MOUNT_BLOCKLIST", f"{root}/page,{root}/not-there")
    assert f"{root}/site/other" in refusal(docker, run, f"{root}/site/other:/srv")
    assert sent(docker, run, f"{root}/site:/srv")


def test_a_root_that_leads_to_everything_allows_nothing(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "all").symlink_to("/")
    monkeypatch.setenv(ALLOWLIST, f"{root}/all")
    refusal(docker, run, f"{root}/site:/srv")


def test_the_policy_can_be_lifted_whole(
    docker: FakeEngine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_YOLO_MODE", "true")
    assert sent(docker, run, f"{tmp_path}/outside:/srv")[0]["Source"] == f"{tmp_path}/outside"


def test_a_refusal_of_a_mount_says_why_and_what_to_mount_instead(
    docker: FakeEngine, run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(path: Path | str) -> str:
        text = refusal(docker, run, {str(path): {"bind": "/srv", "mode": "ro"}})
        return text.removeprefix("REFUSED [MOUNT_NOT_ALLOWED] ")

    instead = f"use a named volume, or have the operator add a folder to {ALLOWLIST}."
    (root / "out").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    (root / "me/.ssh").mkdir(parents=True)
    monkeypatch.setenv("SAFETY_VOLUME_MOUNT_BLOCKLIST", f"{root}/site/secret")
    (root / "site/secret/deep").mkdir(parents=True)
    assert said("./site") == "the host path './site' is not absolute; write the whole path, without '~'."
    assert said(root / "none") == (
        f"the host path '{root}/none' does not exist, or can't be read here; "
        f"make it first; only what exists below {ALLOWLIST} can be mounted."
    )
    assert said(tmp_path / "outside") == (
        f"the host path '{tmp_path}/outside' is outside the allowed folders; {instead}"
    )
    assert said(root / "out") == (
        f"the host path '{root}/out' (it is '{tmp_path}/outside') is outside the allowed folders; {instead}"
    )
    assert said(root / "pipe") == (
        f"'{root}/pipe' is neither a folder nor a plain file; sockets and devices never are."
    )
    assert said(root / "site/secret/deep") == (
        f"'{root}/site/secret/deep' is in '{root}/site/secret', which is never mounted; mount another folder."
    )
    assert said(root / "site") == (
        f"'{root}/site' holds '{root}/site/secret', which is never mounted; mount a folder below it."
    )
    assert said(root / "me/.ssh") == (
        f"'{root}/me/.ssh' is in '.ssh', where credentials are kept; mount another folder."
    )
    assert said(root / "me") == f"'{root}/me' holds credentials ({root}/me/.ssh); mount a folder that does not."
    monkeypatch.setenv(ALLOWLIST, "[]")
    assert said(root / "site") == f"mounting the host path '{root}/site' is not allowed; {instead}"


def test_homes_that_the_system_knows_are_not_mounted_from_above(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "homes/you/.aws").mkdir(parents=True)
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_dir=str(root / "homes/you"))])
    assert f"holds credentials ({root}/homes/you/.aws)" in refusal(docker, run, f"{root}/homes:/srv")


def test_a_socket_that_can_not_be_looked_at_may_be_there(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".colima/default").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(root))
    assert sent(docker, run, f"{root}/.colima:/srv")
    docker.requests.clear()
    look = Path.stat

    def stat(path: Path, **how: Any) -> os.stat_result:
        if path.name == "docker.sock":
            raise PermissionError(13, "Permission denied")
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    assert "which is never mounted" in refusal(docker, run, f"{root}/.colima:/srv")


def test_where_the_engine_keeps_its_data_is_never_mounted(docker: FakeEngine, run: Run, root: Path) -> None:
    docker.info["DockerRootDir"] = str(root / "site")
    assert "which is never mounted" in refusal(docker, run, f"{root}:/srv")


def test_a_path_that_leads_elsewhere_before_the_start_is_not_started(
    docker: FakeEngine, run: Run, root: Path, tmp_path: Path
) -> None:
    data_of(run(CREATE, image="redis:7", volumes=f"{root}/site:/srv"))
    (root / "site").rmdir()
    (root / "site").symlink_to(tmp_path / "outside")
    for tool in ("docker_start_container", "docker_restart_container"):
        assert code_of(run(tool, container_id="web")) == "MOUNT_NOT_ALLOWED"
    (root / "site").unlink()
    (root / "site").symlink_to(root / "page")
    result = run("docker_start_container", container_id="web")
    assert code_of(result) == "MOUNT_NOT_ALLOWED"
    assert "by now" in result.text
    assert docker.sent("POST", ".*start") == []


@pytest.mark.parametrize(
    "added",
    [
        {"Mounts": [{"Type": "bind", "Source": "/etc"}]},
        {"HostConfig": {"Privileged": True}},
        {"HostConfig": {"PidMode": "host"}},
        {"HostConfig": {"CapAdd": ["CAP_SYS_ADMIN"]}},
        {"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}},
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev/sda"}]}},
    ],
)
def test_what_the_engine_adds_of_its_own_is_found_and_the_container_removed(
    docker: FakeEngine, run: Run, added: dict[str, Any]
) -> None:
    docker.on("GET", f"/containers/{ID}/json", {"Id": ID, "Name": "/web", "State": {"Status": "created"}} | added)
    result = run(CREATE, image="redis:7", start=True)
    assert code_of(result) in ("MOUNT_NOT_ALLOWED", "PRIVILEGE_NOT_ALLOWED")
    assert "was removed again" in result.text
    (request,) = docker.sent("DELETE", f"/containers/{ID}")
    assert request.query["v"] == "True"
    assert docker.sent("POST", ".*start") == []


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"Driver": "local", "Options": {"type": "none", "o": "bind", "device": "/etc"}}, "device=/etc"),
        ({"Driver": "local", "Options": {"type": "overlay", "lowerdir": "/etc"}}, "lowerdir=/etc"),
        ({"Driver": "nfs", "Options": None}, "'nfs'"),
    ],
)
def test_a_named_volume_that_is_no_plain_one_is_refused_before_use(
    docker: FakeEngine, run: Run, volume: dict[str, Any], said: str
) -> None:
    docker.on("GET", "/volumes", {"Volumes": [{"Name": "data", **volume}, {"Name": "database", "Driver": "nfs"}]})
    assert said in refusal(docker, run, "data:/srv", "VOLUME_NOT_ALLOWED")


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "checkable", lambda _engine: False)


def test_where_the_engine_s_files_can_not_be_seen_a_path_is_refused(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch)
    assert "engine:/srv/data" in refusal(docker, run, f"{root}/site:/srv", "MOUNT_NOT_CHECKABLE")


def test_a_root_on_the_engine_is_compared_by_its_text(
    docker: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch)
    monkeypatch.setenv(ALLOWLIST, "engine:/srv/data")
    assert sent(docker, run, "/srv/data/site:/x")[0]["Source"] == "/srv/data/site"
    docker.requests.clear()
    for path in (
        "/srv/database",
        "/srv/data/../x",
        "//srv/data",
        "/srv/data/./x",
        "/srv/data/",
        "/srv",
        "/srv/data/.ssh",
    ):
        refusal(docker, run, f"{path}:/x")
    plain = "is not absolute and plain; write it without '.', '..' and '//'."
    assert refusal(docker, run, "//srv/data:/x").endswith(f"the host path '//srv/data' {plain}")
    assert refusal(docker, run, {"srv/data": {"bind": "/x", "mode": "ro"}}).endswith(
        f"the host path 'srv/data' {plain}"
    )
    assert "is outside the allowed folders; use a named volume" in refusal(docker, run, "/srv/database:/x")


def test_a_root_on_the_engine_serves_where_its_files_can_be_seen_too(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWLIST, f"engine:{root}")
    assert sent(docker, run, f"{root}/site:/srv")[0]["Source"] == f"{root}/site"


@pytest.mark.parametrize(
    ("info", "checkable"),
    [
        ({}, True),
        ({"KernelVersion": os.uname().release}, True),
        ({"KernelVersion": "1.2.3-elsewhere"}, False),
        ({"KernelVersion": "1.2.3-linuxkit", "OperatingSystem": "Docker Desktop"}, True),
    ],
)
def test_an_engine_on_another_kernel_is_another_machine(info: dict[str, str], checkable: bool) -> None:
    class Connected:
        class endpoint:  # noqa: N801
            address = "unix:///var/run/docker.sock"

    class Engine:
        connected = Connected()

    Engine.connected.info = info  # type: ignore[attr-defined]
    assert mounts.checkable(Engine()) is checkable  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "path"),
    [("unix:///run/engine.sock", "/run/engine.sock"), ("unix:///a://b", "/a://b"), ("tcp://10.0.0.1:2376", "")],
)
def test_only_a_socket_has_a_path(address: str, path: str) -> None:
    class Engine:
        connected = SimpleNamespace(endpoint=SimpleNamespace(address=address))

    assert mounts.engine_socket(Engine()) == path  # type: ignore[arg-type]


IN_DOCKER = "/var/lib/docker/containers/" + "ab" * 32 + "/hostname"


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "marked", "found", "inside"),
    [
        (f"621 540 254:0 {IN_DOCKER} /etc/hostname rw - ext4 /dev/vda rw\n", "", False, "ab" * 32, True),
        ("1 0 254:0 / / rw - ext4 /dev/vda rw\n", "4:memory:/docker/" + "cd" * 32, False, "cd" * 32, True),
        ("1 0 254:0 / / rw - ext4 /dev/vda rw\n", "0::/docker-" + "cd" * 32 + ".scope", False, "cd" * 32, True),
        ("1 0 0:9 / / rw - overlay overlay rw\n", "0::/", True, None, True),
        ("1 0 254:0 / / rw - ext4 /dev/vda rw\n", "0::/init.scope", True, None, False),
        (f"9 1 0:5 / /var/lib/docker/containers/{'ab' * 32}/mounts/shm rw - tmpfs shm rw\n", "", False, None, False),
    ],
)
def test_a_container_of_our_own_is_known_by_what_is_mounted_into_it(
    tmp_path: Path, mountinfo: str, cgroup: str, marked: bool, found: str | None, inside: bool
) -> None:
    (tmp_path / "mountinfo").write_text(mountinfo)
    (tmp_path / "cgroup").write_text(cgroup)
    if marked:
        (tmp_path / ".dockerenv").touch()
    assert own.container_id(tmp_path) == found
    assert in_container(tmp_path, tmp_path) is inside


@given(
    parts=st.lists(
        st.sampled_from(["site", "page", "..", ".", "", "out", "link", "deep", "root", "root-evil"]), max_size=7
    )
)
@settings(suppress_health_check=[*BUSY, HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_whatever_is_written_what_is_sent_lies_below_the_root(
    docker: FakeEngine, run: Run, root: Path, tmp_path: Path, parts: list[str]
) -> None:
    for link, target in (("out", tmp_path / "outside"), ("link", Path("site")), ("site/deep", root)):
        if not (root / link).is_symlink():
            (root / link).symlink_to(target)
    docker.requests.clear()
    result = run(CREATE, image="redis:7", volumes=f"{root}/{'/'.join(parts)}:/srv")
    made = docker.sent("POST", "/containers/create")
    if result.is_error:
        assert made == []
    else:
        source = made[-1].body["HostConfig"]["Mounts"][0]["Source"]
        assert os.path.realpath(source) == source
        assert Path(source).is_relative_to(root)


def test_a_mount_is_checked_without_a_home_too(
    docker: FakeEngine, run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    (root / "me/.ssh").mkdir(parents=True)
    assert "holds credentials" in refusal(docker, run, f"{root}/me:/srv")
    assert "is outside the allowed folders" in refusal(docker, run, f"{root}-evil:/srv")
    assert data_of(run(CREATE, image="redis:7", volumes=[f"{root}/site:/srv"]))["id"] == ID
