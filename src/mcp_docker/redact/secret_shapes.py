"""Secrets by shape or place: issuers' tokens, passwords in URLs, private keys, values beside their names."""

import re

from mcp_docker.redact.secret_names import PLACEHOLDER, PROSE, decodes_to_pair, hidden, kind_of

_TOKENS = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=/bot))(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}"
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[\w.-]{16,255}|xox[a-z]-[\w-]{10,255}|xapp-[\w-]{16,255}"
    r"|[sr]k_(?:live|test)_\w{10,255}|whsec_[\w+/=]{16,255}|AIza[\w-]{30,255}|ya29\.[\w.-]{20,4096}|GOCSPX-[\w-]{20,255}"
    r"|npm_[A-Za-z0-9]{30,255}|pypi-[\w-]{32,1024}|dckr_[po]at_[\w-]{16,255}"
    r"|sk-(?:ant|proj|svcacct|admin|or)-[\w-]{16,1024}|sk-[A-Za-z0-9]{20,255}|hf_[A-Za-z0-9]{20,255}"
    r"|SG\.[\w-]{16,255}\.[\w-]{16,255}|do[opr]_v1_[a-f0-9]{32,255}|shpat_[a-fA-F0-9]{20,255}"
    r"|\d{6,12}:AA[\w-]{30,64}|AGE-SECRET-KEY-1[A-Z0-9]{20,255}|hv[sbr]\.[\w-]{16,1024}|dapi[a-f0-9]{32}(?:-\d)?"
    r"|s\.(?=[A-Za-z]*\d)[A-Za-z0-9]{24}(?![\w.(])"
    r"|eyJ[\w=-]{8,4096}+\.[\w=-]{8,}+(?:\.[\w=-]*+){0,3}"
    r")"
)
TOKEN_STEMS = (
    "akia asia ghp_ gho_ ghu_ ghs_ ghr_ github_pat gldt- glrt- glcbt- glptt- glft- glimt- glagent- glsoat- glpat- xox "
    "xapp- sk- sk_ rk_ whsec aiza ya29. gocspx npm_ pypi- dckr_ hf_ sg. _v1_ shpat :aa age-secret hvs. hvb. hvr. dapi "
    "s. eyj"
).split()
_KEPT_BEFORE = re.compile(
    r"(hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{5,25}/"
    r"|\b[Bb]earer[ ]+(?=[\w.~+/-]*\d|[\w.~+/-]{20})|[?&;]sig=)([\w.~+/%-]{8,4096}=*)"
)
_BASIC = re.compile(r"(?<=\b[Bb]asic[ ])([A-Za-z0-9+/_-]{8,2000}={0,2})")
_URL = re.compile(
    r"((?<=[A-Za-z0-9])://[^\s/?#:@\"'<>\\\[]{0,200}:)"
    r"(?!\d{1,5}(?:[/?#\s\"',]|$))((?:\[REDACTED\]|(?!://)[^\s\"'<>`\\]){1,300})(@)(?=[\w.\-\[({$%/]|$)"
)
_TAG = re.compile(r"(<([\w.:-]{1,80})(?:\s[^<>]{0,200})?>)([^<>\s][^<>]{0,2000})(?=</)")
_NAME_AND_VALUE = re.compile(
    r"(\"name\"[ ]{0,4}:[ ]{0,4}\"([\w.-]{1,200})\"[ ]{0,4},[ ]{0,4}\"value\"[ ]{0,4}:[ ]{0,4}\")"
    r"((?:[^\"\\]|\\.){1,2000}+)(?=\")"
)
_SAID = re.compile(
    r"(?i)(\bidentified[ ](?:with[ ]\S{1,40}[ ])?by[ ]+(?:password[ ]+)?|\bpassword[ ]+)(['\"])([^'\"\n]{1,500})(?=\2)"
)
_TOLD = re.compile(
    r"(?i)(\b(?:password|passphrase)(?:[ ]for[ ]\S{1,100})?[ ](?:is[ ]generated[ ]for[ ][^\s:]{1,100}"
    r"|(?:(?:is|was|has[ ]been)[ ])?(?:set|changed)[ ]to|is|was)"
    r":?[ ]+|\blogin[ ]+\S{1,100}[ ]+password[ ]+|^[ \t]*password[ ]+(?=\S+$)|\brequirepass[ ]+|\bmasterauth[ ]+)"
    r"([^\s\"']{1,300})"
)


def hide_shapes(line: str) -> str:
    """One line without tokens, passwords in URLs, and passwords that a phrase tells."""
    low = line.lower()
    if any(stem in low for stem in TOKEN_STEMS):
        line = _TOKENS.sub(PLACEHOLDER, line)
    if any(stem in low for stem in ("hooks", "bearer ", "sig=")):
        line = _KEPT_BEFORE.sub(rf"\1{PLACEHOLDER}", line)
    if "@" in line and "://" in line:
        line = _URL.sub(_url, line)
    if "basic " in low:
        line = _BASIC.sub(lambda match: PLACEHOLDER if decodes_to_pair(match[1]) else match[1], line)
    if "</" in line:
        line = _TAG.sub(_named, line)
    if '"value"' in line:
        line = _NAME_AND_VALUE.sub(_named, line)
    if "identified" in low or "pass" in low:
        line = _SAID.sub(rf"\1\2{PLACEHOLDER}", line)
    if "pass" in low or "masterauth" in low:
        line = _TOLD.sub(_told, line)
    return line


