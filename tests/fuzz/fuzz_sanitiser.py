"""What an answer may carry: nothing that paints, turns or hides text, a fence that holds, and no more than fits."""

import json
import re
import unicodedata
from typing import Any

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import redact

MODULES = ("mcp_docker.redact",)
# Unicode, DerivedCoreProperties: Default_Ignorable_Code_Point; then what ends lines, marks annotations, and a notehead
UNSEEN = frozenset(
    code
    for first, last in (
        *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
        *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
        *((0x2028, 0x2029), (0xFFF9, 0xFFFB), (0x1D159, 0x1D159)),
    )
    for code in range(first, last + 1)
)


def is_seen(character: str) -> bool:
    """Whether it is text, or a newline or tab; half of a surrogate pair is nothing."""
    control = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
    return not control and ord(character) not in UNSEEN


def strings(data: Any) -> list[str]:
    match data:
        case str():
            return [data]
        case list():
            return [text for item in data for text in strings(item)]
        case dict():
            return [text for name, item in data.items() for text in (name, *strings(item))]
    return []


def check_text(text: str) -> None:
    """Only what is seen is left, nothing that is ordinary is lost, and a second time changes nothing."""
    clean = redact.clean_text(text)
    assert all(map(is_seen, clean))
    assert redact.clean_text(clean) == clean
    if "\x1b" not in text and "\r\n" not in text:
        assert clean == "".join(filter(is_seen, text))
    else:
        kept = iter(filter(is_seen, text))
        assert all(character in kept for character in clean)
    fenced = redact.fence(text)
    match = re.fullmatch(r"<(untrusted-[0-9a-f]{16})>\n(.*)\n</\1>", fenced, re.DOTALL)
    assert match is not None
    assert match[2] == text
    assert match[1] not in text


def check_data(data: Any, limit: int) -> None:
    """An answer keeps its form, can be written, and fits."""
    cleaned, text = redact.clean(data, hide=False)
    assert json.loads(text) == cleaned
    assert all(is_seen(character) for each in strings(cleaned) for character in each)
    assert redact.clean(cleaned, hide=False) == (cleaned, text)
    text.encode()
    if not isinstance(cleaned, dict):
        return
    answer = {"list": [cleaned], "raw": cleaned, "text": text, "labels": dict.fromkeys(strings(cleaned), text)}
    before = redact.compact(answer)
    bound, said = redact.bound(answer, limit, frozenset({"list"}))
    assert redact.compact(answer) == before
    assert list(bound) == list(answer)
    assert bool(said) is (bound != answer)
    assert isinstance(bound["list"], list)
    assert isinstance(bound["raw"], dict)
    assert isinstance(bound["labels"], dict)
    assert text.startswith(bound["text"])
    if len(redact.compact(bound).encode()) > limit:
        assert not bound["labels"], bound
        assert len(bound["text"]) <= 1, bound
        assert not bound["raw"], bound


def one(data: bytes) -> None:
    text = text_in(data)
    check_text(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = {"lines": text.split("\n"), text: [text]}
    check_data(value, 120 + len(data) % 1_000)


if __name__ == "__main__":
    fuzz(one)
