"""Annotated types that tools share. Types only."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def _object_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name or id (letters, digits, '_', '.', '-')")
    return value


ContainerId = Annotated[
    str,
    BeforeValidator(lambda v: v.removeprefix("/") if isinstance(v, str) else v),
    AfterValidator(_object_name),
    Field(description="Container name or id"),
]
NetworkId = Annotated[str, AfterValidator(_object_name), Field(description="Network name or id")]
VolumeName = Annotated[str, AfterValidator(_object_name), Field(description="Volume name")]


def _filters(value: Any) -> Any:
    """Docker's filters: {"status": "exited"}, {"label": ["a=b", "c"]}, or the map form {"label": {"a=b": true}}."""
    if not isinstance(value, dict):
        return value
    return {
        str(name): [
            _filter_text(item)
            for item in (
                wanted if isinstance(wanted, list) else list(wanted) if isinstance(wanted, dict) else [wanted]
            )
        ]
        for name, wanted in value.items()
    }


def _filter_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Filters = Annotated[
    dict[str, list[str]],
    BeforeValidator(_filters),
    WithJsonSchema({"type": "object"}),
]


def seconds_of(text: str) -> float | None:
    """The seconds of a duration like "15m" or "1h30m"; None if it is none."""
    match = _DURATION.fullmatch(text)
    if not text or match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return days * 86_400 + hours * 3_600 + minutes * 60 + seconds


def moment(value: Any) -> str:
    """A point in time as the engine wants it: unix seconds with nanoseconds.

    Accepts RFC 3339, unix seconds, and durations ("15m", "2h30m") that count back from now.

    Raises:
        ValueError: naming the forms that are accepted.
    """
    if isinstance(value, bool):
        raise ValueError(_FORMS.format(value))
    text = str(value).strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return text
    duration = seconds_of(text.removeprefix("-").removesuffix(" ago"))
    if duration is not None:
        try:
            return _unix(datetime.now(UTC) - timedelta(seconds=duration))
        except OverflowError:
            return "0"
    if (match := re.fullmatch(r"(.*:\d\d)\.(\d{1,9})(.*)", text)) is not None:
        text, fraction = match[1] + match[3], match[2].ljust(9, "0")
    else:
        fraction = "000000000"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_FORMS.format(value)) from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return f"{int(parsed.timestamp())}.{fraction}"


_FORMS = "{0!r} is not a time: write RFC 3339 (2026-01-31T12:00:00Z), unix seconds, or a duration back from now (15m, 2h30m)"


def _unix(point: datetime) -> str:
    return f"{point.timestamp():.9f}"


Moment = Annotated[
    str,
    BeforeValidator(moment),
    WithJsonSchema({"type": "string"}),
]


def _strings_or_json(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            decoded = json.loads(value)
        except ValueError:
            return value
        if isinstance(decoded, list) and all(isinstance(item, str) for item in decoded):
            return decoded
    return value
