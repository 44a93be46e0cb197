"""What a Dockerfile asks of its builder, read before it is sent.

The classic builder refuses some of what only BuildKit knows, and builds the rest wrong without a word: of a heredoc it
runs the first line and drops the body.

And which images it names, since the builder pulls them: told so that none is missed that any builder would read, at the
price of one too many.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mcp_docker.errors import InvalidArguments

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_FLAG = re.compile(r"--([a-z][a-z-]*)\S*\s*")
_SPACE = re.compile(r"[\t\v\f\r ]+")
_IMAGE = re.compile(r"(?!.*(?://|/\.))[a-zA-Z0-9\[][a-zA-Z0-9._:/\[\]-]*(?:@[a-z0-9+._-]+:[0-9a-fA-F]+)?")
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_ODD = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\x85\u2028\u2029]|\\r(?!\n)")
_STAGE = re.compile(r"[a-z][a-z0-9_.-]*")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"(?P<plain>[a-zA-Z_][a-zA-Z0-9_]*)|\{(?P<braced>[a-zA-Z_][a-zA-Z0-9_]*)(?P<operator>:?[-+])?")
_PLATFORM = frozenset(f"{side}{part}" for side in ("TARGET", "BUILD") for part in ("PLATFORM", "OS", "ARCH", "VARIANT"))
_TRANSPORTS = frozenset(
    "containers-storage dir docker-archive docker-daemon oci oci-archive ostree sif tarball".split()
)
_LONGEST = 4_096
_DEEPEST = 20
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


@dataclass(frozen=True)
class Base:
    """An image that a Dockerfile names.

    Attributes:
        any_platform: the one that is here does, whatever its platform.
    """

    name: str
    line: int
    any_platform: bool = True


def check_plain(text: str) -> None:
    """Refuse what builders and this reader could part into other lines and words.

    Raises:
        InvalidArguments: with the line.
    """
    if odd := _ODD.search(text):
        raise InvalidArguments(
            f"dockerfile: there is a control character ({odd[0]!a}) in line {text.count(chr(10), 0, odd.start()) + 1}",
            "take it out: builders don't agree on what it means.",
        )


def images(text: str, buildargs: Mapping[str, str]) -> list[Base]:
    """Every image that a build may pull: of FROM, of --from, and of what ONBUILD keeps for later; no stages.

    Args:
        buildargs: go before the defaults of ARG.

    Raises:
        InvalidArguments: a name can't be told from the Dockerfile alone.
    """
    check_plain(text)
    # older builders know a directive for the escape character only in the first lines: read it both ways
    readings = [_instructions(text, escape) for escape in dict.fromkeys(("\\", _escape(text)))]
    if heredoc(text):  # its body is no instruction, but where does it end
        lines = enumerate(text.split("\n"), 1)
        readings.append(found for number, line in lines for found in _instruction(number, line.strip()))
    found: dict[Base, None] = {}
    for reading in readings:
        stages = _Stages(buildargs)
        for line, keyword, rest in reading:
            found |= dict.fromkeys(stages.take(line, keyword, rest))
    return list(found)


def privileges(text: str) -> dict[str, str]:
    """The flags of RUN that reach for the host, which Podman's builder knows: each in words, and its name."""
    check_plain(text)
    found = {}
    for escape in dict.fromkeys(("\\", _escape(text))):
        for line, keyword, rest in _instructions(text, escape):
            for flag in _flags(rest)[0] if keyword == "RUN" else ():
                name, _, value = flag.removeprefix("--").partition("=")
                harmless = {"network": ("default", "none"), "security": ("sandbox",)}
                if name in ("network", "security", "device") and value not in harmless.get(name, ()):
                    found[f"RUN {flag[:200]} in line {line}"] = name
    return found


