"""The way of one call, from a client's arguments to a bounded result, read top to bottom."""

import contextlib
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
from loguru import logger

from mcp_docker import errors, policy, redact
from mcp_docker.engine import CallScope, Engine
from mcp_docker.errors import Refused
from mcp_docker.registry import Registry
from mcp_docker.settings import Settings
from mcp_docker.tool import Answer, Context, Cut, Limits, TextAnswer, Tier, Tool

CALLS_IN_FLIGHT = 64
GRACE_SECONDS = 1.5
PROGRESS_SECONDS = 0.25
REFUSAL_CHARACTERS = 4_000

Progress = Callable[[float, float | None, str], Awaitable[None]]


@dataclass(frozen=True)
class Call:
    """What a client asks for. `progress` is None where it does not want to be told."""

    name: str
    arguments: Mapping[str, Any]
    progress: Progress | None = None


@dataclass(frozen=True)
class Result:
    """What a client gets: text for the model, and data when the call was done."""

    text: str
    data: dict[str, Any] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        return self.data is None


class Pipeline:
    """Everything that calls share.

    Args:
        settings: the operator's choices.
        registry: the tools.
        engine: the Docker Engine.
    """

    def __init__(self, settings: Settings, registry: Registry, engine: Engine) -> None:
        self.settings = settings
        self.registry = registry
        self.engine = engine
        self._slots: anyio.CapacityLimiter | None = None
        self._jobs: weakref.WeakSet[_Job] = weakref.WeakSet()

    async def call(self, call: Call) -> Result:
        """Take one call all the way. Whatever goes wrong becomes a result; only cancellation passes through."""
        try:
            kind = self.registry.find(call.name)
            tool = kind.parse(call.arguments)
            policy.check(tool, self.settings)
            return await self._run(tool, call.progress)
        except Refused as refused:
            return _refusal(refused, self.settings.safety_max_response_bytes)

    async def drain(self, seconds: float) -> None:
        """Cut the calls in flight, and wait up to so many seconds for what their threads tidy up."""
        jobs = [job for job in self._jobs if job.started and not job.finished.is_set()]
        for job in jobs:
            job.scope.cut(errors.Cancelled("the server stops", "call again later."))
        with anyio.move_on_after(seconds):
            for job in jobs:
                await anyio.to_thread.run_sync(job.finished.wait, seconds, abandon_on_cancel=True)

    async def _run(self, tool: Tool, progress: Progress | None) -> Result:
        self._slots = self._slots or anyio.CapacityLimiter(CALLS_IN_FLIGHT)
        limits = Limits(self.registry.seconds(tool), self.settings.safety_max_response_bytes)
        job = _Job(tool, self.engine, limits, min(self.settings.docker_timeout, max(limits.seconds - 1, 1)))
        self._jobs.add(job)
        try:
            async with _telling(job, progress):
                with anyio.move_on_after(limits.seconds):
                    await anyio.to_thread.run_sync(job.run, limiter=self._slots, abandon_on_cancel=True)
                if not job.finished.is_set():
                    job.scope.cut(_timed_out(tool, limits))
                    await anyio.to_thread.run_sync(job.finished.wait, GRACE_SECONDS, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            job.scope.cut(errors.Cancelled(f"{tool.spec.name} was cancelled", "call again if it is still wanted."))
            raise
        return job.outcome()


class _Job:
    """One run of a tool in a worker thread, which may outlive the wait for it."""

    def __init__(self, tool: Tool, engine: Engine, limits: Limits, socket_timeout: float) -> None:
        self.tool = tool
        self.scope = CallScope(socket_timeout)
        self.started = False
        self.finished = threading.Event()
        self.told: tuple[float, float, str] | None = None
        self._context = Context(engine, limits, self._tell, self.scope.cancelled, self.scope.gather)
        self._result: Result | None = None
        self._error: Refused | None = None

    def run(self) -> None:
        """Run the tool and shape its answer; nothing is raised, so that the outcome survives an abandoned wait."""
        self.started = True
        try:
            with self.scope.entered():
                self.scope.check()
                answer = self.tool.run(self._context)
                self.scope.check()
                self._result = _shaped(answer, self._context.limits.response_bytes)
        except Refused as refused:
            self._error = refused
        except Exception as error:  # noqa: BLE001 - the one place where docker's errors become ours
            self._error = self.scope.reason or self._translated(error)
        finally:
            self.finished.set()

    def outcome(self) -> Result:
        """The result. Raises Refused, also where the thread has not come back."""
        if self._result is not None:
            return self._result
        raise (
            self._error or self.scope.reason or errors.InternalError("the call ended without an answer", "call again.")
        )

    def _translated(self, error: Exception) -> Refused:
        from mcp_docker.engine.errors import translate

        refused = translate(error, self._context.engine)
        if isinstance(refused, errors.InternalError):
            logger.opt(exception=error).error("{} failed", self.tool.spec.name)
        return refused

    def _tell(self, done: float, total: float, message: str) -> None:
        self.told = done, total, message


@contextlib.asynccontextmanager
async def _telling(job: _Job, progress: Progress | None) -> AsyncIterator[None]:
    """Pass on what the tool tells of its progress, at most every quarter of a second, only ever forward."""
    if progress is None:
        yield
        return
    last = -1.0

    async def tell() -> None:
        nonlocal last
        if job.told is not None and job.told[0] > last:
            last, total, message = job.told
            await progress(last, total or None, redact.clean_text(message))

    async def keep_telling() -> None:
        while True:
            await anyio.sleep(PROGRESS_SECONDS)
            await tell()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_telling)
        yield
        tasks.cancel_scope.cancel()
    await tell()


def _shaped(answer: Answer, limit: int) -> Result:
    """Clean, bound and write out an answer. Text and data say the same and count against the limit together."""
    data, text = redact.clean(answer.model_dump(mode="json", exclude_none=True, by_alias=True))
    if 2 * len(text.encode()) > limit:
        data, cut = redact.bound(data, limit // 2 - 512, answer.keep_end)
        data["truncated"] = Cut(what="Showing " + ", ".join(cut), rest=answer.rest).model_dump()
        text = redact.compact(data)
    if isinstance(answer, TextAnswer):
        header, body = answer.rendered(data)
        text = f"{header}\n{redact.fence(body)}" if body else header
        if "truncated" in data:
            text += f"\n{data['truncated']['what']}; {data['truncated']['rest']}"
    return Result(text, data)


def _refusal(refused: Refused, limit: int) -> Result:
    text = redact.clean_text(str(refused))
    if len(text) > REFUSAL_CHARACTERS:  # it repeats what the caller sent; its end says what to do
        text = f"{text[: REFUSAL_CHARACTERS * 3 // 4]} […] {text[-REFUSAL_CHARACTERS // 4 :]}"
    if refused.detail:
        text += "\n" + redact.fence(redact.clean_text(refused.detail)[-limit // 2 :])
    return Result(text, meta={"mcp-docker/code": refused.code})


def _timed_out(tool: Tool, limits: Limits) -> errors.TimedOut:
    spec = tool.spec
    longer = f"SAFETY_TOOL_TIMEOUTS={spec.name}=SECONDS gives it longer"
    if spec.tier is Tier.SAFE:
        return errors.TimedOut(f"{spec.name} took longer than {limits.seconds:g} s", f"ask for less, or {longer}.")
    return errors.TimedOut(
        f"{spec.name} took longer than {limits.seconds:g} s and was stopped waiting for",
        f"it may have happened all the same: {spec.verify} tells. {longer}.",
    )
