"""Identifiers: what is accepted goes into a path of the engine's API, and stays one part of it."""

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from docker import APIClient
from pydantic import TypeAdapter, ValidationError

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.tools import fields
    from mcp_docker.tools.containers import options

MODULES = ("mcp_docker.tools.fields",)
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII)
BASE = "http+docker://localhost"


class Recorder(requests.adapters.BaseAdapter):
    """Keeps the address of the last request, and answers nothing."""

    address = ""

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        self.address = request.url or ""
        response = requests.Response()
        response.status_code, response.url, response.request = 200, self.address, request
        response._content = json.dumps({}).encode()
        return response

    def close(self) -> None:
        pass


RECORDER = Recorder()
CLIENT = APIClient(base_url="unix:///unused", version="1.41")
CLIENT.mount("http+docker://", RECORDER)

Sent = Callable[[str], Any]
PATHS: Mapping[str, tuple[TypeAdapter[str], Sent, str]] = {
    "container": (TypeAdapter(fields.ContainerId), CLIENT.inspect_container, "/v1.41/containers/{}/json"),
    "network": (TypeAdapter(fields.NetworkId), CLIENT.inspect_network, "/v1.41/networks/{}"),
    "volume": (TypeAdapter(fields.VolumeName), CLIENT.inspect_volume, "/v1.41/volumes/{}"),
    "image": (TypeAdapter(fields.ImageRef), CLIENT.inspect_image, "/v1.41/images/{}/json"),
}
NEW = TypeAdapter(options.ContainerName)


def accepted(kind: TypeAdapter[str], text: str) -> str | None:
    try:
        return kind.validate_python(text)
    except ValidationError as problem:
        assert len(problem.errors()) == 1
        return None


def check(text: str) -> None:
    """No identifier leads anywhere but where it should, as docker-py and requests write it; names are all accepted."""
    for what, (kind, send, form) in PATHS.items():
        value = accepted(kind, text)
        if what != "image":
            name = text.removeprefix("/") if what == "container" else text
            assert value == (name if NAME.fullmatch(name) else None), what
        if value is None:
            continue
        assert accepted(kind, value) == value
        send(value)
        url = urlsplit(RECORDER.address)
        assert not url.query
        assert not url.fragment
        assert unquote(url.path) == form.format(value)
        assert posixpath.normpath(unquote(url.path)) == unquote(url.path)
        assert url.path.count("/") == form.count("/") + value.count("/")
    if new := accepted(NEW, text):
        # the name of a new container is written into the query by hand
        sent = urlsplit(requests.Request("POST", f"{BASE}/containers/create?name={new}").prepare().url or "")
        assert parse_qs(sent.query, strict_parsing=True) == {"name": [new]}
        assert not sent.fragment


def one(data: bytes) -> None:
    check(text_in(data))


if __name__ == "__main__":
    fuzz(one)
