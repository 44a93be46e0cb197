"""What .dockerignore leaves out of a build's context, as Docker's own client reads it.

The patterns are a stranger's: none takes longer than its length times the path's, however many stars it has.
"""

import re
from collections.abc import Iterable, Sequence

from mcp_docker.errors import InvalidArguments

PATTERNS = 5_000
LINE_CHARACTERS = 4_096
_STARS = 3
_SHORT = 400
"""Characters of a path up to which three stars don't take long either."""

_TOKEN = re.compile(r"\*\*/?|\*|\?|\[\^?\]?[^\]]*\]|\\?(.)", re.DOTALL)
_WILD = {"*": "[^/]*", "?": "[^/]", "**/": "(?:.*/)?", "**": "(?:.*/)?"}


class Ignored:
    """The patterns of a .dockerignore, in their order; of those that match a path the last decides.

    Raises:
        InvalidArguments: they are too many, or one is too long.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        lines = list(lines)
        if any(len(line) > LINE_CHARACTERS for line in lines):
            raise InvalidArguments(
                f".dockerignore has a line of more than {LINE_CHARACTERS} characters", "no path is that long."
            )
        self._patterns = [pattern for line in lines if (pattern := Pattern(line)).text]
        if len(self._patterns) > PATTERNS:
            raise InvalidArguments(f".dockerignore has more than {PATTERNS} patterns", "write fewer, with wildcards.")

    def matches(self, path: str, folder: Sequence[bool] = ()) -> list[bool]:
        """Which patterns match a path: each by itself, or since it matches the folder that the path is in.

        Args:
            folder: the matches of that folder.
        """
        inherited = folder or [False] * len(self._patterns)
        return [known or each.matches(path) for known, each in zip(inherited, self._patterns, strict=True)]

    def leaves_out(self, matches: Sequence[bool]) -> bool:
        """What these matches come to."""
        last = next(
            (each for each, match in zip(reversed(self._patterns), reversed(matches), strict=True) if match), None
        )
        return last is not None and not last.takes_back

    def may_take_back_below(self, folder: str) -> bool:
        """Whether a pattern may take back something in a folder that is left out."""
        return any(each.takes_back and f"{each.text}/".startswith(f"{folder}/") for each in self._patterns)


class Pattern:
    """One line: a path with wildcards, after an exclamation mark one that is taken back."""

    def __init__(self, line: str) -> None:
        self.takes_back = line.startswith("!")
        parts: list[str] = []
        path = line.removeprefix("!").strip()
        for part in path.split("/"):
            if part == ".." and (path.startswith("/") or parts[-1:] not in ([], [".."])):
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        self.text = "/".join(parts)
        self._tokens = [_translated(match) for match in _TOKEN.finditer(self.text)]
        self._regex: re.Pattern[str] | None = None
        stars = sum(token in (_WILD["*"], _WILD["**"]) for token in self._tokens)
        self._most = _SHORT if stars == _STARS else LINE_CHARACTERS
        if stars <= _STARS:
            *before, last = self._tokens or [""]
            self._regex = _compiled("".join(before) + (".*" if last == _WILD["**"] else last))

    def matches(self, path: str) -> bool:
        if self._regex is not None and len(path) <= self._most:
            return self._regex.fullmatch(path) is not None
        return self._followed(path)

    def _followed(self, path: str) -> bool:
        """Match without ever going back: all that the pattern may mean at once, character by character."""
        # each token that may come next; ~token while within the folders of a double star
        states = self._open({0})
        for char in path:
            after: set[int] = set()
            for state in states:
                at = state if state >= 0 else ~state
                if at == len(self._tokens):
                    continue
                token = self._tokens[at]
                if token == _WILD["**"]:
                    after |= {~at, at + 1} if char == "/" or at + 1 == len(self._tokens) else {~at}
                elif token == _WILD["*"]:
                    after |= {at} if char != "/" else set()
                elif _compiled(token).fullmatch(char):
                    after.add(at + 1)
            states = self._open(after)
        return len(self._tokens) in states

    def _open(self, states: set[int]) -> set[int]:
        """With what comes next where a star stands for nothing."""
        found = set(states)
        for state in sorted(state for state in states if state >= 0):
            at = state
            while at < len(self._tokens) and self._tokens[at] in (_WILD["*"], _WILD["**"]):
                at += 1
                if at in found:  # another goes on from there
                    break
                found.add(at)
        return found


def _translated(match: re.Match[str]) -> str:
    token = match[0]
    if token in _WILD:
        return _WILD[token]
    if token.startswith("[") and len(token) > 2:
        negated = token.startswith("[^")
        inside = re.sub(r"([\[&~|])", r"\\\1", token[2 if negated else 1 : -1])
        return f"[{'^' if negated else ''}{inside}]" if inside else re.escape(token)
    return re.escape(match[1] or token)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except re.error:  # a range like [z-a], which matches nothing
        return re.compile(r"(?!)")
