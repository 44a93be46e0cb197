"""Pull, push and build: their streams begin with success and may end in failure, so they are read to the end."""

import contextlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_docker import errors
from mcp_docker.engine import Engine, config, context
from mcp_docker.engine.errors import kind_of, told
from mcp_docker.engine.scope import CallScope
from mcp_docker.errors import Refused
from mcp_docker.tool import Context

LOG_LINES = 60
LINE_CHARACTERS = 1_000

_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP (\d+)/(\d+) ?: (.*)", re.IGNORECASE | re.DOTALL)
_EXIT = re.compile(r"(?:returned a non-zero code:|exit status) (\d+)")
_BUILDKIT = re.compile(r"the (--\S+) option requires BuildKit")
_DIGEST = re.compile(r"\bdigest: (sha\d+:[0-9a-f]{64,128})\b(?: size: (\d+))?", re.IGNORECASE)
_WHOLE = {"Already exists", "Pull complete", "Pushed", "Layer already exists"}


@dataclass
class _Layer:
    """Bytes of one layer: how many there are, and how many have come and been unpacked."""

    size: int = 0
    moved: int = 0
    unpacked: int = 0
    whole: bool = False


@dataclass
class Transfer:
    """What the stream of a pull or a push has told so far."""

    what: str
    digest: str | None = None
    size: int | None = None
    layers: dict[str, _Layer] = field(default_factory=dict)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from one event."""
        status, name = str(event.get("status") or ""), str(event.get("id") or "")
        if found := _DIGEST.search(status):
            self.digest = found[1]
            self.size = int(found[2]) if found[2] else self.size
        detail = event.get("progressDetail")
        if not isinstance(detail, dict):
            detail = {}
        current, total = detail.get("current"), detail.get("total")
        if status and not isinstance(current, int):
            self.log.append(f"{name}: {status}"[:LINE_CHARACTERS] if name else status[:LINE_CHARACTERS])
        if not name or "progressDetail" not in event:
            return
        layer = self.layers.setdefault(name, _Layer())
        # newer engines report seconds where they unpack
        if isinstance(current, int) and not detail.get("units"):
            layer.size = max(layer.size, total if isinstance(total, int) else 0)
            if status == "Extracting":
                layer.moved, layer.unpacked = layer.size, max(layer.unpacked, current)
            else:
                layer.moved = max(layer.moved, current)
        elif status == "Download complete" or status in _WHOLE or status.startswith("Mounted from"):
            layer.moved = layer.size
            if status != "Download complete":
                layer.unpacked, layer.whole = layer.size, True

    def tell(self, ctx: Context) -> None:
        """Report progress; what is done only ever grows."""
        layers = self.layers.values()
        whole, size, moved = (sum(getattr(each, name) for each in layers) for name in ("whole", "size", "moved"))
        done = whole + moved + sum(each.unpacked for each in layers)
        count = f": {whole} of {len(layers)} layers" if layers else ""
        weight = f", {_megabytes(moved)} of {_megabytes(size)} MB" if size else ""
        ctx.progress(done, len(layers) + 2 * size, self.what + count + weight)


def pull(ctx: Context, name: str, tag: str | None, platform: str | None) -> Transfer:
    """Pull one tag or digest of a repository, all tags where `tag` is None.

    Raises:
        Refused: the registry's or the engine's reason, with the end of the log.
    """
    login = config.login(ctx.engine, name)
    transfer = Transfer(f"pulling {name}" + ("" if tag is None else f"{'@' if ':' in tag else ':'}{tag}"))
    transfer.tell(ctx)
    with CallScope.current().patient(ctx.limits.seconds), _explained(transfer.log, login.problem):
        stream = ctx.engine.docker.pull(
            name,
            tag=tag,
            stream=True,
            decode=True,
            auth_config=login.auth,
            platform=platform,
            all_tags=tag is None,
        )
        _follow(ctx, transfer, stream, login.problem)
    return transfer


def push(ctx: Context, name: str, tag: str) -> Transfer:
    """Push one tag of a repository.

    Raises:
        Refused: the registry's or the engine's reason, with the end of the log.
    """
    login = config.login(ctx.engine, name)
    transfer = Transfer(f"pushing {name}:{tag}")
    transfer.tell(ctx)
    with CallScope.current().patient(ctx.limits.seconds), _explained(transfer.log, login.problem):
        stream = ctx.engine.docker.push(name, tag=tag, stream=True, decode=True, auth_config=login.auth)
        _follow(ctx, transfer, stream, login.problem)
    return transfer


def _follow(ctx: Context, transfer: Transfer, stream: Iterable[Any], problem: str) -> None:
    import docker.errors

    failed, understood = "", None
    # to its end even then, so that the connection can be used again
    for event in stream:
        understood = understood or isinstance(event, dict)
        if not isinstance(event, dict):
            continue
        failed = failed or _error(event)
        transfer.take(event)
        transfer.tell(ctx)
    if understood is False:
        raise docker.errors.StreamParseError("there is no event in it")
    CallScope.current().check()
    if failed:
        raise _failure(failed, transfer.log, problem)


@dataclass
class Build:
    """What the stream of a build has told so far."""

    image: str | None = None
    step: int = 0
    steps: int = 0
    instruction: str = ""
    cached: int = 0
    begun: int = 0
    warnings: list[str] = field(default_factory=list)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    _line: str = ""
    _lines: int = 0

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from one event."""
        aux = event.get("aux")
        if isinstance(aux, dict) and aux.get("ID"):
            self.image = str(aux["ID"])
        self._lines += 1
        text = event.get("stream")
        if not isinstance(text, str):
            return
        if (match := _STEP.fullmatch(text.rstrip())) is not None:
            self.step, self.steps, self.instruction = int(match[1]), int(match[2]), " ".join(match[3].split())[:200]
            self.begun += 1
            self._lines = 0
        self.cached += "--> Using cache" in text
        *whole, self._line = re.split(r"[\r\n]+", (self._line + text)[-100_000:])
        for line in whole:
            if line.strip():
                self.log.append(line[:LINE_CHARACTERS])
                if "[Warning]" in line[:20] and len(self.warnings) < LOG_LINES:
                    self.warnings.append(line.partition("[Warning]")[2].strip()[:LINE_CHARACTERS])

    def tell(self, ctx: Context) -> None:
        """Report progress: a step counts one, its output up to one more; the context came before the first."""
        if self.begun:
            message = f"step {self.step} of {self.steps}: {self.instruction}"
            ctx.progress(self.begun + _share(self._lines, 50), max(self.steps, self.begun) + 1, message)

    def failure(self, message: str, code: Any = None) -> Refused:
        """What failed, and where."""
        log = "\n".join([*self.log, *([self._line] if self._line.strip() else [])])
        where = f"step {self.step} of {self.steps} ({self.instruction})" if self.step else "the build"
        found = _EXIT.search(message)
        if found or code:
            why = f"{where} failed with exit code {code or (found and found[1])}"
        else:
            why = f"{where} failed: {message}"
        return errors.BuildFailed(why, "correct the Dockerfile or its context; the end of the log follows.", detail=log)


