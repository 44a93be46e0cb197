"""docker_container_logs."""

import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from tests.conftest import code_of, data_of
from tests.unit.conftest import FakeEngine, Run

ID = "a" * 64
DETAILS = {"Id": ID, "Name": "/web", "Config": {"Tty": False}}
T1 = "2026-01-31T12:00:00.000000001Z"
T2 = "2026-01-31T12:00:00.5Z"


def frame(stream: int, text: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(text)) + text


def line(stream: int, text: str, time: str = T1) -> bytes:
    return frame(stream, f"{time} {text}\n".encode())


@pytest.fixture
def web(engine: FakeEngine) -> FakeEngine:
    engine.on("GET", "/containers/web/json", DETAILS)
    return engine


def texts(data: dict[str, object]) -> list[str]:
    lines = data["lines"]
    assert isinstance(lines, list)
    return [each["text"] for each in lines]


def test_the_engine_is_asked_for_the_tail_with_times(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", b"")
    run("docker_container_logs", container_id="web", tail=7, since="2026-01-31T12:00:00Z")
    (request,) = web.sent("GET", ".*/logs")
    assert request.query == {
        "stdout": "1",
        "stderr": "1",
        "timestamps": "1",
        "tail": "7",
        "since": "1769860800.000000000",
    }


def test_the_last_lines_before_a_time_are_counted_here(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", b"".join(line(1, str(number)) for number in range(5)))
    data = data_of(run("docker_container_logs", container_id="web", tail=2, until="2026-01-31T12:00:00Z"))
    assert texts(data) == ["3", "4"]
    assert web.sent("GET", ".*/logs")[0].query["tail"] == "all"


def test_standard_output_and_error_are_told_apart(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", line(1, "out") + line(2, "err", T2))
    result = run("docker_container_logs", container_id="web")
    data = data_of(result)
    assert data["lines"] == [{"stream": "stdout", "text": "out"}, {"stream": "stderr", "text": "err"}]
    assert data["untrusted"] is True
    assert "\nout\nstderr| err\n" in result.text
    assert result.text.startswith("2 lines of web; next since: 1769860800.500000001\n<untrusted-")


def test_times_are_shown_when_wanted_in_utc_with_nine_digits(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", line(1, "out", "2026-01-31T13:00:00.5+01:00"))
    data = data_of(run("docker_container_logs", container_id="web", timestamps=True))
    assert data["lines"] == [{"stream": "stdout", "text": "out", "time": "2026-01-31T12:00:00.500000000Z"}]


def test_a_text_is_looked_for_in_the_whole_log_and_the_last_matches_are_kept(web: FakeEngine, run: Run) -> None:
    log = b"".join(line(1, f"{'hit' if i % 2 else 'miss'} {i}") for i in range(100))
    web.on("GET", f"/containers/{ID}/logs", iter([log[:333], log[333:]]))
    data = data_of(run("docker_container_logs", container_id="web", contains="hit", tail=2))
    assert texts(data) == ["hit 97", "hit 99"]
    assert data["note"] == "48 earlier lines matched too"
    assert web.sent("GET", ".*/logs")[0].query["tail"] == "all"


def test_parts_of_a_long_line_are_joined_without_their_times(web: FakeEngine, run: Run) -> None:
    log = frame(1, f"{T1} one ".encode()) + frame(2, f"{T1} other\n".encode()) + frame(1, f"{T2} line\n".encode())
    web.on("GET", f"/containers/{ID}/logs", log)
    assert texts(data_of(run("docker_container_logs", container_id="web"))) == ["other", "one line"]


def test_a_line_without_an_end_and_bytes_that_are_no_utf8_are_shown(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", frame(1, f"{T1} caf".encode() + b"\xe9\r"))
    assert texts(data_of(run("docker_container_logs", container_id="web"))) == ["caf\ufffd"]


def test_an_overlong_line_loses_its_end_and_says_so(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", line(1, "x" * 200_000) + line(1, "next"))
    long, following = texts(data_of(run("docker_container_logs", container_id="web")))
    assert long == "x" * 32_768 + " […]"
    assert following == "next"


def test_a_terminal_has_one_stream_without_frames(engine: FakeEngine, run: Run) -> None:
    engine.on("GET", "/containers/web/json", DETAILS | {"Config": {"Tty": True}})
    engine.on("GET", f"/containers/{ID}/logs", iter([f"{T1} a\r\n{T2} b".encode(), b"c\r\nbare\r\n"]))
    data = data_of(run("docker_container_logs", container_id="web"))
    assert texts(data) == ["a", "bc", "bare"]
    assert data["next_since"] == "1769860800.500000001"


def test_following_ends_after_its_seconds_and_keeps_what_came(web: FakeEngine, run: Run) -> None:
    release = threading.Event()

    def log(_: object) -> Iterator[bytes]:
        yield line(1, "new")
        release.wait(10)

    web.on("GET", f"/containers/{ID}/logs", log)
    data = data_of(run("docker_container_logs", container_id="web", follow=True, seconds=1))
    release.set()
    assert texts(data) == ["new"]
    (request,) = web.sent("GET", ".*/logs")
    assert (request.query["follow"], request.query["tail"]) == ("1", "0")


def test_an_engine_that_does_not_answer_is_not_taken_for_a_log_without_new_lines(web: FakeEngine, run: Run) -> None:
    release = threading.Event()

    def hangs(_: object) -> bytes:
        release.wait(10)
        return b""

    web.on("GET", f"/containers/{ID}/logs", hangs)
    assert code_of(run("docker_container_logs", container_id="web", follow=True, seconds=1)) == "TIMED_OUT"
    # which answers only when there is something to read
    web.be_podman()
    assert texts(data_of(run("docker_container_logs", container_id="web", follow=True, seconds=1))) == []
    release.set()


def test_following_from_a_cursor_asks_for_the_lines_since_then(web: FakeEngine, run: Run) -> None:
    web.on("GET", f"/containers/{ID}/logs", b"")
    data = data_of(
        run("docker_container_logs", container_id="web", follow=True, since="1769860800.500000001", seconds=1)
    )
    assert data["next_since"] == "1769860800.500000001"
    assert web.sent("GET", ".*/logs")[0].query["tail"] == "all"


def test_where_nothing_was_printed_the_next_call_goes_on_from_the_engines_time(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it stamps the lines, and its clock may be behind ours
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: "Sat, 31 Jan 2026 12:00:00 GMT")
    web.on("GET", f"/containers/{ID}/logs", b"")
    assert data_of(run("docker_container_logs", container_id="web"))["next_since"] == "1769860800.000000000"


@pytest.mark.parametrize("date", ["", "soon", "Sat, 99 Jan 2026 12:00:00 GMT"])
def test_an_engine_that_does_not_tell_its_time_has_ours(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)
    web.on("GET", f"/containers/{ID}/logs", b"")
    web.on("GET", "/_ping", b"OK")
    web.on("GET", "/events", b"")
    since = data_of(run("docker_container_logs", container_id="web"))["next_since"]
    assert float(since) == pytest.approx(time.time(), abs=60)
    assert data_of(run("docker_events"))["events"] == []


def test_a_stream_that_breaks_off_is_an_error_and_not_the_end(web: FakeEngine, run: Run) -> None:
    def broken(_: object) -> Iterator[bytes]:
        yield line(1, "half")
        raise ConnectionResetError

    web.on("GET", f"/containers/{ID}/logs", broken)
    assert code_of(run("docker_container_logs", container_id="web")) == "ENGINE_UNREACHABLE"


@pytest.mark.parametrize("tail", ["all", 0, -5, 10_001, "many"])
def test_a_tail_out_of_bounds_is_refused_with_the_bound(engine: FakeEngine, run: Run, tail: object) -> None:
    result = run("docker_container_logs", container_id="web", tail=tail)
    assert code_of(result) == "INVALID_ARGUMENTS"
    assert "tail" in result.text
    assert "1" in result.text
    assert engine.requests == []


def test_an_answer_past_the_limit_keeps_the_newest_lines(
    web: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETY_MAX_RESPONSE_BYTES", "4096")
    web.on("GET", f"/containers/{ID}/logs", b"".join(line(1, f"line {i}") for i in range(200)))
    result = run("docker_container_logs", container_id="web")
    data = data_of(result)
    assert texts(data)[-1] == "line 199"
    assert 0 < len(texts(data)) < 200
    assert "lines" in data["truncated"]["what"]
    assert len(result.text.encode()) < 4096


def test_an_engine_that_can_not_read_a_log_to_its_end_says_so_and_not_the_container(web: FakeEngine, run: Run) -> None:
    said = b"Error grabbing logs: invalid character '\\x00' looking for beginning of value\n"
    web.on("GET", f"/containers/{ID}/logs", line(1, "ready") + frame(3, said))
    result = run("docker_container_logs", container_id="web")
    assert code_of(result) == "ENGINE_ERROR"
    assert "the engine could not read the whole output: Error grabbing logs: invalid character" in result.text
    web.on("GET", f"/containers/{ID}/logs", frame(3, b"word " * 1_000)[:-1])
    assert run("docker_container_logs", container_id="web").text.count("word") == 400
