"""How a target runs: under atheris when it is the program, and as an ordinary module for everything else.

A target is a module `fuzz_NAME.py` with `MODULES`, the modules of ours that it exercises, and `one(data)`, which raises
if one input shows a fault. Its seeds are in `seeds/NAME/`, its words in `dictionaries/NAME.dict`.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

FOLDER = Path(__file__).parent
FUZZING = Path(sys.argv[0]).name.startswith("fuzz_")


def instrumented() -> contextlib.AbstractContextManager[Any]:
    """What is imported inside of this tells the fuzzer where it has been."""
    if not FUZZING:
        return contextlib.nullcontext()
    import atheris

    hooked: contextlib.AbstractContextManager[Any] = atheris.instrument_imports(include=["mcp_docker"])
    return hooked


def fuzz(one: Callable[[bytes], None]) -> None:
    """Give it inputs until the limits of libFuzzer's command line are reached."""
    import atheris
    from loguru import logger

    logger.remove()
    # the second implementation's branches are as good a guide as the first one's
    for each in vars(sys.modules["__main__"]).values():
        if isinstance(each, FunctionType) and each.__module__ == "__main__":
            atheris.instrument_func(each)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


def text_in(data: bytes) -> str:
    """An input as text. A lone surrogate is one that JSON can bring, so it stays."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def seeds(name: str) -> list[Path]:
    """The seeds of the target with this name."""
    return sorted(path for path in (FOLDER / "seeds" / name).iterdir() if path.is_file())


def names() -> list[str]:
    """Every target."""
    return sorted(path.stem.removeprefix("fuzz_") for path in FOLDER.glob("fuzz_*.py"))
