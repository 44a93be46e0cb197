"""Images: made from a Dockerfile."""

import json
import shlex
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mcp_docker.engine import config, context, dockerfile, transfer
from mcp_docker.errors import BuildKitRequired
from mcp_docker.tool import Answer, Context, Tier, Tool
from mcp_docker.tools.fields import Environment, ImageName, Labels, reference

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
_HEREDOCS_ON_PODMAN = (4, 8)


class Built(Answer):
    rest = "the beginning of the log is not kept."
    keep_end = frozenset({"log"})

    id: str
    tag: str | None = None
    previous_id: str | None = Field(default=None, description="What the tag named before it moved")
    size: int | None = Field(default=None, description="Bytes")
    steps: int
    cached_steps: int
    warnings: list[str]
    log: list[str] = Field(description="The last lines")
    untrusted: Literal[True] = Field(default=True, description="The log is strangers' text")


class BuildImage(
    Tool,
    tier=Tier.MODERATE,
    open_world=True,
    seconds=300,
    verify="docker_list_images",
    gone={"stream": "progress notifications tell while it happens"},
):
    """Build an image from a folder with a Dockerfile, without BuildKit. What .dockerignore names stays out."""

    path: Annotated[str, Field(min_length=1, max_length=4_096, description="Folder on the server's machine")]
    tag: Annotated[ImageName | None, Field(description="name[:tag] for the image")] = None
    dockerfile: Annotated[str, Field(min_length=1, max_length=4_096, description="Within path")] = "Dockerfile"
    buildargs: Annotated[Environment | None, Field(description="They show in the image's history: no secrets")] = None
    target: Annotated[
        str | None, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$", description="Stage to stop at")
    ] = None
    labels: Annotated[Labels | None, Field(description="Labels for the image")] = None
    nocache: Annotated[bool, Field(description="Run every step again")] = False
    rm: Annotated[bool, Field(description="Remove intermediate containers")] = True
    pull: Annotated[bool, Field(description="Look for newer base images")] = False

    @model_validator(mode="after")
    def _local(self) -> Self:
        if self.path.startswith(_REMOTE) or self.path == "-":
            raise ValueError(f"path: {self.path[:200]!r} is remote: fetch it first, and give the folder")
        if self.tag is not None and reference(self.tag).digest:
            raise ValueError(f"tag: {self.tag!r} has a digest, which only a registry gives")
        return self

    def run(self, ctx: Context) -> Built:
        folder = context.opened(self.path, self.dockerfile)
        self._check_builder(ctx, folder)
        named = reference(self.tag) if self.tag else None
        whole = f"{named.name}:{named.tag or 'latest'}" if named else None
        before = (transfer.image_of(ctx.engine, whole) or {}).get("Id") if whole else None
        built = transfer.build(ctx, folder, self._query(ctx, folder, whole), self._remedy())
        now = transfer.image_of(ctx.engine, built.image or "") or {}
        found = now.get("Id") or built.image or ""
        return Built(
            id=found,
            tag=whole,
            previous_id=before if before != found else None,
            size=now.get("Size"),
            steps=built.begun,
            cached_steps=built.cached,
            warnings=built.warnings,
            log=list(built.log),
        )

    def _query(self, ctx: Context, folder: context.BuildContext, tag: str | None) -> dict[str, Any]:
        arguments = config.proxies(ctx.engine) | (self.buildargs or {})
        query = {
            "t": tag,
            "dockerfile": folder.dockerfile,
            "target": self.target,
            "nocache": self.nocache,
            "pull": self.pull,
            "rm": self.rm,
            # or a failed or cancelled build would leave its container
            "forcerm": self.rm,
            "buildargs": json.dumps(arguments) if arguments else None,
            "labels": json.dumps(self.labels) if self.labels else None,
        }
        return {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in query.items()
            if value is not None
        }

    def _check_builder(self, ctx: Context, folder: context.BuildContext) -> None:
        """Refuse what the engine's builder would refuse late, or build wrong."""
        engine = ctx.engine.connected
        if engine.is_podman:
            wanted = None if _version(engine.version) >= _HEREDOCS_ON_PODMAN else dockerfile.heredoc(folder.text)
        else:
            wanted = dockerfile.heredoc(folder.text) or dockerfile.buildkit_flag(folder.text)
        if wanted:
            raise BuildKitRequired(f"{wanted} of {folder.dockerfile!r} needs BuildKit", self._remedy())

    def _remedy(self) -> str:
        words = ["docker", "buildx", "build"]
        words += ["--tag", self.tag] if self.tag else []
        words += ["--file", f"{self.path.rstrip('/')}/{self.dockerfile}"] if self.dockerfile != "Dockerfile" else []
        words += ["--target", self.target] if self.target else []
        # values may be secret
        words += [word for name in self.buildargs or {} for word in ("--build-arg", name)]
        words += [word for name, value in (self.labels or {}).items() for word in ("--label", f"{name}={value}")]
        return f"run it where there is BuildKit: {shlex.join([*words, self.path])}"


def _version(version: dict[str, Any]) -> tuple[int, int]:
    major, _, rest = str(version.get("Version") or "0.0").partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
