"""`mcp-docker audit tail|query|verify`: the audit log for people."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_docker.audit.read import Line
    from mcp_docker.settings import Settings

SHOWN_FIELD = 64
SHOWN_ARGUMENTS = 160


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the `audit` sub-command with its own sub-commands."""
    audit = commands.add_parser("audit", help="read the audit log, or check that it is whole")
    kinds = audit.add_subparsers(dest="audit_command", metavar="COMMAND", required=True)
    tail = kinds.add_parser("tail", help="the newest lines")
    tail.add_argument("-n", dest="count", metavar="N", type=_count, default=20, help="so many (default: 20)")
    query = kinds.add_parser("query", help="the lines that match everything that is given")
    times = "RFC 3339, unix seconds, or a duration back from now (15m, 2h30m)"
    query.add_argument("--since", metavar="TIME", type=_moment, help=f"not before: {times}")
    query.add_argument("--until", metavar="TIME", type=_moment, help="not after")
    for name in ("tool", "caller", "outcome", "run"):
        query.add_argument(f"--{name}", metavar=name.upper(), help=f"with this {name}")
    verify = kinds.add_parser("verify", help="whether lines were changed, taken out or moved; 1 if so")
    for command in (tail, query):
        command.add_argument("--json", action="store_true", help="the lines as they are in the file")
    for command in (tail, query, verify):
        command.add_argument("--file", type=Path, metavar="FILE", help="read this one instead of the settings'")


def show(arguments: argparse.Namespace, settings: "Settings") -> int:
    """Print what was asked for. Exit status: 1 if the log can't be read, or `verify` found something; else 0.

    Raises:
        SettingsError: no file was named, and the settings' can't be used.
    """
    from mcp_docker.audit import audit_path

    path = arguments.file or audit_path(settings)
    try:
        match arguments.audit_command:
            case "verify":
                return _verify(path)
            case "tail":
                from mcp_docker.audit.read import last

                found: Iterator[Line] = iter(last(path, arguments.count))
            case _:
                found = _matching(path, arguments)
        unreadable = 0
        for line in found:
            if arguments.json and line.record is None:
                unreadable += 1
            else:
                _say(_verbatim(line) if arguments.json else _readable(line))
    except BrokenPipeError:
        raise
    except OSError as error:
        _complain(f"{error.strerror}: {error.filename}" if error.strerror else str(error))
        return 1
    if unreadable:
        _complain(f'{unreadable} lines can\'t be read and are left out; "mcp-docker audit verify" names them')
    return 0


def _matching(path: Path, arguments: argparse.Namespace) -> "Iterator[Line]":
    from mcp_docker.audit.read import lines

    wanted = {name: getattr(arguments, name) for name in ("tool", "caller", "outcome", "run")}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    for line in lines(path):
        record = line.record
        # what can't be read may be what is looked for
        if record is None or (
            all(record.get(name) == value for name, value in wanted.items())
            and _is_between(record.get("time"), arguments.since, arguments.until)
        ):
            yield line


def _is_between(time: Any, since: float | None, until: float | None) -> bool:
    if since is None and until is None:
        return True
    try:
        seconds = _moment(str(time))
    except argparse.ArgumentTypeError:
        return True
    return (since is None or since <= seconds) and (until is None or seconds <= until)


def _verify(path: Path) -> int:
    from mcp_docker.audit.verify import verify

    report = verify(path)
    for title, places in (
        ("", report.findings),
        ("interrupted: ", report.interrupted),
        ("unfinished: ", report.unfinished),
    ):
        for text in places.listed:
            _say(_clean(f"{title}{text}"))
        if more := places.count - len(places.listed):
            _say(f"{title}and {more} more")
    _say(
        f"{report.lines} lines of {report.runs} runs: {report.findings.count} findings, "
        f"{report.interrupted.count} interrupted, {report.unfinished.count} unfinished"
    )
    return 0 if report.is_whole else 1


def _readable(line: "Line") -> str:
    record = line.record
    if record is None:
        return _clean(f"{line.place}: {'cut off' if line.is_torn else 'not a line of this log'}")
    outcome = record.get("outcome") or record.get("event") or record.get("decision") or ""
    parts = [
        f"{_field(record.get('time', '')):<24}",
        f"{_field(outcome):<9}",
        f"{_field(record.get('tier', '')):<11}",
        f"{_field(record.get('tool', '')):<26}",
        _field(record.get("caller", "")),
        _shortened(_compact(record["arguments"]), SHOWN_ARGUMENTS) if "arguments" in record else "",
        _field(record.get("code") or ""),
        _duration(record.get("seconds")),
    ]
    return "  ".join(part for part in parts if part).rstrip()


def _field(value: Any) -> str:
    return _shortened(value if isinstance(value, str) else _compact(value), SHOWN_FIELD)


def _duration(seconds: Any) -> str:
    return f"{seconds:.3f} s" if isinstance(seconds, int | float) and abs(seconds) < 1e9 else ""


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _shortened(text: str, length: int) -> str:
    text = _clean(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _clean(text: str) -> str:
    """One line that a terminal shows and does nothing else with."""
    from mcp_docker.redact import clean_text

    return " ".join(clean_text(text).split())


def _verbatim(line: "Line") -> str:
    text = line.raw.decode("utf-8", "replace")
    # ours are; in others an escape sequence could stand outside of JSON strings' own escapes
    return text if text.isascii() and text.isprintable() else json.dumps(line.record, separators=(",", ":"))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text[:9])


def _moment(text: str) -> float:
    from mcp_docker.tools.fields import moment

    try:
        return float(moment(text))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _say(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    # a lone surrogate, or a terminal that can't show a letter
    print(text.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201 - what a person asked to read


def _complain(text: str) -> None:
    print(f"mcp-docker: {_clean(text)}", file=sys.stderr)  # noqa: T201
