"""Settings and declarations -> server.json, mcpb/manifest.json, and README.md's links that install with one click.

`python -m release.manifests` writes them; with `--check` it names the stale ones and exits with 1. `--bundle FILE`
prints the server.json that is published, which also names that bundle by its digest.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mcp_docker.registry import declared
from mcp_docker.settings import Settings
from release.project import DOCUMENTATION, NAME, PROJECT, REPOSITORY, ROOT, SERVER_NAME, VERSION

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
SUMMARY = "Docker for AI assistants: every tool in a tier of safety, arguments judged, losses confirmed"
STDIO = {"command": "uvx", "args": [NAME]}
# what a person may want to set for a server of their own, in the order of a form
FORM = {
    "docker_base_url": "Address of the engine",
    "safety_allow_moderate_operations": "Allow changes",
    "safety_allow_destructive_operations": "Allow what loses something",
    "safety_confirmation": "Ask before something is lost",
    "safety_allowed_tools": "Only these tools",
    "safety_denied_tools": "Never these tools",
    "safety_volume_mount_allowlist": "Folders that containers may mount",
    "safety_allowed_build_roots": "Folders that images may be built from",
    "safety_allowed_registries": "Registries to pull from",
    "safety_allowed_push_registries": "Registries to push to",
    "safety_allow_privileged_containers": "Allow privileged containers",
    "safety_protected_labels": "Labels of what must stay as it is",
    "docker_timeout": "Seconds for one request to the engine",
    "security_audit_log_file": "File of the audit log",
    "mcp_log_level": "Level of the log",
}


def server_json(bundle: Path | None = None) -> dict[str, Any]:
    """What the MCP registry is told (server.json, revision 2025-12-11), with the bundle of a release if it is there."""
    packages: list[dict[str, Any]] = [
        {
            "registryType": "pypi",
            "identifier": NAME,
            "version": VERSION,
            "runtimeHint": "uvx",
            "transport": {"type": "stdio"},
            "environmentVariables": [_variable(name) for name in FORM],
        }
    ]
    if bundle is not None:
        packages.append(
            {
                "registryType": "mcpb",
                "identifier": f"{REPOSITORY}/releases/download/v{VERSION}/{bundle.name}",
                "fileSha256": hashlib.sha256(bundle.read_bytes()).hexdigest(),
                "transport": {"type": "stdio"},
            }
        )
    return {
        "$schema": SCHEMA,
        "name": SERVER_NAME,
        "title": NAME,
        "description": SUMMARY,
        "version": VERSION,
        "websiteUrl": DOCUMENTATION,
        "repository": {"url": REPOSITORY, "source": "github"},
        "packages": packages,
    }


def manifest() -> dict[str, Any]:
    """The manifest of the bundle for desktop clients (MCPB manifest, version 0.4: a server that uv runs)."""
    return {
        "manifest_version": "0.4",
        "name": NAME,
        "display_name": NAME,
        "version": VERSION,
        "description": PROJECT["description"],
        "long_description": (
            "Lists, inspects, logs and statistics of containers, images, networks and volumes; starting, building and "
            "pulling; and, where you switch it on, removing and pruning. What is not allowed is not shown to the "
            "assistant. You are asked before something is lost, secrets are hidden, and every call is recorded.\n\n"
            "It needs Docker Engine, Docker Desktop or Podman on this machine, or the address of one."
        ),
        "author": {"name": f"The {NAME} maintainers", "url": REPOSITORY},
        "repository": {"type": "git", "url": REPOSITORY},
        "homepage": DOCUMENTATION,
        "documentation": DOCUMENTATION,
        "support": PROJECT["urls"]["Issues"],
        "icon": "icon.png",
        "server": {
            "type": "uv",
            "entry_point": "src/main.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--quiet", "--no-dev", "--directory", "${__dirname}", "src/main.py"],
                "env": {name.upper(): f"${{user_config.{name}}}" for name in FORM},
            },
        },
        "tools": [
            {"name": name, "description": " ".join(tool.spec.description.split())} for name, tool in declared().items()
        ],
        "prompts_generated": True,
        "keywords": PROJECT["keywords"],
        "license": PROJECT["license"],
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": PROJECT["requires-python"]},
        },
        "user_config": {name: _option(name, title) for name, title in FORM.items()},
    }


def cursor_link() -> str:
    """Installs in Cursor: the entry of its mcp.json as base64."""
    config = base64.b64encode(json.dumps(STDIO, separators=(",", ":")).encode()).decode()
    return f"https://cursor.com/en/install-mcp?name=docker&config={quote(config, safe='')}"


def vscode_link() -> str:
    """Installs in VS Code: `vscode:mcp/install?…`, behind the redirect that pages like GitHub's need."""
    config = quote(json.dumps({"name": "docker", **STDIO}, separators=(",", ":")), safe="")
    return f"https://insiders.vscode.dev/redirect?url={quote(f'vscode:mcp/install?{config}', safe='')}"


