"""Secrets by the name they go under: `DB_PASSWORD=…`, `"apiToken": "…"`, `Authorization: Bearer …`."""

import base64
import binascii
import re
from functools import lru_cache

PLACEHOLDER = "[REDACTED]"

# ---- names ----

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_END = r"(?=s?(?:_|\d|$))"
_PASSWORD = re.compile(
    r"passw(?:or)?d(?!less|_?auth)|passphrase|passcode|passwort|pwd(?=_|\d|$)"
    r"|(?:^|_)(?:db|user|my|smtp|mail|root|admin|ftp|require|redis|mysql|http|ssh|pg|ldap|bind|key|store)?pass(?=_|\d|$)"
    r"|[a-z\d]_pw\d*$"
)
_KEY_OF = (
    "access account admin aes api app auth client consumer cookie crypt crypto deploy encryption encrypt fernet hmac "
    "ingest integration jwt ldap license logged_in master nonce preshared private recovery root rsa seal secret secure "
    "server service session shared signing sign ssh ssl storage subscription tls unseal vault"
).replace(" ", "|")
_NAMED = re.compile(
    rf"{_PASSWORD.pattern}|secret(?!ar|ly|ion)|token{_END}|credential|(?:^|_)creds?(?=_|$)|cookie{_END}|(?:^|_)jwt(?=_|$)"
    rf"|(?:{_KEY_OF})_?key{_END}|_salt$|(?:^|_)psk$|^masterauth$|registry_auth$|(?:amz|goog)_signature$"
    r"|phpsessid|jsessionid|connect_sid|^sig$|(?:^|_)auth$|authorization$|(?:^|_)dsn$|connection_?string$|basic_?auth_users$"
)
_CURSOR = re.compile(
    r"(?:^|_)(?:page|next|continu[a-z]*|sync|cursor|resume|start|cancel[a-z]*|eos|bos|pad|unk|sep|cls|mask|stop"
    r"|unexpected)_token$|(?:proxy|fastcgi|uwsgi|scgi|grpc|first|second|last)_pass$"
)
# what is said about a secret is not the secret
_ABOUT = frozenset(
    "age alg algorithm algorithms arn attempts audience auth backend change changed class cmd column command conf "
    "config controller count cpp created cs dir directory domain driver duration enable enabled encoder encryption "
    "endpoint error errors exception exists expiration expired expires expiry factory field file filename files "
    "filter format found generator go handler header headers helper host hours html httponly id ids index ini "
    "interval invalid issued issuer java js jsx kind kt label len length lifetime limit location manager max md "
    "message method min minutes mode name names namespace needed option options param parameter path paths php "
    "policy port prefix prompt provider py rb realm ref refresh regex region required requirements reset resolver "
    "rotation rounds rs samesite scala scope scopes seconds service set sh size source sql state status stdin store "
    "strategy strength suffix template test tests timeout toml ts tsx ttl txt type types uri url used user username "
    "util utils valid validation validator validity var version vue yaml yml".split()
)


@lru_cache(4096)
def kind_of(name: str) -> str:
    """What a name says of its value: "" for nothing, else password, secret, auth, header, cookie or dsn."""
    joined = "_".join(re.split(r"[^a-z0-9]+", _CAMEL.sub("_", name[-120:]).lower())).strip("_")
    if not (found := _NAMED.search(joined)) or _CURSOR.search(joined):
        return ""
    last = joined.rpartition("_")[2]
    if last in _ABOUT and joined not in ("auth", "x_registry_auth", "registry_auth") and last != "auth":
        return ""
    for kind, end in (("header", "authorization"), ("cookie", "cookie"), ("dsn", "dsn"), ("dsn", "string")):
        if joined.endswith(end):
            return kind
    if _PASSWORD.search(joined):
        return "pwd" if joined in ("pwd", "oldpwd") else "password"
    return "auth" if found[0].strip("_") == "auth" else "secret"


# ---- values ----

