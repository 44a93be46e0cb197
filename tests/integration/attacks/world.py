"""What cases are arranged with on the raw engine, and what of it can be seen afterwards."""

import contextlib
import io
import json
import os
import re
import tarfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from tests.integration.attacks.places import lay_out
from tests.integration.conftest import IMAGE

LABEL = "mcp-docker.attacks"
MOST_TRIES = 40
NOBODY = "root:x:0:0::/:\nnobody:x:65534:65534::/:\napp:x:1000:1000::/:\n"

Found = dict[str, Any]
State = dict[str, Any]


def token() -> str:
    """Part of the name, the image or a label of everything that a case makes."""
    return f"atk{uuid.uuid4().hex[:9]}"


KINDS: dict[str, Found] = {
    "running": {},
    "stopped": {"start": False},
    "privileged": {"host": {"privileged": True}, "may_stay": True},
    "with the host's pids": {"host": {"pid_mode": "host"}},
    "with the host's network": {"host": {"network_mode": "host"}},
    "with the host's ipc": {"host": {"ipc_mode": "host"}},
    "with the host's host name": {"host": {"uts_mode": "host"}},
    "with the host's users": {"host": {"userns_mode": "host"}},
    "that shares pids with one that has the host's": {"host": {"pid_mode": "container:{with the host's pids}"}},
    "that shares the network with one that has the host's": {
        "host": {"network_mode": "container:{with the host's network}"}
    },
    "that shares pids with a privileged one": {"host": {"pid_mode": "container:{privileged}"}, "may_stay": True},
    "that shares the network with one that shares pids with a privileged one": {
        "host": {"network_mode": "container:{that shares pids with a privileged one}"},
        "may_stay": True,
    },
    "that mounts the socket": {"host": {"binds": ["{socket}:/engine.sock"]}},
    "that mounts the socket's folder": {"host": {"binds": ["{socket_folder}:/engine:ro"]}},
    "that mounts /": {"host": {"binds": ["/:/host:ro"]}},
    "that mounts the data root": {"host": {"binds": ["{data_root}:/engine"]}},
    "that mounts a part of the data root": {"host": {"binds": ["{data_root}/volumes:/engine"]}},
    "that mounts / as a volume": {"host": {"binds": ["{root_volume}:/host"]}},
    "with all capabilities": {"host": {"cap_add": ["ALL"]}, "may_stay": True},
    "with SYS_ADMIN": {"host": {"cap_add": ["CAP_SYS_ADMIN"]}},
    "of nobody": {"image": "{nobody}"},
    "of user 1000": {"user": "1000:1000"},
    "of nobody, where toor is root too": {"image": "{nobody}", "passwd": f"{NOBODY}toor:x:0:0::/:\n"},
    "that deletes itself": {"host": {"auto_remove": True}},
    "that is protected": {"labels": {"keep": "yes"}},
    "that is protected and stopped": {"labels": {"keep": "yes"}, "start": False},
    "with an ordinary mount": {"host": {"binds": ["{root}/data:/data"]}},
}
"""Containers that many cases look at and none may change; they are made once, when the first case asks.

`may_stay`: a machine that does not have all capabilities itself can't start it; what is decided about it is the same.
"""


