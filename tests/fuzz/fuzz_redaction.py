"""Secrets: one that is planted beside anything is gone, the rest keeps its form, and a second time changes nothing."""

import json
from typing import Any

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import redact
    from mcp_docker.redact.secrets import PLACEHOLDER, hide, hide_text

MODULES = (
    "mcp_docker.redact.secrets",
    "mcp_docker.redact.secret_arguments",
    "mcp_docker.redact.secret_names",
    "mcp_docker.redact.secret_shapes",
)
SECRET = "hunter2-9fQzLw7"
LINES = (
    f"DB_PASSWORD={SECRET}",
    f'{{"apiToken": "{SECRET}"}}',
    f"Authorization: Bearer {SECRET}",
    f"postgres://app:{SECRET}@db:5432/shop",
    f"mysql -u root -p{SECRET} shop",
    f"curl -u bob:{SECRET} http://example.com",
    f"client_secret: {SECRET}",
    f"docker login --password {SECRET} registry.example.com",
    "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
)
GONE = {LINES[8]: "16C7e42F292c6912E7710c838347Ae178B4a"}


def hidden(data: Any) -> Any:
    return hide(data, redact.compact(data))


def same_form(one: Any, other: Any) -> bool:
    match one:
        case str():
            return isinstance(other, str)
        case list():
            return isinstance(other, list) and len(one) == len(other) and all(map(same_form, one, other))
        case dict():
            return (
                isinstance(other, dict) and list(one) == list(other) and all(same_form(one[k], other[k]) for k in one)
            )
    return type(one) is type(other) and one == other


def check_text(text: str) -> None:
    """Lines stay lines, once is enough, and what has nothing to hide is not touched."""
    found = hide_text(text)
    assert found.count("\n") == text.count("\n")
    assert hide_text(found) == found
    assert len(found) <= len(text) * (1 + len(PLACEHOLDER))
    for word in (SECRET, *GONE.values()):
        assert found.count(word) <= text.count(word)


def check_planted(before: str, after: str, number: int) -> None:
    """Whatever stands in the lines around it, a secret in a line of its own is gone, and so it is from an answer."""
    line = LINES[number % (len(LINES) - 1)]
    secret = GONE.get(line, SECRET)
    text = (f"{before}\n{line}\n{after}", f"{line}\n{after}", f"{before}\n{line}")[number % 3]
    # what the cleaning puts together was not planted
    if secret in redact.clean_text(f"{before}\n{after}".replace(line, "")):
        return
    assert secret not in redact.told(text, hide=True), text
    rows = [{"stream": "stdout", "text": text} for text in (before, line, after)]
    data: Any = ({"lines": rows}, {"output": text}, {before: after, "message": line})[number % 3]
    told, written = redact.clean(data, hide=True)
    assert secret not in written, data
    assert json.loads(written) == told
    entry = {"Env": [f"API_TOKEN={SECRET}"], "Labels": {"password": SECRET}, before: [after]}
    if SECRET not in before + after:
        assert SECRET not in redact.compact(hidden(entry)), entry


def check_data(data: Any) -> None:
    """An answer keeps its keys, its types and what is no text, and is not changed in place."""
    before = redact.compact(data)
    found = hidden(data)
    assert redact.compact(data) == before
    assert same_form(data, found)
    assert hidden(found) == found
    told, text = redact.clean(data, hide=True)
    assert redact.clean(told, hide=True) == (told, text)


def one(data: bytes) -> None:
    text = text_in(data[1:]).encode("utf-8", "replace").decode()
    check_text(text)
    before, _, after = text.partition("\n\n")
    check_planted(before, after, data[0] if data else 0)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = {"list": text.split("\n"), "text": text}
    check_data(value)


if __name__ == "__main__":
    fuzz(one)
