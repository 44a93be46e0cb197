"""What can go wrong, as one tree.

McpDockerError
├── SettingsError               the start stops, exit status 78
└── Refused                     an isError result that a model can act on
    ├── NotAvailable            unknown or not visible: the same words for both
    │   ├── ToolNotAvailable
    │   ├── PromptNotAvailable
    │   └── ResourceNotAvailable
    ├── InvalidArguments        the arguments don't fit the tool
    ├── NotPermitted            the operator's settings forbid what the arguments ask for
    │   ├── PrivilegeRefused    privileges over the host
    │   ├── MountRefused        a path of the host
    │   ├── MountNotCheckable   a path of the host, where its file system can't be seen from here
    │   ├── VolumeRefused       a volume's driver or options
    │   ├── NetworkRefused      a network's driver, options or subnet
    │   ├── AddressRefused      a port published beyond the host itself
    │   ├── ExecRefused         a command in a container that is as good as the host, or as root
    │   ├── BuildRefused        a build context outside the allowed roots, or too large
    │   ├── RegistryRefused     a registry that is not allowed
    │   ├── DeletionRefused     a change that deletes, where destructive tools are off
    │   ├── Protected           an object that carries a protected label
    │   └── OwnContainer        the container that this server runs in
    ├── AmbiguousIdentifier     more than one object could be meant
    ├── InexactIdentifier       too short a prefix for what can't be undone
    ├── NotConfirmed            a person declined, or gave no valid answer
    │   ├── ConfirmationTimedOut    nobody answered in time
    │   └── ConfirmationUnavailable the client can't ask, and the operator wants a person asked
    ├── RateLimited             too many calls
    ├── TooManyFollowed         too many logs and stats are subscribed to
    ├── AuditUnavailable        the audit log can't be written, and this is a change
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
        self.what, self.hint = what, hint
        self.detail = detail

    def add(self, more: str) -> None:
        """Say one sentence more: what a tool did about it."""
        self.args = (f"{self} {more}",)


class NotAvailable(Refused):
    """Unknown, or not visible: the same words for both."""

    list_method: ClassVar[str]
    choice: ClassVar[str]

    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" is not available here. {self.list_method}', self.choice)


class ToolNotAvailable(NotAvailable):
    """Unknown tools and ones that are not visible: the same words for both."""

    code = "TOOL_NOT_AVAILABLE"
    list_method = "Available tools are in tools/list"
    choice = 'which tiers are on is the operator\'s choice (SAFETY_ALLOW_*; see "mcp-docker tools").'


class PromptNotAvailable(NotAvailable):
    """Unknown prompts and ones that are not visible: the same words for both."""

    code = "PROMPT_NOT_AVAILABLE"
    list_method = "Available prompts are in prompts/list"
    choice = "which are on is the operator's choice (SAFETY_ALLOWED_PROMPTS, and the tools whose facts they show)."


class ResourceNotAvailable(NotAvailable):
    """Unknown resources and ones that are not visible: the same words for both."""

    code = "RESOURCE_NOT_AVAILABLE"
    list_method = "Available resources are in resources/list and resources/templates/list"
    choice = (
        "which ones are on is the operator's choice (SAFETY_ALLOWED_RESOURCES, and the tools whose facts they show)."
    )


class InvalidArguments(Refused):
    """The arguments don't fit the tool."""

    code = "INVALID_ARGUMENTS"


class NotPermitted(Refused):
    """The operator's settings forbid what the arguments ask for."""

    code = "NOT_PERMITTED"


class PrivilegeRefused(NotPermitted):
    """Privileged mode, host namespaces, capabilities, devices and the like are not allowed."""

    code = "PRIVILEGE_NOT_ALLOWED"


class MountRefused(NotPermitted):
    """A path of the host is outside the allowed roots, or is never mounted."""

    code = "MOUNT_NOT_ALLOWED"


class MountNotCheckable(NotPermitted):
    """A path of the host can't be checked, since the engine's file system can't be seen from here."""

    code = "MOUNT_NOT_CHECKABLE"


class VolumeRefused(NotPermitted):
    """A volume's driver or options are not allowed: they can mount the host."""

    code = "VOLUME_NOT_ALLOWED"


class NetworkRefused(NotPermitted):
    """A network's driver, options or subnet reach the host's own network."""

    code = "NETWORK_NOT_ALLOWED"


