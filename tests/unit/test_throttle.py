"""Nobody calls more often than allowed, and nobody pays for somebody else."""

import contextlib
import shutil
import socket as socketlib
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from loguru import logger

from mcp_docker import throttle as module
from mcp_docker.errors import RateLimited, SettingsError
from mcp_docker.throttle import Throttle
from mcp_docker.throttle.memory import BoundedMemory


def listens(path: Path) -> bool:
    with socketlib.socket(socketlib.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(path))
        return True
    return False


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Redis of this test's own, on a socket."""
    monkeypatch.setattr(module, "STORAGE_SECONDS", 20.0)  # how long is waited for a slow one is another test's
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: install it (Debian: apt-get install redis-server)"
    socket = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 30
        while not listens(socket):
            assert server.poll() is None
            assert time.monotonic() < deadline
        yield f"redis+unix://{socket}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    uri: str = module.MEMORY if request.param == "memory" else request.getfixturevalue("redis")
    return uri


def on_loop(test: Callable[..., Awaitable[None]], *throttles: Throttle, seconds: float = 30) -> None:
    async def bounded() -> None:
        with anyio.fail_after(seconds):
            await test(*throttles)
            for each in throttles:
                await each.aclose()

    anyio.run(bounded)


async def one(throttle: Throttle, caller: str = "ann") -> None:
    async with throttle.call(caller):
        pass


def test_a_caller_who_has_used_up_the_minute_waits_and_nobody_else_does(storage: str) -> None:
    async def test(throttle: Throttle) -> None:
        began = time.monotonic()
        for _ in range(3):
            await one(throttle)
        with pytest.raises(RateLimited, match="you have made 3 calls within a minute") as refused:
            await one(throttle)
        assert 58 - (time.monotonic() - began) <= refused.value.seconds <= 60
        assert refused.value.hint == f"call again in {refused.value.seconds} s."
        await one(throttle, "bob")

    on_loop(test, Throttle(3, 10, storage_uri=storage))


def test_calls_at_once_do_not_slip_through(storage: str) -> None:
    async def test(throttle: Throttle) -> None:
        done = 0

        async def try_one() -> None:
            nonlocal done
            try:
                await one(throttle)
                done += 1
            except RateLimited:
                pass

        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(try_one)
        assert done == 20
        assert throttle.in_flight == 0

    on_loop(test, Throttle(20, 1_000, storage_uri=storage))


def test_too_many_failures_shut_out_an_address_and_no_other(storage: str) -> None:
    async def test(throttle: Throttle) -> None:
        began = time.monotonic()
        for _ in range(3):
            await throttle.may_try("192.0.2.1")
            await throttle.count_failure("192.0.2.1")
        with pytest.raises(RateLimited, match="3 authentications from your address have failed") as refused:
            await throttle.may_try("::ffff:192.0.2.1")
        assert 58 - (time.monotonic() - began) <= refused.value.seconds <= 60
        await throttle.may_try("192.0.2.2")
        for _ in range(20):
            await throttle.may_try("192.0.2.3")

    on_loop(test, Throttle(None, 1, failures=3, storage_uri=storage))


def test_who_has_one_ipv6_address_has_its_whole_network() -> None:
    async def test(throttle: Throttle) -> None:
        for number in range(3):
            await throttle.count_failure(f"2001:db8:1:2::{number:x}")
        with pytest.raises(RateLimited):
            await throttle.may_try("2001:db8:1:2:ffff::1%eth0")
        await throttle.may_try("2001:db8:1:3::1")
        await throttle.may_try("unix")

    on_loop(test, Throttle(None, 1, failures=3))


def test_replicas_share_what_they_count(redis: str) -> None:
    async def test(one_replica: Throttle, other: Throttle) -> None:
        await one(one_replica)
        await one(other)
        for throttle in (one_replica, other):
            with pytest.raises(RateLimited):
                await one(throttle)
        await other.count_failure("192.0.2.1")
        with pytest.raises(RateLimited):
            await one_replica.may_try("192.0.2.1")

    on_loop(test, *(Throttle(2, 5, failures=1, storage_uri=redis) for _ in range(2)))


