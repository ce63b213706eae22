"""HTTP for MLflow's clients over one connection: JSON both ways, errors included."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from .runs import Runs
from .schema import Refused

__all__ = ["serve"]

LARGEST = 64 << 20  # bytes of a request; a batch of MLflow's has one at most
STATUS = {"ENDPOINT_NOT_FOUND": 404, "RESOURCE_DOES_NOT_EXIST": 404}


def serve(connection: socket.socket, peer: tuple[str, int], prefix: str, runs: Runs) -> None:
    """Answer requests until the client closes the connection.

    Raises:
        OSError: the connection broke.
    """
    _Handler(connection, peer, prefix, runs)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer is one packet

    def __init__(self, connection: socket.socket, peer: tuple[str, int], prefix: str, runs: Runs) -> None:
        self._prefix, self._runs = prefix, runs
        super().__init__(connection, peer, cast(Any, None))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives
        """Log nothing: the trial's log belongs to the program."""

    def _request(self) -> None:
        try:
            status, data = 200, json.dumps(self._answer()).encode()
        except (Refused, RecursionError) as error:
            refused = error if isinstance(error, Refused) else Refused("INVALID_PARAMETER_VALUE", "it is too deep")
            status = STATUS.get(refused.code, 400)
            data = json.dumps({"error_code": refused.code, "message": str(refused)}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _request

    def _answer(self) -> dict[str, Any]:
        body = self._body()
        try:
            target = urlsplit(self.path)
            asked = {**dict(parse_qsl(target.query)), **(json.loads(body) if body else {})}
        except (ValueError, TypeError):
            raise Refused("INVALID_PARAMETER_VALUE", "a request has one JSON object") from None
        if not target.path.startswith(f"{self._prefix}/"):
            raise Refused("ENDPOINT_NOT_FOUND", "no such endpoint")
        path = target.path.removeprefix(self._prefix)
        api, _, endpoint = path.partition("/mlflow/")
        return self._runs.answer(self.command, endpoint if api in ("/api/2.0", "/api/3.0") else path, asked)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        too_large = not length.isdecimal() or len(length) > len(str(LARGEST)) or int(length) > LARGEST
        if too_large or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # where the next request begins is not known
            raise Refused("INVALID_PARAMETER_VALUE", f"a request has its Content-Length, up to {LARGEST} bytes")
        return self.rfile.read(int(length))
