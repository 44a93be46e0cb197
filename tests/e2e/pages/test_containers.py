"""The table of containers."""

from playwright.async_api import expect

from tests.e2e.pages.host import Host, Message, answered, refused
from tests.e2e.pages.samples import EVIL, SHOP, row


async def names(app: Host) -> list[str]:
    return await app.frame.locator("tbody strong").all_inner_texts()


async def test_containers_are_a_table_with_state_health_and_ports(app: Host) -> None:
    await app.open("containers")
    await app.show(SHOP)
    table = app.frame.get_by_role("table", name="Containers")
    await expect(table.get_by_role("columnheader")).to_have_text(
        ["Name", "State", "Health", "Ports", "Image", "Status", "Networks"]
    )
    web = table.get_by_role("row", name="web")
    await expect(web.get_by_role("cell")).to_have_text(
        ["web", "running", "healthy", "*:8080 → 80/tcp", "nginx:1.29", "Up 3 hours", "bridge"]
    )
    await expect(table.get_by_role("row", name="db")).to_contain_text("shop")
    await expect(app.frame.locator("#summary")).to_have_text("2 running · 1 unhealthy · 1 exited")
    await expect(app.frame.get_by_role("status")).to_contain_text("3 shown")


async def test_a_screen_reader_is_told_what_a_table_holds(app: Host) -> None:
    await app.open("containers")
    await app.show({"containers": SHOP["containers"][:1]})
    await expect(app.frame.locator("#rows")).to_match_aria_snapshot(
        """
        - region "List of containers":
          - table "Containers":
            - rowgroup:
              - row "Name State Health Ports Image Status Networks":
                - columnheader "Name":
                  - button "Name"
            - rowgroup:
              - row:
                - cell "web":
                  - strong: web
                - cell "running"
                - cell "healthy"
        """
    )


async def test_containers_are_sorted_by_keyboard(app: Host) -> None:
    await app.open("containers")
    await app.show(SHOP)
    await expect(app.frame.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    assert await names(app) == ["db", "job", "web"]
    await app.frame.get_by_role("button", name="Name").focus()
    await app.tab.keyboard.press("Enter")
    await expect(app.frame.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
    assert await names(app) == ["web", "job", "db"]
    await app.tab.keyboard.press("Tab")
    await expect(app.frame.get_by_role("button", name="State")).to_be_focused()
    await app.tab.keyboard.press("Space")
    await expect(app.frame.get_by_role("columnheader", name="State")).to_have_attribute("aria-sort", "ascending")
    await expect(app.frame.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "none")
    assert (await names(app))[0] == "job"
    outline = await app.frame.get_by_role("button", name="State").evaluate(
        "(one) => getComputedStyle(one).outlineStyle"
    )
    assert outline == "solid"


async def test_containers_are_filtered_as_one_types(app: Host) -> None:
    await app.open("containers")
    await app.show(SHOP)
    await app.frame.get_by_role("searchbox", name="Filter containers").focus()
    await app.tab.keyboard.type("SHOP unhealthy")
    await expect(app.frame.get_by_role("status")).to_contain_text("1 of 3 shown")
    assert await names(app) == ["db"]
    await app.tab.keyboard.type(" nowhere")
    await expect(app.frame.get_by_text("No container matches the filter.")).to_be_visible()
    await expect(app.frame.get_by_role("table")).to_be_hidden()
    await app.frame.get_by_role("searchbox").fill("8080")
    await expect(app.frame.get_by_role("table")).to_be_visible()
    assert await names(app) == ["web"]


async def test_containers_are_refreshed_by_the_same_call(app: Host) -> None:
    async def answers(_name: str, _arguments: Message) -> Message:
        return answered({"containers": [row("new")]})

    app.answers = answers
    await app.open("containers")
    await app.show(SHOP, {"all": True, "filters": {"name": "w"}})
    await app.frame.get_by_role("button", name="Refresh").click()
    await expect(app.frame.locator("tbody strong")).to_have_text(["new"])
    assert [(call.name, call.arguments) for call in app.calls] == [
        ("docker_list_containers", {"all": True, "filters": {"name": "w"}})
    ]


async def test_a_refusal_is_shown_in_its_own_words_and_what_was_there_stays(app: Host) -> None:
    async def answers(_name: str, _arguments: Message) -> Message:
        return refused("RATE_LIMITED", f"600 calls a minute; {EVIL}.", 3)

    app.answers = answers
    await app.open("containers")
    await app.show(SHOP)
    await app.frame.get_by_role("button", name="Refresh").click()
    alert = app.frame.get_by_role("alert")
    await expect(alert).to_have_text(f"REFUSED [RATE_LIMITED] 600 calls a minute; {EVIL}.")
    assert len(await names(app)) == 3
    await app.show(SHOP | {"containers": SHOP["containers"][:1]})
    await expect(alert).to_be_hidden()
    assert len(await names(app)) == 1
