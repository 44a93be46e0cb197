"""Answers of the engine: real ones of two versions with fields missing, null or changed, and bytes that are none."""

import email.utils
import functools
import json
import pickle
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import requests
import urllib3
from docker import APIClient

from tests.fuzz.harness import FOLDER, fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import errors, schema
    from mcp_docker.engine import CallScope, Connected, Engine
    from mcp_docker.engine.address import Endpoint
    from mcp_docker.engine.errors import translate
    from mcp_docker.pipeline import Result, _shaped
    from mcp_docker.registry import declared
    from mcp_docker.settings import Settings
    from mcp_docker.tool import Context, Demand, Limits, Tool

MODULES = (
    "mcp_docker.tools.containers.read",
    "mcp_docker.tools.containers.stats",
    "mcp_docker.tools.images.read",
    "mcp_docker.tools.networks.read",
    "mcp_docker.tools.system.read",
    "mcp_docker.tools.volumes",
)
TOOLS = declared()
CALLS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("docker_list_containers", {"all": True}),
    ("docker_inspect_container", {"container_id": "web"}),
    ("docker_inspect_container", {"container_id": "web", "raw": True}),
    ("docker_container_stats", {"container_id": "web"}),
    ("docker_container_stats", {}),
    ("docker_list_images", {}),
    ("docker_inspect_image", {"image": "web"}),
    ("docker_image_history", {"image": "web"}),
    ("docker_list_networks", {}),
    ("docker_inspect_network", {"network_id": "web"}),
    ("docker_list_volumes", {}),
    ("docker_inspect_volume", {"volume_name": "web"}),
    ("docker_version", {}),
    ("docker_events", {"since": "1"}),
)
RECORDED: Mapping[str, Mapping[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "answers").glob("*.json"))
}
SCHEMAS = {name: jsonschema.Draft202012Validator(schema.output_schema(TOOLS[name])) for name, _ in CALLS}
LIMIT = 6_000
DATE = email.utils.formatdate(1_900_000_000, usegmt=True)
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")


