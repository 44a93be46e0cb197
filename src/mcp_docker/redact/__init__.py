"""What an answer may carry: no control characters, a fence around strangers' text, and no more than so many bytes."""

import json
import re
from collections.abc import Iterator
from secrets import token_hex
from typing import Any

from mcp_docker.redact.secrets import hide as hide_values
from mcp_docker.redact.secrets import hide_text

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-Z\\-_])")
# tag characters and variation selectors spell out text that only a model sees; a lone surrogate can't be sent;
# all of Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt) is among these
_UNSEEN = (
    "\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSEEN}]")
_SUSPECT = re.compile(rf"\\u00[01]|\\[bfr]|[{_UNSEEN}]")


Path = tuple[str | int, ...]
"""The way to a value in an answer: keys and indexes."""

FREE = frozenset("raw labels options attributes failed skipped".split())
"""Fields of answers that are mappings with any keys; other mappings are models of ours."""


def clean_text(text: str) -> str:
    """Take out escape sequences and control, bidi and other unseen characters; newline and tab stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def told(text: str, *, hide: bool) -> str:
    """What may be told of a text: clean, and with `hide` without what looks like a secret."""
    text = clean_text(text)
    return hide_text(text) if hide else text


def clean(data: Any, *, hide: bool) -> tuple[Any, str]:
    """`told` on every string of a JSON value; the value and its compact JSON. Keys are cleaned, and never hidden."""
    text = compact(data)
    # One pass of the regular expression over the text is far cheaper than walking the value, and most are clean.
    if _SUSPECT.search(text):
        data = _cleaned(data)
        text = compact(data)
    if hide and (hidden := hide_values(data, text)) is not data:
        data, text = hidden, compact(hidden)
    return data, text


def _cleaned(data: Any) -> Any:
    match data:
        case str():
            return clean_text(data)
        case list():
            return [_cleaned(item) for item in data]
        case dict():
            return {clean_text(key): _cleaned(value) for key, value in data.items()}
    return data


def compact(data: Any) -> str:
    """Compact JSON."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def fence(text: str) -> str:
    """Strangers' text between two marks that it can't contain, since they are drawn by lot."""
    mark = f"untrusted-{token_hex(8)}"
    return f"<{mark}>\n{text}\n</{mark}>"


def bound(data: dict[str, Any], limit: int, keep_end: frozenset[str] = frozenset()) -> tuple[dict[str, Any], list[str]]:
    """Shorten the heaviest lists, texts and free-form mappings until the compact JSON fits.

    Types stay as they are, so that the answer stays valid against its schema.

    Args:
        data: the answer; it is not changed.
        limit: bytes of compact JSON.
        keep_end: names of top-level lists of which the end is worth more than the beginning.

    Returns:
        The answer, and what was cut in words.
    """
    said: dict[Path, str] = {}
    while (size := len(compact(data).encode())) > limit:
        path = _heaviest(data) or max(_shortenable(data), key=lambda each: len(compact(_at(data, each))), default=())
        if not path:
            break
        value = _at(data, path)
        weight = len(compact(value).encode())
        share = max(0.0, 1 - (size - limit) * 1.05 / weight)
        keep = min(int(len(value) * share), len(value) - 1)
        data = _replaced(data, path, _shortened(value, keep, from_end=path[-1] in keep_end))
        name = ".".join(str(part) for part in path)
        said.setdefault(path, f"{len(value)} {'characters' if isinstance(value, str) else 'items'} of {name}")
    left = {path: _length(data, path) for path in said}
    return data, [f"{left[path]} of {words}" for path, words in said.items() if left[path] is not None]


def _shortened(value: Any, keep: int, *, from_end: bool) -> Any:
    if isinstance(value, dict):
        return dict(list(value.items())[:keep])
    return value[len(value) - keep :] if from_end else value[:keep]


def _heaviest(data: Any) -> Path:
    """The way to the value to shorten: down the heaviest branch while that holds most of the weight.

    The fields of our own models must stay; what is a mapping may be one of them, so only lists, texts, and mappings in
    FREE are shortened.
    """
    path: Path = ()
    best: Path = ()
    value = data
    while isinstance(value, dict | list) and value:
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        weights = [(len(compact(item)), key) for key, item in items]
        weight, key = max(weights, key=lambda pair: pair[0])
        if best and weight < sum(each for each, _ in weights) / 2:
            break
        path, value = (*path, key), value[key]
        if _is_shortenable(value, path):
            best = path
    return best


def _is_shortenable(value: Any, path: Path) -> bool:
    if isinstance(value, dict):
        return bool(value and FREE & {*path})
    return isinstance(value, list | str) and len(value) > 1


def _shortenable(value: Any, path: Path = ()) -> Iterator[Path]:
    """The ways to everything that can be shortened."""
    if path and _is_shortenable(value, path):
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _shortenable(item, (*path, key))


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


def _length(data: Any, path: Path) -> int | None:
    """How long the value there is; None where it is gone with what it was in."""
    for key in path:
        if not (key in data if isinstance(data, dict) else isinstance(data, list) and int(key) < len(data)):
            return None
        data = data[key]
    return len(data) if isinstance(data, str | list | dict) else None


def _replaced(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = _replaced(data[path[0]], path[1:], value)
    return copy
