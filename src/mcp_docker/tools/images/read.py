"""Images: what there is, and of what it is made."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from mcp_docker.engine import lookup
from mcp_docker.tool import Answer, Context, Fact, Tier, Tool
from mcp_docker.tools.fields import Filters, ImageRef


class ImageRow(Fact):
    """An image in a list."""

    id: str
    tags: list[str] = Field(description="None: the image is dangling, or known by digest only")
    digests: list[str] | None = Field(default=None, description="Where there are no tags")
    size: int = Field(description="Bytes")
    created: int = Field(description="Unix seconds")


class ImageList(Answer):
    rest = "use filters or limit to see others."

    images: list[ImageRow]


class ListImages(Tool, tier=Tier.SAFE):
    """List images, newest first."""

    all: Annotated[bool, Field(description="Intermediate ones too")] = False
    filters: Annotated[
        Filters | None,
        Field(description='Docker filters, e.g. {"reference":"redis*","dangling":true,"label":"a=b"}'),
    ] = None
    limit: Annotated[int | None, Field(ge=1, le=10_000, description="Only the newest so many")] = None

    def run(self, ctx: Context) -> ImageList:
        found = ctx.engine.docker.images(all=self.all, filters=self.filters)
        rows = sorted((_row(image) for image in found), key=lambda row: row.created, reverse=True)
        return ImageList(images=rows[: self.limit])


def _row(image: dict[str, Any]) -> ImageRow:
    names = tags(image)
    return ImageRow(
        id=image["Id"].removeprefix("sha256:")[:12],
        tags=names,
        digests=None if names else digests(image) or None,
        size=image.get("Size") or 0,
        created=image.get("Created") or 0,
    )


def tags(image: dict[str, Any]) -> list[str]:
    """The tags of an image, without the engine's placeholders and, on Podman, digests."""
    return [name for name in image.get("RepoTags") or [] if "<none>" not in name and "@" not in name]


def digests(image: dict[str, Any]) -> list[str]:
    """The digests under which registries know an image."""
    return [name for name in image.get("RepoDigests") or [] if "<none>" not in name]


class HealthProbe(Fact):
    """How the image checks its own health."""

    test: list[str]
    interval: float | None = Field(default=None, description="Seconds")
    timeout: float | None = Field(default=None, description="Seconds")
    retries: int | None = None


class ImageDetails(Answer):
    """One image; `raw` has the engine's whole answer when asked for."""

    rest = "the cut field is shorter with raw=false."

    id: str
    tags: list[str]
    digests: list[str]
    created: str | None = None
    size: int = Field(description="Bytes")
    os: str
    architecture: str
    entrypoint: list[str]
    command: list[str]
    working_dir: str | None = None
    user: str | None = None
    environment: list[str]
    ports: list[str]
    volumes: list[str]
    labels: dict[str, str]
    healthcheck: HealthProbe | None = None
    stop_signal: str | None = None
    layers: int
    author: str | None = None
    comment: str | None = None
    untrusted: Literal[True] = Field(default=True, description="Labels, environment and comments are strangers' text")
    raw: dict[str, Any] | None = None


class InspectImage(Tool, tier=Tier.SAFE):
    """Show an image's tags, digests, size and configuration."""

    image: Annotated[ImageRef, Field(validation_alias=AliasChoices("image", "image_name"))]
    raw: Annotated[bool, Field(description="Add the engine's whole answer")] = False

    def run(self, ctx: Context) -> ImageDetails:
        found = lookup.image(ctx.engine, self.image)
        details = _details(found)
        return details.model_copy(update={"raw": found}) if self.raw else details


def _details(found: dict[str, Any]) -> ImageDetails:
    config = found.get("Config") or {}
    return ImageDetails(
        id=found["Id"],
        tags=tags(found),
        digests=digests(found),
        created=found.get("Created") or None,
        size=found.get("Size") or 0,
        os=found.get("Os") or "",
        architecture="/".join(filter(None, (found.get("Architecture"), found.get("Variant")))),
        entrypoint=_listed(config.get("Entrypoint")),
        command=_listed(config.get("Cmd")),
        working_dir=config.get("WorkingDir") or None,
        user=config.get("User") or None,
        environment=config.get("Env") or [],
        ports=sorted(config.get("ExposedPorts") or {}),
        volumes=sorted(config.get("Volumes") or {}),
        labels=config.get("Labels") or {},
        healthcheck=_probe(config.get("Healthcheck") or found.get("HealthCheck")),
        stop_signal=config.get("StopSignal") or None,
        layers=len((found.get("RootFS") or {}).get("Layers") or []),
        author=found.get("Author") or None,
        comment=found.get("Comment") or None,
    )


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) and value else list(value or [])


def _probe(check: dict[str, Any] | None) -> HealthProbe | None:
    if not check or not check.get("Test") or check["Test"][:1] == ["NONE"]:
        return None
    return HealthProbe(
        test=check["Test"],
        interval=(check.get("Interval") or 0) / 1e9 or None,
        timeout=(check.get("Timeout") or 0) / 1e9 or None,
        retries=check.get("Retries") or None,
    )


class Layer(Fact):
    """One step of an image's making."""

    id: str | None = Field(default=None, description="Absent where the image came from a registry")
    created: int = Field(description="Unix seconds")
    created_by: str
    size: int = Field(description="Bytes")
    tags: list[str]
    comment: str | None = None


class History(Answer):
    rest = "older layers follow; docker_inspect_image counts them."

    layers: list[Layer] = Field(description="Newest first")
    untrusted: Literal[True] = Field(default=True, description="Commands and comments are strangers' text")


class ImageHistory(Tool, tier=Tier.SAFE):
    """Show the layers of an image: the command and the size of each."""

    image: ImageRef

    def run(self, ctx: Context) -> History:
        found = lookup.image(ctx.engine, self.image)
        steps = ctx.engine.docker.history(found["Id"])  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        return History(layers=[_layer(step) for step in steps])


def _layer(step: dict[str, Any]) -> Layer:
    name = (step.get("Id") or "").removeprefix("sha256:")
    return Layer(
        id=None if name in ("", "<missing>") else name[:12],
        created=step.get("Created") or 0,
        created_by=step.get("CreatedBy") or "",
        size=step.get("Size") or 0,
        tags=step.get("Tags") or [],
        comment=step.get("Comment") or None,
    )
