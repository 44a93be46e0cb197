"""The arrangements and changes that cases name."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from mcp_docker.engine import own
from tests.integration.attacks.proxy import tcp_to
from tests.integration.attacks.world import KINDS, MOST_TRIES, Found, Objects, Shared, token

TEXTS = {
    "long": "a" * 5_000,
    "words": "x " * 1_001,
    "volumes65": json.dumps([f"/v{number}" for number in range(65)]),
    "aliases65": json.dumps([f"a{number}" for number in range(65)]),
    "capabilities65": json.dumps([f"CAP_{'A' * (number + 1)}" for number in range(41)] * 2),
    "labels1001": json.dumps({f"l{number}": "x" for number in range(1_001)}),
    "hosts101": json.dumps([f"h{number}:10.0.0.1" for number in range(101)]),
}
"""Values that are too long to write out."""


class World(Objects):
    """The engine and the folders of one case."""

    def __init__(
        self,
        shared: Shared,
        patch: pytest.MonkeyPatch,
        opened: contextlib.ExitStack,
    ) -> None:
        super().__init__(shared.raw, token())
        self.shared = shared
        self.patch = patch
        self.opened = opened
        socket = os.environ["DOCKER_HOST"].removeprefix("unix://")
        self.values: dict[str, str] = {}
        self.values |= TEXTS | {"token": self.token, "new": f"{self.token}-new", "upper": self.token.upper()}
        self._lazy: dict[str, Callable[[], str]] = {
            "folder": self._folder,
            # away from the networks that scripts/engine gives to engines
            "subnet": lambda: f"10.{secrets.randbelow(80)}.{secrets.randbelow(256)}.{16 * secrets.randbelow(16)}/28",
            "tcp": lambda: opened.enter_context(tcp_to(socket)),
            "registry": lambda: os.environ["MCP_DOCKER_TEST_REGISTRY"],
            "host_network": lambda: str(self.raw.networks(names=["^host$"])[0]["Id"]),
            "host_network12": lambda: self.value("host_network")[:12],
            "host_network5": lambda: self.value("host_network")[:5],
        }

    def value(self, name: str) -> str:
        """What stands for a placeholder. Raises KeyError."""
        if name not in self.values:
            made = self._lazy[name]() if name in self._lazy else self.shared.value(name)
            if made is None:
                raise KeyError(f"nothing is arranged that is called {name!r}")
            self.values[name] = made
        return self.values[name]

    def _folder(self) -> str:
        """One that this case may change."""
        made = Path(self.value("root")) / self.token
        made.mkdir()
        return str(made)

    def arrange(self, name: str) -> None:
        kind = name.removeprefix("a container ")
        if kind in KINDS:
            self.is_called("container", self.shared.kind(kind))
        else:
            CHANGES[name](self)

    def is_called(self, name: str, full_id: str) -> None:
        """Have an object's name and id stand for placeholders."""
        digits = full_id.removeprefix("sha256:")
        if name == "container":
            self.values["container"] = self.inspect("container", full_id)["Name"].lstrip("/")
        self.values |= {f"{name}_id": full_id, f"{name}_id12": digits[:12], f"{name}_id11": digits[:11]}

    def inspect(self, kind: str, name: str) -> Found:
        look = getattr(self.raw, f"inspect_{kind}")
        found: Found = look(name)
        return found

    def own(self, **arguments: object) -> None:
        """A container of this case alone."""
        self.is_called("container", self.container(f"{self.token}-web", **arguments))  # type: ignore[arg-type]


def _anonymous(world: World) -> None:
    world.own(start=False, volumes=["/data"])
    world.values["anonymous"] = world.inspect("container", world.values["container_id"])["Mounts"][0]["Name"]
    world.volumes.add(world.values["anonymous"])


def _anonymous_of_auto_remove(world: World) -> None:
    world.own(host={"auto_remove": True}, volumes=["/data"])
    world.values["anonymous"] = world.inspect("container", world.values["container_id"])["Mounts"][0]["Name"]
    world.volumes.add(world.values["anonymous"])


