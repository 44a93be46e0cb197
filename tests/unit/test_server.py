"""Handlers of the protocol, with the SDK's client in the same process and an engine that answers as the test says."""

import contextlib
import json
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated

from mcp_docker import server
from mcp_docker.audit import open_audit
from mcp_docker.caller import Caller
from mcp_docker.engine import Engine
from mcp_docker.pipeline import Pipeline
from mcp_docker.registry import Registry
from mcp_docker.server import subscriptions
from mcp_docker.server.subscriptions import MOST_OF_A_CLIENT
from mcp_docker.settings import load
from tests.unit.conftest import FakeEngine, Request

LEGACY, MODERN = "legacy", "auto"
ID = "0123456789ab" + "0" * 52
WEB = "container://logs/web"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/.*subscribe is removed"),
]


class Heard:
    """What a client was told."""

    def __init__(self) -> None:
        self.news: list[str | None] = []
        self._woken = anyio.Event()

    def take(self, uri: str | None) -> None:
        self.news.append(uri)
        self._woken.set()

    async def message(self, message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self.take(str(message.params.uri))
        if isinstance(message, types.ResourceListChangedNotification):
            self.take(None)

    async def hears(self, uri: str | None) -> None:
        with anyio.fail_after(10):
            while uri not in self.news:
                await self._woken.wait()
                self._woken = anyio.Event()


class Told:
    """An engine's streams, which go on until the test ends and say what it gives them."""

    def __init__(self, engine: FakeEngine) -> None:
        self.open: list[str] = []
        self._said: dict[str, queue.Queue[bytes | None]] = {}
        found = {"Id": ID, "Name": "/web", "State": {"Running": True}}
        engine.on("GET", f"/containers/(web|{ID})/json", found)
        engine.on("GET", "/containers/json", [{"Id": ID, "Names": ["/web"], "State": "running", "Created": 1}])
        engine.on("GET", "/events", lambda _: self._stream("events"))
        engine.on("GET", f"/containers/{ID}/logs", lambda _: self._stream("logs"))

    def say(self, what: str, data: bytes) -> None:
        self._said.setdefault(what, queue.Queue()).put(data)

    def end(self) -> None:
        for said in self._said.values():
            said.put(None)

    def _stream(self, what: str) -> Iterator[bytes]:
        said = self._said.setdefault(what, queue.Queue())
        self.open.append(what)
        yield b"\n"
        while (data := said.get()) is not None:
            yield data


LINE = b"\x01\x00\x00\x00\x00\x00\x00\x04told"
START = (
    json.dumps({"Type": "container", "Action": "start", "Actor": {"ID": "f" * 64, "Attributes": {}}}).encode() + b"\n"
)


@pytest.fixture
def told(engine: FakeEngine) -> Iterator[Told]:
    streams = Told(engine)
    yield streams
    streams.end()


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


async def nothing_is_watched(told: Told, *opened: str) -> None:
    """Wait until these streams have been opened, and none is read any more."""
    with anyio.fail_after(10):
        # in threads of their own
        while not set(opened) <= set(told.open) or threads() & {"watch-events", "watch-logs"}:  # noqa: ASYNC110
            await anyio.sleep(0.005)


@contextlib.asynccontextmanager
async def joined(
    mode: Any, heard: Heard | None = None, who: Callable[[Any], Caller] = server.local
) -> AsyncIterator[Client]:
    settings = load()
    pipeline = Pipeline(settings, Registry(settings), Engine(settings), open_audit(settings))
    built = server.build(pipeline, who)
    async with Client(built, mode=mode, cache=None, message_handler=heard.message if heard else None) as client:
        yield client
    pipeline.engine.forget()


@pytest.fixture(params=[LEGACY, MODERN])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_resources_can_be_listed_in_pages(engine: FakeEngine, mode: str) -> None:
    rows = [{"Id": f"{number:064}", "Names": [f"/c{number:03}"], "State": "running"} for number in range(120)]
    engine.on("GET", "/containers/json", rows)
    async with joined(mode) as client:
        cursor, pages, seen = None, 0, []
        while True:
            page = await client.list_resources(cursor=cursor)
            seen += [str(each.uri) for each in page.resources]
            pages += 1
            cursor = page.next_cursor
            if cursor is None:
                break
        assert pages == 3
        assert len(seen) == len(set(seen)) == 240 + 3
        # one that went meanwhile costs those after it nothing
        engine.on("GET", "/containers/json", rows[:49] + rows[50:])
        page = await client.list_resources(cursor="c049")
        assert str(page.resources[0].uri) == "container://logs/c050"
        with pytest.raises(MCPError, match="no cursor of this list"):
            await client.list_resources(cursor="../x")


async def test_the_list_of_resources_has_all_even_where_a_tools_answer_would_be_cut(
    engine: FakeEngine, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "4096")
    names = [f"c{number:03}" for number in range(60)]
    engine.on("GET", "/containers/json", [{"Id": name, "Names": [f"/{name}"], "Image": "i" * 99} for name in names])
    async with joined(mode) as client:
        first = await client.list_resources()
        rest = await client.list_resources(cursor=first.next_cursor)
        uris = {str(each.uri) for each in (*first.resources, *rest.resources)}
        assert uris >= {f"container://stats/{name}" for name in names}


async def test_a_subscriber_is_told_of_lines_and_of_containers_that_come(told: Told) -> None:
    heard = Heard()
    async with joined(LEGACY, heard) as client:
        await client.subscribe_resource(WEB)
        told.say("logs", LINE)
        await heard.hears(WEB)
        told.say("events", START)
        await heard.hears(None)
        await client.unsubscribe_resource(WEB)
        await client.unsubscribe_resource("container://logs/other")
        assert sorted(told.open) == ["events", "logs"]


async def test_a_client_that_has_listed_is_told_that_the_list_is_stale(told: Told) -> None:
    heard = Heard()
    async with joined(LEGACY, heard) as client:
        await client.list_resources()
        told.say("events", START)
        await heard.hears(None)


async def test_a_stream_hears_what_it_asked_for_and_may_see(told: Told) -> None:
    async with (
        joined(MODERN) as client,
        client.listen(
            tools_list_changed=True, resources_list_changed=True, resource_subscriptions=[WEB, "container://logs/none"]
        ) as events,
    ):
        assert events.honored.resource_subscriptions == [WEB]
        assert events.honored.tools_list_changed is None
        told.say("logs", LINE)
        with anyio.fail_after(10):
            async for event in events:
                assert event == ResourceUpdated(uri=WEB)
                break


async def test_a_stream_is_told_of_what_happened_while_it_was_opened(told: Told, engine: FakeEngine) -> None:
    def late(_: Request) -> Any:
        deadline = time.monotonic() + 10
        while "logs" not in told.open and time.monotonic() < deadline:
            time.sleep(0.005)
        told.say("logs", LINE)
        time.sleep(0.5)
        return {"Id": "f" * 64, "Name": "/late"}

    engine.on("GET", "/containers/late/json", late)
    async with joined(MODERN) as client:
        with anyio.fail_after(20):
            async with client.listen(resource_subscriptions=[WEB, "container://stats/late"]) as events:
                assert await anext(aiter(events)) == ResourceUpdated(uri=WEB)


async def test_a_stream_ends_in_order_when_the_token_does_that_opened_it(told: Told) -> None:  # noqa: ARG001
    def who(_: Any) -> Caller:
        return Caller("tester", "http", expires=time.time() + 0.3)

    with anyio.fail_after(10):
        async with joined(MODERN, who=who) as client, client.listen(resource_subscriptions=[WEB]) as events:
            assert {event async for event in events} <= {ResourceUpdated(uri=WEB)}


async def test_a_stream_ends_with_its_token_though_the_clock_is_set_or_the_machine_slept(
    told: Told,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(subscriptions, "time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(subscriptions, "LOOK_SECONDS", 0.05)

    def who(_: Any) -> Caller:
        return Caller("tester", "http", expires=1_003_600.0)

    with anyio.fail_after(10):
        async with joined(MODERN, who=who) as client, client.listen(resource_subscriptions=[WEB]) as events:
            now += 3_600
            assert {event async for event in events} <= {ResourceUpdated(uri=WEB)}


async def test_what_a_token_opened_is_not_told_after_its_end(told: Told) -> None:
    heard = Heard()
    asked: list[Caller] = []

    def who(_: Any) -> Caller:
        asked.append(Caller("tester", "http", expires=time.time() - 1))
        return asked[-1]

    async with joined(LEGACY, heard, who) as client:
        await client.subscribe_resource(WEB)
        told.say("logs", LINE)
        with anyio.move_on_after(0.5):
            await heard.hears(WEB)
        assert heard.news == []


async def test_a_session_hears_as_long_as_the_token_of_its_latest_request_lasts(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(subscriptions, "time", SimpleNamespace(time=lambda: now))
    heard, ends = Heard(), [now + 1]

    def who(_: Any) -> Caller:
        return Caller("tester", "http", expires=ends[0])

    async with joined(LEGACY, heard, who) as client:
        await client.subscribe_resource(WEB)
        await heard.hears(WEB)
        ends[0] = now + 60
        await client.list_tools()
        heard.news.clear()
        now += 2
        told.say("logs", LINE)
        await heard.hears(WEB)


async def test_a_session_whose_token_had_ended_can_subscribe_again_with_a_new_one(told: Told) -> None:
    heard, ends = Heard(), [time.time() - 1]

    def who(_: Any) -> Caller:
        return Caller("tester", "http", expires=ends[0])

    async with joined(LEGACY, heard, who) as client:
        await client.subscribe_resource(WEB)
        told.say("events", START)
        await nothing_is_watched(told, "events")
        ends[0] = time.time() + 60
        await client.subscribe_resource(WEB)
        told.say("logs", LINE)
        told.say("logs", LINE)  # the stream before may take the first
        await heard.hears(WEB)


async def test_a_session_hears_only_what_its_latest_token_may_see(told: Told) -> None:
    heard, tools = Heard(), [frozenset({"docker_container_logs"})]

    def who(_: Any) -> Caller:
        return replace(server.local(None), tools=tools[0])

    async with joined(LEGACY, heard, who) as client:
        await client.subscribe_resource(WEB)
        told.say("logs", LINE)
        await heard.hears(WEB)
        tools[0] = frozenset({"docker_version"})
        await client.list_tools()
        heard.news.clear()
        told.say("logs", LINE)
        told.say("events", START)
        with anyio.move_on_after(1.5):
            await heard.hears(WEB)
        assert heard.news == []


async def test_who_ends_the_last_subscription_keeps_nothing_open_at_the_engine(told: Told) -> None:
    async with joined(LEGACY, heard := Heard()) as client:
        await client.list_resources()
        await client.subscribe_resource(WEB)
        told.say("logs", LINE)
        await heard.hears(WEB)
        await client.unsubscribe_resource(WEB)
        with anyio.fail_after(10):
            for thread in threading.enumerate():
                if thread.name in ("watch-events", "watch-logs"):
                    await anyio.to_thread.run_sync(thread.join)


async def test_a_caller_has_so_many_followed_over_all_its_clients(
    told: Told,  # noqa: ARG001
    engine: FakeEngine,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriptions, "MOST_FOLLOWED", 1)
    engine.on("GET", "/containers/other/json", {"Id": "f" * 64, "Name": "/other"})
    other = "container://logs/other"
    async with joined(mode) as client:
        if mode == LEGACY:
            await client.subscribe_resource(WEB)
            await client.subscribe_resource(f"container://logs/{ID}")
            with pytest.raises(MCPError, match="followed for you, the most"):
                await client.subscribe_resource(other)
            return
        async with client.listen(resource_subscriptions=[WEB]), client.listen(resource_subscriptions=[other]) as second:
            assert second.honored.resource_subscriptions is None


async def test_a_list_that_comes_whole_takes_no_cursor(engine: FakeEngine, mode: str) -> None:  # noqa: ARG001
    async with joined(mode) as client:
        for listed in (client.list_tools, client.list_prompts, client.list_resource_templates):
            with pytest.raises(MCPError, match="no pages") as caught:
                await listed(cursor="x")
            assert caught.value.error.code == types.INVALID_PARAMS


async def test_one_caller_leaves_streams_for_others(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(subscriptions, "MOST_OF_A_CALLER", 1)
    callers = ["one", "one", "other"]

    def who(context: Any) -> Caller:
        listens = context is not None and context.method == "subscriptions/listen"
        return Caller(callers.pop(0) if listens else "x", "http")

    async with joined(MODERN, who=who) as client, client.listen(resources_list_changed=True):
        with pytest.raises(MCPError, match="1 streams of yours"):
            async with client.listen(resources_list_changed=True):
                pass
        async with client.listen(resources_list_changed=True):
            pass


async def test_only_the_list_of_resources_is_said_to_change(engine: FakeEngine, mode: str) -> None:  # noqa: ARG001
    async with joined(mode) as client:
        said = client.server_capabilities
        assert said.resources == types.ResourcesCapability(subscribe=True, list_changed=True)
        assert said.tools == types.ToolsCapability(list_changed=False)
        assert said.prompts == types.PromptsCapability(list_changed=False)


async def test_a_hidden_resource_is_refused_in_the_words_of_one_that_is_not_there(mode: str) -> None:
    def who(_: Any) -> Caller:
        return replace(server.local(None), tools=frozenset())

    async with joined(mode, who=who) as client:
        texts = set()
        for uri in ("container://logs/web", "container://nothing/web"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            texts.add(caught.value.error.message.replace(uri, "URI"))
        assert len(texts) == 1


async def test_one_client_can_subscribe_to_so_many(told: Told, engine: FakeEngine) -> None:  # noqa: ARG001
    engine.on("GET", "/containers/.*/json", lambda asked: {"Id": ID, "Name": f"/{asked.path.split('/')[2]}"})
    async with joined(LEGACY) as client:
        for number in range(MOST_OF_A_CLIENT):
            await client.subscribe_resource(f"container://logs/c{number}")
        with pytest.raises(MCPError, match="are the most; unsubscribe"):
            await client.subscribe_resource(WEB)
        await client.subscribe_resource("container://logs/c0")
        await client.unsubscribe_resource("container://logs/c0")
        await client.subscribe_resource(WEB)


async def test_containers_that_are_gone_count_no_more(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST_OF_A_CLIENT", 1)
    monkeypatch.setattr(subscriptions, "MOST_FOLLOWED", 1)
    async with joined(LEGACY, heard := Heard()) as client:
        await client.subscribe_resource(WEB)
        told.say("events", START.replace(b'"start"', b'"destroy"').replace(b"f" * 64, ID.encode()))
        await heard.hears(WEB)
        await client.subscribe_resource(f"container://stats/{ID}")


async def test_a_client_that_unsubscribes_from_nothing_goes_on_hearing_of_the_list(told: Told) -> None:
    async with joined(LEGACY, heard := Heard()) as client:
        await client.list_resources()
        await client.unsubscribe_resource(WEB)
        told.say("events", START)
        await heard.hears(None)


async def test_a_client_that_leaves_leaves_no_stream_at_the_engine(told: Told) -> None:
    async with joined(LEGACY, heard := Heard()) as client:
        await client.subscribe_resource(WEB)
        told.say("logs", LINE)
        await heard.hears(WEB)
        assert threads() >= {"watch-events", "watch-logs"}
    await nothing_is_watched(told)


async def test_prompts_are_the_users_words(engine: FakeEngine, mode: str) -> None:
    engine.on("GET", "/containers/json", [])
    async with joined(mode) as client:
        given = await client.get_prompt("security_audit")
        assert [message.role for message in given.messages] == ["user"]
        with pytest.raises(MCPError, match="PROMPT_NOT_AVAILABLE") as caught:
            await client.get_prompt("no_such_prompt")
        assert caught.value.error.code == types.INVALID_PARAMS
        assert await client.get_prompt("security_audit", {"container_id": ""})
        with pytest.raises(MCPError, match="INVALID_ARGUMENTS"):
            await client.get_prompt("security_audit", {"contaner_id": "x"})


async def test_pages_are_read_where_their_tool_is_seen(engine: FakeEngine, mode: str) -> None:
    def who(_: Any) -> Caller:
        return replace(server.local(None), tools=frozenset({"docker_list_containers"}))

    async with joined(mode, who=who) as client:
        (contents,) = (await client.read_resource("ui://mcp-docker/containers.html")).contents
        assert contents.mime_type == "text/html;profile=mcp-app"
        with pytest.raises(MCPError, match="RESOURCE_NOT_AVAILABLE") as caught:
            await client.read_resource("ui://mcp-docker/logs.html")
        assert caught.value.error.code == (-32002 if mode == LEGACY else types.INVALID_PARAMS)
    assert engine.requests == []


async def test_what_is_listed_is_said_to_be_private_and_how_long_it_holds(engine: FakeEngine) -> None:
    engine.on("GET", "/containers/json", [])
    async with joined(MODERN) as client:
        lasting = (await client.list_tools(), await client.list_prompts(), await client.list_resource_templates())
        assert {(listed.cache_scope, listed.ttl_ms) for listed in lasting} == {("private", 3_600_000)}
        listed = await client.list_resources()
        assert (listed.cache_scope, listed.ttl_ms) == ("private", 0)
