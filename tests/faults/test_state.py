"""Where a server keeps things: a full disk, a folder that can't be written, an issuer whose keys are out of reach."""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mcp_docker.audit.verify import verify
from mcp_docker.http.auth import outbound
from tests.e2e.process import ServerProcess, done, environment, eventually, refused
from tests.e2e.web import WebServer
from tests.faults.calls import World
from tests.unit.authorization_server import AUDIENCE, KEYS, METADATA, AuthorizationServer, hang_up, made, plain

Mount = Callable[..., Path]


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Mount]:
    """Mount a small file system of a test's own: tmpfs(size="64k")."""
    with ExitStack() as mounted:

        def mount(**options: str) -> Path:
            folder = tmp_path / f"tmpfs-{uuid.uuid4().hex[:8]}"
            folder.mkdir()
            chosen = ",".join(f"{name}={value}" if value else name for name, value in options.items())
            subprocess.run(["mount", "-t", "tmpfs", "-o", chosen, "tmpfs", str(folder)], check=True)
            mounted.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
            return folder

        yield mount


def remounted(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def volumes(world: World) -> set[str]:
    """The volumes that carry the world's label."""
    found = world.raw.volumes(filters={"label": f"{world.key}={world.value}"})["Volumes"] or []
    return {volume["Name"] for volume in found}


def test_a_disk_that_is_full_under_the_audit_log_stops_changes_and_nothing_else_until_there_is_room(
    world: World, tmpfs: Mount, tmp_path: Path
) -> None:
    disk = tmpfs(size="24k")
    audit = disk / "audit.jsonl"
    there = volumes(world)
    env = environment(HOME=str(tmp_path), SECURITY_AUDIT_LOG_FILE=str(audit))
    with ServerProcess(tmp_path / "stderr", env) as server:
        server.open()
        made: set[str] = set()
        for _ in range(200):
            name = f"faults-{uuid.uuid4().hex}"
            answer = server.call("docker_create_volume", name=name, labels=world.labels)
            if answer["isError"]:
                assert refused(answer) == "AUDIT_UNAVAILABLE"
                assert re.search("No space left|no room", answer["content"][0]["text"])
                break
            made.add(name)
        assert made
        assert len(made) < 200
        assert volumes(world) - there == made, "what was refused was not done"
        done(server.call("docker_list_containers"))

        remounted(disk, "size=1m")
        last = f"faults-{uuid.uuid4().hex}"
        done(server.call("docker_create_volume", name=last, labels=world.labels))
    lines = [json.loads(line) for line in audit.read_text().splitlines() if line.endswith("}")]
    assert made | {last} == {line["arguments"]["name"] for line in lines if line["event"] == "intent"}
    assert verify(audit).is_whole


def test_a_state_folder_that_can_not_be_written_stops_changes_and_nothing_else(
    world: World, tmpfs: Mount, tmp_path: Path
) -> None:
    home = tmpfs(size="1m")
    remounted(home, "ro")
    with ServerProcess(tmp_path / "stderr", environment(HOME=str(home))) as server:
        server.open()
        done(server.call("docker_list_containers"))
        name = f"faults-{uuid.uuid4().hex}"
        answer = server.call("docker_create_volume", name=name, labels=world.labels)
        assert refused(answer) == "AUDIT_UNAVAILABLE"
        assert "Read-only file system" in answer["content"][0]["text"]
        assert name not in volumes(world)

        remounted(home, "rw")
        done(server.call("docker_create_volume", name=name, labels=world.labels))
    assert verify(home / ".local/state/mcp-docker/audit.jsonl").is_whole


@pytest.fixture
def authority() -> Iterator[AuthorizationServer]:
    server = AuthorizationServer()
    yield server
    server.close()


@pytest.fixture
def guarded(authority: AuthorizationServer, tmp_path: Path) -> Callable[[], WebServer]:
    """A server that asks for tokens of the authority's."""
    env = environment(
        HOME=str(tmp_path),
        SECURITY_OAUTH_ENABLED="true",
        SECURITY_OAUTH_ISSUER=authority.issuer,
        SECURITY_OAUTH_AUDIENCE=AUDIENCE,
        SECURITY_AUDIT_LOG_FILE=str(tmp_path / "audit.jsonl"),
    )
    return lambda: WebServer(tmp_path / "stderr", env)


def test_an_issuer_that_never_answers_lets_nobody_in_for_a_limited_time_until_it_does(
    authority: AuthorizationServer, guarded: Callable[[], WebServer]
) -> None:
    authority.answers[KEYS] = authority.held(plain({"keys": []}))
    token = authority.token()
    with guarded() as server:
        began = time.monotonic()
        assert server.post("tools/list", {}, token).status_code in (401, 503)
        assert time.monotonic() - began < outbound.SECONDS + 5  # it starts to wait once it has loaded what it asks with
        assert server.http.get("/healthz").status_code == 200
        del authority.answers[KEYS]
        eventually(lambda: server.post("tools/list", {}, token).status_code == 200)
        done(server.call("docker_list_containers", token))


def test_keys_that_are_known_are_used_while_the_issuer_is_gone(
    authority: AuthorizationServer, guarded: Callable[[], WebServer]
) -> None:
    token = authority.token()
    with guarded() as server:
        done(server.call("docker_list_containers", token))
        authority.answers |= {KEYS: hang_up, METADATA: hang_up}
        done(server.call("docker_list_containers", authority.token(sub="bob")))
        unknown = authority.token({"kid": "unheard-of"}, made("RS256", 1))
        assert server.post("tools/list", {}, unknown).status_code in (401, 503)
        done(server.call("docker_list_containers", token))
