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
import kubernetes

from lmjob.api.names import GROUP, LABEL_ROLE, LABEL_UID, PLURAL, VERSION
from tests.benchmarks.operator_floor import is_ready
from tests.benchmarks.operator_pods import PARTS, Part, Templates

TEMPLATES = Templates.read(Path(os.environ["BENCH_TEMPLATES"]))
kubernetes.config.load_kube_config(os.environ["KUBECONFIG"])
READY = {"type": "Ready", "status": "True", "reason": "Running", "message": ""}
CORE = kubernetes.client.CoreV1Api()


def make(body: Any, part: Part, ip: str = "") -> None:
    try:
        pod = json.loads(TEMPLATES.pod(body, part, ip))
        CORE.create_namespaced_pod(body["metadata"]["namespace"], pod)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise


@kopf.on.create(GROUP, VERSION, PLURAL)
def created(body: Any, **_: Any) -> None:
    make(body, PARTS[0])


@kopf.timer(GROUP, VERSION, PLURAL, interval=2.0)
def tick(body: Any, patch: Any, namespace: str, uid: str, status: Any, **_: Any) -> None:
    if status.get("conditions"):
        return
    chosen = f"{LABEL_UID}={uid}"
    answer = CORE.list_namespaced_pod(namespace, label_selector=chosen, _preload_content=False)
    pods: dict[str, list[Any]] = {}
    for pod in json.loads(answer.data)["items"]:
        pods.setdefault(pod["metadata"]["labels"][LABEL_ROLE], []).append(pod)
    prepare, master = pods.get("prepare", []), pods.get("master", [])
    if not master and prepare and prepare[0]["status"].get("phase") == "Succeeded":
        make(body, PARTS[1])
    elif master and is_ready(master[0]):
        for part in PARTS[2:]:
            make(body, part, master[0]["status"].get("podIP", ""))
        patch.status["stage"] = "train"
        patch.status["conditions"] = [READY]
