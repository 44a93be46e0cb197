"""The containers that the bench plays with. All carry one label, and all are gone when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import docker
from docker.errors import APIError

LABEL = "mcp-docker.bench"
CROWD = 100
SHORT_LOG = 200
LONG_LOG = 100_000
NEEDLE = "request 095"
"""Stands in a thousand lines of the long log, all among its last ten thousand."""


@dataclass(frozen=True)
class Stage:
    api: docker.APIClient
    image: str
    crowd: list[str]
    """Ids of containers that were created and never started."""
    quiet: str
    """A running container that prints nothing."""
    short_log: str
    long_log: str
    """Containers that have printed so many lines, and ended."""

    @contextmanager
    def stubborn(self) -> Iterator[str]:
        """A running container that ignores SIGTERM."""
        container = _start(self.api, self.image, "trap '' TERM; while :; do sleep 1; done")
        try:
            yield container
        finally:
            self.api.remove_container(container, force=True)


def name_of(number: int) -> str:
    """What a container of the crowd is called."""
    return f"mcp-docker-bench-{number:03}"


@contextmanager
def set_up(api: docker.APIClient, image: str) -> Iterator[Stage]:
    # A run that was killed could not clean up: the next one does.
    clear(api)
    try:
        yield Stage(
            api=api,
            image=image,
            crowd=[_create(api, image, "sleep 1", name_of(n)) for n in range(CROWD)],
            quiet=_start(api, image, "while :; do sleep 3600; done"),
            short_log=_talk(api, image, SHORT_LOG),
            long_log=_talk(api, image, LONG_LOG),
        )
    finally:
        clear(api)


def clear(api: docker.APIClient) -> None:
    for container in api.containers(all=True, filters={"label": f"{LABEL}=1"}):
        try:
            api.remove_container(container["Id"], v=True, force=True)
        except APIError as error:
            # 404 and 409: it is gone, or going.
            if error.response is None or error.response.status_code not in (404, 409):
                raise


def _create(api: docker.APIClient, image: str, script: str, name: str | None = None) -> str:
    made = api.create_container(image, ["sh", "-c", script], name=name, labels={LABEL: "1"})
    container: str = made["Id"]
    return container


def _start(api: docker.APIClient, image: str, script: str) -> str:
    container = _create(api, image, script)
    api.start(container)
    return container


def _talk(api: docker.APIClient, image: str, lines: int) -> str:
    line = r'"%s request %06d GET /orders/%d 200 in %d ms, 512 bytes to 10.0.0.%d\n"'
    values = f'i < {lines // 2} ? "INFO" : "WARN", i, i * 7, i % 90, i % 250'
    container = _start(api, image, f"awk 'BEGIN {{ for (i = 0; i < {lines}; i++) printf {line}, {values} }}'")
    ended = api.wait(container, timeout=120)
    if ended["StatusCode"] != 0:
        raise RuntimeError(f"the image {image} needs sh and awk")
    return container
