"""Run a target on files, without a fuzzer: `python -m tests.fuzz.replay TARGET [PATH ...]`; its seeds without paths."""

import importlib
import sys
from pathlib import Path

from loguru import logger

from tests.fuzz.harness import seeds


def replay(name: str, paths: list[Path]) -> int:
    """Give the target every file, also those in folders; how many there were."""
    one = importlib.import_module(f"tests.fuzz.fuzz_{name}").one
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    for file in files:
        try:
            one(file.read_bytes())
        except Exception:
            sys.stderr.write(f"{file}\n")
            raise
    return len(files)


if __name__ == "__main__":
    logger.remove()
    name, *given = sys.argv[1:]
    replay(name, [Path(each) for each in given] or seeds(name))
