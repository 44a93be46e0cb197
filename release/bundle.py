"""The folder that becomes the bundle for desktop clients (.mcpb): `python -m release.bundle FOLDER`.

The client's own uv makes the environment at the first start, with the very versions that requirements/run.txt locks.
"""

import json
import shutil
import sys
from pathlib import Path

from release.project import NAME, PROJECT, PYTHONS, ROOT, VERSION

# beside the package and not in it: the folder of the script that is run goes before the standard library
MAIN = """\
from mcp_docker.cli import main

main()
"""


def pins() -> list[str]:
    """What requirements/run.txt locks, without the hashes."""
    lines = (ROOT / "requirements/run.txt").read_text(encoding="utf-8").splitlines()
    return [line.removesuffix("\\").strip() for line in lines if line and line[0].isalnum()]


def project_file() -> str:
    """The bundle's pyproject.toml: run where it lies, nothing is built."""
    return "\n".join(
        [
            "[project]",
            f"name = {json.dumps(NAME)}",
            f"version = {json.dumps(VERSION)}",
            f"description = {json.dumps(PROJECT['description'])}",
            f"license = {json.dumps(PROJECT['license'])}",
            f"requires-python = {json.dumps(_pythons())}",
            f"dependencies = {json.dumps(PROJECT['dependencies'], indent=4)}",
            "",
            "[project.urls]",
            *(f"{name} = {json.dumps(address)}" for name, address in PROJECT["urls"].items()),
            "",
            "[tool.uv]",
            "package = false",
            f"constraint-dependencies = {json.dumps(pins(), indent=4)}",
            "",
        ]
    )


def _pythons() -> str:
    """No newer Python than was tried: where none is installed, the client's uv would fetch the newest that there is."""
    return f"{PROJECT['requires-python']},<3.{int(PYTHONS[-1].removeprefix('3.')) + 1}"


def assemble(folder: Path) -> None:
    """Fill an empty or missing folder."""
    (folder / "src").mkdir(parents=True)
    for name in ("mcpb/manifest.json", "mcpb/icon.png", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, folder)
    (folder / "pyproject.toml").write_text(project_file(), encoding="utf-8")
    (folder / "src/main.py").write_text(MAIN, encoding="utf-8")
    shutil.copytree(
        ROOT / "src/mcp_docker", folder / "src/mcp_docker", ignore=shutil.ignore_patterns("__pycache__", ".*")
    )


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