def test_the_shared_storage_learns_no_names_and_keeps_nothing_for_long(redis: str) -> None:
    from redis import Redis

    async def test(throttle: Throttle) -> None:
        await one(throttle, "ann@example.com/../" + "x" * 100_000)
        await throttle.count_failure("192.0.2.1")

    on_loop(test, Throttle(2, 5, storage_uri=redis))
    with Redis.from_url(redis.replace("redis+unix", "unix")) as client:
        keys: Any = client.keys("*")
        assert len(keys) == 2
        for key in keys:
            assert b"ann" not in key
            assert b"192" not in key
            assert len(key) < 150
            assert 0 < client.ttl(key) <= 60


def test_calls_in_flight_are_limited_per_caller_and_places_come_back() -> None:
    async def test(throttle: Throttle) -> None:
        async with throttle.call("ann"), throttle.call("ann"), throttle.call("bob"):
            assert throttle.in_flight == 3
            with pytest.raises(RateLimited, match="2 calls of yours are in flight") as refused:
                await one(throttle)
            assert refused.value.seconds == 1
        with pytest.raises(LookupError):
            async with throttle.call("ann"):
                raise LookupError
        with anyio.move_on_after(0.01):
            async with throttle.call("ann"):
                await anyio.sleep_forever()
        assert throttle.in_flight == 0
        async with throttle.call("ann"), throttle.call("ann"):
            pass
        assert not throttle._busy

    on_loop(test, Throttle(None, 2))


def test_a_call_that_found_no_place_does_not_count_for_the_minute() -> None:
    async def test(throttle: Throttle) -> None:
        async with throttle.call("ann"):
            for _ in range(10):
                with pytest.raises(RateLimited, match="in flight"):
                    await one(throttle)
        await one(throttle)
        with pytest.raises(RateLimited, match="within a minute"):
            await one(throttle)
        assert not throttle._busy

    on_loop(test, Throttle(2, 1))


def test_requests_that_hold_no_place_count_for_the_same_minute() -> None:
    async def test(throttle: Throttle) -> None:
        await one(throttle)
        await throttle.count("ann")
        with pytest.raises(RateLimited, match="within a minute"):
            await throttle.count("ann")
        with pytest.raises(RateLimited, match="within a minute"):
            await one(throttle)
        await throttle.count("bob")

    on_loop(test, Throttle(2, 1))


def test_a_call_whose_request_was_counted_holds_a_place_alone() -> None:
    async def test(throttle: Throttle) -> None:
        await throttle.count("ann")
        async with throttle.call("ann", counted=True):
            with pytest.raises(RateLimited, match="in flight"):
                await one(throttle)

    on_loop(test, Throttle(1, 1))


def test_without_limits_nothing_is_counted() -> None:
    async def test(throttle: Throttle) -> None:
        for _ in range(1_000):
            await one(throttle)
            await throttle.count_failure("192.0.2.1")
        await throttle.may_try("192.0.2.1")

    on_loop(test, Throttle(None, 1, failures=None))


def test_the_minute_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def test() -> None:
        nonlocal now
        memory = BoundedMemory()
        for _ in range(3):
            assert await memory.acquire_entry("key", 3, 60)
            now += 10
        assert not await memory.acquire_entry("key", 3, 60)
        assert await memory.get_moving_window("key", 3, 60) == (1_000.0, 3)
        now = 1_060.0
        assert await memory.acquire_entry("key", 3, 60)
        assert not await memory.acquire_entry("key", 3, 60)
        now = 2_000.0
        assert await memory.get_moving_window("key", 3, 60) == (2_000.0, 0)
        assert await memory.acquire_entry("other", 3, 60)
        assert list(memory.windows) == ["other"]

    anyio.run(test)


