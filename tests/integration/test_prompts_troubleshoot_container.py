"""troubleshoot_container names the true cause of every container of broken/broken.toml.

A case:
    name        a sentence.
    cause       the cause that comes first, by its name in the table of causes.
    also        causes that are named, too.
    says        a part of what is shown.
    create      the container, as the Engine API takes it; without a command it sleeps. {name}, {peer}, {network},
                {volume}, {folder} and {port} stand for what is made for the case.
    image       "own": an image of its own; "foreign": one for another architecture.
    files       what is put into it: path, and text or the head of an executable for a machine (elf), and mode.
    network     a network is made. folder: a folder of the host is.
    peer        another container, which is started first.
    before      what happens before it is started, then: afterwards.
    start       false: it is not started.
    until       how it has to be before it is judged.
"""

import re
from collections.abc import Iterator
from typing import Any

import anyio
import docker
import pytest

from mcp_docker.caller import Caller
from mcp_docker.engine import Engine, own
from mcp_docker.pipeline import Call, Pipeline, Result
from mcp_docker.prompts.diagnosis import Cause
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from mcp_docker.tool import Kind
from tests.conftest import code_of
from tests.integration.broken.world import AT_ONCE, World, cases, filled
from tests.integration.conftest import Run

AT_HAND = Caller("tester", "cli")
CASES = cases()


@pytest.fixture(scope="module")
def world(raw: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All broken containers."""
    made = World(raw, tmp_path_factory.mktemp("broken"))
    try:
        made.make(CASES)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def plans(world: World) -> dict[str, Result]:
    """What the prompt gives for each of them, by the cases' names."""
    found: dict[str, Result] = {}
    engine = Engine(load())
    pipeline = Pipeline(engine.settings, Registry(engine.settings), engine, None)
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def ask(name: str) -> None:
        arguments = {"container_id": world.words[name]["name"]}
        async with limiter:
            found[name] = await pipeline.call(Call("troubleshoot_container", arguments, AT_HAND, kind=Kind.PROMPT))

    async def ask_all() -> None:
        async with anyio.create_task_group() as tasks:
            for case in CASES:
                tasks.start_soon(ask, case["name"])

    with pytest.MonkeyPatch.context() as patch:
        # where tests run in a container, the engine does too, in the same one
        patch.setattr(own, "is_here", lambda _: True)
        anyio.run(ask_all)
    engine.forget()
    return found


def causes(shown: list[str]) -> list[str]:
    """The names of the causes that a plan tells of, in its order."""
    by_length = sorted(Cause, key=lambda cause: len(cause.value), reverse=True)
    bare = [re.sub("^(Likely|Possibly): ", "", line).lower() for line in shown]
    return [next(cause.name for cause in by_length if line.startswith(cause.value.lower())) for line in bare]


@pytest.mark.parametrize("case", CASES, ids=lambda case: re.sub("[^a-zA-Z0-9.]+", "-", case["name"]))
def test_the_true_cause_comes_first(world: World, plans: dict[str, Result], case: dict[str, Any]) -> None:
    words, result = world.words[case["name"]], plans[case["name"]]
    assert result.data is not None, result.text
    shown = result.data["shown"]
    found = causes(shown)
    assert found[0] == case["cause"], result.text
    assert set(case.get("also", [])) <= set(found), result.text
    assert filled(case.get("says", ""), words) in "\n".join(shown), result.text
    assert 1 <= len(result.data["steps"]) <= 5


def test_a_container_that_is_not_there_is_the_ordinary_error(run: Run) -> None:
    assert code_of(run("troubleshoot_container", kind=Kind.PROMPT, container_id="no-such-container")) == "NOT_FOUND"
