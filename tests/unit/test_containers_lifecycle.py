"""docker_start_container, docker_stop_container, docker_restart_container, docker_remove_container."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

ID = "4f1c2e" + "0" * 58
PATH = f"/containers/{ID}"
WEB = "/containers/web/json"


def inspected(status: str, code: int = 0, /, **more: Any) -> dict[str, Any]:
    """A container as the engine inspects it."""
    return {"Id": ID, "Name": "/web", "State": {"Status": status, "ExitCode": code, "Error": ""}} | more


def in_turn(*answers: Any) -> Callable[[Request], Any]:
    """Each request gets the next answer, and the last one ever after."""
    left = list(answers)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


GONE = (404, {"message": f"No such container: {ID}"})
GOING = (500, {"message": f"container {ID} does not exist in database: no such container"})
PUBLISHED = {"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}}


def test_a_started_container_says_its_state_and_its_ports(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("exited"))
    engine.on("POST", f"{PATH}/start", status=204)
    engine.on("GET", f"{PATH}/json", inspected("running", **PUBLISHED))
    assert data_of(run("docker_start_container", container_id="web")) == {
        "id": ID,
        "name": "web",
        "changed": True,
        "state": "running",
        "ports": ["127.0.0.1:8080->80/tcp"],
    }


def test_starting_what_runs_changes_nothing(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/start", status=304)
    engine.on("GET", f"{PATH}/json", inspected("running"))
    data = data_of(run("docker_start_container", container_id="web"))
    assert (data["changed"], data["state"]) == (False, "running")
    assert len(engine.sent("GET", f"{PATH}/json")) == 1


def test_a_container_that_ends_a_moment_after_its_start_is_seen_to_end(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("created"))
    engine.on("POST", f"{PATH}/start", status=204)
    engine.on("GET", f"{PATH}/json", in_turn(inspected("running"), inspected("exited", 127)))
    data = data_of(run("docker_start_container", container_id="web"))
    assert (data["state"], data["exit_code"]) == ("exited", 127)


@pytest.mark.parametrize("after", [GONE, GOING, inspected("exited", 1, HostConfig={"AutoRemove": True})])
def test_a_container_that_ends_and_goes_with_its_end_is_said_to_be_removed(
    engine: FakeEngine, run: Run, after: Any
) -> None:
    engine.on("GET", WEB, inspected("created"))
    engine.on("POST", f"{PATH}/start", status=204)
    engine.on("GET", f"{PATH}/json", in_turn(after, GONE))
    data = data_of(run("docker_start_container", container_id="web"))
    assert (data["state"], data["ports"]) == ("removed", [])


def test_a_container_that_cannot_start_is_refused_with_the_reason(engine: FakeEngine, run: Run) -> None:
    message = "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated"
    engine.on("GET", WEB, inspected("exited"))
    engine.on("POST", f"{PATH}/start", {"message": message}, status=500)
    assert code_of(run("docker_start_container", container_id="web")) == "PORT_TAKEN"


RUNC = "OCI runtime create failed: runc create failed: unable to start container process: "
RUNC_OF_OLD = "OCI runtime create failed: container_linux.go:380: starting container process caused: "
MOUNTING = RUNC + 'error during container init: error mounting "/srv/a" to rootfs at "/etc/a": '
FAULTS_OF_THE_HOST = [
    "error creating overlay mount to /var/lib/docker/overlay2/x/merged: permission denied: unknown",
    MOUNTING + "create mountpoint for /etc/a mount: mkdirat /var/lib/docker/x: no such file or directory: unknown",
    RUNC + "unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: permission denied: unknown",
    RUNC + "error during container init: open sysctl net.ipv4.ip_unprivileged_port_start file: permission denied",
    RUNC + "error during container init: error running prestart hook #0: exit status 1, stderr: no such file",
    RUNC_OF_OLD + 'rootfs_linux.go:76: mounting "/srv/a" to rootfs at "/etc/a" caused: permission denied: unknown',
    RUNC_OF_OLD + "process_linux.go:385: applying cgroup configuration for process caused: permission denied: unknown",
    "crun: mount `/srv/a` to `etc/a`: Permission denied: OCI permission denied",
    "crun: error executing hook `/usr/bin/nvidia-hook` (exit code: 1): OCI runtime error",
]
NO_PROGRAMS = [
    RUNC + 'exec: "/opt/hooks/run.sh": permission denied: unknown',
    RUNC + 'error during container init: exec: "./mounting": stat ./mounting: no such file or directory: unknown',
    RUNC + 'error during container init: chdir to cwd ("/sys/fs/cgroup") set in config.json failed: permission denied',
    RUNC_OF_OLD + 'chdir to cwd ("/root/app") set in config.json failed: permission denied: unknown',
    RUNC_OF_OLD + 'exec: "/etc": is a directory: unknown',
    "crun: open executable: Permission denied: OCI permission denied",
    "crun: exec container process `/bin/cgroup`: Exec format error: OCI runtime error",
]


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        *((message, "ENGINE_ERROR", "the engine's host, or a mount or limit") for message in FAULTS_OF_THE_HOST),
        *((message, "BAD_PARAMETER", "check command, entrypoint and working_dir") for message in NO_PROGRAMS),
        (
            MOUNTING + "not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)?",
            "BAD_PARAMETER",
            "mount a folder where the image has a folder",
        ),
        ("mkdir /var/lib/docker/overlay2/x: permission denied: unknown", "ENGINE_ERROR", "the engine answered 500"),
    ],
)
def test_a_start_that_fails_is_blamed_on_what_is_at_fault(
    engine: FakeEngine, run: Run, message: str, code: str, said: str
) -> None:
    engine.on("GET", WEB, inspected("exited"))
    engine.on("POST", f"{PATH}/start", {"message": message}, status=500)
    result = run("docker_start_container", container_id="web")
    assert code_of(result) == code
    assert said in result.text


def test_podmans_word_for_a_container_that_has_just_ended_is_dockers(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("created"))
    engine.on("POST", f"{PATH}/start", status=204)
    engine.on("GET", f"{PATH}/json", inspected("stopped", 7))
    data = data_of(run("docker_start_container", container_id="web"))
    assert (data["state"], data["exit_code"]) == ("exited", 7)


@pytest.mark.parametrize("tool", ["start", "stop", "restart", "remove"])
def test_a_container_that_does_not_exist_is_refused_with_the_tool_that_lists_them(
    engine: FakeEngine, run: Run, tool: str
) -> None:
    engine.on("GET", "/containers/web/json", {"message": "No such container: web"}, status=404)
    result = run(f"docker_{tool}_container", container_id="web")
    assert code_of(result) == "NOT_FOUND"
    assert "docker_list_containers" in result.text
    assert [request.method for request in engine.requests] == ["GET"]


def test_a_restart_gives_the_container_the_time_it_is_told(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/restart", status=204)
    engine.on("GET", f"{PATH}/json", inspected("running", **PUBLISHED))
    data = data_of(run("docker_restart_container", container_id="web", timeout=3))
    assert (data["changed"], data["state"], data["ports"]) == (True, "running", ["127.0.0.1:8080->80/tcp"])
    (request,) = engine.sent("POST", f"{PATH}/restart")
    assert request.query == {"t": "3"}


def test_a_stopped_container_says_how_it_ended(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", inspected("exited", 143))
    assert data_of(run("docker_stop_container", container_id="/web")) == {
        "id": ID,
        "name": "web",
        "changed": True,
        "state": "exited",
        "exit_code": 143,
        "killed": False,
        "removed": False,
    }
    (request,) = engine.sent("POST", f"{PATH}/stop")
    assert request.query == {"t": "10"}


def test_a_container_that_had_to_be_killed_is_said_to_be(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", inspected("exited", 137))
    data = data_of(run("docker_stop_container", container_id="web", timeout=0))
    assert data["killed"] is True
    assert engine.sent("POST", f"{PATH}/stop")[0].query == {"t": "0"}


def test_one_that_the_kernel_killed_for_its_memory_is_told_apart(engine: FakeEngine, run: Run) -> None:
    after = {"Status": "exited", "ExitCode": 137, "OOMKilled": True}
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", inspected("exited") | {"State": after})
    assert data_of(run("docker_stop_container", container_id="web"))["oom_killed"] is True


def test_stopping_what_does_not_run_changes_nothing(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("exited", 137))
    engine.on("POST", f"{PATH}/stop", status=304)
    engine.on("GET", f"{PATH}/json", inspected("exited", 137))
    data = data_of(run("docker_stop_container", container_id="web"))
    assert (data["changed"], data["killed"], data["exit_code"]) == (False, False, 137)


def test_stopping_what_was_never_started_changes_nothing_whatever_the_engine_answers(
    engine: FakeEngine, run: Run
) -> None:
    engine.on("GET", WEB, inspected("created"))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", inspected("created"))
    assert data_of(run("docker_stop_container", container_id="web"))["changed"] is False


def test_stopping_a_container_that_goes_with_its_end_says_that_it_is_gone(engine: FakeEngine, run: Run) -> None:
    leaving = inspected("exited", 0, HostConfig={"AutoRemove": True})
    engine.on("GET", WEB, inspected("running", HostConfig={"AutoRemove": True}))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", in_turn(leaving, leaving, GONE))
    data = data_of(run("docker_stop_container", container_id="web"))
    assert (data["removed"], data["state"], data["exit_code"]) == (True, "removed", 0)


def test_one_that_is_gone_before_it_can_be_looked_at_is_gone_all_the_same(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running", HostConfig={"AutoRemove": True}))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", lambda _request: GONE)
    data = data_of(run("docker_stop_container", container_id="web"))
    assert (data["removed"], data["state"]) == (True, "removed")
    assert "exit_code" not in data


def test_one_that_the_engine_does_not_get_rid_of_in_time_is_not_said_to_be_gone(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_docker.tools.containers.lifecycle.REMOVAL_SECONDS", 0.2)
    engine.on("GET", WEB, inspected("running", HostConfig={"AutoRemove": True}))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", inspected("removing", HostConfig={"AutoRemove": True}))
    data = data_of(run("docker_stop_container", container_id="web"))
    assert (data["removed"], data["state"]) == (False, "removing")


@pytest.mark.parametrize("tool", ["stop", "restart"])
@pytest.mark.parametrize("timeout", [-1, 601, "forever", 1e9])
def test_a_time_that_never_ends_is_refused_by_name(engine: FakeEngine, run: Run, tool: str, timeout: Any) -> None:
    result = run(f"docker_{tool}_container", container_id="web", timeout=timeout)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "timeout: " in result.text
    assert engine.requests == []


@pytest.mark.parametrize("tool", ["stop", "restart"])
def test_the_call_may_take_as_long_as_the_container_is_given_and_some_more(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", f"docker_{tool}_container=0.1")
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/{tool}", lambda _request: threading.Event().wait(0.3) or (204, b""))
    engine.on("GET", f"{PATH}/json", inspected("exited"))
    assert data_of(run(f"docker_{tool}_container", container_id="web", timeout=1))["state"] == "exited"


def test_the_engine_may_be_silent_for_as_long_as_the_container_is_given(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_TIMEOUT", "1")  # so long may the other requests take, too
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/stop", lambda _request: threading.Event().wait(1.4) or (204, b""))
    engine.on("GET", f"{PATH}/json", inspected("exited"))
    assert data_of(run("docker_stop_container", container_id="web", timeout=1))["state"] == "exited"


def test_an_engine_that_can_not_say_how_the_container_is_is_an_error(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/stop", status=204)
    engine.on("GET", f"{PATH}/json", {"message": "database is locked"}, status=500)
    assert code_of(run("docker_stop_container", container_id="web")) == "ENGINE_ERROR"


def test_a_stop_that_takes_long_tells_that_it_goes_on(engine: FakeEngine, run: Run) -> None:
    seen: list[tuple[float, float | None, str]] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        seen.append((done, total, message))

    engine.on("GET", WEB, inspected("running"))
    engine.on("POST", f"{PATH}/stop", lambda _request: threading.Event().wait(1.4) or (204, b""))
    engine.on("GET", f"{PATH}/json", inspected("exited", 137))
    data_of(run("docker_stop_container", progress, container_id="web", timeout=5))
    assert seen
    # one, or more on a busy machine
    assert seen == sorted({(done, 5, f"stopping web: {done:g} of 5 s") for done, _, _ in seen})


def test_a_removal_is_said_with_the_volumes_that_went_and_those_that_stay(engine: FakeEngine, run: Run) -> None:
    mounts = [
        {"Type": "volume", "Name": "f" * 64, "Destination": "/a"},
        {"Type": "volume", "Name": "data", "Destination": "/b"},
        {"Type": "bind", "Source": "/srv", "Destination": "/c"},
    ]
    engine.on("GET", WEB, inspected("exited", Mounts=mounts))
    engine.on("DELETE", PATH, status=204)
    engine.on("GET", "/volumes", {"Volumes": [{"Name": "data"}, {"Name": "data2"}]})
    assert data_of(run("docker_remove_container", container_id="web", volumes=True)) == {
        "id": ID,
        "name": "web",
        "was": "exited",
        "removed_volumes": ["f" * 64],
        "kept_volumes": ["data"],
    }
    (request,) = engine.sent("DELETE", PATH)
    assert request.query == {"v": "True", "link": "False", "force": "False"}
    request = engine.sent("GET", "/volumes")[-1]
    assert request.query["filters"] == f'{{"name": ["data", "{"f" * 64}"]}}'


MADE_EARLIER, REUSED, BOUND, NAMED = "a" * 64, "b" * 64, "c" * 64, "data"


@pytest.mark.parametrize(("podman", "lost"), [(False, [MADE_EARLIER]), (True, [MADE_EARLIER, REUSED, BOUND])])
def test_the_volumes_that_go_along_are_those_that_the_engine_takes_for_unnamed_whatever_their_labels(
    engine: FakeEngine, run: Run, *, podman: bool, lost: list[str]
) -> None:
    engine.api = "1.47"
    if podman:
        engine.be_podman()
    names = [MADE_EARLIER, REUSED, BOUND, NAMED]
    host = {"Binds": [f"{BOUND}:/c:rw", "data:/d"], "Mounts": [{"Type": "volume", "Source": REUSED}, {"Type": "tmpfs"}]}
    found = inspected("exited", HostConfig=host, Mounts=[{"Type": "volume", "Name": name} for name in names])
    engine.on("GET", WEB, found)
    marked = {"com.docker.volume.anonymous": ""}
    engine.on(
        "GET", "/volumes", {"Volumes": [{"Name": MADE_EARLIER}, {"Name": REUSED, "Labels": marked}, {"Name": BOUND}]}
    )
    data = data_of(run("docker_remove_container", container_id="web", volumes=True, dry_run=True))
    assert [each["name"] for each in data["would_lose"]] == ["web", *lost]
    (request,) = engine.sent("GET", "/volumes")
    assert json.loads(request.query["filters"]) == {"name": lost}


def test_a_container_without_volumes_asks_for_none(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("DELETE", PATH, status=204)
    data = data_of(run("docker_remove_container", container_id="web", force=True))
    assert (data["was"], data["removed_volumes"], data["kept_volumes"]) == ("running", [], [])
    (request,) = engine.sent("DELETE", PATH)
    assert request.query == {"v": "False", "link": "False", "force": "True"}
    assert engine.sent("GET", "/volumes") == []


RUNNING = [
    f"You cannot remove a running container {ID}. Stop the container before attempting removal or force remove",
    f'cannot remove container "{ID}": container is running: stop the container before removing or force remove',
    f"cannot remove container {ID} as it is running - running or paused containers cannot be removed without force",
]


@pytest.mark.parametrize("message", RUNNING)
def test_what_runs_is_not_removed_and_the_ways_out_are_named(engine: FakeEngine, run: Run, message: str) -> None:
    engine.on("GET", WEB, inspected("running"))
    engine.on("DELETE", PATH, {"message": message}, status=409)
    result = run("docker_remove_container", container_id="web")
    assert code_of(result) == "CONFLICT"
    assert "docker_stop_container" in result.text
    assert "force=true" in result.text


def test_a_removal_that_is_under_way_says_how_to_see_its_end(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", WEB, inspected("removing"))
    engine.on("DELETE", PATH, {"message": f"removal of container {ID} is already in progress"}, status=409)
    result = run("docker_remove_container", container_id="web")
    assert code_of(result) == "CONFLICT"
    assert "docker_list_containers(all=true)" in result.text


def test_a_container_that_podman_left_half_stopped_is_to_be_stopped_first(engine: FakeEngine, run: Run) -> None:
    engine.be_podman()
    engine.on("GET", "/containers/web/json", {"Id": ID, "Name": "/web", "State": {"Status": "stopping"}})
    said = f"container {ID} must be in Created or Stopped state to be started: container state improper"
    engine.on("POST", f"/containers/{ID}/start", {"message": said}, status=500)
    result = run("docker_start_container", container_id="web")
    assert code_of(result) == "CONFLICT"
    assert "docker_stop_container" in result.text
    assert "docker_start_container" not in result.text
