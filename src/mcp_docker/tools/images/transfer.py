"""Images: from registries, to registries, and under other names."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mcp_docker.engine import Engine, lookup, transfer
from mcp_docker.errors import Conflict, EngineError, RegistryFailed, Unsupported
from mcp_docker.tool import Answer, Context, Demand, Fact, Outlook, Power, Thing, Tier, Tool
from mcp_docker.tools.fields import ImageName, ImageRef, Platform, Reference, Tag, reference
from mcp_docker.tools.images.read import digests, tags


class PulledTag(Fact):
    """One of all tags."""

    reference: str
    id: str
    previous_id: str | None = None


class Pulled(Answer):
    rest = "docker_list_images shows all tags."

    reference: str
    up_to_date: bool = Field(description="Nothing newer was there")
    id: str | None = None
    digest: str | None = None
    size: int | None = Field(default=None, description="Bytes")
    previous_id: str | None = Field(default=None, description="What the tag named before it moved")
    tags: list[PulledTag] | None = Field(default=None, description="With all_tags")


class PullImage(
    Tool,
    tier=Tier.MODERATE,
    idempotent=True,
    open_world=True,
    seconds=300,
    verify="docker_inspect_image",
    gone={"stream": "progress notifications tell while it happens"},
):
    """Pull an image from its registry. A tag that is here moves to what the registry has."""

    image: Annotated[ImageName, Field(description="Name, also with :tag or @sha256:digest")]
    tag: Annotated[Tag | None, Field(description="Instead of :tag; default latest")] = None
    all_tags: Annotated[bool, Field(description="Every tag of the repository")] = False
    platform: Annotated[Platform | None, Field(description="e.g. linux/arm64")] = None

    @model_validator(mode="after")
    def _one_tag(self) -> Self:
        named = tagged(self.image, self.tag)
        if self.all_tags and (named.tag or named.digest):
            raise ValueError(f"all_tags=true pulls every tag, and {str(named)!r} names one: leave one of them out")
        return self

    def demands(self) -> Iterator[Demand]:
        yield Demand(Power.PULL, str(tagged(self.image, self.tag)))

    def look(self, ctx: Context) -> Outlook:
        named = tagged(self.image, self.tag)
        if self.all_tags:
            if ctx.engine.connected.is_podman:
                raise Unsupported("Podman pulls one tag at a time", "name each tag in a call of its own.")
            here: list[dict[str, Any]] = ctx.engine.docker.images(name=_familiar(named.name))
            return Outlook(changes=tuple(thing(image, tag) for image in here for tag in tags(image)))
        moved = None if named.digest else carrier(ctx.engine, whole_name(named))
        return Outlook(changes=(moved,) if moved else ())

    def run(self, ctx: Context) -> Pulled:
        named = tagged(self.image, self.tag)
        if self.all_tags:
            return self._all(ctx, named.name)
        # of name:tag@digest the digest decides, and no tag moves
        chosen = named.digest or named.tag or "latest"
        whole = whole_name(named)
        before = (transfer.image_of(ctx.engine, whole) or {}).get("Id")
        pulled = transfer.pull(ctx, named.name, chosen, self.platform)
        now = ctx.engine.docker.inspect_image(whole)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        known = [digest.rpartition("@")[2] for digest in digests(now)]
        return Pulled(
            reference=whole,
            up_to_date=before == now["Id"],
            id=now["Id"],
            digest=named.digest or pulled.digest or (known[0] if len(known) == 1 else None),
            size=now.get("Size"),
            previous_id=before if before != now["Id"] else None,
        )

    def _all(self, ctx: Context, name: str) -> Pulled:
        before = _named(ctx, name)
        transfer.pull(ctx, name, None, self.platform)
        now = _named(ctx, name)
        return Pulled(
            reference=name,
            up_to_date=before == now,
            tags=[
                PulledTag(
                    reference=tag,
                    id=found,
                    previous_id=before[tag] if before.get(tag, found) != found else None,
                )
                for tag, found in sorted(now.items())
            ],
        )


def _named(ctx: Context, name: str) -> dict[str, str]:
    """The images of a repository by tag."""
    found: list[dict[str, Any]] = ctx.engine.docker.images(name=_familiar(name))
    return {tag: image["Id"] for image in found for tag in tags(image)}


def _familiar(name: str) -> str:
    """A repository's name as lists show it, and as engines compare it with filters."""
    return re.sub(r"^(index\.)?docker\.io/(library/)?", "", name)


def tagged(image: str, tag: str | None) -> Reference:
    """An image's name with the tag that came apart from it. Raises ValueError if the name has another one."""
    named = reference(image)
    if tag is None:
        return named
    if named.digest:
        raise ValueError(f"tag: {image!r} names a digest, so it can't have the tag {tag!r} too: leave tag out")
    if named.tag not in (None, tag):
        raise ValueError(f"tag: {image!r} has the tag {named.tag!r} already, and tag is {tag!r}: leave one of them out")
    return Reference(named.name, tag)


