"""The server as it is built and run, with the fixtures that the conformance suite asks for beside its own tools."""

from collections.abc import Callable
from typing import Any

from mcp.server.lowlevel import Server

from mcp_docker import server
from mcp_docker.cli import main
from tests.e2e.conformance.fixtures import add

build: Callable[..., Server[dict[str, Any]]] = server.build


def built(*arguments: Any) -> Server[dict[str, Any]]:
    """The product's server, and the fixtures."""
    mcp = build(*arguments)
    add(mcp)
    return mcp


if __name__ == "__main__":
    setattr(server, "build", built)  # noqa: B010 - no type checker lets a function be replaced
    main()
