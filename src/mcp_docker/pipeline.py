"""The way of one call, from a client's arguments to a bounded result, read top to bottom."""

import asyncio
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from loguru import logger

from mcp_docker import errors, policy, redact
from mcp_docker.audit import Audit
from mcp_docker.audit.record import Record
from mcp_docker.caller import Caller
from mcp_docker.confirm import Answered, Ask, Confirm, Question
from mcp_docker.engine import CallScope, Engine
from mcp_docker.errors import Refused
from mcp_docker.progress import Progress, Teller
from mcp_docker.registry import Registry
from mcp_docker.resource import Resource
from mcp_docker.settings import Settings
from mcp_docker.threads import in_thread
from mcp_docker.throttle import Throttle
from mcp_docker.tool import (
    Answer,
    Context,
    Cut,
    Declaration,
    Kind,
    Limits,
    LossAnswer,
    Lost,
    Outlook,
    TextAnswer,
    Tier,
    Tool,
)

CALLS_IN_FLIGHT = 64
GRACE_SECONDS = 0.8
TIDY_SECONDS = 5.0
AUDIT_SECONDS = 3.0
REFUSAL_CHARACTERS = 4_000

Observed = Callable[[str, str | None, str, str | None, float], None]
"""Is told of a call: the name, the tier, the outcome, the code of a refusal, seconds."""
AT_HAND = ("stdio", "cli")


@dataclass(frozen=True)
class Call:
    """What a client asks for.

    Attributes:
        caller: who asks.
        kind: of what the name is.
        progress: tells of it; None where the client does not want to be told.
        ask: puts a question to a person; None where the client can't.
        answered: the reply to a question that an earlier call of the same brought up.
    """

    name: str
    arguments: Mapping[str, Any]
    caller: Caller
    progress: Progress | None = None
    ask: Ask | None = None
    answered: Answered | None = None
    kind: Kind = Kind.TOOL


@dataclass(frozen=True)
class Result:
    """What a client gets: text for the model, and data when the call was done; or a question for a person."""

    text: str
    data: dict[str, Any] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    question: Question | None = None

    @property
    def is_error(self) -> bool:
        return self.data is None


