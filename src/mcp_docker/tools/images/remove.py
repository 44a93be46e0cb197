"""Images: removed, pruned, and what is lost with them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field

from mcp_docker import errors
from mcp_docker.engine import lookup
from mcp_docker.engine.usage import bare, usage
from mcp_docker.tool import Context, LossAnswer, Outlook, Thing, Tier, Tool
from mcp_docker.tools import pruning
from mcp_docker.tools.containers.read import container_name
from mcp_docker.tools.fields import DryRun, ImageRef, PruneFilters, reference

UP = frozenset({"running", "paused", "restarting"})
TAGS_CHARACTERS = 150

_ID = re.compile(r"sha256:.*|[0-9a-f]{64}")

Listed = Mapping[str, Any]


class ImageRemoved(LossAnswer):
    rest = "docker_list_images shows what is left."

    untagged: list[str] | None = None
    deleted: list[str] | None = Field(default=None, description="Ids; none where other tags or images need them")


class RemoveImage(Tool, tier=Tier.DESTRUCTIVE, idempotent=True, verify="docker_list_images"):
    """Remove an image's name, and the image with its last name. Fails while a container uses it."""

    image: ImageRef
    force: Annotated[bool, Field(description="Even with several tags or stopped containers")] = False
    noprune: Annotated[bool, Field(description="Keep untagged parents")] = False
    dry_run: DryRun = False

    def look(self, ctx: Context) -> Outlook:
        return Outlook(loses=sized(ctx, self._things(ctx)))

    def run(self, ctx: Context) -> ImageRemoved:
        if [_key(thing) for thing in self._things(ctx)] != [_key(thing) for thing in ctx.outlook.loses]:
            raise errors.Conflict(
                f"what is lost with {self.image} has changed meanwhile", "call again to remove it as it is now."
            )
        taken = Taken()
        taken.add(ctx.engine.docker.remove_image(self.image, force=self.force, noprune=self.noprune))
        return ImageRemoved(untagged=taken.untagged, deleted=taken.deleted)

    def _things(self, ctx: Context) -> list[Thing]:
        """What the engine will take away: the image, or only the name where something else needs the image."""
        found = lookup.image(ctx.engine, self.image, exact=True)
        names = Names.of(ctx, found)
        written = names.written(self.image)
        if others := names.without(written):
            if written:
                return [_tag(found, written, f"the image stays: it is {', '.join(others)} too")]
            if len(names.tags) > 1 and not self.force:
                raise errors.Conflict(
                    f"image {self.image} has several tags: {', '.join(names.tags)}",
                    "remove them one by one, or use force=true to remove all of them.",
                )
        image_id = bare(found["Id"])
        users = [each for each in ctx.engine.docker.containers(all=True) if bare(each["ImageID"]) == image_id]
        up = [each for each in users if each["State"] in UP]
        if users and not self.force:
            raise errors.InUse(
                f"image {self.image} is used by {_called(users)}",
                "docker_remove_container first" + ("." if up else ", or force=true: they are stopped."),
            )
        every = Every.of(ctx)
        image = replace(
            _image(found, names.tags, every),
            about=_about(found, names.tags) + (f"; used by {_called(users)}" if users else ""),
        )
        if ctx.engine.connected.is_podman:
            # with force, it removes the containers along with the image
            return [*map(pruning.container, users), image]
        children = every.children[image_id]
        if not up and not children:
            return [image]
        why = f"used by {_called(up)}" if up else f"{children} other images are built on it"
        if written:
            return [_tag(found, written, f"the image stays without a name: {why}")]
        raise errors.InUse(f"image {self.image} can't go: {why}", "remove those first, force or not.")


class ImagesPruned(ImageRemoved):
    bytes_reclaimed: int | None = None
    failed: dict[str, str] | None = Field(default=None, description="What stayed, and why")


class PruneImages(
    Tool,
    tier=Tier.DESTRUCTIVE,
    idempotent=True,
    sweeping=True,
    seconds=60,
    verify="docker_list_images",
    gone={"force_all": "all=true prunes tagged images too"},
):
    """Remove dangling images, or with all=true every image that no container uses."""

    all: Annotated[bool, Field(description="Tagged ones too")] = False
    filters: Annotated[PruneFilters | None, Field(description='e.g. {"until":"24h","label":"a=b"}')] = None
    dry_run: DryRun = False

    def look(self, ctx: Context) -> Outlook:
        users = ctx.engine.docker.containers(all=True)
        return Outlook(loses=sized(ctx, unused(ctx, users, self.filters or {}, tagged=self.all)[: pruning.MOST]))

    def run(self, ctx: Context) -> ImagesPruned:
        taken = Taken()
        pruned = pruning.take(ctx, lambda thing: take(ctx, thing, taken))
        pruning.in_time(ctx, self, {"tags": taken.untagged, "images": taken.deleted})
        return ImagesPruned(
            untagged=taken.untagged,
            deleted=taken.deleted,
            bytes_reclaimed=pruned.freed(),
            failed=pruned.failed or None,
        )