def build(ctx: Context, folder: context.BuildContext, params: dict[str, Any], remedy: str) -> Build:
    """Send a context and build it.

    Args:
        params: the query of the engine's build request.
        remedy: the hint where the build needs BuildKit.

    Raises:
        BuildFailed: with the failing step, its exit code and the end of the log.
        BuildKitRequired: the builder says that it is too old for the Dockerfile.
    """
    import docker.errors
    import requests
    from docker.auth import encode_header

    def sent(count: int) -> None:
        ctx.progress(_share(count, 50_000_000), 0, f"sending {_megabytes(count)} MB")

    client = ctx.engine.docker
    headers: dict[str, str | bytes] = {"Content-Type": "application/x-tar"}
    if known := config.logins(ctx.engine):
        headers["X-Registry-Config"] = encode_header(known)
    built = Build()
    with CallScope.current().patient(ctx.limits.seconds):
        response = client.post(
            f"{client.base_url}/v{client.api_version}/build",
            params=params,
            data=context.packed(folder, sent),
            headers=headers,
            stream=True,
        )
        with contextlib.closing(response):
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                docker.errors.create_api_error_from_http_exception(error)
            for event in _events(response.iter_lines()):
                if message := _error(event):
                    if found := _BUILDKIT.search(message):
                        raise errors.BuildKitRequired(f"{built.instruction!r} needs BuildKit for {found[1]}", remedy)
                    detail = event.get("errorDetail")
                    raise built.failure(message, detail.get("code") if isinstance(detail, dict) else None)
                built.take(event)
                built.tell(ctx)
    CallScope.current().check()
    if built.image is None:
        raise built.failure("the engine ended the build without an image")
    return built


def image_of(engine: Engine, reference: str) -> dict[str, Any] | None:
    """What a reference names now, None if nothing."""
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        found: dict[str, Any] = engine.docker.inspect_image(reference)  # type: ignore[no-untyped-call]  # the stubs don't annotate it
        return found
    return None


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.strip():
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


def _error(event: Mapping[str, Any]) -> str:
    """The message of an event that says failure; empty for any other."""
    detail = event.get("errorDetail")
    message = (detail.get("message") if isinstance(detail, dict) else None) or event.get("error") or ""
    return " ".join(str(message).split())[:2_000]


def _failure(message: str, log: Iterable[str], problem: str) -> Refused:
    kind, hint = kind_of(message) or (
        errors.RegistryFailed,
        "try again; if it goes on, the registry or the engine's way to it is at fault.",
    )
    if problem and issubclass(kind, errors.RegistryDenied):
        hint = f"{hint.rstrip('.')} ({problem})."
    return kind(message.rstrip(".;"), hint, detail="\n".join(log))


@contextlib.contextmanager
def _explained(log: Iterable[str], problem: str) -> Iterator[None]:
    """An engine that asks the registry before it answers puts the registry's refusal into its status."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        message = told(error)
        # a 403 without words of a registry's is the engine's own, or of what stands in front of it
        if error.status_code == 400 or (error.status_code == 403 and kind_of(message) is None):
            raise
        raise _failure(message, log, problem) from error


def _share(count: int, half: int) -> float:
    """Grows with the count from 0 towards 1."""
    return count / (count + half)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count < 10_000_000 else f"{count // 1_000_000}"
