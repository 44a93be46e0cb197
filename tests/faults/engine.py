"""An engine of a test's own, which may be stopped and killed: `python -m tests.faults.engine NAME SUITE NETWORK DO`."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).parents[2]
SUITES = {"20.": "bookworm", "26.": "trixie", "28.": "sid"}


class Engine:
    """One of the same version as the one at an address, with a socket, data and network of its own; not started.

    It is one of scripts/engine's, which needs root and Debian.

    Args:
        like: the address.
    """

    def __init__(self, like: str) -> None:
        client = docker.APIClient(base_url=like, version="auto")
        version = str(client.version()["Version"])
        client.close()
        suite = next(suite for start, suite in SUITES.items() if version.startswith(start))
        number = os.getpid() % 10_000  # other runs have theirs at the same time
        self._words = (f"f{version[:2]}-{number}", suite, f"10.{217 + number % 30}.0.0/16")
        # before a test changes it: packages are cached below the home
        self._env = dict(os.environ)
        self._docker = made(*self._words)
        self.address = str(self._docker.address())

    def start(self) -> None:
        """Have it up."""
        self._do("start")

    def restart(self) -> None:
        """Stop the daemon as an operator does, and start it again."""
        self._do("restart")

    def end(self) -> None:
        """Stop the daemon as an operator does."""
        self._do("end")

    def kill(self) -> None:
        """Kill the daemon."""
        self._do("kill")

    def stop(self) -> None:
        """Delete everything of it."""
        self._do("stop")

    def pids(self) -> set[int]:
        """The daemon's processes."""
        found: set[int] = self._docker.pids("dockerd")
        return found

    def _do(self, what: str) -> None:
        # in a process of its own, since daemons stay behind
        command = [sys.executable, "-m", __name__, *self._words, what]
        subprocess.run(command, env=self._env, cwd=ROOT, check=True)


def made(name: str, suite: str, network: str) -> Any:
    """What scripts/engine makes of one."""
    loader = importlib.machinery.SourceFileLoader("scripts_engine", str(ROOT / "scripts" / "engine"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module.Docker(name, suite, network)


if __name__ == "__main__":
    engine = made(*sys.argv[1:4])
    if sys.argv[4] == "end":
        engine.end(engine.main, 20)
    else:
        getattr(engine, sys.argv[4])()
