"""Every seed of every fuzz target, inputs that once showed a fault among them, and what a target needs to be one."""

import importlib
import importlib.util
import re

import pytest

from tests.fuzz import harness
from tests.fuzz.replay import replay

each_target = pytest.mark.parametrize("name", harness.names())


@each_target
def test_no_seed_shows_a_fault(name: str) -> None:
    assert replay(name, harness.seeds(name)) >= 8


@each_target
def test_a_target_names_the_modules_that_it_exercises(name: str) -> None:
    modules = importlib.import_module(f"tests.fuzz.fuzz_{name}").MODULES
    assert modules
    assert all(module.startswith("mcp_docker.") and importlib.util.find_spec(module) for module in modules)


@each_target
def test_a_target_has_a_dictionary_that_libfuzzer_reads(name: str) -> None:
    words = (harness.FOLDER / "dictionaries" / f"{name}.dict").read_text(encoding="ascii").splitlines()
    assert len(words) >= 8
    assert [word for word in words if not re.fullmatch(r'"(?:[^"\\]|\\x[0-9a-f]{2})+"', word)] == []


def test_seeds_and_dictionaries_belong_to_a_target() -> None:
    assert sorted(path.name for path in (harness.FOLDER / "seeds").iterdir()) == harness.names()
    assert sorted(path.stem for path in (harness.FOLDER / "dictionaries").iterdir()) == harness.names()
    assert len(harness.names()) >= 12
