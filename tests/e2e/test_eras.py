"""A client of the handshake era and one of the session-less era see and get the same."""

import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import docker
import jsonschema
import pytest
from mcp.client.client import Client

from tests.e2e.conftest import Start, connected, text_of
from tests.e2e.process import HANDSHAKE, PATIENCE, SESSIONLESS, done
from tests.e2e.proxy import EngineProxy
from tests.integration.conftest import IMAGE

NOT_THERE = "no-such-object-here"
GET = "wget -qO- http://127.0.0.1/index.html"


def without_marks(text: str) -> str:
    """A text without the random part of the marks around untrusted text."""
    return re.sub(r"(untrusted[ -_])[0-9a-f]{8,}", r"\1MARK", text)


class Caller:
    """Calls tools, and holds each answer against the schema that tools/list gave."""

    def __init__(self, client: Client, schemas: dict[str, Any]) -> None:
        self.client = client
        self.schemas = schemas
        self.called: set[str] = set()

    async def __call__(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(name, arguments)
        assert not result.is_error, f"{name}: {text_of(result)}"
        data: dict[str, Any] = result.structured_content
        jsonschema.validate(data, self.schemas[name])
        self.called.add(name)
        return data


async def test_every_tool_works_and_answers_as_its_schema_says(client: Client, label: str, tmp_path: Path) -> None:
    schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
    call = Caller(client, schemas)
    key, _, value = label.partition("=")
    labels, mine = {key: value}, {"label": label}
    name = f"e2e-{uuid.uuid4().hex[:12]}"
    remote = f"{os.environ['MCP_DOCKER_TEST_REGISTRY']}/{name}"

    await call("docker_version")
    assert await call("docker_list_images", all=True)
    assert (await call("docker_inspect_image", image=IMAGE))["tags"]
    assert (await call("docker_image_history", image=IMAGE))["layers"]

    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo {name} > /made\n")
    built = await call("docker_build_image", path=str(tmp_path), tag=f"{name}:built", labels=labels)
    await call("docker_tag_image", image=f"{name}:built", repository=remote, tag="pushed")
    await call("docker_push_image", image=remote, tag="pushed")
    await call("docker_remove_image", image=f"{remote}:pushed")
    pulled = await call("docker_pull_image", image=remote, tag="pushed")
    assert pulled["id"] == built["id"]

    await call("docker_create_network", name=name, labels=labels)
    await call("docker_create_volume", name=name, labels=labels)
    assert name in str(await call("docker_list_networks", filters=mine))
    assert name in str(await call("docker_list_volumes", filters=mine))

    began = time.time()
    made = await call(
        "docker_create_container",
        image=f"{remote}:pushed",
        name=name,
        command=["sh", "-c", "echo up; exec httpd -f -p 80 -h /www"],
        ports=["127.0.0.1::80"],
        volumes=[f"{name}:/data"],
        labels=labels,
    )
    assert (await call("docker_start_container", container_id=name))["ports"]
    await call("docker_connect_container", network_id=name, container_id=name, aliases=["web"])
    assert made["id"][:12] in str(await call("docker_inspect_network", network_id=name))
    assert name in str(await call("docker_inspect_volume", volume_name=name))
    ran = await call(
        "docker_exec_command",
        container_id=name,
        # it may not listen yet
        command=["sh", "-c", f"cat /made; for i in $(seq 99); do {GET} && break; sleep 0.1; done; exit 3"],
    )
    assert ran["exit_code"] == 3
    assert name in str(ran)
    assert "hello" in str(ran)
    with anyio.fail_after(PATIENCE):
        while "up" not in str(await call("docker_container_logs", container_id=name)):
            pass
    assert await call("docker_container_stats", container_id=name)
    assert [row["name"] for row in (await call("docker_list_containers", filters=mine))["containers"]] == [name]
    assert (await call("docker_inspect_container", container_id=name))["name"] == name
    await call("docker_disconnect_container", network_id=name, container_id=name)
    assert (await call("docker_restart_container", container_id=name, timeout=1))["state"] == "running"
    assert (await call("docker_stop_container", container_id=name, timeout=1))["state"] == "exited"
    assert name in str(await call("docker_events", since=str(int(began) - 1), filters={"container": name}))
    await call("docker_remove_container", container_id=name)

    await call("docker_remove_volume", volume_name=name)
    await call("docker_create_volume", name=f"{name}-2", labels=labels)
    assert f"{name}-2" in str(await call("docker_prune_volumes", all=True, filters=mine))
    await call("docker_remove_network", network_id=name)
    assert built["id"].removeprefix("sha256:") in str(await call("docker_prune_images", all=True, filters=mine))
    await call("docker_prune_system", filters=mine)
    assert call.called == set(schemas)


async def test_the_lists_of_tools_are_equal() -> None:
    async with connected(HANDSHAKE) as one, connected(SESSIONLESS) as other:
        assert one.instructions
        here, there = (await one.list_tools()).tools, (await other.list_tools()).tools
    assert here == there
    assert len(here) > 30


async def test_the_same_call_gets_the_same_answer(
    raw: docker.APIClient, container: Callable[..., str], label: str
) -> None:
    fresh = container(start=False)
    ended = container(["sh", "-c", "echo one; echo two >&2"])
    raw.wait(ended)
    key, _, value = label.partition("=")
    network = raw.create_network(value, labels={key: value})["Id"]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("docker_version", {}),
        ("docker_list_containers", {"all": True, "filters": {"label": label, "status": "created"}}),
        ("docker_inspect_container", {"container_id": fresh}),
        ("docker_inspect_container", {"container_id": ended, "raw": True}),
        ("docker_container_logs", {"container_id": ended, "timestamps": True}),
        ("docker_inspect_image", {"image": IMAGE}),
        ("docker_image_history", {"image": IMAGE}),
        ("docker_inspect_network", {"network_id": network}),
        # and what is refused
        ("docker_inspect_container", {"container_id": NOT_THERE}),
        ("docker_inspect_container", {"container_id": "../volumes/x"}),
        ("docker_inspect_container", {"container": fresh}),
        ("docker_start_container", {"container_id": NOT_THERE}),
        ("docker_exec_command", {"container_id": fresh, "command": ["true"]}),
        ("docker_create_container", {"image": f"{NOT_THERE}:latest"}),
        ("docker_create_container", {"image": IMAGE, "privileged": True}),
        ("docker_format_disk", {}),
    ]
    async with connected(HANDSHAKE) as one, connected(SESSIONLESS) as other:
        for name, arguments in calls:
            here, there = await one.call_tool(name, arguments), await other.call_tool(name, arguments)
            assert here.structured_content == there.structured_content, name
            assert without_marks(text_of(here)) == without_marks(text_of(there)), name
            assert here.is_error == there.is_error, name
            assert (here.meta or {}).get("mcp-docker/code") == (there.meta or {}).get("mcp-docker/code"), name


