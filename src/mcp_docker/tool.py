"""What a tool is: its tier, its declaration, what it is given, and what it answers."""

import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcp_docker.errors import InvalidArguments

if TYPE_CHECKING:
    from mcp_docker.engine import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


class Tier(StrEnum):
    """How much a tool can lose. Tiers cumulate: each needs the ones above it."""

    SAFE = "safe"
    MODERATE = "moderate"
    DESTRUCTIVE = "destructive"


class Power(StrEnum):
    """What arguments can ask for beyond the tool's tier. The policy decides; a tool only says."""

    PRIVILEGED = "privileged"
    HOST_NAMESPACE = "host namespace"
    CAPABILITY = "capability"
    SECURITY_OPTION = "security option"
    HOST_MOUNT = "host mount"
    VOLUME_DRIVER = "volume driver"
    VOLUME_OPTION = "volume option"
    NETWORK_DRIVER = "network driver"
    PUBLISH_ADDRESS = "publish address"
    DEVICE = "device"
    SYSCTL = "sysctl"
    RUNTIME = "runtime"
    CGROUP_PARENT = "cgroup parent"
    EXEC_ROOT = "exec as root"
    EXEC_TARGET = "exec in"
    EXEC_MOUNT = "exec where there is"
    PULL = "pull from"
    PUSH = "push to"
    BUILD_ROOT = "build context"
    DELETION = "deletion"


@dataclass(frozen=True)
class Demand:
    """One power that a call asks for, with the value that asks."""

    power: Power
    value: str


@dataclass(frozen=True)
class Thing:
    """An object of the engine that a call changes or takes away.

    Attributes:
        kind: container, image, network, volume, tag or build cache.
        id: its full id; a volume has none but its name.
        created: when it was made, as the engine writes it: a volume of the same name may be another one.
        about: in a few words, what a person should know before it goes.
        bytes: what its removal frees, where the engine tells.
    """

    kind: str
    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    about: str = ""
    bytes: int | None = None


