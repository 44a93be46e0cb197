"""The Docker Engine: found and connected when first needed, and again after it went away."""

import contextlib
import functools
import http.client
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_docker.engine import address
from mcp_docker.engine.scope import CallScope
from mcp_docker.errors import EngineUnreachable, Refused, Unsupported
from mcp_docker.settings import Settings

if TYPE_CHECKING:
    import requests
    from docker import APIClient

OLDEST_API = (1, 40)
NEWEST_API = (1, 51)
NO_SOCKET = "there is no such socket"
NO_ANSWER = "no answer in time"
NOT_PERMITTED = "permission denied (is your user in the group that owns the socket?)"
UNUSABLE = "can't use "
TURN_SECONDS = 0.05


@dataclass(frozen=True)
class Connected:
    """An engine that answered: where, by which rule, and what it says of itself (GET /version)."""

    endpoint: address.Endpoint
    client: "APIClient"
    version: dict[str, Any]

    @property
    def api(self) -> tuple[int, int]:
        """The API version spoken with it."""
        return _numbers(self.client.api_version)

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        """What the engine says of itself and its host (GET /info); asked once."""
        found: dict[str, Any] = self.client.info()
        return found

    @property
    def is_podman(self) -> bool:
        return any("podman" in str(part.get("Name", "")).lower() for part in self.version.get("Components") or [])


class Engine:
    """Where calls find the engine. Every use belongs to a `CallScope`.

    Args:
        settings: where the engine is, and as whom.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._connected: Connected | None = None

    @property
    def docker(self) -> "APIClient":
        """docker-py's low-level client, connected.

        Raises:
            EngineUnreachable: with each place that was tried and why it failed.
        """
        return self.connected.client

    @property
    def api(self) -> tuple[int, int]:
        """The API version spoken, as (1, 41)."""
        return self.connected.api

    @property
    def connected(self) -> Connected:
        """The engine, connecting if need be. Raises EngineUnreachable."""
        connected = self._connected
        if connected is None:
            # whoever connects may take longer than this call has
            while not self._lock.acquire(timeout=TURN_SECONDS):
                CallScope.current().check()
            try:
                connected = self._connected = self._connected or self._connect()
            finally:
                self._lock.release()
        return connected

    @property
    def kept(self) -> Mapping[str, Any]:
        """What the engine has said of itself, by request, as far as it was asked."""
        connected = self._connected
        if connected is None:
            return {}
        return {"GET /version": connected.version, "GET /info": vars(connected).get("info", {})}

    def forget(self) -> None:
        """Look for the engine anew at the next call."""
        with self._lock:
            gone, self._connected = self._connected, None
        if gone is not None:
            gone.client.close()

    def get(self, path: str, *, stream: bool = False, **params: Any) -> "requests.Response":
        """GET a versioned path that docker-py has no good call for. Raises docker's APIError."""
        client = self.docker
        return _checked(client.get(f"{client.base_url}/v{client.api_version}{path}", params=params, stream=stream))

    def post(self, path: str, body: Any, *, stream: bool = False) -> "requests.Response":
        """POST JSON to a versioned path. Raises docker's APIError."""
        client = self.docker
        return _checked(client.post(f"{client.base_url}/v{client.api_version}{path}", json=body, stream=stream))

    def delete(self, path: str, **params: Any) -> None:
        """DELETE a versioned path. Raises docker's APIError."""
        client = self.docker
        _checked(client.delete(f"{client.base_url}/v{client.api_version}{path}", params=params))

    def _connect(self) -> Connected:
        try:
            places = address.endpoints(self.settings)
        except address.BadContext as error:
            raise EngineUnreachable(
                str(error), 'choose another ("docker context use NAME") or set DOCKER_HOST.'
            ) from None
        tried: list[tuple[address.Endpoint, str]] = []
        for endpoint in places:
            try:
                return self._dial(endpoint)
            except Refused:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a place answers, the next one may do better
                tried.append((endpoint, why(error, local=endpoint.address.startswith(("unix://", "npipe://")))))
        raise NoEngine(tried)

    def _dial(self, endpoint: address.Endpoint) -> Connected:
        import requests
        from docker import APIClient

        from mcp_docker.engine.transport import EngineAdapter, dialler

        scheme = endpoint.address.partition("://")[0]
        if scheme not in ("unix", "tcp", "http", "https", "ssh", "npipe"):
            raise ValueError("the address must begin with unix://, tcp://, https://, ssh:// or npipe://")
        adapter: requests.adapters.HTTPAdapter
        if scheme == "npipe":
            # exists on Windows only
            from docker.transport import NpipeHTTPAdapter

            adapter = NpipeHTTPAdapter(endpoint.address)
        else:
            tls = endpoint.tls or (address.Tls(None, None, None, verify=True) if scheme == "https" else None)
            dial = dialler(endpoint.address, tls.context() if tls and scheme != "unix" else None)
            adapter = EngineAdapter(dial, self.forget)
        probe = requests.Session()
        probe.trust_env = False
        probe.mount("http+docker://", adapter)
        version, theirs = _introduced(_checked(probe.get("http+docker://localhost/version")))
        if theirs < OLDEST_API:
            raise Unsupported(
                f"the engine at {endpoint.address} speaks API {version['ApiVersion']} at most",
                "mcp-docker needs 1.40, that of Docker Engine 19.03: the operator can name another with DOCKER_HOST.",
            )
        chosen = self.settings.docker_api_version or "{}.{}".format(*min(theirs, NEWEST_API))
        with _understood():
            client = APIClient(base_url="unix:///unused", version=chosen.removeprefix("v"))
        client.trust_env = False
        client.mount("http+docker://", adapter)
        return Connected(endpoint, client, version)


