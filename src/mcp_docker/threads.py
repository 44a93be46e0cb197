"""Work that blocks, beside the event loop."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

AGAIN_SECONDS = 0.05

Outcome = TypeVar("Outcome")


async def in_thread(work: Callable[..., Outcome], *args: Any, limiter: anyio.CapacityLimiter | None = None) -> Outcome:
    """Run this in a thread that may be left behind; where the system grants no more of them, once there is one."""

    async def run() -> Outcome:
        return await anyio.to_thread.run_sync(work, *args, limiter=limiter, abandon_on_cancel=True)

    def none_is_left(error: BaseException) -> bool:
        return isinstance(error, RuntimeError) and "new thread" in str(error)

    try:
        return await run()
    except RuntimeError as error:
        if not none_is_left(error):
            raise
    import tenacity

    again = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(none_is_left), wait=tenacity.wait_fixed(AGAIN_SECONDS), sleep=anyio.sleep
    )
    return await again(run)
