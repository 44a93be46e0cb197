"""What a resource is: facts under a URI, for a client to read and to watch."""

import inspect
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, unquote

from pydantic import Field

from mcp_docker.engine import lookup
from mcp_docker.tool import Answer, Context, Declaration, Kind, Spec
from mcp_docker.tools.fields import ContainerId

_VARIABLE = re.compile(r"\{(\w+)\}")
Watched = Literal["logs", "stats"]


class Subject(Answer):
    """The container that a resource is about."""

    id: str


class Resource(Declaration):
    """The model of the variables in a resource's URI, and how it is read.

    A subclass is the whole resource: class name -> name, docstring -> description, fields -> variables of the URI.

    Class keywords:
        uri: the URI template (RFC 6570, simple expansion), each variable a whole path segment.
        mime_type: of what is read.
        shows: the tools whose facts it shows; it is visible only where all of them are.
        watched: what of a container it changes with.
        label: display title.
    """

    uri: ClassVar[str]
    mime_type: ClassVar[str]
    watched: ClassVar[Watched]

    container_id: Annotated[ContainerId, Field(description="Name or id of a container")]

    def __init_subclass__(
        cls, *, uri: str, mime_type: str, shows: tuple[str, ...], watched: Watched, label: str, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.uri, cls.mime_type, cls.watched = uri, mime_type, watched
        cls.spec = Spec(
            name=cls.words().replace(" ", "_"),
            label=label,
            description=inspect.cleandoc(cls.__doc__ or ""),
            kind=Kind.RESOURCE,
            toolset="resources",
            shows=shows,
        )

    def subject(self, ctx: Context) -> Subject:
        """What a subscription is to watch. Raises as `lookup.container` does."""
        return Subject(id=lookup.container(ctx.engine, self.container_id)["Id"])

    @classmethod
    def at(cls, arguments: Mapping[str, str]) -> str:
        """The URI with these variables."""
        return _VARIABLE.sub(lambda match: quote(arguments[match[1]], safe=""), cls.uri)

    @classmethod
    def variables(cls, uri: str) -> dict[str, str] | None:
        """The variables of a URI of this resource; None where it is another's."""
        parts = re.split(_VARIABLE, cls.uri)
        pattern = "".join(f"(?P<{part}>[^/?#\\s]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
        found = re.fullmatch(pattern, uri)
        return {name: unquote(value) for name, value in found.groupdict().items()} if found else None
