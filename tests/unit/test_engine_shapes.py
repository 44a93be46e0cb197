"""Answers of an engine that are not as the Engine API says, and faults of ours on answers that are."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import pytest
from loguru import logger

from mcp_docker.engine import Engine, shapes
from mcp_docker.errors import EngineError
from mcp_docker.pipeline import Call, Pipeline
from mcp_docker.prompts import tuning
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from mcp_docker.tool import Kind
from mcp_docker.tools.containers import read
from tests.conftest import CALLER, code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ID = "4f1c2e" + "0" * 58
SAMPLE = {"read": "2026-01-01T00:00:00Z", "memory_stats": {"usage": 1 << 20}}
WEB: dict[str, Any] = {"Id": ID, "Name": "/web"}
ANSWERS = Path(__file__).parents[1] / "fuzz" / "answers"


@pytest.fixture
def logged() -> list[Any]:
    """What is logged, as records."""
    records: list[Any] = []
    logger.add(lambda message: records.append(message.record), level="WARNING")
    return records


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"Config": {"Env": 5}}, "Config.Env is a number, not a list"),
        ({"Config": {"Env": [None]}}, "Config.Env[] is null, not a text"),
        ({"Config": {"Labels": {"a": None}}}, "Config.Labels.* is null, not a text"),
        ({"Config": {"Cmd": [1]}}, "Config.Cmd is a list, not words"),
        ({"State": "running"}, "State is a text, not an object"),
        ({"State": {"ExitCode": "x"}}, "State.ExitCode is a text, not a whole number of 64 bits"),
        ({"State": {"Error": True}}, "State.Error is a boolean, not a text"),
        ({"HostConfig": {"NanoCpus": [1]}}, "HostConfig.NanoCpus is a list, not a whole number of 64 bits"),
        ({"Mounts": {"a": 1}}, "Mounts is an object, not a list"),
        ({"Mounts": [5]}, "Mounts[] is a number, not an object"),
        ({"NetworkSettings": {"Networks": {"a": 5}}}, "NetworkSettings.Networks.* is a number, not an object"),
        ({"Id": None}, "Id is missing"),
        ({"Config": {"Labels": {"Id": 5}}}, "Config.Labels.* is a number, not a text"),
    ],
)
def test_an_answer_of_another_shape_is_the_engines_error_and_says_where(
    engine: FakeEngine, run: Run, odd: dict[str, Any], told: str
) -> None:
    engine.on("GET", "/containers/web/json", WEB | odd)
    result = run("docker_inspect_container", container_id="web")
    assert code_of(result) == "ENGINE_ERROR"
    assert f"(GET /containers/{{id}}/json: {told});" in result.text


def test_it_is_in_the_log_with_a_trace(engine: FakeEngine, run: Run, logged: list[Any]) -> None:
    engine.on("GET", "/containers/web/json", WEB | {"Config": {"Env": 5}})
    run("docker_inspect_container", container_id="web")
    (record,) = logged
    assert record["level"].name == "WARNING"
    assert record["exception"].traceback is not None


def test_a_fault_of_ours_stays_one_and_is_in_the_log_with_a_trace(
    engine: FakeEngine, run: Run, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(_found: dict[str, Any]) -> None:
        raise TypeError("ours")

    engine.on("GET", "/containers/web/json", WEB | {"Config": {"Env": ["A=b"]}, "State": None, "Unknown": 5})
    monkeypatch.setattr(read, "_details", faulty)
    assert code_of(run("docker_inspect_container", container_id="web")) == "INTERNAL_ERROR"
    (record,) = logged
    assert record["level"].name == "ERROR"
    assert str(record["exception"].value) == "ours"


def test_a_field_that_nothing_trips_over_costs_no_answer(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/web/json", WEB | {"Mounts": None, "AppArmorProfile": 5, "Args": "x"})
    assert data_of(run("docker_inspect_container", container_id="web"))["name"] == "web"


def test_what_a_stranger_named_is_not_in_the_error(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/web/json", WEB | {"Config": {"Labels": {"obey me": 5}}, "Env": "obey me"})
    result = run("docker_inspect_container", container_id="web")
    assert code_of(result) == "ENGINE_ERROR"
    assert "obey" not in result.text


def test_the_engine_may_have_said_it_in_an_earlier_call(engine: FakeEngine) -> None:
    engine.info = {"MemTotal": "much"}
    engine.on("GET", "/containers/web/json", WEB)
    settings = load()
    client = Engine(settings)
    pipeline = Pipeline(settings, Registry(settings), client, None)
    call = Call("optimize_container", {"container_id": "web"}, CALLER, kind=Kind.PROMPT)
    assert not anyio.run(pipeline.call, call).is_error
    engine.on("GET", f"/containers/(web|{ID})/json", WEB | {"State": {"Running": True}})
    engine.on("GET", f"/containers/{ID}/stats", SAMPLE)
    for _ in range(2):
        result = anyio.run(pipeline.call, call)
        assert code_of(result) == "ENGINE_ERROR"
        assert "(GET /info: MemTotal is a text, not a whole number of 64 bits)" in result.text
    client.forget()


def test_what_is_said_beside_an_error_is_not_judged(
    engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: Any) -> None:
        raise TypeError("ours")

    engine.on("GET", "/containers/web/json", WEB | {"Image": "sha256:0"})  # its image is not there: 404, with a message
    monkeypatch.setattr(tuning, "verdicts", faulty)
    result = run("optimize_container", kind=Kind.PROMPT, container_id="web")
    assert engine.sent("GET", "/images/.*")
    assert code_of(result) == "INTERNAL_ERROR"


def test_answers_within_a_shorter_time_limit_count_too(engine: FakeEngine, run: Run) -> None:
    # the size of its layer is asked for in a scope of its own
    engine.on("GET", "/containers/web/json", WEB | {"HostConfig": {"Ulimits": 5}})
    engine.on("GET", f"/containers/{ID}/json", ["no container"])
    result = run("optimize_container", kind=Kind.PROMPT, container_id="web")
    assert code_of(result) == "ENGINE_ERROR"


def test_an_event_is_judged_as_it_comes(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/_ping", b"OK")
    engine.on("GET", "/events", b'{"time":1,"Actor":{"Attributes":[]}}\n')
    result = run("docker_events", since="1")
    assert code_of(result) == "ENGINE_ERROR"
    assert "(GET /events: Actor.Attributes is a list, not an object)" in result.text


@pytest.mark.parametrize("depth", [600, 2_000, 200_000])
def test_what_is_nested_without_end_is_the_engines_error(engine: FakeEngine, run: Run, depth: int) -> None:
    nested = b'{"Id":"' + ID.encode() + b'","Name":"/web","X":' + b"[" * depth + b"]" * depth + b"}"
    engine.on("GET", "/containers/web/json", nested)
    result = run("docker_inspect_container", container_id="web", raw=True)
    assert code_of(result) == "ENGINE_ERROR"
    assert "(GET /containers/{id}/json: it is nested more than 100 deep)" in result.text


@pytest.mark.parametrize("line", [b"[" * 200_000, b'{"time":' + b"1" * 5_000 + b"}"])
def test_a_line_that_can_not_be_read_is_the_engines_error(
    engine: FakeEngine, run: Run, logged: list[Any], line: bytes
) -> None:
    engine.on("GET", "/_ping", b"OK")
    engine.on("GET", "/events", line)
    assert code_of(run("docker_events", since="1")) == "ENGINE_ERROR"
    assert not logged


def test_a_number_of_thousands_of_digits_is_the_engines_error(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/web/json", b'{"Id":' + b"1" * 5_000 + b"}")
    assert code_of(run("docker_inspect_container", container_id="web")) == "ENGINE_ERROR"


def test_it_is_told_of_an_answer_of_any_shape() -> None:
    nested: list[Any] = []
    for _ in range(100):
        nested = [nested]
    assert shapes.oddity((), {"GET /of/a/stranger": nested}) == "GET: it is nested more than 100 deep"
    assert not shapes.oddity((), {"GET /of/a/stranger": nested[0]})


def test_a_recursion_of_ours_is_no_fault_of_the_engine(
    engine: FakeEngine, run: Run, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(found: dict[str, Any]) -> None:
        endless(found)

    engine.on("GET", "/containers/web/json", WEB)
    monkeypatch.setattr(read, "_details", endless)
    assert code_of(run("docker_inspect_container", container_id="web")) == "INTERNAL_ERROR"
    (record,) = logged
    assert record["level"].name == "ERROR"


@pytest.mark.parametrize("field", [{"RepoTags": [5] * 100_000}, {"Labels": dict.fromkeys(map(str, range(100_000)), 5)}])
def test_of_many_faults_only_the_first_is_kept(field: dict[str, Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(EngineError, match="is a number, not a text"):
            shapes.checked("GET /images/json", [{"Id": "i"} | field])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_nothing_is_known_of_shapes_until_one_is_odd() -> None:
    check = "import sys; from mcp_docker import registry; registry.declared(); import mcp_docker.engine.errors; "
    check += "sys.exit('mcp_docker.engine.shapes' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=120)


def test_a_change_that_tripped_over_the_answer_may_have_happened(engine: FakeEngine, run: Run) -> None:
    engine.on("POST", "/networks/create", {"Id": ID, "Warning": 5}, status=201)
    result = run("docker_create_network", name="n")
    assert code_of(result) == "ENGINE_ERROR"
    assert "It may have happened all the same" in result.text


def test_each_container_may_be_without_a_name(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/json", [{"Id": ID, "Names": None}])
    engine.on("GET", f"/containers/{ID}/stats", {"read": "2026-01-01T00:00:00Z"})
    assert data_of(run("docker_container_stats"))["containers"][0]["name"] == ID[:12]


@pytest.mark.parametrize(
    ("time", "fits"),
    [
        ("", True),
        ("0001-01-01T00:00:00+01:00", True),
        ("2026-11-21T10:52:59.603508778+01:00", True),
        ("2026-99-99T10:52:59Z", False),
        ("9999-12-31T23:59:59-12:00", False),
        ("yesterday", False),
    ],
)
def test_times_are_those_that_can_be_reckoned_with(time: str, *, fits: bool) -> None:
    if fits:
        assert shapes.checked("GET /networks/n", {"Id": "n", "Name": "n", "Created": time})
        return
    with pytest.raises(EngineError, match="Created is a text, not a time"):
        shapes.checked("GET /networks/n", {"Id": "n", "Name": "n", "Created": time})


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("Created", 10**12, "Created is a number, not a unix time"),
        ("Size", 2**64, "Size is a number, not a whole number of 64 bits"),
        ("Size", 1.5, "Size is a number, not a whole number of 64 bits"),
        ("ParentId", "\ud800", "ParentId is text that is no Unicode, not a text"),
        ("ParentId", False, "ParentId is a boolean, not a text"),
        ("Labels", [], "Labels is a list, not an object"),
    ],
)
def test_values_are_those_that_go_can_say(field: str, value: Any, told: str) -> None:
    with pytest.raises(EngineError, match=told.replace("[]", "")):
        shapes.checked("GET /images/json", [{"Id": "i", field: value}])


def test_a_port_may_be_without_a_list() -> None:
    ports: dict[str, Any] = {"80/tcp": None}
    odd = WEB | {"NetworkSettings": {"Ports": ports}}
    assert shapes.checked("GET /containers/web/json", odd)
    ports["81/tcp"] = "81"
    with pytest.raises(EngineError, match=r"NetworkSettings\.Ports\.\* is a text, not a list"):
        shapes.checked("GET /containers/web/json", odd)


@pytest.mark.parametrize("file", sorted(ANSWERS.glob("*.json")), ids=lambda file: file.stem)
def test_what_real_engines_say_fits(file: Path) -> None:
    for path, body in json.loads(file.read_text(encoding="utf-8")).items():
        for value in body if path == "/events" else [body]:
            assert shapes.checked(f"GET {path}", value) is value