def _url(match: re.Match[str]) -> str:
    return match[1] + hidden("password", match[2]) + match[3]


def _named(match: re.Match[str]) -> str:
    kind = kind_of(match[2])
    return match[1] + (hidden(kind, match[3]) if kind else match[3])


def _told(match: re.Match[str]) -> str:
    return match[0] if match[2].rstrip(".,;:!").lower() in PROSE else match[1] + hidden("password", match[2])


# ---- private keys ----

_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"(?:^|(?<=[\s|\"']))[A-Za-z0-9+/=]{16,76}(?=(?:\\+[nr]|[\"',\s])*$)")
_WHOLE = re.compile(r"[A-Za-z0-9+/=]{1,76}(?=(?:\\+[nr]|[\"',\s])*$)")
_HEADER = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment|Hash): |^[\s|]*$")
_MOST_KEY_LINES = 400


def without_keys(lines: list[str]) -> list[str]:
    """Lines without the bodies of PEM private keys, also where the beginning or the end of a block was cut off."""
    lines = [_key_in_line(line) for line in lines]
    begun: int | None = None
    prefix, free = "", 0
    for number, line in enumerate(lines):
        begins, end = list(_KEY_BEGIN.finditer(line)), _KEY_END.search(line)
        if not begins and not end:
            continue
        if begun is None and end and not begins:
            _hide_until(lines, range(number - 1, max(free, number - _MOST_KEY_LINES) - 1, -1), line[: end.start()])
        elif begun is not None:
            closed = end and not begins and number - begun < _MOST_KEY_LINES
            (_hide_all if closed else _hide_until)(lines, range(begun + 1, number), prefix)
        begun, free = None, number + 1
        if begins and not _KEY_END.search(line, begins[-1].end()):
            begun, prefix = number, line[: begins[-1].start()]
    if begun is not None:
        _hide_until(lines, range(begun + 1, len(lines)), prefix)
    return lines


def _hide_all(lines: list[str], numbers: range, prefix: str) -> None:
    """Between both marks; lines of another writer in between stay."""
    for number in numbers:
        if found := _body(lines[number], prefix):
            lines[number] = found


def _hide_until(lines: list[str], numbers: range, prefix: str) -> None:
    """From the only mark, as far as lines look like a key's."""
    for count, number in enumerate(numbers):
        line = lines[number]
        last = count == 0 and numbers.step < 0
        if (match := _BODY.search(line)) or (last and (match := _WHOLE.match(line))):
            lines[number] = line[: match.start()] + PLACEHOLDER + line[match.end() :]
        elif last and (found := _body(line, prefix)):
            lines[number] = found
        elif not _HEADER.search(line):
            return


def _body(line: str, prefix: str) -> str:
    """A line of a key without its body; empty if it has none."""
    start = len(prefix) if line.startswith(prefix) else 0
    blank = len(line) - len(line[start:].lstrip()) if line[start:].strip() else start
    if match := _WHOLE.match(line, blank) or _BODY.search(line):
        return line[: match.start()] + PLACEHOLDER + line[match.end() :]
    return ""


def _key_in_line(line: str) -> str:
    """Keys of which the lines are folded into one, with spaces or backslash-n between them."""
    out, at, ends = [], 0, True
    end: re.Match[str] | None = None
    while begin := _KEY_BEGIN.search(line, at):
        if ends and (end is None or end.start() < begin.end()):
            end = _KEY_END.search(line, begin.end())
            ends = end is not None
        folded = _FOLDED.match(line, begin.end())
        stop = end.start() if end and ends else folded.end() if folded else begin.end()
        body = line[begin.end() : stop]
        out += [line[at : begin.end()], PLACEHOLDER if re.search(r"\w{3}", body) else body]
        at = stop
    line = "".join([*out, line[at:]])
    out, at = [], 0
    for end in _KEY_END.finditer(line):
        before = line[at : end.start()]
        kept = before.rstrip(_FOLDED_CHARACTERS)
        cut_off = len(before) - len(kept) > 1 and not _KEY_BEGIN.search(before)
        out += [kept + PLACEHOLDER if cut_off else before, end[0]]
        at = end.end()
    return "".join([*out, line[at:]])


_FOLDED_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\ "
_FOLDED = re.compile(r"(?:(?:\[REDACTED\]|\\+[nr]|[ ]?[A-Za-z0-9+/=]{16,}+)(?:\\+[nr]|[A-Za-z0-9+/=]++)*+)*+")