def install_links() -> str:
    """The line of README.md, and the mark by which the registry knows that the package and the server are one."""
    return (
        f"[Add to Cursor]({cursor_link()}) · [Add to VS Code]({vscode_link()}) · "
        f"[Bundle for Claude Desktop]({REPOSITORY}/releases/latest) (`.mcpb`: open it, and fill in the form)\n"
        f"<!-- mcp-name: {SERVER_NAME} -->"
    )


def generated() -> dict[Path, str]:
    """The text that every file should have."""
    readme = ROOT / "README.md"
    filled, marks = re.subn(
        r"(?s)(<!-- install -->\n).*?(\n<!-- /install -->)",
        lambda match: match[1] + install_links() + match[2],
        readme.read_text(encoding="utf-8"),
    )
    if marks != 1:
        raise SystemExit("README.md needs one pair of <!-- install --> marks")
    return {
        ROOT / "server.json": _json(server_json()),
        ROOT / "mcpb/manifest.json": _json(manifest()),
        readme: filled,
    }


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(prog="python -m release.manifests", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="name stale files instead of writing them")
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="print the server.json to publish with this bundle")
    asked = parser.parse_args(arguments)
    if asked.bundle is not None:
        print(_json(server_json(asked.bundle)), end="")
        return 0
    stale = [
        path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if asked.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: scripts/gen", file=sys.stderr)
        return int(bool(stale))
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
    return 0


def _variable(name: str) -> dict[str, Any]:
    field = Settings.model_fields[name]
    kind, choices, secret = _kind(field)
    described = {"name": name.upper(), "description": _plain(field)}
    if kind != "string":
        described["format"] = kind
    if default := _default(field):
        described["default"] = default
    return described | ({"choices": choices} if choices else {}) | ({"isSecret": True} if secret else {})


def _option(name: str, title: str) -> dict[str, Any]:
    field = Settings.model_fields[name]
    kind, choices, secret = _kind(field)
    default = field.get_default(call_default_factory=True, validated_data={})
    option: dict[str, Any] = {
        "type": kind,
        "title": title,
        "description": _plain(field) + (f" ({', '.join(choices)})" if choices else ""),
        "required": False,
    }
    # without a default the host would hand on the placeholder itself; what is blank counts as unset
    option["default"] = default if kind in ("boolean", "number") else _default(field)
    if kind == "number":
        option |= {"min": 1, "max": 86_400}
    return option | ({"sensitive": True} if secret else {})


def _kind(field: FieldInfo) -> tuple[str, list[str], bool]:
    branches = [branch for branch in get_args(field.annotation) or [field.annotation] if branch is not type(None)]
    if get_origin(field.annotation) is Literal:
        return "string", list(get_args(field.annotation)), False
    kinds: dict[Any, str] = {bool: "boolean", int: "number", float: "number"}
    return kinds.get(branches[0], "string"), [], SecretStr in branches


def _plain(field: FieldInfo) -> str:
    return (field.description or "").replace("`", "").replace(" below, and", ", and")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value == ():
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
