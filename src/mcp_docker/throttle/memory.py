"""Moving windows in memory, for the strategies of `limits`."""

import bisect
import time
from collections import OrderedDict

from limits.aio.storage import MemoryStorage

KEYS = 65_536


class BoundedMemory(MemoryStorage):
    """Moving windows that cost the same however many keys there are.

    The one of `limits` looks through all keys at every hit, with a thread for each: strangers from many addresses
    could keep it busy. Here every hit lets go of the windows that have passed, oldest first, and of the oldest one
    when there are too many; all limits kept in one storage last equally long. The clock never jumps.
    """

    def __init__(self, keys: int = KEYS) -> None:
        super().__init__()
        self.windows: OrderedDict[str, list[float]] = OrderedDict()
        self._keys = keys

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a hit unless the window is full."""
        now = time.monotonic()
        self._let_go(now - expiry)
        window = self._recent(key, now - expiry)
        if len(window) + amount > limit:
            return False
        self.windows[key] = window + [now] * amount
        self.windows.move_to_end(key)
        if len(self.windows) > self._keys:
            self.windows.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """When the oldest hit of the window was, and how many there are."""
        now = time.monotonic()
        window = self._recent(key, now - expiry)
        return window[0] if window else now, len(window)

    def _recent(self, key: str, since: float) -> list[float]:
        window = self.windows.get(key, [])
        return window[bisect.bisect_right(window, since) :]

    def _let_go(self, since: float) -> None:
        while self.windows and next(iter(self.windows.values()))[-1] <= since:
            self.windows.popitem(last=False)
