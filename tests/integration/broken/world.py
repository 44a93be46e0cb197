"""Makes the containers of broken.toml on a real engine, all at once, and takes them away."""

import hashlib
import io
import json
import re
import shutil
import tarfile
import time
import tomllib
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError

from tests.integration.conftest import IMAGE, free_port, remove

Case = dict[str, Any]

KNOWN = set("name cause also says image create files network folder peer before start until then".split())
WAIT_SECONDS = 40
AT_ONCE = 8
MOST_RUNS = 10
SERVICE = ["sleep", "300"]


def cases() -> list[Case]:
    """What broken.toml says. Raises ValueError for a key that it does not know."""
    found: list[Case] = tomllib.loads((Path(__file__).parent / "broken.toml").read_text(encoding="utf-8"))["case"]
    wrong = [case["name"] for case in found if set(case) - KNOWN]
    if wrong:
        raise ValueError(f"broken.toml: unknown keys in {wrong}")
    return found


class World:
    """The containers of all cases, by the cases' names.

    Args:
        raw: the engine.
        folder: a folder of this machine, for mounts.
    """

    def __init__(self, raw: docker.APIClient, folder: Path) -> None:
        self.raw = raw
        self.folder = folder
        self.label = f"mcp-docker.test={uuid.uuid4().hex}"
        self.words: dict[str, dict[str, str]] = {}
        self.images: list[str] = []

    def make(self, every: list[Case]) -> None:
        """Make the containers of these cases, the last first, and wait until each is as broken as it should be.

        The first few are not begun before all others are so: what the engine remembers of them has to last.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for some in (every[AT_ONCE:], every[:AT_ONCE]):
                for _ in pool.map(self._make, reversed(some)):
                    pass

    def remove(self) -> None:
        """Remove everything that was made."""
        raw, wanted = self.raw, {"label": [self.label]}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self._remove, raw.containers(all=True, filters=wanted)):
                pass
        for network in raw.networks(filters=wanted):
            raw.remove_network(network["Id"])
        for volume in raw.volumes(filters=wanted)["Volumes"] or []:
            raw.remove_volume(volume["Name"], force=True)
        for image in self.images:
            try:
                raw.remove_image(image, force=True)
            except APIError as error:
                if error.status_code != 404:
                    raise

    def _remove(self, container: dict[str, Any]) -> None:
        remove(self.raw.remove_container, container["Id"], force=True, v=True)

    def _make(self, case: Case) -> None:
        unique = f"broken-{uuid.uuid4().hex[:10]}"
        words = {
            "name": unique,
            "peer": f"{unique}-peer",
            "network": f"{unique}-network",
            "volume": f"{unique}-volume",
            "folder": str(self.folder / unique),
            "port": str(free_port()),
        }
        self.words[case["name"]] = words
        if "{volume}" in str(case):
            self.raw.create_volume(words["volume"], labels=self._labels())
        if case.get("network"):
            self.raw.create_network(words["network"], labels=self._labels())
        if case.get("folder"):
            Path(words["folder"]).mkdir()
        if "peer" in case:
            self._create(words["peer"], IMAGE, case["peer"], words)
            self.raw.start(words["peer"])
        self._create(unique, self._image(case, unique), case.get("create", {}), words)
        for file in case.get("files", []):
            self.raw.put_archive(unique, "/", _archive(file))
        for action in case.get("before", []):
            self._act(action, words)
        if case.get("start", True):
            self._start(unique)
        self._wait(unique, case.get("until", ""))
        for action in case.get("then", []):
            self._act(action, words)

    def _create(self, name: str, image: str, body: Case, words: dict[str, str]) -> None:
        body = json.loads(filled(json.dumps(body), words))
        config = {"Image": image, "Cmd": None if "Entrypoint" in body else SERVICE, "Labels": self._labels()} | body
        self.raw.create_container_from_config(config, name)  # type: ignore[no-untyped-call]  # no annotations

    def _start(self, name: str) -> None:
        try:
            self.raw.start(name)
        except APIError:
            # that is how some are broken
            return

    def _image(self, case: Case, unique: str) -> str:
        match case.get("image"):
            case "own":
                made = self.raw.create_container(IMAGE, SERVICE, labels=self._labels())
                self.raw.commit(made["Id"], repository=unique, tag="test")
                self.raw.remove_container(made["Id"])
            case "foreign":
                self.raw.load_image(_foreign_image(f"{unique}:test"))  # type: ignore[no-untyped-call]  # no annotations
            case _:
                return IMAGE
        self.images.append(f"{unique}:test")
        return f"{unique}:test"

    def _act(self, action: str, words: dict[str, str]) -> None:
        raw, name = self.raw, words["name"]
        match action:
            case "stop" | "kill":
                raw.stop(name, timeout=1) if action == "stop" else raw.kill(name)
                self._wait(name, "exited")
            case "pause":
                raw.pause(name)
            case "again until the engine says why":
                self._again(name)
            case "wait for peer":
                raw.wait(words["peer"], timeout=WAIT_SECONDS)
            case "remove network":
                raw.remove_network(words["network"])
            case "remove folder":
                shutil.rmtree(words["folder"])
            case "remove image":
                raw.remove_image(f"{name}:test", force=True)
            case _:
                raise ValueError(f"broken.toml: there is no action {action!r}")

    def _again(self, name: str) -> None:
        """Start it again until the engine says that it was killed for memory.

        It hears of the kill and of the end apart, and in the other order it never says so. Not all engines do.
        """
        for _ in range(MOST_RUNS):
            if self.raw.inspect_container(name)["State"]["OOMKilled"]:
                return
            self._start(name)
            self._wait(name, "exited")

    def _wait(self, name: str, until: str) -> None:
        wanted, _, rest = until.partition(" ")
        ends = time.monotonic() + WAIT_SECONDS
        while not self._reached(name, wanted, rest):
            assert time.monotonic() < ends, f"{name} is not {until}: {self.raw.inspect_container(name)['State']}"
            time.sleep(0.2)

    def _reached(self, name: str, wanted: str, rest: str) -> bool:
        found = self.raw.inspect_container(name)
        state = found["State"]
        match wanted:
            case "exited":
                return bool(state["Status"] == "exited")
            case "restarted":
                return bool(found["RestartCount"] >= int(rest) and state["Restarting"])
            case "gave":
                most = found["HostConfig"]["RestartPolicy"]["MaximumRetryCount"]
                return bool(found["RestartCount"] >= most and state["Status"] == "exited")
            case "unhealthy":
                return bool((state.get("Health") or {}).get("Status") == "unhealthy")
            case "log":
                return rest in self.raw.logs(name).decode()
        return True

    def _labels(self) -> dict[str, str]:
        name, _, value = self.label.partition("=")
        return {name: value}


def filled(text: str, words: dict[str, str]) -> str:
    """A text of broken.toml with what was made for the case. Only these words stand for others: shells have braces."""
    return re.sub(r"\{(name|peer|network|volume|folder|port)\}", lambda match: words[match[1]], text)


def _foreign_image(tag: str) -> bytes:
    """An image that says that it is for arm64, as `docker load` takes it."""
    layer = _archive({"path": "empty"})
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = json.dumps({"architecture": "arm64", "os": "linux", "config": {}, "rootfs": rootfs})
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}])
    files = {"config.json": config.encode(), "layer.tar": layer, "manifest.json": manifest.encode()}
    return _tar({path: (data, 0o644) for path, data in files.items()})


def _archive(file: dict[str, Any]) -> bytes:
    data = file.get("text", "").encode()
    if machine := file.get("elf"):
        # the head of an executable for that machine, which no kernel of another starts
        data = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little") + b"\x01" + bytes(43)
    return _tar({file["path"]: (data, file.get("mode", 0o755))})


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, (data, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
