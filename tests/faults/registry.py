"""A registry that has an image of every name, as small as the protocol allows.

Source: OCI Distribution Specification 1.1, "Pulling manifests" and "Pulling blobs".
"""

import gzip
import hashlib
import io
import json
import socketserver
import tarfile
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any


class Registry:
    """Answers on loopback until closed.

    Args:
        labels: of the image.
    """

    def __init__(self, labels: dict[str, str]) -> None:
        layer = _layer()
        held = {_digest(blob): blob for blob in [gzip.compress(layer)]}
        layers = [_part(blob, "image.rootfs.diff.tar.gzip") for blob in held.values()]

        def manifest(repository: str) -> bytes:
            """That of a repository, whose image is its own."""
            config = {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Labels": labels | {"repository": repository}},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
            blob = json.dumps(config).encode()
            held[_digest(blob)] = blob
            whole = {"schemaVersion": 2, "mediaType": f"{_KIND}.distribution.manifest.v2+json", "layers": layers}
            made = json.dumps(whole | {"config": _part(blob, "container.image.v1+json")}).encode()
            held[_digest(made)] = made
            return made

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                _, _, repository, kind, last, *_ = [*self.path.split("/"), "", "", ""]
                body = b"{}" if self.path == "/v2/" else held.get(last) or manifest(repository)
                self.send_response(200)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                what = f"{_KIND}.distribution.manifest.v2+json" if kind == "manifests" else "application/octet-stream"
                self.send_header("Content-Type", what)
                self.send_header("Docker-Content-Digest", _digest(body))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                pass  # an engine that was told to stop hangs up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


_KIND = "application/vnd.docker"


def _part(blob: bytes, kind: str) -> dict[str, Any]:
    return {"size": len(blob), "digest": _digest(blob), "mediaType": f"{_KIND}.{kind}"}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"hello\n"))
    return out.getvalue()