@dataclass(frozen=True)
class Names:
    """What an image is called. Podman makes its digests up from the tags: they are no names of their own there."""

    tags: list[str]
    digests: list[str]

    @classmethod
    def of(cls, ctx: Context, image: Listed) -> "Names":
        return cls(
            [tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"],
            []
            if ctx.engine.connected.is_podman
            else [digest for digest in image.get("RepoDigests") or [] if digest != "<none>@<none>"],
        )

    def written(self, text: str) -> str:
        """The name that a caller wrote; empty if it is the image's id."""
        if _ID.fullmatch(text):
            return ""
        ref = reference(text)
        wanted = f"{ref.name}@{ref.digest}" if ref.digest else f"{ref.name}:{ref.tag or 'latest'}"
        names = self.tags + self.digests
        # two names may be short for the same, where localhost/ is part of one
        return wanted if wanted in names else next((name for name in names if _short(name) == _short(wanted)), "")

    def without(self, name: str) -> list[str]:
        """The names that keep the image when this one goes: with a repository's last tag, its digests go too."""
        tags = [tag for tag in self.tags if tag != name]
        alone = name in self.tags and not any(_repository(tag) == _repository(name) for tag in tags)
        return tags + [
            digest
            for digest in self.digests
            if digest != name and not (alone and _repository(digest) == _repository(name))
        ]


@dataclass(frozen=True)
class Taken:
    """What the engine says it removed."""

    untagged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def add(self, removed: list[dict[str, Any]] | None) -> None:
        """Add what the engine answered to a removal."""
        for each in removed or []:
            if each.get("Untagged"):
                self.untagged.append(each["Untagged"])
            if each.get("Deleted"):
                self.deleted.append(each["Deleted"])

    def has(self, image_id: str) -> bool:
        """Whether the image is among them."""
        return bare(image_id) in map(bare, self.deleted)


@dataclass(frozen=True)
class Every:
    """All images by their bare ids, the steps of builds too, and how many are built on each."""

    images: dict[str, Listed]
    children: Counter[str]

    @classmethod
    def of(cls, ctx: Context) -> "Every":
        listed, _ = pruning.tried(ctx, lambda: ctx.engine.docker.images(all=True))
        # Podman fails where an image goes while it lists them
        listed = ctx.engine.docker.images(all=True) if listed is None else listed
        images = {bare(image["Id"]): image for image in listed}
        return cls(images, Counter(bare(image.get("ParentId") or "") for image in images.values()))

    def ancestors(self, image_id: str) -> Iterator[str]:
        """What an image is built on, the nearest first."""
        while image_id := bare(self.images.get(image_id, {}).get("ParentId") or ""):
            yield image_id


def unused(ctx: Context, users: Sequence[Listed], filters: pruning.Filters, *, tagged: bool) -> list[Thing]:
    """The images that no container uses: untagged ones, and with `tagged` all, in the order in which they can go.

    Args:
        users: the containers that are there.
    """
    every = Every.of(ctx)
    used = {bare(container["ImageID"]) for container in users}
    meant = {}
    needed = set()
    for image_id, image in every.images.items():
        names = Names.of(ctx, image)
        intermediate = every.children[image_id] > 0 and not (names.tags or (tagged and names.digests))
        if intermediate and image_id not in used:
            continue
        if (
            not intermediate
            and (tagged or not names.tags)
            and image_id not in used
            and pruning.labelled(image.get("Labels"), filters)
            and pruning.old_enough(ctx, image, filters, ctx.engine.docker.inspect_image)
        ):
            meant[image_id] = names
        else:
            needed |= set(every.ancestors(image_id))
    things = []
    for image_id in sorted(meant, key=lambda each: (-len(list(every.ancestors(each))), each)):
        image, names = every.images[image_id], meant[image_id]
        if image_id not in needed:
            things.append(_image(image, names.tags, every))
        elif ctx.engine.connected.is_podman:
            things.append(replace(_image(image, names.tags, every), bytes=0))
        else:
            things += [_tag(image, name, "the image stays: another is built on it") for name in names.tags]
    return things


def take(ctx: Context, thing: Thing, taken: Taken) -> None:
    """Remove an image or a tag that was looked at, never by force. Raises Conflict where it has changed or stays."""
    if taken.has(thing.id):
        return
    now = Names.of(ctx, ctx.engine.docker.inspect_image(thing.id))  # type: ignore[no-untyped-call]
    then = [] if thing.name == pruning.UNTAGGED else thing.name.split(", ")
    new = [tag for tag in now.tags if tag not in then]
    if thing.kind == "image" and new:
        raise errors.Conflict(f"it is {', '.join(new)} by now", "call again if it is to go all the same.")
    tags = [tag for tag in then if tag in now.tags]
    if then and not tags:
        raise errors.NotFound("it has lost its name meanwhile", "docker_list_images shows what is left.")
    for tag in tags:
        taken.add(ctx.engine.docker.remove_image(tag))
    if thing.kind == "image" and not taken.has(thing.id):
        _take_untagged(ctx, thing, taken)


def _take_untagged(ctx: Context, thing: Thing, taken: Taken) -> None:
    found, _ = pruning.tried(ctx, lambda: ctx.engine.docker.inspect_image(thing.id))  # type: ignore[no-untyped-call]
    if found is None:
        # Podman does not tell of it where other images are built on it
        taken.deleted.append(thing.id)
        return
    for name in Names.of(ctx, found).digests or [thing.id]:
        if not taken.has(thing.id):
            taken.add(ctx.engine.docker.remove_image(name))
    if not taken.has(thing.id):
        raise errors.InUse("it stays without a name", "another image or a container needs it.")


def sized(ctx: Context, things: Sequence[Thing]) -> tuple[Thing, ...]:
    """The same, with the bytes of images that only the engine's disk usage tells."""
    told = usage(ctx.engine, "image") if any(thing.bytes is None for thing in things) else None
    return tuple(weighed(thing, told.images if told else {}) for thing in things)


def weighed(thing: Thing, sizes: Mapping[str, int]) -> Thing:
    """The same, with its bytes of these by id where they are not known yet."""
    return thing if thing.bytes is not None else replace(thing, bytes=sizes.get(bare(thing.id)))


def _image(image: Listed, tags: Sequence[str], every: Every) -> Thing:
    return Thing(
        "image",
        image["Id"],
        ", ".join(tags) or pruning.UNTAGGED,
        labels=_labels(image),
        created=str(image.get("Created") or ""),
        about=_about(image, tags),
        bytes=_own_bytes(bare(image["Id"]), every),
    )


def _own_bytes(image_id: str, every: Every) -> int | None:
    """What an image that was built here adds to what it is built on; None for others.

    New engines and Podman count the steps of its own build as images that share its layers: they go along with it.
    """
    above = [every.images.get(each) for each in every.ancestors(image_id)]
    if not above or None in above:
        return None
    base = next((each for each in above if each and (_is_named(each) or every.children[bare(each["Id"])] > 1)), {})
    return int(every.images[image_id]["Size"] - base.get("Size", 0))


def _is_named(image: Listed) -> bool:
    return any("<none>" not in name for name in [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])])