@dataclass(frozen=True)
class Outlook:
    """What a call is about to do, as the engine has it now.

    Attributes:
        changes: objects that it changes and that are there afterwards.
        loses: objects that it takes away, all of them.
        demands: powers that only the engine's facts show to be asked for.
        found: the object that the call is about, as the engine's inspect shows it, for what comes next.
    """

    changes: tuple[Thing, ...] = ()
    loses: tuple[Thing, ...] = ()
    demands: tuple[Demand, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """Bounds of one call: seconds for the whole of it, bytes for its result."""

    seconds: float
    response_bytes: int


class Gather(Protocol):
    """Runs `fn` over `items` concurrently, bounded and cancellable; results in the order of `items`."""

    def __call__(self, fn: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]: ...


@dataclass(frozen=True)
class Context:
    """What a running tool is given, and nothing else.

    Attributes:
        engine: the Docker Engine.
        limits: the bounds of this call.
        progress: tells the caller how far the work is: done, total (0 if unknown), a message.
        cancelled: waits up to so many seconds; true as soon as the call is cancelled or out of time.
        gather: bounded fan-out over items.
        permit: asks the policy for powers; what it makes of each: for a path of the host, the resolved one. Raises
            NotPermitted.
        outlook: what `look` found, when the tool runs: judged by the policy, and confirmed where somebody was asked.
    """

    engine: "Engine"
    limits: Limits
    progress: Callable[[float, float, str], None]
    cancelled: Callable[[float], bool]
    gather: Gather
    permit: Callable[[Iterable[Demand]], Mapping[Demand, str]]
    outlook: Outlook = Outlook()


@dataclass(frozen=True)
class Spec:
    """What a tool is called and how it behaves, derived once from its class."""

    name: str
    label: str
    description: str
    toolset: str
    tier: Tier
    idempotent: bool
    open_world: bool
    seconds: float | None
    verify: str
    sweeping: bool
    aliases: tuple[str, ...]
    gone: Mapping[str, str]

    @property
    def annotations(self) -> dict[str, bool]:
        """MCP ToolAnnotations; the tier alone decides what is read-only or destructive."""
        safe = self.tier is Tier.SAFE
        return {
            "readOnlyHint": safe,
            "destructiveHint": self.tier is Tier.DESTRUCTIVE,
            "idempotentHint": safe or self.idempotent,
            "openWorldHint": self.open_world,
        }


class Cut(BaseModel):
    """What was left out of an answer to keep it within the limit, and how to get the rest."""

    model_config = ConfigDict(defer_build=True)

    what: str
    rest: str


class Fact(BaseModel):
    """A part of an answer: fields we chose. Absent means unknown or not applicable."""

    model_config = ConfigDict(defer_build=True, extra="forbid", populate_by_name=True)


class Answer(Fact):
    """The whole of a tool's answer.

    Attributes:
        rest: how to get what a cut left out.
        keep_end: lists of which the end is worth more than the beginning.
    """

    rest: ClassVar[str] = "narrow the call to see the rest."
    keep_end: ClassVar[frozenset[str]] = frozenset()

    truncated: Cut | None = Field(default=None, description="Set when parts were left out")


class TextAnswer(Answer):
    """An answer that is mostly a stranger's text: shown as a header line, then the text, fenced.

    `untrusted` marks it as such in the structured result.
    """

    untrusted: Literal[True] = True

    @classmethod
    def rendered(cls, data: dict[str, Any]) -> tuple[str, str]:
        """The header line and the text, from the answer as data."""
        raise NotImplementedError


class Lost(Fact):
    """One object that a call takes away."""

    kind: str
    id: str
    name: str
    about: str | None = None
    bytes: int | None = None


class LossAnswer(Answer):
    """The answer of a destructive tool: what it took away, or, with dry_run, what it would."""

    rest: ClassVar[str] = "narrow the call to see the rest."

    would_lose: list[Lost] | None = Field(default=None, description="With dry_run: all that the call would take away")
    would_free_bytes: int | None = Field(default=None, description="Absent where unknown")


class Tool(BaseModel):
    """The model of a tool's own arguments, and what it does with them.

    A subclass is the whole tool: class name -> tool name, module -> toolset, docstring -> description, fields ->
    input schema, return annotation of `run` -> output schema.

    Class keywords:
        tier: how much it can lose.
        idempotent: a second call with the same arguments changes nothing more.
        open_world: it reaches beyond the engine (registries).
        seconds: its own time limit; without one, SAFETY_DEFAULT_TOOL_TIMEOUT.
        label: display title; without one, the class name in words.
        verify: for a tool that writes: the tool that tells whether a call that timed out has happened.
        sweeping: it takes what it finds (a prune): what the policy spares is left out, not refused.
        aliases: other names it is called and listed by.
        gone: arguments that earlier versions had, and what replaced each.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, populate_by_name=True)

    spec: ClassVar[Spec]

    def __init_subclass__(
        cls,
        *,
        tier: Tier,
        idempotent: bool = False,
        open_world: bool = False,
        seconds: float | None = None,
        label: str = "",
        verify: str = "",
        sweeping: bool = False,
        aliases: tuple[str, ...] = (),
        gone: Mapping[str, str] = types.MappingProxyType({}),
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()
        if not cls.__doc__ or "run" not in cls.__dict__ or "return" not in cls.run.__annotations__:
            raise TypeError(f"{cls.__name__} needs a docstring, and a run() with a return annotation")
        if tier is Tier.DESTRUCTIVE and ("look" not in cls.__dict__ or "dry_run" not in cls.__annotations__):
            raise TypeError(f"{cls.__name__}: a destructive tool has a look() that says what it loses, and dry_run")
        if (tier is Tier.SAFE) == bool(verify):
            raise TypeError(f"{cls.__name__}: `verify` names the tool that tells what a write did; only writes do")
        hidden = {name for name in cls.__annotations__ if name != "spec" and hasattr(Tool, name)}
        if hidden:
            raise TypeError(f"{cls.__name__}: fields hide attributes of Tool: {', '.join(sorted(hidden))}")
        cls.spec = Spec(
            name="docker_" + words.replace(" ", "_"),
            label=label or words.capitalize(),
            description=inspect.cleandoc(cls.__doc__),
            toolset=cls.__module__.partition(".tools.")[2].partition(".")[0],
            tier=tier,
            idempotent=idempotent,
            open_world=open_world,
            seconds=seconds,
            verify=verify,
            sweeping=sweeping,
            aliases=aliases,
            gone=gone,
        )

    def run(self, ctx: Context) -> Answer:
        """Do it, in a worker thread. Docker's errors are translated by the caller."""
        raise NotImplementedError

    def demands(self) -> Iterator[Demand]:
        """The powers that these arguments ask for beyond the tier."""
        yield from ()

    def look(self, ctx: Context) -> Outlook:  # noqa: ARG002 - those that look need it
        """What the call is about to do, found out by reading only. Not asked of SAFE tools."""
        return Outlook()

    def seconds_needed(self) -> float | None:
        """Seconds that these arguments need, where they name a time themselves."""
        return None

    @classmethod
    def answer_type(cls) -> type[Answer]:
        """The model that `run` returns."""
        answer: type[Answer] = get_type_hints(cls.run)["return"]
        return answer

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> Self:
        """Validate a client's arguments; null counts as absent.

        Raises:
            InvalidArguments: with each argument that is unknown or does not fit, by name.
        """
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        known = set(fields) | {name for field in fields.values() for name in _other_names(field)}
        if unknown := [name for name in arguments if name not in known]:
            raise InvalidArguments(
                f"{cls.spec.name} has no argument {', '.join(repr(name) for name in unknown)}",
                "; ".join(
                    [f"{name}: {cls.spec.gone[name]}" for name in unknown if name in cls.spec.gone]
                    + [f"it takes {', '.join(fields) or 'none'}."]
                ),
            )
        decoded = {
            name: _decoded(value, fields[name].annotation) if name in fields else value
            for name, value in arguments.items()
            if value is not None
        }
        try:
            return cls.model_validate(decoded)
        except ValidationError as error:
            problems = "; ".join(_problem(detail) for detail in error.errors(include_url=False))
            raise InvalidArguments(f"{cls.spec.name}: {problems}", "correct the arguments and call again.") from None


def _other_names(field: Any) -> tuple[str, ...]:
    alias = field.validation_alias
    return tuple(str(choice) for choice in alias.choices) if hasattr(alias, "choices") else ()


def _decoded(value: Any, annotation: Any) -> Any:
    """Some clients send structured arguments as JSON text; decode where text could not be meant."""
    if isinstance(value, str) and value[:1] in ("{", "[") and not _takes_text(annotation):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _takes_text(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _takes_text(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return any(_takes_text(branch) for branch in get_args(annotation))
    if origin is not None:
        return isinstance(get_args(annotation)[0], str)
    return isinstance(annotation, type) and issubclass(annotation, str)


def _problem(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
