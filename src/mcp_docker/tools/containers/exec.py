"""Containers: running a command inside."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr, model_validator

from mcp_docker.engine import exec as engine_exec
from mcp_docker.engine import lookup, users
from mcp_docker.tool import Context, Demand, Outlook, Power, TextAnswer, Tier, Tool
from mcp_docker.tools.containers.lifecycle import name_of, thing_of
from mcp_docker.tools.containers.options import User, WorkingDir, capabilities
from mcp_docker.tools.containers.powers import ALMIGHTY, host_paths, shared, volume_sources
from mcp_docker.tools.fields import Command, ContainerId, Environment

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_SHELL = re.compile(r"(?:.*/)?[a-z]*sh")
_MEANT_FOR_SHELL = re.compile(r"[|&;<>$`*?~()]")
_QUOTED = re.compile(r"""\\.|'[^']*'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
_PLAIN_IN_QUOTES = re.compile(r"\\.|[^$`]", re.DOTALL)


class CommandRun(TextAnswer):
    """What the command printed, and how it ended."""

    rest: ClassVar[str] = "have the command print less, or into a file that other commands read in parts."
    keep_end: ClassVar[frozenset[str]] = frozenset({"stdout", "stderr"})

    exit_code: int | None = None
    stdout: str
    stderr: str
    dropped_bytes: int | None = Field(default=None, description="Left out at the beginning")
    hint: str | None = None

    @classmethod
    def rendered(cls, data: dict[str, Any]) -> tuple[str, str]:
        header = f"exit code {data.get('exit_code', 'unknown')}"
        if "dropped_bytes" in data:
            header += f", the first {data['dropped_bytes']} bytes are left out"
        if "hint" in data:
            header += f". {data['hint']}"
        parts = [data["stdout"].rstrip("\n")]
        if data["stderr"]:
            parts.append("--- stderr\n" + data["stderr"].rstrip("\n"))
        return header, "\n".join(part for part in parts if part)


class ExecCommand(
    Tool,
    tier=Tier.MODERATE,
    seconds=60,
    verify="docker_inspect_container",
    gone={"detach": "the call returns when the command ends", "stream": "the output is returned whole"},
):
    """Run a command in a running container; returns its exit code and output. No shell: use ["sh","-c","…"] for one."""

    container_id: ContainerId
    command: Annotated[Command, Field(min_length=1, description="Program and arguments")]
    workdir: Annotated[WorkingDir, Field(description="Absolute path")] = ""
    user: Annotated[User, Field(description="name, uid or uid:gid")] = ""
    environment: Annotated[Environment | None, Field(description="More variables")] = None
    privileged: Annotated[bool, Field(description="All capabilities")] = False

    _text: str = PrivateAttr("")

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: Any) -> "ExecCommand":
        made: ExecCommand = handler(value)
        command = value.get("command") if isinstance(value, dict) else None
        made._text = command if isinstance(command, str) and not command.lstrip().startswith("[") else ""
        return made

    def demands(self) -> Iterator[Demand]:
        if self.privileged:
            yield Demand(Power.PRIVILEGED, "exec")

    def look(self, ctx: Context) -> Outlook:
        found = lookup.container(ctx.engine, self.container_id)
        return Outlook(changes=(thing_of(found),), demands=tuple(self._reach(ctx, found)))

    def _reach(self, ctx: Context, found: dict[str, Any]) -> Iterator[Demand]:
        """What a command in this container would have beyond the container itself."""
        name = name_of(found)
        # whose processes are seen, their files are too: /proc/PID/root
        sees_others = str((found.get("HostConfig") or {}).get("PidMode") or "").startswith("container:")
        for container in shared(ctx, found):
            if not container:
                # it may have had the host's
                yield Demand(Power.EXEC_TARGET, f"{name}, which shares a namespace of a container that is gone,")
            host = container.get("HostConfig") or {}
            where = f"{name}," if container is found else f"{name}, which shares a namespace of {name_of(container)},"
            if host.get("Privileged") or set(capabilities(host.get("CapAdd") or [])) & ALMIGHTY:
                yield Demand(Power.EXEC_TARGET, f"{where} which is privileged,")
            for kind in ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode"):
                if host.get(kind) == "host":
                    yield Demand(Power.EXEC_TARGET, f"{where} which shares the host's namespace ({kind}),")
            if container is found or sees_others:
                for path in (*host_paths(container), *volume_sources(ctx, container)):
                    yield Demand(Power.EXEC_MOUNT, path)
        user, own = self.user.partition(":")[0], users.own(found)
        if user and user != own and not users.is_root(own) and users.may_be_root(ctx.engine, found, user):
            yield Demand(Power.EXEC_ROOT, f"({user}) in {name}, whose own user is {own},")

    def run(self, ctx: Context) -> CommandRun:
        (container,) = ctx.outlook.changes
        what = engine_exec.Exec(
            container.id, self.command, self.user, self.workdir or None, self.environment or {}, self.privileged
        )
        code, output = engine_exec.run(ctx, what, ctx.limits.response_bytes // 4)
        stdout, stderr = output["stdout"].text(), output["stderr"].text()
        dropped = output["stdout"].dropped + output["stderr"].dropped
        return CommandRun(
            exit_code=code, stdout=stdout, stderr=stderr, dropped_bytes=dropped or None, hint=self._hint(code)
        )

    def _hint(self, code: int | None) -> str | None:
        hints = []
        if code in (NOT_EXECUTABLE, NOT_FOUND):
            hints.append("The program does not exist in the container, or can't be run there.")
        if code is None:
            hints.append("It still runs: what it prints from now on, or what was lost on the way, is not here.")
        if not _SHELL.fullmatch(self.command[0]) and _MEANT_FOR_SHELL.search(_unquoted(self._text)):
            hints.append(
                'No shell was involved, so |, >, $ and the like are plain text: use ["sh","-c","…"] for a shell.'
            )
        return " ".join(hints) or None


def _unquoted(text: str) -> str:
    """What a shell would not take for plain text."""
    return _QUOTED.sub(lambda match: _PLAIN_IN_QUOTES.sub("", match[1] or ""), text)
