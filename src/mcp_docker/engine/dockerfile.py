"""What a Dockerfile asks of its builder, read before it is sent.

The classic builder refuses some of what only BuildKit knows, and builds the rest wrong without a word: of a heredoc it
runs the first line and drops the body.
"""

import json
import re
from collections.abc import Iterator

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_FLAG = re.compile(r"--([a-z][a-z-]*)\S*\s*")
_HEREDOC = re.compile(r"\d*<<-?([^<]+)")

_FLAGS = {
    "RUN": {"device", "mount", "network", "security"},
    "COPY": {"chmod", "exclude", "link", "parents"},
    "ADD": {"checksum", "chmod", "exclude", "keep-git-dir", "link", "unpack"},
}


def heredoc(text: str) -> str | None:
    """Where a Dockerfile has its first heredoc; None if it has none."""
    for line, keyword, rest in _instructions(text):
        if keyword in _FLAGS and "<<" in rest and not _is_json(_without_flags(rest)):
            for word in _words(rest):
                if _HEREDOC.fullmatch(word):
                    return f"the heredoc {word} of {keyword} in line {line}"
    return None


def buildkit_flag(text: str) -> str | None:
    """Where a Dockerfile has its first flag that only BuildKit knows; None if it has none."""
    for line, keyword, rest in _instructions(text):
        at = 0
        while match := _FLAG.match(rest, at):
            if match[1] in _FLAGS.get(keyword, ()):
                return f"{keyword} --{match[1]} in line {line}"
            at = match.end()
    return None


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Each instruction: the number of its first line, its keyword, the rest with continued lines joined."""
    continued = _continuation(text)
    started = 0
    parts: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not parts:
            started = number
        if match := continued.search(line):
            parts.append(line[: match.start()])
            continue
        yield from _instruction(started, "".join([*parts, line]).strip())
        parts = []
    if parts:
        yield from _instruction(started, "".join(parts).strip())


def _instruction(line: int, text: str) -> Iterator[tuple[int, str, str]]:
    word, rest = (*text.split(None, 1), "", "")[:2]
    keyword = word.upper()
    if keyword == "ONBUILD":
        yield from _instruction(line, rest)
    elif keyword:
        yield line, keyword, rest


def _continuation(text: str) -> re.Pattern[str]:
    """What ends a line that goes on: a backslash, or what the directive `# escape=` at the top names."""
    escape = "\\"
    for line in text.removeprefix("\ufeff").splitlines():
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape":
            escape = match[2]
    mark = re.escape(escape[:1])
    return re.compile(rf"(?<!{mark}){mark}[ \t]*$")


def _without_flags(rest: str) -> str:
    while match := _FLAG.match(rest):
        rest = rest[match.end() :]
    return rest


def _is_json(rest: str) -> bool:
    try:
        return isinstance(json.loads(rest), list)
    except ValueError:
        return False


def _words(text: str) -> list[str]:
    """Words as a shell would part them, quotes kept; none if a quote is not closed, as BuildKit has it."""
    words: list[str] = []
    word, quote, escaped = "", "", False
    for char in text:
        if not quote and not escaped and char.isspace():
            words.append(word)
            word = ""
            continue
        word += char
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return [] if quote else [each for each in [*words, word] if each]
