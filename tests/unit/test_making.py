"""What a call that is cut, or fails after all, leaves behind: nothing, or what it says."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from loguru import logger

from mcp_docker import pipeline as pipelines
from mcp_docker.audit import open_audit
from mcp_docker.engine import CallScope, Engine
from mcp_docker.errors import Cancelled
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from mcp_docker.throttle import Throttle
from mcp_docker.tool import Kind
from mcp_docker.tools import making
from tests.conftest import CALLER, code_of, data_of
from tests.unit.conftest import FakeEngine, Request, Run

ID = "4f1c2e" + "0" * 58
NET = "b" * 64
VOLUME = {"Name": "data", "Driver": "local", "CreatedAt": "2026-01-01T00:00:00Z"}

Cancel = Callable[..., dict[str, Any]]


class Slow:
    """An answer that comes a while after the call that asked for it was cancelled."""

    def __init__(self, answer: Any, seconds: float = 0.3) -> None:
        self.asked, self.cancelled = threading.Event(), threading.Event()
        self._answer = answer
        self._seconds = seconds

    def __call__(self, _: Request) -> Any:
        self.asked.set()
        self.cancelled.wait(10)
        threading.Event().wait(self._seconds)
        return self._answer


@pytest.fixture
def cancelled(engine: FakeEngine, tmp_path: Path) -> Cancel:  # noqa: ARG001 - the calls go there
    """Call a tool and cancel it while it waits for that answer; what the audit says of the end."""

    async def cancel(name: str, slow: Slow, arguments: dict[str, Any]) -> None:
        settings = load()
        ours = Engine(settings)
        pipeline = Pipeline(settings, Registry(settings), ours, open_audit(settings))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.call, Call(name, arguments, CALLER))
            assert await anyio.to_thread.run_sync(slow.asked.wait, 10)
            tasks.cancel_scope.cancel()
            slow.cancelled.set()
        await pipeline.drain(10)
        ours.forget()

    def call(tool: str, slow: Slow, /, **arguments: Any) -> dict[str, Any]:
        anyio.run(cancel, tool, slow, arguments)
        outcome: dict[str, Any] = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])
        assert (outcome["event"], outcome["outcome"]) == ("outcome", "cancelled")
        return outcome

    return call


def test_a_container_that_was_made_after_all_is_removed_with_the_volumes_it_brought(
    engine: FakeEngine, cancelled: Cancel
) -> None:
    slow = Slow((201, {"Id": ID, "Warnings": None}))
    engine.on("GET", "/volumes", {"Volumes": [VOLUME]})
    engine.on("POST", "/containers/create", slow)
    engine.on("DELETE", ".*", status=204)
    outcome = cancelled("docker_create_container", slow, image="redis:7", volumes=["data:/a", "new:/b"])
    assert [request.path for request in engine.sent("DELETE", ".*")] == [f"/containers/{ID}", "/volumes/new"]
    assert "The new container was removed again." in outcome["message"]


def test_a_container_that_is_going_by_itself_counts_as_removed(engine: FakeEngine, cancelled: Cancel) -> None:
    slow = Slow((201, {"Id": ID, "Warnings": None}))
    answers = iter([(409, {"message": "removal of container x is already in progress"}), (404, {"message": "none"})])
    engine.on("POST", "/containers/create", slow)
    engine.on("DELETE", f"/containers/{ID}", lambda _request: next(answers))
    assert "was removed again" in cancelled("docker_create_container", slow, image="redis:7")["message"]


def test_a_container_that_can_not_be_removed_is_named_in_the_audit(engine: FakeEngine, cancelled: Cancel) -> None:
    slow = Slow((201, {"Id": ID, "Warnings": None}))
    engine.on("POST", "/containers/create", slow)
    engine.on("DELETE", f"/containers/{ID}", {"message": "busy"}, status=500)
    outcome = cancelled("docker_create_container", slow, image="redis:7", name="web")
    assert "The new container web is still there: docker_remove_container removes it." in outcome["message"]


def test_a_network_that_was_made_after_all_is_removed(engine: FakeEngine, cancelled: Cancel) -> None:
    slow = Slow((201, {"Id": NET}))
    engine.on("POST", "/networks/create", slow)
    engine.on("DELETE", f"/networks/{NET}", status=204)
    assert "The new network was removed again." in cancelled("docker_create_network", slow, name="n")["message"]
    assert len(engine.sent("DELETE", f"/networks/{NET}")) == 1


@pytest.mark.parametrize("there", [[], [VOLUME]])
def test_a_volume_that_was_made_after_all_is_removed_unless_it_was_there_before(
    engine: FakeEngine, cancelled: Cancel, there: list[Any]
) -> None:
    slow = Slow((201, VOLUME))
    engine.on("GET", "/volumes", {"Volumes": there})
    engine.on("POST", "/volumes/create", slow)
    engine.on("DELETE", "/volumes/data", status=204)
    cancelled("docker_create_volume", slow, name="data")
    assert len(engine.sent("DELETE", "/volumes/data")) == (0 if there else 1)


def test_what_was_made_in_time_stays(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/networks/create", {"Id": NET}, status=201)
    assert data_of(run("docker_create_network", name="n"))["id"] == NET
    assert engine.sent("DELETE", ".*") == []


def test_an_answer_without_sense_is_no_reason_to_leave_something_behind(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/containers/create", {"Id": ID, "Warnings": None}, status=201)
    engine.on("GET", f"/containers/{ID}/json", ["no container"])
    engine.on("DELETE", f"/containers/{ID}", status=204)
    assert code_of(run("docker_create_container", image="redis:7")) == "ENGINE_ERROR"
    assert len(engine.sent("DELETE", f"/containers/{ID}")) == 1


def test_an_engine_that_does_not_answer_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "UNDO_SECONDS", 1.0)
    scope = CallScope(5)

    def request() -> tuple[bool, bool]:
        inner = CallScope.current()
        scope.cut(Cancelled("over", "call again."))
        return inner.cancelled(), inner.cancelled(20)

    with scope.entered():
        assert making.made(request) == (False, True)


def test_a_cancelled_prune_says_in_the_audit_what_it_removed(engine: FakeEngine, cancelled: Cancel) -> None:
    volumes = [VOLUME | {"Name": name} for name in ("a", "b", "c")]
    slow = Slow((204, b""))
    engine.on("GET", "/volumes", {"Volumes": volumes})
    engine.on("GET", "/volumes/.*", lambda request: VOLUME | {"Name": request.path.rpartition("/")[2]})
    engine.on("DELETE", "/volumes/a", status=204)
    engine.on("DELETE", "/volumes/b", slow)
    outcome = cancelled("docker_prune_volumes", slow, all=True)
    assert "was stopped; removed before: 1 volumes" in outcome["message"]
    assert '{"volumes":["a"]}' in outcome["message"]
    assert engine.sent("DELETE", "/volumes/c") == []


@pytest.mark.parametrize(
    "before",
    [[{"Pid": 0, "ExitCode": None}, {"Pid": 0}], [{"Pid": 0, "Running": True}] * 12],
    ids=["not begun", "beginning for long"],
)
def test_a_command_that_begins_after_its_call_was_cancelled_is_waited_for_and_ended(
    engine: FakeEngine, cancelled: Cancel, before: list[dict[str, Any]]
) -> None:
    first, second = "e" * 64, "f" * 64
    slow = Slow(b"", 0.5)
    found = iter([*before, {"Pid": 7, "Running": True}])
    ended = {"Pid": 7, "Running": False, "ExitCode": 137}
    engine.on("GET", "/containers/web/json", {"Id": ID, "Name": "/web", "Config": {}, "HostConfig": {}})
    engine.on(
        "POST",
        f"/containers/{ID}/exec",
        lambda request: (201, {"Id": second if "-c" in request.body["Cmd"] else first}),
    )
    engine.on("POST", f"/exec/{first}/start", slow)
    engine.on("POST", f"/exec/{second}/start", b"\x01\0\0\0\0\0\0\x02x\n")
    engine.on("GET", f"/exec/{first}/json", lambda _request: next(found, ended))
    engine.on("GET", f"/exec/{second}/json", {"ExitCode": 0})
    outcome = cancelled("docker_exec_command", slow, container_id="web", command=["sleep", "60"])
    assert "were ended in the container" in outcome["message"]
    assert len(engine.sent("GET", f"/exec/{first}/json")) == len(before) + 2


def test_a_command_that_never_begins_is_not_waited_for_long(engine: FakeEngine, cancelled: Cancel) -> None:
    slow = Slow(b"")
    engine.on("GET", "/containers/web/json", {"Id": ID, "Name": "/web", "Config": {}, "HostConfig": {}})
    engine.on("POST", f"/containers/{ID}/exec", {"Id": "e" * 64}, status=201)
    engine.on("POST", f"/exec/{'e' * 64}/start", slow)
    engine.on("GET", f"/exec/{'e' * 64}/json", {"Pid": 0, "ExitCode": None})
    outcome = cancelled("docker_exec_command", slow, container_id="web", command=["sleep", "60"])
    assert "still runs in the container" in outcome["message"]


@pytest.fixture
def pipeline() -> Pipeline:
    settings = load()
    return Pipeline(settings, Registry(settings), Engine(settings), open_audit(settings))


def full(limiter: anyio.CapacityLimiter) -> list[object]:
    """Take all places; they are free again only when somebody gives them back."""
    taken = [object() for _ in range(int(limiter.available_tokens))]
    for each in taken:
        limiter.acquire_on_behalf_of_nowait(each)
    return taken


def test_whatever_else_is_in_threads_costs_no_audit_line(pipeline: Pipeline, tmp_path: Path) -> None:
    async def call() -> None:
        taken = full(anyio.to_thread.current_default_thread_limiter())
        assert code_of(await pipeline.call(Call("docker_no_such_tool", {}, CALLER))) == "TOOL_NOT_AVAILABLE"
        assert taken

    anyio.run(call)
    assert "docker_no_such_tool" in (tmp_path / "audit.jsonl").read_text()


def test_an_end_that_can_not_be_recorded_in_time_is_logged(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "AUDIT_SECONDS", 0.05)
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="ERROR")

    async def call() -> None:
        taken = full(pipeline._recording)
        assert code_of(await pipeline.call(Call("docker_no_such_tool", {}, CALLER))) == "TOOL_NOT_AVAILABLE"
        assert taken

    anyio.run(call)
    logger.remove(sink)
    assert said == ["What became of docker_no_such_tool could not be recorded within 0.05 s"]


def test_a_call_that_never_begins_says_that_nothing_was_done(
    engine: FakeEngine, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_TOOL_TIMEOUTS", "docker_start_container=0.2")
    settings = load()
    busy = Pipeline(settings, Registry(settings), pipeline.engine, None)

    async def call() -> None:
        taken = full(busy._slots)
        result = await busy.call(Call("docker_start_container", {"container_id": "web"}, CALLER))
        assert code_of(result) == "TIMED_OUT"
        assert "was not begun within 0.2 s, since too many calls are under way; nothing was done" in result.text
        assert taken

    anyio.run(call)
    assert engine.requests == []


def test_a_subscription_counts_as_the_request_that_asks_for_it(engine: FakeEngine) -> None:
    engine.on("GET", "/containers/web/json", {"Id": ID, "Name": "/web", "State": {"Running": True}})
    settings = load()
    ours = Engine(settings)
    pipeline = Pipeline(settings, Registry(settings), ours, None, Throttle(1, 1))

    async def subscribe() -> None:
        for _ in range(3):
            call = Call("container_logs", {"container_id": "web"}, CALLER, kind=Kind.SUBSCRIPTION)
            assert data_of(await pipeline.call(call))["id"] == ID

    anyio.run(subscribe)
    ours.forget()
