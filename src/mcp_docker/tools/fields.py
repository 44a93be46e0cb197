"""Annotated types that tools share. Types only."""

import json
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_MOST_CHARACTERS = 32_768
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


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
            for item in (wanted if isinstance(wanted, list) else list(wanted) if isinstance(wanted, dict) else [wanted])
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


def _prune_filters(value: dict[str, list[str]], *known: str) -> dict[str, list[str]]:
    if unknown := [name for name in value if name not in known]:
        raise ValueError(f"{', '.join(map(repr, unknown))} can't narrow a prune: use {', '.join(known)}")
    # an empty list would prune everything
    if empty := [name for name, wanted in value.items() if not wanted or "" in wanted]:
        raise ValueError(f"{', '.join(map(repr, empty))} has no value")
    # of several, engines spare only what carries all of them, where people mean any
    if len(value.get("label!", [])) > 1:
        raise ValueError("only one label! at a time")
    if len(value.get("until", [])) > 1:
        raise ValueError("only one until")
    return value | {"until": [moment(value["until"][0])]} if value.get("until") else value


PruneFilters = Annotated[Filters, AfterValidator(lambda value: _prune_filters(value, "label", "label!", "until"))]
VolumePruneFilters = Annotated[Filters, AfterValidator(lambda value: _prune_filters(value, "label", "label!"))]


def seconds_of(text: str) -> float | None:
    """The seconds of a duration like "15m" or "1h30m"; None if it is none."""
    match = _DURATION.fullmatch(text)
    if not text or match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return days * 86_400 + hours * 3_600 + minutes * 60 + seconds


def moment(value: Any, *, now: float | None = None) -> str:
    """A point in time as the engine wants it: unix seconds with nanoseconds, none before 1970.

    Accepts RFC 3339, unix seconds, and durations ("15m", "2h30m") that count back from now.

    Args:
        now: unix seconds by another clock than ours.

    Raises:
        ValueError: naming the forms that are accepted.
    """
    if isinstance(value, bool):
        raise ValueError(_FORMS.format(value))
    text = str(value).strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
        return text
    duration = seconds_of(text.removeprefix("-").removesuffix(" ago"))
    if duration is not None:
        now = datetime.now(UTC).timestamp() if now is None else now
        return f"{max(0.0, now - duration):.9f}"
    if (match := re.fullmatch(r"(.*:\d\d)\.(\d{1,9})(.*)", text, re.ASCII)) is not None:
        text, fraction = match[1] + match[3], match[2].ljust(9, "0")
    else:
        fraction = "000000000"
    try:
        parsed = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(_FORMS.format(value)) from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    seconds = int(parsed.timestamp())
    return f"{seconds}.{fraction}" if seconds >= 0 else "0"


_FORMS = (
    "{0!r} is not a time: write RFC 3339 (2026-01-31T12:00:00Z), unix seconds, or a duration back from now (15m, 2h30m)"
)


Moment = Annotated[
    str,
    BeforeValidator(moment),
    WithJsonSchema({"type": "string"}),
]


def _a_moment(value: Any) -> str:
    moment(value)
    return str(value)


WrittenMoment = Annotated[
    str,
    BeforeValidator(_a_moment),
    WithJsonSchema({"type": "string"}),
]
"""A moment as it was written: what counts back does so from a clock that is read later."""


def _words(value: Any) -> Any:
    """A command as a list; a string is split as a shell would, without running one, or parsed if it is a JSON list."""
    if isinstance(value, str):
        value = _strings_or_json(value)
    if isinstance(value, str):
        # the time that shlex takes grows with the square of a word's length
        if len(value) > _MOST_CHARACTERS:
            raise ValueError(f"more than {_MOST_CHARACTERS} characters: write a list of strings")
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{str(error).lower()} in {value!r}: close it, or write a list of strings") from None
    if not isinstance(value, list):
        raise ValueError('write a list of strings, as ["sh","-c","echo hello"], or one string')
    words = [text_of(word) for word in value]
    if len(words) > 1_000 or any(len(word) > 131_000 or "\0" in word for word in words):
        raise ValueError("at most 1000 words of at most 131000 characters, without NUL")
    return words


def _strings_or_json(value: str) -> Any:
    if value.lstrip().startswith("["):
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if isinstance(decoded, list) and all(isinstance(item, str | int | float) for item in decoded):
            return decoded
    return value


