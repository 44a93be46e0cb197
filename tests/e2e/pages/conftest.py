"""Hosts in one browser, with pages in them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from mcp.client.client import Client
from playwright.async_api import Browser

from tests.e2e.conftest import connected
from tests.e2e.pages.host import Host, browser, host
from tests.e2e.pages.samples import WIDE, steady
from tests.e2e.process import SESSIONLESS


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
    tab.check()


@pytest.fixture
async def clocked(started: Browser) -> AsyncIterator[Host]:
    """A host whose time the test moves; it answers calls with the same two containers."""
    async with host(started, viewport=WIDE) as app:
        await app.tab.clock.install(time=datetime(2026, 11, 21, 11, tzinfo=UTC))
        await app.tab.clock.pause_at(datetime(2026, 11, 21, 12, tzinfo=UTC))
        app.answers = steady
        yield app


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with connected(SESSIONLESS) as client:
        yield client
