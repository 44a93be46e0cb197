"""Declarations and settings -> schemas.json and the tables in the Markdown files.

`python -m mcp_docker.docs` writes them; with `--check` it names the stale ones and exits with 1.
"""

import json
import re
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mcp_docker import errors, schema
from mcp_docker.policy import registries
from mcp_docker.registry import declared, declared_prompts, declared_resources
from mcp_docker.settings import Settings
from mcp_docker.tool import Declaration, Tier, Tool

ROOT = Path(__file__).parents[2]
PREFIXES = {
    "DOCKER_": "The engine",
    "SAFETY_": "What calls may do",
    "SECURITY_": "Who may call, how often, and what is recorded",
    "MCP_": "The server",
}
LETTERS = {Tier.SAFE: "safe", Tier.MODERATE: "moderate", Tier.DESTRUCTIVE: "**destructive**"}


def generated(root: Path) -> dict[Path, str]:
    """The text that every generated file should have."""
    return {
        root / "src/mcp_docker/schemas.json": schemas(),
        root / "README.md": _filled(
            root / "README.md", {"tools": tool_table(), "prompts": prompt_table(), "resources": resource_table()}
        ),
        root / "CONFIGURATION.md": _filled(root / "CONFIGURATION.md", {"settings": settings_tables()}),
        root / "SECURITY.md": _filled(root / "SECURITY.md", {"codes": code_table()}),
    }


def schemas() -> str:
    """What tools/list says of every tool, by name."""
    listings = {name: schema.listing(tool) for name, tool in declared().items()}
    return json.dumps(listings, indent=1, ensure_ascii=False) + "\n"


def tool_table() -> str:
    """The tools by toolset, with their tier and arguments."""
    rows = ["| tool | tier | what it does | arguments |", "|---|---|---|---|"]
    rows += [_tool_row(tool) for tool in declared().values()]
    return "\n".join(rows)


def prompt_table() -> str:
    """The prompts with their arguments."""
    rows = ["| prompt | what it does | arguments |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {' '.join(prompt.spec.description.split())} | {_arguments(prompt)} |"
        for name, prompt in declared_prompts().items()
    ]
    return "\n".join(rows)


def resource_table() -> str:
    """The resources with their URIs."""
    rows = ["| resource | what it is | type |", "|---|---|---|"]
    rows += [
        f"| `{resource.uri}` | {' '.join(resource.spec.description.split())} | {resource.mime_type} |"
        for resource in declared_resources().values()
    ]
    return "\n".join(rows)


def settings_tables() -> str:
    """One table of settings for each prefix."""
    parts = []
    for prefix, title in PREFIXES.items():
        parts += [f"## {title}", "", "| variable | type | default | meaning |", "|---|---|---|---|"]
        parts += [
            f"| `{name.upper()}` | {_type(field.annotation)} | {_default(field)} | {field.description} |"
            for name, field in Settings.model_fields.items()
            if name.upper().startswith(prefix)
        ]
        parts.append("")
    parts += [
        "## Registries to pull from where `SAFETY_ALLOWED_REGISTRIES` is unset",
        "",
        ", ".join(f"`{host}`" for host in registries.PUBLIC)
        + "; and each registry in Docker's own `config.json` (`auths`, `credHelpers`) that has no private address.",
        "",
    ]
    return "\n".join(parts)


def code_table() -> str:
    """The codes of refusals, in the order of the tree in errors.py."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Refused) and "code" in vars(kind)
    ]
    rows = [f"| `{kind.code}` | {' '.join((kind.__doc__ or '').split())} |" for kind in kinds]
    return "\n".join(["| code | what it means |", "|---|---|", *rows])


def main(arguments: list[str]) -> int:
    """Write the generated files, or check them."""
    stale = [
        path for path, text in generated(ROOT).items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: scripts/gen", file=sys.stderr)  # noqa: T201
        return int(bool(stale))
    for path, text in generated(ROOT).items():
        path.write_text(text, encoding="utf-8")
    return 0


def _filled(path: Path, texts: dict[str, str]) -> str:
    """The file with each text between its `<!-- NAME -->` and `<!-- /NAME -->` marks."""
    filled, count = re.subn(
        rf"(?s)(<!-- ({'|'.join(texts)}) -->\n).*?(<!-- /\2 -->)",
        lambda match: f"{match[1]}{texts[match[2]]}\n{match[3]}",
        path.read_text(encoding="utf-8"),
    )
    if count != len(texts):
        raise ValueError(f"{path.name} lacks marks of {', '.join(texts)}")
    return filled


def _tool_row(tool: type[Tool]) -> str:
    spec = tool.spec
    description = " ".join(spec.description.split()).replace("|", "\\|")
    return f"| `{spec.name}` | {LETTERS[spec.tier]} | {description} | {_arguments(tool)} |"


def _arguments(asked: type[Declaration]) -> str:
    return ", ".join(
        f"`{field.alias or name}`" + ("" if field.is_required() else "?") for name, field in asked.model_fields.items()
    )


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        return _type(next(branch for branch in arguments if branch is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return "list"
    if origin is dict:
        return "name=number list" if arguments[1] in (int, float) or get_origin(arguments[1]) is Annotated else "JSON"
    words = {bool: "true, false", int: "whole number", float: "number", Path: "path", str: "text", SecretStr: "text"}
    return words[annotation]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value in ((), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
