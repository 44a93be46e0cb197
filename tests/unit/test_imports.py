"""Imports run one way."""

import ast
from pathlib import Path

import pytest

import mcp_docker

ROOT = Path(mcp_docker.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Modules that a file imports, also inside functions, but not for types alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(file: Path) -> set[str]:
    """First parts of what a file imports of this package."""
    return {name.split(".")[1] for name in imported(file) if name.startswith("mcp_docker.")} - {"__version__"}


def of(place: str) -> list[Path]:
    return [file for file in FILES if file.relative_to(ROOT).as_posix().startswith(place)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_only_the_server_imports_the_protocol(file: Path) -> None:
    protocol = {name for name in imported(file) if name.split(".")[0] in ("mcp", "mcp_types")}
    assert not protocol or file.relative_to(ROOT).parts[0] in ("server", "http")


@pytest.mark.parametrize(
    ("place", "may"),
    [
        ("errors.py", set()),
        ("arguments.py", {"errors"}),
        ("tool.py", {"arguments", "errors", "engine"}),
        ("prompt.py", {"tool"}),
        ("prompts/", {"engine", "errors", "prompt", "prompts", "redact", "tool", "tools"}),
        ("resource.py", {"engine", "tool", "tools"}),
        ("resources/", {"resource", "tool", "tools"}),
        ("completion.py", {"tool"}),
        ("pages/", set()),
        ("progress.py", set()),
        ("threads.py", set()),
        ("watch/", {"engine", "errors", "tools", "watch"}),
        ("env_file.py", {"errors"}),
        ("settings.py", {"env_file", "errors"}),
        ("engine/", {"errors", "settings", "engine", "tool"}),
        ("tools/", {"errors", "engine", "tool", "tools"}),
        ("caller.py", {"tool"}),
        ("throttle/", {"errors", "throttle"}),
        (
            "registry.py",
            {
                "caller",
                "completion",
                "errors",
                "prompt",
                "prompts",
                "resource",
                "resources",
                "settings",
                "tool",
                "tools",
            },
        ),
        ("policy/", {"errors", "settings", "tool", "engine", "policy", "tools"}),
        ("confirm.py", {"errors", "redact", "settings", "tool"}),
        ("audit/", {"audit", "caller", "errors", "redact", "settings", "tool", "tools"}),
        ("redact/", {"redact"}),
        (
            "pipeline.py",
            {
                "errors",
                "settings",
                "tool",
                "engine",
                "registry",
                "policy",
                "redact",
                "caller",
                "confirm",
                "audit",
                "progress",
                "resource",
                "threads",
                "throttle",
            },
        ),
        (
            "server/",
            {
                "caller",
                "completion",
                "confirm",
                "errors",
                "pages",
                "pipeline",
                "progress",
                "prompt",
                "registry",
                "resource",
                "server",
                "threads",
                "tool",
                "watch",
            },
        ),
    ],
)
def test_imports_run_one_way(place: str, may: set[str]) -> None:
    files = of(place)
    assert files
    for file in files:
        assert ours(file) <= may, file
