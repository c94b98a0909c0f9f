"""The plain operator, as a tutorial of kopf writes it: a create handler and a timer of two seconds.

A process of its own: `kopf run -A -m tests.benchmarks.operator_naive`; BENCH_TEMPLATES and
KUBECONFIG in the environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import kopf

from lmjob.api.names import GROUP, LABEL_ROLE, LABEL_UID, PLURAL, VERSION
from tests.benchmarks.operator_floor import is_ready
from tests.benchmarks.operator_pods import PARTS, Part, Templates
from tests.cluster.harness.access import read_access
from tests.cluster.harness.api import Api, ApiError

TEMPLATES = Templates.read(Path(os.environ["BENCH_TEMPLATES"]))
READY = {"type": "Ready", "status": "True", "reason": "Running", "message": ""}
API = Api(read_access(Path(os.environ["KUBECONFIG"])))
"""Blocking, a kept connection for each thread: less than the client of Kubernetes costs."""


def make(body: Any, part: Part, ip: str = "") -> None:
    try:
        pod = json.loads(TEMPLATES.pod(body, part, ip))
        API.create("pods", body["metadata"]["namespace"], pod)
    except ApiError as error:
        if error.status != 409:
            raise


@kopf.on.create(GROUP, VERSION, PLURAL)
def created(body: Any, **_: Any) -> None:
    make(body, PARTS[0])


@kopf.timer(GROUP, VERSION, PLURAL, interval=2.0)
def tick(body: Any, patch: Any, namespace: str, uid: str, status: Any, **_: Any) -> None:
    if status.get("conditions"):
        return
    pods: dict[str, list[Any]] = {}
    for pod in API.list("pods", namespace, labels=f"{LABEL_UID}={uid}"):
        pods.setdefault(pod["metadata"]["labels"][LABEL_ROLE], []).append(pod)
    prepare, master = pods.get("prepare", []), pods.get("master", [])
    if not master and prepare and prepare[0]["status"].get("phase") == "Succeeded":
        make(body, PARTS[1])
    elif master and is_ready(master[0]):
        for part in PARTS[2:]:
            make(body, part, master[0]["status"].get("podIP", ""))
        patch.status["stage"] = "train"
        patch.status["conditions"] = [READY]
