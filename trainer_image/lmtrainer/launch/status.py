"""What a node answers by HTTP: three paths, read only. Callers: `node`, which knows the answers."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

Answer: TypeAlias = tuple[int, str]
"""HTTP status and body."""

CLIENT_SECONDS = 5.0
"""How long a client may take to ask."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away before its answer is not worth a traceback in the log."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def serve(listener: socket.socket, routes: Mapping[str, Callable[[], Answer]]) -> None:
    """Answer on `listener` until the process ends, each request in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_SECONDS

        def do_GET(self) -> None:
            status, body = _answer(routes, self.path.partition("?")[0])
            data = (body.rstrip("\n") + "\n").encode()
            self.send_response(status)
            kind = "application/json" if body.startswith("{") else "text/plain; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Probes come every second: they are not worth a line."""

    server = _Server(listener.getsockname()[:2], Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    threading.Thread(target=server.serve_forever, daemon=True, name="status").start()


def _answer(routes: Mapping[str, Callable[[], Answer]], path: str) -> Answer:
    route = routes.get(path)
    if route is None:
        return 404, f"no such path; there are {', '.join(routes)}"
    try:
        return route()
    except Exception as error:
        return 500, f"{type(error).__name__}: {error}"
