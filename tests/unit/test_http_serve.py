"""What can't be served safely is not served at all."""

import asyncio
import contextlib
import sys
from asyncio import constants
from pathlib import Path

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from sse_starlette.sse import AppStatus

from mcp_docker.engine import Engine
from mcp_docker.errors import SettingsError
from mcp_docker.http import serve as serving
from mcp_docker.http.app import Listening
from mcp_docker.http.serve import serve
from mcp_docker.registry import Registry
from mcp_docker.settings import load
from tests.unit.authorization_server import certificate
from tests.unit.http_auth_fixtures import anyio_backend

__all__ = ["anyio_backend"]

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


async def refused(cert: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why it does not listen with these files."""
    monkeypatch.setattr(AppStatus, "enable_automatic_graceful_drain", True)
    settings = load()
    with pytest.raises(SettingsError) as problem:
        await serve(settings, Registry(settings), Engine(settings), None, Listening("127.0.0.1", 1, cert, key))
    return str(problem.value)


async def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = certificate(tmp_path)
    key = serialization.load_pem_private_key(both.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"phrase")))
    said = await refused(both, locked, monkeypatch)
    assert str(locked) in said
    assert "has a pass phrase" in said


@pytest.mark.parametrize("wrong", ["missing", "a folder", "no PEM", "another's"])
async def test_files_that_are_no_certificate_and_key_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    both, key = certificate(tmp_path), tmp_path / "key.pem"
    match wrong:
        case "a folder":
            key.mkdir()
        case "no PEM":
            key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n")
        case "another's":
            (tmp_path / "other").mkdir()
            key = certificate(tmp_path / "other")
    said = await refused(both, key, monkeypatch)
    assert said.startswith(f"--tls-cert {both}, --tls-key {key}: ")


async def test_on_windows_it_says_where_it_can_be_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    both = certificate(tmp_path)
    monkeypatch.setattr(sys, "platform", "win32")
    assert "not served on Windows" in await refused(both, both, monkeypatch)


async def test_who_never_begins_to_speak_tls_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "SSL_HANDSHAKE_TIMEOUT", 60.0)
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.2)
    both = certificate(tmp_path)
    context = serving._tls(Listening("127.0.0.1", 1, both, both))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", ssl=context)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with anyio.fail_after(5), contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
