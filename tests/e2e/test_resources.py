"""Resources, subscriptions, completion and prompts, through real clients of both eras."""

import contextlib
import json
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import docker
import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.client.subscriptions import Subscription
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated

from tests.e2e.conftest import Start, connected
from tests.e2e.process import HANDSHAKE, PATIENCE, SESSIONLESS, UNMEASURED, eventually
from tests.e2e.proxy import EngineProxy

Make = Callable[..., str]
ON_SIGNAL = ["sh", "-c", 'trap "echo told" HUP; echo ready; while :; do sleep 0.05; done']

pytestmark = [
    pytest.mark.anyio,
    # the SDK's client says so of what only the revisions before 2026-07-28 have
    pytest.mark.filterwarnings("ignore:resources/.*subscribe is removed"),
]


def named(raw: docker.APIClient, container_id: str) -> str:
    return str(raw.inspect_container(container_id)["Name"]).lstrip("/")


async def test_running_containers_are_listed_as_resources_beside_the_templates(
    client: Client, container: Make, raw: docker.APIClient
) -> None:
    name = named(raw, container())
    templates = await client.list_resource_templates()
    assert {each.uri_template for each in templates.resource_templates} == {
        "container://logs/{container_id}",
        "container://stats/{container_id}",
    }
    uris: dict[str, str | None] = {}
    cursor = None
    while True:
        page = await client.list_resources(cursor=cursor)
        uris |= {str(each.uri): each.mime_type for each in page.resources}
        cursor = page.next_cursor
        if cursor is None:
            break
    assert uris[f"container://logs/{name}"] == "text/plain"
    assert uris[f"container://stats/{name}"] == "application/json"
    assert uris["ui://mcp-docker/containers.html"] == "text/html;profile=mcp-app"


async def test_logs_are_read_inside_a_fence_without_secrets_and_stats_as_json(client: Client, container: Make) -> None:
    made = container(["sh", "-c", "echo one; echo DB_PASSWORD=hunter2hunter2; sleep 300"])
    with anyio.fail_after(PATIENCE):
        while True:
            (contents,) = (await client.read_resource(f"container://logs/{made}")).contents
            assert isinstance(contents, types.TextResourceContents)
            if "DB_PASSWORD" in contents.text:  # the last line; a container's name may have "one" in it
                break
    assert contents.mime_type == "text/plain"
    assert "<untrusted-" in contents.text
    assert "hunter2" not in contents.text
    (contents,) = (await client.read_resource(f"container://stats/{made}")).contents
    assert isinstance(contents, types.TextResourceContents)
    (usage,) = json.loads(contents.text)["containers"]
    assert made.startswith(usage["id"])


@pytest.mark.parametrize(
    "uri",
    ["container://logs/no-such-container", "container://nothing/x", "ui://mcp-docker/no.html", "container://logs/.."],
)
async def test_what_is_not_there_is_the_protocols_error(client: Client, era: str, uri: str) -> None:
    with pytest.raises(MCPError, match=r"REFUSED \[") as caught:
        await client.read_resource(uri)
    assert caught.value.error.code == (-32002 if era == HANDSHAKE else types.INVALID_PARAMS)
    assert caught.value.error.data["uri"] == uri


async def test_names_are_completed_by_their_beginning(client: Client, container: Make) -> None:
    prefix = f"c{uuid.uuid4().hex[:8]}"
    for name in ("b", "a"):
        container(name=f"{prefix}-{name}", start=False)
    for ref in (
        types.PromptReference(name="troubleshoot_container"),
        types.ResourceTemplateReference(uri="container://logs/{container_id}"),
    ):
        found = await client.complete(ref, {"name": "container_id", "value": prefix})
        assert found.completion.values == [f"{prefix}-a", f"{prefix}-b"]
        assert found.completion.has_more is False
    none = await client.complete(ref, {"name": "container_id", "value": "(.*"})
    assert none.completion.values == []
    with pytest.raises(MCPError, match="no such argument"):
        await client.complete(ref, {"name": "image", "value": ""})


async def test_without_an_engine_lists_are_empty_and_completion_is_silent(era: str, tmp_path: Path) -> None:
    async with connected(era, DOCKER_HOST=f"unix://{tmp_path}/none.sock") as client:
        listed = await client.list_resources()
        assert {str(each.uri).partition(":")[0] for each in listed.resources} == {"ui"}
        ref = types.ResourceTemplateReference(uri="container://logs/{container_id}")
        assert (await client.complete(ref, {"name": "container_id", "value": ""})).completion.values == []
        with pytest.raises(MCPError, match="ENGINE_UNREACHABLE") as caught:
            await client.read_resource("container://logs/web")
        assert caught.value.error.code == types.INTERNAL_ERROR


