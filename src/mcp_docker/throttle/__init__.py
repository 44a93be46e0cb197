"""How often, and how many at once: calls per caller, failed authentications per address."""

import contextlib
import hashlib
import importlib.util
import ipaddress
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import anyio
from loguru import logger

from mcp_docker.errors import RateLimited, SettingsError

if TYPE_CHECKING:
    from limits.aio.strategies import MovingWindowRateLimiter

MEMORY = "memory://"
STORAGE_SECONDS = 2.0
DOWN_SECONDS = 5
TELL_SECONDS = 60.0
CONNECTIONS = 32
_REDIS = ("redis", "rediss", "redis+unix")

_T = TypeVar("_T")


class Throttle:
    """The limits of all callers.

    Calls in flight are counted in this process, calls per minute and failures where `storage_uri` says. While that
    storage is down nothing can be counted, so everything is refused.

    Args:
        rpm: calls a minute, per caller; None for no limit.
        concurrent: calls in flight, per caller.
        failures: failed authentications a minute, per address; None for no limit.
        storage_uri: `memory://`, or a Redis that replicas share: `redis://`, `rediss://`, `redis+unix://`.

    Raises:
        SettingsError: there is no such storage, or the package for it is missing.
    """

    def __init__(
        self, rpm: int | None, concurrent: int, *, failures: int | None = 10, storage_uri: str = MEMORY
    ) -> None:
        _check(storage_uri)
        self._rpm, self._concurrent, self._failures = rpm, concurrent, failures
        self._uri = storage_uri
        self._busy: Counter[str] = Counter()
        self._counting: _Counting | None = None
        self._told = -math.inf

    @property
    def in_flight(self) -> int:
        """Calls in flight, of all callers."""
        return self._busy.total()

    @contextlib.asynccontextmanager
    async def call(self, caller: str, *, counted: bool = False) -> AsyncIterator[None]:
        """Hold one of the caller's places while a call lasts, which counts unless its request has been counted.

        Raises:
            RateLimited: the caller has no place left, or no call left in this minute.
        """
        key = _key(caller)
        if self._busy[key] >= self._concurrent:
            raise RateLimited(
                f"{self._concurrent} calls of yours are in flight already", "call again when one of them has ended."
            )
        self._busy[key] += 1
        try:
            if not counted:
                await self._count(key)
            yield
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]

    async def count(self, caller: str) -> None:
        """Count a request that holds no place. Raises RateLimited: none is left in this minute."""
        await self._count(_key(caller))

    async def may_try(self, address: str) -> None:
        """Let an authentication be tried from an address.

        Raises:
            RateLimited: too many have failed from there.
        """
        if self._failures is None:
            return
        counting, item = self._counter("failures", self._failures)
        if not await self._asked(counting.windows.test(item, place(address))):
            seconds = await self._seconds(counting, item, place(address))
            raise RateLimited(
                f"{self._failures} authentications from your address have failed within a minute",
                f"try again in {seconds} s, with a valid token.",
                seconds=seconds,
            )

    async def count_failure(self, address: str) -> None:
        """Count an authentication that failed. A storage that is down is no reason not to say that it failed."""
        if self._failures is None:
            return
        counting, item = self._counter("failures", self._failures)
        with contextlib.suppress(RateLimited):
            await self._asked(counting.windows.hit(item, place(address)))

    async def aclose(self) -> None:
        """Let go of connections to the storage."""
        counting, self._counting = self._counting, None
        if counting is not None and counting.pool is not None:
            await counting.pool.aclose()

    async def _count(self, key: str) -> None:
        if self._rpm is None:
            return
        counting, item = self._counter("calls", self._rpm)
        if not await self._asked(counting.windows.hit(item, key)):
            seconds = await self._seconds(counting, item, key)
            raise RateLimited(
                f"you have made {self._rpm} calls within a minute, which is the limit",
                f"call again in {seconds} s.",
                seconds=seconds,
            )

    def _counter(self, what: str, per_minute: int) -> tuple["_Counting", Any]:
        from limits import RateLimitItemPerMinute

        self._counting = self._counting or (_in_memory() if self._uri == MEMORY else _in_redis(self._uri))
        return self._counting, RateLimitItemPerMinute(per_minute, namespace=what)

    async def _seconds(self, counting: "_Counting", item: Any, key: str) -> int:
        """Whole seconds until one more fits."""
        stats = await self._asked(counting.windows.get_window_stats(item, key))
        return min(max(math.floor(stats.reset_time - counting.clock()) + 1, 1), 60)

    async def _asked(self, answer: Awaitable[_T]) -> _T:
        from limits.errors import StorageError

        try:
            with anyio.fail_after(STORAGE_SECONDS):
                return await answer
        except (StorageError, OSError) as error:
            self._tell(error.storage_error if isinstance(error, StorageError) else error)
            raise RateLimited(
                "calls can't be counted now, since the storage of rate limits does not answer",
                f"nothing was done; call again in {DOWN_SECONDS} s, or tell the operator.",
                seconds=DOWN_SECONDS,
            ) from None

    def _tell(self, error: Exception) -> None:
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            where = urlsplit(self._uri)  # it may hold a password
            place = f"{where.scheme}://{where.netloc.rpartition('@')[2]}"
            logger.error("rate limits: {} does not answer ({}); all calls are refused", place, type(error).__name__)


@dataclass(frozen=True)
class _Counting:
    """Where hits are counted, by which clock."""

    windows: "MovingWindowRateLimiter"
    clock: Callable[[], float]
    pool: Any = None


def _in_memory() -> _Counting:
    from limits.aio.strategies import MovingWindowRateLimiter

    from mcp_docker.throttle.memory import BoundedMemory

    return _Counting(MovingWindowRateLimiter(BoundedMemory()), time.monotonic)


def _in_redis(uri: str) -> _Counting:
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import MovingWindowRateLimiter
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: Any = {
        "connection_pool": BlockingConnectionPool.from_url(
            uri.replace("redis+unix", "unix", 1),
            max_connections=CONNECTIONS,
            timeout=STORAGE_SECONDS,
            socket_connect_timeout=STORAGE_SECONDS,
            socket_timeout=STORAGE_SECONDS,
            # one more try for a connection that the other end has closed; waiting longer is for the client
            retry=Retry(NoBackoff(), 1),
        )
    }
    storage = RedisStorage(
        f"async+{uri}", wrap_exceptions=True, implementation="redispy", key_prefix="mcp-docker", **options
    )
    return _Counting(MovingWindowRateLimiter(storage), time.time, options["connection_pool"])


def _check(uri: str) -> None:
    if uri == MEMORY:
        return
    scheme, slashes, _ = uri.partition("://")
    if scheme not in _REDIS or not slashes:
        schemes = ", ".join(f"{each}://" for each in _REDIS)
        raise SettingsError(
            [f"rate limits can't be kept in {scheme[:20]!r}: the storage is {MEMORY}, or one of {schemes}"]
        )
    if importlib.util.find_spec("redis") is None:
        raise SettingsError(["rate limits in Redis need one more package: install mcp-docker[redis]"])
    try:
        urlsplit(uri).port  # noqa: B018 - it raises
    except ValueError:
        raise SettingsError(["the address of the Redis for rate limits has no valid port"]) from None


def _key(name: str) -> str:
    """A name of any length and content as a key of the storage, which then holds no names."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def place(address: str) -> str:
    """The key of whoever has this address: a network of 64 bits where it is IPv6, since nobody has less."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _key(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), 64), strict=False).network_address
    return _key(str(parsed))
