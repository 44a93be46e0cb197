"""What the image is built from where neither a registry nor a package index can be reached: a base, and wheels.

The base is the interpreter that runs the tests, put where Python's own images have theirs, on the busybox of the test
image. Wheels are fetched beforehand, since engines of `scripts/engine` have no way out.
"""

import fcntl
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from pydantic_core import _pydantic_core

from tests.integration.conftest import IMAGE

ROOT = Path(__file__).parents[3]
LOCKS = [ROOT / "requirements" / f"{name}.txt" for name in ("run", "redis", "build")]
PIP = """\
pip==26.3 \\
    --hash=sha256:6c36ae7da8695be67e3cd9f7d87919667ced53f57ce2ede75d89b5912ed2bc4c \\
    --hash=sha256:f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13
"""

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PACKAGES = f"usr/local/lib/{_VERSION}/site-packages"
_LEFT_OUT = frozenset(
    "__pycache__ ensurepip idlelib lib2to3 site-packages dist-packages test tests tkinter turtledemo".split()
)
_NO_EXTENSION = re.compile(r"(_tkinter|_test|_ctypes_test|xx).*\.so")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def fetched() -> Path:
    """A folder with the wheels that the locks name in `wheels` and an unpacked pip in `pip`, which are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mcp-docker-image"
    cache.mkdir(parents=True, exist_ok=True)
    wanted = "".join([*(lock.read_text() for lock in LOCKS), PIP, sys.version])
    folder = cache / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as work:
                _fetch(Path(work)).rename(folder)
            for old in cache.iterdir():
                if old.is_dir() and old != folder:
                    shutil.rmtree(old)
    return folder


def _fetch(work: Path) -> Path:
    done = work / "done"
    (done / "wheels").mkdir(parents=True)
    (work / "pip.txt").write_text(PIP)
    uv: list[str | Path] = [ROOT / "scripts/uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    _run(*uv, "--python", sys.executable, "--target", done / "pip", "--requirement", work / "pip.txt")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    for lock in LOCKS:
        which: list[str | Path] = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", lock]
        _run(*pip, *which, "--dest", done / "wheels", PYTHONPATH=str(done / "pip"))
    return done


def base(pip: Path) -> bytes:
    """A build context, as a tar, whose Dockerfile adds Python and pip to the test image."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as context:
        _add(context, "Dockerfile", f"FROM {IMAGE}\nADD python.tar /\nENV PATH=/usr/local/bin:/bin\n".encode())
        _add(context, "python.tar", _python(pip))
    return out.getvalue()


def _python(pip: Path) -> bytes:
    interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(interpreter, f"usr/local/bin/{_VERSION}")
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"usr/local/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, _VERSION
            tar.addfile(link)
        for entry in sorted(library.iterdir()):
            if entry.name not in _LEFT_OUT:
                tar.add(entry, f"usr/local/lib/{_VERSION}/{entry.name}", filter=_kept)
        tar.add(pip, _PACKAGES, filter=_kept)
        # compiled wheels need libraries of the system too
        needing = [interpreter, Path(_pydantic_core.__file__), *library.glob("lib-dynload/*.so")]
        for file in _libraries(filter(_wanted, needing)):
            tar.add(file.resolve(), str(file).lstrip("/"))
    return out.getvalue()


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = PurePath(entry.name).name
    if name in _LEFT_OUT and entry.name != _PACKAGES:
        return None
    if not _wanted(PurePath(name)) or name.endswith(".a"):
        return None
    entry.uid = entry.gid = 0
    entry.mode |= 0o444
    return entry


def _wanted(file: PurePath) -> bool:
    return not _NO_EXTENSION.fullmatch(file.name)


def _libraries(files: Iterable[Path]) -> Iterator[Path]:
    """The shared libraries that these need, under the names by which they are looked for."""
    said = subprocess.run(["ldd", *files], check=True, capture_output=True, text=True).stdout
    for found in dict.fromkeys(_LIBRARY.findall(said)):
        yield Path(found)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _run(*words: str | Path, **env: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr
