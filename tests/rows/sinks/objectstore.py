"""A server that speaks S3, on loopback, which notes what it is asked, and can be told to refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

BUCKET = "results"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # what is tried again is tried by us
    "AWS_EC2_METADATA_DISABLED": "true",
}

Request = tuple[str, str]
"""Method and key."""


class Server:
    """moto behind a gate. `rule` may answer a request by a code such as "503 InternalError", or
    keep it waiting."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.rule: Callable[[Request], str | None] = lambda request: None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}").lstrip("/")
        request = (environ["REQUEST_METHOD"], key)
        self.requests.append(request)
        refused = self.rule(request)
        if refused is None:
            answer: Iterable[bytes] = self._moto(environ, start)
            return answer
        status, _, code = refused.partition(" ")
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{code}</Code><Message>by the test</Message></Error>".encode()
        start(
            f"{status} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))]
        )
        return [body]

    def sent(self) -> list[str]:
        """Keys of the objects that were written since the last question, in order."""
        keys = [key for method, key in self.requests if method == "PUT" and key]
        self.requests.clear()
        return keys

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()
