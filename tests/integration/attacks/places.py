"""The folders that cases name: allowed ones, what lies beside them, and ways that lead out of them."""

import os
import socket
import stat
from pathlib import Path

FROM = "FROM mcp-docker-test:latest\n"
SECRET = "PLANTED-IN-A-FILE"

DOCKERFILES = {
    "app": f"{FROM}COPY . /app\n",
    "arg": "ARG BASE=evil.example/base\nFROM $BASE\n",
    "arg-pieces": "ARG HOST=evil\nARG BASE=${HOST}.example/base:1\nFROM ${BASE}\n",
    "arg-given": "ARG BASE=mcp-docker-test:latest\nFROM ${BASE}\nRUN true\n",
    "big": f"{FROM}COPY . /app\n",
    "copy-from": f"{FROM}COPY --from=evil.example/tools /bin/x /x\n",
    # the label is for the first stage's image, which has no name
    "copy-stage": f"{FROM.strip()} AS first\nARG TOKEN\nLABEL of=$TOKEN\nRUN true\n{FROM}COPY --from=first /etc /out\n",
    "device": f"{FROM}COPY . /app\n",
    "from": "FROM evil.example/base\n",
    "from-localhost": "FROM localhost:5999/base\n",
    "from-private": "FROM 10.0.0.5:5000/base\n",
    "from-second": f"{FROM}FROM evil.example/base AS second\n",
    "from-split": "FROM \\\n  evil.example/base\n",
    "env": f"{FROM}COPY .env /app/.env\n",
    "escape-context": f"{FROM}COPY ../../outside/secret.txt /x\n",
    "heredoc": f"{FROM}RUN <<END\necho one\nEND\n",
    "ignores-elsewhere": f"{FROM}COPY . /app\n",
    "ignoring": f"{FROM}COPY . /app\nRUN test -f /app/sent && test ! -e /app/ignored && test ! -e /app/.npmrc\n",
    "mount": f"{FROM}RUN --mount=type=bind,source=/,target=/x ls /x\n",
    "nested/.aws/app": FROM,
    ".ssh": FROM,
}


def lay_out(folder: Path, engine_socket: str) -> dict[str, str]:
    """Make the tree; the names that cases call its places by."""
    root, outside, build, home = (folder / name for name in ("root", "outside", "build", "home"))
    _files(
        {
            root / "data/hello.txt": "hello",
            root / "file.txt": "plain",
            root / ".ssh/id_ed25519": SECRET,
            root / "project/.aws/credentials": SECRET,
            root / "project/.Docker/config.json": "{}",
            root / "home/.kube/config": SECRET,
            root / "blocked/inner/x": "x",
            root / "a folder/x": "x",
            outside / "secret.txt": SECRET,
            outside / "Dockerfile": FROM,
            outside / "ignores": "x",
            folder / "root-evil/secret.txt": SECRET,
            folder / "Root/secret.txt": SECRET,
            home / ".ssh/id_rsa": SECRET,
            home / "work/x": "x",
        }
    )
    _links(
        {
            root / "to-etc": "/etc",
            root / "to-to-etc": root / "to-etc",
            root / "to-root": "/",
            root / "to-outside": outside,
            root / "to-data": root / "data",
            root / "to-socket": engine_socket,
            root / "to-proc": "/proc/self/root/etc",
            root / "loop": root / "loop",
            root / "data/up": root / "../outside",
            root / "to-null": "/dev/null",
            folder / "root-link": root,
        }
    )
    _special(root)
    _contexts(build, outside)
    places = {"root": root, "outside": outside, "build": build, "home": home, "tmp": folder}
    return {name: str(place) for name, place in places.items()}


def _contexts(build: Path, outside: Path) -> None:
    _files({build / name / "Dockerfile": text for name, text in DOCKERFILES.items()})
    _files(
        {
            build / "app/index.txt": "index",
            build / "app/ignored.txt": "ignored",
            build / "app/.dockerignore": "ignored.txt\n",
            build / "app/.env": f"PASSWORD={SECRET}",
            build / "app/config/id_rsa": SECRET,
            build / "app/other/Dockerfile": f"{FROM}LABEL from=other\n",
            build / "env/.env": "GREETING=hello",
            build / "ignoring/sent": "",
            build / "ignoring/ignored": "",
            build / "ignoring/.npmrc": SECRET,
            build / "ignoring/.dockerignore": "ignored\n",
            build / "big/big.bin": "x" * 65_536,
            build / "escape/x": "x",
            build / "ignores-elsewhere/x": "x",
        }
    )
    _links(
        {
            build / "to-outside": outside,
            build / "to-etc": "/etc",
            build / "escape/Dockerfile": outside / "Dockerfile",
            build / "escape/linked": build / "escape/linked",
            build / "ignores-elsewhere/.dockerignore": outside / "ignores",
            build / "to-app": build / "app",
        }
    )
    _device(build / "device/null")


def _files(contents: dict[Path, str]) -> None:
    for file, text in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _links(targets: dict[Path, Path | str]) -> None:
    for link, target in targets.items():
        link.symlink_to(target)


def _special(root: Path) -> None:
    os.mkfifo(root / "pipe")
    _device(root / "device")
    # an address of a socket may have 107 bytes only
    here = Path.cwd()
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("some.sock")
    finally:
        os.chdir(here)


def _device(path: Path) -> None:
    """/dev/null by another name; a pipe where that is not allowed, which is as little of a plain file."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        os.mkfifo(path)
