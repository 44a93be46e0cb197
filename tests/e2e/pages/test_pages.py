"""The pages of MCP Apps, in a real browser, in a host that speaks the protocol."""

import re

import pytest
from playwright.async_api import expect

from mcp_docker import __version__, pages
from tests.e2e.pages.host import Host, Message, answered, refused
from tests.e2e.pages.samples import (
    ANSWERS,
    DARK,
    EVIL,
    HEALTHS,
    LIGHT,
    LOGS,
    LONG,
    NARROW,
    SHOP,
    STATES,
    STATS,
    always,
    line,
    row,
)

# What is written in a colour that its ground swallows; WCAG 2.2, 1.4.3
PALE = """[...document.querySelectorAll("body *")].flatMap((one) => {
    const words = [...one.childNodes].filter((part) => part.nodeType === 3 && part.data.trim());
    if (!words.length || !one.checkVisibility() || one.closest("script, style, option, [aria-disabled]")) return [];
    const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b]
        .map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    let under = one;
    while (numbers(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
    const style = getComputedStyle(one);
    const ink = light(numbers(one instanceof SVGElement ? style.fill : style.color));
    const ground = light(numbers(getComputedStyle(under).backgroundColor));
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    return contrast < 4.5 ? [`${one.outerHTML}: ${contrast.toFixed(2)}`] : [];
})"""


@pytest.mark.parametrize("name", pages.NAMES)
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_text_stands_out_from_its_ground(app: Host, name: str, theme: str) -> None:
    states = [row(state, state=state, health=health) for state, health in zip(STATES, HEALTHS, strict=False)]
    await app.open(name, context={"theme": theme}, capabilities={})
    shown: dict[str, Message] = {"containers": {"containers": states}, "stats": STATS, "logs": LOGS}
    await app.show(shown[name] | {"truncated": {"what": "a part", "rest": "ask for less."}})
    if name == "stats":
        await app.show({"containers": STATS["containers"][:1]})
    await app.notify("ui/notifications/tool-result", refused("RATE_LIMITED", "wait.")["result"])
    await expect(app.frame.get_by_role("alert")).to_be_visible()
    if name == "logs":
        await app.frame.get_by_role("searchbox").fill("cart")
    assert await app.inside(PALE) == []


@pytest.mark.parametrize("name", pages.NAMES)
async def test_a_first_answer_that_is_a_refusal_is_shown(app: Host, name: str) -> None:
    await app.open(name, capabilities={})
    await app.notify("ui/notifications/tool-result", refused("ENGINE_UNREACHABLE", "No engine; start it.")["result"])
    await expect(app.frame.get_by_role("alert")).to_have_text("REFUSED [ENGINE_UNREACHABLE] No engine; start it.")


ODD: list[Message] = [
    {},
    {"content": None, "structuredContent": None},
    {"content": [{"type": "image"}, None, {"type": "text", "text": "plain"}]},
    {"content": [{"type": "text", "text": "[1]"}]},
    {"structuredContent": {}},
    {"structuredContent": {"containers": "none", "lines": 3, "container": None, "truncated": True}},
    {"structuredContent": {"containers": [None, 3, {}, {"id": None, "ports": [None], "networks": {}}]}},
    {"structuredContent": {"containers": [{"id": "x", "cpu_percent": "1", "memory_bytes": None}, {"name": 3}]}},
    {"structuredContent": {"lines": [None, 3, {}, {"text": None, "stream": 1, "time": 4}], "truncated": {}}},
    {"isError": True},
]


