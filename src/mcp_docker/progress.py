"""How a caller hears of a call's progress: what the work tells, and that it goes on where the work is silent."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio

OFTEN_SECONDS = 0.25
STEP = 0.001
"""By so much progress grows where there is something to say and nothing that could be counted."""

Progress = Callable[[float, float | None, str], Awaitable[None]]


@dataclass(frozen=True)
class _Told:
    """What the work told last, and when. `begun` is false before it has told anything."""

    done: float
    total: float
    message: str
    at: float
    begun: bool = True
    in_seconds: bool = False

    def now(self) -> tuple[float, float, str] | None:
        """What there is to say now: done, total, message. None while it is too early to say anything."""
        passed = int(time.monotonic() - self.at)
        if self.in_seconds and passed:
            of = f" of {self.total:g}" if passed <= self.total else ""
            return passed, self.total, f"{self.message}: {passed}{of} s"
        if self.in_seconds or not (self.begun or passed):
            return None
        return self.done, self.total, f"{self.message}, for {passed} s" if passed else self.message


class Teller:
    """Tells a caller of one call, at most every quarter of a second, at least every second, only ever forward.

    Source: MCP, "Progress": the value must increase with each notification, and the total may be unknown.

    Args:
        progress: where to tell; None where nobody wants to hear.
        what: the call in a few words, for as long as it tells nothing itself.
        clean: makes a message fit to be shown.
    """

    def __init__(self, progress: Progress | None, what: str, clean: Callable[[str], str]) -> None:
        self._progress = progress
        self._what = what
        self._clean = clean
        self._told = self._silent()
        self._last = -1.0
        self._said = ""

    def _silent(self) -> _Told:
        return _Told(0, 0, self._what, time.monotonic(), begun=False)

    def tell(self, done: float, total: float, message: str) -> None:
        """How far the work is; from any thread."""
        told = self._told
        if told.in_seconds or (done, total, message) != (told.done, told.total, told.message):
            self._told = _Told(done, total, message, time.monotonic())

    def wait(self, seconds: float, message: str) -> None:
        """The work is up to something that is silent for up to so many seconds; from any thread."""
        self._told = _Told(0, seconds, message, time.monotonic(), in_seconds=True)

    @contextlib.asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell while this is open. A later time goes on from where an earlier one was."""
        if self._progress is None:
            yield
            return
        self._told, self._said = self._silent(), ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_telling, self._progress)
            yield
            tasks.cancel_scope.cancel()
        await self._say(self._progress)

    async def _keep_telling(self, progress: Progress) -> None:
        while True:
            await anyio.sleep(OFTEN_SECONDS)
            await self._say(progress)

    async def _say(self, progress: Progress) -> None:
        now = self._told.now()
        if now is None or (now[0] <= self._last and now[2] == self._said):
            return
        done, total, self._said = now
        self._last = done = max(done, self._last + STEP, 0)
        await progress(done, max(total, done) if total else None, self._clean(self._said))
