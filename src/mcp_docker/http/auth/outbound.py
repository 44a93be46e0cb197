"""Requests to the authorization server: bounded in time and size, without redirects, over https."""

import asyncio
import contextvars
import ipaddress
import json
import ssl
from collections.abc import Callable, Coroutine, Hashable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx2

from mcp_docker.errors import McpDockerError

SECONDS = 5.0
MOST_BYTES = 262_144

Key = TypeVar("Key", bound=Hashable)
Outcome = TypeVar("Outcome")


class Unavailable(McpDockerError):
    """The authorization server did not answer, or not with something that can be used. Holds no text of its own."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked(url: str, *, allow_loopback_http: bool) -> SplitResult:
    """The parts of a URL that may be asked.

    Raises:
        ValueError: not https (http is for loopback, where allowed), or it has a user or a fragment.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (allow_loopback_http and parts.scheme == "http" and is_loopback(host)):
        raise ValueError("the address of the authorization server is not https")
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("the address of the authorization server has no host, or has a user or a fragment")
    _ = parts.port  # raises when it is no number
    return parts


def origin(parts: SplitResult) -> tuple[str, str | None, int]:
    """Scheme, host and port of a URL, by which two are the same server."""
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def strict_json(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, no name twice, no NaN, no half characters.

    Raises:
        ValueError: it is anything else. The message holds nothing of the data.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):  # UnicodeError is a ValueError
        raise ValueError("no valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is there twice")
    return value


def _no_number(_: str) -> Any:
    raise ValueError("not a number")


class Outbound:
    """Asks one authorization server.

    Args:
        host: of the server; a proxy of the environment is used unless it is this machine.
        tls: whom to trust; None is the system's own certificates.
        basic: user and password of every request.
    """

    def __init__(self, host: str, *, tls: ssl.SSLContext | None = None, basic: tuple[str, str] | None = None) -> None:
        self._trust_environment = not is_loopback(host)
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._auth = httpx2.BasicAuth(*basic) if basic else None
        self._client: httpx2.AsyncClient | None = None

    async def ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object that the server answers with.

        Raises:
            Unavailable: it says why, without anything that was sent or received.
        """
        try:
            with anyio.fail_after(SECONDS):
                body = await self._read(method, url, form)
            return strict_json(body)
        except httpx2.ConnectError as error:  # before anything was sent: its words are the system's
            raise Unavailable(f"can't be reached ({error})") from None
        except httpx2.ProxyError:
            raise Unavailable("can't be reached: the proxy that the environment names refuses") from None
        except TimeoutError:
            raise Unavailable(f"did not answer within {SECONDS:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unavailable(f"can't be asked or understood ({type(error).__name__})") from None

    async def _read(self, method: str, url: str, form: Mapping[str, str] | None) -> bytes:
        if self._client is None:
            self._client = self._opened()
        body = bytearray()
        async with self._client.stream(method, url, data=form, auth=self._auth) as response:
            if response.status_code != httpx2.codes.OK:
                raise Unavailable(f"answered with status {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise Unavailable("answered in a content encoding that was not asked for")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise Unavailable(f"answered with more than {MOST_BYTES} bytes")
        return bytes(body)

    def _opened(self) -> httpx2.AsyncClient:
        try:
            return httpx2.AsyncClient(
                verify=self._tls,
                trust_env=self._trust_environment,
                timeout=SECONDS,
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=20, max_keepalive_connections=4),
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mcp-docker"},
            )
        except ImportError:  # of the package for them
            raise Unavailable("can't be asked through a SOCKS proxy, which ALL_PROXY or HTTPS_PROXY names") from None
        except (httpx2.InvalidURL, OSError, ValueError) as error:  # its words may hold a proxy's password
            raise Unavailable(
                "can't be asked, since HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR "
                f"is not usable ({type(error).__name__})"
            ) from None

    async def aclose(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class Flights(Generic[Key, Outcome]):
    """One piece of work at a time for each key, shared by all who wait; one who leaves does not end it."""

    def __init__(self) -> None:
        self._flying: dict[Key, asyncio.Task[Outcome]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._flying

    async def join(self, key: Key, work: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        """What `work` returns, started now unless it is under way. It must not raise."""
        task = self._flying.get(key)
        if task is None:
            # An empty context: the work is done for all, and nothing of the first who asked goes with it.
            task = asyncio.get_running_loop().create_task(work(), context=contextvars.Context())
            self._flying[key] = task
            task.add_done_callback(lambda _: self._flying.pop(key, None))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._flying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
