"""Whatever the policy lets through, the engine shows no path of the host outside the allowed roots."""

import os
from pathlib import Path
from typing import Any

import docker
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import data_of
from tests.integration.conftest import IMAGE, Run

PARTS = ["site", "page", "..", ".", "", "out", "in", "root", "root-evil", "etc", "proc/self/root", "engine.sock"]
MODES = ["", ":ro", ":rw", ":nocopy"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed root with a way in and a way out."""
    root = tmp_path / "root"
    (root / "site").mkdir(parents=True)
    (tmp_path / "root-evil").mkdir()
    (root / "page").touch()
    (root / "in").symlink_to(root / "site")
    (root / "out").symlink_to(tmp_path / "root-evil")
    monkeypatch.setenv("SAFETY_VOLUME_MOUNT_ALLOWLIST", str(root))
    return root


@given(
    start=st.sampled_from(["", "/", "//", "/proc/self/root"]),
    parts=st.lists(st.sampled_from(PARTS), max_size=4),
    mode=st.sampled_from(MODES),
    below=st.booleans(),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_container_shows_a_path_outside_the_roots(
    raw: docker.APIClient, run: Run, root: Path, label: str, start: str, parts: list[str], mode: str, below: bool
) -> None:
    source = f"{start}{root if below else ''}/{'/'.join(parts)}"
    key, _, value = label.partition("=")
    result = run("docker_create_container", image=IMAGE, volumes=f"{source}:/x{mode}", labels={key: value})
    made = raw.containers(all=True, filters={"label": label})
    if result.is_error:
        assert made == []
        return
    (container,) = made
    found: dict[str, Any] = raw.inspect_container(container["Id"])
    for mount in found["Mounts"]:
        assert mount["Type"] == "bind"
        assert os.path.realpath(mount["Source"]) == mount["Source"]
        assert Path(mount["Source"]).is_relative_to(root)
        assert mount["RW"] is (mode == ":rw")
    raw.remove_container(container["Id"], v=True)
    data_of(result)