class Pipeline:
    """Everything that calls share.

    Args:
        settings: the operator's choices.
        registry: the tools.
        engine: the Docker Engine.
        audit: where calls are recorded; None if nowhere.
        throttle: how many calls a caller may make; None for no limit.
        observed: is told of each call that has ended.

    Raises:
        SettingsError: the policy can't make sense of a setting.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        engine: Engine,
        audit: Audit | None,
        throttle: Throttle | None = None,
        observed: Observed | None = None,
    ) -> None:
        policy.check(settings)
        self.settings = settings
        self.registry = registry
        self.engine = engine
        self.confirm = Confirm(settings)
        self._audit = audit
        self._throttle = throttle
        self._observed = observed
        self._slots = anyio.CapacityLimiter(CALLS_IN_FLIGHT)
        self._recording = anyio.CapacityLimiter(CALLS_IN_FLIGHT)
        self._jobs: weakref.WeakSet[_Job] = weakref.WeakSet()

    async def call(self, call: Call) -> Result:
        """Take one call all the way. Whatever goes wrong becomes a result; only cancellation passes through."""
        settings = self.settings
        record = Record(
            self._audit, call.caller, call.kind, call.name, call.arguments, hide=settings.safety_redact_secrets
        )
        refused: Refused | None = errors.Cancelled("the call was cancelled", "call again if it is still wanted.")
        outcome = "done"
        # of lists, completion and subscriptions, the request was counted when it came
        counted = call.kind in (Kind.COMPLETION, Kind.SUBSCRIPTION)
        try:
            async with self._throttle.call(call.caller.key, counted=counted) if self._throttle else nullcontext():
                found = self.registry.find(call.name, call.caller, call.kind)
                record.of(found)
                asked = found.parse(call.arguments)
                result = await self._carried_out(asked, call, record)
            refused, outcome = None, "asked" if result.question else "done"
            return result
        except Refused as problem:
            refused = problem
            return _refusal(problem, settings)
        finally:
            if not record.closed:
                with anyio.move_on_after(AUDIT_SECONDS, shield=True) as waited:
                    await in_thread(record.close, refused, outcome, limiter=self._recording)
                if waited.cancelled_caught:
                    logger.error("What became of {} could not be recorded within {:g} s", call.name, AUDIT_SECONDS)
            if self._observed is not None and (ended := record.outcome) is not None:
                self._observed(record.tool, record.tier, ended.word, ended.code, ended.seconds)

    async def _carried_out(self, asked: Declaration, call: Call, record: Record) -> Result:
        """Run it; where something would be lost, only once a person has agreed to exactly that."""
        who, agreed = call.caller.key, ""
        hide = self.settings.safety_redact_secrets
        teller = Teller(call.progress, asked.spec.label, lambda message: redact.told(message, hide=hide))
        if call.answered is not None and isinstance(asked, Tool):
            agreed = self.confirm.agreed(who, asked, call.answered)
        while True:
            job = await self._run(asked, call, agreed, record, teller)
            if job.question is None or not isinstance(asked, Tool):
                return job.outcome()
            if call.ask is None:
                raise errors.InternalError("a question came up that nobody can be asked", "call again.")
            reply = await call.ask(job.question)
            if reply is None:
                return Result("", question=job.question)
            agreed = self.confirm.agreed(who, asked, Answered(job.question.state, reply))

    @property
    def in_flight(self) -> int:
        """Calls whose threads are at work."""
        return sum(job.started and not job.finished for job in self._jobs)

    async def drain(self, seconds: float) -> None:
        """Cut the calls in flight, and wait up to so many seconds for what their threads tidy up."""
        jobs = [job for job in self._jobs if job.started and not job.finished]
        for job in jobs:
            job.scope.cut(errors.Cancelled("the server stops", "call again later."))
        with anyio.move_on_after(seconds):
            for job in jobs:
                await job.over.wait()

    async def _run(self, asked: Declaration, call: Call, agreed: str, record: Record, teller: Teller) -> "_Job":
        limits = Limits(self.registry.seconds(asked), self.settings.safety_max_response_bytes)
        job = _Job(self, asked, call, limits, agreed, record, teller)
        self._jobs.add(job)
        try:
            async with teller.telling():
                with anyio.move_on_after(limits.seconds):
                    await in_thread(job.run, limiter=self._slots)
                if not job.finished:
                    job.scope.cut(_timed_out(asked, limits, begun=job.started))
                    with anyio.move_on_after(GRACE_SECONDS if job.started else 0):
                        await job.over.wait()
        finally:
            # also where the caller can't be told of its progress any more
            if job.scope.reason is None and not job.finished:
                job.scope.cut(errors.Cancelled(f"{asked.spec.name} was cancelled", "call again if it is still wanted."))
                await job.tidied()
        return job


class _Job:
    """One run in a worker thread, which may outlive the wait for it."""

    def __init__(
        self,
        pipeline: Pipeline,
        asked: Declaration,
        call: Call,
        limits: Limits,
        agreed: str,
        record: Record,
        teller: Teller,
    ) -> None:
        self.asked = asked
        self.scope = CallScope(min(pipeline.settings.docker_timeout, max(limits.seconds - 1, 1)))
        self.started = self.finished = False
        self.over = anyio.Event()
        self.question: Question | None = None
        self._loop = asyncio.get_running_loop()
        self._pipeline = pipeline
        self._settings = pipeline.settings
        self._call = call
        self._agreed = agreed
        self._record = record
        self._context = Context(
            pipeline.engine,
            limits,
            teller.tell,
            teller.wait,
            self.scope.cancelled,
            self.scope.gather,
            lambda demands: policy.permit(demands, self._settings, pipeline.engine),
            tools=frozenset(pipeline.registry.visible(call.caller)) if call.kind is Kind.PROMPT else frozenset(),
            at_hand=call.caller.transport in AT_HAND,
        )
        self._result: Result | None = None
        self._error: Refused | None = None

    def run(self) -> None:
        """Run the tool and shape its answer; nothing is raised, so that the outcome survives an abandoned wait."""
        self.started = True
        try:
            with self.scope.entered():
                self.scope.check()
                answer = self._answer()
                self.scope.check()
                if answer is not None:
                    self._result = _shaped(answer, self._context.limits.response_bytes, self._settings)
        except Refused as refused:
            # what an answer that was cut off made a tool believe
            was_misled = self.scope.reason is not None and not isinstance(refused, type(self.scope.reason))
            self._error = self.scope.reason if was_misled else self._unsure(refused)
        except Exception as error:  # noqa: BLE001 - the one place where docker's errors become ours
            self._error = self.scope.reason or self._translated(error)
        finally:
            if self.question is None:
                self._record.close(self._error)
            self.finished = True
            with suppress(RuntimeError):  # nobody waits on a loop that has ended
                self._loop.call_soon_threadsafe(self.over.set)

    def _answer(self) -> Answer | None:
        """Look, judge, have it confirmed and recorded, run. None where a person must be asked first."""
        tool, context = self.asked, self._context
        if not isinstance(tool, Tool) or tool.spec.tier is Tier.SAFE:
            self._record.allowed = True
            if isinstance(tool, Resource) and self._call.kind is Kind.SUBSCRIPTION:
                return tool.subject(context)
            return tool.run(context)
        context.permit(tool.demands())
        outlook = policy.judge(tool.look(context), self._settings, context.engine, sweeping=tool.spec.sweeping)
        if getattr(tool, "dry_run", False):
            return _preview(tool, outlook)
        self.question = self._unanswered(tool, outlook)
        if self.question is not None:
            return None
        self.scope.check()
        self._record.intend(outlook)
        self.scope.check()
        return tool.run(replace(context, outlook=outlook))

    def _unanswered(self, tool: Tool, outlook: Outlook) -> Question | None:
        sure, who = self._pipeline.confirm, self._call.caller.key
        question = sure.question(who, tool, self._call.arguments, outlook.loses, self._agreed)
        if question is not None and self._call.ask is None:
            sure.unasked()
            question = None
        if outlook.loses and question is None:
            self._record.confirmed = "person" if self._agreed else sure.otherwise(who, tool)
        return question

    def outcome(self) -> Result:
        """The result. Raises Refused, also where the thread has not come back."""
        if self._result is not None:
            return self._result
        raise (
            self._error or self.scope.reason or errors.InternalError("the call ended without an answer", "call again.")
        )

    def _translated(self, error: Exception) -> Refused:
        from mcp_docker.engine.errors import is_certain, translate

        refused = translate(error, self._context.engine, self.scope)
        if isinstance(refused, errors.InternalError):
            logger.opt(exception=error).error("{} failed", self.asked.spec.name)
        return refused if is_certain(error, self.scope) else self._unsure(refused, unsure=True)

    def _unsure(self, refused: Refused, *, unsure: bool = False) -> Refused:
        """Say of a change whose answer never came that it may have been made."""
        unsure = unsure or isinstance(refused, errors.EngineUnreachable)
        if unsure and self._record.allowed and self.asked.spec.tier is not Tier.SAFE:
            refused.add(f"It may have happened all the same: {self.asked.spec.verify} tells.")
        return refused

    async def tidied(self) -> None:
        """Wait a little for what a cut call takes back, so that the audit says what became of it."""
        if self.started:
            with anyio.move_on_after(TIDY_SECONDS, shield=True):
                await self.over.wait()


def _preview(tool: Tool, outlook: Outlook) -> Answer:
    """What a destructive call would take away, as an answer of its own kind."""
    kind = tool.answer_type()
    known = [thing.bytes for thing in outlook.loses if thing.bytes is not None]
    lost = [
        Lost(kind=thing.kind, id=thing.id, name=thing.name, about=thing.about or None, bytes=thing.bytes)
        for thing in outlook.loses
    ]
    if not issubclass(kind, LossAnswer):
        raise TypeError(f"{kind.__name__} can't say what would be lost")
    return kind(would_lose=lost, would_free_bytes=sum(known) if len(known) == len(lost) else None)


def _shaped(answer: Answer, limit: int, settings: Settings) -> Result:
    """Clean, bound and write out an answer. Text and data say the same and count against the limit together."""
    written = answer.model_dump(mode="json", exclude_none=True, by_alias=True)
    data, text = redact.clean(written, hide=settings.safety_redact_secrets)
    if 2 * len(text.encode()) > limit:
        data, cut = redact.bound(data, limit // 2 - 512, answer.keep_end)
        data["truncated"] = Cut(what="Showing " + ", ".join(cut), rest=answer.rest).model_dump()
        text = redact.compact(data)
    if isinstance(answer, TextAnswer):
        header, body = answer.rendered(data)
        text = f"{header}\n{redact.fence(body)}" if body else header
        if closing := answer.closing(data):
            text += f"\n{closing}"
        if "truncated" in data:
            text += f"\n{data['truncated']['what']}; {data['truncated']['rest']}"
    return Result(text, data)


def _refusal(refused: Refused, settings: Settings) -> Result:
    limit, hide = settings.safety_max_response_bytes, settings.safety_redact_secrets
    text = redact.told(str(refused), hide=hide)
    if len(text) > REFUSAL_CHARACTERS:  # it repeats what the caller sent; its end says what to do
        text = f"{text[: REFUSAL_CHARACTERS * 3 // 4]} […] {text[-REFUSAL_CHARACTERS // 4 :]}"
    if refused.detail:
        text += "\n" + redact.fence(redact.told(refused.detail, hide=hide)[-limit // 2 :])
    meta: dict[str, Any] = {"mcp-docker/code": refused.code}
    if isinstance(refused, errors.RateLimited):
        meta["mcp-docker/retry-after-seconds"] = refused.seconds
    return Result(text, meta=meta)


def _timed_out(asked: Declaration, limits: Limits, *, begun: bool) -> errors.TimedOut:
    spec = asked.spec
    if not begun:
        what = f"{spec.name} was not begun within {limits.seconds:g} s, since too many calls are under way"
        return errors.TimedOut(what, "nothing was done; call again later.")
    longer = f"SAFETY_TOOL_TIMEOUTS={spec.name}=SECONDS gives it longer"
    if spec.kind is not Kind.TOOL:
        longer = "SAFETY_DEFAULT_TOOL_TIMEOUT gives it longer"
    if spec.tier is Tier.SAFE:
        return errors.TimedOut(f"{spec.name} took longer than {limits.seconds:g} s", f"ask for less, or {longer}.")
    return errors.TimedOut(
        f"{spec.name} took longer than {limits.seconds:g} s and was stopped waiting for",
        f"it may have happened all the same: {spec.verify} tells. {longer}.",
    )
