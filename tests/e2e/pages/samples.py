"""What pages are shown in tests."""

from typing import Any

from playwright.async_api import ViewportSize

from tests.e2e.pages.host import Answers, Message, answered

WIDE: ViewportSize = {"width": 1000, "height": 700}
NARROW: ViewportSize = {"width": 320, "height": 640}
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(23, 24, 26)"
EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


def row(name: str, **facts: Any) -> Message:
    plain = {
        "id": f"{name:0<12.12}",
        "name": name,
        "image": "nginx:1.29",
        "state": "running",
        "status": "Up 3 hours",
        "ports": [],
        "networks": ["bridge"],
        "created": 1_700_000_000,
    }
    return plain | facts


STATES = ("running", "exited", "restarting", "paused", "dead")
HEALTHS = ("healthy", "unhealthy", "starting", None, None)
SHOP = {
    "containers": [
        row("web", ports=["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"], health="healthy"),
        row("db", image="postgres:18", ports=["5432/tcp"], health="unhealthy", compose_project="shop"),
        row("job", image="alpine:3.22", state="exited", status="Exited (1) 2 minutes ago", networks=[]),
    ]
}


def usage(name: str, cpu: float | None = 1.5, **facts: Any) -> Message:
    plain = {
        "id": f"{name:0<12.12}",
        "name": name,
        "cpu_percent": cpu,
        "memory_bytes": 64 * 2**20,
        "memory_limit_bytes": 2**30,
        "memory_percent": 6.25,
        "net_received_bytes": 2048,
        "net_sent_bytes": 10,
        "pids": 4,
    }
    return plain | facts


def line(text: str, stream: str = "stdout", time: str | None = None) -> Message:
    return {"stream": stream, "text": text} | ({"time": time} if time else {})


LOGS = {
    "container": "web",
    "lines": [
        line("listening"),
        line("GET /cart 200"),
        line("GET /cart 500", "stderr"),
        line("upstream is down", "stderr"),
    ],
    "next_since": "1790000000.000000001",
    "untrusted": True,
}
STATS = {"containers": [usage("web", 12.5), usage("db")]}
ANSWERS = {name: answered(data)["result"] for name, data in (("containers", SHOP), ("stats", STATS), ("logs", LOGS))}
_X = "x" * 200
LONG = {
    "containers": answered(
        {"containers": [row(_X, image=_X, ports=[f"0.0.0.0:1->{_X}"], compose_project=_X, health=_X)]}
    ),
    "stats": answered({"containers": [usage(_X)]}),
    "logs": answered(LOGS | {"container": _X, "lines": [line(_X, "stderr", "2026-11-21T10:00:00.000000000Z")]}),
}


def always(data: Message) -> Answers:
    """The same answer to every call: charts make one two seconds after they were shown something."""

    async def answers(_name: str, _arguments: Message) -> Message:
        return answered(data)

    return answers
