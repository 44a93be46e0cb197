"""Facts that every part of a release takes from one place: pyproject.toml and mcp_docker.__version__."""

import re
import tomllib
from pathlib import Path
from typing import Any

from mcp_docker import __version__

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME: str = PROJECT["name"]
VERSION = __version__
# the versions of Python that a release is tried with, oldest first
PYTHONS = [
    match[1] for each in PROJECT["classifiers"] if (match := re.fullmatch(r".*:: Python :: (3\.\d+)", each)) is not None
]
REPOSITORY: str = PROJECT["urls"]["Repository"]
DOCUMENTATION: str = PROJECT["urls"]["Documentation"]
SLUG = REPOSITORY.removeprefix("https://github.com/")
# the MCP registry gives io.github.OWNER/ to who can prove to be that owner
SERVER_NAME = f"io.github.{SLUG}"
MAIN_FILES = f"{REPOSITORY}/blob/main"
