"""Commands in containers. An exec outlives its stream and the API can't end it, so its processes carry a mark."""

import itertools
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_docker.engine import Engine
from mcp_docker.engine.scope import CallScope
from mcp_docker.engine.streams import Stream, pieces
from mcp_docker.errors import Refused, TimedOut
from mcp_docker.tool import Context

if TYPE_CHECKING:
    import requests

MARK = "MCP_DOCKER_EXEC"
END_SECONDS = 0.7
CANCELLED_SECONDS = 5.0
"""Nobody waits for the answer of a cancelled call."""
BEGIN_SECONDS = 0.4
LOOK_SECONDS = 0.05

# $1 is the mark. TERM, a moment to obey, KILL; fails while anything that carries the mark is left.
_END = """
marked() { for p in /proc/[0-9]*; do grep -q "$m" "$p/environ" 2>/dev/null && echo "${p#/proc/}"; done; }
m="$1"
for signal in TERM TERM KILL KILL KILL; do
  pids="$(marked)"
  [ -z "$pids" ] && exit 0
  kill -"$signal" $pids 2>/dev/null
  sleep 0.1 2>/dev/null
done
[ -z "$(marked)" ]
"""


@dataclass
class Output:
    """The end of what one stream printed.

    Args:
        most: bytes to keep.
    """

    most: int
    dropped: int = 0
    _pieces: deque[bytes] = field(default_factory=deque)
    _kept: int = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._kept += len(data)
        while self._kept - len(self._pieces[0]) >= self.most:
            gone = len(self._pieces.popleft())
            self._kept -= gone
            self.dropped += gone

    def text(self) -> str:
        data = b"".join(self._pieces)
        self.dropped += max(0, len(data) - self.most)
        return data[-self.most :].decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Exec:
    """What to run: the container, the command without a shell, and as whom."""

    container: str
    command: list[str]
    user: str = ""
    workdir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    privileged: bool = False


def run(ctx: Context, what: Exec, most: int) -> tuple[int | None, dict[Stream, Output]]:
    """Run a command to its end; its exit code and what it printed, at most `most` bytes of each stream.

    It may be silent for as long as the whole call may take.

    Raises:
        TimedOut, Cancelled: the call was cut; the message says what became of the process.
    """
    engine, scope, mark = ctx.engine, CallScope.current(), secrets.token_hex(8)
    exec_id = _created(engine, what, mark)
    output: dict[Stream, Output] = {"stdout": Output(most), "stderr": Output(most)}
    running, printed = f"running {what.command[0]}", 0
    ctx.progress(printed, 0, running)
    try:
        with scope.patient(ctx.limits.seconds):
            for stream, data, _ in pieces(lambda: _started(engine, exec_id), tty=False, scope=scope):
                output[stream].add(data)
                printed += len(data)
                ctx.progress(printed, 0, f"{running}, {printed} bytes printed")
        if scope.reason is None:
            found = engine.docker.exec_inspect(exec_id)
            # Podman has the code 0 for what still runs
            return None if found.get("Running") else found.get("ExitCode"), output
    except Exception:
        if scope.reason is None:
            raise
    raise _after_cut(engine, what, exec_id, mark, scope.reason)


def _created(engine: Engine, what: Exec, mark: str) -> str:
    made = engine.docker.exec_create(
        what.container,
        what.command,
        user=what.user,
        workdir=what.workdir,
        environment={**what.environment, MARK: mark},
        privileged=what.privileged,
    )
    return str(made["Id"])


def _started(engine: Engine, exec_id: str) -> "requests.Response":
    return engine.post(f"/exec/{exec_id}/start", {"Detach": False, "Tty": False}, stream=True)


def _after_cut(engine: Engine, what: Exec, exec_id: str, mark: str, reason: Refused | None) -> Refused:
    """The reason of the cut, with what became of the process."""
    if reason is None:
        raise RuntimeError("only a call that was cut comes here")
    said = str(reason).partition("] ")[2].partition("; ")[0]
    seconds = END_SECONDS if isinstance(reason, TimedOut) else CANCELLED_SECONDS
    if _ended(engine, what, exec_id, mark, seconds):
        return type(reason)(said, "the command and what it had started were ended in the container.")
    return type(reason)(
        said,
        f"the command still runs in the container (exec {exec_id}): it could not be ended from inside (no shell, no "
        "rights, or the engine is gone); docker_restart_container ends it.",
    )


def _ended(engine: Engine, what: Exec, exec_id: str, mark: str, seconds: float) -> bool:
    # the scope of the call is cut: the clean-up needs one of its own
    with CallScope(seconds).ending_after(seconds) as scope:
        try:
            _begun(engine, exec_id, scope)
            command = ["sh", "-c", _END, "sh", f"{MARK}={mark}"]
            made = engine.docker.exec_create(what.container, command, user=what.user)
            for _ in pieces(lambda: _started(engine, made["Id"]), tty=False, scope=scope):
                pass
            ended = engine.docker.exec_inspect(made["Id"]).get("ExitCode") == 0
            return ended and not engine.docker.exec_inspect(exec_id).get("Running")
        except Exception:  # noqa: BLE001 - whatever it was, the command was not seen to end
            return False


def _begun(engine: Engine, exec_id: str, scope: CallScope) -> None:
    """Wait for the process: the engine starts it even where nobody waits for its output any more.

    An exec runs, to the engine, as soon as it is being started; one that does not may never have been asked for.
    """
    for look in itertools.count(1):
        found = engine.docker.exec_inspect(exec_id)
        if found.get("Pid") or found.get("ExitCode") is not None or scope.cancelled(LOOK_SECONDS):
            return
        if not found.get("Running") and look * LOOK_SECONDS >= BEGIN_SECONDS:
            return