def _volume(labels: dict[str, str] | None = None, **options: str) -> Callable[[World], None]:
    def make(world: World) -> None:
        world.values["volume"] = world.volume(f"{world.token}-data", labels, options or None)

    return make


def _unlabelled_volume(world: World) -> None:
    """Found by its name only."""
    world.values["volume"] = f"{world.token}-data"
    world.raw.create_volume(world.values["volume"])


def _network(labels: dict[str, str] | None = None) -> Callable[[World], None]:
    def make(world: World) -> None:
        world.values["network"] = f"{world.token}-net"
        world.is_called("network", world.network(world.values["network"], labels))

    return make


def _image(*changes: str) -> Callable[[World], None]:
    def make(world: World) -> None:
        world.values["own"] = f"{world.token}-own:latest"
        world.is_called("own", world.image(world.values["own"].removesuffix(":latest"), *changes))

    return make


def _dangling(name: str) -> Callable[[World], None]:
    def make(world: World) -> None:
        world.values[name] = world.image(None)

    return make


def _moved_tag(world: World) -> None:
    world.values["tag"] = world.tag(world.shared.value("nobody") or "", f"{world.token}-moved:latest")


def _namesake_container(world: World) -> None:
    world.own(start=False)
    world.values["shadow"] = world.values["container_id"][:6]
    world.container(world.values["shadow"], start=False)


def _namesake_network(world: World) -> None:
    _network()(world)
    world.values["shadow"] = world.values["network_id"][:12]
    world.network(world.values["shadow"])


def _namesake_image(world: World) -> None:
    _image()(world)
    world.values["shadow"] = world.values["own_id"].removeprefix("sha256:")[:12]
    world.tag(world.shared.value("nobody") or "", f"{world.values['shadow']}:latest")
    world.opened.callback(_untag, world, f"{world.values['shadow']}:latest")


def _untag(world: World, name: str) -> None:
    with contextlib.suppress(docker.errors.ImageNotFound):
        world.raw.remove_image(name)


def _alike(make: Callable[[World, int], str]) -> Callable[[World], None]:
    """Make objects until two ids begin with the same digit."""

    def until(world: World) -> None:
        seen: set[str] = set()
        for number in range(MOST_TRIES):
            first = make(world, number)[0]
            if first in seen:
                world.values["prefix"] = first
                return
            seen.add(first)

    return until


def _swapped(world: World) -> None:
    folder = Path(world.value("folder"))
    folder.rmdir()
    folder.symlink_to("/etc")


def _replaced_container(world: World) -> None:
    world.raw.remove_container(world.values["container_id"], force=True)
    world.own(start=False)


def _replaced_volume(world: World) -> None:
    """Engines tell the time in whole seconds."""
    name = world.values["volume"]
    before = world.inspect("volume", name)["CreatedAt"]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        world.raw.remove_volume(name)
        world.volume(name)
        if world.inspect("volume", name)["CreatedAt"] != before:
            return


def _another_volume(world: World) -> None:
    world.values["another"] = world.volume(f"{world.token}-another", {"prune": world.token})


def _prunable(world: World) -> None:
    world.values["volume"] = world.volume(f"{world.token}-data", {"prune": world.token})


def _prunable_anonymous(world: World) -> None:
    made = world.raw.create_volume(labels=world.labels | {"prune": world.token})
    world.values["anonymous"] = made["Name"]


def _prunable_and_protected(world: World) -> None:
    world.values["protected"] = world.volume(f"{world.token}-keep", {"prune": world.token, "keep": "yes"})


def _unlabelled(world: World) -> None:
    world.values["unlabelled"] = world.volume(f"{world.token}-other")


def _stopped(world: World) -> None:
    world.raw.stop(world.values["container_id"], timeout=0)


def _tag_moves_again(world: World) -> None:
    world.tag(world.image(None), world.values["tag"])


