"""What can go wrong, as one tree.

McpDockerError
├── SettingsError               the start stops, exit status 78
└── Refused                     an isError result that a model can act on
    ├── ToolNotAvailable        unknown or not visible: the same words for both
    ├── InvalidArguments        the arguments don't fit the tool
    ├── NotPermitted            the operator's settings forbid what the arguments ask for
    ├── Cancelled               the client cancelled, or is gone
    ├── TimedOut                the time limit passed
    ├── EngineUnreachable       no engine answered
    ├── BadParameter            the engine refuses the arguments
    ├── NotFound                no such object
    │   └── ImageNotFound       no such image: pull it first
    ├── Conflict                the object's state forbids it
    │   ├── NameTaken           another object has this name
    │   ├── InUse               something else uses the object
    │   └── PortTaken           the host's port is taken
    ├── Unsupported             this engine can't do it
    │   └── BuildKitRequired    the Dockerfile needs BuildKit
    ├── RegistryDenied          the registry wants other credentials
    ├── RegistryFailed          a pull or push ended in an error
    ├── BuildFailed             a step of the build failed
    ├── EngineError             any other error of the engine
    └── InternalError           a fault of ours
"""

from typing import ClassVar


class McpDockerError(Exception):
    """Root of every exception this package raises on purpose."""


class SettingsError(McpDockerError):
    """Settings that can't be honoured. `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Refused(McpDockerError):
    """A call that was not done, said so that a model can act on it.

    Args:
        what: what was refused or went wrong, without a full stop.
        hint: what to do instead, or which setting allows it.
        detail: text of a stranger's that explains it (the end of a build log); it follows, fenced.
    """

    code: ClassVar[str]

    def __init__(self, what: str, hint: str, *, detail: str = "") -> None:
        super().__init__(f"REFUSED [{self.code}] {what}; {hint}")
        self.detail = detail

    def add(self, more: str) -> None:
        """Say one sentence more: what a tool did about it."""
        self.args = (f"{self} {more}",)


class ToolNotAvailable(Refused):
    code = "TOOL_NOT_AVAILABLE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'"{name}" is not available here. Available tools are in tools/list',
            'which tiers are on is the operator\'s choice (SAFETY_ALLOW_*; see "mcp-docker tools").',
        )


class InvalidArguments(Refused):
    code = "INVALID_ARGUMENTS"


class NotPermitted(Refused):
    code = "NOT_PERMITTED"


class Cancelled(Refused):
    code = "CANCELLED"


class TimedOut(Refused):
    code = "TIMED_OUT"


class EngineUnreachable(Refused):
    code = "ENGINE_UNREACHABLE"


class BadParameter(Refused):
    code = "BAD_PARAMETER"


class NotFound(Refused):
    code = "NOT_FOUND"


class ImageNotFound(NotFound):
    code = "IMAGE_NOT_FOUND"


class Conflict(Refused):
    code = "CONFLICT"


class NameTaken(Conflict):
    code = "NAME_TAKEN"


class InUse(Conflict):
    code = "IN_USE"


class PortTaken(Conflict):
    code = "PORT_TAKEN"


class Unsupported(Refused):
    code = "UNSUPPORTED"


class BuildKitRequired(Unsupported):
    code = "BUILDKIT_REQUIRED"


class RegistryDenied(Refused):
    code = "REGISTRY_DENIED"


class RegistryFailed(Refused):
    code = "REGISTRY_FAILED"


class BuildFailed(Refused):
    code = "BUILD_FAILED"


class EngineError(Refused):
    code = "ENGINE_ERROR"


class InternalError(Refused):
    code = "INTERNAL_ERROR"
