"""The log: standard error only, since standard output belongs to the protocol."""

import json
import logging
import sys

from loguru import logger

from mcp_docker import redact
from mcp_docker.settings import Settings


class _Forward(logging.Handler):
    """What libraries log through the standard module goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(depth=6, exception=record.exc_info).log(record.levelname, "{}", record.getMessage())


def set_up(settings: Settings) -> None:
    """Log at the chosen level, as text or as JSON lines."""
    level = "DEBUG" if settings.mcp_debug_mode else settings.mcp_log_level

    def write(message: str) -> None:
        # what is told of errors repeats what strangers wrote; the quotes that end a secret are not those of JSON
        if settings.mcp_json_logging:
            text = redact.clean(json.loads(message), hide=settings.safety_redact_secrets)[1] + "\n"
        else:
            text = redact.told(message, hide=settings.safety_redact_secrets)
        sys.stderr.write(text)

    logger.remove()
    logger.add(
        write,
        level=level,
        serialize=settings.mcp_json_logging,
        format="{time:HH:mm:ss} {level:<7} {message}",
        backtrace=False,
        diagnose=False,
    )
    logging.basicConfig(
        handlers=[_Forward()],
        level=logging.DEBUG if level in ("TRACE", "DEBUG") else logging.WARNING,
        force=True,
    )
