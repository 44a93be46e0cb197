"""The watch on a real engine: how soon it tells, and what it costs."""

import os
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
import docker
import pytest

from mcp_docker.engine import Engine
from mcp_docker.settings import load
from mcp_docker.watch import Watch
from tests.e2e.proxy import EngineProxy

Make = Callable[..., str]

SOON = 1.5
PATIENCE = 5.0
"""Where the machine is busy with something else, and what others do on the engine is told of as well."""
PRINTER = "trap 'exit 0' TERM; while true; do sleep 0.5; date; done"
SILENT = [
    "sh",
    "-c",
    "trap 'exit 0' TERM; while ! test -e /tmp/say; do sleep 0.05; done; date; sleep 300 & wait",
]
ASKED = ["sh", "-c", "trap 'exit 0' TERM; while sleep 0.05; do if test -e /tmp/say; then rm /tmp/say; date; fi; done"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineProxy]:
    """The engine, but it counts its connections and can go away."""
    made = EngineProxy(tmp_path / "engine.sock", os.environ["DOCKER_HOST"])
    made.start()
    monkeypatch.setenv("DOCKER_HOST", made.address)
    yield made
    made.stop()


@pytest.fixture
async def watch(proxy: EngineProxy) -> AsyncIterator[Watch]:  # noqa: ARG001 - the engine it is to find
    engine = Engine(load())
    watch = Watch(engine)
    yield watch
    await watch.aclose()
    await until(lambda: not threads())
    engine.forget()


class Heard:
    """What a listener was told, and when."""

    def __init__(self) -> None:
        self.what: list[str | None] = []
        self.when: list[float] = []

    def __call__(self, uri: str | None) -> None:
        self.what.append(uri)
        self.when.append(time.time())

    async def silence(self) -> None:
        """Wait until nothing is told any more, and forget what was."""
        began = time.time()
        await until(lambda: time.time() - max([began, *self.when]) > 1.5 * SOON)
        self.what.clear()
        self.when.clear()


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("watch-"))


async def until(holds: Callable[[], object], seconds: float = 20) -> None:
    with anyio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await anyio.sleep(0.01)


async def within(raw: docker.APIClient, container_id: str, command: str) -> None:
    """Run a command in a container, without keeping the loop waiting."""

    def run() -> None:
        raw.exec_start(raw.exec_create(container_id, ["sh", "-c", command])["Id"])

    await anyio.to_thread.run_sync(run)


@pytest.mark.smoke
async def test_a_line_reaches_its_listener_soon(
    raw: docker.APIClient, container: Make, watch: Watch, proxy: EngineProxy
) -> None:
    made = container(ASKED)
    heard = Heard()
    watch.listen(heard).follow("logs", made, "logs")
    await until(lambda: proxy.saw("/logs"))
    await anyio.sleep(0.5)
    assert not heard.what
    took: list[float] = []
    # a machine that is busy with something else may be late now and then
    while len(took) < 3 and min(took, default=SOON) >= SOON:
        before = len(heard.what)
        await within(raw, made, "touch /tmp/say")
        await until(lambda before=before: len(heard.what) > before)  # type: ignore[misc]
        printed = raw.logs(made, timestamps=True, tail=1).decode().split()[0]
        took.append(heard.when[before] - datetime.fromisoformat(printed).timestamp())
    assert min(took) < SOON
    assert proxy.saw("GET /v1.[0-9]+/events")


async def test_50_subscriptions_cost_one_stream_and_a_follower_for_each_container(
    container: Make, watch: Watch, proxy: EngineProxy
) -> None:
    made = [container(["sh", "-c", PRINTER]) for _ in range(5)]
    heard = [Heard() for _ in range(50)]
    listeners = [watch.listen(each, lists=True) for each in heard]
    for number, listener in enumerate(listeners):
        listener.follow(f"logs/{number}", made[number % 5], "logs")
    await until(lambda: all(len(set(each.what) - {None}) == 1 for each in heard))
    assert watch.followed == 5
    assert threads() == ["watch-events"] + ["watch-logs"] * 5
    assert proxy.connections == 6
    for number, each in enumerate(heard):
        assert set(each.what) - {None} == {f"logs/{number}"}
    for listener in listeners:
        listener.close()
    await until(lambda: not threads())
    await until(lambda: not proxy.connections)