_MASK = re.compile(
    r"[*•●#]{1,200}|[xX]{3,200}|\.{3,200}|…|[-_]{1,200}|<[^<>\n]{0,100}>|\{\{[^}\n]{0,200}\}\}|%[svdq]|%\(\w{1,60}\)s"
    r"|\$\{\w{1,80}\}|\$\w{0,80}\([^)\n]{0,200}\)|\$[A-Z_][A-Z0-9_]{0,80}|\{\d?\}"
    r"|\{\w{0,40}(?:pass|token|secret|key)\w{0,40}\}"
    r"|[\[({<*]{0,3}(?i:redacted|hidden|filtered|masked|omitted|removed|protected|sensitive|none|null|unset|empty"
    r"|not set)[\])}>*]{1,3}"
)
_AFTER_MASK = re.compile(r"[\s,;&|\"'`\\)\]}<]|$")
NOTHING = frozenset("true false none null nil undefined yes no on off required optional disabled enabled unset".split())
PROSE = NOTHING | frozenset(
    "a accepted all allowed already also an and are as at authentication basic be bearer been but by can cannot "
    "changed check could default denied deprecated did digest does empty error expected expired expires failed "
    "failure file flag for found from generated got has have hidden if ignored in incorrect instead internal "
    "invalid is it key length literal loaded lookup malformed masked may missing must needs new not null number of "
    "ok okay only option or passed password permission please provided read received redacted refused rejected "
    "removed requires reset revoked rotated secret set should signature skipped some string success successful "
    "syntax text that the this timeout to token unauthorized unexpected unknown updated use used user uses using "
    "valid value verified via was were when which will with without wrong you your".split()
)
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d+)?(?:ms|us|ns|s|m|h|d|%|k|kb|mb)?")
_PATH = re.compile(
    r"(?:/(?:run|etc|var|usr|home|root|opt|secrets?|mnt|tmp|app|data|srv|certs?|config|proc|sys|dev|bin|lib|vault)"
    r"(?:/[\w.@%+-]+)*/?|(?:~|\.{1,2})(?:/[\w.@%+-]+)+|[A-Za-z]:[\\/][\w.\\/ -]*|file://\S{0,1000})"
)
_NAMESPACED = re.compile(r"[a-z][a-z-]*/[a-z][a-z.-]*(?:-\d+)?")
_CODE = re.compile(
    r"(?:self|this|settings|config|cfg|conf|os|env|environ|process|request|req|args|kwargs|options|opts|params|ctx)"
    r"(?:\.[A-Za-z_]\w*|\[|\()|get\w*\(|(?:new|await|lambda)$"
)
_GENERATED = re.compile(r"[^A-Za-z'’-]|[a-z][A-Z]|-.*-")
_SCHEME = re.compile(r"(?i:(Basic|Bearer|Token|ApiKey|Api-Key|Negotiate|NTLM|Key)([ \t]+))(\S.*)", re.DOTALL)
_SIGNED = re.compile(
    r"(?i:(Digest|AWS4-HMAC-SHA256|Hawk|OAuth|SharedKey|HMAC[\w-]{0,20}|Signature)([ \t]+))(\S.*)", re.DOTALL
)
_SCHEME_HERE = re.compile(r"(?i:Basic|Bearer|Token|ApiKey|Api-Key|Negotiate|NTLM|Key)[ \t]+(?=\S)")
_SIGNED_HERE = re.compile(r"(?i:Digest|AWS4-HMAC-SHA256|Hawk|OAuth|SharedKey|HMAC[\w-]{0,20}|Signature)[ \t]+(?=\S)")
_CHALLENGE = re.compile(
    r"(?i:realm|error|charset|scope)="
    r"|(?i:token|auth\w*|realm|scheme|error|is|or|and|in|not|header)\b"
)


_JUDGED = 500
"""Characters that tell what a value is: one that stays may hold others, which are looked at in their turn."""