def _about(image: Listed, tags: Sequence[str]) -> str:
    if tags:
        return f"tagged {_some(tags)}"
    origin = next((_repository(digest) for digest in image.get("RepoDigests") or []), "<none>")
    return "untagged" + ("" if origin == "<none>" else f", once of {origin}")


def _some(tags: Sequence[str]) -> str:
    """Tags as far as a question has room for them."""
    shown = list(tags)
    while len(text := ", ".join(shown)) > TAGS_CHARACTERS and len(shown) > 1:
        shown.pop()
    more = len(tags) - len(shown)
    return text + (f" and {more} more tag{'s' if more > 1 else ''}" if more else "")


def _tag(image: Listed, name: str, about: str) -> Thing:
    return Thing(
        "tag", image["Id"], name, labels=_labels(image), created=str(image.get("Created") or ""), about=about, bytes=0
    )


def _labels(image: Listed) -> Mapping[str, str]:
    # a listing has them outside, an inspect inside
    return image.get("Labels") or (image.get("Config") or {}).get("Labels") or {}


def _called(containers: Sequence[Listed]) -> str:
    names = sorted(f"{container_name(each)} ({each['State']})" for each in containers)
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _short(name: str) -> str:
    return name.removeprefix("docker.io/").removeprefix("library/").removeprefix("localhost/")


def _repository(name: str) -> str:
    name = name.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def _key(thing: Thing) -> tuple[str, str, str]:
    return thing.kind, thing.id, thing.name
