"""Hosts in one browser, with pages in them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from mcp.client.client import Client
from playwright.async_api import Browser, expect

from tests.e2e.conftest import connected
from tests.e2e.pages.host import SECONDS, Host, browser, host
from tests.e2e.pages.samples import STATS, WIDE, always
from tests.e2e.process import SESSIONLESS

expect.set_options(timeout=SECONDS * 1_000)


@pytest.fixture(scope="package")
async def started() -> AsyncIterator[Browser]:
    async with browser() as started:
        yield started


@pytest.fixture(scope="package")
async def tab(started: Browser) -> AsyncIterator[Host]:
    async with host(started) as app:
        yield app


@pytest.fixture
async def app(tab: Host) -> AsyncIterator[Host]:
    """A host 1,000 pixels wide; tests share its tab, since a new one takes as long as many of them."""
    await tab.renew(WIDE)
    yield tab
    if tab.shows:
        await tab.leave()  # a call that is under way would be cut by what the next test opens, and fail there
    tab.check()


@pytest.fixture
async def clocked(started: Browser) -> AsyncIterator[Host]:
    """A host whose time the test moves; it answers calls with the same two containers."""
    async with host(started, viewport=WIDE) as app:
        await app.tab.clock.install(time=datetime(2026, 11, 21, 11, tzinfo=UTC))
        await app.tab.clock.pause_at(datetime(2026, 11, 21, 12, tzinfo=UTC))
        app.answers = always(STATS)
        yield app


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with connected(SESSIONLESS) as client:
        yield client
