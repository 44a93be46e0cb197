"""The command line: flags and subcommands -> settings -> a transport."""

import argparse
import gc
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_docker import __version__
from mcp_docker.errors import SettingsError

if TYPE_CHECKING:
    from mcp_docker.audit import Audit
    from mcp_docker.confirm import Question, Reply
    from mcp_docker.engine import Engine
    from mcp_docker.pipeline import Pipeline
    from mcp_docker.registry import Registry
    from mcp_docker.settings import Settings
    from mcp_docker.tool import Kind

EX_CONFIG = 78

_reading = threading.Event()
"""Set while a thread waits for a line of standard input."""


def main() -> None:
    """Entry point of the `mcp-docker` command. Exit status 78 for settings that can't be honoured."""
    # what is imported now stays: looking for garbage meanwhile is a tenth of the start-up
    gc.disable()
    arguments = _parser().parse_args()
    if arguments.command and isinstance(sys.stdout, io.TextIOWrapper):
        # what is printed holds strangers' text, and not every terminal or file takes all characters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except SettingsError as error:
        for problem in error.problems:
            print(f"mcp-docker: {problem}", file=sys.stderr)  # noqa: T201
        status = EX_CONFIG
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # whoever read has enough (| head); the interpreter would complain about the pipe once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    if _reading.is_set():
        # nobody has answered, and the interpreter would wait for the thread that still does
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    from mcp_docker.audit.show import add_parser

    parser = argparse.ArgumentParser(
        prog="mcp-docker", description="MCP server for the Docker Engine. Without a subcommand it serves."
    )
    parser.add_argument("--version", action="version", version=f"mcp-docker {__version__}")
    parser.add_argument(
        "--transport", choices=["stdio", "http"], default="stdio", help="how clients reach it (default: stdio)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="http: address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="http: port to listen on (default: 8000)")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="http: certificate chain, to speak TLS")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="http: its key")
    parser.add_argument("--metrics-port", type=int, metavar="PORT", help="http: serve /metrics on a port of its own")
    parser.add_argument(
        "--insecure-no-auth",
        action="store_true",
        help="http: serve on an address that others reach without asking for tokens",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="only tools that read (SAFE), whatever the settings say"
    )
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="read settings from this file too")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("doctor", help="which engine is found, and what to do if none is")
    commands.add_parser("tools", help="which tools, prompts and resources are enabled, and why the others are not")
    call = commands.add_parser("call", help="run one tool as a client would")
    call.add_argument("tool", metavar="TOOL")
    call.add_argument(
        "arguments", metavar="JSON", nargs="?", default="{}", help="arguments as a JSON object (default: {})"
    )
    prompt = commands.add_parser("prompt", help="print what a prompt gives an assistant")
    prompt.add_argument("prompt", metavar="PROMPT")
    prompt.add_argument(
        "arguments", metavar="JSON", nargs="?", default="{}", help="arguments as a JSON object (default: {})"
    )
    add_parser(commands)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command is None:
        # until it serves there is nothing to end well; without a handler, a container's first process ignores it
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from loguru import logger

    from mcp_docker import logs
    from mcp_docker.audit import open_audit
    from mcp_docker.engine import Engine
    from mcp_docker.pipeline import Pipeline
    from mcp_docker.registry import Registry
    from mcp_docker.settings import load
    from mcp_docker.tool import Kind

    flags: dict[str, Any] = {"safety_allow_moderate_operations": False} if arguments.read_only else {}
    settings = load(arguments.env_file, **flags)
    logs.set_up(settings)
    if arguments.command == "audit":
        from mcp_docker.audit.show import show

        return show(arguments, settings)
    registry, engine, audit = Registry(settings), Engine(settings), open_audit(settings)
    if settings.safety_yolo_mode:
        logger.critical(
            "SAFETY_YOLO_MODE is on: arguments are not judged, and nobody is asked before something is lost"
        )
    if arguments.command is None and arguments.transport == "http":
        return _serve_http(settings, registry, engine, audit, arguments)
    pipeline = Pipeline(settings, registry, engine, audit)
    match arguments.command:
        case "doctor":
            from mcp_docker.doctor import doctor

            return doctor(pipeline)
        case "tools":
            from mcp_docker.doctor import show_tools

            return show_tools(pipeline)
        case "call":
            return _call(pipeline, Kind.TOOL, arguments.tool, arguments.arguments)
        case "prompt":
            return _call(pipeline, Kind.PROMPT, arguments.prompt, arguments.arguments)
    _serve(pipeline)
    return 0


def _serve(pipeline: "Pipeline") -> None:
    import anyio
    from loguru import logger

    from mcp_docker.server.stdio import serve_stdio

    gc.freeze()
    gc.enable()
    status = 0
    try:
        anyio.run(serve_stdio, pipeline)
    except* BrokenPipeError:
        pass  # the client has closed its end: it is gone
    except* Exception as crash:  # noqa: BLE001 - the end of the line
        logger.opt(exception=crash).critical("mcp-docker crashed")
        status = 1
    sys.stderr.flush()
    # a thread may still be blocked in a read of standard input, and the interpreter would wait for it
    os._exit(status)


def _serve_http(
    settings: "Settings", registry: "Registry", engine: "Engine", audit: "Audit | None", arguments: argparse.Namespace
) -> int:
    import anyio

    from mcp_docker.http.app import Listening
    from mcp_docker.http.serve import serve

    listening = Listening(
        arguments.host,
        arguments.port,
        arguments.tls_cert,
        arguments.tls_key,
        arguments.insecure_no_auth,
        arguments.metrics_port,
    )
    gc.freeze()
    gc.enable()
    anyio.run(serve, settings, registry, engine, audit, listening)
    sys.stderr.flush()
    # threads of calls that were cut may still be on their way back
    os._exit(0)


def _call(pipeline: "Pipeline", kind: "Kind", name: str, text: str) -> int:
    import json

    import anyio

    from mcp_docker.caller import Caller, user
    from mcp_docker.pipeline import Call

    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SystemExit(f"mcp-docker: the arguments can't be read as JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise SystemExit('mcp-docker: the arguments must be a JSON object, as {"all": true}')

    async def progress(_done: float, _total: float | None, message: str) -> None:
        print(message, file=sys.stderr)  # noqa: T201

    asked = Call(name, arguments, Caller(user(), "cli"), progress, _ask if sys.stdin.isatty() else None, kind=kind)
    result = anyio.run(pipeline.call, asked)
    print(result.text)  # noqa: T201
    return int(result.is_error)


async def _ask(question: "Question") -> "Reply":
    """Ask on the terminal. Anything but yes is a no."""
    import anyio
    from anyio.to_thread import run_sync

    from mcp_docker.confirm import ANSWER_SECONDS, Reply, unanswered

    print(question.message, "Type yes to go on: ", sep="\n", end="", file=sys.stderr, flush=True)  # noqa: T201
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            answer = await run_sync(_line_of_input, abandon_on_cancel=True)
    except TimeoutError:
        raise unanswered() from None
    return Reply("accept" if answer.strip().lower() == "yes" else "decline")


def _line_of_input() -> str:
    _reading.set()
    try:
        return sys.stdin.readline()
    finally:
        _reading.clear()
