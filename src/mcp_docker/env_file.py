"""The file that --env-file names: whether all of it is read."""

import io
import re
from collections.abc import Collection
from pathlib import Path

from dotenv.parser import parse_stream

from mcp_docker.errors import SettingsError

_NAME = re.compile(r"\w[\w.-]*")


def check(file: Path, known: Collection[str]) -> None:
    """Refuse a file of which a part would be passed over: it may be what switches something off.

    Args:
        known: names that are nothing without a value, in lower case.

    Raises:
        SettingsError: it can't be read, or lines of it set nothing. What is in them is not shown.
    """
    problems = []
    for binding in parse_stream(io.StringIO(_text(file))):
        key, whole = binding.key, binding.original.string
        nameless = key is not None and not _NAME.fullmatch(key)
        unset = key is not None and key.lower() in known and binding.value is None
        if binding.error or nameless or unset:
            # it begins with the blank lines before it
            line = binding.original.line + whole[: len(whole) - len(whole.lstrip())].count("\n")
            problems.append(f"--env-file {file}: line {line} sets nothing; write NAME=value")
    if problems:
        raise SettingsError(problems)


def _text(file: Path) -> str:
    try:
        if file.is_file():
            return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError([f"--env-file {file}: it is not UTF-8; save it as UTF-8"]) from None
    except OSError as problem:
        raise SettingsError([f"--env-file {file}: it can't be read ({type(problem).__name__})"]) from None
    raise SettingsError([f"--env-file {file}: there is no such file"])