def _docker_config(_: World) -> None:
    folder = Path(os.environ["DOCKER_CONFIG"])
    folder.mkdir(parents=True, exist_ok=True)
    hosts = ["127.0.0.1:5999", "10.0.0.5", "registry.corp.internal", "https://192.168.7.7:5000/v2/", "localhost:5999"]
    stored = {"auths": {host: {} for host in hosts}, "credHelpers": {"172.16.0.9:5000": "none"}}
    (folder / "config.json").write_text(json.dumps(stored), encoding="utf-8")


def _pushed(world: World) -> None:
    world.values["pushed"] = f"{world.value('registry')}/{world.token}"
    world.image(world.values["pushed"])
    world.raw.push(world.values["pushed"], tag="latest")
    world.raw.remove_image(world.values["pushed"])


def _for_the_registry(world: World) -> None:
    world.values["pushed"] = f"{world.value('registry')}/{world.token}"
    world.image(world.values["pushed"])


def _runs_here(world: World) -> None:
    world.patch.setattr(own, "container_id", lambda: world.values["container_id"])
    world.patch.setattr(own, "in_container", lambda: True)


def _connected(world: World) -> None:
    world.raw.connect_container_to_network(world.values["container_id"], world.values["network_id"])


def _used_volume(world: World) -> None:
    world.container(f"{world.token}-user", start=False, host={"binds": [f"{world.values['volume']}:/data"]})


def _in_the_working_directory(world: World) -> None:
    world.patch.chdir(Path(world.value("build")) / "app")


CHANGES: dict[str, Callable[[World], None]] = {
    "its own container": lambda world: world.own(),
    "its own stopped container": lambda world: world.own(start=False),
    "its own container that deletes itself": lambda world: world.own(host={"auto_remove": True}),
    "its own container of nobody": lambda world: world.own(image=world.shared.value("nobody")),
    "its own container to prune": lambda world: world.own(start=False, labels={"prune": world.token}),
    "its own container with an anonymous volume": _anonymous,
    "its own container that deletes itself, with an anonymous volume": _anonymous_of_auto_remove,
    "its own container with a mount": lambda world: world.own(host={"binds": [f"{world.value('root')}/data:/data"]}),
    "a volume": _volume(),
    "a volume that something else made": _unlabelled_volume,
    "a volume that is a bind of /etc": _volume(type="none", o="bind", device="/etc"),
    "a volume that is an overlay": _volume(type="overlay", o="lowerdir=/etc,upperdir=/u,workdir=/w", device="overlay"),
    "a volume of tmpfs": _volume(type="tmpfs", device="tmpfs"),
    "a volume to prune": _prunable,
    "a volume without the label": _unlabelled,
    "an anonymous volume to prune": _prunable_anonymous,
    "a protected volume to prune": _prunable_and_protected,
    "a protected volume": _volume({"keep": "yes"}),
    "the volume is used": _used_volume,
    "a network": _network(),
    "a protected network": _network({"keep": "yes"}),
    "the container is connected": _connected,
    "an image": _image(),
    "a protected image": _image("LABEL keep=yes"),
    "an image to prune": _dangling("dangling"),
    "another image to prune": _dangling("other_dangling"),
    "a tag that points elsewhere": _moved_tag,
    "a container named like the beginning of another's id": _namesake_container,
    "a network named like the beginning of another's id": _namesake_network,
    "an image named like the beginning of another's id": _namesake_image,
    "containers whose ids begin alike": _alike(
        lambda world, number: world.container(start=False, name=f"{world.token}-{number}")
    ),
    "networks whose ids begin alike": _alike(lambda world, number: world.network(f"{world.token}-{number}")),
    "a Docker config that knows private registries": _docker_config,
    "an image in the registry": _pushed,
    "an image for the registry": _for_the_registry,
    "the server runs in the container": _runs_here,
    "the server was started in a project": _in_the_working_directory,
    "the folder is swapped for a link to /etc": _swapped,
    "the container is replaced": _replaced_container,
    "the volume is replaced": _replaced_volume,
    "the container is stopped": _stopped,
    "another volume appears": _another_volume,
    "the tag moves once more": _tag_moves_again,
    "nothing": lambda _: None,
}
"""By name; a change is what happens between two calls, or while a person is asked."""
