"""What `uv build` made, looked at and tried out: `python -m release.artifacts FOLDER`.

The wheel carries all that runs and nothing else. Installed into an empty environment of each supported Python that this
machine has, with the versions that requirements/run.txt locks, it answers a client.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.parser import Parser
from pathlib import Path

from release.bundle import pins
from release.project import NAME, PROJECT, PYTHONS, ROOT, SERVER_NAME, VERSION

STEM = f"{NAME.replace('-', '_')}-{VERSION}"
SECONDS = 180


def wheel_problems(wheel: Path) -> list[str]:
    """Files that are missing or too many, and facts of the metadata that are wrong."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if not name.startswith(f"{STEM}.dist-info/")}
        metadata = Parser().parsestr(archive.read(f"{STEM}.dist-info/METADATA").decode())
    there = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/mcp_docker").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    problems = [f"{wheel.name} lacks {name}" for name in sorted(there - found)]
    problems += [f"{wheel.name} holds {name}" for name in sorted(found - there)]
    for needed in ("schemas.json", "py.typed", "server/icon.svg", "pages/containers.html", "pages/app.js"):
        if f"mcp_docker/{needed}" not in found:
            problems.append(f"{wheel.name} lacks mcp_docker/{needed}, without which it doesn't work")
    expected = {"Name": NAME, "Version": VERSION, "Requires-Python": PROJECT["requires-python"]}
    problems += [
        f"{wheel.name}: {name} is {metadata[name]}, not {value}"
        for name, value in expected.items()
        if metadata[name] != value
    ]
    return problems + page_problems(str(metadata.get_payload()))


def page_problems(page: str) -> list[str]:
    """Links that lead nowhere on the package's page, and the mark that the MCP registry looks for there."""
    problems = [
        f"on the package's page, {target} leads nowhere"
        for target in re.findall(r"""(?:\]\(|\s(?:href|src|srcset)=")([^)"\s]+)""", page)
        if not target.startswith(("https://", "#"))
    ]
    if f"<!-- mcp-name: {SERVER_NAME} -->" not in page:
        problems.append(f"the package's page does not say that the server is {SERVER_NAME}")
    return problems


def sdist_problems(sdist: Path) -> list[str]:
    """Folders that do not belong into the source archive, and files that it must have."""
    with tarfile.open(sdist) as archive:
        names = {member.name.removeprefix(f"{STEM}/") for member in archive.getmembers()}
    allowed = {"src", "tests", ".gitignore", "PKG-INFO", "pyproject.toml"}
    allowed |= {"README.md", "CHANGELOG.md", "CONFIGURATION.md", "SECURITY.md", "LICENSE"}
    problems = [f"{sdist.name} holds {top}" for top in sorted({name.split("/")[0] for name in names} - allowed)]
    problems += [f"{sdist.name} holds {name}" for name in sorted(names) if "__pycache__" in name or "/.env" in name]
    return problems + [f"{sdist.name} lacks {name}" for name in ("LICENSE", "README.md") if name not in names]


def try_out(wheel: Path, python: str) -> str:
    """Install the wheel for one Python and ask it as a client does. Returns what was measured.

    Raises:
        subprocess.CalledProcessError: a step failed; its output says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"VIRTUAL_ENV": folder, "HOME": folder, "UV_CACHE_DIR": _uv_cache()}
        programs = Path(folder) / "bin"

        def run(*command: str | Path) -> str:
            return subprocess.run(
                command, env=environment, cwd=folder, text=True, capture_output=True, check=True, timeout=SECONDS
            ).stdout.strip()

        run(ROOT / "scripts/uv", "venv", "--quiet", "--no-project", "--clear", "--python", python, folder)
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(pins()), encoding="utf-8")
        run(ROOT / "scripts/uv", "pip", "install", "--quiet", wheel, "--constraint", constraints)
        command = programs / "mcp-docker"
        began = time.perf_counter()
        said = run(command, "--version")
        started = time.perf_counter() - began
        if said != f"{NAME} {VERSION}":
            raise SystemExit(f"Python {python}: it says {said!r}")
        run(command, "tools")
        listed = run(
            sys.executable, ROOT / "release/handshake.py", VERSION, ROOT / "src/mcp_docker/schemas.json", command
        )
        exact = run(programs / "python", "-c", "import platform; print(platform.python_version())")
        return f"Python {exact}: --version in {started:.2f} s; {listed}"


def main(arguments: list[str]) -> int:
    """Look at everything, and try the wheel on every Python at hand."""
    folder = Path(arguments[0])
    wheel, sdist = folder / f"{STEM}-py3-none-any.whl", folder / f"{STEM}.tar.gz"
    problems = wheel_problems(wheel) + sdist_problems(sdist)
    print(f"{wheel.name} {wheel.stat().st_size:,} bytes, {sdist.name} {sdist.stat().st_size:,} bytes")
    here = [python for python in PYTHONS if _has(python)]
    with ThreadPoolExecutor(2) as pool:
        tried = {python: pool.submit(try_out, wheel.resolve(), python) for python in here}
    for python, outcome in tried.items():
        try:
            print(outcome.result())
        except subprocess.CalledProcessError as error:
            problems.append(f"Python {python}: {error.cmd[0]} failed:\n{error.stdout}{error.stderr}")
    for python in sorted(set(PYTHONS) - set(here)):
        print(f"Python {python}: not on this machine, so not tried")
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def _has(python: str) -> bool:
    command: list[str | Path] = [ROOT / "scripts/uv", "python", "find", "--no-project", "--no-python-downloads", python]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _uv_cache() -> str:
    found = subprocess.run([ROOT / "scripts/uv", "cache", "dir"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
