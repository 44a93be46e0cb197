"""The log viewer."""

from playwright.async_api import expect

from tests.e2e.pages.host import Host, Message, answered
from tests.e2e.pages.samples import LOGS, line


async def test_lines_are_searched_and_filtered_by_stream(app: Host) -> None:
    await app.open("logs")
    await app.show(LOGS)
    await expect(app.frame.get_by_role("heading", name="Log web")).to_be_visible()
    await expect(app.frame.locator("#summary")).to_have_text("4 lines, 2 of stderr")
    shown = app.frame.locator("li:visible")
    await app.frame.get_by_role("searchbox", name="Search in the lines").focus()
    await app.tab.keyboard.type("cart")
    await expect(app.frame.get_by_role("status")).to_have_text("2 of 4 lines shown")
    assert await app.frame.locator("mark").all_inner_texts() == ["cart", "cart"]
    await expect(shown).to_have_text(["GET /cart 200", "stderrGET /cart 500"])
    await app.frame.get_by_role("combobox", name="Stream").select_option("stderr")
    await expect(shown).to_have_text(["stderrGET /cart 500"])
    await app.frame.get_by_role("searchbox").fill("")
    await expect(shown).to_have_text(["stderrGET /cart 500", "stderrupstream is down"])
    await expect(app.frame.locator("mark:visible")).to_have_count(0)
    await app.frame.get_by_role("searchbox").fill("listening")
    await expect(app.frame.get_by_text("No line matches.")).to_be_visible()


async def test_newer_lines_go_on_where_the_last_ones_ended(app: Host) -> None:
    async def newer(_name: str, _arguments: Message) -> Message:
        return answered(
            LOGS
            | {
                "lines": [line("restarted")] if len(app.calls) == 1 else [],
                "next_since": "1790000009.000000002",
                "note": "3 earlier lines matched too",
            }
        )

    app.answers = newer
    await app.open("logs")
    asked = {"container_id": "web", "tail": 50, "timestamps": True, "since": "1h", "until": "5m", "follow": True}
    await app.show(LOGS, asked)
    button = app.frame.get_by_role("button", name="Load newer")
    await button.click()
    await expect(app.frame.get_by_role("status")).to_contain_text("1 newer line, as of")
    await expect(app.frame.get_by_role("status")).to_contain_text("; 3 earlier lines matched too")
    await expect(app.frame.locator("li:last-child")).to_have_text("restarted")
    await expect(app.frame.locator("#summary")).to_have_text("5 lines, 2 of stderr")
    await button.press("Enter")
    await expect(button).to_be_focused()
    await expect(app.frame.get_by_role("status")).to_contain_text("No newer lines, as of")
    same = {"container_id": "web", "tail": 1_000, "timestamps": True}
    assert [call.arguments for call in app.calls] == [
        same | {"since": "1790000000.000000001"},
        same | {"since": "1790000009.000000002"},
    ]


async def test_times_are_shown_in_the_hosts_zone(app: Host) -> None:
    await app.open("logs", context={"timeZone": "Asia/Kolkata", "locale": "en-GB"})
    timed = [line("a", time="2026-11-21T10:00:00.123456789Z"), line("b", time="yesterday")]
    await app.show(LOGS | {"lines": timed})
    await expect(app.frame.locator("time")).to_have_text(["15:30:00.123", "yesterday"])


async def test_the_newest_lines_are_in_view_and_the_oldest_left_out(app: Host) -> None:
    async def newer(_name: str, _arguments: Message) -> Message:
        return answered(LOGS | {"lines": [line(f"newer {number}") for number in range(30)]})

    app.answers = newer
    await app.open("logs")
    await app.show(LOGS | {"lines": [line(f"line {number}") for number in range(9_990)]})
    newest = app.frame.locator("li:last-child")
    await expect(newest).to_have_text("line 9989")
    await expect(newest).to_be_in_viewport()
    await app.frame.get_by_role("button", name="Load newer").click()
    await expect(app.frame.get_by_role("status")).to_contain_text("; the oldest 20 left out")
    await expect(newest).to_have_text("newer 29")
    await expect(newest).to_be_in_viewport()
    await expect(app.frame.locator("#summary")).to_have_text("10000 lines")
    # the quickest of three: what else the machine does is not the page's doing
    search = """(box) => {
        const search = (words) => {
            const began = performance.now();
            box.value = words;
            box.dispatchEvent(new Event("input"));
            document.body.offsetHeight;
            return performance.now() - began;
        };
        return Math.min(...[1, 2, 3].map(() => (search(""), search("9989"))));
    }"""
    assert await app.frame.get_by_role("searchbox").evaluate(search) < 2_000
    await expect(app.frame.get_by_role("status")).to_have_text("1 of 10000 lines shown")


async def test_long_lines_are_wrapped_or_scrolled_in_their_own_box(app: Host) -> None:
    await app.open("logs")
    await app.show(LOGS | {"lines": [line("x" * 500)]})
    room = app.frame.get_by_role("region", name="Log lines")
    assert await room.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    await app.frame.get_by_role("checkbox", name="wrap").press("Space")
    assert await room.evaluate("(one) => one.scrollWidth > one.clientWidth")
    assert await app.inside("document.documentElement.scrollWidth") == 1000


async def test_a_log_that_came_as_text_alone_is_shown_line_by_line(app: Host) -> None:
    await app.open("logs")
    result = {"content": [{"type": "text", "text": "2 lines of web\none\ntwo"}]}
    await app.notify("ui/notifications/tool-result", result)
    await expect(app.frame.locator("li")).to_have_text(["2 lines of web", "one", "two"])
    await expect(app.frame.get_by_role("button", name="Load newer")).to_have_count(0)
