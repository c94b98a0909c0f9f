"""The recorder: every state of every object in the store of a cluster, in the order of revisions.

A thread follows a watch of etcd from revision 1 on, over etcd's JSON gateway, so no state is missed
between two looks. Values are decoded only for the namespaces that somebody asks about.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
from collections import defaultdict
from typing import Any, NamedTuple

from tests.cluster.harness.history import State

PREFIX = "/registry/"


class _Raw(NamedTuple):
    revision: int
    key: str
    value: str | None
    """base64 of JSON; None: deleted."""
    at: float


class Recorder(threading.Thread):
    """Follows the store until `stop`. Several tests may read it at the same time."""

    def __init__(self, etcd: str) -> None:
        super().__init__(daemon=True, name="recorder")
        self._etcd = etcd
        self._raw: dict[str, list[_Raw]] = defaultdict(list)
        """By namespace."""
        self._last: dict[str, _Raw] = {}
        """By key."""
        self._revision = 0
        self._over = threading.Event()
        self.start()

    def history(self, namespace: str) -> list[State]:
        """All states so far of the objects of a namespace. A deletion bears the kind of what was
        deleted."""
        kinds: dict[str, str] = {}
        return [_state(raw, kinds) for raw in tuple(self._raw[namespace])]

    def forget(self, namespace: str) -> None:
        """Of a test that is over: histories are large."""
        for raw in self._raw.pop(namespace, ()):
            self._last.pop(raw.key, None)

    def look(self, home: str, namespace: str, name: str) -> Any:
        """An object as it is now, without asking the API server; None if it is not there. `home` is
        its place in the store: `pods`, `lmtraining.dev/lmtrainingjobs`."""
        raw = self._last.get(f"{PREFIX}{home}/{namespace}/{name}")
        return None if raw is None else _decoded(raw)

    def catch_up(self, revision: int, seconds: float = 10.0) -> None:
        """Wait until everything up to a revision is here."""
        deadline = time.monotonic() + seconds
        while self._revision < revision:
            assert time.monotonic() < deadline, f"the recorder is not at revision {revision}"
            time.sleep(0.02)

    def stop(self) -> None:
        self._over.set()

    def run(self) -> None:
        """Begins again after the last revision when the store goes away."""
        while not self._over.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.1)

    def _follow(self) -> None:
        with contextlib.closing(http.client.HTTPConnection(self._etcd, timeout=3600)) as connection:
            self._read(connection)

    def _read(self, connection: http.client.HTTPConnection) -> None:
        wanted = {
            "key": _b64(PREFIX),
            "range_end": _b64("/registry0"),
            "start_revision": self._revision + 1,
        }
        connection.request("POST", "/v3/watch", json.dumps({"create_request": wanted}))
        answer = connection.getresponse()
        while not self._over.is_set():
            line = answer.readline()
            if not line:
                return
            self._take(json.loads(line), time.monotonic())

    def _take(self, message: Any, at: float) -> None:
        for event in message.get("result", {}).get("events", ()):
            pair = event["kv"]
            key = base64.b64decode(pair["key"]).decode()
            value = None if event.get("type") == "DELETE" else pair["value"]
            raw = _Raw(int(pair["mod_revision"]), key, value, at)
            self._raw[_namespace(key)].append(raw)
            self._last[key] = raw
            self._revision = raw.revision


def _state(raw: _Raw, kinds: dict[str, str]) -> State:
    body = _decoded(raw)
    if body is not None:
        kinds[raw.key] = body.get("kind", "")
    name = raw.key.rpartition("/")[2]
    kind = kinds.get(raw.key, "")
    return State(raw.revision, kind, _namespace(raw.key), name, body, raw.at)


def _decoded(raw: _Raw) -> Any:
    return None if raw.value is None else json.loads(base64.b64decode(raw.value))


def _namespace(key: str) -> str:
    """Of `/registry/KIND.../NAMESPACE/NAME`; the name of an object without a namespace is none."""
    parts = key.split("/")
    return parts[-2] if len(parts) >= 5 else ""


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
