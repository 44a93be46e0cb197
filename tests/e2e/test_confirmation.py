"""A person is asked before something is lost, in both protocol eras, and everything is in the audit log."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.process import (
    HANDSHAKE,
    KILLS,
    SESSIONLESS,
    UNMEASURED,
    Message,
    ServerProcess,
    done,
    environment,
    refused,
)

CAN_ASK: Message = {"elicitation": {"form": {}}}
YES: Message = {"action": "accept", "content": {"allow": "this one"}}
FOR_A_WHILE: Message = {"action": "accept", "content": {"allow": "this tool for 10 minutes"}}
NO: Message = {"action": "decline"}


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


@pytest.fixture
def env(audit: Path) -> dict[str, str]:
    return environment(SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS="true", SECURITY_AUDIT_LOG_FILE=str(audit))


@pytest.fixture(params=[HANDSHAKE, SESSIONLESS])
def server(request: pytest.FixtureRequest, tmp_path: Path, env: dict[str, str]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "stderr", env, request.param, capabilities=CAN_ASK) as process:
        yield process.open()


@pytest.fixture
def volume(raw: docker.APIClient, label: str) -> str:
    return new_volume(raw, label)


def new_volume(raw: docker.APIClient, label: str) -> str:
    key, _, value = label.partition("=")
    name = f"e2e-{uuid.uuid4().hex[:12]}"
    raw.create_volume(name, labels={key: value})
    return name


def there(raw: docker.APIClient, name: str) -> bool:
    return any(volume["Name"] == name for volume in raw.volumes()["Volumes"] or [])


class Asking:
    """A call that is asked about, whichever way the era has for it."""

    def __init__(self, server: ServerProcess, tool: str, **arguments: Any) -> None:
        self.server = server
        self.params: Message = {"name": tool, "arguments": arguments}
        self.id = server.send("tools/call", self.params)
        self.state: str | None = None
        if server.era == HANDSHAKE:
            self.asked = server.question()
            assert self.asked["method"] == "elicitation/create"
            self.form = self.asked["params"]
        else:
            result = server.answer(self.id)["result"]
            assert result["resultType"] == "input_required", result
            ((self.key, asked),) = result["inputRequests"].items()
            self.form, self.state = asked["params"], result["requestState"]

    def answered(self, reply: Message, state: str | None = None, **changed: Any) -> Message:
        """The whole answer to the call."""
        if self.server.era == HANDSHAKE:
            self.server.reply(self.asked, reply)
            return self.server.answer(self.id)
        params = self.params | {"inputResponses": {self.key: reply}, "requestState": state or self.state} | changed
        return self.server.answer(self.server.send("tools/call", params))

    def result(self, reply: Message) -> Message:
        answer: Message = self.answered(reply)["result"]
        return answer


def test_what_is_lost_is_named_and_goes_when_the_person_agrees(
    server: ServerProcess, raw: docker.APIClient, volume: str
) -> None:
    asking = Asking(server, "docker_remove_volume", volume_name=volume)
    assert f"- volume {volume}" in asking.form["message"]
    assert there(raw, volume)
    assert done(asking.result(YES))["removed"] is True
    assert not there(raw, volume)


@pytest.mark.parametrize("reply", [NO, {"action": "cancel"}, {"action": "accept", "content": {"allow": "all"}}])
def test_anything_but_a_yes_is_a_no(server: ServerProcess, raw: docker.APIClient, volume: str, reply: Message) -> None:
    assert refused(Asking(server, "docker_remove_volume", volume_name=volume).result(reply)) == "NOT_CONFIRMED"
    assert there(raw, volume)


def test_a_person_can_allow_a_tool_for_a_while(server: ServerProcess, raw: docker.APIClient, label: str) -> None:
    first, second = new_volume(raw, label), new_volume(raw, label)
    done(Asking(server, "docker_remove_volume", volume_name=first).result(FOR_A_WHILE))
    done(server.call("docker_remove_volume", volume_name=second))
    assert not there(raw, first)
    assert not there(raw, second)


def test_the_world_may_not_change_under_a_yes(server: ServerProcess, raw: docker.APIClient, label: str) -> None:
    key, _, value = label.partition("=")
    name = f"e2e-{uuid.uuid4().hex[:12]}"
    ipam = docker.types.IPAMConfig()
    raw.create_network(name, labels={key: value}, ipam=ipam)
    asking = Asking(server, "docker_remove_network", network_id=name)
    raw.remove_network(name)
    raw.create_network(name, labels={key: value}, ipam=ipam)
    if server.era == HANDSHAKE:
        server.reply(asking.asked, YES)
        server.reply(server.question(), NO)
        assert refused(server.answer(asking.id)["result"]) == "NOT_CONFIRMED"
    else:
        assert asking.result(YES)["resultType"] == "input_required"
    assert len(raw.networks(names=[name])) == 1


def test_a_state_that_was_altered_or_moved_to_another_call_is_refused(
    raw: docker.APIClient, label: str, volume: str, tmp_path: Path, env: dict[str, str]
) -> None:
    other = new_volume(raw, label)
    with ServerProcess(tmp_path / "stderr", env, SESSIONLESS, capabilities=CAN_ASK) as server:
        asking = Asking(server.open(), "docker_remove_volume", volume_name=volume)
        assert asking.state is not None
        middle = len(asking.state) // 2
        altered = asking.state[:middle] + ("A" if asking.state[middle] != "A" else "B") + asking.state[middle + 1 :]
        assert asking.answered(YES, altered)["error"]["code"] == -32602
        assert asking.answered(YES, "made up")["error"]["code"] == -32602
        moved = asking.answered(YES, arguments={"volume_name": other})
        assert moved["error"]["code"] == -32602
    assert there(raw, volume)
    assert there(raw, other)


def test_a_client_that_can_not_ask_leaves_it_to_the_operator(
    raw: docker.APIClient, label: str, tmp_path: Path, env: dict[str, str]
) -> None:
    first, second = new_volume(raw, label), new_volume(raw, label)
    with ServerProcess(tmp_path / "stderr", env) as server:
        done(server.open().call("docker_remove_volume", volume_name=first))
    with ServerProcess(tmp_path / "stderr", env | {"SAFETY_CONFIRMATION": "always"}) as server:
        result = server.open().call("docker_remove_volume", volume_name=second)
    assert refused(result) == "CONFIRMATION_UNAVAILABLE"
    assert not there(raw, first)
    assert there(raw, second)


def test_a_client_that_leaves_while_a_person_is_asked_loses_nothing(
    era: str, raw: docker.APIClient, volume: str, tmp_path: Path, env: dict[str, str], audit: Path
) -> None:
    with ServerProcess(tmp_path / "stderr", env | UNMEASURED, era, capabilities=CAN_ASK) as server:
        Asking(server.open(), "docker_remove_volume", volume_name=volume)
        assert server.leave().is_clean
    assert there(raw, volume)
    assert [line["event"] for line in map(json.loads, audit.read_text().splitlines())] != ["intent"]


def test_every_change_has_its_intent_and_no_secret_is_in_the_log(
    server: ServerProcess, label: str, audit: Path, env: dict[str, str]
) -> None:
    secret = uuid.uuid4().hex
    key, _, value = label.partition("=")
    arguments = {
        "image": "mcp-docker-test:latest",
        "environment": {"DB_PASSWORD": secret, "URL": f"postgres://me:{secret}@db/x"},
        "command": ["serve", f"--api-key={secret}"],
        "labels": {key: value},
    }
    made = done(server.call("docker_create_container", **arguments))
    told = server.call("docker_inspect_container", container_id=made["id"])
    assert secret not in json.dumps(told)
    assert refused(server.call("docker_create_container", **arguments, privileged=True)) == "PRIVILEGE_NOT_ALLOWED"
    done(Asking(server, "docker_remove_container", container_id=made["id"]).result(YES))
    text = audit.read_text()
    assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    told_of = [(line["event"], line["tool"].removeprefix("docker_"), line.get("outcome")) for line in lines]
    assert [each for each in told_of if each[2] != "asked"] == [
        ("intent", "create_container", None),
        ("outcome", "create_container", "done"),
        ("outcome", "inspect_container", "done"),
        ("outcome", "create_container", "refused"),
        ("intent", "remove_container", None),
        ("outcome", "remove_container", "done"),
    ]
    assert audit.stat().st_mode & 0o777 == 0o600
    verified = subprocess.run(
        [sys.executable, "-m", "mcp_docker", "audit", "verify"], env=env, capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_reads_go_on_without_an_audit_log_and_changes_do_not(
    raw: docker.APIClient, volume: str, tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "file").touch()
    blocked = env | {"SECURITY_AUDIT_LOG_FILE": str(tmp_path / "file" / "audit.jsonl")}
    with ServerProcess(tmp_path / "stderr", blocked) as server:
        done(server.open().call("docker_version"))
        assert refused(server.call("docker_remove_volume", volume_name=volume)) == "AUDIT_UNAVAILABLE"
    assert there(raw, volume)


def test_whatever_the_engine_shows_has_an_intent_when_the_server_is_killed(
    raw: docker.APIClient, label: str, tmp_path: Path, env: dict[str, str], audit: Path
) -> None:
    key, _, value = label.partition("=")
    for number in range(KILLS):
        names = [f"e2e-{uuid.uuid4().hex}" for _ in range(40)]
        with ServerProcess(tmp_path / "stderr", env) as server:
            server.open()
            for name in names:
                server.begin("docker_create_volume", name=name, labels={key: value})
            # at another moment each time: when so many answers have come
            for answered in range(1, number * 7 % 30 + 2):
                server.answer(answered + 1)
            server.signal(signal.SIGKILL)
        intents = {
            line["arguments"]["name"]
            for line in map(json.loads, filter(whole, audit.read_text().splitlines()))
            if line["event"] == "intent"
        }
        made = {volume["Name"] for volume in raw.volumes(filters={"label": label})["Volumes"] or []}
        assert made <= intents
    verified = subprocess.run([sys.executable, "-m", "mcp_docker", "audit", "verify"], env=env, check=False)
    assert verified.returncode == 0


def whole(line: str) -> bool:
    """Whether a line was written to its end: the last one of a killed process may not have been."""
    return line.startswith("{") and line.endswith("}")