class AddressRefused(NotPermitted):
    """A port would be published on an address that is not allowed."""

    code = "ADDRESS_NOT_ALLOWED"


class ExecRefused(NotPermitted):
    """The container is as good as the host, or the command would run as root where the container does not."""

    code = "EXEC_NOT_ALLOWED"


class BuildRefused(NotPermitted):
    """The build context is outside the allowed roots, or larger than allowed."""

    code = "BUILD_NOT_ALLOWED"


class RegistryRefused(NotPermitted):
    """The registry is not among those allowed for pulls, or for pushes."""

    code = "REGISTRY_NOT_ALLOWED"


class DeletionRefused(NotPermitted):
    """The call would delete something, and destructive operations are switched off."""

    code = "DELETION_NOT_ALLOWED"


class Protected(NotPermitted):
    """The object carries a label that the operator protects."""

    code = "PROTECTED"


class OwnContainer(NotPermitted):
    """This server runs in that container."""

    code = "OWN_CONTAINER"


class AmbiguousIdentifier(Refused):
    """The identifier is the beginning of several ids, or the name of one object and the beginning of another's id."""

    code = "AMBIGUOUS_IDENTIFIER"


class InexactIdentifier(Refused):
    """What can't be undone takes an exact name, or at least 12 hexadecimal digits of an id."""

    code = "INEXACT_IDENTIFIER"


class NotConfirmed(Refused):
    """A person was asked, and did not agree."""

    code = "NOT_CONFIRMED"


class ConfirmationTimedOut(NotConfirmed):
    """A person was asked, and nobody answered in time."""

    code = "CONFIRMATION_TIMED_OUT"


class ConfirmationUnavailable(NotConfirmed):
    """The operator wants a person asked, and this client can't ask one."""

    code = "CONFIRMATION_UNAVAILABLE"


class RateLimited(Refused):
    """Too many calls in too short a time, or too many at once. `seconds` says when to try again."""

    code = "RATE_LIMITED"

    def __init__(self, what: str, hint: str, *, seconds: int = 1) -> None:
        super().__init__(what, hint)
        self.seconds = seconds


class TooManyFollowed(Refused):
    """More logs and stats are subscribed to than the server follows at once."""

    code = "TOO_MANY_SUBSCRIPTIONS"


class AuditUnavailable(Refused):
    """The audit log can't be written, so nothing is changed."""

    code = "AUDIT_UNAVAILABLE"


class Cancelled(Refused):
    """The client cancelled the call, or is gone."""

    code = "CANCELLED"


class TimedOut(Refused):
    """The time limit of the call passed."""

    code = "TIMED_OUT"


class EngineUnreachable(Refused):
    """No engine answered."""

    code = "ENGINE_UNREACHABLE"


class BadParameter(Refused):
    """The engine refuses the arguments."""

    code = "BAD_PARAMETER"


class NotFound(Refused):
    """There is no such object."""

    code = "NOT_FOUND"


class ImageNotFound(NotFound):
    """There is no such image here."""

    code = "IMAGE_NOT_FOUND"


class Conflict(Refused):
    """The object's state forbids it."""

    code = "CONFLICT"


class NameTaken(Conflict):
    """Another object has this name."""

    code = "NAME_TAKEN"


class InUse(Conflict):
    """Something else uses the object."""

    code = "IN_USE"


class PortTaken(Conflict):
    """The host's port is taken."""

    code = "PORT_TAKEN"


class Unsupported(Refused):
    """This engine can't do it."""

    code = "UNSUPPORTED"


class BuildKitRequired(Unsupported):
    """The Dockerfile needs BuildKit."""

    code = "BUILDKIT_REQUIRED"


class RegistryDenied(Refused):
    """The registry wants other credentials."""

    code = "REGISTRY_DENIED"


class RegistryFailed(Refused):
    """A pull or push ended in an error."""

    code = "REGISTRY_FAILED"


class BuildFailed(Refused):
    """A step of the build failed."""

    code = "BUILD_FAILED"


class EngineError(Refused):
    """The engine answered with another error."""

    code = "ENGINE_ERROR"


class InternalError(Refused):
    """A fault of this server; its log says more."""

    code = "INTERNAL_ERROR"