class NoEngine(EngineUnreachable):
    """No place had an engine that answers. `tried` has each, and why it failed; `remedy` says what to do."""

    def __init__(self, tried: list[tuple[address.Endpoint, str]]) -> None:
        told = [f"{place.address} ({place.rule}): {reason}" for place, reason in tried if reason != NO_SOCKET]
        missing = [place.address for place, reason in tried if reason == NO_SOCKET]
        if missing:
            told.append(f"{NO_SOCKET} as {', '.join(missing)}")
        self.tried = tried
        self.remedy = address.remedy(
            permitted=all(reason != NOT_PERMITTED for _, reason in tried),
            usable=not any(reason.startswith(UNUSABLE) for _, reason in tried),
        )
        super().__init__(f"no Docker Engine answers. Tried: {'; '.join(told)}", self.remedy + ".")


def why(error: BaseException, *, local: bool = True) -> str:
    """The reason of a failed connection in a few words.

    Args:
        local: whether it is one to a socket of this machine, which may be missing or another's.
    """
    cause: BaseException | None = error
    seen = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        match cause:
            case FileNotFoundError() if local and not cause.filename:
                return NO_SOCKET
            case PermissionError() if local and not cause.filename:
                return NOT_PERMITTED
            case ConnectionRefusedError():
                return "nothing listens there"
            case ConnectionResetError() | BrokenPipeError():
                return "it closed the connection"
            case TimeoutError():
                return NO_ANSWER
            case http.client.IncompleteRead():
                return "its answer broke off"
            case http.client.HTTPException():
                return "what it says is not HTTP"
            case OSError() if cause.strerror:
                # no socket has a name: it is that of a certificate, or of the ssh program
                return f"{UNUSABLE}{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror
        inner = next((arg for arg in cause.args if isinstance(arg, BaseException)), None)
        reason = getattr(cause, "reason", None)
        cause = cause.__cause__ or inner or (reason if isinstance(reason, BaseException) else None) or cause.__context__
    return str(error) or type(error).__name__


def _checked(response: "requests.Response") -> "requests.Response":
    import requests
    from docker.errors import create_api_error_from_http_exception

    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        with contextlib.closing(response):
            create_api_error_from_http_exception(error)
    return response


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """docker-py's client reads the user's config.json, and has no words for one that is not what it should be."""
    from docker.errors import InvalidConfigFile

    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, InvalidConfigFile) as error:
        raise EngineUnreachable(
            f"Docker's config.json can't be understood: {type(error).__name__}: {error}",
            "correct its logins and proxies, or name the folder of another with DOCKER_CONFIG; then call again.",
        ) from error


def _introduced(response: "requests.Response") -> tuple[dict[str, Any], tuple[int, int]]:
    """What an engine says of itself, and the newest API that it speaks. Raises ValueError if it is no engine."""
    try:
        version: dict[str, Any] = response.json()
        return version, _numbers(version["ApiVersion"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError("what it says of its version is not what an engine says") from None


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.removeprefix("v").partition(".")
    return int(major), int(minor.partition(".")[0])


__all__ = ["CallScope", "Connected", "Engine", "NoEngine", "why"]
