"""Prompts and resources over answers of the engine: real ones with secrets in them, changed at will, and any log."""

import contextlib
import functools
import json
import pickle
import platform
import random
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any
from unittest import mock

import anyio
from docker import APIClient

from tests.fuzz.fuzz_answers import RECORDED, UNSEEN, Replies, edited
from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker.caller import Caller
    from mcp_docker.engine import Connected, Engine
    from mcp_docker.engine.address import Endpoint
    from mcp_docker.pipeline import Call, Pipeline, Result
    from mcp_docker.prompts import troubleshoot_container, tuning
    from mcp_docker.prompts.network import ports
    from mcp_docker.redact import compact
    from mcp_docker.registry import Registry
    from mcp_docker.settings import Settings
    from mcp_docker.tool import Kind
    from mcp_docker.tools.containers import logs, stats

MODULES = (
    "mcp_docker.engine.shapes",
    "mcp_docker.prompts.compose.original",
    "mcp_docker.prompts.compose.places",
    "mcp_docker.prompts.compose.service",
    "mcp_docker.prompts.debug_networking",
    "mcp_docker.prompts.diagnosis.facts",
    "mcp_docker.prompts.generate_compose",
    "mcp_docker.prompts.memory",
    "mcp_docker.prompts.network",
    "mcp_docker.prompts.network.causes",
    "mcp_docker.prompts.network.names",
    "mcp_docker.prompts.network.ports",
    "mcp_docker.prompts.optimize_container",
    "mcp_docker.prompts.security_audit",
    "mcp_docker.prompts.troubleshoot_container",
    "mcp_docker.prompts.tuning",
)
CALLS: tuple[tuple[Kind, str, Mapping[str, str]], ...] = (
    (Kind.PROMPT, "troubleshoot_container", {"container_id": "web"}),
    (Kind.PROMPT, "optimize_container", {"container_id": "web"}),
    (Kind.PROMPT, "generate_compose", {"container_id": "web"}),
    (Kind.PROMPT, "debug_networking", {"container_id": "web"}),
    (Kind.PROMPT, "debug_networking", {"container_id": "web", "peer_id": "db"}),
    (Kind.PROMPT, "security_audit", {"container_id": "web"}),
    (Kind.PROMPT, "security_audit", {}),
    (Kind.RESOURCE, "container_logs", {"container_id": "web"}),
    (Kind.RESOURCE, "container_stats", {"container_id": "web"}),
)
LIMITS = (1_048_576, 16_384, 4_096)
SECRETS = ("zebra-9f3K1x", "zebra-Qm27vT", "zebra-h4Rw0s", "zebra-Lp88dY")
AUTHORED = frozenset(
    "Args Author Cmd Comment CreatedBy Domainname Entrypoint Env Error Hostname Labels Output Path Test User WorkingDir"
    " annotations Sysctls Destination Source".split()
)
"""Fields that the author of a container or an image fills, or a program that runs in it."""
MARK = "Xq7"
"""Begins each text in those."""
CALLERS = (Caller("fuzz", "http"), Caller("fuzz", "stdio"))
NAMES = {"c" * 64: "web", "e" * 64: "db", "d" * 64: "web", "b" * 64: "bridge"}
STAMP = "2026-11-21T10:53:0{}.000000001Z "


class World(Replies):
    """The engine of two containers, whose log is the input's."""

    log: bytes = b""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()

    def _body(self, path: str) -> bytes | None:
        path = re.sub(r"(?<=/)[^/]+(?=/|$)", lambda match: NAMES.get(match[0], match[0]), path)
        path = re.sub(r"^/images/.+/(json|history)$", r"/images/web/\1", path)
        self.known.add(path)
        return self.log if path.endswith("/logs") else super()._body(path)


WORLD = World()


def _engine(version: str, settings: Settings) -> Engine:
    client = APIClient(base_url="unix:///unused", version=RECORDED[version]["/version"]["ApiVersion"])
    client.mount("http+docker://", WORLD)
    engine = Engine(settings)
    engine._connected = Connected(Endpoint("unix:///unused", "test"), client, {})
    return engine


@functools.cache
def _pipeline(version: str, limit: int) -> Pipeline:
    settings = Settings(safety_max_response_bytes=limit)
    return Pipeline(settings, Registry(settings), _engine(version, settings), None)


@functools.cache
def _recorded(version: str) -> bytes:
    """The recorded answers, with a second container, what authors write marked, and secrets of theirs."""
    bodies = pickle.loads(pickle.dumps(RECORDED[version]))
    web = bodies["/containers/web/json"]
    web["Config"]["Env"] += [f"DB_PASSWORD={SECRETS[0]}", f"DB_HOST={MARK}"]
    web["Config"]["Cmd"] = ["serve", MARK, f"--token={SECRETS[1]}"]
    web["Config"]["Labels"] |= {"api_key": SECRETS[2], "about": MARK}
    web["State"]["Health"]["Log"] = [{"ExitCode": 1, "Output": MARK}]
    bodies["/images/web/history"][0] |= {"CreatedBy": MARK, "Comment": MARK}
    bodies["/images/web/json"] |= {"Author": MARK, "Comment": MARK}
    for event in bodies["/events"]:
        event["Actor"]["Attributes"]["about"] = MARK
    bodies["/images/web/json"]["Config"]["Env"] += [f"DB_PASSWORD={SECRETS[0]}"]
    bodies["/info"]["KernelVersion"] = platform.release()  # so that it counts as this machine's
    peer = {"Id": "e" * 64, "Name": "/db", "Names": ["/db"]}
    bodies["/containers/db/json"] = pickle.loads(pickle.dumps(web)) | peer
    bodies["/containers/db/stats"] = bodies["/containers/web/stats"]
    bodies["/containers/json"] += [pickle.loads(pickle.dumps(bodies["/containers/json"][0])) | peer]
    return pickle.dumps(bodies)