@pytest.mark.smoke
async def test_containers_that_come_and_go_are_told_of(raw: docker.APIClient, container: Make, watch: Watch) -> None:
    heard = Heard()
    watch.listen(heard, lists=True)
    await until(watch._up)
    made = await anyio.to_thread.run_sync(container)
    await until(lambda: heard.what, PATIENCE)
    # others' containers are told of as well, so that only the least number is known
    for change in (lambda: raw.rename(made, f"test-{uuid.uuid4().hex}"), lambda: raw.kill(made)):
        before = len(heard.what)
        await anyio.to_thread.run_sync(change)
        await until(lambda before=before: len(heard.what) > before, PATIENCE)  # type: ignore[misc]
    assert set(heard.what) == {None}


async def test_a_restarted_container_is_followed_on_and_a_removed_one_told_of_once(
    raw: docker.APIClient, container: Make, watch: Watch, proxy: EngineProxy
) -> None:
    made = container(["sh", "-c", "date; sleep 300"])
    heard = Heard()
    listener = watch.listen(heard)
    listener.follow("logs", made, "logs")
    await until(lambda: proxy.saw("/logs") and raw.logs(made))
    await heard.silence()
    await anyio.to_thread.run_sync(lambda: raw.restart(made, timeout=0))
    await until(lambda: heard.what)
    await heard.silence()
    await anyio.to_thread.run_sync(lambda: raw.remove_container(made, force=True))
    await until(lambda: heard.what)
    await anyio.sleep(SOON)
    assert heard.what == ["logs"]
    assert watch.followed == 0
    listener.follow("logs", made, "logs")
    await until(lambda: len(heard.what) == 2)
    assert watch.followed == 0


async def test_stats_are_told_of_while_they_change(raw: docker.APIClient, container: Make, watch: Watch) -> None:
    made = container(["sh", "-c", "trap 'exit 0' TERM; while true; do i=1; done"])
    heard = Heard()
    watch.listen(heard).follow("stats", made, "stats")
    await until(lambda: len(heard.what) > 1)
    # the moment of the first is taken a little late where the machine is busy
    assert heard.when[-1] - heard.when[0] > 0.8 * (len(heard.when) - 1)
    await anyio.to_thread.run_sync(lambda: raw.kill(made))
    await until(lambda: threads() == ["watch-events"])
    # that it ended is told of, too
    await heard.silence()
    await anyio.to_thread.run_sync(lambda: raw.start(made))
    await until(lambda: heard.what)
    assert threads() == ["watch-events", "watch-stats"]


async def test_after_an_outage_what_was_printed_meanwhile_is_told_of(
    raw: docker.APIClient, container: Make, watch: Watch, proxy: EngineProxy
) -> None:
    made = container(SILENT)
    heard = Heard()
    watch.listen(heard).follow("logs", made, "logs")
    lists = Heard()
    watch.listen(lists, lists=True)
    await until(lambda: proxy.saw("/logs"))
    proxy.stop()
    await until(lambda: threads() == ["watch-events"])
    await within(raw, made, "touch /tmp/say")
    await until(lambda: raw.logs(made))
    await anyio.sleep(0.5)
    assert not heard.what
    lists.what.clear()
    proxy.start()
    await until(lambda: heard.what and lists.what)
    assert heard.what == ["logs"]


async def test_a_flood_of_lines_costs_little_and_ends_with_it(
    raw: docker.APIClient, container: Make, watch: Watch
) -> None:
    small = {"log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}}}
    made = container(["sh", "-c", "trap 'exit 0' TERM; yes & wait"], host=small)
    heard = Heard()
    watch.listen(heard).follow("logs", made, "logs")
    await until(lambda: len(heard.what) >= 2)
    shares: list[float] = []
    # a machine that is busy with something else counts more
    while len(shares) < 3 and min(shares, default=1.0) >= 0.15:
        before, began, used = len(heard.what), time.monotonic(), time.process_time()
        await until(lambda before=before: len(heard.what) >= before + 3)  # type: ignore[misc]
        shares.append((time.process_time() - used) / (time.monotonic() - began))
    assert min(shares) < 0.15
    await anyio.to_thread.run_sync(lambda: raw.kill(made))
    await until(lambda: threads() == ["watch-events"])
    await anyio.sleep(2 * SOON)
    told = len(heard.what)
    await anyio.sleep(2 * SOON)
    assert len(heard.what) == told
