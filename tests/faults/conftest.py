"""The engine of DOCKER_HOST, and what calls work on there."""

import os
from collections.abc import Iterator

import pytest

from tests.faults.calls import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Things to work on, shared by the tests of a file."""
    world = World(os.environ["DOCKER_HOST"], tmp_path_factory.mktemp("world"))
    yield world
    world.close()
