"""The pages with the real server on a real engine."""

import re
from collections.abc import Callable

import docker
from mcp.client.client import Client
from mcp_types import TextResourceContents
from playwright.async_api import expect

from mcp_docker import pages
from tests.e2e.pages.host import Host, Message
from tests.e2e.process import eventually


async def served(app: Host, client: Client, name: str, arguments: Message) -> None:
    """Show a page as a host does that finds it by its tool, and answers what it asks through the server."""
    (tool,) = [tool for tool in (await client.list_tools()).tools if tool.meta and name in str(tool.meta.get("ui"))]
    assert tool.meta is not None
    (content,) = (await client.read_resource(tool.meta["ui"]["resourceUri"])).contents
    assert content.mime_type == "text/html;profile=mcp-app"
    assert isinstance(content, TextResourceContents)
    assert content.text == pages.html(name)

    async def forward(called: str, given: Message) -> Message:
        result = await client.call_tool(called, given)
        return {"result": result.model_dump(mode="json", by_alias=True, exclude_none=True)}

    app.answers = forward
    await app.open(name)
    await app.notify("ui/notifications/tool-input", {"arguments": arguments})
    await app.notify("ui/notifications/tool-result", (await forward(tool.name, arguments))["result"])


async def test_containers_of_a_real_engine(
    app: Host, client: Client, raw: docker.APIClient, container: Callable[..., str], label: str
) -> None:
    made = container(["sleep", "300"], host={"port_bindings": {80: ("127.0.0.1", None)}}, ports=[80])
    facts = raw.inspect_container(made)
    port = facts["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    await served(app, client, "containers", {"all": True, "filters": {"label": label}})
    only = app.frame.locator("tbody tr")
    await expect(only).to_have_count(1)
    for words in (facts["Name"].lstrip("/"), "running", f"127.0.0.1:{port} → 80/tcp", facts["Config"]["Image"]):
        await expect(only).to_contain_text(words)
    raw.kill(made)
    # the engine says first that it has ended, and then lists it so
    eventually(lambda: raw.containers(all=True, filters={"id": made, "status": "exited"}))
    await app.frame.get_by_role("button", name="Refresh").click()
    await expect(only).to_contain_text("exited")


async def test_stats_of_a_real_engine(app: Host, client: Client, container: Callable[..., str]) -> None:
    made = container(["sh", "-c", "while :; do :; done"], host={"nano_cpus": 200_000_000, "mem_limit": "64m"})
    await served(app, client, "stats", {"container_id": made})
    await expect(app.frame.get_by_role("row").nth(1)).to_contain_text(re.compile(r"\d %.*(?:MiB|KiB)"))
    await app.tab.wait_for_function("host.answered >= 2")
    await app.frame.get_by_role("button", name="Pause").click()
    await app.ping()
    await app.rest()  # on a slow machine a third one is under way
    await app.took(len(app.calls))
    first, second = app.calls[:2]
    assert first.ended is not None
    assert second.began - first.began >= 2
    assert second.began >= first.ended
    path = await app.frame.get_by_role("img", name="CPU").locator("path").get_attribute("d")
    assert path is not None
    assert len(re.findall("[ML]", path)) == 1 + len(app.calls)


async def test_logs_of_a_real_engine(
    app: Host, client: Client, raw: docker.APIClient, container: Callable[..., str]
) -> None:
    # pauses between both streams, or the engine may write down first what was said last
    endless = "i=0; while :; do i=$((i+1)); echo out $i; sleep 0.2; echo err $i >&2; sleep 0.2; done"
    made = container(["sh", "-c", endless])

    def more_than(lines: int) -> None:
        eventually(lambda: raw.logs(made).count(b"\n") > lines)

    more_than(2)
    await served(app, client, "logs", {"container_id": made, "timestamps": True, "tail": 10_000})
    await expect(app.frame.locator("li.stdout").first).to_contain_text("out 1")
    before = await app.frame.locator("li.stdout").count()
    status = app.frame.get_by_role("status")
    for calls in (1, 2):
        more_than(await app.frame.locator("li").count() + 3)
        await app.frame.get_by_role("button", name="Load newer").click()
        # the words of the first answer are still there while the second is awaited
        await app.took(calls)
        await expect(status).to_contain_text(re.compile("[0-9]+ newer lines"))
    numbers = await app.frame.locator("li.stdout").all_text_contents()
    assert len(numbers) > before
    assert [int(words.rpartition(" ")[2]) for words in numbers] == list(range(1, len(numbers) + 1))
    await expect(app.frame.locator("li.stderr").first).to_contain_text("err 1")
