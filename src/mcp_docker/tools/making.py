"""Making things: a call that is cut, or fails after all, leaves none behind, or says what it left."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from mcp_docker.engine import CallScope
from mcp_docker.errors import Refused
from mcp_docker.tool import Context

Made = TypeVar("Made")

UNDO_SECONDS = 10.0
UNDO_TRIES = 5
AGAIN_SECONDS = 0.1


def made(request: Callable[[], Made]) -> Made:
    """Have the engine make something. A cut does not end that: without the answer nobody could take it back."""
    with CallScope.current().spared(UNDO_SECONDS):
        return request()


@contextlib.contextmanager
def undone_on_error(ctx: Context, kind: str, name: str, undo: Callable[[], object]) -> Iterator[None]:
    """Take back what was just made if what comes next fails, or if the call was cut.

    Args:
        kind: container, network or volume.
        name: what it is called.
        undo: takes it back.
    """
    from docker.errors import APIError

    from mcp_docker.engine.errors import translate

    scope = CallScope.current()
    try:
        yield
        scope.check()
    except Exception as error:
        gone = _undone(undo)
        if scope.reason is None and not isinstance(error, APIError | Refused):
            raise
        refused = scope.reason or translate(error, ctx.engine)
        refused.add(
            f"The new {kind} was removed again."
            if gone
            else f"The new {kind} {name} is still there: docker_remove_{kind} removes it."
        )
        raise refused from None


def _undone(undo: Callable[[], object]) -> bool:
    from docker.errors import NotFound

    # the call's own sockets may have been cut, and what was made has to go all the same
    scope = CallScope(UNDO_SECONDS)
    with scope.entered():
        for _ in range(UNDO_TRIES):
            try:
                undo()
            except NotFound:
                return True
            except Exception:  # noqa: BLE001 - it may be busy with what the cut has interrupted
                scope.cancelled(AGAIN_SECONDS)
            else:
                return True
    return False