class Replies(requests.adapters.BaseAdapter):
    """Answers requests with JSON by path, or with the same bytes each time."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: Mapping[str, Any] = {}
        self.garbage: bytes | None = None
        self.asked: set[str] = set()

    def send(self, request: requests.PreparedRequest, *_args: Any, **kwargs: Any) -> requests.Response:
        assert request.method == "GET"
        path = re.sub(r"^/v1\.[0-9]+|(?<=/)(c{12,64}|sha256:[0-9a-f]{64})(?=/)", "", urlsplit(request.url or "").path)
        path = re.sub(r"//", "/web/", path)
        response = requests.Response()
        response.url, response.request, response.status_code = request.url or "", request, 200
        response.headers["Date"] = DATE
        self.asked.add(path)
        body = self._body(path)
        if body is None:
            response.status_code, body = 404, json.dumps({"message": f"no such thing: {path}"}).encode()
        response.raw = urllib3.HTTPResponse(BytesIO(body), preload_content=False, status=response.status_code)
        if not kwargs.get("stream"):  # as the engine's own adapter does
            CallScope.current().answers.append(response)
        return response

    def _body(self, path: str) -> bytes | None:
        if path == "/_ping":
            return b"OK"
        if self.garbage is not None:
            return self.garbage
        if path not in self.bodies:
            return None
        if path == "/events":
            return b"\n".join(json.dumps(event).encode() for event in self.bodies[path] or [])
        return json.dumps(self.bodies[path]).encode()

    def close(self) -> None:
        pass


REPLIES = Replies()


def _opened(api: str, version: Mapping[str, Any]) -> Engine:
    client = APIClient(base_url="unix:///unused", version=api)
    client.mount("http+docker://", REPLIES)
    engine = Engine(Settings())
    engine._connected = Connected(Endpoint("unix:///unused", "test"), client, dict(version))
    return engine


ENGINES = {name: _opened(bodies["/version"]["ApiVersion"], bodies["/version"]) for name, bodies in RECORDED.items()}


def _context(engine: Engine) -> Context:
    def gather(fn: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [fn(item) for item in items]

    def permit(_demands: Iterable[Demand]) -> Mapping[Demand, str]:
        raise AssertionError("a reading tool asks for no power")

    return Context(
        engine=engine,
        limits=Limits(30, LIMIT),
        progress=lambda _done, _total, _message: None,
        waits=lambda _seconds, _message: None,
        cancelled=lambda _seconds: False,
        gather=gather,
        permit=permit,
    )


def call(engine: Engine, tool: Tool) -> Result | errors.Refused:
    """One call as the pipeline makes it, without its thread."""
    context, scope = _context(engine), CallScope(5)
    try:
        with scope.entered():
            return _shaped(tool.run(context), LIMIT, engine.settings)
    except errors.Refused as refused:
        return refused
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - as the pipeline does
        translated = translate(error, engine, scope)
        translated.__cause__ = error
        return translated


def judge(name: str, result: Result | errors.Refused) -> None:
    """An answer is what the tool's schema says, clean and not too long; an engine's garbage is no fault of ours."""
    if isinstance(result, errors.Refused):
        assert not isinstance(result, errors.InternalError), repr(result.__cause__)
        return
    SCHEMAS[name].validate(result.data)
    assert json.loads(json.dumps(result.data)) == result.data
    assert not UNSEEN.search(result.text)
    assert not UNSEEN.search(json.dumps(result.data, ensure_ascii=False).replace("\\n", "").replace("\\t", ""))
    assert len(result.text.encode()) <= LIMIT


@functools.cache
def _heard(number: int, version: str) -> bytes:
    """The bodies that a call asks for, frozen."""
    name, arguments = CALLS[number]
    REPLIES.garbage, REPLIES.bodies, REPLIES.asked = None, RECORDED[version], set()
    assert isinstance(call(ENGINES[version], TOOLS[name].parse(arguments)), Result)
    return pickle.dumps({path: body for path, body in RECORDED[version].items() if path in REPLIES.asked})


def edited(bodies: bytes, edits: Iterable[str], draw: random.Random) -> dict[str, Any]:
    """The bodies after edits.

    An edit is `-KEY` (missing), `~KEY` (null) or `KEY=JSON`, for the mapping with that key that is drawn.
    """
    changed: dict[str, Any] = pickle.loads(bodies)
    for edit in edits:
        key, equals, value = edit.removeprefix("-").removeprefix("~").partition("=")
        places = [place for place in _mappings(changed) if key in place and place is not changed]
        if not places or not edit:
            continue
        place = draw.choice(places)
        if edit.startswith("-"):
            del place[key]
        elif edit.startswith("~"):
            place[key] = None
        elif equals:
            try:
                place[key] = json.loads(value)
            except (ValueError, RecursionError):
                place[key] = value
    return changed


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _mappings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _mappings(item)


def check(number: int, version: str, edits: Iterable[str], draw: random.Random) -> None:
    """A call on changed answers."""
    number %= len(CALLS)
    name, arguments = CALLS[number]
    REPLIES.garbage, REPLIES.bodies = None, edited(_heard(number, version), edits, draw)
    judge(name, call(ENGINES[version], TOOLS[name].parse(arguments)))


def check_garbage(number: int, version: str, body: bytes) -> None:
    """A call on an answer that is anything at all."""
    name, arguments = CALLS[number % len(CALLS)]
    REPLIES.garbage = body
    judge(name, call(ENGINES[version], TOOLS[name].parse(arguments)))


def one(data: bytes) -> None:
    """The first byte chooses the call, the second the engine and what the rest is."""
    if len(data) < 2:
        return
    version = sorted(RECORDED)[data[1] & 1]
    if data[1] & 2:
        check_garbage(data[0], version, data[2:])
    else:
        check(data[0], version, text_in(data[2:]).split("\n"), random.Random(data))


if __name__ == "__main__":
    fuzz(one)