async def test_a_long_call_tells_of_its_progress(client: Client, container: Callable[..., str]) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    stubborn = container(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    result = await client.call_tool(
        "docker_stop_container", {"container_id": stubborn, "timeout": 2}, progress_callback=hear
    )
    assert not result.is_error, text_of(result)
    assert told
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told}), "it only grows"
    assert all(message for _, _, message in told)


async def test_a_cancelled_call_lets_go_of_the_engine_and_the_server_lives_on(era: str, proxy: EngineProxy) -> None:
    async with connected(era, DOCKER_HOST=proxy.address) as client:
        await client.call_tool("docker_list_containers", {})
        proxy.hang_on(r"GET .*/containers/json")
        async with anyio.create_task_group() as tasks:
            before = len(proxy.seen)
            tasks.start_soon(client.call_tool, "docker_list_containers", {})
            await _until(lambda: len(proxy.seen) > before)
            tasks.cancel_scope.cancel()
        await _until(lambda: proxy.connections == 0)
        proxy.hang_on("")
        result = await client.call_tool("docker_list_containers", {})
        assert not result.is_error, text_of(result)


async def test_a_cancelled_exec_ends_its_process(
    client: Client, container: Callable[..., str], raw: docker.APIClient
) -> None:
    idle = container()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "docker_exec_command", {"container_id": idle, "command": ["sleep", "61"]})
        await _until(lambda: "sleep 61" in str(raw.top(idle)))
        tasks.cancel_scope.cancel()
    await _until(lambda: "sleep 61" not in str(raw.top(idle)))
    assert not (await client.call_tool("docker_list_containers", {})).is_error


@pytest.mark.parametrize("setting", ["SAFETY_ALLOW_MODERATE_OPERATIONS", "SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS"])
async def test_what_is_not_allowed_is_neither_listed_nor_called(era: str, setting: str) -> None:
    async with connected(era, None, **{setting: "false"}) as client:
        listed = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}
        assert setting in str(client.instructions)
        assert not any(hints is not None and hints.destructive_hint for hints in listed.values())
        refused = await client.call_tool("docker_remove_volume", {"volume_name": "x"})
        unknown = await client.call_tool("docker_remove_planet", {"volume_name": "x"})
        assert text_of(refused).replace("volume", "planet") == text_of(unknown)


def test_a_server_says_who_it_is_in_both_eras(start: Start) -> None:
    with start(HANDSHAKE) as one, start(SESSIONLESS) as other:
        here = one.request(
            "initialize",
            {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
        )
        there = other.request("server/discover")
        assert here["serverInfo"] == there["_meta"]["io.modelcontextprotocol/serverInfo"]
        assert here["instructions"] == there["instructions"]
        # only 2026-07-28 knows extensions
        assert here["capabilities"].keys() == there["capabilities"].keys() - {"extensions"}
        one.notify("notifications/initialized", {})
        assert done(one.call("docker_version")) == done(other.call("docker_version"))


async def _until(holds: Callable[[], object]) -> None:
    """Wait until this holds, while the event loop goes on."""
    with anyio.fail_after(20):
        while not await anyio.to_thread.run_sync(holds):  # noqa: ASYNC110 - it happens elsewhere
            await anyio.sleep(0.02)
