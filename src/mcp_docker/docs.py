"""Declarations and settings -> schemas.json and the tables in the Markdown files."""

import json
from pathlib import Path

from mcp_docker import schema
from mcp_docker.registry import declared


def schemas() -> str:
    """The text of schemas.json: what tools/list says of every tool."""
    listings = {name: schema.listing(tool) for name, tool in declared().items()}
    return json.dumps(listings, indent=1, ensure_ascii=False) + "\n"


def write(root: Path) -> None:
    """Bring every generated file of the repository up to date."""
    (root / "src/mcp_docker/schemas.json").write_text(schemas(), encoding="utf-8")