def test_strangers_from_many_addresses_fill_no_memory_and_slow_nobody_down() -> None:
    async def test(throttle: Throttle) -> None:
        started = time.thread_time()  # a busy machine is no fault of what is measured
        for number in range(50_000):
            await throttle.count_failure(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        first = time.thread_time() - started
        for number in range(20_000):
            await throttle.count_failure(f"2001:db8:{number:x}::1")
        assert throttle._counting is not None
        memory = throttle._counting.windows.storage
        assert isinstance(memory, BoundedMemory)
        assert len(memory.windows) == 65_536
        assert not memory.locks
        taken = []
        for _ in range(500):
            started = time.thread_time()
            await one(throttle)
            taken.append(time.thread_time() - started)
        # a hit costs the same among 65,536 addresses as among the first ones
        assert statistics.median(taken) < 20 * first / 50_000

    on_loop(test, Throttle(10_000, 1), seconds=120)


def test_a_storage_that_is_down_refuses_everything_and_is_told_of_once_a_minute(tmp_path: Path) -> None:
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(str(message)), level="ERROR", format="{message}")

    async def test(throttle: Throttle) -> None:
        for _ in range(3):
            with pytest.raises(RateLimited, match="calls can't be counted now") as refused:
                await one(throttle)
            assert refused.value.seconds == module.DOWN_SECONDS
        with pytest.raises(RateLimited, match="can't be counted"):
            await throttle.may_try("192.0.2.1")
        await throttle.count_failure("192.0.2.1")
        assert throttle.in_flight == 0
        assert len(logged) == 1
        throttle._told -= module.TELL_SECONDS
        with pytest.raises(RateLimited):
            await one(throttle)
        assert len(logged) == 2

    try:
        on_loop(test, Throttle(5, 5, storage_uri=f"redis+unix://:hunter2@{tmp_path}/none.sock"))
    finally:
        logger.remove(sink)
    assert "ConnectionError" in logged[0]
    assert "hunter2" not in "".join(logged)


def test_a_storage_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORAGE_SECONDS", 0.1)

    async def test() -> None:
        async def silent(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                await anyio.sleep_forever()

        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, silent)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            throttle = Throttle(5, 5, storage_uri=f"redis://127.0.0.1:{port}/0")
            with anyio.fail_after(20), pytest.raises(RateLimited, match="can't be counted"):
                await one(throttle)
            await throttle.aclose()
            tasks.cancel_scope.cancel()

    anyio.run(test)


def test_a_storage_that_comes_back_is_used_again(redis: str, tmp_path: Path) -> None:
    from redis import Redis

    async def test(throttle: Throttle) -> None:
        await one(throttle)
        with Redis.from_url(redis.replace("redis+unix", "unix")) as client:
            client.script_flush()
            client.client_kill_filter(_type="normal", skipme=True)
        await one(throttle)
        socket = tmp_path / "redis.sock"
        socket.rename(tmp_path / "away")
        assert throttle._counting is not None
        await throttle._counting.pool.disconnect()
        with pytest.raises(RateLimited, match="can't be counted"):
            await one(throttle)
        (tmp_path / "away").rename(socket)
        await one(throttle)

    on_loop(test, Throttle(5, 5, storage_uri=redis))


@pytest.mark.parametrize("uri", ["memcached://localhost", "redis", "", "async+memory://", "redis+cluster://a:1"])
def test_an_unknown_storage_stops_the_start(uri: str) -> None:
    with pytest.raises(SettingsError, match="the storage is memory://, or one of redis://"):
        Throttle(1, 1, storage_uri=uri)


def test_a_port_that_is_no_port_stops_the_start_and_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match="no valid port") as refused:
        Throttle(1, 1, storage_uri="redis://:hunter2@localhost:http")
    assert "hunter2" not in str(refused.value)


def test_a_missing_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"install mcp-docker\[redis\]"):
        Throttle(1, 1, storage_uri="redis://localhost")


def test_nothing_is_imported_before_something_is_counted() -> None:
    check = """
import sys, anyio
from mcp_docker.throttle import Throttle
async def main():
    async with Throttle(None, 64, failures=None).call("x"):
        sys.exit(bool({"limits", "redis", "mcp", "starlette"} & set(sys.modules)))
anyio.run(main)
"""
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