async def test_what_a_hidden_tool_would_show_is_hidden_too(era: str, container: Make) -> None:
    made = container()
    async with connected(era, SAFETY_DENIED_TOOLS="docker_container_logs,docker_list_containers") as client:
        templates = await client.list_resource_templates()
        assert [each.name for each in templates.resource_templates] == ["container_stats"]
        listed = {str(each.uri) for each in (await client.list_resources()).resources}
        assert listed == {"ui://mcp-docker/stats.html"}
        for uri in (f"container://logs/{made}", "ui://mcp-docker/logs.html"):
            with pytest.raises(MCPError, match="RESOURCE_NOT_AVAILABLE"):
                await client.read_resource(uri)
        ref = types.ResourceTemplateReference(uri="container://stats/{container_id}")
        assert (await client.complete(ref, {"name": "container_id", "value": ""})).completion.values == []


async def test_the_operator_chooses_prompts_and_resources(era: str) -> None:
    async with connected(era, SAFETY_ALLOWED_PROMPTS="security_audit", SAFETY_ALLOWED_RESOURCES="[]") as client:
        assert [each.name for each in (await client.list_prompts()).prompts] == ["security_audit"]
        assert (await client.list_resource_templates()).resource_templates == []
        with pytest.raises(MCPError, match="PROMPT_NOT_AVAILABLE"):
            await client.get_prompt("generate_compose", {"container_id": "x"})


class Heard:
    """What a client was told, in either era."""

    def __init__(self) -> None:
        self.updated: list[str] = []
        self.moments: list[float] = []
        self.lists = 0
        self._news = anyio.Event()

    def take(self, uri: str | None) -> None:
        if uri is None:
            self.lists += 1
        else:
            self.updated.append(uri)
            self.moments.append(time.time())
        self._news.set()

    async def message(self, message: object) -> None:
        """What a client of a handshake is told."""
        if isinstance(message, types.ResourceUpdatedNotification):
            self.take(str(message.params.uri))
        if isinstance(message, types.ResourceListChangedNotification):
            self.take(None)

    @contextlib.asynccontextmanager
    async def gathering(self, events: Subscription) -> AsyncIterator[None]:
        """Take what a stream tells."""

        async def gather() -> None:
            async for event in events:
                self.take(event.uri if isinstance(event, ResourceUpdated) else None)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gather)
            yield
            tasks.cancel_scope.cancel()

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE):
            while not holds():
                await self._news.wait()
                self._news = anyio.Event()

    async def seconds_after(self, moment: float) -> float:
        """How long after this moment something was told."""
        await self.until(lambda: self.moments[-1:] > [moment])
        return min(each for each in self.moments if each > moment) - moment


def waits_for_signals(raw: docker.APIClient, container: Make) -> str:
    """A container that prints a line for each signal; one that came before it is ready would be lost."""
    made = container(ON_SIGNAL)
    eventually(lambda: raw.logs(made))
    return made


async def has_printed(raw: docker.APIClient, container_id: str) -> float:
    """Have a container print a line; when the engine had it, since what its shell takes is not the server's."""

    def lines() -> list[bytes]:
        return bytes(raw.logs(container_id, timestamps=True)).splitlines()

    before = len(lines())
    await anyio.to_thread.run_sync(raw.kill, container_id, "HUP")
    await anyio.to_thread.run_sync(eventually, lambda: len(lines()) > before)
    return datetime.fromisoformat(lines()[before].split()[0].decode()).timestamp()


@contextlib.asynccontextmanager
async def subscribed(era: str, *uris: str, **settings: str) -> AsyncIterator[tuple[Client, Heard]]:
    """A client that listens to these resources, and to the list of them."""
    heard = Heard()

    async with connected(era, heard.message, **settings) as client:
        if era == HANDSHAKE:
            for uri in uris:
                await client.subscribe_resource(uri)
            yield client, heard
            return
        async with (
            client.listen(resources_list_changed=True, resource_subscriptions=list(uris)) as events,
            heard.gathering(events),
        ):
            yield client, heard


async def test_a_line_reaches_a_subscriber_within_a_second_and_a_half(
    era: str, container: Make, raw: docker.APIClient
) -> None:
    made = waits_for_signals(raw, container)
    uri = f"container://logs/{made}"
    async with subscribed(era, uri) as (_, heard):
        took = [await heard.seconds_after(await has_printed(raw, made)) for _ in range(3)]
        assert statistics.median(took) < 1.5, took  # a busy machine may be late now and then
        assert set(heard.updated) == {uri}


async def test_stats_that_change_are_told(era: str, container: Make) -> None:
    uri = f"container://stats/{container(['sh', '-c', 'while :; do sleep 0.1; done'])}"
    async with subscribed(era, uri) as (_, heard):
        await heard.until(lambda: heard.updated.count(uri) >= 2)


async def test_containers_that_come_and_go_change_the_list(
    era: str, container: Make, raw: docker.APIClient, proxy: EngineProxy
) -> None:
    uri = f"container://logs/{container()}"
    async with subscribed(era, uri, DOCKER_HOST=proxy.address) as (_, heard):
        # a log is followed once events are listened to, which goes on after a subscription was answered
        await anyio.to_thread.run_sync(eventually, lambda: proxy.saw("/logs"))
        made = container()
        await heard.until(lambda: heard.lists > 0)
        before = heard.lists
        raw.remove_container(made, force=True)
        await heard.until(lambda: heard.lists > before)


