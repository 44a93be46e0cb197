"""The charts of what containers use."""

import re

import anyio
import pytest
from playwright.async_api import expect

from tests.e2e.pages.host import Host, Message, answered, refused
from tests.e2e.pages.samples import STATS, always, usage


async def test_stats_are_charts_with_a_table_that_says_the_same(app: Host) -> None:
    await app.open("stats", capabilities={})
    await app.show(STATS)
    await app.show({"containers": [usage("web", 40), usage("db", None)]})
    cpu, memory = app.frame.get_by_role("img", name="CPU over"), app.frame.get_by_role("img", name="Memory over")
    await expect(cpu).to_have_accessible_name("CPU over 1 min: web 40 %, at most 40 %; db 0 %, at most 1.5 %")
    await expect(memory).to_have_accessible_name(re.compile("web 64.0 MiB, at most 64.0 MiB"))
    for chart in (cpu, memory):
        await expect(chart.locator("path")).to_have_count(2)
    web = app.frame.get_by_role("table", name="Use by container").get_by_role("row", name="web")
    await expect(web.get_by_role("cell")).to_have_text(
        ["web", "40.0 %", "40.0 %", "64.0 MiB", "6.25 %", "2.0 KiB / 10 B", "", "4"]
    )


async def test_a_chart_tells_what_its_lines_say_under_the_pointer(app: Host) -> None:
    await app.open("stats", capabilities={})
    await app.show(STATS)
    await app.frame.get_by_role("img", name="CPU").hover()
    await app.frame.get_by_role("img", name="CPU").hover(position={"x": 400, "y": 60})
    readout = app.frame.locator("#cpu .readout")
    await expect(readout.locator("div")).to_have_text(["12.5 % web", "1.5 % db"])
    await app.tab.mouse.move(1, 1)
    await expect(readout).to_be_hidden()


async def test_stats_are_asked_for_again_two_seconds_after_each_answer(clocked: Host) -> None:
    app = clocked
    await app.open("stats")
    await app.show(STATS, {"container_id": "web"})
    await expect(app.frame.locator("tbody tr")).to_have_count(2)
    await app.pass_time(1_900)
    assert app.calls == []
    for calls in (1, 2, 3):
        await app.pass_time(2_000)
        await app.took(calls)
    assert {(call.name, str(call.arguments)) for call in app.calls} == {
        ("docker_container_stats", "{'container_id': 'web'}")
    }


async def test_no_two_calls_overlap(clocked: Host) -> None:
    app = clocked
    release = anyio.Event()

    async def slow(_name: str, _arguments: Message) -> Message:
        await release.wait()
        return answered(STATS)

    app.answers = slow
    await app.open("stats")
    await app.show(STATS)
    await expect(app.frame.locator("tbody tr")).to_have_count(2)
    await app.pass_time(60_000)
    await app.notify("ui/notifications/host-context-changed", {"theme": "dark"})
    await app.pass_time(30_000)
    await app.frame.get_by_role("button", name="Pause").click()
    await app.frame.get_by_role("button", name="Resume").click()
    await app.pass_time(100)
    assert len(app.calls) == 1
    release.set()
    await app.took(1)
    await app.pass_time(2_100)
    await app.took(2)


async def test_a_refused_sample_is_shown_and_asked_for_less_and_less(clocked: Host) -> None:
    app = clocked
    waits: list[float | None] = [None, None, 45]

    async def limited(_name: str, _arguments: Message) -> Message:
        return refused("RATE_LIMITED", "too many calls; wait.", waits[len(app.calls) - 1])

    app.answers = limited
    await app.open("stats")
    await app.show(STATS)
    await expect(app.frame.locator("tbody tr")).to_have_count(2)
    alert = app.frame.get_by_role("alert")
    before = 2
    for calls, seconds in ((1, 4), (2, 8), (3, 45)):
        await app.pass_time(before * 1_000 - 200)
        assert len(app.calls) == calls - 1
        await app.pass_time(300)
        await app.took(calls)
        await expect(alert).to_have_text(f"REFUSED [RATE_LIMITED] too many calls; wait.\nTrying again in {seconds} s.")
        before = seconds
    await expect(app.frame.locator("tbody tr")).to_have_count(2)
    app.answers = always(STATS)
    await app.frame.get_by_role("button", name="Try now").click()
    await expect(app.frame.get_by_role("button", name="Pause")).to_be_focused()
    await app.pass_time(1_900)
    assert len(app.calls) == 3
    await app.pass_time(200)
    await app.took(4)
    await expect(alert).to_be_hidden()
    await app.pass_time(2_100)
    await app.took(5)


async def test_an_error_of_the_host_is_a_failed_sample(clocked: Host) -> None:
    async def broken(_name: str, _arguments: Message) -> Message:
        return {"error": {"code": -32000, "message": "The user has not allowed it"}}

    app = clocked
    app.answers = broken
    await app.open("stats")
    await app.show(STATS)
    await expect(app.frame.locator("tbody tr")).to_have_count(2)
    await app.pass_time(2_100)
    await expect(app.frame.get_by_role("alert")).to_have_text("The user has not allowed it\nTrying again in 4 s.")