@dataclass
class _Stages:
    """What is known on the way through a Dockerfile. An argument of which the value is not known is None."""

    buildargs: Mapping[str, str]
    arguments: dict[str, str | None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    current: str = ""
    count: int = 0

    def take(self, line: int, keyword: str, rest: str) -> Iterator[Base]:
        """The images that an instruction names."""
        flags, words = _flags(rest)
        try:
            if keyword == "ARG" and not self.count:
                for word in _words(rest):
                    self._declare(word)
            if keyword == "FROM":
                yield from self._from(line, flags, _SPACE.split(words.strip()))
            if keyword in ("COPY", "ADD", "RUN"):
                for source in _sources(flags):
                    if not self._is_stage(source):
                        yield from _named(line, source, any_platform=True)
        except _Unclear as unclear:
            raise InvalidArguments(
                f"dockerfile: {unclear}, in line {line}, so what would be pulled can't be told",
                "write the image's name, or $NAME of an ARG before the first FROM that has a default or a value in "
                "buildargs.",
            ) from None

    def _from(self, line: int, flags: list[str], words: list[str]) -> Iterator[Base]:
        named = len(words) == 3 and words[1].upper() == "AS"
        if len(words) > 1 and not named:  # no builder takes it
            return
        name = _Word(words[0], self._value).expanded()
        self.names |= {self.current} - {""}
        if name != "scratch" and name.lower() not in self.names:
            yield from _named(line, name, any_platform=not any(flag.startswith("--platform=") for flag in flags))
        self.current = words[2].lower() if named and _STAGE.fullmatch(words[2].lower()) else ""
        self.count += 1

    def _is_stage(self, source: str) -> bool:
        if source.isdecimal() and len(source) < 5:
            return int(source) < self.count
        return not source or source.lower() in self.names

    def _declare(self, word: str) -> None:
        name, given, default = word.partition("=")
        if not _VARIABLE.fullmatch(name):
            raise _Unclear(f"ARG {name[:200]!r} has an odd name")
        if name in self.buildargs:
            self.arguments[name] = self.buildargs[name]
        elif given:
            try:
                self.arguments[name] = _Word(default, self._value).expanded()
            except _Unclear:  # as long as nothing uses it
                self.arguments[name] = None
        elif name in self.arguments:  # whether the earlier default stands depends on the builder
            self.arguments[name] = None

    def _value(self, name: str) -> str | None:
        if name in self.arguments:
            value = self.arguments[name]
        elif name in _PLATFORM or name in self.buildargs:
            value = None
        else:
            return None
        if value is None:
            raise _Unclear(f"the value of ${name} can't be known here")
        return value


def _named(line: int, name: str, *, any_platform: bool) -> Iterator[Base]:
    # the last is how Podman names archives and folders of its own
    if not _IMAGE.fullmatch(name) or name.partition(":")[0] in _TRANSPORTS:
        raise _Unclear(f"{name[:200]!r} is no image name")
    if not _ID.fullmatch(name):
        yield Base(name, line, any_platform)


class _Unclear(Exception):
    """A word has no value that is known."""


class _Word:
    """A word of a Dockerfile with quotes and variables.

    Args:
        value: a variable's, None for one that is not set. Raises _Unclear.
    """

    def __init__(self, text: str, value: Callable[[str], str | None]) -> None:
        self._text = text
        self._value = value
        self._at = 0

    def expanded(self) -> str:
        """What the word means. Raises _Unclear."""
        return self._until("")

    def _until(self, end: str) -> str:
        found, quote = "", ""
        while self._at < len(self._text):
            char = self._text[self._at]
            if not quote and char == end:
                return found
            if len(found) > _LONGEST:
                raise _Unclear("the name is too long")
            self._at += 1
            if char in "\\`":
                raise _Unclear(f"{char!r} in {self._text[:200]!r} has no certain meaning")
            if char == "$" and quote != "'":
                found += self._variable()
            elif char in "'\"" and quote in ("", char):
                quote = "" if quote else char
            else:
                found += char
        if quote or end:
            raise _Unclear(f"{self._text[:200]!r} is not closed")
        return found

    def _variable(self) -> str:
        match = _REFERENCE.match(self._text, self._at)
        if match is None:
            raise _Unclear(f"{self._text[:200]!r} is not understood")
        self._at = match.end()
        if match["plain"]:
            return self._value(match["plain"]) or ""
        operator = match["operator"] or ""
        if self._text.count("{") > _DEEPEST:
            raise _Unclear("the name is nested too deeply")
        other = self._until("}") if operator else ""
        if self._text[self._at : self._at + 1] != "}":
            raise _Unclear(f"{self._text[:200]!r} is not understood")
        self._at += 1
        value = self._value(match["braced"])
        if operator.startswith(":"):  # empty is as good as not set
            value = value or None
        if operator.endswith("+"):
            return "" if value is None else other
        return (other if value is None else value) if operator else value or ""


def _sources(flags: list[str]) -> Iterator[str]:
    """What the flags --from=X and --mount=...,from=X name."""
    for flag in flags:
        name, _, value = flag.partition("=")
        if name == "--from":
            yield value
        if name == "--mount":
            for each in value.split(","):
                key, _, source = each.strip("\"' ").partition("=")
                if key.lower() == "from":
                    yield source


def _flags(rest: str) -> tuple[list[str], str]:
    """The flags that an instruction begins with, without quotes and escapes, as builders read them; and the rest."""
    flags: list[str] = []
    at = 0
    while at < len(rest):
        if rest[at].isspace():
            at += 1
            continue
        if not rest.startswith("--", at):
            break
        flag, quote = "", ""
        while at < len(rest) and (quote or not rest[at].isspace()):
            char = rest[at]
            at += 1
            if char == "\\":
                flag += rest[at : at + 1]
                at += 1
            elif char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
            else:
                flag += char
        if flag == "--":
            break
        flags.append(flag)
    return flags, rest[at:]


def _instructions(text: str, escape: str = "") -> Iterator[tuple[int, str, str]]:
    """Each instruction: the number of its first line, its keyword, the rest with continued lines joined."""
    continued = _continuation(escape or _escape(text))
    started = 0
    parts: list[str] = []
    # no other character ends a line for a builder
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.removesuffix("\r")
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
    keyword, rest = "ONBUILD", text
    while keyword == "ONBUILD":
        word, rest = (*_SPACE.split(rest.strip(), maxsplit=1), "", "")[:2]
        keyword = word.upper()
    if keyword:
        yield line, keyword, rest


def _continuation(escape: str) -> re.Pattern[str]:
    """What ends a line that goes on."""
    mark = re.escape(escape)
    return re.compile(rf"(?<!{mark}){mark}[ \t]*$")


def _escape(text: str) -> str:
    """The character that takes the meaning from the next: a backslash, or what `# escape=` at the top names."""
    escape = "\\"
    for line in text.removeprefix("\ufeff").splitlines():
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape":
            escape = match[2]
    return escape[:1]


def _without_flags(rest: str) -> str:
    at = 0
    while match := _FLAG.match(rest, at):
        at = match.end()
    return rest[at:]


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
