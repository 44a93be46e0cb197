"""The diagnosis of troubleshoot_container: every case of corpus/diagnosis.toml has its cause named first.

A case:
    name, cause, also, says     as in tests/integration/broken.
    state, config, host         parts of what inspect shows; restarts, mounts, and the names of networks it joined.
    events                      "kill 15" is an event with its signal, "die 1" one with its exit code; a second apart.
    log                         its last lines; log_before: lines that many others follow.
    others, networks, namespace, image, image_gone, log_unreadable, tag_moved, usage, throttled    as in Facts.
The text "null" stands for null, which TOML does not have.
"""

import re
import time
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mcp_docker.prompts.diagnosis import Cause, Facts, Finding, Weight, advice, diagnose
from mcp_docker.prompts.diagnosis.facts import moment
from mcp_docker.prompts.diagnosis.sections import sections
from mcp_docker.registry import declared
from mcp_docker.tools.containers.logs import LogLine
from mcp_docker.tools.containers.stats import Usage
from mcp_docker.tools.system.read import Event

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
EARLIER = {"StartedAt": "2026-01-31T11:00:00Z", "FinishedAt": "2026-01-31T11:59:00Z"}
CASES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "corpus/diagnosis.toml").read_text(encoding="utf-8")
)["case"]


def with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: with_nulls(item) for key, item in value.items()}
    return [with_nulls(item) for item in value] if isinstance(value, list) else None if value == "null" else value


def event(text: str, when: datetime) -> Event:
    action, _, number = text.partition(" ")
    name = "signal" if action == "kill" else "exit_code"
    attributes = {name: number} if number else {}
    return Event(time=f"{when:%Y-%m-%dT%H:%M:%S}Z", type="container", action=action, id="a", attributes=attributes)


def facts_of(case: Mapping[str, Any]) -> Facts:
    case = with_nulls(case)
    state = case["state"]
    never = state["Status"] in ("created", "configured", "dead", "removing") or state.get("Error")
    log = [*case.get("log_before", []), *(["working"] * 60 if "log_before" in case else []), *case.get("log", [])]
    told = case.get("events", [])
    return Facts(
        found={
            "Id": "a" * 64,
            "Name": "/web",
            "State": ({} if never else EARLIER) | state,
            "Config": case.get("config"),
            "HostConfig": case.get("host"),
            "RestartCount": case.get("restarts"),
            "Mounts": case.get("mounts"),
            "NetworkSettings": {"Networks": dict.fromkeys(case["joined"])} if "joined" in case else None,
        },
        now=NOW,
        events=[event(text, NOW - timedelta(seconds=len(told) - at)) for at, text in enumerate(told)],
        lines=[LogLine(stream="stderr", text=text) for text in log],
        usage=Usage(id="a", name="web", **case["usage"]) if "usage" in case else None,
        throttled=case.get("throttled"),
        image=case.get("image"),
        image_gone=case.get("image_gone", False),
        log_unreadable=case.get("log_unreadable", False),
        tag_moved=case.get("tag_moved", False),
        others=case.get("others", ()),
        networks=case.get("networks", ()),
        namespace=case.get("namespace"),
        architecture="amd64",
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: re.sub("[^a-zA-Z0-9.]+", "-", case["name"]))
def test_the_cause_comes_first(case: dict[str, Any]) -> None:
    facts = facts_of(case)
    findings = diagnose(facts)
    told = "\n".join(map(str, findings))
    assert findings[0].cause.name == case["cause"], told
    assert set(case.get("also", [])) <= {finding.cause.name for finding in findings}, told
    assert case.get("says", "") in told
    assert list(sections(facts, findings))
    assert 1 <= len(advice.steps(findings, frozenset(), "web")) <= advice.MOST


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.name)
def test_every_cause_has_advice_that_names_only_tools_of_the_caller(cause: Cause) -> None:
    found = [Finding(cause, Weight.CERTAIN)]
    alone = "\n".join(advice.steps(found, frozenset(), "web"))
    assert "docker_" not in alone
    assert "{" not in alone.replace('{"', "")
    everything = "\n".join(advice.steps(found, frozenset(declared()), "web"))
    assert set(re.findall(r"docker_\w+", everything)) <= set(declared())
    remarks = (Cause.NOT_PUBLISHED, Cause.RESTARTED_EARLIER, Cause.IMAGE_CHANGED, Cause.EMULATED, Cause.LOG_UNREADABLE)
    assert bool(alone) is (cause not in remarks)


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.name)
def test_a_sentence_begins_no_other(cause: Cause) -> None:
    others = [other for other in Cause if other is not cause]
    assert not any(str(Finding(other, Weight.CERTAIN)).startswith(f"{cause.value}:") for other in others)


