#!/usr/bin/env python3
"""Load over HTTP: many clients with tokens of their own, beside one client at the same total rate.

`.venv/bin/python bench/load.py [--clients 100] [--seconds 60] [--rate 60] [--idle 2000]` on the engine of DOCKER_HOST.
Fails when an answer is wrong, an audit line is missing, or the p99 of many is more than three times that of one.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import httpx2  # noqa: E402
from tests.e2e.process import SESSIONLESS, environment  # noqa: E402
from tests.e2e.web import BOTH, WebServer  # noqa: E402
from tests.unit.authorization_server import AUDIENCE, AuthorizationServer  # noqa: E402

TOOL = "docker_list_networks"
MOST = 3.0


def message(number: int) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
        "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": TOOL, "arguments": {"filters": {"driver": "host"}}, "_meta": meta}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


async def client(url: str, token: str, beats: list[float], told: list[float]) -> None:
    """Call at these moments, over one connection; notes the seconds of each call. Fails on a wrong answer."""
    headers = {
        "accept": BOTH,
        "mcp-protocol-version": SESSIONLESS,
        "mcp-method": "tools/call",
        "mcp-name": TOOL,
        "authorization": f"Bearer {token}",
    }
    # a TLS context of its own would cost each client more than its calls
    async with httpx2.AsyncClient(headers=headers, timeout=60, verify=False) as http:
        for number, beat in enumerate(beats):
            await asyncio.sleep(max(0, beat - time.monotonic()))
            began = time.monotonic()
            answer = (await http.post(f"{url}/mcp", json=message(number))).json()
            told.append(time.monotonic() - began)
            names = [network["name"] for network in answer["result"]["structuredContent"]["networks"]]
            if answer["id"] != number or names != ["host"]:
                raise SystemExit(f"a wrong answer: {answer}")


async def stage(url: str, tokens: list[str], rate: float, seconds: float) -> list[float]:
    """Calls at a total rate, spread over as many clients as there are tokens; the seconds of each call, sorted."""
    told: list[float] = []
    start = time.monotonic() + 3
    beats = [start + number / rate for number in range(int(rate * seconds))]
    every = len(tokens)
    await asyncio.gather(*(client(url, token, beats[place::every], told) for place, token in enumerate(tokens)))
    return sorted(told)


def say(text: str) -> None:
    """Print a line of the result."""
    print(text)  # noqa: T201 - what a person asked to read


def at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))] * 1_000


async def idle(url: str, token: str, count: int) -> tuple[int, float]:
    """Hold streams that wait for news; how many are open at once, and the seconds of a call beside them."""
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "idle", "version": "1"}}
    headers = {"accept": BOTH, "authorization": f"Bearer {token}"}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx2.AsyncClient(headers=headers, timeout=120, limits=limits, verify=False) as http:
        streams = []
        for _ in range(count):
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
            session = (await http.post(f"{url}/mcp", json=body)).headers["mcp-session-id"]
            request = http.build_request("GET", f"{url}/mcp", headers={"mcp-session-id": session})
            streams.append(await http.send(request, stream=True))
        open_now = sum(stream.status_code == 200 for stream in streams)
        told: list[float] = []
        await client(url, token, [time.monotonic()] * 20, told)
        for stream in streams:
            await stream.aclose()
    return open_now, sorted(told)[10]


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


def main() -> int:
    """Run the load and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=60, help="calls a second, of all clients together")
    parser.add_argument("--idle", type=int, default=2_000, help="streams held open")
    chosen = parser.parse_args()
    authority = AuthorizationServer()
    with tempfile.TemporaryDirectory() as folder:
        audit = Path(folder) / "audit.jsonl"
        env = environment(
            SECURITY_OAUTH_ENABLED="true",
            SECURITY_OAUTH_ISSUER=authority.issuer,
            SECURITY_OAUTH_AUDIENCE=AUDIENCE,
            SECURITY_AUDIT_LOG_FILE=str(audit),
            SECURITY_RATE_LIMIT_RPM="1000000",
            HOME=os.environ["HOME"],
        )
        tokens = [
            authority.token(scope="docker:read", sub=f"user{number}", exp=int(time.time()) + 3_600)
            for number in range(chosen.clients)
        ]
        with WebServer(Path(folder) / "log", env) as server:
            asyncio.run(stage(server.url, tokens[:1], 20, 2))
            one = asyncio.run(stage(server.url, tokens[:1], chosen.rate, chosen.seconds))
            before = resident(server.process.pid)
            many = asyncio.run(stage(server.url, tokens, chosen.rate, chosen.seconds))
            grown = resident(server.process.pid) - before
            held, beside = asyncio.run(idle(server.url, tokens[0], chosen.idle))
            lines = [json.loads(line) for line in audit.read_text(encoding="utf-8").splitlines()]
            ended = server.terminate()
    calls = 40 + len(one) + len(many) + 20
    ratio = at(many, 0.99) / at(one, 0.99)
    say(f"one client    {len(one)} calls at {chosen.rate:g}/s: p50 {at(one, 0.5):.1f} ms, p99 {at(one, 0.99):.1f} ms")
    say(f"{chosen.clients} clients   {len(many)} calls: p50 {at(many, 0.5):.1f} ms, p99 {at(many, 0.99):.1f} ms")
    say(f"p99 ratio     {ratio:.2f} (at most {MOST:g})")
    say(f"audit lines   {len(lines)} of {calls}")
    say(f"idle streams  {held} of {chosen.idle}; a call beside them {beside * 1_000:.1f} ms")
    say(f"memory        grew by {grown / 1e6:.1f} MB under load")
    say(f"end           status {ended.status} in {ended.seconds:.1f} s")
    return int(ratio > MOST or len(lines) != calls or held != chosen.idle or ended.status != 0)


if __name__ == "__main__":
    sys.exit(main())
