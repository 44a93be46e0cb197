"""Secrets among the arguments of commands: `--token …`, `mysql -p…`, `curl -u user:…`."""

import re

from mcp_docker.redact.secret_names import NOTHING, PLACEHOLDER, PROSE, hidden, kind_of


def _commands(gap: str, word: str, value: str) -> list[tuple[str, re.Pattern[str]]]:
    """Where well-known programs take a secret; once for text, once for the items of an argv; each with its flag."""
    login = rf"(?:docker|podman|nerdctl|buildah|skopeo|helm|oras|crane|az)(?:{gap}{word}){{0,3}}?{gap}login"
    programs = (
        ("(?:mysql|mariadb)[a-z_-]*", "-p"),
        (login, f"-p(?:{gap}|=)?"),
        ("sshpass", f"-p{gap}?"),
        ("redis-cli|valkey-cli", f"-a{gap}"),
        ("mongo[a-z]*", f"-p{gap}"),
        ("ldap[a-z]+", f"-w{gap}"),
        ("sqlcmd|unzip|zip", f"-P{gap}"),
        ("openssl", f"-pass(?:in|out)?{gap}pass:"),
        ("curl|wget|https?|xh|etcdctl", rf"-(?:u{gap}|u|-(?:proxy-)?user(?:=|{gap}))[^\s:\"'\x00-]{{1,100}}:"),
    )
    return [
        (
            flag[:2].rstrip("("),
            re.compile(rf"((?<![\w.-])(?:{program})(?:{gap}(?!{flag}{value}){word}){{0,12}}{gap}{flag})({value})"),
        )
        for program, flag in programs
    ] + [("-", re.compile(rf"((?<![\w-])--?([A-Za-z][\w.-]{{1,80}}+){gap})(?!-)({value})"))]


_IN_TEXT = _commands(
    r"(?:[ \t]+|\\*[\"'],?[ \t]*\\*[\"'])[\"']?", r"[^\s\"'|;&\x00]+", r"(?:\[REDACTED\]|[^\s\"'|;&\\\],])+"
)
_IN_ARGV = _commands("\x00", "[^\x00]+", "[^\x00]+")
_PROGRAMS = re.compile(r"mysql|mariadb|login|sshpass|-cli|mongo|ldap|sqlcmd|zip|openssl|curl|wget|http|xh|etcdctl")
_PIPED = re.compile(
    r"(\b(?:echo|printf)[ ]+(?:-\w+[ ]+)?[\"']?(?:[\w.-]{1,60}:(?=[^|]{1,300}chpasswd))?)([^\s\"'|]{1,200})"
    r"(?=[\"']?[ ]*\|[^|]{0,200}(?:--password-stdin|chpasswd))"
)


def hide_flags(line: str) -> str:
    """A line of text without the secrets among the arguments of the commands in it."""
    return _flagged(_PIPED.sub(rf"\1{PLACEHOLDER}", line), _IN_TEXT)


def hide_arguments(argv: list[str]) -> list[str]:
    """The arguments of one command, without secrets that are an item, or a part of one, of their own."""
    return _flagged("\x00".join(argv), _IN_ARGV).split("\x00")


def _flagged(text: str, patterns: list[tuple[str, re.Pattern[str]]]) -> str:
    """Secrets among a command's arguments."""
    argv = patterns is _IN_ARGV

    def replaced(match: re.Match[str]) -> str:
        value = match[match.lastindex or 0]
        if match.lastindex == 3:
            word = value.rstrip(".,:")
            plain = value.lower() in NOTHING if argv else word.lower() in PROSE or re.fullmatch("[A-Z_]+", word)
            if plain or not (kind := kind_of(match[2])):
                return match[0]
            return match[1] + hidden(kind, value)
        return match[1] + hidden("password", value)

    for flag, pattern in patterns if _PROGRAMS.search(text) else patterns[-1:]:
        if flag in text:
            text = pattern.sub(replaced, text)
    return text
