"""What is seen of a namespace's pods from outside, from the first to the last moment.

One thread follows the watch of the API server, and goes on after an outage; another reads what the
ranks write into their node's folder, which lies on this machine.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmjob.api.names import LABEL_ATTEMPT, LABEL_UID
from lmtrainer.contract.reports import PROGRESS_FILE, Progress, load
from tests.cluster.harness.access import Access
from tests.cluster.harness.api import path_of

OVER = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Sight:
    """A pod as one event of the watch told of it; None: it is gone."""

    at: float
    name: str
    pod: Any

    def line(self) -> str:
        """For people."""
        clock = time.strftime("%H:%M:%S", time.gmtime(self.at))
        if self.pod is None:
            return f"{clock} {self.name} gone"
        status, meta = self.pod["status"], self.pod["metadata"]
        marks = [
            f"{c['type']}={c['status']}" + (f"({c['reason']})" if c.get("reason") else "")
            for c in status.get("conditions") or ()
        ]
        ending = meta.get("deletionTimestamp")
        ended = [f"ends by {ending[11:19]}"] if ending else []
        return " ".join([clock, self.name, status.get("phase", ""), *ended, *marks])


class Witness:
    """Of all jobs in one namespace. Begin it before they are applied."""

    def __init__(self, access: Access, namespace: str) -> None:
        self._access = access
        self._namespace = namespace
        self._home = access.kubeconfig.parent
        self._over = threading.Event()
        self._pods: dict[str, Any] = {}
        self.sights: list[Sight] = []
        self.live: list[frozenset[int]] = []
        """Attempts with pods that were not over, after each event."""
        self.progress: dict[int, Progress] = {}
        """The newest of each attempt's training."""
        self.steps: dict[int, int] = {}
        """Most steps that an attempt was seen at."""
        targets = (self._watch, self._read)
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()

    @property
    def workers(self) -> set[str]:
        """Names of all worker pods that were ever there."""
        return {sight.name for sight in self.sights if "-worker-" in sight.name}

    def diary(self) -> str:
        return "\n".join(sight.line() for sight in self.sights)

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                time.sleep(0.2)

    def _follow(self) -> None:
        host = self._access.server.removeprefix("https://")
        connection = http.client.HTTPSConnection(host, context=self._access.tls(), timeout=300)
        try:
            path = path_of("pods", self._namespace)
            connection.request("GET", path, headers=self._access.headers())
            listed = json.loads(connection.getresponse().read())
            found = {pod["metadata"]["name"]: pod for pod in listed["items"]}
            for name in self._pods.keys() | found.keys():
                self._take(name, found.get(name))
            version = listed["metadata"]["resourceVersion"]
            query = f"?watch=1&resourceVersion={version}"
            connection.request("GET", path + query, headers=self._access.headers())
            answer = connection.getresponse()
            while not self._over.is_set() and (line := answer.readline()):
                event = json.loads(line)
                pod = event["object"]
                gone = event["type"] == "DELETED"
                self._take(pod["metadata"]["name"], None if gone else pod)
        finally:
            connection.close()

    def _take(self, name: str, pod: Any) -> None:
        if pod is not None and LABEL_UID not in (pod["metadata"].get("labels") or {}):
            return
        if pod is None:
            self._pods.pop(name, None)
        else:
            self._pods[name] = pod
        self.sights.append(Sight(time.time(), name, pod))
        alive = (p for p in self._pods.values() if p["status"].get("phase") not in OVER)
        self.live.append(frozenset(int(p["metadata"]["labels"][LABEL_ATTEMPT]) for p in alive))

    def _read(self) -> None:
        while not self._over.wait(0.05):
            for file in self._files():
                try:
                    found = load(Progress, file.read_text())
                except (OSError, ValueError, TypeError):
                    continue
                if found.stage == "train" and found.position is not None:
                    self.progress[found.attempt] = found
                    seen = self.steps.get(found.attempt, 0)
                    self.steps[found.attempt] = max(seen, found.position.step)

    def _files(self) -> Iterator[Path]:
        for pod in list(self._pods.values()):
            uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName", "")
            folder = self._home / node / "kubelet/pods" / uid / "volumes/kubernetes.io~empty-dir"
            yield folder / "node" / PROGRESS_FILE
