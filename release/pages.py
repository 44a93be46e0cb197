"""The pages of the documentation: `python -m release.pages FOLDER` gathers them, `--check SITE` looks at the result.

Everything is written once: pages that people also read in the repository are taken from there, tables and the reference
of tools come from the declarations, and links between files become links between pages.
"""

import html
import json
import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mcp_docker import docs, schema
from mcp_docker.registry import declared
from mcp_docker.tool import Tier
from release.manifests import install_links
from release.project import DOCUMENTATION, MAIN_FILES, REPOSITORY, ROOT

# the page that a file of the repository, or a section of one, has become
PAGES = {
    "docs/index.md": "index.md",
    "docs/install.md": "install.md",
    "docs/resources.md": "resources.md",
    "docs/troubleshooting.md": "troubleshooting.md",
    "CONFIGURATION.md": "configuration.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "deployment.md",
    "README.md#tools": "tools.md",
    "README.md#prompts": "prompts.md",
    "README.md#resources": "resources.md",
    "README.md": "index.md",
}
TIERS = {
    Tier.SAFE: "SAFE: only reads",
    Tier.MODERATE: "MODERATE: changes what can be changed back",
    Tier.DESTRUCTIVE: "DESTRUCTIVE: loses something; off unless switched on",
}
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
# what a browser fetches on its own, as opposed to what a reader may follow
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\s(?:src|srcset|data)="([^"]+)"""
    r"""|<link\b(?=[^>]*\brel="?(?:stylesheet|icon|preload|preconnect|dns-prefetch|modulepreload|manifest)\b)"""
    r"""[^>]*?\shref="([^"]+)"|url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)"""
)


def tools_page() -> str:
    """Every tool with its arguments, by toolset."""
    parts = [
        "# Tools",
        "",
        "What is not allowed is not listed by the server; `mcp-docker tools` says what is, and why not.",
    ]
    toolset = ""
    for name, tool in declared().items():
        if tool.spec.toolset != toolset:
            toolset = tool.spec.toolset
            parts += ["", f"## {toolset.capitalize()}"]
        parts += ["", f"### {name}", "", f"*{TIERS[tool.spec.tier]}*", "", " ".join(tool.spec.description.split()), ""]
        parts += _arguments(schema.listing(tool)["inputSchema"])
    return "\n".join(parts) + "\n"


def prompts_page() -> str:
    """The prompts, with what README.md says of them."""
    return "# Prompts\n" + _section("README.md", "Prompts") + "\n"


def assemble(folder: Path) -> None:
    """Write the site's configuration and its pages into an empty or missing folder."""
    pages = folder / "pages"
    pages.mkdir(parents=True)
    config = (ROOT / "docs/zensical.toml").read_text(encoding="utf-8")
    filled = config.replace("{documentation}", DOCUMENTATION).replace("{repository}", REPOSITORY)
    (folder / "zensical.toml").write_text(filled, encoding="utf-8")
    for source, page in PAGES.items():
        if "#" not in source and source != "README.md":
            text = _copied(_included((ROOT / source).read_text(encoding="utf-8")))
            (pages / page).write_text(_linked(text, PurePosixPath(source).parent), encoding="utf-8")
    (pages / "tools.md").write_text(tools_page(), encoding="utf-8")
    (pages / "prompts.md").write_text(_linked(_copied(prompts_page()), PurePosixPath()), encoding="utf-8")
    shutil.copytree(ROOT / "docs/screenshots", pages / "screenshots")
    shutil.copytree(ROOT / "docs/assets", pages / "assets")
    shutil.copy(ROOT / "src/mcp_docker/server/icon.svg", pages / "assets/icon.svg")


def site_problems(site: Path) -> list[str]:
    """What the built pages would fetch from elsewhere, or that is not there."""
    problems = []
    for file in sorted(site.rglob("*")):
        if file.suffix not in (".html", ".css"):
            continue
        for match in FETCHED.finditer(file.read_text(encoding="utf-8")):
            address = html.unescape(next(group for group in match.groups() if group))
            if address.startswith(("data:", "#")):
                continue
            if re.match(r"(?:[a-z]+:)?//", address):
                problems.append(f"{file.relative_to(site)} fetches {address}")
            elif not _target(site, file, address).exists():
                problems.append(f"{file.relative_to(site)}: there is no {address}")
    return problems if any(site.glob("index.html")) else [*problems, f"{site} has no index.html"]