class Objects:
    """What carries one token on the engine.

    Args:
        raw: the engine itself.
        name: the token.
    """

    def __init__(self, raw: docker.APIClient, name: str) -> None:
        self.raw = raw
        self.token = name
        self.labels = {LABEL: name}
        self.volumes: set[str] = set()

    def container(
        self,
        name: str = "",
        *,
        image: str = IMAGE,
        start: bool = True,
        may_stay: bool = False,
        labels: dict[str, str] | None = None,
        passwd: str = "",
        host: Found | None = None,
        **more: Any,
    ) -> str:
        """Make a container and, unless start=False, start it; its id."""
        made = self.raw.create_container(
            image,
            ["sleep", "900"],
            name=name or None,
            labels=self.labels | (labels or {}),
            host_config=self.raw.create_host_config(**(host or {})),
            stop_signal="SIGKILL",
            **more,
        )["Id"]
        if passwd:
            self.raw.put_archive(made, "/etc", _archive({"passwd": passwd}))
        if start:
            with contextlib.suppress(docker.errors.APIError) if may_stay else contextlib.nullcontext():
                self.raw.start(made)
        return str(made)

    def image(self, name: str | None, *lines: str, passwd: str = "") -> str:
        """Build an image that differs from all others, tagged with the name if there is one; its id."""
        files = {"passwd": passwd} if passwd else {}
        copied = ["COPY passwd /etc/passwd"] if passwd else []
        label = f"LABEL {LABEL}={self.token} unlike={uuid.uuid4().hex}"
        files["Dockerfile"] = "\n".join([f"FROM {IMAGE}", *copied, *lines, label])
        context = io.BytesIO(_archive(files))
        told = self.raw.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True, decode=True)
        text = "".join(str(line.get("stream") or "") for line in told)
        # Podman ends with the whole id
        built = re.findall(r"^(?:Successfully built )?([0-9a-f]{12,64})$", text, re.MULTILINE)
        found: Found = self.raw.inspect_image(built[-1])  # type: ignore[no-untyped-call]
        return str(found["Id"])

    def volume(self, name: str, labels: dict[str, str] | None = None, options: dict[str, str] | None = None) -> str:
        self.raw.create_volume(name, driver_opts=options, labels=self.labels | (labels or {}))
        return name

    def network(self, name: str, labels: dict[str, str] | None = None) -> str:
        return str(self.raw.create_network(name, labels=self.labels | (labels or {}))["Id"])

    def tag(self, image: str, name: str) -> str:
        repository, _, version = name.rpartition(":")
        self.raw.tag(image, repository, version)
        return name

    def state(self, *others: str) -> State:
        """All that carries the token or one of the others: whose it is, and what of it must not change."""
        tokens = (self.token, *others)
        state: State = {"container": {}, "network": {}, "volume": {}, "image": {}}
        for found in self.raw.containers(all=True):
            if whose := _carried(tokens, found["Names"], found["Image"], found["Labels"]):
                networks = sorted((found.get("NetworkSettings") or {}).get("Networks") or {})
                state["container"][found["Id"]] = (whose, found["Names"], found["State"] == "running", networks)
        for found in self.raw.networks():
            if whose := _carried(tokens, found["Name"], found["Labels"]):
                state["network"][found["Id"]] = (whose, found["Name"])
        for found in self.raw.volumes()["Volumes"] or []:
            named = self.token if found["Name"] in self.volumes else ""
            if whose := named or _carried(tokens, found["Name"], found["Labels"]):
                state["volume"][found["Name"]] = (whose, found.get("CreatedAt"))
        for found in self.raw.images():
            if whose := _carried(tokens, found["RepoTags"], found["Labels"]):
                # a run beside this one tags the same image
                tags = [tag for tag in found["RepoTags"] or [] if self.token in tag or not tag.startswith("atk")]
                state["image"][found["Id"]] = (whose, sorted(tags))
        return state

    def remove(self) -> None:
        """Everything that carries the token."""
        state = self.state()
        for container in state["container"]:
            _tried(self.raw.remove_container, container, force=True, v=True)
        for network in state["network"]:
            _tried(self.raw.remove_network, network)
        for volume in state["volume"]:
            _tried(self.raw.remove_volume, volume, force=True)
        for image, (_, tags) in state["image"].items():
            ours = [tag for tag in tags if self.token in tag]
            for name in ours or [image]:
                _tried(self.raw.remove_image, name, force=True)


class Shared(Objects):
    """What cases share: folders, containers of every kind, and images."""

    def __init__(self, raw: docker.APIClient, folder: Path) -> None:
        super().__init__(raw, token())
        socket = os.environ["DOCKER_HOST"].removeprefix("unix://")
        self._made: dict[str, str] = {}
        self._runs: dict[str, bool] = {}
        self._values = {
            "socket": socket,
            "socket_folder": str(Path(socket).parent),
            "data_root": raw.info().get("DockerRootDir") or "",
        } | lay_out(folder, socket)
        self.writes: list[tuple[object, str]] = []
        """What was sent to the engine that is not a question, and by which client."""
        self.known: tuple[int, State] = (-1, {})
        """What was seen last, after so many writes."""

    def value(self, name: str) -> str | None:
        if name == "image" and name not in self._values:
            self._values[name] = self.tag(IMAGE, f"{self.token}:latest")
        if name == "nobody" and name not in self._values:
            self._values[name] = f"{self.token}-nobody:latest"
            self.image(self._values[name].removesuffix(":latest"), "USER nobody", passwd=NOBODY)
        if name == "root_volume" and name not in self._values:
            options = {"type": "none", "o": "bind", "device": "/"}
            self._values[name] = self.volume(f"{self.token}-root", options=options)
        if name in KINDS:
            return self.kind(name)
        return self._values.get(name)

    def kind(self, name: str) -> str:
        """The id of the container of this kind; made again if a case that failed has lost it."""
        if name in self._made:
            listed = self.raw.containers(all=True, filters={"id": self._made[name]})
            if listed and (listed[0]["State"] == "running") >= self._runs[name]:
                return self._made[name]
        arguments = json.loads(filled(json.dumps(KINDS[name]), self.value))
        self._made[name] = self.container(f"{self.token}-{len(self._made)}-{token()[3:7]}", **arguments)
        self._runs[name] = bool(self.raw.inspect_container(self._made[name])["State"]["Running"])
        return self._made[name]


def filled(text: str, value: Callable[[str], str | None]) -> str:
    """The text with the values of its placeholders; braces around anything else stay."""

    def put(match: re.Match[str]) -> str:
        found = value(match[1])
        return match[0] if found is None else found

    return re.sub(r"\{([a-z][a-z0-9_ ,'/A-Z]*)\}", put, text)


def _carried(tokens: tuple[str, ...], *where: Any) -> str:
    """The token that is somewhere in these; empty if none is."""
    text = json.dumps(where)
    return next((each for each in tokens if each in text), "")


def _tried(remove: Callable[..., Any], name: str, **more: bool) -> None:
    """Remove an object; one that is going already is waited for."""
    for _ in range(MOST_TRIES):
        try:
            remove(name, **more)
        except docker.errors.APIError as error:
            if "in progress" not in str(error):
                return
            time.sleep(0.05)
        else:
            return


def _archive(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()