@pytest.mark.parametrize("name", pages.NAMES)
async def test_no_answer_breaks_a_page(app: Host, name: str) -> None:
    await app.open(name, capabilities={})
    for result in ODD:
        await app.notify("ui/notifications/tool-result", result)
    for odd in (None, 3, "text", {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": 99, "result": {}}):
        await app.tab.evaluate("(odd) => host.frame.contentWindow.postMessage(odd, '*')", odd)
    await app.notify("ui/notifications/host-context-changed", {"styles": 3, "containerDimensions": "x", "theme": 1})
    await app.notify("ui/notifications/tool-cancelled", {})
    await app.notify("ui/notifications/tool-result", ANSWERS[name])
    await expect(app.frame.locator("main")).to_contain_text("web")


@pytest.mark.parametrize("name", pages.NAMES)
async def test_an_answer_is_shown_though_the_host_never_ends_the_handshake(app: Host, name: str) -> None:
    await app.open(name, silent=True)
    await app.notify("ui/notifications/tool-result", ANSWERS[name])
    await expect(app.frame.locator("main")).to_contain_text("web")
    assert await app.heard("ui/notifications/initialized") == []


@pytest.mark.parametrize("name", pages.NAMES)
async def test_a_page_calls_nothing_where_the_host_does_not_let_it(app: Host, name: str) -> None:
    await app.open(name, capabilities={"openLinks": {}})
    await app.notify("ui/notifications/tool-result", ANSWERS[name])
    await expect(app.frame.locator("main")).to_contain_text("web")
    await expect(app.frame.get_by_role("button", name=re.compile("Refresh|Pause|Load newer"))).to_have_count(0)
    assert app.calls == []


@pytest.mark.parametrize("name", pages.NAMES)
async def test_what_was_left_out_is_said(app: Host, name: str) -> None:
    await app.open(name)
    left_out = {"what": "20 of 60 entries", "rest": "use filters to see others."}
    cut = ANSWERS[name]["structuredContent"] | {"truncated": left_out}
    app.answers = always(cut)
    await app.show(cut)
    await expect(app.frame.get_by_text("Left out: 20 of 60 entries; use filters to see others.")).to_be_visible()


@pytest.mark.parametrize("name", pages.NAMES)
async def test_a_hosts_requests_are_answered(app: Host, name: str) -> None:
    await app.open(name)
    assert (await app.request("ping", {}))["result"] == {}
    assert (await app.request("tools/list", {}))["error"]["code"] == -32601
    await app.leave()


async def test_the_handshake_says_what_the_page_is_and_can(app: Host) -> None:
    await app.open("containers")
    assert await app.heard("ui/initialize") == [
        {
            "appInfo": {"name": "mcp-docker", "version": __version__},
            "appCapabilities": {"availableDisplayModes": ["inline", "fullscreen"]},
            "protocolVersion": "2026-01-26",
        }
    ]


async def test_a_frame_grows_with_its_page(app: Host) -> None:
    await app.open("containers")
    await app.show(SHOP)
    await expect(app.frame.locator("tbody tr")).to_have_count(3)
    await app.tab.wait_for_function("host.frame.clientHeight > 200")
    drawn = "(left) => new Promise((done) => (function next() { left-- ? requestAnimationFrame(next) : done(); })())"
    await app.tab.evaluate(drawn, 30)
    sizes = await app.heard("ui/notifications/size-changed")
    assert sizes[-1]["width"] == 1000
    assert len(sizes) < 8, "a page that answers each new height of its frame with another never rests"


@pytest.mark.parametrize("name", pages.NAMES)
async def test_the_hosts_theme_goes_before_the_browsers(app: Host, name: str) -> None:
    await app.open(name)
    body = app.frame.locator("body")
    await expect(body).to_have_css("background-color", LIGHT)
    await app.tab.emulate_media(color_scheme="dark")
    await expect(body).to_have_css("background-color", DARK)
    await app.notify("ui/notifications/host-context-changed", {"theme": "light"})
    await expect(body).to_have_css("background-color", LIGHT)
    await app.tab.emulate_media(color_scheme="light")
    await app.notify("ui/notifications/host-context-changed", {"theme": "dark"})
    await expect(body).to_have_css("background-color", DARK)


async def test_the_hosts_variables_are_used(app: Host) -> None:
    variables = {
        "--color-background-primary": "light-dark(rgb(1, 2, 3), rgb(4, 5, 6))",
        "--font-sans": 7,
        "color": "red",
    }
    await app.open("containers", context={"theme": "dark", "styles": {"variables": variables}, "locale": "no such"})
    await expect(app.frame.locator("body")).to_have_css("background-color", "rgb(4, 5, 6)")
    await app.show(SHOP)
    await expect(app.frame.get_by_role("status")).to_contain_text("3 shown")


@pytest.mark.parametrize("name", pages.NAMES)
async def test_strangers_text_is_text(app: Host, name: str) -> None:
    await app.open(name)
    evil = {
        "containers": [row(EVIL, image=EVIL, state=EVIL, health=EVIL, status=EVIL, ports=[EVIL], networks=[EVIL])],
        "container": EVIL,
        "lines": [{"stream": "stdout", "text": EVIL, "time": EVIL}],
        "next_since": EVIL,
        "note": EVIL,
        "truncated": {"what": EVIL, "rest": EVIL},
    }
    app.answers = always(evil)
    await app.show(evil)
    await expect(app.frame.get_by_text(EVIL).first).to_be_visible()
    assert await app.inside("document.querySelectorAll('img, script').length") == 2


@pytest.mark.parametrize("name", pages.NAMES)
async def test_the_narrowest_frame_needs_no_scrolling_sideways(app: Host, name: str) -> None:
    await app.tab.set_viewport_size(NARROW)
    app.answers = always(LONG[name]["result"]["structuredContent"])
    await app.open(name)
    await app.notify("ui/notifications/tool-result", LONG[name]["result"])
    await expect(app.frame.locator("main")).to_contain_text("xxx")
    assert await app.inside("document.documentElement.scrollWidth") == 320
    assert await app.inside("[...document.querySelectorAll('.room')].every((one) => one.scrollWidth <= 320)")


@pytest.mark.parametrize("name", pages.NAMES)
async def test_nothing_moves_by_itself_and_everything_has_a_name(app: Host, name: str) -> None:
    app.answers = always(ANSWERS[name]["structuredContent"])
    await app.open(name)
    await app.notify("ui/notifications/tool-result", ANSWERS[name])
    await expect(app.frame.locator("main")).to_contain_text("web")
    assert await app.inside("document.getAnimations().length") == 0
    nameless = (
        "[...document.querySelectorAll('button, input, select, [tabindex], [role=img], [role=table], [role=region]')]"
        ".filter((one) => !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim())).length"
    )
    assert await app.inside(nameless) == 0
    assert await app.inside("document.documentElement.lang") == "en"
    assert await app.inside("document.querySelectorAll('h1').length") == 1
    await expect(app.frame.get_by_role("status")).to_have_count(1)


async def test_what_the_host_repeats_as_a_notification_is_shown_once(app: Host) -> None:
    newer = answered(LOGS | {"lines": [line("newer")]})

    async def answers(_name: str, _arguments: Message) -> Message:
        await app.notify("ui/notifications/tool-result", newer["result"])
        return newer

    app.answers = answers
    await app.open("logs")
    await app.show(LOGS)
    await app.frame.get_by_role("button", name="Load newer").click()
    await expect(app.frame.locator("li")).to_have_count(5)
    await app.notify("ui/notifications/tool-result", newer["result"])
    await app.frame.get_by_role("searchbox").fill("newer")
    await expect(app.frame.get_by_role("status")).to_have_text("1 of 5 lines shown")


async def test_a_page_fills_a_frame_of_a_fixed_height(app: Host) -> None:
    await app.open("logs", context={"containerDimensions": {"height": 500, "width": 1000}})
    await app.tab.evaluate("host.frame.style.height = '500px'")
    await app.show(LOGS | {"lines": [line(f"line {number}") for number in range(100)]})
    await expect(app.frame.locator("li")).to_have_count(100)
    assert await app.inside("document.documentElement.scrollHeight") == 500
    assert await app.inside("document.querySelector('.room').clientHeight > 300")
