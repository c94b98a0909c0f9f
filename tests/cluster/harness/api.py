"""A small client of the API server for tests: blocking, one connection a thread, no magic."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lmjob.api.names import GROUP, PLURAL, VERSION
from tests.cluster.harness.access import Access

T = TypeVar("T")

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

_HOMES = {
    PLURAL: f"/apis/{GROUP}/{VERSION}",
    "leases": "/apis/coordination.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}


class ApiError(Exception):
    """The API server refused."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(
            f"{status}: {body.get('message', body) if isinstance(body, dict) else body}"
        )
        self.status = status
        self.body = body


def path_of(plural: str, namespace: str = "", name: str = "", part: str = "") -> str:
    """The address of objects: `pods`, `lmtrainingjobs`, ... in a namespace, or one of them."""
    parts = [_HOMES.get(plural, "/api/v1")]
    parts += [f"namespaces/{namespace}"] if namespace else []
    return "/".join([*parts, plural, *([name] if name else []), *([part] if part else [])])


class Api:
    """Requests to one API server, as its administrator."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._tls = access.tls()
        self._kept = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Of all threads."""
        for connection in self._connections:
            connection.close()

    def request(
        self, verb: str, path: str, body: Any = None, content: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and answer. A connection that was closed meanwhile is opened again once."""
        for last in (False, True):
            try:
                return self._once(verb, path, body, content)
            except (http.client.HTTPException, OSError):
                self._kept.connection.close()
                self._kept.connection = None
                if last:
                    raise
        raise AssertionError

    def must(
        self, verb: str, path: str, body: Any = None, content: str = "application/json"
    ) -> Any:
        """The answer. ApiError if the server refuses."""
        status, answer = self.request(verb, path, body, content)
        if status >= 400:
            raise ApiError(status, answer)
        return answer

    def get(self, plural: str, namespace: str, name: str) -> Any:
        """An object; None if it is not there."""
        status, answer = self.request("GET", path_of(plural, namespace, name))
        if status == 404:
            return None
        if status >= 400:
            raise ApiError(status, answer)
        return answer

    def list(self, plural: str, namespace: str = "", *, labels: str = "") -> Any:
        query = f"?labelSelector={urllib.parse.quote(labels)}" if labels else ""
        return self.must("GET", path_of(plural, namespace) + query)["items"]

    def create(self, plural: str, namespace: str, body: Any) -> Any:
        return self.must("POST", path_of(plural, namespace), body)

    def patch(self, plural: str, namespace: str, name: str, body: Any, part: str = "") -> Any:
        return self.must("PATCH", path_of(plural, namespace, name, part), body, MERGE)

    def replace(self, plural: str, namespace: str, body: Any, part: str = "") -> Any:
        """An object as it was read and changed since."""
        return self.must("PUT", path_of(plural, namespace, body["metadata"]["name"], part), body)

    def delete(self, plural: str, namespace: str, name: str, **options: Any) -> None:
        """Ask for the end of an object; no error if it is not there."""
        status, answer = self.request("DELETE", path_of(plural, namespace, name), options or None)
        if status >= 400 and status != 404:
            raise ApiError(status, answer)

    def apply_file(self, path: Path) -> None:
        """Apply the custom resource definitions of a file and wait until they are served."""
        for body in yaml.safe_load_all(path.read_text()):
            self.apply_definition(body)

    def apply_definition(self, body: Any) -> None:
        """Replace a custom resource definition and wait until it is served."""
        home = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        name = body["metadata"]["name"]
        self.must("PATCH", f"{home}/{name}?fieldManager=tests&force=true", body, APPLY)
        self.wait(lambda: _served(self.must("GET", f"{home}/{name}")), what=name)

    def wait(self, ask: Callable[[], T], *, seconds: float = 20.0, what: str = "") -> T:
        """The first answer that is neither None nor false. AssertionError when it is too late."""
        deadline = time.monotonic() + seconds
        while not (answer := ask()):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            time.sleep(0.05)
        return answer

    def _once(self, verb: str, path: str, body: Any, content: str) -> tuple[int, Any]:
        connection = getattr(self._kept, "connection", None)
        if connection is None:
            host = self.access.server.removeprefix("https://")
            connection = http.client.HTTPSConnection(host, context=self._tls, timeout=30)
            self._kept.connection = connection
            self._connections.append(connection)
        data = None if body is None else json.dumps(body)
        headers: Mapping[str, str] = {"Content-Type": content, **self.access.headers()}
        connection.request(verb, path, data, dict(headers))
        answer = connection.getresponse()
        text = answer.read()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")


def _served(definition: Any) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