@pytest.mark.parametrize("how", ["hidden tab", "scrolled away", "not displayed", "paused", "torn down"])
async def test_nothing_is_asked_while_nobody_looks(clocked: Host, how: str) -> None:
    app = clocked
    await app.open("stats")
    await app.show(STATS)
    await expect(app.frame.locator("tbody tr")).to_have_count(2)
    await app.pass_time(2_100)
    await app.took(1)
    looks = {
        "scrolled away": "host.frame.className = 'away'",
        "not displayed": "host.frame.style.display = 'none'",
    }
    visibility = "Object.defineProperty(document, 'visibilityState', {value: '%s', configurable: true})"
    changed = "document.dispatchEvent(new Event('visibilitychange'))"
    if how == "hidden tab":
        await app.inside(f"[{visibility % 'hidden'}, {changed}].length")
    elif how in looks:
        await app.tab.evaluate(looks[how])
        await app.knows(seen=False)
    elif how == "paused":
        await app.frame.get_by_role("button", name="Pause").click()
    else:
        await app.leave()
        await app.tab.clock.run_for(30_000)  # a page that is gone answers nobody
        assert len(await app.heard("tools/call")) == 1
        return
    await app.pass_time(30_000)
    assert len(app.calls) == 1
    if how == "hidden tab":
        await app.inside(f"[{visibility % 'visible'}, {changed}].length")
    elif how in looks:
        await app.tab.evaluate("host.frame.removeAttribute('class'); host.frame.style.display = ''")
        await app.knows(seen=True)
    else:
        await app.frame.get_by_role("button", name="Resume").click()
    await app.pass_time(10)
    await app.took(2)
    # what was not measured is not drawn as if it had been
    path = await app.frame.get_by_role("img", name="CPU").locator("path").first.get_attribute("d")
    assert path is not None
    assert path.count("M") == 2


async def test_a_container_that_is_gone_keeps_a_grey_line(app: Host) -> None:
    await app.open("stats", capabilities={})
    await app.show(STATS)
    await app.show({"containers": [usage("web")]})
    await expect(app.frame.get_by_role("status")).to_have_text("Gone: db")
    await expect(app.frame.locator("#cpu .gone path")).to_have_count(1)
    await expect(app.frame.get_by_role("button", name="db (gone)")).to_have_attribute("aria-pressed", "true")
    await app.show({"containers": [usage("web")], "truncated": {"what": "most", "rest": "look."}})
    await app.show(STATS)
    await expect(app.frame.get_by_role("button", name="db", exact=True)).to_be_visible()
    await expect(app.frame.locator("#cpu .gone path")).to_have_count(0)


async def test_one_container_that_ended_is_gone(clocked: Host) -> None:
    async def ended(_name: str, _arguments: Message) -> Message:
        return refused("CONFLICT", "container 'web' is not running; docker_start_container starts it.")

    app = clocked
    app.answers = ended
    await app.open("stats")
    await app.show({"containers": [usage("web")]}, {"container_id": "web"})
    await expect(app.frame.locator("tbody tr")).to_have_count(1)
    await app.pass_time(2_100)
    await expect(app.frame.get_by_role("button", name="web (gone)")).to_be_visible()
    await expect(app.frame.get_by_role("alert")).to_contain_text("is not running")


async def test_history_is_bounded(app: Host) -> None:
    await app.open("stats", capabilities={})
    await app.tab.evaluate(
        """async (result) => {
            for (let sample = 0; sample < 310; sample += 1) host.notify("ui/notifications/tool-result", result);
            await host.request("ping", {});
        }""",
        answered(STATS)["result"],
    )
    path = await app.frame.get_by_role("img", name="CPU").locator("path").first.get_attribute("d")
    assert path is not None
    assert len(re.findall("[ML]", path)) == 300


async def test_lines_are_few_enough_to_read(app: Host) -> None:
    await app.open("stats", capabilities={})
    many = {"containers": [usage(f"c{number:02}", number) for number in range(20)]}
    await app.show(many)
    await expect(app.frame.locator("tbody tr")).to_have_count(20)
    await expect(app.frame.get_by_role("img", name="CPU").locator("path")).to_have_count(12)
    busiest, idle = (app.frame.get_by_role("button", name=name, exact=True) for name in ("c19", "c00"))
    await expect(busiest).to_have_attribute("aria-pressed", "true")
    await expect(idle).to_have_attribute("aria-pressed", "false")
    await idle.focus()
    await app.tab.keyboard.press("Enter")
    await expect(app.frame.get_by_role("status")).to_have_text("At most 12 lines are drawn; switch another off first.")
    await busiest.press("Space")
    await idle.press("Enter")
    await expect(idle).to_have_attribute("aria-pressed", "true")
    await expect(busiest).to_have_attribute("aria-pressed", "false")
    await app.show(many)
    await expect(busiest).to_have_attribute("aria-pressed", "false")
    await expect(idle).to_be_focused()
    await expect(app.frame.locator("#cpu .aside")).to_have_count(11)
    await app.show({"containers": []})
    await app.frame.get_by_role("button", name="c00 (gone)").press("Enter")
    await expect(app.frame.locator("#cpu .aside")).to_have_count(0)