def _marked(value: Any) -> Any:
    match value:
        case str():
            return MARK + value
        case list():
            return [_marked(item) for item in value]
        case dict():
            return {key: _marked(item) for key, item in value.items()}
    return value


def _edits(lines: Iterable[str]) -> Iterator[str]:
    """Edits in which what authors write is marked."""
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key in AUTHORED:
            try:
                value = json.dumps(_marked(json.loads(value)))
            except (ValueError, RecursionError):
                value = MARK + value
        yield key + equals + value


def _log(lines: list[str]) -> bytes:
    told = [f"{MARK} {line}" for line in lines] + [f"{MARK} password={SECRETS[3]}"]
    texts = [(STAMP.format(at % 10) + line + "\n").encode("utf-8", "replace") for at, line in enumerate(told)]
    return b"".join(bytes([1 + at % 2, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for at, text in enumerate(texts))


@functools.cache
def _heard(number: int, version: str) -> bytes:
    """The answers that a call asks for."""
    bodies = pickle.loads(_recorded(version))
    WORLD.bodies, WORLD.log, WORLD.known = bodies, _log([]), {"/version", "/info"}
    assert not call(number, _pipeline(version, LIMITS[0]), CALLERS[1]).is_error
    return pickle.dumps({path: body for path, body in bodies.items() if path in WORLD.known})


class Clock(datetime):
    """Has stopped, so that what is told of time is told twice alike."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls(2026, 11, 21, 11, tzinfo=tz)


def _connection(sock: socket.socket, address: str, port: int) -> ports.Outcome:  # noqa: ARG001 - the signature is given
    return tuple(ports.Outcome)[port % len(ports.Outcome)]


@contextlib.contextmanager
def _steady() -> Iterator[None]:
    """No port of this machine is tried, nothing is waited for, and time stands still."""
    with contextlib.ExitStack() as changed:
        for module in (logs, troubleshoot_container, tuning):
            changed.enter_context(mock.patch.object(module, "datetime", Clock))
        changed.enter_context(mock.patch.object(ports, "_connection", _connection))
        changed.enter_context(mock.patch.object(stats, "BETWEEN_SECONDS", 0))
        yield


def call(number: int, pipeline: Pipeline, caller: Caller) -> Result:
    """One call all the way."""
    kind, name, arguments = CALLS[number]
    # what the engine says of itself is asked once
    pipeline.engine._connected = replace(pipeline.engine.connected, version=WORLD.bodies["/version"])
    with _steady():
        return anyio.run(pipeline.call, Call(name, arguments, caller, kind=kind))


def judge(result: Result, limit: int) -> None:
    """An answer is clean, bounded and without secrets, and nobody else speaks outside of its fence."""
    shown = result.text + compact(result.data)
    assert not UNSEEN.search(result.text)
    assert not UNSEEN.search(shown.replace("\\n", "").replace("\\t", ""))
    assert not [secret for secret in SECRETS if secret in shown]
    assert len(result.text.encode()) <= limit
    if result.is_error:
        assert result.meta["mcp-docker/code"] != "INTERNAL_ERROR", result.text
        return
    if result.data is not None and "untrusted" not in result.data:
        assert json.loads(result.text) == result.data
        return
    whole = re.fullmatch(r"(.*?)\n<(untrusted-[0-9a-f]{16})>\n(.*)\n</\2>(?:\n(.*))?", result.text, re.DOTALL)
    if whole is None:
        assert MARK not in result.text
        return
    before, mark, inside, after = whole.groups("")
    assert mark not in inside
    assert MARK not in before + after, f"{before}\n…\n{after}"
    if "about" in (result.data or {}):
        assert all(re.match(r"- |What the facts show:$|The facts, as |$", line) for line in before.split("\n")[1:])
        assert all(re.match(r"\d+\. |What to do:$|Showing |[\d,]+ of ", line) for line in after.split("\n")), after


def check(
    number: int, version: str, edits: list[str], log: list[str], *, limit: int, caller: Caller, times: int = 2
) -> None:
    """A call on changed answers; when made twice, it says the same twice."""
    number %= len(CALLS)
    pipeline = _pipeline(version, limit)
    WORLD.bodies = edited(_heard(number, version), _edits(edits), random.Random("\n".join(edits)))
    WORLD.log = _log(log)
    said = []
    for _ in range(times):
        result = call(number, pipeline, caller)
        judge(result, limit)
        # of several odd answers, the one that comes first is told
        said.append(
            result.meta["mcp-docker/code"] if result.is_error else re.sub(r"untrusted-[0-9a-f]{16}", "", result.text)
        )
    assert said[0] == said[-1], [
        pair for pair in zip(*(each.split("\n") for each in said), strict=False) if len({*pair}) > 1
    ]


def one(data: bytes) -> None:
    """The first byte chooses the call, the second the engine, the caller and the limit; lines with > are the log's."""
    if len(data) < 2:
        return
    lines = text_in(data[2:]).split("\n")
    check(
        data[0],
        sorted(RECORDED)[data[1] & 1],
        [line for line in lines if not line.startswith(">")],
        [line[1:] for line in lines if line.startswith(">")],
        limit=LIMITS[(data[1] >> 2) % 4 % len(LIMITS)],
        caller=CALLERS[data[1] >> 1 & 1],
        times=1 + (data[1] >> 4) % 2,
    )


if __name__ == "__main__":
    fuzz(one)
