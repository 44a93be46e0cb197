"""Is a command this server? `python release/handshake.py VERSION SCHEMAS COMMAND …` does what a client does first.

Over stdio, without an engine. Exit status 0 when it answers as VERSION with the tools of SCHEMAS, within 60 seconds.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SECONDS = 60
# everything on, so that each tool that the package declares is listed
ENVIRONMENT = {"SAFETY_ALLOW_DESTRUCTIVE_OPERATIONS": "true", "SECURITY_AUDIT_LOG_ENABLED": "false"}


def ask(command: list[str]) -> tuple[dict[str, Any], float]:
    """Answers by id, after initialize (1), tools/list (2) and prompts/list (3), and the seconds until the first.

    Raises:
        SystemExit: it ended, or was ended since it took too long.
        ValueError: it wrote something that is no message.
    """
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "release", "version": "1"},
    }
    asked: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list", "params": {}},
        {"id": 3, "method": "prompts/list", "params": {}},
    ]
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT
    ) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        end = threading.Timer(SECONDS, process.kill)
        end.start()
        for message in asked:
            process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        process.stdin.flush()
        answers: dict[str, Any] = {}
        first = 0.0
        try:
            while len(answers) < 3:
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"{' '.join(command)}: no answer")
                first = first or time.perf_counter() - began
                message = json.loads(line)
                if "id" in message and "result" in message:
                    answers[str(message["id"])] = message["result"]
            process.stdin.close()
            process.wait()
        finally:
            end.cancel()
            process.kill()
    return answers, first


def main(arguments: list[str]) -> int:
    """Ask, and compare."""
    version, schemas, command = arguments[0], Path(arguments[1]), arguments[2:]
    answers, first = ask(command)
    said = answers["1"]["serverInfo"]["version"]
    listed = {tool["name"] for tool in answers["2"]["tools"]}
    promised = set(json.loads(schemas.read_text(encoding="utf-8")))
    problems = [
        *([f"it says it is {said}, not {version}"] if said != version else []),
        *([f"tools that are missing or too many: {sorted(listed ^ promised)}"] if listed != promised else []),
        *([] if answers["3"]["prompts"] else ["it has no prompts"]),
    ]
    for problem in problems:
        print(f"{' '.join(command)}: {problem}", file=sys.stderr)
    print(f"{len(listed)} tools, {len(answers['3']['prompts'])} prompts, first answer after {first:.2f} s")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
