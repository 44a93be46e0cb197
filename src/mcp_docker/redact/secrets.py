"""Secret values become a fixed placeholder: by the name they go under, or by the shape that their issuer gave them.

Nothing is guessed from randomness, since ids, digests and checksums look as random as keys do. All patterns are linear
or bounded: quantifiers are possessive, and start where a run of characters starts.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from mcp_docker.redact.secret_arguments import hide_arguments, hide_flags
from mcp_docker.redact.secret_names import NOTHING, PLACEHOLDER, hidden, hide_entries, kind_of
from mcp_docker.redact.secret_shapes import hide_shapes, without_keys

__all__ = ["PLACEHOLDER", "hide", "hide_text"]

# Lower case. Without a stem there is no secret; each group begins with what all of its stems have in common.
_STEMS = {
    words[0]: words[1:] or words[:1]
    for words in map(
        str.split,
        (
            "ss pass sessi|pw|jwt|sid connect.sid connect_sid connect-sid connectsid|cr secret cred|ok token cookie|"
            "ey key eyj|auth|dsn|salt|sk psk sk_ sk-|rk_|ia akia asia|gh ghp_ gho_ ghu_ ghs_ ghr_|"
            "at_ github_pat_ dckr_pat_ dckr_oat_ shpat_|"
            "gl glpat- gldt- glrt- glcbt- glptt- glft- glimt- glagent- glsoat-|xox|xapp-|whsec|aiza|ya29.|gocspx|"
            "npm_|pypi-|hf_|sg.|_v1_|:aa|hv hvs. hvb. hvr.|dapi|bearer|basic|identified|sig sig= signature|"
            "connection|hooks"
        ).split("|"),
    )
}
_OLD_VAULT = re.compile(r"s\.(?<!\ws\.)[a-z0-9]{24}")
_FLAGS = re.compile(r"[\s\"'\x00]-(?:[apuw]|-user|-proxy-user|p)")
_PROGRAMS = "mysql mariadb curl wget http xh etcdctl -cli mongo ldap sqlcmd zip openssl login".split()
_LOWER = bytes(range(256)).lower()
_FEWER = [
    (words[0][0], words[1:])
    for words in (
        [(re.sub(r"\d", "", word).encode(), word) for word in (first, *stems)] for first, stems in _STEMS.items()
    )
]
_ITEM = re.compile(r"([\w.\-]+)=(.*)", re.DOTALL)
_TAKES_PAIR = frozenset(["-e", "--env", "--build-arg", "-l", "--label", "--set"])
_COMMANDS = (("entrypoint", "command"), ("Entrypoint", "Cmd"), ("Path", "Args"))
_REASONS = ("failed", "skipped")
_INSTRUCTION = re.compile(r"(\b(?:ENV|ARG|LABEL)[ \t]{1,20}([A-Za-z_][\w.-]{0,100})[ \t]{1,20})(?!\[REDACTED\])(\S.*)")
_ROUNDS = 5


Near = Callable[[str], bool]
"""Whether a text has what may be the sign of a secret."""


def hide_text(text: str) -> str:
    """Free text without its secret values; its lines stay lines."""
    lowered = text.lower()
    stems = [stem for first, stems in _STEMS.items() if first in lowered for stem in stems if stem in lowered]
    if "://" in lowered and "@" in lowered:
        stems.append("@")
    if "s." in lowered and _OLD_VAULT.search(lowered):
        stems.append("s.")
    flags = " -" in lowered and any(program in lowered for program in _PROGRAMS)
    if not stems and not flags:
        return text
    lines = text.split("\n")
    if "private key" in lowered and "-----" in text:
        lines = without_keys(lines)
    for number, low in enumerate(lowered.split("\n")):
        for stem in stems:
            if stem in low:
                lines[number] = _line(lines[number])
                break
        else:
            if flags and _FLAGS.search(low):
                lines[number] = _line(lines[number])
    return "\n".join(lines)


def _line(line: str) -> str:
    # what one rule hides may be what kept another from seeing its own
    for _ in range(_ROUNDS):
        before = line
        line = _INSTRUCTION.sub(_instructed, hide_flags(hide_entries(hide_shapes(line))))
        if line == before:
            break
    return line


def _instructed(match: re.Match[str]) -> str:
    """`ENV NAME value`, as a build's log shows it."""
    kind = kind_of(match[2])
    return match[1] + hidden(kind, match[3]) if kind else match[0]


