"""Images: removed, and what that frees."""

import json
from typing import Annotated, Any, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator

from mcp_docker import errors
from mcp_docker.tool import Answer, Context, Tier, Tool
from mcp_docker.tools.fields import Filters, ImageRef

_PRUNE_FILTERS = {"until", "label", "label!"}


class ImageRemoved(Answer):
    rest = "docker_list_images shows what is left."

    untagged: list[str]
    deleted: list[str] = Field(description="Ids; none where other tags or images need them")


class RemoveImage(Tool, tier=Tier.DESTRUCTIVE, idempotent=True, verify="docker_list_images"):
    """Remove an image's name, and the image with its last name. Fails while a container uses it."""

    image: ImageRef
    force: Annotated[bool, Field(description="Even with several tags or stopped containers")] = False
    noprune: Annotated[bool, Field(description="Keep untagged parents")] = False

    def run(self, ctx: Context) -> ImageRemoved:
        untagged, deleted = _parted(ctx.engine.docker.remove_image(self.image, force=self.force, noprune=self.noprune))
        return ImageRemoved(untagged=untagged, deleted=deleted)


class ImagesPruned(ImageRemoved):
    bytes_reclaimed: int


class PruneImages(
    Tool,
    tier=Tier.DESTRUCTIVE,
    idempotent=True,
    seconds=60,
    verify="docker_list_images",
    gone={"force_all": "all=true prunes tagged images too"},
):
    """Remove dangling images, or with all=true every image that no container uses."""

    all: Annotated[bool, Field(description="Tagged ones too")] = False
    filters: Annotated[Filters | None, Field(description='e.g. {"until":"24h","label":"a=b"}')] = None

    @model_validator(mode="after")
    def _known_filters(self) -> Self:
        # an engine that does not know a filter may ignore it, and remove more than was meant
        if unknown := set(self.filters or {}) - _PRUNE_FILTERS:
            advice = ": use all instead" if "dangling" in unknown else ""
            raise ValueError(
                f"filters: there is no filter {', '.join(map(repr, sorted(unknown)))} here{advice}; "
                f"there are {', '.join(sorted(_PRUNE_FILTERS))}"
            )
        return self

    def run(self, ctx: Context) -> ImagesPruned:
        check_labels(ctx, self.filters or {})
        if self.all and ctx.engine.connected.is_podman:
            return self._on_podman(ctx)
        filters = {**(self.filters or {}), "dangling": [str(not self.all).lower()]}
        answer = ctx.engine.docker.prune_images(filters=filters)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        untagged, deleted = _parted(answer.get("ImagesDeleted"))
        return ImagesPruned(untagged=untagged, deleted=deleted, bytes_reclaimed=answer.get("SpaceReclaimed") or 0)

    def _on_podman(self, ctx: Context) -> ImagesPruned:
        """Podman's Docker API prunes dangling images only, and its own API all."""
        query = urlencode({"all": "true", "filters": json.dumps(self.filters or {})})
        removed = ctx.engine.post(f"/libpod/images/prune?{query}", None).json() or []
        done = [each for each in removed if not each.get("Err")]
        return ImagesPruned(
            untagged=[],
            deleted=[each["Id"] for each in done],
            bytes_reclaimed=sum(each.get("Size") or 0 for each in done),
        )


def check_labels(ctx: Context, filters: dict[str, list[str]]) -> None:
    """Refuse several label filters on podman, which would prune more than was meant. Raises Unsupported."""
    labels = len(filters.get("label", [])) + len(filters.get("label!", []))
    if labels > 1 and ctx.engine.connected.is_podman:
        raise errors.Unsupported(
            "Podman prunes images that match any one of several label filters, not all of them",
            "give one label filter.",
        )


def _parted(removed: list[dict[str, Any]] | None) -> tuple[list[str], list[str]]:
    return (
        [each["Untagged"] for each in removed or [] if each.get("Untagged")],
        [each["Deleted"] for each in removed or [] if each.get("Deleted")],
    )