def main(arguments: list[str]) -> int:
    """Gather the pages, or look at the site."""
    if arguments[0] != "--check":
        assemble(Path(arguments[0]))
        return 0
    problems = site_problems(Path(arguments[1]))
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def _arguments(form: dict[str, Any]) -> list[str]:
    if not form.get("properties"):
        return ["No arguments."]
    rows = ["| argument | type | default | meaning |", "|---|---|---|---|"]
    for name, described in form["properties"].items():
        default = "*required*" if name in form.get("required", ()) else ""
        if "default" in described:
            default = f"`{json.dumps(described['default'])}`"
        meaning = str(described.get("description", "")).replace("|", "\\|").replace("<", "&lt;")
        rows.append(f"| `{name}` | {_type(described)} | {default} | {meaning} |")
    return rows


def _type(described: dict[str, Any]) -> str:
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    kind = str(described.get("type", "any"))
    if kind == "array":
        kind = f"list of {described['items'].get('type', 'any')}"
    limits = [str(described[key]) for key in ("minimum", "maximum") if key in described]
    return f"{kind}, {' to '.join(limits)}" if len(limits) == 2 else kind


def _section(file: str, title: str) -> str:
    text = (ROOT / file).read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text)
    if found is None:
        raise SystemExit(f"{file} has no section {title!r}")
    return found[1].rstrip()


def _tier_table() -> str:
    found = re.search(r"(?m)^\| tier \|.*(?:\n\|.*)+", (ROOT / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("README.md has no table of tiers")
    return found[0]


def _copied(text: str) -> str:
    """Commands without their prompts, so that what is copied can be run; no button to copy what also has output."""

    def block(match: re.Match[str]) -> str:
        lines = match[1].splitlines()
        commands = [
            line.startswith("$ ") or (number > 0 and lines[number - 1].endswith("\\"))
            for number, line in enumerate(lines)
        ]
        if not all(commands):
            return f"```{{ .console .no-copy }}\n{match[1]}```"
        return "```sh\n" + "".join(f"{line.removeprefix('$ ')}\n" for line in lines) + "```"

    return re.sub(r"(?ms)^```console\n(.*?)^```", block, text)


def _included(text: str) -> str:
    """The text with what is generated between its marks, as docs.py and manifests.py fill them in README.md."""
    texts = {"install": install_links(), "resources": docs.resource_table(), "tiers": _tier_table()}
    return re.sub(rf"(?s)<!-- ({'|'.join(texts)}) -->\n.*?<!-- /\1 -->", lambda match: texts[match[1]] + "\n", text)


def _linked(text: str, where: PurePosixPath) -> str:
    """Links to files become links to their pages, or to the repository if they have none."""

    def link(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        file = os.path.normpath(where / path).replace(os.sep, "/")
        if file.startswith("docs/screenshots/"):
            return f"{match[1]}{file.removeprefix('docs/')}#{anchor}{match[3]}"
        if f"{file}#{anchor}" in PAGES:
            return f"{match[1]}{PAGES[f'{file}#{anchor}']}{match[3]}"
        if file in PAGES:
            return f"{match[1]}{PAGES[file]}{f'#{anchor}' if anchor else ''}{match[3]}"
        if not (ROOT / file).exists():
            raise SystemExit(f"{where}: there is no {target}")
        return f"{match[1]}{MAIN_FILES}/{file}{match[3]}"

    return LINK.sub(link, text)


def _target(site: Path, file: Path, address: str) -> Path:
    path = re.split(r"[?#]", address)[0]
    # only the page for missing ones writes from the root on, which is a folder of the host where it is published
    if path.startswith("/"):
        return site / path.removeprefix("/" + DOCUMENTATION.split("/", 3)[3]).lstrip("/")
    return file.parent / path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
