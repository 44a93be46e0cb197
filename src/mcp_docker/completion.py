"""What a completion is: the names that begin as a person has begun."""

import inspect
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import Field

from mcp_docker.tool import Answer, Context, Declaration, Kind, Spec

MOST_VALUES = 50
"""The protocol lets a completion have 100; nobody reads so many, and each costs the engine time."""
SECONDS = 5.0


class Names(Answer):
    """Names in the order of the alphabet; `more` where there are others too."""

    values: list[str]
    more: bool


class Completion(Declaration):
    """Completes one kind of name.

    Class keywords:
        arguments: of prompts and resource templates, that have such a name.
        shows: the tools that list them; without those it completes nothing.
    """

    arguments: ClassVar[tuple[str, ...]]

    prefix: Annotated[str, Field(max_length=255, description="How the name begins")]

    def __init_subclass__(cls, *, arguments: tuple[str, ...], shows: tuple[str, ...], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.arguments = arguments
        words = cls.words()
        cls.spec = Spec(
            name=words.replace(" ", "_"),
            label=words.capitalize(),
            description=inspect.cleandoc(cls.__doc__ or ""),
            kind=Kind.COMPLETION,
            seconds=SECONDS,
            shows=shows,
        )

    def names(self, ctx: Context) -> Iterable[str]:
        """Names of such objects, those that begin with the prefix among them."""
        raise NotImplementedError

    def run(self, ctx: Context) -> Names:
        found = sorted({name for name in self.names(ctx) if name.startswith(self.prefix)})
        return Names(values=found[:MOST_VALUES], more=len(found) > MOST_VALUES)


class ContainerNames(Completion, arguments=("container_id", "peer_id"), shows=("docker_list_containers",)):
    """Names of containers."""

    def names(self, ctx: Context) -> Iterable[str]:
        # the engine tells much of each container: it is to choose, and to stop in time
        filters = json.dumps({"name": [f"^/?{re.escape(self.prefix)}"]}) if self.prefix else "{}"
        found = ctx.engine.get("/containers/json", all=1, limit=MOST_VALUES + 1, filters=filters).json()
        return [name[1:] for container in found for name in container.get("Names") or [] if name.count("/") == 1]


class RunningNames(Completion, arguments=(), shows=("docker_list_containers",)):
    """Names of running containers, a page at a time: what clients list, of however many there are."""

    prefix: str = ""
    after: Annotated[str, Field(description="The last name of the page before")] = ""

    def names(self, ctx: Context) -> Iterable[str]:
        found = ctx.engine.get("/containers/json").json()
        every = (name[1:] for container in found for name in container.get("Names") or [] if name.count("/") == 1)
        # a name, since what comes after it stays the same when others come and go
        return [name for name in every if name > self.after]


class ImageNames(Completion, arguments=("image", "image_name"), shows=("docker_list_images",)):
    """Names of images, with their tags."""

    def names(self, ctx: Context) -> Iterable[str]:
        found = ctx.engine.get("/images/json").json()
        return [tag for image in found for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"]


class NetworkNames(Completion, arguments=("network_id",), shows=("docker_list_networks",)):
    """Names of networks."""

    def names(self, ctx: Context) -> Iterable[str]:
        return [network["Name"] for network in ctx.engine.get("/networks").json()]


class VolumeNames(Completion, arguments=("volume_name",), shows=("docker_list_volumes",)):
    """Names of volumes."""

    def names(self, ctx: Context) -> Iterable[str]:
        return [volume["Name"] for volume in ctx.engine.get("/volumes").json().get("Volumes") or []]
