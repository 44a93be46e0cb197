"""Images: made from a Dockerfile."""

import json
import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mcp_docker.engine import config, context, dockerfile, transfer
from mcp_docker.errors import BuildKitRequired, InvalidArguments
from mcp_docker.tool import Answer, Context, Demand, Outlook, Power, Tier, Tool
from mcp_docker.tools.fields import Environment, ImageName, Labels, reference
from mcp_docker.tools.images.transfer import carrier

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
_HEREDOCS_ON_PODMAN = (4, 8)
_NAMES_SHOWN = 20
_POWERS = {"network": Power.HOST_NAMESPACE, "security": Power.SECURITY_OPTION, "device": Power.DEVICE}


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
    left_out: list[str] | None = Field(default=None, description="What looks like a secret and was not sent")
    left_out_count: int | None = None
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

    def demands(self) -> Iterator[Demand]:
        yield Demand(Power.BUILD_ROOT, self.path)

    def look(self, ctx: Context) -> Outlook:
        folder = self._folder(ctx)
        # whatever is wrong with the folder is found out before anything is intended
        context.planned(folder, ctx.engine.settings)
        moved = carrier(ctx.engine, self._whole()) if self.tag else None
        return Outlook(changes=(moved,) if moved else (), demands=tuple(self._asked(ctx, folder)))

    def run(self, ctx: Context) -> Built:
        # the Dockerfile may have changed since it was looked at
        folder = self._folder(ctx)
        ctx.permit(self._asked(ctx, folder))
        folder = context.planned(folder, ctx.engine.settings)
        whole = self._whole() if self.tag else None
        before = (transfer.image_of(ctx.engine, whole) or {}).get("Id") if whole else None
        with context.explaining(folder):
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
            left_out=list(folder.left_out[:_NAMES_SHOWN]) or None,
            left_out_count=len(folder.left_out) or None,
            log=list(built.log),
        )

    def _folder(self, ctx: Context) -> context.BuildContext:
        """The folder, as the policy resolves it, with a Dockerfile that this engine's builder knows."""
        wanted = Demand(Power.BUILD_ROOT, context.resolved(self.path))
        folder = context.opened(ctx.permit([wanted])[wanted], self.dockerfile)
        self._check_builder(ctx, folder)
        return folder

    def _whole(self) -> str:
        named = reference(self.tag or "")
        return f"{named.name}:{named.tag or 'latest'}"

    def _asked(self, ctx: Context, folder: context.BuildContext) -> list[Demand]:
        """What the Dockerfile asks for: images that the builder does not find here, or looks for anew; the host."""
        arguments = self._arguments(ctx)
        demands: dict[Demand, None] = {}
        texts, seen = [folder.text], {""}
        while texts:
            text = texts.pop()
            for words, flag in dockerfile.privileges(text).items():
                demands[Demand(_POWERS[flag], words)] = None
            for base in dockerfile.images(text, arguments):
                here = transfer.image_of(ctx.engine, base.name) or {}
                if self.pull or not here or not base.any_platform:
                    demands[Demand(Power.PULL, base.name)] = None
                # what an image keeps for the builds on it
                kept = "\n".join((here.get("Config") or {}).get("OnBuild") or [])
                if kept not in seen:
                    seen.add(kept)
                    texts.append(kept)
        return list(demands)

    def _arguments(self, ctx: Context) -> dict[str, str]:
        return config.proxies(ctx.engine) | (self.buildargs or {})

    def _query(self, ctx: Context, folder: context.BuildContext, tag: str | None) -> dict[str, Any]:
        arguments = self._arguments(ctx)
        query = {
            "t": tag,
            # Podman takes a name that is JSON for a list of other files, of URLs and of the host's own
            "dockerfile": f"./{folder.dockerfile}" if ctx.engine.connected.is_podman else folder.dockerfile,
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
        if engine.is_podman and folder.dockerfile.endswith(".in"):
            raise InvalidArguments(
                f"dockerfile: Podman would have the C preprocessor change {folder.dockerfile!r} after it was looked at",
                "give it a name that does not end in .in.",
            )
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
