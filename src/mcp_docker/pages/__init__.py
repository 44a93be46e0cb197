"""Pages that a host shows beside a tool's answer: MCP Apps, io.modelcontextprotocol/ui, revision 2026-01-26."""

import re
from functools import cache
from importlib.resources import files

from mcp_docker import __version__

EXTENSION = "io.modelcontextprotocol/ui"
MIME_TYPE = "text/html;profile=mcp-app"
NAMES = ("containers", "stats", "logs")
URIS = {name: f"ui://mcp-docker/{name}.html" for name in NAMES}
_PART = re.compile(r'<link rel="stylesheet" href="([a-z]+\.css)">|<script src="([a-z]+\.js)"></script>')


@cache
def html(name: str) -> str:
    """A page as one document that loads nothing: the styles and scripts it names stand in it.

    Args:
        name: one of NAMES.
    """
    return _PART.sub(_inlined, _read(f"{name}.html"))


def _inlined(part: re.Match[str]) -> str:
    style, script = part.groups()
    if style:
        return f"<style>\n{_read(style)}</style>"
    return f"<script>\n{_read(script).replace('{{version}}', __version__)}</script>"


def _read(file: str) -> str:
    return (files(__package__) / file).read_text(encoding="utf-8")
