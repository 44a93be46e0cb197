"""A host of MCP Apps: shows one page in a sandboxed frame of a real browser, and answers what it asks."""

import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, ConsoleMessage, FrameLocator, Page, Route, ViewportSize, async_playwright

from mcp_docker import pages

SECONDS = 30
"""How long anything is waited for."""

Message = dict[str, Any]
Answers = Callable[[str, Message], Awaitable[Message]]

HOST = "https://host.test/"
PAGE = "https://page.test/"
# what a host must enforce where a page's metadata ask for nothing: MCP Apps 2026-01-26, "UI Resource Format"
CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' data:; connect-src 'none'"
)
TOOLS = {"containers": "docker_list_containers", "stats": "docker_container_stats", "logs": "docker_container_logs"}


def answered(data: Message) -> Message:
    """The answer to a call that was done, with this data."""
    return {"result": {"content": [], "structuredContent": data, "isError": False}}


def refused(code: str, text: str, seconds: float | None = None) -> Message:
    """The answer to a call that was refused."""
    meta: Message = {"mcp-docker/code": code}
    if seconds is not None:
        meta["mcp-docker/retry-after-seconds"] = seconds
    content = [{"type": "text", "text": f"REFUSED [{code}] {text}"}]
    return {"result": {"content": content, "isError": True, "_meta": meta}}


@dataclass
class Call:
    """One call that a page made, with the seconds at which it began and ended."""

    name: str
    arguments: Message
    began: float
    ended: float | None = None


async def _nothing(_name: str, _arguments: Message) -> Message:
    raise AssertionError("this page calls nothing")


@dataclass
class Host:
    """One page in its frame.

    Attributes:
        answers: gives the answer to a page's call: a JSON-RPC result or error.
        calls: that the page made.
        strays: addresses that something asked the network for.
        complaints: of the browser: errors, warnings, violations of the CSP.
        shows: whether there is a page that may ask for something.
    """

    tab: Page
    answers: Answers = _nothing
    calls: list[Call] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    shows: bool = False
    _moving: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def frame(self) -> FrameLocator:
        return self.tab.frame_locator("iframe")

    async def prepare(self) -> None:
        await self.tab.context.route("**/*", self._serve)
        await self.tab.expose_function("callTool", self._call)
        self.tab.on("console", self._complain)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def renew(self, viewport: ViewportSize) -> None:
        """Make it as if nothing had been shown yet."""
        await self.tab.goto("about:blank")
        self.answers = _nothing
        for gathered in (self.calls, self.strays, self.complaints):
            gathered.clear()
        await self.tab.set_viewport_size(viewport)
        await self.tab.emulate_media(color_scheme="light")

    def check(self) -> None:
        """Nothing went wrong in the browser, and nothing asked the network."""
        assert self.strays == [], self.strays
        assert self.complaints == [], self.complaints

    async def _serve(self, route: Route) -> None:
        address = route.request.url
        if address == HOST:
            await route.fulfill(body=(Path(__file__).parent / "host.html").read_text(), content_type="text/html")
        elif address.removeprefix(PAGE) in pages.NAMES:
            body = pages.html(address.removeprefix(PAGE))
            await route.fulfill(body=body, content_type="text/html", headers={"content-security-policy": CSP})
        else:
            self.strays.append(address)
            await route.abort()

    def _complain(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def _call(self, params: Message) -> Message:
        call = Call(params["name"], params["arguments"], time.monotonic())
        self.calls.append(call)
        async with self._moving:  # while the clock moves, nobody knows when the page would take the answer
            pass
        answer = await self.answers(call.name, call.arguments)
        call.ended = time.monotonic()
        return answer

    async def open(
        self,
        name: str,
        *,
        context: Message | None = None,
        capabilities: Message | None = None,
        silent: bool = False,
    ) -> None:
        """Show a page, and wait until it has said that it is ready, and how large it is."""
        if capabilities is None:
            capabilities = {"serverTools": {}}
        await self.tab.goto(HOST)
        options = {"context": context, "capabilities": capabilities, "silent": silent}
        await self.tab.evaluate("([address, options]) => host.open(address, options)", [PAGE + name, options])
        self.shows = True
        wanted = "ui/initialize" if silent else "ui/notifications/initialized"
        await self.tab.wait_for_function("method => host.heard.some((one) => one.method === method)", arg=wanted)
        await self.ping()

    async def ping(self) -> None:
        """Messages arrive in order: when this is answered, each side has read what the other has said before."""
        await self.request("ping", {})

    async def notify(self, method: str, params: Message) -> None:
        """Tell the page something, and wait until it has read that."""
        await self.tab.evaluate("([method, params]) => host.notify(method, params)", [method, params])
        await self.ping()

    async def request(self, method: str, params: Message) -> Message:
        with anyio.fail_after(SECONDS):
            answer: Message = await self.tab.evaluate(
                "([method, params]) => host.request(method, params)", [method, params]
            )
        return answer

    async def pass_time(self, milliseconds: int) -> None:
        """Move the clock. What the page asks meanwhile is answered when it stands again."""
        async with self._moving:
            await self.tab.clock.run_for(milliseconds)
        await self.ping()

    async def show(self, data: Message, arguments: Message | None = None) -> None:
        """Tell the page of a call that was made, and of its answer."""
        await self.notify("ui/notifications/tool-input", {"arguments": arguments or {}})
        await self.notify("ui/notifications/tool-result", answered(data)["result"])

    async def heard(self, method: str) -> list[Message]:
        """The parameters of what the page has sent by that method."""
        found: list[Message] = await self.tab.evaluate(
            "method => host.heard.filter((one) => one.method === method).map((one) => one.params)", method
        )
        return found

    async def took(self, calls: int) -> None:
        """Wait until the page has made so many calls, and has taken their answers."""
        await self.tab.wait_for_function("calls => host.answered === calls", arg=calls)
        await self.ping()
        assert len(self.calls) == calls

    async def rest(self) -> None:
        """Wait until nothing that the page asked is under way."""
        await self.tab.wait_for_function(
            "() => host.answered === host.heard.filter((one) => one.method === 'tools/call').length"
        )

    async def leave(self) -> None:
        """Tell the page that it is taken away, and wait until nothing that it asked is under way."""
        self.shows = False
        assert (await self.request("ui/resource-teardown", {"reason": "closed"}))["result"] == {}
        await self.rest()

    async def knows(self, *, seen: bool) -> None:
        """Wait until the page knows that somebody sees it, or nobody; one that nobody sees draws no frames."""
        (page,) = self.tab.main_frame.child_frames
        await page.wait_for_function("seen => app.isVisible() === seen", arg=seen, polling=50)

    async def inside(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return await self.frame.locator("html").evaluate(f"() => ({expression})")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """The distribution's Chromium, without a window and without a network."""
    program = shutil.which("chromium")
    assert program, "chromium is missing; scripts/test installs it"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=program, args=["--host-resolver-rules=MAP * ~NOTFOUND"]
        )
        yield started
        await started.close()


@asynccontextmanager
async def host(started: Browser, **options: Any) -> AsyncIterator[Host]:
    """A host in a tab of its own, checked at its end.

    Args:
        options: of the tab, e.g. `viewport` and `color_scheme`.
    """
    context = await started.new_context(**options)
    made = Host(await context.new_page())
    await made.prepare()
    yield made
    await context.close()
    made.check()
