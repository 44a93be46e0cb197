"""What tests of every level share."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from loguru import logger

from mcp_docker.caller import Caller
from mcp_docker.pipeline import Result

# how long examples take to be made says on a busy machine nothing of the test
BUSY = [HealthCheck.too_slow]
settings.register_profile("ci", max_examples=50, derandomize=True, deadline=None, suppress_health_check=BUSY)
settings.register_profile("nightly", max_examples=2_000, deadline=None, suppress_health_check=BUSY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting of the machine reaches a test, but the engine's address; no log of a test reaches the next."""
    for name in os.environ:
        if name.startswith(("SAFETY_", "SECURITY_", "MCP_")) and not name.startswith("MCP_DOCKER_TEST"):
            monkeypatch.delenv(name)
        if name.startswith("DOCKER_") and name != "DOCKER_HOST":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("SECURITY_AUDIT_LOG_FILE", str(tmp_path / "audit.jsonl"))
    yield
    logger.remove()


CALLER = Caller("tester", "test")
"""Who calls in tests."""


def code_of(result: Result) -> str:
    """The code of a refusal."""
    assert result.is_error, result.text
    assert result.text.startswith("REFUSED [")
    code = result.text[len("REFUSED [") :].partition("]")[0]
    assert result.meta == {"mcp-docker/code": code}
    return code


def data_of(result: Result) -> dict[str, Any]:
    """The data of a call that was done, which the text repeats unless it is a stranger's text."""
    assert result.data is not None, result.text
    if "untrusted" not in result.data or result.text.startswith("{"):
        assert json.loads(result.text) == result.data
    return result.data