async def test_what_is_not_there_cannot_be_subscribed_to(era: str) -> None:
    uri = "container://logs/no-such-container"
    async with connected(era) as client:
        if era == HANDSHAKE:
            with pytest.raises(MCPError, match="REFUSED"):
                await client.subscribe_resource(uri)
            return
        async with client.listen(resources_list_changed=True, resource_subscriptions=[uri]) as events:
            assert events.honored.resource_subscriptions is None
            assert events.honored.resources_list_changed is True


def engine_connections(pid: int) -> int:
    """Unix sockets of the process: those to the engine, and two by which its event loop wakes itself."""
    unix = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    count = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += str(fd.readlink()).removeprefix("socket:[").removesuffix("]") in unix
    return count


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.mark.parametrize("count", [50])
def test_many_subscriptions_cost_one_stream_and_one_follower_for_each_container_and_nothing_is_left(
    era: str, count: int, container: Make, start: Start
) -> None:
    made = container()
    uris = [f"container://logs/{made[:length]}" for length in range(64, 64 - count, -1)]
    server = start(era, **UNMEASURED).open()
    server.call("docker_version")
    pid = server.process.pid
    sockets, before = engine_connections(pid), threads(pid)
    streams = []
    if era == HANDSHAKE:
        for uri in uris:
            server.request("resources/subscribe", {"uri": uri})
    else:
        streams = [
            server.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}) for uri in uris
        ]
        server.request("resources/templates/list")
        eventually(lambda: server.request("tools/list") and _acknowledged(server) == count)
    eventually(lambda: engine_connections(pid) >= sockets + 1)
    assert engine_connections(pid) <= sockets + 2
    for uri in uris:
        if era == HANDSHAKE:
            server.request("resources/unsubscribe", {"uri": uri})
    for stream in streams:
        server.notify("notifications/cancelled", {"requestId": stream})
    eventually(lambda: engine_connections(pid) <= sockets)
    eventually(lambda: threads(pid) <= before + 2)
    assert server.leave().is_clean


def _acknowledged(server: Any) -> int:
    return sum(message["method"] == "notifications/subscriptions/acknowledged" for message in server.notifications)


async def test_prompts_say_what_they_take_and_answer_in_the_users_name(
    client: Client, container: Make, raw: docker.APIClient
) -> None:
    listed = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    assert set(listed) == {
        "troubleshoot_container",
        "optimize_container",
        "generate_compose",
        "debug_networking",
        "security_audit",
    }
    arguments = {
        name: [(each.name, each.required) for each in prompt.arguments or []] for name, prompt in listed.items()
    }
    assert arguments["debug_networking"] == [("container_id", True), ("peer_id", False)]
    assert arguments["security_audit"] == [("container_id", False)]
    assert all(prompt.title and prompt.description for prompt in listed.values())
    made = container(["sh", "-c", "echo no such thing >&2; exit 3"])
    raw.wait(made)
    given = await client.get_prompt("troubleshoot_container", {"container_id": made})
    (message,) = given.messages
    assert message.role == "user"
    assert isinstance(message.content, types.TextContent)
    assert "exit code 3" in message.content.text
    assert "<untrusted-" in message.content.text


async def test_a_prompt_that_is_asked_wrongly_is_the_protocols_error(client: Client) -> None:
    for name, arguments, code in (
        ("no_such_prompt", {}, "PROMPT_NOT_AVAILABLE"),
        ("troubleshoot_container", {}, "INVALID_ARGUMENTS"),
        ("troubleshoot_container", {"container_id": "no-such-container"}, "NOT_FOUND"),
    ):
        with pytest.raises(MCPError, match=code) as caught:
            await client.get_prompt(name, arguments)
        assert caught.value.error.code == types.INVALID_PARAMS


async def test_the_three_tools_with_pages_are_bound_to_them(client: Client, era: str) -> None:
    pages = {tool.name: tool.meta["ui"]["resourceUri"] for tool in (await client.list_tools()).tools if tool.meta}
    assert pages == {
        "docker_list_containers": "ui://mcp-docker/containers.html",
        "docker_container_stats": "ui://mcp-docker/stats.html",
        "docker_container_logs": "ui://mcp-docker/logs.html",
    }
    for uri in pages.values():
        (contents,) = (await client.read_resource(uri)).contents
        assert isinstance(contents, types.TextResourceContents)
        assert contents.mime_type == "text/html;profile=mcp-app"
        assert contents.text.lower().startswith("<!doctype html>")
    if era == SESSIONLESS:  # the revisions before know no extensions
        assert client.server_capabilities.extensions == {"io.modelcontextprotocol/ui": {}}