def test_doubt_is_said() -> None:
    assert str(Finding(Cause.MISSING_FILE, Weight.LIKELY)) == "Likely: a file that it needs is not there."
    assert (
        str(Finding(Cause.HOST_NAME, Weight.POSSIBLE, "x")) == "Possibly: host.docker.internal is not known in it: x."
    )


@pytest.mark.parametrize(("target", "told"), [("/var/run/docker.sock", False), ("/data", True)])
def test_a_socket_of_the_engine_that_is_mounted_is_not_said_to_lack(target: str, told: bool) -> None:
    line = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    mounts = [{"Type": "bind", "Destination": target, "RW": True}]
    case = {"state": {"Status": "exited", "ExitCode": 1}, "mounts": mounts, "log": [line]}
    assert ("is not mounted into it" in str(diagnose(facts_of(case))[0])) is told


def test_what_was_said_before_a_server_came_up_needs_no_steps() -> None:
    log = ["sh: locale: not found", "database system is ready to accept connections"]
    findings = diagnose(facts_of({"state": {"Status": "running", "Running": True}, "log": log}))
    assert [finding.cause for finding in findings] == [Cause.WELL, Cause.SHELL_COMMAND_MISSING]
    assert advice.steps(findings, frozenset(), "web") == advice.steps(findings[:1], frozenset(), "web")


def test_no_more_than_a_few_things_are_shown() -> None:
    log = ["read-only file system", "no space left on device", "too many open files", "x509: bad", "eaddrinuse"]
    case = {"state": {"Status": "exited", "ExitCode": 1}, "log": [*log, "usage: x", "is a directory", "syntax error"]}
    assert len(diagnose(facts_of(case))) == 6


def test_a_container_of_which_nothing_is_told_is_not_guessed_at() -> None:
    facts = Facts(found={"Id": "a" * 64}, now=NOW)
    assert [finding.cause for finding in diagnose(facts)] == [Cause.NOT_STARTED]
    assert facts.name == "a" * 12


def test_lines_of_earlier_runs_do_not_count_for_this_one() -> None:
    case = {"state": {"Status": "exited", "ExitCode": 1, "StartedAt": "2026-01-31T11:50:00Z"}}
    old = LogLine(stream="stdout", text="no space left on device", time="2026-01-31T11:40:00.000000000Z")
    new = LogLine(stream="stdout", text="is a directory", time="2026-01-31T11:50:00.100000000Z")
    facts = Facts(found=facts_of(case).found, now=NOW, lines=[old, new])
    assert diagnose(facts)[0].cause is Cause.IS_A_DIRECTORY
    only_old = Facts(found=facts_of(case).found, now=NOW, lines=[old])
    assert diagnose(only_old)[0].cause is Cause.DISK_FULL


@pytest.mark.parametrize("text", ["", "0001-01-01T00:00:00Z", "yesterday", None])
def test_times_that_are_none_mean_never(text: str | None) -> None:
    assert moment(text) is None


def test_numbers_are_those_that_ports_and_exit_codes_can_be() -> None:
    bindings = {"80/tcp": [{"HostPort": "8080"}, {"HostPort": "9" * 5_000}, {}], f"{'9' * 5_000}/tcp": None}
    facts = Facts(found={"Id": "a" * 64, "HostConfig": {"PortBindings": bindings}}, now=NOW)
    assert facts.published == {80: [8080]}


def test_times_are_read_with_any_number_of_digits_and_any_zone() -> None:
    assert moment("2026-01-31T13:00:00.123456789+01:00") == NOW.replace(microsecond=123456)
    assert moment("2026-01-31T12:00:00Z") == NOW


def test_long_lines_of_a_stranger_cost_little() -> None:
    words = (
        "cannot find failed to connect could not resolve bind ssl create lock max file descriptors [1] directory a.b "
    )
    hostile = [
        "missing environment variable required bind listen: " * 2_000,
        "(" * 100_000,
        "A_B " * 30_000,
        words * 900,
    ]
    case = {"state": {"Status": "exited", "ExitCode": 1}, "log": hostile * 50}
    began = time.thread_time()
    diagnose(facts_of(case))
    assert time.thread_time() - began < 5