def whole_name(named: Reference) -> str:
    """A name with the digest or the tag that it stands for."""
    return str(
        Reference(named.name, digest=named.digest) if named.digest else Reference(named.name, named.tag or "latest")
    )


def carrier(engine: Engine, name: str) -> Thing | None:
    """The image that carries a tag now, None if none does."""
    found = transfer.image_of(engine, name)
    return thing(found, name) if found else None


def thing(image: dict[str, Any], name: str) -> Thing:
    """An image as something that a call changes, from inspect or a list."""
    labels = image.get("Labels") or (image.get("Config") or {}).get("Labels") or {}
    return Thing("image", image["Id"], name, labels, created=str(image.get("Created") or ""))


class Pushed(Answer):
    reference: str
    digest: str
    size: int | None = Field(default=None, description="Bytes of the manifest")


class PushImage(
    Tool,
    tier=Tier.MODERATE,
    idempotent=True,
    open_world=True,
    seconds=300,
    verify="docker_inspect_image",
    gone={"stream": "progress notifications tell while it happens"},
):
    """Push an image to the registry that its name begins with."""

    image: Annotated[ImageName, Field(description="[registry/]name, also with :tag")]
    tag: Annotated[Tag | None, Field(description="Instead of :tag; default latest")] = None

    @model_validator(mode="after")
    def _by_tag(self) -> Self:
        if tagged(self.image, self.tag).digest:
            raise ValueError(f"image: push by tag: {self.image!r} names a digest")
        return self

    def demands(self) -> Iterator[Demand]:
        yield Demand(Power.PUSH, str(tagged(self.image, self.tag)))

    def look(self, ctx: Context) -> Outlook:
        ctx.engine.docker.inspect_image(whole_name(tagged(self.image, self.tag)))  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        return Outlook()

    def run(self, ctx: Context) -> Pushed:
        named = tagged(self.image, self.tag)
        tag = named.tag or "latest"
        pushed = transfer.push(ctx, named.name, tag)
        if pushed.digest is None:
            raise RegistryFailed(f"the push of {named.name}:{tag} ended without a digest", "push it again.")
        return Pushed(reference=f"{named.name}:{tag}", digest=pushed.digest, size=pushed.size)


class Tagged(Answer):
    reference: str
    id: str
    previous_id: str | None = Field(default=None, description="What the tag named before it moved")


class TagImage(Tool, tier=Tier.MODERATE, idempotent=True, verify="docker_inspect_image"):
    """Give an image another name. Moving a tag that exists is destructive."""

    image: ImageRef
    repository: Annotated[ImageName, Field(description="New name: [registry/]name")]
    tag: Annotated[Tag, Field(description="New tag")] = "latest"

    @model_validator(mode="after")
    def _one_tag(self) -> Self:
        tagged(self.repository, self.tag if "tag" in self.model_fields_set else None)
        if reference(self.repository).digest:
            raise ValueError(f"repository: a tag is given to a name, and {self.repository!r} has a digest")
        return self

    def look(self, ctx: Context) -> Outlook:
        source = lookup.image(ctx.engine, self.image)
        before = carrier(ctx.engine, self._whole())
        changes = (thing(source, self.image),)
        if before is None or before.id == source["Id"]:
            return Outlook(changes)
        about = f"now image {_digits(before.id)}"
        moved = Thing("tag", before.id, self._whole(), before.labels, about=about)
        demand = Demand(Power.DELETION, f"moving the tag {self._whole()} away from image {_digits(before.id)}")
        return Outlook(changes, loses=(moved,), demands=(demand,))

    def run(self, ctx: Context) -> Tagged:
        # by its id: whatever the name means meanwhile
        (source,) = ctx.outlook.changes
        whole = self._whole()
        name, _, tag = whole.rpartition(":")
        before = (transfer.image_of(ctx.engine, whole) or {}).get("Id")
        if before not in {None, source.id, *(lost.id for lost in ctx.outlook.loses)}:
            raise Conflict(f"the tag {whole} moved in this moment", "call again, if it is to move again.")
        if not ctx.engine.docker.tag(source.id, name, tag):
            raise EngineError(f"the engine did not tag {self.image!r}", "docker_inspect_image shows its tags.")
        now = ctx.engine.docker.inspect_image(whole)["Id"]  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        return Tagged(reference=whole, id=now, previous_id=before if before != now else None)

    def _whole(self) -> str:
        named = reference(self.repository)
        return str(Reference(named.name, named.tag or self.tag))


def _digits(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