def decodes_to_pair(value: str) -> bool:
    """Whether this is the base64 of user:password."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)[1:]
    except (binascii.Error, ValueError):
        return False


def hidden(kind: str, value: str) -> str:
    """A value under a name of this kind, without what is secret in it."""
    bare = value.strip()
    if not bare or bare == PLACEHOLDER or _MASK.fullmatch(bare) or bare[:_JUDGED].lower() in NOTHING:
        return value
    if kind not in ("password", "pwd") and (_NUMBER.fullmatch(bare) or _NAMESPACED.fullmatch(bare)):
        return value
    if _PATH.fullmatch(bare) or (kind == "pwd" and bare[0] in "/~"):
        return value
    if kind == "auth":
        pair = re.fullmatch(r"[^\s:/]{1,100}:[^\s:/][^\s]{0,200}", bare)
        return PLACEHOLDER if decodes_to_pair(bare) or pair else value
    if kind == "dsn":
        return _DSN.sub(rf"\1{PLACEHOLDER}", value[:_JUDGED], count=1) + value[_JUDGED:]
    if kind == "header":
        for scheme in (_SCHEME, _SIGNED):
            if match := scheme.fullmatch(value):
                return value if _CHALLENGE.match(match[3]) else f"{match[1]}{match[2]}{PLACEHOLDER}"
    if kind == "cookie" and (pairs := _cookies(value)):
        return pairs
    return PLACEHOLDER


_DSN = re.compile(r"(^[^\s:@/]{1,100}:|://)(?!\[REDACTED\])[^\s:@/]{1,300}(?=@)")
_PAIR_HERE = re.compile(r"[^=;\s\"'`\\]{1,100}=[^;\s\"'`\\]")
_PAIR = re.compile(r"(?<![^\s;])([^=;\s]{1,100}=)([^;\s\"'\\]+)")


def _cookies(value: str) -> str:
    """Cookies without their values; only the first of Set-Cookie is one, the others are its attributes."""
    if not _PAIR.match(value):
        return ""
    sets = re.search(r";\s*(?i:path|expires|max-age|domain|httponly|secure|samesite)\b", value)
    return _PAIR.sub(rf"\1{PLACEHOLDER}", value, count=1 if sets else 0)


# ---- names and values in text ----

_ENTRY = re.compile(r"(?<![\w.\-])([\w.\-]++)(?:\]|%5[Dd])?(\\*+[\"'`]?)[ \t]{0,8}(=>|:=|=(?!=)|:(?!//|=))[ \t]{0,60}")
_TWO_WORDS = re.compile(rf"(?i)(?:{_KEY_OF}|connection)[ ]\Z")
_QUOTE = re.compile(r"(?:[bBuUrRfF]{1,2}(?=[\"']))?(\\*+)([\"'`])")
_QUOTES = {mark: re.compile(rf"(?<!\\)(\\*+){mark}") for mark in "\"'`"}
_BARE = re.compile(
    r"(?:\[REDACTED\]|\\(?![\"'`nrt\\])|[^\s\"'`\\,;&<)\]}]|[,;&](?![\s\"'\\{\[]|$|[\w.\-\[\]% ]{1,40}[=:])|<(?!/)"
    r"|[)\]}](?![\s\"'`\\,;.)\]}]|$))++"
)
_OPENS = re.compile(r"[\[({](?:[\"'\[{(\])}\s\d]|$)")
_HEADER_REST = re.compile(r"[^\"'`\n\\]+")


def hide_entries(line: str) -> str:
    """`name=value`, `name: value`, `"name": "value"` and their like in one line."""
    done, out, at, run = 0, [], 0, 0
    while match := _ENTRY.search(line, at):
        at = match.end()
        name = match[1]
        if name.lower() in ("key", "string", "keys") and (
            two := _TWO_WORDS.search(line[max(match.start(1) - 20, 0) : match.start(1)])
        ):
            name = f"{two[0].strip()}_{name}"
        if not (kind := kind_of(name)) or line.startswith(PLACEHOLDER, at) or _is_no_value(line, at):
            continue
        begin, end = at, at
        if opening := _QUOTE.match(line, at):
            if not match[2] and _is_after(line, match.start(1), opening[1] + opening[2]):
                continue  # the whole is quoted, and ends here
            begin, end, at_close = opening.end(), *_closing(line, opening)
            new = hidden(kind, line[begin:end])
        else:
            end, run = _bare_end(line, at, kind, run)
            at_close = end
            new = _bare(kind, match, line, end)
        if new != line[begin:end]:
            out += [line[done:begin], new]
            done = at = end
            at = max(at, at_close)
        elif kind == "cookie" and _PAIR_HERE.match(line, begin):
            at = max(at, end)  # all of it is hidden already
    return "".join([*out, line[done:]]) if out else line


def _is_no_value(line: str, at: int) -> bool:
    """A mask, a list or mapping, or code; told by its beginning, so that no text is read twice."""
    mask = _MASK.match(line, at)
    return bool((mask and _AFTER_MASK.match(line, mask.end())) or _OPENS.match(line, at) or _CODE.match(line, at))


def _is_after(line: str, at: int, quote: str) -> bool:
    """Whether this very quote stands there: with more backslashes, or fewer, it is one of another level."""
    return line.endswith(quote, 0, at) and not line.endswith("\\" + quote, 0, at)


def _closing(line: str, opening: re.Match[str]) -> tuple[int, int]:
    """Where a quoted value ends, and where its closing quote does; a value that was cut off ends with the line."""
    depth = len(opening[1])
    for mark in _QUOTES[opening[2]].finditer(line, opening.end()):
        # each level of quoting doubles the backslashes before a quote that belongs to the value
        if len(mark[1]) < depth or len(mark[1]) % (2 * (depth + 1)) == depth:
            return mark.end() - 1 - min(depth, len(mark[1])), mark.end()
    return len(line), len(line)


def _bare_end(line: str, at: int, kind: str, run: int) -> tuple[int, int]:
    """Where an unquoted value ends, and the run of characters that it is in; `run` is where that before ended."""
    if kind == "cookie" and _PAIR_HERE.match(line, at) and (rest := _HEADER_REST.match(line, at)):
        return rest.end(), run
    if kind == "header" and _SIGNED_HERE.match(line, at):
        return len(line), run
    scheme = _SCHEME_HERE.match(line, at) if kind == "header" else None
    start = scheme.end() if scheme else at
    if start < run:  # a value that stayed, with another in it: both end where it does
        return run, run
    token = _BARE.match(line, start)
    return (token.end(), token.end()) if token else (at, run)


def _bare(kind: str, match: re.Match[str], line: str, end: int) -> str:
    """An unquoted value. After a colon it may be prose, unless it looks made or stands alone."""
    value = line[match.end() : end]
    word = value.rstrip(".,;:!?)")
    head = word[:_JUDGED]
    if head.lower() in PROSE or _MASK.fullmatch(word) or not re.search(r"\w", value):
        return value
    if _SCHEME.match(value) or (kind == "cookie" and _PAIR_HERE.match(value)):
        return hidden(kind, value)
    if match[3] == ":" and not match[2]:
        before, after = (
            line[max(match.start() - 100, 0) : match.start()].strip(" \t-"),
            line[end : end + 100].strip(" \t,;})]\"'\\"),
        )
        if not _GENERATED.search(head) and (value.endswith(("...", "…")) or after or (before and kind != "password")):
            return value
        if (before or after) and kind != "password" and not (re.search(r"\d", head) and len(word) >= 8):
            return value
        if match[1] == "PASS" or re.search(r"(?i)\b(?:unexpected|illegal)\s*$", before):
            return value
    if match[1].lower() == "pass" and _NUMBER.fullmatch(word):
        return value
    new = hidden(kind, word)
    return (
        new + value[len(word) :]
        if value[len(word) :] in (".", ",", ";", ":") and match[3] == ":"
        else hidden(kind, value)
    )
