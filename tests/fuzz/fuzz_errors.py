"""Errors of the engine: any status with any body, through docker-py, becomes a refusal that a model can act on."""

import re
from typing import Any, cast

import requests
import urllib3
from docker.errors import APIError, DockerException

from tests.fuzz.harness import fuzz, instrumented, text_in

with instrumented():
    from mcp_docker import errors
    from mcp_docker.engine import Engine, _checked
    from mcp_docker.engine.errors import kind_of, translate

MODULES = ("mcp_docker.engine.errors",)
BY_STATUS = {400: "BAD_PARAMETER", 404: "NOT_FOUND", 405: "UNSUPPORTED", 409: "CONFLICT"}


class Unconnected:
    """Stands for an engine that may have to be looked for anew."""

    forgotten = False

    def forget(self) -> None:
        self.forgotten = True


def answered(status: int, kind: str, body: bytes) -> Exception:
    """What docker-py makes of an answer of the engine."""
    response = requests.Response()
    response.status_code, response.url = status, "http+docker://localhost/v1.41/containers/x/json"
    response.headers["Content-Type"] = kind
    response._content = body
    try:
        _checked(response)
    except Exception as error:  # noqa: BLE001 - this is what is looked at
        return error
    raise AssertionError("an error passed for an answer")


def translated(error: BaseException) -> errors.Refused:
    return translate(error, cast("Engine", Unconnected()))


def check_answer(status: int, kind: str, body: bytes) -> None:
    """The engine's own words are kept, in one line and bounded, and blamed on nobody else."""
    error = answered(status, kind, body)
    refused = translated(error)
    assert not isinstance(refused, errors.InternalError), (status, body, error)
    assert str(refused).startswith(f"REFUSED [{refused.code}] ")
    assert refused.hint
    assert len(refused.what) <= 2_000
    assert " ".join(refused.what.split()) == refused.what.strip()
    assert str(translated(error)) == str(refused)
    if not isinstance(error, APIError):
        return
    told = " ".join(str(error.explanation or error).split())
    is_page = told.lower().startswith(("<html", "<!doctype"))
    assert is_page or told.startswith(refused.what)
    if kind_of(refused.what) is None and status in BY_STATUS:
        assert refused.code == BY_STATUS[status]
    if kind_of(refused.what) is None and status == 403:
        of_networks = re.search(r"\b(network|endpoint)s?\b", str(error.explanation).lower())
        assert refused.code == ("CONFLICT" if of_networks else "ENGINE_ERROR")


def check_words(text: str) -> None:
    """What words mean does not depend on their case; a connection that ends, however, is no fault of this server."""
    found = kind_of(text)
    assert found == kind_of(text.lower())
    if found is not None:
        kind, hint = found
        assert issubclass(kind, errors.Refused)
        assert hint.endswith((".", ")"))
        assert translated(APIError(text, explanation=text)).code in {each.code for each in _kinds()}
    for broken in _broken(text):
        refused = translated(broken)
        assert not isinstance(refused, errors.InternalError), broken
        assert refused.hint


def _kinds() -> set[type[errors.Refused]]:
    found, todo = set(), [errors.Refused]
    while todo:
        kind = todo.pop()
        found.add(kind)
        todo += kind.__subclasses__()
    return {kind for kind in found if "code" in vars(kind)}


def _broken(text: str) -> list[BaseException]:
    """Ways in which a connection ends, with these words."""
    pool = cast("Any", None)
    return [
        DockerException(text),
        requests.ConnectionError(urllib3.exceptions.ProtocolError(text, ConnectionResetError(104, text))),
        requests.ReadTimeout(text),
        requests.exceptions.ChunkedEncodingError(urllib3.exceptions.IncompleteRead(1, 2)),
        requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(pool, text, text)),
        urllib3.exceptions.ProtocolError(text),
        requests.JSONDecodeError(text, text, 0),
        BrokenPipeError(32, text),
        TimeoutError(text),
    ]


def one(data: bytes) -> None:
    head, _, body = data.partition(b"\n")
    status, _, kind = text_in(head).partition(" ")
    code = int(status) if re.fullmatch(r"[45][0-9][0-9]", status) else 500
    check_answer(code, kind.strip() or "application/json", body)
    check_words(text_in(body))


if __name__ == "__main__":
    fuzz(one)
