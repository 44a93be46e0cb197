"""A client that has an image built and waits: `python -m tests.faults.client LOG FOLDER`, to be killed."""

import os
import sys
from pathlib import Path

from tests.e2e.process import ServerProcess


def main() -> None:
    """Start a server, call it, say its process id, and wait."""
    server = ServerProcess(Path(sys.argv[1]), os.environ).open()
    request = server.begin("docker_build_image", path=sys.argv[2])
    sys.stdout.write(f"{server.process.pid}\n")
    sys.stdout.flush()
    server.answer(request, 600)


if __name__ == "__main__":
    main()
