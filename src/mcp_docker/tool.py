"""What a tool is: its tier, its declaration, what it is given, and what it answers."""

import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from mcp_docker.arguments import parsed

if TYPE_CHECKING:
    from mcp_docker.engine import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


class Kind(StrEnum):
    """What clients can ask for by name."""

    TOOL = "tool"
    PROMPT = "prompt"
    RESOURCE = "resource"
    SUBSCRIPTION = "subscription"
    COMPLETION = "completion"


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
        waits: tells the caller that the engine is silent now for up to so many seconds, and for what.
        cancelled: waits up to so many seconds; true as soon as the call is cancelled or out of time.
        gather: bounded fan-out over items.
        permit: asks the policy for powers; what it makes of each: for a path of the host, the resolved one. Raises
            NotPermitted.
        outlook: what `look` found, when the tool runs: judged by the policy, and confirmed where somebody was asked.
        tools: names of the tools that the caller sees: facts of others are left out, and advice names only these.
        at_hand: whether the caller is a person at this machine, and not somebody on the network.
    """

    engine: "Engine"
    limits: Limits
    progress: Callable[[float, float, str], None]
    waits: Callable[[float, str], None]
    cancelled: Callable[[float], bool]
    gather: Gather
    permit: Callable[[Iterable[Demand]], Mapping[Demand, str]]
    outlook: Outlook = Outlook()
    tools: frozenset[str] = frozenset()
    at_hand: bool = False


@dataclass(frozen=True)
class Spec:
    """What a declaration is called and how it behaves, derived once from its class."""

    name: str
    label: str
    description: str
    kind: Kind = Kind.TOOL
    toolset: str = ""
    tier: Tier = Tier.SAFE
    idempotent: bool = True
    open_world: bool = False
    seconds: float | None = None
    verify: str = ""
    sweeping: bool = False
    aliases: tuple[str, ...] = ()
    gone: Mapping[str, str] = field(default_factory=dict)
    page: str = ""
    shows: tuple[str, ...] = ()

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

    @classmethod
    def closing(cls, data: dict[str, Any]) -> str:  # noqa: ARG003 - those that close need it
        """What we say after the text."""
        return ""


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


class Declaration(BaseModel):
    """The model of the arguments of what clients ask for by name, and what it does with them.

    A subclass is the whole of it: class name -> name, docstring -> description, fields -> arguments.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, populate_by_name=True)

    spec: ClassVar[Spec]

    def run(self, ctx: Context) -> Answer:
        """Do it, in a worker thread. Docker's errors are translated by the caller."""
        raise NotImplementedError

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
        return parsed(cls, cls.spec.name, arguments, cls.spec.gone)

    @classmethod
    def words(cls) -> str:
        """The class name in words. Raises TypeError for a class that lacks what a declaration has."""
        if not cls.__doc__ or cls.run is Declaration.run or "return" not in cls.run.__annotations__:
            raise TypeError(f"{cls.__name__} needs a docstring, and a run() with a return annotation")
        hidden = {name for name in cls.__annotations__ if name != "spec" and hasattr(Tool, name)}
        if hidden:
            raise TypeError(f"{cls.__name__}: fields hide attributes of Tool: {', '.join(sorted(hidden))}")
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()


class Tool(Declaration):
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
        page: the ui:// page that shows its answer where the client can (MCP Apps).
    """

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
        page: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        words = cls.words()
        if tier is Tier.DESTRUCTIVE and ("look" not in cls.__dict__ or "dry_run" not in cls.__annotations__):
            raise TypeError(f"{cls.__name__}: a destructive tool has a look() that says what it loses, and dry_run")
        if (tier is Tier.SAFE) == bool(verify):
            raise TypeError(f"{cls.__name__}: `verify` names the tool that tells what a write did; only writes do")
        cls.spec = Spec(
            name="docker_" + words.replace(" ", "_"),
            label=label or words.capitalize(),
            description=inspect.cleandoc(cls.__doc__ or ""),
            toolset=cls.__module__.partition(".tools.")[2].partition(".")[0],
            tier=tier,
            idempotent=idempotent,
            open_world=open_world,
            seconds=seconds,
            verify=verify,
            sweeping=sweeping,
            aliases=aliases,
            gone=gone,
            page=page,
        )

    def demands(self) -> Iterator[Demand]:
        """The powers that these arguments ask for beyond the tier."""
        yield from ()

    def look(self, ctx: Context) -> Outlook:  # noqa: ARG002 - those that look need it
        """What the call is about to do, found out by reading only. Not asked of SAFE tools."""
        return Outlook()