def text_of(value: Any) -> str:
    """Numbers and booleans as the text people mean by them.

    Raises:
        ValueError: it is neither these nor text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(f"{value!r} is not text")


Command = Annotated[
    list[str],
    BeforeValidator(_words),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
"""Describe it: a list, or a string that is split into words."""


_ANOTHER_PAIR = re.compile(r"[\s,;][\w.]++=")


def _pairs(value: Any, example: str, bare: str | None) -> dict[str, str]:
    """{"A": "b"}, ["A=b"] or "A=b" as a mapping. `bare` is the value of a name that stands alone, None to refuse it."""
    if isinstance(value, str):
        if _ANOTHER_PAIR.search(value, value.find("=") + 1):
            raise ValueError(f"{value[:200]!r} could be read as one or as several: write {example}")
        value = [value]
    if isinstance(value, list):
        parted = [text_of(item).partition("=") for item in value]
        value = {name: text if equals else bare for name, equals, text in parted}
    if not isinstance(value, dict):
        raise ValueError(f"write {example}")
    pairs = {}
    for name, item in value.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} is not a name: write {example}")
        if item is None and bare is None:
            raise ValueError(f'{name!r} has no value, and there is none to take over: write "{name}=" for an empty one')
        pairs[name] = text_of(bare if item is None else item)
    if len(pairs) > 1_000 or any(len(name) + len(text) > 131_000 or "\0" in text for name, text in pairs.items()):
        raise ValueError("at most 1000 of them, each of at most 131000 characters, without NUL")
    return pairs


Environment = Annotated[
    dict[str, str],
    BeforeValidator(lambda value: _pairs(value, '{"NAME":"value"}', None)),
    WithJsonSchema({"type": "object"}),
]
Labels = Annotated[
    dict[str, str],
    BeforeValidator(lambda value: _pairs(value, '{"name":"value"}', "")),
    WithJsonSchema({"type": "object"}),
]


Options = Annotated[
    dict[str, str],
    BeforeValidator(lambda value: _pairs(value, '{"name":"value"}', None)),
    WithJsonSchema({"type": "object"}),
]


_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:]{2,45}\])(?::[0-9]{1,5})?"
)
_PATH_PART = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}|sha256:[0-9a-f]{4,63}")


@dataclass(frozen=True)
class Reference:
    """An image's name: [host[:port]/]path[:tag][@digest]."""

    name: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def reference(text: str) -> Reference:
    """Take an image's name apart.

    Raises:
        ValueError: naming the part that is malformed, and how to write it.
    """
    shown = repr(text[:300])
    if "://" in text:
        raise ValueError(f"{shown}: write the registry without {text.partition('://')[0][:20]}://")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{shown}: a digest is sha256: and 64 hexadecimal digits")
    name, colon, tag = rest, "", ""
    if ":" in rest.rpartition("/")[2]:
        name, colon, tag = rest.rpartition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(f"{shown}: {_TAG_FORM}")
    if _IMAGE_ID.fullmatch(name) or _IMAGE_ID.fullmatch(text):
        raise ValueError(f"{shown} is an image id, and a name is needed")
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost" or host != host.lower()):
        host, path = "", name
    if path != path.lower():
        raise ValueError(f"{shown}: repository names are lower case: {path.lower()[:300]!r}")
    if len(name) > 255 or (host and not _HOST.fullmatch(host)) or not all(map(_PATH_PART.fullmatch, path.split("/"))):
        raise ValueError(f"{shown} is no image name: write [host[:port]/]path[:tag][@sha256:digest]")
    return Reference(name, tag or None, digest or None)


_TAG_FORM = "a tag is at most 128 letters, digits, '_', '.' and '-', and begins with neither '.' nor '-'"


def _image_name(value: str) -> str:
    return str(reference(value))


def _image(value: str) -> str:
    return value if _IMAGE_ID.fullmatch(value) else _image_name(value)


def _tag(value: str) -> str:
    if not _TAG.fullmatch(value):
        raise ValueError(f"{value[:300]!r}: {_TAG_FORM}")
    return value


def _platform(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,32}(/[a-z0-9_]{1,32}){0,2}", value):
        raise ValueError(f"{value[:100]!r} is no platform: write os/architecture, e.g. linux/arm64")
    return value


ImageRef = Annotated[str, AfterValidator(_image), Field(description="Image name or id")]
ImageName = Annotated[str, AfterValidator(_image_name)]
Tag = Annotated[str, AfterValidator(_tag)]
Platform = Annotated[str, AfterValidator(_platform)]

DryRun = Annotated[bool, Field(description="Only say what would be lost")]
