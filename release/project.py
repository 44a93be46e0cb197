"""Facts that every part of a release takes from one place: pyproject.toml and mcp_docker.__version__."""

import tomllib
from pathlib import Path
from typing import Any

from mcp_docker import __version__

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME: str = PROJECT["name"]
VERSION = __version__
REPOSITORY: str = PROJECT["urls"]["Repository"]
DOCUMENTATION: str = PROJECT["urls"]["Documentation"]
SLUG = REPOSITORY.removeprefix("https://github.com/")
# the MCP registry gives io.github.OWNER/ to who can prove to be that owner
SERVER_NAME = f"io.github.{SLUG}"
MAIN_FILES = f"{REPOSITORY}/blob/main"