def hide(data: Any, text: str) -> Any:
    """A JSON value with secret strings replaced; keys and types stay, and so does the value itself when it has none.

    Args:
        data: the value; it is not changed.
        text: its compact JSON.
    """
    if not (stems := _stems_in(text)):
        return data

    def near(text: str) -> bool:
        lowered = text.lower()
        for stem in stems:  # noqa: SIM110 - half the time of any()
            if stem in lowered:
                return True
        return False

    found = _without(data, near)
    if isinstance(data, dict):
        # our words on objects that stayed: a name says what the object is, and nothing of the reason
        found |= {
            key: {name: _without(reason, near) for name, reason in data[key].items()}
            for key in _REASONS
            if isinstance(data.get(key), dict)
        }
    return data if found == data else found


def _stems_in(text: str) -> list[str]:
    """What may be the sign of a secret in a value. Answers repeat themselves, so only distinct pieces are looked at."""
    pieces = ",".join(set(text.split(",")))
    fewer = pieces.encode(errors="replace").translate(_LOWER, b"0123456789")
    stems = [stem for first, words in _FEWER if first in fewer for short, stem in words if short in fewer]
    if b"@" in fewer and b"://" in fewer:
        stems.append("@")
    if b"s." in fewer and _OLD_VAULT.search(pieces.lower()):
        stems.append("s.")
    if b'"-' in fewer or b" -" in fewer:
        stems += [program for program in _PROGRAMS if program.encode() in fewer]
    return stems


def _without(data: Any, near: Near) -> Any:
    match data:
        case str():
            return hide_text(data) if near(data) else data
        case list() if data and all(isinstance(item, str) for item in data):
            return _strings(data) if any(near(item) for item in data) else data
        case list():
            return _rows([_without(item, near) for item in data])
        case dict():
            return _entries(data, near)
    return data


def _entries(data: dict[str, Any], near: Near) -> dict[str, Any]:
    # most are ordinary texts that have nothing to hide
    found = {
        key: value
        if isinstance(value, str) and not near(value) and not kind_of(key)
        else _entry(kind_of(key), value, near)
        for key, value in data.items()
    }
    for program, rest in _COMMANDS:
        if data.get(program) and _is_texts(data.get(rest)):
            found[rest] = _after(data[program], found[rest])
    for name, value in (("name", "value"), ("Name", "Value"), ("key", "value"), ("Key", "Value")):
        if isinstance(data.get(name), str) and isinstance(data.get(value), str):
            found[value] = _entry(kind_of(data[name]), data[value], near)
    return found


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _after(program: Any, rest: Any) -> Any:
    """The arguments that follow a program which stands in a field of its own."""
    first = [program] if isinstance(program, str) else program
    if not _is_texts(first):
        return rest
    whole = hide_arguments([*first, *rest])
    return whole[len(first) :] if len(whole) == len(first) + len(rest) else rest


def _entry(kind: str, value: Any, near: Near) -> Any:
    if kind and isinstance(value, str):
        return _hidden(kind, value)
    if kind and kind != "auth" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [hidden(kind, item) for item in value]
    return _without(value, near)


def _hidden(kind: str, value: str) -> str:
    return hidden(kind, hide_text(value) if kind == "dsn" else value)


def _strings(items: list[str]) -> list[str]:
    """A list of strings: an environment, the arguments of a command, or lines."""
    found = items
    if not any("\n" in item for item in items) and any("-----" in item for item in items):
        found = without_keys(found)
    pairs = all(_ITEM.match(item) for item in items)
    whole = [pairs or item.startswith("-") or before in _TAKES_PAIR for before, item in pairwise(["", *items])]
    found = [_item(item) if one else hide_text(item) for one, item in zip(whole, found, strict=True)]
    argv = hide_arguments(found)
    return argv if len(argv) == len(items) else found


def _item(item: str) -> str:
    """`NAME=value` in an item of its own: the value ends with the item, whatever is in it."""
    match = _ITEM.fullmatch(item)
    if match and (kind := kind_of(match[1])) and match[2].split(" ")[0].lower() not in NOTHING:
        return f"{match[1]}={_hidden(kind, match[2])}"
    return hide_text(item)


def _rows(rows: list[Any]) -> list[Any]:
    """Lines of a log, each in a row of its own: a private key goes over many."""
    if not all(isinstance(row, dict) and isinstance(row.get("text"), str) for row in rows):
        return rows
    texts = [row["text"] for row in rows]
    if not any("-----" in text for text in texts) or any("\n" in text for text in texts):
        return rows
    return [row | {"text": text} for row, text in zip(rows, without_keys(texts), strict=True)]
