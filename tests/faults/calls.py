"""Calls that stand for all, as data: where a fault strikes each, and when its answer is true."""

import contextlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docker
import docker.errors

from tests.e2e.process import Message, eventually
from tests.faults.registry import Registry
from tests.integration.conftest import IMAGE

LINES = 20
TALK = f"n=0; while [ $n -lt {LINES} ]; do echo line $n; n=$((n+1)); done; while :; do echo more; sleep 0.1; done"


class World:
    """Things on the engine for calls to work on; all that it made, and that calls make, carries its label.

    Args:
        engine: the address of the engine.
        folder: for files.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self.raw = docker.APIClient(base_url=engine, version="auto")
        self.key, self.value = "mcp-docker.test", uuid.uuid4().hex
        self.labels = {self.key: self.value}
        self.registry = Registry(self.labels)
        self.folder = folder / f"context-{self.value}"
        self.folder.mkdir()
        self.write()
        self.talk()
        self.looked_at = self.make("looked-at", ["sleep", "600"])

    def write(self, step: str = "sleep 0.2") -> None:
        """Write the Dockerfile, with this as its step; its container carries the label."""
        (self.folder / "Dockerfile").write_text(
            f"FROM {IMAGE}\nLABEL {self.key}={self.value}\nARG unique\nRUN {step} && echo $unique\n"
        )

    def talk(self) -> None:
        """Have a container that has printed some lines, and goes on."""
        self.talker = self.make("talker", ["sh", "-c", TALK], start=True)
        eventually(lambda: b"more" in self.raw.logs(self.talker, tail=1))

    def make(self, name: str, command: list[str], *, start: bool = False) -> str:
        """Make a container; its name."""
        whole = f"{name}-{uuid.uuid4().hex[:12]}"
        host = self.raw.create_host_config(init=True)
        self.raw.create_container(IMAGE, command, name=whole, labels=self.labels, host_config=host)
        if start:
            self.raw.start(whole)
        return whole

    def names(self) -> set[str]:
        """The names of containers that carry the label."""
        rows = self.raw.containers(all=True, filters={"label": f"{self.key}={self.value}"})
        return {row["Names"][0].lstrip("/") for row in rows}

    def close(self) -> None:
        """Remove what carries the label."""
        wanted = {"label": [f"{self.key}={self.value}"]}
        eventually(lambda: self._without_containers(wanted))
        for volume in self.raw.volumes(filters=wanted)["Volumes"] or []:
            self.raw.remove_volume(volume["Name"], force=True)
        while images := self.raw.images(all=True, filters=wanted):
            for image in images:
                with contextlib.suppress(docker.errors.APIError):  # others are built on it, and go first
                    self.raw.remove_image(image["Id"], force=True)
        self.registry.close()
        self.raw.close()

    def _without_containers(self, wanted: dict[str, list[str]]) -> bool:
        containers = self.raw.containers(all=True, filters=wanted)
        for container in containers:
            with contextlib.suppress(docker.errors.APIError):  # one of a build's may go by itself just now
                self.raw.remove_container(container["Id"], force=True, v=True)
        return not containers


@dataclass(frozen=True)
class Round:
    """One round of calls: names that no other round uses."""

    world: World
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def made(self) -> str:
        """The container that is created."""
        return f"made-{self.id}"

    def doomed(self) -> str:
        """The container that is removed."""
        return f"doomed-{self.id}"

    def prepare(self) -> None:
        world = self.world
        world.raw.create_container(IMAGE, ["true"], name=self.doomed(), labels=world.labels)

    def is_there(self, name: str) -> bool:
        """Whether there is a container of that name."""
        return bool(self.world.raw.containers(all=True, filters={"name": f"^/{name}$"}))


@dataclass(frozen=True)
class Representative:
    """One call.

    Attributes:
        tool: its name.
        struck: the request that a fault strikes.
        arguments: of the call in a round.
        is_true: whether data that it answers is what the engine has.
        seconds: its time limit.
        happened: whether it has changed something, whatever it answered; None where it never does.
    """

    tool: str
    struck: str
    arguments: Callable[[Round], Message]
    is_true: Callable[[Round, Message], bool]
    seconds: float = 6
    happened: Callable[[Round], bool] | None = None


def _image_there(at: Round, reference: str) -> bool:
    return bool(at.world.raw.images(reference))


CALLS: dict[str, Representative] = {
    "list": Representative(
        "docker_list_containers",
        r"GET \S*/containers/json",
        lambda at: {"all": True, "filters": {"label": f"{at.world.key}={at.world.value}"}},
        lambda at, data: {at.world.talker, at.world.looked_at} <= {row["name"] for row in data["containers"]},
    ),
    "inspect": Representative(
        "docker_inspect_container",
        r"GET \S*/containers/looked-at-\w+/json",
        lambda at: {"container_id": at.world.looked_at},
        lambda at, data: data["name"] == at.world.looked_at,
    ),
    "logs": Representative(
        "docker_container_logs",
        r"GET \S*/logs\?(?!\S*follow=1)",
        lambda at: {"container_id": at.world.talker, "contains": "line", "tail": 1_000},
        lambda _, data: [line["text"] for line in data["lines"]] == [f"line {number}" for number in range(LINES)],
    ),
    "follow": Representative(
        "docker_container_logs",
        r"GET \S*/logs\?\S*follow=1",
        lambda at: {"container_id": at.world.talker, "follow": True, "seconds": 1},
        lambda _, data: {line["text"] for line in data["lines"]} <= {"more"},
        seconds=16,
    ),
    "events": Representative(
        "docker_events",
        r"GET \S*/events",
        lambda at: {"filters": {"container": [at.doomed()], "event": ["create"]}},
        lambda at, data: [event["name"] for event in data["events"]] == [at.doomed()],
    ),
    "pull": Representative(
        "docker_pull_image",
        r"POST \S*/images/create",
        lambda at: {"image": f"{at.world.registry.address}/{at.id}", "tag": "v1"},
        lambda at, data: _image_there(at, f"{at.world.registry.address}/{at.id}:v1") and bool(data["id"]),
        seconds=9,
        happened=lambda at: _image_there(at, f"{at.world.registry.address}/{at.id}:v1"),
    ),
    "build": Representative(
        "docker_build_image",
        r"POST \S*/build",
        lambda at: {"path": str(at.world.folder), "tag": f"built:{at.id}", "buildargs": {"unique": at.id}},
        lambda at, data: at.world.raw.images(f"built:{at.id}")[0]["Id"] == data["id"],
        seconds=12,
        happened=lambda at: _image_there(at, f"built:{at.id}"),
    ),
    "create": Representative(
        "docker_create_container",
        r"POST \S*/containers/create",
        lambda at: {"image": IMAGE, "name": at.made(), "labels": at.world.labels},
        lambda at, _: at.is_there(at.made()),
        happened=lambda at: at.is_there(at.made()),
    ),
    "remove": Representative(
        "docker_remove_container",
        r"DELETE \S*/containers/",
        lambda at: {"container_id": at.doomed()},
        lambda at, _: not at.is_there(at.doomed()),
        happened=lambda at: not at.is_there(at.doomed()),
    ),
    "exec": Representative(
        "docker_exec_command",
        r"POST \S*/exec/\w+/start",
        lambda at: {
            "container_id": at.world.talker,
            "command": ["sh", "-c", f"echo begun; touch /{at.id}; sleep 1; echo ended"],
        },
        lambda _, data: "exit_code" not in data or (data["stdout"], data["exit_code"]) == ("begun\nended\n", 0),
        happened=lambda at: f"/{at.id}" in {change["Path"] for change in at.world.raw.diff(at.world.talker) or []},
    ),
    "stats": Representative(
        "docker_container_stats",
        r"GET \S*/stats",
        lambda at: {"container_id": at.world.talker},
        lambda at, data: data["containers"][0]["name"] == at.world.talker and data["containers"][0]["pids"] > 0,
        seconds=8,
    ),
}

EVERYWHERE = "|".join(call.struck for call in CALLS.values())
"""A pattern that strikes each of them once it has found what it is about."""

LIMITS = {call.tool: call.seconds for call in CALLS.values() if call.tool != "docker_container_logs"} | {
    "docker_container_logs": 6
}


def settings(world: World) -> dict[str, str]:
    """Settings under which they may all be made, with short limits."""
    return {
        "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS": "true",
        "SAFETY_CONFIRMATION": "never",
        "SAFETY_ALLOWED_BUILD_ROOTS": str(world.folder.parent),
        "SAFETY_ALLOWED_REGISTRIES": world.registry.address,
        "SAFETY_TOOL_TIMEOUTS": ",".join(f"{tool}={seconds}" for tool, seconds in LIMITS.items()),
        "SECURITY_RATE_LIMIT_RPM": "1000000",
        "SECURITY_RATE_LIMIT_CONCURRENT": "64",
    }


def leads_on(text: str) -> bool:
    """Whether a refusal says that the change may have been made all the same."""
    return bool(re.search(r"may have happened|still runs|were ended in the container", text))
