"""A small real authorization server on loopback: metadata, keys that rotate, signed tokens, introspection, bad days."""

import base64
import datetime
import ipaddress
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
KEYS = "/keys"
INTROSPECT = "/introspect"
AUDIENCE = "https://docker.example/mcp"
CHUNK = b" " * 65_536

_MADE: dict[str, list[Key]] = {}


def made(algorithm: str, number: int = 0) -> Key:
    """A private key for an algorithm. Made once in a process, since RSA keys take long; `number` tells them apart."""
    kind = {"RS": "RSA", "PS": "RSA", "ES": algorithm}.get(
        algorithm[:2], "Ed448" if algorithm == "Ed448" else "Ed25519"
    )
    keys = _MADE.setdefault(kind, [])
    while len(keys) <= number:
        match kind:
            case "RSA":
                keys.append(RSAKey.generate_key(2048))
            case "ES256" | "ES384" | "ES512":
                curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[kind]
                keys.append(ECKey.generate_key(curve))
            case _:
                keys.append(OKPKey.generate_key(kind))  # type: ignore[arg-type]
    return keys[number]


class _AnyAlgorithm(jws.JWSRegistry):
    """Signs whatever it is asked to."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def sign(header: Mapping[str, Any], payload: bytes, key: Key | None) -> str:
    """A compact JWS with exactly this header and payload."""
    registry = _AnyAlgorithm(strict_check_header=False)
    registry.max_header_length = 100_000
    return jws.serialize_compact(dict(header), payload, key, registry=registry)


@dataclass(frozen=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]


Answer = Callable[[BaseHTTPRequestHandler], None]


def plain(data: Any, status: int = 200, **headers: str) -> Answer:
    """An answer of JSON data, or of bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def redirect(to: str) -> Answer:
    """An answer that sends the client elsewhere."""
    return plain(b"", 302, Location=to)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """An answer without an end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(CHUNK)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """No answer: the connection closes."""
    handler.close_connection = True


class AuthorizationServer:
    """Answers on loopback. `answers` goes before what it would say by itself; `asked` is what was asked.

    Args:
        tls: certificate and key, PEM in one file; None speaks http.
        path: of the issuer, as `/realms/a`.
    """

    def __init__(self, tls: Path | None = None, path: str = "") -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Answer] = {}
        self.tokens: dict[str, Any] = {}
        self.published: list[dict[str, Any]] = []
        self.gate = threading.Event()
        self.waiting = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                server.handle(self)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def finish_request(self, request: Any, client_address: Any) -> None:
                # In the connection's own thread: a client that stays silent holds up nobody else.
                if context is None:
                    super().finish_request(request, client_address)
                    return
                with context.wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)

            def handle_error(self, *_: Any) -> None:
                pass

        context = None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        self.issuer = self.url + path
        self.jwks_uri = self.url + KEYS
        self.publish(made("RS256"), "first")

    def publish(self, key: Key, kid: str | None, **parameters: Any) -> None:
        """Add a key to the set, and sign with it from now on."""
        self.signer, self.kid = key, kid
        entry = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
        self.published.append({**entry, **({} if kid is None else {"kid": kid}), **parameters})

    def rotate(self, key: Key, kid: str | None, **parameters: Any) -> None:
        """Replace all keys by this one."""
        self.published.clear()
        self.publish(key, kid, **parameters)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token, changed; None takes one away."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": "inspector",
            "scope": "docker:read docker:write",
            "iat": now,
            "exp": now + 300,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        """The header of a good token, changed; None takes a parameter away."""
        header = {"typ": "at+jwt", "alg": "RS256", "kid": self.kid, **changes}
        return {name: value for name, value in header.items() if value is not None}

    def token(self, header: Mapping[str, Any] | None = None, key: Key | None = None, **claims: Any) -> str:
        """A good token but for what is changed in its header and claims, and the key."""
        payload = json.dumps(self.claims(**claims)).encode()
        return sign(self.header(**(header or {})), payload, key or self.signer)

    def counted(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def held(self, then: Answer) -> Answer:
        """An answer that comes only once `gate` is open; `waiting` says that one waits."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            self.waiting.set()
            self.gate.wait(30)
            then(handler)

        return answer

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        with self._lock:
            self.asked.append(Asked(handler.command, handler.path, dict(handler.headers.items()), form))
        self.answers.get(handler.path, self.usual(handler.path, form))(handler)

    def usual(self, path: str, form: Mapping[str, str]) -> Answer:
        """What it says on a good day."""
        if path == METADATA + self.issuer.removeprefix(self.url):
            return plain({"issuer": self.issuer, "jwks_uri": self.jwks_uri})
        if path == KEYS:
            return plain({"keys": self.published})
        if path == INTROSPECT:
            return plain(self.tokens.get(form.get("token", ""), {"active": False}))
        return plain({"error": "not_found"}, 404)

    def close(self) -> None:
        """Stop listening; what is held is let go."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authorization server of a test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


BAD_ANSWERS: dict[str, Answer] = {
    "down": hang_up,
    "error": plain({"keys": []}, 500),
    "not found": plain({"keys": []}, 404),
    "huge": endless,
    "redirect": redirect("/elsewhere"),
    "nonsense": plain(b"<html>"),
    "nothing": plain(b""),
    "a list": plain([]),
    "no keys": plain({}),
    "keys that are no list": plain({"keys": {"first": {}}}),
    "packed": plain(b"\x1f\x8b", 200, Content_Encoding="gzip"),
    "no utf-8": plain(b'{"keys": [], "\xff": 1}'),
}


def encoded(data: Any) -> str:
    """A part of a compact token: bytes, or data as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: Any, payload: Any, signature: bytes = b"x" * 256) -> str:
    """A compact token with this signature."""
    return ".".join((encoded(header), encoded(payload), encoded(signature)))


def sign_loosely(issuer: AuthorizationServer, key: Key | None = None, **header: Any) -> str:
    """A token whose header may break any rule, with a good RS256 signature over it."""
    head = json.dumps(issuer.header(**header)).encode()
    return sign_raw(issuer, head, json.dumps(issuer.claims()).encode(), key)


def sign_raw(issuer: AuthorizationServer, head: bytes, payload: bytes, key: Key | None = None) -> str:
    """A token of any bytes, with a good RS256 signature over them."""

    signed = f"{encoded(head)}.{encoded(payload)}"
    signature = jws.JWSRegistry.algorithms["RS256"].sign(signed.encode(), key or issuer.signer)
    return f"{signed}.{encoded(signature)}"


def active(issuer: AuthorizationServer, **changes: Any) -> dict[str, Any]:
    """What introspection says of a good token, changed."""
    return {"active": True, **issuer.claims(**changes)}
