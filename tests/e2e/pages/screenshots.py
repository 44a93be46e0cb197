"""Draws the pictures of the documentation: `python -m tests.e2e.pages.screenshots` writes docs/screenshots."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import anyio
from playwright.async_api import Browser

from tests.e2e.pages.host import Host, Message, answered, browser, host

FOLDER = Path(__file__).parents[3] / "docs" / "screenshots"
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def container(name: str, image: str, status: str, ports: str = "", **facts: Any) -> Message:
    plain = {
        "id": f"{abs(hash(name)):012x}"[:12],
        "name": name,
        "image": image,
        "state": "running",
        "status": status,
        "ports": ports.split(),
        "networks": ["shop_default"],
        "created": 1_790_000_000,
        "compose_project": "shop",
        "compose_service": name.removeprefix("shop-").removesuffix("-1"),
    }
    return plain | facts


ANY = "0.0.0.0:{0}->{1}/tcp [::]:{0}->{1}/tcp"
CONTAINERS = [
    container("shop-web-1", "nginx:1.29-alpine", "Up 3 hours (healthy)", ANY.format(8080, 80), health="healthy"),
    container("shop-api-1", "registry.example.com/shop/api:2.14.0", "Up 3 hours (unhealthy)", "8000/tcp",
              health="unhealthy", networks=["shop_backend", "shop_default"]),
    container("shop-worker-1", "registry.example.com/shop/api:2.14.0", "Restarting (137) 8 seconds ago",
              state="restarting", networks=["shop_backend"]),
    container("shop-db-1", "postgres:18", "Up 3 hours (healthy)", "127.0.0.1:5432->5432/tcp", health="healthy",
              networks=["shop_backend"]),
    container("shop-cache-1", "redis:8.2-alpine", "Up 3 hours (healthy)", "6379/tcp", health="healthy",
              networks=["shop_backend"]),
    container("shop-migrate-1", "registry.example.com/shop/api:2.14.0", "Exited (0) 3 hours ago", state="exited",
              networks=["shop_backend"]),
    container("registry", "registry:3", "Up 12 days", "127.0.0.1:5000->5000/tcp", compose_project=None,
              compose_service=None, networks=["bridge"]),
    container("backup", "restic/restic:0.18.0", "Exited (1) 7 hours ago", state="exited", compose_project=None,
              compose_service=None, networks=["bridge"]),
]  # fmt: skip


async def containers(app: Host) -> None:
    await app.tab.clock.set_fixed_time(NOON)
    await app.open("containers", context={"timeZone": "UTC"})
    await app.show({"containers": CONTAINERS}, {"all": True})


# name, CPU percent, MiB, limit in MiB, MiB over the network
LOADS = [
    ("shop-api-1", 38.0, 412, 1024, 310),
    ("shop-web-1", 12.0, 38, 256, 940),
    ("shop-db-1", 21.0, 640, 2048, 120),
    ("shop-cache-1", 3.0, 96, 256, 88),
    ("shop-worker-1", 64.0, 300, 512, 12),
    ("registry", 0.4, 24, 15900, 3),
]


def sample(second: int) -> list[Message]:
    """What the shop uses at that second: a worker grows until it is killed, and its work falls to the others."""
    found = []
    for index, (name, cpu, memory, limit, network) in enumerate(LOADS):
        wave = 1 + 0.25 * math.sin(second / (23 + 7 * index)) + 0.12 * math.sin(second * 1.7 + index * 2)
        grown = memory * (1 + 0.02 * math.sin(second / 40 + index))
        if name == "shop-worker-1":
            if second > 290:
                continue
            grown = min(limit * 0.99, 170 + second * 1.2)
        if name == "shop-api-1" and second > 290:
            wave *= 1.7
        moved = network * 2**20
        found.append(
            {
                "id": f"{index:012x}",
                "name": name,
                "cpu_percent": round(cpu * wave, 2),
                "memory_bytes": int(grown * 2**20),
                "memory_limit_bytes": limit * 2**20,
                "memory_percent": round(grown / limit * 100, 2),
                "net_received_bytes": int(moved * (0.6 + second / 2000)),
                "net_sent_bytes": int(moved * (0.4 + second / 3000)),
                "block_read_bytes": memory * 2**17,
                "block_written_bytes": int(memory * 2**15 * (1 + second / 300)),
                "pids": 3 + index * 4,
            }
        )
    return found


async def stats(app: Host) -> None:
    last = 400

    async def now(_name: str, _arguments: Message) -> Message:
        return answered({"containers": sample(last)})

    app.answers = now
    await app.tab.clock.install(time=NOON)
    await app.open("stats", context={"timeZone": "UTC"})
    for second in range(0, last, 3):
        await app.tab.clock.set_fixed_time(NOON + timedelta(seconds=second))
        await app.show({"containers": sample(second)})


PATHS = ("/", "/cart", "/cart/items", "/products?page=2", "/checkout", "/assets/app.js", "/login")


def lines() -> Iterator[Message]:
    """What a shop's web server prints while what it asks goes away."""
    at = NOON
    for number in range(60):
        at += timedelta(milliseconds=180 + number * 37 % 700)
        time = f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z"
        path = PATHS[number * 5 % len(PATHS)]
        failing = number > 40 and path.startswith(("/cart", "/checkout"))
        if failing:
            words = f"{at:%Y/%m/%d %H:%M:%S} [error] 31#31: *{number + 900} connect() failed (111: Connection refused) "
            words += f'while connecting to upstream, request: "GET {path} HTTP/1.1", upstream: "http://172.18.0.4:8000"'
            yield {"stream": "stderr", "text": words, "time": time}
        status = 502 if failing else 200
        words = f'172.18.0.1 - - "GET {path} HTTP/1.1" {status} {157 if failing else 400 + number * 61 % 9000}'
        yield {"stream": "stdout", "text": words, "time": time}


async def logs(app: Host) -> None:
    data = {
        "container": "shop-web-1",
        "lines": list(lines()),
        "next_since": "1795262430.000000001",
        "note": "1204 earlier lines matched too",
        "untrusted": True,
    }
    await app.open("logs", context={"timeZone": "UTC"})
    await app.show(data, {"container_id": "shop-web-1", "timestamps": True})
    await app.frame.get_by_role("searchbox").fill("cart")


PAGES = {"containers": containers, "stats": stats, "logs": logs}


async def draw(started: Browser, name: str, theme: Literal["light", "dark"], width: int = 940) -> bytes:
    """A picture of one page."""
    viewport = {"width": width, "height": 640}
    async with host(started, viewport=viewport, color_scheme=theme, device_scale_factor=1.5) as app:
        await PAGES[name](app)
        return await app.tab.locator("iframe").screenshot()


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with browser() as started:
        for name in PAGES:
            for theme in THEMES:
                (FOLDER / f"{name}-{theme}.png").write_bytes(await draw(started, name, theme))


if __name__ == "__main__":
    anyio.run(main)
